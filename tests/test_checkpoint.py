"""utils.checkpoint: equal gradients, less memory, the same random numbers, errors."""
import gc
import warnings
import weakref

import pytest

import fastgrad as fg
from fastgrad import nn
from fastgrad.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    detach_variable,
    set_checkpoint_early_stop,
)
from pairs import same_error


def model():
    fg.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


def gradients(run, layers):
    fg.manual_seed(1)
    x = fg.randn(5, 4, requires_grad=True)
    fg.manual_seed(2)
    run(x).pow(2).sum().backward()
    return [x.grad.tolist(), *[p.grad.tolist() for p in layers.parameters()], fg.rand(1).item()]


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradients_are_equal(reentrant):
    plain, saved, parts = model(), model(), model()
    expected = gradients(plain, plain)
    assert gradients(lambda x: checkpoint(saved, x, use_reentrant=reentrant), saved) == expected
    assert gradients(lambda x: checkpoint_sequential(parts, 3, x, use_reentrant=reentrant), parts) == expected


def test_values_equal_torch(torch):
    found = []
    for m in (fg, torch):
        for reentrant in (True, False):
            x, w = (m.tensor(v, requires_grad=True) for v in ([0.3, 0.7], [2.0, 3.0]))
            outputs = m.utils.checkpoint.checkpoint(lambda x, w, k: ((x * w).exp(), x * k), x, w, 3,
                                                    use_reentrant=reentrant)
            (outputs[0] + outputs[1]).sum().backward()
            found.append((x.grad.tolist(), w.grad.tolist()))
    assert found[0] == found[1] and found[0][0] == pytest.approx(found[2][0]) and found[2] == found[3]


def test_second_gradients():
    w = fg.tensor([2.0, 3.0], dtype=fg.float64, requires_grad=True)
    x = fg.tensor([0.3, 0.7], dtype=fg.float64, requires_grad=True)

    def run(x, w):
        return checkpoint(lambda x: (x * w).exp().sin() * x, x, use_reentrant=False)

    assert fg.autograd.gradcheck(run, (x, w)) and fg.autograd.gradgradcheck(run, (x, w))


@pytest.mark.parametrize("early_stop", [True, False])
@pytest.mark.parametrize("reentrant", [True, False])
def test_intermediate_tensors_are_freed(reentrant, early_stop):
    alive, runs = [], []

    def function(x):
        inner = x.exp()
        alive.append(weakref.ref(inner))
        result = inner.sin().cos()
        runs.append(1)
        return result

    x = fg.ones(10, requires_grad=True)
    with set_checkpoint_early_stop(early_stop):
        y = checkpoint(function, x, use_reentrant=reentrant)
    gc.collect()
    assert alive[0]() is None and len(runs) == 1
    y.sum().backward()
    # The last saved tensor is known before the function returns.
    assert len(alive) == 2 and len(runs) == (1 if early_stop and not reentrant else 2)


def test_two_backward_passes():
    x = fg.ones(3, requires_grad=True)
    y = checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    first = x.grad.tolist()
    y.backward()
    assert x.grad.tolist() == [2 * g for g in first]


def test_nested():
    x = fg.tensor([0.5], requires_grad=True)

    def outer(x):
        return checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False).exp()

    checkpoint(outer, x, use_reentrant=False).backward()
    y = fg.tensor([0.5], requires_grad=True)
    y.exp().sin().exp().backward()
    assert x.grad.tolist() == y.grad.tolist()


def test_random_state():
    """Without preserve_rng_state the second run draws other numbers, and moves the generator."""
    for reentrant in (True, False):
        drawn = []

        def function(x, drawn=drawn):
            noise = fg.rand(1)
            drawn.append(noise.item())
            return (x * noise).exp()

        for preserve in (True, False):
            x = fg.ones(1, requires_grad=True)
            checkpoint(function, x, use_reentrant=reentrant, preserve_rng_state=preserve).backward()
        assert drawn[0] == drawn[1] and drawn[2] != drawn[3]


def test_autocast_is_the_same():
    seen = []

    def function(x):
        y = x @ x
        seen.append(y.dtype)
        return y.float().exp()

    for reentrant in (True, False):
        x = fg.ones(2, 2, requires_grad=True)
        with fg.autocast("cpu", dtype=fg.bfloat16):
            y = checkpoint(function, x, use_reentrant=reentrant)
        y.sum().backward()
    assert seen == [fg.bfloat16] * 4


def test_keywords_and_contexts():
    entered = []

    class Note:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            entered.append(self.name)

        def __exit__(self, *error):
            pass

    x = fg.ones(2, requires_grad=True)
    y = checkpoint(lambda x, scale: (x * scale).exp(), x, scale=2.0, use_reentrant=False,
                   context_fn=lambda: (Note("first"), Note("second")))
    y.sum().backward()
    assert entered == ["first", "second"]
    with fg.no_grad():
        assert not checkpoint(lambda x: x * 2, x, use_reentrant=False).requires_grad


def test_different_second_run_is_noticed():
    for change, check in ((lambda x, n: x.exp().sin() if n == 1 else x.exp(), "default"),
                          (lambda x, n: (x if n == 1 else x.double()).exp(), "default")):
        runs = []

        def function(x, change=change, runs=runs):
            runs.append(1)
            return change(x, len(runs))

        y = checkpoint(function, fg.ones(2, requires_grad=True), use_reentrant=False, determinism_check=check)
        with pytest.raises(CheckpointError):
            y.sum().backward()


def test_warnings():
    x = fg.ones(1, requires_grad=True)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        checkpoint(lambda x: x * 2, x)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        checkpoint_sequential([nn.Identity()], 1, x)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        checkpoint(lambda x: x * 2, fg.ones(1), use_reentrant=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint(lambda x: x * 2, x, use_reentrant=False)


ERRORS = {
    "keyword": lambda c, m: c.checkpoint(lambda x: x, m.ones(1), use_reentrant=True, scale=2),
    "context": lambda c, m: c.checkpoint(lambda x: x, m.ones(1), use_reentrant=True, context_fn=lambda: None),
    "debug": lambda c, m: c.checkpoint(lambda x: x, m.ones(1), use_reentrant=True, debug=True),
    "check": lambda c, m: c.checkpoint(lambda x: x, m.ones(1, requires_grad=True), use_reentrant=False,
                                       determinism_check="all").sum().backward(),
    "sequential keyword": lambda c, m: c.checkpoint_sequential([m.nn.Identity()], 1, m.ones(1), use_reentrant=False,
                                                               scale=2),
    "detach": lambda c, m: c.detach_variable([m.ones(1)]),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(torch, name):
    import torch.utils.checkpoint
    same_error(torch, lambda m: ERRORS[name](m.utils.checkpoint, m))


def test_detach_variable():
    x = fg.ones(1, requires_grad=True)
    leaf, number = detach_variable((x * 2, 3))
    assert leaf.is_leaf and leaf.requires_grad and number == 3
    with pytest.raises(NotImplementedError, match="debug"):
        checkpoint(lambda x: x, x, use_reentrant=False, debug=True)
