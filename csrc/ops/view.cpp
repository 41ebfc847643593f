// Views: the same bytes under another layout, and their gradients.
//
// select, slice, diagonal and unfold are one mechanism: a ViewSpec. Their gradient is the adjoint map (zeros with g written
// into the view), whose own gradient is the view again.
#include "ops/ops.h"

namespace fg {

namespace {

Tensor record_view(Tensor out, const Tensor& of, const Ptr<Node>& node) {
  mark_view(out, of);
  if (node) set_history(out, node);
  return out;
}

template <class N>
Ptr<N> view_node(const Tensor& t) {
  return should_record(t) && is_floating(t.dtype()) ? make_node<N>(t) : Ptr<N>();
}

// Reshapes of every kind: the gradient takes the shape of the input.
struct ReshapeNode final : Node {
  const char* name_ = "ViewBackward0";
  DimList sizes;
  const char* name() const override { return name_; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = reshape(g[0], sizes);
  }
};

Tensor reshaped(const Tensor& t, Dims sizes, Dims strides, const char* node_name) {
  auto node = view_node<ReshapeNode>(t);
  if (node) node->name_ = node_name, node->sizes = t.sizes();
  return record_view(t.alias(sizes, strides, t.offset()), t, node);
}

struct PermuteNode final : Node {
  const char* name_ = "PermuteBackward0";
  DimList dims;
  const char* name() const override { return name_; }
  void apply(Tensor* g, Tensor* gx) override {
    if (!wants(0)) return;
    DimArray inverse;
    inverse.n = dims.size();
    for (int i = 0; i < dims.size(); ++i) inverse.v[dims[i]] = i;
    gx[0] = permute(g[0], inverse);
  }
};

struct SwapNode final : Node {
  const char* name_;
  int a, b;
  const char* name() const override { return name_; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = transpose(g[0], a, b);
  }
};

struct ExpandBackward0 final : Node {
  DimList sizes;
  const char* name() const override { return "ExpandBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = sum_to(g[0], sizes);
  }
};

struct AliasBackward0 final : Node {
  const char* name() const override { return "AliasBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = g[0];
  }
};

// Adds `g`, laid out as a view (sizes, strides, offset) of a dense run of `extent` elements, into zeros of that run.
Tensor scatter_view(const Tensor& g, int64_t extent, Dims sizes, Dims strides, int64_t offset) {
  Tensor flat = zeros(DimArray{extent}, g.dtype(), g.device());
  Tensor place = flat.alias(sizes, strides, offset);
  // Elements may fall on one place: dimensions of stride 0, or windows that overlap.
  bool overlap = !place.is_dense();
  if (overlap) {
    DimArray order;
    for (int i = 0; i < place.dim(); ++i)
      if (sizes[i] != 1) order.push(i);
    for (int i = 1; i < order.n; ++i)
      for (int j = i; j > 0 && strides[order[j - 1]] > strides[order[j]]; --j) std::swap(order.v[j - 1], order.v[j]);
    overlap = false;
    int64_t reach = 0;
    for (int i = 0; i < order.n; ++i) {
      overlap |= strides[order[i]] <= reach;
      reach += (sizes[order[i]] - 1) * strides[order[i]];
    }
  }
  if (!overlap) {
    raw_copy(place, g);
    return flat;
  }
  Tensor positions = arange(Scalar::of_int(0), Scalar::of_int(extent), Scalar::of_int(1), DType::Int64, g.device());
  Tensor index = contiguous(positions.alias(sizes, strides, offset));
  scatter_(flat, 0, reshape(index, DimArray{-1}), reshape(g, DimArray{-1}), Scatter::add);
  return flat;
}

// ---- select, slice, diagonal, unfold

struct ViewSpec {
  enum Kind { Select, Slice, Diagonal, Unfold } kind;
  int64_t a, b, c, d;
};

struct Shape {
  DimArray sizes, strides;
  int64_t offset;
};

// Where the view lies in a tensor of this shape; arguments are checked and non-negative.
Shape shape_of(const ViewSpec& spec, Dims sizes, Dims strides, int64_t offset) {
  Shape out{DimArray(sizes), DimArray(strides), offset};
  auto drop = [&](int dim) {
    for (int i = dim; i + 1 < out.sizes.n; ++i) {
      out.sizes.v[i] = out.sizes.v[i + 1];
      out.strides.v[i] = out.strides.v[i + 1];
    }
    --out.sizes.n, --out.strides.n;
  };
  switch (spec.kind) {
    case ViewSpec::Select:  // dim, index
      out.offset += spec.b * strides[spec.a];
      drop(static_cast<int>(spec.a));
      break;
    case ViewSpec::Slice:  // dim, start, length, step
      out.offset += spec.b * strides[spec.a];
      out.sizes.v[spec.a] = spec.c;
      out.strides.v[spec.a] = strides[spec.a] * spec.d;
      break;
    case ViewSpec::Diagonal: {  // offset, dim1, dim2
      int64_t row = spec.a < 0 ? -spec.a : 0, column = spec.a > 0 ? spec.a : 0;
      int64_t n = std::max<int64_t>(std::min(sizes[spec.b] - row, sizes[spec.c] - column), 0);
      if (n) out.offset += row * strides[spec.b] + column * strides[spec.c];
      int64_t step = strides[spec.b] + strides[spec.c];
      drop(static_cast<int>(std::max(spec.b, spec.c)));
      drop(static_cast<int>(std::min(spec.b, spec.c)));
      out.sizes.push(n);
      out.strides.push(step);
      break;
    }
    case ViewSpec::Unfold:  // dim, size, step, count
      out.sizes.v[spec.a] = spec.d;
      out.strides.v[spec.a] = strides[spec.a] * spec.c;
      out.sizes.push(spec.b);
      out.strides.push(strides[spec.a]);
      break;
  }
  return out;
}

const char* spec_name(ViewSpec::Kind kind) {
  switch (kind) {
    case ViewSpec::Select: return "SelectBackward0";
    case ViewSpec::Slice: return "SliceBackward0";
    case ViewSpec::Diagonal: return "DiagonalBackward0";
    default: return "UnfoldBackward0";
  }
}

Tensor view_with(const Tensor& t, const ViewSpec& spec);

struct AdjointNode final : Node {
  ViewSpec spec;
  const char* name() const override { return "ViewAdjointBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = view_with(g[0], spec);
  }
};

Tensor adjoint(const Tensor& g, Dims sizes, const ViewSpec& spec) {
  Shape place = shape_of(spec, sizes, contiguous_strides(sizes), 0);
  Tensor flat = scatter_view(g, count_of(sizes), place.sizes, place.strides, place.offset);
  Tensor out = flat.alias(sizes, contiguous_strides(sizes), 0);
  if (should_record(g)) {
    auto node = make_node<AdjointNode>(g);
    node->spec = spec;
    set_history(out, node);
  }
  return out;
}

struct SpecNode final : Node {
  ViewSpec spec;
  DimList sizes;
  const char* name() const override { return spec_name(spec.kind); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = adjoint(g[0], sizes, spec);
  }
};

Tensor view_with(const Tensor& t, const ViewSpec& spec) {
  Shape s = shape_of(spec, t.sizes(), t.strides(), t.offset());
  auto node = view_node<SpecNode>(t);
  if (node) node->spec = spec, node->sizes = t.sizes();
  return record_view(t.alias(s.sizes, s.strides, s.offset), t, node);
}

// ---- as_strided

struct StridedAdjoint;

struct AsStridedBackward0 final : Node {
  DimList base_sizes, base_strides, sizes, strides;
  int64_t offset;  // from the base's first element
  const char* name() const override { return "AsStridedBackward0"; }
  void apply(Tensor* g, Tensor* gx) override;
};

Tensor strided_adjoint(const Tensor& g, const AsStridedBackward0& at);

int64_t extent_of(Dims sizes, Dims strides) {
  int64_t n = 1;
  for (size_t i = 0; i < sizes.size(); ++i) n += (sizes[i] - 1) * strides[i];
  return count_of(sizes) ? n : 0;
}

// Elements of a run that holds the base (from `shift` on) and the view, which may start before its base.
template <class N>
int64_t run_of(const N& at, int64_t& shift) {
  shift = std::max<int64_t>(0, -at.offset);
  return shift + std::max(extent_of(at.base_sizes, at.base_strides), at.offset + extent_of(at.sizes, at.strides));
}

struct StridedAdjoint final : Node {
  DimList base_sizes, base_strides, sizes, strides;
  int64_t offset;
  const char* name() const override { return "AsStridedAdjointBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (!wants(0)) return;
    int64_t shift, extent = run_of(*this, shift);
    Tensor flat = zeros(DimArray{extent}, g[0].dtype(), g[0].device());
    copy_(as_strided(flat, base_sizes, base_strides, shift), g[0]);
    gx[0] = as_strided(flat, sizes, strides, offset + shift);
  }
};

Tensor strided_adjoint(const Tensor& g, const AsStridedBackward0& at) {
  int64_t shift, extent = run_of(at, shift);
  Tensor flat = scatter_view(g, extent, at.sizes, at.strides, at.offset + shift);
  Tensor out = flat.alias(at.base_sizes, at.base_strides, shift);
  if (should_record(g)) {
    auto node = make_node<StridedAdjoint>(g);
    node->base_sizes = at.base_sizes, node->base_strides = at.base_strides;
    node->sizes = at.sizes, node->strides = at.strides, node->offset = at.offset;
    set_history(out, node);
  }
  return out;
}

void AsStridedBackward0::apply(Tensor* g, Tensor* gx) {
  if (wants(0)) gx[0] = strided_adjoint(g[0], *this);
}

// Strides of a view of (sizes, strides) with other sizes; false when the elements do not lie so.
bool view_strides(Dims sizes, Dims strides, Dims to, DimArray& out) {
  out.n = static_cast<int>(to.size());
  if (count_of(sizes) == 0) {
    out = contiguous_strides(to);
    return true;
  }
  int v = out.n - 1;
  int64_t base = sizes.empty() ? 1 : strides.back();
  int64_t run = 1, taken = 1;
  for (int i = static_cast<int>(sizes.size()) - 1; i >= 0; --i) {
    run *= sizes[i];
    bool ends = i == 0 || (sizes[i - 1] != 1 && strides[i - 1] != run * base);
    if (!ends) continue;
    while (v >= 0 && (taken < run || to[v] == 1)) {
      out.v[v] = taken * base;
      taken *= to[v];
      --v;
    }
    if (taken != run) return false;
    if (i > 0) {
      base = strides[i - 1];
      run = taken = 1;
    }
  }
  if (sizes.empty())
    for (; v >= 0; --v) out.v[v] = 1;
  return v == -1;
}

DimArray infer_size(Dims wanted, int64_t numel, const char* op) {
  DimArray out(wanted);
  int unknown = -1;
  int64_t known = 1;
  for (int i = 0; i < out.n; ++i) {
    if (out.v[i] == -1) {
      FG_CHECK(unknown < 0, Runtime, op, ": only one dimension can be inferred");
      unknown = i;
    } else {
      FG_CHECK(out.v[i] >= 0, Runtime, op, ": invalid shape dimension ", out.v[i]);
      FG_CHECK(!__builtin_mul_overflow(known, out.v[i], &known), Runtime, op, ": shape '", size_text(wanted), "' is too large");
    }
  }
  if (unknown >= 0) {
    FG_CHECK(known != 0, Runtime, op, ": cannot reshape tensor of 0 elements into shape ", size_text(wanted),
             " because the unspecified dimension size -1 can be any value and is ambiguous");
    FG_CHECK(numel % known == 0, Runtime, op, ": shape '", size_text(wanted), "' is invalid for input of size ", numel);
    out.v[unknown] = numel / known;
  } else {
    FG_CHECK(known == numel, Runtime, op, ": shape '", size_text(wanted), "' is invalid for input of size ", numel);
  }
  return out;
}

}  // namespace

Tensor as_strided(const Tensor& t, Dims sizes, Dims strides, int64_t offset) {
  FG_CHECK(sizes.size() == strides.size(), Runtime, "as_strided: mismatch in length of strides and shape");
  int64_t reach = offset + 1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    FG_CHECK(sizes[i] >= 0, Runtime, "as_strided: negative size ", sizes[i]);
    FG_CHECK(strides[i] >= 0, Runtime, "as_strided: Negative strides are not supported at the moment, got strides: ",
             size_text(strides));
    int64_t span = 0;
    bool bad = __builtin_mul_overflow(sizes[i] - 1, strides[i], &span) || __builtin_add_overflow(reach, span, &reach);
    FG_CHECK(!bad, Runtime, "as_strided: sizes ", size_text(sizes), " and strides ", size_text(strides), " are too large");
  }
  FG_CHECK(offset >= 0, Runtime, "Tensor: invalid storage offset ", offset);
  int64_t available = static_cast<int64_t>(t.storage().bytes()) / t.item_bytes();
  FG_CHECK(count_of(sizes) == 0 || reach <= available, Runtime, "as_strided: setStorage: sizes ", size_text(sizes), ", strides ",
           size_text(strides), ", storage offset ", offset, " requiring a storage of ", reach, " elements are out of bounds for "
           "storage of size ", t.storage().bytes(), " bytes (", available, " elements)");
  auto node = view_node<AsStridedBackward0>(t);
  if (node) {
    node->base_sizes = t.sizes(), node->base_strides = t.strides();
    node->sizes = sizes, node->strides = strides;
    node->offset = offset - t.offset();
  }
  return record_view(t.alias(sizes, strides, offset), t, node);
}

