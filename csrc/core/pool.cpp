// The slow side of the free lists: shared lists, slabs, and what happens when threads end or the process forks.
//
// A shared list is a stack of batches: word 0 of a block links it to the next of its batch, word 1 of a batch's first
// block to the next batch; so a thread takes or gives a whole batch under the lock in a few steps. One lock serves all
// classes: it is reached once per batch. Everything here is reachable after static destructors have run, so nothing is
// destroyed.
#include "core/pool.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <unordered_map>

namespace fg::pool {
namespace {

constinit Cache nobody{};  // of threads that have none yet, or no longer

struct Shared {
  std::mutex mutex;
  void* batches[kClasses] = {};
  Cache* caches = nullptr;                              // of all living threads
  char *object_begin = nullptr, *object_end = nullptr;  // what is left of the newest slabs
  char *slab_begin = nullptr, *slab_end = nullptr;
  std::unordered_map<char*, int64_t> slabs;  // of tensor memory; the value is used by trim() only
  int64_t bytes = 0, blocks = 0, reserved = 0, peak_bytes = 0, peak_reserved = 0;
  int64_t requested = 0, peak_requested = 0;
};

Shared& shared() {
  static Shared& instance = *[] {
    auto* made = new Shared;
    pthread_atfork([] { shared().mutex.lock(); }, [] { shared().mutex.unlock(); }, [] { shared().mutex.unlock(); });
    return made;
  }();
  return instance;
}

void*& next(void* block) { return static_cast<void**>(block)[0]; }
void*& next_batch(void* block) { return static_cast<void**>(block)[1]; }

// Blocks a thread may keep: 256 KB a class, at most 128 blocks and at least 1.
int64_t thread_limit(int c) { return std::clamp<int64_t>(int64_t(262144 / class_bytes(c)), 1, 128); }

void push_batch(Shared& all, void* first, int c) {
  next_batch(first) = all.batches[c];
  all.batches[c] = first;
}

// Blocks of tensor memory that a thread handed out less what it took back, from an arbitrary start.
int64_t handed_out(const Cache& mine) {
  int64_t sum = 0;
  for (int c = kObjectClasses; c < kClasses; ++c) sum += mine.lists[c].room.load(std::memory_order_relaxed);
  return sum;
}

// Brings a total up to date with what a thread counted. The thread may go on meanwhile: then a peak between these lines
// is missed.
void settle(int64_t& total, int64_t& peak, Counter& counter, int64_t& known) {
  const int64_t most = counter.most.load(std::memory_order_relaxed);
  const int64_t now = counter.now.load(std::memory_order_relaxed);
  peak = std::max(peak, total + most - known);
  total += now - known;
  known = now;
  counter.most.store(now, std::memory_order_relaxed);
}

// Brings the totals up to date with a thread. Whoever changes `room` otherwise calls recount() after it.
void settle(Shared& all, Cache* mine) {
  if (mine == nullptr || mine == &nobody) return;
  const int64_t blocks = handed_out(*mine);
  all.blocks += blocks - mine->known_blocks;
  mine->known_blocks = blocks;
  settle(all.requested, all.peak_requested, mine->requested, mine->known_requested);
  settle(all.bytes, all.peak_bytes, mine->bytes, mine->known_bytes);
}

void recount(Cache* mine) { mine->known_blocks = handed_out(*mine); }

void count_one(Shared& all, int c, int64_t blocks) {
  if (c >= kObjectClasses) all.blocks += blocks;
}

void give_all(Shared& all, Cache* mine, int first_class) {
  settle(all, mine);
  for (int c = first_class; c < kClasses; ++c) {
    if (void* head = mine->lists[c].head) push_batch(all, head, c);
    mine->lists[c].head = nullptr;
    mine->lists[c].room.store(thread_limit(c), std::memory_order_relaxed);
  }
  recount(mine);
}

thread_local bool ended = false;  // not a member: stores to an object in its destructor may be dropped

struct ThreadEnd {
  bool registered = false;
  ~ThreadEnd() {
    ended = true;
    Cache* mine = cache;
    cache = &nobody;
    if (mine == &nobody) return;
    Shared& all = shared();
    {
      std::lock_guard lock(all.mutex);
      give_all(all, mine, 1);
      (mine->previous != nullptr ? mine->previous->next : all.caches) = mine->next;
      if (mine->next != nullptr) mine->next->previous = mine->previous;
    }
    delete mine;
  }
};
thread_local ThreadEnd thread_end;

// The cache of this thread, made at the first call; nullptr once the thread's destructors run (blocks then go straight
// to the shared lists) or without memory for it.
Cache* own_cache() {
  if (cache != &nobody) return cache;
  if (ended) return nullptr;
  thread_end.registered = true;
  auto* made = new (std::nothrow) Cache{};
  if (made == nullptr) return nullptr;
  for (int c = 1; c < kClasses; ++c) made->lists[c].room.store(thread_limit(c), std::memory_order_relaxed);
  recount(made);
  made->writable = true;
  Shared& all = shared();
  std::lock_guard lock(all.mutex);
  made->next = all.caches;
  if (all.caches != nullptr) all.caches->previous = made;
  all.caches = made;
  return cache = made;
}

// Splits what is left of a slab into blocks, largest first, so that every byte of a slab belongs to a block.
void retire_slab(Shared& all) {
  while (all.slab_end - all.slab_begin >= 64) {
    size_t left = static_cast<size_t>(all.slab_end - all.slab_begin);
    int c = left >= kMaxMemory ? kClasses - 1 : memory_class(left);
    if (class_bytes(c) > left) --c;
    next(all.slab_begin) = nullptr;
    push_batch(all, all.slab_begin, c);
    all.slab_begin += class_bytes(c);
  }
}

// One fresh block, or nullptr.
char* carve(Shared& all, int c) {
  size_t bytes = class_bytes(c);
  bool object = c < kObjectClasses;
  char*& begin = object ? all.object_begin : all.slab_begin;
  char*& end = object ? all.object_end : all.slab_end;
  if (static_cast<size_t>(end - begin) < bytes) {
    constexpr size_t kObjectSlab = 65536;
    if (!object) retire_slab(all);
    void* fresh = object ? std::aligned_alloc(64, kObjectSlab) : map_pages(kSlab);
    if (fresh == nullptr) return nullptr;
    begin = static_cast<char*>(fresh);
    end = begin + (object ? kObjectSlab : kSlab);
    if (!object) {
      try {
        all.slabs.emplace(begin, 0);
      } catch (const std::bad_alloc&) {  // only trim() misses it then
      }
      all.reserved += kSlab;
      all.peak_reserved = std::max(all.peak_reserved, all.reserved);
    }
  }
  char* block = begin;
  begin += bytes;
  return block;
}

}  // namespace

constinit thread_local Cache* cache = &nobody;

void count_shared(int64_t requested, int64_t bytes) {
  if (Cache* mine = own_cache()) {
    mine->requested.add(requested);
    mine->bytes.add(bytes);
    return;
  }
  Shared& all = shared();
  std::lock_guard lock(all.mutex);
  all.requested += requested;
  all.peak_requested = std::max(all.peak_requested, all.requested);
  all.bytes += bytes;
  all.peak_bytes = std::max(all.peak_bytes, all.bytes);
}

void* take_shared(int c) {
  Cache* mine = own_cache();
  Shared& all = shared();
  std::lock_guard lock(all.mutex);
  settle(all, mine);
  void* block = all.batches[c];
  if (block != nullptr) {
    all.batches[c] = next_batch(block);
  } else {
    // Linking touches the blocks, so large ones are carved one at a time.
    int64_t want = class_bytes(c) <= 512 ? 32 : 1;
    void* last = block = carve(all, c);
    if (block == nullptr) return nullptr;
    for (int64_t i = 1; i < want; ++i) {
      bool fits = c < kObjectClasses ? all.object_end - all.object_begin >= static_cast<int64_t>(class_bytes(c))
                                     : all.slab_end - all.slab_begin >= static_cast<int64_t>(class_bytes(c));
      if (!fits) break;
      last = next(last) = carve(all, c);
    }
    next(last) = nullptr;
  }
  count_one(all, c, 1);
  void* rest = next(block);
  if (rest == nullptr) return block;
  if (mine == nullptr) {
    push_batch(all, rest, c);
    return block;
  }
  int64_t count = 0;
  for (void* b = rest; b != nullptr; b = next(b)) ++count;
  mine->lists[c].head = rest;
  mine->lists[c].add_room(-count);
  recount(mine);
  return block;
}

void give_shared(void* block, int c) {
  Cache* mine = own_cache();
  if (mine != nullptr && mine->lists[c].room.load(std::memory_order_relaxed) > 0)
    return give(block, c);  // the cache has just been made
  Shared& all = shared();
  std::lock_guard lock(all.mutex);
  settle(all, mine);
  count_one(all, c, -1);
  if (mine == nullptr) {
    next(block) = nullptr;
    return push_batch(all, block, c);
  }
  // The newest half stays; `block` and the older half leave as one batch.
  List& list = mine->lists[c];
  int64_t keep = thread_limit(c) / 2;
  void* last = nullptr;
  void* older = list.head;
  for (int64_t i = 0; i < keep; ++i) {
    last = older;
    older = next(older);
  }
  (last != nullptr ? next(last) : list.head) = nullptr;
  list.room.store(thread_limit(c) - keep, std::memory_order_relaxed);
  next(block) = older;
  push_batch(all, block, c);
  recount(mine);
}

void* map_pages(size_t bytes) {
  if (bytes > (SIZE_MAX >> 2)) return nullptr;
  void* raw = mmap(nullptr, bytes + kSlab, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(raw);
  char* aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(raw) + kSlab - 1) & ~uintptr_t(kSlab - 1));
  if (aligned != begin) munmap(begin, static_cast<size_t>(aligned - begin));
  size_t tail = static_cast<size_t>(begin + kSlab - aligned);
  if (tail != 0) munmap(aligned + bytes, tail);
#ifdef MADV_HUGEPAGE
  madvise(aligned, bytes, MADV_HUGEPAGE);
#endif
  return aligned;
}

