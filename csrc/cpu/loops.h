// The one driver of all elementwise kernels. A kernel knows only whole vectors of contiguous arrays of its compute
// type; the driver brings any operands there: strided, broadcast, transposed or of another dtype, through buffers in
// L1.
//
//   run            decides: contiguous and native -> the kernel itself, else blocks or tiles
//   run_direct     that, in chunks; light kernels take one of two inputs as a vector when it is one value everywhere
//   run_constants  the same of other kernels, which read blocks of such values
//   run_rows       short rows that are usable in place, or one value each: from row to row only pointers move
//   run_blocks     linear ranges of elements; what is not usable in place is gathered and converted
//   run_tiles      64 x 16 tiles over two dimensions, when an operand runs along another dimension than the output
//
// Work is cut by size only, so results do not depend on the number of threads; the last elements of a row go through
// the same vector code by a padded copy, so results do not depend on position or layout either.
#pragma once
#include "core/backend.h"
#include "cpu/convert.h"
#include "cpu/parallel.h"

namespace fg::cpu::FG_ISA {
namespace {

using KernelFn = void (*)(int64_t n, void* out, const void* const* in, const Param* params);
// One kernel by the type of its arrays. Where of_f16 or of_bf16 is null, halves pass through buffers of float.
struct Variants {
  KernelFn fn = nullptr, of_f16 = nullptr, of_bf16 = nullptr;
};
struct Kernel {
  KernelFn fn;      // n is a multiple of the vector length; null: out <- in[0]
  Compute compute;  // type of the arrays; of copies: what values pass through
  bool test;        // writes bytes of 0 or 1
  bool raw;         // items are moved as they are (one dtype)
  bool costly;      // tens of operations per element
  KernelFn of_f16 = nullptr, of_bf16 = nullptr;
  Variants beside[2] = {};  // of two inputs: that one is a single vector of the compute type
};

constexpr int64_t kBufferBytes = 4096;
constexpr int64_t kPage = 4096;                      // addresses this far apart look alike to loads that pass stores
constexpr int64_t kStreamBytes = int64_t{40} << 20;  // outputs from here on bypass the caches
constexpr int64_t kTileWidth = 64;
constexpr int64_t kTileRun = 512;     // elements of the other dimension in one chunk of tiles
constexpr int64_t kShortRow = 256;    // shorter rows share a block
constexpr int64_t kShortestRow = 64;  // when nothing has to be gathered

template <class S> FG_INLINE void pad(unsigned char* to, const char* from, int64_t n) {
  S items[64 / sizeof(S)];
  memcpy(items, from, sizeof(S));
  for (size_t k = 1; k < 64 / sizeof(S); ++k) items[k] = items[0];
  for (int64_t k = 1; k < n; ++k) memcpy(items + k, from + k * static_cast<int64_t>(sizeof(S)), sizeof(S));
  memcpy(to, items, sizeof(items));
}

// The kernel on whole vectors, then on one padded vector; items of `bytes` go in, of out_bytes come out. in[vector] is
// one vector for all.
FG_INLINE void apply(KernelFn kernel, int bytes, int out_bytes, int64_t n, char* out, const void* const* in, int inputs,
                     const Param* params, int vector = -1) {
  const int64_t lanes = kVecBytes / (bytes == 8 ? 8 : 4);
  const int64_t whole = n & -lanes;
  if (whole > 0) kernel(whole, out, in, params);
  const int64_t rest = n - whole;
  if (rest == 0) return;
  alignas(64) unsigned char padded[kMaxInputs + 1][64];
  const void* pointers[kMaxInputs];
  for (int i = 0; i < inputs; ++i) {
    pointers[i] = i == vector ? in[i] : padded[i];
    if (in[i] == nullptr || i == vector) continue;
    // Lanes past the end repeat the first, so that they cause no special cases of their own.
    const char* from = static_cast<const char*>(in[i]) + whole * bytes;
    if (bytes == 4) pad<uint32_t>(padded[i], from, rest);
    else if (bytes == 8) pad<uint64_t>(padded[i], from, rest);
    else pad<uint16_t>(padded[i], from, rest);
  }
  unsigned char* result = padded[kMaxInputs];
  kernel(lanes, result, pointers, params);
  char* to = out + whole * out_bytes;
  if (out_bytes == 4)
    for (int64_t k = 0; k < rest; ++k) memcpy(to + 4 * k, result + 4 * k, 4);
  else if (out_bytes == 8)
    for (int64_t k = 0; k < rest; ++k) memcpy(to + 8 * k, result + 8 * k, 8);
  else if (out_bytes == 2)
    for (int64_t k = 0; k < rest; ++k) memcpy(to + 2 * k, result + 2 * k, 2);
  else
    for (int64_t k = 0; k < rest; ++k) to[k] = static_cast<char>(result[k]);
}

struct Plan {
  const Iter* iter;
  Kernel kernel;
  int inputs;
  int64_t item;      // bytes of an element in the buffers
  int64_t out_item;  // of a result before conversion
  int64_t block;     // elements of a buffer
  int64_t chunk;     // elements of a chunk
  bool stream;
  int other;   // second dimension of tiles
  int vector;  // input that the kernel takes as one vector, or -1
  // [inputs] is the output
  bool used[kMaxInputs + 1], native[kMaxInputs + 1], dense[kMaxInputs + 1], constant[kMaxInputs + 1];
};

struct Buffers {
  alignas(64) char in[kMaxInputs][kBufferBytes];
  alignas(64) char out[kBufferBytes];
  alignas(64) char raw[2 * kBufferBytes];  // before conversion: items may be twice as wide as the compute type
};

FG_INLINE const Operand& operand(const Plan& plan, int i) {
  return i == plan.inputs ? plan.iter->out : plan.iter->in[i];
}
FG_INLINE char* address(const Operand& operand, int64_t elements) {
  return static_cast<char*>(operand.data) + elements * item_bytes(operand.dtype);
}
FG_INLINE int64_t offset_of(const Operand& operand, int ndim, const int64_t* index) {
  int64_t offset = 0;
  for (int d = 0; d < ndim; ++d) offset += index[d] * operand.strides[d];
  return offset;
}

// n copies of an operand that is one value everywhere.
FG_NOINLINE void repeat_constant(const Plan& plan, int i, char* to, int64_t n) {
  const Operand& from = plan.iter->in[i];
  alignas(8) char value[8];
  if (plan.kernel.raw) memcpy(value, from.data, plan.item);
  else load_contiguous(plan.kernel.compute, value, from.dtype, from.data, 1);
  gather_row(plan.kernel.raw ? static_cast<int>(plan.item) : compute_bytes(plan.kernel.compute), to, value, 0, n);
}
// Such operands fill their buffer once per chunk.
FG_INLINE void fill_constants(const Plan& plan, Buffers& buffers) {
  for (int i = 0; i < plan.inputs; ++i)
    if (plan.used[i] && plan.constant[i])
      repeat_constant(plan, i, buffers.in[i], smaller(plan.block, plan.iter->numel));
}

// The kernel over n elements whose inputs lie in pointers; the result goes to `direct`, or is left where the return
// says, in the dtype of the output.
FG_NOINLINE const char* compute_block(const Plan& plan, Buffers& buffers, const void** pointers, int64_t n,
                                      char* direct) {
  const Kernel& kernel = plan.kernel;
  const bool native = plan.native[plan.inputs];
  const char* result;
  if (kernel.fn == nullptr) {
    result = static_cast<const char*>(pointers[0]);
  } else {
    char* to = native && direct ? direct : buffers.out;
    apply(kernel.fn, static_cast<int>(plan.item), static_cast<int>(plan.out_item), n, to, pointers, plan.inputs,
          plan.iter->params);
    result = to;
  }
  if (native) {
    if (direct && result != direct) {
      memcpy(direct, result, n * item_bytes(plan.iter->out.dtype));
      result = direct;
    }
    return result;
  }
  char* to = direct ? direct : buffers.raw;
  if (kernel.test) {
    // bytes of 0 and 1 pass through int32
    alignas(64) int32_t wide[256];
    const int bytes = item_bytes(plan.iter->out.dtype);
    for (int64_t i = 0; i < n; i += 256) {
      const int64_t count = n - i < 256 ? n - i : 256;
      load_contiguous(Compute::I32, wide, DType::UInt8, result + i, count);
      store_contiguous(plan.iter->out.dtype, to + i * bytes, Compute::I32, wide, count);
    }
  } else {
    store_contiguous(plan.iter->out.dtype, to, kernel.compute, result, n);
  }
  return to;
}

FG_INLINE void advance(const Iter& iter, int64_t* index) {
  for (int d = 1; d < iter.ndim; ++d) {
    if (++index[d] < iter.sizes[d]) return;
    index[d] = 0;
  }
}

// n elements from `index` on, in order, of any strides. move(out or in position, operand offset, count) per row.
template <class Move>
FG_INLINE void walk_rows(const Iter& iter, const Operand& item, const int64_t* start, int64_t n, Move move) {
  int64_t index[kMaxDims];
  for (int d = 0; d < iter.ndim; ++d) index[d] = start[d];
  int64_t done = 0;
  while (done < n) {
    const int64_t left = iter.sizes[0] - index[0];
    const int64_t count = n - done < left ? n - done : left;
    move(done, offset_of(item, iter.ndim, index), count);
    done += count;
    index[0] = 0;
    advance(iter, index);
  }
}

FG_NOINLINE void block(const Plan& plan, Buffers& buffers, const int64_t* index, int64_t begin, int64_t n,
                       bool in_row) {
  const Iter& iter = *plan.iter;
  const void* pointers[kMaxInputs] = {};
  for (int i = 0; i < plan.inputs; ++i) {
    if (!plan.used[i]) continue;
    const Operand& from = iter.in[i];
    char* buffer = buffers.in[i];
    pointers[i] = buffer;
    if (plan.constant[i]) continue;
    const int bytes = item_bytes(from.dtype);
    const char* source;
    if (plan.dense[i]) {
      source = address(from, begin);
    } else if (in_row && from.strides[0] == 1) {
      source = address(from, offset_of(from, iter.ndim, index));
    } else {
      char* to = plan.native[i] ? buffer : buffers.raw;
      walk_rows(iter, from, index, n, [&](int64_t done, int64_t offset, int64_t count) {
        gather_row(bytes, to + done * bytes, address(from, offset), from.strides[0], count);
      });
      source = to;
    }
    if (plan.native[i]) pointers[i] = source;
    else load_contiguous(plan.kernel.compute, buffer, from.dtype, source, n);
  }
  const Operand& out = iter.out;
  const int bytes = item_bytes(out.dtype);
  char* direct = nullptr;
  if (plan.dense[plan.inputs]) direct = address(out, begin);
  else if (in_row && out.strides[0] == 1) direct = address(out, offset_of(out, iter.ndim, index));
  const char* result = compute_block(plan, buffers, pointers, n, plan.stream ? nullptr : direct);
  if (direct) {
    if (plan.stream) stream_bytes(direct, result, n * bytes);
  } else {
    walk_rows(iter, out, index, n, [&](int64_t done, int64_t offset, int64_t count) {
      scatter_row(bytes, address(out, offset), result + done * bytes, out.strides[0], count);
    });
  }
}

FG_NOINLINE void run_blocks(void* context, int64_t chunk) {
  const Plan& plan = *static_cast<const Plan*>(context);
  const Iter& iter = *plan.iter;
  Buffers buffers;
  fill_constants(plan, buffers);
  const int64_t first = chunk * plan.chunk;
  const int64_t end = first + plan.chunk < iter.numel ? first + plan.chunk : iter.numel;
  int64_t index[kMaxDims];
  index[0] = 0;
  int64_t rest = first;
  for (int d = 0; d < iter.ndim; ++d) {
    index[d] = rest % iter.sizes[d];
    rest /= iter.sizes[d];
  }
  const int64_t row = iter.ndim ? iter.sizes[0] : 1;
  bool repeats = false;  // one value a row: filled in for a whole block at less cost than a call for each row
  for (int i = 0; i < plan.inputs; ++i)
    repeats = repeats || (plan.used[i] && !plan.constant[i] && iter.ndim && iter.in[i].strides[0] == 0);
  const bool by_row = iter.ndim == 1 || row >= (repeats ? plan.block : kShortRow);
  for (int64_t begin = first; begin < end;) {
    int64_t n = end - begin < plan.block ? end - begin : plan.block;
    const int64_t left = row - index[0];
    if (by_row && n > left) n = left;
    block(plan, buffers, index, begin, n, n <= left);
    begin += n;
    index[0] += n;
    while (index[0] >= row && begin < end) {
      index[0] -= row;
      advance(iter, index);
    }
  }
  if (plan.stream) stream_end();
}

// Whether rows are short, and each operand is of the kernel's type and runs along them or has one value for each.
FG_INLINE bool has_plain_rows(const Plan& plan) {
  const Iter& iter = *plan.iter;
  if (plan.kernel.fn == nullptr || plan.stream || iter.ndim < 2) return false;
  if (iter.sizes[0] < kShortestRow || iter.sizes[0] > plan.block || iter.out.strides[0] != 1) return false;
  for (int i = 0; i <= plan.inputs; ++i) {
    if (!plan.used[i] || plan.constant[i]) continue;
    if (!plan.native[i] || operand(plan, i).strides[0] < 0 || operand(plan, i).strides[0] > 1) return false;
  }
  return true;
}
// The one of two inputs that has one value for each row, when the other runs along the rows; else -1.
FG_INLINE int lone_value_of_rows(const Plan& plan) {
  if (plan.inputs != 2 || !plan.used[0] || !plan.used[1] || plan.constant[0] || plan.constant[1]) return -1;
  const int64_t first = plan.iter->in[0].strides[0], second = plan.iter->in[1].strides[0];
  if (first == 0 && second == 1) return 0;
  return first == 1 && second == 0 ? 1 : -1;
}
FG_NOINLINE void run_rows(void* context, int64_t chunk) {
  const Plan& plan = *static_cast<const Plan*>(context);
  const Iter& iter = *plan.iter;
  Buffers buffers;
  fill_constants(plan, buffers);
  const int64_t row = iter.sizes[0], rows = plan.chunk / row;
  const int64_t first = chunk * rows, last = smaller(first + rows, iter.numel / row);
  const int item = static_cast<int>(plan.item), out_item = static_cast<int>(plan.out_item);
  int64_t index[kMaxDims], rest = first;
  for (int d = 1; d < iter.ndim; ++d) {
    index[d] = rest % iter.sizes[d];
    rest /= iter.sizes[d];
  }
  index[0] = 0;
  // From row to row move the pointers that the kernel takes, and those to values of rows, which fill a buffer.
  const void* pointers[kMaxInputs] = {};
  const char* values[kMaxInputs];
  int64_t steps[kMaxInputs];
  int direct[kMaxInputs], repeated[kMaxInputs], directs = 0, repeats = 0;
  for (int i = 0; i < plan.inputs; ++i) {
    if (!plan.used[i]) continue;
    pointers[i] = buffers.in[i];
    if (plan.constant[i]) continue;
    steps[i] = iter.in[i].strides[1] * item;
    if (iter.in[i].strides[0] == 1) direct[directs++] = i;
    else repeated[repeats++] = i;
  }
  const int64_t out_step = iter.out.strides[1] * out_item, filled = plan.vector >= 0 ? kVecBytes / item : row;
  const bool whole = row % (kVecBytes / (item == 8 ? 8 : 4)) == 0;
  for (int64_t r = first; r < last;) {
    for (int k = 0; k < directs; ++k)
      pointers[direct[k]] = address(iter.in[direct[k]], offset_of(iter.in[direct[k]], iter.ndim, index));
    for (int k = 0; k < repeats; ++k)
      values[k] = address(iter.in[repeated[k]], offset_of(iter.in[repeated[k]], iter.ndim, index));
    char* out = address(iter.out, offset_of(iter.out, iter.ndim, index));
    for (const int64_t end = smaller(last, r + iter.sizes[1] - index[1]); r < end; ++r, out += out_step) {
      for (int k = 0; k < repeats; ++k) {
        gather_row(item, buffers.in[repeated[k]], values[k], 0, filled);
        values[k] += steps[repeated[k]];
      }
      if (whole) plan.kernel.fn(row, out, pointers, iter.params);
      else apply(plan.kernel.fn, item, out_item, row, out, pointers, plan.inputs, iter.params, plan.vector);
      for (int k = 0; k < directs; ++k)
        pointers[direct[k]] = static_cast<const char*>(pointers[direct[k]]) + steps[direct[k]];
    }
    index[1] = iter.sizes[1] - 1;
    advance(iter, index);
  }
}

// A chunk is a strip kTileWidth wide along dimension 0 and kTileRun long along `other`.
FG_NOINLINE void run_tiles(void* context, int64_t chunk) {
  const Plan& plan = *static_cast<const Plan*>(context);
  const Iter& iter = *plan.iter;
  const int other = plan.other;
  Buffers buffers;
  fill_constants(plan, buffers);
  const int64_t runs = (iter.sizes[other] + kTileRun - 1) / kTileRun;
  const int64_t strips = (iter.sizes[0] + kTileWidth - 1) / kTileWidth;
  int64_t index[kMaxDims];
  index[other] = chunk % runs * kTileRun;
  index[0] = chunk / runs % strips * kTileWidth;
  int64_t rest = chunk / runs / strips;
  for (int d = 1; d < iter.ndim; ++d) {
    if (d == other) continue;
    index[d] = rest % iter.sizes[d];
    rest /= iter.sizes[d];
  }
  const int width = static_cast<int>(iter.sizes[0] - index[0] < kTileWidth ? iter.sizes[0] - index[0] : kTileWidth);
  const int64_t end = index[other] + kTileRun < iter.sizes[other] ? index[other] + kTileRun : iter.sizes[other];
  const int64_t height_of_tile = plan.block / kTileWidth;
  const Operand& out = iter.out;
  const int out_bytes = item_bytes(out.dtype);
  const bool only_moves = plan.kernel.raw && !plan.stream && out.strides[0] == 1 && !plan.constant[0];
  for (; index[other] < end; index[other] += height_of_tile) {
    const int height = static_cast<int>(end - index[other] < height_of_tile ? end - index[other] : height_of_tile);
    if (only_moves) {
      const Operand& from = iter.in[0];
      gather_tile(out_bytes, address(out, offset_of(out, iter.ndim, index)), out.strides[other],
                  address(from, offset_of(from, iter.ndim, index)), from.strides[0], from.strides[other], width,
                  height);
      continue;
    }
    const void* pointers[kMaxInputs] = {};
    for (int i = 0; i < plan.inputs; ++i) {
      if (!plan.used[i]) continue;
      pointers[i] = buffers.in[i];
      if (plan.constant[i]) continue;
      const Operand& from = iter.in[i];
      char* to = plan.native[i] ? buffers.in[i] : buffers.raw;
      gather_tile(item_bytes(from.dtype), to, width, address(from, offset_of(from, iter.ndim, index)), from.strides[0],
                  from.strides[other], width, height);
      if (!plan.native[i])
        load_contiguous(plan.kernel.compute, buffers.in[i], from.dtype, to, static_cast<int64_t>(width) * height);
    }
    const char* result = compute_block(plan, buffers, pointers, static_cast<int64_t>(width) * height, nullptr);
    char* to = address(out, offset_of(out, iter.ndim, index));
    for (int j = 0; j < height; ++j, to += out.strides[other] * out_bytes, result += width * out_bytes) {
      if (plan.stream && out.strides[0] == 1) stream_bytes(to, result, width * out_bytes);
      else scatter_row(out_bytes, to, result, out.strides[0], width);
    }
  }
  if (plan.stream) stream_end();
}

// Contiguous arrays of the kernel's type, one of two perhaps a vector for all.
FG_NOINLINE void run_direct(void* context, int64_t chunk) {
  const Plan& plan = *static_cast<const Plan*>(context);
  const int64_t begin = chunk * plan.chunk;
  const int64_t n = plan.iter->numel - begin < plan.chunk ? plan.iter->numel - begin : plan.chunk;
  const void* pointers[kMaxInputs] = {};
  alignas(64) char vector[kVecBytes];
  for (int i = 0; i < plan.inputs; ++i)
    if (plan.used[i]) pointers[i] = static_cast<const char*>(plan.iter->in[i].data) + begin * plan.item;
  if (plan.vector >= 0) {
    repeat_constant(plan, plan.vector, vector, kVecBytes / compute_bytes(plan.kernel.compute));
    pointers[plan.vector] = vector;
  }
  apply(plan.kernel.fn, static_cast<int>(plan.item), static_cast<int>(plan.out_item), n,
        static_cast<char*>(plan.iter->out.data) + begin * plan.out_item, pointers, plan.inputs, plan.iter->params,
        plan.vector);
}

// Contiguous arrays of the compute type, and values that are one for all: a block of those stays in L1 while the arrays
// pass. A load from a page behind a store that is still under way would wait for it, so a block of values lies half a
// page away from the output (in-place products of 4 MB: 95 us at the worst place, 75 at others).
FG_NOINLINE void run_constants(void* context, int64_t chunk) {
  const Plan& plan = *static_cast<const Plan*>(context);
  const Iter& iter = *plan.iter;
  const int64_t begin = chunk * plan.chunk;
  const int64_t end = iter.numel - begin < plan.chunk ? iter.numel : begin + plan.chunk;
  char* out = static_cast<char*>(iter.out.data) + begin * plan.out_item;
  alignas(64) char values[kMaxInputs][kBufferBytes + kPage];
  const void* pointers[kMaxInputs] = {};
  int64_t steps[kMaxInputs] = {};
  for (int i = 0; i < plan.inputs; ++i) {
    if (!plan.used[i]) continue;
    if (plan.constant[i]) {
      const int64_t away = out - values[i] + kPage / 2;
      char* to = values[i] + (away & (kPage - 64));
      repeat_constant(plan, i, to, smaller(plan.block, end - begin));
      pointers[i] = to;
    } else {
      pointers[i] = static_cast<const char*>(iter.in[i].data) + begin * plan.item;
      steps[i] = plan.block * plan.item;
    }
  }
  for (int64_t at = begin; at < end; at += plan.block) {
    apply(plan.kernel.fn, static_cast<int>(plan.item), static_cast<int>(plan.out_item), smaller(plan.block, end - at),
          out, pointers, plan.inputs, iter.params);
    out += plan.block * plan.out_item;
    for (int i = 0; i < plan.inputs; ++i)
      if (steps[i]) pointers[i] = static_cast<const char*>(pointers[i]) + steps[i];
  }
}

// The kernel for operands that are all of the one half type, but for the constant one that it takes as a vector.
FG_INLINE KernelFn half_kernel(const Plan& plan, int vector) {
  const DType dtype = plan.iter->out.dtype;
  if (dtype != DType::Float16 && dtype != DType::BFloat16) return nullptr;
  for (int i = 0; i < plan.inputs; ++i)
    if (i != vector && plan.used[i] && plan.iter->in[i].dtype != dtype) return nullptr;
  const Kernel& kernel = plan.kernel;
  const Variants of = vector < 0 ? Variants{kernel.fn, kernel.of_f16, kernel.of_bf16} : kernel.beside[vector];
  return dtype == DType::Float16 ? of.of_f16 : of.of_bf16;
}

FG_INLINE bool is_native(const Kernel& kernel, DType dtype, bool is_out) {
  if (is_out && kernel.test) return dtype == DType::Bool || dtype == DType::UInt8;
  return kernel.raw || dtype == native(kernel.compute);
}

// The dimension along which some operand runs while the output does not, when tiles over it pay; else 0.
FG_NOINLINE int tile_dimension(const Iter& iter) {
  if (iter.ndim < 2 || iter.sizes[0] < 16 || iter.numel < 4096) return 0;
  for (int i = 0; i < iter.inputs; ++i) {
    const Operand& from = iter.in[i];
    if (from.data == nullptr || (from.strides[0] >= -8 && from.strides[0] <= 8)) continue;
    for (int d = 1; d < iter.ndim; ++d)
      if ((from.strides[d] == 1 || from.strides[d] == -1) && iter.sizes[d] >= 8) return d;
  }
  return 0;
}

FG_NOINLINE void run_general(const Iter& iter, const Kernel& kernel) {
  Plan plan;
  plan.iter = &iter;
  plan.kernel = kernel;
  plan.inputs = iter.inputs;
  plan.item = kernel.raw ? item_bytes(iter.out.dtype) : compute_bytes(kernel.compute);
  plan.out_item = kernel.test ? 1 : plan.item;
  plan.block = kBufferBytes / (plan.item > 4 || kernel.raw ? plan.item : 4);
  const int64_t out_bytes = iter.numel * item_bytes(iter.out.dtype);
  plan.stream = out_bytes >= kStreamBytes;
  plan.chunk = kernel.costly ? 16384 : 32768;
  plan.vector = -1;
  // All but constants: usable in place by the kernel, contiguous.
  bool native = kernel.fn != nullptr, dense = true;
  int constants = 0, constant = 0;
  for (int i = 0; i <= plan.inputs; ++i) {
    const Operand& item = operand(plan, i);
    plan.used[i] = item.data != nullptr;
    if (!plan.used[i]) continue;
    plan.native[i] = is_native(kernel, item.dtype, i == plan.inputs);
    plan.dense[i] = true;
    plan.constant[i] = iter.numel > 1;
    int64_t expected = 1;
    for (int d = 0; d < iter.ndim; ++d) {
      plan.dense[i] = plan.dense[i] && item.strides[d] == expected;
      plan.constant[i] = plan.constant[i] && item.strides[d] == 0;
      expected *= iter.sizes[d];
    }
    if (i == plan.inputs) plan.constant[i] = false;
    else if (item.data == iter.out.data) plan.stream = false;
    if (plan.constant[i]) {
      ++constants;
      constant = i;
      continue;
    }
    dense = dense && plan.dense[i];
    native = native && plan.native[i];
  }
  const int vector = constants == 1 && plan.inputs == 2 && kernel.beside[constant].fn ? constant : -1;
  bool direct = dense && native && !plan.stream;
  if (direct && vector >= 0) {
    plan.kernel.fn = kernel.beside[vector].fn;
    plan.vector = vector;
  } else if (dense && !plan.stream && constants <= (vector >= 0)) {
    if (KernelFn of_half = half_kernel(plan, vector)) {
      plan.kernel.fn = of_half;
      plan.vector = vector;
      plan.item = plan.out_item = 2;
      direct = true;
    }
  }
  const int64_t cost = static_cast<int64_t>(static_cast<double>(iter.numel) * (kernel.costly ? 0.5 : 0.15)) +
                       (plan.stream ? out_bytes / 16 : 0);
  plan.other = direct || (dense && native) ? 0 : tile_dimension(iter);
  void (*work)(void*, int64_t) = !direct ? run_blocks : constants == 0 || plan.vector >= 0 ? run_direct : run_constants;
  int64_t chunks = (iter.numel + plan.chunk - 1) / plan.chunk;
  if (plan.other == 0 && !direct && has_plain_rows(plan)) {
    work = run_rows;
    if (int i = lone_value_of_rows(plan); i >= 0 && kernel.beside[i].fn) {
      plan.kernel.fn = kernel.beside[i].fn;
      plan.vector = i;
    }
    const int64_t rows = plan.chunk / iter.sizes[0];
    chunks = (iter.numel / iter.sizes[0] + rows - 1) / rows;
  }
  if (plan.other > 0) {
    work = run_tiles;
    const int64_t plane = iter.sizes[0] * iter.sizes[plan.other];
    chunks = iter.numel / plane * ((iter.sizes[0] + kTileWidth - 1) / kTileWidth) *
             ((iter.sizes[plan.other] + kTileRun - 1) / kTileRun);
  }
  if (iter.numel >= (kernel.costly ? 32768 : 65536)) {
    parallel_for(chunks, cost, work, &plan);
  } else {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) work(&plan, chunk);
  }
}

FG_NOINLINE void run(const Iter& iter, const Kernel& kernel) {
  // Small contiguous work of the native dtype is most of all calls: straight to the kernel.
  if (iter.numel < 16384 && (iter.ndim <= 1 || iter.numel == 1) && is_native(kernel, iter.out.dtype, true)) {
    const bool one = iter.numel == 1;
    bool direct = one || iter.out.strides[0] == 1;
    const void* pointers[kMaxInputs];
    const DType wanted = native(kernel.compute);
    for (int i = 0; i < iter.inputs; ++i) {
      const Operand& from = iter.in[i];
      pointers[i] = from.data;
      direct = direct && (from.data == nullptr || (from.dtype == wanted && (one || from.strides[0] == 1)));
    }
    const int bytes = compute_bytes(kernel.compute);
    if (direct)
      return apply(kernel.fn, bytes, kernel.test ? 1 : bytes, iter.numel, static_cast<char*>(iter.out.data), pointers,
                   iter.inputs, iter.params);
  }
  run_general(iter, kernel);
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
