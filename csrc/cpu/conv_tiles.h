// The micro-kernels of convolution. As in matmul, a tile of sums stays in registers
// while the long dimension runs; the operand that matmul would pack (the windows of the image laid out in rows) is
// never made, because a row of it is a run of the padded image at an offset:
//
//   multiply_taps     sums[i][j] += a[p][i] * b[offsets[p] + j]      p: channel and kernel element, j: places in a run
//   multiply_windows  the same with a and b in each other's place: i a place anywhere, j an output channel
//   multiply_places   sums[i][j] += a[i][p] * b[p * step + j]        p: places, j: kernel element and channel
#pragma once
#include "cpu/conv_pad.h"
#include "cpu/gemm_pack.h"
#include "cpu/gemm_thin.h"

namespace fg::cpu::FG_ISA {
namespace {

// ---- tiles ----------------------------------------------------------------------------------------------------------
template <class T> struct TapTile {
  int64_t k;
  const T* a;  // packed: kRows numbers for each step
  const T* b;
  const int32_t* offsets;
  T* c;
  int64_t c_rs;
  int columns;
  const T* first;  // start value of each row, or null
};

template <class T, int M, int N, bool Part> __attribute__((noinline)) void multiply_taps(const TapTile<T>& tile) {
  constexpr int L = kLanes<T>;
  using V = Vec<T, L>;
  const int part = Part ? tile.columns - (N - 1) * L : L;
  const int64_t k = tile.k;
  const T* a = tile.a;
  V sums[M][N] = {};
  if (tile.first) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) sums[i][j] += tile.first[i];
    }
  }
#pragma GCC unroll 2
  for (int64_t p = 0; p < k; ++p, a += kRows) {
    const T* b = tile.b + tile.offsets[p];
    V row[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) row[j] = Part && j == N - 1 ? load_part(b + j * L, part) : load<L>(b + j * L);
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
      const T x = a[i];
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) sums[i][j] += x * row[j];
    }
  }
  T* c = tile.c;
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i, c += tile.c_rs) {
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      if (Part && j == N - 1) store_part(c + j * L, sums[i][j], part);
      else store(c + j * L, sums[i][j]);
    }
  }
}

template <class T> struct PlaceTile {
  int64_t images, rows, length;  // places: of each image, rows of length
  const T* a;
  int64_t a_rs, a_row, a_image;  // between rows of sums, rows of places, images
  const T* b;
  int64_t b_step, b_row, b_image;
  T* c;  // added to, unless fresh
  int64_t c_rs;
  int columns;
  bool fresh;
};

template <class T, int M, int N, bool Part> __attribute__((noinline)) void multiply_places(const PlaceTile<T>& tile) {
  constexpr int L = kLanes<T>;
  using V = Vec<T, L>;
  const int part = Part ? tile.columns - (N - 1) * L : L;
  const int64_t step = tile.b_step, length = tile.length;
  V sums[M][N] = {};
  T* c = tile.c;
  if (!tile.fresh) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) {
        const T* from = c + i * tile.c_rs + j * L;
        sums[i][j] = Part && j == N - 1 ? load_part(from, part) : load<L>(from);
      }
    }
  }
  for (int64_t image = 0; image < tile.images; ++image) {
    for (int64_t r = 0; r < tile.rows; ++r) {
      const T* a[M];
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) a[i] = tile.a + i * tile.a_rs + r * tile.a_row + image * tile.a_image;
      const T* b = tile.b + r * tile.b_row + image * tile.b_image;
#pragma GCC unroll 2
      for (int64_t x = 0; x < length; ++x, b += step) {
        V row[N];
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j) row[j] = Part && j == N - 1 ? load_part(b + j * L, part) : load<L>(b + j * L);
#pragma GCC unroll 8
        for (int i = 0; i < M; ++i) {
          const T value = a[i][x];
#pragma GCC unroll 4
          for (int j = 0; j < N; ++j) sums[i][j] += value * row[j];
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i, c += tile.c_rs) {
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      if (Part && j == N - 1) store_part(c + j * L, sums[i][j], part);
      else store(c + j * L, sums[i][j]);
    }
  }
}

