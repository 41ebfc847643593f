// Matrix-vector products, dots and other thin matmuls, where every element of the large operand is used a few times
// only: bound by memory, so nothing is packed and the large operand is read once, in its own order.
//
// out (M, N) = x (M, k) @ w (N, k)^T with M the smaller side. w with contiguous k: dot products (dot_block); w with
// contiguous N and M == 1: rows scaled and added (sweep). Sums over a long k are cut into fixed pieces, added in
// order.
#pragma once
#include "cpu/backend_cpu.h"
#include "cpu/gemm_kernel.h"
#include "cpu/parallel.h"

namespace fg::cpu::FG_ISA {
namespace {

template <class S, class T>
struct Problem {
  int64_t m, n, k;
  const S* a;
  int64_t a_rs, a_cs;
  const S* b;
  int64_t b_rs, b_cs;
  S* c;
  int64_t c_rs;
  Finish<T, S> finish;
};

constexpr int64_t kSmallCost = 4000;  // ns, below which threads are not asked
template <class T>
FG_INLINE int64_t cost_of(int64_t m, int64_t n, int64_t k) {  // ns on one thread, at 3/4 of a 3 GHz core's peak
  return m * n * k / (kLanes<T> * 2);
}

FG_INLINE void run(int64_t chunks, int64_t cost, void (*fn)(void*, int64_t), void* context, bool serial) {
  if (chunks > 1 && !serial && cost > kSmallCost) {
    parallel_for(chunks, cost, fn, context);
  } else {
    for (int64_t i = 0; i < chunks; ++i) fn(context, i);
  }
}

// Memory that is on the stack while small.
template <int64_t Bytes>
struct Buffer {
  alignas(64) char local[Bytes];
  void* block = nullptr;
  size_t size = 0;
  FG_INLINE void* get(int64_t bytes) {
    if (bytes <= Bytes) return local;
    size = static_cast<size_t>(bytes);
    block = scratch(size);
    return block;
  }
  FG_INLINE void done() {
    if (block) release_scratch(block, size);
  }
};

// out[i * out_i + j] = dot of row i of x and row j of w, for R rows of x and C rows of w.
template <class S, class T, int R, int C>
__attribute__((noinline)) void dot_block(int64_t k, const S* x, int64_t x_rs, const S* w, int64_t w_rs, T* out,
                                         int64_t out_i) {
  constexpr int L = kLanes<T>, U = R * C >= 8 ? 1 : 8 / (R * C);
  Vec<T, L> sums[R][C][U] = {};
  int64_t p = 0;
  auto step = [&](auto&& get, int u, int64_t at) __attribute__((always_inline)) {
    Vec<T, L> left[R];
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) left[i] = get(x + i * x_rs + at);
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) {
      Vec<T, L> right = get(w + j * w_rs + at);
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) sums[i][j][u] += left[i] * right;
    }
  };
  auto whole = [](const S* at) __attribute__((always_inline)) { return load<L>(at); };
  for (; p + U * L <= k; p += U * L) {
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) step(whole, u, p + u * L);
  }
  if constexpr (U > 1) {
    for (; p + L <= k; p += L) step(whole, 0, p);
  }
  if (p < k) {
    const int rest = static_cast<int>(k - p);
    step([rest](const S* at) __attribute__((always_inline)) { return load_part(at, rest); }, 0, p);
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) {
      Vec<T, L> sum = sums[i][j][0];
#pragma GCC unroll 8
      for (int u = 1; u < U; ++u) sum += sums[i][j][u];
      out[i * out_i + j] = sum_lanes<L>(sum);
    }
  }
}

#if defined(__AVX512F__)
#define FG_BF16_PAIRS 1
FG_INLINE bool multiplies_pairs() { return __builtin_cpu_supports("avx512bf16"); }

