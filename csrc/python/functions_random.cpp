// Random functions, in-place random methods, and the Generator type.
#include "ops/pinned.h"
#include "python/generator.h"

#include <cmath>
#include <cstring>
#include <random>

#include "ops/draw.h"
#include "python/functions.h"

namespace fg::py {

PyTypeObject* generator_type = nullptr;

namespace {

struct PyGenerator {
  PyObject_HEAD Generator* generator;
  bool owned;
  PyObject* weakrefs;
};

inline Generator& gen(PyObject* o) { return *reinterpret_cast<PyGenerator*>(o)->generator; }

PyObject* generator_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  FG_TRY
  static const char* names[] = {"device", nullptr};
  PyObject* device_arg = nullptr;
  check_keywords("Generator", kwargs, names);
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", const_cast<char**>(names), &device_arg)) return nullptr;
  Device device;
  if (device_arg && device_arg != Py_None && !to_device_value(device_arg, device)) {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "Generator(): device must be a torch.device or a string");
    return nullptr;
  }
  auto made = std::make_unique<Generator>(device);
  PyObject* o = type->tp_alloc(type, 0);
  if (!o) return nullptr;
  reinterpret_cast<PyGenerator*>(o)->generator = made.release();
  reinterpret_cast<PyGenerator*>(o)->owned = true;
  return o;
  FG_CATCH
}
void generator_dealloc(PyObject* o) {
  auto* g = reinterpret_cast<PyGenerator*>(o);
  if (g->weakrefs) PyObject_ClearWeakRefs(o);
  if (g->owned) delete g->generator;
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}

// int(seed) in [-2^63, 2^64), negative ones mod 2^64.
bool seed_value(PyObject* o, uint64_t& out) {
  PyObject* number = PyNumber_Long(o);
  if (!number) return false;
  int overflow = 0;
  long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
  if (overflow == 0) {
    out = static_cast<uint64_t>(value);
  } else {
    out = overflow > 0 ? PyLong_AsUnsignedLongLong(number) : 0;
    if (overflow < 0 || (out == static_cast<uint64_t>(-1) && PyErr_Occurred())) {
      PyErr_Clear();
      PyErr_Format(PyExc_ValueError, "Overflow when unpacking long: the seed must be in [-2**63, 2**64 - 1], got %S",
                   number);
      Py_DECREF(number);
      return false;
    }
  }
  Py_DECREF(number);
  return true;
}

