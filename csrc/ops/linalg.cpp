// What linalg asks of the kernels (cpu/kernels/linalg.cpp, cuda/linalg.cu): operands copied and checked, results named.
#include "ops/linalg.h"

#include <cmath>

#include "core/backend.h"
#include "ops/images.h"
#include "ops/words.h"

namespace fg {

namespace {

void check_operand(const char* name, const Tensor& t, bool complex_too = false) {
  FG_CHECK(t.dim() >= 2, Runtime, name, ": expected at least 2 dimensions, got ", t.dim());
  complex_too &= !t.device().is_cpu() && is_complex(t.dtype());
  FG_CHECK(t.dtype() == DType::Float32 || t.dtype() == DType::Float64 || complex_too, NotImplemented, "\"", name,
           "\" not implemented for '", dtype_name(t.dtype()), "'");
}
void check_square(const char* name, const Tensor& t, bool complex_too = false) {
  check_operand(name, t, complex_too);
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
  args.stream = Storage::current_stream(a.device());
  return args;
}
Dims outer_of(const Tensor& a) { return a.sizes().first(static_cast<size_t>(a.dim() - 2)); }
Tensor info_of(const Tensor& a) { return Tensor::empty(outer_of(a), DType::Int32, a.device()); }

void run(const LinalgArgs& args, Device device, const char* name) {
  const Backend& table = backend(device);
  if (!table.linalg) fail_no_kernel(name, device);
  GilRelease release(args.batch * args.m * args.n * 8);
  table.linalg(args);
  check_device(device, "linalg.", name);
}

void check_pair(const char* name, const Tensor& a, const Tensor& b, bool complex_too = false) {
  check_square(name, a, complex_too);
  check_operand(name, b, complex_too);
  FG_CHECK(a.device() == b.device(), Runtime, name,
           ": Expected all tensors to be on the same device, but found at least two devices, ", device_name(a.device()),
           " and ", device_name(b.device()));
  bool fits = a.dim() == b.dim() && a.dtype() == b.dtype() && b.size(b.dim() - 2) == a.size(a.dim() - 1);
  for (int i = 0; fits && i < a.dim() - 2; ++i) fits = a.size(i) == b.size(i);
  FG_CHECK(fits, Runtime, name, ": the operands do not fit: ", shape_text(a.sizes()), " and ", shape_text(b.sizes()));
}

Tensor identities(const Tensor& like) {
  Tensor out = Tensor::empty(like.sizes(), like.dtype(), like.device());
  const int64_t n = like.size(like.dim() - 1);
  raw_copy(out, expand(eye(n, n, like.dtype(), like.device()), like.sizes()));
  return out;
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
  check_operand("lu_factor", a, true);
  NoGradGuard guard;
  LinalgArgs args = args_of(Linalg::lu, a);
  DimArray rows(outer_of(a));
  rows.push(std::min(args.m, args.n));
  Lu out{fresh_copy(a), Tensor::empty(rows, DType::Int32, a.device()), info_of(a)};
  args.a = out.packed.mutable_data();
  args.pivots = out.pivots.mutable_data<int32_t>(), args.info = out.info.mutable_data<int32_t>();
  run(args, a.device(), "lu_factor");
  return out;
}

Tensor row_order(const Tensor& pivots, int64_t rows, bool known) {
  FG_CHECK(pivots.dim() >= 1 && pivots.dtype() == DType::Int32, Runtime, "lu_unpack: pivots of int32 are expected");
  NoGradGuard guard;
  Tensor given = contiguous(pivots);
  FG_CHECK(given.size(given.dim() - 1) <= rows, Runtime, "lu_unpack: ", given.size(given.dim() - 1), " pivots of ",
           rows, " rows");
  const auto fits = [&] {
    const Tensor outside = (given < 1.0) | (given > static_cast<double>(rows));
    return !item(any(outside, std::nullopt, false, false)).i;
  };
  FG_CHECK(
      known || fits(), Runtime,
      "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive. Did you properly pass the result of "
      "lu_factor?");
  DimArray sizes(given.sizes());
  LinalgArgs args{};
  args.kind = Linalg::order;
  args.k = sizes[sizes.n - 1], args.m = rows, args.batch = 1;
  for (int i = 0; i < sizes.n - 1; ++i) args.batch *= sizes[i];
  sizes[sizes.n - 1] = rows;
  Tensor out = Tensor::empty(sizes, DType::Int64, given.device());
  args.pivots = const_cast<int32_t*>(given.data<int32_t>()), args.b = out.mutable_data();
  args.stream = Storage::current_stream(given.device());
  if (out.numel()) run(args, given.device(), "lu_unpack");
  return out;
}

WithInfo solve(const Tensor& a, const Tensor& b) {
  if (b.defined()) check_pair("solve", a, b, true);
  else check_square("inverse", a, true);
  NoGradGuard guard;
  LinalgArgs args = args_of(Linalg::solve, a);
  Tensor packed = fresh_copy(a), pivots = Tensor::empty(DimArray{args.batch * args.n}, DType::Int32, a.device());
  WithInfo out{b.defined() ? fresh_copy(b) : identities(a), info_of(a)};
  args.k = out.result.size(out.result.dim() - 1);
  args.a = packed.mutable_data(), args.b = out.result.mutable_data();
  args.pivots = pivots.mutable_data<int32_t>(), args.info = out.info.mutable_data<int32_t>();
  run(args, a.device(), b.defined() ? "solve" : "inv");
  return out;
}

WithInfo cholesky(const Tensor& a) {
  check_square("cholesky", a);
  NoGradGuard guard;
  LinalgArgs args = args_of(Linalg::cholesky, a);
  Tensor upper = fresh_copy(transpose(a, -2, -1));
  WithInfo out{transpose(upper, -2, -1), info_of(a)};
  args.a = upper.mutable_data(), args.info = out.info.mutable_data<int32_t>();
  run(args, a.device(), "cholesky");
  return out;
}

Tensor determinant(const Tensor& a) {
  check_square("det", a);
  if (!a.device().is_cpu()) fail_no_kernel("det", a.device());
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
  if (!a.device().is_cpu()) fail_no_kernel("slogdet", a.device());
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
  run(args, a.device(), "solve_triangular");
  return x;
}

// ---- of devices whose factorisations are not LAPACK's under Python; columns of the results are contiguous

namespace {
Tensor columns_first(const Tensor& t) { return fresh_copy(transpose(t, -2, -1)); }
Tensor vectors_of(const Tensor& a, int64_t n, DType dtype) {
  DimArray sizes(outer_of(a));
  sizes.push(n);
  return Tensor::empty(sizes, dtype, a.device());
}
Tensor columns_of(const Tensor& a, int64_t rows, int64_t columns) {  // turned
  DimArray sizes(outer_of(a));
  sizes.push(columns), sizes.push(rows);
  return Tensor::empty(sizes, a.dtype(), a.device());
}
Tensor turned(const Tensor& t) { return transpose(t, -2, -1); }
LinalgArgs device_args(Linalg kind, const Tensor& a, const char* name) {
  if (a.device().is_cpu()) fail_no_kernel(name, a.device());
  return args_of(kind, a);
}
}  // namespace

Reflectors reflectors(const Tensor& a) {
  check_operand("geqrf", a);
  NoGradGuard guard;
  LinalgArgs args = device_args(Linalg::qr, a, "geqrf");
  Tensor packed = columns_first(a), info = info_of(a);
  Reflectors out{turned(packed), vectors_of(a, std::min(args.m, args.n), a.dtype())};
  args.a = packed.mutable_data(), args.b = out.factors.mutable_data(), args.info = info.mutable_data<int32_t>();
  run(args, a.device(), "qr");
  return out;
}

Tensor reflected(const Tensor& a, const Tensor& factors, int64_t columns) {
  check_operand("orgqr", a);
  NoGradGuard guard;
  LinalgArgs args = device_args(Linalg::reflected, a, "orgqr");
  const int64_t count = factors.dim() ? factors.size(factors.dim() - 1) : 0;
  FG_CHECK(columns <= args.m && count <= std::min(columns, args.n) && factors.numel() == args.batch * count &&
               factors.dtype() == a.dtype() && factors.device() == a.device(),
           Runtime, "orgqr: the operands do not fit: ", shape_text(a.sizes()), " and ", shape_text(factors.sizes()));
  const int64_t kept = std::min(columns, args.n);
  Tensor q = columns_of(a, args.m, columns), given = contiguous(factors), info = info_of(a);
  raw_copy(narrow(q, -2, 0, kept), narrow(turned(a), -2, 0, kept));
  args.n = columns, args.k = given.size(given.dim() - 1);
  args.a = q.mutable_data(), args.b = const_cast<void*>(given.data()), args.info = info.mutable_data<int32_t>();
  run(args, a.device(), "qr");
  return turned(q);
}

Spectrum hermitian_spectrum(const Tensor& a, bool upper, bool vectors) {
  check_square("eigh", a, true);
  NoGradGuard guard;
  LinalgArgs args = device_args(Linalg::eigh, a, "eigh");
  Tensor work = columns_first(a);
  Spectrum out{vectors_of(a, args.n, real_of(a.dtype())), turned(work), info_of(a)};
  args.a = work.mutable_data(), args.b = out.values.mutable_data(), args.info = out.info.mutable_data<int32_t>();
  args.upper = upper, args.vectors = vectors;
  run(args, a.device(), "eigh");
  return out;
}

Spectrum spectrum(const Tensor& a, bool vectors) {
  check_square("eig", a, true);
  FG_CHECK(is_complex(a.dtype()), NotImplemented, "eig: complex matrices are expected");
  NoGradGuard guard;
  LinalgArgs args = device_args(Linalg::eig, a, "eig");
  Tensor work = columns_first(a), found = columns_of(a, args.n, args.n);
  Spectrum out{vectors_of(a, args.n, a.dtype()), turned(found), info_of(a)};
  args.a = work.mutable_data(), args.b = out.values.mutable_data(), args.c = found.mutable_data();
  args.info = out.info.mutable_data<int32_t>(), args.vectors = vectors;
  run(args, a.device(), "eig");
  return out;
}

SingularValues singular_values(const Tensor& a, bool full, bool vectors) {
  check_operand("svd", a);
  NoGradGuard guard;
  const int64_t m = a.size(a.dim() - 2), n = a.size(a.dim() - 1);
  if (m < n) {
    SingularValues found = singular_values(turned(a), full, vectors);
    return {turned(found.vh), found.values, turned(found.u), found.info};
  }
  LinalgArgs args = device_args(Linalg::svd, a, "svd");
  args.k = full ? m : n;
  Tensor work = columns_first(a), u = columns_of(a, m, vectors ? args.k : 0), vh = columns_of(a, n, vectors ? n : 0);
  SingularValues out{turned(u), vectors_of(a, n, a.dtype()), turned(vh), info_of(a)};
  args.a = work.mutable_data(), args.b = out.values.mutable_data();
  args.c = u.mutable_data(), args.d = vh.mutable_data();
  args.info = out.info.mutable_data<int32_t>(), args.vectors = vectors;
  run(args, a.device(), "svd");
  return out;
}

}  // namespace fg
