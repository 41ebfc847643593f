"""Automatic mixed precision: what runs in which dtype, and the gradient scaler, against torch."""
import pickle
import warnings

import pytest

import fastgrad
import fastgrad.nn.functional as F
from fastgrad import nn

try:
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")

PRODUCTS = {
    "mm": lambda t, a, b: t.mm(a, b),
    "matmul": lambda t, a, b: a @ b,
    "linear": lambda t, a, b: t.nn.functional.linear(a, b, b[0]),
    "bmm": lambda t, a, b: t.bmm(a[None], b[None]),
    "addmm": lambda t, a, b: t.addmm(a, a, b),
    "baddbmm": lambda t, a, b: t.baddbmm(a[None], a[None], b[None]),
    "matrix-vector": lambda t, a, b: a @ b[0],
    "conv2d": lambda t, a, b: t.nn.functional.conv2d(a[None, None], b[None, None, :2, :2], b[0, :1]),
    "conv_transpose1d": lambda t, a, b: t.nn.functional.conv_transpose1d(a[None, :2], b[:2, None, :2]),
    "softmax": lambda t, a, b: (a @ b).softmax(-1),
    "layer_norm": lambda t, a, b: t.nn.functional.layer_norm(a @ b, (4,)),
    "sum": lambda t, a, b: (a @ b).sum(),
    "exp": lambda t, a, b: (a @ b).exp(),
    "mixed": lambda t, a, b: a @ b + a,
    "cat": lambda t, a, b: t.cat([a @ b, a]),
    "double": lambda t, a, b: a.double() @ b.double(),
    "prod": lambda t, a, b: (a @ b).prod(),
    "mse": lambda t, a, b: t.nn.functional.mse_loss(a @ b, b),
    "l1": lambda t, a, b: t.nn.functional.l1_loss(a @ b, b),
    "smooth_l1": lambda t, a, b: t.nn.functional.smooth_l1_loss(a @ b, b),
    "bce_logits": lambda t, a, b: t.nn.functional.binary_cross_entropy_with_logits(a @ b, b.sigmoid()),
    "kl_div": lambda t, a, b: t.nn.functional.kl_div((a @ b).log_softmax(-1), b.softmax(-1), reduction="batchmean"),
    "cross_entropy": lambda t, a, b: t.nn.functional.cross_entropy(a @ b, t.tensor([0, 1, 2, 3])),
    "cross_entropy_smooth": lambda t, a, b: t.nn.functional.cross_entropy(a @ b, t.tensor([0, 1, 2, 3]),
                                                                          label_smoothing=0.1),
    "nll": lambda t, a, b: t.nn.functional.nll_loss((a @ b).log_softmax(-1), t.tensor([0, 1, 2, 3])),
}


def operands(t, requires_grad=True):
    t.manual_seed(0)
    return [t.randn(4, 4).requires_grad_(requires_grad) for _ in range(2)]


@needs_torch
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_dtypes_values_and_gradients_are_torchs(name, dtype):
    results = []
    for t in (fastgrad, torch):
        a, b = operands(t)
        with t.autocast("cpu", dtype=getattr(t, dtype)):
            y = PRODUCTS[name](t, a, b)
        y.sum().backward()
        results.append((str(y.dtype), y.detach().float().numpy(), a.grad.numpy(), str(a.grad.dtype)))
    ours, theirs = results
    assert ours[0] == theirs[0] and ours[3] == theirs[3]
    import numpy as np
    np.testing.assert_allclose(ours[1], theirs[1], rtol=2e-2, atol=2e-2)
    np.testing.assert_allclose(ours[2], theirs[2], rtol=6e-2, atol=6e-2)


def test_regions_nest_and_give_back_the_state():
    a, b = operands(fastgrad, False)
    assert not fastgrad.is_autocast_enabled("cpu")
    with fastgrad.autocast("cpu", dtype=fastgrad.bfloat16):
        assert fastgrad.is_autocast_cpu_enabled() and (a @ b).dtype == fastgrad.bfloat16
        with fastgrad.autocast("cpu", enabled=False):
            assert (a @ b).dtype == fastgrad.float32
        with fastgrad.autocast("cpu", dtype=fastgrad.float16):
            assert (a @ b).dtype == fastgrad.float16
            assert fastgrad.get_autocast_dtype("cpu") == fastgrad.float16
        assert (a @ b).dtype == fastgrad.bfloat16
        with pytest.raises(RuntimeError):
            a @ fastgrad.rand(3, 3)
    assert (a @ b).dtype == fastgrad.float32
    assert fastgrad.get_autocast_cpu_dtype() == fastgrad.bfloat16


