// Random fills and permutations: torch's stream and torch's arithmetic, bit for bit.
//
// Only making words is serial. run() cuts a fill into slabs of whole mt19937 blocks; while the threads turn the words
// of one slab into numbers (random_numbers.h), one of them makes those of the next. Start at random(), near the end.
#include <cstring>

#include "core/backend.h"
#include "cpu/backend_cpu.h"
#include "cpu/generator.h"
#include "cpu/parallel.h"
#include "cpu/random_numbers.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kSmallWords = 512;              // up to here a fill draws straight from the generator
constexpr int64_t kSmallBlocks = 4;               // blocks of a slab on the stack
constexpr int64_t kLargeBlocks = 128;             // blocks of a slab in scratch memory: two slabs fit into L2
constexpr int64_t kParallelNs = 30000;            // cheaper fills stay on the calling thread
constexpr int64_t kChunkNs = 8000;                // work of one chunk of a slab
constexpr int64_t kUnit = 256;                    // elements; a chunk is a multiple of it
constexpr int64_t kLargePermutation = 214748364;  // (2^32 - 1) / 20: torch goes over to 64-bit words

// ---- driving a fill ------------------------------------------------------------------------------------------------
// The words as one long sequence: x[k + 624] comes from x[k], x[k + 1] and x[k + 397], across block borders as well.
void extend(uint32_t* x, int64_t blocks) {
  for (int64_t k = 0; k < blocks * kStateWords; k++) {
    uint32_t mixed = (x[k] & 0x80000000u) | (x[k + 1] & 0x7fffffffu);
    x[k + kStateWords] = x[k + 397] ^ (mixed >> 1) ^ (-(x[k + 1] & 1u) & 0x9908b0dfu);
  }
}

void temper(uint32_t* __restrict out, const uint32_t* __restrict in, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t w = in[i];
    w ^= w >> 11;
    w ^= (w << 7) & 0x9d2c5680u;
    w ^= (w << 15) & 0xefc60000u;
    out[i] = w ^ (w >> 18);
  }
}

struct Slab {
  const Fill* fill;
  const uint32_t* words;  // of element `first`, untempered
  int64_t first, count, grain;
  const uint32_t* last_block;
  uint32_t* next;  // where the next slab goes: last_block, then `blocks` new ones
  int64_t blocks;
};

// Chunk 0 makes the words of the next slab, chunk 1 + i transforms elements [i * grain, (i + 1) * grain) of this one.
void slab_chunk(void* context, int64_t chunk) {
  const Slab& slab = *static_cast<const Slab*>(context);
  if (chunk == 0) {
    if (slab.blocks == 0) return;
    memcpy(slab.next, slab.last_block, kStateWords * sizeof(uint32_t));
    extend(slab.next, slab.blocks);
    return;
  }
  alignas(64) uint32_t words[kWords];
  int64_t per = slab.fill->words_per, begin = (chunk - 1) * slab.grain, end = begin + slab.grain;
  if (end > slab.count) end = slab.count;
  for (int64_t i = begin; i < end; i += kWords / per) {
    int64_t count = end - i < kWords / per ? end - i : kWords / per;
    temper(words, slab.words + i * per, count * per);
    slab.fill->transform(*slab.fill, words, slab.first + i, count);
  }
}

void run_small(const Fill& fill, Generator& generator) {
  alignas(64) uint32_t words[kWords];
  int64_t step = kWords / fill.words_per;
  for (int64_t i = 0; i < fill.n; i += step) {
    int64_t count = fill.n - i < step ? fill.n - i : step;
    next_words(generator, words, count * fill.words_per);
    fill.transform(fill, words, i, count);
  }
}

