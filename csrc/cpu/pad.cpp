// Padding: rows of the extended tensor, each a row of the other with both ends added, or a row of the value. Only moves
// (and, for the gradient, additions of rows), so it is compiled once.
#include <algorithm>
#include <cstring>

#include "cpu/backend_cpu.h"
#include "cpu/parallel.h"
#include "ops/pad_rule.h"

namespace fg::cpu {
namespace {

constexpr int64_t kChunkBytes = int64_t{1} << 16;

PaddedDim<int64_t> dimension(const PadArgs& a, int d) { return {a.border, a.sizes[d], a.before[d], a.after[d]}; }

// The rows of the extended tensor: which row of the other belongs to each, -1: none.
struct Rows {
  const PadArgs& args;
  int64_t length, middle, skip, begin;  // of a row; what is in both: so much, from `skip` on, and to `begin`
  int64_t count = 1, planes = 1;        // planes: rows that share no row of the other
  explicit Rows(const PadArgs& a) : args(a) {
    length = a.sizes[0] + a.before[0] + a.after[0];
    middle = std::max<int64_t>(a.sizes[0] + std::min<int64_t>(a.before[0], 0) + std::min<int64_t>(a.after[0], 0), 0);
    skip = std::max<int64_t>(-a.before[0], 0);
    begin = std::min(std::max<int64_t>(a.before[0], 0), length);
    for (int d = 1; d < a.ndim; ++d) {
      count *= extended(d);
      planes = a.before[d] || a.after[d] ? 1 : planes * a.sizes[d];
    }
  }
  int64_t extended(int d) const { return args.sizes[d] + args.before[d] + args.after[d]; }
  int64_t source(int64_t row) const {
    int64_t stride = 1, place = 0;
    for (int d = 1; d < args.ndim; ++d) {
      const int64_t n = d + 1 < args.ndim ? extended(d) : row + 1, next = row / n;
      const int64_t from = dimension(args, d).source(row - next * n - args.before[d]);
      if (from < 0) return -1;
      place += from * stride;
      stride *= args.sizes[d];
      row = next;
    }
    return place;
  }
};

template <class S> void pad_rows(const PadArgs& a) {
  const Rows rows(a);
  const PaddedDim<int64_t> inner = dimension(a, 0);
  S value;
  std::memcpy(&value, a.value, sizeof(S));
  const int64_t bytes = rows.length * static_cast<int64_t>(sizeof(S));
  const int64_t together = std::max<int64_t>(1, kChunkBytes / std::max<int64_t>(1, bytes));
  const double cost = static_cast<double>(rows.count * (8 + bytes / 16));
  for_chunks((rows.count + together - 1) / together, cost, [&](int64_t chunk) {
    const int64_t last = std::min(rows.count, (chunk + 1) * together);
    S* out = static_cast<S*>(a.out) + chunk * together * rows.length;
    for (int64_t row = chunk * together; row < last; ++row, out += rows.length) {
      const int64_t source = rows.source(row), end = rows.begin + rows.middle;
      if (source < 0) {
        std::fill_n(out, rows.length, value);
        continue;
      }
      const S* in = static_cast<const S*>(a.in) + source * a.sizes[0];
      if (a.border == Border::constant) {
        std::fill(out, out + rows.begin, value);
        std::fill(out + end, out + rows.length, value);
      } else {
        const auto outside = [&](int64_t i) { out[i] = in[inner.source(i - a.before[0])]; };
        for (int64_t i = 0; i < rows.begin; ++i) outside(i);
        for (int64_t i = end; i < rows.length; ++i) outside(i);
      }
      std::memcpy(out + rows.begin, in + rows.skip, static_cast<size_t>(rows.middle) * sizeof(S));
    }
  });
}

template <class T> void add_rows(const PadArgs& a) {
  const Rows rows(a);
  const PaddedDim<int64_t> inner = dimension(a, 0);
  const int64_t height = rows.count / rows.planes, planes = rows.planes;
  int64_t plane = a.sizes[0];
  for (int d = 1; d < a.ndim; ++d) plane *= a.sizes[d];
  plane /= planes;
  const int64_t bytes = height * rows.length * static_cast<int64_t>(sizeof(T));
  const int64_t together = std::max<int64_t>(1, kChunkBytes / std::max<int64_t>(1, bytes));
  const double cost = static_cast<double>(planes * (height * 8 + bytes / 12));
  for_chunks((planes + together - 1) / together, cost, [&](int64_t chunk) {
    const int64_t first = chunk * together, last = std::min(planes, first + together);
    T* gx = static_cast<T*>(a.out);
    std::fill(gx + first * plane, gx + last * plane, T{0});
    const T* g = static_cast<const T*>(a.in) + first * height * rows.length;
    for (int64_t row = first * height; row < last * height; ++row, g += rows.length) {
      T* to = gx + rows.source(row) * a.sizes[0];
      const auto outside = [&](int64_t i) { to[inner.source(i - a.before[0])] += g[i]; };
      for (int64_t i = 0; i < rows.begin; ++i) outside(i);
      for (int64_t i = rows.begin + rows.middle; i < rows.length; ++i) outside(i);
      T* __restrict sums = to + rows.skip;
      const T* terms = g + rows.begin;
      for (int64_t i = 0; i < rows.middle; ++i) sums[i] += terms[i];
    }
  });
}

struct Sixteen {
  uint64_t low, high;
};

}  // namespace

void pad(const PadArgs& args) {
  constexpr int64_t bytes[] = {
#define X(name, bytes, compute) bytes,
      FG_DTYPES(X)
#undef X
  };
  switch (bytes[static_cast<int>(args.dtype)]) {
    case 1: return pad_rows<uint8_t>(args);
    case 2: return pad_rows<uint16_t>(args);
    case 4: return pad_rows<uint32_t>(args);
    case 8: return pad_rows<uint64_t>(args);
    default: return pad_rows<Sixteen>(args);
  }
}

void pad_grad(const PadArgs& args) {
  if (args.dtype == DType::Float32) add_rows<float>(args);
  else add_rows<double>(args);
}

}  // namespace fg::cpu
