"""Sizes that take more than one tile, block or part of a CUDA kernel, against the same work on the CPU in float64.

The records of op_db are small: most of them fit into one block. On the CPU these are tests of its larger kernels.
"""
import numpy as np
import pytest

import fastgrad as fg
from fastgrad.nn import functional as F

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def given(*shape, dtype, seed=0):
    return fg.tensor(np.random.default_rng(seed).standard_normal(shape), dtype=getattr(fg, dtype))


def check(fn, tensors, device, dtype):
    """fn's result and all its gradients on the device, in dtype, against the CPU in float64."""
    def run(device, dtype):
        leaves = [t.to(device=device, dtype=dtype, copy=True).requires_grad_() for t in tensors]
        out = fn(*leaves)
        weights = given(*out.shape, dtype="float64", seed=9).to(device=device, dtype=dtype)
        return [out, *fg.autograd.grad((out * weights).sum(), leaves)]

    for got, expected in zip(run(device, getattr(fg, dtype)), run("cpu", fg.float64)):
        expected = expected.detach().numpy()
        scale = np.abs(expected).max()
        np.testing.assert_allclose(got.detach().cpu().double().numpy() / scale, expected / scale, rtol=0,
                                   atol=TOLERANCE[dtype])


both = pytest.mark.parametrize("dtype", list(TOLERANCE))
CONVOLUTIONS = {
    "tiles": ((3, 70, 9, 11), (66, 70, 3, 3), {"padding": 1}),
    "strided": ((2, 66, 12, 9), (5, 66, 3, 2), {"stride": (2, 3), "padding": (1, 0)}),
    "dilated": ((1, 5, 15, 14), (70, 5, 3, 3), {"dilation": (3, 2), "padding": 2}),
    "parts": ((6, 3, 20, 21), (7, 3, 5, 5), {}),
    "groups": ((2, 12, 8, 8), (16, 6, 3, 3), {"groups": 2, "padding": 1}),
    "depthwise": ((3, 70, 9, 8), (140, 1, 3, 3), {"groups": 70, "stride": 2, "padding": 1}),
    "one_by_one": ((2, 80, 6, 6), (70, 80, 1, 1), {}),
    "1d": ((3, 40, 50), (33, 40, 7), {"stride": 3, "padding": 3}),
    "3d": ((2, 8, 5, 6, 7), (9, 8, 2, 3, 3), {"padding": (0, 1, 1)}),
}


@both
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case, device, dtype):
    x_shape, w_shape, options = CONVOLUTIONS[case]
    conv = getattr(F, f"conv{len(x_shape) - 2}d")
    x, w, b = given(*x_shape, dtype=dtype), given(*w_shape, dtype=dtype, seed=1), given(w_shape[0], dtype=dtype, seed=2)
    check(lambda x, w, b: conv(x, w, b, **options), [x, w, b], device, dtype)


@both
@pytest.mark.parametrize("case", ["tiles", "strided", "dilated", "1d"])
def test_transposed_convolution(case, device, dtype):
    x_shape, w_shape, options = CONVOLUTIONS[case]
    conv = getattr(F, f"conv_transpose{len(x_shape) - 2}d")
    channels = w_shape[0]
    tensors = [given(2, channels, *x_shape[2:], dtype=dtype), given(*w_shape, dtype=dtype, seed=1)]
    check(lambda x, w: conv(x, w, **options), tensors, device, dtype)


@both
@pytest.mark.parametrize("shape", [(8, 2, 700), (5, 3, 17, 19), (2000, 5), (1, 40, 3), (6, 1, 4000)])
def test_batch_norm(shape, device, dtype):
    channels = shape[1]
    tensors = [given(*shape, dtype=dtype), given(channels, dtype=dtype, seed=1), given(channels, dtype=dtype, seed=2)]
    check(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), tensors, device, dtype)
    mean, var = given(channels, dtype="float64", seed=3), given(channels, dtype="float64", seed=4).abs() + 0.5
    check(lambda x, w, b: F.batch_norm(x, mean.to(x), var.to(x), w, b), tensors, device, dtype)
    if len(shape) > 2:
        check(lambda x, w, b: F.group_norm(x, 1, w, b), tensors, device, dtype)


@both
def test_pooling(device, dtype):
    x = given(2, 3, 40, 37, dtype=dtype)
    check(lambda x: F.max_pool2d(x, 5, 2, 2), [x], device, dtype)
    check(lambda x: F.max_pool2d(x, 3, 1, 1, 2), [x], device, dtype)
    check(lambda x: F.adaptive_max_pool2d(x, (7, 20)), [x], device, dtype)
    check(lambda x: F.avg_pool2d(x, 3, 2, 1), [x], device, dtype)
    check(lambda x: F.interpolate(x, (61, 20), mode="bilinear"), [x], device, dtype)
    check(lambda x: F.interpolate(x, scale_factor=2.3, mode="bicubic"), [x], device, dtype)


@both
@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_padding(mode, device, dtype):
    x = given(2, 3, 9, 8, 11, dtype=dtype)
    check(lambda x: F.pad(x, (3, 2, 0, 5, 4, 1), mode), [x], device, dtype)
    check(lambda x: F.pad(x, (-2, 3, 1, -1, 0, 0), mode), [x], device, dtype)
    check(lambda x: F.pad(x[:, 0, 0], (7, 7), mode), [x], device, dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5000,), (3, 2100), (700, 9), (4, 300, 7)])
