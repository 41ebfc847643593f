// What reductions and row operations share: lines of memory brought to the compute type in L1, the words of a
// reduction for single numbers, partial vectors, and how work is cut. Work is cut by its size only, never by the
// number of threads, so that results have the same bits for any number of them.
//
// For files in kernels/ only; everything is internal to the instruction set.
#pragma once
#include "core/backend.h"
#include "cpu/backend_cpu.h"
#include "cpu/parallel.h"
#include "cpu/stream.h"
#include "cpu/vec.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kBlock = 2048;     // elements that stay in L1 while a kernel goes over them more than once
constexpr int64_t kSegment = 32768;  // elements of one chunk of a parallel region, at least
constexpr int64_t kStreamBytes = int64_t{40} << 20;  // outputs of this size bypass the cache

template <class T> constexpr DType kStored = DType::kUndefined;
template <> constexpr DType kStored<float> = DType::Float32;
template <> constexpr DType kStored<double> = DType::Float64;
template <> constexpr DType kStored<int32_t> = DType::Int32;
template <> constexpr DType kStored<int64_t> = DType::Int64;

FG_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
FG_INLINE int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- load and store with conversion ---------------------------------------------------------------------------------
template <class From, class To> void convert(const void* in, int64_t at, int64_t n, To* out) {
  const From* from = static_cast<const From*>(in) + at;
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<To>(from[i]);
}
template <DType half> FG_INLINE VF load_half(const uint16_t* from) {
  if constexpr (half == DType::Float16) return load_f16(from);
  else return load_bf16(from);
}
template <DType half> FG_INLINE void store_half(uint16_t* to, VF x) {
  if constexpr (half == DType::Float16) store_f16(to, x);
  else store_bf16(to, x);
}
template <DType half> FG_INLINE void store_half(uint16_t* to, VF x, VF y) {
  if constexpr (half == DType::Float16) store_f16(to, x, y);
  else store_bf16(to, x, y);
}
template <DType half> void halves_to_floats(const uint16_t* from, float* to, int64_t n) {
  int64_t i = 0;
  for (; i + VF::N <= n; i += VF::N) load_half<half>(from + i).store(to + i);
  if (i == n) return;
  uint16_t last[VF::N] = {};
  float floats[VF::N];
  for (int64_t k = 0; k < n - i; ++k) last[k] = from[i + k];
  load_half<half>(last).store(floats);
  for (int64_t k = 0; k < n - i; ++k) to[i + k] = floats[k];
}
template <DType half> void floats_to_halves(const float* from, uint16_t* to, int64_t n) {
  int64_t i = 0;
  for (; i + 2 * VF::N <= n; i += 2 * VF::N) store_half<half>(to + i, VF::load(from + i), VF::load(from + i + VF::N));
  for (; i + VF::N <= n; i += VF::N) store_half<half>(to + i, VF::load(from + i));
  if (i == n) return;
  float last[VF::N] = {};
  uint16_t halves[VF::N];
  for (int64_t k = 0; k < n - i; ++k) last[k] = from[i + k];
  store_half<half>(halves, VF::load(last));
  for (int64_t k = 0; k < n - i; ++k) to[i + k] = halves[k];
}

template <DType half, class To> void convert_half(const void* in, int64_t at, int64_t n, To* out) {
  const uint16_t* from = static_cast<const uint16_t*>(in) + at;
  if constexpr (__is_same(To, float)) {
    halves_to_floats<half>(from, out, n);
  } else {
    float floats[256];
    for (int64_t i = 0; i < n; i += 256) {
      const int64_t count = smaller(256, n - i);
      halves_to_floats<half>(from + i, floats, count);
      convert<float>(floats, 0, count, out + i);
    }
  }
}

template <class T> FG_NOINLINE void load_converted(const void* in, DType dtype, int64_t at, int64_t n, T* buffer) {
  switch (dtype) {
    case DType::Bool:
    case DType::UInt8: return convert<uint8_t>(in, at, n, buffer);
    case DType::Int8: return convert<int8_t>(in, at, n, buffer);
    case DType::Int16: return convert<int16_t>(in, at, n, buffer);
    case DType::Int32: return convert<int32_t>(in, at, n, buffer);
    case DType::Int64: return convert<int64_t>(in, at, n, buffer);
    case DType::Float16: return convert_half<DType::Float16>(in, at, n, buffer);
    case DType::BFloat16: return convert_half<DType::BFloat16>(in, at, n, buffer);
    case DType::Float32: return convert<float>(in, at, n, buffer);
    case DType::Float64: return convert<double>(in, at, n, buffer);
    default: return;
  }
}
// Elements [at, at + n) as T: in place when they are stored so, else in the buffer.
template <class T> FG_INLINE const T* load_line(const void* in, DType dtype, int64_t at, int64_t n, T* buffer) {
  if (dtype == kStored<T>) return static_cast<const T*>(in) + at;
  load_converted(in, dtype, at, n, buffer);
  return buffer;
}

