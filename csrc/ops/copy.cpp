// Copies, casts and fills.
#include <cstring>

#include "core/cuda_table.h"
#include "ops/ops.h"
#include "ops/pinned.h"

namespace fg {

namespace {

struct CloneBackward0 final : Node {
  const char* name() const override { return "CloneBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = g[0];
  }
};

struct ToCopyBackward0 final : Node {
  DType dtype;
  Device device;
  const char* name() const override { return "ToCopyBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = to_device(to_dtype(g[0], dtype), device);
  }
};

// In-place copy: nothing of the old value remains.
struct CopyBackwards final : Node {
  DType dtype;
  Device device;
  DimList sizes;
  const char* name() const override { return "CopyBackwards"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = zeros_like(g[0]);
    if (wants(1)) gx[1] = to_device(to_dtype(sum_to(g[0], sizes), dtype), device);
  }
};

struct FillBackward final : Node {
  const char* name_;
  DType dtype = DType::kUndefined;  // of the value
  explicit FillBackward(const char* name) : name_(name) {}
  const char* name() const override { return name_; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = zeros_like(g[0]);
    if (wants(1)) gx[1] = to_dtype(sum(g[0]), dtype);
  }
};

void check_complex_copy(const Backend& table, Device device) {
  FG_CHECK(table.copy_complex, NotImplemented, "copy: no kernel for complex dtypes on ", device_name(device));
}

DimArray kept_strides(const Tensor& t) {
  if (t.is_dense()) return DimArray(t.strides());
  const Tensor* one[] = {&t};
  return result_strides(t.sizes(), one);
}

}  // namespace

void raw_copy(const Tensor& out, const Tensor& in) {
  if (out.numel() == 0) return;
  if (out.device() == in.device()) {
    const Backend& table = backend(out.device());
    Iter iter;
    IterInput input{in.data(), in.dtype(), &in};
    make_iter(iter, out, {&input, 1}, compute_of(in.dtype()));
    ElementwiseFn kernel = table.copy;
    if (in.dtype() == DType::Complex64 && out.dtype() == DType::Complex64) {  // 8 bytes moved as they are
      iter.compute = Compute::I64;
      iter.out.dtype = iter.in[0].dtype = DType::Int64;
    } else if (is_complex(in.dtype()) || is_complex(out.dtype())) {
      check_complex_copy(table, out.device());
      kernel = table.copy_complex;
    }
    GilRelease release(iter.numel);
    kernel(iter);
    return;
  }
  // Between devices: bytes of one dtype in one run.
  Tensor source = in;
  if (!same(in.sizes(), out.sizes()) || !in.is_contiguous() || in.dtype() != out.dtype()) {
    source = Tensor::empty(out.sizes(), out.dtype(), in.device());
    raw_copy(source, in);
  }
  Tensor target = out.is_contiguous() ? out : Tensor::empty(out.sizes(), out.dtype(), out.device());
  bool to_host = out.device().is_cpu();
  Device device = to_host ? in.device() : out.device();
  const Backend& table = backend(device);
  Stream stream = Storage::current_stream(device);
  {
    GilRelease release(out.numel());
    // From one GPU to another: their streams know nothing of each other.
    bool two_gpus = !to_host && !in.device().is_cpu();
    if (two_gpus) table.synchronize(Storage::current_stream(in.device()));
    const bool later =
        without_waiting() && !two_gpus && is_pinned(to_host ? target : source) && (!to_host || target.is_same(out));
    (later ? cuda_table().copy_later : table.copy_bytes)(target.mutable_data(), source.data(),
                                                         out.numel() * out.item_bytes(),
                                                         to_host    ? CopyKind::to_host
                                                         : two_gpus ? CopyKind::within
                                                                    : CopyKind::to_device,
                                                         stream);
    if (two_gpus) table.synchronize(stream);
  }
  check_device(device, "copy");
  if (!target.is_same(out)) raw_copy(out, target);
}

Tensor copy_with_strides(const Tensor& t, Dims strides) {
  Tensor out = Tensor::empty_strided(t.sizes(), strides, t.dtype(), t.device());
  raw_copy(out, t);
  if (should_record(t)) set_history(out, make_node<CloneBackward0>(t));
  return out;
}

Tensor clone(const Tensor& t) { return copy_with_strides(t, kept_strides(t)); }

Tensor clone_like(const Tensor& t, const Tensor& like) {
  return copy_with_strides(
      t, like.is_dense() && same(like.sizes(), t.sizes()) ? DimArray(like.strides()) : contiguous_strides(t.sizes()));
}

Tensor contiguous(const Tensor& t) {
  return t.is_contiguous() ? t : copy_with_strides(t, contiguous_strides(t.sizes()));
}

Tensor clone_contiguous(const Tensor& t) { return copy_with_strides(t, contiguous_strides(t.sizes())); }

Tensor apart(const Tensor& t, const Tensor& from) {
  if (!t.shares_storage(from)) return t;
  NoGradGuard guard;
  return clone(t);
}

Tensor to_dtype(const Tensor& t, DType dtype, bool copy) {
  if (t.dtype() == dtype) return copy ? clone(t) : t;
  Tensor out = Tensor::empty_strided(t.sizes(), kept_strides(t), dtype, t.device());
  raw_copy(out, t);
  if (is_inexact(dtype) && should_record(t)) {
    auto node = make_node<ToCopyBackward0>(t);
    node->dtype = t.dtype();
    node->device = t.device();
    set_history(out, node);
  }
  return out;
}

Tensor to_device(const Tensor& t, Device device, bool copy) {
  if (t.device() == device) return copy ? clone(t) : t;
  // What need not be waited for goes to pinned memory, as in torch.
  Tensor out = without_waiting() && device.is_cpu()
                   ? pinned_like(t)
                   : Tensor::empty_strided(t.sizes(), kept_strides(t), t.dtype(), device);
  raw_copy(out, t);
  if (should_record(t)) {
    auto node = make_node<ToCopyBackward0>(t);
    node->dtype = t.dtype();
    node->device = t.device();
    set_history(out, node);
  }
  return out;
}

void copy_(const Tensor& self, const Tensor& source) {
  check_inplace(self, "copy_");
  if (self.is_same(source)) return;
  FG_CHECK(source.dim() <= self.dim() || source.numel() == 1, Runtime, "copy_: output with shape ",
           size_text(self.sizes()), " doesn't match the broadcast shape ", size_text(source.sizes()));
  if (!same(self.sizes(), source.sizes())) {
    DimArray shape = broadcast_shapes(self.sizes(), source.sizes(), "copy_");
    FG_CHECK(same(shape, self.sizes()), Runtime, "copy_: The expanded size of the tensor ", size_text(self.sizes()),
             " must match the existing size ", size_text(source.sizes()));
  }
  check_writable_layout(self, "copy_");
  Ptr<CopyBackwards> node;
  if (is_inexact(self.dtype()) && should_record(self, source)) {
    node = make_node<CopyBackwards>(self, source);
    node->dtype = source.dtype();
    node->device = source.device();
    node->sizes = source.sizes();
  }
  if (overlaps_partly(self, source)) {
    NoGradGuard guard;
    raw_copy(self, clone(source));
  } else {
    raw_copy(self, source);
  }
  self.bump_version();
  if (node) rebase_history(self, node);
}

void raw_fill(const Tensor& self, Scalar value) {
  Scalar number = number_for(value, self.dtype());
  if (self.numel() == 0) return;
  Iter iter;
  if (is_complex(self.dtype())) {
    double parts[] = {value.f, value.imaginary};
    IterInput input{parts, DType::Complex128, nullptr};
    make_iter(iter, self, {&input, 1}, compute_of(self.dtype()));
    const Backend& table = backend(self.device());
    check_complex_copy(table, self.device());
    return table.copy_complex(iter);
  }
  make_iter(iter, self, {}, compute_of(self.dtype()));
  iter.params[0] = number.param();
  GilRelease release(iter.numel);
  backend(self.device()).fill(iter);
}

static void fill_as(const Tensor& self, Scalar value, const char* op, const char* node_name) {
  check_inplace(self, op);
  check_writable_layout(self, op);
  Ptr<Node> node;
  if (should_record(self)) {
    node = Ptr<Node>::adopt(new FillBackward(node_name));
    node->set_edges(1);
    connect(*node, 0, self);
  }
  raw_fill(self, number_for(value, self.dtype(), true));
  self.bump_version();
  if (node) rebase_history(self, node);
}

void fill_(const Tensor& self, Scalar value) { fill_as(self, value, "fill_", "FillBackward2"); }
void zero_(const Tensor& self) { fill_as(self, Scalar::of_int(0), "zero_", "ZeroBackward0"); }

void fill_tensor_(const Tensor& self, const Tensor& value) {
  FG_CHECK(value.dim() == 0, Runtime, "fill_ only supports 0-dimension value tensor but got tensor with ", value.dim(),
           " dimensions.");
  check_inplace(self, "fill_");
  check_writable_layout(self, "fill_");
  Ptr<FillBackward> node;
  if (is_inexact(self.dtype()) && should_record(self, value)) {
    node = Ptr<FillBackward>::adopt(new FillBackward("FillBackward3"));
    node->dtype = value.dtype();
    node->set_edges(2);
    connect(*node, 0, self);
    connect(*node, 1, value);
  }
  if (self.shares_storage(value)) raw_fill(self, item(value));
  else raw_copy(self, value.device() == self.device() ? value : to_device(value, self.device()));
  self.bump_version();
  if (node) rebase_history(self, node);
}

Scalar item(const Tensor& t) {
  FG_CHECK(t.numel() == 1, Runtime, "a Tensor with ", t.numel(), " elements cannot be converted to Scalar");
  if (!t.device().is_cpu()) {
    NoGradGuard guard;
    return item(to_device(t, Device{}));
  }
  const void* p = t.data();
  switch (t.dtype()) {
    case DType::Bool: return Scalar::of_bool(*static_cast<const uint8_t*>(p) != 0);
    case DType::UInt8: return Scalar::of_int(*static_cast<const uint8_t*>(p));
    case DType::Int8: return Scalar::of_int(*static_cast<const int8_t*>(p));
    case DType::Int16: return Scalar::of_int(*static_cast<const int16_t*>(p));
    case DType::Int32: return Scalar::of_int(*static_cast<const int32_t*>(p));
    case DType::Int64: return Scalar::of_int(*static_cast<const int64_t*>(p));
    case DType::Float32: return Scalar::of(*static_cast<const float*>(p));
    case DType::Float64: return Scalar::of(*static_cast<const double*>(p));
    case DType::Complex64: return Scalar::of_complex(static_cast<const float*>(p)[0], static_cast<const float*>(p)[1]);
    case DType::Complex128:
      return Scalar::of_complex(static_cast<const double*>(p)[0], static_cast<const double*>(p)[1]);
    default: {
      NoGradGuard guard;
      return item(to_dtype(t, DType::Float32));
    }
  }
}

Tensor resize_out(const Tensor& out, Dims sizes, Dims strides) {
  FG_CHECK(out.storage().writable(), Runtime, "out: the memory of this tensor is read-only");
  if (same(out.sizes(), sizes)) return out;
  FG_CHECK(out.is_leaf(), Runtime, "out: a tensor of shape ", shape_text(out.sizes()),
           " that a recorded op made cannot take the shape ", shape_text(sizes));
  TensorImpl* impl = out.impl();
  int64_t bytes = count_of(sizes) * out.item_bytes();
  if (static_cast<int64_t>(impl->storage->bytes()) < bytes + out.offset() * out.item_bytes()) {
    impl->set_storage(Storage::make(bytes, out.device()));
    impl->offset = 0;
  }
  if (strides.size()) impl->set_dims(sizes, strides);
  else impl->set_dims(sizes, contiguous_strides(sizes));
  return out;
}

}  // namespace fg
