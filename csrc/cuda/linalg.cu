// Factorisations of matrices: LU with row exchanges, Cholesky, triangular solves; all matrices of a batch at once.
//
// The scheme is that of cpu/kernels/linalg.cpp: halves of the columns (or of the triangle) until kEdge of them are
// left, which a block for each matrix does; everything between the halves is a matrix product (gemm). Complex matrices,
// large ones, and the other factorisations are cuSOLVER's (cusolver.cpp); batches of small matrices: small_linalg.cu.
// Start at linalg().
#include "cuda/cublas.h"
#include "cuda/cusolver.h"
#include "cuda/device.cuh"
#include "cuda/small_linalg.h"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

constexpr int kEdge = 32;          // columns of a panel, rows of a triangle, that are not divided further
constexpr int kStrip = 64;         // right-hand sides that a block solves for
constexpr int kMostThreads = 512;  // of a block that works on one panel
constexpr int kTriangleThreads = 128;
constexpr int64_t kDiagonal = 256;  // rows of a block on the diagonal of a symmetric product
#ifdef FG_CUDA_EMULATE
constexpr int64_t kLibrary = 256;  // within reach of a test
#else
constexpr int64_t kLibrary = 1024;  // rows from which cuSOLVER is asked, when it is there (not measured)
#endif
constexpr size_t kPanel = 32 << 10;  // bytes of a panel that is kept in shared memory

void (*product)(const GemmArgs&);
decltype(Backend::triangle) keep_triangle;

int64_t half_of(int64_t n) { return (n / 2 + kEdge - 1) / kEdge * kEdge; }

// The same part of every matrix of a batch.
template <class T> struct Part {
  T* data;
  int64_t rs, cs, step;
  Part at(int64_t i, int64_t j) const { return {data + i * rs + j * cs, rs, cs, step}; }
  Part turned() const { return {data, cs, rs, step}; }
};
struct Exchanges {
  int32_t* pivots;
  int64_t depth;  // of one matrix
};
struct Batch {
  int64_t count;
  int32_t* info;
  Stream stream;
};

// c (m, n) -= a (m, k) b (k, n)
template <class T>
void subtract(const Batch& batch, Part<T> c, Part<T> a, Part<T> b, int64_t m, int64_t n, int64_t k) {
  if (m <= 0 || n <= 0 || k <= 0) return;
  GemmArgs g{};
  g.dtype = sizeof(T) == 4 ? DType::Float32 : DType::Float64;
  g.m = m, g.n = n, g.k = k, g.batch = batch.count;
  g.a = a.data, g.a_rs = a.rs, g.a_cs = a.cs, g.a_bs = a.step;
  g.b = b.data, g.b_rs = b.rs, g.b_cs = b.cs, g.b_bs = b.step;
  g.c = c.data, g.c_rs = c.rs, g.c_bs = c.step;
  g.alpha = -1, g.beta = 1;
  g.stream = batch.stream;
  product(g);
}

// ---- triangular solves

// b (n <= kEdge, k): a thread for each column.
template <class T>
__global__ void __launch_bounds__(kStrip)
    solve_edge_kernel(Part<T> a, Part<T> b, int n, int64_t k, int64_t strips, bool upper, bool unit) {
  FG_SHARED(T, triangle, kEdge * kEdge);
  FG_SHARED(T, x, kEdge * kStrip);
  const int t = threadIdx.x;
  const int64_t matrix = blockIdx.x / strips, column = blockIdx.x % strips * kStrip + t;
  const T* from = a.data + matrix * a.step;
  for (int e = t; e < n * n; e += kStrip) triangle[e / n * kEdge + e % n] = from[e / n * a.rs + e % n * a.cs];
  T* to = b.data + matrix * b.step + column * b.cs;
  const bool active = column < k;
  for (int i = 0; i < n; ++i) x[i * kStrip + t] = active ? to[i * b.rs] : T(0);
  __syncthreads();
  for (int p = 0; p < n; ++p) {
    const int i = upper ? n - 1 - p : p;
    T sum = x[i * kStrip + t];
    for (int q = 0; q < p; ++q) {
      const int j = upper ? n - 1 - q : q;
      sum -= triangle[i * kEdge + j] * x[j * kStrip + t];
    }
    x[i * kStrip + t] = unit ? sum : sum / triangle[i * kEdge + i];
  }
  if (!active) return;
  for (int i = 0; i < n; ++i) to[i * b.rs] = x[i * kStrip + t];
}

