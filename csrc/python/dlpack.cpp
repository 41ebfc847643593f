// DLPack (version 0 capsules): memory shared with other libraries, both ways.
#include <algorithm>

#include "python/convert.h"
#include "python/functions.h"

namespace fg::py {

namespace {

struct DLDevice {
  int32_t type, id;
};
struct DLType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct DLManaged {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManaged*);
};
struct Exported {
  DLManaged managed;
  Tensor keep;
  DimArray sizes, strides;
};

DLType dl_type(DType t) {
  uint8_t bits = static_cast<uint8_t>(item_size(t) * 8);
  if (t == DType::Bool) return {6, 8, 1};
  if (t == DType::UInt8) return {1, 8, 1};
  if (t == DType::BFloat16) return {4, 16, 1};
  return {static_cast<uint8_t>(is_complex(t) ? 5 : is_floating(t) ? 2 : 0), bits, 1};
}

void delete_capsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor")) {
    auto* m = static_cast<DLManaged*>(PyCapsule_GetPointer(capsule, "dltensor"));
    m->deleter(m);
  }
}

PyObject* to_dlpack(Call& c) {
  const Tensor& t = c.tensor(0);
  if (!t.device().is_cpu())
    backend(t.device()).synchronize(Storage::current_stream(t.device()));  // for any stream of theirs
  FG_CHECK(!t.requires_grad(), Runtime, "Can't export tensors that require gradient, use tensor.detach()");
  auto* e = new Exported;
  e->keep = t.alias();
  e->sizes = DimArray(t.sizes()), e->strides = DimArray(t.strides());
  e->managed.tensor = {t.mutable_data(),
                       {t.device().is_cpu() ? 1 : 2, t.device().index},
                       t.dim(),
                       dl_type(t.dtype()),
                       e->sizes.v,
                       e->strides.v,
                       0};
  e->managed.context = e;
  e->managed.deleter = [](DLManaged* m) {
    PyGILState_STATE state = PyGILState_Ensure();
    delete static_cast<Exported*>(m->context);
    PyGILState_Release(state);
  };
  return PyCapsule_New(&e->managed, "dltensor", delete_capsule);
}

PyObject* dlpack_device(Call& c) {
  const Tensor& t = c.tensor(0);
  return Py_BuildValue("(ii)", t.device().is_cpu() ? 1 : 2, static_cast<int>(t.device().index));
}

// What __dlpack__ gives. A producer on a GPU is told our stream, so that its work comes first; 1 is the default stream.
PyObject* exported(PyObject* producer) {
  Owned where(PyObject_HasAttrString(producer, "__dlpack_device__")
                  ? PyObject_CallMethod(producer, "__dlpack_device__", nullptr)
                  : Py_BuildValue("(ii)", 1, 0));
  int type, index;
  if (!where.o || !PyArg_ParseTuple(where.o, "ii", &type, &index)) raise_pending();
  if (type != 2) return PyObject_CallMethod(producer, "__dlpack__", nullptr);
  auto stream =
      reinterpret_cast<uintptr_t>(Storage::current_stream({DeviceType::CUDA, static_cast<int8_t>(index)}).handle);
  Owned method(PyObject_GetAttrString(producer, "__dlpack__"));
  Owned arguments(PyTuple_New(0)),
      keywords(Py_BuildValue("{s:K}", "stream", stream ? static_cast<unsigned long long>(stream) : 1));
  if (!method.o || !arguments.o || !keywords.o) raise_pending();
  return PyObject_Call(method.o, arguments.o, keywords.o);
}

PyObject* from_dlpack(Call& c) {
  Owned held(PyCapsule_CheckExact(c.v[0]) ? Py_NewRef(c.v[0]) : exported(c.v[0]));
  PyObject* capsule = held.o;
  auto* m = static_cast<DLManaged*>(PyCapsule_GetPointer(capsule, "dltensor"));
  if (!m) raise_pending();
  const DLTensor& d = m->tensor;
  DType dtype = DType::kUndefined;
  for (int i = 0; i < kDTypes; ++i) {
    DLType t = dl_type(static_cast<DType>(i));
    if (t.code == d.dtype.code && t.bits == d.dtype.bits && d.dtype.lanes == 1) dtype = static_cast<DType>(i);
  }
  bool usable =
      dtype != DType::kUndefined && (d.device.type == 1 || d.device.type == 2) && d.ndim >= 0 && d.ndim <= kMaxDims;
  FG_CHECK(usable, Runtime, "from_dlpack: unsupported dtype, device or rank");
  DimArray sizes, strides;
  int64_t extent = 1;
  for (int i = 0; i < d.ndim; ++i) sizes.push(d.shape[i]);
  if (d.strides)
    for (int i = 0; i < d.ndim; ++i) strides.push(d.strides[i]);
  else strides = contiguous_strides(sizes);
  bool negative = false, overflow = false;
  for (int i = 0; i < d.ndim; ++i) {
    int64_t reach;
    negative |= strides[i] < 0;
    overflow |= sizes[i] < 0 || __builtin_mul_overflow(sizes[i] - 1, strides[i], &reach) ||
                __builtin_add_overflow(extent, reach, &extent);
  }
  FG_CHECK(!negative, Runtime, "from_dlpack: negative strides are not supported");
  if (std::find(sizes.v, sizes.v + sizes.n, 0) != sizes.v + sizes.n) extent = 0;
  else
    FG_CHECK(!overflow && extent <= INT64_MAX / item_size(dtype) && d.data, Runtime,
             "from_dlpack: no memory for a tensor of shape ", shape_text(sizes));
  if (PyCapsule_SetName(capsule, "used_dltensor") < 0) raise_pending();  // the memory is ours from here
  Device device = d.device.type == 1 ? Device{} : Device{DeviceType::CUDA, static_cast<int8_t>(d.device.id)};
  Ptr<Storage> storage = Storage::external(
      static_cast<char*>(d.data) + d.byte_offset, extent * item_size(dtype), device,
      [](void* context) {
        auto* managed = static_cast<DLManaged*>(context);
        if (managed->deleter) managed->deleter(managed);
      },
      m);
  return wrap(Tensor::over(std::move(storage), sizes, strides, 0, dtype));
}
constexpr FunctionDef defs[] = {
    {"__dlpack__", kMethod, "input, *, stream=None, max_version=None, dl_device=None, copy=None", to_dlpack, nullptr},
    {"__dlpack_device__", kMethod, "input", dlpack_device, nullptr},
    {"from_dlpack", kStatic | kSettled, "ext_tensor", from_dlpack,
     "A tensor over the memory of an object with __dlpack__."},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_dlpack(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
