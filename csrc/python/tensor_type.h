// The native Python type `fastgrad.Tensor` and the way between it and fg::Tensor.
//
// One wrapper for each tensor: the tensor knows it (impl->pyobj), so `x.grad is x.grad`. Normally the wrapper owns a
// reference to the tensor. When Python drops a wrapper that carries state (a subclass, a __dict__, a weak reference)
// while C++ still uses the tensor, the ownership turns round: the tensor keeps the wrapper (owns_pyobj) until Python
// asks again.
#pragma once
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <optional>
#include <utility>

#include "core/tensor.h"

namespace fg::py {

struct PyTensor {
  PyObject_HEAD TensorImpl* impl;
  PyObject* dict;
  PyObject* weakrefs;
};

extern PyTypeObject* tensor_type;  // fastgrad.Tensor
extern PyObject* size_type;        // fastgrad.Size
extern PyObject* parameter_type;   // fastgrad.nn.Parameter, set by Python (may be null)

inline bool is_tensor(PyObject* o) { return Py_TYPE(o) == tensor_type || PyType_IsSubtype(Py_TYPE(o), tensor_type); }
// A Tensor that borrows nothing: shares ownership with the wrapper.
inline Tensor unwrap(PyObject* o) { return Tensor(Ptr<TensorImpl>(reinterpret_cast<PyTensor*>(o)->impl)); }
// The same without touching the count: a Tensor is one pointer, and the wrapper holds exactly that pointer.
inline const Tensor& borrow(PyObject* o) {
  static_assert(sizeof(Tensor) == sizeof(TensorImpl*));
  return reinterpret_cast<const Tensor&>(reinterpret_cast<PyTensor*>(o)->impl);
}
PyObject* wrap(Tensor t);                             // new reference; None when undefined
PyObject* wrap_as(Tensor t, PyTypeObject* subclass);  // a fresh wrapper of a subclass
PyObject* wrap_list(const std::vector<Tensor>& list, bool tuple = true);

// dtype and device objects
extern PyTypeObject* dtype_type;
extern PyTypeObject* device_type;
PyObject* wrap_dtype(DType t);  // new reference to the one object
bool is_dtype(PyObject* o);
DType unwrap_dtype(PyObject* o);  // o is one
PyObject* wrap_device(Device d);
bool to_device_value(PyObject* o, Device& out);  // device, string or index; false: not one (no error set)
PyObject* wrap_sizes(Dims dims);                 // Size
PyObject* wrap_scalar(Scalar s);                 // float, int or bool

// Converts the C++ exception in flight into a Python error; returns nullptr.
PyObject* set_error();
#define FG_TRY try {
#define FG_CATCH                  \
  }                               \
  catch (...) {                   \
    return ::fg::py::set_error(); \
  }
#define FG_CATCH_INT       \
  }                        \
  catch (...) {            \
    ::fg::py::set_error(); \
    return -1;             \
  }
// Throws the Python error that is set.
[[noreturn]] inline void raise_pending() { throw Error(ErrorKind::Pending, ""); }

struct Ref {  // an owned reference, or null; given back at the end of the scope
  PyObject* o;
  explicit Ref(PyObject* p) : o(p) {}
  ~Ref() { Py_XDECREF(o); }
  Ref(const Ref&) = delete;
  PyObject* give() { return std::exchange(o, nullptr); }
};
struct Owned : Ref {  // of what must be there: else the error that is set is thrown
  explicit Owned(PyObject* p) : Ref(p) {
    if (!o) raise_pending();
  }
};

bool init_tensor_type(PyObject* module);
bool init_size(PyObject* module);
bool init_dtype_device(PyObject* module);
bool init_functions(PyObject* module);  // the function table: module functions and tensor methods
bool init_autograd(PyObject* module);
bool init_autocast(PyObject* module);
bool init_profile(PyObject* module);
bool init_convert(PyObject* module);
bool init_arrays(PyObject* module);
bool init_dlpack(PyObject* module);

// indexing.cpp
PyObject* tensor_getitem(PyObject* self, PyObject* key);
int tensor_setitem(PyObject* self, PyObject* key, PyObject* value);

// convert.cpp
// Builds a tensor from numbers, nested sequences, arrays (buffer or __array_interface__), tensors: torch.tensor's
// rules.
Tensor tensor_from_python(PyObject* data, std::optional<DType> dtype, std::optional<Device> device, bool copy = true);
bool is_number(PyObject* o);               // float, int, bool, or a NumPy scalar
bool to_scalar(PyObject* o, Scalar& out);  // false: not a number (no error set)
Tensor operand(PyObject* o);               // for setitem and the like: a tensor, or a number as a wrapped tensor

// nodes.cpp
PyObject* wrap_node(const Ptr<Node>& node);  // grad_fn object, or None

}  // namespace fg::py
