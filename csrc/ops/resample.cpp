// Interpolation to other sizes: each dimension is a linear map whose places and weights are computed here, in the
// precision of the input, as torch does, so that the same neighbours are taken.
#include <algorithm>
#include <cmath>

#include "ops/linear_map.h"

namespace fg {

namespace {

struct Axis {
  int64_t in, out;
  double scale;  // out / in as given, or 0
  bool align_corners;
};

// Input elements for one output element.
template <class T> T step_of(const Axis& a) {
  if (a.align_corners) return a.out > 1 ? static_cast<T>(a.in - 1) / static_cast<T>(a.out - 1) : T(0);
  return a.scale > 0 ? static_cast<T>(1.0 / a.scale) : static_cast<T>(a.in) / static_cast<T>(a.out);
}
template <class T> T source_of(const Axis& a, T step, int64_t o, bool cubic) {
  if (a.align_corners) return step * static_cast<T>(o);
  T source = step * (static_cast<T>(o) + T(0.5)) - T(0.5);
  return !cubic && source < 0 ? T(0) : source;
}

template <class T> void nearest_table(const Axis& a, bool exact, LinearTable& table) {
  const Axis plain{a.in, a.out, a.scale, false};
  const T step = step_of<T>(plain);
  for (int64_t o = 0; o < a.out; ++o) {
    const T source = exact ? (static_cast<T>(o) + T(0.5)) * step : static_cast<T>(o) * step;
    table.term(std::min(static_cast<int64_t>(std::floor(source)), a.in - 1), 1);
    table.close();
  }
}

template <class T> void linear_table(const Axis& a, LinearTable& table) {
  const T step = step_of<T>(a);
  for (int64_t o = 0; o < a.out; ++o) {
    if (a.in == a.out) {
      table.term(o, 1);
    } else {
      const T source = source_of<T>(a, step, o, false);
      const int64_t low = std::min(static_cast<int64_t>(std::floor(source)), a.in - 1),
                    high = std::min(low + 1, a.in - 1);
      const T part = std::min(std::max(source - static_cast<T>(low), T(0)), T(1));
      table.term(low, T(1) - part);
      table.term(high, part);
    }
    table.close();
  }
}

template <class T> T cubic_near(T x, T a) { return ((a + 2) * x - (a + 3)) * x * x + 1; }
template <class T> T cubic_far(T x, T a) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; }

template <class T> void cubic_table(const Axis& a, LinearTable& table) {
  const T step = step_of<T>(a), sharpness = T(-0.75);
  for (int64_t o = 0; o < a.out; ++o) {
    const T source = source_of<T>(a, step, o, true);
    const int64_t low = static_cast<int64_t>(std::floor(source));
    const T part = std::min(std::max(source - static_cast<T>(low), T(0)), T(1)), rest = 1 - part;
    const T weights[4] = {cubic_far<T>(part + 1, sharpness), cubic_near<T>(part, sharpness),
                          cubic_near<T>(rest, sharpness), cubic_far<T>(rest + 1, sharpness)};
    for (int64_t k = 0; k < 4; ++k) table.term(std::min(std::max<int64_t>(low - 1 + k, 0), a.in - 1), weights[k]);
    table.close();
  }
}

template <class T> T sinc(T x) {
  x *= static_cast<T>(M_PI);
  return x == 0 ? T(1) : std::sin(x) / x;
}

// The filter widened to the step between outputs, so that every input counts.
template <class T> void filtered_table(const Axis& a, Interpolation mode, LinearTable& table) {
  const T reach = mode == Interpolation::cubic ? 2 : mode == Interpolation::lanczos ? 3 : 1;
  if (a.in == a.out) {  // left as it is, whatever the scale that was given
    for (int64_t o = 0; o < a.out; ++o) table.term(o, 1), table.close();
    return;
  }
  const T step = step_of<T>(a), sharpness = T(-0.5);
  const T support = step >= 1 ? reach * step : reach, shrink = step >= 1 ? 1 / step : T(1);
  auto filter = [&](T x) {
    x = std::abs(x);
    if (mode == Interpolation::lanczos) return x < 3 ? sinc(x) * sinc(x / 3) : T(0);
    if (mode == Interpolation::linear) return x < 1 ? 1 - x : T(0);
    return x < 1 ? cubic_near<T>(x, sharpness) : x < 2 ? cubic_far<T>(x, sharpness) : T(0);
  };
  std::vector<T> weights;
  for (int64_t o = 0; o < a.out; ++o) {
    const T centre = step * (static_cast<T>(o) + T(0.5));
    const int64_t low = std::max<int64_t>(static_cast<int64_t>(centre - support + T(0.5)), 0);
    const int64_t high = std::min(static_cast<int64_t>(centre + support + T(0.5)), a.in);
    T total = 0;
    weights.clear();
    for (int64_t i = low; i < high; ++i) {
      weights.push_back(filter((static_cast<T>(i) - centre + T(0.5)) * shrink));
      total += weights.back();
    }
    for (int64_t i = low; i < high; ++i)
      table.term(i, total != 0 ? weights[static_cast<size_t>(i - low)] / total : weights[static_cast<size_t>(i - low)]);
    table.close();
  }
}

template <class T> void fill_table(const Axis& a, Interpolation mode, bool antialias, LinearTable& table) {
  if (antialias) filtered_table<T>(a, mode, table);
  else if (mode == Interpolation::linear) linear_table<T>(a, table);
  else if (mode == Interpolation::cubic) cubic_table<T>(a, table);
  else nearest_table<T>(a, mode == Interpolation::nearest_exact, table);
}

const char* node_name(Interpolation mode, size_t dims, bool antialias) {
  static const char* const nearest[] = {"UpsampleNearest1DBackward0", "UpsampleNearest2DBackward0",
                                        "UpsampleNearest3DBackward0"};
  static const char* const exact[] = {"UpsampleNearestExact1DBackward0", "UpsampleNearestExact2DBackward0",
                                      "UpsampleNearestExact3DBackward0"};
  static const char* const linear[] = {"UpsampleLinear1DBackward0", "UpsampleBilinear2DBackward0",
                                       "UpsampleTrilinear3DBackward0"};
  switch (mode) {
    case Interpolation::nearest: return nearest[dims - 1];
    case Interpolation::nearest_exact: return exact[dims - 1];
    case Interpolation::linear: return antialias ? "UpsampleBilinear2DAaBackward0" : linear[dims - 1];
    default: return antialias ? "UpsampleBicubic2DAaBackward0" : "UpsampleBicubic2DBackward0";
  }
}

}  // namespace

