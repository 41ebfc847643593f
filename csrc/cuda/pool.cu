// Max pooling, and linear maps of single dimensions (averages over windows, interpolation): one thread for each element
// of the result. So is the gradient of max pooling: an input looks into the windows that have it. Only where it cannot
// tell which ones those are (fractional) does an output look at its neighbours instead.
#include "cuda/convert.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

template <class T> FG_DEVICE T lowest() {
  if constexpr (std::is_floating_point_v<T>) {
    return -static_cast<T>(INFINITY);
  } else if constexpr (static_cast<T>(-1) > 0) {
    return 0;
  } else {
    return static_cast<T>(static_cast<T>(1) << (8 * sizeof(T) - 1));
  }
}

// bounds: the tables begin and end of the three dimensions one after the other, or null: regular windows. The first of
// equal elements wins, and the last NaN.
template <class T>
__global__ void __launch_bounds__(kThreads)
    max_pool_kernel(const __grid_constant__ MaxPoolArgs a, const int64_t* bounds, int64_t n) {
  const int64_t in_plane = a.in_size[0] * a.in_size[1] * a.in_size[2];
  const int64_t tables = a.per_plane ? a.planes : 1;
  for (int64_t at = global_thread(); at < n; at += global_threads()) {
    int64_t o[3], low[3], high[3], step[3], plane = at;
    FG_UNROLL
    for (int d = 2; d >= 0; --d) {
      const int64_t next = plane / a.out_size[d];
      o[d] = plane - next * a.out_size[d];
      plane = next;
    }
    const int64_t* table = bounds;
    FG_UNROLL
    for (int d = 0; d < 3; ++d) {
      if (table) {
        const int64_t place = o[d] + (a.per_plane ? plane * a.out_size[d] : 0);
        low[d] = table[place], high[d] = table[tables * a.out_size[d] + place], step[d] = 1;
        table += 2 * tables * a.out_size[d];
      } else {
        low[d] = o[d] * a.stride[d] - a.padding[d], step[d] = a.dilation[d];
        high[d] = low[d] + (a.kernel[d] - 1) * step[d] + 1;
        if (low[d] < 0) low[d] += (-low[d] + step[d] - 1) / step[d] * step[d];
        if (high[d] > a.in_size[d]) high[d] = a.in_size[d];
      }
    }
    const T* in = static_cast<const T*>(a.in) + plane * in_plane;
    T best = lowest<T>();
    int64_t place = (low[0] * a.in_size[1] + low[1]) * a.in_size[2] + low[2];
    for (int64_t z = low[0]; z < high[0]; z += step[0]) {
      for (int64_t y = low[1]; y < high[1]; y += step[1]) {
        for (int64_t x = low[2]; x < high[2]; x += step[2]) {
          const int64_t i = (z * a.in_size[1] + y) * a.in_size[2] + x;
          const T value = in[i];
          if (value > best || value != value) best = value, place = i;
        }
      }
    }
    static_cast<T*>(a.out)[at] = best;
    if (a.indices) a.indices[at] = place;
  }
}

template <class T> void max_pool_as(const MaxPoolArgs& a, const int64_t* bounds) {
  const int64_t n = a.planes * a.out_size[0] * a.out_size[1] * a.out_size[2];
  FG_LAUNCH_FREE(max_pool_kernel<T>, grid_for(n, a.stream), kThreads, 0, a.stream, a, bounds, n);
}

void max_pool(const MaxPoolArgs& a) {
  constexpr int64_t kBytes = sizeof(int64_t);
  const int64_t tables = a.per_plane ? a.planes : 1, sizes = a.out_size[0] + a.out_size[1] + a.out_size[2];
  Scratch bounds(a.begin[0] ? static_cast<size_t>(2 * tables * sizes * kBytes) : 0, a.stream);
  if (a.begin[0]) {
    if (!bounds) return;
    int64_t* to = bounds.as<int64_t>();
    for (int d = 0; d < 3; ++d) {
      const int64_t n = tables * a.out_size[d];
      if (!upload(to, a.begin[d], static_cast<size_t>(n * kBytes), a.stream) ||
          !upload(to + n, a.end[d], static_cast<size_t>(n * kBytes), a.stream))
        return;
      to += 2 * n;
    }
  }
  switch (a.dtype) {
    case DType::Float32: return max_pool_as<float>(a, bounds.as<int64_t>());
    case DType::Float64: return max_pool_as<double>(a, bounds.as<int64_t>());
    case DType::UInt8: return max_pool_as<uint8_t>(a, bounds.as<int64_t>());
    case DType::Int8: return max_pool_as<int8_t>(a, bounds.as<int64_t>());
    case DType::Int16: return max_pool_as<int16_t>(a, bounds.as<int64_t>());
    case DType::Int32: return max_pool_as<int32_t>(a, bounds.as<int64_t>());
    case DType::Int64: return max_pool_as<int64_t>(a, bounds.as<int64_t>());
    default: set_error("max_pool", "dtype not supported");
  }
}

