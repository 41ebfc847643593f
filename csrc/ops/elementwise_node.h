// The nodes of elementwise ops: what a row saves, and its gradient as a kernel or as recorded ops.
//
// For elementwise.cpp only.
#pragma once
#include <memory>

#include "autograd/engine.h"
#include "autograd/forward.h"
#include "ops/words.h"

namespace fg {

namespace {

// One number as a kernel reads it: in host memory, in the compute type.
struct Number {
  union {
    float f32;
    double f64;
    int32_t i32;
    int64_t i64;
    float c64[2];
    double c128[2];
  };
  // dtype: that of the op; a number wraps around in the narrow integer types, as their elements do, and is rounded to
  // the half types unless it stays wide.
  DType set(Scalar s, Compute compute, DType dtype, bool wide = false) {
    switch (compute) {
      case Compute::F32:
        f32 = static_cast<float>(is_half(dtype) && !wide ? rounded_to_half(s.f, dtype) : s.f);
        return DType::Float32;
      case Compute::F64: f64 = s.f; return DType::Float64;
      case Compute::I32:
        i32 = static_cast<int32_t>(s.param().i);
        if (dtype == DType::UInt8) i32 = static_cast<uint8_t>(i32);
        if (dtype == DType::Int8) i32 = static_cast<int8_t>(i32);
        if (dtype == DType::Int16) i32 = static_cast<int16_t>(i32);
        return DType::Int32;
      case Compute::C64:
        c64[0] = static_cast<float>(s.f), c64[1] = static_cast<float>(s.imaginary);
        return DType::Complex64;
      case Compute::C128: c128[0] = s.f, c128[1] = s.imaginary; return DType::Complex128;
      default: i64 = s.param().i; return DType::Int64;
    }
  }
};

void run(ElementwiseFn kernel, const char* name, const Iter& iter, Device device) {
  if (!kernel) fail(ErrorKind::NotImplemented, name, ": no kernel for this dtype on ", device_name(device));
  GilRelease release(iter.numel);
  kernel(iter);
  if (!device.is_cpu()) [[unlikely]]
    check_device(device, name);
}

// A row as it was called, and its gradient: g and the inputs x and the result where RowInfo::uses says so.
template <int N>
struct RowCall {
  Op op;
  uint8_t number_mask = 0;  // inputs that were Python numbers
  DType out_dtype;          // that the row was computed in
  Scalar p, q;
  Scalar numbers[N];

  Tensor recorded(const RowInfo& info, int i, const Tensor& g, Tensor* x, const Tensor& result) {
    // x ** 0 is 1 everywhere; the formula would multiply 0 by the infinite slope of 1 / x.
    if constexpr (N > 1)
      if (op == Op::pow && i == 0 && number_mask & 2 && numbers[1].f == 0 && numbers[1].imaginary == 0)
        return zeros_like(g);
    for (int k = 0; k < N; ++k)
      if (number_mask >> k & 1) {  // the logarithm of a number, say, must not be one in float32
        Scalar n = numbers[k].kind == Scalar::Bool ? Scalar::of_int(numbers[k].i) : numbers[k];
        x[k] = out_dtype == DType::Float64 ? scalar_tensor(n, out_dtype, g.device()) : wrapped(n, g.device());
      }
    return info.grad[i](g, x, result, p.f, q.f);
  }

  // The result may lie over an operand that nobody else sees and that is not among `later`.
  Tensor fused(const RowInfo& info, int i, const Tensor& g, const Tensor* x, const Tensor& result, unsigned later) {
    Compute compute = compute_of(out_dtype);
    unsigned uses = info.uses[i];
    IterInput inputs[N + 2];
    Number values[N];
    const Tensor* layout[N + 2];
    int layouts = 0;
    auto put = [&](int slot, unsigned bit, const Tensor& t) {
      if (!(uses & bit)) return;
      inputs[slot] = {t.data(), t.dtype(), &t};
      layout[layouts++] = &t;
    };
    put(0, 1, g);
    for (int k = 0; k < N; ++k) {
      if (number_mask >> k & 1) {
        if (uses & (2u << k)) inputs[1 + k] = {&values[k], values[k].set(numbers[k], compute, out_dtype), nullptr};
      } else {
        put(1 + k, 2u << k, x[k]);
      }
    }
    put(N + 1, 16, result);
    const DimArray strides = result_strides(g.sizes(), {layout, static_cast<size_t>(layouts)});
    const DType dtype = is_complex(out_dtype) ? out_dtype : g.dtype();
    const auto fits = [&](unsigned bit, const Tensor& t) {
      return !(later & bit) && t.defined() && t.dtype() == dtype && same(t.sizes(), g.sizes()) &&
             same(t.strides(), strides) && is_alone(t);
    };
    Tensor out;
    if (fits(1, g)) out = g;
    else if (fits(16, result)) out = result.alias();
    for (int k = 0; k < N && !out.defined(); ++k)
      if (fits(2u << k, x[k])) out = x[k].alias();  // without its history
    if (!out.defined()) out = Tensor::empty_strided(g.sizes(), strides, dtype, g.device());
    if (out.numel() == 0) return out;
    Iter iter;
    make_iter(iter, out, inputs, compute);
    iter.params[0] = p.param();
    iter.params[1] = q.param();
    run(backend(g.device()).elementwise_grad[static_cast<int>(op)][i][static_cast<int>(compute)], info.node_name, iter,
        g.device());
    return out;
  }
};

// ---- a gradient that is itself recorded, as one node

// Where a formula that is evaluated again begins: the walk back through it ends here.
struct BeginNode final : Node {
  const char* name() const override { return "AliasBackward0"; }
  void apply(Tensor* g, Tensor* gx) override { gx[0] = g[0]; }
};

// The gradient of input `which` of a row, as one kernel whose node saves what the formula reads. Recorded op by op it
// would keep every intermediate result until the gradient's own gradient is found; here the formula is recorded only
// then, and for as long as that takes. Edges: g, the inputs, the result of the row.
template <int N>
struct RowGradientNode final : Node, RowCall<N> {
  int which;
  std::string title;
  Saved operands[N + 2];

