"""Eigenvalues, singular values and what follows from them: pseudo-inverse, rank, least squares.

Gradients: Giles (2008) for symmetric eigenvalues; Townsend, "Differentiating the singular value decomposition" (2016);
Golub and Pereyra (1973) for the pseudo-inverse.
"""
from .. import _C
from .._compose import diag_embed
from .._type_info import finfo
from ..autograd import no_grad
from ._arrays import (
    Function,
    LinAlgError,
    Tensor,
    array,
    check,
    done,
    identity,
    kind_of,
    named,
    no_convergence,
    np,
    tensor_of,
)
from ._solve import is_vector, solve

Eigh = named("linalg_eigh", ("eigenvalues", "eigenvectors"))
Eig = named("linalg_eig", ("eigenvalues", "eigenvectors"))
Svd = named("linalg_svd", ("U", "S", "Vh"))
Lstsq = named("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))


# ---- symmetric eigenvalues

def _check_triangle(UPLO):
    if str(UPLO).upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper()


def _from_lapack(name, run, *args, **kwargs):
    try:
        return run(*args, **kwargs)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"{name}: The algorithm failed to converge because the input matrix is ill-conditioned or "
                          "has too many repeated eigenvalues.") from error


def _on_device(name, result):
    """What a device's factorisation found, once it is known that it came to its end."""
    *parts, info = result
    no_convergence(name, info)
    return parts


class _Eigh(Function):
    @staticmethod
    def forward(ctx, A, UPLO):
        ctx.set_materialize_grads(False)
        if A.is_cuda:
            L, V = _on_device("linalg.eigh", _C._eigh(A, UPLO == "U", True))
        else:
            L, V = (tensor_of(part) for part in _from_lapack("linalg.eigh", np.linalg.eigh, array(A), UPLO))
        ctx.save_for_backward(L, V)
        return L, V

    @staticmethod
    def backward(ctx, gL, gV):
        L, V = ctx.saved_tensors
        if gV is None:
            return None if gL is None else (V * gL.unsqueeze(-2)) @ V.mH, None
        gap = L.unsqueeze(-2) - L.unsqueeze(-1)
        core = V.mH @ gV / (gap + _diagonal_of(float("inf"), gap))
        if gL is not None:
            core = core + diag_embed(gL)
        result = V @ core @ V.mH
        return 0.5 * (result + result.mH), None


def _diagonal_of(value, like):
    n = like.shape[-1]
    return _C.where(_C.eye(n, dtype=_C.bool, device=like.device), value, like.new_zeros(()))


def eigh(A, UPLO="L", *, out=None):
    """Return eigenvalues, in ascending order, and eigenvectors, as columns, of a symmetric matrix.

    UPLO: the triangle that is read. The gradient of an eigenvector exists where its eigenvalue is not repeated.
    """
    check("linalg.eigh", A, kernel="linalg_eigh_cpu", integers=False, complex_too=True)
    return done(Eigh(*_Eigh.apply(A, _check_triangle(UPLO))), out)


def eigvalsh(A, UPLO="L", *, out=None):
    """Return the eigenvalues of a symmetric matrix in ascending order."""
    check("linalg.eigh", A, kernel="linalg_eigh_cpu", integers=False, complex_too=True)
    UPLO = _check_triangle(UPLO)
    if _C._is_recorded(A):
        return done(_Eigh.apply(A, UPLO)[0], out)
    if A.is_cuda:
        return done(_on_device("linalg.eigvalsh", _C._eigh(A, UPLO == "U", False))[0], out)
    return done(tensor_of(_from_lapack("linalg.eigvalsh", np.linalg.eigvalsh, array(A), UPLO)), out)


# ---- singular values

