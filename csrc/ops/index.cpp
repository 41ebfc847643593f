// Advanced indexing, x[i, mask, :]: reading and writing through several index tensors at once.
//
// The index tensors become one tensor of offsets; a single one is used as it is and checked by the kernel.
#include "core/layout.h"
#include "ops/index_plan.h"
#include "ops/words.h"

namespace fg {

namespace {

struct Prepared {
  IndexPlan plan;
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
                 " at index ", k, " does not match the shape of the indexed tensor ", size_text(t.sizes()),
                 " at index ", at + k);
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

// Sums of wrapped index times stride, each index checked against its dimension, by ops.
Tensor offsets_by_ops(const Tensor& t, const std::vector<Tensor>& indices, Dims shape) {
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
  return total;
}

// The same, of the shape of the indices together where a kernel adds them up at once: when none is repeated.
Tensor joint_offsets(const Tensor& t, const std::vector<Tensor>& indices, Dims shape) {
  auto kernel = backend(t.device()).offsets;
  const int64_t* data[kMaxDims];
  int64_t sizes[kMaxDims], strides[kMaxDims];
  std::vector<Tensor> dense;
  OffsetArgs args{};
  for (int d = 0; d < t.dim(); ++d) {
    if (!indices[d].defined()) continue;
    if (!kernel || indices[d].numel() != count_of(shape) || count_of(shape) == 0)
      return offsets_by_ops(t, indices, shape);
    dense.push_back(contiguous(indices[d]));
    data[args.count] = dense.back().data<int64_t>();
    sizes[args.count] = t.size(d), strides[args.count] = t.stride(d);
    ++args.count;
  }
  Tensor total = Tensor::empty(shape, DType::Int64, t.device());
  args.out = total.mutable_data<int64_t>();
  args.n = total.numel();
  args.indices = data, args.sizes = sizes, args.strides = strides;
  args.stream = Storage::current_stream(t.device());
  int64_t wrong;
  {
    GilRelease release(args.n);
    wrong = kernel(args);
  }
  if (wrong >= 0) {
    int dim = 0;
    for (int d = 0; d < t.dim(); ++d)
      if (indices[d].defined() && wrong-- == 0) dim = d;
    bad_index("index", args.bad, dim, t.size(dim));
  }
  return total;
}

// One mask and nothing else, over dimensions of t that lie in memory like one: its positions are the index.
bool mask_plan(const Tensor& t, const std::vector<Tensor>& given, IndexPlan& plan) {
  int first = -1;
  for (int i = 0; i < static_cast<int>(given.size()); ++i) {
    if (!given[i].defined()) continue;
    if (first >= 0) return false;
    first = i;
  }
  if (first < 0 || given[first].dtype() != DType::Bool) return false;
  const Tensor& mask = given[first];
  const int last = first + mask.dim() - 1;
  if (mask.dim() < 2 || last >= t.dim() || mask.device() != t.device()) return false;
  for (int d = first; d <= last; ++d) {
    if (mask.size(d - first) != t.size(d)) return false;
    if (d < last && t.stride(d) != stride_times(t.stride(d + 1), t.size(d + 1))) return false;
  }
  plan.index = flat_nonzero(mask);
  plan.size = mask.numel(), plan.stride = t.stride(last), plan.dim = first;
  for (int d = 0; d < t.dim(); ++d) {
    if (d > first && d <= last) continue;
    plan.sizes.push(d == first ? plan.index.numel() : t.size(d));
    plan.index_strides.push(d == first ? 1 : 0);
    plan.place_strides.push(d == first ? 0 : t.stride(d));
  }
  return true;
}

IndexPlan advanced_plan(const Tensor& t, const std::vector<Tensor>& given) {
  NoGradGuard guard;
  if (IndexPlan plan; mask_plan(t, given, plan)) return plan;
  std::vector<Tensor> indices = expand_masks(t, given);
  IndexPlan plan;
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
  FG_CHECK(count > 0, Runtime, "index: at least one index tensor is needed for a tensor of shape ",
           shape_text(t.sizes()));
  FG_CHECK(count > 0, Runtime, "index: at least one index tensor must be provided");
  bool together = last - first + 1 == count;
  int64_t wide[kMaxDims];
  if (count == 1) {
    plan.index = indices[first];
    plan.size = t.size(first), plan.stride = t.stride(first), plan.dim = first;
  } else {
    const Tensor total = joint_offsets(t, indices, shape);
    plan.index = total;
    plan.stride = 1, plan.dim = first;
    plan.size = 1;  // offsets are checked already: this is one more than the largest
    for (int d = 0; d < t.dim(); ++d)
      if (indices[d].defined()) plan.size = moved(plan.size, std::max<int64_t>(t.size(d) - 1, 0), t.stride(d));
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

// The index tensors of a node, undefined for whole dimensions: an index or mask that was changed since is an error.
class SavedIndices {
 public:
  void save(const std::vector<Tensor>& indices) {
    count_ = indices.size();
    saved_ = std::make_unique<Saved[]>(count_);
    for (size_t i = 0; i < count_; ++i) saved_[i].save(indices[i]);
  }
  std::vector<Tensor> unpack(Node* owner) const {
    if (owner->released) fail_released();
    std::vector<Tensor> out(count_);
    for (size_t i = 0; i < count_; ++i) out[i] = saved_[i].unpack(owner);
    return out;
  }
  void clear() { saved_.reset(); }

 private:
  std::unique_ptr<Saved[]> saved_;
  size_t count_ = 0;
};

// Adds g into zeros of `sizes` at the indices: the gradient of index(), linear in g.
Tensor index_adjoint(const Tensor& g, Dims sizes, const std::vector<Tensor>& indices);

struct IndexAdjointNode final : Node {
  SavedIndices indices;
  const char* name() const override { return "IndexAdjointBackward0"; }
  void release_saved() override { indices.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = index(g[0], indices.unpack(this));
  }
};

Tensor index_adjoint(const Tensor& g, Dims sizes, const std::vector<Tensor>& indices) {
  Tensor out = zeros(sizes, g.dtype(), g.device());
  put(out, advanced_plan(out, indices), g, Scatter::add, "index_put_");
  if (should_record(g)) {
    auto node = make_node<IndexAdjointNode>(g);
    node->indices.save(indices);
    set_history(out, node);
  }
  return out;
}

struct IndexBackward0 final : Node {
  SavedIndices indices;
  DimList sizes;
  const char* name() const override { return "IndexBackward0"; }
  void release_saved() override { indices.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = index_adjoint(g[0], sizes, indices.unpack(this));
  }
};

struct IndexPutBackward0 final : Node {
  SavedIndices indices;
  DimList value_sizes;
  bool accumulate;
  const char* name() const override { return "IndexPutBackward0"; }
  void release_saved() override { indices.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    std::vector<Tensor> at = indices.unpack(this);
    if (wants(0)) {
      if (accumulate) {
        gx[0] = g[0];
      } else {
        Tensor rest = clone(g[0]);
        index_put_(rest, at, zeros({}, g[0].dtype(), g[0].device()), false);
        gx[0] = rest;
      }
    }
    if (wants(1)) gx[1] = sum_to_leading(index(g[0], at), value_sizes);
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
    node->indices.save(indices);
    node->sizes = t.sizes();
    set_history(out, node);
  }
  return out;
}

Tensor value_to_put(const Tensor& t, const std::vector<Tensor>& indices, const Tensor& value, bool accumulate) {
  if (value.dtype() == t.dtype()) return value;
  int masks = 0, others = 0;
  for (const Tensor& i : indices)
    if (i.defined()) (i.dtype() == DType::Bool || i.dtype() == DType::UInt8 ? masks : others) += 1;
  bool fills = !accumulate && value.numel() == 1 && masks == 1 && others == 0;
  FG_CHECK(fills, Runtime, "Index put requires the source and destination dtypes match, got ", dtype_name(t.dtype()),
           " for the destination and ", dtype_name(value.dtype()), " for the source.");
  number_for(item(value), t.dtype(), true);
  return to_dtype(value, t.dtype());
}

void index_put_(const Tensor& t, const std::vector<Tensor>& indices, const Tensor& value, bool accumulate) {
  check_inplace(t, "index_put_");
  check_writable_layout(t, "index_put_");
  IndexPlan plan = advanced_plan(t, indices);
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
  if (is_inexact(t.dtype()) && should_record(t, value)) {
    node = make_node<IndexPutBackward0>(t, value);
    node->indices.save(indices);
    node->value_sizes = value.sizes();
    node->accumulate = accumulate;
  }
  {
    NoGradGuard guard;
    put(t, plan, apart(v, t), accumulate ? Scatter::add : Scatter::set, "index_put_");
  }
  t.bump_version();
  if (node) rebase_history(t, node);
}

}  // namespace fg
