// Special functions of one double, for every device: the words of formula.h that libm does not have.
//
// Each is computed from its definition where that is exact: power series with terms of one sign, continued fractions,
// recurrences into the range of an asymptotic series, the trapezoidal rule for integrals that fall doubly
// exponentially. float and half types are computed in double as well.
//
// Included inside a namespace of the includer's own; FG_SPECIAL stands before every function (inline, or what a device
// wants there).
#include "ops/special_gamma.h"

// ---- error function and normal distribution

// exp(x * x): the rounding error of the square is put back.
FG_SPECIAL double exp_square(double x, double sign) {
  const double square = x * x, rest = ::fma(x, x, -square);
  return ::exp(sign * square) * (1 + sign * rest);
}
// exp(x * x) * erfc(x) for x >= 0
FG_SPECIAL double erfcx_right(double x) {
  if (x < 8) return exp_square(x, 1) * ::erfc(x);
  if (x > 1e8) return kInvSqrtPi / x;
  double below = x;
  for (int k = 30; k >= 1; --k) below = x + 0.5 * k / below;
  return kInvSqrtPi / below;
}
FG_SPECIAL double erfcx(double x) {
  if (x != x) return x;
  if (x < 0) return x < -26.7 ? kInfinity : 2 * exp_square(x, 1) - erfcx_right(-x);
  return erfcx_right(x);
}
FG_SPECIAL double log_ndtr(double x) {
  if (x < -1) return ::log(erfcx(-x / kSqrtTwo) / 2) - x * x / 2;
  return ::log1p(-::erfc(x / kSqrtTwo) / 2);
}

// ---- Bessel functions

// The asymptotic series of I (sign -1) and K (sign 1), mu = 4 order^2; from x = 19 on it gives all digits.
FG_SPECIAL double bessel_tail(double mu, double x, double sign) {
  double term = 1, sum = 1;
  for (int k = 1; k < 40; ++k) {
    const double odd = 2 * k - 1, next = sign * term * (mu - odd * odd) / (k * 8 * x);
    if (!(::fabs(next) < ::fabs(term)) || ::fabs(next) < 1e-17) break;
    sum += term = next;
  }
  return sum;
}
// exp(-|x|) I_order(|x|), order 0 or 1
FG_SPECIAL double bessel_i_scaled(int order, double x) {
  if (x == kInfinity) return 0;
  if (x < 19) {
    const double q = 0.25 * x * x;
    double term = order ? 0.5 * x : 1, sum = term;
    for (int k = 1; k < 100 && term > 1e-17 * sum; ++k) sum += term *= q / (static_cast<double>(k) * (k + order));
    return sum * ::exp(-x);
  }
  return bessel_tail(order ? 4 : 0, x, -1) / ::sqrt(2 * kPi * x);
}
FG_SPECIAL double i0e(double x) { return bessel_i_scaled(0, ::fabs(x)); }
FG_SPECIAL double i1e(double x) { return ::copysign(bessel_i_scaled(1, ::fabs(x)), x); }
FG_SPECIAL double i0(double x) {
  const double a = ::fabs(x);  // in two factors, so that only the result can overflow
  return a < 19 ? bessel_i_scaled(0, a) * ::exp(a) : ::exp(a / 2) * bessel_i_scaled(0, a) * ::exp(a / 2);
}
FG_SPECIAL double i1(double x) {
  const double a = ::fabs(x);
  if (a == kInfinity) return x;
  return ::copysign(::exp(a / 2) * bessel_i_scaled(1, a) * ::exp(a / 2), x);
}

// exp(x) K_order(x) = integral over t > 0 of exp(-x (cosh t - 1)) cosh(order t)
FG_SPECIAL double bessel_k_any(double order, double x) {
  if (x >= 19) return bessel_tail(4 * order * order, x, 1) * ::sqrt(kPi / (2 * x));
  constexpr double step = 0.15;
  const double growth = ::exp(step);
  double e = 1, sum = 0.5;
  for (int i = 1; i < 4000; ++i) {
    e *= growth;
    const double rise = (e - 1) * (e - 1) / (2 * e);
    const double weight = order == 0 ? 1 : order == 1 ? rise + 1 : ::cosh(order * step * i);
    const double term = ::exp(-x * rise) * weight;
    sum += term;
    if (term < 1e-18 * sum) break;
  }
  return sum * step;
}
FG_SPECIAL double bessel_k_scaled(int order, double x) {
  if (!(x > 0)) return x == 0 ? kInfinity : kNan;
  if (x == kInfinity) return 0;
  if (x >= 0.01) return bessel_k_any(order, x);
  const double q = 0.25 * x * x, l = ::log(0.5 * x) + kEuler;
  double k;
  if (order == 0) k = -l * (1 + q * (1 + q / 4)) + q * (1 + q * 0.375);
  else k = 1 / x + 0.5 * x * (l * (1 + q * (0.5 + q / 12)) - 0.5 - q * (0.625 + q * (5.0 / 36)));
  return k * ::exp(x);
}
FG_SPECIAL double bessel_k(int order, double x) {
  const double scaled = bessel_k_scaled(order, x);
  return x > 0 ? scaled * ::exp(-x) : scaled;
}

FG_SPECIAL double spherical_bessel_j0(double x) {
  if (::fabs(x) == kInfinity) return 0;
  if (::fabs(x) < 0.01) return 1 - x * x / 6 * (1 - x * x / 20 * (1 - x * x / 42));
  return ::sin(x) / x;
}

