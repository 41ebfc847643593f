// Copies within one dtype whose fastest dimension is short: channels last, interleaved pairs, small transposed blocks.
// A row of such a dimension is too little work for one step of the general loop. So steps are planes: the fastest
// dimension of the output times the one along which the input runs, both in registers as far as they go.
//
// Items that lie together on both sides (a short row that only moves) are first joined into one wider item.
// For kernel files only; all of it is internal.
#pragma once
#include "cpu/loops.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kShortestRun = 32;                      // bytes that are worth a step of their own
constexpr int64_t kShortInner = 16;                       // items of a dimension that is short
constexpr int64_t kPlaneBytes = 32768;                    // of output that the planes of one piece may spread over
constexpr int64_t kPlanesChunk = int64_t{1} << 16;        // bytes
constexpr int64_t kPlanesPastCaches = int64_t{20} << 20;  // bytes of output from which on woven rows are written so

// Strides in bytes; [0] and [1] of sizes, to and from are the plane, the others are walked, in order.
struct Planes {
  using Fn = void (*)(const Planes&, char* to, const char* from, int64_t width, int64_t height);
  Fn fn;
  char* out;
  const char* in;
  int ndim, cut;          // `cut` and the next walk over pieces of dimensions 1 and 0,
  int64_t rows, columns;  // which have so many items in all, and sizes[1] and sizes[0] in a piece
  int64_t units, units_per_chunk;
  bool past_caches;
  int64_t sizes[kMaxDims + 2], to[kMaxDims + 2], from[kMaxDims + 2];
};

template <int bytes> struct Item {
  char byte[bytes];
};
template <> struct Item<1> {
  uint8_t word;
};
template <> struct Item<2> {
  uint16_t word;
};
template <> struct Item<4> {
  uint32_t word;
};
template <> struct Item<8> {
  uint64_t word;
};

// Rows of `width` neighbours in the output, out of as many streams of the input.
template <int bytes, int width>
void weave_part(char* to, const char* from, int64_t stream, int64_t height) {
  using S = Item<bytes>;
  const S* in[width];
  for (int k = 0; k < width; ++k) in[k] = reinterpret_cast<const S*>(from + k * stream);
  S* __restrict out = reinterpret_cast<S*>(to);
  for (int64_t j = 0; j < height; ++j)
    for (int k = 0; k < width; ++k) out[j * width + k] = in[k][j];
}
template <int bytes, int width>
void weave(char* to, const char* from, int64_t stream, int64_t height, bool past_caches) {
  // The streams are short, as many as channels: what reads ahead by itself finds each too late.
  constexpr int64_t kAhead = 2048;
  for (int64_t j = 0; j < height && height * bytes <= kAhead; j += 64 / bytes)
    for (int k = 0; k < width; ++k) __builtin_prefetch(from + k * stream + j * bytes + kAhead);
  if (!past_caches) return weave_part<bytes, width>(to, from, stream, height);
  alignas(64) char part[2048];
  constexpr int64_t kPart = static_cast<int64_t>(sizeof part) / (bytes * width);
  for (int64_t j = 0; j < height; j += kPart) {
    const int64_t n = height - j < kPart ? height - j : kPart;
    weave_part<bytes, width>(part, from + j * bytes, stream, n);
    stream_bytes(to + j * bytes * width, part, n * bytes * width);
  }
}

template <int bytes>
void plane(const Planes& planes, char* to, const char* from, int64_t width, int64_t height) {
  using S = Item<bytes>;
  const int64_t to0 = planes.to[0], to1 = planes.to[1], from0 = planes.from[0], from1 = planes.from[1];
  if (to0 == bytes && from1 == bytes) {
    if (to1 == width * bytes) {
      switch (width) {
        case 2: return weave<bytes, 2>(to, from, from0, height, planes.past_caches);
        case 3: return weave<bytes, 3>(to, from, from0, height, planes.past_caches);
        case 4: return weave<bytes, 4>(to, from, from0, height, planes.past_caches);
        default: break;
      }
    }
    if constexpr (bytes == 4) {
      if (width >= 4 && from0 % 4 == 0 && to1 % 4 == 0)
        return gather_tile_items<uint32_t>(to, to1 / 4, from, from0 / 4, 1, static_cast<int>(width),
                                           static_cast<int>(height));
    }
  }
  for (int64_t j = 0; j < height; ++j, to += to1, from += from1) {
    for (int64_t i = 0; i < width; ++i) __builtin_memcpy(to + i * to0, from + i * from0, sizeof(S));
  }
}

Planes::Fn plane_of(int64_t bytes) {
  switch (bytes) {
    case 1: return plane<1>;
    case 2: return plane<2>;
    case 3: return plane<3>;
    case 4: return plane<4>;
    case 6: return plane<6>;
    case 8: return plane<8>;
    case 12: return plane<12>;
    case 16: return plane<16>;
    case 24: return plane<24>;
    default: return nullptr;
  }
}

