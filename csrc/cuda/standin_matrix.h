// Factorisations in plain loops and complex double precision, whatever the type of the memory that they are read from:
// what the stand-in for cuSOLVER computes. The algorithms are those of a textbook: LU by columns, Householder's
// reflections, Jacobi's rotations from both sides (eigenvalues) and from one (singular values), QR steps with shifts.
#pragma once
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "cuda/cusolver_api.h"

namespace standin {

using namespace fg::cuda::cusolver;
using Number = std::complex<double>;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

inline bool is_complex(int type) { return type == kComplex32 || type == kComplex64; }
inline bool known(int type) { return type == kReal32 || type == kReal64 || is_complex(type); }
inline int real_of(int type) { return type == kReal32 || type == kComplex32 ? kReal32 : kReal64; }

// A matrix in typed memory, columns `ld` apart.
struct View {
  void* data;
  int type;
  int64_t ld;
  Number get(int64_t i, int64_t j) const {
    const int64_t at = i + j * ld;
    switch (type) {
      case kReal32: return static_cast<float*>(data)[at];
      case kReal64: return static_cast<double*>(data)[at];
      case kComplex32: return static_cast<std::complex<float>*>(data)[at];
      default: return static_cast<Number*>(data)[at];
    }
  }
  void put(int64_t i, int64_t j, Number x) const {
    const int64_t at = i + j * ld;
    switch (type) {
      case kReal32: static_cast<float*>(data)[at] = static_cast<float>(x.real()); return;
      case kReal64: static_cast<double*>(data)[at] = x.real(); return;
      case kComplex32: static_cast<std::complex<float>*>(data)[at] = std::complex<float>(x); return;
      default: static_cast<Number*>(data)[at] = x;
    }
  }
};
inline View view(const void* data, int type, int64_t ld) { return {const_cast<void*>(data), type, ld}; }

struct Matrix {
  int64_t m, n;
  std::vector<Number> x;
  Matrix(int64_t rows, int64_t columns) : m(rows), n(columns), x(static_cast<size_t>(rows * columns)) {}
  Matrix(const View& v, int64_t rows, int64_t columns) : Matrix(rows, columns) {
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < m; ++i) at(i, j) = v.get(i, j);
  }
  Number& at(int64_t i, int64_t j) { return x[static_cast<size_t>(i + j * m)]; }
  Number* column(int64_t j) { return x.data() + j * m; }
  void write(const View& v) {
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < m; ++i) v.put(i, j, at(i, j));
  }
  static Matrix identity(int64_t n) {
    Matrix one(n, n);
    for (int64_t i = 0; i < n; ++i) one.at(i, i) = 1;
    return one;
  }
};
inline void spoil(const View& v, int64_t m, int64_t n) {
  for (int64_t j = 0; j < n; ++j)
    for (int64_t i = 0; i < m; ++i) v.put(i, j, kNan);
}
inline Number dot(const Number* a, const Number* b, int64_t n) {  // the first one conjugated
  Number sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::conj(a[i]) * b[i];
  return sum;
}
inline double length(const Number* a, int64_t n) { return std::sqrt(dot(a, a, n).real()); }

// ---- algorithms

inline int lu(Matrix& a, int64_t* pivots) {
  int info = 0;
  for (int64_t k = 0; k < std::min(a.m, a.n); ++k) {
    int64_t best = k;
    for (int64_t i = k + 1; i < a.m; ++i)
      if (std::abs(a.at(i, k)) > std::abs(a.at(best, k))) best = i;
    pivots[k] = best + 1;
    for (int64_t j = 0; j < a.n; ++j) std::swap(a.at(k, j), a.at(best, j));
    if (a.at(k, k) == 0.0) {
      if (!info) info = static_cast<int>(k + 1);
      continue;
    }
    for (int64_t i = k + 1; i < a.m; ++i) a.at(i, k) /= a.at(k, k);
    for (int64_t j = k + 1; j < a.n; ++j)
      for (int64_t i = k + 1; i < a.m; ++i) a.at(i, j) -= a.at(i, k) * a.at(k, j);
  }
  return info;
}

// Quotients as LAPACK's real ones: x / 0 is infinite, not NaN.
inline Number over(Number x, Number y) {
  return y == 0.0 && x != 0.0 ? std::numeric_limits<double>::infinity() : x / y;
}

// c -= tau v (v^H c), v from row k on
inline void reflect(Matrix& c, const Number* v, int64_t k, Number tau, int64_t first_column) {
  for (int64_t j = first_column; j < c.n; ++j) {
    const Number part = tau * dot(v + k, c.column(j) + k, c.m - k);
    for (int64_t i = k; i < c.m; ++i) c.at(i, j) -= part * v[i];
  }
}

