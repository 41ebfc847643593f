"""Inverse, determinant and linear equations.

Gradients: Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation" (2008).
"""
from .. import _C
from ._arrays import (
    Function,
    array,
    batch_error,
    check,
    done,
    info_tensor,
    kind_of,
    named,
    np,
    on_batch,
    tensor_of,
)

InvEx = named("linalg_inv_ex", ("inverse", "info"))
SolveEx = named("linalg_solve_ex", ("result", "info"))
Slogdet = named("linalg_slogdet", ("sign", "logabsdet"))


def zero_pivots(A):
    """For every complex matrix its size if it is singular, else 0. Which pivot is zero takes an LU factorisation; that
    there is one is known from the rank."""
    return [0 if np.linalg.matrix_rank(a) == len(a) else len(a) for a in array(A).reshape(-1, *A.shape[-2:])]


def _complex_inverse(A):
    """By NumPy: the inverse and LAPACK's codes; where a matrix is singular the result is infinite."""
    try:
        return tensor_of(np.linalg.inv(array(A))), _no_codes(A)
    except np.linalg.LinAlgError:
        codes = zero_pivots(A)
        regular = A.detach().clone()
        flat = regular.reshape(-1, *A.shape[-2:])
        for i, code in enumerate(codes):
            if code:
                flat[i] = _C.eye(A.shape[-1], dtype=A.dtype)
        result = tensor_of(np.linalg.inv(array(flat.reshape(A.shape))))
        return _fill_singular(result, codes), info_tensor(codes, A.shape[:-2])


def _fill_singular(result, codes):
    parts = result.reshape(-1, *result.shape[-2:])
    for i, code in enumerate(codes):
        if code:
            parts[i] = float("inf")
    return result


def _no_codes(A):
    return _C.zeros(A.shape[:-2], dtype=_C.int32)


def _complex_solution(A, B):
    try:
        return tensor_of(np.linalg.solve(array(A), array(B))), _no_codes(A)
    except np.linalg.LinAlgError:
        codes = zero_pivots(A)
        X = _C.full_like(B, float("inf"))
        flat, sides, parts = (t.detach().reshape(-1, *t.shape[-2:]) for t in (A, B, X))
        for i, code in enumerate(codes):
            if not code:
                parts[i] = tensor_of(np.linalg.solve(array(flat[i]), array(sides[i])))
        return X, info_tensor(codes, A.shape[:-2])


class _Inverse(Function):
    @staticmethod
    def forward(ctx, A):
        result, info = _complex_inverse(A) if A.is_complex() and not A.is_cuda else _C._inverse(A)
        ctx.save_for_backward(result)
        ctx.mark_non_differentiable(info)
        return result, info

    @staticmethod
    def backward(ctx, g, _):
        X, = ctx.saved_tensors
        return -X.mH @ g @ X.mH


def inv_ex(A, *, check_errors=False, out=None):
    """Return the inverse of a matrix, and for each matrix of a batch where a zero pivot was met (0: nowhere)."""
    check("linalg.inv", A, complex_too=True)
    inverse, info = _Inverse.apply(A)
    if check_errors:
        batch_error("linalg.inv", info, lambda code: f"The diagonal element {code} is zero, the inversion could not be "
                    "completed because the input matrix is singular.")
    return done(InvEx(inverse, info), out)


