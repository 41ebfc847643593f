// Group normalisation by the kernels of batch normalisation: (N, C, ...) is one image of N * G channels for the
// statistics and one of N * C channels for scale and shift. With xh = (x - mean) * rstd and gw = g * weight, group by
// group:
//
//   gx = rstd * (gw - mean of gw - xh * mean of gw * xh)     gweight = sum of g * xh,  gbias = sum of g
//
// where every mean follows from the sums of g and g * xh of single channels of single images, which one pass gives.
#include "ops/autocast.h"
#include "ops/images.h"
#include "ops/words.h"

namespace fg {

namespace {

struct Groups {
  int64_t batch, channels, groups, span, spatial;  // span: channels of a group
};

BatchNormArgs rows_of(const Tensor& x, int64_t rows) {
  BatchNormArgs args{};
  args.dtype = x.dtype();
  args.in = x.data();
  args.batch = 1, args.channels = rows, args.spatial = x.numel() / rows;
  args.stream = Storage::current_stream(x.device());
  return args;
}

// One number of each (image, group) or each channel to (N * C).
Tensor spread(const Tensor& t, const Groups& s, bool by_channel) {
  Tensor wide = by_channel ? expand(view(t, DimArray{1, s.channels}), DimArray{s.batch, s.channels})
                           : expand(view(t, DimArray{s.batch, s.groups, 1}), DimArray{s.batch, s.groups, s.span});
  return contiguous(reshape(wide, DimArray{s.batch * s.channels}));
}

DimArray grouped(const Groups& s) { return {s.batch, s.groups, s.span, s.spatial}; }

struct GroupNormNode final : Node {
  Groups s;
  double eps;
  bool has_weight;
  DType weight_dtype;
  Saved x, weight, mean_, rstd;
  const char* name() const override { return "NativeGroupNormBackward0"; }
  void release_saved() override { x.clear(), weight.clear(), mean_.clear(), rstd.clear(); }

  void apply(Tensor* g_in, Tensor* gx) override {
    Tensor input = x.unpack(this), w = has_weight ? weight.unpack(this) : Tensor();
    Tensor m = mean_.unpack(this), r = rstd.unpack(this);
    if (grad_enabled() || input.numel() == 0) return recorded(g_in[0], input, w, gx);
    const DType compute = m.dtype();
    Tensor xc = dense(to_dtype(input, compute)), g = dense(to_dtype(g_in[0], compute));
    Tensor mean_c = spread(m, s, false), rstd_c = spread(r, s, false);
    Tensor sum_gxh = empty_like(mean_c), sum_g = empty_like(mean_c);
    BatchNormArgs args = rows_of(xc, s.batch * s.channels);
    args.grad = g.data();
    args.mean = mean_c.mutable_data(), args.rstd = rstd_c.mutable_data();
    args.gweight = sum_gxh.mutable_data(), args.gbias = sum_g.mutable_data();
    {
      GilRelease release(xc.numel());
      backend(xc.device()).batch_norm_grad(args);
    }
    const DimArray images{s.batch, s.channels}, groups{s.batch, s.groups, s.span};
    if (wants(1)) gx[1] = to_dtype(sum(view(sum_gxh, images), DimArray{0}), weight_dtype);
    if (wants(2)) gx[2] = to_dtype(sum(view(sum_g, images), DimArray{0}), weight_dtype);
    if (!wants(0)) return;
    Tensor scale = rstd_c;  // of g
    if (w.defined()) {
      Tensor wc = spread(to_dtype(w, compute), s, true);
      sum_g = mul(sum_g, wc), sum_gxh = mul(sum_gxh, wc), scale = mul(scale, wc);
    }
    const double count = static_cast<double>(s.span * s.spatial);
    Tensor mean_g = div(sum(view(sum_g, groups), DimArray{2}), count),
           mean_gxh = div(sum(view(sum_gxh, groups), DimArray{2}), count);
    const DimArray column{s.batch, s.groups, 1};
    Tensor rg = view(r, column);
    Tensor shift = spread(reshape(rg * view(mean_g, column), DimArray{s.batch * s.groups}), s, false);
    Tensor slope = spread(reshape(rg * rg * view(mean_gxh, column), DimArray{s.batch * s.groups}), s, false);
    Tensor out = Tensor::empty(xc.sizes(), compute, xc.device());
    args = rows_of(xc, s.batch * s.channels);
    args.train = 2;
    args.grad = g.data();
    args.gx = out.mutable_data();
    args.mean = mean_c.mutable_data(), args.rstd = scale.mutable_data();
    args.var = slope.mutable_data(), args.bias = shift.data();
    GilRelease release(xc.numel());
    backend(xc.device()).batch_norm_grad(args);
    gx[0] = to_dtype(out, input.dtype());
  }

