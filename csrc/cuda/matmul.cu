// Matrix products: which kernel has which, and those of our own without tensor cores: any strides, any dtype, batched.
//   gemm_kernel  a tile of C per block, tiles of A and B through shared memory, a small square of C in registers
//   dot_kernel   a group of threads per element of C, for matrix-vector, very skinny and long-k products
// Large floating products go to cuBLAS when it is found at run time (cublas.h); it is never needed. Half types, and
// float32 where tf32 is allowed, go to tensor cores otherwise (gemm_tensor.cu, large ones on sm_90a gemm_hopper.cu).
#include "core/cuda_table.h"
#include "cuda/cublas.h"
#include "cuda/gemm.cuh"
#include "cuda/group.cuh"
#include "cuda/tables.h"

#include <atomic>

namespace fg::cuda {
namespace {

constexpr int64_t kThin = 4;

// Tile shapes: C is kM x kN per block, kTm x kTn per thread.
template <int kM_, int kN_, int kK_, int kTm_, int kTn_> struct Tile {
  static constexpr int kM = kM_, kN = kN_, kK = kK_, kTm = kTm_, kTn = kTn_;
  static_assert(kM / kTm * (kN / kTn) == kThreads);
};
using SmallTile = Tile<64, 64, 16, 4, 4>;
using LargeTile = Tile<128, 128, 8, 8, 8>;

template <class S, class T> __global__ void __launch_bounds__(kThreads) gemm_kernel(const __grid_constant__ Gemm<S> g) {
  using A = typename Gemm<S>::A;
  constexpr int kPadM = T::kM + 4, kPadN = T::kN + 4;
  FG_SHARED(A, tile_a, T::kK * kPadM);
  FG_SHARED(A, tile_b, T::kK * kPadN);
  int64_t tiles_n = (g.n + T::kN - 1) / T::kN;
  int64_t i0 = blockIdx.x / tiles_n * T::kM, j0 = blockIdx.x % tiles_n * T::kN;
  int t = threadIdx.x, ti = t / (T::kN / T::kTn), tj = t % (T::kN / T::kTn);
  // Neighbouring threads read neighbours in memory, whichever way the matrix lies.
  bool a_by_k = g.a_cs == 1, b_by_k = g.b_rs == 1 && g.b_cs != 1;
  for (int64_t batch = blockIdx.y; batch < g.batch; batch += gridDim.y) {
    const S* a = g.a + batch * g.a_bs;
    const S* b = g.b + batch * g.b_bs;
    A sum[T::kTm][T::kTn] = {};
    for (int64_t k0 = 0; k0 < g.k; k0 += T::kK) {
      FG_UNROLL
      for (int e = 0; e < T::kM * T::kK / kThreads; ++e) {
        int x = t + e * kThreads, i = a_by_k ? x / T::kK : x % T::kM, k = a_by_k ? x % T::kK : x / T::kM;
        bool inside = i0 + i < g.m && k0 + k < g.k;
        tile_a[k * kPadM + i] = inside ? convert<A>(a[(i0 + i) * g.a_rs + (k0 + k) * g.a_cs]) : A(0);
      }
      FG_UNROLL
      for (int e = 0; e < T::kN * T::kK / kThreads; ++e) {
        int x = t + e * kThreads, j = b_by_k ? x / T::kK : x % T::kN, k = b_by_k ? x % T::kK : x / T::kN;
        bool inside = j0 + j < g.n && k0 + k < g.k;
        tile_b[k * kPadN + j] = inside ? convert<A>(b[(k0 + k) * g.b_rs + (j0 + j) * g.b_cs]) : A(0);
      }
      __syncthreads();
      FG_UNROLL
      for (int k = 0; k < T::kK; ++k) {
        A x[T::kTm], y[T::kTn];
        FG_UNROLL
        for (int i = 0; i < T::kTm; ++i) x[i] = tile_a[k * kPadM + ti * T::kTm + i];
        FG_UNROLL
        for (int j = 0; j < T::kTn; ++j) y[j] = tile_b[k * kPadN + tj * T::kTn + j];
        FG_UNROLL
        for (int i = 0; i < T::kTm; ++i) {
          FG_UNROLL
          for (int j = 0; j < T::kTn; ++j) sum[i][j] = multiply_add(x[i], y[j], sum[i][j]);
        }
      }
      __syncthreads();
    }
    FG_UNROLL
    for (int i = 0; i < T::kTm; ++i) {
      FG_UNROLL
      for (int j = 0; j < T::kTn; ++j) {
        int64_t row = i0 + ti * T::kTm + i, column = j0 + tj * T::kTn + j;
        if (row < g.m && column < g.n) g.write(batch, row, column, sum[i][j]);
      }
    }
  }
}

// A line (group.cuh) is the k products of one element of C. by_column: C is walked along its columns.
template <class S>
__global__ void __launch_bounds__(kThreads) dot_kernel(const __grid_constant__ Gemm<S> g, Lines lines, bool by_column) {
  using A = typename Gemm<S>::A;
  FG_SHARED(A, shared, kThreads);
  Group group = Group::of(lines);
  int64_t line = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index;
  bool active = line < lines.count;
  int64_t batch = line / (g.m * g.n), rest = line % (g.m * g.n);
  int64_t i = by_column ? rest % g.m : rest / g.n, j = by_column ? rest / g.m : rest % g.n;
  A sum = 0;
  if (active) {
    const S* a = g.a + batch * g.a_bs + i * g.a_rs;
    const S* b = g.b + batch * g.b_bs + j * g.b_cs;
    FG_NO_UNROLL
    for (int64_t k = group.lane; k < g.k; k += lines.lanes) {
      sum = multiply_add(convert<A>(a[k * g.a_cs]), convert<A>(b[k * g.b_rs]), sum);
    }
  }
  sum = group_reduce(lines, group, sum, shared, [](A x, A y) { return multiply_add(A(1), x, y); });
  if (active && group.lane == 0) g.write(batch, i, j, sum);
}

template <class S> void gemm_as(const GemmArgs& args) {
  using A = typename Gemm<S>::A;
  const Gemm<S> g = Gemm<S>::of(args);
  int64_t least = g.m < g.n ? g.m : g.n, elements = g.m * g.n * g.batch;
  if (least <= kThin || (elements <= 4096 && g.k >= 512)) {
    bool vector_is_a = g.m <= g.n;  // the other operand is the large one
    bool k_contiguous = vector_is_a ? g.b_rs == 1 : g.a_cs == 1;
    Lines lines = Lines::of(1, g.k, k_contiguous ? 1 : elements);
    lines.count = elements;
    FG_LAUNCH(dot_kernel<S>, static_cast<unsigned>(lines.blocks()), kThreads, 0, args.stream, g, lines, !vector_is_a);
    return;
  }
  // Both kinds of tile give the same sums: every element is added up in the order of k.
  bool large = (std::is_same_v<A, float>) &&
               ceil_div(g.m, 128) * ceil_div(g.n, 128) * g.batch >= 2 * multiprocessors(args.stream.device);
  int64_t m = large ? LargeTile::kM : SmallTile::kM, n = large ? LargeTile::kN : SmallTile::kN;
  dim3 grid(static_cast<unsigned>(ceil_div(g.m, m) * ceil_div(g.n, n)),
            static_cast<unsigned>(g.batch < 32768 ? g.batch : 32768));
  if constexpr (std::is_same_v<A, float>) {
    if (large) {
      FG_LAUNCH((gemm_kernel<S, LargeTile>), grid, kThreads, 0, args.stream, g);
      return;
    }
  }
  FG_LAUNCH((gemm_kernel<S, SmallTile>), grid, kThreads, 0, args.stream, g);
}

// c <- bias, so that cuBLAS can add it as its C.
template <class S> __global__ void __launch_bounds__(kThreads) spread_bias_kernel(const __grid_constant__ Gemm<S> g) {
  int64_t n = g.m * g.n * g.batch;
  for (int64_t x = global_thread(); x < n; x += global_threads()) {
    int64_t j = x % g.n, i = x / g.n % g.m, batch = x / g.n / g.m;
    *g.place(batch, i, j) = g.bias[i * g.bias_rs + j * g.bias_cs];
  }
}
template <class S> void spread_bias(const GemmArgs& args) {
  FG_LAUNCH_FREE(spread_bias_kernel<S>, grid_for(args.m * args.n * args.batch, args.stream), kThreads, 0, args.stream,
                 Gemm<S>::of(args));
}

bool try_library(const GemmArgs& args) {
  constexpr int64_t kLeastWork = 32 * 32 * 32;
  if (!is_float(args.dtype) || args.m * args.n * args.k * args.batch < kLeastWork || !cublas_accepts(args))
    return false;
  if (!args.bias) return cublas_gemm(args);
  switch (item_size(args.dtype)) {
    case 2: spread_bias<uint16_t>(args); break;
    case 4: spread_bias<int32_t>(args); break;
    default: spread_bias<int64_t>(args);
  }
  GemmArgs with = args;
  with.beta = 1;
  return cublas_gemm(with);
}

std::atomic<bool> tf32_switch{false};
thread_local int in_full = 0;

// The rule: cuBLAS has what it accepts from kLeastWork on (try_library), because it knows the device better than we do.
// Of the rest, tensor cores have half types and tf32, but for products so thin that every number of the larger operand
// is used up to kThin times (reading it is all of the work, which dot_kernel does in whole lines) and for a k that
// fills less than half of one step. Reasons, not measurements: none of this has been timed on a GPU yet.
bool for_tensor_cores(const GemmArgs& args) {
  const bool type =
      args.dtype == DType::Float16 || args.dtype == DType::BFloat16 || (args.dtype == DType::Float32 && tf32_allowed());
  return type && args.m > kThin && args.n > kThin && args.k >= 8;
}

void gemm(const GemmArgs& args) {
  if (args.m == 0 || args.n == 0 || args.batch == 0) return;
  if (try_library(args)) return;
  if (for_tensor_cores(args) && (warpgroup_gemm(args) || tensor_gemm(args))) return;
  switch (args.dtype) {
    case DType::UInt8: return gemm_as<uint8_t>(args);
    case DType::Int8: return gemm_as<int8_t>(args);
    case DType::Int16: return gemm_as<int16_t>(args);
    case DType::Int32: return gemm_as<int32_t>(args);
    case DType::Int64: return gemm_as<int64_t>(args);
    case DType::Float16: return gemm_as<Half>(args);
    case DType::BFloat16: return gemm_as<BHalf>(args);
    case DType::Float32: return gemm_as<float>(args);
    case DType::Float64: return gemm_as<double>(args);
    default: set_error("matmul", "dtype not supported");
  }
}

}  // namespace

bool tf32_allowed() { return !in_full && tf32_switch.load(std::memory_order_relaxed); }
void exact_gemm(const GemmArgs& args) {
  ++in_full;
  gemm(args);
  --in_full;
}

void fill_matmul(Backend& table) { table.gemm = gemm; }
void fill_matmul_switch(CudaTable& table) {
  table.allow_tf32 = [](int allowed) { tf32_switch = allowed != 0; };
}
}  // namespace fg::cuda
