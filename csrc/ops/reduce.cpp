// Reductions: dims -> (outer, size, inner) (reduce_layout.h) -> kernel, and their gradients.
//
// One node class serves all of them; ReduceNode::apply has one short case for each formula, built from recorded ops so
// that the gradient can be differentiated again.
#include <cmath>

#include "ops/autocast.h"
#include "ops/reduce_layout.h"
#include "ops/words.h"

namespace fg {

namespace {

struct Reduced {
  Tensor value, indices, second;
};
enum Wanted { kValue = 1, kIndices = 2, kSecond = 4 };

// What is done to the results of `op` over some dimensions to have it over more.
std::optional<Reduce> again(Reduce op) {
  switch (op) {
    case Reduce::sum_abs:
    case Reduce::sum_pow:
    case Reduce::count_nonzero:
    case Reduce::nansum: return Reduce::sum;
    case Reduce::sum:
    case Reduce::mean:
    case Reduce::prod:
    case Reduce::amax:
    case Reduce::amin:
    case Reduce::any:
    case Reduce::all:
    case Reduce::norm2:
    case Reduce::logsumexp: return op;
    default: return {};
  }
}

// The same of bools whose bytes may be other than 0 and 1.
Reduce of_any_bools(Reduce op) {
  switch (op) {
    case Reduce::sum: return Reduce::count_nonzero;
    case Reduce::prod:
    case Reduce::amin: return Reduce::all;
    case Reduce::amax: return Reduce::any;
    default: return op;
  }
}

// Into what `args` point to. Where kept dimensions lie between the reduced ones, those last in memory go first, in the
// wide type, which reads everything once; a copy in another order would be read and written.
void reduce_into(Reduce op, const char* name, const Tensor& t, DimMask mask, ReduceArgs args) {
  if (t.dtype() == DType::Bool && t.storage().any_bools()) {
    op = of_any_bools(op);
    if (args.indices || args.out2) return reduce_into(op, name, binary(Op::ne, t, 0.0), mask, args);
  }
  Arranged from = arrange(t, mask, args.indices != nullptr);
  std::optional<Reduce> rest = again(op);
  if (!from.run() && rest && t.device().is_cpu()) {
    DimMask last = from.last_run();
    DType wide = is_floating(t.dtype()) || is_floating(args.out_dtype) ? DType::Float64 : DType::Int64;
    Tensor part = Tensor::empty(kept_sizes(from.t, last, true), wide, t.device());
    ReduceArgs first = args;
    first.out = part.mutable_data();
    first.out_dtype = wide;
    reduce_into(op, name, from.t, last, first);
    args.compute = wide == DType::Float64 ? Compute::F64 : Compute::I64;
    return reduce_into(*rest, name, part, from.mask.without(last), args);
  }
  Block block = block_of(from);
  args.in = block.t.data();
  args.in_dtype = t.dtype();
  args.outer = block.outer;
  args.size = block.size;
  args.inner = block.inner;
  ReduceFn kernel = backend(t.device()).reduce[static_cast<int>(op)][static_cast<int>(args.compute)];
  if (!kernel)
    fail(ErrorKind::NotImplemented, name, ": no kernel for ", dtype_name(t.dtype()), " on ", device_name(t.device()));
  GilRelease release(t.numel());
  kernel(args);
  if (!t.device().is_cpu()) [[unlikely]]
    check_device(t.device(), name);
}

Reduced run(Reduce op, const char* name, const Tensor& t, DimMask mask, bool keepdim, Compute compute, DType out_dtype,
            int wanted = kValue, Param p = {}, Param q = {}) {
  if (is_complex(out_dtype) && (op == Reduce::sum || op == Reduce::mean)) {  // part by part
    NoGradGuard guard;
    DType part = real_of(out_dtype);
    return {complex_over(run(op, name, pairs_of(to_dtype(t, out_dtype)), mask, keepdim, compute_of(part), part).value),
            {}};
  }
  Reduced out;
  DimArray sizes = kept_sizes(t, mask, keepdim);
  if (wanted & kValue) out.value = Tensor::empty(sizes, out_dtype, t.device());
  if (wanted & kIndices) out.indices = Tensor::empty(sizes, DType::Int64, t.device());
  if (wanted & kSecond) out.second = Tensor::empty(sizes, out_dtype, t.device());
  const Tensor& any = wanted & kValue ? out.value : out.indices;
  if (any.numel() == 0) return out;
  ReduceArgs args = {};
  args.out = wanted & kValue ? out.value.mutable_data() : nullptr;
  args.out2 = wanted & kSecond ? out.second.mutable_data() : nullptr;
  args.indices = wanted & kIndices ? out.indices.mutable_data<int64_t>() : nullptr;
  args.out_dtype = out_dtype;
  args.compute = compute;
  args.params[0] = p;
  args.params[1] = q;
  args.stream = Storage::current_stream(t.device());
  reduce_into(op, name, t, mask, args);
  return out;
}

enum class Kind { sum, mean, prod, even, select, var, std, norm, logsumexp };

struct ReduceNode final : Node {
  Kind kind;
  const char* name_;
  DimList sizes;
  DimMask mask;
  bool keepdim;
  double p = 0;              // correction, order of a norm
  bool nan_matches = false;  // max and min of all: a NaN result came from the NaN elements
  DType in_dtype;
  Saved x, y, indices;
  int64_t dim = 0;

