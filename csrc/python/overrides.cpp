// Who overrides a call, and in which order they are asked. Start at collect() and dispatch().
#include "python/overrides.h"

#include <structmember.h>

#include <functional>
#include <vector>

#include "ops/autocast.h"
#include "python/args.h"
#include "python/native_case.h"

namespace fg::py {

namespace {

PyObject* method_name = nullptr;    // "__torch_function__"
PyObject* disabled_impl = nullptr;  // the value of that attribute which means: no override

thread_local bool subclasses_disabled = false;   // DisableTorchFunctionSubclass
thread_local bool everything_disabled = false;   // DisableTorchFunction
thread_local std::vector<PyObject*> mode_stack;  // TorchFunctionModes, owned

void set_mode_bit() {
  bool on = !mode_stack.empty() && !everything_disabled;
  mode = static_cast<uint8_t>(on ? mode | kTorchFunction : mode & ~kTorchFunction);
}

bool overrides(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  if (is_plain_type(type) || !(type->tp_flags & Py_TPFLAGS_HEAPTYPE)) return false;
  if (subclasses_disabled || everything_disabled || type == dtype_type || type == device_type ||
      reinterpret_cast<PyObject*>(type) == size_type)
    return false;
  PyObject* found = _PyType_Lookup(type, method_name);
  return found && found != disabled_impl;
}

// Calls visit(object) for each argument and each item of a list or tuple, until it returns true.
template <class F> bool each_argument(PyObject* const* args, Py_ssize_t count, F visit) {
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* o = args[i];
    if (!may_override(o)) continue;
    if (overrides(o)) {
      if (visit(o)) return true;
    } else if (PyTuple_Check(o) || PyList_Check(o)) {
      Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
      for (Py_ssize_t k = 0; k < n && k < PySequence_Fast_GET_SIZE(o); ++k) {
        PyObject* item = PySequence_Fast_GET_ITEM(o, k);
        if (may_override(item) && overrides(item) && visit(item)) return true;
      }
    }
  }
  return false;
}

// One argument of each overriding type, in the order of the call, but subclasses before their bases.
struct Overriding {
  std::vector<PyObject*> objects;  // owned: an override may change the list an object came from
  Overriding() = default;
  Overriding(const Overriding&) = delete;
  ~Overriding() {
    for (PyObject* o : objects) Py_DECREF(o);
  }
  bool operator()(PyObject* o) {
    PyTypeObject* type = Py_TYPE(o);
    for (PyObject* other : objects)
      if (Py_TYPE(other) == type) return false;
    size_t at = 0;
    while (at < objects.size() && !PyType_IsSubtype(type, Py_TYPE(objects[at]))) ++at;
    objects.insert(objects.begin() + at, Py_NewRef(o));
    return false;
  }
};

PyObject* call_override(PyObject* owner, PyObject* func, PyObject* types, PyObject* args, PyObject* kwargs) {
  Ref method(PyObject_GetAttr(owner, method_name));
  if (!method.o) return nullptr;
  PyObject* all[] = {func, types, args, kwargs ? kwargs : Py_None};
  return PyObject_Vectorcall(method.o, all, 4, nullptr);
}

// The top mode is asked with the ones below it in force.
class BelowTopMode {
 public:
  BelowTopMode() : top(mode_stack.back()) {
    mode_stack.pop_back();
    set_mode_bit();
  }
  ~BelowTopMode() {
    mode_stack.push_back(top);
    set_mode_bit();
  }
  PyObject* top;
};

PyObject* declined(PyObject* func, PyObject* types) {
  Ref name(PyObject_GetAttrString(func, "__name__"));
  if (!name.o) PyErr_Clear();
  PyErr_Format(PyExc_TypeError,
               "no implementation found for '%S' on types that implement __torch_function__: %R: each of them returned "
               "NotImplemented",
               name.o ? name.o : func, types);
  return nullptr;
}

PyObject* dispatch_to(const std::vector<PyObject*>& objects, PyObject* func, PyObject* args, PyObject* kwargs,
                      bool operation) {
  Ref types(PyTuple_New(static_cast<Py_ssize_t>(objects.size())));
  if (!types.o) return nullptr;
  for (size_t i = 0; i < objects.size(); ++i)
    PyTuple_SET_ITEM(types.o, i, Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(objects[i]))));
  if (mode & kTorchFunction) {
    BelowTopMode below;
    PyObject* result = call_override(below.top, func, types.o, args, kwargs);
    if (result != Py_NotImplemented) return result;
    Py_DECREF(result);
  }
  for (PyObject* o : objects) {
    PyObject* result = call_override(o, func, types.o, args, kwargs);
    if (result != Py_NotImplemented) return result;
    Py_DECREF(result);
  }
  if (operation) Py_RETURN_NOTIMPLEMENTED;
  return declined(func, types.o);
}

}  // namespace

