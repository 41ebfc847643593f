// Complex tensors and their parts. The parts are views (pairs of reals in one more dimension); conj() is made at once,
// there is no lazy conjugate bit.
#include "core/layout.h"
#include "ops/view.h"

namespace fg {

namespace {

struct ViewAsRealBackward0 final : Node {
  const char* name() const override { return "ViewAsRealBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = view_as_complex(contiguous(g[0]));
  }
};

struct ViewAsComplexBackward0 final : Node {
  const char* name() const override { return "ViewAsComplexBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = view_as_real(contiguous(g[0]));
  }
};

struct ComplexBackward0 final : Node {
  DimList sizes[2];
  const char* name() const override { return "ComplexBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = sum_to(real(g[0]), sizes[0]);
    if (wants(1)) gx[1] = sum_to(imag(g[0]), sizes[1]);
  }
};

Tensor relaid(const Tensor& t, DType dtype, Dims sizes, Dims strides, int64_t offset) {
  Tensor out = t.alias();
  out.impl()->dtype = dtype;
  out.impl()->offset = offset;
  out.impl()->set_dims(sizes, strides);
  return out;
}

}  // namespace

Tensor pairs_of(const Tensor& t) {
  DimArray sizes(t.sizes()), strides(t.strides());
  for (int i = 0; i < strides.n; ++i) strides.v[i] = stride_times(strides[i], 2);
  sizes.push(2), strides.push(1);
  return relaid(t, real_of(t.dtype()), sizes, strides, t.offset() * 2);
}

Tensor complex_over(const Tensor& pairs) {
  DimArray sizes(pairs.sizes()), strides(pairs.strides());
  --sizes.n, --strides.n;
  for (int i = 0; i < strides.n; ++i) strides.v[i] /= 2;
  return relaid(pairs, complex_of(pairs.dtype()), sizes, strides, pairs.offset() / 2);
}

Tensor view_as_real(const Tensor& t) {
  FG_CHECK(is_complex(t.dtype()), Runtime, "view_as_real is only supported for complex tensors");
  return record_view(pairs_of(t), t, view_node<ViewAsRealBackward0>(t));
}

Tensor view_as_complex(const Tensor& t) {
  FG_CHECK(t.dtype() == DType::Float32 || t.dtype() == DType::Float64, Runtime,
           "view_as_complex is only supported for float and double tensors, but got a tensor of scalar type: ",
           dtype_name(t.dtype()));
  FG_CHECK(t.dim() > 0, Runtime, "Input tensor must have one or more dimensions");
  FG_CHECK(t.size(t.dim() - 1) == 2, Runtime, "Tensor must have a last dimension of size 2");
  FG_CHECK(t.stride(t.dim() - 1) == 1, Runtime, "Tensor must have a last dimension with stride 1");
  for (int i = 0; i + 1 < t.dim(); ++i)
    FG_CHECK(t.stride(i) % 2 == 0, Runtime, "Tensor must have a stride divisible by 2 for all but last dimension");
  FG_CHECK(t.offset() % 2 == 0, Runtime, "Tensor must have a storage_offset divisible by 2");
  return record_view(complex_over(t), t, view_node<ViewAsComplexBackward0>(t));
}

Tensor real(const Tensor& t) { return is_complex(t.dtype()) ? select(view_as_real(t), -1, 0) : t; }

Tensor imag(const Tensor& t) {
  FG_CHECK(is_complex(t.dtype()), Runtime, "imag is not implemented for tensors with non-complex dtypes.");
  return select(view_as_real(t), -1, 1);
}

Tensor complex(const Tensor& re, const Tensor& im) {
  FG_CHECK(re.dtype() != DType::Float16 || im.dtype() != DType::Float16, NotImplemented,
           "complex: complex32, the complex dtype of float16 numbers, is not supported");
  for (const Tensor* t : {&re, &im})
    FG_CHECK(t->dtype() == DType::Float32 || t->dtype() == DType::Float64, Runtime,
             "Expected both inputs to be Float or Double tensors but got ", dtype_name(re.dtype()), " and ",
             dtype_name(im.dtype()));
  FG_CHECK(re.dtype() == im.dtype(), Runtime, "Expected object of scalar type ", dtype_name(re.dtype()),
           " but got scalar type ", dtype_name(im.dtype()), " for second argument");
  FG_CHECK(re.device() == im.device(), Runtime, "complex: Expected all tensors to be on the same device, but found ",
           device_name(re.device()), " and ", device_name(im.device()));
  DimArray shape = broadcast_shapes(re.sizes(), im.sizes(), "complex");
  const Tensor* both[] = {&re, &im};
  Tensor out = Tensor::empty_strided(shape, result_strides(shape, both), complex_of(re.dtype()), re.device());
  {
    NoGradGuard guard;
    raw_copy(real(out), re);
    raw_copy(imag(out), im);
  }
  if (should_record(re, im)) {
    auto node = make_node<ComplexBackward0>(re, im);
    node->sizes[0] = re.sizes(), node->sizes[1] = im.sizes();
    set_history(out, node);
  }
  return out;
}

// The number of larger real part stands in front of the logarithm, so that the exponential stays below one. Where both
// are infinite with the same sign the sum is taken to be the first of them.
Tensor complex_logaddexp(const Tensor& a, const Tensor& b) {
  Arg both[] = {a, b};
  DType dtype = result_type(both);
  Tensor x = to_dtype(a, dtype), y = to_dtype(b, dtype);
  Tensor re_x = real(x), re_y = real(y);
  Tensor first = binary(Op::lt, re_x, re_y);
  Tensor low = where(first, x, y), high = where(first, y, x);
  Tensor infinite = binary(Op::logical_and, unary(Op::isinf, re_x), binary(Op::eq, re_x, re_y));
  Tensor apart = where(infinite, Scalar::of_int(0), sub(low, high));
  return where(infinite, low, add(high, unary(Op::log1p, unary(Op::exp, apart))));
}

Tensor conj(const Tensor& t, bool physical) {
  if (!is_complex(t.dtype())) return t;
  return unary(Op::conj_complex, t, physical ? kCalledAs : Scalar{});
}

Tensor sgn(const Tensor& t) { return unary(is_complex(t.dtype()) ? Op::sgn_complex : Op::sign, t); }

Tensor angle(const Tensor& t) {
  if (is_complex(t.dtype())) {
    Tensor z = contiguous(t);  // so that the angles are, as in torch
    return binary(Op::atan2, imag(z), real(z));
  }
  Tensor x = is_floating(t.dtype()) ? t : to_dtype(t, default_dtype());
  Tensor turn = where(binary(Op::lt, x, Scalar::of_int(0)), 3.14159265358979323846, zeros_like(x));
  return where(unary(Op::isnan, x), x, turn);
}

}  // namespace fg
