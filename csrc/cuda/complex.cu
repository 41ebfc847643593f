// Complex numbers: the rows of ops/*.def that have them, casts, prod and cumprod. One strided kernel for each row and
// precision; operands may have any dtype.
#ifndef FG_CUDA_EMULATE
#include <cuda/std/complex>
#define FG_COMPLEX_SPACE ::cuda::std
#endif

#include "cuda/elementwise.cuh"
#include "cuda/group.cuh"
#include "cuda/tables.h"
#include "ops/complex_number.h"

namespace fg::cuda {
namespace {

constexpr int kC64 = static_cast<int>(Compute::C64), kC128 = static_cast<int>(Compute::C128);

template <class T> FG_DEVICE Cx<T> load_complex(const void* data, int64_t i, DType t) {
  if (t == DType::Complex64) {
    const float* z = static_cast<const float*>(data) + 2 * i;
    return {static_cast<T>(z[0]), static_cast<T>(z[1])};
  }
  if (t == DType::Complex128) {
    const double* z = static_cast<const double*>(data) + 2 * i;
    return {static_cast<T>(z[0]), static_cast<T>(z[1])};
  }
  return Cx<T>(load<T>(data, i, t));
}
// To a real dtype: the imaginary part is dropped.
template <class T> FG_DEVICE void store_complex(void* data, int64_t i, DType t, Cx<T> z) {
  if (t == DType::Complex64) {
    float* to = static_cast<float*>(data) + 2 * i;
    to[0] = static_cast<float>(z.re), to[1] = static_cast<float>(z.im);
  } else if (t == DType::Complex128) {
    double* to = static_cast<double*>(data) + 2 * i;
    to[0] = static_cast<double>(z.re), to[1] = static_cast<double>(z.im);
  } else if (t == DType::Bool) {
    static_cast<uint8_t*>(data)[i] = z.re != 0 || z.im != 0;
  } else {
    store<T>(data, i, t, z.re);
  }
}
template <class T> FG_DEVICE Cx<T> complex_result(Cx<T> z) { return z; }
template <class T> FG_DEVICE Cx<T> complex_result(Truth m) { return Cx<T>(static_cast<T>(m.v)); }

// Numbers of the host beside the operands: bit k of `host` says that operand k is values[k].
template <class T, int N> struct ComplexArgs {
  StridedArgs<N> operands;
  T values[N][2];
  uint32_t host;
};

template <class F, class T>
__global__ void __launch_bounds__(kThreads)
    complex_kernel(const __grid_constant__ ComplexArgs<T, F::kInputs + 1> args) {
  constexpr int kN = F::kInputs;
  const auto& operands = args.operands;
  const Cx<T> p(operands.params[0].f), q(operands.params[1].f);
  for (int64_t i = global_thread(); i < operands.n; i += global_threads()) {
    int64_t at[kN + 1];
    operands.offsets(static_cast<uint32_t>(i), at);
    Cx<T> in[kN + 1];
    FG_UNROLL
    for (int k = 0; k < kN; ++k) {
      in[k] = !(F::kUses >> k & 1)       ? Cx<T>(0, 0)
              : args.host >> (k + 1) & 1 ? Cx<T>(args.values[k + 1][0], args.values[k + 1][1])
                                         : load_complex<T>(operands.data[k + 1], at[k + 1], operands.dtype[k + 1]);
    }
    store_complex<T>(operands.data[0], at[0], operands.dtype[0], complex_result<T>(F::apply(in, p, q)));
  }
}

template <class T> void host_complex(const Operand& operand, T (&value)[2]) {
  value[1] = 0;
  if (operand.dtype == DType::Complex64) {
    for (int k = 0; k < 2; ++k) value[k] = static_cast<T>(static_cast<const float*>(operand.data)[k]);
  } else if (operand.dtype == DType::Complex128) {
    for (int k = 0; k < 2; ++k) value[k] = static_cast<T>(static_cast<const double*>(operand.data)[k]);
  } else {
    value[0] = host_value<T>(operand);
  }
}

template <class F, class T> void launch_complex(const Iter& it) {
  if (it.numel == 0) return;
  split(it, [](const Iter& part) {
    ComplexArgs<T, F::kInputs + 1> args{};
    args.operands = strided_args<F::kInputs + 1>(part);
    args.host = part.host << 1;
    for (int k = 0; k < F::kInputs; ++k) {
      if (part.host >> k & 1 && part.in[k].data) host_complex(part.in[k], args.values[k + 1]);
    }
    FG_LAUNCH_FREE((complex_kernel<F, T>), grid_for(part.numel, part.stream), kThreads, 0, part.stream, args);
  });
}

// ---- copies

struct Same {
  static constexpr int kInputs = 1;
  static constexpr unsigned kUses = 1;
  template <class V> FG_DEVICE static V apply(const V* x, V, V) { return x[0]; }
};

void copy_complex(const Iter& it) {
  const Operand& in = it.in[0];
  const bool flat = it.ndim == 0 || (it.ndim == 1 && it.out.strides[0] == 1 && in.strides[0] == 1);
  if (in.dtype == it.out.dtype && flat && !it.host) {
    if (it.numel == 0) return;
    use_device(it.stream.device);
    check(cudaMemcpyAsync(it.out.data, in.data, static_cast<size_t>(it.numel * item_size(in.dtype)),
                          cudaMemcpyDeviceToDevice, handle(it.stream)),
          "copy");
    return;
  }
  return needs_double(in.dtype) ? launch_complex<Same, double>(it) : launch_complex<Same, float>(it);
}

// ---- products of lines, and the running ones

template <class T>
__global__ void __launch_bounds__(kThreads)
    product_kernel(void* out, DType out_dtype, const void* in, DType in_dtype, Lines lines) {
  FG_SHARED(Cx<T>, shared, kThreads);
  const Group group = Group::of(lines);
  const int64_t line = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index, start = line_start(lines, line);
  const bool active = line < lines.count;
  Cx<T> product(1, 0);
  if (active) {
    for (int64_t k = group.lane; k < lines.size; k += lines.lanes)
      product = product * load_complex<T>(in, start + k * lines.inner, in_dtype);
  }
  product = group_reduce(lines, group, product, shared, [](Cx<T> a, Cx<T> b) { return a * b; });
  if (active && group.lane == 0) store_complex<T>(out, line, out_dtype, product);
}
template <class T> void product(const ReduceArgs& a) {
  const Lines lines = Lines::of(a.outer, a.size, a.inner);
  if (lines.count == 0) return;
  FG_LAUNCH(product_kernel<T>, static_cast<unsigned>(lines.blocks()), kThreads, 0, a.stream, a.out, a.out_dtype, a.in,
            a.in_dtype, lines);
}

// A tile of a line at a time: each lane takes one number, and the product of those before it (Hillis and Steele).
template <class T>
__global__ void __launch_bounds__(kThreads)
    products_kernel(void* out, const void* in, DType dtype, Lines lines, bool reverse) {
  FG_SHARED(Cx<T>, shared, kThreads);
  const Group group = Group::of(lines);
  const int64_t line = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index, start = line_start(lines, line);
  const int t = threadIdx.x, stride = lines.by_row ? 1 : kThreads / lines.lanes;
  Cx<T> before(1, 0);
  for (int64_t tile = 0; tile < lines.size; tile += lines.lanes) {
    const int64_t i = tile + group.lane, at = start + (reverse ? lines.size - 1 - i : i) * lines.inner;
    const bool here = line < lines.count && i < lines.size;
    Cx<T> product = here ? load_complex<T>(in, at, dtype) : Cx<T>(1, 0);
    for (int offset = 1; offset < lines.lanes; offset *= 2) {
      shared[t] = product;
      __syncthreads();
      if (group.lane >= offset) product = shared[t - offset * stride] * product;
      __syncthreads();
    }
    product = before * product;
    if (here) store_complex<T>(out, at, dtype, product);
    shared[t] = product;
    __syncthreads();
    before = shared[t + (lines.lanes - 1 - group.lane) * stride];
    __syncthreads();
  }
}
template <class T> void products(const RowArgs& a) {
  const Lines lines = Lines::of(a.outer, a.size, a.inner);
  if (lines.count == 0) return;
  FG_LAUNCH(products_kernel<T>, static_cast<unsigned>(lines.blocks()), kThreads, 0, a.stream, a.out, a.in, a.dtype,
            lines, a.reverse != 0);
}
void cumprod(const RowArgs& a) { return a.dtype == DType::Complex64 ? products<float>(a) : products<double>(a); }

// ---- the table

template <class Row> void add_forward(ElementwiseFn* entries) {
  entries[kC64] = launch_complex<Forward<Row>, float>;
  entries[kC128] = launch_complex<Forward<Row>, double>;
}
template <class Row, int which> void add_gradient(ElementwiseFn (*entries)[kComputes]) {
  using Reads = GradUses<Row, which>;
  if constexpr (!Reads::identity && !Reads::is_zero) {
    entries[which][kC64] = launch_complex<Gradient<Row, which>, float>;
    entries[which][kC128] = launch_complex<Gradient<Row, which>, double>;
  }
}

}  // namespace

void fill_complex(Backend& table) {
  table.copy_complex = copy_complex;
  auto& prod = table.reduce[static_cast<int>(Reduce::prod)];
  prod[kC64] = product<float>;
  prod[kC128] = product<double>;
  table.cumprod_complex = cumprod;
#define FG_FORWARD(name) add_forward<name##_row>(table.elementwise[static_cast<int>(Op::name)]);
#define FG_GRADIENT(name, which) add_gradient<name##_row, which>(table.elementwise_grad[static_cast<int>(Op::name)]);
#include "ops/complex.def"
}
}  // namespace fg::cuda
