// Batch normalisation and its gradient, one channel at a time, so that its passes find the channel in the cache. Where
// a channel has one number in each image, some channels side by side take the place of the rows.
#include "cpu/lines.h"

namespace fg::cpu::FG_ISA {
namespace {

template <class T> FG_INLINE T at_or(const void* values, int64_t i, T otherwise) {
  return values ? static_cast<const T*>(values)[i] : otherwise;
}
template <class T> FG_INLINE T* row_of(const void* data, const BatchNormArgs& a, int64_t image, int64_t channel) {
  return static_cast<T*>(const_cast<void*>(data)) + (image * a.channels + channel) * a.spatial;
}
template <class T> FG_INLINE Vec<T> only_first(Vec<T> x, int64_t m) {
  return m == Vec<T>::N ? x : where(first_lanes<T>(m), x, Vec<T>(0));
}
template <class T> FG_INLINE T lanes_sum(Vec<T> x) {
  return across(x, [](Vec<T> p, Vec<T> q) { return p + q; });
}

// The sum of f(i, m), a vector at element i of which m lanes count, over n elements; in double above 2048 of them.
template <class T, class F> FG_INLINE double sum_row(int64_t n, const F& f) {
  using V = Vec<T>;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = smaller(n, begin + kBlock);
    V sums[4] = {0, 0, 0, 0};
    int64_t i = begin;
    for (; i + 4 * V::N <= end; i += 4 * V::N) {
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) sums[k] = sums[k] + f(i + k * V::N, V::N);
    }
    for (; i < end; i += V::N) {
      const int64_t m = smaller(V::N, end - i);
      sums[0] = sums[0] + only_first<T>(f(i, m), m);
    }
    total += static_cast<double>(lanes_sum<T>((sums[0] + sums[1]) + (sums[2] + sums[3])));
  }
  return total;
}

template <class T> void forward_channel(const BatchNormArgs& a, int64_t c) {
  using V = Vec<T>;
  const double count = static_cast<double>(a.batch * a.spatial);
  if (a.train) {
    double sum = 0, squares = 0;
    for (int64_t n = 0; n < a.batch; ++n) {
      const T* x = row_of<T>(a.in, a, n, c);
      sum += sum_row<T>(a.spatial, [&](int64_t i, int64_t m) { return load_part(x + i, m); });
    }
    const T mean = static_cast<T>(sum / count);
    for (int64_t n = 0; n < a.batch; ++n) {
      const T* x = row_of<T>(a.in, a, n, c);
      squares += sum_row<T>(a.spatial, [&](int64_t i, int64_t m) {
        const V d = load_part(x + i, m) - mean;
        return d * d;
      });
    }
    const double var = squares / count;
    static_cast<T*>(a.mean)[c] = mean;
    static_cast<T*>(a.var)[c] = static_cast<T>(var);
    static_cast<T*>(a.rstd)[c] = static_cast<T>(1 / sqrt(var + a.eps));
  }
  if (!a.out) return;
  const T mean = static_cast<const T*>(a.mean)[c];
  const T scale = static_cast<const T*>(a.rstd)[c] * at_or<T>(a.weight, c, 1), shift = at_or<T>(a.bias, c, 0);
  for (int64_t n = 0; n < a.batch; ++n) {
    const T* x = row_of<T>(a.in, a, n, c);
    T* y = row_of<T>(a.out, a, n, c);
    each_vector<T>(a.spatial,
                   [&](int64_t i, int64_t m) { store_part(y + i, m, (load_part(x + i, m) - mean) * scale + shift); });
  }
}

// gx = weight * rstd * g - bias - var * (x - mean)
template <class T> void combine_channel(const BatchNormArgs& a, int64_t c) {
  const T mean = static_cast<const T*>(a.mean)[c], shift = static_cast<const T*>(a.bias)[c],
          slope = static_cast<const T*>(a.var)[c];
  const T scale = static_cast<const T*>(a.rstd)[c] * at_or<T>(a.weight, c, 1);
  for (int64_t n = 0; n < a.batch; ++n) {
    const T *x = row_of<T>(a.in, a, n, c), *g = row_of<T>(a.grad, a, n, c);
    T* gx = row_of<T>(a.gx, a, n, c);
    each_vector<T>(a.spatial, [&](int64_t i, int64_t m) {
      store_part(gx + i, m, load_part(g + i, m) * scale - shift - (load_part(x + i, m) - mean) * slope);
    });
  }
}

