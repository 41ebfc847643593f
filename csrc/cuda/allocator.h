// A caching allocator, one per device. Only the bookkeeping is here: the memory comes from two function pointers, so
// the whole of it is tested without a GPU.
//
// Up to 1 MiB, blocks of a size class (4 per power of two, multiples of 512 B) are carved from 2 MiB slabs; above,
// multiples of 2 MiB, best fit but no more than a quarter too large. Free blocks wait in lists per stream: the stream's
// order makes it safe to hand a block out again at once.
//
// Graphs have pools of their own, named by a number: what was taken from one goes back to it, and none of its memory is
// used for anything else or given back while somebody retains it, as replays write there.
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
  void* (*reserve)(size_t bytes, int device);   // nullptr: no more
  bool (*give_back)(void* memory, int device);  // false: it could not be
  bool (*may_give_back)();                      // now
};

class Allocator {
 public:
  static constexpr size_t kSlab = size_t(2) << 20, kLargest = size_t(1) << 20, kSmallest = 512;
  static constexpr int kClasses = 45;  // 512 * 2^(i / 4) * (1 + i % 4 / 4), rounded up to 512, up to 1 MiB

  Allocator(int device, Backing backing) : device_(device), backing_(backing) {}
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // nullptr for 0 bytes too. own_pool: a number, or 0: what all share.
  void* allocate(size_t bytes, void* stream, uint64_t own_pool = 0);
  void release(void* block, size_t bytes, void* stream);
  void empty_cache();
  void retain_pool(uint64_t own_pool);
  void release_pool(uint64_t own_pool);
  MemoryStats stats();
  int largest_live(int64_t* bytes, int most);  // of those above kLargest
  void reset_peak();

  static int class_of(size_t bytes);  // bytes <= kLargest
  static size_t class_bytes(int index);

 private:
  struct Pool {
    std::vector<void*> free[kClasses];
    std::multimap<size_t, void*> large;
    char* slab = nullptr;  // where the next small block is carved
    size_t left = 0;
    uint64_t own = 0;  // its number
  };
  struct Large {
    size_t bytes;  // its true size
    Pool* pool;
  };
  struct Slab {
    size_t carved = 0;
    Pool* pool = nullptr;
  };

  void* small_block(Pool& pool, int index);
  void* large_block(Pool& pool, size_t bytes, size_t& taken);
  void* reserve(size_t bytes, bool try_again);  // with an empty cache
  bool is_kept(const Pool& pool) const { return pool.own && retained_.contains(pool.own); }
  void empty_cache_locked();
  std::map<char*, Slab>::iterator slab_of(void* block);

  const int device_;
  const Backing backing_;
  std::mutex mutex_;
  std::map<std::pair<uint64_t, void*>, Pool> pools_;  // by number and stream
  std::unordered_map<uint64_t, int> retained_;
  bool any_own_ = false;                    // whether there has been a pool with a number
  std::map<char*, Slab> slabs_;             // by address
  std::unordered_map<void*, Large> large_;  // live and cached large blocks
  MemoryStats stats_{};
};

}  // namespace fg::cuda
