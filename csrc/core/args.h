// What kernels of the backend table (core/backend.h) take: elements, reductions and rows. Plain data only.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace fg {

constexpr int kMaxDims = 64;   // as torch
constexpr int kMaxInputs = 5;  // gradient of a ternary row: g, a, b, c, y

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
  var,  // divided by max(0, size - params[0].f); params[1].i != 0: square root of it (std); the mean in out2, if given
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

}  // namespace fg