Tensor interpolate(const Tensor& x, Dims output, Interpolation mode, bool align_corners, bool antialias,
                   const std::vector<double>& scales) {
  const size_t dims = output.size();
  FG_CHECK(dims >= 1 && dims <= 3 && static_cast<size_t>(x.dim()) == dims + 2 && scales.size() == dims, Runtime,
           "interpolate: an input of ", dims + 2, " dimensions is expected for an output size of ", dims, ", got ",
           size_text(x.sizes()));
  for (int64_t n : output)
    FG_CHECK(n > 0, Runtime, "interpolate: Input and output sizes should be greater than 0, but got input ",
             size_text(x.sizes()), " and output ", size_text(output));
  for (int d = 1; d < x.dim(); ++d)
    FG_CHECK(x.size(d) > 0, Runtime, "interpolate: Non-empty ", x.dim(),
             "D data tensor expected but got a tensor with sizes ", size_text(x.sizes()));
  FG_CHECK(is_floating(x.dtype()) || x.dtype() == DType::UInt8, NotImplemented, "\"interpolate\" not implemented for '",
           dtype_name(x.dtype()), "'");
  DimArray sizes(x.sizes().first(2));
  for (int64_t n : output) sizes.push(n);
  const Tensor room = Tensor::empty(sizes, x.dtype(), x.device());  // what does not fit is refused before the tables
  LinearTables tables;
  for (size_t k = 0; k < dims; ++k) {
    const Axis axis{x.size(static_cast<int>(k) + 2), output[k], scales[k], align_corners};
    auto table = std::make_shared<LinearTable>(axis.in, axis.out);
    if (x.dtype() == DType::Float64) fill_table<double>(axis, mode, antialias, *table);
    else fill_table<float>(axis, mode, antialias, *table);
    tables.push_back(std::move(table));
  }
  if (is_floating(x.dtype())) return linear_map(x, tables, node_name(mode, dims, antialias));
  Tensor values = linear_map(to_dtype(x, DType::Float32), tables, node_name(mode, dims, antialias));
  values = clamp(unary(Op::floor, binary(Op::add, values, 0.5)), Arg(0.0), Arg(255.0));
  return to_dtype(values, x.dtype());
}

}  // namespace fg
