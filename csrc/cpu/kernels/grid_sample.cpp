// Samples of images at places of a grid, and their gradients.
//
// A block of points gets a table: for every corner (the pixels around a point) the offset of that pixel in its plane,
// or -1 outside, and its weight. Every channel is then a loop over the points for each corner. The gradient for the
// input adds along the same tables, one channel after the other, so that each plane has one order of additions; that
// for the grid sums over channels first and applies the derivatives of the weights once. Start at sample().
#include "cpu/backend_cpu.h"
#include "cpu/gemm_vec.h"
#include "cpu/parallel.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kBlock = 128;  // points of a table
constexpr int64_t kGroup = 64;   // tables that are kept at a time
constexpr int kMaxCorners = 16;

template <class T> struct Table {
  int corners;
  int32_t offset[kMaxCorners][kBlock];
  T weight[kMaxCorners][kBlock];
};
template <class T> struct Slopes {  // d weight / d place, per pixel of the grid's own units
  T slope[kMaxCorners][3][kBlock];
};

FG_INLINE float floor_of(float x) { return __builtin_floorf(x); }
FG_INLINE double floor_of(double x) { return __builtin_floor(x); }
FG_INLINE float round_of(float x) { return __builtin_nearbyintf(x); }
FG_INLINE double round_of(double x) { return __builtin_nearbyint(x); }

#define FG_RULE FG_INLINE
#include "ops/grid_rule.h"
#undef FG_RULE

// Of one dimension: the pixels around every point, with weights and their derivatives.
template <class T> struct Axis {
  int32_t at[4][kBlock];
  T weight[4][kBlock], slope[4][kBlock];
};

template <class T, GridPadding padding>
FG_INLINE void bilinear_axis(Axis<T>& axis, const T* place, int64_t n, T size, bool aligned) {
  for (int64_t i = 0; i < n; ++i) {
    const Place<T> p = brought_in<padding>(in_pixels(place[i], size, aligned), size, aligned);
    const T low = floor_of(p.at), part = p.at - low;
    axis.weight[1][i] = part, axis.weight[0][i] = 1 - part;
    axis.slope[1][i] = p.slope, axis.slope[0][i] = -p.slope;
    axis.at[0][i] = pixel(low, size), axis.at[1][i] = pixel(low + 1, size);
  }
}
template <class T, GridPadding padding>
FG_INLINE void nearest_axis(Axis<T>& axis, const T* place, int64_t n, T size, bool aligned) {
  for (int64_t i = 0; i < n; ++i) {
    const Place<T> p = brought_in<padding>(in_pixels(place[i], size, aligned), size, aligned);
    axis.weight[0][i] = T(1), axis.slope[0][i] = T(0);
    axis.at[0][i] = pixel(round_of(p.at), size);
  }
}
template <class T, GridPadding padding>
FG_INLINE void bicubic_axis(Axis<T>& axis, const T* place, int64_t n, T size, bool aligned) {
  using Count = Cubic<T>;
  for (int64_t i = 0; i < n; ++i) {
    const Place<T> p = in_pixels(place[i], size, aligned);
    const T low = floor_of(p.at), x = p.at - low;
    axis.weight[0][i] = Count::far(x + 1), axis.weight[1][i] = Count::near(x);
    axis.weight[2][i] = Count::near(1 - x), axis.weight[3][i] = Count::far(2 - x);
    axis.slope[0][i] = p.slope * Count::far_slope(x + 1), axis.slope[1][i] = p.slope * Count::near_slope(x);
    axis.slope[2][i] = -p.slope * Count::near_slope(1 - x), axis.slope[3][i] = -p.slope * Count::far_slope(2 - x);
  }
  for (int k = 0; k < 4; ++k)
    for (int64_t i = 0; i < n; ++i) {
      const T low = floor_of(in_pixels(place[i], size, aligned).at) + static_cast<T>(k - 1);
      axis.at[k][i] = pixel(brought_in<padding>(Place<T>{low, T(0)}, size, aligned).at, size);
    }
}

