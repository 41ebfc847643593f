// A device is a table of function pointers. This header is the whole contract between what is computed (ops/) and how
// (cpu/, cuda/): plain structs in, nothing thrown, no Tensor.
//
// Shape work ends before it: operands are broadcast, their dimensions sorted (dimension 0 moves fastest) and collapsed,
// reductions are (outer, size, inner). An entry that a device lacks is nullptr; ops/ turns that into one clear error.
// Kernel files include this header, so it holds plain data only: no inline functions, no containers.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace fg {

constexpr int kMaxDims = 64;   // as torch
constexpr int kMaxInputs = 5;  // gradient of a ternary row: g, a, b, c, y
constexpr uint32_t kBackendAbi = 1;

// A number that a kernel takes beside its operands, in both forms: the kernel reads the one of its compute type.
struct Param {
  double f;
  int64_t i;
};

// Where work runs. CPU: handle is null. CUDA: handle is a cudaStream_t.
struct Stream {
  void* handle;
  int32_t device;
};

struct Operand {
  void* data;                 // null: this operand is not used by the kernel and must not be read
  int64_t strides[kMaxDims];  // in elements, may be 0 (broadcast) or negative
  DType dtype;
};

// Elementwise work after broadcast, sort and collapse. sizes and strides beyond ndim are uninitialised.
// ndim == 0 is one element; numel == 0 never reaches a kernel.
struct Iter {
  int32_t ndim;
  int32_t inputs;
  int64_t numel;
  Compute compute;
  uint32_t
      host;  // bit k: in[k].data is one value in host memory (a Python number), also on a device: read it at launch
  Param params[2];  // p and q of a row
  Stream stream;
  int64_t sizes[kMaxDims];
  Operand out;
  Operand in[kMaxInputs];
};

// ---- elementwise rows

// One identifier per row of unary.def, binary.def and ternary.def.
enum class Op : uint16_t {
#define UNARY_FLOAT(name, ...) name,
#define UNARY_ANY(name, ...) name,
#define UNARY_TEST(name, ...) name,
#define BINARY_FLOAT(name, ...) name,
#define BINARY_ANY(name, ...) name,
#define BINARY_TEST(name, ...) name,
#define BITWISE(name, ...) name,
#define TERNARY_FLOAT(name, ...) name,
#define TERNARY_ANY(name, ...) name,
#define UNARY_COMPLEX(name, ...) name,
#include "ops/elementwise.def"
  kCount
};
constexpr int kOps = static_cast<int>(Op::kCount);

// Forward: out <- row(in[0], ...). Gradient of input i: in = {g, inputs..., y}; those the row does not use have data ==
// nullptr. A TEST row writes 0 or 1; out.dtype is then Bool (or any dtype).
using ElementwiseFn = void (*)(const Iter&);

// ---- reductions
enum class Reduce : uint8_t {
  sum,   // of in; params unused
  mean,  // sum / size
  prod,
  amax,  // NaN wins
  amin,
  max,  // out and indices: the first extremum, NaN wins
  min,
  argmax,  // indices only, out == nullptr
  argmin,
  any,  // out Bool (or uint8)
  all,
  sum_abs,  // norm of order 1
  norm2,    // sqrt(sum(x * x)), without avoidable overflow in the accumulator (accumulate float32 in double or scaled)
  sum_pow,  // sum(|x| ^ p), p = params[0].f
  count_nonzero,
  var,  // two passes or Welford; divided by max(0, size - params[0].f); params[1].i != 0: square root of it (std)
  logsumexp,
  nansum,   // NaN counts as 0
  aminmax,  // amin in out, amax in out2
  kCount
};
constexpr int kReduces = static_cast<int>(Reduce::kCount);

// in: (outer, size, inner) contiguous; out, indices: (outer, inner) contiguous.
// in_dtype is converted to `compute` on load, the result of compute type to out_dtype on store. indices are int64 along
// size.
struct ReduceArgs {
  void *out, *out2;
  int64_t* indices;
  const void* in;
  DType in_dtype, out_dtype;
  Compute compute;
  int64_t outer, size, inner;
  Param params[2];
  Stream stream;
};
using ReduceFn = void (*)(const ReduceArgs&);

// ---- row operations: softmax, cumulative, layer norm

