// Backward, grad modes and the history of tensors as Python calls them.
#include <unordered_set>

#include "core/streams.h"
#include "python/graph.h"

namespace fg::py {

namespace {

// ---- backward

std::vector<Tensor> run(const std::vector<Tensor>& tensors, const std::vector<Tensor>& grads,
                        const std::vector<Edge>& inputs, bool keep, bool create, bool accumulate, bool allow_unused) {
  std::vector<Edge> roots;
  std::vector<Tensor> seeds;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& t = tensors[i];
    FG_CHECK(t.defined(), Type, "backward: element ", i, " of tensors is None");
    Edge edge = gradient_edge(t);
    FG_CHECK(edge.fn, Runtime, "element ", i, " of tensors does not require grad and does not have a grad_fn");
    Tensor g = i < grads.size() ? grads[i] : Tensor();
    if (!g.defined()) {
      FG_CHECK(t.numel() == 1, Runtime, "grad can be implicitly created only for scalar outputs");
      FG_CHECK(!is_complex(t.dtype()), Runtime,
               "grad can be implicitly created only for real scalar outputs but got torch.", dtype_name(t.dtype()));
      g = full(t.sizes(), Scalar::of(1), t.dtype(), t.device());
    } else {
      FG_CHECK(same(g.sizes(), t.sizes()), Runtime, "Mismatch in shape: grad_output[", i,
               "] has a shape of torch.Size(", size_text(g.sizes()), ") and output[", i, "] has a shape of torch.Size(",
               size_text(t.sizes()), ").");
      FG_CHECK(is_complex(g.dtype()) == is_complex(t.dtype()), Runtime,
               "For complex Tensors, both grad_output and output are "
               "required to have the same dtype. Mismatch in dtype: grad_output[",
               i, "] has a dtype of torch.", dtype_name(g.dtype()), " and output[", i, "] has a dtype of torch.",
               dtype_name(t.dtype()), ".");
      FG_CHECK(is_inexact(g.dtype()), Runtime, "grad_output must be floating, got ", dtype_name(g.dtype()));
      FG_CHECK(g.device() == t.device(), Runtime, "grad_output[", i, "] is on ", device_name(g.device()),
               " and the output on ", device_name(t.device()));
      if (g.dtype() != t.dtype()) g = to_dtype(g, t.dtype());
    }
    roots.push_back(std::move(edge));
    seeds.push_back(std::move(g));
  }
  BackwardOptions options;
  options.keep_graph = keep;
  options.create_graph = create;
  options.accumulate = accumulate;
  options.allow_unused = allow_unused;
  JoinedStreams joined;
  return run_backward(roots, std::move(seeds), inputs, options);
}

std::vector<Tensor> list_of(const Call& c, int i) {
  std::vector<Tensor> out;
  if (!c.has(i)) return out;
  if (c.is_tensor(i)) return {c.tensor(i)};
  PyObject* fast = PySequence_Fast(c.v[i], "a sequence of tensors is needed");
  if (!fast) raise_pending();
  for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(fast); ++k) {
    PyObject* o = PySequence_Fast_GET_ITEM(fast, k);
    if (o == Py_None) {
      out.emplace_back();
    } else if (is_tensor(o)) {
      out.push_back(unwrap(o));
    } else {
      Py_DECREF(fast);
      c.type_error(i, "a sequence of Tensors");
    }
  }
  Py_DECREF(fast);
  return out;
}

