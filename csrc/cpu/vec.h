// Vec<T>: the widest register of the instruction set as a value, for T = float, double, int32_t, int64_t; Mask<T> is
// what a comparison gives. Written with GCC vector extensions, so that one text serves SSE, AVX2, AVX-512 and other
// machines; intrinsics appear only where the compiler falls back to scalar code. Arithmetic, comparison, where,
// rounding, integer words and half types are here; transcendental functions are in math.h.
//
// For files in kernels/ only: everything lives in the unnamed namespace of the instruction set, and words are friends
// of Vec, found by argument-dependent lookup, so that a row of ops/*.def may put number literals on either side.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cpu/intrinsics.h"

#define FG_INLINE [[gnu::always_inline]] inline
#define FG_NOINLINE [[maybe_unused, gnu::noinline]] static

namespace fg::cpu::FG_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVecBytes = 64;
#elif defined(__AVX2__)
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif

template <class T> struct Lane;
template <> struct Lane<float> {
  using Int = int32_t;
  using Unsigned = uint32_t;
};
template <> struct Lane<double> {
  using Int = int64_t;
  using Unsigned = uint64_t;
};
template <> struct Lane<int32_t> {
  using Int = int32_t;
  using Unsigned = uint32_t;
};
template <> struct Lane<int64_t> {
  using Int = int64_t;
  using Unsigned = uint64_t;
};
template <class T> constexpr bool kIsFloat = false;
template <> constexpr bool kIsFloat<float> = true;
template <> constexpr bool kIsFloat<double> = true;
template <class N> constexpr bool kIsNumber = false;
template <> constexpr bool kIsNumber<bool> = true;
template <> constexpr bool kIsNumber<int> = true;
template <> constexpr bool kIsNumber<unsigned> = true;
template <> constexpr bool kIsNumber<long> = true;
template <> constexpr bool kIsNumber<unsigned long> = true;
template <> constexpr bool kIsNumber<long long> = true;
template <> constexpr bool kIsNumber<float> = true;
template <> constexpr bool kIsNumber<double> = true;
template <bool> struct EnableIf {};
template <> struct EnableIf<true> {
  using type = int;
};

template <class T, int bytes> struct Raw {
  typedef T type __attribute__((vector_size(bytes)));
};

template <class T> struct Mask {
  using V = typename Raw<typename Lane<T>::Int, kVecBytes>::type;  // every lane 0 or -1
  V v;
  FG_INLINE friend Mask operator&(Mask a, Mask b) { return {a.v & b.v}; }
  FG_INLINE friend Mask operator|(Mask a, Mask b) { return {a.v | b.v}; }
  FG_INLINE friend Mask operator^(Mask a, Mask b) { return {a.v ^ b.v}; }
  FG_INLINE friend Mask operator!(Mask a) { return {~a.v}; }
};

template <class T> FG_INLINE bool any(Mask<T> m) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)m.v, (__m512i)m.v) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)m.v, (__m256i)m.v);
#elif defined(__SSE4_1__)
  return !_mm_testz_si128((__m128i)m.v, (__m128i)m.v);
#else
  auto bits = (typename Raw<uint64_t, kVecBytes>::type)m.v;
  return (bits[0] | bits[1]) != 0;
#endif
}
template <class T> FG_INLINE bool all(Mask<T> m) { return !any(!m); }

