// Fused optimizer steps over lists of tensors: one kernel call for all parameters of a group.
#pragma once
#include "ops/ops.h"

namespace fg {

struct OptimStep {
  Optim kind;
  Tensors params, grads, state1, state2, state3;
  // Numbers of each parameter's state, tensors of one element that the step moves on: its count and what
  // ops/optim_numbers.h calls kept. All float32 or float64, on the CPU or, all of them, where the parameters are
  // (capturable=True). None: sgd, which gives `numbers`.
  Tensors steps, kept1, kept2;
  std::vector<double> numbers;  // three for each parameter
  Tensor lr_on_device;          // with steps that are there: instead of lr, or undefined
  double lr = 0, momentum = 0, dampening = 0, weight_decay = 0, beta1 = 0, beta2 = 0, eps = 0, alpha = 0;
  double low = 0, high = 0;
  bool nesterov = false, maximize = false, decoupled = false, amsgrad = false, centered = false;
};
// RuntimeError when a list does not fit its parameters (length, shape, dtype, device); nothing is changed then.
void optim_step(const OptimStep& step);

}  // namespace fg
