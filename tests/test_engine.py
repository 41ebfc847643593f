"""The graph and the walk: accumulation, freeing, versions, hooks, names and edges, depth, nesting, threads."""

import gc
import threading
import warnings

import numpy as np
import pytest

import fastgrad as fg


def leaf(*values, m=fg, device="cpu"):
    return m.tensor(list(values), device=device, requires_grad=True)


@pytest.mark.emulate
@pytest.mark.sanitize
def test_accumulates(device):
    x = leaf(1.0, 2.0, device=device)
    (x * x).sum().backward()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]
    assert x.grad is x.grad and not x.grad.requires_grad


def test_used_twice_and_diamond(device):
    # y = x*x + x*x*x: 2x + 3x^2
    x = leaf(2.0, device=device)
    a = x * x
    (a + a * x).sum().backward()
    assert x.grad.tolist() == [16.0]


def test_non_scalar_needs_a_gradient(device):
    x = leaf(1.0, 2.0, device=device)
    y = x * 2
    with pytest.raises(RuntimeError, match="scalar outputs"):
        y.backward()
    y.backward(fg.tensor([1.0, 10.0], device=device))
    assert x.grad.tolist() == [2.0, 20.0]


def test_gradient_of_another_shape_is_refused(device):
    y = leaf(1.0, 2.0, device=device) * 2
    with pytest.raises(RuntimeError, match="shape|Mismatch"):
        y.backward(fg.ones(3, device=device))


def test_no_gradient_wanted(device):
    for t in (fg.ones(1, device=device), leaf(1.0, device=device).detach()):
        with pytest.raises(RuntimeError, match="does not require grad"):
            t.backward()


@pytest.mark.sanitize
def test_freed_graph(device):
    x = leaf(2.0, device=device)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    assert x.grad.tolist() == [4.0]
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    assert x.grad.tolist() == [12.0]


def test_a_graph_that_saved_nothing_may_run_twice(device):
    x = leaf(2.0, device=device)
    y = x + 1
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0]


def test_shared_part_is_freed(device):
    x = leaf(2.0, device=device)
    a = x * x
    (a * 2).sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        (a * 3).sum().backward()


CHANGES = {
    "input of mul": lambda m, x, w: (x * w, x),
    "output of exp": lambda m, x, w: (lambda y: (y * 1, y))(x.exp()),
    "input of pow": lambda m, x, w: (x**2, x),
    "output of sigmoid": lambda m, x, w: (lambda y: (y + 0, y))(x.sigmoid()),
    "matmul": lambda m, x, w: (x.view(1, 2) @ w.view(2, 1), x),
    "view of the input": lambda m, x, w: (x * w, x[:1]),
    "output of relu": lambda m, x, w: (lambda y: (y + 0, y))(x.relu()),
    "log": lambda m, x, w: (x.log(), x),
    "softmax": lambda m, x, w: (lambda y: (y + 0, y))(x.softmax(0)),
    "input of sin": lambda m, x, w: (x.sin(), x),
    # these do not need what is overwritten
    "add": lambda m, x, w: (x + w, x),
    "output of div": lambda m, x, w: (lambda y: (y + 0, y))(x / w),
    "output of mul": lambda m, x, w: (lambda y: (y + 0, y))(x * w),
    "sum": lambda m, x, w: (x.sum(), x),
    "output of log": lambda m, x, w: (lambda y: (y + 0, y))(x.log()),
    "cat": lambda m, x, w: (m.cat([x, w]), x),
    "output of sqrt": lambda m, x, w: (lambda y: (y + 0, y))(x.sqrt()),
    "mean": lambda m, x, w: (x.mean(), x),
    "output of pow": lambda m, x, w: (lambda y: (y + 0, y))(x**2),
    "clone": lambda m, x, w: (x.clone(), x),
}


