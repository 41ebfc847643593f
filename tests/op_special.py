"""Records of the special functions; the references are definitions: integrals, sums and inverses by bisection."""

import math

import numpy as np

from op_record import FLOATS, INTS, NUMBERS, Op, Sample
from op_rows import INF, NAN, PAIRS, SHAPES, binary, unary

LOOSE = {"float32": (2e-5, 2e-6), "float64": (1e-9, 1e-10), "float16": (4e-3, 2e-3), "bfloat16": (3e-2, 2e-2)}
lgamma = np.vectorize(math.lgamma, otypes=[float])
erfc = np.vectorize(math.erfc, otypes=[float])


def hurwitz(s, q, terms=400):
    """Sum of (q + n)^-s."""
    s, q = np.broadcast_arrays(np.asarray(s, float), np.asarray(q, float))
    top = q + terms
    head = ((q[..., None] + np.arange(terms)) ** -s[..., None]).sum(-1)
    return head + top ** (1 - s) / (s - 1) + 0.5 * top**-s + s / 12 * top ** (-s - 1)


def digamma(x, terms=400):
    x = np.asarray(x, float)
    top = x + terms
    return np.log(top) - 0.5 / top - 1 / (12 * top**2) - (1 / (x[..., None] + np.arange(terms))).sum(-1)


def polygamma(n, x):
    return digamma(x) if n == 0 else (-1) ** (n + 1) * math.factorial(n) * hurwitz(n + 1, x)


def bessel(integrand, points=400):
    """A function that is the mean of an integrand over the circle."""
    angle = np.arange(points) * (2 * np.pi / points)
    return lambda x: integrand(np.asarray(x, float)[..., None], angle).mean(-1)


I0 = bessel(lambda x, t: np.exp(x * np.cos(t)))
I1 = bessel(lambda x, t: np.exp(x * np.cos(t)) * np.cos(t))


def inverse(function, low, high):
    """The inverse of an increasing function, by bisection."""

    def solve(y):
        y = np.asarray(y, float)
        a, b = np.full(y.shape, low), np.full(y.shape, high)
        for _ in range(80):
            middle = (a + b) / 2
            less = function(middle) < y
            a, b = np.where(less, middle, a), np.where(less, b, middle)
        return (a + b) / 2

    return solve


def igamma(a, x):
    a, x = np.broadcast_arrays(np.asarray(a, float), np.asarray(x, float))
    total, term = np.zeros(a.shape), 1 / a
    for n in range(1, 200):
        total = total + term
        term = term * x / (a + n)
    return total * np.exp(a * np.log(x) - x - lgamma(a))


def entr(x):
    x = np.asarray(x, float)
    with np.errstate(all="ignore"):
        return np.where(x > 0, -x * np.log(x), np.where(x == 0, 0, -INF))


def special(name, ref, domain=(-3.0, 3.0), **options):
    options.setdefault("tolerance", LOOSE)
    options.setdefault("corners", ())
    return unary(
        f"special_{name}",
        ref,
        domain,
        call=options.pop("call", f"special.{name}"),
        row=options.pop("row", f"special_{name}"),
        **options,
    )


SMALL = (0.0, -0.0, 0.25, 1.0, -1.0, INF, -INF, NAN)
POSITIVE = (0.3, 5.0)
UNARY = [
    unary("lgamma", lgamma, POSITIVE, corners=(0.0, 0.5, 1.0, 2.0, 30.0, -0.5, INF, NAN), tolerance=LOOSE),
    unary("digamma", digamma, POSITIVE, corners=(0.0, INF, NAN), tolerance=LOOSE),
    unary(
        "erfinv",
        inverse(lambda x: 1 - erfc(x), -6.0, 6.0),
        (-0.9, 0.9),
        corners=(0.0, 0.5, -0.5, 1.0, -1.0, 2.0, NAN),
        tolerance=LOOSE,
        dtypes=FLOATS,
    ),
    unary("i0", I0, corners=(0.0, 0.5, -3.0, 20.0, NAN), tolerance=LOOSE),
    special("i0e", lambda x: I0(x) * np.exp(-np.abs(x)), corners=(0.5, -3.0, 20.0, 200.0, NAN)),
    special("i1", I1, corners=(0.0, 0.5, -3.0, 20.0)),
    special("i1e", lambda x: I1(x) * np.exp(-np.abs(x)), corners=(0.0, 0.5, -3.0, 20.0, 200.0)),
    special("erfcx", lambda x: np.exp(np.square(x)) * erfc(x), (-2.0, 3.0), corners=(0.0, -1.0, 2.0)),
    special(
        "ndtri",
        inverse(lambda x: 0.5 * erfc(-x / math.sqrt(2)), -9.0, 9.0),
        (0.05, 0.95),
        dtypes=FLOATS,
        corners=(0.5, 0.1, 0.001),
    ),
    special("log_ndtr", lambda x: np.log(0.5 * erfc(-np.asarray(x, float) / math.sqrt(2))), corners=(0.0, -1.0, 3.0)),
    special("entr", entr, (0.1, 3.0), corners=(0.0, -1.0, 0.5, 1.0, INF, NAN)),
    special(
        "ndtr", lambda x: 0.5 * erfc(-np.asarray(x, float) / math.sqrt(2)), row="erfc", corners=(0.0, 1.0, -8.0, 8.0)
    ),
]


