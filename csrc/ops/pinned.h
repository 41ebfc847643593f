// Page-locked host memory, from which and to which copies of a CUDA device need not be waited for.
#pragma once
#include "ops/ops.h"

namespace fg {

Tensor pinned_like(const Tensor& t);             // uninitialised; an error without CUDA
Tensor pinned_if(bool wanted, const Tensor& t);  // the tensor itself without CUDA
Tensor pin_memory(const Tensor& t);              // a copy, or the tensor itself when it is pinned
bool is_pinned(const Tensor& t);

// While one exists, copies of this thread between a device and pinned memory return at once.
class WithoutWaiting {
 public:
  explicit WithoutWaiting(bool wanted);
  ~WithoutWaiting();
  WithoutWaiting(const WithoutWaiting&) = delete;

 private:
  bool before_;
};
bool without_waiting();

}  // namespace fg
