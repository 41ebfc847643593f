// Words to random numbers: one transform for each kind of fill. A transform gets tempered words in a small buffer and
// writes `count` elements from `first` on, in torch's arithmetic, rounded to the dtype last. None depends on another
// (shuffles do), so any thread may run it. Plain loops that the compiler makes vectors of, for kernels/random.cpp.
#pragma once
#include "core/backend.h"
#include "cpu/half.h"
#include "cpu/random_math.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kWords = 1024;  // words that one call of a transform gets, at most

struct Fill {
  void (*transform)(const Fill& fill, const uint32_t* words, int64_t first, int64_t count);
  void* out;
  DType dtype;
  int32_t words_per;  // words of one element: 1, 2 or 4 (a pair of normals)
  int64_t n;          // elements
  int64_t cost_ps;    // time of one element
  bool ordered;       // the transforms depend on each other: one thread, in order
  bool exponential;   // serial normals: take exp of them
  double a, b;
  double (*value)(const Fill& fill, double u);
  uint64_t range, reciprocal;  // integers
  int64_t lo;
  uint64_t one;  // bernoulli: the bits of 1 in the output
  const void* probs;
  DType probs_dtype;
};

// ---- storing -------------------------------------------------------------------------------------------------------
struct HalfBits {
  uint16_t bits;
};
struct BFloatBits {
  uint16_t bits;
};

// From whatever was computed to the element type, with torch's intermediate steps: halves always go through float.
template <class To, class From>
inline void assign(To& to, From x) {
  to = static_cast<To>(x);
}
template <class From>
inline void assign(HalfBits& to, From x) {
  to.bits = float_to_half<Float16>(static_cast<float>(x));
}
template <class From>
inline void assign(BFloatBits& to, From x) {
  to.bits = float_to_half<BFloat16>(static_cast<float>(x));
}
template <class From>
inline void assign(bool& to, From x) {
  to = x != 0;
}

template <class To, class From>
void store_as(void* out, int64_t first, const From* x, int64_t count) {
  To* to = static_cast<To*>(out) + first;
  for (int64_t i = 0; i < count; i++) assign(to[i], x[i]);
}

#if defined(__F16C__)
template <>
void store_as<HalfBits, float>(void* out, int64_t first, const float* x, int64_t count) {
  HalfBits* to = static_cast<HalfBits*>(out) + first;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  for (; i < count; i++) assign(to[i], x[i]);
}
#endif

template <class From>
void store(const Fill& fill, int64_t first, const From* x, int64_t count) {
  switch (fill.dtype) {
    case DType::Bool: return store_as<bool>(fill.out, first, x, count);
    case DType::UInt8: return store_as<uint8_t>(fill.out, first, x, count);
    case DType::Int8: return store_as<int8_t>(fill.out, first, x, count);
    case DType::Int16: return store_as<int16_t>(fill.out, first, x, count);
    case DType::Int32: return store_as<int32_t>(fill.out, first, x, count);
    case DType::Int64: return store_as<int64_t>(fill.out, first, x, count);
    case DType::Float16: return store_as<HalfBits>(fill.out, first, x, count);
    case DType::BFloat16: return store_as<BFloatBits>(fill.out, first, x, count);
    case DType::Float32: return store_as<float>(fill.out, first, x, count);
    case DType::Float64: return store_as<double>(fill.out, first, x, count);
    default: return;
  }
}

inline void store_half(const Fill& fill, int64_t first, const float* x, int64_t count) {
  if (fill.dtype == DType::Float16) return store_as<HalfBits>(fill.out, first, x, count);
  store_as<BFloatBits>(fill.out, first, x, count);
}

// One rounding to the dtype of a fill and back.
double rounded(DType dtype, double x) {
  switch (dtype) {
    case DType::Float16: return half_to_float<Float16>(float_to_half<Float16>(static_cast<float>(x)));
    case DType::BFloat16: return half_to_float<BFloat16>(float_to_half<BFloat16>(static_cast<float>(x)));
    case DType::Float32: return static_cast<float>(x);
    default: return x;
  }
}