// Where gradients are wanted: tensors, or graph.GradientEdge, a tuple that starts with a node and the number of its
// output.
std::vector<Edge> edges_of(const Call& c, int i) {
  std::vector<Edge> out;
  auto add = [&](PyObject* o) {
    if (is_tensor(o)) {
      const Tensor& t = borrow(o);
      FG_CHECK(t.requires_grad(), Runtime, "One of the differentiated Tensors does not require grad");
      out.push_back(gradient_edge(t));
      return;
    }
    FG_CHECK(o != Py_None, Type, "backward: one of the inputs is None");
    bool edge = PyTuple_Check(o) && PyTuple_GET_SIZE(o) >= 2 && is_node(PyTuple_GET_ITEM(o, 0));
    if (!edge) c.type_error(i, "a sequence of Tensors or GradientEdges");
    Node* node = node_of(PyTuple_GET_ITEM(o, 0));
    long nr = PyLong_AsLong(PyTuple_GET_ITEM(o, 1));
    if (nr == -1 && PyErr_Occurred()) raise_pending();
    FG_CHECK(nr >= 0 && nr < node->n_inputs, Index, "output ", nr, " of a node with ", node->n_inputs);
    out.push_back({Ptr<Node>(node), static_cast<uint32_t>(nr)});
  };
  if (!c.has(i)) return out;
  if (c.is_tensor(i)) {
    add(c.v[i]);
    return out;
  }
  Owned fast(PySequence_Fast(c.v[i], "a sequence of tensors is needed"));
  for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(fast.o); ++k) add(PySequence_Fast_GET_ITEM(fast.o, k));
  return out;
}

// _run_backward(tensors, grad_tensors, retain_graph, create_graph, inputs, allow_unused, accumulate)
PyObject* run_backward_fn(Call& c) {
  std::vector<Tensor> tensors = list_of(c, 0), grads = list_of(c, 1);
  std::vector<Edge> inputs = edges_of(c, 4);
  bool accumulate = c.boolean(6, false);
  auto result = run(tensors, grads, inputs, c.boolean(2, false), c.boolean(3, false), accumulate, c.boolean(5, false));
  if (accumulate) Py_RETURN_NONE;
  return wrap_list(result);
}

PyObject* backward_method(Call& c) {
  // Usual call first: no arguments.
  bool create = c.boolean(3, false);
  bool keep = c.has(2) ? c.boolean(2, false) : create;
  std::vector<Edge> inputs = edges_of(c, 4);
  if (c.given(4) && c.has(4)) FG_CHECK(!inputs.empty(), Runtime, "'inputs' argument to backward cannot be empty.");
  std::vector<Tensor> grads;
  if (c.has(1)) grads.push_back(c.tensor(1));
  run({c.tensor(0)}, grads, inputs, keep, create, true, true);
  Py_RETURN_NONE;
}

// ---- custom functions (function_call.cpp)

Ptr<Node> node_arg(const Call& c, int i) {
  if (!c.v[i] || !is_node(c.v[i])) c.type_error(i, "a graph node");
  return Ptr<Node>(node_of(c.v[i]));
}

#define NONE_AFTER(...)      \
  [](Call& c) -> PyObject* { \
    __VA_ARGS__;             \
    Py_RETURN_NONE;          \
  }

PyObject* reaches_outside(Call& c) {
  std::unordered_set<const void*> own, seen;
  for (const Tensor& t : c.tensors(1)) own.insert(t.impl());
  std::vector<Node*> open;
  std::vector<Ptr<Node>> held;
  for (const Tensor& t : c.tensors(0)) {
    held.push_back(grad_fn(t));
    if (held.back()) open.push_back(held.back().get());
    else if (t.requires_grad() && !own.count(t.impl())) Py_RETURN_TRUE;
  }
  while (!open.empty()) {
    Node* node = open.back();
    open.pop_back();
    if (!seen.insert(node).second) continue;
    if (Tensor* leaf = node->variable(); leaf && !own.count(leaf->impl())) Py_RETURN_TRUE;
    for (int i = 0; i < node->n_edges; ++i)
      if (Node* next = node->edge(i).fn.get()) open.push_back(next);
  }
  Py_RETURN_FALSE;
}