// Regular windows, or even ones (adaptive): an input looks into the outputs whose windows contain it, in their order.
template <class T, bool even>
__global__ void __launch_bounds__(kThreads) max_pool_gather_kernel(const __grid_constant__ MaxPoolArgs a, int64_t n) {
  const int64_t in_plane = a.in_size[0] * a.in_size[1] * a.in_size[2];
  const int64_t out_plane = a.out_size[0] * a.out_size[1] * a.out_size[2];
  for (int64_t at = global_thread(); at < n; at += global_threads()) {
    const int64_t plane = at / in_plane, own = at - plane * in_plane;
    int64_t rest = own, low[3], high[3];
    FG_UNROLL
    for (int d = 2; d >= 0; --d) {
      const int64_t next = rest / a.in_size[d];
      if constexpr (even) {  // window o is [o in / out, (o + 1) in / out), rounded outwards
        const int64_t before = (rest - next * a.in_size[d]) * a.out_size[d];
        low[d] = before / a.in_size[d];
        high[d] = (before + a.out_size[d] + a.in_size[d] - 1) / a.in_size[d];
      } else {
        const int64_t place = rest - next * a.in_size[d] + a.padding[d];
        const int64_t reach = (a.kernel[d] - 1) * a.dilation[d];
        low[d] = place > reach ? (place - reach + a.stride[d] - 1) / a.stride[d] : 0;
        high[d] = place / a.stride[d] + 1;
      }
      if (high[d] > a.out_size[d]) high[d] = a.out_size[d];
      rest = next;
    }
    const int64_t* indices = a.indices + plane * out_plane;
    const T* g = static_cast<const T*>(a.grad) + plane * out_plane;
    T sum = 0;
    for (int64_t z = low[0]; z < high[0]; ++z) {
      for (int64_t y = low[1]; y < high[1]; ++y) {
        for (int64_t x = low[2]; x < high[2]; ++x) {
          const int64_t o = (z * a.out_size[1] + y) * a.out_size[2] + x;
          if (indices[o] == own) sum += g[o];
        }
      }
    }
    static_cast<T*>(a.out)[at] = sum;
  }
}

// Windows of a known size at unknown places that ascend (fractional): outputs that found the same element are less than
// a window apart, or by one more where two windows begin at one place. The first of them adds them all up, in their
// order, and writes.
template <class T>
__global__ void __launch_bounds__(kThreads) max_pool_near_kernel(const __grid_constant__ MaxPoolArgs a, int64_t n) {
  const int64_t in_plane = a.in_size[0] * a.in_size[1] * a.in_size[2];
  const int64_t out_plane = a.out_size[0] * a.out_size[1] * a.out_size[2];
  for (int64_t at = global_thread(); at < n; at += global_threads()) {
    const int64_t plane = at / out_plane, own = at - plane * out_plane;
    int64_t rest = own, low[3], high[3];
    FG_UNROLL
    for (int d = 2; d >= 0; --d) {
      const int64_t next = rest / a.out_size[d], o = rest - next * a.out_size[d];
      low[d] = o > a.kernel[d] ? o - a.kernel[d] : 0;
      high[d] = a.out_size[d] - o > a.kernel[d] ? o + a.kernel[d] + 1 : a.out_size[d];
      rest = next;
    }
    const int64_t* indices = a.indices + plane * out_plane;
    const T* g = static_cast<const T*>(a.grad) + plane * out_plane;
    const int64_t place = indices[own];
    T sum = 0;
    bool first = true;
    for (int64_t z = low[0]; z < high[0] && first; ++z) {
      for (int64_t y = low[1]; y < high[1] && first; ++y) {
        for (int64_t x = low[2]; x < high[2]; ++x) {
          const int64_t o = (z * a.out_size[1] + y) * a.out_size[2] + x;
          if (indices[o] != place) continue;
          if (o < own) {
            first = false;
            break;
          }
          sum += g[o];
        }
      }
    }
    if (first) static_cast<T*>(a.out)[plane * in_plane + place] = sum;
  }
}

