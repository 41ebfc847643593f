// Random fills. A Generator is a seed with its state on one device; filling takes its lock for the whole tensor.
#pragma once
#include <mutex>

#include "core/philox.h"
#include "cpu/generator.h"
#include "ops/ops.h"

namespace fg {

struct Generator {
  Device device;
  std::mutex lock;
  cpu::Generator host;        // CPU
  void* on_device = nullptr;  // CUDA: the backend's own, a PhiloxState
  explicit Generator(Device d);
  ~Generator();
  void seed(uint64_t value);
  PhiloxState& philox() const { return *static_cast<PhiloxState*>(on_device); }
  uint64_t initial_seed() const { return device.is_cpu() ? host.initial_seed : philox().seed; }
};
Generator& default_generator(Device device);  // seeded randomly once per process

struct RandomFill {
  Random kind;
  double a = 0, b = 1;
  int64_t lo = 0, hi = 0;
  const Tensor* probs = nullptr;
};
// Overwrites every element of `out` in memory order; generator null: the device's default. Not recorded, no checks.
void random_fill(const Tensor& out, const RandomFill& fill, Generator* generator);
// The same as an in-place op: checks, version, and history (the old value gets no gradient).
void random_fill_(const Tensor& out, const RandomFill& fill, Generator* generator, const char* op);
Tensor randperm(int64_t n, Generator* generator, Device device);
Tensor multinomial(const Tensor& probs, int64_t samples, bool replacement, Generator* generator);
Tensor bernoulli(const Tensor& probs, Generator* generator);
Tensor dropout(const Tensor& x, double p, bool train);
void dropout_(const Tensor& x, double p, bool train);

}  // namespace fg
