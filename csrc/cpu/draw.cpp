// Draws of ops/draw_rules.h. How many words an element takes depends on them, so elements are drawn one after the
// other.
#include <limits>

#include "cpu/backend_cpu.h"
#include "cpu/generator.h"
#include "ops/draw_grad.h"
#include "ops/draw_rules.h"

namespace fg::cpu {
namespace {

struct Numbers {
  Generator* generator;  // null for gradients
  double uniform() { return next_uniform(*generator); }
  double normal() { return next_normal(*generator, 0, 1); }
};

// Where only uniform numbers are taken: the words that a block of the generator still has, and those that were not
// needed given back.
class Uniforms {
 public:
  explicit Uniforms(Generator& generator) : generator_(generator) {}
  ~Uniforms() {
    generator_.next -= count_ - used_;
    generator_.left += count_ - used_;
  }
  Uniforms(const Uniforms&) = delete;
  double uniform() {
    const uint64_t high = word();
    return uniform_of(high << 32 | word());
  }

 private:
  uint32_t word() {
    if (used_ == count_) {
      used_ = 0;
      count_ = generator_.left == 1 ? static_cast<int32_t>(kStateWords) : generator_.left - 1;
      next_words(generator_, words_, count_);
    }
    return words_[used_++];
  }
  Generator& generator_;
  int32_t used_ = 0, count_ = 0;
  uint32_t words_[kStateWords];
};

template <class T> void draw_as(const DrawArgs& args) {
  if (args.kind == Draw::poisson) {
    Uniforms g(*static_cast<Generator*>(args.generator));
    for (int64_t i = 0; i < args.n; ++i)
      static_cast<T*>(args.out)[i] = static_cast<T>(poisson(static_cast<const T*>(args.a)[i], g));
    return;
  }
  if (args.kind == Draw::binomial) {
    Uniforms g(*static_cast<Generator*>(args.generator));
    for (int64_t i = 0; i < args.n; ++i)
      static_cast<T*>(args.out)[i] = binomial(static_cast<const T*>(args.a)[i], static_cast<const T*>(args.b)[i], g);
    return;
  }
  Numbers g{static_cast<Generator*>(args.generator)};
  const T *a = static_cast<const T*>(args.a), *b = static_cast<const T*>(args.b), *c = static_cast<const T*>(args.c);
  T* out = static_cast<T*>(args.out);
  for (int64_t i = 0; i < args.n; ++i) {
    switch (args.kind) {
      case Draw::gamma: {
        const T x = gamma(a[i], g), least = std::numeric_limits<T>::min();
        out[i] = x > least ? x : least;
        break;
      }
      case Draw::poisson:
      case Draw::binomial: break;  // above
      case Draw::gamma_grad: out[i] = gamma_grad(a[i], b[i]); break;
      case Draw::dirichlet_grad: out[i] = dirichlet_grad(a[i], b[i], c[i]); break;
    }
  }
}

}  // namespace

void draw(const DrawArgs& args) {
  if (args.dtype == DType::Float32) return draw_as<float>(args);
  draw_as<double>(args);
}

}  // namespace fg::cpu
