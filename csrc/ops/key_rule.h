// Elements as unsigned keys whose order is that of sorting: NaN last, -0 equal to 0. For the kernels of every device.
#pragma once
#include <cstdint>

#include "core/backend.h"
#ifndef FG_HD
#define FG_HD
#endif
#if defined(__CUDACC__)
#define FG_ALWAYS
#else
#define FG_ALWAYS __attribute__((always_inline))  // the code of a file stays in it: its instruction set is its own
#endif

namespace fg {

enum class Order { natural, with_sign, floating };

template <class K, Order order, int mantissa_bits> struct KeyRule {
  using Key = K;  // also the type in which elements are moved
  static constexpr K kTop = static_cast<K>(K{1} << (sizeof(K) * 8 - 1));
  static constexpr K kNan = static_cast<K>(~K{0});
  static constexpr bool kFloating = order == Order::floating;
  // bits: of the element. Smaller key: earlier in ascending order.
  FG_HD FG_ALWAYS static K key(K bits) {
    if constexpr (order == Order::natural) return bits;
    if constexpr (order == Order::with_sign) return static_cast<K>(bits ^ kTop);
    constexpr K magnitude_mask = static_cast<K>(kTop - 1);
    constexpr K infinity = static_cast<K>(magnitude_mask >> mantissa_bits << mantissa_bits);
    const K magnitude = static_cast<K>(bits & magnitude_mask);
    // Negative ones turned round, the sign bit set for the others. Without branches: signs are hard to predict.
    const K value = static_cast<K>(magnitude ? bits : 0), negative = static_cast<K>(value >> (sizeof(K) * 8 - 1));
    const K ordered = static_cast<K>(value ^ (static_cast<K>(-negative) | kTop));
    return magnitude > infinity ? kNan : ordered;
  }
  // Whether one element only has this key, and that element.
  FG_HD FG_ALWAYS static bool one_element(K key) { return order != Order::floating || (key != kTop && key != kNan); }
  FG_HD FG_ALWAYS static K element(K key) {
    if constexpr (order == Order::natural) return key;
    if constexpr (order == Order::with_sign) return static_cast<K>(key ^ kTop);
    return static_cast<K>(key & kTop ? key ^ kTop : static_cast<K>(~key));
  }
};

// f(KeyRule) for a dtype.
template <class F> auto with_rule(DType dtype, const F& f) {
  switch (dtype) {
    case DType::Bool:
    case DType::UInt8: return f(KeyRule<uint8_t, Order::natural, 0>());
    case DType::Int8: return f(KeyRule<uint8_t, Order::with_sign, 0>());
    case DType::Int16: return f(KeyRule<uint16_t, Order::with_sign, 0>());
    case DType::Int32: return f(KeyRule<uint32_t, Order::with_sign, 0>());
    case DType::Int64: return f(KeyRule<uint64_t, Order::with_sign, 0>());
    case DType::Float16: return f(KeyRule<uint16_t, Order::floating, 10>());
    case DType::BFloat16: return f(KeyRule<uint16_t, Order::floating, 7>());
    case DType::Float32: return f(KeyRule<uint32_t, Order::floating, 23>());
    default: return f(KeyRule<uint64_t, Order::floating, 52>());
  }
}

}  // namespace fg
