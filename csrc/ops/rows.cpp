// Ops along one dimension: softmax, cumulative sums and their kin, layer norm.
#include "ops/autocast.h"
#include "ops/words.h"

namespace fg {

namespace {

RowArgs row_args(const Tensor& out, const Tensor& in, int dim) {
  RowArgs args{};
  args.out = out.defined() ? out.mutable_data() : nullptr;
  args.in = in.data();
  args.dtype = in.dtype();
  args.outer = args.inner = 1;
  args.size = in.dim() ? in.size(dim) : 1;
  for (int i = 0; i < in.dim(); ++i)
    if (i != dim) (i < dim ? args.outer : args.inner) *= in.size(i);
  args.stream = Storage::current_stream(in.device());
  return args;
}

void run_row(Row op, const RowArgs& args, Device device, const char* name, bool complex_product = false) {
  if (args.outer * args.size * args.inner == 0) return;
  const Backend& table = backend(device);
  RowFn kernel = complex_product ? table.cumprod_complex : table.row[static_cast<int>(op)];
  if (!kernel) fail(ErrorKind::NotImplemented, name, ": no kernel on ", device_name(device));
  GilRelease release(args.outer * args.size * args.inner);
  kernel(args);
  if (!device.is_cpu()) [[unlikely]]
    check_device(device, name);
}

Tensor plain_contiguous(const Tensor& t) {
  if (t.is_contiguous()) return t;
  NoGradGuard guard;
  return contiguous(t);
}

struct SoftmaxNode final : Node {
  bool log;
  int dim;
  Saved y;
  const char* name() const override { return log ? "LogSoftmaxBackward0" : "SoftmaxBackward0"; }
  void release_saved() override { y.clear(); }
  void apply(Tensor* g_in, Tensor* gx) override {
    if (!wants(0)) return;
    Tensor g = g_in[0], out = y.unpack(this);
    if (records_gradient()) {
      if (log) gx[0] = g - exp(out) * sum(g, DimArray{dim}, true);
      else gx[0] = out * (g - sum(g * out, DimArray{dim}, true));
      return;
    }
    g.reset();
    const bool over = is_alone(g_in[0]) && g_in[0].is_contiguous() && g_in[0].dtype() == out.dtype();
    Tensor gc = plain_contiguous(g_in[0].dtype() == out.dtype() ? g_in[0] : to_dtype(g_in[0], out.dtype()));
    Tensor oc = plain_contiguous(out);
    gx[0] = over ? gc : Tensor::empty(oc.sizes(), oc.dtype(), oc.device());
    RowArgs args = row_args(gx[0], oc, dim);
    args.grad = gc.data();
    run_row(log ? Row::log_softmax_grad : Row::softmax_grad, args, oc.device(), name());
  }
};

struct CumulativeNode final : Node {
  Row op;
  int dim;
  bool reverse;
  DType in_dtype;
  DimList sizes;
  Saved x, y;  // cumprod, logcumsumexp: input and output; cummax: y holds the indices
  const char* name() const override {
    switch (op) {
      case Row::cumsum: return "CumsumBackward0";
      case Row::cumprod: return "CumprodBackward0";
      case Row::logcumsumexp: return "LogcumsumexpBackward0";
      case Row::cummax: return "CummaxBackward0";
      default: return "CumminBackward0";
    }
  }
  void release_saved() override { x.clear(), y.clear(); }
  void apply(Tensor* g_in, Tensor* gx) override {
    if (!wants(0)) return;
    Tensor g = g_in[0];
    if (op == Row::cumsum) {
      gx[0] = cumulative(g, dim, Row::cumsum, {}, !reverse);
    } else if (op == Row::cumprod) {
      gx[0] = cumprod_gradient(g, x.unpack(this), y.unpack(this));
    } else if (op == Row::logcumsumexp) {
      gx[0] = logcumsumexp_gradient(g, x.unpack(this), y.unpack(this));
    } else {
      if (sizes.size() == 0) {
        gx[0] = g;
        return;
      }
      gx[0] = scatter(zeros(sizes, g.dtype(), g.device()), dim, y.unpack(this), g, Scatter::add);
    }
    if (gx[0].dtype() != in_dtype) gx[0] = to_dtype(gx[0], in_dtype);
  }
  // The sum over i >= k of g_i exp(x_k - y_i), in logarithms; positive and negative g apart.
  Tensor logcumsumexp_gradient(const Tensor& g, const Tensor& input, const Tensor& out) {
    const auto part = [&](const Tensor& size) {
      Tensor counts = binary(Op::gt, size, 0.0);
      Tensor logs = where(counts, log(where(counts, size, 1.0)) - out, -__builtin_inf());
      return exp(cumulative(logs, dim, Row::logcumsumexp, {}, !reverse) + input);
    };
    return part(g) - part(-g);
  }
  Tensor cumprod_gradient(const Tensor& g, const Tensor& input, const Tensor& out) {
    if (sizes.size() == 0) return g;
    if (!any_zero(input)) return cumulative(g * conj(out), dim, Row::cumsum, {}, true) / conj(input);
    // With zeros: d(sum g_i y_i)/dx_k has y_i with x_k taken out, one k at a time.
    int64_t n = input.size(dim);
    Tensor place = arange(Scalar::of_int(0), Scalar::of_int(n), Scalar::of_int(1), DType::Int64, g.device());
    DimArray shape;
    for (int i = 0; i < input.dim(); ++i) shape.push(i == dim ? n : 1);
    place = view(place, shape);
    std::vector<Tensor> parts;
    for (int64_t k = 0; k < n; ++k) {
      Tensor without = where(binary(Op::eq, place, Scalar::of_int(k)), 1.0, input);
      Tensor products = cumulative(without, dim, Row::cumprod, {});
      parts.push_back(sum(narrow(conj(products) * g, dim, k, n - k), DimArray{dim}, true));
    }
    return cat(parts, dim);
  }
};

}  // namespace

static Tensor with_blind_lines(const Tensor& y, const Tensor& x, int dim) {
  NoGradGuard guard;
  // What is -inf throughout gave NaN throughout.
  if (x.numel() == 0 || (x.device().is_cpu() && !any_nan(x.dim() ? select(y, dim, 0) : y))) return y;
  return where(binary(Op::eq, amax(x, DimArray{dim}, true), -__builtin_inf()), 0.0, y);
}

Tensor softmax(const Tensor& t_in, int64_t dim, std::optional<DType> dtype, bool log, bool safe) {
  if (autocasting_cuda(t_in)) return without_autocast([&] { return softmax(to_float(t_in), dim, dtype, log, safe); });
  const char* name = log ? "log_softmax" : "softmax";
  int d = wrap_dim(dim, t_in.dim(), name);
  Tensor t = dtype ? to_dtype(t_in, *dtype) : t_in;
  FG_CHECK(is_floating(t.dtype()), NotImplemented, "\"", name, "_lastdim_kernel_impl\" not implemented for '",
           dtype_name(t.dtype()), "'");
  Tensor x = plain_contiguous(t);
  Tensor out = Tensor::empty(x.sizes(), x.dtype(), x.device());
  run_row(log ? Row::log_softmax : Row::softmax, row_args(out, x, d), x.device(), name);
  if (safe) out = with_blind_lines(out, x, d);
  if (should_record(t)) {
    auto node = make_node<SoftmaxNode>(t);
    node->log = log;
    node->dim = d;
    set_history(out, node);
    node->y.save(out, true);
  }
  return out;
}

Tensor cumulative(const Tensor& t_in, int64_t dim, Row op, std::optional<DType> dtype, bool reverse) {
  if (autocasting_cuda(t_in))
    return without_autocast([&] { return cumulative(to_float(t_in), dim, op, dtype, reverse); });
  const char* name = op == Row::cumsum ? "cumsum" : op == Row::cumprod ? "cumprod" : "logcumsumexp";
  FG_CHECK(op != Row::logcumsumexp || is_floating(t_in.dtype()), NotImplemented, "\"logcumsumexp_out_cpu\" not ",
           "implemented for '", dtype_name(t_in.dtype()), "'");
  int d = wrap_dim(dim, t_in.dim(), name);
  DType out_dtype = dtype ? *dtype : is_inexact(t_in.dtype()) ? t_in.dtype() : DType::Int64;
  Tensor t = to_dtype(t_in, out_dtype);
  Tensor x = plain_contiguous(t);
  Tensor out = Tensor::empty(x.sizes(), x.dtype(), x.device());
  bool complex = is_complex(out_dtype), parts = complex && op == Row::cumsum;
  RowArgs args = parts ? row_args(pairs_of(out), pairs_of(x), d) : row_args(out, x, d);
  if (parts && x.dim() == 0) args.inner = 2, args.size = 1;
  args.reverse = reverse;
  run_row(op, args, x.device(), name, complex && !parts);
  if (should_record(t)) {
    auto node = make_node<CumulativeNode>(t);
    node->op = op;
    node->dim = d;
    node->reverse = reverse;
    node->in_dtype = t.dtype();
    node->sizes = t.sizes();
    const bool values = op != Row::cumsum;
    if (values) node->x.save(t);
    set_history(out, node);
    if (values) node->y.save(out, true);
  }
  return out;
}

std::pair<Tensor, Tensor> cumulative_extremum(const Tensor& t, int64_t dim, bool minimum) {
  const char* name = minimum ? "cummin" : "cummax";
  FG_CHECK(!is_complex(t.dtype()), NotImplemented, "\"", name, "_cpu\" not implemented for '", dtype_name(t.dtype()),
           "'");
  int d = wrap_dim(dim, t.dim(), name);
  Tensor x = plain_contiguous(t);
  Tensor out = Tensor::empty(x.sizes(), x.dtype(), x.device());
  Tensor indices = Tensor::empty(x.sizes(), DType::Int64, x.device());
  RowArgs args = row_args(out, x, d);
  args.indices = indices.mutable_data<int64_t>();
  run_row(minimum ? Row::cummin : Row::cummax, args, x.device(), name);
  if (is_floating(t.dtype()) && should_record(t)) {
    auto node = make_node<CumulativeNode>(t);
    node->op = minimum ? Row::cummin : Row::cummax;
    node->dim = d;
    node->reverse = false;
    node->in_dtype = t.dtype();
    node->sizes = t.sizes();
    node->y.save(indices);
    set_history(out, node);
  }
  return {out, indices};
}

// ---- layer norm, and rms norm: the same without a mean

namespace {

struct LayerNormNode final : Node {
  int64_t outer, size;
  int dims;  // how many trailing dimensions are normalised
  double eps;
  Saved x, weight, mean_, rstd;
  bool has_weight, rms;
  const char* name() const override { return rms ? "FusedRmsNormBackward0" : "NativeLayerNormBackward0"; }
  void release_saved() override { x.clear(), weight.clear(), mean_.clear(), rstd.clear(); }

