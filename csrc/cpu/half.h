// float16 and bfloat16 to float and back, one number at a time (vec.h has vectors of them): round to nearest even, NaN
// stays NaN, as torch. Also what a stored type is computed in, and how it is loaded and stored.
// Included by kernel files only; everything is internal to the instruction set.
#pragma once
#include <cstdint>
#include <cstring>

#include "cpu/intrinsics.h"

namespace fg::cpu::FG_ISA {
namespace {

struct Float16 {};  // tags: the stored form of both is uint16_t
struct BFloat16 {};

template <class To, class From>
inline To bits_to(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

template <class Half>
inline float half_to_float(uint16_t half) {
  if constexpr (__is_same(Half, BFloat16)) {
    return bits_to<float>(static_cast<uint32_t>(half) << 16);
  } else {
#if defined(__F16C__)
    return _cvtsh_ss(half);
#else
    // The exponent moves by 112; the product is exact, also for denormals.
    const uint32_t magnitude = half & 0x7fffu, sign = (half & 0x8000u) << 16;
    const uint32_t scaled = bits_to<uint32_t>(bits_to<float>(magnitude << 13) * 0x1p112f);
    return bits_to<float>((magnitude >= 0x7c00u ? magnitude << 13 | 0x7f800000u : scaled) | sign);
#endif
  }
}

template <class Half>
inline uint16_t float_to_half(float number) {
  const uint32_t bits = bits_to<uint32_t>(number);
  if constexpr (__is_same(Half, BFloat16)) {
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
  } else {
#if defined(__F16C__)
    return _cvtss_sh(number, _MM_FROUND_TO_NEAREST_INT);
#else
    const uint32_t magnitude = bits & 0x7fffffffu, sign = bits >> 16 & 0x8000u;
    // Below 2^-14 the addition of 0.5 rounds to a multiple of 2^-24, the spacing of half denormals.
    const uint32_t small = bits_to<uint32_t>(bits_to<float>(magnitude) + 0.5f) - 0x3f000000u;
    const uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
    const uint32_t finite = magnitude < 0x38800000u ? small : normal;
    const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
    return static_cast<uint16_t>((magnitude >= 0x477ff000u ? special : finite) | sign);
#endif
  }
}

// What is stored, and what it is computed in.
template <class T>
struct Plain {
  using Stored = T;
  using Wide = T;
  static Wide load(Stored x) { return x; }
  static Stored store(Wide x) { return x; }
};
template <class Half>
struct Halves {
  using Stored = uint16_t;
  using Wide = float;
  static Wide load(Stored x) { return half_to_float<Half>(x); }
  static Stored store(Wide x) { return float_to_half<Half>(x); }
};

}  // namespace
}  // namespace fg::cpu::FG_ISA