// dot_block with the instruction that multiplies pairs of bfloat16 and adds in float.
template <int R, int C>
__attribute__((noinline, target("avx512bf16"))) void dot_pairs(int64_t k, const BF16* x, int64_t x_rs, const BF16* w,
                                                               int64_t w_rs, float* out, int64_t out_i) {
  __m512 sums[R][C];
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) sums[i][j] = _mm512_setzero_ps();
  }
  for (int64_t p = 0; p < k; p += 32) {
    const __mmask32 which = k - p >= 32 ? ~__mmask32(0) : (__mmask32(1) << (k - p)) - 1;
    __m512bh left[R];
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) left[i] = (__m512bh)_mm512_maskz_loadu_epi16(which, x + i * x_rs + p);
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) {
      const __m512bh right = (__m512bh)_mm512_maskz_loadu_epi16(which, w + j * w_rs + p);
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) sums[i][j] = _mm512_dpbf16_ps(sums[i][j], left[i], right);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) out[i * out_i + j] = sum_lanes<16>((Vec<float, 16>)sums[i][j]);
  }
}
#endif

template <class S, class T, int R>
void dot_rows(int64_t n, int64_t k, const S* x, int64_t x_rs, const S* w, int64_t w_rs, T* out, int64_t out_i) {
  constexpr int C = kDotColumns;  // R * C sums and R + 1 operands fit the registers
  int64_t j = 0;
#if FG_BF16_PAIRS
  if constexpr (__is_same(S, BF16)) {
    if (multiplies_pairs()) {
      for (; j + C <= n; j += C) dot_pairs<R, C>(k, x, x_rs, w + j * w_rs, w_rs, out + j, out_i);
      for (; j < n; ++j) dot_pairs<R, 1>(k, x, x_rs, w + j * w_rs, w_rs, out + j, out_i);
      return;
    }
  }
#endif
  for (; j + C <= n; j += C) dot_block<S, T, R, C>(k, x, x_rs, w + j * w_rs, w_rs, out + j, out_i);
  for (; j < n; ++j) dot_block<S, T, R, 1>(k, x, x_rs, w + j * w_rs, w_rs, out + j, out_i);
}

// out[j] = sum over p of x[p] * w[p * w_rs + j], j < n <= kSweep
constexpr int64_t kSweep = 1024;
template <class S, class T>
__attribute__((noinline)) void sweep(int64_t n, int64_t k, const S* x, const S* w, int64_t w_rs, T* out) {
  constexpr int L = kLanes<T>;
  const int64_t whole = n / L * L;
  alignas(64) T sums[kSweep];
  for (int64_t j = 0; j < n; ++j) sums[j] = T(0);
  int64_t p = 0;
  for (; p + 8 <= k; p += 8) {
    const S* row = w + p * w_rs;
    T scale[8];
    for (int i = 0; i < 8; ++i) scale[i] = widen(x[p + i]);
    for (int64_t j = 0; j < whole; j += L) {
      Vec<T, L> sum = load<L>(sums + j);
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) sum += scale[i] * load<L>(row + i * w_rs + j);
      store(sums + j, sum);
    }
    for (int64_t j = whole; j < n; ++j) {
      for (int i = 0; i < 8; ++i) sums[j] += scale[i] * widen(row[i * w_rs + j]);
    }
  }
  for (; p < k; ++p) {
    const S* row = w + p * w_rs;
    const T scale = widen(x[p]);
    for (int64_t j = 0; j < whole; j += L) store(sums + j, load<L>(sums + j) + scale * load<L>(row + j));
    for (int64_t j = whole; j < n; ++j) sums[j] += scale * widen(row[j]);
  }
  memcpy(out, sums, static_cast<size_t>(n) * sizeof(T));
}

template <class S, class T>
struct Thin {
  int64_t m, n, k;
  const S *x, *w;
  int64_t x_rs, w_rs, w_cs;
  S* c;
  int64_t c_i, c_j;
  Finish<T, S> finish;                   // strides of bias along i and j
  T* sums;                               // [pieces][m][n]
  int64_t width, step, columns, pieces;  // of a chunk in n and k; number of chunks along n, k

  void end(int64_t j, int64_t count) const {
    const S* bias = finish.bias ? finish.bias + j * finish.bias_cs : nullptr;
    finish_rows<T, S>(sums + j, n, m, count, c + j * c_j, c_i, c_j, bias, finish);
  }

