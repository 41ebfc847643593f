// The CPU backend's entry points. Each instruction set fills the same table; detect.cpp calls them from the weakest to
// the best one allowed, so that a set overwrites only what it has.
#pragma once
#include "core/backend.h"

namespace fg::cpu {

const Backend& backend();      // filled at the first call
const char* active_isa();      // "baseline", "avx2" or "avx512"
const char* available_isas();  // space separated, weakest first

// kernels/<file>.cpp, once per instruction set (FG_ISA is baseline, avx2 or avx512)
#define FG_FILLS(isa)                    \
  namespace isa {                        \
  void fill_elementwise(Backend& table); \
  void fill_copy(Backend& table);        \
  void fill_reduce(Backend& table);      \
  void fill_rows(Backend& table);        \
  void fill_matmul(Backend& table);      \
  void fill_index(Backend& table);       \
  void fill_optim(Backend& table);       \
  void fill_random(Backend& table);      \
  void fill_images(Backend& table);      \
  }
FG_FILLS(baseline)
FG_FILLS(avx2)
FG_FILLS(avx512)
#undef FG_FILLS

// complex_*.cpp, compiled once
void fill_complex_forward(Backend& table);
void fill_complex_grad(Backend& table);
void fill_complex_copy(Backend& table);

// allocator.cpp
void* allocate(size_t bytes, Stream stream);
void release(void* block, size_t bytes, Stream stream);
void empty_cache(int device);
void memory_stats(int device, MemoryStats* out);
void reset_peak(int device);

// draw.cpp
void draw(const DrawArgs& args);
// pad.cpp
void pad(const PadArgs& args);
void pad_grad(const PadArgs& args);
// sort.cpp, select.cpp: work without vectors, compiled once
void sort(const SortArgs& args);
void topk(const SortArgs& args);
void pick(const SortArgs& args, Pick kind);

// Memory a kernel needs for itself while it runs (packing, partial sums); 64-byte aligned.
void* scratch(size_t bytes);
void release_scratch(void* block, size_t bytes);

}  // namespace fg::cpu
