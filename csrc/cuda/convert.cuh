// Loads and stores of any dtype as a compute type. The dtype is a run-time value, equal for all threads of a launch, so
// that kernels exist once per compute type. half and bfloat16 are bit patterns here, converted by instructions on a
// GPU.
#pragma once
#include "cuda/device.cuh"

#ifndef FG_CUDA_EMULATE
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace fg::cuda {

struct Half {
  uint16_t bits;
};
struct BHalf {
  uint16_t bits;
};
struct Byte {  // Bool
  uint8_t bits;
};

FG_DEVICE float bits_to_float(uint32_t bits) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  float f;
  memcpy(&f, &bits, 4);
  return f;
#endif
}
FG_DEVICE uint32_t float_to_bits(float f) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(f);
#else
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return bits;
#endif
}

FG_DEVICE float half_to_float(uint16_t h) {
#ifdef FG_CUDA_EMULATE
  _Float16 f;
  memcpy(&f, &h, 2);
  return static_cast<float>(f);
#else
  return __half2float(__ushort_as_half(h));
#endif
}
FG_DEVICE uint16_t float_to_half(float f) {
#ifdef FG_CUDA_EMULATE
  _Float16 h = static_cast<_Float16>(f);
  uint16_t bits;
  memcpy(&bits, &h, 2);
  return bits;
#else
  return __half_as_ushort(__float2half_rn(f));
#endif
}
FG_DEVICE float bhalf_to_float(uint16_t b) { return bits_to_float(uint32_t(b) << 16); }
FG_DEVICE uint16_t float_to_bhalf(float f) {
#ifdef FG_CUDA_EMULATE
  uint32_t bits = float_to_bits(f);
  if (f != f) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#else
  return __bfloat16_as_ushort(__float2bfloat16_rn(f));
#endif
}

// What a number becomes in another type. Small integers go through int64, so that they wrap as on the CPU.
template <class To, class From> FG_DEVICE To convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<From, Half>) {
    return convert<To>(half_to_float(x.bits));
  } else if constexpr (std::is_same_v<From, BHalf>) {
    return convert<To>(bhalf_to_float(x.bits));
  } else if constexpr (std::is_same_v<From, Byte>) {
    return static_cast<To>(x.bits != 0);
  } else if constexpr (std::is_same_v<To, Half>) {
    return Half{float_to_half(static_cast<float>(x))};
  } else if constexpr (std::is_same_v<To, BHalf>) {
    return BHalf{float_to_bhalf(static_cast<float>(x))};
  } else if constexpr (std::is_same_v<To, Byte>) {
    return Byte{static_cast<uint8_t>(x != From(0))};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if constexpr (sizeof(To) < 4) {
      return static_cast<To>(convert<int64_t>(x));
    } else {
#ifdef FG_CUDA_EMULATE  // out of range: what x86 does, without the undefined behaviour
      constexpr From limit = sizeof(To) == 4 ? From(2147483648.0) : From(9223372036854775808.0);
      if (!(x >= -limit && x < limit)) return static_cast<To>(sizeof(To) == 4 ? INT32_MIN : INT64_MIN);
#endif
      return static_cast<To>(x);
    }
  } else {
    return static_cast<To>(x);
  }
}

// Calls fn with a value of the storage type of `t`.
#define FG_SWITCH(t, S, ...) \
  switch (t) {               \
    case DType::Bool: {      \
      using S = Byte;        \
      __VA_ARGS__;           \
      break;                 \
    }                        \
    case DType::UInt8: {     \
      using S = uint8_t;     \
      __VA_ARGS__;           \
      break;                 \
    }                        \
    case DType::Int8: {      \
      using S = int8_t;      \
      __VA_ARGS__;           \
      break;                 \
    }                        \
    case DType::Int16: {     \
      using S = int16_t;     \
      __VA_ARGS__;           \
      break;                 \
    }                        \
    case DType::Int32: {     \
      using S = int32_t;     \
      __VA_ARGS__;           \
      break;                 \
    }                        \
    case DType::Int64: {     \
      using S = int64_t;     \
      __VA_ARGS__;           \
      break;                 \
    }                        \
    case DType::Float16: {   \
      using S = Half;        \
      __VA_ARGS__;           \
      break;                 \
    }                        \
    case DType::BFloat16: {  \
      using S = BHalf;       \
      __VA_ARGS__;           \
      break;                 \
    }                        \
    case DType::Float32: {   \
      using S = float;       \
      __VA_ARGS__;           \
      break;                 \
    }                        \
    default: {               \
      using S = double;      \
      __VA_ARGS__;           \
      break;                 \
    }                        \
  }

