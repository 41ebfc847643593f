// What fastgrad.optim calls: one step for all parameters of a group, which come with their companions as Python lists.
#include "ops/optim.h"
#include "ops/words.h"
#include "python/functions.h"

namespace fg::py {

namespace {

using List = std::vector<Tensor>;

List list_or_empty(const Call& c, int i) { return c.has(i) ? c.tensors(i) : List(); }

void check_grads(const OptimStep& s) {
  FG_CHECK(s.grads.size() == s.params.size(), Runtime, "optimizer step: ", s.grads.size(), " gradients for ",
           s.params.size(), " parameters");
}

// A learning rate that is on the device stays there: with capturable=True, which puts it into a CUDA graph.
void rate(const Call& c, int i, OptimStep& step) {
  if (c.is_tensor(i) && !c.tensor(i).device().is_cpu()) step.lr_on_device = c.tensor(i);
  else step.lr = c.scalar(i).f;
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
      step.numbers.insert(step.numbers.end(), {missing ? 1.0 : 0.0, 0, 0});  // ops/optim_numbers.h
    }
    step.state1 = buffers;
    optim_step(step);
    for (size_t i : fresh) PyList_SetItem(list, i, wrap(buffers[i]));
    Py_RETURN_NONE;
  }
  step.numbers.assign(3 * params.size(), 0);
  optim_step(step);
  Py_RETURN_NONE;
}

PyObject* adam_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), m = c.tensors(2), v = c.tensors(3), high = list_or_empty(c, 4),
       steps = c.tensors(5);
  OptimStep step{.kind = Optim::adam};
  step.params = params, step.grads = grads, step.state1 = m, step.state2 = v;
  step.steps = steps;
  rate(c, 6, step);
  step.beta1 = c.scalar(7).f, step.beta2 = c.scalar(8).f, step.eps = c.scalar(9).f;
  step.weight_decay = c.number(10, 0);
  step.amsgrad = c.boolean(11, false), step.maximize = c.boolean(12, false), step.decoupled = c.boolean(13, false);
  if (step.amsgrad) step.state3 = high;
  FG_CHECK(grads.size() == params.size() && (!step.amsgrad || high.size() == params.size()), Runtime,
           "optimizer step: the lists have different lengths");
  optim_step(step);
  Py_RETURN_NONE;
}

PyObject* rmsprop_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), square = c.tensors(2), momenta = list_or_empty(c, 3),
       means = list_or_empty(c, 4), steps = c.tensors(5);
  OptimStep step{.kind = Optim::rmsprop};
  step.params = params, step.grads = grads, step.state1 = square;
  step.steps = steps;
  rate(c, 6, step);
  step.alpha = c.scalar(7).f, step.eps = c.scalar(8).f, step.weight_decay = c.number(9, 0);
  step.momentum = c.number(10, 0), step.centered = c.boolean(11, false), step.maximize = c.boolean(12, false);
  if (step.momentum != 0) step.state2 = momenta;
  if (step.centered) step.state3 = means;
  FG_CHECK(grads.size() == params.size() && (step.momentum == 0 || momenta.size() == params.size()) &&
               (!step.centered || means.size() == params.size()),
           Runtime, "optimizer step: the lists have different lengths");
  optim_step(step);
  Py_RETURN_NONE;
}

// Every argument list below starts with params, grads, the lists of states, steps and lr.
PyObject* run(OptimStep& step, const List& steps) {
  check_grads(step);
  for (Tensors list : {step.state1, step.state2})
    FG_CHECK(list.empty() || list.size() == step.params.size(), Runtime,
             "optimizer step: the lists have different lengths");
  step.steps = steps;
  optim_step(step);
  Py_RETURN_NONE;
}

PyObject* adagrad_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), sums = c.tensors(2);
  OptimStep step{.kind = Optim::adagrad, .params = params, .grads = grads, .state1 = sums};
  step.lr = c.number(4, 0), step.alpha = c.number(5, 0), step.weight_decay = c.number(6, 0), step.eps = c.number(7, 0);
  step.maximize = c.boolean(8, false);
  return run(step, c.tensors(3));
}

PyObject* adadelta_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), squares = c.tensors(2), deltas = c.tensors(3);
  OptimStep step{.kind = Optim::adadelta, .params = params, .grads = grads, .state1 = squares, .state2 = deltas};
  rate(c, 5, step);
  step.alpha = c.number(6, 0), step.eps = c.number(7, 0), step.weight_decay = c.number(8, 0);
  step.maximize = c.boolean(9, false);
  return run(step, c.tensors(4));
}

template <Optim kind> PyObject* two_means_step(Call& c) {  // adamax, radam
  List params = c.tensors(0), grads = c.tensors(1), first = c.tensors(2), second = c.tensors(3);
  OptimStep step{.kind = kind, .params = params, .grads = grads, .state1 = first, .state2 = second};
  rate(c, 5, step);
  step.beta1 = c.number(6, 0), step.beta2 = c.number(7, 0), step.eps = c.number(8, 0);
  step.weight_decay = c.number(9, 0), step.maximize = c.boolean(10, false), step.decoupled = c.boolean(11, false);
  return run(step, c.tensors(4));
}

PyObject* nadam_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), m = c.tensors(2), v = c.tensors(3), products = c.tensors(4);
  OptimStep step{.kind = Optim::nadam, .params = params, .grads = grads, .state1 = m, .state2 = v};
  step.kept1 = products;
  rate(c, 6, step);
  step.beta1 = c.number(7, 0), step.beta2 = c.number(8, 0), step.eps = c.number(9, 0);
  step.weight_decay = c.number(10, 0), step.alpha = c.number(11, 0);
  step.maximize = c.boolean(12, false), step.decoupled = c.boolean(13, false);
  FG_CHECK(!products.empty(), Runtime, "optimizer step: the lists have different lengths");
  return run(step, c.tensors(5));
}

PyObject* rprop_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), last = c.tensors(2), sizes = c.tensors(3);
  OptimStep step{.kind = Optim::rprop, .params = params, .grads = grads, .state1 = last, .state2 = sizes};
  step.beta1 = c.number(5, 0), step.beta2 = c.number(6, 0), step.low = c.number(7, 0), step.high = c.number(8, 0);
  step.maximize = c.boolean(9, false);
  return run(step, c.tensors(4));
}

PyObject* asgd_step(Call& c) {
  List params = c.tensors(0), grads = c.tensors(1), averages = c.tensors(2), mus = c.tensors(3), etas = c.tensors(4);
  OptimStep step{.kind = Optim::asgd, .params = params, .grads = grads, .state1 = averages};
  step.kept1 = etas, step.kept2 = mus;
  rate(c, 6, step);
  step.low = c.number(7, 0), step.alpha = c.number(8, 0), step.high = c.number(9, 0);
  step.weight_decay = c.number(10, 0), step.maximize = c.boolean(11, false);
  FG_CHECK(!mus.empty() && !etas.empty(), Runtime, "optimizer step: the lists have different lengths");
  return run(step, c.tensors(5));
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
