// The gamma function and its kin, for one double: lgamma, digamma, Hurwitz zeta, polygamma, incomplete gamma functions.
// Part of special_math.h, which says how it is included.

constexpr double kPi = 3.141592653589793238463;
constexpr double kSqrtPi = 1.772453850905516027298;
constexpr double kInvSqrtPi = 0.564189583547756286948;
constexpr double kSqrtTwo = 1.414213562373095048802;
constexpr double kEuler = 0.577215664901532860607;
constexpr double kInfinity = __builtin_inf();
constexpr double kNan = __builtin_nan("");

FG_SPECIAL double log_gamma(double x) {
#if defined(__CUDACC__)
  return ::lgamma(x);
#else
  int sign;  // ::lgamma leaves it in a global variable
  return ::lgamma_r(x, &sign);
#endif
}

FG_SPECIAL double digamma(double x) {
  if (x == 0) return ::copysign(kInfinity, -x);
  double low = 0;
  if (x < 0) {  // reflected; not by calling itself, which device compilers do not take well
    if (x == ::floor(x)) return kNan;
    const double fraction = x - ::floor(x + 0.5);  // the period of the tangent, exact
    if (::fabs(fraction) != 0.5) low = kPi / ::tan(kPi * fraction);
    x = 1 - x;
  }
  if (x == kInfinity) return x;
  for (; x < 12; x += 1) low += 1 / x;
  const double q = 1 / (x * x);
  const double series =
      q * (1.0 / 12 - q * (1.0 / 120 -
                           q * (1.0 / 252 - q * (1.0 / 240 - q * (1.0 / 132 - q * (691.0 / 32760 - q * (1.0 / 12)))))));
  return ::log(x) - 0.5 / x - series - low;
}

// Sum over n >= 0 of (q + n)^-s: terms until q + n is large, then the Euler-Maclaurin series.
FG_SPECIAL double zeta(double s, double q) {
  constexpr double bernoulli[] = {1.0 / 6,       -1.0 / 30,       1.0 / 42,       -1.0 / 30,
                                  5.0 / 66,      -691.0 / 2730,   7.0 / 6,        -3617.0 / 510,
                                  43867.0 / 798, -174611.0 / 330, 854513.0 / 138, -236364091.0 / 2730};
  if (s == 1) return kInfinity;
  if (!(s > 1) || q != q) return kNan;
  if (q <= 0) {
    if (q == ::floor(q)) return kInfinity;
    if (s != ::floor(s)) return kNan;
  }
  if (s == kInfinity && q > 1) return kNan;  // as torch
  double sum = 0, at = q;
  constexpr double far = 10000;
  if (q < -far) {  // what lies further left, as an integral
    at = q + ::floor(-q - far);
    const double sign = ::fmod(s, 2) == 0 ? 1 : -1;
    sum = sign * (::pow(-at, 1 - s) - ::pow(-q, 1 - s)) / (s - 1);
  }
  for (; at < 12 + s; at += 1) {
    const double term = ::pow(at, -s);
    sum += term;
    if (at > 0 && !(term > 1e-17 * ::fabs(sum))) return sum;  // also when all terms are 0, or the sum is no number
  }
  if (at == kInfinity) return s == kInfinity ? kNan : 0;
  const double power = ::pow(at, -s);
  sum += (power > 0 ? power * at : ::pow(at, 1 - s)) / (s - 1) + 0.5 * power;
  double factor = s * power / at;  // s (s + 1) ... / (2 k)! at^(-s - 2 k + 1)
  for (int k = 0; k < 12; ++k) {
    const double rise = factor / 2 * bernoulli[k];
    sum += rise;
    if (::fabs(rise) < 1e-17 * ::fabs(sum)) break;
    const double n = 2 * k + 1;
    factor *= (s + n) * (s + n + 1) / ((n + 2) * (n + 3) * at * at);
  }
  return sum;
}

// The derivative of digamma for x > 0: terms until x is large, then the asymptotic series.
FG_SPECIAL double trigamma(double x) {
  double sum = 0;
  for (; x < 12; x += 1) sum += 1 / (x * x);
  const double r = 1 / x, q = r * r;
  const double series =
      q * (1.0 / 6 - q * (1.0 / 30 - q * (1.0 / 42 - q * (1.0 / 30 - q * (5.0 / 66 - q * (691.0 / 2730))))));
  return sum + r * (1 + r * 0.5 + series);
}
// The n-th derivative of digamma.
FG_SPECIAL double polygamma(double n, double x) {
  if (n == 0) return digamma(x);
  if (n == 1 && x > 0) return trigamma(x);
  const double sign = ::fmod(n, 2) == 1 ? 1 : -1;
  return sign * ::tgamma(n + 1) * zeta(n + 1, x);
}

