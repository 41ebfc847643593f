// Batch normalisation and its gradient. Blocks share a channel in parts; the sums of the parts are added up in their
// order by whoever needs them. Sums are in double.
#include "cuda/group.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

constexpr int kMostParts = 64;

struct Sums {
  double a, b;
};

// I: int32_t where all elements can be counted with it, as divisions of int64_t are slow.
template <class T, class I> struct Norm {
  const T *x, *g, *weight, *bias;
  T *out, *mean, *var, *rstd;
  I channels, spatial, count, parts, part;  // count: batch * spatial; part: elements of a channel in one block
  double eps;
  int32_t train;

  FG_DEVICE int64_t offset(I channel, I element) const {
    const I image = element / spatial;
    return (static_cast<int64_t>(image) * channels + channel) * spatial + (element - image * spatial);
  }
  // fn(offset) for the elements of the channel that fall to this thread.
  template <class Fn> FG_DEVICE void each(const Fn& fn) const {
    const I channel = blockIdx.x, first = static_cast<I>(blockIdx.y) * part;
    const I last = count - first < part ? count : first + part;
    for (I i = first + static_cast<I>(threadIdx.x); i < last; i += kThreads) fn(offset(channel, i));
  }
  FG_DEVICE Sums total(const Sums* partial) const {
    Sums sum{0, 0};
    for (I k = 0; k < parts; ++k) {
      const Sums s = partial[static_cast<int64_t>(blockIdx.x) * parts + k];
      sum.a += s.a, sum.b += s.b;
    }
    return sum;
  }
  FG_DEVICE T scale() const { return rstd[blockIdx.x] * (weight ? weight[blockIdx.x] : T(1)); }
};

FG_DEVICE void keep_sum(Sums sum, Sums* shared, Sums* partial) {
  const Lines lines{1, kThreads, 1, kThreads, 1};
  sum = group_reduce(lines, Group::of(lines), sum, shared, [](Sums p, Sums q) { return Sums{p.a + q.a, p.b + q.b}; });
  if (threadIdx.x == 0) partial[static_cast<int64_t>(blockIdx.x) * gridDim.y + blockIdx.y] = sum;
}

template <class T, class I>
__global__ void __launch_bounds__(kThreads) sum_kernel(const __grid_constant__ Norm<T, I> p, Sums* partial) {
  FG_SHARED(Sums, shared, kThreads);
  Sums sum{0, 0};
  p.each([&](int64_t at) { sum.a += static_cast<double>(p.x[at]); });
  keep_sum(sum, shared, partial);
}

template <class T, class I>
__global__ void __launch_bounds__(kThreads)
    squares_kernel(const __grid_constant__ Norm<T, I> p, const Sums* sums, Sums* partial) {
  FG_SHARED(Sums, shared, kThreads);
  const T mean = static_cast<T>(p.total(sums).a / static_cast<double>(p.count));
  Sums sum{0, 0};
  p.each([&](int64_t at) {
    const double d = static_cast<double>(p.x[at] - mean);
    sum.a += d * d;
  });
  keep_sum(sum, shared, partial);
}

template <class T, class I>
__global__ void __launch_bounds__(kThreads)
    statistics_kernel(const __grid_constant__ Norm<T, I> p, const Sums* sums, const Sums* squares) {
  if (threadIdx.x) return;
  const double count = static_cast<double>(p.count), var = p.total(squares).a / count;
  p.mean[blockIdx.x] = static_cast<T>(p.total(sums).a / count);
  p.var[blockIdx.x] = static_cast<T>(var);
  p.rstd[blockIdx.x] = static_cast<T>(1 / ::sqrt(var + p.eps));
}

template <class T, class I>
__global__ void __launch_bounds__(kThreads) normalise_kernel(const __grid_constant__ Norm<T, I> p) {
  const T mean = p.mean[blockIdx.x], scale = p.scale(), shift = p.bias ? p.bias[blockIdx.x] : T(0);
  p.each([&](int64_t at) { p.out[at] = (p.x[at] - mean) * scale + shift; });
}

// Sums of g and of g * (x - mean).
template <class T, class I>
__global__ void __launch_bounds__(kThreads) gradient_sums_kernel(const __grid_constant__ Norm<T, I> p, Sums* partial) {
  FG_SHARED(Sums, shared, kThreads);
  const T mean = p.mean[blockIdx.x];
  Sums sum{0, 0};
  p.each([&](int64_t at) {
    const double g = static_cast<double>(p.g[at]);
    sum.a += g, sum.b += g * static_cast<double>(p.x[at] - mean);
  });
  keep_sum(sum, shared, partial);
}

template <class T, class I>
__global__ void __launch_bounds__(kThreads)
    gradient_kernel(const __grid_constant__ Norm<T, I> p, const Sums* sums, T* gweight, T* gbias) {
  const T mean = p.mean[blockIdx.x], rstd = p.rstd[blockIdx.x], scale = p.scale();
  const Sums sum = p.total(sums);
  const double sum_xh = sum.b * static_cast<double>(rstd), count = static_cast<double>(p.count);
  if (blockIdx.y == 0 && threadIdx.x == 0) {
    if (gweight) gweight[blockIdx.x] = static_cast<T>(sum_xh);
    if (gbias) gbias[blockIdx.x] = static_cast<T>(sum.a);
  }
  if (!p.out) return;
  const T mean_g = p.train ? static_cast<T>(sum.a / count) : T(0);
  const T slope = p.train ? static_cast<T>(sum_xh / count) * rstd : T(0);
  p.each([&](int64_t at) { p.out[at] = (p.g[at] - mean_g - (p.x[at] - mean) * slope) * scale; });
}

