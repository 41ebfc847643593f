// Reductions, softmax and cumulative ops, matrix products, as functions and methods.
#include <cmath>

#include "python/functions.h"

namespace fg::py {

namespace {

struct PairType {
  std::string name;
  PyTypeObject* type;
};
std::vector<PairType> pair_types;

// dims of torch's reductions: None and () mean all. Empty but given, which shows in the name of the node.
OptDims reduce_dims(const Call& c, int i) {
  if (c.given(i) && !c.has(i)) return DimArray();
  return c.opt_dims(i);
}

PyObject* extremum_args(Call& c, bool minimum) {
  // max(input), max(input, dim, keepdim), max(input, other)
  if (c.is_tensor(1)) {
    Arg a[] = {c.tensor(0), c.tensor(1)};
    return finish(c, 4, elementwise(minimum ? Op::minimum : Op::maximum, a));
  }
  if (c.has(3)) {
    Arg a[] = {c.tensor(0), c.tensor(3)};
    return finish(c, 4, elementwise(minimum ? Op::minimum : Op::maximum, a));
  }
  if (!c.has(1)) return finish(c, 4, extremum(c.tensor(0), minimum));
  auto [values, indices] = extremum_dim(c.tensor(0), c.integer(1), c.boolean(2, false), minimum);
  return finish_pair(c, 4, minimum ? "min" : "max", values, indices);
}

double correction_of(const Call& c, int unbiased, int correction) {
  if (c.has(correction)) return c.scalar(correction).f;
  return c.boolean(unbiased, true) ? 1 : 0;
}

// (input, dim=None, unbiased=True, keepdim=False, *, correction=1) or (input, unbiased)
Tensor var_of(Call& c, bool root, Tensor* mean_out = nullptr) {
  if (c.given(1) && PyBool_Check(c.v[1]))
    return var(c.tensor(0), {}, PyObject_IsTrue(c.v[1]) ? 1 : 0, c.boolean(3, false), root, mean_out);
  return var(c.tensor(0), reduce_dims(c, 1), correction_of(c, 2, 4), c.boolean(3, false), root, mean_out);
}
PyObject* var_args(Call& c, bool root) { return finish(c, 5, var_of(c, root)); }
PyObject* var_mean_args(Call& c, bool root) {
  Tensor mean, value = var_of(c, root, &mean);
  return wrap_list({value, mean});
}

double order_of(const Call& c, int i) {
  if (!c.has(i)) return 2;
  if (PyUnicode_Check(c.v[i])) {
    std::string text = c.text(i, "");
    if (text == "fro") return 2;
    if (text == "inf") return INFINITY;
    if (text == "-inf") return -INFINITY;
    fail(ErrorKind::Runtime, "norm: order '", text, "' is not supported; use 'fro' or a number");
  }
  return c.scalar(i).f;
}

// The dtype to add or multiply in, parameter i: with out=, parameter i + 1, and no dtype that of out.
std::optional<DType> sum_dtype(const Call& c, int i) {
  std::optional<DType> dtype = c.opt_dtype(i);
  if (!dtype && c.has(i + 1)) dtype = c.tensor(i + 1).dtype();
  return dtype;
}

PyObject* mean_args(Call& c) {
  const Tensor& t = c.tensor(0);
  bool both = is_inexact(t.dtype()) && c.has(4) && is_inexact(c.tensor(4).dtype());
  return finish(c, 4, mean(t, reduce_dims(c, 1), c.boolean(2, false), both ? sum_dtype(c, 3) : c.opt_dtype(3)));
}

PyObject* cumulative_(Call& c, Row op) {
  const Tensor& t = c.tensor(0);
  check_inplace(t, c.signature.name);
  // The gradient of a product reads what t was.
  copy_(t, cumulative(op == Row::cumprod && should_record(t) ? clone(t) : t, c.integer(1), op, c.dtype(2, t.dtype())));
  return same_object(c);
}

PyObject* any_args(Call& c, bool all) {
  const Tensor& t = c.tensor(0);
  // Here () means no dimension: each element for itself.
  if (c.has(1) && c.dims(1).n == 0)
    return finish(c, 3, to_dtype(to_dtype(t, DType::Bool), t.dtype() == DType::UInt8 ? t.dtype() : DType::Bool));
  return finish(c, 3, any(c.tensor(0), reduce_dims(c, 1), c.boolean(2, false), all));
}

PyObject* aminmax_dims(Call& c, bool minimum) {
  const Tensor& t = c.tensor(0);
  if (c.has(3))
    FG_CHECK(c.tensor(3).dtype() == t.dtype(), Runtime, "Expected the dtype for input and out to match, but got ",
             dtype_name(t.dtype()), " for input's dtype and ", dtype_name(c.tensor(3).dtype()), " for out's dtype.");
  return finish(c, 3, amax(t, reduce_dims(c, 1), c.boolean(2, false), minimum));
}

PyObject* softmax_args(Call& c, bool log) {
  const Tensor& t = c.tensor(0);
  return finish(c, 3, softmax(t, c.integer(1), c.opt_dtype(2), log));
}

using ProductSum = Tensor(const Tensor&, const Tensor&, const Tensor&, Scalar, Scalar);
Tensor product_sum_of(const Call& c, ProductSum* fn) {
  Scalar factors[] = {c.scalar(3, Scalar::of_int(1)), c.scalar(4, Scalar::of_int(1))};
  if (!is_inexact(c.tensor(0).dtype()))  // a fraction is cut off
    for (Scalar& s : factors) s = Scalar::of_int(s.param().i);
  return fn(c.tensor(0), c.tensor(1), c.tensor(2), factors[0], factors[1]);
}
Tensor addr_op(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha);

// Into out=, which a product does not cast.
PyObject* finish_product(Call& c, int i, const Tensor& result) {
  if (c.has(i))
    FG_CHECK(c.tensor(i).dtype() == result.dtype(), Runtime, "Expected out tensor to have dtype ",
             dtype_name(result.dtype()), ", but got ", dtype_name(c.tensor(i).dtype()), " instead");
  return finish(c, i, result);
}

PyObject* product_sum(Call& c, ProductSum* fn) {
  Tensor result = product_sum_of(c, fn);
  return fn == addr_op ? finish(c, 5, result) : finish_product(c, 5, result);
}
PyObject* product_sum_(Call& c, ProductSum* fn) {
  copy_(c.tensor(0), product_sum_of(c, fn));
  return same_object(c);
}

Tensor addmv_op(const Tensor& t, const Tensor& m, const Tensor& v, Scalar beta, Scalar alpha) {
  FG_CHECK(t.dim() <= 1 && m.dim() == 2 && v.dim() == 1, Runtime, "vector + matrix @ vector expected, got ", t.dim(),
           ", ", m.dim(), ", ", v.dim());
  FG_CHECK(t.dtype() == m.dtype() || m.dtype() != v.dtype(), Runtime,
           "addmv input tensors must have the same dtype, but got ", dtype_name(t.dtype()), ", ", dtype_name(m.dtype()),
           ", and ", dtype_name(v.dtype()));
  Tensor p = mv(m, v);
  FG_CHECK(t.numel() == 1 || same(t.sizes(), p.sizes()), Runtime, "size mismatch, got input (", t.numel(), "), mat (",
           m.size(0), "x", m.size(1), "), vec (", v.size(0), ")");
  if (!(alpha.f == 1 && alpha.imaginary == 0)) p = mul(p, alpha);
  if (beta.is_zero()) return p;
  return add(beta.f == 1 && beta.imaginary == 0 ? t : mul(t, beta), p);
}

Tensor addr_op(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  FG_CHECK(a.dim() == 1, Runtime, "addr: Expected 1-D argument vec1, but got ", a.dim(), "-D");
  FG_CHECK(b.dim() == 1, Runtime, "addr: Expected 1-D argument vec2, but got ", b.dim(), "-D");
  Tensor t = expand(input, DimArray{a.size(0), b.size(0)});  // now a number counts as a tensor in the result's dtype
  const Arg args[] = {t, a, b};
  const DType dtype = result_type(args);
  Tensor p = mul(to_dtype(unsqueeze(a, 1), dtype), to_dtype(b, dtype));
  if (!(alpha.f == 1 && alpha.imaginary == 0)) p = mul(p, alpha);
  if (beta.is_zero()) return p;
  return add(beta.f == 1 && beta.imaginary == 0 ? t : mul(t, beta), p);
}

constexpr FunctionDef defs[] = {
    {"sum", kBoth, "input, dim=None, keepdim=False, *, dtype=None, out=None",
     [](Call& c) { return finish(c, 4, sum(c.tensor(0), reduce_dims(c, 1), c.boolean(2, false), sum_dtype(c, 3))); },
     "Sum over dim (an int, a tuple, or None for all)."},
    {"mean", kBoth, "input, dim=None, keepdim=False, *, dtype=None, out=None", mean_args, "Mean over dim."},
    {"prod", kBoth, "input, dim=None, keepdim=False, *, dtype=None, out=None",
     [](Call& c) { return finish(c, 4, prod(c.tensor(0), c.opt_integer(1), c.boolean(2, false), sum_dtype(c, 3))); },
     "Product over dim."},
    {"max", kBoth, "input, dim=None, keepdim=False, *, other=None, out=None",
     [](Call& c) { return extremum_args(c, false); },
     "Largest element; with dim, (values, indices); with another tensor, the elementwise maximum."},
    {"min", kBoth, "input, dim=None, keepdim=False, *, other=None, out=None",
     [](Call& c) { return extremum_args(c, true); },
     "Smallest element; with dim, (values, indices); with another tensor, the elementwise minimum."},
    {"amax", kBoth, "input, dim=(), keepdim=False, *, out=None", [](Call& c) { return aminmax_dims(c, false); },
     "Largest element over dim."},
    {"amin", kBoth, "input, dim=(), keepdim=False, *, out=None", [](Call& c) { return aminmax_dims(c, true); },
     "Smallest element over dim."},
    {"argmax", kBoth, "input, dim=None, keepdim=False, *, out=None",
     [](Call& c) { return finish(c, 3, arg_extremum(c.tensor(0), c.opt_integer(1), c.boolean(2, false), false)); },
     "Index of the largest element."},
    {"argmin", kBoth, "input, dim=None, keepdim=False, *, out=None",
     [](Call& c) { return finish(c, 3, arg_extremum(c.tensor(0), c.opt_integer(1), c.boolean(2, false), true)); },
     "Index of the smallest element."},
    {"var", kBoth, "input, dim=None, unbiased=True, keepdim=False, *, correction=1, out=None",
     [](Call& c) { return var_args(c, false); }, "Variance with Bessel's correction unless correction=0."},
    {"var_mean", kFunction, "input, dim=None, unbiased=True, keepdim=False, *, correction=None",
     [](Call& c) { return var_mean_args(c, false); }, "Variance over dim, as var does, and the mean: (var, mean)."},
    {"std_mean", kFunction, "input, dim=None, unbiased=True, keepdim=False, *, correction=None",
     [](Call& c) { return var_mean_args(c, true); },
     "Standard deviation over dim, as std does, and the mean: (std, mean)."},
    {"std", kBoth, "input, dim=None, unbiased=True, keepdim=False, *, correction=1, out=None",
     [](Call& c) { return var_args(c, true); }, "Standard deviation with Bessel's correction unless correction=0."},
    {"norm", kBoth, "input, p=2, dim=None, keepdim=False, out=None, dtype=None",
     [](Call& c) {
       return finish(c, 4,
                     norm(c.tensor(0), order_of(c, 1), reduce_dims(c, 2), c.boolean(3, false), c.opt_dtype(5), false));
     },
     "Vector norm of order p."},
    {"_vector_norm", kFunction, "input, ord=2, dim=None, keepdim=False, *, dtype=None, out=None",
     [](Call& c) {
       return finish(c, 5,
                     norm(c.tensor(0), order_of(c, 1), reduce_dims(c, 2), c.boolean(3, false), c.opt_dtype(4), true));
     },
     nullptr},
    {"any", kBoth, "input, dim=None, keepdim=False, *, out=None", [](Call& c) { return any_args(c, false); },
     "Whether any element is true."},
    {"all", kBoth, "input, dim=None, keepdim=False, *, out=None", [](Call& c) { return any_args(c, true); },
     "Whether all elements are true."},
    {"count_nonzero", kBoth, "input, dim=None",
     [](Call& c) { return wrap(count_nonzero(c.tensor(0), reduce_dims(c, 1))); }, nullptr},
    {"logsumexp", kBoth, "input, dim, keepdim=False, *, out=None",
     [](Call& c) { return finish(c, 3, logsumexp(c.tensor(0), c.dims(1), c.boolean(2, false))); },
     "log(sum(exp(input))) over dim."},
    {"softmax", kBoth, "input, dim, dtype=None, *, out=None", [](Call& c) { return softmax_args(c, false); },
     "exp(input) / sum(exp(input)) over dim."},
    {"_safe_softmax", kFunction, "input, dim, dtype=None",
     [](Call& c) { return wrap(softmax(c.tensor(0), c.integer(1), c.opt_dtype(2), false, true)); },
     "softmax, but 0 where all of dim is -inf."},
    {"log_softmax", kBoth, "input, dim, dtype=None, *, out=None", [](Call& c) { return softmax_args(c, true); },
     "log(softmax(input)) over dim."},
    {"cumsum", kBoth, "input, dim, *, dtype=None, out=None",
     [](Call& c) { return finish(c, 3, cumulative(c.tensor(0), c.integer(1), Row::cumsum, sum_dtype(c, 2))); },
     "Running sum along dim."},
    {"cumprod", kBoth, "input, dim, *, dtype=None, out=None",
     [](Call& c) { return finish(c, 3, cumulative(c.tensor(0), c.integer(1), Row::cumprod, sum_dtype(c, 2))); },
     "Running product along dim."},
    // None where there is no kernel, or a gradient is wanted: the caller composes then.
    {"_bag_sums", kFunction, "weight, indices, starts, mean",
     [](Call& c) {
       const Tensor& weight = c.tensor(0);
       if (!have_pairs(weight) || should_record(weight)) Py_RETURN_NONE;
       return wrap(bag_sums(weight, c.tensor(1), c.tensor(2), c.boolean(3, false)));
     },
     nullptr},
    {"_nansum", kFunction, "input, dim=None, keepdim=False, dtype=None",
     [](Call& c) {
       return wrap(nansum(c.tensor(0), reduce_dims(c, 1), c.boolean(2, false), c.opt_dtype(3)).value_or(Tensor()));
     },
     nullptr},
    {"_aminmax", kFunction, "input, dim=(), keepdim=False",
     [](Call& c) {
       auto both = aminmax(c.tensor(0), reduce_dims(c, 1), c.boolean(2, false));
       if (!both) Py_RETURN_NONE;
       return wrap_list({both->first, both->second});
     },
     nullptr},
    {"_distances", kFunction, "x1, x2, p, triangle",
     [](Call& c) {
       const Tensor &a = c.tensor(0), &b = c.tensor(1);
       bool alike = have_pairs(a) && a.dtype() == b.dtype() && a.device() == b.device() && a.dim() == b.dim();
       for (int d = 0; alike && d < a.dim() - 2; ++d) alike = a.size(d) == b.size(d);
       if (!alike || should_record(a, b)) Py_RETURN_NONE;
       return wrap(distances(a, b, c.number(2, 2), c.boolean(3, false)));
     },
     nullptr},
    {"_logcumsumexp", kFunction, "input, dim",
     [](Call& c) { return wrap(cumulative(c.tensor(0), c.integer(1), Row::logcumsumexp, {})); }, nullptr},
    {"cumsum_", kMethod, "input, dim, *, dtype=None", [](Call& c) { return cumulative_(c, Row::cumsum); }, nullptr},
    {"cumprod_", kMethod, "input, dim, *, dtype=None", [](Call& c) { return cumulative_(c, Row::cumprod); }, nullptr},
    {"cummax", kBoth, "input, dim, *, out=None",
     [](Call& c) {
       auto [v, i] = cumulative_extremum(c.tensor(0), c.integer(1), false);
       return finish_pair(c, 2, "cummax", v, i);
     },
     nullptr},
    {"cummin", kBoth, "input, dim, *, out=None",
     [](Call& c) {
       auto [v, i] = cumulative_extremum(c.tensor(0), c.integer(1), true);
       return finish_pair(c, 2, "cummin", v, i);
     },
     nullptr},
    {"matmul", kBoth, "input, other, *, out=None",
     [](Call& c) { return finish_product(c, 2, matmul(c.tensor(0), c.tensor(1))); },
     "Matrix product with broadcasting over the leading dimensions."},
    {"mm", kBoth, "input, mat2, *, out=None",
     [](Call& c) { return finish_product(c, 2, mm(c.tensor(0), c.tensor(1))); }, "Product of two matrices."},
    {"bmm", kBoth, "input, mat2, *, out=None",
     [](Call& c) { return finish_product(c, 2, bmm(c.tensor(0), c.tensor(1))); },
     "Products of two batches of matrices."},
    {"mv", kBoth, "input, vec, *, out=None", [](Call& c) { return finish_product(c, 2, mv(c.tensor(0), c.tensor(1))); },
     "Matrix times vector."},
    {"dot", kBoth, "input, tensor, *, out=None",
     [](Call& c) { return finish_product(c, 2, dot(c.tensor(0), c.tensor(1))); }, "Inner product of two vectors."},
    {"addmm", kBoth, "input, mat1, mat2, *, beta=1, alpha=1, out=None", [](Call& c) { return product_sum(c, addmm); },
     "beta * input + alpha * mat1 @ mat2"},
    {"addmv", kBoth, "input, mat, vec, *, beta=1, alpha=1, out=None", [](Call& c) { return product_sum(c, addmv_op); },
     "beta * input + alpha * mat @ vec"},
    {"addr", kBoth, "input, vec1, vec2, *, beta=1, alpha=1, out=None", [](Call& c) { return product_sum(c, addr_op); },
     "beta * input + alpha * outer(vec1, vec2)"},
    {"baddbmm", kBoth, "input, batch1, batch2, *, beta=1, alpha=1, out=None",
     [](Call& c) { return product_sum(c, baddbmm); }, nullptr},
    {"addmm_", kMethod, "input, mat1, mat2, *, beta=1, alpha=1", [](Call& c) { return product_sum_(c, addmm); },
     nullptr},
    {"addmv_", kBoth, "input, mat, vec, *, beta=1, alpha=1", [](Call& c) { return product_sum_(c, addmv_op); },
     nullptr},
    {"addr_", kMethod, "input, vec1, vec2, *, beta=1, alpha=1", [](Call& c) { return product_sum_(c, addr_op); },
     nullptr},
    {"baddbmm_", kMethod, "input, batch1, batch2, *, beta=1, alpha=1", [](Call& c) { return product_sum_(c, baddbmm); },
     nullptr},
    {"outer", kBoth, "input, vec2, *, out=None",
     [](Call& c) {
       const Tensor &a = c.tensor(0), &b = c.tensor(1);
       FG_CHECK(a.dim() == 1 && b.dim() == 1, Runtime, "outer: Expected 1-D arguments, but got ", a.dim(), "-D and ",
                b.dim(), "-D");
       return finish(c, 2, mul(view(a, DimArray{a.size(0), 1}), b));
     },
     "Products of all pairs of two vectors."},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

PyObject* finish_pair(const Call& c, int i, const char* kind, const Tensor& values, const Tensor& indices) {
  if (!c.has(i)) return wrap_pair(kind, values, indices);
  std::vector<Tensor> out = c.tensors(i);
  FG_CHECK(out.size() == 2, Type, kind, "(): out must be a tuple of two tensors, got ", out.size());
  if (mode & kForward) refuse_forward_out(kind, values), refuse_forward_out(kind, out[0]);
  FG_CHECK(!values.requires_grad(), Runtime, kind,
           "(): functions with out=... arguments don't support automatic "
           "differentiation, but one of the arguments requires grad.");
  FG_CHECK(out[0].device() == values.device() && out[1].device() == values.device(), Runtime, kind,
           ": out= is on another device");
  FG_CHECK(out[0].dtype() == values.dtype() && out[1].dtype() == indices.dtype(), Runtime, kind,
           ": Expected out tensors to have "
           "dtypes ",
           dtype_name(values.dtype()), " and ", dtype_name(indices.dtype()), ", but got ", dtype_name(out[0].dtype()),
           " and ", dtype_name(out[1].dtype()));
  NoGradGuard guard;
  copy_(resize_out(out[0], values.sizes()), values);
  copy_(resize_out(out[1], indices.sizes()), indices);
  return wrap_pair(kind, out[0], out[1]);
}

PyTypeObject* pair_type(const char* kind) {
  for (const PairType& pair : pair_types)
    if (pair.name == kind) return pair.type;
  static PyStructSequence_Field fields[] = {{"values", nullptr}, {"indices", nullptr}, {nullptr, nullptr}};
  std::string* name = new std::string(concat("torch.return_types.", kind));
  PyStructSequence_Desc desc = {name->c_str(), nullptr, fields, 2};
  PyTypeObject* type = PyStructSequence_NewType(&desc);
  if (!type) raise_pending();
  PyObject* module = PyImport_ImportModule("fastgrad.return_types");  // has the text of all of them
  PyObject* text = module ? PyObject_GetAttrString(module, "_text") : nullptr;
  Py_XDECREF(module);
  bool ok = text && PyObject_SetAttrString(reinterpret_cast<PyObject*>(type), "__repr__", text) == 0;
  Py_XDECREF(text);
  if (!ok) raise_pending();
  pair_types.push_back({kind, type});
  return type;
}

PyObject* wrap_pair(const char* kind, const Tensor& a, const Tensor& b) {
  PyObject* out = PyStructSequence_New(pair_type(kind));
  if (!out) raise_pending();
  PyStructSequence_SET_ITEM(out, 0, wrap(a));
  PyStructSequence_SET_ITEM(out, 1, wrap(b));
  return out;
}

bool init_reduce_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