template <class To, class From> void convert_out(void* out, int64_t at, int64_t n, const From* from) {
  convert<From>(from, 0, n, static_cast<To*>(out) + at);
}
template <DType half, class From> void convert_out_half(void* out, int64_t at, int64_t n, const From* from) {
  uint16_t* to = static_cast<uint16_t*>(out) + at;
  if constexpr (__is_same(From, float)) {
    floats_to_halves<half>(from, to, n);
  } else {
    float floats[256];
    for (int64_t i = 0; i < n; i += 256) {
      const int64_t count = smaller(256, n - i);
      convert<From>(from + i, 0, count, floats);
      floats_to_halves<half>(floats, to + i, count);
    }
  }
}
template <class T> FG_NOINLINE void store_line(void* out, DType dtype, int64_t at, int64_t n, const T* from) {
  switch (dtype) {
    case DType::Bool:
      for (int64_t i = 0; i < n; ++i) static_cast<uint8_t*>(out)[at + i] = from[i] != 0;
      return;
    case DType::UInt8: return convert_out<uint8_t>(out, at, n, from);
    case DType::Int8: return convert_out<int8_t>(out, at, n, from);
    case DType::Int16: return convert_out<int16_t>(out, at, n, from);
    case DType::Int32: return convert_out<int32_t>(out, at, n, from);
    case DType::Int64: return convert_out<int64_t>(out, at, n, from);
    case DType::Float16: return convert_out_half<DType::Float16>(out, at, n, from);
    case DType::BFloat16: return convert_out_half<DType::BFloat16>(out, at, n, from);
    case DType::Float32: return convert_out<float>(out, at, n, from);
    case DType::Float64: return convert_out<double>(out, at, n, from);
    default: return;
  }
}
template <class T> FG_INLINE void store_one(void* out, DType dtype, int64_t at, T value) {
  if (dtype == kStored<T>) static_cast<T*>(out)[at] = value;
  else if (kIsFloat<T> && dtype == DType::Float32) static_cast<float*>(out)[at] = static_cast<float>(value);
  else store_line(out, dtype, at, 1, &value);
}

// ---- partial vectors ------------------------------------------------------------------------------------------------
// A constant vector of lane numbers, for masks and shuffles. Vectors filled by a loop are made anew in every iteration.
template <class T> struct LaneNumbers {
  typename Lane<T>::Int lane[Vec<T>::N];
};
template <class T, class F> constexpr LaneNumbers<T> lane_numbers(F number_of) {
  LaneNumbers<T> numbers = {};
  for (int i = 0; i < Vec<T>::N; ++i) numbers.lane[i] = static_cast<typename Lane<T>::Int>(number_of(i));
  return numbers;
}
template <class T> FG_INLINE typename Mask<T>::V as_vector(const LaneNumbers<T>& numbers) {
  typename Mask<T>::V out;
  memcpy(&out, numbers.lane, sizeof(out));
  return out;
}
template <class T> FG_INLINE Mask<T> first_lanes(int64_t n) {
  static constexpr LaneNumbers<T> numbers = lane_numbers<T>([](int i) { return i; });
  return {as_vector<T>(numbers) < static_cast<typename Lane<T>::Int>(n)};
}
// The first n lanes from memory, the others 0; nothing beyond is read.
template <class T> FG_INLINE Vec<T> load_first(const T* from, int64_t n) {
#if defined(__AVX512F__)
  const unsigned mask = (1u << n) - 1;
  if constexpr (sizeof(T) == 4) return (typename Vec<T>::V)_mm512_maskz_loadu_epi32(static_cast<__mmask16>(mask), from);
  else return (typename Vec<T>::V)_mm512_maskz_loadu_epi64(static_cast<__mmask8>(mask), from);
#elif defined(__AVX2__)
  const __m256i mask = (__m256i)first_lanes<T>(n).v;
  if constexpr (sizeof(T) == 4) {
    return (typename Vec<T>::V)_mm256_maskload_epi32(reinterpret_cast<const int*>(from), mask);
  } else {
    return (typename Vec<T>::V)_mm256_maskload_epi64(reinterpret_cast<const long long*>(from), mask);
  }
#else
  T lanes[Vec<T>::N] = {};
  for (int i = 0; i < Vec<T>::N; ++i)
    if (i < n) lanes[i] = from[i];
  return Vec<T>::load(lanes);
#endif
}
template <class T> FG_INLINE void store_first(T* to, int64_t n, Vec<T> x) {
#if defined(__AVX512F__)
  const unsigned mask = (1u << n) - 1;
  if constexpr (sizeof(T) == 4) _mm512_mask_storeu_epi32(to, static_cast<__mmask16>(mask), (__m512i)x.v);
  else _mm512_mask_storeu_epi64(to, static_cast<__mmask8>(mask), (__m512i)x.v);
#elif defined(__AVX2__)
  const __m256i mask = (__m256i)first_lanes<T>(n).v;
  if constexpr (sizeof(T) == 4) _mm256_maskstore_epi32(reinterpret_cast<int*>(to), mask, (__m256i)x.v);
  else _mm256_maskstore_epi64(reinterpret_cast<long long*>(to), mask, (__m256i)x.v);
#else
  for (int i = 0; i < Vec<T>::N; ++i)
    if (i < n) to[i] = x.v[i];
#endif
}

