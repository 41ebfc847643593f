// The padded copies that convolution reads: planes with zeros around them, split into phases where there is a stride.
#pragma once
#include <cstring>

#include "cpu/gemm_vec.h"

namespace fg::cpu::FG_ISA {
namespace {

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

// to[i] = from[i * stride]
template <class T> __attribute__((noinline)) void copy_strided(T* to, const T* from, int64_t n, int64_t stride) {
  if (stride == 2) {
    for (int64_t i = 0; i < n; ++i) to[i] = from[2 * i];
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i * stride];
  }
}

// Along one dimension, the elements u of a phase that lie inside the plane: [begin, end).
struct Inside {
  int64_t begin, end, shift;  // the plane's element is u * stride + shift
};
FG_INLINE Inside inside_of(const Padded& p, int d, int64_t phase) {
  const int64_t shift = phase - p.low[d], stride = p.stride[d], extent = p.extent[d];
  if (stride == 1) {
    const int64_t begin = smaller(most(-shift, 0), extent);
    return {begin, most(begin, smaller(p.size[d] - shift, extent)), shift};
  }
  const int64_t begin = shift < 0 ? smaller(ceil_div(-shift, stride), extent) : 0;
  const int64_t end = p.size[d] > shift ? smaller(ceil_div(p.size[d] - shift, stride), extent) : 0;
  return {begin, most(begin, end), shift};
}

// Rows of n <= kLanes elements. Each is stored as a whole vector: the zeros behind it fall on what surrounds the plane
// and on rows that come later.
template <class T>
FG_INLINE void copy_short_rows(T* to, int64_t pitch, const T* from, int64_t from_pitch, int64_t rows, int n) {
  for (int64_t i = 0; i < rows; ++i) store(to + i * pitch, load_part(from + i * from_pitch, n));
}

// Fills the inside of a padded copy; what surrounds it must be zero already. slack: kLanes numbers behind the copy may
// be set to zero.
template <class T, bool slack = false>
__attribute__((noinline)) void copy_plane(T* to, const T* plane, const Padded& p) {
  const int64_t row_size = p.extent[2], volume = p.extent[0] * p.extent[1] * row_size;
  for (int64_t fd = 0; fd < p.phases[0]; ++fd)
    for (int64_t fh = 0; fh < p.phases[1]; ++fh)
      for (int64_t fw = 0; fw < p.phases[2]; ++fw, to += volume) {
        const Inside deep = inside_of(p, 0, fd), high = inside_of(p, 1, fh), wide = inside_of(p, 2, fw);
        const int64_t n = wide.end - wide.begin, rows = high.end - high.begin, from_pitch = p.stride[1] * p.size[2];
        for (int64_t d = deep.begin; d < deep.end; ++d) {
          const int64_t z = d * p.stride[0] + deep.shift, y = high.begin * p.stride[1] + high.shift;
          const T* from = plane + (z * p.size[1] + y) * p.size[2] + wide.begin * p.stride[2] + wide.shift;
          T* at = to + (d * p.extent[1] + high.begin) * row_size + wide.begin;
          if (slack && p.stride[2] == 1 && n > 0 && n <= kLanes<T>) {
            copy_short_rows(at, row_size, from, from_pitch, rows, static_cast<int>(n));
            continue;
          }
          for (int64_t h = 0; h < rows; ++h, at += row_size, from += from_pitch) {
            if (p.stride[2] == 1) copy_run(at, from, n);
            else copy_strided(at, from, n, p.stride[2]);
          }
        }
      }
}
template <class T> void pad_plane(T* to, const T* plane, const Padded& p) {
  zero_run(to, p.volume);
  copy_plane(to, plane, p);
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
