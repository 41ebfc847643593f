// Matrix products on tensor cores: float16, bfloat16, and float32 rounded to tf32, with float sums (mma.cuh).
//
// A block has a tile of C and walks along k. Tiles of A and B, 64 bytes along k, lie in a ring of stages in shared
// memory: while the tensor cores work on one, copies into the next are under way (async_copy.cuh). A tile lies as its
// matrix does in memory (Lay), so that pieces of 16 bytes are copied as they are; the fragments' loads turn what has to
// be turned. Pieces are permuted within their line, so that the loads of a warp hit different banks. An operand without
// unit stride, or whose lines begin off 16 bytes, is copied number by number (Side::fast is false).
//
// Few tiles with a long k are cut along k: blocks write float sums, which are added up in a fixed order. Start reading
// at tensor_kernel. Large products on sm_90a are in gemm_hopper.cu.
#include "cuda/async_copy.cuh"
#include "cuda/gemm.cuh"
#include "cuda/mma.cuh"

#include <climits>

namespace fg::cuda {
namespace {

constexpr int kPiece = 16, kLineBytes = 64;  // a copy; a tile along k: two steps of the tensor cores
constexpr int kSteps = 2, kPiecesOfStep = 2;

template <class S> constexpr int kPer = kPiece / int{sizeof(S)};
template <class S> constexpr int kDeep = kLineBytes / int{sizeof(S)};  // numbers along k

// Tiles of C and their warps. The wide ones need fewer bytes per product; the small ones make more blocks.
template <int kM_, int kN_, int kWarpsM, int kWarpsN, int kStages_, int kBlocks_> struct Tile {
  static constexpr int kM = kM_, kN = kN_, kStages = kStages_, kBlocks = kBlocks_;
  static constexpr int kThreads = 32 * kWarpsM * kWarpsN, kAcross = kWarpsN;
  static constexpr int kWarpM = kM / kWarpsM, kWarpN = kN / kWarpsN;
  static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0 && kStages * (kM + kN) * kLineBytes <= 48 << 10);
};
using Large = Tile<128, 128, 2, 4, 3, 2>;
using Small = Tile<64, 64, 2, 2, 4, 3>;
using Flat = Tile<16, 128, 1, 4, 4, 3>;  // few rows

// How kRows rows of A (or columns of B) lie in a stage: lines of k, or lines of rows for every k.
template <class S, int kRows, bool kAlongK_> struct Lay {
  static constexpr bool kAlongK = kAlongK_;
  static constexpr int kLines = kAlongK ? kRows : kDeep<S>;
  static constexpr int kPieces = kLineBytes * kRows / kPiece / kLines;  // of a line
  static FG_DEVICE int at(int line, int piece) {
    constexpr int kSpread = kPieces < 8 ? kPieces : 8;  // eight pieces are all banks
    // ldmatrix reads one piece of eight lines; floats that lie across are read from two pieces of four lines.
    const int turn = kAlongK || sizeof(S) == 2 ? line * kSpread / 8 % kSpread : line % 4 * kSpread / 8 * 2;
    return line * kPieces + (piece ^ turn);
  }
};

// An operand from the next tile on: at the block's first row, and when it is fast at this thread's first piece.
template <class S> struct Side {
  const S* from;
  int64_t row_stride, k_stride;
  int rows;  // from the first one to the edge
  bool fast;

  template <class L> FG_DEVICE void begin() {
    const int line = threadIdx.x / L::kPieces, piece = threadIdx.x % L::kPieces;
    if (fast) from += line * (L::kAlongK ? row_stride : k_stride) + piece * kPer<S>;
  }
};

// The next tile; zeros beyond the edges. k: how many are left.
template <class S, class L, int kThreads> FG_DEVICE void start_tile(Sixteen* tile, Side<S>& side, int k) {
  if (side.fast) {
    constexpr int kAll = L::kLines * L::kPieces, kLinesAtOnce = kThreads / L::kPieces;
    static_assert(kThreads % L::kPieces == 0);
    const int64_t stride = L::kAlongK ? side.row_stride : side.k_stride;
    const int lines = L::kAlongK ? side.rows : k, length = L::kAlongK ? k : side.rows;
    const int first = threadIdx.x / L::kPieces, piece = threadIdx.x % L::kPieces, left = length - piece * kPer<S>;
    const int most = left <= 0 ? 0 : left < kPer<S> ? left * int{sizeof(S)} : kPiece;
    FG_UNROLL
    for (int e = 0; e < (kAll + kThreads - 1) / kThreads; ++e) {
      const int line = first + e * kLinesAtOnce;
      if (kAll % kThreads == 0 || line < L::kLines) {
        copy_async<kPiece>(tile + L::at(line, piece), side.from + e * kLinesAtOnce * stride, line < lines ? most : 0);
      }
    }
  } else {
    constexpr int kLength = L::kPieces * kPer<S>;
    FG_NO_UNROLL
    for (int x = threadIdx.x; x < L::kLines * kLength; x += kThreads) {
      const int line = x / kLength, i = x % kLength, row = L::kAlongK ? line : i, deep = L::kAlongK ? i : line;
      const bool inside = row < side.rows && deep < k;
      const S* from = side.from + (inside ? row * side.row_stride + deep * side.k_stride : 0);
      S* to = reinterpret_cast<S*>(tile + L::at(line, i / kPer<S>)) + i % kPer<S>;
      if constexpr (sizeof(S) == 4) {
        copy_async<4>(to, from, inside ? 4 : 0);
      } else {
        *to = inside ? *from : S{0};
      }
    }
  }
  side.from += kDeep<S> * side.k_stride;
}

FG_DEVICE void load_float(uint32_t& x, const Sixteen* pieces, int i) {
  x = reinterpret_cast<const uint32_t*>(pieces)[i];
}
template <int kCount> FG_DEVICE void round_all(uint32_t* x) {
  FG_UNROLL
  for (int i = 0; i < kCount; ++i) x[i] = round_to_tf32(x[i]);
}

// 16 rows of A from `row` on, one step along k.
template <class S, class L> FG_DEVICE void load_rows(uint32_t (&a)[4], const Sixteen* tile, int row, int step) {
  const int lane = threadIdx.x % 32;
  if constexpr (L::kAlongK) {
    load_matrices(a[0], a[1], a[2], a[3], tile + L::at(row + lane % 16, step * kPiecesOfStep + lane / 16));
  } else if constexpr (sizeof(S) == 2) {
    load_matrices_turned(a[0], a[1], a[2], a[3],
                         tile + L::at(step * 16 + lane % 8 + lane / 16 * 8, row / 8 + lane / 8 % 2));
  } else {
    FG_UNROLL
    for (int e = 0; e < 4; ++e) {
      const int at = row + lane / 4 + e % 2 * 8;
      load_float(a[e], tile + L::at(step * 8 + lane % 4 + e / 2 * 4, at / 4), at % 4);
    }
  }
  if constexpr (sizeof(S) == 4) round_all<4>(a);
}
// 16 columns of B, as two operands.
template <class S, class L>
FG_DEVICE void load_columns(uint32_t (&b)[2][2], const Sixteen* tile, int column, int step) {
  const int lane = threadIdx.x % 32;
  if constexpr (L::kAlongK) {
    load_matrices(b[0][0], b[0][1], b[1][0], b[1][1],
                  tile + L::at(column + lane % 8 + lane / 16 * 8, step * kPiecesOfStep + lane / 8 % 2));
  } else if constexpr (sizeof(S) == 2) {
    load_matrices_turned(b[0][0], b[0][1], b[1][0], b[1][1],
                         tile + L::at(step * 16 + lane % 16, column / 8 + lane / 16));
  } else {
    FG_UNROLL
    for (int e = 0; e < 4; ++e) {
      const int at = column + lane / 4 + e / 2 * 8;
      load_float(b[e / 2][e % 2], tile + L::at(step * 8 + lane % 4 + e % 2 * 4, at / 4), at % 4);
    }
  }
  if constexpr (sizeof(S) == 4) round_all<2>(b[0]), round_all<2>(b[1]);
}
template <class S> FG_DEVICE void multiply_step(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (sizeof(S) == 4) multiply_tf32(d, a, b);
  else multiply<S>(d, a, b);
}

struct Cut {
  bool a_fast, b_fast, twos, fours;  // that many neighbours of C can be written at once
  int tiles_of_part;                 // along k
  float* parts;                      // sums of (part, batch, row, column), or null: there is one part
};

template <class S>
FG_DEVICE void write_two(const Gemm<S>& g, const Cut& cut, int64_t batch, int row, int column, float first,
                         float second) {
  if (cut.parts) {
    float* at = cut.parts + ((blockIdx.z * g.batch + batch) * g.m + row) * g.n + column;
    if (column < g.n) at[0] = first;
    if (column + 1 < g.n) at[1] = second;
  } else if (cut.twos && column + 1 < g.n) {
    S* at = g.place(batch, row, column);
    *reinterpret_cast<Two<S>*>(at) = {g.finish(at, row, column, first), g.finish(at + 1, row, column + 1, second)};
  } else {
    if (column < g.n) g.write(batch, row, column, first);
    if (column + 1 < g.n) g.write(batch, row, column + 1, second);
  }
}
// Two of this lane's at `column` and two at `column + 8`. Neighbouring lanes swap so that each has four in a row: a
// warp then writes 32 bytes of a row together, not twice 16. Every lane of the warp must call it.
template <class S>
FG_DEVICE void write_four(const Gemm<S>& g, int64_t batch, int row, int column, float x0, float x1, float y0,
                          float y1) {
  const auto finish = [&](int at, float first, float second) {
    if (row >= g.m || at >= g.n) return 0u;
    const S* old = g.place(batch, row, at);
    return uint32_t(g.finish(old, row, at, first).bits) | uint32_t(g.finish(old + 1, row, at + 1, second).bits) << 16;
  };
  const uint32_t x = finish(column, x0, x1), y = finish(column + 8, y0, y1);
  const bool second = threadIdx.x % 2;
  const uint32_t other = __shfl_xor_sync(~0u, second ? x : y, 1);
  const int first = second ? column + 6 : column;
  if (row < g.m && first < g.n) {
    *reinterpret_cast<Two<uint32_t>*>(g.place(batch, row, first)) =
        second ? Two<uint32_t>{other, y} : Two<uint32_t>{x, other};
  }
}

// Blocks on a multiprocessor that registers are kept free for. Floats that lie across in both operands spill at two.
template <class S, class T, bool kAAlongK, bool kBAlongK>
constexpr int kResident = sizeof(S) == 4 && T::kN * T::kM >= 128 * 128 && !kAAlongK && !kBAlongK ? 1 : T::kBlocks;

// Blocks: x a tile of C, y a matrix of the batch (and further ones), z a part of k.
template <class S, class T, bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(T::kThreads, kResident<S, T, kAAlongK, kBAlongK>)
    tensor_kernel(const __grid_constant__ Gemm<S> g, const __grid_constant__ Cut cut) {
  using LayA = Lay<S, T::kM, kAAlongK>;
  using LayB = Lay<S, T::kN, kBAlongK>;
  constexpr int kPiecesA = T::kM * kLineBytes / kPiece, kPiecesB = T::kN * kLineBytes / kPiece;
  constexpr int kRows = T::kWarpM / 16, kColumns = T::kWarpN / 8;
  FG_SHARED(Sixteen, stages, T::kStages * (kPiecesA + kPiecesB));
  const int m = static_cast<int>(g.m), n = static_cast<int>(g.n), k = static_cast<int>(g.k);
  const Place tile = place_of_tile(static_cast<int>(blockIdx.x), (m + T::kM - 1) / T::kM, (n + T::kN - 1) / T::kN);
  const int i0 = tile.i * T::kM, j0 = tile.j * T::kN;
  const int k0 = blockIdx.z * cut.tiles_of_part * kDeep<S>;
  const int k_left = k - k0 < cut.tiles_of_part * kDeep<S> ? k - k0 : cut.tiles_of_part * kDeep<S>;
  const int tiles = (k_left + kDeep<S> - 1) / kDeep<S>;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int warp_i = warp / T::kAcross * T::kWarpM, warp_j = warp % T::kAcross * T::kWarpN;

  for (int64_t batch = blockIdx.y; batch < g.batch; batch += gridDim.y) {
    Side<S> a{g.a + batch * g.a_bs + i0 * g.a_rs + k0 * g.a_cs, g.a_rs, g.a_cs, m - i0, cut.a_fast};
    Side<S> b{g.b + batch * g.b_bs + j0 * g.b_cs + k0 * g.b_rs, g.b_cs, g.b_rs, n - j0, cut.b_fast};
    a.template begin<LayA>(), b.template begin<LayB>();
    const auto start = [&](int index) {
      if (index < tiles) {
        Sixteen* stage = stages + index % T::kStages * (kPiecesA + kPiecesB);
        start_tile<S, LayA, T::kThreads>(stage, a, k_left - index * kDeep<S>);
        start_tile<S, LayB, T::kThreads>(stage + kPiecesA, b, k_left - index * kDeep<S>);
      }
      commit_copies();
    };
    FG_NO_UNROLL
    for (int index = 0; index < T::kStages - 1; ++index) start(index);

    float sum[kRows][kColumns][4] = {};
    FG_NO_UNROLL
    for (int index = 0; index < tiles; ++index) {
      wait_for_copies<T::kStages - 2>();
      __syncthreads();  // everybody's copies are there, and nobody reads the stage that is filled next
      start(index + T::kStages - 1);
      const Sixteen* tile_a = stages + index % T::kStages * (kPiecesA + kPiecesB);
      const Sixteen* tile_b = tile_a + kPiecesA;
      FG_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        uint32_t x[kRows][4];
        FG_UNROLL
        for (int i = 0; i < kRows; ++i) load_rows<S, LayA>(x[i], tile_a, warp_i + i * 16, step);
        FG_UNROLL
        for (int j = 0; j < kColumns; j += 2) {
          uint32_t y[2][2];
          load_columns<S, LayB>(y, tile_b, warp_j + j * 8, step);
          FG_UNROLL
          for (int i = 0; i < kRows; ++i) {
            multiply_step<S>(sum[i][j], x[i], y[0]);
            multiply_step<S>(sum[i][j + 1], x[i], y[1]);
          }
        }
      }
    }
    wait_for_copies<0>();
    __syncthreads();

    const auto write = [&](auto fours) {
      FG_UNROLL
      for (int e = 0; e < 2 * kRows; ++e) {
        const int row = i0 + warp_i + e / 2 * 16 + lane / 4 + e % 2 * 8;
        FG_UNROLL
        for (int j = 0; j < kColumns; j += 2) {
          const int column = j0 + warp_j + j * 8 + lane % 4 * 2, half = e % 2 * 2;
          const float (&x)[4] = sum[e / 2][j], (&y)[4] = sum[e / 2][j + 1];
          if constexpr (fours.value) {
            write_four(g, batch, row, column, x[half], x[half + 1], y[half], y[half + 1]);
          } else if (row < m) {
            write_two(g, cut, batch, row, column, x[half], x[half + 1]);
            write_two(g, cut, batch, row, column + 8, y[half], y[half + 1]);
          }
        }
      }
    };
    if (sizeof(S) == 2 && cut.fours) write(std::bool_constant<sizeof(S) == 2>{});
    else write(std::false_type{});
  }
}

