"""Transforms, constraints and their registry against torch."""
# ruff: noqa: B023 (the functions made in loops are called at once)

import numpy as np
import pytest

import fastgrad as fg

RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(2, 3))
MATRIX = RANDOM.normal(size=(2, 3, 3))

TRANSFORMS = {
    "exp": (lambda m, T: T.ExpTransform(), X), "sigmoid": (lambda m, T: T.SigmoidTransform(), X * 3),
    "softplus": (lambda m, T: T.SoftplusTransform(), X), "tanh": (lambda m, T: T.TanhTransform(), X),
    "abs": (lambda m, T: T.AbsTransform(), X),
    "power": (lambda m, T: T.PowerTransform(m.tensor([2.0, 0.5, -1.0])), np.abs(X)),
    "affine": (lambda m, T: T.AffineTransform(1.0, -2.0), X),
    "affine_event": (lambda m, T: T.AffineTransform(m.tensor([1.0, 2, 3]), m.tensor([0.5, -2, 1]), event_dim=1), X),
    "softmax": (lambda m, T: T.SoftmaxTransform(), X), "sticks": (lambda m, T: T.StickBreakingTransform(), X),
    "lower_cholesky": (lambda m, T: T.LowerCholeskyTransform(), MATRIX),
    "positive_definite": (lambda m, T: T.PositiveDefiniteTransform(), MATRIX),
    "corr_cholesky": (lambda m, T: T.CorrCholeskyTransform(), RANDOM.normal(size=(2, 6))),
    "reshape": (lambda m, T: T.ReshapeTransform((3,), (3, 1)), X),
    "independent": (lambda m, T: T.IndependentTransform(T.ExpTransform(), 1), X),
    "compose": (lambda m, T: T.ComposeTransform([T.AffineTransform(0.5, 2.0), T.StickBreakingTransform()]), X),
    "compose_inverse": (lambda m, T: T.ComposeTransform([T.SigmoidTransform(), T.AffineTransform(1.0, 3.0)]).inv,
                        np.abs(np.tanh(X)) + 1.01),
    "identity": (lambda m, T: T.identity_transform, X),
    "cat": (lambda m, T: T.CatTransform([T.ExpTransform(), T.TanhTransform()], dim=1, lengths=[1, 2]), X),
    "stack": (lambda m, T: T.StackTransform(
        [T.ExpTransform(), T.AffineTransform(1.0, 2.0), T.identity_transform], dim=1), X),
    "cdf": (lambda m, T: T.CumulativeDistributionTransform(m.distributions.Normal(0.5, m.tensor(2.0).double())), X),
    "log": (lambda m, T: T.ExpTransform().inv, np.abs(X))}


def attempt(call):
    try:
        return call()
    except (NotImplementedError, ValueError) as error:
        return type(error).__name__


def close(ours, theirs):
    if not hasattr(theirs, "numpy"):
        assert ours == theirs
        return
    assert tuple(ours.shape) == tuple(theirs.shape) and str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("cache", [0, 1])
def test_transform(torch, name, cache):
    make, data = TRANSFORMS[name]
    results = []
    for m in (fg, torch):
        T = m.distributions.transforms
        t = make(m, T).with_cache(cache)
        x = m.tensor(data, requires_grad=True)
        y = t(x)
        back = t.inv(y)
        slope = attempt(lambda: t.log_abs_det_jacobian(x, y))
        gradient, = m.autograd.grad(y.sum() + (slope.sum() if hasattr(slope, "sum") else 0), x)
        results.append([y, back, slope, gradient, attempt(lambda: tuple(t.forward_shape(x.shape))),
                        attempt(lambda: tuple(t.inverse_shape(y.shape))), t.bijective, attempt(lambda: t.sign),
                        attempt(lambda: t.event_dim), attempt(lambda: t.domain.event_dim),
                        attempt(lambda: t.codomain.event_dim), attempt(lambda: bool(t.codomain.check(y).all())),
                        repr(t).split("tensor")[0], repr(t.inv).split("tensor")[0], t == make(m, T).with_cache(cache),
                        (t.inv(y) is x) if cache and name not in ("compose", "compose_inverse", "identity") else None,
                        t.inv.inv is t])
    for ours, theirs in zip(*results):
        close(ours, theirs)


