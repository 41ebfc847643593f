"""Copies out of other layouts, joins, gathers, scatters, masks."""

import numpy

from benchmarks.cases import case
from benchmarks.elementwise import values


def matrix(name, call, array=None, shape=(4096, 4096), extra=None):
    """extra(numpy) gives one more array: indices or a mask."""

    def make(m, device):
        x = m.tensor(values(shape[0] * shape[1])).to(device).view(*shape)
        e = m.tensor(extra()).to(device) if extra else None
        return lambda: call(m, x, e)

    def arrays(np):
        x = np.asarray(values(shape[0] * shape[1])).reshape(shape)
        e = np.asarray(extra()) if extra else None
        return lambda: array(np, x, e)

    case("layout", name, arrays if array else None)(make)


def integers(high, *shape):
    return lambda: numpy.random.default_rng(1).integers(0, high, shape)


def mask(*shape):
    return lambda: numpy.random.default_rng(1).random(shape) < 0.5


matrix("transpose_copy_16M", lambda m, x, e: x.t().contiguous(), lambda np, x, e: np.ascontiguousarray(x.T))
matrix(
    "permute_nchw_nhwc",
    lambda m, x, e: x.view(32, 64, 56, 56).permute(0, 2, 3, 1).contiguous(),
    None,
    (32 * 64, 56 * 56),
)
matrix("heads_transpose_copy", lambda m, x, e: x.view(16, 128, 8, 64).transpose(1, 2).contiguous(), None, (2048, 512))
matrix("cat_dim1", lambda m, x, e: m.cat([x, x], 1), lambda np, x, e: np.concatenate([x, x], 1), (2048, 1024))
matrix(
    "index_select_rows",
    lambda m, x, e: x.index_select(0, e),
    lambda np, x, e: np.take(x, e, 0),
    (8192, 512),
    integers(8192, 8192),
)
matrix(
    "gather_dim1",
    lambda m, x, e: x.gather(1, e),
    lambda np, x, e: np.take_along_axis(x, e, 1),
    (4096, 1024),
    integers(1024, 4096, 256),
)
matrix(
    "scatter_add", lambda m, x, e: m.zeros_like(x).scatter_add_(1, e, x), None, (1024, 512), integers(512, 1024, 512)
)
matrix("boolean_mask", lambda m, x, e: x[e], lambda np, x, e: x[e], (2048, 2048), mask(2048, 2048))
matrix(
    "masked_fill",
    lambda m, x, e: x.masked_fill(e, 0.0),
    lambda np, x, e: np.where(e, np.float32(0), x),
    (2048, 2048),
    mask(2048, 2048),
)
matrix("tril_2048", lambda m, x, e: x.tril(), lambda np, x, e: np.tril(x), (2048, 2048))
matrix("flip_16M", lambda m, x, e: x.flip(1), lambda np, x, e: np.ascontiguousarray(x[:, ::-1]))
matrix("repeat", lambda m, x, e: x.repeat(4, 2), lambda np, x, e: np.tile(x, (4, 2)), (1024, 512))


@case("layout", "embedding_forward_backward")
def embedding(m, device):
    w = m.tensor(values(10000 * 256).reshape(10000, 256)).to(device).requires_grad_()
    index = m.tensor(integers(10000, 64, 128)()).to(device)
    g = m.ones(64, 128, 256, device=device)

    def run():
        w.grad = None
        m.nn.functional.embedding(index, w).backward(g)

    return run
