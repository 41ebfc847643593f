// softmax, log_softmax and their gradients by columns: (outer, size, inner), inner > 1, or rows too long for L1, which
// are columns of inner == 1: `fold` of them side by side (see reduce_loops.h). A tile of columns is read twice: online
// (largest, sum), or the sum of a gradient; then the result is written.
#include "cpu/reduce_loops.h"
#include "cpu/softmax_lines.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kColumns = 1024;  // of a tile
constexpr int64_t kGroup = 8;       // rows that are converted at a time

template <class T> struct ColumnState {
  T top[kColumns];  // largest element; afterwards what is subtracted
  T sum[kColumns];  // sum; afterwards 1 / sum, log(sum), or the sum of a gradient
};

// `fold` states belong to each of `inner` columns: they meet, and all receive the result.
template <class T, bool is_log, bool is_gradient>
void finish_columns(ColumnState<T>& state, int64_t fold, int64_t inner, int64_t columns) {
  if constexpr (!is_gradient) {
    if (fold == 1) {
      using V = Vec<T>;
      for (int64_t j = 0; j < columns; j += V::N) {
        const V top = V::load(state.top + j), sum = V::load(state.sum + j);
        where(top - top == 0, is_log ? log(sum) : 1 / sum, kNan<T>).store(state.sum + j);
      }
      return;
    }
  }
  const int64_t results = fold > 1 ? inner : columns;
  for (int64_t j = 0; j < results; ++j) {
    T top = state.top[j], sum = state.sum[j];
    if constexpr (is_gradient) {
      for (int64_t k = 1; k < fold; ++k) sum += state.sum[j + k * inner];
    } else {
      double total = sum;
      if (fold > 1) {
        for (int64_t k = 1; k < fold; ++k)
          top = static_cast<T>(max(static_cast<double>(top), state.top[j + k * inner]));
        total = 0;
        for (int64_t k = 0; k < fold && is_finite(top); ++k)
          total += state.sum[j + k * inner] * ::exp(static_cast<double>(state.top[j + k * inner]) - top);
      }
      sum = is_finite(top) ? static_cast<T>(is_log ? ::log(total) : 1 / total) : kNan<T>;
    }
    for (int64_t k = 0; k < fold; ++k) {
      state.top[j + k * inner] = top;
      state.sum[j + k * inner] = sum;
    }
  }
}

template <class T, bool is_log, bool is_gradient>
FG_INLINE void sum_rows(ColumnState<T>& state, const T* x, const T* g, int64_t stride, int64_t rows, int64_t n) {
  using V = Vec<T>;
  if constexpr (!is_gradient) {
    online_rows(state.top, state.sum, x, stride, rows, n);
  } else {
    for (int64_t row = 0; row < rows; ++row, x += stride, g += stride) {
      each_vector<T>(n, [&](int64_t i, int64_t m) {
        V term = load_part(g + i, m);
        if constexpr (!is_log) term = term * load_part(x + i, m);
        store_part(state.sum + i, m, V::load(state.sum + i) + term);
      });
    }
  }
}

template <class T, bool is_log, bool is_gradient>
FG_INLINE void write_columns(const ColumnState<T>& state, const T* x, const T* g, T* y, int64_t n, bool stream) {
  using V = Vec<T>;
  write_row(y, n, stream, [&](int64_t at, int64_t m) {
    const V value = load_part(x + at, m), sum = V::load(state.sum + at);
    if constexpr (is_gradient) {
      return gradient_of<T, is_log>(value, load_part(g + at, m), sum);
    } else {
      const V relative = value - V::load(state.top + at);
      if constexpr (is_log) return relative - sum;
      else return exp_or_zero(relative) * sum;
    }
  });
}

// What parts of the rows have found becomes one: `state` takes in a later one.
template <class T, bool is_gradient>
void merge_columns(ColumnState<T>& state, const ColumnState<T>& later, int64_t columns) {
  using V = Vec<T>;
  for (int64_t j = 0; j < columns; j += V::N) {
    const V old = V::load(state.top + j), other = V::load(later.top + j), top = max(old, other), shift = shift_of(top);
    V one = V::load(state.sum + j), two = V::load(later.sum + j);
    if constexpr (!is_gradient) {
      one = one * exp_or_zero(at_most(shift_of(old) - shift, 0));
      two = two * exp_or_zero(at_most(shift_of(other) - shift, 0));
      top.store(state.top + j);
    }
    (one + two).store(state.sum + j);
  }
}

