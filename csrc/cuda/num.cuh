// One number in a kernel: the CUDA reading of the words of ops/formula.h. A class type, so that every word of a row is
// found by argument-dependent lookup; literals convert. Semantics of NaN, infinities and integer overflow are torch's.
#pragma once
#include <cmath>

#include "cuda/device.cuh"
#include "ops/truth.h"

namespace fg::cuda {

namespace special {
#if defined(__CUDACC__)
#define FG_SPECIAL static inline __device__ __noinline__
#else
#define FG_SPECIAL inline
#endif
#include "ops/special_math.h"
#undef FG_SPECIAL
}  // namespace special
#include "ops/normal_quantile.h"

template <class T> struct Num {
  T v;
  static constexpr bool kFloat = std::is_floating_point_v<T>;
  using U = typename std::conditional_t<kFloat, std::type_identity<T>, std::make_unsigned<T>>::type;  // wraps
  static constexpr int kBits = sizeof(T) * 8;

  Num() = default;
  template <class N, class = std::enable_if_t<std::is_arithmetic_v<N>>> FG_DEVICE Num(N n) : v(static_cast<T>(n)) {}

#define FG_OP(op) \
  friend FG_DEVICE Num operator op(Num a, Num b) { return static_cast<T>(static_cast<U>(a.v) op static_cast<U>(b.v)); }
  FG_OP(+)
  FG_OP(-)
  FG_OP(*)
#undef FG_OP
  friend FG_DEVICE Num operator/(Num a, Num b) {
    if constexpr (kFloat) return a.v / b.v;
    return trunc_divide(a, b);
  }
  friend FG_DEVICE Num operator-(Num a) {
    if constexpr (kFloat) return -a.v;
    return Num(0) - a;
  }
#define FG_OP(op) \
  friend FG_DEVICE Truth operator op(Num a, Num b) { return {a.v op b.v}; }
  FG_OP(<)
  FG_OP(<=)
  FG_OP(>)
  FG_OP(>=)
  FG_OP(==)
  FG_OP(!=)
#undef FG_OP
  friend FG_DEVICE Num where(Truth m, Num a, Num b) { return m.v ? a.v : b.v; }
  friend FG_DEVICE Num zero(Num) { return T(0); }
  friend FG_DEVICE Num conj(Num a) { return a; }

#define FG_WORD(word, fn)            \
  friend FG_DEVICE Num word(Num a) { \
    if constexpr (sizeof(T) == 4) {  \
      return ::fn##f(a.v);           \
    } else {                         \
      return ::fn(a.v);              \
    }                                \
  }
  FG_WORD(exp, exp)
  FG_WORD(exp2, exp2)
  FG_WORD(expm1, expm1)
  FG_WORD(log, log)
  FG_WORD(log2, log2)
  FG_WORD(log10, log10)
  FG_WORD(log1p, log1p)
  FG_WORD(sqrt, sqrt)
  FG_WORD(sin, sin)
  FG_WORD(cos, cos)
  FG_WORD(tan, tan)
  FG_WORD(asin, asin)
  FG_WORD(acos, acos)
  FG_WORD(atan, atan)
  FG_WORD(sinh, sinh)
  FG_WORD(cosh, cosh)
  FG_WORD(asinh, asinh)
  FG_WORD(acosh, acosh)
  FG_WORD(atanh, atanh)
  FG_WORD(tanh, tanh)
  FG_WORD(erf, erf)
  FG_WORD(erfc, erfc)
#undef FG_WORD
  friend FG_DEVICE Num sigmoid(Num a) { return 1 / (1 + exp(-a)); }

  // Words that are the identity on integers.
#define FG_WORD(word, fn)                  \
  friend FG_DEVICE Num word(Num a) {       \
    if constexpr (!kFloat) {               \
      return a;                            \
    } else if constexpr (sizeof(T) == 4) { \
      return ::fn##f(a.v);                 \
    } else {                               \
      return ::fn(a.v);                    \
    }                                      \
  }
  FG_WORD(floor, floor)
  FG_WORD(ceil, ceil)
  FG_WORD(round, rint)
  FG_WORD(trunc, trunc)
#undef FG_WORD
  friend FG_DEVICE Num abs(Num a) {
    if constexpr (!kFloat) {
      return a.v < 0 ? -a : a;
    } else if constexpr (sizeof(T) == 4) {
      return ::fabsf(a.v);
    } else {
      return ::fabs(a.v);
    }
  }
  friend FG_DEVICE Num sign(Num a) { return static_cast<T>((a.v > 0) - (a.v < 0)); }
  friend FG_DEVICE Num max(Num a, Num b) { return a.v > b.v || a.v != a.v ? a.v : b.v; }
  friend FG_DEVICE Num min(Num a, Num b) { return a.v < b.v || a.v != a.v ? a.v : b.v; }

#define FG_WORD(word, fn)                   \
  friend FG_DEVICE Num word(Num a, Num b) { \
    if constexpr (sizeof(T) == 4) {         \
      return ::fn##f(a.v, b.v);             \
    } else {                                \
      return ::fn(a.v, b.v);                \
    }                                       \
  }
  FG_WORD(atan2, atan2)
  FG_WORD(hypot, hypot)
  FG_WORD(copysign, copysign)
  FG_WORD(float_pow, pow)
  FG_WORD(float_fmod, fmod)
#undef FG_WORD
  friend FG_DEVICE Num pow(Num a, Num b) {
    if constexpr (kFloat) {
      return float_pow(a, b);
    } else {
      if (b.v < 0) return a.v == 1 ? 1 : a.v == -1 ? (b.v & 1 ? -1 : 1) : 0;
      Num y = 1;
      for (U n = static_cast<U>(b.v); n; n >>= 1, a = a * a) {
        if (n & 1) y = y * a;
      }
      return y;
    }
  }
  friend FG_DEVICE Num logaddexp(Num a, Num b) {
    Num m = max(a, b);
    return a.v == b.v && m.v - m.v != 0 ? a : m + log1p(exp(-abs(a - b)));
  }

  // Division by zero gives 0 for integers: ops/ has raised before.
  friend FG_DEVICE Num trunc_divide(Num a, Num b) {
    if constexpr (kFloat) {
      return trunc(a / b);
    } else {
      return b.v == 0 ? Num(0) : b.v == -1 ? -a : Num(a.v / b.v);
    }
  }
  friend FG_DEVICE Num fmod(Num a, Num b) {
    if constexpr (kFloat) {
      return float_fmod(a, b);
    } else {
      return b.v == 0 || b.v == -1 ? Num(0) : Num(a.v % b.v);
    }
  }
  friend FG_DEVICE Num floor_divide(Num a, Num b) {
    if constexpr (kFloat) {
      if (b.v == 0) return a / b;
      Num mod = fmod(a, b), div = (a - mod) / b;
      if (mod.v != 0 && (b.v < 0) != (mod.v < 0)) div = div - 1;
      if (div.v == 0) return copysign(Num(0), a / b);
      Num down = floor(div);
      return div.v - down.v > T(0.5) ? down + 1 : down;
    } else {
      Num q = trunc_divide(a, b);
      return fmod(a, b).v != 0 && (a.v < 0) != (b.v < 0) ? q - 1 : q;
    }
  }
  friend FG_DEVICE Num remainder(Num a, Num b) {
    Num mod = fmod(a, b);
    return mod.v != 0 && (b.v < 0) != (mod.v < 0) ? mod + b : mod;
  }

  // Special functions, in double.
  friend FG_DEVICE Num erfinv(Num a) { return static_cast<T>(erfinv_of(Num<double>(a.v)).v); }
  friend FG_DEVICE Num ndtri(Num a) { return static_cast<T>(ndtri_of(Num<double>(a.v)).v); }
#define FG_WORD(word, fn) \
  friend FG_DEVICE Num word(Num a) { return static_cast<T>(special::fn(static_cast<double>(a.v))); }
  FG_WORD(lgamma, log_gamma)
  FG_WORD(digamma, digamma)
  FG_WORD(erfcx, erfcx)
  FG_WORD(i0, i0)
  FG_WORD(i0e, i0e)
  FG_WORD(i1, i1)
  FG_WORD(i1e, i1e)
  FG_WORD(log_ndtr, log_ndtr)
#undef FG_WORD
#define FG_WORD(word)                                                                         \
  friend FG_DEVICE Num word(Num a, Num b) {                                                   \
    return static_cast<T>(special::word(static_cast<double>(a.v), static_cast<double>(b.v))); \
  }
  FG_WORD(polygamma)
  FG_WORD(zeta)
  FG_WORD(igamma)
  FG_WORD(igammac)
#undef FG_WORD
  friend FG_DEVICE Num plain_function(Num kind, Num x) {
    return static_cast<T>(special::plain_function(static_cast<int>(kind.v), static_cast<double>(x.v)));
  }
  friend FG_DEVICE Num polynomial(Num kind, Num x, Num n) {
    return static_cast<T>(
        special::polynomial(static_cast<int>(kind.v), static_cast<double>(x.v), static_cast<double>(n.v)));
  }
  friend FG_DEVICE Num gcd(Num a, Num b) {
    U x = static_cast<U>((a.v < 0 ? -a : a).v), y = static_cast<U>((b.v < 0 ? -b : b).v);
    while (y != 0) {
      const U rest = static_cast<U>(x % y);
      x = y, y = rest;
    }
    return static_cast<T>(x);
  }
  friend FG_DEVICE Num lcm(Num a, Num b) {
    const Num divisor = gcd(a, b);
    if (divisor.v == 0) return T(0);
    const Num product = trunc_divide(a, divisor) * b;
    return product.v < 0 ? -product : product;
  }

  friend FG_DEVICE Num bit_and(Num a, Num b) { return a.v & b.v; }
  friend FG_DEVICE Num bit_or(Num a, Num b) { return a.v | b.v; }
  friend FG_DEVICE Num bit_xor(Num a, Num b) { return a.v ^ b.v; }
  friend FG_DEVICE Num shift_left(Num a, Num b) {
    return static_cast<U>(b.v) >= kBits ? T(0) : static_cast<T>(static_cast<U>(a.v) << b.v);
  }
  friend FG_DEVICE Num shift_right(Num a, Num b) { return a.v >> (static_cast<U>(b.v) >= kBits ? kBits - 1 : b.v); }
};

// c0 + c1 x + c2 x^2 ...
template <class T> FG_DEVICE Num<T> poly(Num<T>, double c) { return c; }
template <class T, class... C> FG_DEVICE Num<T> poly(Num<T> x, double c, C... more) { return poly(x, more...) * x + c; }

}  // namespace fg::cuda
