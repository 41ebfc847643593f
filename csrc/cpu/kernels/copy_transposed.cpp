// Copies within one dtype of 2, 4 or 8 bytes whose fastest dimension is another one in the input than in the output:
// blocks of items, a register wide in the output, are turned round in registers. A run along the input's dimension, a
// block wide, keeps as many streams of reads as a block has rows, which the prefetchers follow; where that dimension is
// short, runs go along the output's. Large outputs are written past the caches: their lines are whole, so none has to
// be read first.
#include <utility>

#include "cpu/backend_cpu.h"
#include "cpu/convert.h"
#include "cpu/parallel.h"
#include "cpu/stream.h"
#include "cpu/vec.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kTall = 512, kWide = 64;    // of a chunk: along the input's and the output's fastest dimension
constexpr int64_t kShort = 256, kLong = 512;  // of the input's dimension when it is short; then along the output's
constexpr int64_t kStreamFrom = int64_t{20} << 20;  // bytes of output

FG_INLINE int64_t pieces(int64_t n, int64_t piece) { return (n + piece - 1) / piece; }

// Squares of kRows items that lie side by side in as many vectors.
template <class T> struct Turned {
  static constexpr int kLanes = kVecBytes / static_cast<int>(sizeof(T)), kRows = kLanes < 16 ? kLanes : 16;
  using V = typename Raw<T, kVecBytes>::type;
  template <int step, bool upper, int... i> static V order(std::integer_sequence<int, i...>) {
    return V{static_cast<T>((i & step) ? kLanes + i - (upper ? 0 : step) : i + (upper ? step : 0))...};
  }
  template <int step> FG_INLINE static void exchange(V (&rows)[kRows]) {
    if constexpr (step < kRows) {
      using All = std::make_integer_sequence<int, kLanes>;
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        if (i & step) continue;
        const V one = rows[i], two = rows[i + step];
        rows[i] = __builtin_shuffle(one, two, order<step, false>(All()));
        rows[i + step] = __builtin_shuffle(one, two, order<step, true>(All()));
      }
      exchange<2 * step>(rows);
    }
  }
};

template <class T> struct Turn {
  static constexpr int L = Turned<T>::kLanes, R = Turned<T>::kRows;  // of a block: along dimension 0, and along `other`
  const Iter& iter;
  int other;  // the dimension along which the input is contiguous
  T* out;
  const T* in;
  int64_t columns, rows, out_rs, in_cs;  // sizes of dimension 0 and of `other`; strides of the sides that have one
  int64_t wide, tall, strips, runs;      // of a chunk
  bool stream;

  template <bool past> FG_INLINE void turn_block(T* to, const T* from) const {
    typename Turned<T>::V lines[R];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
      for (int part = 0; part < L / R; ++part)
        memcpy(reinterpret_cast<T*>(&lines[i]) + part * R, from + (part * R + i) * in_cs, R * sizeof(T));
    }
    Turned<T>::template exchange<1>(lines);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      if (past) stream_register(to + i * out_rs, lines[i]);
      else memcpy(to + i * out_rs, &lines[i], sizeof(lines[i]));
    }
  }
  __attribute__((noinline)) void edge(T* to, const T* from, int64_t m, int64_t n) const {  // m columns, n rows
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < m; ++i) to[j * out_rs + i] = from[i * in_cs + j];
  }
  template <bool past> void block(T* to, const T* from, int64_t m, int64_t n) const {
    const auto one = [&](int64_t i, int64_t j) {
      T* block_to = to + j * out_rs + i;
      const T* block_from = from + i * in_cs + j;
      if (m - i >= L && n - j >= R) turn_block<past>(block_to, block_from);
      else edge(block_to, block_from, smaller(L, m - i), smaller(R, n - j));
    };
    if (tall == kTall) {
      for (int64_t i = 0; i < m; i += L)
        for (int64_t j = 0; j < n; j += R) one(i, j);
    } else {
      for (int64_t j = 0; j < n; j += R)
        for (int64_t i = 0; i < m; i += L) one(i, j);
    }
  }

  static void chunk(void* context, int64_t index) {
    const Turn& t = *static_cast<const Turn*>(context);
    const int64_t j = index % t.runs * t.tall, i = index / t.runs % t.strips * t.wide;
    int64_t rest = index / t.runs / t.strips, to = j * t.out_rs + i, from = i * t.in_cs + j;
    for (int d = 1; d < t.iter.ndim; ++d) {
      if (d == t.other) continue;
      const int64_t at = rest % t.iter.sizes[d];
      rest /= t.iter.sizes[d];
      to += at * t.iter.out.strides[d];
      from += at * t.iter.in[0].strides[d];
    }
    const int64_t m = smaller(t.wide, t.columns - i), n = smaller(t.tall, t.rows - j);
    if (t.stream) {
      t.template block<true>(t.out + to, t.in + from, m, n);
#if defined(__AVX2__)
      _mm_sfence();
#endif
    } else {
      t.template block<false>(t.out + to, t.in + from, m, n);
    }
  }

  void run() {
    const int64_t bytes = iter.numel * static_cast<int64_t>(sizeof(T));
    stream = bytes >= kStreamFrom && reinterpret_cast<uintptr_t>(out) % 64 == 0;
    for (int d = 1; d < iter.ndim; ++d)
      stream = stream && iter.out.strides[d] * static_cast<int64_t>(sizeof(T)) % 64 == 0;
    const bool is_short = rows < kShort;
    wide = is_short ? kLong : kWide, tall = is_short ? kShort : kTall;
    strips = pieces(columns, wide), runs = pieces(rows, tall);
    const int64_t chunks = iter.numel / (rows * columns) * strips * runs;
    parallel_for(chunks, bytes / 8, chunk, this);
  }
};

template <class T> bool turn(const Iter& iter) {
  if (iter.ndim < 2 || iter.out.strides[0] != 1 || iter.in[0].strides[0] == 0 || iter.sizes[0] < Turned<T>::kLanes)
    return false;
  int other = 1;
  while (other < iter.ndim && iter.in[0].strides[other] != 1) ++other;
  if (other == iter.ndim || iter.sizes[other] < Turned<T>::kRows) return false;
  Turn<T> t{iter,
            other,
            static_cast<T*>(iter.out.data),
            static_cast<const T*>(iter.in[0].data),
            iter.sizes[0],
            iter.sizes[other],
            iter.out.strides[other],
            iter.in[0].strides[0],
            0,
            0,
            0,
            0,
            false};
  t.run();
  return true;
}

}  // namespace

// False: not done, the copy is of another kind. Both operands have one dtype.
bool copy_transposed(const Iter& iter) {
  switch (item_bytes(iter.out.dtype)) {
    case 2: return turn<uint16_t>(iter);
    case 4: return turn<uint32_t>(iter);
    case 8: return turn<uint64_t>(iter);
    default: return false;
  }
}

}  // namespace fg::cpu::FG_ISA
