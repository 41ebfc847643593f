"""Kernels that take many short rows together: functions of rows, reductions, sorting, broadcasts, transposed copies.
Lengths lie around a vector of each instruction set and its multiples; against NumPy, and for any number of threads."""

import numpy as np
import pytest

import fastgrad as fg
import fastgrad.nn.functional as F

LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 15, 16, 17, 20, 31, 32, 33, 47, 48, 49, 64, 65)
EPS = {"float32": 1e-6, "float64": 1e-14, "float16": 2e-3, "bfloat16": 2e-2}
random = np.random.default_rng(0)


def rows(n, dtype, count=37):
    x = fg.tensor(random.standard_normal((count, n)) * 3, dtype=getattr(fg, dtype))
    return x, x.double().numpy()


def near(found, expected, dtype):
    np.testing.assert_allclose(found.detach().double().numpy(), expected, EPS[dtype], EPS[dtype], equal_nan=True)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.isa
@pytest.mark.parametrize("dtype", EPS)
def test_softmax(dtype):
    for n in LENGTHS:
        x, exact = rows(n, dtype)
        y = softmax(exact)
        near(x.softmax(1), y, dtype)
        near(x.log_softmax(1), np.log(y), dtype)
        g, exact_g = rows(n, dtype)
        expected = y * (exact_g - (exact_g * y).sum(1, keepdims=True))
        near(fg.autograd.grad(x.requires_grad_().softmax(1), x, g)[0], expected, dtype)
        expected = exact_g - y * exact_g.sum(1, keepdims=True)
        near(fg.autograd.grad(x.log_softmax(1), x, g)[0] / n, expected / n, dtype)


@pytest.mark.isa
def test_softmax_of_what_is_not_finite():
    for n in LENGTHS[1:]:
        x = random.standard_normal((64, n)).astype(np.float32)
        places = random.integers(0, n, 64)
        for row, value in enumerate((np.nan, np.inf, -np.inf, -200) * 16):
            x[row, places[row]] = value
        x[5] = -np.inf
        with np.errstate(invalid="ignore"):
            y = softmax(x.astype(np.float64))
        near(fg.tensor(x).softmax(1), y, "float32")
        near(fg.tensor(x).log_softmax(1).exp(), y, "float32")


@pytest.mark.isa
@pytest.mark.parametrize("dtype", EPS)
def test_layer_norm(dtype):
    for n in LENGTHS[1:]:
        x, exact = rows(n, dtype)
        weight, w = rows(n, dtype, 1)
        bias, b = rows(n, dtype, 1)
        normal = (exact - exact.mean(1, keepdims=True)) / np.sqrt(exact.var(1, keepdims=True) + 1e-2)
        near(F.layer_norm(x, (n,), eps=1e-2) / 8, normal / 8, dtype)
        near(F.layer_norm(x, (n,), weight[0], bias[0], eps=1e-2) / 16, (normal * w + b) / 16, dtype)
        near(F.rms_norm(x, (n,), weight[0], eps=1e-2) / 16,
             exact / np.sqrt((exact**2).mean(1, keepdims=True) + 1e-2) * w / 16, dtype)


def test_rows_are_not_written_beyond():
    for n in LENGTHS:
        x = fg.tensor(random.standard_normal((50, n)), dtype=fg.float32)
        for function in (lambda a: a.softmax(1), lambda a: a.log_softmax(1), lambda a: F.layer_norm(a, (n,))):
            block = fg.full((60, n), 7.0)
            whole = function(x)
            for part in (1, 17, 50):
                near(function(x[:part]), whole[:part].numpy(), "float32")
            fg.softmax(x, 1, out=block[:50])
            assert (block[50:] == 7).all().item()


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ("float32", "float64", "bfloat16", "float16", "int32", "uint8", "int64", "bool"))
def test_reductions(dtype):
    for n in LENGTHS:
        for count in (1, 9, 300):
            x = fg.tensor(random.integers(0, 2 if dtype == "bool" else 9, (count, n)), dtype=getattr(fg, dtype))
            exact = x.double().numpy()
            np.testing.assert_array_equal(x.sum(1, dtype=fg.float32).numpy(), exact.sum(1))
            if dtype != "bool":
                np.testing.assert_array_equal(x.argmax(1).numpy(), exact.argmax(1))
            if dtype in EPS:
                near(x.mean(1), exact.mean(1), dtype)
                near(fg.linalg.vector_norm(x, 2, 1), np.sqrt((exact**2).sum(1)), dtype)
                near(x.var(1, correction=0), exact.var(1), dtype)


