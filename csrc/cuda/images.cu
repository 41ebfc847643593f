// Samples of images at the places of a grid, and their gradients: one thread for each point, over all channels or some
// of them. The gradient for the image sorts what points give to pixels by pixel, so that each pixel adds up its own in
// the order of the points: no atomics.
#include <cmath>

#include "cuda/sort.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

FG_DEVICE float floor_of(float x) { return ::floorf(x); }
FG_DEVICE double floor_of(double x) { return ::floor(x); }
FG_DEVICE float round_of(float x) { return ::rintf(x); }
FG_DEVICE double round_of(double x) { return ::rint(x); }

#define FG_RULE FG_DEVICE
#include "ops/grid_rule.h"
#undef FG_RULE

// Of one dimension: the pixels around a point, their weights and the derivatives of these.
template <class T> struct Axis {
  int32_t at[4];
  T weight[4], slope[4];
};

constexpr int pixels_each_way(GridMode mode) {
  return mode == GridMode::bicubic ? 4 : mode == GridMode::bilinear ? 2 : 1;
}

template <class T> FG_DEVICE Place<T> brought_in_by(GridPadding padding, Place<T> p, T size, bool aligned) {
  switch (padding) {
    case GridPadding::zeros: return brought_in<GridPadding::zeros>(p, size, aligned);
    case GridPadding::border: return brought_in<GridPadding::border>(p, size, aligned);
    default: return brought_in<GridPadding::reflection>(p, size, aligned);
  }
}

template <class T, GridMode kMode> FG_DEVICE void fill_axis(Axis<T>& axis, const GridArgs& g, T place, int64_t pixels) {
  const T size = static_cast<T>(pixels);
  const bool aligned = g.align_corners != 0;
  const Place<T> given = in_pixels(place, size, aligned);
  if constexpr (kMode == GridMode::bicubic) {
    using Count = Cubic<T>;
    const T low = floor_of(given.at), x = given.at - low;
    axis.weight[0] = Count::far(x + 1), axis.weight[1] = Count::near(x);
    axis.weight[2] = Count::near(1 - x), axis.weight[3] = Count::far(2 - x);
    axis.slope[0] = given.slope * Count::far_slope(x + 1), axis.slope[1] = given.slope * Count::near_slope(x);
    axis.slope[2] = -given.slope * Count::near_slope(1 - x), axis.slope[3] = -given.slope * Count::far_slope(2 - x);
    FG_UNROLL
    for (int k = 0; k < 4; ++k) {
      const Place<T> whole{low + static_cast<T>(k - 1), T(0)};
      axis.at[k] = pixel(brought_in_by(g.padding, whole, size, aligned).at, size);
    }
  } else {
    const Place<T> p = brought_in_by(g.padding, given, size, aligned);
    if constexpr (kMode == GridMode::bilinear) {
      const T low = floor_of(p.at), part = p.at - low;
      axis.weight[1] = part, axis.weight[0] = 1 - part;
      axis.slope[1] = p.slope, axis.slope[0] = -p.slope;
      axis.at[0] = pixel(low, size), axis.at[1] = pixel(low + 1, size);
    } else {
      axis.weight[0] = T(1), axis.slope[0] = T(0);
      axis.at[0] = pixel(round_of(p.at), size);
    }
  }
}

// The pixels around one point: `kEach` for each of `kDims` dimensions.
template <class T, GridMode kMode, int kDims> struct Corners {
  static constexpr int kEach = pixels_each_way(kMode), kCount = kEach * kEach * (kDims == 3 ? kEach : 1);
  Axis<T> axes[kDims];  // of x, y, z

  FG_DEVICE Corners(const GridArgs& g, int64_t point) {
    const T* place = static_cast<const T*>(g.grid) + point * kDims;
    FG_UNROLL
    for (int d = 0; d < kDims; ++d) fill_axis<T, kMode>(axes[d], g, place[d], g.size[2 - d]);
  }
  FG_DEVICE static int of(int corner, int d) {
    return d == 0 ? corner % kEach : d == 1 ? corner / kEach % kEach : corner / (kEach * kEach);
  }
  // In its plane, -1: outside.
  FG_DEVICE int32_t offset(const GridArgs& g, int corner) const {
    int32_t at = 0, outside = 0;
    FG_UNROLL
    for (int d = kDims - 1; d >= 0; --d) {
      const int32_t here = axes[d].at[of(corner, d)];
      outside |= here;
      at = at * static_cast<int32_t>(g.size[2 - d]) + here;
    }
    return outside < 0 ? -1 : at;
  }
  FG_DEVICE T weight(int corner) const {
    T w = 1;
    FG_UNROLL
    for (int d = 0; d < kDims; ++d) w *= axes[d].weight[of(corner, d)];
    return w;
  }
  FG_DEVICE T slope(int corner, int along) const {
    T w = 1;
    FG_UNROLL
    for (int d = 0; d < kDims; ++d) w *= d == along ? axes[d].slope[of(corner, d)] : axes[d].weight[of(corner, d)];
    return w;
  }
};