def test_region_is_reusable_and_decorates():
    region = fastgrad.amp.autocast("cpu", dtype=fastgrad.bfloat16)
    a, b = operands(fastgrad, False)

    @region
    def product(x, y):
        with region:
            return x @ y

    assert product(a, b).dtype == fastgrad.bfloat16 and (a @ b).dtype == fastgrad.float32


def test_a_weight_is_cast_once_in_a_region():
    w = fastgrad.randn(8, 8, requires_grad=True)
    x = fastgrad.randn(2, 8)
    with fastgrad.autocast("cpu"):
        one, two = x @ w, x @ w
        casts = [y.grad_fn.next_functions[1][0] for y in (one, two)]
        assert casts[0] is casts[1]
    with fastgrad.autocast("cpu", cache_enabled=False):
        one, two = x @ w, x @ w
        assert one.grad_fn.next_functions[1][0] is not two.grad_fn.next_functions[1][0]


def test_a_changed_weight_is_cast_again():
    w = fastgrad.ones(2, 2, requires_grad=True)
    x = fastgrad.ones(1, 2)
    with fastgrad.autocast("cpu"):
        assert (x @ w).tolist() == [[2.0, 2.0]]
        with fastgrad.no_grad():
            w.mul_(3)
        assert (x @ w).tolist() == [[6.0, 6.0]]


def test_other_threads_are_outside():
    import threading
    found = []
    with fastgrad.autocast("cpu"):
        thread = threading.Thread(target=lambda: found.append(fastgrad.is_autocast_enabled("cpu")))
        thread.start()
        thread.join()
    assert found == [False]


@pytest.mark.parametrize("call, error", [
    (lambda: fastgrad.autocast(3), ValueError), (lambda: fastgrad.autocast("toaster"), RuntimeError),
    (lambda: fastgrad.autocast(), TypeError), (lambda: fastgrad.amp.is_autocast_available(1), TypeError)])
def test_bad_regions(call, error):
    with pytest.raises(error):
        call()


def test_unsupported_dtype_warns_and_switches_off():
    with pytest.warns(UserWarning, match="not supported"):
        region = fastgrad.autocast("cpu", dtype=fastgrad.float64)
    with region:
        assert not fastgrad.is_autocast_enabled("cpu")


class Double(fastgrad.autograd.Function):
    @staticmethod
    @fastgrad.amp.custom_fwd(device_type="cpu", cast_inputs=fastgrad.float32)
    def forward(ctx, x):
        assert x.dtype == fastgrad.float32 and not fastgrad.is_autocast_enabled("cpu")
        return x * 2

    @staticmethod
    @fastgrad.amp.custom_bwd(device_type="cpu")
    def backward(ctx, g):
        assert not fastgrad.is_autocast_enabled("cpu")
        return g * 2


def test_custom_functions():
    x = fastgrad.ones(2, 2, requires_grad=True)
    with fastgrad.autocast("cpu"):
        y = Double.apply(x @ x)
    y.sum().backward()
    assert y.dtype == fastgrad.float32 and x.grad.tolist() == [[8.0, 8.0], [8.0, 8.0]]


def train(t, scaler_args, poison):
    """Losses and scales of a small regression; step `poison` gets an infinite gradient."""
    t.manual_seed(0)
    net = t.nn.Linear(4, 1)
    optimizer = t.optim.SGD(net.parameters(), lr=0.05)
    scaler = t.amp.GradScaler("cpu", **scaler_args)
    x, y = t.randn(16, 4), t.randn(16, 1)
    seen = []
    for step in range(8):
        optimizer.zero_grad()
        loss = t.nn.functional.mse_loss(net(x), y)
        scaler.scale(loss).backward()
        if step == poison:
            net.weight.grad[0, 0] = float("inf")
        if step % 2:
            scaler.unscale_(optimizer)
            t.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        seen.append((loss.item(), scaler.get_scale()))
    return seen, scaler.state_dict()