@pytest.mark.isa
def test_scans():
    for n in LENGTHS:
        x, exact = rows(n, "float32", 131)
        near(x.cumsum(1) / 8, exact.cumsum(1) / 8, "float32")
        near(x.cumprod(1), exact.cumprod(1), "float32")
        near(x.double().flip(1).cumprod(1), exact[:, ::-1].cumprod(1), "float64")
        near(fg.autograd.grad(x.requires_grad_().cumsum(1), x, x.detach())[0] / 8,
             exact[:, ::-1].cumsum(1)[:, ::-1] / 8, "float32")


@pytest.mark.isa
@pytest.mark.parametrize("count", (1, 3, 4, 9))
def test_products_of_longer_rows(count):
    for n in (100, 511, 512, 513, 2000):
        x = random.choice((-1.0, 1.0, 0.999, 1.001), (count, n))
        near(fg.tensor(x).cumprod(1), x.cumprod(1), "float64")
        near(fg.tensor(x).float().cumprod(1), x.astype(np.float32).astype(np.float64).cumprod(1), "float32")
        i = random.integers(-3, 4, (count, n)) * 2 + 1
        np.testing.assert_array_equal(fg.tensor(i).cumprod(1).numpy(), i.cumprod(1))


@pytest.mark.isa
@pytest.mark.parametrize("shape", ((5, 512), (21, 700), (13, 1024), (300, 1025), (2, 9, 64), (3, 5, 2000)))
def test_softmax_of_columns(shape):
    x = random.standard_normal(shape).astype(np.float32)
    for place, value in ((3, np.nan), (17, np.inf), (21, -np.inf)):
        x[..., 1, place] = value
    x[..., :, 30] = -np.inf
    lines = np.moveaxis(x.astype(np.float64), -2, -1).reshape(-1, shape[-2])
    with np.errstate(invalid="ignore"):
        y = np.moveaxis(softmax(lines).reshape(*shape[:-2], shape[-1], shape[-2]), -1, -2)
    t = fg.tensor(x, requires_grad=True)
    near(t.softmax(-2), y, "float32")
    near(t.log_softmax(-2).exp(), y, "float32")
    g = random.standard_normal(shape)
    expected = y * (g - (g * y).sum(-2, keepdims=True))
    near(fg.autograd.grad(t.softmax(-2), t, fg.tensor(g).float())[0], expected, "float32")


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ("float32", "int32"))
def test_sort(dtype):
    for n in LENGTHS[:15]:
        x = random.integers(-6, 6, (131, n)).astype(dtype)
        if dtype == "float32":
            x = np.where(random.random(x.shape) < 0.1, np.nan, np.where(random.random(x.shape) < 0.1, -0.0, x))
            x = np.where(random.random(x.shape) < 0.05, -np.inf, x).astype(dtype)
        for down in (False, True):
            key = np.where(np.isnan(x), np.inf, x.astype(np.float64))
            order = np.argsort(-key if down else key, 1, kind="stable")
            values, indices = fg.tensor(x).sort(1, down, stable=True)
            np.testing.assert_array_equal(indices.numpy(), order)
            found, expected = values.numpy(), np.take_along_axis(x, order, 1)
            np.testing.assert_array_equal(found, expected)
            if dtype == "float32":
                np.testing.assert_array_equal(np.signbit(found[expected == 0]), np.signbit(expected[expected == 0]))


def killer(n):
    """An order in which every median of three is nearly the smallest: partitions go badly."""
    x, half = np.zeros(n), n // 2
    for i in range(1, half + 1):
        if i % 2:
            x[i - 1], x[i] = i, half + i
        x[half + i - 1] = 2 * i
    return x