@pytest.mark.sanitize
@pytest.mark.parametrize("name", CHANGES)
def test_overwritten_after_forward(name, device, torch):
    """Raises exactly where torch raises: no more is saved than torch saves."""
    outcome = []
    for m in (torch, fg):
        a, w = (
            leaf(0.5, 2.0, m=m, device=device if m is fg else "cpu"),
            leaf(3.0, 4.0, m=m, device=device if m is fg else "cpu"),
        )
        y, changed = CHANGES[name](m, a * 1, w)
        with m.no_grad():
            changed.mul_(2)
        try:
            y.sum().backward()
            outcome.append(a.grad.tolist())
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error)
            outcome.append("raises")
    assert outcome[1] == pytest.approx(outcome[0]) if isinstance(outcome[0], list) else outcome[0] == outcome[1]


NAMES = {
    "add": lambda m, x: x + x,
    "sub": lambda m, x: x - 1,
    "rsub": lambda m, x: 1 - x,
    "mul": lambda m, x: x * 2,
    "div": lambda m, x: x / 2,
    "rdiv": lambda m, x: 1 / x,
    "pow": lambda m, x: x**2,
    "pow_tensor": lambda m, x: x**x,
    "rpow": lambda m, x: 2**x,
    "neg": lambda m, x: -x,
    "matmul": lambda m, x: x @ x,
    "mv": lambda m, x: x @ x[0],
    "dot": lambda m, x: x[0] @ x[0],
    "bmm": lambda m, x: x[None] @ x[None],
    "sum": lambda m, x: x.sum(),
    "sum_dim": lambda m, x: x.sum(0),
    "mean": lambda m, x: x.mean(),
    "mean_dim": lambda m, x: x.mean(1),
    "prod": lambda m, x: x.prod(),
    "max": lambda m, x: x.max(),
    "max_dim": lambda m, x: x.max(0)[0],
    "amax": lambda m, x: x.amax(0),
    "var": lambda m, x: x.var(),
    "std": lambda m, x: x.std(0),
    "norm": lambda m, x: x.norm(),
    "exp": lambda m, x: x.exp(),
    "log": lambda m, x: x.log(),
    "sqrt": lambda m, x: x.sqrt(),
    "tanh": lambda m, x: x.tanh(),
    "sigmoid": lambda m, x: x.sigmoid(),
    "relu": lambda m, x: x.relu(),
    "abs": lambda m, x: x.abs(),
    "clamp": lambda m, x: x.clamp(0, 1),
    "maximum": lambda m, x: m.maximum(x, x),
    "where": lambda m, x: m.where(x > 0, x, x),
    "softmax": lambda m, x: x.softmax(0),
    "log_softmax": lambda m, x: x.log_softmax(0),
    "view": lambda m, x: x.view(-1),
    "reshape": lambda m, x: x.t().reshape(-1),
    "permute": lambda m, x: x.permute(1, 0),
    "t": lambda m, x: x.t(),
    "transpose": lambda m, x: x.transpose(0, 1),
    "expand": lambda m, x: x[:1].expand(2, 2),
    "squeeze": lambda m, x: x[:1].squeeze(0),
    "unsqueeze": lambda m, x: x.unsqueeze(0),
    "select": lambda m, x: x[0],
    "slice": lambda m, x: x[:, 1:],
    "index": lambda m, x: x[m.tensor([0, 1])],
    "cat": lambda m, x: m.cat([x, x]),
    "stack": lambda m, x: m.stack([x, x]),
    "split": lambda m, x: x.split(1)[0],
    "unbind": lambda m, x: x.unbind()[0],
    "gather": lambda m, x: x.gather(0, m.zeros(1, 2, dtype=m.int64)),
    "clone": lambda m, x: x.clone(),
    "double": lambda m, x: x.double(),
    "cumsum": lambda m, x: x.cumsum(0),
    "masked_fill": lambda m, x: x.masked_fill(x > 2, 0.0),
    "tril": lambda m, x: x.tril(),
    "flip": lambda m, x: x.flip(0),
    "index_select": lambda m, x: x.index_select(0, m.tensor([0])),
    "mse": lambda m, x: m.nn.functional.mse_loss(x, x.detach()),
    "nll": lambda m, x: m.nn.functional.nll_loss(x, m.tensor([0, 1])),
    "linear": lambda m, x: m.nn.functional.linear(x, x, x[0]),
    "linear_plain": lambda m, x: m.nn.functional.linear(x, x),
    "layer_norm": lambda m, x: m.nn.functional.layer_norm(x, (2,)),
    "embedding": lambda m, x: m.nn.functional.embedding(m.tensor([0]), x),
    "gelu": lambda m, x: m.nn.functional.gelu(x),
    "add_": lambda m, x: (x * 1).add_(1),
    "mul_": lambda m, x: (x * 1).mul_(2),
    "setitem": lambda m, x: (lambda y: (y.__setitem__(0, 1.0), y)[1])(x * 1),
    "addmm": lambda m, x: m.addmm(x, x, x),
    "outer": lambda m, x: m.outer(x[0], x[0]),
    "logsumexp": lambda m, x: x.logsumexp(0),
    "repeat": lambda m, x: x.repeat(2, 1),
    "lerp": lambda m, x: m.lerp(x, x, 0.5),
    "atan2": lambda m, x: m.atan2(x, x),
    "cross_entropy": lambda m, x: m.nn.functional.cross_entropy(x, m.tensor([0, 1])),
    "detach": lambda m, x: x.detach(),
    "bce": lambda m, x: m.nn.functional.binary_cross_entropy_with_logits(x, x.detach()),
    "diagonal": lambda m, x: x.diagonal(),
}