constexpr FunctionDef defs[] = {
    {"_run_backward", kStatic, "tensors, grad_tensors, retain_graph, create_graph, inputs, allow_unused, accumulate",
     run_backward_fn, nullptr},
    {"backward", kMethod, "input, gradient=None, retain_graph=None, create_graph=False, inputs=None", backward_method,
     "Adds the gradient of this tensor to the .grad of the leaves it came from."},
    {"is_grad_enabled", kStatic | kSettled, "", [](Call&) { return PyBool_FromLong(!(mode & kNoGrad)); }, nullptr},
    {"set_grad_enabled_", kStatic | kSettled, "mode",
     NONE_AFTER(mode = static_cast<uint8_t>(c.boolean(0, true) ? mode & ~kNoGrad : mode | kNoGrad)), nullptr},
    {"is_inference_mode_enabled", kStatic | kSettled, "",
     [](Call&) { return PyBool_FromLong((mode & kInference) != 0); }, nullptr},
    {"set_inference_", kStatic | kSettled, "mode",
     NONE_AFTER(mode = static_cast<uint8_t>(c.boolean(0, true) ? mode | kInference : mode & ~kInference)), nullptr},
    {"_keeps_graph", kStatic | kSettled, "", [](Call&) { return PyBool_FromLong(keeps_graph); }, nullptr},
    {"_set_node_outputs", kStatic, "node, n",
     NONE_AFTER(
         int64_t n = c.integer(1); FG_CHECK(n >= 0 && n < 65536, Runtime, "a function has at most 65535 outputs");
         Ptr<Node> node = node_arg(c, 0); FG_CHECK(node->python(), Type, "a node of a custom function is needed");
         node->n_inputs = static_cast<int32_t>(n)),
     nullptr},
    {"_set_history", kStatic, "output, node, index=0",
     NONE_AFTER(const Tensor& t = c.tensor(0); Ptr<Node> node = node_arg(c, 1); int64_t nr = c.integer(2, 0);
                FG_CHECK(nr >= 0 && nr < node->n_inputs, Index, "output ", nr, " of a node with ", node->n_inputs);
                set_history(t, node, static_cast<uint32_t>(nr));
                if (!PyObject_GC_IsTracked(c.v[0])) PyObject_GC_Track(c.v[0])),
     nullptr},
    {"_mark_dirty", kStatic, "input", NONE_AFTER(c.tensor(0).bump_version()), nullptr},
    {"_check_inplace", kStatic, "input", NONE_AFTER(check_inplace(c.tensor(0), "mark_dirty")), nullptr},
    {"_rebase", kStatic, "input, node, index=0",
     NONE_AFTER(Ptr<Node> node = node_arg(c, 1); int64_t nr = c.integer(2, 0);
                FG_CHECK(nr >= 0 && nr < node->n_inputs, Index, "output ", nr, " of a node with ", node->n_inputs);
                FG_CHECK(node->n_inputs == 1 || !c.tensor(0).is_view(), Runtime, node->name(),
                         ": a function that changes a view in place "
                         "can have one output only");
                rebase_history(c.tensor(0), node);
                if (!c.tensor(0).is_view()) c.tensor(0).impl()->output_nr = static_cast<uint32_t>(nr)),
     nullptr},
    {"_as_view", kStatic, "input", [](Call& c) { return wrap(c.tensor(0).alias()); }, nullptr},
    {"_mark_view", kStatic, "output, base, kind=None",
     NONE_AFTER(mark_view(c.tensor(0), c.tensor(1),
                          std::string(c.text(2, "")) == "custom" ? ViewKind::CustomFunction : ViewKind::Normal)),
     nullptr},
    {"_reaches_outside", kStatic, "outputs, own", reaches_outside,
     "Whether the history of the outputs leads to a leaf that is none of `own`."},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_autograd(PyObject* module) {
  return init_nodes(module) && init_hooks(module) && FG_REGISTER(defs, module) && init_function_call(module) &&
         init_forward_functions(module) && init_anomaly(module);
}

}  // namespace fg::py
