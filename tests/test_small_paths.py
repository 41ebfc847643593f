"""Short ways for few elements: shapes that are remembered, joins, arrays over tensors, running statistics."""
import warnings

import numpy as np
import pytest

import fastgrad as fg
import fastgrad.nn.functional as F


def test_shape_after_changes_in_place():
    x = fg.arange(6.0)
    shapes = [x.shape]
    shapes.append(x.resize_(2, 3).shape)
    shapes.append(x.unsqueeze_(0).shape)
    shapes.append(x.transpose_(0, 2).shape)
    x.data = fg.zeros(7)
    shapes.append(x.shape)
    x.set_(fg.ones(2, 2))
    shapes.append(x.size())
    assert shapes == [(6,), (2, 3), (1, 2, 3), (3, 2, 1), (7,), (2, 2)]
    assert all(type(s) is fg.Size for s in shapes)
    for n in range(200):  # more shapes than are remembered, also large and many dimensions
        sizes = (n, 0, 1 << 40, n * n)[:n % 5]
        assert fg.zeros(1).as_strided(sizes, (0,) * len(sizes)).shape == sizes
    assert fg.ones(1, 1, 1, 1, 1, 1, 2).shape == (1, 1, 1, 1, 1, 1, 2)


@pytest.mark.parametrize("dtype", ["float32", "bool", "bfloat16", "int64", "complex128"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 0, 3), (2, 3, 4), (8, 9, 40)])
def test_joins_of_few_and_of_many(torch, shape, dtype):
    values = np.arange(int(np.prod(shape))).reshape(shape) % 5
    for dim in range(len(shape)):
        for layout in (lambda t: t, lambda t: t.transpose(0, -1).contiguous().transpose(0, -1)):
            joined = []
            for m in (fg, torch):
                x = layout(m.tensor(values).to(getattr(m, dtype)))
                y = x.narrow(dim, 0, min(2, x.shape[dim]))
                joined.append([t.to(m.complex128).tolist() for t in (
                    m.cat([x, y], dim), m.stack([x, x, x], dim), m.stack([x, x], -1), m.cat([y, x, y, x], dim))])
            assert joined[0] == joined[1]
    assert fg.cat([fg.zeros(0), fg.ones(2)]).tolist() == [1, 1]
    assert fg.cat([fg.ones(2), fg.ones(1, dtype=fg.float64)]).dtype == fg.float64


def test_arrays_over_tensors():
    x = fg.arange(6.0).view(2, 3)
    for t in (x, x.t(), x[:, 1:], x[0, 1], fg.zeros(0, 3), fg.ones(1).expand(4), fg.ones(2, dtype=fg.bool)):
        a = t.numpy()
        assert a.shape == tuple(t.shape) and a.tolist() == t.tolist() and type(a) is np.ndarray
        assert a.strides == tuple(s * t.element_size() for s in t.stride()) or not a.size
    a = x.numpy()
    a[0, 0] = 9
    assert x[0, 0] == 9 and not a.flags.owndata and a.flags.writeable and x.t().numpy().flags.f_contiguous
    del x
    assert a.sum() == 24
    frozen = np.arange(3.0)
    frozen.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not fg.from_numpy(frozen).numpy().flags.writeable


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64])
def test_running_statistics_in_place_are_those_of_recorded_steps(dtype):
    x = fg.arange(24, dtype=dtype).view(4, 3, 2).sin()
    mean, var = fg.full((3,), 0.3, dtype=dtype), fg.full((6,), 1.7, dtype=dtype)[::2]  # one is not contiguous
    twin = var.clone()
    F.batch_norm(x, mean, var, training=True, momentum=0.3)
    F.batch_norm(x, mean.clone(), twin, training=True, momentum=0.3)
    assert fg.equal(var, twin) and mean._version == 1
    wanted = x.mean((0, 2)) * 0.3 + fg.full((3,), 0.3, dtype=dtype) * 0.7
    assert fg.allclose(mean, wanted) and fg.allclose(var, x.var((0, 2)) * 0.3 + 1.7 * 0.7)


def test_size_is_a_tuple_of_its_own(torch):
    for m in (fg, torch):
        s = m.Size([2, 3, 4])
        assert s[0] == 2 and s[-1] == 4 and s[1:] == (3, 4) and s[::-1] == (4, 3, 2) and s[5:] == ()
        assert type(s[:]) is type(s[1:1]) is type(s + ()) is type(() + s) is type(s * 0) is type(2 * s) is m.Size
        assert [*s] == list(s) == [2, 3, 4] and isinstance(s, tuple) and len(s) == 3 and 3 in s and s.index(4) == 2
        assert sum([s, s], ()) == (2, 3, 4, 2, 3, 4) and s != (2, 3) and s < (3,) and {s: 1}[2, 3, 4] == 1
        assert m.Size(numpy_sizes := np.array([2, 1])).numel() == 2 and len(numpy_sizes) == 2
        assert m.Size() == () and m.Size().numel() == 1
        first, *rest = s
        assert (first, rest) == (2, [3, 4])
        s += (1,)
        assert type(s) is m.Size and s == (2, 3, 4, 1)
        for wrong in (lambda: s[9], lambda: s["a"], lambda: s + [1], lambda: [1] + s, lambda: s * 1.5, lambda: s * s,
                      lambda: m.Size([None]), lambda: m.Size(1, 2), lambda: s + 1):
            with pytest.raises((TypeError, IndexError)):
                wrong()
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Own", (m.Size,), {})
    assert fg.Size([1 << 40, 1 << 40]).numel() == 1 << 80
    assert all(type(n) is int for n in fg.Size([True, np.int32(3)]))
    with pytest.raises(AttributeError):
        fg.Size([1]).name = 3


FLAT = [[1.0, 2.5], (1.0, -0.0, float("inf"), float("nan")), [1e300, 1e-300], [1, 2, -(1 << 62)], [0], [1.0, 2],
        [1, 2.0], [True, 1], [1, True], [1.0, False], [1.5, 1j], [1 << 63], [1, 1 << 63], [1 << 64], [], [1.0, None],
        [1, "a"], [1.0, [2.0]], [[1.0], 2.0], [np.float64(1), 2.0], range(3), [3, 4.5, 1 << 70]]


@pytest.mark.parametrize("dtype", [None, "float32", "float64", "int64", "bfloat16", "int8", "bool"])
@pytest.mark.parametrize("data", FLAT, ids=str)
def test_flat_lists(torch, data, dtype):
    results = []
    for m in (fg, torch):
        try:
            t = m.tensor(data, dtype=dtype and getattr(m, dtype))
            results.append((str(t.dtype), tuple(t.shape), repr(t.tolist())))
        except Exception as error:
            results.append(type(error))
    assert results[0] == results[1] or isinstance(results[0], type) and isinstance(results[1], type)