void unmap_pages(void* pages, size_t bytes) { munmap(pages, bytes); }

Totals totals() {
  Shared& all = shared();
  std::lock_guard lock(all.mutex);
  for (Cache* c = all.caches; c != nullptr; c = c->next) settle(all, c);
  return {all.bytes, all.peak_bytes, all.requested, all.peak_requested, all.blocks, all.reserved, all.peak_reserved};
}

void count_large(int64_t blocks, int64_t reserved) {
  Shared& all = shared();
  std::lock_guard lock(all.mutex);
  all.blocks += blocks;
  all.reserved += reserved;
  all.peak_reserved = std::max(all.peak_reserved, all.reserved);
}

void reset_peak() {
  totals();
  Shared& all = shared();
  std::lock_guard lock(all.mutex);
  all.peak_bytes = all.bytes;
  all.peak_requested = all.requested;
  all.peak_reserved = all.reserved;
}

void trim() {
  Shared& all = shared();
  std::lock_guard lock(all.mutex);
  if (cache != &nobody) give_all(all, cache, kObjectClasses);
  auto slab_of = [](void* block) {
    return reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(block) & ~uintptr_t(kSlab - 1));
  };
  retire_slab(all);
  all.slab_begin = all.slab_end = nullptr;
  for (auto& [slab, free] : all.slabs) free = 0;
  auto for_each_free = [&](int c, auto visit) {
    for (void* batch = all.batches[c]; batch != nullptr;) {
      void* following = next_batch(batch);
      for (void* block = batch; block != nullptr;) {
        void* after = next(block);
        visit(block);
        block = after;
      }
      batch = following;
    }
  };
  for (int c = kObjectClasses; c < kClasses; ++c)
    for_each_free(c, [&](void* block) {
      auto slab = all.slabs.find(slab_of(block));
      if (slab != all.slabs.end()) slab->second += static_cast<int64_t>(class_bytes(c));
    });
  for (int c = kObjectClasses; c < kClasses; ++c) {  // keep the blocks of other slabs, in batches
    void *kept = nullptr, *batch = nullptr;
    int64_t in_batch = 0;
    for_each_free(c, [&](void* block) {
      auto slab = all.slabs.find(slab_of(block));
      if (slab != all.slabs.end() && slab->second == static_cast<int64_t>(kSlab)) return;
      if (in_batch == std::max<int64_t>(1, thread_limit(c) / 2)) {
        next_batch(batch) = kept;
        kept = batch;
        batch = nullptr;
        in_batch = 0;
      }
      next(block) = batch;
      batch = block;
      ++in_batch;
    });
    if (batch != nullptr) {
      next_batch(batch) = kept;
      kept = batch;
    }
    all.batches[c] = kept;
  }
  for (auto slab = all.slabs.begin(); slab != all.slabs.end();) {
    if (slab->second == static_cast<int64_t>(kSlab)) {
      unmap_pages(slab->first, kSlab);
      all.reserved -= kSlab;
      slab = all.slabs.erase(slab);
    } else {
      ++slab;
    }
  }
}

}  // namespace fg::pool
