"""Factorisations of matrices that take more than one tile or panel, on every device, against NumPy; their errors too.

The records of op_linalg.py are small: one block of a CUDA kernel each.
"""
import numpy as np
import pytest

import fastgrad as fg

RANDOM = np.random.default_rng(0)
BATCHES = [(), (3,)]
TOLERANCE = {"float32": 2e-3, "float64": 1e-9}


def given(array, dtype, device):
    return fg.tensor(array, dtype=getattr(fg, dtype)).to(device)


def close(found, expected, dtype):
    expected = np.asarray(expected)
    found = found.detach().cpu().numpy()
    assert found.shape == expected.shape
    largest = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * largest)


def restored(LU, pivots):
    P, L, U = fg.lu_unpack(LU, pivots)
    return P @ L @ U


both = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.mark.emulate
@both
@pytest.mark.parametrize("shape", [(1, 1), (32, 32), (33, 33), (70, 70), (100, 40), (40, 100), (200, 7), (5, 90),
                                   (129, 65), (600, 9), (0, 3), (3, 0)])
def test_lu(shape, dtype, device):
    for batch in BATCHES:
        A = RANDOM.standard_normal((*batch, *shape))
        LU, pivots, info = fg.linalg.lu_factor_ex(given(A, dtype, device))
        assert not info.any() and LU.device.type == pivots.device.type == device
        close(restored(LU, pivots), A, dtype)
        if LU.numel():
            assert LU.tril(-1).abs().max().item() <= 1.00001  # the largest of each column is the pivot


@both
@pytest.mark.parametrize("n", [1, 7, 32, 33, 64, 65, 130])
def test_equations(n, dtype, device):
    for batch in BATCHES:
        A = RANDOM.standard_normal((*batch, n, n)) + 3 * np.eye(n) * np.sqrt(n)
        for k in (1, 65, 0):
            B = RANDOM.standard_normal((*batch, n, k))
            close(fg.linalg.solve(given(A, dtype, device), given(B, dtype, device)), np.linalg.solve(A, B), dtype)
        close(fg.linalg.inv(given(A, dtype, device)), np.linalg.inv(A), dtype)
        sign, logarithm = np.linalg.slogdet(A)
        found = fg.linalg.slogdet(given(A, dtype, device))
        close(found.sign, sign, dtype)
        close(found.logabsdet, logarithm, dtype)


@both
@pytest.mark.parametrize("n", [1, 31, 33, 100])
def test_triangles(n, dtype, device):
    for batch in BATCHES:
        A = RANDOM.standard_normal((*batch, n, n)) / np.sqrt(n) + 2 * np.eye(n)
        B = RANDOM.standard_normal((*batch, n, 70))
        for upper in (False, True):
            for unit in (False, True):
                half = np.triu(A) if upper else np.tril(A)
                if unit:
                    half = np.where(np.eye(n, dtype=bool), 1.0, half)
                for turned in (False, True):
                    a = given(A, dtype, device)
                    expected = np.linalg.solve(half.swapaxes(-1, -2) if turned else half, B)
                    if turned:
                        a = a.mT
                    found = fg.linalg.solve_triangular(a, given(B, dtype, device), upper=upper != turned,
                                                       unitriangular=unit)
                    close(found, expected, dtype)


@pytest.mark.emulate
@both
@pytest.mark.parametrize("n", [1, 5, 32, 33, 64, 100, 250])
def test_cholesky(n, dtype, device):
    for batch in BATCHES:
        A = RANDOM.standard_normal((*batch, n, n))
        A = A @ A.swapaxes(-1, -2) + n * np.eye(n)
        expected = np.linalg.cholesky(A)
        close(fg.linalg.cholesky(given(np.tril(A), dtype, device)), expected, dtype)  # one triangle is read
        found = fg.linalg.cholesky(given(A, dtype, device), upper=True)
        close(found, expected.swapaxes(-1, -2), dtype)


