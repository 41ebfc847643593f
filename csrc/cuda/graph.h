// Graphs being recorded, as the rest of the backend sees them. A thread that records must not wait for the device and
// must not copy from memory of the host that may change: fetch() and upload() know.
#pragma once
#include "cuda/allocator.h"
#include "cuda/device.cuh"

namespace fg::cuda {

Allocator* allocator(int device);
uint64_t recording_pool();  // of this thread's graph; 0: it records none
// Whether any thread records. Then nothing may wait for a device or give memory back to the driver: that would spoil a
// recording in the global mode.
bool capturing();
bool graphs_alive();                // recorded ones, that can be replayed, or in the making
void give_back_host(void* memory);  // library.cpp: what was given to keep_with_graph(void*)
void pinned_give_back();            // all page-locked blocks that nobody uses

// What this thread records will lack something: no graph comes of it. set_error() says so.
void spoil_recording();
// set_error() for a call that was not begun.
void refuse(const char* where, const char* what, DeviceError kind = DeviceError::runtime);

// Where captured kernels report an index out of range (the least place), as nothing can be raised then. Whoever waits
// for the device next raises it: raise_found().
long long* lasting_verdict(Stream stream);  // nullptr: an error is set
void raise_found(Stream stream);

// While one exists, this thread may take memory from the driver, and ask events, although a graph is recorded
// somewhere.
class RelaxedCapture {
 public:
  RelaxedCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~RelaxedCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  RelaxedCapture(const RelaxedCapture&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace fg::cuda
