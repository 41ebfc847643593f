// Random numbers: Philox 4x32-10, a counter instead of a state, so that element i needs nothing from its neighbours and
// the numbers do not depend on the launch. A generator is a seed and how many counters are used up.
//
// Thread i makes elements 4 i .. 4 i + 3 from kWords words each: 1 where 24 bits suffice, 2 for two floats or 53 bits,
// 4 for two doubles. Not the stream of the CPU generator, nor torch's on CUDA: same seed, same numbers holds within
// this device.
#include <cmath>

#include "cuda/convert.cuh"
#include "cuda/philox.cuh"
#include "cuda/sort.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

struct RandomOperands {
  void* out;
  const void* probs;
  int64_t n;
  DType dtype, probs_dtype;
  Random kind;
  double a, b;
  uint64_t threshold;  // bernoulli: of 2^32
};

FG_DEVICE float log_of(float x) { return ::logf(x); }
FG_DEVICE double log_of(double x) { return ::log(x); }
FG_DEVICE float log1p_of(float x) { return ::log1pf(x); }
FG_DEVICE double log1p_of(double x) { return ::log1p(x); }
FG_DEVICE float exp_of(float x) { return ::expf(x); }
FG_DEVICE double exp_of(double x) { return ::exp(x); }
FG_DEVICE float cos_of(float x) { return ::cosf(x); }
FG_DEVICE double cos_of(double x) { return ::cos(x); }
FG_DEVICE float tan_of(float x) { return ::tanf(x); }
FG_DEVICE double tan_of(double x) { return ::tan(x); }
FG_DEVICE float sqrt_of(float x) { return ::sqrtf(x); }
FG_DEVICE double sqrt_of(double x) { return ::sqrt(x); }
FG_DEVICE float ceil_of(float x) { return ::ceilf(x); }
FG_DEVICE double ceil_of(double x) { return ::ceil(x); }

// In [0, 1): 24 bits of one word, or 53 of two.
FG_DEVICE void unit(const uint32_t* w, float& u) { u = static_cast<float>(w[0] >> 8) * 0x1p-24f; }
FG_DEVICE void unit(const uint32_t* w, double& u) {
  u = static_cast<double>((uint64_t(w[0]) << 32 | w[1]) >> 11) * 0x1p-53;
}
template <class T> FG_DEVICE T rounded(T x, DType t) {
  if (t == DType::Float16) return static_cast<T>(half_to_float(float_to_half(static_cast<float>(x))));
  if (t == DType::BFloat16) return static_cast<T>(bhalf_to_float(float_to_bhalf(static_cast<float>(x))));
  return x;
}

// w: kWords words of this element's own.
template <class T, int kWords> FG_DEVICE T draw(const RandomOperands& p, const uint32_t* w, int64_t i) {
  constexpr T kPi = static_cast<T>(3.14159265358979323846);
  constexpr T kLeast = sizeof(T) == 4 ? T(0x1p-25) : T(0x1p-54);
  T a = static_cast<T>(p.a), b = static_cast<T>(p.b), u;
  unit(w, u);
  switch (p.kind) {
    case Random::uniform: {
      T y = rounded(u * (b - a) + a, p.dtype);
      return y >= rounded(b, p.dtype) ? a : y;
    }
    case Random::bernoulli: return static_cast<T>(w[0] < p.threshold);
    case Random::bernoulli_tensor: return static_cast<T>(u < load<T>(p.probs, i, p.probs_dtype));
    case Random::exponential: return -log1p_of(-(u > 0 ? u : kLeast)) / a;  // never 0: quotients by it are common
    case Random::geometric: {
      T y = ceil_of(log_of(u > 0 ? u : kLeast) / log1p_of(-a));
      return y >= 1 ? y : T(1);
    }
    case Random::cauchy: return a + b * tan_of(kPi * (u - T(0.5)));
    default:
      if constexpr (kWords * sizeof(T) >= 8 && kWords >= 2) {
        T v = u;
        unit(w + kWords / 2, v);
        T z = sqrt_of(-2 * log_of(u > 0 ? u : kLeast)) * cos_of(2 * kPi * v);
        z = z * b + a;
        return p.kind == Random::log_normal ? exp_of(z) : z;
      }
      return u;
  }
}

template <class T, int kWords>
__global__ void __launch_bounds__(kThreads) random_kernel(const __grid_constant__ RandomOperands p, Counter given) {
  const PhiloxState counter = given.start();
  int64_t groups = (p.n + 3) / 4;
  for (int64_t i = global_thread(); i < groups; i += global_threads()) {
    uint32_t words[4 * kWords];
    FG_UNROLL
    for (int c = 0; c < kWords; ++c) {
      Words w = philox(counter.seed, counter.offset + i, c);
      FG_UNROLL
      for (int k = 0; k < 4; ++k) words[4 * c + k] = w.v[k];
    }
    FG_UNROLL
    for (int j = 0; j < 4; ++j) {
      int64_t at = 4 * i + j;
      if (at < p.n) store<T>(p.out, at, p.dtype, draw<T, kWords>(p, words + j * kWords, at));
    }
  }
}

