// Rows become columns: squares of small items are exchanged in registers.
// For files in kernels/ only; everything is internal to the instruction set.
#pragma once
#include <utility>

#include "cpu/vec.h"

namespace fg::cpu::FG_ISA {
namespace {

// A square of items, a row of it in each vector: interleaving row k with the one half a square further on, log2(rows)
// times, exchanges rows and columns.
template <class S> struct Square {
  static constexpr int kRows = 16 / sizeof(S);
  typedef S Row __attribute__((vector_size(16)));
  template <S first, S... i> static Row interleave(std::integer_sequence<S, i...>) {
    return Row{static_cast<S>(first + i / 2 + i % 2 * kRows)...};
  }
  FG_INLINE static void exchange(Row (&rows)[kRows]) {
    using All = std::make_integer_sequence<S, static_cast<S>(kRows)>;
    const Row low = interleave<0>(All()), high = interleave<kRows / 2>(All());
#pragma GCC unroll 4
    for (int step = 1; step < kRows; step *= 2) {
      Row next[kRows];
#pragma GCC unroll 8
      for (int k = 0; k < kRows / 2; ++k) {
        next[2 * k] = __builtin_shuffle(rows[k], rows[k + kRows / 2], low);
        next[2 * k + 1] = __builtin_shuffle(rows[k], rows[k + kRows / 2], high);
      }
#pragma GCC unroll 16
      for (int k = 0; k < kRows; ++k) rows[k] = next[k];
    }
  }
};

// to[j * pitch + i] <- from[i * stride0 + j * stride1], i < width, j < height
template <class S> void gather_tile_items(void* to, int64_t pitch, const void* from, int64_t stride0, int64_t stride1,
                                          int width, int height) {
  S* out = static_cast<S*>(to);
  const S* in = static_cast<const S*>(from);
  int i = 0;
  if constexpr (sizeof(S) <= 4) {
    constexpr int n = Square<S>::kRows;
    for (; stride1 == 1 && i + n <= width; i += n) {
      const S* column = in + i * stride0;
      int j = 0;
      for (; j + n <= height; j += n) {
        typename Square<S>::Row rows[n];
#pragma GCC unroll 16
        for (int k = 0; k < n; ++k) memcpy(&rows[k], column + k * stride0 + j, 16);
        Square<S>::exchange(rows);
#pragma GCC unroll 16
        for (int k = 0; k < n; ++k) memcpy(out + (j + k) * pitch + i, &rows[k], 16);
      }
      for (; j < height; ++j)
        for (int k = 0; k < n; ++k) out[j * pitch + i + k] = column[k * stride0 + j];
    }
  }
  for (; i < width; ++i)
    for (int j = 0; j < height; ++j) out[j * pitch + i] = in[i * stride0 + j * stride1];
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
