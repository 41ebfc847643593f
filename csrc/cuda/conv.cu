// Convolutions of our own: the three forms of ConvArgs as matrix products whose operands are read where they lie in the
// tensors (implicit GEMM), a tile of 64 by 64 of the result in each block. With rows m, columns n and steps k:
//   output  m: output channel, n: (image, place of g), k: (input channel, tap)
//   input   m: input channel,  n: (image, place of x), k: (output channel, tap)
//   weight  m: output channel, n: (input channel, tap), k: (image, place of g), cut into parts that are added up after
// Groups of few channels (depthwise) would leave the tiles empty: one thread for each element, or a block for each
// element of the weights. So go integers, whose sums wrap.
#include "cuda/group.cuh"
#include "cuda/loops.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

constexpr int kTile = 64, kSteps = 16, kOwn = 4;      // kOwn: a thread has kOwn by kOwn elements of the tile
constexpr int kFewChannels = 4, kMostGroups = 65535;  // kMostGroups: what the second dimension of a grid has
static_assert(kTile / kOwn * (kTile / kOwn) == kThreads);

// A flat index as three.
struct Split3 {
  FastDiv inner, middle;
  FG_DEVICE void of(uint32_t flat, int (&at)[3]) const {
    const uint32_t rest = inner.div(flat), outer = middle.div(rest);
    at[2] = static_cast<int>(flat - rest * inner.d);
    at[1] = static_cast<int>(rest - outer * middle.d);
    at[0] = static_cast<int>(outer);
  }
};

template <class T> struct Conv3 {
  const T *x, *w, *g, *bias;
  T* out;
  int batch, groups, in_channels, out_channels, taps, in_places, out_places;
  int in[3], out_size[3], stride[3], padding[3], dilation[3];
  FastDiv by_taps, by_in_places, by_out_places, by_stride[3];
  Split3 tap, in_place, out_place;
  int64_t part;  // weight: steps of one part

  FG_DEVICE int64_t x_plane(int image, int group, int channel) const {
    return ((static_cast<int64_t>(image) * groups + group) * in_channels + channel) * in_places;
  }
  FG_DEVICE int64_t g_plane(int image, int group, int channel) const {
    return ((static_cast<int64_t>(image) * groups + group) * out_channels + channel) * out_places;
  }
  FG_DEVICE int64_t weight_at(int group, int out_channel, int in_channel) const {
    return ((static_cast<int64_t>(group) * out_channels + out_channel) * in_channels + in_channel) * taps;
  }
  // Where the element of x lies that place o of g and tap k meet in; false: outside.
  FG_DEVICE bool meet(const int (&o)[3], const int (&k)[3], int* place) const {
    bool inside = true;
    *place = 0;
    FG_UNROLL
    for (int d = 0; d < 3; ++d) {
      const int i = o[d] * stride[d] - padding[d] + k[d] * dilation[d];
      inside = inside && i >= 0 && i < in[d];
      *place = *place * in[d] + i;
    }
    return inside;
  }
  // Where the element of g lies that place i of x meets with tap k.
  FG_DEVICE bool meet_back(const int (&i)[3], const int (&k)[3], int* place) const {
    bool inside = true;
    *place = 0;
    FG_UNROLL
    for (int d = 0; d < 3; ++d) {
      const int shifted = i[d] + padding[d] - k[d] * dilation[d];
      const int o = static_cast<int>(by_stride[d].div(static_cast<uint32_t>(shifted < 0 ? 0 : shifted)));
      inside = inside && shifted >= 0 && o * stride[d] == shifted && o < out_size[d];
      *place = *place * out_size[d] + o;
    }
    return inside;
  }
};

