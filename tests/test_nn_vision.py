"""Modules on images but convolutions against torch: pooling, norms, resampling, memory formats."""

import copy
import warnings

import numpy as np
import pytest

import fastgrad as fg
from checks import assert_close, no_collector, outputs, to_numpy
from module_pairs import array, compare, compare_state, pair


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64"])
@pytest.mark.parametrize("dims,options", [
    (1, dict(kernel_size=2)), (1, dict(kernel_size=5, stride=3, padding=2, dilation=2)),
    (2, dict(kernel_size=2)), (2, dict(kernel_size=3, stride=2, padding=1)), (2, dict(kernel_size=3, stride=1)),
    (3, dict(kernel_size=2, stride=(1, 2, 3), padding=1)),
])  # fmt: skip
def test_max_pool_with_and_without_places(dims, options, dtype, torch):
    """Rows longer and shorter than a run, windows of nothing but the lowest number, NaN."""
    shape = {1: (2, 3, 1301), 2: (2, 2, 11, 37), 3: (1, 2, 5, 6, 9)}[dims]
    values = np.random.default_rng(0).integers(0, 50, shape).astype(dtype)
    if dtype.startswith("float"):
        values[..., : shape[-1] // 3] = -np.inf
        values[..., shape[-1] // 2] = np.nan
    name = f"max_pool{dims}d"
    expected = getattr(torch.nn.functional, name)(torch.tensor(values), return_indices=True, **options)
    x = fg.tensor(values)
    both = getattr(fg.nn.functional, name)(x, return_indices=True, **options)
    for a, e in zip(both, expected):
        np.testing.assert_array_equal(a.numpy(), e.numpy())
    np.testing.assert_array_equal(getattr(fg, name)(x, **options).numpy(), expected[0].numpy())


def test_max_pool_makes_places_for_a_gradient_only():
    x = fg.tensor(array(8, 16, 64, 64))
    stats = fg._C.memory_stats

    def peak():
        before = stats("cpu")["allocated"]
        fg._C.reset_peak_memory("cpu")
        fg.max_pool2d(x, 2)
        return stats("cpu")["peak_allocated"] - before

    size = fg.max_pool2d(x, 2).nbytes
    with no_collector():  # which may free tensors of earlier tests in between, as their threads may: hence three times
        without = min(peak() for _ in range(3))
        x.requires_grad_()
        with_places = max(peak() for _ in range(3))
    assert without < 1.5 * size and with_places >= 3 * size


def test_global_average_is_a_mean(torch):
    x = array(2, 3, 4, 5)
    for m in (fg, torch):
        y = m.nn.functional.adaptive_avg_pool2d(m.tensor(x).requires_grad_(), 1)
        assert y.shape == (2, 3, 1, 1) and type(y.grad_fn).__name__ == "MeanBackward1"


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3, 32, 64, 101, 150])
def test_batch_norm_of_vectors(channels, dtype, torch):
    """Channels side by side: several vectors of them, single ones and a part of one."""
    arrays = [array(37, channels), array(channels, seed=1), array(channels, seed=2)]
    for training in (True, False):
        found = []
        for m, given in ((fg, dtype), (torch, "float64")):
            leaves = [m.tensor(a.astype(given)).requires_grad_() for a in arrays]
            running = m.full((channels,), 0.25, dtype=leaves[0].dtype), m.full((channels,), 1.5, dtype=leaves[0].dtype)
            y = m.nn.functional.batch_norm(leaves[0], *running, *leaves[1:], training)
            h = m.tensor(array(37, channels, seed=3).astype(given))
            found.append([y, *running, *m.autograd.grad(y, leaves, h)])
        for a, e in zip(*found):
            assert_close(to_numpy(a), to_numpy(e), (5e-5, 1e-4) if dtype == "float32" else (1e-12, 1e-11))


