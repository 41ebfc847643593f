// Layers of recurrent networks over padded sequences: the loop over time, forward and backward. The product with the
// input of all steps is done before (its result is `gates`, which is overwritten) and after; a step is one product with
// the hidden state and one pass over the gates. Nothing is recorded here: nn/_recurrent.py makes a Function of it.
//
// States of all times lie in one tensor (T + 1, B, H), the given one at the end where the loop begins. So the states
// before each step are a slice of it, and the gradient of the weight is one product over all steps.
#include "ops/rnn.h"

#include <algorithm>

#include "ops/words.h"

namespace fg {

namespace {

int gate_count(Rnn kind) { return kind == Rnn::lstm ? 4 : kind == Rnn::gru ? 3 : 1; }

struct Loop {
  Rnn kind;
  int64_t steps, batch, hidden, width;  // width: all gates of one row
  bool reverse;
  DType dtype;
  Device device;
  int64_t item;

  Loop(Rnn kind, const Tensor& gates, const Tensor& weight, bool reverse)
      : kind(kind),
        steps(gates.size(0)),
        batch(gates.size(1)),
        hidden(weight.size(1)),
        width(gates.size(2)),
        reverse(reverse),
        dtype(gates.dtype()),
        device(gates.device()),
        item(item_size(gates.dtype())) {}

