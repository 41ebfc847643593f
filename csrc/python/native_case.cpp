#include "python/native_case.h"

namespace fg::py {

namespace {

bool is_usual(PyObject* given, PyObject* usual) {
  if (given == usual || usual == Py_Ellipsis) return true;
  if (PyFloat_CheckExact(given) && PyFloat_CheckExact(usual))
    return PyFloat_AS_DOUBLE(given) == PyFloat_AS_DOUBLE(usual);
  return PyUnicode_CheckExact(given) && PyUnicode_CheckExact(usual) && PyUnicode_Compare(given, usual) == 0;
}

}  // namespace

NativeCase::NativeCase(PyObject* spec) : spec_(nullptr) {
  PyObject* params;
  if (!PyArg_ParseTuple(spec, "OiO!", &native_, &places_, &PyTuple_Type, &params)) raise_pending();
  FG_CHECK(PyCFunction_Check(native_) && PyTuple_GET_SIZE(params) <= kMaxParams && places_ <= kMaxParams, Type,
           "a native case needs a native function and at most ", kMaxParams, " parameters");
  int filled = 0;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(params); ++i) {
    Param p;
    PyObject* place;
    int required, not_none;
    if (!PyArg_ParseTuple(PyTuple_GET_ITEM(params, i), "UOOpp", &p.name, &place, &p.usual, &required, &not_none))
      raise_pending();
    p.place = place == Py_None ? -1 : static_cast<int>(PyLong_AsLong(place));
    FG_CHECK(p.place >= -1 && p.place < places_, Value, "a native case with a place that is not there");
    p.required = required, p.not_none = not_none;
    params_.push_back(p);
    if (p.place >= 0) filled |= 1 << p.place;
  }
  FG_CHECK(filled == (1 << places_) - 1, Value, "a native case that leaves an argument open");
  spec_.o = Py_NewRef(spec);
}

int NativeCase::find(PyObject* keyword) const {
  for (size_t i = 0; i < params_.size(); ++i)
    if (params_[i].name == keyword) return static_cast<int>(i);
  return -1;
}

PyObject* NativeCase::call(PyObject* const* args, Py_ssize_t n, PyObject* keywords) const {
  const int count = static_cast<int>(params_.size());
  if (n > count) return nullptr;
  PyObject *given[kMaxParams], *passed[kMaxParams + 1];
  for (int i = 0; i < count; ++i) given[i] = i < n ? args[i] : nullptr;
  for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(keywords); ++k) {
    const int i = find(PyTuple_GET_ITEM(keywords, k));
    if (i < n) return nullptr;  // unknown, or given twice
    given[i] = args[n + k];
  }
  for (int i = 0; i < count; ++i) {
    const Param& p = params_[i];
    PyObject* o = given[i];
    if (p.place < 0) {
      if (o && !is_usual(o, p.usual)) return nullptr;
      continue;
    }
    if (!o && p.required) return nullptr;
    if (!o) o = p.usual;
    if (p.not_none && o == Py_None) return nullptr;
    passed[1 + p.place] = o;
  }
  PyObject* result =
      PyObject_Vectorcall(native_, passed + 1, static_cast<size_t>(places_) | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  if (!result && PyErr_ExceptionMatches(PyExc_TypeError)) {  // the function itself says what is wrong, by its own name
    PyErr_Clear();
    return nullptr;
  }
  if (result != Py_NotImplemented) return result;
  Py_DECREF(result);
  return nullptr;
}

}  // namespace fg::py
