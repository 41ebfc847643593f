// What kernels of the backend table (core/backend.h) take: factorisations, indexing, sorting, random numbers and
// optimizers. Plain data only.
#pragma once
#include "core/args.h"

namespace fg {

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

}  // namespace fg
