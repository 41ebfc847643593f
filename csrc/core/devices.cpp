// Which table belongs to which device. CPU is inside; CUDA is a library that is opened when a CUDA device is first
// wanted. A process that is forked afterwards cannot use it: the driver's state does not survive.
#include <dlfcn.h>
#include <pthread.h>

#include <mutex>

#include "core/cuda_table.h"
#include "core/guarded.h"
#include "core/streams.h"
#include "core/types.h"
#include "cpu/backend_cpu.h"

namespace fg {

thread_local Device default_device_ __attribute__((tls_model("initial-exec"))) = {};

namespace {

std::mutex cuda_lock;
std::string cuda_path;
const Backend* cuda_backend = nullptr;
const CudaTable* cuda_rest = nullptr;
std::string cuda_reason;
bool cuda_tried = false;
bool forked = false;
int devices = 0;  // known in forked processes too
constexpr const char* kForked =
    "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the 'spawn' start "
    "method";

// Locks of the library and of streams.cpp may be held by threads that are not here: nothing of them is touched again.
void leave_cuda() {
  forked = true;
  cuda_backend = nullptr;
  streams_in_use = false;
}
bool cuda_tf32 = false;

void open_cuda() {
  std::lock_guard lock(cuda_lock);
  if (cuda_tried) return;
  cuda_tried = true;
  if (cuda_path.empty()) {
    cuda_reason = "fastgrad was built without CUDA";
    return;
  }
  void* library = dlopen(cuda_path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    cuda_reason = concat("the CUDA backend could not be opened: ", dlerror());
    return;
  }
  using Entry = const Backend* (*)(uint32_t);
  auto entry = reinterpret_cast<Entry>(dlsym(library, "fg_get_backend"));
  const Backend* table = entry ? entry(kBackendAbi) : nullptr;
  auto rest_entry = reinterpret_cast<const CudaTable* (*)(uint32_t)>(dlsym(library, "fg_get_cuda"));
  const CudaTable* rest = rest_entry ? rest_entry(kCudaTableAbi) : nullptr;
  if (!table || table->struct_size != sizeof(Backend) || !rest || rest->struct_size != sizeof(CudaTable)) {
    cuda_reason = "the CUDA backend belongs to another version of fastgrad";
    return;
  }
  devices = table->device_count();
  if (devices == 0) {
    const char* error = table->take_error(nullptr);
    cuda_reason = concat("no CUDA device is available", error ? ": " : "", error ? error : "");
    return;
  }
  rest->allow_tf32(cuda_tf32);
  cuda_rest = rest;
  static const Backend seen_by_ops = guarded(*table);
  cuda_backend = &seen_by_ops;
  pthread_atfork(nullptr, nullptr, leave_cuda);
}

}  // namespace

const Backend& backend(Device device) {
  if (device.is_cpu()) return cpu::backend();
  if (!cuda_tried) open_cuda();
  if (forked) fail(ErrorKind::Runtime, kForked);
  if (!cuda_backend) fail(ErrorKind::Runtime, "device \"cuda\" cannot be used: ", cuda_reason);
  return *cuda_backend;
}

void check_device(Device device, const char* what, const char* rest) {
  if (!device.is_cpu()) throw_kept(backend(device), what, rest);
}

void release_memory(Device device, void* block, size_t bytes, void* stream) {
  if (device.is_cpu()) return cpu::backend().release(block, bytes, {stream, device.index});
  if (!forked) cuda_backend->release(block, bytes, {stream, device.index});
}

const CudaTable& cuda_table() {
  backend({DeviceType::CUDA, 0});
  return *cuda_rest;
}

void allow_tf32(bool allowed) {
  std::lock_guard lock(cuda_lock);
  cuda_tf32 = allowed;
  if (cuda_rest) cuda_rest->allow_tf32(allowed);
}

const char* cuda_unavailable_reason() {
  if (!cuda_tried) open_cuda();
  return cuda_backend ? nullptr : forked ? kForked : cuda_reason.c_str();
}

int cuda_devices() {
  if (!cuda_tried) open_cuda();
  return cuda_backend || forked ? devices : 0;
}

void set_cuda_library(const std::string& path) {
  std::lock_guard lock(cuda_lock);
  cuda_path = path;
}

}  // namespace fg
