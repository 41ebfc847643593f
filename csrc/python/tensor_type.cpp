// The tensor type: life of a wrapper, and the type put together from its parts. Start at wrap() and dealloc().
//
// Operators are in tensor_operators.cpp, attributes in tensor_attributes.cpp.
#include "python/tensor_type.h"

#include <cxxabi.h>
#include <structmember.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <vector>

#include "autograd/forward.h"
#include "python/args.h"
#include "python/tensor_slots.h"

namespace fg::py {

PyTypeObject* tensor_type = nullptr;
PyObject* size_type = nullptr;
PyObject* parameter_type = nullptr;

namespace {

// ---- life

// Wrappers of the plain type are reused: making one is then a few stores.
constexpr int kFreeList = 256;
PyObject* free_list[kFreeList];
int free_count = 0;

PyObject* new_wrapper(PyTypeObject* type) {
  if (type == tensor_type && free_count) {
    PyObject* o = free_list[--free_count];
    PyObject_Init(o, type);
    return o;
  }
  auto* o = reinterpret_cast<PyObject*>(PyObject_GC_New(PyTensor, type));
  if (!o) raise_pending();
  if (type->tp_basicsize > static_cast<Py_ssize_t>(sizeof(PyTensor)))  // __slots__ of a subclass
    memset(reinterpret_cast<char*>(o) + sizeof(PyTensor), 0, type->tp_basicsize - sizeof(PyTensor));
  cast(o)->dict = nullptr;
  cast(o)->weakrefs = nullptr;
  cast(o)->impl = nullptr;
  return o;
}

bool carries_state(PyObject* o) {
  return Py_TYPE(o) != tensor_type || (cast(o)->dict && PyDict_GET_SIZE(cast(o)->dict) > 0) || cast(o)->weakrefs;
}

// Whether the tensor would keep this wrapper if Python let it go: C++ uses it and something would be lost.
bool outlives_python(PyObject* self) {
  TensorImpl* impl = cast(self)->impl;
  return impl && impl->pyobj == self && !impl->owns_pyobj && impl->refs.load() > 1 && carries_state(self);
}

// The last Python reference is going. True: the tensor lives on in C++ and keeps the wrapper.
bool keep_wrapper(PyObject* self) {
  if (!outlives_python(self)) return false;
  TensorImpl* impl = cast(self)->impl;
  Py_SET_REFCNT(self, 1);  // the tensor's reference
  impl->owns_pyobj = true;
  impl->release();
  return true;
}

void let_go(PyObject* self) {
  PyTensor* t = cast(self);
  TensorImpl* impl = t->impl;
  if (impl && impl->pyobj == self) impl->pyobj = nullptr;  // first: what follows may run Python code
  if (t->weakrefs) PyObject_ClearWeakRefs(self);
  Py_CLEAR(t->dict);
  t->impl = nullptr;
  if (impl) impl->release();
}

void tensor_dealloc(PyObject* self) {
  if (keep_wrapper(self)) return;
  if (PyObject_GC_IsTracked(self)) PyObject_GC_UnTrack(self);
  let_go(self);
  PyTypeObject* type = Py_TYPE(self);
  if (type == tensor_type && free_count < kFreeList) free_list[free_count++] = self;
  else PyObject_GC_Del(self);
  Py_DECREF(type);
}

// Subclasses made in Python get this instead of CPython's own, which could not keep the wrapper.
void subclass_dealloc(PyObject* self) {
  if (keep_wrapper(self)) return;
  PyTypeObject* type = Py_TYPE(self);
  if (type->tp_finalize) {
    track(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) return;
  }
  if (PyObject_GC_IsTracked(self)) PyObject_GC_UnTrack(self);
  if (type->tp_basicsize > static_cast<Py_ssize_t>(sizeof(PyTensor))) {  // __slots__: CPython's clear knows them
    if (TensorImpl* impl = cast(self)->impl; impl && impl->pyobj == self) impl->pyobj = nullptr;
    if (cast(self)->weakrefs) PyObject_ClearWeakRefs(self);
    type->tp_clear(self);
  }
  let_go(self);
  PyObject_GC_Del(self);
  Py_DECREF(type);
}

PyObject* init_subclass(PyObject* cls, PyObject*, PyObject*) {
  reinterpret_cast<PyTypeObject*>(cls)->tp_dealloc = subclass_dealloc;
  Py_RETURN_NONE;
}

// References that the collector must not see as going out of this object: those of a wrapper that its tensor would
// keep, and those held by a part of the graph that somebody else uses too. What it does not see it takes for alive.
int tensor_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (outlives_python(self)) return 0;
  PyTensor* t = cast(self);
  Py_VISIT(t->dict);
  TensorImpl* impl = t->impl;
  if (!impl || impl->refs.load() != 1) return 0;
  if (Meta* meta = impl->meta) {
    for (auto& h : meta->hooks) Py_VISIT(h.fn);
    for (auto& h : meta->post_accumulate) Py_VISIT(h.fn);
    if (meta->grad.defined()) {
      TensorImpl* g = meta->grad.impl();
      if (g->owns_pyobj && g->refs.load() == 1) Py_VISIT(g->pyobj);
    }
  }
  Node* fn = impl->grad_fn;
  if (!fn || fn->refs.load() != 1) return 0;
  Py_VISIT(fn->python());
  if (NodeExtra* extra = fn->extra.get()) {
    for (auto& h : extra->tensor_hooks) Py_VISIT(h.hook.fn);
    for (auto& h : extra->pre_hooks) Py_VISIT(h.fn);
    for (auto& h : extra->post_hooks) Py_VISIT(h.fn);
    Py_VISIT(extra->metadata);
  }
  return 0;
}

int tensor_clear(PyObject* self) {
  if (outlives_python(self)) return 0;
  PyTensor* t = cast(self);
  Py_CLEAR(t->dict);
  if (t->impl && t->impl->refs.load() == 1) {
    if (Meta* meta = t->impl->meta) {
      std::vector<Hook> hooks = std::move(meta->hooks), post = std::move(meta->post_accumulate);
      meta->hooks.clear(), meta->post_accumulate.clear();
      for (auto& h : hooks) Py_DECREF(h.fn);
      for (auto& h : post) Py_DECREF(h.fn);
    }
    if (t->impl->grad_fn) exchange_grad_fn(t->impl, nullptr);
  }
  return 0;
}

template <class F>
void with_interpreter(F work) {
  if (PyGILState_Check()) return work();
  if (!Py_IsInitialized()) return;  // the interpreter is gone, and what it owned with it
  PyGILState_STATE state = PyGILState_Ensure();
  work();
  PyGILState_Release(state);
}

void hold_reference(PyObject* o) {
  with_interpreter([&] { Py_INCREF(o); });
}

void drop_reference(PyObject* o) {
  with_interpreter([&] { Py_DECREF(o); });
}

PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  // Tensor(2, 3), Tensor([1, 2]), Tensor(tensor), Tensor(): the legacy constructor, always of the default dtype.
  FG_TRY
  if (kwargs && PyDict_GET_SIZE(kwargs)) {
    PyObject* device = PyDict_GetItemString(kwargs, "device");
    PyObject* data = PyDict_GetItemString(kwargs, "data");
    PyObject* size = PyDict_GetItemString(kwargs, "size");
    if (PyDict_GET_SIZE(kwargs) > (device ? 1 : 0) + (data ? 1 : 0) + (size ? 1 : 0)) {
      PyErr_SetString(PyExc_TypeError, "Tensor() takes only data or size, and device");
      return nullptr;
    }
    Device place;
    if (device && device != Py_None)
      FG_CHECK(to_device_value(device, place) && place.is_cpu(), Runtime,
               "legacy constructor expects device type: cpu but device type: cuda was passed");
    if (size) return wrap_as(Tensor::empty(dims_from(&size, 1, "Tensor"), default_dtype(), {}), type);
    if (data) return wrap_as(to_dtype(tensor_from_python(data, default_dtype(), {}), default_dtype()), type);
  }
  Py_ssize_t n = PyTuple_GET_SIZE(args);
  if (n == 0) return wrap_as(Tensor::empty(DimArray{0}, default_dtype(), {}), type);
  PyObject* first = PyTuple_GET_ITEM(args, 0);
  if (n == 1 && is_tensor(first)) return wrap_as(borrow(first).alias(), type);
  bool sizes =
      PyLong_Check(first) || (size_type && PyObject_TypeCheck(first, reinterpret_cast<PyTypeObject*>(size_type)));
  if (sizes) {
    DimArray dims = dims_from(&PyTuple_GET_ITEM(args, 0), n, "Tensor");
    return wrap_as(Tensor::empty(dims, default_dtype(), {}), type);
  }
  if (n != 1) {
    PyErr_SetString(PyExc_TypeError, "Tensor() takes sizes, or one sequence of numbers");
    return nullptr;
  }
  return wrap_as(tensor_from_python(first, default_dtype(), {}), type);
  FG_CATCH
}

