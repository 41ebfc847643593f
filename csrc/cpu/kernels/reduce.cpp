// Reductions: the rules, and the table they fill. The walk over memory is in reduce_loops.h. A simple reduction is a
// row of ops/reduce.def; below it are those that keep more than one number: the place of an extremum, var, logsumexp.
#include "cpu/reduce_loops.h"
#include "cpu/softmax_steps.h"

namespace fg::cpu::FG_ISA {
namespace {

// ---- the table ------------------------------------------------------------------------------------------------------
#define REDUCE(name, element, meeting, nothing, result)                                        \
  struct name##_row {                                                                          \
    template <class V> FG_INLINE static V map(V x, [[maybe_unused]] V p) { return element; }   \
    template <class V> FG_INLINE static V meet(V a, V b) { return meeting; }                   \
    template <class T> FG_INLINE static T identity() { return static_cast<T>(nothing); }       \
    template <class W> FG_INLINE static W finish(W s, [[maybe_unused]] W n) { return result; } \
  };
#include "ops/reduce.def"

template <class Row, class T_> struct Simple {
  using T = T_;
  using V = Vec<T>;
  using Acc = Wide<T>;
  static constexpr int64_t kRows = 128;  // numbers of type T that are added in a chain
  static constexpr double kCost = 0.012 * sizeof(T);

  FG_INLINE static V parameter(const Param* params) {
    if constexpr (kIsFloat<T>) return params[0].f;
    else return params[0].i;
  }
  FG_INLINE static Acc empty() { return static_cast<Acc>(Row::template identity<T>()); }
  FG_INLINE static void merge(Acc& acc, Acc later) { acc = Row::meet(acc, later); }
  template <class Source> FG_INLINE static void add_source(Acc& acc, Source x, int64_t n, const Param* params) {
    const V p = parameter(params);
    T block;
    if constexpr (__is_same(Row, amax_row)) block = extremum<T, true>(x, n);
    else if constexpr (__is_same(Row, amin_row)) block = extremum<T, false>(x, n);
    else
      block = fold_source<T>(
          x, n, Row::template identity<T>(), [p](V a) { return Row::map(a, p); },
          [](V a, V b) { return Row::meet(a, b); });
    acc = Row::meet(acc, static_cast<Acc>(block));
  }
  [[gnu::noinline]] static void add(Acc& acc, const T* x, int64_t n, int64_t, const Param* params) {
    add_source(acc, Stored<T>{x}, n, params);
  }
  FG_INLINE static void finish(Acc acc, const ReduceArgs& a, int64_t i) {
    const Acc result = Row::finish(acc, static_cast<Acc>(a.size));
    if constexpr (kIsFloat<T>) store_one<double>(a.out, a.out_dtype, i, result);
    else store_one<int64_t>(a.out, a.out_dtype, i, result.value);
  }
  // Many at a time, as a loop of vectors.
  static void finish_all(const Acc* acc, const ReduceArgs& a, int64_t i, int64_t n) {
    if constexpr (kIsFloat<T>) {
      if (a.out_dtype == DType::Float32) {
        float* out = static_cast<float*>(a.out) + i;
        const Acc size = static_cast<Acc>(a.size);
        for (int64_t j = 0; j < n; ++j) out[j] = static_cast<float>(Row::finish(acc[j], size));
        return;
      }
    }
    for (int64_t j = 0; j < n; ++j) finish(acc[j], a, i + j);
  }

  struct State {
    T sum[kTile<T>];
  };
  template <class S>
  static void rows(State& state, const S* x, int64_t stride, int64_t rows, int64_t n, int64_t row,
                   const Param* params) {
    const V p = parameter(params);
    if (row == 0) each_vector<T>(n, [&](int64_t i, int64_t) { V(Row::template identity<T>()).store(state.sum + i); });
    int64_t k = 0;
    for (; k + 4 <= rows; k += 4, x += 4 * stride) {
      each_vector<T>(n, [&](int64_t i, int64_t m) {
        const auto element = [&](int64_t line) { return Row::map(row_part<T>(x + line * stride + i, m), p); };
        const V a = Row::meet(element(0), element(1)), b = Row::meet(element(2), element(3));
        store_part(state.sum + i, m, Row::meet(V::load(state.sum + i), Row::meet(a, b)));
      });
    }
    for (; k < rows; ++k, x += stride) {
      each_vector<T>(n, [&](int64_t i, int64_t m) {
        store_part(state.sum + i, m, Row::meet(V::load(state.sum + i), Row::map(row_part<T>(x + i, m), p)));
      });
    }
  }
  FG_INLINE static Acc get(const State& state, int64_t j, int64_t, int64_t, int64_t) {
    return static_cast<Acc>(state.sum[j]);
  }
  // What get, merge and finish would give, without accumulators between.
  static void settle(const State& state, const ReduceArgs& a, int64_t i, int64_t n) {
    if constexpr (kIsFloat<T>) {
      if (a.out_dtype == kStored<T>) {
        T* out = static_cast<T*>(a.out) + i;
        const Acc size = static_cast<Acc>(a.size);
        for (int64_t j = 0; j < n; ++j) out[j] = static_cast<T>(Row::finish(static_cast<Acc>(state.sum[j]), size));
        return;
      }
    }
    for (int64_t j = 0; j < n; ++j) finish(static_cast<Acc>(state.sum[j]), a, i + j);
  }
};

template <class Row> struct SimpleFloat : Simple<Row, float> {
  static constexpr bool kNarrow = true, kNarrowRows = true;
  static void add_narrow(double& acc, const void* in, DType dtype, int64_t n, const Param* params) {
    const uint16_t* x = static_cast<const uint16_t*>(in);
    if (dtype == DType::Float16) Simple<Row, float>::add_source(acc, StoredHalf<DType::Float16>{x}, n, params);
    else Simple<Row, float>::add_source(acc, StoredHalf<DType::BFloat16>{x}, n, params);
  }
};
template <class Row> struct SimpleWide : Simple<Row, double> {
  static constexpr bool kNarrow = true, kNarrowRows = true;
  static void add_narrow(double& acc, const void* x, DType, int64_t n, const Param* params) {
    Simple<Row, double>::add_source(acc, Widened{static_cast<const float*>(x)}, n, params);
  }
};

FG_NOINLINE int64_t count_true(const uint8_t* x, int64_t n) {
  using Bytes = Raw<uint8_t, kVecBytes>::type;
  constexpr int64_t N = kVecBytes;
  int64_t i = 0, count = 0;
  while (i + 4 * N <= n) {
    Bytes sums[4] = {};
    for (int turn = 0; turn < 255 && i + 4 * N <= n; ++turn, i += 4 * N) {
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        Bytes part;
        memcpy(&part, x + i + k * N, sizeof(part));
        sums[k] -= (Bytes)(part != 0);
      }
    }
    uint8_t bytes[4 * N];
    memcpy(bytes, sums, sizeof(bytes));
    int sum = 0;
    for (int k = 0; k < 4 * N; ++k) sum += bytes[k];
    count += sum;
  }
  for (; i < n; ++i) count += x[i] != 0;
  return count;
}
template <class Row> struct SimpleInteger : Simple<Row, int64_t> {
  static constexpr bool kNarrow = true;
  static void add_narrow(Long& acc, const void* x, DType, int64_t n, const Param*) {
    using V = Vec<int64_t>;
    const int64_t count = count_true(static_cast<const uint8_t*>(x), n);
    const V p = 0;
    const auto value = [&](int64_t of) { return Row::map(V(of), p).v[0]; };
    if (Row::meet(Long(1), Long(1)).value == 2) {
      acc = acc + Long(count * value(1) + (n - count) * value(0));
    } else {  // 0 and 1 are what 0 and 1 meet in, however often
      if (count > 0) acc = Row::meet(acc, Long(value(1)));
      if (count < n) acc = Row::meet(acc, Long(value(0)));
    }
  }
};

