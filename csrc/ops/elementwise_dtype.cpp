// Which dtypes an elementwise op takes and works in, with torch's refusals.
#include "ops/elementwise_dtype.h"

#include <algorithm>

namespace fg {

namespace {

bool float_only(Op op) {
  return one_of(op, {Op::elu,
                     Op::celu,
                     Op::selu,
                     Op::gelu,
                     Op::gelu_tanh,
                     Op::silu,
                     Op::mish,
                     Op::softplus,
                     Op::log_sigmoid,
                     Op::hardsigmoid,
                     Op::hardswish,
                     Op::leaky_relu,
                     Op::softshrink,
                     Op::hardshrink,
                     Op::prelu,
                     Op::lerp,
                     Op::hypot,
                     Op::igamma,
                     Op::igammac,
                     Op::logaddexp,
                     Op::mse_loss,
                     Op::smooth_l1_loss,
                     Op::huber_loss,
                     Op::binary_cross_entropy,
                     Op::binary_cross_entropy_with_logits});
}

bool not_for_bool(Op op) {
  return one_of(op, {Op::abs, Op::floor, Op::ceil, Op::round, Op::trunc, Op::frac, Op::floor_divide, Op::trunc_divide,
                     Op::remainder, Op::fmod, Op::pow, Op::threshold, Op::addcmul, Op::bitwise_left_shift,
                     Op::bitwise_right_shift, Op::gcd, Op::lcm});
}

}  // namespace

DType working_dtype(Op op, const RowInfo& info, DType given, Args args) {
  if (op == Op::sub && given != DType::Bool)
    for (const Arg& a : args)
      if (a.tensor ? a.tensor->dtype() == DType::Bool : a.scalar.kind == Scalar::Bool)
        fail(ErrorKind::Runtime,
             "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to "
             "invert a mask, use the `~` or `logical_not()` operator instead.");
  if (is_complex(given)) {
    if (!info.complex)
      fail(ErrorKind::NotImplemented, "\"", info.name, "\" not implemented for '", dtype_name(given), "'");
    return given;
  }
  if (!is_floating(given) && float_only(op))
    fail(ErrorKind::NotImplemented, info.name, ": not implemented for ", dtype_name(given),
         ", only for floating point");
  bool number_power = op == Op::pow && !args[1].tensor;  // bool ** True is bool
  if (given == DType::Bool && not_for_bool(op) && !number_power)
    fail(ErrorKind::NotImplemented, info.name, ": not implemented for bool");
  if (op == Op::square && given == DType::Bool) return DType::Int64;
  if (wants_float(info.section) && !is_floating(given)) return default_dtype();
  return given;
}

void check_dtype(Op op, const RowInfo& info, DType t, Args args) {
  if (info.section == Section::bitwise && is_floating(t))
    fail(ErrorKind::NotImplemented, info.name, ": not implemented for ", dtype_name(t), ", only for integers and bool");
  if (t == DType::Bool && !gives_bool(info.section) && info.section != Section::bitwise) {
    if (op == Op::sub)
      fail(
          ErrorKind::Runtime,
          "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator "
          "instead.");
    if (op == Op::neg)
      fail(
          ErrorKind::Runtime,
          "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
          "`logical_not()` operator instead.");
    if (op == Op::relu || op == Op::hardtanh) fail(ErrorKind::Runtime, "Boolean inputs not supported for ", info.name);
  }
  if (is_integral(t) && (op == Op::floor_divide || op == Op::trunc_divide || op == Op::remainder || op == Op::fmod)) {
    const bool empty =
        std::any_of(args.begin(), args.end(), [](const Arg& a) { return a.tensor && !a.tensor->numel(); });
    if (!empty && any_zero(args[1]))
      fail(ErrorKind::Runtime, info.name, ": integer division by zero (ZeroDivisionError)");
  }
}

DType result_type(Args args) {
  Promotion promotion;
  for (const Arg& a : args) promotion.add(a);
  return promotion.result();
}

}  // namespace fg
