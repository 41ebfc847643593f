// Events of CUDA streams for fastgrad.cuda.Event. One is made on the device of the stream where it is first recorded.
#include <pybind11/pybind11.h>

#include "core/cuda_table.h"
#include "core/streams.h"
#include "core/types.h"
#include "python/functions.h"

namespace pb = pybind11;

namespace fg::py {

namespace {

Device cuda(int index) { return {DeviceType::CUDA, static_cast<int8_t>(index)}; }
Stream stream_of(int index, uintptr_t stream) { return {reinterpret_cast<void*>(stream), static_cast<int8_t>(index)}; }

struct Event {
  const bool timing, blocking;
  int index = -1;  // of its device; -1: not made yet
  void* handle = nullptr;

  Event(bool with_timing, bool blocks) : timing(with_timing), blocking(blocks) {}
  Event(const Event&) = delete;
  ~Event() {
    if (handle && !cuda_unavailable_reason()) cuda_table().event_free(handle);  // not in a forked process
  }
  void check() const { check_device(cuda(index), "cuda.Event"); }

  void record(int device, uintptr_t stream) {
    if (!handle) {
      handle = cuda_table().event_new(device, timing, blocking);
      check_device(cuda(device), "cuda.Event");
      index = device;
    }
    FG_CHECK(device == index, Runtime, "Event device ", index, " does not match recording stream's device ", device,
             ".");
    cuda_table().event_record(handle, stream_of(device, stream));
    check();
  }
  void wait(int device, uintptr_t stream) const {
    if (!handle) return;
    cuda_table().event_wait(handle, stream_of(device, stream));
    check_device(cuda(device), "cuda.Event");
  }
  void synchronize() const {
    if (!handle) return;
    cuda_table().event_synchronize(handle);
    check();
  }
  bool query() const {
    if (!handle) return true;
    const bool past = cuda_table().event_query(handle) == 1;
    check();
    return past;
  }
  float elapsed(const Event& end) const {
    FG_CHECK(timing && end.timing, Value, "Both events must be created with argument 'enable_timing=True'.");
    FG_CHECK(handle && end.handle, Value, "Both events must be recorded before calculating elapsed time.");
    float milliseconds = 0;
    const int code = cuda_table().event_elapsed(handle, end.handle, &milliseconds);
    check();
    FG_CHECK(code == 0, Runtime, "Both events must be completed before calculating elapsed time.");
    return milliseconds;
  }
};

}  // namespace

bool init_cuda_events(PyObject* module) {
  auto m = pb::reinterpret_borrow<pb::module_>(module);
  pb::class_<Event>(m, "_CudaEvent", "What fastgrad.cuda.Event holds.")
      .def(pb::init<bool, bool>())
      .def("record", &Event::record)
      .def("wait", &Event::wait)
      .def("synchronize", &Event::synchronize, pb::call_guard<pb::gil_scoped_release>())
      .def("query", &Event::query)
      .def("elapsed_time", &Event::elapsed)
      .def_readonly("device", &Event::index)
      .def_property_readonly("handle", [](const Event& e) { return reinterpret_cast<uintptr_t>(e.handle); });
  m.def("_stream_query", [](int index, uintptr_t stream) {
    const bool idle = cuda_table().stream_query(stream_of(index, stream)) == 1;
    check_device(cuda(index), "cuda.Stream.query");
    return idle;
  });
  return true;
}

}  // namespace fg::py
