// What linalg asks of the kernels (cpu/kernels/linalg.cpp): operands copied and checked, results named.
#include "ops/linalg.h"

#include <cmath>

#include "core/backend.h"
#include "ops/words.h"

namespace fg {

namespace {

void check_operand(const char* name, const Tensor& t) {
  FG_CHECK(t.dim() >= 2, Runtime, name, ": expected at least 2 dimensions, got ", t.dim());
  FG_CHECK(t.dtype() == DType::Float32 || t.dtype() == DType::Float64, NotImplemented, "\"", name,
           "\" not implemented for '", dtype_name(t.dtype()), "'");
  FG_CHECK(t.device().is_cpu(), NotImplemented, name, ": no kernel on ", device_name(t.device()));
}
void check_square(const char* name, const Tensor& t) {
  check_operand(name, t);
  FG_CHECK(t.size(t.dim() - 2) == t.size(t.dim() - 1), Runtime, name, ": expected square matrices, got ",
           shape_text(t.sizes()));
}

Tensor fresh_copy(const Tensor& t) {
  Tensor out = Tensor::empty(t.sizes(), t.dtype(), t.device());
  raw_copy(out, t);
  return out;
}

LinalgArgs args_of(Linalg kind, const Tensor& a) {
  LinalgArgs args{};
  args.kind = kind;
  args.dtype = a.dtype();
  args.m = a.size(a.dim() - 2), args.n = a.size(a.dim() - 1), args.batch = 1;
  for (int i = 0; i < a.dim() - 2; ++i) args.batch *= a.size(i);
  return args;
}
Dims outer_of(const Tensor& a) { return a.sizes().first(static_cast<size_t>(a.dim() - 2)); }
Tensor info_of(const Tensor& a) { return Tensor::empty(outer_of(a), DType::Int32, a.device()); }

void run(const LinalgArgs& args) {
  GilRelease release(args.batch * args.m * args.n * 8);
  backend(Device{}).linalg(args);
}

void check_pair(const char* name, const Tensor& a, const Tensor& b) {
  check_square(name, a);
  check_operand(name, b);
  bool fits = a.dim() == b.dim() && a.dtype() == b.dtype() && b.size(b.dim() - 2) == a.size(a.dim() - 1);
  for (int i = 0; fits && i < a.dim() - 2; ++i) fits = a.size(i) == b.size(i);
  FG_CHECK(fits, Runtime, name, ": the operands do not fit: ", shape_text(a.sizes()), " and ", shape_text(b.sizes()));
}

template <class T> void fill_identity(T* x, int64_t batch, int64_t n) {
  for (int64_t i = 0; i < batch * n * n; ++i) x[i] = T(0);
  for (int64_t i = 0; i < batch; ++i)
    for (int64_t k = 0; k < n; ++k) x[i * n * n + k * (n + 1)] = T(1);
}

// of_diagonal(one matrix of an LU factorisation, whether an odd number of rows was exchanged)
template <class F> void each_factored(const Lu& lu, const F& of_diagonal) {
  const int64_t n = lu.packed.size(lu.packed.dim() - 1), batch = lu.info.numel();
  const int32_t* pivots = lu.pivots.data<int32_t>();
  for (int64_t i = 0; i < batch; ++i) {
    bool odd = false;
    for (int64_t k = 0; k < n; ++k) odd ^= pivots[i * n + k] != k + 1;
    of_diagonal(i, i * n * n, n, odd);
  }
}

}  // namespace

Lu lu_factor(const Tensor& a) {
  check_operand("lu_factor", a);
  NoGradGuard guard;
  LinalgArgs args = args_of(Linalg::lu, a);
  DimArray rows(outer_of(a));
  rows.push(std::min(args.m, args.n));
  Lu out{fresh_copy(a), Tensor::empty(rows, DType::Int32, a.device()), info_of(a)};
  args.a = out.packed.mutable_data();
  args.pivots = out.pivots.mutable_data<int32_t>(), args.info = out.info.mutable_data<int32_t>();
  run(args);
  return out;
}

WithInfo solve(const Tensor& a, const Tensor& b) {
  if (b.defined()) check_pair("solve", a, b);
  else check_square("inverse", a);
  NoGradGuard guard;
  LinalgArgs args = args_of(Linalg::solve, a);
  const bool single = a.dtype() == DType::Float32;
  Tensor packed = fresh_copy(a), pivots = Tensor::empty(DimArray{args.batch * args.n}, DType::Int32, a.device());
  WithInfo out{b.defined() ? fresh_copy(b) : Tensor::empty(a.sizes(), a.dtype(), a.device()), info_of(a)};
  args.k = out.result.size(out.result.dim() - 1);
  if (!b.defined()) {
    if (single) fill_identity(out.result.mutable_data<float>(), args.batch, args.n);
    else fill_identity(out.result.mutable_data<double>(), args.batch, args.n);
  }
  args.a = packed.mutable_data(), args.b = out.result.mutable_data();
  args.pivots = pivots.mutable_data<int32_t>(), args.info = out.info.mutable_data<int32_t>();
  run(args);
  return out;
}

WithInfo cholesky(const Tensor& a) {
  check_square("cholesky", a);
  NoGradGuard guard;
  LinalgArgs args = args_of(Linalg::cholesky, a);
  Tensor upper = fresh_copy(transpose(a, -2, -1));
  WithInfo out{transpose(upper, -2, -1), info_of(a)};
  args.a = upper.mutable_data(), args.info = out.info.mutable_data<int32_t>();
  run(args);
  return out;
}

Tensor determinant(const Tensor& a) {
  check_square("det", a);
  const Lu lu = lu_factor(a);
  Tensor out = Tensor::empty(outer_of(a), a.dtype(), a.device());
  const auto product = [&]<class T>(const T* packed, T* to) {
    each_factored(lu, [&](int64_t i, int64_t at, int64_t n, bool odd) {
      T value = odd ? T(-1) : T(1);
      for (int64_t k = 0; k < n; ++k) value *= packed[at + k * (n + 1)];
      to[i] = value;
    });
  };
  if (a.dtype() == DType::Float32) product(lu.packed.data<float>(), out.mutable_data<float>());
  else product(lu.packed.data<double>(), out.mutable_data<double>());
  return out;
}

SignLog log_determinant(const Tensor& a) {
  check_square("slogdet", a);
  const Lu lu = lu_factor(a);
  SignLog out{Tensor::empty(outer_of(a), a.dtype(), a.device()), Tensor::empty(outer_of(a), a.dtype(), a.device())};
  const auto sum = [&]<class T>(const T* packed, T* sign, T* logarithm) {
    each_factored(lu, [&](int64_t i, int64_t at, int64_t n, bool odd) {
      T total = 0, side = odd ? T(-1) : T(1);
      for (int64_t k = 0; k < n; ++k) {
        const T x = packed[at + k * (n + 1)];
        total += std::log(std::fabs(x));
        side *= x < 0 ? T(-1) : x > 0 ? T(1) : x == 0 ? T(0) : x;
      }
      sign[i] = side, logarithm[i] = total;
    });
  };
  if (a.dtype() == DType::Float32)
    sum(lu.packed.data<float>(), out.sign.mutable_data<float>(), out.logarithm.mutable_data<float>());
  else sum(lu.packed.data<double>(), out.sign.mutable_data<double>(), out.logarithm.mutable_data<double>());
  return out;
}

Tensor triangular_solve(const Tensor& a, const Tensor& b, bool upper, bool unit) {
  check_pair("triangular_solve", a, b);
  NoGradGuard guard;
  LinalgArgs args = args_of(Linalg::triangular, a);
  Tensor ac = contiguous(a), x = fresh_copy(b);
  args.k = b.size(b.dim() - 1);
  args.a = const_cast<void*>(ac.data()), args.b = x.mutable_data();
  args.upper = upper, args.unit = unit;
  run(args);
  return x;
}

}  // namespace fg
