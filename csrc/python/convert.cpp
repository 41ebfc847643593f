// Between Python's values and tensors: numbers, nested sequences, arrays, lists, DLPack.
//
// Arrays come in through the buffer protocol or __array_interface__/DLPack, so NumPy is imported only when a tensor is turned
// into an array.
#include <cstring>

#include "python/args.h"
#include "python/functions.h"

namespace fg::py {

namespace {

PyTypeObject* numpy_number = nullptr;  // numpy.number and numpy.bool_, looked up once NumPy is there
PyTypeObject* numpy_bool = nullptr;

void find_numpy_types() {
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

DType format_dtype(const char* format, Py_ssize_t size, bool& known) {
  known = true;
  if (*format == '@' || *format == '=' || *format == '<' || *format == '|') ++format;
  if (format[0] && format[1]) known = false;
  switch (*format) {
    case '?': return DType::Bool;
    case 'e': return DType::Float16;
    case 'f': return DType::Float32;
    case 'd': return DType::Float64;
    case 'g': known = false; return DType::Float64;
    case 'b': case 'h': case 'i': case 'l': case 'q':
      return size == 1 ? DType::Int8 : size == 2 ? DType::Int16 : size == 4 ? DType::Int32 : DType::Int64;
    case 'B': return DType::UInt8;
    default: known = false; return DType::UInt8;
  }
}

struct HeldBuffer {
  Py_buffer view;
};
void release_buffer(void* context) {
  auto* held = static_cast<HeldBuffer*>(context);
  PyGILState_STATE state = PyGILState_Ensure();
  PyBuffer_Release(&held->view);
  PyGILState_Release(state);
  delete held;
}

// A tensor over the memory of an object with the buffer protocol; `what` for errors.
Tensor from_buffer(PyObject* o, const char* what) {
  auto held = std::make_unique<HeldBuffer>();
  bool writable = PyObject_GetBuffer(o, &held->view, PyBUF_STRIDES | PyBUF_FORMAT | PyBUF_WRITABLE) == 0;
  if (!writable) {
    PyErr_Clear();
    if (PyObject_GetBuffer(o, &held->view, PyBUF_STRIDES | PyBUF_FORMAT) != 0) raise_pending();
  }
  Py_buffer& v = held->view;
  bool known;
  DType dtype = format_dtype(v.format ? v.format : "B", v.itemsize, known);
  if (!known || v.itemsize != item_size(dtype)) {
    std::string format = v.format ? v.format : "";
    PyBuffer_Release(&v);
    fail(ErrorKind::Type, what, ": can't convert an array of format '", format,
         "'. The only supported types are: float64, float32, float16, int64, int32, int16, int8, uint8, and bool.");
  }
  DimArray sizes, strides;
  bool ndim_ok = v.ndim <= kMaxDims, fits = ndim_ok, negative = false;
  int64_t count = 1;
  for (int i = 0; fits && i < v.ndim; ++i) {
    sizes.push(v.shape[i]);
    count *= v.shape[i];
    negative |= v.strides[i] < 0;
    fits = v.strides[i] % v.itemsize == 0;
    strides.push(v.strides[i] / v.itemsize);
  }
  if (!fits || (negative && count)) {
    PyBuffer_Release(&v);
    FG_CHECK(ndim_ok, Value, what, ": a tensor has at most ", kMaxDims, " dimensions");
    FG_CHECK(fits, Value, what, ": given numpy array strides not a multiple of the element byte size. Copy the numpy array to "
             "reallocate the memory.");
    fail(ErrorKind::Value, what, ": At least one stride in the given numpy array is negative, and tensors with negative strides "
         "are not currently supported. (You can probably work around this by making a copy of your array with array.copy().) ");
  }
  if (count == 0) strides = contiguous_strides(sizes);
  int64_t extent = count ? 1 : 0;
  for (int i = 0; i < sizes.n && count; ++i) extent += (sizes[i] - 1) * strides[i];
  void* data = v.buf;
  HeldBuffer* raw = held.release();
  Ptr<Storage> storage = Storage::external(data, static_cast<size_t>(extent * item_size(dtype)), {}, release_buffer, raw);
  storage->set_writable(writable);
  return Tensor::over(std::move(storage), sizes, strides, 0, dtype);
}

bool has_buffer(PyObject* o) { return PyObject_CheckBuffer(o) && !PyBytes_Check(o) && !PyByteArray_Check(o); }

// ---- nested sequences

struct Scan {
  DimArray shape;
  bool any_float = false, any_int = false, any_bool = false;
  DType wide = DType::kUndefined;  // of tensors and NumPy scalars inside
};

bool is_sequence(PyObject* o) {
  return PyList_Check(o) || PyTuple_Check(o) || (PySequence_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o) && !is_tensor(o) && !is_numpy_scalar(o) && !has_buffer(o));
}

[[noreturn]] void not_a_number(PyObject* o) {
  if (PyUnicode_Check(o)) {
    PyErr_Format(PyExc_TypeError, "new(): invalid data type 'str'");
    raise_pending();
  }
  PyErr_Format(PyExc_RuntimeError, "Could not infer dtype of %s", Py_TYPE(o)->tp_name);
  raise_pending();
}

void see_scalar(Scan& scan, PyObject* o) {
  auto widen = [&](DType t) { scan.wide = scan.wide == DType::kUndefined ? t : promote(scan.wide, t); };
  if (PyFloat_CheckExact(o)) scan.any_float = true;
  else if (PyBool_Check(o)) scan.any_bool = true;
  else if (PyLong_Check(o)) scan.any_int = true;
  else if (is_tensor(o)) {
    FG_CHECK(borrow(o).numel() == 1, Value, "only one element tensors can be converted to Python scalars");
    widen(borrow(o).dtype());
  } else if (is_numpy_scalar(o) || has_buffer(o)) {
    widen(from_buffer(o, "tensor()").dtype());
  } else if (PyFloat_Check(o)) {
    scan.any_float = true;
  } else if (PyIndex_Check(o)) {
    scan.any_int = true;
  } else {
    Scalar s;
    if (!to_scalar(o, s)) not_a_number(o);
    (s.kind == Scalar::Float ? scan.any_float : scan.any_int) = true;
  }
}

struct Owned {  // a Python reference
  PyObject* o;
  explicit Owned(PyObject* p) : o(p) {
    if (!o) raise_pending();
  }
  ~Owned() { Py_DECREF(o); }
  Owned(const Owned&) = delete;
};

// Reading items may run Python code that changes the list: an item is kept while it is looked at.
struct FastSequence : Owned {
  explicit FastSequence(PyObject* s) : Owned(PySequence_Fast(s, "a sequence")) {}
  Py_ssize_t size() const { return PySequence_Fast_GET_SIZE(o); }
  Owned item(Py_ssize_t i) const {
    FG_CHECK(i < size(), Runtime, "tensor(): a sequence changed its length while it was read");
    PyObject* item = PySequence_Fast_GET_ITEM(o, i);
    Py_INCREF(item);
    return Owned(item);
  }
};

void scan_shape(Scan& scan, PyObject* o) {  // the first element of each level gives the shape
  PyObject* at = o;
  std::vector<std::unique_ptr<FastSequence>> held;
  std::vector<std::unique_ptr<Owned>> items;
  while (is_sequence(at) || (is_tensor(at) && borrow(at).dim() > 0) || has_buffer(at)) {
    if (has_buffer(at) || is_tensor(at)) {
      Tensor t = is_tensor(at) ? borrow(at) : from_buffer(at, "tensor()");
      for (int64_t d : t.sizes()) scan.shape.push(d);
      return;
    }
    held.push_back(std::make_unique<FastSequence>(at));
    FG_CHECK(scan.shape.n < kMaxDims, Value, "too many dimensions '", Py_TYPE(o)->tp_name, "'");
    scan.shape.push(held.back()->size());
    if (held.back()->size() == 0) return;
    items.emplace_back(new Owned(held.back()->item(0)));
    at = items.back()->o;
  }
}

void scan_items(Scan& scan, PyObject* o, int depth) {
  if (depth == scan.shape.n) {
    if (is_sequence(o))
      fail(ErrorKind::Value, "tensor(): ragged nested sequences: a number was expected at dim ", depth, " but a sequence was found");
    see_scalar(scan, o);
    return;
  }
  if (has_buffer(o) || is_tensor(o)) {
    Tensor t = is_tensor(o) ? borrow(o) : from_buffer(o, "tensor()");
    bool fits = t.dim() == scan.shape.n - depth;
    for (int i = 0; fits && i < t.dim(); ++i) fits = t.size(i) == scan.shape[depth + i];
    FG_CHECK(fits, Value, "tensor(): the array of shape ", shape_text(t.sizes()), " at dim ", depth, " does not fit the sequences around it");
    scan.wide = scan.wide == DType::kUndefined ? t.dtype() : promote(scan.wide, t.dtype());
    return;
  }
  if (!is_sequence(o)) {
    PyErr_Format(PyExc_TypeError, "not a sequence: a number was found at dim %d where a sequence of length %lld is expected", depth,
                 static_cast<long long>(scan.shape[depth]));
    raise_pending();
  }
  FastSequence items(o);
  FG_CHECK(items.size() == scan.shape[depth], Value, "expected sequence of length ", scan.shape[depth], " at dim ", depth, " (got ",
           items.size(), ")");
  for (Py_ssize_t i = 0; i < items.size(); ++i) scan_items(scan, items.item(i).o, depth + 1);
}

// Writes numbers into a float64 or int64 buffer.
template <class T>
void write_items(PyObject* o, int depth, const DimArray& shape, T*& out) {
  if (depth == shape.n) {
    if constexpr (std::is_same_v<T, double>) {
      if (PyFloat_CheckExact(o)) {
        *out++ = PyFloat_AS_DOUBLE(o);
        return;
      }
    } else {
      if (PyLong_CheckExact(o)) {
        int overflow;
        *out++ = PyLong_AsLongLongAndOverflow(o, &overflow);
        if (overflow) {
          PyErr_SetString(PyExc_RuntimeError, "Overflow when unpacking long long");
          raise_pending();
        }
        return;
      }
    }
    Scalar s;
    if (is_tensor(o)) s = item(borrow(o));
    else if (!to_scalar(o, s)) not_a_number(o);
    if constexpr (std::is_same_v<T, double>) *out++ = s.f;
    else *out++ = s.param().i;
    return;
  }
  if (has_buffer(o) || is_tensor(o)) {
    NoGradGuard guard;
    Tensor t = is_tensor(o) ? borrow(o) : from_buffer(o, "tensor()");
    t = contiguous(to_device(to_dtype(t, std::is_same_v<T, double> ? DType::Float64 : DType::Int64), {}));
    int64_t wanted = 1;
    for (int i = depth; i < shape.n; ++i) wanted *= shape[i];
    FG_CHECK(t.numel() == wanted, Runtime, "tensor(): an array changed its size while it was read");
    memcpy(out, t.data(), t.numel() * sizeof(T));
    out += t.numel();
    return;
  }
  FastSequence items(o);
  FG_CHECK(items.size() == shape[depth], Runtime, "tensor(): a sequence changed its length while it was read");
  for (int64_t i = 0; i < shape[depth]; ++i) write_items(items.item(i).o, depth + 1, shape, out);
}

Tensor from_sequence(PyObject* o, std::optional<DType> dtype) {
  Scan scan;
  scan_shape(scan, o);
  if (count_of(scan.shape) != 0 || scan.shape.n == 0) scan_items(scan, o, 0);
  DType target;
  if (dtype) {
    target = *dtype;
  } else if (scan.wide != DType::kUndefined) {
    target = scan.wide;
    if (scan.any_float && !is_floating(target)) target = default_dtype();
    else if (scan.any_int) target = promote(target, is_floating(target) ? target : DType::Int64);
  } else if (scan.any_float || count_of(scan.shape) == 0) {
    target = default_dtype();
  } else {
    target = scan.any_int ? DType::Int64 : DType::Bool;
  }
  bool floats = is_floating(target) || scan.any_float;
  Tensor raw = Tensor::empty(scan.shape, floats ? DType::Float64 : DType::Int64, {});
  if (raw.numel()) {
    if (floats) {
      double* out = raw.mutable_data<double>();
      write_items(o, 0, scan.shape, out);
    } else {
      int64_t* out = raw.mutable_data<int64_t>();
      write_items(o, 0, scan.shape, out);
    }
  }
  NoGradGuard guard;
  return to_dtype(raw, target);
}

// ---- to Python

PyObject* scalar_at(const char* p, DType t) {
  switch (t) {
    case DType::Bool: return PyBool_FromLong(*reinterpret_cast<const uint8_t*>(p));
    case DType::UInt8: return PyLong_FromLong(*reinterpret_cast<const uint8_t*>(p));
    case DType::Int8: return PyLong_FromLong(*reinterpret_cast<const int8_t*>(p));
    case DType::Int16: return PyLong_FromLong(*reinterpret_cast<const int16_t*>(p));
    case DType::Int32: return PyLong_FromLong(*reinterpret_cast<const int32_t*>(p));
    case DType::Int64: return PyLong_FromLongLong(*reinterpret_cast<const int64_t*>(p));
    case DType::Float32: return PyFloat_FromDouble(*reinterpret_cast<const float*>(p));
    default: return PyFloat_FromDouble(*reinterpret_cast<const double*>(p));
  }
}

PyObject* list_at(const Tensor& t, int d, const char* p) {
  if (d == t.dim()) return scalar_at(p, t.dtype());
  Owned out(PyList_New(t.size(d)));
  for (int64_t i = 0; i < t.size(d); ++i) {
    PyObject* item = list_at(t, d + 1, p + i * t.stride(d) * t.item_bytes());
    if (!item) raise_pending();
    PyList_SET_ITEM(out.o, i, item);
  }
  Py_INCREF(out.o);
  return out.o;
}

PyObject* tolist(Call& c) {
  NoGradGuard guard;
  Tensor t = to_device(c.tensor(0), {});
  if (t.dtype() == DType::Float16 || t.dtype() == DType::BFloat16) t = to_dtype(t, DType::Float32);
  return list_at(t, 0, static_cast<const char*>(t.data()));
}

// ---- NumPy: the array is made over our memory through __array_interface__-like fields and keeps the tensor alive.

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
    default: return nullptr;
  }
}

