// Size, the shape of a tensor: a tuple of ints with `numel()` that stays a Size under slicing, `+` and `*`.
#include "python/tensor_type.h"

namespace fg::py {

namespace {

PyTypeObject* type_of_size = nullptr;
bool is_size(PyObject* o) { return PyObject_TypeCheck(o, type_of_size); }

// The items of a tuple as a `type`; takes the reference over.
PyObject* as_size(PyTypeObject* type, PyObject* items) {
  if (!items || !PyTuple_CheckExact(items)) return items;
  const Py_ssize_t n = PyTuple_GET_SIZE(items);
  PyObject* out = type->tp_alloc(type, n);
  for (Py_ssize_t i = 0; out && i < n; ++i) PyTuple_SET_ITEM(out, i, Py_NewRef(PyTuple_GET_ITEM(items, i)));
  Py_DECREF(items);
  return out;
}

PyObject* size_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  Ref out(PyTuple_Type.tp_new(type, args, kwargs));
  for (Py_ssize_t i = 0; out.o && i < PyTuple_GET_SIZE(out.o); ++i) {
    PyObject* item = PyTuple_GET_ITEM(out.o, i);
    if (PyLong_CheckExact(item)) continue;
    if (!PyIndex_Check(item)) {
      PyErr_Format(PyExc_TypeError, "torch.Size() takes an iterable of 'int' (item %zd is '%s')", i,
                   Py_TYPE(item)->tp_name);
      return nullptr;
    }
    PyObject* number = PyNumber_Index(item);
    if (!number) return nullptr;
    PyTuple_SET_ITEM(out.o, i, number);  // nobody else has seen it yet
    Py_DECREF(item);
  }
  return out.give();
}

PyObject* size_item(PyObject* self, PyObject* key) {
  PyObject* found = PyTuple_Type.tp_as_mapping->mp_subscript(self, key);
  return found && PySlice_Check(key) ? as_size(Py_TYPE(self), found) : found;
}

PyObject* plain(PyObject* o) { return PyTuple_GetSlice(o, 0, PyTuple_GET_SIZE(o)); }

PyObject* size_add(PyObject* a, PyObject* b) {
  if (!PyTuple_Check(a)) Py_RETURN_NOTIMPLEMENTED;
  if (!PyTuple_Check(b)) {
    PyErr_Format(PyExc_TypeError, "can only concatenate tuple (not %s) to torch.Size", Py_TYPE(b)->tp_name);
    return nullptr;
  }
  Ref left(plain(a));
  return left.o ? as_size(Py_TYPE(is_size(a) ? a : b), PyTuple_Type.tp_as_sequence->sq_concat(left.o, b)) : nullptr;
}

PyObject* size_multiply(PyObject* a, PyObject* b) {
  PyObject *size = is_size(a) ? a : b, *times = size == a ? b : a;
  if (!PyIndex_Check(times)) Py_RETURN_NOTIMPLEMENTED;
  const Py_ssize_t n = PyNumber_AsSsize_t(times, PyExc_OverflowError);
  if (n == -1 && PyErr_Occurred()) return nullptr;
  Ref items(plain(size));
  return items.o ? as_size(Py_TYPE(size), PySequence_Repeat(items.o, n)) : nullptr;
}

PyObject* size_repr(PyObject* self) {
  Ref items(PySequence_List(self));
  return items.o ? PyUnicode_FromFormat("torch.Size(%R)", items.o) : nullptr;
}

PyObject* numel(PyObject* self, PyObject*) {
  Ref count(PyLong_FromLong(1));
  for (Py_ssize_t i = 0; count.o && i < PyTuple_GET_SIZE(self); ++i)
    Py_SETREF(count.o, PyNumber_Multiply(count.o, PyTuple_GET_ITEM(self, i)));
  return count.give();
}

PyObject* reduce(PyObject* self, PyObject*) { return Py_BuildValue("O(N)", Py_TYPE(self), plain(self)); }

PyMethodDef methods[] = {
    {"numel", numel, METH_NOARGS, "numel($self, /)\n--\n\nReturn the number of elements of a tensor of this shape."},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};
constexpr char text[] = "Size(sizes=(), /)\n--\n\nThe shape of a tensor.\n\n>>> Size([2, 3]).numel()\n6";
#define SLOT(slot, fn) {slot, reinterpret_cast<void*>(fn)}
PyType_Slot slots[] = {SLOT(Py_tp_new, size_new),
                       SLOT(Py_tp_repr, size_repr),
                       SLOT(Py_mp_subscript, size_item),
                       SLOT(Py_nb_add, size_add),
                       SLOT(Py_nb_multiply, size_multiply),
                       SLOT(Py_tp_methods, methods),
                       SLOT(Py_tp_doc, const_cast<char*>(text)),
                       {0, nullptr}};
#undef SLOT
PyType_Spec spec = {"fastgrad._size.Size", 0, 0, Py_TPFLAGS_DEFAULT, slots};

}  // namespace

bool init_size(PyObject* module) {
  Ref bases(PyTuple_Pack(1, reinterpret_cast<PyObject*>(&PyTuple_Type)));
  PyObject* type = bases.o ? PyType_FromSpecWithBases(&spec, bases.o) : nullptr;
  if (!type) return false;
  type_of_size = reinterpret_cast<PyTypeObject*>(type);
  size_type = Py_NewRef(type);
  return PyModule_AddObject(module, "_Size", type) == 0;
}

}  // namespace fg::py
