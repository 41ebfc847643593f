// Fused optimizer steps over lists of tensors: one kernel call for all parameters of a group.
#pragma once
#include "ops/ops.h"

namespace fg {

struct OptimStep {
  Optim kind;
  Tensors params, grads, state1, state2, state3;
  std::vector<int64_t> steps;    // of each parameter, from 1; sgd: 0 = first step
  std::vector<double> numbers;   // nadam, asgd: three for each parameter (ops/optim_rules.h); others: from the steps
  std::vector<Tensor> counters;  // adam: float32 numbers on CUDA instead of steps, counted up by the step itself
  Tensor lr_on_device;           // with counters: instead of lr, or undefined
  double lr = 0, momentum = 0, dampening = 0, weight_decay = 0, beta1 = 0, beta2 = 0, eps = 0, alpha = 0;
  double lr_decay = 0, low = 0, high = 0;
  bool nesterov = false, maximize = false, decoupled = false, amsgrad = false, centered = false;
};
// RuntimeError when a list does not fit its parameters (shape, dtype, device); nothing is changed then.
void optim_step(const OptimStep& step);

}  // namespace fg
