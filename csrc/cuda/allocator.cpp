// The bookkeeping of the caching allocator, see allocator.h.
#include "cuda/allocator.h"

#include <algorithm>
#include <functional>

namespace fg::cuda {

// Every block begins at a multiple of 512: DLPack promises 256, and vectors like it.
int Allocator::class_of(size_t bytes) {
  bytes = (bytes + kSmallest - 1) / kSmallest * kSmallest;
  if (bytes <= kSmallest) return 0;
  int power = 63 - __builtin_clzll(bytes - 1);  // 2^power < bytes <= 2^(power + 1)
  size_t base = size_t(1) << power, quarter = base / 4;
  return (power - 9) * 4 + static_cast<int>((bytes - base + quarter - 1) / quarter);
}

size_t Allocator::class_bytes(int index) {
  size_t base = kSmallest << (index / 4);
  return (base + base / 4 * (index % 4) + kSmallest - 1) / kSmallest * kSmallest;
}

Allocator::~Allocator() {
  for (auto& [memory, slab] : slabs_) backing_.give_back(memory, device_);
  for (auto& [memory, large] : large_) backing_.give_back(memory, device_);
}

void* Allocator::reserve(size_t bytes, bool try_again) {
  void* memory = backing_.reserve(bytes, device_);
  if (!memory && try_again && backing_.may_give_back()) {
    empty_cache_locked();
    memory = backing_.reserve(bytes, device_);
  }
  if (memory) {
    stats_.reserved += static_cast<int64_t>(bytes);
    stats_.peak_reserved = std::max(stats_.peak_reserved, stats_.reserved);
  }
  return memory;
}

void* Allocator::small_block(Pool& pool, int index) {
  std::vector<void*>& list = pool.free[index];
  if (!list.empty()) {
    void* block = list.back();
    list.pop_back();
    return block;
  }
  size_t bytes = class_bytes(index);
  if (pool.left < bytes) {
    // What is left of the old slab becomes blocks of the classes that fit.
    while (pool.left >= kSmallest) {
      int fit = class_of(std::min(pool.left, kLargest));
      while (class_bytes(fit) > pool.left) --fit;
      pool.free[fit].push_back(pool.slab);
      slab_of(pool.slab)->second.carved += class_bytes(fit);
      pool.slab += class_bytes(fit);
      pool.left -= class_bytes(fit);
    }
    pool.slab = nullptr;
    pool.left = 0;
    char* slab = static_cast<char*>(reserve(kSlab, !pool.own));
    if (!slab) return nullptr;
    slabs_[slab] = {0, &pool};
    pool.slab = slab;
    pool.left = kSlab;
  }
  void* block = pool.slab;
  slab_of(block)->second.carved += bytes;
  pool.slab += bytes;
  pool.left -= bytes;
  return block;
}

void* Allocator::large_block(Pool& pool, size_t bytes, size_t& taken) {
  size_t wanted = (bytes + kSlab - 1) / kSlab * kSlab;
  auto found = pool.large.lower_bound(wanted);
  if (found != pool.large.end() && found->first - wanted <= wanted / 4) {
    void* block = found->second;
    taken = found->first;
    pool.large.erase(found);
    return block;
  }
  void* block = reserve(wanted, !pool.own);  // nothing can be given back while a graph is recorded
  if (block) large_[block] = {taken = wanted, &pool};
  return block;
}

void* Allocator::allocate(size_t bytes, void* stream, uint64_t own_pool) {
  if (bytes == 0 || bytes > (size_t(1) << 60)) return nullptr;
  std::lock_guard<std::mutex> lock(mutex_);
  Pool& pool = pools_[{own_pool, stream}];
  if (own_pool) pool.own = own_pool, any_own_ = true;
  size_t taken = 0;
  void* block;
  if (bytes <= kLargest) {
    int index = class_of(bytes);
    taken = class_bytes(index);
    block = small_block(pool, index);
  } else {
    block = large_block(pool, bytes, taken);
  }
  if (block) {
    stats_.allocated += static_cast<int64_t>(taken);
    stats_.peak_allocated = std::max(stats_.peak_allocated, stats_.allocated);
    ++stats_.blocks;
  }
  return block;
}

void Allocator::release(void* block, size_t bytes, void* stream) {
  if (!block) return;
  std::lock_guard<std::mutex> lock(mutex_);
  size_t taken;
  if (bytes <= kLargest) {
    Pool& pool = any_own_ ? *slab_of(block)->second.pool : pools_[{0, stream}];
    int index = class_of(bytes);
    taken = class_bytes(index);
    pool.free[index].push_back(block);
  } else {
    auto found = large_.find(block);
    if (found == large_.end()) return;
    taken = found->second.bytes;
    found->second.pool->large.emplace(taken, block);
  }
  stats_.allocated -= static_cast<int64_t>(taken);
  --stats_.blocks;
}

std::map<char*, Allocator::Slab>::iterator Allocator::slab_of(void* block) {
  return std::prev(slabs_.upper_bound(static_cast<char*>(block)));
}

// Slabs of which every carved byte is free go back, and all cached large blocks; nothing of pools that are retained.
void Allocator::empty_cache_locked() {
  std::map<char*, size_t> unused;
  for (auto& [key, pool] : pools_) {
    if (is_kept(pool)) continue;
    for (int index = 0; index < kClasses; ++index) {
      for (void* block : pool.free[index]) unused[slab_of(block)->first] += class_bytes(index);
    }
    std::erase_if(pool.large, [&](const auto& large) {
      const auto [bytes, block] = large;
      if (!backing_.give_back(block, device_)) return false;
      large_.erase(block);
      stats_.reserved -= static_cast<int64_t>(bytes);
      return true;
    });
  }
  auto is_unused = [&](std::map<char*, Slab>::iterator slab) {
    auto found = unused.find(slab->first);
    return slab->second.carved == (found == unused.end() ? 0 : found->second);
  };
  for (auto& [key, pool] : pools_) {
    if (is_kept(pool)) continue;
    for (auto& list : pool.free) std::erase_if(list, [&](void* block) { return is_unused(slab_of(block)); });
  }
  for (auto slab = slabs_.begin(); slab != slabs_.end();) {
    if (is_kept(*slab->second.pool) || !is_unused(slab)) {
      ++slab;
      continue;
    }
    Pool& pool = *slab->second.pool;
    if (pool.slab >= slab->first && pool.slab < slab->first + kSlab && pool.left) pool.slab = nullptr, pool.left = 0;
    if (!backing_.give_back(slab->first, device_)) {  // it stays, in two blocks
      for (size_t at = 0; at < kSlab; at += kLargest) pool.free[kClasses - 1].push_back(slab->first + at);
      slab++->second.carved = kSlab;
      continue;
    }
    stats_.reserved -= static_cast<int64_t>(kSlab);
    slab = slabs_.erase(slab);
  }
  // Pools of graphs that are gone, without memory: slabs and blocks point at theirs.
  std::erase_if(pools_, [&](auto& entry) {
    const Pool* pool = &entry.second;
    return pool->own && !is_kept(*pool) &&
           std::none_of(slabs_.begin(), slabs_.end(), [&](auto& slab) { return slab.second.pool == pool; }) &&
           std::none_of(large_.begin(), large_.end(), [&](auto& large) { return large.second.pool == pool; });
  });
}

void Allocator::empty_cache() {
  std::lock_guard<std::mutex> lock(mutex_);
  empty_cache_locked();
}

void Allocator::retain_pool(uint64_t own_pool) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++retained_[own_pool];
}
void Allocator::release_pool(uint64_t own_pool) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (--retained_[own_pool] == 0) retained_.erase(own_pool);
}

int Allocator::largest_live(int64_t* bytes, int most) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::map<size_t, int, std::greater<>> live;  // how many of each size
  for (const auto& [block, large] : large_) ++live[large.bytes];
  for (const auto& [key, pool] : pools_)
    for (const auto& [size, block] : pool.large) --live[size];
  int n = 0;
  for (auto [size, count] : live)
    for (; count > 0 && n < most; --count) bytes[n++] = static_cast<int64_t>(size);
  return n;
}

MemoryStats Allocator::stats() {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

void Allocator::reset_peak() {
  std::lock_guard<std::mutex> lock(mutex_);
  stats_.peak_allocated = stats_.allocated;
  stats_.peak_reserved = stats_.reserved;
}

}  // namespace fg::cuda
