// Ops that put tensors together or lay elements out anew: cat, stack, flip, repeat, roll.
#include <cstring>

#include "core/layout.h"
#include "ops/ops.h"

namespace fg {

namespace {

struct CatBackward0 final : Node {
  int dim;
  std::vector<int64_t> lengths;  // along dim; -1: a legacy empty input
  std::vector<DType> dtypes;
  const char* name() const override { return "CatBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    int64_t start = 0;
    for (int i = 0; i < n_edges; ++i) {
      int64_t n = lengths[i];
      if (n < 0) {
        if (wants(i)) gx[i] = zeros(DimArray{0}, dtypes[i], g[0].device());
        continue;
      }
      if (wants(i)) gx[i] = to_dtype(narrow(g[0], dim, start, n), dtypes[i]);
      start += n;
    }
  }
};

struct StackBackward0 final : Node {
  int dim;
  std::vector<DType> dtypes;
  const char* name() const override { return "StackBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    for (int i = 0; i < n_edges; ++i)
      if (wants(i)) gx[i] = to_dtype(select(g[0], dim, i), dtypes[i]);
  }
};

struct FlipBackward0 final : Node {
  DimList dims;
  const char* name() const override { return "FlipBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = flip(g[0], dims);
  }
};

struct RollBackward0 final : Node {
  DimList shifts, dims;
  const char* name() const override { return "RollBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (!wants(0)) return;
    DimArray back;
    for (int i = 0; i < shifts.size(); ++i) back.push(-shifts[i]);
    gx[0] = roll(g[0], back, dims);
  }
};

struct RepeatBackward0 final : Node {
  DimList sizes, repeats;
  const char* name() const override { return "RepeatBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (!wants(0)) return;
    // One dimension after the other, from the outermost: sums over memory in order. But half types round once.
    int n = repeats.size(), skip = n - sizes.size();
    const bool once = g[0].dtype() == DType::Float16 || g[0].dtype() == DType::BFloat16;
    Tensor total = g[0];
    DimArray all, repeated;
    for (int i = 0; i < n; ++i) {
      const int64_t size = i < skip ? 1 : sizes[i - skip];
      if (repeats[i] == 1 || once) {
        if (repeats[i] != 1) repeated.push(all.n), all.push(repeats[i]);
        all.push(size);
        continue;
      }
      DimArray wide(total.sizes().first(static_cast<size_t>(i)));
      wide.push(repeats[i]);
      wide.push(size);
      for (int k = i + 1; k < n; ++k) wide.push(total.size(k));
      total = sum(reshape(total, wide), DimArray{i});
    }
    if (repeated.n) total = sum(reshape(total, all), repeated);
    gx[0] = reshape(total, sizes);
  }
};

bool legacy_empty(const Tensor& t) { return t.dim() == 1 && t.size(0) == 0; }

// dtype and device of the result, with torch's errors.
DType joined_dtype(Tensors tensors, const char* op) {
  bool any = !tensors.empty();
  if (!any && op[0] == 's') fail(ErrorKind::Runtime, "stack expects a non-empty TensorList");
  FG_CHECK(any, Value, op, "(): expected a non-empty list of Tensors");
  DType dtype = tensors[0].dtype();
  bool one = true;
  for (const Tensor& t : tensors) one &= t.dtype() == dtype;
  if (!one) {
    std::vector<Arg> args(tensors.begin(), tensors.end());
    dtype = result_type(args);
  }
  for (const Tensor& t : tensors)
    FG_CHECK(t.device() == tensors[0].device(), Runtime, op,
             ": Expected all tensors to be on the same device, but found ", device_name(t.device()), " and ",
             device_name(tensors[0].device()));
  return dtype;
}

bool any_records(Tensors tensors) {
  for (const Tensor& t : tensors)
    if (is_recorded(t)) return true;
  return false;
}

// Few elements that lie in order need no view of the result for each part.
bool few_in_order(const Tensor& out, Tensors parts) {
  constexpr int64_t kFewBytes = 4096;
  if (!out.device().is_cpu() || out.numel() * out.item_bytes() > kFewBytes) return false;
  for (const Tensor& t : parts)
    if (!t.is_contiguous() || t.dtype() != out.dtype()) return false;
  return true;
}

// The parts in turn, `outer` times a piece of each.
void copy_in_turn(const Tensor& out, Tensors parts, int64_t outer) {
  if (out.numel() == 0) return;
  char* to = static_cast<char*>(out.mutable_data());
  for (int64_t i = 0; i < outer; ++i) {
    for (const Tensor& t : parts) {
      const int64_t bytes = t.numel() / outer * t.item_bytes();
      if (bytes) memcpy(to, static_cast<const char*>(t.data()) + i * bytes, bytes);
      to += bytes;
    }
  }
}

}  // namespace

Tensor cat(Tensors tensors, int64_t dim) {
  DType dtype = joined_dtype(tensors, "torch.cat");
  const Tensor* first = nullptr;
  for (const Tensor& t : tensors) {
    FG_CHECK(t.dim() > 0, Runtime, "zero-dimensional tensor (at position ", &t - tensors.data(),
             ") cannot be concatenated");
    if (!first && !legacy_empty(t)) first = &t;
  }
  Tensor out;
  int d = 0;
  if (!first) {
    out = Tensor::empty(DimArray{0}, dtype, tensors[0].device());
  } else {
    d = wrap_dim(dim, first->dim(), "cat");
    DimArray sizes(first->sizes());
    sizes.v[d] = 0;
    int at = 0;
    for (const Tensor& t : tensors) {
      if (!legacy_empty(t)) {
        FG_CHECK(t.dim() == first->dim(), Runtime, "cat: Tensors must have same number of dimensions: got ",
                 first->dim(), " and ", t.dim());
        for (int i = 0; i < t.dim(); ++i)
          FG_CHECK(i == d || t.size(i) == sizes[i], Runtime, "cat: Sizes of tensors must match except in dimension ", d,
                   ". Expected size ", sizes[i], " but got size ", t.size(i), " for tensor number ", at,
                   " in the list.");
        sizes.v[d] += t.size(d);
      }
      ++at;
    }
    out = Tensor::empty(sizes, dtype, first->device());
    const bool in_turn = few_in_order(out, tensors);
    if (in_turn) copy_in_turn(out, tensors, count_of(Dims(sizes).first(d)));
    int64_t start = 0;
    for (const Tensor& t : tensors) {
      if (in_turn || legacy_empty(t)) continue;
      raw_copy(out.alias(t.sizes(), out.strides(), start * out.stride(d)), t);
      start += t.size(d);
    }
  }
  if (is_inexact(dtype) && any_records(tensors)) {
    auto node = Ptr<CatBackward0>::adopt(new CatBackward0);
    node->set_edges(static_cast<int>(tensors.size()));
    node->dim = d;
    for (size_t i = 0; i < tensors.size(); ++i) {
      connect(*node, static_cast<int>(i), tensors[i]);
      node->lengths.push_back(legacy_empty(tensors[i]) ? -1 : tensors[i].size(d));
      node->dtypes.push_back(tensors[i].dtype());
    }
    set_history(out, node);
  }
  return out;
}

Tensor stack(Tensors tensors, int64_t dim) {
  DType dtype = joined_dtype(tensors, "stack");
  const Tensor& first = tensors[0];
  int d = wrap_dim(dim, first.dim() + 1, "stack");
  DimArray sizes;
  for (int i = 0; i <= first.dim(); ++i) {
    if (i == d) sizes.push(static_cast<int64_t>(tensors.size()));
    if (i < first.dim()) sizes.push(first.size(i));
  }
  int at = 0;
  for (const Tensor& t : tensors) {
    FG_CHECK(same(t.sizes(), first.sizes()), Runtime, "stack expects each tensor to be equal size, but got ",
             size_text(first.sizes()), " at entry 0 and ", size_text(t.sizes()), " at entry ", at);
    ++at;
  }
  Tensor out = Tensor::empty(sizes, dtype, first.device());
  const bool in_turn = few_in_order(out, tensors);
  if (in_turn) copy_in_turn(out, tensors, count_of(Dims(sizes).first(d)));
  DimArray strides;
  for (int i = 0; i <= first.dim(); ++i)
    if (i != d) strides.push(out.stride(i));
  for (size_t i = 0; i < tensors.size() && !in_turn; ++i)
    raw_copy(out.alias(first.sizes(), strides, static_cast<int64_t>(i) * out.stride(d)), tensors[i]);
  if (is_inexact(dtype) && any_records(tensors)) {
    auto node = Ptr<StackBackward0>::adopt(new StackBackward0);
    node->set_edges(static_cast<int>(tensors.size()));
    node->dim = d;
    for (size_t i = 0; i < tensors.size(); ++i) {
      connect(*node, static_cast<int>(i), tensors[i]);
      node->dtypes.push_back(tensors[i].dtype());
    }
    set_history(out, node);
  }
  return out;
}

Tensor flip(const Tensor& t, Dims dims) {
  DimArray strides(t.strides());
  int64_t offset = t.offset();
  uint64_t seen = 0;
  for (int64_t dim : dims) {
    int d = wrap_dim(dim, t.dim(), "flip");
    FG_CHECK(!(seen >> d & 1), Runtime, "flip: dim ", d, " appears multiple times in the list of dims");
    seen |= uint64_t{1} << d;
    if (t.dim() == 0) continue;
    if (t.size(d) > 0) offset = moved(offset, t.size(d) - 1, t.stride(d));
    strides.v[d] = -t.stride(d);
  }
  Tensor out = empty_like(t);
  raw_copy(out, t.alias(t.sizes(), strides, offset));
  if (should_record(t)) {
    auto node = make_node<FlipBackward0>(t);
    node->dims = dims;
    set_history(out, node);
  }
  return out;
}

Tensor roll(const Tensor& t, Dims shifts, Dims dims) {
  if (t.numel() == 0) return clone(t);  // with any dims, as in torch
  if (dims.empty()) {
    FG_CHECK(shifts.size() == 1, Runtime, "roll: shifts and dimensions must align. shifts: ", shifts.size(),
             ", dims:0");
    Tensor out;
    {
      NoGradGuard guard;
      out = reshape(roll(reshape(t, DimArray{-1}), shifts, DimArray{0}), t.sizes());
      out = out.alias(t.sizes(), out.strides(), out.offset());
    }
    if (should_record(t)) {
      auto node = make_node<RollBackward0>(t);
      node->shifts = shifts;
      node->dims = dims;
      set_history(out, node);
    }
    return out;
  }
  FG_CHECK(t.dim() > 0, Index, "roll: Dimension specified as ", dims[0], " but tensor has no dimensions");
  FG_CHECK(shifts.size() == dims.size(), Runtime, "roll: shifts and dimensions must align. shifts: ", shifts.size(),
           ", dims:", dims.size());
  Tensor now = t;
  {
    NoGradGuard guard;
    for (size_t i = 0; i < dims.size(); ++i) {
      int d = wrap_dim(dims[i], t.dim(), "roll");
      int64_t n = t.dim() ? t.size(d) : 0;
      if (n == 0) continue;
      int64_t k = ((shifts[i] % n) + n) % n;
      Tensor parts[] = {narrow(now, d, n - k, k), narrow(now, d, 0, n - k)};
      now = cat(parts, d);
    }
    if (now.is_same(t)) now = clone(t);
  }
  if (should_record(t)) {
    auto node = make_node<RollBackward0>(t);
    node->shifts = shifts;
    node->dims = dims;
    set_history(now, node);
  }
  return now;
}

Tensor repeat(const Tensor& t, Dims repeats) {
  int n = static_cast<int>(repeats.size()), skip = n - t.dim();
  FG_CHECK(skip >= 0, Runtime,
           "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor");
  DimArray sizes, wide, wide_strides;
  for (int i = 0; i < n; ++i) {
    FG_CHECK(repeats[i] >= 0, Runtime, "repeat: Trying to create tensor with negative dimension ", repeats[i]);
    int64_t size = i < skip ? 1 : t.size(i - skip);
    int64_t whole;
    FG_CHECK(!__builtin_mul_overflow(size, repeats[i], &whole), Runtime, "repeat: shape ", shape_text(t.sizes()),
             " repeated ", size_text(repeats), " times has more elements than 64 bits can count");
    sizes.push(whole);
    wide.push(repeats[i]), wide_strides.push(0);
    wide.push(size), wide_strides.push(i < skip ? 0 : t.stride(i - skip));
  }
  FG_CHECK(wide.n <= kMaxDims, Runtime, "repeat: too many dimensions (", n, ")");
  Tensor out = Tensor::empty(sizes, t.dtype(), t.device());
  const auto lay_out = [](const Tensor& to, Dims shape, const Tensor& from, Dims strides) {
    raw_copy(to.alias(shape, contiguous_strides(shape), 0), from.alias(shape, strides, from.offset()));
  };
  // What is short and repeated often is repeated once in a block that stays in a cache, and that block is copied.
  constexpr int64_t kBlockBytes = 1 << 16;
  const int64_t outer = n ? repeats[0] : 1, block = outer ? out.numel() / outer : 0;
  const bool in_blocks = n > 1 && outer > 4 && block > t.numel() && block * t.item_bytes() <= kBlockBytes;
  if (in_blocks) {
    const Tensor first = Tensor::empty(DimArray{block}, t.dtype(), t.device());
    const DimArray shape{outer, block}, strides{0, 1};
    lay_out(first, Dims(wide).subspan(1), t, Dims(wide_strides).subspan(1));
    lay_out(out, shape, first, strides);
  } else {
    lay_out(out, wide, t, wide_strides);
  }
  if (should_record(t)) {
    auto node = make_node<RepeatBackward0>(t);
    node->sizes = t.sizes();
    node->repeats = repeats;
    set_history(out, node);
  }
  return out;
}

}  // namespace fg
