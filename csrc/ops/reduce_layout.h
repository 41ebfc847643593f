// The dimensions of a reduction: which are reduced, and how a tensor becomes (outer, size, inner) for the kernels. The
// order of dimensions in memory is taken where it can be, a copy is made where it cannot.
#pragma once
#include <algorithm>

#include "ops/ops.h"

namespace fg {

struct DimMask {
  uint64_t bits = 0;
  int count = 0;
  bool has(int d) const { return bits >> d & 1; }
  DimMask without(DimMask o) const { return {bits & ~o.bits, count - o.count}; }
  void add(int d) { bits |= uint64_t{1} << d, ++count; }
};

inline DimMask mask_of(const Tensor& t, const OptDims& dims, const char* op) {
  DimMask mask;
  if (!dims || dims->n == 0) {
    mask.bits = t.dim() == 64 ? ~uint64_t{0} : (uint64_t{1} << t.dim()) - 1;
    mask.count = t.dim();
    return mask;
  }
  for (int i = 0; i < dims->n; ++i) {
    int d = wrap_dim((*dims)[i], t.dim(), op);
    FG_CHECK(!mask.has(d), Runtime, op, ": dim ", d, " appears multiple times in the list of dims");
    mask.add(d);
  }
  if (t.dim() == 0) mask = {};
  return mask;
}

inline DimArray kept_sizes(const Tensor& t, DimMask mask, bool keepdim) {
  DimArray out;
  for (int i = 0; i < t.dim(); ++i) {
    if (!mask.has(i)) out.push(t.size(i));
    else if (keepdim) out.push(1);
  }
  return out;
}

// A contiguous tensor and the dimensions of it that are reduced.
struct Arranged {
  Tensor t;
  DimMask mask;

  // The reduced dimensions that are neighbours of the last one, apart from those of size 1.
  DimMask last_run() const {
    DimMask run;
    for (int i = t.dim() - 1; i >= 0; --i) {
      if (mask.has(i)) run.add(i);
      else if (run.count && t.size(i) != 1) break;
    }
    return run;
  }
  bool run() const { return last_run().count == mask.count; }
};

// The dimensions as they follow each other in memory, when the kept ones keep their order in that.
inline Arranged arrange(const Tensor& t, DimMask mask, bool order_matters) {
  NoGradGuard guard;
  const bool all = mask.count == t.dim();
  if (t.is_contiguous() || !t.is_dense() || (all && order_matters)) return {contiguous(t), mask};
  DimArray order;
  for (int i = 0; i < t.dim(); ++i) order.push(i);
  std::stable_sort(order.v, order.v + order.n,
                   [&](int64_t a, int64_t b) { return t.stride(static_cast<int>(a)) > t.stride(static_cast<int>(b)); });
  Arranged out;
  int64_t kept = -1;
  for (int i = 0; i < order.n; ++i) {
    const int d = static_cast<int>(order[i]);
    if (mask.has(d)) out.mask.add(i);
    else if (d < kept) return {contiguous(t), mask};
    else kept = d;
  }
  out.t = permute(t, order);
  return out.t.is_contiguous() ? out : Arranged{contiguous(t), mask};
}

struct Block {
  Tensor t;
  int64_t outer = 1, size = 1, inner = 1;
};

inline Block block_of(const Arranged& from) {
  const Tensor& t = from.t;
  const DimMask& mask = from.mask;
  Block block;
  block.t = t;
  if (mask.count == 0) {
    block.outer = t.numel();
    return block;
  }
  if (from.run()) {
    int first = 64, last = -1;
    for (int i = 0; i < t.dim(); ++i)
      if (mask.has(i)) first = std::min(first, i), last = std::max(last, i);
    for (int i = 0; i < t.dim(); ++i) (i < first ? block.outer : i <= last ? block.size : block.inner) *= t.size(i);
    return block;
  }
  DimArray order;
  for (int i = 0; i < t.dim(); ++i)
    if (!mask.has(i)) order.push(i), block.outer *= t.size(i);
  for (int i = 0; i < t.dim(); ++i)
    if (mask.has(i)) order.push(i), block.size *= t.size(i);
  NoGradGuard guard;
  block.t = contiguous(permute(t, order));
  return block;
}

}  // namespace fg
