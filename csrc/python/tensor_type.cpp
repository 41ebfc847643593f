// The tensor type: life of a wrapper, operators, attributes. Start at wrap() and dealloc().
#include "python/tensor_type.h"

#include <cxxabi.h>
#include <structmember.h>
#include <unistd.h>

#include <cstring>

#include "autograd/node.h"
#include "ops/row_info.h"
#include "python/args.h"

namespace fg::py {

PyTypeObject* tensor_type = nullptr;
PyObject* size_type = nullptr;
PyObject* parameter_type = nullptr;

namespace {

inline PyTensor* cast(PyObject* o) { return reinterpret_cast<PyTensor*>(o); }

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

// Plain tensors hold nothing that could form a cycle in Python's sight; they are tracked once they might.
void track(PyObject* o) {
  if (!PyObject_GC_IsTracked(o)) PyObject_GC_Track(o);
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
  if (type == tensor_type && free_count < kFreeList)
    free_list[free_count++] = self;
  else
    PyObject_GC_Del(self);
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

// References that the collector must not see as going out of this object: those of a wrapper that its tensor would keep,
// and those held by a part of the graph that somebody else uses too. What it does not see it takes for alive.
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
    if (PyDict_GET_SIZE(kwargs) > (device ? 1 : 0) + (data ? 1 : 0)) {
      PyErr_SetString(PyExc_TypeError, "Tensor() takes only data or sizes, and device");
      return nullptr;
    }
    if (data) return wrap_as(to_dtype(tensor_from_python(data, default_dtype(), {}), default_dtype()), type);
  }
  Py_ssize_t n = PyTuple_GET_SIZE(args);
  if (n == 0) return wrap_as(Tensor::empty(DimArray{0}, default_dtype(), {}), type);
  PyObject* first = PyTuple_GET_ITEM(args, 0);
  if (n == 1 && is_tensor(first)) return wrap_as(borrow(first).alias(), type);
  bool sizes = PyLong_Check(first) || (size_type && PyObject_TypeCheck(first, reinterpret_cast<PyTypeObject*>(size_type)));
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

// ---- operators

// An operand of an operator: a tensor (borrowed) or a number. False: something else.
inline bool operand_of(PyObject* o, const Tensor*& t, Scalar& s) {
  if (is_tensor(o)) {
    t = &borrow(o);
    return true;
  }
  t = nullptr;
  if (PyFloat_CheckExact(o)) {
    s = Scalar::of(PyFloat_AS_DOUBLE(o));
    return true;
  }
  return to_scalar(o, s);
}

Arg make_arg(const Tensor* t, Scalar s) { return t ? Arg(*t) : Arg(s); }

template <Op op>
PyObject* binary_slot(PyObject* a, PyObject* b) {
  FG_TRY
  const Tensor *x, *y;
  Scalar p, q;
  if (!operand_of(a, x, p) || !operand_of(b, y, q)) {
    if (PyErr_Occurred()) return nullptr;
    Py_RETURN_NOTIMPLEMENTED;
  }
  Arg args[] = {make_arg(x, p), make_arg(y, q)};
  return wrap(elementwise(op, args));
  FG_CATCH
}

template <Op op>
PyObject* inplace_slot(PyObject* a, PyObject* b) {
  FG_TRY
  const Tensor* y;
  Scalar q;
  if (!operand_of(b, y, q)) {
    if (PyErr_Occurred()) return nullptr;
    Py_RETURN_NOTIMPLEMENTED;
  }
  Arg rest[] = {make_arg(y, q)};
  elementwise_(op, borrow(a), rest);
  Py_INCREF(a);
  return a;
  FG_CATCH
}

template <Op op>
PyObject* unary_slot(PyObject* a) {
  FG_TRY
  return wrap(unary(op, borrow(a)));
  FG_CATCH
}

// number / tensor is number * (1 / tensor), as in torch, so that the last bit and the recorded ops agree.
PyObject* divide_slot(PyObject* a, PyObject* b) {
  Scalar number;
  if (is_tensor(a) || !is_tensor(b) || !to_scalar(a, number)) {
    if (PyErr_Occurred()) return nullptr;
    return binary_slot<Op::div>(a, b);
  }
  FG_TRY
  return wrap(mul(unary(Op::reciprocal, borrow(b)), number));
  FG_CATCH
}

PyObject* power_slot(PyObject* a, PyObject* b, PyObject* mod) {
  FG_TRY
  const Tensor *x, *y;
  Scalar p, q;
  if (mod != Py_None || !operand_of(a, x, p) || !operand_of(b, y, q)) {
    if (PyErr_Occurred()) return nullptr;
    Py_RETURN_NOTIMPLEMENTED;
  }
  return wrap(pow(make_arg(x, p), make_arg(y, q)));
  FG_CATCH
}

PyObject* inplace_power_slot(PyObject* a, PyObject* b, PyObject*) {
  FG_TRY
  const Tensor* y;
  Scalar q;
  if (!operand_of(b, y, q)) {
    if (PyErr_Occurred()) return nullptr;
    Py_RETURN_NOTIMPLEMENTED;
  }
  pow_(borrow(a), make_arg(y, q));
  Py_INCREF(a);
  return a;
  FG_CATCH
}

PyObject* positive_slot(PyObject* a) {
  Py_INCREF(a);
  return a;
}

PyObject* invert_slot(PyObject* a) {
  FG_TRY
  const Tensor& t = borrow(a);
  FG_CHECK(is_integral(t.dtype()), Type, "~ (operator.invert) is only implemented on integer and Boolean-type tensors");
  if (t.dtype() == DType::Bool) return wrap(unary(Op::logical_not, t));
  return wrap(binary(Op::bitwise_xor, t, Scalar::of_int(-1)));
  FG_CATCH
}

PyObject* matmul_slot(PyObject* a, PyObject* b) {
  FG_TRY
  if (!is_tensor(a) || !is_tensor(b)) Py_RETURN_NOTIMPLEMENTED;
  return wrap(matmul(borrow(a), borrow(b)));
  FG_CATCH
}

PyObject* richcompare(PyObject* a, PyObject* b, int code) {
  FG_TRY
  const Tensor* y;
  Scalar q;
  if (!operand_of(b, y, q)) {
    if (PyErr_Occurred()) return nullptr;
    Py_RETURN_NOTIMPLEMENTED;
  }
  static constexpr Op ops[] = {Op::lt, Op::le, Op::eq, Op::ne, Op::gt, Op::ge};
  Arg args[] = {Arg(borrow(a)), make_arg(y, q)};
  return wrap(elementwise(ops[code], args));
  FG_CATCH
}

Py_hash_t tensor_hash(PyObject* self) { return _Py_HashPointer(self); }

Scalar one_number(PyObject* self) {
  const Tensor& t = borrow(self);
  FG_CHECK(t.numel() == 1, Value, "only one element tensors can be converted to Python scalars (got ", t.numel(), " elements)");
  return item(t);
}

int tensor_bool(PyObject* self) {
  FG_TRY
  const Tensor& t = borrow(self);
  FG_CHECK(t.numel() != 0, Runtime, "Boolean value of Tensor with no values is ambiguous");
  FG_CHECK(t.numel() == 1, Runtime, "Boolean value of Tensor with more than one value is ambiguous");
  return item(t).f != 0;
  FG_CATCH_INT
}
PyObject* tensor_int(PyObject* self) {
  FG_TRY
  Scalar s = one_number(self);
  if (s.kind != Scalar::Float) return PyLong_FromLongLong(s.i);
  return PyLong_FromDouble(s.f);
  FG_CATCH
}
PyObject* tensor_float(PyObject* self) {
  FG_TRY
  return PyFloat_FromDouble(one_number(self).f);
  FG_CATCH
}
PyObject* tensor_index(PyObject* self) {
  FG_TRY
  const Tensor& t = borrow(self);
  FG_CHECK(is_integral(t.dtype()) && t.numel() == 1, Type, "only integer tensors of a single element can be converted to an index");
  return PyLong_FromLongLong(item(t).i);
  FG_CATCH
}

Py_ssize_t tensor_length(PyObject* self) {
  const Tensor& t = borrow(self);
  if (t.dim() == 0) {
    PyErr_SetString(PyExc_TypeError, "len() of a 0-d tensor");
    return -1;
  }
  return t.size(0);
}

PyObject* tensor_sq_item(PyObject* self, Py_ssize_t i) {
  FG_TRY
  return wrap(select(borrow(self), 0, i));
  FG_CATCH
}

PyObject* tensor_iter(PyObject* self) {
  FG_TRY
  const Tensor& t = borrow(self);
  FG_CHECK(t.dim() > 0, Type, "iteration over a 0-d tensor");
  PyObject* list = wrap_list(unbind(t, 0));
  if (!list) return nullptr;
  PyObject* it = PyObject_GetIter(list);
  Py_DECREF(list);
  return it;
  FG_CATCH
}

// ---- attributes

PyObject* get_shape(PyObject* self, void*) {
  FG_TRY
  return wrap_sizes(borrow(self).sizes());
  FG_CATCH
}
PyObject* get_dtype(PyObject* self, void*) { return wrap_dtype(borrow(self).dtype()); }
PyObject* get_device(PyObject* self, void*) { return wrap_device(borrow(self).device()); }
PyObject* get_ndim(PyObject* self, void*) { return PyLong_FromLong(borrow(self).dim()); }
PyObject* get_requires_grad(PyObject* self, void*) { return PyBool_FromLong(borrow(self).requires_grad()); }
PyObject* get_is_leaf(PyObject* self, void*) {
  FG_TRY
  return PyBool_FromLong(!grad_fn(borrow(self)));
  FG_CATCH
}
PyObject* get_is_cuda(PyObject* self, void*) { return PyBool_FromLong(!borrow(self).device().is_cpu()); }
PyObject* get_is_cpu(PyObject* self, void*) { return PyBool_FromLong(borrow(self).device().is_cpu()); }
PyObject* get_false(PyObject*, void*) { Py_RETURN_FALSE; }
PyObject* get_version(PyObject* self, void*) { return PyLong_FromUnsignedLong(borrow(self).version()); }
PyObject* get_itemsize(PyObject* self, void*) { return PyLong_FromLongLong(borrow(self).item_bytes()); }
PyObject* get_nbytes(PyObject* self, void*) { return PyLong_FromLongLong(borrow(self).item_bytes() * borrow(self).numel()); }
PyObject* get_output_nr(PyObject* self, void*) { return PyLong_FromUnsignedLong(borrow(self).impl()->output_nr); }
PyObject* get_base(PyObject* self, void*) {
  FG_TRY
  const Tensor& t = borrow(self);
  return t.is_view() ? wrap(t.meta().base) : wrap(Tensor());
  FG_CATCH
}
PyObject* get_grad_fn(PyObject* self, void*) {
  FG_TRY
  Ptr<Node> node = grad_fn(borrow(self));
  if (node) track(self);  // hooks and metadata of the node may lead back to this tensor
  return wrap_node(node);
  FG_CATCH
}
PyObject* get_grad(PyObject* self, void*) {
  FG_TRY
  const Tensor& t = borrow(self);
  if (!t.is_leaf() && !t.grad().defined() && !(t.meta_or_null() && t.meta().retains_grad)) {
    if (PyErr_WarnEx(PyExc_UserWarning,
                     "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
                     "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
                     "Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure "
                     "you access the leaf Tensor instead.",
                     1) < 0)
      return nullptr;
  }
  if (t.grad().defined()) track(self);  // what is stored on the gradient may lead back here
  return wrap(t.grad());
  FG_CATCH
}
PyObject* get_grad_quietly(PyObject* self, void*) {
  FG_TRY
  const Tensor& t = borrow(self);
  if (t.grad().defined()) track(self);
  return wrap(t.grad());
  FG_CATCH
}
PyObject* get_data(PyObject* self, void*) {
  FG_TRY
  return wrap(data_of(borrow(self)));
  FG_CATCH
}
PyObject* get_t(PyObject* self, void*) {
  FG_TRY
  const Tensor& x = borrow(self);
  if (x.dim() == 2) return wrap(transpose(x, 0, 1));
  DimArray order;
  for (int i = x.dim() - 1; i >= 0; --i) order.push(i);
  return wrap(permute(x, order));
  FG_CATCH
}
PyObject* get_mt(PyObject* self, void*) {
  FG_TRY
  const Tensor& x = borrow(self);
  FG_CHECK(x.dim() >= 2, Runtime, "tensor.mT is only supported on matrices or batches of matrices. Got ", x.dim(), "-D tensor.");
  return wrap(transpose(x, -2, -1));
  FG_CATCH
}
PyObject* get_retains_grad(PyObject* self, void*) {
  const Tensor& t = borrow(self);
  return PyBool_FromLong(t.meta_or_null() && t.meta().retains_grad);
}
PyObject* get_is_inference(PyObject* self, void*) { return PyBool_FromLong(borrow(self).impl()->inference); }
PyObject* get_dict(PyObject* self, void*) {
  PyObject*& dict = cast(self)->dict;
  if (!dict) {
    dict = PyDict_New();
    if (!dict) return nullptr;
    track(self);
  }
  Py_INCREF(dict);
  return dict;
}

int set_requires_grad(PyObject* self, PyObject* value, void*) {
  FG_TRY
  const Tensor& t = borrow(self);
  FG_CHECK(value, Type, "requires_grad cannot be deleted");
  int on = PyObject_IsTrue(value);
  if (on < 0) return -1;
  if (!t.is_leaf()) {
    FG_CHECK(on, Runtime, "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in "
             "a subgraph that doesn't require differentiation use var_no_grad = var.detach().");
    return 0;
  }
  FG_CHECK(!on || is_floating(t.dtype()), Runtime, "only Tensors of floating point and complex dtype can require gradients");
  FG_CHECK(!t.impl()->inference || (mode & kInference) || !on, Runtime, "Setting requires_grad=True on inference tensor outside "
           "InferenceMode is not allowed.");
  t.impl()->requires_grad = on;
  return 0;
  FG_CATCH_INT
}

int set_grad(PyObject* self, PyObject* value, void*) {
  FG_TRY
  const Tensor& t = borrow(self);
  if (!value || value == Py_None) {
    t.set_grad(Tensor());
    return 0;
  }
  FG_CHECK(is_tensor(value), Type, "assigned grad expected to be a Tensor or None but got grad of type ", Py_TYPE(value)->tp_name);
  const Tensor& g = borrow(value);
  FG_CHECK(!g.is_same(t), Runtime, "can't assign Variable as its own grad");
  FG_CHECK(g.dtype() == t.dtype(), Runtime, "assigned grad has data of a different type: expected ", dtype_name(t.dtype()),
           ", got ", dtype_name(g.dtype()));
  FG_CHECK(g.device() == t.device(), Runtime, "assigned grad has data located on a different device");
  FG_CHECK(same(g.sizes(), t.sizes()), Runtime, "assigned grad has data of a different size: expected ", shape_text(t.sizes()),
           ", got ", shape_text(g.sizes()));
  t.set_grad(g);
  if (PyObject_GC_IsTracked(value)) track(self);
  return 0;
  FG_CATCH_INT
}

int set_data_attr(PyObject* self, PyObject* value, void*) {
  FG_TRY
  FG_CHECK(value && is_tensor(value), Type, "Variable data has to be a tensor, but got ", value ? Py_TYPE(value)->tp_name : "nothing");
  set_data(borrow(self), borrow(value));
  return 0;
  FG_CATCH_INT
}

int set_dict(PyObject* self, PyObject* value, void*) {
  if (!value || !PyDict_Check(value)) {
    PyErr_SetString(PyExc_TypeError, "__dict__ must be a dictionary");
    return -1;
  }
  Py_INCREF(value);
  Py_XSETREF(cast(self)->dict, value);
  track(self);
  return 0;
}

// Attribute stores make the wrapper visible to the collector.
int tensor_setattro(PyObject* self, PyObject* name, PyObject* value) {
  int status = PyObject_GenericSetAttr(self, name, value);
  if (status == 0 && cast(self)->dict) track(self);
  return status;
}

PyGetSetDef getset[] = {
    {"shape", get_shape, nullptr, "Sizes of the dimensions, as a Size.", nullptr},
    {"dtype", get_dtype, nullptr, "Type of the elements.", nullptr},
    {"device", get_device, nullptr, "Where the elements lie.", nullptr},
    {"ndim", get_ndim, nullptr, "Number of dimensions.", nullptr},
    {"requires_grad", get_requires_grad, set_requires_grad, "Whether a gradient is wanted.", nullptr},
    {"is_leaf", get_is_leaf, nullptr, "Whether no recorded op made this tensor.", nullptr},
    {"is_cuda", get_is_cuda, nullptr, "Whether the elements lie on a CUDA device.", nullptr},
    {"is_cpu", get_is_cpu, nullptr, "Whether the elements lie in host memory.", nullptr},
    {"is_sparse", get_false, nullptr, "Always False.", nullptr},
    {"is_quantized", get_false, nullptr, "Always False.", nullptr},
    {"is_meta", get_false, nullptr, "Always False.", nullptr},
    {"_version", get_version, nullptr, "Number of in-place changes so far.", nullptr},
    {"itemsize", get_itemsize, nullptr, "Bytes of one element.", nullptr},
    {"nbytes", get_nbytes, nullptr, "Bytes of all elements.", nullptr},
    {"output_nr", get_output_nr, nullptr, "Which output of grad_fn this is.", nullptr},
    {"_base", get_base, nullptr, "The tensor this is a view of, or None.", nullptr},
    {"grad_fn", get_grad_fn, nullptr, "The recorded op that made this tensor, or None.", nullptr},
    {"grad", get_grad, set_grad, "The accumulated gradient, or None.", nullptr},
    {"_grad", get_grad_quietly, set_grad, "The accumulated gradient, or None.", nullptr},
    {"data", get_data, set_data_attr, "The same elements without history, with a version of their own.", nullptr},
    {"T", get_t, nullptr, "The dimensions in reverse order.", nullptr},
    {"mT", get_mt, nullptr, "The last two dimensions exchanged.", nullptr},
    {"retains_grad", get_retains_grad, nullptr, "Whether .grad is filled although this is no leaf.", nullptr},
    {"_is_inference", get_is_inference, nullptr, "Whether made in inference mode.", nullptr},
    {"__dict__", get_dict, set_dict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMemberDef members[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(PyTensor, weakrefs), READONLY, nullptr},
                         {"__dictoffset__", T_PYSSIZET, offsetof(PyTensor, dict), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};

PyMethodDef type_methods[] = {
    {"__init_subclass__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(init_subclass)),
     METH_CLASS | METH_VARARGS | METH_KEYWORDS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

#define SLOT(slot, fn) {slot, reinterpret_cast<void*>(fn)}
PyType_Slot slots[] = {
    SLOT(Py_tp_dealloc, tensor_dealloc),
    SLOT(Py_tp_traverse, tensor_traverse),
    SLOT(Py_tp_clear, tensor_clear),
    SLOT(Py_tp_new, tensor_new),
    SLOT(Py_tp_init, tensor_init),
    SLOT(Py_tp_getset, getset),
    SLOT(Py_tp_members, members),
    SLOT(Py_tp_methods, type_methods),
    SLOT(Py_tp_hash, tensor_hash),
    SLOT(Py_tp_richcompare, richcompare),
    SLOT(Py_tp_iter, tensor_iter),
    SLOT(Py_tp_setattro, tensor_setattro),
    SLOT(Py_nb_add, binary_slot<Op::add>),
    SLOT(Py_nb_subtract, binary_slot<Op::sub>),
    SLOT(Py_nb_multiply, binary_slot<Op::mul>),
    SLOT(Py_nb_true_divide, divide_slot),
    SLOT(Py_nb_floor_divide, binary_slot<Op::floor_divide>),
    SLOT(Py_nb_remainder, binary_slot<Op::remainder>),
    SLOT(Py_nb_power, power_slot),
    SLOT(Py_nb_and, binary_slot<Op::bitwise_and>),
    SLOT(Py_nb_or, binary_slot<Op::bitwise_or>),
    SLOT(Py_nb_xor, binary_slot<Op::bitwise_xor>),
    SLOT(Py_nb_lshift, binary_slot<Op::bitwise_left_shift>),
    SLOT(Py_nb_rshift, binary_slot<Op::bitwise_right_shift>),
    SLOT(Py_nb_matrix_multiply, matmul_slot),
    SLOT(Py_nb_inplace_add, inplace_slot<Op::add>),
    SLOT(Py_nb_inplace_subtract, inplace_slot<Op::sub>),
    SLOT(Py_nb_inplace_multiply, inplace_slot<Op::mul>),
    SLOT(Py_nb_inplace_true_divide, inplace_slot<Op::div>),
    SLOT(Py_nb_inplace_floor_divide, inplace_slot<Op::floor_divide>),
    SLOT(Py_nb_inplace_remainder, inplace_slot<Op::remainder>),
    SLOT(Py_nb_inplace_power, inplace_power_slot),
    SLOT(Py_nb_inplace_and, inplace_slot<Op::bitwise_and>),
    SLOT(Py_nb_inplace_or, inplace_slot<Op::bitwise_or>),
    SLOT(Py_nb_inplace_xor, inplace_slot<Op::bitwise_xor>),
    SLOT(Py_nb_inplace_lshift, inplace_slot<Op::bitwise_left_shift>),
    SLOT(Py_nb_inplace_rshift, inplace_slot<Op::bitwise_right_shift>),
    SLOT(Py_nb_negative, unary_slot<Op::neg>),
    SLOT(Py_nb_absolute, unary_slot<Op::abs>),
    SLOT(Py_nb_positive, positive_slot),
    SLOT(Py_nb_invert, invert_slot),
    SLOT(Py_nb_bool, tensor_bool),
    SLOT(Py_nb_int, tensor_int),
    SLOT(Py_nb_float, tensor_float),
    SLOT(Py_nb_index, tensor_index),
    SLOT(Py_mp_length, tensor_length),
    SLOT(Py_mp_subscript, tensor_getitem),
    SLOT(Py_mp_ass_subscript, tensor_setitem),
    SLOT(Py_sq_item, tensor_sq_item),
    SLOT(Py_sq_length, tensor_length),
    {0, nullptr}};
#undef SLOT

PyType_Spec spec = {"fastgrad.Tensor", sizeof(PyTensor), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

}  // namespace

PyObject* wrap(Tensor t) {
  if (!t.defined()) Py_RETURN_NONE;
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

PyObject* wrap_sizes(Dims dims) {
  auto* type = size_type ? reinterpret_cast<PyTypeObject*>(size_type) : &PyTuple_Type;
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

PyObject* wrap_scalar(Scalar s) {
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
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) return false;
  tensor_type = reinterpret_cast<PyTypeObject*>(type);
  py_hooks = {hold_reference, drop_reference};
  Py_INCREF(type);
  out_of_memory_error = PyErr_NewExceptionWithDoc("fastgrad.OutOfMemoryError", "Raised when a device has no more memory.",
                                                  PyExc_RuntimeError, nullptr);
  if (!out_of_memory_error) return false;
  Py_INCREF(out_of_memory_error);
  return PyModule_AddObject(module, "Tensor", type) == 0 &&
         PyModule_AddObject(module, "OutOfMemoryError", out_of_memory_error) == 0;
}

}  // namespace fg::py