  const char* name() const override { return name_; }
  void release_saved() override { x.clear(), y.clear(), indices.clear(); }

  Tensor spread(const Tensor& t) const {  // to the shape of the input
    Tensor out = t;
    if (!keepdim) {
      DimArray full;
      Dims s = sizes;
      for (int i = 0; i < sizes.size(); ++i) full.push(mask.has(i) ? 1 : s[i]);
      out = view(contiguous(t), full);
    }
    return expand(out, sizes);
  }
  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < sizes.size(); ++i)
      if (mask.has(i)) n *= sizes[i];
    return n;
  }

  void apply(Tensor* g_in, Tensor* gx) override {
    if (!wants(0)) return;
    Tensor g = g_in[0];
    Tensor r = gradient(g);
    gx[0] = r.dtype() == in_dtype ? r : to_dtype(r, in_dtype);
  }

  Tensor gradient(const Tensor& g) {
    switch (kind) {
      case Kind::sum: return spread(g);
      case Kind::mean: return spread(div(g, static_cast<double>(count())));
      case Kind::select: {
        Tensor at = indices.unpack(this), value = g;
        Tensor empty = zeros(sizes, g.dtype(), g.device());
        if (sizes.size() == 0) return reshape(g, sizes);
        if (!keepdim) at = unsqueeze(at, dim), value = unsqueeze(g, dim);
        return scatter(empty, dim, at, value, Scatter::set);
      }
      case Kind::prod: return prod_gradient(g, x.unpack(this), y.unpack(this));
      case Kind::even: {
        Tensor input = x.unpack(this), result = spread(y.unpack(this));
        Tensor chosen = nan_matches ? unary_eq(input, result) : input == result;
        DimArray dims;
        for (int i = 0; i < sizes.size(); ++i)
          if (mask.has(i)) dims.push(i);
        Tensor total = sum(chosen, dims.n ? OptDims(dims) : OptDims(), true);
        if (sizes.size() == 0) return g;
        return spread_keep(chosen, g, total);
      }
      case Kind::var:
      case Kind::std: return var_gradient(g);
      case Kind::norm: return norm_gradient(g);
      case Kind::logsumexp: {
        Tensor input = x.unpack(this), result = y.unpack(this);
        return spread(g) * exp(input - spread(result));
      }
    }
    return {};
  }