template <class T, Conv kWanted>
__global__ void __launch_bounds__(kThreads) conv_kernel(const __grid_constant__ Conv3<T> p, int64_t partial) {
  constexpr int kPad = kTile + 4;
  FG_SHARED(T, tile_a, kSteps * kPad);
  FG_SHARED(T, tile_b, kSteps * kPad);
  constexpr bool kOutput = kWanted == Conv::output, kInput = kWanted == Conv::input, kWeight = kWanted == Conv::weight;
  const int group = blockIdx.y, t = threadIdx.x;
  const int rows = kInput ? p.in_channels : p.out_channels;
  const uint32_t columns = kWeight ? static_cast<uint32_t>(p.in_channels) * p.taps
                                   : static_cast<uint32_t>(p.batch) * (kInput ? p.in_places : p.out_places);
  const int64_t steps = kWeight ? static_cast<int64_t>(p.batch) * p.out_places
                                : static_cast<int64_t>(kInput ? p.out_channels : p.in_channels) * p.taps;
  const unsigned tiles_m = (static_cast<unsigned>(rows) + kTile - 1) / kTile;
  const int m0 = static_cast<int>(blockIdx.x % tiles_m) * kTile;
  const uint32_t n0 = blockIdx.x / tiles_m * kTile;
  const int64_t first = kWeight ? blockIdx.z * p.part : 0;
  const int64_t last = kWeight && steps - first > p.part ? first + p.part : steps;

  // The column of b that this thread loads is the same in every step.
  const uint32_t n = n0 + static_cast<uint32_t>(t % kTile);
  const bool column = n < columns;
  int image = 0, channel = 0, at[3] = {0, 0, 0};
  if (column && kWeight) {
    channel = static_cast<int>(p.by_taps.div(n));
    p.tap.of(n - static_cast<uint32_t>(channel) * p.taps, at);
  } else if (column) {
    image = static_cast<int>((kInput ? p.by_in_places : p.by_out_places).div(n));
    const uint32_t place = n - static_cast<uint32_t>(image) * (kInput ? p.in_places : p.out_places);
    (kInput ? p.in_place : p.out_place).of(place, at);
  }

  T sum[kOwn][kOwn] = {};
  const int ti = t / (kTile / kOwn), tj = t % (kTile / kOwn);
  for (int64_t k0 = first; k0 < last; k0 += kSteps) {
    {  // a: the step is the same for all rows that this thread loads
      const int k = t % kSteps;
      const int64_t step = k0 + k;
      const T* from = nullptr;
      int64_t row_stride = 0;
      if (step < last) {
        const uint32_t flat = static_cast<uint32_t>(step);
        if (kWeight) {
          const int picture = static_cast<int>(p.by_out_places.div(flat));
          from = p.g + (p.g_plane(picture, group, 0) + (flat - static_cast<uint32_t>(picture) * p.out_places));
          row_stride = p.out_places;
        } else if (kInput) {
          const int o = static_cast<int>(p.by_taps.div(flat));
          from = p.w + (p.weight_at(group, o, 0) + (flat - static_cast<uint32_t>(o) * p.taps));
          row_stride = p.taps;
        } else {
          from = p.w + (p.weight_at(group, 0, 0) + step);
          row_stride = static_cast<int64_t>(p.in_channels) * p.taps;
        }
      }
      FG_UNROLL
      for (int e = 0; e < kTile * kSteps / kThreads; ++e) {
        const int i = t / kSteps + e * (kThreads / kSteps);
        tile_a[k * kPad + i] = from && m0 + i < rows ? from[(m0 + i) * row_stride] : T(0);
      }
    }
    FG_UNROLL
    for (int e = 0; e < kTile * kSteps / kThreads; ++e) {
      const int k = t / kTile + e * (kThreads / kTile);
      const int64_t step = k0 + k;
      T value = 0;
      if (column && step < last) {
        const uint32_t flat = static_cast<uint32_t>(step);
        int other[3], place;
        if (kWeight) {
          const int picture = static_cast<int>(p.by_out_places.div(flat));
          p.out_place.of(flat - static_cast<uint32_t>(picture) * p.out_places, other);
          if (p.meet(other, at, &place)) value = p.x[p.x_plane(picture, group, channel) + place];
        } else {
          const int c = static_cast<int>(p.by_taps.div(flat));
          p.tap.of(flat - static_cast<uint32_t>(c) * p.taps, other);
          if (kInput) {
            if (p.meet_back(at, other, &place)) value = p.g[p.g_plane(image, group, c) + place];
          } else if (p.meet(at, other, &place)) {
            value = p.x[p.x_plane(image, group, c) + place];
          }
        }
      }
      tile_b[k * kPad + t % kTile] = value;
    }
    __syncthreads();
    FG_UNROLL
    for (int k = 0; k < kSteps; ++k) {
      T a[kOwn], b[kOwn];
      FG_UNROLL
      for (int i = 0; i < kOwn; ++i) a[i] = tile_a[k * kPad + ti * kOwn + i];
      FG_UNROLL
      for (int j = 0; j < kOwn; ++j) b[j] = tile_b[k * kPad + tj * kOwn + j];
      FG_UNROLL
      for (int i = 0; i < kOwn; ++i) {
        FG_UNROLL
        for (int j = 0; j < kOwn; ++j) sum[i][j] += a[i] * b[j];
      }
    }
    __syncthreads();
  }

  FG_UNROLL
  for (int j = 0; j < kOwn; ++j) {
    const uint32_t to = n0 + static_cast<uint32_t>(tj * kOwn + j);
    if (to >= columns) continue;
    int64_t base = 0, stride = 0;
    if (kWeight) {
      base = blockIdx.z * partial + p.weight_at(group, 0, 0) + to;
      stride = static_cast<int64_t>(p.in_channels) * p.taps;
    } else {
      const int picture = static_cast<int>((kInput ? p.by_in_places : p.by_out_places).div(to));
      stride = kInput ? p.in_places : p.out_places;
      base = (kOutput ? p.g_plane(picture, group, 0) : p.x_plane(picture, group, 0)) + (to - picture * stride);
    }
    FG_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      const int m = m0 + ti * kOwn + i;
      if (m >= rows) continue;
      const T shift = !kWeight && p.bias ? p.bias[static_cast<int64_t>(group) * rows + m] : T(0);
      p.out[base + m * stride] = sum[i][j] + shift;
    }
  }
}

