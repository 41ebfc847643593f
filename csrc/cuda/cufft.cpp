// Transforms by cuFFT. Its plans are kept per device, those used last; their memory to work in is ours, for each call,
// so one plan serves every stream. Graphs use the tables of the plans that they were recorded with: those stay.
#include "cuda/cufft.h"

#include <array>
#include <cstdio>
#include <list>
#include <map>
#include <mutex>

#include "cuda/cufft_api.h"
#include "cuda/library.h"

namespace fg::cuda {
namespace {

using namespace cufft;

constexpr LibraryName kName{"cuFFT",
                            "FASTGRAD_CUFFT",
                            {"libcufft.so.12", "libcufft.so.11"},
                            {"cu13/lib/libcufft.so.12", "cufft/lib/libcufft.so.11"},
                            {"libnvJitLink.so.13"},
                            "libfastgrad_standin_cufft.so"};

struct Functions {
  OpenLibrary opened;
#define X(name, arguments) name##_type* name;
  FG_CUFFT_FUNCTIONS(X)
#undef X
};

const Functions& functions() {
  static const Functions loaded = [] {
    Functions f{};
    open_library(kName, f.opened);
#define X(name, arguments) f.name = reinterpret_cast<name##_type*>(resolve(f.opened, kName, #name));
    FG_CUFFT_FUNCTIONS(X)
#undef X
    return f;
  }();
  return loaded;
}

const char* text_of(int status) {
  switch (status) {
    case 1: return "CUFFT_INVALID_PLAN";
    case 2: return "CUFFT_ALLOC_FAILED";
    case 3: return "CUFFT_INVALID_TYPE";
    case 4: return "CUFFT_INVALID_VALUE";
    case 5: return "CUFFT_INTERNAL_ERROR";
    case 6: return "CUFFT_EXEC_FAILED";
    case 7: return "CUFFT_SETUP_FAILED";
    case 8: return "CUFFT_INVALID_SIZE";
    case 11: return "CUFFT_INVALID_DEVICE";
    case 16: return "CUFFT_NOT_SUPPORTED";
    default: return "unknown status";
  }
}
constexpr int kNoMemory = 2;
bool good(int status, const char* function) {
  if (!status) return true;
  char text[120];
  std::snprintf(text, sizeof text, "%s failed with %s (%d)", function, text_of(status), status);
  set_error("cuFFT", text, status == kNoMemory ? DeviceError::out_of_memory : DeviceError::runtime);
  return false;
}
#define FG_CUFFT(function, ...) good(functions().function(__VA_ARGS__), #function)

using Key = std::array<long long, 6>;  // type, rank, batch, sizes
struct Plan {
  Key key;
  int handle;
  size_t work;
  bool recorded;  // by a graph
};

constexpr int kDevices = 64;
constexpr int64_t kMost = 4096;  // as torch

// The plans of a device, the one used last in front. A plan is in use by one thread at a time.
struct Plans {
  std::mutex mutex;
  std::list<Plan> list;
  std::map<Key, std::list<Plan>::iterator> places;
  int64_t most = kMost;

