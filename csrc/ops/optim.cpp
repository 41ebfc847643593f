#include "ops/optim.h"

#include <cmath>

#include "core/cuda_table.h"

namespace fg {

namespace {

void check_list(const OptimStep& step, Tensors list, const char* what) {
  if (list.empty()) return;
  FG_CHECK(list.size() == step.params.size(), Runtime, "optimizer step: ", list.size(), " ", what, " for ",
           step.params.size(), " parameters");
  for (size_t i = 0; i < list.size(); ++i) {
    const Tensor &p = step.params[i], &t = list[i];
    FG_CHECK(t.defined() && same(t.sizes(), p.sizes()) && t.dtype() == p.dtype() && t.device() == p.device(), Runtime,
             "optimizer step: ", what, " number ", i, " has shape ", t.defined() ? shape_text(t.sizes()) : "None",
             " and dtype ", t.defined() ? dtype_name(t.dtype()) : "None", ", the parameter ", shape_text(p.sizes()),
             " and ", dtype_name(p.dtype()));
  }
}

// The three numbers of each parameter that its step count decides.
std::vector<double> numbers_of(const OptimStep& s) {
  std::vector<double> out;
  for (size_t i = 0; i < s.params.size(); ++i) {
    double t = s.steps.empty() ? 1 : static_cast<double>(s.steps[i]), n[3] = {};
    double correction1 = 1 - std::pow(s.beta1, t), power2 = std::pow(s.beta2, t), correction2 = 1 - power2;
    switch (s.kind) {
      case Optim::sgd: n[0] = t == 0; break;
      case Optim::adam: n[0] = -(s.lr / correction1), n[1] = std::sqrt(correction2); break;
      case Optim::adagrad: n[0] = -(s.lr / (1 + (t - 1) * s.lr_decay)); break;
      case Optim::adamax: n[0] = -(s.lr / correction1); break;
      case Optim::radam: {
        double longest = 2 / (1 - s.beta2) - 1, length = longest - 2 * t * power2 / correction2;
        n[0] = correction1, n[1] = std::sqrt(correction2);
        if (length > 5)
          n[2] = std::sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length));
        break;
      }
      default: break;
    }
    out.insert(out.end(), n, n + 3);
  }
  return out;
}

void check_counter(const Tensor& t, const Tensor& param, const char* what) {
  FG_CHECK(t.numel() == 1 && t.dtype() == DType::Float32 && !t.device().is_cpu() && t.device() == param.device(),
           Runtime, "optimizer step: with capturable=True the ", what,
           " must be a float32 number on the device of the ", "parameters");
}
void count_on_device(const OptimStep& step, const OptimArgs& args) {
  std::vector<float*> counters;
  for (const Tensor& t : step.counters) counters.push_back(t.mutable_data<float>());
  const bool has_lr = step.lr_on_device.defined();
  cuda_table().adam_counted(args, counters.data(), has_lr ? step.lr_on_device.data<float>() : nullptr);
  check_device(step.params[0].device(), "optimizer step");
  for (const Tensor& t : step.counters) t.bump_version();
}

}  // namespace

void optim_step(const OptimStep& step) {
  size_t n = step.params.size();
  if (n == 0) return;
  for (const Tensor& p : step.params) {
    FG_CHECK(p.defined() && is_inexact(p.dtype()), Runtime,
             "optimizer step: parameters must be floating or complex tensors");
    FG_CHECK(p.device() == step.params[0].device(), Runtime,
             "optimizer step: all parameters of a group must be on one device");
    check_writable_layout(p, "optimizer step");
  }
  check_list(step, step.grads, "gradients");
  check_list(step, step.state1, "buffers");
  check_list(step, step.state2, "buffers");
  check_list(step, step.state3, "buffers");
  if (!step.counters.empty()) {
    FG_CHECK(step.kind == Optim::adam && step.counters.size() == n, Runtime, "optimizer step: ", step.counters.size(),
             " step counters for ", n, " parameters");
    for (const Tensor& t : step.counters) check_counter(t, step.params[0], "step counter");
    if (step.lr_on_device.defined()) check_counter(step.lr_on_device, step.params[0], "learning rate");
  }
  std::vector<double> numbers = step.numbers.empty() ? numbers_of(step) : step.numbers;
  FG_CHECK(numbers.size() == 3 * n, Runtime, "optimizer step: ", numbers.size(), " numbers for ", n, " parameters");

  // Kernels want runs. A tensor that is dense and whose companions lie alike is one; others go through contiguous
  // copies.
  struct Put {
    Tensor target, copy;
  };
  std::vector<Put> back;
  std::vector<Tensor> keep;
  std::vector<void*> pointers[4];
  std::vector<const void*> grads;
  std::vector<int64_t> numels;
  std::vector<DType> dtypes;
  NoGradGuard guard;
  for (size_t i = 0; i < n; ++i) {
    const Tensor& p = step.params[i];
    bool alike = p.is_dense() && same(step.grads[i].strides(), p.strides());
    for (Tensors list : {step.state1, step.state2, step.state3})
      if (!list.empty()) alike &= same(list[i].strides(), p.strides());
    bool plain = p.is_contiguous() && step.grads[i].is_contiguous();
    for (Tensors list : {step.state1, step.state2, step.state3})
      if (!list.empty()) plain &= list[i].is_contiguous();
    auto run = [&](const Tensor& t, bool written) {
      if (alike || plain) return t;
      Tensor c = t.is_contiguous() ? t : contiguous(t);
      if (!c.is_same(t)) {
        keep.push_back(c);
        if (written) back.push_back({t, c});
      }
      return c;
    };
    pointers[0].push_back(run(p, true).mutable_data());
    grads.push_back(run(step.grads[i], false).data());
    Tensors lists[] = {step.state1, step.state2, step.state3};
    for (int k = 0; k < 3; ++k)
      if (!lists[k].empty()) pointers[1 + k].push_back(run(lists[k][i], true).mutable_data());
    numels.push_back(is_complex(p.dtype()) ? 2 * p.numel()
                                           : p.numel());  // complex numbers as pairs of reals, as in torch
    dtypes.push_back(real_of(p.dtype()));
  }
  OptimArgs args{};
  args.kind = step.kind;
  args.count = static_cast<int64_t>(n);
  args.numels = numels.data();
  args.dtypes = dtypes.data();
  args.params = pointers[0].data();
  args.grads = grads.data();
  args.state1 = pointers[1].empty() ? nullptr : pointers[1].data();
  args.state2 = pointers[2].empty() ? nullptr : pointers[2].data();
  args.state3 = pointers[3].empty() ? nullptr : pointers[3].data();
  args.numbers = numbers.data();
  args.lr = step.lr, args.momentum = step.momentum, args.dampening = step.dampening,
  args.weight_decay = step.weight_decay;
  args.beta1 = step.beta1, args.beta2 = step.beta2, args.eps = step.eps, args.alpha = step.alpha;
  args.low = step.low, args.high = step.high;
  args.nesterov = step.nesterov, args.maximize = step.maximize, args.decoupled = step.decoupled;
  args.amsgrad = step.amsgrad, args.centered = step.centered;
  args.stream = Storage::current_stream(step.params[0].device());
  int64_t total = 0;
  for (int64_t m : numels) total += m;
  {
    GilRelease release(total);
    if (step.counters.empty()) backend(step.params[0].device()).optim_step(args);
    else count_on_device(step, args);
  }
  for (Put& put : back) raw_copy(put.target, put.copy);
  for (const Tensor& p : step.params) p.bump_version();
}

}  // namespace fg