// out[i] = the sum of the parts, in their order.
template <class T>
__global__ void __launch_bounds__(kThreads) add_parts_kernel(T* out, const T* partial, int64_t n, int64_t parts) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    T sum = 0;
    for (int64_t k = 0; k < parts; ++k) sum += partial[k * n + i];
    out[i] = sum;
  }
}

// output and input of groups with few channels: one thread for each element.
template <class T, bool kInput>
__global__ void __launch_bounds__(kThreads) thin_kernel(const __grid_constant__ Conv3<T> p, int64_t n) {
  const int places = kInput ? p.in_places : p.out_places;
  const int rows = kInput ? p.in_channels : p.out_channels, inner = kInput ? p.out_channels : p.in_channels;
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    const int64_t plane = i / places;
    const int row = static_cast<int>(plane % (static_cast<int64_t>(p.groups) * rows));
    const int image = static_cast<int>(plane / (static_cast<int64_t>(p.groups) * rows));
    const int group = row / rows, m = row % rows;
    int at[3], tap[3], place;
    (kInput ? p.in_place : p.out_place).of(static_cast<uint32_t>(i - plane * places), at);
    T sum = p.bias ? p.bias[row] : T(0);
    for (int k = 0; k < p.taps; ++k) {
      p.tap.of(static_cast<uint32_t>(k), tap);
      if (!(kInput ? p.meet_back(at, tap, &place) : p.meet(at, tap, &place))) continue;
      for (int c = 0; c < inner; ++c) {
        const T weight = p.w[(kInput ? p.weight_at(group, c, m) : p.weight_at(group, m, c)) + k];
        sum += weight * (kInput ? p.g[p.g_plane(image, group, c) + place] : p.x[p.x_plane(image, group, c) + place]);
      }
    }
    p.out[i] = sum;
  }
}

