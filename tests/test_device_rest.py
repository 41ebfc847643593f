"""Kernels of grids, bags of rows, distances, recurrent layers and lines on every device, in sizes of several blocks."""
import numpy as np
import pytest

import fastgrad as fg
from fastgrad.nn import functional as F
from test_device_kernels import check, given

both = pytest.mark.parametrize("dtype", ["float32", "float64"])
pytestmark = pytest.mark.emulate


@both
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode, padding, aligned, dtype, device):
    """Places inside and outside; many points at one pixel; the same gradients, bit for bit, in a second run."""
    x, grid = given(3, 2, 9, 7, dtype=dtype), given(3, 20, 16, 2, dtype=dtype, seed=1) * 0.8
    grid[1] = grid[1] * 0.01  # all of these meet in a few pixels

    def sample(x, grid):
        return F.grid_sample(x, grid, mode, padding, aligned)

    if mode == "nearest":  # float32 may fall on the other side of the middle
        dtype = "float64"
    check(sample, [x.double(), grid.double()], device, dtype)
    if mode != "bicubic":
        volume, places = given(2, 3, 4, 5, 6, dtype=dtype), given(2, 3, 4, 30, 3, dtype=dtype, seed=1)
        check(sample, [volume, places], device, dtype)
    runs = []
    for _ in range(2):
        leaf = x.to(device).requires_grad_()
        sample(leaf, grid.to(device)).square().sum().backward()
        runs.append(leaf.grad)
    assert runs[0].equal(runs[1])


def test_grid_sample_of_nothing_and_of_no_numbers(device):
    x = given(2, 3, 5, 5, dtype="float32").to(device).requires_grad_()
    assert F.grid_sample(x, fg.zeros(2, 0, 4, 2, device=device), align_corners=False).shape == (2, 3, 0, 4)
    nowhere = fg.full((2, 4, 4, 2), np.nan, device=device).requires_grad_()
    out = F.grid_sample(x, nowhere, padding_mode="border", align_corners=False)
    assert out.equal(x[:, :, :1, :1].expand(2, 3, 4, 4))
    gx, _ = fg.autograd.grad(out.sum(), (x, nowhere))
    assert gx[:, :, 0, 0].tolist() == [[16] * 3] * 2 and gx.sum().item() == 96


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "uint8", "int64", "bool"])
@pytest.mark.parametrize("shape, dim", [((5000,), None), ((40, 700), 1), ((700, 40), 0), ((3, 50, 70), 1)])
def test_smallest_and_largest(shape, dim, dtype, device):
    t = (given(*shape, dtype="float64") * 50).to(getattr(fg, dtype))
    low, high = fg.aminmax(t.to(device), dim=dim)
    expected = fg.aminmax(t, dim=dim)
    assert low.dtype == t.dtype and low.cpu().equal(expected[0]) and high.cpu().equal(expected[1])
    if t.is_floating_point():
        t.flatten()[1234] = np.nan
        for got, value in zip(fg.aminmax(t.to(device), dim=dim), fg.aminmax(t, dim=dim)):
            np.testing.assert_array_equal(got.cpu().numpy(), value.numpy())


@both
def test_sums_without_nan(dtype, device):
    for shape, dim in (((5000,), None), ((40, 700), 1), ((700, 40), 0), ((4, 0), 1)):
        t = given(*shape, dtype=dtype)
        t[t > 1] = np.nan
        expected = np.nansum(t.numpy().astype("float64"), dim)
        got = fg.nansum(t.to(device), dim) if dim is not None else fg.nansum(t.to(device))
        np.testing.assert_allclose(got.cpu().numpy(), expected, rtol=1e-4 if dtype == "float32" else 1e-11, atol=1e-4)


@both
@pytest.mark.parametrize("shape", [(700, 9), (3, 2100), (5, 4, 60)])
def test_rms_norm(shape, dtype, device):
    tensors = [given(*shape, dtype=dtype) + 2, given(shape[-1], dtype=dtype, seed=1)]
    check(lambda x, w: F.rms_norm(x, shape[-1:], w), tensors, device, dtype)
    check(lambda x: F.rms_norm(x, shape[1:], eps=1e-3), tensors[:1], device, dtype)
    assert F.rms_norm(tensors[0].to(device).requires_grad_(), shape[-1:]).grad_fn.name() == "FusedRmsNormBackward0"


