// Takes the place of cuSOLVER in the emulator, for tests: the same functions on memory of the host (standin_matrix.h).
// What cuSOLVER would refuse is refused with its status; memory to work in is overwritten, and so are inputs that are
// used up; info is always written.
#include <cstring>
#include <type_traits>

#include "cuda/standin_fault.h"
#include "cuda/standin_matrix.h"

namespace {

using namespace standin;
constexpr int kInvalid = 3, kNotInitialized = 1;

struct Solver {
  bool streamed = false;
};

// ---- arguments

constexpr size_t kDevice = 512, kHost = 96;  // bytes that every call asks for

bool ready(void* handle, void* params) { return handle && params && static_cast<Solver*>(handle)->streamed; }
int sizes(bool fine, void* handle, void* params, size_t* device, size_t* host) {
  if (!handle || !params) return kNotInitialized;
  if (!fine || !device || !host) return kInvalid;
  *device = kDevice, *host = kHost;
  return 0;
}
// Uses what it was given to work in.
bool work(void* device, size_t device_bytes, void* host, size_t host_bytes, int* info) {
  if (!device || !host || !info || device_bytes < kDevice || host_bytes < kHost) return false;
  std::memset(device, 0xa5, device_bytes), std::memset(host, 0xa5, host_bytes);
  return true;
}

template <class T> int orgqr_size(void* handle, int m, int n, int k, const T* a, int lda, const T* tau, int* length) {
  if (!handle) return kNotInitialized;
  if (!a || (!tau && k) || !length || n < 0 || m < n || k < 0 || k > n || lda < std::max(1, m)) return kInvalid;
  *length = 64;
  return 0;
}
template <class T>
int orgqr(void* handle, int m, int n, int k, T* a, int lda, const T* tau, T* memory, int length, int* info) {
  int wanted = 0;
  if (!handle || !static_cast<Solver*>(handle)->streamed) return kNotInitialized;
  if (const int status = orgqr_size(handle, m, n, k, a, lda, tau, &wanted)) return status;
  if (!memory || length < wanted || !info) return kInvalid;
  std::fill_n(memory, length, static_cast<T>(kNan));
  const View at = view(a, sizeof(T) == 4 ? kReal32 : kReal64, lda);
  Matrix v(at, m, n), q(m, n);
  for (int j = 0; j < n; ++j) q.at(j, j) = 1;
  for (int i = k - 1; i >= 0; --i) {
    v.at(i, i) = 1;
    reflect(q, v.column(i), i, tau[i], 0);
  }
  q.write(at);
  return *info = 0;
}

template <class T>
int jacobi_size(void* handle, int vectors, int m, int n, const T* a, int lda, const T* s, const T* u, int ldu,
                const T* v, int ldv, int* length, void* params, int batch) {
  if (!handle || !params) return kNotInitialized;
  if ((vectors != kNoVectors && vectors != kVectors) || m < 1 || n < 1 || m > kMostOfJacobi || n > kMostOfJacobi ||
      batch < 1 || !a || !s || lda < m || !length || (vectors == kVectors && (!u || !v || ldu < m || ldv < n)))
    return kInvalid;
  *length = 128;
  return 0;
}
// V is not turned, and U is whole. FASTGRAD_EMU_FAIL=gesvdjBatched_info:1: every second matrix does not converge.
template <class T>
int jacobi_batch(void* handle, int vectors, int m, int n, T* a, int lda, T* s, T* u, int ldu, T* v, int ldv, T* memory,
                 int length, int* info, void* params, int batch) {
  int wanted = 0;
  if (!handle || !static_cast<Solver*>(handle)->streamed) return kNotInitialized;
  if (const int status = jacobi_size(handle, vectors, m, n, a, lda, s, u, ldu, v, ldv, &wanted, params, batch))
    return status;
  if (!memory || length < wanted || !info || m < n) return kInvalid;  // m < n: not written here
  std::fill_n(memory, length, static_cast<T>(kNan));
  const int type = sizeof(T) == 4 ? kReal32 : kReal64;
  for (int64_t i = 0; i < batch; ++i) {
    Matrix left(m, m), right(n, n);
    std::vector<double> values(static_cast<size_t>(n), kNan);
    const View at = view(a + i * lda * n, type, lda);
    info[i] = one_sided(Matrix(at, m, n), left, values, right) ? 0 : n + 1;
    if (i % 2 && wanted_fault("gesvdjBatched_info")) {
      info[i] = n + 1;
      std::fill(values.begin(), values.end(), kNan);
      std::fill(left.x.begin(), left.x.end(), Number(kNan));
      std::fill(right.x.begin(), right.x.end(), Number(kNan));
    }
    for (int64_t j = 0; j < n; ++j) s[i * n + j] = static_cast<T>(values[static_cast<size_t>(j)]);
    if (vectors == kVectors) {
      left.write(view(u + i * ldu * m, type, ldu));
      right.write(view(v + i * ldv * n, type, ldv));
    }
    spoil(at, m, n);
  }
  return 0;
}

}  // namespace