// weight of groups with few channels: a block for each element.
template <class T>
__global__ void __launch_bounds__(kThreads) thin_weight_kernel(const __grid_constant__ Conv3<T> p, int64_t n) {
  FG_SHARED(T, shared, kThreads);
  const Lines lines{1, kThreads, 1, kThreads, 1};
  const int64_t steps = static_cast<int64_t>(p.batch) * p.out_places;
  for (int64_t element = blockIdx.x; element < n; element += gridDim.x) {
    const int64_t pair = element / p.taps;
    const int c = static_cast<int>(pair % p.in_channels), row = static_cast<int>(pair / p.in_channels);
    const int group = row / p.out_channels, m = row % p.out_channels;
    int tap[3], at[3], place;
    p.tap.of(static_cast<uint32_t>(element % p.taps), tap);
    T sum = 0;
    for (int64_t step = threadIdx.x; step < steps; step += kThreads) {
      const int image = static_cast<int>(p.by_out_places.div(static_cast<uint32_t>(step)));
      const int o = static_cast<int>(step - static_cast<int64_t>(image) * p.out_places);
      p.out_place.of(static_cast<uint32_t>(o), at);
      if (p.meet(at, tap, &place)) sum += p.g[p.g_plane(image, group, m) + o] * p.x[p.x_plane(image, group, c) + place];
    }
    sum = group_reduce(lines, Group::of(lines), sum, shared, [](T a, T b) { return a + b; });
    if (threadIdx.x == 0) p.out[element] = sum;
    __syncthreads();  // shared is free for the next one
  }
}

template <class T> Conv3<T> conv_of(const ConvArgs& a) {
  Conv3<T> p{};
  p.x = static_cast<const T*>(a.x), p.w = static_cast<const T*>(a.w), p.g = static_cast<const T*>(a.g);
  p.bias = static_cast<const T*>(a.bias), p.out = static_cast<T*>(a.out);
  p.batch = static_cast<int>(a.batch), p.groups = static_cast<int>(a.groups);
  p.in_channels = static_cast<int>(a.in_channels), p.out_channels = static_cast<int>(a.out_channels);
  p.taps = p.in_places = p.out_places = 1;
  const auto divider = [](int64_t n) { return FastDiv::of(static_cast<uint32_t>(n)); };
  for (int d = 0; d < 3; ++d) {
    p.taps *= static_cast<int>(a.kernel[d]);
    p.in_places *= static_cast<int>(p.in[d] = static_cast<int>(a.in[d]));
    p.out_places *= static_cast<int>(p.out_size[d] = static_cast<int>(a.out_size[d]));
    p.stride[d] = static_cast<int>(a.stride[d]), p.padding[d] = static_cast<int>(a.padding[d]);
    p.dilation[d] = static_cast<int>(a.dilation[d]);
    p.by_stride[d] = divider(a.stride[d]);
  }
  p.by_taps = divider(p.taps), p.by_in_places = divider(p.in_places), p.by_out_places = divider(p.out_places);
  p.tap = {divider(a.kernel[2]), divider(a.kernel[1])};
  p.in_place = {divider(a.in[2]), divider(a.in[1])};
  p.out_place = {divider(a.out_size[2]), divider(a.out_size[1])};
  return p;
}

