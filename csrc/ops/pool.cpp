// Pooling over one to three dimensions: the largest of each window with its place, and averages.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/layout.h"
#include "ops/linear_map.h"

namespace fg {

namespace {

struct Window {
  int64_t kernel[3], stride[3], padding[3], dilation[3], in[3], out[3];
};

void expand_option(Dims given, int dims, const char* what, const char* name, int64_t (&out)[3], int64_t otherwise) {
  FG_CHECK(given.size() <= 1 || static_cast<int>(given.size()) == dims, Runtime, name, ": ", what,
           " must either be a single int, or a tuple of ", dims, " ints, got ", size_text(given));
  for (int d = 0; d < 3; ++d) {
    int k = d - (3 - dims);
    out[d] = k < 0 || given.empty() ? otherwise : given.size() == 1 ? given[0] : given[static_cast<size_t>(k)];
  }
}

// (N, C, ...) or (C, ...); only the batch may be empty.
void check_input(const Tensor& x, int dims, const char* name) {
  bool fits = x.dim() == dims + 1 || x.dim() == dims + 2;
  for (int d = x.dim() == dims + 2 ? 1 : 0; fits && d < x.dim(); ++d) fits = x.size(d) > 0;
  FG_CHECK(fits, Runtime, name, ": Expected ", dims + 1, "D or ", dims + 2,
           "D (batch mode) tensor with optional 0 dim batch size for input, but got: ", size_text(x.sizes()));
  FG_CHECK(x.dtype() != DType::Bool && !is_complex(x.dtype()), NotImplemented, "\"", name, "\" not implemented for '",
           dtype_name(x.dtype()), "'");
}

// any_stride: torch reads all other numbers of a window as a C int.
Window window_of(const Tensor& x, int dims, const PoolOptions& o, const char* name, bool any_stride = false) {
  Window w;
  FG_CHECK(!o.kernel.empty(), Runtime, name, ": kernel_size must either be a single int, or a tuple of ", dims,
           " ints");
  expand_option(o.kernel, dims, "kernel_size", name, w.kernel, 1);
  expand_option(o.stride.empty() ? o.kernel : o.stride, dims, "stride", name, w.stride, 1);
  expand_option(o.padding, dims, "padding", name, w.padding, 0);
  expand_option(o.dilation, dims, "dilation", name, w.dilation, 1);
  check_input(x, dims, name);
  for (int d = 0; d < 3; ++d) {
    FG_CHECK(w.kernel[d] > 0, Runtime, name, ": kernel_size should be greater than zero, but got ",
             size_text(o.kernel));
    FG_CHECK(w.stride[d] > 0, Runtime, name, ": stride should be greater than zero, but got ", size_text(o.stride));
    FG_CHECK(w.dilation[d] > 0, Runtime, name, ": dilation should be greater than zero, but got ",
             size_text(o.dilation));
    const int64_t largest = std::max({w.kernel[d], any_stride ? 1 : w.stride[d], w.padding[d], w.dilation[d]});
    FG_CHECK(largest <= std::numeric_limits<int32_t>::max(), Runtime, name, ": ", largest,
             " cannot be converted to type int without overflow");
    const int64_t reach = (w.kernel[d] - 1) * w.dilation[d];
    FG_CHECK(w.padding[d] >= 0, Runtime, name, ": pad must be non-negative, but got pad: ", w.padding[d]);
    FG_CHECK(w.padding[d] <= (reach + 1) / 2, Runtime, name,
             ": pad should be at most half of effective kernel size, but got pad=", w.padding[d],
             ", kernel_size=", w.kernel[d], " and dilation=", w.dilation[d]);
    const int k = d - (3 - dims);
    w.in[d] = k < 0 ? 1 : x.size(x.dim() - dims + k);
    const Wide room = Wide{w.in[d]} + 2 * w.padding[d] - reach - 1 + (o.ceil_mode ? w.stride[d] - 1 : 0);
    w.out[d] = static_cast<int64_t>(room >= 0 ? room / w.stride[d] : -1) + 1;
    if (o.ceil_mode && (Wide{w.out[d]} - 1) * w.stride[d] >= w.in[d] + w.padding[d]) --w.out[d];
    if (w.out[d] == 1) w.stride[d] = 1;  // there is no step, however large it is
    FG_CHECK(w.out[d] > 0, Runtime, name, ": Given input size: ", size_text(x.sizes()),
             ". Calculated output size: ", w.out[d], " in dimension ", k, ". Output size is too small");
  }
  return w;
}

DimArray with_last(const Tensor& x, int dims, const int64_t (&sizes)[3]) {
  DimArray out(x.sizes());
  for (int k = 0; k < dims; ++k) out[x.dim() - dims + k] = sizes[3 - dims + k];
  return out;
}

// ---- gradient of picking: numbers of g to their places

struct PutBackNode final : Node {
  Saved indices;
  DimList g_sizes;
  int dims;
  const char* name() const override { return "MaxPoolBackwardBackward0"; }
  void release_saved() override { indices.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    const Tensor& h = g[0];
    DimArray flat(h.sizes().first(static_cast<size_t>(h.dim() - dims))), picked = flat;
    flat.push(count_of(h.sizes().subspan(static_cast<size_t>(h.dim() - dims))));
    picked.push(count_of(Dims(g_sizes).subspan(static_cast<size_t>(h.dim() - dims))));
    gx[0] = reshape(gather(reshape(h, flat), -1, reshape(indices.unpack(this), picked)), g_sizes);
  }
};

// window: what the kernel is told of the windows (MaxPoolArgs).
Tensor put_back(const Tensor& g, const Tensor& indices, Dims in_sizes, int dims, const Window& window) {
  DType compute = kernel_dtype(g.dtype());
  Tensor out;
  {
    NoGradGuard guard;
    Tensor gc = dense(to_dtype(g, compute)), places = dense(indices);
    out = Tensor::empty(in_sizes, compute, g.device());
    if (out.numel()) {
      MaxPoolArgs args{};
      args.out = out.mutable_data();
      args.indices = const_cast<int64_t*>(places.data<int64_t>());
      args.grad = gc.data();
      args.dtype = compute;
      args.planes = count_of(in_sizes.first(in_sizes.size() - static_cast<size_t>(dims)));
      for (int d = 0; d < 3; ++d) {
        const int k = g.dim() - 3 + d;
        args.in_size[d] = d < 3 - dims ? 1 : in_sizes[static_cast<size_t>(k)];
        args.out_size[d] = d < 3 - dims ? 1 : g.size(k);
        args.kernel[d] = window.kernel[d], args.stride[d] = window.stride[d];
        args.padding[d] = window.padding[d], args.dilation[d] = window.dilation[d];
      }
      args.stream = Storage::current_stream(g.device());
      auto kernel = backend(g.device()).max_pool_grad;
      if (!kernel) fail_no_kernel("max pooling", g.device());
      GilRelease release(out.numel());
      kernel(args);
    }
    out = to_dtype(out, g.dtype());
  }
  if (should_record(g)) {
    auto node = make_node<PutBackNode>(g);
    node->indices.save(indices);
    node->g_sizes = g.sizes();
    node->dims = dims;
    set_history(out, node);
  }
  return out;
}

struct MaxPoolNode final : Node {
  const char* name_;
  Saved indices;
  DimList in_sizes;
  int dims;
  Window window;
  const char* name() const override { return name_; }
  void release_saved() override { indices.clear(); }
  void apply(Tensor* g, Tensor* gx) override { gx[0] = put_back(g[0], indices.unpack(this), in_sizes, dims, window); }
};

// Without `places` the indices are made only where the gradient needs them.
ValueIndex pick(const Tensor& x_in, int dims, MaxPoolArgs& args, const char* node_name, bool places = true) {
  DType compute = kernel_dtype(x_in.dtype());
  const bool recorded = is_floating(x_in.dtype()) && should_record(x_in);
  Tensor out, indices;
  {
    NoGradGuard guard;
    Tensor x = dense(to_dtype(x_in, compute));
    DimArray sizes = with_last(x, dims, args.out_size);
    out = Tensor::empty(sizes, compute, x.device());
    if (places || recorded) indices = Tensor::empty(sizes, DType::Int64, x.device());
    if (out.numel()) {
      args.out = out.mutable_data();
      args.indices = indices.defined() ? indices.mutable_data<int64_t>() : nullptr;
      args.in = x.data();
      args.dtype = compute;
      args.planes = count_of(x.sizes().first(static_cast<size_t>(x.dim() - dims)));
      args.stream = Storage::current_stream(x.device());
      auto kernel = backend(x.device()).max_pool;
      if (!kernel) fail_no_kernel("max pooling", x.device());
      GilRelease release(x.numel());
      kernel(args);
    }
    out = to_dtype(out, x_in.dtype());
  }
  if (recorded) {
    auto node = make_node<MaxPoolNode>(x_in);
    node->name_ = node_name;
    node->indices.save(indices);
    node->in_sizes = x_in.sizes();
    node->dims = dims;
    for (int d = 0; d < 3; ++d) {
      node->window.kernel[d] = args.kernel[d], node->window.stride[d] = args.stride[d];
      node->window.padding[d] = args.padding[d], node->window.dilation[d] = args.dilation[d];
    }
    set_history(out, node);
  }
  return {out, indices};
}

// Bounds of the windows that cover a dimension evenly.
int64_t adaptive_begin(int64_t o, int64_t in, int64_t out) { return o * in / out; }
int64_t adaptive_end(int64_t o, int64_t in, int64_t out) { return ((o + 1) * in + out - 1) / out; }

// Tables of windows grow with the output, so it is made first: a size that does not fit is refused before them.
Tensor checked_adaptive(const Tensor& x, Dims output, const char* name) {
  check_input(x, static_cast<int>(output.size()), name);
  for (int64_t n : output)
    FG_CHECK(n >= 0, Runtime, name, ": elements of output_size must be greater than or equal to 0 but received ",
             size_text(output));
  DimArray sizes(x.sizes());
  for (size_t k = 0; k < output.size(); ++k) sizes.v[static_cast<size_t>(sizes.n) - output.size() + k] = output[k];
  return Tensor::empty(sizes, x.dtype(), x.device());
}

const char* by_dims(int dims, const char* one, const char* two, const char* three) {
  return dims == 1 ? one : dims == 2 ? two : three;
}

}  // namespace

ValueIndex max_pool(const Tensor& x, int dims, const PoolOptions& options, const char* name, bool places) {
  Window w = window_of(x, dims, options, name, dims == 1);
  MaxPoolArgs args{};
  Wide reach = 0;  // kernels count it in 32 bits
  for (int d = 0; d < 3; ++d) {
    reach = reach * w.in[d] + (w.kernel[d] - 1) * w.dilation[d];
    FG_CHECK(reach < std::numeric_limits<int32_t>::max(), NotImplemented, name, ": windows over 2^31 elements");
    args.in_size[d] = w.in[d], args.out_size[d] = w.out[d], args.kernel[d] = w.kernel[d];
    args.stride[d] = w.stride[d], args.padding[d] = w.padding[d], args.dilation[d] = w.dilation[d];
  }
  return pick(
      x, dims, args,
      by_dims(dims, "MaxPool1DWithIndicesBackward0", "MaxPool2DWithIndicesBackward0", "MaxPool3DWithIndicesBackward0"),
      places);
}

ValueIndex adaptive_max_pool(const Tensor& x, Dims output, const char* name) {
  const Tensor room = checked_adaptive(x, output, name);
  FG_CHECK(is_floating(x.dtype()), NotImplemented, "\"", name, "\" not implemented for '", dtype_name(x.dtype()), "'");
  const int dims = static_cast<int>(output.size());
  MaxPoolArgs args{};
  std::vector<int64_t> bounds[3][2];
  for (int d = 0; d < 3; ++d) {
    const int k = d - (3 - dims);
    args.in_size[d] = k < 0 ? 1 : x.size(x.dim() - dims + k);
    args.out_size[d] = k < 0 ? 1 : output[static_cast<size_t>(k)];
    for (int64_t o = 0; room.numel() && o < args.out_size[d]; ++o) {
      bounds[d][0].push_back(adaptive_begin(o, args.in_size[d], args.out_size[d]));
      bounds[d][1].push_back(adaptive_end(o, args.in_size[d], args.out_size[d]));
    }
    args.begin[d] = bounds[d][0].data(), args.end[d] = bounds[d][1].data();
  }
  return pick(x, dims, args,
              by_dims(dims, "AdaptiveMaxPool1DBackward0", "AdaptiveMaxPool2DBackward0", "AdaptiveMaxPool3DBackward0"));
}

namespace {

// Where the windows of one dimension begin: steps of `alpha`, from a random phase; the last window ends at the border.
template <class T>
void fractional_begins(T sample, int64_t in, int64_t out, int64_t kernel, std::vector<int64_t>& begin) {
  if (out > 1) {
    const T alpha = static_cast<T>(in - kernel) / static_cast<T>(out - 1);
    for (int64_t i = 0; i < out - 1; ++i)
      begin.push_back(static_cast<int64_t>((static_cast<T>(i) + sample) * alpha) -
                      static_cast<int64_t>(sample * alpha));
  }
  if (out > 0) begin.push_back(in - kernel);
}

}  // namespace

ValueIndex fractional_max_pool(const Tensor& x, Dims kernel, Dims output, const Tensor& samples, const char* name) {
  const int dims = static_cast<int>(output.size());
  check_input(x, dims, name);
  FG_CHECK(is_floating(x.dtype()), NotImplemented, "\"", name, "\" not implemented for '", dtype_name(x.dtype()), "'");
  FG_CHECK(samples.dtype() == x.dtype(), Runtime, name, ": Expect _random_samples to have the same dtype as input");
  const bool batched = x.dim() == dims + 2;
  const int64_t batch = batched ? x.size(0) : 1, channels = x.size(batched ? 1 : 0), planes = batch * channels;
  FG_CHECK(samples.dim() == 3 && samples.size(0) == batch && samples.size(1) == channels && samples.size(2) == dims,
           Runtime, name, ": Expect _random_samples of size [", batch, ", ", channels, ", ", dims, "], got ",
           size_text(samples.sizes()));
  MaxPoolArgs args{};
  args.per_plane = 1;
  std::vector<int64_t> bounds[3][2];
  Tensor numbers = to_device(dense(to_dtype(detach(samples), DType::Float64)), {});  // read here, on the host
  for (int d = 0; d < 3; ++d) {
    const int k = d - (3 - dims);
    args.in_size[d] = k < 0 ? 1 : x.size(x.dim() - dims + k);
    args.out_size[d] = k < 0 ? 1 : output[static_cast<size_t>(k)];
    const int64_t size = k < 0 ? 1 : kernel[static_cast<size_t>(k)];
    args.kernel[d] = size;  // for the gradient, which knows no more of the windows
    FG_CHECK(size > 0 && args.out_size[d] > 0, Runtime, name,
             ": kernel_size and output_size must be greater than zero");
    FG_CHECK(k < 0 || Wide{args.out_size[d]} + size - (dims == 2) <= args.in_size[d], Runtime, name, ": pool size (",
             size, ") too large relative to input size (", args.in_size[d], ") in dimension ", k);
    for (int64_t plane = 0; plane < planes; ++plane) {
      if (k < 0) {
        bounds[d][0].push_back(0);
        continue;
      }
      // torch's order of samples: width first in two dimensions, depth first in three
      const double sample = numbers.data<double>()[plane * dims + (dims == 2 ? 1 - k : k)];
      if (x.dtype() == DType::Float64)
        fractional_begins<double>(sample, args.in_size[d], args.out_size[d], size, bounds[d][0]);
      else fractional_begins<float>(static_cast<float>(sample), args.in_size[d], args.out_size[d], size, bounds[d][0]);
    }
    for (int64_t begin : bounds[d][0]) bounds[d][1].push_back(begin + size);
    args.begin[d] = bounds[d][0].data(), args.end[d] = bounds[d][1].data();
  }
  return pick(x, dims, args, dims == 2 ? "FractionalMaxPool2DBackward0" : "FractionalMaxPool3DBackward0");
}

Tensor avg_pool(const Tensor& x, int dims, const PoolOptions& options, bool count_padding,
                std::optional<int64_t> divisor, const char* name) {
  Window w = window_of(x, dims, options, name);
  FG_CHECK(!divisor || *divisor != 0, Runtime, name, ": divisor must be not zero");
  FG_CHECK(is_floating(x.dtype()) || x.dtype() == DType::Int64, NotImplemented, "\"", name, "\" not implemented for '",
           dtype_name(x.dtype()), "'");
  const bool whole = !is_floating(x.dtype());
  LinearTables tables;
  std::vector<double> counts[3];
  for (int d = 3 - dims; d < 3; ++d) {
    auto table = std::make_shared<LinearTable>(w.in[d], w.out[d]);
    for (int64_t o = 0; o < w.out[d]; ++o) {
      const int64_t begin = o * w.stride[d] - w.padding[d], end = std::min(begin + w.kernel[d], w.in[d] + w.padding[d]);
      const int64_t first = std::max<int64_t>(begin, 0), last = std::min(end, w.in[d]);
      double share = static_cast<double>(count_padding ? end - begin : last - first);
      if (divisor) share = d == 2 ? static_cast<double>(*divisor) : 1;
      counts[d].push_back(share);
      for (int64_t i = first; i < last; ++i) table->term(i, whole ? 1 : 1 / share);
      table->close();
    }
    tables.push_back(std::move(table));
  }
  const char* node_name = by_dims(dims, "AvgPool1DBackward0", "AvgPool2DBackward0", "AvgPool3DBackward0");
  if (!whole) return linear_map(x, tables, node_name);
  // Integers: the exact sum, divided with truncation.
  Tensor sums = linear_map(to_dtype(x, DType::Float64), tables, node_name);
  for (int d = 3 - dims; d < 3; ++d) {
    Tensor share = Tensor::empty(DimArray{w.out[d]}, DType::Float64, {});
    std::copy(counts[d].begin(), counts[d].end(), share.mutable_data<double>());
    DimArray column{w.out[d]};
    for (int k = d + 1; k < 3; ++k) column.push(1);
    sums = binary(Op::div, sums, view(to_device(share, x.device()), column));
  }
  return to_dtype(unary(Op::trunc, sums), x.dtype());
}

Tensor adaptive_avg_pool(const Tensor& x, Dims output, const char* name) {
  const Tensor room = checked_adaptive(x, output, name);
  FG_CHECK(is_floating(x.dtype()), NotImplemented, "\"", name, "\" not implemented for '", dtype_name(x.dtype()), "'");
  const int dims = static_cast<int>(output.size());
  if (dims > 1 && std::all_of(output.begin(), output.end(), [](int64_t n) { return n == 1; })) {
    DimArray whole;  // as torch has it, the node's name too
    for (int k = dims; k > 0; --k) whole.push(-k);
    return mean(x, Dims(whole), true);
  }
  LinearTables tables;
  for (int k = 0; k < dims; ++k) {
    const int64_t in = x.size(x.dim() - dims + k), out = output[static_cast<size_t>(k)];
    auto table = std::make_shared<LinearTable>(in, out, in + out);
    for (int64_t o = 0; o < out; ++o) {
      const int64_t begin = adaptive_begin(o, in, out), end = adaptive_end(o, in, out);
      for (int64_t i = begin; i < end; ++i) table->term(i, 1.0 / static_cast<double>(end - begin));
      table->close();
    }
    tables.push_back(std::move(table));
  }
  return linear_map(
      x, tables,
      by_dims(dims, "AdaptiveAvgPool1DBackward0", "AdaptiveAvgPool2DBackward0", "AdaptiveAvgPool3DBackward0"));
}

}  // namespace fg
