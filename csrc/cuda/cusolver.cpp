// Factorisations by cuSOLVER, one matrix of a batch after another but for eigenvalues of symmetric ones and singular
// values of small ones. A handle for
// each stream: it keeps memory to work in between calls; what a call asks for beside that is ours.
#include "cuda/cusolver.h"

#include <climits>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "cuda/cusolver_api.h"
#include "cuda/library.h"

extern "C" const fg::Backend* fg_get_backend(uint32_t abi);

namespace fg::cuda {
namespace {

using namespace cusolver;

constexpr LibraryName kName{"cuSOLVER",
                            "FASTGRAD_CUSOLVER",
                            {"libcusolver.so.12", "libcusolver.so.11"},
                            {"cu13/lib/libcusolver.so.12", "cusolver/lib/libcusolver.so.11"},
                            {"libnvJitLink.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcusparse.so.12"},
                            "libfastgrad_standin_cusolver.so"};

struct Functions {
  OpenLibrary opened, newer;
#define X(name, arguments) name##_type* name;
  FG_CUSOLVER_FUNCTIONS(X)
  FG_CUSOLVER_NEWER(X)
#undef X
};

const Functions& functions() {
  static const Functions loaded = [] {
    Functions f{};
    open_library(kName, f.opened);
#define X(name, arguments) f.name = reinterpret_cast<name##_type*>(resolve(f.opened, kName, #name));
    FG_CUSOLVER_FUNCTIONS(X)
#undef X
    f.newer = f.opened;
#define X(name, arguments) f.name = reinterpret_cast<name##_type*>(resolve(f.newer, kName, #name));
    FG_CUSOLVER_NEWER(X)
#undef X
    return f;
  }();
  return loaded;
}

const char* text_of(int status) {
  switch (status) {
    case 1: return "CUSOLVER_STATUS_NOT_INITIALIZED";
    case 2: return "CUSOLVER_STATUS_ALLOC_FAILED";
    case 3: return "CUSOLVER_STATUS_INVALID_VALUE";
    case 4: return "CUSOLVER_STATUS_ARCH_MISMATCH";
    case 6: return "CUSOLVER_STATUS_EXECUTION_FAILED";
    case 7: return "CUSOLVER_STATUS_INTERNAL_ERROR";
    case 8: return "CUSOLVER_STATUS_MATRIX_TYPE_NOT_SUPPORTED";
    case 9: return "CUSOLVER_STATUS_NOT_SUPPORTED";
    default: return "unknown status";
  }
}
constexpr int kNoMemory = 2;
bool good(int status, const char* function) {
  if (!status) return true;
  char text[120];
  std::snprintf(text, sizeof text, "%s failed with %s (%d)", function, text_of(status), status);
  set_error("cuSOLVER", text, status == kNoMemory ? DeviceError::out_of_memory : DeviceError::runtime);
  return false;
}
#define FG_CUSOLVER(function, ...) good(functions().function(__VA_ARGS__), #function)

struct Handle {
  std::mutex mutex;
  void *solver = nullptr, *params = nullptr, *jacobi = nullptr;
};
Handle& handle_of(Stream stream) {
  static auto* const all =
      new std::map<std::pair<int, void*>, Handle>;  // never destroyed: the driver may be gone by then
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  return (*all)[{stream.device, stream.handle}];
}

constexpr int64_t kTogether = 512;  // rows of the symmetric matrices whose batches are one call

int type_of(DType dtype) {
  switch (dtype) {
    case DType::Float32: return kReal32;
    case DType::Float64: return kReal64;
    case DType::Complex64: return kComplex32;
    default: return kComplex64;
  }
}

// What all kinds share: the matrices one after another and memory to work in.
struct Call {
  const LinalgArgs g;  // calls that a graph holds outlive the one that gave them (in the emulator)
  Handle& handle;
  int64_t* pivots;
  int64_t m, n, depth;
  int type, real;
  size_t item, part;  // bytes of an element, and of its real part