// Places by channels: places are scattered, each with a pointer of its own, and a vector holds output channels.
template <class T> struct WindowTile {
  int64_t k;
  const T* a[kRows];  // where the window of each place begins
  const int32_t* offsets;
  const T* b;      // packed: kPanel numbers for each step, whole vectors
  T* c;            // rows of kPanel; added to, unless fresh
  const T* first;  // what fresh sums start from, or null
  int columns;
  bool fresh;
};

template <class T, int M, int N> __attribute__((noinline)) void multiply_windows(const WindowTile<T>& tile) {
  constexpr int L = kLanes<T>;
  using V = Vec<T, L>;
  const int64_t k = tile.k;
  const int32_t* offsets = tile.offsets;
  const T *a[M], *b = tile.b;
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) a[i] = tile.a[i];
  V sums[M][N] = {};
  if (!tile.fresh || tile.first) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j)
        sums[i][j] = load<L>(tile.fresh ? tile.first + j * L : tile.c + i * kPanel<T> + j * L);
    }
  }
#pragma GCC unroll 2
  for (int64_t p = 0; p < k; ++p, b += kPanel<T>) {
    const int64_t at = offsets[p];
    V row[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) row[j] = load<L>(b + j * L);
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
      const T x = a[i][at];
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) sums[i][j] += x * row[j];
    }
  }
  T* c = tile.c;
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i, c += kPanel<T>) {
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) store(c + j * L, sums[i][j]);
  }
}

// The kernel for so many rows (1..kRows) and columns (1..kPanel). Maker::make<M, N, Part>() names it.
template <class Maker, int N, bool Part> FG_INLINE auto kernel_of_rows(int rows) {
  static constexpr auto kTable = [] {
    struct {
      typename Maker::Fn of[kRows];
    } table{{Maker::template make<1, N, Part>(), Maker::template make<2, N, Part>(), Maker::template make<3, N, Part>(),
             Maker::template make<4, N, Part>(),
#if defined(__AVX2__)
             Maker::template make<5, N, Part>(), Maker::template make<6, N, Part>()
#endif
    }};
    return table;
  }();
  return kTable.of[rows - 1];
}
template <class Maker> typename Maker::Fn kernel_for(int rows, int vectors, bool part) {
  if constexpr (kPanelVecs > 2) {
    if (vectors == 4) return part ? kernel_of_rows<Maker, 4, true>(rows) : kernel_of_rows<Maker, 4, false>(rows);
    if (vectors == 3) return part ? kernel_of_rows<Maker, 3, true>(rows) : kernel_of_rows<Maker, 3, false>(rows);
  }
  if (vectors == 2) return part ? kernel_of_rows<Maker, 2, true>(rows) : kernel_of_rows<Maker, 2, false>(rows);
  return part ? kernel_of_rows<Maker, 1, true>(rows) : kernel_of_rows<Maker, 1, false>(rows);
}
template <class T> struct TapKernels {
  static constexpr int kVector = kLanes<T>;
  using Fn = void (*)(const TapTile<T>&);
  template <int M, int N, bool Part> static constexpr Fn make() { return multiply_taps<T, M, N, Part>; }
};
template <class T> struct PlaceKernels {
  static constexpr int kVector = kLanes<T>;
  using Fn = void (*)(const PlaceTile<T>&);
  template <int M, int N, bool Part> static constexpr Fn make() { return multiply_places<T, M, N, Part>; }
};
template <class T> struct WindowKernels {
  static constexpr int kVector = kLanes<T>;
  using Fn = void (*)(const WindowTile<T>&);
  template <int M, int N, bool Part> static constexpr Fn make() { return multiply_windows<T, M, N>; }
};
template <class Maker, class Tile> FG_INLINE void run_tile(const Tile& tile, int rows) {
  constexpr int L = Maker::kVector;
  kernel_for<Maker>(rows, (tile.columns + L - 1) / L, tile.columns % L != 0)(tile);
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
