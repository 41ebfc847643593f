// Factorisations of batches of small matrices (small_linalg.h): QR by Householder's reflections and the Q of such, a
// block for each matrix, a warp for each column that a reflection changes; singular values by cuSOLVER's batched
// rotations of Jacobi, which are for 32 rows and columns at most and leave V, and all of U.
//
// QR is not cuBLAS' geqrfBatched: that wants an array of addresses, and there is nothing batched that makes Q. Larger
// matrices go to cuSOLVER one after another: it has no batched calls for them but an approximate one (gesvda).
#include "cuda/small_linalg.h"

#include <cmath>

#include "cuda/cusolver.h"
#include "cuda/device.cuh"

namespace fg::cuda {
namespace {

constexpr int64_t kQr = 256;  // rows and columns from which a block is no match for a library (not measured)

FG_DEVICE int lane() { return threadIdx.x % 32; }
template <class T> FG_DEVICE T warp_sum(T x) {
  FG_UNROLL
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
  return x;
}
// The largest size; NaN if there is one.
template <class T> FG_DEVICE T warp_largest(T x) {
  FG_UNROLL
  for (int step = 16; step > 0; step /= 2) {
    const T other = __shfl_xor_sync(~0u, x, step);
    if (other > x || other != other) x = other;
  }
  return x;
}

// column <- column - factor v (v, column), for v = (1, below...), of `rows` elements; by a warp.
template <class T> FG_DEVICE void reflect(T* column, const T* below, T factor, int rows) {
  T sum = lane() == 0 ? column[0] : T(0);
  for (int i = 1 + lane(); i < rows; i += 32) sum += below[i - 1] * column[i];
  sum = warp_sum(sum) * factor;
  if (lane() == 0) column[0] -= sum;
  for (int i = 1 + lane(); i < rows; i += 32) column[i] -= sum * below[i - 1];
}

// As LAPACK's geqr2.
template <class T>
__global__ void __launch_bounds__(kThreads) qr_kernel(T* matrices, T* factors, int m, int n, int64_t batch) {
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32, depth = m < n ? m : n;
  for (int64_t matrix = blockIdx.x; matrix < batch; matrix += gridDim.x) {
    T *const a = matrices + matrix * m * n, *const tau = factors + matrix * depth;
    for (int k = 0; k < depth; ++k) {
      T *const column = a + int64_t(k) * m + k, *const below = column + 1;
      const int rows = m - k;
      // Every warp finds the same numbers.
      T largest = 0, squares = 0;
      for (int i = lane(); i < rows - 1; i += 32) {
        const T size = ::fabs(below[i]);
        if (size > largest || size != size) largest = size;
      }
      largest = warp_largest(largest);
      const T top = column[0];
      T size = top, factor = 0;
      if (largest != 0) {
        for (int i = lane(); i < rows - 1; i += 32) {
          const T x = below[i] / largest;
          squares += x * x;
        }
        const T length = ::hypot(top, largest * ::sqrt(warp_sum(squares)));
        size = top < 0 ? length : -length;
        factor = (size - top) / size;
      }
      __syncthreads();  // all have read the column
      if (largest != 0)
        for (int i = threadIdx.x; i < rows - 1; i += blockDim.x) below[i] /= top - size;
      if (threadIdx.x == 0) column[0] = size, tau[k] = factor;
      __syncthreads();
      if (factor != 0)
        for (int j = k + 1 + warp; j < n; j += warps) reflect(a + int64_t(j) * m + k, below, factor, rows);
      __syncthreads();
    }
  }
}

// As LAPACK's org2r: the first n columns of the product of k reflections.
template <class T>
__global__ void __launch_bounds__(kThreads)
    reflected_kernel(T* matrices, const T* factors, int m, int n, int k, int64_t batch) {
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  for (int64_t matrix = blockIdx.x; matrix < batch; matrix += gridDim.x) {
    T* const a = matrices + matrix * m * n;
    const T* const tau = factors + matrix * k;
    for (int e = k * m + threadIdx.x; e < n * m; e += blockDim.x) a[e] = e / m == e % m ? T(1) : T(0);
    __syncthreads();
    for (int i = k - 1; i >= 0; --i) {
      T *const column = a + int64_t(i) * m, *const below = column + i + 1;
      const T factor = tau[i];
      for (int j = i + 1 + warp; j < n; j += warps) reflect(a + int64_t(j) * m + i, below, factor, m - i);
      __syncthreads();
      for (int r = threadIdx.x; r < m; r += blockDim.x)
        column[r] = r < i ? T(0) : r == i ? 1 - factor : -factor * column[r];
      __syncthreads();
    }
  }
}

// The first n columns of u (m, m), and v turned.
template <class T>
__global__ void __launch_bounds__(kThreads)
    vectors_kernel(T* u_out, T* vh_out, const T* u, const T* v, int m, int n, int64_t batch) {
  const int64_t u_size = int64_t(m) * n, v_size = int64_t(n) * n, all = batch * (u ? u_size : 0);
  for (int64_t e = global_thread(); e < all; e += global_threads()) u_out[e] = u[e / u_size * m * m + e % u_size];
  for (int64_t e = global_thread(); e < batch * v_size; e += global_threads()) {
    const int64_t matrix = e / v_size, place = e % v_size;
    vh_out[e] = v[matrix * v_size + place % n * n + place / n];
  }
}

template <class T> void singular_values(const LinalgArgs& g) {
  const size_t batch = static_cast<size_t>(g.batch), m = static_cast<size_t>(g.m), n = static_cast<size_t>(g.n);
  const bool cut = g.vectors && g.k < g.m;
  const Scratch u(cut ? batch * m * m * sizeof(T) : 0, g.stream),
      v(g.vectors ? batch * n * n * sizeof(T) : 0, g.stream);
  if (g.vectors && (!v || (cut && !u))) return;
  LinalgArgs all = g;
  if (cut) all.c = u.as<void>();
  if (g.vectors) all.d = v.as<void>();
  if (!cusolver_jacobi(all) || !g.vectors) return;
  const int64_t most = g.batch * (cut ? g.m : g.n) * g.n;
  FG_LAUNCH_FREE(vectors_kernel<T>, grid_for(most, g.stream), kThreads, 0, g.stream, static_cast<T*>(g.c),
                 static_cast<T*>(g.d), u.as<T>(), v.as<T>(), static_cast<int>(g.m), static_cast<int>(g.n), g.batch);
}

template <class T> void run(const LinalgArgs& g) {
  if (g.kind == Linalg::svd) return singular_values<T>(g);
  const unsigned blocks = static_cast<unsigned>(g.batch < (1 << 30) ? g.batch : 1 << 30);
  const int threads = g.m * g.n <= 1024 ? 64 : kThreads, m = static_cast<int>(g.m), n = static_cast<int>(g.n);
  T *const a = static_cast<T*>(g.a), *const b = static_cast<T*>(g.b);
  if (g.kind == Linalg::qr) FG_LAUNCH(qr_kernel<T>, blocks, threads, 0, g.stream, a, b, m, n, g.batch);
  else FG_LAUNCH(reflected_kernel<T>, blocks, threads, 0, g.stream, a, b, m, n, static_cast<int>(g.k), g.batch);
}

}  // namespace

bool is_small_batch(const LinalgArgs& g) {
  if (g.batch < 2 || (g.dtype != DType::Float32 && g.dtype != DType::Float64)) return false;
  switch (g.kind) {
    case Linalg::qr:
    case Linalg::reflected: return g.m <= kQr && g.n <= kQr;
    case Linalg::svd: return cusolver_has_jacobi(g);
    default: return false;
  }
}
void small_batch(const LinalgArgs& g) {
  if (g.dtype == DType::Float64) run<double>(g);
  else run<float>(g);
}

}  // namespace fg::cuda
