// Complex numbers: their parts, making them, conjugates. Real tensors are let through where torch does.
#include "ops/autocast.h"
#include "python/functions.h"
#include "python/tensor_slots.h"

namespace fg::py {

namespace {

PyObject* conj_physical_(Call& c) {
  if (is_complex(c.tensor(0).dtype())) elementwise_(Op::conj_complex, c.tensor(0), {}, kCalledAs);
  return same_object(c);
}

Tensor adjoint(const Tensor& t) { return conj(transpose(t, -2, -1)); }

constexpr FunctionDef defs[] = {
    {"complex", kFunction, "real, imag, *, out=None",
     [](Call& c) { return finish(c, 2, complex(c.tensor(0), c.tensor(1))); },
     "real + imag * 1j of two float or double tensors"},
    {"polar", kFunction, "abs, angle, *, out=None",
     [](Call& c) {
       Tensor size = in_float(c.tensor(0)), turn = in_float(c.tensor(1));
       FG_CHECK(size.dtype() == turn.dtype(), Runtime, "polar: Expected object of scalar type ",
                dtype_name(size.dtype()), " but got scalar type ", dtype_name(turn.dtype()), " for second argument");
       return finish(c, 2, complex(mul(size, unary(Op::cos, turn)), mul(size, unary(Op::sin, turn))));
     },
     "abs * exp(1j * angle) of two float or double tensors"},
    {"view_as_real", kFunction, "input", [](Call& c) { return wrap(view_as_real(c.tensor(0))); },
     "The parts of complex numbers as a last dimension of size 2, over the same memory."},
    {"view_as_complex", kFunction, "input", [](Call& c) { return wrap(view_as_complex(in_float(c.tensor(0)))); },
     "The inverse of view_as_real."},
    {"_fft", kFunction, "input, dim, kind, size, scale",
     [](Call& c) {
       const int64_t kind = c.integer(2);
       FG_CHECK(kind >= 0 && kind <= 3, Value, "fft: unknown kind ", kind);
       const int dim = wrap_dim(c.integer(1), c.tensor(0).dim(), "fft");
       return wrap(fourier(c.tensor(0), dim, static_cast<Fft>(kind), c.integer(3), c.number(4, 1)));
     },
     nullptr},
    {"_fft_several", kFunction, "input, dims, kind, size, scale",
     [](Call& c) {
       const int64_t kind = c.integer(2);
       FG_CHECK(kind >= 0 && kind <= 3, Value, "fft: unknown kind ", kind);
       DimArray dims(c.dims(1));
       for (int d = 0; d < dims.n; ++d) dims[d] = wrap_dim(dims[d], c.tensor(0).dim(), "fft");
       return wrap(fourier_several(c.tensor(0), dims, static_cast<Fft>(kind), c.integer(3), c.number(4, 1)));
     },
     nullptr},
    {"_fft_plans", kFunction, "device, what, value",
     [](Call& c) {
       const int64_t what = c.integer(1);
       FG_CHECK(what >= 0 && what <= 3, Value, "cufft_plan_cache: unknown question ", what);
       return PyLong_FromLongLong(
           fourier_plans(c.opt_device(0).value_or(Device{}), static_cast<FftPlans>(what), c.integer(2)));
     },
     nullptr},
    {"_can_fft", kFunction, "size, real",
     [](Call& c) { return PyBool_FromLong(can_transform(c.integer(0), c.boolean(1, false))); }, nullptr},
    {"real", kFunction, "input", [](Call& c) { return wrap(real(c.tensor(0))); },
     "The real part, a view; real tensors as they are."},
    {"imag", kFunction, "input", [](Call& c) { return wrap(imag(c.tensor(0))); }, "The imaginary part, a view."},
    {"conj", kBoth, "input", [](Call& c) { return wrap(conj(c.tensor(0))); },
     "The complex conjugate, made at once; real tensors as they are."},
    {"conj_physical", kBoth, "input, *, out=None", [](Call& c) { return finish(c, 1, conj(c.tensor(0), true)); },
     "The complex conjugate; real tensors as they are."},
    {"conj_physical_", kBoth, "input", conj_physical_, nullptr},
    {"resolve_conj", kBoth, "input", [](Call& c) { return same_object(c); },
     "The tensor itself: conj() leaves nothing to resolve."},
    {"resolve_neg", kBoth, "input", [](Call& c) { return same_object(c); }, nullptr},
    {"is_conj", kBoth, "input", [](Call&) { return PyBool_FromLong(0); }, "Always False: conj() is made at once."},
    {"is_neg", kBoth, "input", [](Call&) { return PyBool_FromLong(0); }, nullptr},
    {"is_complex", kBoth, "input", [](Call& c) { return PyBool_FromLong(is_complex(c.tensor(0).dtype())); }, nullptr},
    {"isreal", kBoth, "input",
     [](Call& c) {
       const Tensor& t = c.tensor(0);
       if (is_complex(t.dtype())) return wrap(binary(Op::eq, detach(imag(t)), Scalar::of_int(0)));
       return wrap(full(t.sizes(), Scalar::of_bool(true), DType::Bool, t.device()));
     },
     "Where the imaginary part is 0."},
    {"angle", kBoth, "input, *, out=None", [](Call& c) { return finish(c, 1, angle(c.tensor(0))); },
     "The angle in radians: of real numbers 0, or pi where negative."},
    {"sgn", kBoth, "input, *, out=None", [](Call& c) { return finish(c, 1, sgn(c.tensor(0))); },
     "input / abs(input), 0 where input is 0: the sign of real numbers."},
    {"sgn_", kMethod, "input",
     [](Call& c) {
       elementwise_(is_complex(c.tensor(0).dtype()) ? Op::sgn_complex : Op::sign, c.tensor(0), {});
       return same_object(c);
     },
     nullptr},
    {"adjoint", kBoth, "input", [](Call& c) { return wrap(adjoint(c.tensor(0))); },
     "The conjugate with the last two dimensions exchanged."},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

// ---- attributes

PyObject* get_real(PyObject* self, void*) {
  FG_TRY
  return wrap(real(borrow(self)));
  FG_CATCH
}
PyObject* get_imag(PyObject* self, void*) {
  FG_TRY
  return wrap(imag(borrow(self)));
  FG_CATCH
}
int set_part(const Tensor& part, PyObject* value) {
  FG_CHECK(value, Type, "the parts of a tensor cannot be deleted");
  Tensor v = operand(value);
  copy_(part, v);
  return 0;
}
int set_real(PyObject* self, PyObject* value, void*) {
  FG_TRY
  return set_part(real(borrow(self)), value);
  FG_CATCH_INT
}
int set_imag(PyObject* self, PyObject* value, void*) {
  FG_TRY
  return set_part(imag(borrow(self)), value);
  FG_CATCH_INT
}
PyObject* get_h(PyObject* self, void*) {
  FG_TRY
  const Tensor& x = borrow(self);
  FG_CHECK(x.dim() == 2 || x.dim() == 0, Runtime, "tensor.H is only supported on matrices (2-D tensors). Got ", x.dim(),
           "-D tensor.", x.dim() > 2 ? " For batches of matrices, consider using tensor.mH" : "");
  return wrap(x.dim() == 0 ? conj(x) : adjoint(x));
  FG_CATCH
}
PyObject* get_mh(PyObject* self, void*) {
  FG_TRY
  const Tensor& x = borrow(self);
  FG_CHECK(x.dim() >= 2 || x.dim() == 0, Runtime,
           "tensor.mH is only supported on matrices or batches of matrices. Got ", x.dim(), "-D tensor.");
  return wrap(x.dim() == 0 ? conj(x) : adjoint(x));
  FG_CATCH
}
PyObject* to_complex(PyObject* self, PyObject*) {
  FG_TRY
  const Tensor& t = borrow(self);
  FG_CHECK(t.numel() == 1, Value, "only one element tensors can be converted to Python scalars (got ", t.numel(),
           " elements)");
  Scalar s = item(t);
  return PyComplex_FromDoubles(s.f, s.imaginary);
  FG_CATCH
}

PyGetSetDef attributes[] = {FG_CHANGE(real, get_real, set_real, "The real part, a view; of a real tensor itself."),
                            FG_CHANGE(imag, get_imag, set_imag, "The imaginary part, a view."),
                            FG_READ(H, get_h, "The conjugate transpose of a matrix."),
                            FG_READ(mH, get_mh, "The conjugate of the last two dimensions exchanged."),
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef number_method = {"__complex__", to_complex, METH_NOARGS, nullptr};

bool add_to_type(PyObject* descriptor, const char* name) {
  bool ok = descriptor && PyDict_SetItemString(tensor_type->tp_dict, name, descriptor) == 0;
  Py_XDECREF(descriptor);
  return ok;
}

}  // namespace

bool init_complex_functions(PyObject* module) {
  if (!FG_REGISTER(defs, module)) return false;
  for (PyGetSetDef* a = attributes; a->name; ++a)
    if (!add_to_type(PyDescr_NewGetSet(tensor_type, a), a->name)) return false;
  if (!add_to_type(PyDescr_NewMethod(tensor_type, &number_method), number_method.ml_name)) return false;
  PyType_Modified(tensor_type);
  return true;
}

}  // namespace fg::py