template <class T> struct Vec {
  using V = typename Raw<T, kVecBytes>::type;
  using U = typename Raw<typename Lane<T>::Unsigned, kVecBytes>::type;
  using M = Mask<T>;
  static constexpr int N = kVecBytes / static_cast<int>(sizeof(T));
  V v;

  Vec() = default;
  FG_INLINE Vec(V value) : v(value) {}
  // x - 0 is x for every x, -0 and NaN too, so this is one broadcast
  template <class Number, typename EnableIf<kIsNumber<Number>>::type = 0>
  FG_INLINE Vec(Number number) : v(static_cast<T>(number) - V{}) {}

  FG_INLINE static Vec load(const T* from) {
    Vec out;
    memcpy(&out.v, from, sizeof(V));
    return out;
  }
  FG_INLINE void store(T* to) const { memcpy(to, &v, sizeof(V)); }
  FG_INLINE T operator[](int i) const { return v[i]; }

  // Integers wrap: their arithmetic is unsigned inside.
  FG_INLINE friend Vec operator+(Vec a, Vec b) {
    if constexpr (kIsFloat<T>) return a.v + b.v;
    else return (V)((U)a.v + (U)b.v);
  }
  FG_INLINE friend Vec operator-(Vec a, Vec b) {
    if constexpr (kIsFloat<T>) return a.v - b.v;
    else return (V)((U)a.v - (U)b.v);
  }
  FG_INLINE friend Vec operator*(Vec a, Vec b) {
    if constexpr (kIsFloat<T>) return a.v * b.v;
    else return (V)((U)a.v * (U)b.v);
  }
  FG_INLINE friend Vec operator/(Vec a, Vec b) {
    if constexpr (kIsFloat<T>) return a.v / b.v;
    else return trunc_divide(a, b);
  }
  FG_INLINE friend Vec operator-(Vec a) {
    if constexpr (kIsFloat<T>) return -a.v;
    else return (V)(U{} - (U)a.v);
  }
  FG_INLINE friend M operator<(Vec a, Vec b) { return {a.v < b.v}; }
  FG_INLINE friend M operator<=(Vec a, Vec b) { return {a.v <= b.v}; }
  FG_INLINE friend M operator>(Vec a, Vec b) { return {a.v > b.v}; }
  FG_INLINE friend M operator>=(Vec a, Vec b) { return {a.v >= b.v}; }
  FG_INLINE friend M operator==(Vec a, Vec b) { return {a.v == b.v}; }
  FG_INLINE friend M operator!=(Vec a, Vec b) { return {a.v != b.v}; }
  FG_INLINE friend Vec where(M m, Vec a, Vec b) { return m.v ? a.v : b.v; }

  // NaN in either wins. The test is on b, where a constant makes it vanish.
  FG_INLINE friend Vec max(Vec a, Vec b) {
    V m = b.v > a.v ? b.v : a.v;
    if constexpr (kIsFloat<T>) return b.v != b.v ? b.v : m;
    else return m;
  }
  FG_INLINE friend Vec min(Vec a, Vec b) {
    V m = b.v < a.v ? b.v : a.v;
    if constexpr (kIsFloat<T>) return b.v != b.v ? b.v : m;
    else return m;
  }
  // One instruction each; a NaN in x passes, one in the bound does not.
  FG_INLINE friend Vec at_least(Vec x, Vec bound) { return bound.v > x.v ? bound.v : x.v; }
  FG_INLINE friend Vec at_most(Vec x, Vec bound) { return bound.v < x.v ? bound.v : x.v; }

  FG_INLINE friend Vec zero(Vec) { return V{}; }
  FG_INLINE friend Vec conj(Vec a) { return a; }

  // ---- bits ----
  using I = Vec<typename Lane<T>::Int>;
  FG_INLINE friend I bits(Vec a) { return (typename I::V)a.v; }
  FG_INLINE static Vec from_bits(I a) { return (V)a.v; }
  FG_INLINE friend Vec bit_and(Vec a, Vec b) { return (V)((U)a.v & (U)b.v); }
  FG_INLINE friend Vec bit_or(Vec a, Vec b) { return (V)((U)a.v | (U)b.v); }
  FG_INLINE friend Vec bit_xor(Vec a, Vec b) { return (V)((U)a.v ^ (U)b.v); }
  template <int count> FG_INLINE Vec shifted_left() const { return (V)((U)v << count); }
  template <int count> FG_INLINE Vec shifted_right() const { return v >> count; }  // fills with the sign
  template <int count> FG_INLINE Vec shifted_right_zero() const { return (V)((U)v >> count); }
  // A count outside the type gives 0, or the sign to the right, as torch.
  FG_INLINE friend Vec shift_left(Vec a, Vec b) {
    constexpr T width = 8 * sizeof(T);
    M bad{(b.v < 0) | (b.v >= width)};
    V count = bad.v ? V{} : b.v;
    return bad.v ? V{} : (V)((U)a.v << (U)count);
  }
  FG_INLINE friend Vec shift_right(Vec a, Vec b) {
    constexpr T width = 8 * sizeof(T);
    M bad{(b.v < 0) | (b.v >= width)};
    V count = bad.v ? V{} + (width - 1) : b.v;
    return a.v >> count;
  }

  FG_INLINE friend Vec abs(Vec a) {
    if constexpr (kIsFloat<T>) return (V)((U)a.v & static_cast<typename Lane<T>::Unsigned>(~sign_bit()));
    else return a.v < 0 ? (-a).v : a.v;
  }
  FG_INLINE friend Vec copysign(Vec a, Vec b) {
    constexpr auto sign = sign_bit();
    return (V)(((U)a.v & static_cast<typename Lane<T>::Unsigned>(~sign)) | ((U)b.v & sign));
  }
  FG_INLINE friend Vec sign(Vec a) { return a.v > 0 ? V{} + 1 : (a.v < 0 ? V{} - 1 : V{}); }  // NaN gives 0, as torch

  static constexpr typename Lane<T>::Unsigned sign_bit() {
    return static_cast<typename Lane<T>::Unsigned>(1) << (8 * sizeof(T) - 1);
  }
};

