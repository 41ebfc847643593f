// Arrays: tensors over the memory of others (buffer protocol) and NumPy arrays over ours.
//
// NumPy is imported only when a tensor is turned into an array.
#include <cstring>

#include "core/layout.h"
#include "python/convert.h"
#include "python/functions.h"

namespace fg::py {

static PyTypeObject* numpy_number = nullptr;  // numpy.number, looked up once NumPy is there
PyTypeObject* numpy_bool = nullptr;

static void find_numpy_types() {
  if (numpy_number) return;
  PyObject* modules = PyImport_GetModuleDict();
  PyObject* numpy = PyDict_GetItemString(modules, "numpy");
  if (!numpy) return;
  PyObject* number = PyObject_GetAttrString(numpy, "number");
  PyObject* boolean = PyObject_GetAttrString(numpy, "bool_");
  if (!number || !boolean) {
    PyErr_Clear();
    return;
  }
  numpy_number = reinterpret_cast<PyTypeObject*>(number);
  numpy_bool = reinterpret_cast<PyTypeObject*>(boolean);
}

bool is_numpy_scalar(PyObject* o) {
  // A cheap test first: NumPy scalar types have no `__len__` slot users and live in module "numpy".
  if (strncmp(Py_TYPE(o)->tp_name, "numpy.", 6) != 0) return false;
  find_numpy_types();
  return numpy_number && (PyObject_TypeCheck(o, numpy_number) || PyObject_TypeCheck(o, numpy_bool));
}

namespace {

DType format_dtype(const char* format, Py_ssize_t size, bool& known) {
  known = true;
  if (*format == '@' || *format == '=' || *format == '<' || *format == '|') ++format;
  if (!strcmp(format, "Zf")) return DType::Complex64;
  if (!strcmp(format, "Zd")) return DType::Complex128;
  if (format[0] && format[1]) known = false;
  switch (*format) {
    case '?': return DType::Bool;
    case 'e': return DType::Float16;
    case 'f': return DType::Float32;
    case 'd': return DType::Float64;
    case 'g': known = false; return DType::Float64;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q': return size == 1 ? DType::Int8 : size == 2 ? DType::Int16 : size == 4 ? DType::Int32 : DType::Int64;
    case 'B': return DType::UInt8;
    default: known = false; return DType::UInt8;
  }
}

struct HeldBuffer {
  Py_buffer view{};
  ~HeldBuffer() {
    if (view.obj) PyBuffer_Release(&view);
  }
};
void release_buffer(void* context) {
  PyGILState_STATE state = PyGILState_Ensure();
  delete static_cast<HeldBuffer*>(context);
  PyGILState_Release(state);
}

// Writable where the object allows it; `flags` besides.
std::unique_ptr<HeldBuffer> hold_buffer(PyObject* o, int flags, bool& writable) {
  auto held = std::make_unique<HeldBuffer>();
  writable = PyObject_GetBuffer(o, &held->view, flags | PyBUF_WRITABLE) == 0;
  if (!writable) {
    PyErr_Clear();
    if (PyObject_GetBuffer(o, &held->view, flags) != 0) raise_pending();
  }
  return held;
}

Tensor over_buffer(std::unique_ptr<HeldBuffer> held, void* data, Dims sizes, Dims strides, int64_t extent, DType dtype,
                   bool writable) {
  Ptr<Storage> storage =
      Storage::external(data, static_cast<size_t>(extent * item_size(dtype)), {}, release_buffer, held.get());
  (void)held.release();
  storage->set_writable(writable);
  return Tensor::over(std::move(storage), sizes, strides, 0, dtype);
}

}  // namespace

// A tensor over the memory of an object with the buffer protocol; `what` for errors.
Tensor from_buffer(PyObject* o, const char* what) {
  bool writable, known;
  auto held = hold_buffer(o, PyBUF_STRIDES | PyBUF_FORMAT, writable);
  Py_buffer& v = held->view;
  DType dtype = format_dtype(v.format ? v.format : "B", v.itemsize, known);
  FG_CHECK(
      known && v.itemsize == item_size(dtype), Type, what, ": can't convert an array of format '",
      v.format ? v.format : "",
      "'. The only supported types are: complex128, complex64, float64, float32, float16, int64, int32, int16, int8, uint8, and bool.");
  FG_CHECK(v.ndim <= kMaxDims, Value, what, ": a tensor has at most ", kMaxDims, " dimensions");
  // Exporters may leave out strides (ctypes arrays do) and shape, and any number may stand there.
  DimArray sizes, strides;
  bool negative = false, empty = false;
  for (int i = 0; i < v.ndim; ++i) {
    sizes.push(v.shape ? v.shape[i] : v.len / v.itemsize);
    empty |= sizes[i] == 0;
    if (!v.strides) continue;
    FG_CHECK(v.strides[i] % v.itemsize == 0, Value, what,
             ": given numpy array strides not a multiple of the element byte size. Copy the numpy array to "
             "reallocate the memory.");
    negative |= v.strides[i] < 0;
    strides.push(v.strides[i] / v.itemsize);
  }
  FG_CHECK(
      empty || !negative, Value, what,
      ": At least one stride in the given numpy array is negative, and tensors with negative strides "
      "are not currently supported. (You can probably work around this by making a copy of your array with array.copy().) ");
  if (empty || !v.strides) strides = contiguous_strides(sizes);
  const std::optional<int64_t> extent = span_of(sizes, strides);
  FG_CHECK(extent && *extent <= kFarthest, Value, what, ": an array of shape ", size_text(sizes), " is too large");
  return over_buffer(std::move(held), v.buf, sizes, strides, *extent, dtype, writable);
}

bool has_buffer(PyObject* o) { return PyObject_CheckBuffer(o) && !PyBytes_Check(o) && !PyByteArray_Check(o); }

namespace {

// ---- to NumPy: an array over our memory that keeps the tensor alive.

const char* type_string(DType t) {
  switch (t) {
    case DType::Bool: return "|b1";
    case DType::UInt8: return "|u1";
    case DType::Int8: return "|i1";
    case DType::Int16: return "<i2";
    case DType::Int32: return "<i4";
    case DType::Int64: return "<i8";
    case DType::Float16: return "<f2";
    case DType::Float32: return "<f4";
    case DType::Float64: return "<f8";
    case DType::Complex64: return "<c8";
    case DType::Complex128: return "<c16";
    default: return nullptr;
  }
}

constexpr int kAligned = 0x100, kWriteable = 0x400;

// What is asked of NumPy once: two functions of its C interface, at the places that its ABI gives them, and the dtypes
// as they are needed.
struct Numpy {
  PyTypeObject* array_type = nullptr;
  PyObject* (*new_from_descr)(PyTypeObject*, PyObject* descr, int ndim, const Py_ssize_t* shape,
                              const Py_ssize_t* strides, void* data, int flags, PyObject*) = nullptr;
  int (*set_base)(PyObject* array, PyObject* owner) = nullptr;
  PyObject *dtype = nullptr, *dtypes[kDTypes] = {};

