// One complex number as the rows of ops/*.def see it: the words of ops/formula.h for Cx<float> and Cx<double>, on every
// device. The elementary functions are those of std::complex, or of the library that FG_COMPLEX_SPACE names.
//
// Comparisons other than == and != look at the real part: rows use them on magnitudes only.
#pragma once
#include <cmath>
#include <type_traits>

#include "core/dtype.h"
#include "ops/truth.h"
#ifndef FG_COMPLEX_SPACE
#include <complex>
#define FG_COMPLEX_SPACE std
#endif
#ifndef FG_HD
#define FG_HD
#endif

namespace fg {

namespace complex_library = FG_COMPLEX_SPACE;

// Copies of these dtypes go through Cx<double>: they have more digits than a float.
constexpr bool needs_double(DType t) {
  return t == DType::Complex128 || t == DType::Float64 || t == DType::Int64 || t == DType::Int32;
}

template <class T> struct Cx {
  using Library = complex_library::complex<T>;
  T re, im;

  Cx() = default;
  FG_HD Cx(T real, T imaginary) : re(real), im(imaginary) {}
  template <class N, class = std::enable_if_t<std::is_arithmetic_v<N>>> FG_HD Cx(N n) : re(static_cast<T>(n)), im(0) {}
  FG_HD Cx(Library z) : re(z.real()), im(z.imag()) {}
  FG_HD operator Library() const { return {re, im}; }

  friend FG_HD Cx operator+(Cx a, Cx b) { return {a.re + b.re, a.im + b.im}; }
  friend FG_HD Cx operator-(Cx a, Cx b) { return {a.re - b.re, a.im - b.im}; }
  friend FG_HD Cx operator-(Cx a) { return {-a.re, -a.im}; }
  friend FG_HD Cx operator*(Cx a, Cx b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
  // Smith's way: no overflow where the quotient has none.
  friend FG_HD Cx operator/(Cx a, Cx b) {
    if (std::fabs(b.re) >= std::fabs(b.im)) {
      if (b.re == 0 && b.im == 0) return {a.re / std::fabs(b.re), a.im / std::fabs(b.im)};
      T ratio = b.im / b.re, scale = 1 / (b.re + b.im * ratio);
      return {(a.re + a.im * ratio) * scale, (a.im - a.re * ratio) * scale};
    }
    T ratio = b.re / b.im, scale = 1 / (b.re * ratio + b.im);
    return {(a.re * ratio + a.im) * scale, (a.im * ratio - a.re) * scale};
  }

  friend FG_HD Truth operator==(Cx a, Cx b) { return {a.re == b.re && a.im == b.im}; }
  friend FG_HD Truth operator!=(Cx a, Cx b) { return {a.re != b.re || a.im != b.im}; }
  friend FG_HD Truth operator<(Cx a, Cx b) { return {a.re < b.re}; }
  friend FG_HD Cx where(Truth m, Cx a, Cx b) { return m.v ? a : b; }

  friend FG_HD Cx zero(Cx) { return {0, 0}; }
  friend FG_HD Cx conj(Cx a) { return {a.re, -a.im}; }
  friend FG_HD Cx real(Cx a) { return {a.re, 0}; }
  friend FG_HD Cx abs(Cx a) { return {std::hypot(a.re, a.im), 0}; }
  friend FG_HD Cx sign(Cx a) {
    T size = std::hypot(a.re, a.im);
    return size == 0 ? Cx(0, 0) : Cx(a.re / size, a.im / size);
  }

#define FG_WORD(word) \
  friend FG_HD Cx word(Cx a) { return complex_library::word(static_cast<Library>(a)); }
  FG_WORD(exp)
  FG_WORD(log)
  FG_WORD(log10)
  FG_WORD(sqrt)
  FG_WORD(sin)
  FG_WORD(cos)
  FG_WORD(tan)
  FG_WORD(asin)
  FG_WORD(acos)
  FG_WORD(atan)
  FG_WORD(sinh)
  FG_WORD(cosh)
  FG_WORD(tanh)
  FG_WORD(asinh)
  FG_WORD(acosh)
  FG_WORD(atanh)
#undef FG_WORD
  friend FG_HD Cx exp2(Cx a) { return exp(a * Cx(0.693147180559945309417)); }
  friend FG_HD Cx log2(Cx a) { return log(a) * Cx(1.442695040888963407360); }
  friend FG_HD Cx sigmoid(Cx a) { return 1 / (1 + exp(-a)); }
  friend FG_HD Cx expm1(Cx a) {  // near 0 neither part may cancel
    T half = std::sin(a.im / 2), grown = std::exp(a.re);
    return {std::expm1(a.re) * std::cos(a.im) - 2 * half * half, grown * std::sin(a.im)};
  }
  friend FG_HD Cx log1p(Cx a) {
    T x = a.re, y = a.im, size = std::hypot(x + 1, y);
    // |1 + a|^2 - 1 is taken apart where the logarithm of |1 + a| would cancel.
    T modulus = size > T(0.5) && size < T(2) ? std::log1p(x * (2 + x) + y * y) / 2 : std::log(size);
    return {modulus, std::atan2(y, x + 1)};
  }
  friend FG_HD Cx acosh_root(Cx a) { return sqrt(a - 1) * sqrt(a + 1); }
  friend FG_HD Cx pow(Cx a, Cx b) {
    if (b.re == 0 && b.im == 0) return 1;
    return complex_library::pow(static_cast<Library>(a), static_cast<Library>(b));
  }
};

}  // namespace fg
