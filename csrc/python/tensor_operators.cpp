// The operators of the tensor type: number slots, comparisons, conversion to Python numbers, length and iteration.
#include "autograd/node.h"
#include "python/args.h"
#include "python/overrides.h"
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
  FG_CHECK(t.numel() == 1, Value, "only one element tensors can be converted to Python scalars (got ", t.numel(),
           " elements)");
  Scalar s = item(t);
  FG_CHECK(s.imaginary == 0, Runtime, "value cannot be converted to type double without overflow");
  return s;
}

int tensor_bool(PyObject* self) {
  FG_TRY
  const Tensor& t = borrow(self);
  FG_CHECK(t.numel() != 0, Runtime, "Boolean value of Tensor with no values is ambiguous");
  FG_CHECK(t.numel() == 1, Runtime, "Boolean value of Tensor with more than one value is ambiguous");
  return !item(t).is_zero();
  FG_CATCH_INT
}
PyObject* tensor_int(PyObject* self) {
  FG_TRY
  Scalar s = one_number(self);
  if (s.is_integral()) return PyLong_FromLongLong(s.i);
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
  FG_CHECK(is_integral(t.dtype()) && t.numel() == 1, Type,
           "only integer tensors of a single element can be converted to an index");
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

// ---- operators honour overrides: these stand in the slots, and know what each operator is called then

template <size_t n>
struct Name {
  char text[n];
  constexpr Name(const char (&from)[n]) {
    for (size_t i = 0; i < n; ++i) text[i] = from[i];
  }
};

inline bool either_overridden(PyObject* a, PyObject* b) {
  if (!(mode & kTorchFunction) && !may_override(a) && !may_override(b)) [[likely]]
    return false;
  PyObject* both[] = {a, b};
  return overridden(both, 2);
}

// `reflected` is called with the tensor first when it is the second operand.
template <auto slot, Name name, Name reflected = name, class... Rest>
PyObject* guarded_binary(PyObject* a, PyObject* b, Rest... rest) {
  if (!either_overridden(a, b)) {
    PyObject* both[] = {a, b};
    ProfileCall profiled(is_tensor(a) ? name.text : reflected.text, nullptr, both, 2);
    return slot(a, b, rest...);
  }
  FG_TRY
  return is_tensor(a) ? dispatch_slot(name.text, {a, b}, true) : dispatch_slot(reflected.text, {b, a}, true);
  FG_CATCH
}
template <auto slot, Name name>
PyObject* guarded_unary(PyObject* self) {
  if (self_overridden(self)) return dispatch_slot(name.text, {self});
  ProfileCall profiled(name.text, self, nullptr, 0);
  return slot(self);
}
PyObject* guarded_power(PyObject* a, PyObject* b, PyObject* mod) {
  return guarded_binary<power_slot, "__pow__", "__rpow__">(a, b, mod);
}
PyObject* guarded_inplace_power(PyObject* a, PyObject* b, PyObject* mod) {
  return guarded_binary<inplace_power_slot, "__ipow__">(a, b, mod);
}
PyObject* guarded_compare(PyObject* a, PyObject* b, int code) {
  static constexpr const char* names[] = {"lt", "le", "__eq__", "ne", "gt", "ge"};
  if (!either_overridden(a, b)) {
    PyObject* both[] = {a, b};
    ProfileCall profiled(names[code], nullptr, both, 2);
    return richcompare(a, b, code);
  }
  FG_TRY
  return dispatch_slot(names[code], {a, b}, true);
  FG_CATCH
}
int guarded_bool(PyObject* self) {
  if (!self_overridden(self)) return tensor_bool(self);
  PyObject* result = dispatch_slot("__bool__", {self});
  int truth = result ? PyObject_IsTrue(result) : -1;
  Py_XDECREF(result);
  return truth;
}
Py_ssize_t guarded_length(PyObject* self) {
  if (!self_overridden(self)) return tensor_length(self);
  PyObject* result = dispatch_slot("__len__", {self});
  Py_ssize_t length = result ? PyNumber_AsSsize_t(result, PyExc_OverflowError) : -1;
  Py_XDECREF(result);
  return length;
}
PyObject* guarded_item(PyObject* self, Py_ssize_t i) {
  if (!self_overridden(self)) return tensor_sq_item(self, i);
  PyObject* index = PyLong_FromSsize_t(i);
  PyObject* result = index ? dispatch_slot("__getitem__", {self, index}) : nullptr;
  Py_XDECREF(index);
  return result;
}
PyObject* guarded_iter(PyObject* self) {  // not overridden itself: the unbind in it is
  if (!self_overridden(self)) return tensor_iter(self);
  PyObject* parts = PyObject_CallMethod(self, "unbind", "i", 0);
  PyObject* it = parts ? PyObject_GetIter(parts) : nullptr;
  Py_XDECREF(parts);
  return it;
}

}  // namespace

