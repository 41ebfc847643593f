"""Records of reductions, scans and the matmul family."""

import numpy as np

from op_record import DTYPES, FLOATS, NUMBERS, WHOLE, Op, Sample


def plain(a, make=None, empty=True):
    """A reduction over everything, over one dimension, kept and not, over empty ones."""
    make = make or a
    some = [
        Sample(make(5)),
        Sample(make(3, 4)),
        Sample(make()),
        Sample(make(3, 4), dim=0),
        Sample(make(3, 4), dim=1, keepdim=True),
        Sample(make(2, 3, 4), dim=-2),
    ]
    return some + ([Sample(make(0)), Sample(make(2, 0, 3), dim=1), Sample(make(0, 3), dim=1)] if empty else [])


def several(a, empty=True):
    return plain(a, empty=empty) + [
        Sample(a(2, 3, 4), dim=(0, 2)),
        Sample(a(2, 3, 4), dim=(1, 2), keepdim=True),
        Sample(a(2, 3, 4), dim=(-1, 0, 1)),
    ]


def distinct(a):
    return [
        Sample(a.spread(5)),
        Sample(a.spread(3, 4)),
        Sample(a.spread(3, 4), dim=0),
        Sample(a.spread(3, 4), dim=1, keepdim=True),
        Sample(a.spread(2, 3, 4), dim=-2),
    ]


def reducer(function, **fixed):
    def ref(x, dim=None, keepdim=False):
        return function(x, axis=dim, keepdims=keepdim, **fixed)

    return ref


def pair(value, position):
    """max(x, dim): values and indices."""

    def ref(x, dim=None, keepdim=False):
        if dim is None:
            return value(x)
        return value(x, axis=dim, keepdims=keepdim), position(x, axis=dim, keepdims=keepdim)

    return ref


def index_of(position):
    def ref(x, dim=None, keepdim=False):
        return position(x, axis=dim, keepdims=keepdim) if dim is not None else position(x)

    return ref


def variance(root=False):
    def ref(x, dim=None, correction=1, keepdim=False):
        n = x.size if dim is None else np.prod([x.shape[d] for d in np.atleast_1d(dim)])
        v = x.var(axis=dim, keepdims=keepdim) * (n / (n - correction))
        return np.sqrt(v) if root else v

    return ref


def variance_samples(a):
    return [
        Sample(a(6)),
        Sample(a(3, 4), dim=1),
        Sample(a(3, 4), dim=0, correction=0, keepdim=True),
        Sample(a(2, 3, 4), dim=(0, 2)),
        Sample(a(5), correction=0),
    ]


def norm(x, p=2, dim=None, keepdim=False):
    if dim is None:
        x, dim = x.reshape(-1), 0
    return np.linalg.norm(x, ord=p, axis=dim, keepdims=keepdim)


def norm_samples(a):
    return [
        Sample(a(5)),
        Sample(a(3, 4)),
        Sample(a(3, 4), p=1),
        Sample(a(3, 4), p=3, dim=1),
        Sample(a(3, 4), p=float("inf"), dim=0),
        Sample(a(3, 4), p=2, dim=1, keepdim=True),
        Sample(a(3, 4), p=-float("inf"), dim=1),
        Sample(a(3, 4), p=0.5, dim=1),
    ]


def logsumexp(x, dim, keepdim=False):
    return np.log(np.exp(x).sum(axis=dim, keepdims=keepdim))


def scan(function):
    return lambda x, dim: function(x, axis=dim) if x.ndim else x


def scan_samples(a, make=None):
    make = make or a
    return [
        Sample(make(6), 0),
        Sample(make(3, 4), 0),
        Sample(make(3, 4), 1),
        Sample(make(2, 3, 4), 1),
        Sample(make(0, 3), 0),
        Sample(make(), 0),
    ]


def running(function, pick):
    """cummax: values and the last index at which each was met."""

    def ref(x, dim):
        values = function.accumulate(x, axis=dim) if x.ndim else x
        n = x.shape[dim] if x.ndim else 1
        position = np.arange(n).reshape([-1 if d == dim % max(x.ndim, 1) else 1 for d in range(x.ndim)])
        hits = np.where(x == values, position, 0)
        return values, (np.maximum.accumulate(hits, axis=dim) if x.ndim else np.zeros((), np.int64)).astype(np.int64)

    return ref


