// Fourier transforms of several lines, one in each lane of a vector: the steps, and the way between memory and lanes.
// Part of kernels/fft.cpp, which says how they are used.
#pragma once
#include "cpu/gemm_vec.h"

namespace fg::cpu::FG_ISA {
namespace {

template <class V>
struct Complex {
  V re, im;
};
template <class V>
FG_INLINE Complex<V> operator+(Complex<V> a, Complex<V> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class V>
FG_INLINE Complex<V> operator-(Complex<V> a, Complex<V> b) {
  return {a.re - b.re, a.im - b.im};
}
template <class V, class T>
FG_INLINE Complex<V> times(Complex<V> a, const T* root) {
  return {a.re * root[0] - a.im * root[1], a.re * root[1] + a.im * root[0]};
}
template <class V>
FG_INLINE Complex<V> times_minus_i(Complex<V> a) {
  return {a.im, -a.re};
}

// exp(-2 pi i k / n) for k < n are roots[2 * k * step], roots[2 * k * step + 1].
template <class T>
struct Roots {
  const T* roots;
  int64_t step;
  FG_INLINE const T* at(int64_t k) const { return roots + 2 * k * step; }
};

template <class T>
struct Lanes {
  static constexpr int N = kLanes<T>;
  using V = Vec<T, N>;
  using C = Complex<V>;
  // Point j of a buffer: N real parts, then N imaginary ones.
  FG_INLINE static C load(const T* from, int64_t j) {
    C c;
    memcpy(&c.re, from + 2 * N * j, sizeof(V));
    memcpy(&c.im, from + 2 * N * j + N, sizeof(V));
    return c;
  }
  FG_INLINE static void store(T* to, int64_t j, C c) {
    memcpy(to + 2 * N * j, &c.re, sizeof(V));
    memcpy(to + 2 * N * j + N, &c.im, sizeof(V));
  }
};

// ---- steps ----------------------------------------------------------------------------------------------------------
template <class T>
constexpr T kSin60 = static_cast<T>(0.866025403784438646763723170752936183);
template <class T>
constexpr T kCos72 = static_cast<T>(0.309016994374947424102293417182819059);
template <class T>
constexpr T kCos144 = static_cast<T>(-0.809016994374947424102293417182819059);
template <class T>
constexpr T kSin72 = static_cast<T>(0.951056516295153572116439333379382143);
template <class T>
constexpr T kSin144 = static_cast<T>(0.587785252292473129168705954639072769);

template <class T, int radix, class C>
FG_INLINE void small_transform(C (&a)[radix]) {
  if constexpr (radix == 2) {
    const C b = a[0] - a[1];
    a[0] = a[0] + a[1], a[1] = b;
  } else if constexpr (radix == 3) {
    const C sum = a[1] + a[2], rest = times_minus_i(a[1] - a[2]);
    const C middle = {a[0].re - sum.re * T(0.5), a[0].im - sum.im * T(0.5)};
    const C turned = {rest.re * kSin60<T>, rest.im * kSin60<T>};
    a[0] = a[0] + sum, a[1] = middle + turned, a[2] = middle - turned;
  } else if constexpr (radix == 4) {
    const C even = a[0] + a[2], odd = a[1] + a[3], low = a[0] - a[2], high = times_minus_i(a[1] - a[3]);
    a[0] = even + odd, a[1] = low + high, a[2] = even - odd, a[3] = low - high;
  } else if constexpr (radix == 8) {
    C even[4] = {a[0], a[2], a[4], a[6]}, odd[4] = {a[1], a[3], a[5], a[7]};
    small_transform<T, 4>(even);
    small_transform<T, 4>(odd);
    constexpr T half = static_cast<T>(0.707106781186547524400844362104849039);
    odd[1] = {(odd[1].re + odd[1].im) * half, (odd[1].im - odd[1].re) * half};
    odd[2] = times_minus_i(odd[2]);
    odd[3] = {(odd[3].im - odd[3].re) * half, -(odd[3].im + odd[3].re) * half};
    for (int k = 0; k < 4; ++k) a[k] = even[k] + odd[k], a[k + 4] = even[k] - odd[k];
  } else {
    static_assert(radix == 5);
    const C s1 = a[1] + a[4], s2 = a[2] + a[3], d1 = times_minus_i(a[1] - a[4]), d2 = times_minus_i(a[2] - a[3]);
    const C m1 = {a[0].re + s1.re * kCos72<T> + s2.re * kCos144<T>, a[0].im + s1.im * kCos72<T> + s2.im * kCos144<T>};
    const C m2 = {a[0].re + s1.re * kCos144<T> + s2.re * kCos72<T>, a[0].im + s1.im * kCos144<T> + s2.im * kCos72<T>};
    const C t1 = {d1.re * kSin72<T> + d2.re * kSin144<T>, d1.im * kSin72<T> + d2.im * kSin144<T>};
    const C t2 = {d1.re * kSin144<T> - d2.re * kSin72<T>, d1.im * kSin144<T> - d2.im * kSin72<T>};
    a[0] = a[0] + s1 + s2, a[1] = m1 + t1, a[4] = m1 - t1, a[2] = m2 + t2, a[3] = m2 - t2;
  }
}

// From x to y: `left` points of each of `done` interleaved transforms become left / radix of done * radix ones.
template <class T, int radix>
[[gnu::noinline]] void step(const T* x, T* y, int64_t left, int64_t done, Roots<T> roots) {
  using L = Lanes<T>;
  using C = typename L::C;
  const int64_t m = left / radix;
  for (int64_t p = 0; p < m; ++p)
    for (int64_t q = 0; q < done; ++q) {
      C a[radix];
#pragma GCC unroll 8
      for (int k = 0; k < radix; ++k) a[k] = L::load(x, q + done * (p + m * k));
      small_transform<T, radix>(a);
      L::store(y, q + done * radix * p, a[0]);
#pragma GCC unroll 8
      for (int k = 1; k < radix; ++k)
        L::store(y, q + done * (radix * p + k), p ? times(a[k], roots.at(p * k * done)) : a[k]);
    }
}
template <class T>
[[gnu::noinline]] void step_any(const T* x, T* y, int64_t radix, int64_t left, int64_t done, Roots<T> roots) {
  using L = Lanes<T>;
  using C = typename L::C;
  const int64_t m = left / radix, turn = m * done;  // exp(-2 pi i / radix) is root number `turn`
  for (int64_t p = 0; p < m; ++p)
    for (int64_t q = 0; q < done; ++q)
      for (int64_t k = 0; k < radix; ++k) {
        C sum = L::load(x, q + done * p);
        for (int64_t j = 1; j < radix; ++j)
          sum = sum + times(L::load(x, q + done * (p + m * j)), roots.at(j * k % radix * turn));
        L::store(y, q + done * (radix * p + k), times(sum, roots.at(p * k * done)));
      }
}

// Transforms the lanes in `x`; `y` is as large. Returns where the result is.
template <class T>
T* transform_lanes(T* x, T* y, int64_t n, Roots<T> roots) {
  int64_t done = 1;
  while (done < n) {
    const int64_t left = n / done;
    int64_t radix = 2;
    if (left % 8 == 0 && left != 16) {
      step<T, 8>(x, y, left, done, roots), radix = 8;
    } else if (left % 4 == 0) {
      step<T, 4>(x, y, left, done, roots), radix = 4;
    } else if (left % 2 == 0) {
      step<T, 2>(x, y, left, done, roots);
    } else if (left % 3 == 0) {
      step<T, 3>(x, y, left, done, roots), radix = 3;
    } else if (left % 5 == 0) {
      step<T, 5>(x, y, left, done, roots), radix = 5;
    } else {
      for (radix = 7; left % radix; radix += 2) {
      }
      step_any<T>(x, y, radix, left, done, roots);
    }
    done *= radix;
    T* other = x;
    x = y, y = other;
  }
  return x;
}

// ---- between memory and lanes ---------------------------------------------------------------------------------------
// Parts of point j of lane l: base[first[l] + j * step] and, `part` further, the imaginary one.
struct Places {
  int64_t first[64];
  int64_t step, part;
  int lanes;
  bool no_imaginary, swapped;

  FG_INLINE bool neighbours(int64_t distance) const {
    for (int l = 1; l < lanes; ++l)
      if (first[l] != first[0] + l * distance) return false;
    return true;
  }
};

template <class T>
FG_INLINE void swap_parts(Complex<T>& c, bool swapped) {
  if (!swapped) return;
  const T re = c.re;
  c.re = c.im, c.im = re;
}

// One vector of pairs (re, im) as two of parts, and back.
template <class T, int N, class F>
FG_INLINE Vec<T, N> picked(Vec<T, N> a, Vec<T, N> b, F place) {
  Vec<typename LaneIndex<T>::type, N> from;
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) from[i] = static_cast<typename LaneIndex<T>::type>(place(i));
  return __builtin_shuffle(a, b, from);
}

template <class T>
void load_lanes(const T* in, const Places& at, int64_t n, T* x) {
  using L = Lanes<T>;
  using V = typename L::V;
  using C = typename L::C;
  constexpr int N = L::N;
  int64_t j = 0;
  if (at.lanes == N && !at.no_imaginary && at.step == 2 && at.part == 1) {  // pairs along a line
    for (; j + N / 2 <= n; j += N / 2) {
      V rows[N];
#pragma GCC unroll 16
      for (int l = 0; l < N; ++l) memcpy(&rows[l], in + at.first[l] + 2 * j, sizeof(V));
      transpose<T, N>(rows);
#pragma GCC unroll 8
      for (int k = 0; k < N / 2; ++k) {
        C c = {rows[2 * k], rows[2 * k + 1]};
        swap_parts(c, at.swapped);
        L::store(x, j + k, c);
      }
    }
  } else if (at.lanes == N && !at.no_imaginary && at.part == 1 && at.neighbours(2)) {  // pairs across lines
    for (; j < n; ++j) {
      V a, b;
      memcpy(&a, in + at.first[0] + j * at.step, sizeof(V));
      memcpy(&b, in + at.first[0] + j * at.step + N, sizeof(V));
      C c = {picked<T, N>(a, b, [](int i) { return 2 * i; }), picked<T, N>(a, b, [](int i) { return 2 * i + 1; })};
      swap_parts(c, at.swapped);
      L::store(x, j, c);
    }
  } else if (at.lanes == N && at.neighbours(1)) {  // real numbers across lines
    for (; j < n; ++j) {
      C c = {};
      memcpy(&c.re, in + at.first[0] + j * at.step, sizeof(V));
      if (!at.no_imaginary) memcpy(&c.im, in + at.first[0] + j * at.step + at.part, sizeof(V));
      swap_parts(c, at.swapped);
      L::store(x, j, c);
    }
  }
  for (; j < n; ++j) {
    T* re = x + 2 * N * j + (at.swapped ? N : 0);
    T* im = x + 2 * N * j + (at.swapped ? 0 : N);
    for (int l = 0; l < N; ++l) {
      const T* from = in + at.first[l < at.lanes ? l : 0] + j * at.step;
      re[l] = from[0];
      im[l] = at.no_imaginary ? T(0) : from[at.part];
    }
  }
}

template <class T>
void store_lanes(const T* x, const Places& at, int64_t n, T scale, T* out) {
  using L = Lanes<T>;
  using V = typename L::V;
  using C = typename L::C;
  constexpr int N = L::N;
  const auto point = [&](int64_t j) {
    C c = L::load(x, j);
    swap_parts(c, at.swapped);
    return C{c.re * scale, c.im * scale};
  };
  int64_t j = 0;
  if (at.lanes == N && !at.no_imaginary && at.step == 2 && at.part == 1) {
    for (; j + N / 2 <= n; j += N / 2) {
      V rows[N];
#pragma GCC unroll 8
      for (int k = 0; k < N / 2; ++k) {
        const C c = point(j + k);
        rows[2 * k] = c.re, rows[2 * k + 1] = c.im;
      }
      transpose<T, N>(rows);
#pragma GCC unroll 16
      for (int l = 0; l < N; ++l) memcpy(out + at.first[l] + 2 * j, &rows[l], sizeof(V));
    }
  } else if (at.lanes == N && !at.no_imaginary && at.part == 1 && at.neighbours(2)) {
    for (; j < n; ++j) {
      const C c = point(j);
      const V a = picked<T, N>(c.re, c.im, [](int i) { return i / 2 + i % 2 * N; });
      const V b = picked<T, N>(c.re, c.im, [](int i) { return (N + i) / 2 + i % 2 * N; });
      memcpy(out + at.first[0] + j * at.step, &a, sizeof(V));
      memcpy(out + at.first[0] + j * at.step + N, &b, sizeof(V));
    }
  } else if (at.lanes == N && at.neighbours(1)) {
    for (; j < n; ++j) {
      const C c = point(j);
      memcpy(out + at.first[0] + j * at.step, &c.re, sizeof(V));
      if (!at.no_imaginary) memcpy(out + at.first[0] + j * at.step + at.part, &c.im, sizeof(V));
    }
  }
  for (; j < n; ++j) {
    const C c = point(j);
    for (int l = 0; l < at.lanes; ++l) {
      T* to = out + at.first[l] + j * at.step;
      to[0] = c.re[l];
      if (!at.no_imaginary) to[at.part] = c.im[l];
    }
  }
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