int64_t element_size(DType dtype) {
  switch (dtype) {
#define X(name, bytes, compute) \
  case DType::name: return bytes;
    FG_DTYPES(X)
#undef X
    default: return 0;
  }
}

// ---- uniform -------------------------------------------------------------------------------------------------------
void uniform_f32(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  float buffer[kWords];
  bool direct = fill.dtype == DType::Float32;
  float* y = direct ? static_cast<float*>(fill.out) + first : buffer;
  float a = static_cast<float>(fill.a), b = static_cast<float>(fill.b), scale = b - a;
  if (a == 0) {  // fma(u, scale, 0) is a plain product
    for (int64_t i = 0; i < count; i++) y[i] = unit24(words[i]) * scale;
  } else {
    for (int64_t i = 0; i < count; i++) y[i] = fma(unit24(words[i]), scale, a);
  }
  if (direct) {
    for (int64_t i = 0; i < count; i++) y[i] = y[i] == b ? a : y[i];
    return;
  }
  store_half(fill, first, y, count);
  uint16_t* h = static_cast<uint16_t*>(fill.out) + first;
  bool half = fill.dtype == DType::Float16;
  uint16_t from = half ? float_to_half<Float16>(a) : float_to_half<BFloat16>(a);
  uint16_t to = half ? float_to_half<Float16>(b) : float_to_half<BFloat16>(b);
  uint16_t sign = (to & 0x7fff) == 0 ? 0x7fff : 0xffff;  // both zeros are equal
  to &= sign;
  for (int64_t i = 0; i < count; i++) h[i] = (h[i] & sign) == to ? from : h[i];
}

void uniform_f64(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  double* y = static_cast<double*>(fill.out) + first;
  double a = fill.a, b = fill.b, scale = b - a;
  if (a == 0) {
    for (int64_t i = 0; i < count; i++) y[i] = unit53(words, i) * scale;
  } else {
    for (int64_t i = 0; i < count; i++) y[i] = fma(unit53(words, i), scale, a);
  }
  for (int64_t i = 0; i < count; i++) y[i] = y[i] == b ? a : y[i];
}

// ---- normal --------------------------------------------------------------------------------------------------------
// Groups of 16: element j and j + 8 are a pair. They are brought side by side first, so that one loop has any width.
void normal_f32(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  float u1[kWords / 2], u2[kWords / 2], buffer[kWords];
  float* y = fill.dtype == DType::Float32 ? static_cast<float*>(fill.out) + first : buffer;
  float mean = static_cast<float>(fill.a), std = static_cast<float>(fill.b);
  int64_t pairs = count / 2;
  for (int64_t i = 0; i < pairs; i += 8) {
    for (int64_t k = 0; k < 8; k++) u1[i + k] = unit24(words[2 * i + k]);
    for (int64_t k = 0; k < 8; k++) u2[i + k] = unit24(words[2 * i + 8 + k]);
  }
  for (int64_t i = 0; i < pairs; i++) {
    float r = __builtin_sqrtf(-2.0f * log_f32(1.0f - u1[i])), s, c;
    sincos_f32(6.283185307179586f * u2[i], &s, &c);
    u1[i] = fma(r * c, std, mean);
    u2[i] = fma(r * s, std, mean);
  }
  for (int64_t i = 0; i < pairs; i += 8) {
    for (int64_t k = 0; k < 8; k++) y[2 * i + k] = u1[i + k];
    for (int64_t k = 0; k < 8; k++) y[2 * i + 8 + k] = u2[i + k];
  }
  if (y == buffer) store_half(fill, first, y, count);
}

void normal_f64(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  double* y = static_cast<double*>(fill.out) + first;
  for (int64_t i = 0; i < count; i += 16) {
    for (int64_t k = i; k < i + 8; k++) {
      double r = __builtin_sqrt(-2.0 * ::log(1.0 - unit53(words, k))), t = 2.0 * kPi * unit53(words, k + 8);
      y[k] = fma(r * ::cos(t), fill.b, fill.a);
      y[k + 8] = fma(r * ::sin(t), fill.b, fill.a);
    }
  }
}