// gx = weight * rstd * g - bias - var * (x - mean)
template <class T, class I>
__global__ void __launch_bounds__(kThreads) combine_kernel(const __grid_constant__ Norm<T, I> p) {
  const T mean = p.mean[blockIdx.x], scale = p.scale(), shift = p.bias[blockIdx.x], slope = p.var[blockIdx.x];
  p.each([&](int64_t at) { p.out[at] = p.g[at] * scale - shift - (p.x[at] - mean) * slope; });
}

template <class T, class I> Norm<T, I> norm_of(const BatchNormArgs& a, void* out) {
  Norm<T, I> p{};
  p.x = static_cast<const T*>(a.in), p.g = static_cast<const T*>(a.grad);
  p.weight = static_cast<const T*>(a.weight), p.bias = static_cast<const T*>(a.bias);
  p.out = static_cast<T*>(out), p.mean = static_cast<T*>(a.mean), p.var = static_cast<T*>(a.var);
  p.rstd = static_cast<T*>(a.rstd);
  const int64_t count = a.batch * a.spatial, blocks = int64_t{multiprocessors(a.stream.device)} * 8;
  int64_t parts = ceil_div(blocks, a.channels), most = ceil_div(count, kThreads * 4);
  if (parts > most) parts = most;
  if (parts > kMostParts) parts = kMostParts;
  p.channels = static_cast<I>(a.channels), p.spatial = static_cast<I>(a.spatial), p.count = static_cast<I>(count);
  p.parts = static_cast<I>(parts), p.part = static_cast<I>(ceil_div(count, parts));
  p.eps = a.eps, p.train = a.train;
  return p;
}
template <class T, class I> dim3 grid_of(const Norm<T, I>& p) {
  return dim3(static_cast<unsigned>(p.channels), static_cast<unsigned>(p.parts));
}

template <class T, class I> void forward(const BatchNormArgs& a) {
  const Norm<T, I> p = norm_of<T, I>(a, a.out);
  const dim3 grid = grid_of(p);
  if (a.train) {
    const int64_t blocks = a.channels * static_cast<int64_t>(p.parts);
    Scratch scratch(static_cast<size_t>(2 * blocks) * sizeof(Sums), a.stream);
    if (!scratch) return;
    Sums *sums = scratch.as<Sums>(), *squares = sums + blocks;
    FG_LAUNCH((sum_kernel<T, I>), grid, kThreads, 0, a.stream, p, sums);
    FG_LAUNCH((squares_kernel<T, I>), grid, kThreads, 0, a.stream, p, sums, squares);
    FG_LAUNCH_FREE((statistics_kernel<T, I>), dim3(grid.x), 32, 0, a.stream, p, sums, squares);
  }
  if (a.out) FG_LAUNCH_FREE((normalise_kernel<T, I>), grid, kThreads, 0, a.stream, p);
}

template <class T, class I> void gradient(const BatchNormArgs& a) {
  const Norm<T, I> p = norm_of<T, I>(a, a.gx);
  const dim3 grid = grid_of(p);
  if (a.train == 2) {
    FG_LAUNCH_FREE((combine_kernel<T, I>), grid, kThreads, 0, a.stream, p);
    return;
  }
  Scratch sums(static_cast<size_t>(a.channels * static_cast<int64_t>(p.parts)) * sizeof(Sums), a.stream);
  if (!sums) return;
  FG_LAUNCH((gradient_sums_kernel<T, I>), grid, kThreads, 0, a.stream, p, sums.as<Sums>());
  FG_LAUNCH_FREE((gradient_kernel<T, I>), grid, kThreads, 0, a.stream, p, sums.as<Sums>(), static_cast<T*>(a.gweight),
                 static_cast<T*>(a.gbias));
}

template <class T> void run(const BatchNormArgs& a, bool is_gradient) {
  if (a.channels == 0 || a.batch * a.spatial == 0) return;
  constexpr int64_t kRoom = INT32_MAX - kThreads;
  const bool small = a.batch * a.spatial <= kRoom && a.channels <= kRoom;
  if (is_gradient) {
    return small ? gradient<T, int32_t>(a) : gradient<T, int64_t>(a);
  }
  return small ? forward<T, int32_t>(a) : forward<T, int64_t>(a);
}

void batch_norm(const BatchNormArgs& a) {
  return a.dtype == DType::Float64 ? run<double>(a, false) : run<float>(a, false);
}
void batch_norm_grad(const BatchNormArgs& a) {
  return a.dtype == DType::Float64 ? run<double>(a, true) : run<float>(a, true);
}

}  // namespace

void fill_batch_norm(Backend& table) {
  table.batch_norm = batch_norm;
  table.batch_norm_grad = batch_norm_grad;
}
}  // namespace fg::cuda