void run(const Fill& fill, Generator& generator) {
  constexpr int64_t kBlockBytes = kStateWords * sizeof(uint32_t);
  int64_t total = fill.n * fill.words_per;
  if (total <= kSmallWords) return run_small(fill, generator);

  // `at` counts from the start of the slab, whose first block is the last one of the slab before.
  int64_t at = generator.left == 1 ? kStateWords : generator.next;
  int64_t missing = (total - (kStateWords - at) + kStateWords - 1) / kStateWords;  // blocks still to be made
  int64_t per_slab = kSmallBlocks;
  alignas(64) uint32_t stack[2 * (1 + kSmallBlocks) * kStateWords + 16];
  uint32_t* memory = stack;
  void* large = nullptr;
  size_t large_bytes = 0;
  if (!fill.ordered && fill.n * fill.cost_ps / 1000 >= kParallelNs) {
    int64_t blocks = missing < kLargeBlocks ? missing : kLargeBlocks;
    large_bytes = static_cast<size_t>(2 * (1 + blocks) * kBlockBytes);
    large = scratch(large_bytes);
    if (large) {
      memory = static_cast<uint32_t*>(large);
      per_slab = blocks;
    }
  }
  uint32_t* next = memory + (1 + per_slab) * kStateWords;
  int64_t made = missing < per_slab ? missing : per_slab;
  memcpy(memory, generator.state, kBlockBytes);
  extend(memory, made);
  missing -= made;

  int64_t grain = kChunkNs * 1000 / (fill.cost_ps * kUnit);
  grain = (grain > 0 ? grain : 1) * kUnit;
  for (int64_t first = 0; first < fill.n;) {
    Slab slab{&fill, memory + at, first, fill.n - first, grain, memory + made * kStateWords, next, 0};
    if (missing > 0) {
      slab.blocks = missing < per_slab ? missing : per_slab;
      slab.count = ((1 + made) * kStateWords - at) / fill.words_per & ~int64_t{15};
    }
    int64_t chunks = 1 + (slab.count + grain - 1) / grain;
    if (large) {
      parallel_for(chunks, (fill.n - first) * fill.cost_ps / 1000, slab_chunk, &slab);
    } else {
      for (int64_t i = 0; i < chunks; i++) slab_chunk(&slab, i);
    }
    first += slab.count;
    at += slab.count * fill.words_per - made * kStateWords;
    if (slab.blocks > 0) {
      uint32_t* used = memory;
      memory = next;
      next = used;
      made = slab.blocks;
      missing -= made;
    }
    if (first == fill.n) memcpy(generator.state, slab.last_block, kBlockBytes);
  }
  generator.next = static_cast<int32_t>(at);
  generator.left = static_cast<int32_t>(kStateWords + 1 - at);
  if (large) release_scratch(large, large_bytes);
}

// ---- kinds ---------------------------------------------------------------------------------------------------------
bool is_float(DType dtype) { return dtype >= DType::Float16 && dtype <= DType::Float64; }

void skip(Generator& generator, int64_t words) {
  for (; words > 0; words--) next_word(generator);
}

void fill_normal(Fill fill, Generator& generator) {
  int64_t n = fill.n, rest = n % 16;
  bool wide = fill.dtype == DType::Float64, half = element_size(fill.dtype) == 2;
  fill.transform = wide ? normal_f64 : normal_f32;
  fill.words_per = wide ? 2 : 1;
  fill.cost_ps = wide ? 15000 : 1000;
  fill.n = n - rest;
  run(fill, generator);
  if (rest == 0) return;
  // torch drew the incomplete group as well before it redrew the last 16 values; its halves never did.
  if (!half) skip(generator, rest * fill.words_per);
  fill.out = static_cast<char*>(fill.out) + (n - 16) * element_size(fill.dtype);
  fill.n = 16;
  run(fill, generator);
}