using VF = Vec<float>;
using VD = Vec<double>;
using VI = Vec<int32_t>;
using VL = Vec<int64_t>;

// Lane by lane, for what has no vector form. The compiler turns libm's floor, sqrt ... into one instruction.
template <class T, class F> FG_INLINE Vec<T> each(Vec<T> a, F f) {
  Vec<T> out;
  for (int i = 0; i < Vec<T>::N; ++i) out.v[i] = f(a.v[i]);
  return out;
}
template <class T, class F> FG_INLINE Vec<T> each(Vec<T> a, Vec<T> b, F f) {
  Vec<T> out;
  for (int i = 0; i < Vec<T>::N; ++i) out.v[i] = f(a.v[i], b.v[i]);
  return out;
}

// ---- rounding and square root ----
#if defined(__AVX512F__)
#define FG_ROUND(word, mode, scalar)                                                     \
  FG_INLINE VF word(VF a) { return (VF::V)_mm512_roundscale_ps((__m512)a.v, mode | 8); } \
  FG_INLINE VD word(VD a) { return (VD::V)_mm512_roundscale_pd((__m512d)a.v, mode | 8); }
FG_INLINE VF sqrt(VF a) { return (VF::V)_mm512_sqrt_ps((__m512)a.v); }
FG_INLINE VD sqrt(VD a) { return (VD::V)_mm512_sqrt_pd((__m512d)a.v); }
#elif defined(__AVX2__)
#define FG_ROUND(word, mode, scalar)                                                \
  FG_INLINE VF word(VF a) { return (VF::V)_mm256_round_ps((__m256)a.v, mode | 8); } \
  FG_INLINE VD word(VD a) { return (VD::V)_mm256_round_pd((__m256d)a.v, mode | 8); }
FG_INLINE VF sqrt(VF a) { return (VF::V)_mm256_sqrt_ps((__m256)a.v); }
FG_INLINE VD sqrt(VD a) { return (VD::V)_mm256_sqrt_pd((__m256d)a.v); }
#elif defined(__SSE4_1__)
#define FG_ROUND(word, mode, scalar)                                             \
  FG_INLINE VF word(VF a) { return (VF::V)_mm_round_ps((__m128)a.v, mode | 8); } \
  FG_INLINE VD word(VD a) { return (VD::V)_mm_round_pd((__m128d)a.v, mode | 8); }
