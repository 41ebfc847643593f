// Softmax, log_softmax, their gradients, and the cumulative operations: groups of threads on lines (group.cuh).
#include <cmath>

#include "cuda/group.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

FG_DEVICE float exp_of(float x) { return ::expf(x); }
FG_DEVICE double exp_of(double x) { return ::exp(x); }
FG_DEVICE float log_of(float x) { return ::logf(x); }
FG_DEVICE double log_of(double x) { return ::log(x); }

// Running maximum and the sum of exp(x - max): one read of the line instead of two.
template <class T> struct MaxSum {
  T max, sum;
};
template <class T> FG_DEVICE MaxSum<T> combine(MaxSum<T> a, MaxSum<T> b) {
  if (a.max != a.max || b.max != b.max) return {static_cast<T>(NAN), 1};
  if (a.max < b.max) {
    MaxSum<T> t = a;
    a = b, b = t;
  }
  return {a.max, a.max == b.max ? a.sum + b.sum : a.sum + b.sum * exp_of(b.max - a.max)};
}

template <class T, bool kLog>
__global__ void __launch_bounds__(kThreads) softmax_kernel(void* out, const void* in, DType dtype, Lines lines) {
  FG_SHARED(MaxSum<T>, shared, kThreads);
  Group group = Group::of(lines);
  int64_t line = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index;
  bool active = line < lines.count;
  int64_t start = line_start(lines, line);
  MaxSum<T> s{static_cast<T>(-INFINITY), 0};
  if (active) {
    for (int64_t i = group.lane; i < lines.size; i += lines.lanes) {
      T x = load_float<T>(in, start + i * lines.inner, dtype);
      if (x != static_cast<T>(-INFINITY)) s = combine(s, MaxSum<T>{x, 1});
    }
  }
  s = group_reduce_all(lines, group, s, shared, [](MaxSum<T> a, MaxSum<T> b) { return combine(a, b); });
  if (!active) return;
  if (s.max - s.max != 0) s.sum = static_cast<T>(NAN);  // a line with inf or NaN, or of -inf only
  T scale = 1 / s.sum, shift = s.max + log_of(s.sum);
  for (int64_t i = group.lane; i < lines.size; i += lines.lanes) {
    int64_t at = start + i * lines.inner;
    T x = load_float<T>(in, at, dtype);
    store_float<T>(out, at, dtype, kLog ? x - shift : exp_of(x - s.max) * scale);
  }
}

// softmax: (g - sum(g * y)) * y;  log_softmax: g - exp(y) * sum(g)
template <class T, bool kLog>
__global__ void __launch_bounds__(kThreads)
    softmax_grad_kernel(void* out, const void* y, const void* g, DType dtype, Lines lines) {
  FG_SHARED(T, shared, kThreads);
  Group group = Group::of(lines);
  int64_t line = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index;
  bool active = line < lines.count;
  int64_t start = line_start(lines, line);
  T sum = 0;
  if (active) {
    for (int64_t i = group.lane; i < lines.size; i += lines.lanes) {
      int64_t at = start + i * lines.inner;
      T gi = load_float<T>(g, at, dtype);
      sum += kLog ? gi : gi * load_float<T>(y, at, dtype);
    }
  }
  sum = group_reduce_all(lines, group, sum, shared, [](T a, T b) { return a + b; });
  if (!active) return;
  for (int64_t i = group.lane; i < lines.size; i += lines.lanes) {
    int64_t at = start + i * lines.inner;
    T gi = load_float<T>(g, at, dtype), yi = load_float<T>(y, at, dtype);
    store_float<T>(out, at, dtype, kLog ? gi - exp_of(yi) * sum : (gi - sum) * yi);
  }
}

// ---- cumulative
template <class T>
using Unsigned = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;

template <class T> struct CumSum {
  using State = T;
  static FG_DEVICE State identity() { return 0; }
  static FG_DEVICE State of(T x, int64_t) { return x; }
  static FG_DEVICE State combine(State a, State b) { return static_cast<T>(Unsigned<T>(a) + Unsigned<T>(b)); }
  static FG_DEVICE T value(State s) { return s; }
};
template <class T> struct CumProd : CumSum<T> {
  static FG_DEVICE T identity() { return 1; }
  static FG_DEVICE T combine(T a, T b) { return static_cast<T>(Unsigned<T>(a) * Unsigned<T>(b)); }
};
// log(exp(a) + exp(b)), in double: errors of a line add up.
template <class T> struct CumLogSumExp : CumSum<T> {
  static FG_DEVICE T identity() { return -static_cast<T>(INFINITY); }
  static FG_DEVICE T combine(T a, T b) {
    const T high = a > b || a != a ? a : b, low = a > b || a != a ? b : a;
    return high - high == 0 ? high + ::log1p(exp_of(low - high)) : high;
  }
};
// Equal values: the later one, and NaN stays, as in torch.
template <class T, bool kMax> struct CumExtreme {
  struct State {
    T value;
    int64_t index;
  };
  static FG_DEVICE State identity() { return {0, -1}; }
  static FG_DEVICE State of(T x, int64_t i) { return {x, i}; }
  static FG_DEVICE State combine(State a, State b) {
    if (a.index < 0 || b.index < 0) return a.index < 0 ? b : a;
    bool later = b.value != b.value || (a.value == a.value && (kMax ? b.value >= a.value : b.value <= a.value));
    return later ? b : a;
  }
  static FG_DEVICE T value(State s) { return s.value; }
};
template <class T> using CumMax = CumExtreme<T, true>;
template <class T> using CumMin = CumExtreme<T, false>;

