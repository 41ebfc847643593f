// Convolutions of one to three dimensions, plain and transposed, and their gradients.
//
// Everything is one trilinear form, F(x, w, g) = <g, x convolved with w>: the convolution is its gradient for g, the
// transposed convolution the one for x, and the third is the gradient of both for w. `conv_form` computes and records
// them alike, so that derivatives of any order exist. Start at `convolution` (arguments) or `ConvNode` (gradients).
#include "core/layout.h"
#include "ops/autocast.h"
#include "ops/images.h"
#include "ops/words.h"

namespace fg {

Tensor dense(const Tensor& t) {
  if (t.is_contiguous()) return t;
  NoGradGuard guard;
  return contiguous(t);
}

void fail_no_kernel(const char* op, Device device) {
  fail(ErrorKind::NotImplemented, op, ": no kernel on ", device_name(device));
}

DType kernel_dtype(DType dtype) {
  FG_CHECK(!is_complex(dtype), NotImplemented, "this operation is not implemented for '", dtype_name(dtype), "'");
  return is_floating(dtype) && item_size(dtype) == 2 ? DType::Float32 : dtype;
}

namespace {

enum Role { X = 0, W = 1, G = 2 };

Role role_of(Conv wanted) {
  return wanted == Conv::output ? G : wanted == Conv::input ? X : W;
}
Conv form_for(Role role) {
  return role == G ? Conv::output : role == X
  ? Conv::input : Conv::weight;
}
// The two roles that are given when one is wanted.
Role first_role(Conv wanted) { return wanted == Conv::input ? W : X; }
Role second_role(Conv wanted) { return wanted == Conv::output ? W : G; }

struct Channels {
  int64_t batch, in, out;  // channels of one group
};

Channels channels_of(Conv wanted, const ConvShape& s, const Tensor& a, const Tensor& b) {
  switch (wanted) {
    case Conv::output: return {a.size(0), b.size(1), b.size(0) / s.groups};
    case Conv::input: return {b.size(0), a.size(1), a.size(0) / s.groups};
    default: return {a.size(0), a.size(1) / s.groups, b.size(1) / s.groups};
  }
}

DimArray sizes_of(Role role, const ConvShape& s, const Channels& c) {
  DimArray sizes;
  sizes.push(role == W ? s.groups * c.out : c.batch);
  sizes.push(role == W ? c.in : role == X ? s.groups * c.in : s.groups * c.out);
  const int64_t* extent = role == X
  ? s.in : role == W ? s.kernel : s.out;
  for (int d = 3 - s.dims; d < 3; ++d) sizes.push(extent[d]);
  return sizes;
}

Tensor compute(Conv wanted, const ConvShape& s, const Tensor& a_in, const Tensor& b_in, const Tensor& bias_in) {
  NoGradGuard guard;
  DType dtype = a_in.dtype(), compute = kernel_dtype(dtype);
  Channels c = channels_of(wanted, s, a_in, b_in);
  DimArray sizes = sizes_of(role_of(wanted), s, c);
  if (count_of(sizes) == 0) return Tensor::empty(sizes, dtype, a_in.device());
  if (a_in.numel() == 0 || b_in.numel() == 0) {
    Tensor out = zeros(sizes, dtype, a_in.device());
    if (!bias_in.defined()) return out;
    DimArray column{bias_in.size(0)};
    for (int d = 0; d < s.dims; ++d) column.push(1);
    return add(out, view(bias_in, column));
  }
  Tensor a = dense(to_dtype(a_in, compute)), b = dense(to_dtype(b_in, compute));
  Tensor bias = bias_in.defined() ? dense(to_dtype(bias_in, compute)) : bias_in;
  Tensor out = Tensor::empty(sizes, compute, a.device());
  ConvArgs args{};
  args.wanted = wanted;
  args.dtype = compute;
  args.out = out.mutable_data();
  const void* given[3] = {};
  given[first_role(wanted)] = a.data();
  given[second_role(wanted)] = b.data();
  args.x = given[X], args.w = given[W], args.g = given[G];
  args.bias = bias.defined() ? bias.data() : nullptr;
  args.batch = c.batch, args.groups = s.groups, args.in_channels = c.in, args.out_channels = c.out;
  int64_t places = 1, taps = 1, plane = 1;
  const int64_t room = INT32_MAX / std::max(c.in, c.out);  // kernels count one image in 32 bits
  for (int d = 0; d < 3; ++d) {
    args.in[d] = s.in[d], args.kernel[d] = s.kernel[d], args.out_size[d] = s.out[d], args.padding[d] = s.padding[d];
    // Where there is one step or one tap its width does not count, however large it is.
    args.stride[d] = s.out[d] > 1 ? s.stride[d] : 1, args.dilation[d] = s.kernel[d] > 1 ? s.dilation[d] : 1;
    places *= s.out[d], taps *= s.kernel[d];
    const Wide extent =
        std::max(Wide{s.in[d]}, Wide{s.out[d]} * args.stride[d]) + 2 * (Wide{s.kernel[d]} - 1) * args.dilation[d] + 2;
    FG_CHECK(extent < room / plane && s.padding[d] < room, Runtime, "convolution: one image of size ",
             size_text(a_in.sizes()), " is too large");
    plane *= static_cast<int64_t>(extent);
  }
  args.stream = Storage::current_stream(a.device());
  auto kernel = backend(a.device()).conv;
  if (!kernel) fail_no_kernel("convolution", a.device());
  {
    GilRelease release(c.batch * s.groups * c.out * places * (taps * c.in / 16 + 1));
    kernel(args);
  }
  return to_dtype(out, dtype);
}

struct ConvNode final : Node {
  Conv wanted;
  ConvShape shape;
  Saved a, b;
  const char* name() const override { return "ConvolutionBackward0"; }
  void release_saved() override { a.clear(), b.clear(); }
  // h: the gradient of what was wanted. Both gradients are the form again, with h in the place of that.
  void apply(Tensor* g, Tensor* gx) override {
    const Tensor& h = g[0];
    const auto of_first = [&] {
      if (wants(0)) gx[0] = with(first_role(wanted), second_role(wanted), b.unpack(this), h);
      b.done(this);
    };
    const auto of_second = [&] {
      if (wants(1)) gx[1] = with(second_role(wanted), first_role(wanted), a.unpack(this), h);
      a.done(this);
    };
    // That of the weight first, for which the images are needed.
    if (first_role(wanted) == W) of_first(), of_second();
    else of_second(), of_first();
    if (wants(2)) {
      DimArray dims{0};
      for (int d = 0; d < shape.dims; ++d) dims.push(2 + d);
      gx[2] = sum(h, dims);
    }
  }
  Tensor with(Role target, Role kept, const Tensor& t, const Tensor& h) {
    return role_of(wanted) < kept ? conv_form(form_for(target), shape, h, t, {})
                                  : conv_form(form_for(target), shape, t, h, {});
  }
};

}  // namespace

Tensor conv_form(Conv wanted, const ConvShape& shape, const Tensor& a, const Tensor& b, const Tensor& bias) {
  Tensor out = compute(wanted, shape, a, b, bias);
  if (should_record(a, b, bias)) {
    auto node = make_node<ConvNode>(a, b, bias);
    node->wanted = wanted;
    node->shape = shape;
    if (node->wants(0)) node->b.save(b);
    if (node->wants(1)) node->a.save(a);
    set_history(out, node);
  }
  return out;
}

// ---- arguments

namespace {

void expand_option(Dims given, int dims, const char* what, const char* name, int64_t (&out)[3], int64_t otherwise) {
  FG_CHECK(given.size() <= 1 || static_cast<int>(given.size()) == dims, Runtime, name, ": expected ", what,
           " to be a single integer value or a list of ", dims, " values to match the convolution dimensions, but got ",
           what, "=", size_text(given));
  for (int d = 0; d < 3; ++d) {
    int k = d - (3 - dims);
    out[d] = k < 0 || given.empty() ? otherwise : given.size() == 1 ? given[0] : given[static_cast<size_t>(k)];
  }
}

void check_positive(const int64_t (&values)[3], int64_t least, const char* name, const char* text) {
  for (int64_t v : values) FG_CHECK(v >= least, Runtime, name, ": ", text, " is not supported");
}

const char* plain_type(DType t) {
  switch (t) {
    case DType::Float32: return "float";
    case DType::Float64: return "double";
    case DType::Float16: return "c10::Half";
    case DType::BFloat16: return "c10::BFloat16";
    default: return dtype_name(t);
  }
}

void check_tensors(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& o, const char* name) {
  FG_CHECK(x.device() == w.device() && (!bias.defined() || bias.device() == x.device()), Runtime, name,
           ": Expected all tensors to be on the same device");
  FG_CHECK(x.dtype() == w.dtype(), Runtime, name, ": Input type (", plain_type(x.dtype()), ") and weight type (",
           plain_type(w.dtype()), ") should be the same");
  FG_CHECK(!bias.defined() || bias.dtype() == x.dtype(), Runtime, name, ": Input type (", plain_type(x.dtype()),
           ") and bias type (", plain_type(bias.defined() ? bias.dtype() : x.dtype()), ") should be the same");
  FG_CHECK(x.dtype() != DType::Bool && !is_complex(x.dtype()), NotImplemented, "\"", name, "\" not implemented for '",
           dtype_name(x.dtype()), "'");
  FG_CHECK(o.groups > 0, Runtime, name, ": non-positive groups is not supported");
  FG_CHECK(w.size(0) >= o.groups, Runtime, name, ": Given groups=", o.groups, ", expected weight to be at least ",
           o.groups, " at dimension 0, but got weight of size ", size_text(w.sizes()), " instead");
  FG_CHECK(w.size(0) % o.groups == 0, Runtime, name, ": Given groups=", o.groups,
           ", expected weight to be divisible by ", o.groups, " at dimension 0, but got weight of size ",
           size_text(w.sizes()), " instead");
  if (o.transposed) {
    FG_CHECK(x.size(1) == w.size(0), Runtime, name, ": Given transposed=1, weight of size ", size_text(w.sizes()),
             ", expected input", size_text(x.sizes()), " to have ", w.size(0), " channels, but got ", x.size(1),
             " channels instead");
  } else {
    FG_CHECK(x.size(1) == w.size(1) * o.groups, Runtime, name, ": Given groups=", o.groups, ", weight of size ",
             size_text(w.sizes()), ", expected input", size_text(x.sizes()), " to have ", w.size(1) * o.groups,
             " channels, but got ", x.size(1), " channels instead");
  }
  int64_t channels = o.transposed ? w.size(1) * o.groups : w.size(0);
  FG_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == channels), Runtime, name, ": Given ",
           o.transposed ? "transposed=1, " : "", "weight of size ", size_text(w.sizes()),
           ", expected bias to be 1-dimensional with ", channels, " elements, but got bias of size ",
           bias.defined() ? size_text(bias.sizes()) : "", " instead");
}

