// Discrete Fourier transforms of sizes without large prime factors. Transforms of several lines run side by side, one
// in each lane of a vector, so that every step is plain arithmetic without shuffles; real and imaginary parts lie in
// vectors of their own. A line that is long, or has too few neighbours, is first cut into n1 * n2: its columns are
// such neighbours (the columns' transforms, the factors between, then the rows' transforms).
//
//   Places     where the parts of point j of each lane lie in memory; load_lanes and store_lanes go there and back
//   steps      self-sorting (Stockham) steps of radix 8, 4, 2, 3, 5 or any other factor, from one buffer to another
//   halves     a real line of even size is the complex line of its pairs, and a last (or first) step on both ends
//
// The backward transform is the forward one with real and imaginary parts exchanged on both sides.
#include "core/backend.h"
#include "cpu/backend_cpu.h"
#include "cpu/fft_lanes.h"
#include "cpu/parallel.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kLongLine = 2048;  // points whose lanes leave L2
constexpr int64_t kCutFrom = 128;    // points from which a line without neighbours is cut

// ---- halves ---------------------------------------------------------------------------------------------------------
// Points of a complex line whose parts lie `step` apart, as numbers of type V.
template <class V, class T>
struct Line {
  T *re, *im;
  int64_t step;
  FG_INLINE Complex<V> get(int64_t k) const {
    Complex<V> c;
    memcpy(&c.re, re + k * step, sizeof(V));
    memcpy(&c.im, im + k * step, sizeof(V));
    return c;
  }
  FG_INLINE void put(int64_t k, Complex<V> c) const {
    memcpy(re + k * step, &c.re, sizeof(V));
    memcpy(im + k * step, &c.im, sizeof(V));
  }
};
template <class V>
FG_INLINE Complex<V> conjugate(Complex<V> c) {
  return {c.re, -c.im};
}

// z: the transform of the half pairs (even, odd elements); becomes the points 0 to half of the real line's transform.
template <class V, class T>
void from_pairs(Line<V, T> z, int64_t half, Roots<T> roots) {
  const Complex<V> first = z.get(0);
  z.put(0, {first.re + first.im, V{}});
  z.put(half, {first.re - first.im, V{}});
  for (int64_t k = 1; 2 * k <= half; ++k) {
    const Complex<V> a = z.get(k), b = conjugate(z.get(half - k)), sum = a + b, rest = a - b;
    const Complex<V> odd = times(times_minus_i(rest), roots.at(k));
    const T part = T(0.5);
    z.put(half - k, {(sum.re - odd.re) * part, -(sum.im - odd.im) * part});
    z.put(k, {(sum.re + odd.re) * part, (sum.im + odd.im) * part});
  }
}
// The other way, times 2: from points 0 to half to those whose backward transform is the pairs.
template <class V, class T>
void to_pairs(Line<V, T> x, int64_t half, Roots<T> roots) {
  const V first = x.get(0).re, last = x.get(half).re;
  x.put(0, {first + last, first - last});
  for (int64_t k = 1; 2 * k <= half; ++k) {
    const Complex<V> a = x.get(k), b = conjugate(x.get(half - k)), sum = a + b, rest = a - b;
    const T* root = roots.at(k);
    const T back[2] = {root[0], -root[1]};
    const Complex<V> turned = times(rest, back), odd = {-turned.im, turned.re};
    x.put(half - k, conjugate(sum - odd));
    x.put(k, sum + odd);
  }
}

// ---- lines ----------------------------------------------------------------------------------------------------------
template <class F>
FG_INLINE void for_groups(int64_t count, double points, int64_t n, const F& body) {
  const double cost = points * (1.0 + 0.15 * __builtin_log2(static_cast<double>(n)));
  parallel_for(
      count, static_cast<int64_t>(cost), [](void* context, int64_t i) { (*static_cast<const F*>(context))(i); },
      const_cast<F*>(&body));
}
// body(buffer, other buffer) with room for n points of all lanes in each.
template <class T, class F>
FG_INLINE void with_buffers(int64_t n, const F& body) {
  const int64_t room = 2 * kLanes<T> * n;
  const size_t bytes = static_cast<size_t>(2 * room) * sizeof(T);
  T* memory = static_cast<T*>(scratch(bytes));
  body(memory, memory + room);
  release_scratch(memory, bytes);
}

