"""Transforms of functions that write in place, and of those whose gradients use results: values as torch's."""
import numpy as np
import pytest

import fastgrad as fg
from test_vmap import compare

X = np.array([0.5, -0.3, 1.2, 0.7, -0.2, 0.9])


def halves(m, x):
    y = x.clone()
    y[:3].mul_(y[3:])
    return y.exp_()


def through_views(m, x):
    y = x.clone()
    v = y.view(2, 3)
    v[0].mul_(v[1])
    v[1].exp_()
    return y


def chain(m, x):
    y = x.clone()
    for i in range(1, 6):
        y[i] *= y[i - 1]
    return y


def into_new(m, x):
    y = m.zeros(2, 6, dtype=x.dtype)
    y[0] = x
    y[1].add_(x, alpha=2)
    y.diagonal().mul_(x[0])
    return y.sum(0)


def by_index(m, x):
    y = m.zeros(6, dtype=x.dtype)
    y[m.tensor([0, 3])] = x[:2] * x[2:4]
    y[4:].copy_(x[:2] ** 2)
    return y * x


def from_old(m, x):
    y = x.clone()
    y[1:] *= x[:-1]
    return y.add_(x.sin())


def chosen(m, x):
    return x[x > 0] ** 2


WRITES = (halves, through_views, chain, into_new, by_index, from_old, chosen)


@pytest.mark.parametrize("f", WRITES)
def test_directions_and_columns(f, torch):
    for call in (lambda m, x: m.func.jvp(lambda a: f(m, a), (x,), (x + 1,)),
                 lambda m, x: m.func.jacfwd(lambda a: f(m, a))(x),
                 lambda m, x: m.func.jacfwd(m.func.jacfwd(lambda a: f(m, a)))(x),
                 lambda m, x: m.func.jvp(lambda a: m.func.jvp(lambda b: f(m, b), (a,), (a,))[1], (x,), (x + 1,))):
        assert compare(torch, call, X) is None


@pytest.mark.parametrize("f", (into_new, by_index, from_old))
def test_gradient_of_a_direction(f, torch):
    """The old tangent is part of the graph when it is written over."""
    assert compare(torch, lambda m, x: m.func.grad(
        lambda a: m.func.jvp(lambda b: f(m, b), (a,), (x + 1,))[1].sum())(x), X) is None
    assert compare(torch, lambda m, x: m.func.hessian(lambda a: f(m, a).sum())(x), X) is None


def test_columns_of_random_functions_are_refused():
    with pytest.raises(RuntimeError, match="randomness error mode"):
        fg.func.jacfwd(lambda a: a * fg.rand(()))(fg.tensor(X))


def test_gradients_under_a_direction_leave_no_graph():
    x = fg.tensor(X)
    out = fg.func.jvp(lambda a: fg.func.vjp(lambda b: b**3, a)[1](a)[0], (x,), (x,))
    assert not any(t.requires_grad for t in out)


LINALG = {
    "inv": lambda m, a: m.linalg.inv(a), "det": lambda m, a: m.linalg.det(a),
    "slogdet": lambda m, a: m.linalg.slogdet(a)[1], "solve": lambda m, a: m.linalg.solve(a, a @ a),
    "cholesky": lambda m, a: m.linalg.cholesky(a @ a.mT), "qr": lambda m, a: m.linalg.qr(a)[1],
    "svdvals": lambda m, a: m.linalg.svdvals(a), "eigvalsh": lambda m, a: m.linalg.eigvalsh(a + a.mT),
    "pinv": lambda m, a: m.linalg.pinv(a), "lu": lambda m, a: m.linalg.lu(a)[2],
}


@pytest.mark.parametrize("name", LINALG)
def test_second_derivatives_of_linalg(name):
    """Forward over reverse and forward over forward are what reverse over reverse is."""
    def f(a):
        return (LINALG[name](fg, a) ** 2).sum()

    rng = np.random.default_rng(0)
    a, u, v = (fg.tensor(rng.standard_normal((3, 3))) for _ in range(3))
    a = a @ a.mT + 2 * fg.eye(3, dtype=a.dtype)
    want = fg.func.jacrev(fg.func.jacrev(f))(a)
    np.testing.assert_allclose(fg.func.hessian(f)(a).numpy(), want.numpy(), rtol=1e-8, atol=1e-10)
    twice = fg.func.jvp(lambda b: fg.func.jvp(f, (b,), (u,))[1], (a,), (v,))[1]
    np.testing.assert_allclose(float(twice), float(fg.einsum("ij,ijkl,kl", u, want, v)), rtol=1e-8)
