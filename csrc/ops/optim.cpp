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

#define FG_RULE inline
#include "ops/optim_numbers.h"
#undef FG_RULE

const char* name_of(const OptimStep& s, int which) {
  if (which == 0) return "step counter";
  return s.kind == Optim::nadam ? "mu_product" : which == 1 ? "eta" : "mu";
}
bool counts_on_device(const OptimStep& s) { return !s.steps.empty() && !s.steps[0].device().is_cpu(); }

// Numbers of states are all on the CPU or all where the parameters are, and there of one dtype.
void check_numbers(const OptimStep& s) {
  if (s.steps.empty()) {
    FG_CHECK(s.numbers.size() == 3 * s.params.size(), Runtime, "optimizer step: ", s.numbers.size(), " numbers for ",
             s.params.size(), " parameters");
    return;
  }
  const bool on_device = counts_on_device(s);
  FG_CHECK(on_device || !s.lr_on_device.defined(), Runtime,
           "optimizer step: a learning rate on the device needs step counters there");
  auto is_one = [](const Tensor& t) {
    return t.defined() && t.numel() == 1 && (t.dtype() == DType::Float32 || t.dtype() == DType::Float64);
  };
  int which = 0;
  for (Tensors list : {s.steps, s.kept1, s.kept2}) {
    const char* what = name_of(s, which++);
    if (which > 1 && list.empty()) continue;
    FG_CHECK(list.size() == s.params.size(), Runtime, "optimizer step: ", list.size(), " ", what, "s for ",
             s.params.size(), " parameters");
    for (const Tensor& t : list) {
      if (on_device)
        FG_CHECK(is_one(t) && t.dtype() == s.steps[0].dtype() && t.device() == s.params[0].device(), Runtime,
                 "optimizer step: with capturable=True the ", what,
                 "s must be numbers on the device of the parameters, ", "all float32 or all float64");
      else
        FG_CHECK(is_one(t) && t.device().is_cpu(), Runtime, "optimizer step: a ", what,
                 " must be a 0-d float32 or float64 CPU tensor");
    }
  }
  if (on_device && s.lr_on_device.defined())
    FG_CHECK(is_one(s.lr_on_device) && s.lr_on_device.device() == s.params[0].device(), Runtime,
             "optimizer step: with capturable=True the learning rate must be a float32 or float64 number on the device "
             "of the parameters, or on the CPU");
}

double value_of(const Tensor& t) { return t.dtype() == DType::Float32 ? *t.data<float>() : *t.data<double>(); }
void set_value(const Tensor& t, double value) {
  if (t.dtype() == DType::Float32) *t.mutable_data<float>() = static_cast<float>(value);
  else *t.mutable_data<double>() = value;
  t.bump_version();
}

// What a step on the host will write to the states' numbers once it is made.
struct Later {
  double t, kept[2];
};
// The options as `args`; the numbers go to `numbers`.
std::vector<Later> count_on_host(const OptimStep& s, const OptimArgs& args, std::vector<double>& numbers) {
  std::vector<Later> later;
  for (size_t i = 0; i < s.steps.size(); ++i) {
    const bool single = !s.kept1.empty() && s.kept1[i].dtype() == DType::Float32;
    Later next{std::trunc(value_of(s.steps[i])) + 1,
               {s.kept1.empty() ? 0 : value_of(s.kept1[i]), s.kept2.empty() ? 0 : value_of(s.kept2[i])}};
    double n[3];
    optim_numbers(args, args.lr, next.t, next.kept, single, n);
    numbers.insert(numbers.end(), n, n + 3);
    later.push_back(next);
  }
  return later;
}

void step_on_device(const OptimStep& s, const OptimArgs& args) {
  std::vector<void*> at[3];
  Tensors lists[] = {s.steps, s.kept1, s.kept2};
  for (int k = 0; k < 3; ++k)
    for (const Tensor& t : lists[k]) at[k].push_back(t.mutable_data());
  auto start = [&](int k) { return at[k].empty() ? nullptr : at[k].data(); };
  OptimCounts counts{start(0), start(1), start(2), s.steps[0].dtype(), nullptr, DType::Float32};
  if (s.lr_on_device.defined()) counts.lr = s.lr_on_device.data(), counts.lr_dtype = s.lr_on_device.dtype();
  cuda_table().optim_counted(args, counts);
  check_device(s.params[0].device(), "optimizer step");
  for (Tensors list : lists)
    for (const Tensor& t : list) t.bump_version();
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
  check_numbers(step);

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
  args.lr = step.lr, args.momentum = step.momentum, args.dampening = step.dampening,
  args.weight_decay = step.weight_decay;
  args.beta1 = step.beta1, args.beta2 = step.beta2, args.eps = step.eps, args.alpha = step.alpha;
  args.low = step.low, args.high = step.high;
  args.nesterov = step.nesterov, args.maximize = step.maximize, args.decoupled = step.decoupled;
  args.amsgrad = step.amsgrad, args.centered = step.centered;
  args.stream = Storage::current_stream(step.params[0].device());
  std::vector<double> numbers = step.numbers;
  std::vector<Later> later;
  const bool on_device = counts_on_device(step);
  if (!on_device) later = count_on_host(step, args, numbers);
  args.numbers = numbers.data();
  int64_t total = 0;
  for (int64_t m : numels) total += m;
  {
    GilRelease release(total);
    if (on_device) step_on_device(step, args);
    else backend(step.params[0].device()).optim_step(args);
  }
  for (size_t i = 0; i < later.size(); ++i) {
    set_value(step.steps[i], later[i].t);
    if (!step.kept1.empty()) set_value(step.kept1[i], later[i].kept[0]);
    if (!step.kept2.empty()) set_value(step.kept2[i], later[i].kept[1]);
  }
  for (Put& put : back) raw_copy(put.target, put.copy);
  for (const Tensor& p : step.params) p.bump_version();
}

}  // namespace fg