template <class R, class T>
__global__ void __launch_bounds__(kThreads)
    scan_kernel(void* out, int64_t* indices, const void* in, DType dtype, Lines lines, int reverse) {
  using State = typename R::State;
  FG_SHARED(State, shared, kThreads);
  Group group = Group::of(lines);
  int64_t line = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index;
  bool active = line < lines.count;
  int64_t start = line_start(lines, line);
  int t = threadIdx.x, stride = lines.by_row ? 1 : kThreads / lines.lanes;
  State carry = R::identity();
  for (int64_t tile = 0; tile < lines.size; tile += lines.lanes) {
    int64_t i = tile + group.lane, at = reverse ? lines.size - 1 - i : i;
    bool here = active && i < lines.size;
    State s = here ? R::of(load<T>(in, start + at * lines.inner, dtype), at) : R::identity();
    for (int offset = 1; offset < lines.lanes; offset *= 2) {
      shared[t] = s;
      __syncthreads();
      if (group.lane >= offset) s = R::combine(shared[t - offset * stride], s);
      __syncthreads();
    }
    s = R::combine(carry, s);
    if (here) {
      store<T>(out, start + at * lines.inner, dtype, R::value(s));
      if constexpr (!std::is_same_v<State, T>) {
        if (indices) indices[start + at * lines.inner] = s.index;
      }
    }
    if (lines.lanes == 1) {
      carry = s;
    } else {
      shared[t] = s;
      __syncthreads();
      carry = shared[t + (lines.lanes - 1 - group.lane) * stride];
      __syncthreads();
    }
  }
}

// ---- host
template <bool kLog> void softmax(const RowArgs& args) {
  if (args.outer * args.inner == 0 || args.size == 0) return;
  Lines lines = Lines::of(args.outer, args.size, args.inner);
  dim3 grid(static_cast<unsigned>(lines.blocks()));
  if (args.dtype == DType::Float64) {
    FG_LAUNCH((softmax_kernel<double, kLog>), grid, kThreads, 0, args.stream, args.out, args.in, args.dtype, lines);
  } else {
    FG_LAUNCH((softmax_kernel<float, kLog>), grid, kThreads, 0, args.stream, args.out, args.in, args.dtype, lines);
  }
}

template <bool kLog> void softmax_grad(const RowArgs& args) {
  if (args.outer * args.inner == 0 || args.size == 0) return;
  Lines lines = Lines::of(args.outer, args.size, args.inner);
  dim3 grid(static_cast<unsigned>(lines.blocks()));
  if (args.dtype == DType::Float64) {
    FG_LAUNCH((softmax_grad_kernel<double, kLog>), grid, kThreads, 0, args.stream, args.out, args.in, args.grad,
              args.dtype, lines);
  } else {
    FG_LAUNCH((softmax_grad_kernel<float, kLog>), grid, kThreads, 0, args.stream, args.out, args.in, args.grad,
              args.dtype, lines);
  }
}

template <template <class> class Monoid, class T> void scan_as(const RowArgs& args) {
  Lines lines = Lines::of(args.outer, args.size, args.inner);
  FG_LAUNCH((scan_kernel<Monoid<T>, T>), static_cast<unsigned>(lines.blocks()), kThreads, 0, args.stream, args.out,
            args.indices, args.in, args.dtype, lines, args.reverse);
}
template <template <class> class Monoid> void scan(const RowArgs& args) {
  if (args.outer * args.inner == 0 || args.size == 0) return;
  switch (args.dtype) {
    case DType::Float64: return scan_as<Monoid, double>(args);
    case DType::Int64: return scan_as<Monoid, int64_t>(args);
    case DType::Float32:
    case DType::Float16:
    case DType::BFloat16: return scan_as<Monoid, float>(args);
    default: return scan_as<Monoid, int32_t>(args);
  }
}

void log_sum_scan(const RowArgs& args) {
  if (args.outer * args.inner == 0 || args.size == 0) return;
  scan_as<CumLogSumExp, double>(args);
}

}  // namespace

void fill_rows(Backend& table) {
  table.row[static_cast<int>(Row::softmax)] = softmax<false>;
  table.row[static_cast<int>(Row::log_softmax)] = softmax<true>;
  table.row[static_cast<int>(Row::softmax_grad)] = softmax_grad<false>;
  table.row[static_cast<int>(Row::log_softmax_grad)] = softmax_grad<true>;
  table.row[static_cast<int>(Row::cumsum)] = scan<CumSum>;
  table.row[static_cast<int>(Row::cumprod)] = scan<CumProd>;
  table.row[static_cast<int>(Row::logcumsumexp)] = log_sum_scan;
  table.row[static_cast<int>(Row::cummax)] = scan<CumMax>;
  table.row[static_cast<int>(Row::cummin)] = scan<CumMin>;
}
}  // namespace fg::cuda
