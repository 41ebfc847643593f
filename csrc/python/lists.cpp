// tolist(): the elements of a tensor as nested lists of Python numbers.
#include "python/functions.h"

namespace fg::py {

namespace {

PyObject* scalar_at(const char* p, DType t) {
  switch (t) {
    case DType::Bool: return PyBool_FromLong(*reinterpret_cast<const uint8_t*>(p));
    case DType::UInt8: return PyLong_FromLong(*reinterpret_cast<const uint8_t*>(p));
    case DType::Int8: return PyLong_FromLong(*reinterpret_cast<const int8_t*>(p));
    case DType::Int16: return PyLong_FromLong(*reinterpret_cast<const int16_t*>(p));
    case DType::Int32: return PyLong_FromLong(*reinterpret_cast<const int32_t*>(p));
    case DType::Int64: return PyLong_FromLongLong(*reinterpret_cast<const int64_t*>(p));
    case DType::Float32: return PyFloat_FromDouble(*reinterpret_cast<const float*>(p));
    case DType::Complex64:
      return PyComplex_FromDoubles(reinterpret_cast<const float*>(p)[0], reinterpret_cast<const float*>(p)[1]);
    case DType::Complex128:
      return PyComplex_FromDoubles(reinterpret_cast<const double*>(p)[0], reinterpret_cast<const double*>(p)[1]);
    default: return PyFloat_FromDouble(*reinterpret_cast<const double*>(p));
  }
}

PyObject* list_at(const Tensor& t, int d, const char* p) {
  const DType dtype = t.dtype();
  if (d == t.dim()) return scalar_at(p, dtype);
  // The stride of a lone item, and any without elements, may be huge.
  const int64_t n = t.size(d), step = n > 1 && t.numel() ? t.stride(d) * t.item_bytes() : 0;
  const bool innermost = d + 1 == t.dim();
  Owned out(PyList_New(n));
  for (int64_t i = 0; i < n; ++i) {
    const char* at = p + i * step;
    PyObject* item = innermost ? scalar_at(at, dtype) : list_at(t, d + 1, at);
    if (!item) raise_pending();
    PyList_SET_ITEM(out.o, i, item);
  }
  return out.give();
}

PyObject* tolist(Call& c) {
  NoGradGuard guard;
  Tensor t = to_device(c.tensor(0), {});
  if (is_half(t.dtype())) t = to_dtype(t, DType::Float32);
  return list_at(t, 0, static_cast<const char*>(t.data()));
}
constexpr FunctionDef defs[] = {
    {"tolist", kMethod, "input", tolist, "The elements as nested lists of Python numbers."},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_convert(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