template <class T, Conv kWanted> void tiles(Conv3<T> p, Stream stream) {
  constexpr bool kInput = kWanted == Conv::input, kWeight = kWanted == Conv::weight;
  const int64_t rows = kInput ? p.in_channels : p.out_channels;
  const int64_t columns =
      kWeight ? int64_t{p.in_channels} * p.taps : int64_t{p.batch} * (kInput ? p.in_places : p.out_places);
  const int64_t blocks = ceil_div(rows, kTile) * ceil_div(columns, kTile);
  dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(p.groups));
  if constexpr (!kWeight) {
    FG_LAUNCH((conv_kernel<T, kWanted>), grid, kThreads, 0, stream, p, 0);
  } else {
    const int64_t steps = int64_t{p.batch} * p.out_places, n = int64_t{p.groups} * rows * columns;
    int64_t parts = ceil_div(int64_t{multiprocessors(stream.device)} * 4, blocks * p.groups);
    if (parts > ceil_div(steps, kSteps * 16)) parts = ceil_div(steps, kSteps * 16);
    p.part = ceil_div(steps, parts);
    T* out = p.out;
    Scratch partial(parts > 1 ? static_cast<size_t>(parts * n) * sizeof(T) : 0, stream);
    if (parts > 1) {
      if (!partial) return;
      p.out = partial.as<T>();
    }
    grid.z = static_cast<unsigned>(parts);
    FG_LAUNCH((conv_kernel<T, kWanted>), grid, kThreads, 0, stream, p, n);
    if (parts > 1)
      FG_LAUNCH_FREE(add_parts_kernel<T>, grid_for(n, stream), kThreads, 0, stream, out, partial.as<T>(), n, parts);
  }
}

template <class T> void thin(const Conv3<T>& p, Conv wanted, Stream stream) {
  const int64_t planes = int64_t{p.batch} * p.groups;
  if (wanted == Conv::output) {
    const int64_t n = planes * p.out_channels * p.out_places;
    FG_LAUNCH_FREE((thin_kernel<T, false>), grid_for(n, stream), kThreads, 0, stream, p, n);
  } else if (wanted == Conv::input) {
    const int64_t n = planes * p.in_channels * p.in_places;
    FG_LAUNCH_FREE((thin_kernel<T, true>), grid_for(n, stream), kThreads, 0, stream, p, n);
  } else if constexpr (std::is_floating_point_v<T>) {
    const int64_t n = int64_t{p.groups} * p.out_channels * p.in_channels * p.taps;
    FG_LAUNCH(thin_weight_kernel<T>, grid_for(n, stream, 1), kThreads, 0, stream, p, n);
  } else {
    set_error("convolution", "integers have no gradient");
  }
}

template <class T> void conv_as(const ConvArgs& a) {
  const Conv3<T> p = conv_of<T>(a);
  if constexpr (std::is_floating_point_v<T>) {
    if ((p.in_channels > kFewChannels || p.out_channels > kFewChannels) && p.groups <= kMostGroups) {
      switch (a.wanted) {
        case Conv::output: return tiles<T, Conv::output>(p, a.stream);
        case Conv::input: return tiles<T, Conv::input>(p, a.stream);
        default: return tiles<T, Conv::weight>(p, a.stream);
      }
    }
  }
  thin(p, a.wanted, a.stream);
}

void conv(const ConvArgs& a) {
  const int64_t in_places = a.in[0] * a.in[1] * a.in[2], out_places = a.out_size[0] * a.out_size[1] * a.out_size[2];
  const int64_t taps = a.kernel[0] * a.kernel[1] * a.kernel[2];
  if (a.batch * (in_places > out_places ? in_places : out_places) > INT32_MAX ||
      (a.in_channels > a.out_channels ? a.in_channels : a.out_channels) * taps > INT32_MAX)
    return set_error("convolution", "more than 2^31 places of the images of a batch");
  switch (a.dtype) {
    case DType::Float32: return conv_as<float>(a);
    case DType::Float64: return conv_as<double>(a);
    case DType::UInt8: return conv_as<uint8_t>(a);
    case DType::Int8: return conv_as<int8_t>(a);
    case DType::Int16: return conv_as<int16_t>(a);
    case DType::Int32: return conv_as<int32_t>(a);
    case DType::Int64: return conv_as<int64_t>(a);
    default: set_error("convolution", "dtype not supported");
  }
}

}  // namespace

void fill_conv(Backend& table) { table.conv = conv; }
}  // namespace fg::cuda
