// From Python's values to tensors: numbers and nested sequences. Arrays are in arrays.cpp, DLPack in dlpack.cpp, lists
// of what a tensor holds in lists.cpp.
#include "python/convert.h"

#include <cstring>
#include <type_traits>

#include "python/functions.h"

namespace fg::py {

namespace {

struct Scan {
  DimArray shape;
  bool any_complex = false, any_float = false, any_int = false, any_bool = false;
  DType wide = DType::kUndefined;  // of tensors and NumPy scalars inside
};

bool is_sequence(PyObject* o) {
  return PyList_Check(o) || PyTuple_Check(o) ||
         (PySequence_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o) && !is_tensor(o) && !is_numpy_scalar(o) &&
          !has_buffer(o));
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
    (s.is_complex() ? scan.any_complex : s.kind == Scalar::Float ? scan.any_float : scan.any_int) = true;
  }
}

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
      fail(ErrorKind::Value, "tensor(): ragged nested sequences: a number was expected at dim ", depth,
           " but a sequence was found");
    see_scalar(scan, o);
    return;
  }
  if (has_buffer(o) || is_tensor(o)) {
    Tensor t = is_tensor(o) ? borrow(o) : from_buffer(o, "tensor()");
    bool fits = t.dim() == scan.shape.n - depth;
    for (int i = 0; fits && i < t.dim(); ++i) fits = t.size(i) == scan.shape[depth + i];
    FG_CHECK(fits, Value, "tensor(): the array of shape ", shape_text(t.sizes()), " at dim ", depth,
             " does not fit the sequences around it");
    scan.wide = scan.wide == DType::kUndefined ? t.dtype() : promote(scan.wide, t.dtype());
    return;
  }
  if (!is_sequence(o)) {
    PyErr_Format(PyExc_TypeError,
                 "not a sequence: a number was found at dim %d where a sequence of length %lld is expected", depth,
                 static_cast<long long>(scan.shape[depth]));
    raise_pending();
  }
  FastSequence items(o);
  FG_CHECK(items.size() == scan.shape[depth], Value, "expected sequence of length ", scan.shape[depth], " at dim ",
           depth, " (got ", items.size(), ")");
  for (Py_ssize_t i = 0; i < items.size(); ++i) scan_items(scan, items.item(i).o, depth + 1);
}

struct Pair {  // a complex128 number
  double re, im;
};
template <class T> constexpr DType kBufferDType = DType::Int64;
template <> constexpr DType kBufferDType<double> = DType::Float64;
template <> constexpr DType kBufferDType<Pair> = DType::Complex128;

// An integer beyond int64 as the target dtype takes it: any number but an integer.
bool wide_integer(PyObject* o, DType target, Scalar& out) {
  int overflow = 0;
  if (!PyLong_Check(o) || (PyLong_AsLongLongAndOverflow(o, &overflow), !overflow)) return false;
  if (target == DType::Bool) {
    out = Scalar::of_bool(true);
  } else if (is_integral(target)) {
    PyErr_SetString(PyExc_ValueError, "Overflow when unpacking long long");
    raise_pending();
  } else {
    double value = PyLong_AsDouble(o);
    if (value == -1 && PyErr_Occurred()) raise_pending();
    out = Scalar::of(value);
  }
  return true;
}

void check_real(const Scalar& s, DType target) {
  if (s.imaginary == 0 || is_complex(target) || target == DType::Bool) return;
  fail(ErrorKind::Type, is_integral(target) ? "'complex' object cannot be interpreted as an integer"
                                            : "must be real number, not complex");
}

// Numbers of a tensor among others become integers only when they are.
void check_whole(PyObject* o, DType target) {
  if (is_tensor(o) && is_integral(target) && target != DType::Bool && !is_integral(borrow(o).dtype()))
    fail(ErrorKind::Type, "only integer tensors of a single element can be converted to an index");
}

// Writes numbers that will have the target dtype into a complex128, float64 or int64 buffer.
template <class T>
void write_items(PyObject* o, int depth, const DimArray& shape, DType target, T*& out) {
  if (depth == shape.n) {
    if constexpr (std::is_same_v<T, double>) {
      if (PyFloat_CheckExact(o)) {
        *out++ = PyFloat_AS_DOUBLE(o);
        return;
      }
    } else if constexpr (std::is_same_v<T, int64_t>) {
      if (target == DType::Int64 && PyLong_CheckExact(o)) {
        int overflow;
        *out = PyLong_AsLongLongAndOverflow(o, &overflow);
        if (!overflow) {
          ++out;
          return;
        }
      }
    }
    Scalar s;
    check_whole(o, target);
    if (is_tensor(o)) s = item(borrow(o));
    else if (!wide_integer(o, target, s) && !to_scalar(o, s)) not_a_number(o);
    check_real(s, target);
    if constexpr (std::is_same_v<T, double>) *out++ = s.f;
    else if constexpr (std::is_same_v<T, Pair>) *out++ = {s.f, s.imaginary};
    else *out++ = number_for(s, target).i;
    return;
  }
  check_whole(o, target);
  if (has_buffer(o) || is_tensor(o)) {
    NoGradGuard guard;
    Tensor t = is_tensor(o) ? borrow(o) : from_buffer(o, "tensor()");
    if (target == DType::Bool) t = to_dtype(t, target);
    t = contiguous(to_device(to_dtype(t, kBufferDType<T>), {}));
    int64_t wanted = 1;
    for (int i = depth; i < shape.n; ++i) wanted *= shape[i];
    FG_CHECK(t.numel() == wanted, Runtime, "tensor(): an array changed its size while it was read");
    memcpy(out, t.data(), t.numel() * sizeof(T));
    out += t.numel();
    return;
  }
  FastSequence items(o);
  FG_CHECK(items.size() == shape[depth], Runtime, "tensor(): a sequence changed its length while it was read");
  for (int64_t i = 0; i < shape[depth]; ++i) write_items(items.item(i).o, depth + 1, shape, target, out);
}