template <class T, GridPadding padding, bool aligned>
__attribute__((noinline)) void fill_axis(Axis<T>& axis, GridMode mode, const T* place, int64_t n, T size) {
  switch (mode) {
    case GridMode::bilinear: return bilinear_axis<T, padding>(axis, place, n, size, aligned);
    case GridMode::nearest: return nearest_axis<T, padding>(axis, place, n, size, aligned);
    case GridMode::bicubic: return bicubic_axis<T, padding>(axis, place, n, size, aligned);
  }
}
template <class T> void fill_axis_of(const GridArgs& g, Axis<T>& axis, const T* place, int64_t n, T size) {
  const bool aligned = g.align_corners != 0;
  const auto fill = [&](auto with_ends, auto without) {
    (aligned ? with_ends : without)(axis, g.mode, place, n, size);
  };
  switch (g.padding) {
    case GridPadding::zeros:
      return fill(fill_axis<T, GridPadding::zeros, true>, fill_axis<T, GridPadding::zeros, false>);
    case GridPadding::border:
      return fill(fill_axis<T, GridPadding::border, true>, fill_axis<T, GridPadding::border, false>);
    case GridPadding::reflection:
      return fill(fill_axis<T, GridPadding::reflection, true>, fill_axis<T, GridPadding::reflection, false>);
  }
}

// n <= kBlock points, each of g.dims numbers.
template <class T, bool Grad>
__attribute__((noinline)) void fill(const GridArgs& g, const T* grid, int64_t n, Table<T>& table, Slopes<T>* slopes) {
  const int dims = g.dims, each = g.mode == GridMode::bicubic ? 4 : g.mode == GridMode::bilinear ? 2 : 1;
  Axis<T> axes[3];  // of x, y, z
  T places[3][kBlock];
  if (dims == 2) {
    for (int64_t i = 0; i < n; ++i) places[0][i] = grid[2 * i], places[1][i] = grid[2 * i + 1];
  } else {
    for (int64_t i = 0; i < n; ++i)
      places[0][i] = grid[3 * i], places[1][i] = grid[3 * i + 1], places[2][i] = grid[3 * i + 2];
  }
  for (int d = 0; d < dims; ++d) fill_axis_of<T>(g, axes[d], places[d], n, static_cast<T>(g.size[2 - d]));
  const int32_t width = static_cast<int32_t>(g.size[2]), height = static_cast<int32_t>(g.size[1]);
  table.corners = dims == 2 ? each * each : each * each * each;
  for (int c = 0; c < table.corners; ++c) {
    const int kx = c % each, ky = c / each % each, kz = c / (each * each);
    const int32_t *ax = axes[0].at[kx], *ay = axes[1].at[ky], *az = axes[2].at[kz];
    const T *wx = axes[0].weight[kx], *wy = axes[1].weight[ky], *wz = axes[2].weight[kz];
    const T *sx = axes[0].slope[kx], *sy = axes[1].slope[ky], *sz = axes[2].slope[kz];
    int32_t* offset = table.offset[c];
    T *weight = table.weight[c], *of_x = Grad ? slopes->slope[c][0] : nullptr;
    T *of_y = Grad ? slopes->slope[c][1] : nullptr, *of_z = Grad ? slopes->slope[c][2] : nullptr;
    if (dims == 2) {
      for (int64_t i = 0; i < n; ++i) offset[i] = (ax[i] | ay[i]) < 0 ? -1 : ay[i] * width + ax[i];
      for (int64_t i = 0; i < n; ++i) weight[i] = wx[i] * wy[i];
      if constexpr (Grad)
        for (int64_t i = 0; i < n; ++i) of_x[i] = sx[i] * wy[i], of_y[i] = sy[i] * wx[i];
      continue;
    }
    for (int64_t i = 0; i < n; ++i)
      offset[i] = (ax[i] | ay[i] | az[i]) < 0 ? -1 : (az[i] * height + ay[i]) * width + ax[i];
    for (int64_t i = 0; i < n; ++i) weight[i] = wx[i] * wy[i] * wz[i];
    if constexpr (Grad)
      for (int64_t i = 0; i < n; ++i) {
        of_x[i] = sx[i] * wy[i] * wz[i], of_y[i] = sy[i] * wx[i] * wz[i];
        of_z[i] = sz[i] * wx[i] * wy[i];
      }
  }
}

