// Compiled by tests/test_cuda_libraries.py where NVIDIA's headers are, and nowhere else: our declarations of cuBLAS,
// cuFFT and cuSOLVER (*_api.h) against theirs. Enumerations count as int, pointers as pointers.
#include <cublas_v2.h>
#include <cufft.h>
#include <cusolverDn.h>

#include <type_traits>

#include "cuda/cublas_api.h"
#include "cuda/cufft_api.h"
#include "cuda/cusolver_api.h"

namespace {

template <class T> struct Plain {
  static constexpr bool pointer = std::is_pointer_v<T>;
  static constexpr auto pick() {
    if constexpr (pointer) return static_cast<void*>(nullptr);
    else if constexpr (std::is_enum_v<T>) return int{};
    else if constexpr (std::is_integral_v<T> && sizeof(T) == 8)
      return std::conditional_t<std::is_signed_v<T>, long, unsigned long>{};
    else return T{};
  }
  using type = decltype(pick());
};
template <class F> struct Signature;
template <class R, class... A> struct Signature<R(A...)> {
  using type = typename Plain<R>::type(typename Plain<A>::type...);
};
template <class A, class B>
constexpr bool same_call = std::is_same_v<typename Signature<A>::type, typename Signature<B>::type>;

#define X(name, arguments) static_assert(same_call<decltype(::name), fg::cuda::cufft::name##_type>, #name);
FG_CUFFT_FUNCTIONS(X)
#undef X
// cublasCreate and its like are macros for the names with _v2; of the product there may be overloads.
namespace blas = fg::cuda::cublas;
static_assert(same_call<decltype(::cublasCreate), blas::cublasCreate_type>);
static_assert(same_call<decltype(::cublasSetStream), blas::cublasSetStream_type>);
static_assert(same_call<decltype(::cublasSetWorkspace), blas::cublasSetWorkspace_type>);
using Product = cublasStatus_t(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                               const void*, cudaDataType, int, long long, const void*, cudaDataType, int, long long,
                               const void*, void*, cudaDataType, int, long long, int, cublasComputeType_t,
                               cublasGemmAlgo_t);
[[maybe_unused]] Product* const product = ::cublasGemmStridedBatchedEx;
static_assert(same_call<Product, blas::cublasGemmStridedBatchedEx_type>);
#define X(name, arguments) static_assert(same_call<decltype(::name), fg::cuda::cusolver::name##_type>, #name);
FG_CUSOLVER_FUNCTIONS(X)
FG_CUSOLVER_NEWER(X)
#undef X

namespace fft = fg::cuda::cufft;
static_assert(fft::kR2C == CUFFT_R2C && fft::kC2R == CUFFT_C2R && fft::kC2C == CUFFT_C2C);
static_assert(fft::kD2Z == CUFFT_D2Z && fft::kZ2D == CUFFT_Z2D && fft::kZ2Z == CUFFT_Z2Z);
static_assert(fft::kForward == CUFFT_FORWARD && fft::kInverse == CUFFT_INVERSE && CUFFT_SUCCESS == 0);
static_assert(std::is_same_v<cufftHandle, int>);

static_assert(blas::kOpN == CUBLAS_OP_N && blas::kOpT == CUBLAS_OP_T && CUBLAS_STATUS_SUCCESS == 0);
static_assert(blas::kReal32 == CUDA_R_32F && blas::kReal64 == CUDA_R_64F);
static_assert(blas::kReal16 == CUDA_R_16F && blas::kRealB16 == CUDA_R_16BF);
static_assert(blas::kCompute32 == CUBLAS_COMPUTE_32F && blas::kCompute64 == CUBLAS_COMPUTE_64F &&
              blas::kComputeTf32 == CUBLAS_COMPUTE_32F_FAST_TF32);
static_assert(blas::kDefaultAlgorithm == CUBLAS_GEMM_DEFAULT);
static_assert(blas::kInvalidValue == CUBLAS_STATUS_INVALID_VALUE && blas::kNotSupported == CUBLAS_STATUS_NOT_SUPPORTED);

namespace solver = fg::cuda::cusolver;
static_assert(solver::kReal32 == CUDA_R_32F && solver::kReal64 == CUDA_R_64F);
static_assert(solver::kComplex32 == CUDA_C_32F && solver::kComplex64 == CUDA_C_64F);
static_assert(solver::kLower == CUBLAS_FILL_MODE_LOWER && solver::kUpper == CUBLAS_FILL_MODE_UPPER);
static_assert(solver::kNoVectors == CUSOLVER_EIG_MODE_NOVECTOR && solver::kVectors == CUSOLVER_EIG_MODE_VECTOR);
static_assert(solver::kPlain == CUBLAS_OP_N && CUSOLVER_STATUS_SUCCESS == 0);

}  // namespace