// b (n, k) becomes the solution for the triangle of a.
template <class T>
void solve(const Batch& batch, Part<T> a, int64_t n, Part<T> b, int64_t k, bool upper, bool unit) {
  if (n == 0 || k == 0) return;
  if (n <= kEdge) {
    const int64_t strips = ceil_div(k, kStrip);
    FG_LAUNCH(solve_edge_kernel<T>, static_cast<unsigned>(batch.count * strips), kStrip, 0, batch.stream, a, b,
              static_cast<int>(n), k, strips, upper, unit);
    return;
  }
  const int64_t h = half_of(n);
  if (upper) {
    solve(batch, a.at(h, h), n - h, b.at(h, 0), k, upper, unit);
    subtract(batch, b, a.at(0, h), b.at(h, 0), h, k, n - h);
    solve(batch, a, h, b, k, upper, unit);
  } else {
    solve(batch, a, h, b, k, upper, unit);
    subtract(batch, b.at(h, 0), a.at(h, 0), b, n - h, k, h);
    solve(batch, a.at(h, h), n - h, b.at(h, 0), k, upper, unit);
  }
}

// ---- LU

// The columns [first, first + w), w <= kEdge, of a block on the diagonal and below it, m rows.
template <class T>
__global__ void __launch_bounds__(kMostThreads)
    panel_kernel(Part<T> a, int64_t m, int w, Exchanges exchanges, int64_t first, int32_t* info, bool in_shared) {
  FG_DYNAMIC_SHARED(T, copy);
  FG_SHARED(T, sizes, kMostThreads);
  FG_SHARED(int64_t, rows, kMostThreads);
  const int t = threadIdx.x, threads = blockDim.x, lane = t % 32, warps = threads / 32;
  T* const whole = a.data + blockIdx.x * a.step;
  T* const panel = in_shared ? copy : whole;
  const int64_t ld = in_shared ? w : a.rs;
  if (in_shared && lane < w) {
    for (int64_t i = t / 32; i < m; i += warps) copy[i * w + lane] = whole[i * a.rs + lane];
  }
  __syncthreads();
  for (int k = 0; k < w && k < m; ++k) {
    // The largest of the column; the first element as it is, so a NaN there stays.
    T best = T(0);
    int64_t place = k;
    for (int64_t i = k + t; i < m; i += threads) {
      const T x = panel[i * ld + k], size = x < 0 ? -x : x;
      if (i == k || size > best) best = size, place = i;
    }
    sizes[t] = best, rows[t] = place;
    __syncthreads();
    for (int half = threads / 2; half > 0; half /= 2) {
      if (t < half) {
        const T other = sizes[t + half];
        if (other > sizes[t] || (other == sizes[t] && rows[t + half] < rows[t]))
          sizes[t] = other, rows[t] = rows[t + half];
      }
      __syncthreads();
    }
    place = rows[0];
    if (place != k && t < w) {
      const T x = panel[k * ld + t];
      panel[k * ld + t] = panel[place * ld + t];
      panel[place * ld + t] = x;
    }
    __syncthreads();
    const T top = panel[k * ld + k];
    if (t == 0) {
      exchanges.pivots[blockIdx.x * exchanges.depth + first + k] = static_cast<int32_t>(first + place + 1);
      if (top == 0 && info[blockIdx.x] == 0) info[blockIdx.x] = static_cast<int32_t>(first + k + 1);
    }
    // Below a zero: zeros, or NaN, which has to reach the other columns.
    for (int64_t i = k + 1 + t; i < m; i += threads) panel[i * ld + k] /= top == 0 ? T(1) : top;
    __syncthreads();
    if (lane > k && lane < w) {
      const T x = panel[k * ld + lane];
      for (int64_t i = k + 1 + t / 32; i < m; i += warps) panel[i * ld + lane] -= panel[i * ld + k] * x;
    }
    __syncthreads();
  }
  if (in_shared && lane < w) {
    for (int64_t i = t / 32; i < m; i += warps) whole[i * a.rs + lane] = copy[i * w + lane];
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    exchange_kernel(Part<T> a, int64_t columns, int64_t strips, Exchanges exchanges, int64_t first, int64_t count) {
  const int64_t matrix = blockIdx.x / strips, column = blockIdx.x % strips * blockDim.x + threadIdx.x;
  if (column >= columns) return;
  T* x = a.data + matrix * a.step + column * a.cs;
  const int32_t* pivots = exchanges.pivots + matrix * exchanges.depth;
  for (int64_t i = first; i < first + count; ++i) {
    const int64_t j = pivots[i] - 1;
    if (j == i) continue;
    const T keep = x[i * a.rs];
    x[i * a.rs] = x[j * a.rs];
    x[j * a.rs] = keep;
  }
}
// Rows [first, first + count) of `columns` columns, exchanged in turn with those that the pivots say.
template <class T>
void exchange(const Batch& batch, Part<T> a, int64_t columns, Exchanges exchanges, int64_t first, int64_t count) {
  if (columns <= 0 || count <= 0) return;
  const int threads = columns <= 32 ? 32 : columns <= 128 ? 128 : kThreads;
  const int64_t strips = ceil_div(columns, threads);
  FG_LAUNCH_FREE(exchange_kernel<T>, static_cast<unsigned>(batch.count * strips), threads, 0, batch.stream, a, columns,
                 strips, exchanges, first, count);
}

// The columns [first, first + w) of a (m, ...), first + w <= m, from the diagonal down.
template <class T>
void factor_columns(const Batch& batch, Part<T> a, int64_t m, int64_t first, int64_t w, Exchanges exchanges) {
  if (w <= kEdge) {
    const int64_t rows = m - first;
    const size_t bytes = static_cast<size_t>(rows * w) * sizeof(T);
    const bool in_shared = bytes <= kPanel;
    FG_LAUNCH(panel_kernel<T>, static_cast<unsigned>(batch.count),
              rows <= 32    ? 64
              : rows <= 256 ? 128
                            : kMostThreads,
              in_shared ? bytes : 0, batch.stream, a.at(first, first), rows, static_cast<int>(w), exchanges, first,
              batch.info, in_shared);
    return;
  }
  const int64_t h = half_of(w), next = first + h, rest = w - h;
  factor_columns(batch, a, m, first, h, exchanges);
  exchange(batch, a.at(0, next), rest, exchanges, first, h);
  solve(batch, a.at(first, first), h, a.at(first, next), rest, false, true);
  subtract(batch, a.at(next, next), a.at(next, first), a.at(first, next), m - next, rest, h);
  factor_columns(batch, a, m, next, rest, exchanges);
  exchange(batch, a.at(0, first), h, exchanges, next, rest);
}
template <class T> void factor(const Batch& batch, Part<T> a, int64_t m, int64_t n, Exchanges exchanges) {
  const int64_t depth = m < n ? m : n;
  factor_columns(batch, a, m, 0, depth, exchanges);
  exchange(batch, a.at(0, depth), n - depth, exchanges, 0, depth);
  solve(batch, a, depth, a.at(0, depth), n - depth, false, true);
}

__global__ void __launch_bounds__(kThreads)
    order_kernel(int64_t* rows, int64_t m, const int32_t* pivots, int64_t k, int64_t batch) {
  for (int64_t matrix = global_thread(); matrix < batch; matrix += global_threads()) {
    int64_t* of = rows + matrix * m;
    for (int64_t i = 0; i < m; ++i) of[i] = i;
    for (int64_t i = 0; i < k; ++i) {
      const int64_t j = pivots[matrix * k + i] - 1, keep = of[i];
      if (j < 0 || j >= m) continue;
      of[i] = of[j], of[j] = keep;
    }
  }
}

// ---- Cholesky

// The upper triangle of a block on the diagonal, n <= kEdge.
template <class T>
__global__ void __launch_bounds__(kTriangleThreads)
    cholesky_edge_kernel(Part<T> a, int n, int64_t first, int32_t* info) {
  constexpr int kRow = kEdge + 1;
  FG_SHARED(T, u, kEdge * kRow);
  const int t = threadIdx.x;
  if (info[blockIdx.x]) return;
  T* const whole = a.data + blockIdx.x * a.step;
  for (int e = t; e < kEdge * kEdge; e += kTriangleThreads) {
    const int i = e / kEdge, j = e % kEdge;
    if (i <= j && j < n) u[i * kRow + j] = whole[i * a.rs + j * a.cs];
  }
  __syncthreads();
  for (int k = 0; k < n; ++k) {
    const T square = u[k * kRow + k], root = sqrt(square);
    if (!(square > 0)) {
      if (t == 0) info[blockIdx.x] = static_cast<int32_t>(first + k + 1);
      break;
    }
    __syncthreads();
    if (t >= k && t < n) u[k * kRow + t] = t == k ? root : u[k * kRow + t] / root;
    __syncthreads();
    for (int e = t; e < kEdge * kEdge; e += kTriangleThreads) {
      const int i = e / kEdge, j = e % kEdge;
      if (i > k && i <= j && j < n) u[i * kRow + j] -= u[k * kRow + i] * u[k * kRow + j];
    }
    __syncthreads();
  }
  for (int e = t; e < kEdge * kEdge; e += kTriangleThreads) {
    const int i = e / kEdge, j = e % kEdge;
    if (i <= j && j < n) whole[i * a.rs + j * a.cs] = u[i * kRow + j];
  }
}

// The upper blocks of c (n, n) -= u^T u, u (k, n)
template <class T> void subtract_square(const Batch& batch, Part<T> c, Part<T> u, int64_t n, int64_t k) {
  if (n <= kDiagonal) return subtract(batch, c, u.turned(), u, n, n, k);
  const int64_t h = half_of(n);
  subtract_square(batch, c, u, h, k);
  subtract(batch, c.at(0, h), u.turned(), u.at(0, h), h, n - h, k);
  subtract_square(batch, c.at(h, h), u.at(0, h), n - h, k);
}

template <class T> void cholesky(const Batch& batch, Part<T> a, int64_t n, int64_t first) {
  if (n <= kEdge) {
    FG_LAUNCH(cholesky_edge_kernel<T>, static_cast<unsigned>(batch.count), kTriangleThreads, 0, batch.stream, a,
              static_cast<int>(n), first, batch.info);
    return;
  }
  const int64_t h = half_of(n);
  cholesky(batch, a, h, first);
  solve(batch, a.turned(), h, a.at(0, h), n - h, false, false);
  subtract_square(batch, a.at(h, h), a.at(0, h), n - h, h);
  cholesky(batch, a.at(h, h), n - h, first + h);
}

template <class T> void run(const LinalgArgs& g) {
  const Batch batch{g.batch, g.info, g.stream};
  const Part<T> a{static_cast<T*>(g.a), g.n, 1, g.m * g.n}, b{static_cast<T*>(g.b), g.k, 1, g.n * g.k};
  const Exchanges exchanges{g.pivots, g.m < g.n ? g.m : g.n};
  switch (g.kind) {
    case Linalg::lu: return factor(batch, a, g.m, g.n, exchanges);
    case Linalg::solve:
      factor(batch, a, g.n, g.n, exchanges);
      exchange(batch, b, g.k, exchanges, 0, g.n);
      solve(batch, a, g.n, b, g.k, false, true);
      solve(batch, a, g.n, b, g.k, true, false);
      return;
    case Linalg::triangular: return solve(batch, a, g.n, b, g.k, g.upper != 0, g.unit != 0);
    case Linalg::cholesky:
      cholesky(batch, a, g.n, 0);
      return keep_triangle(g.a, g.a, sizeof(T), g.batch, g.n, g.n, 0, 1, g.stream);
    default: return;
  }
}

// ---- what goes to cuSOLVER

template <class T>
__global__ void __launch_bounds__(kThreads)
    turn_kernel(T* out, const T* in, int64_t rows, int64_t columns, int64_t total) {
  for (int64_t e = global_thread(); e < total; e += global_threads()) {
    const int64_t j = e % columns, i = e / columns % rows, matrix = e / columns / rows;
    out[matrix * rows * columns + j * rows + i] = in[e];
  }
}
// out <- the matrices of in (rows, columns), turned
void turn(void* out, const void* in, DType dtype, int64_t batch, int64_t rows, int64_t columns, Stream stream) {
  const int64_t total = batch * rows * columns;
  if (total == 0) return;
  const auto launch_turn = [&]<class T>(T*) {
    FG_LAUNCH_FREE(turn_kernel<T>, grid_for(total, stream), kThreads, 0, stream, static_cast<T*>(out),
                   static_cast<const T*>(in), rows, columns, total);
  };
  switch (item_size(dtype)) {
    case 4: return launch_turn(static_cast<uint32_t*>(nullptr));
    case 8: return launch_turn(static_cast<uint64_t*>(nullptr));
    default: return launch_turn(static_cast<Sixteen*>(nullptr));
  }
}

__global__ void __launch_bounds__(kThreads) narrow_kernel(int32_t* out, const int64_t* in, int64_t n) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) out[i] = static_cast<int32_t>(in[i]);
}

