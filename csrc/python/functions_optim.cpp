// What fastgrad.optim calls: one step for all parameters of a group, which come with their companions as Python lists.
#include <algorithm>
#include <cmath>

#include "ops/optim.h"
#include "ops/words.h"
#include "python/functions.h"

namespace fg::py {

namespace {

using List = std::vector<Tensor>;

List list_or_empty(const Call& c, int i) { return c.has(i) ? c.tensors(i) : List(); }

// Counters and other numbers of a state are tensors of one element, as in torch's state, float32 or float64.
double value_of(const Tensor& t, const char* what) {
  bool single = t.dtype() == DType::Float32;
  FG_CHECK(t.numel() == 1 && (single || t.dtype() == DType::Float64) && t.device().is_cpu(), Runtime,
           "optimizer step: a ", what, " must be a 0-d float32 or float64 CPU tensor");
  return single ? *t.data<float>() : *t.data<double>();
}
void set_value(const Tensor& t, double value) {
  if (t.dtype() == DType::Float32) *t.mutable_data<float>() = static_cast<float>(value);
  else *t.mutable_data<double>() = value;
  t.bump_version();
}

// The numbers of the coming step; `commit` writes them to the counters once it has been made.
std::vector<int64_t> next_steps(const List& steps, size_t count) {
  FG_CHECK(steps.size() == count, Runtime, "optimizer step: ", steps.size(), " step counters for ", count,
           " parameters");
  std::vector<int64_t> out;
  for (const Tensor& s : steps) out.push_back(static_cast<int64_t>(value_of(s, "step counter")) + 1);
  return out;
}
void commit(const List& steps, const std::vector<int64_t>& values) {
  for (size_t i = 0; i < steps.size(); ++i) set_value(steps[i], static_cast<double>(values[i]));
}

void check_grads(const OptimStep& s) {
  FG_CHECK(s.grads.size() == s.params.size(), Runtime, "optimizer step: ", s.grads.size(), " gradients for ",
           s.params.size(), " parameters");
}

PyObject* sgd_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1);
  OptimStep step{.kind = Optim::sgd};
  step.params = params, step.grads = grads;
  step.lr = c.scalar(3).f, step.momentum = c.number(4, 0), step.dampening = c.number(5, 0),
  step.weight_decay = c.number(6, 0);
  step.nesterov = c.boolean(7, false), step.maximize = c.boolean(8, false);
  check_grads(step);
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
  List params = c.tensors(0), grads = c.tensors(1), m = c.tensors(2), v = c.tensors(3), high = list_or_empty(c, 4),
       steps = c.tensors(5);
  OptimStep step{.kind = Optim::adam};
  step.params = params, step.grads = grads, step.state1 = m, step.state2 = v;
  const bool counted = !steps.empty() && !steps[0].device().is_cpu();
  if (counted) step.counters = steps;
  if (counted && c.is_tensor(6) && !c.tensor(6).device().is_cpu()) step.lr_on_device = c.tensor(6);
  else step.lr = c.scalar(6).f;
  step.beta1 = c.scalar(7).f, step.beta2 = c.scalar(8).f, step.eps = c.scalar(9).f;
  step.weight_decay = c.number(10, 0);
  step.amsgrad = c.boolean(11, false), step.maximize = c.boolean(12, false), step.decoupled = c.boolean(13, false);
  if (step.amsgrad) step.state3 = high;
  FG_CHECK(grads.size() == params.size() && (!step.amsgrad || high.size() == params.size()), Runtime,
           "optimizer step: the lists have different lengths");
  if (counted) {
    optim_step(step);
    Py_RETURN_NONE;
  }
  step.steps = next_steps(steps, params.size());
  optim_step(step);
  commit(steps, step.steps);
  Py_RETURN_NONE;
}

PyObject* rmsprop_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), square = c.tensors(2), momenta = list_or_empty(c, 3),
       means = list_or_empty(c, 4), steps = c.tensors(5);
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

// Every argument list below starts with params, grads, the lists of states, steps and lr.
PyObject* run(OptimStep& step, const List& steps) {
  check_grads(step);
  for (Tensors list : {step.state1, step.state2})
    FG_CHECK(list.empty() || list.size() == step.params.size(), Runtime,
             "optimizer step: the lists have different lengths");
  step.steps = next_steps(steps, step.params.size());
  optim_step(step);
  commit(steps, step.steps);
  Py_RETURN_NONE;
}

PyObject* adagrad_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), sums = c.tensors(2);
  OptimStep step{.kind = Optim::adagrad, .params = params, .grads = grads, .state1 = sums};
  step.lr = c.number(4, 0), step.lr_decay = c.number(5, 0), step.weight_decay = c.number(6, 0),
  step.eps = c.number(7, 0);
  step.maximize = c.boolean(8, false);
  return run(step, c.tensors(3));
}

PyObject* adadelta_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), squares = c.tensors(2), deltas = c.tensors(3);
  OptimStep step{.kind = Optim::adadelta, .params = params, .grads = grads, .state1 = squares, .state2 = deltas};
  step.lr = c.number(5, 0), step.alpha = c.number(6, 0), step.eps = c.number(7, 0), step.weight_decay = c.number(8, 0);
  step.maximize = c.boolean(9, false);
  return run(step, c.tensors(4));
}

template <Optim kind> PyObject* two_means_step(Call& c) {  // adamax, radam
  List params = c.tensors(0), grads = c.tensors(1), first = c.tensors(2), second = c.tensors(3);
  OptimStep step{.kind = kind, .params = params, .grads = grads, .state1 = first, .state2 = second};
  step.lr = c.number(5, 0), step.beta1 = c.number(6, 0), step.beta2 = c.number(7, 0), step.eps = c.number(8, 0);
  step.weight_decay = c.number(9, 0), step.maximize = c.boolean(10, false), step.decoupled = c.boolean(11, false);
  return run(step, c.tensors(4));
}

