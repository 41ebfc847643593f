// What run time needs to know of a row; filled from the tables in row_info.cpp.
#pragma once
#include <initializer_list>

#include "ops/formula.h"
#include "ops/ops.h"
#include "ops/rows.h"

namespace fg {

constexpr bool one_of(Op op, std::initializer_list<Op> list) {
  for (Op o : list)
    if (o == op) return true;
  return false;
}

// The gradient of one input as recorded ops. in: the inputs (numbers as wrapped tensors), undefined where not used.
using TensorGrad = Tensor (*)(const Tensor& g, const Tensor* in, const Tensor& y, double p, double q);

struct RowInfo {
  const char* name;
  const char* node_name;  // torch's grad_fn name
  const char* formula;    // text, for documentation
  const char* gradients[3];
  Section section;
  int arity;
  bool differentiable;
  bool complex;      // has complex kernels: its section ends in _C
  unsigned uses[3];  // bits of Uses: what the gradient of input i reads
  bool identity[3];  // that gradient is plain g
  bool zero[3];      // that gradient is zero
  TensorGrad grad[3];
};

inline bool gives_bool(Section s) { return s == Section::unary_test || s == Section::binary_test; }
inline bool wants_float(Section s) {
  return s == Section::unary_float || s == Section::binary_float || s == Section::ternary_float;
}

}  // namespace fg
