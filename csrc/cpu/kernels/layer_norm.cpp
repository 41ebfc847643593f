// Layer norm and rms norm over the last `size` elements of (outer, size), and its gradients. A row is gone over in
// blocks that fit L1, so that its three passes read memory once when the row is not long. Small rows stay in registers.
//
//   xh = (x - mean) * rstd        out = xh * weight + bias
//   gx = rstd * (gw - mean(gw) - xh * mean(gw * xh))      gw = g * weight
//   without a.mean, as rms norm: the mean is taken as 0, and mean(gw) falls away
//   gweight = sum of g * xh over rows, gbias = sum of g   by blocks of rows, whose partial sums meet in their order
#include "cpu/small_rows.h"

namespace fg::cpu::FG_ISA {
namespace {

// Blocks of an operand as T; null stays null.
template <class T> struct Line {
  const void* data;
  DType dtype;
  alignas(64) T buffer[kBlock];
  FG_INLINE const T* at(int64_t place, int64_t n) {
    return data ? load_line<T>(data, dtype, place, n, buffer) : nullptr;
  }
};

template <class T> FG_INLINE Vec<T> weighted(Vec<T> x, const T* weight, int64_t i, int64_t n) {
  return weight ? x * load_part(weight + i, n) : x;
}
template <class T> FG_INLINE T total(Vec<T> x) {
  return across(x, [](Vec<T> a, Vec<T> b) { return a + b; });
}

template <class T> void norm_rows(const LayerNormArgs& a, int64_t begin, int64_t end) {
  using V = Vec<T>;
  const auto plus = [](V p, V q) { return p + q; };
  const bool stored = a.dtype == kStored<T>;
  const bool stream = stored && a.outer * a.size * static_cast<int64_t>(sizeof(T)) >= kStreamBytes;
  Line<T> x, weight, bias;
  x.data = a.in, weight.data = a.weight, bias.data = a.bias;
  x.dtype = weight.dtype = bias.dtype = a.dtype;
  alignas(64) T buffer[kBlock];
  for (int64_t row = begin; row < end; ++row) {
    const int64_t base = row * a.size;
    double sum = 0, squares = 0;
    for (int64_t i = 0; a.mean && i < a.size; i += kBlock) {
      const int64_t n = smaller(kBlock, a.size - i);
      sum += fold_block<T>(x.at(base + i, n), n, 0, [](V p) { return p; }, plus);
    }
    const T mean = static_cast<T>(sum / static_cast<double>(a.size));
    for (int64_t i = 0; i < a.size; i += kBlock) {
      const int64_t n = smaller(kBlock, a.size - i);
      const T* from = a.mean && a.size <= kBlock && !stored ? x.buffer : x.at(base + i, n);
      squares += fold_block<T>(from, n, 0, [mean](V p) { return (p - mean) * (p - mean); }, plus);
    }
    const T rstd = static_cast<T>(1 / sqrt(squares / static_cast<double>(a.size) + a.eps));
    if (a.mean) static_cast<T*>(a.mean)[row] = mean;
    static_cast<T*>(a.rstd)[row] = rstd;
    for (int64_t i = 0; i < a.size; i += kBlock) {
      const int64_t n = smaller(kBlock, a.size - i);
      const T* from = a.size <= kBlock && !stored ? x.buffer : x.at(base + i, n);
      const T *w = weight.at(i, n), *b = bias.at(i, n);
      T* to = stored ? static_cast<T*>(a.out) + base + i : buffer;
      const bool past_cache = stream && is_aligned(to);
      each_vector<T>(n, [&](int64_t k, int64_t m) {
        V y = weighted((load_part(from + k, m) - mean) * rstd, w, k, m);
        if (b) y = y + load_part(b + k, m);
        if (past_cache && m == V::N) stream_store(to + k, y);
        else store_part(to + k, m, y);
      });
      if (!stored) store_line(a.out, a.dtype, base + i, n, buffer);
    }
  }
  if (stream) stream_fence();
}

// The same of small rows.
template <class Rows, class T>
void norm_group(const LayerNormArgs& a, const T* x, const T* weight, const T* bias, T* y, T* mean, T* rstd,
                int64_t rows) {
  using V = Vec<T>;
  Rows group(a.size, rows);
  const double size = static_cast<double>(a.size);
  V middles = 0;
  if (a.mean) middles = group.sum_each([&](int k) { return group.row(x, k, 0).sum(); });
  middles.store(mean);
  for (int k = 0; k < V::N; ++k) mean[k] = static_cast<T>(static_cast<double>(mean[k]) / size);
  group
      .sum_each([&](int k) {
        const V middle = mean[k];
        const auto apart = group.row(x, k, middle).with([&](V p, int) { return p - middle; });
        group.keep(k, apart);
        return apart.with([](V p, int) { return p * p; }).sum();
      })
      .store(rstd);
  for (int k = 0; k < V::N; ++k)
    rstd[k] = static_cast<T>(1 / __builtin_sqrt(static_cast<double>(rstd[k]) / size + a.eps));
  const Rows one(a.size, 1);
  const auto factor = one.row(weight ? weight : x, 0, 0), shift = one.row(bias ? bias : x, 0, 0);
  for (int k = 0; k < group.rows; ++k) {
    auto out = group.kept_row(k).with([&](V p, int) { return p * V(rstd[k]); });
    if (weight) out = out.with([&](V p, int i) { return p * factor.part[i]; });
    if (bias) out = out.with([&](V p, int i) { return p + shift.part[i]; });
    group.store(y, k, out);
  }
}
template <class T> void norm_small_rows(const LayerNormArgs& a, int64_t begin, int64_t end) {
  const bool stored = a.dtype == kStored<T>;
  constexpr int N = Vec<T>::N;
  const int64_t n = a.size, batch = kBlock / n / N * N;
  Line<T> x, weight, bias;
  x.data = a.in, weight.data = a.weight, bias.data = a.bias;
  x.dtype = weight.dtype = bias.dtype = a.dtype;
  const T *w = weight.at(0, n), *b = bias.at(0, n);
  alignas(64) T y[kBlock], mean[kBlock], rstd[kBlock];
  for (int64_t i = begin; i < end; i += batch) {
    const int64_t rows = smaller(batch, end - i);
    const T* from = x.at(i * n, rows * n);
    T* to = stored ? static_cast<T*>(a.out) + i * n : y;
    with_small_rows<T>(n, [&]<class Rows>(Kind<Rows>) {
      for (int64_t k = 0; k < rows; k += N)
        norm_group<Rows>(a, from + k * n, w, b, to + k * n, mean + k, rstd + k, rows - k);
    });
    if (!stored) store_line(a.out, a.dtype, i * n, rows * n, y);
    if (a.mean) memcpy(static_cast<T*>(a.mean) + i, mean, static_cast<size_t>(rows) * sizeof(T));
    memcpy(static_cast<T*>(a.rstd) + i, rstd, static_cast<size_t>(rows) * sizeof(T));
  }
}

template <class T> void norm(const LayerNormArgs& a) {
  const int64_t rows = larger(1, kSegment / 2 / larger(1, a.size));
  const bool is_small = a.size > 0 && a.size <= kSmallRow<T>;
  for_chunks(ceil_divide(a.outer, rows), (is_small ? 0.15 : 0.3) * static_cast<double>(a.outer * a.size),
             [&](int64_t chunk) {
               const int64_t begin = chunk * rows, end = smaller(a.outer, begin + rows);
               if (is_small) norm_small_rows<T>(a, begin, end);
               else norm_rows<T>(a, begin, end);
             });
}

// Rows [begin, end): gx, and their sums for weight and bias (size each) unless null.
template <class T>
void gradient_rows(const LayerNormArgs& a, int64_t begin, int64_t end, T* weight_sum, T* bias_sum) {
  using V = Vec<T>;
  const bool stored = a.dtype == kStored<T>;
  Line<T> x_line, g_line, w_line;
  x_line.data = a.in, g_line.data = a.grad, w_line.data = a.weight;
  x_line.dtype = g_line.dtype = w_line.dtype = a.dtype;
  alignas(64) T buffer[kBlock];
  for (int64_t row = begin; row < end; ++row) {
    const int64_t base = row * a.size;
    const T mean = a.mean ? static_cast<const T*>(a.mean)[row] : 0, rstd = static_cast<const T*>(a.rstd)[row];
    double sum = 0, sum_xh = 0;
    for (int64_t i = 0; i < a.size; i += kBlock) {
      const int64_t n = smaller(kBlock, a.size - i);
      const T *x = x_line.at(base + i, n), *g = g_line.at(base + i, n), *w = w_line.at(i, n);
      V sums = 0, sums_xh = 0;
      each_vector<T>(n, [&](int64_t k, int64_t m) {
        const V grad = load_part(g + k, m), xh = (load_part(x + k, m) - mean) * rstd, gw = weighted(grad, w, k, m);
        sums = sums + gw;
        const V product = gw * xh;
        sums_xh = sums_xh + (m == V::N ? product : where(first_lanes<T>(m), product, 0));
        if (weight_sum) store_part(weight_sum + i + k, m, load_part(weight_sum + i + k, m) + grad * xh);
        if (bias_sum) store_part(bias_sum + i + k, m, load_part(bias_sum + i + k, m) + grad);
      });
      sum += total(sums);
      sum_xh += total(sums_xh);
    }
    if (!a.gx) continue;
    const T mean_gw = a.mean ? static_cast<T>(sum / static_cast<double>(a.size)) : 0;
    const T mean_gw_xh = static_cast<T>(sum_xh / static_cast<double>(a.size));
    for (int64_t i = 0; i < a.size; i += kBlock) {
      const int64_t n = smaller(kBlock, a.size - i);
      const T *x = x_line.at(base + i, n), *g = g_line.at(base + i, n), *w = w_line.at(i, n);
      T* to = stored ? static_cast<T*>(a.gx) + base + i : buffer;
      each_vector<T>(n, [&](int64_t k, int64_t m) {
        const V xh = (load_part(x + k, m) - mean) * rstd, gw = weighted(load_part(g + k, m), w, k, m);
        store_part(to + k, m, (gw - mean_gw - xh * mean_gw_xh) * rstd);
      });
      if (!stored) store_line(a.gx, a.dtype, base + i, n, buffer);
    }
  }
}

// The sum over blocks of rows of element j, in their order; partial is (blocks, 2, size).
template <class T>
void add_partials(const T* partial, int64_t blocks, int64_t size, void* out, DType dtype) {
  for (int64_t j = 0; j < size; j += kBlock) {
    const int64_t n = smaller(kBlock, size - j);
    double sums[kBlock] = {};
    T line[kBlock];
    for (int64_t block = 0; block < blocks; ++block)
      for (int64_t k = 0; k < n; ++k) sums[k] += partial[block * 2 * size + j + k];
    for (int64_t k = 0; k < n; ++k) line[k] = static_cast<T>(sums[k]);
    store_line(out, dtype, j, n, line);
  }
}

template <class T> void norm_grad(const LayerNormArgs& a) {
  // Enough rows that partial sums are a small part of the work, few enough that they are short chains.
  const int64_t rows = larger(16, smaller(512, 2 * kSegment / larger(1, a.size)));
  const int64_t blocks = ceil_divide(a.outer, rows);
  const bool sums = a.gweight || a.gbias;
  const size_t bytes = sums ? static_cast<size_t>(larger(1, blocks * 2 * a.size)) * sizeof(T) : 0;
  T* partial = sums ? static_cast<T*>(scratch(bytes)) : nullptr;
  const double cost = 0.6 * static_cast<double>(a.outer * a.size);
  if (blocks > 0) {
    for_chunks(blocks, cost, [&](int64_t block) {
      T* weight_sum = a.gweight ? partial + block * 2 * a.size : nullptr;
      T* bias_sum = a.gbias ? partial + block * 2 * a.size + a.size : nullptr;
      if (weight_sum) memset(weight_sum, 0, static_cast<size_t>(a.size) * sizeof(T));
      if (bias_sum) memset(bias_sum, 0, static_cast<size_t>(a.size) * sizeof(T));
      gradient_rows(a, block * rows, smaller(a.outer, (block + 1) * rows), weight_sum, bias_sum);
    });
  }
  if (a.gweight) add_partials(partial, blocks, a.size, a.gweight, a.dtype);
  if (a.gbias) add_partials(partial + a.size, blocks, a.size, a.gbias, a.dtype);
  if (sums) release_scratch(partial, bytes);
}

void layer_norm(const LayerNormArgs& a) {
  if (a.outer == 0) return;
  if (a.dtype == DType::Float64) norm<double>(a);
  else norm<float>(a);
}
void layer_norm_grad(const LayerNormArgs& a) {
  if (a.dtype == DType::Float64) norm_grad<double>(a);
  else norm_grad<float>(a);
}

}  // namespace

void fill_layer_norm(Backend& table) {
  table.layer_norm = layer_norm;
  table.layer_norm_grad = layer_norm_grad;
}

}  // namespace fg::cpu::FG_ISA
