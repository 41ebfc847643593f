// softmax, log_softmax and their gradients over (outer, size, inner), contiguous. Scans are in
// scan.cpp, layer norm in layer_norm.cpp.
//
//   short rows  inner == 1: largest element; exp into a buffer in L1 with the sum; scale. One read
//   tiny rows   inner == 1, less than a vector: many side by side
//   small rows  inner == 1, some vectors: each in registers, what is found for a row is finished for many together
//   columns     inner > 1, and rows too long for L1: softmax_columns.cpp
//
// A line whose largest element is NaN or infinite is NaN everywhere, as in torch.
#include "cpu/exchange.h"
#include "cpu/small_rows.h"
#include "cpu/softmax_lines.h"

namespace fg::cpu::FG_ISA {

void fill_scan(Backend& table);
void fill_fft(Backend& table);
void fill_pairs(Backend& table);
void fill_layer_norm(Backend& table);
void fill_rnn(Backend& table);
void softmax_columns(const RowArgs& a, bool is_log, bool is_gradient);

namespace {

template <class T> constexpr int64_t kRow = 32768 / static_cast<int64_t>(sizeof(T));  // longest row kept in L1
// ---- short rows -----------------------------------------------------------------------------------------------------
// The largest element, or any where there is a NaN: the sum of exponentials is NaN then.
template <class T, class Source> FG_INLINE T row_top(Source x, int64_t n) {
  using V = Vec<T>;
  return fold_source<T>(x, n, lowest<T>(), [](V a) { return a; }, [](V a, V b) { return at_least(a, b); });
}

template <class T> void softmax_row(const T* x, T* y, int64_t n, bool stream, bool ahead) {
  using V = Vec<T>;
  alignas(64) T e[kRow<T>];
  const T top = row_top<T>(Stored<T>{x}, n);
  V sums[2] = {0, 0};
  int64_t i = 0;
  for (; i + 2 * V::N <= n; i += 2 * V::N) {
    if (ahead) {  // the next row comes from memory while this one computes
      __builtin_prefetch(x + n + i);
      __builtin_prefetch(x + n + i + V::N);
    }
#pragma GCC unroll 2
    for (int k = 0; k < 2; ++k) {
      const V now = exp_or_zero(V::load(x + i + k * V::N) - top);
      now.store(e + i + k * V::N);
      sums[k] = sums[k] + now;
    }
  }
  for (; i < n; i += V::N) {
    const int64_t m = smaller(V::N, n - i);
    const V now = where(first_lanes<T>(m), exp_or_zero(load_part(x + i, m) - top), 0);
    now.store(e + i);
    sums[0] = sums[0] + now;
  }
  const V scale = is_finite(top) ? 1 / across(sums[0] + sums[1], [](V a, V b) { return a + b; }) : kNan<T>;
  write_row(y, n, stream, [&](int64_t at, int64_t) { return V::load(e + at) * scale; });
}

// Rows of halves, without rows of floats before and after.
template <DType half> void softmax_row_of(const uint16_t* x, uint16_t* y, int64_t n, bool ahead) {
  constexpr int N = VF::N;
  alignas(64) float e[kRow<float>];
  const StoredHalf<half> from{x};
  const float top = row_top<float>(from, n);
  VF sums[2] = {0, 0};
  int64_t i = 0;
  for (; i + 2 * N <= n; i += 2 * N) {
    if (ahead) __builtin_prefetch(x + n + i);
#pragma GCC unroll 2
    for (int k = 0; k < 2; ++k) {
      const VF now = exp_or_zero(from.load(i + k * N) - top);
      now.store(e + i + k * N);
      sums[k] = sums[k] + now;
    }
  }
  for (; i < n; i += N) {
    const int64_t m = smaller(N, n - i);
    const VF now = where(first_lanes<float>(m), exp_or_zero(from.load_first(i, m) - top), 0);
    now.store(e + i);
    sums[0] = sums[0] + now;
  }
  const VF scale = is_finite(top) ? 1 / across(sums[0] + sums[1], [](VF a, VF b) { return a + b; }) : kNan<float>;
  for (i = 0; i + 2 * N <= n; i += 2 * N)
    store_half<half>(y + i, VF(VF::load(e + i) * scale), VF(VF::load(e + i + N) * scale));
  if (i == n) return;
  for (int64_t k = i; k < n; k += N) (VF::load(e + k) * scale).store(e + k);
  floats_to_halves<half>(e + i, y + i, n - i);
}
template <DType half> void softmax_rows_of(const RowArgs& a, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i)
    softmax_row_of<half>(static_cast<const uint16_t*>(a.in) + i * a.size, static_cast<uint16_t*>(a.out) + i * a.size,
                         a.size, i + 1 < end);
}

template <class T> void log_softmax_row(const T* x, T* y, int64_t n, bool stream, bool) {
  using V = Vec<T>;
  const T top = row_top<T>(Stored<T>{x}, n);
  const V log_sum = is_finite(top) ? static_cast<T>(::log(static_cast<double>(block_exp_sum(x, n, top)))) : kNan<T>;
  write_row(y, n, stream, [&](int64_t at, int64_t m) { return load_part(x + at, m) - top - log_sum; });
}

template <class T> FG_INLINE T dot(const T* a, const T* b, int64_t n) {
  using V = Vec<T>;
  V sums[4] = {0, 0, 0, 0};
  int64_t i = 0;
  for (; i + 4 * V::N <= n; i += 4 * V::N) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) sums[k] = sums[k] + V::load(a + i + k * V::N) * V::load(b + i + k * V::N);
  }
  for (; i < n; i += V::N) {
    const int64_t m = smaller(V::N, n - i);
    sums[0] = sums[0] + load_part(a + i, m) * load_part(b + i, m);
  }
  return across((sums[0] + sums[1]) + (sums[2] + sums[3]), [](V p, V q) { return p + q; });
}