bool overridden(PyObject* const* args, Py_ssize_t count) {
  if (mode & kTorchFunction) return true;
  return each_argument(args, count, [](PyObject*) { return true; });
}

PyObject* dispatch(PyObject* func, PyObject* args, PyObject* kwargs, bool operation) {
  Overriding found;
  each_argument(&PyTuple_GET_ITEM(args, 0), PyTuple_GET_SIZE(args), std::ref(found));
  if (kwargs) {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(kwargs, &at, &key, &value)) each_argument(&value, 1, std::ref(found));
  }
  return dispatch_to(found.objects, func, args, kwargs, operation);
}

bool pack_call(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* keywords, PyObject*& packed,
               PyObject*& kwargs) {
  Py_ssize_t first = self ? 1 : 0, named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  packed = PyTuple_New(first + n);
  kwargs = packed && named ? PyDict_New() : nullptr;
  if (!packed || (named && !kwargs)) return false;
  if (self) PyTuple_SET_ITEM(packed, 0, Py_NewRef(self));
  for (Py_ssize_t i = 0; i < n; ++i) PyTuple_SET_ITEM(packed, first + i, Py_NewRef(args[i]));
  for (Py_ssize_t i = 0; i < named; ++i)
    if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(keywords, i), args[n + i]) < 0) return false;
  return true;
}

PyObject* dispatch_call(PyObject* func, PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* keywords) {
  Ref packed(nullptr), kwargs(nullptr);
  if (!pack_call(self, args, n, keywords, packed.o, kwargs.o)) return nullptr;
  return dispatch(func, packed.o, kwargs.o);
}

thread_local PyObject* random_hook = nullptr;

PyObject* call_random_hook(PyObject* func, PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* keywords) {
  Ref packed(nullptr), kwargs(nullptr);
  if (!pack_call(self, args, n, keywords, packed.o, kwargs.o)) return nullptr;
  if (!kwargs.o && !(kwargs.o = PyDict_New())) return nullptr;
  Ref hook(Py_NewRef(random_hook));
  return PyObject_CallFunctionObjArgs(hook.o, func, packed.o, kwargs.o, nullptr);
}

PyObject* dispatch_slot(const char* name, std::initializer_list<PyObject*> args, bool operation) {
  Ref func(PyObject_GetAttrString(reinterpret_cast<PyObject*>(tensor_type), name));
  Ref all(func.o ? PyTuple_New(static_cast<Py_ssize_t>(args.size())) : nullptr);
  if (!all.o) return nullptr;
  Py_ssize_t i = 0;
  for (PyObject* o : args) PyTuple_SET_ITEM(all.o, i++, Py_NewRef(o));
  PyObject* result = dispatch(func.o, all.o, nullptr, operation);
  if (result || !operation || !PyErr_ExceptionMatches(PyExc_TypeError)) return result;
  PyErr_Clear();  // the method refuses an operand that the operator would have passed on
  Py_RETURN_NOTIMPLEMENTED;
}