PyObject* interface_of(const Tensor& t) {
  const char* code = type_string(t.dtype());
  FG_CHECK(code, Type, "Got unsupported ScalarType BFloat16");
  FG_CHECK(t.device().is_cpu(), Type, "can't convert ", device_name(t.device()),
           " device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.");
  Owned shape(PyTuple_New(t.dim())), strides(PyTuple_New(t.dim()));
  for (int i = 0; i < t.dim(); ++i) {
    PyTuple_SET_ITEM(shape.o, i, PyLong_FromLongLong(t.size(i)));
    PyTuple_SET_ITEM(strides.o, i, PyLong_FromLongLong(t.stride(i) * t.item_bytes()));
  }
  return Py_BuildValue("{s:O,s:s,s:(NO),s:O,s:i}", "shape", shape.o, "typestr", code, "data", PyLong_FromVoidPtr(t.mutable_data()),
                       t.storage().writable() ? Py_False : Py_True, "strides", strides.o, "version", 3);
}

// An object that owns the tensor and shows its memory to NumPy.
PyTypeObject* exporter_type = nullptr;
struct Exporter {
  PyObject_HEAD
  TensorImpl* impl;
};
void exporter_dealloc(PyObject* o) {
  auto* e = reinterpret_cast<Exporter*>(o);
  if (e->impl) e->impl->release();
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}
PyObject* exporter_interface(PyObject* o, void*) {
  FG_TRY
  return interface_of(Tensor(Ptr<TensorImpl>(reinterpret_cast<Exporter*>(o)->impl)));
  FG_CATCH
}
PyGetSetDef exporter_getset[] = {{"__array_interface__", exporter_interface, nullptr, nullptr, nullptr}, {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyType_Slot exporter_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(exporter_dealloc)}, {Py_tp_getset, exporter_getset}, {0, nullptr}};
PyType_Spec exporter_spec = {"fastgrad._Memory", sizeof(Exporter), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, exporter_slots};

