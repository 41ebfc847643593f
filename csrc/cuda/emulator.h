// Runs the CUDA kernels, unchanged, on the CPU, so that they can be tested without a GPU. It takes the place of
// cuda_runtime.h when the .cu files are compiled as C++ with -DFG_CUDA_EMULATE.
//
// Blocks run in turn. The threads of a block are fibers that yield at __syncthreads, __syncwarp and shuffles; kernels
// launched as barrier-free run as plain loops. FASTGRAD_EMU_ORDER=ascending|descending|shuffled sets the order of
// threads and blocks: a missing barrier shows in one of them. Shared memory starts as NaN in every block, a barrier
// that not all threads reach is an error. With FASTGRAD_EMU_GUARD=1 device memory cannot be touched outside of kernels
// and copies: a host that reads a device pointer ends with a segmentation fault, as on a GPU. It cannot see
// memory-model races, bank conflicts or speed. The scheduler is in emulator.cpp.
//
// A device has FASTGRAD_EMU_MEMORY bytes, FASTGRAD_EMU_FAIL=cudaMalloc:700,cudaLaunchKernel:719 lets those calls fail
// with these errors (a kernel's name: its launches), in both cases from the moment on that the variable is set. There
// are FASTGRAD_EMU_DEVICES of them, of compute capability FASTGRAD_EMU_CAPABILITY, 80 if that is not set. What the
// kernels for 90 need besides is in emulator_hopper.h.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <type_traits>

#define __host__
#define __device__
#define __global__
#define __grid_constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local
#define __CUDA_EMULATED__ 1

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

enum cudaError_t : int;

namespace emu {

struct Index {
  unsigned x, y, z;
};
struct Position {
  Index thread, block, block_dim, grid_dim;
};
extern __thread Position position;

using Body = void (*)(void* context);
// Runs body once per thread of the grid. Returns nullptr, or what went wrong.
const char* run(const char* name, const void* kernel, dim3 grid, dim3 block, size_t dynamic_bytes, bool barriers,
                Body body, void* context);
cudaError_t launch_fault(const char* name);  // that the launch of this kernel is to fail with

void sync_block();
void sync_warp();
// A slot for one value per lane. Slots alternate, so one barrier per exchange is enough.
void* exchange_slots();
int lane();
int lanes();                              // of the current warp; the last one may be partial
void poison(void* memory, size_t bytes);  // once per block
void* dynamic_shared();

// ---- for what goes on beside the threads (emulator_hopper.h)
// The thread goes on once ready(what) is true. That all threads wait and nothing is left to happen is an error.
void wait_until(bool (*ready)(const void* what), const void* what);
void pause();  // the other threads run first
// Happens as late as it can, when no thread can go on; with threads in shuffled order, at any time.
void later(std::function<void()> work);
void complain(const char* what);  // ends the block with this error
uint32_t block_serial();          // another one for every block
// The dynamic shared memory of the block in its own address space, where it begins at no more than a multiple of 16.
uint32_t shared_address(const void* memory);
unsigned char* shared_memory(uint32_t address, size_t bytes);  // nullptr, with a complaint: not all of it is there
void allow_shared(const void* kernel, size_t bytes);           // more than 48 KiB, to launches of this kernel

void* device_malloc(size_t bytes);
void device_free(void* memory);
extern thread_local int device;  // the current one of this thread
int device_count();
// While one exists, device memory can be touched.
struct Opened {
  Opened();
  ~Opened();
};

// Work for a stream runs at once, or is kept when the stream is being captured: graphs run it later, with the arguments
// that it came with.
using Work = std::function<const char*()>;  // returns nullptr, or what went wrong
bool captured(void* stream);
void keep(void* stream, Work work);
template <class Fn> const char* give(void* stream, Fn&& work) {
  if (captured(stream)) return keep(stream, std::forward<Fn>(work)), nullptr;
  return work();
}
bool waiting_breaks(void* stream);  // it is captured, and the capture is lost now
bool unsafe_now();                  // a call that another thread's or this thread's capture forbids: those are lost now

template <class T> T exchange(T value, int from) {
  struct Slot {
    alignas(8) unsigned char bytes[64];
  };
  static_assert(sizeof(T) <= sizeof(Slot) && std::is_trivially_copyable_v<T>);
  Slot* slots = static_cast<Slot*>(exchange_slots());
  std::memcpy(slots[lane()].bytes, &value, sizeof(T));
  sync_warp();
  if (from >= 0 && from < lanes()) std::memcpy(&value, slots[from].bytes, sizeof(T));
  return value;
}

}  // namespace emu

#define threadIdx (::emu::position.thread)
#define blockIdx (::emu::position.block)
#define blockDim (::emu::position.block_dim)
#define gridDim (::emu::position.grid_dim)

