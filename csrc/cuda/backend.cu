// The CUDA backend's table and what is not a kernel: errors, devices, streams, memory. Start at fg_get_backend.
#include <cstdio>
#include <cstring>

#include "core/cuda_table.h"
#include "core/memory_text.h"
#include "cuda/allocator.h"
#include "cuda/device.cuh"
#include "cuda/graph.h"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

constexpr int kMaxDevices = 64;

struct Error {
  char text[640];
  DeviceError kind;
  bool set;
  int full;  // a device that had no memory, of which the text does not tell yet; -1: none
};
thread_local Error error;

#ifdef FG_CUDA_EMULATE
constexpr int kMultiprocessors = 1;
#endif

int device_count() {
  static const int count = [] {
    int n = 0;
    cudaError_t code = cudaGetDeviceCount(&n);
    if (code != cudaSuccess) {
      cudaGetLastError();
      const char* why = cudaGetErrorString(code);
#ifndef FG_CUDA_EMULATE
      if (code == cudaErrorInsufficientDriver) why = "there is no NVIDIA driver, or it is too old for this build";
#endif
      set_error("cudaGetDeviceCount", why);  // whoever opens the library asks for it
      n = 0;
    }
    return n < kMaxDevices ? n : kMaxDevices;
  }();
  return count;
}

const char* device_name(int device) {
  if (device < 0 || device >= device_count()) return "";
#ifdef FG_CUDA_EMULATE
  return "emulator";
#else
  static char names[kMaxDevices][256];
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  if (!names[device][0]) {
    cudaDeviceProp properties;
    if (!check(cudaGetDeviceProperties(&properties, device), "device_name")) return "";
    std::snprintf(names[device], sizeof names[device], "%s", properties.name);
  }
  return names[device];
#endif
}

void* reserve(size_t bytes, int device) {
  use_device(device);
  const RelaxedCapture relaxed;
  void* memory = nullptr;
  const cudaError_t code = cudaMalloc(&memory, bytes);
  if (code == cudaSuccess) return memory;
  if (code != cudaErrorMemoryAllocation) check(code, "cudaMalloc");  // of an earlier kernel, say
  cudaGetLastError();
  return nullptr;
}
bool give_back(void* memory, int device) {
  use_device(device);
  const RelaxedCapture relaxed;
  return check(cudaFree(memory), "free");
}
bool may_give_back() { return !capturing(); }

}  // namespace

// Never destroyed: memory is in use until the process ends, and the driver may be gone before static destructors run.
Allocator* allocator(int device) {
  static Allocator* all[kMaxDevices];
  static std::mutex mutex;
  if (device < 0 || device >= device_count()) return nullptr;
  Allocator* found = __atomic_load_n(&all[device], __ATOMIC_ACQUIRE);
  if (!found) {
    std::lock_guard<std::mutex> lock(mutex);
    found = all[device];
    if (!found)
      __atomic_store_n(&all[device], found = new Allocator(device, {reserve, give_back, may_give_back}),
                       __ATOMIC_RELEASE);
  }
  return found;
}

// A device without memory of ours is left alone: being used, it would get a context.
void empty_cache(int device) {
  if (capturing()) return;  // freeing would spoil the recording
  pinned_give_back();
  Allocator* a = allocator(device);
  if (!a || a->stats().reserved == 0) return;
  int before = -1;
  cudaGetDevice(&before);
  use_device(device);
  if (check(cudaDeviceSynchronize(), "empty_cache")) a->empty_cache();
  if (before >= 0) use_device(before);
}

namespace {

void memory_stats(int device, MemoryStats* out) {
  Allocator* a = allocator(device);
  *out = a ? a->stats() : MemoryStats{};
}
void reset_peak(int device) {
  if (Allocator* a = allocator(device)) a->reset_peak();
}

int copy_bytes(void* dst, const void* src, size_t bytes, CopyKind kind, Stream stream) {
  if (bytes == 0) return 0;
  if (kind != CopyKind::within && !may_wait("copy")) return 1;
  use_device(stream.device);
  cudaMemcpyKind direction = kind == CopyKind::within      ? cudaMemcpyDeviceToDevice
                             : kind == CopyKind::to_device ? cudaMemcpyHostToDevice
                                                           : cudaMemcpyDeviceToHost;
  bool ok = check(cudaMemcpyAsync(dst, src, bytes, direction, handle(stream)), "copy");
  // Host memory may be pinned by somebody else, and then both directions would still be under way.
  if (ok && kind != CopyKind::within) ok = check(cudaStreamSynchronize(handle(stream)), "copy");
  if (ok && kind == CopyKind::to_host) raise_found(stream);
  return ok ? 0 : 1;
}

void synchronize(Stream stream) {
  if (!may_wait("synchronize")) return;
  use_device(stream.device);
  if (check(cudaStreamSynchronize(handle(stream)), "synchronize")) raise_found(stream);
}

// What the memory of a device is used for, after the rest of the text.
void tell_memory(int device) {
  Allocator* a = allocator(device);
  if (!a) return;
  int64_t largest[MemoryReport::kMost];
  const int n = a->largest_live(largest, MemoryReport::kMost);
  const size_t length = std::strlen(error.text);
  std::snprintf(error.text + length, sizeof error.text - length, "%s", MemoryReport(a->stats(), largest, n).text);
}

const char* take_error(DeviceError* kind) {
  if (!error.set) return nullptr;
  error.set = false;
  if (error.full >= 0) tell_memory(error.full);
  if (kind) *kind = error.kind;
  return error.text;
}

void* stream_create(int device) {
  use_device(device);
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream_create");
  return stream;
}
// An event belongs to the device of the stream it is recorded in; the default stream is that of the other one's device.
void stream_wait(void* stream, void* other) {
#if !defined(FG_CUDA_EMULATE) && CUDART_VERSION >= 12080
  int device = 0;
  void* known = other ? other : stream;
  if (known && check(cudaStreamGetDevice(static_cast<cudaStream_t>(known), &device), "stream_wait")) use_device(device);
#endif
  const RelaxedCapture relaxed;
  cudaEvent_t event = nullptr;
  if (!check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "stream_wait")) return;
  check(cudaEventRecord(event, static_cast<cudaStream_t>(other)), "stream_wait");
  check(cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), event, 0), "stream_wait");
  cudaEventDestroy(event);
}

}  // namespace