std::string product_text(const int64_t* values, int dims) {
  std::string out = "(";
  for (int d = 3 - dims; d < 3; ++d) out += (d > 3 - dims ? " x " : "") + std::to_string(values[d]);
  return out + ")";
}

// The sizes that the arguments leave open: of the output, or, for a transposed convolution, of `in`, which is its
// output.
void find_sizes(ConvShape& s, const Tensor& x, const int64_t (&output_padding)[3], const ConvOptions& o,
                const char* name) {
  int64_t padded[3];
  for (int d = 0; d < 3; ++d) {
    int k = d - (3 - s.dims);
    FG_CHECK(s.padding[d] <= INT64_MAX / 2, Runtime, name, ": Given padding=", s.padding[d], " at dimension ", k,
             ", expected padding to be at most ", INT64_MAX / 2);
    const int64_t given = k < 0 ? 1 : x.size(2 + k);
    const Wide reach = (Wide{s.kernel[d]} - 1) * s.dilation[d];
    if (o.transposed) {
      FG_CHECK(output_padding[d] < std::max(s.stride[d], s.dilation[d]), Runtime, name,
               ": output padding must be smaller than either stride or dilation, but got output_padding: ",
               output_padding[d], ", stride: ", s.stride[d], ", dilation: ", s.dilation[d], " in dimension ", k);
      s.out[d] = given;
      const Wide out = (Wide{given} - 1) * s.stride[d] - 2 * Wide{s.padding[d]} + reach + output_padding[d] + 1;
      s.in[d] = nearest(out);
      FG_CHECK(out > 0 && fits(out), Runtime, name, ": Given input size per channel: ", size_text(x.sizes().subspan(2)),
               ". Calculated output size per channel: ", s.in[d], " in dimension ", k, ". Output size is too ",
               out > 0 ? "large" : "small");
    } else {
      if (o.same) s.padding[d] = nearest(reach / 2);
      const Wide whole = given + (o.same ? reach : 2 * Wide{s.padding[d]});
      padded[d] = nearest(whole);
      s.in[d] = given;
      s.out[d] = whole > reach ? nearest((whole - reach - 1) / s.stride[d] + 1) : 0;
    }
  }
  if (o.transposed) return;
  int64_t reach[3];
  bool fits = true;
  for (int d = 0; d < 3; ++d) {
    reach[d] = nearest((Wide{s.kernel[d]} - 1) * s.dilation[d] + 1);
    fits = fits && s.out[d] > 0;
  }
  FG_CHECK(fits, Runtime, name, ": Calculated padded input size per channel: ", product_text(padded, s.dims),
           ". Kernel size: ", product_text(reach, s.dims), ". Kernel size can't be greater than actual input size");
}

