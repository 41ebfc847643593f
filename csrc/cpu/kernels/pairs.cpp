// Sums over rows of a table that indices name, and distances between all pairs of rows of two matrices.
#include "cpu/lines.h"
#include "cpu/math.h"

namespace fg::cpu::FG_ISA {
namespace {

// ---- bags of rows ---------------------------------------------------------------------------------------------------
// `columns` vectors of a bag's sum stay in registers while its indices are walked.
template <class T, int columns>
FG_INLINE void sum_rows(const BagArgs& a, int64_t begin, int64_t end, int64_t at, int64_t last, T scale, T* out) {
  using V = Vec<T>;
  V sums[columns];
  for (int k = 0; k < columns; ++k) sums[k] = 0;
  for (int64_t j = begin; j < end; ++j) {
    const int64_t index = *static_cast<const volatile int64_t*>(a.indices + j);
    // Checked before, but another thread may have written to it.
    if (static_cast<uint64_t>(index) >= static_cast<uint64_t>(a.rows)) continue;
    const T* row = static_cast<const T*>(a.table) + index * a.width + at;
    for (int k = 0; k < columns; ++k) sums[k] = sums[k] + load_part(row + k * V::N, k == columns - 1 ? last : V::N);
  }
  for (int k = 0; k < columns; ++k) store_part(out + at + k * V::N, k == columns - 1 ? last : V::N, sums[k] * scale);
}
template <class T> void bag_sums(const BagArgs& a) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t grain = larger(1, kSegment * a.bags / larger(1, a.starts[a.bags] * a.width));
  const double cost = 0.15 * static_cast<double>(a.starts[a.bags]) * static_cast<double>(a.width + 16);
  for_chunks(ceil_divide(a.bags, grain), cost, [&](int64_t chunk) {
    for (int64_t bag = chunk * grain; bag < smaller(a.bags, (chunk + 1) * grain); ++bag) {
      const int64_t begin = a.starts[bag], end = a.starts[bag + 1];
      const T scale = a.mean ? 1 / static_cast<T>(larger(1, end - begin)) : T(1);
      T* out = static_cast<T*>(a.out) + bag * a.width;
      for (int64_t at = 0; at < a.width;) {
        const int64_t left = a.width - at;
        if (left >= 4 * N) sum_rows<T, 4>(a, begin, end, at, N, scale, out), at += 4 * N;
        else if (left >= N) sum_rows<T, 1>(a, begin, end, at, N, scale, out), at += N;
        else sum_rows<T, 1>(a, begin, end, at, left, scale, out), at += left;
      }
    }
  });
}
int64_t bag_sums_any(const BagArgs& a) {
  const int64_t n = a.bags ? a.starts[a.bags] : 0;
  for (int64_t j = 0; j < n; ++j)
    if (a.indices[j] < 0 || a.indices[j] >= a.rows) return j;
  if (a.bags * a.width == 0) return -1;
  if (a.dtype == DType::Float64) bag_sums<double>(a);
  else bag_sums<float>(a);
  return -1;
}

// ---- distances ------------------------------------------------------------------------------------------------------
// What an order does with |a - b|, and with the total.
struct Manhattan {
  template <class V> FG_INLINE static V part(V d, V) { return d; }
  template <class V> FG_INLINE static V meet(V a, V b) { return a + b; }
  template <class T> FG_INLINE static T done(T x, T) { return x; }
};
struct Euclidean : Manhattan {
  template <class V> FG_INLINE static V part(V d, V) { return d * d; }
  template <class T> FG_INLINE static T done(T x, T) { return static_cast<T>(__builtin_sqrt(x)); }
};
struct Largest : Manhattan {
  template <class V> FG_INLINE static V meet(V a, V b) { return max(a, b); }
};
struct Different : Manhattan {
  template <class V> FG_INLINE static V part(V d, V) { return where(d == 0, 0, V(1)); }
};
struct AnyOrder : Manhattan {
  template <class V> FG_INLINE static V part(V d, V p) { return pow(d, p); }
  template <class T> FG_INLINE static T done(T x, T p) { return pow(Vec<T>(x), Vec<T>(1 / p)).v[0]; }
};

template <class T, class Rule> FG_INLINE T distance(const T* a, const T* b, int64_t n, T p) {
  using V = Vec<T>;
  V total = 0;
  each_vector<T>(n, [&](int64_t i, int64_t m) {
    total = Rule::meet(total, Rule::part(abs(load_part(a + i, m) - load_part(b + i, m)), V(p)));
  });
  return Rule::done(across(total, [](V x, V y) { return Rule::meet(x, y); }), p);
}
template <class T, class Rule> void distances(const DistanceArgs& a) {
  const int64_t tasks = a.batch * a.rows, grain = larger(1, kSegment / larger(1, a.others * a.width));
  const double cost = 0.2 * static_cast<double>(tasks * a.others) * static_cast<double>(a.width + 16);
  const T p = static_cast<T>(a.order);
  for_chunks(ceil_divide(tasks, grain), cost, [&](int64_t chunk) {
    for (int64_t task = chunk * grain; task < smaller(tasks, (chunk + 1) * grain); ++task) {
      const int64_t batch = task / a.rows, i = task % a.rows;
      const T* x = static_cast<const T*>(a.a) + task * a.width;
      const T* y = static_cast<const T*>(a.b) + batch * a.others * a.width;
      // Pairs (i, j > i) of one matrix follow each other: (rows - 1) + (rows - 2) + ... lie before those of row i.
      T* out = static_cast<T*>(a.out) + (a.triangle ? i * (2 * a.rows - i - 1) / 2 - i - 1 : task * a.others);
      for (int64_t j = a.triangle ? i + 1 : 0; j < a.others; ++j)
        out[j] = distance<T, Rule>(x, y + j * a.width, a.width, p);
    }
  });
}
template <class T> void distances_of(const DistanceArgs& a) {
  if (a.batch * a.rows * a.others == 0) return;
  if (a.order == 2) distances<T, Euclidean>(a);
  else if (a.order == 1) distances<T, Manhattan>(a);
  else if (a.order == 0) distances<T, Different>(a);
  else if (a.order == __builtin_inf()) distances<T, Largest>(a);
  else distances<T, AnyOrder>(a);
}
void distances_any(const DistanceArgs& a) {
  if (a.dtype == DType::Float64) distances_of<double>(a);
  else distances_of<float>(a);
}

}  // namespace

void fill_pairs(Backend& table) {
  table.bag_sums = bag_sums_any;
  table.distances = distances_any;
}

}  // namespace fg::cpu::FG_ISA
