// The two indexing kernels under a plan, and the checks of index tensors. See index_plan.h.
#include "ops/index_plan.h"

#include "core/layout.h"

namespace fg {

[[noreturn]] void bad_index(const char* op, int64_t bad, int dim, int64_t size, ErrorKind kind) {
  fail(kind, op, ": index ", bad, " is out of bounds for dimension ", dim, " with size ", size);
}

Tensor as_index(const Tensor& t, const char* op) {
  FG_CHECK(t.dtype() == DType::Int64 || t.dtype() == DType::Int32, Runtime, op,
           "(): Expected dtype int32/int64 for index");
  NoGradGuard guard;
  return to_dtype(t, DType::Int64);
}

static void fill_iter(Iter& iter, const IndexPlan& plan, void* out, const int64_t* out_strides, DType dtype,
                      const void* place_data, bool scatter_mode, const void* source, const int64_t* source_strides) {
  int n = plan.sizes.n;
  iter.ndim = n;
  iter.inputs = 2;
  iter.numel = count_of(plan.sizes);
  iter.compute = compute_of(dtype);
  iter.host = 0;
  iter.stream = Storage::current_stream(plan.index.device());
  iter.in[0].data = const_cast<void*>(plan.index.data());
  iter.in[0].dtype = DType::Int64;
  iter.out.data = out;
  iter.out.dtype = iter.in[1].dtype = dtype;
  iter.in[1].data = const_cast<void*>(scatter_mode ? source : place_data);
  for (int i = 0; i < n; ++i) {
    int from = n - 1 - i;  // dimension 0 of an Iter moves fastest
    iter.sizes[i] = plan.sizes[from];
    iter.in[0].strides[i] = plan.index_strides[from];
    iter.out.strides[i] = scatter_mode ? plan.place_strides[from] : out_strides[from];
    iter.in[1].strides[i] = scatter_mode ? source_strides[from] : plan.place_strides[from];
  }
}

// The plan for the parts of complex numbers: one more dimension, of both parts.
static IndexPlan paired(const IndexPlan& plan) {
  IndexPlan out = plan;
  for (int i = 0; i < out.place_strides.n; ++i) out.place_strides.v[i] = stride_times(out.place_strides[i], 2);
  out.sizes.push(2), out.index_strides.push(0), out.place_strides.push(1);
  out.stride = stride_times(out.stride, 2);
  return out;
}

Tensor take(const Tensor& t, const IndexPlan& plan, const char* op) {
  if (is_complex(t.dtype())) return complex_over(take(pairs_of(t), paired(plan), op));
  Tensor out = Tensor::empty(plan.sizes, t.dtype(), t.device());
  if (out.numel() == 0) return out;
  IndexArgs args;
  fill_iter(args.iter, plan, out.mutable_data(), out.strides().data(), t.dtype(), t.data(), false, nullptr, nullptr);
  args.size = plan.size, args.stride = plan.stride, args.mode = Scatter::set, args.bad = 0, args.no_wrap = plan.no_wrap;
  int64_t status;
  {
    GilRelease release(out.numel());
    status = backend(t.device()).gather(args);
  }
  if (status != -1) bad_index(op, args.bad, plan.dim, plan.size, plan.kind);
  return out;
}

void check_index_device(const Tensor& t, const Tensor& other, const char* op) {
  FG_CHECK(t.device() == other.device(), Runtime, op,
           ": Expected all tensors to be on the same device, but found at least two "
           "devices, ",
           device_name(t.device()), " and ", device_name(other.device()), "!");
}

void put(const Tensor& t, const IndexPlan& plan, const Tensor& source, Scatter mode, const char* op) {
  check_index_device(t, source, op);
  if (count_of(plan.sizes) == 0) return;
  Tensor from = source.dtype() == t.dtype() ? source : to_dtype(source, t.dtype());
  if (is_complex(t.dtype())) {
    FG_CHECK(mode == Scatter::set || mode == Scatter::add, NotImplemented, op,
             ": this reduction is not implemented for '", dtype_name(t.dtype()), "'");
    return put(pairs_of(t), paired(plan), pairs_of(from), mode, op);
  }
  int64_t strides[kMaxDims];
  broadcast_strides(from, plan.sizes, strides);
  IndexArgs args;
  fill_iter(args.iter, plan, t.mutable_data(), nullptr, t.dtype(), nullptr, true, from.data(), strides);
  args.size = plan.size, args.stride = plan.stride, args.mode = mode, args.bad = 0, args.no_wrap = plan.no_wrap;
  int64_t status;
  {
    GilRelease release(args.iter.numel);
    status = backend(t.device()).scatter(args);
  }
  if (status != -1) bad_index(op, args.bad, plan.dim, plan.size, plan.kind);
}

void check_same_dtype(const Tensor& t, const Tensor& source, const char* op) {
  FG_CHECK(t.dtype() == source.dtype(), Runtime, op, "(): Expected self.dtype to be equal to src.dtype, but got ",
           dtype_name(t.dtype()), " and ", dtype_name(source.dtype()));
}

}  // namespace fg
