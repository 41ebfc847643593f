// Elements as unsigned keys whose order is that of sorting: NaN last, -0 equal to 0. With the place beside it, a key is
// a record; the same code then serves every dtype. For files of cpu/ that are compiled once.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/backend.h"
#include "cpu/backend_cpu.h"
#include "cpu/parallel.h"

namespace fg::cpu {

enum class Order { natural, with_sign, floating };

template <class K, Order order, int mantissa_bits> struct KeyRule {
  using Key = K;  // also the type in which elements are moved
  static constexpr K kTop = static_cast<K>(K{1} << (sizeof(K) * 8 - 1));
  static constexpr K kNan = static_cast<K>(~K{0});
  static constexpr bool kFloating = order == Order::floating;
  // bits: of the element. Smaller key: earlier in ascending order.
  static K key(K bits) {
    if constexpr (order == Order::natural) return bits;
    if constexpr (order == Order::with_sign) return static_cast<K>(bits ^ kTop);
    constexpr K magnitude_mask = static_cast<K>(kTop - 1);
    constexpr K infinity = static_cast<K>(magnitude_mask >> mantissa_bits << mantissa_bits);
    const K magnitude = static_cast<K>(bits & magnitude_mask);
    const K ordered = static_cast<K>((bits & kTop) && magnitude ? ~bits : bits | kTop);
    return magnitude > infinity ? kNan : ordered;
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

// A key of up to 32 bits and a place below 2^32 share one word, ordered by key, then place.
struct Packed {
  uint64_t word;
  static Packed of(uint64_t key, int64_t place) { return {key << 32 | static_cast<uint64_t>(place)}; }
  uint64_t key() const { return word >> 32; }
  int64_t place() const { return static_cast<int64_t>(word & 0xffffffffu); }
  friend bool operator<(Packed a, Packed b) { return a.word < b.word; }
};
struct Pair {
  uint64_t key_, place_;
  static Pair of(uint64_t key, int64_t place) { return {key, static_cast<uint64_t>(place)}; }
  uint64_t key() const { return key_; }
  int64_t place() const { return static_cast<int64_t>(place_); }
  friend bool operator<(const Pair& a, const Pair& b) {
    return a.key_ != b.key_ ? a.key_ < b.key_ : a.place_ < b.place_;
  }
};
template <class Record> bool key_less(const Record& a, const Record& b) { return a.key() < b.key(); }

// f(rule, record) with the record that fits the dtype and the size of a line.
template <class F> void with_record(DType dtype, int64_t size, const F& f) {
  with_rule(dtype, [&]<class Rule>(Rule rule) {
    if (sizeof(typename Rule::Key) < 8 && size < int64_t{1} << 32) f(rule, Packed());
    else f(rule, Pair());
  });
}

// Memory for records that is given back at the end of the scope.
template <class T> class Scratch {
 public:
  explicit Scratch(int64_t n) : bytes_(static_cast<size_t>(n) * sizeof(T)), data_(static_cast<T*>(scratch(bytes_))) {}
  ~Scratch() { release_scratch(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  T* get() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  size_t bytes_;
  T* data_;
};

template <class F> void for_chunks(int64_t chunks, double cost_ns, const F& body) {
  if (chunks == 1) return body(0);
  parallel_for(
      chunks, static_cast<int64_t>(cost_ns),
      [](void* context, int64_t chunk) { (*static_cast<const F*>(context))(chunk); }, const_cast<F*>(&body));
}
// body(first, last) over lines, so many together that a chunk is worth a thread.
template <class F> void for_lines(int64_t lines, int64_t size, double element_ns, const F& body) {
  const int64_t together = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, size));
  for_chunks((lines + together - 1) / together, element_ns * static_cast<double>(lines) * static_cast<double>(size),
             [&](int64_t chunk) { body(chunk * together, std::min(lines, (chunk + 1) * together)); });
}

}  // namespace fg::cpu