def inv(A, *, out=None):
    """Return the inverse of a square matrix, or of each in a batch; LinAlgError for a singular one.

    >>> inv(fastgrad.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return done(inv_ex(A, check_errors=True).inverse, out)


class _Solve(Function):
    """A, B of equal batches."""

    @staticmethod
    def forward(ctx, A, B):
        X, info = _complex_solution(A, B) if A.is_complex() and not A.is_cuda else _C._solve(A, B)
        ctx.mark_non_differentiable(info)
        ctx.save_for_backward(A, X)
        return X, info

    @staticmethod
    def backward(ctx, g, _):
        A, X = ctx.saved_tensors
        gB = _Solve.apply(A.mH, g)[0]
        return -gB @ X.mH if ctx.needs_input_grad[0] else None, gB


def is_vector(A, B):
    """Whether B is a batch of vectors, one for each matrix, and not of matrices."""
    return B.dim() == 1 or (A.dim() - 1 == B.dim() and B.shape == A.shape[:-1])


def check_pair(name, A, B, left=True):
    """The errors of two operands that do not fit; A is a matrix."""
    check_other(name, A, B)
    n, side = A.shape[-1], B.shape[-2 if left else -1]
    if n != side:
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
                           f"({A.shape[-2]}x{n} and {B.shape[-2]}x{B.shape[-1]})")


def check_other(name, A, B):
    """The errors of a second operand on its own."""
    if B.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor B must have at least 2 dimensions.")
    if A.dtype is not B.dtype:
        kinds = [kind_of(t) for t in (A, B)]
        raise RuntimeError(f"{name}: Expected A and B to have the same dtype, but found A of type {kinds[0]} and B of "
                           f"type {kinds[1]} instead")


def solve_ex(A, B, *, left=True, check_errors=False, out=None):
    """Return the solution of A X = B, and for each matrix where a zero pivot was met (0: nowhere)."""
    check("linalg.solve", A, kernel="lu_cpu", complex_too=True)
    vector = is_vector(A, B)
    if vector:
        B = B.unsqueeze(-1)
    check_pair("linalg.solve", A, B, left)
    if vector and not left:
        raise RuntimeError("linalg.solve: Vector broadcasting of the left hand side is not supported for left=False. "
                           "In this case linalg.solve is equivalent to B / A.squeeze(-1)")
    if left:
        X, info = _Solve.apply(*on_batch(A, B))
    else:
        X, info = _Solve.apply(*on_batch(A.mT, B.mT))
        X = X.mT
    if check_errors:
        batch_error("torch.linalg.solve", info, lambda code: "The solver failed because the input matrix is singular.")
    return done(SolveEx(X.squeeze(-1) if vector else X, info), out)


def solve(A, B, *, left=True, out=None):
    """Return the solution of A X = B (left=False: X A = B); LinAlgError for a singular matrix.

    B: a matrix, or a vector for each matrix of A.

    >>> solve(fastgrad.tensor([[2.0, 0.0], [0.0, 4.0]]), fastgrad.tensor([2.0, 2.0]))
    tensor([1.0000, 0.5000])
    """
    return done(solve_ex(A, B, left=left, check_errors=True).result, out)


class _TriangularSolve(Function):
    """A X = B for a triangle of A, equal batches."""

    @staticmethod
    def forward(ctx, A, B, upper, unit):
        X = _C._triangular_solve(A, B, upper, unit)
        ctx.upper, ctx.unit = upper, unit
        ctx.save_for_backward(A, X)
        return X

    @staticmethod
    def backward(ctx, g):
        A, X = ctx.saved_tensors
        gB = _TriangularSolve.apply(A.mT, g, not ctx.upper, ctx.unit)
        gA = None
        if ctx.needs_input_grad[0]:
            full, edge = -gB @ X.mT, int(ctx.unit)
            gA = full.triu(edge) if ctx.upper else full.tril(-edge)
        return gA, gB, None, None


def solve_triangular(A, B, *, upper, left=True, unitriangular=False, out=None):
    """Return the solution of A X = B (left=False: X A = B) for a triangular A; the other triangle is not read.

    unitriangular: the diagonal is not read either and counts as ones. A zero on the diagonal gives infinities.
    """
    check("linalg.solve_triangular", A)
    check_pair("linalg.solve_triangular", A, B, left)
    if left:
        X = _TriangularSolve.apply(*on_batch(A, B), upper, unitriangular)
    else:
        X = _TriangularSolve.apply(*on_batch(A.mT, B.mT), not upper, unitriangular).mT
    return done(X, out)


def _cofactors(A):
    """The matrix of cofactors from the singular values; it exists for singular matrices too."""
    from ._spectral import svd
    U, S, Vh = svd(A, full_matrices=False)
    sign = (_determinant(U) * _determinant(Vh)).sign()
    ones = _C.ones_like(S[..., :1])
    before = _C.cat([ones, S[..., :-1]], -1).cumprod(-1)
    after = _C.cat([S[..., 1:], ones], -1).flip(-1).cumprod(-1).flip(-1)
    return (U * (before * after * sign.unsqueeze(-1)).unsqueeze(-2)) @ Vh


def _diagonal_of_factors(A):
    """The diagonal of U of an LU factorisation, and the sign of its exchanges."""
    LU, pivots, _ = _C._lu_factor(A)
    exchanged = pivots != _C.arange(1, pivots.shape[-1] + 1, device=A.device)
    return LU.diagonal(dim1=-2, dim2=-1), 1 - 2 * (exchanged.sum(-1) % 2)


def _determinant(A):
    if A.is_cuda:
        diagonal, sign = _diagonal_of_factors(A.detach())
        return diagonal.prod(-1) * sign
    return tensor_of(np.linalg.det(array(A))) if A.is_complex() else _C._det(A)


def _sign_and_logarithm(A):
    if not A.is_cuda:
        return _C._slogdet(A)
    diagonal, sign = _diagonal_of_factors(A.detach())
    return diagonal.sign().prod(-1) * sign, diagonal.abs().log().sum(-1)


class _Det(Function):
    @staticmethod
    def forward(ctx, A):
        d = _determinant(A)
        ctx.save_for_backward(A, d)
        return d

    @staticmethod
    def backward(ctx, g):
        A, d = ctx.saved_tensors
        if (d.detach() == 0).any() and not A.is_complex():
            return g[..., None, None] * _cofactors(A)
        return (g * d.conj())[..., None, None] * _Inverse.apply(A)[0].mH


def det(A, *, out=None):
    """Return the determinant of a square matrix, or of each in a batch."""
    check("linalg.det", A, kernel="lu_cpu", complex_too=True)
    return done(_Det.apply(A), out)


class _Slogdet(Function):
    @staticmethod
    def forward(ctx, A):
        sign, logabsdet = _sign_and_logarithm(A)
        ctx.mark_non_differentiable(sign)
        ctx.save_for_backward(A)
        return sign, logabsdet

    @staticmethod
    def backward(ctx, _, g):
        A, = ctx.saved_tensors
        # In this order, as a singular matrix shows: NaN is where torch has it.
        return g[..., None, None] * _Inverse.apply(A.mT)[0]


def slogdet(A, *, out=None):
    """Return the sign of the determinant and the logarithm of its absolute value."""
    check("linalg.slogdet", A)
    return done(Slogdet(*_Slogdet.apply(A)), out)


def logdet(A):
    """Return the logarithm of the determinant; nan where it is negative."""
    check("logdet", A)
    sign, value = slogdet(A)
    return _C.where(sign == -1.0, float("nan"), value)
