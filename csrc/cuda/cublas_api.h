// What we call of cuBLAS, as its C interface is: X(name, symbol, arguments); each returns a cublasStatus_t, 0: success.
#pragma once
#include <cstddef>

#define FG_CUBLAS_FUNCTIONS(X)                                                                                     \
  X(cublasCreate, "cublasCreate_v2", (void** handle))                                                              \
  X(cublasSetStream, "cublasSetStream_v2", (void* handle, void* stream))                                           \
  X(cublasSetWorkspace, "cublasSetWorkspace_v2", (void* handle, void* memory, size_t bytes))                       \
  X(cublasGemmStridedBatchedEx, "cublasGemmStridedBatchedEx",                                                      \
    (void* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda, \
     long long stride_a, const void* b, int b_type, int ldb, long long stride_b, const void* beta, void* c,        \
     int c_type, int ldc, long long stride_c, int batch, int compute, int algorithm))

namespace fg::cuda::cublas {

#define X(name, symbol, arguments) using name##_type = int arguments;
FG_CUBLAS_FUNCTIONS(X)
#undef X

enum : int { kOpN = 0, kOpT = 1 };                                    // cublasOperation_t
enum : int { kReal32 = 0, kReal64 = 1, kReal16 = 2, kRealB16 = 14 };  // cudaDataType
enum : int { kCompute32 = 68, kCompute64 = 70, kComputeTf32 = 77, kDefaultAlgorithm = -1 };
enum : int { kInvalidValue = 7, kNotSupported = 15 };  // cublasStatus_t: what our own kernel does then

}  // namespace fg::cuda::cublas
