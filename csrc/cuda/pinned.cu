// Page-locked host memory. Blocks of a power of two are kept when they are released; one goes out again when the copies
// that were given to streams with it are done, which their events tell. Nothing here waits.
#include <map>
#include <mutex>
#include <vector>

#include "core/cuda_table.h"
#include "cuda/graph.h"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

constexpr size_t kLeast = 512;

struct Block {
  size_t bytes;
  bool free = false;
  std::vector<cudaEvent_t> copies;  // still under way, perhaps
};

// Never destroyed: the driver may be gone before static destructors run.
struct Pinned {
  std::mutex mutex;
  std::map<const char*, Block> blocks;                 // by address
  std::map<size_t, std::vector<const char*>> waiting;  // released ones, by size
  std::vector<cudaEvent_t> events;                     // to be used again
};
Pinned& pinned() {
  static Pinned* one = new Pinned;
  return *one;
}

bool done(Pinned& p, Block& block) {
  while (!block.copies.empty()) {
    if (cudaEventQuery(block.copies.back()) != cudaSuccess) {
      cudaGetLastError();
      return false;
    }
    p.events.push_back(block.copies.back());
    block.copies.pop_back();
  }
  return true;
}

std::map<const char*, Block>::iterator block_of(Pinned& p, const void* address) {
  auto after = p.blocks.upper_bound(static_cast<const char*>(address));
  if (after == p.blocks.begin()) return p.blocks.end();
  --after;
  return static_cast<const char*>(address) < after->first + after->second.bytes ? after : p.blocks.end();
}

void* pinned_allocate(size_t bytes) {
  size_t size = kLeast;
  while (size < bytes) size *= 2;
  Pinned& p = pinned();
  std::lock_guard<std::mutex> lock(p.mutex);
  std::vector<const char*>& list = p.waiting[size];
  for (size_t i = 0; i < list.size() && !recording(); ++i) {  // events cannot be asked while a graph is recorded
    auto found = p.blocks.find(list[i]);
    if (!done(p, found->second)) continue;
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
    found->second.free = false;
    return const_cast<char*>(found->first);
  }
  const RelaxedCapture relaxed;
  void* made = nullptr;
  if (cudaHostAlloc(&made, size, cudaHostAllocPortable) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  p.blocks[static_cast<const char*>(made)].bytes = size;
  return made;
}

void pinned_release(void* block) {
  Pinned& p = pinned();
  std::lock_guard<std::mutex> lock(p.mutex);
  auto found = p.blocks.find(static_cast<const char*>(block));
  if (found == p.blocks.end() || found->second.free) return;
  found->second.free = true;
  p.waiting[found->second.bytes].push_back(found->first);
}

int is_pinned(const void* address) {
  Pinned& p = pinned();
  std::lock_guard<std::mutex> lock(p.mutex);
  return block_of(p, address) != p.blocks.end();
}

int copy_later(void* dst, const void* src, size_t bytes, CopyKind kind, Stream stream) {
  if (bytes == 0) return 0;
  use_device(stream.device);
  const bool to_host = kind == CopyKind::to_host;
  if (!check(
          cudaMemcpyAsync(dst, src, bytes, to_host ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice, handle(stream)),
          "copy"))
    return 1;
  if (recording()) return 0;  // the block must live as long as the graph: its tensor does, as in torch
  Pinned& p = pinned();
  std::lock_guard<std::mutex> lock(p.mutex);
  auto found = block_of(p, to_host ? dst : src);
  if (found == p.blocks.end()) return 0;
  cudaEvent_t event = nullptr;
  if (!p.events.empty()) {
    event = p.events.back();
    p.events.pop_back();
  } else if (!check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "copy")) {
    return 1;
  }
  if (!check(cudaEventRecord(event, handle(stream)), "copy")) return 1;
  found->second.copies.push_back(event);
  return 0;
}

}  // namespace

void fill_pinned(CudaTable& table) {
  table.pinned_allocate = pinned_allocate;
  table.pinned_release = pinned_release;
  table.is_pinned = is_pinned;
  table.copy_later = copy_later;
}
}  // namespace fg::cuda
