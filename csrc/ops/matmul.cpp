// Matrix products: one kernel (gemm), torch's rules for ranks and broadcasting, gradients as recorded products.
#include "ops/autocast.h"
#include "ops/words.h"

namespace fg {

namespace {

void check_pair(const Tensor& a, const Tensor& b, const char* op) {
  FG_CHECK(a.dtype() == b.dtype(), Runtime, op,
           ": expected m1 and m2 to have the same dtype, but got: ", dtype_name(a.dtype()),
           " != ", dtype_name(b.dtype()));
  FG_CHECK(a.device() == b.device(), Runtime, op,
           ": Expected all tensors to be on the same device, but found at least two "
           "devices, ",
           device_name(a.device()), " and ", device_name(b.device()), "!");
  FG_CHECK(a.dtype() != DType::Bool, NotImplemented, "\"addmm_impl_cpu_\" not implemented for 'Bool'");
}

Tensor complex_product(const Tensor& a, const Tensor& b);

// a: (batch, m, k), b: (batch, k, n) or without batch; out is contiguous. `bias` broadcasts to (m, n).
Tensor product(const Tensor& a, const Tensor& b, double alpha = 1, const Tensor* bias = nullptr, double beta = 0,
               const Tensor* into = nullptr) {
  if (is_complex(a.dtype())) return complex_product(a, b);  // callers scale and add themselves
  int d = a.dim() - 2;
  GemmArgs args{};
  args.dtype = a.dtype();
  args.batch = d ? a.size(0) : 1;
  args.m = a.size(d), args.k = a.size(d + 1), args.n = b.size(d + 1);
  args.a = a.data(), args.a_rs = a.stride(d), args.a_cs = a.stride(d + 1), args.a_bs = d ? a.stride(0) : 0;
  args.b = b.data(), args.b_rs = b.stride(d), args.b_cs = b.stride(d + 1), args.b_bs = d ? b.stride(0) : 0;
  Tensor out = into ? *into
               : d  ? Tensor::empty(DimArray{args.batch, args.m, args.n}, a.dtype(), a.device())
                    : Tensor::empty(DimArray{args.m, args.n}, a.dtype(), a.device());
  if (out.numel() == 0) return out;
  args.c = out.mutable_data();
  args.c_rs = args.n;
  args.c_bs = args.m * args.n;
  args.alpha = alpha;
  args.beta = beta;
  if (bias) {
    args.bias = bias->data();
    int n = bias->dim();
    args.bias_cs = n && bias->size(n - 1) != 1 ? bias->stride(n - 1) : 0;
    args.bias_rs = n > 1 && bias->size(n - 2) != 1 ? bias->stride(n - 2) : 0;
  }
  args.stream = Storage::current_stream(a.device());
  GilRelease release(args.batch * args.m * args.n * (args.k / 16 + 1));
  backend(a.device()).gemm(args);
  return out;
}

// One real product: the rows of a as they lie, (re, im) pairs along k, times the pairs of b and of i * b. Each pair of
// columns of the result is a complex number.
Tensor complex_product(const Tensor& a, const Tensor& b) {
  NoGradGuard guard;
  int d = a.dim() - 2;
  int64_t m = a.size(d), k = a.size(d + 1), n = b.size(d + 1);
  if (n > 4 * m) {  // b is doubled: rather the smaller one
    Tensor turned = complex_product(transpose(b, d, d + 1), transpose(a, d, d + 1));
    return contiguous(transpose(turned, d, d + 1));
  }
  DimArray a_sizes, b_sizes, b_wide, out_sizes;
  if (d) a_sizes.push(a.size(0)), b_sizes.push(a.size(0)), b_wide.push(a.size(0)), out_sizes.push(a.size(0));
  a_sizes.push(m), a_sizes.push(2 * k);
  b_sizes.push(k), b_sizes.push(2), b_sizes.push(n), b_sizes.push(2);
  b_wide.push(2 * k), b_wide.push(2 * n);
  out_sizes.push(m), out_sizes.push(n), out_sizes.push(2);
  Tensor pairs = pairs_of(b), doubled = Tensor::empty(b_sizes, pairs.dtype(), b.device());
  Tensor turned = select(doubled, d + 1, 1);  // i * (re, im) = (-im, re)
  raw_copy(select(doubled, d + 1, 0), pairs);
  raw_copy(select(turned, -1, 0), unary(Op::neg, select(pairs, -1, 1)));
  raw_copy(select(turned, -1, 1), select(pairs, -1, 0));
  Tensor out = product(view(pairs_of(contiguous(a)), a_sizes), view(doubled, b_wide));
  return complex_over(view(out, out_sizes));
}

// g @ b^T and a^T @ g; the second in the layout that makes its transpose contiguous when b itself is a transpose (a
// weight). Complex ones take the conjugate.
Tensor left_gradient(const Tensor& g, const Tensor& b_in) {
  Tensor b = conj(b_in);
  return b.dim() == 2 ? mm(g, t(b)) : bmm(g, transpose(b, 1, 2));
}
Tensor right_gradient(const Tensor& a_in, const Tensor& g, bool transposed) {
  Tensor a = conj(a_in);
  if (a.dim() == 2) return transposed ? t(mm(t(g), a)) : mm(t(a), g);
  return bmm(transpose(a, 1, 2), g);
}
bool is_transposed(const Tensor& b) { return b.dim() == 2 && b.stride(0) == 1 && b.stride(1) != 1; }

// Gradients `first` and the next of a node: those of a and b. That of the smaller one comes first, after which the
// larger one is not needed any more.
void products(Node& node, int first, Saved& a, Saved& b, const Tensor& g, Tensor* gx, bool right_transposed) {
  const auto left = [&] {
    if (node.wants(first)) gx[first] = left_gradient(g, b.unpack(&node));
    b.done(&node);
  };
  const auto right = [&] {
    if (node.wants(first + 1)) gx[first + 1] = right_gradient(a.unpack(&node), g, right_transposed);
    a.done(&node);
  };
  const int d = g.dim() - 2;  // a: (m, k), b: (k, n)
  if (g.size(d) < g.size(d + 1)) left(), right();
  else right(), left();
}

struct ProductNode final : Node {
  const char* name_;
  Saved a, b;
  const char* name() const override { return name_; }
  void release_saved() override { a.clear(), b.clear(); }
  void apply(Tensor* g, Tensor* gx) override { products(*this, 0, a, b, g[0], gx, right_transposed); }
  bool right_transposed = false;
};

bool is_one(Scalar s) { return s.f == 1 && s.imaginary == 0; }

struct AddmmNode final : Node {
  const char* name_;
  DimList bias_sizes;
  Scalar alpha, beta;
  Saved a, b;
  bool right_transposed = false;
  const char* name() const override { return name_; }
  void release_saved() override { a.clear(), b.clear(); }
  static Tensor scaled(Tensor t, Scalar s) { return is_one(s) ? t : mul(t, conj(s)); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = scaled(sum_to(g[0], bias_sizes), beta);
    products(*this, 1, a, b, g[0], gx, right_transposed);
    for (int i = 1; i < 3; ++i)
      if (gx[i].defined()) gx[i] = scaled(std::move(gx[i]), alpha);
  }
};

struct MvBackward0 final : Node {
  Saved a, b;
  const char* name() const override { return "MvBackward0"; }
  void release_saved() override { a.clear(), b.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = mul(unsqueeze(g[0], 1), unsqueeze(conj(b.unpack(this)), 0));
    if (wants(1)) gx[1] = mv(t(conj(a.unpack(this))), g[0]);
  }
};

struct DotBackward0 final : Node {
  Saved a, b;
  const char* name() const override { return "DotBackward0"; }
  void release_saved() override { a.clear(), b.clear(); }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = mul(g[0], conj(b.unpack(this)));
    if (wants(1)) gx[1] = mul(g[0], conj(a.unpack(this)));
  }
};

void check_factors(const Tensor& a, Scalar beta, Scalar alpha, const char* op) {
  FG_CHECK(is_complex(a.dtype()) || (beta.imaginary == 0 && alpha.imaginary == 0), Runtime, op,
           ": value cannot be converted to type ", dtype_name(a.dtype()), " without overflow");
}

// beta * c + alpha * a @ b. Of floating point the sums are rounded once, with beta * c in them.
Tensor added_product(const Tensor& c, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  NoGradGuard guard;
  if (is_floating(a.dtype()) && !beta.is_zero()) {
    DimArray shape(a.sizes());
    shape.v[shape.n - 1] = b.size(b.dim() - 1);
    Tensor out = Tensor::empty(shape, a.dtype(), a.device());
    raw_copy(out, c);
    return product(a, b, alpha.f, nullptr, beta.f, &out);
  }
  Tensor out = product(a, b, alpha.f);
  if (is_complex(a.dtype()) && !is_one(alpha)) out = mul(out, alpha);
  return beta.is_zero() ? out : add(out, mul(c, beta));
}

template <class N>
void save_pair(N& node, const Tensor& a, const Tensor& b, int first) {
  if (node.wants(first)) node.b.save(b);
  if (node.wants(first + 1)) node.a.save(a);
}

}  // namespace

