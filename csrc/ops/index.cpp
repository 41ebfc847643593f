// Indexing: gather and scatter along a dimension, rows of a table, advanced indexing, masks, triangles.
//
// Two kernels do all of it (gather, scatter of backend.h). Advanced indexing turns its index tensors into one tensor of
// offsets; a single index tensor is used as it is and checked by the kernel.
#include <cmath>

#include "ops/words.h"

namespace fg {

namespace {

// Where each element of the result of an indexing op comes from: result dims in logical order.
struct Plan {
  DimArray sizes;
  Tensor index;             // int64
  DimArray index_strides;   // over sizes
  DimArray place_strides;   // of the indexed tensor over sizes (0 along index dims)
  int64_t size, stride;     // of the indexed dimension
  int dim;                  // for error texts
  ErrorKind kind = ErrorKind::Index;  // torch's class for an index out of range: RuntimeError for gather and those that write
};

[[noreturn]] void bad_index(const char* op, int64_t bad, int dim, int64_t size, ErrorKind kind = ErrorKind::Index) {
  fail(kind, op, ": index ", bad, " is out of bounds for dimension ", dim, " with size ", size);
}

Tensor as_index(const Tensor& t, const char* op) {
  FG_CHECK(t.dtype() == DType::Int64 || t.dtype() == DType::Int32, Runtime, op, "(): Expected dtype int32/int64 for index");
  NoGradGuard guard;
  return to_dtype(t, DType::Int64);
}

// Only advanced indexing counts negative indices from the end; kernels accept them, so the others look first. Not on other
// devices than the CPU: the answer would have to be waited for.
void refuse_negative(const Plan& plan, const char* op);

void fill_iter(Iter& iter, const Plan& plan, void* out, const int64_t* out_strides, DType dtype, const void* place_data,
               bool scatter_mode, const void* source, const int64_t* source_strides) {
  int n = plan.sizes.n;
  iter.ndim = n;
  iter.inputs = 2;
  iter.numel = count_of(plan.sizes);
  iter.compute = compute_of(dtype);
  iter.host = 0;
  iter.stream = Storage::current_stream(plan.index.device());
  iter.in[0].data = const_cast<void*>(plan.index.data());
  iter.in[0].dtype = DType::Int64;
  iter.out.data = out;
  iter.out.dtype = iter.in[1].dtype = dtype;
  iter.in[1].data = const_cast<void*>(scatter_mode ? source : place_data);
  for (int i = 0; i < n; ++i) {
    int from = n - 1 - i;  // dimension 0 of an Iter moves fastest
    iter.sizes[i] = plan.sizes[from];
    iter.in[0].strides[i] = plan.index_strides[from];
    iter.out.strides[i] = scatter_mode ? plan.place_strides[from] : out_strides[from];
    iter.in[1].strides[i] = scatter_mode ? source_strides[from] : plan.place_strides[from];
  }
}

Tensor take(const Tensor& t, const Plan& plan, const char* op) {
  Tensor out = Tensor::empty(plan.sizes, t.dtype(), t.device());
  if (out.numel() == 0) return out;
  IndexArgs args;
  fill_iter(args.iter, plan, out.mutable_data(), out.strides().data(), t.dtype(), t.data(), false, nullptr, nullptr);
  args.size = plan.size, args.stride = plan.stride, args.mode = Scatter::set, args.bad = 0;
  int64_t status;
  {
    GilRelease release(out.numel());
    status = backend(t.device()).gather(args);
  }
  if (status != -1) bad_index(op, args.bad, plan.dim, plan.size, plan.kind);
  return out;
}

void check_index_device(const Tensor& t, const Tensor& other, const char* op) {
  FG_CHECK(t.device() == other.device(), Runtime, op, ": Expected all tensors to be on the same device, but found at least two "
           "devices, ", device_name(t.device()), " and ", device_name(other.device()), "!");
}

void put(const Tensor& t, const Plan& plan, const Tensor& source, Scatter mode, const char* op) {
  check_index_device(t, source, op);
  if (count_of(plan.sizes) == 0) return;
  Tensor from = source.dtype() == t.dtype() ? source : to_dtype(source, t.dtype());
  int64_t strides[kMaxDims];
  broadcast_strides(from, plan.sizes, strides);
  IndexArgs args;
  fill_iter(args.iter, plan, t.mutable_data(), nullptr, t.dtype(), nullptr, true, from.data(), strides);
  args.size = plan.size, args.stride = plan.stride, args.mode = mode, args.bad = 0;
  int64_t status;
  {
    GilRelease release(args.iter.numel);
    status = backend(t.device()).scatter(args);
  }
  if (status != -1) bad_index(op, args.bad, plan.dim, plan.size, plan.kind);
}

void refuse_negative(const Plan& plan, const char* op) {
  const Tensor& index = plan.index;
  if (!index.device().is_cpu() || index.numel() == 0) return;
  if (index.is_contiguous()) {
    const int64_t* data = index.data<int64_t>();
    int64_t signs = 0;
    for (int64_t i = 0, n = index.numel(); i < n; ++i) signs |= data[i];
    if (signs >= 0) return;
  }
  NoGradGuard guard;
  int64_t low = item(extremum(index, true)).i;
  if (low < 0) bad_index(op, low, plan.dim, plan.size, plan.kind);
}

// ---- gather, scatter along a dimension

Plan along(const Tensor& t, int dim, const Tensor& index, const char* op) {
  Plan plan;
  check_index_device(t, index, op);
  plan.index = as_index(index, op);
  plan.sizes = DimArray(index.sizes());
  plan.index_strides = DimArray(plan.index.strides());
  plan.dim = dim;
  if (t.dim() == 0 && index.dim() <= 1) {
    plan.place_strides.n = index.dim();
    if (index.dim()) plan.place_strides.v[0] = 0;
    plan.size = 1, plan.stride = 1;
    refuse_negative(plan, op);
    return plan;
  }
  FG_CHECK(index.dim() == t.dim() || (index.dim() == 0 && t.dim() == 1), Runtime,
           op, ": Index tensor must have the same number of dimensions as input tensor");
  plan.size = t.size(dim), plan.stride = t.stride(dim);
  plan.kind = ErrorKind::Runtime;
  plan.place_strides = DimArray(t.strides());
  plan.place_strides.n = index.dim();
  if (index.dim()) plan.place_strides.v[dim] = 0;
  for (int i = 0; i < index.dim(); ++i)
    FG_CHECK(i == dim || index.size(i) <= t.size(i), Runtime, op, ": Size does not match at dimension ", i, " expected index ",
             size_text(index.sizes()), " to be no larger than self ", size_text(t.sizes()), " apart from dimension ", dim);
  refuse_negative(plan, op);
  return plan;
}

struct GatherBackward0 final : Node {
  int dim;
  DimList sizes;
  Saved index;
  const char* name() const override { return "GatherBackward0"; }
  void release_saved() override { index.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = scatter(zeros(sizes, g[0].dtype(), g[0].device()), dim, index.unpack(this), g[0], Scatter::add);
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
      gx[0] = mode == Scatter::add ? g[0]
                                   : scatter(g[0], dim, at, zeros(at.sizes(), g[0].dtype(), g[0].device()), Scatter::set);
    if (wants(1)) {
      Tensor got = gather(g[0], dim, at);
      if (!same(got.sizes(), source_sizes)) {  // the source was larger than the index
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
  if (source.dim() != index.dim()) return part;
  for (int i = 0; i < index.dim(); ++i)
    FG_CHECK(index.size(i) <= source.size(i), Runtime, "Expected index ", size_text(index.sizes()),
             " to be no larger than src ", size_text(source.sizes()));
  return source.alias(index.sizes(), source.strides(), source.offset());
}

void check_same_dtype(const Tensor& t, const Tensor& source, const char* op) {
  FG_CHECK(t.dtype() == source.dtype(), Runtime, op, "(): Expected self.dtype to be equal to src.dtype, but got ",
           dtype_name(t.dtype()), " and ", dtype_name(source.dtype()));
}

Ptr<ScatterNode> scatter_node(const Tensor& t, int dim, const Tensor& index, const Tensor& source, Scatter mode) {
  if (!is_floating(t.dtype()) || !should_record(t, source)) return {};
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
  Plan plan = along(t, d, index, "gather");
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
  Plan plan = along(t, d, index, op);
  Tensor from = source_view(source, index), out;
  {
    NoGradGuard guard;
    out = clone(t);
  }
  Plan to = along(out, d, index, op);
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
  Plan plan = along(t, d, index, op);
  Tensor from = source_view(source, index);
  auto node = scatter_node(t, d, index, source, mode);
  put(t, plan, from, mode, op);
  t.bump_version();
  if (node) rebase_history(t, node);
}

// ---- rows: index_select, index_add, embedding

namespace {

Plan rows_plan(const Tensor& t, int dim, const Tensor& index, const char* op, ErrorKind kind = ErrorKind::Runtime) {
  FG_CHECK(index.dim() <= 1, Index, op, "(): Index is supposed to be a vector");
  check_index_device(t, index, op);
  Plan plan;
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
  refuse_negative(plan, op);
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
      gx[1] = alpha.f == 1 ? part : mul(part, alpha);
    }
  }
};

Ptr<IndexAddBackward0> index_add_node(const Tensor& t, int dim, const Tensor& index, const Tensor& source, Scalar alpha) {
  if (!is_floating(t.dtype()) || !should_record(t, source)) return {};
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
    FG_CHECK(i == dim || source.size(i) == t.size(i), Runtime, "source tensor shape must match self tensor shape, excluding the "
             "specified dimension. Got self.shape = ", size_text(t.sizes()), " source.shape = ", size_text(source.sizes()));
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
    out = clone(t);
    put(out, rows_plan(out, d, index, "index_add"), alpha.f == 1 ? source : mul(source, alpha), Scatter::add, "index_add");
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
    put(t, rows_plan(t, d, index, "index_add_"), alpha.f == 1 ? source : mul(source, alpha), Scatter::add, "index_add_");
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
  Plan plan;
  plan.index = as_index(index, "embedding");
  plan.index = contiguous(plan.index);
  int64_t n = index.numel();
  plan.sizes = DimArray{n, weight.size(1)};
  plan.index_strides = DimArray{1, 0};
  plan.place_strides = DimArray{0, weight.stride(1)};
  plan.size = rows, plan.stride = weight.stride(0), plan.dim = 0;
  refuse_negative(plan, "embedding");
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

// ---- masks

namespace {

Tensor flat_nonzero(const Tensor& mask) {  // positions of true elements in logical order
  NoGradGuard guard;
  Tensor bytes = contiguous(mask.dtype() == DType::Bool ? mask : binary(Op::ne, mask, Scalar::of_int(0)));
  const Backend& table = backend(bytes.device());
  Stream stream = Storage::current_stream(bytes.device());
  int64_t n = bytes.numel() ? table.nonzero(bytes.data<uint8_t>(), bytes.numel(), nullptr, stream) : 0;
  Tensor out = Tensor::empty(DimArray{n}, DType::Int64, bytes.device());
  if (n) {
    GilRelease release(bytes.numel());
    table.nonzero(bytes.data<uint8_t>(), bytes.numel(), out.mutable_data<int64_t>(), stream);
  }
  return out;
}

std::vector<Tensor> coordinates(const Tensor& flat, Dims sizes) {
  NoGradGuard guard;
  std::vector<Tensor> out(sizes.size());
  Tensor rest = flat;
  for (int d = static_cast<int>(sizes.size()) - 1; d >= 0; --d) {
    if (flat.numel() == 0 || d == 0) {
      out[d] = rest;
      continue;
    }
    out[d] = binary(Op::remainder, rest, Scalar::of_int(sizes[d]));
    rest = binary(Op::floor_divide, rest, Scalar::of_int(sizes[d]));
  }
  return out;
}

struct MaskedFillNode final : Node {
  const char* name_;
  Saved mask;
  const char* name() const override { return name_; }
  void release_saved() override { mask.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    Tensor m = mask.unpack(this);
    if (wants(0)) gx[0] = sum_to(masked_fill(g[0], m, 0.0), sizes);
    if (wants(1)) gx[1] = sum(where(m, g[0], 0.0));
  }
  DimList sizes;
};

Ptr<MaskedFillNode> masked_fill_node(const Tensor& t, const Tensor& mask, Arg value) {
  if (!is_floating(t.dtype())) return {};
  bool records = value.tensor ? should_record(t, *value.tensor) : should_record(t);
  if (!records) return {};
  auto node = value.tensor ? make_node<MaskedFillNode>(t, *value.tensor) : make_node<MaskedFillNode>(t, Tensor());
  node->name_ = value.tensor ? "MaskedFillBackward1" : "MaskedFillBackward0";
  node->mask.save(mask);
  node->sizes = t.sizes();
  return node;
}

void check_mask(const Tensor& t, const Tensor& mask, Arg value) {
  FG_CHECK(mask.dtype() == DType::Bool, Runtime, "masked_fill only supports boolean masks, but got mask with dtype ",
           dtype_name(mask.dtype()));
  if (value.tensor)
    FG_CHECK(value.tensor->dim() == 0, Runtime, "masked_fill only supports a 0-dimensional value tensor, but got tensor with ",
             value.tensor->dim(), " dimension(s).");
  bool fits = t.dtype() == DType::Bool ||
              (value.tensor ? can_cast(value.tensor->dtype(), t.dtype()) : is_floating(t.dtype()) || std::isfinite(value.scalar.f));
  FG_CHECK(fits, Runtime, "masked_fill: value cannot be converted to type ", dtype_name(t.dtype()), " without overflow");
  (void)broadcast_shapes(t.sizes(), mask.sizes(), "masked_fill");
}

// The value as a number of the category of t: the fraction is cut off for integers.
Arg fill_value(const Tensor& t, const Arg& value) {
  Scalar s = value.tensor ? item(*value.tensor) : value.scalar;
  if (t.dtype() == DType::Bool) return Scalar::of_bool(s.f != 0);
  return is_floating(t.dtype()) ? s : Scalar::of_int(s.param().i);
}

}  // namespace

Tensor nonzero(const Tensor& t) {
  NoGradGuard guard;
  Tensor flat = flat_nonzero(t);
  int64_t n = flat.numel();
  if (t.dim() == 0) return Tensor::empty(DimArray{n, 0}, DType::Int64, t.device());
  std::vector<Tensor> columns = coordinates(flat, t.sizes());
  return transpose(stack(columns, 0), 0, 1);  // each column contiguous, as in torch
}

Tensor masked_select(const Tensor& t, const Tensor& mask) {
  FG_CHECK(mask.dtype() == DType::Bool, Runtime, "masked_select: expected BoolTensor for mask");
  DimArray shape = broadcast_shapes(t.sizes(), mask.sizes(), "masked_select");
  Tensor wide = same(t.sizes(), shape) ? t : expand(t, shape);
  Tensor wide_mask = same(mask.sizes(), shape) ? mask : expand(mask, shape);
  return index_select(reshape(wide, DimArray{-1}), 0, flat_nonzero(wide_mask));
}

Tensor masked_fill(const Tensor& t, const Tensor& mask, Arg value) {
  check_mask(t, mask, value);
  Tensor out;
  {
    NoGradGuard guard;
    out = where(mask, fill_value(t, value), t);
  }
  if (auto node = masked_fill_node(t, mask, value)) set_history(out, node);
  return out;
}

void masked_fill_(const Tensor& t, const Tensor& mask, Arg value) {
  check_mask(t, mask, value);
  check_inplace(t, "masked_fill_");
  check_writable_layout(t, "masked_fill_");
  DimArray shape = broadcast_shapes(t.sizes(), mask.sizes(), "masked_fill_");
  FG_CHECK(same(shape, t.sizes()), Runtime, "masked_fill_: output with shape ", size_text(t.sizes()),
           " doesn't match the broadcast shape ", size_text(shape));
  auto node = masked_fill_node(t, mask, value);
  {
    NoGradGuard guard;
    Tensor plain = t.alias();
    Arg args[] = {mask, fill_value(t, value), plain};
    elementwise(Op::where, args, {}, {}, &plain);
  }
  if (node) rebase_history(t, node);
}

// ---- advanced indexing

namespace {

struct Prepared {
  Plan plan;
  std::vector<Tensor> indices;  // for the nodes
};

// Masks become their positions; the rest is checked and brought to int64.
std::vector<Tensor> expand_masks(const Tensor& t, const std::vector<Tensor>& indices) {
  std::vector<Tensor> out;
  int at = 0;
  for (const Tensor& i : indices) {
    if (!i.defined()) {
      out.push_back(i);
      ++at;
      continue;
    }
    check_index_device(t, i, "index");
    if (i.dtype() == DType::Bool || i.dtype() == DType::UInt8) {
      for (int k = 0; k < i.dim(); ++k)
        FG_CHECK(at + k < t.dim() && i.size(k) == t.size(at + k), Index, "The shape of the mask ", size_text(i.sizes()),
                 " at index ", k, " does not match the shape of the indexed tensor ", size_text(t.sizes()), " at index ", at + k);
      for (Tensor& c : coordinates(flat_nonzero(i), i.sizes())) out.push_back(c);
      if (i.dim() == 0) fail(ErrorKind::Index, "index: a 0-d mask is handled before");
      at += i.dim();
      continue;
    }
    FG_CHECK(is_integral(i.dtype()), Index, "tensors used as indices must be long, int, byte or bool tensors");
    NoGradGuard guard;
    out.push_back(to_dtype(i, DType::Int64));
    ++at;
  }
  FG_CHECK(at <= t.dim(), Index, "too many indices for tensor of dimension ", t.dim());
  while (static_cast<int>(out.size()) < t.dim()) out.emplace_back();
  return out;
}

Plan advanced_plan(const Tensor& t, const std::vector<Tensor>& given) {
  NoGradGuard guard;
  std::vector<Tensor> indices = expand_masks(t, given);
  Plan plan;
  DimArray shape;
  int first = -1, last = -1, count = 0;
  bool started = false;
  for (int d = 0; d < t.dim(); ++d)
    if (indices[d].defined()) {
      try {
        shape = started ? broadcast_shapes(shape, indices[d].sizes(), "index") : DimArray(indices[d].sizes());
      } catch (const Error&) {
        std::string all;
        for (const Tensor& i : indices)
          if (i.defined()) all += (all.empty() ? "" : ", ") + size_text(i.sizes());
        fail(ErrorKind::Index, "shape mismatch: indexing tensors could not be broadcast together with shapes ", all);
      }
      started = true;
      if (first < 0) first = d;
      last = d;
      ++count;
    }
  FG_CHECK(count > 0, Runtime, "index: at least one index tensor is needed for a tensor of shape ", shape_text(t.sizes()));
  FG_CHECK(count > 0, Runtime, "index: at least one index tensor must be provided");
  bool together = last - first + 1 == count;
  int64_t wide[kMaxDims];
  if (count == 1) {
    plan.index = indices[first];
    plan.size = t.size(first), plan.stride = t.stride(first), plan.dim = first;
  } else {
    // Offsets: sum of wrapped index times stride, each index checked against its dimension.
    Tensor total;
    for (int d = 0; d < t.dim(); ++d) {
      if (!indices[d].defined()) continue;
      Tensor i = indices[d];
      int64_t n = t.size(d);
      if (i.numel() && count_of(shape)) {
        int64_t low = item(extremum(i, true)).i, high = item(extremum(i, false)).i;
        if (high >= n) bad_index("index", high, d, n);
        if (low < -n) bad_index("index", low, d, n);
        if (low < 0) i = where(binary(Op::lt, i, Scalar::of_int(0)), add(i, Scalar::of_int(n)), i);
      }
      Tensor part = mul(i, Scalar::of_int(t.stride(d)));
      total = total.defined() ? add(total, part) : part;
    }
    plan.index = total;
    plan.stride = 1, plan.dim = first;
    plan.size = 1;  // offsets are checked already: this is one more than the largest
    for (int d = 0; d < t.dim(); ++d)
      if (indices[d].defined()) plan.size += std::max<int64_t>(t.size(d) - 1, 0) * t.stride(d);
  }
  DimArray full = shape;
  broadcast_strides(plan.index, full, wide);
  auto put_index_dims = [&] {
    for (int i = 0; i < shape.n; ++i) {
      plan.sizes.push(shape[i]);
      plan.index_strides.push(wide[i]);
      plan.place_strides.push(0);
    }
  };
  if (!together) put_index_dims();
  for (int d = 0; d < t.dim(); ++d) {
    if (indices[d].defined()) {
      if (together && d == first) put_index_dims();
      continue;
    }
    plan.sizes.push(t.size(d));
    plan.index_strides.push(0);
    plan.place_strides.push(t.stride(d));
  }
  return plan;
}

// Adds g into zeros of `sizes` at the indices: the gradient of index(), linear in g.
Tensor index_adjoint(const Tensor& g, Dims sizes, const std::vector<Tensor>& indices);

struct IndexAdjointNode final : Node {
  std::vector<Tensor> indices;
  const char* name() const override { return "IndexAdjointBackward0"; }
  void release_saved() override { indices.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (released) fail_released();
    if (wants(0)) gx[0] = index(g[0], indices);
  }
};

Tensor index_adjoint(const Tensor& g, Dims sizes, const std::vector<Tensor>& indices) {
  Tensor out = zeros(sizes, g.dtype(), g.device());
  put(out, advanced_plan(out, indices), g, Scatter::add, "index_put_");
  if (should_record(g)) {
    auto node = make_node<IndexAdjointNode>(g);
    node->indices = indices;
    set_history(out, node);
  }
  return out;
}

struct IndexBackward0 final : Node {
  std::vector<Tensor> indices;
  DimList sizes;
  const char* name() const override { return "IndexBackward0"; }
  void release_saved() override { indices.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (released) fail_released();
    if (wants(0)) gx[0] = index_adjoint(g[0], sizes, indices);
  }
};

struct IndexPutBackward0 final : Node {
  std::vector<Tensor> indices;
  DimList value_sizes;
  bool accumulate;
  const char* name() const override { return "IndexPutBackward0"; }
  void release_saved() override { indices.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (released) fail_released();
    if (wants(0)) {
      if (accumulate) {
        gx[0] = g[0];
      } else {
        Tensor rest = clone(g[0]);
        index_put_(rest, indices, zeros({}, g[0].dtype(), g[0].device()), false);
        gx[0] = rest;
      }
    }
    if (wants(1)) gx[1] = sum_to_leading(index(g[0], indices), value_sizes);
  }
  static Tensor sum_to_leading(const Tensor& t, Dims sizes) {
    // The value may have more leading dimensions of size 1 than the indexed result.
    if (static_cast<int>(sizes.size()) <= t.dim()) return sum_to(t, sizes);
    DimArray inner;
    for (size_t i = sizes.size() - t.dim(); i < sizes.size(); ++i) inner.push(sizes[i]);
    return view(contiguous(sum_to(t, inner)), sizes);
  }
};

}  // namespace

Tensor index(const Tensor& t, const std::vector<Tensor>& indices) {
  Tensor out = take(t, advanced_plan(t, indices), "index");
  if (should_record(t)) {
    auto node = make_node<IndexBackward0>(t);
    node->indices = indices;
    node->sizes = t.sizes();
    set_history(out, node);
  }
  return out;
}

void index_put_(const Tensor& t, const std::vector<Tensor>& indices, const Tensor& value, bool accumulate) {
  check_inplace(t, "index_put_");
  check_writable_layout(t, "index_put_");
  Plan plan = advanced_plan(t, indices);
  Tensor v = value;
  {
    // Leading dimensions of size 1 beyond the result's rank are dropped.
    int extra = v.dim() - plan.sizes.n;
    if (extra > 0) {
      bool ones = true;
      for (int i = 0; i < extra; ++i) ones &= v.size(i) == 1;
      FG_CHECK(ones, Runtime, "shape mismatch: value tensor of shape ", size_text(v.sizes()),
               " cannot be broadcast to indexing result of shape ", size_text(plan.sizes));
      v = v.alias(v.sizes().subspan(extra), v.strides().subspan(extra), v.offset());
    }
    int skip = plan.sizes.n - v.dim();
    for (int i = 0; i < v.dim(); ++i)
      FG_CHECK(v.size(i) == 1 || v.size(i) == plan.sizes[skip + i], Runtime, "shape mismatch: value tensor of shape ",
               size_text(value.sizes()), " cannot be broadcast to indexing result of shape ", size_text(plan.sizes));
  }
  Ptr<IndexPutBackward0> node;
  if (is_floating(t.dtype()) && should_record(t, value)) {
    node = make_node<IndexPutBackward0>(t, value);
    node->indices = indices;
    node->value_sizes = value.sizes();
    node->accumulate = accumulate;
  }
  {
    NoGradGuard guard;
    if (v.shares_storage(t)) v = clone(v);
    put(t, plan, v, accumulate ? Scatter::add : Scatter::set, "index_put_");
  }
  t.bump_version();
  if (node) rebase_history(t, node);
}

// ---- triangles

namespace {

struct TriangleNode final : Node {
  int64_t diagonal;
  bool upper;
  const char* name() const override { return upper ? "TriuBackward0" : "TrilBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = triangle(g[0], diagonal, upper);
  }
};

}  // namespace

void triangle_(const Tensor& t, int64_t diagonal, bool upper) {
  const char* op = upper ? "triu_" : "tril_";
  check_inplace(t, op);
  check_writable_layout(t, op);
  Ptr<TriangleNode> node;
  if (should_record(t)) {
    node = make_node<TriangleNode>(t);
    node->diagonal = diagonal;
    node->upper = upper;
  }
  {
    NoGradGuard guard;
    raw_copy(t, triangle(t, diagonal, upper));
  }
  t.bump_version();
  if (node) rebase_history(t, node);
}

Tensor triangle(const Tensor& t, int64_t diagonal, bool upper) {
  FG_CHECK(t.dim() >= 2, Runtime, upper ? "triu" : "tril", ": input tensor must have at least 2 dimensions");
  Tensor x = t;
  if (!t.is_contiguous()) {
    NoGradGuard guard;
    x = contiguous(t);
  }
  Tensor out = Tensor::empty(x.sizes(), x.dtype(), x.device());
  if (out.numel()) {
    int64_t rows = x.size(x.dim() - 2), columns = x.size(x.dim() - 1);
    GilRelease release(x.numel());
    backend(x.device()).triangle(out.mutable_data(), x.data(), x.item_bytes(), x.numel() / (rows * columns), rows, columns,
                                 diagonal, upper, Storage::current_stream(x.device()));
  }
  if (should_record(t)) {
    auto node = make_node<TriangleNode>(t);
    node->diagonal = diagonal;
    node->upper = upper;
    set_history(out, node);
  }
  return out;
}

}  // namespace fg
