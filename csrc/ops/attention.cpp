// Fused attention (cpu/kernels/attention.cpp, cuda/attention.cu): operands of two to four dimensions brought to (batch,
// heads, rows, width). Not recorded: the node is in Python, where the second derivatives are.
#include "ops/attention.h"

namespace fg {

namespace {

// (batch, heads, rows, width), the last dimension contiguous.
Tensor four_dimensions(const Tensor& t) {
  const Tensor x = t.dim() && t.stride(t.dim() - 1) == 1 ? t : contiguous(t);
  if (x.dim() > 4) {
    const Tensor flat = contiguous(x);
    const int64_t rows = x.size(x.dim() - 2), width = x.size(x.dim() - 1);
    return view(flat, DimArray{1, rows * width > 0 ? x.numel() / (rows * width) : 0, rows, width});
  }
  DimArray sizes, strides;
  for (int i = x.dim(); i < 4; ++i) sizes.push(1), strides.push(0);
  for (int i = 0; i < x.dim(); ++i) sizes.push(x.size(i)), strides.push(x.stride(i));
  return x.alias(sizes, strides, x.offset());
}

// The last two dimensions exchanged, rows that do not fall on the same cache sets. Other devices do without.
Tensor turned_for_cpu(const Tensor& x) {
  if (!x.device().is_cpu()) return {};
  const int64_t rows = x.size(2), width = x.size(3);
  Tensor padded = Tensor::empty(DimArray{x.size(0), x.size(1), width, rows + 16}, x.dtype(), x.device());
  Tensor out = narrow(padded, 3, 0, rows);
  raw_copy(out, transpose(x, 2, 3));
  return out;
}

AttentionOperand operand(const Tensor& x) { return {x.data(), x.stride(0), x.stride(1), x.stride(2)}; }

AttentionArgs attention_args(const Tensor& q, const Tensor& k, const Tensor& v, double scale, bool causal) {
  const bool fits = k.size(0) == q.size(0) && v.size(0) == q.size(0) && k.size(1) == q.size(1) &&
                    v.size(1) == q.size(1) && k.size(3) == q.size(3) && v.size(2) == k.size(2) &&
                    k.dtype() == q.dtype() && v.dtype() == q.dtype();
  FG_CHECK(fits, Runtime, "attention: the operands do not fit: ", size_text(q.sizes()), ", ", size_text(k.sizes()),
           " and ", size_text(v.sizes()));
  const bool has_kernel = q.device().is_cpu() ? q.dtype() == DType::Float32 || q.dtype() == DType::Float64
                                              : is_floating(q.dtype()) && q.size(3) <= 256 && v.size(3) <= 256;
  FG_CHECK(has_kernel && k.device() == q.device() && v.device() == q.device(), NotImplemented,
           "attention: no kernel for heads of ", q.size(3), " and ", v.size(3), " numbers of dtype ",
           dtype_name(q.dtype()), " on ", device_name(q.device()));
  AttentionArgs args{};
  args.dtype = q.dtype();
  args.causal = causal;
  args.scale = scale;
  args.batch = q.size(0), args.heads = q.size(1), args.queries = q.size(2), args.keys = k.size(2);
  args.width = q.size(3), args.value_width = v.size(3);
  args.q = operand(q), args.k = operand(k), args.v = operand(v);
  args.stream = Storage::current_stream(q.device());
  return args;
}

// What torch has a fused kernel for; its output lies in memory as the query does, so that heads in the middle stay
// there and a view makes rows of them.
bool follows_query(const Tensor& query, const Tensor& key, const Tensor& value) {
  const bool rows = query.dim() == 4 && query.stride(3) == 1 && key.stride(3) == 1 && value.stride(3) == 1;
  return rows && value.size(3) == query.size(3) && !query.is_contiguous();
}

Tensor like(const Tensor& t) { return Tensor::empty(t.sizes(), t.dtype(), t.device()); }

}  // namespace

WithSums attention(const Tensor& query, const Tensor& key, const Tensor& value, double scale, bool causal) {
  NoGradGuard guard;
  const Tensor q = four_dimensions(query), k = four_dimensions(key), v = four_dimensions(value);
  AttentionArgs args = attention_args(q, k, v, scale, causal);
  DimArray sizes(query.sizes());
  sizes[sizes.n - 1] = args.value_width;
  const DType sums_dtype = is_half(q.dtype()) ? DType::Float32 : q.dtype();
  WithSums made{Tensor::empty(sizes, q.dtype(), q.device()),
                Tensor::empty(narrow(q, 3, 0, 1).sizes(), sums_dtype, q.device())};
  if (made.out.numel() == 0) return made;
  const Tensor k_turned = turned_for_cpu(k);
  if (k_turned.defined()) args.k_turned = operand(k_turned);
  args.out = made.out.mutable_data(), args.lse = made.sums.mutable_data();
  {
    GilRelease release(made.out.numel() * args.keys);
    backend(q.device()).attention(args);
  }
  if (follows_query(query, key, value)) {
    Tensor out = empty_like(query);
    raw_copy(out, made.out);
    made.out = out;
  }
  return made;
}

std::tuple<Tensor, Tensor, Tensor> attention_gradients(const Tensor& g, const Tensor& query, const Tensor& key,
                                                       const Tensor& value, const WithSums& made, double scale,
                                                       bool causal, bool over_query, bool over_value) {
  NoGradGuard guard;
  const Tensor q = four_dimensions(query), k = four_dimensions(key), v = four_dimensions(value);
  const Tensor grad = contiguous(g);
  AttentionArgs args = attention_args(q, k, v, scale, causal);
  if (grad.numel() == 0) return {zeros_like(query), zeros_like(key), zeros_like(value)};
  const bool on_cpu = q.device().is_cpu();  // whose kernel reads what it writes over before, and nothing of the output
  over_query &= on_cpu, over_value &= on_cpu;
  const Tensor gq = over_query && query.is_contiguous() ? query.alias() : like(query), gk = like(key);
  const Tensor gv = over_value && value.is_contiguous() ? value.alias() : like(value);
  const Tensor k_turned = turned_for_cpu(k), v_turned = turned_for_cpu(v);
  if (k_turned.defined()) args.k_turned = operand(k_turned), args.v_turned = operand(v_turned);
  const Tensor out = on_cpu ? Tensor() : contiguous(made.out);
  args.out = on_cpu ? nullptr : const_cast<void*>(out.data()), args.lse = const_cast<void*>(made.sums.data());
  args.grad = grad.data();
  args.gq = gq.mutable_data(), args.gk = gk.mutable_data(), args.gv = gv.mutable_data();
  GilRelease release(grad.numel() * args.keys);
  backend(q.device()).attention_grad(args);
  return {gq, gk, gv};
}

}  // namespace fg
