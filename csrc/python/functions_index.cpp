// Indexing functions, masks, triangles.
#include "ops/autocast.h"
#include "python/functions.h"

namespace fg::py {

namespace {

// The source of scatter: a tensor, or a number spread over the index.
Tensor source_of(const Call& c, int i, const Tensor& t, const Tensor& index) {
  if (c.is_tensor(i)) return c.tensor(i);
  return expand(full({}, c.scalar(i), t.dtype(), t.device()), index.sizes());
}

Scatter scatter_mode(const Call& c, int i) {
  std::string mode = c.text(i, "");
  if (mode.empty()) return Scatter::set;
  if (mode == "add" || mode == "sum") return Scatter::add;
  if (mode == "multiply" || mode == "prod") return Scatter::mul;
  if (mode == "amax") return Scatter::amax;
  if (mode == "amin") return Scatter::amin;
  fail(ErrorKind::Runtime, "reduce argument must be either add, multiply, sum, prod, amax or amin, got ", mode);
}

// scatter(input, dim, index, src) or scatter(input, dim, index, value=number)
PyObject* scatter_args(Call& c, bool in_place) {
  const Tensor &t = c.tensor(0), &index = c.tensor(2);
  int at = c.has(3) ? 3 : 5;
  if (!c.has(at)) c.type_error(3, "Tensor or Number");
  Tensor source = source_of(c, at, t, index);
  Scatter mode = scatter_mode(c, 4);
  if (!in_place) return wrap(scatter(t, c.integer(1), index, source, mode));
  scatter_(t, c.integer(1), index, source, mode);
  return same_object(c);
}

PyObject* scatter_reduce_args(Call& c, bool in_place) {
  const Tensor &t = c.tensor(0), &index = c.tensor(2), &source = c.tensor(3);
  std::string reduce = c.text(4, "sum");
  bool mean = reduce == "mean", include_self = c.boolean(5, true);
  FG_CHECK(mean || reduce == "sum" || reduce == "prod" || reduce == "amax" || reduce == "amin", Runtime,
           "reduce argument must be either sum, prod, mean, amax or amin, got ", reduce);
  Scatter mode = mean ? Scatter::add : scatter_mode(c, 4);
  if (!in_place) return wrap(scatter_reduce(t, c.integer(1), index, source, mode, mean, include_self));
  scatter_reduce_(t, c.integer(1), index, source, mode, mean, include_self);
  return same_object(c);
}

std::vector<Tensor> index_list(const Call& c, int i) {
  PyObject* fast = PySequence_Fast(c.v[i], "indices must be a sequence of tensors");
  if (!fast) raise_pending();
  std::vector<Tensor> out;
  for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(fast); ++k) {
    PyObject* o = PySequence_Fast_GET_ITEM(fast, k);
    if (o == Py_None) out.emplace_back();
    else if (is_tensor(o)) out.push_back(unwrap(o));
    else {
      Py_DECREF(fast);
      c.type_error(i, "a sequence of Tensors");
    }
  }
  Py_DECREF(fast);
  return out;
}

PyObject* index_put_args(Call& c, bool in_place) {
  const Tensor& t = c.tensor(0);
  std::vector<Tensor> indices = index_list(c, 1);
  Tensor value = value_to_put(t, indices, c.tensor(2), c.boolean(3, false));
  if (in_place) {
    index_put_(t, indices, value, c.boolean(3, false));
    return same_object(c);
  }
  Tensor out = clone(t);
  index_put_(out, indices, value, c.boolean(3, false));
  return wrap(out);
}

PyObject* nonzero_args(Call& c) {
  if (!c.boolean(1, false)) return wrap(nonzero(c.tensor(0)));
  return nonzero_tuple(c.tensor(0));
}

PyObject* index_fill_args(Call& c, bool in_place) {
  const Tensor& t = c.tensor(0);
  int64_t dim = c.integer(1);
  int d = wrap_dim(dim, t.dim(), "index_fill");
  std::vector<Tensor> indices(d);
  Tensor at = c.tensor(2);
  FG_CHECK(at.dtype() == DType::Int64, Index, "index_fill_(): Expected dtype int64 for index.");
  FG_CHECK(at.dim() < 2, Runtime, "Index has to be a vector/scalar");
  Tensor value =
      c.is_tensor(3) ? c.tensor(3) : full({}, number_for(c.scalar(3), t.dtype(), true), t.dtype(), t.device());
  FG_CHECK(value.dim() == 0, Runtime, "index_fill_ only supports a 0-dimensional value tensor, but got tensor with ",
           value.dim(), " dimension(s).");
  if (value.requires_grad() && at.numel() > 1) {  // an element named twice takes the value once
    NoGradGuard guard;
    Tensor marks = full(DimArray{t.dim() ? t.size(d) : 1}, Scalar::of_bool(false), DType::Bool, t.device());
    index_put_(marks, {at}, full({}, Scalar::of_bool(true), DType::Bool, t.device()), false);
    at = reshape(nonzero(marks), DimArray{-1});
  }
  indices.push_back(at.dim() ? at : unsqueeze(at, 0));
  Tensor out = in_place ? t : clone(t);
  index_put_(out.dim() ? out : unsqueeze(out, 0), indices, to_dtype(value, t.dtype()), false);
  return in_place ? same_object(c) : wrap(out);
}

PyObject* index_copy_args(Call& c, bool in_place) {
  Tensor t = c.tensor(0), source = c.tensor(3);
  const Tensor& at = c.tensor(2);
  if (!in_place && t.dtype() != source.dtype()) t = in_float(t), source = in_float(source);  // autocast promotes
  int d = wrap_dim(c.integer(1), t.dim(), "index_copy");
  FG_CHECK(at.dim() < 2, Index, "index_copy_(): Index should have dimension 1 or 0 (got ", at.dim(), ")");
  FG_CHECK(source.dim() == 0 || t.dim() == 0 || source.dim() == t.dim(), Index,
           "index_copy_(): When source and destination are not "
           "scalars, their dimensionality must match. Source dimensionality (",
           source.dim(), "), destination dimensionality (", t.dim(), ")");
  int64_t rows = source.dim() ? source.size(std::min(d, source.dim() - 1)) : 1;
  FG_CHECK(at.numel() == rows, Index, "index_copy_(): Number of indices (", at.numel(),
           ") should be equal to source.size(dim) (", rows, ")");
  for (int i = 0; i < std::max(t.dim(), source.dim()); ++i)
    FG_CHECK(i == d || (i < t.dim() && i < source.dim() && t.size(i) == source.size(i)), Runtime,
             "index_copy_(): Source/destination tensor must have same slice shapes, but got ", size_text(t.sizes()),
             " and ", size_text(source.sizes()), " for dimension ", d);
  FG_CHECK(t.dtype() == source.dtype(), Runtime,
           "index_copy_(): self and source expected to have the same dtype, but got (self) ", dtype_name(t.dtype()),
           " and (source) ", dtype_name(source.dtype()));
  std::vector<Tensor> indices(d);
  indices.push_back(at.dim() ? at : unsqueeze(at, 0));
  Tensor out = in_place ? t : clone_contiguous(t);
  index_put_(out.dim() ? out : unsqueeze(out, 0), indices, source, false);
  return in_place ? same_object(c) : wrap(out);
}

PyObject* take_along_args(Call& c) {
  const Tensor &t = c.tensor(0), &index = c.tensor(1);
  if (!c.has(2)) return wrap(gather(reshape(t, DimArray{-1}), 0, reshape(index, DimArray{-1})));
  int d = wrap_dim(c.integer(2), t.dim(), "take_along_dim");
  FG_CHECK(index.dim() == t.dim(), Runtime,
           "torch.take_along_dim(): input and indices should have the same number of dimensions, "
           "but got ",
           t.dim(), " dimensions for input, and ", index.dim(), " dimensions for indices");
  DimArray a(t.sizes()), b(index.sizes());
  a.v[d] = b.v[d] = 1;
  DimArray shape = broadcast_shapes(a, b, "take_along_dim"), input = shape, at = shape;
  input.v[d] = t.size(d), at.v[d] = index.size(d);
  return wrap(gather(expand(t, input), d, expand(index, at)));
}

PyObject* triangle_args(Call& c, bool upper) { return finish(c, 2, triangle(c.tensor(0), c.integer(1, 0), upper)); }
PyObject* triangle_inplace(Call& c, bool upper) {
  triangle_(c.tensor(0), c.integer(1, 0), upper);
  return same_object(c);
}

constexpr FunctionDef defs[] = {
    {"gather", kBoth, "input, dim, index, *, sparse_grad=False, out=None",
     [](Call& c) { return finish(c, 4, gather(c.tensor(0), c.integer(1), c.tensor(2))); },
     "out[i][j] = input[index[i][j]][j] for dim 0"},
    {"scatter", kBoth, "input, dim, index, src=None, *, reduce=None, value=None",
     [](Call& c) { return scatter_args(c, false); }, nullptr},
    {"scatter_", kMethod, "input, dim, index, src=None, *, reduce=None, value=None",
     [](Call& c) { return scatter_args(c, true); }, nullptr},
    {"scatter_add", kBoth, "input, dim, index, src",
     [](Call& c) { return wrap(scatter(c.tensor(0), c.integer(1), c.tensor(2), c.tensor(3), Scatter::add)); }, nullptr},
    {"scatter_add_", kMethod, "input, dim, index, src",
     [](Call& c) {
       scatter_(c.tensor(0), c.integer(1), c.tensor(2), c.tensor(3), Scatter::add);
       return same_object(c);
     },
     nullptr},
    {"scatter_reduce", kBoth, "input, dim, index, src, reduce, *, include_self=True",
     [](Call& c) { return scatter_reduce_args(c, false); }, nullptr},
    {"scatter_reduce_", kMethod, "input, dim, index, src, reduce, *, include_self=True",
     [](Call& c) { return scatter_reduce_args(c, true); }, nullptr},
    {"index_select", kBoth, "input, dim, index, *, out=None",
     [](Call& c) { return finish(c, 3, index_select(c.tensor(0), c.integer(1), c.tensor(2))); },
     "Slices of dim at the positions of index."},
    {"index_add", kBoth, "input, dim, index, source, *, alpha=1",
     [](Call& c) {
       return wrap(index_add(c.tensor(0), c.integer(1), c.tensor(2), c.tensor(3), c.scalar(4, Scalar::of_int(1))));
     },
     nullptr},
    {"index_add_", kMethod, "input, dim, index, source, *, alpha=1",
     [](Call& c) {
       index_add_(c.tensor(0), c.integer(1), c.tensor(2), c.tensor(3), c.scalar(4, Scalar::of_int(1)));
       return same_object(c);
     },
     nullptr},
    {"index_fill", kBoth, "input, dim, index, value", [](Call& c) { return index_fill_args(c, false); }, nullptr},
    {"index_fill_", kMethod, "input, dim, index, value", [](Call& c) { return index_fill_args(c, true); }, nullptr},
    {"index_copy", kBoth, "input, dim, index, source", [](Call& c) { return index_copy_args(c, false); }, nullptr},
    {"index_copy_", kMethod, "input, dim, index, source", [](Call& c) { return index_copy_args(c, true); }, nullptr},
    {"index_put", kBoth, "input, indices, values, accumulate=False", [](Call& c) { return index_put_args(c, false); },
     nullptr},
    {"index_put_", kBoth, "input, indices, values, accumulate=False", [](Call& c) { return index_put_args(c, true); },
     nullptr},
    {"take_along_dim", kBoth, "input, indices, dim=None", take_along_args, nullptr},
    {"take", kBoth, "input, index",
     [](Call& c) { return wrap(index(reshape(c.tensor(0), DimArray{-1}), {c.tensor(1)})); }, nullptr},
    {"masked_select", kBoth, "input, mask, *, out=None",
     [](Call& c) { return finish(c, 2, masked_select(c.tensor(0), c.tensor(1))); }, nullptr},
    {"masked_fill", kBoth, "input, mask, value",
     [](Call& c) { return wrap(masked_fill(c.tensor(0), c.tensor(1), c.arg(2))); }, nullptr},
    {"masked_fill_", kMethod, "input, mask, value",
     [](Call& c) {
       masked_fill_(c.tensor(0), c.tensor(1), c.arg(2));
       return same_object(c);
     },
     nullptr},
    {"nonzero", kBoth, "input, *, as_tuple=False", nonzero_args, "Positions of the elements that are not zero."},
    {"argwhere", kBoth, "input", [](Call& c) { return wrap(nonzero(c.tensor(0))); }, nullptr},
    {"tril", kBoth, "input, diagonal=0, *, out=None", [](Call& c) { return triangle_args(c, false); },
     "Lower triangle, zeros above."},
    {"triu", kBoth, "input, diagonal=0, *, out=None", [](Call& c) { return triangle_args(c, true); },
     "Upper triangle, zeros below."},
    {"tril_", kMethod, "input, diagonal=0", [](Call& c) { return triangle_inplace(c, false); }, nullptr},
    {"triu_", kMethod, "input, diagonal=0", [](Call& c) { return triangle_inplace(c, true); }, nullptr},
    {"embedding", kFunction, "weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False",
     [](Call& c) {
       FG_CHECK(!c.boolean(4, false), NotImplemented, "embedding: sparse=True is not supported (gradients are dense)");
       return wrap(embedding(c.tensor(0), c.tensor(1), c.integer(2, -1), c.boolean(3, false)));
     },
     nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_index_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
