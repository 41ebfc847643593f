// Which dtypes an elementwise op takes and works in, with torch's refusals.
#include "ops/elementwise_dtype.h"

namespace fg {

namespace {

bool float_only(Op op) {
  switch (op) {
    case Op::elu: case Op::celu: case Op::selu: case Op::gelu: case Op::gelu_tanh: case Op::silu: case Op::mish:
    case Op::softplus: case Op::log_sigmoid: case Op::hardsigmoid: case Op::hardswish: case Op::leaky_relu:
    case Op::softshrink: case Op::hardshrink: case Op::prelu: case Op::lerp: case Op::hypot: case Op::igamma: case Op::igammac: case Op::logaddexp: case Op::mse_loss:
    case Op::smooth_l1_loss: case Op::huber_loss: case Op::binary_cross_entropy: case Op::binary_cross_entropy_with_logits:
      return true;
    default:
      return false;
  }
}

bool not_for_bool(Op op) {
  switch (op) {
    case Op::abs: case Op::floor: case Op::ceil: case Op::round: case Op::trunc: case Op::floor_divide: case Op::trunc_divide:
    case Op::remainder: case Op::fmod: case Op::pow: case Op::threshold: case Op::addcmul: case Op::bitwise_left_shift:
    case Op::bitwise_right_shift: case Op::gcd: case Op::lcm:
      return true;
    default:
      return false;
  }
}

}  // namespace

DType working_dtype(Op op, const RowInfo& info, DType given, Args args) {
  if (is_complex(given)) {
    if (!info.complex) fail(ErrorKind::NotImplemented, "\"", info.name, "\" not implemented for '", dtype_name(given), "'");
    return given;
  }
  if (!is_floating(given) && float_only(op))
    fail(ErrorKind::NotImplemented, info.name, ": not implemented for ", dtype_name(given), ", only for floating point");
  bool number_power = op == Op::pow && !args[1].tensor;  // bool ** True is bool
  if (given == DType::Bool && not_for_bool(op) && !number_power) fail(ErrorKind::NotImplemented, info.name, ": not implemented for bool");
  if (op == Op::square && given == DType::Bool) return DType::Int64;
  if (wants_float(info.section) && !is_floating(given)) return default_dtype();
  if (op == Op::sub && given != DType::Bool)
    for (const Arg& a : args)
      if (a.tensor ? a.tensor->dtype() == DType::Bool : a.scalar.kind == Scalar::Bool)
        fail(ErrorKind::Runtime, "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to "
             "invert a mask, use the `~` or `logical_not()` operator instead.");
  return given;
}

void check_dtype(Op op, const RowInfo& info, DType t, Args args) {
  if (info.section == Section::bitwise && is_floating(t))
    fail(ErrorKind::NotImplemented, info.name, ": not implemented for ", dtype_name(t), ", only for integers and bool");
  if (t == DType::Bool && !gives_bool(info.section) && info.section != Section::bitwise) {
    if (op == Op::sub)
      fail(ErrorKind::Runtime,
           "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator "
           "instead.");
    if (op == Op::neg)
      fail(ErrorKind::Runtime,
           "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
           "`logical_not()` operator instead.");
    if (op == Op::relu || op == Op::hardtanh) fail(ErrorKind::Runtime, "Boolean inputs not supported for ", info.name);
  }
  if (is_integral(t) && (op == Op::floor_divide || op == Op::trunc_divide || op == Op::remainder || op == Op::fmod)) {
    if (any_zero(args[1])) fail(ErrorKind::Runtime, info.name, ": integer division by zero (ZeroDivisionError)");
  }
}

DType result_type(Args args) {
  Promotion promotion;
  for (const Arg& a : args) promotion.add(a);
  return promotion.result();
}

}  // namespace fg
