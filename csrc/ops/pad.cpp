// Padding by a value, and by elements of the tensor itself: one kernel each way.
#include <cstring>

#include "core/layout.h"
#include "ops/images.h"

namespace fg {

namespace {

struct Padding {
  DimArray before, after;  // of all dimensions; negative: cut
  Border border;
};

Padding padding_of(const Tensor& x, Dims pads, Border border) {
  Padding padding{DimArray(x.sizes()), DimArray(x.sizes()), border};
  for (int d = 0; d < x.dim(); ++d) padding.before[d] = padding.after[d] = 0;
  for (size_t k = 0; 2 * k < pads.size(); ++k) {
    const int d = x.dim() - 1 - static_cast<int>(k);
    padding.before[d] = pads[2 * k], padding.after[d] = pads[2 * k + 1];
  }
  return padding;
}

// What a dimension becomes; the numbers may be any.
Wide padded_size(int64_t size, int64_t before, int64_t after) { return Wide{size} + before + after; }

// `whole`: the sizes before padding.
PadArgs pad_args(const Padding& padding, Dims whole, DType dtype, Device device) {
  PadArgs args{};
  args.dtype = dtype;
  args.border = padding.border;
  args.stream = Storage::current_stream(device);
  args.ndim = 0;
  const auto add = [&](int64_t size, int64_t before, int64_t after) {
    args.sizes[args.ndim] = size;
    args.before[args.ndim] = before;
    args.after[args.ndim++] = after;
  };
  // Neighbours that are not padded are one dimension; a value may be added to it and the next one together.
  int64_t run = 1;
  bool pending = false;
  for (int d = static_cast<int>(whole.size()) - 1; d >= 0; --d) {
    const int64_t size = whole[static_cast<size_t>(d)], before = padding.before[d], after = padding.after[d];
    if (before == 0 && after == 0) {
      run *= size;
      pending = true;
      continue;
    }
    if (padding.border != Border::constant && pending) {
      add(run, 0, 0);
      run = 1;
    }
    add(size * run, before * run, after * run);
    run = 1;
    pending = false;
  }
  if (pending || args.ndim == 0) add(run, 0, 0);
  return args;
}

Tensor padded(const Tensor& x, const Padding& padding, Scalar value) {
  NoGradGuard guard;
  DimArray sizes(x.sizes());
  for (int d = 0; d < x.dim(); ++d) {
    const Wide size = padded_size(x.size(d), padding.before[d], padding.after[d]);
    FG_CHECK(size >= 0 && fits(size) && std::min(padding.before[d], padding.after[d]) >= -kFarthest, Runtime,
             "pad: the padding ", padding.before[d], " and ", padding.after[d], " gives dimension ", d, " of input ",
             size_text(x.sizes()), " no size that can be");
    sizes[d] = static_cast<int64_t>(size);
  }
  if (x.numel() == 0) return full(sizes, value, x.dtype(), x.device());
  Tensor in = dense(x), out = Tensor::empty(sizes, x.dtype(), x.device());
  if (out.numel() == 0) return out;
  PadArgs args = pad_args(padding, x.sizes(), x.dtype(), x.device());
  if (padding.border == Border::constant) {
    Tensor one = full(DimArray{1}, value, x.dtype(), Device{});
    memcpy(args.value, one.data(), static_cast<size_t>(one.item_bytes()));
  }
  args.out = out.mutable_data(), args.in = in.data();
  auto kernel = backend(x.device()).pad;
  if (!kernel) fail_no_kernel("pad", x.device());
  GilRelease release(out.numel());
  kernel(args);
  return out;
}

const char* copied_name(Border border, int dims) {
  static const char* const reflect[] = {"ReflectionPad1DBackward0", "ReflectionPad2DBackward0",
                                        "ReflectionPad3DBackward0"};
  static const char* const replicate[] = {"ReplicationPad1DBackward0", "ReplicationPad2DBackward0",
                                          "ReplicationPad3DBackward0"};
  return border == Border::reflect     ? reflect[dims - 1]
         : border == Border::replicate ? replicate[dims - 1]
                                       : "CircularPadBackward0";
}

Tensor gathered(const Tensor& g, const Padding& padding, Dims sizes, const char* name);

// Both directions of the linear map: each is the gradient of the other.
struct PadNode final : Node {
  const char* name_;
  DimList before, after, sizes;  // sizes: before padding
  Border border;
  bool adjoint;
  const char* name() const override { return name_; }
  void apply(Tensor* g, Tensor* gx) override {
    if (!wants(0)) return;
    Padding padding{DimArray(before), DimArray(after), border};
    if (!adjoint) {
      gx[0] = gathered(g[0], padding, sizes, name_);
      return;
    }
    gx[0] = padded(g[0], padding, Scalar::of_int(0));
    record(gx[0], g[0], padding, sizes, name_, false);
  }
  static void record(const Tensor& out, const Tensor& in, const Padding& padding, Dims sizes, const char* name,
                     bool adjoint) {
    if (!should_record(in)) return;
    auto node = make_node<PadNode>(in);
    node->name_ = name;
    node->before = Dims(padding.before), node->after = Dims(padding.after), node->border = padding.border;
    node->sizes = sizes;
    node->adjoint = adjoint;
    set_history(out, node);
  }
};

// The sum of what each element went to. sizes: before padding.
Tensor gathered(const Tensor& g, const Padding& padding, Dims sizes, const char* name) {
  Tensor out;
  {
    NoGradGuard guard;
    if (is_complex(g.dtype())) {  // numbers in pairs
      Padding pairs = padding;
      pairs.before.push(0), pairs.after.push(0);
      DimArray pair_sizes(sizes);
      pair_sizes.push(2);
      out = view_as_complex(gathered(view_as_real(g), pairs, pair_sizes, name));
      PadNode::record(out, g, padding, sizes, name, true);
      return out;
    }
    if (padding.border == Border::constant) {  // cut off what was added; what was cut off gets 0
      Padding back = padding;
      for (int d = 0; d < g.dim(); ++d) back.before[d] = -back.before[d], back.after[d] = -back.after[d];
      out = padded(g, back, Scalar::of_int(0));
    } else {
      const DType dtype = kernel_dtype(g.dtype());
      Tensor in = dense(to_dtype(g, dtype));
      out = Tensor::empty(sizes, dtype, g.device());
      PadArgs args = pad_args(padding, sizes, dtype, g.device());
      args.out = out.mutable_data(), args.in = in.data();
      auto kernel = backend(g.device()).pad_grad;
      if (!kernel) fail_no_kernel("pad", g.device());
      GilRelease release(g.numel());
      if (g.numel()) kernel(args);
      else zero_(out);
    }
    out = to_dtype(out, g.dtype());
  }
  PadNode::record(out, g, padding, sizes, name, true);
  return out;
}

}  // namespace

Tensor pad_constant(const Tensor& x, Dims pads, Scalar value) {
  Padding padding = padding_of(x, pads, Border::constant);
  for (int d = x.dim() - 1; d >= 0; --d) {
    const int64_t before = padding.before[d], after = padding.after[d];
    FG_CHECK(padded_size(x.size(d), std::min<int64_t>(before, 0), std::min<int64_t>(after, 0)) >= 0, Runtime,
             "The input size ", x.size(d), ", plus negative padding ", before, " and ", after,
             ", resulted in a negative output size");
  }
  Tensor out = padded(x, padding, number_for(value, x.dtype(), true));
  PadNode::record(out, x, padding, x.sizes(), "ConstantPadNdBackward0", false);
  return out;
}

Tensor pad_copied(const Tensor& x, Dims pads, Border border) {
  const int dims = static_cast<int>(pads.size() / 2);
  FG_CHECK(dims >= 1 && dims <= 3 && dims < x.dim(), Runtime,
           "pad: the last one to three dimensions can be padded, not ", dims, " of ", x.dim());
  FG_CHECK(x.dtype() != DType::Bool || border == Border::circular, NotImplemented, "\"",
           border == Border::reflect ? "reflection" : "replication", "_pad", dims, "d\" not implemented for 'Bool'");
  Padding padding = padding_of(x, pads, border);
  const bool circular = border == Border::circular;
  bool any = circular;  // whether some dimension is not empty: to torch that is enough
  for (int d = x.dim() - dims; d < x.dim(); ++d) {
    const int64_t size = x.size(d), front = padding.before[d], back = padding.after[d], most = std::max(front, back);
    FG_CHECK(border != Border::reflect || most < size, Runtime,
             "Padding size should be less than the corresponding input dimension, but got: padding (", front, ", ",
             back, ") at dimension ", d, " of input ", size_text(x.sizes()));
    FG_CHECK(!circular || most <= padded_size(size, std::min<int64_t>(front, 0), std::min<int64_t>(back, 0)), Runtime,
             "Padding value causes wrapping around more than once.");
    const Wide out = padded_size(size, front, back);
    any |= out > 0;
    FG_CHECK((circular || size > 0) && out >= 0 && (any || d + 1 < x.dim()), Runtime, "pad: input ",
             size_text(x.sizes()), " is too small: calculated output size ", nearest(out), " in dimension ", d);
  }
  Tensor out = padded(x, padding, Scalar::of_int(0));
  PadNode::record(out, x, padding, x.sizes(), copied_name(border, dims), false);
  return out;
}

}  // namespace fg
