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
    "many_parts": ((6, 2, 20, 21), (7, 2, 5, 5), {}),
    "groups": ((2, 12, 8, 8), (16, 6, 3, 3), {"groups": 2, "padding": 1}),
    "depthwise": ((3, 70, 9, 8), (140, 1, 3, 3), {"groups": 70, "stride": 2, "padding": 1}),
    "depthwise_images": ((3, 5, 20, 21), (10, 1, 3, 3), {"groups": 5, "padding": 1}),
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


@pytest.mark.parametrize("channels", [1, 5])
def test_convolution_of_more_groups_than_a_grid_has_rows(channels, device):
    groups = 65540
    x, w = given(1, groups * channels, 2, dtype="float32"), given(groups, channels, 1, dtype="float32", seed=1)
    with fg.no_grad():
        y = F.conv1d(x.to(device), w.to(device), groups=groups)
        back = F.conv_transpose1d(y, w.to(device), groups=groups)
    expected = (x.view(groups, channels, 2) * w).sum(1)
    np.testing.assert_allclose(y[0].cpu().numpy(), expected.numpy(), rtol=1e-5, atol=1e-5)
    expected = (expected.unsqueeze(1) * w).view(1, -1, 2)
    np.testing.assert_allclose(back.cpu().numpy(), expected.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 6])
def test_convolution_by_one_enormous_step(channels, device):
    """The width of a step counts only where there are two, that of a dilation where there are two taps."""
    x, w = given(2, channels, 3, 4, dtype="float64"), given(channels, channels, 1, 1, dtype="float64", seed=1)
    for huge in (2**31, 2**32, 2**62, 2**63 - 1):
        check(lambda x, w: F.conv2d(x, w, stride=huge), [x, w], device, "float64")
        y = F.conv2d(x.to(device), w.to(device), stride=huge, dilation=huge)
        np.testing.assert_allclose(y.cpu().numpy(), F.conv2d(x[:, :, :1, :1], w).numpy(), rtol=0, atol=1e-12)
        corner = F.conv_transpose2d(y, w.to(device), stride=huge, output_padding=2)
        assert corner.shape == (2, channels, 3, 3)
        np.testing.assert_allclose(corner[:, :, :1, :1].cpu().numpy(), F.conv_transpose2d(y.cpu(), w).numpy(), rtol=0,
                                   atol=1e-12)
        assert corner.count_nonzero().item() == 2 * channels
    with pytest.raises(RuntimeError, match="too large"):
        F.conv2d(x.to(device), w.to(device), stride=2**60, padding=2**61)


@both
@pytest.mark.parametrize("shape", [(8, 2, 700), (5, 3, 17, 19), (2000, 5), (1, 40, 3), (6, 1, 4000), (2, 140, 9)])
def test_batch_norm(shape, device, dtype):
    channels = shape[1]
    tensors = [given(*shape, dtype=dtype), given(channels, dtype=dtype, seed=1), given(channels, dtype=dtype, seed=2)]
    check(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), tensors, device, dtype)
    mean, var = given(channels, dtype="float64", seed=3), given(channels, dtype="float64", seed=4).abs() + 0.5
    check(lambda x, w, b: F.batch_norm(x, mean.to(x), var.to(x), w, b), tensors, device, dtype)
    if len(shape) > 2:
        check(lambda x, w, b: F.group_norm(x, 1, w, b), tensors, device, dtype)


@both
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_group_norm(groups, device, dtype):
    """By its own kernels on every device: one node, whose gradient removes the mean."""
    x = given(4, 6, 23, 31, dtype=dtype) + 3
    tensors = [x, given(6, dtype=dtype, seed=1), given(6, dtype=dtype, seed=2)]
    check(lambda x, w, b: F.group_norm(x, groups, w, b), tensors, device, dtype)
    check(lambda x: F.group_norm(x, groups), [x], device, dtype)
    assert F.group_norm(x.to(device).requires_grad_(), groups).grad_fn.name() == "NativeGroupNormBackward0"
    with fg.autocast(device, fg.bfloat16):  # a norm is kept in float32 on CUDA
        y = F.group_norm(x.to(device, fg.bfloat16), groups)
    assert y.dtype == (fg.bfloat16 if device == "cpu" else fg.float32)