Node* make_as_strided_node(const Tensor& base, const Tensor& view) {
  auto node = make_node<AsStridedBackward0>(base);
  node->base_sizes = base.sizes(), node->base_strides = base.strides();
  node->sizes = view.sizes(), node->strides = view.strides();
  node->offset = view.offset() - base.offset();
  return node.detach();
}

Tensor view(const Tensor& t, Dims wanted) {
  DimArray sizes = infer_size(wanted, t.numel(), "view"), strides;
  FG_CHECK(view_strides(t.sizes(), t.strides(), sizes, strides), Runtime,
           "view: view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
           "contiguous subspaces). Use .reshape(...) instead.");
  return reshaped(t, sizes, strides, "ViewBackward0");
}

Tensor view_dtype(const Tensor& t, DType dtype) {
  if (dtype == t.dtype()) return alias(t);
  int64_t from = t.item_bytes(), to = item_size(dtype);
  DimArray sizes(t.sizes()), strides(t.strides());
  int64_t offset = t.offset();
  if (from != to) {
    FG_CHECK(t.dim() > 0, Runtime, "self.dim() cannot be 0 to view ", dtype_name(t.dtype()), " as ", dtype_name(dtype),
             " (different element sizes)");
    int last = t.dim() - 1;
    FG_CHECK(strides[last] == 1, Runtime, "self.stride(-1) must be 1 to view ", dtype_name(t.dtype()), " as ",
             dtype_name(dtype), " (different element sizes), but got ", strides[last]);
    if (from > to) {
      int64_t k = from / to;
      sizes.v[last] *= k;
      for (int i = 0; i < last; ++i) strides.v[i] *= k;
      offset *= k;
    } else {
      int64_t k = to / from;
      bool fits = sizes[last] % k == 0 && offset % k == 0;
      for (int i = 0; i < last; ++i) fits &= strides[i] % k == 0;
      FG_CHECK(fits, Runtime, "view: a tensor of shape ", size_text(t.sizes()), " and dtype ", dtype_name(t.dtype()),
               " cannot be viewed as ", dtype_name(dtype), ": sizes, strides and offset must be divisible by ", k);
      sizes.v[last] /= k;
      for (int i = 0; i < last; ++i) strides.v[i] /= k;
      offset /= k;
    }
  }
  Tensor out = t.alias();
  out.impl()->dtype = dtype;
  out.impl()->offset = offset;
  out.impl()->set_dims(sizes, strides);
  return out;
}