  static Tensor unary_eq(const Tensor& a, const Tensor& b) {
    // NaN was chosen where it occurs: it does not equal itself.
    Tensor equal = a == b;
    return binary(Op::logical_or, equal, binary(Op::logical_and, unary(Op::isnan, a), unary(Op::isnan, b)));
  }
  Tensor spread_keep(const Tensor& chosen, const Tensor& g, const Tensor& total) const {
    if (nan_matches) return div(where(chosen, spread(g), 0.0), to_dtype(total, g.dtype()));
    return div(mul(spread(g), chosen), total);  // a NaN result: 0 of 0 elements were chosen
  }

  Tensor var_gradient(const Tensor& g_in) {
    Tensor input = x.unpack(this), g = g_in;
    if (kind == Kind::std) {
      Tensor root = y.unpack(this);
      g = where(root == 0.0, 0.0, g / (2 * root));
    }
    double n = static_cast<double>(count()) - p;
    DimArray dims;
    for (int i = 0; i < sizes.size(); ++i)
      if (mask.has(i)) dims.push(i);
    Tensor centered = input - mean(input, dims.n ? OptDims(dims) : OptDims(), true);
    if (n <= 0 && dims.n == sizes.size()) {
      double infinity = std::numeric_limits<double>::infinity();
      return spread(g) * where(centered == 0.0, std::numeric_limits<double>::quiet_NaN(),
                               full({}, Scalar::of(infinity), g.dtype(), g.device()));
    }
    return spread(g) * ((2.0 / n) * centered);
  }

  Tensor norm_gradient(const Tensor& g) {
    Tensor input = x.unpack(this);
    if (p == 0) return zeros_like(input);
    if (p == 1) return spread(g) * sign(input);
    Tensor result = y.unpack(this);
    if (std::isinf(p)) {
      Tensor magnitude = abs(input), wide = spread(result);
      Tensor chosen = unary_eq(magnitude, wide);
      DimArray dims;
      for (int i = 0; i < sizes.size(); ++i)
        if (mask.has(i)) dims.push(i);
      Tensor total = sum(chosen, dims.n ? OptDims(dims) : OptDims(), true);
      Tensor share = where(chosen, spread(g) * sign(input), 0.0);
      return sizes.size() == 0 ? share : div(share, to_dtype(total, g.dtype()));
    }
    // The subgradient at 0 is 0.
    if (p == 2) return input * spread(where(result == 0.0, 0.0, g / result));
    Tensor scale = where(result == 0.0, 0.0, g / pow(result, p - 1));
    if (p < 1) {
      Tensor body = sign(input) * pow(abs(input), p - 1);
      return where(input == 0.0, 0.0, body) * spread(scale);
    }
    if (p < 2) return where(input == 0.0, 0.0, sign(input) * pow(abs(input), p - 1)) * spread(scale);
    return input * pow(abs(input), p - 2) * spread(scale);
  }

  Tensor prod_gradient(const Tensor& g, const Tensor& input, const Tensor& result) {
    bool zero;
    {
      NoGradGuard guard;
      zero = any_zero(input);
    }
    if (!zero) return spread(g * conj(result)) / conj(input);
    // With zeros: the product of all others, one element of the dimension at a time.
    bool all = mask.count == sizes.size();
    Tensor flat = all ? reshape(input, DimArray{-1}) : input;
    int64_t d = all ? 0 : dim, n = flat.size(static_cast<int>(d));
    std::vector<Tensor> others;
    Tensor place = arange(Scalar::of_int(0), Scalar::of_int(n), Scalar::of_int(1), DType::Int64, input.device());
    DimArray shape;
    for (int i = 0; i < flat.dim(); ++i) shape.push(i == d ? n : 1);
    place = view(place, shape);
    for (int64_t k = 0; k < n; ++k)
      others.push_back(prod(where(binary(Op::eq, place, Scalar::of_int(k)), 1.0, flat), d, true));
    Tensor wide = cat(others, d);
    return conj(all ? reshape(wide, sizes) : wide) * spread(g);
  }
};

