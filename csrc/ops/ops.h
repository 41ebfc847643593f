// Every op that C++ code and the Python boundary may call. Each records its node when a gradient is wanted; in-place
// ones end in an underscore, check torch's rules first and change nothing when they fail.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "autograd/node.h"
#include "core/iter.h"
#include "core/tensor.h"

namespace fg {

// A tensor or a number.
struct Arg {
  const Tensor* tensor = nullptr;
  Scalar scalar;
  Arg(const Tensor& t) : tensor(&t) {}
  Arg(Scalar s) : scalar(s) {}
  Arg(double v) : scalar(Scalar::of(v)) {}
};
using Args = std::span<const Arg>;
using Tensors = std::span<const Tensor>;

// ---- elementwise.cpp, elementwise_dtype.cpp, row_choice.cpp
struct RowInfo;
const RowInfo& row_info(Op op);
Tensor elementwise(Op op, Args args, Scalar p = {}, Scalar q = {}, const Tensor* out = nullptr);
void elementwise_(Op op, const Tensor& self, Args rest, Scalar p = {}, Scalar q = {});
// A flag in an unused parameter: the op was called under a second name of the row (clamp_min of a tensor, sub with
// alpha, div with rounding_mode), which shows in the name of its node.
inline const Scalar kCalledAs = Scalar::of_int(1);
inline Tensor unary(Op op, const Tensor& x, Scalar p = {}, Scalar q = {}) {
  Arg a[] = {x};
  return elementwise(op, a, p, q);
}
inline Tensor binary(Op op, Arg a, Arg b, Scalar p = {}, Scalar q = {}) {
  Arg v[] = {a, b};
  return elementwise(op, v, p, q);
}
inline Tensor add(Arg a, Arg b) { return binary(Op::add, a, b); }
inline Tensor sub(Arg a, Arg b) { return binary(Op::sub, a, b); }
inline Tensor mul(Arg a, Arg b) { return binary(Op::mul, a, b); }
inline Tensor div(Arg a, Arg b) { return binary(Op::div, a, b); }
// The gradient of input i of a row that reads no result: fused, or as recorded ops under create_graph. g may be 0-d.
Tensor row_gradient(Op op, int i, const Tensor& g, const Tensor* inputs, Scalar p);
void add_(const Tensor& self, const Tensor& other);  // not recorded: for the engine and optimizers
Tensor pow(Arg base, Arg exponent, const Tensor* out = nullptr);
void pow_(const Tensor& self, Arg exponent);
Tensor where(const Tensor& condition, Arg a, Arg b, const Tensor* out = nullptr);
// one_sided: called as clamp_min or clamp_max
Tensor clamp(const Tensor& x, std::optional<Arg> low, std::optional<Arg> high, const Tensor* out = nullptr,
             bool one_sided = false);
void clamp_(const Tensor& x, std::optional<Arg> low, std::optional<Arg> high, bool one_sided = false);
bool any_nan(const Tensor& t);
bool any_zero(const Arg& t);
DType result_type(Args args);

// ---- copy.cpp
Tensor clone(const Tensor& t);                           // keeps dense strides
Tensor clone_like(const Tensor& t, const Tensor& like);  // with the strides of `like` when that is dense
Tensor contiguous(const Tensor& t);
Tensor copy_with_strides(const Tensor& t, Dims strides);  // a clone
Tensor clone_contiguous(const Tensor& t);
Tensor apart(const Tensor& t, const Tensor& from);  // t, or a copy of it when both lie in the same memory
Tensor to_dtype(const Tensor& t, DType dtype, bool copy = false);
Tensor to_device(const Tensor& t, Device device, bool copy = false);
void copy_(const Tensor& self, const Tensor& source);  // broadcast, dtype and device conversions
void fill_(const Tensor& self, Scalar value);
void fill_tensor_(const Tensor& self, const Tensor& value);
void zero_(const Tensor& self);
void raw_fill(const Tensor& out, Scalar value);      // likewise
void raw_copy(const Tensor& out, const Tensor& in);  // no recording, no checks; in is broadcast
Scalar item(const Tensor& t);                        // the one element, as a number
// out= of other shapes: gives `out` that shape, a warning by Python; strides {}: contiguous.
Tensor resize_out(const Tensor& out, Dims sizes, Dims strides = {});

// ---- create.cpp
// As it is written into `dtype`; RuntimeError when an integer type, or strictly a floating one, does not hold it.
Scalar number_for(Scalar value, DType dtype, bool strict = false);
Tensor full(Dims sizes, Scalar value, DType dtype, Device device);
Tensor zeros(Dims sizes, DType dtype, Device device);
Tensor zeros_like(const Tensor& t);
Tensor empty_like(const Tensor& t, std::optional<DType> dtype = {}, std::optional<Device> device = {});
Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype, Device device);
Tensor linspace(double start, double end, int64_t steps, DType dtype, Device device, double base = 0);
Tensor eye(int64_t n, int64_t m, DType dtype, Device device);
Tensor scalar_tensor(Scalar value, DType dtype, Device device = {});
Tensor wrapped(Scalar value, Device device = {});  // a number as a 0-d tensor that promotes like a number