class _Svd(Function):
    @staticmethod
    def forward(ctx, A, full_matrices):
        ctx.set_materialize_grads(False)
        m, n = A.shape[-2:]
        if A.numel() and A.is_cuda:
            U, S, Vh = _on_device("linalg.svd", _C._svd(A, full_matrices, True))
        elif A.numel():
            U, S, Vh = (tensor_of(part) for part in _from_lapack("linalg.svd", np.linalg.svd, array(A), full_matrices))
        else:
            batch = A.shape[:-2]
            rows, columns = (m, n) if full_matrices else (min(m, n),) * 2
            U = identity(A, m, rows).expand(*batch, m, rows).clone()
            S = A.new_zeros((*batch, min(m, n)))
            Vh = identity(A, columns, n).expand(*batch, columns, n).clone()
        ctx.save_for_backward(U, S, Vh)
        return U, S, Vh

    @staticmethod
    def backward(ctx, gU, gS, gVh):
        if gU is gS is gVh is None:
            return None, None
        U, S, Vh = ctx.saved_tensors
        k, m, n = S.shape[-1], U.shape[-2], Vh.shape[-1]
        U, Vh = U[..., :k], Vh[..., :k, :]
        core = 0
        if gS is not None:
            core = diag_embed(gS)
        if gU is not None or gVh is not None:
            square = S ** 2
            gap = square.unsqueeze(-2) - square.unsqueeze(-1)
            gap = gap + _diagonal_of(1.0, gap)
        if gU is not None:
            gU = gU[..., :k]
            inner = U.mT @ gU
            core = core + (inner - inner.mT) / gap * S.unsqueeze(-2)
        if gVh is not None:
            gVh = gVh[..., :k, :]
            inner = Vh @ gVh.mT
            core = core + S.unsqueeze(-1) * ((inner - inner.mT) / gap)
        result = U @ core @ Vh
        if gU is not None and m > k:
            result = result + (gU - U @ (U.mT @ gU)) / S.unsqueeze(-2) @ Vh
        if gVh is not None and n > k:
            result = result + (U / S.unsqueeze(-2)) @ (gVh - gVh @ Vh.mT @ Vh)
        return result, None


def _check_driver(A, driver):
    if driver is None or (A.is_cuda and driver == "gesvd"):
        return
    if not A.is_cuda:
        raise RuntimeError("torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with "
                           "cuSOLVER backend.")
    if driver in ("gesvdj", "gesvda"):
        raise NotImplementedError(f"torch.linalg.svd: driver={driver!r} is not supported, only 'gesvd'")
    raise RuntimeError("torch.linalg.svd: unknown svd driver, please choose from `gesvd`, `gesvdj`, and `gesvda` for "
                       "CUDA inputs")


def svd(A, full_matrices=True, *, driver=None, out=None):
    """Return U, the singular values in descending order, and V^T with A = U diag(S) V^T.

    full_matrices: whether U and V are square. The gradient of U and V exists where no singular value is repeated, and
    of their first columns only.
    """
    check("linalg.svd", A, square=False, kernel="linalg_svd_cpu")
    _check_driver(A, driver)
    return done(Svd(*_Svd.apply(A, full_matrices)), out)


def svdvals(A, *, driver=None, out=None):
    """Return the singular values in descending order."""
    check("linalg.svdvals", A, square=False)
    _check_driver(A, driver)
    if _C._is_recorded(A) or not A.numel():
        return done(_Svd.apply(A, False)[1], out)
    if A.is_cuda:
        return done(_on_device("linalg.svdvals", _C._svd(A, False, False))[1], out)
    return done(tensor_of(_from_lapack("linalg.svdvals", np.linalg.svd, array(A), compute_uv=False)), out)


# ---- pseudo-inverse, rank, least squares

def _threshold(values, A, atol, rtol):
    """The least size of a singular value that counts: max(atol, rtol * the largest), with torch's defaults."""
    if rtol is None:
        default = finfo(A.dtype).eps * max(A.shape[-2:])
        if atol is None:
            rtol = default
        elif isinstance(atol, Tensor):
            rtol = _C.where(atol > 0, 0.0, default)
        else:
            rtol = 0.0 if atol > 0 else default
    if atol is None:
        atol = 0.0
    largest = values[..., 0] if values.shape[-1] else values.new_zeros(values.shape[:-1])
    relative = (rtol * largest).to(A.dtype)
    absolute = atol.to(A.dtype) if isinstance(atol, Tensor) else A.new_full((), float(atol))
    return _C.maximum(relative, absolute).unsqueeze(-1)