Ptr<ReduceNode> node_for(const Tensor& t, Kind kind, const char* name, DimMask mask, bool keepdim) {
  if (!should_record(t) || !is_inexact(t.dtype())) return {};
  auto node = make_node<ReduceNode>(t);
  node->kind = kind;
  node->name_ = name;
  node->sizes = t.sizes();
  node->mask = mask;
  node->keepdim = keepdim;
  node->in_dtype = t.dtype();
  return node;
}

DType sum_dtype(DType in, std::optional<DType> wanted) {
  if (wanted) return *wanted;
  return is_inexact(in) ? in : DType::Int64;
}

// dtype=: the elements are cast, not the sum; only in widening is there no difference.
bool cast_first(const Tensor& t, std::optional<DType> dtype) {
  if (!dtype || *dtype == t.dtype()) return false;
  return *dtype == DType::Bool || (is_floating(t.dtype()) && !is_floating(*dtype));
}

Compute sum_compute(DType in, DType out) {
  if (is_complex(out)) return compute_of(out);
  if (is_floating(in) || is_floating(out))
    return in == DType::Float64 || out == DType::Float64 ? Compute::F64 : Compute::F32;
  return Compute::I64;
}

void check_float(const Tensor& t, const char* op) {
  FG_CHECK(is_inexact(t.dtype()), Runtime, op,
           "(): could not infer output dtype. Input dtype must be either a floating point "
           "or complex dtype. Got: ",
           dtype_name(t.dtype()));
}

void check_not_empty(const Tensor& t, DimMask mask, const char* op) {
  for (int i = 0; i < t.dim(); ++i)
    if (mask.has(i)) FG_CHECK(t.size(i) != 0, Index, op, "(): Expected reduction dim ", i, " to have non-zero size.");
}

void check_any(const Tensor& t, const char* op) {
  FG_CHECK(t.numel() > 0, Runtime, op,
           "(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
           "reduction dim with the 'dim' argument.");
}

}  // namespace

// A complex tensor whose result was asked for as a real one: real from the start.
static Tensor real_first(const Tensor& t, DType out) {
  return is_complex(t.dtype()) && !is_complex(out) ? to_dtype(t, out) : t;
}

Tensor sum(const Tensor& t_in, OptDims dims, bool keepdim, std::optional<DType> dtype) {
  if (autocasting_cuda(t_in)) return without_autocast([&] { return sum(to_float(t_in), dims, keepdim, dtype); });
  if (cast_first(t_in, dtype)) return sum(to_dtype(t_in, *dtype), dims, keepdim, dtype);
  DimMask mask = mask_of(t_in, dims, "sum");
  DType out = sum_dtype(t_in.dtype(), dtype);
  Tensor t = real_first(t_in, out);
  Tensor r = run(Reduce::sum, "sum", t, mask, keepdim, sum_compute(t.dtype(), out), out).value;
  if (auto node = node_for(t, Kind::sum, dims ? "SumBackward1" : "SumBackward0", mask, keepdim)) set_history(r, node);
  return r;
}

bool have_reduction(Reduce op, const Tensor& t) {
  return !is_complex(t.dtype()) && !should_record(t) &&
         backend(t.device()).reduce[static_cast<int>(op)][static_cast<int>(compute_of(t.dtype()))];
}

std::optional<Tensor> nansum(const Tensor& t, OptDims dims, bool keepdim, std::optional<DType> dtype) {
  DType out = sum_dtype(t.dtype(), dtype);
  if (!is_floating(t.dtype()) || !is_floating(out) || !have_reduction(Reduce::nansum, t)) return {};
  return run(Reduce::nansum, "nansum", t, mask_of(t, dims, "nansum"), keepdim, sum_compute(t.dtype(), out), out).value;
}

