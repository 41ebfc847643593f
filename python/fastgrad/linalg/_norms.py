"""Norms of vectors and matrices, and the condition number."""
import math

from .. import _C
from ._arrays import check, check_dtype, check_tensor, done, kind_of
from ._solve import inv_ex
from ._spectral import svdvals


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """Return the norm of order `ord` over `dim`, by default over all elements."""
    check_tensor("linalg_vector_norm", x)
    if not (x.is_floating_point() or x.is_complex()):
        kind = kind_of(x)
        raise RuntimeError(f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {kind}")
    return done(_C._vector_norm(x, ord, dim, keepdim, dtype=dtype), out)


def _pair(name, A, dim):
    if isinstance(dim, int) or len(dim) != 2:
        text = dim if isinstance(dim, int) else ", ".join(map(str, dim))
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {text}")
    a, b = dim
    for d in (a, b):
        if not -A.dim() <= d < A.dim():
            raise IndexError(f"Dimension out of range (expected to be in range of [{-A.dim()}, {A.dim() - 1}], but got "
                             f"{d})")
    a, b = a % A.dim(), b % A.dim()
    if a == b:
        raise RuntimeError(f"linalg.{name}: dims must be different. Got ({dim[0]}, {dim[1]})")
    return a, b


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """Return a norm of the matrices in two dimensions.

    ord: "fro"; "nuc", the sum of singular values; 2 and -2, the largest and least of them; 1 and -1, the largest and
    least sum of a column's absolute values; inf and -inf, of a row's.
    """
    check_tensor("linalg_matrix_norm", A)
    if A.dim() < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    if not (A.is_floating_point() or A.is_complex()):
        kind = kind_of(A)
        raise RuntimeError(f"linalg.matrix_norm: Expected a floating point or complex tensor as input. Got {kind}")
    rows, columns = _pair("matrix_norm", A, dim)
    if dtype is not None:
        A = A.to(dtype)
    if ord == "fro":
        return done(_C._vector_norm(A, 2, (rows, columns), keepdim), out)
    if ord == "nuc" or (not isinstance(ord, str) and abs(ord) == 2):
        check_dtype("linalg.matrix_norm", A)
        values = svdvals(A.movedim((rows, columns), (-2, -1)))
        result = values.sum(-1) if ord == "nuc" else values.amax(-1) if ord == 2 else values.amin(-1)
        if keepdim:
            for d in sorted((rows, columns)):
                result = result.unsqueeze(d)
        return done(result, out)
    if isinstance(ord, str) or abs(ord) not in (1, math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    summed, rest = (rows, columns) if abs(ord) == 1 else (columns, rows)
    if not keepdim and rest > summed:
        rest -= 1
    sums = _C._vector_norm(A, 1, summed, keepdim)
    return done(sums.amax(rest, keepdim) if ord > 0 else sums.amin(rest, keepdim), out)


def norm(A, ord=None, dim=None, keepdim=False, *, out=None, dtype=None):
    """Return a norm: of vectors for one dimension, of matrices for two; no `ord`: the root of the sum of squares."""
    check_tensor("linalg_norm", A)
    if dim is not None and isinstance(dim, int):
        dim = (dim,)
    if ord is None:
        if dim is not None and len(dim) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
        return vector_norm(A, 2, dim, keepdim, dtype=dtype, out=out)
    if dim is not None:
        if len(dim) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
    elif A.dim() not in (1, 2):
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                           f"{A.dim()}D.")
    if isinstance(ord, str) or (A.dim() if dim is None else len(dim)) == 2:
        return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype, out=out)


def cond(A, p=None, *, out=None):
    """Return the condition number: the norm of A times that of its inverse; p as `ord` of `matrix_norm`, None: 2."""
    check("linalg.cond", A, square=False)
    if p is None or (not isinstance(p, str) and abs(p) == 2):
        values = svdvals(A)
        first, last = values[..., 0], values[..., -1]
        return done(last / first if p == -2 else first / last, out)
    text = isinstance(p, str)
    if text or abs(p) in (1, math.inf):
        check(f"linalg.cond(ord={p})", A)
    if p not in ("fro", "nuc") if text else abs(p) not in (1, math.inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if p == "nuc":
        values = svdvals(A)
        return done(values.sum(-1) * values.reciprocal().sum(-1), out)
    inverse = inv_ex(A).inverse
    result = matrix_norm(A, p) * matrix_norm(inverse, p)
    return done(_C.where(_C.isinf(inverse).any(-1).any(-1), float("inf"), result), out)


__all__ = ["cond", "matrix_norm", "norm", "vector_norm"]
