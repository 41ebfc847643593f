// Conversion of contiguous arrays between storage dtypes and the four compute types, and the movement of strided
// items. Everything that is not already an array of the compute type comes through here on its way into a kernel and
// out of it. Conversions out of range do what x86 does (the lowest integer, small types its low bits), without
// undefined behaviour.
#pragma once
#include "core/dtype.h"
#include "cpu/copy_bytes.h"
#include "cpu/exchange.h"

namespace fg::cpu::FG_ISA {
namespace {

struct Float16Bits {
  uint16_t bits;
};
struct BFloat16Bits {
  uint16_t bits;
};
struct BoolByte {
  uint8_t byte;
};

template <class S> constexpr bool kIsHalf = false;
template <> constexpr bool kIsHalf<Float16Bits> = true;
template <> constexpr bool kIsHalf<BFloat16Bits> = true;
template <class S> constexpr bool kIsBool = false;
template <> constexpr bool kIsBool<BoolByte> = true;

template <class T> FG_INLINE int32_t to_int32(T x) {
  if constexpr (kIsFloat<T>) return x >= T{-2147483648.0} && x < T{2147483648.0} ? static_cast<int32_t>(x) : INT32_MIN;
  else return static_cast<int32_t>(x);
}
template <class T> FG_INLINE int64_t to_int64(T x) {
  if constexpr (kIsFloat<T>)
    return x >= T{-9223372036854775808.0} && x < T{9223372036854775808.0} ? static_cast<int64_t>(x) : INT64_MIN;
  else return static_cast<int64_t>(x);
}

// One element: T is a compute type, S a storage type.
template <class T, class S> FG_INLINE T load_as(S x) {
  if constexpr (kIsBool<S>) return static_cast<T>(x.byte != 0);
  else if constexpr (kIsFloat<S> && !kIsFloat<T>) {
    if constexpr (sizeof(T) == 4) return to_int32(x);
    else return to_int64(x);
  } else return static_cast<T>(x);
}
template <class S, class T> FG_INLINE S store_as(T x) {
  if constexpr (kIsBool<S>) return S{static_cast<uint8_t>(x != 0)};
  else if constexpr (kIsFloat<T> && !kIsFloat<S>) {
    if constexpr (sizeof(S) == 8) return to_int64(x);
    else return static_cast<S>(to_int32(x));
  } else return static_cast<S>(x);
}

FG_INLINE VF load_half(const uint16_t* from, Float16Bits) { return load_f16(from); }
FG_INLINE VF load_half(const uint16_t* from, BFloat16Bits) { return load_bf16(from); }
FG_INLINE void store_half(uint16_t* to, VF x, Float16Bits) { store_f16(to, x); }
FG_INLINE void store_half(uint16_t* to, VF x, BFloat16Bits) { store_bf16(to, x); }
FG_INLINE void store_half(uint16_t* to, VF x, VF y, Float16Bits) { store_f16(to, x, y); }
FG_INLINE void store_half(uint16_t* to, VF x, VF y, BFloat16Bits) { store_bf16(to, x, y); }

// N elements at a time; the rest through a padded copy.
template <class T, class S> void load_array(void* to, const void* from, int64_t n) {
  T* out = static_cast<T*>(to);
  if constexpr (kIsHalf<S>) {
    const uint16_t* in = static_cast<const uint16_t*>(from);
    int64_t i = 0;
    if constexpr (sizeof(T) == 4 && kIsFloat<T>)
      for (; i + VF::N <= n; i += VF::N) load_half(in + i, S{}).store(out + i);
    for (; i < n; i += VF::N) {
      uint16_t padded[VF::N] = {};
      const int count = n - i < VF::N ? static_cast<int>(n - i) : VF::N;
      VF x;
      if (count == VF::N) {
        x = load_half(in + i, S{});
      } else {
        memcpy(padded, in + i, count * sizeof(uint16_t));
        x = load_half(padded, S{});
      }
      for (int k = 0; k < count; ++k) out[i + k] = load_as<T>(x.v[k]);
    }
  } else {
    const S* in = static_cast<const S*>(from);
    for (int64_t i = 0; i < n; ++i) out[i] = load_as<T>(in[i]);
  }
}
template <class S, class T> void store_array(void* to, const void* from, int64_t n) {
  const T* in = static_cast<const T*>(from);
  if constexpr (kIsHalf<S>) {
    uint16_t* out = static_cast<uint16_t*>(to);
    int64_t i = 0;
    if constexpr (sizeof(T) == 4 && kIsFloat<T>)
      for (; i + 2 * VF::N <= n; i += 2 * VF::N) store_half(out + i, VF::load(in + i), VF::load(in + i + VF::N), S{});
    for (; i < n; i += VF::N) {
      const int count = n - i < VF::N ? static_cast<int>(n - i) : VF::N;
      VF x = 0;
      if (sizeof(T) == 4 && kIsFloat<T> && count == VF::N) {
        memcpy(&x.v, in + i, sizeof(x.v));
      } else {
        for (int k = 0; k < count; ++k) x.v[k] = static_cast<float>(in[i + k]);
      }
      if (count == VF::N) {
        store_half(out + i, x, S{});
      } else {
        uint16_t padded[VF::N];
        store_half(padded, x, S{});
        memcpy(out + i, padded, count * sizeof(uint16_t));
      }
    }
  } else {
    S* out = static_cast<S*>(to);
    for (int64_t i = 0; i < n; ++i) out[i] = store_as<S>(in[i]);
  }
}

using ConvertFn = void (*)(void* to, const void* from, int64_t n);
using Bool_t = BoolByte;
using UInt8_t = uint8_t;
using Int8_t = int8_t;
using Int16_t = int16_t;
using Int32_t = int32_t;
using Int64_t = int64_t;
using Float16_t = Float16Bits;
using BFloat16_t = BFloat16Bits;
using Float32_t = float;
using Float64_t = double;
#define FG_FROM(name, bytes, compute)                                                        \
  {load_array<float, name##_t>, load_array<double, name##_t>, load_array<int32_t, name##_t>, \
   load_array<int64_t, name##_t>},
constexpr ConvertFn kLoad[kRealDTypes][kRealComputes] = {FG_REAL_DTYPES(FG_FROM)};
#undef FG_FROM
#define FG_TO(name, bytes, compute)                                                             \
  {store_array<name##_t, float>, store_array<name##_t, double>, store_array<name##_t, int32_t>, \
   store_array<name##_t, int64_t>},
constexpr ConvertFn kStore[kRealDTypes][kRealComputes] = {FG_REAL_DTYPES(FG_TO)};
#undef FG_TO
#define FG_BYTES(name, bytes, compute) bytes,
constexpr int kItemBytes[kDTypes] = {FG_DTYPES(FG_BYTES)};
#undef FG_BYTES
#define FG_COMPUTE(name, bytes, compute) Compute::compute,
constexpr Compute kComputeOf[kDTypes] = {FG_DTYPES(FG_COMPUTE)};
#undef FG_COMPUTE
constexpr int kComputeBytes[kRealComputes] = {4, 8, 4, 8};
constexpr DType kNative[kRealComputes] = {DType::Float32, DType::Float64, DType::Int32, DType::Int64};

FG_INLINE int item_bytes(DType dtype) { return kItemBytes[static_cast<int>(dtype)]; }
FG_INLINE int compute_bytes(Compute compute) { return kComputeBytes[static_cast<int>(compute)]; }
FG_INLINE DType native(Compute compute) { return kNative[static_cast<int>(compute)]; }
// out (of the compute type) <- in, n contiguous elements
FG_INLINE void load_contiguous(Compute compute, void* to, DType dtype, const void* from, int64_t n) {
  kLoad[static_cast<int>(dtype)][static_cast<int>(compute)](to, from, n);
}
FG_INLINE void store_contiguous(DType dtype, void* to, Compute compute, const void* from, int64_t n) {
  kStore[static_cast<int>(dtype)][static_cast<int>(compute)](to, from, n);
}

// ---- items moved as they are, by size ----

template <class S> void gather_items(void* to, const void* from, int64_t stride, int64_t n) {
  S* out = static_cast<S*>(to);
  const S* in = static_cast<const S*>(from);
  if (stride == 0) {
    const S value = *in;
    for (int64_t i = 0; i < n; ++i) out[i] = value;
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = in[i * stride];
  }
}
template <class S> void scatter_items(void* to, const void* from, int64_t stride, int64_t n) {
  S* out = static_cast<S*>(to);
  const S* in = static_cast<const S*>(from);
  for (int64_t i = 0; i < n; ++i) out[i * stride] = in[i];
}
FG_NOINLINE void gather_row(int bytes, void* to, const void* from, int64_t stride, int64_t n) {
  if (stride == 1) copy_bytes(to, from, n * bytes);
  else if (bytes == 4) gather_items<uint32_t>(to, from, stride, n);
  else if (bytes == 8) gather_items<uint64_t>(to, from, stride, n);
  else if (bytes == 2) gather_items<uint16_t>(to, from, stride, n);
  else gather_items<uint8_t>(to, from, stride, n);
}
FG_NOINLINE void scatter_row(int bytes, void* to, const void* from, int64_t stride, int64_t n) {
  if (stride == 1) copy_bytes(to, from, n * bytes);
  else if (bytes == 4) scatter_items<uint32_t>(to, from, stride, n);
  else if (bytes == 8) scatter_items<uint64_t>(to, from, stride, n);
  else if (bytes == 2) scatter_items<uint16_t>(to, from, stride, n);
  else scatter_items<uint8_t>(to, from, stride, n);
}

FG_NOINLINE void gather_tile(int bytes, void* to, int64_t pitch, const void* from, int64_t stride0, int64_t stride1,
                             int width, int height) {
  if (stride0 == 0 || stride0 == 1) {
    for (int j = 0; j < height; ++j)
      gather_row(bytes, static_cast<char*>(to) + j * pitch * bytes,
                 static_cast<const char*>(from) + j * stride1 * bytes, stride0, width);
  } else if (bytes == 4) gather_tile_items<uint32_t>(to, pitch, from, stride0, stride1, width, height);
  else if (bytes == 8) gather_tile_items<uint64_t>(to, pitch, from, stride0, stride1, width, height);
  else if (bytes == 2) gather_tile_items<uint16_t>(to, pitch, from, stride0, stride1, width, height);
  else gather_tile_items<uint8_t>(to, pitch, from, stride0, stride1, width, height);
}

// Past the caches, for outputs too large to be found there again; end a chunk of work with stream_end.
FG_NOINLINE void stream_bytes(void* to, const void* from, int64_t bytes) {
#if defined(__x86_64__)
  char* out = static_cast<char*>(to);
  const char* in = static_cast<const char*>(from);
  int64_t head = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(out) & 63);
  if (head > bytes) head = bytes;
  memcpy(out, in, head);
  int64_t i = head;
  for (; i + 64 <= bytes; i += 64) {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(out + i), _mm512_loadu_si512(in + i));
#else
    for (int k = 0; k < 64; k += 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(out + i + k),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i + k)));
#endif
  }
  memcpy(out + i, in + i, bytes - i);
#else
  memcpy(to, from, bytes);
#endif
}
FG_INLINE void stream_end() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