  void recorded(const Tensor& g_in, const Tensor& input, const Tensor& w, Tensor* gx) {
    const DType compute = kernel_dtype(input.dtype());
    const DimArray all = grouped(s), inner{2, 3}, per_channel{0, 3}, column{1, s.groups, s.span, 1},
                   channels{s.channels};
    Tensor g = reshape(to_dtype(g_in, compute), all), xg = reshape(to_dtype(input, compute), all);
    Tensor centred = xg - mean(xg, inner, true);
    Tensor r = unary(Op::rsqrt, mean(centred * centred, inner, true) + eps), hat = centred * r;
    if (wants(1)) gx[1] = to_dtype(reshape(sum(g * hat, per_channel), channels), weight_dtype);
    if (wants(2)) gx[2] = to_dtype(reshape(sum(g, per_channel), channels), weight_dtype);
    if (!wants(0)) return;
    Tensor gw = w.defined() ? g * view(to_dtype(w, compute), column) : g;
    Tensor inside = gw - mean(gw, inner, true) - hat * mean(gw * hat, inner, true);
    gx[0] = to_dtype(reshape(inside * r, input.sizes()), input.dtype());
  }
};

}  // namespace

Tensor group_norm(const Tensor& x_in, int64_t groups, const Tensor& weight, const Tensor& bias, double eps) {
  if (autocasting_cuda(x_in))
    return without_autocast([&] { return group_norm(to_float(x_in), groups, to_float(weight), to_float(bias), eps); });
  FG_CHECK(x_in.dim() >= 2, Runtime, "Expected at least 2 dimensions for input tensor but received ", x_in.dim());
  FG_CHECK(groups > 0, Runtime, "Expected num groups to be greater than 0, got ", groups);
  FG_CHECK(x_in.size(1) % groups == 0, Runtime,
           "Expected number of channels in input to be divisible by num_groups, but got input of shape ",
           size_text(x_in.sizes()), " and num_groups=", groups);
  FG_CHECK(is_floating(x_in.dtype()), NotImplemented, "\"GroupNormKernelImpl\" not implemented for '",
           dtype_name(x_in.dtype()), "'");
  for (const Tensor* p : {&weight, &bias}) {
    if (!p->defined()) continue;
    const char* name = p == &weight ? "weight" : "bias";
    FG_CHECK(p->dim() == 1 && p->numel() == x_in.size(1), Runtime, "Expected ", name,
             " to be a vector of size equal to the number of channels in input, but got ", name, " of shape ",
             size_text(p->sizes()), " and input of shape ", size_text(x_in.sizes()));
    FG_CHECK(p->dtype() == x_in.dtype() || (item_size(x_in.dtype()) == 2 && p->dtype() == DType::Float32), Runtime,
             "group_norm: mixed dtype: ", name, " is ", dtype_name(p->dtype()), ", input ", dtype_name(x_in.dtype()));
  }
  const DType compute = kernel_dtype(x_in.dtype());
  Groups s{x_in.size(0), x_in.size(1), groups, x_in.size(1) / groups, count_of(x_in.sizes().subspan(2))};
  Tensor out, m, r;
  {
    NoGradGuard guard;
    Tensor x = dense(to_dtype(x_in, compute));
    const DimArray rows{s.batch * s.groups};
    out = Tensor::empty(x.sizes(), compute, x.device());
    m = Tensor::empty(rows, compute, x.device());
    r = Tensor::empty(rows, compute, x.device());
    if (x.numel()) {
      auto kernel = backend(x.device()).batch_norm;
      if (!kernel) fail_no_kernel("group_norm", x.device());
      Tensor v = empty_like(m);
      BatchNormArgs args = rows_of(x, s.batch * s.groups);  // out stays null: statistics alone
      args.train = 1;
      args.eps = eps;
      args.mean = m.mutable_data(), args.var = v.mutable_data(), args.rstd = r.mutable_data();
      Tensor mean_c, rstd_c, wc, bc;
      {
        GilRelease release(x.numel());
        kernel(args);
      }
      mean_c = spread(m, s, false), rstd_c = spread(r, s, false);
      if (weight.defined()) wc = spread(to_dtype(weight, compute), s, true);
      if (bias.defined()) bc = spread(to_dtype(bias, compute), s, true);
      args = rows_of(x, s.batch * s.channels);
      args.out = out.mutable_data();
      args.mean = mean_c.mutable_data(), args.rstd = rstd_c.mutable_data();
      args.weight = wc.defined() ? wc.data() : nullptr, args.bias = bc.defined() ? bc.data() : nullptr;
      GilRelease release(x.numel());
      kernel(args);
    }
    out = to_dtype(out, x_in.dtype());
  }
  if (should_record(x_in, weight, bias)) {
    auto node = make_node<GroupNormNode>(x_in, weight, bias);
    node->s = s;
    node->eps = eps;
    node->has_weight = weight.defined();
    node->weight_dtype = weight.defined() ? weight.dtype() : bias.defined() ? bias.dtype() : compute;
    node->x.save(x_in);
    if (weight.defined()) node->weight.save(weight);
    node->mean_.save(m);
    node->rstd.save(r);
    set_history(out, node);
  }
  return out;
}

}  // namespace fg
