// scatter_reduce: what several sources send to one place is added, multiplied, averaged, or the extreme one stays.
//
// Sums and means are scatters of recorded ops; product and extremes have a node, whose gradient is made of recorded ops
// too.
#include <limits>

#include "ops/words.h"

namespace fg {

namespace {

struct ScatterReduceBackward0 final : Node {
  int dim;
  Scatter mode;
  Saved x, source, index, y;
  const char* name() const override { return "ScatterReduceBackward0"; }
  void release_saved() override { x.clear(), source.clear(), index.clear(), y.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    Tensor at = index.unpack(this), base = x.unpack(this), s = source.unpack(this), result = y.unpack(this);
    mode == Scatter::mul ? product(g[0], at, base, s, result, gx) : extreme(g[0], at, base, s, result, gx);
  }

  // Equal extremes share the gradient.
  void extreme(const Tensor& g, const Tensor& at, const Tensor& base, const Tensor& s, const Tensor& result,
               Tensor* gx) {
    Tensor base_hit, source_hit, count;
    {
      NoGradGuard guard;
      base_hit = base == result;
      source_hit = s == gather(result, dim, at);
      count = scatter(to_dtype(base_hit, g.dtype()), dim, at, to_dtype(source_hit, g.dtype()), Scatter::add);
    }
    Tensor share = g / count;
    if (wants(0)) gx[0] = where(base_hit, share, 0.0);
    if (wants(1)) gx[1] = where(source_hit, gather(share, dim, at), 0.0);
  }

  void product(const Tensor& g, const Tensor& at, const Tensor& base, const Tensor& s, const Tensor& result,
               Tensor* gx) {
    if (wants(0)) {
      Tensor ones = full(base.sizes(), Scalar::of(1), g.dtype(), g.device());
      gx[0] = g * scatter_reduce(ones, dim, at, s, Scatter::mul, false, true);
    }
    if (!wants(1)) return;
    // The others' product is the result divided by this source; for the only zero of a place it is taken without it.
    Tensor zero, alone;
    {
      NoGradGuard guard;
      zero = s == 0.0;
      Tensor count = scatter(zeros_like(base), dim, at, to_dtype(zero, base.dtype()), Scatter::add);
      alone = binary(Op::logical_and, zero, gather(count, dim, at) == 1.0);
    }
    Tensor without = scatter_reduce(base, dim, at, where(alone, 1.0, s), Scatter::mul, false, true);
    gx[1] = where(alone, gather(g * without, dim, at), gather(g * result, dim, at) / where(zero, 1.0, s));
  }
};

Scalar identity_of(Scatter mode, DType dtype) {
  switch (mode) {
    case Scatter::mul: return Scalar::of_int(1);
    case Scatter::add: return Scalar::of_int(0);
    default: break;
  }
  bool low = mode == Scatter::amax;
  double far = std::numeric_limits<double>::infinity();
  switch (dtype) {
    case DType::Bool: return Scalar::of_bool(!low);
    case DType::UInt8: return Scalar::of_int(low ? 0 : 255);
    case DType::Int8: return Scalar::of_int(low ? -128 : 127);
    case DType::Int16: return Scalar::of_int(low ? INT16_MIN : INT16_MAX);
    case DType::Int32: return Scalar::of_int(low ? INT32_MIN : INT32_MAX);
    case DType::Int64: return Scalar::of_int(low ? INT64_MIN : INT64_MAX);
    default: return Scalar::of(low ? -far : far);
  }
}

Tensor constant(const Tensor& like, Dims sizes, Scalar value) {
  return full(sizes, value, like.dtype(), like.device());
}

}  // namespace

Tensor scatter_reduce(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& all, Scatter mode, bool mean,
                      bool include_self) {
  int d = wrap_dim(dim, t.dim(), "scatter_reduce");
  FG_CHECK(t.dtype() == all.dtype(), Runtime, "scatter_reduce(): Expected self.dtype to be equal to src.dtype");
  Tensor source = all;
  if (source.dim() == index.dim())
    for (int i = 0; i < index.dim(); ++i)
      if (index.size(i) < source.size(i)) source = narrow(source, i, 0, index.size(i));
  Tensor base =
      include_self ? t : scatter(t, d, index, constant(t, index.sizes(), identity_of(mode, t.dtype())), Scatter::set);
  if (mode == Scatter::add) {
    Tensor total = scatter(base, d, index, source, Scatter::add);
    if (!mean) return total;
    Tensor count = constant(t, t.sizes(), Scalar::of_int(1));
    if (!include_self) scatter_(count, d, index, constant(t, index.sizes(), Scalar::of_int(0)), Scatter::set);
    scatter_(count, d, index, constant(t, index.sizes(), Scalar::of_int(1)), Scatter::add);
    count = clamp(count, Arg(Scalar::of_int(1)), {});
    return is_floating(t.dtype()) ? div(total, count) : binary(Op::floor_divide, total, count);
  }
  Tensor out;
  {
    NoGradGuard guard;
    out = scatter(base, d, index, source, mode);
  }
  if (is_floating(t.dtype()) && should_record(base, source)) {
    auto node = make_node<ScatterReduceBackward0>(base, source);
    node->dim = d;
    node->mode = mode;
    node->x.save(base);
    node->source.save(source);
    node->index.save(index);
    set_history(out, node);
    node->y.save(out, true);
  }
  return out;
}

void scatter_reduce_(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& source, Scatter mode, bool mean,
                     bool include_self) {
  if (!mean && include_self && (mode == Scatter::add || !should_record(t, source)))
    return scatter_(t, dim, index, source, mode);
  check_inplace(t, "scatter_reduce_");
  copy_(t, scatter_reduce(clone(t), dim, index, source, mode, mean, include_self));
}

}  // namespace fg