void set_error(const char* where, const char* what, DeviceError kind) {
  spoil_recording();
  refuse(where, what, kind);
}
void refuse(const char* where, const char* what, DeviceError kind) {
  if (error.set) return;
  std::snprintf(error.text, sizeof error.text, "%s: %s", where, what);
  error.kind = kind;
  error.set = true;
  error.full = -1;
  // Told when the error is taken: here the allocator may be locked, whose call of the driver it was.
  if (kind == DeviceError::out_of_memory && cudaGetDevice(&error.full) != cudaSuccess) error.full = -1;
}
void set_out_of_memory(const char* what, size_t bytes, Stream stream) {
  if (failed()) return;  // it need not be for want of memory
  char text[200];
  std::snprintf(text, sizeof text, "%s of %s wanted on cuda:%d", ByteCount(bytes).text, what,
                static_cast<int>(stream.device));
  set_error("out of memory", text, DeviceError::out_of_memory);
  error.full = -1;
  tell_memory(stream.device);  // now, while the memory that led here is still held
}
bool failed() { return error.set; }

bool check(cudaError_t code, const char* where) {
  if (code == cudaSuccess) return true;
  cudaGetLastError();
  char text[200];
  std::snprintf(text, sizeof text, "CUDA error: %s", cudaGetErrorString(code));
  set_error(where, text, code == cudaErrorMemoryAllocation ? DeviceError::out_of_memory : DeviceError::runtime);
  return false;
}

// Asks the runtime instead of remembering: another library may have changed the device of this thread.
void use_device(int device) {
  int current = -1;
  if (cudaGetDevice(&current) == cudaSuccess && current == device) return;
  check(cudaSetDevice(device), "set device");
}

int multiprocessors(int device) {
#ifdef FG_CUDA_EMULATE
  return device >= 0 ? kMultiprocessors : 1;
#else
  static int counts[kMaxDevices];
  if (device < 0 || device >= kMaxDevices) return 1;
  int count = __atomic_load_n(&counts[device], __ATOMIC_RELAXED);
  if (!count) {
    if (!check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "device") || count < 1)
      count = 1;
    __atomic_store_n(&counts[device], count, __ATOMIC_RELAXED);
  }
  return count;
#endif
}

int capability(int device) {
  static int known[kMaxDevices];
  if (device < 0 || device >= kMaxDevices) return 0;
  int found = __atomic_load_n(&known[device], __ATOMIC_RELAXED);
  if (!found) {
    int major = 0, minor = 0;
    if (!check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "device") ||
        !check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "device"))
      return 0;
    found = major * 10 + minor;
#ifndef FG_CUDA_EMULATE  // there it may change
    __atomic_store_n(&known[device], found, __ATOMIC_RELAXED);
#endif
  }
  return found;
}

void* allocate(size_t bytes, Stream stream) {
  Allocator* a = allocator(stream.device);
  return a ? a->allocate(bytes ? bytes : 1, stream.handle, recording_pool()) : nullptr;
}
void release(void* block, size_t bytes, Stream stream) {
  if (Allocator* a = allocator(stream.device)) a->release(block, bytes ? bytes : 1, stream.handle);
}

#ifndef FG_CUDA_EMULATE
void launch_kernel(const char* name, const void* kernel, dim3 grid, dim3 block, size_t smem, Stream stream,
                   void** args) {
  use_device(stream.device);
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = smem;
  config.stream = handle(stream);
  check(cudaLaunchKernelExC(&config, kernel, args), name);
}
#endif

void fill_memory(Backend& table) {
  table.allocate = allocate;
  table.release = release;
  table.empty_cache = empty_cache;
  table.memory_stats = memory_stats;
  table.reset_peak = reset_peak;
  table.copy_bytes = copy_bytes;
  table.synchronize = synchronize;
  table.take_error = take_error;
  table.device_count = device_count;
  table.device_name = device_name;
  table.stream_create = stream_create;
  table.stream_wait = stream_wait;
}

void fill_memory(CudaTable& table) {
  table.largest_blocks = [](int device, int64_t* bytes, int most) {
    Allocator* a = allocator(device);
    return a ? a->largest_live(bytes, most) : 0;
  };
}

namespace {
const Backend& backend() {
  static const Backend table = [] {
    Backend t{};
    t.abi_version = kBackendAbi;
    t.struct_size = sizeof(Backend);
    t.name = "cuda";
#define X(family) fill_##family(t);
    FG_CUDA_FAMILIES(X)
#undef X
    return t;
  }();
  return table;
}
}  // namespace

}  // namespace fg::cuda

// One of the library's two symbols; the other is in graph.cu. nullptr: built for another version of the table.
extern "C" __attribute__((visibility("default"))) const fg::Backend* fg_get_backend(uint32_t abi) {
  return abi == fg::kBackendAbi ? &fg::cuda::backend() : nullptr;
}
