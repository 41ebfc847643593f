"""Complex matrices: eigenvalues of general matrices, equations, determinants; values, first and second gradients."""

import numpy as np
import pytest

import fastgrad as fg

RANDOM = np.random.default_rng(0)
REAL, SIDE = RANDOM.normal(size=(2, 4, 4)), RANDOM.normal(size=(2, 4, 3)) + 1j * RANDOM.normal(size=(2, 4, 3))
COMPLEX = REAL + 1j * RANDOM.normal(size=REAL.shape)
HERMITIAN = COMPLEX + COMPLEX.conj().transpose(0, 2, 1)
CASES = {
    "inv": (lambda m, a: [m.linalg.inv(a)], COMPLEX), "det": (lambda m, a: [m.linalg.det(a)], COMPLEX),
    "matrix_power": (lambda m, a: [m.linalg.matrix_power(a, -2)], COMPLEX),
    "eigvals": (lambda m, a: [m.linalg.eigvals(a)], COMPLEX),
    "eigvals_real": (lambda m, a: [m.linalg.eigvals(a)], REAL),
    "eig": (lambda m, a: [m.linalg.eig(a)[0], m.linalg.eig(a)[1].abs()], COMPLEX),
    "eig_real": (lambda m, a: [m.linalg.eig(a)[0], m.linalg.eig(a)[1].abs()], REAL),
    "solve": (lambda m, a, b: [m.linalg.solve(a, b)], COMPLEX, SIDE),
    "solve_left": (lambda m, a, b: [m.linalg.solve(a, b.mT, left=False)], COMPLEX, SIDE),
    "eigvalsh": (lambda m, a: [m.linalg.eigvalsh(a)], HERMITIAN),
    "eigh": (lambda m, a: [m.linalg.eigh(a)[0], m.linalg.eigh(a)[1].abs()], HERMITIAN)}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(torch, name):
    call, *data = CASES[name]
    found = []
    for m in (fg, torch):
        leaves = [m.tensor(x, requires_grad=True) for x in data]
        results = call(m, *leaves)
        weights = [m.linspace(1, 2, r.numel(), dtype=m.float64).reshape(r.shape) for r in results]
        loss = sum((r.abs() ** 2 * w).sum() for r, w in zip(results, weights))
        first = m.autograd.grad(loss, leaves, create_graph=True)
        second = m.autograd.grad(sum((g.abs() ** 2).sum() for g in first), leaves)
        found.append([x.detach().resolve_conj().numpy() for x in (*results, *first, *second)])
    for ours, theirs in zip(*found):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9 * np.abs(theirs).max())


def test_results_and_errors(torch):
    found = []
    for m in (fg, torch):
        texts = []
        for call in (lambda m=m: m.linalg.inv(m.ones(2, 2, dtype=m.complex64)), lambda m=m: m.linalg.eig(m.ones(2, 3)),
                     lambda m=m: m.linalg.eig(m.ones(2, 2, dtype=m.int64)), lambda m=m: m.linalg.eigvals(m.ones(3)),
                     lambda m=m: m.linalg.eig(m.tensor(REAL, requires_grad=True))[1].real.sum().backward()):
            with pytest.raises(RuntimeError) as error:
                call()
            texts.append(str(error.value))
        values = m.linalg.eig(m.eye(2))
        empty = m.linalg.eigvals(m.zeros(2, 0, 0, dtype=m.float64))
        found.append((texts, [v.tolist() for v in values], str(empty.dtype), tuple(empty.shape), repr(values)))
    assert found[0] == found[1]


def test_what_takes_real_matrices_only():
    for name in ("cholesky", "qr", "svd", "pinv", "lu_factor", "slogdet", "matrix_exp"):
        with pytest.raises((NotImplementedError, RuntimeError), match="complex|float, double"):
            getattr(fg.linalg, name)(fg.tensor(COMPLEX))