  Call(const LinalgArgs& args, Handle& with, int64_t* exchanges)
      : g(args),
        handle(with),
        pivots(exchanges),
        m(args.m),
        n(args.n),
        depth(args.m < args.n ? args.m : args.n),
        type(type_of(args.dtype)),
        real(type == kReal32 || type == kComplex32 ? kReal32 : kReal64) {
    part = real == kReal32 ? 4 : 8;
    item = type == real ? part : 2 * part;
  }
  static void* at(void* data, int64_t index, int64_t elements, size_t bytes) {
    return data ? static_cast<char*>(data) + static_cast<size_t>(index * elements) * bytes : nullptr;
  }
  void* a(int64_t i) const { return at(g.a, i, m * n, item); }
  int* info(int64_t i) const { return g.info + i; }

  // size(&device, &host), then run(*this, index of the matrix, device, its bytes, host, its bytes) for each
  template <class Size, class Run> bool each(const Size& size, const Run& run) const {
    return calls(g.batch, size, run);
  }
  template <class Size, class Run> bool calls(int64_t count, const Size& size, const Run& run) const {
    size_t device_bytes = 0, host_bytes = 0;
    if (!size(&device_bytes, &host_bytes)) return false;
    const Workspace device(device_bytes, g.stream);
    bool fine = device.ok();
    for (int64_t i = 0; fine && i < count; ++i) {
      const HostWorkspace host(host_bytes);  // of each: a recorded call finds there what it left
      fine = host.ok() && enqueue(g.stream, [=, call = *this, d = device.data(), h = host.data()] {
               return run(call, i, d, device_bytes, h, host_bytes);
             });
    }
    return fine;
  }

