"""Indexing: every form of key against torch and NumPy, reading and writing, gradients, refusals."""

import itertools

import numpy as np
import pytest

import fastgrad as fg
from checks import assert_same

SHAPE = (4, 3, 5)
PARTS = {
    "number": lambda m: 1,
    "last": lambda m: -1,
    "slice": lambda m: slice(0, 2),
    "step": lambda m: slice(None, None, 2),
    "all": lambda m: slice(None),
    "none": lambda m: None,
    "ellipsis": lambda m: ...,
    "list": lambda m: [0, 2],
    "tensor": lambda m: m.tensor([2, 0]),
    "matrix": lambda m: m.tensor([[0, 1], [2, 0]]),
    "negative": lambda m: m.tensor([-1, 0]),
    "int32": lambda m: m.tensor([1, 0], dtype=m.int32),
    "scalar": lambda m: m.tensor(1),
    "true": lambda m: True,
    "array": lambda m: np.array([1, 2]),
}
MASKS = {
    "mask": lambda m: m.arange(60).view(SHAPE) % 3 == 0,
    "mask_rows": lambda m: m.tensor([True, False, True, True]),
    "mask_two": lambda m: m.arange(12).view(4, 3) % 2 == 0,
    "rows_list": lambda m: [True, False, False, True],
    "mask_last": lambda m: (slice(None), slice(None), m.tensor([True, False, True, False, True])),
    "mask_and_number": lambda m: (m.tensor([True, False, True, True]), 1),
    "mask_and_tensor": lambda m: (m.tensor([True, False, True, False]), m.tensor([0, 2])),
    "empty_mask": lambda m: m.zeros(4, dtype=m.bool),
    "false": lambda m: False,
    "empty_list": lambda m: [],
    "nested": lambda m: ([0, 1], slice(None), [2, 3]),
}
KEYS = {n: (lambda m, n=n: PARTS[n](m)) for n in PARTS}
KEYS |= {f"{a},{b}": (lambda m, a=a, b=b: (PARTS[a](m), PARTS[b](m))) for a, b in itertools.product(PARTS, PARTS)}
KEYS |= {
    f"{a},{b},{c}": (lambda m, k=(a, b, c): tuple(PARTS[p](m) for p in k))
    for a, b, c in itertools.product(
        ("number", "slice", "tensor", "none", "list"),
        ("all", "matrix", "scalar"),
        ("step", "tensor", "negative", "ellipsis"),
    )
}
KEYS |= MASKS


def attempt(call, *args):
    try:
        return call(*args), None
    except (IndexError, TypeError, RuntimeError, ValueError) as error:
        return None, error


def both(torch, device, call):
    results = []
    for m in (torch, fg):
        x = m.arange(60.0).view(SHAPE)
        results.append(attempt(call, m, x if m is torch else x.to(device)))
    (expected, failure), (actual, error) = results
    if failure is not None:
        assert error is not None, f"torch raises {failure!r}"
        assert isinstance(error, type(failure)), f"{error!r}, torch raises {failure!r}"
    else:
        assert error is None, f"{error!r}"
        assert_same(actual, expected)


@pytest.mark.sanitize
@pytest.mark.parametrize("key", KEYS)
def test_read(key, device, torch):
    both(torch, device, lambda m, x: x[KEYS[key](m)])


@pytest.mark.sanitize
@pytest.mark.parametrize("key", KEYS)
def test_write(key, device, torch):
    def write(m, x, number):
        x = x.clone()
        k = KEYS[key](m)
        x[k] = 7 if number else m.arange(float(x[k].numel()), device=x.device).view(x[k].shape)
        return x

    both(torch, device, lambda m, x: write(m, x, True))
    both(torch, device, lambda m, x: write(m, x, False))


@pytest.mark.parametrize("key", list(KEYS)[::3])
def test_gradient_of_reading(key, device, torch):
    def gradient(m, x):
        x = x.requires_grad_()
        y = x[KEYS[key](m)]
        return m.autograd.grad((y * y).sum(), x)[0]

    both(torch, device, gradient)


@pytest.mark.parametrize("key", list(KEYS)[1::5])
def test_gradient_of_writing(key, device, torch):
    def gradient(m, x):
        x = x.requires_grad_()
        y, v = x * 2, m.ones((), device=x.device, requires_grad=True)
        y[KEYS[key](m)] = v
        return m.autograd.grad((y * x).sum(), (x, v))

    both(torch, device, gradient)


