// Packing for matmul: panels that the micro-kernel reads in one contiguous stream, from operands of any strides and
// storage type. Contiguous runs are copied, transposed ones go through square transposes in registers.
#pragma once
#include "cpu/gemm_kernel.h"

namespace fg::cpu::FG_ISA {
namespace {

template <class S, class T>
__attribute__((noinline)) void copy_block(T* out, int64_t out_rs, const S* in, int64_t rs, int64_t cs, int64_t rows,
                                          int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) out[i * out_rs + j] = widen(in[i * rs + j * cs]);
  }
}

// out[p * pitch + j] = in[p * rs + j * cs] for p < k, j < columns; columns up to the next full vector become zero.
// One panel of B: pitch = kPanel. Reads nothing outside the operand.
template <class S, class T>
__attribute__((noinline)) void pack_b(T* out, const S* in, int64_t rs, int64_t cs, int64_t k, int64_t columns) {
  constexpr int L = kLanes<T>;
  constexpr int64_t pitch = kPanel<T>;
  const int64_t whole = columns / L * L, padded = ceil_div(columns, L) * L;
  int64_t done = 0;
  if (cs == 1) {
    for (int64_t p = 0; p < k; ++p) {
      T* to = out + p * pitch;
      const S* from = in + p * rs;
      for (int64_t j = 0; j < whole; j += L) store(to + j, load<L>(from + j));
      if (whole < columns) store(to + whole, load_part(from + whole, static_cast<int>(columns - whole)));
    }
    return;
  }
  if (rs == 1) {
    const int64_t blocks = k / L * L;
    for (int64_t j = 0; j < whole; j += L) {
      for (int64_t p = 0; p < blocks; p += L) {
        Vec<T, L> rows[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) rows[i] = load<L>(in + p + (j + i) * cs);
        transpose<T, L>(rows);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store(out + (p + i) * pitch + j, rows[i]);
      }
      copy_block<S, T>(out + blocks * pitch + j, pitch, in + blocks + j * cs, 1, cs, k - blocks, L);
    }
    done = whole;
  }
  copy_block<S, T>(out + done, pitch, in + done * cs, rs, cs, k, columns - done);
  for (int64_t p = 0; p < k && columns < padded; ++p) {
    for (int64_t j = columns; j < padded; ++j) out[p * pitch + j] = T(0);
  }
}

// Panels of A: element i of a panel's step p at out[p * kRows + i]; any number of rows, the last panel may be short.
// The copy of a panel with contiguous k writes whole vectors over the following steps and lets these overwrite the
// excess; the last steps are written one by one, so that nothing outside the panel is touched.
template <class S, class T>
__attribute__((noinline)) void pack_a(T* out, const S* in, int64_t rs, int64_t cs, int64_t rows, int64_t k) {
  constexpr int L = kLanes<T> < 8 ? kLanes<T> : 8;  // kRows fits in one or two vectors of it
  constexpr int groups = (kRows + L - 1) / L;
  if (rs == 1) {  // along a row of the source, through all panels: its memory is read once and in order
    const int64_t whole = rows / kRows * kRows;
    for (int64_t p = 0; p < k; ++p) {
      const S* from = in + p * cs;
      T* to = out + p * kRows;
      for (int64_t i = 0; i < whole; i += kRows, to += kRows * k) {
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) to[r] = widen(from[i + r]);
      }
      for (int64_t i = whole; i < rows; ++i) to[i - whole] = widen(from[i]);
    }
    return;
  }
  for (int64_t i = 0; i < rows; i += kRows, out += kRows * k, in += kRows * rs) {
    const int count = static_cast<int>(smaller(kRows, rows - i));
    int64_t p = 0;
    if (cs == 1) {
      for (; p + L + kRows <= k; p += L) {
        Vec<T, L> block[groups][L];
#pragma GCC unroll 4
        for (int g = 0; g < groups; ++g) {
#pragma GCC unroll 8
          for (int r = 0; r < L; ++r) {
            block[g][r] = g * L + r < count ? load<L>(in + (g * L + r) * rs + p) : Vec<T, L>{};
          }
          transpose<T, L>(block[g]);
        }
#pragma GCC unroll 8
        for (int r = 0; r < L; ++r) {
#pragma GCC unroll 4
          for (int g = 0; g < groups; ++g) store(out + (p + r) * kRows + g * L, block[g][r]);
        }
      }
    }
    copy_block<S, T>(out + p * kRows, kRows, in + p * cs, cs, rs, k - p, count);
  }
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
