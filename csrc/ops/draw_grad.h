// How a drawn gamma or Dirichlet number moves with its parameter: -(d cdf / d alpha) / pdf, by series and saddle point
// expansions (Rice) at the ends and a fitted rational function in between. The fits and where each is used are those of
// torch (made by the authors of Pyro), so that gradients agree. Computed in double; digits of the fits: about four.
#pragma once
#include <cmath>
#ifndef FG_HD_INLINE
#define FG_HD_INLINE inline
#endif

namespace fg {

// digamma for the positive arguments that occur here: recurrence up to 10, then the asymptotic series.
FG_HD_INLINE double digamma_positive(double x) {
  double sum = 0;
  for (; x < 10; x += 1) sum -= 1 / x;
  const double z = 1 / (x * x);
  constexpr double bernoulli[] = {1.0 / 12, -1.0 / 120, 1.0 / 252, -1.0 / 240, 1.0 / 132, -691.0 / 32760, 1.0 / 12};
  double series = 0;
  for (int i = 6; i >= 0; --i) series = series * z + bernoulli[i];
  return sum + std::log(x) - 0.5 / x - z * series;
}

FG_HD_INLINE double finite_or_zero(double x) { return x == x ? x : 0; }

// x near 0: the series of the lower incomplete gamma function and its derivative, six terms.
FG_HD_INLINE double gamma_grad_small(double alpha, double x) {
  double power = 1, series = 1 / alpha, squares = 1 / (alpha * alpha);
  for (int i = 1; i <= 5; ++i) {
    power *= -x / i;
    series += power / (alpha + i);
    squares += power / ((alpha + i) * (alpha + i));
  }
  const double scale = std::pow(x, alpha), pdf = std::pow(x, alpha - 1) * std::exp(-x), cdf = scale * series;
  const double slope = (std::log(x) - digamma_positive(alpha)) * cdf - scale * squares;
  return finite_or_zero(-slope / pdf);
}

// alpha large: a saddle point expansion, with its limit around x = alpha.
FG_HD_INLINE double gamma_grad_large(double alpha, double x) {
  if (0.9f * alpha <= x && x <= 1.1f * alpha) {
    const double first = 1 + 24 * alpha * (1 + 12 * alpha), alpha2 = alpha * alpha;
    const double second = 1440 * alpha2 + 6 * x * (53 - 120 * x) - 65 * x * x / alpha + alpha * (107 + 3600 * x);
    return first * second / (1244160 * alpha2 * alpha2);
  }
  const double root = std::sqrt(8 * alpha), ratio = std::log(x / alpha), gap = alpha - x;
  const double bend = std::pow(x - alpha - alpha * ratio, -1.5), both = root / gap + (x < alpha ? -bend : bend);
  const double term = ratio * both - std::sqrt(2 / alpha) * (alpha + x) / (gap * gap);
  const double stirling = 1 + 1 / (12 * alpha) * (1 + 1 / (24 * alpha));
  return -stirling * x * term / root;
}

template <class T> FG_HD_INLINE T gamma_grad(T alpha_, T x_) {
  const double alpha = alpha_, x = x_;
  if (x < 0.8f) return static_cast<T>(gamma_grad_small(alpha, x));
  if (alpha > 8) return static_cast<T>(gamma_grad_large(alpha, x));
  constexpr double fit[3][8] = {
      {0.16009398, -0.094634809, 0.025146376, -0.0030648343, 1, 0.32668115, 0.10406089, 0.0014179084},
      {0.53487893, 0.1298071, 0.065735949, -0.0015649758, 0.16639465, 0.020070113, -0.0035938915, -0.00058392623},
      {0.040121004, -0.0065914022, -0.0026286047, -0.0013441777, 0.017050642, -0.0021309326, 0.00085092367,
       -1.5247877e-07}};
  const double u = std::log(x / alpha), v = std::log(alpha);
  double c[8];
  for (int i = 0; i < 8; ++i) c[i] = fit[0][i] + u * (fit[1][i] + u * fit[2][i]);
  const double p = c[0] + v * (c[1] + v * (c[2] + v * c[3])), q = c[4] + v * (c[5] + v * (c[6] + v * c[7]));
  return static_cast<T>(std::exp(p / q));
}

// Beta(alpha, beta), x near 0: slope with respect to alpha.
FG_HD_INLINE double beta_grad_alpha_small(double x, double alpha, double beta) {
  const double factor = digamma_positive(alpha) - digamma_positive(alpha + beta) - std::log(x);
  double power = 1, series = 1 / alpha * (factor + 1 / alpha);
  for (int i = 1; i <= 10; ++i) {
    power *= (i - beta) * x / i;
    series += power / (alpha + i) * (factor + 1 / (alpha + i));
  }
  return finite_or_zero(x * std::pow(1 - x, -beta) * series);
}

// The same with respect to beta.
FG_HD_INLINE double beta_grad_beta_small(double x, double alpha, double beta) {
  const double factor = digamma_positive(alpha + beta) - digamma_positive(beta);
  double power = 1, product = 1, slope = 0, series = factor / alpha;
  for (int i = 1; i <= 8; ++i) {
    power *= -x / i;
    slope = slope * (beta - i) + product;
    product *= beta - i;
    series += power / (alpha + i) * (slope + factor * product);
  }
  return finite_or_zero(-std::pow(1 - x, 1 - beta) * series);
}

// Both parameters large: a saddle point expansion, with its limit around the mean.
FG_HD_INLINE double beta_grad_alpha_middle(double x, double alpha, double beta) {
  const double total = alpha + beta, mean = alpha / total, spread = std::sqrt(alpha * beta / (total + 1)) / total;
  const double beta2 = beta * beta, rest = 1 - x;
  if (mean - 0.1 * spread <= x && x <= mean + 0.1 * spread) {
    const double by_alpha[] = {47 * x * beta2 * beta2, (43 + 20 * (16 + 27 * beta) * x) * beta2 * beta,
                               3 * (59 + 180 * beta - 90 * x) * beta2, (453 + 1620 * beta * rest - 455 * x) * beta,
                               8 * rest * (135 * beta - 11)};
    double poly = 0;
    for (int i = 4; i >= 0; --i) poly = poly * alpha + by_alpha[i];
    const double above = (1 + 12 * alpha) * (1 + 12 * beta) / (total * total);
    return above / rest * poly / (12960 * alpha * alpha * alpha * beta2 * (1 + 12 * total));
  }
  auto stirling = [](double n) { return 1 + 1 / (12 * n) + 1 / (288 * n * n); };
  const double gap = beta * x - alpha * rest, prefactor = -x / std::sqrt(2 * alpha * beta / total);
  const double first = (-2 * alpha * alpha * rest - alpha * beta * rest - x * beta2) /
                       (std::sqrt(2 * alpha / beta) * std::pow(total, 1.5) * gap * gap);
  const double ratio = std::log(alpha / (total * x)), third = std::sqrt(8 * alpha * beta / total) / gap;
  const double fourth = std::pow(beta * std::log(beta / (total * rest)) + alpha * ratio, -1.5);
  return stirling(alpha) * stirling(beta) / stirling(total) * prefactor *
         (first + 0.5 * ratio * (third + (x < mean ? fourth : -fourth)));
}

// Of Beta(alpha, total - alpha), with respect to alpha, divided by 1 - x.
template <class T> FG_HD_INLINE T dirichlet_grad(T x_, T alpha_, T total_) {
  const double x = x_, alpha = alpha_, total = total_, beta = total - alpha, edge = total * x * (1 - x);
  if (x <= 0.5 && edge < 2.5) return static_cast<T>(beta_grad_alpha_small(x, alpha, beta));
  if (x >= 0.5 && edge < 0.75) return static_cast<T>(-beta_grad_beta_small(1 - x, beta, alpha));
  if (alpha > 6 && beta > 6) return static_cast<T>(beta_grad_alpha_middle(x, alpha, beta));
  constexpr double fit[2][3][3][4] = {{{{1.003668233, -0.01061107488, -0.0657888334, 0.01201642863},
                                        {0.6336835991, -0.3557432599, 0.05486251648, -0.001465281033},
                                        {-0.03276231906, 0.004474107445, 0.002429354597, -0.0001557569013}},
                                       {{0.221950385, -0.3187676331, 0.01799915743, 0.01074823814},
                                        {-0.2951249643, 0.06219954479, 0.01535556598, 0.001550077057},
                                        {0.02155310298, 0.004170831599, 0.001292462449, 6.976601077e-05}},
                                       {{-0.05980841433, 0.008441916499, 0.01085618172, 0.002319392565},
                                        {0.02911413504, 0.01400243777, -0.002721828457, 0.000751041181},
                                        {0.005900514878, -0.001936558688, -9.495446725e-06, 5.385558597e-05}}},
                                      {{{1, -0.02924021934, -0.04438342661, 0.007285809825},
                                        {0.6357567472, -0.3473456711, 0.05454656494, -0.002407477521},
                                        {-0.03301322327, 0.004845219414, 0.00231480583, -0.0002307248149}},
                                       {{0.5925320577, -0.1757678135, 0.01505928619, 0.000564515273},
                                        {0.1014815858, -0.06589186703, 0.01272886114, -0.0007316646956},
                                        {-0.007258481865, 0.001096195486, 0.0003934994223, -4.12701925e-05}},
                                       {{0.06469649321, -0.0236701437, 0.002902096474, -5.896963079e-05},
                                        {0.001925008108, -0.002869809258, 0.0008000589141, -6.063713228e-05},
                                        {-0.0003477407336, 6.959756487e-05, 1.097287507e-05, -1.650964693e-06}}}};
  const double u = std::log(x), a = std::log(alpha) - u, b = std::log(total) - a;
  double sums[2] = {};
  double power_u = 1;
  for (int i = 0; i < 3; ++i, power_u *= u) {
    double power = power_u;
    for (int j = 0; j < 3; ++j, power *= a)
      for (int k = 0; k < 2; ++k) {
        const double* f = fit[k][i][j];
        sums[k] += power * (f[0] + b * (f[1] + b * (f[2] + b * f[3])));
      }
  }
  return static_cast<T>(sums[0] / sums[1] * (x * (digamma_positive(total) - digamma_positive(alpha)) / beta));
}

}  // namespace fg
