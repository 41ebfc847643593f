// Custom functions: the node that calls their gradient, and the usual case of Function.apply.
//
// fastgrad.autograd.function says what a Function does; its methods `_apply_in_full`, `_finish`, `_save`, `_apply` and
// `_checked` are the definition. Here are calls without keywords, modes, setup_context, changes in place and
// results that were there before; whatever is not of that form goes to the method.
#include "python/graph.h"

namespace fg::py {

namespace {

// Names of attributes, and what BackwardCFunction and Function have under them.
struct Names {
  PyObject *backward, *vjp, *forward, *setup_context, *backward_cls, *forward_cls, *needs_input_grad, *to_save,
      *dirty_tensors, *non_differentiable, *inputs, *outputs, *saved, *node, *apply, *checked, *release;
} names;
PyObject *base_backward = nullptr, *base_setup_context = nullptr, *base_apply = nullptr;
PyObject* empty_tuple = nullptr;

// ---- backward

Owned attribute(PyObject* o, PyObject* name) { return Owned(PyObject_GetAttr(o, name)); }
void set(PyObject* o, PyObject* name, PyObject* value) {
  if (PyObject_SetAttr(o, name, value) < 0) raise_pending();
}
bool is_plain(PyObject* o) { return is_plain_type(Py_TYPE(o)); }

// (shape, dtype, device) of a tensor, None of anything else: what a gradient is held against.
PyObject* description(PyObject* o) {
  if (!is_tensor(o)) return Py_NewRef(Py_None);
  const Tensor& t = borrow(o);
  Owned out(PyTuple_New(3));
  PyTuple_SET_ITEM(out.o, 0, wrap_sizes(t.sizes()));
  PyTuple_SET_ITEM(out.o, 1, wrap_dtype(t.dtype()));
  PyTuple_SET_ITEM(out.o, 2, wrap_device(t.device()));
  return out.give();
}
bool fits(PyObject* o, PyObject* about) {
  if (!is_plain(o) || !PyTuple_Check(about) || PyTuple_GET_SIZE(about) != 3) return false;
  const Tensor& t = borrow(o);
  Owned sizes(wrap_sizes(t.sizes())), device(wrap_device(t.device()));
  Owned dtype(wrap_dtype(t.dtype()));
  const auto equal = [](PyObject* a, PyObject* b) {
    const int same = PyObject_RichCompareBool(a, b, Py_EQ);
    if (same < 0) PyErr_Clear();
    return same == 1;
  };
  return equal(sizes.o, PyTuple_GET_ITEM(about, 0)) && dtype.o == PyTuple_GET_ITEM(about, 1) &&
         equal(device.o, PyTuple_GET_ITEM(about, 2));
}

// The gradients that backward gave as they stand, one for each tensor input; null without an error where there is more
// to do than to pick them.
PyObject* picked(PyObject* ctx, PyObject* found) {
  Owned inputs(attribute(ctx, names.inputs)), needs(attribute(ctx, names.needs_input_grad));
  if (!PyTuple_Check(inputs.o) || !PyTuple_Check(needs.o)) return nullptr;
  const Py_ssize_t n = PyTuple_GET_SIZE(inputs.o);
  const bool several = PyTuple_Check(found);
  if (PyTuple_GET_SIZE(needs.o) != n || (several ? PyTuple_GET_SIZE(found) : 1) != n) return nullptr;
  PyObject* taken[64];
  Py_ssize_t count = 0;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject *g = several ? PyTuple_GET_ITEM(found, i) : found, *about = PyTuple_GET_ITEM(inputs.o, i);
    if (about == Py_None) {
      if (g != Py_None) return nullptr;
      continue;
    }
    if (g == Py_None || PyTuple_GET_ITEM(needs.o, i) != Py_True) g = Py_None;
    else if (!fits(g, about)) return nullptr;
    if (count == std::ssize(taken)) return nullptr;
    taken[count++] = g;
  }
  Owned out(PyTuple_New(count));
  for (Py_ssize_t i = 0; i < count; ++i) PyTuple_SET_ITEM(out.o, i, Py_NewRef(taken[i]));
  return out.give();
}

// What ctx._apply(grads, node) gives.
PyObject* gradients(PyObject* ctx, PyObject* grads, PyObject* node) {
  const auto in_full = [&] { return PyObject_CallMethodObjArgs(ctx, names.apply, grads, node, nullptr); };
  if (!base_apply || _PyType_Lookup(Py_TYPE(ctx), names.apply) != base_apply) return in_full();
  const Py_ssize_t n = PyTuple_GET_SIZE(grads);
  for (Py_ssize_t i = 0; i < n; ++i)
    if (PyTuple_GET_ITEM(grads, i) == Py_None) return in_full();  // to be filled in, perhaps
  Owned cls(attribute(ctx, names.forward_cls)), backward(attribute(cls.o, names.backward));
  Owned vjp(attribute(cls.o, names.vjp));
  if (n > 30 || backward.o == base_backward || vjp.o != base_backward) return in_full();
  PyObject* args[32] = {nullptr, ctx};
  for (Py_ssize_t i = 0; i < n; ++i) args[2 + i] = PyTuple_GET_ITEM(grads, i);
  set(ctx, names.node, node);
  Ref found(
      PyObject_Vectorcall(backward.o, args + 1, static_cast<size_t>(1 + n) | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
  if (!found.o) {
    PyObject *kind, *error, *traceback;
    PyErr_Fetch(&kind, &error, &traceback);
    if (PyObject_SetAttr(ctx, names.node, Py_None) < 0) PyErr_Clear();
    PyErr_Restore(kind, error, traceback);
    return nullptr;
  }
  set(ctx, names.node, Py_None);
  if (PyObject* out = picked(ctx, found.o)) return out;
  Owned all(PyTuple_Check(found.o) ? Py_NewRef(found.o) : PyTuple_Pack(1, found.o));
  return PyObject_CallMethodOneArg(ctx, names.checked, all.o);
}

struct FunctionNode final : Node {
  std::string name_;
  PyObject* ctx = nullptr;
  ~FunctionNode() override {
    if (ctx) py_hooks.drop(ctx);
  }
  const char* name() const override { return name_.c_str(); }
  PyObject* python() override { return ctx; }
  void release_saved() override {
    PyObject* r = PyObject_CallMethodNoArgs(ctx, names.release);
    if (!r) PyErr_WriteUnraisable(ctx);
    Py_XDECREF(r);
  }
  void apply(Tensor* g, Tensor* gx) override {
    Owned grads(tuple_of(g, n_inputs)), self(wrap_node(Ptr<Node>(this)));
    Owned result(gradients(ctx, grads.o, self.o));
    FG_CHECK(PyTuple_Check(result.o) && PyTuple_GET_SIZE(result.o) == n_edges, Runtime, name_, ": _apply must return ",
             n_edges, " gradients");
    for (int i = 0; i < n_edges; ++i) {
      PyObject* o = PyTuple_GET_ITEM(result.o, i);
      if (o == Py_None || !wants(i)) continue;
      FG_CHECK(is_tensor(o), Type, name_, ": gradient ", i, " must be a Tensor or None, not ", Py_TYPE(o)->tp_name);
      gx[i] = unwrap(o);
    }
  }
};

Ptr<FunctionNode> make_function_node(PyObject* ctx, const char* name, PyObject* const* inputs, Py_ssize_t n) {
  auto node = Ptr<FunctionNode>::adopt(new FunctionNode);
  node->ctx = Py_NewRef(ctx);
  node->name_ = name;
  node->set_edges(static_cast<int>(n));
  for (Py_ssize_t i = 0; i < n; ++i)
    if (is_tensor(inputs[i]) && borrow(inputs[i]).requires_grad())
      connect(*node, static_cast<int>(i), borrow(inputs[i]));
  return node;
}

PyObject* function_node(Call& c) {
  Owned inputs(PySequence_Fast(c.v[2], "a sequence of tensors is needed"));
  return wrap_node(make_function_node(c.v[0], c.text(1, "Function"), PySequence_Fast_ITEMS(inputs.o),
                                      PySequence_Fast_GET_SIZE(inputs.o)));
}

// ---- forward

struct GradBit {  // no recording inside; the other bits are left as they are
  const uint8_t before = mode & kNoGrad;
  GradBit() { mode |= kNoGrad; }
  ~GradBit() { mode = static_cast<uint8_t>((mode & ~kNoGrad) | before); }
};

bool contains(PyObject* const* items, Py_ssize_t n, PyObject* o) {
  for (Py_ssize_t i = 0; i < n; ++i)
    if (items[i] == o) return true;
  return false;
}

// Results that are fresh plain tensors, or no tensors; nothing was marked as changed.
bool simple_outputs(PyObject* ctx, PyObject* const* args, Py_ssize_t n, PyObject* outputs) {
  Owned dirty(attribute(ctx, names.dirty_tensors)), constant(attribute(ctx, names.non_differentiable));
  if (dirty.o != empty_tuple || !PyTuple_Check(constant.o)) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(outputs); ++i) {
    PyObject* o = PyTuple_GET_ITEM(outputs, i);
    if (!is_tensor(o)) continue;
    if (Py_TYPE(o) != tensor_type || borrow(o).requires_grad() || contains(args, n, o)) return false;
    for (Py_ssize_t k = 0; k < i; ++k)
      if (PyTuple_GET_ITEM(outputs, k) == o) return false;
  }
  return true;
}

void save(PyObject* ctx, PyObject* outputs) {
  Owned kept(attribute(ctx, names.to_save));
  const Py_ssize_t n = PyTuple_Check(kept.o) ? PyTuple_GET_SIZE(kept.o) : 0;
  bool plain = PyTuple_Check(kept.o);
  for (Py_ssize_t i = 0; i < n; ++i)
    plain &= PyTuple_GET_ITEM(kept.o, i) == Py_None || is_tensor(PyTuple_GET_ITEM(kept.o, i));
  if (!plain) {  // which may say what is wrong
    Owned done(PyObject_CallMethod(ctx, "_save", "OO", outputs, outputs));
    return;
  }
  Owned saved(PyTuple_New(n));
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* t = PyTuple_GET_ITEM(kept.o, i);
    if (t == Py_None) {
      PyTuple_SET_ITEM(saved.o, i, Py_NewRef(t));
      continue;
    }
    Owned output(Py_NewRef(Py_None));
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(outputs); ++k)
      if (PyTuple_GET_ITEM(outputs, k) == t) {
        Py_SETREF(output.o, PyLong_FromSsize_t(k));
        if (!output.o) raise_pending();
      }
    PyTuple_SET_ITEM(saved.o, i, make_saved(t, output.o));
  }
  set(ctx, names.saved, saved.o);
  set(ctx, names.to_save, empty_tuple);
}