template <class T, class Read> bool read_all(const Tensor& out, PyObject* const* items, Read read) {
  T* to = out.mutable_data<T>();
  for (int64_t i = 0; i < out.numel(); ++i)
    if (!read(items[i], to[i])) return false;
  return true;
}

// A list or tuple of nothing but floats, or but ints, that stay what they are: one pass, which runs no Python code.
// Undefined for anything else.
Tensor from_flat(PyObject* o, std::optional<DType> dtype) {
  const Py_ssize_t n = PyList_CheckExact(o) || PyTuple_CheckExact(o) ? PySequence_Fast_GET_SIZE(o) : 0;
  if (n == 0) return {};
  PyObject* const* items = PySequence_Fast_ITEMS(o);
  const bool ints = PyLong_CheckExact(items[0]);
  const DType target = dtype.value_or(ints ? DType::Int64 : default_dtype());
  if (ints ? target != DType::Int64 : target != DType::Float32 && target != DType::Float64) return {};
  const Tensor out = Tensor::empty(DimArray{n}, target, {});
  const auto number = [](PyObject* item, auto& to) {
    if (!PyFloat_CheckExact(item)) return false;
    to = static_cast<std::remove_reference_t<decltype(to)>>(PyFloat_AS_DOUBLE(item));
    return true;
  };
  const auto integer = [](PyObject* item, int64_t& to) {
    int overflow = 0;
    if (!PyLong_CheckExact(item)) return false;
    to = PyLong_AsLongLongAndOverflow(item, &overflow);
    return !overflow;
  };
  const bool fits = ints                       ? read_all<int64_t>(out, items, integer)
                    : target == DType::Float32 ? read_all<float>(out, items, number)
                                               : read_all<double>(out, items, number);
  return fits ? out : Tensor();
}

Tensor from_sequence(PyObject* o, std::optional<DType> dtype) {
  if (Tensor flat = from_flat(o, dtype); flat.defined()) return flat;
  Scan scan;
  scan_shape(scan, o);
  if (count_of(scan.shape) != 0 || scan.shape.n == 0) scan_items(scan, o, 0);
  DType target;
  if (dtype) {
    target = *dtype;
  } else if (scan.wide != DType::kUndefined) {
    target = scan.wide;
    if (scan.any_complex && !is_complex(target)) target = complex_of(default_dtype());
    else if (scan.any_float && !is_inexact(target)) target = default_dtype();
    else if (scan.any_int) target = promote(target, is_inexact(target) ? target : DType::Int64);
  } else if (scan.any_complex) {
    target = complex_of(default_dtype());
  } else if (scan.any_float || count_of(scan.shape) == 0) {
    target = default_dtype();
  } else {
    target = scan.any_int ? DType::Int64 : DType::Bool;
  }
  DType buffer = is_complex(target) ? DType::Complex128 : is_floating(target) ? DType::Float64 : DType::Int64;
  Tensor raw = Tensor::empty(scan.shape, buffer, {});
  if (raw.numel()) {
    if (buffer == DType::Complex128) {
      Pair* out = raw.mutable_data<Pair>();
      write_items(o, 0, scan.shape, target, out);
    } else if (buffer == DType::Float64) {
      double* out = raw.mutable_data<double>();
      write_items(o, 0, scan.shape, target, out);
    } else {
      int64_t* out = raw.mutable_data<int64_t>();
      write_items(o, 0, scan.shape, target, out);
    }
  }
  NoGradGuard guard;
  return to_dtype(raw, target);
}

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
    if (overflow > 0) {
      uint64_t large = PyLong_AsUnsignedLongLong(o);
      if (large != static_cast<uint64_t>(-1) || !PyErr_Occurred()) {
        out = Scalar::of_int(static_cast<int64_t>(large));  // wraps around where an int64 is needed
        out.f = static_cast<double>(large);
        return true;
      }
      PyErr_Clear();
    }
    if (overflow) {
      PyErr_SetString(PyExc_OverflowError, "a Python integer is too large to convert to int64");
      return false;
    }
    out = Scalar::of_int(v);
    return true;
  }
  bool from_numpy = is_numpy_scalar(o);
  if (PyComplex_Check(o) || (from_numpy && strncmp(Py_TYPE(o)->tp_name, "numpy.complex", 13) == 0)) {
    Py_complex z = PyComplex_AsCComplex(o);
    if (z.real == -1 && PyErr_Occurred()) return false;
    out = Scalar::of_complex(z.real, z.imag);
    return true;
  }
  if (from_numpy) {
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
    Scalar value = Scalar::of(PyFloat_AS_DOUBLE(data));
    if (dtype && is_integral(*dtype)) value = number_for(value, *dtype);
    return full({}, value, dtype.value_or(default_dtype()), {});
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
  if (!numpy_scalar && (wide_integer(data, dtype.value_or(DType::Int64), s) || to_scalar(data, s))) {
    if (dtype) check_real(s, *dtype);
    if (dtype && is_integral(*dtype)) s = number_for(s, *dtype);
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

}  // namespace fg::py