Tensor mm(const Tensor& a, const Tensor& b) {
  if (autocasting(a)) return without_autocast([&] { return mm(to_autocast(a), to_autocast(b)); });
  FG_CHECK(a.dim() == 2, Runtime, "mm: self must be a matrix, got shape ", shape_text(a.sizes()));
  FG_CHECK(b.dim() == 2, Runtime, "mm: mat2 must be a matrix, got shape ", shape_text(b.sizes()));
  FG_CHECK(a.size(1) == b.size(0), Runtime, "mm: mat1 and mat2 shapes cannot be multiplied (", a.size(0), "x",
           a.size(1), " and ", b.size(0), "x", b.size(1), ")");
  check_pair(a, b, "mm");
  Tensor out = product(a, b);
  if (should_record(a, b)) {
    auto node = make_node<ProductNode>(a, b);
    node->name_ = "MmBackward0";
    node->right_transposed = is_transposed(b);
    save_pair(*node, a, b, 0);
    set_history(out, node);
  }
  return out;
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  if (autocasting(a)) return without_autocast([&] { return bmm(to_autocast(a), to_autocast(b)); });
  FG_CHECK(a.dim() == 3 && b.dim() == 3, Runtime, "bmm: batch1 and batch2 must be 3D tensors, got shapes ",
           shape_text(a.sizes()), " and ", shape_text(b.sizes()));
  FG_CHECK(a.size(0) == b.size(0) && a.size(2) == b.size(1), Runtime,
           "bmm: Expected size for first two dimensions of batch2 "
           "tensor to be: [",
           a.size(0), ", ", a.size(2), "] but got: [", b.size(0), ", ", b.size(1), "].");
  check_pair(a, b, "bmm");
  Tensor out = product(a, b);
  if (should_record(a, b)) {
    auto node = make_node<ProductNode>(a, b);
    node->name_ = "BmmBackward0";
    save_pair(*node, a, b, 0);
    set_history(out, node);
  }
  return out;
}

