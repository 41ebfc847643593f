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
