"""Records of convolutions: sums over kernel elements, written out."""

import itertools

import numpy as np

from op_record import NUMBERS, Op, Sample

LOOSE = {"float32": (2e-5, 2e-5), "float16": (8e-3, 2e-2), "bfloat16": (6e-2, 2e-1)}


def each(value, n):
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


def taps_of(kernel):
    return itertools.product(*map(range, kernel))


def conv(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    n = w.ndim - 2
    if x.ndim == n + 1:
        return conv(x[None], w, b, stride, padding, dilation, groups)[0]
    stride, dilation, kernel = each(stride, n), each(dilation, n), w.shape[2:]
    reach = [(k - 1) * d for k, d in zip(kernel, dilation)]
    if padding == "same":
        around = [(r // 2, r - r // 2) for r in reach]
    else:
        around = [(p, p) for p in each(0 if padding == "valid" else padding, n)]
    x = np.pad(x, [(0, 0), (0, 0), *around])
    size = [(s - r - 1) // t + 1 for s, r, t in zip(x.shape[2:], reach, stride)]
    out = np.zeros((x.shape[0], w.shape[0], *size), dtype=x.dtype)
    for group in range(groups):
        rows = slice(group * w.shape[0] // groups, (group + 1) * w.shape[0] // groups)
        channels = slice(group * w.shape[1], (group + 1) * w.shape[1])
        for tap in taps_of(kernel):
            where = tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(tap, dilation, size, stride))
            part = x[(slice(None), channels, *where)]
            out[:, rows] += np.einsum("oc,nc...->no...", w[(rows, slice(None), *tap)], part)
    return out if b is None else out + b.reshape(-1, *[1] * n)


def conv_transpose(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    n = w.ndim - 2
    if x.ndim == n + 1:
        return conv_transpose(x[None], w, b, stride, padding, output_padding, groups, dilation)[0]
    stride, padding, extra, dilation = (each(v, n) for v in (stride, padding, output_padding, dilation))
    kernel = w.shape[2:]
    size = [(i - 1) * s + (k - 1) * d + 1 + e for i, s, k, d, e in zip(x.shape[2:], stride, kernel, dilation, extra)]
    out = np.zeros((x.shape[0], w.shape[1] * groups, *size), dtype=x.dtype)
    for group in range(groups):
        rows = slice(group * w.shape[1], (group + 1) * w.shape[1])
        channels = slice(group * w.shape[0] // groups, (group + 1) * w.shape[0] // groups)
        for tap in taps_of(kernel):
            where = tuple(
                slice(t * d, t * d + (i - 1) * s + 1, s) for t, d, i, s in zip(tap, dilation, x.shape[2:], stride)
            )
            out[(slice(None), rows, *where)] += np.einsum(
                "co,nc...->no...", w[(channels, slice(None), *tap)], x[:, channels]
            )
    inner = tuple(slice(p, s - p) for p, s in zip(padding, size))
    out = out[(slice(None), slice(None), *inner)]
    return out if b is None else out + b.reshape(-1, *[1] * n)


def conv1d_samples(a):
    return [
        Sample(a(2, 1, 6), a(2, 1, 3), a(2)),
        Sample(a(2, 5), a(2, 2, 2), a(2), 2, 1),
        Sample(a(1, 2, 7), a(2, 1, 2), None, dilation=3, groups=2),
        Sample(a(1, 2, 5), a(3, 2, 4), a(3), padding="same"),
        Sample(a(3, 4, 70), a(6, 2, 5), a(6), 3, 2, 2, 2),
        Sample(a(0, 1, 4), a(2, 1, 3), a(2)),
    ]


def conv2d_samples(a):
    return [
        Sample(a(1, 1, 4, 4), a(2, 1, 2, 3), a(2)),
        Sample(a(2, 3, 4), a(1, 2, 2, 2), a(1), (2, 1), (0, 1)),
        Sample(a(1, 2, 3, 4), a(4, 1, 1, 2), None, 1, (1, 0), (2, 1), 2),
        Sample(a(1, 1, 4, 3), a(1, 1, 3, 2), a(1), padding="same"),
        Sample(a(1, 1, 3, 3), a(1, 1, 3, 3), None, padding="valid"),
        Sample(a(2, 3, 9, 8), a(8, 3, 3, 3), a(8), 2, 1),
        Sample(a(2, 6, 7, 9), a(6, 1, 3, 3), a(6), 1, 1, 1, 6),
        Sample(a(1, 17, 6, 6), a(9, 17, 1, 1), a(9)),
        Sample(a(0, 2, 3, 3), a(2, 2, 2, 2), a(2)),
    ]


def conv3d_samples(a):
    return [
        Sample(a(1, 1, 2, 3, 3), a(1, 1, 2, 2, 2), a(1)),
        Sample(a(2, 1, 2, 4), a(2, 1, 1, 1, 3), None, 1, (0, 1, 1), 1, 2),
        Sample(a(2, 3, 5, 4, 6), a(4, 3, 3, 2, 2), a(4), (2, 1, 2), (1, 0, 1), (1, 2, 1)),
    ]


def conv_transpose1d_samples(a):
    return [
        Sample(a(2, 1, 4), a(1, 2, 3), a(2)),
        Sample(a(2, 4), a(2, 2, 2), a(2), 2, 1, 1),
        Sample(a(1, 2, 3), a(2, 1, 2), None, groups=2, dilation=3),
        Sample(a(3, 4, 30), a(4, 3, 5), a(6), 3, 2, 1, 2, 2),
    ]


def conv_transpose2d_samples(a):
    return [
        Sample(a(1, 1, 3, 3), a(1, 2, 2, 3), a(2)),
        Sample(a(2, 2, 3), a(2, 1, 2, 2), a(1), (2, 1), (0, 1), (1, 0)),
        Sample(a(1, 2, 2, 2), a(2, 2, 1, 2), None, 1, 0, 0, 2, (2, 1)),
        Sample(a(2, 5, 7, 6), a(5, 3, 3, 4), a(3), (3, 2), 1, (2, 1)),
        Sample(a(0, 2, 3, 3), a(2, 2, 2, 2), a(2)),
    ]


def conv_transpose3d_samples(a):
    return [
        Sample(a(1, 1, 2, 2, 3), a(1, 1, 2, 2, 2), a(1)),
        Sample(a(2, 3, 2, 4, 3), a(3, 2, 3, 2, 2), a(2), (2, 1, 2), (1, 0, 1), (1, 0, 0)),
    ]


def any_convolution(x, w, b, stride, padding, dilation, transposed, output_padding, groups):
    if transposed:
        return conv_transpose(x, w, b, stride, padding, output_padding, groups, dilation)
    return conv(x, w, b, stride, padding, dilation, groups)


CONVOLUTIONS = [
    Op("conv1d", conv1d_samples, conv, "nn.functional.conv1d", NUMBERS, tolerance=LOOSE),
    Op("conv2d", conv2d_samples, conv, "nn.functional.conv2d", NUMBERS, tolerance=LOOSE),
    Op("conv3d", conv3d_samples, conv, "nn.functional.conv3d", NUMBERS, tolerance=LOOSE),
    Op(
        "conv_transpose1d",
        conv_transpose1d_samples,
        conv_transpose,
        "nn.functional.conv_transpose1d",
        NUMBERS,
        tolerance=LOOSE,
    ),
    Op(
        "conv_transpose2d",
        conv_transpose2d_samples,
        conv_transpose,
        "nn.functional.conv_transpose2d",
        NUMBERS,
        tolerance=LOOSE,
    ),
    Op(
        "conv_transpose3d",
        conv_transpose3d_samples,
        conv_transpose,
        "nn.functional.conv_transpose3d",
        NUMBERS,
        tolerance=LOOSE,
    ),
    Op(
        "convolution",
        lambda a: [
            Sample(a(1, 1, 4, 4), a(2, 1, 2, 2), a(2), [1, 2], [1, 0], [1, 1], False, [0, 0], 1),
            Sample(a(1, 2, 4), a(2, 1, 2), a(1), [2], [0], [1], True, [1], 1),
        ],
        any_convolution,
        dtypes=NUMBERS,
        tolerance=LOOSE,
    ),
]