// ---- complex.cpp
Tensor pairs_of(const Tensor& t);      // the same memory as reals, with a last dimension of 2; not recorded
Tensor complex_over(const Tensor& t);  // the other way round, unchecked
Tensor view_as_real(const Tensor& t);
Tensor view_as_complex(const Tensor& t);
Tensor real(const Tensor& t);  // a view, the tensor itself when it is real
Tensor imag(const Tensor& t);
Tensor complex(const Tensor& re, const Tensor& im);
Tensor complex_logaddexp(const Tensor& a, const Tensor& b);
Tensor conj(const Tensor& t, bool physical = false);  // made at once; the tensor itself when it is real
Tensor sgn(const Tensor& t);
Tensor angle(const Tensor& t);

// ---- view.cpp, view_pick.cpp, as_strided.cpp
Tensor as_strided(const Tensor& t, Dims sizes, Dims strides, int64_t offset);
Node* make_as_strided_node(const Tensor& base, const Tensor& view);
Tensor view(const Tensor& t, Dims sizes);
Tensor view_dtype(const Tensor& t, DType dtype);
Tensor reshape(const Tensor& t, Dims sizes);
Tensor unsafe_view(const Tensor& t, Dims sizes);  // of a contiguous temporary: no view in the books
Tensor permute(const Tensor& t, Dims dims);
Tensor transpose(const Tensor& t, int64_t a, int64_t b);
Tensor t(const Tensor& x);
Tensor expand(const Tensor& t, Dims sizes);
Tensor squeeze(const Tensor& t, std::optional<DimArray> dims = {});
Tensor unsqueeze(const Tensor& t, int64_t dim);
void t_(const Tensor& x);  // another layout for the tensor itself, with its history
void transpose_(const Tensor& x, int64_t a, int64_t b);
void squeeze_(const Tensor& x, std::optional<DimArray> dims = {});
void unsqueeze_(const Tensor& x, int64_t dim);
Tensor narrow(const Tensor& t, int64_t dim, int64_t start, int64_t length);
Tensor slice(const Tensor& t, int64_t dim, int64_t start, int64_t end, int64_t step);
Tensor select(const Tensor& t, int64_t dim, int64_t index);
Tensor diagonal(const Tensor& t, int64_t offset, int64_t dim1, int64_t dim2);
Tensor unfold(const Tensor& t, int64_t dim, int64_t size, int64_t step);
Tensor alias(const Tensor& t);  // view_as, a differentiable view of the whole
std::vector<Tensor> split(const Tensor& t, Dims lengths, int64_t dim);
std::vector<Tensor> split_by(const Tensor& t, int64_t length, int64_t dim);
std::vector<Tensor> chunk(const Tensor& t, int64_t chunks, int64_t dim);
std::vector<Tensor> unbind(const Tensor& t, int64_t dim);
Tensor flatten(const Tensor& t, int64_t start, int64_t end);
Tensor sum_to(const Tensor& t, Dims sizes);  // undoes broadcasting

// ---- join.cpp
Tensor cat(Tensors tensors, int64_t dim);
Tensor stack(Tensors tensors, int64_t dim);
Tensor flip(const Tensor& t, Dims dims);
Tensor repeat(const Tensor& t, Dims repeats);
Tensor roll(const Tensor& t, Dims shifts, Dims dims);

// ---- reduce.cpp
using OptDims = std::optional<DimArray>;
Tensor sum(const Tensor& t, OptDims dims = {}, bool keepdim = false, std::optional<DType> dtype = {});
Tensor mean(const Tensor& t, OptDims dims = {}, bool keepdim = false, std::optional<DType> dtype = {});
Tensor prod(const Tensor& t, std::optional<int64_t> dim = {}, bool keepdim = false, std::optional<DType> dtype = {});
Tensor amax(const Tensor& t, OptDims dims, bool keepdim, bool minimum = false);
// Nothing where there is no kernel, or a gradient is wanted: the caller composes then.
std::optional<std::pair<Tensor, Tensor>> aminmax(const Tensor& t, OptDims dims, bool keepdim);
std::optional<Tensor> nansum(const Tensor& t, OptDims dims, bool keepdim, std::optional<DType> dtype);
Tensor extremum(const Tensor& t, bool minimum);  // max(), min() of all elements
std::pair<Tensor, Tensor> extremum_dim(const Tensor& t, int64_t dim, bool keepdim, bool minimum);
Tensor arg_extremum(const Tensor& t, std::optional<int64_t> dim, bool keepdim, bool minimum);
// std where `root`; the mean goes to mean_out where it is wanted, from one reading of t.
Tensor var(const Tensor& t, OptDims dims, double correction, bool keepdim, bool root, Tensor* mean_out = nullptr);
Tensor norm(const Tensor& t, double order, OptDims dims, bool keepdim, std::optional<DType> dtype, bool vector_norm);
Tensor any(const Tensor& t, OptDims dims, bool keepdim, bool all);
Tensor logsumexp(const Tensor& t, DimArray dims, bool keepdim);
Tensor count_nonzero(const Tensor& t, OptDims dims);