template <class T> void gradient_channel(const BatchNormArgs& a, int64_t c) {
  using V = Vec<T>;
  const T mean = static_cast<const T*>(a.mean)[c], rstd = static_cast<const T*>(a.rstd)[c];
  double sum = 0, sum_xh = 0;
  for (int64_t n = 0; n < a.batch; ++n) {
    const T *x = row_of<T>(a.in, a, n, c), *g = row_of<T>(a.grad, a, n, c);
    sum += sum_row<T>(a.spatial, [&](int64_t i, int64_t m) { return load_part(g + i, m); });
    sum_xh +=
        sum_row<T>(a.spatial, [&](int64_t i, int64_t m) { return load_part(g + i, m) * (load_part(x + i, m) - mean); });
  }
  sum_xh *= static_cast<double>(rstd);
  if (a.gweight) static_cast<T*>(a.gweight)[c] = static_cast<T>(sum_xh);
  if (a.gbias) static_cast<T*>(a.gbias)[c] = static_cast<T>(sum);
  if (!a.gx) return;
  const double count = static_cast<double>(a.batch * a.spatial);
  const T scale = rstd * at_or<T>(a.weight, c, 1);
  const T mean_g = a.train ? static_cast<T>(sum / count) : 0;
  const T slope = a.train ? static_cast<T>(sum_xh / count) * rstd : 0;
  for (int64_t n = 0; n < a.batch; ++n) {
    const T *x = row_of<T>(a.in, a, n, c), *g = row_of<T>(a.grad, a, n, c);
    T* gx = row_of<T>(a.gx, a, n, c);
    each_vector<T>(a.spatial, [&](int64_t i, int64_t m) {
      const V grad = load_part(g + i, m);
      store_part(gx + i, m, a.train ? (grad - mean_g - (load_part(x + i, m) - mean) * slope) * scale : grad * scale);
    });
  }
}

// ---- one number a channel and image: W vectors of channels side by side, from channel c on. W is kWide, so that an
// image gives some cache lines in a row, or 1, then m of its lanes count.
constexpr int kWide = 4;

template <class T, int W> struct Columns {
  using V = Vec<T>;
  V v[W];
  FG_INLINE static Columns filled(T x) {
    Columns out;
    return out.set([&](int) { return V(x); });
  }
  FG_INLINE static Columns load(const T* from, int64_t m) {
    Columns out;
    return out.set([&](int k) { return W == 1 ? load_part(from, m) : V::load(from + k * V::N); });
  }
  FG_INLINE static Columns load_or(const void* from, int64_t c, int64_t m, T otherwise) {
    return from ? load(static_cast<const T*>(from) + c, m) : filled(otherwise);
  }
  FG_INLINE void store(void* to_any, int64_t at, int64_t m) const {
    T* to = static_cast<T*>(to_any) + at;
#pragma GCC unroll 4
    for (int k = 0; k < W; ++k) {
      if (W == 1) store_part(to, m, v[k]);
      else v[k].store(to + k * V::N);
    }
  }
  template <class F> FG_INLINE Columns& set(const F& f) {
#pragma GCC unroll 4
    for (int k = 0; k < W; ++k) v[k] = f(k);
    return *this;
  }
};

template <class T, int W> void forward_columns(const BatchNormArgs& a, int64_t c, int64_t m) {
  using C = Columns<T, W>;
  const T* x = static_cast<const T*>(a.in) + c;
  if (a.train) {
    const T count = static_cast<T>(a.batch);
    C sum = C::filled(0), squares = C::filled(0), mean, var, rstd;
    for (int64_t n = 0; n < a.batch; ++n) {
      const C row = C::load(x + n * a.channels, m);
      sum.set([&](int k) { return sum.v[k] + row.v[k]; });
    }
    mean.set([&](int k) { return sum.v[k] / count; });
    for (int64_t n = 0; n < a.batch; ++n) {
      const C row = C::load(x + n * a.channels, m);
      squares.set([&](int k) {
        const Vec<T> d = row.v[k] - mean.v[k];
        return squares.v[k] + d * d;
      });
    }
    var.set([&](int k) { return squares.v[k] / count; });
    rstd.set([&](int k) { return 1 / sqrt(var.v[k] + static_cast<T>(a.eps)); });
    mean.store(a.mean, c, m);
    var.store(a.var, c, m);
    rstd.store(a.rstd, c, m);
  }
  if (!a.out) return;
  const C mean = C::load_or(a.mean, c, m, 0), rstd = C::load_or(a.rstd, c, m, 1);
  const C weight = C::load_or(a.weight, c, m, 1), shift = C::load_or(a.bias, c, m, 0);
  C scale, y;
  scale.set([&](int k) { return rstd.v[k] * weight.v[k]; });
  for (int64_t n = 0; n < a.batch; ++n) {
    const C row = C::load(x + n * a.channels, m);
    y.set([&](int k) { return (row.v[k] - mean.v[k]) * scale.v[k] + shift.v[k]; });
    y.store(a.out, n * a.channels + c, m);
  }
}

