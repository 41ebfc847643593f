"""Kernels along lines: Fourier transforms, running sums of exponentials, functions of double by vectors, distances and
bags of rows. Against NumPy at sizes around what the kernels switch at, and with the values that go another way."""

import math

import numpy as np
import pytest

import fastgrad as fg
import fastgrad.nn.functional as F

INF, NAN = math.inf, math.nan


def both(rng, dtype, *shape):
    x = rng.standard_normal(shape).astype(dtype)
    return fg.from_numpy(x), x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def close(found, expected, tolerance):
    assert tuple(found.shape) == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=tolerance * max(1e-30, np.abs(expected).max()))


# ---- Fourier transforms

# radices 8 4 2 3 5 and others; sizes that are cut; primes and odd sizes that go through another transform
SIZES = [1, 2, 3, 4, 5, 6, 8, 12, 15, 16, 25, 30, 31, 37, 49, 64, 74, 77, 120, 128, 130, 243, 509, 512, 1001, 1024,
         2209, 4096, 6000]


def layouts(n):
    """Shapes with n points along the second dimension: many lines, few, neighbours that are adjacent, and not quite."""
    many = [(37, n), (5, n, 3), (2, n, 33)] if n < 600 else [(5, n, 3)]
    return [(1, n), (3, n), *many]


@pytest.mark.isa
@pytest.mark.parametrize("n", SIZES)
def test_transforms(n):
    rng = np.random.default_rng(n)
    for real, tolerance in (("float32", 2e-6), ("float64", 4e-15)):
        for shape in layouts(n):
            r, e = both(rng, real, *shape)
            i, f = both(rng, real, *shape)
            c, g = fg.complex(r, i), e + 1j * f
            close(fg.fft.fft(c, dim=1), np.fft.fft(g, axis=1), tolerance)
            close(fg.fft.ifft(c, dim=1), np.fft.ifft(g, axis=1), tolerance)
            close(fg.fft.rfft(r, dim=1), np.fft.rfft(e, axis=1), tolerance)
            half = n // 2 + 1
            close(fg.fft.irfft(c.narrow(1, 0, half), n, 1), np.fft.irfft(g[:, :half], n, 1), tolerance)


def test_long_lines():
    rng = np.random.default_rng(0)
    x, e = both(rng, "float32", 1 << 17)
    close(fg.fft.rfft(x), np.fft.rfft(e), 2e-6)
    close(fg.fft.irfft(fg.fft.rfft(x)), e, 2e-6)


@pytest.mark.isa
def test_lines_do_not_mix():
    x = fg.ones(20, 64)
    x[7, 3] = NAN
    x[9] *= 1e30
    for f in (fg.fft.rfft, fg.fft.fft):
        y = f(x)
        assert y.isnan().any(1).tolist() == [i == 7 for i in range(20)]
        assert y[0].tolist() == y[19].tolist()


@pytest.mark.parametrize("shape", [(64, 1024), (2, 8192), (1, 65536), (40, 1009)])
def test_bits_of_transforms_do_not_depend_on_threads(shape):
    x, threads = fg.randn(shape), fg.get_num_threads()
    try:
        found = []
        for n in (1, 2, 3):
            fg.set_num_threads(n)
            found.append(fg.fft.rfft(x))
    finally:
        fg.set_num_threads(threads)
    assert found[0].equal(found[1]) and found[0].equal(found[2])


# ---- logcumsumexp