POOLING = [
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1, "dilation": 2}, (2, 3, 9)),
    ("MaxPool2d", (2,), {}, (2, 3, 6, 7)),
    (
        "MaxPool2d",
        (),
        {"kernel_size": (3, 2), "stride": 2, "padding": 1, "ceil_mode": True, "return_indices": True},
        (3, 6, 7),
    ),
    ("MaxPool3d", (2, 1), {"return_indices": True}, (1, 2, 3, 4, 5)),
    ("AvgPool1d", (3, 2, 1), {"count_include_pad": False}, (2, 3, 9)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True, "divisor_override": 4}, (2, 3, 6, 7)),
    ("AvgPool2d", (), {"kernel_size": 2, "stride": (2, 1), "count_include_pad": True}, (3, 6, 7)),
    ("AvgPool3d", ((1, 2, 2),), {}, (1, 2, 3, 4, 5)),
    ("LPPool1d", (2, 3), {"stride": 2}, (2, 3, 9)),
    ("LPPool2d", (2, (3, 2)), {"ceil_mode": True}, (2, 3, 6, 7)),
    ("LPPool3d", (2, 2), {}, (1, 2, 3, 4, 5)),
    ("AdaptiveMaxPool1d", (4,), {}, (2, 3, 9)),
    ("AdaptiveMaxPool2d", ((None, 3),), {"return_indices": True}, (2, 3, 6, 7)),
    ("AdaptiveMaxPool3d", (2,), {}, (1, 2, 3, 4, 5)),
    ("AdaptiveAvgPool1d", (4,), {}, (2, 3, 9)),
    ("AdaptiveAvgPool2d", (1,), {}, (2, 3, 6, 7)),
    ("AdaptiveAvgPool2d", (), {"output_size": (None, 3)}, (2, 3, 6, 7)),
    ("AdaptiveAvgPool3d", ((2, None, 3),), {}, (1, 2, 3, 4, 5)),
    ("FractionalMaxPool2d", (2,), {"output_ratio": (0.6, 0.5), "return_indices": True}, (2, 3, 8, 9)),
    ("FractionalMaxPool2d", (3, (4, 5)), {}, (3, 8, 9)),
    ("FractionalMaxPool3d", (2, 3), {}, (1, 2, 6, 7, 6)),
]
RESAMPLING = [
    ("Upsample", (), {"scale_factor": 2}, (2, 3, 4)),
    ("Upsample", ((5, 3),), {"mode": "bilinear"}, (2, 3, 4, 4)),
    ("Upsample", (), {"scale_factor": (1.5, 2.0), "mode": "bicubic", "align_corners": True}, (2, 3, 4, 4)),
    ("Upsample", (), {"scale_factor": 1.7, "mode": "trilinear", "recompute_scale_factor": True}, (1, 2, 3, 4, 3)),
    ("UpsamplingNearest2d", (), {"scale_factor": 3}, (2, 3, 4, 4)),
    ("UpsamplingBilinear2d", (), {"size": (7, 9)}, (2, 3, 4, 4)),
    ("PixelShuffle", (2,), {}, (2, 8, 3, 4)),
    ("PixelUnshuffle", (2,), {}, (2, 3, 4, 6)),
    ("ChannelShuffle", (3,), {}, (2, 6, 3, 4)),
    ("Unfold", (2,), {"stride": 2, "padding": (1, 0)}, (2, 3, 6, 5)),
    ("Unfold", ((3, 2),), {"dilation": 2}, (3, 6, 5)),
    ("Fold", ((4, 5), 2), {}, (2, 8, 12)),
    ("ConstantPad1d", ((1, 2), 3.5), {}, (2, 3, 4)),
    ("ConstantPad2d", (1, -2.0), {}, (2, 3, 4, 4)),
    ("ConstantPad3d", ((1, -1, 2, 0, 0, 1), 1.0), {}, (1, 2, 3, 3, 3)),
    ("ZeroPad1d", (2,), {}, (2, 3, 4)),
    ("ZeroPad2d", ((1, 0, 2, -1),), {}, (2, 3, 4, 4)),
    ("ZeroPad3d", (1,), {}, (2, 2, 2, 2)),
    ("ReflectionPad1d", (2,), {}, (2, 3, 4)),
    ("ReflectionPad2d", ((1, 2, 3, 0),), {}, (2, 3, 4, 4)),
    ("ReflectionPad3d", (1,), {}, (2, 2, 3, 3)),
    ("ReplicationPad1d", ((1, 2),), {}, (3, 4)),
    ("ReplicationPad2d", (2,), {}, (2, 3, 4, 4)),
    ("ReplicationPad3d", ((1, 0, 2, 1, 0, 3),), {}, (1, 2, 3, 3, 3)),
    ("CircularPad1d", (2,), {}, (2, 3, 4)),
    ("CircularPad2d", ((1, 2, 3, 0),), {}, (2, 3, 4, 4)),
    ("CircularPad3d", (1,), {}, (1, 2, 3, 3, 3)),
    ("LocalResponseNorm", (3,), {"alpha": 0.2, "beta": 0.6, "k": 1.5}, (2, 5, 3, 3)),
]


