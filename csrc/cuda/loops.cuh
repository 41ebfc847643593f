// The elementwise driver: two kernels per (row, compute type).
//   contiguous_kernel  every operand contiguous, or one number for all; vectors of 16 bytes; dtypes of one compute type
//   strided_kernel     any strides, any dtypes; indices by multiplication instead of division
// A row comes as a functor F: kInputs, kUses (bit k: input k is read), apply(x, p, q). Start with launch_elementwise.
#pragma once
#include "cuda/convert.cuh"
#include "cuda/num.cuh"

namespace fg::cuda {

constexpr int kStridedDims = 8;

// n / d for n < 2^31 by a multiplication (Granlund and Montgomery).
struct FastDiv {
  uint32_t d, magic, shift;
  static FastDiv of(uint32_t d) {
    uint32_t shift = 0;
    while (shift < 32 && (uint64_t(1) << shift) < d) ++shift;
    uint64_t magic = ((uint64_t(1) << 32) * ((uint64_t(1) << shift) - d)) / d + 1;
    return {d, static_cast<uint32_t>(magic), shift};
  }
  FG_DEVICE uint32_t div(uint32_t n) const { return static_cast<uint32_t>(((uint64_t(n) * magic >> 32) + n) >> shift); }
};

// Operand 0 is the output. `host` bit k: operand k is a number of the host, its value is `values[k]`.
template <class T, int N> struct FlatArgs {
  void* data[N];
  T values[N];
  DType dtype[N];
  uint8_t single[N];  // one number for all elements
  uint32_t host;
  Param params[2];
};
struct NoValue {};
template <int N, class T = NoValue> struct StridedArgs {
  void* data[N];
  T values[N];
  DType dtype[N];
  uint32_t host;
  int32_t ndim;
  uint32_t n;
  FastDiv sizes[kStridedDims];
  int64_t strides[kStridedDims][N];
  Param params[2];

  // Element offsets of every operand at linear index i.
  FG_DEVICE void offsets(uint32_t i, int64_t (&at)[N]) const {
    FG_UNROLL
    for (int k = 0; k < N; ++k) at[k] = 0;
    FG_NO_UNROLL
    for (int d = 0; d < ndim; ++d) {
      uint32_t next = sizes[d].div(i), r = i - next * sizes[d].d;
      FG_UNROLL
      for (int k = 0; k < N; ++k) at[k] += r * strides[d][k];
      i = next;
    }
  }
};

template <class T> FG_DEVICE Num<T> param(const Param& p) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(p.f);
  } else {
    return static_cast<T>(p.i);
  }
}
template <class T> FG_DEVICE T result(Num<T> y) { return y.v; }
template <class T> FG_DEVICE T result(Truth y) { return static_cast<T>(y.v); }

template <class F, class T>
__global__ void __launch_bounds__(kThreads)
    contiguous_kernel(const __grid_constant__ FlatArgs<T, F::kInputs + 1> args, int64_t n) {
  constexpr int kN = F::kInputs, kV = kVector<T>;
  const Num<T> p = param<T>(args.params[0]), q = param<T>(args.params[1]);
  T x[kN + 1][kV] = {};
  FG_UNROLL
  for (int k = 0; k < kN; ++k) {
    if (F::kUses >> k & 1 && args.single[k + 1]) {
      T value = args.host >> (k + 1) & 1 ? args.values[k + 1] : load<T>(args.data[k + 1], 0, args.dtype[k + 1]);
      FG_UNROLL
      for (int j = 0; j < kV; ++j) x[k][j] = value;
    }
  }
  int64_t vectors = n / kV;
  for (int64_t i = global_thread(); i < vectors; i += global_threads()) {
    FG_UNROLL
    for (int k = 0; k < kN; ++k) {
      if (F::kUses >> k & 1 && !args.single[k + 1]) load_vector<T>(x[k], args.data[k + 1], i, args.dtype[k + 1]);
    }
    T y[kV];
    FG_UNROLL
    for (int j = 0; j < kV; ++j) {
      Num<T> in[kN + 1];
      FG_UNROLL
      for (int k = 0; k < kN; ++k) in[k] = F::kUses >> k & 1 ? x[k][j] : T(0);
      y[j] = result<T>(F::apply(in, p, q));
    }
    store_vector<T>(args.data[0], i, args.dtype[0], y);
  }
  int64_t i = vectors * kV + global_thread();
  if (i < n) {
    Num<T> in[kN + 1];
    FG_UNROLL
    for (int k = 0; k < kN; ++k) {
      in[k] = !(F::kUses >> k & 1) ? T(0)
              : args.single[k + 1] ? x[k][0]
                                   : load<T>(args.data[k + 1], i, args.dtype[k + 1]);
    }
    store<T>(args.data[0], i, args.dtype[0], result<T>(F::apply(in, p, q)));
  }
}

