// Factorisations of dense matrices, row-major: LU with row exchanges, Cholesky, and triangular solves.
//
// All three are recursive: halves of the columns (or of the triangle) until kEdge of them are left, which are done with
// one row in a few registers; everything between the halves is a matrix product (gemm). Many small matrices are shared
// out between the threads, one large one leaves that to its products and to strips of right-hand sides. Start at
// linalg().
#include "cpu/backend_cpu.h"
#include "cpu/gemm_vec.h"
#include "cpu/parallel.h"

namespace fg::cpu::FG_ISA {

void gemm_float32(const GemmArgs& args);
void gemm_float64(const GemmArgs& args);

namespace {

constexpr int kEdge = 16;          // columns of a panel, rows of a triangle, that are not divided further
constexpr int64_t kStrip = 64;     // right-hand sides that one thread solves for
constexpr int64_t kDiagonal = 64;  // rows of a block on the diagonal of a symmetric product

FG_INLINE int64_t half_of(int64_t n) { return (n / 2 + kEdge - 1) / kEdge * kEdge; }
template <class T> FG_INLINE T absolute(T x) { return x < 0 ? -x : x; }

// c (m, n) -= a (m, k) b (k, n)
template <class T>
void subtract(T* c, int64_t ldc, const T* a, int64_t a_rs, int64_t a_cs, const T* b, int64_t ldb, int64_t m, int64_t n,
              int64_t k) {
  if (m <= 0 || n <= 0 || k <= 0) return;
  GemmArgs g{};
  g.dtype = sizeof(T) == 4 ? DType::Float32 : DType::Float64;
  g.m = m, g.n = n, g.k = k, g.batch = 1;
  g.a = a, g.a_rs = a_rs, g.a_cs = a_cs;
  g.b = b, g.b_rs = ldb, g.b_cs = 1;
  g.c = c, g.c_rs = ldc;
  g.alpha = -1, g.beta = 1;
  if constexpr (sizeof(T) == 4) gemm_float32(g);
  else gemm_float64(g);
}

// ---- triangular solves ----------------------------------------------------------------------------------------------

// `upper`: which half of the matrix, as its strides let it be seen, counts. unit: ones on the diagonal.
template <class T> struct Triangle {
  const T* a;
  int64_t rs, cs;
  bool upper, unit;
  FG_INLINE Triangle from(int64_t i) const { return {a + i * (rs + cs), rs, cs, upper, unit}; }
};

// The coefficients of at most N rows in the order of elimination, completed with rows of the identity.
template <class T, int N> struct Edge {
  T factors[N][N];  // [p][q]: what row q loses of row p, q > p
  T inverse[N], divisor[N];
  bool divides = false;  // an inverse would overflow or be imprecise
  Edge(const Triangle<T>& t, int64_t n) {
    for (int p = 0; p < N; ++p) {
      const int64_t i = t.upper ? n - 1 - p : p;
      for (int q = 0; q < N; ++q) factors[p][q] = T(0);
      divisor[p] = p < n && !t.unit ? t.a[i * (t.rs + t.cs)] : T(1);
      inverse[p] = T(1) / divisor[p];
      constexpr T kTiny = sizeof(T) == 4 ? T(1e-37) : T(1e-307);
      if (!(absolute(divisor[p]) >= kTiny && absolute(inverse[p]) >= kTiny)) divides = true;
      for (int64_t q = p + 1; q < n; ++q) {
        const int64_t row = t.upper ? n - 1 - q : q;
        factors[p][q] = t.a[row * t.rs + i * t.cs];
      }
    }
  }
};

template <class T, int N, bool Divides>
__attribute__((noinline)) void solve_edge_with(const Edge<T, N>& e, const Triangle<T>& t, int64_t n, T* b, int64_t ldb,
                                               int64_t k) {
  constexpr int L = kLanes<T>;
  using V = Vec<T, L>;
  const int64_t step = t.upper ? -ldb : ldb;
  T* const first = t.upper ? b + (n - 1) * ldb : b;
  for (int64_t j = 0; j < k; j += L) {
    const int part = static_cast<int>(smaller(L, k - j));
    V x[N];
#pragma GCC unroll 16
    for (int p = 0; p < N; ++p) {
      x[p] = V{};
      if (p < n) x[p] = part == L ? load<L>(first + p * step + j) : load_part(first + p * step + j, part);
    }
#pragma GCC unroll 16
    for (int p = 0; p < N; ++p) {
      if constexpr (Divides) x[p] /= e.divisor[p];
      else x[p] *= e.inverse[p];
#pragma GCC unroll 16
      for (int q = p + 1; q < N; ++q) x[q] -= e.factors[p][q] * x[p];
    }
#pragma GCC unroll 16
    for (int p = 0; p < N; ++p) {
      if (p >= n) break;
      if (part == L) store(first + p * step + j, x[p]);
      else store_part(first + p * step + j, x[p], part);
    }
  }
}

template <class T, int N> void solve_edge(const Triangle<T>& t, int64_t n, T* b, int64_t ldb, int64_t k) {
  const Edge<T, N> e(t, n);
  if (e.divides) solve_edge_with<T, N, true>(e, t, n, b, ldb, k);
  else solve_edge_with<T, N, false>(e, t, n, b, ldb, k);
}

// b (n, k) becomes the solution.
template <class T> void solve_columns(const Triangle<T>& t, int64_t n, T* b, int64_t ldb, int64_t k) {
  if (n <= 4) return solve_edge<T, 4>(t, n, b, ldb, k);
  if (n <= 8) return solve_edge<T, 8>(t, n, b, ldb, k);
  if (n <= kEdge) return solve_edge<T, kEdge>(t, n, b, ldb, k);
  const int64_t h = half_of(n);
  if (t.upper) {
    solve_columns(t.from(h), n - h, b + h * ldb, ldb, k);
    subtract(b, ldb, t.a + h * t.cs, t.rs, t.cs, b + h * ldb, ldb, h, k, n - h);
    solve_columns(t, h, b, ldb, k);
  } else {
    solve_columns(t, h, b, ldb, k);
    subtract(b + h * ldb, ldb, t.a + h * t.rs, t.rs, t.cs, b, ldb, n - h, k, h);
    solve_columns(t.from(h), n - h, b + h * ldb, ldb, k);
  }
}

template <class T> void solve(const Triangle<T>& t, int64_t n, T* b, int64_t ldb, int64_t k) {
  if (n == 0 || k == 0) return;
  if (k < 2 * kStrip) return solve_columns(t, n, b, ldb, k);
  const double cost = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(k) / (kLanes<T> * 2);
  for_chunks(ceil_div(k, kStrip), cost,
             [&](int64_t strip) { solve_columns(t, n, b + strip * kStrip, ldb, smaller(kStrip, k - strip * kStrip)); });
}

// ---- LU -------------------------------------------------------------------------------------------------------------

template <class T> void swap_rows(T* a, int64_t lda, int64_t columns, const int32_t* pivots, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (pivots[i] == i + 1) continue;
    T *one = a + i * lda, *two = a + (pivots[i] - 1) * lda;
    for (int64_t j = 0; j < columns; ++j) {
      const T x = one[j];
      one[j] = two[j];
      two[j] = x;
    }
  }
}

// A row of a panel: kEdge numbers, a few vectors.
template <class T> struct Row {
  static constexpr int L = kLanes<T>, N = kEdge / L;
  Vec<T, L> part[N];
  FG_INLINE explicit Row(const T* from) {
#pragma GCC unroll 8
    for (int v = 0; v < N; ++v) part[v] = load<L>(from + v * L);
  }
  FG_INLINE void put(T* to) const {
#pragma GCC unroll 8
    for (int v = 0; v < N; ++v) store(to + v * L, part[v]);
  }
};

// a (m, w <= kEdge) through `panel`, m rows of kEdge. The return is 0 or the first column, from 1, without a pivot.
template <class T> int32_t factor_panel(T* a, int64_t lda, int64_t m, int64_t w, int32_t* pivots, T* panel) {
  constexpr int L = kLanes<T>, N = Row<T>::N;
  typedef Row<T> R;
  Vec<T, L> lane;
  for (int j = 0; j < L; ++j) lane[j] = static_cast<T>(j);
  const auto copy = [&](T* to, int64_t to_rs, const T* from, int64_t from_rs) {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < w; j += L) {
        const int part = static_cast<int>(smaller(L, w - j));
        store_part(to + i * to_rs + j, load_part(from + i * from_rs + j, part), part);
      }
  };
  for (int64_t i = 0; i < m * kEdge; ++i) panel[i] = T(0);
  copy(panel, kEdge, a, lda);