template <class T, bool is_log> void gradient_row(const T* y, const T* g, T* gx, int64_t n, bool stream) {
  using V = Vec<T>;
  T s;
  if constexpr (is_log) s = fold_block<T>(g, n, 0, [](V a) { return a; }, [](V a, V b) { return a + b; });
  else s = dot(y, g, n);
  write_row(gx, n, stream, [&](int64_t at, int64_t m) {
    return gradient_of<T, is_log>(load_part(y + at, m), load_part(g + at, m), s);
  });
}

template <class T, bool is_log, bool is_gradient> void short_rows(const RowArgs& a) {
  const bool stored = a.dtype == kStored<T>;
  const bool stream = stored && a.outer * a.size * static_cast<int64_t>(sizeof(T)) >= kStreamBytes;
  const int64_t rows = larger(1, kSegment / 2 / a.size);
  for_chunks(ceil_divide(a.outer, rows), 0.4 * static_cast<double>(a.outer * a.size), [&](int64_t chunk) {
    alignas(64) T x_line[kRow<T>], g_line[kRow<T>], y_line[kRow<T>];
    const int64_t end = smaller(a.outer, (chunk + 1) * rows);
    if constexpr (!is_log && !is_gradient) {
      if (a.dtype == DType::BFloat16) return softmax_rows_of<DType::BFloat16>(a, chunk * rows, end);
      if (a.dtype == DType::Float16) return softmax_rows_of<DType::Float16>(a, chunk * rows, end);
    }
    for (int64_t i = chunk * rows; i < end; ++i) {
      const int64_t at = i * a.size;
      const T* x = load_line<T>(a.in, a.dtype, at, a.size, x_line);
      T* y = stored ? static_cast<T*>(a.out) + at : y_line;
      if constexpr (is_gradient) {
        gradient_row<T, is_log>(x, load_line<T>(a.grad, a.dtype, at, a.size, g_line), y, a.size, stream);
      } else if constexpr (is_log) {
        log_softmax_row(x, y, a.size, stream, false);
      } else {
        softmax_row(x, y, a.size, stream, stored && i + 1 < end);
      }
      if (!stored) store_line(a.out, a.dtype, at, a.size, y);
    }
    if (stream) stream_fence();
  });
}