int tensor_init(PyObject*, PyObject*, PyObject*) { return 0; }

// Attribute stores make the wrapper visible to the collector.
int tensor_setattro(PyObject* self, PyObject* name, PyObject* value) {
  int status = PyObject_GenericSetAttr(self, name, value);
  if (status == 0 && cast(self)->dict) track(self);
  return status;
}

PyMemberDef members[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(PyTensor, weakrefs), READONLY, nullptr},
                         {"__dictoffset__", T_PYSSIZET, offsetof(PyTensor, dict), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};

PyMethodDef type_methods[] = {
    {"__init_subclass__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(init_subclass)),
     METH_CLASS | METH_VARARGS | METH_KEYWORDS, nullptr},
    {nullptr, nullptr, 0, nullptr}};
#define SLOT(slot, fn) {slot, reinterpret_cast<void*>(fn)}
const PyType_Slot life_slots[] = {SLOT(Py_tp_dealloc, tensor_dealloc),   SLOT(Py_tp_traverse, tensor_traverse),
                                  SLOT(Py_tp_clear, tensor_clear),       SLOT(Py_tp_new, tensor_new),
                                  SLOT(Py_tp_init, tensor_init),         SLOT(Py_tp_getset, tensor_attributes),
                                  SLOT(Py_tp_members, members),          SLOT(Py_tp_methods, type_methods),
                                  SLOT(Py_tp_setattro, tensor_setattro), {0, nullptr}};