  int32_t info = 0;
  int64_t best = 0;  // at first the place where the search starts, whose element is taken as it is: a NaN stays
  T largest = T(0);
  const auto consider = [&](int64_t i, int64_t column) {
    const T size = absolute(panel[i * kEdge + column]);
    if (i == best || size > largest) largest = size, best = i;
  };
  for (int64_t i = 0; i < m; ++i) consider(i, 0);
  for (int64_t k = 0; k < smaller(m, w); ++k) {
    pivots[k] = static_cast<int32_t>(best + 1);
    T *row = panel + k * kEdge, *other = panel + best * kEdge;
    if (best != k) {
      const R x(row);
      R(other).put(row);
      x.put(other);
    }
    best = k + 1;
    if (row[k] == 0 && info == 0) info = static_cast<int32_t>(k + 1);
    const T pivot = row[k] == 0 ? T(1) : row[k];  // below a zero: zeros, or NaN, which has to reach the other columns
    const R top(row);
    const Vec<T, L> at = lane - static_cast<T>(k);
    const int64_t next = smaller(k + 1, kEdge - 1);
    for (int64_t i = k + 1; i < m; ++i) {
      R r(panel + i * kEdge);
      const T f = panel[i * kEdge + k] / pivot;
#pragma GCC unroll 8
      for (int v = 0; v < N; ++v) {
        const Vec<T, L> column = at + static_cast<T>(v * L), reduced = r.part[v] - f * top.part[v];
        r.part[v] = column > T(0) ? reduced : column == T(0) ? Vec<T, L>{} + f : r.part[v];
      }
      r.put(panel + i * kEdge);
      consider(i, next);
    }
  }
  copy(a, lda, panel, kEdge);
  return info;
}

