// Layer norm, rms norm (the same without a mean) and negative log likelihood, forward and gradient side by side. Sums
// run in a fixed order, in two stages where they go over rows.
#include <cmath>

#include "cuda/group.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

FG_DEVICE float rsqrt_of(float x) { return 1 / ::sqrtf(x); }
FG_DEVICE double rsqrt_of(double x) { return 1 / ::sqrt(x); }

template <class T> struct Two {
  T a, b;
};
template <class T> FG_DEVICE Two<T> plus(Two<T> x, Two<T> y) { return {x.a + y.a, x.b + y.b}; }

struct NormOperands {
  void* out;
  void *mean, *rstd;
  const void *x, *weight, *bias, *g;
  DType dtype;
  double eps;
};

template <class T> __global__ void __launch_bounds__(kThreads) layer_norm_kernel(NormOperands p, Lines lines) {
  FG_SHARED(T, shared, kThreads);
  Group group = Group::of(lines);
  int64_t row = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index, start = row * lines.size;
  bool active = row < lines.count;
  T sum = 0, squares = 0, n = static_cast<T>(lines.size);
  if (active && p.mean) {
    for (int64_t i = group.lane; i < lines.size; i += lines.lanes) sum += load_float<T>(p.x, start + i, p.dtype);
  }
  auto add = [](T a, T b) { return a + b; };
  T mean = p.mean ? group_reduce_all(lines, group, sum, shared, add) / n : T(0);
  if (active) {
    for (int64_t i = group.lane; i < lines.size; i += lines.lanes) {
      T d = load_float<T>(p.x, start + i, p.dtype) - mean;
      squares += d * d;
    }
  }
  T rstd = rsqrt_of(group_reduce_all(lines, group, squares, shared, add) / n + static_cast<T>(p.eps));
  if (!active) return;
  if (group.lane == 0) {
    if (p.mean) static_cast<T*>(p.mean)[row] = mean;
    static_cast<T*>(p.rstd)[row] = rstd;
  }
  for (int64_t i = group.lane; i < lines.size; i += lines.lanes) {
    T y = (load_float<T>(p.x, start + i, p.dtype) - mean) * rstd;
    if (p.weight) y *= load_float<T>(p.weight, i, p.dtype);
    if (p.bias) y += load_float<T>(p.bias, i, p.dtype);
    store_float<T>(p.out, start + i, p.dtype, y);
  }
}

// With h = (x - mean) * rstd and u = g * weight: gx = rstd * (u - mean(u) - h * mean(u * h))
template <class T> __global__ void __launch_bounds__(kThreads) layer_norm_gx_kernel(NormOperands p, Lines lines) {
  FG_SHARED(Two<T>, shared, kThreads);
  Group group = Group::of(lines);
  int64_t row = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index, start = row * lines.size;
  bool active = row < lines.count;
  T mean = active && p.mean ? static_cast<const T*>(p.mean)[row] : T(0),
    rstd = active ? static_cast<const T*>(p.rstd)[row] : T(0);
  Two<T> sum{0, 0};
  if (active) {
    for (int64_t i = group.lane; i < lines.size; i += lines.lanes) {
      T u = load_float<T>(p.g, start + i, p.dtype), h = (load_float<T>(p.x, start + i, p.dtype) - mean) * rstd;
      if (p.weight) u *= load_float<T>(p.weight, i, p.dtype);
      sum = plus(sum, Two<T>{u, u * h});
    }
  }
  sum = group_reduce_all(lines, group, sum, shared, [](Two<T> a, Two<T> b) { return plus(a, b); });
  if (!active) return;
  T n = static_cast<T>(lines.size), mean_u = p.mean ? sum.a / n : T(0), mean_uh = sum.b / n;
  for (int64_t i = group.lane; i < lines.size; i += lines.lanes) {
    T u = load_float<T>(p.g, start + i, p.dtype), h = (load_float<T>(p.x, start + i, p.dtype) - mean) * rstd;
    if (p.weight) u *= load_float<T>(p.weight, i, p.dtype);
    store_float<T>(p.out, start + i, p.dtype, rstd * (u - mean_u - h * mean_uh));
  }
}

