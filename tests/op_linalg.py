"""Records of linear algebra: factorisations, equations, norms.

Matrices are made regular (3 on the diagonal), symmetric or positive definite inside the call, so that gradients pass
through that; signs of vectors, which LAPACK chooses, are taken out by `abs`.
"""

import numpy as np

from op_record import Op, Sample

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": (2e-4, 2e-5), "float64": (1e-9, 1e-10)}
SQUARE = [(3, 3), (2, 2, 2), (1, 1), (0, 0), (2, 0, 3, 3)]
TALL = [(4, 2), (2, 3, 2), (3, 3)]
WIDE = [(2, 4), (2, 2, 3)]


def regular(x):
    return x + x.new_tensor(3.0 * np.eye(*x.shape[-2:]))


def symmetric(x):
    return x + x.mT


def positive(x):
    return x @ x.mT + x.new_tensor(2.0 * np.eye(x.shape[-1]))


def distinct(x):
    """With singular values (and, from symmetric matrices, eigenvalues) that differ."""
    scale = np.eye(*x.shape[-2:])
    return x + x.new_tensor(scale * np.arange(1, scale.shape[-1] + 1) * 2)


def different(x):
    return symmetric(distinct(x))


def lower(x):
    return regular(x).tril()


def upper(x):
    return regular(x).triu()


def plain(x):
    return x


def swapped(x):
    return np.swapaxes(x, -1, -2)


IN_NUMPY = {
    regular: lambda x: x + 3 * np.eye(*x.shape[-2:]),
    distinct: lambda x: x + np.eye(*x.shape[-2:]) * np.arange(1, x.shape[-1] + 1) * 2,
    different: lambda x: x + swapped(x) + np.eye(x.shape[-1]) * np.arange(1, x.shape[-1] + 1) * 4,
    positive: lambda x: x @ swapped(x) + 2 * np.eye(x.shape[-1]),
    lower: lambda x: np.tril(x + 3 * np.eye(x.shape[-1])),
    upper: lambda x: np.triu(x + 3 * np.eye(x.shape[-1])),
    plain: plain}


def record(name, shapes, call, ref, prepare=regular, **options):
    """call(m, *tensors), ref(*arrays): `m` is the library; the first operand is prepared."""

    def samples(a):
        return [Sample(*[a(*s) for s in (shape if shape and isinstance(shape[0], tuple) else (shape,))])
                for shape in shapes]

    def run(m, first, *rest):
        return call(m, prepare(first), *rest)

    def reference(first, *rest):
        return ref(IN_NUMPY[prepare](first), *rest)

    options.setdefault("domain", (-1.0, 1.0))
    return Op(name, samples, reference, run, DTYPES, tolerance=TOLERANCE, **options)


def absolute(parts):
    return tuple(abs(part) for part in parts)


def solution(A, B):
    """NumPy takes B for vectors only if it has one dimension."""
    vectors = B.ndim == A.ndim - 1 and B.shape == A.shape[:-1]
    return np.linalg.solve(A, B[..., None])[..., 0] if vectors else np.linalg.solve(A, B)


def triangle(A, is_upper, unit=False):
    A = np.triu(A) if is_upper else np.tril(A)
    return np.where(np.eye(A.shape[-1], dtype=bool), 1.0, A) if unit else A


def factors(A):
    """L and U of matrices that need no exchange of rows: their diagonals are large."""
    m, n = A.shape[-2:]
    k = min(m, n)
    L, U = np.zeros((*A.shape[:-1], k)) + np.eye(m, k), A.copy()
    for i in range(k):
        L[..., i + 1:, i] = U[..., i + 1:, i] / U[..., i:i + 1, i]
        U[..., i + 1:, :] -= L[..., i + 1:, i:i + 1] * U[..., i:i + 1, :]
    return L, np.triu(U)[..., :k, :]


def packed(A):
    L, U = factors(A)
    result = np.tril(L, -1)
    if A.shape[-1] > result.shape[-1]:
        result = np.concatenate([result, np.zeros((*A.shape[:-1], A.shape[-1] - result.shape[-1]))], -1)
    result[..., :U.shape[-2], :] += U
    return result