  void apply(Tensor* g_in, Tensor* gx) override {
    Tensor g = g_in[0], input = x.unpack(this), w = has_weight ? weight.unpack(this) : Tensor();
    if (records_gradient()) return recorded(g, input, w, gx);
    Tensor gc = plain_contiguous(g), xc = plain_contiguous(input), wc = w.defined() ? plain_contiguous(w) : w;
    Tensor m = rms ? Tensor() : mean_.unpack(this), r = rstd.unpack(this);
    LayerNormArgs args{};
    args.in = xc.data();
    args.grad = gc.data();
    args.weight = wc.defined() ? wc.data() : nullptr;
    args.mean = rms ? nullptr : m.mutable_data();
    args.rstd = r.mutable_data();
    args.dtype = xc.dtype();
    args.outer = outer;
    args.size = size;
    args.eps = eps;
    args.stream = Storage::current_stream(xc.device());
    DimArray shape;
    for (int i = input.dim() - dims; i < input.dim(); ++i) shape.push(input.size(i));
    if (wants(0)) gx[0] = Tensor::empty(xc.sizes(), xc.dtype(), xc.device());
    if (wants(1)) gx[1] = Tensor::empty(shape, xc.dtype(), xc.device());
    if (wants(2)) gx[2] = Tensor::empty(shape, xc.dtype(), xc.device());
    if (xc.numel() == 0) {
      for (int i = 0; i < 3; ++i)
        if (gx[i].defined()) gx[i] = zeros_like(gx[i]);
      return;
    }
    args.gx = wants(0) ? gx[0].mutable_data() : nullptr;
    args.gweight = wants(1) ? gx[1].mutable_data() : nullptr;
    args.gbias = wants(2) ? gx[2].mutable_data() : nullptr;
    GilRelease release(xc.numel());
    backend(xc.device()).layer_norm_grad(args);
  }