// Part by part: (a + bi) * (c + di).
Tensor complex_convolution(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& o, int dims,
                           const char* name) {
  auto part = [&](const Tensor& a, const Tensor& b) { return convolution(a, b, {}, o, dims, name); };
  Tensor a = real(x), b = imag(x), c = real(w), d = imag(w);
  Tensor out = complex(sub(part(a, c), part(b, d)), add(part(a, d), part(b, c)));
  if (!bias.defined()) return out;
  FG_CHECK(bias.dtype() == x.dtype() && bias.dim() == 1 && bias.size(0) == out.size(out.dim() - w.dim() + 1), Runtime,
           name, ": expected a bias of the input's dtype with one element for each output channel, but got ",
           dtype_name(bias.dtype()), " of size ", size_text(bias.sizes()));
  DimArray column{bias.size(0)};
  for (int i = 2; i < w.dim(); ++i) column.push(1);
  return add(out, reshape(bias, column));
}

}  // namespace

Tensor convolution(const Tensor& x_in, const Tensor& w, const Tensor& bias, const ConvOptions& o, int dims,
                   const char* name) {
  if (autocasting(x_in))
    return without_autocast(
        [&] { return convolution(to_autocast(x_in), to_autocast(w), to_autocast(bias), o, dims, name); });
  if (is_complex(x_in.dtype()) && is_complex(w.dtype())) return complex_convolution(x_in, w, bias, o, dims, name);
  Tensor x = x_in;
  bool batched = true;
  if (dims) {
    FG_CHECK(x.dim() == dims + 1 || x.dim() == dims + 2, Runtime, "Expected ", dims + 1, "D (unbatched) or ", dims + 2,
             "D (batched) input to ", name, ", but got input of size: ", size_text(x.sizes()));
    batched = x.dim() == dims + 2;
    if (!batched) x = unsqueeze(x, 0);
  }
  FG_CHECK(w.dim() == x.dim() && w.dim() >= 3 && w.dim() <= 5, Runtime, name, ": Expected a ",
           dims ? dims + 2 : x.dim(), "-dimensional weight for a ", x.dim(), "-dimensional input ",
           size_text(x.sizes()), ", but got weight of size ", size_text(w.sizes()), " instead");
  ConvShape s;
  s.dims = w.dim() - 2;
  s.groups = o.groups;
  int64_t output_padding[3];
  expand_option(o.stride, s.dims, "stride", name, s.stride, 1);
  expand_option(o.padding, s.dims, "padding", name, s.padding, 0);
  expand_option(o.dilation, s.dims, "dilation", name, s.dilation, 1);
  expand_option(o.output_padding, s.dims, "output_padding", name, output_padding, 0);
  check_positive(s.stride, 1, name, "non-positive stride");
  check_positive(s.padding, 0, name, "negative padding");
  check_positive(s.dilation, 1, name, "non-positive dilation");
  check_positive(output_padding, 0, name, "negative output_padding");
  for (int d = 0; d < 3; ++d)
    FG_CHECK(!o.same || s.stride[d] == 1, Runtime, name, ": padding='same' is not supported for strided convolutions");
  check_tensors(x, w, bias, o, name);
  for (int d = 0; d < 3; ++d) s.kernel[d] = d < 3 - s.dims ? 1 : w.size(d - 1 + s.dims);
  for (int64_t k : s.kernel)
    FG_CHECK(k > 0, Runtime, name, ": weight should have at least one element in every dimension, got ",
             size_text(w.sizes()));
  find_sizes(s, x, output_padding, o, name);
  Tensor out = o.transposed ? conv_form(Conv::input, s, w, x, bias) : conv_form(Conv::output, s, x, w, bias);
  return batched ? out : squeeze(out, DimArray{0});
}

}  // namespace fg
