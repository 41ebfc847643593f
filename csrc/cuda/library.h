// NVIDIA's libraries: looked for when one is first needed, opened with dlopen, never linked. What we call of them is
// declared by us (cufft_api.h, cusolver_api.h); tests/test_cuda_libraries.py compares that with NVIDIA's headers where
// there are any. In the emulator the libraries are stand-ins (standin_*.cpp).
#pragma once
#include "core/backend.h"
#ifdef FG_CUDA_EMULATE
#include "cuda/emulator.h"
#endif

namespace fg::cuda {

struct LibraryName {
  const char* title;       // as it is written in errors
  const char* variable;    // 0: do not use it; a path: take this one
  const char* sonames[2];  // of CUDA 13, CUDA 12
  const char* wheels[2];   // where their wheels put it, below nvidia/
  const char* needs[4];    // beside it in the first: libraries that it is linked to, and finds when they are open
  const char* standin;     // in the emulator, beside this library
};
struct OpenLibrary {
  void* handle;   // nullptr: not there
  char why[320];  // and the reason
};
void open_library(const LibraryName& name, OpenLibrary& opened);
// The function, or nullptr, and then `opened` counts as not there.
void* resolve(OpenLibrary& opened, const LibraryName& name, const char* function);

// nullptr: it can be used
const char* cublas_missing();
const char* cusolver_missing();
const char* cufft_missing();

// ---- backend.cu, graph.cu
void set_error(const char* where, const char* what, DeviceError kind = DeviceError::runtime);
void set_out_of_memory(const char* what, size_t bytes, Stream stream);
bool recording();            // this thread records a graph
bool capturing();            // any thread does
bool graphs_alive();         // there are recorded ones
int capture_mode(int mode);  // sets that of this thread, returns the one before; kRelaxed: it may take memory
constexpr int kRelaxed = 2;
void use_device(int device);
void* allocate(size_t bytes, Stream stream);
void release(void* block, size_t bytes, Stream stream);
void empty_cache(int device);  // gives back what it can; nothing while a graph is recorded

// Memory for one call of a library. It may be given back right after the call: the stream keeps the order.
class Workspace {
 public:
  Workspace(size_t bytes, Stream stream)
      : bytes_(bytes), stream_(stream), data_(bytes ? allocate(bytes, stream) : nullptr) {
    if (bytes && !data_) set_out_of_memory("a library's workspace", bytes, stream);
  }
  ~Workspace() {
    if (data_) release(data_, bytes_, stream_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  bool ok() const { return data_ || !bytes_; }
  void* data() const { return data_; }

 private:
  size_t bytes_;
  Stream stream_;
  void* data_;
};

// The same on the host. What a recorded call found there it may read again in each replay: that memory is the graph's.
class HostWorkspace {
 public:
  explicit HostWorkspace(size_t bytes);
  ~HostWorkspace();
  HostWorkspace(const HostWorkspace&) = delete;
  HostWorkspace& operator=(const HostWorkspace&) = delete;
  bool ok() const { return data_ || !bytes_; }
  void* data() const { return data_; }

 private:
  size_t bytes_;
  void* data_;
};
void give_back_host(void* memory);
void keep_with_graph(void* memory);  // of the host, until the graph that is recorded is destroyed; graph.cu

// While one exists, a library may make what it needs: tables of a plan, a handle's memory. Even while a graph is
// recorded: they last.
class LibraryCall {
 public:
  LibraryCall() : before_(capture_mode(kRelaxed)) {}
  ~LibraryCall() { capture_mode(before_); }
  LibraryCall(const LibraryCall&) = delete;
  LibraryCall& operator=(const LibraryCall&) = delete;

 private:
  int before_;
};

// The status of a call that takes memory of the library's own. When there is none (status `full`), what we have cached
// goes back and the library tries again.
template <class Make> int with_memory(int device, int full, Make make) {
  int status = make();
  if (status == full) empty_cache(device), status = make();
  return status;
}

// A call that gives work to a stream. The libraries see themselves that the stream is recorded; stand-ins do not.
template <class Call> bool enqueue(Stream stream, Call call) {
#ifdef FG_CUDA_EMULATE
  return !emu::give(stream.handle, [=]() mutable -> const char* {
    const emu::Opened opened;
    return call() ? nullptr : "a call of a library failed";
  });
#else
  static_cast<void>(stream);
  return call();
#endif
}

}  // namespace fg::cuda
