// Hooks: of tensors and nodes with the handles that take them out, called by the engine; and those of saved tensors.
#include "python/graph.h"

namespace fg::py {

namespace {

// ---- handles

int64_t next_hook_id = 1;

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

}  // namespace

PyObject* register_node_hook(Node* node, PyObject* fn, bool before) {
  FG_CHECK(PyCallable_Check(fn), Type, "register_hook: a callable is needed, not ", Py_TYPE(fn)->tp_name);
  NodeExtra& more = node->more();
  int64_t id = next_hook_id++;
  (before ? more.pre_hooks : more.post_hooks).push_back({id, Py_NewRef(fn)});
  return make_handle(more.home, nullptr, &more, id);
}

PyObject* tuple_of(const Tensor* g, int n) {
  Owned out(PyTuple_New(n));
  for (int i = 0; i < n; ++i) PyTuple_SET_ITEM(out.o, i, wrap(g[i]));
  return out.give();
}

namespace {

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

// ---- called by the engine

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

// ---- of saved tensors

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

PyObject* push_saved_hooks(Call& c) {
  hook_stack.push_back({Py_NewRef(c.v[0]), Py_NewRef(c.v[1])});
  mode |= kSavedHooks;
  Py_RETURN_NONE;
}
PyObject* pop_saved_hooks(Call&) {
  if (hook_stack.empty()) Py_RETURN_NONE;
  auto [pack, unpack] = hook_stack.back();
  hook_stack.pop_back();
  if (hook_stack.empty()) mode = static_cast<uint8_t>(mode & ~kSavedHooks);
  Py_DECREF(pack);
  Py_DECREF(unpack);
  Py_RETURN_NONE;
}
PyObject* set_before_change(Call& c) {
  Py_XSETREF(before_change_hook, c.has(0) ? Py_NewRef(c.v[0]) : nullptr);
  Py_RETURN_NONE;
}

constexpr FunctionDef defs[] = {
    {"register_hook", kMethod, "input, hook", register_hook,
     "fn(grad) -> new grad or None, when the gradient arrives."},
    {"register_post_accumulate_grad_hook", kMethod, "input, hook", register_post_accumulate, nullptr},
    {"_push_saved_hooks", kStatic, "pack, unpack", push_saved_hooks, nullptr},
    {"_pop_saved_hooks", kStatic, "", pop_saved_hooks, nullptr},
    {"_set_before_change", kStatic, "hook=None", set_before_change,
     "Called with each tensor before it is changed in place, while saved-tensor hooks are active."},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_hooks(PyObject* module) {
  handle_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&handle_spec));
  if (!handle_type) return false;
  Py_INCREF(handle_type);
  if (PyModule_AddObject(module, "RemovableHandle", reinterpret_cast<PyObject*>(handle_type)) < 0) return false;
  engine_hooks = {call_tensor_hook, call_pre_hook, call_post_hook, call_post_accumulate,
                  remember_call,    note_failure,  forward_call,   interrupted};
  saved_hooks = {pack_saved, unpack_saved, before_change};
  return FG_REGISTER(defs, module);
}

}  // namespace fg::py