FG_INLINE VF sqrt(VF a) { return (VF::V)_mm_sqrt_ps((__m128)a.v); }
FG_INLINE VD sqrt(VD a) { return (VD::V)_mm_sqrt_pd((__m128d)a.v); }
#else
#define FG_ROUND(word, mode, scalar)                        \
  FG_INLINE VF word(VF a) {                                 \
    return each(a, [](float x) { return ::scalar##f(x); }); \
  }                                                         \
  FG_INLINE VD word(VD a) {                                 \
    return each(a, [](double x) { return ::scalar(x); });   \
  }
FG_INLINE VF sqrt(VF a) {
  return each(a, [](float x) { return ::sqrtf(x); });
}
FG_INLINE VD sqrt(VD a) {
  return each(a, [](double x) { return ::sqrt(x); });
}
#endif
FG_ROUND(round, 0, rint)  // half to even
FG_ROUND(floor, 1, floor)
FG_ROUND(ceil, 2, ceil)
FG_ROUND(trunc, 3, trunc)
#undef FG_ROUND
#define FG_ROUND(word)                  \
  FG_INLINE VI word(VI a) { return a; } \
  FG_INLINE VL word(VL a) { return a; }
FG_ROUND(round)
FG_ROUND(floor)
FG_ROUND(ceil)
FG_ROUND(trunc)
#undef FG_ROUND

// ---- between lane widths: a vector of 32-bit lanes is two of 64-bit lanes ----
// By intrinsics where there are registers of two halves: taken apart through memory, a vector is stored and loaded
// again, and one put together from two stores makes the load wait for both.
struct VD2 {
  VD low, high;
};
#if defined(__AVX512F__)
FG_INLINE VD2 widen(VF a) {
  const __m512 x = (__m512)a.v;
  return {(VD::V)_mm512_cvtps_pd(_mm512_castps512_ps256(x)), (VD::V)_mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1))};
}
FG_INLINE VD2 widen(VI a) {
  const __m512i x = (__m512i)a.v;
  return {(VD::V)_mm512_cvtepi32_pd(_mm512_castsi512_si256(x)),
          (VD::V)_mm512_cvtepi32_pd(_mm512_extracti32x8_epi32(x, 1))};
}
FG_INLINE VF narrow(VD2 a) {
  const __m256 low = _mm512_cvtpd_ps((__m512d)a.low.v), high = _mm512_cvtpd_ps((__m512d)a.high.v);
  return (VF::V)_mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}
FG_INLINE VI truncate(VD2 a) {
  const __m256i low = _mm512_cvttpd_epi32((__m512d)a.low.v), high = _mm512_cvttpd_epi32((__m512d)a.high.v);
  return (VI::V)_mm512_inserti32x8(_mm512_castsi256_si512(low), high, 1);
}
#elif defined(__AVX2__)
FG_INLINE VD2 widen(VF a) {
  const __m256 x = (__m256)a.v;
  return {(VD::V)_mm256_cvtps_pd(_mm256_castps256_ps128(x)), (VD::V)_mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}
FG_INLINE VD2 widen(VI a) {
  const __m256i x = (__m256i)a.v;
  return {(VD::V)_mm256_cvtepi32_pd(_mm256_castsi256_si128(x)),
          (VD::V)_mm256_cvtepi32_pd(_mm256_extracti128_si256(x, 1))};
}
FG_INLINE VF narrow(VD2 a) {
  return (VF::V)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)a.high.v), _mm256_cvtpd_ps((__m256d)a.low.v));
}
FG_INLINE VI truncate(VD2 a) {
  return (VI::V)_mm256_set_m128i(_mm256_cvttpd_epi32((__m256d)a.high.v), _mm256_cvttpd_epi32((__m256d)a.low.v));
}
#else
template <class T> using Half = typename Raw<T, kVecBytes / 2>::type;
template <class T> FG_INLINE VD2 widen_lanes(Vec<T> a) {
  Half<T> halves[2];
  memcpy(halves, &a.v, sizeof(halves));
  return {__builtin_convertvector(halves[0], VD::V), __builtin_convertvector(halves[1], VD::V)};
}
template <class T> FG_INLINE Vec<T> narrow_lanes(VD2 a) {
  const Half<T> halves[2] = {__builtin_convertvector(a.low.v, Half<T>), __builtin_convertvector(a.high.v, Half<T>)};
  Vec<T> out;
  memcpy(&out.v, halves, sizeof(halves));
  return out;
}
FG_INLINE VD2 widen(VF a) { return widen_lanes(a); }
FG_INLINE VD2 widen(VI a) { return widen_lanes(a); }
FG_INLINE VF narrow(VD2 a) { return narrow_lanes<float>(a); }
FG_INLINE VI truncate(VD2 a) { return narrow_lanes<int32_t>(a); }
#endif
// Applies f on doubles to float lanes, or to int32 lanes (f's results must then be in range).
template <class F> FG_INLINE VF in_double(VF a, F f) {
  VD2 wide = widen(a);
  return narrow({f(wide.low), f(wide.high)});
}
FG_INLINE VF to_float(VI a) { return __builtin_convertvector(a.v, VF::V); }