@pytest.mark.parametrize("name, args, kwargs, shape", POOLING + RESAMPLING)
def test_modules_without_parameters(name, args, kwargs, shape, torch):
    ours, theirs = pair(torch, name, *args, **kwargs)
    for m in (fg, torch):
        m.manual_seed(11)  # fractional pooling draws its windows
    random = np.random.default_rng(1)
    values = (random.permutation(int(np.prod(shape))).reshape(shape) / 5 + 0.1).astype("float32")
    compare_random(torch, ours, theirs, values)


def compare_random(torch, ours, theirs, values):
    """Each library draws from the same seed right before its own call."""
    found = []
    for m, module in ((fg, ours), (torch, theirs)):
        m.manual_seed(11)
        x = m.tensor(values).requires_grad_()
        results = outputs(module(x))
        m.manual_seed(0)
        (gradient,) = m.autograd.grad(results[0].sin().sum(), x)
        found.append([*results, gradient])
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    for a, e in zip(*found):
        assert str(a.dtype) == str(e.dtype)
        assert_close(to_numpy(a), to_numpy(e), (2e-4, 2e-4), str(ours))


@pytest.mark.parametrize("dims", (1, 2, 3))
def test_unpooling(dims, torch):
    shape = (2, 3, *(6, 4, 4)[:dims])
    for options, size in (((2,), None), ((3, 2, 1), shape), ((2, 1), shape[2:])):
        found = []
        for m in (fg, torch):
            pool = getattr(m.nn, f"MaxPool{dims}d")(*options, return_indices=True)
            undo = getattr(m.nn, f"MaxUnpool{dims}d")(*options)
            values, indices = pool(m.tensor(array(*shape)))
            found.append((undo(values, indices, output_size=size), repr(undo)))
        assert_close(to_numpy(found[0][0]), to_numpy(found[1][0]), (0, 0))
        assert found[0][1] == found[1][1]


NORMS = [
    ("BatchNorm1d", (4,), {}, (5, 4)),
    ("BatchNorm1d", (4,), {"affine": False, "momentum": None}, (5, 4, 3)),
    ("BatchNorm2d", (3,), {"eps": 0.01, "momentum": 0.3}, (2, 3, 4, 5)),
    ("BatchNorm2d", (3,), {"track_running_stats": False, "bias": False}, (2, 3, 4, 5)),
    ("BatchNorm3d", (2,), {}, (2, 2, 3, 3, 2)),
    ("InstanceNorm1d", (3,), {}, (2, 3, 5)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True, "momentum": 0.2}, (2, 3, 4, 5)),
    ("InstanceNorm2d", (3,), {"affine": True, "bias": False}, (3, 4, 5)),
    ("InstanceNorm3d", (2,), {"track_running_stats": True}, (1, 2, 3, 3, 2)),
]


@pytest.mark.parametrize("lazy", (False, True))
@pytest.mark.parametrize("name, args, kwargs, shape", NORMS)
def test_norms(name, args, kwargs, shape, lazy, torch):
    """Three steps of training with other data each, then evaluation, then fresh statistics."""
    ours, theirs = pair(torch, "Lazy" + name, **kwargs) if lazy else pair(torch, name, *args, **kwargs)
    if lazy:
        if shape == (3, 4, 5):
            shape = (2, *shape)  # torch's lazy norms take dimension 1, also without a batch
        assert repr(ours) == repr(theirs)
        for m, module in ((fg, ours), (torch, theirs)):
            module(m.tensor(array(*shape)))
        assert type(ours) is getattr(fg.nn, name)
    for seed in range(3):
        compare(torch, ours, theirs, array(*shape, seed=seed), tolerance=(1e-3, 1e-4))
    for module in (ours, theirs):
        module.zero_grad()
        module.eval()
    compare(torch, ours, theirs, array(*shape, seed=9), tolerance=(1e-3, 1e-4))
    for module in (ours, theirs):
        module.reset_running_stats()
        module.reset_parameters()
    compare_state(ours, theirs)