Tensor reshape(const Tensor& t, Dims wanted) {
  DimArray sizes = infer_size(wanted, t.numel(), "reshape"), strides;
  if (view_strides(t.sizes(), t.strides(), sizes, strides)) return reshaped(t, sizes, strides, "ViewBackward0");
  Tensor copy = contiguous(t);
  return reshaped(copy, sizes, contiguous_strides(sizes), "UnsafeViewBackward0");
}

Tensor unsafe_view(const Tensor& t, Dims sizes) {
  Tensor out = t.alias(sizes, contiguous_strides(sizes), t.offset());
  if (should_record(t)) {
    auto node = make_node<ReshapeNode>(t);
    node->name_ = "UnsafeViewBackward0";
    node->sizes = t.sizes();
    set_history(out, node);
  }
  return out;
}

Tensor permute(const Tensor& t, Dims dims) {
  FG_CHECK(static_cast<int>(dims.size()) == t.dim(), Runtime,
           "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering "
           "of dimensions i.e. input.dim() = ", t.dim(), " is not equal to len(dims) = ", dims.size());
  DimArray order, sizes, strides;
  uint64_t seen = 0;
  for (int64_t d : dims) {
    int dim = wrap_dim(d, t.dim(), "permute");
    FG_CHECK(!(seen >> dim & 1), Runtime, "permute(): duplicate dims are not allowed.");
    seen |= uint64_t{1} << dim;
    order.push(dim);
    sizes.push(t.size(dim));
    strides.push(t.stride(dim));
  }
  auto node = view_node<PermuteNode>(t);
  if (node) node->dims = Dims(order);
  return record_view(t.alias(sizes, strides, t.offset()), t, node);
}

