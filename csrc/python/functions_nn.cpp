// What fastgrad.nn and fastgrad.optim call: linear, layer norm, losses, optimizer steps.
#include "ops/optim.h"
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

PyObject* bce(Call& c) {
  const Tensor &x = c.tensor(0), &y = c.tensor(1);
  FG_CHECK(same(x.sizes(), y.sizes()), Value, "Using a target size (", size_text(y.sizes()),
           ") that is different to the input size (", size_text(x.sizes()), ") is deprecated. Please ensure they have the same size.");
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
  FG_CHECK(same(x.sizes(), y.sizes()), Value, "Target size (", size_text(y.sizes()), ") must be the same as input size (",
           size_text(x.sizes()), ")");
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

// ---- optimizers: parameters and their companions as Python lists

using List = std::vector<Tensor>;

List list_or_empty(const Call& c, int i) { return c.has(i) ? c.tensors(i) : List(); }

// Step counters are 0-d float32 tensors, as in torch's state; they are advanced here.
std::vector<int64_t> next_steps(const List& steps, size_t count) {
  FG_CHECK(steps.size() == count, Runtime, "optimizer step: ", steps.size(), " step counters for ", count, " parameters");
  std::vector<int64_t> out;
  for (const Tensor& s : steps) {
    FG_CHECK(s.numel() == 1 && s.dtype() == DType::Float32 && s.device().is_cpu(), Runtime,
             "optimizer step: a step counter must be a 0-d float32 CPU tensor");
    out.push_back(static_cast<int64_t>(*s.data<float>()) + 1);
  }
  return out;
}
void commit(const List& steps, const std::vector<int64_t>& values) {
  for (size_t i = 0; i < steps.size(); ++i) {
    *steps[i].mutable_data<float>() = static_cast<float>(values[i]);
    steps[i].bump_version();
  }
}

PyObject* sgd_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1);
  OptimStep step{.kind = Optim::sgd};
  step.params = params, step.grads = grads;
  step.lr = c.scalar(3).f, step.momentum = c.number(4, 0), step.dampening = c.number(5, 0), step.weight_decay = c.number(6, 0);
  step.nesterov = c.boolean(7, false), step.maximize = c.boolean(8, false);
  FG_CHECK(grads.size() == params.size(), Runtime, "optimizer step: ", grads.size(), " gradients for ", params.size(), " parameters");
  List buffers;
  if (step.momentum != 0) {
    // Missing buffers are made here and put into the caller's list; their first value is the gradient.
    PyObject* list = c.v[2];
    FG_CHECK(list && PyList_Check(list) && PyList_GET_SIZE(list) == static_cast<Py_ssize_t>(params.size()), Runtime,
             "optimizer step: momentum needs a list with one buffer or None for each parameter");
    std::vector<size_t> fresh;
    for (size_t i = 0; i < params.size(); ++i) {
      PyObject* o = PyList_GET_ITEM(list, i);
      bool missing = o == Py_None;
      if (!missing && !is_tensor(o)) c.type_error(2, "a list of Tensors or None");
      if (missing) fresh.push_back(i);
      buffers.push_back(missing ? empty_like(params[i]) : unwrap(o));
      step.steps.push_back(missing ? 0 : 1);
    }
    step.state1 = buffers;
    optim_step(step);
    for (size_t i : fresh) PyList_SetItem(list, i, wrap(buffers[i]));
    Py_RETURN_NONE;
  }
  step.steps.assign(params.size(), 1);
  optim_step(step);
  Py_RETURN_NONE;
}

PyObject* adam_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), m = c.tensors(2), v = c.tensors(3), high = list_or_empty(c, 4), steps = c.tensors(5);
  OptimStep step{.kind = Optim::adam};
  step.params = params, step.grads = grads, step.state1 = m, step.state2 = v;
  step.lr = c.scalar(6).f, step.beta1 = c.scalar(7).f, step.beta2 = c.scalar(8).f, step.eps = c.scalar(9).f;
  step.weight_decay = c.number(10, 0);
  step.amsgrad = c.boolean(11, false), step.maximize = c.boolean(12, false), step.decoupled = c.boolean(13, false);
  if (step.amsgrad) step.state3 = high;
  FG_CHECK(grads.size() == params.size() && (!step.amsgrad || high.size() == params.size()), Runtime,
           "optimizer step: the lists have different lengths");
  step.steps = next_steps(steps, params.size());
  optim_step(step);
  commit(steps, step.steps);
  Py_RETURN_NONE;
}

