// The emulator's graphs and events: the work of captured streams in the order in which it came. A stream that waits for
// an event of a captured one is captured too. What a real capture forbids is refused here as well, and the capture is
// lost by it: forbidden calls, waiting for work that is not part of it, work of another stream that is never waited
// for.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <vector>

#include "cuda/emulator.h"

struct FgEmulatedGraph {
  std::vector<emu::Work> work;
};

namespace emu {

using Clock = std::vector<size_t>;  // how much of each stream's work has been waited for
struct Branch {
  void* stream;
  Clock seen;
};
struct Capture {
  uint64_t number;
  std::vector<Branch> branches;  // the first one is where it began
  std::vector<Work> work;
  cudaStreamCaptureMode mode;
  bool broken = false;

  Branch* find(void* stream) {
    auto found = std::find_if(branches.begin(), branches.end(), [&](const Branch& b) { return b.stream == stream; });
    return found == branches.end() ? nullptr : &*found;
  }
  size_t place(const Branch* branch) const { return static_cast<size_t>(branch - branches.data()); }
  static size_t& at(Clock& clock, size_t i) {
    if (clock.size() <= i) clock.resize(i + 1);
    return clock[i];
  }
  static void merge(Clock& into, const Clock& other) {
    for (size_t i = 0; i < other.size(); ++i) at(into, i) = std::max(at(into, i), other[i]);
  }
  bool joined() {
    for (size_t i = 1; i < branches.size(); ++i)
      if (at(branches[0].seen, i) < at(branches[i].seen, i)) return false;
    return true;
  }
};

namespace {
std::mutex mutex;
std::atomic<int> open_count{0};
std::vector<Capture*> open;
uint64_t captures = 0;
thread_local Capture* own = nullptr;  // that this thread began
thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

Capture* find(void* stream) {
  if (!stream) return nullptr;
  for (Capture* capture : open)
    if (capture->find(stream)) return capture;
  return nullptr;
}
Capture* numbered(uint64_t number) {
  for (Capture* capture : open)
    if (capture->number == number) return capture;
  return nullptr;
}
}  // namespace

bool captured(void* stream) {
  if (!stream || open_count == 0) return false;
  std::lock_guard<std::mutex> lock(mutex);
  return find(stream);
}
void keep(void* stream, Work work) {
  std::lock_guard<std::mutex> lock(mutex);
  Capture* capture = find(stream);
  Branch* branch = capture->find(stream);
  ++Capture::at(branch->seen, capture->place(branch));
  capture->work.push_back(std::move(work));
}
bool waiting_breaks(void* stream) {
  if (open_count == 0) return false;
  std::lock_guard<std::mutex> lock(mutex);
  Capture* capture = find(stream);
  if (capture) capture->broken = true;
  return capture;
}
bool unsafe_now() {
  if (open_count == 0 || thread_mode == cudaStreamCaptureModeRelaxed) return false;
  std::lock_guard<std::mutex> lock(mutex);
  bool any = false;
  for (Capture* capture : open) {
    const bool forbids =
        capture == own ? capture->mode != cudaStreamCaptureModeRelaxed
                       : capture->mode == cudaStreamCaptureModeGlobal && thread_mode == cudaStreamCaptureModeGlobal;
    if (forbids) capture->broken = any = true;
  }
  return any;
}

}  // namespace emu

struct FgEmulatedEvent {
  int device;
  bool timing;
  uint64_t capture = 0;  // of the stream that it was recorded in; 0: none
  emu::Clock seen{};
  std::chrono::steady_clock::time_point time{};
};

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (cudaError_t fault = emu::fault("cudaEventCreate")) return fault;
  return *event = new FgEmulatedEvent{emu::device, !(flags & cudaEventDisableTiming)}, cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (cudaError_t fault = emu::fault("cudaEventRecord")) return fault;
  if (event->device != (stream ? static_cast<FgEmulatedStream*>(stream)->device : emu::device))
    return cudaErrorInvalidResourceHandle;
  std::lock_guard<std::mutex> lock(emu::mutex);
  emu::Capture* capture = emu::find(stream);
  event->capture = capture ? capture->number : 0;
  if (capture) event->seen = capture->find(stream)->seen;
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}
namespace {
// Whoever asks an event of a capture spoils that.
bool is_captured(cudaEvent_t event) {
  std::lock_guard<std::mutex> lock(emu::mutex);
  emu::Capture* capture = emu::numbered(event->capture);
  if (capture) capture->broken = true;
  return event->capture;
}
}  // namespace
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (is_captured(event)) return cudaErrorCapturedEvent;
  return emu::unsafe_now() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return cudaEventQuery(event); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start->timing || !end->timing) return cudaErrorInvalidResourceHandle;
  if (is_captured(start) || is_captured(end)) return cudaErrorCapturedEvent;
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return emu::waiting_breaks(stream) || emu::unsafe_now() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (cudaError_t fault = emu::fault("cudaStreamWaitEvent")) return fault;
  std::lock_guard<std::mutex> lock(emu::mutex);
  emu::Capture *there = emu::numbered(event->capture), *here = emu::find(stream);
  if (there && !here) {
    if (!stream) return there->broken = true, cudaErrorStreamCaptureUnsupported;
    there->branches.push_back({stream, event->seen});
  } else if (here && here != there) {
    return here->broken = true, cudaErrorStreamCaptureIsolation;  // it waits for work that is not part of it
  } else if (here) {
    emu::Capture::merge(here->find(stream)->seen, event->seen);
  }
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (!stream || emu::captured(stream) || emu::own) return cudaErrorStreamCaptureUnsupported;
  auto* capture = new emu::Capture;
  capture->branches = {{stream, {}}}, capture->mode = mode;
  std::lock_guard<std::mutex> lock(emu::mutex);
  capture->number = ++emu::captures;
  emu::open.push_back(emu::own = capture);
  ++emu::open_count;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  emu::Capture* capture = emu::own;
  if (!capture || capture->branches[0].stream != stream) return cudaErrorStreamCaptureUnsupported;
  {
    std::lock_guard<std::mutex> lock(emu::mutex);
    std::erase(emu::open, capture);
    --emu::open_count;
    emu::own = nullptr;
  }
  const cudaError_t code = capture->broken     ? cudaErrorStreamCaptureInvalidated
                           : capture->joined() ? cudaSuccess
                                               : cudaErrorStreamCaptureUnjoined;
  if (code == cudaSuccess) *graph = new FgEmulatedGraph{std::move(capture->work)};
  delete capture;
  return code;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = emu::captured(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return std::swap(*mode, emu::thread_mode), cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return *exec = new FgEmulatedGraph{*graph}, cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (emu::captured(stream)) return cudaErrorStreamCaptureUnsupported;  // graphs in graphs are not emulated
  for (emu::Work& work : exec->work) {
    if (const char* error = work()) return std::fprintf(stderr, "%s\n", error), cudaErrorLaunchFailure;
  }
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  if (emu::unsafe_now()) return cudaErrorStreamCaptureUnsupported;  // it may give memory back
  return delete exec, cudaSuccess;
}
