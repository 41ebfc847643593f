"""Reductions over any dimensions of any layout, rows of a few elements, halves, and what is built from reductions."""

import itertools
import math

import numpy as np
import pytest

import fastgrad as fg

NAN = float("nan")
RNG = np.random.default_rng(0)


def over(name, x, dims):
    """The reduction with NumPy in double."""
    if name in ("sum", "mean", "prod", "var"):
        return getattr(x, name)(dims) if name != "var" else x.var(dims, ddof=1)
    if name in ("amax", "amin"):
        return x.max(dims) if name == "amax" else x.min(dims)
    if name == "norm":
        return np.sqrt((x * x).sum(dims))
    if name == "logsumexp":
        return np.log(np.exp(x).sum(dims))
    return np.count_nonzero(x > 0.5, dims)


@pytest.mark.isa
@pytest.mark.parametrize("name", "sum mean prod amax amin var norm logsumexp count_nonzero".split())
def test_any_dims_of_any_layout(name):
    x = RNG.uniform(0.5, 1.5, (3, 5, 4, 6)).astype(np.float32)
    orders = [(0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 3, 1), (1, 0, 3, 2)]
    subsets = [d for n in (1, 2, 3, 4) for d in itertools.combinations(range(4), n)]
    for order, dims in itertools.product(orders, subsets):
        array, t = x.transpose(order), fg.tensor(x).permute(order)
        if name == "count_nonzero":
            found = (t - 0.5).relu().count_nonzero(dims)
        elif name == "norm":
            found = fg.linalg.vector_norm(t, 2, dims)
        else:
            dims = dims[:1] if name == "prod" else dims
            found = t.prod(*dims) if name == "prod" else getattr(t, name)(dims)
        np.testing.assert_allclose(found.numpy(), over(name, array.astype(np.float64), dims), rtol=3e-6)
        if name in ("sum", "amax"):
            kept = getattr(t, name)(dims, True)
            assert kept.shape == tuple(1 if d in dims else n for d, n in enumerate(array.shape))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool", "bfloat16", "float64"])
def test_dims_apart_in_other_dtypes(dtype):
    x = RNG.integers(0, 2 if dtype == "bool" else 9, (4, 3, 5, 2))
    t = fg.tensor(x).to(getattr(fg, dtype))
    for dims in ((0, 2), (1, 3), (0, 3), (0, 2, 3)):
        assert np.array_equal(t.sum(dims).to(fg.int64).numpy(), x.sum(dims))
        assert np.array_equal(t.amax(dims).to(fg.int64).numpy(), x.max(dims))
        assert np.array_equal(t.all(dims).to(fg.int64).numpy(), x.all(dims))
        assert np.array_equal(t.any(dims).to(fg.int64).numpy(), x.any(dims))
        assert t.sum(dims).dtype == (t.dtype if t.dtype.is_floating_point else fg.int64)


def test_dims_apart_without_elements():
    assert fg.ones(2, 3, 0).sum((0, 2)).tolist() == [0, 0, 0]
    assert fg.ones(0, 3, 2).sum((0, 2)).tolist() == [0, 0, 0]
    assert fg.ones(0, 3, 2).mean((0, 2)).isnan().all()
    assert fg.ones(2, 0, 2).sum((0, 2)).shape == (0,)


def test_gradient_over_dims_apart():
    x = fg.tensor(RNG.standard_normal((3, 4, 5)), requires_grad=True)
    assert fg.autograd.gradcheck(lambda t: t.mean((0, 2)), x)
    assert fg.autograd.gradcheck(lambda t: t.permute(2, 0, 1).amax((0, 2)), x)


@pytest.mark.isa
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 9, 15, 16, 17, 33])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_rows_of_a_few_elements(size, dtype):
    t = fg.tensor(RNG.standard_normal((1003, size))).to(getattr(fg, dtype))
    x = t.double().numpy()
    close = {"float32": 2e-6, "float64": 1e-13, "bfloat16": 1e-2}[dtype]
    values, places = t.max(1)
    assert np.array_equal(values.double().numpy(), x.max(1)) and np.array_equal(places.numpy(), x.argmax(1))
    np.testing.assert_allclose(t.sum(1).double().numpy(), x.sum(1), rtol=close, atol=10 * close)
    np.testing.assert_allclose(t.logsumexp(1).double().numpy(), np.log(np.exp(x).sum(1)), rtol=close, atol=10 * close)
    soft = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    np.testing.assert_allclose(t.softmax(1).double().numpy(), soft, rtol=close)
    np.testing.assert_allclose(t.log_softmax(1).double().numpy(), np.log(soft), rtol=close, atol=2 * close)
    np.testing.assert_allclose(t.cumsum(1).double().numpy(), x.cumsum(1), rtol=close, atol=10 * close)
    if dtype == "float64":
        part = t[:20].clone().requires_grad_()
        assert fg.autograd.gradcheck(lambda v: v.softmax(1), part)
        assert fg.autograd.gradcheck(lambda v: v.log_softmax(1), part)