Tensor mean(const Tensor& t_in, OptDims dims, bool keepdim, std::optional<DType> dtype) {
  DimMask mask = mask_of(t_in, dims, "mean");
  DType out = dtype.value_or(t_in.dtype());
  FG_CHECK(is_inexact(out), Runtime,
           "mean(): could not infer output dtype. Input dtype must be either a floating point or "
           "complex dtype. Got: ",
           dtype_name(t_in.dtype()));
  Tensor t = real_first(t_in, out);
  Tensor r = run(Reduce::mean, "mean", t, mask, keepdim, sum_compute(t.dtype(), out), out).value;
  if (auto node = node_for(t, Kind::mean, dims ? "MeanBackward1" : "MeanBackward0", mask, keepdim))
    set_history(r, node);
  return r;
}

Tensor prod(const Tensor& t_in, std::optional<int64_t> dim, bool keepdim, std::optional<DType> dtype) {
  if (autocasting(t_in)) return without_autocast([&] { return prod(to_float(t_in), dim, keepdim, dtype); });
  OptDims dims;
  if (dim) dims = DimArray{*dim};
  if (cast_first(t_in, dtype)) return prod(to_dtype(t_in, *dtype), dim, keepdim, dtype);
  DimMask mask = mask_of(t_in, dims, "prod");
  DType out = sum_dtype(t_in.dtype(), dtype);
  Tensor t = real_first(t_in, out);
  Tensor r = run(Reduce::prod, "prod", t, mask, keepdim, sum_compute(t.dtype(), out), out).value;
  if (auto node = node_for(t, Kind::prod, dim ? "ProdBackward1" : "ProdBackward0", mask, keepdim)) {
    node->x.save(t);
    node->dim = dim ? wrap_dim(*dim, t.dim(), "prod") : 0;
    set_history(r, node);
    node->y.save(r, true);
  }
  return r;
}

static Tensor evenly(const Tensor& t, DimMask mask, bool keepdim, bool minimum, const char* name, const char* node_name,
                     bool nan_matches) {
  Tensor r = run(minimum ? Reduce::amin : Reduce::amax, name, t, mask, keepdim, compute_of(t.dtype()), t.dtype()).value;
  if (auto node = node_for(t, Kind::even, node_name, mask, keepdim)) {
    node->nan_matches = nan_matches;
    node->x.save(t);
    set_history(r, node);
    node->y.save(r, true);
  }
  return r;
}

Tensor amax(const Tensor& t, OptDims dims, bool keepdim, bool minimum) {
  const char* name = minimum ? "amin" : "amax";
  DimMask mask = mask_of(t, dims, name);
  if (dims && dims->n) check_not_empty(t, mask, name);
  else check_any(t, name);
  return evenly(t, mask, keepdim, minimum, name, minimum ? "AminBackward0" : "AmaxBackward0", false);
}

std::optional<std::pair<Tensor, Tensor>> aminmax(const Tensor& t, OptDims dims, bool keepdim) {
  if (!have_reduction(Reduce::aminmax, t)) return {};
  DimMask mask = mask_of(t, dims, "aminmax");
  if (dims && dims->n) check_not_empty(t, mask, "aminmax");
  else check_any(t, "aminmax");
  Reduced r = run(Reduce::aminmax, "aminmax", t, mask, keepdim, compute_of(t.dtype()), t.dtype(), kValue | kSecond);
  return std::pair(r.value, r.second);
}

Tensor extremum(const Tensor& t, bool minimum) {
  const char* name = minimum ? "min" : "max";
  check_any(t, name);
  return evenly(t, mask_of(t, {}, name), false, minimum, name, minimum ? "MinBackward1" : "MaxBackward1", true);
}

