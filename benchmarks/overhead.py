"""Calls on scalars and on a few elements: the price of an op, of a module, of a backward, not of its work.

A case's closure is the call itself, with nothing between: (m, x) -> closure.
"""

import numpy

from benchmarks.cases import case

NUMBERS = [0.5, 1.5, -1.0, 2.0, 3.0, -0.5, 0.25, 1.0]


def small(name, make, array=None):
    """make(m, x) gives the closure, x a tensor of 8 elements; array: the same for NumPy, True if `make` does there."""

    def tensors(m, device):
        return make(m, m.tensor(NUMBERS, device=device))

    def arrays(np):
        return (make if array is True else array)(np, np.asarray(NUMBERS, dtype=np.float32))

    case("overhead", f"small_{name}", array=arrays if array else None)(tensors)


def matrix(name, make):
    """make(m, a), a of 4 x 4."""
    values = numpy.random.default_rng(0).standard_normal((4, 4)).astype(numpy.float32)
    array = (lambda np: make(np, np.asarray(values))) if name == "matmul" else None
    case("overhead", f"small_{name}", array=array)(lambda m, device: make(m, m.tensor(values, device=device)))


small("add", lambda m, x: lambda: x + x, True)
small("sub", lambda m, x: lambda: x - x, True)
small("mul", lambda m, x: lambda: x * x, True)
small("div", lambda m, x: lambda: x / x, True)
small("pow", lambda m, x: lambda: x**2, True)
small("neg", lambda m, x: lambda: -x, True)
small("mul_number", lambda m, x: lambda: x * 2.0, True)
small("rsub_number", lambda m, x: lambda: 1.0 - x, True)
small("add_function", lambda m, x: lambda: m.add(x, x), True)
small("exp", lambda m, x: lambda: x.exp(), lambda np, x: lambda: np.exp(x))
small("exp_function", lambda m, x: lambda: m.exp(x), True)
small("log", lambda m, x: lambda: x.log())
small("tanh", lambda m, x: lambda: x.tanh())
small("sigmoid", lambda m, x: lambda: m.sigmoid(x))
small("sqrt", lambda m, x: lambda: x.sqrt())
small("abs", lambda m, x: lambda: x.abs())
small("relu", lambda m, x: lambda: x.relu(), lambda np, x: lambda: np.maximum(x, 0))
small("functional_relu", lambda m, x: lambda: m.nn.functional.relu(x))
small("functional_gelu", lambda m, x: lambda: m.nn.functional.gelu(x))
small("clamp", lambda m, x: lambda: x.clamp(0.0, 1.0))
small("maximum", lambda m, x: lambda: m.maximum(x, x), True)
small("where", lambda m, x: lambda: m.where(x > 0, x, x), True)
small("masked_fill", lambda m, x: lambda: x.masked_fill(x > 0, 0.0))
small("compare", lambda m, x: lambda: x > 0, True)
small("equal_number", lambda m, x: lambda: x == 1.0, True)
small("iadd", lambda m, x: lambda: x.mul_(1.0))
small("copy", lambda m, x: lambda: x.copy_(x))
small("clone", lambda m, x: lambda: x.clone(), lambda np, x: lambda: x.copy())
small("detach", lambda m, x: lambda: x.detach())
small("to_double", lambda m, x: lambda: x.double())
small("to_same", lambda m, x: lambda: x.to(m.float32))
small("type_promotion", lambda m, x: (lambda y: lambda: x + y)(x.long()))
small("broadcast", lambda m, x: (lambda y: lambda: x + y)(x[:1]))
small("sum", lambda m, x: lambda: x.sum(), True)
small("sum_dim", lambda m, x: lambda: x.sum(0))
small("mean", lambda m, x: lambda: x.mean(), True)
small("var", lambda m, x: lambda: x.var())
small("norm", lambda m, x: lambda: x.norm())
small("max", lambda m, x: lambda: x.max(), True)
small("max_dim", lambda m, x: lambda: x.max(0))
small("argmax", lambda m, x: lambda: x.argmax(), True)
small("any", lambda m, x: (lambda y: lambda: y.any())(x > 0))
small("cumsum", lambda m, x: lambda: x.cumsum(0))
small("softmax", lambda m, x: lambda: x.softmax(0))
small("functional_softmax", lambda m, x: lambda: m.nn.functional.softmax(x, dim=0))
small("log_softmax", lambda m, x: lambda: x.log_softmax(-1))
small("sort", lambda m, x: lambda: x.sort())
small("topk", lambda m, x: lambda: x.topk(2))
small("reshape", lambda m, x: lambda: x.reshape(2, 4), True)
small("view", lambda m, x: lambda: x.view(2, 4))
small("unsqueeze", lambda m, x: lambda: x.unsqueeze(0))
small("squeeze", lambda m, x: lambda: x.squeeze())
small("expand", lambda m, x: lambda: x.expand(3, 8))
small("flatten", lambda m, x: lambda: x.flatten())
small("chunk", lambda m, x: lambda: x.chunk(2))
small("split", lambda m, x: lambda: x.split(4))
small("unbind", lambda m, x: lambda: x.unbind())
small("getitem", lambda m, x: lambda: x[3])
small("slice", lambda m, x: lambda: x[2:6], True)
small("getitem_none", lambda m, x: lambda: x[None, :], True)
small("getitem_index", lambda m, x: (lambda i: lambda: x[i])(m.tensor([1, 3])))
small("getitem_mask", lambda m, x: (lambda c: lambda: x[c])(x > 0))
small("setitem", lambda m, x: lambda: x.__setitem__(3, 1.0))
small("setitem_slice", lambda m, x: (lambda y: lambda: x.__setitem__(slice(0, 4), y))(x[4:]))
small("gather", lambda m, x: (lambda i: lambda: x.gather(0, i))(m.tensor([1, 3])))
small("cat", lambda m, x: lambda: m.cat([x, x]), lambda np, x: lambda: np.concatenate([x, x]))
small("stack", lambda m, x: lambda: m.stack([x, x]), True)
small("zeros", lambda m, x: lambda: m.zeros(8), lambda np, x: lambda: np.zeros(8, dtype=np.float32))
small("ones_like", lambda m, x: lambda: m.ones_like(x))
small("empty", lambda m, x: lambda: m.empty(2, 4))
small("full", lambda m, x: lambda: m.full((8,), 2.0))
small("arange", lambda m, x: lambda: m.arange(8), True)
small("rand", lambda m, x: lambda: m.rand(8))
small("randn", lambda m, x: lambda: m.randn(8))
small("tensor", lambda m, x: lambda: m.tensor([1.0, 2.0, 3.0, 4.0]))
small("tensor_of_number", lambda m, x: lambda: m.tensor(1.0))
small("shape", lambda m, x: lambda: x.shape, True)
small("size", lambda m, x: lambda: x.size(0))
small("len", lambda m, x: lambda: len(x), True)
small("dtype", lambda m, x: lambda: x.dtype, True)
small("tolist", lambda m, x: lambda: x.tolist(), True)
small("numpy", lambda m, x: lambda: x.cpu().numpy())
small("iterate", lambda m, x: lambda: list(x), True)
small("float", lambda m, x: (lambda y: lambda: float(y))(x[0]))
small("bool", lambda m, x: (lambda y: lambda: bool(y))(x[0] > 0))
small("no_grad", lambda m, x: lambda: m.no_grad().__enter__() or m.set_grad_enabled(True))
small("mse_loss", lambda m, x: (lambda y: lambda: m.nn.functional.mse_loss(x, y))(x * 2))
case("overhead", "small_item", array=lambda np: (lambda x: lambda: x.item())(np.float32(2)))(
    lambda m, device: (lambda x: lambda: x.item())(m.tensor(2.0, device=device))
)
matrix("matmul", lambda m, a: lambda: a @ a)
matrix("transpose", lambda m, a: lambda: a.t())
matrix("permute", lambda m, a: lambda: a.permute(1, 0))
matrix("addmm", lambda m, a: lambda: m.addmm(a, a, a))
matrix("bmm", lambda m, a: (lambda b: lambda: m.bmm(b, b))(a[None]))
matrix("einsum", lambda m, a: lambda: m.einsum("ij,jk->ik", a, a))
matrix("contiguous_of_transposed", lambda m, a: (lambda b: lambda: b.contiguous())(a.t()))
matrix("functional_linear", lambda m, a: lambda: m.nn.functional.linear(a, a))
matrix("layer_norm", lambda m, a: lambda: m.nn.functional.layer_norm(a, (4,)))
matrix("cross_entropy", lambda m, a: (lambda y: lambda: m.nn.functional.cross_entropy(a, y))(m.tensor([0, 1, 2, 3])))
matrix("embedding", lambda m, a: (lambda i: lambda: m.nn.functional.embedding(i, a))(m.tensor([0, 2])))
matrix("inverse", lambda m, a: lambda: m.linalg.inv(a))


