// Reductions. A reduction is a monoid: state, how an element enters, how two states combine, what comes out at the end.
// One kernel for all of them: groups of threads take lines (group.cuh), each thread a fixed subset, combined in a fixed
// order. Few long lines are cut into parts whose states go through memory to a second kernel. No atomics.
#include <cmath>

#include "cuda/group.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

template <class T> FG_DEVICE bool is_nan(T x) { return x != x; }
template <class T> FG_DEVICE T infinity() { return static_cast<T>(INFINITY); }
FG_DEVICE float exp_of(float x) { return ::expf(x); }
FG_DEVICE double exp_of(double x) { return ::exp(x); }
FG_DEVICE float log_of(float x) { return ::logf(x); }
FG_DEVICE double log_of(double x) { return ::log(x); }
FG_DEVICE float sqrt_of(float x) { return ::sqrtf(x); }
FG_DEVICE double sqrt_of(double x) { return ::sqrt(x); }
FG_DEVICE float pow_of(float x, float p) { return ::powf(x, p); }
FG_DEVICE double pow_of(double x, double p) { return ::pow(x, p); }
template <class T> FG_DEVICE T abs_of(T x) { return x < 0 ? -x : x == 0 ? T(0) : x; }
// Integer sums wrap.
template <class T> FG_DEVICE T plus(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) + static_cast<std::make_unsigned_t<T>>(b));
  else return a + b;
}
template <class T> FG_DEVICE T times(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) * static_cast<std::make_unsigned_t<T>>(b));
  else return a * b;
}
template <class T> struct Limits;
template <> struct Limits<float> {
  static FG_DEVICE float low() { return -INFINITY; }
  static FG_DEVICE float high() { return INFINITY; }
};
template <> struct Limits<double> {
  static FG_DEVICE double low() { return -INFINITY; }
  static FG_DEVICE double high() { return INFINITY; }
};
template <> struct Limits<int32_t> {
  static FG_DEVICE int32_t low() { return INT32_MIN; }
  static FG_DEVICE int32_t high() { return INT32_MAX; }
};
template <> struct Limits<int64_t> {
  static FG_DEVICE int64_t low() { return INT64_MIN; }
  static FG_DEVICE int64_t high() { return INT64_MAX; }
};

struct Context {
  int64_t size;
  Param params[2];
};

// Every monoid: State, Out, identity(), add(state, x, index, context), combine(a, b), finish(state, context).
template <class T> struct Sum {
  using State = T;
  using Out = T;
  static FG_DEVICE State identity() { return 0; }
  static FG_DEVICE State add(State s, T x, int64_t, const Context&) { return plus(s, x); }
  static FG_DEVICE State combine(State a, State b) { return plus(a, b); }
  static FG_DEVICE Out finish(State s, const Context&) { return s; }
};
template <class T> struct NanSum : Sum<T> {
  static FG_DEVICE T add(T s, T x, int64_t, const Context&) { return x == x ? s + x : s; }
};
template <class T> struct Mean : Sum<T> {
  static FG_DEVICE T finish(T s, const Context& c) { return s / static_cast<T>(c.size); }
};
template <class T> struct Prod : Sum<T> {
  static FG_DEVICE T identity() { return 1; }
  static FG_DEVICE T add(T s, T x, int64_t, const Context&) { return times(s, x); }
  static FG_DEVICE T combine(T a, T b) { return times(a, b); }
};
template <class T> struct SumAbs : Sum<T> {
  static FG_DEVICE T add(T s, T x, int64_t, const Context&) { return plus(s, abs_of(x)); }
};
template <class T> struct SumPow : Sum<T> {
  static FG_DEVICE T add(T s, T x, int64_t, const Context& c) {
    return s + pow_of(abs_of(x), static_cast<T>(c.params[0].f));
  }
};
template <class T, bool kMax> struct Extreme : Sum<T> {
  static FG_DEVICE T identity() { return kMax ? Limits<T>::low() : Limits<T>::high(); }
  static FG_DEVICE T combine(T a, T b) { return is_nan(a) || (kMax ? a > b : a < b) ? a : b; }
  static FG_DEVICE T add(T s, T x, int64_t, const Context&) { return combine(s, x); }
};
template <class T> using Amax = Extreme<T, true>;
template <class T> using Amin = Extreme<T, false>;