// A whole line through f(vector, at): full vectors by load and store, the rest by parts. `step` is a vector or less.
template <class T, class F> FG_INLINE void each_vector(int64_t n, const F& step) {
  constexpr int64_t N = Vec<T>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) step(i, N);
  if (i < n) step(i, n - i);
}
template <class T> FG_INLINE Vec<T> load_part(const T* from, int64_t n) {
  return n == Vec<T>::N ? Vec<T>::load(from) : load_first(from, n);
}
template <class T> FG_INLINE void store_part(T* to, int64_t n, Vec<T> x) {
  if (n == Vec<T>::N) x.store(to);
  else store_first(to, n, x);
}

// ---- streaming stores -----------------------------------------------------------------------------------------------
// The line ends up in memory without passing through the cache when its address allows it.
template <class T> FG_INLINE void stream_store(T* to, Vec<T> x) { stream_register(to, x.v); }
FG_INLINE void stream_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}
FG_INLINE bool is_aligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % kVecBytes == 0; }

// ---- words for single numbers ---------------------------------------------------------------------------------------
// Partial results of blocks meet in the wide type: sums of floats in double, sums of int32 in int64.
struct Long {  // int64 that wraps
  int64_t value;
  FG_INLINE Long(int64_t of) : value(of) {}
  FG_INLINE explicit operator int64_t() const { return value; }
  FG_INLINE friend Long operator+(Long a, Long b) { return add_wrapping(a.value, b.value); }
  FG_INLINE friend Long operator*(Long a, Long b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a.value) * static_cast<uint64_t>(b.value));
  }
  FG_INLINE friend Long max(Long a, Long b) { return a.value > b.value ? a : b; }
  FG_INLINE friend Long min(Long a, Long b) { return a.value < b.value ? a : b; }
};
template <class T> struct WideOf {
  using type = Long;
};
template <> struct WideOf<float> {
  using type = double;
};
template <> struct WideOf<double> {
  using type = double;
};
template <class T> using Wide = typename WideOf<T>::type;

FG_INLINE double max(double a, double b) { return a > b || a != a ? a : b; }
FG_INLINE double min(double a, double b) { return a < b || a != a ? a : b; }
FG_INLINE double sqrt(double x) { return __builtin_sqrt(x); }

template <class T> constexpr T lowest() {
  if constexpr (kIsFloat<T>) return -static_cast<T>(__builtin_inf());
  else return static_cast<T>(Vec<T>::sign_bit());
}
template <class T> constexpr T highest() {
  if constexpr (kIsFloat<T>) return static_cast<T>(__builtin_inf());
  else return static_cast<T>(Vec<T>::sign_bit() - 1);
}

// All lanes by a tree of halves.
template <int half, class T, class F> FG_INLINE T across_halves(Vec<T> x, const F& meet) {
  if constexpr (half == 0) {
    return x.v[0];
  } else {
    static constexpr LaneNumbers<T> from = lane_numbers<T>([](int i) { return (i + half) % Vec<T>::N; });
    return across_halves<half / 2>(meet(x, Vec<T>(__builtin_shuffle(x.v, as_vector<T>(from)))), meet);
  }
}
template <class T, class F> FG_INLINE T across(Vec<T> x, const F& meet) {
  return across_halves<Vec<T>::N / 2>(x, meet);
}

// Where a fold reads: elements of the compute type, or halves on their way to float.
template <class T> struct Stored {
  const T* from;
  FG_INLINE Vec<T> load(int64_t i) const { return Vec<T>::load(from + i); }
  FG_INLINE void load_two(int64_t i, Vec<T>& a, Vec<T>& b) const {
    a = load(i);
    b = load(i + Vec<T>::N);
  }
  FG_INLINE Vec<T> load_first(int64_t i, int64_t n) const { return ::fg::cpu::FG_ISA::load_first(from + i, n); }
};
template <DType half> struct StoredHalf {
  const uint16_t* from;
  FG_INLINE VF load(int64_t i) const { return load_half<half>(from + i); }
  FG_INLINE void load_two(int64_t i, VF& a, VF& b) const {  // of bfloat16 those at even and at odd places
    if constexpr (half == DType::BFloat16) {
      VF::U both;
      memcpy(&both, from + i, sizeof(both));
      a = VF((VF::V)(both << 16));
      b = VF((VF::V)(both & 0xffff0000u));
    } else {
      a = load(i);
      b = load(i + VF::N);
    }
  }
  FG_INLINE VF load_first(int64_t i, int64_t n) const {
    uint16_t first[VF::N] = {};
    for (int64_t k = 0; k < n; ++k) first[k] = from[i + k];
    return load_half<half>(first);
  }
};