PyObject* to_array(const Tensor& t) {
  PyObject* memory = exporter_type->tp_alloc(exporter_type, 0);
  if (!memory) return nullptr;
  reinterpret_cast<Exporter*>(memory)->impl = t.alias().detach_ptr();
  PyObject* numpy = PyImport_ImportModule("numpy");
  PyObject* out = numpy ? PyObject_CallMethod(numpy, "asarray", "O", memory) : nullptr;
  Py_XDECREF(numpy);
  Py_DECREF(memory);
  return out;
}

PyObject* numpy_method(Call& c) {
  const Tensor& t = c.tensor(0);
  bool force = c.boolean(1, false);
  FG_CHECK(force || !t.requires_grad(), Runtime, "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
  FG_CHECK(force || t.device().is_cpu(), Type, "can't convert ", device_name(t.device()),
           " device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.");
  NoGradGuard guard;
  return to_array(to_device(t, {}));
}

PyObject* array_method(Call& c) {
  const Tensor& t = c.tensor(0);
  FG_CHECK(!t.requires_grad(), Runtime, "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
  PyObject* out = to_array(t);
  if (!out || (!c.has(1) && !c.boolean(2, false))) return out;
  PyObject* cast = c.has(1) ? PyObject_CallMethod(out, "astype", "O", c.v[1]) : PyObject_CallMethod(out, "copy", nullptr);
  Py_DECREF(out);
  return cast;
}

PyObject* from_numpy(Call& c) {
  PyObject* o = c.v[0];
  PyObject* modules = PyImport_GetModuleDict();
  PyObject* numpy = PyDict_GetItemString(modules, "numpy");
  PyObject* array = numpy ? PyObject_GetAttrString(numpy, "ndarray") : nullptr;
  bool ok = array && PyObject_IsInstance(o, array) == 1;
  Py_XDECREF(array);
  FG_CHECK(ok, Type, "expected np.ndarray (got ", Py_TYPE(o)->tp_name, ")");
  return wrap(from_buffer(o, "from_numpy()"));
}

PyObject* frombuffer(Call& c) {
  FG_CHECK(c.has(1), Type, "frombuffer(): missing required argument 'dtype'");
  DType dtype = *c.opt_dtype(1);
  int64_t offset = c.integer(3, 0), count = c.integer(2, -1);
  auto held = std::make_unique<HeldBuffer>();
  bool writable = PyObject_GetBuffer(c.v[0], &held->view, PyBUF_WRITABLE) == 0;
  if (!writable) {
    PyErr_Clear();
    if (PyObject_GetBuffer(c.v[0], &held->view, PyBUF_SIMPLE) != 0) raise_pending();
  }
  int64_t length = held->view.len, bytes = offset < 0 ? -1 : length - offset;
  if (bytes < 0 || (count < 0 && bytes % item_size(dtype)) || count > bytes / item_size(dtype)) {
    PyBuffer_Release(&held->view);
    fail(ErrorKind::Value, "frombuffer: ", length, " bytes do not hold the wanted elements (offset ", offset, ", count ", count,
         ", dtype ", dtype_name(dtype), ")");
  }
  if (count < 0) count = bytes / item_size(dtype);
  char* data = static_cast<char*>(held->view.buf) + offset;
  Ptr<Storage> storage = Storage::external(data, count * item_size(dtype), {}, release_buffer, held.release());
  storage->set_writable(writable);
  return wrap(Tensor::over(std::move(storage), DimArray{count}, DimArray{1}, 0, dtype));
}

// ---- DLPack (version 0 capsules)

struct DLDevice { int32_t type, id; };
struct DLType { uint8_t code, bits; uint16_t lanes; };
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
  return {static_cast<uint8_t>(is_floating(t) ? 2 : 0), bits, 1};
}

void delete_capsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor")) {
    auto* m = static_cast<DLManaged*>(PyCapsule_GetPointer(capsule, "dltensor"));
    m->deleter(m);
  }
}