// Both: the second result goes to out2, where there is one.
template <class T> struct AMinMax {
  struct State {
    T low, high;
  };
  using Out = T;
  static FG_DEVICE State identity() { return {Amin<T>::identity(), Amax<T>::identity()}; }
  static FG_DEVICE State combine(State a, State b) {
    return {Amin<T>::combine(a.low, b.low), Amax<T>::combine(a.high, b.high)};
  }
  static FG_DEVICE State add(State s, T x, int64_t, const Context&) { return combine(s, {x, x}); }
  static FG_DEVICE Out finish(State s, const Context&) { return s.low; }
  static FG_DEVICE Out second(State s) { return s.high; }
};

// The first extremum and where it is; index -1: nothing seen.
template <class T> struct At {
  T value;
  int64_t index;
};
template <class T, bool kMax> struct ExtremeAt {
  using State = At<T>;
  using Out = T;
  static FG_DEVICE State identity() { return {kMax ? Limits<T>::low() : Limits<T>::high(), -1}; }
  static FG_DEVICE State combine(State a, State b) {
    if (a.index < 0) return b;
    if (b.index < 0) return a;
    bool nan_a = is_nan(a.value), nan_b = is_nan(b.value);
    if (nan_a != nan_b) return nan_a ? a : b;
    if (!nan_a && a.value != b.value) return (kMax ? a.value > b.value : a.value < b.value) ? a : b;
    return a.index < b.index ? a : b;
  }
  static FG_DEVICE State add(State s, T x, int64_t i, const Context&) { return combine(s, {x, i}); }
  static FG_DEVICE Out finish(State s, const Context&) { return s.value; }
};
template <class T> using MaxAt = ExtremeAt<T, true>;
template <class T> using MinAt = ExtremeAt<T, false>;

template <class T> struct Any {
  using State = int32_t;
  using Out = int32_t;
  static FG_DEVICE State identity() { return 0; }
  static FG_DEVICE State add(State s, T x, int64_t, const Context&) { return s | (x != 0); }
  static FG_DEVICE State combine(State a, State b) { return a | b; }
  static FG_DEVICE Out finish(State s, const Context&) { return s; }
};
template <class T> struct All : Any<T> {
  static FG_DEVICE int32_t identity() { return 1; }
  static FG_DEVICE int32_t add(int32_t s, T x, int64_t, const Context&) { return s & (x != 0); }
  static FG_DEVICE int32_t combine(int32_t a, int32_t b) { return a & b; }
};
template <class T> struct CountNonzero {
  using State = int64_t;
  using Out = int64_t;
  static FG_DEVICE State identity() { return 0; }
  static FG_DEVICE State add(State s, T x, int64_t, const Context&) { return s + (x != 0); }
  static FG_DEVICE State combine(State a, State b) { return a + b; }
  static FG_DEVICE Out finish(State s, const Context&) { return s; }
};

// Squares of floats cannot overflow a double; squares of doubles are taken relative to the largest seen (LAPACK's
// dnrm2).
template <class T> struct Norm2 {
  struct State {
    double scale, sum;
  };
  using Out = T;
  static FG_DEVICE State identity() { return {0, 0}; }
  static FG_DEVICE State add(State s, T x, int64_t, const Context&) {
    double v = static_cast<double>(x);
    if constexpr (sizeof(T) == 4) return {1, s.sum + v * v};
    return combine(s, {v < 0 ? -v : v, 1});
  }
  static FG_DEVICE State combine(State a, State b) {
    if constexpr (sizeof(T) == 4) return {1, a.sum + b.sum};
    if (a.scale == 0) return b;
    if (b.scale == 0) return a;
    if (is_nan(a.scale) || is_nan(b.scale)) return {NAN, 1};
    if (a.scale == b.scale) return {a.scale, a.sum + b.sum};
    if (a.scale < b.scale) {
      State t = a;
      a = b, b = t;
    }
    double r = b.scale / a.scale;
    return {a.scale, a.sum + b.sum * r * r};
  }
  static FG_DEVICE Out finish(State s, const Context&) {
    if constexpr (sizeof(T) == 4) return static_cast<T>(::sqrt(s.sum));
    return static_cast<T>(s.scale == 0 ? 0 : s.scale * ::sqrt(s.sum));
  }
};