CONSTRAINTS = {
    "boolean": ("boolean", [0.0, 1, 0.5]), "real": ("real", [0.0, np.nan]), "positive": ("positive", [0.0, 1, -1]),
    "nonnegative": ("nonnegative", [0.0, 1, -1]), "unit": ("unit_interval", [0.0, 1, 1.5]),
    "whole": ("nonnegative_integer", [0.0, 1, 1.5, -1]), "counting": ("positive_integer", [0.0, 1, 2.5]),
    "simplex": ("simplex", [[0.5, 0.5], [0.2, 0.7]]), "one_hot": ("one_hot", [[0.0, 1], [1, 1]]),
    "vector": ("real_vector", [[0.0, 1], [np.nan, 1]]),
    "lower": ("lower_triangular", [[[1.0, 0], [2, -3]], [[1, 1], [0, 1]]]),
    "cholesky": ("lower_cholesky", [[[1.0, 0], [2, 3]], [[1, 0], [2, -3]]]), "square": ("square", [[1.0, 2], [3, 4]]),
    "corr": ("corr_cholesky", [[[1.0, 0], [0.6, 0.8]], [[1, 0], [0.6, 0.7]]]),
    "symmetric": ("symmetric", [[[1.0, 2], [2, 1]], [[1, 2], [3, 1]]]),
    "definite": ("positive_definite", [[[2.0, 1], [1, 2]], [[1, 2], [2, 1]]]),
    "semidefinite": ("positive_semidefinite", [[[1.0, 1], [1, 1]], [[1, 2], [2, 1]]]),
    "integers": (lambda C: C.integer_interval(1, 3), [0.0, 1, 2.5, 3]),
    "between": (lambda C: C.interval(-1, 2), [-2.0, -1, 2]), "above": (lambda C: C.greater_than(1), [1.0, 2]),
    "half_open": (lambda C: C.half_open_interval(-1, 2), [-1.0, 2]),
    "from": (lambda C: C.greater_than_eq(1), [1.0, 0]), "below": (lambda C: C.less_than(1), [1.0, 0]),
    "multinomial": (lambda C: C.multinomial(3), [[1.0, 2], [3, 1]]),
    "independent": (lambda C: C.independent(C.positive, 1), [[1.0, 2], [3, -1]]),
    "mixture": (lambda C: C.MixtureSameFamilyConstraint(C.positive), [1.0, -1]),
    "cat": (lambda C: C.cat([C.positive, C.real], 0, [1, 2]), [1.0, -1, -1]),
    "stack": (lambda C: C.stack([C.positive, C.real], 0), [-1.0, -1])}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraint(torch, name):
    make, data = CONSTRAINTS[name]
    results = []
    for m in (fg, torch):
        C = m.distributions.constraints
        c = getattr(C, make) if isinstance(make, str) else make(C)
        registered = []
        for registry in (m.distributions.biject_to, m.distributions.transform_to):
            t = attempt(lambda: registry(c))
            registered.append(t if isinstance(t, str) else repr(t).split(" at ")[0])
        results.append([c.check(m.tensor(data, dtype=m.float64)).tolist(), c.event_dim, c.is_discrete,
                        "" if name in ("cat", "stack") else repr(c), registered])
    assert results[0] == results[1]


def test_dependent_constraints():
    C = fg.distributions.constraints
    assert C.is_dependent(C.dependent) and not C.is_dependent(C.real)
    with pytest.raises(ValueError, match="Cannot determine validity of dependent constraint"):
        C.dependent.check(fg.ones(1))
    with pytest.raises(NotImplementedError, match=".event_dim cannot be determined statically"):
        C.dependent.event_dim
    assert C.dependent(event_dim=2).event_dim == 2 and C.is_dependent(fg.distributions.Pareto.support)
    assert fg.distributions.Pareto.support.event_dim == 0
    with pytest.raises(NotImplementedError):
        C.Constraint().check(1)
    with pytest.raises(AssertionError, match="base_constraint must be a Constraint"):
        C.independent(3, 1)


def test_what_is_refused():
    T = fg.distributions.transforms
    with pytest.raises(ValueError, match="cache_size must be 0 or 1"):
        T.ExpTransform(cache_size=2)
    with pytest.raises(ValueError, match="different numbers of elements"):
        T.ReshapeTransform((2,), (3,))
    with pytest.raises(ValueError, match="Too few dimensions on input"):
        T.IndependentTransform(T.ExpTransform(), 2)(fg.ones(2))
    with pytest.raises(ValueError, match="not a flattened lower-diagonal number"):
        T.CorrCholeskyTransform().forward_shape((4,))
    with pytest.raises(AssertionError, match="must equal len\\(transforms\\) 2"):
        T.StackTransform([T.ExpTransform(), T.ExpTransform()])(fg.ones(3))
    with pytest.raises(AssertionError, match="All elements of tseq must be Transform instances"):
        T.CatTransform([1])
    with pytest.raises(NotImplementedError):
        T.Transform()(1)
    with pytest.raises(TypeError, match="Expected constraint to be either a Constraint subclass or instance"):
        fg.distributions.biject_to.register(3, 4)


def test_triangles_of_matrices(torch):
    for m in (fg, torch):
        U = m.distributions.utils
        for diag in (0, -1, -2):
            vec = U.tril_matrix_to_vec(m.tensor(MATRIX), diag)
            matrix = U.vec_to_tril_matrix(vec, diag)
            np.testing.assert_array_equal(matrix.numpy(), np.tril(MATRIX, diag))
        with pytest.raises(ValueError, match="diag \\(3\\) provided is outside \\[-3, 2\\]"):
            U.tril_matrix_to_vec(m.tensor(MATRIX), 3)
        with pytest.raises(ValueError, match="cannot be expressed as the lower triangular part"):
            U.vec_to_tril_matrix(m.ones(5))