PyObject* dispatch_attribute(const char* name, const char* access, PyObject* self, PyObject* value) {
  Ref attribute(PyObject_GetAttrString(reinterpret_cast<PyObject*>(tensor_type), name));
  Ref func(attribute.o ? PyObject_GetAttrString(attribute.o, access) : nullptr);
  Ref all(!func.o ? nullptr : value ? PyTuple_Pack(2, self, value) : PyTuple_Pack(1, self));
  return all.o ? dispatch(func.o, all.o, nullptr) : nullptr;
}

// ---- functions written in Python

namespace {

// A function of Python that honours overrides: what fastgrad publishes in place of the function itself. It is called,
// bound as a method, pickled and inspected like the function.
struct Overridable {
  PyObject_HEAD PyObject* fn;
  PyObject* module;    // where it is published: the name of a module, or a class
  PyObject* reported;  // what overrides are told to be called, when that is not this object: Tensor.H.__get__
  PyObject* weakrefs;
  vectorcallfunc call;
  NativeCase* usual;  // what most calls are, owned, or null
  bool spellings;     // NumPy's names of keywords are taken
  bool float32;       // in an autocast region on the CPU it works in float32
};

Overridable* overridable(PyObject* o) { return reinterpret_cast<Overridable*>(o); }

// Whether NumPy's spellings of keywords are taken: torch has the methods and the functions of these modules natively.
bool takes_spellings(PyObject* home) {
  if (home && PyType_Check(home)) return true;
  if (!home || !PyUnicode_Check(home)) return false;
  for (const char* name : {"fastgrad", "fastgrad.fft", "fastgrad.linalg", "fastgrad.special"})
    if (PyUnicode_CompareWithASCIIString(home, name) == 0) return true;
  return false;
}
bool takes(PyCodeObject* code, const char* name) {
  Ref names(PyCode_GetVarnames(code));
  for (int i = 0; names.o && i < code->co_argcount + code->co_kwonlyargcount; ++i)
    if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names.o, i), name) == 0) return true;
  return false;
}
// The keywords with those names replaced, or null: nothing to do.
PyObject* respelled(PyObject* fn, PyObject* keywords) {
  PyCodeObject* code = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(fn));
  PyObject* out = nullptr;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords); ++i) {
    const char* name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(keywords, i));
    const char* plain = name ? plain_spelling(name) : nullptr;
    if (!plain || takes(code, name) || !takes(code, plain)) continue;
    if (!out) out = PyTuple_New(PyTuple_GET_SIZE(keywords));
    if (!out) return nullptr;
    PyTuple_SET_ITEM(out, i, PyUnicode_InternFromString(plain));
  }
  for (Py_ssize_t i = 0; out && i < PyTuple_GET_SIZE(keywords); ++i)
    if (!PyTuple_GET_ITEM(out, i)) PyTuple_SET_ITEM(out, i, Py_NewRef(PyTuple_GET_ITEM(keywords, i)));
  return out;
}

// An argument that lacks what a tensor has gives the TypeError that native functions give. The AttributeError that is
// set says which object it was.
PyObject* junk_as_type_error(PyObject* fn, PyObject* const* args, Py_ssize_t n) {
  PyObject *kind, *error, *traceback;
  PyErr_Fetch(&kind, &error, &traceback);
  PyErr_NormalizeException(&kind, &error, &traceback);
  PyObject* culprit = error ? reinterpret_cast<PyAttributeErrorObject*>(error)->obj : nullptr;
  bool junk = false;
  for (Py_ssize_t i = 0; culprit && !is_tensor(culprit) && i < n && !junk; ++i) {
    junk = args[i] == culprit;
    if (!PyList_Check(args[i]) && !PyTuple_Check(args[i])) continue;
    PyObject** items = PySequence_Fast_ITEMS(args[i]);
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(args[i]); ++k) junk |= items[k] == culprit;
  }
  if (!junk) {
    PyErr_Restore(kind, error, traceback);
    return nullptr;
  }
  Ref name(PyObject_GetAttrString(fn, "__name__"));
  if (name.o) PyErr_Format(PyExc_TypeError, "%U(): expected a Tensor, but got %s", name.o, Py_TYPE(culprit)->tp_name);
  Py_XDECREF(kind);
  Py_XDECREF(error);
  Py_XDECREF(traceback);
  return nullptr;
}