PyObject* manual_seed(PyObject* self, PyObject* value) {
  FG_TRY
  uint64_t seed;
  if (!seed_value(value, seed)) return nullptr;
  gen(self).seed(seed);
  Py_INCREF(self);
  return self;
  FG_CATCH
}
PyObject* random_seed(PyObject* self, PyObject*) {
  FG_TRY
  std::random_device source;
  uint64_t value = static_cast<uint64_t>(source()) << 32 | source();
  gen(self).seed(value);
  return PyLong_FromUnsignedLongLong(value);
  FG_CATCH
}
PyObject* initial_seed(PyObject* self, PyObject*) { return PyLong_FromUnsignedLongLong(gen(self).initial_seed()); }
PyObject* get_state(PyObject* self, PyObject*) {
  FG_TRY
  Generator& g = gen(self);
  if (!g.device.is_cpu()) {
    Tensor out = Tensor::empty(DimArray{sizeof(PhiloxState)}, DType::UInt8, {});
    {
      std::lock_guard guard(g.lock);
      std::memcpy(out.mutable_data(), &g.philox(), sizeof(PhiloxState));
    }
    return wrap(out);  // without the lock: a new object may set off finalizers that draw
  }
  Tensor out = Tensor::empty(DimArray{cpu::kStateBytes}, DType::UInt8, {});
  {
    std::lock_guard guard(g.lock);
    cpu::get_state(g.host, out.mutable_data<uint8_t>());
  }
  return wrap(out);
  FG_CATCH
}
PyObject* set_state(PyObject* self, PyObject* state) {
  FG_TRY
  Generator& g = gen(self);
  FG_CHECK(is_tensor(state), Type, "expected a torch.ByteTensor, but got ", Py_TYPE(state)->tp_name);
  const Tensor& t = borrow(state);
  FG_CHECK(t.dtype() == DType::UInt8 && t.device().is_cpu(), Type, "RNG state must be a torch.ByteTensor");
  if (!g.device.is_cpu()) {
    FG_CHECK(t.numel() == sizeof(PhiloxState), Runtime, "RNG state is wrong size: a CUDA generator's has ",
             sizeof(PhiloxState), " bytes, got ", t.numel());
    Tensor bytes = contiguous(t);
    std::lock_guard guard(g.lock);
    std::memcpy(&g.philox(), bytes.data(), sizeof(PhiloxState));
    Py_INCREF(self);
    return self;
  }
  FG_CHECK(t.numel() == cpu::kStateBytes, Runtime, "Expected a CPUGeneratorImplState of size ", cpu::kStateBytes,
           " but found the input RNG state size to be ", t.numel());
  Tensor bytes = contiguous(t);
  std::lock_guard guard(g.lock);
  const char* error = cpu::set_state(g.host, bytes.data<uint8_t>());
  FG_CHECK(!error, Runtime, error);
  Py_INCREF(self);
  return self;
  FG_CATCH
}
PyObject* generator_device(PyObject* self, void*) { return wrap_device(gen(self).device); }
PyObject* clone_state(PyObject* self, PyObject*) {
  FG_TRY
  Generator& g = gen(self);
  auto made = std::make_unique<Generator>(g.device);
  {
    std::lock_guard guard(g.lock);
    if (g.device.is_cpu()) made->host = g.host;
    else made->philox() = g.philox();
  }
  PyObject* o = generator_type->tp_alloc(generator_type, 0);
  if (!o) return nullptr;
  reinterpret_cast<PyGenerator*>(o)->generator = made.release();
  reinterpret_cast<PyGenerator*>(o)->owned = true;
  return o;
  FG_CATCH
}
PyObject* set_own_state(PyObject* self, PyObject* args) {
  PyObject* state;
  if (!PyArg_ParseTuple(args, "O", &state)) return nullptr;
  if (PyTuple_Check(state)) state = PyTuple_GET_ITEM(state, PyTuple_GET_SIZE(state) - 1);
  PyObject* r = set_state(self, state);
  if (!r) return nullptr;
  Py_DECREF(r);
  Py_RETURN_NONE;
}
PyObject* reduce(PyObject* self, PyObject*) {
  PyObject* state = get_state(self, nullptr);
  if (!state) return nullptr;
  return Py_BuildValue("O(O)(N)", Py_TYPE(self), wrap_device(gen(self).device), state);
}

PyMethodDef generator_methods[] = {
    {"manual_seed", manual_seed, METH_O, "Seeds with int(seed); returns the generator."},
    {"seed", random_seed, METH_NOARGS, "Seeds with a number from the system; returns it."},
    {"initial_seed", initial_seed, METH_NOARGS, "The seed given last."},
    {"get_state", get_state, METH_NOARGS, "The state as bytes: 5056 in torch's layout, on CUDA 16 (seed and offset)."},
    {"set_state", set_state, METH_O, "Restores what get_state() gave."},
    {"clone_state", clone_state, METH_NOARGS, "A new generator in the same state."},
    {"__setstate__", set_own_state, METH_VARARGS, nullptr},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};