// gbias = sum of g, gweight = sum of g * h over rows. Threads along columns; blockIdx.y: a part of the rows.
template <class T>
__global__ void __launch_bounds__(kThreads)
    layer_norm_columns_kernel(NormOperands p, Two<T>* partial, int64_t rows, int64_t size, int64_t part) {
  int64_t column = global_thread();
  if (column >= size) return;
  int64_t first = blockIdx.y * part, last = first + part < rows ? first + part : rows;
  Two<T> sum{0, 0};
  for (int64_t row = first; row < last; ++row) {
    T g = load_float<T>(p.g, row * size + column, p.dtype), x = load_float<T>(p.x, row * size + column, p.dtype);
    T h = (x - (p.mean ? static_cast<const T*>(p.mean)[row] : T(0))) * static_cast<const T*>(p.rstd)[row];
    sum = plus(sum, Two<T>{g * h, g});
  }
  partial[blockIdx.y * size + column] = sum;
}
template <class T>
__global__ void __launch_bounds__(kThreads)
    layer_norm_finish_kernel(void* gweight, void* gbias, DType dtype, const Two<T>* partial, int64_t parts,
                             int64_t size) {
  int64_t column = global_thread();
  if (column >= size) return;
  Two<T> sum{0, 0};
  for (int64_t k = 0; k < parts; ++k) sum = plus(sum, partial[k * size + column]);
  if (gweight) store_float<T>(gweight, column, dtype, sum.a);
  if (gbias) store_float<T>(gbias, column, dtype, sum.b);
}

NormOperands operands(const LayerNormArgs& args, void* out) {
  return {out, args.mean, args.rstd, args.in, args.weight, args.bias, args.grad, args.dtype, args.eps};
}

template <class T> void layer_norm_as(const LayerNormArgs& args) {
  Lines lines = Lines::of(args.outer, args.size, 1);
  FG_LAUNCH(layer_norm_kernel<T>, static_cast<unsigned>(lines.blocks()), kThreads, 0, args.stream,
            operands(args, args.out), lines);
}
void layer_norm(const LayerNormArgs& args) {
  if (args.outer == 0) return;
  return args.dtype == DType::Float64 ? layer_norm_as<double>(args) : layer_norm_as<float>(args);
}

template <class T> void layer_norm_grad_as(const LayerNormArgs& args) {
  NormOperands p = operands(args, args.gx);
  if (args.gx && args.outer) {
    Lines lines = Lines::of(args.outer, args.size, 1);
    FG_LAUNCH(layer_norm_gx_kernel<T>, static_cast<unsigned>(lines.blocks()), kThreads, 0, args.stream, p, lines);
  }
  if (!args.gweight && !args.gbias) return;
  unsigned columns = static_cast<unsigned>(ceil_div(args.size, kThreads));
  int64_t parts = ceil_div(args.outer, 32), most = columns < 512 ? 512 / columns : 1;
  if (parts > most) parts = most;
  if (parts < 1) parts = 1;
  Scratch partial(static_cast<size_t>(parts * args.size) * sizeof(Two<T>), args.stream);
  if (!partial) return;
  FG_LAUNCH_FREE(layer_norm_columns_kernel<T>, dim3(columns, static_cast<unsigned>(parts)), kThreads, 0, args.stream, p,
                 partial.as<Two<T>>(), args.outer, args.size, ceil_div(args.outer, parts));
  FG_LAUNCH_FREE(layer_norm_finish_kernel<T>, columns, kThreads, 0, args.stream, args.gweight, args.gbias, args.dtype,
                 partial.as<Two<T>>(), parts, args.size);
}
void layer_norm_grad(const LayerNormArgs& args) {
  if (args.size == 0) return;
  return args.dtype == DType::Float64 ? layer_norm_grad_as<double>(args) : layer_norm_grad_as<float>(args);
}

// ---- negative log likelihood
struct NllOperands {
  void *out, *total_weight;
  const void *in, *weight, *g;
  const int64_t* target;
  DType dtype;
  int64_t classes, spatial, n, ignore;
  int reduction;
};