// A keyword that the function does not take: the error names the nearest one.
PyObject* keyword_error(PyObject* fn, PyObject* keywords) {
  PyObject *kind, *error, *traceback;
  PyErr_Fetch(&kind, &error, &traceback);
  PyObject* text = nullptr;
  if (!traceback) {  // else the function has begun to run
    Ref module(PyImport_ImportModule("fastgrad._missing"));
    text = module.o ? PyObject_CallMethod(module.o, "misspelled", "OO", fn, keywords) : nullptr;
    PyErr_Clear();
  }
  if (text && text != Py_None) {
    PyErr_SetObject(PyExc_TypeError, text);
    Py_XDECREF(kind);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
  } else {
    PyErr_Restore(kind, error, traceback);
  }
  Py_XDECREF(text);
  return nullptr;
}

PyObject* call_function(PyObject* fn, PyObject* const* args, size_t flagged, PyObject* keywords) {
  return PyFunction_Check(fn) ? reinterpret_cast<PyFunctionObject*>(fn)->vectorcall(fn, args, flagged, keywords)
                              : PyObject_Vectorcall(fn, args, flagged, keywords);
}

// The function outside of the region, its tensors of half precision widened.
PyObject* call_in_float32(PyObject* fn, PyObject* const* args, Py_ssize_t n, Py_ssize_t all, PyObject* keywords) {
  FG_TRY
  std::vector<PyObject*> wide(args, args + all), made;
  for (PyObject*& arg : wide)
    if (is_tensor(arg) && autocasting(borrow(arg)) && borrow(arg).device().is_cpu())
      if (Tensor t = to_float(borrow(arg)); !t.is_same(borrow(arg))) made.push_back(arg = wrap(t));
  ModeGuard guard(static_cast<uint8_t>(mode & ~kAutocast));
  PyObject* result = call_function(fn, wide.data(), static_cast<size_t>(n), keywords);
  for (PyObject* t : made) Py_DECREF(t);
  return result;
  FG_CATCH
}

PyObject* overridable_call(PyObject* self, PyObject* const* args, size_t flagged, PyObject* keywords) {
  Overridable* f = overridable(self);
  Py_ssize_t n = PyVectorcall_NARGS(flagged), all = n + (keywords ? PyTuple_GET_SIZE(keywords) : 0);
  if (check_overridden(args, all)) {
    PyObject* func = f->reported ? f->reported : self;
    if (keywords && PyTuple_GET_SIZE(keywords)) return dispatch_call(func, nullptr, args, n, keywords);
    Ref packed(PyTuple_New(n)), kwargs(PyDict_New());  // torch hands an empty dict to overrides of Python functions
    if (!packed.o || !kwargs.o) return nullptr;
    for (Py_ssize_t i = 0; i < n; ++i) PyTuple_SET_ITEM(packed.o, i, Py_NewRef(args[i]));
    return dispatch(func, packed.o, kwargs.o);
  }
  const bool in_float32 = f->float32 && mode & kAutocast;
  if (f->usual && !in_float32 && !random_hook) {
    PyObject* result = f->usual->call(args, n, keywords);
    if (result || PyErr_Occurred()) return result;
  }
  Ref plain(keywords && f->spellings && PyFunction_Check(f->fn) ? respelled(f->fn, keywords) : nullptr);
  if (plain.o) keywords = plain.o;
  PyObject* result =
      in_float32 ? call_in_float32(f->fn, args, n, all, keywords) : call_function(f->fn, args, flagged, keywords);
  if (!result && PyErr_ExceptionMatches(PyExc_AttributeError)) return junk_as_type_error(f->fn, args, all);
  if (!result && keywords && PyErr_ExceptionMatches(PyExc_TypeError)) return keyword_error(f->fn, keywords);
  return result;
}

