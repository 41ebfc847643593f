// Scaled dot-product attention and its gradient without the matrix of weights: a block of queries at a time, whose
// scores stay in the cache from one product to the next. With a causal mask, keys that no query of a block sees take
// part in nothing.
//
// The gradient makes the weights again out of the scores and the logarithm of each row's sum, which the forward pass
// leaves. One head's gradients are made by one thread, so that every sum has one order. Products are gemm's; keys (and
// values, for the gradient) come transposed as well, as every block would have to pack them. Start at forward().
#include "cpu/backend_cpu.h"
#include "cpu/softmax_steps.h"

namespace fg::cpu::FG_ISA {

void gemm_float32(const GemmArgs& args);
void gemm_float64(const GemmArgs& args);

namespace {

constexpr int64_t kQueries = 60;  // rows of a block, at most: ten tiles of a product
constexpr int64_t kDeep = 512;    // keys of one product over keys: more would be packed

template <class T> struct Matrix {
  const T* at;
  int64_t rs, cs;
};

// c (m, n) = or += a (m, k) b (k, n)
template <class T>
void product(T* c, int64_t ldc, Matrix<T> a, Matrix<T> b, int64_t m, int64_t n, int64_t k, bool add) {
  GemmArgs g{};
  g.dtype = sizeof(T) == 4 ? DType::Float32 : DType::Float64;
  g.m = m, g.n = n, g.batch = 1;
  g.a_rs = a.rs, g.a_cs = a.cs, g.b_rs = b.rs, g.b_cs = b.cs;
  g.c = c, g.c_rs = ldc;
  g.alpha = 1;
  for (int64_t p = 0; p < k; p += kDeep) {
    g.k = smaller(kDeep, k - p);
    g.a = a.at + p * a.cs, g.b = b.at + p * b.rs;
    g.beta = add || p ? 1 : 0;
    if constexpr (sizeof(T) == 4) gemm_float32(g);
    else gemm_float64(g);
  }
}

template <class T> struct Attention {
  const AttentionArgs& a;
  int64_t blocks, rows, pitch;  // of a head: blocks of queries, their rows; numbers from row to row of scores

  explicit Attention(const AttentionArgs& args) : a(args) {
    blocks = ceil_divide(a.queries, kQueries);
    rows = smaller(ceil_divide(ceil_divide(a.queries, blocks), 6) * 6, a.queries);
    blocks = ceil_divide(a.queries, rows);
    pitch = ceil_divide(a.keys, 16) * 16 + 16;
  }

  Matrix<T> matrix(const AttentionOperand& x, int64_t head, int64_t row) const {
    const int64_t at = head / a.heads * x.batch_stride + head % a.heads * x.head_stride + row * x.row_stride;
    return {static_cast<const T*>(x.data) + at, x.row_stride, 1};
  }
  int64_t visible(int64_t row) const { return a.causal ? smaller(a.keys, row + 1) : a.keys; }

  // Scores of n queries from `first` on become exp(scale * (score - largest)); sums: of the rows, and where they are to
  // be found in terms of lse, which is written.
  void weigh(T* scores, int64_t head, int64_t first, int64_t n, T* inverse_sums) const {
    using V = Vec<T>;
    const T scale = static_cast<T>(a.scale);
    T* lse = static_cast<T*>(a.lse) + head * a.queries + first;
    const int64_t all = visible(first + n - 1);
    for (int64_t i = 0; i < n; ++i) {
      T* row = scores + i * pitch;
      const int64_t count = visible(first + i);
      const T top = block_max(row, count);
      const bool blind = top == -T(__builtin_inf());  // as if it saw no key: no weights, here and in weigh_again
      const T from = blind ? T(0) : top;
      V sum = 0;
      each_vector<T>(count, [&](int64_t k, int64_t m) {
        const V e = where(first_lanes<T>(m), exp_or_zero((load_part(row + k, m) - V(from)) * V(scale)), V(0));
        store_part(row + k, m, e);
        sum = sum + e;
      });
      for (int64_t k = count; k < all; ++k) row[k] = 0;
      const T total = across(sum, [](V x, V y) { return x + y; });
      const bool finite = top - top == 0;  // else the row is NaN, as in softmax
      inverse_sums[i] = finite ? 1 / total : static_cast<T>(__builtin_nan(""));
      lse[i] = finite ? top * scale + static_cast<T>(__builtin_log(static_cast<double>(total))) : inverse_sums[i];
      if (blind) inverse_sums[i] = T(0), lse[i] = T(__builtin_inf());
    }
  }

  void forward_block(int64_t head, int64_t block, T* scores) const {
    const int64_t first = block * rows, n = smaller(rows, a.queries - first), all = visible(first + n - 1);
    T inverse_sums[kQueries];
    product(scores, pitch, matrix(a.q, head, first), matrix(a.k_turned, head, 0), n, all, a.width, false);
    weigh(scores, head, first, n, inverse_sums);
    T* out = static_cast<T*>(a.out) + (head * a.queries + first) * a.value_width;
    product(out, a.value_width, {scores, pitch, 1}, matrix(a.v, head, 0), n, a.value_width, all, false);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < a.value_width; ++j) out[i * a.value_width + j] *= inverse_sums[i];
  }

