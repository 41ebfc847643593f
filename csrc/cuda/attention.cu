// Scaled dot-product attention and its gradient without the matrix of weights, in float and double; attention_half.cu
// does the same for half types on tensor cores. All of it is one kernel: a block has a tile of rows of its own, walks
// over the tiles of the other side, and for each makes a tile of weights out of products of rows, with which it adds up
// rows of a third operand.
//
//   part      own      weights                           adds up
//   forward   queries  exp(scores - largest so far)      values; what was added shrinks when the largest grows
//   queries   queries  slopes of scores                  keys
//   keys      keys     slopes of scores                  queries
//   values    keys     exp(scores - lse)                 grad
//
// The gradient makes the weights again out of the scores and the logarithm of each row's sum. A part for each of its
// three results costs one product in eight more than keys and values together, needs half the registers, and leaves
// every sum with one block: one order, no atomics. Start at attention_kernel.
#include "cuda/attention.cuh"
#include "cuda/group.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

using Part = AttentionPart;

constexpr int kSide = 16;  // threads along each side of a tile
constexpr int kDeep = 16;  // numbers of a row that are multiplied at a time
// Unrolled in full, these loops would keep more numbers under way than there are registers.
#define FG_UNROLL_SOME _Pragma("unroll 4")

// Rows of a tile, and of them the ones of a thread.
template <class T> constexpr int kRows = sizeof(T) == 8 ? 32 : 64;
template <class T> constexpr int kOwn = kRows<T> / kSide;
static_assert(kSide * kSide == kThreads);

template <class T> using Work = AttentionWork<T>;

// Combines the values of the threads of a row of tiles, which are half a warp; all of them get the result.
template <class T, int N, class Combine> FG_DEVICE void across_row(T (&x)[N], Combine combine) {
  FG_UNROLL
  for (int mask = kSide / 2; mask > 0; mask /= 2) {
    FG_UNROLL
    for (int i = 0; i < N; ++i) x[i] = combine(x[i], __shfl_xor_sync(~0u, x[i], mask));
  }
}

// x: this thread's part of a b^T, for a tile of rows of each. tile: free on entry and on return.
template <class S, class T, int M>
FG_DEVICE void multiply_rows(T (&x)[M][M], const S* a, int64_t a_stride, int64_t a_rows, const S* b, int64_t b_stride,
                             int64_t b_rows, int64_t width, T* tile) {
  constexpr int kR = kRows<T>, kPitch = kR + 4;
  const int t = threadIdx.x, ti = t / kSide, tj = t % kSide;
  T *tile_a = tile, *tile_b = tile + kDeep * kPitch;
  FG_UNROLL
  for (int i = 0; i < M; ++i) {
    FG_UNROLL
    for (int j = 0; j < M; ++j) x[i][j] = 0;
  }
  for (int64_t d0 = 0; d0 < width; d0 += kDeep) {
    FG_UNROLL_SOME
    for (int e = 0; e < kR * kDeep / kThreads; ++e) {
      const int at = t + e * kThreads, row = at / kDeep, d = at % kDeep;
      const bool inside = d0 + d < width;
      tile_a[d * kPitch + row] = inside && row < a_rows ? convert<T>(a[row * a_stride + d0 + d]) : T(0);
      tile_b[d * kPitch + row] = inside && row < b_rows ? convert<T>(b[row * b_stride + d0 + d]) : T(0);
    }
    __syncthreads();
    FG_UNROLL_SOME
    for (int d = 0; d < kDeep; ++d) {
      T u[M], v[M];
      FG_UNROLL
      for (int i = 0; i < M; ++i) u[i] = tile_a[d * kPitch + ti * M + i], v[i] = tile_b[d * kPitch + tj * M + i];
      FG_UNROLL
      for (int i = 0; i < M; ++i) {
        FG_UNROLL
        for (int j = 0; j < M; ++j) x[i][j] += u[i] * v[j];
      }
    }
    __syncthreads();
  }
}