  int64_t time(int64_t k) const { return reverse ? steps - 1 - k : k; }  // of step k
  int64_t before(int64_t t) const { return reverse ? t + 1 : t; }        // places of the states around step t
  int64_t after(int64_t t) const { return reverse ? t : t + 1; }
  char* state(const Tensor& all, int64_t place) const { return at(all, place, hidden); }
  char* gate(const Tensor& all, int64_t t) const { return at(all, t, width); }
  char* at(const Tensor& all, int64_t place, int64_t columns) const {
    return all.defined() ? static_cast<char*>(all.mutable_data()) + place * batch * columns * item : nullptr;
  }
  Tensor states() const { return Tensor::empty(DimArray{steps + 1, batch, hidden}, dtype, device); }
  RnnArgs args() const {
    RnnArgs a{};
    a.kind = kind, a.dtype = dtype, a.batch = batch, a.hidden = hidden;
    a.stream = Storage::current_stream(device);
    return a;
  }
  // c (batch, n) = beta * c + a (batch, k) @ b (k, n) + bias
  void product(const void* a, int64_t k, const void* b, int64_t b_rs, int64_t b_cs, void* c, int64_t n, double beta,
               const void* bias = nullptr) const {
    GemmArgs g{};
    g.dtype = dtype, g.m = batch, g.n = n, g.k = k, g.batch = 1;
    g.a = a, g.a_rs = k, g.a_cs = 1;
    g.b = b, g.b_rs = b_rs, g.b_cs = b_cs;
    g.c = c, g.c_rs = n;
    g.alpha = 1, g.beta = beta;
    g.bias = bias, g.bias_cs = bias ? 1 : 0;
    g.stream = Storage::current_stream(device);
    backend(device).gemm(g);
  }
  // c (width, hidden) = beta * c + g (n * batch, width)^T @ h (n * batch, hidden)
  void add_weight_gradient(const void* g_gates, const void* h, int64_t n, const Tensor& c, double beta) const {
    GemmArgs g{};
    g.dtype = dtype, g.m = width, g.n = hidden, g.k = n * batch, g.batch = 1;
    g.a = g_gates, g.a_rs = 1, g.a_cs = width;
    g.b = h, g.b_rs = hidden, g.b_cs = 1;
    g.c = c.mutable_data(), g.c_rs = hidden;
    g.alpha = 1, g.beta = beta;
    g.stream = Storage::current_stream(device);
    backend(device).gemm(g);
  }
};

}  // namespace

bool rnn_usable(const Tensor& x) {
  return backend(x.device()).rnn && (x.dtype() == DType::Float32 || x.dtype() == DType::Float64) &&
         !(mode & (kForward | kAutocast));
}

std::vector<Tensor> rnn_forward(Rnn kind, const Tensor& gates, const Tensor& h0, const Tensor& c0,
                                const Tensor& weight_in, const Tensor& bias_in, bool reverse) {
  NoGradGuard guard;
  Tensor bias = bias_in.defined() ? contiguous(bias_in) : bias_in;
  FG_CHECK(weight_in.dim() == 2 && gates.is_contiguous() && gates.dim() == 3 &&
               gates.size(2) == gate_count(kind) * weight_in.size(1),
           Runtime, "_rnn_forward: gates must be contiguous (T, B, gates * H), got ", size_text(gates.sizes()));
  Loop loop(kind, gates, weight_in, reverse);
  Tensor weight = contiguous(transpose(weight_in, 0, 1));  // (H, gates * H): laid out once for all steps
  const int64_t first = reverse ? loop.steps : 0;
  Tensor h = loop.states(), c = kind == Rnn::lstm ? loop.states() : Tensor(), kept, from;
  copy_(select(h, 0, first), h0);
  if (c.defined()) copy_(select(c, 0, first), c0);
  if (kind == Rnn::gru) {
    kept = Tensor::empty(DimArray{loop.steps, loop.batch, loop.hidden}, loop.dtype, loop.device);
    from = Tensor::empty(DimArray{loop.batch, loop.width}, loop.dtype, loop.device);
  }
  if (gates.numel()) {
    GilRelease release(gates.numel());
    for (int64_t k = 0; k < loop.steps; ++k) {
      const int64_t t = loop.time(k);
      RnnArgs a = loop.args();
      a.h = loop.state(h, loop.before(t)), a.c = loop.state(c, loop.before(t));
      a.h_out = loop.state(h, loop.after(t)), a.c_out = loop.state(c, loop.after(t));
      a.gates = loop.gate(gates, t);
      if (kind == Rnn::gru) {
        a.from_hidden = from.mutable_data();
        a.hidden_new = loop.state(kept, t);
        loop.product(a.h, loop.hidden, weight.data(), loop.width, 1, a.from_hidden, loop.width, 0,
                     bias.defined() ? bias.data() : nullptr);
      } else {
        loop.product(a.h, loop.hidden, weight.data(), loop.width, 1, a.gates, loop.width, 1);
      }
      backend(loop.device).rnn(a);
    }
  }
  return {h, c, kept};
}

std::vector<Tensor> rnn_backward(Rnn kind, const Tensor& gates, const Tensor& h, const Tensor& c, const Tensor& kept,
                                 const Tensor& weight_in, const Tensor& g_out, const Tensor& g_h, const Tensor& g_c,
                                 bool reverse, bool overwrite) {
  NoGradGuard guard;
  Tensor weight = contiguous(weight_in);
  Loop loop(kind, gates, weight, reverse);
  const DimArray state{loop.batch, loop.hidden};
  // A step reads what was saved of it before it writes, and nothing reads that again.
  overwrite &= kind == Rnn::gru || kind == Rnn::lstm;
  Tensor g_gates = overwrite ? gates : Tensor::empty(gates.sizes(), loop.dtype, loop.device), g_new;
  if (kind == Rnn::gru) g_new = overwrite ? kept : Tensor::empty(kept.sizes(), loop.dtype, loop.device);
  // Of the state that a step makes, and of the one before it, where the step adds its part.
  Tensor gh = Tensor::empty(state, loop.dtype, loop.device), before = Tensor::empty(state, loop.dtype, loop.device);
  const Tensor none = zeros(state, loop.dtype, loop.device);
  const auto begin_with = [&](const Tensor& into, int64_t k) {  // the gradient of the output of step k
    if (!g_out.defined() || k < 0) return raw_copy(into, none);
    const int64_t at = g_out.offset() + loop.time(k) * g_out.stride(0);
    raw_copy(into, g_out.alias(state, DimArray{g_out.stride(1), g_out.stride(2)}, at));
  };
  begin_with(gh, loop.steps - 1);
  if (g_h.defined()) add_(gh, g_h);
  Tensor gc;
  if (kind == Rnn::lstm) {
    gc = zeros(state, loop.dtype, loop.device);
    if (g_c.defined()) copy_(gc, g_c);
  }
  Tensor g_weight = Tensor::empty(weight.sizes(), loop.dtype, loop.device);
  if (!gates.numel()) {
    g_weight = zeros(weight.sizes(), loop.dtype, loop.device);
  } else {
    GilRelease release(gates.numel());
    // As many steps as make a deep product, yet one whose operands take little room when they are packed.
    const int64_t span = std::max<int64_t>(1, 128 / loop.batch);
    for (int64_t k = loop.steps - 1; k >= 0; --k) {
      const int64_t t = loop.time(k);
      begin_with(before, k - 1);
      RnnArgs a = loop.args();
      a.gates = loop.gate(gates, t);
      a.h = loop.state(h, loop.before(t)), a.c = loop.state(c, loop.before(t));
      a.h_out = loop.state(h, loop.after(t)), a.c_out = loop.state(c, loop.after(t));
      a.hidden_new = loop.state(kept, t);
      a.gh = gh.data();
      a.gc = gc.defined() ? gc.mutable_data() : nullptr;
      a.g_gates = loop.gate(g_gates, t);
      a.g_new = loop.state(g_new, t);
      a.g_h = before.mutable_data();
      backend(loop.device).rnn_grad(a);
      loop.product(a.g_gates, loop.width, weight.data(), loop.hidden, 1, a.g_h, loop.hidden, 1);
      std::swap(gh, before);
      if (k % span == 0) {
        const int64_t n = std::min(span, loop.steps - k), from = std::min(t, loop.time(k + n - 1));
        loop.add_weight_gradient(loop.gate(g_gates, from), loop.state(h, loop.before(from)), n, g_weight,
                                 k + n < loop.steps);
      }
    }
  }
  return {g_gates, g_new, gh, gc, g_weight};
}

}  // namespace fg