std::pair<Tensor, Tensor> extremum_dim(const Tensor& t, int64_t dim, bool keepdim, bool minimum) {
  const char* name = minimum ? "min" : "max";
  DimMask mask = mask_of(t, DimArray{dim}, name);
  check_not_empty(t, mask, name);
  Reduced r = run(minimum ? Reduce::min : Reduce::max, name, t, mask, keepdim, compute_of(t.dtype()), t.dtype(),
                  kValue | kIndices);
  if (auto node = node_for(t, Kind::select, minimum ? "MinBackward0" : "MaxBackward0", mask, keepdim)) {
    node->indices.save(r.indices);
    node->dim = wrap_dim(dim, t.dim(), name);
    set_history(r.value, node);
  }
  return {r.value, r.indices};
}

Tensor arg_extremum(const Tensor& t, std::optional<int64_t> dim, bool keepdim, bool minimum) {
  const char* name = minimum ? "argmin" : "argmax";
  OptDims dims;
  if (dim) dims = DimArray{*dim};
  DimMask mask = mask_of(t, dims, name);
  if (dim) check_not_empty(t, mask, name);
  FG_CHECK(
      dim || t.numel() > 0, Index, name,
      "(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' "
      "argument.");
  FG_CHECK(t.dtype() != DType::Bool, Runtime, name, "(): does not support bool input");
  return run(minimum ? Reduce::argmin : Reduce::argmax, name, t, mask, keepdim, compute_of(t.dtype()), DType::Int64,
             kIndices)
      .indices;
}

Tensor var(const Tensor& t, OptDims dims, double correction, bool keepdim, bool root, Tensor* mean_out) {
  const char* name = root ? "std" : "var";
  if (is_complex(t.dtype())) {
    if (mean_out) *mean_out = mean(t, dims, keepdim);
    Tensor both = add(var(real(t), dims, correction, keepdim, false), var(imag(t), dims, correction, keepdim, false));
    if (!root) return both;
    Tensor none = both == 0.0;  // the gradient of the root is 0 there, as that of real numbers
    return where(none, 0.0, unary(Op::sqrt, where(none, 1.0, both)));
  }
  FG_CHECK(is_floating(t.dtype()), Runtime, name, " and ", root ? "std_mean" : "var_mean",
           " only support floating point and complex dtypes");
  DimMask mask = mask_of(t, dims, name);
  Reduced r = run(Reduce::var, name, t, mask, keepdim, compute_of(t.dtype()), t.dtype(),
                  mean_out ? kValue | kSecond : kValue, Scalar::of(correction).param(), Scalar::of_int(root).param());
  const char* both = root ? "StdMeanBackward0" : "VarMeanBackward0";
  const char* grad_fn = mean_out ? both : root ? "StdBackward0" : "VarBackward0";
  if (auto node = node_for(t, root ? Kind::std : Kind::var, grad_fn, mask, keepdim)) {
    node->p = correction;
    node->x.save(t);
    set_history(r.value, node);
    if (root) node->y.save(r.value, true);
    if (mean_out) set_history(r.second, node_for(t, Kind::mean, grad_fn, mask, keepdim));
  }
  if (mean_out) *mean_out = r.second;
  return r.value;
}