// ---- the place of the first extremum --------------------------------------------------------------------------------
template <bool largest, class T_> struct Extremum {
  using T = T_;
  using V = Vec<T>;
  using Index = Vec<typename Lane<T>::Int>;
  struct Acc {
    T best;
    int64_t index;  // -1: nothing seen
  };
  static constexpr int64_t kRows = int64_t{1} << 30;
  static constexpr double kCost = 0.02 * sizeof(T);

  FG_INLINE static bool beats(T x, T best) { return best == best && (largest ? !(x <= best) : !(x >= best)); }
  FG_INLINE static Acc empty() { return {0, -1}; }
  // A later element must be better; one with a smaller index (folded columns) wins a tie, and among NaN.
  FG_INLINE static void merge(Acc& acc, Acc later) {
    if (later.index < 0) return;
    const bool tie = later.best == acc.best || (later.best != later.best && acc.best != acc.best);
    if (acc.index < 0 || beats(later.best, acc.best) || (tie && later.index < acc.index)) acc = later;
  }
  FG_INLINE static void finish(Acc acc, const ReduceArgs& a, int64_t i) {
    if (a.out) store_one<T>(a.out, a.out_dtype, i, acc.best);
    if (a.indices) a.indices[i] = acc.index;
  }

  static int64_t find(const T* x, int64_t n, T best) {
    int64_t i = 0;
    const V wanted = best;
    if (best == best) {
      for (; i + 4 * V::N <= n; i += 4 * V::N) {
        const T* at = x + i;
        const auto first = (V::load(at) == wanted) | (V::load(at + V::N) == wanted);
        if (any(first | (V::load(at + 2 * V::N) == wanted) | (V::load(at + 3 * V::N) == wanted))) break;
      }
      while (i + V::N <= n && !any(V::load(x + i) == wanted)) i += V::N;
      while (i < n && !(x[i] == best)) ++i;
    } else {
      while (i < n && x[i] == x[i]) ++i;
    }
    return i;
  }
  // The extremum of a block first, at the speed of amax; its place only when the block has a better one.
  [[gnu::noinline]] static void add(Acc& acc, const T* x, int64_t n, int64_t first, const Param*) {
    const T best = extremum<T, largest>(Stored<T>{x}, n);
    if (acc.index < 0 || beats(best, acc.best)) acc = {best, first + find(x, n, best)};
  }

  struct State {
    T best[kTile<T>];
    typename Lane<T>::Int row[kTile<T>];
  };
  template <int count>
  FG_INLINE static void some_rows(State& state, const T* x, int64_t stride, int64_t n, int64_t row) {
    each_vector<T>(n, [&](int64_t i, int64_t m) {
      V best = V::load(state.best + i);
      Index place = Index::load(state.row + i);
#pragma GCC unroll 4
      for (int k = 0; k < count; ++k) {
        const V a = load_part(x + k * stride + i, m);
        const Mask<T> worse = largest ? a <= best : a >= best, better = (!worse) & (best == best);
        best = where(better, a, best);
        place = where(Mask<typename Lane<T>::Int>{better.v}, Index(row + k), place);
      }
      store_part(state.best + i, m, best);
      store_part(state.row + i, m, place);
    });
  }
  static void rows(State& state, const T* x, int64_t stride, int64_t rows, int64_t n, int64_t row, const Param*) {
    int64_t k = 0;
    if (row == 0) {
      memcpy(state.best, x, static_cast<size_t>(n) * sizeof(T));
      memset(state.row, 0, static_cast<size_t>(n) * sizeof(T));
      k = 1;
    }
    for (; k + 4 <= rows; k += 4) some_rows<4>(state, x + k * stride, stride, n, row + k);
    for (; k < rows; ++k) some_rows<1>(state, x + k * stride, stride, n, row + k);
  }
  FG_INLINE static Acc get(const State& state, int64_t j, int64_t count, int64_t first, int64_t step) {
    if (count == 0) return empty();
    return {state.best[j], first + state.row[j] * step};
  }
};

