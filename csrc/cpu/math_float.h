// The less common functions of float, by polynomials of their own: base 2 and 10 logarithms, tangent, inverse
// trigonometric and hyperbolic functions, the complement and the inverse of erf. Part of math.h, as math_rare.h is.
#pragma once
#include "cpu/math.h"

namespace fg::cpu::FG_ISA {
namespace {

// ---- logarithms to base 2 and 10: the logarithm of the mantissa has its own polynomial for each ----

struct BaseTwoLog {
  FG_INLINE static VF of(VF e, VF f) {
    VF q = poly(f, -0.7213473522, 0.4808982343, -0.3606966045, 0.2885676673, -0.2396184748, 0.2045969691, -0.1910513876,
                0.1861917549, -0.1099949153);
    return e + (f * 1.44269502162933349609375 + (f * f * q + f * 1.925963033500115e-8));
  }
};
struct BaseTenLog {
  FG_INLINE static VF of(VF e, VF f) {
    VF q = poly(f, -0.2171471903, 0.1447647934, -0.1085804973, 0.08686752364, -0.07213234843, 0.06158982473,
                -0.05751219839, 0.05604930316, -0.03311176888);
    VF low = e * 4.6050388e-6 + (f * f * q + f * -1.1010017e-8);
    return e * 0.301025390625 + (f * 0.4342944920063018798828125 + low);
  }
};
FG_INLINE VF log2(VF x) { return log_any<BaseTwoLog>(x); }
FG_INLINE VF log10(VF x) { return log_any<BaseTenLog>(x); }

// log(1 + exp(x)), x <= 0 (or NaN)
FG_INLINE VF log1p_exp(VF x) {
  VF e = exp(x);
  return e + e * (e * poly(e, -0.4999993272, 0.3333051039, -0.2495858174, 0.1969538667, -0.1535538793, 0.1068057743,
                           -0.05766487961, 0.0202048756, -0.003318539919));
}
FG_INLINE VD log1p_exp(VD x) { return log1p(exp(x)); }

// ---- tangent ----

FG_NOINLINE VF tan_huge(VF x, VF y) {
  return where(abs(x) <= kCircular<float>, y, each(x, [](float a) { return ::tanf(a); }));
}
FG_INLINE VF tan(VF x) {
  VF a = abs(x);
  Angle<float> angle = angle_of(a);
  VF r = angle.r, z = r * r;
  VF p = poly(z, 0.3333315346, 0.1333888914, 0.05340375271, 0.0244573583, 0.003075672425, 0.009411937094);
  VF t = r + (r * z * p + angle.rest * (1 + z));
  VI quadrant = bits(angle.t);
  VF y = where(Mask<float>{(bit_and(quadrant, 1) != 0).v}, -1 / t, t);
  y = VF::from_bits(bit_xor(bits(y), bits(x) - bits(a)));
  if (any(!(a <= kCircular<float>))) y = tan_huge(x, y);
  return y;
}

// ---- inverse trigonometric: pi / 2 and pi in two parts, the second joins before the last sum ----

constexpr double kHalfPi = 1.57079637050628662109375, kHalfPiRest = -4.37113900018624e-8;

FG_INLINE VF atan_of(VF t) {  // |t| <= 1: what is to be added to t
  VF z = t * t;
  return t * z *
         poly(z, -0.3333329911, 0.1999854948, -0.1426425792, 0.109522814, -0.08403747893, 0.05796286633, -0.03118319696,
              0.0109175038, -0.001794271409);
}
FG_INLINE VF atan(VF x) {
  VF a = abs(x);
  VF::M steep = a > 1;
  VF t = where(steep, -1, a) / where(steep, a, 1);
  VF y = t + (atan_of(t) + where(steep, kHalfPiRest, VF(0)));
  return copysign(y + where(steep, kHalfPi, VF(0)), x);
}
FG_INLINE VF atan2(VF y, VF x) {
  VF ay = abs(y), ax = abs(x);
  VF::M steep = ay > ax, back = copysign(VF(1), x) < 0;
  VF small = where(steep, ax, ay), large = where(steep, ay, ax);
  VF t = small / large;
  t = where((small == large) & ((small == 0) | (small == Limits<float>::kInf)), at_most(small, 1), t);  // 0/0, inf/inf
  // t or -t from 0, pi / 2 or pi
  t = VF::from_bits(bit_xor(bits(t), VI(((steep ^ back).v & INT32_MIN))));
  VF turns = where(steep, 1, where(back, 2, VF(0)));
  VF r = t + (atan_of(t) + turns * kHalfPiRest);
  r = r + turns * kHalfPi;
  return copysign(where((x != x) | (y != y), x + y, r), y);
}
struct HalfAngle {  // of asin: below 1/2 by itself, else through asin(x) = pi / 2 - 2 asin(sqrt((1 - x) / 2))
  VF root, more;    // their sum is asin(root)
  VF::M upper;
};
FG_INLINE HalfAngle half_angle(VF a) {
  VF::M upper = a > 0.5;
  VF s = where(upper, 0.5 - 0.5 * a, a * a), root = where(upper, sqrt(s), a);
  VF p = poly(s, 0.1666675237, 0.07495303099, 0.0454696697, 0.0241829535, 0.04216062459);
  return {root, root * s * p, upper};
}
FG_INLINE VF asin(VF x) {
  HalfAngle half = half_angle(abs(x));
  VF up = kHalfPi - 2 * (half.root + (half.more - 0.5 * kHalfPiRest));
  return copysign(where(half.upper, up, half.root + half.more), x);
}
FG_INLINE VF acos(VF x) {
  HalfAngle half = half_angle(abs(x));
  VF::M back = x < 0;
  VF low = where(half.upper, where(back, -kHalfPiRest, VF(0)), where(back, VF(kHalfPiRest), -kHalfPiRest));
  VF angle = half.root + (half.more - low);  // near 0: sign of x
  VF upper = where(back, 2 * kHalfPi - 2 * angle, 2 * angle);
  return where(half.upper, upper, where(back, kHalfPi + angle, kHalfPi - angle));
}

// ---- hyperbolic ----

// exp(a) / 2, also where exp(a) overflows; a >= 0
FG_INLINE VF half_exp(VF a) {
  VF clamped = at_most(a, 90), t = BaseE::round(clamped);
  return scale(BaseE::power(clamped, VF(t - Limits<float>::kMagic)), VF(t - 1));
}
constexpr float kSinhMax = 0x1.65a9f8p+6f;  // the largest x with finite sinh(x)
FG_INLINE VF sinh(VF x) {
  VF a = abs(x), half = half_exp(a), z = a * a;
  VF big = where(a <= kSinhMax, half - 0.25 / half, a * Limits<float>::kInf);
  VF small = a + a * z * poly(z, 0.166666665, 0.008333350045, 0.000198361627, 2.816933674e-6);
  return copysign(where(a < 1, small, big), x);
}
FG_INLINE VF cosh(VF x) {
  VF a = abs(x), half = half_exp(a);
  return where(a <= kSinhMax, half + 0.25 / half, a * Limits<float>::kInf);
}
FG_INLINE VF atanh(VF x) {
  VF a = abs(x), z = a * a;
  VF small = a + a * z *
                     poly(z, 0.3333333606, 0.1999972762, 0.1429485021, 0.1096721757, 0.1028247502, 0.02452816321,
                          0.1759354783);
  VF big = 0.5 * log((1 + a) / (1 - a));
  return copysign(where(a < 0.5, small, big), x);
}

// ---- error function ----

FG_INLINE VF erf_near(VF x) {  // up to 0.9
  return x * poly(VF(x * x), 0.1283791538, -0.3761252328, 0.1128214098, -0.02677891792, 0.00501197877,
                  -0.0006090451031) +
         x;
}
FG_INLINE VF exp_of_sum(VF x, VF more, VF factor_less_one = 0) {  // exp(x + more) * factor, one rounding
  VF t = BaseE::round(VF(x + more));
  BaseE::Sum e = BaseE::power_sum(x, VF(t - Limits<float>::kMagic), more);
  return scale(VF(e.sum + (e.rest + (e.sum + e.rest) * factor_less_one)), t);
}
// Denormal results: exp(-a^2) times the factor in two steps, rounded once.
FG_NOINLINE VF erfc_small(VF x0, VF x1, VF factor) {
  return (exp_in_range(VF(0.5 * x0)) * factor) * exp_of_sum(VF(0.5 * x0), x1);
}
FG_INLINE VF erfc(VF x) {
  // exp(-a^2) V / (1 + 2a), V by a polynomial in (a - 2) / (a + 2). The square has two parts, high^2 is exact.
  constexpr double none = 10.1, normal = 9.19;
  VF a = abs(x), b = at_most(a, none), high = VF::from_bits(bit_and(bits(b), -4096));
  VF h = 1 / (b + 2), u = 1 - 4 * h;
  VF v = poly(u, 0.276978393, -0.09276398099, -0.1660314231, 0.1640553486, -0.05420431638, -0.008059886791,
              0.008631734863, 0.001313558932, -0.001229979523, -0.0004006174433);
  VF s = 1 + 2 * b, lost = 1 - (s - 2 * b);
  v = v - lost * (h * poly(h, 0.56, 0.1, 4.0)) * (1 + v);  // of 1 / (1 + 2a) two digits are enough
  VF x0 = -(high * high), x1 = (high - b) * (b + high);
  VF y = where(a > normal, 0, exp_of_sum(x0, x1, v)) / s;
  if (any((a > normal) & (a < none))) y = where(a > normal, erfc_small(x0, x1, VF((1 + v) / s)), y);
  return where(a < 0.5, 1 - erf_near(x), where(x < 0, 2 - y, y));
}
// erfc(a) from 0.9 on as 2^-q: exact enough for what is added to 1, five digits in the far tail, 0 from 9.1
FG_INLINE VF erfc_rough(VF a) {
  VF clamped = at_most(a, 9.1);
  VF q = poly(clamped, -0.00033015286167, 1.6301668853, 0.91193263851, 0.15886181785, -0.038496936761, 0.0071839933088,
              -0.00099277221742, 9.7238437234e-5, -6.3375047689e-6, 2.4527659599e-7, -4.250163235e-9);
  VF t = Limits<float>::kMagic - q, r = (Limits<float>::kMagic - t) - q;
  VF p = poly(r, 1.000000075, 0.6931472251, 0.2402210747, 0.05550297825, 0.009676032427, 0.001340983491);
  return where(a > 9.1, 0, scaled(p, t));
}
FG_INLINE VF erf(VF x) {
  VF a = abs(x);
  return where(a < 0.9, erf_near(x), copysign(1 - erfc_rough(a), x));
}
FG_INLINE VF one_plus_erf(VF x) {
  VF a = abs(x), far = erfc_rough(a);
  return where(a < 0.9, 1 + erf_near(x), where(x < 0, far, 2 - far));
}
FG_INLINE VF erfinv_tail(VF w) {
  VF s = sqrt(w) - 3;
  return poly(s, 2.832976796, 1.001675086, 0.009445688605, -0.007639405238, 0.00568313078, -0.003586991849,
              0.001495986104, -7.666893469e-5, -0.0003188489483, 0.0001290470611);
}
FG_INLINE VF erfinv(VF x) {
  // Over x a function of w = -log(1 - x^2), as by Giles (2010)
  VF w = -log((1 - x) * (1 + x)), v = w - 1;
  VF q = poly(v, 0.247832890524, 0.00425064100452, -0.00237644384953, 0.00010028508947, 3.82283859618e-5,
              -4.40349701258e-6, -5.23440392935e-7, 1.41615456547e-7, -8.76635346939e-9);
  VF p = 1.1273744106292725 + (v * q + -1.164e-08);
  if (any(w > 5)) p = where(w > 5, where(w == Limits<float>::kInf, w, erfinv_tail(w)), p);
  return x * p;
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
