// The few declarations of cuBLAS that a matrix product needs. In the emulator
// there is none. Our matrices are row-major, cuBLAS is column-major: it is asked for the transposed product.
#include "cuda/cublas.h"

#include "cuda/library.h"

#ifdef FG_CUDA_EMULATE
namespace fg::cuda {
bool cublas_accepts(const GemmArgs&) { return false; }
bool cublas_gemm(const GemmArgs&) { return false; }
const char* cublas_missing() { return "the emulator has none"; }
void cublas_prepare(int) {}
}  // namespace fg::cuda
#else
#include <climits>
#include <mutex>

namespace fg::cuda {
namespace {

using Handle = void*;
enum : int { kOpN = 0, kOpT = 1 };                                    // cublasOperation_t
enum : int { kReal32 = 0, kReal64 = 1, kReal16 = 2, kRealB16 = 14 };  // cudaDataType
enum : int { kCompute32 = 68, kCompute64 = 70, kDefaultAlgorithm = -1 };

struct Library {
  int (*create)(Handle*);
  int (*set_stream)(Handle, void* stream);
  int (*gemm)(Handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda,
              long long stride_a, const void* b, int b_type, int ldb, long long stride_b, const void* beta, void* c,
              int c_type, int ldc, long long stride_c, int batch, int compute, int algorithm);
  OpenLibrary opened;
};

constexpr LibraryName kName{"cuBLAS",
                            "FASTGRAD_CUBLAS",
                            {"libcublas.so.13", "libcublas.so.12"},
                            {"cu13/lib/libcublas.so.13", "cublas/lib/libcublas.so.12"},
                            {"libcublasLt.so.13"},
                            ""};

template <class F> void find(OpenLibrary& opened, const char* name, F& function) {
  function = reinterpret_cast<F>(resolve(opened, kName, name));
}

const Library& library() {
  static const Library loaded = [] {
    Library l{};
    open_library(kName, l.opened);
    find(l.opened, "cublasCreate_v2", l.create);
    find(l.opened, "cublasSetStream_v2", l.set_stream);
    find(l.opened, "cublasGemmStridedBatchedEx", l.gemm);
    return l;
  }();
  return loaded;
}

// One handle per device, used under a lock: a call only enqueues.
std::mutex handle_mutex;
Handle handles[64];

// The leading dimension and transposition of a matrix of `rows` x `columns`, as seen column-major and transposed.
// False: its strides cannot be expressed.
bool orient(int64_t rows, int64_t columns, int64_t rs, int64_t cs, int& op, int& ld) {
  int64_t wanted;
  if (cs == 1 || columns == 1) {
    op = kOpN, wanted = rows == 1 ? columns : rs;
    if (wanted < columns) return false;
  } else if (rs == 1 || rows == 1) {
    op = kOpT, wanted = columns == 1 ? rows : cs;
    if (wanted < rows) return false;
  } else {
    return false;
  }
  if (wanted > INT_MAX) return false;
  ld = static_cast<int>(wanted < 1 ? 1 : wanted);
  return true;
}

struct Plan {
  int op_a, op_b, lda, ldb, ldc;
};
bool plan(const GemmArgs& args, Plan& p) {
  if (args.m > INT_MAX || args.n > INT_MAX || args.k > INT_MAX || args.batch > INT_MAX || args.k < 1) return false;
  int64_t ldc = args.m == 1 ? args.n : args.c_rs;
  if (ldc < args.n || ldc > INT_MAX) return false;
  p.ldc = static_cast<int>(ldc);
  return orient(args.m, args.k, args.a_rs, args.a_cs, p.op_a, p.lda) &&
         orient(args.k, args.n, args.b_rs, args.b_cs, p.op_b, p.ldb);
}

}  // namespace

const char* cublas_missing() {
  const OpenLibrary& opened = library().opened;
  return opened.handle ? nullptr : opened.why;
}

bool cublas_accepts(const GemmArgs& args) {
  Plan p;
  return plan(args, p) && library().opened.handle;
}

void cublas_prepare(int device) {
  const Library& l = library();
  if (!l.opened.handle || device < 0 || device >= 64) return;
  use_device(device);
  std::lock_guard<std::mutex> lock(handle_mutex);
  if (!handles[device]) l.create(&handles[device]);
}

bool cublas_gemm(const GemmArgs& args) {
  Plan p;
  int device = args.stream.device;
  if (!plan(args, p) || device < 0 || device >= 64) return false;
  const Library& l = library();
  use_device(device);
  int type = args.dtype == DType::Float64   ? kReal64
             : args.dtype == DType::Float32 ? kReal32
             : args.dtype == DType::Float16 ? kReal16
                                            : kRealB16;
  float alpha32 = static_cast<float>(args.alpha), beta32 = static_cast<float>(args.beta);
  bool wide = type == kReal64;
  const void* alpha = wide ? static_cast<const void*>(&args.alpha) : &alpha32;
  const void* beta = wide ? static_cast<const void*>(&args.beta) : &beta32;
  std::lock_guard<std::mutex> lock(handle_mutex);
  Handle& handle = handles[device];
  int status = handle ? 0 : l.create(&handle);
  if (!status) status = l.set_stream(handle, args.stream.handle);
  if (!status) {
    status =
        l.gemm(handle, p.op_b, p.op_a, static_cast<int>(args.n), static_cast<int>(args.m), static_cast<int>(args.k),
               alpha, args.b, type, p.ldb, args.b_bs, args.a, type, p.lda, args.a_bs, beta, args.c, type, p.ldc,
               args.c_bs, static_cast<int>(args.batch), wide ? kCompute64 : kCompute32, kDefaultAlgorithm);
  }
  return status == 0;
}

}  // namespace fg::cuda
#endif