// ---- both extrema ---------------------------------------------------------------------------------------------------
template <class T_> struct AMinMax {
  using T = T_;
  using V = Vec<T>;
  struct Acc {
    T low, high;
  };
  static constexpr int64_t kRows = int64_t{1} << 30;
  static constexpr double kCost = 0.02 * sizeof(T);

  FG_INLINE static Acc empty() { return {highest<T>(), lowest<T>()}; }
  FG_INLINE static void merge(Acc& acc, Acc later) {
    acc.low = later.low < acc.low || later.low != later.low ? later.low : acc.low;
    acc.high = later.high > acc.high || later.high != later.high ? later.high : acc.high;
  }
  FG_INLINE static void finish(Acc acc, const ReduceArgs& a, int64_t i) {
    store_one<T>(a.out, a.out_dtype, i, acc.low);
    store_one<T>(a.out2, a.out_dtype, i, acc.high);
  }
  [[gnu::noinline]] static void add(Acc& acc, const T* x, int64_t n, int64_t, const Param*) {
    merge(acc, {extremum<T, false>(Stored<T>{x}, n), extremum<T, true>(Stored<T>{x}, n)});
  }

  struct State {
    T low[kTile<T>], high[kTile<T>];
  };
  template <int count> FG_INLINE static void some_rows(State& state, const T* x, int64_t stride, int64_t n) {
    each_vector<T>(n, [&](int64_t i, int64_t m) {
      V low = V::load(state.low + i), high = V::load(state.high + i);
#pragma GCC unroll 4
      for (int k = 0; k < count; ++k) {
        const V a = load_part(x + k * stride + i, m);
        low = min(low, a);
        high = max(high, a);
      }
      store_part(state.low + i, m, low);
      store_part(state.high + i, m, high);
    });
  }
  static void rows(State& state, const T* x, int64_t stride, int64_t rows, int64_t n, int64_t row, const Param*) {
    int64_t k = 0;
    if (row == 0) {
      memcpy(state.low, x, static_cast<size_t>(n) * sizeof(T));
      memcpy(state.high, x, static_cast<size_t>(n) * sizeof(T));
      k = 1;
    }
    for (; k + 4 <= rows; k += 4) some_rows<4>(state, x + k * stride, stride, n);
    for (; k < rows; ++k) some_rows<1>(state, x + k * stride, stride, n);
  }
  FG_INLINE static Acc get(const State& state, int64_t j, int64_t count, int64_t, int64_t) {
    if (count == 0) return empty();
    return {state.low[j], state.high[j]};
  }
};

