// Losses: elementwise rows with their reduction in one node, and negative log likelihood.
#include "ops/autocast.h"
#include "ops/row_info.h"
#include "ops/words.h"

namespace fg {

namespace {

Tensor reduced(const Tensor& t, int reduction) { return reduction == 1 ? mean(t) : reduction == 2 ? sum(t) : t; }

struct LossNode final : Node {
  Op op;
  int reduction;
  double p;
  int64_t count;
  Saved in[2];
  DimList sizes[2];
  const char* name() const override { return row_info(op).node_name; }
  void release_saved() override { in[0].clear(), in[1].clear(); }
  void apply(Tensor* g_in, Tensor* gx) override {
    Tensor x[2] = {in[0].unpack(this), in[1].unpack(this)};
    Tensor g = reduction == 1 ? div(g_in[0], static_cast<double>(count)) : g_in[0];
    DType wanted[2] = {x[0].dtype(), x[1].dtype()};
    for (Tensor& t : x)
      if (t.dtype() == DType::Bool) t = to_dtype(t, g.dtype());  // bools have no minus
    for (int i = 0; i < 2; ++i)
      if (wants(i)) gx[i] = to_dtype(sum_to(row_gradient(op, i, g, x, Scalar::of(p)), sizes[i]), wanted[i]);
  }
};

}  // namespace

Tensor pointwise_loss(Op op, const Tensor& input, const Tensor& target, int reduction, double p) {
  if (autocasting(input))
    return without_autocast([&] { return pointwise_loss(op, to_float(input), to_float(target), reduction, p); });
  Tensor out;
  int64_t count;
  {
    NoGradGuard guard;
    Tensor each = binary(op, input, target, Scalar::of(p));
    count = each.numel();
    out = reduced(each, reduction);
  }
  if (should_record(input, target)) {
    auto node = make_node<LossNode>(input, target);
    node->op = op;
    node->reduction = reduction;
    node->p = p;
    node->count = count;
    node->in[0].save(input);
    node->in[1].save(target);
    node->sizes[0] = input.sizes();
    node->sizes[1] = target.sizes();
    set_history(out, node);
  }
  return out;
}

// ---- negative log likelihood

namespace {

struct NllShape {
  int64_t batch = 1, classes, spatial = 1;
  DimArray target;
};

NllShape nll_shape(const Tensor& input, const Tensor& target) {
  NllShape s;
  FG_CHECK(input.dim() > 0, Value, "Expected 1 or more dimensions (got 0)");
  if (input.dim() == 1) {
    s.classes = input.size(0);
    FG_CHECK(target.dim() <= 1 && target.numel() == 1, Value,
             "Expected input batch_size (1) to match target batch_size (", target.dim() ? target.size(0) : 0, ").");
    s.target = DimArray(target.sizes());
    return s;
  }
  s.batch = input.size(0);
  s.classes = input.size(1);
  s.target.push(s.batch);
  for (int i = 2; i < input.dim(); ++i) {
    s.spatial *= input.size(i);
    s.target.push(input.size(i));
  }
  FG_CHECK(target.dim() > 0 && target.size(0) == s.batch, Value, "Expected input batch_size (", s.batch,
           ") to match target batch_size (", target.dim() ? target.size(0) : 0, ").");
  FG_CHECK(same(target.sizes(), s.target), Runtime, "Expected target size ", size_text(s.target), ", got ",
           size_text(target.sizes()));
  return s;
}

Tensor plain(const Tensor& t) {
  NoGradGuard guard;
  return contiguous(t);
}

struct NllNode final : Node {
  int reduction;
  int64_t ignore_index;
  NllShape shape;
  Saved input, target, weight, total_weight;
  bool has_weight, is_2d;
  const char* name() const override { return is_2d ? "NllLoss2DBackward0" : "NllLossBackward0"; }
  void release_saved() override { input.clear(), target.clear(), weight.clear(), total_weight.clear(); }
  void apply(Tensor* g_in, Tensor* gx) override {
    if (!wants(0)) return;
    Tensor g = g_in[0], x = input.unpack(this), at = target.unpack(this),
           w = has_weight ? weight.unpack(this) : Tensor();
    Tensor total = total_weight.unpack(this);
    if (records_gradient()) {
      gx[0] = recorded(g, x, at, w, total);
      return;
    }
    Tensor gc = plain(g), ac = plain(at), wc = w.defined() ? plain(w) : w;
    gx[0] = Tensor::empty(x.sizes(), x.dtype(), x.device());
    if (gx[0].numel() == 0) return;
    NllArgs args{};
    args.gx = gx[0].mutable_data();
    args.total_weight = total.mutable_data();
    args.target = ac.data<int64_t>();
    args.weight = wc.defined() ? wc.data() : nullptr;
    args.grad = gc.data();
    args.dtype = x.dtype();
    args.batch = shape.batch, args.classes = shape.classes, args.spatial = shape.spatial;
    args.ignore_index = ignore_index;
    args.reduction = reduction;
    args.stream = Storage::current_stream(x.device());
    GilRelease release(x.numel());
    backend(x.device()).nll_loss_grad(args);
  }
  // Linear in g: minus the weight of each valid target, spread to its place.
  Tensor recorded(const Tensor& g, const Tensor& x, const Tensor& at, const Tensor& w, const Tensor& total) {
    Tensor valid, index, each;
    {
      NoGradGuard guard;
      valid = binary(Op::ne, at, Scalar::of_int(ignore_index));
      index = where(valid, at, Scalar::of_int(0));
      each = to_dtype(valid, x.dtype());
      if (w.defined()) {
        Tensor of = reshape(index_select(w, 0, reshape(index, DimArray{-1})), index.sizes());
        each = mul(each, of);
      }
    }
    Tensor value = -(reduction == 1 ? g / total : g) * each;
    int classes = x.dim() == 1 ? 0 : 1;
    Tensor place = x.dim() == 1 ? reshape(index, DimArray{1}) : unsqueeze(index, classes);
    Tensor source = x.dim() == 1 ? reshape(value, DimArray{1}) : unsqueeze(value, classes);
    return scatter(zeros(x.sizes(), x.dtype(), x.device()), classes, place, source, Scatter::add);
  }
};

}  // namespace

Tensor nll_loss(const Tensor& input, const Tensor& target_in, const Tensor& weight, int reduction,
                int64_t ignore_index) {
  if (autocasting(input))
    return without_autocast(
        [&] { return nll_loss(to_float(input), target_in, to_float(weight), reduction, ignore_index); });
  FG_CHECK(is_floating(input.dtype()), NotImplemented, "\"nll_loss_out_frame\" not implemented for '",
           dtype_name(input.dtype()), "'");
  FG_CHECK(target_in.dtype() == DType::Int64 || target_in.dtype() == DType::UInt8, Runtime,
           "expected scalar type Long but found ", dtype_name(target_in.dtype()), " (nll_loss: target)");
  FG_CHECK(input.device() == target_in.device(), Runtime,
           "nll_loss: Expected all tensors to be on the same device, but found ", device_name(input.device()), " and ",
           device_name(target_in.device()));
  NllShape shape = nll_shape(input, target_in);
  if (weight.defined()) {
    FG_CHECK(weight.dim() == 1 && weight.size(0) == shape.classes, Runtime,
             "weight tensor should be defined either for all ", shape.classes,
             " classes or no classes but got weight tensor of "
             "shape: ",
             size_text(weight.sizes()));
    FG_CHECK(weight.device() == input.device(), Runtime,
             "nll_loss: Expected all tensors to be on the same device, but found ", device_name(input.device()),
             " and ", device_name(weight.device()));
    FG_CHECK(weight.dtype() == input.dtype(), Runtime, "nll_loss: expected scalar type ", dtype_name(input.dtype()),
             " but found ", dtype_name(weight.dtype()), " (weight)");
  }
  Tensor x = plain(input),
         at = plain(target_in.dtype() == DType::Int64 ? target_in : to_dtype(target_in, DType::Int64));
  Tensor w = weight.defined() ? plain(weight) : weight;
  Tensor out = Tensor::empty(reduction == 0 ? shape.target : DimArray(), x.dtype(), x.device());
  Tensor total = zeros({}, x.dtype(), x.device());
  NllArgs args{};
  args.out = out.mutable_data();
  args.total_weight = total.mutable_data();
  args.in = x.data();
  args.target = at.data<int64_t>();
  args.weight = w.defined() ? w.data() : nullptr;
  args.dtype = x.dtype();
  args.batch = shape.batch, args.classes = shape.classes, args.spatial = shape.spatial;
  args.ignore_index = ignore_index;
  args.reduction = reduction;
  args.stream = Storage::current_stream(x.device());
  if (at.numel() || reduction != 0) {
    int64_t bad;
    {
      GilRelease release(x.numel());
      bad = backend(x.device()).nll_loss(args);
    }
    if (bad != -1) {
      NoGradGuard guard;
      int64_t value = item(select(reshape(at, DimArray{-1}), 0, bad)).i;
      fail(ErrorKind::Index, "Target ", value, " is out of bounds. (nll_loss: ", shape.classes, " classes)");
    }
  }
  if (should_record(input)) {
    auto node = make_node<NllNode>(input);
    node->reduction = reduction;
    node->ignore_index = ignore_index;
    node->shape = shape;
    node->has_weight = weight.defined();
    node->is_2d = input.dim() >= 3;
    node->input.save(input);
    node->target.save(at);
    if (weight.defined()) node->weight.save(weight);
    node->total_weight.save(total);
    set_history(out, node);
  }
  return out;
}

}  // namespace fg
