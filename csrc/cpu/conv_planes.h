// The same product where a group has a channel or two (depthwise): plane by plane, a block of rows of the result in
// registers while the kernel elements run.
//
// Kernel elements that lie below each other are a column: a vector of the padded plane, loaded once, serves as many
// rows of the result as the column is long. A strided gradient has a pass for each phase; those along a row are
// computed side by side and interleaved.
#pragma once
#include "cpu/conv_product.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int kTall = 7;       // elements of a column, and rows of a block
constexpr int kTallPitch = 8;  // of the weights of a column

struct Column {
  int32_t offset, length;
  int32_t elements[kTall];
};

// Columns of kernel elements at these offsets, of which those below each other differ by pitch. falling: the offsets
// are listed from the largest to the smallest.
FG_INLINE int64_t make_columns(Column* columns, const int64_t* elements, const int32_t* offsets, int64_t taps,
                               int64_t pitch, bool falling, bool tall) {
  int64_t n = 0;
  for (int64_t i = 0; i < taps; ++i) {
    const int64_t tap = falling ? taps - 1 - i : i;
    int64_t at = tall ? 0 : n;
    while (at < n && (columns[at].length == kTall || columns[at].offset + columns[at].length * pitch != offsets[tap]))
      ++at;
    if (at == n) columns[n++] = {offsets[tap], 0, {}};
    columns[at].elements[columns[at].length++] = static_cast<int32_t>(elements[tap]);
  }
  return n;
}

// ---- rows of one plane of the result
template <class T> struct RowBlock {
  const T* source;
  int64_t pitch, volume, channels;  // of a row, of a channel of the source
  const Column* columns;
  int64_t n_columns;
  const T* weights;  // [channel][column][kTallPitch]
  T first;
  T* out;
  int64_t out_pitch, width;
  bool spills;  // what lies between two rows may be written before the second
};

template <class T, int R, int K, class V>
FG_INLINE void add_column(V (&sums)[R], const T* source, int64_t pitch, const T* weights) {
  constexpr int L = kLanes<T>;
#pragma GCC unroll 16
  for (int r = 0; r < R + K - 1; ++r) {
    const V value = load<L>(source + r * pitch);
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k)
      if (r - k >= 0 && r - k < R) sums[r - k] += weights[k] * value;
  }
}

template <class T, int R> __attribute__((noinline)) void block_of_rows(const RowBlock<T>& b) {
  constexpr int L = kLanes<T>;
  using V = Vec<T, L>;
  const int64_t pitch = b.pitch;
  for (int64_t x = 0; x < b.width; x += L) {
    V sums[R] = {};
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sums[r] += b.first;
    const T* w = b.weights;
    for (int64_t c = 0; c < b.channels; ++c) {
      const T* plane = b.source + c * b.volume + x;
      for (int64_t i = 0; i < b.n_columns; ++i, w += kTallPitch) {
        const T* from = plane + b.columns[i].offset;
        switch (b.columns[i].length) {
          case 1: add_column<T, R, 1>(sums, from, pitch, w); break;
          case 2: add_column<T, R, 2>(sums, from, pitch, w); break;
          case 3: add_column<T, R, 3>(sums, from, pitch, w); break;
          case 4: add_column<T, R, 4>(sums, from, pitch, w); break;
          case 5: add_column<T, R, 5>(sums, from, pitch, w); break;
          case 6: add_column<T, R, 6>(sums, from, pitch, w); break;
          default: add_column<T, R, 7>(sums, from, pitch, w); break;
        }
      }
    }
    T* out = b.out + x;
    if (b.width - x >= L) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) store(out + r * b.out_pitch, sums[r]);
    } else {
      // Where a row is one vector, what is stored behind its end is the next row's, which comes later.
      const int part = static_cast<int>(b.width - x);
      const int64_t room = b.spills && b.width < L ? (R - 1) * b.out_pitch + b.width : 0;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        if (r * b.out_pitch + L <= room) store(out + r * b.out_pitch, sums[r]);
        else store_part(out + r * b.out_pitch, sums[r], part);
      }
    }
  }
}
template <class T> FG_INLINE void run_rows(const RowBlock<T>& b, int64_t rows) {
  using Fn = void (*)(const RowBlock<T>&);
  static constexpr Fn kTable[kTall] = {block_of_rows<T, 1>, block_of_rows<T, 2>, block_of_rows<T, 3>,
                                       block_of_rows<T, 4>, block_of_rows<T, 5>, block_of_rows<T, 6>,
                                       block_of_rows<T, 7>};
  kTable[rows - 1](b);
}

// to[i * stride + f] = rows[f][i]: n elements of `to`
template <class T>
__attribute__((noinline)) void interleave_rows(T* to, const T* rows, int64_t pitch, int64_t stride, int64_t n) {
  if (stride == 2) {
    const T* odd = rows + pitch;
    for (int64_t i = 0; i < n / 2; ++i) to[2 * i] = rows[i], to[2 * i + 1] = odd[i];
    if (n % 2) to[n - 1] = rows[n / 2];
    return;
  }
  for (int64_t f = 0; f < smaller(stride, n); ++f)
    for (int64_t i = 0; f + i * stride < n; ++i) to[f + i * stride] = rows[f * pitch + i];
}

