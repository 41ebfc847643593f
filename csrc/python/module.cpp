// The module fastgrad._C: sets up the types and the function table, and binds what is not hot through pybind11.
#include <unistd.h>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/cuda_table.h"
#include "core/pool.h"
#include "core/streams.h"
#include "cpu/backend_cpu.h"
#include "cpu/parallel.h"
#include "ops/row_info.h"
#include "python/functions.h"
#include "python/overrides.h"

namespace pb = pybind11;

namespace {

using namespace fg;

void* release_gil() { return PyGILState_Check() ? PyEval_SaveThread() : nullptr; }
// When the interpreter has ended meanwhile, CPython ends a daemon thread here by unwinding its stack. That must not
// pass through C++ frames (std::terminate), so the thread waits for the end of the process instead.
void acquire_gil(void* state) {
  try {
    PyEval_RestoreThread(static_cast<PyThreadState*>(state));
  } catch (...) {
    for (;;) pause();
  }
}

const char* section_text(Section s) {
  switch (s) {
    case Section::unary_float: return "unary_float";
    case Section::unary_any: return "unary_any";
    case Section::unary_test: return "unary_test";
    case Section::binary_float: return "binary_float";
    case Section::binary_any: return "binary_any";
    case Section::binary_test: return "binary_test";
    case Section::bitwise: return "bitwise";
    case Section::ternary_float: return "ternary_float";
    default: return "ternary_any";
  }
}

pb::list op_table() {
  pb::list out;
  for (int i = 0; i < kOps; ++i) {
    const RowInfo& info = row_info(static_cast<Op>(i));
    pb::dict row;
    row["name"] = info.name;
    row["arity"] = info.arity;
    row["section"] = section_text(info.section);
    row["formula"] = info.formula;
    pb::list gradients;
    for (int k = 0; k < info.arity; ++k)
      if (info.gradients[k]) gradients.append(info.gradients[k]);
    row["gradients"] = gradients;
    row["differentiable"] = info.differentiable;
    row["complex"] = info.complex;
    row["node_name"] = info.node_name;
    out.append(row);
  }
  return out;
}

Device device_of(pb::object o) {
  Device d;
  if (o.is_none()) return d;
  if (!fg::py::to_device_value(o.ptr(), d)) {
    if (PyErr_Occurred()) throw pb::error_already_set();
    throw pb::type_error("a device is needed");
  }
  return d;
}

DType dtype_of(pb::object o) {
  if (!fg::py::is_dtype(o.ptr())) throw pb::type_error("a torch.dtype is needed");
  return fg::py::unwrap_dtype(o.ptr());
}

pb::object dtype_object(DType t) { return pb::reinterpret_steal<pb::object>(fg::py::wrap_dtype(t)); }

pb::dict memory_stats(pb::object device) {
  Device d = device_of(device);
  MemoryStats stats{};
  backend(d).memory_stats(d.index, &stats);
  pb::dict out;
  out["allocated"] = stats.allocated;
  out["reserved"] = stats.reserved;
  out["peak_allocated"] = stats.peak_allocated;
  out["peak_reserved"] = stats.peak_reserved;
  out["blocks"] = stats.blocks;
  if (d.is_cpu()) {  // without what blocks are larger than asked for
    const pool::Totals totals = pool::totals();
    out["requested"] = totals.requested;
    out["peak_requested"] = totals.peak_requested;
  }
  return out;
}

pb::object operand_type(pb::args args) {
  std::vector<Arg> list;
  std::vector<Tensor> keep;
  keep.reserve(args.size());
  for (auto a : args) {
    Scalar s;
    if (fg::py::is_tensor(a.ptr())) {
      keep.push_back(fg::py::unwrap(a.ptr()));
      list.emplace_back(keep.back());
    } else if (fg::py::to_scalar(a.ptr(), s)) {
      list.emplace_back(s);
    } else {
      throw pb::type_error("result_type(): tensors or numbers are needed");
    }
  }
  return dtype_object(result_type(list));
}

}  // namespace

