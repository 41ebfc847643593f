// copy, fill, arange: rows with a trivial formula, run by the elementwise driver.
#include "cuda/elementwise.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

struct Identity {
  static constexpr int kInputs = 1;
  static constexpr unsigned kUses = 1;
  template <class V> FG_DEVICE static V apply(const V* x, V, V) { return x[0]; }
};
struct Fill {
  static constexpr int kInputs = 0;
  static constexpr unsigned kUses = 0;
  template <class V> FG_DEVICE static V apply(const V*, V p, V) { return p; }
};

// Same dtype: the bits are moved as they are, so an integer type of the same width stands for it.
DType bits_dtype(DType t) {
  switch (item_size(t)) {
    case 1: return DType::UInt8;
    case 2: return DType::Int16;
    case 4: return DType::Int32;
    default: return DType::Int64;
  }
}

Compute compute_of(DType t) {
  constexpr Compute computes[] = {
#define X(name, bytes, compute) Compute::compute,
      FG_DTYPES(X)
#undef X
  };
  return computes[static_cast<int>(t)];
}

constexpr int kTile = 32;

// Matrices copied with their dimensions swapped: tiles go through shared memory, so that both sides move whole lines.
template <class T>
__global__ void __launch_bounds__(kTile * 8)
    transpose_kernel(T* out, const T* in, int64_t rows, int64_t cols, int64_t out_stride, int64_t in_stride,
                     int64_t out_batch, int64_t in_batch) {
  FG_SHARED(T, tile, kTile * (kTile + 1));
  int64_t row0 = int64_t(blockIdx.y) * kTile, col0 = int64_t(blockIdx.x) * kTile;
  out += blockIdx.z * out_batch, in += blockIdx.z * in_batch;
  int tx = threadIdx.x % kTile, ty = threadIdx.x / kTile;
  for (int k = ty; k < kTile; k += 8) {  // in: rows fastest
    if (col0 + k < cols && row0 + tx < rows) tile[k * (kTile + 1) + tx] = in[(col0 + k) * in_stride + row0 + tx];
  }
  __syncthreads();
  for (int k = ty; k < kTile; k += 8) {  // out: columns fastest
    if (row0 + k < rows && col0 + tx < cols) out[(row0 + k) * out_stride + col0 + tx] = tile[tx * (kTile + 1) + k];
  }
}

template <class T> void transpose(const Iter& it) {
  int64_t batches = it.ndim == 3 ? it.sizes[2] : 1, cols = it.sizes[0], rows = it.sizes[1];
  dim3 grid(static_cast<unsigned>(ceil_div(cols, kTile)), static_cast<unsigned>(ceil_div(rows, kTile)),
            static_cast<unsigned>(batches));
  FG_LAUNCH(transpose_kernel<T>, grid, kTile * 8, 0, it.stream, static_cast<T*>(it.out.data),
            static_cast<const T*>(it.in[0].data), rows, cols, it.out.strides[1], it.in[0].strides[0],
            it.ndim == 3 ? it.out.strides[2] : 0, it.ndim == 3 ? it.in[0].strides[2] : 0);
}

// (cols, rows[, batches]) with the output moving along dimension 0 and the input along dimension 1.
bool is_transpose(const Iter& it) {
  if (it.ndim < 2 || it.ndim > 3 || it.out.strides[0] != 1 || it.in[0].strides[1] != 1 || it.in[0].strides[0] == 1)
    return false;
  if (it.sizes[0] < kTile / 2 || it.sizes[1] < kTile / 2 || it.in[0].strides[0] == 0) return false;
  return ceil_div(it.sizes[1], kTile) <= 65535 && (it.ndim == 2 || it.sizes[2] <= 65535);
}

void copy(const Iter& given) {
  if (given.out.dtype != given.in[0].dtype || given.host) {
    switch (compute_of(given.in[0].dtype)) {
      case Compute::F32: return launch_elementwise<Identity, float>(given);
      case Compute::F64: return launch_elementwise<Identity, double>(given);
      case Compute::I32: return launch_elementwise<Identity, int32_t>(given);
      default: return launch_elementwise<Identity, int64_t>(given);
    }
  }
  if (given.numel == 0) return;
  Iter it = given;
  it.out.dtype = it.in[0].dtype = bits_dtype(given.out.dtype);
  int bytes = item_size(it.out.dtype);
  if (it.ndim == 0 || (it.ndim == 1 && it.out.strides[0] == 1 && it.in[0].strides[0] == 1)) {
    use_device(it.stream.device);
    check(cudaMemcpyAsync(it.out.data, it.in[0].data, it.numel * bytes, cudaMemcpyDeviceToDevice, handle(it.stream)),
          "copy");
    return;
  }
  if (is_transpose(it)) {
    switch (bytes) {
      case 1: return transpose<uint8_t>(it);
      case 2: return transpose<uint16_t>(it);
      case 4: return transpose<uint32_t>(it);
      default: return transpose<uint64_t>(it);
    }
  }
  return bytes == 8 ? launch_elementwise<Identity, int64_t>(it) : launch_elementwise<Identity, int32_t>(it);
}

void fill(const Iter& given) {
  Iter it = given;
  it.inputs = 0;
  it.host = 0;
  switch (compute_of(it.out.dtype)) {
    case Compute::F32: return launch_elementwise<Fill, float>(it);
    case Compute::F64: return launch_elementwise<Fill, double>(it);
    case Compute::I32:
      if (it.out.dtype == DType::Bool) it.params[0].i = it.params[0].i != 0;
      return launch_elementwise<Fill, int32_t>(it);
    default: return launch_elementwise<Fill, int64_t>(it);
  }
}

template <class T> __global__ void arange_kernel(void* out, int64_t stride, DType dtype, int64_t n, T start, T step) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    store<T>(out, i * stride, dtype, static_cast<T>(start + static_cast<T>(i) * step));
  }
}

void arange(const Iter& it) {
  if (it.numel == 0) return;
  unsigned grid = grid_for(it.numel, it.stream);
  int64_t stride = it.ndim ? it.out.strides[0] : 1;
  if (is_float(it.out.dtype)) {
    FG_LAUNCH_FREE(arange_kernel<double>, grid, kThreads, 0, it.stream, it.out.data, stride, it.out.dtype, it.numel,
                   it.params[0].f, it.params[1].f);
  } else {
    FG_LAUNCH_FREE(arange_kernel<int64_t>, grid, kThreads, 0, it.stream, it.out.data, stride, it.out.dtype, it.numel,
                   it.params[0].i, it.params[1].i);
  }
}

}  // namespace

void copy_kernel_entry(const Iter& it) { copy(it); }
void fill_zero_kernel_entry(const Iter& given) {
  Iter it = given;
  it.params[0] = {0, 0};
  fill(it);
}

void fill_copy(Backend& table) {
  table.copy = copy;
  table.fill = fill;
  table.arange = arange;
}
}  // namespace fg::cuda
