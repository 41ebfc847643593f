// Draws by rejection: the checks, the backend's elementwise draw, and gradients. A gamma or Dirichlet number is
// differentiable by implicit reparametrisation (Figurnov et al. 2018): the slope of its quantile at fixed probability.
#include "ops/draw.h"

#include <cmath>

#include "ops/words.h"

namespace fg {

namespace {

// The gradient of a count, which is 0.
struct CountNode final : Node {
  bool of_binomial;
  const char* name() const override { return of_binomial ? "BinomialBackward0" : "PoissonBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = zeros_like(g[0]);
    if (of_binomial && wants(1)) gx[1] = zeros_like(g[0]);
  }
};

// There is no second derivative of a draw.
struct SlopeNode final : Node {
  bool of_gamma;
  const char* name() const override { return "NotImplemented"; }
  void apply(Tensor*, Tensor*) override {
    fail(ErrorKind::Runtime, "derivative for ", of_gamma ? "aten::_standard_gamma_grad" : "aten::_dirichlet_grad",
         " is not implemented");
  }
};

struct GammaNode final : Node {
  Saved alpha, x;
  const char* name() const override { return "StandardGammaBackward0"; }
  void release_saved() override { alpha.clear(), x.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = g[0] * standard_gamma_grad(alpha.unpack(this), x.unpack(this));
  }
};

struct DirichletNode final : Node {
  Saved alpha, x;
  const char* name() const override { return "SampleDirichletBackward0"; }
  void release_saved() override { alpha.clear(), x.clear(); }
  void apply(Tensor* g_in, Tensor* gx) override {
    if (!wants(0)) return;
    Tensor a = alpha.unpack(this), out = x.unpack(this), g = g_in[0];
    DimArray last{a.dim() - 1};
    Tensor slope = dirichlet_grad(out, a, expand(sum(a, last, true), a.sizes()));
    gx[0] = slope * (g - sum(out * g, last, true));
  }
};

Tensor draw(Draw kind, const char* name, const Tensor& a, const Tensor& b, const Tensor& c, Generator* generator) {
  DType dtype = a.dtype();
  FG_CHECK(dtype == DType::Float32 || dtype == DType::Float64, NotImplemented, "\"", name, "\" not implemented for '",
           dtype_name(dtype), "'");
  for (const Tensor* t : {&b, &c})
    FG_CHECK(!t->defined() || (t->dtype() == dtype && same(t->sizes(), a.sizes()) && t->device() == a.device()),
             Runtime, name, ": the arguments must have one shape, dtype and device");
  auto kernel = backend(a.device()).draw;
  FG_CHECK(kernel, NotImplemented, name, ": no kernel on ", device_name(a.device()));
  NoGradGuard guard;
  Tensor out = Tensor::empty(a.sizes(), dtype, a.device());
  if (out.numel() == 0) return out;
  Tensor ac = contiguous(a), bc = b.defined() ? contiguous(b) : b, cc = c.defined() ? contiguous(c) : c;
  DrawArgs args{};
  args.kind = kind, args.dtype = dtype, args.n = out.numel();
  args.out = out.mutable_data();
  args.a = ac.data();
  args.b = bc.defined() ? bc.data() : nullptr;
  args.c = cc.defined() ? cc.data() : nullptr;
  args.stream = Storage::current_stream(a.device());
  bool random = kind == Draw::gamma || kind == Draw::poisson || kind == Draw::binomial;
  GilRelease release(out.numel() * 16);
  if (!random) {
    kernel(args);
    return out;
  }
  Generator& source = generator ? *generator : default_generator(a.device());
  args.generator = source.device.is_cpu() ? static_cast<void*>(&source.host) : source.on_device;
  std::lock_guard lock(source.lock);
  kernel(args);
  return out;
}

double least(const Tensor& t) {
  NoGradGuard guard;
  return t.numel() ? item(extremum(t, true)).f : 0;
}

Tensor slope(const Tensor& out, bool of_gamma, const Tensor& a, const Tensor& b, const Tensor& c) {
  if (!should_record(a, b, c)) return out;
  auto node = make_node<SlopeNode>(a, b, c);
  node->of_gamma = of_gamma;
  set_history(out, node);
  return out;
}

}  // namespace

Tensor poisson(const Tensor& rate, Generator* generator) {
  FG_CHECK(is_floating(rate.dtype()), NotImplemented, "\"poisson_cpu\" not implemented for '", dtype_name(rate.dtype()),
           "'");
  FG_CHECK(least(rate) >= 0, Runtime, "invalid Poisson rate, expected rate to be non-negative");
  bool half = rate.dtype() != DType::Float32 && rate.dtype() != DType::Float64;
  Tensor out;
  {
    NoGradGuard guard;
    out = to_dtype(draw(Draw::poisson, "poisson_cpu", half ? to_dtype(rate, DType::Float32) : rate, {}, {}, generator),
                   rate.dtype());
  }
  if (should_record(rate)) {
    auto node = make_node<CountNode>(rate);
    node->of_binomial = false;
    set_history(out, node);
  }
  return out;
}

Tensor binomial(const Tensor& count, const Tensor& prob, Generator* generator) {
  FG_CHECK(count.dtype() == prob.dtype(), Runtime, "Found dtype ", dtype_name(prob.dtype()), " but expected ",
           dtype_name(count.dtype()));
  Tensor p = same(prob.sizes(), count.sizes()) ? prob : expand(prob, count.sizes());
  Tensor out = draw(Draw::binomial, "binomial_cpu", count, p, {}, generator);
  if (should_record(count, p)) {
    auto node = make_node<CountNode>(count, p);
    node->of_binomial = true;
    set_history(out, node);
  }
  return out;
}

Tensor standard_gamma(const Tensor& alpha, Generator* generator) {
  Tensor out = draw(Draw::gamma, "gamma_cpu", alpha, {}, {}, generator);
  if (should_record(alpha)) {
    auto node = make_node<GammaNode>(alpha);
    node->alpha.save(alpha);
    set_history(out, node);
    node->x.save(out, true);
  }
  return out;
}

// Gamma numbers over their sum, in double so that small concentrations do not all become 0.
Tensor sample_dirichlet(const Tensor& alpha, Generator* generator) {
  FG_CHECK(alpha.dtype() == DType::Float32 || alpha.dtype() == DType::Float64, NotImplemented,
           "\"dirichlet\" not implemented for '", dtype_name(alpha.dtype()), "'");
  FG_CHECK(alpha.dim() > 0, Runtime, "_sample_dirichlet: expected at least one dimension");
  Tensor out;
  {
    NoGradGuard guard;
    Tensor parts = draw(Draw::gamma, "dirichlet", to_dtype(alpha, DType::Float64), {}, {}, generator);
    bool single = alpha.dtype() == DType::Float32;
    double low = single ? std::numeric_limits<float>::min() : std::numeric_limits<double>::min();
    double high = single ? std::nextafter(1.0f, 0.0f) : std::nextafter(1.0, 0.0);
    out = clamp(to_dtype(parts / sum(parts, DimArray{alpha.dim() - 1}, true), alpha.dtype()), Arg(low), Arg(high));
  }
  if (should_record(alpha)) {
    auto node = make_node<DirichletNode>(alpha);
    node->alpha.save(alpha);
    set_history(out, node);
    node->x.save(out, true);
  }
  return out;
}

Tensor standard_gamma_grad(const Tensor& alpha, const Tensor& x) {
  return slope(draw(Draw::gamma_grad, "_standard_gamma_grad", alpha, x, {}, nullptr), true, alpha, x, {});
}

Tensor dirichlet_grad(const Tensor& x, const Tensor& alpha, const Tensor& total) {
  return slope(draw(Draw::dirichlet_grad, "_dirichlet_grad", x, alpha, total, nullptr), false, x, alpha, total);
}

}  // namespace fg