template <class T> int32_t factor(T* a, int64_t lda, int64_t m, int64_t n, int32_t* pivots, T* panel) {
  if (n <= kEdge) return factor_panel(a, lda, m, n, pivots, panel);
  const int64_t depth = smaller(m, n), left = most(kEdge, half_of(depth)), done = smaller(m, left), rest = n - left;
  int32_t info = factor(a, lda, m, left, pivots, panel);
  T *right = a + left, *below = a + done * lda;
  swap_rows(right, lda, rest, pivots, done);
  solve<T>({a, lda, 1, false, true}, done, right, lda, rest);
  if (m == done) return info;
  subtract(below + left, lda, below, lda, 1, right, lda, m - done, rest, done);
  const int32_t more = factor(below + left, lda, m - done, rest, pivots + done, panel);
  swap_rows(below, lda, left, pivots + done, depth - done);
  for (int64_t i = done; i < depth; ++i) pivots[i] += static_cast<int32_t>(done);
  return info || !more ? info : more + static_cast<int32_t>(done);
}

// ---- Cholesky -------------------------------------------------------------------------------------------------------

// The upper triangle of the symmetric matrix a becomes U with U^T U = a; what is below it is not looked at. The return
// is 0 or the order of the first minor that is not positive definite.
template <class T> int32_t cholesky_edge(T* a, int64_t lda, int64_t n) {
  constexpr int L = kLanes<T>;
  alignas(64) T rows[kEdge * kEdge] = {};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; j += L) {
      const int part = static_cast<int>(smaller(L, n - j));
      store_part(rows + i * kEdge + j, load_part(a + i * lda + j, part), part);
    }
  int32_t info = 0;
  for (int64_t k = 0; k < n; ++k) {
    T* row = rows + k * kEdge;
    if (!(row[k] > 0)) {
      info = static_cast<int32_t>(k + 1);
      break;
    }
    const T root = sizeof(T) == 4 ? T(__builtin_sqrtf(float(row[k]))) : T(__builtin_sqrt(double(row[k])));
    const T inverse = T(1) / root;
    for (int j = 0; j < kEdge; ++j) row[j] *= inverse;
    row[k] = root;
    for (int64_t i = k + 1; i < n; ++i) {
      const T f = row[i];
      for (int j = 0; j < kEdge; ++j) rows[i * kEdge + j] -= f * row[j];
    }
  }
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i; j < n; ++j) a[i * lda + j] = rows[i * kEdge + j];
  return info;
}

