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

// ---- one number a channel and image: channels [c, c + m) side by side
template <class T> void forward_columns(const BatchNormArgs& a, int64_t c, int64_t m) {
  using V = Vec<T>;
  const T* x = static_cast<const T*>(a.in) + c;
  T* y = static_cast<T*>(a.out) + c;
  if (a.train) {
    const T count = static_cast<T>(a.batch);
    V sum = 0, squares = 0;
    for (int64_t n = 0; n < a.batch; ++n) sum = sum + load_part(x + n * a.channels, m);
    const V mean = sum / count;
    for (int64_t n = 0; n < a.batch; ++n) {
      const V d = load_part(x + n * a.channels, m) - mean;
      squares = squares + d * d;
    }
    const V var = squares / count;
    store_part(static_cast<T*>(a.mean) + c, m, mean);
    store_part(static_cast<T*>(a.var) + c, m, var);
    store_part(static_cast<T*>(a.rstd) + c, m, 1 / sqrt(var + static_cast<T>(a.eps)));
  }
  if (!a.out) return;
  const V mean = load_part(static_cast<const T*>(a.mean) + c, m);
  V scale = load_part(static_cast<const T*>(a.rstd) + c, m), shift = 0;
  if (a.weight) scale = scale * load_part(static_cast<const T*>(a.weight) + c, m);
  if (a.bias) shift = load_part(static_cast<const T*>(a.bias) + c, m);
  for (int64_t n = 0; n < a.batch; ++n)
    store_part(y + n * a.channels, m, (load_part(x + n * a.channels, m) - mean) * scale + shift);
}

template <class T> void gradient_columns(const BatchNormArgs& a, int64_t c, int64_t m) {
  using V = Vec<T>;
  const T *x = static_cast<const T*>(a.in) + c, *g = static_cast<const T*>(a.grad) + c;
  const V mean = load_part(static_cast<const T*>(a.mean) + c, m),
          rstd = load_part(static_cast<const T*>(a.rstd) + c, m);
  V sum = 0, sum_xh = 0;
  for (int64_t n = 0; n < a.batch; ++n) {
    const V grad = load_part(g + n * a.channels, m);
    sum = sum + grad;
    sum_xh = sum_xh + grad * (load_part(x + n * a.channels, m) - mean);
  }
  sum_xh = sum_xh * rstd;
  if (a.gweight) store_part(static_cast<T*>(a.gweight) + c, m, sum_xh);
  if (a.gbias) store_part(static_cast<T*>(a.gbias) + c, m, sum);
  if (!a.gx) return;
  V scale = rstd;
  if (a.weight) scale = scale * load_part(static_cast<const T*>(a.weight) + c, m);
  const T share = a.train ? 1 / static_cast<T>(a.batch) : 0;
  const V mean_g = sum * share, slope = sum_xh * share * rstd;
  T* gx = static_cast<T*>(a.gx) + c;
  for (int64_t n = 0; n < a.batch; ++n)
    store_part(gx + n * a.channels, m,
               (load_part(g + n * a.channels, m) - mean_g - (load_part(x + n * a.channels, m) - mean) * slope) * scale);
}

template <class T, bool is_gradient> void norm(const BatchNormArgs& a) {
  const double elements = static_cast<double>(a.batch * a.channels * a.spatial);
  if (is_gradient && a.train == 2) {
    for_chunks(a.channels, elements * 0.3, [&](int64_t c) { combine_channel<T>(a, c); });
    return;
  }
  if (a.spatial == 1) {
    constexpr int64_t kLanes = Vec<T>::N;
    for_chunks(ceil_divide(a.channels, kLanes), elements * 0.5, [&](int64_t chunk) {
      const int64_t c = chunk * kLanes, m = smaller(kLanes, a.channels - c);
      if constexpr (is_gradient) gradient_columns<T>(a, c, m);
      else forward_columns<T>(a, c, m);
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
