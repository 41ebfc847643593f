// The same product with output channels in the vectors (multiply_windows in conv_tiles.h): for images that are small
// beside their channels, where runs of places would be short and most of the numbers are weights.
//
// The places of some images form one list, cut into blocks. A task is a block of places with a panel of channels: its
// sums stay in L2 while the steps run in pieces whose weights stay in L1. At the end they are transposed into place.
#pragma once
#include "cpu/conv_product.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kBlockPlaces = 144;  // at most
constexpr int64_t kPieceSteps = 768;
constexpr int64_t kTasks = 12;                     // worth having, for threads to share them evenly
constexpr int64_t kImageBytes = int64_t{8} << 20;  // of images that are worked on together
constexpr int64_t kPackSteps = 1024;               // packed by one chunk, about

template <class T> struct ChannelProduct {
  const Product<T>& q;
  int64_t panels, images;  // of kPanel channels; in one list
  int64_t block_places;
  T* packed;  // [group][pass][panel][step][kPanel]
  T* space;   // padded images, or null

  static constexpr int64_t N = kPanel<T>;
  static constexpr int L = kLanes<T>;

  // Elements of kernels side by side become rows of channels: to[t * N + i] = from[i * kernel + elements[t]].
  static void spread(T* to, const T* from, int64_t kernel, const int64_t* elements, int64_t taps, int64_t count) {
    if (kernel == 1 && taps == 1) {
      copy_run(to, from, count);
      return zero_run(to + count, N - count);
    }
    for (int64_t first = 0; first < kernel; first += L) {
      const int n = static_cast<int>(smaller(L, kernel - first));
      for (int64_t i = 0; i < count; i += L) {
        Vec<T, L> rows[L];
#pragma GCC unroll 16
        for (int r = 0; r < L; ++r)
          rows[r] = i + r < count ? load_part(from + (i + r) * kernel + first, n) : Vec<T, L>{};
        transpose<T, L>(rows);
        alignas(64) T turned[L * L];
#pragma GCC unroll 16
        for (int r = 0; r < L; ++r) store(turned + r * L, rows[r]);
        for (int64_t t = 0; t < taps; ++t) {
          const int64_t e = elements[t] - first;
          if (e >= 0 && e < n) store(to + t * N + i, load<L>(turned + e * L));
        }
      }
    }
  }

  const T* packed_of(int64_t group, const Pass<T>& p, int64_t panel) const {
    return packed + (group * q.steps + p.first_step) * panels * N + panel * p.steps * N;
  }
  void pack(int64_t group, const Pass<T>& p, int64_t panel, int64_t begin, int64_t end) const {  // channels summed over
    const int64_t row = panel * N, count = smaller(N, q.rows - row);
    T* to = const_cast<T*>(packed_of(group, p, panel)) + begin * p.taps * N;
    if (!q.transposed) {
      pack_b<T, T>(to, q.weights + (group * q.rows + row) * p.steps + begin * p.taps, 1, p.steps,
                   (end - begin) * p.taps, count);
      return;
    }
    for (int64_t c = begin; c < end; ++c, to += p.taps * N)
      spread(to, q.weights + ((group * q.channels + c) * q.rows + row) * q.kernel, q.kernel, p.elements, p.taps, count);
  }

  // ---- one block of places and one panel
  void task(const Pass<T>& p, int64_t group, int64_t first_image, int64_t n_images, int64_t block,
            int64_t panel) const {
    const int64_t per_image = p.count[0] * p.count[1] * p.count[2], begin = block * block_places;
    const int64_t n = smaller(block_places, n_images * per_image - begin);
    const T* at[kBlockPlaces + kRows];
    int64_t to[kBlockPlaces];
    alignas(64) T sums[kBlockPlaces * N];
    find_places(p, group, first_image, begin, n, at, to);

    const int64_t row = panel * N;
    alignas(64) T first[N] = {};
    WindowTile<T> t;
    t.columns = static_cast<int>(smaller(N, q.rows - row));
    t.first = nullptr;
    if (q.bias) {
      for (int i = 0; i < t.columns; ++i) first[i] = q.bias[group * q.rows + row + i];
      t.first = first;
    }
    const int vectors = (t.columns + L - 1) / L;
    const int64_t pieces = most(1, ceil_div(p.steps, kPieceSteps)), length = ceil_div(p.steps, pieces);
    for (int64_t step = 0; step == 0 || step < p.steps; step += length) {
      t.k = smaller(length, p.steps - step);
      t.fresh = step == 0;
      t.offsets = p.offsets + step;
      t.b = packed_of(group, p, panel) + step * N;
      for (int64_t i = 0; i < n; i += kRows) {
        for (int r = 0; r < kRows; ++r) t.a[r] = at[i + r];
        t.c = sums + i * N;
        kernel_for<WindowKernels<T>>(static_cast<int>(smaller(kRows, n - i)), vectors, false)(t);
      }
      if (length == 0) break;
    }
    for (int64_t i = 0; i < n; i += L)
      for (int j = 0; j < t.columns; j += L)
        put(sums + i * N + j, static_cast<int>(smaller(L, n - i)), to + i, static_cast<int>(smaller(L, t.columns - j)),
            q.out + (row + j) * q.out_plane);
  }

  void find_places(const Pass<T>& p, int64_t group, int64_t first_image, int64_t begin, int64_t n, const T** at,
                   int64_t* to) const {
    const int64_t wide = p.count[2], high = p.count[1];
    int64_t x = begin % wide, y = begin / wide % high, z = begin / wide / high % p.count[0];
    int64_t image = begin / wide / high / p.count[0];
    for (int64_t i = 0; i < n; ++i) {
      const int64_t pair = (first_image + image) * q.args.groups + group;
      const T* source =
          space ? space + (image * q.args.groups + group) * q.channels * q.padded.volume : q.plane_of(pair);
      at[i] = source + p.base + z * q.slab + y * q.pitch + x;
      to[i] = pair * q.rows * q.out_plane + p.start + z * p.step[0] + y * p.step[1] + x * p.step[2];
      if (++x < wide) continue;
      x = 0;
      if (++y < high) continue;
      y = 0;
      if (++z < p.count[0]) continue;
      z = 0, ++image;
    }
    for (int i = 0; i < kRows; ++i) at[n + i] = at[0];
  }

  // Sums of n places by some channels to out[channel * out_plane + to[place]].
  void put(const T* sums, int n, const int64_t* to, int channels, T* out) const {
    if (n == L && to[L - 1] - to[0] == L - 1) {
      Vec<T, L> rows[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) rows[i] = load<L>(sums + i * N);
      transpose<T, L>(rows);
      if (channels == L) {
#pragma GCC unroll 16
        for (int c = 0; c < L; ++c) store(out + to[0] + c * q.out_plane, rows[c]);
        return;
      }
    }
    for (int c = 0; c < channels; ++c)
      for (int i = 0; i < n; ++i) out[c * q.out_plane + to[i]] = sums[i * N + c];
  }

  // ---- all of it
  void run_all() {
    const ConvArgs& a = q.args;
    panels = ceil_div(q.rows, N);
    const size_t weight_bytes = static_cast<size_t>(a.groups * panels * q.steps * N) * sizeof(T);
    packed = static_cast<T*>(scratch(weight_bytes));
    const int64_t few = most(1, smaller(q.channels, kPackSteps / q.kernel)), parts = ceil_div(q.channels, few);
    Product<T>::loop(q.n_passes * a.groups * panels * parts, a.groups * panels * q.steps * N / 3, [&](int64_t i) {
      const int64_t part = i % parts, panel = i / parts % panels, group = i / parts / panels % a.groups;
      pack(group, q.passes[i / parts / panels / a.groups], panel, part * few, smaller(q.channels, (part + 1) * few));
    });

    const int64_t image_bytes = a.groups * q.channels * q.padded.volume * static_cast<int64_t>(sizeof(T));
    images = most(1, smaller(a.batch, kImageBytes / image_bytes));
    const size_t bytes = q.padded.plain ? 0 : static_cast<size_t>(images * image_bytes);
    space = bytes ? static_cast<T*>(scratch(bytes)) : nullptr;
    const double cost = q.channel_cost() * static_cast<double>(a.groups) / (2 * L);
    for (int64_t first = 0; first < a.batch; first += images) {
      const int64_t count = smaller(images, a.batch - first), planes = count * a.groups * q.channels;
      if (space) {
        const T* from = q.source + first * a.groups * q.channels * q.source_plane;
        Product<T>::loop(planes, planes * q.padded.volume / 3, [&](int64_t i) {
          pad_plane(space + i * q.padded.volume, from + i * q.source_plane, q.padded);
        });
      }
      for (int64_t i = 0; i < q.n_passes; ++i) {
        const Pass<T>& p = q.passes[i];
        // Blocks of even size, whole tiles but the last.
        const int64_t all = count * p.count[0] * p.count[1] * p.count[2];
        const int64_t wanted = ceil_div(kTasks, a.groups * panels);
        int64_t blocks = most(ceil_div(all, kBlockPlaces), smaller(wanted, ceil_div(all, 4 * kRows)));
        block_places = ceil_div(ceil_div(all, blocks), kRows) * kRows;
        blocks = ceil_div(all, block_places);
        Product<T>::loop(
            a.groups * panels * blocks, static_cast<int64_t>(cost * static_cast<double>(count)),
            [&](int64_t j) { task(p, j / blocks / panels, first, count, j % blocks, j / blocks % panels); });
      }
    }
    if (space) release_scratch(space, bytes);
    release_scratch(packed, weight_bytes);
  }
};

}  // namespace
}  // namespace fg::cpu::FG_ISA