// LU and solve with columns contiguous, and back.
void run_turned(const LinalgArgs& g) {
  const int64_t depth = g.batch * (g.m < g.n ? g.m : g.n);
  const size_t item = static_cast<size_t>(item_size(g.dtype));
  Scratch a(static_cast<size_t>(g.batch * g.m * g.n) * item, g.stream);
  Scratch b(g.kind == Linalg::solve ? static_cast<size_t>(g.batch * g.n * g.k) * item : 0, g.stream);
  Scratch wide(static_cast<size_t>(depth) * sizeof(int64_t), g.stream);
  const bool sides = g.kind == Linalg::solve && g.k > 0;
  if (!a || !wide || (sides && !b)) return;
  turn(a.as<void>(), g.a, g.dtype, g.batch, g.m, g.n, g.stream);
  if (sides) turn(b.as<void>(), g.b, g.dtype, g.batch, g.n, g.k, g.stream);
  LinalgArgs turned = g;
  turned.a = a.as<void>(), turned.b = b.as<void>();
  if (!cusolver_run(turned, wide.as<int64_t>())) return;
  FG_LAUNCH_FREE(narrow_kernel, grid_for(depth, g.stream), kThreads, 0, g.stream, g.pivots, wide.as<int64_t>(), depth);
  turn(g.a, a.as<void>(), g.dtype, g.batch, g.n, g.m, g.stream);
  if (sides) turn(g.b, b.as<void>(), g.dtype, g.batch, g.k, g.n, g.stream);
}