// Forward; blockIdx.y: channels in turn.
template <class T, GridMode kMode, int kDims>
__global__ void __launch_bounds__(kThreads) grid_sample_kernel(const __grid_constant__ GridArgs g) {
  using Around = Corners<T, kMode, kDims>;
  const int64_t plane = g.size[0] * g.size[1] * g.size[2];
  for (int64_t point = global_thread(); point < g.batch * g.points; point += global_threads()) {
    const Around around(g, point);
    const int64_t image = point / g.points, rest = point - image * g.points;
    for (int64_t c = blockIdx.y; c < g.channels; c += gridDim.y) {
      const T* from = static_cast<const T*>(g.in) + (image * g.channels + c) * plane;
      T sum = 0;
      FG_UNROLL
      for (int k = 0; k < Around::kCount; ++k) {
        const int32_t offset = around.offset(g, k);
        if (offset >= 0) sum += from[offset] * around.weight(k);
      }
      static_cast<T*>(g.out)[(image * g.channels + c) * g.points + rest] = sum;
    }
  }
}

// ggrid: for every corner the sum over channels of grad times pixel, then the derivatives.
template <class T, GridMode kMode, int kDims>
__global__ void __launch_bounds__(kThreads) grid_gradient_kernel(const __grid_constant__ GridArgs g) {
  using Around = Corners<T, kMode, kDims>;
  const int64_t plane = g.size[0] * g.size[1] * g.size[2];
  for (int64_t point = global_thread(); point < g.batch * g.points; point += global_threads()) {
    const Around around(g, point);
    const int64_t image = point / g.points, rest = point - image * g.points;
    const T* in = static_cast<const T*>(g.in) + image * g.channels * plane;
    const T* grad = static_cast<const T*>(g.grad) + image * g.channels * g.points + rest;
    T total[kDims] = {};
    FG_UNROLL
    for (int k = 0; k < Around::kCount; ++k) {
      const int32_t offset = around.offset(g, k);
      if (offset < 0) continue;
      T sum = 0;
      for (int64_t c = 0; c < g.channels; ++c) sum += grad[c * g.points] * in[c * plane + offset];
      FG_UNROLL
      for (int d = 0; d < kDims; ++d) total[d] += sum * around.slope(k, d);
    }
    FG_UNROLL
    for (int d = 0; d < kDims; ++d) static_cast<T*>(g.ggrid)[point * kDims + d] = total[d];
  }
}

// What each corner of each point of `images` images gives to which pixel; the ones outside go to the end.
template <class T, GridMode kMode, int kDims>
__global__ void __launch_bounds__(kThreads) pixels_kernel(const __grid_constant__ GridArgs g, int64_t first_image,
                                                          int64_t images, uint32_t* keys, uint32_t* items, T* weights) {
  using Around = Corners<T, kMode, kDims>;
  const uint32_t plane = static_cast<uint32_t>(g.size[0] * g.size[1] * g.size[2]);
  for (int64_t point = global_thread(); point < images * g.points; point += global_threads()) {
    const Around around(g, first_image * g.points + point);
    FG_UNROLL
    for (int k = 0; k < Around::kCount; ++k) {
      const int64_t item = point * Around::kCount + k;
      const int32_t offset = around.offset(g, k);
      keys[item] = static_cast<uint32_t>(offset < 0 ? images : point / g.points) * plane +
                   static_cast<uint32_t>(offset < 0 ? 0 : offset);
      items[item] = static_cast<uint32_t>(item);
      weights[item] = around.weight(k);
    }
  }
}
// The thread at the first of a run of equal keys takes the run; blockIdx.y: channels in turn.
template <class T>
__global__ void __launch_bounds__(kThreads)
    image_gradient_kernel(const __grid_constant__ GridArgs g, int64_t first_image, uint32_t end, int corners,
                          const uint32_t* keys, const uint32_t* items, const T* weights, int64_t n) {
  const int64_t plane = g.size[0] * g.size[1] * g.size[2];
  for (int64_t k = global_thread(); k < n; k += global_threads()) {
    const uint32_t key = keys[k];
    if (key >= end || (k > 0 && keys[k - 1] == key)) continue;
    const int64_t image = key / plane, pixel = key - image * plane;
    for (int64_t c = blockIdx.y; c < g.channels; c += gridDim.y) {
      const int64_t channel = (first_image + image) * g.channels + c;
      const T* grad = static_cast<const T*>(g.grad) + channel * g.points;
      T sum = 0;
      for (int64_t j = k; j < n && keys[j] == key; ++j)
        sum += grad[items[j] / corners - image * g.points] * weights[items[j]];
      static_cast<T*>(g.gin)[channel * plane + pixel] = sum;
    }
  }
}

