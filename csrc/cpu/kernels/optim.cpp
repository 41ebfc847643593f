// SGD, Adam (with decoupled weight decay: AdamW) and RMSprop. One call updates all parameters of a group: the tensors
// are cut into chunks of fixed size and the chunks of all of them run as one parallel region, each in a single pass
// over its memory. Formulas and their order are those of torch's per-tensor implementation. Half types are computed in
// float.
#include "core/backend.h"
#include "cpu/backend_cpu.h"
#include "cpu/parallel.h"
#include "cpu/vec.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kChunk = 16384;  // elements
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
template <class T>
struct Piece {
  T* param;
  T* grad;  // only read; not const so that the rest below can point it at a buffer
  T* states[3];
};

template <class T>
T* shifted(const void* base, int64_t from) {
  return base ? static_cast<T*>(const_cast<void*>(base)) + from : nullptr;
}

// step(piece, i) updates one vector at i. The rest goes through buffers of one vector.
template <class As, class Step>
FG_INLINE void sweep(const Piece<typename As::Stored>& piece, int64_t n, Step step) {
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

// The gradient that every rule starts from.
template <class V>
struct Gradient {
  bool negate, decay;
  V weight_decay;
  explicit Gradient(const OptimArgs& args, bool decoupled)
      : negate(args.maximize), decay(args.weight_decay != 0 && !decoupled), weight_decay(args.weight_decay) {}
  FG_INLINE V operator()(V g, V p) const {
    if (negate) g = -g;
    return decay ? g + p * weight_decay : g;
  }
};

// As torch: the form that is exact at the nearer end.
template <class V>
struct Lerp {
  bool near_start;
  V weight, other;
  explicit Lerp(double w) : near_start(w < 0.5 && w > -0.5), weight(w), other(1 - w) {}
  FG_INLINE V operator()(V from, V to) const {
    const V delta = to - from;
    return near_start ? from + weight * delta : to - delta * other;
  }
};

template <class As>
void sgd(const OptimArgs& args, int64_t tensor, const Piece<typename As::Stored>& piece, int64_t n) {
  using V = typename As::V;
  const Gradient<V> gradient(args, false);
  const bool first = args.steps && args.steps[tensor] == 0, nesterov = args.nesterov;
  const V lr(-args.lr), momentum(args.momentum), rest(1 - args.dampening);
  if (args.momentum == 0) {
    sweep<As>(piece, n, [=](const auto& at, int64_t i) __attribute__((always_inline)) {
      const V p = As::load(at.param + i);
      As::store(at.param + i, p + gradient(As::load(at.grad + i), p) * lr);
    });
  } else {
    sweep<As>(piece, n, [=](const auto& at, int64_t i) __attribute__((always_inline)) {
      const V p = As::load(at.param + i);
      V g = gradient(As::load(at.grad + i), p);
      const V buffer = first ? g : As::load(at.states[0] + i) * momentum + g * rest;
      As::store(at.states[0] + i, buffer);
      g = nesterov ? g + buffer * momentum : buffer;
      As::store(at.param + i, p + g * lr);
    });
  }
}

template <class As>
void adam(const OptimArgs& args, int64_t tensor, const Piece<typename As::Stored>& piece, int64_t n) {
  using V = typename As::V;
  const double step = static_cast<double>(args.steps[tensor]);
  const double correction1 = 1 - ::pow(args.beta1, step), correction2 = 1 - ::pow(args.beta2, step);
  const Gradient<V> gradient(args, args.decoupled);
  const Lerp<V> average(1 - args.beta1);
  const bool shrink = args.decoupled && args.weight_decay != 0, amsgrad = args.amsgrad;
  const V kept(1 - args.lr * args.weight_decay), beta2(args.beta2), rest2(1 - args.beta2), eps(args.eps);
  const V root2(::sqrt(correction2)), step_size(-(args.lr / correction1));
  sweep<As>(piece, n, [=](const auto& at, int64_t i) __attribute__((always_inline)) {
    V p = As::load(at.param + i);
    const V g = gradient(As::load(at.grad + i), p);
    if (shrink) p = p * kept;
    const V m = average(As::load(at.states[0] + i), g);
    const V v = As::load(at.states[1] + i) * beta2 + rest2 * g * g;
    As::store(at.states[0] + i, m);
    As::store(at.states[1] + i, v);
    V largest = v;
    if (amsgrad) {
      largest = max(As::load(at.states[2] + i), v);
      As::store(at.states[2] + i, largest);
    }
    As::store(at.param + i, p + step_size * m / (sqrt(largest) / root2 + eps));
  });
}

template <class As>
void rmsprop(const OptimArgs& args, int64_t, const Piece<typename As::Stored>& piece, int64_t n) {
  using V = typename As::V;
  const Gradient<V> gradient(args, false);
  const Lerp<V> average(1 - args.alpha);
  const bool centered = args.centered, moves = args.momentum > 0;
  const V alpha(args.alpha), rest(1 - args.alpha), momentum(args.momentum), eps(args.eps), lr(-args.lr);
  sweep<As>(piece, n, [=](const auto& at, int64_t i) __attribute__((always_inline)) {
    const V p = As::load(at.param + i);
    const V g = gradient(As::load(at.grad + i), p);
    const V square = As::load(at.states[0] + i) * alpha + rest * g * g;
    As::store(at.states[0] + i, square);
    V spread = square;
    if (centered) {
      const V mean = average(As::load(at.states[2] + i), g);
      As::store(at.states[2] + i, mean);
      spread = square - mean * mean;
    }
    const V scale = sqrt(spread) + eps;
    if (moves) {
      const V buffer = As::load(at.states[1] + i) * momentum + g / scale;
      As::store(at.states[1] + i, buffer);
      As::store(at.param + i, p + buffer * lr);
    } else {
      As::store(at.param + i, p + lr * g / scale);
    }
  });
}

template <class As>
void update(const OptimArgs& args, int64_t tensor, int64_t from, int64_t n) {
  using T = typename As::Stored;
  Piece<T> piece{shifted<T>(args.params[tensor], from), shifted<T>(args.grads[tensor], from), {}};
  void* const* const states[3] = {args.state1, args.state2, args.state3};
  for (int k = 0; k < 3; ++k) piece.states[k] = states[k] ? shifted<T>(states[k][tensor], from) : nullptr;
  switch (args.kind) {
    case Optim::sgd: return sgd<As>(args, tensor, piece, n);
    case Optim::adam: return adam<As>(args, tensor, piece, n);
    case Optim::rmsprop: return rmsprop<As>(args, tensor, piece, n);
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