  explicit RowGradientNode(const RowCall<N>& call) : RowCall<N>(call) {}
  const char* name() const override { return title.c_str(); }
  void release_saved() override {
    for (Saved& s : operands) s.clear();
  }

  void apply(Tensor* g_in, Tensor* gx) override {
    const bool recorded_again = records_gradient();
    Tensor t[N + 2];
    for (int k = 0; k < N + 2; ++k)
      if (operands[k].holds()) t[k] = operands[k].unpack(this);
    if (released) fail_released();
    if (!keeps_graph) released = true, release_saved();
    std::vector<Edge> inputs;
    for (int k = 0; k < N + 2; ++k) {
      if (!wants(k)) continue;
      Ptr<BeginNode> begin = recorded_again ? make_node<BeginNode>(t[k]) : Ptr<BeginNode>::adopt(new BeginNode);
      t[k] = t[k].alias();
      set_history(t[k], begin);
      inputs.push_back({begin, 0});
    }
    Tensor out;
    {
      ModeGuard guard(static_cast<uint8_t>(mode & ~kNoGrad));
      out = this->recorded(row_info(this->op), which, t[0], t + 1, t[N + 1]);
    }
    if (!wants_grad(out)) return;
    BackwardOptions options;
    options.create_graph = options.keep_graph = recorded_again;
    options.accumulate = false;
    options.allow_unused = true;
    std::vector<Tensor> found = run_backward({gradient_edge(out)}, {g_in[0]}, inputs, options);
    for (int k = 0, next = 0; k < N + 2; ++k)
      if (wants(k)) gx[k] = std::move(found[next++]);
  }
};

// Worth it where the intermediate results are large. A gradient that only reads g, and one that is a product of two
// operands, are one op anyway.
template <int N>
bool in_one_node(const RowCall<N>& call, const RowInfo& info, int i, const Tensor& g, const Tensor* x,
                 const Tensor& result) {
  constexpr int64_t kManyBytes = 1 << 16;
  if (!grad_enabled() || (mode & kForward) || g.numel() * g.item_bytes() < kManyBytes) return false;
  if (info.uses[i] == 1u || call.op == Op::mul || is_complex(call.out_dtype)) return false;
  const auto fits = [&](const Tensor& t) { return !t.defined() || t.dtype() == g.dtype(); };
  for (int k = 0; k < N; ++k)
    if (!fits(x[k])) return false;
  return g.dtype() == call.out_dtype && fits(result);
}
template <int N>
Tensor gradient_in_one_node(RowCall<N>& call, const RowInfo& info, int i, const Tensor& g, const Tensor* x,
                            const Tensor& result) {
  auto node = Ptr<RowGradientNode<N>>::adopt(new RowGradientNode<N>(call));
  node->which = i;
  node->title = info.node_name;
  node->title.insert(node->title.size() - 1, "Backward");
  node->set_edges(N + 2);
  bool any = false;
  const auto take = [&](int slot, unsigned bit, const Tensor& t) {
    if (!(info.uses[i] & bit)) return;
    node->operands[slot].save(t);
    if (is_recorded(t)) connect(*node, slot, t), any = true;
  };
  take(0, 1, g);
  for (int k = 0; k < N; ++k)
    if (!(call.number_mask >> k & 1)) take(1 + k, 2u << k, x[k]);
  take(N + 1, 16, result);
  Tensor out = call.fused(info, i, g, x, result, ~0u);
  if (any) set_history(out, node);
  return out;
}

// ---- the node of a row

template <int N>
struct ElementwiseNode final : Node, RowCall<N> {
  using RowCall<N>::op, RowCall<N>::number_mask, RowCall<N>::out_dtype, RowCall<N>::p, RowCall<N>::q;
  DType dtypes[N];
  Saved in[N], y;
  std::unique_ptr<DimList> shapes[N];  // of inputs that were broadcast