@both
def test_gradients_of_the_gradient_of_batch_norm(device, dtype):
    shape = (6, 3, 7, 5)
    tensors = [given(*shape, dtype=dtype), given(3, dtype=dtype, seed=1), given(3, dtype=dtype, seed=2)]
    mean, var = given(3, dtype="float64", seed=3), given(3, dtype="float64", seed=4).abs() + 0.5

    def slopes(training):
        def call(x, w, b):
            y = F.batch_norm(x, mean.to(x), var.to(x), w, b, training)
            return fg.autograd.grad((y.sin() * y).sum(), (x, w), create_graph=True)[0]
        return call

    for training in (True, False):
        check(slopes(training), tensors, device, dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_places_of_the_largest_in_windows(dtype, device):
    """Of equal ones the first; of NaN the last, as torch has it; windows that begin outside, or where they are put."""
    values = np.random.default_rng(3).integers(0, 4, (2, 3, 11, 13)).astype("float64")
    floating = "float" in dtype
    if floating:
        values[0, 0, 2:4, 2:5] = np.nan
        values[1] = -np.inf
    t = fg.tensor(values).to(getattr(fg, dtype))
    samples = fg.tensor(np.random.default_rng(4).random((2, 3, 2))).to(t.dtype)
    calls = [lambda x, s: F.max_pool2d(x, 3, 2, 1, return_indices=True),
             lambda x, s: F.max_pool2d(x, (2, 3), 1, (1, 0), (2, 3), return_indices=True),
             lambda x, s: F.max_pool2d(x, 3, 2, 1, 2, ceil_mode=True, return_indices=True)]
    if floating:
        calls += [lambda x, s: F.adaptive_max_pool2d(x, (4, 5), return_indices=True),
                  lambda x, s: F.fractional_max_pool2d(x, 3, (4, 7), return_indices=True, _random_samples=s)]
    for call in calls:
        for got, expected in zip(call(t.to(device), samples.to(device)), call(t, samples)):
            np.testing.assert_array_equal(got.cpu().numpy(), expected.numpy())
    found, places = calls[0](t.to(device), None)
    flat = values.reshape(2, 3, -1)
    for plane in np.ndindex(2, 3):  # the places hold what was found, and nothing equal lies before them
        at = places[plane].cpu().numpy()
        np.testing.assert_array_equal(flat[plane][at], found[plane].cpu().double().numpy())
        for (row, column), place in np.ndenumerate(at):
            y, x = np.meshgrid(np.arange(row * 2 - 1, row * 2 + 2), np.arange(column * 2 - 1, column * 2 + 2),
                               indexing="ij")
            inside = ((y >= 0) & (y < 11) & (x >= 0) & (x < 13)).ravel()
            window = (y * 13 + x).ravel()[inside]
            content = flat[plane][window]
            nan = np.isnan(content)
            assert place == (window[nan][-1] if nan.any() else window[content.argmax()])


WINDOWS = {
    "adaptive 1d": ((2, 3, 17), lambda x, s: F.adaptive_max_pool1d(x, 5), None),
    "adaptive more": ((2, 3, 4, 7), lambda x, s: F.adaptive_max_pool2d(x, (9, 11)), None),
    "adaptive 2d": ((2, 2, 13, 37), lambda x, s: F.adaptive_max_pool2d(x, (6, 29)), None),
    "adaptive one": ((2, 2, 13, 9), lambda x, s: F.adaptive_max_pool2d(x, 1), None),
    "adaptive none": ((2, 2, 5, 4), lambda x, s: F.adaptive_max_pool2d(x, (0, 3)), None),
    "adaptive 3d": ((2, 2, 5, 6, 7), lambda x, s: F.adaptive_max_pool3d(x, (2, 4, 7)), None),
    "fractional": ((2, 3, 19, 23), lambda x, s: F.fractional_max_pool2d(x, (3, 2), (9, 21), _random_samples=s), 2),
    "fractional wide": ((2, 2, 17, 30), lambda x, s: F.fractional_max_pool2d(x, 9, (9, 20), _random_samples=s), 2),
    "fractional one": ((1, 2, 8, 8), lambda x, s: F.fractional_max_pool2d(x, 3, (1, 6), _random_samples=s), 2),
    "fractional 3d": ((2, 2, 9, 8, 7), lambda x, s: F.fractional_max_pool3d(x, 2, (5, 6, 3), _random_samples=s), 3),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_gradients_of_windows_in_odd_places(name, device):
    """Windows share elements: what several of them found gets the sum, in their order, so it is that of the CPU."""
    shape, call, dims = WINDOWS[name]
    rng = np.random.default_rng(len(name))
    for levels in (3, 1000):  # with equal elements, the first of them is taken
        values = fg.tensor(rng.integers(0, levels, shape), dtype=fg.float32)
        samples = fg.tensor(rng.random((*shape[:2], dims)), dtype=fg.float32) if dims else None
        found = []
        for where in ("cpu", device):
            x = values.clone().to(where).requires_grad_()
            y = call(x, samples.to(where) if dims else None)
            y.backward(fg.arange(float(y.numel())).view(y.shape).sin().to(where))
            found.append(x.grad.cpu())
        assert found[0].equal(found[1])


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


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "bfloat16", "complex64", "complex128"])
def test_padding_of_items_of_every_size(dtype, device):
    x = (given(2, 5, 6, 7, dtype="float64") * 40).to(getattr(fg, dtype))
    pads = [(2, 1, 3, -1)] if dtype == "bool" else [(2, 1, 3, -1), (-1, 2, 0, 2, 1, 1)]
    for mode in ("constant", "circular") + (() if dtype == "bool" else ("reflect", "replicate")):
        for pad in pads:
            got, expected = (F.pad(t, pad, mode) for t in (x.to(device), x))
            assert got.dtype == x.dtype and got.cpu().equal(expected)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5000,), (3, 2100), (700, 9), (4, 300, 7), (17, 5), (257, 6)])
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