// kChunks: tiles of columns of what is added up, at most.
template <Part kPart, class S, class T, int kChunks>
__global__ void __launch_bounds__(kThreads, kChunks* kOwn<T> <= 8 ? 2 : 1)
    attention_kernel(const __grid_constant__ Work<T> w) {
  constexpr int kR = kRows<T>, M = kOwn<T>, kPitch = kR + 4;
  constexpr bool kByKey = kPart == Part::keys || kPart == Part::values;
  constexpr int kTile = kR * kR > 2 * kDeep * kPitch ? kR * kR : 2 * kDeep * kPitch;
  FG_SHARED(T, tile, kTile);
  FG_SHARED(T, weights, kR * kPitch);  // the other side's rows by own rows
  const T kLeast = static_cast<T>(-INFINITY);
  const int t = threadIdx.x, ti = t / kSide, tj = t % kSide;
  // With a causal mask the last queries have most to do: they start first.
  const int64_t row0 = (kByKey || !w.causal ? blockIdx.x : gridDim.x - 1 - blockIdx.x) * int64_t{kR};
  const int64_t first = kByKey && w.causal ? row0 : 0;
  const int64_t last = !kByKey && w.causal && row0 + kR < w.other_rows ? row0 + kR : w.other_rows;
  const int64_t own_left = w.own_rows - row0;

  for (int64_t head = blockIdx.y; head < w.all_heads; head += gridDim.y) {
    const int64_t queries = head * (kByKey ? w.other_rows : w.own_rows);  // where the numbers of queries begin
    const S *own = head_of<S>(w.own, head, w.heads) + row0 * w.own.row_stride, *own_slope = nullptr;
    if constexpr (kPart == Part::queries || kPart == Part::keys)
      own_slope = head_of<S>(w.own_slope, head, w.heads) + row0 * w.own_slope.row_stride;
    T sum[kChunks][M][M] = {}, top[M], total[M];
    FG_UNROLL
    for (int i = 0; i < M; ++i) top[i] = kLeast, total[i] = 0;

    for (int64_t column0 = first; column0 < last; column0 += kR) {
      const int64_t other_left = w.other_rows - column0;
      T x[M][M];
      multiply_rows<S>(x, own, w.own.row_stride, own_left,
                       head_of<S>(w.other, head, w.heads) + column0 * w.other.row_stride, w.other.row_stride,
                       other_left, w.width, tile);
      bool seen[M][M];
      FG_UNROLL
      for (int i = 0; i < M; ++i) {
        FG_UNROLL
        for (int j = 0; j < M; ++j) {
          const int row = ti * M + i, column = tj * M + j;
          const bool hidden = w.causal && (kByKey ? row0 + row > column0 + column : column0 + column > row0 + row);
          seen[i][j] = row < own_left && column < other_left && !hidden;
        }
      }
      if constexpr (kPart == Part::forward) {
        T high[M], part[M] = {};
        FG_UNROLL
        for (int i = 0; i < M; ++i) {
          high[i] = kLeast;
          FG_UNROLL
          for (int j = 0; j < M; ++j) {
            if (!seen[i][j]) x[i][j] = kLeast;
            high[i] = larger(high[i], x[i][j]);
          }
        }
        across_row(high, [](T a, T b) { return larger(a, b); });
        T shrink[M];
        FG_UNROLL
        for (int i = 0; i < M; ++i) {
          high[i] = larger(high[i], top[i]);
          const T from = high[i] == kLeast ? T(0) : high[i];  // nothing seen so far
          shrink[i] = exp_of((top[i] - from) * w.scale);
          top[i] = high[i];
          FG_UNROLL
          for (int j = 0; j < M; ++j) {
            x[i][j] = exp_of((x[i][j] - from) * w.scale);
            part[i] += x[i][j];
          }
        }
        across_row(part, [](T a, T b) { return a + b; });
        FG_UNROLL
        for (int i = 0; i < M; ++i) {
          total[i] = total[i] * shrink[i] + part[i];
          FG_UNROLL
          for (int c = 0; c < kChunks; ++c) {
            FG_UNROLL
            for (int j = 0; j < M; ++j) sum[c][i][j] *= shrink[i];
          }
        }
      } else {
        FG_UNROLL
        for (int i = 0; i < M; ++i) {
          FG_UNROLL
          for (int j = 0; j < M; ++j) {
            const int64_t query = kByKey ? column0 + tj * M + j : row0 + ti * M + i;
            const T over = seen[i][j] ? x[i][j] * w.scale - w.lse[queries + query] : kLeast;
            x[i][j] = exp_of(over > 0 ? T(0) : over);  // rounding may take it above
          }
        }
        if constexpr (kPart != Part::values) {
          T slope[M][M];
          multiply_rows<S>(slope, own_slope, w.own_slope.row_stride, own_left,
                           head_of<S>(w.other_slope, head, w.heads) + column0 * w.other_slope.row_stride,
                           w.other_slope.row_stride, other_left, w.slope_width, tile);
          FG_UNROLL
          for (int i = 0; i < M; ++i) {
            FG_UNROLL
            for (int j = 0; j < M; ++j) {
              const int64_t query = kByKey ? column0 + tj * M + j : row0 + ti * M + i;
              x[i][j] = seen[i][j] ? x[i][j] * (slope[i][j] - w.means[queries + query]) * w.scale : T(0);
            }
          }
        }
      }
      FG_UNROLL
      for (int i = 0; i < M; ++i) {
        FG_UNROLL
        for (int j = 0; j < M; ++j) weights[(tj * M + j) * kPitch + ti * M + i] = x[i][j];
      }
      const S* added = head_of<S>(w.added, head, w.heads) + column0 * w.added.row_stride;
      FG_UNROLL
      for (int c = 0; c < kChunks; ++c) {
        const int64_t from = int64_t{c} * kR;
        if (from < w.added_width) {
          FG_UNROLL_SOME
          for (int e = 0; e < kR * kR / kThreads; ++e) {
            const int at = t + e * kThreads, row = at / kR, column = at % kR;
            const bool inside = row < other_left && from + column < w.added_width;
            tile[at] = inside ? convert<T>(added[row * w.added.row_stride + from + column]) : T(0);
          }
          __syncthreads();
          FG_UNROLL_SOME
          for (int k = 0; k < kR; ++k) {
            T u[M], v[M];
            FG_UNROLL
            for (int i = 0; i < M; ++i) u[i] = weights[k * kPitch + ti * M + i], v[i] = tile[k * kR + tj * M + i];
            FG_UNROLL
            for (int i = 0; i < M; ++i) {
              FG_UNROLL
              for (int j = 0; j < M; ++j) sum[c][i][j] += u[i] * v[j];
            }
          }
          __syncthreads();
        }
      }
    }

    FG_UNROLL
    for (int i = 0; i < M; ++i) {
      const int row = ti * M + i;
      if (row >= own_left) continue;
      const auto end = RowEnd<T>::of(top[i], total[i], w.scale);
      if constexpr (kPart == Part::forward) {
        if (tj == 0) w.lse[queries + row0 + row] = end.lse;
      }
      FG_UNROLL
      for (int c = 0; c < kChunks; ++c) {
        FG_UNROLL
        for (int j = 0; j < M; ++j) {
          const int64_t column = c * kR + tj * M + j;
          T y = sum[c][i][j];
          if constexpr (kPart == Part::forward) y = end.blind ? T(0) : y * end.factor;
          if (column < w.added_width)
            static_cast<S*>(w.out)[(head * w.own_rows + row0 + row) * w.added_width + column] = convert<S>(y);
        }
      }
    }
  }
}

