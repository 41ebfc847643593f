// Sorting and selection along one dimension, and search in sorted sequences.
//
// Every value that these ops return is an element of the input, so one node gives their gradient: what arrives goes to
// the place it was taken from.
#include "ops/words.h"

namespace fg {

namespace {

struct PickNode final : Node {
  const char* name_;
  int dim;
  bool dropped;  // the dimension is missing in the result
  DimList sizes;
  Saved indices;
  const char* name() const override { return name_; }
  void release_saved() override { indices.clear(); }
  void apply(Tensor* g_in, Tensor* gx) override {
    if (!wants(0)) return;
    Tensor g = g_in[0], at = indices.unpack(this);
    if (sizes.size() == 0) {
      gx[0] = reshape(g, {});
      return;
    }
    if (dropped) g = unsqueeze(g, dim), at = unsqueeze(at, dim);
    gx[0] = scatter(zeros(sizes, g.dtype(), g.device()), dim, at, g, Scatter::set);
  }
};

// The dimension moved to the end, contiguous: lines.
Tensor lines_of(const Tensor& t, int dim, const char* name) {
  FG_CHECK(!is_complex(t.dtype()), NotImplemented, name, ": complex numbers have no order");
  NoGradGuard guard;
  return contiguous(t.dim() < 2 ? t : transpose(t, dim, -1));
}

// `lines` (..., k) with the last dimension back at dim, in memory of its own with the strides of `like`.
Tensor back_from_lines(const Tensor& lines, int dim, const Tensor& like) {
  if (lines.dim() < 2 || (dim == lines.dim() - 1 && (!like.defined() || like.is_contiguous()))) return lines;
  NoGradGuard guard;
  Tensor moved = transpose(lines, dim, -1);
  Tensor out =
      like.defined() ? empty_like(like, lines.dtype()) : Tensor::empty(moved.sizes(), moved.dtype(), moved.device());
  if (out.numel()) raw_copy(out, moved);
  return out;
}

// out_lines: the shape of the lines that come out; without their last dimension for one element of each.
SortArgs sort_args(const Tensor& lines, const Tensor& values, const Tensor& indices) {
  SortArgs args{};
  args.values = values.defined() ? values.mutable_data() : nullptr;
  args.indices = indices.mutable_data<int64_t>();
  args.in = lines.data();
  args.dtype = lines.dtype();
  args.size = lines.dim() ? lines.size(lines.dim() - 1) : 1;
  args.outer = args.size ? lines.numel() / args.size : 0;
  args.stream = Storage::current_stream(lines.device());
  return args;
}

template <class F> void run(F* kernel, const char* name, const Tensor& t, const auto&... args) {
  if (!kernel) fail(ErrorKind::NotImplemented, name, ": no kernel on ", device_name(t.device()));
  GilRelease release(t.numel() * 8);
  kernel(args...);
}

void record(const char* name, const Tensor& t, int dim, bool dropped, const Tensor& values, const Tensor& indices) {
  if (!is_floating(t.dtype()) || !should_record(t)) return;
  auto node = make_node<PickNode>(t);
  node->name_ = name;
  node->dim = dim;
  node->dropped = dropped;
  node->sizes = t.sizes();
  node->indices.save(indices);
  set_history(values, node);
}

// The gradient of median(): shared evenly by the elements that equal it.
struct MedianNode final : Node {
  const char* name_;
  Saved x, y;
  const char* name() const override { return name_; }
  void release_saved() override { x.clear(), y.clear(); }
  void apply(Tensor* g_in, Tensor* gx) override {
    if (!wants(0)) return;
    Tensor input = x.unpack(this), result = y.unpack(this), chosen;
    {
      NoGradGuard guard;
      chosen = binary(Op::logical_or, input == result,
                      binary(Op::logical_and, unary(Op::isnan, input), unary(Op::isnan, result)));
    }
    gx[0] = mul(chosen, div(g_in[0], to_dtype(sum(chosen), g_in[0].dtype())));
  }
};

}  // namespace

std::pair<Tensor, Tensor> sort(const Tensor& t, int64_t dim, bool descending, bool want_values) {
  int d = wrap_dim(dim, t.dim(), "sort");
  Tensor lines = lines_of(t, d, "sort");
  Tensor values = want_values ? Tensor::empty(lines.sizes(), t.dtype(), t.device()) : Tensor();
  Tensor indices = Tensor::empty(lines.sizes(), DType::Int64, t.device());
  if (lines.numel()) {
    SortArgs args = sort_args(lines, values, indices);
    args.descending = descending;
    run(backend(t.device()).sort, "sort", t, args);
  }
  indices = back_from_lines(indices, d, t);
  if (!want_values) return {values, indices};
  values = back_from_lines(values, d, t);
  record("SortBackward0", t, d, false, values, indices);
  return {values, indices};
}

std::pair<Tensor, Tensor> topk(const Tensor& t, int64_t k, int64_t dim, bool largest, bool sorted) {
  int d = wrap_dim(dim, t.dim(), "topk");
  int64_t size = t.dim() ? t.size(d) : 1;
  FG_CHECK(k >= 0 && k <= size, Runtime, "topk: selected index k out of range, k is ", k, " and dim ", d, " has size ",
           size);
  FG_CHECK(t.dtype() != DType::Bool, Runtime, "topk does not support bool dtypes");
  if (t.dim() == 0) return sort(t, 0, false);
  Tensor lines = lines_of(t, d, "topk");
  DimArray sizes(lines.sizes());
  sizes[sizes.n - 1] = k;
  Tensor values = Tensor::empty(sizes, t.dtype(), t.device()), indices = Tensor::empty(sizes, DType::Int64, t.device());
  if (values.numel()) {
    SortArgs args = sort_args(lines, values, indices);
    args.k = k, args.descending = largest, args.sorted = sorted;
    run(backend(t.device()).topk, "topk", t, args);
  }
  values = back_from_lines(values, d, {}), indices = back_from_lines(indices, d, {});
  record("TopkBackward0", t, d, false, values, indices);
  return {values, indices};
}

std::pair<Tensor, Tensor> pick(const Tensor& t, Pick kind, int64_t k, int64_t dim, bool keepdim) {
  static constexpr const char* names[] = {"kthvalue", "median", "nanmedian", "mode"};
  static constexpr const char* nodes[] = {"KthvalueBackward0", "MedianBackward1", "NanmedianBackward1",
                                          "ModeBackward0"};
  const char* name = names[static_cast<int>(kind)];
  int d = wrap_dim(dim, t.dim(), name);
  int64_t size = t.dim() ? t.size(d) : 1;
  FG_CHECK(t.dtype() != DType::Bool || kind == Pick::mode || t.dim() == 0, NotImplemented, name,
           ": not implemented for bool");
  FG_CHECK(size > 0, Index, name, "(): Expected reduction dim ", d, " to have non-zero size.");
  if (kind == Pick::kth)
    FG_CHECK(k >= 1 && k <= size, Runtime, "kthvalue(): selected number k out of range for dimension ", d);
  Tensor lines = lines_of(t, d, name);
  DimArray sizes(lines.sizes());
  if (sizes.n) sizes[sizes.n - 1] = 1;
  Tensor values = Tensor::empty(sizes, t.dtype(), t.device()), indices = Tensor::empty(sizes, DType::Int64, t.device());
  if (values.numel()) {
    SortArgs args = sort_args(lines, values, indices);
    args.k = k - 1;
    run(backend(t.device()).pick, name, t, args, kind);
  }
  bool dropped = t.dim() && !keepdim;
  {
    NoGradGuard guard;
    values = back_from_lines(values, d, {}), indices = back_from_lines(indices, d, {});
    if (dropped) {
      DimArray kept;
      for (int i = 0; i < t.dim(); ++i)
        if (i != d) kept.push(t.size(i));
      values = unsafe_view(values, kept), indices = unsafe_view(indices, kept);
    }
  }
  record(nodes[static_cast<int>(kind)], t, d, dropped, values, indices);
  return {values, indices};
}

Tensor median(const Tensor& t, bool skip_nan) {
  const char* name = skip_nan ? "nanmedian" : "median";
  FG_CHECK(t.dtype() != DType::Bool && !is_complex(t.dtype()), NotImplemented, name, ": not implemented for ",
           dtype_name(t.dtype()));
  Tensor flat, out;
  if (t.numel() == 0) {
    NoGradGuard guard;
    out = to_dtype(full({}, Scalar::of(NAN), DType::Float32, t.device()), t.dtype());
  } else {
    NoGradGuard guard;
    flat = reshape(contiguous(t), DimArray{-1});
    out = Tensor::empty({}, t.dtype(), t.device());
    SortArgs args = sort_args(flat, out, Tensor::empty({}, DType::Int64, t.device()));
    args.indices = nullptr;
    run(backend(t.device()).pick, name, t, args, skip_nan ? Pick::nanmedian : Pick::median);
  }
  if (is_floating(t.dtype()) && should_record(t)) {
    auto node = make_node<MedianNode>(t);
    node->name_ = skip_nan ? "NanmedianBackward0" : "MedianBackward0";
    node->x.save(t);
    set_history(out, node);
    node->y.save(out, true);
  }
  return out;
}

Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right, const Tensor& sorter) {
  NoGradGuard guard;
  auto wide = [](const Tensor& t) {
    static constexpr DType types[] = {DType::Float32, DType::Float64, DType::Int32, DType::Int64};
    return contiguous(to_dtype(t, types[static_cast<int>(compute_of(t.dtype()))]));
  };
  Tensor s = wide(sorted), v = wide(values), order = sorter.defined() ? contiguous(sorter) : sorter;
  Tensor out = Tensor::empty(values.sizes(), DType::Int64, values.device());
  if (out.numel() == 0) return out;
  SearchArgs args{};
  args.out = out.mutable_data<int64_t>();
  args.sorted = s.data();
  args.values = v.data();
  args.sorter = order.defined() ? order.data<int64_t>() : nullptr;
  args.compute = compute_of(s.dtype());
  args.size = s.size(s.dim() - 1);
  bool shared = s.dim() == 1;
  args.count = shared ? v.numel() : v.size(v.dim() - 1);
  args.rows = v.numel() / args.count;
  args.sorted_rows = shared ? 1 : args.rows;
  args.right = right;
  args.stream = Storage::current_stream(v.device());
  run(backend(v.device()).searchsorted, "searchsorted", v, args);
  return out;
}

}  // namespace fg