@pytest.mark.isa
@pytest.mark.parametrize("n", (90, 130, 257, 1000, 5000))
def test_selection_when_partitions_go_badly(n, torch):
    order = np.argsort(random.random(n))
    for x in (killer(n), killer(n)[::-1], killer(n) // 3, np.arange(n) % 7, np.minimum(np.arange(n), n - np.arange(n)),
              np.arange(n), order, order // 9, np.zeros(n)):
        x = np.stack([x, x[::-1]]).astype(np.float32)
        one, two = fg.tensor(x), torch.tensor(x.copy())
        for k in (n // 3, n // 2 + 1, n):
            for found, expected in ((one.topk(k), two.topk(k)), (one.kthvalue(k), two.kthvalue(k)),
                                    (one.long().topk(k, largest=False), two.long().topk(k, largest=False)),
                                    (one.long().mode(), two.long().mode()), (one.median(1), two.median(1))):
                np.testing.assert_array_equal(found[0].numpy(), expected[0].numpy())
                np.testing.assert_array_equal(found[1].numpy(), expected[1].numpy())


def test_integers_far_apart(torch):
    ends = [-(2**63), 2**63 - 1, 0, 1, 2**32, -(2**32), 2**31]
    x = np.array([ends * 30, [i % 9 + 2**62 for i in range(210)], [-(2**63) + i % 5 for i in range(210)]])
    one, two = fg.tensor(x), torch.tensor(x)
    for k in (1, 100, 210):
        for found, expected in ((one.topk(k), two.topk(k)), (one.kthvalue(k), two.kthvalue(k)),
                                (one.mode(), two.mode()), (one.median(1), two.median(1))):
            np.testing.assert_array_equal(found[0].numpy(), expected[0].numpy())
            np.testing.assert_array_equal(found[1].numpy(), expected[1].numpy())


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ("uint8", "int16", "bfloat16", "float32", "int64", "complex128"))
def test_transposed_copies(dtype):
    for shape in ((1, 40), (33, 31), (64, 16), (16, 64), (70, 130), (513, 257)):
        expected = random.integers(0, 200, shape)
        x = fg.tensor(expected).to(getattr(fg, dtype))
        assert x.t().contiguous().is_contiguous()
        np.testing.assert_array_equal(x.t().contiguous().real.long().numpy(), expected.T)
        np.testing.assert_array_equal(x[:, 1:].t().contiguous().real.long().numpy(), expected[:, 1:].T)


@pytest.mark.isa
@pytest.mark.parametrize("n", (63, 64, 65, 200, 256, 1000, 1024, 1025))
def test_broadcast_rows(n):
    count = 70_000 // n
    x = random.standard_normal((count, n)).astype(np.float32)
    row, column, cube = (random.standard_normal(shape).astype(np.float32) for shape in ((1, n), (count, 1), (3, 1, n)))
    for a, b in ((x, row), (row, x), (x, column), (column, row), (x, x[:1, :1]), (cube, x), (x[:, :-1], row[:, 1:])):
        one, two = fg.tensor(a), fg.tensor(b)
        np.testing.assert_array_equal((one - two).numpy(), a - b)
        np.testing.assert_array_equal((one > two).numpy(), a > b)
        np.testing.assert_array_equal(fg.where(one > 0, one, two).numpy(), np.where(a > 0, a, b))
    t = fg.tensor(x)
    t[:, ::2] -= fg.tensor(column)
    t *= fg.tensor(row)
    y = x.copy()
    y[:, ::2] -= column
    np.testing.assert_array_equal(t.numpy(), y * row)


def test_threads():
    x = fg.tensor(random.standard_normal((5000, 16)), dtype=fg.float32)
    calls = (lambda: x.softmax(1), lambda: x.log_softmax(1), lambda: F.layer_norm(x, (16,)), lambda: x.sort(1)[1],
             lambda: x.mean(1), lambda: x.view(1000, 80).sort(1)[0], lambda: x.view(500, 160) + x[0, 0:1])
    results = []
    threads = fg.get_num_threads()
    for count in (1, 2, 3):
        fg.set_num_threads(count)
        results.append([call().numpy() for call in calls])
    fg.set_num_threads(threads)
    for other in results[1:]:
        for one, two in zip(results[0], other):
            np.testing.assert_array_equal(one, two)


@pytest.mark.isa
@pytest.mark.parametrize("n", (64, 65, 100, 1024, 1027, 4096))
def test_a_few_of_a_line(n, torch):
    for x in (random.standard_normal((9, n)), random.integers(-50, 50, (9, n)), np.tile(np.arange(n), (9, 1)),
              np.where(random.random((9, n)) < 0.01, np.nan, random.standard_normal((9, n))), np.zeros((9, n))):
        one, two = fg.tensor(x.astype(np.float32)), torch.tensor(x.astype(np.float32))
        for k in {1, n // 64, min(n // 64, 32)}:
            for largest in (True, False):
                found, expected = one.topk(k, 1, largest), two.topk(k, 1, largest)
                np.testing.assert_array_equal(found[1].numpy(), expected[1].numpy())
                np.testing.assert_array_equal(found[0].numpy(), expected[0].numpy())


def test_targets(torch):
    for n in (1, 5, 4096, 4097, 9000):
        target = random.integers(0, 10, n)
        x = random.standard_normal((n, 10)).astype(np.float32)
        target[::7] = -100
        for reduction in ("mean", "sum", "none"):
            found = F.nll_loss(fg.tensor(x), fg.tensor(target), reduction=reduction)
            expected = torch.nn.functional.nll_loss(torch.tensor(x), torch.tensor(target), reduction=reduction)
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5)
        for wrong in (10, -1, -(2**63), 2**63 - 1):
            bad = target.copy()
            bad[n - 1] = wrong
            with pytest.raises(IndexError):
                F.nll_loss(fg.tensor(x), fg.tensor(bad))


def test_large_outputs_are_whole():
    """Outputs of more than 20 MB are written past the caches, in pieces."""
    x = random.standard_normal((30, 64, 56, 56)).astype(np.float32)
    t = fg.tensor(x)
    expected = x.reshape(30, 16, 2, 2, 56, 56).transpose(0, 1, 4, 2, 5, 3).reshape(30, 16, 112, 112)
    np.testing.assert_array_equal(F.pixel_shuffle(t, 2).numpy(), expected)
    for mode, theirs in (("constant", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")):
        np.testing.assert_array_equal(F.pad(t, (1, 2, 3, 0), mode=mode).numpy(),
                                      np.pad(x, ((0, 0), (0, 0), (3, 0), (1, 2)), theirs))
    np.testing.assert_array_equal(F.interpolate(t[:8], scale_factor=2).numpy(), x[:8].repeat(2, 2).repeat(2, 3))


@pytest.mark.isa
def test_conversions_of_contiguous_tensors():
    for n in (255, 256, 257, 70_001):
        x = random.standard_normal(n).astype(np.float16)
        np.testing.assert_array_equal(fg.tensor(x).float().numpy(), x.astype(np.float32))
        i = random.integers(-100, 100, n).astype(np.int8)
        for dtype in (np.int16, np.int32, np.int64, np.float32, np.float64):
            np.testing.assert_array_equal(fg.tensor(i).to(getattr(fg, np.dtype(dtype).name)).numpy(), i.astype(dtype))


@pytest.mark.isa
@pytest.mark.parametrize("n", (1, 3, 16, 63, 64, 65, 100, 512, 2047, 3000))
def test_rows_by_index(n):
    x, index = random.standard_normal((300, n)).astype(np.float32), random.integers(-300, 300, 700)
    np.testing.assert_array_equal(fg.tensor(x)[fg.tensor(index)].numpy(), x[index])
    positive = index % 300
    np.testing.assert_array_equal(fg.tensor(x).index_select(0, fg.tensor(positive)).numpy(), x[positive])
    np.testing.assert_array_equal(fg.tensor(x)[:, 1:].index_select(0, fg.tensor(positive)).numpy(), x[positive, 1:])


@pytest.mark.parametrize("name", ("normal", "few", "outlier", "wide", "steps", "clusters", "nan"))
def test_sort_of_one_long_line(name, torch):
    n = 150_000
    x = {"normal": random.standard_normal(n), "few": random.integers(0, 50, n) * 1.0,
         "outlier": np.where(np.arange(n) == 7, 1e30, random.standard_normal(n) * 1e-30),
         "wide": random.integers(-(2**62), 2**62, n) * 2.0, "steps": random.integers(0, 50, n) * 2.0**50,
         "clusters": random.integers(0, 3, n) * 2.0**60 + random.integers(0, 1000, n) * 2.0**10,
         "nan": np.where(random.random(n) < 0.01, np.nan, random.standard_normal(n))}[name]
    for dtype in ("float32", "float64", "int64", "int32", "float16"):
        if dtype.startswith("int"):
            with np.errstate(invalid="ignore"):
                y = np.nan_to_num(x * (1000 if np.abs(np.nan_to_num(x)).max() < 100 else 1)).astype(dtype)
        else:
            with np.errstate(over="ignore"):
                y = x.astype(dtype)
        for down in (False, True):
            found, expected = fg.tensor(y).sort(0, down), torch.tensor(y).sort(stable=True, dim=0, descending=down)
            np.testing.assert_array_equal(found[1].numpy(), expected[1].numpy())
            np.testing.assert_array_equal(found[0].numpy(), expected[0].numpy())
