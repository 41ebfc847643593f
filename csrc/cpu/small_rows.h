// Rows of some vectors, as many together as a vector has lanes: what a row is folded to is lane k of one vector for row
// k, so that quotients, roots and logarithms are of vectors as well.
// For files in kernels/ only; everything is internal to the instruction set.
#pragma once
#include "cpu/lines.h"

namespace fg::cpu::FG_ISA {
namespace {

template <class T> constexpr int64_t kSmallRow = 4 * Vec<T>::N;  // elements of the longest

template <class T, int count, bool whole> struct SmallRows;
template <class Rows> struct Kind {
  using type = Rows;
};
// f(Kind<SmallRows for rows of n elements>)
template <class T, class F> FG_INLINE void with_small_rows(int64_t n, const F& f) {
  if (n == Vec<T>::N) return f(Kind<SmallRows<T, 1, true>>());
  switch ((n + Vec<T>::N - 1) / Vec<T>::N) {
    case 1: return f(Kind<SmallRows<T, 1, false>>());
    case 2: return f(Kind<SmallRows<T, 2, false>>());
    case 3: return f(Kind<SmallRows<T, 3, false>>());
    default: return f(Kind<SmallRows<T, 4, false>>());
  }
}

// Lane k of the result: the lanes of rows[k].
template <class T, int half = Vec<T>::N / 2, class Meet>
FG_INLINE Vec<T> across_rows(Vec<T> (&rows)[Vec<T>::N], const Meet& meet) {
  constexpr int N = Vec<T>::N;
  static constexpr LaneNumbers<T> low = lane_numbers<T>([](int i) { return i & half ? N + i - half : i; });
  static constexpr LaneNumbers<T> high = lane_numbers<T>([](int i) { return i & half ? N + i : i + half; });
#pragma GCC unroll 8
  for (int k = 0; k < half; ++k) {
    const Vec<T> one = rows[k], two = rows[k + half];
    rows[k] = meet(Vec<T>(__builtin_shuffle(one.v, two.v, as_vector<T>(low))),
                   Vec<T>(__builtin_shuffle(one.v, two.v, as_vector<T>(high))));
  }
  if constexpr (half > 1) return across_rows<T, half / 2>(rows, meet);
  else return rows[0];
}

// Rows of n elements that follow each other, up to N of them, and room for what is made of them. whole: a vector each.
template <class T, int count, bool whole> struct SmallRows {
  using V = Vec<T>;
  static constexpr int N = V::N;
  int64_t n, rows;
  Mask<T> last;
  alignas(64) T kept[N * count * N];

  FG_INLINE SmallRows(int64_t n, int64_t rows)
      : n(whole ? N : n), rows(smaller(rows, N)), last(first_lanes<T>(n - (count - 1) * N)) {}

  struct Row {
    V part[count];
    template <class F> FG_INLINE Row with(const F& f) const {
      Row out;
#pragma GCC unroll 4
      for (int k = 0; k < count; ++k) out.part[k] = f(part[k], k);
      return out;
    }
    template <class Meet> FG_INLINE V fold(const Meet& meet) const {
      V all = part[0];
#pragma GCC unroll 4
      for (int k = 1; k < count; ++k) all = meet(all, part[k]);
      return all;
    }
    FG_INLINE V sum() const {
      return fold([](V a, V b) { return a + b; });
    }
  };
  // Beyond its end a row has `rest`; rows beyond the last are this one.
  FG_INLINE Row row(const T* x, int k, V rest) const {
    const T* from = x + smaller(k, rows - 1) * n;
    Row out;
#pragma GCC unroll 4
    for (int i = 0; i + 1 < count; ++i) out.part[i] = V::load(from + i * N);
    const T* end = from + (count - 1) * N;
    out.part[count - 1] = whole ? V::load(end) : where(last, load_part(end, n - (count - 1) * N), rest);
    return out;
  }
  FG_INLINE void keep(int k, const Row& row) {
#pragma GCC unroll 4
    for (int i = 0; i < count; ++i) row.part[i].store(kept + (k * count + i) * N);
  }
  FG_INLINE Row kept_row(int k) const {
    Row out;
#pragma GCC unroll 4
    for (int i = 0; i < count; ++i) out.part[i] = V::load(kept + (k * count + i) * N);
    return out;
  }
  // To be called in the order of rows: what is written beyond the end of one belongs to the next.
  FG_INLINE void store(T* y, int k, const Row& row) const {
    T* to = y + k * n;
#pragma GCC unroll 4
    for (int i = 0; i + 1 < count; ++i) row.part[i].store(to + i * N);
    if (whole || (k + 1 < rows && 2 * n >= N)) row.part[count - 1].store(to + (count - 1) * N);
    else store_part(to + (count - 1) * N, n - (count - 1) * N, row.part[count - 1]);
  }

  // Lane k: f(k), a vector, folded.
  template <class F, class Meet> FG_INLINE static V fold_each(const F& f, const Meet& meet) {
    V folded[N];
    for (int k = 0; k < N; ++k) folded[k] = f(k);
    return across_rows<T>(folded, meet);
  }
  template <class F> FG_INLINE static V sum_each(const F& f) {
    return fold_each(f, [](V a, V b) { return a + b; });
  }
};

}  // namespace
}  // namespace fg::cpu::FG_ISA
