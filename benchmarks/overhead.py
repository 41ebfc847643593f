"""Calls on scalars and on 8 elements: the price of an op, not of its work."""

import numpy

from benchmarks.cases import case


def small(m, device, grad=False):
    return m.tensor([0.5, 1.5, -1.0, 2.0, 3.0, -0.5, 0.25, 1.0], device=device, requires_grad=grad)


def small_array(np):
    return np.asarray([0.5, 1.5, -1.0, 2.0, 3.0, -0.5, 0.25, 1.0], dtype=np.float32)


def op(name, call, array=None, target=None):
    """A case of one call on one tensor of 8 elements."""

    def make(m, device):
        x = small(m, device)
        return lambda: call(m, x)

    def arrays(np):
        x = small_array(np)
        return lambda: array(np, x)

    case("overhead", name, arrays if array else None, target)(make)


@case("overhead", "scalar_affine_forward")
def affine_forward(m, device):
    x, w, b = (m.tensor(v, device=device, requires_grad=r) for v, r in ((3.0, False), (4.0, True), (5.0, True)))
    return lambda: w * x + b


@case("overhead", "scalar_affine_forward_backward", target=12)
def affine(m, device):
    x, w, b = (m.tensor(v, device=device, requires_grad=r) for v, r in ((3.0, False), (4.0, True), (5.0, True)))
    return lambda: (w * x + b).backward()


@case("overhead", "chain_of_100_ops_forward_backward", target=10)
def chain(m, device):
    x = m.tensor([0.1, 0.2, 0.3, 0.4], device=device, requires_grad=True)

    def run():
        y = x
        for _ in range(50):
            y = y * 1.01 + 0.01
        y.sum().backward()

    return run


@case("overhead", "gd_loop_100_points")
def descent(m, device):
    x = m.arange(-5, 5, 0.1, device=device).view(-1, 1)
    y = -5 * x
    w = m.tensor(-10.0, device=device, requires_grad=True)
    b = m.tensor(-20.0, device=device, requires_grad=True)

    def run():
        loss = ((w * x + b - y) ** 2).mean()
        loss.backward()
        with m.no_grad():
            w.sub_(0.01 * w.grad)
            b.sub_(0.01 * b.grad)
        w.grad = b.grad = None

    return run


op("small_add", lambda m, x: x + x, lambda np, x: x + x, 6)
op("small_mul", lambda m, x: x * x, lambda np, x: x * x, 6)
op("small_mul_number", lambda m, x: x * 2.0, lambda np, x: x * 2)
op("small_exp", lambda m, x: x.exp(), lambda np, x: np.exp(x), 6)
op("small_exp_function", lambda m, x: m.exp(x))
op("small_relu", lambda m, x: x.relu(), lambda np, x: np.maximum(x, 0))
op("small_sum", lambda m, x: x.sum(), lambda np, x: x.sum(), 6)
op("small_mean", lambda m, x: x.mean(), lambda np, x: x.mean())
op("small_softmax", lambda m, x: x.softmax(0))
op("small_reshape", lambda m, x: x.reshape(2, 4), lambda np, x: x.reshape(2, 4), 6)
op("small_view", lambda m, x: x.view(2, 4))
op("small_unsqueeze", lambda m, x: x.unsqueeze(0))
op("small_getitem", lambda m, x: x[3], None, 6)
op("small_slice", lambda m, x: x[2:6], lambda np, x: x[2:6])
op("small_cat", lambda m, x: m.cat([x, x]), lambda np, x: np.concatenate([x, x]))
op("small_compare", lambda m, x: x > 0, lambda np, x: x > 0)
op("small_clone", lambda m, x: x.clone(), lambda np, x: x.copy())
op("small_iadd", lambda m, x: x.mul_(1.0))
op("small_max_dim", lambda m, x: x.max(0))
op("small_where", lambda m, x: m.where(x > 0, x, x), lambda np, x: np.where(x > 0, x, x))
op("small_zeros", lambda m, x: m.zeros(8), lambda np, x: np.zeros(8, dtype=np.float32))
op("small_tensor", lambda m, x: m.tensor([1.0, 2.0, 3.0, 4.0]))
op("small_shape", lambda m, x: x.shape)


@case("overhead", "small_item", lambda np: (lambda x: lambda: x.item())(np.float32(2)))
def item(m, device):
    x = m.tensor(2.0, device=device)
    return lambda: x.item()


def matrices(np):
    a = np.asarray(numpy.random.default_rng(0).standard_normal((4, 4)), dtype=np.float32)
    return lambda: a @ a


@case("overhead", "small_matmul", matrices)
def small_matmul(m, device):
    a = m.randn(4, 4, device=device)
    return lambda: a @ a


@case("overhead", "small_transpose")
def transpose(m, device):
    a = m.randn(2, 4, device=device)
    return lambda: a.t()


@case("overhead", "custom_function_round_trip")
def custom(m, device):
    class Double(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2

    x = m.tensor(2.0, device=device, requires_grad=True)
    return lambda: Double.apply(x).backward()
