"""Records of losses and of layers that run along rows: softmax, layer norm, linear."""

import numpy as np

from checks import Constant
from op_layers import LAYERS, softmax
from op_record import FLOATS, Op, Sample
from op_rows import softplus


def log_softmax(x, dim):
    if not x.size:
        return x
    x = x - x.max(dim, keepdims=True)
    return x - np.log(np.exp(x).sum(dim, keepdims=True))


def reduced(values, reduction):
    return {"mean": np.mean, "sum": np.sum, "none": lambda v: v}[reduction](values)


def pairwise(name, formula, target=(-3, 3), domain=(-3, 3), **arguments):
    def samples(a):
        return [
            Sample(a(*s), a(*s, low=target[0], high=target[1]), reduction=r, **arguments)
            for s, r in [((4,), "mean"), ((3, 4), "sum"), ((2, 3, 2), "none"), ((), "mean"), ((0,), "sum")]
        ]

    def ref(x, t, reduction="mean", **kwargs):
        return reduced(formula(x, t, **kwargs), reduction)

    return Op(name, samples, ref, f"nn.functional.{name}", FLOATS, domain=domain, rows=(name,))


def smooth_l1(x, t, beta):
    d = np.abs(x - t)
    return np.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)


def huber(x, t, delta):
    d = np.abs(x - t)
    return np.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def nll(logp, t, weight=None, reduction="mean", ignore_index=-100):
    weight = np.ones(logp.shape[1]) if weight is None else weight
    keep = t != ignore_index
    safe = np.where(keep, t, 0)
    picked = -np.take_along_axis(logp, safe[:, None], 1)[:, 0]
    w = weight[safe] * keep
    if reduction == "mean":
        return np.asarray((picked * w).sum() / w.sum())
    return reduced(picked * w, reduction)


def class_samples(a):
    ignored = a.index(4, 6)
    ignored[[1, 4]] = -100
    return [
        Sample(a(5, 4), a.index(4, 5)),
        Sample(a(5, 4), a.index(4, 5), reduction="sum"),
        Sample(a(5, 4), a.index(4, 5), reduction="none"),
        Sample(a(5, 4), a.index(4, 5), weight=Constant(a(4, low=0.5, high=2))),
        Sample(a(6, 4), ignored),
        Sample(a(6, 4), ignored, weight=Constant(a(4, low=0.5, high=2)), reduction="none"),
        Sample(a(1, 4), a.index(4, 1)),
    ]


def cross_entropy(x, t, weight=None, reduction="mean", ignore_index=-100):
    return nll(log_softmax(x, 1), t, weight, reduction, ignore_index)


def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    dims = tuple(range(-len(shape), 0))
    y = (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def row_samples(a):
    return [
        Sample(a(7), 0),
        Sample(a(3, 5), 1),
        Sample(a(3, 5), 0),
        Sample(a(2, 3, 4), 1),
        Sample(a(2, 3, 4), -1),
        Sample(a(2, 0), 1),
        Sample(a(0, 3), 1),
        Sample(a(3, 1), 1),
    ]


HALF = {"float16": (4e-3, 4e-3), "bfloat16": (3e-2, 3e-2)}

LOSSES = [
    pairwise("mse_loss", lambda x, t: (x - t) ** 2),
    pairwise("l1_loss", lambda x, t: np.abs(x - t)),
    pairwise("smooth_l1_loss", smooth_l1, beta=0.7),
    pairwise("huber_loss", huber, delta=1.3),
    pairwise(
        "binary_cross_entropy", lambda x, t: -(t * np.log(x) + (1 - t) * np.log(1 - x)), (0.05, 0.95), (0.05, 0.95)
    ),
    pairwise("binary_cross_entropy_with_logits", lambda x, t: (1 - t) * x + softplus(-x), (0.05, 0.95)),
    Op("nll_loss", class_samples, nll, "nn.functional.nll_loss", ("float32", "float64"), tolerance=HALF),
    Op(
        "cross_entropy",
        class_samples,
        cross_entropy,
        "nn.functional.cross_entropy",
        ("float32", "float64"),
        tolerance=HALF,
    ),
    Op("softmax", row_samples, softmax, dtypes=FLOATS),
    Op("log_softmax", row_samples, log_softmax, dtypes=FLOATS),
    Op(
        "layer_norm",
        lambda a: [
            Sample(a(3, 5), (5,)),
            Sample(a(2, 3, 4), (3, 4)),
            Sample(a(3, 5), (5,), a(5), a(5)),
            Sample(a(2, 3, 4), (4,), a(4), a(4), 1e-3),
            Sample(a(0, 4), (4,), a(4), a(4)),
        ],
        layer_norm,
        "nn.functional.layer_norm",
        FLOATS,
        tolerance={"float32": (1e-4, 1e-5), "float16": (8e-3, 8e-3), "bfloat16": (6e-2, 6e-2)},
    ),
    Op(
        "linear",
        lambda a: [
            Sample(a(3, 4), a(2, 4), a(2)),
            Sample(a(4), a(2, 4), a(2)),
            Sample(a(2, 3, 4), a(5, 4)),
            Sample(a(0, 4), a(2, 4), a(2)),
            Sample(a(3, 4), a(2, 4)),
        ],
        lambda x, w, b=0: x @ w.T + b,
        "nn.functional.linear",
        FLOATS,
        tolerance={"float32": (1e-5, 1e-5), "float16": (8e-3, 2e-2), "bfloat16": (6e-2, 2e-1)},
    ),
    *LAYERS,
]