  bool lu() const {
    return each(
        [&](size_t* d, size_t* h) {
          return FG_CUSOLVER(cusolverDnXgetrf_bufferSize, handle.solver, handle.params, m, n, type, g.a, m, type, d, h);
        },
        [](const Call& c, int64_t i, void* d, size_t d_bytes, void* h, size_t h_bytes) {
          return FG_CUSOLVER(cusolverDnXgetrf, c.handle.solver, c.handle.params, c.m, c.n, c.type, c.a(i), c.m,
                             c.pivots + i * c.depth, c.type, d, d_bytes, h, h_bytes, c.info(i));
        });
  }
  bool solve() const {
    if (!lu()) return false;
    if (g.k == 0) return true;
    Workspace unused(sizeof(int), g.stream);  // the second info says what the first one did not: a wrong argument
    if (!unused.ok()) return false;
    return enqueue(g.stream, [c = *this, unused = static_cast<int*>(unused.data())] {
      bool fine = true;
      for (int64_t i = 0; fine && i < c.g.batch; ++i)
        fine = FG_CUSOLVER(cusolverDnXgetrs, c.handle.solver, c.handle.params, kPlain, c.n, c.g.k, c.type, c.a(i), c.n,
                           c.pivots + i * c.depth, c.type, at(c.g.b, i, c.n * c.g.k, c.item), c.n, unused);
      return fine;
    });
  }
  bool cholesky() const {
    return each(
        [&](size_t* d, size_t* h) {
          return FG_CUSOLVER(cusolverDnXpotrf_bufferSize, handle.solver, handle.params, kLower, n, type, g.a, n, type,
                             d, h);
        },
        [](const Call& c, int64_t i, void* d, size_t d_bytes, void* h, size_t h_bytes) {
          return FG_CUSOLVER(cusolverDnXpotrf, c.handle.solver, c.handle.params, kLower, c.n, c.type, c.a(i), c.n,
                             c.type, d, d_bytes, h, h_bytes, c.info(i));
        });
  }
  bool qr() const {
    return each(
        [&](size_t* d, size_t* h) {
          return FG_CUSOLVER(cusolverDnXgeqrf_bufferSize, handle.solver, handle.params, m, n, type, g.a, m, type, g.b,
                             type, d, h);
        },
        [](const Call& c, int64_t i, void* d, size_t d_bytes, void* h, size_t h_bytes) {
          return FG_CUSOLVER(cusolverDnXgeqrf, c.handle.solver, c.handle.params, c.m, c.n, c.type, c.a(i), c.m, c.type,
                             at(c.g.b, i, c.depth, c.item), c.type, d, d_bytes, h, h_bytes, c.info(i));
        });
  }
  template <class T, class Size, class Run> bool reflected(const Size& size, const Run& run) const {
    if (m > INT_MAX) return set_error("cuSOLVER", "the matrix is too large"), false;
    const int rows = static_cast<int>(m), columns = static_cast<int>(n), k = static_cast<int>(g.k);
    int length = 0;
    return each(
        [&](size_t* d, size_t*) {
          const bool fine = good(
              size(handle.solver, rows, columns, k, static_cast<T*>(g.a), rows, static_cast<const T*>(g.b), &length),
              "cusolverDnXorgqr_bufferSize");
          *d = static_cast<size_t>(length) * item;
          return fine;
        },
        [run, rows, columns, k](const Call& c, int64_t i, void* d, size_t bytes, void*, size_t) {
          return good(run(c.handle.solver, rows, columns, k, static_cast<T*>(c.a(i)), rows,
                          static_cast<const T*>(at(c.g.b, i, c.g.k, c.item)), static_cast<T*>(d),
                          static_cast<int>(bytes / c.item), c.info(i)),
                      "cusolverDnXorgqr");
        });
  }
  bool eigh() const {
    const int vectors = g.vectors ? kVectors : kNoVectors, triangle = g.upper ? kUpper : kLower;
    if (g.batch > 1 && n <= kTogether && g.batch * n * n <= INT_MAX && functions().newer.handle) {
      return calls(
          1,
          [&](size_t* d, size_t* h) {
            return FG_CUSOLVER(cusolverDnXsyevBatched_bufferSize, handle.solver, handle.params, vectors, triangle, n,
                               type, g.a, n, real, g.b, type, d, h, g.batch);
          },
          [vectors, triangle](const Call& c, int64_t, void* d, size_t d_bytes, void* h, size_t h_bytes) {
            return FG_CUSOLVER(cusolverDnXsyevBatched, c.handle.solver, c.handle.params, vectors, triangle, c.n, c.type,
                               c.g.a, c.n, c.real, c.g.b, c.type, d, d_bytes, h, h_bytes, c.g.info, c.g.batch);
          });
    }
    return each(
        [&](size_t* d, size_t* h) {
          return FG_CUSOLVER(cusolverDnXsyevd_bufferSize, handle.solver, handle.params, vectors, triangle, n, type, g.a,
                             n, real, g.b, type, d, h);
        },
        [vectors, triangle](const Call& c, int64_t i, void* d, size_t d_bytes, void* h, size_t h_bytes) {
          return FG_CUSOLVER(cusolverDnXsyevd, c.handle.solver, c.handle.params, vectors, triangle, c.n, c.type, c.a(i),
                             c.n, c.real, at(c.g.b, i, c.n, c.part), c.type, d, d_bytes, h, h_bytes, c.info(i));
        });
  }
  bool svd() const {
    const signed char job = !g.vectors ? 'N' : g.k == m ? 'A' : 'S';
    return each(
        [&](size_t* d, size_t* h) {
          return FG_CUSOLVER(cusolverDnXgesvd_bufferSize, handle.solver, handle.params, job, job, m, n, type, g.a, m,
                             real, g.b, type, g.c, m, type, g.d, n, type, d, h);
        },
        [job](const Call& c, int64_t i, void* d, size_t d_bytes, void* h, size_t h_bytes) {
          return FG_CUSOLVER(cusolverDnXgesvd, c.handle.solver, c.handle.params, job, job, c.m, c.n, c.type, c.a(i),
                             c.m, c.real, at(c.g.b, i, c.n, c.part), c.type, at(c.g.c, i, c.m * c.g.k, c.item), c.m,
                             c.type, at(c.g.d, i, c.n * c.n, c.item), c.n, c.type, d, d_bytes, h, h_bytes, c.info(i));
        });
  }
  template <class T, class Size, class Run> bool jacobi(const Size& size, const Run& run) const {
    const int rows = static_cast<int>(m), columns = static_cast<int>(n), count = static_cast<int>(g.batch);
    const int vectors = g.vectors ? kVectors : kNoVectors;
    int length = 0;
    auto as = [](void* data) { return static_cast<T*>(data); };
    return calls(
        1,
        [&](size_t* d, size_t*) {
          const bool fine = good(size(handle.solver, vectors, rows, columns, as(g.a), rows, as(g.b), as(g.c), rows,
                                      as(g.d), columns, &length, handle.jacobi, count),
                                 "cusolverDnXgesvdjBatched_bufferSize");
          *d = static_cast<size_t>(length) * item;
          return fine;
        },
        [=](const Call& c, int64_t, void* d, size_t bytes, void*, size_t) {
          return good(
              run(c.handle.solver, vectors, rows, columns, as(c.g.a), rows, as(c.g.b), as(c.g.c), rows, as(c.g.d),
                  columns, as(d), static_cast<int>(bytes / c.item), c.g.info, c.handle.jacobi, count),
              "cusolverDnXgesvdjBatched");
        });
  }
  bool eig() const {
    if (!functions().newer.handle) return set_error("eig", functions().newer.why), false;
    const int vectors = g.vectors ? kVectors : kNoVectors;
    return each(
        [&](size_t* d, size_t* h) {
          return FG_CUSOLVER(cusolverDnXgeev_bufferSize, handle.solver, handle.params, kNoVectors, vectors, n, type,
                             g.a, n, type, g.b, type, nullptr, n, type, g.c, n, type, d, h);
        },
        [vectors](const Call& c, int64_t i, void* d, size_t d_bytes, void* h, size_t h_bytes) {
          return FG_CUSOLVER(cusolverDnXgeev, c.handle.solver, c.handle.params, kNoVectors, vectors, c.n, c.type,
                             c.a(i), c.n, c.type, at(c.g.b, i, c.n, c.item), c.type, nullptr, c.n, c.type,
                             at(c.g.c, i, c.n * c.n, c.item), c.n, c.type, d, d_bytes, h, h_bytes, c.info(i));
        });
  }
};

bool run(const LinalgArgs& g, Handle& handle, int64_t* pivots, bool jacobi) {
  std::lock_guard lock(handle.mutex);
  const LibraryCall library;
  if (!handle.params && !FG_CUSOLVER(cusolverDnCreateParams, &handle.params)) return false;
  auto create = [&] { return functions().cusolverDnCreate(&handle.solver); };
  if (!handle.solver && !good(with_memory(g.stream.device, kNoMemory, create), "cusolverDnCreate")) return false;
  if (!FG_CUSOLVER(cusolverDnSetStream, handle.solver, g.stream.handle)) return false;
  if (jacobi && !handle.jacobi && !FG_CUSOLVER(cusolverDnCreateGesvdjInfo, &handle.jacobi)) return false;
  const Call call(g, handle, pivots);
  const Functions& f = functions();
  if (jacobi)
    return g.dtype == DType::Float64
               ? call.jacobi<double>(f.cusolverDnDgesvdjBatched_bufferSize, f.cusolverDnDgesvdjBatched)
               : call.jacobi<float>(f.cusolverDnSgesvdjBatched_bufferSize, f.cusolverDnSgesvdjBatched);
  switch (g.kind) {
    case Linalg::lu: return call.lu();
    case Linalg::solve: return call.solve();
    case Linalg::cholesky: return call.cholesky();
    case Linalg::qr: return call.qr();
    case Linalg::reflected:
      return g.dtype == DType::Float64 ? call.reflected<double>(f.cusolverDnDorgqr_bufferSize, f.cusolverDnDorgqr)
                                       : call.reflected<float>(f.cusolverDnSorgqr_bufferSize, f.cusolverDnSorgqr);
    case Linalg::eigh: return call.eigh();
    case Linalg::svd: return call.svd();
    case Linalg::eig: return call.eig();
    default: return set_error("cuSOLVER", "no such factorisation"), false;
  }
}

bool copied(void* to, const void* from, size_t bytes, CopyKind kind, Stream stream) {
  return !fg_get_backend(kBackendAbi)->copy_bytes(to, from, bytes, kind, stream);
}

// Matrix i of a batch once more, by gesvd, from `a` as it was.
bool redo(const LinalgArgs& g, Handle& handle, void* a, int64_t i) {
  const size_t item = g.dtype == DType::Float64 ? 8 : 4;
  LinalgArgs one = g;
  one.batch = 1, one.k = g.m;
  one.a = Call::at(a, i, g.m * g.n, item), one.b = Call::at(g.b, i, g.n, item);
  one.info = g.info + i;
  if (g.vectors) one.c = Call::at(g.c, i, g.m * g.m, item), one.d = Call::at(g.d, i, g.n * g.n, item);
  if (!run(one, handle, nullptr, false)) return false;
  if (!g.vectors) return true;
  // It is V^T that gesvd finds. On the host it is turned without a kernel: this is rare and small.
  const size_t n = static_cast<size_t>(g.n), bytes = n * n * item;
  char found[kMostOfJacobi * kMostOfJacobi * 8], turned[sizeof found];
  if (!copied(found, one.d, bytes, CopyKind::to_host, g.stream)) return false;
  for (size_t e = 0; e < n * n; ++e) std::memcpy(turned + (e % n * n + e / n) * item, found + e * item, item);
  return copied(one.d, turned, bytes, CopyKind::to_device, g.stream);
}

}  // namespace

const char* cusolver_missing() {
  const OpenLibrary& opened = functions().opened;
  return opened.handle ? nullptr : opened.why;
}

bool cusolver_run(const LinalgArgs& g, int64_t* pivots) {
  if (const char* why = cusolver_missing()) {
    set_error("this needs cuSOLVER", why);
    return false;
  }
  use_device(g.stream.device);
  return run(g, handle_of(g.stream), pivots, false);
}

bool cusolver_has_jacobi(const LinalgArgs& g) {
  return g.m <= kMostOfJacobi && g.n <= kMostOfJacobi && g.batch * g.m * g.m <= INT_MAX && !cusolver_missing();
}
bool cusolver_jacobi(const LinalgArgs& g) {
  use_device(g.stream.device);
  Handle& handle = handle_of(g.stream);
  if (recording()) return run(g, handle, nullptr, true);  // info cannot be read, and whoever called finds that out
  const size_t matrix = static_cast<size_t>(g.m * g.n) * (g.dtype == DType::Float64 ? 8 : 4);
  const size_t batch = static_cast<size_t>(g.batch);
  const Workspace kept(batch * matrix, g.stream);  // the call uses the matrices up
  const HostWorkspace host(batch * sizeof(int32_t));
  if (!kept.ok() || !host.ok() || !copied(kept.data(), g.a, batch * matrix, CopyKind::within, g.stream) ||
      !run(g, handle, nullptr, true) ||
      !copied(host.data(), g.info, batch * sizeof(int32_t), CopyKind::to_host, g.stream))
    return false;
  const auto* info = static_cast<const int32_t*>(host.data());
  for (int64_t i = 0; i < g.batch; ++i)
    if (info[i] > 0 && !redo(g, handle, kept.data(), i)) return false;
  return true;
}

}  // namespace fg::cuda