@both
@pytest.mark.parametrize("shape, dim", [((3000,), 0), ((7, 900), 1), ((900, 7), 0), ((2, 300, 5), 1)])
def test_logcumsumexp(shape, dim, dtype, device):
    x = given(*shape, dtype=dtype) * 5
    check(lambda x: fg.logcumsumexp(x, dim), [x], device, dtype)
    x.flatten()[::7], x.flatten()[-3] = -np.inf, np.inf
    got, expected = (fg.logcumsumexp(t, dim) for t in (x.to(device), x))
    np.testing.assert_allclose(got.cpu().numpy(), expected.numpy(), rtol=1e-5 if dtype == "float32" else 1e-12)


@both
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_bags_of_rows(mode, dtype, device):
    rng = np.random.default_rng(2)
    table, indices = given(60, 33, dtype=dtype), fg.tensor(rng.integers(0, 60, 500))
    offsets = fg.tensor(np.concatenate([[0, 0], np.sort(rng.integers(0, 500, 38))]))
    got, expected = (F.embedding_bag(indices.to(d), table.to(d), offsets.to(d), mode=mode) for d in (device, "cpu"))
    np.testing.assert_allclose(got.cpu().numpy(), expected.numpy(), rtol=1e-5, atol=1e-5)
    for wrong in (60, -1):
        indices[123] = wrong
        with pytest.raises(IndexError, match="out of range"):
            F.embedding_bag(indices.to(device), table.to(device), offsets.to(device), mode=mode)


@both
@pytest.mark.parametrize("order", [0, 1, 2, 2.5, float("inf")])
def test_distances(order, dtype, device):
    a, b = given(2, 40, 19, dtype=dtype), given(2, 33, 19, dtype=dtype, seed=1)
    a[0, 3] = b[0, 2]
    for call in (lambda a, b: fg.cdist(a, b, order, compute_mode="donot_use_mm_for_euclid_dist"),
                 lambda a, b: F.pdist(a[0], order)):
        got, expected = (call(a.to(d), b.to(d)) for d in (device, "cpu"))
        np.testing.assert_allclose(got.cpu().numpy(), expected.numpy(), rtol=1e-4 if dtype == "float32" else 1e-11,
                                   atol=1e-6)


@both
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "RELU"])
def test_recurrent_layers(kind, dtype, device):
    made = fg.nn.RNN(5, 70, nonlinearity="relu") if kind == "RELU" else getattr(fg.nn, kind)(5, 70, bidirectional=True)
    values = [given(*p.shape, dtype="float64", seed=i) * 0.1 for i, p in enumerate(made.parameters())]
    x = given(6, 9, 5, dtype="float64", seed=99)

    def run(x, *values):
        with fg.no_grad():
            layer = made.to(x.device, x.dtype)
        return fg.func.functional_call(layer, dict(zip((n for n, _ in layer.named_parameters()), values)), (x,))[0]

    check(run, [x, *values], device, dtype)


def test_several_indices_at_once(device):
    """One kernel makes the offsets; the first dimension with a wrong index is named with its value."""
    x = given(6, 40, 50, dtype="float64")
    rng = np.random.default_rng(4)
    indices = [fg.tensor(rng.integers(-n, n, (17, 90))) for n in x.shape]
    got = x.to(device)[tuple(i.to(device) for i in indices)]
    assert got.cpu().equal(x[tuple(indices)])
    indices[1][3, 4], indices[2][0, 0], indices[1][3, 5] = 40, -51, -41
    with pytest.raises(IndexError, match="index 40 is out of bounds for dimension 1 with size 40"):
        x.to(device)[tuple(i.to(device) for i in indices)]


def test_the_most_frequent_of_long_lines(device):
    rng = np.random.default_rng(8)
    for shape in ((3, 5000), (2000, 3), (1, 1)):
        t = fg.tensor(rng.integers(0, 40, shape).astype("float32"))
        t[0, 0] = np.nan
        x = t.to(device)
        found, places = x.mode(1)
        np.testing.assert_array_equal(found.cpu().numpy(), t.mode(1).values.numpy())
        np.testing.assert_array_equal(x.gather(1, places[:, None])[:, 0].cpu().numpy(), found.cpu().numpy())


@both
def test_gradients_of_windows_that_overlap(dtype, device):
    x = given(2, 3, 7, 30, 31, dtype=dtype)
    check(lambda x: F.max_pool3d(x, (2, 3, 5), (1, 2, 1), (1, 1, 2), (2, 1, 1)), [x], device, dtype)
    check(lambda x: F.max_pool2d(x[:, :, 0], 2, 3), [x], device, dtype)  # places between windows get nothing
    check(lambda x: F.max_pool1d(x[:, :, 0, 0], 7, 2, 3, ceil_mode=True), [x], device, dtype)
