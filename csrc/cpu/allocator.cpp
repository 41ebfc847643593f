// Tensor memory. Up to 1 MB: blocks of core/pool.h. Above: own mappings that begin at a huge page, of 16 sizes for each
// power of two (multiples of 2 MB from 32 MB on), kept after their release until the cap is reached, then the oldest go
// first; best fit, not more than 25 % too large. Fresh pages cost several times what an elementwise kernel costs, so
// keeping them is most of the speed of large work.
//
// No memory means nullptr, never a later kill: blocks from 1 GB on are compared with what the machine has left.
// Sanitizer builds pass everything on to the C library, so that an overrun is seen.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include "core/pool.h"
#include "cpu/backend_cpu.h"
#include "cpu/machine.h"
#include "cpu/scratch.h"

#if !defined(FG_SANITIZE)
#include <pthread.h>
#endif

namespace fg::cpu {
namespace {

constexpr size_t kCheckedSize = size_t{1} << 30;

#if !defined(FG_SANITIZE)

struct Free {
  void* block;
  size_t bytes;
};

struct Large {
  std::mutex mutex;
  std::vector<Free> cached;  // oldest first
  size_t cached_bytes = 0, limit = 0;
  std::unordered_map<void*, size_t> live;  // true sizes: a reused block may be larger than asked for
};

Large& large() {
  static Large& instance = *[] {
    pool::totals();  // first, so that a fork takes the two locks in the order that count_large() does
    auto* made = new Large;
    const char* text = std::getenv("FASTGRAD_CACHE_LIMIT");
    char* end = nullptr;
    unsigned long long bytes = text != nullptr ? std::strtoull(text, &end, 10) : 0;
    made->limit = text != nullptr && end != text ? bytes : memory_limit() / 4;
    pthread_atfork([] { large().mutex.lock(); }, [] { large().mutex.unlock(); }, [] { large().mutex.unlock(); });
    return made;
  }();
  return instance;
}

// Unmaps the oldest cached blocks until at most `keep` bytes are left; returns how much went. Call with the lock held.
int64_t shrink(Large& all, size_t keep) {
  size_t before = all.cached_bytes, n = 0;
  for (; n < all.cached.size() && all.cached_bytes > keep; ++n) {
    pool::unmap_pages(all.cached[n].block, all.cached[n].bytes);
    all.cached_bytes -= all.cached[n].bytes;
  }
  all.cached.erase(all.cached.begin(), all.cached.begin() + static_cast<std::ptrdiff_t>(n));
  return static_cast<int64_t>(before - all.cached_bytes);
}

void free_caches() {
  {
    Large& all = large();
    std::lock_guard lock(all.mutex);
    pool::count_large(0, -shrink(all, 0));
  }
  pool::trim();
}

// The smallest cached block that fits, the newest of equals, since it may still be in a CPU cache. bytes becomes its
// size.
void* reuse(Large& all, size_t& bytes) {
  size_t best = all.cached.size();
  for (size_t i = all.cached.size(); i-- > 0;) {
    size_t have = all.cached[i].bytes;
    if (have < bytes || have - bytes > bytes / 4) continue;
    if (best == all.cached.size() || have < all.cached[best].bytes) best = i;
    if (have == bytes) break;
  }
  if (best == all.cached.size()) return nullptr;
  Free found = all.cached[best];
  all.live.emplace(found.block, found.bytes);
  all.cached.erase(all.cached.begin() + static_cast<std::ptrdiff_t>(best));
  all.cached_bytes -= found.bytes;
  pool::count_large(1, 0);
  bytes = found.bytes;
  return found.block;
}

void* allocate_large(size_t& bytes) {  // becomes the block's size
  if (bytes > (SIZE_MAX >> 2)) return nullptr;
  const size_t step = std::min(std::bit_floor(bytes) / 16, pool::kSlab);
  bytes = (bytes + step - 1) & ~(step - 1);
  Large& all = large();
  {
    std::lock_guard lock(all.mutex);
    if (void* block = reuse(all, bytes)) return block;
  }
  auto too_much = [&] { return bytes >= kCheckedSize && bytes > memory_available(); };
  bool refused = too_much();
  void* block = refused ? nullptr : pool::map_pages(bytes);
  if (block == nullptr) {
    free_caches();
    if (!refused || !too_much()) block = pool::map_pages(bytes);
    if (block == nullptr) return nullptr;
  }
  std::lock_guard lock(all.mutex);
  try {
    all.live.emplace(block, bytes);
  } catch (...) {
    pool::unmap_pages(block, bytes);
    throw;
  }
  pool::count_large(1, static_cast<int64_t>(bytes));
  return block;
}

size_t release_large(void* block) {  // its size
  Large& all = large();
  std::lock_guard lock(all.mutex);
  auto found = all.live.find(block);
  size_t bytes = found->second;
  all.live.erase(found);
  int64_t gone = 0;
  bool keep = bytes <= all.limit;
  if (keep) {
    gone = shrink(all, all.limit - bytes);
    try {
      all.cached.push_back({block, bytes});
      all.cached_bytes += bytes;
    } catch (const std::bad_alloc&) {
      keep = false;
    }
  }
  if (!keep) {
    pool::unmap_pages(block, bytes);
    gone += static_cast<int64_t>(bytes);
  }
  pool::count_large(-1, -gone);
  return bytes;
}

#endif

}  // namespace

#if !defined(FG_SANITIZE)

void* allocate(size_t bytes, Stream) {
  bytes += bytes == 0;
  size_t whole = bytes;
  void* block = nullptr;
  if (bytes <= pool::kMaxMemory) [[likely]] {
    const int c = pool::memory_class(bytes);
    whole = pool::class_bytes(c);
    block = pool::take(c);
    if (!block) [[unlikely]] {
      free_caches();
      block = pool::take(c);
    }
  } else {
    try {
      block = allocate_large(whole);
    } catch (const std::bad_alloc&) {
    }
  }
  if (block) [[likely]]
    pool::count(static_cast<int64_t>(bytes), static_cast<int64_t>(whole));
  return block;
}

void release(void* block, size_t bytes, Stream) {
  if (block == nullptr) return;
  bytes += bytes == 0;
  size_t whole;
  if (bytes > pool::kMaxMemory) {
    whole = release_large(block);
  } else {
    const int c = pool::memory_class(bytes);
    whole = pool::class_bytes(c);
    pool::give(block, c);
  }
  pool::count(-static_cast<int64_t>(bytes), -static_cast<int64_t>(whole));
}

void empty_cache(int) { free_caches(); }

#else

void* allocate(size_t bytes, Stream) {
  void* block = nullptr;
  if (bytes > (size_t{1} << 40) || (bytes >= kCheckedSize && bytes > memory_available())) return nullptr;
  if (posix_memalign(&block, 64, std::max<size_t>(bytes, 1)) != 0) return nullptr;
  pool::count_large(1, static_cast<int64_t>(bytes));
  pool::count(static_cast<int64_t>(bytes), static_cast<int64_t>(bytes));
  return block;
}

void release(void* block, size_t bytes, Stream) {
  if (block == nullptr) return;
  std::free(block);
  pool::count_large(-1, -static_cast<int64_t>(bytes));
  pool::count(-static_cast<int64_t>(bytes), -static_cast<int64_t>(bytes));
}

void empty_cache(int) {}

#endif

void memory_stats(int, MemoryStats* out) {
  pool::Totals t = pool::totals();
  *out = {t.bytes, t.reserved, t.peak_bytes, t.peak_reserved, t.blocks};
}

void reset_peak(int) { pool::reset_peak(); }

// Kernels have no way to report: out of memory leaves as an exception, through their frames, to the Python boundary.
namespace {

struct Scratch {
  void* block;
  size_t bytes;
};
constexpr int kMostScratch = 64;  // kernels call each other a few levels deep
constinit thread_local struct {
  Scratch items[kMostScratch];
  int count, mark;
} held{};

}  // namespace

void* scratch(size_t bytes) {
  void* block = held.count < kMostScratch ? allocate(bytes, Stream{}) : nullptr;
  if (!block) {
    drop_scratch();
    throw std::bad_alloc();
  }
  held.items[held.count++] = {block, bytes};
  return block;
}

void release_scratch(void* block, size_t bytes) {
  int i = held.count - 1;
  while (i >= 0 && held.items[i].block != block) --i;
  if (i < 0) return;  // given back by drop_scratch() before the destructor that calls this
  for (--held.count; i < held.count; ++i) held.items[i] = held.items[i + 1];
  release(block, bytes, Stream{});
}

void drop_scratch() {
  while (held.count > held.mark) {
    const Scratch last = held.items[--held.count];
    release(last.block, last.bytes, Stream{});
  }
}

ScratchMark::ScratchMark() : before_(held.mark) { held.mark = held.count; }
ScratchMark::~ScratchMark() { held.mark = before_; }

}  // namespace fg::cpu