@pytest.mark.emulate
def test_against_numpy(device):
    x = np.arange(60.0).reshape(SHAPE)
    t = fg.tensor(x, device=device)
    index = np.array([3, 0, 0])
    for key in (2, -1, slice(1, 3), (slice(None), 1), (..., slice(None, None, 2)), index, (index, [0, 1, 2]), x > 20):
        given = (
            tuple(fg.tensor(k, device=device) if isinstance(k, np.ndarray) else k for k in key)
            if isinstance(key, tuple)
            else fg.tensor(key, device=device)
            if isinstance(key, np.ndarray)
            else key
        )
        assert np.array_equal(t[given].cpu().numpy(), x[key])


@pytest.mark.parametrize(
    "key, kind",
    [
        ((4,), IndexError),
        ((-5,), IndexError),
        ((0, 0, 0, 0), IndexError),
        ((0, 3), IndexError),
        ((1.5,), IndexError),
        (("a",), TypeError),
        ((slice(None, None, -1),), ValueError),
        ((slice(None, None, 0),), ValueError),
        (([9],), IndexError),
    ],
)
def test_refused_keys(key, kind, device, torch):
    key = key if len(key) > 1 else key[0]
    for m in (torch, fg):
        x = m.zeros(SHAPE)
        with pytest.raises(kind):
            x[key]
        with pytest.raises(kind):
            x[key] = 1.0
        assert not x.any()


def test_mask_of_another_shape_is_refused(device):
    x = fg.zeros(3, 4, device=device)
    with pytest.raises(IndexError):
        x[fg.ones(4, 3, dtype=fg.bool, device=device)]


def test_zero_dimensional(device):
    x = fg.tensor(3.0, device=device)
    assert x[()].item() == 3.0 and x[...].item() == 3.0 and x[None].tolist() == [3.0]
    with pytest.raises(IndexError):
        x[0]


