// Factorisations, float32 and float64 (on other devices than the CPU some of complex matrices too), not recorded: LU
// with pivots, Cholesky, equations, determinants.
#pragma once
#include "ops/ops.h"

namespace fg {

struct Lu {
  Tensor packed, pivots, info;  // as LAPACK's getrf: rows exchanged from 1, info: first zero on the diagonal of U or 0
};
Lu lu_factor(const Tensor& a);
// The order of rows that the exchanges lead to: (..., k) int32 -> (..., rows) int64. known: as lu_factor has made them.
Tensor row_order(const Tensor& pivots, int64_t rows, bool known);

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
// On the CPU
Tensor determinant(const Tensor& a);
SignLog log_determinant(const Tensor& a);

// X with A X = B for a triangle of A; `unit`: its diagonal counts as ones. Equal batches.
Tensor triangular_solve(const Tensor& a, const Tensor& b, bool upper, bool unit);

// ---- on devices other than the CPU

struct Reflectors {
  Tensor packed, factors;  // as LAPACK's geqrf
};
Reflectors reflectors(const Tensor& a);
// The first columns of the product of reflectors.
Tensor reflected(const Tensor& packed, const Tensor& factors, int64_t columns);

struct Spectrum {
  Tensor values, vectors, info;  // vectors: undetermined unless wanted
};
Spectrum hermitian_spectrum(const Tensor& a, bool upper, bool vectors);
Spectrum spectrum(const Tensor& a, bool vectors);  // of complex matrices

struct SingularValues {
  Tensor u, values, vh, info;
};
SingularValues singular_values(const Tensor& a, bool full, bool vectors);

}  // namespace fg
