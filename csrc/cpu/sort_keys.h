// Keys (ops/key_rule.h) with the place beside them: records, so that the same code serves every dtype. For files of
// cpu/ that are compiled once.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/backend.h"
#include "cpu/backend_cpu.h"
#include "cpu/parallel.h"
#include "cpu/words.h"
#include "ops/key_rule.h"

namespace fg::cpu {

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

// The standard library's algorithms by key alone, or by key and place. After records of a word there is room for
// kWordSlack more.
inline void sort_by_key(Packed* r, int64_t n) { word_kernels.sort(&r->word, n, kPlaceBits); }
inline void sort_by_key(Pair* r, int64_t n) { std::sort(r, r + n, key_less<Pair>); }
inline void nth_by_key(Packed* r, int64_t nth, int64_t n) { word_kernels.nth_element(&r->word, nth, n, kPlaceBits); }
inline void nth_by_key(Pair* r, int64_t nth, int64_t n) { std::nth_element(r, r + nth, r + n, key_less<Pair>); }
inline void sort_whole(Packed* r, int64_t n) { word_kernels.sort(&r->word, n, 0); }
inline void sort_whole(Pair* r, int64_t n) { std::sort(r, r + n); }
inline void nth_whole(Packed* r, int64_t nth, int64_t n) { word_kernels.nth_element(&r->word, nth, n, 0); }
inline void nth_whole(Pair* r, int64_t nth, int64_t n) { std::nth_element(r, r + nth, r + n); }

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

// body(first, last) over lines, so many together that a chunk is worth a thread.
template <class F> void for_lines(int64_t lines, int64_t size, double element_ns, const F& body) {
  const int64_t together = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, size));
  for_chunks((lines + together - 1) / together, element_ns * static_cast<double>(lines) * static_cast<double>(size),
             [&](int64_t chunk) { body(chunk * together, std::min(lines, (chunk + 1) * together)); });
}

}  // namespace fg::cpu
