// LU and triangular solves by blocks: a block of kBlock columns (rows) is done element by element, the rest of the work
// is one matrix product. Rows are contiguous, so every inner loop runs along one.
#include "ops/linalg.h"

#include <algorithm>
#include <cmath>

#include "core/backend.h"
#include "ops/words.h"

namespace fg {

namespace {

constexpr int64_t kBlock = 48;

template <class T> DType dtype_of();
template <> DType dtype_of<float>() { return DType::Float32; }
template <> DType dtype_of<double>() { return DType::Float64; }

// c -= a b, with leading dimensions (elements from row to row).
template <class T>
void subtract_product(T* c, int64_t ldc, const T* a, int64_t lda, const T* b, int64_t ldb, int64_t m, int64_t n,
                      int64_t k) {
  if (m <= 0 || n <= 0 || k <= 0) return;
  GemmArgs args{};
  args.dtype = dtype_of<T>();
  args.m = m, args.n = n, args.k = k, args.batch = 1;
  args.a = a, args.a_rs = lda, args.a_cs = 1;
  args.b = b, args.b_rs = ldb, args.b_cs = 1;
  args.c = c, args.c_rs = ldc;
  args.alpha = -1, args.beta = 1;
  backend(Device{}).gemm(args);
}

template <class T> void subtract_row(T* to, const T* from, T factor, int64_t n) {
  for (int64_t j = 0; j < n; ++j) to[j] -= factor * from[j];
}

// The rows of b (k columns) become the solution for the triangle a: n x n, n small.
template <class T>
void solve_block(const T* a, int64_t lda, T* b, int64_t ldb, int64_t n, int64_t k, bool upper, bool unit) {
  for (int64_t step = 0; step < n; ++step) {
    int64_t i = upper ? n - 1 - step : step;
    for (int64_t j = upper ? i + 1 : 0; j < (upper ? n : i); ++j)
      subtract_row(b + i * ldb, b + j * ldb, a[i * lda + j], k);
    if (!unit)
      for (int64_t c = 0; c < k; ++c) b[i * ldb + c] /= a[i * lda + i];
  }
}

template <class T> void solve_triangle(const T* a, T* b, int64_t n, int64_t k, bool upper, bool unit) {
  int64_t blocks = (n + kBlock - 1) / kBlock;
  for (int64_t step = 0; step < blocks; ++step) {
    int64_t from = (upper ? blocks - 1 - step : step) * kBlock, size = std::min(kBlock, n - from), to = from + size;
    if (upper) {
      subtract_product(b + from * k, k, a + from * n + to, n, b + to * k, k, size, k, n - to);
    } else {
      subtract_product(b + from * k, k, a + from * n, n, b, k, size, k, from);
    }
    solve_block(a + from * n + from, n, b + from * k, k, size, k, upper, unit);
  }
}

// One matrix in place, m x n; the return is info.
template <class T> int32_t factor(T* a, int32_t* pivots, int64_t m, int64_t n) {
  int32_t info = 0;
  int64_t depth = std::min(m, n);
  for (int64_t from = 0; from < depth; from += kBlock) {
    int64_t to = std::min(from + kBlock, depth);
    for (int64_t k = from; k < to; ++k) {
      int64_t best = k;
      for (int64_t i = k + 1; i < m; ++i)
        if (std::fabs(a[i * n + k]) > std::fabs(a[best * n + k])) best = i;
      pivots[k] = static_cast<int32_t>(best + 1);
      if (best != k) std::swap_ranges(a + k * n, a + (k + 1) * n, a + best * n);
      if (a[k * n + k] == 0) {
        if (info == 0) info = static_cast<int32_t>(k + 1);
        continue;
      }
      for (int64_t i = k + 1; i < m; ++i) {
        T f = a[i * n + k] /= a[k * n + k];
        subtract_row(a + i * n + k + 1, a + k * n + k + 1, f, to - k - 1);
      }
    }
    if (to == n) break;
    solve_block(a + from * n + from, n, a + from * n + to, n, to - from, n - to, false, true);
    subtract_product(a + to * n + to, n, a + to * n + from, n, a + from * n + to, n, m - to, n - to, to - from);
  }
  return info;
}

void check_operand(const char* name, const Tensor& t) {
  FG_CHECK(t.dim() >= 2, Runtime, name, ": expected at least 2 dimensions, got ", t.dim());
  FG_CHECK(t.dtype() == DType::Float32 || t.dtype() == DType::Float64, NotImplemented, "\"", name,
           "\" not implemented for '", dtype_name(t.dtype()), "'");
  FG_CHECK(t.device().is_cpu(), NotImplemented, name, ": no kernel on ", device_name(t.device()));
}

Tensor fresh_copy(const Tensor& t) {
  Tensor out = Tensor::empty(t.sizes(), t.dtype(), t.device());
  raw_copy(out, t);
  return out;
}

}  // namespace

Lu lu_factor(const Tensor& a) {
  check_operand("lu_factor", a);
  NoGradGuard guard;
  int64_t m = a.size(a.dim() - 2), n = a.size(a.dim() - 1), depth = std::min(m, n), batch = 1;
  DimArray outer;
  for (int i = 0; i < a.dim() - 2; ++i) outer.push(a.size(i)), batch *= a.size(i);
  DimArray rows = outer;
  rows.push(depth);
  Lu out{fresh_copy(a), Tensor::empty(rows, DType::Int32, a.device()), Tensor::empty(outer, DType::Int32, a.device())};
  auto run = [&]<class T>(T* data) {
    int32_t *pivots = out.pivots.mutable_data<int32_t>(), *info = out.info.mutable_data<int32_t>();
    for (int64_t i = 0; i < batch; ++i) info[i] = factor(data + i * m * n, pivots + i * depth, m, n);
  };
  GilRelease release(out.packed.numel() * depth);
  if (a.dtype() == DType::Float32) run(out.packed.mutable_data<float>());
  else run(out.packed.mutable_data<double>());
  return out;
}

Tensor triangular_solve(const Tensor& a, const Tensor& b, bool upper, bool unit) {
  check_operand("triangular_solve", a);
  check_operand("triangular_solve", b);
  NoGradGuard guard;
  int64_t n = a.size(a.dim() - 1), k = b.size(b.dim() - 1), batch = 1;
  bool fits = a.dim() == b.dim() && a.dtype() == b.dtype() && a.size(a.dim() - 2) == n && b.size(b.dim() - 2) == n;
  for (int i = 0; fits && i < a.dim() - 2; ++i) fits = a.size(i) == b.size(i), batch *= a.size(i);
  FG_CHECK(fits, Runtime, "triangular_solve: the operands do not fit: ", shape_text(a.sizes()), " and ",
           shape_text(b.sizes()));
  Tensor ac = contiguous(a), x = fresh_copy(b);
  auto run = [&]<class T>(const T* matrix, T* data) {
    for (int64_t i = 0; i < batch; ++i) solve_triangle(matrix + i * n * n, data + i * n * k, n, k, upper, unit);
  };
  GilRelease release(x.numel() * n);
  if (a.dtype() == DType::Float32) run(ac.data<float>(), x.mutable_data<float>());
  else run(ac.data<double>(), x.mutable_data<double>());
  return x;
}

}  // namespace fg
