// Large matrix products of float16 and bfloat16 on sm_90a: wgmma with both operands in shared memory, brought there by
// the copy engine (hopper.cuh). Compiled and run in the emulator; not yet run on a GPU.
//
// A block is three warpgroups that have different work. One thread of the first starts copies of tiles, 128 rows of A
// and kN columns of B, 64 along k, into a ring of stages. The other two have half of the rows each and keep the tensor
// cores busy. Every stage has two barriers: `full` when its bytes are there, `empty` when all eight warps have read it.
// A block takes one tile of C after another, as many blocks as there are multiprocessors; copies for the next one begin
// while the last one is written.
//
// An operand lies as its matrix does in memory: lines along k, or lines across it, which wgmma reads as well. What the
// copy engine cannot take (lines off 16 bytes, no unit stride, overlapping rows) is left to gemm_tensor.cu. Start
// reading at warpgroup_kernel.
#include "cuda/gemm.cuh"
#include "cuda/graph.h"
#include "cuda/hopper.cuh"

#include <atomic>
#include <climits>
#include <cstdlib>

namespace fg::cuda {
namespace {

constexpr int kM = 128, kDeep = 64;  // rows of a tile of C; a stage along k: one line of 128 bytes
constexpr int kWarpgroup = 128, kBlock = 3 * kWarpgroup;

template <int kN> constexpr int kStageBytes = (kM + kN) * kDeep * 2;
template <int kN> constexpr int kStages = (192 << 10) / kStageBytes<kN>;
// A pattern more, because the first stage begins at a multiple of it.
template <int kN> constexpr int kSharedBytes = kStages<kN> * kStageBytes<kN> + kPattern;

// A thread's registers: as many as it is launched with, then what it needs. What the first warpgroup gives back must be
// enough for the others, which wait until it is there: without end if it was launched with fewer.
constexpr int kOfCopies = 40, kOfProducts = 232;
constexpr int kRegisters = (kOfCopies + 2 * kOfProducts) / 3;
static_assert(kRegisters * kBlock == (kOfCopies + 2 * kOfProducts) * kWarpgroup && kRegisters * kBlock <= 64 << 10);

// How the dimensions of an operand's tensor map are ordered behind the one with unit stride.
struct Dimensions {
  int matrix;           // 1, or 0: there is one for the whole batch
  bool batch_is_inner;  // matrices lie between the lines of each other
};
struct Plan {
  Dimensions a, b;
  int tiles_m, tiles_n, tiles;  // all of them: of every matrix
  int deep;                     // stages along k
  bool fours;                   // neighbours of C can be written at once
};

#ifdef FG_WARPGROUPS

constexpr int kStep = 16;      // of the tensor cores along k
constexpr int kConsumers = 8;  // warps
constexpr int kChunk = 64;     // rows or columns in a line across k, and rows of a consumer
constexpr int kChunkBytes = kChunk * kDeep * 2;

// The stage of the ring that is next, and how often it has been gone around.
template <int kStages_> struct Ring {
  int stage = 0;
  uint32_t parity = 0;
  FG_DEVICE void next() {
    if (++stage == kStages_) stage = 0, parity ^= 1;
  }
};

// kRows rows of A, or columns of B, from `row` on; 64 along k.
template <bool kAlongK, int kRows>
FG_DEVICE void copy_operand(uint32_t to, const CUtensorMap& map, Barrier* full, Dimensions d, int row, int k,
                            int matrix) {
  matrix *= d.matrix;
  FG_UNROLL
  for (int first = 0; first < kRows; first += kAlongK ? kRows : kChunk) {
    const int along = kAlongK ? k : row + first, line = kAlongK ? row : k;
    copy_tile(to + first / kChunk * kChunkBytes, map, full, along, d.batch_is_inner ? matrix : line,
              d.batch_is_inner ? line : matrix);
  }
}
// An operand of one step from `address` on. Every kChunk rows have kChunkBytes, whichever way they lie.
template <bool kAlongK> FG_DEVICE uint64_t operand(uint32_t address, int step) {
  constexpr int kBytes = kAlongK ? kStep * 2 : kStep * kLine;
  return descriptor(address + step * kBytes, kAlongK ? 16 : kChunkBytes, kPattern);
}

// Writes this lane's sums, from (row, column) on: two of every eight columns, and those eight rows below. The loops are
// as long as there are registers, so that what is the same in all of them is taken out by hand. kPlain: nothing is
// added; otherwise it is either what was in C or the bias.
template <bool kPlain, bool kFours, class S, int kCount>
FG_DEVICE void write_sums(const Gemm<S>& g, const float (&sum)[kCount], int64_t matrix, int row, int column) {
  const bool old = g.beta != 0;
  const float factor = old ? g.beta : 1.0f;
  const int step = old ? 1 : static_cast<int>(g.bias_cs);
  FG_UNROLL
  for (int half = 0; half < 2; ++half, row += 8) {
    const int left = row < g.m ? static_cast<int>(g.n) - column : 0;  // columns that there are
    S* const line = g.place(matrix, row, column);
    const S* const more = kPlain || old ? line : g.bias + row * g.bias_rs + column * g.bias_cs;
    const auto finish = [&](int j, float x) {
      x *= g.alpha;
      if constexpr (!kPlain) {
        if (j < left) x += factor * convert<float>(more[int64_t{j} * step]);
      }
      return convert<S>(x);
    };
    if constexpr (kFours) {
      // Neighbouring lanes swap, so that each has four in a row: a warp then writes 32 bytes of a row together. The
      // width is a multiple of four.
      const auto two = [&](int j, int at) {
        return uint32_t(finish(j, sum[at]).bits) | uint32_t(finish(j + 1, sum[at + 1]).bits) << 16;
      };
      const bool second = threadIdx.x % 2;
      const int first = second ? 6 : 0;
      FG_UNROLL
      for (int j = 0; j < kCount * 2; j += 16) {
        const int at = j / 2 + half * 2;
        const uint32_t x = two(j, at), y = two(j + 8, at + 4);
        const uint32_t other = __shfl_xor_sync(~0u, second ? x : y, 1);
        if (j < left - first) {
          *reinterpret_cast<Two<uint32_t>*>(line + first + j) =
              second ? Two<uint32_t>{other, y} : Two<uint32_t>{x, other};
        }
      }
    } else {
      FG_UNROLL
      for (int j = 0; j < kCount * 2; j += 8) {
        FG_UNROLL
        for (int next = 0; next < 2; ++next) {
          if (j + next < left) line[j + next] = finish(j + next, sum[j / 2 + half * 2 + next]);
        }
      }
    }
  }
}

#endif

template <class S, int kN, bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(kBlock, 1)
    warpgroup_kernel(const __grid_constant__ CUtensorMap map_a, const __grid_constant__ CUtensorMap map_b,
                     const __grid_constant__ Gemm<S> g, const __grid_constant__ Plan plan) {
#ifdef FG_WARPGROUPS
  FG_SHARED(Barrier, full, kStages<kN>);
  FG_SHARED(Barrier, empty, kStages<kN>);
  FG_DYNAMIC_SHARED(unsigned char, memory);
  const uint32_t stages = (shared_address(memory) + kPattern - 1) / kPattern * kPattern;
  constexpr int kBytesOfA = kM * kDeep * 2;
  const int group = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kWarpgroup, 0);  // now known to be the warp's
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (threadIdx.x == 0) {
    FG_UNROLL
    for (int i = 0; i < kStages<kN>; ++i) init_barrier(full + i, 1), init_barrier(empty + i, kConsumers);
    fence_barriers();
  }
  __syncthreads();
  const int tiles_of_matrix = plan.tiles_m * plan.tiles_n;
  Ring<kStages<kN>> ring;

