// Factorisations on the CPU, float32 and float64, not recorded: LU with pivots, Cholesky, equations, determinants.
#pragma once
#include "ops/ops.h"

namespace fg {

struct Lu {
  Tensor packed, pivots, info;  // as LAPACK's getrf: rows exchanged from 1, info: first zero on the diagonal of U or 0
};
Lu lu_factor(const Tensor& a);

struct WithInfo {
  Tensor result, info;
};
// X with A X = B, equal batches; infinite where A is singular. B undefined: the identity.
WithInfo solve(const Tensor& a, const Tensor& b);
// The lower triangle L with A = L L^T, of which only the lower triangle is read. A view: its columns are contiguous.
WithInfo cholesky(const Tensor& a);

struct SignLog {
  Tensor sign, logarithm;
};
Tensor determinant(const Tensor& a);
SignLog log_determinant(const Tensor& a);

// X with A X = B for a triangle of A; `unit`: its diagonal counts as ones. Equal batches.
Tensor triangular_solve(const Tensor& a, const Tensor& b, bool upper, bool unit);

}  // namespace fg