// ---- tiny rows: many are turned into columns, a vector takes as many rows as it has lanes
// ----------------------------
template <class T, bool is_log, bool is_gradient> void tiny_rows(const RowArgs& a) {
  using V = Vec<T>;
  using Item = typename Lane<T>::Unsigned;
  constexpr int64_t kRows = kBlock / Vec<T>::N;
  const int width = static_cast<int>(a.size);
  const int64_t rows = larger(1, kSegment / 2 / (a.size * kRows)) * kRows;
  for_chunks(ceil_divide(a.outer, rows), 0.3 * static_cast<double>(a.outer * a.size), [&](int64_t chunk) {
    alignas(64) T line[kBlock], x[kBlock] = {}, g[kBlock] = {};
    for (int64_t i = chunk * rows; i < smaller(a.outer, (chunk + 1) * rows); i += kRows) {
      const int64_t n = smaller(kRows, a.outer - i), at = i * a.size;
      const auto turn = [&](const void* in, T* to) {
        const T* from = load_line<T>(in, a.dtype, at, n * a.size, line);
        gather_tile_items<Item>(to, kRows, from, a.size, 1, static_cast<int>(n), width);
      };
      turn(a.in, x);
      if (is_gradient) turn(a.grad, g);
      for (int64_t j = 0; j < n; j += V::N) {
        const auto each_row = [&](const auto& f) {
          for (int64_t k = 0; k < width; ++k) f(x + k * kRows + j, g + k * kRows + j);
        };
        V sum = 0;
        if constexpr (is_gradient) {
          each_row([&](T* y, T* gy) { sum = sum + (is_log ? V::load(gy) : V::load(gy) * V::load(y)); });
          each_row([&](T* y, T* gy) { gradient_of<T, is_log>(V::load(y), V::load(gy), sum).store(y); });
        } else {
          V top = lowest<T>();
          each_row([&](T* y, T*) { top = max(top, V::load(y)); });
          each_row([&](T* y, T*) {
            const V e = exp_or_zero(V::load(y) - top);
            sum = sum + e;
            if (!is_log) e.store(y);
          });
          const Mask<T> finite = top - top == 0;
          const V last = where(finite, is_log ? log(sum) : 1 / sum, kNan<T>);
          each_row([&](T* y, T*) { (is_log ? V::load(y) - top - last : V::load(y) * last).store(y); });
        }
      }
      T* y = a.dtype == kStored<T> ? static_cast<T*>(a.out) + at : line;
      gather_tile_items<Item>(y, a.size, x, kRows, 1, width, static_cast<int>(n));
      if (y == line) store_line(a.out, a.dtype, at, n * a.size, line);
    }
  });
}

// ---- small rows
// ------------------------------------------------------------------------------------------------------
template <class Rows, bool is_log, class T> void softmax_small(const T* x, T* y, int64_t rows, int64_t n) {
  using V = Vec<T>;
  Rows group(n, rows);
  alignas(64) T tops[V::N], scales[V::N];
  // A NaN that is passed over here makes the sum NaN.
  const auto larger_of = [](V a, V b) { return at_least(a, b); };
  const V top = group.fold_each([&](int k) { return group.row(x, k, lowest<T>()).fold(larger_of); }, larger_of);
  top.store(tops);
  const V sum = group.sum_each([&](int k) {
    const auto relative = group.row(x, k, lowest<T>()).with([&](V a, int) { return a - V(tops[k]); });
    const auto e = relative.with([](V a, int) { return exp_or_zero(a); });
    group.keep(k, is_log ? relative : e);
    return e.sum();
  });
  where(top - top == 0, is_log ? log(sum) : 1 / sum, kNan<T>).store(scales);
  for (int k = 0; k < group.rows; ++k) {
    const V scale = scales[k];
    group.store(y, k, group.kept_row(k).with([&](V a, int) { return is_log ? a - scale : a * scale; }));
  }
}
template <class Rows, bool is_log, class T>
void gradient_small(const T* y, const T* g, T* gx, int64_t rows, int64_t n) {
  using V = Vec<T>;
  Rows group(n, rows);
  alignas(64) T sums[V::N];
  group
      .sum_each([&](int k) {
        const auto grad = group.row(g, k, 0);
        if (is_log) return grad.sum();
        const auto row = group.row(y, k, 0);
        return grad.with([&](V a, int i) { return a * row.part[i]; }).sum();
      })
      .store(sums);
  for (int k = 0; k < group.rows; ++k) {
    const auto grad = group.row(g, k, 0);
    group.keep(k,
               group.row(y, k, 0).with([&](V a, int i) { return gradient_of<T, is_log>(a, grad.part[i], sums[k]); }));
  }
  for (int k = 0; k < group.rows; ++k) group.store(gx, k, group.kept_row(k));
}