// range 0: all 64 bits.
__global__ void __launch_bounds__(kThreads)
    integers_kernel(void* out, int64_t n, DType dtype, int64_t lo, uint64_t range, Counter given) {
  const PhiloxState counter = given.start();
  for (int64_t i = global_thread(); i < (n + 1) / 2; i += global_threads()) {
    Words w = philox(counter.seed, counter.offset + i, 0);
    FG_UNROLL
    for (int j = 0; j < 2; ++j) {
      uint64_t word = uint64_t(w.v[2 * j]) << 32 | w.v[2 * j + 1];
      int64_t at = 2 * i + j;
      if (at < n)
        store<int64_t>(out, at, dtype, static_cast<int64_t>((range ? word % range : word) + static_cast<uint64_t>(lo)));
    }
  }
}

template <class T, int kWords> void launch_random(const RandomOperands& p, const RandomArgs& args) {
  int64_t groups = ceil_div(args.n, 4);
  FG_LAUNCH_FREE((random_kernel<T, kWords>), grid_for(groups, args.stream), kThreads, 0, args.stream, p,
                 take(args.generator, groups));
}

// random_(): from 0 to the largest number up to which the dtype has every integer.
uint64_t natural_range(DType t) {
  switch (t) {
    case DType::Bool: return 2;
    case DType::UInt8: return 256;
    case DType::Int8: return 128;
    case DType::Int16: return 32768;
    case DType::Int32: return uint64_t(1) << 31;
    case DType::Int64: return uint64_t(1) << 63;
    case DType::Float16: return 2049;
    case DType::BFloat16: return 257;
    case DType::Float32: return (uint64_t(1) << 24) + 1;
    default: return (uint64_t(1) << 53) + 1;
  }
}

void random(const RandomArgs& args) {
  if (args.n == 0) return;
  if (args.kind == Random::integers || args.kind == Random::full_range) {
    uint64_t range = static_cast<uint64_t>(args.hi) - static_cast<uint64_t>(args.lo);
    int64_t lo = args.lo;
    if (args.kind == Random::full_range) {  // from the smallest int64 on: all bits
      range = args.lo == INT64_MIN ? 0 : natural_range(args.dtype);
      lo = 0;
    }
    int64_t counters = ceil_div(args.n, 2);
    FG_LAUNCH_FREE(integers_kernel, grid_for(counters, args.stream), kThreads, 0, args.stream, args.out, args.n,
                   args.dtype, lo, range, take(args.generator, counters));
    return;
  }
  double share = args.a < 0 ? 0 : args.a > 1 ? 1 : args.a;
  RandomOperands p{args.out,   args.probs,       args.n,
                   args.dtype, args.probs_dtype, args.kind,
                   args.a,     args.b,           static_cast<uint64_t>(std::ceil(share * 4294967296.0))};
  bool two = args.kind == Random::normal || args.kind == Random::log_normal;
  DType decides = args.kind == Random::bernoulli_tensor ? args.probs_dtype : args.dtype;
  if (args.kind == Random::bernoulli) return launch_random<float, 1>(p, args);
  if (decides == DType::Float64 || !is_float(decides))
    return two ? launch_random<double, 4>(p, args) : launch_random<double, 2>(p, args);
  return two ? launch_random<float, 2>(p, args) : launch_random<float, 1>(p, args);
}

// ---- permutations: random keys, sorted
__global__ void __launch_bounds__(kThreads)
    random_keys_kernel(uint32_t* keys, uint32_t* values, int64_t n, Counter given) {
  const PhiloxState counter = given.start();
  for (int64_t i = global_thread(); i < (n + 3) / 4; i += global_threads()) {
    Words w = philox(counter.seed, counter.offset + i, 0);
    FG_UNROLL
    for (int k = 0; k < 4; ++k) {
      if (4 * i + k < n) keys[4 * i + k] = w.v[k], values[4 * i + k] = static_cast<uint32_t>(4 * i + k);
    }
  }
}
__global__ void __launch_bounds__(kThreads) widen_kernel(const uint32_t* values, int64_t* out, int64_t n) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) out[i] = values[i];
}

void randperm(int64_t* out, int64_t n, void* generator, Stream stream) {
  if (n <= 0) return;
  if (n > INT32_MAX) return set_error("randperm", "too many elements");
  Scratch scratch(static_cast<size_t>(n) * 16, stream);
  if (!scratch) return;
  uint32_t *keys = scratch.as<uint32_t>(), *values = keys + n;
  unsigned grid = grid_for(n, stream);
  FG_LAUNCH_FREE(random_keys_kernel, grid, kThreads, 0, stream, keys, values, n, take(generator, ceil_div(n, 4)));
  if (!sort_pairs(keys, values, values + n, values + 2 * n, n, 32, stream)) return;
  FG_LAUNCH_FREE(widen_kernel, grid, kThreads, 0, stream, values, out, n);
}

void* generator_create(int64_t seed) { return new PhiloxState{static_cast<uint64_t>(seed), 0}; }
void generator_destroy(void* generator) { delete static_cast<PhiloxState*>(generator); }
void generator_seed(void* generator, int64_t seed) {
  *static_cast<PhiloxState*>(generator) = {static_cast<uint64_t>(seed), 0};
}

}  // namespace

void fill_random(Backend& table) {
  table.random = random;
  table.randperm = randperm;
  table.generator_create = generator_create;
  table.generator_destroy = generator_destroy;
  table.generator_seed = generator_seed;
}
}  // namespace fg::cuda
