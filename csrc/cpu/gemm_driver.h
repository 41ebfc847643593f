// Matmul above the micro-kernel: which path a product takes, how it is blocked, packed and cut into chunks.
//
// gemm -> batch loop -> one: thin (gemm_thin.h) | split k | blocked: the usual loop nest, where each operand is packed
// only if reading it in place would cost more. A chunk computes a tile of C; every element of C has one order of
// additions that depends on sizes and strides alone.
#pragma once
#include "cpu/gemm_bf16.h"
#include "cpu/gemm_pack.h"
#include "cpu/gemm_thin.h"

namespace fg::cpu::FG_ISA {
namespace {

template <class A, class B>
constexpr bool kSame = false;
template <class A>
constexpr bool kSame<A, A> = true;

template <class T>
constexpr int64_t kDepth = sizeof(T) == 4 ? 512 : 384;  // steps of k in a packed panel
constexpr int64_t kDirect = 512;                        // a B with longer k or rows is packed
constexpr int64_t kTileRows = 96;
constexpr int64_t kTilePanels = 4;
constexpr int64_t kShallow = 16;  // up to this k a product costs less than writing it

// One block of C: m x n with k steps, its operands packed or not.
template <class S, class T>
struct Block {
  int64_t m, n, k;
  const S* a;
  int64_t a_rs, a_cs;
  const S* b;
  int64_t b_rs, b_cs;
  T *packed_a, *packed_b;  // or null
  T* c;                    // where sums go: C itself, or a float copy of the block
  int64_t c_rs;
  S* target;  // C, for types that sum elsewhere; null but in the last block of k
  int64_t target_rs;
  Finish<T> finish;  // of the sums
  const T* bias;
  Finish<T, S> last;  // of the conversion
  const S* last_bias;
  int64_t rows, columns;  // of a tile
  int64_t tiles_m, tiles_n;
  int64_t a_rows;  // of A packed by one chunk
  int64_t b_chunks;

  static void pack(void* context, int64_t index) {
    const Block& t = *static_cast<const Block*>(context);
    constexpr int64_t N = kPanel<T>;
    if (index < t.b_chunks) {
      const int64_t j = index * N;
      pack_b<S, T>(t.packed_b + j * t.k, t.b + j * t.b_cs, t.b_rs, t.b_cs, t.k, smaller(N, t.n - j));
    } else {
      const int64_t i = (index - t.b_chunks) * t.a_rows;
      pack_a<S, T>(t.packed_a + i * t.k, t.a + i * t.a_rs, t.a_rs, t.a_cs, smaller(t.a_rows, t.m - i), t.k);
    }
  }

  static void tile(void* context, int64_t index) {
    const Block& t = *static_cast<const Block*>(context);
    const int64_t i0 = index % t.tiles_m * t.rows, j = index / t.tiles_m * t.columns;
    const int64_t end = smaller(i0 + t.rows, t.m), band = t.k <= kShallow ? rows_of(kPanelVecs) : t.rows;
    for (int64_t i = i0; i < end; i += band) t.multiply_tile(i, smaller(i + band, end), j, smaller(j + t.columns, t.n));
  }