void planes_chunk(void* context, int64_t chunk) {
  const Planes& planes = *static_cast<const Planes*>(context);
  const int64_t first = chunk * planes.units_per_chunk;
  const int64_t last = first + planes.units_per_chunk < planes.units ? first + planes.units_per_chunk : planes.units;
  int64_t at[kMaxDims + 2], rest = first;
  char* to = planes.out;
  const char* from = planes.in;
  for (int d = 2; d < planes.ndim; ++d) {
    at[d] = rest % planes.sizes[d];
    rest /= planes.sizes[d];
    to += at[d] * planes.to[d];
    from += at[d] * planes.from[d];
  }
  for (int64_t unit = first; unit < last; ++unit) {
    const int64_t height = planes.rows - at[planes.cut] * planes.sizes[1];
    const int64_t width = planes.columns - at[planes.cut + 1] * planes.sizes[0];
    planes.fn(planes, to, from, width < planes.sizes[0] ? width : planes.sizes[0],
              height < planes.sizes[1] ? height : planes.sizes[1]);
    for (int d = 2; d < planes.ndim; ++d) {
      to += planes.to[d];
      from += planes.from[d];
      if (++at[d] < planes.sizes[d]) break;
      to -= planes.to[d] * planes.sizes[d];
      from -= planes.from[d] * planes.sizes[d];
      at[d] = 0;
    }
  }
  if (planes.past_caches) stream_end();
}

FG_INLINE int64_t magnitude(int64_t stride) { return stride < 0 ? -stride : stride; }

// False: not done, the copy is of another kind.
bool copy_planes(const Iter& iter) {
  const int64_t item = item_bytes(iter.out.dtype);
  const bool moves = iter.ndim > 0 && iter.out.strides[0] == 1 && iter.in[0].strides[0] == 1;
  if (iter.ndim < 2 || (iter.sizes[0] >= kShortInner && !(moves && item * iter.sizes[0] < kShortestRun))) return false;
  const int first = moves && plane_of(item * iter.sizes[0]) ? 1 : 0;
  const int64_t bytes = first ? item * iter.sizes[0] : item;
  // Along which of the dimensions that are left the input runs.
  int other = -1;
  for (int d = first + 1; d < iter.ndim; ++d) {
    if (iter.in[0].strides[d] == 0) continue;
    if (other < 0 || magnitude(iter.in[0].strides[d]) < magnitude(iter.in[0].strides[other])) other = d;
  }
  if (other < 0) other = iter.ndim - 1;

  Planes planes;
  planes.fn = plane_of(bytes);
  planes.out = static_cast<char*>(iter.out.data);
  planes.in = static_cast<const char*>(iter.in[0].data);
  planes.ndim = 0;
  const auto add = [&](int64_t size, int64_t to, int64_t from) {
    planes.sizes[planes.ndim] = size;
    planes.to[planes.ndim] = to;
    planes.from[planes.ndim] = from;
    ++planes.ndim;
  };
  const auto add_dim = [&](int d) { add(iter.sizes[d], iter.out.strides[d] * item, iter.in[0].strides[d] * item); };
  add_dim(first);
  if (other == first) add(1, 0, 0);
  else add_dim(other);
  planes.columns = planes.sizes[0];
  planes.rows = planes.sizes[1];
  const int64_t spread = magnitude(planes.to[1]) > 0 ? magnitude(planes.to[1]) : 1;
  const int64_t piece = kPlaneBytes / spread > 8 ? kPlaneBytes / spread : 8;
  if (planes.rows > piece) planes.sizes[1] = piece;
  if (planes.columns > kTileWidth) planes.sizes[0] = kTileWidth;
  for (int d = first + 1; d < other; ++d) add_dim(d);
  planes.cut = planes.ndim;
  for (int d = 1; d >= 0; --d) {
    const int64_t whole = d == 1 ? planes.rows : planes.columns, part = planes.sizes[d];
    add((whole + part - 1) / part, planes.to[d] * part, planes.from[d] * part);
  }
  for (int d = (other > first ? other : first) + 1; d < iter.ndim; ++d) add_dim(d);

  planes.past_caches = iter.numel * item >= kPlanesPastCaches;
  planes.units = 1;
  for (int d = 2; d < planes.ndim; ++d) planes.units *= planes.sizes[d];
  const int64_t unit_bytes = planes.sizes[0] * planes.sizes[1] * bytes;
  planes.units_per_chunk = kPlanesChunk / unit_bytes > 1 ? kPlanesChunk / unit_bytes : 1;
  const int64_t chunks = (planes.units + planes.units_per_chunk - 1) / planes.units_per_chunk;
  if (chunks == 1) planes_chunk(&planes, 0);
  else parallel_for(chunks, iter.numel / 4 + planes.units * 3, planes_chunk, &planes);
  return true;
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