inline void __syncthreads() { emu::sync_block(); }
inline void __syncwarp(unsigned = ~0u) { emu::sync_warp(); }
template <class T> T __shfl_down_sync(unsigned, T value, int delta, int width = 32) {
  int lane = emu::lane(), from = lane + delta;
  return emu::exchange(value, (from & ~(width - 1)) == (lane & ~(width - 1)) ? from : lane);
}
template <class T> T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
  return emu::exchange(value, emu::lane() ^ mask);
}
template <class T> T __shfl_sync(unsigned, T value, int from, int width = 32) {
  return emu::exchange(value, (emu::lane() & ~(width - 1)) | (from & (width - 1)));
}
// All threads run on one host thread: plain read-modify-write is atomic.
template <class T> T atomicAdd(T* p, T value) {
  T old = *p;
  *p = static_cast<T>(old + value);
  return old;
}
template <class T> T atomicMin(T* p, T value) {
  T old = *p;
  if (value < old) *p = value;
  return old;
}
inline void __threadfence() {}

// ---- the part of the CUDA runtime that host code uses; device memory is host memory
enum cudaError_t : int {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureUnjoined = 904,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorCapturedEvent = 907
};
namespace emu {
void* host_malloc(size_t bytes);  // pages of its own: who touches them after host_free() ends the process
void host_free(void* memory);
cudaError_t fault(const char* call);  // that it is to fail with; in a forked process every call does
}  // namespace emu
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
using cudaStream_t = void*;
struct FgEmulatedEvent;
using cudaEvent_t = FgEmulatedEvent*;
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2;
inline const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInitializationError: return "initialization error";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    case cudaErrorStreamCaptureUnjoined: return "capturing stream has unjoined work";
    case cudaErrorStreamCaptureIsolation: return "dependency created on uncaptured work in another stream";
    case cudaErrorCapturedEvent: return "operation not permitted on an event last recorded in a capturing stream";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
    default: return "launch failure";
  }
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) { return *count = emu::device_count(), cudaSuccess; }
enum cudaDeviceAttr { cudaDevAttrComputeCapabilityMajor = 75, cudaDevAttrComputeCapabilityMinor = 76 };
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const char* wish = std::getenv("FASTGRAD_EMU_CAPABILITY");
  const int capability = wish ? std::atoi(wish) : 80;
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? capability / 10 : capability % 10;
  return cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* device) { return *device = emu::device, cudaSuccess; }
inline cudaError_t cudaSetDevice(int device) {
  if (cudaError_t fault = emu::fault("cudaSetDevice")) return fault;
  return emu::device = device, cudaSuccess;
}
inline cudaError_t cudaMalloc(void** p, size_t bytes) {
  if (cudaError_t fault = emu::fault("cudaMalloc")) return fault;
  if (emu::unsafe_now()) return cudaErrorStreamCaptureUnsupported;
  *p = emu::device_malloc(bytes);
  return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void* p) {
  if (emu::unsafe_now()) return cudaErrorStreamCaptureUnsupported;
  return emu::device_free(p), cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  if (cudaError_t fault = emu::fault("cudaMemcpyAsync")) return fault;
  emu::give(stream, [=]() -> const char* {
    const emu::Opened opened;
    return std::memmove(to, from, bytes), nullptr;
  });
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t stream) {
  if (cudaError_t fault = emu::fault("cudaMemsetAsync")) return fault;
  emu::give(stream, [=]() -> const char* {
    const emu::Opened opened;
    return std::memset(to, byte, bytes), nullptr;
  });
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (cudaError_t fault = emu::fault("cudaStreamSynchronize")) return fault;
  return emu::waiting_breaks(stream) ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() {
  if (cudaError_t fault = emu::fault("cudaDeviceSynchronize")) return fault;
  return emu::unsafe_now() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
constexpr unsigned cudaHostAllocPortable = 1;
inline cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
  if (cudaError_t fault = emu::fault("cudaHostAlloc")) return fault;
  if (emu::unsafe_now()) return cudaErrorStreamCaptureUnsupported;
  *p = std::aligned_alloc(512, (bytes + 511) / 512 * 512);
  return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFreeHost(void* p) {
  if (emu::unsafe_now()) return cudaErrorStreamCaptureUnsupported;
  return std::free(p), cudaSuccess;
}
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
inline cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int bytes) {
  if (bytes < 0 || bytes > 227 << 10) return cudaErrorInvalidValue;
  return emu::allow_shared(kernel, static_cast<size_t>(bytes)), cudaSuccess;
}
struct FgEmulatedStream {
  int device;
};
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return *stream = new FgEmulatedStream{emu::device}, cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned);

enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };
struct FgEmulatedGraph;
using cudaGraph_t = FgEmulatedGraph*;
using cudaGraphExec_t = FgEmulatedGraph*;
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