#define FG_EXPORT extern "C" __attribute__((visibility("default"))) int

FG_EXPORT cusolverDnCreate(void** handle) {
  if (const int status = wanted_fault("cusolverDnCreate")) return status;
  return *handle = new Solver, 0;
}
FG_EXPORT cusolverDnCreateParams(void** params) { return *params = new int(0), 0; }
FG_EXPORT cusolverDnSetStream(void* handle, void*) {
  if (!handle) return kNotInitialized;
  return static_cast<Solver*>(handle)->streamed = true, 0;
}

FG_EXPORT cusolverDnXgetrf_bufferSize(void* handle, void* params, int64_t m, int64_t n, int type, const void* a,
                                      int64_t lda, int compute, size_t* device, size_t* host) {
  const bool fine = m >= 0 && n >= 0 && known(type) && compute == type && a && lda >= std::max<int64_t>(1, m);
  return sizes(fine, handle, params, device, host);
}
FG_EXPORT cusolverDnXgetrf(void* handle, void* params, int64_t m, int64_t n, int type, void* a, int64_t lda,
                           int64_t* pivots, int compute, void* device, size_t device_bytes, void* host,
                           size_t host_bytes, int* info) {
  size_t d, h;
  if (!ready(handle, params)) return kNotInitialized;
  if (const int status = cusolverDnXgetrf_bufferSize(handle, params, m, n, type, a, lda, compute, &d, &h))
    return status;
  if (!pivots || !work(device, device_bytes, host, host_bytes, info)) return kInvalid;
  Matrix x(view(a, type, lda), m, n);
  *info = lu(x, pivots);
  x.write(view(a, type, lda));
  return 0;
}
FG_EXPORT cusolverDnXgetrs(void* handle, void* params, int operation, int64_t n, int64_t sides, int type, const void* a,
                           int64_t lda, const int64_t* pivots, int b_type, void* b, int64_t ldb, int* info) {
  if (!ready(handle, params)) return kNotInitialized;
  if (operation != kPlain || n < 0 || sides < 0 || !known(type) || b_type != type || !a || !b || !pivots || !info ||
      lda < std::max<int64_t>(1, n) || ldb < std::max<int64_t>(1, n))
    return kInvalid;
  Matrix x(view(a, type, lda), n, n), y(view(b, type, ldb), n, sides);
  for (int64_t j = 0; j < sides; ++j) {
    for (int64_t k = 0; k < n; ++k) std::swap(y.at(k, j), y.at(pivots[k] - 1, j));
    for (int64_t k = 0; k < n; ++k)
      for (int64_t i = k + 1; i < n; ++i) y.at(i, j) -= x.at(i, k) * y.at(k, j);
    for (int64_t k = n - 1; k >= 0; --k) {
      y.at(k, j) = over(y.at(k, j), x.at(k, k));
      for (int64_t i = 0; i < k; ++i) y.at(i, j) -= x.at(i, k) * y.at(k, j);
    }
  }
  y.write(view(b, type, ldb));
  return *info = 0;
}

