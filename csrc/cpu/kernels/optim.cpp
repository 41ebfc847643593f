// Optimizer steps. One call updates all parameters of a group: the tensors are cut into chunks of fixed size and the
// chunks of all of them run as one parallel region, each in a single pass over its memory. The updates are the rules of
// ops/optim_rules.h, here on vectors. Half types are computed in float.
#include "core/backend.h"
#include "cpu/backend_cpu.h"
#include "cpu/parallel.h"
#include "cpu/vec.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kChunk = 16384;   // elements
constexpr int64_t kSerial = 32768;  // elements of the whole group

struct AsFloat {
  using Stored = float;
  using V = VF;
  FG_INLINE static V load(const float* from) { return V::load(from); }
  FG_INLINE static void store(float* to, V x) { x.store(to); }
};
struct AsDouble {
  using Stored = double;
  using V = VD;
  FG_INLINE static V load(const double* from) { return V::load(from); }
  FG_INLINE static void store(double* to, V x) { x.store(to); }
};
struct AsFloat16 {
  using Stored = uint16_t;
  using V = VF;
  FG_INLINE static V load(const uint16_t* from) { return load_f16(from); }
  FG_INLINE static void store(uint16_t* to, V x) { store_f16(to, x); }
};
struct AsBFloat16 {
  using Stored = uint16_t;
  using V = VF;
  FG_INLINE static V load(const uint16_t* from) { return load_bf16(from); }
  FG_INLINE static void store(uint16_t* to, V x) { store_bf16(to, x); }
};

// A piece of one tensor. States that a rule does not use are null.
template <class T> struct Piece {
  T* param;
  T* grad;  // only read; not const so that the rest below can point it at a buffer
  T* states[3];
};

template <class T> T* shifted(const void* base, int64_t from) {
  return base ? static_cast<T*>(const_cast<void*>(base)) + from : nullptr;
}

// step(piece, i) updates one vector at i. The rest goes through buffers of one vector.
template <class As, class Step> FG_INLINE void sweep(const Piece<typename As::Stored>& piece, int64_t n, Step step) {
  using T = typename As::Stored;
  constexpr int64_t lanes = As::V::N;
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) step(piece, i);
  if (i == n) return;
  T buffers[5][lanes] = {};
  T* const sources[5] = {piece.param, piece.grad, piece.states[0], piece.states[1], piece.states[2]};
  const size_t bytes = sizeof(T) * static_cast<size_t>(n - i);
  for (int k = 0; k < 5; ++k) {
    if (sources[k]) memcpy(buffers[k], sources[k] + i, bytes);
  }
  step(Piece<T>{buffers[0], buffers[1], {buffers[2], buffers[3], buffers[4]}}, 0);
  for (int k = 0; k < 5; ++k) {
    if (sources[k] && k != 1) memcpy(sources[k] + i, buffers[k], bytes);
  }
}

// What a rule sees: one vector of a piece.
template <class As> struct Cell {
  using V = typename As::V;
  const Piece<typename As::Stored>& at;
  int64_t i;
  FG_INLINE V param() const { return As::load(at.param + i); }
  FG_INLINE V grad() const { return As::load(at.grad + i); }
  FG_INLINE V state(int k) const { return As::load(at.states[k] + i); }
  FG_INLINE void set_param(V x) const { As::store(at.param + i, x); }
  FG_INLINE void set_state(int k, V x) const { As::store(at.states[k] + i, x); }
};

#define FG_RULE FG_INLINE
#include "ops/optim_rules.h"
#undef FG_RULE

template <class As> void update(const OptimArgs& args, int64_t tensor, int64_t from, int64_t n) {
  using T = typename As::Stored;
  Piece<T> piece{shifted<T>(args.params[tensor], from), shifted<T>(args.grads[tensor], from), {}};
  void* const* const states[3] = {args.state1, args.state2, args.state3};
  for (int k = 0; k < 3; ++k) piece.states[k] = states[k] ? shifted<T>(states[k][tensor], from) : nullptr;
  switch (args.kind) {
#define FG_KIND(name)                                                                                                 \
  case Optim::name: {                                                                                                 \
    const OptimRule<typename As::V> rule(args, args.numbers + 3 * tensor);                                            \
    return sweep<As>(piece, n,                                                                                        \
                     [=](const auto& at, int64_t i) __attribute__((always_inline)) { name(rule, Cell<As>{at, i}); }); \
  }
    FG_OPTIMS(FG_KIND)
#undef FG_KIND
  }
}

void update_any(const OptimArgs& args, int64_t tensor, int64_t from, int64_t n) {
  switch (args.dtypes[tensor]) {
    case DType::Float32: return update<AsFloat>(args, tensor, from, n);
    case DType::Float64: return update<AsDouble>(args, tensor, from, n);
    case DType::Float16: return update<AsFloat16>(args, tensor, from, n);
    case DType::BFloat16: return update<AsBFloat16>(args, tensor, from, n);
    default: return;
  }
}

struct Task {
  const OptimArgs* args;
  const int64_t* ends;  // chunks up to and including each tensor
};

void run_chunk(void* context, int64_t chunk) {
  const Task& task = *static_cast<Task*>(context);
  int64_t low = 0, high = task.args->count - 1;  // the first tensor that ends after this chunk
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (task.ends[middle] > chunk) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  const int64_t from = (chunk - (low ? task.ends[low - 1] : 0)) * kChunk, left = task.args->numels[low] - from;
  update_any(*task.args, low, from, left < kChunk ? left : kChunk);
}

void optim_step(const OptimArgs& args) {
  int64_t numel = 0;
  for (int64_t i = 0; i < args.count; ++i) numel += args.numels[i];
  const size_t bytes = sizeof(int64_t) * static_cast<size_t>(args.count);
  int64_t* ends = numel >= kSerial ? static_cast<int64_t*>(scratch(bytes)) : nullptr;
  if (!ends) {
    for (int64_t i = 0; i < args.count; ++i) update_any(args, i, 0, args.numels[i]);
    return;
  }
  int64_t chunks = 0;
  for (int64_t i = 0; i < args.count; ++i) ends[i] = chunks += (args.numels[i] + kChunk - 1) / kChunk;
  Task task{&args, ends};
  parallel_for(chunks, args.kind == Optim::sgd ? numel / 4 : numel / 2, run_chunk, &task);
  release_scratch(ends, bytes);
}

}  // namespace

void fill_optim(Backend& table) { table.optim_step = optim_step; }

}  // namespace fg::cpu::FG_ISA
