"""Records of views, copies and of what joins, repeats or turns tensors."""

import numpy as np

from op_record import DTYPES, Op, Sample


def method(name):
    return lambda m, x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def view(name, cases, ref, call=None):
    """cases: (shape, further arguments...)"""

    def samples(a):
        return [Sample(a(*shape), *rest) for shape, *rest in cases]

    return Op(name, samples, ref, call or method(name), DTYPES)


def narrow(x, dim, start, length):
    return np.take(
        x,
        range(start % x.shape[dim] if x.shape[dim] else 0, (start % x.shape[dim] if x.shape[dim] else 0) + length),
        dim,
    )


def unfold(x, dim, size, step):
    windows = np.lib.stride_tricks.sliding_window_view(x, size, dim)
    return np.take(windows, range(0, windows.shape[dim], step), dim)


def cut(x, lengths, dim):
    return np.split(x, np.cumsum(lengths)[:-1], dim)


def split(x, size, dim=0):
    n = x.shape[dim]
    if not isinstance(size, int):
        return cut(x, size, dim)
    return cut(x, [min(size, n - i) for i in range(0, n, size)] or [0], dim)


def chunk(x, chunks, dim=0):
    return split(x, -(-x.shape[dim] // chunks), dim)


def flatten(x, start=0, end=-1):
    if not x.ndim:
        return x.reshape(1)
    start, end = start % x.ndim, end % x.ndim
    return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])


def squeeze(x, dim=None):
    dims = range(x.ndim) if dim is None else np.atleast_1d(dim)
    return np.squeeze(x, tuple(int(d) for d in dims if x.shape[d] == 1))


def roll(x, shifts, dims=None):
    return np.roll(x, shifts, dims)


VIEWS = [
    view(
        "view",
        [((6,), 2, 3), ((2, 3), -1), ((), 1), ((2, 3, 4), 6, 4), ((0, 3), 3, 0), ((4,), (2, 2))],
        lambda x, *s: x.reshape(*s),
        lambda m, x, *s: x.contiguous().view(*s),
    ),
    view(
        "reshape",
        [((6,), (2, 3)), ((2, 3), (-1,)), ((2, 3, 4), (4, 6)), ((0,), (0, 5)), ((1,), ())],
        lambda x, s: x.reshape(s),
        "reshape",
    ),
    view("permute", [((2, 3, 4), (2, 0, 1)), ((2, 3), (-1, 0)), ((), ())], np.transpose, "permute"),
    view("transpose", [((2, 3, 4), 0, 2), ((2, 3), -1, 0), ((2, 3), 1, 1)], np.swapaxes, "transpose"),
    view("t", [((2, 3),), ((3,),), ((),)], lambda x: x.T),
    view("mT", [((2, 3),), ((2, 3, 4),)], lambda x: np.swapaxes(x, -1, -2), lambda m, x: x.mT),
    view("movedim", [((2, 3, 4), 0, 2), ((2, 3, 4), (0, 1), (2, 0))], np.moveaxis, "movedim"),
    view("swapaxes", [((2, 3, 4), 0, 1)], np.swapaxes, "swapaxes"),
    view(
        "expand",
        [((1, 3), 2, 3), ((3,), 2, 3), ((2, 1), 2, 4), ((1, 3), -1, 3), ((), 2, 2), ((1,), 0)],
        lambda x, *s: np.broadcast_to(x, [n if n >= 0 else x.shape[i - len(s)] for i, n in enumerate(s)]),
    ),
    view("expand_as", [((1, 3), np.zeros((2, 3), dtype=np.int64))], lambda x, y: np.broadcast_to(x, y.shape)),
    view(
        "squeeze",
        [((1, 3, 1),), ((1, 3, 1), 0), ((1, 3, 1), 1), ((1, 3, 1), -1), ((1, 2, 1), (0, 2)), ((),)],
        squeeze,
        "squeeze",
    ),
    view("unsqueeze", [((3,), 0), ((2, 3), 1), ((2, 3), -1), ((), 0)], np.expand_dims, "unsqueeze"),
    view("narrow", [((5,), 0, 1, 3), ((3, 4), 1, 2, 2), ((3, 4), -1, 0, 0), ((3, 4), 0, -2, 1)], narrow, "narrow"),
    view("select", [((3,), 0, 1), ((3, 4), 1, -1), ((2, 3, 4), 1, 2)], lambda x, d, i: np.take(x, i, d), "select"),
    view("split", [((7,), 3), ((4, 6), 2, 1), ((5, 2), [2, 3]), ((5, 2), [1, 0, 4], 0), ((0, 2), 2)], split, "split"),
    view("chunk", [((7,), 3), ((4, 6), 2, 1), ((5,), 8)], chunk, "chunk"),
    view("unbind", [((3,),), ((3, 2), 1), ((2, 3, 2), -2)], lambda x, d=0: [*np.moveaxis(x, d, 0)], "unbind"),
    view("flatten", [((2, 3),), ((2, 3, 4), 1), ((2, 3, 4), 0, 1), ((),)], flatten, "flatten"),
    view(
        "diagonal", [((3, 4),), ((3, 4), 1), ((4, 3), -2), ((2, 3, 4), 0, 1, 2), ((3, 3), 5)], np.diagonal, "diagonal"
    ),
    view("unfold", [((7,), 0, 3, 2), ((3, 6), 1, 2, 1), ((5, 2), 0, 5, 1)], unfold),
    view(
        "as_strided",
        [((12,), (2, 3), (4, 1)), ((12,), (3, 3), (1, 2), 1), ((3, 4), (2,), (5,))],
        lambda x, size, stride, offset=0: np.lib.stride_tricks.as_strided(
            np.ascontiguousarray(x).reshape(-1)[offset:], size, [s * x.itemsize for s in stride]
        ),
        lambda m, x, *rest: x.contiguous().as_strided(*rest),
    ),
    view(
        "view_as",
        [((6,), np.zeros((2, 3), dtype=np.int64))],
        lambda x, y: x.reshape(y.shape),
        lambda m, x, y: x.contiguous().view_as(y),
    ),
]


