// bfloat16 products with the instruction that multiplies pairs (AVX512-BF16): two steps of k at once, summed in float.
//
// B is packed as pairs along k, 32 bits each, in panels of 64 columns; so is A, in panels of 6 rows, unless its rows
// are contiguous: then they consist of pairs already. A chunk computes a tile of C; sums of one block of k stay in
// registers and, if it is the only one, go to C from there; else those of all blocks are in a float buffer, which is
// rounded once at the end. Every element has one order of additions that depends on sizes alone. Start at
// bf16_product.
#pragma once
#include "cpu/gemm_thin.h"

#if FG_BF16_PAIRS

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
  int64_t tiles_m, a_chunks, columns;  // of a tile
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
    const int64_t begin = chunk * kPairTileRows, end = smaller(begin + kPairTileRows, t.m);
    for (int64_t i = begin; i < end; i += kPairRows) {
      pack_pairs<kPairRows>(t.a + i * t.pairs, q.a + (t.i + i) * q.a_rs + t.p * q.a_cs, q.a_rs, q.a_cs,
                            smaller(kPairRows, t.m - i), t.k);
    }
  } else {
    const int64_t j = (chunk - t.a_chunks) * kPairPanel;
    pack_pairs<kPairPanel>(t.b + j * t.pairs, q.b + t.p * q.b_rs + (t.j + j) * q.b_cs, q.b_cs, q.b_rs,
                           smaller(kPairPanel, t.n - j), t.k);
  }
}

// Rows of A: pair p of row i is at a + i * row + p * step, in bytes. `last`: a single element follows the pairs.
struct PairRows {
  const char* a;
  int64_t row, step, pairs;
  bool last;
};

// Rounded to the nearest as narrow() does it, 16 lanes.
FG_INLINE __m256i narrow_lanes(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i top = _mm512_srli_epi32(rounded, 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(top, nan, _mm512_set1_epi32(0x7fc0)));
}

// The first `rows` rows of sums (6, 64) of rows of A and a panel of B, or of `direct`, the same place in C.
__attribute__((noinline, target("avx512bf16"))) void multiply_pairs(const PairRows& t, const Pair* b, float* sums,
                                                                    int64_t pitch, bool first, int rows, BF16* direct,
                                                                    int64_t direct_pitch) {
  __m512 sum[kPairRows][4];
  const char* a[kPairRows];
#pragma GCC unroll 6
  for (int i = 0; i < kPairRows; ++i) {
    a[i] = t.a + (i < rows ? i : 0) * t.row;
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
      sum[i][j] = first || i >= rows ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + i * pitch + 16 * j);
  }
  const int64_t end = t.pairs * t.step;
  for (int64_t at = 0; at < end; at += t.step, b += kPairPanel) {
    __m512bh row[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) row[j] = (__m512bh)_mm512_loadu_si512(b + 16 * j);
#pragma GCC unroll 6
    for (int i = 0; i < kPairRows; ++i) {
      int pair;
      memcpy(&pair, a[i] + at, sizeof pair);
      const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], x, row[j]);
    }
  }
  if (t.last) {
#pragma GCC unroll 6
    for (int i = 0; i < kPairRows; ++i) {
      uint16_t single;
      memcpy(&single, a[i] + end, sizeof single);
      const __m512bh x = (__m512bh)_mm512_set1_epi32(single);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], x, (__m512bh)_mm512_loadu_si512(b + 16 * j));
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kPairRows; ++i) {
    if (i >= rows) break;
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      if (direct)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(direct + i * direct_pitch + 16 * j), narrow_lanes(sum[i][j]));
      else _mm512_storeu_ps(sums + i * pitch + 16 * j, sum[i][j]);
    }
  }
}

