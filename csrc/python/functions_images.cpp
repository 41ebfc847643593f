// Pooling, batch normalisation and interpolation. What torch.nn.functional adds (checks, None in sizes, return_indices)
// is written in Python over these.
#include "ops/autocast.h"
#include "ops/images.h"
#include "python/functions.h"

namespace fg::py {

namespace {

// What options of pooling refer to must outlive them.
struct Pooling {
  DimArray kernel, stride, padding, dilation;
  PoolOptions options;
  Pooling(const Call& c, int dilation_at, int ceil_at) {
    kernel = c.dims(1);
    if (c.has(2)) stride = c.dims(2);
    padding = c.given(3) ? c.dims(3) : DimArray{0};
    dilation = dilation_at && c.given(dilation_at) ? c.dims(dilation_at) : DimArray{1};
    options = {kernel, stride, padding, dilation, c.boolean(ceil_at, false)};
  }
};

// torch's autocast pools in float32 where there are three dimensions.
template <int dims> Tensor pooled(Call& c) { return dims == 3 ? in_float(c.tensor(0)) : c.tensor(0); }

template <int dims> PyObject* max_pool_values(Call& c) {
  Pooling p(c, 4, 5);
  return wrap(max_pool(pooled<dims>(c), dims, p.options, c.signature.name, false).first);
}
template <int dims> PyObject* max_pool_both(Call& c) {
  Pooling p(c, 4, 5);
  auto [values, indices] = max_pool(pooled<dims>(c), dims, p.options, c.signature.name);
  return Py_BuildValue("(NN)", wrap(values), wrap(indices));
}
template <int dims> PyObject* avg_pool_any(Call& c) {
  Pooling p(c, 0, 4);
  std::optional<int64_t> divisor = c.signature.count > 6 ? c.opt_integer(6) : std::optional<int64_t>();
  return wrap(avg_pool(pooled<dims>(c), dims, p.options, c.boolean(5, true), divisor, c.signature.name));
}

PyObject* adaptive_max(Call& c) {
  DimArray output = c.dims(1);
  auto [values, indices] = adaptive_max_pool(c.tensor(0), output, c.text(2, c.signature.name));
  return Py_BuildValue("(NN)", wrap(values), wrap(indices));
}
PyObject* fractional(Call& c) {
  DimArray kernel = c.dims(1), output = c.dims(2);
  FG_CHECK(kernel.size() == output.size(), Runtime,
           "fractional_max_pool: kernel_size and output_size must have the same length");
  auto [values, indices] = fractional_max_pool(c.tensor(0), kernel, output, c.tensor(3), c.text(4, c.signature.name));
  return Py_BuildValue("(NN)", wrap(values), wrap(indices));
}

PyObject* interpolated(Call& c) {
  DimArray output = c.dims(1);
  int64_t mode = c.integer(2);
  FG_CHECK(mode >= 0 && mode <= 4, Value, "interpolate: unknown mode ", mode);
  std::vector<double> scales(static_cast<size_t>(output.size()), 0.0);
  if (c.has(5)) {
    PyObject* list = c.v[5];
    if (!PyList_Check(list) || PyList_GET_SIZE(list) != output.size()) c.type_error(5, "a list of floats or None");
    for (size_t i = 0; i < scales.size(); ++i) {
      PyObject* item = PyList_GET_ITEM(list, static_cast<Py_ssize_t>(i));
      if (item != Py_None) scales[i] = PyFloat_AsDouble(item);
      if (PyErr_Occurred()) raise_pending();
    }
  }
  return wrap(interpolate(c.tensor(0), output, static_cast<Interpolation>(mode), c.boolean(3, false),
                          c.boolean(4, false), scales));
}

struct GridOptions {
  GridMode mode;
  GridPadding padding;
  bool align_corners;
  GridOptions(const Call& c, int at) {
    const int64_t mode_at = c.integer(at), padding_at = c.integer(at + 1);
    FG_CHECK(mode_at >= 0 && mode_at <= 2 && padding_at >= 0 && padding_at <= 2, Value, "grid_sample: unknown mode");
    mode = static_cast<GridMode>(mode_at), padding = static_cast<GridPadding>(padding_at);
    align_corners = c.boolean(at + 2, false);
  }
};
PyObject* grid_sampled(Call& c) {
  const GridOptions o(c, 2);
  return wrap(grid_sample(c.tensor(0), c.tensor(1), o.mode, o.padding, o.align_corners));
}
PyObject* grid_gradients(Call& c) {
  const GridOptions o(c, 3);
  auto [gx, ggrid] = grid_sample_gradients(c.tensor(0), c.tensor(1), c.tensor(2), o.mode, o.padding, o.align_corners,
                                           c.boolean(6, true), c.boolean(7, true));
  const auto or_none = [](const Tensor& t) { return t.defined() ? wrap(t) : Py_NewRef(Py_None); };
  return Py_BuildValue("(NN)", or_none(gx), or_none(ggrid));
}

PyObject* batch_normed(Call& c) {
  return wrap(batch_norm(c.tensor(0), c.tensor_or_none(1), c.tensor_or_none(2), c.tensor_or_none(3),
                         c.tensor_or_none(4), c.boolean(5, false), c.number(6, 0.1), c.number(7, 1e-5)));
}

// Training on one value a channel is refused by the Python function.
PyObject* usual_batch_norm(Call& c) {
  const Tensor& x = c.tensor(0);
  const bool one = x.dim() >= 2 && c.boolean(5, false) && x.numel() == x.size(1);
  return one || x.dim() < 2 ? Py_NewRef(Py_NotImplemented) : batch_normed(c);
}

#define FG_MAX_POOL "input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False"
#define FG_AVG_POOL "input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True"
constexpr FunctionDef defs[] = {
    {"max_pool1d", kFunction, FG_MAX_POOL, max_pool_values<1>,
     "The largest element of each window of the last dimension."},
    {"max_pool2d", kFunction, FG_MAX_POOL, max_pool_values<2>,
     "The largest element of each window of the last two dimensions."},
    {"max_pool3d", kFunction, FG_MAX_POOL, max_pool_values<3>,
     "The largest element of each window of the last three dimensions."},
    {"max_pool1d_with_indices", kFunction, FG_MAX_POOL, max_pool_both<1>,
     "max_pool1d, and the places of the elements."},
    {"_max_pool2d_with_indices", kFunction, FG_MAX_POOL, max_pool_both<2>, nullptr},
    {"_max_pool3d_with_indices", kFunction, FG_MAX_POOL, max_pool_both<3>, nullptr},
    {"avg_pool1d", kFunction, FG_AVG_POOL, avg_pool_any<1>, "The mean of each window of the last dimension."},
    {"avg_pool2d", kFunction, FG_AVG_POOL ", divisor_override=None", avg_pool_any<2>,
     "The mean of each window of the last two dimensions."},
    {"avg_pool3d", kFunction, FG_AVG_POOL ", divisor_override=None", avg_pool_any<3>,
     "The mean of each window of the last three dimensions."},
    {"_adaptive_avg_pool", kFunction, "input, output_size, name",
     [](Call& c) {
       DimArray output = c.dims(1);
       return wrap(adaptive_avg_pool(c.tensor(0), output, c.text(2, c.signature.name)));
     },
     nullptr},
    {"_adaptive_max_pool", kFunction, "input, output_size, name", adaptive_max, nullptr},
    {"_fractional_max_pool", kFunction, "input, kernel_size, output_size, samples, name", fractional, nullptr},
    {"_interpolate", kFunction, "input, output_size, mode, align_corners=False, antialias=False, scales=None",
     interpolated, nullptr},
    {"_grid_sample", kFunction, "input, grid, mode, padding, align_corners", grid_sampled, nullptr},
    {"_grid_sample_gradients", kFunction, "grad, input, grid, mode, padding, align_corners, wants_input, wants_grid",
     grid_gradients, nullptr},
    {"_pad_constant", kFunction, "input, pad, value",
     [](Call& c) {
       DimArray pads = c.dims(1);
       return wrap(pad_constant(c.tensor(0), pads, c.scalar(2)));
     },
     nullptr},
    {"_pad_copied", kFunction, "input, pad, border",
     [](Call& c) {
       DimArray pads = c.dims(1);
       const int64_t border = c.integer(2);
       FG_CHECK(border >= 0 && border <= 2, Value, "pad: unknown border ", border);
       return wrap(pad_copied(c.tensor(0), pads, static_cast<Border>(border)));
     },
     nullptr},
    {"_group_norm", kFunction, "input, num_groups, weight=None, bias=None, eps=1e-05",
     [](Call& c) {
       return wrap(group_norm(c.tensor(0), c.integer(1), c.tensor_or_none(2), c.tensor_or_none(3), c.number(4, 1e-5)));
     },
     nullptr},
    {"batch_norm", kFunction,
     "input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=False", batch_normed,
     "Each channel normalised to mean 0 and variance 1."},
    {"_usual_batch_norm", kFunction, "input, weight, bias, running_mean, running_var, training, momentum, eps",
     usual_batch_norm, "The native case of nn.functional.batch_norm."},
};
#undef FG_MAX_POOL
#undef FG_AVG_POOL
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_image_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