static Tensor swapped(const Tensor& t, int a, int b, const char* name) {
  DimArray sizes(t.sizes()), strides(t.strides());
  if (t.dim() > 0) {
    std::swap(sizes.v[a], sizes.v[b]);
    std::swap(strides.v[a], strides.v[b]);
  }
  auto node = view_node<SwapNode>(t);
  if (node) node->a = a, node->b = b, node->name_ = name;
  return record_view(t.alias(sizes, strides, t.offset()), t, node);
}

Tensor transpose(const Tensor& t, int64_t a, int64_t b) {
  return swapped(t, wrap_dim(a, t.dim(), "transpose"), wrap_dim(b, t.dim(), "transpose"), "TransposeBackward0");
}

Tensor t(const Tensor& x) {
  FG_CHECK(x.dim() <= 2, Runtime, "t() expects a tensor with <= 2 dimensions, but self is ", x.dim(), "D");
  return swapped(x, 0, x.dim() == 2 ? 1 : 0, "TBackward0");
}

Tensor expand(const Tensor& t, Dims wanted) {
  int n = static_cast<int>(wanted.size()), skip = n - t.dim();
  FG_CHECK(skip >= 0, Runtime, "expand(", type_text(t), "{", size_text(t.sizes()), "}, size=", size_text(wanted),
           "): the number of sizes provided (", n, ") must be greater or equal to the number of dimensions in the tensor (",
           t.dim(), ")");
  DimArray sizes, strides;
  for (int i = 0; i < n; ++i) {
    int64_t want = wanted[i];
    if (i < skip) {
      FG_CHECK(want >= 0, Runtime, "The expanded size of the tensor (", want,
               ") isn't allowed in a leading, non-existing dimension ", i);
      sizes.push(want);
      strides.push(want == 1 ? (n > 0 && t.dim() > 0 ? t.size(0) * t.stride(0) : 1) : 0);
      continue;
    }
    int64_t have = t.size(i - skip);
    if (want == -1) want = have;
    FG_CHECK(have == want || have == 1, Runtime, "expand: The expanded size of the tensor (", want, ") must match the existing size (",
             have, ") at non-singleton dimension ", i, ".  Target sizes: ", size_text(wanted), ".  Tensor sizes: ",
             size_text(t.sizes()));
    FG_CHECK(want >= 0, Runtime, "expand: negative size ", want);
    sizes.push(want);
    strides.push(have == want ? t.stride(i - skip) : 0);
  }
  auto node = view_node<ExpandBackward0>(t);
  if (node) node->sizes = t.sizes();
  return record_view(t.alias(sizes, strides, t.offset()), t, node);
}