// Welford, combined as Chan et al.
template <class T> struct Var {
  struct State {
    T mean, m2, n;
  };
  using Out = T;
  static FG_DEVICE State identity() { return {0, 0, 0}; }
  static FG_DEVICE State add(State s, T x, int64_t, const Context&) {
    T n = s.n + 1, d = x - s.mean, mean = s.mean + d / n;
    return {mean, s.m2 + d * (x - mean), n};
  }
  static FG_DEVICE State combine(State a, State b) {
    if (a.n == 0) return b;
    if (b.n == 0) return a;
    T n = a.n + b.n, d = b.mean - a.mean, share = b.n / n;
    return {a.mean + d * share, a.m2 + b.m2 + d * d * a.n * share, n};
  }
  static FG_DEVICE Out finish(State s, const Context& c) {
    double n = static_cast<double>(c.size) - c.params[0].f;
    T var = c.size == 0 ? static_cast<T>(NAN) : s.m2 / static_cast<T>(n > 0 ? n : 0);
    return c.params[1].i ? sqrt_of(var) : var;
  }
  static FG_DEVICE Out second(State s) { return s.n == 0 ? static_cast<T>(NAN) : s.mean; }
};

template <class T> struct LogSumExp {
  struct State {
    T max, sum;
  };
  using Out = T;
  static FG_DEVICE State identity() { return {-infinity<T>(), 0}; }
  static FG_DEVICE State add(State s, T x, int64_t, const Context&) {
    if (x == -infinity<T>()) return s;
    return combine(s, {x, 1});
  }
  static FG_DEVICE State combine(State a, State b) {
    if (is_nan(a.max) || is_nan(b.max)) return {static_cast<T>(NAN), 1};
    if (a.max < b.max) {
      State t = a;
      a = b, b = t;
    }
    // Equal infinities would give inf - inf.
    return {a.max, a.max == b.max ? a.sum + b.sum : a.sum + b.sum * exp_of(b.max - a.max)};
  }
  static FG_DEVICE Out finish(State s, const Context&) { return s.max - s.max != 0 ? s.max : s.max + log_of(s.sum); }
};

// ---- kernels
struct Target {
  void *out, *out2;
  int64_t* indices;
  DType dtype;
};
template <class R>
FG_DEVICE void finish(const Target& target, int64_t line, typename R::State s, const Context& context) {
  if constexpr (std::is_same_v<typename R::State, At<typename R::Out>>) {
    if (target.indices) target.indices[line] = s.index < 0 ? 0 : s.index;
  }
  if (target.out) store(target.out, line, target.dtype, R::finish(s, context));
  if constexpr (requires { R::second(s); }) {
    if (target.out2) store(target.out2, line, target.dtype, R::second(s));
  }
}

// blockIdx.y: the part of the line, `part` elements each. One part: the result is written; else its state.
template <class R, class T>
__global__ void __launch_bounds__(kThreads) reduce_kernel(Target target, typename R::State* states, const void* in,
                                                          DType dtype, Lines lines, int64_t part, Context context) {
  using State = typename R::State;
  FG_SHARED(State, shared, kThreads);
  Group group = Group::of(lines);
  int64_t line = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index;
  State s = R::identity();
  if (line < lines.count) {
    int64_t first = blockIdx.y * part, last = first + part < lines.size ? first + part : lines.size;
    int64_t start = line_start(lines, line), step = lines.lanes, i = first + group.lane;
    for (; i + 3 * step < last; i += 4 * step) {
      T x[4];
      load4<T>(x, in, start + i * lines.inner, step * lines.inner, dtype);
      FG_UNROLL
      for (int k = 0; k < 4; ++k) s = R::add(s, x[k], i + k * step, context);
    }
    for (; i < last; i += step) s = R::add(s, load<T>(in, start + i * lines.inner, dtype), i, context);
  }
  s = group_reduce(lines, group, s, shared, [](State a, State b) { return R::combine(a, b); });
  if (group.lane == 0 && line < lines.count) {
    if (states) {
      states[blockIdx.y * lines.count + line] = s;
    } else {
      finish<R>(target, line, s, context);
    }
  }
}

// Second stage: the states are (parts, lines).
template <class R>
__global__ void __launch_bounds__(kThreads)
    combine_kernel(Target target, const typename R::State* states, Lines lines, int64_t parts, Context context) {
  using State = typename R::State;
  FG_SHARED(State, shared, kThreads);
  Group group = Group::of(lines);
  int64_t line = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index;
  State s = R::identity();
  if (line < lines.count) {
    for (int64_t i = group.lane; i < parts; i += lines.lanes) s = R::combine(s, states[i * lines.count + line]);
  }
  s = group_reduce(lines, group, s, shared, [](State a, State b) { return R::combine(a, b); });
  if (group.lane == 0 && line < lines.count) finish<R>(target, line, s, context);
}

