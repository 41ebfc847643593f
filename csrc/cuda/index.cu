// gather, scatter, offsets, nonzero, triangle. Index values are checked on the device and the verdict fetched, which
// waits for the stream: an index out of range must raise before anything is written.
//
// scatter is deterministic. Dimensions along which dst moves cannot collide: threads share those. Along the others (the
// indexed dimension) one thread walks in row-major order. When the index is the same for all those threads (index_add,
// the gradient of an embedding) positions are sorted by index instead and every target gets its own threads.
#include <cstring>

#include "cuda/loops.cuh"
#include "cuda/sort.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

// Operands: out, index, src.
FG_DEVICE int64_t wrap(int64_t index, int64_t size) { return index < 0 ? index + size : index; }
// The same for one that has not been checked yet; -1: out of range.
FG_DEVICE int64_t checked(int64_t index, int64_t size, bool no_wrap) {
  if (!no_wrap) index = wrap(index, size);
  return index < 0 || index >= size ? -1 : index;
}

template <class U>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const __grid_constant__ StridedArgs<3> args, int64_t size, int64_t stride, bool no_wrap,
                  long long base, long long* bad) {
  for (int64_t i = global_thread(); i < args.n; i += global_threads()) {
    int64_t at[3];
    args.offsets(static_cast<uint32_t>(i), at);
    int64_t index = checked(static_cast<const int64_t*>(args.data[1])[at[1]], size, no_wrap);
    if (index < 0) {
      atomicMin(bad, base + static_cast<long long>(i));
    } else {
      static_cast<U*>(args.data[0])[at[0]] = static_cast<const U*>(args.data[2])[at[2] + index * stride];
    }
  }
}

__global__ void __launch_bounds__(kThreads) check_kernel(const __grid_constant__ StridedArgs<3> args, int64_t size,
                                                         bool no_wrap, long long base, long long* bad) {
  for (int64_t i = global_thread(); i < args.n; i += global_threads()) {
    int64_t at[3];
    args.offsets(static_cast<uint32_t>(i), at);
    int64_t index = checked(static_cast<const int64_t*>(args.data[1])[at[1]], size, no_wrap);
    if (index < 0) atomicMin(bad, base + static_cast<long long>(i));
  }
}

// The offending value, given its row-major position.
int64_t value_at(const IndexArgs& args, int64_t position) {
  const Operand& index = args.iter.in[0];
  int64_t at = 0;
  for (int d = 0; d < args.iter.ndim; ++d) {
    at += position % args.iter.sizes[d] * index.strides[d];
    position /= args.iter.sizes[d];
  }
  int64_t value = 0;
  fetch(&value, static_cast<const int64_t*>(index.data) + at, args.iter.stream);
  return value;
}

// Launches per part and tells where each part begins in row-major order: split() cuts the outermost dimensions in
// order.
template <class Fn> int64_t with_check(IndexArgs& args, Fn&& launch_part) {
  const Verdict verdict(args.iter.stream, "index");
  if (!verdict) return -1;
  long long base = 0;
  split(args.iter, [&](const Iter& part) {
    launch_part(part, base, verdict.word());
    base += part.numel;
  });
  const int64_t position = verdict.place();
  if (position < 0) return -1;
  args.bad = value_at(args, position);
  return 0;
}

template <class U> int64_t gather_as(IndexArgs& args) {
  return with_check(args, [&](const Iter& part, long long base, long long* bad) {
    FG_LAUNCH_FREE(gather_kernel<U>, grid_for(part.numel, part.stream), kThreads, 0, part.stream, strided_args<3>(part),
                   args.size, args.stride, args.no_wrap != 0, base, bad);
  });
}
int64_t gather(IndexArgs& args) {
  if (args.iter.numel == 0) return -1;
  args.iter.inputs = 2;
  switch (item_size(args.iter.out.dtype)) {
    case 1: return gather_as<uint8_t>(args);
    case 2: return gather_as<uint16_t>(args);
    case 4: return gather_as<uint32_t>(args);
    default: return gather_as<uint64_t>(args);
  }
}

