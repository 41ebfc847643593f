// The walk that gather and scatter share: after collapsing, the work is tiles of the two fastest dimensions. A tile is
// either rows that have one index each (index_select, embedding) or runs of single indices. Also the check of an index.
//
// Scatter may hit a place more than once. Dimensions along which the destination moves (its stride is not 0) separate
// places, so only these are cut between threads, and each piece walks the others in row-major order: every place sees
// its contributions in the same order whatever the number of threads. For kernel files only; all of it is internal.
#pragma once
#include <cstring>

#include "core/backend.h"
#include "cpu/copy_bytes.h"
#include "cpu/parallel.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kGrain = 16384;   // elements of a chunk
constexpr int64_t kSerial = 32768;  // below this many elements threads do not pay
constexpr int64_t kAhead = 4;       // rows between a prefetch and its use
constexpr int64_t kRun = 1024;      // indices that are still in L1 when they are used after the check

inline int64_t most(int64_t a, int64_t b) { return a < b ? b : a; }
inline int64_t pieces(int64_t n, int64_t piece) { return (n + piece - 1) / piece; }

enum Side { kTo, kIndex, kFrom, kSides };  // written, index, read

struct Task;
// One tile: n0 x n1 elements of dimensions 0 and 1 from the given offsets on. False: an index is out of range.
using TileFn = bool (*)(const Task&, const int64_t* offset, int64_t n0, int64_t n1);

// Dimensions 0 and 1 make the tiles; [2, ordered) are walked in order within a unit of work, the others between units.
struct Task {
  char* to;
  const int64_t* index;
  const char* from;
  int64_t size, stride;  // of the indexed dimension
  int64_t lowest;        // index: -size, or 0
  TileFn tile;
  int ndim, ordered;
  int64_t sizes[kMaxDims + 2];
  int64_t strides[kSides][kMaxDims + 2];
  int64_t cut[2];                      // length of the pieces of dimensions 0 and 1
  int64_t counts[kMaxDims + 2];        // steps of the walk: pieces of these two, elements of the others,
  int64_t hops[kSides][kMaxDims + 2];  // and how far each goes
  int64_t units, units_per_chunk;
  int bad;
};

void append(Task& task, int64_t size, const int64_t* strides) {
  task.sizes[task.ndim] = size;
  for (int s = 0; s < kSides; ++s) task.strides[s][task.ndim] = strides[s];
  ++task.ndim;
}

// The dimensions of an Iter without those of size 1, neighbours merged where every operand allows it: the order stays.
void collapse(const Iter& iter, Task& task) {
  task.ndim = 0;
  for (int dim = 0; dim < iter.ndim; ++dim) {
    if (iter.sizes[dim] == 1) continue;
    const int64_t strides[kSides] = {iter.out.strides[dim], iter.in[0].strides[dim], iter.in[1].strides[dim]};
    const int last = task.ndim - 1;
    bool merge = last >= 0;
    for (int s = 0; s < kSides && merge; ++s) merge = strides[s] == task.strides[s][last] * task.sizes[last];
    if (merge) {
      task.sizes[last] *= iter.sizes[dim];
    } else {
      append(task, iter.sizes[dim], strides);
    }
  }
  const int64_t none[kSides] = {0, 0, 0};
  while (task.ndim < 2) append(task, 1, none);
}

// The next position in dimensions [first, last); false after the last one, then back at the start.
bool advance(const Task& task, int first, int last, int64_t* at, int64_t* offset) {
  for (int dim = first; dim < last; ++dim) {
    for (int s = 0; s < kSides; ++s) offset[s] += task.hops[s][dim];
    if (++at[dim] < task.counts[dim]) return true;
    for (int s = 0; s < kSides; ++s) offset[s] -= task.hops[s][dim] * task.counts[dim];
    at[dim] = 0;
  }
  return false;
}