@needs_torch
def test_scaler_follows_torch():
    args = dict(init_scale=1024.0, growth_interval=3)
    ours, state = train(fastgrad, args, 4)
    theirs, their_state = train(torch, args, 4)
    assert [s for _, s in ours] == [s for _, s in theirs] and state == their_state
    assert [loss for loss, _ in ours] == pytest.approx([loss for loss, _ in theirs], rel=1e-5)


def test_scaler_saves_and_pickles():
    scaler = fastgrad.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(fastgrad.ones(1))
    again = pickle.loads(pickle.dumps(scaler))
    assert again.get_scale() == 8.0
    other = fastgrad.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 8.0 and other.state_dict() == scaler.state_dict()
    off = fastgrad.amp.GradScaler("cpu", enabled=False)
    assert off.state_dict() == {} and off.get_scale() == 1.0
    with pytest.raises(RuntimeError, match="empty"):
        other.load_state_dict({})


def test_scaler_refuses_wrong_order():
    net = nn.Linear(2, 1)
    optimizer = fastgrad.optim.SGD(net.parameters(), lr=0.1)
    scaler = fastgrad.amp.GradScaler("cpu")
    with pytest.raises(AssertionError, match="scale"):
        scaler.step(optimizer)
    scaler.scale(F.mse_loss(net(fastgrad.ones(1, 2)), fastgrad.ones(1, 1))).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(optimizer)
    scaler.update(4.0)
    assert scaler.get_scale() == 4.0
    with pytest.raises(AssertionError, match="No inf checks"):
        scaler.update()


def test_old_names():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fastgrad.cpu.amp import autocast
        from fastgrad.cuda.amp import GradScaler
        from fastgrad.cuda.amp.grad_scaler import _MultiDeviceReplicator
        with autocast():
            assert fastgrad.is_autocast_enabled("cpu")
        assert isinstance(GradScaler(enabled=False), fastgrad.amp.GradScaler)
    x = fastgrad.ones(1)
    copies = _MultiDeviceReplicator(x)
    assert copies.get("cpu") is copies.get("cpu") and copies.get("cpu") is not x


@needs_torch
def test_non_finite_check_is_torchs():
    for values in ([1.0, 2.0], [1.0, float("inf")], [float("nan"), 2.0]):
        results = []
        for t in (fastgrad, torch):
            g, found, inv = t.tensor(values), t.zeros(1), t.tensor([0.5])
            t._amp_foreach_non_finite_check_and_unscale_([g], found, inv)
            results.append((repr(g.tolist()), found.tolist()))
        assert results[0] == results[1]


def _matrix(t):
    return t.eye(3).bfloat16() * 2


def _numbers(t, *sizes):
    n = 1
    for size in sizes:
        n *= size
    return (t.arange(n).reshape(sizes) / n + 0.25).bfloat16()


