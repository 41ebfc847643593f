// Whole rows picked by one index tensor: index_select, index_add, embedding.
#include "ops/index_plan.h"

namespace fg {

namespace {

IndexPlan rows_plan(const Tensor& t, int dim, const Tensor& index, const char* op,
                    ErrorKind kind = ErrorKind::Runtime) {
  FG_CHECK(index.dim() <= 1, Index, op, "(): Index is supposed to be a vector");
  check_index_device(t, index, op);
  IndexPlan plan;
  plan.index = as_index(index, op);
  int64_t n = index.dim() ? index.size(0) : 1;
  plan.dim = dim;
  plan.kind = kind;
  if (t.dim() == 0) {
    FG_CHECK(n == 1, Runtime, op, "(): Index to scalar can have only 1 value, got ", n, " value(s)");
    plan.size = 1, plan.stride = 1;
    return plan;
  }
  plan.sizes = DimArray(t.sizes());
  plan.sizes.v[dim] = n;
  plan.place_strides = DimArray(t.strides());
  plan.place_strides.v[dim] = 0;
  plan.index_strides.n = t.dim();
  for (int i = 0; i < t.dim(); ++i) plan.index_strides.v[i] = 0;
  plan.index_strides.v[dim] = index.dim() ? plan.index.stride(0) : 0;
  plan.size = t.size(dim), plan.stride = t.stride(dim);
  plan.no_wrap = true;
  return plan;
}

struct IndexSelectBackward0 final : Node {
  int dim;
  DimList sizes;
  Saved index;
  const char* name() const override { return "IndexSelectBackward0"; }
  void release_saved() override { index.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0))
      gx[0] = index_add(zeros(sizes, g[0].dtype(), g[0].device()), dim, index.unpack(this), g[0], Scalar::of_int(1));
  }
};

struct IndexAddBackward0 final : Node {
  int dim;
  Scalar alpha;
  Saved index;
  const char* name() const override { return "IndexAddBackward0"; }
  void release_saved() override { index.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = g[0];
    if (wants(1)) {
      Tensor part = index_select(g[0], dim, index.unpack(this));
      gx[1] = alpha.f == 1 && alpha.imaginary == 0 ? part : mul(part, conj(alpha));
    }
  }
};

Ptr<IndexAddBackward0> index_add_node(const Tensor& t, int dim, const Tensor& index, const Tensor& source,
                                      Scalar alpha) {
  if (!is_inexact(t.dtype()) || !should_record(t, source)) return {};
  auto node = make_node<IndexAddBackward0>(t, source);
  node->dim = dim;
  node->alpha = alpha;
  node->index.save(index);
  return node;
}

void check_index_add(const Tensor& t, int dim, const Tensor& index, const Tensor& source) {
  check_same_dtype(t, source, "index_add_");
  int64_t n = index.dim() ? index.size(0) : 1;
  FG_CHECK(source.dim() == t.dim() && (t.dim() == 0 || source.size(dim) == n), Runtime,
           "index_add_(): Number of indices (", n, ") should be equal to source.size(dim): (",
           source.dim() ? source.size(std::min(dim, source.dim() - 1)) : 1, "), for dim: ", dim);
  for (int i = 0; i < t.dim(); ++i)
    FG_CHECK(i == dim || source.size(i) == t.size(i), Runtime,
             "source tensor shape must match self tensor shape, excluding the "
             "specified dimension. Got self.shape = ",
             size_text(t.sizes()), " source.shape = ", size_text(source.sizes()));
}

}  // namespace

Tensor index_select(const Tensor& t, int64_t dim, const Tensor& index) {
  int d = wrap_dim(dim, t.dim(), "index_select");
  Tensor out = take(t, rows_plan(t, d, index, "index_select", ErrorKind::Index), "index_select");
  if (should_record(t)) {
    auto node = make_node<IndexSelectBackward0>(t);
    node->dim = d;
    node->sizes = t.sizes();
    node->index.save(index);
    set_history(out, node);
  }
  return out;
}

Tensor index_add(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha) {
  int d = wrap_dim(dim, t.dim(), "index_add");
  check_index_add(t, d, index, source);
  Tensor out;
  {
    NoGradGuard guard;
    out = clone_contiguous(t);
    put(out, rows_plan(out, d, index, "index_add"), alpha.f == 1 && alpha.imaginary == 0 ? source : mul(source, alpha),
        Scatter::add, "index_add");
  }
  if (auto node = index_add_node(t, d, index, source, alpha)) set_history(out, node);
  return out;
}