FG_EXPORT cusolverDnXpotrf_bufferSize(void* handle, void* params, int triangle, int64_t n, int type, const void* a,
                                      int64_t lda, int compute, size_t* device, size_t* host) {
  const bool fine =
      triangle == kLower && n >= 0 && known(type) && compute == type && a && lda >= std::max<int64_t>(1, n);
  return sizes(fine, handle, params, device, host);
}
FG_EXPORT cusolverDnXpotrf(void* handle, void* params, int triangle, int64_t n, int type, void* a, int64_t lda,
                           int compute, void* device, size_t device_bytes, void* host, size_t host_bytes, int* info) {
  size_t d, h;
  if (!ready(handle, params)) return kNotInitialized;
  if (const int status = cusolverDnXpotrf_bufferSize(handle, params, triangle, n, type, a, lda, compute, &d, &h))
    return status;
  if (!work(device, device_bytes, host, host_bytes, info)) return kInvalid;
  Matrix x(view(a, type, lda), n, n);
  *info = 0;
  for (int64_t k = 0; k < n && !*info; ++k) {
    if (!(x.at(k, k).real() > 0)) {
      *info = static_cast<int>(k + 1);
      break;
    }
    const double root = std::sqrt(x.at(k, k).real());
    x.at(k, k) = root;
    for (int64_t i = k + 1; i < n; ++i) x.at(i, k) /= root;
    for (int64_t j = k + 1; j < n; ++j)
      for (int64_t i = j; i < n; ++i) x.at(i, j) -= x.at(i, k) * std::conj(x.at(j, k));
  }
  for (int64_t j = 0; j < n; ++j)
    for (int64_t i = j; i < n; ++i) view(a, type, lda).put(i, j, x.at(i, j));
  return 0;
}

FG_EXPORT cusolverDnXgeqrf_bufferSize(void* handle, void* params, int64_t m, int64_t n, int type, const void* a,
                                      int64_t lda, int tau_type, const void* tau, int compute, size_t* device,
                                      size_t* host) {
  const bool fine = m >= 0 && n >= 0 && known(type) && tau_type == type && compute == type && a && tau &&
                    lda >= std::max<int64_t>(1, m);
  return sizes(fine, handle, params, device, host);
}
FG_EXPORT cusolverDnXgeqrf(void* handle, void* params, int64_t m, int64_t n, int type, void* a, int64_t lda,
                           int tau_type, void* tau, int compute, void* device, size_t device_bytes, void* host,
                           size_t host_bytes, int* info) {
  size_t d, h;
  if (!ready(handle, params)) return kNotInitialized;
  if (const int status =
          cusolverDnXgeqrf_bufferSize(handle, params, m, n, type, a, lda, tau_type, tau, compute, &d, &h))
    return status;
  if (!work(device, device_bytes, host, host_bytes, info)) return kInvalid;
  Matrix x(view(a, type, lda), m, n);
  for (int64_t k = 0; k < std::min(m, n); ++k) {
    Number* c = x.column(k);
    const Number top = c[k];
    const double size = length(c + k, m - k);
    Number factor = 0;
    if (size > 0 && (length(c + k + 1, m - k - 1) > 0 || top.imag() != 0)) {
      const double beta = top.real() >= 0 ? -size : size;
      factor = (beta - top) / beta;
      std::vector<Number> v(static_cast<size_t>(m));
      for (int64_t i = k + 1; i < m; ++i) v[static_cast<size_t>(i)] = c[i] / (top - beta);
      v[static_cast<size_t>(k)] = 1;
      reflect(x, v.data(), k, std::conj(factor), k + 1);
      c[k] = beta;
      std::copy(v.begin() + k + 1, v.end(), c + k + 1);
    }
    view(tau, type, 1).put(k, 0, factor);
  }
  x.write(view(a, type, lda));
  return *info = 0;
}

FG_EXPORT cusolverDnSorgqr_bufferSize(void* handle, int m, int n, int k, const float* a, int lda, const float* tau,
                                      int* length) {
  return orgqr_size(handle, m, n, k, a, lda, tau, length);
}
FG_EXPORT cusolverDnSorgqr(void* handle, int m, int n, int k, float* a, int lda, const float* tau, float* memory,
                           int length, int* info) {
  return orgqr(handle, m, n, k, a, lda, tau, memory, length, info);
}
FG_EXPORT cusolverDnDorgqr_bufferSize(void* handle, int m, int n, int k, const double* a, int lda, const double* tau,
                                      int* length) {
  return orgqr_size(handle, m, n, k, a, lda, tau, length);
}
FG_EXPORT cusolverDnDorgqr(void* handle, int m, int n, int k, double* a, int lda, const double* tau, double* memory,
                           int length, int* info) {
  return orgqr(handle, m, n, k, a, lda, tau, memory, length, info);
}

