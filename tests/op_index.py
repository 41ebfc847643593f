"""Records of gathering, scattering, masking and indexing with tensors."""

import numpy as np

from checks import Constant
from op_record import DTYPES, FLOATS, NUMBERS, Op, Sample


def put_along(x, dim, index, source, add):
    out, grid = np.array(x), list(np.indices(index.shape))
    grid[dim] = index
    source = np.broadcast_to(source, index.shape) if not getattr(source, "ndim", 0) else source
    picked = source[tuple(slice(0, n) for n in index.shape)]
    if add:
        np.add.at(out, tuple(grid), picked)
    else:
        out[tuple(grid)] = picked
    return out


def unique_rows(a, high, rows, columns):
    """Index rows without repetition, so that a scatter does not depend on an order."""
    return np.stack([a.random.permutation(high)[:columns] for _ in range(rows)]).astype(np.int64)


def scatter_samples(a):
    return [
        Sample(a(3, 5), 1, unique_rows(a, 5, 3, 4), a(3, 4)),
        Sample(a(5), 0, np.array([4, 0, 2]), a(3)),
        Sample(a(3, 5), 1, unique_rows(a, 5, 2, 3), Constant(a(3, 4))),
        Sample(a(5), 0, np.zeros(0, np.int64), a(0)),
    ]


def scatter_reduce(reduce, include_self):
    """Several sources for a place, places without one, equal extremes, zeros among factors."""

    def samples(a):
        made = [
            Sample(a.spread(3, 5), 1, a.index(5, 3, 6)[:, :4], a.spread(3, 4) + 1, reduce),
            Sample(np.round(a(5)), 0, np.array([4, 0, 0, 2]), np.round(a(4)), reduce),
            Sample(a(3), 0, np.zeros(0, np.int64), a(0), reduce),
        ]
        for sample in made:
            sample.kwargs["include_self"] = include_self
        return made

    return Op(
        f"scatter_reduce_{reduce}" + ("" if include_self else "_alone"),
        samples,
        call=lambda m, x, d, i, s, r, **options: m.scatter_reduce(x, d, i, s, r, **options),
        dtypes=NUMBERS,
    )


def index_add(x, dim, index, source, alpha=1):
    out = np.array(x)
    view = np.moveaxis(out, dim, 0)
    np.add.at(view, index, (alpha * np.moveaxis(source, dim, 0)).astype(x.dtype))
    return out


def advanced(name, make, dtypes=DTYPES):
    """x[index] with arrays in the index; make(a) gives x and the parts."""

    def samples(a):
        x, *parts = make(a)
        return [Sample(x, list(parts))]

    def key(parts, m):
        return tuple(parts) if len(parts) > 1 else parts[0]

    return Op(
        f"index_{name}", samples, lambda x, parts: x[key(parts, np)], lambda m, x, parts: x[key(parts, m)], dtypes
    )


def put(name, make, accumulate):
    def samples(a):
        x, value, *parts = make(a)
        return [Sample(x, tuple(parts), value)]

    def ref(x, parts, value):
        out = np.array(x)
        if accumulate:
            np.add.at(out, parts, value)
        else:
            out[parts] = value
        return out

    return Op(f"index_put_{name}", samples, ref, lambda m, x, p, v: x.index_put(p, v, accumulate), NUMBERS)


