"""torch.special: every name, values over wide ranges against torch in double, gradients that are refused or absent."""

import math

import numpy as np
import pytest

import fastgrad as fg
from checks import assert_close, assert_same

NAN, INF = math.nan, math.inf
WIDE = np.concatenate(
    [np.linspace(-30, 30, 241), 10.0 ** np.linspace(-8, 3, 60), -(10.0 ** np.linspace(-8, 2, 50)), [0.0, INF, NAN]]
)
FINITE = WIDE[np.isfinite(WIDE)]
UNIT = np.concatenate([np.linspace(-1, 1, 81), 1 - 2.0 ** -np.arange(1, 50.0), 10.0 ** -np.arange(1, 300.0, 7)])
# name: (points, relative tolerance, absolute tolerance); torch itself has few digits at some places
ONE = {
    "airy_ai": (FINITE[FINITE < 50], 2e-6, 2e-6),
    "bessel_j0": (FINITE, 2e-6, 2e-6),
    "bessel_j1": (FINITE, 2e-6, 2e-6),
    "bessel_y0": (FINITE, 2e-6, 2e-6),
    "bessel_y1": (FINITE, 2e-6, 2e-6),
    "digamma": (WIDE, 1e-10, 1e-11),
    "entr": (WIDE, 1e-14, 0),
    "erf": (WIDE, 1e-14, 0),
    "erfc": (WIDE, 1e-13, 0),
    "erfcx": (WIDE, 1e-13, 0),
    "erfinv": (UNIT, 1e-12, 0),
    "exp2": (WIDE, 1e-14, 0),
    "expit": (WIDE, 1e-14, 0),
    "expm1": (WIDE, 1e-14, 0),
    "gammaln": (WIDE, 1e-12, 1e-13),
    "i0": (WIDE, 1e-13, 0),
    "i0e": (WIDE, 1e-13, 0),
    "i1": (WIDE[WIDE < 700], 1e-13, 0),
    "i1e": (FINITE, 1e-13, 0),
    "log1p": (WIDE, 1e-14, 0),
    "log_ndtr": (WIDE, 1e-12, 1e-300),
    "modified_bessel_i0": (WIDE, 1e-13, 0),
    "modified_bessel_i1": (WIDE[WIDE < 700], 1e-13, 0),
    "modified_bessel_k0": (WIDE[WIDE > 0], 1e-12, 1e-300),
    "modified_bessel_k1": (WIDE[WIDE > 0], 1e-12, 1e-300),
    "ndtr": (WIDE, 1e-12, 1e-16),
    "ndtri": (UNIT, 1e-12, 0),
    "psi": (WIDE, 1e-10, 1e-11),
    "round": (WIDE, 0, 0),
    "scaled_modified_bessel_k0": (WIDE[WIDE > 0], 1e-12, 0),
    "scaled_modified_bessel_k1": (WIDE[WIDE > 0], 1e-12, 0),
    "sinc": (FINITE, 1e-10, 1e-12),
    "spherical_bessel_j0": (WIDE, 1e-10, 1e-13),
    "logit": (UNIT, 1e-13, 1e-15),
}
POLYNOMIALS = [
    *(f"{shift}chebyshev_polynomial_{k}" for shift in ("", "shifted_") for k in "tuvw"),
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
]
OTHERS = {
    "gammainc",
    "gammaincc",
    "log_softmax",
    "logsumexp",
    "multigammaln",
    "polygamma",
    "softmax",
    "xlog1py",
    "xlogy",
    "zeta",
}


def test_every_name_is_there(torch):
    assert set(torch.special.__all__) <= set(fg.special.__all__)
    assert set(fg.special.__all__) == set(ONE) | set(POLYNOMIALS) | OTHERS


@pytest.mark.parametrize("name", ONE)
def test_functions_of_one(name, torch):
    points, rtol, atol = ONE[name]
    one, two = getattr(fg.special, name), getattr(torch.special, name)
    actual, expected = one(fg.tensor(points)), two(torch.tensor(points))
    with np.errstate(all="ignore"):
        good = np.isclose(actual.numpy(), expected.numpy(), rtol, atol, equal_nan=True)
    bad = np.flatnonzero(~good)[:5]
    assert good.all(), [(points[i], actual[i].item(), expected[i].item()) for i in bad]
    if name != "round":
        assert_same(one(fg.tensor([1, 0])), two(torch.tensor([1, 0])))
    out = fg.empty(0)
    if name not in ("round", "logit"):
        with np.errstate(all="ignore"):
            assert one(fg.tensor([0.25]), out=out) is out
        assert_same(out, two(torch.tensor([0.25])))


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name, torch):
    x = np.concatenate([np.linspace(-1.5, 1.5, 25), [0.0, 1.0, -1.0, 7.0, NAN]])
    n = np.array([-1, 0, 1, 2, 3, 6, 7, 9, 12, 30])
    one, two = (getattr(m.special, name) for m in (fg, torch))
    a, e = one(fg.tensor(x)[:, None], fg.tensor(n)), two(torch.tensor(x)[:, None], torch.tensor(n))
    assert_close(a.numpy(), e.numpy(), (1e-9, 1e-9), name)
    assert_same(one(fg.tensor([0.5]), 2.7), two(torch.tensor([0.5]), 2.7))
    assert_same(one(2, fg.tensor([1, 2])), two(2, torch.tensor([1, 2])))
    assert not one(fg.tensor([0.5], requires_grad=True), 2).requires_grad


