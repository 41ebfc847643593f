// The words of formula.h for tensors: a row read with them gives its gradient as recorded ops (create_graph=True).
#pragma once
#include "ops/ops.h"

namespace fg {

#define FG_WORD1(word) \
  inline Tensor word(const Tensor& x) { return unary(Op::word, x); }
FG_WORD1(exp)
FG_WORD1(exp2)
FG_WORD1(expm1)
FG_WORD1(log)
FG_WORD1(log2)
FG_WORD1(log10)
FG_WORD1(log1p)
FG_WORD1(sqrt)
FG_WORD1(sin)
FG_WORD1(cos)
FG_WORD1(tan)
FG_WORD1(asin)
FG_WORD1(acos)
FG_WORD1(atan)
FG_WORD1(sinh)
FG_WORD1(cosh)
FG_WORD1(tanh)
FG_WORD1(asinh)
FG_WORD1(acosh)
FG_WORD1(atanh)
FG_WORD1(sigmoid)
FG_WORD1(erf)
FG_WORD1(erfc)
FG_WORD1(abs)
FG_WORD1(floor)
FG_WORD1(ceil)
FG_WORD1(round)
FG_WORD1(trunc)
FG_WORD1(lgamma)
FG_WORD1(digamma)
FG_WORD1(i0)
#undef FG_WORD1
inline Tensor erfcx(const Tensor& x) { return unary(Op::special_erfcx, x); }
inline Tensor i0e(const Tensor& x) { return unary(Op::special_i0e, x); }
inline Tensor i1(const Tensor& x) { return unary(Op::special_i1, x); }
inline Tensor i1e(const Tensor& x) { return unary(Op::special_i1e, x); }
inline Tensor polygamma(double n, const Tensor& x) { return unary(Op::polygamma, x, Scalar::of(n)); }
inline Tensor operator-(const Tensor& x) { return unary(Op::neg, x); }
inline Tensor zero(const Tensor& x) { return zeros_like(x); }
inline Tensor sign(const Tensor& x) { return sgn(x); }

#define FG_WORD2(word, op)                                                              \
  inline Tensor word(const Tensor& a, const Tensor& b) { return binary(Op::op, a, b); } \
  inline Tensor word(const Tensor& a, double b) { return binary(Op::op, a, b); }        \
  inline Tensor word(double a, const Tensor& b) { return binary(Op::op, a, b); }
FG_WORD2(operator+, add)
FG_WORD2(operator-, sub)
FG_WORD2(operator*, mul)
FG_WORD2(operator/, div)
FG_WORD2(operator<, lt)
FG_WORD2(operator<=, le)
FG_WORD2(operator>, gt)
FG_WORD2(operator>=, ge)
FG_WORD2(operator==, eq)
FG_WORD2(operator!=, ne)
FG_WORD2(operator&, logical_and)
FG_WORD2(operator|, logical_or)
FG_WORD2(operator^, logical_xor)
FG_WORD2(max, maximum)
FG_WORD2(min, minimum)
FG_WORD2(atan2, atan2)
FG_WORD2(hypot, hypot)
FG_WORD2(zeta, special_zeta)
FG_WORD2(copysign, copysign)
FG_WORD2(logaddexp, logaddexp)
FG_WORD2(trunc_divide, trunc_divide)
FG_WORD2(remainder, remainder)
FG_WORD2(fmod, fmod)
FG_WORD2(bit_and, bitwise_and)
FG_WORD2(bit_or, bitwise_or)
FG_WORD2(bit_xor, bitwise_xor)
FG_WORD2(shift_left, bitwise_left_shift)
FG_WORD2(shift_right, bitwise_right_shift)
#undef FG_WORD2
inline Tensor acosh_root(const Tensor& x) {
  return is_complex(x.dtype()) ? sqrt(x - 1) * sqrt(x + 1) : sqrt(x * x - 1);
}
inline Tensor floor_divide(const Tensor& a, const Tensor& b) { return binary(Op::floor_divide, a, b, kCalledAs); }

}  // namespace fg
