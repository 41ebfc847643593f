// The state of a counter-based generator: a device without a host generator (CUDA) numbers its draws, so two numbers
// are all there is. The backend advances the offset, ops/ reads and writes both under the generator's lock.
#pragma once
#include <cstdint>

namespace fg {

struct PhiloxState {
  uint64_t seed, offset;
};

}  // namespace fg