REDUCTIONS = [
    Op("sum", several, reducer(np.sum), dtypes=DTYPES, rows=("sum",)),
    Op("mean", lambda a: several(a, False), reducer(np.mean), dtypes=FLOATS),
    Op("prod", plain, reducer(np.prod), dtypes=DTYPES, domain=(0.5, 2)),
    Op(
        "prod_zeros",
        lambda a: [Sample(np.where(np.eye(3, 4) > 0, 0, a(3, 4)), dim=1)],
        reducer(np.prod),
        "prod",
        FLOATS,
        domain=(0.5, 2),
    ),
    Op("max", distinct, pair(np.max, np.argmax), dtypes=DTYPES),
    Op("min", distinct, pair(np.min, np.argmin), dtypes=DTYPES),
    Op("amax", lambda a: [*distinct(a), Sample(a.spread(2, 3, 4), dim=(0, 2))], reducer(np.max), dtypes=DTYPES),
    Op("amin", lambda a: [*distinct(a), Sample(a.spread(2, 3, 4), dim=(0, 2))], reducer(np.min), dtypes=DTYPES),
    Op("argmax", distinct, index_of(np.argmax), dtypes=NUMBERS, grad=False),
    Op("argmin", distinct, index_of(np.argmin), dtypes=NUMBERS, grad=False),
    Op("var", variance_samples, variance(), dtypes=FLOATS),
    Op("std", variance_samples, variance(True), dtypes=FLOATS),
    Op("norm", norm_samples, norm, dtypes=FLOATS, tolerance={"float16": (4e-3, 4e-3)}, domain=(0.3, 3)),
    Op("any", plain, reducer(np.any), dtypes=DTYPES, grad=False),
    Op("all", plain, reducer(np.all), dtypes=DTYPES, grad=False),
    Op(
        "count_nonzero",
        lambda a: [Sample(a(5)), Sample(a(3, 4), dim=0), Sample(a(2, 3, 4), dim=(0, 2)), Sample(a(0))],
        lambda x, dim=None: np.count_nonzero(x, axis=dim),
        dtypes=DTYPES,
        grad=False,
    ),
    Op(
        "logsumexp",
        lambda a: [
            Sample(a(5), dim=0),
            Sample(a(3, 4), dim=1, keepdim=True),
            Sample(a(3, 4), dim=0),
            Sample(a(2, 3, 4), dim=(0, 2)),
        ],
        logsumexp,
        dtypes=FLOATS,
    ),
    Op("cumsum", scan_samples, scan(np.cumsum), dtypes=DTYPES),
    Op(
        "cumprod",
        scan_samples,
        scan(np.cumprod),
        dtypes=DTYPES,
        domain=(0.5, 2),
        tolerance={"float16": (8e-3, 8e-3), "bfloat16": (6e-2, 6e-2)},
    ),
    Op("cummax", lambda a: scan_samples(a, a.spread), running(np.maximum, np.argmax), dtypes=NUMBERS),
    Op("cummin", lambda a: scan_samples(a, a.spread), running(np.minimum, np.argmin), dtypes=NUMBERS),
]

GEMM = {"float32": (1e-5, 1e-5), "float16": (8e-3, 2e-2), "bfloat16": (6e-2, 2e-1), "float64": (1e-10, 1e-10)}


def product(name, shapes, ref, call=None, **options):
    return Op(
        name,
        lambda a: [Sample(*(a(*s) for s in case)) for case in shapes],
        ref,
        call,
        NUMBERS,
        tolerance=GEMM,
        **options,
    )


MATMUL = [
    product(
        "matmul",
        [
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3, 4)),
            ((5, 2, 3), (5, 3, 4)),
            ((5, 2, 3), (3, 4)),
            ((2, 3), (5, 3, 4)),
            ((2, 1, 2, 3), (3, 3, 2)),
            ((5, 2, 3), (3,)),
            ((3,), (5, 3, 2)),
            ((0, 3), (3, 2)),
            ((2, 0), (0, 3)),
            ((0, 2, 3), (0, 3, 4)),
        ],
        np.matmul,
        out=True,
    ),
    product(
        "mm",
        [((2, 3), (3, 4)), ((1, 3), (3, 1)), ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((17, 9), (9, 33))],
        np.matmul,
        out=True,
    ),
    product("bmm", [((4, 2, 3), (4, 3, 5)), ((0, 2, 3), (0, 3, 5)), ((2, 2, 0), (2, 0, 3))], np.matmul, out=True),
    product("mv", [((2, 3), (3,)), ((0, 3), (3,)), ((2, 0), (0,))], np.matmul),
    product("dot", [((5,), (5,)), ((0,), (0,)), ((1,), (1,))], np.dot),
    product("outer", [((3,), (4,)), ((0,), (3,))], np.outer),
    product(
        "addmm",
        [((2, 4), (2, 3), (3, 4)), ((4,), (2, 3), (3, 4)), ((), (2, 3), (3, 4)), ((2, 4), (2, 0), (0, 4))],
        lambda c, a, b: c + a @ b,
        inplace="addmm_",
    ),
    product(
        "baddbmm", [((2, 2, 4), (2, 2, 3), (2, 3, 4)), ((2, 1, 4), (2, 2, 3), (2, 3, 4))], lambda c, a, b: c + a @ b
    ),
    Op(
        "addmm_scaled",
        lambda a: [Sample(a(2, 4), a(2, 3), a(3, 4), beta=2, alpha=3), Sample(a(4), a(2, 3), a(3, 4), beta=0, alpha=1)],
        lambda c, a, b, beta, alpha: beta * c + alpha * (a @ b),
        "addmm",
        NUMBERS,
        tolerance=GEMM,
    ),
]

__all__ = ["MATMUL", "REDUCTIONS", "WHOLE"]
