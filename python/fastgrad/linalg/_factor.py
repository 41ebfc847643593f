"""Cholesky, QR and LU factorisations, Householder products.

Gradients: Murray, "Differentiation of the Cholesky decomposition" (2016); Walter and Lehmann, "Algorithmic
differentiation of linear algebra functions" (2018) for QR; LU follows from A = L U in the same way.
"""
from .. import _C
from .._compose import diag_embed
from ._arrays import (
    Function,
    array,
    batch_error,
    check,
    check_dtype,
    done,
    identity,
    named,
    np,
    on_batch,
    tensor_of,
)
from ._solve import check_other, solve_triangular

CholeskyEx = named("linalg_cholesky_ex", ("L", "info"))
Qr = named("linalg_qr", ("Q", "R"))
LuFactor = named("linalg_lu_factor", ("LU", "pivots"))
LuFactorEx = named("linalg_lu_factor_ex", ("LU", "pivots", "info"))
Lu = named("linalg_lu", ("P", "L", "U"))
LuUnpack = named("lu_unpack", ("P", "L", "U"))
Geqrf = named("geqrf", ("a", "tau"))


# ---- Cholesky

class _Cholesky(Function):
    @staticmethod
    def forward(ctx, A):
        L, info = _C._cholesky(A)
        ctx.save_for_backward(L)
        ctx.mark_non_differentiable(info)
        return L, info

    @staticmethod
    def backward(ctx, g, _):
        L, = ctx.saved_tensors
        inner = (L.mT @ g).tril()
        inner = inner - 0.5 * diag_embed(inner.diagonal(dim1=-2, dim2=-1))
        half = solve_triangular(L.mT, solve_triangular(L, inner, upper=False, left=False), upper=True)
        return 0.5 * (half + half.mT)


def cholesky_ex(A, *, upper=False, check_errors=False, out=None):
    """Return the Cholesky factor, and for each matrix the order of its first minor that is not positive definite."""
    check("linalg.cholesky", A, kernel="cholesky_cpu")
    L, info = _Cholesky.apply(A)
    if check_errors:
        _raise_indefinite(info)
    return done(CholeskyEx(L.mT if upper else L, info), out)


def _raise_indefinite(info):
    batch_error("linalg.cholesky", info, lambda code: "The factorization could not be completed because the input is "
                f"not positive-definite (the leading minor of order {code} is not positive-definite).")