PyGetSetDef generator_getset[] = {{"device", generator_device, nullptr, nullptr, nullptr},
                                  {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyType_Slot generator_slots[] = {{Py_tp_new, reinterpret_cast<void*>(generator_new)},
                                 {Py_tp_dealloc, reinterpret_cast<void*>(generator_dealloc)},
                                 {Py_tp_methods, generator_methods},
                                 {Py_tp_getset, generator_getset},
                                 {0, nullptr}};
PyType_Spec generator_spec = {"fastgrad.Generator", sizeof(PyGenerator), 0, Py_TPFLAGS_DEFAULT, generator_slots};

// ---- functions

// Trailing parameters of creation functions: generator, out, dtype, device, requires_grad, pin_memory.
#define CREATE_PARAMS \
  "generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False"

PyObject* made(const Call& c, int first, Tensor t) {  // first: index of `generator`
  if (c.has(first + 1)) return finish(c, first + 1, t);
  t = pinned_if(c.boolean(first + 6, false), t);
  if (c.boolean(first + 5, false)) {
    FG_CHECK(is_inexact(t.dtype()), Runtime, "Only Tensors of floating point and complex dtype can require gradients");
    t.impl()->requires_grad = true;
  }
  return wrap(t);
}

// Complex numbers are filled part by part; normal ones have the given variance together.
RandomFill for_parts(RandomFill fill) {
  if (fill.kind == Random::normal) fill.b *= 0.70710678118654752440;
  return fill;
}

PyObject* random_sizes(Call& c, const RandomFill& fill) {
  DType dtype = c.dtype(3, default_dtype());
  FG_CHECK(is_inexact(dtype), NotImplemented, "\"", c.signature.name, "\" not implemented for '", dtype_name(dtype),
           "'");
  Tensor t = Tensor::empty(c.dims(0), dtype, c.opt_device(5).value_or(default_device()));
  if (is_complex(dtype)) random_fill(pairs_of(t), for_parts(fill), generator_arg(c, 1));
  else random_fill(t, fill, generator_arg(c, 1));
  return made(c, 1, t);
}

PyObject* random_like(Call& c, const RandomFill& fill) {
  Tensor t = empty_like(c.tensor(0), c.opt_dtype(1), c.opt_device(3));
  FG_CHECK(is_inexact(t.dtype()), NotImplemented, "\"", c.signature.name, "\" not implemented for '",
           dtype_name(t.dtype()), "'");
  if (is_complex(t.dtype())) random_fill(pairs_of(t), for_parts(fill), generator_arg(c, 6));
  else random_fill(t, fill, generator_arg(c, 6));
  t.impl()->requires_grad = c.boolean(4, false);
  return wrap(t);
}

void check_bounds(int64_t low, int64_t high) {
  FG_CHECK(low < high, Runtime, "random_ expects 'from' to be less than 'to', but got from=", low, " >= to=", high);
}

// Bounds must be numbers of the dtype.
void check_range(DType dtype, int64_t low, int64_t high) {
  double least = 0, most = 0;
  switch (dtype) {
    case DType::Bool: most = 1; break;
    case DType::UInt8: most = 255; break;
    case DType::Int8: least = -128, most = 127; break;
    case DType::Int16: least = -32768, most = 32767; break;
    case DType::Int32: least = -2147483648.0, most = 2147483647.0; break;
    case DType::Float16: least = -65504, most = 65504; break;
    default: return;
  }
  FG_CHECK(static_cast<double>(low) >= least && static_cast<double>(low) <= most, Runtime, "from is out of bounds for ",
           dtype_name(dtype));
  FG_CHECK(static_cast<double>(high) - 1 >= least && static_cast<double>(high) - 1 <= most, Runtime,
           "to - 1 is out of bounds for ", dtype_name(dtype));
}

// randint(high, size), randint(low, high, size)
PyObject* randint(Call& c) {
  int64_t low = 0, high;
  DimArray size;
  if (c.has(2)) {
    low = c.integer(0), high = c.integer(1), size = c.dims(2);
  } else if (c.has(1) && !PyLong_Check(c.v[1])) {
    high = c.integer(0), size = c.dims(1);
  } else {
    c.type_error(2, "the size, a tuple of ints");
  }
  check_bounds(low, high);
  DType dtype = c.dtype(5, DType::Int64);
  check_range(dtype, low, high);
  Tensor t = Tensor::empty(size, dtype, c.opt_device(7).value_or(default_device()));
  random_fill(t, {.kind = Random::integers, .lo = low, .hi = high}, generator_arg(c, 3));
  return made(c, 3, t);
}

PyObject* randint_like(Call& c) {
  int64_t low = 0, high = c.integer(1);
  if (c.has(2)) low = high, high = c.integer(2);
  check_bounds(low, high);
  Tensor t = empty_like(c.tensor(0), c.opt_dtype(3), c.opt_device(5));
  check_range(t.dtype(), low, high);
  random_fill(t, {.kind = Random::integers, .lo = low, .hi = high}, nullptr);
  return wrap(t);
}

PyObject* randperm_args(Call& c) {
  Tensor t = randperm(c.integer(0), generator_arg(c, 1), c.opt_device(5).value_or(default_device()));
  return made(c, 1, to_dtype(t, c.dtype(3, DType::Int64)));
}

PyObject* random_inplace(Call& c) {  // random_(), random_(to), random_(from, to)
  const Tensor& t = c.tensor(0);
  RandomFill fill{.kind = Random::integers};
  if (!c.has(1) && !c.has(2)) {
    fill.kind = Random::full_range;
  } else if (!c.has(2) && c.given(2)) {  // random_(from, None)
    fill.lo = c.integer(1);
    switch (t.dtype()) {
      case DType::Float64: fill.hi = (int64_t{1} << 53) + 1; break;
      case DType::Float32: fill.hi = (int64_t{1} << 24) + 1; break;
      case DType::Float16: fill.hi = 2049; break;
      case DType::BFloat16: fill.hi = 257; break;
      case DType::Int32: fill.hi = int64_t{1} << 31; break;
      case DType::Int16: fill.hi = 1 << 15; break;
      case DType::Int8: fill.hi = 128; break;
      case DType::UInt8: fill.hi = 256; break;
      case DType::Bool: fill.hi = 2; break;
      default: fill.hi = std::numeric_limits<int64_t>::min();
    }
  } else if (!c.has(2)) {
    fill.hi = c.integer(1);
    check_bounds(0, fill.hi);
    check_range(t.dtype(), 0, fill.hi);
  } else {
    fill.lo = c.integer(1), fill.hi = c.integer(2);
    check_bounds(fill.lo, fill.hi);
    check_range(t.dtype(), fill.lo, fill.hi);
  }
  random_fill_(t, fill, generator_arg(c, 3), "random_");
  return same_object(c);
}

void check_floating(const Call& c) {
  const Tensor& t = c.tensor(0);
  FG_CHECK(is_floating(t.dtype()), NotImplemented, "\"", c.signature.name, "\" not implemented for '",
           dtype_name(t.dtype()), "'");
}

template <Random kind>
PyObject* two_numbers(Call& c, double a, double b) {
  bool complex = is_complex(c.tensor(0).dtype()) && (kind == Random::normal || kind == Random::uniform);
  if (!complex) check_floating(c);
  double x = c.number(1, a), y = c.number(2, b);
  if (kind == Random::uniform)
    FG_CHECK(x <= y, Runtime, "uniform_ expects to return a [from, to) range, but found from=", x, " > to=", y);
  else if (kind == Random::normal) FG_CHECK(y >= 0, Runtime, "normal expects std >= 0.0, but found std ", y);
  else FG_CHECK(y > 0, Runtime, c.signature.name, " expects a positive second parameter, but found ", y);
  RandomFill fill{.kind = kind, .a = x, .b = y};
  if (complex) random_fill_(view_as_real(c.tensor(0)), for_parts(fill), generator_arg(c, 3), c.signature.name);
  else random_fill_(c.tensor(0), fill, generator_arg(c, 3), c.signature.name);
  return same_object(c);
}

PyObject* bernoulli_inplace(Call& c) {
  const Tensor& t = c.tensor(0);
  if (c.is_tensor(1)) {
    const Tensor& p = c.tensor(1);
    FG_CHECK(is_floating(p.dtype()), Runtime, "bernoulli_ expects probabilities of a floating dtype");
    random_fill_(t, {.kind = Random::bernoulli_tensor, .probs = &p}, generator_arg(c, 2), "bernoulli_");
  } else {
    double p = c.number(1, 0.5);
    FG_CHECK(p >= 0 && p <= 1, Runtime, "bernoulli_ expects p to be in [0, 1], but got p=", p);
    random_fill_(t, {.kind = Random::bernoulli, .a = p}, generator_arg(c, 2), "bernoulli_");
  }
  return same_object(c);
}

PyObject* bernoulli_args(Call& c) {
  if (!c.has(1)) return finish(c, 3, bernoulli(c.tensor(0), generator_arg(c, 2)));
  Tensor t = Tensor::empty(c.tensor(0).sizes(), c.tensor(0).dtype(), c.tensor(0).device());
  double p = c.number(1, 0.5);
  FG_CHECK(p >= 0 && p <= 1, Runtime, "bernoulli expects p to be in [0, 1], but got p=", p);
  random_fill(t, {.kind = Random::bernoulli, .a = p}, generator_arg(c, 2));
  return wrap(t);
}

PyObject* exponential_inplace(Call& c) {
  check_floating(c);
  double rate = c.number(1, 1);
  FG_CHECK(rate > 0, Runtime, "exponential_ expects lambda > 0.0, but found lambda=", rate);
  random_fill_(c.tensor(0), {.kind = Random::exponential, .a = rate}, generator_arg(c, 2), "exponential_");
  return same_object(c);
}
PyObject* geometric_inplace(Call& c) {
  double p = c.scalar(1).f;
  FG_CHECK(p > 0 && p < 1, Runtime, "geometric_ expects p to be in (0, 1), but got p=", p);
  random_fill_(c.tensor(0), {.kind = Random::geometric, .a = p}, generator_arg(c, 2), "geometric_");
  return same_object(c);
}

// normal(mean, std[, size]): tensors or numbers
PyObject* normal_args(Call& c) {
  bool mean_tensor = c.is_tensor(0), std_tensor = c.is_tensor(1);
  Generator* generator = generator_arg(c, 3);
  NoGradGuard guard;
  if (!mean_tensor && !std_tensor) {
    if (!c.has(2)) c.type_error(2, "the size, a tuple of ints");
    double s = c.number(1, 1);
    FG_CHECK(s >= 0, Runtime, "normal expects std >= 0.0, but found std ", s);
    Tensor t = Tensor::empty(c.dims(2), c.dtype(5, default_dtype()), c.opt_device(7).value_or(default_device()));
    random_fill(t, {.kind = Random::normal, .a = c.scalar(0).f, .b = s}, generator);
    return made(c, 3, t);
  }
  DimArray shape;
  if (mean_tensor) shape = DimArray(c.tensor(0).sizes());
  if (std_tensor)
    shape = mean_tensor ? broadcast_shapes(shape, c.tensor(1).sizes(), "normal") : DimArray(c.tensor(1).sizes());
  const Tensor& like = mean_tensor ? c.tensor(0) : c.tensor(1);
  Tensor t = Tensor::empty(shape, like.dtype(), like.device());
  if (!std_tensor) {
    double s = c.number(1, 1);
    FG_CHECK(s >= 0, Runtime, "normal expects std >= 0.0, but found std ", s);
    random_fill(t, {.kind = Random::normal, .a = 0, .b = s}, generator);
    return finish(c, 4, add(t, c.tensor(0)));
  }
  const Tensor& s = c.tensor(1);
  if (s.numel()) FG_CHECK(item(extremum(s, true)).f >= 0, Runtime, "normal expects all elements of std >= 0.0");
  random_fill(t, {.kind = Random::normal, .a = 0, .b = 1}, generator);
  Tensor scaled = mul(t, s);
  return finish(c, 4, mean_tensor ? add(scaled, c.tensor(0)) : add(scaled, c.scalar(0)));
}

// The default generator of a device, as a Python object that does not own it.
PyObject* wrap_default(Device device) {
  Generator& generator = default_generator(device);
  PyObject* o = generator_type->tp_alloc(generator_type, 0);
  if (o) reinterpret_cast<PyGenerator*>(o)->generator = &generator;
  return o;
}

constexpr FunctionDef defs[] = {
    {"_default_generator", kStatic, "device", [](Call& c) { return wrap_default(c.opt_device(0).value_or(Device{})); },
     nullptr},
    {"rand", kStatic | kRandom, "*size, " CREATE_PARAMS,
     [](Call& c) { return random_sizes(c, {.kind = Random::uniform, .a = 0, .b = 1}); }, "Uniform numbers in [0, 1)."},
    {"randn", kStatic | kRandom, "*size, " CREATE_PARAMS,
     [](Call& c) { return random_sizes(c, {.kind = Random::normal, .a = 0, .b = 1}); }, "Standard normal numbers."},
    {"rand_like", kFunction | kRandom,
     "input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None, generator=None",
     [](Call& c) { return random_like(c, {.kind = Random::uniform, .a = 0, .b = 1}); }, nullptr},
    {"randn_like", kFunction | kRandom,
     "input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None, generator=None",
     [](Call& c) { return random_like(c, {.kind = Random::normal, .a = 0, .b = 1}); }, nullptr},
    {"randint", kStatic | kRandom, "low, high=None, size=None, *, " CREATE_PARAMS, randint, "Integers in [low, high)."},
    {"randint_like", kFunction | kRandom, "input, low, high=None, *, dtype=None, layout=None, device=None",
     randint_like, nullptr},
    {"randperm", kStatic | kRandom, "n, *, " CREATE_PARAMS, randperm_args, "A random order of 0 ... n - 1."},
    {"normal", kStatic | kRandom, "mean, std=1.0, size=None, *, " CREATE_PARAMS, normal_args,
     "Normal numbers of given mean and standard deviation."},
    {"poisson", kFunction | kRandom, "input, generator=None",
     [](Call& c) { return wrap(poisson(c.tensor(0), generator_arg(c, 1))); },
     "Poisson numbers, one for each rate in input."},
    {"binomial", kFunction | kRandom, "count, prob, generator=None",
     [](Call& c) { return wrap(binomial(c.tensor(0), c.tensor(1), generator_arg(c, 2))); },
     "Numbers of hits in count tries, each with probability prob."},
    {"_standard_gamma", kFunction | kRandom, "input, generator=None",
     [](Call& c) { return wrap(standard_gamma(c.tensor(0), generator_arg(c, 1))); }, nullptr},
    {"_standard_gamma_grad", kFunction, "input, output",
     [](Call& c) { return wrap(standard_gamma_grad(c.tensor(0), c.tensor(1))); }, nullptr},
    {"_sample_dirichlet", kFunction | kRandom, "input, generator=None",
     [](Call& c) { return wrap(sample_dirichlet(c.tensor(0), generator_arg(c, 1))); }, nullptr},
    {"_dirichlet_grad", kFunction, "x, alpha, total",
     [](Call& c) { return wrap(dirichlet_grad(c.tensor(0), c.tensor(1), c.tensor(2))); }, nullptr},
    {"bernoulli", kBoth | kRandom, "input, p=None, *, generator=None, out=None", bernoulli_args,
     "1 with the probability given by each element of input."},
    {"multinomial", kBoth | kRandom, "input, num_samples, replacement=False, *, generator=None, out=None",
     [](Call& c) {
       return finish(c, 4, multinomial(c.tensor(0), c.integer(1), c.boolean(2, false), generator_arg(c, 3)));
     },
     "Indices drawn with the probabilities in each row of input."},
    {"uniform_", kMethod | kRandom, "input, from=0, to=1, *, generator=None",
     [](Call& c) { return two_numbers<Random::uniform>(c, 0, 1); }, nullptr},
    {"normal_", kMethod | kRandom, "input, mean=0, std=1, *, generator=None",
     [](Call& c) { return two_numbers<Random::normal>(c, 0, 1); }, nullptr},
    {"cauchy_", kMethod | kRandom, "input, median=0, sigma=1, *, generator=None",
     [](Call& c) { return two_numbers<Random::cauchy>(c, 0, 1); }, nullptr},
    {"log_normal_", kMethod | kRandom, "input, mean=1, std=2, *, generator=None",
     [](Call& c) { return two_numbers<Random::log_normal>(c, 1, 2); }, nullptr},
    {"random_", kMethod | kRandom, "input, from=None, to=None, *, generator=None", random_inplace, nullptr},
    {"bernoulli_", kMethod | kRandom, "input, p=0.5, *, generator=None", bernoulli_inplace, nullptr},
    {"exponential_", kMethod | kRandom, "input, lambd=1, *, generator=None", exponential_inplace, nullptr},
    {"geometric_", kMethod | kRandom, "input, p, *, generator=None", geometric_inplace, nullptr},
    {"dropout", kFunction | kRandom, "input, p, train",
     [](Call& c) {
       const Tensor& x = c.tensor(0);
       return wrap(dropout(x, c.scalar(1).f, c.boolean(2, true)));
     },
     nullptr},
    {"_usual_dropout", kFunction | kRandom, "input, p, train",
     [](Call& c) {
       const double p = c.scalar(1).f;
       return p >= 0 && p <= 1 ? wrap(dropout(c.tensor(0), p, c.boolean(2, true))) : Py_NewRef(Py_NotImplemented);
     },
     "The native case of nn.functional.dropout."},
    {"dropout_", kFunction | kRandom, "input, p, train",
     [](Call& c) {
       dropout_(c.tensor(0), c.scalar(1).f, c.boolean(2, true));
       return same_object(c);
     },
     nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

Generator& generator_of(PyObject* object) {
  FG_CHECK(PyObject_TypeCheck(object, generator_type), Type, "expected a torch.Generator, but got ",
           Py_TYPE(object)->tp_name);
  return gen(object);
}

Generator* generator_arg(const Call& c, int i) {
  if (!c.has(i)) return nullptr;
  if (!PyObject_TypeCheck(c.v[i], generator_type)) c.type_error(i, "Generator");
  return &gen(c.v[i]);
}

bool init_random_functions(PyObject* module) {
  generator_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&generator_spec));
  if (!generator_type) return false;
  Py_INCREF(generator_type);
  if (PyModule_AddObject(module, "Generator", reinterpret_cast<PyObject*>(generator_type)) < 0) return false;
  PyObject* standard = wrap_default(Device{});
  if (!standard) return false;
  if (PyModule_AddObject(module, "default_generator", standard) < 0) return false;
  return FG_REGISTER(defs, module);
}

}  // namespace fg::py