def test_functions_without_gradient():
    x = fg.tensor([0.5], requires_grad=True)
    for name in ("airy_ai", "bessel_j0", "modified_bessel_i0", "modified_bessel_i1", "scaled_modified_bessel_k1"):
        assert not getattr(fg.special, name)(x).requires_grad


def test_derivatives_that_are_not_known():
    a, x = fg.tensor([1.5], requires_grad=True), fg.tensor([2.0])
    for call, name in ((fg.igamma, "igamma: input"), (fg.igammac, "igammac: input"), (fg.special.zeta, "zeta")):
        y = call(a, x)
        assert y.requires_grad
        with pytest.raises(NotImplementedError, match=name):
            y.sum().backward()
    with pytest.raises(NotImplementedError, match="igamma_"):
        (a * 1).igamma_(x)
    assert fg.tensor([1.5]).igamma_(x).item() == pytest.approx(fg.igamma(a, x).item())


def test_incomplete_gamma_over_wide_ranges(torch):
    a = 10.0 ** np.linspace(-3, 6, 40)
    factor = np.concatenate([1 + np.linspace(-3, 3, 13) / 30, [0.01, 0.5, 2.0, 20.0]])
    x = a[:, None] * factor
    for name in ("igamma", "igammac", "special.gammainc", "special.gammaincc"):
        call = lambda m, name=name: eval(f"m.{name}", {"m": m})
        actual = call(fg)(fg.tensor(a)[:, None], fg.tensor(x)).numpy()
        expected = call(torch)(torch.tensor(a)[:, None], torch.tensor(x)).numpy()
        assert_close(actual, expected, (1e-8, 1e-14), name)
    corners = ([0.0, 0.0, -1.0, 1.0, INF, 1.0, NAN], [0.0, 1.0, 1.0, -1.0, 1.0, INF, 1.0])
    for name in ("igamma", "igammac"):
        assert_same(getattr(fg, name)(*map(fg.tensor, corners)), getattr(torch, name)(*map(torch.tensor, corners)))


def test_zeta_and_polygamma(torch):
    s, q = np.meshgrid([1.0, 0.5, 1.5, 2.0, 3.0, 12.0, 40.0], [0.0, 1.0, 0.3, 20.0, 1e5, -1.5])
    # torch has nothing for q < 0 and s not whole
    assert_same(
        fg.special.zeta(fg.tensor(s), fg.tensor(q)), torch.special.zeta(torch.tensor(s), torch.tensor(q)), (1e-11, 0)
    )
    assert_same(fg.special.zeta(2.0, fg.tensor([1.5])), torch.special.zeta(2.0, torch.tensor([1.5])))
    x = np.concatenate([np.linspace(-4.75, 9.75, 30), [1e4]])
    for n in (0, 1, 2, 5):
        one, two = fg.polygamma(n, fg.tensor(x)), torch.polygamma(n, torch.tensor(x))
        assert_same(one, two, (1e-7 if n == 1 else 1e-10, 1e-13), f"polygamma {n}")
        assert_same(fg.tensor(x).polygamma(n), one)
        assert_same(fg.tensor(x).polygamma_(n), one)
    with pytest.raises(RuntimeError, match="negative"):
        fg.polygamma(-1, fg.tensor([1.0]))
    with pytest.raises(TypeError):
        fg.polygamma(fg.tensor([1.0]), 2)


def test_far_from_zero_the_zeta_function_ends():
    y = fg.special.zeta(2.0, fg.tensor([-1e15 - 0.5, -123456.25], dtype=fg.float64))
    # near its poles: pi^2 / sin(pi q)^2
    assert_close(y.numpy(), [math.pi**2, math.pi**2 / math.sin(0.25 * math.pi) ** 2], (1e-5, 0))


