// Free lists by size class, first per thread (no lock, about 3 ns a pair), then shared.
//
// Two ranges of classes use them: objects (tensors, nodes; steps of 16 bytes up to 512) and small tensor memory (8
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
constexpr int kMemoryClasses = 96;
constexpr int kClasses = kObjectClasses + kMemoryClasses;
constexpr size_t kMaxObject = 512;
constexpr size_t kMaxMemory = size_t{1} << 20;
constexpr size_t kSlab = size_t{2} << 20;

struct List {
  void* head;  // the first word of a free block points to the next
  // How many more blocks fit before give() turns to the shared list. It rises by one per block handed out and falls by
  // one per block taken back, so the number of blocks is read from it (on any thread, hence atomic) and cost the fast
  // path nothing.
  std::atomic<int64_t> room;
  void add_room(int64_t n) { room.store(room.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
};

// Bytes of tensor memory: handed out less taken back, and the most that was since the totals last looked.
struct Counter {
  std::atomic<int64_t> now, most;
  void add(int64_t bytes) {
    const int64_t sum = now.load(std::memory_order_relaxed) + bytes;
    now.store(sum, std::memory_order_relaxed);
    if (sum > most.load(std::memory_order_relaxed)) most.store(sum, std::memory_order_relaxed);
  }
};

struct Cache {
  List lists[kClasses];
  Counter requested, bytes;  // as asked for, and of whole blocks
  // What the totals already know of the two, and of the blocks that follow from `room`.
  int64_t known_requested, known_bytes, known_blocks;
  bool writable;  // false of the empty one
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
inline size_t class_bytes(int c) {
  if (c < kObjectClasses) return static_cast<size_t>(c) * 16;
  const int k = c - kObjectClasses;
  return k < 8 ? size_t(k + 1) * 64 : size_t(k % 8 + 9) << (k / 8 + 5);
}

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

// 64, 128, ..., 512, then 576, 640, ..., 1024, 1152, ... 1 MB; 1 <= bytes <= kMaxMemory.
inline int memory_class(size_t bytes) {
  size_t last = bytes - 1;
  if (last < 512) return kObjectClasses + static_cast<int>(last >> 6);
  int power = 54 - __builtin_clzll(last);  // 0 for 512 <= last < 1024
  return kObjectClasses + 8 * power + static_cast<int>(last >> (6 + power));
}

void count_shared(int64_t requested, int64_t bytes);
// Counts bytes that were asked for, and those of their block; negative: given back.
inline void count(int64_t requested, int64_t bytes) {
  if (!cache->writable) [[unlikely]]
    return count_shared(requested, bytes);
  cache->requested.add(requested);
  cache->bytes.add(bytes);
}

// 2 MB aligned address space in huge pages where the system has them; bytes: of whole pages. Never throws.
void* map_pages(size_t bytes);
void unmap_pages(void* pages, size_t bytes);

struct Totals {  // peaks are exact where one thread allocates at a time
  int64_t bytes, peak_bytes, requested, peak_requested, blocks, reserved, peak_reserved;
};
Totals totals();
void count_large(int64_t blocks, int64_t reserved);
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