  if (group == 0) {
    give_registers<kOfCopies>();
    if (threadIdx.x == 0) {
      fetch_map(map_a), fetch_map(map_b);
      FG_NO_UNROLL
      for (int tile = static_cast<int>(blockIdx.x); tile < plan.tiles; tile += static_cast<int>(gridDim.x)) {
        const int matrix = tile / tiles_of_matrix;
        const Place place = place_of_tile(tile % tiles_of_matrix, plan.tiles_m, plan.tiles_n);
        FG_NO_UNROLL
        for (int deep = 0; deep < plan.deep; ++deep, ring.next()) {
          wait(empty + ring.stage, ring.parity ^ 1);
          Barrier* const bytes = full + ring.stage;
          const uint32_t to = stages + ring.stage * kStageBytes<kN>;
          arrive_expecting(bytes, kStageBytes<kN>);
          copy_operand<kAAlongK, kM>(to, map_a, bytes, plan.a, place.i * kM, deep * kDeep, matrix);
          copy_operand<kBAlongK, kN>(to + kBytesOfA, map_b, bytes, plan.b, place.j * kN, deep * kDeep, matrix);
        }
      }
    }
  } else {
    take_registers<kOfProducts>();
    FG_NO_UNROLL
    for (int tile = static_cast<int>(blockIdx.x); tile < plan.tiles; tile += static_cast<int>(gridDim.x)) {
      float sum[kN / 2];
      int before = 0;
      FG_NO_UNROLL
      for (int deep = 0; deep < plan.deep; ++deep, ring.next()) {
        wait(full + ring.stage, ring.parity);
        const uint32_t a = stages + ring.stage * kStageBytes<kN> + (group - 1) * kChunkBytes;
        const uint32_t b = stages + ring.stage * kStageBytes<kN> + kBytesOfA;
        fence_products();
        FG_UNROLL
        for (int step = 0; step < kDeep / kStep; ++step) {
          multiply_group<S, !kAAlongK, !kBAlongK>(sum, operand<kAAlongK>(a, step), operand<kBAlongK>(b, step),
                                                  deep > 0 || step > 0);
        }
        commit_products();
        wait_for_products<1>(sum);  // the stage before has been read
        if (deep > 0 && lane == 0) arrive(empty + before);
        before = ring.stage;
      }
      wait_for_products<0>(sum);
      if (lane == 0) arrive(empty + before);

      const int64_t matrix = tile / tiles_of_matrix;
      const Place place = place_of_tile(tile % tiles_of_matrix, plan.tiles_m, plan.tiles_n);
      const int warp = static_cast<int>(threadIdx.x) / 32 % 4;
      const int row = place.i * kM + (group - 1) * kChunk + warp * 16 + lane / 4;
      const int column = place.j * kN + lane % 4 * 2;
      const bool plain = g.beta == 0 && !g.bias;
      if (plan.fours && plain) write_sums<true, true>(g, sum, matrix, row, column);
      else if (plan.fours) write_sums<false, true>(g, sum, matrix, row, column);
      else if (plain) write_sums<true, false>(g, sum, matrix, row, column);
      else write_sums<false, false>(g, sum, matrix, row, column);
    }
  }
#endif
}

// A device that has wgmma cannot use it after all: another kernel takes the product, and is right. Whoever checks the
// device or the build wants to know, and sets FASTGRAD_REQUIRE_WGMMA.
bool refused(const char* why) {
  if (std::getenv("FASTGRAD_REQUIRE_WGMMA")) set_error("matmul", why);
  return false;
}

// The driver's own functions want a context in this thread. The runtime makes it current when a device is chosen, but
// not for the device that a thread begins with, which use_device() leaves as it is.
bool bind_device(int device) {
  static thread_local int bound = -1;
  if (bound == device) return use_device(device), true;
  if (!check(cudaSetDevice(device), "set device")) return false;
  bound = device;
  return true;
}

using Encode = decltype(&cuTensorMapEncodeTiled);
// The driver's, which the library is not linked with; null if there is none.
Encode encode() {
  static const Encode found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
#if defined(FG_CUDA_EMULATE) || CUDART_VERSION >= 12050
    constexpr unsigned kSince = 12000;
    const cudaError_t code =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, kSince, cudaEnableDefault, &result);
#else
    const cudaError_t code = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &result);
