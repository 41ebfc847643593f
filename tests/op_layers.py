"""Records of functions that layers are made of: attention, bags of embeddings, distances, recurrent networks."""

import math

import numpy as np

from op_record import FLOATS, Op, Sample

HALF = {"float16": (8e-3, 8e-3), "bfloat16": (6e-2, 6e-2)}
BOTH = ("float32", "float64")


def softmax(x, dim):
    e = np.exp(x - x.max(dim, keepdims=True)) if x.size else x
    return e / e.sum(dim, keepdims=True) if x.size else x


def attention(q, k, v, attn_mask=None, is_causal=False, scale=None):
    scores = q @ np.swapaxes(k, -1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    allowed = np.ones(scores.shape[-2:], bool)
    if is_causal:
        allowed = np.tril(allowed)
    if attn_mask is not None:
        if attn_mask.dtype == bool:
            allowed = allowed & attn_mask
        else:
            scores = scores + attn_mask
    scores = np.where(allowed, scores, -np.inf)
    blind = np.broadcast_to(~allowed.any(-1, keepdims=True), (*scores.shape[:-1], 1))
    return np.where(blind, 0, softmax(np.where(blind, 0, scores), -1) @ v)


def attention_samples(a):
    blind = np.array([[True, False, True, True], [False] * 4, [True] * 4])
    return [
        Sample(a(3, 5), a(4, 5), a(4, 2)),
        Sample(a(2, 3, 5), a(2, 4, 5), a(2, 4, 5), scale=0.3),
        Sample(a(2, 2, 3, 5), a(2, 2, 3, 5), a(2, 2, 3, 5), is_causal=True),
        Sample(a(2, 3, 5), a(2, 4, 5), a(2, 4, 5), a(3, 4)),
        Sample(a(2, 3, 5), a(2, 4, 5), a(2, 4, 5), blind),
    ]


def bag(indices, table, offsets=None, mode="mean", per_sample_weights=None, padding_idx=None):
    flat = indices.reshape(-1)
    weights = np.ones(flat.shape) if per_sample_weights is None else per_sample_weights.reshape(-1)
    starts = range(0, flat.size, indices.shape[1]) if offsets is None else offsets
    rows = []
    for start, stop in zip(starts, [*list(starts)[1:], flat.size]):
        kept = [i for i in range(start, stop) if flat[i] != padding_idx]
        picked = table[flat[kept]] * weights[kept][:, None]
        if not kept:
            rows.append(np.zeros(table.shape[1]))
        else:
            rows.append({"sum": picked.sum, "mean": picked.mean, "max": picked.max}[mode](0))
    return np.stack(rows)


def bag_samples(a):
    rows, flat, offsets = a.index(5, 2, 3), a.index(5, 7), np.array([0, 2, 2, 5])
    return [
        Sample(rows, a.spread(5, 3)),
        Sample(flat, a.spread(5, 3), offsets, mode="sum"),
        Sample(flat, a.spread(5, 3), offsets, mode="mean", padding_idx=2),
        Sample(flat, a.spread(5, 3), offsets, mode="max"),
        Sample(rows, a.spread(5, 3), mode="max", padding_idx=1),
        Sample(rows, a.spread(5, 3), mode="sum", per_sample_weights=a(2, 3)),
    ]


def pdist(x, p=2.0):
    first, second = np.triu_indices(len(x), 1)
    return np.linalg.norm(x[first] - x[second], p, axis=1) if len(first) else np.zeros(0)


def cosine(a, b, dim=1):
    return (a * b).sum(dim) / (np.linalg.norm(a, axis=dim) * np.linalg.norm(b, axis=dim))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_cell(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = np.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, 1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    (r, z, n), (hr, hz, hn) = np.split(x @ w_ih.T + b_ih, 3, 1), np.split(h @ w_hh.T + b_hh, 3, 1)
    n = np.tanh(n + sigmoid(r + hr) * hn)
    return n + sigmoid(z + hz) * (h - n)


def over_time(cell, states):
    """The cell over a sequence (T, B, I): the outputs of all steps."""

    def run(x, *rest):
        state, weights = rest[:states], rest[states:]
        outputs = []
        for step in x:
            state = cell(step, *state, *weights)
            state = state if isinstance(state, tuple) else (state,)
            outputs.append(state[0])
        return np.stack(outputs)

    return run


def layer(name):
    """The functional form of a recurrent layer, as other programs call it."""

    def call(m, x, *rest):
        states = 2 if name == "lstm" else 1
        state = tuple(s.unsqueeze(0) for s in rest[:states])
        state = state if name == "lstm" else state[0]
        return getattr(m, name)(x, state, list(rest[states:]), True, 1, 0.0, False, False, False)[0]

    return call


def cell_samples(gates, states, time=()):
    def samples(a):
        weights = a(gates * 4, 3), a(gates * 4, 4), a(gates * 4), a(gates * 4)
        return [
            Sample(a(*time, 2, 3), *[a(2, 4) for _ in range(states)], *weights),
            Sample(a(*time, 1, 3), *[a(1, 4) for _ in range(states)], *weights),
        ]

    return samples


LAYERS = [
    Op(
        "scaled_dot_product_attention",
        attention_samples,
        attention,
        "nn.functional.scaled_dot_product_attention",
        FLOATS,
        tolerance={"float32": (1e-5, 1e-5), **HALF},
    ),
    Op("embedding_bag", bag_samples, bag, "nn.functional.embedding_bag", BOTH, layouts=False),
    Op(
        "pdist",
        lambda a: [Sample(a.spread(4, 3)), Sample(a.spread(4, 3), 1.0), Sample(a.spread(4, 3), 3.0), Sample(a(1, 3))],
        pdist,
        "nn.functional.pdist",
        BOTH,
    ),
    Op(
        "cosine_similarity",
        lambda a: [Sample(a(3, 4), a(3, 4)), Sample(a(3, 4), a(3, 4), dim=0), Sample(a(2, 3, 4), a(2, 3, 4), dim=-1)],
        cosine,
        "nn.functional.cosine_similarity",
        BOTH,
    ),
    Op(
        "lstm_cell",
        cell_samples(4, 2),
        lstm_cell,
        lambda m, x, h, c, *w: m.lstm_cell(x, (h, c), *w),
        BOTH,
        domain=(-1.0, 1.0),
    ),
    Op("gru_cell", cell_samples(3, 1), gru_cell, dtypes=BOTH, domain=(-1.0, 1.0)),
    Op("lstm", cell_samples(4, 2, (3,)), over_time(lstm_cell, 2), layer("lstm"), BOTH, domain=(-1.0, 1.0)),
    Op("gru", cell_samples(3, 1, (3,)), over_time(gru_cell, 1), layer("gru"), BOTH, domain=(-1.0, 1.0)),
]