def test_gradients_of_a_norm_in_evaluation_use_the_running_statistics(torch):
    found = []
    for m in (fg, torch):
        x = m.tensor(array(4, 3), requires_grad=True)
        mean, var = m.tensor([0.1, 0.2, 0.3]), m.tensor([1.0, 2.0, 3.0])
        y = m.nn.functional.batch_norm(x, mean, var)
        found.append(m.autograd.grad(y.sin().sum(), x)[0])
        assert type(y.grad_fn).__name__ == "NativeBatchNormBackward0"
    assert_close(to_numpy(found[0]), to_numpy(found[1]), (1e-5, 1e-6))


@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
def test_half_norms_and_pools(dtype, torch):
    """Half images with parameters of their own type or in float32, as mixed precision has them."""
    for weights in (dtype, "float32"):
        found = []
        for m in (fg, torch):
            x = m.tensor(array(4, 3, 6, 6)).to(getattr(m, dtype)).requires_grad_()
            w = m.tensor(array(3, seed=2)).to(getattr(m, weights)).requires_grad_()
            mean, var = m.zeros(3, dtype=getattr(m, weights)), m.ones(3, dtype=getattr(m, weights))
            y = m.nn.functional.batch_norm(x, mean, var, w, w * 0.5, True)
            y = m.nn.functional.interpolate(m.nn.functional.avg_pool2d(y, 2), scale_factor=2, mode="bilinear")
            y = m.nn.functional.max_pool2d(y, 2)
            found.append([y, mean, var, *m.autograd.grad(y.float().sin().sum(), [x, w])])
        for a, e in zip(*found):
            assert str(a.dtype) == str(e.dtype)
            a, e = (t.detach().float().numpy() for t in (a, e))
            assert np.abs(a - e).mean() < 0.05 * np.abs(e).mean() + 0.02


def test_sync_batch_norm_is_batch_norm():
    model = fg.nn.Sequential(
        fg.nn.Conv2d(2, 3, 1), fg.nn.BatchNorm2d(3, momentum=0.2), fg.nn.Sequential(fg.nn.BatchNorm1d(4))
    )
    x = fg.tensor(array(2, 2, 4, 4))
    expected = copy.deepcopy(model[:2])(x)
    made = fg.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert type(made[1]) is fg.nn.SyncBatchNorm and type(made[2][0]) is fg.nn.SyncBatchNorm
    assert made[:2](x).tolist() == expected.tolist()
    assert repr(fg.nn.SyncBatchNorm(3)).startswith("SyncBatchNorm(3, eps=1e-05")


def test_old_state_without_the_count_of_batches():
    module = fg.nn.BatchNorm1d(2)
    state = fg.nn.BatchNorm1d(2).state_dict()
    del state["num_batches_tracked"]
    state._metadata[""]["version"] = 1
    module.load_state_dict(state)
    assert module.num_batches_tracked.item() == 0


