// What the files on views share: recording one, and the adjoint of a strided view.
#pragma once
#include "ops/ops.h"

namespace fg {

inline Tensor record_view(Tensor out, const Tensor& of, const Ptr<Node>& node) {
  mark_view(out, of);
  if (node) set_history(out, node);
  return out;
}

template <class N>
Ptr<N> view_node(const Tensor& t) {
  return should_record(t) && is_inexact(t.dtype()) ? make_node<N>(t) : Ptr<N>();
}

// Adds `g`, laid out as a view (sizes, strides, offset) of a dense run of `extent` elements, into zeros of that run.
Tensor scatter_view(const Tensor& g, int64_t extent, Dims sizes, Dims strides, int64_t offset);

}  // namespace fg
