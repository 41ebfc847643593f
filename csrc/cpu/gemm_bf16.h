// bfloat16 products with the instruction that multiplies pairs (AVX512-BF16): two steps of k at once, summed in float.
//
// Operands are packed as pairs along k, 32 bits each: panels of 6 rows of A, of 64 columns of B. A chunk computes a
// tile of C; sums of one block of k stay in registers, those of all blocks in a float buffer, which is rounded once at
// the end. Every element has one order of additions that depends on sizes alone. Start at bf16_product.
#pragma once
#include "cpu/gemm_thin.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define FG_BF16_PAIRS 1

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kPairRows = 6, kPairPanel = 64, kPairDepth = 512;  // the last in pairs
constexpr int64_t kPairTileRows = 96, kPairTileColumns = 256;

typedef uint32_t Pair;

struct PairBlock {
  const Problem<BF16, float>* q;
  int64_t i, m, j, n, p, pairs, k;  // this block of C and of k; k steps, the last pair may be half empty
  Pair *a, *b;
  float* sums;
  int64_t pitch;
  bool first, final;
  int64_t tiles_m, a_chunks;
};

FG_INLINE Pair pair_of(BF16 low, BF16 high) { return low.bits | static_cast<Pair>(high.bits) << 16; }
FG_INLINE Pair load_pair(const BF16* p) {
  Pair pair;
  memcpy(&pair, p, sizeof pair);
  return pair;
}

// out[p * width + r]: pair p of line r, for `lines` lines of `k` elements; lines up to width are zero.
template <int64_t width>
__attribute__((noinline)) void pack_pairs(Pair* out, const BF16* in, int64_t line, int64_t step, int64_t lines,
                                          int64_t k) {
  const int64_t pairs = k / 2;
  if (lines < width) memset(out, 0, sizeof(Pair) * static_cast<size_t>(width * ceil_div(k, 2)));
  int64_t done = 0;
  if (step == 1 && width % 16 == 0 && lines == width) {  // 16 x 16 pairs at a time, transposed in registers
    for (; done + 16 <= pairs; done += 16) {
      for (int64_t r = 0; r < width; r += 16) {
        Vec<float, 16> block[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) memcpy(&block[i], in + (r + i) * line + 2 * done, sizeof block[i]);
        transpose<float, 16>(block);
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) memcpy(out + (done + i) * width + r, &block[i], sizeof block[i]);
      }
    }
  }
  if (step == 1) {
    for (int64_t r = 0; r < lines; ++r) {
      const BF16* from = in + r * line;
      for (int64_t p = done; p < pairs; ++p) out[p * width + r] = load_pair(from + 2 * p);
    }
  } else if (line == 1) {
    for (int64_t p = 0; p < pairs; ++p) {
      const BF16 *low = in + 2 * p * step, *high = low + step;
      for (int64_t r = 0; r < lines; ++r) out[p * width + r] = pair_of(low[r], high[r]);
    }
  } else {
    for (int64_t p = 0; p < pairs; ++p) {
      for (int64_t r = 0; r < lines; ++r) {
        const BF16* from = in + r * line + 2 * p * step;
        out[p * width + r] = pair_of(from[0], from[step]);
      }
    }
  }
  if (k % 2) {
    for (int64_t r = 0; r < lines; ++r) out[pairs * width + r] = in[r * line + (k - 1) * step].bits;
  }
}

void pack_pair_chunk(void* context, int64_t chunk) {
  const PairBlock& t = *static_cast<const PairBlock*>(context);
  const Problem<BF16, float>& q = *t.q;
  if (chunk < t.a_chunks) {
    const int64_t begin = chunk * kPairTileRows, end = least(begin + kPairTileRows, t.m);
    for (int64_t i = begin; i < end; i += kPairRows) {
      pack_pairs<kPairRows>(t.a + i * t.pairs, q.a + (t.i + i) * q.a_rs + t.p * q.a_cs, q.a_rs, q.a_cs,
                            least(kPairRows, t.m - i), t.k);
    }
  } else {
    const int64_t j = (chunk - t.a_chunks) * kPairPanel;
    pack_pairs<kPairPanel>(t.b + j * t.pairs, q.b + t.p * q.b_rs + (t.j + j) * q.b_cs, q.b_cs, q.b_rs,
                           least(kPairPanel, t.n - j), t.k);
  }
}

