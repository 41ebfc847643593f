// What makes up the tensor type: slots and attributes from files of their own, put together in tensor_type.cpp.
#pragma once
#include "python/overrides.h"
#include "python/tensor_type.h"

namespace fg::py {

inline PyTensor* cast(PyObject* o) { return reinterpret_cast<PyTensor*>(o); }

// Plain tensors hold nothing that could form a cycle in Python's sight; they are tracked once they might.
inline void track(PyObject* o) {
  if (!PyObject_GC_IsTracked(o)) PyObject_GC_Track(o);
}

extern const PyType_Slot operator_slots[];  // ends with {0, nullptr}; tensor_operators.cpp
extern PyGetSetDef tensor_attributes[];     // tensor_attributes.cpp

// An attribute honours overrides: it is then called Tensor.name.__get__, and `name` comes through the closure.
template <getter get>
PyObject* guarded_get(PyObject* self, void* name) {
  if (self_overridden(self)) return dispatch_attribute(static_cast<const char*>(name), "__get__", self);
  return get(self, nullptr);
}
template <setter set>
int guarded_set(PyObject* self, PyObject* value, void* name) {
  if (!self_overridden(self)) return set(self, value, nullptr);
  PyObject* done = dispatch_attribute(static_cast<const char*>(name), value ? "__set__" : "__delete__", self, value);
  Py_XDECREF(done);
  return done ? 0 : -1;
}

#define FG_READ(name, get, doc) {#name, guarded_get<get>, nullptr, doc, const_cast<char*>(#name)}
#define FG_CHANGE(name, get, set, doc) {#name, guarded_get<get>, guarded_set<set>, doc, const_cast<char*>(#name)}

}  // namespace fg::py