// Blocks for n points, and where these do not fill the device, for parts of the channels.
dim3 blocks_for(const GridArgs& g, int64_t n) {
  const unsigned along = grid_for(n, g.stream);
  const int64_t wanted = int64_t{multiprocessors(g.stream.device)} * 8 / along;
  return dim3(along, static_cast<unsigned>(wanted < 1            ? 1
                                           : wanted > g.channels ? g.channels
                                           : wanted > 65535      ? 65535
                                                                 : wanted));
}

template <class T, GridMode kMode, int kDims> void image_gradient(const GridArgs& g) {
  constexpr int kCorners = Corners<T, kMode, kDims>::kCount;
  constexpr int64_t kItemsAtOnce = int64_t{1} << 25;  // 640 MiB
  const int64_t plane = g.size[0] * g.size[1] * g.size[2];
  if (plane == 0) return;
  use_device(g.stream.device);
  if (!check(cudaMemsetAsync(g.gin, 0, static_cast<size_t>(g.batch * g.channels * plane) * sizeof(T), handle(g.stream)),
             "grid_sample"))
    return;
  int64_t images = kItemsAtOnce / (g.points * kCorners), keys_fit = (UINT32_MAX - plane) / plane;
  images = images > keys_fit ? keys_fit : images;
  images = images < 1 ? 1 : images > g.batch ? g.batch : images;
  const int64_t most = images * g.points * kCorners;
  if (most > INT32_MAX) return set_error("grid_sample", "more than 2^31 pixels around the points of one image");
  Scratch scratch(static_cast<size_t>(most) * (4 * sizeof(uint32_t) + sizeof(T)), g.stream);
  if (!scratch) return;
  T* weights = scratch.as<T>();
  uint32_t *keys = reinterpret_cast<uint32_t*>(weights + most), *items = keys + most;
  for (int64_t first = 0; first < g.batch; first += images) {
    const int64_t count = first + images < g.batch ? images : g.batch - first, n = count * g.points * kCorners;
    FG_LAUNCH_FREE((pixels_kernel<T, kMode, kDims>), grid_for(count * g.points, g.stream), kThreads, 0, g.stream, g,
                   first, count, keys, items, weights);
    int bits = 1;
    while (bits < 32 && (int64_t{1} << bits) <= count * plane) ++bits;
    if (!sort_pairs(keys, items, items + most, items + 2 * most, n, bits, g.stream)) return;
    FG_LAUNCH_FREE(image_gradient_kernel<T>, blocks_for(g, n), kThreads, 0, g.stream, g, first,
                   static_cast<uint32_t>(count * plane), kCorners, keys, items, weights, n);
  }
}

template <class T, GridMode kMode, int kDims> struct Sampler {
  static void forward(const GridArgs& g) {
    FG_LAUNCH_FREE((grid_sample_kernel<T, kMode, kDims>), blocks_for(g, g.batch * g.points), kThreads, 0, g.stream, g);
  }
  static void gradient(const GridArgs& g) {
    if (g.ggrid) {
      FG_LAUNCH_FREE((grid_gradient_kernel<T, kMode, kDims>), grid_for(g.batch * g.points, g.stream), kThreads, 0,
                     g.stream, g);
    }
    if (g.gin) image_gradient<T, kMode, kDims>(g);
  }
};

template <class T, int kDims, class Fn> void with_mode(const GridArgs& g, Fn&& fn) {
  switch (g.mode) {
    case GridMode::bilinear: return fn(Sampler<T, GridMode::bilinear, kDims>{});
    case GridMode::nearest: return fn(Sampler<T, GridMode::nearest, kDims>{});
    case GridMode::bicubic:
      if constexpr (kDims == 2) return fn(Sampler<T, GridMode::bicubic, kDims>{});
      return set_error("grid_sample", "bicubic interpolation is for images of two dimensions");
  }
}
template <class Fn> void with_sampler(const GridArgs& g, Fn&& fn) {
  if (g.dtype == DType::Float64) return g.dims == 3 ? with_mode<double, 3>(g, fn) : with_mode<double, 2>(g, fn);
  return g.dims == 3 ? with_mode<float, 3>(g, fn) : with_mode<float, 2>(g, fn);
}

void grid_sample(const GridArgs& g) {
  if (g.batch * g.channels * g.points == 0) return;
  with_sampler(g, [&](auto sampler) { sampler.forward(g); });
}
void grid_sample_grad(const GridArgs& g) {
  if (g.batch * g.channels * g.points == 0) return;
  with_sampler(g, [&](auto sampler) { sampler.gradient(g); });
}

}  // namespace

void fill_images(Backend& table) {
  table.grid_sample = grid_sample;
  table.grid_sample_grad = grid_sample_grad;
}
}  // namespace fg::cuda
