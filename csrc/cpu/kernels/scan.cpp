// Cumulative sum, product, log of the sum of exponentials, maximum and minimum over (outer, size, inner), contiguous.
// Floating types are accumulated in double (as torch does), integers in int64: both hold every result of the narrower
// types, so there are two kernels of each kind.
//
//   rows     inner == 1: prefix sums inside a vector by shifted additions; the carry adds up beside them. Many rows of
//   a
//            few floats are turned into columns
//   columns  a tile of columns with a row of carries; few columns: many rows are brought to L1 in one piece
#include "cpu/exchange.h"
#include "cpu/lines.h"
#include "cpu/math.h"

namespace fg::cpu::FG_ISA {
namespace {

struct Sum {
  static constexpr int64_t kIdentity = 0;
  template <class N> FG_INLINE static N meet(N a, N b) { return a + b; }
};
struct Product {
  static constexpr int64_t kIdentity = 1;
  template <class N> FG_INLINE static N meet(N a, N b) { return a * b; }
};
// int64 wraps: one lane of a Vec knows how, for doubles it is the plain operation.
template <class Rule, class D> FG_INLINE D meet_one(D a, D b) {
  if constexpr (kIsFloat<D>) return Rule::meet(a, b);
  else return static_cast<int64_t>(Rule::meet(Long(a), Long(b)));
}

// ---- rows -----------------------------------------------------------------------------------------------------------
template <class D, bool reverse, int step = 1> FG_INLINE Vec<D> prefix_sums(Vec<D> x) {
  if constexpr (step >= Vec<D>::N) {
    return x;
  } else {
    static constexpr LaneNumbers<D> from = lane_numbers<D>([](int i) {
      const int source = reverse ? i + step : i - step;
      return source >= 0 && source < Vec<D>::N ? source : Vec<D>::N;  // the first lane of the zeros
    });
    const Vec<D> moved = __builtin_shuffle(x.v, typename Vec<D>::V{}, as_vector<D>(from));
    return prefix_sums<D, reverse, 2 * step>(x + moved);
  }
}

// x and y may be the same. Returns the carry.
template <class Rule, class D, bool reverse> D scan_block(const D* x, D* y, int64_t n, D carry) {
  using V = Vec<D>;
  int64_t i = 0;
  if constexpr (__is_same(Rule, Sum)) {  // a product could overflow inside a vector where the whole does not
    V total = carry;
    for (; i + V::N <= n; i += V::N) {
      const int64_t at = reverse ? n - V::N - i : i;
      const V sums = prefix_sums<D, reverse>(V::load(x + at));
      (total + sums).store(y + at);
      static constexpr LaneNumbers<D> last = lane_numbers<D>([](int) { return reverse ? 0 : V::N - 1; });
      total = total + V(__builtin_shuffle(sums.v, as_vector<D>(last)));  // the only chain from vector to vector
    }
    carry = total.v[0];
  }
  for (; i < n; ++i) {
    const int64_t at = reverse ? n - 1 - i : i;
    y[at] = carry = meet_one<Rule>(carry, x[at]);
  }
  return carry;
}

constexpr int64_t kTinyRow = 16;
template <class Rule, bool reverse> void scan_tiny_rows(const RowArgs& a) {
  constexpr int64_t kRows = kBlock / kTinyRow;
  const int64_t n = a.size, rows = larger(1, kSegment / (n * kRows)) * kRows;
  for_chunks(ceil_divide(a.outer, rows), 0.4 * static_cast<double>(a.outer * n), [&](int64_t chunk) {
    alignas(64) float columns[kBlock] = {};
    alignas(64) double carry[kRows];
    for (int64_t i = chunk * rows; i < smaller(a.outer, (chunk + 1) * rows); i += kRows) {
      const int count = static_cast<int>(smaller(kRows, a.outer - i)), width = static_cast<int>(n);
      gather_tile_items<uint32_t>(columns, kRows, static_cast<const float*>(a.in) + i * n, n, 1, count, width);
      for (int64_t j = 0; j < kRows; ++j) carry[j] = Rule::kIdentity;
      for (int64_t k = 0; k < n; ++k) {
        float* column = columns + (reverse ? n - 1 - k : k) * kRows;
        for (int64_t j = 0; j < kRows; ++j) {
          carry[j] = Rule::meet(carry[j], static_cast<double>(column[j]));
          column[j] = static_cast<float>(carry[j]);
        }
      }
      gather_tile_items<uint32_t>(static_cast<float*>(a.out) + i * n, n, columns, kRows, 1, width, count);
    }
  });
}

// Rows whose steps wait for one another: some side by side. From `row` on.
constexpr int64_t kChains = 4;
template <class Rule, class D, bool reverse> void scan_chains(const RowArgs& a, int64_t row) {
  constexpr int64_t kPart = kBlock / kChains;
  alignas(64) D lines[kChains][kPart];
  D carry[kChains];
  for (D& one : carry) one = Rule::kIdentity;
  for (int64_t done = 0; done < a.size; done += kPart) {
    const int64_t n = smaller(kPart, a.size - done), first = reverse ? a.size - done - n : done;
    for (int64_t r = 0; r < kChains; ++r) load_converted(a.in, a.dtype, (row + r) * a.size + first, n, lines[r]);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = reverse ? n - 1 - i : i;
#pragma GCC unroll 4
      for (int r = 0; r < kChains; ++r) lines[r][at] = carry[r] = meet_one<Rule>(carry[r], lines[r][at]);
    }
    for (int64_t r = 0; r < kChains; ++r) store_line(a.out, a.dtype, (row + r) * a.size + first, n, lines[r]);
  }
}

template <class Rule, class D, bool reverse> void scan_rows(const RowArgs& a) {
  if constexpr (kIsFloat<D>) {
    if (a.dtype == DType::Float32 && a.size <= kTinyRow && a.outer >= 16) return scan_tiny_rows<Rule, reverse>(a);
  }
  const int64_t rows = larger(1, kSegment / 2 / a.size);
  for_chunks(ceil_divide(a.outer, rows), 0.5 * static_cast<double>(a.outer * a.size), [&](int64_t chunk) {
    alignas(64) D line[kBlock];
    const int64_t end = smaller(a.outer, (chunk + 1) * rows);
    if (__is_same(Rule, Sum) && a.size <= kBlock / 2 &&
        a.dtype != kStored<D>) {  // as many short rows as fit are converted at a time
      const int64_t batch = kBlock / a.size;
      for (int64_t i = chunk * rows; i < end; i += batch) {
        const int64_t n = smaller(batch, end - i);
        load_converted(a.in, a.dtype, i * a.size, n * a.size, line);
        for (int64_t k = 0; k < n; ++k)
          scan_block<Rule, D, reverse>(line + k * a.size, line + k * a.size, a.size, Rule::kIdentity);
        store_line(a.out, a.dtype, i * a.size, n * a.size, line);
      }
      return;
    }
    int64_t first = chunk * rows;
    if constexpr (!__is_same(Rule, Sum))
      for (; first + kChains <= end; first += kChains) scan_chains<Rule, D, reverse>(a, first);
    for (int64_t i = first; i < end; ++i) {
      D carry = Rule::kIdentity;
      for (int64_t done = 0; done < a.size; done += kBlock) {
        const int64_t n = smaller(kBlock, a.size - done);
        const int64_t at = i * a.size + (reverse ? a.size - done - n : done);
        const D* x = load_line<D>(a.in, a.dtype, at, n, line);
        if (a.dtype == kStored<D>) {
          carry = scan_block<Rule, D, reverse>(x, static_cast<D*>(a.out) + at, n, carry);
        } else {
          carry = scan_block<Rule, D, reverse>(x, line, n, carry);
          store_line(a.out, a.dtype, at, n, line);
        }
      }
    }
  });
}

// ---- columns --------------------------------------------------------------------------------------------------------
constexpr int64_t kColumns = 1024;

// Tiles of columns, from the first row to the last (or back), through lines in L1. begin(carry, place, columns)
// prepares a tile; step(carry, place, line, columns, row, at, is_first) turns one row of it into results; `at` is its
// place in memory.
template <class D, class Begin, class Step>
FG_INLINE void walk_columns(const RowArgs& a, const Begin& begin, const Step& step) {
  const int64_t tile = smaller(a.inner, kColumns), tiles = ceil_divide(a.inner, tile);
  const int64_t tasks = a.outer * tiles, grain = larger(1, kSegment / (tile * a.size));
  const double cost = 0.8 * static_cast<double>(a.outer * a.inner) * static_cast<double>(a.size);
  const int64_t rows_limit = tiles == 1 ? larger(1, kBlock / a.inner) : 1;  // whole rows follow each other in memory
  for_chunks(ceil_divide(tasks, grain), cost, [&](int64_t chunk) {
    alignas(64) D lines[kBlock];
    alignas(64) D carry[kColumns];
    alignas(64) int64_t place[kColumns];
    for (int64_t task = chunk * grain; task < smaller(tasks, (chunk + 1) * grain); ++task) {
      const int64_t first = task % tiles * tile, columns = smaller(tile, a.inner - first);
      const int64_t base = task / tiles * a.size * a.inner + first;
      begin(carry, place, columns);
      for (int64_t done = 0; done < a.size; done += rows_limit) {
        const int64_t rows = smaller(rows_limit, a.size - done);
        const int64_t row = a.reverse ? a.size - done - rows : done;
        const int64_t at = base + row * a.inner;
        load_converted(a.in, a.dtype, at, rows * columns, lines);
        for (int64_t k = 0; k < rows; ++k) {
          const int64_t now = a.reverse ? rows - 1 - k : k;
          step(carry, place, lines + now * columns, columns, row + now, at + now * a.inner, done + k == 0);
        }
        store_line(a.out, a.dtype, at, rows * columns, lines);
      }
    }
  });
}

// float32 sums without the conversion of whole lines: read, add in double, round; past the cache when the output is
// large.
void sum_float_columns(const RowArgs& a) {
  const int64_t tile = smaller(a.inner, 2 * kColumns), tiles = ceil_divide(a.inner, tile);
  const double total = static_cast<double>(a.outer * a.inner) * static_cast<double>(a.size);
  const bool stream = total * sizeof(float) >= kStreamBytes && a.inner % VF::N == 0 && is_aligned(a.out);
  for_chunks(a.outer * tiles, 0.3 * total, [&](int64_t task) {
    alignas(64) double carry[2 * kColumns] = {};
    alignas(64) float line[2 * kColumns];
    const int64_t first = task % tiles * tile, columns = smaller(tile, a.inner - first);
    const int64_t base = task / tiles * a.size * a.inner + first;
    for (int64_t done = 0; done < a.size; ++done) {
      const int64_t at = base + (a.reverse ? a.size - 1 - done : done) * a.inner;
      const float* x = static_cast<const float*>(a.in) + at;
      float* y = static_cast<float*>(a.out) + at;
      for (int64_t j = 0; j < columns; ++j) line[j] = static_cast<float>(carry[j] += static_cast<double>(x[j]));
      if (stream) {
        for (int64_t j = 0; j < columns; j += VF::N) stream_store(y + j, VF::load(line + j));
      } else {
        memcpy(y, line, static_cast<size_t>(columns) * sizeof(float));
      }
    }
    if (stream) stream_fence();
  });
}

template <class Rule, class D> void scan_columns(const RowArgs& a) {
  walk_columns<D>(
      a,
      [](D* carry, int64_t*, int64_t columns) {
        for (int64_t j = 0; j < columns; ++j) carry[j] = Rule::kIdentity;
      },
      [](D* carry, int64_t*, D* line, int64_t columns, int64_t, int64_t, bool) {
        for (int64_t j = 0; j < columns; ++j) line[j] = carry[j] = meet_one<Rule>(carry[j], line[j]);
      });
}

template <class Rule, class D> void scan_as(const RowArgs& a) {
  if (a.inner == 1) {
    if (a.reverse) scan_rows<Rule, D, true>(a);
    else scan_rows<Rule, D, false>(a);
  } else if (__is_same(Rule, Sum) && a.dtype == DType::Float32 && a.inner >= 64) {
    sum_float_columns(a);
  } else {
    scan_columns<Rule, D>(a);
  }
}

FG_INLINE bool is_floating(DType dtype) { return dtype >= DType::Float16; }

template <class Rule> void scan(const RowArgs& a) {
  if (a.outer == 0 || a.size == 0 || a.inner == 0) return;
  if (is_floating(a.dtype)) scan_as<Rule, double>(a);
  else scan_as<Rule, int64_t>(a);
}

// ---- log of the running sum of exponentials -------------------------------------------------------------------------
// log(exp(a) + exp(b)); an infinity stays what it is.
FG_INLINE double log_sum(double a, double b) {
  const double high = max(a, b), low = min(a, b);
  if (!(__builtin_fabs(high) < Limits<double>::kInf)) return high;  // NaN wins in max
  return high + __builtin_log1p(__builtin_exp(low - high));
}
// A vector at a time, relative to its maximum, where nothing that counts is lost by that.
template <bool reverse> double log_sum_block(const double* x, double* y, int64_t n, double carry) {
  constexpr int64_t N = VD::N;
  constexpr double apart = 600;
  int64_t i = 0;
  for (; i < n;) {
    if (i + N <= n && __builtin_fabs(carry) < Limits<double>::kInf) {
      const int64_t at = reverse ? n - N - i : i;
      const VD values = VD::load(x + at);
      const double top = across(values, [](VD a, VD b) { return max(a, b); }), high = max(carry, top);
      if (high - carry < apart) {  // false for NaN
        const VD sums = prefix_sums<double, reverse>(exp(values - high)) + __builtin_exp(carry - high);
        const VD out = log(sums) + high;
        out.store(y + at);
        carry = y[reverse ? at : at + N - 1];
        i += N;
        continue;
      }
    }
    const int64_t at = reverse ? n - 1 - i : i;
    y[at] = carry = log_sum(carry, x[at]);
    ++i;
  }
  return carry;
}
template <bool reverse> void log_sum_rows(const RowArgs& a) {
  const int64_t rows = larger(1, kSegment / 4 / a.size);
  for_chunks(ceil_divide(a.outer, rows), 3.0 * static_cast<double>(a.outer * a.size), [&](int64_t chunk) {
    alignas(64) double line[kBlock];
    for (int64_t i = chunk * rows; i < smaller(a.outer, (chunk + 1) * rows); ++i) {
      double carry = -Limits<double>::kInf;
      for (int64_t done = 0; done < a.size; done += kBlock) {
        const int64_t n = smaller(kBlock, a.size - done), at = i * a.size + (reverse ? a.size - done - n : done);
        load_converted(a.in, a.dtype, at, n, line);
        carry = log_sum_block<reverse>(line, line, n, carry);
        store_line(a.out, a.dtype, at, n, line);
      }
    }
  });
}
void log_sum_columns(const RowArgs& a) {
  walk_columns<double>(
      a,
      [](double* carry, int64_t*, int64_t columns) {
        for (int64_t j = 0; j < columns; ++j) carry[j] = -Limits<double>::kInf;
      },
      [](double* carry, int64_t*, double* line, int64_t columns, int64_t, int64_t, bool) {
        each_vector<double>(columns, [&](int64_t j, int64_t n) {
          const VD x = load_part(line + j, n), old = VD::load(carry + j);
          const VD high = max(x, old);
          const VD sum = high + log1p(exp(min(x, old) - high));
          const VD out = where(abs(high) < Limits<double>::kInf, sum, high);
          out.store(carry + j);
          store_part(line + j, n, out);
        });
      });
}
void log_sum_scan(const RowArgs& a) {
  if (a.outer == 0 || a.size == 0 || a.inner == 0) return;
  if (a.inner > 1) log_sum_columns(a);
  else if (a.reverse) log_sum_rows<true>(a);
  else log_sum_rows<false>(a);
}

// ---- running extremum and its place ---------------------------------------------------------------------------------
// The latest of equal elements counts; a NaN stays, with the place of the latest NaN: as torch.
template <class D, bool largest> void extremum_columns(const RowArgs& a) {
  using V = Vec<D>;
  walk_columns<D>(
      a, [](D*, int64_t* place, int64_t) { memset(place, 0, kColumns * sizeof(int64_t)); },
      [&a](D* best, int64_t* place, D* line, int64_t columns, int64_t row, int64_t at, bool is_first) {
        if (is_first) memcpy(best, line, static_cast<size_t>(columns) * sizeof(D));
        const VL now = row;
        each_vector<D>(columns, [&](int64_t j, int64_t n) {
          const V x = load_part(line + j, n), old = V::load(best + j);
          const Mask<D> take = (largest ? x >= old : x <= old) | (x != x);
          const V result = where(take, x, old);
          result.store(best + j);
          store_part(line + j, n, result);
          const VL places = where(Mask<int64_t>{take.v}, now, VL::load(place + j));
          places.store(place + j);
        });
        if (a.indices) memcpy(a.indices + at, place, static_cast<size_t>(columns) * sizeof(int64_t));
      });
}
template <class D, bool largest> void extremum_rows(const RowArgs& a) {
  const int64_t rows = larger(1, kSegment / 2 / a.size);
  for_chunks(ceil_divide(a.outer, rows), 1.0 * static_cast<double>(a.outer * a.size), [&](int64_t chunk) {
    alignas(64) D line[kBlock];
    for (int64_t i = chunk * rows; i < smaller(a.outer, (chunk + 1) * rows); ++i) {
      D best = 0;
      int64_t place = -1;
      for (int64_t done = 0; done < a.size; done += kBlock) {
        const int64_t n = smaller(kBlock, a.size - done), first = a.reverse ? a.size - done - n : done;
        const int64_t at = i * a.size + first, step = a.reverse ? -1 : 1;
        load_converted(a.in, a.dtype, at, n, line);
        for (int64_t k = 0, j = a.reverse ? n - 1 : 0; k < n; ++k, j += step) {
          const D x = line[j];
          const bool take = (place < 0) | (largest ? x >= best : x <= best) | (x != x);
          line[j] = best = take ? x : best;
          place = take ? first + j : place;
          if (a.indices) a.indices[at + j] = place;
        }
        store_line(a.out, a.dtype, at, n, line);
      }
    }
  });
}
template <bool largest> void extremum(const RowArgs& a) {
  if (a.outer == 0 || a.size == 0 || a.inner == 0) return;
  const auto run = [&]<class D>(D) {
    if (a.inner == 1) extremum_rows<D, largest>(a);
    else extremum_columns<D, largest>(a);
  };
  if (is_floating(a.dtype)) run(double{});
  else run(int64_t{});
}

}  // namespace

void fill_scan(Backend& table) {
  table.row[static_cast<int>(Row::cumsum)] = scan<Sum>;
  table.row[static_cast<int>(Row::cumprod)] = scan<Product>;
  table.row[static_cast<int>(Row::logcumsumexp)] = log_sum_scan;
  table.row[static_cast<int>(Row::cummax)] = extremum<true>;
  table.row[static_cast<int>(Row::cummin)] = extremum<false>;
}

}  // namespace fg::cpu::FG_ISA