// The windows: kernel 0: even ones; stride 0: unknown ones of a known size; regular ones.
template <class T> void max_pool_grad_as(const MaxPoolArgs& a) {
  const int64_t in_plane = a.in_size[0] * a.in_size[1] * a.in_size[2];
  const int64_t out_plane = a.out_size[0] * a.out_size[1] * a.out_size[2];
  const int64_t n = a.planes * in_plane;
  if (out_plane && !a.kernel[0]) {
    FG_LAUNCH_FREE((max_pool_gather_kernel<T, true>), grid_for(n, a.stream), kThreads, 0, a.stream, a, n);
    return;
  }
  if (out_plane && a.stride[0]) {
    FG_LAUNCH_FREE((max_pool_gather_kernel<T, false>), grid_for(n, a.stream), kThreads, 0, a.stream, a, n);
    return;
  }
  use_device(a.stream.device);
  if (!check(cudaMemsetAsync(a.out, 0, static_cast<size_t>(n) * sizeof(T), handle(a.stream)), "max_pool_grad") ||
      out_plane == 0)
    return;
  const int64_t outputs = a.planes * out_plane;
  FG_LAUNCH_FREE(max_pool_near_kernel<T>, grid_for(outputs, a.stream), kThreads, 0, a.stream, a, outputs);
}
void max_pool_grad(const MaxPoolArgs& a) {
  return a.dtype == DType::Float64 ? max_pool_grad_as<double>(a) : max_pool_grad_as<float>(a);
}

// ---- linear maps of one dimension

template <class T>
__global__ void __launch_bounds__(kThreads)
    resample_kernel(T* out, const T* in, int64_t in_size, int64_t out_size, int64_t inner, int64_t n,
                    const int64_t* starts, const int64_t* places, const double* weights) {
  for (int64_t at = global_thread(); at < n; at += global_threads()) {
    const int64_t line = at / inner, outer = line / out_size, o = line - outer * out_size;
    const T* from = in + (outer * in_size * inner + at - line * inner);
    T sum = 0;
    for (int64_t j = starts[o]; j < starts[o + 1]; ++j) sum += from[places[j] * inner] * static_cast<T>(weights[j]);
    out[at] = sum;
  }
}

template <class T> void resample_as(const ResampleArgs& a) {
  const int64_t n = a.outer * a.out_size * a.inner, terms = a.starts[a.out_size];
  static_assert(sizeof(double) == sizeof(int64_t));
  constexpr int64_t kBytes = sizeof(int64_t);
  Scratch tables(static_cast<size_t>((a.out_size + 1 + 2 * terms) * kBytes), a.stream);
  if (!tables || n == 0) return;
  int64_t *starts = tables.as<int64_t>(), *places = starts + a.out_size + 1;
  double* weights = reinterpret_cast<double*>(places + terms);
  if (!upload(starts, a.starts, static_cast<size_t>((a.out_size + 1) * kBytes), a.stream) ||
      (terms && (!upload(places, a.places, static_cast<size_t>(terms * kBytes), a.stream) ||
                 !upload(weights, a.weights, static_cast<size_t>(terms * kBytes), a.stream))))
    return;
  FG_LAUNCH_FREE(resample_kernel<T>, grid_for(n, a.stream), kThreads, 0, a.stream, static_cast<T*>(a.out),
                 static_cast<const T*>(a.in), a.in_size, a.out_size, a.inner, n, starts, places, weights);
}
void resample(const ResampleArgs& a) {
  return a.dtype == DType::Float64 ? resample_as<double>(a) : resample_as<float>(a);
}

}  // namespace

void fill_pool(Backend& table) {
  table.max_pool = max_pool;
  table.max_pool_grad = max_pool_grad;
  table.resample = resample;
}
}  // namespace fg::cuda
