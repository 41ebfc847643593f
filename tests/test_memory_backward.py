"""The most bytes that a backward pass needs at a time, and that what it writes over nobody else could see."""

import gc

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import _C, nn
from fastgrad.nn import functional as F

MB = 1 << 20


def megabytes_more(run):
    """What was live at most while `run` ran, less what was before."""
    gc.collect()
    before = _C.memory_stats("cpu")["requested"]
    _C.reset_peak_memory("cpu")
    run()
    return (_C.memory_stats("cpu")["peak_requested"] - before) / MB


def leaf(*shape, seed=0):
    made = np.random.default_rng(seed).standard_normal(shape)
    return fg.tensor(made.astype(np.float32)).requires_grad_()


def test_gradients_of_elementwise_ops_take_the_place_of_the_incoming_one():
    x = leaf(MB)
    y = (((x.tanh() * 2).sigmoid() - 1).exp() * 3).sum()
    # 4 MB: the sum's gradient as a tensor; what the ops saved goes meanwhile.
    assert megabytes_more(y.backward) < 4.5


def test_a_gradient_that_others_see_stays_as_it_is():
    x = leaf(1000)
    seen = []
    a = x.tanh()
    b = a.exp()
    a.register_hook(seen.append)
    a.retain_grad()
    out = (b * b).sum()
    given = fg.autograd.grad(out, [b, a, x], retain_graph=True)
    expected = [g.clone() for g in given]
    seen.clear()
    a.grad = None
    out.backward()
    for got, want in zip((seen[0], a.grad, x.grad), (expected[1], expected[1], expected[2])):
        assert fg.equal(got, want)
    for got, want in zip(given, expected):
        assert fg.equal(got, want)


def test_a_given_gradient_is_not_written_to():
    x, g = leaf(1000), fg.ones(1000)
    x.tanh().backward(g)
    assert fg.equal(g, fg.ones(1000))
    (x.tanh() + x.exp()).backward(g)
    assert fg.equal(g, fg.ones(1000))


def test_memory_of_numpy_is_not_written_to():
    array = np.ones(1000, np.float32)

    class Gives(fg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return fg.from_numpy(array)

    x = leaf(1000)
    Gives.apply(x.tanh()).sum().backward()
    a = x.sin()
    (Gives.apply(a) + Gives.apply(a)).sum().backward()
    assert (array == 1).all()


def test_the_gradient_of_a_weight_is_no_copy():
    layer = nn.Linear(1024, 1024, bias=False)  # 4 MB
    y = layer(fg.ones(8, 1024)).sum()
    assert megabytes_more(y.backward) < 5.5
    assert layer.weight.grad.is_contiguous() and layer.weight.grad._base is None


def test_the_input_of_a_layer_goes_before_its_gradient_comes():
    x = leaf(4096, 256)  # 4 MB
    layer = nn.Linear(256, 256, bias=False)
    y = layer(x.exp())
    g = fg.ones(4096, 256)
    # Instead of exp's output, which exp saved too, and with packed operands.
    assert megabytes_more(lambda: y.backward(g)) < 7.5
    images = leaf(16, 16, 64, 64)  # 4 MB
    conv = nn.Conv2d(16, 16, 1)
    z = conv(images * 2)
    g = fg.ones(16, 16, 64, 64)
    assert megabytes_more(lambda: z.backward(g)) < 3


def test_sums_of_gradients_are_made_in_place_on_either_side():
    x = leaf(MB)
    a = x * 1
    seen = []
    out = a + a.exp() * 2
    out.register_hook(seen.append)  # the first part that reaches `a` is this gradient
    s = out.sum()
    more = megabytes_more(s.backward)
    assert fg.equal(seen[0], fg.ones(MB))
    assert more < 8.5  # it, and the other part


def models():
    yield "linear", nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8)), (4, 8)
    yield "conv", nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.ConvTranspose2d(3, 2, 3), nn.Sigmoid()), (2, 2, 9, 9)
    for kind in ("RNN", "GRU", "LSTM"):
        for options in ({}, {"bidirectional": True, "num_layers": 2}, {"bias": False, "batch_first": True}):
            yield f"{kind} {options}", getattr(nn, kind)(6, 5, **options), (7, 3, 6)
    yield "attention", nn.MultiheadAttention(16, 4, batch_first=True), (4, 100, 16)


CASES = {name: (model, shape) for name, model, shape in models()}


@pytest.mark.parametrize("name", CASES)
def test_backward_again(name):
    """A graph that is kept gives the same once more, then freed the same again; a third time is refused."""
    model, shape = CASES[name]
    x = leaf(*shape, seed=1)
    y = model(x, x, x) if name == "attention" else model(x)
    y = y[0] if isinstance(y, tuple) else y
    out = (y * y).sum()
    wanted = [x, *model.parameters()]
    runs = [fg.autograd.grad(out, wanted, retain_graph=keep, allow_unused=True) for keep in (True, True, False)]
    for other in runs[1:]:
        for a, b in zip(runs[0], other):
            assert (a is None and b is None) or fg.equal(a, b)
    with pytest.raises(RuntimeError, match="second time"):
        fg.autograd.grad(out, wanted, allow_unused=True)


def same_after_backward(out, held):
    before = [t.clone() for t in held]
    out.sum().backward()
    return all(fg.equal(a, b) for a, b in zip(held, before))


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_what_a_recurrent_layer_saved_is_not_written_to_while_somebody_sees_it(kind):
    out = getattr(nn, kind)(6, 5)(leaf(7, 3, 6))[0]
    node = out.grad_fn
    while node._context is None:
        node = node.next_functions[0][0]
    assert same_after_backward(out, [t for t in node._context.saved_tensors if t is not None])
    kept = []
    with fg.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or len(kept) - 1, lambda i: kept[i]):
        out = getattr(nn, kind)(6, 5)(leaf(7, 3, 6))[0]
    assert same_after_backward(out, kept)


def test_what_attention_was_given_is_not_written_to_while_somebody_sees_it():
    given = [leaf(2, 4, 100, 16, seed=i) for i in range(3)]
    made = [t * 2 for t in given]
    assert same_after_backward(F.scaled_dot_product_attention(*made), made)
    for t in given:
        t.grad = None
    saved = [t.tanh() for t in given]  # their outputs are needed once more
    out = F.scaled_dot_product_attention(*saved)
    wanted = [fg.autograd.grad((F.scaled_dot_product_attention(*[t.tanh() for t in given]) ** 2).sum(), t)[0]
              for t in given]
    del saved
    (out**2).sum().backward()
    for t, g in zip(given, wanted):
        assert fg.equal(t.grad, g)