template <class T> FG_INLINE T add_wrapping(T a, T b) {
  if constexpr (kIsFloat<T>) return a + b;
  else return static_cast<T>(static_cast<typename Lane<T>::Unsigned>(a) + static_cast<typename Lane<T>::Unsigned>(b));
}

// ---- integer division: truncating; by zero gives 0, lowest / -1 wraps ----
FG_INLINE VI trunc_divide(VI a, VI b) {
  // Quotients of 32-bit integers are exact in double after truncation; divisor 0 is replaced so that nothing overflows.
  VI::M is_zero = b == 0;
  VI::M wraps = (a == INT32_MIN) & (b == -1);
  VI divisor = where(is_zero | wraps, 1, b);
  VD2 x = widen(a), y = widen(divisor);
  return where(is_zero, 0, truncate({x.low / y.low, x.high / y.high}));
}
FG_NOINLINE VL trunc_divide(VL a, VL b) {
  return each(a, b, [](int64_t x, int64_t y) {
    if (y == 0) return int64_t{0};
    if (y == -1) return static_cast<int64_t>(0 - static_cast<uint64_t>(x));
    return x / y;
  });
}
template <class T> FG_INLINE Vec<T> int_fmod(Vec<T> a, Vec<T> b) {
  return where(b == 0, 0, a - trunc_divide(a, b) * b);
}
template <class T> FG_INLINE Vec<T> int_remainder(Vec<T> a, Vec<T> b) {
  Vec<T> m = int_fmod(a, b);
  return where((m != 0) & ((m ^ b) < 0), m + b, m);
}
template <class T> FG_INLINE Vec<T> int_floor_divide(Vec<T> a, Vec<T> b) {
  Vec<T> quotient = trunc_divide(a, b);
  Vec<T> m = a - quotient * b;
  return where((b != 0) & (m != 0) & ((m ^ b) < 0), quotient - 1, quotient);
}
template <class T> [[gnu::noinline]] Vec<T> int_pow(Vec<T> a, Vec<T> b) {
  using M = Mask<T>;
  Vec<T> result = 1, base = a, left = where(b < 0, 0, b);
  while (any(left != 0)) {
    M odd = bit_and(left, 1) != 0;
    result = where(odd, result * base, result);
    base = base * base;
    left = left.template shifted_right<1>();
  }
  Vec<T> of_minus_one = where(bit_and(b, 1) != 0, -1, Vec<T>(1));
  Vec<T> negative = where(a == 1, 1, where(a == -1, of_minus_one, Vec<T>(0)));
  return where(b < 0, negative, result);
}
FG_INLINE VI operator^(VI a, VI b) { return bit_xor(a, b); }
FG_INLINE VL operator^(VL a, VL b) { return bit_xor(a, b); }
FG_INLINE VI fmod(VI a, VI b) { return int_fmod(a, b); }
FG_INLINE VL fmod(VL a, VL b) { return int_fmod(a, b); }
FG_INLINE VI remainder(VI a, VI b) { return int_remainder(a, b); }
FG_INLINE VL remainder(VL a, VL b) { return int_remainder(a, b); }
FG_INLINE VI floor_divide(VI a, VI b) { return int_floor_divide(a, b); }
FG_INLINE VL floor_divide(VL a, VL b) { return int_floor_divide(a, b); }
FG_INLINE VI pow(VI a, VI b) { return int_pow(a, b); }
FG_INLINE VL pow(VL a, VL b) { return int_pow(a, b); }

