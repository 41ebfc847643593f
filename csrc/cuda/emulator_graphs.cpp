// The emulator's graphs: the work of captured streams in the order in which it came. A stream that waits for an event
// of a captured one is captured too. What a real capture forbids is refused here as well.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <vector>

#include "cuda/emulator.h"

struct FgEmulatedGraph {
  std::vector<emu::Work> work;
};

namespace emu {

struct Capture {
  std::vector<void*> streams;  // the first one is where it began
  std::vector<Work> work;
  cudaStreamCaptureMode mode;
  bool broken = false;
};

namespace {
std::mutex mutex;
std::atomic<int> open_count{0};
std::vector<Capture*> open;
thread_local Capture* own = nullptr;  // that this thread began
thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

Capture* find(void* stream) {
  for (Capture* capture : open)
    if (std::find(capture->streams.begin(), capture->streams.end(), stream) != capture->streams.end()) return capture;
  return nullptr;
}
}  // namespace

Capture* capture_of(void* stream) {
  if (!stream || open_count == 0) return nullptr;
  std::lock_guard<std::mutex> lock(mutex);
  return find(stream);
}
void keep(Capture* capture, Work work) {
  std::lock_guard<std::mutex> lock(mutex);
  capture->work.push_back(std::move(work));
}
bool waiting_breaks(void* stream) {
  Capture* capture = capture_of(stream);
  if (capture) capture->broken = true;
  return capture;
}
bool unsafe_now() {
  if (open_count == 0 || thread_mode == cudaStreamCaptureModeRelaxed) return false;
  if (own && own->mode != cudaStreamCaptureModeRelaxed) return true;
  if (thread_mode != cudaStreamCaptureModeGlobal) return false;
  std::lock_guard<std::mutex> lock(mutex);
  return std::any_of(open.begin(), open.end(), [](Capture* c) { return c->mode == cudaStreamCaptureModeGlobal; });
}

}  // namespace emu

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  std::lock_guard<std::mutex> lock(emu::mutex);
  emu::Capture* there = event->capture;
  if (there && std::find(emu::open.begin(), emu::open.end(), there) == emu::open.end()) there = nullptr;
  emu::Capture* here = emu::find(stream);
  if (there && !here) {
    if (!stream) return there->broken = true, cudaErrorStreamCaptureUnsupported;
    there->streams.push_back(stream);
  } else if (here && here != there) {
    return here->broken = true, cudaErrorStreamCaptureUnsupported;  // it waits for work that is not part of it
  }
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (!stream || emu::capture_of(stream) || emu::own) return cudaErrorStreamCaptureUnsupported;
  auto* capture = new emu::Capture;
  capture->streams = {stream}, capture->mode = mode;
  std::lock_guard<std::mutex> lock(emu::mutex);
  emu::open.push_back(emu::own = capture);
  ++emu::open_count;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  emu::Capture* capture = emu::capture_of(stream);
  if (!capture || capture->streams[0] != stream || capture != emu::own) return cudaErrorStreamCaptureUnsupported;
  {
    std::lock_guard<std::mutex> lock(emu::mutex);
    std::erase(emu::open, capture);
    --emu::open_count;
    emu::own = nullptr;
  }
  const bool broken = capture->broken;
  if (!broken) *graph = new FgEmulatedGraph{std::move(capture->work)};
  delete capture;
  return broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = emu::capture_of(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return std::swap(*mode, emu::thread_mode), cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return *exec = new FgEmulatedGraph{*graph}, cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (emu::capture_of(stream)) return cudaErrorStreamCaptureUnsupported;  // graphs in graphs are not emulated
  for (emu::Work& work : exec->work) {
    if (const char* error = work()) return std::fprintf(stderr, "%s\n", error), cudaErrorLaunchFailure;
  }
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return delete exec, cudaSuccess; }
