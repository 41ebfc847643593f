// Convolution and its gradient for the input, which is a convolution too: products of packed weights with runs of a
// padded image (multiply_taps in conv_tiles.h), one image and group at a time. Weight gradients: conv_weight.cpp.
//
// A "pass" is one such product. The convolution is one pass; a stride is taken care of by splitting the padded image
// into phases, so that the elements that one kernel element meets lie side by side. The gradient for the input is one
// pass for each phase of the input: only the kernel elements that meet it take part, and no zeros are multiplied.
// Places of the result are numbered along the rows of the padded image, so that a tile runs over row ends; what lies
// between two rows is computed and dropped. Every element of the result has one order of additions.
#include "cpu/backend_cpu.h"
#include "cpu/conv_tiles.h"

namespace fg::cpu::FG_ISA {

void conv_weight(const ConvArgs& args);
void fill_max_pool(Backend& table);
void fill_resample(Backend& table);
void fill_batch_norm(Backend& table);

namespace {

constexpr int64_t kBandRows = 4;           // panels of rows in one task
constexpr int64_t kManyWeights = 1 << 20;  // bytes of one group's weights that are too many for a cache
constexpr int64_t kManyCopies = 1 << 26;
constexpr int64_t kFewPairs = 8;  // from this many (image, group) pairs on, one is the work of a thread

template <class T> struct Pass {
  int64_t taps;             // kernel elements that take part
  int64_t steps;            // taps * channels summed over
  const int64_t* elements;  // their numbers in the kernel
  const int32_t* offsets;   // of each step, in the padded image
  const T* packed;          // weights: [group][panel][step][kRows]
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
  Pass<T>* passes;
  int64_t n_passes, panels, steps;
  bool transposed;  // rows are the weight's second dimension

  int64_t bands() const { return ceil_div(panels, kBandRows); }
  int64_t places(const Pass<T>& p) const { return (p.count[1] - 1) * pitch + p.count[2]; }
  int64_t tiles(const Pass<T>& p) const { return p.count[0] * ceil_div(places(p), kPanel<T>); }

  // ---- weights
  void pack(int64_t index) const {  // index: (pass, group, panel)
    const Pass<T>& p = passes[index / (args.groups * panels)];
    const int64_t group = index / panels % args.groups, panel = index % panels;
    const int64_t row = panel * kRows, count = least(kRows, rows - row);
    T* to = const_cast<T*>(p.packed) + (group * panels + panel) * p.steps * kRows;
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
    t.columns = static_cast<int>(least(N, places(p) - begin));
    t.b = image + p.base + z * slab + begin;
    to += p.start + z * p.step[0];
    const bool straight = p.step[2] == 1 && (p.count[1] == 1 || (pitch == p.count[2] && p.step[1] == pitch));
    const int64_t first = band * kBandRows, last = least(panels, first + kBandRows);
    for (int64_t panel = first; panel < last; ++panel) {
      const int64_t row = panel * kRows;
      const int count = static_cast<int>(least(kRows, rows - row));
      t.a = p.packed + (group * panels + panel) * p.steps * kRows;
      t.first = bias ? bias + group * rows + row : nullptr;
      t.c = straight ? to + row * out_plane + begin : local;
      t.c_rs = straight ? out_plane : N;
      run_tile<T, TapTile<T>, TapKernels<T>>(t, count);
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
        place_row(sums + i, least(n - i, p.count[2] - x), to + y * p.step[1] + x * p.step[2], p.step[2]);
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
    const int64_t pairs = args.batch * args.groups;
    loop(n_passes * args.groups * panels, n_passes * args.groups * rows * steps, [&](int64_t i) { pack(i); });
    const size_t bytes = padded.plain ? 0 : static_cast<size_t>(channels * padded.volume) * sizeof(T);
    if (pairs > 1 && weight_bytes() > kManyWeights && pairs * bytes_of_copy() <= kManyCopies) return run_by_rows(pairs);
    if (pairs >= kFewPairs) {
      const int64_t group = most(1, least(pairs / kFewPairs, static_cast<int64_t>(20000 / cost())));
      loop(ceil_div(pairs, group), static_cast<int64_t>(cost() * static_cast<double>(pairs)), [&](int64_t chunk) {
        Buffer<16384> memory;
        T* space = bytes ? static_cast<T*>(memory.get(static_cast<int64_t>(bytes))) : nullptr;
        for (int64_t i = chunk * group; i < least(pairs, (chunk + 1) * group); ++i) whole_pair(i, space);
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

  int64_t bytes_of_copy() const {
    return padded.plain ? 0 : channels * padded.volume * static_cast<int64_t>(sizeof(T));
  }
  int64_t weight_bytes() const { return panels * kRows * steps * static_cast<int64_t>(sizeof(T)); }

  // Weights that do not stay in the cache are read once: some rows of them, then all images.
  void run_by_rows(int64_t pairs) {
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

// ---- what the passes are --------------------------------------------------------------------------------------------
// Along one dimension, the elements of the input that a phase of the gradient covers: first, first + stride, ... Kernel
// elements k with k * dilation % stride == phase meet them; `first` takes the output's element `at` from the first such
// k, and earlier ones from later k.
struct InputPhase {
  int64_t phase, count, at;
};
FG_INLINE InputPhase input_phase(const ConvArgs& a, int d, int64_t first) {
  const int64_t place = first + a.padding[d];
  return {place % a.stride[d], ceil_div(a.in[d] - first, a.stride[d]), place / a.stride[d]};
}

template <class T> void fill_output_pass(Product<T>& q, Pass<T>* pass, int64_t* elements, int32_t* offsets) {
  const ConvArgs& a = q.args;
  pass->taps = q.kernel;
  pass->elements = elements;
  int64_t t = 0;
  for (int64_t z = 0; z < a.kernel[0]; ++z)
    for (int64_t y = 0; y < a.kernel[1]; ++y)
      for (int64_t x = 0; x < a.kernel[2]; ++x, ++t) {
        elements[t] = t;
        offsets[t] = static_cast<int32_t>(q.padded.offset(z * a.dilation[0], y * a.dilation[1], x * a.dilation[2]));
      }
  pass->base = 0;
  pass->start = 0;
  pass->step[2] = 1, pass->step[1] = a.out_size[2], pass->step[0] = a.out_size[1] * a.out_size[2];
  for (int d = 0; d < 3; ++d) pass->count[d] = a.out_size[d];
}

template <class T>
void fill_input_pass(Product<T>& q, Pass<T>* pass, const int64_t (&first)[3], int64_t* elements, int32_t* offsets) {
  const ConvArgs& a = q.args;
  const int64_t pitches[3] = {q.slab, q.pitch, 1}, in_pitches[3] = {a.in[1] * a.in[2], a.in[2], 1};
  int64_t phase[3];
  pass->base = pass->start = 0;
  for (int d = 0; d < 3; ++d) {
    const InputPhase p = input_phase(a, d, first[d]);
    phase[d] = p.phase;
    pass->count[d] = p.count;
    pass->step[d] = in_pitches[d] * a.stride[d];
    pass->start += first[d] * in_pitches[d];
    pass->base += (p.at + q.padded.low[d]) * pitches[d];
  }
  pass->elements = elements;
  pass->taps = 0;
  for (int64_t z = 0; z < a.kernel[0]; ++z) {
    if (z * a.dilation[0] % a.stride[0] != phase[0]) continue;
    for (int64_t y = 0; y < a.kernel[1]; ++y) {
      if (y * a.dilation[1] % a.stride[1] != phase[1]) continue;
      for (int64_t x = 0; x < a.kernel[2]; ++x) {
        if (x * a.dilation[2] % a.stride[2] != phase[2]) continue;
        elements[pass->taps] = (z * a.kernel[1] + y) * a.kernel[2] + x;
        offsets[pass->taps++] =
            static_cast<int32_t>(-((z * a.dilation[0]) / a.stride[0] * q.slab +
                                   (y * a.dilation[1]) / a.stride[1] * q.pitch + (x * a.dilation[2]) / a.stride[2]));
      }
    }
  }
}

template <class T> void conv(const ConvArgs& a) {
  Product<T> q{a, {}, 0, 0, 0, 0, 0, 0, 0, nullptr, nullptr, nullptr, nullptr, nullptr, 0, 0, 0, false};
  q.transposed = a.wanted == Conv::input;
  q.rows = q.transposed ? a.in_channels : a.out_channels;
  q.channels = q.transposed ? a.out_channels : a.in_channels;
  const int64_t in_plane = a.in[0] * a.in[1] * a.in[2], out_plane = a.out_size[0] * a.out_size[1] * a.out_size[2];
  q.source_plane = q.transposed ? out_plane : in_plane;
  q.out_plane = q.transposed ? in_plane : out_plane;
  q.source = static_cast<const T*>(q.transposed ? a.g : a.x);
  q.weights = static_cast<const T*>(a.w);
  q.bias = static_cast<const T*>(a.bias);
  q.out = static_cast<T*>(a.out);
  q.kernel = a.kernel[0] * a.kernel[1] * a.kernel[2];
  q.steps = q.kernel * q.channels;
  q.panels = ceil_div(q.rows, kRows);

  int64_t phases[3] = {1, 1, 1};
  for (int d = 0; d < 3; ++d) {
    const int64_t reach = (a.kernel[d] - 1) * a.dilation[d];
    Padded& p = q.padded;
    if (!q.transposed) {
      p.size[d] = a.in[d];
      p.stride[d] = a.stride[d];
      p.low[d] = a.padding[d];
      p.phases[d] = least(a.stride[d], reach + 1);
      p.extent[d] = a.out_size[d] + reach / a.stride[d];
      continue;
    }
    // one copy that serves every phase of the input
    phases[d] = least(a.stride[d], a.in[d]);
    int64_t low = 0, high = 1;
    for (int64_t first = 0; first < phases[d]; ++first) {
      const InputPhase f = input_phase(a, d, first);
      const int64_t far = reach >= f.phase ? (reach - f.phase) / a.stride[d] : 0;
      low = most(low, far - f.at);
      high = most(high, f.at + f.count);
    }
    p.size[d] = a.out_size[d];
    p.stride[d] = p.phases[d] = 1;
    p.low[d] = low;
    p.extent[d] = low + high;
  }
  q.padded.finish();
  q.pitch = q.padded.extent[2];
  q.slab = q.padded.extent[1] * q.pitch;

  // Room for passes, their kernel elements, offsets and weights. Every kernel element is in one pass, so the sum of
  // their sizes is known.
  const int64_t n = phases[0] * phases[1] * phases[2];
  const int64_t all_steps = q.kernel * q.channels;
  const size_t bytes = static_cast<size_t>(n) * (sizeof(Pass<T>) + 64) +
                       static_cast<size_t>(q.kernel) * sizeof(int64_t) +
                       static_cast<size_t>(all_steps) * sizeof(int32_t) + 256 +
                       static_cast<size_t>(a.groups * q.panels * kRows * all_steps) * sizeof(T);
  Buffer<16384> memory;
  char* at = static_cast<char*>(memory.get(static_cast<int64_t>(bytes)));
  T* weights = reinterpret_cast<T*>(at);
  at += (static_cast<size_t>(a.groups * q.panels * kRows * all_steps) * sizeof(T) + 63) / 64 * 64;
  q.passes = reinterpret_cast<Pass<T>*>(at);
  at += static_cast<size_t>(n) * sizeof(Pass<T>);
  int64_t* elements = reinterpret_cast<int64_t*>(at);
  at += static_cast<size_t>(q.kernel) * sizeof(int64_t);
  int32_t* offsets = reinterpret_cast<int32_t*>(at);

  for (int64_t f = 0; f < n; ++f) {
    Pass<T>& pass = q.passes[q.n_passes];
    const int64_t first[3] = {f / (phases[1] * phases[2]), f / phases[2] % phases[1], f % phases[2]};
    if (q.transposed) fill_input_pass(q, &pass, first, elements, offsets);
    else fill_output_pass(q, &pass, elements, offsets);
    ++q.n_passes;
    pass.steps = pass.taps * q.channels;
    pass.offsets = offsets;
    pass.packed = weights;
    for (int64_t c = 1; c < q.channels; ++c)
      for (int64_t t = 0; t < pass.taps; ++t)
        offsets[c * pass.taps + t] = offsets[t] + static_cast<int32_t>(c * q.padded.volume);
    elements += pass.taps;
    offsets += pass.steps;
    weights += a.groups * q.panels * kRows * pass.steps;
  }
  q.run_all();
  memory.done();
}

// Integers: element by element, in wrapping arithmetic. Convolutions of integers have no gradient.
template <class T> void conv_integer(const ConvArgs& a) {
  using U = uint64_t;
  const bool transposed = a.wanted == Conv::input;
  const int64_t rows = transposed ? a.in_channels : a.out_channels,
                channels = transposed ? a.out_channels : a.in_channels;
  const int64_t* size = transposed ? a.in : a.out_size;
  const int64_t* from_size = transposed ? a.out_size : a.in;
  const T* source = static_cast<const T*>(transposed ? a.g : a.x);
  const T* weights = static_cast<const T*>(a.w);
  const int64_t plane = size[0] * size[1] * size[2], from_plane = from_size[0] * from_size[1] * from_size[2];
  const int64_t kernel = a.kernel[0] * a.kernel[1] * a.kernel[2];
  const auto row_of = [&](int64_t index) {
    const int64_t pair = index / rows, row = index % rows, group = pair % a.groups;
    for (int64_t place = 0; place < plane; ++place) {
      const int64_t at[3] = {place / size[2] / size[1], place / size[2] % size[1], place % size[2]};
      U sum = a.bias ? static_cast<U>(static_cast<const T*>(a.bias)[group * rows + row]) : 0;
      for (int64_t e = 0; e < kernel; ++e) {
        const int64_t element[3] = {e / a.kernel[2] / a.kernel[1], e / a.kernel[2] % a.kernel[1], e % a.kernel[2]};
        int64_t from = 0;
        bool inside = true;
        for (int d = 0; d < 3; ++d) {
          int64_t p = transposed ? at[d] + a.padding[d] - element[d] * a.dilation[d]
                                 : at[d] * a.stride[d] - a.padding[d] + element[d] * a.dilation[d];
          if (transposed) {
            inside = inside && p % a.stride[d] == 0;
            p /= a.stride[d];
          }
          inside = inside && p >= 0 && p < from_size[d];
          from = from * from_size[d] + p;
        }
        if (!inside) continue;
        for (int64_t c = 0; c < channels; ++c) {
          const int64_t w = transposed ? (group * channels + c) * rows + row : (group * rows + row) * channels + c;
          sum += static_cast<U>(source[(pair * channels + c) * from_plane + from]) *
                 static_cast<U>(weights[w * kernel + e]);
        }
      }
      static_cast<T*>(a.out)[index * plane + place] = static_cast<T>(sum);
    }
  };
  Product<float>::loop(a.batch * a.groups * rows, a.batch * a.groups * rows * plane * kernel * channels, row_of);
}

void convolution(const ConvArgs& a) {
  if (a.wanted == Conv::weight) return conv_weight(a);
  switch (a.dtype) {
    case DType::Float32: return conv<float>(a);
    case DType::Float64: return conv<double>(a);
    case DType::UInt8: return conv_integer<uint8_t>(a);
    case DType::Int8: return conv_integer<int8_t>(a);
    case DType::Int16: return conv_integer<int16_t>(a);
    case DType::Int32: return conv_integer<int32_t>(a);
    case DType::Int64: return conv_integer<int64_t>(a);
    default: return;  // halves come as Float32, Bool is refused above
  }
}

}  // namespace

void fill_images(Backend& table) {
  table.conv = convolution;
  fill_max_pool(table);
  fill_resample(table);
  fill_batch_norm(table);
}

}  // namespace fg::cpu::FG_ISA