Tensor mv(const Tensor& a, const Tensor& b) {
  FG_CHECK(a.dim() == 2 && b.dim() == 1, Runtime, "mv: vector + matrix @ vector expected, got ", a.dim(), ", ",
           b.dim());
  FG_CHECK(a.size(1) == b.size(0), Runtime, "mv: size mismatch, got input (", a.size(0), "), mat (", a.size(0), "x",
           a.size(1), "), vec (", b.size(0), ")");
  check_pair(a, b, "mv");
  Tensor column = b.alias(DimArray{b.size(0), 1}, DimArray{b.stride(0), 1}, b.offset());
  Tensor out = product(a, column);
  out = out.alias(DimArray{a.size(0)}, DimArray{1}, 0);
  if (should_record(a, b)) {
    auto node = make_node<MvBackward0>(a, b);
    save_pair(*node, a, b, 0);
    set_history(out, node);
  }
  return out;
}

Tensor dot(const Tensor& a, const Tensor& b) {
  FG_CHECK(a.dim() == 1 && b.dim() == 1, Runtime, "dot: 1D tensors expected, but got ", a.dim(), "D and ", b.dim(),
           "D tensors");
  FG_CHECK(a.dtype() == b.dtype(), Runtime, "dot : expected both vectors to have same dtype, but found ",
           dtype_name(a.dtype()), " and ", dtype_name(b.dtype()));
  FG_CHECK(a.size(0) == b.size(0), Runtime, "dot: inconsistent tensor size, expected tensor ", size_text(a.sizes()),
           " and src ", size_text(b.sizes()), " to have the same number of elements, but got ", a.size(0), " and ",
           b.size(0), " elements respectively");
  check_pair(a, b, "dot");
  Tensor row = a.alias(DimArray{1, a.size(0)}, DimArray{0, a.stride(0)}, a.offset());
  Tensor column = b.alias(DimArray{b.size(0), 1}, DimArray{b.stride(0), 1}, b.offset());
  Tensor out = product(row, column);
  out = out.alias({}, {}, 0);
  if (should_record(a, b)) {
    auto node = make_node<DotBackward0>(a, b);
    save_pair(*node, a, b, 0);
    set_history(out, node);
  }
  return out;
}

