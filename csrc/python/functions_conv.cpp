// Convolutions, as torch and torch.nn.functional have them.
#include "ops/images.h"
#include "python/functions.h"

namespace fg::py {

namespace {

// conv1d(input, weight, bias, stride, padding, dilation, groups); padding may be 'same' or 'valid'
template <int dims> PyObject* conv(Call& c) {
  DimArray stride = c.given(3) ? c.dims(3) : DimArray{1}, padding{0}, dilation = c.given(5) ? c.dims(5) : DimArray{1};
  ConvOptions o;
  if (c.given(4) && PyUnicode_Check(c.v[4])) {
    std::string text = c.text(4, "");
    o.same = text == "same";
    FG_CHECK(o.same || text == "valid", Runtime, c.signature.name, ": Invalid padding string: '", text, "'");
  } else if (c.given(4)) {
    padding = c.dims(4);
  }
  o.stride = stride, o.padding = padding, o.dilation = dilation, o.groups = c.integer(6, 1);
  return wrap(convolution(c.tensor(0), c.tensor(1), c.tensor_or_none(2), o, dims, c.signature.name));
}

// conv_transpose1d(input, weight, bias, stride, padding, output_padding, groups, dilation)
template <int dims> PyObject* conv_transpose(Call& c) {
  auto option = [&](int i, int64_t otherwise) { return c.given(i) ? c.dims(i) : DimArray{otherwise}; };
  DimArray stride = option(3, 1), padding = option(4, 0), output_padding = option(5, 0), dilation = option(7, 1);
  ConvOptions o;
  o.transposed = true;
  o.stride = stride, o.padding = padding, o.output_padding = output_padding, o.dilation = dilation,
  o.groups = c.integer(6, 1);
  return wrap(convolution(c.tensor(0), c.tensor(1), c.tensor_or_none(2), o, dims, c.signature.name));
}

PyObject* any_convolution(Call& c) {
  DimArray stride = c.dims(3), padding = c.dims(4), dilation = c.dims(5), output_padding = c.dims(7);
  ConvOptions o;
  o.transposed = c.boolean(6, false);
  o.stride = stride, o.padding = padding, o.dilation = dilation, o.output_padding = output_padding,
  o.groups = c.integer(8);
  return wrap(convolution(c.tensor(0), c.tensor(1), c.tensor_or_none(2), o, 0, c.signature.name));
}

#define FG_CONV "input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1"
#define FG_CONV_TRANSPOSE "input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1"
constexpr FunctionDef defs[] = {
    {"conv1d", kFunction, FG_CONV, conv<1>, "input (N, C, L) or (C, L) with weight (O, C / groups, k)."},
    {"conv2d", kFunction, FG_CONV, conv<2>, "input (N, C, H, W) or (C, H, W) with weight (O, C / groups, kH, kW)."},
    {"conv3d", kFunction, FG_CONV, conv<3>,
     "input (N, C, D, H, W) or (C, D, H, W) with weight (O, C / groups, kD, kH, kW)."},
    {"conv_transpose1d", kFunction, FG_CONV_TRANSPOSE, conv_transpose<1>, "The gradient of conv1d for its input."},
    {"conv_transpose2d", kFunction, FG_CONV_TRANSPOSE, conv_transpose<2>, "The gradient of conv2d for its input."},
    {"conv_transpose3d", kFunction, FG_CONV_TRANSPOSE, conv_transpose<3>, "The gradient of conv3d for its input."},
    {"convolution", kFunction, "input, weight, bias, stride, padding, dilation, transposed, output_padding, groups",
     any_convolution, "A convolution, or a transposed one, of as many dimensions as the weight has."},
};
#undef FG_CONV
#undef FG_CONV_TRANSPOSE
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_conv_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