// mu - log(1 + mu) for mu = (x - a) / a
FG_SPECIAL double log1p_gap(double a, double x) {
  const double mu = (x - a) / a;
  if (::fabs(mu) > 0.3) return mu - ::log(x / a);
  // with r = mu / (2 + mu): log(1 + mu) = 2 (r + r^3 / 3 + r^5 / 5 ...), and mu - 2 r = mu r
  const double r = mu / (2 + mu), square = r * r;
  double sum = 0;
  for (int k = 29; k >= 3; k -= 2) sum = (sum + 1.0 / k) * square;
  return r * (mu - 2 * sum);
}
// x^a exp(-x) / gamma(a + 1)
FG_SPECIAL double gamma_density(double a, double x) {
  if (a < 10) return ::exp(a * ::log(x) - x - log_gamma(a + 1));
  const double q = 1 / (a * a);  // Stirling's series
  const double correction = (1.0 / 12 - q * (1.0 / 360 - q * (1.0 / 1260 - q * (1.0 / 1680 - q * (1.0 / 1188))))) / a;
  return ::exp(-a * log1p_gap(a, x) - correction) / ::sqrt(2 * kPi * a);
}
// Both incomplete gamma functions where a is so large that the steps of the others would be many.
FG_SPECIAL double gamma_uniform(double a, double x, bool upper) {
  const double mu = (x - a) / a;
  if (::fabs(mu) > 0.1) return (mu > 0) == upper ? 0 : 1;
  const double eta = ::copysign(::sqrt(2 * log1p_gap(a, x)), mu);
  const double c0 =
      -1.0 / 3 +
      eta * (1.0 / 12 +
             eta * (-2.0 / 135 + eta * (1.0 / 864 + eta * (1.0 / 2835 + eta * (-139.0 / 777600 + eta / 25515)))));
  const double c1 = -1.0 / 540 + eta * (-1.0 / 288 + eta / 378);
  const double rest = ::exp(-0.5 * a * eta * eta) / ::sqrt(2 * kPi * a) * (c0 + c1 / a);
  const double half = 0.5 * ::erfc((upper ? eta : -eta) * ::sqrt(a / 2));
  return upper ? half + rest : half - rest;
}
FG_SPECIAL double gamma_series(double a, double x) {  // the lower one
  double term = 1, sum = 1;
  for (int n = 1; n < 20000; ++n) {
    term *= x / (a + n);
    sum += term;
    if (term < 1e-17 * sum) break;
  }
  return gamma_density(a, x) * sum;
}
// log(gamma(1 + a)) for small a, where 1 + a would lose its digits
FG_SPECIAL double log_gamma_1p(double a) {
  constexpr double zeta_minus_1[] = {
      0.64493406684822644,    0.20205690315959429,    0.082323233711138192,  0.036927755143369926,
      0.01734306198444914,    0.0083492773819228268,  0.0040773561979443394, 0.0020083928260822144,
      0.00099457512781808534, 0.00049418860411946456, 0.0002460865533080483, 0.00012271334757848915,
      6.1248135058704829e-5,  3.0588236307020494e-5,  1.5282259408651872e-5, 7.6371976378997623e-6};
  if (a > 0.2) return log_gamma(1 + a);
  double sum = 0, power = -a;
  for (int k = 2; k < 18; ++k) {
    power *= -a;
    sum += power * zeta_minus_1[k - 2] / k;
  }
  return sum + a * (1 - kEuler) - ::log1p(a);
}
FG_SPECIAL double gamma_alternating(double a, double x) {  // the upper one for x up to 1, without 1 - lower
  const double power = a * ::log(x) - log_gamma_1p(a);
  double term = 1, sum = 0;
  for (int n = 1; n < 40; ++n) {
    term *= -x / n;
    sum += term / (a + n);
  }
  return -::expm1(power) - ::exp(power) * a * sum;
}
FG_SPECIAL double gamma_fraction(double a, double x) {  // the upper one
  constexpr double tiny = 1e-300;
  double b = x + 1 - a, c = 1 / tiny, d = 1 / (b == 0 ? tiny : b), h = d;
  for (int i = 1; i < 20000; ++i) {
    const double numerator = -i * (i - a);
    b += 2;
    d = numerator * d + b;
    c = b + numerator / c;
    if (::fabs(d) < tiny) d = tiny;
    if (::fabs(c) < tiny) c = tiny;
    d = 1 / d;
    const double change = d * c;
    h *= change;
    if (::fabs(change - 1) < 1e-16) break;
  }
  return gamma_density(a, x) * a * h;
}
FG_SPECIAL double incomplete_gamma(double a, double x, bool upper) {
  if (!(a >= 0) || !(x >= 0)) return kNan;
  if (a == 0) return x > 0 ? (upper ? 0 : 1) : kNan;
  if (x == 0) return upper ? 1 : 0;
  if (a == kInfinity) return x == kInfinity ? kNan : (upper ? 1 : 0);
  if (x == kInfinity) return upper ? 0 : 1;
  if (a > 2e5) return gamma_uniform(a, x, upper);
  if (upper && x <= 1 && a < 1) return gamma_alternating(a, x);
  if (x <= 1 || x < a) return upper ? 1 - gamma_series(a, x) : gamma_series(a, x);
  return upper ? gamma_fraction(a, x) : 1 - gamma_fraction(a, x);
}
FG_SPECIAL double igamma(double a, double x) { return incomplete_gamma(a, x, false); }
FG_SPECIAL double igammac(double a, double x) { return incomplete_gamma(a, x, true); }
