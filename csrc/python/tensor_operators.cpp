// The operators of the tensor type: number slots, comparisons, conversion to Python numbers, length and iteration.
#include "autograd/node.h"
#include "python/args.h"
#include "python/tensor_slots.h"

namespace fg::py {

namespace {

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

}  // namespace

#define SLOT(slot, fn) {slot, reinterpret_cast<void*>(fn)}
const PyType_Slot operator_slots[] = {
    SLOT(Py_tp_hash, tensor_hash),
    SLOT(Py_tp_richcompare, richcompare),
    SLOT(Py_tp_iter, tensor_iter),
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

}  // namespace fg::py
