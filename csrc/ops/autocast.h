// Autocast regions (mixed precision): which ops bring their operands to a shorter or to a longer floating dtype.
//
// The rule of an op is one line at its head, taken from torch's lists: products work in the region's dtype, losses and
// long sums in float32. The mode byte's kAutocast is set while a region is on for any device; backward runs without.
#pragma once
#include "core/mode.h"
#include "ops/ops.h"

namespace fg {

struct AutocastState {
  bool on[2] = {false, false};  // by DeviceType
  DType dtype[2] = {DType::BFloat16, DType::Float16};
  bool cache = true;  // casts of leaves that require a gradient are kept
};
extern thread_local AutocastState autocast_state;

void set_autocast(DeviceType device, bool on);
void clear_autocast_cache();

inline bool autocasting(const Tensor& t) {
  return (mode & kAutocast) && t.defined() && autocast_state.on[static_cast<int>(t.device().type)];
}
// torch keeps more ops in float32 on CUDA than on the CPU: softmax, norms, sums, exp and its kin.
inline bool autocasting_cuda(const Tensor& t) { return (mode & kAutocast) && !t.device().is_cpu() && autocasting(t); }
// Floating tensors but float64 in the dtype of the region; others as they are.
Tensor to_autocast(const Tensor& t);
// float16 and bfloat16 as float32; others as they are.
Tensor to_float(const Tensor& t);

// What an op asks for at its head; outside of a region the operand as it is.
inline Tensor in_float(const Tensor& t) { return autocasting(t) ? to_float(t) : t; }
inline Tensor in_region(const Tensor& t) { return autocasting(t) ? to_autocast(t) : t; }

// The op proper, on operands that are cast already.
template <class F>
auto without_autocast(F op) {
  ModeGuard guard(mode & ~kAutocast);
  return op();
}

}  // namespace fg