def polygamma_samples(a):
    return [Sample(n, a(*shape)) for n in (0, 1, 2, 4) for shape in SHAPES[:4]]


POLYNOMIALS = {
    0: ("chebyshev_polynomial_t", lambda x, n: np.polynomial.chebyshev.chebval(x, [0] * n + [1])),
    8: ("hermite_polynomial_h", lambda x, n: np.polynomial.hermite.hermval(x, [0] * n + [1])),
    9: ("hermite_polynomial_he", lambda x, n: np.polynomial.hermite_e.hermeval(x, [0] * n + [1])),
    10: ("laguerre_polynomial_l", lambda x, n: np.polynomial.laguerre.lagval(x, [0] * n + [1])),
    11: ("legendre_polynomial_p", lambda x, n: np.polynomial.legendre.legval(x, [0] * n + [1])),
}


def polynomial_samples(a):
    return [Sample(a(*shape), n) for n in (0, 1, 2, 5) for shape in SHAPES[:4]]


BINARY = [
    Op(
        "polygamma",
        polygamma_samples,
        polygamma,
        dtypes=NUMBERS,
        domain=POSITIVE,
        tolerance=LOOSE,
        rows=("polygamma",),
        out=True,
    ),
    binary(
        "special_xlog1py", lambda a, b: np.where(a == 0, 0, a * np.log1p(b)), second=(-0.5, 3.0), call="special.xlog1py"
    ),
    Op(
        "special_zeta",
        lambda a: [Sample(n, a(*s)) for n in (2.0, 3.5) for s in SHAPES[:4]],
        hurwitz,
        "special.zeta",
        FLOATS,
        domain=POSITIVE,
        tolerance=LOOSE,
        rows=("special_zeta",),
    ),
    *[
        Op(
            name,
            lambda a: [Sample(_number(a, one), a(*two)) for one, two in PAIRS],
            ref,
            dtypes=FLOATS,
            domain=(0.5, 3.0),
            tolerance=LOOSE,
            rows=(name,),
            inplace=name + "_",
            out=True,
        )
        for name, ref in (("igamma", igamma), ("igammac", lambda a, x: 1 - igamma(a, x)))
    ],
    binary("gcd", np.gcd, dtypes=INTS, grad=False, domain=(-60, 60)),
    binary("lcm", np.lcm, dtypes=INTS, grad=False, domain=(-11, 11)),
    Op(
        "special_bessel_j0",
        lambda a: [Sample(a(*s)) for s in SHAPES],
        bessel(lambda x, t: np.cos(x * np.sin(t))),
        "special.bessel_j0",
        FLOATS,
        grad=False,
        tolerance=LOOSE,
        rows=("special_plain",),
    ),
    *[
        Op(
            name,
            polynomial_samples,
            ref,
            f"special.{name}",
            ("float32", "float64"),
            grad=False,
            tolerance=LOOSE,
            rows=("special_polynomial",),
        )
        for name, ref in POLYNOMIALS.values()
    ],
]


def _number(a, shape):
    """An array that no gradient is asked for: the derivative for the first argument is not known."""
    from checks import Constant

    return Constant(a(*shape))


def mvlgamma(x, p):
    return sum(lgamma(np.asarray(x, float) - j / 2) for j in range(p)) + p * (p - 1) / 4 * math.log(math.pi)


COMPOSED = [
    Op(
        "mvlgamma",
        lambda a: [Sample(a(*s), p) for s in SHAPES for p in (1, 3)],
        mvlgamma,
        dtypes=NUMBERS,
        domain=(1.5, 5.0),
        tolerance=LOOSE,
        inplace="mvlgamma_",
        out=True,
    ),
    Op("frexp", lambda a: [Sample(a(*s)) for s in SHAPES], np.frexp, dtypes=FLOATS),
    Op(
        "nextafter",
        lambda a: [Sample(a(*s), a(*t)) for s, t in PAIRS],
        np.nextafter,
        dtypes=("float32", "float64"),
        grad=False,
        inplace="nextafter_",
        out=True,
    ),
]

SPECIAL = UNARY + BINARY + COMPOSED