// Far left the asymptotic series, far right K of order 1/3, between them Taylor series around the integers: y'' = x y.
FG_SPECIAL double airy_ai(double x) {
  constexpr double value_and_slope[][2] = {
      {0.040241238486443190689, 0.9962650441327900559},   {-0.022133721547341403674, -0.97566398092633159471},
      {-0.052705050356386202622, 0.93556093819830655103}, {0.18428083525050563728, -0.77100816841012654773},
      {-0.32914517362982310523, 0.34593548728134289493},  {0.35076100902411431979, 0.32719281855444313679},
      {-0.070265532949289515099, -0.7906285753685813803}, {-0.37881429367765807435, 0.31458376921659881365},
      {0.22740742820168557599, 0.61825902074169104141},   {0.5355608832923521188, -0.010160567116645209395},
      {0.35502805388781723926, -0.25881940379280679841},  {0.13529241631288141552, -0.15914744129679321279},
  };
  if (x != x) return x;
  if (x >= 1.5) {
    const double zeta = 2.0 / 3 * x * ::sqrt(x);
    return zeta > 750 ? 0 : ::sqrt(x / 3) / kPi * bessel_k_any(1.0 / 3, zeta) * ::exp(-zeta);
  }
  if (x > -10.5) {
    const int at = static_cast<int>(::floor(x + 0.5));
    const double h = x - at;
    double before = 0, a = value_and_slope[at + 10][0], b = value_and_slope[at + 10][1], power = h, sum = a + b * h;
    for (int n = 0; n < 30; ++n) {
      const double c = (at * a + before) / ((n + 1.0) * (n + 2.0));
      before = a, a = b, b = c, power *= h;
      sum += c * power;
    }
    return sum;
  }
  const double z = -x, root = ::sqrt(z), zeta = 2.0 / 3 * z * root;
  if (z == kInfinity) return 0;
  double u = 1, even = 1, odd = 0;  // u_k / zeta^k with their signs, in pairs
  for (int k = 1; k < 30; ++k) {
    const double next = u * ((6.0 * k - 5) * (6 * k - 3) * (6 * k - 1)) / (216.0 * k * (2 * k - 1)) / zeta;
    if (!(next < u) || next < 1e-18) break;
    u = next;
    (k % 2 ? odd : even) += k % 4 < 2 ? u : -u;
  }
  const double angle = zeta - kPi / 4;
  return (::cos(angle) * even + ::sin(angle) * odd) / (kSqrtPi * ::sqrt(root));
}

// ---- those without a gradient, by number (fastgrad/special.py names them)

FG_SPECIAL double plain_function(int kind, double x) {
  switch (kind) {
    case 0: return airy_ai(x);
    case 1: return ::j0(x);
    case 2: return ::j1(x);
    case 3: return ::y0(x);
    case 4: return ::y1(x);
    case 5: return bessel_k(0, x);
    case 6: return bessel_k(1, x);
    case 7: return bessel_k_scaled(0, x);
    case 8: return bessel_k_scaled(1, x);
    default: return spherical_bessel_j0(x);
  }
}

// Chebyshev polynomials of four kinds: 0 T, 1 U, 2 V, 3 W. Between the ends by their angle, where the recurrence
// drifts.
FG_SPECIAL double chebyshev(int kind, double x, int64_t n) {
  if (n < 0) return 0;
  const double top = kind == 0 || kind == 2 ? 1
                     : kind == 1            ? n + 1.0
                                            : 2.0 * n + 1,
               flat = kind == 2   ? 2.0 * n + 1
                      : kind == 3 ? 1
                                  : top;
  if (x == 1) return top;
  if (x == -1) return n % 2 ? -flat : flat;
  if (n > 8 && ::fabs(x) < 1) {
    const double angle = ::acos(x), nd = static_cast<double>(n);
    switch (kind) {
      case 0: return ::cos(nd * angle);
      case 1: return ::sin((nd + 1) * angle) / ::sin(angle);
      case 2: return ::cos((nd + 0.5) * angle) / ::cos(angle / 2);
      default: return ::sin((nd + 0.5) * angle) / ::sin(angle / 2);
    }
  }
  double p = 1, q = kind == 0 ? x : kind == 1 ? 2 * x : kind == 2 ? 2 * x - 1 : 2 * x + 1;
  if (n == 0) return p;
  for (int64_t k = 2; k <= n && q == q; ++k) {
    const double r = 2 * x * q - p;
    p = q, q = r;
  }
  return q;
}
// 0-3 Chebyshev, 4-7 the same of 2 x - 1, 8 Hermite H, 9 Hermite He, 10 Laguerre, 11 Legendre; n is cut to an integer
FG_SPECIAL double polynomial(int kind, double x, double degree) {
  if (degree != degree) return kNan;
  const int64_t n = degree > 9e18 ? int64_t{9000000000000000000} : degree < -1 ? -1 : static_cast<int64_t>(degree);
  if (kind < 8) return chebyshev(kind % 4, kind < 4 ? x : 2 * x - 1, n);
  if (n < 0) return 0;
  if (n == 0 || (kind == 10 && x == 0)) return 1;
  if (kind == 11 && ::fabs(x) == 1) return x > 0 || n % 2 == 0 ? 1 : -1;
  double p = 1, q = kind == 8 ? 2 * x : kind == 10 ? 1 - x : x;
  for (int64_t k = 1; k < n && q == q; ++k) {
    double r;
    if (kind == 8) r = 2 * x * q - 2.0 * k * p;
    else if (kind == 9) r = x * q - k * p;
    else if (kind == 10) r = ((2.0 * k + 1 - x) * q - k * p) / (k + 1.0);
    else r = ((2.0 * k + 1) * x * q - k * p) / (k + 1.0);
    p = q, q = r;
  }
  return q;
}
