// The product that convolution and its gradient for the input are: packed weights with runs of a padded image
// (multiply_taps in conv_tiles.h), one image and group at a time.
//
// A "pass" is one such product over places of the result that lie on a grid. Places are numbered along the rows of the
// padded image, so that a tile runs over row ends; what lies between two rows is computed and dropped.
#pragma once
#include "cpu/conv_tiles.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kBandRows = 4;           // panels of rows in one task
constexpr int64_t kManyWeights = 1 << 20;  // bytes of one group's weights that are too many for a cache
constexpr int64_t kManyCopies = 1 << 26;
constexpr int64_t kFewPairs = 8;  // from this many (image, group) pairs on, one is the work of a thread

constexpr int64_t kChannelSteps = 12;  // what sums in channel order cost more, in steps

template <class T> struct Pass {
  int64_t taps;             // kernel elements that take part
  int64_t steps;            // taps * channels summed over
  int64_t first_step;       // steps of the passes before it
  const int64_t* elements;  // their numbers in the kernel
  const int32_t* offsets;   // of each step, in the padded image
  int64_t base;             // of place 0 in the padded image
  int64_t count[3];         // extent of the result
  int64_t start, step[3];   // of it in the output's plane, in elements
};

template <class T> struct Product {
  const ConvArgs& args;
  Padded padded;
  int64_t rows, channels;  // of one group: of the result, summed over
  int64_t pitch, slab;     // of a row and of a depth of the padded image
  int64_t kernel;          // elements
  int64_t source_plane, out_plane;
  const T *source, *weights, *bias;
  T* out;
  T* packed;
  Pass<T>* passes;
  int64_t n_passes, panels, steps;
  bool transposed;  // rows are the weight's second dimension

  int64_t bands() const { return ceil_div(panels, kBandRows); }
  int64_t places(const Pass<T>& p) const { return (p.count[1] - 1) * pitch + p.count[2]; }
  int64_t tiles(const Pass<T>& p) const { return p.count[0] * ceil_div(places(p), kPanel<T>); }

  // ---- weights: [pass][group][panel][step][kRows]
  const T* packed_of(const Pass<T>& p, int64_t group, int64_t panel) const {
    return packed + (args.groups * p.first_step + group * p.steps) * panels * kRows + panel * p.steps * kRows;
  }
  void pack(int64_t index) const {  // index: (pass, group, panel)
    const Pass<T>& p = passes[index / (args.groups * panels)];
    const int64_t group = index / panels % args.groups, panel = index % panels;
    const int64_t row = panel * kRows, count = smaller(kRows, rows - row);
    T* to = const_cast<T*>(packed_of(p, group, panel));
    if (!transposed) {
      pack_a<T, T>(to, weights + (group * rows + row) * p.steps, p.steps, 1, count, p.steps);
      return;
    }
    for (int64_t c = 0; c < channels; ++c) {
      const T* from = weights + ((group * channels + c) * rows + row) * kernel;
      for (int64_t t = 0; t < p.taps; ++t, to += kRows) {
        const T* element = from + p.elements[t];
        for (int64_t i = 0; i < count; ++i) to[i] = element[i * kernel];
      }
    }
  }

  // ---- one tile of places, for some rows
  void tile(const Pass<T>& p, int64_t index, int64_t band, const T* image, T* to, int64_t group) const {
    constexpr int64_t N = kPanel<T>;
    const int64_t per_depth = ceil_div(places(p), N);
    const int64_t z = index / per_depth, begin = index % per_depth * N;
    alignas(64) T local[kRows * N];
    TapTile<T> t;
    t.k = p.steps;
    t.offsets = p.offsets;
    t.columns = static_cast<int>(smaller(N, places(p) - begin));
    t.b = image + p.base + z * slab + begin;
    to += p.start + z * p.step[0];
    const bool straight = p.step[2] == 1 && (p.count[1] == 1 || (pitch == p.count[2] && p.step[1] == pitch));
    const int64_t first = band * kBandRows, last = smaller(panels, first + kBandRows);
    for (int64_t panel = first; panel < last; ++panel) {
      const int64_t row = panel * kRows;
      const int count = static_cast<int>(smaller(kRows, rows - row));
      t.a = packed_of(p, group, panel);
      t.first = bias ? bias + group * rows + row : nullptr;
      t.c = straight ? to + row * out_plane + begin : local;
      t.c_rs = straight ? out_plane : N;
      run_tile<TapKernels<T>>(t, count);
      if (straight) continue;
      for (int i = 0; i < count; ++i) place(p, local + i * N, begin, t.columns, to + (row + i) * out_plane);
    }
  }

  // Sums of the places [begin, begin + n) to where they belong.
  static void place_row(const T* from, int64_t n, T* to, int64_t step) {
    if (step == 1) return copy_run(to, from, n);
    for (int64_t i = 0; i < n; ++i) to[i * step] = from[i];
  }
  void place(const Pass<T>& p, const T* sums, int64_t begin, int64_t n, T* to) const {
    int64_t y = begin / pitch, x = begin % pitch;
    for (int64_t i = 0; i < n; ++y, x = 0) {
      if (x < p.count[2])
        place_row(sums + i, smaller(n - i, p.count[2] - x), to + y * p.step[1] + x * p.step[2], p.step[2]);
      i += pitch - x;
    }
  }

  // ---- an image and group
  const T* plane_of(int64_t pair) const { return source + pair * channels * source_plane; }
  T* out_of(int64_t pair) const { return out + pair * rows * out_plane; }

  void whole_pair(int64_t pair, T* space) const {
    const T* image = plane_of(pair);
    if (!padded.plain) {
      for (int64_t c = 0; c < channels; ++c) pad_plane(space + c * padded.volume, image + c * source_plane, padded);
      image = space;
    }
    for (int64_t i = 0; i < n_passes; ++i) {
      const int64_t n = tiles(passes[i]);
      for (int64_t j = 0; j < n; ++j)
        for (int64_t band = 0; band < bands(); ++band)
          tile(passes[i], j, band, image, out_of(pair), pair % args.groups);
    }
  }

  double cost() const {
    double total = 0;
    for (int64_t i = 0; i < n_passes; ++i)
      total += static_cast<double>(cost_of<T>(kRows * panels, kPanel<T>, passes[i].steps)) *
               static_cast<double>(tiles(passes[i]));
    return total + 0.3 * static_cast<double>(padded.plain ? 0 : channels * padded.volume) +
           20.0 * static_cast<double>(n_passes);
  }

  void run_all() {
    const int64_t weights_size = weight_bytes() * args.groups;
    Buffer<8192> memory;
    packed = static_cast<T*>(memory.get(weights_size));
    run_packed();
    memory.done();
  }
  void run_packed() const {
    const int64_t pairs = args.batch * args.groups;
    loop(n_passes * args.groups * panels, n_passes * args.groups * rows * steps, [&](int64_t i) { pack(i); });
    const size_t bytes = padded.plain ? 0 : static_cast<size_t>(channels * padded.volume) * sizeof(T);
    if (pairs > 1 && weight_bytes() > kManyWeights && pairs * bytes_of_copy() <= kManyCopies) return run_by_rows(pairs);
    if (pairs >= kFewPairs) {
      const int64_t group = most(1, smaller(pairs / kFewPairs, static_cast<int64_t>(20000 / cost())));
      loop(ceil_div(pairs, group), static_cast<int64_t>(cost() * static_cast<double>(pairs)), [&](int64_t chunk) {
        Buffer<16384> memory;
        T* space = bytes ? static_cast<T*>(memory.get(static_cast<int64_t>(bytes))) : nullptr;
        for (int64_t i = chunk * group; i < smaller(pairs, (chunk + 1) * group); ++i) whole_pair(i, space);
        memory.done();
      });
      return;
    }
    T* space = bytes ? static_cast<T*>(scratch(bytes)) : nullptr;
    for (int64_t pair = 0; pair < pairs; ++pair) {
      const T* image = plane_of(pair);
      if (bytes) {
        loop(channels, channels * padded.volume / 2,
             [&](int64_t c) { pad_plane(space + c * padded.volume, image + c * source_plane, padded); });
        image = space;
      }
      for (int64_t i = 0; i < n_passes; ++i) {
        const Pass<T>& p = passes[i];
        loop(tiles(p) * bands(), static_cast<int64_t>(cost()),
             [&](int64_t j) { tile(p, j / bands(), j % bands(), image, out_of(pair), pair % args.groups); });
      }
    }
    if (bytes) release_scratch(space, bytes);
  }

  // Vector operations for the sums of one image and group, with places or with output channels in the vectors. The
  // latter puts every sum into memory of its own first.
  double place_cost() const {
    double total = 0;
    for (int64_t i = 0; i < n_passes; ++i)
      total += static_cast<double>(passes[i].count[0] * ceil_div(places(passes[i]), kLanes<T>) * passes[i].steps);
    return total * static_cast<double>(panels * kRows);
  }
  double channel_cost() const {
    double total = 0;
    for (int64_t i = 0; i < n_passes; ++i)
      total += static_cast<double>(passes[i].count[0] * passes[i].count[1] * passes[i].count[2] *
                                   (passes[i].steps + kChannelSteps));
    return total * static_cast<double>(ceil_div(rows, kLanes<T>));
  }

  int64_t bytes_of_copy() const {
    return padded.plain ? 0 : channels * padded.volume * static_cast<int64_t>(sizeof(T));
  }
  int64_t weight_bytes() const { return panels * kRows * steps * static_cast<int64_t>(sizeof(T)); }

  // Weights that do not stay in the cache are read once: some rows of them, then all images.
  void run_by_rows(int64_t pairs) const {
    const int64_t volume = channels * padded.volume;
    const size_t bytes = static_cast<size_t>(pairs * bytes_of_copy());
    T* space = bytes ? static_cast<T*>(scratch(bytes)) : nullptr;
    if (bytes) {
      loop(pairs * channels, pairs * volume / 2,
           [&](int64_t i) { pad_plane(space + i * padded.volume, source + i * source_plane, padded); });
    }
    loop(n_passes * args.groups * bands(), static_cast<int64_t>(cost() * static_cast<double>(pairs)),
         [&](int64_t index) {
           const Pass<T>& p = passes[index / (args.groups * bands())];
           const int64_t group = index / bands() % args.groups, band = index % bands();
           for (int64_t pair = group; pair < pairs; pair += args.groups)
             for (int64_t j = 0; j < tiles(p); ++j)
               tile(p, j, band, bytes ? space + pair * volume : plane_of(pair), out_of(pair), group);
         });
    if (bytes) release_scratch(space, bytes);
  }

  template <class F> static void loop(int64_t chunks, int64_t cost, const F& body) {
    run(
        chunks, cost, [](void* context, int64_t i) { (*static_cast<const F*>(context))(i); }, const_cast<F*>(&body),
        false);
  }
};

}  // namespace
}  // namespace fg::cpu::FG_ISA