PyObject* to_dlpack(Call& c) {
  const Tensor& t = c.tensor(0);
  if (!t.device().is_cpu()) backend(t.device()).synchronize(Storage::current_stream(t.device()));  // for any stream of theirs
  FG_CHECK(!t.requires_grad(), Runtime, "Can't export tensors that require gradient, use tensor.detach()");
  auto* e = new Exported;
  e->keep = t.alias();
  e->sizes = DimArray(t.sizes()), e->strides = DimArray(t.strides());
  e->managed.tensor = {t.mutable_data(), {t.device().is_cpu() ? 1 : 2, t.device().index}, t.dim(), dl_type(t.dtype()), e->sizes.v, e->strides.v, 0};
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
  Owned where(PyObject_HasAttrString(producer, "__dlpack_device__") ? PyObject_CallMethod(producer, "__dlpack_device__", nullptr)
                                                                    : Py_BuildValue("(ii)", 1, 0));
  int type, index;
  if (!where.o || !PyArg_ParseTuple(where.o, "ii", &type, &index)) raise_pending();
  if (type != 2) return PyObject_CallMethod(producer, "__dlpack__", nullptr);
  auto stream = reinterpret_cast<uintptr_t>(Storage::current_stream({DeviceType::CUDA, static_cast<int8_t>(index)}).handle);
  Owned method(PyObject_GetAttrString(producer, "__dlpack__"));
  Owned arguments(PyTuple_New(0)), keywords(Py_BuildValue("{s:K}", "stream", stream ? static_cast<unsigned long long>(stream) : 1));
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
  bool usable = dtype != DType::kUndefined && (d.device.type == 1 || d.device.type == 2) && d.ndim >= 0 && d.ndim <= kMaxDims;
  FG_CHECK(usable, Runtime, "from_dlpack: unsupported dtype, device or rank");
  DimArray sizes, strides;
  int64_t extent = 1;
  for (int i = 0; i < d.ndim; ++i) sizes.push(d.shape[i]);
  if (d.strides)
    for (int i = 0; i < d.ndim; ++i) strides.push(d.strides[i]);
  else
    strides = contiguous_strides(sizes);
  bool negative = false;
  for (int i = 0; i < d.ndim; ++i) extent += (sizes[i] - 1) * strides[i], negative |= strides[i] < 0;
  FG_CHECK(!negative, Runtime, "from_dlpack: negative strides are not supported");
  if (count_of(sizes) == 0) extent = 0;
  if (PyCapsule_SetName(capsule, "used_dltensor") < 0) raise_pending();  // the memory is ours from here
  Device device = d.device.type == 1 ? Device{} : Device{DeviceType::CUDA, static_cast<int8_t>(d.device.id)};
  Ptr<Storage> storage = Storage::external(static_cast<char*>(d.data) + d.byte_offset, extent * item_size(dtype), device,
                                           [](void* context) {
                                             auto* managed = static_cast<DLManaged*>(context);
                                             if (managed->deleter) managed->deleter(managed);
                                           },
                                           m);
  return wrap(Tensor::over(std::move(storage), sizes, strides, 0, dtype));
}