def test_gradients_of_large_matrices(device):
    """Against those on the CPU."""
    A = RANDOM.standard_normal((2, 50, 50)) + 12 * np.eye(50)
    B = RANDOM.standard_normal((2, 50, 40))

    def gradients(where):
        a, b = (fg.tensor(x).to(where).requires_grad_() for x in (A, B))
        x = fg.linalg.solve(a, b)
        L = fg.linalg.cholesky(a @ a.mT)
        y = x.sum() + (L * L.detach().cos()).sum() + fg.logdet(a @ a.mT).sum()
        return fg.autograd.grad(y, [a, b])

    for found, expected in zip(gradients(device), gradients("cpu")):
        close(found, expected.numpy(), "float64")


def test_factorisations_of_large_matrices(device):
    """cuSOLVER's where it is there: from 1024 rows on, in the emulator from 256."""
    n = 260
    A = RANDOM.standard_normal((n, n)) + 40 * np.eye(n)
    A[[0, 5]] = A[[5, 0]]
    a = fg.tensor(A).to(device)
    b = RANDOM.standard_normal((n, 2))
    close(restored(*fg.linalg.lu_factor(a)), A, "float64")
    close(fg.linalg.solve(a, fg.tensor(b).to(device)), np.linalg.solve(A, b), "float64")
    P = A @ A.T + n * np.eye(n)
    L = fg.linalg.cholesky(fg.tensor(np.tril(P)).to(device))
    close(L @ L.mT, P, "float64")
    assert not L.triu(1).any()


def test_singular_matrices(device):
    for n in (3, 50):
        A = RANDOM.standard_normal((3, n, n))
        A[1, :, 2] = 0  # the third pivot
        a = fg.tensor(A).to(device)
        LU, pivots, info = fg.linalg.lu_factor_ex(a)
        assert info.tolist() == [0, 3, 0]
        close(restored(LU, pivots), A, "float64")
        assert fg.linalg.det(a)[1].item() == 0 and fg.linalg.slogdet(a).logabsdet[1].item() == -np.inf
        X, info = fg.linalg.inv_ex(a)
        assert info.tolist() == [0, 3, 0] and not X[1].isfinite().all() and X[2].isfinite().all()
        with pytest.raises(fg.linalg.LinAlgError, match="Batch element 1.*diagonal element 3 is zero"):
            fg.linalg.inv(a)
        with pytest.raises(fg.linalg.LinAlgError, match="the input matrix is singular"):
            fg.linalg.solve(a, a)
        with pytest.raises(RuntimeError, match=r"U\[3,3\] is zero"):
            fg.linalg.lu_factor(a)


def test_impossible_pivots(device):
    A = fg.eye(3, device=device)
    for pivots in ([0, 1, 2], [1, 2, 9], [-(2**31), 2, 2]):
        pivots = fg.tensor(pivots, dtype=fg.int32, device=device)
        for call in (lambda: fg.lu_unpack(A, pivots), lambda: fg.linalg.lu_solve(A, pivots, A)):
            with pytest.raises(RuntimeError, match="must be between 1 and"):
                call()
    with pytest.raises(RuntimeError, match="4 pivots of 3 rows"):
        fg.lu_unpack(A, fg.ones(4, dtype=fg.int32, device=device))


def test_indefinite_matrices(device):
    for n, order in ((3, 2), (80, 40)):
        A = np.stack([np.eye(n), np.eye(n), np.eye(n)])
        A[1, order - 1, order - 1] = -1
        A[2, order - 1, order - 1] = np.nan
        a = fg.tensor(A).to(device)
        assert fg.linalg.cholesky_ex(a).info.tolist() == [0, order, order]
        with pytest.raises(fg.linalg.LinAlgError, match=f"Batch element 1.*leading minor of order {order} is not"):
            fg.linalg.cholesky(a)


def test_not_a_number_stays(device):
    A = RANDOM.standard_normal((40, 40))
    A[3, 5] = np.nan
    a = fg.tensor(A).to(device)
    assert fg.linalg.lu_factor(a).LU.isnan().any() and fg.linalg.det(a).isnan().item()
    assert fg.linalg.solve(a, a).isnan().any()