def cholesky(A, *, upper=False, out=None):
    """Return L with A = L L^T for a symmetric positive definite matrix (upper: L^T); LinAlgError for others.

    >>> cholesky(fastgrad.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    return done(cholesky_ex(A, upper=upper, check_errors=True).L, out)


def cholesky_solve(input, L, upper=False, *, out=None):
    """Return the solution X of A X = input, given the Cholesky factor of A."""
    for t, name in ((input, "b"), (L, "u")):
        if t.dim() < 2:
            raise RuntimeError(f"{name} should have at least 2 dimensions, but has {t.dim()} dimensions instead")
    lower = L.mT if upper else L
    inner = solve_triangular(lower, input, upper=False)
    return done(solve_triangular(lower.mT, inner, upper=True), out)


def cholesky_inverse(L, upper=False, *, out=None):
    """Return the inverse of A, given its Cholesky factor."""
    check("cholesky_inverse", L)
    return done(cholesky_solve(identity(L, L.shape[-1]).expand(L.shape), L, upper), out)


# ---- QR

def _lower_copied(M):
    """The symmetric matrix with the lower triangle of M."""
    return M.tril() + M.tril(-1).mT


class _Qr(Function):
    """Of a matrix with at least as many rows as columns; mode "r" computes no Q."""

    @staticmethod
    def forward(ctx, A, mode):
        ctx.mode = mode
        ctx.set_materialize_grads(False)
        m, n = A.shape[-2:]
        k = m if mode == "complete" else min(m, n)
        if not A.numel():
            Q = identity(A, m, k).expand(*A.shape[:-2], m, k).clone()
            R = A.new_zeros((*A.shape[:-2], k, n))
        elif A.is_cuda:
            packed, factors = _C._reflectors(A)
            Q = None if mode == "r" else _C._reflected(packed, factors, k)
            R = packed[..., :k, :].triu()
        else:
            found = np.linalg.qr(array(A), mode)
            Q, R = (None, tensor_of(found)) if mode == "r" else map(tensor_of, found)
        if mode == "r":
            return A.new_empty(0), R
        ctx.save_for_backward(Q, R)
        ctx.deep = mode == "complete" and m > n
        return Q, R

    @staticmethod
    def backward(ctx, gQ, gR):
        if ctx.mode == "r":
            raise RuntimeError("The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please "
                               "use torch.linalg.qr(A, mode='reduced') if you are going to require gradients.")
        if ctx.deep:
            raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols")
        if gQ is None and gR is None:
            return None, None
        Q, R = ctx.saved_tensors
        M = 0
        if gR is not None:
            M = R @ gR.mT
        if gQ is not None:
            M = M - gQ.mT @ Q
        inner = Q @ _lower_copied(M)
        if gQ is not None:
            inner = inner + gQ
        return solve_triangular(R.mT, inner, upper=False, left=False), None


def qr(A, mode="reduced", *, out=None):
    """Return Q with orthonormal columns and the upper triangular R with A = Q R.

    mode: "reduced", "complete" (Q is square) or "r" (Q is empty).
    """
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or "
                           "'complete'")
    check("linalg.qr", A, square=False, kernel="geqrf_cpu")
    m, n = A.shape[-2:]
    if m >= n or mode == "r":
        return done(Qr(*_Qr.apply(A, mode)), out)
    # More columns than rows: Q is that of the leading square, and the rest of R follows from it.
    Q, R = _Qr.apply(A[..., :m], mode)
    return done(Qr(Q, _C.cat([R, Q.mT @ A[..., m:]], -1)), out)


def geqrf(input, *, out=None):
    """Return the QR factorisation as LAPACK leaves it: R with the reflectors below, and their factors. No gradient."""
    check("geqrf", input, square=False)
    if input.is_cuda:
        return done(Geqrf(*_C._reflectors(input)), out)
    h, tau = np.linalg.qr(array(input), "raw")
    return done(Geqrf(tensor_of(np.swapaxes(h, -1, -2)), tensor_of(tau)), out)


def _reflectors(A, tau):
    """The vectors v of I - tau v v^T, as columns."""
    k = tau.shape[-1]
    lower = A[..., :k].tril(-1)
    return lower + identity(A, A.shape[-2], k)


def _reflect(vectors, tau, C, order):
    for i in order:
        v = vectors[..., i:i + 1]
        C = C - tau[..., i, None, None] * (v @ (v.mT @ C))
    return C


def householder_product(A, tau, *, out=None):
    """Return the first columns of the product of the reflectors that `geqrf` leaves."""
    check("torch.linalg.householder_product", A, square=False, label="input")
    m, n = A.shape[-2:]
    if m < n:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-2] must be greater than or equal to "
                           "input.shape[-1]")
    if tau.shape[-1] > n:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-1] must be greater than or equal to "
                           "tau.shape[-1]")
    if A.dim() - tau.dim() != 1:
        raise RuntimeError("torch.linalg.householder_product: Expected tau to have one dimension less than input, but "
                           f"got tau.ndim equal to {tau.dim()} and input.ndim is equal to {A.dim()}")
    start = identity(A, m, n).expand(A.shape)
    return done(_reflect(_reflectors(A, tau), tau, start, range(tau.shape[-1] - 1, -1, -1)), out)


def ormqr(input, tau, other, left=True, transpose=False, *, out=None):
    """Return the product of the Q that `geqrf` leaves (transpose: Q^T) and a matrix (left=False: of it and Q)."""
    check("ormqr", input, square=False)
    vectors, order = _reflectors(input, tau), range(tau.shape[-1])
    if left != transpose:
        order = reversed(order)
    result = _reflect(vectors, tau, other, order) if left else _reflect(vectors, tau, other.mT, order).mT
    return done(result, out)


# ---- LU

class _LuPacked(Function):
    """The packed factors, known already, of a square matrix whose rows are in the order of the factorisation."""

    @staticmethod
    def forward(ctx, A, LU):
        LU = LU.clone()
        ctx.save_for_backward(LU)
        return LU

    @staticmethod
    def backward(ctx, g):
        LU, = ctx.saved_tensors
        U = LU.triu()
        inner = (_unit_lower(LU).mT @ g.tril(-1)).tril(-1) + (g.triu() @ U.mT).triu()
        inner = solve_triangular(U.mT, inner, upper=False, left=False)
        return solve_triangular(LU.mT, inner, upper=True, unitriangular=True), None


def _unit_lower(LU):
    k = min(LU.shape[-2:])
    return LU[..., :k].tril(-1) + identity(LU, LU.shape[-2], k)


def _rows_in_order(A, order):
    return A.take_along_dim(order.unsqueeze(-1).expand(A.shape), -2)


def lu_factor_ex(A, *, pivot=True, check_errors=False, out=None):
    """Return LU, pivots and for each matrix the number of the first zero on the diagonal of U (0: none)."""
    return done(_lu("torch.lu_factor", "torch.linalg.lu_factor", A, pivot, check_errors), out)


def _lu(name, error_name, A, pivot, check_errors):
    if A.dim() < 2:
        raise RuntimeError(f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(A.shape)} instead")
    check_dtype(name, A, "lu_cpu", integers=False)
    if not pivot:
        function = name.rpartition(".")[2]
        if A.is_cuda:
            raise NotImplementedError(f"linalg.{function}: LU without pivoting is not supported")
        raise RuntimeError(f"linalg.{function}: LU without pivoting is not implemented on the CPU")
    LU, pivots, info = _C._lu_factor(A.detach())
    if check_errors:
        codes = info.reshape(-1).tolist()
        for i, code in enumerate(codes):
            if code:
                place = f"(Batch element {i}): " if len(codes) > 1 else ""
                raise RuntimeError(f"{error_name}: {place}U[{code},{code}] is zero and using it on lu_solve would "
                                   "result in a division by zero. If you still want to perform the factorization, "
                                   "consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)")
    if _C._is_recorded(A):
        m, n = A.shape[-2:]
        k = min(m, n)
        rows = _rows_in_order(A, _C._row_order(pivots, m, True))
        packed = _LuPacked.apply(rows[..., :k, :k], LU[..., :k, :k])
        if m > n:  # the rows below follow from the square
            below = solve_triangular(packed, rows[..., k:, :], upper=True, left=False)
            packed = _C.cat([packed, below], -2)
        elif n > m:
            beside = solve_triangular(packed, rows[..., k:], upper=False, unitriangular=True)
            packed = _C.cat([packed, beside], -1)
        LU = packed
    return LuFactorEx(LU, pivots, info)


def lu_factor(A, *, pivot=True, out=None):
    """Return the LU factorisation packed into one matrix, and the exchanges of rows (counted from 1)."""
    LU, pivots, _ = _lu("torch.lu_factor", "torch.linalg.lu_factor", A, pivot, True)
    return done(LuFactor(LU, pivots), out)


def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True, *, out=None):
    """Return the matrices P, L and U of what `lu_factor` returned; those not asked for are empty."""
    return done(_unpacked(LU_data, LU_pivots, unpack_data, unpack_pivots, False), out)


def _unpacked(LU_data, LU_pivots, unpack_data, unpack_pivots, known):
    m = LU_data.shape[-2]
    empty = LU_data.new_empty(0)
    P, L, U = empty, empty, empty
    if unpack_data:
        k = min(LU_data.shape[-2:])
        L, U = _unit_lower(LU_data), LU_data[..., :k, :].triu()
    if unpack_pivots:
        if LU_pivots.dtype is not _C.int32:
            raise RuntimeError("torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 "
                               "dtype.\nNote: this function is intended to be used with the output produced by "
                               "torch.linalg.lu_factor")
        order = _C._row_order(LU_pivots, m, known)
        P = (order.unsqueeze(-2) == _C.arange(m, device=order.device).unsqueeze(-1)).to(LU_data.dtype)
    return LuUnpack(P, L, U)


def lu(A, *, pivot=True, out=None):
    """Return P, L and U with A = P L U."""
    LU, pivots, _ = _lu("linalg.lu", "linalg.lu", A, pivot, False)
    return done(Lu(*_unpacked(LU, pivots, True, True, True)), out)


def lu_solve(LU, pivots, B, *, left=True, adjoint=False, out=None):
    """Return the solution of A X = B (left=False: X A = B; adjoint: with A^T), given `lu_factor(A)`."""
    check("linalg.lu_solve", LU, label="LU")
    check_other("linalg.lu_solve", LU, B)
    if not left:
        return done(lu_solve(LU, pivots, B.mT, adjoint=not adjoint).mT, out)
    packed, B = on_batch(LU, B)
    order = _C._row_order(pivots.expand(*packed.shape[:-2], pivots.shape[-1]), LU.shape[-1])
    if not adjoint:
        inner = solve_triangular(packed, _rows_in_order(B, order), upper=False, unitriangular=True)
        return done(solve_triangular(packed, inner, upper=True), out)
    inner = solve_triangular(packed.mT, B, upper=False)
    inner = solve_triangular(packed.mT, inner, upper=True, unitriangular=True)
    back = _C.empty_like(order).scatter_(-1, order, _C.arange(order.shape[-1], device=order.device).expand(order.shape))
    return done(_rows_in_order(inner, back), out)