// sums (6, 64) of a panel of A and one of B.
__attribute__((noinline, target("avx512bf16"))) void multiply_pairs(const Pair* a, const Pair* b, int64_t pairs,
                                                                    float* sums, int64_t pitch, bool first, int rows) {
  __m512 sum[kPairRows][4];
#pragma GCC unroll 6
  for (int i = 0; i < kPairRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
      sum[i][j] = first || i >= rows ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + i * pitch + 16 * j);
  }
  for (int64_t p = 0; p < pairs; ++p, a += kPairRows, b += kPairPanel) {
    __m512bh row[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) row[j] = (__m512bh)_mm512_loadu_si512(b + 16 * j);
#pragma GCC unroll 6
    for (int i = 0; i < kPairRows; ++i) {
      const __m512bh x = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[i]));
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], x, row[j]);
    }
  }
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) _mm512_storeu_ps(sums + i * pitch + 16 * j, sum[i][j]);
  }
}

void multiply_pair_chunk(void* context, int64_t chunk) {
  const PairBlock& t = *static_cast<const PairBlock*>(context);
  const Problem<BF16, float>& q = *t.q;
  const int64_t i0 = chunk % t.tiles_m * kPairTileRows, i1 = least(i0 + kPairTileRows, t.m);
  const int64_t j0 = chunk / t.tiles_m * kPairTileColumns, j1 = least(j0 + kPairTileColumns, t.n);
  for (int64_t j = j0; j < j1; j += kPairPanel) {
    for (int64_t i = i0; i < i1; i += kPairRows) {
      multiply_pairs(t.a + i * t.pairs, t.b + j * t.pairs, t.pairs, t.sums + i * t.pitch + j, t.pitch, t.first,
                     static_cast<int>(least(kPairRows, t.m - i)));
    }
  }
  if (!t.final) return;
  const Finish<float, BF16>& f = q.finish;
  const BF16* bias = f.bias ? f.bias + (t.i + i0) * f.bias_rs + (t.j + j0) * f.bias_cs : nullptr;
  finish_rows<float, BF16>(t.sums + i0 * t.pitch + j0, t.pitch, i1 - i0, j1 - j0, q.c + (t.i + i0) * q.c_rs + t.j + j0,
                           q.c_rs, 1, bias, f);
}

// False: not done, for the machine or the sizes.
bool bf16_product(const Problem<BF16, float>& q, bool serial) {
  if (q.m < 4 || q.n < 16 || q.k < 16 || !__builtin_cpu_supports("avx512bf16")) return false;
  constexpr int64_t kHeight = 768, kWidth = 2048;
  const int64_t height = least(kHeight, q.m), width = least(kWidth, ceil_div(q.n, kPairPanel) * kPairPanel);
  const int64_t depth = least(kPairDepth, ceil_div(q.k, 2));
  const int64_t a_size = ceil_div(height, kPairRows) * kPairRows * depth, b_size = width * depth;
  Buffer<16384> memory;
  char* space = static_cast<char*>(memory.get((a_size + b_size + height * width) * 4 + 128));
  PairBlock t;
  t.q = &q;
  t.b = reinterpret_cast<Pair*>(space);
  t.sums = reinterpret_cast<float*>(space + b_size * 4);
  t.a = reinterpret_cast<Pair*>(space + (b_size + height * width) * 4);
  t.pitch = width;
  for (t.j = 0; t.j < q.n; t.j += width) {
    t.n = least(width, q.n - t.j);
    for (t.i = 0; t.i < q.m; t.i += height) {
      t.m = least(height, q.m - t.i);
      for (t.p = 0; t.p < q.k; t.p += 2 * depth) {
        t.k = least(2 * depth, q.k - t.p);
        t.pairs = ceil_div(t.k, 2);
        t.first = t.p == 0, t.final = t.p + t.k == q.k;
        t.a_chunks = ceil_div(t.m, kPairTileRows);
        t.tiles_m = t.a_chunks;
        run(t.a_chunks + ceil_div(t.n, kPairPanel), t.k * (t.m + t.n) / 8, pack_pair_chunk, &t, serial);
        run(t.tiles_m * ceil_div(t.n, kPairTileColumns), cost_of<float>(t.m, t.n, t.k) / 2, multiply_pair_chunk, &t,
            serial);
      }
    }
  }
  memory.done();
  return true;
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
#endif
