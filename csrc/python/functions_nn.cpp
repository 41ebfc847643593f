// What fastgrad.nn calls: linear, layer norm, losses.
#include <string_view>

#include "ops/attention.h"
#include "ops/autocast.h"
#include "ops/rnn.h"
#include "ops/words.h"
#include "python/functions.h"

namespace fg::py {

namespace {

int reduction_of(const Call& c, int i) {
  int64_t r = c.integer(i, 1);
  FG_CHECK(r >= 0 && r <= 2, Value, c.signature.name, ": reduction must be 0 (none), 1 (mean) or 2 (sum), got ", r);
  return static_cast<int>(r);
}

Tensor reduced(const Tensor& t, int reduction) { return reduction == 1 ? mean(t) : reduction == 2 ? sum(t) : t; }

template <Op op>
PyObject* pointwise(Call& c) {
  double parameter = c.signature.count > 3 ? c.number(3, 1) : 0;
  return wrap(pointwise_loss(op, c.tensor(0), c.tensor(1), reduction_of(c, 2), parameter));
}

// Half data with the parameters of a float model, as autocast leaves them, is computed in float.
PyObject* layer_normed(Call& c) {
  const Tensor &x = c.tensor(0), weight = c.tensor_or_none(2), bias = c.tensor_or_none(3);
  const auto is_float = [](const Tensor& t) { return t.defined() && t.dtype() == DType::Float32; };
  const bool mixed = is_half(x.dtype()) && (is_float(weight) || is_float(bias));
  const Tensor out = layer_norm(mixed ? to_dtype(x, DType::Float32) : x, c.dims(1), weight, bias, c.number(4, 1e-5));
  return wrap(mixed ? to_dtype(out, x.dtype()) : out);
}

// How nn.functional spells a reduction; -1: not like this.
int named_reduction(const Call& c, int i) {
  const std::string_view name = c.v[i] && PyUnicode_Check(c.v[i]) ? c.text(i, "") : "";
  return name == "mean" ? 1 : name == "sum" ? 2 : name == "none" ? 0 : -1;
}

// Targets are class indices; the Python function has the rest.
PyObject* usual_cross_entropy(Call& c) {
  const Tensor &x = c.tensor(0), &y = c.tensor(1);
  const int reduction = named_reduction(c, 4);
  if (reduction < 0 || is_inexact(y.dtype()) || same(x.sizes(), y.sizes())) return Py_NewRef(Py_NotImplemented);
  const Tensor log_p = softmax(in_float(x), x.dim() == 1 ? 0 : 1, {}, true);
  return wrap(nll_loss(log_p, y, c.tensor_or_none(2), reduction, c.integer(3)));
}

PyObject* usual_mse_loss(Call& c) {
  const Tensor &x = c.tensor(0), &y = c.tensor(1);
  const int reduction = named_reduction(c, 2);
  if (reduction < 0 || !same(x.sizes(), y.sizes())) return Py_NewRef(Py_NotImplemented);
  return wrap(pointwise_loss(Op::mse_loss, x, y, reduction, 0));
}

PyObject* bce(Call& c) {
  const Tensor &x = c.tensor(0), &y = c.tensor(1);
  FG_CHECK(same(x.sizes(), y.sizes()), Value, "Using a target size (", size_text(y.sizes()),
           ") that is different to the input size (", size_text(x.sizes()),
           ") is deprecated. Please ensure they have the same size.");
  if (x.numel()) {
    NoGradGuard guard;
    double low = item(extremum(x, true)).f, high = item(extremum(x, false)).f;
    FG_CHECK(low >= 0 && high <= 1, Runtime, "all elements of input should be between 0 and 1");
  }
  int reduction = reduction_of(c, 3);
  if (!c.has(2)) return wrap(pointwise_loss(Op::binary_cross_entropy, x, y, reduction, 0));
  return wrap(reduced(mul(pointwise_loss(Op::binary_cross_entropy, x, y, 0, 0), c.tensor(2)), reduction));
}

PyObject* bce_logits(Call& c) {
  const Tensor &x = c.tensor(0), &y = c.tensor(1);
  FG_CHECK(same(x.sizes(), y.sizes()), Value, "Target size (", size_text(y.sizes()),
           ") must be the same as input size (", size_text(x.sizes()), ")");
  int reduction = reduction_of(c, 4);
  Tensor each;
  if (c.has(3)) {
    Tensor weight = (c.tensor(3) - 1.0) * y + 1.0;
    Tensor log_part = unary(Op::log1p, unary(Op::exp, -unary(Op::abs, x))) + clamp(-x, Arg(0.0), {});
    each = (1.0 - y) * x + weight * log_part;
  } else if (!c.has(2)) {
    return wrap(pointwise_loss(Op::binary_cross_entropy_with_logits, x, y, reduction, 0));
  } else {
    each = pointwise_loss(Op::binary_cross_entropy_with_logits, x, y, 0, 0);
  }
  if (c.has(2)) each = mul(each, c.tensor(2));
  return wrap(reduced(each, reduction));
}

PyObject* fused_attention(Call& c) {
  const WithSums made = attention(c.tensor(0), c.tensor(1), c.tensor(2), c.number(3, 1), c.boolean(4, false));
  return Py_BuildValue("(NN)", wrap(made.out), wrap(made.sums));
}
// Whether the caller holds the only reference to parameter i, and nobody else its memory.
bool is_given_up(const Call& c, int i) { return !c.has(i) || (Py_REFCNT(c.v[i]) == 1 && is_alone(c.tensor(i))); }

PyObject* fused_attention_gradients(Call& c) {
  const auto [gq, gk, gv] =
      attention_gradients(c.tensor(0), c.tensor(1), c.tensor(2), c.tensor(3), {c.tensor_or_none(4), c.tensor(5)},
                          c.number(6, 1), c.boolean(7, false), is_given_up(c, 1), is_given_up(c, 3));
  return Py_BuildValue("(NNN)", wrap(gq), wrap(gk), wrap(gv));
}

Rnn rnn_kind(const Call& c) {
  int64_t kind = c.integer(0, -1);
  FG_CHECK(kind >= 0 && kind <= static_cast<int64_t>(Rnn::lstm), Value, c.signature.name,
           ": kind must be 0 (tanh), 1 (relu), 2 (gru) or 3 (lstm)");
  return static_cast<Rnn>(kind);
}
// Whether the native loops take these, the input first: plain tensors of one dtype with a kernel, no mode in the way.
PyObject* usable_by_rnn(Call& c) {
  const std::vector<Tensor> all = c.tensors(0);
  bool usable = !all.empty() && rnn_usable(all[0]) && all[0].numel() > 0 && !check_overridden(&c.v[0], 1);
  for (const Tensor& t : all) usable = usable && t.dtype() == all[0].dtype() && t.device() == all[0].device();
  return PyBool_FromLong(usable);
}

PyObject* rnn_forward_call(Call& c) {
  return wrap_list(rnn_forward(rnn_kind(c), c.tensor(1), c.tensor(2), c.tensor_or_none(3), c.tensor(4),
                               c.tensor_or_none(5), c.boolean(6, false)));
}
PyObject* rnn_backward_call(Call& c) {
  return wrap_list(rnn_backward(rnn_kind(c), c.tensor(1), c.tensor(2), c.tensor_or_none(3), c.tensor_or_none(4),
                                c.tensor(5), c.tensor_or_none(6), c.tensor_or_none(7), c.tensor_or_none(8),
                                c.boolean(9, false), is_given_up(c, 1) && is_given_up(c, 4)));
}

constexpr FunctionDef defs[] = {
    {"linear", kFunction, "input, weight, bias=None",
     [](Call& c) { return wrap(linear(c.tensor(0), c.tensor(1), c.tensor_or_none(2))); }, "input @ weight.T + bias"},
    {"layer_norm", kFunction, "input, normalized_shape, weight=None, bias=None, eps=1e-05, cudnn_enable=True",
     layer_normed, nullptr},
    {"_rms_norm", kFunction, "input, normalized_shape, weight, eps",
     [](Call& c) { return wrap(rms_norm(c.tensor(0), c.dims(1), c.tensor_or_none(2), c.number(3, 0))); }, nullptr},
    {"nll_loss", kFunction, "input, target, weight=None, reduction=1, ignore_index=-100",
     [](Call& c) {
       return wrap(nll_loss(c.tensor(0), c.tensor(1), c.tensor_or_none(2), reduction_of(c, 3), c.integer(4, -100)));
     },
     nullptr},
    {"mse_loss", kFunction, "input, target, reduction=1", pointwise<Op::mse_loss>, nullptr},
    {"_usual_cross_entropy", kFunction, "input, target, weight, ignore_index, reduction", usual_cross_entropy,
     "The native case of nn.functional.cross_entropy."},
    {"_usual_mse_loss", kFunction, "input, target, reduction", usual_mse_loss,
     "The native case of nn.functional.mse_loss."},
    {"smooth_l1_loss", kFunction, "input, target, reduction=1, beta=1.0", pointwise<Op::smooth_l1_loss>, nullptr},
    {"huber_loss", kFunction, "input, target, reduction=1, delta=1.0", pointwise<Op::huber_loss>, nullptr},
    {"binary_cross_entropy", kFunction, "input, target, weight=None, reduction=1", bce, nullptr},
    {"binary_cross_entropy_with_logits", kFunction, "input, target, weight=None, pos_weight=None, reduction=1",
     bce_logits, nullptr},
    {"_attention", kFunction, "query, key, value, scale, causal", fused_attention, nullptr},
    {"_attention_gradients", kFunction, "grad, query, key, value, out, sums, scale, causal", fused_attention_gradients,
     nullptr},
    {"_rnn_usable", kStatic, "tensors", usable_by_rnn, nullptr},
    {"_rnn_forward", kFunction, "kind, gates, h0, c0, weight, bias, reverse", rnn_forward_call, nullptr},
    {"_rnn_backward", kFunction, "kind, gates, h, c, kept, weight, g_out, g_h, g_c, reverse", rnn_backward_call,
     nullptr},
    {"_div_count", kFunction, "input, count",
     [](Call& c) { return wrap(binary(Op::div, c.tensor(0), c.scalar(1), {}, Scalar::of_int(1))); },
     "input / count, a step of a loss"},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_nn_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