FG_EXPORT cusolverDnCreateGesvdjInfo(void** params) { return *params = new int(0), 0; }
#define FG_JACOBI(letter, T)                                                                                           \
  FG_EXPORT cusolverDn##letter##gesvdjBatched_bufferSize(void* handle, int vectors, int m, int n, const T* a, int lda, \
                                                         const T* s, const T* u, int ldu, const T* v, int ldv,         \
                                                         int* length, void* params, int batch) {                       \
    return jacobi_size(handle, vectors, m, n, a, lda, s, u, ldu, v, ldv, length, params, batch);                       \
  }                                                                                                                    \
  FG_EXPORT cusolverDn##letter##gesvdjBatched(void* handle, int vectors, int m, int n, T* a, int lda, T* s, T* u,      \
                                              int ldu, T* v, int ldv, T* memory, int length, int* info, void* params,  \
                                              int batch) {                                                             \
    return jacobi_batch(handle, vectors, m, n, a, lda, s, u, ldu, v, ldv, memory, length, info, params, batch);        \
  }
FG_JACOBI(S, float)
FG_JACOBI(D, double)
#undef FG_JACOBI

FG_EXPORT cusolverDnXsyevd_bufferSize(void* handle, void* params, int vectors, int triangle, int64_t n, int type,
                                      const void* a, int64_t lda, int w_type, const void* w, int compute,
                                      size_t* device, size_t* host) {
  const bool fine = (vectors == kNoVectors || vectors == kVectors) && (triangle == kLower || triangle == kUpper) &&
                    n >= 0 && known(type) && w_type == real_of(type) && compute == type && a && w &&
                    lda >= std::max<int64_t>(1, n);
  return sizes(fine, handle, params, device, host);
}
FG_EXPORT cusolverDnXsyevd(void* handle, void* params, int vectors, int triangle, int64_t n, int type, void* a,
                           int64_t lda, int w_type, void* w, int compute, void* device, size_t device_bytes, void* host,
                           size_t host_bytes, int* info) {
  size_t d, h;
  if (!ready(handle, params)) return kNotInitialized;
  if (const int status =
          cusolverDnXsyevd_bufferSize(handle, params, vectors, triangle, n, type, a, lda, w_type, w, compute, &d, &h))
    return status;
  if (!work(device, device_bytes, host, host_bytes, info)) return kInvalid;
  const View at = view(a, type, lda);
  Matrix x(at, n, n), v(n, n);
  for (int64_t j = 0; j < n; ++j) {  // the other triangle is not read
    x.at(j, j) = x.at(j, j).real();
    for (int64_t i = 0; i < j; ++i)
      if (triangle == kUpper) x.at(j, i) = std::conj(x.at(i, j));
      else x.at(i, j) = std::conj(x.at(j, i));
  }
  std::vector<double> values(static_cast<size_t>(n), kNan);
  *info = jacobi(x, values, v) ? 0 : static_cast<int>(n);
  for (int64_t j = 0; j < n; ++j) view(w, w_type, 1).put(j, 0, values[static_cast<size_t>(j)]);
  if (vectors == kVectors) v.write(at);
  else spoil(at, n, n);
  return 0;
}

FG_EXPORT cusolverDnXsyevBatched_bufferSize(void* handle, void* params, int vectors, int triangle, int64_t n, int type,
                                            const void* a, int64_t lda, int w_type, const void* w, int compute,
                                            size_t* device, size_t* host, int64_t batch) {
  if (batch < 1) return kInvalid;
  return cusolverDnXsyevd_bufferSize(handle, params, vectors, triangle, n, type, a, lda, w_type, w, compute, device,
                                     host);
}
FG_EXPORT cusolverDnXsyevBatched(void* handle, void* params, int vectors, int triangle, int64_t n, int type, void* a,
                                 int64_t lda, int w_type, void* w, int compute, void* device, size_t device_bytes,
                                 void* host, size_t host_bytes, int* info, int64_t batch) {
  if (batch < 1) return kInvalid;
  const int64_t part = w_type == kReal32 ? 4 : 8, item = is_complex(type) ? 2 * part : part;
  for (int64_t i = 0; i < batch; ++i) {
    const int status = cusolverDnXsyevd(
        handle, params, vectors, triangle, n, type, static_cast<char*>(a) + i * lda * n * item, lda, w_type,
        static_cast<char*>(w) + i * n * part, compute, device, device_bytes, host, host_bytes, info + i);
    if (status) return status;
  }
  return 0;
}