// C from the sums of parts, in their order.
template <class S>
__global__ void __launch_bounds__(kThreads)
    add_parts_kernel(const __grid_constant__ Gemm<S> g, const float* parts, int count) {
  const int64_t all = g.batch * g.m * g.n;
  for (int64_t x = global_thread(); x < all; x += global_threads()) {
    float sum = parts[x];
    FG_NO_UNROLL
    for (int part = 1; part < count; ++part) sum += parts[part * all + x];
    g.write(x / g.n / g.m, x / g.n % g.m, x % g.n, sum);
  }
}

// How an operand (its rows are the columns of B) is copied: the lines that are unit strides, as they are if they allow
// it.
struct Way {
  bool along_k, fast;
};
template <class S> Way way_of(const S* data, int64_t row_stride, int64_t k_stride, int64_t batch_stride,
                              int64_t batch) {
  const bool along_k = k_stride == 1 || row_stride != 1;
  const int64_t unit = along_k ? k_stride : row_stride, line = along_k ? row_stride : k_stride;
  return {along_k, unit == 1 && line % kPer<S> == 0 && (batch == 1 || batch_stride % kPer<S> == 0) &&
                       reinterpret_cast<uintptr_t>(data) % kPiece == 0};
}

// The emulator has few of both, so that its small products have every kind of tile, parts, and batches beyond the grid.
#ifdef FG_CUDA_EMULATE
constexpr int64_t kMostMatrices = 3;  // of the grid
int processors_of(Stream) { return 4; }
#else
constexpr int64_t kMostMatrices = 32768;
int processors_of(Stream stream) { return multiprocessors(stream.device); }
#endif