// ---- var and std: always in double ----------------------------------------------------------------------------------
struct Moments {
  using T = double;
  struct Acc {
    double n, mean, squares;  // squares: sum of squared deviations from the mean
  };
  static constexpr int64_t kRows = 256;
  static constexpr double kCost = 0.1;
  static constexpr bool kNarrow = true, kNarrowRows = true;

  FG_INLINE static Acc empty() { return {0, 0, 0}; }
  FG_INLINE static void merge(Acc& acc, Acc later) {
    if (later.n == 0) return;
    if (acc.n == 0) {
      acc = later;
      return;
    }
    const double n = acc.n + later.n, d = later.mean - acc.mean, share = later.n / n;
    acc.mean += d * share;
    acc.squares += later.squares + d * d * (acc.n * share);
    acc.n = n;
  }
  FG_INLINE static void finish(Acc acc, const ReduceArgs& a, int64_t i) {
    const double freedom = acc.n - a.params[0].f;
    const double var = acc.squares / (freedom > 0 ? freedom : 0);
    store_one<double>(a.out, a.out_dtype, i, a.params[1].i ? sqrt(var) : var);
    if (a.out2) store_one<double>(a.out2, a.out_dtype, i, acc.n > 0 ? acc.mean : __builtin_nan(""));
  }
  [[gnu::noinline]] static void add(Acc& acc, const double* x, int64_t n, int64_t, const Param*) {
    const auto plus = [](VD a, VD b) { return a + b; };
    const double count = static_cast<double>(n), first = x[0];  // the sum itself may overflow
    const double shift = fold_block<double>(x, n, 0, [first](VD a) { return a - first; }, plus) / count;
    const double mean = first + shift;
    const double squares = fold_block<double>(x, n, 0, [mean](VD a) { return (a - mean) * (a - mean); }, plus);
    merge(acc, {count, mean, squares});
  }