Tensor addmm(const Tensor& c, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  if (autocasting(a))
    return without_autocast([&] { return addmm(to_autocast(c), to_autocast(a), to_autocast(b), beta, alpha); });
  FG_CHECK(a.dim() == 2 && b.dim() == 2, Runtime, "addmm: mat1 and mat2 must be matrices, got shapes ",
           shape_text(a.sizes()), " and ", shape_text(b.sizes()));
  FG_CHECK(a.size(1) == b.size(0), Runtime, "addmm: mat1 and mat2 shapes cannot be multiplied (", a.size(0), "x",
           a.size(1), " and ", b.size(0), "x", b.size(1), ")");
  check_pair(a, b, "addmm");
  check_pair(c, a, "addmm");
  DimArray shape{a.size(0), b.size(1)};
  DimArray wide = broadcast_shapes(c.sizes(), shape, "addmm");
  FG_CHECK(same(wide, shape), Runtime, "addmm: The expanded size of the tensor ", size_text(shape),
           " must match the existing size ", size_text(c.sizes()));
  check_factors(a, beta, alpha, "addmm");
  Tensor out = is_one(beta) && a.size(1) > 0 && !is_complex(a.dtype()) ? product(a, b, alpha.f, &c)
                                                                       : added_product(c, a, b, beta, alpha);
  if (should_record(c, a, b)) {
    auto node = make_node<AddmmNode>(c, a, b);
    node->name_ = "AddmmBackward0";
    node->bias_sizes = c.sizes();
    node->alpha = alpha, node->beta = beta;
    node->right_transposed = is_transposed(b);
    save_pair(*node, a, b, 1);
    set_history(out, node);
  }
  return out;
}

Tensor baddbmm(const Tensor& c, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  if (autocasting(a))
    return without_autocast([&] { return baddbmm(to_autocast(c), to_autocast(a), to_autocast(b), beta, alpha); });
  FG_CHECK(a.dim() == 3 && b.dim() == 3 && a.size(0) == b.size(0) && a.size(2) == b.size(1), Runtime,
           "baddbmm: batch1 and batch2 must be 3D tensors that can be multiplied, got shapes ", shape_text(a.sizes()),
           " and ", shape_text(b.sizes()));
  check_pair(a, b, "baddbmm");
  check_factors(a, beta, alpha, "baddbmm");
  DimArray shape{a.size(0), a.size(1), b.size(2)};
  DimArray wide = broadcast_shapes(c.sizes(), shape, "baddbmm");
  FG_CHECK(same(wide, shape), Runtime, "baddbmm: The expanded size of the tensor ", size_text(shape),
           " must match the existing size ", size_text(c.sizes()));
  Tensor out = added_product(c, a, b, beta, alpha);
  if (should_record(c, a, b)) {
    auto node = make_node<AddmmNode>(c, a, b);
    node->name_ = "BaddbmmBackward0";
    node->bias_sizes = c.sizes();
    node->alpha = alpha, node->beta = beta;
    save_pair(*node, a, b, 1);
    set_history(out, node);
  }
  return out;
}