constexpr FunctionDef defs[] = {
    {"tolist", kMethod, "input", tolist, "The elements as nested lists of Python numbers."},
    {"numpy", kMethod, "input, *, force=False", numpy_method, "A NumPy array over the same memory."},
    {"__array__", kMethod, "input, dtype=None, copy=None", array_method, nullptr},
    {"from_numpy", kStatic, "ndarray", from_numpy, "A tensor over the memory of a NumPy array."},
    {"frombuffer", kStatic, "buffer, *, dtype, count=-1, offset=0", frombuffer, "A 1-d tensor over the memory of a buffer."},
    {"__dlpack__", kMethod, "input, *, stream=None, max_version=None, dl_device=None, copy=None", to_dlpack, nullptr},
    {"__dlpack_device__", kMethod, "input", dlpack_device, nullptr},
    {"from_dlpack", kStatic, "ext_tensor", from_dlpack, "A tensor over the memory of an object with __dlpack__."},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool is_number(PyObject* o) { return PyFloat_Check(o) || PyLong_Check(o) || is_numpy_scalar(o); }

bool to_scalar(PyObject* o, Scalar& out) {
  if (PyFloat_Check(o)) {
    out = Scalar::of(PyFloat_AS_DOUBLE(o));
    return true;
  }
  if (PyBool_Check(o)) {
    out = Scalar::of_bool(o == Py_True);
    return true;
  }
  if (PyLong_Check(o)) {
    int overflow;
    int64_t v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow) {
      PyErr_SetString(PyExc_OverflowError, "a Python integer is too large to convert to int64");
      return false;
    }
    out = Scalar::of_int(v);
    return true;
  }
  if (is_numpy_scalar(o)) {
    if (PyObject_TypeCheck(o, numpy_bool)) {
      out = Scalar::of_bool(PyObject_IsTrue(o) == 1);
      return true;
    }
    if (PyIndex_Check(o)) {
      PyObject* i = PyNumber_Index(o);
      if (!i) return false;
      bool ok = to_scalar(i, out);
      Py_DECREF(i);
      return ok;
    }
    double v = PyFloat_AsDouble(o);
    if (v == -1 && PyErr_Occurred()) {
      PyErr_Clear();
      return false;
    }
    out = Scalar::of(v);
    return true;
  }
  return false;
}

