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

template <class T> void draw_as(const DrawArgs& args) {
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
      case Draw::poisson: out[i] = static_cast<T>(poisson(a[i], g)); break;
      case Draw::binomial: out[i] = binomial(a[i], b[i], g); break;
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