def _largest(size):
    return size.amax(-1, True) if size.shape[-1] else size


def _pseudo_inverse(A, atol, rtol, hermitian):
    """As an array-like computation without a gradient."""
    if hermitian:
        values, vectors = eigh(A)
        size = values.abs()
        keep = size > _threshold(_largest(size), A, atol, rtol)
        return (vectors * _C.where(keep, values.reciprocal(), 0.0).unsqueeze(-2)) @ vectors.mT
    U, S, Vh = svd(A, full_matrices=False)
    return (Vh.mT * _C.where(S > _threshold(S, A, atol, rtol), S.reciprocal(), 0.0).unsqueeze(-2)) @ U.mT


class _Pinv(Function):
    @staticmethod
    def forward(ctx, A, atol, rtol, hermitian):
        P = _pseudo_inverse(A, atol, rtol, hermitian)
        ctx.save_for_backward(A, P)
        return P

    @staticmethod
    def backward(ctx, g):
        A, P = ctx.saved_tensors
        Pt, gt = P.mT, g.mT
        inner, outer = P @ gt, gt @ P
        result = -Pt @ g @ Pt
        result = result + (gt - A @ inner) @ P @ Pt + Pt @ P @ (gt - outer @ A)
        return result, None, None, None


def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """Return the pseudo-inverse of a matrix.

    Singular values up to max(atol, rtol * the largest) count as 0; rcond is the old name of rtol.
    """
    if not isinstance(A, Tensor) or A.dim() < 2 or A.dtype not in (_C.float32, _C.float64):
        if isinstance(A, Tensor):
            kind = kind_of(A)
            raise RuntimeError(f"linalg.pinv({kind}{{{list(A.shape)}}}): expected a tensor with 2 or more dimensions "
                               "of float, double, cfloat or cdouble types")
    check("linalg.pinv", A, square=hermitian)
    return done(_Pinv.apply(A, atol, rcond if rtol is None else rtol, hermitian), out)


def matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """Return the number of singular values above max(atol, rtol * the largest); tol is the old name of atol."""
    check("torch.linalg.matrix_rank", A, square=hermitian, label="input")
    if tol is not None:
        atol, rtol = tol, 0.0 if rtol is None else rtol
    with no_grad():
        if hermitian:
            values = eigvalsh(A).abs()
            return done((values > _threshold(_largest(values), A, atol, rtol)).sum(-1), out)
        values = svdvals(A)
        return done((values > _threshold(values, A, atol, rtol)).sum(-1), out)