def reflected(A, tau, C, first):
    """The reflectors applied to C, from the last one on, or from the first."""
    k = tau.shape[-1]
    v = np.tril(A, -1)[..., :k] + np.eye(A.shape[-2], k)
    for i in range(k) if first else reversed(range(k)):
        C = C - tau[..., i, None, None] * v[..., i:i + 1] @ (swapped(v[..., i:i + 1]) @ C)
    return C


def exponential(A):
    small, result, term = A / 1024, np.eye(A.shape[-1]), np.eye(A.shape[-1])
    for i in range(1, 12):
        term = term @ small / i
        result = result + term
    return np.linalg.matrix_power(result, 1024) + np.zeros_like(A)


def np_svd(A):
    return np.linalg.svd(A, full_matrices=False)


def np_norm(order):
    return lambda x: np.linalg.norm(x, order, axis=(-2, -1))


PAIRS = [((3, 3), (3, 2)), ((2, 2, 2), (2, 3)), ((2, 2), (3, 2, 1)), ((0, 0), (0, 2))]
LINALG = [
    record("linalg.inv", SQUARE, lambda m, A: m.linalg.inv(A), np.linalg.inv),
    record("linalg.det", SQUARE, lambda m, A: m.linalg.det(A), np.linalg.det),
    record("linalg.slogdet", SQUARE, lambda m, A: m.linalg.slogdet(A).logabsdet, lambda A: np.linalg.slogdet(A)[1]),
    record("logdet", SQUARE, lambda m, A: m.logdet(A), lambda A: np.linalg.slogdet(A)[1], positive),
    record("linalg.solve", [*PAIRS, ((3, 3), (3,)), ((2, 2, 2), (2, 2))], lambda m, A, B: m.linalg.solve(A, B),
           solution),
    record("linalg.solve_left", [((3, 3), (2, 3)), ((2, 2, 2), (3, 2))],
           lambda m, A, B: m.linalg.solve(A, B, left=False), lambda A, B: B @ np.linalg.inv(A)),
    *[record(f"linalg.solve_triangular_{up:d}{unit:d}", PAIRS,
             lambda m, A, B, up=up, unit=unit: m.linalg.solve_triangular(A, B, upper=up, unitriangular=unit),
             lambda A, B, up=up, unit=unit: np.linalg.solve(triangle(A, up, unit), B))
      for up in (False, True) for unit in (False, True)],
    record("linalg.solve_triangular_left", [((3, 3), (2, 3))],
           lambda m, A, B: m.linalg.solve_triangular(A, B, upper=True, left=False),
           lambda A, B: B @ np.linalg.inv(np.triu(A))),
    record("linalg.cholesky", SQUARE, lambda m, A: m.linalg.cholesky(A), np.linalg.cholesky, positive),
    record("linalg.cholesky_upper", SQUARE[:2], lambda m, A: m.linalg.cholesky(A, upper=True),
           lambda A: swapped(np.linalg.cholesky(A)), positive),
    record("cholesky_solve", PAIRS, lambda m, L, B: m.cholesky_solve(B, L),
           lambda L, B: np.linalg.solve(L @ swapped(L), B), lower),
    record("cholesky_inverse", SQUARE[:3], lambda m, U: m.cholesky_inverse(U, True),
           lambda U: np.linalg.inv(swapped(U) @ U), upper),
    record("linalg.qr", SQUARE[:3] + TALL + WIDE, lambda m, A: absolute(m.linalg.qr(A)),
           lambda A: absolute(np.linalg.qr(A))),
    record("linalg.qr_complete", SQUARE[:2] + WIDE, lambda m, A: absolute(m.linalg.qr(A, mode="complete")),
           lambda A: absolute(np.linalg.qr(A, "complete"))),
    record("linalg.householder_product", [((3, 2), (2,)), ((2, 3, 3), (2, 2))],
           lambda m, A, tau: m.linalg.householder_product(A, tau),
           lambda A, tau: reflected(A, tau, np.eye(*A.shape[-2:]), False), plain),
    record("ormqr", [((3, 2), (2,), (3, 2))], lambda m, A, tau, C: m.ormqr(A, tau, C, True, True),
           lambda A, tau, C: reflected(A, tau, C, True), plain, layouts=False),
    record("linalg.lu_factor", SQUARE[:3] + TALL + WIDE, lambda m, A: m.linalg.lu_factor(A).LU, packed, layouts=False),
    record("linalg.lu", SQUARE[:3] + TALL[:1] + WIDE[:1], lambda m, A: tuple(m.linalg.lu(A))[1:], factors,
           layouts=False),
    record("linalg.lu_solve", PAIRS[:3], lambda m, A, B: m.linalg.lu_solve(*m.linalg.lu_factor(A), B), np.linalg.solve),
    record("linalg.lu_solve_adjoint", PAIRS[:1],
           lambda m, A, B: m.linalg.lu_solve(*m.linalg.lu_factor(A), B, adjoint=True),
           lambda A, B: np.linalg.solve(swapped(A), B)),
    record("linalg.eigh", SQUARE[:4], lambda m, A: absolute(m.linalg.eigh(A)), lambda A: absolute(np.linalg.eigh(A)),
           different),
    record("linalg.eigvalsh", SQUARE, lambda m, A: m.linalg.eigvalsh(A), np.linalg.eigvalsh, different),
    record("linalg.svd", SQUARE[:3] + TALL + WIDE, lambda m, A: absolute(m.linalg.svd(A, full_matrices=False)),
           lambda A: absolute(np_svd(A)), distinct),
    record("linalg.svd_full", TALL[:1] + WIDE[:1], lambda m, A: m.linalg.svd(A).S, lambda A: np_svd(A)[1], distinct),
    record("linalg.svdvals", SQUARE[:3] + TALL + WIDE, lambda m, A: m.linalg.svdvals(A), lambda A: np_svd(A)[1],
           distinct),
    record("linalg.pinv", SQUARE[:3] + TALL + WIDE, lambda m, A: m.linalg.pinv(A), np.linalg.pinv),
    record("linalg.pinv_hermitian", SQUARE[:2], lambda m, A: m.linalg.pinv(A, hermitian=True), np.linalg.pinv,
           positive),
    record("linalg.lstsq", [((4, 2), (4, 3)), ((2, 2, 3), (2, 2, 1))], lambda m, A, B: m.linalg.lstsq(A, B).solution,
           lambda A, B: np.linalg.pinv(A) @ B),
    record("linalg.matrix_exp", SQUARE, lambda m, A: m.linalg.matrix_exp(
        A if str(A.dtype)[6:] in DTYPES else A.float()), exponential),
    record("linalg.matrix_power", SQUARE, lambda m, A: m.linalg.matrix_power(A, -2),
           lambda A: np.linalg.matrix_power(A, -2)),
    record("linalg.matrix_power_3", SQUARE, lambda m, A: m.linalg.matrix_power(A, 3),
           lambda A: np.linalg.matrix_power(A, 3)),
    record("linalg.multi_dot", [((3,), (3, 2), (2, 4), (4,)), ((2, 3), (3, 1), (1, 4))],
           lambda m, *parts: m.linalg.multi_dot(parts), lambda *parts: np.linalg.multi_dot(parts), plain),
    record("linalg.vecdot", [((2, 3), (3,)), ((0, 3), (0, 3))], lambda m, x, y: m.linalg.vecdot(x, y),
           lambda x, y: (x * y).sum(-1), plain),
    record("linalg.tensorinv", [(4, 4)], lambda m, A: m.linalg.tensorinv(A.reshape(2, 2, 4)),
           lambda A: np.linalg.tensorinv(A.reshape(2, 2, 4))),
    record("linalg.tensorsolve", [((4, 4), (2, 2))], lambda m, A, B: m.linalg.tensorsolve(A.reshape(2, 2, 4), B),
           lambda A, B: np.linalg.tensorsolve(A.reshape(2, 2, 4), B)),
    record("linalg.vander", [(3,), (2, 2)], lambda m, x: m.linalg.vander(x, N=4),
           lambda x: x[..., None] ** np.arange(4), plain),
    record("linalg.cross", [((2, 3), (1, 3))], lambda m, x, y: m.linalg.cross(x, y), np.cross, plain),
    *[record(f"linalg.matrix_norm_{order}", [(3, 3), (2, 2, 3)],
             lambda m, A, order=order: m.linalg.matrix_norm(A, order), np_norm(order), distinct)
      for order in ("fro", "nuc", 2, -2, 1, -1, np.inf, -np.inf)],
    record("linalg.cond", [(3, 3)], lambda m, A: m.linalg.cond(A), np.linalg.cond),
    record("linalg.cond_nuc", [(3, 3)], lambda m, A: m.linalg.cond(A, "nuc"), lambda A: np.linalg.cond(A, "nuc"))]
