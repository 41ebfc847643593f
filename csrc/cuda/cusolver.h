// cuSOLVER, when it is there: opened at the first factorisation that asks for it. FASTGRAD_CUSOLVER=0 turns it off,
// FASTGRAD_CUSOLVER=<path> names the library.
#pragma once
#include "core/backend.h"

namespace fg::cuda {
const char* cusolver_missing();  // nullptr: it can be used
// All kinds but triangular and order, with columns contiguous; cholesky: the lower triangle becomes L. `pivots`, of lu
// and solve, for all matrices. False: an error is set.
bool cusolver_run(const LinalgArgs& args, int64_t* pivots);
// svd of a batch in one call, whatever k is: c (m, m) becomes U, d (n, n) V, not turned. Of small matrices only.
// Those that do not converge are gesvd's, as in torch: info is looked at, except while a graph is recorded.
bool cusolver_has_jacobi(const LinalgArgs& args);
bool cusolver_jacobi(const LinalgArgs& args);
}  // namespace fg::cuda
