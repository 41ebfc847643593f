// Masks: positions of true elements, and the ops that write or read where a mask is true.
#include "ops/index_plan.h"

namespace fg {

Tensor flat_nonzero(const Tensor& mask) {  // positions of true elements in logical order
  NoGradGuard guard;
  Tensor bytes = contiguous(mask.dtype() == DType::Bool ? mask : binary(Op::ne, mask, Scalar::of_int(0)));
  const Backend& table = backend(bytes.device());
  Stream stream = Storage::current_stream(bytes.device());
  int64_t n = bytes.numel() ? table.nonzero(bytes.data<uint8_t>(), bytes.numel(), nullptr, stream) : 0;
  Tensor out = Tensor::empty(DimArray{n}, DType::Int64, bytes.device());
  if (n) {
    if (out.device().is_cpu()) *out.mutable_data<int64_t>() = n;  // the room there is
    int64_t written;
    {
      GilRelease release(bytes.numel());
      written = table.nonzero(bytes.data<uint8_t>(), bytes.numel(), out.mutable_data<int64_t>(), stream);
    }
    FG_CHECK(!out.device().is_cpu() || written == n, Runtime,
             "nonzero: another thread changed the mask while it was read");
  }
  return out;
}

// Into rows of (dimensions, positions), which are contiguous.
static void put_coordinates(const Tensor& flat, Dims sizes, const Tensor& rows) {
  const auto put = [](Op op, const Tensor& a, Arg b, const Tensor& out) {
    const Arg args[] = {a, b};
    elementwise(op, args, {}, {}, &out);
  };
  Tensor rest = flat;
  for (int d = static_cast<int>(sizes.size()) - 1; d > 0; --d) {
    const int64_t size = sizes[d];
    const Tensor row = select(rows, 0, d);
    // Where the other positions go to: the last ones are the first coordinate.
    const Tensor above = d == 1 ? select(rows, 0, 0) : Tensor::empty(flat.sizes(), DType::Int64, flat.device());
    if ((size & (size - 1)) == 0) {  // positions are not negative: shifts, which take far less than divisions
      put(Op::bitwise_and, rest, Scalar::of_int(size - 1), row);
      put(Op::bitwise_right_shift, rest, Scalar::of_int(__builtin_ctzll(static_cast<uint64_t>(size))), above);
    } else {
      put(Op::floor_divide, rest, Scalar::of_int(size), above);
      put(Op::mul, above, Scalar::of_int(-size), row);
      put(Op::add, row, rest, row);
    }
    rest = above;
  }
  if (sizes.size() == 1) raw_copy(select(rows, 0, 0), flat);
}

std::vector<Tensor> coordinates(const Tensor& flat, Dims sizes) {
  NoGradGuard guard;
  std::vector<Tensor> out(sizes.size());
  if (sizes.size() == 1 || flat.numel() == 0) {
    for (Tensor& t : out) t = flat;
    return out;
  }
  const Tensor rows =
      Tensor::empty(DimArray{static_cast<int64_t>(sizes.size()), flat.numel()}, DType::Int64, flat.device());
  put_coordinates(flat, sizes, rows);
  for (size_t d = 0; d < sizes.size(); ++d) out[d] = select(rows, 0, static_cast<int64_t>(d));
  return out;
}

namespace {

struct MaskedFillNode final : Node {
  const char* name_;
  Saved mask;
  const char* name() const override { return name_; }
  void release_saved() override { mask.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    Tensor m = mask.unpack(this);
    if (wants(0)) gx[0] = sum_to(masked_fill(g[0], m, 0.0), sizes);
    if (wants(1)) gx[1] = to_dtype(sum(where(m, g[0], 0.0)), value_dtype);
  }
  DimList sizes;
  DType value_dtype = DType::kUndefined;
};

Ptr<MaskedFillNode> masked_fill_node(const Tensor& t, const Tensor& mask, Arg value) {
  if (!is_inexact(t.dtype())) return {};
  bool records = value.tensor ? should_record(t, *value.tensor) : should_record(t);
  if (!records) return {};
  auto node = value.tensor ? make_node<MaskedFillNode>(t, *value.tensor) : make_node<MaskedFillNode>(t, Tensor());
  node->name_ = value.tensor ? "MaskedFillBackward1" : "MaskedFillBackward0";
  node->mask.save(mask);
  node->sizes = t.sizes();
  if (value.tensor) node->value_dtype = value.tensor->dtype();
  return node;
}

void check_mask(const Tensor& t, const Tensor& mask, Arg value) {
  FG_CHECK(mask.dtype() == DType::Bool, Runtime, "masked_fill only supports boolean masks, but got mask with dtype ",
           dtype_name(mask.dtype()));
  if (value.tensor)
    FG_CHECK(value.tensor->dim() == 0, Runtime,
             "masked_fill only supports a 0-dimensional value tensor, but got tensor with ", value.tensor->dim(),
             " dimension(s).");
  FG_CHECK(!value.tensor || t.dtype() == DType::Bool || can_cast(value.tensor->dtype(), t.dtype()), Runtime,
           "masked_fill: value cannot be converted to type ", dtype_name(t.dtype()), " without overflow");
  (void)broadcast_shapes(t.sizes(), mask.sizes(), "masked_fill");
}

// The value as a number of the category of t: the fraction is cut off for integers.
Arg fill_value(const Tensor& t, const Arg& value) {
  return number_for(value.tensor ? item(*value.tensor) : value.scalar, t.dtype(), true);
}

}  // namespace

Tensor nonzero(const Tensor& t) {
  NoGradGuard guard;
  Tensor flat = flat_nonzero(t);
  int64_t n = flat.numel();
  if (t.dim() == 0) return Tensor::empty(DimArray{n, 0}, DType::Int64, t.device());
  const Tensor rows = Tensor::empty(DimArray{t.dim(), n}, DType::Int64, t.device());
  if (n) put_coordinates(flat, t.sizes(), rows);
  return transpose(rows, 0, 1);  // each column contiguous, as in torch
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
    out = Tensor::empty(broadcast_shapes(t.sizes(), mask.sizes(), "masked_fill"), t.dtype(), t.device());
    Arg args[] = {mask, fill_value(t, value), t};
    elementwise(Op::where, args, {}, {}, &out);
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

}  // namespace fg