// Of a Hermitian matrix: ascending in `values`, vectors in the columns of v.
inline bool jacobi(Matrix a, std::vector<double>& values, Matrix& v) {
  const int64_t n = a.n;
  v = Matrix::identity(n);
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0, all = 0;
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < n; ++i) (i == j ? all : off) += std::norm(a.at(i, j));
    if (off <= 1e-32 * all) {
      std::vector<int64_t> order(static_cast<size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(),
                [&](int64_t i, int64_t j) { return a.at(i, i).real() < a.at(j, j).real(); });
      Matrix sorted(n, n);
      for (int64_t j = 0; j < n; ++j) {
        values[static_cast<size_t>(j)] = a.at(order[static_cast<size_t>(j)], order[static_cast<size_t>(j)]).real();
        std::copy_n(v.column(order[static_cast<size_t>(j)]), n, sorted.column(j));
      }
      v = sorted;
      return true;
    }
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) {
        const double size = std::abs(a.at(p, q));
        if (!(size > 0)) continue;
        const Number phase = a.at(p, q) / size;
        const double theta = (a.at(q, q).real() - a.at(p, p).real()) / (2 * size);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (Matrix* m : {&a, &v}) {
          for (int64_t i = 0; i < n; ++i) {
            const Number x = m->at(i, p), y = m->at(i, q);
            m->at(i, p) = c * x - s * std::conj(phase) * y, m->at(i, q) = s * phase * x + c * y;
          }
        }
        for (int64_t i = 0; i < n; ++i) {
          const Number x = a.at(p, i), y = a.at(q, i);
          a.at(p, i) = c * x - s * phase * y, a.at(q, i) = s * std::conj(phase) * x + c * y;
        }
        a.at(p, q) = a.at(q, p) = 0;
      }
    }
  }
  return false;
}

// Columns from `known` on, orthogonal to those before.
inline void complete(Matrix& u, int64_t known) {
  for (int64_t j = known, unit = 0; j < u.n; ++unit) {
    if (unit >= 2 * u.m) return;
    Number* c = u.column(j);
    std::fill_n(c, u.m, 0);
    c[unit % u.m] = 1;
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t k = 0; k < j; ++k) {
        const Number part = dot(u.column(k), c, u.m);
        for (int64_t i = 0; i < u.m; ++i) c[i] -= part * u.column(k)[i];
      }
    const double size = length(c, u.m);
    if (size < 0.1 / std::sqrt(static_cast<double>(u.m))) continue;
    for (int64_t i = 0; i < u.m; ++i) c[i] /= size;
    ++j;
  }
}

// a (m, n <= m) = u diag(s) v^H, s descending
inline bool one_sided(Matrix a, Matrix& u, std::vector<double>& s, Matrix& v) {
  const int64_t m = a.m, n = a.n;
  Matrix w = Matrix::identity(n);
  bool rotated = true;
  for (int sweep = 0; rotated; ++sweep) {
    if (sweep == 60) return false;
    rotated = false;
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) {
        const double x = dot(a.column(p), a.column(p), m).real(), y = dot(a.column(q), a.column(q), m).real();
        const Number inner = dot(a.column(p), a.column(q), m);
        const double size = std::abs(inner);
        if (std::isnan(size)) return false;
        if (size <= 1e-15 * std::sqrt(x * y) || size == 0) continue;
        rotated = true;
        const Number phase = inner / size;
        const double theta = (y - x) / (2 * size);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), sine = t * c;
        for (Matrix* matrix : {&a, &w})
          for (int64_t i = 0; i < matrix->m; ++i) {
            const Number one = matrix->at(i, p), two = matrix->at(i, q);
            matrix->at(i, p) = c * one - sine * std::conj(phase) * two;
            matrix->at(i, q) = sine * phase * one + c * two;
          }
      }
    }
  }
  std::vector<double> size(static_cast<size_t>(n));
  std::vector<int64_t> order(static_cast<size_t>(n));
  for (int64_t j = 0; j < n; ++j) size[static_cast<size_t>(j)] = length(a.column(j), m);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t i, int64_t j) { return size[static_cast<size_t>(i)] > size[static_cast<size_t>(j)]; });
  int64_t known = 0;
  for (int64_t j = 0; j < n; ++j) {
    const int64_t from = order[static_cast<size_t>(j)];
    const double value = s[static_cast<size_t>(j)] = size[static_cast<size_t>(from)];
    std::copy_n(w.column(from), n, v.column(j));
    if (j < u.n && value > 1e-300 && value > 1e-15 * s[0]) {
      for (int64_t i = 0; i < m; ++i) u.at(i, j) = a.at(i, from) / value;
      known = j + 1;
    }
  }
  complete(u, known);
  return true;
}

