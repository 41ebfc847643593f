// What this process may use of the machine: the affinity mask and the cgroup (version 2 or 1) count, not the hardware.
#pragma once
#include <cstddef>

namespace fg::cpu {

int usable_cpus();          // affinity mask, limited by the cgroup's cpu quota; at least 1
size_t memory_limit();      // physical memory and swap, or the cgroup's limit when lower
size_t memory_available();  // what can be had now without swapping others out

}  // namespace fg::cpu
