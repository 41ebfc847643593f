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
  const double* counted;  // numbers that were made on the device, or null
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
#include "ops/optim_numbers.h"
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

// A number of a state, or a learning rate.
struct Place {
  void* at;
  bool single;
  FG_DEVICE double get() const {
    return single ? static_cast<double>(*static_cast<float*>(at)) : *static_cast<double*>(at);
  }
  FG_DEVICE void set(double x) const {
    if (single) *static_cast<float*>(at) = static_cast<float>(x);
    else *static_cast<double*>(at) = x;
  }
};

// The same with numbers that count_kernel made.
__global__ void __launch_bounds__(kThreads)
    counted_kernel(const __grid_constant__ Batch batch, const __grid_constant__ Rule given, const Place lr) {
  const int entry = entry_of(batch);
  Rule rule = given;
  if (lr.at) rule.lr = lr.get();
  update_part(batch, rule, entry, batch.entries[entry].counted);
}

// One thread moves the numbers of one parameter's state on and says what its rule needs to know.
constexpr int kCounted = 128;  // per launch, as above
struct Counters {
  void *steps[kCounted], *kept1[kCounted], *kept2[kCounted];
};
__global__ void __launch_bounds__(kCounted)
    count_kernel(const __grid_constant__ Counters counters, const __grid_constant__ Rule rule, const Place lr,
                 int count, bool single, double* numbers) {
  const int k = threadIdx.x;
  if (k >= count) return;
  const Place step{counters.steps[k], single}, kept1{counters.kept1[k], single}, kept2{counters.kept2[k], single};
  const double t = step.get() + 1;
  double kept[2] = {kept1.at ? kept1.get() : 0, kept2.at ? kept2.get() : 0};
  optim_numbers(rule, lr.at ? lr.get() : rule.lr, t, kept, single, numbers + 3 * k);
  step.set(t);
  if (kept1.at) kept1.set(kept[0]);
  if (kept2.at) kept2.set(kept[1]);
}

Rule rule_of(const OptimArgs& args) {
  return {args.kind,          args.lr,
          args.momentum,      args.dampening,
          args.weight_decay,  args.beta1,
          args.beta2,         args.eps,
          args.alpha,         args.low,
          args.high,          args.nesterov != 0,
          args.maximize != 0, args.decoupled != 0,
          args.amsgrad != 0,  args.centered != 0};
}

// counted: numbers on the device, three for each parameter, or null.
void step_all(const OptimArgs& args, const double* counted, Place lr) {
  const Rule rule = rule_of(args);
  static_assert(sizeof(Batch) + sizeof(Rule) + sizeof(Place) <= 4096);
  static_assert(sizeof(Counters) + sizeof(Rule) + sizeof(Place) + 16 <= 4096);
  Batch batch{};
  auto flush = [&] {
    const unsigned blocks = batch.starts[batch.count];
    if (batch.count && counted) FG_LAUNCH_FREE(counted_kernel, blocks, kThreads, 0, args.stream, batch, rule, lr);
    else if (batch.count) FG_LAUNCH_FREE(optim_kernel, blocks, kThreads, 0, args.stream, batch, rule);
    batch.count = 0;
  };
  for (int64_t k = 0; k < args.count; ++k) {
    if (args.numels[k] == 0) continue;
    Entry& e = batch.entries[batch.count];
    auto state = [&](void* const* states) { return states ? states[k] : nullptr; };
    const double none[3] = {}, *numbers = counted ? none : args.numbers + 3 * k;
    e = {args.params[k],
         state(args.state1),
         state(args.state2),
         state(args.state3),
         args.grads[k],
         args.numels[k],
         {numbers[0], numbers[1], numbers[2]},
         args.dtypes[k],
         counted ? counted + 3 * k : nullptr};
    uint32_t blocks = static_cast<uint32_t>(ceil_div(e.n, kChunk));
    batch.starts[batch.count + 1] = batch.starts[batch.count] + blocks;
    if (++batch.count == kTensors) flush();
  }
  flush();
}

void optim_step(const OptimArgs& args) { step_all(args, nullptr, {}); }

void optim_counted(const OptimArgs& args, const OptimCounts& counts) {
  const Scratch numbers(3 * sizeof(double) * static_cast<size_t>(args.count), args.stream);
  if (!numbers) return;
  const Rule rule = rule_of(args);
  const Place lr{const_cast<void*>(counts.lr), counts.lr_dtype == DType::Float32};
  for (int64_t k = 0; k < args.count; k += kCounted) {
    Counters counters{};
    const int count = static_cast<int>(args.count - k < kCounted ? args.count - k : kCounted);
    for (int i = 0; i < count; ++i) {
      counters.steps[i] = counts.steps[k + i];
      if (counts.kept1) counters.kept1[i] = counts.kept1[k + i];
      if (counts.kept2) counters.kept2[i] = counts.kept2[k + i];
    }
    FG_LAUNCH_FREE(count_kernel, 1, kCounted, 0, args.stream, counters, rule, lr, count, counts.dtype == DType::Float32,
                   numbers.as<double>() + 3 * k);
  }
  step_all(args, numbers.as<double>(), lr);
}

}  // namespace

void fill_optim(Backend& table) { table.optim_step = optim_step; }
void fill_optim_counted(CudaTable& table) { table.optim_counted = optim_counted; }
}  // namespace fg::cuda
