// The graph as Python sees it: node objects, hooks, backward, modes, custom functions.
#include <map>
#include <unordered_set>

#include "autograd/engine.h"
#include "core/streams.h"
#include "python/functions.h"

namespace fg::py {

namespace {

// ---- node objects: one Python type for each node name, so that type(x.grad_fn).__name__ is torch's

struct Owned : Ref {  // of what must be there: else the error that is set is thrown
  explicit Owned(PyObject* p) : Ref(p) {
    if (!o) raise_pending();
  }
};

struct PyNode {
  PyObject_HEAD Node* node;
};

PyTypeObject* node_base = nullptr;
std::map<std::string, PyTypeObject*> node_types;

inline Node* node_of(PyObject* o) { return reinterpret_cast<PyNode*>(o)->node; }
bool is_node(PyObject* o) { return PyObject_TypeCheck(o, node_base); }

void node_dealloc(PyObject* o) {
  auto* p = reinterpret_cast<PyNode*>(o);
  if (Node* node = p->node) {
    if (node->pyobj == o) node->pyobj = nullptr;
    p->node = nullptr;
    node->release();
  }
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}

PyObject* node_name(PyObject* o, PyObject*) { return PyUnicode_FromString(node_of(o)->name()); }
PyObject* node_sequence(PyObject* o, PyObject*) { return PyLong_FromUnsignedLongLong(node_of(o)->sequence); }

PyObject* node_next(PyObject* o, void*) {
  FG_TRY
  Node* node = node_of(o);
  Owned out(PyTuple_New(node->n_edges));
  for (int i = 0; i < node->n_edges; ++i) {
    const Edge& e = node->edge(i);
    PyObject* pair = Py_BuildValue("(NI)", wrap_node(e.fn), e.input_nr);
    if (!pair) raise_pending();
    PyTuple_SET_ITEM(out.o, i, pair);
  }
  return out.give();
  FG_CATCH
}
PyObject* node_metadata(PyObject* o, void*) {
  FG_TRY
  NodeExtra& more = node_of(o)->more();
  if (!more.metadata) more.metadata = PyDict_New();
  Py_XINCREF(more.metadata);
  return more.metadata;
  FG_CATCH
}
PyObject* node_variable(PyObject* o, void*) {
  FG_TRY
  Tensor* v = node_of(o)->variable();
  if (!v) {
    PyErr_Format(PyExc_AttributeError, "'%s' object has no attribute 'variable'", node_of(o)->name());
    return nullptr;
  }
  return wrap(*v);
  FG_CATCH
}
PyObject* node_context(PyObject* o, void*) {
  PyObject* ctx = node_of(o)->python();
  if (!ctx) ctx = Py_None;
  Py_INCREF(ctx);
  return ctx;
}
PyObject* node_inputs(PyObject* o, void*) { return PyLong_FromLong(node_of(o)->n_inputs); }

int64_t next_hook_id = 1;

PyObject* make_handle(Ptr<HookHome>& home, Meta* meta, NodeExtra* extra, int64_t id);

PyObject* node_register(PyObject* o, PyObject* fn, bool pre) {
  FG_TRY
  FG_CHECK(PyCallable_Check(fn), Type, "register_hook: a callable is needed, not ", Py_TYPE(fn)->tp_name);
  NodeExtra& more = node_of(o)->more();
  int64_t id = next_hook_id++;
  (pre ? more.pre_hooks : more.post_hooks).push_back({id, Py_NewRef(fn)});
  return make_handle(more.home, nullptr, &more, id);
  FG_CATCH
}
PyObject* node_register_hook(PyObject* o, PyObject* fn) { return node_register(o, fn, false); }
PyObject* node_register_prehook(PyObject* o, PyObject* fn) { return node_register(o, fn, true); }
PyObject* node_repr(PyObject* o) { return PyUnicode_FromFormat("<%s object at %p>", node_of(o)->name(), node_of(o)); }
Py_hash_t node_hash(PyObject* o) { return _Py_HashPointer(node_of(o)); }
PyObject* node_compare(PyObject* a, PyObject* b, int code) {
  if (!is_node(a) || !is_node(b) || (code != Py_EQ && code != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  return PyBool_FromLong((node_of(a) == node_of(b)) == (code == Py_EQ));
}

PyMethodDef node_methods[] = {
    {"name", node_name, METH_NOARGS, "Name of the recorded op."},
    {"_sequence_nr", node_sequence, METH_NOARGS, "Order of recording."},
    {"register_hook", node_register_hook, METH_O, "fn(grad_inputs, grad_outputs) after this node ran."},
    {"register_prehook", node_register_prehook, METH_O, "fn(grad_outputs) before this node runs."},
    {nullptr, nullptr, 0, nullptr}};
PyGetSetDef node_getset[] = {
    {"next_functions", node_next, nullptr, "Where the gradients go: (node, input number) pairs.", nullptr},
    {"metadata", node_metadata, nullptr, "A dictionary for the user.", nullptr},
    {"variable", node_variable, nullptr, "The leaf of an AccumulateGrad node.", nullptr},
    {"_context", node_context, nullptr, "ctx of a custom function, or None.", nullptr},
    {"_n_inputs", node_inputs, nullptr, "Number of gradients it receives.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyType_Slot node_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(node_dealloc)},
                            {Py_tp_methods, node_methods},
                            {Py_tp_getset, node_getset},
                            {Py_tp_repr, reinterpret_cast<void*>(node_repr)},
                            {Py_tp_hash, reinterpret_cast<void*>(node_hash)},
                            {Py_tp_richcompare, reinterpret_cast<void*>(node_compare)},
                            {0, nullptr}};
PyType_Spec node_spec = {"fastgrad.autograd.graph.Node", sizeof(PyNode), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, node_slots};

PyTypeObject* type_for(const char* name) {
  auto found = node_types.find(name);
  if (found != node_types.end()) return found->second;
  PyType_Slot none[] = {{Py_tp_dealloc, reinterpret_cast<void*>(node_dealloc)}, {0, nullptr}};
  auto* full = new std::string(std::string("fastgrad.autograd.") + name);  // CPython keeps the pointer
  PyType_Spec spec = {full->c_str(), sizeof(PyNode), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, none};
  PyObject* bases = PyTuple_Pack(1, node_base);
  if (!bases) raise_pending();
  PyObject* type = PyType_FromSpecWithBases(&spec, bases);
  Py_DECREF(bases);
  if (!type) raise_pending();
  node_types[name] = reinterpret_cast<PyTypeObject*>(type);
  return reinterpret_cast<PyTypeObject*>(type);
}

// ---- hook handles

struct PyHandle {
  PyObject_HEAD HookHome* home;  // owned; keeps neither tensor nor graph alive
  int64_t id;
};
PyTypeObject* handle_type = nullptr;

void erase_hook(std::vector<Hook>& list, int64_t id) {
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i].id == id) {
      PyObject* fn = list[i].fn;
      list.erase(list.begin() + static_cast<long>(i));
      Py_DECREF(fn);
      return;
    }
}
void erase_hook(std::vector<NodeExtra::TensorHook>& hooks, int64_t id) {
  for (size_t i = 0; i < hooks.size(); ++i)
    if (hooks[i].hook.id == id) {
      PyObject* fn = hooks[i].hook.fn;
      hooks.erase(hooks.begin() + static_cast<long>(i));
      Py_DECREF(fn);
      return;
    }
}

PyObject* handle_remove(PyObject* o, PyObject*) {
  auto* h = reinterpret_cast<PyHandle*>(o);
  auto home = Ptr<HookHome>::adopt(h->home);
  h->home = nullptr;
  if (!home) Py_RETURN_NONE;
  // Each step may drop the last user of what `home` points to, hence the tests.
  if (home->meta) erase_hook(home->meta->hooks, h->id);
  if (home->meta) erase_hook(home->meta->post_accumulate, h->id);
  if (home->extra) erase_hook(home->extra->tensor_hooks, h->id);
  if (home->extra) erase_hook(home->extra->pre_hooks, h->id);
  if (home->extra) erase_hook(home->extra->post_hooks, h->id);
  Py_RETURN_NONE;
}
PyObject* handle_enter(PyObject* o, PyObject*) {
  Py_INCREF(o);
  return o;
}
PyObject* handle_exit(PyObject* o, PyObject*) { return handle_remove(o, nullptr); }
PyObject* handle_id(PyObject* o, void*) { return PyLong_FromLongLong(reinterpret_cast<PyHandle*>(o)->id); }
void handle_dealloc(PyObject* o) {
  if (HookHome* home = reinterpret_cast<PyHandle*>(o)->home) home->release();
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}
PyMethodDef handle_methods[] = {{"remove", handle_remove, METH_NOARGS, "Takes the hook out."},
                                {"__enter__", handle_enter, METH_NOARGS, nullptr},
                                {"__exit__", handle_exit, METH_VARARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};
PyGetSetDef handle_getset[] = {{"id", handle_id, nullptr, nullptr, nullptr},
                               {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyType_Slot handle_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(handle_dealloc)},
                              {Py_tp_methods, handle_methods},
                              {Py_tp_getset, handle_getset},
                              {0, nullptr}};
PyType_Spec handle_spec = {"fastgrad.utils.hooks.RemovableHandle", sizeof(PyHandle), 0, Py_TPFLAGS_DEFAULT,
                           handle_slots};

PyObject* make_handle(Ptr<HookHome>& home, Meta* meta, NodeExtra* extra, int64_t id) {
  PyObject* o = handle_type->tp_alloc(handle_type, 0);
  if (!o) raise_pending();
  if (!home) home = Ptr<HookHome>::adopt(new HookHome);
  home->meta = meta;
  home->extra = extra;
  home->retain();
  reinterpret_cast<PyHandle*>(o)->home = home.get();
  reinterpret_cast<PyHandle*>(o)->id = id;
  return o;
}

PyObject* register_hook(Call& c) {
  const Tensor& t = c.tensor(0);
  FG_CHECK(t.requires_grad(), Runtime, "cannot register a hook on a tensor that doesn't require gradient");
  PyObject* fn = c.v[1];
  FG_CHECK(PyCallable_Check(fn), Type, "register_hook: a callable is needed, not ", Py_TYPE(fn)->tp_name);
  int64_t id = next_hook_id++;
  if (!PyObject_GC_IsTracked(c.v[0])) PyObject_GC_Track(c.v[0]);
  if (Ptr<Node> node = grad_fn(t)) {
    NodeExtra& more = node->more();
    more.tensor_hooks.push_back({t.impl()->output_nr, {id, Py_NewRef(fn)}});
    return make_handle(more.home, nullptr, &more, id);
  }
  t.meta().hooks.push_back({id, Py_NewRef(fn)});
  return make_handle(t.meta().home, &t.meta(), nullptr, id);
}

PyObject* register_post_accumulate(Call& c) {
  const Tensor& t = c.tensor(0);
  FG_CHECK(t.requires_grad(), Runtime, "cannot register a hook on a tensor that doesn't require gradient");
  FG_CHECK(t.is_leaf(), Runtime, "post accumulate grad hooks cannot be registered on non-leaf tensors");
  FG_CHECK(PyCallable_Check(c.v[1]), Type, "register_post_accumulate_grad_hook: a callable is needed, not ",
           Py_TYPE(c.v[1])->tp_name);
  int64_t id = next_hook_id++;
  if (!PyObject_GC_IsTracked(c.v[0])) PyObject_GC_Track(c.v[0]);
  t.meta().post_accumulate.push_back({id, Py_NewRef(c.v[1])});
  return make_handle(t.meta().home, &t.meta(), nullptr, id);
}

// ---- hooks called by the engine

Tensor call_tensor_hook(PyObject* fn, const Tensor& g) {
  Owned arg(wrap(g));
  Owned result(PyObject_CallOneArg(fn, arg.o));
  if (result.o == Py_None) return {};
  FG_CHECK(is_tensor(result.o), Type, "expected a Tensor or None from a hook, got ", Py_TYPE(result.o)->tp_name);
  Tensor r = unwrap(result.o);
  FG_CHECK(same(r.sizes(), g.sizes()), Runtime, "hook '", PyEval_GetFuncName(fn), "' has changed the size of value");
  FG_CHECK(r.dtype() == g.dtype(), Runtime, "hook '", PyEval_GetFuncName(fn), "' has changed the type of value (was ",
           type_text(g), " got ", type_text(r), ")");
  FG_CHECK(r.device() == g.device(), Runtime, "hook '", PyEval_GetFuncName(fn), "' has changed the device of value");
  return r;
}

PyObject* tuple_of(const Tensor* g, int n) {
  Owned out(PyTuple_New(n));
  for (int i = 0; i < n; ++i) PyTuple_SET_ITEM(out.o, i, wrap(g[i]));
  return out.give();
}

void take_results(PyObject* result, Tensor* g, int n) {
  if (result == Py_None) return;
  bool single = is_tensor(result) && n == 1;
  FG_CHECK(single || (PyTuple_Check(result) && PyTuple_GET_SIZE(result) == n), Runtime,
           "a hook must return None or a tuple of ", n, " gradients");
  for (int i = 0; i < n; ++i) {
    PyObject* o = single ? result : PyTuple_GET_ITEM(result, i);
    if (o == Py_None) {
      g[i].reset();
      continue;
    }
    FG_CHECK(is_tensor(o), Type, "a hook must return Tensors or None, not ", Py_TYPE(o)->tp_name);
    Tensor r = unwrap(o);
    // Nodes rely on the shape of what they receive.
    FG_CHECK(g[i].defined(), Runtime, "a hook has returned a gradient at position ", i, " where there was none");
    FG_CHECK(same(r.sizes(), g[i].sizes()) && r.dtype() == g[i].dtype() && r.device() == g[i].device(), Runtime,
             "a hook has changed the gradient at position ", i, " from ", type_text(g[i]), " ", size_text(g[i].sizes()),
             " to ", type_text(r), " ", size_text(r.sizes()));
    g[i] = r;
  }
}

void call_pre_hook(PyObject* fn, Tensor* g, int n) {
  Owned args(tuple_of(g, n));
  Owned result(PyObject_CallOneArg(fn, args.o));
  take_results(result.o, g, n);
}

void call_post_hook(PyObject* fn, Tensor* gx, int n, const Tensor* g, int m) {
  Owned inputs(tuple_of(gx, n)), outputs(tuple_of(g, m));
  Owned result(PyObject_CallFunctionObjArgs(fn, inputs.o, outputs.o, nullptr));
  take_results(result.o, gx, n);
}

void call_post_accumulate(PyObject* fn, const Tensor& t) {
  Owned arg(wrap(t));
  Owned result(PyObject_CallOneArg(fn, arg.o));
}

bool interrupted() { return PyErr_CheckSignals() != 0; }

// ---- saved-tensor hooks

thread_local std::vector<std::pair<PyObject*, PyObject*>> hook_stack;
PyObject* before_change_hook = nullptr;  // of allow_mutation_on_saved_tensors

void before_change(const Tensor& t) {
  if (!before_change_hook) return;
  ModeGuard guard(static_cast<uint8_t>((mode | kNoGrad) & ~(kSavedHooks | kForward)));
  Owned arg(wrap(t));
  Owned result(PyObject_CallOneArg(before_change_hook, arg.o));
}

PyObject* pack_saved(const Tensor& t, PyObject** unpack) {
  if (hook_stack.empty()) return nullptr;
  Owned pack(Py_NewRef(hook_stack.back().first)), unpack_fn(Py_NewRef(hook_stack.back().second));
  ModeGuard guard(static_cast<uint8_t>((mode | kNoGrad) & ~kSavedHooks));
  Owned arg(wrap(t));
  Owned packed(PyObject_CallOneArg(pack.o, arg.o));
  *unpack = unpack_fn.give();
  return packed.give();
}
Tensor unpack_saved(PyObject* packed, PyObject* unpack) {
  Owned result(PyObject_CallOneArg(unpack, packed));
  FG_CHECK(is_tensor(result.o), Type,
           "Output of saved tensor unpack_hook expected to be a Tensor but got result of type ",
           Py_TYPE(result.o)->tp_name);
  return unwrap(result.o);
}

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

// ---- custom functions

struct FunctionNode final : Node {
  std::string name_;
  PyObject* ctx = nullptr;
  ~FunctionNode() override {
    if (ctx) py_hooks.drop(ctx);
  }
  const char* name() const override { return name_.c_str(); }
  PyObject* python() override { return ctx; }
  void release_saved() override {
    PyObject* r = PyObject_CallMethod(ctx, "_release", nullptr);
    if (!r) PyErr_WriteUnraisable(ctx);
    Py_XDECREF(r);
  }
  void apply(Tensor* g, Tensor* gx) override {
    Owned grads(tuple_of(g, n_inputs));
    PyObject* result = PyObject_CallMethod(ctx, "_apply", "ON", grads.o, wrap_node(Ptr<Node>(this)));
    if (!result) raise_pending();
    Owned held(result);
    FG_CHECK(PyTuple_Check(result) && PyTuple_GET_SIZE(result) == n_edges, Runtime, name_, ": _apply must return ",
             n_edges, " gradients");
    for (int i = 0; i < n_edges; ++i) {
      PyObject* o = PyTuple_GET_ITEM(result, i);
      if (o == Py_None || !wants(i)) continue;
      FG_CHECK(is_tensor(o), Type, name_, ": gradient ", i, " must be a Tensor or None, not ", Py_TYPE(o)->tp_name);
      gx[i] = unwrap(o);
    }
  }
};

PyObject* function_node(Call& c) {
  std::vector<Tensor> inputs = list_of(c, 2);
  auto node = Ptr<FunctionNode>::adopt(new FunctionNode);
  Py_INCREF(c.v[0]);
  node->ctx = c.v[0];
  node->name_ = c.text(1, "Function");
  node->set_edges(static_cast<int>(inputs.size()));
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].defined() && inputs[i].requires_grad()) connect(*node, static_cast<int>(i), inputs[i]);
  return wrap_node(node);
}

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
    {"register_hook", kMethod, "input, hook", register_hook,
     "fn(grad) -> new grad or None, when the gradient arrives."},
    {"register_post_accumulate_grad_hook", kMethod, "input, hook", register_post_accumulate, nullptr},
    {"is_grad_enabled", kStatic | kSettled, "", [](Call&) { return PyBool_FromLong(grad_enabled()); }, nullptr},
    {"set_grad_enabled_", kStatic | kSettled, "mode",
     NONE_AFTER(mode = static_cast<uint8_t>(c.boolean(0, true) ? mode & ~kNoGrad : mode | kNoGrad)), nullptr},
    {"is_inference_mode_enabled", kStatic | kSettled, "",
     [](Call&) { return PyBool_FromLong((mode & kInference) != 0); }, nullptr},
    {"set_inference_", kStatic | kSettled, "mode",
     NONE_AFTER(mode = static_cast<uint8_t>(c.boolean(0, true) ? mode | kInference : mode & ~kInference)), nullptr},
    {"_push_saved_hooks", kStatic, "pack, unpack",
     NONE_AFTER(Py_INCREF(c.v[0]); Py_INCREF(c.v[1]); hook_stack.push_back({c.v[0], c.v[1]}); mode |= kSavedHooks),
     nullptr},
    {"_pop_saved_hooks", kStatic, "", NONE_AFTER((void)c; if (!hook_stack.empty()) {
       auto [a, b] = hook_stack.back();
       hook_stack.pop_back();
       if (hook_stack.empty()) mode = static_cast<uint8_t>(mode & ~kSavedHooks);
       Py_DECREF(a);
       Py_DECREF(b);
     }),
     nullptr},
    {"_set_before_change", kStatic, "hook=None",
     NONE_AFTER(PyObject* hook = c.has(0) ? Py_NewRef(c.v[0]) : nullptr; Py_XSETREF(before_change_hook, hook)),
     "Called with each tensor before it is changed in place, while saved-tensor hooks are active."},
    {"_FunctionNode", kStatic, "ctx, name, inputs", function_node, nullptr},
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

PyObject* wrap_node(const Ptr<Node>& node) {
  if (!node) Py_RETURN_NONE;
  if (node->pyobj) {
    Py_INCREF(node->pyobj);
    return node->pyobj;
  }
  PyTypeObject* type = type_for(node->name());
  PyObject* o = type->tp_alloc(type, 0);
  if (!o) raise_pending();
  node->retain();
  reinterpret_cast<PyNode*>(o)->node = node.get();
  node->pyobj = o;
  return o;
}

bool init_autograd(PyObject* module) {
  node_base = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&node_spec));
  handle_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&handle_spec));
  if (!node_base || !handle_type) return false;
  Py_INCREF(node_base);
  Py_INCREF(handle_type);
  if (PyModule_AddObject(module, "Node", reinterpret_cast<PyObject*>(node_base)) < 0) return false;
  if (PyModule_AddObject(module, "RemovableHandle", reinterpret_cast<PyObject*>(handle_type)) < 0) return false;
  engine_hooks = {call_tensor_hook, call_pre_hook, call_post_hook, call_post_accumulate,
                  remember_call,    note_failure,  forward_call,   interrupted};
  saved_hooks = {pack_saved, unpack_saved, before_change};
  return FG_REGISTER(defs, module) && init_forward_functions(module) && init_anomaly(module);
}

}  // namespace fg::py