def lstsq(A, B, rcond=None, *, driver=None):
    """Return the X that makes A X - B least, its residuals, the rank of A and its singular values.

    driver: "gelsy" (default), "gels" (A has full rank; on CUDA the only one), "gelsd" or "gelss"; it decides which of
    the last three results are computed, the others are empty. The solution is that of the pseudo-inverse.
    """
    check("torch.linalg.lstsq", A, square=False, label="input")
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    driver = driver or ("gels" if A.is_cuda else "gelsy")
    if A.is_cuda and driver != "gels":
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` other than `gels` is not supported on CUDA")
    vector = is_vector(A, B) and B.dim() == A.dim() - 1
    if vector:
        B = B.unsqueeze(-1)
    if B.dim() < 2:
        raise RuntimeError("torch.linalg.lstsq: other must have at least 1 dimension.")
    if A.shape[-2] != B.shape[-2]:
        side = -1 if vector else -2
        raise RuntimeError(f"torch.linalg.lstsq: input.size(-2) should match other.size({side})")
    if A.dtype is not B.dtype:
        raise RuntimeError("torch.linalg.lstsq: Expected input and other to have the same dtype, but got input's dtype "
                           f"{kind_of(A)} and other's dtype {kind_of(B)}")
    m, n = A.shape[-2:]
    rtol = finfo(A.dtype).eps * max(m, n) if rcond is None else float(rcond)
    solution = _Pinv.apply(A, None, 0.0 if driver == "gels" else rtol, False) @ B
    empty = A.new_empty(0)
    rank, values, residuals = A.new_empty(0, dtype=_C.int64), empty, empty
    with no_grad():
        if driver != "gels":
            S = svdvals(A)
            rank = (S > _threshold(S, A, None, rtol)).sum(-1)
            if driver != "gelsy":
                values = S
    if m > n and driver != "gelsy" and (driver == "gels" or bool((rank == n).all())):
        residuals = ((A @ solution - B) ** 2).sum(-2)
    return Lstsq(solution.squeeze(-1) if vector else solution, residuals, rank, values)


# ---- general eigenvalues

def _as_complex(A):
    return A if A.is_complex() else A.to(A.dtype.to_complex())


class _Eig(Function):
    """Boeddeker et al., "On the computation of complex-valued gradients" (2017), for eigenvectors of length 1."""

    @staticmethod
    def forward(ctx, A):
        ctx.set_materialize_grads(False)
        if A.is_cuda:
            L, V = _on_device("linalg.eig", _C._eig(_as_complex(A), True))
        else:
            kind = np.result_type(array(A).dtype, np.complex64)
            L, V = (tensor_of(part.astype(kind)) for part in _from_lapack("linalg.eig", np.linalg.eig, array(A)))
        ctx.save_for_backward(L, V)
        ctx.real = not A.is_complex()
        return L, V

    @staticmethod
    def backward(ctx, gL, gV):
        L, V = ctx.saved_tensors
        if gL is None and gV is None:
            return None
        core = 0
        if gV is not None:
            inner = V.mH @ gV
            along = inner.diagonal(dim1=-2, dim2=-1)
            if not _C.isfinite(along.detach().imag).all() or (along.detach().imag.abs() > 1e-2).any():
                raise RuntimeError("linalg_eig_backward: The eigenvectors in the complex case are specified up to "
                                   "multiplication by e^{i phi}. The specified loss function depends on this quantity, "
                                   "so it is ill-defined.")
            gap = L.conj().unsqueeze(-2) - L.conj().unsqueeze(-1)
            off = 1.0 - identity(along.real, L.shape[-1])
            core = (inner - V.mH @ (V * along.real.unsqueeze(-2))) / (gap + (1.0 - off)) * off
        if gL is not None:
            core = core + diag_embed(gL)
        result = solve(V.mH, core @ V.mH)
        return result.real if ctx.real else result


def _check_eig(name, A):
    if isinstance(A, Tensor) and not (A.is_floating_point() or A.is_complex()):
        raise RuntimeError(f"Unknown Complex ScalarType for {kind_of(A)}")
    check(name, A, kernel="linalg_eig_out_cpu", complex_too=True)


def eig(A, *, out=None):
    """Return the eigenvalues and eigenvectors, as columns of length 1, of a square matrix; both are complex.

    The gradient exists where no eigenvalue is repeated and the result does not depend on the phase of eigenvectors.
    """
    _check_eig("linalg.eig", A)
    return done(Eig(*_Eig.apply(A)), out)


def eigvals(A, *, out=None):
    """Return the eigenvalues of a square matrix, complex, in LAPACK's order."""
    _check_eig("linalg.eigvals", A)
    if _C._is_recorded(A):
        return done(_Eig.apply(A)[0], out)
    if A.is_cuda:
        return done(_on_device("linalg.eigvals", _C._eig(_as_complex(A.detach()), False))[0], out)
    values = _from_lapack("linalg.eigvals", np.linalg.eigvals, array(A))
    return done(tensor_of(values.astype(np.result_type(values.dtype, np.complex64))), out)