  __attribute__((noinline)) void multiply_tile(int64_t i0, int64_t i1, int64_t j0, int64_t j1) const {
    if (i0 >= i1 || j0 >= j1) return;
    constexpr int64_t N = kPanel<T>;
    Tile<T> tile;
    tile.k = k;
    tile.c_rs = c_rs;
    tile.finish = &finish;
    for (int64_t j = j0; j < j1; j += N) {
      const int width = static_cast<int>(smaller(N, j1 - j));
      const int vectors = (width + kLanes<T> - 1) / kLanes<T>;
      const int64_t step = packed_a ? kRows : rows_of(vectors);
      tile.columns = width;
      tile.b = packed_b ? packed_b + j * k : reinterpret_cast<const T*>(b) + j;
      tile.b_rs = packed_b ? N : b_rs;
      for (int64_t i = i0; i < i1; i += step) {
        const int count = static_cast<int>(smaller(step, i1 - i));
        tile.a = packed_a ? packed_a + i * k : reinterpret_cast<const T*>(a) + i * a_rs;
        tile.a_rs = packed_a ? 1 : a_rs;
        tile.a_cs = packed_a ? kRows : a_cs;
        tile.c = c + i * c_rs + j;
        tile.bias = bias ? bias + i * finish.bias_rs + j * finish.bias_cs : nullptr;
        Kernels<T>::get(count, width)(tile);
      }
    }
    if constexpr (!kSame<S, T>) {
      if (target) {
        const S* at = last_bias ? last_bias + i0 * last.bias_rs + j0 * last.bias_cs : nullptr;
        finish_rows<T, S>(c + i0 * c_rs + j0, c_rs, i1 - i0, j1 - j0, target + i0 * target_rs + j0, target_rs, 1, at,
                          last);
      }
    }
  }
};

// Tiles: as small as pays (about 1 us for small products, to have some for every thread), up to 96 x 4 panels.
template <class S, class T>
void cut(Block<S, T>& t) {
  const int64_t total = t.m * t.n * t.k;
  const int64_t target = most(1, smaller(total / 131072, 1 << 20));
  t.rows = kTileRows;
  t.columns = kTilePanels * kPanel<T>;
  if (ceil_div(t.m, t.rows) * ceil_div(t.n, t.columns) < smaller(target, 64)) {
    const int64_t wanted = smaller(target, 64);
    const int64_t down = smaller(wanted, ceil_div(t.m, 4 * kRows));
    t.rows = smaller(kTileRows, ceil_div(t.m, down));
    const int64_t across = smaller(ceil_div(wanted, ceil_div(t.m, t.rows)), ceil_div(t.n, kPanel<T>));
    t.columns = smaller(t.columns, ceil_div(ceil_div(t.n, across), kPanel<T>) * kPanel<T>);
  }
  if (t.k <= kShallow && t.n > t.columns) {  // bound by writing C: whole rows, in order
    t.columns = t.n;
    t.rows = most(rows_of(kPanelVecs), smaller(kTileRows, 65536 / t.n));
  }
  t.rows = ceil_div(t.m, ceil_div(t.m, t.rows));  // of equal size
  if (t.packed_a) t.rows = ceil_div(t.rows, kRows) * kRows;
  t.tiles_m = ceil_div(t.m, t.rows);
  t.tiles_n = ceil_div(t.n, t.columns);
}

// Even pieces of at most `limit`, rounded up to `unit`.
FG_INLINE int64_t piece(int64_t total, int64_t limit, int64_t unit) {
  int64_t even = ceil_div(total, ceil_div(total, limit));
  return smaller(ceil_div(even, unit) * unit, most(total, 1));
}

template <class T>
FG_INLINE bool rows_collide(int64_t stride) {  // multiples of 2 KB fall on few cache sets
  return stride * static_cast<int64_t>(sizeof(T)) % 2048 == 0;
}

template <class S, class T>
__attribute__((noinline)) void blocked(const Problem<S, T>& q, bool serial) {
  constexpr bool convert = !kSame<S, T>;
  constexpr int64_t N = kPanel<T>;
  bool pack_b = convert || q.b_cs != 1;
  if (!pack_b && q.m > 4 * kRows) {
    pack_b = q.k > kDirect || (q.n > kDirect && q.m > kDirect / 2) || (q.n > N && q.k > 128 && rows_collide<T>(q.b_rs));
  }
  const bool long_columns = q.a_cs != 1 && q.k > 64 && q.n > N;
  const bool pack_a = convert || long_columns || (pack_b && q.k > kDirect && q.n > 2 * N);

  const int64_t depth = pack_a || pack_b ? piece(q.k, kDepth<T>, 1) : q.k;
  const int64_t height = pack_a ? piece(q.m, convert ? 768 : 3072, kRows) : q.m;
  const int64_t width = pack_b ? piece(q.n, convert ? 2048 : 4096, N) : q.n;
  const int64_t a_size = pack_a ? ceil_div(height, kRows) * kRows * depth : 0;
  const int64_t b_size = pack_b ? ceil_div(width, N) * N * depth : 0;
  const int64_t c_size = convert ? height * width : 0;
  Buffer<16384> memory;
  T* space = nullptr;
  if (a_size + b_size + c_size > 0) {
    const int64_t bytes = (a_size + b_size + c_size) * static_cast<int64_t>(sizeof(T)) + 128;
    space = static_cast<T*>(memory.get(bytes));
  }
  const int64_t a_at = (b_size + 15) / 16 * 16, c_at = (a_at + a_size + 15) / 16 * 16;  // 64-byte aligned

  Block<S, T> t;
  t.packed_a = pack_a ? space + a_at : nullptr;
  t.packed_b = pack_b ? space : nullptr;
  t.a_rs = q.a_rs, t.a_cs = q.a_cs, t.b_rs = q.b_rs, t.b_cs = q.b_cs;
  t.last = q.finish;
  for (int64_t j = 0; j < q.n; j += width) {
    t.n = smaller(width, q.n - j);
    for (int64_t i = 0; i < q.m; i += height) {
      t.m = smaller(height, q.m - i);
      const S* bias = q.finish.bias ? q.finish.bias + i * q.finish.bias_rs + j * q.finish.bias_cs : nullptr;
      for (int64_t p = 0; p < q.k; p += depth) {
        t.k = smaller(depth, q.k - p);
        t.a = q.a + i * q.a_rs + p * q.a_cs;
        t.b = q.b + p * q.b_rs + j * q.b_cs;
        const bool first = p == 0, final = p + t.k == q.k;
        S* c = q.c + i * q.c_rs + j;
        if constexpr (convert) {
          t.c = space + c_at, t.c_rs = width;
          t.finish = {T(1), first ? T(0) : T(1), nullptr, 0, 0, first};
          t.bias = nullptr;
          t.target = final ? c : nullptr, t.target_rs = q.c_rs;
          t.last_bias = bias;
        } else {
          t.c = c, t.c_rs = q.c_rs;
          t.finish = q.finish;
          t.bias = bias;
          if (!first) {
            t.finish = {q.finish.alpha, T(1), nullptr, 0, 0, false};
            t.bias = nullptr;
          }
        }
        cut(t);
        if (pack_a || pack_b) {
          t.a_rows = 16 * kRows;
          t.b_chunks = pack_b ? ceil_div(t.n, N) : 0;
          const int64_t a_chunks = pack_a ? ceil_div(t.m, t.a_rows) : 0;
          const int64_t cost = t.k * ((pack_a ? t.m : 0) + (pack_b ? t.n : 0)) / 4;
          run(t.b_chunks + a_chunks, cost, Block<S, T>::pack, &t, serial);
        }
        run(t.tiles_m * t.tiles_n, cost_of<T>(t.m, t.n, t.k), Block<S, T>::tile, &t, serial);
      }
    }
  }
  memory.done();
}

// Few elements of C and a long k: pieces of k into partial results, added in order.
template <class S, class T>
void one(const Problem<S, T>& q, bool serial);

template <class T>
struct Split {
  Problem<T, T> q;
  T* sums;
  int64_t step;
  static void chunk(void* context, int64_t index) {
    const Split& t = *static_cast<const Split*>(context);
    Problem<T, T> part = t.q;
    const int64_t p = index * t.step;
    part.k = smaller(t.step, t.q.k - p);
    part.a += p * part.a_cs;
    part.b += p * part.b_rs;
    part.c = t.sums + index * part.m * part.n;
    part.c_rs = part.n;
    part.finish = {T(1), T(0), nullptr, 0, 0, true};
    one<T, T>(part, true);
  }
};

template <class T>
__attribute__((noinline)) void split(const Problem<T, T>& q, int64_t pieces, bool serial) {
  Split<T> t;
  t.q = q;
  t.step = ceil_div(q.k, pieces);
  pieces = ceil_div(q.k, t.step);
  const int64_t count = q.m * q.n;
  const size_t bytes = static_cast<size_t>(pieces * count) * sizeof(T);
  t.sums = static_cast<T*>(scratch(bytes));
  run(pieces, cost_of<T>(q.m, q.n, q.k), Split<T>::chunk, &t, serial);
  for (int64_t s = 1; s < pieces; ++s) {
    for (int64_t i = 0; i < count; ++i) t.sums[i] += t.sums[s * count + i];
  }
  finish_rows<T, T>(t.sums, q.n, q.m, q.n, q.c, q.c_rs, 1, q.finish.bias, q.finish);
  release_scratch(t.sums, bytes);
}

template <class S, class T>
__attribute__((noinline)) void one(const Problem<S, T>& q, bool serial) {
  const int64_t total = q.m * q.n * q.k, side = smaller(q.m, q.n);
  if constexpr (kSame<S, T>) {
    if (total <= 16384 && q.b_cs == 1 && (q.n > 1 || q.k < 16)) {  // small and in place
      Block<S, T> t;
      t.m = q.m, t.n = q.n, t.k = q.k;
      t.a = q.a, t.a_rs = q.a_rs, t.a_cs = q.a_cs;
      t.b = q.b, t.b_rs = q.b_rs;
      t.packed_a = t.packed_b = nullptr;
      t.c = q.c, t.c_rs = q.c_rs;
      t.finish = q.finish;
      t.bias = q.finish.bias;
      t.multiply_tile(0, q.m, 0, q.n);
      return;
    }
  }
  const bool along_k = q.a_cs == 1 && q.b_rs == 1;
  if (side == 1 || (along_k && (side <= 4 ? q.k >= 16 : side <= 16 && q.k >= 64))) return thin<S, T>(q, serial);
#if defined(FG_BF16_PAIRS)
  if constexpr (kSame<S, BF16>) {
    if (bf16_product(q, serial)) return;
  }
#endif
  if constexpr (kSame<S, T>) {
    const int64_t pieces = smaller(32, q.k / 512);
    if (!serial && pieces >= 8 && q.m * q.n <= 16384) return split<T>(q, pieces, serial);
  }
  blocked<S, T>(q, serial);
}

template <class S, class T>
struct Batch {
  Problem<S, T> q;
  int64_t a_bs, b_bs, c_bs, batch, group;
  void step(Problem<S, T>& part, int64_t index) const {
    part.a = q.a + index * a_bs;
    part.b = q.b + index * b_bs;
    part.c = q.c + index * c_bs;
  }
  static void chunk(void* context, int64_t index) {
    const Batch& t = *static_cast<const Batch*>(context);
    Problem<S, T> part = t.q;
    const int64_t end = smaller(t.batch, (index + 1) * t.group);
    for (int64_t i = index * t.group; i < end; ++i) {
      t.step(part, i);
      one<S, T>(part, true);
    }
  }
};

template <class S, class T>
void gemm(const GemmArgs& g) {
  if (g.m <= 0 || g.n <= 0 || g.batch <= 0) return;
  Batch<S, T> t;
  Problem<S, T>& q = t.q;
  q.m = g.m, q.n = g.n, q.k = g.k;
  q.a = static_cast<const S*>(g.a), q.a_rs = g.a_rs, q.a_cs = g.a_cs;
  q.b = static_cast<const S*>(g.b), q.b_rs = g.b_rs, q.b_cs = g.b_cs;
  q.c = static_cast<S*>(g.c), q.c_rs = g.c_rs;
  const bool plain = g.alpha == 1 && g.beta == 0 && !g.bias;
  q.finish = {
      static_cast<T>(g.alpha), static_cast<T>(g.beta), static_cast<const S*>(g.bias), g.bias_rs, g.bias_cs, plain};
  t.a_bs = g.a_bs, t.b_bs = g.b_bs, t.c_bs = g.c_bs, t.batch = g.batch;

  // A stride along one element means nothing: choose the one that opens the fast paths.
  if (t.batch > 1 && t.b_bs == 0) {  // one B for all: rows of one tall product, if A and C allow it
    if (q.m == 1) q.a_rs = t.a_bs, q.c_rs = t.c_bs, q.finish.bias_rs = 0;
    if (t.a_bs == q.m * q.a_rs && t.c_bs == q.m * q.c_rs && (!g.bias || q.finish.bias_rs == 0)) {
      q.m *= t.batch;
      t.batch = 1;
    }
  }
  if (q.n == 1) q.b_cs = 1;
  if (q.k == 1) q.a_cs = 1;

  if (q.k <= 0) {
    const T zeros[64] = {};
    for (int64_t i = 0; i < t.batch; ++i) {
      for (int64_t j = 0; j < q.n; j += 64) {
        const S* bias = g.bias ? q.finish.bias + j * q.finish.bias_cs : nullptr;
        finish_rows<T, S>(zeros, 0, q.m, smaller(64, q.n - j), q.c + i * t.c_bs + j, q.c_rs, 1, bias, q.finish);
      }
    }
    return;
  }
  const int64_t total = q.m * q.n * q.k;
  if (t.batch == 1) return one<S, T>(q, false);
  if (total <= (1 << 22) || t.batch >= 32) {
    t.group = most(1, 262144 / total);
    const int64_t cost = cost_of<T>(q.m, q.n, q.k) * t.batch + 10 * t.batch;
    run(ceil_div(t.batch, t.group), cost, Batch<S, T>::chunk, &t, false);
    return;
  }
  Problem<S, T> part = q;
  for (int64_t i = 0; i < t.batch; ++i) {
    t.step(part, i);
    one<S, T>(part, false);
  }
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
