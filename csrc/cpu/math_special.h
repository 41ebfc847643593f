// Functions of double by vectors where libm, or the plain function of special.h, would cost a call for every lane:
// inverse trigonometric and hyperbolic functions, erf, the normal quantile, digamma, Bessel functions. Exact to a few
// ulp. float goes through the same ones where that is faster than its own. Part of math_rare.h.
#pragma once
#include "cpu/special.h"

namespace fg::cpu::FG_ISA {
namespace {

FG_INLINE VD log_wide(VD x) { return log2_wide(x) * 0.693147180559945309417; }

// ---- inverse trigonometric ----

// Any y and x. The rational function of the middle is that of Cephes' atan.
FG_INLINE VD atan2_exact(VD y, VD x) {
  constexpr double half_pi = 0x1.921fb54442d18p0, half_pi_rest = 0x1.1a62633145c07p-54;
  VD ay = abs(y), ax = abs(x);
  VD::M steep = ay > ax;
  VD small = where(steep, ax, ay), large = where(steep, ay, ax);
  VD::M both = (small == large) & ((small == 0) | (small == Limits<double>::kInf));  // 0 / 0, inf / inf
  // Scaled so that sums neither overflow nor lose denormal digits.
  VD factor = where(large > 0x1p1000, 0x1p-100, where(large < 0x1p-900, VD(0x1p100), VD(1)));
  VD s = small * factor, l = large * factor;
  VD::M upper = s > l * 0.41421356237309503;
  VD u = where(upper, s - l, s) / where(upper, s + l, l);
  VD z = u * u;
  VD top = poly(z, -64.85021904942025371773, -122.8866684490136173410, -75.00855792314704667340,
                -16.15753718733365076637, -0.8750608600031904122785);
  VD bottom = poly(z, 194.5506571482613964425, 485.3903996359136964868, 432.8810604912902668951,
                   165.0270098316988542046, 24.85846490142306297962, 1.0);
  VD r = u * (z * top / bottom) + u;
  r = where(upper, r + (half_pi / 2 + half_pi_rest / 2), r);
  r = where(both, where(large == 0, VD(0), VD(half_pi / 2)), r);
  r = where(steep, half_pi - (r - half_pi_rest), r);
  r = where(copysign(VD(1), x) < 0, 2 * half_pi - (r - 2 * half_pi_rest), r);
  return copysign(where((x != x) | (y != y), x + y, r), y);
}
FG_NOINLINE VD atan2(VD a, VD b) { return atan2_exact(a, b); }
FG_NOINLINE VD atan(VD x) { return atan2_exact(x, 1); }
FG_NOINLINE VD asin(VD x) { return atan2_exact(x, sqrt((1 - x) * (1 + x))); }
FG_NOINLINE VD acos(VD x) { return atan2_exact(sqrt((1 - x) * (1 + x)), x); }

// ---- hyperbolic ----

FG_NOINLINE VD sinh(VD x) {
  VD a = abs(x), t = expm1(at_most(a, 700));
  VD y = 0.5 * (t + t / (t + 1));
  if (any(a > 700)) {
    VD half = exp(0.5 * a);
    y = where(a > 700, 0.5 * half * half, y);
  }
  return copysign(where(x != x, x, y), x);
}
FG_NOINLINE VD cosh(VD x) {
  VD a = abs(x), e = exp(at_most(a, 700));
  VD y = 0.5 * (e + 1 / e);
  if (any(a > 700)) {
    VD half = exp(0.5 * a);
    y = where(a > 700, 0.5 * half * half, y);
  }
  return where(x != x, x, y);
}

// ---- error function ----

FG_NOINLINE VD erf(VD x) {
  VD a = abs(x), z = a * a;
  VD small = a * poly(z, 0.12837916709551259172, -0.37612638903184022777, 0.11283791670967105295,
                      -0.026866170647256037888, 0.0052239776451170641866, -0.00085483280970317387586,
                      0.00012055369492631247202, -0.00001492643457991287694, 1.6472405469763634381e-6,
                      -1.6437856453088774884e-7, 1.4914677621067340799e-8, -1.049004936728829894e-9) +
             a;
  VD big = 0;
  if (any(a > 0.9)) {
    // 1 - exp(-a^2) R(a), R the rational function of Cody (1969); a^2 in two parts
    VD b = at_most(a, 6), high = trunc(b * 16) * 0.0625;
    VD top =
        poly(b, 1230.33935479799725, 2051.07837782607147, 1712.04761263407058, 881.952221241769090, 298.635138197400131,
             66.1191906371416295, 8.88314979438837594, 0.564188496988670089, 2.15311535474403846e-8);
    VD bottom = poly(b, 1230.33935480374942, 3439.36767414372164, 4362.61909014324716, 3290.79923573345963,
                     1621.38957456669019, 537.181101862009858, 117.693950891312499, 15.7449261107098347, 1.0);
    big = 1 - exp_in_range(VD(-(high * high))) * exp_in_range(VD(-((b - high) * (b + high)))) * (top / bottom);
  }
  return copysign(where(a != a, a, where(a > 0.9, big, small)), x);
}

#include "ops/normal_quantile.h"
FG_NOINLINE VD erfinv(VD x) { return erfinv_of(x); }
FG_NOINLINE VD ndtri(VD p) { return ndtri_of(p); }

// ---- gamma ----

// Lanes that are not positive go to the plain function.
template <class F> FG_INLINE VD where_positive(VD x, VD y, F plain) {
  if (any(!(x > 0))) return each(x, y, [&](double a, double value) { return a > 0 ? value : plain(a); });
  return y;
}
FG_NOINLINE VD digamma(VD x) {
  VD low = 0, at = where(x > 0, x, 1);
  while (any(at < 12)) {
    low = where(at < 12, low + 1 / at, low);
    at = where(at < 12, at + 1, at);
  }
  VD q = 1 / (at * at);
  VD series = q * poly(q, 1.0 / 12, -1.0 / 120, 1.0 / 252, -1.0 / 240, 1.0 / 132, -691.0 / 32760, 1.0 / 12);
  VD y = where(at == Limits<double>::kInf, at, log(at) - 0.5 / at - series - low);
  return where_positive(x, y, [](double a) { return special::digamma(a); });
}
FG_NOINLINE VD trigamma(VD x) {  // of positive numbers
  VD sum = 0, at = x;
  while (any(at < 12)) {
    sum = where(at < 12, sum + 1 / (at * at), sum);
    at = where(at < 12, at + 1, at);
  }
  VD r = 1 / at, q = r * r;
  VD series = q * poly(q, 1.0 / 6, -1.0 / 30, 1.0 / 42, -1.0 / 30, 5.0 / 66, -691.0 / 2730);
  return sum + r * (1 + r * 0.5 + series);
}
// Right for float, of positive numbers. Up to 8.5 by the distance f from 2, to which recurrence leads: so the zeros at
// 1 and 2 keep their digits. Beyond, Stirling's series.
FG_INLINE VD lgamma_wide(VD x) {
  VD at = x + where(x < 0.5, 2, where(x < 1.5, 1, VD(0)));
  VD product = where(x < 0.5, x * (x + 1), where(x < 1.5, x, VD(1)));
  if (any(x > 2.5)) {
    for (int k = 0; k < 6; ++k) {
      VD::M far = at > 2.5;
      at = where(far, at - 1, at);
      product = where(far, product * at, product);
    }
  }
  VD f = at - 2;
  VD series = f * poly(f, 0.4227843350997, 0.3224670334032, -0.06735230141857, 0.02058081023234, -0.007385533798,
                       0.00289046562635, -0.001193048708319, 0.0005101425408808, -0.0002208971994086, 9.706320054998e-5,
                       -5.274346188917e-5, 2.609492385241e-5);
  VD log_product = log_wide(product);
  VD y = where(x < 1.5, series - log_product, series + log_product);
  if (any(x > 8.5)) {
    VD r = 1 / x, q = r * r;
    VD stirling = (x - 0.5) * log_wide(x) - x + 0.918938533204672741780 + r * poly(q, 1.0 / 12, -1.0 / 360, 1.0 / 1260);
    y = where(x > 8.5, where(x == Limits<double>::kInf, x, stirling), y);
  }
  return where_positive(x, y, [](double a) { return special::lgamma(a); });
}

// ---- Bessel functions ----

// exp(-|x|) I_order(|x|): the power series up to 19, the plain function beyond.
template <int order> FG_INLINE VD bessel_i_of(VD x, VD* grown) {
  VD a = at_most(abs(x), 19), q = 0.25 * a * a;
  VD term = order ? 0.5 * a : VD(1), sum = term;
  for (int k = 1; k < 100 && any(term > 1e-17 * sum); ++k) {
    term = term * (q * (1.0 / (static_cast<double>(k) * (k + order))));
    sum = sum + term;
  }
  *grown = sum;
  return sum * exp_in_range(VD(-a));
}
template <int order, bool scaled, class F> FG_INLINE VD bessel_i_any(VD x, F plain) {
  VD grown, y = bessel_i_of<order>(x, &grown);
  if (!scaled) y = grown;
  if (order) y = copysign(y, x);
  if (any(!(abs(x) < 19)))
    return each(x, y, [&](double a, double value) { return a < 19 && a > -19 ? value : plain(a); });
  return y;
}
FG_NOINLINE VD i0(VD x) {
  return bessel_i_any<0, false>(x, [](double a) { return special::i0(a); });
}
FG_NOINLINE VD i0e(VD x) {
  return bessel_i_any<0, true>(x, [](double a) { return special::i0e(a); });
}
FG_NOINLINE VD i1(VD x) {
  return bessel_i_any<1, false>(x, [](double a) { return special::i1(a); });
}
FG_NOINLINE VD i1e(VD x) {
  return bessel_i_any<1, true>(x, [](double a) { return special::i1e(a); });
}

#define FG_THROUGH_DOUBLE(word, wide)                  \
  FG_NOINLINE VF word(VF x) {                          \
    return in_double(x, [](VD a) { return wide(a); }); \
  }
FG_THROUGH_DOUBLE(ndtri, ndtri)
FG_THROUGH_DOUBLE(digamma, digamma)
FG_THROUGH_DOUBLE(lgamma, lgamma_wide)
FG_THROUGH_DOUBLE(i0, i0)
FG_THROUGH_DOUBLE(i0e, i0e)
FG_THROUGH_DOUBLE(i1, i1)
FG_THROUGH_DOUBLE(i1e, i1e)
#undef FG_THROUGH_DOUBLE
FG_NOINLINE VD lgamma(VD x) {
  return each(x, [](double a) { return special::lgamma(a); });
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