// A block of a line in `width` accumulators: map(vector) for each, meet(vector, vector) in a fixed tree.
template <class T, int width = 8, class Source, class Map, class Meet>
FG_INLINE T fold_source(Source x, int64_t n, T identity, const Map& map, const Meet& meet) {
  using V = Vec<T>;
  constexpr int64_t N = V::N;
  int64_t i = 0;
  V sum = identity;
  if (n >= width * N) {
    V sums[width];
    for (int k = 0; k < width; ++k) sums[k] = identity;
    for (; i + width * N <= n; i += width * N) {
#pragma GCC unroll 4
      for (int k = 0; k < width; k += 2) {
        V a, b;
        x.load_two(i + k * N, a, b);
        sums[k] = meet(sums[k], map(a));
        sums[k + 1] = meet(sums[k + 1], map(b));
      }
    }
#pragma GCC unroll 8
    for (int half = width / 2; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) sums[k] = meet(sums[k], sums[k + half]);
    sum = sums[0];
  }
  for (; i + N <= n; i += N) sum = meet(sum, map(x.load(i)));
  if (i < n) sum = meet(sum, where(first_lanes<T>(n - i), map(x.load_first(i, n - i)), V(identity)));
  return across(sum, meet);
}
// Whether a NaN was among the lanes of what was shown.
template <class T> struct NanSeen {
#if defined(__AVX512F__)
  __mmask16 lanes = 0;
  FG_INLINE void show(Vec<T> a, Vec<T> b) {
    if constexpr (sizeof(T) == 4) lanes |= _mm512_cmp_ps_mask((__m512)a.v, (__m512)b.v, _CMP_UNORD_Q);
    else lanes |= _mm512_cmp_pd_mask((__m512d)a.v, (__m512d)b.v, _CMP_UNORD_Q);
  }
  FG_INLINE bool any_lane() const { return lanes != 0; }
#else
  Mask<T> lanes = {};
  FG_INLINE void show(Vec<T> a, Vec<T> b) { lanes = lanes | Mask<T>{a.v != a.v} | Mask<T>{b.v != b.v}; }
  FG_INLINE bool any_lane() const { return any(lanes); }
#endif
};
// The largest or smallest of a block; NaN when one is among them. Looking for NaN apart, two vectors at a time, takes
// two instructions a vector, where a fold by max or min takes three in a chain.
template <class T, bool largest, class Source> FG_INLINE T extremum(Source x, int64_t n) {
  using V = Vec<T>;
  constexpr int64_t N = V::N, width = 4;
  const V identity = largest ? lowest<T>() : highest<T>();
  const auto pick = [](V a, V b) { return largest ? at_least(a, b) : at_most(a, b); };
  [[maybe_unused]] NanSeen<T> nan;
  const auto take = [&](V& best, V a, V b) {
    if constexpr (kIsFloat<T>) nan.show(a, b);
    best = pick(best, pick(a, b));
  };
  V best = identity;
  int64_t i = 0;
  if (n >= 2 * width * N) {
    V bests[width] = {identity, identity, identity, identity};
    for (; i + 2 * width * N <= n; i += 2 * width * N) {
#pragma GCC unroll 4
      for (int k = 0; k < width; ++k) {
        V a, b;
        x.load_two(i + 2 * k * N, a, b);
        take(bests[k], a, b);
      }
    }
    best = pick(pick(bests[0], bests[1]), pick(bests[2], bests[3]));
  }
  for (; i + N <= n; i += N) {
    const V a = x.load(i);
    take(best, a, a);
  }
  if (i < n) {
    const V a = where(first_lanes<T>(n - i), x.load_first(i, n - i), identity);
    take(best, a, a);
  }
  if constexpr (kIsFloat<T>) {
    if (nan.any_lane()) return static_cast<T>(__builtin_nan(""));
  }
  return across(best, pick);
}
template <class T, int width = 8, class Map, class Meet>
FG_INLINE T fold_block(const T* x, int64_t n, T identity, const Map& map, const Meet& meet) {
  return fold_source<T, width>(Stored<T>{x}, n, identity, map, meet);
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