// Reads something in any case: loops over points become gathers.
template <class T> FG_INLINE T value_at(const T* plane, int32_t offset) {
  const T value = plane[offset < 0 ? 0 : offset];
  return offset < 0 ? T(0) : value;
}

// out[i] (+)= the pixels of `Count` corners, weighted
template <class T, int Count, bool Fresh>
__attribute__((noinline)) void mix(const T* plane, const Table<T>& table, int first, int64_t n, T* __restrict out) {
  const int32_t* offset[Count];
  const T* weight[Count];
  for (int k = 0; k < Count; ++k) offset[k] = table.offset[first + k], weight[k] = table.weight[first + k];
  for (int64_t i = 0; i < n; ++i) {
    T sum = Fresh ? T(0) : out[i];
    sum += value_at(plane, offset[0][i]) * weight[0][i];
    if constexpr (Count == 4) {
      sum += value_at(plane, offset[1][i]) * weight[1][i];
      sum += value_at(plane, offset[2][i]) * weight[2][i];
      sum += value_at(plane, offset[3][i]) * weight[3][i];
    }
    out[i] = sum;
  }
}

template <class T> void sample(const GridArgs& g) {
  const int64_t blocks = ceil_div(g.points, kBlock), plane = g.size[0] * g.size[1] * g.size[2];
  const T *in = static_cast<const T*>(g.in), *grid = static_cast<const T*>(g.grid);
  T* out = static_cast<T*>(g.out);
  const double cost = static_cast<double>(g.batch * g.points) * (30 + 3.0 * static_cast<double>(g.channels));
  for_chunks(g.batch * blocks, cost, [&](int64_t chunk) {
    const int64_t image = chunk / blocks, first = chunk % blocks * kBlock, n = smaller(kBlock, g.points - first);
    Table<T> table;
    fill<T, false>(g, grid + (image * g.points + first) * g.dims, n, table, nullptr);
    for (int64_t c = image * g.channels; c < (image + 1) * g.channels; ++c) {
      const T* from = in + c * plane;
      T* to = out + c * g.points + first;
      if (table.corners == 1) mix<T, 1, true>(from, table, 0, n, to);
      else mix<T, 4, true>(from, table, 0, n, to);
      for (int k = 4; k < table.corners; k += 4) mix<T, 4, false>(from, table, k, n, to);
    }
  });
}

// ggrid of a block: for every corner the sum over channels of grad times pixel, then the derivatives.
template <class T>
__attribute__((noinline)) void grid_gradient(const GridArgs& g, const Table<T>& table, const Slopes<T>& slopes,
                                             const T* in, const T* grad, int64_t plane, int64_t n, T* ggrid) {
  T sums[kMaxCorners][kBlock];
  for (int k = 0; k < table.corners; ++k) {
    for (int64_t i = 0; i < n; ++i) sums[k][i] = T(0);
    for (int64_t c = 0; c < g.channels; ++c) {
      const T *from = in + c * plane, *weight = grad + c * g.points;
      for (int64_t i = 0; i < n; ++i) sums[k][i] += weight[i] * value_at(from, table.offset[k][i]);
    }
  }
  for (int d = 0; d < g.dims; ++d)
    for (int64_t i = 0; i < n; ++i) {
      T sum = T(0);
      for (int k = 0; k < table.corners; ++k) sum += sums[k][i] * slopes.slope[k][d][i];
      ggrid[i * g.dims + d] = sum;
    }
}