def test_modes_and_searches(device):
    """NaN is not equal to NaN; an order beside the sequence is followed; every row has its own sequence."""
    lines = fg.tensor([[np.nan, 2, np.nan, 1, 2, np.nan], [np.nan] * 6, [3, 3, 1, 1, np.nan, 0]], device=device)
    values = lines.mode(1).values.cpu().numpy()
    np.testing.assert_array_equal(values, [2, np.nan, 1])
    rng = np.random.default_rng(6)
    for size, count in ((300, 700), (1, 5)):
        shuffled, wanted = rng.integers(0, 50, (3, size)), rng.integers(-1, 51, (3, count))
        x, order = fg.tensor(shuffled, device=device).sort(1)
        for side in ("left", "right"):
            expected = [np.searchsorted(np.sort(a), b, side) for a, b in zip(shuffled, wanted)]
            for found in (fg.searchsorted(x, fg.tensor(wanted, device=device), side=side),
                          fg.searchsorted(fg.tensor(shuffled, device=device), fg.tensor(wanted, device=device),
                                          side=side, sorter=order)):
                np.testing.assert_array_equal(found.cpu().numpy(), expected)


@pytest.mark.parametrize("name", ["gather", "scatter", "scatter_add", "index_add", "index_select"])
def test_negative_indices_are_out_of_range(name, device):
    x = fg.zeros(4, device=device)
    index, ones = fg.tensor([1, -1], device=device), fg.ones(2, device=device)
    with pytest.raises((RuntimeError, IndexError), match="-1"):
        getattr(x, name)(0, index, *([ones] if name not in ("gather", "index_select") else []))
    assert x.tolist() == [0.0] * 4


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_products(dtype, device):
    """Lines over several lanes and blocks, either way through memory; the factors turn and hardly grow."""
    rng = np.random.default_rng(7)
    for shape, dim in (((3, 1000), 1), ((1000, 3), 0), ((700, 40), 0), ((300, 9), 1), ((2, 40, 5), 1), ((5000,), 0)):
        z = np.exp(1j * rng.uniform(-3, 3, shape) + rng.uniform(-0.01, 0.01, shape)).astype(dtype)
        x = fg.tensor(z, device=device)
        exact = z.astype("complex128")
        tolerance = 2e-4 if dtype == "complex64" else 1e-10
        np.testing.assert_allclose(x.prod(dim).cpu().numpy(), exact.prod(dim), rtol=tolerance)
        np.testing.assert_allclose(x.cumprod(dim).cpu().numpy(), exact.cumprod(dim), rtol=tolerance)
    assert fg.ones(3, 0, dtype=getattr(fg, dtype), device=device).prod(1).tolist() == [1] * 3


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
def test_complex_numbers_of_all_digits(dtype, device):
    """A copy does not pass through fewer digits than both sides have."""
    value = {"int32": 2**31 - 1, "int64": 2**53 - 1, "float32": 2.0**24 - 1, "float64": 1 / 3}[dtype]
    x = fg.tensor([value, -value], dtype=getattr(fg, dtype), device=device)
    z = x.to(fg.complex128)
    assert z.tolist() == [value, -value] and z.real.tolist() == [value, -value]
    assert fg.zeros(2, dtype=fg.complex128, device=device).copy_(x).tolist() == [value, -value]