template <class T>
struct Transform {
  static constexpr int N = kLanes<T>;
  using V = Vec<T, N>;
  const FftArgs& a;
  const T* in;
  T* out;
  bool from_real, to_real, pairs, swapped;  // pairs: the real side has an even size
  int64_t lines, n, whole;                  // n: points that are transformed, whole: points of the complex side
  Roots<T> roots, own;                      // of a.size, of n
  T scale;

  explicit Transform(const FftArgs& args)
      : a(args),
        in(static_cast<const T*>(args.in)),
        out(static_cast<T*>(args.out)),
        from_real(args.kind == Fft::from_real),
        to_real(args.kind == Fft::to_real),
        pairs((from_real || to_real) && args.size % 2 == 0),
        swapped(args.kind == Fft::backward || to_real),
        lines(args.outer * args.inner),
        n(pairs ? args.size / 2 : args.size),
        whole(from_real || to_real ? args.size / 2 + 1 : args.size),
        roots{static_cast<const T*>(args.roots), 1},
        own{roots.roots, pairs ? 2 : 1},
        scale(static_cast<T>(args.scale)) {}

  Places places(int64_t line, int lanes, bool real) const {
    Places at;
    at.lanes = lanes;
    at.no_imaginary = real && !pairs;
    at.step = at.no_imaginary ? a.inner : 2 * a.inner;
    at.part = real ? a.inner : 1;
    at.swapped = swapped;
    for (int l = 0; l < lanes; ++l) {
      const int64_t o = (line + l) / a.inner, i = (line + l) % a.inner;
      at.first[l] = real ? o * a.size * a.inner + i : 2 * (o * whole * a.inner + i);
    }
    return at;
  }

  // A transform in each lane.
  void side_by_side() const {
    const int64_t groups = ceil_div(lines, N), grain = most(1, 2048 / (n * N));
    for_groups(ceil_div(groups, grain), static_cast<double>(lines * n), n, [&](int64_t chunk) {
      with_buffers<T>(n + 1, [&](T* x, T* y) {
        for (int64_t g = chunk * grain; g < smaller(groups, (chunk + 1) * grain); ++g) {
          const int lanes = static_cast<int>(smaller(N, lines - g * N));
          load_lanes(in, places(g * N, lanes, from_real), to_real ? whole : n, x);
          const Line<V, T> line{x + (swapped ? N : 0), x + (swapped ? 0 : N), 2 * N};
          if (to_real && pairs) to_pairs(line, n, roots);
          else if (to_real) mirror(line);
          T* done = transform_lanes(x, y, n, own);
          if (from_real && pairs) from_pairs(Line<V, T>{done, done + N, 2 * N}, n, roots);
          store_lanes(done, places(g * N, lanes, to_real), from_real ? whole : n, scale, out);
        }
      });
    });
  }
  // From points 0 to size / 2 of an odd size to all: the others are their conjugates.
  void mirror(Line<V, T> x) const {
    x.put(0, {x.get(0).re, V{}});
    for (int64_t k = 1; 2 * k < a.size; ++k) x.put(a.size - k, conjugate(x.get(k)));
  }

