"""In-place forms of the records: value, identity, version, aliasing, history, refusals."""

import numpy as np
import pytest

import fastgrad as fg
from checks import LAYOUTS, Maker, assert_close, assert_same, build, lay_out, map_arrays, to_numpy
from op_db import OPS, Sample

CASES = [op for op in OPS if op.inplace]


def fitting(op, dtype, layout="contiguous"):
    """Samples whose result has the shape of the first input."""
    for sample in op.samples(Maker(dtype, *op.domain)):
        change = lambda array: lay_out(array, layout)
        sample = Sample(
            *[map_arrays(v, change) for v in sample.args],
            **{k: map_arrays(v, change) for k, v in sample.kwargs.items()},
        )
        with np.errstate(all="ignore"):
            if np.shape(op.ref(*sample.args, **sample.kwargs)) == sample.args[0].shape:
                yield sample


@pytest.mark.sanitize
@pytest.mark.emulate
@pytest.mark.parametrize("layout", ("contiguous", "transposed", "sliced"))
@pytest.mark.parametrize("op", CASES, ids=str)
def test_value_identity_version(op, layout, device):
    dtype = "float32" if "float32" in op.dtypes else "int64"
    for sample in fitting(op, dtype, layout):
        args, kwargs, _ = build(fg, sample, dtype, layout, device)
        expected = op(fg, *args, **kwargs)
        if expected.dtype != args[0].dtype:
            expected = expected.to(args[0].dtype)
        x, version, place, strides = args[0], args[0]._version, args[0].data_ptr(), args[0].stride()
        result = getattr(x, op.inplace)(*args[1:], **kwargs)
        assert result is x
        assert x._version == version + 1 and x.data_ptr() == place and x.stride() == strides
        assert_close(to_numpy(x), to_numpy(expected), (1e-6, 1e-6), f"{op.inplace}{sample} {layout}")


@pytest.mark.parametrize("op", CASES, ids=str)
def test_expanded_self_is_refused(op, device, torch):
    """Writing to elements that share memory raises, as in torch, and changes nothing."""
    dtype = "float32" if "float32" in op.dtypes else "int64"
    for sample in fitting(op, dtype, "expanded"):
        if sample.args[0].ndim == 0 or sample.args[0].shape[0] < 2 or sample.args[0].size == 0:
            continue
        args, kwargs, _ = build(torch, sample, dtype, "expanded")
        try:
            getattr(args[0], op.inplace)(*args[1:], **kwargs)
        except RuntimeError:
            args, kwargs, _ = build(fg, sample, dtype, "expanded", device)
            before = to_numpy(args[0]).copy()
            with pytest.raises(RuntimeError, match="memory"):
                getattr(args[0], op.inplace)(*args[1:], **kwargs)
            assert_close(to_numpy(args[0]), before, (0, 0))


@pytest.mark.parametrize("op", [op for op in CASES if op.grad], ids=str)
def test_gradient_through_inplace(op, device):
    """y = 1 * x; y.op_() has the gradient of op(x)."""
    for sample in fitting(op, "float64"):
        grads = []
        for inplace in (False, True):
            args, kwargs, leaves = build(fg, sample, "float64", device=device, grad=True)
            x = args[0] * 1
            y = getattr(x, op.inplace)(*args[1:], **kwargs) if inplace else op(fg, x, *args[1:], **kwargs)
            if not y.requires_grad:
                continue
            grads.append(fg.autograd.grad(y.sum(), leaves, allow_unused=True))
        if len(grads) == 2:
            for a, e in zip(*grads):
                assert (a is None) == (e is None)
                if e is not None:
                    assert_close(to_numpy(a), to_numpy(e), (1e-12, 1e-12), f"{op.inplace}{sample}")


def test_same_tensor_on_both_sides(device):
    x = fg.tensor([1.0, 2.0, 3.0], device=device)
    x += x
    assert x.tolist() == [2.0, 4.0, 6.0]
    x.mul_(x)
    assert x.tolist() == [4.0, 16.0, 36.0]


def test_partial_overlap_is_refused(device, torch):
    for m in (torch, fg):
        a = m.arange(5.0, device=device if m is fg else "cpu")
        with pytest.raises(RuntimeError):
            a[1:].add_(a[:-1])
        assert a.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


