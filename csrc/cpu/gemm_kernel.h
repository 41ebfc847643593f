// The matmul micro-kernels: a tile of C, at most kRows x kPanel, stays in registers while k runs.
//
// Operands are read in place or from packed panels by the same code: A element by element through any strides, B in
// rows of contiguous columns. "Wide beats tall": 6 rows of 4 AVX-512 vectors, 6 x 2 with AVX2, 4 x 2 in the baseline.
// There is one kernel for each number of rows and of vectors: edges run at speed, and nothing outside the operands is
// touched.
#pragma once
#include "cpu/gemm_vec.h"

namespace fg::cpu::FG_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kPanelVecs = 4, kRows = 6, kNarrowRows = 8, kDotColumns = 4;
#elif defined(__AVX2__)
constexpr int kPanelVecs = 2, kRows = 6, kNarrowRows = 8, kDotColumns = 2;
#else
constexpr int kPanelVecs = 2, kRows = 4, kNarrowRows = 4, kDotColumns = 2;
#endif
template <class T>
constexpr int kPanel = kPanelVecs * kLanes<T>;

// What happens to a finished sum: c = alpha * sum + beta * c + bias. plain: c = sum.
template <class T, class S = T>
struct Finish {
  T alpha, beta;
  const S* bias;
  int64_t bias_rs, bias_cs;
  bool plain;
};

template <class T>
struct Tile {
  int64_t k;
  const T* a;
  int64_t a_rs, a_cs;
  const T* b;
  int64_t b_rs;
  T* c;
  int64_t c_rs;
  int columns;
  const T* bias;
  const Finish<T>* finish;
};

// sums: rows of `pitch`; c and bias may have another storage type than the sums. Row by row in short strips that stay
// in L1, one simple loop for each term.
template <class T, class S>
__attribute__((noinline)) void finish_rows(const T* sums, int64_t pitch, int64_t rows, int64_t columns, S* c,
                                           int64_t c_rs, int64_t c_cs, const S* bias, const Finish<T, S>& finish) {
  constexpr int64_t kStrip = 128;
  const T alpha = finish.alpha, beta = finish.beta;
  const int64_t bias_cs = finish.bias_cs;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j0 = 0; j0 < columns; j0 += kStrip) {
      alignas(64) T strip[kStrip];
      const int64_t count = smaller(kStrip, columns - j0);
      const T* from = sums + i * pitch + j0;
      S* to = c + i * c_rs + j0 * c_cs;
      for (int64_t j = 0; j < count; ++j) strip[j] = alpha * from[j];
      if (beta != T(0)) {  // else c is not read: it may hold NaN
        if (c_cs == 1) {
          for (int64_t j = 0; j < count; ++j) strip[j] += beta * widen(to[j]);
        } else {
          for (int64_t j = 0; j < count; ++j) strip[j] += beta * widen(to[j * c_cs]);
        }
      }
      if (bias) {
        const S* add = bias + i * finish.bias_rs + j0 * bias_cs;
        if (bias_cs == 1) {
          for (int64_t j = 0; j < count; ++j) strip[j] += widen(add[j]);
        } else {
          for (int64_t j = 0; j < count; ++j) strip[j] += widen(add[j * bias_cs]);
        }
      }
      if (c_cs == 1) {
        for (int64_t j = 0; j < count; ++j) narrow(strip[j], to + j);
      } else {
        for (int64_t j = 0; j < count; ++j) narrow(strip[j], to + j * c_cs);
      }
    }
  }
}

// Part: the last vector is loaded and stored in part (or just in full).
template <class T, int M, int N, bool Part>
__attribute__((noinline)) void multiply(const Tile<T>& tile) {
  constexpr int L = kLanes<T>;
  using V = Vec<T, L>;
  const int part = Part ? tile.columns - (N - 1) * L : L;
  const int64_t a_cs = tile.a_cs, b_rs = tile.b_rs, k = tile.k;
  const T* a[M];
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) a[i] = tile.a + i * tile.a_rs;
  const T* b = tile.b;
  V sums[M][N] = {};
  int64_t at = 0;
#pragma GCC unroll 2
  for (int64_t p = 0; p < k; ++p, at += a_cs, b += b_rs) {
    V row[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) row[j] = Part && j == N - 1 ? load_part(b + j * L, part) : load<L>(b + j * L);
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i) {
      const T x = a[i][at];
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) sums[i][j] += x * row[j];
    }
  }
  if (__builtin_expect(tile.finish->plain, 1)) {
    T* c = tile.c;
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i, c += tile.c_rs) {
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) {
        if (Part && j == N - 1) {
          store_part(c + j * L, sums[i][j], part);
        } else {
          store(c + j * L, sums[i][j]);
        }
      }
    }
  } else {
    alignas(kVecBytes) T copy[M * N * L];
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) store(copy + (i * N + j) * L, sums[i][j]);
    }
    finish_rows<T, T>(copy, N * L, M, tile.columns, tile.c, tile.c_rs, 1, tile.bias, *tile.finish);
  }
}

template <class T>
using Kernel = void (*)(const Tile<T>&);

// Rows that a kernel of so many vectors takes at once: as many as the registers hold.
constexpr int rows_of(int vectors) { return vectors == kPanelVecs ? kRows : kNarrowRows; }

template <class T>
struct Kernels {
  template <int N, bool Part>
  static FG_INLINE Kernel<T> of_rows(int rows) {
    static constexpr Kernel<T> kTable[8] = {multiply<T, 1, N, Part>,
                                            multiply<T, 2, N, Part>,
                                            multiply<T, 3, N, Part>,
                                            multiply<T, 4, N, Part>,
                                            multiply<T, least_rows(5, N), N, Part>,
                                            multiply<T, least_rows(6, N), N, Part>,
                                            multiply<T, least_rows(7, N), N, Part>,
                                            multiply<T, least_rows(8, N), N, Part>};
    return kTable[rows - 1];
  }
  static constexpr int least_rows(int rows, int vectors) { return rows < rows_of(vectors) ? rows : rows_of(vectors); }

  // columns: of the panel, 1..kPanel
  static Kernel<T> get(int rows, int columns) {
    if (columns == kPanel<T>) return of_rows<kPanelVecs, false>(rows);
    int vectors = (columns + kLanes<T> - 1) / kLanes<T>;
    if (vectors == 1) return of_rows<1, true>(rows);
    if constexpr (kPanelVecs > 2) {
      if (vectors == 2) return of_rows<2, true>(rows);
      if (vectors == 3) return of_rows<3, true>(rows);
    }
    return of_rows<kPanelVecs, true>(rows);
  }
};

}  // namespace
}  // namespace fg::cpu::FG_ISA
