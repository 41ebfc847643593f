// The CPU random generator: torch's mt19937 stream, word for word. State, seeding, single draws (compiled once) here;
// the fills that turn many words into numbers are in kernels/random.cpp, which includes this: plain functions only.
// A generator is not locked: the caller keeps a whole fill of one generator on one thread.
#pragma once
#include <cstdint>

namespace fg::cpu {

constexpr int64_t kStateWords = 624;

struct Generator {
  uint32_t state[kStateWords];  // untempered
  int32_t next;                 // index of the next word in the block, 0..624
  int32_t left;                 // 625 - next; 1 when the block is used up or just seeded: the next draw makes a new one
  uint64_t initial_seed;
  double next_normal;  // second value of a pair of the serial normal path
  bool has_next_normal;
};

constexpr uint64_t kDefaultSeed = 67280421310721;  // of a new Generator()

void seed(Generator& generator, uint64_t value);  // any starting content; forgets the cached normal

uint32_t next_word(Generator& generator);
uint64_t next_word64(Generator& generator);                       // the first word is the high half
void next_words(Generator& generator, uint32_t* out, int64_t n);  // tempered
inline double uniform_of(uint64_t words) {                        // [0, 1) with 53 bits
  return static_cast<double>(words & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
}
double next_uniform(Generator& generator);  // of two words
double next_normal(Generator& generator, double mean, double std);

constexpr int64_t kStateBytes = 5056;  // torch's layout
void get_state(const Generator& generator, uint8_t* out);
const char* set_state(Generator& generator, const uint8_t* in);  // nullptr, or what is wrong (nothing changed then)

}  // namespace fg::cpu
