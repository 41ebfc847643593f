// What the files on conversion share: NumPy scalars, buffers, owned references.
#pragma once
#include "python/args.h"

namespace fg::py {

extern PyTypeObject* numpy_bool;  // numpy.bool_, once NumPy is there
bool is_numpy_scalar(PyObject* o);
bool has_buffer(PyObject* o);                       // an object with the buffer protocol that is no string of bytes
Tensor from_buffer(PyObject* o, const char* what);  // over the memory of such an object; `what` for errors

}  // namespace fg::py