PyObject* rmsprop_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), square = c.tensors(2), momenta = list_or_empty(c, 3), means = list_or_empty(c, 4),
       steps = c.tensors(5);
  OptimStep step{.kind = Optim::rmsprop};
  step.params = params, step.grads = grads, step.state1 = square;
  step.lr = c.scalar(6).f, step.alpha = c.scalar(7).f, step.eps = c.scalar(8).f, step.weight_decay = c.number(9, 0);
  step.momentum = c.number(10, 0), step.centered = c.boolean(11, false), step.maximize = c.boolean(12, false);
  if (step.momentum != 0) step.state2 = momenta;
  if (step.centered) step.state3 = means;
  FG_CHECK(grads.size() == params.size() && (step.momentum == 0 || momenta.size() == params.size()) &&
               (!step.centered || means.size() == params.size()),
           Runtime, "optimizer step: the lists have different lengths");
  step.steps = next_steps(steps, params.size());
  optim_step(step);
  commit(steps, step.steps);
  Py_RETURN_NONE;
}

PyObject* zero_grad(Call& c) {
  bool to_none = c.boolean(1, true);
  for (const Tensor& p : c.tensors(0)) {
    if (!p.grad().defined()) continue;
    if (to_none) {
      p.set_grad(Tensor());
    } else {
      Tensor g = p.grad();
      if (g.impl()->grad_fn) {
        g = detach(g);
        p.set_grad(g);
      }
      g.impl()->requires_grad = false;
      zero_(g);
    }
  }
  Py_RETURN_NONE;
}

constexpr FunctionDef defs[] = {
    {"linear", kFunction, "input, weight, bias=None",
     [](Call& c) { return wrap(linear(c.tensor(0), c.tensor(1), c.tensor_or_none(2))); }, "input @ weight.T + bias"},
    {"layer_norm", kFunction, "input, normalized_shape, weight=None, bias=None, eps=1e-05, cudnn_enable=True",
     [](Call& c) { return wrap(layer_norm(c.tensor(0), c.dims(1), c.tensor_or_none(2), c.tensor_or_none(3), c.number(4, 1e-5))); }, nullptr},
    {"nll_loss", kFunction, "input, target, weight=None, reduction=1, ignore_index=-100",
     [](Call& c) { return wrap(nll_loss(c.tensor(0), c.tensor(1), c.tensor_or_none(2), reduction_of(c, 3), c.integer(4, -100))); }, nullptr},
    {"mse_loss", kFunction, "input, target, reduction=1", pointwise<Op::mse_loss>, nullptr},
    {"smooth_l1_loss", kFunction, "input, target, reduction=1, beta=1.0", pointwise<Op::smooth_l1_loss>, nullptr},
    {"huber_loss", kFunction, "input, target, reduction=1, delta=1.0", pointwise<Op::huber_loss>, nullptr},
    {"binary_cross_entropy", kFunction, "input, target, weight=None, reduction=1", bce, nullptr},
    {"binary_cross_entropy_with_logits", kFunction, "input, target, weight=None, pos_weight=None, reduction=1", bce_logits, nullptr},
    {"_sgd_step", kFunction, "params, grads, momentum_buffers, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False",
     sgd_step, nullptr},
    {"_adam_step", kFunction, "params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps, lr, beta1, beta2, eps, weight_decay, "
     "amsgrad=False, maximize=False, decoupled=False", adam_step, nullptr},
    {"_rmsprop_step", kFunction, "params, grads, square_avgs, momentum_buffers, grad_avgs, steps, lr, alpha, eps, weight_decay, "
     "momentum=0, centered=False, maximize=False", rmsprop_step, nullptr},
    {"_div_count", kFunction, "input, count",
     [](Call& c) { return wrap(binary(Op::div, c.tensor(0), c.scalar(1), {}, Scalar::of_int(1))); }, "input / count, a step of a loss"},
    {"_zero_grad", kFunction, "params, set_to_none=True", zero_grad, nullptr},
    {"_foreach_zero", kFunction, "tensors",
     [](Call& c) -> PyObject* {
       for (const Tensor& t : c.tensors(0)) zero_(t);
       Py_RETURN_NONE;
     },
     nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_nn_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
