// Batch normalisation: statistics over all dimensions but the second, or the running ones; forward, then its gradient.
#include "ops/images.h"
#include "ops/words.h"

namespace fg {

namespace {

struct Layout3 {
  int64_t batch, channels, spatial;
};
Layout3 layout_of(const Tensor& x) {
  int64_t spatial = count_of(x.sizes().subspan(2));
  return {x.size(0), x.size(1), spatial};
}

DimArray column_of(const Tensor& x) {
  DimArray sizes{1, x.size(1)};
  for (int d = 2; d < x.dim(); ++d) sizes.push(1);
  return sizes;
}
DimArray others_of(const Tensor& x) {
  DimArray dims{0};
  for (int d = 2; d < x.dim(); ++d) dims.push(d);
  return dims;
}

BatchNormArgs make_args(const Tensor& x, bool train, double eps) {
  BatchNormArgs args{};
  Layout3 s = layout_of(x);
  args.dtype = x.dtype();
  args.train = train;
  args.in = x.data();
  args.batch = s.batch, args.channels = s.channels, args.spatial = s.spatial;
  args.eps = eps;
  args.stream = Storage::current_stream(x.device());
  return args;
}

Tensor in_dtype(const Tensor& t, DType dtype) { return t.defined() ? dense(to_dtype(t, dtype)) : t; }
const void* data_or_null(const Tensor& t) { return t.defined() ? t.data() : nullptr; }

struct BatchNormNode final : Node {
  bool train, has_weight;
  double eps;
  DType weight_dtype;
  Saved x, weight, mean_, rstd;
  const char* name() const override { return "NativeBatchNormBackward0"; }
  void release_saved() override { x.clear(), weight.clear(), mean_.clear(), rstd.clear(); }

  void apply(Tensor* g_in, Tensor* gx) override {
    Tensor input = x.unpack(this), w = has_weight ? weight.unpack(this) : Tensor();
    Tensor m = mean_.unpack(this), r = rstd.unpack(this);
    if (grad_enabled() || input.numel() == 0) return recorded(g_in[0], input, w, m, r, gx);
    DType compute = kernel_dtype(input.dtype());
    Tensor xc = in_dtype(input, compute), gc = in_dtype(g_in[0], compute), wc = in_dtype(w, compute);
    BatchNormArgs args = make_args(xc, train, eps);
    args.grad = gc.data();
    args.mean = const_cast<void*>(m.data());
    args.rstd = const_cast<void*>(r.data());
    args.weight = data_or_null(wc);
    Tensor out[3];
    if (wants(0)) out[0] = Tensor::empty(xc.sizes(), compute, xc.device()), args.gx = out[0].mutable_data();
    if (wants(1)) out[1] = Tensor::empty(m.sizes(), compute, xc.device()), args.gweight = out[1].mutable_data();
    if (wants(2)) out[2] = Tensor::empty(m.sizes(), compute, xc.device()), args.gbias = out[2].mutable_data();
    {
      GilRelease release(xc.numel());
      backend(xc.device()).batch_norm_grad(args);
    }
    if (wants(0)) gx[0] = to_dtype(out[0], input.dtype());
    for (int i = 1; i < 3; ++i)
      if (wants(i)) gx[i] = to_dtype(out[i], weight_dtype);
  }