BETWEEN = ("y[:, 0] += y[:, 1]", "y[:, :3].mul_(y[:, 3:])", "y[::2].add_(y[1::2])", "y[:, ::2].sub_(y[:, 1::2])",
           "y[:3, :3].div_(y[:3, 3:])", "y[:, 5] -= y[:, 0]", "m.exp(y[:, :3], out=y[:, 3:])",
           "y[:-1, 0].add_(y[1:, 1])", "y.view(-1)[::7].mul_(y[0])", "y[:, 1:3].add_(y[:, 0:1])",
           "y[:, 2].copy_(y[:, 4])")


@pytest.mark.parametrize("line", BETWEEN)
def test_parts_of_one_memory(line, device, torch):
    """The elements of the one part lie between those of the other."""
    found = []
    for m in (torch, fg):
        y = (m.arange(36.0, device=device if m is fg else "cpu").view(6, 6) + 1) / 36
        exec(line, {"y": y, "m": m})
        found.append(y.cpu().numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)


def test_overlap_that_is_not_dense_reads_the_old_values(device):
    for rows, columns in ((6, 6), (40, 50)):
        y = fg.arange(float(rows * columns), device=device).view(rows, columns)
        want = y.cpu().numpy()
        want[:, 1:] += want[:, :-1].copy()
        y[:, 1:].add_(y[:, :-1])
        assert np.array_equal(y.cpu().numpy(), want)


def test_leaf_that_requires_grad_is_refused(device):
    x = fg.ones(2, device=device, requires_grad=True)
    for change in (lambda: x.add_(1), lambda: x.zero_(), lambda: x.__setitem__(0, 1.0), lambda: x[0].add_(1)):
        with pytest.raises(RuntimeError, match="leaf"):
            change()
    assert x.tolist() == [1.0, 1.0] and x._version == 0
    with fg.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 2.0] and x.is_leaf and x._version == 1


def test_dtype_of_the_result_must_fit(device, torch):
    for call in (lambda m, x: x.add_(0.5), lambda m, x: x.div_(2), lambda m, x: x.mul_(m.ones(2))):
        for m in (torch, fg):
            x = m.ones(2, dtype=m.int64)
            with pytest.raises(RuntimeError, match="cast"):
                call(m, x)
            assert x.tolist() == [1, 1] and x._version == 0


def test_shape_must_not_grow(device):
    x = fg.ones(3, device=device)
    with pytest.raises(RuntimeError):
        x.add_(fg.ones(2, 3, device=device))
    assert x.tolist() == [1.0] * 3 and x._version == 0


OPERATORS = {
    "+=": lambda x, y: x.__iadd__(y),
    "-=": lambda x, y: x.__isub__(y),
    "*=": lambda x, y: x.__imul__(y),
    "/=": lambda x, y: x.__itruediv__(y),
    "**=": lambda x, y: x.__ipow__(y),
    "//=": lambda x, y: x.__ifloordiv__(y),
    "%=": lambda x, y: x.__imod__(y),
}


@pytest.mark.parametrize("sign", OPERATORS)
def test_operators(sign, torch):
    results = []
    for m in (torch, fg):
        x = m.tensor([1.0, 4.0, 9.0])
        y = OPERATORS[sign](x, 2.0)
        assert y is x
        results.append(OPERATORS[sign](x, m.tensor([2.0, 1.0, 3.0])))
    assert_same(results[1], results[0])


@pytest.mark.parametrize("sign", ("&=", "|=", "^=", "<<=", ">>="))
def test_integer_operators(sign, torch):
    results = []
    for m in (torch, fg):
        x = m.tensor([1, 4, 9])
        scope = {"x": x, "y": m.tensor([2, 1, 3])}
        exec(f"x {sign} y", scope)
        assert scope["x"] is x
        results.append(x)
    assert_same(results[1], results[0])


def test_copy_fill_zero(device):
    x = fg.zeros(2, 3, device=device)
    x.copy_(fg.arange(3, device=device))
    assert x.tolist() == [[0.0, 1.0, 2.0]] * 2
    x.t().fill_(7)
    assert x.tolist() == [[7.0] * 3] * 2
    x[:, 1].zero_()
    assert x.tolist() == [[7.0, 0.0, 7.0]] * 2
    assert x._version == 3


def test_copy_records(device):
    x = fg.tensor([1.0, 2.0], device=device, requires_grad=True)
    y = fg.zeros(2, dtype=fg.float64, device=device)
    y.copy_(x)
    (y * y).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0] and x.grad.dtype is fg.float32


assert set(LAYOUTS) >= {"contiguous"}


def test_copies_within_memory_of_another_item_size():
    x = fg.arange(40000, dtype=fg.int32)
    x.view(fg.int64).copy_(x[:20000])
    assert x.view(fg.int64).tolist() == list(range(20000))
