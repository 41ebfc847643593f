// Copies from global to shared memory that go on while a thread computes (cp.async), in groups.
//
//   copy_async<bytes>(to, from, valid)  4 or 16 bytes, of which the first `valid` are read; the rest become zero
//   commit_copies()                     what was started since the last one is a group
//   wait_for_copies<n>()                until all groups of this thread but the last n are there
//
// Other threads see the bytes after a barrier that follows the wait. The emulator copies as late as is allowed, in the
// wait, and fills with NaN until then: a wait that is missing or too short shows. So does an address that is no
// multiple of the size: nothing is ever copied.
#pragma once
#include "cuda/device.cuh"

#ifdef FG_CUDA_EMULATE
#include <cstring>
#include <vector>
#endif

namespace fg::cuda {

#ifdef FG_CUDA_EMULATE

namespace emulated {
struct Copy {
  void* to;
  const void* from;
  int bytes, valid, group;
};
struct Copies {  // of one thread of the block
  std::vector<Copy> started;
  int group = 0;
};
inline Copies& copies() {
  static thread_local std::vector<Copies> all(1024);
  return all[threadIdx.x];
}
}  // namespace emulated

template <int kBytes> void copy_async(void* to, const void* from, int valid) {
  static_assert(kBytes == 4 || kBytes == 16);
  std::memset(to, 0xff, kBytes);
  if (reinterpret_cast<uintptr_t>(to) % kBytes || (valid && reinterpret_cast<uintptr_t>(from) % kBytes)) return;
  emulated::copies().started.push_back({to, from, kBytes, valid, emulated::copies().group});
}
inline void commit_copies() { ++emulated::copies().group; }
template <int kPending> void wait_for_copies() {
  emulated::Copies& own = emulated::copies();
  size_t done = 0;
  for (; done < own.started.size() && own.started[done].group < own.group - kPending; ++done) {
    const emulated::Copy& copy = own.started[done];
    std::memset(copy.to, 0, copy.bytes);
    if (copy.valid) std::memcpy(copy.to, copy.from, copy.valid);
  }
  own.started.erase(own.started.begin(), own.started.begin() + static_cast<ptrdiff_t>(done));
}

#else

template <int kBytes> FG_DEVICE void copy_async(void* to, const void* from, int valid) {
  static_assert(kBytes == 4 || kBytes == 16);
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(valid) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at), "l"(from), "r"(valid) : "memory");
  }
}
FG_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending> FG_DEVICE void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

#endif

}  // namespace fg::cuda
