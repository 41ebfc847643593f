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

// ---- backend.cu
void set_error(const char* where, const char* what);
void use_device(int device);
void* allocate(size_t bytes, Stream stream);
void release(void* block, size_t bytes, Stream stream);

// Memory for one call of a library. It may be given back right after the call: the stream keeps the order.
class Workspace {
 public:
  Workspace(size_t bytes, Stream stream)
      : bytes_(bytes), stream_(stream), data_(bytes ? allocate(bytes, stream) : nullptr) {
    if (bytes && !data_) set_error("workspace", "out of memory");
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

// While one exists, a library may touch device memory.
#ifdef FG_CUDA_EMULATE
using LibraryCall = emu::Opened;
#else
struct LibraryCall {
  LibraryCall() {}
};
#endif

}  // namespace fg::cuda
