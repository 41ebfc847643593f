// What makes up the tensor type: slots and attributes from files of their own, put together in tensor_type.cpp.
#pragma once
#include "python/tensor_type.h"

namespace fg::py {

inline PyTensor* cast(PyObject* o) { return reinterpret_cast<PyTensor*>(o); }

// Plain tensors hold nothing that could form a cycle in Python's sight; they are tracked once they might.
inline void track(PyObject* o) {
  if (!PyObject_GC_IsTracked(o)) PyObject_GC_Track(o);
}

extern const PyType_Slot operator_slots[];  // ends with {0, nullptr}; tensor_operators.cpp
extern PyGetSetDef tensor_attributes[];     // tensor_attributes.cpp

}  // namespace fg::py
