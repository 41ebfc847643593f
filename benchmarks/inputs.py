"""Inputs of a case, and `op`, which makes a case of a call on them: forward, backward on a kept graph, or both."""

from dataclasses import dataclass
from functools import lru_cache

import numpy

from benchmarks.cases import case

M = 1 << 20


@lru_cache(6)
def _values(kind, shape, low, high):
    random = numpy.random.default_rng(shape[0] if shape else 0)
    if kind == "int64":
        return random.integers(int(low), int(high), shape)
    if kind == "bool":
        return random.random(shape, dtype=numpy.float32) < 0.5
    values = random.random(shape, dtype=numpy.float32)
    values *= high - low
    values += numpy.float32(low)
    return values


@dataclass(frozen=True)
class Input:
    """A tensor to be made: never zeros, the same in every library. `reverse` tells two operands of one shape apart."""

    shape: tuple
    dtype: str = "float32"
    low: float = 0.1
    high: float = 3.0
    reverse: bool = False
    grad: bool = True  # whether a gradient is wanted where the case has a backward

    def values(self):
        kind = self.dtype if self.dtype in ("int64", "bool") else "float32"
        found = _values(kind, self.shape, self.low, self.high)
        return numpy.ascontiguousarray(found[::-1]) if self.reverse else found

    def tensor(self, m, device):
        return m.tensor(self.values()).to(device).to(getattr(m, self.dtype))

    def differentiable(self):
        return self.grad and self.dtype not in ("int64", "bool")


def real(*shape, **about):
    return Input(shape, **about)


def signed(*shape, **about):
    return Input(shape, **{"low": -1.0, "high": 1.0, **about})


def index(high, *shape):
    return Input(shape, "int64", 0, high)


def mask(*shape):
    return Input(shape, "bool")


def forward(m, call, given, wanted, device):
    def run():
        return call(m, *given)

    run.operands = given
    return run


def _gradient(m, y, device):
    return signed(*y.shape).tensor(m, device).to(y.dtype)


def forward_backward(m, call, given, wanted, device):
    def run():
        for t in wanted:
            t.grad = None
        y = call(m, *given)
        y.backward(g) if y.ndim else y.backward()

    g = _gradient(m, call(m, *given), device)
    return run


def backward(m, call, given, wanted, device):
    """The gradients alone, on a graph that stays."""
    y = call(m, *given)
    g = _gradient(m, y, device)
    return lambda: m.autograd.grad(y, wanted, g, retain_graph=True)


def op(group, name, call, *inputs, mode=forward, wanted=None, array=None, **about):
    """A case: call(m, *tensors).

    mode: forward, forward_backward or backward; wanted: the slice of the inputs whose gradients the latter take;
    array: True if the call works with NumPy as m too, or another call for NumPy.
    """
    places = [k for k, i in enumerate(inputs) if i.differentiable()][wanted or slice(None)]

    def make(m, device):
        given = [i.tensor(m, device) for i in inputs]
        leaves = [given[k].requires_grad_() for k in places] if mode is not forward else []
        return mode(m, call, given, leaves, device)

    def arrays(np):
        given = [np.asarray(i.values()).astype(i.dtype, copy=False) for i in inputs]
        function = call if array is True else array
        return lambda: function(np, *given)

    case(group, name, array=arrays if array else None, **about)(make)