  const char* name() const override {
    bool first = number_mask & 1, second = number_mask & 2;
    switch (op) {
      case Op::sub: return first ? "RsubBackward1" : "SubBackward0";
      case Op::conj_complex: return p.i ? "ConjPhysicalBackward0" : "ConjBackward0";
      case Op::add_scaled: return q.i ? "SubBackward0" : "AddBackward0";
      case Op::div: return q.i ? "DivBackward1" : "DivBackward0";  // 1: by a count, inside a loss
      case Op::lerp: return number_mask & 4 ? "LerpBackward0" : "LerpBackward1";
      case Op::remainder: return second ? "RemainderBackward0" : "RemainderBackward1";
      case Op::fmod: return second ? "FmodBackward0" : "FmodBackward1";
      case Op::pow: return first ? "PowBackward2" : "PowBackward1";
      case Op::special_xlog1py:
        if (first) return "SpecialXlog1PyBackward1";
        if (second) return "SpecialXlog1PyBackward2";
        break;
      case Op::special_zeta:
        if (first) return "SpecialZetaBackward1";
        if (second) return "SpecialZetaBackward2";
        break;
      case Op::xlogy: return first ? "XlogyBackward1" : second ? "XlogyBackward2" : "XlogyBackward0";
      case Op::copysign: return second ? "CopysignBackward1" : "CopysignBackward0";
      case Op::floor_divide: return p.i ? "DivBackward2" : "NotImplemented";
      case Op::clamp_min: return q.i ? "ClampMinBackward0" : "ClampBackward1";
      case Op::clamp_max: return q.i ? "ClampMaxBackward0" : "ClampBackward1";
      case Op::clamp_tensor: return !p.i ? "ClampBackward0" : second ? "ClampMaxBackward1" : "ClampMinBackward1";
      default: break;
    }
    return row_info(op).node_name;
  }
  void release_saved() override {
    for (Saved& s : in) s.clear();
    y.clear();
  }

  void apply(Tensor* g_in, Tensor* gx) override {
    const Tensor& g = g_in[0];
    const RowInfo& info = row_info(op);
    if (op == Op::floor_divide && !p.i)
      fail(ErrorKind::Runtime, "derivative for aten::floor_divide is not implemented");
    unsigned uses = 0;
    for (int i = 0; i < N; ++i)
      if (wants(i)) uses |= info.uses[i];
    Tensor x[3], result;
    for (int i = 0; i < N; ++i)
      if (uses & (2u << i) && !(number_mask >> i & 1)) x[i] = in[i].unpack(this);
    if (uses & 16u) result = y.unpack(this);
    if (!keeps_graph) released = true, release_saved();
    for (int i = 0; i < N; ++i) {
      if (!wants(i)) continue;
      unsigned later = 0;  // what the gradients after this one read
      for (int k = i + 1; k < N; ++k)
        if (wants(k)) later |= info.identity[k] ? 1u : info.uses[k];
      if (info.identity[i]) gx[i] = g;
      else if (info.zero[i] || !info.differentiable) gx[i] = zeros_like(g);
      else if (in_one_node(*this, info, i, g, x, result)) gx[i] = gradient_in_one_node(*this, info, i, g, x, result);
      else if (records_gradient()) gx[i] = this->recorded(info, i, g, x, result);
      else gx[i] = this->fused(info, i, g, x, result, later);
      if (shapes[i]) gx[i] = sum_to(gx[i], *shapes[i]);
      if (gx[i].dtype() != dtypes[i]) gx[i] = to_dtype(gx[i], dtypes[i]);
    }
  }

  // The Jacobian of a row is diagonal, so it equals its transpose: the gradient's formula with a tangent as g. Not for
  // complex numbers, where gradients are conjugated.
  bool jvp(const Tensor* t, const Tensor* results, Tensor* y_out) override {
    const RowInfo& info = row_info(op);
    if (!info.differentiable) return true;
    if (is_complex(out_dtype)) return false;
    for (DType dtype : dtypes)
      if (is_complex(dtype)) return false;
    if (op == Op::floor_divide && !p.i)
      fail(ErrorKind::NotImplemented,
           "Trying to use forward AD with floor_divide that does not support it because it has not been "
           "implemented yet.");
    const Tensor& out = results[0];
    unsigned uses = 0;
    for (int i = 0; i < N; ++i)
      if (t[i].defined()) uses |= info.uses[i];
    Tensor x[3], result;
    for (int i = 0; i < N; ++i)
      if (uses & (2u << i) && !(number_mask >> i & 1)) x[i] = in[i].unpack(this);
    if (uses & 16u) result = y.unpack(this);
    for (int i = 0; i < N; ++i) {
      if (!t[i].defined() || info.zero[i]) continue;
      Tensor g = t[i].dtype() == out_dtype ? t[i] : to_dtype(t[i], out_dtype);
      if (!same(g.sizes(), out.sizes())) g = expand(g, out.sizes());
      Tensor part = info.identity[i]     ? g
                    : records_gradient() ? this->recorded(info, i, g, x, result)
                                         : this->fused(info, i, g, x, result, ~0u);
      y_out[0] = y_out[0].defined() ? add(y_out[0], part) : part;
    }
    return true;
  }
};

}  // namespace

}  // namespace fg
