// CUDA graphs for fastgrad.cuda.graphs (a graph with the generators whose draws it may contain), and pinned memory.
#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include <pybind11/pybind11.h>

#include "core/cuda_table.h"
#include "core/streams.h"
#include "ops/pinned.h"
#include "python/functions.h"
#include "python/generator.h"

namespace pb = pybind11;

namespace fg::py {

namespace {

Device device_of_index(int index) {
  const Device first{DeviceType::CUDA, 0};
  FG_CHECK(index >= 0 && index < backend(first).device_count(), Runtime, "CUDA device ", index, " does not exist");
  return {DeviceType::CUDA, static_cast<int8_t>(index)};
}

struct Graph {
  Device device;
  void* handle;
  bool recording = false;
  void* recorded = nullptr;      // the stream
  std::vector<pb::object> kept;  // the generators' objects
  std::vector<Generator*> generators;

  explicit Graph(int index) : device(device_of_index(index)), handle(cuda_table().graph_new(index)) {}
  Graph(const Graph&) = delete;
  ~Graph() {
    if (cuda_unavailable_reason()) return;  // in a forked process
    if (recording && cuda_table().graph_recording(handle)) forget_recording(recorded);
    cuda_table().graph_free(handle);
    backend(device).take_error(nullptr);  // nothing can be raised here
  }

  Stream stream() const { return {current_stream_handle(device.index), device.index}; }
  void check() const { check_device(device, ""); }
  void add(pb::object generator) {
    Generator& g = generator_of(generator.ptr());
    FG_CHECK(g.device == device, Runtime, "CUDAGraph.register_generator_state: expected a generator of ",
             device_name(device), ", got one of ", device_name(g.device));
    if (std::find(generators.begin(), generators.end(), &g) != generators.end()) return;
    generators.push_back(&g);
    kept.push_back(std::move(generator));
    cuda_table().graph_register(handle, g.on_device);
  }
  void begin(uint64_t pool, int mode) {
    const Stream where = stream();
    check();
    cuda_table().graph_begin(handle, where, pool, static_cast<CaptureMode>(mode));
    check();
    set_recording_graph(where.handle);
    recording = true, recorded = where.handle;
  }
  void end() {
    const bool ended = cuda_table().graph_end(handle) == 0;
    if (ended || !cuda_table().graph_recording(handle)) set_recording_graph(nullptr), recording = false;
    try {
      check();
    } catch (const Error&) {
      if (ended) cuda_table().graph_reset(handle);
      throw;
    }
  }
  void replay() const {
    {
      pb::gil_scoped_release unlocked;
      std::vector<Generator*> order = generators;  // whoever takes several locks takes them in one order
      std::sort(order.begin(), order.end());
      std::vector<std::unique_lock<std::mutex>> locks;
      for (Generator* g : order) locks.emplace_back(g->lock);
      cuda_table().graph_replay(handle, stream());
    }
    check();
  }
  void reset() {
    cuda_table().graph_reset(handle);
    check();
    kept.clear(), generators.clear();
  }
};

const Tensor& tensor_of(const pb::object& o) {
  if (!is_tensor(o.ptr())) throw pb::type_error("a Tensor is needed");
  return borrow(o.ptr());
}

}  // namespace

bool init_cuda_graphs(PyObject* module) {
  auto m = pb::reinterpret_borrow<pb::module_>(module);
  pb::class_<Graph>(m, "_CUDAGraph", "What fastgrad.cuda.CUDAGraph holds.")
      .def(pb::init<int>())
      .def("add_generator", &Graph::add)
      .def("begin", &Graph::begin)
      .def("end", &Graph::end)
      .def("replay", &Graph::replay)
      .def("reset", &Graph::reset)
      .def("pool", [](const Graph& g) { return cuda_table().graph_pool(g.handle); });
  m.def("_pin_memory", [](pb::object tensor) {
    const Tensor &t = tensor_of(tensor), pinned = pin_memory(t);
    return pinned.is_same(t) ? tensor : pb::reinterpret_steal<pb::object>(wrap(pinned));
  });
  m.def("_is_pinned", [](pb::object tensor) { return is_pinned(tensor_of(tensor)); });
  m.def("_allow_tf32", [](bool allowed) { allow_tf32(allowed); });
  m.def("_graph_pool_new", [] { return cuda_table().pool_new(); });
  m.def("_graph_recording", [](int index) {
    const Device device = device_of_index(index);
    const bool found = cuda_table().is_recording(Storage::current_stream(device)) == 1;
    check_device(device, "");
    return found;
  });
  return true;
}

}  // namespace fg::py