void index_add_(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha) {
  int d = wrap_dim(dim, t.dim(), "index_add_");
  check_index_add(t, d, index, source);
  check_inplace(t, "index_add_");
  check_writable_layout(t, "index_add_");
  auto node = index_add_node(t, d, index, source, alpha);
  {
    NoGradGuard guard;
    put(t, rows_plan(t, d, index, "index_add_"),
        alpha.f == 1 && alpha.imaginary == 0 ? apart(source, t) : mul(source, alpha), Scatter::add, "index_add_");
  }
  t.bump_version();
  if (node) rebase_history(t, node);
}

namespace {

Tensor embedding_gradient(const Tensor& g, const Tensor& index, int64_t rows, int64_t padding, bool by_frequency);

struct EmbeddingGradBackward final : Node {
  int64_t padding;
  Saved index;
  const char* name() const override { return "EmbeddingDenseBackwardBackward0"; }
  void release_saved() override { index.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (!wants(0)) return;
    Tensor at = index.unpack(this);
    Tensor got = embedding(g[0], at, -1, false);
    gx[0] = padding < 0 ? got : masked_fill(got, unsqueeze(binary(Op::eq, at, Scalar::of_int(padding)), -1), 0.0);
  }
};

struct EmbeddingBackward0 final : Node {
  int64_t rows, padding;
  bool by_frequency;
  Saved index;
  const char* name() const override { return "EmbeddingBackward0"; }
  void release_saved() override { index.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = embedding_gradient(g[0], index.unpack(this), rows, padding, by_frequency);
  }
};

Tensor embedding_gradient(const Tensor& g, const Tensor& index, int64_t rows, int64_t padding, bool by_frequency) {
  int64_t width = g.size(g.dim() - 1);
  Tensor out;
  {
    NoGradGuard guard;
    out = zeros(DimArray{rows, width}, g.dtype(), g.device());
    Tensor flat = reshape(index, DimArray{-1});
    Tensor values = reshape(g, DimArray{flat.size(0), width});
    if (by_frequency) {
      Tensor counts = zeros(DimArray{rows}, g.dtype(), g.device());
      put(counts, rows_plan(counts, 0, flat, "embedding"), full(flat.sizes(), Scalar::of(1), g.dtype(), g.device()),
          Scatter::add, "embedding");
      values = div(values, unsqueeze(index_select(counts, 0, flat), 1));
    }
    put(out, rows_plan(out, 0, flat, "embedding"), values, Scatter::add, "embedding");
    if (padding >= 0) fill_(select(out, 0, padding), Scalar::of(0));
  }
  if (should_record(g)) {
    FG_CHECK(!by_frequency, NotImplemented, "embedding: scale_grad_by_freq does not support double backward");
    auto node = make_node<EmbeddingGradBackward>(g);
    node->padding = padding;
    node->index.save(index);
    set_history(out, node);
  }
  return out;
}

}  // namespace

Tensor embedding(const Tensor& weight, const Tensor& index, int64_t padding, bool by_frequency) {
  FG_CHECK(weight.dim() == 2, Runtime, "'weight' must be 2-D");
  FG_CHECK(index.dtype() == DType::Int64 || index.dtype() == DType::Int32, Runtime,
           "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got ",
           type_text(index), " instead (while checking arguments for embedding)");
  int64_t rows = weight.size(0);
  check_index_device(weight, index, "embedding");
  IndexPlan plan;
  plan.index = as_index(index, "embedding");
  plan.index = contiguous(plan.index);
  int64_t n = index.numel();
  plan.sizes = DimArray{n, weight.size(1)};
  plan.index_strides = DimArray{1, 0};
  plan.place_strides = DimArray{0, weight.stride(1)};
  plan.size = rows, plan.stride = weight.stride(0), plan.dim = 0;
  plan.no_wrap = true;
  Tensor out = take(weight, plan, "embedding");
  DimArray shape(index.sizes());
  shape.push(weight.size(1));
  out = out.alias(shape, contiguous_strides(shape), 0);
  if (should_record(weight)) {
    auto node = make_node<EmbeddingBackward0>(weight);
    node->rows = rows, node->padding = padding, node->by_frequency = by_frequency;
    node->index.save(index);
    set_history(out, node);
  }
  return out;
}

}  // namespace fg
