// What the ops on images share: convolution, pooling, batch normalisation, resampling.
#pragma once
#include "ops/ops.h"

namespace fg {

// ---- conv.cpp
// A convolution of `dims` spatial dimensions. Padding behind the input follows from the sizes.
struct ConvShape {
  int dims = 0;
  int64_t groups = 1;
  int64_t in[3], kernel[3], out[3], stride[3], padding[3],
      dilation[3];  // of the last `dims` dimensions; others 1 and 0
};
// One gradient of the form <g, convolution of x with w> (core/backend.h) from the two other tensors, which are given in
// the order x, w, g; bias may be undefined. All three are recorded, by one node: each is a gradient of the others.
Tensor conv_form(Conv wanted, const ConvShape& shape, const Tensor& a, const Tensor& b, const Tensor& bias);
struct ConvOptions {
  Dims stride, padding, dilation, output_padding;
  bool same = false;  // padding='same'
  bool transposed = false;
  int64_t groups = 1;
};
// dims: spatial dimensions that the function is for (an input without batch is allowed), or 0: as many as the weight
// has.
Tensor convolution(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvOptions& options, int dims,
                   const char* name);

// ---- pool.cpp: over the last `dims` dimensions. An empty stride is the kernel's size.
struct PoolOptions {
  Dims kernel, stride, padding, dilation;
  bool ceil_mode = false;
};
using ValueIndex = std::pair<Tensor, Tensor>;
// Without `places` the second tensor may be undefined.
ValueIndex max_pool(const Tensor& x, int dims, const PoolOptions& options, const char* name, bool places = true);
ValueIndex adaptive_max_pool(const Tensor& x, Dims output, const char* name);
// samples: (N, C, dims), where the windows of each plane lie
ValueIndex fractional_max_pool(const Tensor& x, Dims kernel, Dims output, const Tensor& samples, const char* name);
Tensor avg_pool(const Tensor& x, int dims, const PoolOptions& options, bool count_padding,
                std::optional<int64_t> divisor, const char* name);
Tensor adaptive_avg_pool(const Tensor& x, Dims output, const char* name);

// ---- resample.cpp
enum class Interpolation : uint8_t { nearest, nearest_exact, linear, cubic, lanczos };
// scales: for each of the last dimensions out / in as the user gave it, or 0: of the sizes
Tensor interpolate(const Tensor& x, Dims output, Interpolation mode, bool align_corners, bool antialias,
                   const std::vector<double>& scales);

// ---- grid_sample.cpp: x (N, C, H, W) or (N, C, D, H, W), grid (N, ..., 2 or 3). Not recorded; the gradients: of x, of
// the grid, undefined where they are not wanted
Tensor grid_sample(const Tensor& x, const Tensor& grid, GridMode mode, GridPadding padding, bool align_corners);
std::pair<Tensor, Tensor> grid_sample_gradients(const Tensor& g, const Tensor& x, const Tensor& grid, GridMode mode,
                                                GridPadding padding, bool align_corners, bool wants_x, bool wants_grid);

// ---- pad.cpp. pads: front and back of each of the last dimensions, the last one first
Tensor pad_constant(const Tensor& x, Dims pads, Scalar value);
Tensor pad_copied(const Tensor& x, Dims pads, Border border);

// ---- batch_norm.cpp: running statistics may be undefined
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, bool training, double momentum, double eps);

// ---- group_norm.cpp: (N, C, ...), the channels in `groups` groups of one size
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps);

// ---- for all
Tensor dense(const Tensor& t);  // contiguous, not recorded
[[noreturn]] void fail_no_kernel(const char* op, Device device);
DType kernel_dtype(DType dtype);  // what a kernel without half types computes them in

}  // namespace fg