@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logcumsumexp(dtype):
    rng = np.random.default_rng(1)
    for shape in ((1,), (5,), (3, 40), (2, 5000), (7, 33), (2, 40, 3)):
        x, e = both(rng, dtype, *shape)
        close(x.logcumsumexp(1 if len(shape) > 1 else 0), np.logaddexp.accumulate(e, 1 if len(shape) > 1 else 0), 1e-6)
    jumps = np.array([-5000., 0, 3, -800, 900, 900, 5, -INF, 2000, 0] * 7).astype(dtype)
    close(fg.from_numpy(jumps).logcumsumexp(0), np.logaddexp.accumulate(jumps.astype(np.float64)), 1e-6)
    x = fg.full((40,), -INF, dtype=getattr(fg, dtype))
    assert x.logcumsumexp(0).tolist() == [-INF] * 40
    x[3], x[20], x[30] = 1, INF, NAN
    for y in (x.logcumsumexp(0), x.unsqueeze(1).expand(40, 3).logcumsumexp(0)[:, 1]):
        assert y[:3].tolist() == [-INF] * 3 and y[3:20].tolist() == [1.0] * 17
        assert y[20:30].tolist() == [INF] * 10 and y[30:].isnan().all()


def test_gradients_of_logcumsumexp(torch):
    x = fg.randn(3, 21, dtype=fg.float64, requires_grad=True)
    for dim in (0, 1):
        assert fg.autograd.gradcheck(lambda t: t.logcumsumexp(dim), (x,))
        assert fg.autograd.gradgradcheck(lambda t: t.logcumsumexp(dim), (x,))
    assert type(x.logcumsumexp(0).grad_fn).__name__ == "LogcumsumexpBackward0"
    with pytest.raises(NotImplementedError, match="\"logcumsumexp_out_cpu\" not implemented for 'int64'"):
        fg.logcumsumexp(fg.arange(3), 0)


# ---- functions of double

def ulps(found, expected):
    expected = np.asarray(expected, dtype=np.longdouble)
    with np.errstate(over="ignore"):
        nearest = expected.astype(np.float64)
    same = (found == nearest) | (np.isnan(found) & np.isnan(nearest))
    with np.errstate(all="ignore"):
        return np.where(same, 0, np.abs(found - expected) / np.spacing(np.abs(nearest)))


@pytest.mark.isa
@pytest.mark.parametrize("name", ["atan", "asin", "acos", "sinh", "cosh"])
def test_functions_of_double(name):
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.uniform(-1, 1, 4000), [0.0, -0.0, 1, -1, INF, -INF, NAN, 5e-324, 1e-310, 1e308]])
    if name not in ("asin", "acos"):
        x = np.concatenate([x, rng.uniform(-720, 720, 4000), 10 ** rng.uniform(-20, 20, 1000)])
    with np.errstate(all="ignore"):
        expected = getattr(np, {"atan": "arctan", "asin": "arcsin", "acos": "arccos"}.get(name, name))(np.longdouble(x))
    found = getattr(fg, name)(fg.from_numpy(x)).numpy()
    assert np.max(ulps(found, expected)) < 3
    assert np.array_equal(np.signbit(found[x == 0]), np.signbit(expected[x == 0]))


@pytest.mark.isa
def test_atan2_of_double():
    edges = np.array([0.0, -0.0, 1, -1, INF, -INF, NAN, 1e308, -1e308, 1e-308, -5e-324, 3e-320])
    rng = np.random.default_rng(3)
    y = np.concatenate([np.repeat(edges, len(edges)), rng.standard_normal(5000) * 10.0 ** rng.integers(-9, 9, 5000)])
    x = np.concatenate([np.tile(edges, len(edges)), rng.standard_normal(5000)])
    found = fg.atan2(fg.from_numpy(y), fg.from_numpy(x)).numpy()
    expected = np.arctan2(np.longdouble(y), np.longdouble(x))
    normal = ~(np.abs(expected) < 1e-300)
    assert np.max(ulps(found, expected)[normal]) < 3
    np.testing.assert_allclose(found, expected.astype(np.float64), rtol=1e-14, atol=1e-323)
    assert np.array_equal(np.signbit(found), np.signbit(expected)) or np.isnan(expected).any()