#define SLOT(slot, fn) {slot, reinterpret_cast<void*>(fn)}
const PyType_Slot operator_slots[] = {
    SLOT(Py_tp_hash, tensor_hash),
    SLOT(Py_tp_richcompare, guarded_compare),
    SLOT(Py_tp_iter, guarded_iter),
    SLOT(Py_nb_add, (guarded_binary<binary_slot<Op::add>, "add">)),
    SLOT(Py_nb_subtract, (guarded_binary<binary_slot<Op::sub>, "sub", "__rsub__">)),
    SLOT(Py_nb_multiply, (guarded_binary<binary_slot<Op::mul>, "mul">)),
    SLOT(Py_nb_true_divide, (guarded_binary<divide_slot, "div", "__rtruediv__">)),
    SLOT(Py_nb_floor_divide, (guarded_binary<binary_slot<Op::floor_divide>, "__floordiv__", "__rfloordiv__">)),
    SLOT(Py_nb_remainder, (guarded_binary<binary_slot<Op::remainder>, "remainder", "__rmod__">)),
    SLOT(Py_nb_power, guarded_power),
    SLOT(Py_nb_and, (guarded_binary<binary_slot<Op::bitwise_and>, "__and__", "bitwise_and">)),
    SLOT(Py_nb_or, (guarded_binary<binary_slot<Op::bitwise_or>, "__or__", "bitwise_or">)),
    SLOT(Py_nb_xor, (guarded_binary<binary_slot<Op::bitwise_xor>, "__xor__", "bitwise_xor">)),
    SLOT(Py_nb_lshift, (guarded_binary<binary_slot<Op::bitwise_left_shift>, "__lshift__", "__rlshift__">)),
    SLOT(Py_nb_rshift, (guarded_binary<binary_slot<Op::bitwise_right_shift>, "__rshift__", "__rrshift__">)),
    SLOT(Py_nb_matrix_multiply, (guarded_binary<matmul_slot, "matmul", "__rmatmul__">)),
    SLOT(Py_nb_inplace_add, (guarded_binary<inplace_slot<Op::add>, "add_">)),
    SLOT(Py_nb_inplace_subtract, (guarded_binary<inplace_slot<Op::sub>, "sub_">)),
    SLOT(Py_nb_inplace_multiply, (guarded_binary<inplace_slot<Op::mul>, "mul_">)),
    SLOT(Py_nb_inplace_true_divide, (guarded_binary<inplace_slot<Op::div>, "div_">)),
    SLOT(Py_nb_inplace_floor_divide, (guarded_binary<inplace_slot<Op::floor_divide>, "floor_divide_">)),
    SLOT(Py_nb_inplace_remainder, (guarded_binary<inplace_slot<Op::remainder>, "remainder_">)),
    SLOT(Py_nb_inplace_power, guarded_inplace_power),
    SLOT(Py_nb_inplace_and, (guarded_binary<inplace_slot<Op::bitwise_and>, "__iand__">)),
    SLOT(Py_nb_inplace_or, (guarded_binary<inplace_slot<Op::bitwise_or>, "__ior__">)),
    SLOT(Py_nb_inplace_xor, (guarded_binary<inplace_slot<Op::bitwise_xor>, "__ixor__">)),
    SLOT(Py_nb_inplace_lshift, (guarded_binary<inplace_slot<Op::bitwise_left_shift>, "__ilshift__">)),
    SLOT(Py_nb_inplace_rshift, (guarded_binary<inplace_slot<Op::bitwise_right_shift>, "__irshift__">)),
    SLOT(Py_nb_negative, (guarded_unary<unary_slot<Op::neg>, "neg">)),
    SLOT(Py_nb_absolute, (guarded_unary<unary_slot<Op::abs>, "abs">)),
    SLOT(Py_nb_positive, (guarded_unary<positive_slot, "positive">)),
    SLOT(Py_nb_invert, (guarded_unary<invert_slot, "__invert__">)),
    SLOT(Py_nb_bool, guarded_bool),
    SLOT(Py_nb_int, (guarded_unary<tensor_int, "__int__">)),
    SLOT(Py_nb_float, (guarded_unary<tensor_float, "__float__">)),
    SLOT(Py_nb_index, (guarded_unary<tensor_index, "__index__">)),
    SLOT(Py_mp_length, guarded_length),
    SLOT(Py_mp_subscript, tensor_getitem),
    SLOT(Py_mp_ass_subscript, tensor_setitem),
    SLOT(Py_sq_item, guarded_item),
    SLOT(Py_sq_length, guarded_length),
    {0, nullptr}};
#undef SLOT

}  // namespace fg::py