// QR factors of the leading block of size p, shifted, multiplied the other way round.
inline void qr_step(Matrix& t, Matrix& v, int64_t p, Number shift) {
  Matrix block(p, p), q = Matrix::identity(p);
  for (int64_t j = 0; j < p; ++j)
    for (int64_t i = 0; i < p; ++i) block.at(i, j) = t.at(i, j) - (i == j ? shift : 0.0);
  for (int64_t k = 0; k + 1 < p; ++k) {
    std::vector<Number> w(static_cast<size_t>(p));
    std::copy_n(block.column(k) + k, p - k, w.data() + k);
    const double size = length(w.data() + k, p - k);
    if (size == 0) continue;
    const Number top = w[static_cast<size_t>(k)];
    w[static_cast<size_t>(k)] += (top == 0.0 ? Number(1) : top / std::abs(top)) * size;
    const double norm = length(w.data() + k, p - k);
    for (Number& x : w) x /= norm;
    reflect(block, w.data(), k, 2, 0);
    reflect(q, w.data(), k, 2, 0);  // becomes Q^H
  }
  const auto left = [&](Matrix& x) {  // rows: Q^H x
    for (int64_t j = 0; j < x.n; ++j) {
      std::vector<Number> out(static_cast<size_t>(p));
      for (int64_t i = 0; i < p; ++i)
        for (int64_t k = 0; k < p; ++k) out[static_cast<size_t>(i)] += q.at(i, k) * x.at(k, j);
      std::copy_n(out.data(), p, x.column(j));
    }
  };
  const auto right = [&](Matrix& x) {  // columns: x Q
    for (int64_t i = 0; i < x.m; ++i) {
      std::vector<Number> out(static_cast<size_t>(p));
      for (int64_t j = 0; j < p; ++j)
        for (int64_t k = 0; k < p; ++k) out[static_cast<size_t>(j)] += x.at(i, k) * std::conj(q.at(j, k));
      for (int64_t j = 0; j < p; ++j) x.at(i, j) = out[static_cast<size_t>(j)];
    }
  };
  left(t), right(t), right(v);
}

// t becomes triangular, v^H t v with the columns of v orthonormal. The return: how many eigenvalues were not found.
inline int schur(Matrix& t, Matrix& v) {
  double scale = 0;
  for (const Number& x : t.x) scale += std::norm(x);
  scale = std::sqrt(scale);
  if (!std::isfinite(scale)) return static_cast<int>(t.n);
  int64_t p = t.n;
  for (int step = 0; p > 1; ++step) {
    double rest = 0;
    for (int64_t j = 0; j < p - 1; ++j) rest += std::abs(t.at(p - 1, j));
    if (rest <= 1e-16 * scale) {
      for (int64_t j = 0; j < p - 1; ++j) t.at(p - 1, j) = 0;
      --p, step = 0;
      continue;
    }
    if (step > 500) return static_cast<int>(p);
    const Number a = t.at(p - 2, p - 2), b = t.at(p - 2, p - 1), c = t.at(p - 1, p - 2), d = t.at(p - 1, p - 1);
    const Number root = std::sqrt((a - d) * (a - d) / 4.0 + b * c), middle = (a + d) / 2.0;
    Number shift = std::abs(middle + root - d) < std::abs(middle - root - d) ? middle + root : middle - root;
    if (step % 11 == 10) shift += scale * Number(0.3 + 0.01 * step, 0.2);  // a stalemate
    qr_step(t, v, p, shift);
  }
  return 0;
}

inline void eigenvectors(Matrix& t, Matrix& v, Matrix& out, double scale) {
  const int64_t n = t.n;
  for (int64_t k = 0; k < n; ++k) {
    std::vector<Number> x(static_cast<size_t>(n));
    x[static_cast<size_t>(k)] = 1;
    for (int64_t i = k - 1; i >= 0; --i) {
      Number sum = 0, gap = t.at(i, i) - t.at(k, k);
      for (int64_t j = i + 1; j <= k; ++j) sum += t.at(i, j) * x[static_cast<size_t>(j)];
      if (std::abs(gap) < 1e-16 * scale) gap = 1e-16 * scale;
      x[static_cast<size_t>(i)] = sum == 0.0 ? 0.0 : -sum / gap;
    }
    for (int64_t i = 0; i < n; ++i) {
      Number sum = 0;
      for (int64_t j = 0; j <= k; ++j) sum += v.at(i, j) * x[static_cast<size_t>(j)];
      out.at(i, k) = sum;
    }
    const double size = length(out.column(k), n);
    int64_t largest = 0;  // which is real, as cuSOLVER has it
    for (int64_t i = 0; i < n; ++i)
      if (std::abs(out.at(i, k)) > std::abs(out.at(largest, k)) * (1 + 1e-9)) largest = i;
    const Number turn = std::conj(out.at(largest, k)) / std::abs(out.at(largest, k)) / size;
    for (int64_t i = 0; i < n; ++i) out.at(i, k) *= turn;
  }
}

}  // namespace standin