  bool find() {
    if (dtype) return true;
    Ref numpy(PyImport_ImportModule("numpy"));
    Ref found(numpy.o ? PyObject_GetAttrString(numpy.o, "dtype") : nullptr);
    if (!found.o) return false;
    Ref native(PyImport_ImportModule("numpy._core._multiarray_umath"));  // since NumPy 2
    if (!native.o) {
      PyErr_Clear();
      native.o = PyImport_ImportModule("numpy.core._multiarray_umath");
    }
    Ref capsule(native.o ? PyObject_GetAttrString(native.o, "_ARRAY_API") : nullptr);
    auto* table = capsule.o ? static_cast<void**>(PyCapsule_GetPointer(capsule.o, nullptr)) : nullptr;
    if (!table) return false;
    array_type = static_cast<PyTypeObject*>(table[2]);
    new_from_descr = reinterpret_cast<decltype(new_from_descr)>(table[94]);
    set_base = reinterpret_cast<decltype(set_base)>(table[282]);
    dtype = found.give();
    return true;
  }
  PyObject* dtype_of(DType t) {  // borrowed
    PyObject*& found = dtypes[static_cast<int>(t)];
    if (!found) found = PyObject_CallFunction(dtype, "s", type_string(t));
    return found;
  }
};
Numpy numpy;

// What an array holds on to.
PyTypeObject* memory_type = nullptr;
struct Memory {
  PyObject_HEAD TensorImpl* impl;
};
void memory_dealloc(PyObject* o) {
  if (TensorImpl* impl = reinterpret_cast<Memory*>(o)->impl) impl->release();
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}
PyType_Slot memory_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(memory_dealloc)}, {0, nullptr}};
PyType_Spec memory_spec = {"fastgrad._Memory", sizeof(Memory), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, memory_slots};