  // weights: exp(scale * score - lse), and 0 for what is not seen
  void weigh_again(T* scores, const T* lse, int64_t first, int64_t n) const {
    using V = Vec<T>;
    const T scale = static_cast<T>(a.scale);
    const int64_t all = visible(first + n - 1);
    for (int64_t i = 0; i < n; ++i) {
      T* row = scores + i * pitch;
      const int64_t count = visible(first + i);
      const V shift(lse[i]);
      const bool bad = lse[i] != lse[i];
      each_vector<T>(count, [&](int64_t k, int64_t m) {
        // rounding may take it above 0, where exp_or_zero is not made for it
        const V x = load_part(row + k, m) * V(scale) - shift;
        const V e = exp_or_zero(at_most(x, 0));
        store_part(row + k, m, bad ? shift : e);
      });
      for (int64_t k = count; k < all; ++k) row[k] = 0;
    }
  }

  void gradient_block(int64_t head, int64_t block, T* weights, T* slopes) const {
    using V = Vec<T>;
    const int64_t first = block * rows, n = smaller(rows, a.queries - first), all = visible(first + n - 1);
    const int64_t wide = a.value_width, at = head * a.queries + first;
    const T* grad = static_cast<const T*>(a.grad) + at * wide;
    const Matrix<T> q = matrix(a.q, head, first), g{grad, wide, 1};
    product(weights, pitch, q, matrix(a.k_turned, head, 0), n, all, a.width, false);
    weigh_again(weights, static_cast<const T*>(a.lse) + at, first, n);
    T* gv = static_cast<T*>(a.gv) + head * a.keys * wide;
    product(gv, wide, {weights, 1, pitch}, g, all, wide, n, true);
    product(slopes, pitch, g, matrix(a.v_turned, head, 0), n, all, wide, false);
    const T scale = static_cast<T>(a.scale);
    for (int64_t i = 0; i < n; ++i) {
      T *row = slopes + i * pitch, *weight = weights + i * pitch;
      V sum = 0;
      each_vector<T>(all, [&](int64_t k, int64_t m) { sum = sum + load_part(row + k, m) * load_part(weight + k, m); });
      const T mean = across(sum, [](V x, V y) { return x + y; });
      for (int64_t k = 0; k < all; ++k) row[k] = weight[k] * (row[k] - mean) * scale;
    }
    T *gq = static_cast<T*>(a.gq) + at * a.width, *gk = static_cast<T*>(a.gk) + head * a.keys * a.width;
    product(gk, a.width, {slopes, 1, pitch}, q, all, a.width, n, true);
    product(gq, a.width, {slopes, pitch, 1}, matrix(a.k, head, 0), n, a.width, all, false);  // may lie over q
  }

  double cost(int products) const {
    const double all = static_cast<double>(a.batch * a.heads * a.queries) * static_cast<double>(a.keys);
    return all * (static_cast<double>(a.width + a.value_width) / 2 * products / Vec<T>::N / 2 + 1);
  }

  void forward() const {
    const size_t bytes = static_cast<size_t>(rows * pitch) * sizeof(T);
    for_chunks(a.batch * a.heads * blocks, cost(2), [&](int64_t chunk) {
      T* scores = static_cast<T*>(scratch(bytes));
      forward_block(chunk / blocks, chunk % blocks, scores);
      release_scratch(scores, bytes);
    });
  }
  void gradient() const {
    const size_t bytes = 2 * static_cast<size_t>(rows * pitch) * sizeof(T);
    for_chunks(a.batch * a.heads, cost(5), [&](int64_t head) {
      T* scores = static_cast<T*>(scratch(bytes));
      memset(static_cast<T*>(a.gk) + head * a.keys * a.width, 0, static_cast<size_t>(a.keys * a.width) * sizeof(T));
      memset(static_cast<T*>(a.gv) + head * a.keys * a.value_width, 0,
             static_cast<size_t>(a.keys * a.value_width) * sizeof(T));
      for (int64_t block = 0; block < blocks; ++block) gradient_block(head, block, scores, scores + rows * pitch);
      release_scratch(scores, bytes);
    });
  }
};

void attention(const AttentionArgs& a) {
  if (a.dtype == DType::Float64) Attention<double>(a).forward();
  else Attention<float>(a).forward();
}
void attention_grad(const AttentionArgs& a) {
  if (a.dtype == DType::Float64) Attention<double>(a).gradient();
  else Attention<float>(a).gradient();
}

}  // namespace

void fill_attention(Backend& table) {
  table.attention = attention;
  table.attention_grad = attention_grad;
}

}  // namespace fg::cpu::FG_ISA
