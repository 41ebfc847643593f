// What softmax and logsumexp share: exp relative to the largest element, by block and by column.
// For files in kernels/ only; everything is internal to the instruction set.
#pragma once
#include "cpu/lines.h"
#include "cpu/math.h"

namespace fg::cpu::FG_ISA {
namespace {

// exp(x) for x <= 0, but 0 where the result would be denormal: those cost a microcode assist each, and masks of -inf
// are common. Anything for NaN: whether a line holds one is seen in its largest element, where NaN wins. The rounding
// errors that exp puts back are left: 1.05 ulp, in what is summed up and divided by the sum.
template <class T> FG_INLINE Vec<T> exp_or_zero(Vec<T> x) {
  const Vec<T> low = BaseE::low<T>;
#if defined(__AVX512F__)
  const Vec<T> n = BaseE::round(x) - Limits<T>::kMagic, p = BaseE::power_less_one(x, n) + 1;
  if constexpr (sizeof(T) == 4) {
    const __mmask16 normal = _mm512_cmp_ps_mask((__m512)x.v, (__m512)low.v, _CMP_NLT_UQ);
    return (typename Vec<T>::V)_mm512_maskz_scalef_ps(normal, (__m512)p.v, (__m512)n.v);
  } else {
    const __mmask8 normal = _mm512_cmp_pd_mask((__m512d)x.v, (__m512d)low.v, _CMP_NLT_UQ);
    return (typename Vec<T>::V)_mm512_maskz_scalef_pd(normal, (__m512d)p.v, (__m512d)n.v);
  }
#else
  const Vec<T> clamped = at_least(x, low), t = BaseE::round(clamped);
  const Vec<T> p = BaseE::power_less_one(clamped, Vec<T>(t - Limits<T>::kMagic)) + 1;
  return where(x < low, 0, scaled(p, t));
#endif
}

// What is subtracted before exp: the largest element, or 0 when all are -inf. Sums relative to +inf or NaN mean
// nothing.
template <class T> FG_INLINE Vec<T> shift_of(Vec<T> top) { return where(top == lowest<T>(), 0, top); }
template <class T> FG_INLINE T shift_of(T top) { return top == lowest<T>() ? 0 : top; }

template <class T> FG_INLINE T block_max(const T* x, int64_t n) {
  using V = Vec<T>;
  return fold_block<T>(x, n, lowest<T>(), [](V a) { return a; }, [](V a, V b) { return max(a, b); });
}
template <class T> FG_INLINE T block_exp_sum(const T* x, int64_t n, T shift) {
  using V = Vec<T>;
  return fold_block<T, 2>(x, n, 0, [shift](V a) { return exp_or_zero(a - V(shift)); }, [](V a, V b) { return a + b; });
}

// Adds rows to a row of (largest so far, sum of exp relative to it). Groups of rows share one correction of the sum.
template <int64_t count, class T>
FG_INLINE void online_group(T* top, T* sum, const T* x, int64_t stride, int64_t n) {
  using V = Vec<T>;
  each_vector<T>(n, [&](int64_t i, int64_t m) {
    V lines[count];
    for (int64_t k = 0; k < count; ++k) lines[k] = load_part(x + k * stride + i, m);
    const V old = V::load(top + i);
    V now = old;
    for (int64_t k = 0; k < count; ++k) now = max(now, lines[k]);
    const V shift = shift_of(now);
    V total = V::load(sum + i) * exp_or_zero(at_most(shift_of(old) - shift, 0));
    for (int64_t k = 0; k < count; ++k) total = total + exp_or_zero(lines[k] - shift);
    store_part(top + i, m, now);
    store_part(sum + i, m, total);
  });
}
template <class T> void online_rows(T* top, T* sum, const T* x, int64_t stride, int64_t rows, int64_t n) {
  int64_t row = 0;
  for (; row + 8 <= rows; row += 8) online_group<8>(top, sum, x + row * stride, stride, n);
  for (; row + 4 <= rows; row += 4) online_group<4>(top, sum, x + row * stride, stride, n);
  for (; row < rows; ++row) online_group<1>(top, sum, x + row * stride, stride, n);
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