namespace {

DimArray with_last(const Tensor& x, int64_t last) {
  DimArray sizes(x.sizes());
  sizes.v[sizes.n - 1] = last;
  return sizes;
}

Tensor fold_rows(const Tensor& x, int64_t k) {
  int64_t rows = k ? x.numel() / k : count_of(x.sizes().first(x.dim() - 1));
  return reshape(x, DimArray{rows, k});
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  if (autocasting(a)) return without_autocast([&] { return matmul(to_autocast(a), to_autocast(b)); });
  int da = a.dim(), db = b.dim();
  FG_CHECK(da > 0 && db > 0, Runtime, "both arguments to matmul need to be at least 1D, but they are ", da, "D and ",
           db, "D");
  if (da == 1 && db == 1) return dot(a, b);
  if (da == 2 && db == 2) return mm(a, b);
  if (da == 2 && db == 1) return mv(a, b);
  if (da == 1 && db == 2) return squeeze(mm(unsqueeze(a, 0), b), DimArray{0});
  check_pair(a, b, "matmul");
  int64_t k = a.size(da - 1), kb = db == 1 ? b.size(0) : b.size(db - 2);
  if (da >= 3 && db <= 2) {
    FG_CHECK(k == kb, Runtime, "matmul: mat1 and mat2 shapes cannot be multiplied (", k ? a.numel() / k : 0, "x", k,
             " and ", kb, "x", db == 2 ? b.size(1) : 1, ")");
    Tensor rows = fold_rows(a, k);
    if (db == 1) return unsafe_view(mv(rows, b), a.sizes().first(da - 1));
    return unsafe_view(mm(rows, b), with_last(a, b.size(1)));
  }
  // Batches broadcast.
  Tensor left = da == 1 ? unsqueeze(a, 0) : a, right = db == 1 ? unsqueeze(b, 1) : b;
  int64_t m = left.size(left.dim() - 2), n = right.size(right.dim() - 1);
  DimArray batch = broadcast_shapes(left.sizes().first(left.dim() - 2), right.sizes().first(right.dim() - 2), "matmul");
  FG_CHECK(k == kb, Runtime, "matmul: Expected size for first two dimensions of batch2 tensor to be: [",
           count_of(batch), ", ", k, "] but got: [", count_of(batch), ", ", kb, "]. (shapes ", shape_text(a.sizes()),
           " and ", shape_text(b.sizes()), ")");
  auto batched = [&](const Tensor& x) {
    DimArray wide = batch;
    int64_t r = x.size(x.dim() - 2), c = x.size(x.dim() - 1);
    wide.push(r), wide.push(c);
    Tensor y = same(x.sizes(), wide) ? x : expand(x, wide);
    return y.dim() == 3 ? y : reshape(y, DimArray{count_of(batch), r, c});
  };
  Tensor out = bmm(batched(left), batched(right));
  DimArray shape = batch;
  if (da > 1) shape.push(m);
  if (db > 1) shape.push(n);
  return unsafe_view(out, shape);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (autocasting(x))
    return without_autocast([&] { return linear(to_autocast(x), to_autocast(weight), to_autocast(bias)); });
  FG_CHECK(weight.dim() == 2 || weight.dim() == 1, Runtime, "linear: weight must have 1 or 2 dimensions, got shape ",
           shape_text(weight.sizes()));
  FG_CHECK(x.dim() > 0, Runtime, "both arguments to linear need to be at least 1D, but they are ", x.dim(), "D and ",
           weight.dim(), "D");
  if (weight.dim() == 1) {
    Tensor out = matmul(x, weight);
    return bias.defined() ? add(out, bias) : out;
  }
  FG_CHECK(x.size(x.dim() - 1) == weight.size(1), Runtime, "linear: mat1 and mat2 shapes cannot be multiplied (",
           x.size(x.dim() - 1) ? x.numel() / x.size(x.dim() - 1) : 0, "x", x.size(x.dim() - 1), " and ", weight.size(1),
           "x", weight.size(0), "): input ", shape_text(x.sizes()), ", weight ", shape_text(weight.sizes()));
  Tensor wt = t(weight);
  if (!bias.defined()) return matmul(x, wt);
  if (bias.dim() > 1 || (bias.dim() == 1 && bias.size(0) != weight.size(0))) return add(matmul(x, wt), bias);
  if (x.dim() == 2) return addmm(bias, x, wt, Scalar::of_int(1), Scalar::of_int(1));
  Tensor rows = fold_rows(x, weight.size(1));
  return view(addmm(bias, rows, wt, Scalar::of_int(1), Scalar::of_int(1)), with_last(x, weight.size(0)));
}

}  // namespace fg