// All operands contiguous (outer, size, inner), of one floating dtype (cumulative: any dtype of `dtype`).
struct RowArgs {
  void* out;
  const void* in;    // x, or y for gradients of softmax and log_softmax
  const void* grad;  // g for gradients
  int64_t* indices;  // cummax, cummin
  DType dtype;
  int64_t outer, size, inner;
  int32_t reverse;  // cumulative: from the end
  Stream stream;
};
using RowFn = void (*)(const RowArgs&);
enum class Row : uint8_t {
  softmax,
  log_softmax,
  softmax_grad,
  log_softmax_grad,
  cumsum,
  cumprod,
  cummax,
  cummin,
  logcumsumexp,  // floating dtypes
  kCount
};
constexpr int kRows = static_cast<int>(Row::kCount);

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

// out[i] = sum over d of place_d(i) * strides[d], place_d(i) = indices[d][i], from the end where it is negative. The
// return is -1, or the first d with an index outside [-sizes[d], sizes[d]), which goes to `bad`.
struct OffsetArgs {
  int64_t* out;
  int64_t n, count;
  const int64_t* const* indices;
  const int64_t *sizes, *strides;
  int64_t bad;
  Stream stream;
};

// ---- factorisations

// `batch` matrices, rows contiguous, Float32 or Float64, lu and solve on CUDA also complex. info: 0, or where it
// failed, from 1.
//   lu          a (m, n) becomes L, with a diagonal of ones, and U, rows exchanged as in `pivots` (min(m, n), from 1).
//               info: the first zero on the diagonal of U
//   solve       the same of a (n, n), with which b (n, k) becomes the solution
//   triangular  b (n, k) becomes the solution for a triangle of a (n, n), which is only read; unit: with a diagonal of
//               ones
//   cholesky    the upper triangle of a (n, n) becomes U, with U^T U = a; the rest zeros. info: the order of the first
//               minor that is not positive definite
//   order       b (m), int64: the order of m rows that the exchanges `pivots` (k) lead to
// The others are a device's own, of matrices whose columns are contiguous; on the CPU they are LAPACK's, under Python.
//   qr          a (m, n) becomes R with reflectors below it, b (min(m, n)) their factors
//   reflected   a (m, n <= m), whose first k columns are reflectors and b their factors, becomes the first columns of Q
//   eigh        a (n, n), also complex, of which one triangle is read, becomes eigenvectors; b (n), real: eigenvalues
//   svd         of a (m, n <= m), which is used up; b (n): singular values, c (m, k) and d (n, n): U and V^T
//   eig         of a complex a (n, n), which is used up; b (n): eigenvalues, c (n, n): eigenvectors
// vectors: whether c and d, or the eigenvectors in a, are wanted.
enum class Linalg : uint8_t { lu, solve, triangular, cholesky, order, qr, reflected, eigh, svd, eig };
struct LinalgArgs {
  Linalg kind;
  DType dtype;
  int64_t batch, m, n, k;
  void *a, *b, *c, *d;
  int32_t *pivots, *info;
  int32_t upper, unit, vectors;
  Stream stream;
};

// ---- indexing

//   gather   out[i] = src[i][index[i] * stride]         iter.out, iter.in[0] = index (int64), iter.in[1] = src
//   scatter  dst[i][index[i] * stride] <mode>= src[i]   iter.out = dst, iter.in[0] = index, iter.in[1] = src
// The strides of src (dst) along the indexed dimension are 0 in the Iter. Negative indices count from the end. Values
// are moved as they are: src and out have one dtype. The return is -1, or an index value out of [-size, size) (as
// `bad`, with the return 0); in that case scatter must not have written anything: check first. Duplicate targets: `set`
// leaves the last in row-major order on CPU; add, mul, max, min are applied in a fixed order. The Iter of gather and
// scatter is NOT sorted or collapsed over dimensions where the index differs; row-major order of the logical elements
// is dimension ndim-1 outermost to 0 innermost.
enum class Scatter : uint8_t { set, add, mul, amax, amin };
struct IndexArgs {
  Iter iter;
  int64_t size, stride;  // of the indexed dimension, stride in elements
  Scatter mode;
  int32_t no_wrap;  // negative indices are out of range
  int64_t bad;      // out: the first index out of range
};