def item(name, index, shape=(4, 5, 3)):
    """x[index], for an index of slices and numbers."""
    return Op(f"getitem_{name}", lambda a: [Sample(a(*shape))], lambda x: x[index], lambda m, x: x[index], DTYPES)


ITEMS = [
    item("number", 2),
    item("negative", -1),
    item("slice", slice(1, 3)),
    item("step", slice(None, None, 2)),
    item("ellipsis", (..., 1)),
    item("none", (None, 1, slice(0, 2), None)),
    item("pair", (1, 2)),
    item("all", ()),
    item("empty", slice(3, 1)),
    item("far", slice(1, 100)),
    item("mixed", (slice(0, 3), -2, ...)),
]

JOINING = [
    Op(
        "cat",
        lambda a: [
            Sample([a(2, 3), a(1, 3)]),
            Sample([a(2, 3), a(2, 2)], 1),
            Sample([a(2, 3), a(2, 2)], -1),
            Sample([a(3)]),
            Sample([a(0, 3), a(2, 3)]),
            Sample([a(2, 1, 2), a(2, 4, 2), a(2, 2, 2)], 1),
        ],
        lambda xs, d=0: np.concatenate(xs, d),
        dtypes=DTYPES,
    ),
    Op(
        "stack",
        lambda a: [
            Sample([a(3), a(3)]),
            Sample([a(2, 3), a(2, 3)], 1),
            Sample([a(), a(), a()]),
            Sample([a(2, 3), a(2, 3)], -1),
        ],
        lambda xs, d=0: np.stack(xs, d),
        dtypes=DTYPES,
    ),
    Op(
        "repeat",
        lambda a: [Sample(a(3), 2), Sample(a(2, 3), 2, 1), Sample(a(2, 3), 2, 1, 3), Sample(a(3), 0)],
        lambda x, *r: np.tile(x, r),
        method("repeat"),
        DTYPES,
    ),
    Op(
        "flip",
        lambda a: [Sample(a(4), (0,)), Sample(a(2, 3), (1,)), Sample(a(2, 3, 2), (0, 2)), Sample(a(0, 2), (0,))],
        np.flip,
        dtypes=DTYPES,
    ),
    Op(
        "roll",
        lambda a: [Sample(a(5), 2), Sample(a(3, 4), 1, 1), Sample(a(3, 4), (1, -1), (0, 1)), Sample(a(3, 4), 5)],
        roll,
        dtypes=DTYPES,
    ),
    Op(
        "tril",
        lambda a: [Sample(a(3, 4)), Sample(a(4, 3), 1), Sample(a(2, 3, 3), -1), Sample(a(0, 3))],
        lambda x, k=0: np.tril(x, k),
        dtypes=DTYPES,
    ),
    Op(
        "triu",
        lambda a: [Sample(a(3, 4)), Sample(a(4, 3), 1), Sample(a(2, 3, 3), -1)],
        lambda x, k=0: np.triu(x, k),
        dtypes=DTYPES,
    ),
    Op("clone", lambda a: [Sample(a()), Sample(a(3, 4)), Sample(a(0, 2))], np.copy, dtypes=DTYPES),
    Op("contiguous", lambda a: [Sample(a(3, 4)), Sample(a(2, 3, 4))], np.copy, method("contiguous"), DTYPES),
]

SHAPES = VIEWS + ITEMS + JOINING
