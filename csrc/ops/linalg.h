// Factorisations that NumPy does not offer: LU with pivots, and triangular solves. CPU, float32 and float64, not
// recorded.
#pragma once
#include "ops/ops.h"

namespace fg {

struct Lu {
  Tensor packed, pivots, info;  // as LAPACK's getrf: rows exchanged from 1, info: first zero on the diagonal of U or 0
};
Lu lu_factor(const Tensor& a);
// X with A X = B for a triangle of A; `unit`: its diagonal counts as ones. Equal batches.
Tensor triangular_solve(const Tensor& a, const Tensor& b, bool upper, bool unit);

}  // namespace fg