// The results of forward with their place in the graph; as BackwardCFunction._finish.
void finish(PyObject* ctx, PyObject* const* args, Py_ssize_t n, PyObject* const* tensors, Py_ssize_t n_tensors,
            PyObject* outputs) {
  const Py_ssize_t count = PyTuple_GET_SIZE(outputs);
  FG_CHECK(count < 65536, Runtime, "a function has at most 65535 outputs");
  Ptr<FunctionNode> node = make_function_node(ctx, Py_TYPE(ctx)->tp_name, tensors, n_tensors);
  node->n_inputs = static_cast<int32_t>(count);
  Owned of_inputs(PyTuple_New(n)), of_outputs(PyTuple_New(count)), constant(attribute(ctx, names.non_differentiable));
  PyObject** constants = &PyTuple_GET_ITEM(constant.o, 0);
  for (Py_ssize_t i = 0; i < n; ++i) PyTuple_SET_ITEM(of_inputs.o, i, description(args[i]));
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* o = PyTuple_GET_ITEM(outputs, i);
    if (is_tensor(o) && is_inexact(borrow(o).dtype()) && !contains(constants, PyTuple_GET_SIZE(constant.o), o)) {
      set_history(borrow(o), node, static_cast<uint32_t>(i));
      if (borrow(o).is_view()) borrow(o).meta().view_kind = ViewKind::CustomFunction;
      if (!PyObject_GC_IsTracked(o)) PyObject_GC_Track(o);
    }
    PyTuple_SET_ITEM(of_outputs.o, i, description(o));
  }
  set(ctx, names.inputs, of_inputs.o);
  set(ctx, names.outputs, of_outputs.o);
  if (constant.o != empty_tuple) set(ctx, names.non_differentiable, empty_tuple);
  save(ctx, outputs);
}