#undef SLOT

}  // namespace

PyObject* wrap(Tensor t) {
  if (!t.defined()) Py_RETURN_NONE;
  if (mode & kForward) [[unlikely]]
    settle_tangents();
  TensorImpl* impl = t.impl();
  if (PyObject* existing = impl->pyobj) {
    if (impl->owns_pyobj) {  // Python holds it again: turn the ownership back
      impl->owns_pyobj = false;
      t.detach_ptr();
      return existing;
    }
    Py_INCREF(existing);
    return existing;
  }
  PyObject* o = new_wrapper(tensor_type);
  cast(o)->impl = t.detach_ptr();
  impl->pyobj = o;
  return o;
}

PyObject* wrap_as(Tensor t, PyTypeObject* subclass) {
  if (subclass == tensor_type && !t.impl()->pyobj) return wrap(std::move(t));
  FG_CHECK(!t.impl()->pyobj, Runtime, "a tensor has one Python object; this one has it already");
  PyObject* o = new_wrapper(subclass);
  t.impl()->pyobj = o;
  cast(o)->impl = t.detach_ptr();
  track(o);
  return o;
}

PyObject* wrap_list(const std::vector<Tensor>& list, bool tuple) {
  PyObject* out = tuple ? PyTuple_New(list.size()) : PyList_New(list.size());
  if (!out) raise_pending();
  for (size_t i = 0; i < list.size(); ++i) {
    PyObject* o = nullptr;
    try {
      o = wrap(list[i]);
    } catch (...) {
      Py_DECREF(out);
      throw;
    }
    if (tuple) PyTuple_SET_ITEM(out, i, o);
    else PyList_SET_ITEM(out, i, o);
  }
  return out;
}