def test_infinite_solutions(device):
    """Division by a zero on the diagonal, as the CPU has it."""
    A = fg.tensor([[1.0, 2.0], [0.0, 0.0]]).to(device)
    x = fg.linalg.solve_triangular(A, fg.ones(2, 1).to(device), upper=True).flatten()
    assert x[1].item() == np.inf and x[0].item() == -np.inf


@pytest.mark.emulate
@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (9, 9)])
def test_orthogonal_factors(shape, device):
    m, n = shape
    for batch in BATCHES:
        A = RANDOM.standard_normal((*batch, *shape))
        a = fg.tensor(A).to(device)
        for mode in ("reduced", "complete", "r"):
            Q, R = fg.linalg.qr(a, mode)
            if mode == "r":
                assert Q.shape == (0,)
                close(R.abs(), abs(np.linalg.qr(A).R), "float64")
                continue
            k = m if mode == "complete" else min(m, n)
            close(Q @ R, A, "float64")
            close(Q.mT @ Q, np.broadcast_to(np.eye(k), (*batch, k, k)), "float64")
            assert not R.tril(-1).any()
        packed, tau = fg.geqrf(a)
        if m >= n:
            close(fg.linalg.householder_product(packed, tau), fg.linalg.qr(a).Q.cpu().numpy(), "float64")
        for full in (False, True):
            U, S, Vh = fg.linalg.svd(a, full_matrices=full)
            k = min(m, n)
            close(S, np.linalg.svd(A, compute_uv=False), "float64")
            close(U[..., :k] * S.unsqueeze(-2) @ Vh[..., :k, :], A, "float64")
            for part in (U.mT @ U, Vh @ Vh.mT):
                close(part, np.broadcast_to(np.eye(part.shape[-1]), part.shape), "float64")
        close(fg.linalg.pinv(a), np.linalg.pinv(A), "float64")


@pytest.mark.emulate
@both
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (20, 7), (32, 32), (33, 2), (2, 70), (70, 70)])
def test_batches_of_small_matrices(shape, dtype, device):
    """Each of them is what it is alone, up to the order of sums, whatever the others are; so is what LAPACK packs."""
    m, n = shape
    A = RANDOM.standard_normal((4, *shape))
    A[1, :, 0] = 0  # nothing to reflect
    A[2] *= 1e30 if dtype == "float32" else 1e200
    A[3, -1] = A[3, 0]
    a = given(A, dtype, device)
    packed, tau = fg.geqrf(a)
    scale = np.abs(A).max((1, 2), keepdims=True)
    scale[scale == 0] = 1
    for i in range(4):
        alone, factors = (t.numpy() for t in fg.geqrf(given(A[i], dtype, "cpu")))
        close(packed[i] / scale[i].item(), alone / scale[i], dtype)
        if i != 3:  # two equal rows leave a last column of roundings only
            close(tau[i], factors, dtype)
    for mode in ("reduced", "complete"):
        Q, R = fg.linalg.qr(a, mode)
        close(Q @ R / fg.tensor(scale, dtype=Q.dtype, device=device), A / scale, dtype)
        close(Q.mT @ Q, np.broadcast_to(np.eye(Q.shape[-1]), (4, Q.shape[-1], Q.shape[-1])), dtype)
    A[2:] = RANDOM.standard_normal((2, *shape))
    a = given(A, dtype, device)
    for full in (False, True):
        U, S, Vh = fg.linalg.svd(a, full_matrices=full)
        k = min(m, n)
        close(S, np.linalg.svd(A, compute_uv=False), dtype)
        close(fg.linalg.svdvals(a), np.linalg.svd(A, compute_uv=False), dtype)
        close(U[..., :k] * S.unsqueeze(-2) @ Vh[..., :k, :], A, dtype)
        for part in (U.mT @ U, Vh @ Vh.mT):
            close(part, np.broadcast_to(np.eye(part.shape[-1]), part.shape), dtype)