Tensor squeeze(const Tensor& t, std::optional<DimArray> dims) {
  DimArray sizes, strides;
  uint64_t chosen = dims ? 0 : ~uint64_t{0};
  if (dims)
    for (int i = 0; i < dims->n; ++i) chosen |= uint64_t{1} << wrap_dim((*dims)[i], t.dim(), "squeeze");
  for (int i = 0; i < t.dim(); ++i) {
    if (t.size(i) == 1 && (chosen >> i & 1)) continue;
    sizes.push(t.size(i));
    strides.push(t.stride(i));
  }
  return reshaped(t, sizes, strides, !dims ? "SqueezeBackward0" : dims->n == 1 ? "SqueezeBackward1" : "SqueezeBackward2");
}

Tensor unsqueeze(const Tensor& t, int64_t dim) {
  int at = wrap_dim(dim, t.dim() + 1, "unsqueeze");
  DimArray sizes, strides;
  for (int i = 0; i <= t.dim(); ++i) {
    if (i == at) {
      sizes.push(1);
      strides.push(i < t.dim() ? t.size(i) * t.stride(i) : 1);
    }
    if (i < t.dim()) {
      sizes.push(t.size(i));
      strides.push(t.stride(i));
    }
  }
  return reshaped(t, sizes, strides, "UnsqueezeBackward0");
}