  void recorded(const Tensor& g_in, const Tensor& input_in, const Tensor& w_in, const Tensor& m, const Tensor& r,
                Tensor* gx) {
    DimArray column = column_of(input_in), others = others_of(input_in);
    DType compute = m.dtype();
    Tensor g = to_dtype(g_in, compute), input = to_dtype(input_in, compute);
    Tensor centred = input - (train ? mean(input, others, true) : view(m, column));
    Tensor scale = train ? unary(Op::rsqrt, mean(centred * centred, others, true) + eps) : view(r, column);
    Tensor hat = centred * scale;
    Tensor slope = w_in.defined() ? scale * view(to_dtype(w_in, compute), column) : scale;
    if (wants(0)) {
      Tensor inner = train ? g - mean(g, others, true) - hat * mean(g * hat, others, true) : g;
      gx[0] = to_dtype(inner * slope, input_in.dtype());
    }
    if (wants(1)) gx[1] = to_dtype(sum(g * hat, others), weight_dtype);
    if (wants(2)) gx[2] = to_dtype(sum(g, others), weight_dtype);
  }
};

void check_arguments(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                     const Tensor& bias, bool training) {
  FG_CHECK(x.dim() >= 2, Runtime, "batch_norm: expected an input of at least 2 dimensions, got ", size_text(x.sizes()));
  FG_CHECK(is_floating(x.dtype()), NotImplemented, "\"batch_norm\" not implemented for '", dtype_name(x.dtype()), "'");
  struct Named {
    const Tensor& t;
    const char* name;
  };
  for (const Named& p : {Named{running_mean, "running_mean"}, Named{running_var, "running_var"},
                         Named{weight, "weight"}, Named{bias, "bias"}}) {
    if (!p.t.defined()) continue;
    FG_CHECK(p.t.numel() == x.size(1), Runtime, "batch_norm: ", p.name, " should contain ", x.size(1), " elements not ",
             p.t.numel());
    FG_CHECK(p.t.device() == x.device(), Runtime, "batch_norm: Expected all tensors to be on the same device, ", p.name,
             " is not");
    FG_CHECK(p.t.dtype() == x.dtype() || (item_size(x.dtype()) == 2 && p.t.dtype() == DType::Float32), Runtime,
             "batch_norm: mixed dtype: expected ", p.name, " of input's type ", dtype_name(x.dtype()), ", got ",
             dtype_name(p.t.dtype()));
  }
  for (const Named& p : {Named{running_mean, "running_mean"}, Named{running_var, "running_var"}})
    FG_CHECK(training || p.t.defined(), Runtime, "batch_norm: ", p.name, " must be defined in evaluation mode");
}

template <class T> void mix(T* running, const T* value, int64_t n, double momentum, double factor) {
  const T keep = static_cast<T>(1 - momentum), share = static_cast<T>(momentum), scale = static_cast<T>(factor);
  for (int64_t i = 0; i < n; ++i) {
    const T kept = running[i] * keep, scaled = value[i] * scale;
    running[i] = kept + scaled * share;
  }
}

// running <- (1 - momentum) * running + momentum * factor * value
void update(const Tensor& running, const Tensor& value, double momentum, double factor) {
  if (!running.defined()) return;
  const bool in_place = running.device().is_cpu() && running.is_contiguous() && running.dtype() == value.dtype();
  if (in_place && running.dtype() == DType::Float32) {
    check_inplace(running, "batch_norm");
    mix(running.mutable_data<float>(), value.data<float>(), value.numel(), momentum, factor);
    running.bump_version();
  } else if (in_place && running.dtype() == DType::Float64) {
    check_inplace(running, "batch_norm");
    mix(running.mutable_data<double>(), value.data<double>(), value.numel(), momentum, factor);
    running.bump_version();
  } else {
    const Tensor scaled = factor == 1 ? value : binary(Op::mul, value, factor);
    copy_(running, binary(Op::add, binary(Op::mul, running, 1 - momentum), binary(Op::mul, scaled, momentum)));
  }
}

}  // namespace

Tensor batch_norm(const Tensor& x_in, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, bool training, double momentum, double eps) {
  check_arguments(x_in, running_mean, running_var, weight, bias, training);
  Tensor out, m, r;
  const DType compute = kernel_dtype(x_in.dtype());
  {
    NoGradGuard guard;
    Tensor x = in_dtype(x_in, compute), wc = in_dtype(weight, compute), bc = in_dtype(bias, compute), v;
    const DimArray channel{x.size(1)};
    out = Tensor::empty(x.sizes(), compute, x.device());
    if (training) {
      m = Tensor::empty(channel, compute, x.device());
      v = Tensor::empty(channel, compute, x.device());
      r = Tensor::empty(channel, compute, x.device());
    } else {
      m = in_dtype(detach(running_mean), compute);
      r = unary(Op::rsqrt, binary(Op::add, to_dtype(detach(running_var), compute), eps));
    }
    if (x.numel()) {
      BatchNormArgs args = make_args(x, training, eps);
      args.out = out.mutable_data();
      args.mean = const_cast<void*>(m.data());
      args.var = const_cast<void*>(data_or_null(v));
      args.rstd = const_cast<void*>(r.data());
      args.weight = data_or_null(wc);
      args.bias = data_or_null(bc);
      auto kernel = backend(x.device()).batch_norm;
      if (!kernel) fail_no_kernel("batch_norm", x.device());
      GilRelease release(x.numel());
      kernel(args);
    }
    if (training && x.numel()) {
      const double count = static_cast<double>(x.numel() / x.size(1));
      update(running_mean, m, momentum, 1);
      update(running_var, v, momentum, count / (count - 1));
    }
    out = to_dtype(out, x_in.dtype());
  }
  if (should_record(x_in, weight, bias)) {
    auto node = make_node<BatchNormNode>(x_in, weight, bias);
    node->train = training;
    node->eps = eps;
    node->has_weight = weight.defined();
    node->weight_dtype = weight.defined() ? weight.dtype() : bias.defined() ? bias.dtype() : compute;
    node->x.save(x_in);
    if (weight.defined()) node->weight.save(weight);
    node->mean_.save(training ? m : clone(m));  // the running ones may change before backward
    node->rstd.save(r);
    set_history(out, node);
  }
  return out;
}

}  // namespace fg
