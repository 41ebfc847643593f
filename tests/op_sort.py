"""Records of sorting, selection, search, distinct elements, counts and quantiles."""


import numpy as np

from op_record import DTYPES, FLOATS, INTS, NUMBERS, Op, Sample

WIDE = ("float32", "float64")


def lines(a, make=None, **kwargs):
    make = make or a.spread
    return [
        Sample(make(6), **kwargs),
        Sample(make(3, 5), **kwargs),
        Sample(make(), **kwargs),
        Sample(make(3, 5), dim=0, **kwargs),
        Sample(make(2, 3, 4), dim=-2, **kwargs),
    ]


def order(x, dim, descending):
    """Stable indices: the reverse of the stable order of the reversed line is descending."""
    if not x.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)


def along(x, index, dim):
    return np.take_along_axis(x, index, dim) if x.ndim else x


def sort(x, dim=-1, descending=False, stable=None):
    index = order(x, dim, descending)
    return along(x, index, dim), index


def sort_samples(a):
    empty = [Sample(a(0)), Sample(a(2, 0, 3), dim=1), Sample(a(0, 3), dim=1)]
    ties = [Sample(a(40), stable=True), Sample(a(7, 20), dim=0, descending=True, stable=True)]
    return lines(a) + lines(a, descending=True) + empty + ties


def topk(x, k, dim=-1, largest=True, sorted=True):
    values, index = sort(x, dim, largest)
    cut = (lambda t: np.take(t, range(k), dim)) if x.ndim else lambda t: t
    return cut(values), cut(index)


def topk_samples(a):
    return [s for k in (1, 3) for s in lines(a, k=k)[:2] + lines(a, k=k)[3:] if k <= 2 or s.kwargs.get("dim") != -2] + [
        Sample(a.spread(130), 2),
        Sample(a.spread(5, 4), 2, dim=0, largest=False),
        Sample(a(0, 3), 2),
        Sample(a.spread(4), 0),
    ]


def pick(place):
    """One element of each sorted line, with its index."""

    def ref(x, *args, dim=-1, keepdim=False):
        values, index = sort(x, dim)
        k = place(x.shape[dim] if x.ndim else 1, *args)
        if not x.ndim:
            return values, index
        parts = [np.take(t, [k], dim) for t in (values, index)]
        return tuple(parts) if keepdim else tuple([np.squeeze(p, dim) for p in parts])

    return ref


def mode(x, dim=-1, keepdim=False):
    def one(line):
        values, counts = np.unique(line, return_counts=True)
        value = values[counts.argmax()]
        return value, np.flatnonzero(line == value)[-1]

    if not x.ndim:
        return x, np.zeros((), np.int64)
    moved = np.moveaxis(x, dim, -1)
    found = [one(line) for line in moved.reshape(-1, moved.shape[-1])]
    parts = [np.array([f[i] for f in found]).reshape(moved.shape[:-1]) for i in (0, 1)]
    return tuple([np.expand_dims(p, dim) for p in parts]) if keepdim else tuple(parts)


