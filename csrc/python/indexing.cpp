// x[key] and x[key] = value: basic parts become views, tensors and lists become advanced indices.
#include "python/args.h"
#include "python/convert.h"
#include "python/overrides.h"

namespace fg::py {

namespace {

struct Parsed {
  Tensor view;                  // after ints, slices, None
  std::vector<Tensor> indices;  // for fg::index, empty when the key was basic
  bool advanced = false;
};

// An index that is no int, slice, None, Ellipsis or bool: a tensor, or something a tensor can be made of.
Tensor index_tensor(PyObject* o) {
  if (is_tensor(o)) return unwrap(o);
  FG_CHECK(!PyUnicode_Check(o) && !PyBytes_Check(o), Type, "a string is no index for a tensor");
  if (!PySequence_Check(o))
    fail(ErrorKind::Index,
         "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got ",
         Py_TYPE(o)->tp_name, ")");
  Tensor t = tensor_from_python(o, {}, {});
  return t.dtype() == DType::Bool || t.dtype() == DType::UInt8 ? t : to_dtype(t, DType::Int64);
}

bool is_int_like(PyObject* o) {
  if (PyLong_Check(o)) return !PyBool_Check(o);
  if (is_tensor(o)) {
    const Tensor& t = borrow(o);
    return t.dim() == 0 && is_integral(t.dtype()) && t.dtype() != DType::Bool && t.dtype() != DType::UInt8;
  }
  return !PyBool_Check(o) && !PySequence_Check(o) && !PySlice_Check(o) && PyIndex_Check(o);
}

int64_t int_of(PyObject* o) {
  PyObject* i = PyNumber_Index(o);
  if (!i) raise_pending();
  int64_t v = PyLong_AsLongLong(i);
  Py_DECREF(i);
  if (v == -1 && PyErr_Occurred()) raise_pending();
  return v;
}

Tensor slice_with(const Tensor& t, int64_t dim, PyObject* o) {
  Py_ssize_t start, stop, step;
  if (PySlice_Unpack(o, &start, &stop, &step) < 0) raise_pending();
  FG_CHECK(step > 0, Value, "step must be greater than zero");
  // A full slice changes nothing and is not recorded, as in torch.
  if (start == 0 && step == 1 && dim < t.dim() && stop >= t.size(static_cast<int>(dim))) return t;
  return slice(t, dim, start, stop, step);
}

// A short sequence with sequences, tensors or slices in it stands for the tuple of its items, as in NumPy once.
bool stands_for_tuple(PyObject* key) {
  if (PyTuple_Check(key)) return true;
  if (is_tensor(key) || PyUnicode_Check(key) || !PySequence_Check(key) || PyObject_CheckBuffer(key)) return false;
  Py_ssize_t n = PySequence_Size(key);
  if (n < 0) PyErr_Clear();
  bool found = false;
  for (Py_ssize_t i = 0; i < n && n < 32 && !found; ++i) {
    PyObject* o = PySequence_GetItem(key, i);
    if (!o) raise_pending();
    found = is_tensor(o) || PySlice_Check(o) || o == Py_Ellipsis || o == Py_None || PySequence_Check(o);
    Py_DECREF(o);
  }
  if (found && PyErr_WarnEx(PyExc_UserWarning,
                            "Using a non-tuple sequence for multidimensional indexing is deprecated: write "
                            "x[tuple(seq)] instead of x[seq], which will mean x[torch.tensor(seq)].",
                            1) < 0)
    raise_pending();
  return found;
}

Parsed parse(const Tensor& self, PyObject* key) {
  Parsed p;
  if (PySlice_Check(key) && self.dim() > 0) {
    p.view = slice_with(self, 0, key);
    return p;
  }
  p.view = self;
  PyObject* single[] = {key};
  PyObject* const* items = single;
  Py_ssize_t n = 1;
  std::optional<Owned> several;
  if (!PyLong_Check(key) && !PySlice_Check(key) && stands_for_tuple(key)) {
    several.emplace(PySequence_Tuple(key));
    items = &PyTuple_GET_ITEM(several->o, 0);
    n = PyTuple_GET_SIZE(several->o);
  }
  std::vector<Tensor> tensors(n);  // converted advanced items
  int specified = 0;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* o = items[i];
    if (o == Py_Ellipsis || o == Py_None || PyBool_Check(o)) continue;
    if (PySlice_Check(o) || is_int_like(o)) {
      ++specified;
      continue;
    }
    tensors[i] = index_tensor(o);
    DType t = tensors[i].dtype();
    specified += t == DType::Bool || t == DType::UInt8 ? tensors[i].dim() : 1;
  }
  FG_CHECK(specified <= self.dim(), Index, "too many indices for tensor of dimension ", self.dim());
  int64_t dim = 0, covered = 0;
  auto advance_to = [&] {
    for (; covered < dim; ++covered) p.indices.emplace_back();
  };
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* o = items[i];
    if (o == Py_None) {
      p.view = unsqueeze(p.view, dim++);
    } else if (o == Py_Ellipsis) {
      dim += self.dim() - specified;  // each one, as in torch
    } else if (PyBool_Check(o)) {
      p.view = unsqueeze(p.view, dim);
      advance_to();
      p.indices.push_back(full(DimArray{1}, Scalar::of_bool(o == Py_True), DType::Bool, self.device()));
      p.advanced = true;
      ++dim, ++covered;
    } else if (PySlice_Check(o)) {
      p.view = slice_with(p.view, dim++, o);
    } else if (!tensors[i].defined()) {
      p.view = select(p.view, dim, int_of(o));
    } else {
      Tensor t = tensors[i];
      bool mask = t.dtype() == DType::Bool || t.dtype() == DType::UInt8;
      if (mask && t.dim() == 0) {
        p.view = unsqueeze(p.view, dim);
        t = reshape(t, DimArray{1});
      }
      if (t.device() != self.device() && !self.device().is_cpu()) t = to_device(t, self.device());
      advance_to();
      int64_t width = mask ? t.dim() : 1;
      p.indices.push_back(std::move(t));
      p.advanced = true;
      dim += width, covered += width;
    }
  }
  return p;
}

}  // namespace

