// The dtype rules of elementwise ops: promotion of the arguments, the dtype an op works in, what it refuses.
#pragma once
#include "ops/ops.h"
#include "ops/row_info.h"

namespace fg {

struct Promotion {
  DType dim = DType::kUndefined, zero = DType::kUndefined, number = DType::kUndefined;
  void add(const Arg& a) {
    if (!a.tensor) return merge(number, a.scalar.dtype());
    DType t = a.tensor->dtype();
    if (a.tensor->impl()->wrapped_number) {
      // A number's own width does not count, only its category.
      if (is_floating(t)) t = default_dtype();
      if (is_complex(t)) t = complex_of(default_dtype());
      return merge(number, t);
    }
    merge(a.tensor->dim() > 0 ? dim : zero, t);
  }
  static void merge(DType& into, DType t) { into = into == DType::kUndefined ? t : promote(into, t); }
  static DType combine(DType higher, DType lower) {
    if (higher == DType::kUndefined) return lower;
    if (lower == DType::kUndefined || is_complex(higher)) return higher;
    if (is_floating(higher)) return is_complex(lower) ? complex_of(higher) : higher;
    if (higher == DType::Bool || is_inexact(lower)) return promote(higher, lower);
    return higher;
  }
  DType result() const { return combine(dim, combine(zero, number)); }
};

// The dtype of the result of an op that works in `dtype`.
inline DType result_dtype(Op op, const RowInfo& info, DType dtype) {
  if (gives_bool(info.section)) return DType::Bool;
  return op == Op::abs ? real_of(dtype) : dtype;
}
// given: the common dtype of the arguments. Returns the dtype that the op works in.
DType working_dtype(Op op, const RowInfo& info, DType given, Args args);
void check_dtype(Op op, const RowInfo& info, DType t, Args args);

}  // namespace fg
