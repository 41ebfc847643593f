// The gates of recurrent networks: what is left of a step after its products, forward and gradient, one thread for each
// hidden unit of each row. The formulas are those of cpu/kernels/rnn.cpp:
//
//   lstm   c' = f c + i g,  h' = o tanh(c')            i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of the gates
//   gru    h' = n + z (h - n),  n = tanh(x_n + r h_n)  r, z = sigmoid of x + h
//   tanh, relu   h' = f(gate)
#include "cuda/num.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

// The numbers of one unit: `at` in a (batch, hidden) operand, `gates` its first gate in one of all gates.
template <class T> struct Unit {
  int64_t at, gates, hidden;
  FG_DEVICE static Unit of(const RnnArgs& a, int64_t i, int count) {
    const int64_t row = i / a.hidden;
    return {i, row * a.hidden * count + (i - row * a.hidden), a.hidden};
  }
  FG_DEVICE Num<T> load(const void* data) const { return static_cast<const T*>(data)[at]; }
  FG_DEVICE void store(void* data, Num<T> x) const { static_cast<T*>(data)[at] = x.v; }
  FG_DEVICE Num<T> gate(const void* data, int k) const { return static_cast<const T*>(data)[gates + k * hidden]; }
  FG_DEVICE void set_gate(void* data, int k, Num<T> x) const { static_cast<T*>(data)[gates + k * hidden] = x.v; }
};

template <class T> FG_DEVICE void lstm(const RnnArgs& a, const Unit<T>& u) {
  const Num<T> i = sigmoid(u.gate(a.gates, 0)), f = sigmoid(u.gate(a.gates, 1)), g = tanh(u.gate(a.gates, 2)),
               o = sigmoid(u.gate(a.gates, 3)), cell = f * u.load(a.c) + i * g;
  u.set_gate(a.gates, 0, i), u.set_gate(a.gates, 1, f), u.set_gate(a.gates, 2, g), u.set_gate(a.gates, 3, o);
  u.store(a.c_out, cell);
  u.store(a.h_out, o * tanh(cell));
}
template <class T> FG_DEVICE void lstm_grad(const RnnArgs& a, const Unit<T>& u) {
  const Num<T> i = u.gate(a.gates, 0), f = u.gate(a.gates, 1), g = u.gate(a.gates, 2), o = u.gate(a.gates, 3);
  const Num<T> of_h = u.load(a.gh), t = tanh(u.load(a.c_out)), of_c = u.load(a.gc) + of_h * o * (1 - t * t);
  u.set_gate(a.g_gates, 0, of_c * g * (i * (1 - i)));
  u.set_gate(a.g_gates, 1, of_c * u.load(a.c) * (f * (1 - f)));
  u.set_gate(a.g_gates, 2, of_c * i * (1 - g * g));
  u.set_gate(a.g_gates, 3, of_h * t * (o * (1 - o)));
  u.store(a.gc, of_c * f);
}

template <class T> FG_DEVICE void gru(const RnnArgs& a, const Unit<T>& u) {
  const Num<T> r = sigmoid(u.gate(a.gates, 0) + u.gate(a.from_hidden, 0)),
               z = sigmoid(u.gate(a.gates, 1) + u.gate(a.from_hidden, 1)), of_h = u.gate(a.from_hidden, 2),
               n = tanh(u.gate(a.gates, 2) + r * of_h);
  u.set_gate(a.gates, 0, r), u.set_gate(a.gates, 1, z), u.set_gate(a.gates, 2, n);
  u.store(a.hidden_new, of_h);
  u.store(a.h_out, n + z * (u.load(a.h) - n));
}
template <class T> FG_DEVICE void gru_grad(const RnnArgs& a, const Unit<T>& u) {
  const Num<T> r = u.gate(a.gates, 0), z = u.gate(a.gates, 1), n = u.gate(a.gates, 2), g = u.load(a.gh);
  const Num<T> of_n = g * (1 - z) * (1 - n * n), of_z = g * (u.load(a.h) - n) * (z * (1 - z));
  const Num<T> of_r = of_n * u.load(a.hidden_new) * (r * (1 - r));
  u.set_gate(a.g_gates, 0, of_r), u.set_gate(a.g_gates, 1, of_z), u.set_gate(a.g_gates, 2, of_n * r);
  u.store(a.g_new, of_n);
  u.store(a.g_h, u.load(a.g_h) + g * z);
}

template <class T> FG_DEVICE void plain(const RnnArgs& a, const Unit<T>& u) {
  const Num<T> x = u.load(a.gates);
  u.store(a.h_out, a.kind == Rnn::relu ? max(x, Num<T>(0)) : tanh(x));
}
template <class T> FG_DEVICE void plain_grad(const RnnArgs& a, const Unit<T>& u) {
  const Num<T> y = u.load(a.h_out), g = u.load(a.gh);
  u.store(a.g_gates, a.kind == Rnn::relu ? where(y <= Num<T>(0), Num<T>(0), g) : g * (1 - y * y));
}

template <class T, bool kGradient>
__global__ void __launch_bounds__(kThreads) rnn_kernel(const __grid_constant__ RnnArgs a) {
  const int64_t n = a.batch * a.hidden;
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    switch (a.kind) {
      case Rnn::lstm: kGradient ? lstm_grad(a, Unit<T>::of(a, i, 4)) : lstm(a, Unit<T>::of(a, i, 4)); break;
      case Rnn::gru: kGradient ? gru_grad(a, Unit<T>::of(a, i, 3)) : gru(a, Unit<T>::of(a, i, 3)); break;
      default: kGradient ? plain_grad(a, Unit<T>::of(a, i, 1)) : plain(a, Unit<T>::of(a, i, 1));
    }
  }
}

template <bool kGradient> void launch_rnn(const RnnArgs& a) {
  const int64_t n = a.batch * a.hidden;
  if (n == 0) return;
  if (a.dtype == DType::Float64) {
    FG_LAUNCH_FREE((rnn_kernel<double, kGradient>), grid_for(n, a.stream), kThreads, 0, a.stream, a);
  } else {
    FG_LAUNCH_FREE((rnn_kernel<float, kGradient>), grid_for(n, a.stream), kThreads, 0, a.stream, a);
  }
}

}  // namespace

void fill_rnn(Backend& table) {
  table.rnn = launch_rnn<false>;
  table.rnn_grad = launch_rnn<true>;
}
}  // namespace fg::cuda
