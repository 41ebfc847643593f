// A tensor that a custom function keeps for its backward, where no hooks on saved tensors are active.
//
// By the rules of native nodes: an input as it is, a result without its history, each with the version it had.
#include <cstddef>

#include "python/graph.h"

// after Python.h
#include <structmember.h>

namespace fg::py {

namespace {

PyObject *stale = nullptr, *with_history = nullptr;  // functions of fastgrad.autograd.function

struct SavedTensor {
  PyObject_HEAD PyObject* tensor;
  PyObject* output;  // index among the results of forward; None for any other tensor
  uint32_t version;
};
SavedTensor* saved_tensor(PyObject* o) { return reinterpret_cast<SavedTensor*>(o); }
PyTypeObject* saved_type = nullptr;

PyObject* saved_new(PyTypeObject*, PyObject* args, PyObject* kwargs) {
  FG_TRY
  static const char* keywords[] = {"tensor", "output", nullptr};
  PyObject *tensor, *output;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO", const_cast<char**>(keywords), &tensor, &output)) return nullptr;
  FG_CHECK(is_tensor(tensor), Type, "a Tensor is needed");
  return make_saved(tensor, output);
  FG_CATCH
}
int saved_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(saved_tensor(self)->tensor);
  return 0;
}
int saved_clear(PyObject* self) {
  Py_CLEAR(saved_tensor(self)->tensor);
  return 0;
}
void saved_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  Py_CLEAR(saved_tensor(self)->tensor);
  Py_CLEAR(saved_tensor(self)->output);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}
// get(node): the tensor, an output with its history back where the gradient is recorded.
PyObject* saved_get(PyObject* self, PyObject* node) {
  FG_TRY
  SavedTensor* s = saved_tensor(self);
  if (!s->tensor || borrow(s->tensor).version() != s->version)
    return PyObject_CallFunctionObjArgs(stale, self, node, nullptr);
  if (s->output == Py_None || node == Py_None || !grad_enabled()) return Py_NewRef(s->tensor);
  return PyObject_CallFunctionObjArgs(with_history, s->tensor, node, s->output, nullptr);
  FG_CATCH
}
PyMethodDef saved_methods[] = {{"get", saved_get, METH_O, "The tensor for the backward of `node`."},
                               {nullptr, nullptr, 0, nullptr}};
PyMemberDef saved_members[] = {{"tensor", T_OBJECT, offsetof(SavedTensor, tensor), READONLY, nullptr},
                               {"output", T_OBJECT, offsetof(SavedTensor, output), READONLY, nullptr},
                               {"version", T_UINT, offsetof(SavedTensor, version), READONLY, nullptr},
                               {nullptr, 0, 0, 0, nullptr}};
PyObject* none(PyObject*, void*) { Py_RETURN_NONE; }
PyGetSetDef saved_getset[] = {{"unpack", none, nullptr, nullptr, nullptr},
                              {nullptr, nullptr, nullptr, nullptr, nullptr}};
#define SLOT(slot, fn) {slot, reinterpret_cast<void*>(fn)}
PyType_Slot saved_slots[] = {SLOT(Py_tp_new, saved_new),           SLOT(Py_tp_dealloc, saved_dealloc),
                             SLOT(Py_tp_traverse, saved_traverse), SLOT(Py_tp_clear, saved_clear),
                             SLOT(Py_tp_methods, saved_methods),   SLOT(Py_tp_members, saved_members),
                             SLOT(Py_tp_getset, saved_getset),     {0, nullptr}};
#undef SLOT
PyType_Spec saved_spec = {"fastgrad._C._SavedTensor", sizeof(SavedTensor), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                          saved_slots};

}  // namespace

PyObject* make_saved(PyObject* tensor, PyObject* output) {
  const uint32_t version = borrow(tensor).version();
  Owned kept(output == Py_None ? Py_NewRef(tensor) : wrap(detach(borrow(tensor))));
  Owned self(saved_type->tp_alloc(saved_type, 0));
  saved_tensor(self.o)->tensor = kept.give();
  saved_tensor(self.o)->output = Py_NewRef(output);
  saved_tensor(self.o)->version = version;
  return self.give();
}

void set_saved_parts(PyObject* stale_function, PyObject* history_function) {
  stale = Py_NewRef(stale_function), with_history = Py_NewRef(history_function);
}

bool init_saved_tensor(PyObject* module) {
  saved_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&saved_spec));
  return saved_type && PyModule_AddObject(module, "_SavedTensor", reinterpret_cast<PyObject*>(saved_type)) == 0;
}

}  // namespace fg::py
