// Views that keep all elements: reshapes, permutations, expansion. The same bytes under another layout, and their
// gradients.
//
// Views that pick elements are in view_pick.cpp, arbitrary strides in as_strided.cpp.
#include "ops/view.h"
#include "autograd/forward.h"
#include "core/layout.h"

namespace fg {

namespace {

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
      FG_CHECK(!__builtin_mul_overflow(known, out.v[i], &known), Runtime, op, ": shape '", size_text(wanted),
               "' is too large");
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

Tensor view(const Tensor& t, Dims wanted) {
  DimArray sizes = infer_size(wanted, t.numel(), "view"), strides;
  FG_CHECK(
      view_strides(t.sizes(), t.strides(), sizes, strides), Runtime,
      "view: view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
      "contiguous subspaces). Use .reshape(...) instead.");
  return reshaped(t, sizes, strides, "ViewBackward0");
}

Tensor view_dtype(const Tensor& t, DType dtype) {
  if (dtype != t.dtype() && (dtype == DType::Bool || t.dtype() == DType::Bool)) t.storage().set_any_bools();
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
      sizes.v[last] = size_times(sizes[last], k);
      for (int i = 0; i < last; ++i) strides.v[i] = stride_times(strides[i], k);
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
  FG_CHECK(
      static_cast<int>(dims.size()) == t.dim(), Runtime,
      "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering "
      "of dimensions i.e. input.dim() = ",
      t.dim(), " is not equal to len(dims) = ", dims.size());
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
           "): the number of sizes provided (", n,
           ") must be greater or equal to the number of dimensions in the tensor (", t.dim(), ")");
  DimArray sizes, strides;
  for (int i = 0; i < n; ++i) {
    int64_t want = wanted[i];
    if (i < skip) {
      FG_CHECK(want >= 0, Runtime, "The expanded size of the tensor (", want,
               ") isn't allowed in a leading, non-existing dimension ", i);
      sizes.push(want);
      strides.push(0);
      continue;
    }
    int64_t have = t.size(i - skip);
    if (want == -1) want = have;
    FG_CHECK(have == want || have == 1, Runtime, "expand: The expanded size of the tensor (", want,
             ") must match the existing size (", have, ") at non-singleton dimension ", i,
             ".  Target sizes: ", size_text(wanted), ".  Tensor sizes: ", size_text(t.sizes()));
    FG_CHECK(want >= 0, Runtime, "expand: negative size ", want);
    sizes.push(want);
    strides.push(have == want ? t.stride(i - skip) : 0);
  }
  for (int i = skip - 1; i >= 0; --i)  // a new dimension of size 1 steps over the ones inside it
    if (sizes[i] == 1) strides[i] = i + 1 < n ? stride_times(strides[i + 1], sizes[i + 1]) : 1;
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
  return reshaped(t, sizes, strides,
                  !dims          ? "SqueezeBackward0"
                  : dims->n == 1 ? "SqueezeBackward1"
                                 : "SqueezeBackward2");
}

Tensor unsqueeze(const Tensor& t, int64_t dim) {
  int at = wrap_dim(dim, t.dim() + 1, "unsqueeze");
  DimArray sizes, strides;
  for (int i = 0; i <= t.dim(); ++i) {
    if (i == at) {
      sizes.push(1);
      strides.push(i < t.dim() ? stride_times(t.stride(i), t.size(i)) : 1);
    }
    if (i < t.dim()) {
      sizes.push(t.size(i));
      strides.push(t.stride(i));
    }
  }
  return reshaped(t, sizes, strides, "UnsqueezeBackward0");
}

Tensor alias(const Tensor& t) {
  auto node = view_node<AliasBackward0>(t);
  return record_view(t.alias(), t, node);
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
      run = size_times(run, t.size(i));
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

// ---- the layout of a tensor itself

// view: the same as a view of x. A view derives its history from its base, in its new layout; any other tensor gets a
// node.
template <class View, class MakeNode>
static void take_layout(const Tensor& x, const char* op, View view, MakeNode make) {
  check_inplace(x, op);
  if (mode & kForward) settle_tangents();
  ModeGuard guard(static_cast<uint8_t>(mode & ~kForward));  // tangents are laid out alike below
  Tensor like = view(detach(x));
  Ptr<Node> node;
  if (!x.is_view() && is_inexact(x.dtype()) && should_record(x)) node = make();
  x.impl()->set_dims(like.sizes(), like.strides());
  x.bump_version();
  if (x.is_view()) {
    x.meta().view_version = x.version() - 1;  // made anew when next asked for
    (void)grad_fn(x);
  } else if (node) {
    set_history(x, node);
  }
}

template <class View>
static void reshape_self(const Tensor& x, const char* op, const char* node_name, View view) {
  take_layout(x, op, view, [&] {
    auto node = make_node<ReshapeNode>(x);
    node->name_ = node_name;
    node->sizes = x.sizes();
    return node;
  });
  if (mode & kForward) relay_tangents(x);
}

static void swap_self(const Tensor& x, const char* op, const char* node_name, int a, int b) {
  take_layout(
      x, op, [&](const Tensor& t) { return swapped(t, a, b, node_name); },
      [&] {
        auto node = make_node<SwapNode>(x);
        node->a = a, node->b = b, node->name_ = node_name;
        return node;
      });
  if (mode & kForward) relay_tangents(x);
}

void t_(const Tensor& x) {
  FG_CHECK(x.dim() <= 2, Runtime, "t_() expects a tensor with <= 2 dimensions, but self is ", x.dim(), "D");
  swap_self(x, "t_", "TBackward1", 0, x.dim() == 2 ? 1 : 0);
}
void transpose_(const Tensor& x, int64_t a, int64_t b) {
  swap_self(x, "transpose_", "TransposeBackward1", wrap_dim(a, x.dim(), "transpose_"),
            wrap_dim(b, x.dim(), "transpose_"));
}
void squeeze_(const Tensor& x, std::optional<DimArray> dims) {
  const char* name = !dims ? "SqueezeBackward3" : dims->n == 1 ? "SqueezeBackward4" : "SqueezeBackward5";
  reshape_self(x, "squeeze_", name, [&](const Tensor& t) { return squeeze(t, dims); });
}
void unsqueeze_(const Tensor& x, int64_t dim) {
  reshape_self(x, "unsqueeze_", "UnsqueezeBackward1", [&](const Tensor& t) { return unsqueeze(t, dim); });
}

}  // namespace fg