@pytest.mark.isa
def test_error_function_and_its_inverse():
    x = np.concatenate([np.linspace(-7, 7, 4001), [0.46875, -0.46875, INF, -INF, 1e-310]])
    assert np.max(ulps(fg.erf(fg.from_numpy(x)).numpy(), [math.erf(v) for v in x])) < 6
    assert math.isnan(fg.tensor(NAN, dtype=fg.float64).erf().item())
    y = np.concatenate([np.linspace(-0.999, 0.999, 999), 1 - 10.0 ** -np.arange(4, 16), [1e-300, 0.85, -0.85]])
    t = fg.from_numpy(y).erfinv().numpy()
    # where erf is steep it goes back to y; in the tails erfc does
    assert np.allclose([math.erf(v) for v in t[:999]], y[:999], rtol=4e-15, atol=0)
    assert np.allclose([math.erfc(v) for v in t[999:1011]], 1 - y[999:1011], rtol=1e-12, atol=0)
    assert fg.tensor([1.0, -1, 1.5, -0.0, NAN], dtype=fg.float64).erfinv().tolist()[:2] == [INF, -INF]
    assert fg.tensor([1.5, NAN], dtype=fg.float64).erfinv().isnan().all()
    p = np.concatenate([np.linspace(0.001, 0.999, 999), 10.0 ** -np.arange(1, 300, 7)])
    q = fg.special.ndtri(fg.from_numpy(p)).numpy()
    assert np.allclose([math.erfc(-v / math.sqrt(2)) / 2 for v in q], p, rtol=2e-12, atol=0)
    assert fg.special.ndtri(fg.tensor([0.0, 1.0, 0.5])).tolist() == [-INF, INF, 0.0]


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["lgamma", "digamma", "polygamma", "i0", "i0e", "i1", "i1e"])
def test_special_functions_by_vectors(name, dtype, torch):
    rng = np.random.default_rng(4)
    x = np.concatenate([10 ** rng.uniform(-3, 2, 2000), 1 + rng.uniform(-0.3, 1.3, 500), rng.uniform(-30, 30, 1000),
                        [1, 2, 19, 18.999, 12, 0, INF, -INF, NAN]]).astype(dtype)
    if name.startswith("i"):
        x = x[np.abs(x) < 80]
    elif name == "polygamma":
        x = x[x != -INF]
    e = torch.from_numpy(x.astype(np.float64))
    apply = {"polygamma": lambda m, t: m.polygamma(1, t)}.get(name, lambda m, t: getattr(m.special, {
        "lgamma": "gammaln"}.get(name, name))(t))
    found, expected = apply(fg, fg.from_numpy(x)).double().numpy(), apply(torch, e).numpy()
    # near its zeros digamma has the error of its terms
    atol = 4e-15 if dtype == "float64" else 1e-7 if name == "digamma" else 0
    rtol = 2.5e-7 if dtype == "float32" else 1e-9 if name == "polygamma" else 2e-13  # torch's trigamma has nine digits
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)
    assert fg.polygamma(1, fg.ones(9, dtype=fg.float64))[8].item() == pytest.approx(math.pi ** 2 / 6, rel=1e-15)
    assert fg.lgamma(fg.tensor([1.0, 2.0])).tolist() == [0.0, 0.0]


# ---- distances and bags

@pytest.mark.isa
@pytest.mark.parametrize("p", [0.0, 1.0, 2.0, 3.0, INF])
def test_distances(p):
    rng = np.random.default_rng(5)
    for dtype, shape, others in (("float32", (4, 1), 3), ("float64", (9, 7), 5), ("float32", (20, 65), 22),
                                 ("float64", (2, 6, 16), 9), ("float32", (3, 0), 2)):
        (a, x), (b, y) = both(rng, dtype, *shape), both(rng, dtype, *shape[:-2], others, shape[-1])
        d = np.abs(x[..., :, None, :] - y[..., None, :, :])
        expected = (np.max(d, -1, initial=0) if p == INF else (d != 0).sum(-1).astype(float) if p == 0
                    else (d ** p).sum(-1) ** (1 / p))
        close(fg.cdist(a, b, p), expected, 3e-6 if dtype == "float32" else 1e-14)
        if a.numel():
            with_graph = fg.cdist(a.requires_grad_(p != 0), b, p)
            close(with_graph.detach(), expected, 3e-6 if dtype == "float32" else 1e-14)
        if len(shape) == 2:
            a = a.detach()
            square = fg.cdist(a, a, p).numpy()
            close(F.pdist(a, p), square[np.triu_indices(len(square), 1)], 1e-12)


