// The words a row may use, and the helper formulas built from them. One text, many meanings: a row is a template, and
// its argument type says what happens.
//
//   Vec<T>   cpu/vec.h          SIMD lanes, once per instruction set
//   Num<T>   cuda/num.cuh       one number in a CUDA kernel
//   Uses     below              constexpr: which operands a gradient reads (this decides what is saved)
//   Cx<T>    ops/complex_number.h   one complex number
//   Tensor   ops/elementwise.cpp  recorded ops: the gradient of the gradient
//
// All of them are class types, so every word is found by argument-dependent lookup at instantiation. Words:
//   + - * / unary-   < <= > >= == !=  (give a mask: & | ^)   where(mask, v, v)   with number literals on either side
//   exp exp2 expm1 log log2 log10 log1p sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid erf
//   erfc abs sign floor ceil round (half to even) trunc   max min (NaN wins)   pow atan2 hypot copysign logaddexp
//   floor_divide trunc_divide remainder (sign of b) fmod (sign of a)   zero (0 of the same kind)
//   conj (the identity on reals: free)   real (of complex numbers: the imaginary part set to 0)
//   bit_and bit_or bit_xor shift_left shift_right gcd lcm (integers)
//   lgamma digamma polygamma zeta igamma igammac erfinv erfcx ndtri log_ndtr i0 i0e i1 i1e   plain_function polynomial
//   by number
//
// FG_HD is empty, or __host__ __device__. Kernel files include this inside their own per-ISA namespace, after the
// words, and define FG_FORMULA_NESTED; elsewhere it opens namespace fg.
#ifndef FG_HD
#define FG_HD
#endif

#ifndef FG_FORMULA_NESTED
#pragma once
namespace fg {
#endif

constexpr double kLn2 = 0.693147180559945309417;
constexpr double kLn10 = 2.302585092994045684018;
constexpr double kTwoOverSqrtPi = 1.128379167095512573896;
constexpr double kSqrtHalf = 0.707106781186547524401;
constexpr double kInvSqrtTwoPi = 0.398942280401432677940;
constexpr double kSqrtTwoOverPi = 0.797884560802865355880;
constexpr double kInfinite = __builtin_inf();
constexpr double kSqrtTwoPi = 2.506628274631000502416;
constexpr double kSqrtPiOverTwo = 0.886226925452758013649;
constexpr double kGeluCubic = 0.044715;
constexpr double kSeluAlpha = 1.6732632423543772848170429916717;
constexpr double kSeluScale = 1.0507009873554804934193349852946;

// Vectors of float have a word of their own, whose digits do not cancel far below 0.
template <class V> FG_HD V one_plus_erf(V x) { return 1 + erf(x); }
template <class V> FG_HD V gelu(V x) { return 0.5 * x * one_plus_erf(x * kSqrtHalf); }
template <class V> FG_HD V gelu_slope(V x) {
  return 0.5 * one_plus_erf(x * kSqrtHalf) + x * (kInvSqrtTwoPi * exp(-0.5 * (x * x)));
}
template <class V> FG_HD V gelu_tanh(V x) {
  return 0.5 * x * (1 + tanh(kSqrtTwoOverPi * (x + kGeluCubic * (x * x * x))));
}
template <class V> FG_HD V gelu_tanh_slope(V x) {
  V t = tanh(kSqrtTwoOverPi * (x + kGeluCubic * (x * x * x)));
  return 0.5 * (1 + t) + 0.5 * x * ((1 - t * t) * (kSqrtTwoOverPi * (1 + 3 * kGeluCubic * (x * x))));
}
template <class V> FG_HD V silu_slope(V x) {
  V s = sigmoid(x);
  return s * (1 + x * (1 - s));
}
// log(1 + exp(x)) for x <= 0; vectors have a word of their own for it
template <class V> FG_HD V log1p_exp(V x) { return log1p(exp(x)); }
template <class V> FG_HD V softplus(V x) { return max(x, 0) + log1p_exp(-abs(x)); }
// tanh(softplus(x)) = n / (n + 2) with n = w (w + 2), w = exp(x); 1 from 20 on
template <class V> FG_HD V tanh_softplus(V w) {
  V n = w * (w + 2);
  return n / (n + 2);
}
template <class V> FG_HD V mish(V x) { return x * tanh_softplus(exp(min(x, 20))); }
template <class V> FG_HD V mish_slope(V x) {
  V w = exp(min(x, 20)), t = tanh_softplus(w);
  return t + x * (w / (w + 1) * (1 - t * t));
}
// In the slope of acosh; of complex numbers the branch of acosh, which sqrt(x * x - 1) leaves left of 0.
template <class V> FG_HD V acosh_root(V x) { return sqrt(x * x - 1); }
// Too small to change 1: where i1(x) / x is 1/2 to the last bit, and its derivative would cancel.
template <class V> FG_HD auto tiny(V x) { return 1 + abs(x) == 1; }
// Density over distribution of the normal law; each half in the form that neither overflows nor cancels.
template <class V> FG_HD V log_ndtr_slope(V x) {
  V up = where(x > 0, x, 0), down = where(x > 0, 0, x);
  return kSqrtTwoOverPi * where(x > 0, exp(-0.5 * (up * up)) / erfc(-kSqrtHalf * up), 1 / erfcx(-kSqrtHalf * down));
}

#ifndef FG_FORMULA_NESTED
}  // namespace fg
#endif
