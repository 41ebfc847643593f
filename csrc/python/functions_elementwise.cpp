// Functions and methods of the elementwise rows. Those without parameters come straight from the tables; the rest by
// hand.
#include "ops/autocast.h"
#include "ops/row_info.h"
#include "python/functions.h"

namespace fg::py {

namespace {

// Rows that are exposed by hand below (other arguments), or not at all.
constexpr bool by_hand(Op op) {
  return one_of(op, {Op::gelu,
                     Op::gelu_tanh,
                     Op::softplus,
                     Op::elu,
                     Op::celu,
                     Op::pow_scalar,
                     Op::cube,
                     Op::nan_to_num,
                     Op::leaky_relu,
                     Op::threshold,
                     Op::clamp,
                     Op::clamp_min,
                     Op::clamp_max,
                     Op::hardtanh,
                     Op::softshrink,
                     Op::hardshrink,
                     Op::round,
                     Op::add,
                     Op::add_scaled,
                     Op::sub,
                     Op::div,
                     Op::trunc_divide,
                     Op::pow,
                     Op::mse_loss,
                     Op::smooth_l1_loss,
                     Op::huber_loss,
                     Op::binary_cross_entropy,
                     Op::binary_cross_entropy_with_logits,
                     Op::where,
                     Op::addcmul,
                     Op::addcdiv,
                     Op::lerp,
                     Op::clamp_tensor,
                     Op::polygamma,
                     Op::special_plain,
                     Op::special_polynomial,
                     Op::special_zeta,
                     Op::igamma,
                     Op::igammac});
}

// Rows named special_* belong to torch.special, which has functions only.
constexpr bool is_special(const char* name) {
  for (const char* c = "special_"; *c; ++c, ++name)
    if (*c != *name) return false;
  return true;
}
constexpr unsigned flags_of(Op op, const char* name, bool in_place) {
  if (by_hand(op)) return 0;
  if (is_special(name)) return in_place ? 0 : kFunction;
  return kBoth;
}

const Tensor* out_of(const Call& c, int i) {
  if (!c.has(i)) return nullptr;
  return &c.tensor(i);
}
PyObject* done(const Call& c, int i, Tensor result) { return c.has(i) ? same_object(c, i) : wrap(std::move(result)); }

template <Op op>
PyObject* unary_fn(Call& c) {
  Arg a[] = {c.tensor(0)};
  return done(c, 1, elementwise(op, a, {}, {}, out_of(c, 1)));
}
template <Op op>
PyObject* unary_inplace(Call& c) {
  elementwise_(op, c.tensor(0), {});
  return same_object(c);
}
// Where torch takes no number: bit 0 for the first argument, bit 1 for the second.
constexpr unsigned tensors_only(Op op) {
  if (one_of(op, {Op::maximum, Op::minimum, Op::fmax, Op::fmin, Op::atan2, Op::hypot, Op::logaddexp, Op::logical_and,
                  Op::logical_or, Op::logical_xor, Op::gcd, Op::lcm}))
    return 3;
  if (one_of(op, {Op::eq, Op::ne, Op::lt, Op::le, Op::gt, Op::ge, Op::fmod, Op::copysign})) return 1;
  return 0;
}
template <Op op>
void check_tensors(const Call& c) {
  for (int i = 0; i < 2; ++i)
    if ((tensors_only(op) >> i & 1) && !c.is_tensor(i)) c.type_error(i, "Tensor");
}
template <Op op>
PyObject* binary_fn(Call& c) {
  check_tensors<op>(c);
  Arg a[] = {c.arg(0), c.arg(1)};
  if (!a[0].tensor && !a[1].tensor) c.type_error(0, "Tensor");
  if constexpr (op == Op::logaddexp)
    if (is_complex(c.tensor(0).dtype()) || is_complex(c.tensor(1).dtype()))
      return finish(c, 2, complex_logaddexp(c.tensor(0), c.tensor(1)));
  return done(c, 2, elementwise(op, a, {}, {}, out_of(c, 2)));
}
template <Op op>
PyObject* binary_inplace(Call& c) {
  check_tensors<op>(c);
  Arg rest[] = {c.arg(1)};
  elementwise_(op, c.tensor(0), rest);
  return same_object(c);
}

#define AUTO1(name)                                                                             \
  {#name, flags_of(Op::name, #name, false), "input, *, out=None", unary_fn<Op::name>, nullptr}, \
      {#name "_", flags_of(Op::name, #name, true), "input", unary_inplace<Op::name>, nullptr},
#define AUTO2(name)                                                                                     \
  {#name, flags_of(Op::name, #name, false), "input, other, *, out=None", binary_fn<Op::name>, nullptr}, \
      {#name "_", flags_of(Op::name, #name, true), "input, other", binary_inplace<Op::name>, nullptr},

constexpr FunctionDef rows[] = {
#define UNARY_FLOAT(name, ...) AUTO1(name)
#define UNARY_ANY(name, ...) AUTO1(name)
#define UNARY_TEST(name, ...) AUTO1(name)
#define BINARY_FLOAT(name, ...) AUTO2(name)
#define BINARY_ANY(name, ...) AUTO2(name)
#define BINARY_TEST(name, ...) AUTO2(name)
#define BITWISE(name, ...) AUTO2(name)
#include "ops/elementwise.def"
};
Signature rows_signatures[sizeof(rows) / sizeof(rows[0])];

// ---- rows with parameters

template <Op op>  // one parameter p after the input
PyObject* with_p(Call& c) {
  Arg a[] = {c.tensor(0)};
  return wrap(elementwise(op, a, c.scalar(1)));
}
template <Op op>
PyObject* with_p_(Call& c) {
  elementwise_(op, c.tensor(0), {}, c.scalar(1));
  return same_object(c);
}
template <Op op, int default_p, int default_q>
PyObject* with_pq(Call& c) {
  Arg a[] = {c.tensor(0)};
  return wrap(elementwise(op, a, c.scalar(1, Scalar::of_int(default_p)), c.scalar(2, Scalar::of_int(default_q))));
}
template <Op op, int default_p, int default_q>
PyObject* with_pq_(Call& c) {
  elementwise_(op, c.tensor(0), {}, c.scalar(1, Scalar::of_int(default_p)), c.scalar(2, Scalar::of_int(default_q)));
  return same_object(c);
}

// ---- special functions

// The derivative for the first argument is not known.
template <Op op>
PyObject* second_only(Call& c) {
  Arg a[] = {c.arg(0), c.arg(1)};
  if (op != Op::special_zeta)
    for (int i = 0; i < 2; ++i)
      if (!a[i].tensor) c.type_error(i, "Tensor");
  if (!a[0].tensor && !a[1].tensor) c.type_error(0, "Tensor");
  Tensor first;
  if (a[0].tensor && should_record(*a[0].tensor)) {
    first = refuse_gradient(*a[0].tensor, op == Op::special_zeta ? "zeta"
                                          : op == Op::igamma     ? "igamma: input"
                                                                 : "igammac: input");
    a[0] = Arg(first);
  }
  return done(c, 2, elementwise(op, a, {}, {}, out_of(c, 2)));
}
template <Op op>
PyObject* second_only_(Call& c) {
  const Tensor& t = c.tensor(0);
  FG_CHECK(!should_record(t), NotImplemented, "the derivative for '", c.signature.name, "' is not implemented.");
  Arg rest[] = {c.tensor(1)};
  elementwise_(op, t, rest);
  return same_object(c);
}

Scalar derivative_number(const Call& c, int i) {
  int64_t n = c.integer(i);
  FG_CHECK(n >= 0, Runtime, "polygamma(n, x) does not support negative n.");
  return Scalar::of_int(n);
}
PyObject* polygamma_args(Call& c, int n, int x) {
  Arg a[] = {c.tensor(x)};
  return done(c, 2, elementwise(Op::polygamma, a, derivative_number(c, n), {}, out_of(c, 2)));
}

// Functions of torch.special without a gradient: (which, input), (which, input, n).
PyObject* special_plain(Call& c) {
  NoGradGuard guard;
  Arg a[] = {c.tensor(1)};
  return done(c, 2, elementwise(Op::special_plain, a, Scalar::of_int(c.integer(0)), {}, out_of(c, 2)));
}
PyObject* special_polynomial(Call& c) {
  NoGradGuard guard;
  Arg a[] = {c.arg(1), c.arg(2)};
  if (!a[0].tensor && !a[1].tensor) c.type_error(1, "Tensor");
  return done(c, 3, elementwise(Op::special_polynomial, a, Scalar::of_int(c.integer(0)), {}, out_of(c, 3)));
}

bool is_one(const Call& c, int i) {
  if (!c.has(i)) return true;
  Scalar s = c.scalar(i);
  return s.f == 1 && s.imaginary == 0;
}
// Parameters of rows are real: an op with a complex one is put together from rows without it.
bool complex_factor(const Call& c, int i) { return c.has(i) && c.scalar(i).is_complex(); }

void check_alpha(const Call& c, Args args) {
  if (!c.has(2)) return;
  DType t = result_type(args);
  FG_CHECK(is_inexact(t) || c.scalar(2).is_integral(), Runtime,
           "For integral input tensors, argument alpha must not be a floating point number.");
  FG_CHECK(t == DType::Bool || c.scalar(2).kind != Scalar::Bool, Runtime,
           "Boolean alpha only supported for Boolean results.");
}
void check_minus(Args args) {
  for (const Arg& a : args)
    FG_CHECK(
        a.tensor ? a.tensor->dtype() != DType::Bool : a.scalar.kind != Scalar::Bool, Runtime,
        "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the "
        "`~` or `logical_not()` operator instead.");
}

Scalar negated(Scalar s) { return {s.kind == Scalar::Bool ? Scalar::Int : s.kind, -s.f, -s.i, -s.imaginary}; }

PyObject* add_like(Call& c, bool minus) {
  Arg a[] = {c.arg(0), c.arg(1)};
  if (!a[0].tensor && !a[1].tensor) c.type_error(0, "Tensor");
  const Tensor* out = out_of(c, 3);
  check_alpha(c, a);
  if (is_one(c, 2)) return done(c, 3, elementwise(minus ? Op::sub : Op::add, a, {}, {}, out));
  if (minus) check_minus(a);
  if (complex_factor(c, 2)) {
    FG_CHECK(is_complex(result_type(a)), Runtime,
             "For non-complex input tensors, argument alpha must not be a complex number.");
    return finish(c, 3,
                  binary(minus ? Op::sub : Op::add, a[0], mul(a[1].tensor ? a[1] : wrapped(a[1].scalar), c.scalar(2))));
  }
  return done(
      c, 3,
      elementwise(Op::add_scaled, a, minus ? negated(c.scalar(2)) : c.scalar(2), minus ? kCalledAs : Scalar{}, out));
}
PyObject* add_like_(Call& c, bool minus) {
  Arg all[] = {c.tensor(0), c.arg(1)};
  Args rest = Args(all).subspan(1);
  check_alpha(c, all);
  if (is_one(c, 2)) {
    elementwise_(minus ? Op::sub : Op::add, c.tensor(0), rest);
  } else if (complex_factor(c, 2)) {
    FG_CHECK(is_complex(result_type(all)), Runtime,
             "For non-complex input tensors, argument alpha must not be a complex number.");
    Tensor scaled = mul(all[1].tensor ? all[1] : wrapped(all[1].scalar), c.scalar(2));
    Arg added[] = {scaled};
    elementwise_(minus ? Op::sub : Op::add, c.tensor(0), added);
  } else {
    if (minus) check_minus(all);
    elementwise_(Op::add_scaled, c.tensor(0), rest, minus ? negated(c.scalar(2)) : c.scalar(2),
                 minus ? kCalledAs : Scalar{});
  }
  return same_object(c);
}

Op division(const Call& c) {
  const char* mode = c.text(2, nullptr);
  if (!mode) return Op::div;
  std::string m = mode;
  FG_CHECK(m == "floor" || m == "trunc", Runtime,
           "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '", m, "'");
  return m == "floor" ? Op::floor_divide : Op::trunc_divide;
}

Tensor rounded(const Tensor& t, int64_t decimals, const Tensor* out) {
  Arg a[] = {t};
  if (decimals == 0) return elementwise(Op::round, a, {}, {}, out);
  FG_CHECK(is_floating(t.dtype()), NotImplemented, "\"round_cpu\" not implemented for '", dtype_name(t.dtype()),
           "' with decimals");
  double scale = 1;
  for (int64_t i = 0; i < (decimals < 0 ? -decimals : decimals); ++i) scale *= 10;
  Tensor shifted = decimals > 0 ? mul(t, scale) : div(t, scale);
  Tensor whole = unary(Op::round, shifted);
  return decimals > 0 ? div(whole, scale) : mul(whole, scale);
}

Op gelu_op(const Call& c, int i) {
  std::string how = c.text(i, "none");
  FG_CHECK(how == "none" || how == "tanh", Runtime, "approximate argument must be either none or tanh.");
  return how == "tanh" ? Op::gelu_tanh : Op::gelu;
}

// ~x: for bool the other value, for integers all bits.
PyObject* bitwise_not(Call& c) {
  Arg a[] = {c.tensor(0), Scalar::of_int(-1)};
  if (a[0].tensor->dtype() == DType::Bool)
    return done(c, 1, elementwise(Op::logical_not, Args(a).first(1), {}, {}, out_of(c, 1)));
  return done(c, 1, elementwise(Op::bitwise_xor, a, {}, {}, out_of(c, 1)));
}
PyObject* bitwise_not_(Call& c) {
  Arg rest[] = {Scalar::of_int(-1)};
  if (c.tensor(0).dtype() == DType::Bool) elementwise_(Op::logical_not, c.tensor(0), {});
  else elementwise_(Op::bitwise_xor, c.tensor(0), rest);
  return same_object(c);
}

PyObject* lerp_args(Call& c, bool in_place) {
  Arg weight = c.arg(2);
  DType dtype = c.tensor(0).dtype();
  FG_CHECK(is_inexact(dtype), NotImplemented, "lerp: not implemented for ", dtype_name(dtype),
           ", only for floating point");
  FG_CHECK(c.tensor(1).dtype() == dtype, Runtime, "lerp: expected dtype ", dtype_name(dtype),
           " for `end` but got dtype ", dtype_name(c.tensor(1).dtype()));
  const bool number = !weight.tensor || (weight.tensor->dim() == 0 && is_floating(weight.tensor->dtype()));
  FG_CHECK(number || weight.tensor->dtype() == dtype, Runtime, "lerp: expected dtype ", dtype_name(dtype),
           " for `weight` but got dtype ", dtype_name(weight.tensor->dtype()));
  if (in_place) {
    Arg rest[] = {c.tensor(1), weight};
    elementwise_(Op::lerp, c.tensor(0), rest);
    return same_object(c);
  }
  Arg a[] = {c.tensor(0), c.tensor(1), weight};
  return done(c, 3, elementwise(Op::lerp, a, {}, {}, out_of(c, 3)));
}

template <Op op>
void check_addc(const Call& c) {
  FG_CHECK(op != Op::addcdiv || is_inexact(c.tensor(1).dtype()) || is_inexact(c.tensor(2).dtype()), Runtime,
           "addcdiv: integer division is not supported, got ", dtype_name(c.tensor(1).dtype()), " and ",
           dtype_name(c.tensor(2).dtype()), "; make one of them floating point or use div with rounding_mode");
}
template <Op op>
PyObject* addc(Call& c) {
  check_addc<op>(c);
  Arg a[] = {c.tensor(0), c.tensor(1), c.tensor(2)};
  if (complex_factor(c, 3))
    return finish(c, 4, add(a[0], mul(binary(op == Op::addcmul ? Op::mul : Op::div, a[1], a[2]), c.scalar(3))));
  return done(c, 4, elementwise(op, a, c.scalar(3, Scalar::of_int(1)), {}, out_of(c, 4)));
}
template <Op op>
PyObject* addc_(Call& c) {
  check_addc<op>(c);
  Arg rest[] = {c.tensor(1), c.tensor(2)};
  if (complex_factor(c, 3)) {
    Tensor scaled = mul(binary(op == Op::addcmul ? Op::mul : Op::div, rest[0], rest[1]), c.scalar(3));
    Arg added[] = {scaled};
    elementwise_(Op::add, c.tensor(0), added);
    return same_object(c);
  }
  elementwise_(op, c.tensor(0), rest, c.scalar(3, Scalar::of_int(1)));
  return same_object(c);
}

constexpr FunctionDef hand[] = {
    {"add", kBoth, "input, other, *, alpha=1, out=None", [](Call& c) { return add_like(c, false); },
     "input + alpha * other"},
    {"add_", kBoth, "input, other, *, alpha=1", [](Call& c) { return add_like_(c, false); }, nullptr},
    {"sub", kBoth, "input, other, *, alpha=1, out=None", [](Call& c) { return add_like(c, true); },
     "input - alpha * other"},
    {"sub_", kBoth, "input, other, *, alpha=1", [](Call& c) { return add_like_(c, true); }, nullptr},
    {"rsub", kBoth, "input, other, *, alpha=1",
     [](Call& c) {
       Arg y = c.arg(1);
       if (is_one(c, 2)) return wrap(sub(y, c.tensor(0)));
       Tensor scaled = mul(c.tensor(0), c.scalar(2));
       return wrap(sub(y, scaled));
     },
     "other - alpha * input"},
    {"div", kBoth, "input, other, *, rounding_mode=None, out=None",
     [](Call& c) {
       Arg a[] = {c.arg(0), c.arg(1)};
       if (!a[0].tensor && !a[1].tensor) c.type_error(0, "Tensor");
       return done(c, 3, elementwise(division(c), a, kCalledAs, {}, out_of(c, 3)));
     },
     "input / other; rounding_mode None, \"trunc\" or \"floor\""},
    {"div_", kBoth, "input, other, *, rounding_mode=None",
     [](Call& c) {
       Arg rest[] = {c.arg(1)};
       elementwise_(division(c), c.tensor(0), rest, kCalledAs);
       return same_object(c);
     },
     nullptr},
    {"pow", kBoth, "input, exponent, *, out=None",
     [](Call& c) {
       Arg a = c.arg(0), b = c.arg(1);
       if (!a.tensor && !b.tensor) c.type_error(0, "Tensor");
       return done(c, 2, pow(a, b, out_of(c, 2)));
     },
     "input ** exponent"},
    {"pow_", kBoth, "input, exponent",
     [](Call& c) {
       pow_(c.tensor(0), c.arg(1));
       return same_object(c);
     },
     nullptr},
    {"round", kBoth, "input, *, decimals=0, out=None",
     [](Call& c) { return done(c, 2, rounded(c.tensor(0), c.integer(1, 0), out_of(c, 2))); },
     "Nearest integer, halves to even."},
    {"round_", kBoth, "input, *, decimals=0",
     [](Call& c) {
       if (c.integer(1, 0) == 0) elementwise_(Op::round, c.tensor(0), {});
       else copy_(c.tensor(0), rounded(c.tensor(0), c.integer(1), nullptr));
       return same_object(c);
     },
     nullptr},
    {"clamp", kBoth, "input, min=None, max=None, *, out=None",
     [](Call& c) { return done(c, 3, clamp(c.tensor(0), c.opt_arg(1), c.opt_arg(2), out_of(c, 3))); },
     "min(max(input, min), max)"},
    {"clamp_", kBoth, "input, min=None, max=None",
     [](Call& c) {
       clamp_(c.tensor(0), c.opt_arg(1), c.opt_arg(2));
       return same_object(c);
     },
     nullptr},
    {"clip", kBoth, "input, min=None, max=None, *, out=None",
     [](Call& c) { return done(c, 3, clamp(c.tensor(0), c.opt_arg(1), c.opt_arg(2), out_of(c, 3))); },
     "Same as clamp."},
    {"clip_", kBoth, "input, min=None, max=None",
     [](Call& c) {
       clamp_(c.tensor(0), c.opt_arg(1), c.opt_arg(2));
       return same_object(c);
     },
     nullptr},
    {"clamp_min", kBoth, "input, min, *, out=None",
     [](Call& c) { return done(c, 2, clamp(c.tensor(0), c.arg(1), {}, out_of(c, 2), true)); }, nullptr},
    {"clamp_max", kBoth, "input, max, *, out=None",
     [](Call& c) { return done(c, 2, clamp(c.tensor(0), {}, c.arg(1), out_of(c, 2), true)); }, nullptr},
    {"clamp_min_", kBoth, "input, min",
     [](Call& c) {
       clamp_(c.tensor(0), c.arg(1), {}, true);
       return same_object(c);
     },
     nullptr},
    {"clamp_max_", kBoth, "input, max",
     [](Call& c) {
       clamp_(c.tensor(0), {}, c.arg(1), true);
       return same_object(c);
     },
     nullptr},
    {"bitwise_not", kBoth, "input, *, out=None", bitwise_not, nullptr},
    {"bitwise_not_", kMethod, "input", bitwise_not_, nullptr},
    {"where", kFunction, "condition, input=None, other=None, *, out=None",
     [](Call& c) {
       if (!c.has(1) && !c.has(2)) {
         return nonzero_tuple(c.tensor(0));
       }
       return done(c, 3, where(c.tensor(0), c.arg(1), c.arg(2), out_of(c, 3)));
     },
     "input where condition is true, other elsewhere; with condition alone, the indices of its true elements"},
    {"gelu", kFunction, "input, *, approximate=\"none\"",
     [](Call& c) { return wrap(unary(gelu_op(c, 1), c.tensor(0))); }, nullptr},
    {"gelu_", kFunction, "input, *, approximate=\"none\"",
     [](Call& c) {
       elementwise_(gelu_op(c, 1), c.tensor(0), {});
       return same_object(c);
     },
     nullptr},
    {"softplus", kFunction, "input, beta=1, threshold=20", with_pq<Op::softplus, 1, 20>, nullptr},
    {"elu", kFunction, "input, alpha=1",
     [](Call& c) { return wrap(unary(Op::elu, c.tensor(0), c.scalar(1, Scalar::of(1)))); }, nullptr},
    {"elu_", kFunction, "input, alpha=1",
     [](Call& c) {
       elementwise_(Op::elu, c.tensor(0), {}, c.scalar(1, Scalar::of(1)));
       return same_object(c);
     },
     nullptr},
    {"celu", kFunction, "input, alpha=1",
     [](Call& c) { return wrap(unary(Op::celu, c.tensor(0), c.scalar(1, Scalar::of(1)))); }, nullptr},
    {"celu_", kFunction, "input, alpha=1",
     [](Call& c) {
       elementwise_(Op::celu, c.tensor(0), {}, c.scalar(1, Scalar::of(1)));
       return same_object(c);
     },
     nullptr},
    {"leaky_relu", kFunction, "input, negative_slope=0.01",
     [](Call& c) { return wrap(unary(Op::leaky_relu, c.tensor(0), c.scalar(1, Scalar::of(0.01)))); }, nullptr},
    {"leaky_relu_", kFunction, "input, negative_slope=0.01",
     [](Call& c) {
       elementwise_(Op::leaky_relu, c.tensor(0), {}, c.scalar(1, Scalar::of(0.01)));
       return same_object(c);
     },
     nullptr},
    {"threshold", kFunction, "input, threshold, value", with_pq<Op::threshold, 0, 0>, nullptr},
    {"threshold_", kFunction, "input, threshold, value", with_pq_<Op::threshold, 0, 0>, nullptr},
    {"hardtanh", kFunction, "input, min_val=-1, max_val=1", with_pq<Op::hardtanh, -1, 1>, nullptr},
    {"hardtanh_", kFunction, "input, min_val=-1, max_val=1", with_pq_<Op::hardtanh, -1, 1>, nullptr},
    {"relu6", kFunction, "input",
     [](Call& c) { return wrap(unary(Op::hardtanh, c.tensor(0), Scalar::of_int(0), Scalar::of_int(6))); }, nullptr},
    {"softshrink", kFunction, "input, lambd=0.5",
     [](Call& c) { return wrap(unary(Op::softshrink, c.tensor(0), c.scalar(1, Scalar::of(0.5)))); }, nullptr},
    {"_nan_to_num", kFunction, "input, nan, limit",
     [](Call& c) { return wrap(unary(Op::nan_to_num, c.tensor(0), c.scalar(1), c.scalar(2))); }, nullptr},
    {"hardshrink", kBoth, "input, lambd=0.5",
     [](Call& c) { return wrap(unary(Op::hardshrink, c.tensor(0), c.scalar(1, Scalar::of(0.5)))); }, nullptr},
    {"lerp", kBoth, "input, end, weight, *, out=None", [](Call& c) { return lerp_args(c, false); },
     "input + weight * (end - input)"},
    {"lerp_", kBoth, "input, end, weight", [](Call& c) { return lerp_args(c, true); }, nullptr},
    {"addcmul", kBoth, "input, tensor1, tensor2, *, value=1, out=None", addc<Op::addcmul>,
     "input + value * tensor1 * tensor2"},
    {"addcmul_", kBoth, "input, tensor1, tensor2, *, value=1", addc_<Op::addcmul>, nullptr},
    {"addcdiv", kBoth, "input, tensor1, tensor2, *, value=1, out=None", addc<Op::addcdiv>,
     "input + value * tensor1 / tensor2"},
    {"addcdiv_", kBoth, "input, tensor1, tensor2, *, value=1", addc_<Op::addcdiv>, nullptr},
    {"igamma", kBoth, "input, other, *, out=None", second_only<Op::igamma>,
     "Lower incomplete gamma function, regularised."},
    {"igammac", kBoth, "input, other, *, out=None", second_only<Op::igammac>,
     "Upper incomplete gamma function, regularised."},
    {"igamma_", kMethod, "input, other", second_only_<Op::igamma>, nullptr},
    {"igammac_", kMethod, "input, other", second_only_<Op::igammac>, nullptr},
    {"special_zeta", kFunction, "input, other, *, out=None", second_only<Op::special_zeta>, nullptr},
    {"polygamma", kFunction, "n, input, *, out=None", [](Call& c) { return polygamma_args(c, 0, 1); },
     "The n-th derivative of digamma."},
    {"_refuse_gradient", kFunction, "input, what",
     [](Call& c) {  // kept for the life of the process: there are few
       static std::vector<std::unique_ptr<std::string>> texts;
       const std::string what = c.text(1, "");
       for (const auto& text : texts)
         if (*text == what) return wrap(refuse_gradient(c.tensor(0), text->c_str()));
       texts.push_back(std::make_unique<std::string>(what));
       return wrap(refuse_gradient(c.tensor(0), texts.back()->c_str()));
     },
     nullptr},
    {"special_plain", kFunction, "which, input, *, out=None", special_plain, nullptr},
    {"special_polynomial", kFunction, "which, input, n, *, out=None", special_polynomial, nullptr},
    {"prelu", kBoth, "input, weight",
     [](Call& c) {
       Tensor x = in_region(c.tensor(0)), w = in_region(c.tensor(1));
       FG_CHECK(x.dtype() == w.dtype(), Runtime, "prelu: Type promoting not supported. Got ", dtype_name(x.dtype()),
                " and ", dtype_name(w.dtype()));
       FG_CHECK(w.dim() <= 1, Runtime,
                "prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = ", w.dim());
       if (w.numel() == 1) return wrap(binary(Op::prelu, x, w.dim() ? reshape(w, {}) : w));
       FG_CHECK(x.dim() > 0, Runtime, "Not allow zero-dim input tensor.");
       int64_t channels = x.dim() > 1 ? x.size(1) : 1;
       FG_CHECK(channels == w.numel(), Runtime,
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = ", w.numel(),
                " and channel size = ", channels, ".");
       DimArray shape;
       for (int i = 0; i < x.dim(); ++i) shape.push(i == 1 ? channels : 1);
       return wrap(binary(Op::prelu, x, reshape(w, shape)));
     },
     nullptr},
};
Signature hand_signatures[sizeof(hand) / sizeof(hand[0])];

PyObject* where_method(Call& c) { return wrap(where(c.tensor(1), c.tensor(0), c.arg(2))); }
constexpr FunctionDef methods[] = {
    {"where", kMethod, "input, condition, other", where_method, "self where condition is true, other elsewhere"},
    {"polygamma", kMethod, "input, n, *, out=None", [](Call& c) { return polygamma_args(c, 1, 0); },
     "The n-th derivative of digamma."},
    {"polygamma_", kMethod, "input, n",
     [](Call& c) {
       elementwise_(Op::polygamma, c.tensor(0), {}, derivative_number(c, 1));
       return same_object(c);
     },
     nullptr},
};
Signature methods_signatures[sizeof(methods) / sizeof(methods[0])];

}  // namespace

PyObject* nonzero_tuple(const Tensor& t) {
  return wrap_list(unbind(nonzero(t.dim() ? t : reshape(t, DimArray{1})), 1));  // a number counts as a vector
}

PyObject* finish(const Call& c, int i, const Tensor& result) {
  if (!c.has(i)) return wrap(result);
  const Tensor& out = c.tensor(i);
  if (mode & kForward) refuse_forward_out(c.signature.name, result), refuse_forward_out(c.signature.name, out);
  FG_CHECK(
      !result.requires_grad() && !(grad_enabled() && out.requires_grad()), Runtime, c.signature.name,
      "(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad.");
  FG_CHECK(can_cast(result.dtype(), out.dtype()), Runtime, c.signature.name, ": result type ",
           dtype_name(result.dtype()), " can't be cast to the desired output type ", dtype_name(out.dtype()));
  FG_CHECK(result.device() == out.device(), Runtime, c.signature.name, ": out= is on another device");
  check_writable_layout(out, c.signature.name);
  Tensor target =
      result.is_dense() ? resize_out(out, result.sizes(), result.strides()) : resize_out(out, result.sizes());
  NoGradGuard guard;
  raw_copy(target, overlaps_partly(target, result) ? clone(result) : result);
  target.bump_version();
  return same_object(c, i);
}

bool init_elementwise_functions(PyObject* module) {
  return FG_REGISTER(rows, module) && FG_REGISTER(hand, module) && FG_REGISTER(methods, module);
}

}  // namespace fg::py