def test_zeta_of_large_arguments_ends(torch):
    """All terms but the first vanish, or there is none left: the sum must not wait for a term smaller than nothing."""
    s, q = [math.inf, math.inf, math.inf, 1e300, 1e18, 1e18], [2.0, 1.0, 0.5, 1.0, 2.0, 0.5]
    ours, theirs = (m.special.zeta(m.tensor(s, dtype=m.float64), m.tensor(q, dtype=m.float64)) for m in (fg, torch))
    assert_close(ours.numpy()[:4], theirs.numpy()[:4], (0, 0))
    assert ours.tolist()[4:] == [0, math.inf]
    odd = fg.special.zeta(2.0**60 + 1, fg.tensor([-0.5], dtype=fg.float64))  # an infinite term of each sign
    assert not math.isfinite(odd.item())


def test_names_of_nodes(torch):
    calls = {
        "i0e": lambda m, x: m.special.i0e(x),
        "i1e": lambda m, x: m.special.i1e(x),
        "i1": lambda m, x: m.special.i1(x),
        "erfcx": lambda m, x: m.special.erfcx(x),
        "xlog1py": lambda m, x: m.special.xlog1py(x, x),
        "xlog1py1": lambda m, x: m.special.xlog1py(2.0, x),
        "xlog1py2": lambda m, x: m.special.xlog1py(x, 2.0),
        "zeta1": lambda m, x: m.special.zeta(2.0, x),
        "entr": lambda m, x: m.special.entr(x),
        "ndtri": lambda m, x: m.special.ndtri(x),
        "log_ndtr": lambda m, x: m.special.log_ndtr(x),
        "lgamma": lambda m, x: m.lgamma(x),
        "polygamma": lambda m, x: m.polygamma(2, x),
        "erfinv": lambda m, x: m.erfinv(x),
    }
    for call in calls.values():
        one, two = (type(call(m, m.tensor([0.5], requires_grad=True)).grad_fn).__name__ for m in (fg, torch))
        assert one == two


def test_frexp_puts_numbers_apart_and_together(torch):
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        x = [0.0, -0.0, INF, NAN, 1e-40 if dtype in ("float32", "float64") else 3e-5, -3.0, 0.5, 65000.0, 1e-7]
        one, two = (m.frexp(m.tensor(x, dtype=getattr(m, dtype))) for m in (fg, torch))
        assert_same(one, two, (0, 0))
    x = fg.tensor([3.0, -0.3], requires_grad=True)
    fg.frexp(x).mantissa.sum().backward()
    assert x.grad.tolist() == [0.25, 2.0]
    with pytest.raises(RuntimeError, match="floating-point"):
        fg.frexp(fg.tensor([1]))


def test_nextafter(torch):
    a = [0.0, -0.0, 1.0, -1.0, INF, NAN, 1e-45, 65504.0, 2.0]
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        for other in (INF, -INF, 0.0, NAN):
            one, two = (
                m.nextafter(m.tensor(a, dtype=getattr(m, dtype)), m.full((9,), other, dtype=getattr(m, dtype)))
                for m in (fg, torch)
            )
            assert_same(one, two, (0, 0), f"{dtype} {other}")


def test_gcd_and_lcm(torch):
    a, b = [12, -8, 0, 0, -128, 7], [8, 0, 5, 0, 0, -21]
    for dtype in ("int8", "int16", "int32", "int64"):
        for name in ("gcd", "lcm"):
            one, two = (
                getattr(m, name)(m.tensor(a, dtype=getattr(m, dtype)), m.tensor(b, dtype=getattr(m, dtype)))
                for m in (fg, torch)
            )
            assert_same(one, two)
    with pytest.raises(NotImplementedError):
        fg.gcd(fg.tensor([1.0]), fg.tensor([1]))
    with pytest.raises(TypeError):
        fg.gcd(fg.tensor([12]), 8)


def test_softmax_and_logsumexp(torch):
    x = [[1.0, 2.0], [3.0, 5.0]]
    for call in (
        lambda m: m.special.softmax(m.tensor(x), 1, dtype=m.float64),
        lambda m: m.special.log_softmax(m.tensor(x), dim=0),
        lambda m: m.special.logsumexp(m.tensor(x), 1, keepdim=True),
        lambda m: m.special.logit(m.tensor(x) / 10, eps=0.2),
        lambda m: m.special.round(m.tensor(x) / 7, decimals=1),
        lambda m: m.special.multigammaln(m.tensor(x) + 3, 2),
        lambda m: m.special.xlogy(m.tensor(x), 2.0),
        lambda m: m.mvlgamma(m.tensor(x) + 1, p=2),
    ):
        assert_same(call(fg), call(torch))
