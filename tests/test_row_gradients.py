"""Gradients of gradients of elementwise ops: many elements take a node each, few a graph of ops; both say the same."""

import numpy as np
import pytest

import fastgrad as fg

ROWS, COLUMNS = 20, 1000  # a piece of one row is far below the limit, the whole above it
F = fg.nn.functional
ONE = {name: getattr(fg, name) for name in (
    "tanh sigmoid sin cos tan exp expm1 log log1p sqrt rsqrt reciprocal asin acos atan sinh cosh asinh atanh erf erfc "
    "digamma lgamma square").split()}
ONE |= {name: getattr(F, name) for name in "softplus gelu silu mish elu selu logsigmoid tanhshrink softsign".split()}
ONE["pow 2.5"] = lambda x: x ** 2.5
ONE["2 ** x"] = lambda x: 2 ** x
ONE["gelu tanh"] = lambda x: F.gelu(x, approximate="tanh")
ONE["x ** 0"] = lambda x: x ** 0
ONE["1 / x"] = lambda x: 1 / x
TWO = {"mul": fg.mul, "div": fg.div, "pow": fg.pow, "atan2": fg.atan2, "hypot": fg.hypot, "xlogy": fg.xlogy,
       "logaddexp": fg.logaddexp, "lerp": lambda a, b: fg.lerp(a, b, 0.3), "remainder": fg.remainder,
       "addcdiv": lambda a, b: fg.addcdiv(a, b, a + b, value=0.5), "itself": lambda a, b: a / a + b / b * a}


def three_orders(call, inputs):
    """The gradients of the first three orders, each of the sum of squares of those before."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    y, found = call(*inputs), []
    for order in range(3):
        value = sum((t * t).sum() for t in (y if isinstance(y, list) else [y])) + sum((x * 0).sum() for x in inputs)
        y = list(fg.autograd.grad(value, inputs, create_graph=order < 2, allow_unused=True))
        y = [x * 0 if g is None else g for x, g in zip(inputs, y)]
        found.append([g.detach().numpy() for g in y])
    return found


def draw(seed, *shape):
    return fg.tensor(np.random.default_rng(seed).uniform(0.2, 0.8, shape))


@pytest.mark.parametrize("name", ONE)
def test_one_operand(name):
    x = draw(0, ROWS, COLUMNS)
    whole = three_orders(ONE[name], [x])
    pieces = [three_orders(ONE[name], [row]) for row in x]
    for order, (found,) in enumerate(whole):
        np.testing.assert_allclose(found, np.stack([p[order][0] for p in pieces]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("broadcast", [False, True])
def test_two_operands(name, broadcast):
    a, b = draw(0, ROWS, COLUMNS), draw(1, *(() if broadcast else (ROWS,)), COLUMNS)
    whole = three_orders(TWO[name], [a, b])
    if broadcast:  # sums of squares of sums are not sums of pieces: spread by hand, which takes another way
        other = three_orders(lambda a, b: TWO[name](a, b.expand(ROWS, -1) * 1.0), [a, b])
        for found, expected in zip(whole, other):
            for x, y in zip(found, expected):
                np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9)
        return
    pieces = [three_orders(TWO[name], [x, y]) for x, y in zip(a, b)]
    for order, found in enumerate(whole):
        for k in range(2):
            np.testing.assert_allclose(found[k], np.stack([p[order][k] for p in pieces]), rtol=1e-9, atol=1e-9)


def first_gradient(x, create_graph=True):
    return fg.autograd.grad(fg.tanh(x).sum(), x, create_graph=create_graph)[0]


def test_keeps_no_intermediate_result():
    x = draw(0, 512, 512).requires_grad_()
    y = fg.tanh(x)
    seed = fg.ones_like(y)
    before = fg._C.memory_stats("cpu")["requested"]
    g = fg.autograd.grad(y, x, seed, create_graph=True)[0]
    assert type(g.grad_fn).__name__ == "TanhBackwardBackward0"
    kept = fg._C.memory_stats("cpu")["requested"] - before
    assert kept < 1.1 * g.numel() * g.element_size()


def test_graph_is_freed_and_kept():
    x = draw(0, ROWS, COLUMNS).requires_grad_()
    g = first_gradient(x)
    first = fg.autograd.grad(g.sum(), x, retain_graph=True)[0]
    again = fg.autograd.grad(g.sum(), x)[0]
    assert fg.equal(first, again)
    with pytest.raises(RuntimeError, match="second time"):
        fg.autograd.grad(g.sum(), x)


def test_changed_operands_are_found():
    x = draw(0, ROWS, COLUMNS).requires_grad_()
    y = fg.sin(x)
    seed = fg.ones_like(y)
    g = fg.autograd.grad(y, x, seed.requires_grad_(), create_graph=True)[0]
    with fg.no_grad():
        seed.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        g.sum().backward()


def test_saved_tensor_hooks_see_what_is_kept():
    x, packed = draw(0, ROWS, COLUMNS).requires_grad_(), []
    y = fg.tanh(x)
    with fg.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t.shape) or t.numpy(force=True), fg.from_numpy):
        g = fg.autograd.grad(y, x, fg.ones_like(y).requires_grad_(), create_graph=True)[0]
    assert packed == [(ROWS, COLUMNS)] * 2
    second = fg.autograd.grad(g.sum(), x)[0]
    t = fg.tanh(x.detach())
    np.testing.assert_allclose(second.numpy(), (-2 * t * (1 - t * t)).numpy(), rtol=1e-12)


def test_only_what_is_asked_for():
    """A gradient with respect to the incoming gradient alone."""
    x, seed = draw(0, ROWS, COLUMNS).requires_grad_(), draw(1, ROWS, COLUMNS).requires_grad_()
    g = fg.autograd.grad(fg.tanh(x), x, seed, create_graph=True)[0]
    only = fg.autograd.grad(g.sum(), seed, retain_graph=True)[0]
    both = fg.autograd.grad(g.sum(), [x, seed])
    assert fg.equal(only, both[1])
    np.testing.assert_allclose(only.numpy(), 1 - np.tanh(x.detach().numpy()) ** 2, rtol=1e-12)