def median_all(x):
    return np.sort(x, axis=None)[(x.size - 1) // 2]


def search_samples(a):
    x = np.sort(a(9))
    rows = np.sort(a(2, 3, 6), axis=-1)
    return [
        Sample(x, a(4, 3)),
        Sample(x, a()),
        Sample(x, a(5), right=True),
        Sample(x, a(0)),
        Sample(x, a(5), side="left", out_int32=True),
        Sample(a(0), a(3)),
        Sample(rows, a(2, 3, 4)),
        Sample(rows, a(2, 3, 1), side="right"),
    ]


def searchsorted(x, values, right=False, side="left", out_int32=False):
    side = "right" if right else side
    if x.ndim == 1:
        found = np.searchsorted(x, values, side)
    else:
        rows = x.reshape(-1, x.shape[-1])
        flat = values.reshape(-1, values.shape[-1])
        found = np.stack([np.searchsorted(r, v, side) for r, v in zip(rows, flat)]).reshape(values.shape)
    return np.asarray(found, dtype=np.int32 if out_int32 else np.int64)


def unique(x, return_inverse=False, return_counts=False, dim=None):
    result = np.unique(x, return_inverse=return_inverse, return_counts=return_counts, axis=dim)
    if return_inverse:
        shape = x.shape if dim is None else (x.shape[dim],)
        result = tuple([r.reshape(shape) if i == 1 else r for i, r in enumerate(result)])
    return result


def unique_samples(a):
    x = lambda *shape: np.asarray(a(*shape), dtype=None)
    low = a.random.integers(0, 2, (4, 6))
    rows = low.astype(bool if a.dtype == "bool" else np.float64 if a.dtype in FLOATS else a.dtype)
    return [
        Sample(x(9)),
        Sample(x(3, 7), return_inverse=True),
        Sample(x(20), return_inverse=True, return_counts=True),
        Sample(x(0), return_counts=True),
        Sample(x(), return_inverse=True),
        Sample(rows, dim=0),
        Sample(rows, dim=1, return_inverse=True, return_counts=True),
    ]


def quantile_samples(a):
    kinds = ("linear", "lower", "higher", "midpoint", "nearest")
    return [Sample(a.spread(2, 5), 0.3, dim=1, interpolation=kind) for kind in kinds] + [
        Sample(a.spread(7), 0.5),
        Sample(a.spread(2, 3, 4), 0.9, dim=1, keepdim=True),
        Sample(a.spread(3, 4), 0.0),
        Sample(a.spread(), 0.4),
    ]


def quantile(x, q, dim=None, keepdim=False, interpolation="linear"):
    return np.quantile(x, q, axis=dim, keepdims=keepdim, method=interpolation)


def histc(x, bins=100, min=0, max=0):
    if min == max and x.size:
        min, max = x.min(), x.max()
        min, max = (min - 1, max + 1) if min == max else (min, max)
    return np.histogram(x, bins, (min, max))[0].astype(x.dtype)


def index_samples(a):
    dtype = "float32" if a.dtype in FLOATS else a.dtype
    return [
        Sample(a.random.integers(0, 6, 20).astype(dtype)),
        Sample(np.zeros(0, dtype), minlength=4),
        Sample(a.random.integers(0, 6, 5).astype(dtype), minlength=9),
    ]


def gradient(x, spacing=1, dim=None, edge_order=1):
    spacing = [spacing] * (x.ndim if dim is None else 1) if isinstance(spacing, (int, float)) else spacing
    result = np.gradient(x, *spacing, axis=dim, edge_order=edge_order)
    return result if isinstance(result, (list, tuple)) else [result]


def gradient_samples(a):
    return [
        Sample(a(6)),
        Sample(a(3, 4)),
        Sample(a(3, 4), dim=1, edge_order=2),
        Sample(a(5), spacing=2.5),
        Sample(a(5), spacing=[np.array([0.0, 0.5, 2.0, 3.0, 7.0])], edge_order=2),
    ]


SORTING = [
    Op("sort", sort_samples, sort, dtypes=DTYPES),
    Op(
        "argsort",
        sort_samples,
        lambda x, dim=-1, descending=False, stable=True: order(x, dim, descending),
        lambda m, x, **k: m.argsort(x, **{**k, "stable": True}),
        DTYPES,
        grad=False,
    ),
    Op(
        "msort",
        lambda a: [Sample(a.spread(5)), Sample(a.spread(4, 3)), Sample(a(0, 2))],
        lambda x: np.sort(x, axis=0),
        dtypes=DTYPES,
        out=True,
    ),
    Op("topk", topk_samples, topk, dtypes=NUMBERS, expanded=False),
    Op(
        "kthvalue",
        lambda a: lines(a, k=1) + [Sample(a.spread(9), 4), Sample(a.spread(3, 4), 2, dim=0, keepdim=True)],
        lambda x, k, **o: pick(lambda n: k - 1)(x, **o),
        dtypes=NUMBERS,
        expanded=False,
    ),
    Op(
        "median",
        lambda a: [Sample(a.spread(5)), Sample(a.spread(3, 4)), Sample(a.spread())],
        median_all,
        dtypes=NUMBERS,
    ),
    Op(
        "median_dim",
        lambda a: [Sample(a.spread(5), dim=0), Sample(a(30), dim=0), Sample(a.spread(3, 4), dim=1, keepdim=True)],
        pick(lambda n: (n - 1) // 2),
        "median",
        NUMBERS,
        expanded=False,
    ),
    Op(
        "nanmedian",
        lambda a: [Sample(a.spread(5), dim=0), Sample(a.spread(3, 4), dim=0)],
        pick(lambda n: (n - 1) // 2),
        dtypes=NUMBERS,
        expanded=False,
    ),
    Op(
        "mode",
        lambda a: [Sample(a(9)), Sample(a.spread(5)), Sample(a(3, 8), dim=0, keepdim=True), Sample(a())],
        mode,
        dtypes=INTS,
    ),
    Op("searchsorted", search_samples, searchsorted, dtypes=NUMBERS, grad=False),
    Op(
        "bucketize",
        lambda a: [Sample(a(3, 4), np.sort(a(6))), Sample(a(), np.sort(a(6)), right=True)],
        lambda v, x, right=False: searchsorted(x, v, right),
        dtypes=NUMBERS,
        grad=False,
    ),
    Op("unique", unique_samples, unique, dtypes=DTYPES, grad=False),
    Op(
        "unique_consecutive",
        lambda a: [Sample(np.repeat(a.spread(4), [3, 1, 2, 2]), return_counts=True)],
        lambda x, return_counts: (x[[0, 3, 4, 6]], np.array([3, 1, 2, 2])),
        dtypes=NUMBERS,
        grad=False,
        expanded=False,
    ),
    Op("quantile", quantile_samples, quantile, dtypes=WIDE),
    Op("nanquantile", quantile_samples, quantile, dtypes=WIDE),
    Op(
        "bincount",
        index_samples,
        lambda x, minlength=0: np.bincount(x.astype(np.int64), minlength=minlength),
        dtypes=INTS,
        grad=False,
    ),
    Op(
        "histc",
        lambda a: [Sample(a(30), 5), Sample(a(3, 9), bins=4, min=-2, max=2), Sample(a(0), 3)],
        histc,
        dtypes=("float32", "float64"),
        grad=False,
    ),
    Op(
        "histogram",
        lambda a: [
            Sample(a(30), 4),
            Sample(a(20), 3, range=(-2.0, 2.0)),
            Sample(a(5, 6), np.array([-3.0, -1.0, 0.5, 3.0])),
        ],
        lambda x, bins, range=None: tuple([r.astype(x.dtype) for r in np.histogram(x, bins, range)]),
        dtypes=WIDE,
        grad=False,
        expanded=False,
    ),
    Op(
        "isin",
        lambda a: [Sample(a(3, 4), a(5)), Sample(a(30), a(40)), Sample(a(6), a(0)), Sample(a(6), a(3), invert=True)],
        np.isin,
        dtypes=NUMBERS,
        grad=False,
    ),
    Op(
        "gradient",
        gradient_samples,
        gradient,
        dtypes=WIDE,
        tolerance={"bfloat16": (5e-2, 5e-2), "float16": (5e-3, 5e-3)},
    ),
    Op(
        "count_nonzero_dim",
        lambda a: [Sample(a(3, 4), dim=0)],
        lambda x, dim: np.count_nonzero(x, axis=dim),
        "count_nonzero",
        DTYPES,
        grad=False,
    ),
]