// The weighted mean of the slopes of a row's weights: the sum of grad * out.
template <class T>
__global__ void __launch_bounds__(kThreads)
    row_products_kernel(T* means, const void* grad, const void* out, DType dtype, Lines lines) {
  FG_SHARED(T, shared, kThreads);
  const Group group = Group::of(lines);
  const int64_t row = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index, start = row * lines.size;
  T sum = 0;
  if (row < lines.count) {
    for (int64_t i = group.lane; i < lines.size; i += lines.lanes)
      sum += load_float<T>(grad, start + i, dtype) * load_float<T>(out, start + i, dtype);
  }
  sum = group_reduce(lines, group, sum, shared, [](T a, T b) { return a + b; });
  if (group.lane == 0 && row < lines.count) means[row] = sum;
}

// ---- host
template <Part kPart, class S, class T> void launch_tiles(const Work<T>& w, Stream stream) {
  const dim3 grid(static_cast<unsigned>(ceil_div(w.own_rows, kRows<T>)),
                  static_cast<unsigned>(w.all_heads < 65535 ? w.all_heads : 65535));
  constexpr int kFull = kMostWide / kRows<T>;
  if (w.added_width <= kMostWide / 4) {
    FG_LAUNCH((attention_kernel<kPart, S, T, kFull / 4>), grid, kThreads, 0, stream, w);
  } else if (w.added_width <= kMostWide / 2) {
    FG_LAUNCH((attention_kernel<kPart, S, T, kFull / 2>), grid, kThreads, 0, stream, w);
  } else {
    FG_LAUNCH((attention_kernel<kPart, S, T, kFull>), grid, kThreads, 0, stream, w);
  }
}