// `blocks` blocks from `first_block` on, of each of `images` images.
template <class T>
void gradient_of_group(const GridArgs& g, Table<T>* tables, T* gin, T* ggrid, int64_t first_image, int64_t images,
                       int64_t first_block, int64_t blocks) {
  const int64_t plane = g.size[0] * g.size[1] * g.size[2];
  const T *in = static_cast<const T*>(g.in), *grid = static_cast<const T*>(g.grid),
          *grad = static_cast<const T*>(g.grad);
  const double points = static_cast<double>(images * smaller(g.points, blocks * kBlock));
  const double channels = static_cast<double>(g.channels);
  for_chunks(images * blocks, points * (40 + (ggrid ? 4 * channels : 0)), [&](int64_t chunk) {
    const int64_t image = first_image + chunk / blocks, first = (first_block + chunk % blocks) * kBlock;
    const int64_t n = smaller(kBlock, g.points - first), at = (image * g.points + first) * g.dims;
    Table<T> own;
    Table<T>& table = tables ? tables[chunk] : own;
    if (!ggrid) return fill<T, false>(g, grid + at, n, table, nullptr);
    Slopes<T> slopes;
    fill<T, true>(g, grid + at, n, table, &slopes);
    const int64_t channel = image * g.channels;
    grid_gradient(g, table, slopes, in + channel * plane, grad + channel * g.points + first, plane, n, ggrid + at);
  });
  if (!gin) return;
  for_chunks(images * g.channels, points * channels * 4, [&](int64_t chunk) {
    const int64_t image = chunk / g.channels, channel = first_image * g.channels + chunk;
    T* to = gin + channel * plane;
    for (int64_t i = 0; first_block == 0 && i < plane; ++i) to[i] = T(0);
    for (int64_t block = 0; block < blocks; ++block) {
      const Table<T>& table = tables[image * blocks + block];
      const int64_t first = (first_block + block) * kBlock, n = smaller(kBlock, g.points - first);
      const T* from = grad + channel * g.points + first;
      for (int64_t i = 0; i < n; ++i)
        for (int k = 0; k < table.corners; ++k) {  // without a branch: a zero goes to the first pixel
          const int32_t offset = table.offset[k][i];
          const T part = from[i] * table.weight[k][i];
          to[offset < 0 ? 0 : offset] += offset < 0 ? T(0) : part;
        }
    }
  });
}

template <class T> void gradient(const GridArgs& g) {
  const int64_t blocks = ceil_div(g.points, kBlock);
  T *gin = static_cast<T*>(g.gin), *ggrid = static_cast<T*>(g.ggrid);
  if (ggrid && g.mode == GridMode::nearest) {
    for (int64_t i = 0; i < g.batch * g.points * g.dims; ++i) ggrid[i] = T(0);
    ggrid = nullptr;
  }
  if (!gin && !ggrid) return;
  // The tables of some images, or of a part of one, are kept for the channels: no more, whatever the size of the grid.
  const int64_t group = gin ? smaller(blocks, kGroup) : blocks;
  const int64_t images = most(1, smaller(g.batch, kGroup / most(1, blocks)));
  const size_t bytes = static_cast<size_t>(gin ? images * group : 0) * sizeof(Table<T>);
  Table<T>* const tables = bytes ? static_cast<Table<T>*>(scratch(bytes)) : nullptr;
  for (int64_t first_image = 0; first_image < g.batch; first_image += images)
    for (int64_t first_block = 0; first_block < blocks; first_block += group) {
      const int64_t count = smaller(images, g.batch - first_image), some = smaller(group, blocks - first_block);
      gradient_of_group(g, tables, gin, ggrid, first_image, count, first_block, some);
    }
  if (tables) release_scratch(tables, bytes);
}

void sample_any(const GridArgs& g) { g.dtype == DType::Float64 ? sample<double>(g) : sample<float>(g); }
void gradient_any(const GridArgs& g) { g.dtype == DType::Float64 ? gradient<double>(g) : gradient<float>(g); }

}  // namespace

void fill_grid_sample(Backend& table) {
  table.grid_sample = sample_any;
  table.grid_sample_grad = gradient_any;
}

}  // namespace fg::cpu::FG_ISA
