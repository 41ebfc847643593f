// What softmax by rows and by columns share: how a line is written, and its gradient.
// For files in kernels/ only; everything is internal to the instruction set.
#pragma once
#include "cpu/softmax_steps.h"

namespace fg::cpu::FG_ISA {
namespace {

template <class T> constexpr T kNan = static_cast<T>(__builtin_nan(""));
template <class T> FG_INLINE bool is_finite(T x) { return x - x == 0; }

// y = f(vector, at) for a row; streaming when asked and the address allows it.
template <class T, class F> FG_INLINE void write_row(T* y, int64_t n, bool stream, const F& f) {
  constexpr int64_t N = Vec<T>::N;
  int64_t i = 0;
  if (stream && is_aligned(y)) {
    for (; i + N <= n; i += N) stream_store(y + i, f(i, N));
  } else {
    for (; i + N <= n; i += N) f(i, N).store(y + i);
  }
  if (i < n) store_first(y + i, n - i, f(i, n - i));
}

// What a gradient gives at one place; s is the sum of g * y, or of g.
template <class T, bool is_log> FG_INLINE Vec<T> gradient_of(Vec<T> y, Vec<T> g, Vec<T> s) {
  if constexpr (is_log) return g - exp(y) * s;
  else return y * (g - s);
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