template <Part kPart, class S, class T> void launch_part(const Work<T>& w, Stream stream) {
  if (w.all_heads == 0 || w.own_rows == 0 || w.added_width == 0) return;
  if constexpr (sizeof(S) == 2) {
    attention_half<S>(kPart, w, stream);
  } else {
    launch_tiles<kPart, S>(w, stream);
  }
}

template <class T> Work<T> work(const AttentionArgs& a) {
  Work<T> w{};
  w.heads = a.heads, w.all_heads = a.batch * a.heads;
  w.width = a.width, w.slope_width = a.value_width;
  w.lse = static_cast<T*>(a.lse);
  w.scale = static_cast<T>(a.scale);
  w.causal = a.causal != 0;
  return w;
}

bool fits(const AttentionArgs& a) {
  if (a.width <= kMostWide && a.value_width <= kMostWide) return true;
  set_error("attention", "heads wider than 256");
  return false;
}

template <class S, class T> void forward_as(const AttentionArgs& a) {
  Work<T> w = work<T>(a);
  w.own = a.q, w.other = a.k, w.added = a.v;
  w.own_rows = a.queries, w.other_rows = a.keys, w.added_width = a.value_width;
  w.out = a.out;
  launch_part<Part::forward, S>(w, a.stream);
}
void attention(const AttentionArgs& a) {
  if (!fits(a)) return;
  switch (a.dtype) {
    case DType::Float64: return forward_as<double, double>(a);
    case DType::Float32: return forward_as<float, float>(a);
    case DType::Float16: return forward_as<Half, float>(a);
    case DType::BFloat16: return forward_as<BHalf, float>(a);
    default: set_error("attention", "dtype not supported");
  }
}

template <class S, class T> void gradient_as(const AttentionArgs& a) {
  const int64_t rows = a.batch * a.heads * a.queries;
  Scratch means(static_cast<size_t>(rows) * sizeof(T), a.stream);
  if (!means) return;
  const Lines lines = Lines::of(rows, a.value_width, 1);
  FG_LAUNCH(row_products_kernel<T>, static_cast<unsigned>(lines.blocks()), kThreads, 0, a.stream, means.as<T>(), a.grad,
            a.out, a.dtype, lines);
  const AttentionOperand g{a.grad, a.heads * a.queries * a.value_width, a.queries * a.value_width, a.value_width};
  Work<T> w = work<T>(a);
  w.means = means.as<T>();

  w.own_rows = a.queries, w.other_rows = a.keys;
  w.own = a.q, w.other = a.k, w.added = a.k, w.added_width = a.width;
  w.own_slope = g, w.other_slope = a.v;
  w.out = a.gq;
  launch_part<Part::queries, S>(w, a.stream);

  w.own_rows = a.keys, w.other_rows = a.queries;
  w.own = a.k, w.other = a.q, w.added = a.q;
  w.own_slope = a.v, w.other_slope = g;
  w.out = a.gk;
  launch_part<Part::keys, S>(w, a.stream);

  w.added = g, w.added_width = a.value_width;
  w.out = a.gv;
  launch_part<Part::values, S>(w, a.stream);
}
void attention_grad(const AttentionArgs& a) {
  if (!fits(a)) return;
  switch (a.dtype) {
    case DType::Float64: return gradient_as<double, double>(a);
    case DType::Float32: return gradient_as<float, float>(a);
    case DType::Float16: return gradient_as<Half, float>(a);
    case DType::BFloat16: return gradient_as<BHalf, float>(a);
    default: set_error("attention", "dtype not supported");
  }
}

}  // namespace

void fill_attention(Backend& table) {
  table.attention = attention;
  table.attention_grad = attention_grad;
}
}  // namespace fg::cuda
