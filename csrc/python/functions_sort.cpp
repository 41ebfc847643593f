// Sorting, selection and search, as functions and methods.
#include "python/functions.h"

namespace fg::py {

namespace {

PyObject* pick_args(Call& c, Pick kind, const char* name) {  // input, dim=..., keepdim=False, *, out=None
  bool all = (kind == Pick::median || kind == Pick::nanmedian) && !c.has(1);
  if (all) return finish(c, 3, median(c.tensor(0), kind == Pick::nanmedian));
  auto [values, indices] = pick(c.tensor(0), kind, 0, c.integer(1, -1), c.boolean(2, false));
  return finish_pair(c, 3, name, values, indices);
}

// input, dim=-1, descending=False, *, stable, out: every sort is stable
PyObject* sort_args(Call& c) {
  c.boolean(3, false);
  auto [values, indices] = sort(c.tensor(0), c.integer(1, -1), c.boolean(2, false));
  return finish_pair(c, 4, "sort", values, indices);
}

bool right_side(const Call& c, int right, int side) {
  bool flag = c.boolean(right, false);
  if (!c.has(side)) return flag;
  std::string text = c.text(side, "left");
  FG_CHECK(text == "left" || text == "right", Runtime, "searchsorted(): side can only be 'left' or 'right' but got ",
           text);
  FG_CHECK(text == "right" || !flag, Runtime,
           "searchsorted(): side and right can't be set to opposites, got side of left while "
           "right was True");
  return text == "right";
}

void check_search(const char* name, const Tensor& sorted, const Tensor& values, bool number, const Tensor& sorter) {
  FG_CHECK(sorted.device() == values.device(), Runtime, name,
           "(): boundaries and input value tensors should have same device "
           "type, but got boundaries tensor device type ",
           device_name(sorted.device()), " and input value tensor device type ", device_name(values.device()));
  FG_CHECK(sorted.dim() > 0, Runtime, name,
           "(): boundaries tensor should have positive dimension, but got 0 dimension");
  FG_CHECK(!number || sorted.dim() == 1, Runtime, name,
           "(): input value can be a scalar only when boundaries tensor dimension "
           "is 1, but we got boundaries tensor dim(",
           sorted.dim(), ") and input value's dim(0) numel(1)");
  bool fits = sorted.dim() == 1 || sorted.dim() == values.dim();
  for (int i = 0; fits && sorted.dim() > 1 && i + 1 < sorted.dim(); ++i) fits = sorted.size(i) == values.size(i);
  FG_CHECK(fits, Runtime, name,
           "(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and "
           "input value tensor must match, but we got boundaries tensor ",
           size_text(sorted.sizes()), " and input value tensor ", size_text(values.sizes()));
  if (!sorter.defined()) return;
  FG_CHECK(same(sorter.sizes(), sorted.sizes()), Runtime, name,
           "(): boundary and sorter must have the same size, but got boundary "
           "tensor ",
           size_text(sorted.sizes()), " and got sorter tensor ", size_text(sorter.sizes()));
  FG_CHECK(sorter.dtype() == DType::Int64, Runtime, name, "(): sorter must be a tensor of long dtype but got dtype ",
           dtype_name(sorter.dtype()));
  FG_CHECK(sorter.device() == sorted.device(), Runtime, name, "(): sorter and boundaries must be on the same device");
  if (sorter.numel() == 0) return;
  int64_t low = item(extremum(sorter, true)).i, high = item(extremum(sorter, false)).i;
  FG_CHECK(low >= 0 && high < sorted.size(sorted.dim() - 1), Runtime, name, "(): sorter index out of range");
}

PyObject* search(Call& c, const char* name, int sorted_at, int values_at, bool int32, bool right, const Tensor& sorter,
                 int out) {
  const Tensor& sorted = c.tensor(sorted_at);
  bool number = !c.is_tensor(values_at);
  const Arg args[] = {sorted, number ? Arg(c.scalar(values_at)) : Arg(c.tensor(values_at))};
  DType dtype = result_type(args);
  FG_CHECK(dtype != DType::Bool && !is_complex(dtype), NotImplemented, name, ": not implemented for ",
           dtype_name(dtype));
  Tensor values = number ? full({}, c.scalar(values_at), dtype, sorted.device()) : to_dtype(c.tensor(values_at), dtype);
  {
    NoGradGuard guard;
    check_search(name, sorted, values, number || c.tensor(values_at).dim() == 0, sorter);
  }
  if (c.has(out))
    FG_CHECK(
        c.tensor(out).dtype() == (int32 ? DType::Int32 : DType::Int64), Runtime, name,
        "(): output tensor's dtype is wrong, it "
        "can only be Int(int32) or Long(int64) depending on whether out_int32 flag is True, but we got output tensor's dtype ",
        dtype_name(c.tensor(out).dtype()), " and out_int32 flag is ", int32 ? "True" : "False");
  Tensor result = searchsorted(to_dtype(sorted, dtype), values, right, sorter);
  return finish(c, out, int32 ? to_dtype(result, DType::Int32) : result);
}

constexpr FunctionDef defs[] = {
    {"sort", kBoth, "input, dim=-1, descending=False, *, stable=None, out=None", sort_args,
     "Elements in ascending order along dim, and where they were; equal ones keep their order."},
    {"argsort", kBoth, "input, dim=-1, descending=False, *, stable=False",
     [](Call& c) {
       c.boolean(3, false);
       return wrap(sort(c.tensor(0), c.integer(1, -1), c.boolean(2, false), false).second);
     },
     "The indices that sort along dim."},
    {"msort", kBoth, "input, *, out=None", [](Call& c) { return finish(c, 1, sort(c.tensor(0), 0, false).first); },
     "Elements in ascending order along the first dimension."},
    {"topk", kBoth, "input, k, dim=-1, largest=True, sorted=True, *, out=None",
     [](Call& c) {
       auto [values, indices] =
           topk(c.tensor(0), c.integer(1), c.integer(2, -1), c.boolean(3, true), c.boolean(4, true));
       return finish_pair(c, 5, "topk", values, indices);
     },
     "The k largest (or smallest) elements along dim, and where they are."},
    {"kthvalue", kBoth, "input, k, dim=-1, keepdim=False, *, out=None",
     [](Call& c) {
       auto [values, indices] = pick(c.tensor(0), Pick::kth, c.integer(1), c.integer(2, -1), c.boolean(3, false));
       return finish_pair(c, 4, "kthvalue", values, indices);
     },
     "The k-th smallest element along dim, k from 1."},
    {"median", kBoth, "input, dim=None, keepdim=False, *, out=None",
     [](Call& c) { return pick_args(c, Pick::median, "median"); },
     "The median, of two middle elements the lower; with dim, (values, indices)."},
    {"nanmedian", kBoth, "input, dim=None, keepdim=False, *, out=None",
     [](Call& c) { return pick_args(c, Pick::nanmedian, "nanmedian"); },
     "The median of the elements that are not NaN."},
    {"mode", kBoth, "input, dim=-1, keepdim=False, *, out=None",
     [](Call& c) { return pick_args(c, Pick::mode, "mode"); },
     "The most frequent element along dim, of several the smallest."},
    {"searchsorted", kFunction,
     "sorted_sequence, input, *, out_int32=False, right=False, side=None, out=None, sorter=None",
     [](Call& c) {
       return search(c, "searchsorted", 0, 1, c.boolean(2, false), right_side(c, 3, 4), c.tensor_or_none(6), 5);
     },
     "Where values belong in a sorted sequence: in front of equal elements, or behind them (right)."},
    {"bucketize", kFunction, "input, boundaries, *, out_int32=False, right=False, out=None",
     [](Call& c) {
       const Tensor& boundaries = c.tensor(1);
       FG_CHECK(boundaries.dim() == 1, Runtime, "boundaries tensor must be 1 dimension, but got dim(", boundaries.dim(),
                ")");
       return search(c, "searchsorted", 1, 0, c.boolean(2, false), c.boolean(3, false), Tensor(), 4);
     },
     "The number of the bucket between boundaries that each element falls into."},
    {"_pair_type", kStatic, "name",
     [](Call& c) {
       PyObject* type = reinterpret_cast<PyObject*>(pair_type(c.text(0, "")));
       Py_INCREF(type);
       return type;
     },
     nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_sort_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
