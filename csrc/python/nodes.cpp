// Node objects: one Python type for each node name, so that type(x.grad_fn).__name__ is torch's.
#include <map>

#include "python/graph.h"

namespace fg::py {

PyTypeObject* node_base = nullptr;

namespace {

std::map<std::string, PyTypeObject*> node_types;

void node_dealloc(PyObject* o) {
  auto* p = reinterpret_cast<PyNode*>(o);
  if (Node* node = p->node) {
    if (node->pyobj == o) node->pyobj = nullptr;
    p->node = nullptr;
    node->release();
  }
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}

PyObject* node_name(PyObject* o, PyObject*) { return PyUnicode_FromString(node_of(o)->name()); }
PyObject* node_sequence(PyObject* o, PyObject*) { return PyLong_FromUnsignedLongLong(node_of(o)->sequence); }

PyObject* node_next(PyObject* o, void*) {
  FG_TRY
  Node* node = node_of(o);
  Owned out(PyTuple_New(node->n_edges));
  for (int i = 0; i < node->n_edges; ++i) {
    const Edge& e = node->edge(i);
    PyObject* pair = Py_BuildValue("(NI)", wrap_node(e.fn), e.input_nr);
    if (!pair) raise_pending();
    PyTuple_SET_ITEM(out.o, i, pair);
  }
  return out.give();
  FG_CATCH
}
PyObject* node_metadata(PyObject* o, void*) {
  FG_TRY
  NodeExtra& more = node_of(o)->more();
  if (!more.metadata) more.metadata = PyDict_New();
  Py_XINCREF(more.metadata);
  return more.metadata;
  FG_CATCH
}
PyObject* node_variable(PyObject* o, void*) {
  FG_TRY
  Tensor* v = node_of(o)->variable();
  if (!v) {
    PyErr_Format(PyExc_AttributeError, "'%s' object has no attribute 'variable'", node_of(o)->name());
    return nullptr;
  }
  return wrap(*v);
  FG_CATCH
}
PyObject* node_context(PyObject* o, void*) {
  PyObject* ctx = node_of(o)->python();
  if (!ctx) ctx = Py_None;
  Py_INCREF(ctx);
  return ctx;
}
PyObject* node_inputs(PyObject* o, void*) { return PyLong_FromLong(node_of(o)->n_inputs); }

PyObject* node_register(PyObject* o, PyObject* fn, bool pre) {
  FG_TRY
  return register_node_hook(node_of(o), fn, pre);
  FG_CATCH
}
PyObject* node_register_hook(PyObject* o, PyObject* fn) { return node_register(o, fn, false); }
PyObject* node_register_prehook(PyObject* o, PyObject* fn) { return node_register(o, fn, true); }
PyObject* node_repr(PyObject* o) { return PyUnicode_FromFormat("<%s object at %p>", node_of(o)->name(), node_of(o)); }
Py_hash_t node_hash(PyObject* o) { return _Py_HashPointer(node_of(o)); }
PyObject* node_compare(PyObject* a, PyObject* b, int code) {
  if (!is_node(a) || !is_node(b) || (code != Py_EQ && code != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  return PyBool_FromLong((node_of(a) == node_of(b)) == (code == Py_EQ));
}

// The node of a custom function is its context to the user, as in torch: what is not the node's own is of the context.
PyObject* node_getattr(PyObject* o, PyObject* name) {
  PyObject* found = PyObject_GenericGetAttr(o, name);
  PyObject* ctx = found ? nullptr : node_of(o)->python();
  if (!ctx || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
  PyErr_Clear();
  return PyObject_GetAttr(ctx, name);
}
int node_setattr(PyObject* o, PyObject* name, PyObject* value) {
  PyObject* ctx = _PyType_Lookup(Py_TYPE(o), name) ? nullptr : node_of(o)->python();
  return ctx ? PyObject_SetAttr(ctx, name, value) : PyObject_GenericSetAttr(o, name, value);
}

PyMethodDef node_methods[] = {
    {"name", node_name, METH_NOARGS, "Name of the recorded op."},
    {"_sequence_nr", node_sequence, METH_NOARGS, "Order of recording."},
    {"register_hook", node_register_hook, METH_O, "fn(grad_inputs, grad_outputs) after this node ran."},
    {"register_prehook", node_register_prehook, METH_O, "fn(grad_outputs) before this node runs."},
    {nullptr, nullptr, 0, nullptr}};
PyGetSetDef node_getset[] = {
    {"next_functions", node_next, nullptr, "Where the gradients go: (node, input number) pairs.", nullptr},
    {"metadata", node_metadata, nullptr, "A dictionary for the user.", nullptr},
    {"variable", node_variable, nullptr, "The leaf of an AccumulateGrad node.", nullptr},
    {"_context", node_context, nullptr, "ctx of a custom function, or None.", nullptr},
    {"_n_inputs", node_inputs, nullptr, "Number of gradients it receives.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyType_Slot node_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(node_dealloc)},
                            {Py_tp_getattro, reinterpret_cast<void*>(node_getattr)},
                            {Py_tp_setattro, reinterpret_cast<void*>(node_setattr)},
                            {Py_tp_methods, node_methods},
                            {Py_tp_getset, node_getset},
                            {Py_tp_repr, reinterpret_cast<void*>(node_repr)},
                            {Py_tp_hash, reinterpret_cast<void*>(node_hash)},
                            {Py_tp_richcompare, reinterpret_cast<void*>(node_compare)},
                            {0, nullptr}};
PyType_Spec node_spec = {"fastgrad.autograd.graph.Node", sizeof(PyNode), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, node_slots};

PyTypeObject* type_for(const char* name) {
  auto found = node_types.find(name);
  if (found != node_types.end()) return found->second;
  PyType_Slot none[] = {{Py_tp_dealloc, reinterpret_cast<void*>(node_dealloc)}, {0, nullptr}};
  auto* full = new std::string(std::string("fastgrad.autograd.") + name);  // CPython keeps the pointer
  PyType_Spec spec = {full->c_str(), sizeof(PyNode), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, none};
  PyObject* bases = PyTuple_Pack(1, node_base);
  if (!bases) raise_pending();
  PyObject* type = PyType_FromSpecWithBases(&spec, bases);
  Py_DECREF(bases);
  if (!type) raise_pending();
  node_types[name] = reinterpret_cast<PyTypeObject*>(type);
  return reinterpret_cast<PyTypeObject*>(type);
}

}  // namespace

PyObject* wrap_node(const Ptr<Node>& node) {
  if (!node) Py_RETURN_NONE;
  if (node->pyobj) {
    Py_INCREF(node->pyobj);
    return node->pyobj;
  }
  PyTypeObject* type = type_for(node->name());
  PyObject* o = type->tp_alloc(type, 0);
  if (!o) raise_pending();
  node->retain();
  reinterpret_cast<PyNode*>(o)->node = node.get();
  node->pyobj = o;
  return o;
}

bool init_nodes(PyObject* module) {
  node_base = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&node_spec));
  if (!node_base) return false;
  Py_INCREF(node_base);
  return PyModule_AddObject(module, "Node", reinterpret_cast<PyObject*>(node_base)) == 0;
}

}  // namespace fg::py
