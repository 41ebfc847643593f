"""16M floats (2^24, as 4096 x 4096 where there are rows) into a fresh tensor; gradients on 4M."""

import numpy

from benchmarks.cases import case

N = 1 << 24


def values(n=N, low=0.1, high=3.0):
    return numpy.random.default_rng(0).uniform(low, high, n).astype(numpy.float32)


def one(name, call, array=None, target=None, n=N, dtype=None):
    def make(m, device):
        x = m.tensor(values(n)).to(device)
        if dtype:
            x = x.to(getattr(m, dtype))
        return lambda: call(m, x)

    def arrays(np):
        x = np.asarray(values(n))
        return lambda: array(np, x)

    case("elementwise", name, arrays if array else None, target)(make)


def two(name, call, array=None, target=None, n=N, dtype=None):
    def make(m, device):
        x, y = m.tensor(values(n)).to(device), m.tensor(values(n)[::-1].copy()).to(device)
        if dtype:
            x, y = (t.to(getattr(m, dtype)) for t in (x, y))
        return lambda: call(m, x, y)

    def arrays(np):
        x, y = np.asarray(values(n)), np.asarray(values(n)[::-1].copy())
        return lambda: array(np, x, y)

    case("elementwise", name, arrays if array else None, target)(make)


two("add_16M", lambda m, x, y: x + y, lambda np, x, y: x + y, 2.5)
two("mul_16M", lambda m, x, y: x * y, lambda np, x, y: x * y, 2.5)
two("div_16M", lambda m, x, y: x / y, lambda np, x, y: x / y)
one("mul_scalar_16M", lambda m, x: x * 2.0, lambda np, x: x * np.float32(2))
one("relu_16M", lambda m, x: x.relu(), lambda np, x: np.maximum(x, np.float32(0)), 2.5)
one("exp_16M", lambda m, x: x.exp(), lambda np, x: np.exp(x), 2.5)
one("log_16M", lambda m, x: x.log(), lambda np, x: np.log(x))
one("tanh_16M", lambda m, x: x.tanh(), lambda np, x: np.tanh(x))
one("sigmoid_16M", lambda m, x: x.sigmoid())
one("gelu_16M", lambda m, x: m.nn.functional.gelu(x))
one("erf_16M", lambda m, x: x.erf())
one("sin_16M", lambda m, x: x.sin(), lambda np, x: np.sin(x))
one("sqrt_16M", lambda m, x: x.sqrt(), lambda np, x: np.sqrt(x))
one("pow2_16M", lambda m, x: x**2, lambda np, x: x**2)
one("clamp_16M", lambda m, x: x.clamp(0.5, 2.0))
one("compare_16M", lambda m, x: x > 1.0, lambda np, x: x > np.float32(1))
one("to_bf16_16M", lambda m, x: x.to(m.bfloat16))
one("to_f64_16M", lambda m, x: x.double(), lambda np, x: x.astype(np.float64))
two("iadd_16M", lambda m, x, y: x.add_(y))
two("pow_tensor_16M", lambda m, x, y: x**y, lambda np, x, y: x**y)
two("where_16M", lambda m, x, y: m.where(x > y, x, y), lambda np, x, y: np.where(x > y, x, y))
two("bf16_add_16M", lambda m, x, y: x + y, dtype="bfloat16")
two("int64_add_16M", lambda m, x, y: x + y, dtype="int64")
two("add_64K", lambda m, x, y: x + y, lambda np, x, y: x + y, n=1 << 16)
one("exp_64K", lambda m, x: x.exp(), lambda np, x: np.exp(x), n=1 << 16)
two(
    "add_transposed_16M",
    lambda m, x, y: x.view(4096, 4096).t() + y.view(4096, 4096),
    lambda np, x, y: x.reshape(4096, 4096).T + y.reshape(4096, 4096),
)
two(
    "broadcast_row_16M",
    lambda m, x, y: x.view(4096, 4096) + y[:4096],
    lambda np, x, y: x.reshape(4096, 4096) + y[:4096],
)


@case("elementwise", "gelu_forward_backward_4M")
def gelu_backward(m, device):
    x = m.tensor(values(1 << 22)).to(device).requires_grad_()
    g = m.ones_like(x)

    def run():
        x.grad = None
        m.nn.functional.gelu(x).backward(g)

    return run


@case("elementwise", "mse_forward_backward_4M")
def mse(m, device):
    x, y = m.tensor(values(1 << 22)).to(device).requires_grad_(), m.tensor(values(1 << 22)).to(device)

    def run():
        x.grad = None
        m.nn.functional.mse_loss(x, y).backward()

    return run