def test_order(shape, dtype, device):
    rng = np.random.default_rng(5)
    values = rng.integers(0, 200, shape) if "int" in dtype else rng.standard_normal(shape).round(2)
    if "int" in dtype:
        values[..., :3] = 7
    else:
        values[..., 1], values[..., 3], values[..., 4] = np.nan, -0.0, 0.0
    t = fg.tensor(values, dtype=getattr(fg, dtype))
    x = t.to(device)
    for dim in (0, -1):
        for descending in (False, True):
            got, expected = (a.sort(dim, descending, stable=True) for a in (x, t))
            assert got[1].cpu().equal(expected[1])
            np.testing.assert_array_equal(got[0].cpu().double().numpy(), expected[0].double().numpy())
            k = min(6, t.shape[dim])
            got, expected = (a.topk(k, dim, largest=descending) for a in (x, t))
            np.testing.assert_array_equal(got[0].cpu().double().numpy(), expected[0].double().numpy())
            np.testing.assert_array_equal(x.gather(dim, got[1]).cpu().double().numpy(), got[0].cpu().double().numpy())
        for name, arguments in (("kthvalue", (3,)), ("median", ()), ("nanmedian", ()), ("mode", ())):
            got, expected = (getattr(a, name)(*arguments, dim) for a in (x, t))
            np.testing.assert_array_equal(got[0].cpu().double().numpy(), expected[0].double().numpy())


@pytest.mark.parametrize("name", ["gather", "scatter", "scatter_add", "index_add", "index_select"])
def test_negative_indices_are_out_of_range(name, device):
    x = fg.zeros(4, device=device)
    index, ones = fg.tensor([1, -1], device=device), fg.ones(2, device=device)
    with pytest.raises((RuntimeError, IndexError), match="-1"):
        getattr(x, name)(0, index, *([ones] if name not in ("gather", "index_select") else []))
    assert x.tolist() == [0.0] * 4


def test_draws(device):
    """Means and variances, and the same numbers for the same seed, whatever is drawn before in another shape."""
    n = 20000
    from fastgrad.distributions import Binomial, Dirichlet, Gamma, Poisson

    def full(value, dtype=fg.float32):
        return fg.full((n,), value, device=device, dtype=dtype)

    for law, mean, variance in (
            (Gamma(full(2.5), full(1.0)), 2.5, 2.5), (Gamma(full(0.4, fg.float64), full(1.0, fg.float64)), 0.4, 0.4),
            (Poisson(full(3.0)), 3, 3), (Poisson(full(40.0)), 40, 40),
            (Binomial(full(8.0), full(0.3)), 2.4, 1.68), (Binomial(full(90.0), full(0.7)), 63, 18.9)):
        fg.manual_seed(3)
        first, other = law.sample(), law.sample()
        fg.manual_seed(3)
        assert first.equal(law.sample()) and not first.equal(other)
        values = first.cpu().double()
        assert abs(values.mean().item() - mean) < 5 * (variance / n) ** 0.5
        assert abs(values.var().item() / variance - 1) < 0.1
    alpha = fg.full((500, 3), 2.0, device=device, requires_grad=True)
    parts = Dirichlet(alpha).rsample()
    assert np.allclose(parts.sum(-1).tolist(), 1)
    (grad,) = fg.autograd.grad(parts[:, 0].sum(), alpha)
    assert np.isfinite(grad.cpu().numpy()).all() and (grad[:, 0] > 0).all().item()


def test_training_of_a_network_of_many_kinds(device):
    """Layers of every family, an optimizer and a scheduler: the same losses as on the CPU."""
    nn = fg.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.images = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(8, 8, 3, padding=1, groups=8, padding_mode="reflect"), nn.Conv2d(8, 12, 1), nn.GELU(),
                nn.GroupNorm(3, 12), nn.Upsample(scale_factor=2, mode="bilinear"), nn.AdaptiveAvgPool2d(4))
            self.back = nn.ConvTranspose2d(12, 6, 4, 2, 1)
            self.words = nn.Embedding(20, 6)
            self.lstm, self.gru = nn.LSTM(6, 8, batch_first=True, bidirectional=True), nn.GRU(16, 6, batch_first=True)
            self.attention = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.0, batch_first=True)
            self.head = nn.Linear(12, 5)

        def forward(self, images, words):
            x = self.back(self.images(images)).flatten(2).topk(3, -1)[0].mean(-1)
            y = self.attention(self.gru(self.lstm(self.words(words))[0])[0]).mean(1)
            return self.head(fg.cat([x, y], 1))

    def losses(device):
        fg.manual_seed(1)
        net = Net().double().to(device)
        optimizer = fg.optim.AdamW(net.parameters(), lr=0.01)
        scheduler = fg.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        images = given(4, 3, 9, 9, dtype="float64").to(device)
        words = fg.tensor(np.random.default_rng(1).integers(0, 20, (4, 5)), device=device)
        target = fg.tensor([0, 3, 1, 4], device=device)
        found = []
        for _ in range(4):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(images, words), target)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            found.append(loss.item())
        return found

    found = losses(device)
    assert found[-1] < found[0]
    np.testing.assert_allclose(found, losses("cpu"), rtol=1e-8)