def module(name, make, shape=(4, 8)):
    """The call of a module, gradients recorded, as models do it."""

    def build(m, device):
        m.manual_seed(0)
        layer, x = make(m.nn).to(device), m.randn(*shape, device=device)
        return lambda: layer(x)

    case("overhead", f"module_{name}")(build)


module("linear", lambda n: n.Linear(8, 8))
module("relu", lambda n: n.ReLU())
module("dropout_eval", lambda n: n.Dropout(0.5).eval())
module("dropout", lambda n: n.Dropout(0.5))
module("layer_norm", lambda n: n.LayerNorm(8))
module("batch_norm", lambda n: n.BatchNorm1d(8))
module("conv2d", lambda n: n.Conv2d(2, 4, 3, padding=1), (1, 2, 8, 8))
module("max_pool2d", lambda n: n.MaxPool2d(2), (1, 2, 8, 8))
module("sequential", lambda n: n.Sequential(n.Linear(8, 8), n.ReLU(), n.Linear(8, 8)))
module("lstm", lambda n: n.LSTM(8, 8), (3, 2, 8))
module("gru_cell", lambda n: n.GRUCell(8, 8), (2, 8))
module("multihead_attention", lambda n: _SelfAttention(n), (2, 4, 8))


def _SelfAttention(n):
    class SelfAttention(n.Module):
        def __init__(self):
            super().__init__()
            self.body = n.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.body(x, x, x, need_weights=False)[0]

    return SelfAttention()