@pytest.mark.isa
def test_rows_of_a_few_special_elements():
    inf = float("inf")
    rows = [[1.0, 2], [-inf, 0], [-inf, -inf], [inf, 0], [NAN, 0], [-200, 0]] * 20
    soft = fg.tensor(rows).softmax(1)[:6].tolist()
    assert soft[1] == [0, 1] and soft[5] == [0, 1] and all(np.isnan(soft[k]).all() for k in (2, 3, 4))
    log = fg.tensor(rows).log_softmax(1)[:6].tolist()
    assert log[1] == [-inf, 0] and log[5] == [-200, 0] and all(np.isnan(log[k]).all() for k in (2, 3, 4))


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("n", [1, 7, 100, 2049, 40000, 70001])
def test_sums_of_halves(dtype, n):
    t = fg.tensor(RNG.uniform(0, 1, (2, n))).to(getattr(fg, dtype))
    x = t.double().numpy()
    for found, exact in ((t.sum(1, dtype=fg.float32), x.sum(1)), (t.sum(dtype=fg.float32), x.sum()),
                         (t.amax(1), x.max(1)), (t.float().sum(1), x.sum(1))):
        np.testing.assert_allclose(found.double().numpy(), exact, rtol=2e-6)


@pytest.mark.isa
def test_nansum_skips_nan():
    x = RNG.standard_normal((70, 300)).astype(np.float32)
    x[RNG.random(x.shape) < 0.1] = NAN
    t = fg.tensor(x)
    for dims in (None, 0, 1, (0, 1)):
        np.testing.assert_allclose(fg.nansum(t, dims).numpy(), np.nansum(x.astype(np.float64), dims), rtol=1e-5,
                                   atol=1e-5)
    assert fg.nansum(t, 1, dtype=fg.float64).dtype == fg.float64
    assert fg.nansum(fg.tensor([1, 2])).dtype == fg.int64
    leaf = fg.tensor([1.0, NAN], requires_grad=True)
    fg.nansum(leaf).backward()
    assert leaf.grad.tolist() == [1, 0]


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bfloat16"])
def test_both_extrema(dtype):
    t = fg.tensor(RNG.integers(0, 200, (50, 3000))).to(getattr(fg, dtype))
    for about in ({}, {"dim": 0}, {"dim": 1}, {"dim": 1, "keepdim": True}):
        low, high = fg.aminmax(t, **about)
        assert low.dtype == t.dtype and low.equal(t.amin(about.get("dim", ()), about.get("keepdim", False)))
        assert high.equal(t.amax(about.get("dim", ()), about.get("keepdim", False)))
    if t.dtype.is_floating_point:
        t[7, 9] = NAN
        low, high = t.aminmax(dim=1)
        assert low.isnan().nonzero().tolist() == [[7]] and high.isnan().nonzero().tolist() == [[7]]
        assert t.t().aminmax(dim=1).min.isnan().nonzero().tolist() == [[9]]


def test_gradient_of_both_extrema():
    x = fg.tensor([1.0, 5, 5, 2], requires_grad=True)
    low, high = x.aminmax()
    (low + high).backward()
    assert x.grad.tolist() == [1, 0.5, 0.5, 0]


@pytest.mark.isa
@pytest.mark.parametrize("n", [1, 7, 8, 64, 4096, 100003])
def test_not_of_bools(n):
    x = RNG.random(n) < 0.5
    t = fg.tensor(x)
    assert np.array_equal((~t).numpy(), ~x) and np.array_equal(t.logical_not().numpy(), ~x)
    assert np.array_equal((~t[::2]).numpy(), ~x[::2]) and np.array_equal(t.bitwise_not_().numpy(), ~x)


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("n", [1, 15, 16, 33, 5000, 70000])
def test_quick_functions_of_halves(dtype, n):
    """Once through float, rounded once: also where no buffer of floats lies between."""
    a, b = (fg.tensor(RNG.uniform(-4, 4, n)).to(getattr(fg, dtype)) for _ in range(2))
    wide = a.float(), b.float()
    for call in (fg.add, fg.mul, fg.div, fg.maximum, lambda p, q: p.abs().sqrt(), lambda p, q: p.relu()):
        assert call(a, b).equal(call(*wide).to(a.dtype))
    special = fg.tensor([NAN, float("inf"), -0.0, 1e-7, 65504]).to(a.dtype)
    assert (special + special).tolist()[1:] == (special.float() * 2).to(a.dtype).tolist()[1:]
    assert (special + special).isnan().tolist() == [True, False, False, False, False]


