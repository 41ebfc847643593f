// Views, joins, copies, conversions and what a tensor says of itself.
#include "ops/pinned.h"
#include "python/functions.h"
#include "python/memory_format.h"

namespace fg::py {

namespace {

PyObject* return_list(const std::vector<Tensor>& list) { return wrap_list(list, true); }

// view(*shape) or view(dtype)
PyObject* view_args(Call& c) {
  if (c.n_var == 1 && is_dtype(c.var[0])) return wrap(view_dtype(c.tensor(0), unwrap_dtype(c.var[0])));
  if (c.n_var == 0) c.type_error(1, "sizes or a dtype");
  return wrap(view(c.tensor(0), c.dims(1)));
}

PyObject* squeeze_args(Call& c) { return wrap(squeeze(c.tensor(0), c.opt_dims(1))); }

// The tensor itself becomes a view of what it was.
template <class View>
PyObject* relaid(Call& c, const char* op, View view) {
  const Tensor& t = c.tensor(0);
  check_inplace(t, op);
  // With history it records under no_grad too: the gradient arrives in the new shape.
  ModeGuard guard(t.impl()->grad_fn ? mode & ~kNoGrad : mode);
  take_layout(t, view(t));
  return same_object(c);
}

PyObject* transpose_inplace(Call& c) {
  return relaid(c, "transpose_", [&](const Tensor& t) { return transpose(t, c.integer(1), c.integer(2)); });
}

PyObject* split_args(Call& c) {
  int64_t dim = c.integer(2, 0);
  if (PyLong_Check(c.v[1])) return return_list(split_by(c.tensor(0), c.integer(1), dim));
  return return_list(split(c.tensor(0), c.dims(1), dim));
}

PyObject* size_args(Call& c) {
  const Tensor& t = c.tensor(0);
  if (!c.has(1)) return wrap_sizes(t.sizes());
  return PyLong_FromLongLong(t.dim() ? t.size(wrap_dim(c.integer(1), t.dim(), "size"))
                                     : t.size(wrap_dim(c.integer(1), 0, "size")));
}
PyObject* stride_args(Call& c) {
  const Tensor& t = c.tensor(0);
  if (c.has(1)) return PyLong_FromLongLong(t.stride(wrap_dim(c.integer(1), t.dim(), "stride")));
  PyObject* out = PyTuple_New(t.dim());
  for (int i = 0; i < t.dim(); ++i) PyTuple_SET_ITEM(out, i, PyLong_FromLongLong(t.stride(i)));
  return out;
}

// to_dtype() as a user calls it: with torch's warning when imaginary parts are lost.
void warn_of_loss(DType from, DType to) {
  if (is_complex(from) && !is_complex(to) && to != DType::Bool &&
      PyErr_WarnEx(PyExc_UserWarning, "Casting complex values to real discards the imaginary part", 1) < 0)
    raise_pending();
}
Tensor converted(const Tensor& t, DType dtype, bool copy = false) {
  warn_of_loss(t.dtype(), dtype);
  return to_dtype(t, dtype, copy);
}

// to(dtype), to(device), to(device, dtype), to(other), with copy and non_blocking
PyObject* to_args(Call& c) {
  Tensor t = c.tensor(0);
  std::optional<DType> dtype = c.opt_dtype(4);
  std::optional<Device> device = c.opt_device(5);
  bool copy = c.boolean(7, false), later = c.boolean(6, false);
  PyObject* given[] = {c.v[1], c.v[2], c.v[3]};
  int flags = 0;  // positional booleans: non_blocking, then copy
  for (PyObject* o : given) {
    if (!o || o == Py_None) continue;
    Device d;
    if (is_dtype(o)) dtype = unwrap_dtype(o);
    else if (is_tensor(o)) dtype = borrow(o).dtype(), device = borrow(o).device();
    else if (PyBool_Check(o)) {
      if (flags++) copy = o == Py_True;
      else later = o == Py_True;
    } else if (to_device_value(o, d)) device = d;
    else if (PyErr_Occurred()) return nullptr;
    else fail(ErrorKind::Type, "to(): expected a dtype, a device or a Tensor, not ", Py_TYPE(o)->tp_name);
  }
  Format format = format_of(c, 8, Format::preserve);
  if (format != Format::preserve) {
    // the copy that changes the format is the one asked for
    Tensor laid = in_format(t, format);
    copy = copy && laid.is_same(t);
    t = laid;
  }
  bool same_dtype = !dtype || *dtype == t.dtype(), same_device = !device || *device == t.device();
  if (same_dtype && same_device) {
    if (copy) return wrap(clone(t));
    return t.is_same(c.tensor(0)) ? same_object(c) : wrap(t);
  }
  Tensor out = t;
  if (!same_dtype) out = converted(out, *dtype);
  const WithoutWaiting scope(later);
  if (!same_device) out = to_device(out, *device);
  return wrap(out);
}

template <DType dtype>
PyObject* cast_to(Call& c) {
  if (c.tensor(0).dtype() == dtype) return same_object(c);
  return wrap(converted(c.tensor(0), dtype));
}

PyObject* to_cpu(Call& c) {
  if (c.tensor(0).device().is_cpu()) return same_object(c);
  return wrap(to_device(c.tensor(0), Device{}));
}
PyObject* to_cuda(Call& c) {
  Device d{DeviceType::CUDA, 0};
  if (c.has(1) && !to_device_value(c.v[1], d)) c.type_error(1, "torch.device");
  if (c.tensor(0).device() == d) return same_object(c);
  const WithoutWaiting scope(c.boolean(2, false));
  return wrap(to_device(c.tensor(0), d));
}

PyObject* movedim_args(Call& c) {
  const Tensor& t = c.tensor(0);
  DimArray from = c.dims(1), to = c.dims(2);
  if (t.dim() == 0 && from.n == 1 && to.n == 1) {
    wrap_dim(from[0], 0, "movedim"), wrap_dim(to[0], 0, "movedim");
    return wrap(permute(t, DimArray()));
  }
  FG_CHECK(from.n == to.n, Runtime, "movedim: Invalid source or destination dims: source (", size_text(from),
           " dims) should contain the same number of dims as destination (", size_text(to), " dims)");
  int order[kMaxDims];
  bool used[kMaxDims] = {};
  for (int i = 0; i < t.dim(); ++i) order[i] = -1;
  for (int i = 0; i < from.n; ++i) {
    int s = wrap_dim(from[i], t.dim(), "movedim"), d = wrap_dim(to[i], t.dim(), "movedim");
    FG_CHECK(order[d] < 0 && !used[s], Runtime, "movedim: repeated dim in source or destination");
    order[d] = s;
    used[s] = true;
  }
  int next = 0;
  DimArray dims;
  for (int i = 0; i < t.dim(); ++i) {
    if (order[i] < 0) {
      while (used[next]) ++next;
      order[i] = next++;
    }
    dims.push(order[i]);
  }
  return wrap(permute(t, dims));
}

PyObject* unflatten_args(Call& c) {
  const Tensor& t = c.tensor(0);
  FG_CHECK(t.dim() > 0, Runtime, "unflatten: the tensor has no dimensions");
  int d = wrap_dim(c.integer(1), t.dim(), "unflatten");
  DimArray inner = c.dims(2), sizes;
  FG_CHECK(inner.n > 0, Runtime, "unflatten: sizes must be non-empty");
  int64_t known = 1;
  int unknown = -1;
  for (int i = 0; i < inner.n; ++i) {
    if (inner[i] == -1) unknown = i;
    else known *= inner[i];
  }
  if (unknown >= 0 && known > 0) inner.v[unknown] = t.size(d) / known;
  FG_CHECK(count_of(inner) == t.size(d), Runtime, "unflatten: Provided sizes ", size_text(c.dims(2)),
           " don't multiply up to the size of dim ", d, " (", t.size(d), ") in the input tensor");
  for (int i = 0; i < t.dim(); ++i) {
    if (i != d) sizes.push(t.size(i));
    else
      for (int k = 0; k < inner.n; ++k) sizes.push(inner[k]);
  }
  return wrap(view(t, sizes));
}

PyObject* transpose_self(Call& c) {
  transpose_(c.tensor(0), c.integer(1), c.integer(2));
  return same_object(c);
}

PyObject* detach_fn(Call& c) { return wrap(detach(c.tensor(0))); }

PyObject* item_fn(Call& c) { return wrap_scalar(item(c.tensor(0))); }

constexpr FunctionDef defs[] = {
    {"view", kMethod, "input, *shape", view_args, "The same elements under another shape, without a copy."},
    {"view_as", kMethod, "input, other", [](Call& c) { return wrap(view(c.tensor(0), c.tensor(1).sizes())); }, nullptr},
    {"reshape", kMethod, "input, *shape", [](Call& c) { return wrap(reshape(c.tensor(0), c.dims(1))); },
     "The same elements under another shape, copied when needed."},
    {"reshape_as", kMethod, "input, other", [](Call& c) { return wrap(reshape(c.tensor(0), c.tensor(1).sizes())); },
     nullptr},
    {"permute", kMethod, "input, *dims", [](Call& c) { return wrap(permute(c.tensor(0), c.dims(1))); },
     "Dimensions in another order."},
    {"transpose", kBoth, "input, dim0, dim1",
     [](Call& c) { return wrap(transpose(c.tensor(0), c.integer(1), c.integer(2))); }, "Two dimensions exchanged."},
    {"swapaxes", kBoth, "input, axis0, axis1",
     [](Call& c) { return wrap(transpose(c.tensor(0), c.integer(1), c.integer(2))); }, nullptr},
    {"swapdims", kBoth, "input, dim0, dim1",
     [](Call& c) { return wrap(transpose(c.tensor(0), c.integer(1), c.integer(2))); }, nullptr},
    {"t", kBoth, "input", [](Call& c) { return wrap(t(c.tensor(0))); }, "Transpose of a matrix; vectors stay."},
    {"movedim", kBoth, "input, source, destination", movedim_args, nullptr},
    {"moveaxis", kBoth, "input, source, destination", movedim_args, nullptr},
    {"expand", kMethod, "input, *size", [](Call& c) { return wrap(expand(c.tensor(0), c.dims(1))); },
     "Dimensions of size 1 repeated without a copy."},
    {"expand_as", kMethod, "input, other", [](Call& c) { return wrap(expand(c.tensor(0), c.tensor(1).sizes())); },
     nullptr},
    {"broadcast_to", kBoth, "input, size", [](Call& c) { return wrap(expand(c.tensor(0), c.dims(1))); }, nullptr},
    {"squeeze", kBoth, "input, dim=None", squeeze_args, "Without dimensions of size 1."},
    {"unsqueeze", kBoth, "input, dim", [](Call& c) { return wrap(unsqueeze(c.tensor(0), c.integer(1))); },
     "With a dimension of size 1 more."},
    {"squeeze_", kMethod, "input, dim=None",
     [](Call& c) { return relaid(c, "squeeze_", [&](const Tensor& t) { return squeeze(t, c.opt_dims(1)); }); },
     nullptr},
    {"unsqueeze_", kMethod, "input, dim",
     [](Call& c) { return relaid(c, "unsqueeze_", [&](const Tensor& t) { return unsqueeze(t, c.integer(1)); }); },
     nullptr},
    {"transpose_", kMethod, "input, dim0, dim1", transpose_inplace, nullptr},
    {"swapaxes_", kMethod, "input, axis0, axis1", transpose_inplace, nullptr},
    {"swapdims_", kMethod, "input, dim0, dim1", transpose_inplace, nullptr},
    {"t_", kMethod, "input", [](Call& c) { return relaid(c, "t_", [](const Tensor& x) { return t(x); }); }, nullptr},
    {"narrow", kBoth, "input, dim, start, length",
     [](Call& c) {
       return wrap(
           narrow(c.tensor(0), c.integer(1), c.is_tensor(2) ? item(c.tensor(2)).i : c.integer(2), c.integer(3)));
     },
     nullptr},
    {"select", kBoth, "input, dim, index",
     [](Call& c) { return wrap(select(c.tensor(0), c.integer(1), c.integer(2))); }, nullptr},
    {"diagonal", kBoth, "input, offset=0, dim1=0, dim2=1",
     [](Call& c) { return wrap(diagonal(c.tensor(0), c.integer(1, 0), c.integer(2, 0), c.integer(3, 1))); }, nullptr},
    {"unfold", kMethod, "input, dimension, size, step",
     [](Call& c) { return wrap(unfold(c.tensor(0), c.integer(1), c.integer(2), c.integer(3))); }, nullptr},
    {"as_strided", kBoth, "input, size, stride, storage_offset=None",
     [](Call& c) {
       const Tensor& t = c.tensor(0);
       return wrap(as_strided(t, c.dims(1), c.dims(2), c.integer(3, t.offset())));
     },
     nullptr},
    {"split", kBoth, "input, split_size, dim=0", split_args,
     "Views of equal length along dim, or of the given lengths."},
    {"split_with_sizes", kBoth, "input, split_sizes, dim=0",
     [](Call& c) { return return_list(split(c.tensor(0), c.dims(1), c.integer(2, 0))); }, nullptr},
    {"chunk", kBoth, "input, chunks, dim=0",
     [](Call& c) { return return_list(chunk(c.tensor(0), c.integer(1), c.integer(2, 0))); }, nullptr},
    {"unbind", kBoth, "input, dim=0", [](Call& c) { return return_list(unbind(c.tensor(0), c.integer(1, 0))); },
     nullptr},
    {"flatten", kBoth, "input, start_dim=0, end_dim=-1",
     [](Call& c) { return wrap(flatten(c.tensor(0), c.integer(1, 0), c.integer(2, -1))); }, nullptr},
    {"unflatten", kBoth, "input, dim, sizes", unflatten_args, nullptr},
    {"ravel", kBoth, "input", [](Call& c) { return wrap(reshape(contiguous(c.tensor(0)), DimArray{-1})); }, nullptr},
    {"cat", kFunction, "tensors, dim=0, *, out=None",
     [](Call& c) { return finish(c, 2, cat(c.tensors(0), c.integer(1, 0))); },
     "Tensors joined along an existing dimension."},
    {"concat", kFunction, "tensors, dim=0, *, out=None",
     [](Call& c) { return finish(c, 2, cat(c.tensors(0), c.integer(1, 0))); }, nullptr},
    {"concatenate", kFunction, "tensors, dim=0, *, out=None",
     [](Call& c) { return finish(c, 2, cat(c.tensors(0), c.integer(1, 0))); }, nullptr},
    {"stack", kFunction, "tensors, dim=0, *, out=None",
     [](Call& c) { return finish(c, 2, stack(c.tensors(0), c.integer(1, 0))); },
     "Tensors joined along a new dimension."},
    {"flip", kMethod, "input, *dims", [](Call& c) { return wrap(flip(c.tensor(0), c.dims(1))); }, nullptr},
    {"repeat", kMethod, "input, *repeats", [](Call& c) { return wrap(repeat(c.tensor(0), c.dims(1))); }, nullptr},
    {"tile", kMethod, "input, *dims",
     [](Call& c) {
       DimArray given = c.dims(1), dims;
       for (int i = given.n; i < c.tensor(0).dim(); ++i) dims.push(1);
       for (int i = 0; i < given.n; ++i) dims.push(given[i]);
       return wrap(repeat(c.tensor(0), dims));
     },
     nullptr},
    {"roll", kBoth, "input, shifts, dims=None",
     [](Call& c) { return wrap(roll(c.tensor(0), c.dims(1), c.has(2) ? c.dims(2) : DimArray())); }, nullptr},

    {"clone", kBoth, "input, *, memory_format=None",
     [](Call& c) {
       Format format = format_of(c, 1, Format::preserve);
       if (format == Format::preserve) return wrap(clone(c.tensor(0)));
       return wrap(copy_with_strides(c.tensor(0), format_strides(c.tensor(0), format)));
     },
     "A copy, recorded."},
    {"contiguous", kMethod, "input, memory_format=None",
     [](Call& c) {
       Format format = format_of(c, 1, Format::contiguous);
       if (is_in_format(c.tensor(0), format)) return same_object(c);
       return wrap(format == Format::preserve ? contiguous(c.tensor(0)) : in_format(c.tensor(0), format));
     },
     nullptr},
    {"to", kMethod,
     "input, a=None, b=None, c=None, dtype=None, device=None, non_blocking=False, copy=False, memory_format=None",
     to_args, "As another dtype or on another device."},
    {"type_as", kMethod, "input, other",
     [](Call& c) { return wrap(to_device(converted(c.tensor(0), c.tensor(1).dtype()), c.tensor(1).device())); },
     nullptr},
    {"float", kMethod, "input", cast_to<DType::Float32>, nullptr},
    {"double", kMethod, "input", cast_to<DType::Float64>, nullptr},
    {"cfloat", kMethod, "input", cast_to<DType::Complex64>, nullptr},
    {"cdouble", kMethod, "input", cast_to<DType::Complex128>, nullptr},
    {"half", kMethod, "input", cast_to<DType::Float16>, nullptr},
    {"bfloat16", kMethod, "input", cast_to<DType::BFloat16>, nullptr},
    {"int", kMethod, "input", cast_to<DType::Int32>, nullptr},
    {"long", kMethod, "input", cast_to<DType::Int64>, nullptr},
    {"short", kMethod, "input", cast_to<DType::Int16>, nullptr},
    {"char", kMethod, "input", cast_to<DType::Int8>, nullptr},
    {"byte", kMethod, "input", cast_to<DType::UInt8>, nullptr},
    {"bool", kMethod, "input", cast_to<DType::Bool>, nullptr},
    {"cpu", kMethod, "input", to_cpu, nullptr},
    {"cuda", kMethod, "input, device=None, non_blocking=False", to_cuda, nullptr},
    {"copy_", kMethod, "input, src, non_blocking=False",
     [](Call& c) {
       const WithoutWaiting scope(c.boolean(2, false));
       if (c.is_tensor(1)) warn_of_loss(c.tensor(1).dtype(), c.tensor(0).dtype()), copy_(c.tensor(0), c.tensor(1));
       else fill_(c.tensor(0), c.scalar(1));
       return same_object(c);
     },
     nullptr},
    {"fill_", kBoth, "input, value",
     [](Call& c) {
       if (c.is_tensor(1)) fill_tensor_(c.tensor(0), c.tensor(1));
       else fill_(c.tensor(0), c.scalar(1));
       return same_object(c);
     },
     nullptr},
    {"zero_", kBoth, "input",
     [](Call& c) {
       zero_(c.tensor(0));
       return same_object(c);
     },
     nullptr},
    {"item", kMethod, "input", item_fn, "The one element as a Python number."},
    {"detach", kBoth, "input", detach_fn, "The same elements without history."},

    {"size", kMethod, "input, dim=None", size_args, nullptr},
    {"stride", kMethod, "input, dim=None", stride_args, nullptr},
    {"dim", kMethod, "input", [](Call& c) { return PyLong_FromLong(c.tensor(0).dim()); }, nullptr},
    {"ndimension", kMethod, "input", [](Call& c) { return PyLong_FromLong(c.tensor(0).dim()); }, nullptr},
    {"numel", kBoth, "input", [](Call& c) { return PyLong_FromLongLong(c.tensor(0).numel()); }, "Number of elements."},
    {"nelement", kMethod, "input", [](Call& c) { return PyLong_FromLongLong(c.tensor(0).numel()); }, nullptr},
    {"element_size", kMethod, "input", [](Call& c) { return PyLong_FromLongLong(c.tensor(0).item_bytes()); }, nullptr},
    {"data_ptr", kMethod, "input", [](Call& c) { return PyLong_FromVoidPtr(c.tensor(0).mutable_data()); }, nullptr},
    {"storage_offset", kMethod, "input", [](Call& c) { return PyLong_FromLongLong(c.tensor(0).offset()); }, nullptr},
    {"is_contiguous", kMethod, "input, memory_format=None",
     [](Call& c) { return PyBool_FromLong(is_in_format(c.tensor(0), format_of(c, 1, Format::contiguous))); }, nullptr},
    {"is_floating_point", kBoth, "input", [](Call& c) { return PyBool_FromLong(is_floating(c.tensor(0).dtype())); },
     nullptr},
    {"is_signed", kMethod, "input",
     [](Call& c) {
       DType t = c.tensor(0).dtype();
       return PyBool_FromLong(t != DType::Bool && t != DType::UInt8);
     },
     nullptr},
    {"is_same_size", kMethod, "input, other",
     [](Call& c) { return PyBool_FromLong(same(c.tensor(0).sizes(), c.tensor(1).sizes())); }, nullptr},
    {"is_set_to", kMethod, "input, tensor",
     [](Call& c) {
       const Tensor &a = c.tensor(0), &b = c.tensor(1);
       return PyBool_FromLong(a.shares_storage(b) && a.offset() == b.offset() && same(a.sizes(), b.sizes()) &&
                              same(a.strides(), b.strides()));
     },
     nullptr},
    {"get_device", kMethod, "input",
     [](Call& c) { return PyLong_FromLong(c.tensor(0).device().is_cpu() ? -1 : c.tensor(0).device().index); }, nullptr},
    {"requires_grad_", kMethod, "input, requires_grad=True",
     [](Call& c) -> PyObject* {
       PyObject* on = c.boolean(1, true) ? Py_True : Py_False;
       if (on == Py_True && !c.tensor(0).is_leaf()) return same_object(c);  // it does already
       if (PyObject_SetAttrString(c.v[0], "requires_grad", on) < 0) return nullptr;
       return same_object(c);
     },
     nullptr},
    {"t_", kMethod, "input", [](Call& c) { return t_(c.tensor(0)), same_object(c); }, "Transposes a matrix in place."},
    {"transpose_", kMethod, "input, dim0, dim1", transpose_self, "Exchanges two dimensions in place."},
    {"swapaxes_", kMethod, "input, axis0, axis1", transpose_self, "transpose_."},
    {"swapdims_", kMethod, "input, dim0, dim1", transpose_self, "transpose_."},
    {"squeeze_", kMethod, "input, dim=None",
     [](Call& c) { return squeeze_(c.tensor(0), c.opt_dims(1)), same_object(c); },
     "Removes dimensions of size 1 in place."},
    {"unsqueeze_", kMethod, "input, dim", [](Call& c) { return unsqueeze_(c.tensor(0), c.integer(1)), same_object(c); },
     "Adds a dimension of size 1 in place."},
    {"detach_", kMethod, "input",
     [](Call& c) {
       const Tensor& t = c.tensor(0);
       FG_CHECK(!t.is_view(), Runtime, "Can't detach views in-place. Use detach() instead.");
       TensorImpl* impl = t.impl();
       if (mode & kForward) drop_tangents(t);
       if (impl->grad_fn) exchange_grad_fn(impl, nullptr);
       impl->requires_grad = false;
       impl->output_nr = 0;
       return same_object(c);
     },
     nullptr},
    {"retain_grad", kMethod, "input",
     [](Call& c) -> PyObject* {
       retain_grad(c.tensor(0));
       Py_RETURN_NONE;
     },
     nullptr},
    {"_storage_key", kMethod, "input", [](Call& c) { return PyLong_FromVoidPtr(&c.tensor(0).storage()); },
     "Equal for tensors over the same bytes."},
    {"_storage_nbytes", kMethod, "input", [](Call& c) { return PyLong_FromSize_t(c.tensor(0).storage().bytes()); },
     nullptr},
    {"_use_count", kMethod, "input", [](Call& c) { return PyLong_FromUnsignedLong(c.tensor(0).use_count()); }, nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

// As functions, sizes are one argument.
constexpr FunctionDef functions[] = {
    {"reshape", kFunction, "input, shape", [](Call& c) { return wrap(reshape(c.tensor(0), c.dims(1))); },
     "The same elements under another shape, copied when needed."},
    {"permute", kFunction, "input, dims", [](Call& c) { return wrap(permute(c.tensor(0), c.dims(1))); },
     "Dimensions in another order."},
    {"flip", kFunction, "input, dims", [](Call& c) { return wrap(flip(c.tensor(0), c.dims(1))); },
     "Dimensions reversed."},
    {"tile", kFunction, "input, dims",
     [](Call& c) {
       DimArray given = c.dims(1), dims;
       for (int i = given.n; i < c.tensor(0).dim(); ++i) dims.push(1);
       for (int i = 0; i < given.n; ++i) dims.push(given[i]);
       return wrap(repeat(c.tensor(0), dims));
     },
     nullptr},
};
Signature functions_signatures[sizeof(functions) / sizeof(functions[0])];

}  // namespace

bool init_shape_functions(PyObject* module) { return FG_REGISTER(defs, module) && FG_REGISTER(functions, module); }

}  // namespace fg::py