void fill_normal_serial(Fill fill, Generator& generator) {
  int64_t n = fill.n, size = element_size(fill.dtype);
  Fill single = fill;
  auto put_one = [&](int64_t i) {
    single.out = static_cast<char*>(fill.out) + i * size;
    double y = next_normal(generator, fill.a, fill.b);
    if (fill.exponential) y = ::exp(y);
    store(single, 0, &y, 1);
  };
  int64_t begin = generator.has_next_normal ? 1 : 0;
  if (begin == 1) put_one(0);
  fill.transform = normal_pairs;
  fill.words_per = 4;
  fill.cost_ps = 45000;
  fill.n = (n - begin) / 2;
  void* out = fill.out;
  fill.out = static_cast<char*>(out) + begin * size;
  run(fill, generator);
  fill.out = out;
  if ((n - begin) % 2 == 1) put_one(n - 1);
}

// The bounds of a floating dtype move to the nearest numbers that it has, inwards.
void shrink(DType dtype, int64_t& lo, int64_t& hi) {
  int digits = dtype == DType::Float64 ? 53 : dtype == DType::Float32 ? 24 : dtype == DType::Float16 ? 11 : 8;
  auto spacing = [&](int64_t x) {  // of the dtype's numbers just below |x| when x is not one of them
    uint64_t size = x < 0 ? 0 - static_cast<uint64_t>(x) : static_cast<uint64_t>(x);
    return int64_t{1} << (63 - __builtin_clzll(size | 1) - digits + 1);
  };
  auto nearest = [&](int64_t x, int64_t* y) {
    double near = rounded(dtype, static_cast<double>(x));
    if (!(near >= -0x1p63 && near < 0x1p63)) return false;
    *y = static_cast<int64_t>(near);
    return true;
  };
  int64_t y;
  if (lo != INT64_MAX && nearest(lo + 1, &y) && y < lo) lo = y + spacing(lo + 1);
  if (hi != INT64_MIN && nearest(hi - 1, &y) && y >= hi) hi = y - spacing(hi - 1);
}

void fill_integers(Fill fill, bool one_word, Generator& generator) {
  uint64_t range = fill.range;
  fill.words_per = one_word ? 1 : 2;
  fill.transform = one_word ? integers_narrow : integers_wide;
  fill.cost_ps = one_word ? 500 : 1500;
  // floor(2^32 / range), floor(2^64 / range); powers of two do not use the latter. Range 1: quotients one too small,
  // which is allowed.
  uint64_t whole = one_word ? 0xffffffffu : ~uint64_t{0};
  if (one_word && range > 1) whole++;
  fill.reciprocal = whole / (range > 0 ? range : 1);
  run(fill, generator);
}

// random_() without bounds: what it divides by, and whether one word is enough.
uint64_t full_range(DType dtype, bool* one_word) {
  *one_word = dtype != DType::Int64 && dtype != DType::Float64;
  switch (dtype) {
    case DType::Bool: return 2;
    case DType::UInt8: return 256;
    case DType::Int8: return 128;
    case DType::Int16: return uint64_t{1} << 15;
    case DType::Int32: return uint64_t{1} << 31;
    case DType::Int64: return uint64_t{1} << 63;
    case DType::Float16: return 2049;
    case DType::BFloat16: return 257;
    case DType::Float32: return (uint64_t{1} << 24) + 1;
    default: return (uint64_t{1} << 53) + 1;
  }
}

uint64_t one_of(DType dtype) {
  switch (dtype) {
    case DType::Float16: return 0x3c00;
    case DType::BFloat16: return 0x3f80;
    case DType::Float32: return 0x3f800000;
    case DType::Float64: return 0x3ff0000000000000;
    default: return 1;
  }
}

void fill_values(Fill fill, double (*value)(const Fill&, double), Generator& generator) {
  fill.transform = by_value;
  fill.value = value;
  fill.words_per = 2;
  fill.cost_ps = 15000;
  run(fill, generator);
}