def graph(node, depth=4):
    """Names and edges, as nested tuples; edges that lead nowhere (numbers, masks) are left out."""
    if node is None or depth == 0:
        return None
    return (
        type(node).__name__,
        node.name().rpartition("::")[2],
        tuple((graph(n, depth - 1), i) for n, i in node.next_functions if n is not None),
    )


@pytest.mark.parametrize("name", NAMES)
def test_names_and_edges(name, torch):
    found = []
    # Batches that need no broadcasting are multiplied as they are; torch records an expand and a view of each first.
    depth = {"depth": 1} if name == "bmm" else {}
    for m in (torch, fg):
        y = NAMES[name](m, m.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True))
        found.append(graph(y.grad_fn, **depth))
    assert found[1] == found[0]


def test_leaf_accumulator(device):
    x = leaf(1.0, device=device)
    (node, i), *_ = (x * 2).grad_fn.next_functions
    assert type(node).__name__ == "AccumulateGrad" and i == 0 and node.variable is x
    assert (x * 2).grad_fn.next_functions[0][0] is node
    assert x.grad_fn is None and x.is_leaf


def test_repr_of_a_node():
    text = repr((leaf(1.0) * 2).grad_fn)
    assert text.startswith("<MulBackward0 object at 0x")


@pytest.mark.sanitize
def test_tensor_hooks(device):
    x = leaf(1.0, 2.0, device=device)
    y = x * 2
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert seen == [[1.0, 1.0]] and x.grad.tolist() == [20.0, 20.0]
    handle.remove()
    (x * 2).sum().backward()
    assert len(seen) == 1


def test_post_accumulate_hook(device):
    x = leaf(1.0, device=device)
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad.tolist())))
    (x * 3).backward()
    handle.remove()
    (x * 3).backward()
    assert seen == [(True, [3.0])]


def test_node_hooks(device):
    x = leaf(1.0, device=device)
    y = x * 2
    seen = []
    y.grad_fn.register_hook(lambda gx, g: seen.append(("after", [t is None or t.tolist() for t in gx])))
    y.grad_fn.register_prehook(lambda g: seen.append(("before", [t.tolist() for t in g])))
    y.backward()
    assert [s[0] for s in seen] == ["before", "after"] and seen[0][1] == [[1.0]] and seen[1][1][0] == [2.0]


def test_gradients_that_nobody_asked_for_are_not_computed(device):
    x, w = leaf(2.0, device=device), leaf(3.0, device=device)
    y = x * w
    seen = []
    y.grad_fn.register_hook(lambda gx, g: seen.append([t is not None for t in gx]))
    for wanted in (x, w):
        fg.autograd.grad(y, [wanted], retain_graph=True)
    y.backward(inputs=[w], retain_graph=True)
    y.backward()
    assert seen == [[True, False], [False, True], [False, True], [True, True]]
    assert x.grad.tolist() == [3.0] and w.grad.tolist() == [4.0]


def test_an_error_in_a_hook_comes_out(device):
    x = leaf(1.0, device=device)
    y = x * 2
    y.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.backward()
    assert x.grad is None
    (x * 2).backward()
    assert x.grad.tolist() == [2.0]