template <class F, class T>
__global__ void __launch_bounds__(kThreads)
    strided_kernel(const __grid_constant__ StridedArgs<F::kInputs + 1, T> args) {
  constexpr int kN = F::kInputs;
  const Num<T> p = param<T>(args.params[0]), q = param<T>(args.params[1]);
  for (int64_t i = global_thread(); i < args.n; i += global_threads()) {
    int64_t at[kN + 1];
    args.offsets(static_cast<uint32_t>(i), at);
    Num<T> in[kN + 1];
    FG_UNROLL
    for (int k = 0; k < kN; ++k) {
      in[k] = !(F::kUses >> k & 1)       ? T(0)
              : args.host >> (k + 1) & 1 ? args.values[k + 1]
                                         : load<T>(args.data[k + 1], at[k + 1], args.dtype[k + 1]);
    }
    store<T>(args.data[0], at[0], args.dtype[0], result<T>(F::apply(in, p, q)));
  }
}

// ---- host
inline char* move(void* data, int64_t elements, DType t) { return static_cast<char*>(data) + elements * item_size(t); }

// An Iter with more than kStridedDims dimensions or 2^31 elements becomes several, each passed to fn in row-major
// order.
template <class Fn> void split(const Iter& it, Fn&& fn) {
  bool deep = it.ndim > kStridedDims, large = it.numel > INT32_MAX;
  if (!deep && !large) return fn(it);
  int d = it.ndim - 1;
  if (!deep) {
    while (it.sizes[d] == 1) --d;
  }
  int64_t size = it.sizes[d], step = deep ? 1 : (size + 1) / 2;
  for (int64_t at = 0; at < size; at += step) {
    Iter part = it;
    int64_t taken = size - at < step ? size - at : step;
    part.sizes[d] = taken;
    part.numel = it.numel / size * taken;
    if (deep) part.ndim = d;
    part.out.data = it.out.data ? move(it.out.data, at * it.out.strides[d], it.out.dtype) : nullptr;
    for (int k = 0; k < it.inputs; ++k) {
      const Operand& in = it.in[k];
      part.in[k].data = in.data ? move(in.data, at * in.strides[d], in.dtype) : nullptr;
    }
    split(part, fn);
  }
}

