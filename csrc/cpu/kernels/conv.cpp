// Convolution and its gradient for the input, which is a convolution too: products of packed weights with runs of a
// padded image (multiply_taps in conv_tiles.h), one image and group at a time. Weight gradients: conv_weight.cpp.
//
// A "pass" is one such product. The convolution is one pass; a stride is taken care of by splitting the padded image
// into phases, so that the elements that one kernel element meets lie side by side. The gradient for the input is one
// pass for each phase of the input: only the kernel elements that meet it take part, and no zeros are multiplied.
// Places of the result are numbered along the rows of the padded image, so that a tile runs over row ends; what lies
// between two rows is computed and dropped. Every element of the result has one order of additions.
#include "cpu/backend_cpu.h"
#include "cpu/conv_channels.h"
#include "cpu/conv_planes.h"

namespace fg::cpu::FG_ISA {

void conv_weight(const ConvArgs& args);
void fill_max_pool(Backend& table);
void fill_resample(Backend& table);
void fill_grid_sample(Backend& table);
void fill_batch_norm(Backend& table);

namespace {

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
  Product<T> q{a, {}, 0, 0, 0, 0, 0, 0, 0, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 0, 0, 0, false};
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
      p.phases[d] = smaller(a.stride[d], reach + 1);
      p.extent[d] = a.out_size[d] + reach / a.stride[d];
      continue;
    }
    // one copy that serves every phase of the input
    phases[d] = smaller(a.stride[d], a.in[d]);
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

  // Room for passes, their kernel elements and offsets. Every kernel element is in one pass, so the sum of their sizes
  // is known.
  const int64_t n = phases[0] * phases[1] * phases[2];
  const size_t bytes = static_cast<size_t>(n) * (sizeof(Pass<T>) + 64) +
                       static_cast<size_t>(q.kernel) * sizeof(int64_t) +
                       static_cast<size_t>(q.steps) * sizeof(int32_t) + 256;
  Buffer<16384> memory;
  char* at = static_cast<char*>(memory.get(static_cast<int64_t>(bytes)));
  q.passes = reinterpret_cast<Pass<T>*>(at);
  at += static_cast<size_t>(n) * sizeof(Pass<T>);
  int64_t* elements = reinterpret_cast<int64_t*>(at);
  at += static_cast<size_t>(q.kernel) * sizeof(int64_t);
  int32_t* offsets = reinterpret_cast<int32_t*>(at);

  int64_t steps = 0;
  for (int64_t f = 0; f < n; ++f) {
    Pass<T>& pass = q.passes[q.n_passes];
    const int64_t first[3] = {f / (phases[1] * phases[2]), f / phases[2] % phases[1], f % phases[2]};
    if (q.transposed) fill_input_pass(q, &pass, first, elements, offsets);
    else fill_output_pass(q, &pass, elements, offsets);
    ++q.n_passes;
    pass.steps = pass.taps * q.channels;
    pass.first_step = steps;
    pass.offsets = offsets;
    for (int64_t c = 1; c < q.channels; ++c)
      for (int64_t t = 0; t < pass.taps; ++t)
        offsets[c * pass.taps + t] = offsets[t] + static_cast<int32_t>(c * q.padded.volume);
    elements += pass.taps;
    offsets += pass.steps;
    steps += pass.steps;
  }
  if (q.rows <= 2 && q.channels <= 2 && a.groups > 1) {
    PlaneProduct<T> planes{q, phases[2], nullptr, nullptr, nullptr, nullptr};
    planes.run_all();
  } else if (q.channel_cost() < q.place_cost()) {
    ChannelProduct<T> channels{q, 0, 0, 0, nullptr, nullptr};
    channels.run_all();
  } else {
    q.run_all();
  }
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
  fill_grid_sample(table);
  fill_batch_norm(table);
}

}  // namespace fg::cpu::FG_ISA
