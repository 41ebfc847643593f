// A caching allocator, one per device. Only the bookkeeping is here: the memory comes from two function pointers, so
// the whole of it is tested without a GPU.
//
// Up to 1 MiB, blocks of a size class (4 per power of two from 512 B) are carved from 2 MiB slabs; above, multiples of
// 2 MiB, best fit but no more than a quarter too large. Free blocks wait in lists per stream: the stream's order makes
// it safe to hand a block out again at once.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/backend.h"

namespace fg::cuda {

struct Backing {
  void* (*reserve)(size_t bytes, int device);  // nullptr: no more
  void (*give_back)(void* memory, int device);
};

class Allocator {
 public:
  static constexpr size_t kSlab = size_t(2) << 20, kLargest = size_t(1) << 20, kSmallest = 512;
  static constexpr int kClasses = 45;  // 512 * 2^(i / 4) * (1 + i % 4 / 4), up to 1 MiB

  Allocator(int device, Backing backing) : device_(device), backing_(backing) {}
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  void* allocate(size_t bytes, void* stream);  // nullptr for 0 bytes too
  void release(void* block, size_t bytes, void* stream);
  void empty_cache();
  MemoryStats stats();
  void reset_peak();

  static int class_of(size_t bytes);  // bytes <= kLargest
  static size_t class_bytes(int index);

 private:
  struct Pool {
    std::vector<void*> free[kClasses];
    std::multimap<size_t, void*> large;
    char* slab = nullptr;  // where the next small block is carved
    size_t left = 0;
  };
  struct Slab {
    size_t carved = 0;
    Pool* pool = nullptr;
  };

  void* small_block(Pool& pool, int index);
  void* large_block(Pool& pool, size_t bytes, size_t& taken);
  void* reserve(size_t bytes);  // tries again with an empty cache
  void empty_cache_locked();
  std::map<char*, Slab>::iterator slab_of(void* block);

  const int device_;
  const Backing backing_;
  std::mutex mutex_;
  std::unordered_map<void*, Pool> pools_;    // by stream
  std::map<char*, Slab> slabs_;              // by address
  std::unordered_map<void*, size_t> large_;  // live and cached large blocks: their true size
  MemoryStats stats_{};
};

}  // namespace fg::cuda