template <template <class> class Monoid, class T> void reduce(const ReduceArgs& args) {
  using R = Monoid<T>;
  using State = typename R::State;
  int64_t count = args.outer * args.inner;
  if (count == 0) return;
  Lines lines = Lines::of(args.outer, args.size, args.inner);
  Target target{args.out, args.out2, args.indices, args.out_dtype};
  Context context{args.size, {args.params[0], args.params[1]}};
  // Parts depend on the shape only, so that every device gives the same bits.
  constexpr int64_t kWantedBlocks = 1024, kLeastPart = 2048;
  int64_t parts = 1;
  if (lines.blocks() < kWantedBlocks / 2) {
    int64_t by_size = ceil_div(args.size, kLeastPart * (lines.by_row ? 1 : lines.lanes) / (lines.by_row ? 1 : 8));
    parts = kWantedBlocks / lines.blocks();
    if (parts > by_size) parts = by_size;
    if (parts < 1) parts = 1;
  }
  int64_t part = ceil_div(args.size, parts);
  if (part > 0) parts = ceil_div(args.size, part);
  if (parts < 1) parts = 1;
  // Lines beyond a grid's reach are taken in slices of whole outer parts; 2^31 blocks are enough for any memory.
  dim3 grid(static_cast<unsigned>(lines.blocks()), static_cast<unsigned>(parts));
  if (parts == 1) {
    FG_LAUNCH((reduce_kernel<R, T>), grid, kThreads, 0, args.stream, target, nullptr, args.in, args.in_dtype, lines,
              args.size, context);
    return;
  }
  Scratch scratch(static_cast<size_t>(parts * count) * sizeof(State), args.stream);
  if (!scratch) return;
  FG_LAUNCH((reduce_kernel<R, T>), grid, kThreads, 0, args.stream, target, scratch.as<State>(), args.in, args.in_dtype,
            lines, part, context);
  Lines second{count, parts, 1, count > 1024 ? 8 : kThreads, 0};
  if (count <= 1024) second.by_row = 1;
  FG_LAUNCH(combine_kernel<R>, static_cast<unsigned>(second.blocks()), kThreads, 0, args.stream, target,
            scratch.as<State>(), second, parts, context);
}

template <template <class> class Monoid> void any_number(Backend& table, Reduce kind) {
  auto& entry = table.reduce[static_cast<int>(kind)];
  entry[static_cast<int>(Compute::F32)] = reduce<Monoid, float>;
  entry[static_cast<int>(Compute::F64)] = reduce<Monoid, double>;
  entry[static_cast<int>(Compute::I32)] = reduce<Monoid, int32_t>;
  entry[static_cast<int>(Compute::I64)] = reduce<Monoid, int64_t>;
}
template <template <class> class Monoid> void floats(Backend& table, Reduce kind) {
  auto& entry = table.reduce[static_cast<int>(kind)];
  entry[static_cast<int>(Compute::F32)] = reduce<Monoid, float>;
  entry[static_cast<int>(Compute::F64)] = reduce<Monoid, double>;
}

}  // namespace

void fill_reduce(Backend& table) {
  any_number<Sum>(table, Reduce::sum);
  any_number<Prod>(table, Reduce::prod);
  any_number<Amax>(table, Reduce::amax);
  any_number<Amin>(table, Reduce::amin);
  any_number<MaxAt>(table, Reduce::max);
  any_number<MinAt>(table, Reduce::min);
  any_number<MaxAt>(table, Reduce::argmax);
  any_number<MinAt>(table, Reduce::argmin);
  any_number<Any>(table, Reduce::any);
  any_number<All>(table, Reduce::all);
  any_number<SumAbs>(table, Reduce::sum_abs);
  any_number<CountNonzero>(table, Reduce::count_nonzero);
  any_number<AMinMax>(table, Reduce::aminmax);
  floats<NanSum>(table, Reduce::nansum);
  floats<Mean>(table, Reduce::mean);
  floats<Norm2>(table, Reduce::norm2);
  floats<SumPow>(table, Reduce::sum_pow);
  floats<Var>(table, Reduce::var);
  floats<LogSumExp>(table, Reduce::logsumexp);
}
}  // namespace fg::cuda
