"""Records of the functions on images but convolutions: pooling, normalisation by channels, resampling, folding."""

import numpy as np

from checks import Constant
from op_convolution import CONVOLUTIONS, LOOSE, each, taps_of
from op_record import FLOATS, NUMBERS, Op, Sample

# ---- pooling: the windows one by one


def windows_of(x, n, kernel, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Places of the output and the elements of each window: (index, values, flat places, size with padding)."""
    kernel, padding, dilation = each(kernel, n), each(padding, n), each(dilation, n)
    stride = kernel if stride is None else each(stride, n)
    size = x.shape[-n:]
    counts = []
    for i, k, s, p, d in zip(size, kernel, stride, padding, dilation):
        room = i + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)
        count = room // s + 1
        counts.append(count - 1 if ceil_mode and (count - 1) * s >= i + p else count)
    for out in taps_of(counts):
        axes, whole = [], 1
        for o, i, k, s, p, d in zip(out, size, kernel, stride, padding, dilation):
            begin = o * s - p
            whole *= min(begin + k, i + p) - begin
            axes.append([begin + j * d for j in range(k) if 0 <= begin + j * d < i])
        yield counts, out, axes, whole


def max_pool(n):
    def ref(x, kernel, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        values = places = None
        for counts, out, axes, _ in windows_of(x, n, kernel, stride, padding, dilation, ceil_mode):
            if values is None:
                values = np.zeros((*x.shape[:-n], *counts), dtype=x.dtype)
                places = np.zeros(values.shape, dtype=np.int64)
            part = x[(..., *np.ix_(*axes))].reshape(*x.shape[:-n], np.prod([len(axis) for axis in axes]))
            flat = np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), x.shape[-n:]).reshape(-1)
            values[(..., *out)], places[(..., *out)] = part.max(-1), flat[part.argmax(-1)]
        return (values, places) if return_indices else values

    return ref


def avg_pool(n):
    def ref(x, kernel, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
        values = None
        for counts, out, axes, whole in windows_of(x, n, kernel, stride, padding, 1, ceil_mode):
            if values is None:
                values = np.zeros((*x.shape[:-n], *counts), dtype=x.dtype)
            part = x[(..., *np.ix_(*axes))].reshape(*x.shape[:-n], np.prod([len(axis) for axis in axes]))
            count = divisor_override or (whole if count_include_pad else part.shape[-1])
            mean = part.sum(-1) / count
            values[(..., *out)] = np.trunc(mean) if x.dtype.kind == "i" else mean
        return values

    return ref


def adaptive(n, reduce):
    def ref(x, size):
        size = [i if o is None else o for o, i in zip(each(size, n), x.shape[-n:])]
        out = np.zeros((*x.shape[:-n], *size), dtype=x.dtype)
        for at in taps_of(size):
            where = tuple(
                slice(o * i // count, -(-(o + 1) * i // count)) for o, i, count in zip(at, x.shape[-n:], size)
            )
            out[(..., *at)] = reduce(x[(..., *where)].reshape(*x.shape[:-n], -1), -1)
        return out

    return ref


MAX_SAMPLES = {
    1: lambda a: [
        Sample(a.spread(1, 2, 7), 3),
        Sample(a.spread(2, 9), 2, 3, 1),
        Sample(a.spread(1, 1, 8), (3,), (2,), (1,), (2,), True, True),
    ],
    2: lambda a: [
        Sample(a.spread(1, 2, 4, 4), 2),
        Sample(a.spread(2, 3, 5), (2, 3), (1, 2), 1),
        Sample(a.spread(1, 1, 5, 6), 3, 2, 1, (1, 2), True, return_indices=True),
        Sample(a.spread(2, 3, 9, 11), 3, 2, 1),
        Sample(a.spread(0, 2, 4, 4), 2),
    ],
    3: lambda a: [
        Sample(a.spread(1, 1, 2, 4, 4), 2),
        Sample(a.spread(1, 2, 3, 4), (1, 2, 2), 1, (0, 1, 0), return_indices=True),
        Sample(a.spread(2, 3, 4, 5, 6), 3, 2, 1, ceil_mode=True),
    ],
}
AVG_SAMPLES = {
    1: lambda a: [
        Sample(a(1, 2, 7), 3),
        Sample(a(2, 9), 2, 3, 1, True, False),
        Sample(a(1, 1, 5), kernel_size=2, stride=2, padding=1, ceil_mode=True, count_include_pad=True),
    ],
    2: lambda a: [
        Sample(a(1, 2, 4, 4), 2),
        Sample(a(2, 3, 5), (2, 3), (1, 2), 1, False, False),
        Sample(a(1, 1, 5, 6), 3, 2, 1, True, divisor_override=5),
        Sample(a(2, 3, 9, 11), 3, 2, 1, True),
        Sample(a(0, 2, 4, 4), 2),
    ],
    3: lambda a: [
        Sample(a(1, 1, 2, 4, 4), 2),
        Sample(a(1, 2, 3, 4), (1, 2, 2), 1, (0, 1, 0), False, False, 3),
        Sample(a(2, 3, 4, 5, 6), 3, 2, 1, True),
    ],
}
SIZES = {1: [3, 9, (1,)], 2: [2, (3, None), (5, 1)], 3: [(1, 2, 3), (None, 2, None), 2]}
SHAPES = {1: [(2, 2, 7), (3, 4)], 2: [(1, 2, 4, 5), (2, 3, 3)], 3: [(1, 1, 2, 3, 4), (2, 2, 3, 3)]}


def adaptive_samples(n, make):
    return [Sample(make(*shape), size) for shape, size in zip([*SHAPES[n], SHAPES[n][0]], SIZES[n])]


def renamed(ref):
    """With torch's names of keywords."""
    return lambda x, kernel_size, *args, **kwargs: ref(x, kernel_size, *args, **kwargs)


POOLING = []
for n in (1, 2, 3):
    POOLING += [
        # max_pool1d of integers is ours alone
        Op(f"max_pool{n}d", MAX_SAMPLES[n], max_pool(n), f"nn.functional.max_pool{n}d", NUMBERS),
        Op(
            f"avg_pool{n}d",
            AVG_SAMPLES[n],
            renamed(avg_pool(n)),
            f"nn.functional.avg_pool{n}d",
            (*FLOATS, "int64"),
        ),
        Op(
            f"adaptive_avg_pool{n}d",
            lambda a, n=n: adaptive_samples(n, a),
            adaptive(n, np.mean),
            f"nn.functional.adaptive_avg_pool{n}d",
            FLOATS,
        ),
        Op(
            f"adaptive_max_pool{n}d",
            lambda a, n=n: adaptive_samples(n, a.spread),
            adaptive(n, np.max),
            f"nn.functional.adaptive_max_pool{n}d",
            FLOATS,
        ),
        Op(
            f"lp_pool{n}d",
            lambda a, n=n: [Sample(a(*SHAPES[n][0]), 2.0, 2), Sample(a(*SHAPES[n][1]), 3.0, 2, 1, True)],
            call=f"nn.functional.lp_pool{n}d",
            dtypes=("float32", "float64"),
            domain=(0.5, 3),
            tolerance=LOOSE,
        ),
    ]


def unpool(name):
    """torch's gradient needs a contiguous input."""
    return lambda m, x, indices, *rest: getattr(m.nn.functional, name)(x.contiguous(), indices.contiguous(), *rest)


POOLING += [
    Op(
        "max_unpool2d",
        lambda a: [
            Sample(a(1, 1, 2, 2), np.array([[[[5, 7], [8, 14]]]]), 2),
            Sample(a(1, 2, 2), np.array([[[6, 2], [10, 20]]]), 2, 2, 0, (5, 5)),
        ],
        call=unpool("max_unpool2d"),
        dtypes=("float32", "float64"),
    ),
    Op(
        "max_unpool1d",
        lambda a: [Sample(a(1, 2, 3), np.array([[[0, 3, 4], [1, 2, 5]]]), 2)],
        call=unpool("max_unpool1d"),
        dtypes=("float32", "float64"),
    ),
    Op(
        "max_unpool3d",
        lambda a: [Sample(a(1, 1, 1, 2, 2), np.array([[[[[5, 7], [8, 14]]]]]), (1, 2, 2))],
        call=unpool("max_unpool3d"),
        dtypes=("float32", "float64"),
    ),
    Op(
        "fractional_max_pool2d",
        lambda a: [
            Sample(a.spread(1, 2, 4, 5), 2, (3, 2), _random_samples=Constant(a(1, 2, 2, low=0, high=0.99))),
            Sample(
                a.spread(1, 7, 6),
                (2, 3),
                output_ratio=(0.5, 0.5),
                _random_samples=Constant(a(1, 1, 2, low=0, high=0.99)),
            ),
        ],
        call="nn.functional.fractional_max_pool2d",
        dtypes=("float32", "float64"),
    ),
    Op(
        "fractional_max_pool3d",
        lambda a: [
            Sample(
                a.spread(1, 1, 4, 3, 3),
                2,
                (2, 1, 1),
                return_indices=True,
                _random_samples=Constant(a(1, 1, 3, low=0, high=0.99)),
            )
        ],
        call="nn.functional.fractional_max_pool3d",
        dtypes=("float32", "float64"),
    ),
]


# ---- normalisation


def channel_norm(x, dims, mean, var, weight, bias, eps):
    column = (1, -1, *[1] * (x.ndim - 2))
    mean = x.mean(dims, keepdims=True) if mean is None else mean.reshape(column)
    var = x.var(dims, keepdims=True) if var is None else var.reshape(column)
    y = (x - mean) / np.sqrt(var + eps)
    y = y if weight is None else y * weight.reshape(column)
    return y if bias is None else y + bias.reshape(column)


def batch_norm(x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    dims = (0, *range(2, x.ndim))
    return channel_norm(x, dims, None if training else mean, None if training else var, weight, bias, eps)


def instance_norm(x, mean=None, var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5):
    dims = tuple(range(2, x.ndim))
    return channel_norm(x, dims, None if use_input_stats else mean, None if use_input_stats else var, weight, bias, eps)


def statistics(a, n):
    return Constant(a(n, low=-1, high=1)), Constant(a(n, low=0.5, high=2))


def batch_norm_samples(a):
    return [
        Sample(a(4, 2), None, None, a(2), a(2), True),
        Sample(a(3, 2, 4), None, None, a(2), None, True, 0.1, 0.01),
        Sample(a(2, 2, 2, 3), *statistics(a, 2), a(2), a(2)),
        Sample(a(5, 19), *statistics(a, 19), a(19), a(19)),
        Sample(a(2, 3, 4, 3, 2), None, None, None, a(3), True),
    ]


def instance_norm_samples(a):
    return [
        Sample(a(2, 2, 4)),
        Sample(a(2, 2, 5), None, None, a(2), a(2), eps=0.01),
        Sample(a(2, 2, 2, 3), *statistics(a, 2), a(2), a(2), False),
        Sample(a(1, 3, 2, 3, 2)),
    ]


NORM = {"float32": (2e-4, 2e-5), "float64": (1e-8, 1e-9), "float16": (1e-2, 1e-2), "bfloat16": (8e-2, 8e-2)}


def group_norm(x, groups, weight=None, bias=None, eps=1e-5):
    rows = x.reshape(x.shape[0], groups, int(np.prod(x.shape[1:])) // groups)
    y = (rows - rows.mean(2, keepdims=True)) / np.sqrt(rows.var(2, keepdims=True) + eps)
    column = (1, -1, *[1] * (x.ndim - 2))
    y = y.reshape(x.shape)
    y = y if weight is None else y * weight.reshape(column)
    return y if bias is None else y + bias.reshape(column)


NORMS = [
    Op(
        "group_norm",
        lambda a: [
            Sample(a(2, 4, 3), 2, a(4), a(4)),
            Sample(a(2, 4, 2, 2), 1, a(4), None, 0.01),
            Sample(a(3, 6), 2, a(6)),
            Sample(a(2, 2, 3), 2),
            Sample(a(2, 12, 5, 7), 3, a(12), a(12)),
        ],
        group_norm,
        "nn.functional.group_norm",
        ("float32", "float64"),
        tolerance=NORM,
    ),
    Op(
        "batch_norm",
        batch_norm_samples,
        batch_norm,
        "nn.functional.batch_norm",
        ("float32", "float64"),
        tolerance=NORM,
    ),
    Op(
        "instance_norm",
        instance_norm_samples,
        instance_norm,
        "nn.functional.instance_norm",
        ("float32", "float64"),
        tolerance=NORM,
    ),
    Op(
        "local_response_norm",
        lambda a: [Sample(a(2, 4, 3), 2), Sample(a(1, 3, 2, 2), 3, 0.1, 0.7, 1.2), Sample(a(1, 5, 2, 1, 2), 4)],
        call="nn.functional.local_response_norm",
        dtypes=("float32", "float64"),
        tolerance=NORM,
    ),
]


# ---- resampling


def interpolation(mode, shapes, **options):
    def samples(a):
        made = []
        for shape, where in shapes:
            made.append(Sample(a(*shape), mode=mode, **where, **options))
        return made

    title = "_".join(["interpolate", mode, *options])
    loose = {"float32": (2e-5, 2e-5), "float64": (1e-9, 1e-9), "float16": (4e-3, 4e-3), "bfloat16": (4e-2, 4e-2)}
    return Op(
        title, samples, call=floats_only("interpolate"), dtypes=("float32", "float64"), tolerance=loose
    )


def floats_only(name):
    """torch interpolates uint8 in a fixed-point arithmetic of its own; see test_nn_vision for these."""

    def call(m, x, *args, **kwargs):
        if not x.is_floating_point():
            raise NotImplementedError(f"{name} of {x.dtype} is not implemented for this test")
        return getattr(m.nn.functional, name)(x, *args, **kwargs)

    return call


ONE = [
    ((1, 2, 5), {"size": 7}),
    ((2, 1, 6), {"scale_factor": 0.6}),
    ((1, 1, 4), {"scale_factor": 2.3, "recompute_scale_factor": True}),
]
TWO = [
    ((1, 2, 3, 4), {"size": (5, 2)}),
    ((1, 1, 4, 3), {"scale_factor": (1.7, 2)}),
    ((2, 2, 3, 3), {"scale_factor": 2}),
]
THREE = [((1, 1, 2, 3, 2), {"size": (3, 2, 5)}), ((1, 2, 2, 2, 3), {"scale_factor": 1.5})]
RESAMPLING = [
    interpolation("nearest", ONE + TWO + THREE),
    interpolation("nearest-exact", ONE + TWO + THREE),
    interpolation("area", ONE + TWO + THREE),
    interpolation("linear", ONE),
    interpolation("linear", ONE, align_corners=True),
    interpolation("bilinear", TWO),
    interpolation("bilinear", TWO, align_corners=True),
    interpolation("bilinear", TWO, antialias=True),
    interpolation("bicubic", TWO),
    interpolation("bicubic", TWO, align_corners=True),
    interpolation("bicubic", TWO, antialias=True),
    interpolation("lanczos", TWO, antialias=True),
    interpolation("trilinear", THREE),
    interpolation("trilinear", THREE, align_corners=True),
]


def grids(mode, flat):
    def samples(a):
        made = []
        for padding in ("zeros", "border", "reflection"):
            for aligned in (False, True):
                made.append(Sample(a(1, 2, 3, 4), a(1, 2, 1, 2, low=-1.9, high=1.9), mode, padding, aligned))
                if not flat:
                    made.append(Sample(a(1, 1, 2, 3, 2), a(1, 2, 1, 1, 3, low=-1.9, high=1.9), mode, padding, aligned))
        return made

    return Op(
        "grid_sample_" + mode,
        samples,
        call="nn.functional.grid_sample",
        dtypes=("float32", "float64"),
        tolerance={"float64": (1e-8, 1e-9), "float32": (2e-4, 2e-4)},
    )


def pixel_shuffle(x, r):
    *lead, c, h, w = x.shape
    k = len(lead)
    x = x.reshape(*lead, c // r**2, r, r, h, w)
    return x.transpose(*range(k + 1), k + 3, k + 1, k + 4, k + 2).reshape(*lead, c // r**2, h * r, w * r)


def pixel_unshuffle(x, r):
    *lead, c, h, w = x.shape
    k = len(lead)
    x = x.reshape(*lead, c, h // r, r, w // r, r)
    return x.transpose(*range(k + 1), k + 2, k + 4, k + 1, k + 3).reshape(*lead, c * r**2, h // r, w // r)


def channel_shuffle(x, groups):
    n, c, *rest = x.shape
    return x.reshape(n, groups, c // groups, *rest).swapaxes(1, 2).reshape(x.shape)


SHUFFLES = [
    Op(
        "pixel_shuffle",
        lambda a: [Sample(a(1, 4, 2, 3), 2), Sample(a(9, 1, 2), 3)],
        pixel_shuffle,
        dtypes=NUMBERS,
    ),
    Op("pixel_unshuffle", lambda a: [Sample(a(1, 1, 4, 2), 2), Sample(a(2, 3, 6), 3)], pixel_unshuffle, dtypes=NUMBERS),
    Op("channel_shuffle", lambda a: [Sample(a(1, 4, 2, 3), 2), Sample(a(2, 6, 2), 3)], channel_shuffle, dtypes=NUMBERS),
    Op(
        "unfold_columns",
        lambda a: [
            Sample(a(1, 2, 3, 4), 2),
            Sample(a(2, 3, 4), (2, 1), 1, (1, 0), 2),
            Sample(a(1, 1, 5, 5), 2, dilation=2, padding=1, stride=(1, 2)),
        ],
        call="nn.functional.unfold",
        dtypes=FLOATS,
    ),
    Op(
        "fold_columns",
        lambda a: [
            Sample(a(1, 4, 4), (3, 3), 2),
            Sample(a(4, 6), (4, 5), 2, 1, (0, 1), 2),
            Sample(a(1, 4, 6), (3, 4), 2, dilation=1),
        ],
        call="nn.functional.fold",
        dtypes=FLOATS,
        tolerance=LOOSE,
    ),
    Op(
        "affine_grid",
        lambda a: [
            Sample(a(1, 2, 3), (1, 1, 2, 3), False),
            Sample(a(2, 2, 3), [2, 1, 1, 3], True),
            Sample(a(1, 3, 4), (1, 1, 2, 1, 2), align_corners=False),
        ],
        call="nn.functional.affine_grid",
        dtypes=("float32", "float64"),
        tolerance={"float32": (2e-5, 2e-5), "float64": (1e-9, 1e-9)},
    ),
]

VISION = CONVOLUTIONS + POOLING + NORMS + RESAMPLING + SHUFFLES
VISION += [grids("bilinear", False), grids("nearest", False), grids("bicubic", True)]