void run_chunk(void* context, int64_t chunk) {
  Task& task = *static_cast<Task*>(context);
  const int64_t first = chunk * task.units_per_chunk, last = smaller(first + task.units_per_chunk, task.units);
  int64_t at[kMaxDims + 2], offset[kSides] = {0, 0, 0}, rest = first;
  for (int dim = 0; dim < task.ndim; ++dim) {
    at[dim] = 0;
    if (dim >= 2 && dim < task.ordered) continue;
    at[dim] = rest % task.counts[dim];
    rest /= task.counts[dim];
    for (int s = 0; s < kSides; ++s) offset[s] += at[dim] * task.hops[s][dim];
  }
  for (int64_t unit = first; unit < last; ++unit) {
    const int64_t n0 = smaller(task.cut[0], task.sizes[0] - at[0] * task.cut[0]);
    const int64_t n1 = smaller(task.cut[1], task.sizes[1] - at[1] * task.cut[1]);
    do {
      if (!task.tile(task, offset, n0, n1)) return __atomic_store_n(&task.bad, 1, __ATOMIC_RELAXED);
    } while (advance(task, 2, task.ordered, at, offset));
    if (!advance(task, 0, 2, at, offset)) advance(task, task.ordered, task.ndim, at, offset);
  }
}

// False: an index is out of range.
bool run(Task& task, int64_t numel, int64_t element_bytes) {
  task.units = 1;
  for (int dim = 0; dim < task.ndim; ++dim) {
    task.counts[dim] = dim < 2 ? pieces(task.sizes[dim], task.cut[dim]) : task.sizes[dim];
    for (int s = 0; s < kSides; ++s) task.hops[s][dim] = task.strides[s][dim] * (dim < 2 ? task.cut[dim] : 1);
    if (dim < 2 || dim >= task.ordered) task.units *= task.counts[dim];
  }
  task.units_per_chunk = most(kGrain / most(numel / task.units, 1), 1);
  task.bad = 0;
  const int64_t chunks = pieces(task.units, task.units_per_chunk);
  if (numel < kSerial || chunks == 1) {
    task.units_per_chunk = task.units;
    run_chunk(&task, 0);
  } else {
    const int64_t cost = task.strides[kIndex][0] != 0 ? numel : numel * element_bytes / 8;
    parallel_for(chunks, cost, run_chunk, &task);
  }
  return task.bad == 0;
}

// ---- the index -----------------------------------------------------------------------------------------------------
// Wraps around as intended: the sign bit of the result is set unless lowest <= i < size.
inline uint64_t outside(int64_t i, int64_t lowest, int64_t size) {
  const uint64_t raised = static_cast<uint64_t>(i) - static_cast<uint64_t>(lowest);
  return raised | (static_cast<uint64_t>(size) - 1 - static_cast<uint64_t>(i));
}
inline bool is_outside(int64_t i, int64_t lowest, int64_t size) { return outside(i, lowest, size) >> 63; }

bool any_outside(const int64_t* index, int64_t n, int64_t step, const Task& task) {
  uint64_t seen = 0;
  const int64_t lowest = task.lowest, size = task.size;
  if (step == 1) {
    for (int64_t i = 0; i < n; ++i) seen |= outside(index[i], lowest, size);
  } else {
    for (int64_t i = 0; i < n; ++i) seen |= outside(index[i * step], lowest, size);
  }
  return seen >> 63;
}

// Elements from the start of the indexed dimension, for an index that was checked.
inline int64_t place(int64_t i, const Task& task) { return (i + (i >> 63 & task.size)) * task.stride; }

// What another thread writes to an index after the check must not become an address: each is read once where it is
// used, and compared again. (Volatile: with an atomic load the compiler reads all else from memory again.)
inline int64_t index_at(const int64_t* index) { return *static_cast<const volatile int64_t*>(index); }

// The index may be wrong here: the address is not read then.
template <class T>
inline const T* row_ahead(const T* base, int64_t offset, int64_t i, const Task& task) {
  const uint64_t place = static_cast<uint64_t>(i + (i >> 63 & task.size)) * static_cast<uint64_t>(task.stride);
  const uintptr_t elements = static_cast<uintptr_t>(offset) + static_cast<uintptr_t>(place);
  return reinterpret_cast<const T*>(reinterpret_cast<uintptr_t>(base) + elements * sizeof(T));
}
template <class T>
inline void prefetch(const T* base, int64_t offset, int64_t i, const Task& task) {
  __builtin_prefetch(row_ahead(base, offset, i, task));
}

inline void plan_tiles(Task& task) {
  task.ordered = 2;
  task.cut[0] = smaller(task.sizes[0], kGrain);
  task.cut[1] = smaller(task.sizes[1], most(kGrain / task.cut[0], 1));
}

