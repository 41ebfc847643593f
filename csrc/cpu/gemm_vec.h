// Vectors, partial loads and stores, storage conversions and in-register transposes for matmul.
//
// Included by kernels/matmul*.cpp only, once per instruction set, and therefore inside an unnamed namespace: plain
// loops and GCC vector extensions; intrinsics only where a partial or converting access has no spelling in them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/intrinsics.h"
#include "cpu/parallel.h"

#define FG_INLINE inline __attribute__((always_inline))

namespace fg::cpu::FG_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVecBytes = 64;
#elif defined(__AVX2__)
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif

// Half types are 16 bits that nothing computes on; distinct types so that templates can tell them apart.
struct F16 {
  uint16_t bits;
};
struct BF16 {
  uint16_t bits;
};

template <class S>
struct ComputeOf {
  typedef S type;
};
template <>
struct ComputeOf<F16> {
  typedef float type;
};
template <>
struct ComputeOf<BF16> {
  typedef float type;
};

template <class T, int N>
struct Simd {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};
template <class T, int N>
using Vec = typename Simd<T, N>::type;

template <class T>
constexpr int kLanes = kVecBytes / static_cast<int>(sizeof(T));

FG_INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
FG_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- scalar conversions ---------------------------------------------------------------------------------------------
FG_INLINE uint32_t bits_of(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  return u;
}
FG_INLINE float float_of(uint32_t u) {
  float x;
  memcpy(&x, &u, 4);
  return x;
}

FG_INLINE float widen(float x) { return x; }
FG_INLINE double widen(double x) { return x; }
FG_INLINE float widen(BF16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }
FG_INLINE float widen(F16 x) {
#if defined(__F16C__)
  return _cvtsh_ss(x.bits);
#else
  // Shift exponent and mantissa into place and multiply by 2^112: right for normal and subnormal numbers alike.
  uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000) << 16, rest = static_cast<uint32_t>(x.bits & 0x7fff) << 13;
  float value = float_of(rest) * float_of(0x77800000u);
  uint32_t special = rest | 0x7f800000u;
  return float_of(sign | ((x.bits & 0x7c00) == 0x7c00 ? special : bits_of(value)));
#endif
}

FG_INLINE void narrow(float x, float* to) { *to = x; }
FG_INLINE void narrow(double x, double* to) { *to = x; }
FG_INLINE void narrow(float x, BF16* to) {
  uint32_t u = bits_of(x);
  uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  to->bits = static_cast<uint16_t>(x != x ? 0x7fc0u : rounded);
}
FG_INLINE void narrow(float x, F16* to) {
#if defined(__F16C__)
  to->bits = static_cast<uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT));
#else
  uint32_t u = bits_of(x), sign = (u >> 16) & 0x8000, rest = u & 0x7fffffff, half;
  if (rest >= 0x7f800000u) {
    half = rest > 0x7f800000u ? 0x7e00 : 0x7c00;
  } else if (rest >= 0x477ff000u) {
    half = 0x7c00;  // rounds to infinity
  } else if (rest < 0x38800000u) {
    half = bits_of(float_of(rest) + 0.5f) - 0x3f000000u;  // subnormal: the addition rounds at the right bit
  } else {
    half = (rest - 0x38000000u + 0xfff + ((rest >> 13) & 1)) >> 13;
  }
  to->bits = static_cast<uint16_t>(sign | half);
#endif
}

// ---- loads and stores -----------------------------------------------------------------------------------------------
template <int N>
FG_INLINE Vec<float, N> load(const float* p) {
  Vec<float, N> v;
  memcpy(&v, p, sizeof v);
  return v;
}
template <int N>
FG_INLINE Vec<double, N> load(const double* p) {
  Vec<double, N> v;
  memcpy(&v, p, sizeof v);
  return v;
}
template <int N>
FG_INLINE Vec<float, N> load(const BF16* p) {
  Vec<uint16_t, N> narrow_bits;
  memcpy(&narrow_bits, p, sizeof narrow_bits);
#if defined(__AVX512F__)  // one instruction; g++ 12 makes five of the conversion
  if constexpr (N == 16) return (Vec<float, N>)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)narrow_bits), 16);
#elif defined(__AVX2__)
  if constexpr (N == 8) return (Vec<float, N>)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)narrow_bits), 16);
#endif
  return (Vec<float, N>)(__builtin_convertvector(narrow_bits, Vec<uint32_t, N>) << 16);
}
template <int N>
FG_INLINE Vec<float, N> load(const F16* p) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    Vec<float, N> v = _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return v;
  }