PyObject* overridable_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"fn", "module", nullptr};
  PyObject *fn, *module = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O", const_cast<char**>(names), &fn, &module)) return nullptr;
  if (!PyCallable_Check(fn)) {
    PyErr_SetString(PyExc_TypeError, "a function is needed");
    return nullptr;
  }
  PyObject* self = type->tp_alloc(type, 0);
  if (!self) return nullptr;
  overridable(self)->fn = Py_NewRef(fn);
  overridable(self)->module = module ? Py_NewRef(module) : PyObject_GetAttrString(fn, "__module__");
  overridable(self)->call = overridable_call;
  overridable(self)->spellings = takes_spellings(overridable(self)->module);
  return self;
}

int overridable_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(overridable(self)->fn);
  Py_VISIT(overridable(self)->module);
  Py_VISIT(overridable(self)->reported);
  return 0;
}
int overridable_clear(PyObject* self) {
  Py_CLEAR(overridable(self)->reported);
  return 0;
}
void overridable_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  Overridable* f = overridable(self);
  if (f->weakrefs) PyObject_ClearWeakRefs(self);
  Py_CLEAR(f->reported);
  Py_CLEAR(f->fn);
  Py_CLEAR(f->module);
  delete f->usual;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* overridable_get(PyObject* self, PyObject* instance, PyObject*) {
  return instance && instance != Py_None ? PyMethod_New(self, instance) : Py_NewRef(self);
}
PyObject* overridable_getattr(PyObject* self, PyObject* name) {  // what it has not itself is the function's
  PyObject* found = PyObject_GenericGetAttr(self, name);
  if (found || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
  PyErr_Clear();
  return PyObject_GetAttr(overridable(self)->fn, name);
}
PyObject* overridable_repr(PyObject* self) { return PyObject_Repr(overridable(self)->fn); }
PyObject* overridable_reduce(PyObject* self, PyObject*) {
  Ref name(PyObject_GetAttrString(self, "__name__"));
  if (!name.o || !PyType_Check(overridable(self)->module)) return Py_XNewRef(name.o);
  Ref modules(PyImport_ImportModule("builtins"));
  Ref find(modules.o ? PyObject_GetAttrString(modules.o, "getattr") : nullptr);
  return find.o ? Py_BuildValue("O(OO)", find.o, overridable(self)->module, name.o) : nullptr;
}
PyObject* from_function(PyObject* self, void* name) {
  return PyObject_GetAttrString(overridable(self)->fn, static_cast<const char*>(name));
}
int refuse_change(PyObject*, PyObject*, void*) {
  PyErr_SetString(PyExc_AttributeError, "read-only attribute");
  return -1;
}
PyObject* get_module(PyObject* self, void*) {
  PyObject* module = overridable(self)->module;
  return PyType_Check(module) ? PyObject_GetAttrString(module, "__module__") : Py_NewRef(module);
}
PyObject* get_wrapped(PyObject* self, void*) { return Py_NewRef(overridable(self)->fn); }
int set_reported(PyObject* self, PyObject* value, void*) {
  Py_XSETREF(overridable(self)->reported, Py_XNewRef(value));
  return 0;
}

int set_float32(PyObject* self, PyObject* value, void*) {
  overridable(self)->float32 = value == Py_True;
  return 0;
}

int set_usual(PyObject* self, PyObject* value, void*) {
  FG_TRY
  FG_CHECK(value && PyTuple_Check(value), Type, "a native case is a tuple");
  delete std::exchange(overridable(self)->usual, new NativeCase(value));
  return 0;
  FG_CATCH_INT
}

char doc_name[] = "__doc__";
PyGetSetDef overridable_getset[] = {{"__module__", get_module, nullptr, nullptr, nullptr},
                                    {"__wrapped__", get_wrapped, nullptr, "The function itself.", nullptr},
                                    {"__doc__", from_function, refuse_change, nullptr, doc_name},
                                    {"reported", nullptr, set_reported, nullptr, nullptr},
                                    {"float32", nullptr, set_float32, nullptr, nullptr},
                                    {"native_case", nullptr, set_usual, nullptr, nullptr},
                                    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef overridable_methods[] = {{"__reduce__", overridable_reduce, METH_NOARGS, nullptr},
                                     {nullptr, nullptr, 0, nullptr}};
PyMemberDef overridable_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Overridable, call), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Overridable, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

#define SLOT(slot, fn) {slot, reinterpret_cast<void*>(fn)}
PyType_Slot overridable_slots[] = {SLOT(Py_tp_new, overridable_new),           SLOT(Py_tp_dealloc, overridable_dealloc),
                                   SLOT(Py_tp_traverse, overridable_traverse), SLOT(Py_tp_clear, overridable_clear),
                                   SLOT(Py_tp_call, PyVectorcall_Call),        SLOT(Py_tp_descr_get, overridable_get),
                                   SLOT(Py_tp_getattro, overridable_getattr),  SLOT(Py_tp_repr, overridable_repr),
                                   SLOT(Py_tp_getset, overridable_getset),     SLOT(Py_tp_methods, overridable_methods),
                                   SLOT(Py_tp_members, overridable_members),   {0, nullptr}};
#undef SLOT
PyType_Spec overridable_spec = {
    "fastgrad._C.Overridable", sizeof(Overridable), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    overridable_slots};

// ---- functions of the module

PyObject* has_torch_function(PyObject*, PyObject* relevant) {
  FG_TRY
  Ref fast(PySequence_Fast(relevant, "has_torch_function: a sequence of arguments is needed"));
  if (!fast.o) return nullptr;
  return PyBool_FromLong(overridden(PySequence_Fast_ITEMS(fast.o), PySequence_Fast_GET_SIZE(fast.o)));
  FG_CATCH
}
PyObject* has_torch_function_unary(PyObject*, PyObject* o) { return PyBool_FromLong(overridden(&o, 1)); }
PyObject* has_torch_function_variadic(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return PyBool_FromLong(overridden(args, n));
}

PyObject* handle_torch_function(PyObject*, PyObject* const* args, Py_ssize_t n) {  // (api, relevant, args, kwargs)
  FG_TRY
  if (n != 4 || !PyTuple_Check(args[2]) || !PyDict_Check(args[3])) {
    PyErr_SetString(PyExc_TypeError, "handle_torch_function: (api, relevant arguments, args, kwargs) are needed");
    return nullptr;
  }
  Ref fast(PySequence_Fast(args[1], "handle_torch_function: a sequence of relevant arguments is needed"));
  if (!fast.o) return nullptr;
  Overriding found;
  each_argument(PySequence_Fast_ITEMS(fast.o), PySequence_Fast_GET_SIZE(fast.o), std::ref(found));
  return dispatch_to(found.objects, args[0], args[2], args[3], false);
  FG_CATCH
}

PyObject* call_disabled(PyObject*, PyObject* const* args, Py_ssize_t n) {  // (func, args, kwargs or None)
  if (n != 3 || !PyTuple_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "(function, args, kwargs) are needed");
    return nullptr;
  }
  bool before = subclasses_disabled;
  subclasses_disabled = true;
  PyObject* result = PyObject_Call(args[0], args[1], args[2] == Py_None ? nullptr : args[2]);
  subclasses_disabled = before;
  return result;
}