// Sums go to partial[block]: (loss, weight). The first bad position is a minimum, which no order can change.
template <class T>
__global__ void __launch_bounds__(kThreads) nll_kernel(NllOperands p, Two<T>* partial, long long* bad, Lines lines) {
  FG_SHARED(Two<T>, shared, kThreads);
  Two<T> sum{0, 0};
  for (int64_t i = global_thread(); i < p.n; i += global_threads()) {
    int64_t c = p.target[i];
    T loss = 0;
    if (c != p.ignore) {
      if (c < 0 || c >= p.classes) {
        atomicMin(bad, static_cast<long long>(i));
      } else {
        T w = p.weight ? load_float<T>(p.weight, c, p.dtype) : T(1);
        int64_t at = p.spatial == 1 ? i * p.classes + c : (i / p.spatial * p.classes + c) * p.spatial + i % p.spatial;
        loss = -w * load_float<T>(p.in, at, p.dtype);
        sum = plus(sum, Two<T>{loss, w});
      }
    }
    if (p.reduction == 0) store_float<T>(p.out, i, p.dtype, loss);
  }
  if (p.reduction == 0) return;
  sum = group_reduce(lines, Group{static_cast<int>(threadIdx.x), 0}, sum, shared,
                     [](Two<T> a, Two<T> b) { return plus(a, b); });
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
template <class T> __global__ void nll_finish_kernel(NllOperands p, const Two<T>* partial, int parts) {
  Two<T> sum{0, 0};
  for (int k = 0; k < parts; ++k) sum = plus(sum, partial[k]);
  store_float<T>(p.out, 0, p.dtype, p.reduction == 1 ? sum.a / sum.b : sum.a);
  if (p.total_weight) store_float<T>(p.total_weight, 0, p.dtype, sum.b);
}
template <class T> __global__ void __launch_bounds__(kThreads) nll_grad_kernel(NllOperands p) {
  for (int64_t i = global_thread(); i < p.n; i += global_threads()) {
    int64_t c = p.target[i];
    if (c == p.ignore || c < 0 || c >= p.classes) continue;
    T w = p.weight ? load_float<T>(p.weight, c, p.dtype) : T(1);
    T g = load_float<T>(p.g, p.reduction == 0 ? i : 0, p.dtype);
    if (p.reduction == 1) g /= load_float<T>(p.total_weight, 0, p.dtype);
    int64_t at = p.spatial == 1 ? i * p.classes + c : (i / p.spatial * p.classes + c) * p.spatial + i % p.spatial;
    store_float<T>(p.out, at, p.dtype, -w * g);
  }
}

NllOperands operands(const NllArgs& args, void* out) {
  return {out,
          args.total_weight,
          args.in,
          args.weight,
          args.grad,
          args.target,
          args.dtype,
          args.classes,
          args.spatial,
          args.batch * args.spatial,
          args.ignore_index,
          args.reduction};
}

template <class T> int64_t nll_as(const NllArgs& args) {
  NllOperands p = operands(args, args.out);
  if (p.n == 0 && p.reduction == 0) return -1;
  constexpr int kBlocks = 256;
  int blocks = static_cast<int>(p.n < kBlocks * kThreads ? ceil_div(p.n > 0 ? p.n : 1, kThreads) : kBlocks);
  Scratch scratch(blocks * sizeof(Two<T>), args.stream);
  const Verdict verdict(args.stream, "nll_loss");
  if (!scratch || !verdict) return -1;
  auto* partial = scratch.as<Two<T>>();
  Lines one{1, kThreads, 1, kThreads, 1};
  FG_LAUNCH(nll_kernel<T>, blocks, kThreads, 0, args.stream, p, partial, verdict.word(), one);
  if (p.reduction) FG_LAUNCH_FREE(nll_finish_kernel<T>, 1, 1, 0, args.stream, p, partial, blocks);
  return verdict.place();
}
int64_t nll_loss(const NllArgs& args) {
  return args.dtype == DType::Float64 ? nll_as<double>(args) : nll_as<float>(args);
}

void nll_loss_grad(const NllArgs& args) {
  NllOperands p = operands(args, args.gx);
  int64_t bytes = p.n * args.classes * item_size(args.dtype);
  if (bytes == 0) return;
  use_device(args.stream.device);
  check(cudaMemsetAsync(args.gx, 0, bytes, handle(args.stream)), "nll_loss_grad");
  if (args.dtype == DType::Float64) {
    FG_LAUNCH_FREE(nll_grad_kernel<double>, grid_for(p.n, args.stream), kThreads, 0, args.stream, p);
  } else {
    FG_LAUNCH_FREE(nll_grad_kernel<float>, grid_for(p.n, args.stream), kThreads, 0, args.stream, p);
  }
}

}  // namespace

void fill_norm(Backend& table) {
  table.layer_norm = layer_norm;
  table.layer_norm_grad = layer_norm_grad;
  table.nll_loss = nll_loss;
  table.nll_loss_grad = nll_loss_grad;
}
}  // namespace fg::cuda