#endif
#if defined(__F16C__)
  if constexpr (N == 8) {
    Vec<float, N> v = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return v;
  }
#endif
  Vec<float, N> v = {};
  for (int i = 0; i < N; ++i) v[i] = widen(p[i]);
  return v;
}

template <class V, class T>
FG_INLINE void store(T* p, V v) {
  memcpy(p, &v, sizeof v);
}

// The first n lanes, 0 <= n <= lanes; memory beyond them is not touched and the other lanes are zero.
#if defined(__AVX512F__)
FG_INLINE Vec<float, 16> load_part(const float* p, int n) {
  return (Vec<float, 16>)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}
FG_INLINE Vec<double, 8> load_part(const double* p, int n) {
  return (Vec<double, 8>)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
}
FG_INLINE void store_part(float* p, Vec<float, 16> v, int n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), (__m512)v);
}
FG_INLINE void store_part(double* p, Vec<double, 8> v, int n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), (__m512d)v);
}
#elif defined(__AVX2__)
FG_INLINE __m256i part_mask(const float*, int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FG_INLINE __m256i part_mask(const double*, int n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
FG_INLINE Vec<float, 8> load_part(const float* p, int n) {
  return (Vec<float, 8>)_mm256_maskload_ps(p, part_mask(p, n));
}
FG_INLINE Vec<double, 4> load_part(const double* p, int n) {
  return (Vec<double, 4>)_mm256_maskload_pd(p, part_mask(p, n));
}
FG_INLINE void store_part(float* p, Vec<float, 8> v, int n) { _mm256_maskstore_ps(p, part_mask(p, n), (__m256)v); }
FG_INLINE void store_part(double* p, Vec<double, 4> v, int n) { _mm256_maskstore_pd(p, part_mask(p, n), (__m256d)v); }
#else
template <class T>
FG_INLINE Vec<T, kLanes<T>> load_part(const T* p, int n) {
  Vec<T, kLanes<T>> v = {};
  for (int i = 0; i < kLanes<T>; ++i) {
    if (i < n) v[i] = p[i];
  }
  return v;
}
template <class T>
FG_INLINE void store_part(T* p, Vec<T, kLanes<T>> v, int n) {
  for (int i = 0; i < kLanes<T>; ++i) {
    if (i < n) p[i] = v[i];
  }
}
#endif
template <class S>  // half types: through a padded copy
FG_INLINE Vec<float, kLanes<float>> load_part_of(const S* p, int n) {
  S copy[kLanes<float>] = {};
  for (int i = 0; i < n; ++i) copy[i] = p[i];
  return load<kLanes<float>>(copy);
}
FG_INLINE Vec<float, kLanes<float>> load_part(const F16* p, int n) { return load_part_of(p, n); }
FG_INLINE Vec<float, kLanes<float>> load_part(const BF16* p, int n) { return load_part_of(p, n); }

// The integer as wide as a lane, for the indices of shuffles.
template <class T>
struct LaneIndex;
template <>
struct LaneIndex<float> {
  typedef int32_t type;
};
template <>
struct LaneIndex<double> {
  typedef int64_t type;
};

// Sum of the lanes as a tree of halves, by shuffles: reading half of a vector through memory would keep the sums that
// the caller adds up in memory, too.
template <int half, class V>
FG_INLINE auto sum_halves(V v) {
  using T = decltype(+v[0]);
  constexpr int N = sizeof(V) / sizeof(T);
  if constexpr (half == 0) {
    return T(v[0]);
  } else {
    Vec<typename LaneIndex<T>::type, N> from = {};
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) from[i] = (i + half) % N;
    return sum_halves<half / 2>(v + __builtin_shuffle(v, from));
  }
}
template <int N, class V>
FG_INLINE auto sum_lanes(V v) {
  return sum_halves<N / 2>(v);
}

// ---- transposes -----------------------------------------------------------------------------------------------------
// In place, in log2(N) steps: each exchanges the blocks of `step` lanes that lie across the diagonal of a pair of rows.
template <class T, int N>
FG_INLINE void transpose(Vec<T, N> (&rows)[N]) {
  using I = Vec<typename LaneIndex<T>::type, N>;
#pragma GCC unroll 4
  for (int step = 1; step < N; step *= 2) {
    I low = {}, high = {};
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) {
      low[i] = i & step ? N + i - step : i;
      high[i] = i & step ? N + i : i + step;
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) {
      if (i & step) continue;
      Vec<T, N> upper = rows[i], lower = rows[i + step];
      rows[i] = __builtin_shuffle(upper, lower, low);
      rows[i + step] = __builtin_shuffle(upper, lower, high);
    }
  }
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
