// The two walks of a reduction over (outer, size, inner), contiguous. What is reduced is a Rule (kernels/reduce.cpp).
//
//   rows     inner == 1: blocks of a line in L1, each by itself; blocks meet in the accumulator of the rule
//   columns  inner > 1: whole rows of up to a tile of columns are added to a row of states. Few columns are made many:
//            `fold` rows of memory count as one row, and the states that belong together meet at the end
//
// Long lines are cut into parts (rows) or ranges of rows (columns), whose accumulators meet in order of their place.
// The walks are compiled once per compute type and know a rule by its functions; as templates of the rule they made
// 700 KB a set.
#pragma once
#include "cpu/exchange.h"
#include "cpu/lines.h"

namespace fg::cpu::FG_ISA {
namespace {

template <class T> constexpr int64_t kTile = 8192 / static_cast<int64_t>(sizeof(T));  // columns
constexpr int64_t kStateBytes = 24576;  // of a tile: up to three T a column
constexpr int64_t kAccBytes = 24;       // of one accumulator, at most

// What rules read without a line of T between: halves for float, floats for double, bools for integers.
template <class T> FG_INLINE bool is_narrower(DType dtype) {
  if constexpr (!kIsFloat<T>) return dtype == DType::Bool;
  else if constexpr (sizeof(T) == 8) return dtype == DType::Float32;
  else return dtype == DType::Float16 || dtype == DType::BFloat16;
}

// Where a fold of doubles reads floats.
struct Widened {
  const float* from;
  FG_INLINE VD load(int64_t i) const {  // g++ 12 cuts the conversion of half a vector into two
#if defined(__AVX512F__)
    return (VD::V)_mm512_cvtps_pd(_mm256_loadu_ps(from + i));
#elif defined(__AVX2__)
    return (VD::V)_mm256_cvtps_pd(_mm_loadu_ps(from + i));
#else
    Raw<float, kVecBytes / 2>::type half;
    memcpy(&half, from + i, sizeof(half));
    return __builtin_convertvector(half, VD::V);
#endif
  }
  FG_INLINE void load_two(int64_t i, VD& a, VD& b) const {
    a = load(i);
    b = load(i + VD::N);
  }
  FG_INLINE VD load_first(int64_t i, int64_t n) const {
    VD out = 0;
    for (int64_t k = 0; k < n; ++k) out.v[k] = from[i + k];
    return out;
  }
};
// Part of a row, as the compute type.
template <class T> FG_INLINE Vec<T> row_part(const T* x, int64_t n) { return load_part(x, n); }
template <class T> FG_INLINE VD row_part(const float* x, int64_t n)
  requires(sizeof(T) == 8)
{
  return n == VD::N ? Widened{x}.load(0) : Widened{x}.load_first(0, n);
}
template <DType half> struct HalfItem {
  uint16_t bits;
};
template <class T, DType half> FG_INLINE VF row_part(const HalfItem<half>* x, int64_t n) {
  const StoredHalf<half> from = {&x->bits};
  return n == VF::N ? from.load(0) : from.load_first(0, n);
}

// Accumulators are known by their size only; acc points to n of them.
template <class T> struct RuleOf {
  int64_t acc_bytes;
  int64_t rows_limit;  // rows that a state may take
  double cost;         // ns an element
  void (*empty)(void* acc, int64_t n);
  // A block of a line; its first element has the number `first`.
  void (*add)(void* acc, const T* x, int64_t n, int64_t first, const Param* params);
  // The same of a narrower dtype (is_narrower); null where the rule has none.
  void (*add_narrow)(void* acc, const void* x, DType dtype, int64_t n, const Param* params);
  // Rows of n elements each to their results i, i + 1 ... (what add and finish would do, without a call for each)
  void (*short_rows)(const ReduceArgs& a, const T* x, int64_t i, int64_t rows);
  // Adds rows to the state of n columns; `row` counts them, 0 begins a new state. The last row may have fewer
  // columns: the states beyond them stay as they are.
  void (*rows)(void* state, const T* x, int64_t stride, int64_t rows, int64_t n, int64_t row, const Param* params);
  // The same of a narrower dtype; null where the rule has none.
  void (*rows_narrow)(void* state, const void* x, DType dtype, int64_t stride, int64_t rows, int64_t n, int64_t row,
                      const Param* params);
  // acc[j] takes in column at + j, which has seen `rows` elements, one more left of `tail`, numbered first + i * step.
  void (*gather)(void* acc, const void* state, int64_t at, int64_t n, int64_t rows, int64_t tail, int64_t first,
                 int64_t step);
  void (*merge)(void* acc, const void* later, int64_t n);
  void (*finish)(const void* acc, const ReduceArgs& a, int64_t i, int64_t n);
  // Results i, i + 1 ... of n columns whose rows one state has seen all; null where the rule has none.
  void (*settle)(const void* state, const ReduceArgs& a, int64_t i, int64_t n);
};

// ---- rows -----------------------------------------------------------------------------------------------------------
template <class T>
void reduce_line(const ReduceArgs& a, const RuleOf<T>& rule, void* acc, int64_t at, int64_t n, int64_t first) {
  alignas(64) T buffer[kBlock];
  rule.empty(acc, 1);
  if (rule.add_narrow && is_narrower<T>(a.in_dtype)) {
    constexpr int64_t kNarrow = 4 * kBlock, bytes = kIsFloat<T> ? sizeof(T) / 2 : 1;
    const char* x = static_cast<const char*>(a.in) + at * bytes;
    for (int64_t i = 0; i < n; i += kNarrow)
      rule.add_narrow(acc, x + i * bytes, a.in_dtype, smaller(kNarrow, n - i), a.params);
    return;
  }
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t count = smaller(kBlock, n - i);
    rule.add(acc, load_line<T>(a.in, a.in_dtype, at + i, count, buffer), count, first + i, a.params);
  }
}

// Rows [begin, end) of at most a block each: as many as fit are converted at a time.
template <class T> void reduce_short_rows(const ReduceArgs& a, const RuleOf<T>& rule, int64_t begin, int64_t end) {
  if (a.in_dtype == kStored<T>) {
    rule.short_rows(a, static_cast<const T*>(a.in) + begin * a.size, begin, end - begin);
    return;
  }
  if (rule.add_narrow && is_narrower<T>(a.in_dtype) && a.size >= 128) {
    for (int64_t i = begin; i < end; ++i) {
      alignas(16) char acc[kAccBytes];
      reduce_line(a, rule, acc, i * a.size, a.size, 0);
      rule.finish(acc, a, i, 1);
    }
    return;
  }
  alignas(64) T buffer[kBlock];
  const int64_t batch = kBlock / a.size;
  for (int64_t i = begin; i < end; i += batch) {
    const int64_t rows = smaller(batch, end - i);
    load_converted(a.in, a.in_dtype, i * a.size, rows * a.size, buffer);
    rule.short_rows(a, buffer, i, rows);
  }
}

// Rows of a few elements are turned into columns, as they are stored: items of up to 4 bytes in registers.
template <class T> constexpr int64_t kTinyRow = 64 / static_cast<int64_t>(sizeof(T));  // of rows in the compute type
constexpr int64_t kTinyStored = 16;                                                    // of rows of narrower types
FG_INLINE int64_t bytes_of(DType dtype) {
  constexpr int64_t bytes[] = {
#define X(name, bytes, compute) bytes,
      FG_DTYPES(X)
#undef X
  };
  return bytes[static_cast<int>(dtype)];
}
template <class T> FG_INLINE bool is_tiny(const ReduceArgs& a) {
  return a.size <= kTinyRow<T> || (a.size <= kTinyStored && bytes_of(a.in_dtype) <= 4);
}
template <class T>
FG_NOINLINE void reduce_tiny_rows(const ReduceArgs& a, const RuleOf<T>& rule, int64_t begin, int64_t end) {
  constexpr int64_t kRows = kBlock / kTinyStored;
  alignas(64) T buffer[kBlock];
  alignas(64) char turned[kBlock * sizeof(T)];
  alignas(64) char state[kStateBytes];
  alignas(16) char acc[kRows * kAccBytes];
  const int64_t item = bytes_of(a.in_dtype);
  const int width = static_cast<int>(a.size);
  for (int64_t i = begin; i < end; i += kRows) {
    const int rows = static_cast<int>(smaller(kRows, end - i));
    const char* x = static_cast<const char*>(a.in) + i * a.size * item;
    switch (item) {
      case 1: gather_tile_items<uint8_t>(turned, kRows, x, a.size, 1, rows, width); break;
      case 2: gather_tile_items<uint16_t>(turned, kRows, x, a.size, 1, rows, width); break;
      case 4: gather_tile_items<uint32_t>(turned, kRows, x, a.size, 1, rows, width); break;
      default: gather_tile_items<uint64_t>(turned, kRows, x, a.size, 1, rows, width);
    }
    const T* columns = load_line<T>(turned, a.in_dtype, 0, (a.size - 1) * kRows + rows, buffer);
    rule.empty(acc, rows);
    rule.rows(state, columns, kRows, a.size, rows, 0, a.params);
    rule.gather(acc, state, 0, rows, a.size, 0, 0, 1);
    rule.finish(acc, a, i, rows);
  }
}

template <class T> FG_NOINLINE void reduce_rows(const ReduceArgs& a, const RuleOf<T>& rule) {
  const double cost = rule.cost * static_cast<double>(a.outer) * static_cast<double>(a.size);
  if (a.size <= 2 * kSegment) {
    const int64_t rows = larger(1, kSegment / a.size);
    for_chunks(ceil_divide(a.outer, rows), cost, [&](int64_t chunk) {
      const int64_t begin = chunk * rows, end = smaller(begin + rows, a.outer);
      if (is_tiny<T>(a)) return reduce_tiny_rows(a, rule, begin, end);
      if (a.size <= kBlock) return reduce_short_rows(a, rule, begin, end);
      for (int64_t i = begin; i < end; ++i) {
        alignas(16) char acc[kAccBytes];
        reduce_line(a, rule, acc, i * a.size, a.size, 0);
        rule.finish(acc, a, i, 1);
      }
    });
    return;
  }
  const int64_t parts = ceil_divide(a.size, kSegment);
  const size_t bytes = static_cast<size_t>(a.outer * parts * rule.acc_bytes);
  char* partial = static_cast<char*>(scratch(bytes));
  for_chunks(a.outer * parts, cost, [&](int64_t chunk) {
    const int64_t i = chunk / parts, first = chunk % parts * kSegment;
    const int64_t n = smaller(kSegment, a.size - first);
    reduce_line(a, rule, partial + chunk * rule.acc_bytes, i * a.size + first, n, first);
  });
  for (int64_t i = 0; i < a.outer; ++i) {
    char* acc = partial + i * parts * rule.acc_bytes;
    for (int64_t part = 1; part < parts; ++part) rule.merge(acc, acc + part * rule.acc_bytes, 1);
    rule.finish(acc, a, i, 1);
  }
  release_scratch(partial, bytes);
}

// ---- columns --------------------------------------------------------------------------------------------------------
struct ColumnPlan {
  int64_t fold;   // rows of memory that count as one
  int64_t width;  // columns then
  int64_t rows;   // and rows
  int64_t tail;   // columns of the incomplete last row
  int64_t tile, tiles;
  int64_t part_rows, parts;
};
FG_NOINLINE ColumnPlan plan_columns(int64_t outer, int64_t size, int64_t inner, int64_t widest) {
  ColumnPlan plan;
  // As many states as pay for their merging at the end, but some vectors.
  const int64_t pays = smaller(size / 4, larger(64 / inner, size / 32));
  plan.fold = inner >= 256 ? 1 : larger(1, smaller(smaller(widest, 1024) / inner, pays));
  plan.width = plan.fold * inner;
  plan.rows = size / plan.fold;
  plan.tail = size % plan.fold * inner;
  plan.tile = smaller(plan.width, widest);
  plan.tiles = ceil_divide(plan.width, plan.tile);
  plan.part_rows = larger(1, 8 * kSegment / plan.tile);
  plan.parts = outer * plan.tiles >= 64 || plan.rows < 2 * plan.part_rows ? 1 : ceil_divide(plan.rows, plan.part_rows);
  if (plan.parts == 1) plan.part_rows = plan.rows;
  return plan;
}

// One tile of columns over one range of rows: acc holds a result for each column, or `inner` when rows are folded.
template <class T>
FG_NOINLINE void reduce_tile(const ReduceArgs& a, const RuleOf<T>& rule, const ColumnPlan& plan, int64_t i,
                             int64_t tile, int64_t part, void* acc) {
  constexpr int64_t kGroup = 4;  // rows converted at a time
  alignas(64) T buffer[kGroup * kTile<T>];
  alignas(64) char state[kStateBytes];
  const int64_t columns = smaller(plan.tile, plan.width - tile * plan.tile);
  const int64_t results = plan.fold > 1 ? a.inner : columns;
  const int64_t base = i * a.size * a.inner + tile * plan.tile;
  const int64_t begin = part * plan.part_rows, end = smaller(begin + plan.part_rows, plan.rows);
  rule.empty(acc, results);
  for (int64_t row = begin; row < end; row += rule.rows_limit) {
    const int64_t rows = smaller(rule.rows_limit, end - row);
    if (a.in_dtype == kStored<T>) {
      rule.rows(state, static_cast<const T*>(a.in) + base + row * plan.width, plan.width, rows, columns, 0, a.params);
    } else if (rule.rows_narrow && is_narrower<T>(a.in_dtype)) {
      const char* x = static_cast<const char*>(a.in) + (base + row * plan.width) * bytes_of(a.in_dtype);
      rule.rows_narrow(state, x, a.in_dtype, plan.width, rows, columns, 0, a.params);
    } else {
      for (int64_t at = 0; at < rows; at += kGroup) {
        const int64_t count = smaller(kGroup, rows - at);
        for (int64_t k = 0; k < count; ++k)
          load_converted(a.in, a.in_dtype, base + (row + at + k) * plan.width, columns, buffer + k * columns);
        rule.rows(state, buffer, columns, count, columns, at, a.params);
      }
    }
    const int64_t tail = row + rows == plan.rows ? plan.tail : 0;
    if (tail) {
      const T* x = load_line<T>(a.in, a.in_dtype, base + plan.rows * plan.width, tail, buffer);
      rule.rows(state, x, 0, 1, tail, rows, a.params);
    }
    for (int64_t lane = 0; lane < plan.fold; ++lane)
      rule.gather(acc, state, lane * results, results, rows, tail, row * plan.fold + lane, plan.fold);
  }
}

template <class T> FG_NOINLINE void reduce_columns(const ReduceArgs& a, const RuleOf<T>& rule) {
  // Rows that are converted share L1 with their buffers.
  const ColumnPlan plan = plan_columns(a.outer, a.size, a.inner, a.in_dtype == kStored<T> ? kTile<T> : kTile<T> / 2);
  const double cost = rule.cost * static_cast<double>(a.outer * a.inner) * static_cast<double>(a.size);
  if (plan.parts == 1) {
    const int64_t results = plan.fold > 1 ? a.inner : plan.tile;
    const int64_t tasks = a.outer * plan.tiles, grain = larger(1, kSegment / (plan.tile * plan.rows));
    // The passes over accumulators would take as long as a few rows.
    const bool few = rule.settle && plan.fold == 1 && plan.rows <= smaller(32, rule.rows_limit);
    if (few && a.in_dtype == kStored<T>) {
      for_chunks(ceil_divide(tasks, grain), cost, [&](int64_t chunk) {
        alignas(64) char state[kStateBytes];
        for (int64_t task = chunk * grain; task < smaller(tasks, (chunk + 1) * grain); ++task) {
          const int64_t i = task / plan.tiles, first = task % plan.tiles * plan.tile;
          const int64_t columns = smaller(plan.tile, a.inner - first);
          const T* x = static_cast<const T*>(a.in) + i * a.size * a.inner + first;
          rule.rows(state, x, a.inner, a.size, columns, 0, a.params);
          rule.settle(state, a, i * a.inner + first, columns);
        }
      });
      return;
    }
    for_chunks(ceil_divide(tasks, grain), cost, [&](int64_t chunk) {
      alignas(64) char acc[kTile<T> * kAccBytes];
      for (int64_t task = chunk * grain; task < smaller(tasks, (chunk + 1) * grain); ++task) {
        const int64_t i = task / plan.tiles, tile = task % plan.tiles, first = tile * plan.tile;
        reduce_tile(a, rule, plan, i, tile, 0, acc);
        rule.finish(acc, a, i * a.inner + first, smaller(results, a.inner - first));
      }
    });
    return;
  }
  const int64_t line = a.inner * rule.acc_bytes;  // accumulators of one part
  const size_t bytes = static_cast<size_t>(a.outer * plan.parts * line);
  char* partial = static_cast<char*>(scratch(bytes));
  for_chunks(a.outer * plan.parts * plan.tiles, cost, [&](int64_t chunk) {
    const int64_t tile = chunk % plan.tiles, part = chunk / plan.tiles;  // part counts through outer
    char* acc = partial + part * line + tile * plan.tile * rule.acc_bytes;
    reduce_tile(a, rule, plan, part / plan.parts, tile, part % plan.parts, acc);
  });
  for (int64_t i = 0; i < a.outer; ++i) {
    char* acc = partial + i * plan.parts * line;
    for (int64_t part = 1; part < plan.parts; ++part) rule.merge(acc, acc + part * line, a.inner);
    rule.finish(acc, a, i * a.inner, a.inner);
  }
  release_scratch(partial, bytes);
}

template <class T> FG_NOINLINE void reduce_any(const ReduceArgs& a, const RuleOf<T>& rule) {
  if (a.outer == 0 || a.inner == 0) return;
  if (a.size == 0) {
    alignas(16) char acc[kAccBytes];
    rule.empty(acc, 1);
    for (int64_t i = 0; i < a.outer * a.inner; ++i) rule.finish(acc, a, i, 1);
  } else if (a.inner == 1 && a.size <= kBlock && (a.outer == 1 || (!is_tiny<T>(a) && a.outer < 8))) {
    reduce_short_rows(a, rule, 0, a.outer);  // small: nothing to cut
  } else if (a.inner == 1) {
    reduce_rows(a, rule);
  } else if (a.size == 1) {  // columns of one element are rows of one element
    ReduceArgs flat = a;
    flat.outer = a.outer * a.inner;
    flat.inner = 1;
    reduce_rows(flat, rule);
  } else {
    reduce_columns(a, rule);
  }
}

// A Rule as the walks see it. Rule has: T, Acc, State, kRows, kCost, empty(), add, rows, get, merge, finish for one.
template <class Rule> struct Erased {
  using T = typename Rule::T;
  using Acc = typename Rule::Acc;
  static_assert(sizeof(Acc) <= kAccBytes && sizeof(typename Rule::State) <= kStateBytes);
  static void empty(void* acc, int64_t n) {
    for (int64_t j = 0; j < n; ++j) static_cast<Acc*>(acc)[j] = Rule::empty();
  }
  static void add(void* acc, const T* x, int64_t n, int64_t first, const Param* params) {
    Rule::add(*static_cast<Acc*>(acc), x, n, first, params);
  }
  static void add_narrow(void* acc, const void* x, DType dtype, int64_t n, const Param* params) {
    if constexpr (requires { Rule::kNarrow; }) Rule::add_narrow(*static_cast<Acc*>(acc), x, dtype, n, params);
  }
  static void short_rows(const ReduceArgs& a, const T* x, int64_t i, int64_t rows) {
    for (int64_t end = i + rows; i < end; ++i, x += a.size) {
      Acc acc = Rule::empty();
      Rule::add(acc, x, a.size, 0, a.params);
      Rule::finish(acc, a, i);
    }
  }
  static void rows(void* state, const T* x, int64_t stride, int64_t rows, int64_t n, int64_t row, const Param* params) {
    Rule::rows(*static_cast<typename Rule::State*>(state), x, stride, rows, n, row, params);
  }
  static void rows_narrow(void* state, const void* x, DType dtype, int64_t stride, int64_t rows, int64_t n, int64_t row,
                          const Param* params) {
    if constexpr (requires { Rule::kNarrowRows; }) {
      const auto of = [&]<class S>(const S* from) {
        Rule::rows(*static_cast<typename Rule::State*>(state), from, stride, rows, n, row, params);
      };
      if constexpr (sizeof(T) == 8) of(static_cast<const float*>(x));
      else if (dtype == DType::Float16) of(static_cast<const HalfItem<DType::Float16>*>(x));
      else of(static_cast<const HalfItem<DType::BFloat16>*>(x));
    }
  }
  static void gather(void* acc, const void* state, int64_t at, int64_t n, int64_t rows, int64_t tail, int64_t first,
                     int64_t step) {
    for (int64_t j = 0; j < n; ++j) {
      const auto& from = *static_cast<const typename Rule::State*>(state);
      Rule::merge(static_cast<Acc*>(acc)[j], Rule::get(from, at + j, rows + (at + j < tail), first, step));
    }
  }
  static void merge(void* acc, const void* later, int64_t n) {
    for (int64_t j = 0; j < n; ++j) Rule::merge(static_cast<Acc*>(acc)[j], static_cast<const Acc*>(later)[j]);
  }
  static void finish(const void* acc, const ReduceArgs& a, int64_t i, int64_t n) {
    if constexpr (requires { Rule::finish_all; }) {
      if (n > 1) return Rule::finish_all(static_cast<const Acc*>(acc), a, i, n);
    }
    for (int64_t j = 0; j < n; ++j) Rule::finish(static_cast<const Acc*>(acc)[j], a, i + j);
  }
  static void settle(const void* state, const ReduceArgs& a, int64_t i, int64_t n) {
    if constexpr (requires { Rule::settle; }) Rule::settle(*static_cast<const typename Rule::State*>(state), a, i, n);
  }
  static constexpr RuleOf<T> rule = {sizeof(Acc),
                                     Rule::kRows,
                                     Rule::kCost,
                                     empty,
                                     add,
                                     requires { Rule::kNarrow; } ? add_narrow : nullptr,
                                     short_rows,
                                     rows,
                                     requires { Rule::kNarrowRows; } ? rows_narrow : nullptr,
                                     gather,
                                     merge,
                                     finish,
                                     requires { Rule::settle; } ? settle : nullptr};
};
template <class Rule> void reduce(const ReduceArgs& a) { reduce_any(a, Erased<Rule>::rule); }

}  // namespace
}  // namespace fg::cpu::FG_ISA