#endif
    const bool ok = code == cudaSuccess && result == cudaDriverEntryPointSuccess;
    if (!ok) cudaGetLastError();
    return ok ? reinterpret_cast<Encode>(function) : nullptr;
  }();
  return found;
}

// An operand, whose rows are the columns of B, as the copy engine takes it.
struct Source {
  CUtensorMap map;
  Dimensions dimensions;
  bool along_k;

  // False: not one for it. The driver wants each dimension to lie around the ones before, so the smaller of the two
  // strides comes first. tile: how many rows are copied together if they go along k.
  template <class S>
  bool set(const S* data, int64_t rows, int64_t k, int64_t batch, int64_t row_stride, int64_t k_stride,
           int64_t batch_stride, int tile) {
    along_k = k_stride == 1;
    if (!along_k && row_stride != 1) return false;
    const int64_t unit = along_k ? k : rows, lines = along_k ? rows : k, line = along_k ? row_stride : k_stride;
    const int64_t matrices = batch_stride == 0 ? 1 : batch;
    const int64_t apart = matrices == 1 ? lines * line : batch_stride;
    const bool inner = matrices > 1 && apart < line;
    dimensions = {matrices > 1, inner};
    const auto item = static_cast<int64_t>(sizeof(S));
    const int64_t near = inner ? apart : line, far = inner ? line : apart, between = inner ? matrices : lines;
    constexpr int64_t kMost = int64_t{1} << 40;
    if (near < unit || far < near * between || far % near || near * item % 16 || far >= kMost / item ||
        reinterpret_cast<uintptr_t>(data) % 16)
      return false;
    const auto u64 = [](int64_t x) { return static_cast<cuuint64_t>(x); };
    const cuuint32_t high = static_cast<cuuint32_t>(along_k ? tile : kDeep), ones[] = {1, 1, 1};
    const cuuint64_t sizes[] = {u64(unit), u64(between), u64(inner ? lines : matrices)};
    const cuuint64_t strides[] = {u64(near * item), u64(far * item)};
    const cuuint32_t box[] = {kLine / 2, inner ? 1 : high, inner ? high : 1};
    const CUtensorMapDataType type =
        std::is_same_v<S, Half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    const CUresult code =
        encode()(&map, type, 3, const_cast<S*>(data), sizes, strides, box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
                 CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return code == CUDA_SUCCESS || refused("the driver makes no tensor map of an operand");
  }
};

// Whether the kernel has code for this device, and may use the shared memory that it needs. A library can be built
// without sm_90a: the kernel is empty then, and has a few registers. With less than kRegisters it would hang.
bool prepare(const void* kernel, int bytes) {
  const RelaxedCapture relaxed;
#ifndef FG_CUDA_EMULATE
  cudaFuncAttributes found;
  if (cudaFuncGetAttributes(&found, kernel) != cudaSuccess) return cudaGetLastError(), false;
  if (found.numRegs < kRegisters) return false;
#endif
  if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes) == cudaSuccess) return true;
  return cudaGetLastError(), false;
}