WRONG = {
    "one_value": (ValueError, lambda m: m.nn.BatchNorm1d(3)(m.zeros(1, 3))),
    "one_pixel": (ValueError, lambda m: m.nn.InstanceNorm1d(3)(m.zeros(1, 3, 1))),
    "norm_dims": (ValueError, lambda m: m.nn.BatchNorm2d(3)(m.zeros(2, 3, 4))),
    "norm_channels": (RuntimeError, lambda m: m.nn.BatchNorm1d(3)(m.zeros(2, 4))),
    "no_statistics": (RuntimeError, lambda m: m.nn.functional.batch_norm(m.zeros(2, 3), None, None)),
    "instance_channels": (ValueError, lambda m: m.nn.InstanceNorm1d(3, affine=True)(m.zeros(1, 4, 3))),
    "kernel_0": (RuntimeError, lambda m: m.nn.functional.max_pool2d(m.zeros(1, 1, 4, 4), 0)),
    "stride_0": (RuntimeError, lambda m: m.nn.functional.max_pool2d(m.zeros(1, 1, 4, 4), 2, 0)),
    "padding": (RuntimeError, lambda m: m.nn.functional.max_pool2d(m.zeros(1, 1, 4, 4), 2, padding=2)),
    "negative": (RuntimeError, lambda m: m.nn.functional.avg_pool2d(m.zeros(1, 1, 4, 4), 2, padding=-1)),
    "dilation": (RuntimeError, lambda m: m.nn.functional.max_pool2d(m.zeros(1, 1, 4, 4), 2, dilation=0)),
    "pool_dims": (RuntimeError, lambda m: m.nn.functional.max_pool2d(m.zeros(4, 4), 2)),
    "kernel_tuple": (RuntimeError, lambda m: m.nn.functional.max_pool2d(m.zeros(1, 1, 4, 4), (2, 2, 2))),
    "too_small": (RuntimeError, lambda m: m.nn.functional.max_pool2d(m.zeros(1, 1, 4, 4), 5)),
    "no_channels": (RuntimeError, lambda m: m.nn.functional.max_pool2d(m.zeros(1, 0, 4, 4), 2)),
    "divisor": (RuntimeError, lambda m: m.nn.functional.avg_pool2d(m.zeros(1, 1, 4, 4), 2, divisor_override=0)),
    "adaptive": (RuntimeError, lambda m: m.nn.functional.adaptive_avg_pool2d(m.zeros(1, 1, 4, 4), (-1, 2))),
    "adaptive_dims": (RuntimeError, lambda m: m.nn.functional.adaptive_avg_pool2d(m.zeros(4, 4), 2)),
    "fractional": (ValueError, lambda m: m.nn.FractionalMaxPool2d(2)),
    "fractional_both": (ValueError, lambda m: m.nn.FractionalMaxPool2d(2, 3, 0.5)),
    "ratio": (ValueError, lambda m: m.nn.FractionalMaxPool2d(2, output_ratio=1.5)),
    "unpool_type": (
        RuntimeError,
        lambda m: m.nn.functional.max_unpool1d(m.zeros(1, 1, 2), m.zeros(1, 1, 2, dtype=m.int32), 2),
    ),
    "unpool_place": (RuntimeError, lambda m: m.nn.functional.max_unpool1d(m.zeros(1, 1, 2), m.tensor([[[0, 9]]]), 2)),
    "unpool_size": (
        ValueError,
        lambda m: m.nn.functional.max_unpool1d(m.zeros(1, 1, 2), m.tensor([[[0, 1]]]), 2, output_size=(9,)),
    ),
    "no_size": (ValueError, lambda m: m.nn.functional.interpolate(m.zeros(1, 1, 4))),
    "both_sizes": (ValueError, lambda m: m.nn.functional.interpolate(m.zeros(1, 1, 4), 2, 2.0)),
    "mode": (NotImplementedError, lambda m: m.nn.functional.interpolate(m.zeros(1, 1, 4), 2, mode="other")),
    "mode_dims": (NotImplementedError, lambda m: m.nn.functional.interpolate(m.zeros(1, 1, 4), 2, mode="bilinear")),
    "corners": (ValueError, lambda m: m.nn.functional.interpolate(m.zeros(1, 1, 4), 2, align_corners=True)),
    "sizes": (ValueError, lambda m: m.nn.functional.interpolate(m.zeros(1, 1, 4), (2, 3))),
    "scales": (ValueError, lambda m: m.nn.functional.interpolate(m.zeros(1, 1, 4), scale_factor=(2, 3))),
    "recompute": (ValueError, lambda m: m.nn.functional.interpolate(m.zeros(1, 1, 4), 2, recompute_scale_factor=True)),
    "antialias": (
        ValueError,
        lambda m: m.nn.functional.interpolate(m.zeros(1, 1, 4), 2, mode="linear", antialias=True),
    ),
    "lanczos": (ValueError, lambda m: m.nn.functional.interpolate(m.zeros(1, 1, 4, 4), 2, mode="lanczos")),
    "size_0": (RuntimeError, lambda m: m.nn.functional.interpolate(m.zeros(1, 1, 4), 0)),
    "grid_size": (
        RuntimeError,
        lambda m: m.nn.functional.grid_sample(m.zeros(1, 1, 4, 4), m.zeros(1, 2, 2, 3), align_corners=False),
    ),
    "grid_batch": (
        RuntimeError,
        lambda m: m.nn.functional.grid_sample(m.zeros(1, 1, 4, 4), m.zeros(2, 2, 2, 2), align_corners=False),
    ),
    "grid_dims": (
        RuntimeError,
        lambda m: m.nn.functional.grid_sample(m.zeros(1, 1, 4), m.zeros(1, 2, 2), align_corners=False),
    ),
    "grid_mode": (ValueError, lambda m: m.nn.functional.grid_sample(m.zeros(1, 1, 4, 4), m.zeros(1, 2, 2, 2), "other")),
    "grid_padding": (
        ValueError,
        lambda m: m.nn.functional.grid_sample(m.zeros(1, 1, 4, 4), m.zeros(1, 2, 2, 2), "nearest", "other"),
    ),
    "grid_type": (
        RuntimeError,
        lambda m: m.nn.functional.grid_sample(m.zeros(1, 1, 4, 4), m.zeros(1, 2, 2, 2).double(), align_corners=False),
    ),
    "affine": (ValueError, lambda m: m.nn.functional.affine_grid(m.zeros(2, 3, 4), (2, 3, 4, 5), False)),
    "affine_size": (NotImplementedError, lambda m: m.nn.functional.affine_grid(m.zeros(2, 2, 3), (2, 3, 4), False)),
    "shuffle": (RuntimeError, lambda m: m.pixel_shuffle(m.zeros(1, 3, 2, 2), 2)),
    "shuffle_0": (RuntimeError, lambda m: m.pixel_shuffle(m.zeros(1, 4, 2, 2), 0)),
    "unshuffle": (RuntimeError, lambda m: m.pixel_unshuffle(m.zeros(1, 3, 3, 2), 2)),
    "channels": (RuntimeError, lambda m: m.channel_shuffle(m.zeros(1, 3, 2), 2)),
    "fold": (RuntimeError, lambda m: m.nn.functional.fold(m.zeros(1, 5, 4), (3, 3), 2)),
    "fold_count": (RuntimeError, lambda m: m.nn.functional.fold(m.zeros(1, 4, 5), (3, 3), 2)),
    "unfold": (RuntimeError, lambda m: m.nn.functional.unfold(m.zeros(1, 1, 1, 4), 2)),
    "reflect": (RuntimeError, lambda m: m.nn.ReflectionPad1d(4)(m.zeros(1, 1, 4))),
    "pad_dims": (NotImplementedError, lambda m: m.nn.functional.pad(m.zeros(1, 1, 4, 4), (1, 1), "reflect")),
    "circular": (ValueError, lambda m: m.nn.CircularPad2d(1)(m.zeros(4, 4))),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case, torch):
    error, call = WRONG[case]
    for m in (torch, fg):
        with pytest.raises(error):
            call(m)