template <class T, int W> void gradient_columns(const BatchNormArgs& a, int64_t c, int64_t m) {
  using C = Columns<T, W>;
  const T *x = static_cast<const T*>(a.in) + c, *g = static_cast<const T*>(a.grad) + c;
  const C mean = C::load_or(a.mean, c, m, 0), rstd = C::load_or(a.rstd, c, m, 1),
          weight = C::load_or(a.weight, c, m, 1);
  C sum = C::filled(0), sum_xh = C::filled(0);
  for (int64_t n = 0; n < a.batch; ++n) {
    const C row = C::load(x + n * a.channels, m), grad = C::load(g + n * a.channels, m);
    sum.set([&](int k) { return sum.v[k] + grad.v[k]; });
    sum_xh.set([&](int k) { return sum_xh.v[k] + grad.v[k] * (row.v[k] - mean.v[k]); });
  }
  sum_xh.set([&](int k) { return sum_xh.v[k] * rstd.v[k]; });
  if (a.gweight) sum_xh.store(a.gweight, c, m);
  if (a.gbias) sum.store(a.gbias, c, m);
  if (!a.gx) return;
  const T share = a.train ? 1 / static_cast<T>(a.batch) : 0;
  C scale, mean_g, slope, gx;
  scale.set([&](int k) { return rstd.v[k] * weight.v[k]; });
  mean_g.set([&](int k) { return sum.v[k] * share; });
  slope.set([&](int k) { return sum_xh.v[k] * share * rstd.v[k]; });
  for (int64_t n = 0; n < a.batch; ++n) {
    const C row = C::load(x + n * a.channels, m), grad = C::load(g + n * a.channels, m);
    gx.set([&](int k) { return (grad.v[k] - mean_g.v[k] - (row.v[k] - mean.v[k]) * slope.v[k]) * scale.v[k]; });
    gx.store(a.gx, n * a.channels + c, m);
  }
}

template <class T, bool is_gradient> void norm(const BatchNormArgs& a) {
  const double elements = static_cast<double>(a.batch * a.channels * a.spatial);
  if (is_gradient && a.train == 2) {
    for_chunks(a.channels, elements * 0.3, [&](int64_t c) { combine_channel<T>(a, c); });
    return;
  }
  if (a.spatial == 1) {
    constexpr int64_t kLanes = Vec<T>::N, kWhole = kWide * kLanes;
    const int64_t wide = a.channels / kWhole;
    for_chunks(wide + ceil_divide(a.channels - wide * kWhole, kLanes), elements * 0.5, [&](int64_t chunk) {
      const int64_t c = chunk < wide ? chunk * kWhole : wide * kWhole + (chunk - wide) * kLanes;
      const int64_t m = smaller(kLanes, a.channels - c);
      if (chunk < wide) (is_gradient ? gradient_columns<T, kWide> : forward_columns<T, kWide>)(a, c, m);
      else (is_gradient ? gradient_columns<T, 1> : forward_columns<T, 1>)(a, c, m);
    });
    return;
  }
  for_chunks(a.channels, elements * 0.4, [&](int64_t c) {
    if constexpr (is_gradient) gradient_channel<T>(a, c);
    else forward_channel<T>(a, c);
  });
}

void batch_norm(const BatchNormArgs& a) {
  if (a.dtype == DType::Float64) norm<double, false>(a);
  else norm<float, false>(a);
}
void batch_norm_grad(const BatchNormArgs& a) {
  if (a.dtype == DType::Float64) norm<double, true>(a);
  else norm<float, true>(a);
}

}  // namespace

void fill_batch_norm(Backend& table) {
  table.batch_norm = batch_norm;
  table.batch_norm_grad = batch_norm_grad;
}

}  // namespace fg::cpu::FG_ISA