#ifdef FG_CUDA_EMULATE
int processors_of(Stream) { return 4; }  // so that small products have every kind of tile
#else
int processors_of(Stream stream) { return multiprocessors(stream.device); }
#endif

template <class S, int kN, bool kAAlongK, bool kBAlongK>
bool run_kernel(const Source& a, const Source& b, const Gemm<S>& g, const Plan& plan, Stream stream) {
  constexpr int kMostDevices = 64;
  static std::atomic<signed char> ready[kMostDevices];  // 0: not asked yet
  if (stream.device < 0 || stream.device >= kMostDevices) return false;
  std::atomic<signed char>& here = ready[stream.device];
  if (!here) {
    const auto kernel = &warpgroup_kernel<S, kN, kAAlongK, kBAlongK>;
    here = prepare(reinterpret_cast<const void*>(kernel), kSharedBytes<kN>) ? 1 : -1;
  }
  if (here < 0) return refused("the kernel has no code for this device, or not its shared memory");
  const int processors = processors_of(stream);
  const unsigned grid = static_cast<unsigned>(plan.tiles < processors ? plan.tiles : processors);
  FG_LAUNCH((warpgroup_kernel<S, kN, kAAlongK, kBAlongK>), grid, kBlock, kSharedBytes<kN>, stream, a.map, b.map, g,
            plan);
  return true;
}