@pytest.mark.parametrize("name", [f"adaptive_{kind}_pool{dims}d" for kind in ("avg", "max") for dims in (1, 2, 3)])
def test_huge_outputs_of_adaptive_pools_are_refused_at_once(name):
    """Before any table of their windows is made."""
    dims = int(name[-2])
    with pytest.raises((fg.OutOfMemoryError, RuntimeError), match="memory|overflow"):
        getattr(fg.nn.functional, name)(fg.randn(1, 5, *[5] * dims), (2**60, *[1] * (dims - 1)))


@pytest.mark.isa
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode, dims", [("bilinear", 2), ("bilinear", 3), ("bicubic", 2)])
def test_gradient_of_places_on_the_border(mode, dims, padding, torch):
    """With and without a graph of the gradient: kernel and composition agree about the edges."""
    sizes, random = (4, 3, 5)[:dims], np.random.default_rng(0)
    image = random.normal(size=(1, 2, *sizes))
    for aligned in (False, True):
        # the centres of the outer pixels, their borders, the middle, and places beyond
        ends = [[-1, 1] if aligned else [1 / n - 1, 1 - 1 / n] for n in reversed(sizes)]
        axes = [np.array([-2, -1, low, 0, 0.3, high, 1, 2.2]) for low, high in ends]
        places = np.stack(np.meshgrid(*axes), -1)[None]
        for graph in (False, True):
            found = []
            for m in (fg, torch):
                x, g = m.tensor(image), m.tensor(places, requires_grad=True)
                y = m.nn.functional.grid_sample(x, g, mode, padding, aligned)
                found.append(m.autograd.grad(y.sum(), g, create_graph=graph)[0].detach().numpy())
            np.testing.assert_allclose(*found, atol=1e-12)