def test_complex_numbers_near_zero_and_powers_of_zero(device):
    """expm1 and log1p keep the digits of both parts, where exp(z) - 1 and log(1 + z) would lose them."""
    z = np.array([1e-9 + 2e-9j, -3e-12 + 1e-7j, 2e-8 - 5e-15j])
    x = fg.tensor(z, device=device)
    for name, second in (("expm1", z * z / 2), ("log1p", -z * z / 2)):
        got = getattr(fg, name)(x).cpu().numpy()
        for part in ("real", "imag"):
            np.testing.assert_allclose(getattr(got, part), getattr(z + second, part), rtol=1e-11)
    zeros = fg.zeros(3, dtype=fg.complex128, device=device)
    for power in (zeros ** 0, x ** zeros, zeros ** zeros):
        assert power.tolist() == [1] * 3
    assert fg.tensor([1j, 0j, 2.0, -0.0], device=device).bool().tolist() == [True, False, True, False]


@both
def test_quantiles_of_the_normal_law(device, dtype):
    """One algorithm for vectors on the CPU and for CUDA: the same to the last digits, the ends and NaN included."""
    tails = [5e-324, 1e-300, 1e-20, 1e-9, 0.075, 0.0750001] if dtype == "float64" else [1e-45, 1e-38, 1e-20, 1e-3]
    p = np.concatenate([np.linspace(0, 1, 1001), tails, [-0.5, 1.5, np.nan]])
    y = np.concatenate([np.linspace(-1, 1, 1001), 1 - 10.0 ** -np.arange(1, 7), [1e-30, -0.0, 2, -2, np.nan]])
    for fn, values in ((fg.special.ndtri, p), (fg.erfinv, y)):
        t = fg.tensor(values, dtype=getattr(fg, dtype))
        got, expected = fn(t.to(device)).cpu().numpy(), fn(t).numpy()
        np.testing.assert_allclose(got, expected, rtol=2e-15 if dtype == "float64" else 2e-7)
        assert not np.isnan(got[:1001]).any() and np.isinf(got[[0, 1000]]).all()


def test_random_words(device):
    """On CUDA Philox 4x32-10: the known answer for key and counter 0 (Salmon and others, 2011). Every number comes."""
    fg.manual_seed(0)
    x = fg.empty(5, dtype=fg.int64, device=device).random_(-2**63, None)
    if device == "cuda":
        assert [word ^ -2**63 for word in x.tolist()[:2]] == [0x6627E8D5E169C58D, 0xBC57AC4C9B00DBD8 - 2**64]
    counts = fg.randint(-3, 8, (4000,), device=device).add(3).bincount(minlength=11).tolist()
    assert len(counts) == 11 and min(counts) > 200


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
    assert fg._C._standard_gamma(full(1e-3)).min().item() > 0  # most of these are below the least number
    count, prob = full(9.0), full(0.5)
    count[1] = prob[2] = np.nan  # a count that is never reached
    hits = fg.binomial(count, prob).isnan().tolist()
    assert hits[1] and hits[2] and sum(hits) == 2
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
