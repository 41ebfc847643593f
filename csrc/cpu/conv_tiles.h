// The micro-kernels of convolution and the padded copies they read. As in matmul, a tile of sums stays in registers
// while the long dimension runs; the operand that matmul would pack (the windows of the image laid out in rows) is
// never made, because a row of it is a run of the padded image at an offset:
//
//   multiply_taps     sums[i][j] += a[p][i] * b[offsets[p] + j]      p: channel and kernel element, j: places in a run
//   multiply_places   sums[i][j] += a[i][p] * b[p * step + j]        p: places, j: kernel element and channel
#pragma once
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
  int64_t rows, length;  // places: rows of length
  const T* a;
  int64_t a_rs, a_row;  // between rows of sums, between rows of places
  const T* b;
  int64_t b_step, b_row;
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
  for (int64_t r = 0; r < tile.rows; ++r) {
    const T* a[M];
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) a[i] = tile.a + i * tile.a_rs + r * tile.a_row;
    const T* b = tile.b + r * tile.b_row;
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
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i, c += tile.c_rs) {
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      if (Part && j == N - 1) store_part(c + j * L, sums[i][j], part);
      else store(c + j * L, sums[i][j]);
    }
  }
}

// The kernel for so many rows (1..kRows) and columns (1..kPanel).
template <class T, class Tile, class Table> FG_INLINE void run_tile(const Tile& tile, int rows) {
  const int vectors = (tile.columns + kLanes<T> - 1) / kLanes<T>;
  const bool part = tile.columns % kLanes<T> != 0;
  Table::get(rows, vectors, part)(tile);
}
template <class T> struct TapKernels {
  using Fn = void (*)(const TapTile<T>&);
  template <int N, bool Part> static Fn of(int rows) {
    static constexpr Fn kTable[kRows] = {
        multiply_taps<T, 1, N, Part>, multiply_taps<T, 2, N, Part>, multiply_taps<T, 3, N, Part>,
        multiply_taps<T, 4, N, Part>,
#if defined(__AVX2__)
        multiply_taps<T, 5, N, Part>, multiply_taps<T, 6, N, Part>
#endif
    };
    return kTable[rows - 1];
  }
  static Fn get(int rows, int vectors, bool part) {
    if constexpr (kPanelVecs > 2) {
      if (vectors == 4) return part ? of<4, true>(rows) : of<4, false>(rows);
      if (vectors == 3) return part ? of<3, true>(rows) : of<3, false>(rows);
    }
    if (vectors == 2) return part ? of<2, true>(rows) : of<2, false>(rows);
    return part ? of<1, true>(rows) : of<1, false>(rows);
  }
};
template <class T> struct PlaceKernels {
  using Fn = void (*)(const PlaceTile<T>&);
  template <int N, bool Part> static Fn of(int rows) {
    static constexpr Fn kTable[kRows] = {
        multiply_places<T, 1, N, Part>, multiply_places<T, 2, N, Part>, multiply_places<T, 3, N, Part>,
        multiply_places<T, 4, N, Part>,
#if defined(__AVX2__)
        multiply_places<T, 5, N, Part>, multiply_places<T, 6, N, Part>
#endif
    };
    return kTable[rows - 1];
  }
  static Fn get(int rows, int vectors, bool part) {
    if constexpr (kPanelVecs > 2) {
      if (vectors == 4) return part ? of<4, true>(rows) : of<4, false>(rows);
      if (vectors == 3) return part ? of<3, true>(rows) : of<3, false>(rows);
    }
    if (vectors == 2) return part ? of<2, true>(rows) : of<2, false>(rows);
    return part ? of<1, true>(rows) : of<1, false>(rows);
  }
};

// ---- padded copies --------------------------------------------------------------------------------------------------
// One plane with zeros around it, split into phases: element u of phase f of a dimension is the plane's element
// u * stride + f - low, or zero outside. Layout: (phases of d, h, w; extents of d, h, w).
struct Padded {
  int64_t size[3], stride[3], low[3], phases[3], extent[3];
  int64_t volume;  // elements of the copy of one plane
  bool plain;      // nothing to do: the plane itself serves

  void finish() {
    volume = 1;
    plain = true;
    for (int d = 0; d < 3; ++d) {
      volume *= phases[d] * extent[d];
      plain = plain && stride[d] == 1 && phases[d] == 1 && low[d] == 0 && extent[d] == size[d];
    }
  }
  // Of the element that lies `place` behind the low end of the padded dimension; `pitch`: of one element of it.
  int64_t offset(int64_t z, int64_t y, int64_t x) const {
    const int64_t at[3] = {z, y, x};
    int64_t phase = 0, element = 0;
    for (int d = 0; d < 3; ++d) {
      phase = phase * phases[d] + at[d] % stride[d];
      element = element * extent[d] + at[d] / stride[d];
    }
    return phase * extent[0] * extent[1] * extent[2] + element;
  }
};

template <class T> FG_INLINE void copy_run(T* to, const T* from, int64_t n) {
  constexpr int L = kLanes<T>;
  int64_t i = 0;
  for (; i + L <= n; i += L) store(to + i, load<L>(from + i));
  if (i < n) store_part(to + i, load_part(from + i, static_cast<int>(n - i)), static_cast<int>(n - i));
}
template <class T> FG_INLINE void zero_run(T* to, int64_t n) {
  if (n > 0) memset(to, 0, static_cast<size_t>(n) * sizeof(T));
}

// to[u] = row[u * stride + shift] for u in [0, extent), zero where that is outside [0, size).
template <class T>
__attribute__((noinline)) void pad_row(T* to, const T* row, int64_t size, int64_t extent, int64_t stride,
                                       int64_t shift) {
  int64_t begin = shift < 0 ? ceil_div(-shift, stride) : 0;
  begin = least(begin, extent);
  int64_t end = size > shift ? ceil_div(size - shift, stride) : 0;
  end = most(begin, least(end, extent));
  zero_run(to, begin);
  const T* from = row + begin * stride + shift;
  T* at = to + begin;
  const int64_t n = end - begin;
  if (stride == 1) {
    copy_run(at, from, n);
  } else if (stride == 2) {
    for (int64_t i = 0; i < n; ++i) at[i] = from[2 * i];
  } else {
    for (int64_t i = 0; i < n; ++i) at[i] = from[i * stride];
  }
  zero_run(to + end, extent - end);
}

template <class T> __attribute__((noinline)) void pad_plane(T* to, const T* plane, const Padded& p) {
  const int64_t row_size = p.extent[2];
  for (int64_t fd = 0; fd < p.phases[0]; ++fd)
    for (int64_t fh = 0; fh < p.phases[1]; ++fh)
      for (int64_t fw = 0; fw < p.phases[2]; ++fw)
        for (int64_t d = 0; d < p.extent[0]; ++d) {
          const int64_t z = d * p.stride[0] + fd - p.low[0];
          if (z < 0 || z >= p.size[0]) {
            zero_run(to, p.extent[1] * row_size);
            to += p.extent[1] * row_size;
            continue;
          }
          for (int64_t h = 0; h < p.extent[1]; ++h, to += row_size) {
            const int64_t y = h * p.stride[1] + fh - p.low[1];
            if (y < 0 || y >= p.size[1]) zero_run(to, row_size);
            else pad_row(to, plane + (z * p.size[1] + y) * p.size[2], p.size[2], row_size, p.stride[2], fw - p.low[2]);
          }
        }
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
