// One dimension mapped linearly by a table of places and weights: interpolation, averages over windows, and, with the
// table turned round, their gradients.
#include "cpu/lines.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kLines = 16;  // lines of a contiguous dimension in one chunk, at least

// out[i] = sum of weights[j] * in[places[j] * inner + i]
template <class T>
FG_NOINLINE void mix_rows(const T* in, const int64_t* places, const double* weights, int64_t count, int64_t inner,
                          T* out) {
  using V = Vec<T>;
  for (int64_t i = 0; i < inner; i += V::N) {
    const int64_t m = smaller(V::N, inner - i);
    V sum = 0;
    for (int64_t j = 0; j < count; ++j)
      sum = sum + load_part(in + places[j] * inner + i, m) * static_cast<T>(weights[j]);
    store_part(out + i, m, sum);
  }
}

// The last dimension: one number after the other.
template <class T> FG_NOINLINE void mix_line(const T* in, const ResampleArgs& a, T* out) {
  for (int64_t o = 0; o < a.out_size; ++o) {
    T sum = 0;
    for (int64_t j = a.starts[o]; j < a.starts[o + 1]; ++j) sum += in[a.places[j]] * static_cast<T>(a.weights[j]);
    out[o] = sum;
  }
}

template <class T> void resample(const ResampleArgs& a) {
  const T* in = static_cast<const T*>(a.in);
  T* out = static_cast<T*>(a.out);
  const double terms = static_cast<double>(a.outer * a.inner) * static_cast<double>(a.starts[a.out_size]);
  if (a.inner == 1) {
    const int64_t lines = larger(kLines, kSegment / 4 / larger(1, a.starts[a.out_size]));
    for_chunks(ceil_divide(a.outer, lines), terms, [&](int64_t chunk) {
      for (int64_t i = chunk * lines; i < smaller(a.outer, (chunk + 1) * lines); ++i)
        mix_line(in + i * a.in_size, a, out + i * a.out_size);
    });
    return;
  }
  const int64_t rows = a.outer * a.out_size, group = larger(1, kSegment / 2 / a.inner);
  for_chunks(ceil_divide(rows, group), terms * 0.15, [&](int64_t chunk) {
    for (int64_t row = chunk * group; row < smaller(rows, (chunk + 1) * group); ++row) {
      const int64_t o = row % a.out_size, begin = a.starts[o];
      mix_rows(in + row / a.out_size * a.in_size * a.inner, a.places + begin, a.weights + begin,
               a.starts[o + 1] - begin, a.inner, out + row * a.inner);
    }
  });
}

void resample_any(const ResampleArgs& a) {
  if (a.dtype == DType::Float64)
    resample<double>(a);
  else
    resample<float>(a);
}

}  // namespace

void fill_resample(Backend& table) { table.resample = resample_any; }

}  // namespace fg::cpu::FG_ISA
