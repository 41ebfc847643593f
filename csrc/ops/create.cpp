// Creation: constants, ranges, identities.
#include <cmath>
#include <limits>

#include "ops/ops.h"

namespace fg {

Scalar number_for(Scalar value, DType dtype, bool strict) {
  if (is_complex(dtype)) return value;
  bool fits = value.imaginary == 0 || dtype == DType::Bool;
  if (fits && is_floating(dtype)) {
    double limit = dtype == DType::Float16   ? 65504
                   : dtype == DType::Float64 ? HUGE_VAL
                                             : std::numeric_limits<float>::max();
    FG_CHECK(!strict || !(std::fabs(value.f) > limit) || std::isinf(value.f), Runtime,
             "value cannot be converted to type ", dtype_name(dtype), " without overflow");
    return value;
  }
  if (dtype == DType::Bool) return Scalar::of_bool(!value.is_zero());
  // Negative integers wrap around in uint8, as in torch; fractions are cut off.
  int bits = static_cast<int>(item_size(dtype)) * 8;
  bool whole = value.is_integral(), is_unsigned = dtype == DType::UInt8;
  double high = std::ldexp(1.0, is_unsigned ? bits : bits - 1), low = is_unsigned && !whole ? 0 : -high;
  double f = whole ? value.f : std::trunc(value.f);
  fits &= !(whole && value.i < 0 && f > 0);  // beyond int64
  FG_CHECK(fits && ((whole && bits == 64) || (f >= low && f < high)), Runtime, "value cannot be converted to type ",
           dtype_name(dtype), " without overflow");
  return Scalar::of_int(value.param().i);
}

Tensor full(Dims sizes, Scalar value, DType dtype, Device device) {
  Tensor out = Tensor::empty(sizes, dtype, device);
  if (out.numel() == 0) return out;
  if (out.numel() == 1 && device.is_cpu() && dtype == DType::Float32) {
    *out.mutable_data<float>() = static_cast<float>(value.f);
    return out;
  }
  raw_fill(out, value);
  return out;
}

Tensor zeros(Dims sizes, DType dtype, Device device) { return full(sizes, Scalar::of_int(0), dtype, device); }

Tensor empty_like(const Tensor& t, std::optional<DType> dtype, std::optional<Device> device) {
  const Tensor* one[] = {&t};
  return Tensor::empty_strided(t.sizes(), t.is_dense() ? DimArray(t.strides()) : result_strides(t.sizes(), one),
                               dtype.value_or(t.dtype()), device.value_or(t.device()));
}

Tensor zeros_like(const Tensor& t) {
  Tensor out = empty_like(t);
  raw_fill(out, Scalar::of_int(0));
  return out;
}

Tensor scalar_tensor(Scalar value, DType dtype, Device device) { return full({}, value, dtype, device); }

Tensor wrapped(Scalar value, Device device) {
  constexpr DType dtypes[] = {DType::Bool, DType::Int64, DType::Float64, DType::Complex128};
  DType dtype = dtypes[value.kind];
  Tensor out = full({}, value, dtype, device);
  out.impl()->wrapped_number = true;
  return out;
}

static void run_arange(const Tensor& out, Param start, Param step) {
  Iter iter;
  make_iter(iter, out, {}, compute_of(out.dtype()));
  iter.params[0] = start;
  iter.params[1] = step;
  GilRelease release(iter.numel);
  backend(out.device()).arange(iter);
}

Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype, Device device) {
  FG_CHECK(!is_complex(dtype), NotImplemented, "\"arange_cpu\" not implemented for '", dtype_name(dtype), "'");
  FG_CHECK(step.f != 0, Runtime, "arange: step must be nonzero");
  FG_CHECK(std::isfinite(start.f) && std::isfinite(end.f), Runtime, "arange: unsupported range: ", start.f, " -> ",
           end.f);
  FG_CHECK((step.f > 0 && end.f >= start.f) || (step.f < 0 && end.f <= start.f), Runtime,
           "arange: upper bound and lower bound inconsistent with step sign");
  int64_t n;
  if (start.is_integral() && end.is_integral() && step.is_integral()) {
    __int128 span = static_cast<__int128>(end.i) - start.i;
    n = static_cast<int64_t>((span + step.i + (step.i > 0 ? -1 : 1)) / step.i);
  } else {
    double count = std::ceil((end.f - start.f) / step.f);
    FG_CHECK(count < 9e18, Runtime, "arange: invalid size, possible overflow");
    n = static_cast<int64_t>(count);
  }
  Tensor out = Tensor::empty(DimArray{n}, dtype, device);
  if (n) run_arange(out, start.param(), step.param());
  return out;
}

// torch fills from both ends: the second half counts down from `end`, so that the last value is exact.
Tensor linspace(double start, double end, int64_t steps, DType dtype, Device device, double base) {
  FG_CHECK(steps >= 0, Runtime, "linspace: number of steps must be non-negative");
  bool integral = is_integral(dtype);
  DType work = base != 0 || is_half(dtype) ? DType::Float32 : dtype;
  if (integral) work = DType::Float64;
  if (base != 0 && dtype == DType::Float64) work = dtype;
  Tensor out = Tensor::empty(DimArray{steps}, work, device);
  if (steps == 1) fill_(out, Scalar::of(start));
  if (steps > 1) {
    double step = (end - start) / static_cast<double>(steps - 1);
    if (work == DType::Float32)
      step = (static_cast<float>(end) - static_cast<float>(start)) / static_cast<float>(steps - 1);
    int64_t half = steps / 2;
    Tensor low = narrow(out, 0, 0, half), high = narrow(out, 0, half, steps - half);
    run_arange(low, Scalar::of(start).param(), Scalar::of(step).param());
    run_arange(high, Scalar::of(end - step * static_cast<double>(steps - half - 1)).param(), Scalar::of(step).param());
  }
  if (base != 0) out = pow(base, out);
  return work == dtype ? out : to_dtype(integral ? unary(Op::trunc, out) : out, dtype);
}

Tensor eye(int64_t n, int64_t m, DType dtype, Device device) {
  FG_CHECK(n >= 0, Runtime, "eye: n must be greater or equal to 0, got ", n);
  FG_CHECK(m >= 0, Runtime, "eye: m must be greater or equal to 0, got ", m);
  Tensor out = zeros(DimArray{n, m}, dtype, device);
  int64_t k = std::min(n, m);
  if (k) fill_(as_strided(out, DimArray{k}, DimArray{m + 1}, 0), Scalar::of_int(1));
  return out;
}

}  // namespace fg
