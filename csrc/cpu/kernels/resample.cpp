// One dimension mapped linearly by a table of places and weights: interpolation, averages over windows, and, with the
// table turned round, their gradients.
#include "cpu/lines.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kStreamFrom = int64_t{20} << 20;  // bytes of output
constexpr int64_t kLines = 16;                      // lines of a contiguous dimension in one chunk, at least

// out[i] = sum of weights[j] * in[places[j] * inner + i]
template <class T>
FG_NOINLINE void mix_rows(const T* in, const int64_t* places, const double* weights, int64_t count, int64_t inner,
                          T* out, bool stream) {
  using V = Vec<T>;
  for (int64_t i = 0; i < inner; i += V::N) {
    const int64_t m = smaller(V::N, inner - i);
    V sum = 0;
    for (int64_t j = 0; j < count; ++j)
      sum = sum + load_part(in + places[j] * inner + i, m) * static_cast<T>(weights[j]);
    if (stream) stream_store(out + i, sum);
    else store_part(out + i, m, sum);
  }
}

// The table for a contiguous last dimension. Term j of all outputs lies side by side, and a vector of outputs takes its
// terms from one vector of the input, by a shuffle, when they are as close as they mostly are; outputs with fewer terms
// have place -1 there. Where outputs have many terms, each is a dot product by itself.
constexpr int64_t kFewTerms = 8;
template <class T> struct LineTable {
  using Place = typename Lane<T>::Int;
  int64_t most = 0, bytes = 0;
  bool by_terms;
  T* weights;
  Place* places;
  Place* bases;  // of each vector of outputs: where its input begins, -1 when it is wider than a vector
  void* memory;

  explicit LineTable(const ResampleArgs& a) {
    for (int64_t o = 0; o < a.out_size; ++o) most = larger(most, a.starts[o + 1] - a.starts[o]);
    by_terms = most <= kFewTerms;
    const int64_t n = by_terms ? most * a.out_size : a.starts[a.out_size];
    bytes = 3 * n * static_cast<int64_t>(sizeof(T)) + 64;
    memory = scratch(static_cast<size_t>(bytes));
    weights = static_cast<T*>(memory);
    places = reinterpret_cast<Place*>(weights + n);
    bases = places + n;
    for (int64_t o = 0; o < a.out_size; ++o) {
      const int64_t begin = a.starts[o], count = a.starts[o + 1] - begin;
      for (int64_t j = 0; j < (by_terms ? most : count); ++j) {
        const int64_t at = by_terms ? j * a.out_size + o : begin + j;
        places[at] = j < count ? static_cast<Place>(a.places[begin + j]) : -1;
        weights[at] = j < count ? static_cast<T>(a.weights[begin + j]) : 0;
      }
    }
    for (int64_t j = 0; by_terms && j < most; ++j)
      for (int64_t o = 0; o < a.out_size; o += Vec<T>::N) bases[j * a.out_size + o] = base_of(a, j, o);
  }
  Place base_of(const ResampleArgs& a, int64_t j, int64_t o) const {
    int64_t low = a.in_size, high = -1;
    for (int64_t i = o; i < smaller(a.out_size, o + Vec<T>::N); ++i) {
      const int64_t place = places[j * a.out_size + i];
      if (place < 0) continue;
      low = smaller(low, place), high = larger(high, place);
    }
    const int64_t base = smaller(low, a.in_size - Vec<T>::N);
    return static_cast<Place>(base >= 0 && high - base < Vec<T>::N ? base : -1);
  }
  void done() { release_scratch(memory, static_cast<size_t>(bytes)); }
};

template <class T>
FG_INLINE Vec<T> term(const T* in, const LineTable<T>& table, int64_t at, int64_t m) {
  using Place = typename LineTable<T>::Place;
  const Vec<Place> places = load_part(table.places + at, m);
  const Place base = table.bases[at];
  Vec<T> x;
  if (base >= 0) {
    x = Vec<T>(__builtin_shuffle(Vec<T>::load(in + base).v, (places - base).v));
  } else {
    x = 0;
    for (int64_t i = 0; i < m; ++i)
      if (table.places[at + i] >= 0) x.v[i] = in[table.places[at + i]];
  }
  return where(Mask<T>{(places < 0).v}, 0, x * load_part(table.weights + at, m));
}
template <class T, class Place> FG_NOINLINE T dot_terms(const T* in, const Place* places, const T* weights, int64_t n) {
  using V = Vec<T>;
  if (places[n - 1] - places[0] == n - 1) {  // places of one output rise: these are a run
    V sum = 0;
    each_vector<T>(
        n, [&](int64_t i, int64_t m) { sum = sum + load_part(in + places[0] + i, m) * load_part(weights + i, m); });
    return across(sum, [](V a, V b) { return a + b; });
  }
  T sum = 0;
  for (int64_t j = 0; j < n; ++j) sum += in[places[j]] * weights[j];
  return sum;
}

template <class T> void mix_line(const T* in, const ResampleArgs& a, const LineTable<T>& table, T* out) {
  if (!table.by_terms) {
    for (int64_t o = 0; o < a.out_size; ++o) {
      const int64_t begin = a.starts[o], n = a.starts[o + 1] - begin;
      out[o] = n ? dot_terms(in, table.places + begin, table.weights + begin, n) : T(0);
    }
    return;
  }
  each_vector<T>(a.out_size, [&](int64_t o, int64_t m) {
    Vec<T> sum = 0;
    if (table.most > 0) sum = term(in, table, o, m);
    for (int64_t j = 1; j < table.most; ++j) sum = sum + term(in, table, j * a.out_size + o, m);
    store_part(out + o, m, sum);
  });
}

template <class T> void resample(const ResampleArgs& a) {
  const T* in = static_cast<const T*>(a.in);
  T* out = static_cast<T*>(a.out);
  const double terms = static_cast<double>(a.outer * a.inner) * static_cast<double>(a.starts[a.out_size]);
  if (a.inner == 1) {
    const int64_t lines = larger(kLines, kSegment / larger(1, a.starts[a.out_size]));
    LineTable<T> table(a);
    for_chunks(ceil_divide(a.outer, lines), terms * 0.2, [&](int64_t chunk) {
      for (int64_t i = chunk * lines; i < smaller(a.outer, (chunk + 1) * lines); ++i)
        mix_line(in + i * a.in_size, a, table, out + i * a.out_size);
    });
    table.done();
    return;
  }
  const bool stream = a.outer * a.out_size * a.inner * static_cast<int64_t>(sizeof(T)) >= kStreamFrom &&
                      a.inner % Vec<T>::N == 0 && is_aligned(out);
  const int64_t rows = a.outer * a.out_size, group = larger(1, kSegment / 2 / a.inner);
  for_chunks(ceil_divide(rows, group), terms * 0.15, [&](int64_t chunk) {
    for (int64_t row = chunk * group; row < smaller(rows, (chunk + 1) * group); ++row) {
      const int64_t o = row % a.out_size, begin = a.starts[o];
      mix_rows(in + row / a.out_size * a.in_size * a.inner, a.places + begin, a.weights + begin,
               a.starts[o + 1] - begin, a.inner, out + row * a.inner, stream);
    }
    if (stream) stream_fence();
  });
}

void resample_any(const ResampleArgs& a) {
  if (a.dtype == DType::Float64) resample<double>(a);
  else resample<float>(a);
}

}  // namespace

void fill_resample(Backend& table) { table.resample = resample_any; }

}  // namespace fg::cpu::FG_ISA
