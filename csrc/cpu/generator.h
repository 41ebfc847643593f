// The CPU random generator: torch's mt19937 stream, word for word. State and seeding here (compiled once); the fills that
// turn words into numbers are in kernels/random.cpp.
#pragma once
#include <cstdint>

namespace fg::cpu {

struct Generator {
  uint32_t state[624];   // untempered
  int32_t next;          // index of the next word in the block, 0..624
  int32_t left;          // 625 - next, or 1 when just seeded: the block is made when it is first needed
  uint64_t initial_seed;
  double next_normal;    // second value of a pair of the serial normal path
  bool has_next_normal;
};

void seed(Generator& generator, uint64_t value);
uint32_t next_word(Generator& generator);
inline uint64_t next_word64(Generator& generator) {
  uint64_t high = next_word(generator);
  return high << 32 | next_word(generator);
}
void next_words(Generator& generator, uint32_t* out, int64_t n);  // tempered
constexpr int64_t kStateBytes = 5056;                             // torch's layout
void get_state(const Generator& generator, uint8_t* out);
const char* set_state(Generator& generator, const uint8_t* in);   // nullptr, or what is wrong (nothing changed then)

}  // namespace fg::cpu