namespace {

PyObject* make_sizes(Dims dims, PyTypeObject* type) {
  PyObject* out = type->tp_alloc(type, static_cast<Py_ssize_t>(dims.size()));
  if (!out) raise_pending();
  for (size_t i = 0; i < dims.size(); ++i) {
    PyObject* n = PyLong_FromLongLong(dims[i]);
    if (!n) {
      Py_DECREF(out);
      raise_pending();
    }
    PyTuple_SET_ITEM(out, i, n);
  }
  return out;
}

// The shapes that were asked for lately. A Size never changes, so one object may stand for all tensors of a shape.
struct KnownSize {
  PyObject* object = nullptr;  // owned
  size_t n = 0;
  int64_t dims[4];
};
constexpr int kKnownSizesLog = 6;
KnownSize known_sizes[1 << kKnownSizesLog];

KnownSize& known_size(Dims dims) {
  uint64_t hash = dims.size();
  for (int64_t d : dims) hash = (hash ^ static_cast<uint64_t>(d)) * 0x9E3779B97F4A7C15u;
  return known_sizes[hash >> (64 - kKnownSizesLog)];
}

}  // namespace

PyObject* wrap_sizes(Dims dims) {
  auto* type = size_type ? reinterpret_cast<PyTypeObject*>(size_type) : &PyTuple_Type;
  if (dims.size() > std::size(KnownSize().dims)) return make_sizes(dims, type);
  KnownSize& known = known_size(dims);
  if (known.object && Py_TYPE(known.object) == type && same({known.dims, known.n}, dims))
    return Py_NewRef(known.object);
  PyObject* out = make_sizes(dims, type);
  known.n = dims.size();
  std::copy(dims.begin(), dims.end(), known.dims);
  Py_XSETREF(known.object, Py_NewRef(out));
  return out;
}

PyObject* wrap_scalar(Scalar s) {
  if (s.kind == Scalar::Complex) return PyComplex_FromDoubles(s.f, s.imaginary);
  if (s.kind == Scalar::Float) return PyFloat_FromDouble(s.f);
  if (s.kind == Scalar::Int) return PyLong_FromLongLong(s.i);
  return PyBool_FromLong(s.i != 0);
}

static PyObject* out_of_memory_error = PyExc_RuntimeError;

PyObject* set_error() {
  try {
    throw;
  } catch (const Error& e) {
    PyObject* type = PyExc_RuntimeError;
    switch (e.kind()) {
      case ErrorKind::Pending: return nullptr;
      case ErrorKind::Type: type = PyExc_TypeError; break;
      case ErrorKind::Value: type = PyExc_ValueError; break;
      case ErrorKind::Index: type = PyExc_IndexError; break;
      case ErrorKind::NotImplemented: type = PyExc_NotImplementedError; break;
      case ErrorKind::OutOfMemory: type = out_of_memory_error; break;
      default: break;
    }
    PyErr_SetString(type, e.what());
  } catch (const abi::__forced_unwind&) {
    for (;;) pause();  // a daemon thread that CPython ends at exit, see acquire_gil() in module.cpp
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  } catch (...) {
    PyErr_SetString(PyExc_SystemError, "an unknown C++ exception");
  }
  return nullptr;
}

bool init_tensor_type(PyObject* module) {
  std::vector<PyType_Slot> slots;
  for (const PyType_Slot* part : {life_slots, operator_slots})
    for (; part->slot; ++part) slots.push_back(*part);
  slots.push_back({0, nullptr});
  PyType_Spec spec = {"fastgrad.Tensor", sizeof(PyTensor), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots.data()};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) return false;
  tensor_type = reinterpret_cast<PyTypeObject*>(type);
  py_hooks = {hold_reference, drop_reference};
  Py_INCREF(type);
  out_of_memory_error = PyErr_NewExceptionWithDoc(
      "fastgrad.OutOfMemoryError", "Raised when a device has no more memory.", PyExc_RuntimeError, nullptr);
  if (!out_of_memory_error) return false;
  Py_INCREF(out_of_memory_error);
  return init_size(module) && PyModule_AddObject(module, "Tensor", type) == 0 &&
         PyModule_AddObject(module, "OutOfMemoryError", out_of_memory_error) == 0;
}

}  // namespace fg::py
