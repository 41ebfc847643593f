// Creation functions and tensor.new_* methods.
#include <cmath>

#include "ops/pinned.h"
#include "python/functions.h"
#include "python/memory_format.h"

namespace fg::py {

namespace {

// Creation keywords, always in this order: dtype, layout, device, requires_grad, pin_memory, out, memory_format.
#define KEYWORDS \
  "dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False, out=None, memory_format=None"

struct Wanted {
  DType dtype;
  Device device;
};
Wanted wanted(const Call& c, int first, DType dtype, Device device = default_device()) {
  return {c.dtype(first, dtype), c.opt_device(first + 2).value_or(device)};
}

PyObject* made(const Call& c, int first, Tensor t) {
  t = in_format(t, format_of(c, first + 6, Format::preserve));
  if (c.has(first + 5)) return finish(c, first + 5, t);
  t = pinned_if(c.boolean(first + 4, false), t);
  if (c.boolean(first + 3, false)) {
    FG_CHECK(is_inexact(t.dtype()), Runtime, "Only Tensors of floating point and complex dtype can require gradients");
    t.impl()->requires_grad = true;
  }
  return wrap(std::move(t));
}

PyObject* constant(Call& c, double value) {
  Wanted w = wanted(c, 1, default_dtype());
  return made(c, 1, full(c.dims(0), Scalar::of_int(static_cast<int64_t>(value)), w.dtype, w.device));
}

PyObject* constant_like(Call& c, double value) {
  const Tensor& t = c.tensor(0);
  Wanted w = wanted(c, 1, t.dtype(), t.device());
  Tensor out = empty_like(t, w.dtype, w.device);
  fill_(out, Scalar::of(value));
  return made(c, 1, out);
}

DType dtype_of(const Scalar& s) { return s.dtype(); }

PyObject* full_args(Call& c) {
  Scalar value = c.scalar(1);
  Wanted w = wanted(c, 2, dtype_of(value));
  return made(c, 2, full(c.dims(0), number_for(value, w.dtype, true), w.dtype, w.device));
}
PyObject* full_like(Call& c) {
  const Tensor& t = c.tensor(0);
  Wanted w = wanted(c, 2, t.dtype(), t.device());
  Tensor out = empty_like(t, w.dtype, w.device);
  fill_(out, c.scalar(1));
  return made(c, 2, out);
}

PyObject* empty_args(Call& c) {
  Wanted w = wanted(c, 1, default_dtype());
  return made(c, 1, Tensor::empty(c.dims(0), w.dtype, w.device));
}
PyObject* empty_like_args(Call& c) {
  const Tensor& t = c.tensor(0);
  Wanted w = wanted(c, 1, t.dtype(), t.device());
  return made(c, 1, empty_like(t, w.dtype, w.device));
}

// arange(end), arange(start, end), arange(start, end, step)
PyObject* arange_args(Call& c) {
  Scalar start = Scalar::of_int(0), end, step = Scalar::of_int(1);
  if (c.has(1)) start = c.scalar(0, start), end = c.scalar(1);
  else end = c.scalar(0);
  if (c.has(2)) step = c.scalar(2);
  bool floats = false;
  for (const Scalar& s : {start, end, step}) {
    FG_CHECK(s.imaginary == 0, Runtime, "value cannot be converted to type double without overflow");
    floats |= !s.is_integral();
  }
  Wanted w = wanted(c, 3, floats ? default_dtype() : DType::Int64);
  FG_CHECK(!is_complex(w.dtype), NotImplemented, "\"arange_cpu\" not implemented for '", dtype_name(w.dtype), "'");
  return made(c, 3, arange(start, end, step, w.dtype, w.device));
}

// The dtype of linspace and logspace: complex when an end is.
Wanted wanted_between(Call& c, int first, const char* name) {
  bool imaginary = c.scalar(0).is_complex() || c.scalar(1).is_complex();
  Wanted w = wanted(c, first, imaginary ? complex_of(default_dtype()) : default_dtype());
  FG_CHECK(!imaginary || is_complex(w.dtype), Runtime, "torch.", name, "(): inferred dtype ",
           dtype_name(complex_of(default_dtype())), " can't be safely cast to passed dtype ", dtype_name(w.dtype));
  return w;
}
Tensor complex_linspace(const Call& c, DType part, Device device) {
  Scalar start = c.scalar(0), end = c.scalar(1);
  int64_t n = c.integer(2);
  return complex(linspace(start.f, end.f, n, part, device), linspace(start.imaginary, end.imaginary, n, part, device));
}
PyObject* linspace_args(Call& c) {
  Wanted w = wanted_between(c, 3, "linspace");
  return made(c, 3,
              is_complex(w.dtype) ? complex_linspace(c, real_of(w.dtype), w.device)
                                  : linspace(c.scalar(0).f, c.scalar(1).f, c.integer(2), w.dtype, w.device));
}
PyObject* logspace_args(Call& c) {
  Wanted w = wanted_between(c, 4, "logspace");
  double base = c.number(3, 10);
  if (!is_complex(w.dtype))
    return made(c, 4, linspace(c.scalar(0).f, c.scalar(1).f, c.integer(2), w.dtype, w.device, base));
  Tensor exponents = complex_linspace(c, DType::Float64, w.device);
  return made(c, 4, to_dtype(pow(Scalar::of_complex(base, 0), exponents), w.dtype));
}
PyObject* eye_args(Call& c) {
  Wanted w = wanted(c, 2, default_dtype());
  int64_t n = c.integer(0);
  return made(c, 2, eye(n, c.integer(1, n), w.dtype, w.device));
}

// x.new_zeros(sizes) and its kin take dtype and device of x.
PyObject* new_constant(Call& c, double value) {
  const Tensor& t = c.tensor(0);
  Wanted w = wanted(c, 2, t.dtype(), t.device());
  return made(c, 2, full(c.dims(1), Scalar::of(value), w.dtype, w.device));
}
PyObject* new_empty(Call& c) {
  const Tensor& t = c.tensor(0);
  Wanted w = wanted(c, 2, t.dtype(), t.device());
  return made(c, 2, Tensor::empty(c.dims(1), w.dtype, w.device));
}
PyObject* new_full(Call& c) {
  const Tensor& t = c.tensor(0);
  Wanted w = wanted(c, 3, t.dtype(), t.device());
  return made(c, 3, full(c.dims(1), number_for(c.scalar(2), w.dtype, true), w.dtype, w.device));
}
PyObject* new_tensor(Call& c) {
  const Tensor& t = c.tensor(0);
  Wanted w = wanted(c, 2, t.dtype(), t.device());
  return made(c, 2, tensor_from_python(c.v[1], c.has(2) ? w.dtype : t.dtype(), w.device));
}

// The device of data from Python: a tensor stays where it is.
std::optional<Device> data_device(const Call& c) {
  if (c.has(2) || default_device().is_cpu() || c.is_tensor(0)) return c.opt_device(2);
  return default_device();
}

PyObject* tensor_args(Call& c) {
  Tensor t = pinned_if(c.boolean(4, false), tensor_from_python(c.v[0], c.opt_dtype(1), data_device(c)));
  if (c.boolean(3, false)) {
    FG_CHECK(is_inexact(t.dtype()), Runtime, "Only Tensors of floating point and complex dtype can require gradients");
    t.impl()->requires_grad = true;
  }
  return wrap(std::move(t));
}
PyObject* as_tensor_args(Call& c) {
  if (c.is_tensor(0)) {
    Tensor t = c.tensor(0);
    Tensor out = c.has(1) ? to_dtype(t, *c.opt_dtype(1)) : t;
    if (c.has(2)) out = to_device(out, *c.opt_device(2));
    return out.is_same(t) ? same_object(c) : wrap(out);
  }
  return wrap(tensor_from_python(c.v[0], c.opt_dtype(1), data_device(c), false));
}
PyObject* scalar_tensor_args(Call& c) {
  Wanted w = wanted(c, 1, default_dtype());
  return made(c, 1, full({}, c.scalar(0), w.dtype, w.device));
}

constexpr FunctionDef defs[] = {
    {"zeros", kStatic, "*size, " KEYWORDS, [](Call& c) { return constant(c, 0); }, "A tensor of zeros."},
    {"ones", kStatic, "*size, " KEYWORDS, [](Call& c) { return constant(c, 1); }, "A tensor of ones."},
    {"empty", kStatic, "*size, " KEYWORDS, empty_args, "A tensor of undefined elements."},
    {"full", kStatic, "size, fill_value, *, " KEYWORDS, full_args, "A tensor of one value."},
    {"zeros_like", kFunction, "input, *, " KEYWORDS, [](Call& c) { return constant_like(c, 0); }, nullptr},
    {"ones_like", kFunction, "input, *, " KEYWORDS, [](Call& c) { return constant_like(c, 1); }, nullptr},
    {"empty_like", kFunction, "input, *, " KEYWORDS, empty_like_args, nullptr},
    {"full_like", kFunction, "input, fill_value, *, " KEYWORDS, full_like, nullptr},
    {"arange", kStatic, "start=None, end=None, step=1, *, " KEYWORDS, arange_args,
     "start, start + step, ... below end."},
    {"linspace", kStatic, "start, end, steps, *, " KEYWORDS, linspace_args, "steps numbers from start to end."},
    {"logspace", kStatic, "start, end, steps, base=10.0, *, " KEYWORDS, logspace_args, nullptr},
    {"eye", kStatic, "n, m=None, *, " KEYWORDS, eye_args, "Ones on the diagonal, zeros elsewhere."},
    {"tensor", kStatic | kData, "data, *, dtype=None, device=None, requires_grad=False, pin_memory=False", tensor_args,
     "A copy of data: a number, nested sequences, an array or a tensor."},
    {"as_tensor", kStatic | kData, "data, dtype=None, device=None", as_tensor_args,
     "data as a tensor, without a copy where possible."},
    {"asarray", kStatic | kData, "data, dtype=None, device=None", as_tensor_args, nullptr},
    {"scalar_tensor", kStatic | kData, "s, *, " KEYWORDS, scalar_tensor_args, nullptr},
    {"new_zeros", kMethod, "input, *size, " KEYWORDS, [](Call& c) { return new_constant(c, 0); }, nullptr},
    {"new_ones", kMethod, "input, *size, " KEYWORDS, [](Call& c) { return new_constant(c, 1); }, nullptr},
    {"new_empty", kMethod, "input, *size, " KEYWORDS, new_empty, nullptr},
    {"new_full", kMethod, "input, size, fill_value, *, " KEYWORDS, new_full, nullptr},
    {"new_tensor", kMethod, "input, data, *, " KEYWORDS, new_tensor, nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_create_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