PyObject* nadam_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), m = c.tensors(2), v = c.tensors(3), products = c.tensors(4),
       steps = c.tensors(5);
  OptimStep step{.kind = Optim::nadam, .params = params, .grads = grads, .state1 = m, .state2 = v};
  step.lr = c.number(6, 0), step.beta1 = c.number(7, 0), step.beta2 = c.number(8, 0), step.eps = c.number(9, 0);
  step.weight_decay = c.number(10, 0);
  double momentum_decay = c.number(11, 0);
  step.maximize = c.boolean(12, false), step.decoupled = c.boolean(13, false);
  check_grads(step);
  FG_CHECK(m.size() == params.size() && v.size() == params.size() && products.size() == params.size(), Runtime,
           "optimizer step: the lists have different lengths");
  step.steps = next_steps(steps, params.size());
  std::vector<double> next;  // the products of all momenta so far, rounded as they are kept
  for (size_t i = 0; i < params.size(); ++i) {
    double t = static_cast<double>(step.steps[i]);
    auto momentum = [&](double at) { return step.beta1 * (1 - 0.5 * std::pow(0.96, at * momentum_decay)); };
    double mu = momentum(t), mu_next = momentum(t + 1), product = value_of(products[i], "mu_product") * mu;
    if (products[i].dtype() == DType::Float32) product = static_cast<float>(product);
    next.push_back(product);
    step.numbers.insert(step.numbers.end(), {1 - std::pow(step.beta2, t), -step.lr * (1 - mu) / (1 - product),
                                             -step.lr * mu_next / (1 - product * mu_next)});
  }
  optim_step(step);
  commit(steps, step.steps);
  for (size_t i = 0; i < products.size(); ++i) set_value(products[i], next[i]);
  Py_RETURN_NONE;
}

PyObject* rprop_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), last = c.tensors(2), sizes = c.tensors(3);
  OptimStep step{.kind = Optim::rprop, .params = params, .grads = grads, .state1 = last, .state2 = sizes};
  step.beta1 = c.number(5, 0), step.beta2 = c.number(6, 0), step.low = c.number(7, 0), step.high = c.number(8, 0);
  step.maximize = c.boolean(9, false);
  return run(step, c.tensors(4));
}

PyObject* asgd_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), averages = c.tensors(2), mus = c.tensors(3), etas = c.tensors(4),
       steps = c.tensors(5);
  OptimStep step{.kind = Optim::asgd, .params = params, .grads = grads, .state1 = averages};
  step.lr = c.number(6, 0);
  double lambd = c.number(7, 0), alpha = c.number(8, 0), t0 = c.number(9, 0);
  step.weight_decay = c.number(10, 0), step.maximize = c.boolean(11, false);
  check_grads(step);
  FG_CHECK(averages.size() == params.size() && mus.size() == params.size() && etas.size() == params.size(), Runtime,
           "optimizer step: the lists have different lengths");
  step.steps = next_steps(steps, params.size());
  for (size_t i = 0; i < params.size(); ++i) {
    double eta = value_of(etas[i], "eta"), mu = value_of(mus[i], "mu");
    step.numbers.insert(step.numbers.end(), {1 - lambd * eta, -eta, mu});
  }
  optim_step(step);
  commit(steps, step.steps);
  for (size_t i = 0; i < params.size(); ++i) {
    double t = static_cast<double>(step.steps[i]);
    set_value(etas[i], step.lr / std::pow(1 + lambd * step.lr * t, alpha));
    set_value(mus[i], 1 / std::max(1.0, t - t0));
  }
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
    {"_sgd_step", kFunction,
     "params, grads, momentum_buffers, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False",
     sgd_step, nullptr},
    {"_adam_step", kFunction,
     "params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps, lr, beta1, beta2, eps, weight_decay, "
     "amsgrad=False, maximize=False, decoupled=False",
     adam_step, nullptr},
    {"_rmsprop_step", kFunction,
     "params, grads, square_avgs, momentum_buffers, grad_avgs, steps, lr, alpha, eps, weight_decay, "
     "momentum=0, centered=False, maximize=False",
     rmsprop_step, nullptr},
    {"_adagrad_step", kFunction, "params, grads, sums, steps, lr, lr_decay, weight_decay, eps, maximize=False",
     adagrad_step, nullptr},
    {"_adadelta_step", kFunction,
     "params, grads, square_avgs, acc_deltas, steps, lr, rho, eps, weight_decay, maximize=False", adadelta_step,
     nullptr},
    {"_adamax_step", kFunction,
     "params, grads, exp_avgs, exp_infs, steps, lr, beta1, beta2, eps, weight_decay, maximize=False, "
     "decoupled=False",
     two_means_step<Optim::adamax>, nullptr},
    {"_radam_step", kFunction,
     "params, grads, exp_avgs, exp_avg_sqs, steps, lr, beta1, beta2, eps, weight_decay, maximize=False, "
     "decoupled=False",
     two_means_step<Optim::radam>, nullptr},
    {"_nadam_step", kFunction,
     "params, grads, exp_avgs, exp_avg_sqs, mu_products, steps, lr, beta1, beta2, eps, weight_decay, "
     "momentum_decay, maximize=False, decoupled=False",
     nadam_step, nullptr},
    {"_rprop_step", kFunction,
     "params, grads, prevs, step_sizes, steps, eta_minus, eta_plus, low, high, maximize=False", rprop_step, nullptr},
    {"_asgd_step", kFunction,
     "params, grads, averages, mus, etas, steps, lr, lambd, alpha, t0, weight_decay, maximize=False", asgd_step,
     nullptr},
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

bool init_optim_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