PyObject* to_array(const Tensor& t) {
  FG_CHECK(type_string(t.dtype()), Type, "Got unsupported ScalarType BFloat16");
  FG_CHECK(t.device().is_cpu(), Type, "can't convert ", device_name(t.device()),
           " device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.");
  if (!numpy.find()) return nullptr;
  PyObject* descr = numpy.dtype_of(t.dtype());
  Ref memory(descr ? memory_type->tp_alloc(memory_type, 0) : nullptr);
  if (!memory.o) return nullptr;
  reinterpret_cast<Memory*>(memory.o)->impl = t.alias().detach_ptr();
  Py_ssize_t shape[kMaxDims], strides[kMaxDims];
  for (int i = 0; i < t.dim(); ++i) shape[i] = t.size(i), strides[i] = stride_times(t.stride(i), t.item_bytes());
  void* data = t.mutable_data();
  const bool aligned = reinterpret_cast<uintptr_t>(data) % item_size(real_of(t.dtype())) == 0;
  const int flags = (aligned ? kAligned : 0) | (t.storage().writable() ? kWriteable : 0);
  Ref out(numpy.new_from_descr(numpy.array_type, Py_NewRef(descr), t.dim(), shape, strides, data, flags, nullptr));
  if (!out.o || (data && numpy.set_base(out.o, memory.give()) < 0)) return nullptr;
  return out.give();
}

PyObject* numpy_method(Call& c) {
  const Tensor& t = c.tensor(0);
  bool force = c.boolean(1, false);
  FG_CHECK(force || !t.requires_grad(), Runtime,
           "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
  FG_CHECK(force || t.device().is_cpu(), Type, "can't convert ", device_name(t.device()),
           " device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.");
  NoGradGuard guard;
  return to_array(to_device(t, {}));
}

PyObject* array_method(Call& c) {
  const Tensor& t = c.tensor(0);
  FG_CHECK(!t.requires_grad(), Runtime,
           "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
  PyObject* out = to_array(t);
  if (!out || (!c.has(1) && !c.boolean(2, false))) return out;
  PyObject* cast =
      c.has(1) ? PyObject_CallMethod(out, "astype", "O", c.v[1]) : PyObject_CallMethod(out, "copy", nullptr);
  Py_DECREF(out);
  return cast;
}

PyObject* from_numpy(Call& c) {
  PyObject* o = c.v[0];
  static PyObject* array = nullptr;
  if (!array) {
    PyObject* module = PyDict_GetItemString(PyImport_GetModuleDict(), "numpy");
    array = module ? PyObject_GetAttrString(module, "ndarray") : nullptr;
  }
  bool ok = array && PyObject_IsInstance(o, array) == 1;
  FG_CHECK(ok, Type, "expected np.ndarray (got ", Py_TYPE(o)->tp_name, ")");
  return wrap(from_buffer(o, "from_numpy()"));
}

PyObject* frombuffer(Call& c) {
  FG_CHECK(c.has(1), Type, "frombuffer(): missing required argument 'dtype'");
  DType dtype = *c.opt_dtype(1);
  int64_t offset = c.integer(3, 0), count = c.integer(2, -1);
  bool writable;
  auto held = hold_buffer(c.v[0], PyBUF_SIMPLE, writable);
  int64_t length = held->view.len, bytes = offset < 0 ? -1 : length - offset;
  FG_CHECK(bytes >= 0 && (count >= 0 || bytes % item_size(dtype) == 0) && count <= bytes / item_size(dtype), Value,
           "frombuffer: ", length, " bytes do not hold the wanted elements (offset ", offset, ", count ", count,
           ", dtype ", dtype_name(dtype), ")");
  if (count < 0) count = bytes / item_size(dtype);
  char* data = static_cast<char*>(held->view.buf) + offset;
  return wrap(over_buffer(std::move(held), data, DimArray{count}, DimArray{1}, count, dtype, writable));
}
constexpr FunctionDef defs[] = {
    {"numpy", kMethod, "input, *, force=False", numpy_method, "A NumPy array over the same memory."},
    {"__array__", kMethod, "input, dtype=None, copy=None", array_method, nullptr},
    {"from_numpy", kStatic | kSettled, "ndarray", from_numpy, "A tensor over the memory of a NumPy array."},
    {"frombuffer", kStatic | kSettled, "buffer, *, dtype, count=-1, offset=0", frombuffer,
     "A 1-d tensor over the memory of a buffer."},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_arrays(PyObject* module) {
  memory_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&memory_spec));
  return memory_type && FG_REGISTER(defs, module);
}

}  // namespace fg::py