template <class T> FG_DEVICE T load(const void* data, int64_t i, DType t) {
  T x{};
  FG_SWITCH(t, S, x = convert<T>(static_cast<const S*>(data)[i]))
  return x;
}
template <class T> FG_DEVICE void store(void* data, int64_t i, DType t, T x) {
  FG_SWITCH(t, S, static_cast<S*>(data)[i] = convert<S>(x))
}
// Four elements at i, i + step, ...: one switch for all of them.
template <class T> FG_DEVICE void load4(T (&x)[4], const void* data, int64_t i, int64_t step, DType t) {
  FG_SWITCH(t, S, {
    const S* from = static_cast<const S*>(data) + i;
    S raw[4];
    FG_UNROLL
    for (int k = 0; k < 4; ++k) raw[k] = from[k * step];
    FG_UNROLL
    for (int k = 0; k < 4; ++k) x[k] = convert<T>(raw[k]);
  })
}

// The floating subset, for kernels of float and double compute type: float for half, bfloat16 and float32.
template <class T> FG_DEVICE T load_float(const void* data, int64_t i, DType t) {
  if constexpr (sizeof(T) == 8) {
    return static_cast<const T*>(data)[i];
  } else {
    if (t == DType::Float32) return static_cast<const float*>(data)[i];
    if (t == DType::Float16) return half_to_float(static_cast<const uint16_t*>(data)[i]);
    return bhalf_to_float(static_cast<const uint16_t*>(data)[i]);
  }
}
template <class T> FG_DEVICE void store_float(void* data, int64_t i, DType t, T x) {
  if constexpr (sizeof(T) == 8) {
    static_cast<T*>(data)[i] = x;
  } else {
    if (t == DType::Float32) {
      static_cast<float*>(data)[i] = x;
    } else if (t == DType::Float16) {
      static_cast<uint16_t*>(data)[i] = float_to_half(x);
    } else {
      static_cast<uint16_t*>(data)[i] = float_to_bhalf(x);
    }
  }
}

// ---- vectors: N neighbours in one access
template <class S, int N> struct alignas(sizeof(S) * N) Pack {
  S v[N];
};
template <class T, class S, int N> FG_DEVICE void load_pack(T (&x)[N], const void* data, int64_t i) {
  Pack<S, N> pack = static_cast<const Pack<S, N>*>(data)[i];
  FG_UNROLL
  for (int k = 0; k < N; ++k) x[k] = convert<T>(pack.v[k]);
}
template <class T, class S, int N> FG_DEVICE void store_pack(void* data, int64_t i, const T (&x)[N]) {
  Pack<S, N> pack;
  FG_UNROLL
  for (int k = 0; k < N; ++k) pack.v[k] = convert<S>(x[k]);
  static_cast<Pack<S, N>*>(data)[i] = pack;
}

// Which dtypes a compute type moves in vectors: its own family and Bool. Everything else takes the general path.
template <class T> constexpr bool vector_dtype(DType t) {
  if (t == DType::Bool) return true;
  if constexpr (std::is_same_v<T, float>) return t == DType::Float32 || t == DType::Float16 || t == DType::BFloat16;
  if constexpr (std::is_same_v<T, double>) return t == DType::Float64;
  if constexpr (std::is_same_v<T, int64_t>) return t == DType::Int64;
  return t <= DType::Int32;
}
template <class T> constexpr int kVector = sizeof(T) == 8 ? 2 : 4;

template <class T, int N = kVector<T>> FG_DEVICE void load_vector(T (&x)[N], const void* data, int64_t i, DType t) {
  if (t == DType::Bool) return load_pack<T, Byte, N>(x, data, i);
  if constexpr (std::is_same_v<T, float>) {
    if (t == DType::Float16) return load_pack<T, Half, N>(x, data, i);
    if (t == DType::BFloat16) return load_pack<T, BHalf, N>(x, data, i);
  } else if constexpr (std::is_same_v<T, int32_t>) {
    if (t == DType::UInt8) return load_pack<T, uint8_t, N>(x, data, i);
    if (t == DType::Int8) return load_pack<T, int8_t, N>(x, data, i);
    if (t == DType::Int16) return load_pack<T, int16_t, N>(x, data, i);
  }
  load_pack<T, T, N>(x, data, i);
}
template <class T, int N = kVector<T>> FG_DEVICE void store_vector(void* data, int64_t i, DType t, const T (&x)[N]) {
  if (t == DType::Bool) return store_pack<T, Byte, N>(data, i, x);
  if constexpr (std::is_same_v<T, float>) {
    if (t == DType::Float16) return store_pack<T, Half, N>(data, i, x);
    if (t == DType::BFloat16) return store_pack<T, BHalf, N>(data, i, x);
  } else if constexpr (std::is_same_v<T, int32_t>) {
    if (t == DType::UInt8) return store_pack<T, uint8_t, N>(data, i, x);
    if (t == DType::Int8) return store_pack<T, int8_t, N>(data, i, x);
    if (t == DType::Int16) return store_pack<T, int16_t, N>(data, i, x);
  }
  store_pack<T, T, N>(data, i, x);
}

}  // namespace fg::cuda
