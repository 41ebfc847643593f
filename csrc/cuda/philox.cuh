// Philox 4x32-10: four random words for each counter, on the device.
#pragma once
#include "core/philox.h"
#include "cuda/device.cuh"

namespace fg::cuda {

using Counter = PhiloxState;
// Whoever calls has the generator's lock.
inline Counter take(void* generator, int64_t counters) {
  auto* g = static_cast<PhiloxState*>(generator);
  Counter c = *g;
  g->offset += static_cast<uint64_t>(counters);
  return c;
}

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