  // Lines cut into rows * columns, inner is 1; real lines in pairs only.
  void cut(int64_t rows) const {
    const int64_t points = n + to_real;
    const size_t bytes = static_cast<size_t>(2 * (n + points)) * sizeof(T);
    T* memory = static_cast<T*>(scratch(bytes));
    for (int64_t i = 0; i < lines; ++i) {
      const T* from = in + i * (from_real ? a.size : 2 * whole);
      T* to = out + i * (to_real ? a.size : 2 * whole);
      if (to_real) {
        T* x = memory + 2 * n;
        memcpy(x, from, static_cast<size_t>(2 * whole) * sizeof(T));
        to_pairs(Line<T, T>{x, x + 1, 2}, n, roots);
        from = x;
      }
      columns_of(from, memory, rows, n / rows);
      rows_of(memory, to, rows, n / rows);
      if (from_real) from_pairs(Line<T, T>{to, to + 1, 2}, n, roots);
    }
    release_scratch(memory, bytes);
  }
  static Places pairs_at(int64_t first, int64_t distance, int64_t step, int lanes, bool swapped) {
    Places at;
    at.lanes = lanes, at.step = 2 * step, at.part = 1, at.no_imaginary = false, at.swapped = swapped;
    for (int l = 0; l < lanes; ++l) at.first[l] = 2 * (first + l * distance);
    return at;
  }
  // Point k of column j is turned by root k * j: by that of the group's first column and, from a table, by the others.
  void columns_of(const T* x, T* y, int64_t rows, int64_t columns) const {
    const size_t bytes = static_cast<size_t>(2 * N * rows) * sizeof(T);
    T* turns = static_cast<T*>(scratch(bytes));
    for (int64_t k = 0; k < rows; ++k) {
      T parts[2 * N];
      for (int l = 0; l < N; ++l) {
        const T* root = own.at(k * l % n);
        parts[l] = root[0], parts[N + l] = root[1];
      }
      memcpy(turns + 2 * N * k, parts, sizeof(parts));
    }
    for_groups(ceil_div(columns, N), static_cast<double>(n), rows, [&](int64_t g) {
      with_buffers<T>(rows, [&](T* buffer, T* other) {
        const int lanes = static_cast<int>(smaller(N, columns - g * N));
        load_lanes(x, pairs_at(g * N, 1, columns, lanes, swapped), rows, buffer);
        T* done = transform_lanes(buffer, other, rows, Roots<T>{own.roots, own.step * columns});
        for (int64_t k = 1; k < rows; ++k) {
          const Complex<V> turn = times(Lanes<T>::load(turns, k), own.at(k * g * N)), c = Lanes<T>::load(done, k);
          Lanes<T>::store(done, k, {c.re * turn.re - c.im * turn.im, c.re * turn.im + c.im * turn.re});
        }
        store_lanes(done, pairs_at(g * N, 1, columns, lanes, false), rows, T(1), y);
      });
    });
    release_scratch(turns, bytes);
  }
  void rows_of(const T* x, T* y, int64_t rows, int64_t columns) const {
    for_groups(ceil_div(rows, N), static_cast<double>(n), columns, [&](int64_t g) {
      with_buffers<T>(columns, [&](T* buffer, T* other) {
        const int lanes = static_cast<int>(smaller(N, rows - g * N));
        load_lanes(x, pairs_at(g * N * columns, columns, 1, lanes, false), columns, buffer);
        T* done = transform_lanes(buffer, other, columns, Roots<T>{own.roots, own.step * rows});
        store_lanes(done, pairs_at(g * N, 1, rows, lanes, swapped), columns, scale, y);
      });
    });
  }

  void run() const {
    if (a.inner == 1 && (pairs || !(from_real || to_real)) && (n > kLongLine || (2 * lines < N && n >= kCutFrom))) {
      int64_t rows = static_cast<int64_t>(__builtin_sqrt(static_cast<double>(n)));
      while (n % rows) --rows;
      if (rows >= 4) return cut(rows);
    }
    side_by_side();
  }
};

void fft(const FftArgs& a) {
  if (a.dtype == DType::Float64) Transform<double>(a).run();
  else Transform<float>(a).run();
}

}  // namespace

void fill_fft(Backend& table) { table.fft = fft; }

}  // namespace fg::cpu::FG_ISA