Tensor norm(const Tensor& t_in, double order, OptDims dims, bool keepdim, std::optional<DType> dtype,
            bool vector_norm) {
  if (autocasting_cuda(t_in))
    return without_autocast([&] { return norm(to_float(t_in), order, dims, keepdim, dtype, vector_norm); });
  const char* name = vector_norm ? "linalg.vector_norm" : "norm";
  if (is_complex(t_in.dtype()))  // of the magnitudes
    return norm(unary(Op::abs, dtype && is_complex(*dtype) ? to_dtype(t_in, *dtype) : t_in), order, dims, keepdim,
                dtype ? std::optional(real_of(*dtype)) : dtype, vector_norm);
  FG_CHECK(is_floating(t_in.dtype()), Runtime, name, ": Expected a floating point or complex tensor as input. Got ",
           dtype_name(t_in.dtype()));
  Tensor t = dtype ? to_dtype(t_in, *dtype) : t_in;
  DimMask mask = mask_of(t, dims, name);
  if (order < 0 || std::isinf(order))
    for (int i = 0; i < t.dim(); ++i)
      FG_CHECK(!mask.has(i) || t.size(i) != 0, Runtime, name, ": cannot compute the ", order, " norm on dimension ", i,
               " because it is empty and the operation does not have an identity");
  Compute compute = compute_of(t.dtype());
  Tensor r;
  {
    NoGradGuard guard;
    if (order == 2) {
      r = run(Reduce::norm2, name, t, mask, keepdim, compute, t.dtype()).value;
    } else if (order == 1) {
      r = run(Reduce::sum_abs, name, t, mask, keepdim, compute, t.dtype()).value;
    } else if (order == 0) {
      r = to_dtype(run(Reduce::count_nonzero, name, t, mask, keepdim, compute, DType::Int64).value, t.dtype());
    } else if (std::isinf(order)) {
      Reduce op = order > 0 ? Reduce::amax : Reduce::amin;
      r = run(op, name, unary(Op::abs, t), mask, keepdim, compute, t.dtype()).value;
    } else {  // the sum of powers of half types may lie beyond them where its root does not
      const DType wide = is_half(t.dtype()) ? DType::Float32 : t.dtype();
      Tensor total =
          run(Reduce::sum_pow, name, t, mask, keepdim, compute, wide, kValue, Scalar::of(order).param()).value;
      r = to_dtype(pow(total, 1 / order), t.dtype());
    }
  }
  if (auto node = node_for(t, Kind::norm, "LinalgVectorNormBackward0", mask, keepdim)) {
    node->p = order;
    node->x.save(t);
    set_history(r, node);
    node->y.save(r, true);
  }
  return r;
}

Tensor any(const Tensor& t, OptDims dims, bool keepdim, bool all) {
  if (is_complex(t.dtype())) return any(binary(Op::ne, t, Scalar::of_int(0)), dims, keepdim, all);
  const char* name = all ? "all" : "any";
  DimMask mask = mask_of(t, dims, name);
  DType out = t.dtype() == DType::UInt8 ? DType::UInt8 : DType::Bool;
  return run(all ? Reduce::all : Reduce::any, name, t, mask, keepdim, compute_of(t.dtype()), out).value;
}

Tensor count_nonzero(const Tensor& t, OptDims dims) {
  if (is_complex(t.dtype())) return count_nonzero(binary(Op::ne, t, Scalar::of_int(0)), dims);
  return run(Reduce::count_nonzero, "count_nonzero", t, mask_of(t, dims, "count_nonzero"), false, compute_of(t.dtype()),
             DType::Int64)
      .value;
}

Tensor logsumexp(const Tensor& t_in, DimArray dims, bool keepdim) {
  if (autocasting_cuda(t_in)) return without_autocast([&] { return logsumexp(to_float(t_in), dims, keepdim); });
  if (is_complex(t_in.dtype())) {
    Tensor high;  // the largest real part: what exp() may not overflow at
    {
      NoGradGuard guard;
      high = t_in.numel() ? amax(real(t_in), dims, true) : Tensor();
      if (high.defined()) high = where(unary(Op::isfinite, high), high, 0.0);
    }
    Tensor total = sum(exp(high.defined() ? t_in - high : t_in), dims, true);
    Tensor out = high.defined() ? log(total) + high : log(total);
    return keepdim ? out : reshape(out, kept_sizes(out, mask_of(t_in, dims, "logsumexp"), false));
  }
  Tensor t = is_floating(t_in.dtype()) ? t_in : to_dtype(t_in, default_dtype());
  DimMask mask = mask_of(t, dims, "logsumexp");
  Tensor r = run(Reduce::logsumexp, "logsumexp", t, mask, keepdim, compute_of(t.dtype()), t.dtype()).value;
  if (auto node = node_for(t, Kind::logsumexp, "LogsumexpBackward0", mask, keepdim)) {
    node->x.save(t);
    set_history(r, node);
    node->y.save(r, true);
  }
  return r;
}

}  // namespace fg