template <class T, bool is_log, bool is_gradient> struct Columns {
  using State = ColumnState<T>;
  const RowArgs& a;
  const ColumnPlan plan = plan_columns(a.outer, a.size, a.inner, kColumns);
  const int64_t rows = plan.rows + (plan.tail > 0), tasks = a.outer * plan.tiles;
  const bool stored = a.dtype == kStored<T>;
  const double total = static_cast<double>(a.outer) * static_cast<double>(a.size * a.inner);
  const bool stream = stored && total * sizeof(T) >= kStreamBytes;

  int64_t columns_of(int64_t task) const { return smaller(plan.tile, plan.width - task % plan.tiles * plan.tile); }
  // f(x, g, stride, count, n, at): count rows of n columns at x (and g), `stride` apart; `at` is their place in memory.
  template <class F> FG_INLINE void each_group(int64_t task, int64_t begin, int64_t end, const F& f) const {
    alignas(64) T x_lines[kGroup * kColumns], g_lines[kGroup * kColumns];
    const int64_t base = task / plan.tiles * a.size * a.inner + task % plan.tiles * plan.tile;
    for (int64_t row = begin; row < end;) {
      const bool last = row == plan.rows;
      const int64_t n = last ? plan.tail : columns_of(task);
      const int64_t count = last ? 1 : smaller(kGroup, smaller(plan.rows, end) - row), at = base + row * plan.width;
      if (stored) {
        const T* g = is_gradient ? static_cast<const T*>(a.grad) + at : nullptr;
        f(static_cast<const T*>(a.in) + at, g, plan.width, count, n, at);
      } else {
        for (int64_t k = 0; k < count; ++k) {
          load_converted(a.in, a.dtype, at + k * plan.width, n, x_lines + k * kColumns);
          if (is_gradient) load_converted(a.grad, a.dtype, at + k * plan.width, n, g_lines + k * kColumns);
        }
        f(x_lines, g_lines, kColumns, count, n, at);
      }
      row += count;
    }
  }
  void sum(State& state, int64_t task, int64_t begin, int64_t end) const {
    for (int64_t j = 0; j < kColumns; ++j) {
      state.top[j] = lowest<T>();
      state.sum[j] = 0;
    }
    each_group(task, begin, end, [&](const T* x, const T* g, int64_t stride, int64_t count, int64_t n, int64_t) {
      sum_rows<T, is_log, is_gradient>(state, x, g, stride, count, n);
    });
  }
  void write(const State& state, int64_t task, int64_t begin, int64_t end) const {
    alignas(64) T y_line[kColumns];
    each_group(task, begin, end, [&](const T* x, const T* g, int64_t stride, int64_t count, int64_t n, int64_t at) {
      for (int64_t k = 0; k < count; ++k, x += stride, g += is_gradient ? stride : 0, at += plan.width) {
        T* y = stored ? static_cast<T*>(a.out) + at : y_line;
        write_columns<T, is_log, is_gradient>(state, x, g, y, n, stream);
        if (!stored) store_line(a.out, a.dtype, at, n, y);
      }
    });
    if (stream) stream_fence();
  }
  void finish(State& state, int64_t task) const {
    finish_columns<T, is_log, is_gradient>(state, plan.fold, a.inner, columns_of(task));
  }

  void run() const {
    const int64_t parts = tasks < 8 ? smaller(16, rows * plan.tile / (4 * kSegment)) : 1;
    if (parts > 1) return run_parts(parts);
    const int64_t grain = larger(1, kSegment / (plan.tile * plan.rows));
    for_chunks(ceil_divide(tasks, grain), 0.8 * total, [&](int64_t chunk) {
      alignas(64) State state;
      for (int64_t task = chunk * grain; task < smaller(tasks, (chunk + 1) * grain); ++task) {
        sum(state, task, 0, rows);
        finish(state, task);
        write(state, task, 0, rows);
      }
    });
  }
  // Few tiles: the rows are shared out as well.
  void run_parts(int64_t parts) const {
    const size_t bytes = sizeof(State) * static_cast<size_t>(tasks * parts);
    State* states = static_cast<State*>(scratch(bytes));
    const auto first = [&](int64_t part) { return rows * part / parts; };
    for_chunks(tasks * parts, 0.5 * total, [&](int64_t chunk) {
      const int64_t part = chunk % parts;
      sum(states[chunk], chunk / parts, first(part), first(part + 1));
    });
    for (int64_t task = 0; task < tasks; ++task) {
      State& state = states[task * parts];
      for (int64_t part = 1; part < parts; ++part)
        merge_columns<T, is_gradient>(state, states[task * parts + part], columns_of(task));
      finish(state, task);
    }
    for_chunks(tasks * parts, 0.4 * total, [&](int64_t chunk) {
      const int64_t task = chunk / parts, part = chunk % parts;
      write(states[task * parts], task, first(part), first(part + 1));
    });
    release_scratch(states, bytes);
  }
};
template <class T, bool is_log, bool is_gradient> void columns(const RowArgs& a) {
  Columns<T, is_log, is_gradient>{a}.run();
}

}  // namespace

void softmax_columns(const RowArgs& a, bool is_log, bool is_gradient) {
  const auto run = [&]<class T>(T) {
    if (is_gradient) is_log ? columns<T, true, true>(a) : columns<T, false, true>(a);
    else is_log ? columns<T, true, false>(a) : columns<T, false, false>(a);
  };
  if (a.dtype == DType::Float64) run(double{});
  else run(float{});
}

}  // namespace fg::cpu::FG_ISA