  // From sums relative to the first of the n elements. As that is one of them, the sum of squares is at most n + 1
  // times that of the deviations from the mean, and little is lost when the difference is taken.
  FG_INLINE static Acc relative(double n, double first, double sum, double squares) {
    const double shift = sum / n;
    if (squares < __builtin_inf()) squares = max(squares - shift * sum, 0.0);
    else if (sum - sum != 0) squares = sum - sum;  // NaN: an element is not finite
    return {n, first + shift, squares};
  }
  static void add_narrow(Acc& acc, const void* in, DType, int64_t n, const Param*) {
    constexpr int width = 4;
    constexpr int64_t N = VD::N;
    const Widened x = {static_cast<const float*>(in)};
    const VD first = static_cast<double>(x.from[0]);
    VD sums[width], squares[width];
    for (int k = 0; k < width; ++k) sums[k] = squares[k] = 0;
    int64_t i = 0;
    for (; i + width * N <= n; i += width * N) {
#pragma GCC unroll 4
      for (int k = 0; k < width; ++k) {
        const VD d = x.load(i + k * N) - first;
        sums[k] = sums[k] + d;
        squares[k] = squares[k] + d * d;
      }
    }
    for (; i < n; i += N) {
      const int64_t m = smaller(N, n - i);
      const VD d = where(first_lanes<double>(m), row_part<double>(x.from + i, m) - first, VD(0));
      sums[0] = sums[0] + d;
      squares[0] = squares[0] + d * d;
    }
    const auto plus = [](VD a, VD b) { return a + b; };
    const auto total = [&](const VD* of) { return across((of[0] + of[1]) + (of[2] + of[3]), plus); };
    merge(acc, relative(static_cast<double>(n), first.v[0], total(sums), total(squares)));
  }

  // A state for each column, relative to its first row.
  struct State {
    double first[kTile<double>], sum[kTile<double>], squares[kTile<double>];
  };
  template <int count, class S>
  FG_INLINE static void some_rows(State& state, const S* x, int64_t stride, int64_t n) {
    each_vector<double>(n, [&](int64_t i, int64_t m) {
      const VD first = VD::load(state.first + i);
      VD sum = VD::load(state.sum + i), squares = VD::load(state.squares + i);
#pragma GCC unroll 8
      for (int k = 0; k < count; ++k) {
        const VD d = row_part<double>(x + k * stride + i, m) - first;
        sum = sum + d;
        squares = squares + d * d;
      }
      store_part(state.sum + i, m, sum);
      store_part(state.squares + i, m, squares);
    });
  }
  template <class S>
  static void rows(State& state, const S* x, int64_t stride, int64_t rows, int64_t n, int64_t row, const Param*) {
    if (row == 0) {
      for (int64_t i = 0; i < n; ++i) {
        state.first[i] = static_cast<double>(x[i]);
        state.sum[i] = state.squares[i] = 0;
      }
    }
    int64_t k = 0;
    for (; k + 8 <= rows; k += 8) some_rows<8>(state, x + k * stride, stride, n);
    for (; k < rows; ++k) some_rows<1>(state, x + k * stride, stride, n);
  }
  FG_INLINE static Acc get(const State& state, int64_t j, int64_t count, int64_t, int64_t) {
    if (count == 0) return empty();
    return relative(static_cast<double>(count), state.first[j], state.sum[j], state.squares[j]);
  }
};

