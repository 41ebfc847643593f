// The gates of recurrent networks: what is left of a step after its products, forward and gradient, in one pass over
// rows.
//
//   lstm   c' = f c + i g,  h' = o tanh(c')            i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of the gates
//   gru    h' = n + z (h - n),  n = tanh(x_n + r h_n)  r, z = sigmoid of x + h
//   tanh, relu   h' = f(gate)
#include "cpu/lines.h"
#include "cpu/math.h"

namespace fg::cpu::FG_ISA {
namespace {

// The part of one row that gate k takes.
template <class T> struct Gates {
  T* row;
  int64_t hidden;
  FG_INLINE Vec<T> load(int k, int64_t j, int64_t n) const { return load_part(row + k * hidden + j, n); }
  FG_INLINE void store(int k, int64_t j, int64_t n, Vec<T> x) const { store_part(row + k * hidden + j, n, x); }
};
template <class T> FG_INLINE Gates<T> gates_of(void* data, int64_t row, int gates, int64_t hidden) {
  return {static_cast<T*>(data) + row * gates * hidden, hidden};
}
template <class T> FG_INLINE T* row_of(void* data, int64_t row, int64_t hidden) {
  return static_cast<T*>(data) + row * hidden;
}
template <class T> FG_INLINE const T* row_of(const void* data, int64_t row, int64_t hidden) {
  return static_cast<const T*>(data) + row * hidden;
}

template <class T> void lstm_row(const RnnArgs& a, int64_t row) {
  using V = Vec<T>;
  const Gates<T> gates = gates_of<T>(a.gates, row, 4, a.hidden);
  const T* c = row_of<T>(a.c, row, a.hidden);
  T *h_out = row_of<T>(a.h_out, row, a.hidden), *c_out = row_of<T>(a.c_out, row, a.hidden);
  each_vector<T>(a.hidden, [&](int64_t j, int64_t n) {
    const V i = sigmoid(gates.load(0, j, n)), f = sigmoid(gates.load(1, j, n)), g = tanh(gates.load(2, j, n)),
            o = sigmoid(gates.load(3, j, n));
    const V cell = f * load_part(c + j, n) + i * g;
    gates.store(0, j, n, i), gates.store(1, j, n, f), gates.store(2, j, n, g), gates.store(3, j, n, o);
    store_part(c_out + j, n, cell);
    store_part(h_out + j, n, o * tanh(cell));
  });
}
template <class T> void lstm_grad_row(const RnnArgs& a, int64_t row) {
  using V = Vec<T>;
  const Gates<T> gates = gates_of<T>(a.gates, row, 4, a.hidden), out = gates_of<T>(a.g_gates, row, 4, a.hidden);
  const T *c = row_of<T>(a.c, row, a.hidden), *cell = row_of<T>(const_cast<const void*>(a.c_out), row, a.hidden);
  const T* gh = row_of<T>(a.gh, row, a.hidden);
  T* gc = row_of<T>(a.gc, row, a.hidden);
  each_vector<T>(a.hidden, [&](int64_t j, int64_t n) {
    const V i = gates.load(0, j, n), f = gates.load(1, j, n), g = gates.load(2, j, n), o = gates.load(3, j, n);
    const V of_h = load_part(gh + j, n), t = tanh(load_part(cell + j, n));
    const V of_c = load_part(gc + j, n) + of_h * o * (1 - t * t);
    out.store(0, j, n, of_c * g * (i * (1 - i)));
    out.store(1, j, n, of_c * load_part(c + j, n) * (f * (1 - f)));
    out.store(2, j, n, of_c * i * (1 - g * g));
    out.store(3, j, n, of_h * t * (o * (1 - o)));
    store_part(gc + j, n, of_c * f);
  });
}

template <class T> void gru_row(const RnnArgs& a, int64_t row) {
  using V = Vec<T>;
  const Gates<T> gates = gates_of<T>(a.gates, row, 3, a.hidden), from = gates_of<T>(a.from_hidden, row, 3, a.hidden);
  const T* h = row_of<T>(a.h, row, a.hidden);
  T *h_out = row_of<T>(a.h_out, row, a.hidden), *kept = row_of<T>(a.hidden_new, row, a.hidden);
  each_vector<T>(a.hidden, [&](int64_t j, int64_t m) {
    const V r = sigmoid(gates.load(0, j, m) + from.load(0, j, m)),
            z = sigmoid(gates.load(1, j, m) + from.load(1, j, m));
    const V of_h = from.load(2, j, m), n = tanh(gates.load(2, j, m) + r * of_h);
    gates.store(0, j, m, r), gates.store(1, j, m, z), gates.store(2, j, m, n);
    store_part(kept + j, m, of_h);
    store_part(h_out + j, m, n + z * (load_part(h + j, m) - n));
  });
}
template <class T> void gru_grad_row(const RnnArgs& a, int64_t row) {
  using V = Vec<T>;
  const Gates<T> gates = gates_of<T>(a.gates, row, 3, a.hidden), out = gates_of<T>(a.g_gates, row, 3, a.hidden);
  const T *h = row_of<T>(a.h, row, a.hidden), *kept = row_of<T>(const_cast<const void*>(a.hidden_new), row, a.hidden);
  const T* gh = row_of<T>(a.gh, row, a.hidden);
  T *g_h = row_of<T>(a.g_h, row, a.hidden), *g_new = row_of<T>(a.g_new, row, a.hidden);
  each_vector<T>(a.hidden, [&](int64_t j, int64_t m) {
    const V r = gates.load(0, j, m), z = gates.load(1, j, m), n = gates.load(2, j, m), g = load_part(gh + j, m);
    const V of_n = g * (1 - z) * (1 - n * n), of_z = g * (load_part(h + j, m) - n) * (z * (1 - z));
    const V of_r = of_n * load_part(kept + j, m) * (r * (1 - r));
    out.store(0, j, m, of_r), out.store(1, j, m, of_z), out.store(2, j, m, of_n * r);
    store_part(g_new + j, m, of_n);
    store_part(g_h + j, m, load_part(g_h + j, m) + g * z);
  });
}

template <class T> void plain_row(const RnnArgs& a, int64_t row) {
  const Gates<T> gates = gates_of<T>(a.gates, row, 1, a.hidden);
  T* h_out = row_of<T>(a.h_out, row, a.hidden);
  const bool relu = a.kind == Rnn::relu;
  each_vector<T>(a.hidden, [&](int64_t j, int64_t n) {
    const Vec<T> x = gates.load(0, j, n);
    store_part(h_out + j, n, relu ? max(x, 0) : tanh(x));
  });
}
template <class T> void plain_grad_row(const RnnArgs& a, int64_t row) {
  using V = Vec<T>;
  const T *h = row_of<T>(const_cast<const void*>(a.h_out), row, a.hidden), *gh = row_of<T>(a.gh, row, a.hidden);
  const Gates<T> out = gates_of<T>(a.g_gates, row, 1, a.hidden);
  const bool relu = a.kind == Rnn::relu;
  each_vector<T>(a.hidden, [&](int64_t j, int64_t n) {
    const V y = load_part(h + j, n), g = load_part(gh + j, n);
    out.store(0, j, n, relu ? where(y <= 0, 0, g) : g * (1 - y * y));
  });
}

template <class T, bool is_gradient> void each_row(const RnnArgs& a) {
  void (*row_kernel)(const RnnArgs&, int64_t) = nullptr;
  switch (a.kind) {
    case Rnn::lstm: row_kernel = is_gradient ? lstm_grad_row<T> : lstm_row<T>; break;
    case Rnn::gru: row_kernel = is_gradient ? gru_grad_row<T> : gru_row<T>; break;
    default: row_kernel = is_gradient ? plain_grad_row<T> : plain_row<T>; break;
  }
  const int64_t rows = larger(1, 2048 / larger(1, a.hidden));
  const double cost = static_cast<double>(a.batch * a.hidden) * (is_gradient ? 1.5 : 3);
  for_chunks(ceil_divide(a.batch, rows), cost, [&](int64_t chunk) {
    for (int64_t row = chunk * rows; row < smaller(a.batch, (chunk + 1) * rows); ++row) row_kernel(a, row);
  });
}

void rnn(const RnnArgs& a) {
  if (a.dtype == DType::Float64) each_row<double, false>(a);
  else each_row<float, false>(a);
}
void rnn_grad(const RnnArgs& a) {
  if (a.dtype == DType::Float64) each_row<double, true>(a);
  else each_row<float, true>(a);
}

}  // namespace

void fill_rnn(Backend& table) {
  table.rnn = rnn;
  table.rnn_grad = rnn_grad;
}

}  // namespace fg::cpu::FG_ISA
