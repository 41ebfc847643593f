// The ground every .cu file stands on: CUDA runtime or emulator, launches, errors, scratch memory.
//
// FG_LAUNCH(kernel, grid, block, smem, stream, args...) launches a kernel that may use barriers; FG_LAUNCH_FREE
// promises that it uses none, which lets the emulator run it as a plain loop. FG_SHARED declares shared memory (NaN at
// first in the emulator). Device code and host code see plain operands only, nothing throws, errors are kept for the
// thread until whoever called the entry takes them: an entry that fails sets one and returns.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#ifdef FG_CUDA_EMULATE
#include "cuda/emulator.h"
#else
#include <cuda_runtime.h>
#endif

#include "core/backend.h"

#define FG_DEVICE __device__ __forceinline__
#define FG_HD FG_DEVICE  // the words of ops/formula.h run in kernels only
#define FG_HD_INLINE FG_DEVICE

#ifdef FG_CUDA_EMULATE
#define FG_SHARED(type, name, count)    \
  static thread_local type name[count]; \
  ::emu::poison(name, sizeof name)
#define FG_DYNAMIC_SHARED(type, name) type* name = static_cast<type*>(::emu::dynamic_shared())
#define FG_UNROLL
#define FG_NO_UNROLL
#else
#define FG_SHARED(type, name, count) __shared__ type name[count]
#define FG_DYNAMIC_SHARED(type, name)                         \
  extern __shared__ __align__(16) unsigned char fg_dynamic[]; \
  type* name = reinterpret_cast<type*>(fg_dynamic)
#define FG_UNROLL _Pragma("unroll")
#define FG_NO_UNROLL _Pragma("unroll 1")
#endif

namespace fg::cuda {

// ---- backend.cu
// The first one is kept until it is taken.
void set_error(const char* where, const char* what, DeviceError kind = DeviceError::runtime);
void set_out_of_memory(const char* what, size_t bytes, Stream stream);
bool failed();                                     // whether there is one
bool check(cudaError_t error, const char* where);  // true when it is cudaSuccess
void use_device(int device);                       // makes it current in this thread
int multiprocessors(int device);
int capability(int device);  // 90 for compute capability 9.0
void* allocate(size_t bytes, Stream stream);
void release(void* block, size_t bytes, Stream stream);

inline cudaStream_t handle(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

// Memory for one operation. It may be given back right after the launch: the stream keeps the order.
class Scratch {
 public:
  Scratch(size_t bytes, Stream stream)
      : data_(bytes ? allocate(bytes, stream) : nullptr), bytes_(bytes), stream_(stream) {
    if (bytes && !data_) set_out_of_memory("scratch memory", bytes, stream);
  }
  ~Scratch() {
    if (data_) release(data_, bytes_, stream_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  explicit operator bool() const { return data_ != nullptr; }
  template <class T> T* as() const { return static_cast<T*>(data_); }

 private:
  void* data_;
  size_t bytes_;
  Stream stream_;
};

// ---- graph.cu: what is different while this thread records a graph
bool recording();
bool may_wait(const char* where);  // false, with an error set: it records
// From host memory that may change or go away afterwards.
bool upload(void* to, const void* from, size_t bytes, Stream stream);

// Brings a value to the host: waits for the stream.
template <class T> bool fetch(T* to, const T* from, Stream stream) {
  return may_wait("copy to host") &&
         check(cudaMemcpyAsync(to, from, sizeof(T), cudaMemcpyDeviceToHost, handle(stream)), "copy to host") &&
         check(cudaStreamSynchronize(handle(stream)), "synchronize");
}

// Where kernels leave the least place with an index that is out of range, by atomicMin. In a graph nothing can be
// raised: there the place goes to memory that the next wait for the device looks at, and is not known here.
constexpr long long kNoPlace = 0x7f7f7f7f7f7f7f7f;  // what memset can write, beyond every place
constexpr int kNoPlaceByte = 0x7f;
class Verdict {
 public:
  Verdict(Stream stream, const char* where);
  explicit operator bool() const { return word_ != nullptr; }
  long long* word() const { return word_; }
  int64_t place() const;  // waits for the stream; -1: none

 private:
  Scratch own_;
  long long* word_;
  Stream stream_;
};

// ---- launch
#ifdef FG_CUDA_EMULATE
template <class... P>
void launch(const char* name, bool barriers, void (*kernel)(P...), dim3 grid, dim3 block, size_t smem, Stream stream,
            std::type_identity_t<P>... values) {
  if (!check(emu::launch_fault(name), name)) return;
  const void* key = reinterpret_cast<const void*>(kernel);
  const char* error = emu::give(stream.handle, [=]() mutable {
    auto call = [&] { kernel(values...); };
    return emu::run(
        name, key, grid, block, smem, barriers, [](void* c) { (*static_cast<decltype(call)*>(c))(); }, &call);
  });
  if (error) set_error("emulator", error);
}
#else
void launch_kernel(const char* name, const void* kernel, dim3 grid, dim3 block, size_t smem, Stream stream,
                   void** args);
template <class... P>
void launch(const char* name, bool, void (*kernel)(P...), dim3 grid, dim3 block, size_t smem, Stream stream,
            std::type_identity_t<P>... values) {
  void* args[] = {static_cast<void*>(&values)..., nullptr};
  launch_kernel(name, reinterpret_cast<const void*>(kernel), grid, block, smem, stream, args);
}
#endif
#define FG_LAUNCH(kernel, ...) ::fg::cuda::launch(#kernel, true, kernel, __VA_ARGS__)
#define FG_LAUNCH_FREE(kernel, ...) ::fg::cuda::launch(#kernel, false, kernel, __VA_ARGS__)

constexpr int kThreads = 256;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
// Blocks for a grid-stride loop over n items: enough to fill the device a few times over, no more.
inline unsigned grid_for(int64_t n, Stream stream, int threads = kThreads) {
  int64_t blocks = ceil_div(n, threads), most = int64_t(multiprocessors(stream.device)) * 32;
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks < most ? blocks : most);
}
inline int item_size(DType t) {
  constexpr int bytes[] = {
#define X(name, bytes, compute) bytes,
      FG_DTYPES(X)
#undef X
  };
  return bytes[static_cast<int>(t)];
}
struct alignas(16) Sixteen {  // bytes that are moved as they are
  uint64_t low, high;
};
inline bool is_float(DType t) { return t >= DType::Float16 && t <= DType::Float64; }

FG_DEVICE int64_t global_thread() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
FG_DEVICE int64_t global_threads() { return int64_t(gridDim.x) * blockDim.x; }

}  // namespace fg::cuda