// ---- rows.cpp: along one dimension
// safe: of lines that are -inf throughout the softmax is 0 instead of NaN.
Tensor softmax(const Tensor& t, int64_t dim, std::optional<DType> dtype, bool log, bool safe = false);
Tensor cumulative(const Tensor& t, int64_t dim, Row op, std::optional<DType> dtype, bool reverse = false);
std::pair<Tensor, Tensor> cumulative_extremum(const Tensor& t, int64_t dim, bool minimum);
Tensor layer_norm(const Tensor& t, Dims shape, const Tensor& weight, const Tensor& bias, double eps);
Tensor rms_norm(const Tensor& t, Dims shape, const Tensor& weight, double eps);  // on the CPU

// ---- pairs.cpp: without gradients, Float32 or Float64
bool have_pairs(const Tensor& t);
Tensor bag_sums(const Tensor& table, const Tensor& indices, const Tensor& starts, bool mean);
Tensor distances(const Tensor& a, const Tensor& b, double order, bool triangle);  // of batches of one shape

// ---- fft.cpp: dense results without gradients; along one dimension (CPU), or all of `dims` (where a device has that),
// the last of them the one that is halved
bool can_transform(int64_t size, bool real);
Tensor fourier(const Tensor& t, int dim, Fft kind, int64_t size, double scale);
Tensor fourier_several(const Tensor& t, Dims dims, Fft kind, int64_t size, double scale);
int64_t fourier_plans(Device device, FftPlans what, int64_t value);

// ---- special.cpp
// The same elements; backward through them fails: the derivative for `what` is not implemented.
Tensor refuse_gradient(const Tensor& t, const char* what);

// ---- sort.cpp: values and their indices, along one dimension
std::pair<Tensor, Tensor> sort(const Tensor& t, int64_t dim, bool descending, bool want_values = true);
std::pair<Tensor, Tensor> topk(const Tensor& t, int64_t k, int64_t dim, bool largest, bool sorted);
std::pair<Tensor, Tensor> pick(const Tensor& t, Pick kind, int64_t k, int64_t dim, bool keepdim);  // k: of kth, from 1
Tensor median(const Tensor& t, bool skip_nan);
// sorted: one sequence, or one for each row of values; the arguments are checked before
Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right, const Tensor& sorter);

// ---- matmul.cpp
Tensor matmul(const Tensor& a, const Tensor& b);
Tensor mm(const Tensor& a, const Tensor& b);
Tensor bmm(const Tensor& a, const Tensor& b);
Tensor mv(const Tensor& a, const Tensor& b);
Tensor dot(const Tensor& a, const Tensor& b);
Tensor addmm(const Tensor& c, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha);
Tensor baddbmm(const Tensor& c, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha);
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

// ---- gather.cpp, index_rows.cpp, mask.cpp, index.cpp, triangle.cpp
Tensor gather(const Tensor& t, int64_t dim, const Tensor& index);
Tensor scatter(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& source, Scatter mode);
void scatter_(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& source, Scatter mode);
// mean: with Scatter::add. include_self: the old value counts among the sources of its place.
Tensor scatter_reduce(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& source, Scatter mode, bool mean,
                      bool include_self);
void scatter_reduce_(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& source, Scatter mode, bool mean,
                     bool include_self);
Tensor index_select(const Tensor& t, int64_t dim, const Tensor& index);
Tensor index_add(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha);
void index_add_(const Tensor& t, int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha);
Tensor embedding(const Tensor& weight, const Tensor& index, int64_t padding_index, bool by_frequency);
Tensor nonzero(const Tensor& t);
Tensor masked_select(const Tensor& t, const Tensor& mask);
Tensor masked_fill(const Tensor& t, const Tensor& mask, Arg value);
void masked_fill_(const Tensor& t, const Tensor& mask, Arg value);
// indices: one entry for each leading dimension, undefined = a full slice; bool, uint8 or integer tensors
Tensor index(const Tensor& t, const std::vector<Tensor>& indices);
void index_put_(const Tensor& t, const std::vector<Tensor>& indices, const Tensor& value, bool accumulate);
// The value in the dtype of t: what index_put_ takes; one number for the places of a mask is cast.
Tensor value_to_put(const Tensor& t, const std::vector<Tensor>& indices, const Tensor& value, bool accumulate);
void triangle_(const Tensor& t, int64_t diagonal, bool upper);
Tensor triangle(const Tensor& t, int64_t diagonal, bool upper);

// ---- loss.cpp: reduction 0 none, 1 mean, 2 sum
Tensor pointwise_loss(Op op, const Tensor& input, const Tensor& target, int reduction, double parameter);
Tensor nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight, int reduction, int64_t ignore_index);

}  // namespace fg