  Plan* find(const Key& key) {
    auto found = places.find(key);
    if (found == places.end()) return nullptr;
    list.splice(list.begin(), list, found->second);
    return &list.front();
  }
  Plan* add(const Plan& plan) {
    list.push_front(plan);
    places[plan.key] = list.begin();
    return &list.front();
  }
  // What is dropped may still be running in some stream.
  void keep(int64_t count, int device) {
    if (static_cast<int64_t>(list.size()) <= count || capturing()) return;
    wait_for_device(device);
    const bool in_graphs = graphs_alive();
    for (auto plan = list.end(); plan != list.begin() && static_cast<int64_t>(list.size()) > count;) {
      --plan;
      if (plan->recorded && in_graphs) continue;
      functions().cufftDestroy(plan->handle);
      places.erase(plan->key);
      plan = list.erase(plan);
    }
  }
};
Plans& plans_of(int device) {
  static Plans* const all = new Plans[kDevices];  // never destroyed: the driver may be gone by then
  return all[device];
}

int type_of(const FftSeveralArgs& a) {
  const bool wide = a.dtype == DType::Float64;
  if (a.kind == Fft::from_real) return wide ? kD2Z : kR2C;
  if (a.kind == Fft::to_real) return wide ? kZ2D : kC2R;
  return wide ? kZ2Z : kC2C;
}

bool make(const FftSeveralArgs& a, Plan& plan) {
#ifdef FG_CUDA_EMULATE
  if (emu::unsafe_now()) return set_error("cuFFT", "a plan takes memory, and a graph is recorded"), false;
#endif
  long long real[3] = {1, 1, 1}, half[3] = {1, 1, 1}, real_points = 1, half_points = 1;
  for (int d = 0; d < a.rank; ++d) {
    real[d] = half[d] = a.sizes[d];
    if (d == a.rank - 1) half[d] = a.sizes[d] / 2 + 1;
    real_points *= real[d], half_points *= half[d];
  }
  const bool halves_in = a.kind == Fft::to_real, halves_out = a.kind == Fft::from_real;
  // A plan has tables of its own. One that could not be made is of no more use.
  const char* call = nullptr;  // the last one, which an error is about
  auto make_one = [&] {
    call = "cufftCreate";
    int status = functions().cufftCreate(&plan.handle);
    if (status) return status;
    call = "cufftSetAutoAllocation";
    status = functions().cufftSetAutoAllocation(plan.handle, 0);
    if (!status) {
      call = "cufftMakePlanMany64";
      status = functions().cufftMakePlanMany64(plan.handle, a.rank, real, halves_in ? half : real, 1,
                                               halves_in ? half_points : real_points, halves_out ? half : real, 1,
                                               halves_out ? half_points : real_points, type_of(a), a.batch, &plan.work);
    }
    if (status) functions().cufftDestroy(plan.handle);
    return status;
  };
  const int status = with_memory(a.stream.device, kNoMemory, make_one);
  return good(status, call);
}

bool execute(const FftSeveralArgs& a, int plan) {
  const int direction = a.kind == Fft::forward ? kForward : kInverse;
  switch (type_of(a)) {
    case kC2C: return FG_CUFFT(cufftExecC2C, plan, a.in, a.out, direction);
    case kZ2Z: return FG_CUFFT(cufftExecZ2Z, plan, a.in, a.out, direction);
    case kR2C: return FG_CUFFT(cufftExecR2C, plan, a.in, a.out);
    case kD2Z: return FG_CUFFT(cufftExecD2Z, plan, a.in, a.out);
    case kC2R: return FG_CUFFT(cufftExecC2R, plan, a.in, a.out);
    default: return FG_CUFFT(cufftExecZ2D, plan, a.in, a.out);
  }
}

}  // namespace

const char* cufft_missing() {
  const OpenLibrary& opened = functions().opened;
  return opened.handle ? nullptr : opened.why;
}

bool cufft_run(const FftSeveralArgs& a) {
  if (const char* why = cufft_missing()) {
    set_error("this needs cuFFT", why);
    return false;
  }
  const int device = a.stream.device;
  use_device(device);
  Key key{type_of(a), a.rank, a.batch, 0, 0, 0};
  for (int d = 0; d < a.rank; ++d) key[3 + static_cast<size_t>(d)] = a.sizes[d];
  Plans& plans = plans_of(device);
  std::lock_guard lock(plans.mutex);
  const LibraryCall call;
  Plan* plan = plans.find(key);
  if (!plan) {
    Plan made{key, 0, 0, false};
    if (!make(a, made)) return false;
    plan = plans.add(made);
  }
  bool done = false;
  {
    Workspace work(plan->work, a.stream);
    plan->recorded |= recording();
    done = work.ok() && enqueue(a.stream, [a, handle = plan->handle, memory = work.data()] {
             return FG_CUFFT(cufftSetStream, handle, a.stream.handle) && FG_CUFFT(cufftSetWorkArea, handle, memory) &&
                    execute(a, handle);
           });
  }
  plans.keep(plans.most, device);
  return done;
}

int64_t cufft_plans(int device, FftPlans what, int64_t value) {
  Plans& plans = plans_of(device);
  std::lock_guard lock(plans.mutex);
  switch (what) {
    case FftPlans::count: return static_cast<int64_t>(plans.list.size());
    case FftPlans::most: return plans.most;
    case FftPlans::set_most: plans.keep(plans.most = value, device); return value;
    case FftPlans::clear: plans.keep(0, device); return 0;
  }
  return 0;
}

}  // namespace fg::cuda
