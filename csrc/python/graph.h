// What the files on the graph share: node objects, hooks and backward as Python sees them.
#pragma once
#include "autograd/engine.h"
#include "python/functions.h"

namespace fg::py {

// nodes.cpp
struct PyNode {
  PyObject_HEAD Node* node;
};
extern PyTypeObject* node_base;
inline Node* node_of(PyObject* o) { return reinterpret_cast<PyNode*>(o)->node; }
inline bool is_node(PyObject* o) { return PyObject_TypeCheck(o, node_base); }
bool init_nodes(PyObject* module);

// hooks.cpp
PyObject* register_node_hook(Node* node, PyObject* fn, bool before);  // a handle that takes it out again
PyObject* tuple_of(const Tensor* g, int n);                           // of gradients, None for those not there
bool init_hooks(PyObject* module);

// saved_tensor.cpp
PyObject* make_saved(PyObject* tensor, PyObject* output);       // output: its number among the results, or None
void set_saved_parts(PyObject* stale, PyObject* with_history);  // what it calls, see fastgrad.autograd.function
bool init_saved_tensor(PyObject* module);

// function_call.cpp
bool init_function_call(PyObject* module);

}  // namespace fg::py
