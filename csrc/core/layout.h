// Arithmetic of sizes, strides and offsets that callers may give as any 64-bit number: nothing here wraps around.
//
// The layout of a tensor with elements lies in its storage, so what addresses an element fits by itself. Beyond that
// are arguments that nobody has checked yet, and strides that are never stepped over: those of a lone element and of a
// tensor without elements may have any size.
#pragma once
#include <optional>

#include "core/tensor.h"

namespace fg {

__extension__ using Wide = __int128;  // holds a product of two numbers, and sums of such

inline constexpr int64_t kFarthest = int64_t{1} << 58;  // the largest offset: in bytes it fits as well

inline bool fits(Wide v) { return v == static_cast<int64_t>(v); }
// The nearest 64-bit number, for texts and for strides that nobody steps over.
inline int64_t nearest(Wide v) { return fits(v) ? static_cast<int64_t>(v) : v < 0 ? INT64_MIN : INT64_MAX; }

inline int64_t stride_times(int64_t stride, int64_t n) {
  int64_t out;
  return __builtin_mul_overflow(stride, n, &out) ? nearest(Wide{stride} * n) : out;
}
inline int64_t stride_sum(int64_t a, int64_t b) {
  int64_t out;
  return __builtin_add_overflow(a, b, &out) ? nearest(Wide{a} + b) : out;
}
// `offset` moved by n steps, which only in a tensor without elements can lead too far: then it stays.
inline int64_t moved(int64_t offset, int64_t n, int64_t stride) {
  int64_t way, place;
  if (__builtin_mul_overflow(n, stride, &way) || __builtin_add_overflow(offset, way, &place) || place > kFarthest)
      [[unlikely]]
    return offset;
  return place;
}
[[noreturn, gnu::cold]] void fail_size();
// A size that is a product.
inline int64_t size_times(int64_t a, int64_t b) {
  int64_t out;
  if (__builtin_mul_overflow(a, b, &out)) [[unlikely]]
    fail_size();
  return out;
}

// Elements from the lowest place of a layout to behind its highest one, 0 without elements; nothing where 64 bits do
// not count them. Strides are not negative.
inline std::optional<int64_t> span_of(Dims sizes, Dims strides) {
  int64_t span = 1;
  bool fit = true;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0) return 0;
    int64_t reach;
    fit &= !__builtin_mul_overflow(sizes[i] - 1, strides[i], &reach) && !__builtin_add_overflow(span, reach, &span);
  }
  return fit ? std::optional(span) : std::nullopt;
}

}  // namespace fg