// The serial path: an element is a pair of values, written at 2 * first. `out` is already past a cached first value.
void normal_pairs(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  double y[kWords / 2];
  for (int64_t i = 0; i < count; i++) {
    double u1 = unit53(words, 2 * i), u2 = unit53(words, 2 * i + 1);
    double r = __builtin_sqrt(-2.0 * ::log1p(-u2)), t = 2.0 * kPi * u1;
    y[2 * i] = fma(r * ::cos(t), fill.b, fill.a);
    y[2 * i + 1] = fma(r * ::sin(t), fill.b, fill.a);
  }
  if (fill.exponential) {
    for (int64_t i = 0; i < 2 * count; i++) y[i] = ::exp(y[i]);
  }
  store(fill, 2 * first, y, 2 * count);
}

// ---- one double of 53 bits per element -----------------------------------------------------------------------------
double exponential_value(const Fill& fill, double u) { return (-1.0 / fill.a) * ::log1p(-u); }
double geometric_value(const Fill& fill, double u) { return ::ceil(::log(u) / fill.b); }
double cauchy_value(const Fill& fill, double u) { return fma(fill.b, ::tan(kPi * (u - 0.5)), fill.a); }

void by_value(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  double y[kWords / 2];
  for (int64_t i = 0; i < count; i++) y[i] = fill.value(fill, unit53(words, i));
  store(fill, first, y, count);
}

// exponential in float: a fast logarithm is enough wherever both ends of its error round to the same float. 1 - u is
// exact, so log1p(-u) is its logarithm. The rest, about one in a million, and zeros take libm's: every bit is torch's.
void exponential_f32(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  float buffer[kWords / 2];
  int32_t unsure[kWords / 2];
  float* y = fill.dtype == DType::Float32 ? static_cast<float*>(fill.out) + first : buffer;
  double scale = -1.0 / fill.a;
  int32_t any = 0;
  for (int64_t i = 0; i < count; i++) {
    double x = scale * log_f64(1.0 - unit53(words, i));
    float low = static_cast<float>(x * (1.0 - 0x1p-48)), high = static_cast<float>(x * (1.0 + 0x1p-48));
    y[i] = low;
    unsure[i] = (low == high) & (low != 0) ? 0 : 1;
    any |= unsure[i];
  }
  for (int64_t i = 0; any && i < count; i++) {
    if (unsure[i]) y[i] = static_cast<float>(exponential_value(fill, unit53(words, i)));
  }
  if (y == buffer) store_half(fill, first, y, count);
}

// ---- bernoulli -----------------------------------------------------------------------------------------------------
template <class T>
void write_ones(const Fill& fill, int64_t first, const uint8_t* set, int64_t count) {
  T* y = static_cast<T*>(fill.out) + first;
  T one = static_cast<T>(fill.one);
  for (int64_t i = 0; i < count; i++) y[i] = set[i] ? one : T{0};
}

void write_ones(const Fill& fill, int64_t first, const uint8_t* set, int64_t count) {
  switch (element_size(fill.dtype)) {
    case 1: return write_ones<uint8_t>(fill, first, set, count);
    case 2: return write_ones<uint16_t>(fill, first, set, count);
    case 4: return write_ones<uint32_t>(fill, first, set, count);
    default: return write_ones<uint64_t>(fill, first, set, count);
  }
}

// u53 < p as integers: range holds ceil(p 2^53).
void bernoulli(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  uint8_t set[kWords / 2];
  int64_t limit = static_cast<int64_t>(fill.range);
  for (int64_t i = 0; i < count; i++) set[i] = static_cast<int64_t>(word64(words, i) & kMask53) < limit;
  write_ones(fill, first, set, count);
}

void bernoulli_probs_f64(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  uint8_t set[kWords / 2];
  const double* p = static_cast<const double*>(fill.probs) + first;
  for (int64_t i = 0; i < count; i++) set[i] = unit53(words, i) < p[i];
  write_ones(fill, first, set, count);
}