template <class T> struct PlaneProduct {
  const Product<T>& q;
  int64_t row_phases;                  // passes that share their rows
  Column* columns;                     // [pass], beginning at its first element
  int64_t *begins, *counts, *heights;  // of a pass: its columns, their number, rows of a block

  // Memory for columns, begins, counts and heights.
  static int64_t bytes_for(int64_t kernel, int64_t n_passes) {
    return kernel * static_cast<int64_t>(sizeof(Column)) + 3 * n_passes * static_cast<int64_t>(sizeof(int64_t)) + 64;
  }

  void find_columns(void* memory) {
    begins = static_cast<int64_t*>(memory);
    counts = begins + q.n_passes;
    heights = counts + q.n_passes;
    columns = reinterpret_cast<Column*>(heights + q.n_passes);
    int64_t at = 0;
    for (int64_t i = 0; i < q.n_passes; ++i) {
      const Pass<T>& p = q.passes[i];
      begins[i] = at;
      heights[i] = ceil_div(p.count[1], ceil_div(p.count[1], kTall));
      counts[i] = make_columns(columns + at, p.elements, p.offsets, p.taps, q.pitch, q.transposed,
                               q.args.kernel[1] > 1 && q.args.kernel[1] <= 32);
      at += p.taps;
    }
  }

  // [row][pass][channel][column][kTallPitch] of a group; a pass begins at its first element of all channels
  void gather_weights(T* to, int64_t group) const {
    for (int64_t row = 0; row < q.rows; ++row)
      for (int64_t i = 0; i < q.n_passes; ++i)
        for (int64_t c = 0; c < q.channels; ++c) {
          const int64_t at =
              q.transposed ? (group * q.channels + c) * q.rows + row : (group * q.rows + row) * q.channels + c;
          T* of_pass = to + (row * q.steps + begins[i] * q.channels + c * counts[i]) * kTallPitch;
          for (int64_t j = 0; j < counts[i]; ++j) {
            const Column& column = columns[begins[i] + j];
            for (int k = 0; k < column.length; ++k)
              of_pass[j * kTallPitch + k] = q.weights[at * q.kernel + column.elements[k]];
          }
        }
  }

  void result_plane(const T* source, const T* weights, int64_t group, int64_t row, T* out, T* rows) const {
    const int64_t stride = q.passes[0].step[2], row_pitch = ceil_div(q.passes[0].count[2], kLanes<T>) * kLanes<T>;
    RowBlock<T> b;
    b.pitch = q.pitch;
    b.volume = q.padded.volume;
    b.channels = q.channels;
    b.first = q.bias ? q.bias[group * q.rows + row] : T(0);
    for (int64_t i = 0; i < q.n_passes; i += row_phases) {
      const Pass<T>& p = q.passes[i];
      for (int64_t z = 0; z < p.count[0]; ++z) {
        for (int64_t y = 0; y < p.count[1]; y += heights[i]) {
          const int64_t n = smaller(heights[i], p.count[1] - y);
          T* to = out + p.start + z * p.step[0] + y * p.step[1];
          int64_t width = 0;
          for (int64_t f = 0; f < row_phases; ++f) {
            const Pass<T>& part = q.passes[i + f];
            b.source = source + part.base + z * q.slab + y * q.pitch;
            b.columns = columns + begins[i + f];
            b.n_columns = counts[i + f];
            b.weights = weights + (row * q.steps + begins[i + f] * q.channels) * kTallPitch;
            b.out = stride == 1 ? to : rows + f * kTall * row_pitch;
            b.out_pitch = stride == 1 ? p.step[1] : row_pitch;
            b.width = part.count[2];
            b.spills = b.out_pitch == b.width || stride != 1;
            width += part.count[2];
            run_rows(b, n);
          }
          if (stride == 1) continue;
          for (int64_t r = 0; r < n; ++r)
            interleave_rows(to + r * p.step[1], rows + r * row_pitch, kTall * row_pitch, stride, width);
        }
      }
    }
  }

  void run_all() {
    Buffer<4096> memory;
    find_columns(memory.get(bytes_for(q.kernel, q.n_passes)));
    const int64_t pairs = q.args.batch * q.args.groups, volume = q.channels * q.padded.volume;
    const int64_t group = most(1, 8192 / most(1, volume)), weights_size = q.rows * q.steps * kTallPitch;
    const int64_t rows_size = row_phases * kTall * (q.passes[0].count[2] + kLanes<T>);
    const double cost = static_cast<double>(pairs) *
                        (q.place_cost() / static_cast<double>(q.panels * kRows) * static_cast<double>(q.rows) * 0.5 +
                         static_cast<double>(volume) * 0.1 + 50);
    Product<T>::loop(ceil_div(pairs, group), static_cast<int64_t>(cost), [&](int64_t chunk) {
      Buffer<32768> space;
      const int64_t slack = 2 * kLanes<T>;
      T* padded =
          static_cast<T*>(space.get((volume + slack + weights_size + rows_size) * static_cast<int64_t>(sizeof(T))));
      T *weights = padded + volume + slack, *rows = weights + weights_size;
      zero_run(padded, volume + slack);  // what surrounds the planes stays
      for (int64_t pair = chunk * group; pair < smaller(pairs, (chunk + 1) * group); ++pair) {
        for (int64_t c = 0; c < q.channels; ++c)
          copy_plane<T, true>(padded + c * q.padded.volume, q.plane_of(pair) + c * q.source_plane, q.padded);
        gather_weights(weights, pair % q.args.groups);
        for (int64_t row = 0; row < q.rows; ++row)
          result_plane(padded, weights, pair % q.args.groups, row, q.out_of(pair) + row * q.out_plane, rows);
      }
      space.done();
    });
    memory.done();
  }
};

}  // namespace
}  // namespace fg::cpu::FG_ISA
