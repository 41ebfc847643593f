// Draws of ops/draw_rules.h and their gradients. Every element has counters of its own, as many as it asks for: the
// numbers do not depend on the launch.
#include "cuda/convert.cuh"
#include "cuda/philox.cuh"
#include "cuda/tables.h"
#include "ops/draw_grad.h"
#include "ops/draw_rules.h"

namespace fg::cuda {
namespace {

struct Numbers {
  uint64_t seed, element;
  uint32_t used = 0;  // counters
  FG_DEVICE double uniform() {
    const Words w = philox(seed, element, used++);
    return static_cast<double>((uint64_t(w.v[0]) << 32 | w.v[1]) >> 11) * 0x1p-53;
  }
  FG_DEVICE double normal() {  // Box and Muller
    constexpr double kPi = 3.14159265358979323846;
    const Words w = philox(seed, element, used++);
    const double u = static_cast<double>((uint64_t(w.v[0]) << 32 | w.v[1]) >> 11) * 0x1p-53;
    const double v = static_cast<double>((uint64_t(w.v[2]) << 32 | w.v[3]) >> 11) * 0x1p-53;
    return ::sqrt(-2 * ::log1p(-u)) * ::cos(2 * kPi * v);
  }
};

template <class T> constexpr T kLeastNormal = sizeof(T) == 4 ? static_cast<T>(0x1p-126) : static_cast<T>(0x1p-1022);

template <class T>
__global__ void __launch_bounds__(kThreads) draw_kernel(const __grid_constant__ DrawArgs args, Counter given) {
  const PhiloxState counter = given.start();
  const T *a = static_cast<const T*>(args.a), *b = static_cast<const T*>(args.b), *c = static_cast<const T*>(args.c);
  for (int64_t i = global_thread(); i < args.n; i += global_threads()) {
    Numbers numbers{counter.seed, counter.offset + static_cast<uint64_t>(i)};
    T x = 0;
    switch (args.kind) {
      case Draw::gamma:
        x = gamma(a[i], numbers);
        x = x > kLeastNormal<T> ? x : kLeastNormal<T>;
        break;
      case Draw::poisson: x = static_cast<T>(poisson(a[i], numbers)); break;
      case Draw::binomial: x = binomial(a[i], b[i], numbers); break;
      case Draw::gamma_grad: x = gamma_grad(a[i], b[i]); break;
      case Draw::dirichlet_grad: x = dirichlet_grad(a[i], b[i], c[i]); break;
    }
    static_cast<T*>(args.out)[i] = x;
  }
}

template <class T> void draw_as(const DrawArgs& args) {
  const Counter counter = args.generator ? take(args.generator, args.n) : Counter{};
  FG_LAUNCH_FREE(draw_kernel<T>, grid_for(args.n, args.stream), kThreads, 0, args.stream, args, counter);
}
void draw(const DrawArgs& args) {
  if (args.n == 0) return;
  return args.dtype == DType::Float32 ? draw_as<float>(args) : draw_as<double>(args);
}

}  // namespace

void fill_draw(Backend& table) { table.draw = draw; }
}  // namespace fg::cuda
