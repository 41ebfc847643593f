// Free lists by size class, first per thread (no lock, about 3 ns a pair), then shared.
//
// Two ranges of classes use them: objects (tensors, nodes; steps of 16 bytes up to 512) and small tensor memory (4
// classes per power of two, 64 bytes to 1 MB; cpu/allocator.cpp). Blocks have no header, so release needs the size
// again. A block may be released on another thread: it joins that thread's list, and full lists hand half of themselves
// to the shared one. Start reading at take() and give().
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

namespace fg {
namespace pool {

constexpr int kObjectClasses = 33;  // class c holds 16 * c bytes; class 0 is unused
constexpr int kMemoryClasses = 52;
constexpr int kClasses = kObjectClasses + kMemoryClasses;
constexpr size_t kMaxObject = 512;
constexpr size_t kMaxMemory = size_t{1} << 20;
constexpr size_t kSlab = size_t{2} << 20;

struct List {
  void* head;  // the first word of a free block points to the next
  // How many more blocks fit before give() turns to the shared list. It rises by one per block handed out and falls by
  // one per block taken back, so statistics read from it (on any thread, hence atomic) and cost the fast path nothing.
  std::atomic<int64_t> room;
  void add_room(int64_t n) { room.store(room.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
};

struct Usage {
  int64_t bytes, blocks;
};

struct Cache {
  List lists[kClasses];
  Usage counted;  // what the totals already know of `room`
  Cache *next, *previous;
};

// Points to an empty cache that is never written (no block, no room) until the slow path makes one for the thread, so
// the fast path needs no test. A pointer, because static thread-local space is scarce in a library opened at run time.
#if defined(__linux__)
extern constinit thread_local Cache* cache __attribute__((tls_model("initial-exec"), visibility("hidden")));
#else
extern constinit thread_local Cache* cache;
#endif

void* take_shared(int c);  // nullptr when there is no more memory
void give_shared(void* block, int c);
size_t class_bytes(int c);

inline void* take(int c) {
  List& list = cache->lists[c];
  void* block = list.head;
  if (block == nullptr) [[unlikely]]
    return take_shared(c);
  list.head = *static_cast<void**>(block);
  list.add_room(1);
  return block;
}

inline void give(void* block, int c) {
  List& list = cache->lists[c];
  if (list.room.load(std::memory_order_relaxed) == 0) [[unlikely]]
    return give_shared(block, c);
  *static_cast<void**>(block) = list.head;
  list.head = block;
  list.add_room(-1);
}

// 64, 128, 192, 256, then 320, 384, 448, 512, 640, ... 1 MB; 1 <= bytes <= kMaxMemory.
inline int memory_class(size_t bytes) {
  size_t last = bytes - 1;
  if (last < 256) return kObjectClasses + static_cast<int>(last >> 6);
  int power = 55 - __builtin_clzll(last);  // 0 for 256 <= last < 512
  return kObjectClasses + 4 * power + static_cast<int>(last >> (6 + power));
}

// 2 MB aligned address space in huge pages where the system has them; bytes: of whole pages. Never throws.
void* map_pages(size_t bytes);
void unmap_pages(void* pages, size_t bytes);

struct Totals {
  int64_t bytes, peak_bytes, blocks, reserved, peak_reserved;
};
Totals totals();
void count(int64_t bytes, int64_t blocks, int64_t reserved);  // of large blocks
void reset_peak();
void trim();  // gives back slabs of which every block is in a shared list

}  // namespace pool

// Memory for an object; throws std::bad_alloc. The size folds to a class at compile time when it is a constant.
inline void* allocate_object(size_t bytes) {
#ifndef FG_SANITIZE
  if (bytes - 1 < pool::kMaxObject) {
    if (void* block = pool::take(static_cast<int>((bytes + 15) / 16))) return block;
    throw std::bad_alloc();
  }
#endif
  return ::operator new(bytes);
}

inline void release_object(void* block, [[maybe_unused]] size_t bytes) {
#ifndef FG_SANITIZE
  if (bytes - 1 < pool::kMaxObject) return pool::give(block, static_cast<int>((bytes + 15) / 16));
#endif
  ::operator delete(block);
}

}  // namespace fg
