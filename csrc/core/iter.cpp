#include "core/iter.h"

#include <algorithm>
#include <cstdlib>

#include "core/layout.h"

namespace fg {

DimArray broadcast_shapes(Dims a, Dims b, const char* op) {
  DimArray out;
  size_t n = std::max(a.size(), b.size());
  out.n = static_cast<int>(n);
  for (size_t i = 0; i < n; ++i) {  // from the last dimension
    int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    FG_CHECK(x == y || x == 1 || y == 1, Runtime, op, ": The size of tensor a (", x,
             ") must match the size of tensor b (", y, ") at non-singleton dimension ", n - 1 - i, " (shapes ",
             shape_text(a), " and ", shape_text(b), ")");
    out.v[n - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

void broadcast_strides(const Tensor& t, Dims sizes, int64_t* out) {
  int n = static_cast<int>(sizes.size()), skip = n - t.dim();
  for (int i = 0; i < skip; ++i) out[i] = 0;
  Dims ts = t.sizes(), st = t.strides();
  bool fits = skip >= 0;
  for (int i = 0; fits && i < t.dim(); ++i) {
    fits = ts[i] == sizes[skip + i] || ts[i] == 1;
    out[skip + i] = ts[i] == 1 && sizes[skip + i] != 1 ? 0 : st[i];
  }
  // Ops have checked this; it guards against tensors that were given another shape since (x.data = ...).
  FG_CHECK(fits, Runtime, "The expanded size ", size_text(sizes), " does not fit the size ", size_text(ts),
           " of an operand");
}

DimArray result_strides(Dims sizes, std::span<const Tensor* const> inputs) {
  int n = static_cast<int>(sizes.size());
  bool plain = true, equal = true;
  const Tensor* first = nullptr;
  for (const Tensor* t : inputs) {
    if (!t) continue;
    bool whole = same(t->sizes(), sizes);
    plain &= whole ? t->is_contiguous() : t->numel() == 1 && n > 0 && t->dim() == 0;
    if (!whole) equal = false;
    else if (!first) first = t;
    else equal &= same(first->strides(), t->strides());
  }
  if (plain || n < 2) return contiguous_strides(sizes);
  if (equal && first && first->is_dense()) return DimArray(first->strides());

  // Dimensions from the fastest to the slowest: insertion sort with torch's comparison, so that ties fall as there.
  int64_t strides[8][kMaxDims];
  int count = 0;
  for (const Tensor* t : inputs)
    if (t && count < 8) broadcast_strides(*t, sizes, strides[count++]);
  int perm[kMaxDims];
  for (int i = 0; i < n; ++i) perm[i] = n - 1 - i;
  auto compare = [&](int a, int b) {
    for (int k = 0; k < count; ++k) {
      int64_t x = strides[k][a], y = strides[k][b];
      if (x == 0 || y == 0) continue;
      if (x != y) return x < y ? -1 : 1;
      if (sizes[a] > sizes[b]) return 1;
    }
    return 0;
  };
  for (int i = 1; i < n; ++i)
    for (int at = i, j = i - 1; j >= 0; --j) {
      int c = compare(perm[j], perm[at]);
      if (c > 0) {
        std::swap(perm[j], perm[at]);
        at = j;
      } else if (c < 0) {
        break;
      }
    }
  DimArray out;
  out.n = n;
  int64_t step = 1;
  for (int i = 0; i < n; ++i) {
    out.v[perm[i]] = step;
    step = stride_times(step, std::max<int64_t>(sizes[perm[i]], 1));  // too many elements are refused by who asks
  }
  return out;
}

void make_iter(Iter& iter, const Tensor& out, std::span<const IterInput> inputs, Compute compute) {
  iter.compute = compute;
  iter.inputs = static_cast<int32_t>(inputs.size());
  iter.numel = out.numel();
  iter.stream = Storage::current_stream(out.device());
  iter.host = 0;
  iter.out.data = out.mutable_data();
  iter.out.dtype = out.dtype();
  int count = static_cast<int>(inputs.size());
  bool flat = out.is_contiguous();
  for (int k = 0; k < count; ++k) {
    const IterInput& in = inputs[k];
    iter.in[k].data = const_cast<void*>(in.data);
    iter.in[k].dtype = in.dtype;
    if (in.data && !in.tensor) iter.host |= 1u << k;
    if (flat && in.data && in.tensor)
      flat = in.tensor->numel() == 1 || (in.tensor->is_contiguous() && in.tensor->numel() == iter.numel);
  }
  if (flat) {  // one run: nearly every small op
    iter.ndim = iter.numel == 1 ? 0 : 1;
    iter.sizes[0] = iter.numel;
    iter.out.strides[0] = 1;
    for (int k = 0; k < count; ++k) iter.in[k].strides[0] = inputs[k].tensor && inputs[k].tensor->numel() != 1 ? 1 : 0;
    return;
  }
  Dims sizes = out.sizes(), out_strides = out.strides();
  int n = out.dim();
  int64_t strides[kMaxInputs][kMaxDims];
  for (int k = 0; k < count; ++k) {
    if (inputs[k].tensor && inputs[k].data) broadcast_strides(*inputs[k].tensor, sizes, strides[k]);
    else
      for (int i = 0; i < n; ++i) strides[k][i] = 0;
  }
  int order[kMaxDims], m = 0;
  for (int i = n - 1; i >= 0; --i)
    if (sizes[i] != 1) order[m++] = i;
  for (int i = 1; i < m; ++i)
    for (int j = i; j > 0 && std::llabs(out_strides[order[j - 1]]) > std::llabs(out_strides[order[j]]); --j)
      std::swap(order[j - 1], order[j]);
  int d = 0;
  for (int i = 0; i < m; ++i) {
    int dim = order[i];
    bool merge = d > 0 && out_strides[dim] == iter.out.strides[d - 1] * iter.sizes[d - 1];
    for (int k = 0; merge && k < count; ++k) merge = strides[k][dim] == iter.in[k].strides[d - 1] * iter.sizes[d - 1];
    if (merge) {
      iter.sizes[d - 1] *= sizes[dim];
      continue;
    }
    iter.sizes[d] = sizes[dim];
    iter.out.strides[d] = out_strides[dim];
    for (int k = 0; k < count; ++k) iter.in[k].strides[d] = strides[k][dim];
    ++d;
  }
  iter.ndim = d;
}

void check_writable_layout(const Tensor& out, const char* op) {
  FG_CHECK(
      !out.has_internal_overlap(), Runtime, op,
      ": unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
      "Please clone() the tensor before performing the operation.");
}

namespace {

// Whether the elements of two tensors over one memory lie between each other, as columns of a matrix do: modulo some
// stride the places of the one end before those of the other begin.
bool interleaved(const Tensor& a, const Tensor& b) {
  const auto reach = [](const Tensor& t, int64_t step) {
    int64_t sum = 0;
    for (int i = 0; i < t.dim(); ++i)
      if (t.size(i) > 1 && t.stride(i) % step != 0) sum += (t.size(i) - 1) * t.stride(i);
    return sum;
  };
  const auto backwards = [](const Tensor& t) {
    return std::any_of(t.strides().begin(), t.strides().end(), [](int64_t s) { return s < 0; });
  };
  if (a.item_bytes() != b.item_bytes() || backwards(a) || backwards(b)) return false;
  for (int i = 0; i < a.dim(); ++i) {
    const int64_t step = a.stride(i);
    if (a.size(i) < 2 || step < 2) continue;
    const int64_t apart = ((b.offset() - a.offset()) % step + step) % step;
    if (apart > reach(a, step) && apart + reach(b, step) < step) return true;
  }
  return false;
}

}  // namespace

bool overlaps_partly(const Tensor& out, const Tensor& in) {
  if (!out.shares_storage(in) || out.numel() == 0 || in.numel() == 0) return false;
  if (out.item_bytes() == in.item_bytes() && out.offset() == in.offset() && same(out.sizes(), in.sizes()) &&
      same(out.strides(), in.strides()))
    return false;
  auto extent = [](const Tensor& t) {
    int64_t low = t.offset(), high = t.offset();
    for (int i = 0; i < t.dim(); ++i) (t.stride(i) < 0 ? low : high) += (t.size(i) - 1) * t.stride(i);
    return std::pair(low * t.item_bytes(), (high + 1) * t.item_bytes());
  };
  auto [a, b] = extent(out);
  auto [c, d] = extent(in);
  return a < d && c < b && !interleaved(out, in);
}

}  // namespace fg