def test_hook_of_a_wrong_kind(device):
    x = leaf(1.0, device=device)
    y = x * 2
    y.register_hook(lambda g: "no tensor")
    with pytest.raises((TypeError, RuntimeError)):
        y.backward()
    with pytest.raises(RuntimeError):
        fg.ones(1).register_hook(lambda g: g)


def test_retain_grad(device):
    x = leaf(1.0, 2.0, device=device)
    y = x * 2
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [4.0, 8.0] and x.grad.tolist() == [8.0, 16.0]


def test_grad_of_non_leaf_warns():
    y = leaf(1.0) * 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert y.grad is None
    assert any("non-leaf" in str(w.message) for w in caught)


@pytest.mark.sanitize
def test_a_million_ops_deep():
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000):
        y = y + x
    y.backward()
    assert x.grad.tolist() == [1_000_001.0]
    z = x
    for _ in range(200_000):
        z = z * 1.0
    del z
    gc.collect()


def test_a_wide_graph():
    x = leaf(1.0)
    fg.cat([x * float(i) for i in range(2000)]).sum().backward()
    assert x.grad.tolist() == [1999000.0]


@pytest.mark.sanitize
def test_backward_inside_backward(device):
    """A hook that runs a backward of its own, twice nested."""
    x, z = leaf(3.0, device=device), leaf(2.0, device=device)

    def innermost(g):
        with fg.enable_grad():
            (z * 5).sum().backward()

    def hook(g):
        with fg.enable_grad():
            w = z * z
            w.register_hook(innermost)
            w.sum().backward()
        return g

    y = x * x
    y.register_hook(hook)
    y.backward()
    assert x.grad.tolist() == [6.0] and z.grad.tolist() == [9.0]


@pytest.mark.sanitize
def test_backward_from_threads():
    """Separate graphs over shared leaves: every contribution arrives once."""
    x = fg.ones(50, requires_grad=True)
    failures = []

    def work():
        try:
            for _ in range(50):
                ((x * 2).sum() + (x * x).sum()).backward()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    assert x.grad.tolist() == [4.0 * 200] * 50


def test_grad_mode_is_per_thread():
    seen = []
    with fg.no_grad():
        t = threading.Thread(target=lambda: seen.append(fg.is_grad_enabled()))
        t.start()
        t.join()
    assert seen == [True]


def test_no_grad_and_inference(device):
    x = leaf(1.0, device=device)
    with fg.no_grad():
        y = x * 2
        with fg.enable_grad():
            z = x * 2
    assert not y.requires_grad and z.requires_grad
    with fg.inference_mode():
        w = x * 2
    assert w.is_inference() and not w.requires_grad
    with pytest.raises(RuntimeError, match="[Ii]nference"):
        w * x


def test_grad_function(device):
    x, y = leaf(2.0, device=device), leaf(3.0, device=device)
    gx, gy = fg.autograd.grad(x * y * y, (x, y))
    assert gx.tolist() == [9.0] and gy.tolist() == [12.0] and x.grad is None
    with pytest.raises(RuntimeError, match="allow_unused"):
        fg.autograd.grad(x * 2, (x, y))
    assert fg.autograd.grad(x * 2, (x, y), allow_unused=True)[1] is None
    inner = x * y
    (g,) = fg.autograd.grad(inner * inner, inner)
    assert g.tolist() == [12.0]


def test_backward_of_chosen_inputs(device):
    x, y = leaf(2.0, device=device), leaf(3.0, device=device)
    (x * y).backward(inputs=[x])
    assert x.grad.tolist() == [3.0] and y.grad is None


def test_several_roots(device):
    x = leaf(2.0, device=device)
    fg.autograd.backward([x * 2, x * x], [fg.ones(1, device=device), fg.ones(1, device=device) * 10])
    assert x.grad.tolist() == [42.0]


def test_create_graph_keeps_history(device):
    x = leaf(2.0, device=device)
    (g,) = fg.autograd.grad(x**3, x, create_graph=True)
    assert g.requires_grad
    g.backward()
    assert x.grad.tolist() == [12.0]


