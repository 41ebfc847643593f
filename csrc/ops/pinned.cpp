#include "ops/pinned.h"

#include "core/cuda_table.h"

namespace fg {

namespace {
thread_local bool without_waiting_ = false;
}

WithoutWaiting::WithoutWaiting(bool wanted) : before_(without_waiting_) { without_waiting_ = wanted; }
WithoutWaiting::~WithoutWaiting() { without_waiting_ = before_; }
bool without_waiting() { return without_waiting_; }

Tensor pinned_like(const Tensor& t) {
  const DimArray strides = t.is_dense() ? DimArray(t.strides()) : contiguous_strides(t.sizes());
  const size_t bytes = static_cast<size_t>(t.numel() * t.item_bytes());
  const CudaTable& table = cuda_table();
  void* block = table.pinned_allocate(bytes);
  if (!block) check_device({DeviceType::CUDA, 0}, "pin_memory");
  FG_CHECK(block, OutOfMemory, "out of memory: ", bytes, " bytes of page-locked host memory wanted");
  const auto give_back = [](void* context) {
    if (!cuda_unavailable_reason()) cuda_table().pinned_release(context);  // not in a forked process
  };
  auto storage = Storage::external(block, bytes, Device{}, give_back, block);
  return Tensor::over(std::move(storage), t.sizes(), strides, 0, t.dtype());
}

Tensor pin_memory(const Tensor& t) {
  FG_CHECK(t.device().is_cpu(), Runtime, "cannot pin '", type_text(t), "' only dense CPU tensors can be pinned");
  if (is_pinned(t)) return t;
  NoGradGuard guard;
  Tensor out = pinned_like(t);
  raw_copy(out, t);
  return out;
}

Tensor pinned_if(bool wanted, const Tensor& t) { return wanted && !cuda_unavailable_reason() ? pin_memory(t) : t; }

bool is_pinned(const Tensor& t) {
  return t.device().is_cpu() && t.storage().is_external() && !cuda_unavailable_reason() &&
         cuda_table().is_pinned(t.storage().data());
}

}  // namespace fg