def test_gradient_of_a_large_grid(torch):
    """More points than tables are kept for at a time: the parts of the gradient add up, and take little memory."""
    random, found = np.random.default_rng(0), []
    image, places = random.normal(size=(2, 3, 9, 8)), random.uniform(-1.1, 1.1, size=(2, 130, 100, 2))
    for m in (fg, torch):
        x, g = m.tensor(image, requires_grad=True), m.tensor(places, requires_grad=True)
        y = m.nn.functional.grid_sample(x, g, align_corners=False)
        found.append(m.autograd.grad(y.square().sum(), (x, g)))
    for a, e in zip(*found):
        np.testing.assert_allclose(a.numpy(), e.numpy(), rtol=1e-9, atol=1e-9)

    x, g = fg.zeros(1, 1, 20, 20, requires_grad=True), fg.zeros(1, 500, 500, 2)
    fg.nn.functional.grid_sample(x, g, align_corners=False).sum().backward()
    before = fg._C.memory_stats("cpu")["allocated"]
    fg._C.reset_peak_memory("cpu")
    fg.nn.functional.grid_sample(x, g, align_corners=False).sum().backward()
    assert fg._C.memory_stats("cpu")["peak_allocated"] - before < 6 << 20


def test_functions_at_the_top_level(torch):
    calls = [
        lambda m, x: m.adaptive_avg_pool1d(x, 2),
        lambda m, x: m.adaptive_max_pool1d(x, 2),
        lambda m, x: m.max_pool1d_with_indices(x, 2),
        lambda m, x: m.max_pool1d(x, 2, stride=1),
        lambda m, x: m.avg_pool1d(x, 2),
        lambda m, x: m.constant_pad_nd(x, (1, 2), 3.0),
        lambda m, x: m.group_norm(x, 2),
        lambda m, x: m.rms_norm(x, (6,)),
        lambda m, x: m.instance_norm(x, None, None, None, None, True, 0.1, 1e-5, False),
        lambda m, x: m.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False),
        lambda m, x: m.max_pool2d(x, 2),
        lambda m, x: m.channel_shuffle(x, 2),
        lambda m, x: m.native_channel_shuffle(x, 2),
        lambda m, x: m.feature_dropout(x[:, :, None], 0.5, True),
        lambda m, x: m.feature_alpha_dropout(x, 0.5, True),
        lambda m, x: m.alpha_dropout(x, 0.5, True),
        lambda m, x: m.conv_tbc(x, m.ones(2, 6, 3), m.zeros(3)),
        lambda m, x: m.nn.functional.upsample(x, scale_factor=2),
        lambda m, x: m.nn.functional.upsample_nearest(x, 3),
        lambda m, x: m.nn.functional.upsample_bilinear(x[None], scale_factor=2),
        lambda m, x: m.nn.functional.max_pool2d_with_indices(x, 2),
        lambda m, x: m.nn.functional.max_pool3d_with_indices(x[None], 2),
        lambda m, x: m.nn.functional.adaptive_max_pool2d_with_indices(x, 2),
        lambda m, x: m.nn.functional.adaptive_max_pool3d_with_indices(x[None], 2),
        lambda m, x: m.nn.functional.adaptive_max_pool1d_with_indices(x, 2),
        lambda m, x: m.nn.functional.fractional_max_pool2d_with_indices(x, 2, 2),
        lambda m, x: m.nn.functional.fractional_max_pool3d_with_indices(x.reshape(1, 3, 4, 4), 2, 1),
    ]
    for i, call in enumerate(calls):
        found = []
        for m in (fg, torch):
            m.manual_seed(5)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(outputs(call(m, m.tensor(array(2, 4, 6)))))
        for a, e in zip(*found):
            assert_close(to_numpy(a), to_numpy(e), (1e-4, 1e-4), f"call {i}")


def test_bytes_are_interpolated(torch):
    """torch's arithmetic on bytes is its own; it differs by one at most."""
    values = np.random.default_rng(0).integers(0, 256, (1, 2, 5, 6)).astype("uint8")
    for options in ({"mode": "nearest"}, {"mode": "bilinear"}, {"mode": "bicubic", "antialias": True}):
        a, e = (m.nn.functional.interpolate(m.tensor(values), (7, 4), **options) for m in (fg, torch))
        assert a.dtype is fg.uint8
        assert np.abs(to_numpy(a).astype(int) - to_numpy(e).astype(int)).max() <= (options["mode"] != "nearest")