// The upper blocks of c (n, n) -= u^T u, u (k, n)
template <class T> void subtract_square(T* c, int64_t ldc, const T* u, int64_t ldu, int64_t n, int64_t k) {
  if (n <= kDiagonal) return subtract(c, ldc, u, 1, ldu, u, ldu, n, n, k);
  const int64_t h = half_of(n);
  subtract_square(c, ldc, u, ldu, h, k);
  subtract(c + h, ldc, u, 1, ldu, u + h, ldu, h, n - h, k);
  subtract_square(c + h * (ldc + 1), ldc, u + h, ldu, n - h, k);
}

template <class T> int32_t cholesky(T* a, int64_t lda, int64_t n) {
  if (n <= kEdge) return cholesky_edge(a, lda, n);
  const int64_t h = half_of(n);
  int32_t info = cholesky(a, lda, h);
  if (info) return info;
  solve<T>({a, 1, lda, false, false}, h, a + h, lda, n - h);
  subtract_square(a + h * (lda + 1), lda, a + h, lda, n - h, h);
  info = cholesky(a + h * (lda + 1), lda, n - h);
  return info ? info + static_cast<int32_t>(h) : 0;
}

// ---- entry ----------------------------------------------------------------------------------------------------------

template <class T> void one(const LinalgArgs& g, int64_t index, T* panel) {
  T* a = static_cast<T*>(g.a) + index * g.m * g.n;
  T* b = static_cast<T*>(g.b) + (g.b ? index * g.n * g.k : 0);
  int32_t* pivots = g.pivots ? g.pivots + index * smaller(g.m, g.n) : nullptr;
  switch (g.kind) {
    case Linalg::lu: g.info[index] = factor(a, g.n, g.m, g.n, pivots, panel); return;
    case Linalg::solve:
      g.info[index] = factor(a, g.n, g.n, g.n, pivots, panel);
      swap_rows(b, g.k, g.k, pivots, g.n);
      solve<T>({a, g.n, 1, false, true}, g.n, b, g.k, g.k);
      solve<T>({a, g.n, 1, true, false}, g.n, b, g.k, g.k);
      return;
    case Linalg::triangular: return solve<T>({a, g.n, 1, g.upper != 0, g.unit != 0}, g.n, b, g.k, g.k);
    case Linalg::cholesky:
      g.info[index] = cholesky(a, g.n, g.n);
      for (int64_t i = 1; i < g.n; ++i)
        for (int64_t j = 0; j < i; ++j) a[i * g.n + j] = T(0);
      return;
    default: return;
  }
}

template <class T> void batch_of(const LinalgArgs& g) {
  const size_t bytes = static_cast<size_t>(g.m) * kEdge * sizeof(T);
  const double work = static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.n + g.k);
  const auto group_of = [&](int64_t begin, int64_t end) {
    T* panel = static_cast<T*>(scratch(bytes));
    for (int64_t i = begin; i < end; ++i) one<T>(g, i, panel);
    release_scratch(panel, bytes);
  };
  if (g.batch == 1 || (g.batch < 8 && work > 1e6)) return group_of(0, g.batch);
  const int64_t group = most(1, static_cast<int64_t>(20000 / (work + 100)));
  const double cost = static_cast<double>(g.batch) * (work / 4 + 100);
  for_chunks(ceil_div(g.batch, group), cost,
             [&](int64_t chunk) { group_of(chunk * group, smaller(g.batch, (chunk + 1) * group)); });
}

void order_of(const LinalgArgs& g) {
  for (int64_t i = 0; i < g.batch; ++i) {
    int64_t* rows = static_cast<int64_t*>(g.b) + i * g.m;
    for (int64_t k = 0; k < g.m; ++k) rows[k] = k;
    for (int64_t k = 0; k < g.k; ++k) {
      const int64_t j = g.pivots[i * g.k + k] - 1, keep = rows[k];
      if (j < 0 || j >= g.m) continue;
      rows[k] = rows[j], rows[j] = keep;
    }
  }
}

void linalg(const LinalgArgs& g) {
  if (g.kind == Linalg::order) return order_of(g);
  if (g.batch == 0 || g.n == 0 || g.m == 0) {
    for (int64_t i = 0; g.info && i < g.batch; ++i) g.info[i] = 0;
    return;
  }
  if (g.dtype == DType::Float64) batch_of<double>(g);
  else batch_of<float>(g);
}

}  // namespace

void fill_linalg(Backend& table) { table.linalg = linalg; }

}  // namespace fg::cpu::FG_ISA
