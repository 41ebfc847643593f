// Views that pick elements: select, slice, diagonal, unfold and their several-output kin split, chunk, unbind.
//
// They are one mechanism, a ViewSpec. The gradient is the adjoint map (zeros with g written into the view), whose own
// gradient is the view again.
#include "core/layout.h"
#include "ops/view.h"

namespace fg {

namespace {

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
      out.offset = moved(offset, spec.b, strides[spec.a]);
      drop(static_cast<int>(spec.a));
      break;
    case ViewSpec::Slice:  // dim, start, length, step
      out.offset = moved(offset, spec.b, strides[spec.a]);
      out.sizes.v[spec.a] = spec.c;
      out.strides.v[spec.a] = stride_times(strides[spec.a], spec.d);
      break;
    case ViewSpec::Diagonal: {  // offset, dim1, dim2
      int64_t row = spec.a < 0 ? -spec.a : 0, column = spec.a > 0 ? spec.a : 0;
      int64_t n = std::max<int64_t>(std::min(sizes[spec.b] - row, sizes[spec.c] - column), 0);
      if (n) out.offset = moved(moved(offset, row, strides[spec.b]), column, strides[spec.c]);
      int64_t step = stride_sum(strides[spec.b], strides[spec.c]);
      drop(static_cast<int>(std::max(spec.b, spec.c)));
      drop(static_cast<int>(std::min(spec.b, spec.c)));
      out.sizes.push(n);
      out.strides.push(step);
      break;
    }
    case ViewSpec::Unfold:  // dim, size, step, count
      out.sizes.v[spec.a] = spec.d;
      out.strides.v[spec.a] = stride_times(strides[spec.a], spec.c);
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

}  // namespace

Tensor narrow(const Tensor& t, int64_t dim, int64_t start, int64_t length) {
  FG_CHECK(t.dim() > 0, Runtime, "narrow() cannot be applied to a 0-dim tensor.");
  int d = wrap_dim(dim, t.dim(), "narrow");
  int64_t n = t.size(d);
  FG_CHECK(length >= 0, Runtime, "narrow(): length must be non-negative.");
  FG_CHECK(start >= -n && start <= n, Index, "narrow: start out of range (expected to be in range of [", -n, ", ", n,
           "], but got ", start, ")");
  if (start < 0) start += n;
  FG_CHECK(length <= n - start, Runtime, "narrow: start (", start, ") + length (", length, ") exceeds dimension size (",
           n, ").");
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
  FG_CHECK(index >= -n && index < n, Index, "select: index ", index, " is out of bounds for dimension ", d,
           " with size ", n);
  return view_with(t, {ViewSpec::Select, d, index < 0 ? index + n : index, 0, 0});
}

Tensor diagonal(const Tensor& t, int64_t offset, int64_t dim1, int64_t dim2) {
  int a = wrap_dim(dim1, t.dim(), "diagonal"), b = wrap_dim(dim2, t.dim(), "diagonal");
  FG_CHECK(a != b, Runtime, "diagonal dimensions cannot be identical ", dim1, ", ", dim2);
  return view_with(t, {ViewSpec::Diagonal, std::max(offset, -INT64_MAX), a, b, 0});
}

Tensor unfold(const Tensor& t, int64_t dim, int64_t size, int64_t step) {
  int d = wrap_dim(dim, t.dim(), "unfold");
  int64_t n = t.dim() == 0 ? 1 : t.size(d);
  FG_CHECK(size >= 0 && size <= n, Runtime, "unfold: maximum size for tensor at dimension ", d, " is ", n,
           " but size is ", size);
  FG_CHECK(step > 0, Runtime, "unfold: step is ", step, " but must be > 0");
  Tensor x = t.dim() == 0 ? unsqueeze(t, 0) : t;
  Tensor out = view_with(x, {ViewSpec::Unfold, d, size, step, (n - size) / step + 1});
  return t.dim() == 0 ? select(out, 0, 0) : out;
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

std::vector<Tensor> pieces(const Tensor& t, int dim, const std::vector<ViewSpec>& specs, bool drops_dim,
                           const char* name) {
  auto node = specs.empty() ? Ptr<PiecesNode>() : view_node<PiecesNode>(t);
  if (node) {
    FG_CHECK(specs.size() < 65536, Runtime, "a recorded view op gives at most 65535 outputs, ", specs.size(),
             " wanted");
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
  size_t fitting = 0;
  for (int64_t n : lengths) {
    FG_CHECK(n >= 0, Runtime,
             "split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes=",
             size_text(lengths));
    if (n > t.size(d) - total) break;  // the sum itself may not fit
    total += n;
    ++fitting;
  }
  FG_CHECK(fitting == lengths.size() && total == t.size(d), Runtime,
           "split_with_sizes expects split_sizes to sum exactly to ", t.size(d), " (input tensor's size at dimension ",
           d, "), but got split_sizes=", size_text(lengths));
  std::vector<ViewSpec> specs;
  specs.reserve(lengths.size());
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

// Before a list of them grows: a tensor without elements, or an expanded one, can have any number of pieces.
static size_t checked_count(int64_t views, const char* name) {
  FG_CHECK(views < int64_t{1} << 36, OutOfMemory, "out of memory: ", name, " into ", views, " views");
  return static_cast<size_t>(views);
}

static std::vector<Tensor> split_every(const Tensor& t, int64_t length, int64_t dim) {
  int d = wrap_dim(dim, t.dim(), "split");
  int64_t n = t.size(d);
  FG_CHECK(length >= 0, Runtime, "split expects split_size be non-negative, but got split_size=", length);
  FG_CHECK(length > 0 || n == 0, Runtime, "split_size can only be 0 if dimension size is 0, but got dimension size of ",
           n);
  std::vector<int64_t> lengths;
  const int64_t count = n == 0 ? 1 : (n - 1) / length + 1;
  lengths.reserve(checked_count(count, "split"));
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
  int64_t n = t.size(d), length = n / chunks + (n % chunks != 0);
  if (length == 0) {
    std::vector<int64_t> lengths(checked_count(chunks, "chunk"), 0);
    return split_as(t, {lengths.data(), lengths.size()}, d, "SplitWithSizesBackward0");
  }
  return split_every(t, length, d);
}

std::vector<Tensor> unbind(const Tensor& t, int64_t dim) {
  FG_CHECK(t.dim() > 0, Index, "unbind: a 0-d tensor has no dimension to unbind");
  int d = wrap_dim(dim, t.dim(), "unbind");
  std::vector<ViewSpec> specs;
  specs.reserve(checked_count(t.size(d), "unbind"));
  for (int64_t i = 0; i < t.size(d); ++i) specs.push_back({ViewSpec::Select, d, i, 0, 0});
  return pieces(t, d, specs, true, "UnbindBackward0");
}

}  // namespace fg