// ---- scatter
template <class S> struct Wide {
  using type = int64_t;
};
template <> struct Wide<float> {
  using type = float;
};
template <> struct Wide<Half> {
  using type = float;
};
template <> struct Wide<BHalf> {
  using type = float;
};
template <> struct Wide<double> {
  using type = double;
};

template <class S> FG_DEVICE void apply(S* to, S value, Scatter mode) {
  using W = typename Wide<S>::type;
  if (mode == Scatter::set) {
    *to = value;
    return;
  }
  Num<W> a = convert<W>(*to), b = convert<W>(value);
  Num<W> y = mode == Scatter::add    ? a + b
             : mode == Scatter::mul  ? a * b
             : mode == Scatter::amax ? max(a, b)
                                     : min(a, b);
  *to = convert<S>(y.v);
}

// free: dimensions shared by threads; serial: those one thread walks.
template <class S>
__global__ void __launch_bounds__(kThreads)
    scatter_kernel(const __grid_constant__ StridedArgs<3> free, const __grid_constant__ StridedArgs<3> serial,
                   int64_t size, int64_t stride, Scatter mode) {
  for (int64_t i = global_thread(); i < free.n; i += global_threads()) {
    int64_t base[3];
    free.offsets(static_cast<uint32_t>(i), base);
    for (uint32_t k = 0; k < serial.n; ++k) {
      int64_t at[3];
      serial.offsets(k, at);
      int64_t index = checked(static_cast<const int64_t*>(free.data[1])[base[1] + at[1]], size, false);
      if (index < 0) continue;  // in a graph only: else nothing is written
      apply(static_cast<S*>(free.data[0]) + base[0] + index * stride,
            static_cast<const S*>(free.data[2])[base[2] + at[2]], mode);
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    keys_kernel(const __grid_constant__ StridedArgs<3> serial, int64_t size, uint32_t* keys, uint32_t* values) {
  for (int64_t k = global_thread(); k < serial.n; k += global_threads()) {
    int64_t at[3];
    serial.offsets(static_cast<uint32_t>(k), at);
    const int64_t index = checked(static_cast<const int64_t*>(serial.data[1])[at[1]], size, false);
    keys[k] = static_cast<uint32_t>(index < 0 ? size : index);  // behind all others
    values[k] = static_cast<uint32_t>(k);
  }
}

// The thread at the first of a run of equal keys takes the run.
template <class S>
__global__ void __launch_bounds__(kThreads)
    scatter_sorted_kernel(const __grid_constant__ StridedArgs<3> free, const __grid_constant__ StridedArgs<3> serial,
                          const uint32_t* keys, const uint32_t* values, int64_t size, int64_t stride, Scatter mode) {
  int64_t n = int64_t(free.n) * serial.n;
  for (int64_t x = global_thread(); x < n; x += global_threads()) {
    uint32_t k = static_cast<uint32_t>(x / free.n), i = static_cast<uint32_t>(x % free.n), key = keys[k];
    if (key >= size || (k > 0 && keys[k - 1] == key)) continue;
    int64_t base[3];
    free.offsets(i, base);
    S* to = static_cast<S*>(free.data[0]) + base[0] + key * stride;
    for (; k < serial.n && keys[k] == key; ++k) {
      int64_t at[3];
      serial.offsets(values[k], at);
      apply(to, static_cast<const S*>(free.data[2])[base[2] + at[2]], mode);
    }
  }
}

template <class S> void scatter_part(const Iter& it, const IndexArgs& args) {
  Iter free = it, serial = it;
  free.ndim = serial.ndim = 0;
  free.numel = serial.numel = 1;
  bool same_index = true;
  for (int d = 0; d < it.ndim; ++d) {
    if (it.sizes[d] == 1) continue;
    bool collides = it.out.strides[d] == 0;
    Iter& list = collides ? serial : free;
    if (!collides && it.in[0].strides[d] != 0) same_index = false;
    int to = list.ndim++;
    list.sizes[to] = it.sizes[d];
    list.numel *= it.sizes[d];
    list.out.strides[to] = it.out.strides[d];
    for (int k = 0; k < 2; ++k) list.in[k].strides[to] = it.in[k].strides[d];
  }
  StridedArgs<3> by_thread = strided_args<3>(free), by_step = strided_args<3>(serial);
  constexpr int64_t kLeastSorted = 128;
  if (same_index && serial.numel >= kLeastSorted && args.size < UINT32_MAX) {
    size_t bytes = static_cast<size_t>(serial.numel) * sizeof(uint32_t);
    Scratch scratch(4 * bytes, it.stream);
    if (!scratch) return;
    uint32_t *keys = scratch.as<uint32_t>(), *values = keys + serial.numel;
    FG_LAUNCH_FREE(keys_kernel, grid_for(serial.numel, it.stream), kThreads, 0, it.stream, by_step, args.size, keys,
                   values);
    int bits = 1;
    while (bits < 32 && (int64_t(1) << bits) <= args.size) ++bits;
    if (!sort_pairs(keys, values, values + serial.numel, values + 2 * serial.numel, serial.numel, bits, it.stream))
      return;
    FG_LAUNCH_FREE(scatter_sorted_kernel<S>, grid_for(it.numel, it.stream), kThreads, 0, it.stream, by_thread, by_step,
                   keys, values, args.size, args.stride, args.mode);
    return;
  }
  FG_LAUNCH_FREE(scatter_kernel<S>, grid_for(free.numel, it.stream), kThreads, 0, it.stream, by_thread, by_step,
                 args.size, args.stride, args.mode);
}

int64_t scatter(IndexArgs& args) {
  if (args.iter.numel == 0) return -1;
  args.iter.inputs = 2;
  int64_t verdict = with_check(args, [&](const Iter& part, long long base, long long* bad) {
    FG_LAUNCH_FREE(check_kernel, grid_for(part.numel, part.stream), kThreads, 0, part.stream, strided_args<3>(part),
                   args.size, args.no_wrap != 0, base, bad);
  });
  if (verdict != -1) return verdict;
  split(args.iter, [&](const Iter& part) { FG_SWITCH(part.out.dtype, S, scatter_part<S>(part, args)) });
  return -1;
}

// ---- offsets of several indices
struct OffsetOperands {
  const int64_t* indices[kMaxDims];
  int64_t sizes[kMaxDims], strides[kMaxDims];
  int64_t n;
  int32_t count;
};
// bad: of the first dimension with an index out of range the first one, as dimension * n + place
__global__ void __launch_bounds__(kThreads)
    offsets_kernel(const __grid_constant__ OffsetOperands p, int64_t* out, long long* bad) {
  for (int64_t i = global_thread(); i < p.n; i += global_threads()) {
    int64_t sum = 0;
    bool valid = true;
    FG_NO_UNROLL
    for (int d = 0; d < p.count; ++d) {
      const int64_t place = checked(p.indices[d][i], p.sizes[d], false);
      if (place < 0) {
        atomicMin(bad, static_cast<long long>(d * p.n + i));
        valid = false;
      }
      sum += place * p.strides[d];
    }
    out[i] = valid ? sum : -1;  // in a graph: out of range for whoever takes the offset
  }
}
int64_t offsets(OffsetArgs& args) {
  if (args.n == 0) return -1;
  OffsetOperands p{};
  p.n = args.n, p.count = static_cast<int32_t>(args.count);
  for (int64_t d = 0; d < args.count; ++d)
    p.indices[d] = args.indices[d], p.sizes[d] = args.sizes[d], p.strides[d] = args.strides[d];
  const Verdict verdict(args.stream, "index");
  if (!verdict) return -1;
  FG_LAUNCH_FREE(offsets_kernel, grid_for(args.n, args.stream), kThreads, 0, args.stream, p, args.out, verdict.word());
  const int64_t position = verdict.place();
  if (position < 0) return -1;
  fetch(&args.bad, args.indices[position / args.n] + position % args.n, args.stream);
  return position / args.n;
}

// ---- nonzero
FG_DEVICE int count_own(const uint8_t* mask, int64_t n, int64_t first) {
  int count = 0;
  for (int k = 0; k < kItems; ++k) count += first + k < n && mask[first + k] != 0;
  return count;
}
__global__ void __launch_bounds__(kThreads) nonzero_count_kernel(const uint8_t* mask, int64_t n, int64_t* counts) {
  FG_SHARED(int, shared, kThreads);
  int all;
  block_exclusive_scan(count_own(mask, n, int64_t(blockIdx.x) * kTileItems + threadIdx.x * kItems), shared, &all);
  if (threadIdx.x == 0) counts[blockIdx.x] = all;
}
__global__ void __launch_bounds__(kThreads)
    nonzero_write_kernel(const uint8_t* mask, int64_t n, const int64_t* starts, int64_t* out) {
  FG_SHARED(int, shared, kThreads);
  int all;
  int64_t first = int64_t(blockIdx.x) * kTileItems + threadIdx.x * kItems;
  int64_t at = starts[blockIdx.x] + block_exclusive_scan(count_own(mask, n, first), shared, &all);
  for (int k = 0; k < kItems; ++k) {
    if (first + k < n && mask[first + k] != 0) out[at++] = first + k;
  }
}

int64_t nonzero(const uint8_t* mask, int64_t n, int64_t* out, Stream stream) {
  if (n == 0) return 0;
  int64_t blocks = ceil_div(n, kTileItems);
  Scratch scratch((blocks + 1) * sizeof(int64_t), stream);
  if (!scratch) return 0;
  int64_t *counts = scratch.as<int64_t>() + 1, total = 0;
  FG_LAUNCH(nonzero_count_kernel, static_cast<unsigned>(blocks), kThreads, 0, stream, mask, n, counts);
  exclusive_scan(counts, blocks, scratch.as<int64_t>(), stream);
  if (out) FG_LAUNCH(nonzero_write_kernel, static_cast<unsigned>(blocks), kThreads, 0, stream, mask, n, counts, out);
  fetch(&total, scratch.as<int64_t>(), stream);
  return total;
}

// ---- triangle
template <class U>
__global__ void __launch_bounds__(kThreads)
    triangle_kernel(U* out, const U* in, int64_t n, int64_t rows, int64_t cols, int64_t diagonal, int upper) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    int64_t line = n <= UINT32_MAX ? static_cast<uint32_t>(i) / static_cast<uint32_t>(cols) : i / cols;
    int64_t row = n <= UINT32_MAX ? static_cast<uint32_t>(line) % static_cast<uint32_t>(rows) : line % rows;
    int64_t off = i - line * cols - row;
    bool keep = upper ? off >= diagonal : off <= diagonal;
    out[i] = keep ? in[i] : U{};
  }
}
template <class U>
void triangle_as(void* out, const void* in, int64_t n, int64_t rows, int64_t cols, int64_t diagonal, int upper,
                 Stream stream) {
  FG_LAUNCH_FREE(triangle_kernel<U>, grid_for(n, stream), kThreads, 0, stream, static_cast<U*>(out),
                 static_cast<const U*>(in), n, rows, cols, diagonal, upper);
}
void triangle(void* out, const void* in, int64_t bytes, int64_t batch, int64_t rows, int64_t cols, int64_t diagonal,
              int upper, Stream stream) {
  int64_t n = batch * rows * cols;
  if (n == 0) return;
  switch (bytes) {
    case 1: return triangle_as<uint8_t>(out, in, n, rows, cols, diagonal, upper, stream);
    case 2: return triangle_as<uint16_t>(out, in, n, rows, cols, diagonal, upper, stream);
    case 4: return triangle_as<uint32_t>(out, in, n, rows, cols, diagonal, upper, stream);
    case 8: return triangle_as<uint64_t>(out, in, n, rows, cols, diagonal, upper, stream);
    default: return triangle_as<Sixteen>(out, in, n, rows, cols, diagonal, upper, stream);
  }
}

}  // namespace

void fill_index(Backend& table) {
  table.gather = gather;
  table.scatter = scatter;
  table.offsets = offsets;
  table.nonzero = nonzero;
  table.triangle = triangle;
}
}  // namespace fg::cuda