// The first one out of range in row-major order, for the error message.
int64_t first_outside(const IndexArgs& args) {
  const Iter& iter = args.iter;
  const int64_t* index = static_cast<const int64_t*>(iter.in[0].data);
  int64_t at[kMaxDims];
  for (int dim = 0; dim < iter.ndim; ++dim) at[dim] = 0;
  const int64_t lowest = args.no_wrap ? 0 : -args.size;
  while (!is_outside(*index, lowest, args.size)) {
    int dim = 0;
    for (; dim < iter.ndim; ++dim) {
      index += iter.in[0].strides[dim];
      if (++at[dim] < iter.sizes[dim]) break;
      index -= iter.in[0].strides[dim] * iter.sizes[dim];
      at[dim] = 0;
    }
    if (dim == iter.ndim) return -1;
  }
  return *index;
}

// ---- tiles ---------------------------------------------------------------------------------------------------------
typedef uint8_t Bytes16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint8_t Bytes64 __attribute__((vector_size(64), aligned(1), may_alias));

// Between one and two words: the first and the last, which may overlap.
template <class Word>
inline void copy_ends(char* out, const char* in, size_t bytes) {
  Word first, last;
  memcpy(&first, in, sizeof(Word));
  memcpy(&last, in + bytes - sizeof(Word), sizeof(Word));
  memcpy(out, &first, sizeof(Word));
  memcpy(out + bytes - sizeof(Word), &last, sizeof(Word));
}

// A call of memcpy costs as much as a short row. The lines of `next`, a row that is copied soon, are asked for.
template <class T>
inline void copy_row(T* to, const T* from, int64_t n, const T* next) {
  const size_t bytes = sizeof(T) * static_cast<size_t>(n);
  char* out = reinterpret_cast<char*>(to);
  const char* in = reinterpret_cast<const char*>(from);
  if (bytes > 8192) {
    copy_bytes(out, in, static_cast<int64_t>(bytes));
  } else if (bytes > 256) {
    const Bytes64 tail = *reinterpret_cast<const Bytes64*>(in + bytes - 64);
    for (size_t i = 0; i < bytes - 64; i += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(next) + i);
      *reinterpret_cast<Bytes64*>(out + i) = *reinterpret_cast<const Bytes64*>(in + i);
    }
    *reinterpret_cast<Bytes64*>(out + bytes - 64) = tail;
  } else if (bytes >= 16) {
    const Bytes16 tail = *reinterpret_cast<const Bytes16*>(in + bytes - 16);
    for (size_t i = 0; i < bytes - 16; i += 16) {
      *reinterpret_cast<Bytes16*>(out + i) = *reinterpret_cast<const Bytes16*>(in + i);
    }
    *reinterpret_cast<Bytes16*>(out + bytes - 16) = tail;
  } else if (bytes >= 8) {
    copy_ends<uint64_t>(out, in, bytes);
  } else if (bytes >= 4) {
    copy_ends<uint32_t>(out, in, bytes);
  } else if (bytes >= 2) {
    copy_ends<uint16_t>(out, in, bytes);
  } else if (bytes == 1) {
    *out = *in;
  }
}

int64_t element_bytes(DType dtype) {
  constexpr int64_t bytes[] = {
#define X(name, bytes, compute) bytes,
      FG_DTYPES(X)
#undef X
  };
  return bytes[static_cast<int>(dtype)];
}

bool is_empty(const Iter& iter) {
  for (int dim = 0; dim < iter.ndim; ++dim) {
    if (iter.sizes[dim] == 0) return true;
  }
  return false;
}

int64_t count_elements(const Task& task) {
  int64_t numel = 1;
  for (int dim = 0; dim < task.ndim; ++dim) numel *= task.sizes[dim];
  return numel;
}

void bind(Task& task, const IndexArgs& args) {
  task.to = static_cast<char*>(args.iter.out.data);
  task.index = static_cast<const int64_t*>(args.iter.in[0].data);
  task.from = static_cast<const char*>(args.iter.in[1].data);
  task.size = args.size;
  task.lowest = args.no_wrap ? 0 : -args.size;
  task.stride = args.stride;
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
