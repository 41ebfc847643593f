// Numbers by rejection: gamma (Marsaglia and Tsang 2000, doi:10.1145/358407.358414), Poisson (Hoermann 1993, PTRS) and
// binomial (Hoermann 1993, BTRS; inversion by geometric gaps for small means). For the kernels of every device: G has
// uniform(), in [0, 1), and normal(). The arithmetic and the order of the numbers that are taken are torch's, so that
// on the CPU the same seed gives the same numbers; the type of a literal (1.0f / 3) is part of that.
#pragma once
#include <cmath>
#include <cstdint>
#ifndef FG_HD_INLINE
#define FG_HD_INLINE inline
#endif

namespace fg {

template <class T, class G> FG_HD_INLINE T gamma(T alpha, G& g) {
  double scale = 1;
  if (alpha < 1) {  // one higher, and scaled by a power of a uniform number
    if (alpha == 0) return 0;
    scale = std::pow(1 - g.uniform(), static_cast<double>(1.0f / alpha));
    alpha += 1;
  }
  const double d = alpha - 1.0f / 3.0f, c = 1.0f / std::sqrt(9.0f * d);
  for (;;) {
    double x, y;
    do {
      x = g.normal();
      y = 1 + c * x;
    } while (y <= 0);
    const double v = y * y * y, u = 1 - g.uniform(), square = x * x;
    if (u < 1.0f - 0.0331f * square * square || std::log(u) < 0.5f * square + d * (1.0f - v + std::log(v)))
      return static_cast<T>(scale * d * v);
  }
}

template <class G> FG_HD_INLINE double poisson(double rate, G& g) {
  if (rate == 0) return 0;
  if (rate < 10) {  // uniform numbers are multiplied until the product is below exp(-rate)
    const double end = std::exp(-rate);
    int64_t count = 0;
    for (double product = g.uniform(); product > end; product *= g.uniform()) ++count;
    return static_cast<double>(count);
  }
  const double log_rate = std::log(rate), b = 0.931 + 2.53 * std::sqrt(rate), a = -0.059 + 0.02483 * b;
  const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    const double u = g.uniform() - 0.5, v = g.uniform(), us = 0.5 - std::fabs(u);
    const int64_t k = static_cast<int64_t>(std::floor((2 * a / us + b) * u + rate + 0.43));
    const double n = static_cast<double>(k);
    if (us >= 0.07 && v <= v_r) return n;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v) + std::log(inverse_alpha) - std::log(a / (us * us) + b) <=
        -rate + n * log_rate - std::lgamma(n + 1))
      return n;
  }
}

// log(k!) minus Stirling's formula.
FG_HD_INLINE double stirling_tail(double k) {
  constexpr double first[] = {0.0810614667953272,  0.0413406959554092, 0.0276779256849983, 0.02079067210376509,
                              0.0166446911898211,  0.0138761288230707, 0.0118967099458917, 0.0104112652619720,
                              0.00925546218271273, 0.00833056343336287};
  if (k < 10) return first[static_cast<size_t>(k)];
  const double square = (k + 1) * (k + 1);
  return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1);
}

template <class T, class G> FG_HD_INLINE T binomial_small(T count, T prob, G& g) {
  const double log_rest = std::log1p(-prob);
  T hits = 0;
  for (double place = 0;; hits = hits + 1) {
    place += std::ceil(std::log(g.uniform()) / log_rest);
    if (place > count) return hits;
  }
}

template <class T, class G> FG_HD_INLINE T binomial_large(T count, T prob, G& g) {
  const double spread = std::sqrt(count * prob * (1 - prob)), b = 1.15 + 2.53 * spread;
  const double a = -0.0873 + 0.0248 * b + 0.01 * prob, c = count * prob + 0.5, v_r = 0.92 - 4.2 / b;
  const double odds = prob / (1 - prob), alpha = (2.83 + 5.1 / b) * spread, mode = std::floor((count + 1) * prob);
  for (;;) {
    const double u = g.uniform() - 0.5, v = g.uniform(), us = 0.5 - std::fabs(u);
    const T k = static_cast<T>(std::floor((2 * a / us + b) * u + c));
    if (k < 0 || k > count) continue;
    if (us >= 0.07 && v <= v_r) return k;
    const double bound = (mode + 0.5) * std::log((mode + 1) / (odds * (count - mode + 1))) +
                         (count + 1) * std::log((count - mode + 1) / (count - k + 1)) +
                         (k + 0.5) * std::log(odds * (count - k + 1) / (k + 1)) + stirling_tail(mode) +
                         stirling_tail(count - mode) - stirling_tail(k) - stirling_tail(count - k);
    if (std::log(v * alpha / (a / (us * us) + b)) <= bound) return k;
  }
}

template <class T, class G> FG_HD_INLINE T binomial(T count, T prob, G& g) {
  if (count <= 0 || prob <= 0) return 0;
  if (prob >= 1) return count;
  if (!(prob == prob)) return prob;
  if (!(count == count)) return count;  // it would never be reached
  const bool mirrored = prob > 0.5;
  if (mirrored) prob = static_cast<T>(1.0 - prob);
  const T hits = count * prob >= 10.0 ? binomial_large(count, prob, g) : binomial_small(count, prob, g);
  return mirrored ? count - hits : hits;
}

}  // namespace fg
