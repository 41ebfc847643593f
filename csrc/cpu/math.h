// Transcendental functions on Vec<float> and Vec<double>, exact to 2 ulp, with torch's results for NaN, infinities,
// zeros and denormals. The common ones, here, are straight-line polynomials with one test per vector that sends rare
// lanes (huge arguments, denormal results) to a slow function out of line. The others follow in math_float.h and
// math_rare.h.
//
// Polynomials were fitted at Chebyshev nodes in 60 digits. Constants of a reduction are split so that products with
// the integer are exact without fused multiply-add: the same text is accurate on every instruction set. Denormal
// results cost a microcode assist on common CPUs, hence the care to produce them only when they are the answer.
#pragma once
#include "cpu/vec.h"

namespace fg::cpu::FG_ISA {
namespace {

// c0 + c1 x + c2 x^2 ...
template <class V> FG_INLINE V poly(V, double c) { return c; }
template <class V, class... C> FG_INLINE V poly(V x, double c, C... more) { return poly(x, more...) * x + c; }

template <class T> struct Limits;
template <> struct Limits<float> {
  static constexpr float kInf = __builtin_inff(), kMin = 0x1p-126f, kMax = 0x1.fffffep127f;
  static constexpr int kMantissa = 23;
  static constexpr float kMagic = 0x1.8p23f;  // adding it leaves the rounded integer in the low bits
};
template <> struct Limits<double> {
  static constexpr double kInf = __builtin_inf(), kMin = 0x1p-1022, kMax = 0x1.fffffffffffffp1023;
  static constexpr int kMantissa = 52;
  static constexpr double kMagic = 0x1.8p52;
};

// ---- exponentials ----

// p * 2^n for t = n + kMagic; p in [0.5, 2), the result must be normal (or, with AVX-512, may overflow)
template <class T> FG_INLINE Vec<T> scale(Vec<T> p, Vec<T> t) {
#if defined(__AVX512F__)
  Vec<T> n = t - Limits<T>::kMagic;
  if constexpr (sizeof(T) == 4) return (typename Vec<T>::V)_mm512_scalef_ps((__m512)p.v, (__m512)n.v);
  else return (typename Vec<T>::V)_mm512_scalef_pd((__m512d)p.v, (__m512d)n.v);
#else
  return Vec<T>::from_bits(bits(p) + bits(t).template shifted_left<Limits<T>::kMantissa>());
#endif
}

template <class T> FG_INLINE Vec<T> ln2_rest(Vec<T> x, Vec<T> n) {  // x - n ln 2
  if constexpr (sizeof(T) == 4) return (x - n * 0.693145751953125) - n * 1.4286068203094172e-6;
  else return (x - n * 0x1.62e42fefa2000p-1) - n * 0x1.9ef35793c7673p-41;
}

struct BaseE {
  template <class T> FG_INLINE static Vec<T> round(Vec<T> x) { return x * 1.4426950408889634074 + Limits<T>::kMagic; }
  // (exp(r) - 1 - r) / r^2, |r| < 0.35
  template <class T> FG_INLINE static Vec<T> curve(Vec<T> r) {
    if constexpr (sizeof(T) == 4) {
      return poly(r, 5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3,
                  1.9875691500e-4);
    } else {
      return poly(r, 0.5000000000000001051, 0.1666666666666666747, 0.04166666666662317038, 0.0083333333333299882,
                  0.001388888891769060354, 0.0001984126986342035026, 0.0000248015205570178279, 2.755726789174553036e-6,
                  2.762043894863441865e-7, 2.510065503606659005e-8);
    }
  }
  template <class T> FG_INLINE static Vec<T> power_less_one(Vec<T> x, Vec<T> n) {
    Vec<T> r = ln2_rest(x, n);
    return (r * r) * curve(r) + r;
  }
  // The rounding errors of the reduction and of 1 + r are put back: 0.68 ulp instead of 1.05.
  struct Sum {
    VF sum, rest;
  };
  FG_INLINE static Sum power_sum(VF x, VF n, VF more = 0) {  // of x + more
    VF high = x - n * 0.693145751953125, part = more - n * 1.4286068203094172e-6;
    VF r = high + part, low = part - (r - high);
    VF sum = 1 + r, lost = r - (sum - 1);
    return {sum, lost + ((r * r) * curve(r) + low)};
  }
  template <class T> FG_INLINE static Vec<T> power(Vec<T> x, Vec<T> n) {
    if constexpr (sizeof(T) == 4) {
      Sum power = power_sum(x, n);
      return power.sum + power.rest;
    } else {
      return power_less_one(x, n) + 1;
    }
  }
  // below low the result is denormal or 0 (slightly earlier), above high infinite, below zero 0
  template <class T> static constexpr T low = sizeof(T) == 4 ? -87.33f : -708.39;
  template <class T> static constexpr T high = sizeof(T) == 4 ? 0x1.62e42ep6f : 0x1.62e42fefa39efp9;
  template <class T> static constexpr T none = sizeof(T) == 4 ? -104 : -746;
};
struct BaseTwo {
  template <class T> FG_INLINE static Vec<T> round(Vec<T> x) { return x + Limits<T>::kMagic; }
  template <class T> FG_INLINE static Vec<T> power(Vec<T> x, Vec<T> n) {
    Vec<T> r = x - n;
    if constexpr (sizeof(T) == 4)
      return r * poly(r, 0.693147188, 0.2402265076, 0.05550357071, 0.00961808252, 0.001339088633, 0.0001545318283) + 1;
    else
      return r * poly(r, 0.6931471805599453093, 0.2402265069591007123, 0.05550410866482162713, 0.009618129107628479497,
                      0.00133335581464064355, 0.0001540353039337071599, 0.00001525273384160181517,
                      1.321548680872785772e-6, 1.01780570645733588e-7, 7.054897292691627319e-9, 4.45582202501491514e-10,
                      2.572934455378675413e-11) +
             1;
  }
  template <class T> static constexpr T low = sizeof(T) == 4 ? -126 : -1022;
  template <class T> static constexpr T high = sizeof(T) == 4 ? 0x1.fffffep6f : 0x1.fffffffffffffp9;
  template <class T> static constexpr T none = sizeof(T) == 4 ? -151 : -1076;
};

// Without range handling: base^x must be normal.
template <class Base, class T> FG_INLINE Vec<T> power_in_range(Vec<T> x) {
  Vec<T> t = Base::round(x);
  return scale(Base::power(x, Vec<T>(t - Limits<T>::kMagic)), t);
}
// p * 2^n for t = n + kMagic, where p may be NaN, which stays NaN: adding to its exponent would not keep it
template <class T> FG_INLINE Vec<T> scaled(Vec<T> p, Vec<T> t) {
#if defined(__AVX512F__)
  return scale(p, t);
#else
  return p * scale(Vec<T>(1), t);
#endif
}
// |x| <= 87.33 (708.39), or NaN
template <class T> FG_INLINE Vec<T> exp_in_range(Vec<T> x) {
  Vec<T> t = BaseE::round(x);
  return scaled(BaseE::power(x, Vec<T>(t - Limits<T>::kMagic)), t);
}

// Denormal results: computed 2^64 times too large, then rounded once.
template <class Base, class T> [[gnu::noinline]] Vec<T> power_denormal(Vec<T> x, Vec<T> y) {
  Vec<T> clamped = at_least(x, Base::template none<T>);
  Vec<T> t = Base::round(clamped);
  Vec<T> p = Base::power(clamped, Vec<T>(t - Limits<T>::kMagic));
  Vec<T> small = scale(p, Vec<T>(at_most(t, Limits<T>::kMagic) + 64)) * 0x1p-64;
  return where((x < Base::template low<T>)&(x > Base::template none<T>), small, y);
}

template <class Base, class T> FG_INLINE Vec<T> power_of(Vec<T> x) {
  constexpr T low = Base::template low<T>, high = Base::template high<T>;
#if defined(__AVX512F__)
  // scalef overflows to infinity and keeps NaN by itself
  Vec<T> y = power_in_range<Base>(at_most(at_least(x, low), high + 1));
  y = where(x < low, 0, y);
#else
  Vec<T> y = power_in_range<Base>(x);
  y = where(x > high, Limits<T>::kInf, y);
  y = where(x >= low, y, at_least(x, 0));  // 0, or the NaN
#endif
  if (any((x < low) & (x > Base::template none<T>))) y = power_denormal<Base, T>(x, y);
  return y;
}
FG_INLINE VF exp(VF x) { return power_of<BaseE>(x); }
FG_INLINE VD exp(VD x) { return power_of<BaseE>(x); }
FG_INLINE VF exp2(VF x) { return power_of<BaseTwo>(x); }
FG_INLINE VD exp2(VD x) { return power_of<BaseTwo>(x); }

template <class T> FG_INLINE Vec<T> expm1_any(Vec<T> x) {
  constexpr T low = sizeof(T) == 4 ? -20 : -40;
  Vec<T> clamped = at_most(at_least(x, low), BaseE::high<T>);
  Vec<T> t = BaseE::round(clamped);
  Vec<T> n = t - Limits<T>::kMagic;
  Vec<T> r = ln2_rest(clamped, n);
  Vec<T> q;
  if constexpr (sizeof(T) == 4)
    q = poly(r, 0.5000000014, 0.1666666668, 0.04166646267, 0.008333310675, 0.001393390005, 0.0001989126851);
  else
    q = poly(r, 0.5, 0.1666666666666667112, 0.04166666666666667095, 0.008333333333325964428, 0.001388888888888277267,
             0.0001984126987541564872, 0.00002480158732823341574, 2.755725468764482268e-6, 2.755727070037073357e-7,
             2.510552928331546815e-8, 2.091579463103873678e-9);
  Vec<T> p = (r * r) * q + r;
  Vec<T> half = scale(Vec<T>(0.5), t);  // 2^n / 2, so that the largest n does not overflow
  Vec<T> y = ((half - 0.5) + half * p) * 2;
  y = where(abs(x) < 0.34, p, y);
  y = where(x > BaseE::high<T>, Limits<T>::kInf, y);
  return copysign(y, x);
}
FG_INLINE VF expm1(VF x) { return expm1_any(x); }
FG_INLINE VD expm1(VD x) { return expm1_any(x); }

// ---- logarithms ----

// x = 2^e m with m in [sqrt(1/2), sqrt(2)), for normal positive x; e as floating number
template <class T> struct Split {
  Vec<T> e, m;
};
template <class T> FG_INLINE Split<T> split(Vec<T> x) {
  if constexpr (sizeof(T) == 4) {
    VI i = bits(x);
    VI e = (i - 0x3f3504f3).shifted_right<23>();
    return {to_float(e), VF::from_bits(i - e.shifted_left<23>())};
  } else {
    // 64-bit integers are neither shifted with sign nor converted by AVX2: a bias keeps them positive
    VL i = bits(x);
    VL e = (i - 0x3fe6a09e667f3bcd + (int64_t{1024} << 52)).shifted_right_zero<52>();
    VD value = VD::from_bits(bit_or(e, 0x4330000000000000)) - (0x1p52 + 1024);
    return {value, VD::from_bits(i - (e - 1024).shifted_left<52>())};
  }
}

// e ln 2 + log(1 + f)
template <class T> FG_INLINE Vec<T> log_of(Vec<T> e, Vec<T> f) {
  if constexpr (sizeof(T) == 4) {
    Vec<T> p = poly(f, 0.3333333118, -0.2499999696, 0.2000071575, -0.1666780232, 0.1424905765, -0.1242568733,
                    0.1168541992, -0.1147973385, 0.06971611471);
    Vec<T> z = f * f;
    return e * 0.693145751953125 + (f - (0.5 * z - ((f * z) * p + e * 1.4286068203094172e-6)));
  } else {
    Vec<T> s = f / (2 + f);
    Vec<T> z = s * s;
    Vec<T> p = z * poly(z, 0.6666666666666669708, 0.3999999999989889051, 0.2857142862625383761, 0.2222221108937949621,
                        0.181828924325368712, 0.153316117220550079, 0.1461780715341732482);
    Vec<T> half = 0.5 * (f * f);
    return e * 0x1.62e42fefa2000p-1 + (f - (half - (s * (half + p) + e * 0x1.9ef35793c7673p-41)));
  }
}
struct BaseELog {
  template <class T> FG_INLINE static Vec<T> of(Vec<T> e, Vec<T> f) { return log_of(e, f); }
};
template <class Base, class T> [[gnu::noinline]] Vec<T> log_special(Vec<T> x, Vec<T> y) {
  constexpr T up = sizeof(T) == 4 ? 0x1p23 : 0x1p52;
  Split<T> parts = split(Vec<T>(x * up));
  Vec<T> small = Base::of(Vec<T>(parts.e - T{Limits<T>::kMantissa}), Vec<T>(parts.m - 1));
  y = where(x < Limits<T>::kMin, small, y);
  y = where(x == 0, -Limits<T>::kInf, y);
  y = where(x == Limits<T>::kInf, x, y);
  return where(x >= 0, y, __builtin_nanf(""));
}
template <class Base, class T> FG_INLINE Vec<T> log_any(Vec<T> x) {
  Split<T> parts = split(x);
  Vec<T> y = Base::of(parts.e, Vec<T>(parts.m - 1));
  if (any(!((x >= Limits<T>::kMin) & (x <= Limits<T>::kMax)))) y = log_special<Base>(x, y);
  return y;
}
FG_INLINE VF log(VF x) { return log_any<BaseELog>(x); }
FG_INLINE VD log(VD x) { return log_any<BaseELog>(x); }

template <class T> [[gnu::noinline]] Vec<T> log1p_special(Vec<T> x, Vec<T> y) {
  y = where(x == -1, -Limits<T>::kInf, y);
  y = where(x == Limits<T>::kInf, x, y);
  return where(x >= -1, y, __builtin_nanf(""));
}
template <class T> FG_INLINE Vec<T> log1p_any(Vec<T> x) {
  Vec<T> u = 1 + x;
  Vec<T> lost = where(x < 1, x - (u - 1), 1 - (u - x));
  Split<T> parts = split(u);
  // The lost part, scaled like u, joins the mantissa: when 1 + x needs no scaling f is x itself.
  Vec<T> scaled;
  if constexpr (sizeof(T) == 4) scaled = VF::from_bits(bits(parts.m) - bits(u) + 0x3f800000);
  else scaled = VD::from_bits(bits(parts.m) - bits(u) + 0x3ff0000000000000);
  Vec<T> y = log_of(parts.e, Vec<T>((parts.m - 1) + lost * at_least(at_most(scaled, 2), 0)));
  if (any(!((x > -1) & (x <= Limits<T>::kMax)))) y = log1p_special(x, y);
  return copysign(y, x);
}
FG_INLINE VF log1p(VF x) { return log1p_any(x); }
FG_INLINE VD log1p(VD x) { return log1p_any(x); }

// ---- double as the wide type of float: about 36 good bits ----

FG_INLINE VD log2_wide(VD x) {
  Split<double> parts = split(x);
  VD f = parts.m - 1;
  VD s = f / (2 + f);
  VD z = s * s;
  VD log_m =
      s * (z * poly(z, 0.6666666564520562224, 0.4000033523979706479, 0.2853730691567358011, 0.2358215722247341976) + 2);
  VD y = log_m * 1.4426950408889634074 + parts.e;
  y = where(x == 0, -Limits<double>::kInf, y);
  return where(x > Limits<double>::kMax, x, where(x >= 0, y, __builtin_nan("")));
}
FG_INLINE VD exp2_wide(VD x) {
  VD clamped = at_most(at_least(x, -300), 300);
  VD t = clamped + Limits<double>::kMagic;
  VD r = clamped - (t - Limits<double>::kMagic);
  VD p = r * poly(r, 0.6931471805411835661, 0.2402265107588919042, 0.05550410963879034959, 0.009618036921113855498,
                  0.001333342977184644569, 0.0001546710459616875684, 0.00001531517414015989828) +
         1;
  VD y = scale(p, t);
  return where(x == x, y, x);
}
FG_NOINLINE VF pow(VF a, VF b) {
  VD2 x = widen(abs(a)), y = widen(b);
  VF r = narrow({exp2_wide(y.low * log2_wide(x.low)), exp2_wide(y.high * log2_wide(x.high))});
  VF half = b * 0.5;
  VF::M whole = trunc(b) == b;
  VF::M odd = whole & (floor(half) != half);
  r = where((abs(a) == 1) & (b == b), 1, r);
  r = where(odd, copysign(r, a), r);
  r = where((a < 0) & (a > -Limits<float>::kInf) & !whole, __builtin_nanf(""), r);
  return where((b == 0) | (a == 1), 1, r);
}

// ---- tanh, sigmoid ----

// 1 + exp(x), |x| <= 87.33 (708.39): with exp(x) = 2^n + 2^n p there is one rounding that counts
template <class T> FG_INLINE Vec<T> one_plus_exp(Vec<T> x) {
  Vec<T> t = BaseE::round(x), power = scale(Vec<T>(1), t), sum = 1 + power, lost = 1 - (sum - power);
  return sum + (power * BaseE::power_less_one(x, Vec<T>(t - Limits<T>::kMagic)) + lost);
}
template <class T> FG_INLINE Vec<T> tanh_any(Vec<T> x) {
  Vec<T> a = abs(x);
  Vec<T> big = 1 - 2 / one_plus_exp(Vec<T>(2 * at_most(a, 20)));
  Vec<T> z = a * a;
  Vec<T> p;
  if constexpr (sizeof(T) == 4) p = poly(z, -0.3333332894, 0.1333276974, -0.05385090958, 0.020997179, -0.006096714166);
  else
    p = poly(z, -0.3333333333333333294, 0.133333333333330416, -0.05396825396789699169, 0.02186948851900830576,
             -0.008863235103240877925, 0.003592121751154962269, -0.00145577541204780551, 0.0005896606577757043347,
             -0.0002375906496055561955, 0.00009257116129556768271, -0.00003120110142579740003, 6.48516348279311315e-6);
  return copysign(where(a < 0.625, a * z * p + a, big), x);
}
FG_INLINE VF tanh(VF x) { return tanh_any(x); }
FG_INLINE VD tanh(VD x) { return tanh_any(x); }

template <class T> [[gnu::noinline]] Vec<T> sigmoid_small(Vec<T> x, Vec<T> y) {
  return where(x < BaseE::low<T>, power_of<BaseE>(x), y);
}
template <class T> FG_INLINE Vec<T> sigmoid_any(Vec<T> x) {
  constexpr T bound = -BaseE::low<T>;
  Vec<T> y = 1 / one_plus_exp(at_most(at_least(-x, -bound), bound));
  if (any(x < -bound)) y = sigmoid_small(x, y);
  return y;
}
FG_INLINE VF sigmoid(VF x) { return sigmoid_any(x); }
FG_INLINE VD sigmoid(VD x) { return sigmoid_any(x); }

// ---- sine and cosine ----

template <class T, bool is_cos> [[gnu::noinline]] Vec<T> circular_huge(Vec<T> x, Vec<T> y, Mask<T> huge) {
  return where(huge,
               each(x,
                    [](T a) -> T {
                      if constexpr (sizeof(T) == 4) return is_cos ? ::cosf(a) : ::sinf(a);
                      else return is_cos ? ::cos(a) : ::sin(a);
                    }),
               y);
}
// a = quadrant pi / 2 + r + rest, the quadrant in the low bits of t
template <class T> constexpr T kCircular = sizeof(T) == 4 ? 10000 : 1000000;  // larger ones go to libm
template <class T> struct Angle {
  Vec<T> t, r, rest;
};
template <class T> FG_INLINE Angle<T> angle_of(Vec<T> a) {
  Vec<T> t = a * 0.63661977236758134308 + Limits<T>::kMagic;
  Vec<T> n = t - Limits<T>::kMagic;
  if constexpr (sizeof(T) == 4) {
    Vec<T> left = (a - n * 0x1.92p0) - n * 0x1.fb4p-12, part = n * 0x1.444p-24, r = left - part;
    return {t, r, ((left - r) - part) - n * 0x1.68c234c4c6629p-39};
  } else {
    Vec<T> left = a - n * 0x1.921fb544p0, part = n * 0x1.0b4611a6p-34, r = left - part;
    return {t, r, ((left - r) - part) - n * 0x1.3198a2e037073p-69};
  }
}
template <class T, bool is_cos> FG_INLINE Vec<T> circular(Vec<T> x) {
  Vec<T> a = abs(x);
  Angle<T> angle = angle_of(a);
  Vec<T> t = angle.t, r = angle.r + angle.rest, z = r * r, s, c;
  if constexpr (sizeof(T) == 4) {
    s = r * z * poly(z, -0.1666666456, 0.008332729227, -0.0001958380954) + r;
    c = z * z * poly(z, 0.04166666456, -0.001388828395, 2.454385207e-5) - 0.5 * z + 1;
  } else {
    s = r * z *
            poly(z, -0.166666666666666646, 0.008333333333330929118, -0.000198412698367292982, 2.755731608737887145e-6,
                 -2.505112868515550268e-8, 1.591790182459687653e-10) +
        r;
    Vec<T> half = 0.5 * z, w = 1 - half;
    c = w + (((1 - w) - half) + z * z *
                                    poly(z, 0.04166666666666666538, -0.001388888888888738512, 0.00002480158729874737352,
                                         -2.755731726223748363e-7, 2.087614429164219664e-9, -1.138249012200027941e-11));
  }
  auto quadrant = bits(t) + (is_cos ? 1 : 0);
  Vec<T> y = where(Mask<T>{(bit_and(quadrant, 1) != 0).v}, c, s);
  auto flip = bit_and(quadrant, 2).template shifted_left<8 * sizeof(T) - 2>();
  if constexpr (!is_cos) flip = bit_xor(flip, bits(x) - bits(a));
  y = Vec<T>::from_bits(bit_xor(bits(y), flip));
  Mask<T> huge = !(a <= kCircular<T>);
  if (any(huge)) y = circular_huge<T, is_cos>(x, y, huge);
  return y;
}
FG_INLINE VF sin(VF x) { return circular<float, false>(x); }
FG_INLINE VD sin(VD x) { return circular<double, false>(x); }
FG_INLINE VF cos(VF x) { return circular<float, true>(x); }
FG_INLINE VD cos(VD x) { return circular<double, true>(x); }

}  // namespace
}  // namespace fg::cpu::FG_ISA

#include "cpu/math_float.h"
#include "cpu/math_rare.h"
