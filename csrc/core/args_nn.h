// What kernels of the backend table (core/backend.h) take: networks, products, images and transforms. Plain data only.
#pragma once
#include "core/args.h"

namespace fg {

// Layer norm over the last `size` elements of x: (outer, size), all contiguous. weight and bias may be null.
// mean and rstd are float (double for float64): (outer). Gradients: any of gx, gweight, gbias may be null.
// mean may be null: rms norm, the mean is taken as 0.
struct LayerNormArgs {
  void* out;
  void *mean, *rstd;
  const void *in, *weight, *bias;
  const void* grad;
  void *gx, *gweight, *gbias;
  DType dtype;
  int64_t outer, size;
  double eps;
  Stream stream;
};

// The gates of one step of a recurrent network (ops/rnn.cpp), all (batch, hidden) times the number of gates,
// contiguous, Float32 or Float64. gates: before activation, activated in place, and read by the gradient; from_hidden:
// the GRU's part from the hidden state, of which hidden_new keeps the last third. The gradient of h_out is gh, that of
// c_out is in gc, which becomes that of c; g_gates is written, for the GRU that of from_hidden, and g_new of its last
// third of gates, the rest being equal. They may be gates and hidden_new. Its direct gradient of h is added to g_h.
enum class Rnn : uint8_t { tanh, relu, gru, lstm };
struct RnnArgs {
  Rnn kind;
  DType dtype;
  int64_t batch, hidden;
  const void *h, *c;
  void *h_out, *c_out;
  void *gates, *from_hidden, *hidden_new;
  const void* gh;
  void *gc, *g_gates, *g_new, *g_h;
  Stream stream;
};

// Negative log likelihood. in: (batch, classes, spatial) log-probabilities; target: (batch, spatial) int64; weight:
// (classes) of in's dtype or null. reduction 0 none: out (batch, spatial); 1 mean, 2 sum: out scalar, total_weight
// scalar. Forward returns -1, or the flat position of a target outside [0, classes) that is not ignore_index.
struct NllArgs {
  void* out;
  void* total_weight;
  const void* in;
  const int64_t* target;
  const void* weight;
  const void* grad;  // for the gradient: scalar, or (batch, spatial) with reduction none
  void* gx;          // every element is written
  DType dtype;
  int64_t batch, classes, spatial;
  int64_t ignore_index;
  int32_t reduction;
  Stream stream;
};

// ---- matmul

// c[b] = alpha * a[b] @ b[b] + beta * c[b]   (m, k) @ (k, n); strides in elements, any of them; c has unit column
// stride. bias, when set, is added: element j of row i gets bias[i * bias_rs + j * bias_cs] (beta must then be 0).
// dtype: every one but Bool; float16 and bfloat16 accumulate in float, small integers wrap.
struct GemmArgs {
  DType dtype;
  int64_t m, n, k, batch;
  const void* a;
  int64_t a_rs, a_cs, a_bs;
  const void* b;
  int64_t b_rs, b_cs, b_bs;
  void* c;
  int64_t c_rs, c_bs;
  double alpha, beta;
  const void* bias;
  int64_t bias_rs, bias_cs;
  Stream stream;
};

// softmax(scale * q k^T) v of every head, Float32 or Float64, on CUDA also half types, scale > 0. causal: query i sees
// the keys up to i. The last dimension of every operand is contiguous. k_turned, v_turned: k and v with their last
// dimensions exchanged (keys last).
//   forward   out (batch, heads, queries, value_width) and lse (batch, heads, queries), the logarithms of rows' sums
//   gradient  of grad, like out, with what the forward pass wrote (the CPU needs lse alone): gq, gk, gv, contiguous
struct AttentionOperand {
  const void* data;
  int64_t batch_stride, head_stride, row_stride;  // in elements
};
struct AttentionArgs {
  DType dtype;
  int32_t causal;
  double scale;
  int64_t batch, heads, queries, keys, width, value_width;
  AttentionOperand q, k, v, k_turned, v_turned;  // v_turned: for the gradient
  void *out, *lse;
  const void* grad;
  void *gq, *gk, *gv;
  Stream stream;
};

// ---- images

// Three spatial dimensions always; missing leading ones have size 1. All operands contiguous and of one dtype: Float32,
// Float64, or (output and input) an integer one. With x: (batch, groups * in_channels, in), w: (groups * out_channels,
// in_channels, kernel) and g: (batch, groups * out_channels, out), the trilinear form <g, convolution of x with w> has
// three gradients:
//   output  out like g, from x, w and bias (groups * out_channels, or null)
//   input   out like x, from g, w and bias (groups * in_channels, or null): the transposed convolution
//   weight  out like w, from x and g
enum class Conv : uint8_t { output, input, weight };
struct ConvArgs {
  Conv wanted;
  DType dtype;
  void* out;
  const void *x, *w, *g, *bias;
  int64_t batch, groups, in_channels, out_channels;  // channels of one group
  int64_t in[3], kernel[3], out_size[3], stride[3], padding[3], dilation[3];
  Stream stream;
};

// Largest element of each window of (planes, in), with its flat place in the plane. Any dtype but Bool and halves.
// Regular windows: element k along a dimension is out * stride - padding + k * dilation where that lies inside. Or,
// when begin[0] is set, window o is [begin[d][o], end[d][o]), with per_plane [begin[d][plane * out_size[d] + o], ...).
// The gradient adds element i of g (planes, count of out) to gx (planes, count of in), zeroed by the kernel, at
// indices[i], knowing of windows: regular ones; kernel 0: [o in / out, (o + 1) in / out); stride 0: only their size.
struct MaxPoolArgs {
  void* out;
  int64_t* indices;
  const void* in;
  const void* grad;
  DType dtype;
  int64_t planes;
  int64_t in_size[3], out_size[3], kernel[3], stride[3], padding[3], dilation[3];
  const int64_t *begin[3], *end[3];
  int32_t per_plane;
  Stream stream;
};

// One dimension mapped linearly: out[o] = sum of weights[j] * in[places[j]] for j in [starts[o], starts[o + 1]).
// in: (outer, in_size, inner), out: (outer, out_size, inner), contiguous, floating.
struct ResampleArgs {
  void* out;
  const void* in;
  DType dtype;
  int64_t outer, in_size, out_size, inner;
  const int64_t *starts, *places;
  const double* weights;
  Stream stream;
};

// Samples of in (batch, channels, sizes) at the places of grid (batch, points, dims), x first, from -1 to 1: out
// (batch, channels, points). Contiguous, Float32 or Float64. dims 2: size[0] is 1.
//   forward   out
//   gradient  gin (zeroed by the kernel) and ggrid from grad, which is like out; each may be null
enum class GridMode : uint8_t { bilinear, nearest, bicubic };
enum class GridPadding : uint8_t { zeros, border, reflection };
struct GridArgs {
  GridMode mode;
  GridPadding padding;
  DType dtype;
  int32_t dims, align_corners;
  void* out;
  const void *in, *grid, *grad;
  void *gin, *ggrid;
  int64_t batch, channels, points;
  int64_t size[3];
  Stream stream;
};

// Discrete Fourier transforms along the middle dimension of (outer, size, inner), contiguous. from_real: of real
// numbers, points 0 to size / 2; to_real: from these (the imaginary parts of the ends do not count) back to size real
// numbers. roots: exp(-2 pi i k / size) for k < size. No prime factor of size is above kFftPrime. Results are
// multiplied by scale.
constexpr int64_t kFftPrime = 31;
enum class Fft : uint8_t { forward, backward, from_real, to_real };
struct FftArgs {
  void* out;
  const void* in;
  const void* roots;
  DType dtype;  // Float32 or Float64, of the parts
  Fft kind;
  int64_t outer, size, inner;
  double scale;
  Stream stream;
};

// The same of the last `rank` dimensions, up to 3, of (batch, sizes...), contiguous, for devices that do it at once; no
// size is 1. sizes: of the real side where there is one, whose last dimension is the one with size / 2 points; to_real
// has rank 1 and may overwrite `in`.
struct FftSeveralArgs {
  void *out, *in;
  DType dtype;  // Float32 or Float64, of the parts
  Fft kind;
  int32_t rank;
  int64_t batch, sizes[3];
  double scale;
  Stream stream;
};
enum class FftPlans : uint8_t { count, most, set_most, clear };  // of a device's cache of prepared transforms

// A tensor and the same with its dimensions extended at both ends, or cut where a number is negative; both contiguous,
// dimension 0 moves fastest. Extended with a value, or (Border) with elements of the tensor itself.
//   pad       out: extended, of any dtype
//   pad_grad  out: not extended, what an element went to summed up; in: extended. Float32 or Float64, not constant
enum class Border : int32_t { reflect, replicate, circular, constant };
struct PadArgs {
  void* out;
  const void* in;
  DType dtype;
  Border border;
  int32_t ndim;
  int64_t sizes[kMaxDims], before[kMaxDims], after[kMaxDims];  // sizes: not extended
  unsigned char value[16];                                     // of dtype
  Stream stream;
};

// x, g, out, gx: (batch, channels, spatial), contiguous. All others hold one number for each channel; everything is of
// one dtype, Float32 or Float64. weight, bias, gx, gweight and gbias may be null. With xh = (x - mean) * rstd:
//   forward   (out may be null) out = xh * weight + bias; with train it first writes mean, var (biased) and rstd = 1 /
//             sqrt(var + eps) of x
//   gradient  gweight = sum(g * xh), gbias = sum(g), and gx = weight * rstd * g, or with train weight * rstd * (g -
//             mean of g - xh * mean of g * xh); train 2: gx alone, weight * rstd * g - bias - var * (x - mean)
struct BatchNormArgs {
  DType dtype;
  int32_t train;
  const void *in, *grad;
  void *out, *gx;
  void *mean, *var, *rstd;
  const void *weight, *bias;
  void *gweight, *gbias;
  int64_t batch, channels, spatial;
  double eps;
  Stream stream;
};

}  // namespace fg