PyObject* tensor_getitem(PyObject* self, PyObject* key) {
  FG_TRY
  if (PyObject* args[] = {self, key}; check_overridden(args, 2)) [[unlikely]]
    return dispatch_slot("__getitem__", {self, key});
  const Tensor& t = borrow(self);
  if (PyLong_CheckExact(key)) {
    int64_t i = PyLong_AsLongLong(key);
    if (i == -1 && PyErr_Occurred()) return nullptr;
    FG_CHECK(t.dim() > 0, Index,
             "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to "
             "convert a 0-dim tensor to a number");
    return wrap(select(t, 0, i));
  }
  Parsed p = parse(t, key);
  if (p.advanced) return wrap(index(p.view, p.indices));
  return wrap(p.view.is_same(t) ? alias(t) : std::move(p.view));
  FG_CATCH
}

int tensor_setitem(PyObject* self, PyObject* key, PyObject* value) {
  FG_TRY
  FG_CHECK(value != nullptr, Type, "Tensor does not support deleting items");
  if (PyObject* args[] = {self, key, value}; check_overridden(args, 3)) [[unlikely]] {
    PyObject* done = dispatch_slot("__setitem__", {self, key, value});
    Py_XDECREF(done);
    return done ? 0 : -1;
  }
  const Tensor& t = borrow(self);
  Scalar number;
  bool is_plain_number = !is_tensor(value) && to_scalar(value, number);
  if (!is_plain_number && PyErr_Occurred()) return -1;
  Tensor v;
  if (!is_plain_number && !is_tensor(value)) {
    PyErr_Format(PyExc_TypeError, "can't assign a %s to a %s", Py_TYPE(value)->tp_name, type_text(t).c_str());
    return -1;
  }
  if (!is_plain_number) v = unwrap(value);
  if (key == Py_False) return 0;
  Parsed p = key == Py_True ? Parsed{unsqueeze(t, 0)} : parse(t, key);
  if (!p.advanced) {
    if (is_plain_number) {
      fill_(p.view, number);
      return 0;
    }
    while (v.dim() > p.view.dim() && v.size(0) == 1) v = squeeze(v, DimArray{0});
    copy_(p.view, v);
    return 0;
  }
  if (!is_plain_number && v.dim() == 0 && !v.requires_grad() && v.device().is_cpu()) {
    number = item(to_dtype(v, p.view.dtype()));
    is_plain_number = true;
  }
  if (is_plain_number && p.indices.size() == 1 && p.indices[0].defined() && p.indices[0].dtype() == DType::Bool &&
      p.indices[0].dim() <= p.view.dim()) {
    Tensor mask = p.indices[0];
    bool fits = true;
    DimArray shape;
    for (int i = 0; i < p.view.dim(); ++i) {
      if (i < mask.dim()) fits &= mask.size(i) == p.view.size(i);
      shape.push(i < mask.dim() ? mask.size(i) : 1);
    }
    if (fits) {
      masked_fill_(p.view, reshape(mask, shape), number);
      return 0;
    }
  }
  if (is_plain_number) {
    v = full({}, number, p.view.dtype(), p.view.device());
  } else if (v.dtype() != p.view.dtype()) {
    v = !is_tensor(value) || v.dim() == 0 ? to_dtype(v, p.view.dtype()) : value_to_put(p.view, p.indices, v, false);
  }
  if (v.device() != p.view.device()) v = to_device(v, p.view.device());
  index_put_(p.view, p.indices, v, false);
  return 0;
  FG_CATCH_INT
}

}  // namespace fg::py
