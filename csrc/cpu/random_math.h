// What random numbers are computed with: words to the unit interval, fused multiply-adds, torch's float log and sincos.
//
// normal_ must give torch's bits, and torch's floats are Cephes polynomials in one fixed order of fused multiply-adds.
// Therefore fused steps are spelled out, and no other product that is not exact is followed by an addition: there is
// nothing left for the compiler to contract. Included by kernels/random.cpp only.
#pragma once
#include <math.h>

#include <cstdint>

namespace fg::cpu::FG_ISA {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr uint64_t kMask53 = (uint64_t{1} << 53) - 1;

inline uint32_t bits_of(float x) { return __builtin_bit_cast(uint32_t, x); }
inline float float_of(uint32_t x) { return __builtin_bit_cast(float, x); }
inline double double_of(uint64_t x) { return __builtin_bit_cast(double, x); }

inline float unit24(uint32_t w) { return static_cast<float>(static_cast<int32_t>(w & 0xffffffu)) * 0x1p-24f; }

inline uint64_t word64(const uint32_t* words, int64_t i) { return uint64_t{words[2 * i]} << 32 | words[2 * i + 1]; }

// 53 bits over 2^53. The halves become doubles by their place in a mantissa: every step is exact and has a vector form.
inline double unit53(const uint32_t* words, int64_t i) {
  double high = double_of(0x4330000000000000u | (words[2 * i] & 0x1fffffu)) - 0x1p52;
  double low = double_of(0x4330000000000000u | words[2 * i + 1]) - 0x1p52;
  return (high * 0x1p32 + low) * 0x1p-53;
}

#if defined(__FMA__) || !defined(__x86_64__)
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
// One rounding without the instruction: the product of two floats is exact in double; the sum is rounded to odd there,
// so that rounding it again to float cannot go wrong. A call of fmaf would have no vector form.
inline float fma(float a, float b, float c) {
  double product = static_cast<double>(a) * b, addend = c;
  double sum = product + addend, back = sum - product;
  double error = (product - (sum - back)) + (addend - back);
  int64_t bits = __builtin_bit_cast(int64_t, sum);
  int64_t outwards = (bits ^ __builtin_bit_cast(int64_t, error)) < 0 ? -1 : 1;
  int64_t step = __builtin_fabs(error) > 0 ? outwards : 0;
  int64_t moved = bits + step;
  return static_cast<float>(__builtin_bit_cast(double, bits & 1 ? bits : moved));
}
inline double fma(double a, double b, double c) { return ::fma(a, b, c); }
#endif

// Cephes logf for x in (0, 1].
inline float log_f32(float x) {
  uint32_t bits = bits_of(x);
  float e = static_cast<float>(static_cast<int32_t>(bits >> 23) - 126);
  float m = float_of((bits & 0x007fffffu) | 0x3f000000u);
  bool low = m < 0.707106781186547524f;
  e = low ? e - 1.0f : e;
  float f = m - 1.0f;
  f = low ? f + m : f;
  float z = f * f, y = 7.0376836292e-2f;
  y = fma(y, f, -1.1514610310e-1f);
  y = fma(y, f, 1.1676998740e-1f);
  y = fma(y, f, -1.2420140846e-1f);
  y = fma(y, f, 1.4249322787e-1f);
  y = fma(y, f, -1.6668057665e-1f);
  y = fma(y, f, 2.0000714765e-1f);
  y = fma(y, f, -2.4999993993e-1f);
  y = fma(y, f, 3.3333331174e-1f);
  y = y * f;
  y = fma(y, z, e * -2.12194440e-4f);
  y = fma(z, -0.5f, y);
  return fma(e, 0.693359375f, f + y);
}

// Cephes sinf and cosf for t in [0, 2 pi).
inline void sincos_f32(float t, float* sine, float* cosine) {
  int32_t j = (static_cast<int32_t>(t * 1.27323954473516f) + 1) & ~1;
  float k = static_cast<float>(j);
  t = fma(k, -0.78515625f, t);
  t = fma(k, -2.4187564849853515625e-4f, t);
  t = fma(k, -3.77489497744594108e-8f, t);
  float z = t * t;
  float c = 2.443315711809948e-5f;
  c = fma(c, z, -1.388731625493765e-3f);
  c = fma(c, z, 4.166664568298827e-2f);
  c = fma(c * z, z, -(0.5f * z)) + 1.0f;
  float s = -1.9515295891e-4f;
  s = fma(s, z, 8.3321608736e-3f);
  s = fma(s, z, -1.6666654611e-1f);
  s = fma(s * z, t, t);
  bool swap = (j & 2) != 0;
  uint32_t sine_sign = (static_cast<uint32_t>(j) & 4u) << 29;
  uint32_t cosine_sign = (~static_cast<uint32_t>(j - 2) & 4u) << 29;
  *sine = float_of(bits_of(swap ? c : s) ^ sine_sign);
  *cosine = float_of(bits_of(swap ? s : c) ^ cosine_sign);
}

// log of v in [2^-53, 1], error below 2^-50: v = m 2^e, log m = 2 atanh(s) with s = (m - 1) / (m + 1), |s| < 0.172.
inline double log_f64(double v) {
  uint64_t bits = __builtin_bit_cast(uint64_t, v);
  uint64_t shifted = bits - 0x3fe6a09e667f3bcdu;  // the mantissa is taken from [sqrt 1/2, sqrt 2)
  int32_t exponent = static_cast<int32_t>(shifted >> 32) >> 20;
  double e = exponent, m = double_of(bits - (static_cast<uint64_t>(static_cast<int64_t>(exponent)) << 52));
  double f = m - 1.0, s = f / (m + 1.0), z = s * s;
  double y = 1.0 / 21;
  y = y * z + 1.0 / 19;
  y = y * z + 1.0 / 17;
  y = y * z + 1.0 / 15;
  y = y * z + 1.0 / 13;
  y = y * z + 1.0 / 11;
  y = y * z + 1.0 / 9;
  y = y * z + 1.0 / 7;
  y = y * z + 1.0 / 5;
  y = y * z + 1.0 / 3;
  y = 2.0 * s + 2.0 * s * (z * y);
  return y + e * 0x1.62e42fefa39efp-1;
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