def test_requires_grad_rules(device):
    with pytest.raises(RuntimeError, match="floating point"):
        fg.ones(1, dtype=fg.int64, device=device).requires_grad_()
    y = leaf(1.0, device=device) * 2
    with pytest.raises(RuntimeError, match="leaf"):
        y.requires_grad = False
    assert not y.detach().requires_grad
    x = fg.ones(1, device=device)
    x.requires_grad = True
    assert (x * 2).requires_grad


def test_gradients_are_not_shared_with_others(device):
    """x + y hands the same gradient to both: changing one .grad must not change the other."""
    x, y = leaf(1.0, device=device), leaf(1.0, device=device)
    (x + y).backward()
    x.grad.add_(5)
    assert y.grad.tolist() == [1.0]


def test_anomaly_mode_names_the_forward():
    x = leaf(-1.0)
    with warnings.catch_warnings(record=True) as caught, fg.autograd.detect_anomaly():
        warnings.simplefilter("always")
        y = x.sqrt() * 0
        with pytest.raises(RuntimeError, match="nan"):
            y.backward()
    assert caught


def test_saved_tensors_hooks():
    packed, x = [], leaf(2.0)
    with fg.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or len(packed) - 1, lambda i: packed[i] * 1):
        y = x * x
    y.backward()
    assert x.grad.tolist() == [4.0] and packed


def test_sequence_numbers_grow():
    x = leaf(1.0)
    a, b = x * 2, x * 3
    assert a.grad_fn._sequence_nr() < b.grad_fn._sequence_nr()


def test_gradients_of_unused_outputs_are_zero():
    x = leaf(1.0, 4.0, 2.0)
    a, b, c = x.unbind()
    (b * 3).backward()
    assert x.grad.tolist() == [0.0, 3.0, 0.0]
    values, _ = leaf(1.0, 4.0).max(0)
    assert values.requires_grad


def test_zero_grad_by_none(device):
    x = leaf(1.0, device=device)
    (x * 2).backward()
    x.grad = None
    (x * 3).backward()
    assert x.grad.tolist() == [3.0]
    for bad in (fg.ones(2, device=device), fg.ones(1, dtype=fg.float64, device=device), 3):
        with pytest.raises((RuntimeError, TypeError)):
            x.grad = bad
    assert np.allclose(x.grad.tolist(), [3.0])


def test_gradients_that_nobody_asked_for_do_not_read_what_was_saved(device):
    # d/da a b = b: that of b would need a, which has changed since
    a, b = fg.ones(3, device=device), fg.full((3,), 2.0, device=device)
    a.requires_grad_(), b.requires_grad_()
    kept = a * 1
    y = kept * b
    kept.detach().zero_()
    assert fg.autograd.grad(y.sum(), kept, retain_graph=True)[0].tolist() == [2.0] * 3
    y.sum().backward(inputs=[a], retain_graph=True)
    assert a.grad.tolist() == [2.0] * 3 and b.grad is None
    for run in (lambda: fg.autograd.grad(y.sum(), b, retain_graph=True), lambda: y.sum().backward()):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            run()


def test_a_node_may_run_for_other_inputs_each_time(device):
    x, w = fg.ones(2, 3, device=device).requires_grad_(), fg.full((4, 3), 2.0, device=device).requires_grad_()
    y = fg.nn.functional.linear(x, w).sum()
    for _ in range(2):
        (gw,) = fg.autograd.grad(y, w, retain_graph=True)
        (gx,) = fg.autograd.grad(y, x, retain_graph=True)
        both = fg.autograd.grad(y, (x, w), retain_graph=True)
        assert gw.tolist() == both[1].tolist() == [[2.0] * 3] * 4
        assert gx.tolist() == both[0].tolist() == [[8.0] * 3] * 2


def test_needed_nodes_are_found_whatever_the_order_of_recording(device):
    # The base's history comes after the view's: the order of recording is no order of the graph here.
    x = fg.ones(3, device=device, requires_grad=True)
    base = fg.zeros(4, device=device)
    view = base[1:]
    later = view.exp() * 1
    base[:3] = x * 2
    y = (view * 3).sum() + later.sum()
    assert fg.autograd.grad(y, x)[0].tolist() == [0.0, 6.0, 6.0]