// A forced instruction set that is unknown or not there must not go unnoticed.
void check_forced_isa() {
  const char* wanted = std::getenv("FASTGRAD_ISA");
  if (!wanted || !*wanted) return;
  std::string have = fg::cpu::available_isas(), name = wanted;
  bool known = name == "amx";  // runs on the AVX-512 kernels
  for (size_t at = 0; at < have.size();) {
    size_t end = std::min(have.find(' ', at), have.size());
    known |= have.substr(at, end - at) == name;
    at = end + 1;
  }
  if (!known) throw pb::import_error("FASTGRAD_ISA=" + name + " cannot be used: this machine and build have " + have);
}

PYBIND11_MODULE(_C, m) {
  check_forced_isa();
  gil_hooks = {release_gil, acquire_gil};
  PyObject* module = m.ptr();
  using namespace fg::py;
  static constexpr bool (*parts[])(PyObject*) = {
      init_tensor_type,      init_dtype_device,
      init_overrides,        init_elementwise_functions,
      init_reduce_functions, init_sort_functions,
      init_shape_functions,  init_index_functions,
      init_create_functions, init_complex_functions,
      init_nn_functions,     init_optim_functions,
      init_linalg_functions, init_conv_functions,
      init_image_functions,  init_random_functions,
      init_convert,          init_arrays,
      init_dlpack,           init_autograd,
      init_autocast,         init_profile,
      init_grad_mode,        init_module_call,
      init_cuda_events,      init_cuda_graphs,
  };
  bool ok = true;
  for (auto part : parts) ok = ok && part(module);
  if (!ok) {
    if (PyErr_Occurred()) throw pb::error_already_set();
    throw std::runtime_error("fastgrad._C could not be set up");
  }
  pb::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Error&) {
      set_error();
    }
  });

  m.def(
      "set_types",
      [](pb::object parameter) {
        if (!PyType_Check(parameter.ptr())) throw pb::type_error("set_types: Parameter must be a class");
        parameter_type = parameter.inc_ref().ptr();
      },
      pb::arg("Parameter"));
  m.def(
      "_make_subclass",
      [](pb::object cls, pb::object data, bool requires_grad) {
        if (!PyType_Check(cls.ptr()) || !PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(cls.ptr()), tensor_type))
          throw pb::type_error("_make_subclass: a subclass of Tensor is needed");
        if (!is_tensor(data.ptr())) throw pb::type_error("_make_subclass: a Tensor is needed");
        Tensor t = detach(borrow(data.ptr()));
        if (requires_grad && !is_inexact(t.dtype()))
          fail(ErrorKind::Runtime, "Only Tensors of floating point and complex dtype can require gradients");
        t.impl()->requires_grad = requires_grad;
        return pb::reinterpret_steal<pb::object>(wrap_as(std::move(t), reinterpret_cast<PyTypeObject*>(cls.ptr())));
      },
      pb::arg("cls"), pb::arg("data"), pb::arg("requires_grad") = false);

  m.def(
      "_as_subclass",
      [](pb::object data, pb::object cls) {
        if (!PyType_Check(cls.ptr()) || !PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(cls.ptr()), tensor_type))
          throw pb::type_error("as_subclass: cls must be a type that inherits from Tensor");
        if (!is_tensor(data.ptr())) throw pb::type_error("as_subclass: a Tensor is needed");
        return pb::reinterpret_steal<pb::object>(
            wrap_as(alias(borrow(data.ptr())), reinterpret_cast<PyTypeObject*>(cls.ptr())));
      },
      pb::arg("data"), pb::arg("cls"));

  m.def("set_num_threads", [](pb::object value) {
    if (!PyLong_Check(value.ptr()))
      throw std::runtime_error(std::string("set_num_threads expects an int, but got ") + Py_TYPE(value.ptr())->tp_name);
    int n = value.cast<int>();
    if (n < 1) throw std::runtime_error("set_num_threads expects a positive integer");
    cpu::set_num_threads(n);
  });
  m.def("get_num_threads", [] { return cpu::num_threads(); });
  m.def("cpu_isa", [] {
    cpu::backend();
    return std::string(cpu::active_isa());
  });
  m.def("available_isas", [] {
    pb::object text = pb::str(cpu::available_isas());
    return text.attr("split")();
  });
  m.def("set_default_dtype", [](pb::object d) {
    DType t = dtype_of(d);
    if (!is_floating(t)) throw pb::type_error("only floating-point types are supported as the default type");
    set_default_dtype(t);
  });
  m.def("get_default_dtype", [] { return dtype_object(default_dtype()); });
  m.def("promote_types", [](pb::object a, pb::object b) { return dtype_object(promote(dtype_of(a), dtype_of(b))); });
  m.def("can_cast", [](pb::object a, pb::object b) { return can_cast(dtype_of(a), dtype_of(b)); });
  m.def("result_type", operand_type);
  m.def("memory_stats", memory_stats, pb::arg("device") = pb::none());
  m.def(
      "empty_cache",
      [](pb::object device) {
        Device d = device_of(device);
        backend(d).empty_cache(d.index);
        check_device(d, "empty_cache");
      },
      pb::arg("device") = pb::none());
  m.def(
      "reset_peak_memory",
      [](pb::object device) {
        Device d = device_of(device);
        backend(d).reset_peak(d.index);
      },
      pb::arg("device") = pb::none());
  m.def("set_cuda_library", [](const std::string& path) { set_cuda_library(path); });
  m.def("cuda_reason", [] {
    const char* r = cuda_unavailable_reason();
    return r ? pb::object(pb::str(r)) : pb::object(pb::none());
  });
  m.def("cuda_device_count", cuda_devices);
  m.def("cuda_device_name", [](int index) { return std::string(backend({DeviceType::CUDA, 0}).device_name(index)); });
  m.def("_cuda_missing_library", [](const std::string& name) {
    const char* reason = backend({DeviceType::CUDA, 0}).missing_library(name.c_str());
    return reason ? pb::object(pb::str(reason)) : pb::object(pb::none());
  });
  using Unlocked = pb::call_guard<pb::gil_scoped_release>;
  auto cuda = [](int index) { return Device{DeviceType::CUDA, static_cast<int8_t>(index)}; };
  auto handle = [](uintptr_t stream) { return reinterpret_cast<void*>(stream); };
  m.def("synchronize", [=](int index) { synchronize_device(cuda(index)); }, pb::arg("index") = 0, Unlocked());
  m.def("_stream_new", [=](int index) { return reinterpret_cast<uintptr_t>(new_stream(cuda(index))); });
  m.def("_stream_current", [](int index) { return reinterpret_cast<uintptr_t>(current_stream_handle(index)); });
  m.def("_stream_choose", [=](int index, uintptr_t stream) { set_current_stream(cuda(index), handle(stream)); });
  m.def("_stream_wait",
        [=](int index, uintptr_t stream, uintptr_t other) { stream_wait(cuda(index), handle(stream), handle(other)); });
  m.def(
      "_stream_synchronize", [=](int index, uintptr_t stream) { synchronize_stream(cuda(index), handle(stream)); },
      Unlocked());
  m.def("_stream_record", [=](pb::object tensor, uintptr_t stream) {
    if (!is_tensor(tensor.ptr())) throw pb::type_error("record_stream: a Tensor is needed");
    borrow(tensor.ptr()).impl()->storage->record_stream(handle(stream));
  });
  m.def("_set_default_device", [](pb::object device) { set_default_device(device_of(device)); });
  m.def("op_table", op_table);
  m.def(
      "_signatures",
      [] {
        pb::list out;
        for (const Registered& r : registered_signatures())
          out.append(pb::make_tuple(r.name, r.function, r.method, r.params));
        return out;
      },
      "(name, is a function, is a method, parameters) of all native functions.");
  m.def("_settled_names", settled_names, "Names of the native functions that nothing overrides.");
  m.def(
      "function_names", [] { return pb::make_tuple(pb::cast(function_names()), pb::cast(method_names())); },
      "Names of the native functions and of the native tensor methods.");
}