def steps(name, call, numbers=NUMBERS):
    """call(m, x) forward on a leaf and backward of it."""

    def make(m, device):
        x = m.tensor(numbers, device=device, requires_grad=True)

        def run():
            x.grad = None
            call(m, x).backward()

        return run

    case("overhead", name)(make)


def chain(m, x):
    for _ in range(50):
        x = x * 1.01 + 0.01
    return x.sum()


steps("chain_of_100_ops_forward_backward", chain, [0.1, 0.2, 0.3, 0.4])
steps("sum_forward_backward", lambda m, x: x.sum())
steps("exp_sum_forward_backward", lambda m, x: x.exp().sum())
steps("mul_mean_forward_backward", lambda m, x: (x * x).mean())
steps("softmax_forward_backward", lambda m, x: x.softmax(0)[0])
steps("logsumexp_forward_backward", lambda m, x: x.logsumexp(0))
steps("reshape_slice_forward_backward", lambda m, x: x.view(2, 4)[0].sum())
steps("stack_forward_backward", lambda m, x: m.stack([x, x * 2]).sum())
steps("polynomial_forward_backward", lambda m, x: (x**3 - 2 * x**2 + x).sum())


def affine_operands(m, device):
    return (m.tensor(v, device=device, requires_grad=r) for v, r in ((3.0, False), (4.0, True), (5.0, True)))


@case("overhead", "scalar_affine_forward")
def affine_forward(m, device):
    x, w, b = affine_operands(m, device)
    return lambda: w * x + b


@case("overhead", "scalar_affine_forward_backward", target=12)
def affine(m, device):
    x, w, b = affine_operands(m, device)
    return lambda: (w * x + b).backward()


@case("overhead", "autograd_grad_of_scalar")
def grad_of_scalar(m, device):
    x = m.tensor(2.0, device=device, requires_grad=True)
    return lambda: m.autograd.grad(x * x, x)


@case("overhead", "second_derivative_of_scalar")
def second_derivative(m, device):
    x = m.tensor(2.0, device=device, requires_grad=True)

    def run():
        (first,) = m.autograd.grad(x**3, x, create_graph=True)
        return m.autograd.grad(first, x)

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


@case("overhead", "saved_and_hooked")
def hooked(m, device):
    x = m.tensor(2.0, device=device, requires_grad=True)
    x.register_hook(lambda g: g * 1.0)
    return lambda: (x * x).backward()


def optimizer(name, make, call):
    def build(m, device):
        given = [m.tensor(NUMBERS, device=device, requires_grad=True) for _ in range(4)]
        for p in given:
            p.grad = m.tensor(NUMBERS, device=device)
        return call(make(m.optim, given))

    case("overhead", f"optimizer_{name}")(build)


optimizer("sgd_step", lambda o, p: o.SGD(p, lr=1e-6), lambda o: o.step)
optimizer("adam_step", lambda o, p: o.Adam(p, lr=1e-6), lambda o: o.step)
optimizer("zero_grad_in_place", lambda o, p: o.SGD(p, lr=1e-6), lambda o: lambda: o.zero_grad(set_to_none=False))
