"""Convolution modules and functions against torch: over random options, and the kinds with kernels of their own."""

import copy
import pickle

import numpy as np
import pytest

import fastgrad as fg
from checks import assert_close, to_numpy
from module_pairs import array, compare, pair

CONVOLUTIONS = [
    ("Conv1d", (4, 6, 3), {}, (2, 4, 9)),
    ("Conv1d", (4, 6, 3, 2, 1, 2, 2), {"bias": False}, (4, 9)),
    ("Conv1d", (2, 3, 4), {"padding": "same", "padding_mode": "circular"}, (2, 2, 9)),
    ("Conv2d", (3, 5, 3), {"padding": 1}, (2, 3, 6, 7)),
    ("Conv2d", (4, 4, (3, 2)), {"stride": (2, 1), "dilation": (1, 2), "groups": 4}, (2, 4, 7, 8)),
    ("Conv2d", (3, 5, 3), {"padding": (1, 2), "padding_mode": "reflect"}, (2, 3, 6, 7)),
    ("Conv2d", (3, 5, 4), {"padding": "same", "padding_mode": "replicate"}, (2, 3, 6, 7)),
    ("Conv2d", (3, 5, 3), {"padding": "valid"}, (3, 6, 7)),
    ("Conv3d", (2, 3, (1, 2, 3)), {"padding": (0, 1, 1), "stride": 2}, (1, 2, 4, 5, 6)),
    ("ConvTranspose1d", (4, 6, 3, 2, 1, 1, 2), {}, (2, 4, 5)),
    ("ConvTranspose2d", (3, 5, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (2, 3, 4, 5)),
    ("ConvTranspose2d", (3, 5, 2), {"stride": (2, 3), "bias": False, "dilation": 2}, (3, 4, 5)),
    ("ConvTranspose3d", (2, 3, 2), {"stride": 2}, (1, 2, 2, 3, 3)),
]


@pytest.mark.parametrize("name, args, kwargs, shape", CONVOLUTIONS)
def test_convolutions(name, args, kwargs, shape, torch):
    compare(torch, *pair(torch, name, *args, **kwargs), array(*shape))


@pytest.mark.parametrize("name, args, kwargs, shape", CONVOLUTIONS)
def test_lazy_convolutions(name, args, kwargs, shape, torch):
    ours, theirs = pair(torch, "Lazy" + name, *args[1:], **kwargs)
    assert repr(ours) == repr(theirs) and ours.has_uninitialized_params()
    with pytest.raises(RuntimeError, match="uninitialized"):
        ours.weight.shape  # noqa: B018
    for m, module in ((fg, ours), (torch, theirs)):
        m.manual_seed(3)
        module(m.tensor(array(*shape)))
    assert type(ours) is getattr(fg.nn, name)
    compare(torch, ours, theirs, array(*shape))


def test_lazy_linear_and_its_state(torch):
    ours, theirs = pair(torch, "LazyLinear", 3)
    for m, module in ((fg, ours), (torch, theirs)):
        copied = copy.deepcopy(module)
        assert copied.has_uninitialized_params()
        m.manual_seed(3)
        module(m.ones(2, 5))
    compare(torch, ours, theirs, array(2, 5))
    fresh = pickle.loads(pickle.dumps(fg.nn.LazyLinear(3)))
    fresh.load_state_dict(ours.state_dict())
    assert fresh.weight.shape == (3, 5) and fresh(fg.ones(2, 5)).tolist() == ours(fg.ones(2, 5)).tolist()


def test_transposed_output_size(torch):
    ours, theirs = pair(torch, "ConvTranspose2d", 2, 3, 3, stride=2)
    compare(torch, ours, theirs, array(1, 2, 4, 4), output_size=(10, 9))
    compare(torch, ours, theirs, array(1, 2, 4, 4), output_size=[1, 3, 9, 10])
    with pytest.raises(ValueError, match="valid sizes range"):
        ours(fg.zeros(1, 2, 4, 4), output_size=(12, 9))
    with pytest.raises(ValueError, match="must have 2 or 4 elements"):
        ours(fg.zeros(1, 2, 4, 4), output_size=(9,))


@pytest.mark.parametrize(
    "name, args, kwargs",
    [
        ("Conv2d", (3, 4, 3), {"groups": 2}),
        ("Conv2d", (4, 3, 3), {"groups": 2}),
        ("Conv2d", (4, 4, 3), {"groups": 0}),
        ("Conv2d", (3, 4, 3), {"padding": "all"}),
        ("Conv2d", (3, 4, 3), {"padding": "same", "stride": 2}),
        ("Conv2d", (3, 4, 3), {"padding_mode": "mirror"}),
        ("ConvTranspose2d", (3, 4, 3), {"padding_mode": "circular"}),
    ],
)
def test_wrong_arguments_of_convolutions(name, args, kwargs, torch):
    for m in (fg, torch):
        with pytest.raises(ValueError):
            getattr(m.nn, name)(*args, **kwargs)


CALLS = {
    "dimensions": ((2, 3), (4, 3, 3, 3), {}),
    "channels": ((2, 3, 5, 5), (4, 4, 3, 3), {}),
    "groups": ((2, 4, 5, 5), (3, 2, 3, 3), {"groups": 2}),
    "no_groups": ((2, 4, 5, 5), (3, 2, 3, 3), {"groups": 0}),
    "kernel": ((2, 3, 2, 2), (4, 3, 3, 3), {}),
    "stride": ((2, 3, 5, 5), (4, 3, 3, 3), {"stride": 0}),
    "strides": ((2, 3, 5, 5), (4, 3, 3, 3), {"stride": (1, 1, 1)}),
    "padding": ((2, 3, 5, 5), (4, 3, 3, 3), {"padding": -1}),
    "dilation": ((2, 3, 5, 5), (4, 3, 3, 3), {"dilation": 0}),
    "text": ((2, 3, 5, 5), (4, 3, 3, 3), {"padding": "all"}),
    "same": ((2, 3, 5, 5), (4, 3, 3, 3), {"padding": "same", "stride": 2}),
}


@pytest.mark.parametrize("case", CALLS)
def test_errors_of_convolution(case, torch, device):
    x, w, kwargs = CALLS[case]
    texts = []
    for m in (fg, torch):
        with pytest.raises(RuntimeError) as error:
            m.nn.functional.conv2d(m.zeros(x), m.zeros(w), **kwargs)
        texts.append(str(error.value))
    assert texts[1].split(",")[0].split("[[")[0] in texts[0]


def test_convolution_of_other_dtypes_is_refused():
    with pytest.raises(RuntimeError, match="should be the same"):
        fg.conv2d(fg.zeros(1, 1, 3, 3), fg.zeros(1, 1, 2, 2, dtype=fg.float64))
    with pytest.raises(RuntimeError, match="bias type"):
        fg.conv2d(fg.zeros(1, 1, 3, 3), fg.zeros(1, 1, 2, 2), fg.zeros(1, dtype=fg.float64))
    with pytest.raises(NotImplementedError):
        fg.conv2d(fg.zeros(1, 1, 3, 3, dtype=fg.bool), fg.zeros(1, 1, 2, 2, dtype=fg.bool))


@pytest.mark.parametrize("seed", range(40))
def test_random_convolutions(seed, torch):
    """Sizes, strides, paddings, dilations, groups of all kinds: values and gradients of all orders of channels."""
    random = np.random.default_rng(seed)
    dims, transposed = int(random.integers(1, 4)), bool(random.integers(0, 2))
    kernel, stride, dilation = (random.integers(1, 4, dims) for _ in range(3))
    padding = random.integers(0, 3, dims)
    groups = int(random.integers(1, 3))
    inner, outer, batch = (
        int(random.choice([1, 2, 5, 17])),
        int(random.choice([1, 3, 7, 16])),
        int(random.choice([1, 2, 9])),
    )
    least = np.maximum((kernel - 1) * dilation + 1 - 2 * padding, 1)
    size = least + random.integers(0, 18 if dims < 3 else 5, dims) + (2 * padding if transposed else 0)
    extra = [int(random.integers(0, max(s, d))) for s, d in zip(stride, dilation)] if transposed else [0] * dims
    weight = random.uniform(-1, 1, (groups * outer, inner, *kernel))
    x = random.uniform(-1, 1, (batch, groups * (outer if transposed else inner), *size))
    bias = random.uniform(-1, 1, groups * (inner if transposed else outer))
    options = [[int(n) for n in v] for v in (stride, padding, dilation)]
    found = []
    for m in (fg, torch):
        leaves = [m.tensor(v).requires_grad_() for v in (x, weight, bias)]
        y = m.convolution(*leaves, *options, transposed, extra, groups)
        h = m.tensor(np.linspace(0.5, 1.5, y.numel()).reshape(tuple(y.shape)))
        found.append([y, *m.autograd.grad(y, leaves, h)])
    for a, e in zip(*found):
        assert_close(to_numpy(a), to_numpy(e), (1e-10, 1e-9), f"seed {seed}")


# One for each kernel: x, weight, options.
CONVOLUTIONS_OF_A_KIND = {
    "many channels": ((5, 40, 7, 7), (70, 40, 3, 3), dict(padding=1)),
    "many channels, strided": ((3, 33, 14, 15), (72, 33, 3, 3), dict(stride=2, padding=1)),
    "many channels in groups": ((2, 66, 9, 9), (130, 33, 3, 2), dict(groups=2, dilation=2)),
    "many channels, larger kernel": ((2, 64, 9, 9), (64, 64, 5, 5), dict(padding=2)),
    "strides beyond the kernel": ((2, 64, 9, 9), (64, 64, 2, 2), dict(stride=3)),
    "a volume of many channels": ((2, 34, 4, 5, 6), (66, 34, 2, 3, 2), dict(padding=1)),
    "no step at all": ((200, 3, 2, 2), (65, 3, 1, 1), {}),
    "one image": ((1, 70, 5, 5), (68, 70, 3, 3), dict(padding=1)),
    "depthwise": ((3, 9, 15, 14), (9, 1, 3, 3), dict(padding=1, groups=9)),
    "depthwise, strided": ((2, 5, 14, 33), (5, 1, 3, 3), dict(stride=2, padding=1, groups=5)),
    "depthwise, tall": ((2, 3, 20, 19), (3, 1, 9, 2), dict(padding=4, groups=3)),
    "depthwise, dilated": ((2, 3, 20, 19), (3, 1, 3, 3), dict(stride=(1, 2), dilation=2, groups=3)),
    "depthwise, two of each": ((2, 3, 9, 17), (6, 1, 3, 3), dict(padding=2, groups=3)),
    "depthwise volume": ((2, 3, 5, 6, 7), (3, 1, 2, 3, 3), dict(stride=(2, 1, 3), padding=1, groups=3)),
    "depthwise, narrow": ((3, 5, 9, 6), (5, 1, 3, 3), dict(padding=1, groups=5)),
    "depthwise, narrow, strided down": ((2, 4, 9, 5), (4, 1, 3, 3), dict(stride=(2, 1), padding=1, groups=4)),
    "depthwise, narrow volume": ((2, 3, 6, 7, 3), (3, 1, 2, 3, 3), dict(stride=(2, 2, 1), padding=1, groups=3)),
    "depthwise row": ((2, 6, 50), (6, 1, 4), dict(padding=3, groups=6)),
    "strides beyond a depthwise kernel": ((2, 4, 11, 12), (4, 1, 2, 2), dict(stride=3, groups=4)),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS_OF_A_KIND)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_convolutions_of_a_kind(kind, dtype, torch):
    x_shape, w_shape, options = CONVOLUTIONS_OF_A_KIND[kind]
    x, w, bias = array(*x_shape), array(*w_shape, seed=1), array(w_shape[0], seed=2)
    found = []
    for m, given in ((fg, dtype), (torch, "float64")):
        leaves = [m.tensor(v.astype(given)).requires_grad_() for v in (x, w, bias)]
        y = getattr(m.nn.functional, f"conv{len(x_shape) - 2}d")(*leaves, **options)
        h = m.tensor(np.resize(array(1000, seed=3), tuple(y.shape)).astype(given))
        found.append([y, *m.autograd.grad(y, leaves, h)])
    for a, e in zip(*found):
        a, e = to_numpy(a), to_numpy(e)
        assert a.shape == e.shape
        assert abs(a - e).max() <= (2e-6 if dtype == "float32" else 1e-13) * max(1, abs(e).max())


def test_same_bits_for_any_number_of_threads():
    x = fg.tensor(array(9, 20, 30, 31)).requires_grad_()
    few = fg.tensor(array(1, 20, 40, 41)).requires_grad_()
    w = fg.tensor(array(24, 20, 3, 3, seed=1)).requires_grad_()
    deep = fg.tensor(array(5, 80, 9, 9)).requires_grad_()
    deep_w = fg.tensor(array(144, 80, 3, 3, seed=1)).requires_grad_()
    wide = fg.tensor(array(3, 40, 30, 30)).requires_grad_()
    wide_w = fg.tensor(array(40, 1, 3, 3, seed=1)).requires_grad_()
    results = []
    threads = fg.get_num_threads()
    try:
        for n in (1, 2, 5):
            fg.set_num_threads(n)
            bits = []
            for image in (x, few):
                y = fg.conv2d(image, w, stride=2, padding=1)
                bits += [y, *fg.autograd.grad(y.sin().sum(), [image, w])]
            for image, weight, groups in ((deep, deep_w, 1), (wide, wide_w, 40)):
                y = fg.conv2d(image, weight, stride=2, padding=1, groups=groups)
                bits += [y, *fg.autograd.grad(y.sin().sum(), [image, weight])]
            results.append([t.detach().numpy().tobytes() for t in bits])
    finally:
        fg.set_num_threads(threads)
    assert results[0] == results[1] == results[2]


def test_a_convolution_in_autocast():
    x, w = fg.ones(1, 2, 4, 4), fg.ones(3, 2, 3, 3)
    with fg.autocast("cpu"):
        assert fg.conv2d(x, w).dtype is fg.bfloat16


def test_convolution_with_time_first(torch):
    arrays = [array(5, 2, 3), array(3, 3, 4), array(4)]
    found = []
    for m in (fg, torch):
        leaves = [m.tensor(a).requires_grad_() for a in arrays]
        y = m.nn.functional.conv_tbc(*leaves, pad=1)
        found.append([y, *m.autograd.grad(y.sin().sum(), leaves)])
    for a, e in zip(*found):
        assert_close(to_numpy(a), to_numpy(e), (1e-5, 1e-5))