// out (bags, width): for each bag the sum, or the mean, of the rows of table (rows, width) that
// indices[starts[bag]] ... indices[starts[bag + 1] - 1] name. Float32 or Float64, contiguous. The return is -1, or the
// place of an index out of range; nothing is written then.
struct BagArgs {
  void* out;
  const void* table;
  const int64_t *indices, *starts;
  DType dtype;
  int32_t mean;
  int64_t bags, rows, width;
  Stream stream;
};
// The p-norms of differences of rows: out (batch, rows, others) from a (batch, rows, width) and b (batch, others,
// width). triangle: a is b, batch 1; only the pairs (i, j > i), one after another. Float32 or Float64, contiguous.
struct DistanceArgs {
  void* out;
  const void *a, *b;
  DType dtype;
  int32_t triangle;
  double order;
  int64_t batch, rows, others, width;
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
// indices[i].
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

// ---- sorting and searching

// in: (outer, size) contiguous. NaN counts as the largest value, -0 equals 0.
//   sort    values, indices (outer, size); stable; values may be null
//   topk    values, indices (outer, k); largest: from the top; sorted: in order
//   pick    values, indices (outer): the k-th smallest (k from 0), the median, the mode of each line; size > 0
struct SortArgs {
  void* values;
  int64_t* indices;
  const void* in;
  DType dtype;
  int64_t outer, size, k;
  int32_t descending;  // sort; topk: largest
  int32_t sorted;      // topk
  Stream stream;
};
enum class Pick : uint8_t { kth, median, nanmedian, mode };
// out: (rows, count) int64: where each of values (rows, count) belongs in its row of sorted (sorted_rows, size),
// sorted_rows 1 or rows; behind equal elements when right != 0. sorter: (sorted_rows, size), the order of `sorted`, or
// null.
struct SearchArgs {
  int64_t* out;
  const void *sorted, *values;
  const int64_t* sorter;
  Compute compute;
  int64_t sorted_rows, size, rows, count;
  int32_t right;
  Stream stream;
};

// ---- random
enum class Random : uint8_t {
  uniform,
  normal,
  bernoulli,
  bernoulli_tensor,
  integers,
  exponential,
  geometric,
  cauchy,
  log_normal,
  full_range,
  kCount
};
// Fills n elements of out (contiguous, in memory order). a, b: bounds, mean and std, probability, ... as random-streams
// says. serial != 0: take the serial path of normal although out is contiguous here (the destination was not).
struct RandomArgs {
  void* out;
  int64_t n;
  DType dtype;
  Random kind;
  double a, b;
  int64_t lo, hi;     // integers: [lo, hi)
  const void* probs;  // bernoulli_tensor: contiguous, of probs_dtype
  DType probs_dtype;
  int32_t serial;
  void* generator;  // the device's own generator state
  Stream stream;
};

// ---- optimizers

// One call updates every parameter of a group. Arrays of `count` pointers; all contiguous and of one dtype per tensor.
// The updates themselves, and what the numbers of a parameter are: ops/optim_rules.h.
#define FG_OPTIMS(X) \
  X(sgd)             \
  X(adam)            \
  X(rmsprop)         \
  X(adagrad)         \
  X(adadelta)        \
  X(adamax)          \
  X(nadam)           \
  X(radam)           \
  X(rprop)           \
  X(asgd)
enum class Optim : uint8_t {
#define FG_KIND(name) name,
  FG_OPTIMS(FG_KIND)
#undef FG_KIND
};
struct OptimArgs {
  Optim kind;
  int64_t count;
  const int64_t* numels;
  const DType* dtypes;
  void* const* params;
  const void* const* grads;
  void* const* state1;    // momentum buffer | exp_avg | square_avg | sum | prev | ax
  void* const* state2;    // exp_avg_sq | exp_inf | momentum buffer | acc_delta | step_size
  void* const* state3;    // max_exp_avg_sq (amsgrad) | grad_avg (centered); a null array when unused, as the others
  const double* numbers;  // three for each parameter
  double lr, momentum, dampening, weight_decay, beta1, beta2, eps, alpha, low, high;
  int32_t nesterov, maximize, decoupled, amsgrad, centered;
  Stream stream;
};

// ---- draws

// Random numbers whose count of words depends on the values, and the gradients of such numbers; elementwise.
enum class Draw : uint8_t {
  gamma,           // a = concentration
  poisson,         // a = rate
  binomial,        // a = count, b = probability
  gamma_grad,      // d out / d concentration: a = concentration, b = the number that was drawn
  dirichlet_grad,  // a = the number that was drawn, b = concentration, c = total concentration
};
struct DrawArgs {
  Draw kind;
  DType dtype;  // Float32 or Float64, of all operands
  int64_t n;
  void* out;
  const void *a, *b, *c;
  void* generator;  // the device's own generator state; null for gradients
  Stream stream;
};

// ---- memory
struct MemoryStats {
  int64_t allocated, reserved, peak_allocated, peak_reserved, blocks;
};
enum class CopyKind : uint8_t { within, to_device, to_host };

struct Backend {
  uint32_t abi_version;
  uint32_t struct_size;
  const char* name;