FG_EXPORT cusolverDnXgesvd_bufferSize(void* handle, void* params, signed char u_job, signed char vt_job, int64_t m,
                                      int64_t n, int type, const void* a, int64_t lda, int s_type, const void* s,
                                      int u_type, const void* u, int64_t ldu, int vt_type, const void* vt, int64_t ldvt,
                                      int compute, size_t* device, size_t* host) {
  const bool wanted = u_job == 'A' || u_job == 'S';
  const bool fine = m >= n && n >= 0 && known(type) && s_type == real_of(type) && u_type == type && vt_type == type &&
                    compute == type && a && s && lda >= std::max<int64_t>(1, m) && u_job == vt_job &&
                    (wanted || u_job == 'N') && ldu >= std::max<int64_t>(1, m) && ldvt >= std::max<int64_t>(1, n) &&
                    (!wanted || (u && vt));
  return sizes(fine, handle, params, device, host);
}
FG_EXPORT cusolverDnXgesvd(void* handle, void* params, signed char u_job, signed char vt_job, int64_t m, int64_t n,
                           int type, void* a, int64_t lda, int s_type, void* s, int u_type, void* u, int64_t ldu,
                           int vt_type, void* vt, int64_t ldvt, int compute, void* device, size_t device_bytes,
                           void* host, size_t host_bytes, int* info) {
  size_t d, h;
  if (!ready(handle, params)) return kNotInitialized;
  if (const int status = cusolverDnXgesvd_bufferSize(handle, params, u_job, vt_job, m, n, type, a, lda, s_type, s,
                                                     u_type, u, ldu, vt_type, vt, ldvt, compute, &d, &h))
    return status;
  if (!work(device, device_bytes, host, host_bytes, info)) return kInvalid;
  Matrix left(m, u_job == 'A' ? m : n), right(n, n);
  std::vector<double> values(static_cast<size_t>(n), kNan);
  *info = one_sided(Matrix(view(a, type, lda), m, n), left, values, right) ? 0 : 1;
  for (int64_t j = 0; j < n; ++j) view(s, s_type, 1).put(j, 0, values[static_cast<size_t>(j)]);
  if (u_job != 'N') {
    left.write(view(u, type, ldu));
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < n; ++i) view(vt, type, ldvt).put(j, i, std::conj(right.at(i, j)));
  }
  spoil(view(a, type, lda), m, n);
  return 0;
}

FG_EXPORT cusolverDnXgeev_bufferSize(void* handle, void* params, int left, int right, int64_t n, int type,
                                     const void* a, int64_t lda, int w_type, const void* w, int vl_type, const void*,
                                     int64_t, int vr_type, const void* vr, int64_t ldvr, int compute, size_t* device,
                                     size_t* host) {
  const bool fine = left == kNoVectors && (right == kNoVectors || right == kVectors) && n >= 0 && is_complex(type) &&
                    w_type == type && vl_type == type && vr_type == type && compute == type && a && w &&
                    lda >= std::max<int64_t>(1, n) && (right == kNoVectors || (vr && ldvr >= std::max<int64_t>(1, n)));
  return sizes(fine, handle, params, device, host);
}
FG_EXPORT cusolverDnXgeev(void* handle, void* params, int left, int right, int64_t n, int type, void* a, int64_t lda,
                          int w_type, void* w, int vl_type, void* vl, int64_t ldvl, int vr_type, void* vr, int64_t ldvr,
                          int compute, void* device, size_t device_bytes, void* host, size_t host_bytes, int* info) {
  size_t d, h;
  if (!ready(handle, params)) return kNotInitialized;
  if (const int status = cusolverDnXgeev_bufferSize(handle, params, left, right, n, type, a, lda, w_type, w, vl_type,
                                                    vl, ldvl, vr_type, vr, ldvr, compute, &d, &h))
    return status;
  if (!work(device, device_bytes, host, host_bytes, info)) return kInvalid;
  Matrix t(view(a, type, lda), n, n), v = Matrix::identity(n), out(n, n);
  double scale = 0;
  for (const Number& x : t.x) scale += std::abs(x);
  *info = schur(t, v);
  for (int64_t j = 0; j < n; ++j) view(w, type, 1).put(j, 0, t.at(j, j));
  if (right == kVectors) {
    eigenvectors(t, v, out, scale);
    out.write(view(vr, type, ldvr));
  }
  spoil(view(a, type, lda), n, n);
  return 0;
}

// As the callers see them.
#define X(name, arguments) static_assert(std::is_same_v<decltype(name), fg::cuda::cusolver::name##_type>);
FG_CUSOLVER_FUNCTIONS(X)
FG_CUSOLVER_NEWER(X)
#undef X
