// Philox 4x32-10: four random words for each counter, on the device.
#pragma once
#include "core/philox.h"
#include "cuda/device.cuh"

namespace fg::cuda {

// Where the counters of a launch begin; in a graph relative to `base`, which each replay sets (graph.cu).
struct Counter {
  uint64_t seed, offset;
  const PhiloxState* base;
  FG_DEVICE PhiloxState start() const {
    return base ? PhiloxState{base->seed, base->offset + offset} : PhiloxState{seed, offset};
  }
};
// Whoever calls has the generator's lock.
Counter take(void* generator, int64_t counters);

struct Words {
  uint32_t v[4];
};
FG_DEVICE Words philox(uint64_t seed, uint64_t low, uint32_t high) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  Words c{{static_cast<uint32_t>(low), static_cast<uint32_t>(low >> 32), high, 0}};
  FG_UNROLL
  for (int round = 0; round < 10; ++round) {
    uint64_t a = uint64_t(0xD2511F53u) * c.v[0], b = uint64_t(0xCD9E8D57u) * c.v[2];
    c = {{static_cast<uint32_t>(b >> 32) ^ c.v[1] ^ k0, static_cast<uint32_t>(b),
          static_cast<uint32_t>(a >> 32) ^ c.v[3] ^ k1, static_cast<uint32_t>(a)}};
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return c;
}

}  // namespace fg::cuda