def test_iteration_and_length(device):
    x = fg.arange(6, device=device).view(3, 2)
    assert len(x) == 3 and [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
    for call in (lambda: len(fg.tensor(1)), lambda: iter(fg.tensor(1))):
        with pytest.raises(TypeError):
            call()


def test_contains(device):
    x = fg.tensor([1.0, 2.0], device=device)
    assert 2 in x and 3 not in x


def test_repeated_indices_accumulate_in_the_gradient(device):
    x = fg.zeros(3, device=device, requires_grad=True)
    x[fg.tensor([1, 1, 2], device=device)].sum().backward()
    assert x.grad.tolist() == [0.0, 2.0, 1.0]


def test_index_put_accumulates(device):
    x = fg.zeros(3, device=device)
    x.index_put_((fg.tensor([1, 1, 2], device=device),), fg.tensor([1.0, 2.0, 4.0], device=device), accumulate=True)
    assert x.tolist() == [0.0, 3.0, 4.0]


def test_values_are_not_half_written(device):
    """An index out of range in the middle of a write leaves everything as it was."""
    x = fg.zeros(4, device=device)
    with pytest.raises((IndexError, RuntimeError)):
        x[fg.tensor([0, 1, 9, 2], device=device)] = 5.0
    if x.device.type == "cpu":
        assert x.tolist() == [0.0] * 4


@pytest.mark.parametrize("include_self", (True, False))
@pytest.mark.parametrize("reduce", ("sum", "prod", "mean", "amax", "amin"))
def test_scatter_reduce_in_place_and_from_larger_sources(reduce, include_self, torch):
    found = []
    for m in (fg, torch):
        x, source = m.tensor([1.0, 6.0, 3.0], requires_grad=True), m.tensor([2.0, 4.0, 0.0, 9.0, 9.0])
        index = m.tensor([0, 1, 1])
        y = x * 1
        assert y.scatter_reduce_(0, index, source, reduce, include_self=include_self) is y
        part = source[:3].clone().requires_grad_()
        out = m.scatter_reduce(x, 0, index, part, reduce, include_self=include_self)
        weights = m.tensor([1.0, 2.0, 3.0])
        grads = m.autograd.grad((out * weights).sum(), (x, part))
        mine, = m.autograd.grad((y * weights).sum(), x) if m is fg else (grads[0],)
        whole = m.arange(5).scatter_reduce(0, index, m.tensor([7, 8, 9]), reduce, include_self=include_self)
        found.append((y.tolist(), out.tolist(), *[g.tolist() for g in grads], mine.tolist(), whole.tolist()))
    assert found[0] == found[1]
    with pytest.raises(RuntimeError, match="reduce argument must be either"):
        fg.ones(3).scatter_reduce(0, index=fg.tensor([0]), src=fg.ones(1), reduce="add")


def test_gradient_of_a_product_with_zeros():
    x = fg.tensor([2.0, 3.0], dtype=fg.float64, requires_grad=True)
    s = fg.tensor([0.0, 5.0, 0.0, 0.0], dtype=fg.float64, requires_grad=True)
    out = x.scatter_reduce(0, fg.tensor([0, 0, 1, 1]), s, "prod")
    assert [g.tolist() for g in fg.autograd.grad(out.sum(), (x, s))] == [[0.0, 0.0], [10.0, 0.0, 0.0, 0.0]]


CHANGED = {
    "x[mask] = v": lambda x, v, mask, i: x.__setitem__(mask, v),
    "x[mask] = v[0]": lambda x, v, mask, i: x.__setitem__(mask, v[0]),
    "x[bytes] = v": lambda x, v, mask, i: x.__setitem__(mask, v),
    "x[mask]": lambda x, v, mask, i: x[mask],
    "x[i] = v": lambda x, v, mask, i: x.__setitem__(i, v),
    "x[i]": lambda x, v, mask, i: x[i],
    "x[i, j]": lambda x, v, mask, i: x.reshape(3, 2)[fg.tensor([0, 1, 2]), i],
    "index_put": lambda x, v, mask, i: x.index_put((i,), v, accumulate=True),
    "index_copy": lambda x, v, mask, i: x.index_copy(0, i, v),
    "index_fill": lambda x, v, mask, i: x.index_fill(0, i, 2.0),
    "take": lambda x, v, mask, i: x.take(i),
    "put": lambda x, v, mask, i: x.put(i, v),
}


@pytest.mark.parametrize("name", CHANGED)
def test_an_index_changed_before_backward_is_an_error(name):
    x = fg.arange(6.0, requires_grad=True) * 1
    v = fg.ones(3, requires_grad=True)
    mask, i = fg.tensor([True, False, True, False, True, False]), fg.tensor([0, 2, 4])
    if "bytes" in name:
        mask = mask.to(fg.uint8)
    if "j" in name:
        i = fg.tensor([0, 1, 0])
    y = CHANGED[name](x, v, mask, i)
    y = x if y is None else y
    y.sum().backward(retain_graph=True)  # once as it was
    mask.logical_not_()
    i.sub_(1).abs_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_value_for_whole_rows():
    """index_fill_ of rows as wide as several pieces of work, with an index that repeats; strided rows too."""
    for make in (lambda: fg.zeros(300, 700), lambda: fg.zeros(700, 300).t(), lambda: fg.zeros(300, 1400)[:, ::2]):
        x, index = make(), fg.tensor([3, 299, 3, 0])
        x.index_fill_(0, index, 1.5)
        assert x.sum().item() == 1.5 * 3 * 700 and (x[index] == 1.5).all()


def test_masks_of_several_dimensions(torch):
    """A mask is one index where the dimensions that it covers lie in memory like one, else an index for each."""
    x = np.arange(4 * 6 * 5 * 3.0).reshape(4, 6, 5, 3)
    random = np.random.default_rng(0)
    for shape, before in (((4, 6, 5, 3), ()), ((4, 6), ()), ((5, 3), (...,)), ((6, 5), (slice(None),))):
        mask = random.random(shape) < 0.5
        for turn in (lambda t: t, lambda t: t.transpose(0, 3).contiguous().transpose(0, 3)):
            results = []
            for m in (fg, torch):
                t = turn(m.tensor(x)).requires_grad_()
                picked = t[(*before, m.tensor(mask))]
                written = t.detach().clone()
                written[(*before, m.tensor(mask))] = -1.0
                grad, = m.autograd.grad(picked, t, m.arange(float(picked.numel())).reshape(picked.shape).to(t.dtype))
                results.append([picked.detach(), written, grad])
            for a, e in zip(*results):
                assert a.tolist() == e.tolist(), shape
    t = fg.tensor(x).transpose(0, 1)  # not in memory like one
    mask = random.random((6, 4)) < 0.5
    assert t[fg.tensor(mask)].tolist() == x.transpose(1, 0, 2, 3)[mask].tolist()
    assert fg.zeros(3, 4)[fg.zeros(3, 4).bool()].shape == (0,)


def test_pairs_of_indices_out_of_range(torch):
    x = fg.zeros(5, 7)
    for i, j, wrong in (([0, 5], [0, 0], "index 5 is out of bounds for dimension 0 with size 5"),
                        ([0, 1], [0, -8], "index -8 is out of bounds for dimension 1 with size 7")):
        with pytest.raises(IndexError, match=wrong):
            x[fg.tensor(i), fg.tensor(j)]
    assert x[fg.tensor([-5, 4]), fg.tensor([-7, 6])].tolist() == [0, 0]