// A number in host memory, by the rules of convert() for what a number can be: bool, int64, float or double.
template <class T> T host_value(const Operand& operand) {
  switch (operand.dtype) {
    case DType::Bool: return static_cast<T>(*static_cast<const uint8_t*>(operand.data) != 0);
    case DType::UInt8: return static_cast<T>(*static_cast<const uint8_t*>(operand.data));
    case DType::Int8: return static_cast<T>(*static_cast<const int8_t*>(operand.data));
    case DType::Int16: return static_cast<T>(*static_cast<const int16_t*>(operand.data));
    case DType::Int32: return static_cast<T>(*static_cast<const int32_t*>(operand.data));
    case DType::Int64: return static_cast<T>(*static_cast<const int64_t*>(operand.data));
    case DType::Float32: return static_cast<T>(*static_cast<const float*>(operand.data));
    case DType::Float64: return static_cast<T>(*static_cast<const double*>(operand.data));
    case DType::BFloat16: {
      uint32_t bits = uint32_t(*static_cast<const uint16_t*>(operand.data)) << 16;
      float value;
      memcpy(&value, &bits, sizeof value);
      return static_cast<T>(value);
    }
    default: {
      uint16_t h = *static_cast<const uint16_t*>(operand.data);
      int exponent = h >> 10 & 31;
      float fraction = static_cast<float>(h & 1023), value;
      if (exponent == 31) {
        value = fraction == 0 ? INFINITY : NAN;
      } else {
        value = exponent ? ::ldexpf(1024 + fraction, exponent - 25) : ::ldexpf(fraction, -24);
      }
      return static_cast<T>(h >> 15 ? -value : value);
    }
  }
}
template <class T, int N> uint32_t host_values(const Iter& it, T (&values)[N]) {
  for (int k = 1; k < N; ++k)
    values[k] = it.host >> (k - 1) & 1 && it.in[k - 1].data ? host_value<T>(it.in[k - 1]) : T(0);
  values[0] = T(0);
  return it.host << 1;
}

template <int N, class T = NoValue> StridedArgs<N, T> strided_args(const Iter& it) {
  StridedArgs<N, T> args;
  args.host = 0;
  if constexpr (!std::is_same_v<T, NoValue>) args.host = host_values(it, args.values);
  args.ndim = it.ndim;
  args.n = static_cast<uint32_t>(it.numel);
  for (int k = 0; k < N; ++k) {
    const Operand& operand = k ? it.in[k - 1] : it.out;
    args.data[k] = operand.data;
    args.dtype[k] = operand.dtype;
  }
  for (int d = 0; d < kStridedDims; ++d) {
    bool real = d < it.ndim;
    args.sizes[d] = FastDiv::of(real ? static_cast<uint32_t>(it.sizes[d]) : 1);
    for (int k = 0; k < N; ++k) {
      const Operand& operand = k ? it.in[k - 1] : it.out;
      args.strides[d][k] = real && operand.data ? operand.strides[d] : 0;
    }
  }
  args.params[0] = it.params[0];
  args.params[1] = it.params[1];
  return args;
}

// Fills args and says whether the contiguous kernel can do it.
template <class F, class T, int N> bool flat_args(const Iter& it, FlatArgs<T, N>& args) {
  if (it.ndim > 1) return false;
  args.host = host_values(it, args.values);
  args.params[0] = it.params[0];
  args.params[1] = it.params[1];
  for (int k = 0; k < N; ++k) {
    const Operand& operand = k ? it.in[k - 1] : it.out;
    args.data[k] = operand.data;
    args.dtype[k] = operand.dtype;
    args.single[k] = 0;
    if (k && !(F::kUses >> (k - 1) & 1)) continue;
    if (k && (args.host >> k & 1 || (it.ndim == 1 && operand.strides[0] == 0))) {
      args.single[k] = 1;
      continue;
    }
    if (it.ndim == 1 && it.sizes[0] != 1 && operand.strides[0] != 1) return false;
    if (!vector_dtype<T>(operand.dtype)) return false;
    uintptr_t width = static_cast<uintptr_t>(item_size(operand.dtype)) * kVector<T>;
    if (reinterpret_cast<uintptr_t>(operand.data) % width) return false;
  }
  return true;
}

template <class F, class T> void launch_elementwise(const Iter& it) {
  if (it.numel == 0) return;
  FlatArgs<T, F::kInputs + 1> flat;
  if (flat_args<F, T>(it, flat)) {
    unsigned grid = grid_for(ceil_div(it.numel, kVector<T>), it.stream);
    FG_LAUNCH_FREE((contiguous_kernel<F, T>), grid, kThreads, 0, it.stream, flat, it.numel);
    return;
  }
  split(it, [](const Iter& part) {
    FG_LAUNCH_FREE((strided_kernel<F, T>), grid_for(part.numel, part.stream), kThreads, 0, part.stream,
                   (strided_args<F::kInputs + 1, T>(part)));
  });
}

}  // namespace fg::cuda