def test_comparison_of_large_tensors():
    x = fg.rand(700, 500)
    y = x.clone()
    assert fg.equal(x, y) and fg.allclose(x, y)
    y[-1, -1] += 1e-6
    assert not fg.equal(x, y) and fg.allclose(x, y)
    y[300, 7] = NAN
    assert not fg.allclose(x, y)
    assert fg.allclose(y, y.clone(), equal_nan=True) and fg.equal(x.t(), x.clone().t())


def test_counts_of_many():
    x = RNG.integers(0, 50, 100003)
    assert np.array_equal(fg.bincount(fg.tensor(x)).numpy(), np.bincount(x))
    assert fg.bincount(fg.tensor(x), minlength=60).shape == (60,)
    y = RNG.uniform(-1, 4, 100003).astype(np.float32)
    y[:3] = [NAN, np.inf, -np.inf]
    exact, _ = np.histogram(y[np.isfinite(y)], 64, (0, 3))
    assert np.array_equal(fg.histc(fg.tensor(y), 64, 0, 3).numpy(), exact.astype(np.float32))


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_rms_norm(dtype):
    t = fg.tensor(RNG.standard_normal((40, 3, 50))).to(getattr(fg, dtype))
    w = fg.tensor(RNG.standard_normal(50)).to(t.dtype)
    x, close = t.double().numpy(), {"float32": 1e-5, "float64": 1e-12, "bfloat16": 1e-2}[dtype]
    hat = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-3)
    norm = fg.nn.functional.rms_norm
    np.testing.assert_allclose(norm(t, (50,), eps=1e-3).double().numpy(), hat, rtol=close, atol=close)
    found = norm(t, (50,), w, 1e-3).double().numpy()
    np.testing.assert_allclose(found, hat * w.double().numpy(), rtol=close, atol=close)
    if dtype == "float64":
        small, weight = t[:3].clone().requires_grad_(), w.clone().requires_grad_()
        assert fg.autograd.gradcheck(lambda a, b: norm(a, (50,), b, 1e-3), (small, weight))
        assert fg.autograd.gradgradcheck(lambda a, b: norm(a, (50,), b, 1e-3), (small[:1, :1].detach().requires_grad_(),
                                                                               weight))


@pytest.mark.isa
@pytest.mark.parametrize("shape", [(3,), (300, 5), (5, 300), (9, 2049), (70_000,), (2, 9000, 3)])
@pytest.mark.parametrize("name", ["sum", "any", "all", "count_nonzero", "prod", "amax", "amin"])
def test_bools(torch, shape, name):
    """Bools are counted as bytes where they lie in rows; what is not 0 is one, whatever byte it is."""
    draw = np.random.default_rng(0)
    for share in (0, 0.5, 1):
        mask = draw.random(shape) < share
        odd = mask * draw.integers(1, 256, shape).astype(np.uint8)
        for dim in range(len(shape)):
            ours = getattr(fg, name)(fg.from_numpy(mask).clone(), dim)
            theirs = getattr(torch, name)(torch.from_numpy(mask), dim)
            assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
            assert ours.tolist() == theirs.tolist()
            assert getattr(fg, name)(fg.from_numpy(odd).view(fg.bool), dim).tolist() == theirs.tolist()


@pytest.mark.isa
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("float64", 1e-10)])
@pytest.mark.parametrize("shape", [(1,), (7,), (130,), (300, 5), (5, 300), (3, 9000), (2, 700, 3), (40_000,)])
def test_variance_far_from_zero(dtype, tolerance, shape):
    """Sums of squares relative to one of the elements: nothing is lost however large the mean is, or an outlier."""
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype) + np.asarray(1000, dtype)
    for outlier in (False, True):
        if outlier:
            x[(0,) * x.ndim] = -1e6  # what the others are compared with
        t = fg.from_numpy(x)
        for dim in range(x.ndim):
            var, mean = fg.var_mean(t, dim, correction=0)
            wide = x.astype("float64")
            np.testing.assert_allclose(var.double().numpy(), wide.var(dim), rtol=tolerance, atol=1e-12)
            np.testing.assert_allclose(mean.double().numpy(), wide.mean(dim), rtol=tolerance)
            assert fg.equal(var, t.var(dim, correction=0))


@pytest.mark.isa
@pytest.mark.parametrize("shape", [(-1, 1), (1, -1)])
@pytest.mark.parametrize("values, expected", [
    ([1e200, -1e200], math.inf), ([math.inf, 1], math.nan), ([math.nan, 1], math.nan), ([1e308] * 2, 0), ([3] * 9, 0)])
def test_variance_at_the_ends(shape, values, expected):
    var = fg.tensor(values, dtype=fg.float64).reshape(shape).var(0 if shape[0] == -1 else 1).item()
    assert var == expected or (math.isnan(expected) and math.isnan(var))
