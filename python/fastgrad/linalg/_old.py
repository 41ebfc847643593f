"""The forms that torch keeps outside of linalg: torch.svd, torch.qr, torch.cholesky and so on, also as methods."""
from .. import _C
from . import _factor, _solve, _spectral
from ._arrays import done, named
from ._factor import cholesky_inverse, cholesky_solve, geqrf, lu_unpack, ormqr
from ._products import matrix_exp
from ._solve import det, logdet, slogdet

__all__ = ["cholesky", "cholesky_inverse", "cholesky_solve", "det", "frobenius_norm", "geqrf", "inverse", "logdet",
           "lu", "lu_solve", "lu_unpack", "matrix_exp", "nuclear_norm", "orgqr", "ormqr", "pinverse", "qr", "slogdet",
           "svd", "triangular_solve"]

OldSvd = named("svd", ("U", "S", "V"))
OldQr = named("qr", ("Q", "R"))
TriangularSolve = named("triangular_solve", ("solution", "cloned_coefficient"))


def inverse(input, *, out=None):
    """Return the inverse of a square matrix, or of each in a batch."""
    return _solve.inv(input, out=out)


def cholesky(input, upper=False, *, out=None):
    """Return the Cholesky factor of a symmetric positive definite matrix."""
    return _factor.cholesky(input, upper=upper, out=out)


def qr(input, some=True, *, out=None):
    """Return Q and R; some=False: Q is square."""
    return done(OldQr(*_factor.qr(input, "reduced" if some else "complete")), out)


def svd(input, some=True, compute_uv=True, *, out=None):
    """Return U, S and V (not transposed); without `compute_uv` U and V are zeros."""
    if not compute_uv:
        m, n = input.shape[-2:]
        batch = input.shape[:-2]
        return done(OldSvd(input.new_zeros((*batch, m, m)), _spectral.svdvals(input), input.new_zeros((*batch, n, n))),
                    out)
    U, S, Vh = _spectral.svd(input, not some)
    return done(OldSvd(U, S, Vh.mT), out)


def pinverse(input, rcond=1e-15):
    """Return the pseudo-inverse."""
    return _spectral.pinv(input, rcond)


def orgqr(input, input2, *, out=None):
    """Return the first columns of the product of reflectors."""
    return _factor.householder_product(input, input2, out=out)


def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False, *, out=None):
    """Return the solution of A X = b for a triangular A (transpose: A^T), and a copy of A."""
    matrix = A.mT if transpose else A
    X = _factor.solve_triangular(matrix, b, upper=upper != transpose, unitriangular=unitriangular)
    return done(TriangularSolve(X, A.expand(*X.shape[:-2], *A.shape[-2:]).clone()), out)


def lu(A, pivot=True, get_infos=False, out=None):
    """Return the packed LU factorisation and its pivots, with `get_infos` also where a zero pivot was met."""
    if get_infos:
        return done(tuple(_factor.lu_factor_ex(A, pivot=pivot)), None)
    result = tuple(_factor.lu_factor(A, pivot=pivot))
    if out is not None:
        for o, part in zip(out, result):
            o.resize_(part.shape).copy_(part)
        return tuple(out)
    return result


def lu_solve(b, LU_data, LU_pivots, *, out=None):
    """Return the solution of A X = b, given the LU factorisation of A."""
    return _factor.lu_solve(LU_data, LU_pivots, b, out=out)


def frobenius_norm(input, dim, keepdim=False, *, out=None):
    """Return the root of the sum of squares over one or two dimensions."""
    return done(_C._vector_norm(input, 2, dim, keepdim), out)


def nuclear_norm(input, dim=(-2, -1), keepdim=False, *, out=None):
    """Return the sum of singular values."""
    from ._norms import matrix_norm
    return matrix_norm(input, "nuc", dim, keepdim, out=out)
