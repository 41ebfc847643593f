// The rare words: functions of float computed in double, functions of double lane by lane through libm, and the
// division words. Part of math.h, which includes it at its end.
#pragma once
#include "cpu/math_special.h"

namespace fg::cpu::FG_ISA {
namespace {

// ---- rare functions of float, in double: the plain formulas lose no visible bits there ----

constexpr double kTiny = 0x1p-12;  // below, two terms of the series are exact enough and the formulas are not
FG_NOINLINE VF asinh(VF x) {
  return in_double(x, [](VD a) {
    VD b = abs(a);
    return copysign(where(b < kTiny, b - b * b * b * (1.0 / 6), log_wide(b + sqrt(b * b + 1))), a);
  });
}
FG_NOINLINE VF acosh(VF x) {
  return in_double(x, [](VD a) { return where(a >= 1, log_wide(a + sqrt((a - 1) * (a + 1))), __builtin_nan("")); });
}

// ---- lane by lane ----

#define FG_LANES1(word)                                 \
  FG_NOINLINE VD word(VD x) {                           \
    return each(x, [](double a) { return ::word(a); }); \
  }
FG_LANES1(tan)
FG_LANES1(asinh)
FG_LANES1(acosh)
FG_LANES1(atanh)
FG_LANES1(erfc)
#undef FG_LANES1
FG_NOINLINE VD log2(VD x) {
  return each(x, [](double a) { return ::log2(a); });
}
FG_NOINLINE VD log10(VD x) {
  return each(x, [](double a) { return ::log10(a); });
}
FG_NOINLINE VD pow(VD a, VD b) {
  return each(a, b, [](double x, double y) { return ::pow(x, y); });
}
FG_NOINLINE VD hypot(VD a, VD b) {
  return each(a, b, [](double x, double y) { return ::hypot(x, y); });
}
FG_NOINLINE VD fmod(VD a, VD b) {
  return each(a, b, [](double x, double y) { return ::fmod(x, y); });
}
FG_NOINLINE VF hypot(VF a, VF b) {
  VD2 x = widen(a), y = widen(b);
  VF r = narrow({sqrt(x.low * x.low + y.low * y.low), sqrt(x.high * x.high + y.high * y.high)});
  constexpr float inf = Limits<float>::kInf;
  return where((abs(a) == inf) | (abs(b) == inf), inf, r);
}

// ---- special functions: float in double as well ----

#define FG_SPECIAL1(word)                                                                      \
  template <class T> FG_NOINLINE Vec<T> word(Vec<T> x) {                                       \
    return each(x, [](T a) { return static_cast<T>(special::word(static_cast<double>(a))); }); \
  }
FG_SPECIAL1(erfcx)
FG_SPECIAL1(log_ndtr)
#undef FG_SPECIAL1
#define FG_SPECIAL2(word)                                                                                              \
  template <class T> FG_NOINLINE Vec<T> word(Vec<T> a, Vec<T> x) {                                                     \
    return each(                                                                                                       \
        a, x, [](T n, T b) { return static_cast<T>(special::word(static_cast<double>(n), static_cast<double>(b))); }); \
  }                                                                                                                    \
  template <class T> FG_INLINE Vec<T> word(double a, Vec<T> x) { return word(Vec<T>(static_cast<T>(a)), x); }
FG_SPECIAL2(zeta)
FG_SPECIAL2(igamma)
FG_SPECIAL2(igammac)
FG_SPECIAL2(plain_function)
#undef FG_SPECIAL2
template <class T> FG_NOINLINE Vec<T> polygamma(Vec<T> n, Vec<T> x) {
  if (all(n == 1) && all(x > 0)) {
    if constexpr (sizeof(T) == 8) return trigamma(x);
    else return in_double(x, [](VD a) { return trigamma(a); });
  }
  return each(n, x, [](T order, T a) {
    return static_cast<T>(special::polygamma(static_cast<double>(order), static_cast<double>(a)));
  });
}
template <class T> FG_INLINE Vec<T> polygamma(double n, Vec<T> x) { return polygamma(Vec<T>(static_cast<T>(n)), x); }
template <class T> FG_NOINLINE Vec<T> polynomial(Vec<T> kind, Vec<T> x, Vec<T> n) {
  return each(x, n, [&](T a, T b) {
    return static_cast<T>(
        special::polynomial(static_cast<double>(kind.v[0]), static_cast<double>(a), static_cast<double>(b)));
  });
}

// The greatest common divisor of the magnitudes, and the least common multiple; what does not fit wraps.
template <class T> FG_INLINE T gcd_one(T a, T b) {
  using U = typename Lane<T>::Unsigned;
  U x = a < 0 ? U{0} - static_cast<U>(a) : static_cast<U>(a), y = b < 0 ? U{0} - static_cast<U>(b) : static_cast<U>(b);
  while (y != 0) {
    const U rest = x % y;
    x = y, y = rest;
  }
  return static_cast<T>(x);
}
template <class T> FG_NOINLINE Vec<T> gcd(Vec<T> a, Vec<T> b) {
  return each(a, b, [](T x, T y) { return gcd_one(x, y); });
}
template <class T> FG_NOINLINE Vec<T> lcm(Vec<T> a, Vec<T> b) {
  return each(a, b, [](T x, T y) {
    using U = typename Lane<T>::Unsigned;
    const T divisor = gcd_one(x, y);
    if (divisor == 0) return T{0};
    const T product = static_cast<T>(static_cast<U>(x / divisor) * static_cast<U>(y));
    return product < 0 ? static_cast<T>(U{0} - static_cast<U>(product)) : product;
  });
}

// ---- division words ----

FG_NOINLINE VF fmod(VF a, VF b) {
  // With quotients below 2^29 the product and the rest are exact in double; a quotient rounded up shows in the rest's
  // sign.
  VD2 x = widen(a), y = widen(abs(b));
  VD2 q = {trunc(abs(x.low) / y.low), trunc(abs(x.high) / y.high)};
  VD2 r = {abs(x.low) - q.low * y.low, abs(x.high) - q.high * y.high};
  r = {where(r.low < 0, r.low + y.low, r.low), where(r.high < 0, r.high + y.high, r.high)};
  if (any(!(q.low < 0x1p29)) || any(!(q.high < 0x1p29)) || any(abs(b) == Limits<float>::kInf))
    return each(a, b, [](float m, float n) { return ::fmodf(m, n); });
  return copysign(narrow(r), a);
}
template <class T> FG_INLINE Vec<T> remainder_any(Vec<T> a, Vec<T> b) {
  Vec<T> m = fmod(a, b);
  return where((m != 0) & ((m < 0) ^ (b < 0)), m + b, m);
}
template <class T> FG_INLINE Vec<T> floor_divide_any(Vec<T> a, Vec<T> b) {
  Vec<T> m = fmod(a, b);
  Vec<T> quotient = (a - m) / b;
  quotient = where((m != 0) & ((m < 0) ^ (b < 0)), quotient - 1, quotient);
  Vec<T> whole = floor(quotient);
  whole = where(quotient - whole > 0.5, whole + 1, whole);
  whole = where(quotient == 0, copysign(zero(a), a / b), whole);
  return where(b == 0, a / b, whole);
}
FG_INLINE VF remainder(VF a, VF b) { return remainder_any(a, b); }
FG_INLINE VD remainder(VD a, VD b) { return remainder_any(a, b); }
FG_INLINE VF floor_divide(VF a, VF b) { return floor_divide_any(a, b); }
FG_INLINE VD floor_divide(VD a, VD b) { return floor_divide_any(a, b); }
FG_INLINE VF trunc_divide(VF a, VF b) { return trunc(a / b); }
FG_INLINE VD trunc_divide(VD a, VD b) { return trunc(a / b); }

template <class T> FG_INLINE Vec<T> logaddexp_any(Vec<T> a, Vec<T> b) {
  Vec<T> m = max(a, b);
  Vec<T> y = m + log1p_exp(-abs(a - b));
  return where((a == b) & (abs(a) == Limits<T>::kInf), a, y);
}
FG_INLINE VF logaddexp(VF a, VF b) { return logaddexp_any(a, b); }
FG_INLINE VD logaddexp(VD a, VD b) { return logaddexp_any(a, b); }

}  // namespace
}  // namespace fg::cpu::FG_ISA