Tensor operand(PyObject* o) {
  if (is_tensor(o)) return unwrap(o);
  Scalar s;
  if (to_scalar(o, s)) return wrapped(s);
  if (PyErr_Occurred()) raise_pending();
  return tensor_from_python(o, {}, {});
}

Tensor tensor_from_python(PyObject* data, std::optional<DType> dtype, std::optional<Device> device, bool copy) {
  Tensor out;
  NoGradGuard guard;
  if (PyFloat_CheckExact(data) && !device) {  // the usual scalar
    return full({}, Scalar::of(PyFloat_AS_DOUBLE(data)), dtype.value_or(default_dtype()), {});
  }
  if (is_tensor(data)) {
    Tensor t = detach(borrow(data));
    out = to_dtype(t, dtype.value_or(t.dtype()));
    if (device) out = to_device(out, *device);
    if (copy && out.is_same(t)) out = clone(t);
    else if (copy && out.shares_storage(t)) out = clone(out);
    return out;
  }
  Scalar s;
  bool numpy_scalar = is_numpy_scalar(data);
  if (!numpy_scalar && to_scalar(data, s)) {
    out = full({}, s, dtype.value_or(s.dtype()), {});
  } else if (PyErr_Occurred()) {
    raise_pending();
  } else if (numpy_scalar || has_buffer(data)) {
    Tensor t = from_buffer(data, "tensor()");
    DType target = dtype.value_or(t.dtype());
    out = target == t.dtype() ? (copy || numpy_scalar ? clone(t) : t) : to_dtype(t, target);
  } else if (is_sequence(data)) {
    out = from_sequence(data, dtype);
  } else if (PyObject_HasAttrString(data, "__array__")) {
    Owned array(PyObject_CallMethod(data, "__array__", nullptr));
    FG_CHECK(is_tensor(array.o) || has_buffer(array.o) || is_numpy_scalar(array.o), Value,
             "object __array__ method not producing an array, but ", Py_TYPE(array.o)->tp_name);
    return tensor_from_python(array.o, dtype, device, copy);
  } else if (PyIndex_Check(data)) {
    PyObject* i = PyNumber_Index(data);
    if (!i) raise_pending();
    bool ok = to_scalar(i, s);
    Py_DECREF(i);
    if (!ok) raise_pending();
    out = full({}, s, dtype.value_or(s.dtype()), {});
  } else {
    not_a_number(data);
  }
  return device ? to_device(out, *device) : out;
}

bool init_convert(PyObject* module) {
  exporter_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&exporter_spec));
  if (!exporter_type) return false;
  return FG_REGISTER(defs, module);
}

}  // namespace fg::py