PyObject* exchange_disabled(PyObject*, PyObject* const* args,
                            Py_ssize_t n) {  // (subclasses, everything) -> the state before
  if (n != 2) {
    PyErr_SetString(PyExc_TypeError, "two flags are needed");
    return nullptr;
  }
  PyObject* before = Py_BuildValue("(ii)", subclasses_disabled, everything_disabled);
  subclasses_disabled = PyObject_IsTrue(args[0]) == 1;
  everything_disabled = PyObject_IsTrue(args[1]) == 1;
  set_mode_bit();
  return before;
}

PyObject* disabled_torch_function(PyObject*, PyObject* const* args,
                                  Py_ssize_t n) {  // (func, types, args=(), kwargs=None)
  if (n < 2) {
    PyErr_SetString(PyExc_TypeError, "_disabled_torch_function_impl: (func, types, args, kwargs) are needed");
    return nullptr;
  }
  Ref none(PyTuple_New(0));
  PyObject* all[] = {args[0], n > 2 ? args[2] : none.o, n > 3 ? args[3] : Py_None};
  return call_disabled(nullptr, all, 3);
}

PyObject* set_random_hook(PyObject*, PyObject* o) {  // the hook before, which the caller then owns
  PyObject* before = random_hook;
  random_hook = o == Py_None ? nullptr : Py_NewRef(o);
  return before ? before : Py_NewRef(Py_None);
}

