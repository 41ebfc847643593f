// The __torch_function__ protocol: subclasses of Tensor, and other objects that define it, may take over a call.
//
// Every way from Python into the library asks may_override() about its arguments: exact tensors, parameters, numbers
// and all other objects of built-in types answer no after one comparison and one flag. Whatever is left is looked at in
// overrides.cpp: overridden() decides, and dispatch() makes the call. A TorchFunctionMode sets the bit kTorchFunction,
// which sends every call there.
#pragma once
#include "core/mode.h"
#include "python/tensor_type.h"

namespace fg::py {

inline bool is_plain_type(PyTypeObject* type) {
  return type == tensor_type || reinterpret_cast<PyObject*>(type) == parameter_type;
}

// Cheap and rough: false only when `o` neither overrides nor holds anything that does.
inline bool may_override(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  return (type->tp_flags & (Py_TPFLAGS_HEAPTYPE | Py_TPFLAGS_TUPLE_SUBCLASS | Py_TPFLAGS_LIST_SUBCLASS)) &&
         !is_plain_type(type);
}
inline bool may_override(PyObject* const* args, Py_ssize_t count) {
  if (mode & kTorchFunction) return true;
  for (Py_ssize_t i = 0; i < count; ++i)
    if (may_override(args[i])) return true;
  return false;
}

// Exact: whether a mode is on, or an argument, or an item of a list or tuple among them, has an active override.
bool overridden(PyObject* const* args, Py_ssize_t count);
inline bool check_overridden(PyObject* const* args, Py_ssize_t count) {
  return may_override(args, count) && overridden(args, count);
}

// Calls the overrides in order. `func`: what they are told to be called. Sets a TypeError when all decline; with
// `operation` it returns NotImplemented then, so that Python asks the other operand.
PyObject* dispatch(PyObject* func, PyObject* args, PyObject* kwargs, bool operation = false);

// The same from the arguments of a vectorcall; self may be null.
PyObject* dispatch_call(PyObject* func, PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* keywords);

// For a slot: func is the attribute `name` of Tensor.
PyObject* dispatch_slot(const char* name, std::initializer_list<PyObject*> args, bool operation = false);
// For an attribute: func is Tensor.name.__get__, __set__ (value given) or __delete__.
PyObject* dispatch_attribute(const char* name, const char* access, PyObject* self, PyObject* value = nullptr);

inline bool self_overridden(PyObject* self) {
  return ((mode & kTorchFunction) || !is_plain_type(Py_TYPE(self))) && overridden(&self, 1);
}

// The arguments of a vectorcall as a tuple and a dict; kwargs stays null without keywords. False: an error is set.
bool pack_call(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* keywords, PyObject*& packed,
               PyObject*& kwargs);

bool init_overrides(PyObject* module);

}  // namespace fg::py
