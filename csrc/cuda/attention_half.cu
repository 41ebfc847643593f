// Attention of half types on tensor cores: the parts and sums of attention.cu, with products by mma.sync (mma.cuh) and
// float sums. A warp has 16 rows of its own. Its weights go from the result of one product to the operand of the next
// without leaving registers, rounded to the half type, as the slopes are (before the scale, which comes at the end).
#include "cuda/attention.cuh"
#include "cuda/mma.cuh"

namespace fg::cuda {
namespace {

using Part = AttentionPart;

constexpr int kOtherRows = 64, kChunk = 64;
constexpr int kPitch = kChunk + 8;      // of rows in shared memory: those of one ldmatrix lie in different banks
constexpr int kEight = kOtherRows / 8;  // groups of eight columns

// The parts that need more registers have smaller blocks, of which two or three fit.
constexpr bool has_slopes(Part part) { return part == Part::keys || part == Part::queries; }
constexpr int warps_of(Part part) { return has_slopes(part) ? 4 : 8; }

// Rows of a tile and kChunk of their numbers, from `column` on, zeros outside. fast: rows begin at 16 bytes, and so do
// all chunks of eight.
template <class S, int kRows, int kBlock>
FG_DEVICE void load_tile(S* tile, const S* from, int64_t stride, int64_t rows, int64_t column, int64_t width,
                         bool fast) {
  if (fast) {
    FG_UNROLL
    for (int e = 0; e < kRows * kChunk / 8 / kBlock; ++e) {
      const int at = threadIdx.x + e * kBlock, row = at / (kChunk / 8), first = at % (kChunk / 8) * 8;
      Sixteen bytes{0, 0};
      if (row < rows && column + first < width)
        bytes = *reinterpret_cast<const Sixteen*>(from + row * stride + column + first);
      *reinterpret_cast<Sixteen*>(tile + row * kPitch + first) = bytes;
    }
  } else {
    FG_NO_UNROLL
    for (int at = threadIdx.x; at < kRows * kChunk; at += kBlock) {
      const int row = at / kChunk, k = at % kChunk;
      tile[row * kPitch + k] = row < rows && column + k < width ? from[row * stride + column + k] : S{0};
    }
  }
}

// x = a b^T for the warp's rows of a and all of b.
template <class S, int kWarps>
FG_DEVICE void multiply_rows(float (&x)[kEight][4], const S* a, int64_t a_stride, int64_t a_rows, bool a_fast,
                             const S* b, int64_t b_stride, int64_t b_rows, bool b_fast, int64_t width, S* tile_a,
                             S* tile_b) {
  const int own = threadIdx.x / 32 * 16;
  FG_UNROLL
  for (int n = 0; n < kEight; ++n) {
    FG_UNROLL
    for (int e = 0; e < 4; ++e) x[n][e] = 0;
  }
  for (int64_t column = 0; column < width; column += kChunk) {
    load_tile<S, 16 * kWarps, 32 * kWarps>(tile_a, a, a_stride, a_rows, column, width, a_fast);
    load_tile<S, kOtherRows, 32 * kWarps>(tile_b, b, b_stride, b_rows, column, width, b_fast);
    __syncthreads();
    FG_UNROLL
    for (int k = 0; k < kChunk; k += 16) {
      uint32_t u[4];
      load_a(u, tile_a + own * kPitch + k, kPitch);
      FG_UNROLL
      for (int n = 0; n < kEight; n += 2) {
        uint32_t v[2][2];
        load_b_pair(v, tile_b + n * 8 * kPitch + k, kPitch);
        multiply<S>(x[n], u, v[0]);
        multiply<S>(x[n + 1], u, v[1]);
      }
    }
    __syncthreads();
  }
}

// Over the four lanes that share a row.
template <class Combine> FG_DEVICE float across_row(float x, Combine combine) {
  x = combine(x, __shfl_xor_sync(~0u, x, 1));
  return combine(x, __shfl_xor_sync(~0u, x, 2));
}

struct Fast {  // which operands can be read in pieces of 16 bytes
  bool own, other, added, own_slope, other_slope;
};

// kChunks: of the columns of what is added up, at most.
template <Part kPart, class S, int kChunks>
__global__ void __launch_bounds__(32 * warps_of(kPart), kChunks > 1         ? 1
                                                        : has_slopes(kPart) ? 3
                                                                            : 2)
    attention_half_kernel(const __grid_constant__ AttentionWork<float> w, Fast fast) {
  constexpr bool kByKey = kPart == Part::keys || kPart == Part::values;
  constexpr bool kSlopes = has_slopes(kPart);
  constexpr int kWarps = warps_of(kPart), kOwnRows = 16 * kWarps;
  FG_SHARED(Sixteen, room_a, kOwnRows * kPitch / 8);
  FG_SHARED(Sixteen, room_b, kOtherRows * kPitch / 8);
  S *tile_a = reinterpret_cast<S*>(room_a), *tile_b = reinterpret_cast<S*>(room_b);
  constexpr float kLeast = -INFINITY;
  const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * 16 + lane / 4, first_column = lane % 4 * 2;
  // With a causal mask the last queries have most to do: they start first.
  const int64_t row0 = (kByKey || !w.causal ? blockIdx.x : gridDim.x - 1 - blockIdx.x) * int64_t{kOwnRows};
  const int64_t first = kByKey && w.causal ? row0 : 0;
  const int64_t last = !kByKey && w.causal && row0 + kOwnRows < w.other_rows ? row0 + kOwnRows : w.other_rows;
  const int64_t own_left = w.own_rows - row0;

  for (int64_t head = blockIdx.y; head < w.all_heads; head += gridDim.y) {
    const int64_t queries = head * (kByKey ? w.other_rows : w.own_rows);  // where the numbers of queries begin
    const S *own = head_of<S>(w.own, head, w.heads) + row0 * w.own.row_stride, *own_slope = nullptr;
    if constexpr (kSlopes) own_slope = head_of<S>(w.own_slope, head, w.heads) + row0 * w.own_slope.row_stride;
    float sum[kChunks][kEight][4] = {}, top[2] = {kLeast, kLeast}, total[2] = {0, 0};

    for (int64_t column0 = first; column0 < last; column0 += kOtherRows) {
      const int64_t other_left = w.other_rows - column0;
      float x[kEight][4];
      multiply_rows<S, kWarps>(x, own, w.own.row_stride, own_left, fast.own,
                               head_of<S>(w.other, head, w.heads) + column0 * w.other.row_stride, w.other.row_stride,
                               other_left, fast.other, w.width, tile_a, tile_b);
      const auto seen = [&](int n, int e) {
        const int row = first_row + e / 2 * 8, column = n * 8 + first_column + e % 2;
        const bool hidden = w.causal && (kByKey ? row0 + row > column0 + column : column0 + column > row0 + row);
        return row < own_left && column < other_left && !hidden;
      };
      if constexpr (kPart == Part::forward) {
        FG_UNROLL
        for (int half = 0; half < 2; ++half) {
          float high = kLeast, part = 0;
          FG_UNROLL
          for (int n = 0; n < kEight; ++n) {
            FG_UNROLL
            for (int e = 2 * half; e < 2 * half + 2; ++e) {
              if (!seen(n, e)) x[n][e] = kLeast;
              high = larger(high, x[n][e]);
            }
          }
          high = larger(across_row(high, [](float a, float b) { return larger(a, b); }), top[half]);
          const float from = high == kLeast ? 0.0f : high;  // nothing seen so far
          const float shrink = exp_of((top[half] - from) * w.scale);
          top[half] = high;
          FG_UNROLL
          for (int n = 0; n < kEight; ++n) {
            FG_UNROLL
            for (int e = 2 * half; e < 2 * half + 2; ++e) {
              x[n][e] = exp_of((x[n][e] - from) * w.scale);
              part += x[n][e];
            }
          }
          total[half] = total[half] * shrink + across_row(part, [](float a, float b) { return a + b; });
          FG_UNROLL
          for (int c = 0; c < kChunks; ++c) {
            FG_UNROLL
            for (int n = 0; n < kEight; ++n) sum[c][n][2 * half] *= shrink, sum[c][n][2 * half + 1] *= shrink;
          }
        }
      } else {
        const auto query = [&](int n, int e) {
          return queries + (kByKey ? column0 + n * 8 + first_column + e % 2 : row0 + first_row + e / 2 * 8);
        };
        FG_UNROLL
        for (int n = 0; n < kEight; ++n) {
          FG_UNROLL
          for (int e = 0; e < 4; ++e) {
            const float over = seen(n, e) ? x[n][e] * w.scale - w.lse[query(n, e)] : kLeast;
            x[n][e] = exp_of(over > 0 ? 0.0f : over);  // rounding may take it above
          }
        }
        if constexpr (kSlopes) {
          float slope[kEight][4];
          multiply_rows<S, kWarps>(slope, own_slope, w.own_slope.row_stride, own_left, fast.own_slope,
                                   head_of<S>(w.other_slope, head, w.heads) + column0 * w.other_slope.row_stride,
                                   w.other_slope.row_stride, other_left, fast.other_slope, w.slope_width, tile_a,
                                   tile_b);
          FG_UNROLL
          for (int n = 0; n < kEight; ++n) {
            FG_UNROLL
            for (int e = 0; e < 4; ++e) x[n][e] = seen(n, e) ? x[n][e] * (slope[n][e] - w.means[query(n, e)]) : 0.0f;
          }
        }
      }
      uint32_t weights[kOtherRows / 16][4];
      FG_UNROLL
      for (int k = 0; k < kOtherRows / 16; ++k) {
        weights[k][0] = pack_two<S>(x[2 * k][0], x[2 * k][1]), weights[k][1] = pack_two<S>(x[2 * k][2], x[2 * k][3]);
        weights[k][2] = pack_two<S>(x[2 * k + 1][0], x[2 * k + 1][1]);
        weights[k][3] = pack_two<S>(x[2 * k + 1][2], x[2 * k + 1][3]);
      }
      const S* added = head_of<S>(w.added, head, w.heads) + column0 * w.added.row_stride;
      FG_UNROLL
      for (int c = 0; c < kChunks; ++c) {
        if (c * kChunk < w.added_width) {
          load_tile<S, kOtherRows, 32 * kWarps>(tile_b, added, w.added.row_stride, other_left, c * kChunk,
                                                w.added_width, fast.added);
          __syncthreads();
          FG_UNROLL
          for (int k = 0; k < kOtherRows / 16; ++k) {
            FG_UNROLL
            for (int n = 0; n < kEight; n += 2) {
              uint32_t v[2][2];
              load_b_turned_pair(v, tile_b + k * 16 * kPitch + n * 8, kPitch);
              multiply<S>(sum[c][n], weights[k], v[0]);
              multiply<S>(sum[c][n + 1], weights[k], v[1]);
            }
          }
          __syncthreads();
        }
      }
    }

    FG_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + 8 * half;
      if (row >= own_left) continue;
      float factor = kSlopes ? w.scale : 1.0f;
      bool blind = false;
      if constexpr (kPart == Part::forward) {
        const auto end = RowEnd<float>::of(top[half], total[half], w.scale);
        factor = end.factor, blind = end.blind;
        if (lane % 4 == 0) w.lse[queries + row0 + row] = end.lse;
      }
      S* out = static_cast<S*>(w.out) + (head * w.own_rows + row0 + row) * w.added_width;
      FG_UNROLL
      for (int c = 0; c < kChunks; ++c) {
        FG_UNROLL
        for (int n = 0; n < kEight; ++n) {
          FG_UNROLL
          for (int e = 0; e < 2; ++e) {
            const int64_t column = c * kChunk + n * 8 + first_column + e;
            if (column < w.added_width) out[column] = convert<S>(blind ? 0.0f : sum[c][n][2 * half + e] * factor);
          }
        }
      }
    }
  }
}

bool is_fast(const AttentionOperand& x, int64_t width) {
  return ((x.batch_stride | x.head_stride | x.row_stride | width) & 7) == 0 &&
         reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
}

template <Part kPart, class S> void launch_part(const AttentionWork<float>& w, Stream stream) {
  constexpr int kBlock = 32 * warps_of(kPart);
  const dim3 grid(static_cast<unsigned>(ceil_div(w.own_rows, kBlock / 2)),
                  static_cast<unsigned>(w.all_heads < 65535 ? w.all_heads : 65535));
  const Fast fast{is_fast(w.own, w.width), is_fast(w.other, w.width), is_fast(w.added, w.added_width),
                  is_fast(w.own_slope, w.slope_width), is_fast(w.other_slope, w.slope_width)};
  if (w.added_width <= kChunk) {
    FG_LAUNCH((attention_half_kernel<kPart, S, 1>), grid, kBlock, 0, stream, w, fast);
  } else if (w.added_width <= 2 * kChunk) {
    FG_LAUNCH((attention_half_kernel<kPart, S, 2>), grid, kBlock, 0, stream, w, fast);
  } else {
    FG_LAUNCH((attention_half_kernel<kPart, S, 4>), grid, kBlock, 0, stream, w, fast);
  }
}

}  // namespace

template <class S> void attention_half(AttentionPart part, const AttentionWork<float>& w, Stream stream) {
  switch (part) {
    case Part::forward: return launch_part<Part::forward, S>(w, stream);
    case Part::queries: return launch_part<Part::queries, S>(w, stream);
    case Part::keys: return launch_part<Part::keys, S>(w, stream);
    case Part::values: return launch_part<Part::values, S>(w, stream);
  }
}
template void attention_half<Half>(AttentionPart, const AttentionWork<float>&, Stream);
template void attention_half<BHalf>(AttentionPart, const AttentionWork<float>&, Stream);

}  // namespace fg::cuda
