// What we call of cuSOLVER, as its C interface is: X(name, arguments); each returns a cusolverStatus_t, 0: success.
// Matrices are column-major; types are values of cudaDataType.
#pragma once
#include <cstddef>
#include <cstdint>

#define FG_CUSOLVER_ORGQR(X, letter, T)                                                \
  X(cusolverDn##letter##orgqr_bufferSize,                                              \
    (void* handle, int m, int n, int k, const T* a, int lda, const T* tau, int* work)) \
  X(cusolverDn##letter##orgqr,                                                         \
    (void* handle, int m, int n, int k, T* a, int lda, const T* tau, T* work_area, int work, int* info))

#define FG_CUSOLVER_JACOBI(X, letter, T)                                                                             \
  X(cusolverDn##letter##gesvdjBatched_bufferSize,                                                                    \
    (void* handle, int vectors, int m, int n, const T* a, int lda, const T* s, const T* u, int ldu, const T* v,      \
     int ldv, int* work, void* params, int batch))                                                                   \
  X(cusolverDn##letter##gesvdjBatched, (void* handle, int vectors, int m, int n, T* a, int lda, T* s, T* u, int ldu, \
                                        T* v, int ldv, T* work_area, int work, int* info, void* params, int batch))

#define FG_CUSOLVER_FUNCTIONS(X)                                                                                       \
  X(cusolverDnCreate, (void** handle))                                                                                 \
  X(cusolverDnSetStream, (void* handle, void* stream))                                                                 \
  X(cusolverDnCreateParams, (void** params))                                                                           \
  X(cusolverDnXgetrf_bufferSize, (void* handle, void* params, int64_t m, int64_t n, int type, const void* a,           \
                                  int64_t lda, int compute, size_t* device, size_t* host))                             \
  X(cusolverDnXgetrf,                                                                                                  \
    (void* handle, void* params, int64_t m, int64_t n, int type, void* a, int64_t lda, int64_t* pivots, int compute,   \
     void* device, size_t device_bytes, void* host, size_t host_bytes, int* info))                                     \
  X(cusolverDnXgetrs, (void* handle, void* params, int operation, int64_t n, int64_t sides, int type, const void* a,   \
                       int64_t lda, const int64_t* pivots, int b_type, void* b, int64_t ldb, int* info))               \
  X(cusolverDnXpotrf_bufferSize, (void* handle, void* params, int triangle, int64_t n, int type, const void* a,        \
                                  int64_t lda, int compute, size_t* device, size_t* host))                             \
  X(cusolverDnXpotrf, (void* handle, void* params, int triangle, int64_t n, int type, void* a, int64_t lda,            \
                       int compute, void* device, size_t device_bytes, void* host, size_t host_bytes, int* info))      \
  X(cusolverDnXgeqrf_bufferSize,                                                                                       \
    (void* handle, void* params, int64_t m, int64_t n, int type, const void* a, int64_t lda, int tau_type,             \
     const void* tau, int compute, size_t* device, size_t* host))                                                      \
  X(cusolverDnXgeqrf,                                                                                                  \
    (void* handle, void* params, int64_t m, int64_t n, int type, void* a, int64_t lda, int tau_type, void* tau,        \
     int compute, void* device, size_t device_bytes, void* host, size_t host_bytes, int* info))                        \
  FG_CUSOLVER_ORGQR(X, S, float)                                                                                       \
  FG_CUSOLVER_ORGQR(X, D, double)                                                                                      \
  X(cusolverDnCreateGesvdjInfo, (void** params))                                                                       \
  FG_CUSOLVER_JACOBI(X, S, float)                                                                                      \
  FG_CUSOLVER_JACOBI(X, D, double)                                                                                     \
  X(cusolverDnXsyevd_bufferSize,                                                                                       \
    (void* handle, void* params, int vectors, int triangle, int64_t n, int type, const void* a, int64_t lda,           \
     int w_type, const void* w, int compute, size_t* device, size_t* host))                                            \
  X(cusolverDnXsyevd,                                                                                                  \
    (void* handle, void* params, int vectors, int triangle, int64_t n, int type, void* a, int64_t lda, int w_type,     \
     void* w, int compute, void* device, size_t device_bytes, void* host, size_t host_bytes, int* info))               \
  X(cusolverDnXgesvd_bufferSize,                                                                                       \
    (void* handle, void* params, signed char u_job, signed char vt_job, int64_t m, int64_t n, int type, const void* a, \
     int64_t lda, int s_type, const void* s, int u_type, const void* u, int64_t ldu, int vt_type, const void* vt,      \
     int64_t ldvt, int compute, size_t* device, size_t* host))                                                         \
  X(cusolverDnXgesvd,                                                                                                  \
    (void* handle, void* params, signed char u_job, signed char vt_job, int64_t m, int64_t n, int type, void* a,       \
     int64_t lda, int s_type, void* s, int u_type, void* u, int64_t ldu, int vt_type, void* vt, int64_t ldvt,          \
     int compute, void* device, size_t device_bytes, void* host, size_t host_bytes, int* info))

// Since CUDA 12.8; the others can do without.
#define FG_CUSOLVER_NEWER(X)                                                                                           \
  X(cusolverDnXsyevBatched_bufferSize,                                                                                 \
    (void* handle, void* params, int vectors, int triangle, int64_t n, int type, const void* a, int64_t lda,           \
     int w_type, const void* w, int compute, size_t* device, size_t* host, int64_t batch))                             \
  X(cusolverDnXsyevBatched, (void* handle, void* params, int vectors, int triangle, int64_t n, int type, void* a,      \
                             int64_t lda, int w_type, void* w, int compute, void* device, size_t device_bytes,         \
                             void* host, size_t host_bytes, int* info, int64_t batch))                                 \
  X(cusolverDnXgeev_bufferSize,                                                                                        \
    (void* handle, void* params, int left, int right, int64_t n, int type, const void* a, int64_t lda, int w_type,     \
     const void* w, int vl_type, const void* vl, int64_t ldvl, int vr_type, const void* vr, int64_t ldvr, int compute, \
     size_t* device, size_t* host))                                                                                    \
  X(cusolverDnXgeev, (void* handle, void* params, int left, int right, int64_t n, int type, void* a, int64_t lda,      \
                      int w_type, void* w, int vl_type, void* vl, int64_t ldvl, int vr_type, void* vr, int64_t ldvr,   \
                      int compute, void* device, size_t device_bytes, void* host, size_t host_bytes, int* info))

namespace fg::cuda::cusolver {

#define X(name, arguments) using name##_type = int arguments;
FG_CUSOLVER_FUNCTIONS(X)
FG_CUSOLVER_NEWER(X)
#undef X

enum : int { kReal32 = 0, kReal64 = 1, kComplex32 = 4, kComplex64 = 5 };  // cudaDataType
enum : int { kLower = 0, kUpper = 1 };                                    // cublasFillMode_t
enum : int { kNoVectors = 0, kVectors = 1 };                              // cusolverEigMode_t
enum : int { kMostOfJacobi = 32 };                                        // rows and columns
enum : int { kPlain = 0 };                                                // cublasOperation_t

}  // namespace fg::cuda::cusolver
