// Stores of a whole register that do not pass through the cache. The address has to be a multiple of its size.
// For kernel files only; everything is internal to the instruction set.
#pragma once
#include <cstring>

#include "cpu/intrinsics.h"

namespace fg::cpu::FG_ISA {
namespace {

template <class Register> __attribute__((always_inline)) inline void stream_register(void* to, Register x) {
#if defined(__AVX512F__)
  if constexpr (sizeof x == 64) return _mm512_stream_si512(static_cast<__m512i*>(to), (__m512i)x);
#endif
#if defined(__AVX2__)
  if constexpr (sizeof x == 32) return _mm256_stream_si256(static_cast<__m256i*>(to), (__m256i)x);
#endif
#if defined(__SSE2__)
  if constexpr (sizeof x == 16) return _mm_stream_si128(static_cast<__m128i*>(to), (__m128i)x);
#endif
  memcpy(to, &x, sizeof x);
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
