// Every elementwise op, forward and gradient, from its row.
//
// elementwise(): dtype rule -> shape -> output -> kernel -> node. The node (elementwise_node.h) saves what the row's
// gradient reads (RowInfo::uses) and runs the fused gradient kernel or, when the gradient itself is recorded, evaluates
// the row on tensors: at once, or where that would keep much, when the gradient's gradient is found.
#include <algorithm>
#include <limits>

#include "autograd/forward.h"
#include "ops/autocast.h"
#include "ops/elementwise_dtype.h"
#include "ops/elementwise_node.h"

namespace fg {

namespace {

// torch rounds the operands to the half types it works in first, but for a single factor or divisor and for a number as
// weight.
bool stays_wide(Op op, Args args, size_t i) {
  const Arg& a = args[i];
  const bool product = op == Op::mul || op == Op::div;
  if (!a.tensor && (product || op == Op::lerp)) return true;
  const bool single = !a.tensor || (a.tensor->numel() == 1 && args[0].tensor);
  return i == 1 && single && (product || op == Op::floor_divide || op == Op::trunc_divide);
}
// Whether a tensor's elements may have no exact counterpart in the dtype that the op works in.
bool is_narrowed(DType from, DType to) {
  if (from == to || from == DType::Bool || is_complex(from)) return false;
  if (is_half(to)) return item_size(from) > 1;
  return is_integral(to) && item_size(to) < 4 && item_size(to) <= item_size(from);  // others load as they wrap
}

IterInput input_of(Op op, Args args, size_t i, Number& number, Tensor& narrowed, DType dtype) {
  const Arg& a = args[i];
  if (!a.tensor) return {&number, number.set(a.scalar, compute_of(dtype), dtype, stays_wide(op, args, i)), nullptr};
  const Tensor* t = a.tensor;
  if (is_narrowed(t->dtype(), dtype) && !(is_half(dtype) && stays_wide(op, args, i))) [[unlikely]] {
    NoGradGuard guard;
    narrowed = to_dtype(*t, dtype);
    t = &narrowed;
  }
  return {t->data(), t->dtype(), t};
}

Op bits_of(Op op) {  // of bools
  switch (op) {
    case Op::logical_and: return Op::bitwise_and;
    case Op::logical_or: return Op::bitwise_or;
    case Op::logical_xor:
    case Op::ne: return Op::bitwise_xor;
    default: return op;
  }
}
// Bits of contiguous operands of one dtype: eight bytes at a time, whatever they are. `not` flips the one bit of a
// bool.
void go_by_words(Op& op, Iter& iter) {
  static int64_t ones = 0x0101010101010101;
  const bool flips = op == Op::logical_not;
  const Op bits = flips ? Op::bitwise_xor : bits_of(op);
  if (!one_of(bits, {Op::bitwise_and, Op::bitwise_or, Op::bitwise_xor})) return;
  const DType dtype = iter.out.dtype;
  const int64_t bytes = iter.numel * item_size(dtype);
  if ((bits != op && dtype != DType::Bool) || bytes % 8 || iter.ndim > 1 || iter.host) return;
  Operand* const all[] = {&iter.out, &iter.in[0], &iter.in[1]};
  const std::span<Operand* const> operands(all, flips ? 2 : 3);
  for (const Operand* operand : operands)
    if (operand->dtype != dtype || (iter.ndim && operand->strides[0] != 1) ||
        reinterpret_cast<uintptr_t>(operand->data) % 8)
      return;
  for (Operand* operand : operands) operand->dtype = DType::Int64;
  if (flips) {
    iter.in[1] = {&ones, {}, DType::Int64};
    iter.inputs = 2;
    iter.host = 2;
  }
  op = bits;
  iter.compute = Compute::I64;
  iter.numel = bytes / 8;
  if (iter.ndim) iter.sizes[0] = iter.numel;
}

void launch(Op op, const Tensor& out, Args args, DType dtype, Scalar p, Scalar q) {
  if (p.is_complex() || q.is_complex()) [[unlikely]]
    fail(ErrorKind::NotImplemented, row_info(op).name, ": complex parameters are not supported");
  Compute compute = compute_of(dtype);
  Iter iter;
  Number numbers[3];
  Tensor narrowed[3];
  IterInput inputs[3];
  for (size_t i = 0; i < args.size(); ++i) inputs[i] = input_of(op, args, i, numbers[i], narrowed[i], dtype);
  make_iter(iter, out, {inputs, args.size()}, compute);
  Number wrapped;
  Scalar parameters[] = {p, q};
  for (int i = 0; i < 2; ++i) {
    iter.params[i] = parameters[i].param();
    if (compute == Compute::I32) wrapped.set(parameters[i], compute, dtype), iter.params[i].i = wrapped.i32;
  }
  if (op == Op::pow_scalar && is_half(dtype)) iter.params[0].f = rounded_to_half(p.f, dtype);
  const auto clean = [](const Arg& a) {
    return !a.tensor || a.tensor->dtype() != DType::Bool || !a.tensor->storage().any_bools();
  };
  if ((args.size() == 2 || op == Op::logical_not) && std::all_of(args.begin(), args.end(), clean))
    go_by_words(op, iter);
  const Backend& table = backend(out.device());
  run(table.elementwise[static_cast<int>(op)][static_cast<int>(iter.compute)], row_info(op).name, iter, out.device());
}

// Rows that torch's autocast keeps in float32 on CUDA.
bool float_on_cuda(Op op) {
  return one_of(op, {Op::acos, Op::asin, Op::cosh, Op::exp, Op::expm1, Op::log, Op::log10, Op::log2, Op::log1p, Op::pow,
                     Op::reciprocal, Op::rsqrt, Op::sinh, Op::softplus, Op::tan});
}

// ---- recording

// keep: for in-place ops, a copy of the old value of the first input when the gradient reads it.
template <int N>
Ptr<Node> record(Op op, const RowInfo& info, Args args, Dims sizes, DType out_dtype, Scalar p, Scalar q, bool in_place,
                 ElementwiseNode<N>** made) {
  auto node = Ptr<ElementwiseNode<N>>::adopt(new ElementwiseNode<N>);
  node->op = op;
  node->out_dtype = out_dtype;
  node->p = p;
  node->q = q;
  node->set_edges(N);
  unsigned uses = 0;
  for (int i = 0; i < N; ++i) {
    node->dtypes[i] = args[i].tensor ? args[i].tensor->dtype() : out_dtype;
    if (!args[i].tensor) {
      node->number_mask |= 1 << i;
      node->numbers[i] = args[i].scalar;
      continue;
    }
    const Tensor& t = *args[i].tensor;
    if (is_recorded(t) && is_inexact(t.dtype())) {
      connect(*node, i, t);
      uses |= info.uses[i];
      if (!same(t.sizes(), sizes)) node->shapes[i] = std::make_unique<DimList>(t.sizes());
    }
  }
  for (int i = 0; i < N; ++i)
    if ((uses & (2u << i)) && args[i].tensor) {
      // In forward mode also of its other views and where it stands twice, x.mul_(x): the tangent is computed after
      // the change.
      if (in_place && (i == 0 || (mode & kForward && args[i].tensor->shares_storage(*args[0].tensor)))) {
        node->in[i].save(clone(*args[i].tensor));  // recorded: a second derivative goes through the old value
      } else {
        node->in[i].save(*args[i].tensor);
      }
    }
  *made = node.get();
  return node;
}

bool any_wants_grad(const RowInfo& info, Args args) {
  if (!info.differentiable) return false;
  for (const Arg& a : args)
    if (a.tensor && is_recorded(*a.tensor)) return true;
  return false;
}

template <int N>
void finish_record(Op op, const RowInfo& info, Args args, const Tensor& out, Scalar p, Scalar q) {
  ElementwiseNode<N>* raw;
  DType worked_in = op == Op::abs ? args[0].tensor->dtype() : out.dtype();
  Ptr<Node> node = record<N>(op, info, args, out.sizes(), worked_in, p, q, false, &raw);
  unsigned uses = 0;
  for (int i = 0; i < N; ++i)
    if (node->wants(i)) uses |= info.uses[i];
  set_history(out, node);
  if (uses & 16u) raw->y.save(out, true);
}

void record_any(Op op, const RowInfo& info, Args args, const Tensor& out, Scalar p, Scalar q) {
  switch (args.size()) {
    case 1: return finish_record<1>(op, info, args, out, p, q);
    case 2: return finish_record<2>(op, info, args, out, p, q);
    default: return finish_record<3>(op, info, args, out, p, q);
  }
}

// A 0-d CPU tensor among CUDA ones counts as a number; one that wants a gradient is copied, so that it gets one.
Device common_device(const RowInfo& info, Args args, Arg* moved, Tensor* copies) {
  Device device;
  const Tensor* owner = nullptr;
  for (const Arg& a : args)
    if (a.tensor && (!owner || (owner->dim() == 0 && owner->device().is_cpu()))) owner = a.tensor;
  if (!owner) return device;
  device = owner->device();
  for (size_t i = 0; i < args.size(); ++i) {
    const Tensor* t = args[i].tensor;
    if (!t || t->device() == device) continue;
    FG_CHECK(t->dim() == 0 && t->device().is_cpu(), Runtime, info.name,
             ": Expected all tensors to be on the same device, but found at least two devices, ", device_name(device),
             " and ", device_name(t->device()), "!");
    if (is_recorded(*t)) moved[i] = Arg(copies[i] = to_device(*t, device));
    else moved[i] = Arg(item(*t));
  }
  return device;
}

void check_out(const RowInfo& info, const Tensor& out, DType result, Args args) {
  FG_CHECK(can_cast(result, out.dtype()), Runtime, info.name, ": result type ", dtype_name(result),
           " can't be cast to the desired output type ", dtype_name(out.dtype()));
  check_writable_layout(out, info.name);
  for (const Arg& a : args)
    if (a.tensor && overlaps_partly(out, *a.tensor) && out.is_dense() && a.tensor->is_dense())
      fail(
          ErrorKind::Runtime, info.name,
          ": unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
          "location. Please clone() the tensor before performing the operation.");
}

DimArray layout_of(Dims shape, Args args) {  // strides of a result
  const Tensor* layout[3];
  int n = 0;
  for (const Arg& a : args)
    if (a.tensor) layout[n++] = a.tensor;
  return result_strides(shape, {layout, static_cast<size_t>(n)});
}

// Into memory that is there: an input that shares it at other places is read from a copy.
void launch_onto(Op op, const Tensor& out, Args args, DType dtype, Scalar p, Scalar q) {
  const auto shared = [&](const Arg& a) { return a.tensor && overlaps_partly(out, *a.tensor); };
  if (std::none_of(args.begin(), args.end(), shared)) return launch(op, out, args, dtype, p, q);
  NoGradGuard guard;
  std::vector<Arg> apart(args.begin(), args.end());
  Tensor copies[3];
  for (size_t i = 0; i < apart.size(); ++i)
    if (shared(apart[i])) apart[i] = Arg(copies[i] = clone(*args[i].tensor));
  launch(op, out, apart, dtype, p, q);
}

DimArray common_shape(const RowInfo& info, Args args) {
  DimArray shape;
  for (const Arg& a : args)
    if (a.tensor)
      shape = shape.n == 0 ? DimArray(a.tensor->sizes()) : broadcast_shapes(shape, a.tensor->sizes(), info.name);
  return shape;
}

}  // namespace

Tensor row_gradient(Op op, int i, const Tensor& g, const Tensor* x, Scalar p) {
  const RowInfo& info = row_info(op);
  if (records_gradient()) return info.grad[i](g, x, {}, p.f, 0);
  DimArray shape(g.sizes());
  IterInput inputs[kMaxInputs];
  inputs[0] = {g.data(), g.dtype(), &g};
  const Tensor* layout[3];
  int n = info.arity;
  for (int k = 0; k < n; ++k) {
    shape = broadcast_shapes(shape, x[k].sizes(), info.name);
    if (info.uses[i] & (2u << k)) inputs[1 + k] = {x[k].data(), x[k].dtype(), &x[k]};
    layout[k] = &x[k];
  }
  Tensor out =
      Tensor::empty_strided(shape, result_strides(shape, {layout, static_cast<size_t>(n)}), x[i].dtype(), g.device());
  if (out.numel() == 0) return out;
  Compute compute = compute_of(out.dtype());
  Iter iter;
  make_iter(iter, out, {inputs, static_cast<size_t>(n + 2)}, compute);
  iter.params[0] = p.param();
  run(backend(g.device()).elementwise_grad[static_cast<int>(op)][i][static_cast<int>(compute)], info.name, iter,
      g.device());
  return out;
}

Tensor elementwise(Op op, Args args, Scalar p, Scalar q, const Tensor* out) {
  if ((mode & kAutocast) && args[0].tensor && autocasting_cuda(*args[0].tensor) && float_on_cuda(op)) {
    Tensor x = to_float(*args[0].tensor);
    Arg wide[] = {x, args.size() > 1 ? args[1] : Arg(x), args.size() > 2 ? args[2] : Arg(x)};
    return without_autocast([&] { return elementwise(op, {wide, args.size()}, p, q, out); });
  }
  const RowInfo& info = row_info(op);
  // Usual case first: everything of one dtype, shape and device, contiguous.
  const Tensor* lead = args[0].tensor ? args[0].tensor : args.size() > 1 ? args[1].tensor : nullptr;
  DType dtype;
  bool plain = lead && !out && lead->is_contiguous() && !lead->impl()->wrapped_number && is_floating(lead->dtype());
  if (plain)
    for (const Arg& a : args)
      plain &= a.tensor
                   ? a.tensor == lead || (a.tensor->dtype() == lead->dtype() && a.tensor->device() == lead->device() &&
                                          a.tensor->is_contiguous() && same(a.tensor->sizes(), lead->sizes()))
                   : !a.scalar.is_complex();
  if (plain) {
    dtype = working_dtype(op, info, lead->dtype(), args);
    check_dtype(op, info, dtype, args);
    Tensor result = Tensor::empty(lead->sizes(), gives_bool(info.section) ? DType::Bool : dtype, lead->device());
    if (result.numel() != 0) launch(op, result, args, dtype, p, q);
    if (any_wants_grad(info, args)) record_any(op, info, args, result, p, q);
    return result;
  }

  std::vector<Arg> moved;
  Tensor copies[3];
  Args given = args;  // the dtypes follow from these
  Device device;
  for (const Arg& a : args)
    if (a.tensor && lead && a.tensor->device() != lead->device()) moved.assign(args.begin(), args.end());
  if (!moved.empty()) {
    device = common_device(info, args, moved.data(), copies);
    args = moved;
  } else if (lead) {
    device = lead->device();
  }
  dtype = working_dtype(op, info, op == Op::where ? result_type(given.subspan(1)) : result_type(given), given);
  check_dtype(op, info, dtype, args);
  DimArray shape = common_shape(info, args);
  DType given_dtype = result_dtype(op, info, dtype);
  Tensor result;
  if (out) {
    if (mode & kForward) {
      for (const Arg& a : args)
        if (a.tensor) refuse_forward_out(info.name, *a.tensor);
      refuse_forward_out(info.name, *out);
    }
    FG_CHECK(
        !any_wants_grad(info, args) && !(grad_enabled() && out->requires_grad()), Runtime, info.name,
        "(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires "
        "grad.");
    FG_CHECK(out->device() == device, Runtime, info.name,
             ": Expected all tensors to be on the same device, but out is on ", device_name(out->device()),
             " and the inputs are on ", device_name(device));
    result = same(out->sizes(), shape) ? resize_out(*out, shape) : resize_out(*out, shape, layout_of(shape, args));
    check_out(info, result, given_dtype, args);
    if (result.dtype() != given_dtype) {  // found in its own dtype, then cast
      copy_(result, elementwise(op, given, p, q));
      return result;
    }
  } else {
    result = Tensor::empty_strided(shape, layout_of(shape, args), given_dtype, device);
  }
  if (result.numel() != 0) {
    if (out) launch_onto(op, result, args, dtype, p, q);
    else launch(op, result, args, dtype, p, q);
  }
  if (out) result.bump_version();
  else if (any_wants_grad(info, args)) record_any(op, info, args, result, p, q);
  return result;
}

void elementwise_(Op op, const Tensor& self, Args rest, Scalar p, Scalar q) {
  const RowInfo& info = row_info(op);
  const Arg given[] = {self, rest.size() > 0 ? rest[0] : Arg(self), rest.size() > 1 ? rest[1] : Arg(self)};
  Arg moved[] = {given[0], given[1], given[2]};
  const Args all(given, 1 + rest.size());
  Tensor copies[3];
  Device device = common_device(info, all, moved, copies);
  FG_CHECK(device == self.device(), Runtime, info.name, "_: Expected all tensors to be on the same device, but found ",
           device_name(self.device()), " and ", device_name(device));
  const Args args(moved, all.size());
  check_inplace(self, info.name);
  DType dtype = working_dtype(op, info, result_type(all), all);
  check_dtype(op, info, dtype, args);
  DimArray shape = common_shape(info, args);
  FG_CHECK(same(shape, self.sizes()), Runtime, info.name, "_: output with shape ", size_text(self.sizes()),
           " doesn't match the broadcast shape ", size_text(shape));
  FG_CHECK(!(op == Op::abs && is_complex(dtype)), Runtime, "In-place abs is not supported for complex tensors.");
  check_out(info, self, result_dtype(op, info, dtype), args);

  Ptr<Node> node;
  Saved* y = nullptr;
  // A comparison written into a tensor with history gives zero gradients, not those of the old value.
  bool zero_gradient = !info.differentiable && is_recorded(self);
  if (zero_gradient || any_wants_grad(info, args)) {
    auto make = [&]<int N>() {
      ElementwiseNode<N>* raw;
      node = record<N>(op, info, args, shape, dtype, p, q, true, &raw);
      unsigned uses = 0;
      for (int i = 0; i < N; ++i)
        if (node->wants(i)) uses |= info.uses[i];
      if (uses & 16u) y = &raw->y;
    };
    if (args.size() == 1) make.operator()<1>();
    else if (args.size() == 2) make.operator()<2>();
    else make.operator()<3>();
  }
  if (self.numel() != 0) launch_onto(op, self, args, dtype, p, q);
  self.bump_version();
  if (node) {
    rebase_history(self, node);
    if (y) y->save(self, true);
  }
}

void add_(const Tensor& self, const Tensor& other) {
  if (self.numel() == 0) return;
  Arg args[] = {self, other};
  launch(Op::add, self, args, self.dtype(), {}, {});
  self.bump_version();
}

}  // namespace fg
