// Page-locked host memory. Blocks of a few sizes are kept when they are released; one goes out again when the copies
// that were given to streams with it are done, which their events tell. Nothing here waits, unless there is no event to
// be had. empty_cache, and want of memory, give back what nobody uses.
#include <map>
#include <mutex>
#include <vector>

#include "core/cuda_table.h"
#include "cuda/graph.h"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

constexpr size_t kLeast = 512;
constexpr int kMaxDevices = 64;

struct Copy {
  cudaEvent_t event;
  int device;  // whose event it is
};
struct Block {
  size_t bytes;
  bool free = false;
  std::vector<Copy> copies;  // still under way, perhaps
};

// Never destroyed: the driver may be gone before static destructors run.
struct Pinned {
  std::mutex mutex;
  std::map<const char*, Block> blocks;                 // by address
  std::map<size_t, std::vector<const char*>> waiting;  // released ones, by size
  std::vector<cudaEvent_t> events[kMaxDevices];        // to be used again
};
Pinned& pinned() {
  static Pinned* one = new Pinned;
  return *one;
}

// A power of two, or one of three sizes between two of them.
size_t size_for(size_t bytes) {
  size_t size = kLeast;
  while (size < bytes) size *= 2;
  const size_t step = size / 8 < kLeast ? kLeast : size / 8;
  return bytes <= kLeast ? kLeast : (bytes + step - 1) / step * step;
}

bool done(Pinned& p, Block& block) {
  while (!block.copies.empty()) {
    const auto [event, device] = block.copies.back();
    if (cudaEventQuery(event) != cudaSuccess) {
      cudaGetLastError();
      return false;
    }
    p.events[device].push_back(event);
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

// Blocks that are released and done with; true: there was one.
bool give_back_waiting(Pinned& p) {
  bool any = false;
  if (capturing()) return any;
  for (auto& [size, list] : p.waiting) {
    any |= std::erase_if(list, [&](const char* address) {
             auto found = p.blocks.find(address);
             if (!done(p, found->second) || !check(cudaFreeHost(const_cast<char*>(address)), "free")) return false;
             p.blocks.erase(found);
             return true;
           }) > 0;
  }
  return any;
}

void* pinned_allocate(size_t bytes) {
  const size_t size = size_for(bytes);
  Pinned& p = pinned();
  std::lock_guard<std::mutex> lock(p.mutex);
  const RelaxedCapture relaxed;
  std::vector<const char*>& list = p.waiting[size];
  for (size_t i = 0; i < list.size(); ++i) {
    auto found = p.blocks.find(list[i]);
    if (!done(p, found->second)) continue;
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
    found->second.free = false;
    return const_cast<char*>(found->first);
  }
  void* made = nullptr;
  cudaError_t code = cudaHostAlloc(&made, size, cudaHostAllocPortable);
  if (code == cudaErrorMemoryAllocation && give_back_waiting(p))
    code = cudaHostAlloc(&made, size, cudaHostAllocPortable);
  if (code != cudaSuccess) {
    if (code != cudaErrorMemoryAllocation) check(code, "cudaHostAlloc");
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
  std::vector<cudaEvent_t>& events = p.events[stream.device];
  cudaEvent_t event = nullptr;
  if (!events.empty()) {
    event = events.back();
    events.pop_back();
  } else if (cudaEventCreateWithFlags(&event, cudaEventDisableTiming) != cudaSuccess) {
    event = nullptr;
  }
  if (event && cudaEventRecord(event, handle(stream)) == cudaSuccess) {
    found->second.copies.push_back({event, stream.device});
    return 0;
  }
  // Nothing would tell when the block may go out again.
  cudaGetLastError();
  if (event) cudaEventDestroy(event);
  return check(cudaStreamSynchronize(handle(stream)), "copy") ? 0 : 1;
}

}  // namespace

void pinned_give_back() {
  Pinned& p = pinned();
  std::lock_guard<std::mutex> lock(p.mutex);
  give_back_waiting(p);
}

void fill_pinned(CudaTable& table) {
  table.pinned_allocate = pinned_allocate;
  table.pinned_release = pinned_release;
  table.is_pinned = is_pinned;
  table.copy_later = copy_later;
}
}  // namespace fg::cuda