template <class S, int kN> bool run_tiles(const Gemm<S>& g, Stream stream) {
  Source a, b;
  if (!a.set(g.a, g.m, g.k, g.batch, g.a_rs, g.a_cs, g.a_bs, kM) ||
      !b.set(g.b, g.n, g.k, g.batch, g.b_cs, g.b_rs, g.b_bs, kN))
    return false;
  const int64_t tiles_m = ceil_div(g.m, kM), tiles_n = ceil_div(g.n, kN);
  const Plan plan{a.dimensions,
                  b.dimensions,
                  static_cast<int>(tiles_m),
                  static_cast<int>(tiles_n),
                  static_cast<int>(tiles_m * tiles_n * g.batch),
                  static_cast<int>(ceil_div(g.k, kDeep)),
                  g.neighbours(4) && g.n % 4 == 0};
  if (a.along_k) {
    return b.along_k ? run_kernel<S, kN, true, true>(a, b, g, plan, stream)
                     : run_kernel<S, kN, true, false>(a, b, g, plan, stream);
  }
  return b.along_k ? run_kernel<S, kN, false, true>(a, b, g, plan, stream)
                   : run_kernel<S, kN, false, false>(a, b, g, plan, stream);
}

// Tiles are large: with less than one for every second multiprocessor, those of gemm_tensor.cu (which also cuts along
// k) do better. Wide ones need fewer bytes for each product; they are taken if every multiprocessor has one, and no
// more than an eighth is lost beyond the last column. Reasons, not measurements.
template <class S> bool run_product(const GemmArgs& args) {
  constexpr int kWide = 256, kNarrow = 128;
  const Gemm<S> g = Gemm<S>::of(args);
  if (g.bias && (g.beta != 0 || g.bias_cs != static_cast<int>(g.bias_cs))) return false;
  const int64_t processors = processors_of(args.stream), rows = ceil_div(g.m, kM) * g.batch;
  const int64_t wide = ceil_div(g.n, kWide), narrow = ceil_div(g.n, kNarrow);
  if (rows * narrow * 2 < processors) return false;
  if (rows * wide >= processors && wide * kWide * 8 <= narrow * kNarrow * 9) return run_tiles<S, kWide>(g, args.stream);
  return run_tiles<S, kNarrow>(g, args.stream);
}

}  // namespace

bool warpgroup_gemm(const GemmArgs& args) {
  constexpr int64_t kMost = INT_MAX - 4096;  // indices within a matrix, and of tiles, are ints
  if (args.dtype != DType::Float16 && args.dtype != DType::BFloat16) return false;
  if (args.m <= kM / 2 || args.n <= 64 || args.k < kDeep || args.m > kMost || args.n > kMost || args.k > kMost)
    return false;
  if (args.batch > INT_MAX || ceil_div(args.m, kM) * ceil_div(args.n, 128) > INT_MAX / 256 / args.batch) return false;
  if (capability(args.stream.device) != 90 || !bind_device(args.stream.device)) return false;
  if (!encode()) return refused("the driver has no cuTensorMapEncodeTiled");
  return args.dtype == DType::Float16 ? run_product<Half>(args) : run_product<BHalf>(args);
}

}  // namespace fg::cuda