void random(const RandomArgs& args) {
  if (args.n <= 0) return;
  Generator& generator = *static_cast<Generator*>(args.generator);
  Fill fill{};
  fill.out = args.out;
  fill.dtype = args.dtype;
  fill.n = args.n;
  fill.a = args.a;
  fill.b = args.b;
  fill.one = one_of(args.dtype);
  bool wide = args.dtype == DType::Float64, one_word;
  switch (args.kind) {
    case Random::uniform:
      fill.transform = wide ? uniform_f64 : uniform_f32;
      fill.words_per = wide ? 2 : 1;
      fill.cost_ps = wide ? 700 : 350;
      return run(fill, generator);
    case Random::normal:
      if (args.serial || args.n < 16) return fill_normal_serial(fill, generator);
      return fill_normal(fill, generator);
    case Random::log_normal: fill.exponential = true; return fill_normal_serial(fill, generator);
    case Random::bernoulli:
      fill.transform = bernoulli;
      fill.words_per = 2;
      fill.cost_ps = 600;
      fill.range = args.a >= 1 ? uint64_t{1} << 53 : args.a > 0 ? static_cast<uint64_t>(::ceil(args.a * 0x1p53)) : 0;
      return run(fill, generator);
    case Random::bernoulli_tensor:
      wide = args.probs_dtype == DType::Float64;
      fill.probs = args.probs;
      fill.probs_dtype = args.probs_dtype;
      fill.transform = wide ? bernoulli_probs_f64 : bernoulli_probs_f32;
      fill.words_per = wide ? 2 : 1;
      fill.cost_ps = wide ? 700 : 400;
      return run(fill, generator);
    case Random::integers: {
      int64_t lo = args.lo, hi = args.hi;
      if (is_float(args.dtype)) shrink(args.dtype, lo, hi);
      fill.range = static_cast<uint64_t>(hi) - static_cast<uint64_t>(lo);
      fill.lo = fill.range == 0 ? 0 : lo;  // bounds 2^64 apart: the word itself
      return fill_integers(fill, fill.range > 0 && fill.range < uint64_t{1} << 28, generator);
    }
    case Random::full_range:
      fill.range = full_range(args.dtype, &one_word);
      return fill_integers(fill, one_word, generator);
    case Random::exponential:
      if (wide || !is_float(args.dtype)) return fill_values(fill, exponential_value, generator);
      fill.transform = exponential_f32;
      fill.words_per = 2;
      fill.cost_ps = 2500;
      return run(fill, generator);
    case Random::geometric: fill.b = ::log1p(-args.a); return fill_values(fill, geometric_value, generator);
    case Random::cauchy: return fill_values(fill, cauchy_value, generator);
    default: return;
  }
}

void randperm(int64_t* out, int64_t n, void* generator, Stream) {
  Fill fill{};
  fill.out = out;
  fill.ordered = true;
  fill.cost_ps = 3000;
  if (n >= kLargePermutation) {
    fill.transform = shuffle_large;
    fill.words_per = 2;
    fill.n = n;
    return run(fill, *static_cast<Generator*>(generator));
  }
  int32_t* order = reinterpret_cast<int32_t*>(out);
  for (int64_t i = 0; i < n; i++) order[i] = static_cast<int32_t>(i);
  fill.transform = shuffle;
  fill.words_per = 1;
  fill.range = static_cast<uint64_t>(n);
  fill.n = n - 1;
  if (n > 1) run(fill, *static_cast<Generator*>(generator));
  // Widen in place, from the end: an element moves to twice its offset, over elements that have moved already.
  constexpr int64_t kStep = 16;
  for (int64_t end = n; end > 0; end -= kStep) {
    int32_t narrow[kStep] = {};
    int64_t wide[kStep], begin = end > kStep ? end - kStep : 0;
    memcpy(narrow, order + begin, sizeof(int32_t) * static_cast<size_t>(end - begin));
    for (int64_t i = 0; i < kStep; i++) wide[i] = narrow[i];
    memcpy(out + begin, wide, sizeof(int64_t) * static_cast<size_t>(end - begin));
  }
}

}  // namespace

void fill_random(Backend& table) {
  table.random = random;
  table.randperm = randperm;
}

}  // namespace fg::cpu::FG_ISA
