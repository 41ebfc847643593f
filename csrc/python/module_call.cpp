// Calling a module, straight to its forward unless it or all modules have hooks; and reading its attributes.
//
// `fastgrad._C._Call` is a base of nn.Module without members, so that it is in nobody's way. The flag `_hooked` of the
// instance, or of the class for all modules, and what happens then: nn/modules/_hooks.py. Attributes are in the
// instance dict, where a class with a __getattr__ in Python would look last: CPython's own lookup for such classes
// costs three times as much.
#include <array>
#include <vector>

#include "python/functions.h"

namespace fg::py {

namespace {

PyObject *hooked = nullptr, *forward = nullptr, *with_hooks = nullptr, *refused = nullptr;  // names

PyObject* call_type = nullptr;     // _Call
PyObject* base_getattr = nullptr;  // Module.__getattr__
PyObject *getattr_name = nullptr, *getattribute_name = nullptr;

PyObject* attributes_of(PyObject* self) {  // borrowed, or null
  PyObject** dict = _PyObject_GetDictPtr(self);
  return dict ? *dict : nullptr;
}

PyObject* get_attribute(PyObject* self, PyObject* name) {
  PyObject* of_type = _PyType_Lookup(Py_TYPE(self), name);
  if (!of_type || !Py_TYPE(of_type)->tp_descr_set) {
    PyObject* attributes = attributes_of(self);
    PyObject* found = attributes ? PyDict_GetItemWithError(attributes, name) : nullptr;
    if (found) return Py_NewRef(found);
    if (PyErr_Occurred()) return nullptr;
  }
  PyObject* found = PyObject_GenericGetAttr(self, name);
  if (found || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
  PyErr_Clear();
  return PyObject_CallFunctionObjArgs(base_getattr, self, name, nullptr);
}

// Of every subclass that is made: it reads attributes as above, unless it has a __getattr__ or __getattribute__ of its
// own. One that is given to the class later makes CPython take its slot back.
PyObject* init_subclass(PyObject* cls, PyObject* args, PyObject* kwargs) {
  Ref others(PyObject_CallFunctionObjArgs(reinterpret_cast<PyObject*>(&PySuper_Type), call_type, cls, nullptr));
  Ref next(others.o ? PyObject_GetAttrString(others.o, "__init_subclass__") : nullptr);
  Ref done(next.o ? PyObject_Call(next.o, args, kwargs) : nullptr);
  if (!done.o) return nullptr;
  auto* type = reinterpret_cast<PyTypeObject*>(cls);
  PyObject* own = _PyType_Lookup(type, getattr_name);
  if (!base_getattr) base_getattr = Py_XNewRef(own);
  if (base_getattr && own == base_getattr &&
      _PyType_Lookup(type, getattribute_name) == _PyType_Lookup(&PyBaseObject_Type, getattribute_name))
    type->tp_getattro = get_attribute;
  Py_RETURN_NONE;
}

// 1, 0, or -1 with an error
int has_hooks(PyObject* self) {
  PyObject* flag = _PyType_Lookup(Py_TYPE(self), hooked);
  if (flag && flag != Py_False) return PyObject_IsTrue(flag);
  PyObject* attributes = attributes_of(self);
  flag = attributes ? PyDict_GetItemWithError(attributes, hooked) : nullptr;
  return flag ? PyObject_IsTrue(flag) : PyErr_Occurred() ? -1 : 0;
}

// Keywords that forward does not take: the error names the nearest ones. Only where the call itself failed.
PyObject* refuse(PyObject* self, PyObject* kwargs) {
  PyObject *kind, *error, *traceback;
  PyErr_Fetch(&kind, &error, &traceback);
  if (!traceback) {
    Ref done(PyObject_CallMethodOneArg(self, refused, kwargs));
    if (!done.o) {
      Py_XDECREF(kind);
      Py_XDECREF(error);
      return nullptr;
    }
  }
  PyErr_Restore(kind, error, traceback);
  return nullptr;
}

// The function that `self.forward` binds; null: something else, or it has to be looked up in the usual way.
PyObject* plain_forward(PyObject* self) {
  if (Py_TYPE(self)->tp_getattro != get_attribute) return nullptr;
  PyObject* function = _PyType_Lookup(Py_TYPE(self), forward);
  if (!function || !PyFunction_Check(function)) return nullptr;
  PyObject* attributes = attributes_of(self);
  if (attributes && PyDict_GetItemWithError(attributes, forward)) return nullptr;
  return PyErr_Occurred() ? nullptr : function;
}

PyObject* call_forward(PyObject* self, PyObject* args, PyObject* kwargs) {
  const Py_ssize_t n = PyTuple_GET_SIZE(args), named = kwargs ? PyDict_GET_SIZE(kwargs) : 0;
  std::array<PyObject*, 12> few;
  std::vector<PyObject*> many;
  PyObject** all = few.data();
  if (2 + n + named > static_cast<Py_ssize_t>(few.size())) {
    many.resize(2 + n + named);
    all = many.data();
  }
  all[1] = self;  // the place in front is lent to what is called
  for (Py_ssize_t i = 0; i < n; ++i) all[2 + i] = PyTuple_GET_ITEM(args, i);
  Ref names(named ? PyTuple_New(named) : nullptr);
  if (named) {
    if (!names.o) return nullptr;
    PyObject *key, *value;
    Py_ssize_t at = 0, i = 0;
    while (PyDict_Next(kwargs, &at, &key, &value)) {
      PyTuple_SET_ITEM(names.o, i, Py_NewRef(key));
      all[2 + n + i++] = value;
    }
  }
  if (Ref function(Py_XNewRef(plain_forward(self))); function.o)
    return PyObject_Vectorcall(function.o, all + 1, static_cast<size_t>(1 + n) | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               names.o);
  if (PyErr_Occurred()) return nullptr;
  return PyObject_VectorcallMethod(forward, all + 1, static_cast<size_t>(1 + n) | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                   names.o);
}

PyObject* call(PyObject* self, PyObject* args, PyObject* kwargs) {
  FG_TRY
  const int hooks = has_hooks(self);
  if (hooks < 0) return nullptr;
  if (hooks) {
    Ref named(kwargs ? Py_NewRef(kwargs) : PyDict_New());
    return named.o ? PyObject_CallMethodObjArgs(self, with_hooks, args, named.o, nullptr) : nullptr;
  }
  PyObject* result = call_forward(self, args, kwargs);
  if (!result && kwargs && PyErr_ExceptionMatches(PyExc_TypeError)) return refuse(self, kwargs);
  return result;
  FG_CATCH
}

PyMethodDef methods[] = {
    {"__init_subclass__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(init_subclass)),
     METH_CLASS | METH_VARARGS | METH_KEYWORDS, nullptr},
    {nullptr, nullptr, 0, nullptr}};
PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(call)}, {Py_tp_methods, methods}, {0, nullptr}};
PyType_Spec spec = {"fastgrad._C._Call", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

}  // namespace

bool init_module_call(PyObject* module) {
  hooked = PyUnicode_InternFromString("_hooked");
  forward = PyUnicode_InternFromString("forward");
  with_hooks = PyUnicode_InternFromString("_call_with_hooks");
  refused = PyUnicode_InternFromString("_refuse_keywords");
  getattr_name = PyUnicode_InternFromString("__getattr__");
  getattribute_name = PyUnicode_InternFromString("__getattribute__");
  call_type = PyType_FromSpec(&spec);
  return hooked && forward && with_hooks && refused && getattr_name && getattribute_name && call_type &&
         PyModule_AddObject(module, "_Call", Py_NewRef(call_type)) == 0;
}

}  // namespace fg::py
