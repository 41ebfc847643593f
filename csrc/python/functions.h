// What the files of the function table share.
#pragma once
#include <utility>

#include "autograd/forward.h"
#include "python/args.h"

namespace fg::py {

// Puts `result` into the tensor given as out= (parameter i) with torch's rules, or wraps it.
PyObject* finish(const Call& c, int i, const Tensor& result);
inline PyObject* same_object(const Call& c, int i = 0) {
  if (mode & kForward) [[unlikely]]
    settle_tangents();
  Py_INCREF(c.v[i]);
  return c.v[i];
}
PyObject* nonzero_tuple(const Tensor& t);  // one vector of positions for each dimension
PyTypeObject* pair_type(const char* kind);
PyObject* wrap_pair(const char* kind, const Tensor& a, const Tensor& b);  // named tuple (values, indices)

// The same, or into the two tensors given as out= (parameter i).
PyObject* finish_pair(const Call& c, int i, const char* kind, const Tensor& values, const Tensor& indices);

bool init_elementwise_functions(PyObject* module);
bool init_reduce_functions(PyObject* module);
bool init_sort_functions(PyObject* module);
bool init_shape_functions(PyObject* module);
bool init_index_functions(PyObject* module);
bool init_create_functions(PyObject* module);
bool init_complex_functions(PyObject* module);
bool init_nn_functions(PyObject* module);
bool init_optim_functions(PyObject* module);
bool init_cuda_events(PyObject* module);
bool init_cuda_graphs(PyObject* module);
bool init_conv_functions(PyObject* module);
bool init_image_functions(PyObject* module);
bool init_linalg_functions(PyObject* module);
bool init_random_functions(PyObject* module);
bool init_forward_functions(PyObject* module);
bool init_grad_mode(PyObject* module);
bool init_module_call(PyObject* module);

// anomaly.cpp
void remember_call(Node* node, Node* cause);
void note_failure(Node* node);
std::string forward_call(Node* node);
bool init_anomaly(PyObject* module);

#define FG_REGISTER(defs, module) \
  register_table<defs, defs##_signatures>(module, std::make_index_sequence<sizeof(defs) / sizeof(defs[0])>())

}  // namespace fg::py