INDEXING = [
    Op(
        "gather",
        lambda a: [
            Sample(a(3, 5), 1, a.index(5, 3, 4)),
            Sample(a(3, 5), 0, a.index(3, 2, 5)),
            Sample(a(6), 0, a.index(6, 9)),
            Sample(a(2, 3, 4), -1, a.index(4, 2, 3, 1)),
            Sample(a(3, 2), 1, np.zeros((0, 2), np.int64)),
        ],
        lambda x, d, i: np.take_along_axis(
            x[tuple(slice(0, n) if k != d % x.ndim else slice(None) for k, n in enumerate(i.shape))], i, d
        ),
        dtypes=DTYPES,
    ),
    Op(
        "take_along_dim",
        lambda a: [Sample(a(3, 5), a.index(5, 3, 4), 1), Sample(a(3, 5), a.index(5, 1, 2), 1)],
        lambda x, i, d: np.take_along_axis(x, np.broadcast_to(i, (x.shape[0], i.shape[1])), d),
        dtypes=DTYPES,
    ),
    Op("scatter", scatter_samples, lambda x, d, i, s: put_along(x, d, i, s, False), dtypes=DTYPES, inplace="scatter_"),
    Op(
        "scatter_value",
        lambda a: [Sample(a(3, 5), 1, unique_rows(a, 5, 3, 2), 1)],
        lambda x, d, i, s: put_along(x, d, i, s, False),
        "scatter",
        DTYPES,
    ),
    Op(
        "scatter_add",
        lambda a: [*scatter_samples(a), Sample(a(4), 0, np.array([1, 1, 1, 0]), a(4))],
        lambda x, d, i, s: put_along(x, d, i, s, True),
        dtypes=NUMBERS,
        inplace="scatter_add_",
    ),
    *[scatter_reduce(reduce, include_self) for reduce in ("sum", "prod", "mean", "amax", "amin")
      for include_self in (True, False)],
    Op(
        "index_select",
        lambda a: [
            Sample(a(4, 3), 0, a.index(4, 6)),
            Sample(a(4, 3), 1, a.index(3, 2)),
            Sample(a(5), 0, np.zeros(0, np.int64)),
            Sample(a(2, 3, 4), -2, a.index(3, 5)),
        ],
        lambda x, d, i: np.take(x, i, d),
        dtypes=DTYPES,
    ),
    Op(
        "index_add",
        lambda a: [
            Sample(a(4, 3), 0, a.index(4, 6), a(6, 3)),
            Sample(a(4, 3), 1, a.index(3, 2), a(4, 2)),
            Sample(a(4), 0, a.index(4, 3), a(3), alpha=2),
        ],
        index_add,
        dtypes=NUMBERS,
        inplace="index_add_",
    ),
    Op(
        "masked_fill",
        lambda a: [
            Sample(a(3, 4), a.mask(3, 4), 2),
            Sample(a(3, 4), a.mask(4), 0),
            Sample(a(), a.mask(), 1),
            Sample(a(0, 3), a.mask(0, 3), 1),
        ],
        lambda x, m, v: np.where(m, np.asarray(v).astype(x.dtype), x),
        dtypes=DTYPES,
        inplace="masked_fill_",
    ),
    Op(
        "masked_fill_tensor",
        lambda a: [Sample(a(3, 4), a.mask(3, 4), a())],
        lambda x, m, v: np.where(m, v, x),
        "masked_fill",
        DTYPES,
    ),
    Op(
        "masked_select",
        lambda a: [Sample(a(3, 4), a.mask(3, 4)), Sample(a(3, 4), a.mask(4)), Sample(a(5), a.mask(5))],
        lambda x, m: x[np.broadcast_to(m, x.shape)],
        dtypes=DTYPES,
    ),
    Op(
        "nonzero",
        lambda a: [Sample(a(3, 4)), Sample(a(5)), Sample(a(0, 2)), Sample(a(2, 2, 3))],
        lambda x: np.stack(np.nonzero(x), 1) if x.ndim else np.zeros((int(x != 0), 0), np.int64),
        dtypes=DTYPES,
        grad=False,
    ),
    Op(
        "embedding",
        lambda a: [
            Sample(a.index(5, 4), a(5, 3)),
            Sample(a.index(5, 2, 3), a(5, 3)),
            Sample(np.zeros((0,), np.int64), a(5, 3)),
        ],
        lambda i, w: w[i],
        "nn.functional.embedding",
        FLOATS,
    ),
    advanced("one", lambda a: (a(5, 3), a.index(5, 4))),
    advanced("negative", lambda a: (a(5, 3), a.index(5, 4) - 5)),
    advanced("two", lambda a: (a(5, 3), a.index(5, 4), a.index(3, 4))),
    advanced("broadcast", lambda a: (a(5, 3), a.index(5, 4, 1), a.index(3, 2))),
    advanced("then_slice", lambda a: (a(5, 3, 2), a.index(5, 4), slice(1, 3))),
    advanced("after_slice", lambda a: (a(5, 3, 2), slice(0, 4), a.index(3, 6))),
    advanced("apart", lambda a: (a(5, 3, 4), a.index(5, 2), slice(None), a.index(4, 2))),
    Op(
        "index_number",
        lambda a: [Sample(a(5, 3, 4), a.index(4, 2))],
        lambda x, i: x[1][:, i],
        lambda m, x, i: x[1, :, i],
        DTYPES,
    ),
    advanced("mask", lambda a: (a(5, 3), a.mask(5, 3))),
    advanced("mask_rows", lambda a: (a(5, 3), a.mask(5))),
    advanced("mask_column", lambda a: (a(5, 3), slice(None), a.mask(3))),
    advanced("empty", lambda a: (a(5, 3), np.zeros(0, np.int64))),
    advanced("none", lambda a: (a(5, 3), None, a.index(5, 2))),
    put("set", lambda a: (a(5, 3), a(2, 3), np.array([3, 1])), False),
    put("broadcast", lambda a: (a(5, 3), a(), np.array([3, 1]), np.array([0, 2])), False),
    put("add", lambda a: (a(5, 3), a(4, 3), np.array([3, 1, 3, 3])), True),
]