// The first example of a batched value, without history: what a BatchedTensor is as a native tensor.
PyObject* as_example(PyObject*, PyObject* const* args, Py_ssize_t n) {
  FG_TRY
  FG_CHECK(n == 2 && is_tensor(args[0]) && PyType_Check(args[1]), Type, "_as_example: (tensor, class) are needed");
  const Tensor& t = borrow(args[0]);
  FG_CHECK(t.dim() > 0, Value, "_as_example: a tensor with a batch dimension is needed");
  return wrap_as(t.alias(t.sizes().subspan(1), t.strides().subspan(1), t.offset()),
                 reinterpret_cast<PyTypeObject*>(args[1]));
  FG_CATCH
}

PyObject* push_mode(PyObject*, PyObject* o) {
  mode_stack.push_back(Py_NewRef(o));
  set_mode_bit();
  Py_RETURN_NONE;
}
PyObject* pop_mode(PyObject*, PyObject*) {
  if (mode_stack.empty()) {
    PyErr_SetString(PyExc_RuntimeError, "no TorchFunctionMode is active");
    return nullptr;
  }
  PyObject* top = mode_stack.back();
  mode_stack.pop_back();
  set_mode_bit();
  return top;
}
PyObject* get_modes(PyObject*, PyObject*) {  // from the outermost
  PyObject* out = PyList_New(static_cast<Py_ssize_t>(mode_stack.size()));
  for (size_t i = 0; out && i < mode_stack.size(); ++i) PyList_SET_ITEM(out, i, Py_NewRef(mode_stack[i]));
  return out;
}

PyCFunction fast(PyObject* (*fn)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fn));
}
PyMethodDef functions[] = {{"_has_torch_function", has_torch_function, METH_O, nullptr},
                           {"_has_torch_function_unary", has_torch_function_unary, METH_O, nullptr},
                           {"_has_torch_function_variadic", fast(has_torch_function_variadic), METH_FASTCALL, nullptr},
                           {"_handle_torch_function", fast(handle_torch_function), METH_FASTCALL, nullptr},
                           {"_call_disabled", fast(call_disabled), METH_FASTCALL,
                            "func(*args, **kwargs) while overrides of subclasses are off."},
                           {"_exchange_disabled", fast(exchange_disabled), METH_FASTCALL, nullptr},
                           {"_disabled_torch_function_impl", fast(disabled_torch_function), METH_FASTCALL,
                            "The value of __torch_function__ of a class that does not override anything."},
                           {"_set_random_hook", set_random_hook, METH_O,
                            "What functions that draw numbers are handed to; returns the one before."},
                           {"_as_example", fast(as_example), METH_FASTCALL, nullptr},
                           {"_push_function_mode", push_mode, METH_O, nullptr},
                           {"_pop_function_mode", pop_mode, METH_NOARGS, nullptr},
                           {"_function_modes", get_modes, METH_NOARGS, nullptr},
                           {nullptr, nullptr, 0, nullptr}};

}  // namespace

bool init_overrides(PyObject* module) {
  method_name = PyUnicode_InternFromString("__torch_function__");
  if (!method_name || PyModule_AddFunctions(module, functions) < 0) return false;
  disabled_impl = PyObject_GetAttrString(module, "_disabled_torch_function_impl");
  PyObject* type = PyType_FromSpec(&overridable_spec);
  return disabled_impl && type && PyModule_AddObject(module, "_Overridable", type) == 0;
}

}  // namespace fg::py
