// mt19937 as torch runs it: the block of 624 words is made lazily, at the first draw after the old one is used up, so
// that the saved state has the same bytes as torch's. Start with next_words; the rest is one draw or (un)packing.
#include "cpu/generator.h"

#include <cmath>
#include <cstring>

namespace fg::cpu {
namespace {

constexpr int kLag = 397;

uint32_t twist(uint32_t current, uint32_t following) {
  uint32_t mixed = (current & 0x80000000u) | (following & 0x7fffffffu);
  return (mixed >> 1) ^ (-(following & 1) & 0x9908b0dfu);
}

uint32_t temper(uint32_t w) {
  w ^= w >> 11;
  w ^= (w << 7) & 0x9d2c5680u;
  w ^= (w << 15) & 0xefc60000u;
  return w ^ (w >> 18);
}

void make_block(Generator& generator) {
  uint32_t* s = generator.state;
  constexpr int n = kStateWords, back = n - kLag;  // a word depends on the one 227 before it: loops vectorise
  for (int i = 0; i < back; i++) s[i] = s[i + kLag] ^ twist(s[i], s[i + 1]);
  for (int i = back; i < n - 1; i++) s[i] = s[i - back] ^ twist(s[i], s[i + 1]);
  s[n - 1] = s[kLag - 1] ^ twist(s[n - 1], s[0]);
  generator.next = 0;
  generator.left = n + 1;
}

// Offsets of torch's state; the gaps are fields of an older generator and padding, all zero.
constexpr int kSeedAt = 0, kLeftAt = 8, kSeededAt = 12, kNextAt = 16, kWordsAt = 24;
constexpr int kNormalAt = 5024, kHasNormalAt = 5040;

template <class T>
void put(uint8_t* bytes, int at, T value) {
  std::memcpy(bytes + at, &value, sizeof value);
}

template <class T>
T get(const uint8_t* bytes, int at) {
  T value;
  std::memcpy(&value, bytes + at, sizeof value);
  return value;
}

}  // namespace

void seed(Generator& generator, uint64_t value) {
  uint32_t word = static_cast<uint32_t>(value);  // torch seeds with the low half only
  for (uint32_t i = 0; i < kStateWords; i++) {
    if (i > 0) word = 1812433253u * (word ^ (word >> 30)) + i;
    generator.state[i] = word;
  }
  generator.next = 0;
  generator.left = 1;
  generator.initial_seed = value;
  generator.next_normal = 0;
  generator.has_next_normal = false;
}

void next_words(Generator& generator, uint32_t* out, int64_t n) {
  while (n > 0) {
    if (generator.left == 1) make_block(generator);
    int64_t take = generator.left - 1 < n ? generator.left - 1 : n;
    const uint32_t* words = generator.state + generator.next;
    for (int64_t i = 0; i < take; i++) out[i] = temper(words[i]);
    generator.next += static_cast<int32_t>(take);
    generator.left -= static_cast<int32_t>(take);
    out += take;
    n -= take;
  }
}

uint32_t next_word(Generator& generator) {
  uint32_t word;
  next_words(generator, &word, 1);
  return word;
}

uint64_t next_word64(Generator& generator) {
  uint64_t high = next_word(generator);
  return high << 32 | next_word(generator);
}

double next_uniform(Generator& generator) { return uniform_of(next_word64(generator)); }

double next_normal(Generator& generator, double mean, double std) {
  double z = generator.next_normal;
  if (generator.has_next_normal) {
    generator.has_next_normal = false;
    generator.next_normal = 0;
  } else {
    double u1 = next_uniform(generator), u2 = next_uniform(generator);
    double r = std::sqrt(-2.0 * std::log1p(-u2)), t = 2.0 * M_PI * u1;
    z = r * std::cos(t);
    generator.next_normal = r * std::sin(t);
    generator.has_next_normal = true;
  }
  return std::fma(z, std, mean);
}

void get_state(const Generator& generator, uint8_t* out) {
  std::memset(out, 0, kStateBytes);
  put(out, kSeedAt, generator.initial_seed);
  put(out, kLeftAt, generator.left);
  put(out, kSeededAt, int32_t{1});
  put(out, kNextAt, static_cast<uint64_t>(generator.next));
  for (int i = 0; i < kStateWords; i++) put(out, kWordsAt + 8 * i, uint64_t{generator.state[i]});
  put(out, kNormalAt, generator.has_next_normal ? generator.next_normal : 0.0);
  put(out, kHasNormalAt, int32_t{generator.has_next_normal});
}

const char* set_state(Generator& generator, const uint8_t* in) {
  int32_t left = get<int32_t>(in, kLeftAt);
  uint64_t next = get<uint64_t>(in, kNextAt);
  constexpr uint64_t n = kStateWords;
  bool consistent = left == 1 || next + static_cast<uint64_t>(left) == n + 1;  // otherwise reads would leave the block
  if (!get<int32_t>(in, kSeededAt) || left <= 0 || left > kStateWords || next > n || !consistent) {
    return "Invalid mt19937 state";
  }
  generator.initial_seed = get<uint64_t>(in, kSeedAt);
  generator.left = left;
  generator.next = static_cast<int32_t>(next);
  for (int i = 0; i < kStateWords; i++) {
    generator.state[i] = static_cast<uint32_t>(get<uint64_t>(in, kWordsAt + 8 * i));
  }
  generator.has_next_normal = get<int32_t>(in, kHasNormalAt) != 0;
  generator.next_normal = generator.has_next_normal ? get<double>(in, kNormalAt) : 0;
  return nullptr;
}

}  // namespace fg::cpu
