// Optimizer steps: one launch updates many parameters. Their pointers travel in the kernel's arguments; a block finds
// its tensor by where its blocks begin.
#include <cmath>

#include "cuda/convert.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

constexpr int kTensors = 36;               // per launch: the arguments must stay below 4 KB
constexpr int64_t kChunk = kThreads * 16;  // elements per block

struct Entry {
  void *param, *state1, *state2, *state3;
  const void* grad;
  int64_t n;
  double step_size, root_correction;  // adam: lr / (1 - beta1^t), sqrt(1 - beta2^t)
  DType dtype;
  bool first;
};
struct Batch {
  Entry entries[kTensors];
  uint32_t starts[kTensors + 1];  // first block of each tensor
  int32_t count;
};
struct Rule {
  Optim kind;
  double lr, momentum, dampening, weight_decay, beta1, beta2, eps, alpha;
  bool nesterov, maximize, decoupled, amsgrad, centered;
};

FG_DEVICE float sqrt_of(float x) { return ::sqrtf(x); }
FG_DEVICE double sqrt_of(double x) { return ::sqrt(x); }

template <class T> FG_DEVICE void update(const Rule& r, const Entry& e, int64_t i) {
  auto get = [&](const void* p) { return load_float<T>(p, i, e.dtype); };
  auto put = [&](void* p, T x) { store_float<T>(p, i, e.dtype, x); };
  auto number = [](double x) { return static_cast<T>(x); };
  T p = get(e.param), g = get(e.grad);
  if (r.maximize) g = -g;
  if (r.kind == Optim::adam && r.decoupled) {
    p *= number(1 - r.lr * r.weight_decay);
  } else if (r.weight_decay != 0) {
    g += number(r.weight_decay) * p;
  }
  if (r.kind == Optim::sgd) {
    if (r.momentum != 0) {
      T buffer = e.first ? g : number(r.momentum) * get(e.state1) + number(1 - r.dampening) * g;
      put(e.state1, buffer);
      g = r.nesterov ? g + number(r.momentum) * buffer : buffer;
    }
    put(e.param, p - number(r.lr) * g);
  } else if (r.kind == Optim::adam) {
    T m = get(e.state1), v = get(e.state2);
    m += (g - m) * number(1 - r.beta1);
    v = number(r.beta2) * v + number(1 - r.beta2) * g * g;
    put(e.state1, m);
    put(e.state2, v);
    if (r.amsgrad) {
      T most = get(e.state3);
      v = most > v || most != most ? most : v;
      put(e.state3, v);
    }
    put(e.param, p - number(e.step_size) * (m / (sqrt_of(v) / number(e.root_correction) + number(r.eps))));
  } else {
    T v = number(r.alpha) * get(e.state1) + number(1 - r.alpha) * g * g, spread = v;
    put(e.state1, v);
    if (r.centered) {
      T mean = get(e.state3);
      mean += (g - mean) * number(1 - r.alpha);
      put(e.state3, mean);
      spread = v - mean * mean;
    }
    g /= sqrt_of(spread) + number(r.eps);
    if (r.momentum > 0) {
      g += number(r.momentum) * get(e.state2);
      put(e.state2, g);
    }
    put(e.param, p - number(r.lr) * g);
  }
}

__global__ void __launch_bounds__(kThreads)
    optim_kernel(const __grid_constant__ Batch batch, const __grid_constant__ Rule rule) {
  int low = 0, high = batch.count;
  while (high - low > 1) {
    int middle = (low + high) / 2;
    (batch.starts[middle] <= blockIdx.x ? low : high) = middle;
  }
  const Entry& e = batch.entries[low];
  int64_t first = int64_t(blockIdx.x - batch.starts[low]) * kChunk, last = first + kChunk < e.n ? first + kChunk : e.n;
  for (int64_t i = first + threadIdx.x; i < last; i += kThreads) {
    if (e.dtype == DType::Float64) {
      update<double>(rule, e, i);
    } else {
      update<float>(rule, e, i);
    }
  }
}

void optim_step(const OptimArgs& args) {
  Rule rule{
      args.kind,         args.lr,           args.momentum, args.dampening,     args.weight_decay,  args.beta1,
      args.beta2,        args.eps,          args.alpha,    args.nesterov != 0, args.maximize != 0, args.decoupled != 0,
      args.amsgrad != 0, args.centered != 0};
  static_assert(sizeof(Batch) + sizeof(Rule) <= 4096);
  Batch batch{};
  auto flush = [&] {
    if (batch.count) FG_LAUNCH_FREE(optim_kernel, batch.starts[batch.count], kThreads, 0, args.stream, batch, rule);
    batch.count = 0;
  };
  for (int64_t k = 0; k < args.count; ++k) {
    if (args.numels[k] == 0) continue;
    Entry& e = batch.entries[batch.count];
    auto state = [&](void* const* states) { return states ? states[k] : nullptr; };
    double step = args.steps ? static_cast<double>(args.steps[k]) : 1;
    e = {args.params[k],
         state(args.state1),
         state(args.state2),
         state(args.state3),
         args.grads[k],
         args.numels[k],
         args.kind == Optim::adam ? args.lr / (1 - std::pow(args.beta1, step)) : 0,
         args.kind == Optim::adam ? std::sqrt(1 - std::pow(args.beta2, step)) : 1,
         args.dtypes[k],
         step == 0};
    uint32_t blocks = static_cast<uint32_t>(ceil_div(e.n, kChunk));
    batch.starts[batch.count + 1] = batch.starts[batch.count] + blocks;
    if (++batch.count == kTensors) flush();
  }
  flush();
}

}  // namespace

void fill_optim(Backend& table) { table.optim_step = optim_step; }
}  // namespace fg::cuda