@pytest.mark.emulate
def test_batches_with_values_that_are_no_numbers(device):
    A = RANDOM.standard_normal((3, 6, 4))
    A[1, 5, 0] = np.nan
    Q, R = fg.linalg.qr(given(A, "float64", device))
    assert R[1, 0].isnan().all() and Q[1].isnan().any() and not R[[0, 2]].isnan().any()
    with pytest.raises(fg.linalg.LinAlgError):
        fg.linalg.svdvals(given(A, "float64", device))


@pytest.mark.emulate
@both
@pytest.mark.parametrize("shape", [(2, 2), (6, 4), (4, 6), (20, 7), (32, 32)])
def test_batches_of_which_some_do_not_converge(shape, dtype, device, monkeypatch):
    """Matrices that the batched call gives up are decomposed one by one. Only the emulator can be told to."""
    monkeypatch.setenv("FASTGRAD_EMU_FAIL", "gesvdjBatched_info:1")
    A = RANDOM.standard_normal((5, *shape))
    a = given(A, dtype, device)
    k = min(shape)
    for full in (False, True):
        U, S, Vh = fg.linalg.svd(a, full_matrices=full)
        close(S, np.linalg.svd(A, compute_uv=False), dtype)
        close(U[..., :k] * S.unsqueeze(-2) @ Vh[..., :k, :], A, dtype)
        for part in (U.mT @ U, Vh @ Vh.mT):
            close(part, np.broadcast_to(np.eye(part.shape[-1]), part.shape), dtype)
    close(fg.linalg.svdvals(a), np.linalg.svd(A, compute_uv=False), dtype)
    close(a, A, dtype)
    A[3, 0, 0] = np.nan
    with pytest.raises(fg.linalg.LinAlgError):
        fg.linalg.svdvals(given(A, dtype, device))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_spectra(dtype, device):
    for batch in BATCHES:
        A = RANDOM.standard_normal((*batch, 8, 8))
        if dtype == "complex128":
            A = A + 1j * RANDOM.standard_normal(A.shape)
        a = fg.tensor(A).to(device)
        L, V = fg.linalg.eig(a)
        assert L.dtype is V.dtype is fg.complex128 and L.device.type == device
        close(a.to(fg.complex128) @ V - V * L.unsqueeze(-2), np.zeros(A.shape), "float64")
        close(V.abs().square().sum(-2), np.ones((*batch, 8)), "float64")
        key = lambda x: sorted(x, key=lambda z: (round(z.real, 6), z.imag))
        ours = fg.linalg.eigvals(a).cpu().numpy().reshape(-1, 8)
        for found, expected in zip(ours, np.linalg.eigvals(A).reshape(-1, 8)):
            np.testing.assert_allclose(key(found), key(expected), atol=1e-9)
        for UPLO in ("L", "U"):
            full = (np.tril(A) if UPLO == "L" else np.triu(A)) + (np.tril(A, -1) if UPLO == "L" else np.triu(A, 1)
                                                                 ).swapaxes(-1, -2).conj()
            full[..., range(8), range(8)] = full[..., range(8), range(8)].real
            L, V = fg.linalg.eigh(a, UPLO)
            close(L, np.linalg.eigvalsh(full), "float64")
            close(fg.linalg.eigvalsh(a, UPLO), np.linalg.eigvalsh(full), "float64")
            close(V * L.unsqueeze(-2) @ V.mH, full, "float64")


def test_complex_equations(device):
    for n in (1, 4, 20):
        for batch in BATCHES:
            A, B = (RANDOM.standard_normal((2, *batch, n, k)) for k in (n, 3))
            A, B = A[0] + 1j * A[1], B[0] + 1j * B[1]
            a, b = fg.tensor(A).to(device), fg.tensor(B).to(device)
            close(fg.linalg.solve(a, b), np.linalg.solve(A, B), "float64")
            close(fg.linalg.inv(a), np.linalg.inv(A), "float64")
            close(fg.linalg.det(a), np.linalg.det(A), "float64")
    singular = fg.tensor([[1.0 + 0j, 2], [2, 4]]).to(device)
    assert fg.linalg.inv_ex(singular).info.item() == 2 and fg.linalg.det(singular).abs().item() == 0
    with pytest.raises(fg.linalg.LinAlgError):
        fg.linalg.inv(singular)