void bernoulli_probs_f32(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  uint8_t set[kWords];
  float wide[kWords];
  const float* p = wide;
  const uint16_t* h = static_cast<const uint16_t*>(fill.probs) + first;
  if (fill.probs_dtype == DType::Float16) {
    for (int64_t i = 0; i < count; i++) wide[i] = half_to_float<Float16>(h[i]);
  } else if (fill.probs_dtype == DType::BFloat16) {
    for (int64_t i = 0; i < count; i++) wide[i] = half_to_float<BFloat16>(h[i]);
  } else {
    p = static_cast<const float*>(fill.probs) + first;
  }
  for (int64_t i = 0; i < count; i++) set[i] = unit24(words[i]) < p[i];
  write_ones(fill, first, set, count);
}

// ---- integers ------------------------------------------------------------------------------------------------------
// The high half of a product with floor(2^32 / range) is the quotient or one less: one conditional subtraction is left.
void integers_narrow(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  uint32_t rest[kWords];
  uint32_t range = static_cast<uint32_t>(fill.range), reciprocal = static_cast<uint32_t>(fill.reciprocal);
  for (int64_t i = 0; i < count; i++) {
    uint32_t quotient = static_cast<uint32_t>(uint64_t{words[i]} * reciprocal >> 32);
    uint32_t r = words[i] - quotient * range, lower = r - range;
    rest[i] = r < lower ? r : lower;
  }
  int64_t last = fill.lo + static_cast<int64_t>(range) - 1;
  if (fill.lo >= INT32_MIN && last <= INT32_MAX) {
    int32_t y[kWords], lo = static_cast<int32_t>(fill.lo);
    for (int64_t i = 0; i < count; i++) y[i] = static_cast<int32_t>(rest[i] + static_cast<uint32_t>(lo));
    store(fill, first, y, count);
  } else {
    int64_t y[kWords];
    for (int64_t i = 0; i < count; i++) y[i] = fill.lo + static_cast<int64_t>(rest[i]);
    store(fill, first, y, count);
  }
}

void integers_wide(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  int64_t y[kWords / 2];
  uint64_t range = fill.range, lo = static_cast<uint64_t>(fill.lo);
  if ((range & (range - 1)) == 0) {  // a power of two, or 0 for all 64 bits
    for (int64_t i = 0; i < count; i++) y[i] = static_cast<int64_t>((word64(words, i) & (range - 1)) + lo);
  } else {
    for (int64_t i = 0; i < count; i++) {
      uint64_t w = word64(words, i);
      uint64_t quotient = static_cast<uint64_t>(static_cast<unsigned __int128>(w) * fill.reciprocal >> 64);
      uint64_t r = w - quotient * range;
      y[i] = static_cast<int64_t>((r >= range ? r - range : r) + lo);
    }
  }
  store(fill, first, y, count);
}

// ---- permutations --------------------------------------------------------------------------------------------------
// Swap i with i + w % (n - i). The quotient of two 32-bit integers, rounded to double, truncates to the right integer.
// Works on 32-bit positions in the first half of the output.
void shuffle(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  constexpr int64_t kAhead = 32;
  int32_t target[kWords + kAhead];
  int32_t* order = static_cast<int32_t*>(fill.out) + first;
  double choices = static_cast<double>(fill.range - static_cast<uint64_t>(first));
  for (int32_t i = 0; i < static_cast<int32_t>(count); i++) {
    double w = static_cast<double>(static_cast<int32_t>(words[i] ^ 0x80000000u)) + 0x1p31;
    double size = choices - i;
    uint32_t quotient = static_cast<uint32_t>(static_cast<int32_t>(w / size));
    target[i] = i + static_cast<int32_t>(words[i] - quotient * static_cast<uint32_t>(static_cast<int32_t>(size)));
  }
  for (int64_t i = count; i < count + kAhead; i++) target[i] = 0;
  for (int64_t i = 0; i < count; i++) {
    __builtin_prefetch(order + target[i + kAhead], 1);
    int32_t moved = order[i];
    order[i] = order[target[i]];
    order[target[i]] = moved;
  }
}

void shuffle_large(const Fill& fill, const uint32_t* words, int64_t first, int64_t count) {
  int64_t* order = static_cast<int64_t*>(fill.out);
  for (int64_t i = 0; i < count; i++) {
    int64_t at = first + i, target = static_cast<int64_t>(word64(words, i) % static_cast<uint64_t>(at + 1));
    order[at] = order[target];
    order[target] = at;
  }
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