template <class S, class T> void run_tiles(const Gemm<S>& g, Stream stream) {
  constexpr int kLeastTiles = 8, kMostParts = 64;  // of a part; below, the pipeline hardly fills
  const Way a = way_of(g.a, g.a_rs, g.a_cs, g.a_bs, g.batch), b = way_of(g.b, g.b_cs, g.b_rs, g.b_bs, g.batch);
  const int64_t tiles = ceil_div(g.m, T::kM) * ceil_div(g.n, T::kN), deep = ceil_div(g.k, kDeep<S>);
  const int64_t blocks = tiles * g.batch, wanted = 2 * processors_of(stream);
  int64_t parts = 1;
  if (blocks * 4 <= wanted) {
    parts = ceil_div(wanted, blocks);
    if (parts > deep / kLeastTiles) parts = deep / kLeastTiles;
    if (parts > kMostParts) parts = kMostParts;
    if (parts < 1) parts = 1;
  }
  const int64_t tiles_of_part = ceil_div(deep, parts);
  parts = ceil_div(deep, tiles_of_part);
  Scratch sums(parts > 1 ? static_cast<size_t>(parts * g.batch * g.m * g.n) * sizeof(float) : 0, stream);
  if (parts > 1 && !sums) return;
  const bool fours = g.neighbours(4) && g.n % 4 == 0 && parts == 1;
  const Cut cut{a.fast, b.fast, g.neighbours(2), fours, static_cast<int>(tiles_of_part), sums.as<float>()};
  const dim3 grid(static_cast<unsigned>(tiles),
                  static_cast<unsigned>(g.batch < kMostMatrices ? g.batch : kMostMatrices),
                  static_cast<unsigned>(parts));
  const auto run = [&](auto a_along, auto b_along) {
    FG_LAUNCH((tensor_kernel<S, T, a_along.value, b_along.value>), grid, T::kThreads, 0, stream, g, cut);
  };
  const std::true_type yes;
  const std::false_type no;
  if (a.along_k) b.along_k ? run(yes, yes) : run(yes, no);
  else b.along_k ? run(no, yes) : run(no, no);
  if (parts > 1) {
    FG_LAUNCH_FREE(add_parts_kernel<S>, grid_for(g.batch * g.m * g.n, stream), kThreads, 0, stream, g,
                   sums.as<const float>(), static_cast<int>(parts));
  }
}

template <class S> void run_product(const GemmArgs& args) {
  Gemm<S> g = Gemm<S>::of(args);
  if (g.m <= Flat::kM || g.n <= Flat::kM) return run_tiles<S, Flat>(g.m <= g.n ? g : g.turned(), args.stream);
  const int64_t large = ceil_div(g.m, Large::kM) * ceil_div(g.n, Large::kN) * g.batch;
  const bool fills = g.m > Large::kM / 2 && g.n > Large::kN / 2;
  if (fills && large >= processors_of(args.stream)) run_tiles<S, Large>(g, args.stream);
  else run_tiles<S, Small>(g, args.stream);
}

}  // namespace

bool tensor_gemm(const GemmArgs& args) {
  constexpr int64_t kMost = INT_MAX - 4096;  // indices within a matrix are ints
  if (args.m > kMost || args.n > kMost || args.k > kMost) return false;
  if (ceil_div(args.m, 16) * ceil_div(args.n, 64) > INT_MAX) return false;
  switch (args.dtype) {
    case DType::Float16: run_product<Half>(args); return true;
    case DType::BFloat16: run_product<BHalf>(args); return true;
    case DType::Float32: run_product<float>(args); return true;
    default: return false;
  }
}

}  // namespace fg::cuda
