// gather and scatter along one dimension.
#include "ops/index_plan.h"

namespace fg {

namespace {

IndexPlan along(const Tensor& t, int dim, const Tensor& index, const char* op) {
  IndexPlan plan;
  check_index_device(t, index, op);
  plan.index = as_index(index, op);
  plan.sizes = DimArray(index.sizes());
  plan.index_strides = DimArray(plan.index.strides());
  plan.dim = dim;
  plan.kind = ErrorKind::Runtime;
  if (t.dim() == 0 && index.dim() <= 1) {
    plan.place_strides.n = index.dim();
    if (index.dim()) plan.place_strides.v[0] = 0;
    plan.size = 1, plan.stride = 1;
    plan.no_wrap = true;
    return plan;
  }
  FG_CHECK(index.dim() == t.dim() || (index.dim() == 0 && t.dim() == 1), Runtime, op,
           ": Index tensor must have the same number of dimensions as input tensor");
  plan.size = t.size(dim), plan.stride = t.stride(dim);
  plan.place_strides = DimArray(t.strides());
  plan.place_strides.n = index.dim();
  if (index.dim()) plan.place_strides.v[dim] = 0;
  for (int i = 0; i < index.dim(); ++i)
    FG_CHECK(i == dim || index.size(i) <= t.size(i), Runtime, op, ": Size does not match at dimension ", i,
             " expected index ", size_text(index.sizes()), " to be no larger than self ", size_text(t.sizes()),
             " apart from dimension ", dim);
  plan.no_wrap = true;
  return plan;
}

struct GatherBackward0 final : Node {
  int dim;
  DimList sizes;
  Saved index;
  const char* name() const override { return "GatherBackward0"; }
  void release_saved() override { index.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0))
      gx[0] = scatter(zeros(sizes, g[0].dtype(), g[0].device()), dim, index.unpack(this), g[0], Scatter::add);
  }
};

struct ScatterNode final : Node {
  int dim;
  Scatter mode;
  Saved index;
  DimList source_sizes;
  const char* name() const override { return mode == Scatter::add ? "ScatterAddBackward0" : "ScatterBackward0"; }
  void release_saved() override { index.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    Tensor at = index.unpack(this);
    if (wants(0))
      gx[0] = mode == Scatter::add
                  ? g[0]
                  : scatter(g[0], dim, at, zeros(at.sizes(), g[0].dtype(), g[0].device()), Scatter::set);
    if (wants(1)) {
      Tensor got = gather(g[0], dim, at);
      if (got.numel() == 1 && count_of(source_sizes) == 1) {
        got = view(got, source_sizes);
      } else if (!same(got.sizes(), source_sizes)) {  // the source was larger than the index
        Tensor wide = zeros(source_sizes, got.dtype(), got.device());
        Tensor place = wide;
        for (int i = 0; i < got.dim(); ++i) place = narrow(place, i, 0, got.size(i));
        copy_(place, got);
        got = wide;
      }
      gx[1] = got;
    }
  }
};

Tensor source_view(const Tensor& source, const Tensor& index) {
  Tensor part = source;
  FG_CHECK(source.dim() == index.dim() || source.numel() == 1, Runtime,
           "Index tensor must have the same number of dimensions as src tensor");
  if (source.dim() != index.dim())
    return index.numel() == 1 ? part.alias(index.sizes(), contiguous_strides(index.sizes()), part.offset()) : part;
  for (int i = 0; i < index.dim(); ++i)
    FG_CHECK(index.size(i) <= source.size(i), Runtime, "Expected index ", size_text(index.sizes()),
             " to be no larger than src ", size_text(source.sizes()));
  return source.alias(index.sizes(), source.strides(), source.offset());
}

Ptr<ScatterNode> scatter_node(const Tensor& t, int dim, const Tensor& index, const Tensor& source, Scatter mode) {
  if (!is_inexact(t.dtype()) || !should_record(t, source)) return {};
  FG_CHECK(mode == Scatter::set || mode == Scatter::add, NotImplemented,
           "scatter: the gradient of this reduction is not available");
  auto node = make_node<ScatterNode>(t, source);
  node->dim = dim;
  node->mode = mode;
  node->index.save(index);
  node->source_sizes = source.sizes();
  return node;
}

}  // namespace

Tensor gather(const Tensor& t, int64_t dim, const Tensor& index) {
  int d = wrap_dim(dim, t.dim(), "gather");
  IndexPlan plan = along(t, d, index, "gather");
  Tensor out = take(t, plan, "gather");
  if (should_record(t)) {
    auto node = make_node<GatherBackward0>(t);
    node->dim = d;
    node->sizes = t.sizes();
    node->index.save(index);
    set_history(out, node);
  }
  return out;
}

Tensor scatter(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& source, Scatter mode) {
  const char* op = mode == Scatter::add ? "scatter_add" : "scatter";
  int d = wrap_dim(dim, t.dim(), op);
  check_same_dtype(t, source, op);
  IndexPlan plan = along(t, d, index, op);
  Tensor from = source_view(source, index), out;
  {
    NoGradGuard guard;
    out = clone_contiguous(t);
  }
  IndexPlan to = along(out, d, index, op);
  put(out, to, from, mode, op);
  if (auto node = scatter_node(t, d, index, source, mode)) set_history(out, node);
  return out;
}

void scatter_(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& source, Scatter mode) {
  const char* op = mode == Scatter::add ? "scatter_add_" : "scatter_";
  int d = wrap_dim(dim, t.dim(), op);
  check_same_dtype(t, source, op);
  check_inplace(t, op);
  check_writable_layout(t, op);
  IndexPlan plan = along(t, d, index, op);
  Tensor from = source_view(source, index);
  auto node = scatter_node(t, d, index, source, mode);
  put(t, plan, apart(from, t), mode, op);
  t.bump_version();
  if (node) rebase_history(t, node);
}

}  // namespace fg
