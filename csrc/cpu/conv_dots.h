// The gradient for the weight where a group has one input channel and few output channels (depthwise): dot products of
// rows of g with rows of the padded image. As in conv_planes.h, a vector of the image serves a column of kernel
// elements. Sums of lanes run over some images, then go on in double.
#pragma once
#include "cpu/conv_planes.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kLaneTerms = 2048;  // that a lane adds up in T

template <class T> struct DotRows {
  const T *g, *x;
  int64_t g_pitch, pitch, n;
  T* lanes;  // [element of the column][lane], added to
};

template <class T, int R, int K, bool Part> FG_INLINE void add_dots(const DotRows<T>& d, int64_t at, auto& sums) {
  constexpr int L = kLanes<T>;
  const int part = Part ? static_cast<int>(d.n - at) : L;
  const auto get = [part](const T* from)
                       __attribute__((always_inline)) { return Part ? load_part(from, part) : load<L>(from); };
  Vec<T, L> g[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) g[r] = get(d.g + r * d.g_pitch + at);
#pragma GCC unroll 16
  for (int r = 0; r < R + K - 1; ++r) {
    const Vec<T, L> value = get(d.x + r * d.pitch + at);
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k)
      if (r - k >= 0 && r - k < R) sums[k] += g[r - k] * value;
  }
}

template <class T, int R, int K> __attribute__((noinline)) void dot_rows_of(const DotRows<T>& d) {
  constexpr int L = kLanes<T>;
  Vec<T, L> sums[K];
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) sums[k] = load<L>(d.lanes + k * L);
  int64_t i = 0;
  for (; i + L <= d.n; i += L) add_dots<T, R, K, false>(d, i, sums);
  if (i < d.n) add_dots<T, R, K, true>(d, i, sums);
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) store(d.lanes + k * L, sums[k]);
}
template <class T, int R> FG_INLINE void dot_rows_of_column(const DotRows<T>& d, int length) {
  using Fn = void (*)(const DotRows<T>&);
  static constexpr Fn kTable[kTall] = {dot_rows_of<T, R, 1>, dot_rows_of<T, R, 2>, dot_rows_of<T, R, 3>,
                                       dot_rows_of<T, R, 4>, dot_rows_of<T, R, 5>, dot_rows_of<T, R, 6>,
                                       dot_rows_of<T, R, 7>};
  kTable[length - 1](d);
}

template <class T> void weight_of_planes(const ConvArgs& a) {
  constexpr int L = kLanes<T>;
  Padded p;
  for (int d = 0; d < 3; ++d) {
    const int64_t reach = (a.kernel[d] - 1) * a.dilation[d];
    p.size[d] = a.in[d], p.stride[d] = a.stride[d], p.low[d] = a.padding[d];
    p.phases[d] = smaller(a.stride[d], reach + 1);
    p.extent[d] = a.out_size[d] + reach / a.stride[d];
  }
  p.finish();
  const int64_t kernel = a.kernel[0] * a.kernel[1] * a.kernel[2], pitch = p.extent[2];
  const int64_t plane = a.in[0] * a.in[1] * a.in[2], out_plane = a.out_size[0] * a.out_size[1] * a.out_size[2];
  const int64_t places = out_plane / a.out_size[2] * ceil_div(a.out_size[2], L);  // vectors

  Buffer<8192> tables;
  const int64_t column_bytes = kernel * static_cast<int64_t>(sizeof(Column));
  char* at = static_cast<char*>(tables.get(column_bytes + kernel * 12));
  Column* columns = reinterpret_cast<Column*>(at);
  int64_t* elements = reinterpret_cast<int64_t*>(at + (column_bytes + 7) / 8 * 8);
  int32_t* offsets = reinterpret_cast<int32_t*>(elements + kernel);
  int64_t e = 0;
  for (int64_t z = 0; z < a.kernel[0]; ++z)
    for (int64_t y = 0; y < a.kernel[1]; ++y)
      for (int64_t x = 0; x < a.kernel[2]; ++x, ++e) {
        elements[e] = e;
        offsets[e] = static_cast<int32_t>(p.offset(z * a.dilation[0], y * a.dilation[1], x * a.dilation[2]));
      }
  const int64_t n_columns =
      make_columns(columns, elements, offsets, kernel, pitch, false, a.kernel[1] > 1 && a.kernel[1] <= 32);

  const double cost = static_cast<double>(a.batch * a.groups) *
                      (static_cast<double>(places * kernel * a.out_channels) + 0.1 * static_cast<double>(p.volume));
  Product<T>::loop(a.groups, static_cast<int64_t>(cost), [&](int64_t group) {
    Buffer<32768> memory;
    const int64_t count = kernel * a.out_channels, slots = n_columns * kTall * a.out_channels, size = sizeof(T);
    char* space = static_cast<char*>(memory.get(count * 8 + (slots * L + p.volume) * size + 128));
    T* lanes = reinterpret_cast<T*>(space);
    double* sums = reinterpret_cast<double*>(lanes + slots * L);
    T* padded = reinterpret_cast<T*>(sums + count);
    memset(sums, 0, static_cast<size_t>(count) * sizeof(double));
    zero_run(lanes, slots * L);
    zero_run(padded, p.volume);
    int64_t terms = 0;
    for (int64_t image = 0; image < a.batch; ++image) {
      const T* x = static_cast<const T*>(a.x) + (image * a.groups + group) * plane;
      if (!p.plain) {
        copy_plane<T, true>(padded, x, p);
        x = padded;
      }
      DotRows<T> d;
      d.g_pitch = d.n = a.out_size[2];
      d.pitch = pitch;
      for (int64_t c = 0; c < a.out_channels; ++c) {
        const T* g = static_cast<const T*>(a.g) + ((image * a.groups + group) * a.out_channels + c) * out_plane;
        for (int64_t z = 0; z < a.out_size[0]; ++z)
          for (int64_t j = 0; j < n_columns; ++j) {
            d.lanes = lanes + (c * n_columns + j) * kTall * L;
            d.g = g + z * a.out_size[1] * d.n;
            d.x = x + z * p.extent[1] * pitch + columns[j].offset;
            int64_t y = 0;
            for (; y + 7 <= a.out_size[1]; y += 7, d.g += 7 * d.n, d.x += 7 * pitch)
              dot_rows_of_column<T, 7>(d, columns[j].length);
            for (; y + 2 <= a.out_size[1]; y += 2, d.g += 2 * d.n, d.x += 2 * pitch)
              dot_rows_of_column<T, 2>(d, columns[j].length);
            if (y < a.out_size[1]) dot_rows_of_column<T, 1>(d, columns[j].length);
          }
      }
      terms += places;
      if (terms < kLaneTerms && image + 1 < a.batch) continue;
      terms = 0;
      for (int64_t c = 0; c < a.out_channels; ++c)
        for (int64_t j = 0; j < n_columns; ++j)
          for (int k = 0; k < columns[j].length; ++k) {
            T* of_element = lanes + ((c * n_columns + j) * kTall + k) * L;
            sums[c * kernel + columns[j].elements[k]] += static_cast<double>(sum_lanes<L>(load<L>(of_element)));
            store(of_element, Vec<T, L>{});
          }
    }
    T* out = static_cast<T*>(a.out) + group * count;
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(sums[i]);
    memory.done();
  });
  tables.done();
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