void multiply_pair_chunk(void* context, int64_t chunk) {
  const PairBlock& t = *static_cast<const PairBlock*>(context);
  const Problem<BF16, float>& q = *t.q;
  const int64_t i0 = chunk % t.tiles_m * kPairTileRows, i1 = smaller(i0 + kPairTileRows, t.m);
  const int64_t j0 = chunk / t.tiles_m * t.columns, j1 = smaller(j0 + t.columns, t.n);
  const bool at_once = t.first && t.final && q.finish.plain;
  PairRows rows{nullptr, 4, 4 * kPairRows, t.pairs, false};
  if (!t.a) rows = {nullptr, 2 * q.a_rs, 4, t.k / 2, t.k % 2 != 0};
  for (int64_t j = j0; j < j1; j += kPairPanel) {
    const bool direct = at_once && t.n - j >= kPairPanel;
    for (int64_t i = i0; i < i1; i += kPairRows) {
      rows.a = t.a ? reinterpret_cast<const char*>(t.a + i * t.pairs)
                   : reinterpret_cast<const char*>(q.a + (t.i + i) * q.a_rs + t.p);
      multiply_pairs(rows, t.b + j * t.pairs, t.sums + i * t.pitch + j, t.pitch, t.first,
                     static_cast<int>(smaller(kPairRows, t.m - i)),
                     direct ? q.c + (t.i + i) * q.c_rs + t.j + j : nullptr, q.c_rs);
    }
  }
  if (!t.final) return;
  const Finish<float, BF16>& f = q.finish;
  const int64_t from = at_once ? j0 + (j1 - j0) / kPairPanel * kPairPanel : j0;
  if (from == j1) return;
  const BF16* bias = f.bias ? f.bias + (t.i + i0) * f.bias_rs + (t.j + from) * f.bias_cs : nullptr;
  finish_rows<float, BF16>(t.sums + i0 * t.pitch + from, t.pitch, i1 - i0, j1 - from,
                           q.c + (t.i + i0) * q.c_rs + t.j + from, q.c_rs, 1, bias, f);
}

// False: not done, for the machine or the sizes.
bool bf16_product(const Problem<BF16, float>& q, bool serial) {
  if (q.m < 4 || q.n < 16 || q.k < 16 || !multiplies_pairs()) return false;
  constexpr int64_t kHeight = 768, kWidth = 2048;
  const int64_t height = smaller(kHeight, q.m), width = smaller(kWidth, ceil_div(q.n, kPairPanel) * kPairPanel);
  const int64_t depth = smaller(kPairDepth, ceil_div(q.k, 2));
  const bool in_place = q.a_cs == 1;
  const int64_t a_size = in_place ? 0 : ceil_div(height, kPairRows) * kPairRows * depth, b_size = width * depth;
  Buffer<16384> memory;
  char* space = static_cast<char*>(memory.get((a_size + b_size + height * width) * 4 + 128));
  PairBlock t;
  t.q = &q;
  t.b = reinterpret_cast<Pair*>(space);
  t.sums = reinterpret_cast<float*>(space + b_size * 4);
  t.a = in_place ? nullptr : reinterpret_cast<Pair*>(space + (b_size + height * width) * 4);
  t.pitch = width;
  for (t.j = 0; t.j < q.n; t.j += width) {
    t.n = smaller(width, q.n - t.j);
    for (t.i = 0; t.i < q.m; t.i += height) {
      t.m = smaller(height, q.m - t.i);
      for (t.p = 0; t.p < q.k; t.p += 2 * depth) {
        t.k = smaller(2 * depth, q.k - t.p);
        t.pairs = ceil_div(t.k, 2);
        t.first = t.p == 0, t.final = t.p + t.k == q.k;
        t.tiles_m = ceil_div(t.m, kPairTileRows);
        t.a_chunks = in_place ? 0 : t.tiles_m;
        t.columns = kPairTileColumns;  // less for small products, to have some tiles for every thread
        while (t.columns > kPairPanel && t.tiles_m * ceil_div(t.n, t.columns) < 16) t.columns /= 2;
        run(t.a_chunks + ceil_div(t.n, kPairPanel), t.k * ((in_place ? 0 : t.m) + t.n) / 8, pack_pair_chunk, &t,
            serial);
        run(t.tiles_m * ceil_div(t.n, t.columns), cost_of<float>(t.m, t.n, t.k) / 2, multiply_pair_chunk, &t, serial);
      }
    }
  }
  memory.done();
  return true;
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
#endif