Tensor narrow(const Tensor& t, int64_t dim, int64_t start, int64_t length) {
  FG_CHECK(t.dim() > 0, Runtime, "narrow() cannot be applied to a 0-dim tensor.");
  int d = wrap_dim(dim, t.dim(), "narrow");
  int64_t n = t.size(d);
  FG_CHECK(length >= 0, Runtime, "narrow(): length must be non-negative.");
  FG_CHECK(start >= -n && start <= n, Index, "narrow: start out of range (expected to be in range of [", -n, ", ", n,
           "], but got ", start, ")");
  if (start < 0) start += n;
  FG_CHECK(length <= n - start, Runtime, "narrow: start (", start, ") + length (", length, ") exceeds dimension size (", n, ").");
  return view_with(t, {ViewSpec::Slice, d, start, length, 1});
}

Tensor slice(const Tensor& t, int64_t dim, int64_t start, int64_t end, int64_t step) {
  FG_CHECK(t.dim() > 0, Runtime, "slice() cannot be applied to a 0-dim tensor.");
  FG_CHECK(step > 0, Value, "step must be greater than zero");
  int d = wrap_dim(dim, t.dim(), "slice");
  int64_t n = t.size(d);
  if (start < 0) start = std::max<int64_t>(start + n, 0);
  if (end < 0) end += n;
  start = std::min(start, n);
  end = std::min(std::max(end, start), n);
  step = std::min(step, std::max<int64_t>(n, 1));
  return view_with(t, {ViewSpec::Slice, d, start, end > start ? (end - start - 1) / step + 1 : 0, step});
}

Tensor select(const Tensor& t, int64_t dim, int64_t index) {
  FG_CHECK(t.dim() > 0, Index, "select() cannot be applied to a 0-dim tensor.");
  int d = wrap_dim(dim, t.dim(), "select");
  int64_t n = t.size(d);
  FG_CHECK(index >= -n && index < n, Index, "select: index ", index, " is out of bounds for dimension ", d, " with size ", n);
  return view_with(t, {ViewSpec::Select, d, index < 0 ? index + n : index, 0, 0});
}