// ---- half types: N of them in 16 bits each, to and from a vector of float ----
using HalfBits = Raw<uint16_t, kVecBytes / 2>::type;
FG_INLINE HalfBits load_bits16(const uint16_t* from) {
  HalfBits out;
  memcpy(&out, from, sizeof(out));
  return out;
}
FG_INLINE VF::U widen_bits16(HalfBits a) {  // in one instruction; g++ 12 makes five of the conversion
#if defined(__AVX512F__)
  return (VF::U)_mm512_cvtepu16_epi32((__m256i)a);
#elif defined(__AVX2__)
  return (VF::U)_mm256_cvtepu16_epi32((__m128i)a);
#else
  return __builtin_convertvector(a, VF::U);
#endif
}
FG_INLINE void store_bits16(uint16_t* to, VF::U a) {
  HalfBits out = __builtin_convertvector(a, HalfBits);
  memcpy(to, &out, sizeof(out));
}

FG_INLINE VF load_bf16(const uint16_t* from) { return (VF::V)(widen_bits16(load_bits16(from)) << 16); }
FG_INLINE VF::U round_bf16(VF a) {  // in the upper half of each lane
  VF::U u = (VF::U)a.v;
  VF::U rounded = u + 0x7fffu + ((u >> 16) & 1u);  // half to even
  return (VF::U)(a.v != a.v ? (VI::V)(u | 0x400000u) : (VI::V)rounded);
}
FG_INLINE void store_bf16(uint16_t* to, VF a) { store_bits16(to, round_bf16(a) >> 16); }
FG_INLINE void store_bf16(uint16_t* to, VF a, VF b) {  // two vectors
#if defined(__AVX512BW__)
  typedef uint16_t Words __attribute__((vector_size(64)));
  static constexpr Words odd = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  Words out = __builtin_shuffle((Words)round_bf16(a), (Words)round_bf16(b), odd);
  memcpy(to, &out, sizeof(out));
#else
  store_bf16(to, a);
  store_bf16(to + VF::N, b);
#endif
}

#if defined(__AVX512F__)
FG_INLINE VF load_f16(const uint16_t* from) {
  return (VF::V)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
FG_INLINE void store_f16(uint16_t* to, VF a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph((__m512)a.v, _MM_FROUND_TO_NEAREST_INT | 8));
}
#elif defined(__F16C__)
FG_INLINE VF load_f16(const uint16_t* from) {
  return (VF::V)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
FG_INLINE void store_f16(uint16_t* to, VF a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph((__m256)a.v, _MM_FROUND_TO_NEAREST_INT | 8));
}
#else
FG_INLINE VF load_f16(const uint16_t* from) {
  VF::U h = widen_bits16(load_bits16(from));
  VF::U magnitude = (h & 0x7fffu) << 13;
  VF::U sign = (h & 0x8000u) << 16;
  // 2^112 moves the exponent from bias 15 to bias 127 and makes denormals normal; infinity and NaN get the full
  // exponent.
  VF scaled = VF(VF::V((VF::V)magnitude)) * 0x1p112f;
  VF::U special = (VF::U)((VI::V)magnitude >= 0x0f800000);
  return (VF::V)((VF::U)scaled.v | (special & 0x7f800000u) | sign);
}
FG_INLINE void store_f16(uint16_t* to, VF a) {
  VF::U u = (VF::U)a.v;
  VF::U sign = (u >> 16) & 0x8000u;
  VI::V magnitude = (VI::V)(u & 0x7fffffffu);
  VF::U m = (VF::U)magnitude;
  VF::U normal = (m - 0x38000000u + 0xfffu + ((m >> 13) & 1u)) >> 13;
  // Adding 0.5 puts the units of a half denormal at the end of the float's mantissa: the addition rounds.
  VF::U small = (VF::U)((VF::V)m + 0.5f) - 0x3f000000u;
  VF::U out = (VF::U)(magnitude < 0x38800000 ? (VI::V)small : (VI::V)normal);
  out = (VF::U)(magnitude >= 0x47800000 ? (VI::V)(m * 0u + 0x7c00u) : (VI::V)out);
  out = (VF::U)(magnitude > 0x7f800000 ? (VI::V)(m * 0u + 0x7e00u) : (VI::V)out);
  store_bits16(to, out | sign);
}
#endif

FG_INLINE void store_f16(uint16_t* to, VF a, VF b) {
  store_f16(to, a);
  store_f16(to + VF::N, b);
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