// _function_apply(cls, *args, **kwargs)
PyObject* apply(PyObject*, PyObject* const* all, Py_ssize_t n, PyObject* keywords) {
  FG_TRY
  FG_CHECK(n > 0 && PyType_Check(all[0]) && base_apply, Type, "apply: a Function is needed");
  PyObject* cls = all[0];
  PyObject* const* args = all + 1;
  constexpr Py_ssize_t kMost = 30;
  PyObject* tensors[kMost];
  Py_ssize_t n_tensors = 0;
  bool usual = --n <= kMost && !keywords && !(mode & (kForward | kSavedHooks | kTorchFunction)) &&
               _PyType_Lookup(reinterpret_cast<PyTypeObject*>(cls), names.setup_context) == base_setup_context;
  for (Py_ssize_t i = 0; usual && i < n; ++i) {
    usual = !may_override(args[i]);
    if (usual && is_tensor(args[i])) tensors[n_tensors++] = args[i];
  }
  if (!usual) {
    Owned in_full(PyObject_GetAttrString(cls, "_apply_in_full"));
    return PyObject_Vectorcall(in_full.o, args, static_cast<size_t>(n), keywords);
  }
  Owned type(attribute(cls, names.backward_cls)), ctx(PyObject_CallNoArgs(type.o)), needs(PyTuple_New(n));
  bool any = false;
  for (Py_ssize_t i = 0; i < n; ++i) {
    const bool wanted = is_tensor(args[i]) && borrow(args[i]).requires_grad();
    any |= wanted;
    PyTuple_SET_ITEM(needs.o, i, Py_NewRef(wanted ? Py_True : Py_False));
  }
  set(ctx.o, names.needs_input_grad, needs.o);
  Owned forward(attribute(cls, names.forward));
  PyObject* given[kMost + 2] = {nullptr, ctx.o};
  for (Py_ssize_t i = 0; i < n; ++i) given[2 + i] = args[i];
  Ref output(nullptr);
  {
    GradBit off;
    output.o =
        PyObject_Vectorcall(forward.o, given + 1, static_cast<size_t>(1 + n) | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  }
  if (!output.o) return nullptr;
  const bool several = PyTuple_Check(output.o);
  Owned outputs(several ? Py_NewRef(output.o) : PyTuple_Pack(1, output.o));
  if (simple_outputs(ctx.o, args, n, outputs.o)) {
    if (any && grad_enabled()) finish(ctx.o, args, n, tensors, n_tensors, outputs.o);
    else set(ctx.o, names.to_save, empty_tuple);
    if (!several || PyTuple_CheckExact(output.o)) return output.give();
    return PySequence_Tuple(output.o);
  }
  Owned in(PyTuple_New(n)), inputs(PyTuple_New(n_tensors));
  for (Py_ssize_t i = 0; i < n; ++i) PyTuple_SET_ITEM(in.o, i, Py_NewRef(args[i]));
  for (Py_ssize_t i = 0; i < n_tensors; ++i) PyTuple_SET_ITEM(inputs.o, i, Py_NewRef(tensors[i]));
  Owned results(PyObject_CallMethod(ctx.o, "_finish", "OOO", in.o, outputs.o, inputs.o));
  return several ? PySequence_Tuple(results.o) : PySequence_GetItem(results.o, 0);
  FG_CATCH
}

// _set_function_parts(Function, BackwardCFunction, stale, with_history): what the usual cases are told by.
PyObject* set_parts(Call& c) {
  Owned backward(PyObject_GetAttr(c.v[0], names.backward));
  PyObject* setup = _PyType_Lookup(reinterpret_cast<PyTypeObject*>(c.v[0]), names.setup_context);
  PyObject* own = _PyType_Lookup(reinterpret_cast<PyTypeObject*>(c.v[1]), names.apply);
  FG_CHECK(setup && own, Type, "_set_function_parts: Function and BackwardCFunction are needed");
  base_backward = backward.give();
  base_setup_context = Py_NewRef(setup), base_apply = Py_NewRef(own);
  set_saved_parts(c.v[2], c.v[3]);
  Py_RETURN_NONE;
}

constexpr FunctionDef defs[] = {
    {"_FunctionNode", kStatic, "ctx, name, inputs", function_node, nullptr},
    {"_set_function_parts", kStatic | kSettled, "function, context, stale, with_history", set_parts, nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

PyMethodDef methods[] = {{"_function_apply", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(apply)),
                          METH_FASTCALL | METH_KEYWORDS,
                          "_function_apply($module, cls, *args, **kwargs)\n--\n\nRun the function and record it."},
                         {nullptr, nullptr, 0, nullptr}};

}  // namespace

bool init_function_call(PyObject* module) {
  struct Named {
    PyObject** name;
    const char* text;
  };
  for (const Named& each : {Named{&names.backward, "backward"},
                            {&names.vjp, "vjp"},
                            {&names.forward, "forward"},
                            {&names.setup_context, "setup_context"},
                            {&names.backward_cls, "_backward_cls"},
                            {&names.forward_cls, "_forward_cls"},
                            {&names.needs_input_grad, "needs_input_grad"},
                            {&names.to_save, "to_save"},
                            {&names.dirty_tensors, "dirty_tensors"},
                            {&names.non_differentiable, "non_differentiable"},
                            {&names.inputs, "_inputs"},
                            {&names.outputs, "_outputs"},
                            {&names.saved, "_saved"},
                            {&names.node, "_node"},
                            {&names.apply, "_apply"},
                            {&names.checked, "_checked"},
                            {&names.release, "_release"}})
    if (!(*each.name = PyUnicode_InternFromString(each.text))) return false;
  empty_tuple = PyTuple_New(0);
  return empty_tuple && init_saved_tensor(module) && PyModule_AddFunctions(module, methods) == 0 &&
         FG_REGISTER(defs, module);
}

}  // namespace fg::py
