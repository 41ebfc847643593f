// The thread-local mode byte: all that an op looks at when no mode is on. Zero is the normal state.
#pragma once
#include <atomic>
#include <cstdint>

namespace fg {

enum ModeBit : uint8_t {
  kNoGrad = 1,          // no_grad, and while the engine runs without create_graph
  kInference = 2,       // inference_mode: implies no recording
  kAnomaly = 4,         // remember the forward source line of each node
  kSavedHooks = 8,      // saved_tensors_hooks are active
  kTorchFunction = 16,  // a __torch_function__ override may exist
  kForward = 32,        // a forward-mode level is open: tensors may carry tangents
  kAutocast = 64,       // operands of products and the like are cast to the dtype of the autocast region
  kProfile = 128        // calls and backward steps are timed
};

extern thread_local uint8_t mode __attribute__((tls_model("initial-exec")));

inline bool grad_enabled() { return (mode & (kNoGrad | kInference)) == 0; }

class ModeGuard {
 public:
  explicit ModeGuard(uint8_t value) : saved_(mode) { mode = value; }
  ~ModeGuard() { mode = saved_; }
  ModeGuard(const ModeGuard&) = delete;
  ModeGuard& operator=(const ModeGuard&) = delete;

 private:
  uint8_t saved_;
};
// Inside the library: what runs here is no op that anybody differentiates, in either direction.
struct NoGradGuard : ModeGuard {
  NoGradGuard() : ModeGuard(static_cast<uint8_t>((mode | kNoGrad) & ~kForward)) {}
};

// How many threads are inside a kernel without the interpreter lock. Storages that are exchanged meanwhile (x.data =
// ...) are given back when the last one is done.
extern std::atomic<int> kernels_without_gil;
void release_retired_storages();

// Kernels on much data run without the interpreter lock. python/ sets the two functions; without them nothing happens.
struct GilHooks {
  void* (*release)();  // nullptr when this thread does not hold it
  void (*acquire)(void* state);
};
extern GilHooks gil_hooks;
constexpr int64_t kGilThreshold = 64 * 1024;  // elements

class GilRelease {
 public:
  explicit GilRelease(int64_t elements) : state_(nullptr) {
    if (elements < kGilThreshold || !gil_hooks.release) return;
    ++kernels_without_gil;
    state_ = gil_hooks.release();
    if (!state_) --kernels_without_gil;
  }
  ~GilRelease() {
    if (!state_) return;
    gil_hooks.acquire(state_);
    if (--kernels_without_gil == 0) release_retired_storages();
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  void* state_;
};

}  // namespace fg