Tensor diagonal(const Tensor& t, int64_t offset, int64_t dim1, int64_t dim2) {
  int a = wrap_dim(dim1, t.dim(), "diagonal"), b = wrap_dim(dim2, t.dim(), "diagonal");
  FG_CHECK(a != b, Runtime, "diagonal dimensions cannot be identical ", dim1, ", ", dim2);
  return view_with(t, {ViewSpec::Diagonal, offset, a, b, 0});
}

Tensor unfold(const Tensor& t, int64_t dim, int64_t size, int64_t step) {
  int d = wrap_dim(dim, t.dim(), "unfold");
  int64_t n = t.dim() == 0 ? 1 : t.size(d);
  FG_CHECK(size >= 0 && size <= n, Runtime, "unfold: maximum size for tensor at dimension ", d, " is ", n, " but size is ", size);
  FG_CHECK(step > 0, Runtime, "unfold: step is ", step, " but must be > 0");
  Tensor x = t.dim() == 0 ? unsqueeze(t, 0) : t;
  Tensor out = view_with(x, {ViewSpec::Unfold, d, size, step, (n - size) / step + 1});
  return t.dim() == 0 ? select(out, 0, 0) : out;
}

Tensor alias(const Tensor& t) {
  auto node = view_node<AliasBackward0>(t);
  return record_view(t.alias(), t, node);
}

// ---- views with several outputs

namespace {

struct PiecesNode final : Node {  // split, chunk, unbind
  const char* name_;
  bool drops_dim;
  int dim;
  std::vector<DimList> sizes;  // of each output
  DType dtype;
  Device device;
  const char* name() const override { return name_; }
  void apply(Tensor* g, Tensor* gx) override {
    if (!wants(0)) return;
    std::vector<Tensor> parts(n_inputs);
    for (int i = 0; i < n_inputs; ++i) parts[i] = g[i].defined() ? g[i] : zeros(sizes[i], dtype, device);
    gx[0] = drops_dim ? stack(parts, dim) : cat(parts, dim);
  }
};

std::vector<Tensor> pieces(const Tensor& t, int dim, const std::vector<ViewSpec>& specs, bool drops_dim, const char* name) {
  auto node = specs.empty() ? Ptr<PiecesNode>() : view_node<PiecesNode>(t);
  if (node) {
    FG_CHECK(specs.size() < 65536, Runtime, "a recorded view op gives at most 65535 outputs, ", specs.size(), " wanted");
    node->name_ = name;
    node->drops_dim = drops_dim;
    node->dim = dim;
    node->dtype = t.dtype();
    node->device = t.device();
    node->n_inputs = static_cast<uint16_t>(specs.size());
  }
  std::vector<Tensor> out;
  out.reserve(specs.size());
  for (const ViewSpec& spec : specs) {
    Shape s = shape_of(spec, t.sizes(), t.strides(), t.offset());
    Tensor piece = t.alias(s.sizes, s.strides, s.offset);
    mark_view(piece, t, ViewKind::MultiOutput);
    if (node) {
      node->sizes.push_back(s.sizes);
      set_history(piece, node, static_cast<uint32_t>(out.size()));
    }
    out.push_back(std::move(piece));
  }
  return out;
}

}  // namespace

static std::vector<Tensor> split_as(const Tensor& t, Dims lengths, int64_t dim, const char* name) {
  FG_CHECK(t.dim() > 0, Runtime, "split expects at least a 1-dimensional tensor");
  int d = wrap_dim(dim, t.dim(), "split");
  int64_t total = 0;
  for (int64_t n : lengths) {
    FG_CHECK(n >= 0, Runtime, "split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes=",
             size_text(lengths));
    total += n;
  }
  FG_CHECK(total == t.size(d), Runtime, "split_with_sizes expects split_sizes to sum exactly to ", t.size(d),
           " (input tensor's size at dimension ", d, "), but got split_sizes=", size_text(lengths));
  std::vector<ViewSpec> specs;
  int64_t start = 0;
  for (int64_t n : lengths) {
    specs.push_back({ViewSpec::Slice, d, start, n, 1});
    start += n;
  }
  return pieces(t, d, specs, false, name);
}

