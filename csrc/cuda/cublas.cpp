// Matrix products by cuBLAS. Our matrices are row-major, cuBLAS is column-major: it is asked for the transposed
// product. In the emulator there is none.
#include "cuda/cublas.h"

#include "cuda/library.h"

#ifdef FG_CUDA_EMULATE
namespace fg::cuda {
bool cublas_accepts(const GemmArgs&) { return false; }
bool cublas_gemm(const GemmArgs&) { return false; }
const char* cublas_missing() { return "the emulator has none"; }
void cublas_prepare(Stream) {}
}  // namespace fg::cuda
#else
#include <climits>
#include <cstdio>
#include <map>
#include <mutex>
#include <utility>

#include "cuda/cublas_api.h"

namespace fg::cuda {
namespace {

using namespace cublas;

struct Library {
  OpenLibrary opened;
#define X(name, symbol, arguments) name##_type* name;
  FG_CUBLAS_FUNCTIONS(X)
#undef X
};

constexpr LibraryName kName{"cuBLAS",
                            "FASTGRAD_CUBLAS",
                            {"libcublas.so.13", "libcublas.so.12"},
                            {"cu13/lib/libcublas.so.13", "cublas/lib/libcublas.so.12"},
                            {"libcublasLt.so.13"},
                            ""};

const Library& library() {
  static const Library loaded = [] {
    Library l{};
    open_library(kName, l.opened);
#define X(name, symbol, arguments) l.name = reinterpret_cast<name##_type*>(resolve(l.opened, kName, symbol));
    FG_CUBLAS_FUNCTIONS(X)
#undef X
    return l;
  }();
  return loaded;
}

const char* text_of(int status) {
  switch (status) {
    case 1: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case 3: return "CUBLAS_STATUS_ALLOC_FAILED";
    case 8: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case 11: return "CUBLAS_STATUS_MAPPING_ERROR";
    case 13: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case 14: return "CUBLAS_STATUS_INTERNAL_ERROR";
    default: return "unknown status";
  }
}
constexpr int kNoMemory = 3;
bool good(int status, const char* function) {
  if (!status) return true;
  char text[120];
  std::snprintf(text, sizeof text, "%s failed with %s (%d)", function, text_of(status), status);
  set_error("cuBLAS", text, status == kNoMemory ? DeviceError::out_of_memory : DeviceError::runtime);
  return false;
}
#define FG_CUBLAS(function, ...) good(library().function(__VA_ARGS__), #function)

// A handle for each stream, used under a lock: a call only enqueues. It has memory to work in; were that shared by
// streams, results would not be the same bits in every run.
struct Handle {
  std::mutex mutex;
  void* made = nullptr;
};
Handle& handle_of(Stream stream) {
  static auto* const all =
      new std::map<std::pair<int, void*>, Handle>;  // never destroyed: the driver may be gone by then
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  return (*all)[{stream.device, stream.handle}];
}
bool ready(Handle& handle, Stream stream) {
  if (handle.made) return true;
  return good(with_memory(stream.device, kNoMemory, [&] { return library().cublasCreate(&handle.made); }),
              "cublasCreate");
}

// Of a recorded product, which may run beside others in the stream where it was recorded; as large as the handle's own
// on the devices that have most.
constexpr size_t kRecordedWorkspace = size_t{32} << 20;

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

void cublas_prepare(Stream stream) {
  if (!library().opened.handle) return;
  use_device(stream.device);
  Handle& handle = handle_of(stream);
  std::lock_guard<std::mutex> lock(handle.mutex);
  const LibraryCall call;
  ready(handle, stream);
}

bool cublas_gemm(const GemmArgs& args) {
  Plan p;
  if (!plan(args, p)) return false;
  use_device(args.stream.device);
  int type = args.dtype == DType::Float64   ? kReal64
             : args.dtype == DType::Float32 ? kReal32
             : args.dtype == DType::Float16 ? kReal16
                                            : kRealB16;
  float alpha32 = static_cast<float>(args.alpha), beta32 = static_cast<float>(args.beta);
  bool wide = type == kReal64;
  const void* alpha = wide ? static_cast<const void*>(&args.alpha) : &alpha32;
  const void* beta = wide ? static_cast<const void*>(&args.beta) : &beta32;
  Handle& handle = handle_of(args.stream);
  std::lock_guard<std::mutex> lock(handle.mutex);
  const LibraryCall call;
  const int compute = wide ? kCompute64 : type == kReal32 && tf32_allowed() ? kComputeTf32 : kCompute32;
  // From here on true: there is a result, or an error is set.
  if (!ready(handle, args.stream) || !FG_CUBLAS(cublasSetStream, handle.made, args.stream.handle)) return true;
  Workspace recorded(recording() ? kRecordedWorkspace : 0, args.stream);
  if (!recorded.ok()) return true;
  if (recorded.data() && !FG_CUBLAS(cublasSetWorkspace, handle.made, recorded.data(), kRecordedWorkspace)) return true;
  const int status = library().cublasGemmStridedBatchedEx(
      handle.made, p.op_b, p.op_a, static_cast<int>(args.n), static_cast<int>(args.m), static_cast<int>(args.k), alpha,
      args.b, type, p.ldb, args.b_bs, args.a, type, p.lda, args.a_bs, beta, args.c, type, p.ldc, args.c_bs,
      static_cast<int>(args.batch), compute, kDefaultAlgorithm);
  if (status == kInvalidValue || status == kNotSupported) return false;
  good(status, "cublasGemmStridedBatchedEx");
  return true;
}

}  // namespace fg::cuda
#endif