  static void chunk(void* context, int64_t index) {
    const Thin& t = *static_cast<const Thin*>(context);
    const int64_t piece = index / t.columns, j = index % t.columns * t.width, p = piece * t.step;
    const int64_t count = smaller(t.width, t.n - j), k = smaller(t.step, t.k - p);
    if (count <= 0) return;
    T* out = t.sums + piece * t.m * t.n + j;
    const S* w = t.w + j * t.w_rs + p * t.w_cs;
    const S* x = t.x + p;
    if (t.w_cs == 1) {
      int64_t i = 0;
      for (; i + 4 <= t.m; i += 4) {
        dot_rows<S, T, 4>(count, k, x + i * t.x_rs, t.x_rs, w, t.w_rs, out + i * t.n, t.n);
      }
      for (; i + 2 <= t.m; i += 2) {
        dot_rows<S, T, 2>(count, k, x + i * t.x_rs, t.x_rs, w, t.w_rs, out + i * t.n, t.n);
      }
      for (; i < t.m; ++i) dot_rows<S, T, 1>(count, k, x + i * t.x_rs, t.x_rs, w, t.w_rs, out + i * t.n, t.n);
    } else if (t.w_rs == 1) {
      sweep<S, T>(count, k, x, w, t.w_cs, out);
    } else {
      for (int64_t r = 0; r < count; ++r) {
        T sum = 0;
        for (int64_t q = 0; q < k; ++q) sum += widen(x[q]) * widen(w[r * t.w_rs + q * t.w_cs]);
        out[r] = sum;
      }
    }
    if (t.pieces == 1) t.end(j, count);
  }
};

// min(m, n) is 1, or at most 16 with k contiguous in both operands.
template <class S, class T>
__attribute__((noinline)) void thin(const Problem<S, T>& q, bool serial) {
  const bool wide = q.m <= q.n;
  Thin<S, T> t;
  t.k = q.k;
  t.finish = q.finish;
  int64_t x_cs;
  if (wide) {
    t.m = q.m, t.n = q.n, t.x = q.a, t.x_rs = q.a_rs, x_cs = q.a_cs;
    t.w = q.b, t.w_rs = q.b_cs, t.w_cs = q.b_rs, t.c_i = q.c_rs, t.c_j = 1;
  } else {
    t.m = q.n, t.n = q.m, t.x = q.b, t.x_rs = q.b_cs, x_cs = q.b_rs;
    t.w = q.a, t.w_rs = q.a_rs, t.w_cs = q.a_cs, t.c_i = 1, t.c_j = q.c_rs;
    t.finish.bias_rs = q.finish.bias_cs, t.finish.bias_cs = q.finish.bias_rs;
  }
  t.c = q.c;
  Buffer<4096> copy, sums;
  if (x_cs != 1) {  // then m == 1
    S* to = static_cast<S*>(copy.get(t.k * static_cast<int64_t>(sizeof(S))));
    for (int64_t p = 0; p < t.k; ++p) to[p] = t.x[p * x_cs];
    t.x = to;
  }
  const int64_t total = t.m * t.n * t.k, target = most(1, smaller(64, total / 32768));
  const bool sweeping = t.w_cs != 1 && t.w_rs == 1;
  const int64_t most_columns = sweeping ? ceil_div(t.n, kSweep) : ceil_div(t.n, 4);
  t.columns = sweeping ? most_columns : smaller(most_columns, target);
  t.width = ceil_div(t.n, t.columns);
  if (!sweeping) t.width = ceil_div(t.width, 4) * 4;
  t.pieces = most(1, smaller(target / t.columns, t.k / (sweeping ? 64 : 4096)));
  t.step = ceil_div(t.k, t.pieces);
  t.pieces = ceil_div(t.k, t.step);
  t.sums = static_cast<T*>(sums.get(t.pieces * t.m * t.n * static_cast<int64_t>(sizeof(T))));
  // Bound by memory: about 0.1 ns a byte.
  const int64_t cost = t.n * t.k * static_cast<int64_t>(sizeof(S)) / 16 + cost_of<T>(t.m, t.n, t.k);
  run(t.columns * t.pieces, cost, Thin<S, T>::chunk, &t, serial);
  if (t.pieces > 1) {
    const int64_t count = t.m * t.n;
    for (int64_t s = 1; s < t.pieces; ++s) {
      for (int64_t i = 0; i < count; ++i) t.sums[i] += t.sums[s * count + i];
    }
    t.end(0, t.n);
  }
  sums.done();
  copy.done();
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