std::vector<Tensor> split(const Tensor& t, Dims lengths, int64_t dim) {
  return split_as(t, lengths, dim, "SplitWithSizesBackward0");
}

static std::vector<Tensor> split_every(const Tensor& t, int64_t length, int64_t dim) {
  int d = wrap_dim(dim, t.dim(), "split");
  int64_t n = t.size(d);
  FG_CHECK(length >= 0, Runtime, "split expects split_size be non-negative, but got split_size=", length);
  FG_CHECK(length > 0 || n == 0, Runtime, "split_size can only be 0 if dimension size is 0, but got dimension size of ", n);
  std::vector<int64_t> lengths;
  int64_t count = length == 0 ? 1 : std::max<int64_t>((n + length - 1) / length, 1);
  for (int64_t i = 0; i < count; ++i) lengths.push_back(std::min(length, n - i * length));
  return split_as(t, {lengths.data(), lengths.size()}, d, "SplitBackward0");
}

std::vector<Tensor> split_by(const Tensor& t, int64_t length, int64_t dim) {
  FG_CHECK(t.dim() > 0, Runtime, "split expects at least a 1-dimensional tensor");
  return split_every(t, length, dim);
}

std::vector<Tensor> chunk(const Tensor& t, int64_t chunks, int64_t dim) {
  FG_CHECK(t.dim() > 0, Runtime, "chunk expects at least a 1-dimensional tensor");
  FG_CHECK(chunks > 0, Runtime, "chunk expects `chunks` to be greater than 0, got: ", chunks);
  int d = wrap_dim(dim, t.dim(), "chunk");
  int64_t n = t.size(d), length = (n + chunks - 1) / chunks;
  if (length == 0) {
    std::vector<int64_t> lengths(chunks, 0);
    return split_as(t, {lengths.data(), lengths.size()}, d, "SplitWithSizesBackward0");
  }
  return split_every(t, length, d);
}

std::vector<Tensor> unbind(const Tensor& t, int64_t dim) {
  FG_CHECK(t.dim() > 0, Index, "unbind: a 0-d tensor has no dimension to unbind");
  int d = wrap_dim(dim, t.dim(), "unbind");
  std::vector<ViewSpec> specs;
  for (int64_t i = 0; i < t.size(d); ++i) specs.push_back({ViewSpec::Select, d, i, 0, 0});
  return pieces(t, d, specs, true, "UnbindBackward0");
}

Tensor flatten(const Tensor& t, int64_t start, int64_t end) {
  int a = wrap_dim(start, t.dim(), "flatten"), b = wrap_dim(end, t.dim(), "flatten");
  FG_CHECK(a <= b, Runtime, "flatten() has invalid args: start_dim cannot come after end_dim");
  if (t.dim() == 0) return reshape(t, DimArray{1});
  if (a == b) return t;
  DimArray sizes;
  int64_t run = 1;
  for (int i = 0; i < t.dim(); ++i) {
    if (i < a || i > b) {
      sizes.push(t.size(i));
    } else {
      run *= t.size(i);
      if (i == b) sizes.push(run);
    }
  }
  return reshape(t, sizes);
}

Tensor sum_to(const Tensor& t, Dims sizes) {
  if (same(t.sizes(), sizes)) return t;
  int n = static_cast<int>(sizes.size()), skip = t.dim() - n;
  DimArray dims;
  for (int i = 0; i < t.dim(); ++i)
    if (i < skip || (sizes[i - skip] == 1 && t.size(i) != 1)) dims.push(i);
  Tensor out = dims.n ? sum(t, dims, true) : t;
  return skip > 0 ? view(out, sizes) : out;
}

}  // namespace fg