def test_distances_by_products(torch):
    x, y = fg.randn(40, 8, dtype=fg.float64), fg.randn(30, 8, dtype=fg.float64)
    close(fg.cdist(x, y), fg.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").numpy(), 1e-12)
    x[0] = y[3] = 0.0  # a distance of zero has no slope
    x.requires_grad_()
    d = fg.cdist(x, y)
    assert d[0, 3] == 0
    d[0, 3].backward()
    assert x.grad.abs().sum() == 0
    z = x.detach()[1:].requires_grad_()
    assert fg.autograd.gradcheck(lambda t: fg.cdist(t, y[4:]), (z,))
    w = fg.ones(30, 2)
    w[5, 1] = NAN
    assert fg.cdist(w, fg.ones(2, 2)).isnan().any(1).nonzero().tolist() == [[5]]
    with pytest.raises(RuntimeError, match="not a valid value for compute_mode"):
        fg.cdist(x, y, 2.0, "fast")


def test_distances_under_transforms():
    x, t = fg.randn(4, 5, 3, dtype=fg.float64), fg.randn(5, 3, dtype=fg.float64)
    for f in (F.pdist, lambda v: fg.cdist(v, v, 1.0)):
        assert fg.vmap(f)(x).allclose(fg.stack([f(v) for v in x]))
        _, tangent = fg.func.jvp(F.pdist, (x[0],), (t,))
        assert tangent.allclose((F.pdist(x[0] + 1e-7 * t) - F.pdist(x[0] - 1e-7 * t)) / 2e-7, atol=1e-6)


@pytest.mark.isa
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_bags(mode):
    rng = np.random.default_rng(6)
    for dtype, width in (("float32", 1), ("float32", 64), ("float32", 131), ("float64", 33), ("float64", 8)):
        w, e = both(rng, dtype, 50, width)
        index = rng.integers(0, 50, 70)
        starts = [0, 3, 3, 40, 69]
        parts = [e[index[a:b]] for a, b in zip(starts, [*starts[1:], 70])]
        expected = np.stack([p.sum(0) / (max(1, len(p)) if mode == "mean" else 1) for p in parts])
        found = F.embedding_bag(fg.tensor(index), w, fg.tensor(starts), mode=mode)
        close(found, expected, 1e-6)
        with_graph = F.embedding_bag(fg.tensor(index), w.requires_grad_(), fg.tensor(starts), mode=mode)
        close(with_graph.detach(), expected, 1e-6)
    for bad in (-1, 50):
        with pytest.raises(IndexError, match="index out of range in self"):
            F.embedding_bag(fg.tensor([[1, bad]]), w.detach())


@pytest.mark.isa
def test_gelu_of_every_bfloat16():
    """The rougher error function that results in bfloat16 take: nearly half a unit in the last place everywhere."""
    x = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    found = fg.nn.functional.gelu(fg.from_numpy(x).bfloat16()).float().numpy().astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        exact = np.array([0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x.astype(np.float64)])
    assert np.isnan(found[np.isnan(x)]).all() and found[x == math.inf] == math.inf
    plain = np.isfinite(exact) & (abs(exact) > 1e-36) & (abs(exact) < 3e38)
    units = abs(found - exact)[plain] / 2 ** (np.floor(np.log2(abs(exact[plain]))) - 7)
    assert units.max() < 0.54
    assert abs(found - exact)[np.isfinite(exact) & ~plain & (abs(x) < 3e38)].max() < 1e-36
