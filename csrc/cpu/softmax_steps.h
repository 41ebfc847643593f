// What softmax and logsumexp share: exp relative to the largest element, by block and by column.
// For files in kernels/ only; everything is internal to the instruction set.
#pragma once
#include "cpu/lines.h"
#include "cpu/math.h"

namespace fg::cpu::FG_ISA {
namespace {

// exp(x) for x <= 0, but 0 where the result would be denormal: those cost a microcode assist each, and masks of -inf
// are common. Anything for NaN: whether a line holds one is seen in its largest element, where NaN wins.
template <class T> FG_INLINE Vec<T> exp_or_zero(Vec<T> x) {
  const Vec<T> low = BaseE::low<T>;
  return where(x < low, 0, exp_in_range(at_least(x, low)));
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
  for (; row < rows; ++row) online_group<1>(top, sum, x + row * stride, stride, n);
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
