// Copies from any dtype and strides to any others, fills and ranges: the elementwise driver without a kernel. A copy
// within one dtype moves items as they are; else values pass through the compute type of their source, which holds
// all of them.
#include "cpu/backend_cpu.h"
#include "cpu/copy_planes.h"

namespace fg::cpu::FG_ISA {

bool copy_transposed(const Iter& iter);

namespace {

constexpr int64_t kCopyChunk = int64_t{1} << 18;  // bytes
constexpr int64_t kPattern = 64;                  // bytes of a fill's value, repeated

struct Bytes {
  char* to;
  const char* from;
  int64_t count;
  bool stream;
};
void copy_chunk(void* context, int64_t chunk) {
  const Bytes& bytes = *static_cast<const Bytes*>(context);
  const int64_t begin = chunk * kCopyChunk;
  const int64_t n = bytes.count - begin < kCopyChunk ? bytes.count - begin : kCopyChunk;
  if (bytes.stream) {
    stream_bytes(bytes.to + begin, bytes.from + begin, n);
    stream_end();
  } else {
    copy_bytes(bytes.to + begin, bytes.from + begin, n);
  }
}

bool is_dense(const Iter& iter, const Operand& item) {
  int64_t expected = 1;
  for (int d = 0; d < iter.ndim; ++d) {
    if (item.strides[d] != expected) return false;
    expected *= iter.sizes[d];
  }
  return true;
}

// Runs of bytes that lie together on both sides are moved as they are: exchanged outer dimensions, slices, joins. Or
// backwards: the input runs against the output.
struct Runs {
  const Iter* iter;
  int64_t bytes, per_chunk, count;
  bool backwards, stream;
};
// A call of memcpy costs as much as a short run.
inline void copy_run(char* to, const char* from, int64_t bytes) {
  if (bytes > 1024) {
    copy_bytes(to, from, bytes);
    return;
  }
  for (int64_t i = 0; i + kShortestRun < bytes; i += kShortestRun) __builtin_memcpy(to + i, from + i, kShortestRun);
  __builtin_memcpy(to + bytes - kShortestRun, from + bytes - kShortestRun, kShortestRun);  // may overlap the last one
}
template <class S> FG_NOINLINE void reverse_items(char* to, const char* from, int64_t n) {
  S* __restrict out = reinterpret_cast<S*>(to);
  const S* in = reinterpret_cast<const S*>(from);
  for (int64_t i = 0; i < n; ++i) out[i] = in[-i];
}
void reverse_run(char* to, const char* from, int64_t item, int64_t n) {
  switch (item) {
    case 1: return reverse_items<uint8_t>(to, from, n);
    case 2: return reverse_items<uint16_t>(to, from, n);
    case 4: return reverse_items<uint32_t>(to, from, n);
    default: return reverse_items<uint64_t>(to, from, n);
  }
}
void stream_reversed(char* to, const char* from, int64_t item, int64_t n) {
  alignas(64) char part[4096];
  const int64_t most = static_cast<int64_t>(sizeof part) / item;
  for (int64_t i = 0; i < n; i += most) {
    const int64_t count = n - i < most ? n - i : most;
    reverse_run(part, from - i * item, item, count);
    stream_bytes(to + i * item, part, count * item);
  }
}
void copy_runs_chunk(void* context, int64_t chunk) {
  const Runs& runs = *static_cast<const Runs*>(context);
  const Iter& iter = *runs.iter;
  const int64_t item = item_bytes(iter.out.dtype), first = chunk * runs.per_chunk;
  const int64_t last = first + runs.per_chunk < runs.count ? first + runs.per_chunk : runs.count;
  int64_t at[kMaxDims], rest = first, to = 0, from = 0;
  for (int d = 1; d < iter.ndim; ++d) {
    at[d] = rest % iter.sizes[d];
    rest /= iter.sizes[d];
    to += at[d] * iter.out.strides[d];
    from += at[d] * iter.in[0].strides[d];
  }
  for (int64_t run = first; run < last; ++run) {
    char* at_out = static_cast<char*>(iter.out.data) + to * item;
    const char* at_in = static_cast<const char*>(iter.in[0].data) + from * item;
    if (!runs.backwards) copy_run(at_out, at_in, runs.bytes);
    else if (runs.stream) stream_reversed(at_out, at_in, item, iter.sizes[0]);
    else reverse_run(at_out, at_in, item, iter.sizes[0]);
    for (int d = 1; d < iter.ndim; ++d) {
      to += iter.out.strides[d];
      from += iter.in[0].strides[d];
      if (++at[d] < iter.sizes[d]) break;
      to -= iter.out.strides[d] * iter.sizes[d];
      from -= iter.in[0].strides[d] * iter.sizes[d];
      at[d] = 0;
    }
  }
  if (runs.stream) stream_end();
}
bool copy_runs(const Iter& iter) {
  const int64_t step = iter.ndim ? iter.in[0].strides[0] : 1;
  const bool backwards = step == -1;
  if (iter.ndim < (backwards ? 1 : 2) || iter.out.strides[0] != 1 || (step != 1 && !backwards)) return false;
  Runs runs = {&iter, iter.sizes[0] * item_bytes(iter.out.dtype), 0, iter.numel / iter.sizes[0], backwards, false};
  if (runs.bytes < kShortestRun) return false;
  if (runs.bytes * runs.count >= kStreamBytes) {
    // Of more than a run's worth of cache lines the general loop writes past the cache.
    if (!backwards) return false;
    runs.stream = true;
  }
  runs.per_chunk = kCopyChunk / 4 / runs.bytes > 1 ? kCopyChunk / 4 / runs.bytes : 1;
  const int64_t chunks = (runs.count + runs.per_chunk - 1) / runs.per_chunk;
  if (chunks == 1) copy_runs_chunk(&runs, 0);
  else parallel_for(chunks, runs.count * 3 + runs.bytes * runs.count / 16, copy_runs_chunk, &runs);
  return true;
}

// The type that values pass through: of small integers any compute type that the output has.
Compute passage(const Iter& iter) {
  const DType from = iter.in[0].dtype;
  const Compute own = kComputeOf[static_cast<int>(from)], wanted = kComputeOf[static_cast<int>(iter.out.dtype)];
  return own == Compute::I32 && from != DType::Int32 && native(wanted) == iter.out.dtype ? wanted : own;
}
// Both contiguous, and one of them is an array of what values pass through: one step for each part.
constexpr int64_t kConverted = 16384;
bool convert(const Iter& iter, Compute compute) {
  const bool widens = native(compute) == iter.out.dtype;
  if ((!widens && native(compute) != iter.in[0].dtype) || iter.numel < 256 ||
      iter.numel * item_bytes(iter.out.dtype) >= kStreamBytes || !is_dense(iter, iter.out) ||
      !is_dense(iter, iter.in[0]))
    return false;
  for_chunks((iter.numel + kConverted - 1) / kConverted, static_cast<double>(iter.numel) / 8, [&](int64_t chunk) {
    const int64_t begin = chunk * kConverted, n = smaller(kConverted, iter.numel - begin);
    char* to = address(iter.out, begin);
    const char* from = address(iter.in[0], begin);
    if (widens) load_contiguous(compute, to, iter.in[0].dtype, from, n);
    else store_contiguous(iter.out.dtype, to, compute, from, n);
  });
  return true;
}

void copy(const Iter& iter) {
  const DType dtype = iter.in[0].dtype;
  if (dtype != iter.out.dtype) {
    const Compute compute = passage(iter);
    if (convert(iter, compute)) return;
    return run_general(iter, Kernel{nullptr, compute, false, false, false});
  }
  if (iter.numel != 0 && (copy_runs(iter) || copy_planes(iter) || copy_transposed(iter))) return;
  if (!is_dense(iter, iter.out) || !is_dense(iter, iter.in[0]))
    return run_general(iter, Kernel{nullptr, kComputeOf[static_cast<int>(dtype)], false, true, false});
  const int64_t count = iter.numel * item_bytes(dtype);
  if (iter.out.data == iter.in[0].data) return;
  Bytes bytes = {static_cast<char*>(iter.out.data), static_cast<const char*>(iter.in[0].data), count,
                 count >= kStreamBytes};
  if (count <= kCopyChunk) copy_bytes(bytes.to, bytes.from, count);
  else parallel_for((count + kCopyChunk - 1) / kCopyChunk, count / 16, copy_chunk, &bytes);
}

struct Fill {
  char* to;
  int64_t count;  // bytes
  const char* pattern;
};
void fill_bytes(char* to, const char* pattern, int64_t n) {
  typedef char Pattern __attribute__((vector_size(kPattern)));
  Pattern value;
  __builtin_memcpy(&value, pattern, kPattern);
  for (; n >= kPattern; n -= kPattern, to += kPattern) __builtin_memcpy(to, &value, kPattern);
  memcpy(to, pattern, n);
}
void fill_chunk(void* context, int64_t chunk) {
  const Fill& f = *static_cast<const Fill*>(context);
  fill_bytes(f.to + chunk * kCopyChunk, f.pattern, smaller(kCopyChunk, f.count - chunk * kCopyChunk));
}
// Past the caches: a page of the pattern is copied over and over.
void fill_streaming(void* context, int64_t chunk) {
  const Fill& f = *static_cast<const Fill*>(context);
  alignas(64) char page[4096];
  fill_bytes(page, f.pattern, sizeof(page));
  const int64_t end = smaller(f.count, (chunk + 1) * kCopyChunk);
  for (int64_t at = chunk * kCopyChunk; at < end; at += sizeof(page))
    stream_bytes(f.to + at, page, smaller(sizeof(page), end - at));
  stream_end();
}

// A fill is a copy of one value of the output's dtype.
void fill(const Iter& iter) {
  alignas(8) char value[8];
  const bool is_float = iter.out.dtype >= DType::Float16 && iter.out.dtype <= DType::Float64;
  if (is_float) store_contiguous(iter.out.dtype, value, Compute::F64, &iter.params[0].f, 1);
  else store_contiguous(iter.out.dtype, value, Compute::I64, &iter.params[0].i, 1);
  if (iter.numel * item_bytes(iter.out.dtype) <= 64 && iter.ndim <= 1) {
    const int64_t stride = iter.ndim == 0 ? 1 : iter.out.strides[0];
    for (int64_t i = 0; i < iter.numel; ++i) memcpy(address(iter.out, i * stride), value, item_bytes(iter.out.dtype));
    return;
  }
  if (is_dense(iter, iter.out)) {
    alignas(64) char pattern[kPattern];
    const int bytes = item_bytes(iter.out.dtype);
    gather_row(bytes, pattern, value, 0, kPattern / bytes);
    Fill f = {static_cast<char*>(iter.out.data), iter.numel * bytes, pattern};
    if (f.count <= kCopyChunk) return fill_bytes(f.to, pattern, f.count);
    // Zeros pass the caches at more than twice the speed of the memory on processors that send them as such. Other
    // values gain nothing there, and what the caches keep of them is found again: up to 100 MB 1.2 to 2 times faster.
    uint64_t bits;
    memcpy(&bits, pattern, sizeof(bits));
    return parallel_for((f.count + kCopyChunk - 1) / kCopyChunk, f.count / 32,
                        f.count >= (bits == 0 ? 1 : 4) * kStreamBytes ? fill_streaming : fill_chunk, &f);
  }
  Iter from_value;
  memcpy(&from_value, &iter, sizeof(Iter));
  from_value.inputs = 1;
  from_value.in[0].data = value;
  from_value.in[0].dtype = iter.out.dtype;
  for (int d = 0; d < iter.ndim; ++d) from_value.in[0].strides[d] = 0;
  run_general(from_value, Kernel{nullptr, kComputeOf[static_cast<int>(iter.out.dtype)], false, true, false});
}

constexpr int64_t kRangeChunk = 32768;
void arange_chunk(void* context, int64_t chunk) {
  const Iter& iter = *static_cast<const Iter*>(context);
  const bool is_float = iter.out.dtype >= DType::Float16 && iter.out.dtype <= DType::Float64;
  const int64_t end = (chunk + 1) * kRangeChunk < iter.numel ? (chunk + 1) * kRangeChunk : iter.numel;
  constexpr int64_t kBlock = 256;
  const int64_t stride = iter.ndim == 0 ? 1 : iter.out.strides[0];
  const int bytes = item_bytes(iter.out.dtype);
  for (int64_t begin = chunk * kRangeChunk; begin < end; begin += kBlock) {
    const int64_t n = end - begin < kBlock ? end - begin : kBlock;
    alignas(64) char values[kBlock * 8], stored[kBlock * 8];
    if (is_float) {
      double* to = reinterpret_cast<double*>(values);
      for (int64_t i = 0; i < n; ++i) to[i] = iter.params[0].f + static_cast<double>(begin + i) * iter.params[1].f;
      store_contiguous(iter.out.dtype, stored, Compute::F64, values, n);
    } else {
      uint64_t* to = reinterpret_cast<uint64_t*>(values);
      const uint64_t first = static_cast<uint64_t>(iter.params[0].i), step = static_cast<uint64_t>(iter.params[1].i);
      for (int64_t i = 0; i < n; ++i) to[i] = first + static_cast<uint64_t>(begin + i) * step;
      store_contiguous(iter.out.dtype, stored, Compute::I64, values, n);
    }
    scatter_row(bytes, address(iter.out, begin * stride), stored, stride, n);
  }
}
void arange(const Iter& iter) {
  const int64_t chunks = (iter.numel + kRangeChunk - 1) / kRangeChunk;
  void* context = const_cast<Iter*>(&iter);
  if (chunks == 1) arange_chunk(context, 0);
  else parallel_for(chunks, iter.numel / 4, arange_chunk, context);
}

}  // namespace

void fill_copy(Backend& table) {
  table.copy = copy;
  table.fill = fill;
  table.arange = arange;
}

}  // namespace fg::cpu::FG_ISA
