// Optimizer steps: one launch updates many parameters. Their pointers travel in the kernel's arguments; a block finds
// its tensor by where its blocks begin.
#include "core/cuda_table.h"
#include "cuda/convert.cuh"
#include "cuda/num.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

constexpr int kTensors = 36;               // per launch: the arguments must stay below 4 KB
constexpr int64_t kChunk = kThreads * 16;  // elements per block

struct Entry {
  void *param, *state1, *state2, *state3;
  const void* grad;
  int64_t n;
  double numbers[3];
  DType dtype;
  const float* step;  // the counter that the numbers follow from, when it is on the device
};
struct Batch {
  Entry entries[kTensors];
  uint32_t starts[kTensors + 1];  // first block of each tensor
  int32_t count;
};
struct Rule {
  Optim kind;
  double lr, momentum, dampening, weight_decay, beta1, beta2, eps, alpha, low, high;
  bool nesterov, maximize, decoupled, amsgrad, centered;
  const float* lr_at;  // where lr is, when it is on the device
};

// What a rule sees: one element.
template <class T> struct Cell {
  const Entry& e;
  int64_t i;
  FG_DEVICE Num<T> get(const void* p) const { return load_float<T>(p, i, e.dtype); }
  FG_DEVICE void put(void* p, Num<T> x) const { store_float<T>(p, i, e.dtype, x.v); }
  FG_DEVICE void* const& place(int k) const { return k == 0 ? e.state1 : k == 1 ? e.state2 : e.state3; }
  FG_DEVICE Num<T> param() const { return get(e.param); }
  FG_DEVICE Num<T> grad() const { return get(e.grad); }
  FG_DEVICE Num<T> state(int k) const { return get(place(k)); }
  FG_DEVICE void set_param(Num<T> x) const { put(e.param, x); }
  FG_DEVICE void set_state(int k, Num<T> x) const { put(place(k), x); }
};

#define FG_RULE FG_DEVICE
#include "ops/optim_rules.h"
#undef FG_RULE

template <class T> FG_DEVICE void update(const Rule& options, const Entry& e, const double* numbers, int64_t i) {
  const OptimRule<Num<T>> rule(options, numbers);
  const Cell<T> at{e, i};
  switch (options.kind) {
#define FG_KIND(name) \
  case Optim::name: return name(rule, at);
    FG_OPTIMS(FG_KIND)
#undef FG_KIND
  }
}

// The tensor of this block.
FG_DEVICE int entry_of(const Batch& batch) {
  int low = 0, high = batch.count;
  while (high - low > 1) {
    int middle = (low + high) / 2;
    (batch.starts[middle] <= blockIdx.x ? low : high) = middle;
  }
  return low;
}
FG_DEVICE void update_part(const Batch& batch, const Rule& rule, int entry, const double* numbers) {
  const Entry& e = batch.entries[entry];
  int64_t first = int64_t(blockIdx.x - batch.starts[entry]) * kChunk,
          last = first + kChunk < e.n ? first + kChunk : e.n;
  for (int64_t i = first + threadIdx.x; i < last; i += kThreads) {
    if (e.dtype == DType::Float64) {
      update<double>(rule, e, numbers, i);
    } else {
      update<float>(rule, e, numbers, i);
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    optim_kernel(const __grid_constant__ Batch batch, const __grid_constant__ Rule rule) {
  const int entry = entry_of(batch);
  update_part(batch, rule, entry, batch.entries[entry].numbers);
}

// Adam, whose numbers follow from counters on the device as in ops/optim.cpp.
__global__ void __launch_bounds__(kThreads)
    counted_kernel(const __grid_constant__ Batch batch, const __grid_constant__ Rule given) {
  FG_SHARED(double, numbers, 3);
  const int entry = entry_of(batch);
  Rule rule = given;
  if (rule.lr_at) rule.lr = static_cast<double>(*rule.lr_at);
  if (threadIdx.x == 0) {
    const double t = static_cast<double>(*batch.entries[entry].step);
    numbers[0] = -(rule.lr / (1 - ::pow(rule.beta1, t)));
    numbers[1] = ::sqrt(1 - ::pow(rule.beta2, t));
    numbers[2] = 0;
  }
  __syncthreads();
  update_part(batch, rule, entry, numbers);
}

struct Counters {
  float* at[kThreads];
};
__global__ void __launch_bounds__(kThreads) count_kernel(const __grid_constant__ Counters counters, int count) {
  if (threadIdx.x < count) *counters.at[threadIdx.x] += 1;
}

// steps: counters on the device, or null.
void step_all(const OptimArgs& args, float* const* steps, const float* lr) {
  Rule rule{args.kind,
            args.lr,
            args.momentum,
            args.dampening,
            args.weight_decay,
            args.beta1,
            args.beta2,
            args.eps,
            args.alpha,
            args.low,
            args.high,
            args.nesterov != 0,
            args.maximize != 0,
            args.decoupled != 0,
            args.amsgrad != 0,
            args.centered != 0,
            lr};
  static_assert(sizeof(Batch) + sizeof(Rule) <= 4096);
  Batch batch{};
  auto flush = [&] {
    const unsigned blocks = batch.starts[batch.count];
    if (batch.count && steps) FG_LAUNCH(counted_kernel, blocks, kThreads, 0, args.stream, batch, rule);
    else if (batch.count) FG_LAUNCH_FREE(optim_kernel, blocks, kThreads, 0, args.stream, batch, rule);
    batch.count = 0;
  };
  for (int64_t k = 0; k < args.count; ++k) {
    if (args.numels[k] == 0) continue;
    Entry& e = batch.entries[batch.count];
    auto state = [&](void* const* states) { return states ? states[k] : nullptr; };
    const double none[3] = {}, *numbers = steps ? none : args.numbers + 3 * k;
    e = {args.params[k],
         state(args.state1),
         state(args.state2),
         state(args.state3),
         args.grads[k],
         args.numels[k],
         {numbers[0], numbers[1], numbers[2]},
         args.dtypes[k],
         steps ? steps[k] : nullptr};
    uint32_t blocks = static_cast<uint32_t>(ceil_div(e.n, kChunk));
    batch.starts[batch.count + 1] = batch.starts[batch.count] + blocks;
    if (++batch.count == kTensors) flush();
  }
  flush();
}

void optim_step(const OptimArgs& args) { step_all(args, nullptr, nullptr); }

void adam_counted(const OptimArgs& args, float* const* steps, const float* lr) {
  for (int64_t k = 0; k < args.count; k += kThreads) {
    Counters counters;
    const int count = static_cast<int>(args.count - k < kThreads ? args.count - k : kThreads);
    for (int i = 0; i < count; ++i) counters.at[i] = steps[k + i];
    FG_LAUNCH_FREE(count_kernel, 1, kThreads, 0, args.stream, counters, count);
  }
  step_all(args, steps, lr);
}

}  // namespace

void fill_optim(Backend& table) { table.optim_step = optim_step; }
void fill_optim_counted(CudaTable& table) { table.adam_counted = adam_counted; }
}  // namespace fg::cuda