WIDENED = {
    "avg_pool3d": lambda t: t.nn.functional.avg_pool3d(_numbers(t, 1, 1, 4, 4, 4), 2),
    "max_pool3d": lambda t: t.nn.functional.max_pool3d(_numbers(t, 1, 1, 4, 4, 4), 2),
    "max_pool2d": lambda t: t.nn.functional.max_pool2d(_numbers(t, 1, 1, 4, 4), 2),
    "adaptive_avg_pool3d": lambda t: t.nn.functional.adaptive_avg_pool3d(_numbers(t, 1, 1, 4, 4, 4), 2),
    "grid_sample": lambda t: t.nn.functional.grid_sample(_numbers(t, 1, 1, 4, 4), _numbers(t, 1, 2, 2, 2)),
    "reflect": lambda t: t.nn.functional.pad(_numbers(t, 1, 1, 4), (1, 1), "reflect"),
    "replicate": lambda t: t.nn.functional.pad(_numbers(t, 1, 1, 4), (1, 1), "replicate"),
    "circular": lambda t: t.nn.functional.pad(_numbers(t, 1, 1, 4), (1, 1), "circular"),
    "gaussian_nll": lambda t: t.nn.functional.gaussian_nll_loss(*[_numbers(t, 3)] * 3),
    "hinge": lambda t: t.nn.functional.hinge_embedding_loss(_numbers(t, 3), t.tensor([1, -1, 1])),
    "quantile": lambda t: t.quantile(_numbers(t, 5), 0.5),
    "quantile method": lambda t: _numbers(t, 5).quantile(0.5),
    "quantile keyword": lambda t: t.quantile(input=_numbers(t, 5), q=0.5),
    "polar": lambda t: t.polar(_numbers(t, 3), _numbers(t, 3)),
    "view_as_complex": lambda t: t.view_as_complex(_numbers(t, 3, 2)),
    "trace": lambda t: _matrix(t).trace(),
    "cdist": lambda t: t.cdist(_numbers(t, 3, 2), _numbers(t, 3, 2)),
    "fft": lambda t: t.fft.fft(_numbers(t, 4)),
    "irfft": lambda t: t.fft.irfft(_numbers(t, 4)),
    "inv": lambda t: t.linalg.inv(_matrix(t)),
    "inverse": lambda t: _matrix(t).inverse(),
    "cholesky": lambda t: t.linalg.cholesky(_matrix(t)),
    "solve": lambda t: t.linalg.solve(_matrix(t), _numbers(t, 3, 2)),
    "svdvals": lambda t: t.linalg.svdvals(_matrix(t)),
    "eigh": lambda t: t.linalg.eigh(_matrix(t))[0],
    "pinverse of float32": lambda t: t.pinverse(_matrix(t).float()),
    "index_copy": lambda t: t.zeros(3).index_copy(0, t.tensor([0]), _numbers(t, 1)),
    "prelu": lambda t: t.nn.functional.prelu(t.ones(2, 3), t.ones(3)),
    "addbmm": lambda t: t.addbmm(t.ones(2, 2), t.ones(3, 2, 2), t.ones(3, 2, 2)),
    "vecdot": lambda t: t.linalg.vecdot(t.ones(2, 2), t.ones(2, 2)),
}


@needs_torch
@pytest.mark.parametrize("name", WIDENED)
def test_which_functions_are_widened_as_in_torch(name):
    with fastgrad.autocast("cpu"):
        ours = WIDENED[name](fastgrad)
    with torch.autocast("cpu"):
        theirs = WIDENED[name](torch)
    assert str(ours.dtype) == str(theirs.dtype)
    parts = [torch.view_as_real(theirs) if theirs.is_complex() else theirs,
             fastgrad.view_as_real(ours) if theirs.is_complex() else ours]
    a, e = parts[1].float().numpy(), parts[0].float().numpy()
    assert abs(a - e).max() <= 1e-2 * max(1, abs(e).max())


@needs_torch
@pytest.mark.parametrize("kind, options", [("LSTM", {}), ("LSTM", {"num_layers": 2, "bidirectional": True}),
                                           ("LSTM", {"proj_size": 2}), ("GRU", {}), ("RNN", {})])
def test_recurrent_layers_give_the_dtypes_of_torch(kind, options):
    found = []
    for t in (fastgrad, torch):
        layer = getattr(t.nn, kind)(4, 3, **options)
        with t.autocast("cpu"):
            output, state = layer(t.ones(5, 2, 4))
        output.float().sum().backward()
        assert all(w.grad.dtype == t.float32 for w in layer.parameters() if w.grad is not None)
        found.append([str(s.dtype) for s in (output, *(state if kind == "LSTM" else (state,)))])
    assert found[0] == found[1]


def test_the_region_is_over_inside_of_a_widened_function():
    with fastgrad.autocast("cpu"):
        x = fastgrad.ones(2, 2).bfloat16()
        assert F.cosine_embedding_loss(x, x, fastgrad.ones(2)).dtype is fastgrad.float32
        with pytest.raises(RuntimeError):
            fastgrad.linalg.inv(fastgrad.ones(2, 3))
        assert (fastgrad.ones(2, 2) @ fastgrad.ones(2, 2)).dtype is fastgrad.bfloat16