  // Memory. allocate returns 64-byte aligned bytes, or nullptr when there is no more.
  void* (*allocate)(size_t bytes, Stream stream);
  void (*release)(void* block, size_t bytes, Stream stream);
  void (*empty_cache)(int device);
  void (*memory_stats)(int device, MemoryStats* out);
  void (*reset_peak)(int device);
  int (*copy_bytes)(void* dst, const void* src, size_t bytes, CopyKind kind, Stream stream);  // 0, or an error
  void (*synchronize)(Stream stream);
  const char* (*take_error)();  // the last error of this thread, or nullptr; clears it

  ElementwiseFn elementwise[kOps][kComputes];
  ElementwiseFn elementwise_grad[kOps][3][kComputes];  // floating and complex ones only
  ElementwiseFn copy;                                  // out <- in[0], any real dtype to any real dtype
  ElementwiseFn copy_complex;  // the same where one of them is complex; complex to real drops the imaginary part
  ElementwiseFn fill;          // out <- params[0]: .i for integer dtypes, .f for floating ones
  ElementwiseFn arange;        // out, 1-d: params[0] + i * params[1], computed in double or int64

  ReduceFn reduce[kReduces][kComputes];  // complex: prod only, ops/ brings the others back to real ones
  RowFn row[kRows];
  RowFn cumprod_complex;
  void (*layer_norm)(const LayerNormArgs&);
  void (*layer_norm_grad)(const LayerNormArgs&);
  void (*rnn)(const RnnArgs&);
  void (*rnn_grad)(const RnnArgs&);
  int64_t (*nll_loss)(const NllArgs&);
  void (*nll_loss_grad)(const NllArgs&);
  void (*gemm)(const GemmArgs&);
  void (*attention)(const AttentionArgs&);
  void (*attention_grad)(const AttentionArgs&);
  void (*linalg)(const LinalgArgs&);
  void (*conv)(const ConvArgs&);
  void (*max_pool)(const MaxPoolArgs&);
  void (*max_pool_grad)(const MaxPoolArgs&);  // out is gx
  void (*resample)(const ResampleArgs&);
  void (*grid_sample)(const GridArgs&);
  void (*grid_sample_grad)(const GridArgs&);
  void (*fft)(const FftArgs&);
  void (*fft_several)(const FftSeveralArgs&);
  int64_t (*fft_plans)(int device, FftPlans what, int64_t value);
  int64_t (*bag_sums)(const BagArgs&);
  void (*distances)(const DistanceArgs&);
  void (*pad)(const PadArgs&);
  void (*pad_grad)(const PadArgs&);
  void (*batch_norm)(const BatchNormArgs&);
  void (*batch_norm_grad)(const BatchNormArgs&);

  int64_t (*gather)(IndexArgs&);
  int64_t (*scatter)(IndexArgs&);
  int64_t (*offsets)(OffsetArgs&);
  int64_t (*nonzero)(const uint8_t* mask, int64_t n, int64_t* out, Stream stream);  // out null: only count
  // out <- in where keep, else 0: in is (batch, rows, cols) contiguous, bytes of one element given; upper 0: tril, 1:
  // triu
  void (*triangle)(void* out, const void* in, int64_t bytes, int64_t batch, int64_t rows, int64_t cols,
                   int64_t diagonal, int upper, Stream stream);

  void (*sort)(const SortArgs&);
  void (*topk)(const SortArgs&);
  void (*pick)(const SortArgs&, Pick kind);
  void (*searchsorted)(const SearchArgs&);

  void (*random)(const RandomArgs&);
  void (*randperm)(int64_t* out, int64_t n, void* generator, Stream stream);
  void (*optim_step)(const OptimArgs&);
  void (*draw)(const DrawArgs&);

  // Devices with streams (null on CPU).
  int (*device_count)();
  void* (*stream_create)(int device);
  void (*stream_destroy)(void* stream);
  void (*stream_wait)(void* stream, void* other);
  const char* (*device_name)(int device);
  const char* (*missing_library)(const char* name);  // why cublas, cusolver or cufft cannot be used, or nullptr
  // Generator of a device without a host generator (CUDA: Philox; seed and offset).
  void* (*generator_create)(int64_t seed);
  void (*generator_destroy)(void* generator);
  void (*generator_seed)(void* generator, int64_t seed);
};

}  // namespace fg