template <class T, bool is_log, bool is_gradient> void small_rows(const RowArgs& a) {
  constexpr int N = Vec<T>::N;
  const int64_t n = a.size, batch = kBlock / n / N * N, rows = larger(1, kSegment / 2 / (n * batch)) * batch;
  for_chunks(ceil_divide(a.outer, rows), 0.2 * static_cast<double>(a.outer * n), [&](int64_t chunk) {
    alignas(64) T x_line[kBlock], g_line[kBlock], y_line[kBlock];
    const int64_t end = smaller(a.outer, (chunk + 1) * rows);
    for (int64_t i = chunk * rows; i < end; i += batch) {
      const int64_t m = smaller(batch, end - i), at = i * n;
      const T* x = load_line<T>(a.in, a.dtype, at, m * n, x_line);
      const T* g = is_gradient ? load_line<T>(a.grad, a.dtype, at, m * n, g_line) : nullptr;
      T* y = a.dtype == kStored<T> ? static_cast<T*>(a.out) + at : y_line;
      with_small_rows<T>(n, [&]<class Rows>(Kind<Rows>) {
        for (int64_t k = 0; k < m; k += N) {
          if constexpr (is_gradient) gradient_small<Rows, is_log>(x + k * n, g + k * n, y + k * n, m - k, n);
          else softmax_small<Rows, is_log>(x + k * n, y + k * n, m - k, n);
        }
      });
      if (y == y_line) store_line(a.out, a.dtype, at, m * n, y_line);
    }
  });
}

template <bool is_log, bool is_gradient> void softmax_like(const RowArgs& a) {
  if (a.outer == 0 || a.size == 0 || a.inner == 0) return;
  const auto run = [&]<class T>(T) {
    const bool many = a.inner == 1 && a.outer >= Vec<T>::N;
    if (many && a.size <= 3 * Vec<T>::N / 4) tiny_rows<T, is_log, is_gradient>(a);
    else if (many && a.size <= kSmallRow<T>) small_rows<T, is_log, is_gradient>(a);
    else if (a.inner == 1 && a.size <= kRow<T>) short_rows<T, is_log, is_gradient>(a);
    else softmax_columns(a, is_log, is_gradient);
  };
  if (a.dtype == DType::Float64) run(double{});
  else run(float{});
}

}  // namespace

void fill_rows(Backend& table) {
  table.row[static_cast<int>(Row::softmax)] = softmax_like<false, false>;
  table.row[static_cast<int>(Row::log_softmax)] = softmax_like<true, false>;
  table.row[static_cast<int>(Row::softmax_grad)] = softmax_like<false, true>;
  table.row[static_cast<int>(Row::log_softmax_grad)] = softmax_like<true, true>;
  fill_scan(table);
  fill_fft(table);
  fill_pairs(table);
  fill_layer_norm(table);
  fill_rnn(table);
}

}  // namespace fg::cpu::FG_ISA
