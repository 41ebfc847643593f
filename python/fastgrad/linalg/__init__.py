"""Linear algebra: factorisations, equations, norms; float32 and float64, in batches, differentiable.

Where to start: `_arrays.py` has what all share, `_solve.py` the equations, `_factor.py` and `_spectral.py` the
factorisations. `_old.py` has the forms that torch keeps at its top level.
"""
from .. import _overrides
from ._arrays import LinAlgError
from ._factor import (
    cholesky,
    cholesky_ex,
    householder_product,
    lu,
    lu_factor,
    lu_factor_ex,
    lu_solve,
    qr,
)
from ._norms import cond, matrix_norm, norm, vector_norm
from ._products import (
    cross,
    diagonal,
    matmul,
    matrix_exp,
    matrix_power,
    multi_dot,
    tensorinv,
    tensorsolve,
    vander,
    vecdot,
)
from ._solve import det, inv, inv_ex, slogdet, solve, solve_ex, solve_triangular
from ._spectral import eig, eigh, eigvals, eigvalsh, lstsq, matrix_rank, pinv, svd, svdvals

__all__ = ["LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals",
           "eigvalsh", "householder_product", "inv", "inv_ex", "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve",
           "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr",
           "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve", "vander",
           "vecdot", "vector_norm"]

globals().update(_overrides.publish(globals(), __name__, __all__))
