// Ops that choose between rows, or check more than a row can: pow, where, clamp.
#include "ops/elementwise_dtype.h"

namespace fg {

namespace {

bool is_small_integer(Scalar s, int64_t v) { return s.f == static_cast<double>(v) && s.imaginary == 0; }

struct PowChoice {
  Op op;
  Scalar p;
};
// x ** 2 is x * x, and so on, as in torch: exact where pow() need not be. For float16 torch takes pow for the roots,
// which differs at -0 and -inf.
std::optional<PowChoice> pow_choice(const Tensor& base, Scalar e) {
  if (is_small_integer(e, 2)) return PowChoice{Op::square, {}};
  if (is_small_integer(e, 3)) return PowChoice{Op::cube, {}};
  if (is_inexact(base.dtype()) && e.imaginary == 0) {
    bool half = base.dtype() == DType::Float16;
    if (e.f == 0.5 && !half) return PowChoice{Op::sqrt, {}};
    if (e.f == -0.5 && !half) return PowChoice{Op::rsqrt, {}};
    if (e.f == -1) return PowChoice{Op::reciprocal, {}};
    if (e.f != 0) return PowChoice{Op::pow_scalar, e};
  }
  return {};
}

// The gradient of a root reads its result, that of a power its input: after `y = x ** 0.5`, y may be overwritten.
bool reads_result(Op op) { return op == Op::sqrt || op == Op::rsqrt || op == Op::reciprocal; }

struct RootNode final : Node {
  Saved x;
  double p;
  const char* name() const override { return "PowBackward0"; }
  void release_saved() override { x.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (!wants(0)) return;
    Tensor base = x.unpack(this);
    Tensor slope = mul(pow(base, p - 1), p);
    gx[0] = to_dtype(mul(g[0], is_complex(slope.dtype()) ? conj(slope) : slope), base.dtype());
  }
};

Ptr<RootNode> root_node(const Tensor& x, const Tensor& saved, Scalar e) {
  auto node = make_node<RootNode>(x);
  node->x.save(saved);
  node->p = e.f;
  return node;
}

void check_pow(Arg base, Arg exponent) {
  bool integers = (base.tensor ? is_integral(base.tensor->dtype()) : base.scalar.is_integral());
  if (integers && !exponent.tensor && exponent.scalar.is_integral())
    FG_CHECK(exponent.scalar.i >= 0, Runtime, "pow: Integers to negative integer powers are not allowed.");
}

}  // namespace

Tensor pow(Arg base, Arg exponent, const Tensor* out) {
  check_pow(base, exponent);
  if (base.tensor && !exponent.tensor) {
    DType t = base.tensor->dtype();
    bool keeps = exponent.scalar.is_complex() ? is_complex(t)
                                              : is_inexact(t) || (exponent.scalar.is_integral() && t != DType::Bool);
    if (keeps)
      if (auto choice = pow_choice(*base.tensor, exponent.scalar)) {
        Arg a[] = {base};
        if (!reads_result(choice->op) || out || !should_record(*base.tensor))
          return elementwise(choice->op, a, choice->p, {}, out);
        Tensor result;
        {
          NoGradGuard guard;
          result = elementwise(choice->op, a, choice->p);
        }
        set_history(result, root_node(*base.tensor, *base.tensor, exponent.scalar));
        return result;
      }
  }
  Arg a[] = {base, exponent};
  return elementwise(Op::pow, a, {}, {}, out);
}

void pow_(const Tensor& self, Arg exponent) {
  check_pow(self, exponent);
  if (!exponent.tensor && (is_inexact(self.dtype()) || exponent.scalar.is_integral()))
    if (auto choice = pow_choice(self, exponent.scalar)) {
      if (!reads_result(choice->op) || !should_record(self)) return elementwise_(choice->op, self, {}, choice->p);
      check_inplace(self, "pow_");
      auto node = root_node(self, clone(self), exponent.scalar);
      {
        NoGradGuard guard;
        elementwise_(choice->op, self, {}, choice->p);
      }
      return rebase_history(self, node);
    }
  Arg rest[] = {exponent};
  elementwise_(Op::pow, self, rest);
}

Tensor where(const Tensor& condition, Arg a, Arg b, const Tensor* out) {
  FG_CHECK(condition.dtype() == DType::Bool || condition.dtype() == DType::UInt8, Runtime,
           "where expected condition to be a boolean tensor, but got a tensor with dtype ",
           dtype_name(condition.dtype()));
  Arg args[] = {condition, a, b};
  return elementwise(Op::where, args, {}, {}, out);
}

namespace {

DType clamp_dtype(const Tensor& x, std::optional<Arg> low, std::optional<Arg> high) {
  FG_CHECK(low || high, Runtime, "torch.clamp: At least one of 'min' or 'max' must not be None");
  std::vector<Arg> args{Arg(x)};
  if (low) args.push_back(*low);
  if (high) args.push_back(*high);
  return result_type(args);
}

}  // namespace

namespace {

// The row and its arguments beyond the input for the given bounds.
struct ClampChoice {
  Op op;
  std::vector<Arg> rest;
  Scalar p, q;
};
ClampChoice clamp_choice(DType dtype, std::optional<Arg> low, std::optional<Arg> high, bool one_sided) {
  Scalar called = one_sided ? kCalledAs : Scalar{};
  if (!(low && low->tensor) && !(high && high->tensor)) {
    if (low && high) return {Op::clamp, {}, low->scalar, high->scalar};
    return {low ? Op::clamp_min : Op::clamp_max, {}, low ? low->scalar : high->scalar, called};
  }
  if (low && high) return {Op::clamp_tensor, {*low, *high}, {}, {}};
  if (!is_floating(dtype)) return {low ? Op::maximum : Op::minimum, {low ? *low : *high}, {}, {}};
  // With gradients, ties differ from those of maximum: all goes to the input.
  double far = std::numeric_limits<double>::infinity();
  if (low) return {Op::clamp_tensor, {*low, Arg(far)}, called, {}};
  return {Op::clamp_tensor, {Arg(-far), *high}, called, {}};
}

}  // namespace

Tensor clamp(const Tensor& x, std::optional<Arg> low, std::optional<Arg> high, const Tensor* out, bool one_sided) {
  DType dtype = clamp_dtype(x, low, high);
  ClampChoice c = clamp_choice(dtype, low, high, one_sided);
  Tensor input = c.rest.empty() && x.dtype() != dtype ? to_dtype(x, dtype) : x;
  std::vector<Arg> args{Arg(input)};
  args.insert(args.end(), c.rest.begin(), c.rest.end());
  return elementwise(c.op, args, c.p, c.q, out);
}

void clamp_(const Tensor& x, std::optional<Arg> low, std::optional<Arg> high, bool one_sided) {
  DType dtype = clamp_dtype(x, low, high);
  FG_CHECK(can_cast(dtype, x.dtype()), Runtime, "clamp_: result type ", dtype_name(dtype),
           " can't be cast to the desired output type ", dtype_name(x.dtype()));
  ClampChoice c = clamp_choice(dtype, low, high, one_sided);
  elementwise_(c.op, x, c.rest, c.p, c.q);
}

bool any_nan(const Tensor& t) {
  Tensor nan = unary(Op::isnan, t);
  return item(any(nan, {}, false, false)).i != 0;
}

bool any_zero(const Arg& a) {
  if (!a.tensor) return a.scalar.f == 0;
  if (a.tensor->numel() == 0) return false;
  NoGradGuard guard;
  return item(any(*a.tensor, {}, false, true)).i == 0;
}

}  // namespace fg