  void recorded(const Tensor& g, const Tensor& input, const Tensor& w, Tensor* gx) {
    DimArray last, first;
    for (int i = 0; i < input.dim(); ++i) (i < input.dim() - dims ? first : last).push(i);
    Tensor centered = rms ? input : input - mean(input, last, true);
    Tensor r = unary(Op::rsqrt, mean(centered * centered, last, true) + eps);
    Tensor hat = centered * r;
    Tensor gw = w.defined() ? g * w : g;
    Tensor rest = rms ? gw : gw - mean(gw, last, true);
    if (wants(0)) gx[0] = r * (rest - hat * mean(gw * hat, last, true));
    if (wants(1)) gx[1] = first.n ? sum(g * hat, first) : g * hat;
    if (wants(2)) gx[2] = first.n ? sum(g, first) : g;
  }
};

Tensor norm(const Tensor& t, Dims shape, const Tensor& weight, const Tensor& bias, double eps, bool rms) {
  FG_CHECK(!shape.empty(), Runtime,
           "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
           "element, but got normalized_shape = []");
  int n = static_cast<int>(shape.size());
  bool fits = t.dim() >= n;
  for (int i = 0; fits && i < n; ++i) fits = t.size(t.dim() - n + i) == shape[i];
  FG_CHECK(fits, Runtime, "Given normalized_shape=", size_text(shape), ", expected input with shape [*, ",
           size_text(shape).substr(1), ", but got input of size", size_text(t.sizes()));
  for (const Tensor* p : {&weight, &bias})
    if (p->defined()) {
      FG_CHECK(same(p->sizes(), shape), Runtime, "Expected ", p == &weight ? "weight" : "bias",
               " to be of same shape as normalized_shape, but got ", p == &weight ? "weight" : "bias", " of shape ",
               size_text(p->sizes()), " and normalized_shape = ", size_text(shape));
      FG_CHECK(p->device() == t.device(), Runtime,
               "layer_norm: Expected all tensors to be on the same device, but found ", device_name(t.device()),
               " and ", device_name(p->device()));
      FG_CHECK(p->dtype() == t.dtype(), Runtime, "layer_norm: expected input and parameters of one dtype, got ",
               dtype_name(t.dtype()), " and ", dtype_name(p->dtype()));
    }
  FG_CHECK(is_floating(t.dtype()), NotImplemented, "\"LayerNormKernelImpl\" not implemented for '",
           dtype_name(t.dtype()), "'");
  Tensor x = plain_contiguous(t);
  int64_t size = count_of(shape), outer = size ? t.numel() / size : 0;
  Tensor out = Tensor::empty(x.sizes(), x.dtype(), x.device());
  DType stat = x.dtype() == DType::Float64 ? DType::Float64 : DType::Float32;
  Tensor m = Tensor::empty(DimArray{outer}, stat, x.device()), r = Tensor::empty(DimArray{outer}, stat, x.device());
  Tensor wc = weight.defined() ? plain_contiguous(weight) : weight, bc = bias.defined() ? plain_contiguous(bias) : bias;
  if (x.numel()) {
    LayerNormArgs args{};
    args.out = out.mutable_data();
    args.in = x.data();
    args.weight = wc.defined() ? wc.data() : nullptr;
    args.bias = bc.defined() ? bc.data() : nullptr;
    args.mean = rms ? nullptr : m.mutable_data();
    args.rstd = r.mutable_data();
    args.dtype = x.dtype();
    args.outer = outer;
    args.size = size;
    args.eps = eps;
    args.stream = Storage::current_stream(x.device());
    GilRelease release(x.numel());
    backend(x.device()).layer_norm(args);
  }
  if (should_record(t, weight, bias)) {
    auto node = make_node<LayerNormNode>(t, weight, bias);
    node->outer = outer, node->size = size, node->dims = n, node->eps = eps;
    node->has_weight = weight.defined(), node->rms = rms;
    node->x.save(t);
    if (weight.defined()) node->weight.save(weight);
    if (!rms) node->mean_.save(m);
    node->rstd.save(r);
    set_history(out, node);
  }
  return out;
}

}  // namespace

Tensor layer_norm(const Tensor& t, Dims shape, const Tensor& weight, const Tensor& bias, double eps) {
  if (autocasting_cuda(t))
    return without_autocast([&] { return layer_norm(to_float(t), shape, to_float(weight), to_float(bias), eps); });
  return norm(t, shape, weight, bias, eps, false);
}

Tensor rms_norm(const Tensor& t, Dims shape, const Tensor& weight, double eps) {
  return norm(t, shape, weight, {}, eps, true);
}

}  // namespace fg