void linalg(const LinalgArgs& g) {
  if (g.info && g.batch) {
    use_device(g.stream.device);
    check(cudaMemsetAsync(g.info, 0, static_cast<size_t>(g.batch) * sizeof(int32_t), handle(g.stream)), "linalg");
  }
  if (g.batch == 0 || g.m == 0) return;
  if (g.kind == Linalg::order) {
    FG_LAUNCH_FREE(order_kernel, grid_for(g.batch, g.stream), kThreads, 0, g.stream, static_cast<int64_t*>(g.b), g.m,
                   g.pivots, g.k, g.batch);
    return;
  }
  if (g.n == 0) return;
  const bool wide = g.dtype == DType::Float64, real = wide || g.dtype == DType::Float32;
  const bool large = g.m >= kLibrary && g.n >= kLibrary && !cusolver_missing();
  switch (g.kind) {
    case Linalg::lu:
    case Linalg::solve:
      if (!real || large) return run_turned(g);
      break;
    case Linalg::cholesky:
      if (!large) break;
      if (cusolver_run(g, nullptr)) keep_triangle(g.a, g.a, item_size(g.dtype), g.batch, g.n, g.n, 0, 1, g.stream);
      return;
    case Linalg::triangular: break;
    default: is_small_batch(g) ? small_batch(g) : static_cast<void>(cusolver_run(g, nullptr)); return;
  }
  if (wide) run<double>(g);
  else run<float>(g);
}

}  // namespace

void fill_linalg(Backend& table) {
  product = exact_gemm;  // tf32 is for products that were asked for
  keep_triangle = table.triangle;
  table.linalg = linalg;
}

}  // namespace fg::cuda