def test_largest_of_nan_and_infinity(torch):
    values = np.full((1, 6, 6), -np.inf, dtype="float32")
    values[0, 1, 2] = values[0, 1, 3] = np.nan
    values[0, 4, 4] = 3.0
    for options in ((2,), (3, 2, 1), (2, 1, 1, 2)):
        found = [m.nn.functional.max_pool2d(m.tensor(values), *options, return_indices=True) for m in (fg, torch)]
        for a, e in zip(*found):
            assert_close(to_numpy(a), to_numpy(e), (0, 0), str(options))


FORMATS = [
    lambda m, x: x.to(memory_format=m.channels_last),
    lambda m, x: x.contiguous(memory_format=m.channels_last),
    lambda m, x: x.clone(memory_format=m.channels_last),
    lambda m, x: x.to(m.float64, memory_format=m.channels_last),
    lambda m, x: x.to(memory_format=m.channels_last).clone(),
    lambda m, x: x.to(memory_format=m.channels_last).clone(memory_format=m.contiguous_format),
    lambda m, x: x.to(memory_format=m.channels_last).to(memory_format=m.contiguous_format),
    lambda m, x: x.to(memory_format=m.channels_last).contiguous(),
    lambda m, x: x.to(memory_format=m.channels_last) * 2 + 1,
    lambda m, x: m.empty_like(x.to(memory_format=m.channels_last)),
    lambda m, x: m.zeros_like(x.to(memory_format=m.channels_last), memory_format=m.contiguous_format),
    lambda m, x: m.ones_like(x, memory_format=m.channels_last),
    lambda m, x: m.empty(x.shape, memory_format=m.channels_last),
    lambda m, x: x[..., None].to(memory_format=m.channels_last_3d),
    lambda m, x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).contiguous(memory_format=m.channels_last),
    lambda m, x: x.contiguous(memory_format=m.preserve_format),
]


@pytest.mark.parametrize("shape", ((2, 3, 4, 5), (2, 1, 4, 5), (2, 3, 1, 1), (1, 1, 2, 2)))
def test_channels_last(shape, torch):
    for i, call in enumerate(FORMATS):
        a, e = (call(m, m.tensor(array(*shape))) for m in (fg, torch))
        steps = [[step for step, size in zip(t.stride(), t.shape) if size != 1] for t in (a, e)]
        assert steps[0] == steps[1], f"call {i}: {a.stride()}, torch {e.stride()}"
        last = [t.dim() == 4 and t.is_contiguous(memory_format=m.channels_last) for m, t in ((fg, a), (torch, e))]
        assert last[0] == last[1] and a.is_contiguous() == e.is_contiguous(), f"call {i}"
        if i not in (9, 12):
            assert_close(to_numpy(a), to_numpy(e), (0, 0), f"call {i}")


def test_channels_last_through_a_model(torch):
    found = []
    for m in (fg, torch):
        m.manual_seed(1)
        model = m.nn.Sequential(m.nn.Conv2d(3, 4, 3), m.nn.BatchNorm2d(4), m.nn.ReLU(), m.nn.MaxPool2d(2))
        model = model.to(memory_format=m.channels_last)
        x = m.tensor(array(2, 3, 6, 6)).to(memory_format=m.channels_last).requires_grad_()
        y = model(x)
        found.append([y, *m.autograd.grad(y.sin().sum(), [x, *model.parameters()]), model[0].weight])
    assert found[0][-1].stride() == found[1][-1].stride()
    for a, e in zip(*found):
        assert_close(to_numpy(a), to_numpy(e), (1e-4, 1e-4))


def test_memory_formats_that_do_not_fit():
    with pytest.raises(RuntimeError, match="required rank 4 tensor to use channels_last format"):
        fg.zeros(2, 3, 4).to(memory_format=fg.channels_last)
    with pytest.raises(RuntimeError, match="required rank 5"):
        fg.zeros(2, 3, 4, 5).contiguous(memory_format=fg.channels_last_3d)
    assert not fg.zeros(2, 3, 4).is_contiguous(memory_format=fg.channels_last)
    with pytest.raises(TypeError):
        fg.zeros(2).to(memory_format=3)