// ---- logsumexp ------------------------------------------------------------------------------------------------------
template <class T_> struct LogSumExp {
  using T = T_;
  struct Acc {
    double shift, sum;  // sum * exp(shift)
  };
  static constexpr int64_t kRows = 1024;
  static constexpr double kCost = 0.1 * sizeof(T);

  FG_INLINE static Acc empty() { return {0, 0}; }
  FG_INLINE static Acc relative(T top, T sum) {
    if (top == lowest<T>()) return empty();
    if (top - top != 0) return {0, top};  // inf or NaN
    return {top, sum};
  }
  static void merge(Acc& acc, Acc later) {
    if (later.sum == 0) return;
    if (acc.sum == 0) {
      acc = later;
    } else if (acc.sum - acc.sum != 0 || later.sum - later.sum != 0) {  // infinite, or NaN
      acc = {0, acc.sum + later.sum};
    } else if (acc.shift >= later.shift) {
      acc.sum += later.sum * ::exp(later.shift - acc.shift);
    } else {
      acc = {later.shift, later.sum + acc.sum * ::exp(acc.shift - later.shift)};
    }
  }
  FG_INLINE static void finish(Acc acc, const ReduceArgs& a, int64_t i) {
    store_one<double>(a.out, a.out_dtype, i, acc.shift + ::log(acc.sum));
  }
  [[gnu::noinline]] static void add(Acc& acc, const T* x, int64_t n, int64_t, const Param*) {
    const T top = block_max(x, n);
    merge(acc, relative(top, top - top == 0 ? block_exp_sum(x, n, top) : 0));
  }

  struct State {
    T top[kTile<T>], sum[kTile<T>];
  };
  static void rows(State& state, const T* x, int64_t stride, int64_t rows, int64_t n, int64_t row, const Param*) {
    if (row == 0) {
      for (int64_t i = 0; i < n; ++i) {
        state.top[i] = lowest<T>();
        state.sum[i] = 0;
      }
    }
    online_rows(state.top, state.sum, x, stride, rows, n);
  }
  FG_INLINE static Acc get(const State& state, int64_t j, int64_t count, int64_t, int64_t) {
    if (count == 0) return empty();
    return relative(state.top[j], state.sum[j]);
  }
};

// max and min say what and where, argmax and argmin only where.
template <class T> void fill_extremum(Backend& table, Compute compute) {
  const int c = static_cast<int>(compute);
  table.reduce[static_cast<int>(Reduce::max)][c] = table.reduce[static_cast<int>(Reduce::argmax)][c] =
      reduce<Extremum<true, T>>;
  table.reduce[static_cast<int>(Reduce::min)][c] = table.reduce[static_cast<int>(Reduce::argmin)][c] =
      reduce<Extremum<false, T>>;
}

}  // namespace

void fill_reduce(Backend& table) {
  constexpr int f32 = static_cast<int>(Compute::F32), f64 = static_cast<int>(Compute::F64);
  constexpr int i32 = static_cast<int>(Compute::I32), i64 = static_cast<int>(Compute::I64);
#define FG_ENTRY(name, compute) table.reduce[static_cast<int>(Reduce::name)][compute]
#define REDUCE_WIDE(name, ...) FG_ENTRY(name, f32) = FG_ENTRY(name, f64) = reduce<SimpleWide<name##_row>>;
#define REDUCE_FLOAT(name, ...)                          \
  FG_ENTRY(name, f32) = reduce<SimpleFloat<name##_row>>; \
  FG_ENTRY(name, f64) = reduce<Simple<name##_row, double>>;
#define REDUCE(name, ...) \
  REDUCE_FLOAT(name)      \
  FG_ENTRY(name, i32) = FG_ENTRY(name, i64) = reduce<SimpleInteger<name##_row>>;
#include "ops/reduce.def"
  fill_extremum<float>(table, Compute::F32);
  fill_extremum<double>(table, Compute::F64);
  fill_extremum<int64_t>(table, Compute::I32);
  fill_extremum<int64_t>(table, Compute::I64);
  FG_ENTRY(aminmax, f32) = reduce<AMinMax<float>>;
  FG_ENTRY(aminmax, f64) = reduce<AMinMax<double>>;
  FG_ENTRY(aminmax, i32) = FG_ENTRY(aminmax, i64) = reduce<AMinMax<int64_t>>;
  FG_ENTRY(var, f32) = FG_ENTRY(var, f64) = reduce<Moments>;
  FG_ENTRY(logsumexp, f32) = reduce<LogSumExp<float>>;
  FG_ENTRY(logsumexp, f64) = reduce<LogSumExp<double>>;
#undef FG_ENTRY
}

}  // namespace fg::cpu::FG_ISA
