"""Sorting, selection, search, counts: torch's values where elements are equal or NaN, names, errors, threads."""

import math

import numpy as np
import pytest

import fastgrad as fg
from checks import assert_same, outputs, same_as_torch

NAN = math.nan
random = np.random.default_rng(0)
DTYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


def ties(dtype, *shape):
    """Few different values, some NaN and both zeros."""
    x = random.integers(0 if dtype == "uint8" else -9, 9, shape)
    if not dtype.startswith("float"):
        return x.astype(dtype)
    x = np.where(random.random(shape) < 0.05, NAN, x / 4)
    return np.where(random.random(shape) < 0.1, -0.0, x).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_few_of_long_lines_are_taken_as_torch_takes_them(dtype, torch):
    for x in (ties(dtype, 3, 5000), np.sort(ties(dtype, 3, 5000)), np.sort(ties(dtype, 3, 5000))[:, ::-1].copy()):
        for k, largest in ((1, True), (7, True), (50, True), (1, False), (50, False)):
            assert_same(fg.tensor(x).topk(k, 1, largest), torch.tensor(x).topk(k, 1, largest), text=f"{k} {largest}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_place_is_passed_over(dtype):
    """The one that counts lies at each place of a long line in turn."""
    for n in (65, 131, 200):
        x = np.full((n, n), 5, dtype)
        for value, largest in ((9, True), (1, False)):
            np.fill_diagonal(x, value)
            for values, indices in (fg.tensor(x).topk(1, 1, largest), fg.tensor(x).sort(1, largest)):
                assert indices[:, 0].tolist() == list(range(n)) and values[:, 0].tolist() == [value] * n
    n = 140_000
    for place in (0, 1, 70_000, n - 1):
        x = np.full(n, 5, dtype)
        x[place] = 1
        values, indices = fg.tensor(x).sort()
        assert indices[0].item() == place and values[0].item() == 1
        assert (indices[1:].diff() > 0).all().item()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", ((40,), (3, 150), (5, 4, 3), (2, 9000), (300, 20)))
def test_equal_elements_are_taken_as_torch_takes_them(dtype, shape, torch):
    x = ties(dtype, *shape)
    one, two = fg.tensor(x), torch.tensor(x)
    for dim in range(-1, len(shape) - 1):
        n = shape[dim]
        for down in (False, True):
            assert_same(one.sort(dim, down, stable=True), two.sort(stable=True, dim=dim, descending=down))
            for k in {1, min(n, 3), n // 2, n}:
                assert_same(one.topk(k, dim, down), two.topk(k, dim, down), text=f"topk {k} {dim}")
        for k in {1, min(n, 3), n // 2, n}:
            assert_same(one.kthvalue(k, dim), two.kthvalue(k, dim), text=f"kthvalue {k} {dim}")
        assert_same(one.median(dim), two.median(dim))
        assert_same(one.nanmedian(dim), two.nanmedian(dim))
        if not dtype.startswith("float"):
            assert_same(one.mode(dim), two.mode(dim))
    assert_same(one.median(), two.median())
    assert_same(one.nanmedian(), two.nanmedian())


@pytest.mark.parametrize("dtype", ("int32", "float32", "float64"))
def test_long_lines_have_the_same_order_for_any_number_of_threads(dtype):
    x = random.normal(size=300_000)
    x = (x * 1000).astype(dtype) if dtype == "int32" else x.astype(dtype)
    for threads in (1, 2, 3):
        fg.set_num_threads(threads)
        values, indices = fg.tensor(x).sort()
        np.testing.assert_array_equal(indices.numpy(), np.argsort(x, kind="stable"))
        np.testing.assert_array_equal(values.numpy(), np.sort(x))


def test_results_have_names(torch):
    x = [3.0, 1.0, 2.0]
    calls = {
        "sort": lambda m, t: m.sort(t),
        "topk": lambda m, t: m.topk(t, 2),
        "kthvalue": lambda m, t: m.kthvalue(t, 2),
        "median": lambda m, t: m.median(t, 0),
        "nanmedian": lambda m, t: m.nanmedian(t, 0),
        "mode": lambda m, t: m.mode(t),
        "cummax": lambda m, t: m.cummax(t, 0),
        "max": lambda m, t: m.max(t, 0),
        "aminmax": lambda m, t: m.aminmax(t),
        "frexp": lambda m, t: m.frexp(t),
        "histogram": lambda m, t: m.histogram(t, 2),
        "histogramdd": lambda m, t: m.histogramdd(t.reshape(-1, 1), [2]),
    }
    for name, call in calls.items():
        one, two = call(fg, fg.tensor(x)), call(torch, torch.tensor(x))
        assert str(type(one)) == str(type(two))
        assert repr(one) == repr(two)
        assert type(one) is getattr(fg.return_types, name)
        assert_same(one, two)
    assert fg.sort(fg.tensor(x)).indices.tolist() == [1, 2, 0]
    assert fg.topk(fg.tensor(x), 1).values.item() == 3.0


def test_out_takes_pairs():
    x = fg.tensor([3.0, 1.0, 2.0])
    values, indices = fg.empty(0), fg.empty(0, dtype=fg.int64)
    result = fg.sort(x, descending=True, out=(values, indices))
    assert result.values is values and result.indices is indices
    assert values.tolist() == [3.0, 2.0, 1.0] and indices.tolist() == [0, 2, 1]
    assert fg.topk(x, 1, out=(values, indices)).values.tolist() == [3.0]
    assert fg.median(x, 0, out=(values, indices)).indices.tolist() == 2
    assert fg.mode(x, out=(values, indices))[0].tolist() == 1.0
    assert fg.kthvalue(x, 3, out=(values, indices))[0].tolist() == 3.0
    hist, edges = fg.empty(0), fg.empty(0)
    fg.histogram(x, 2, out=(hist, edges))
    assert hist.tolist() == [1.0, 2.0] and edges.tolist() == [1.0, 2.0, 3.0]


def test_gradients_of_medians(torch):
    for values in ([1.0, 2.0, 2.0, 3.0], [1.0, NAN, 2.0], [5.0]):
        for name in ("median", "nanmedian"):
            grads, names = [], []
            for m in (fg, torch):
                x = m.tensor(values, requires_grad=True)
                y = getattr(x, name)()
                names.append(type(y.grad_fn).__name__)
                y.backward()
                grads.append(x.grad)
            assert_same(*grads)
            assert names[0] == names[1]


def test_names_of_nodes(torch):
    calls = {
        "sort": lambda m, x: m.sort(x)[0],
        "msort": lambda m, x: m.msort(x),
        "topk": lambda m, x: m.topk(x, 1)[0],
        "kthvalue": lambda m, x: m.kthvalue(x, 1)[0],
        "median": lambda m, x: m.median(x, 0)[0],
        "nanmedian": lambda m, x: m.nanmedian(x, 0)[0],
        "mode": lambda m, x: m.mode(x, 0)[0],
    }
    for call in calls.values():
        one, two = (type(call(m, m.tensor([[1.0, 2.0]], requires_grad=True)).grad_fn).__name__ for m in (fg, torch))
        assert one == two


UNIQUE = [
    np.array([3, 1, 3, 2, 1]),
    np.array(3.0),
    np.zeros(0),
    np.array([NAN, 1.0, NAN, 1.0]),
    np.zeros((2, 3)),
    np.array([True, False, True]),
    random.integers(0, 3, (4, 5)),
    random.integers(0, 2, (6, 2, 2)).astype("float32"),
]


@pytest.mark.parametrize("x", UNIQUE, ids=lambda x: f"{x.dtype}{x.shape}")
def test_unique(x, torch):
    one, two = fg.tensor(x), torch.tensor(x)
    for inverse in (False, True):
        for counts in (False, True):
            given = {"return_inverse": inverse, "return_counts": counts}
            assert_same(fg.unique(one, **given), torch.unique(two, **given))
            assert_same(one.unique(sorted=False, **given), two.unique(sorted=True, **given))
            assert_same(fg.unique_consecutive(one, **given), torch.unique_consecutive(two, **given))
            for dim in range(-x.ndim, x.ndim) if np.isfinite(x).all() else ():  # torch sorts NaN wrongly there
                assert_same(fg.unique(one, dim=dim, **given), torch.unique(two, dim=dim, **given))
                assert_same(one.unique_consecutive(dim=dim, **given), two.unique_consecutive(dim=dim, **given))


def test_unique_has_no_gradient():
    y = fg.unique(fg.tensor([2.0, 1.0], requires_grad=True))
    assert y.tolist() == [1.0, 2.0]
    with pytest.raises(NotImplementedError, match="_unique2"):
        y.sum().backward()


def test_search_options(torch):
    for m in (fg, torch):
        edges = m.tensor([1.0, 2.0, 3.0])
        assert m.searchsorted(edges, 2.0).item() == 1
        assert m.searchsorted(edges, 2.5, side="right", out_int32=True).dtype is m.int32
        assert m.bucketize(m.tensor([0.5, 2.0]), edges, right=True, out_int32=True).tolist() == [0, 2]
        assert m.bucketize(2.0, edges).item() == 1
        mixed = m.tensor([3.0, 1.0, 2.0])
        assert m.searchsorted(mixed, m.tensor([1.5, 2.5]), sorter=m.argsort(mixed)).tolist() == [1, 2]
        out = m.empty(0, dtype=m.int64)
        m.searchsorted(edges, m.tensor([5.0, 0.0]), out=out)
        assert out.tolist() == [3, 0]
        nan = m.tensor([1.0, NAN])
        assert m.searchsorted(nan, m.tensor([2.0, NAN])).tolist() == [2, 2]


X = [[0.0, 1.0, 2.0], [3.0, 4.0, 10.0]]
CALLS = {
    "topk_large": lambda m, x: m.topk(x, 9),
    "topk_negative": lambda m, x: m.topk(x, -1),
    "kthvalue_0": lambda m, x: m.kthvalue(x, 0),
    "kthvalue_empty": lambda m, x: m.kthvalue(m.zeros(0, 3), 1, 0),
    "kthvalue_empty_lines": lambda m, x: m.kthvalue(m.zeros(0, 3), 1, 1),
    "median_empty_dim": lambda m, x: m.median(m.zeros(0, 3), 0),
    "median_empty": lambda m, x: m.median(m.zeros(0)),
    "mode_empty": lambda m, x: m.mode(m.zeros(0, 3), 0),
    "sort_dim": lambda m, x: m.sort(x, 5),
    "sort_numpy_order": lambda m, x: m.sort(x.t(), 0, True),
    "msort_vector": lambda m, x: m.msort(x[0]),
    "search_shape": lambda m, x: m.searchsorted(m.zeros(2, 3), m.zeros(3, 3)),
    "search_number": lambda m, x: m.searchsorted(m.zeros(2, 3), 1.0),
    "search_side": lambda m, x: m.searchsorted(x[0], 2.5, side="foo"),
    "search_opposites": lambda m, x: m.searchsorted(x[0], 2.5, side="left", right=True),
    "search_sorter_shape": lambda m, x: m.searchsorted(x[0], x[0], sorter=m.tensor([0, 1])),
    "search_sorter_range": lambda m, x: m.searchsorted(x[0], x[0], sorter=m.tensor([0, 1, 5])),
    "search_out_dtype": lambda m, x: m.searchsorted(x[0], x[0], out=m.empty(3)),
    "search_dtypes": lambda m, x: m.searchsorted(x[0], m.tensor([1, 2])),
    "bucketize_2d": lambda m, x: m.bucketize(x, m.zeros(2, 2)),
    "bincount_weights": lambda m, x: m.bincount(m.tensor([1, 1, 3]), m.tensor([0.5, 0.25, 1.0])),
    "bincount_half": lambda m, x: m.bincount(m.tensor([1, 1, 3]), m.ones(3).half(), minlength=6),
    "bincount_ints": lambda m, x: m.tensor([1, 1, 3]).bincount(weights=m.ones(3, dtype=m.int32)),
    "bincount_negative": lambda m, x: m.bincount(m.tensor([-1])),
    "bincount_2d": lambda m, x: m.bincount(m.tensor([[1]])),
    "bincount_length": lambda m, x: m.bincount(m.tensor([1, 2]), m.ones(3)),
    "bincount_minlength": lambda m, x: m.bincount(m.tensor([1]), minlength=-1),
    "bincount_float": lambda m, x: m.bincount(x[0]),
    "histc": lambda m, x: m.histc(x, 5),
    "histc_range": lambda m, x: m.histc(x, bins=4, min=0, max=4),
    "histc_equal": lambda m, x: x[0, :1].histc(3),
    "histc_nan": lambda m, x: m.histc(m.tensor([NAN, 1.0]), 3),
    "histc_nan_outside": lambda m, x: m.histc(m.tensor([NAN, 1.0]), 3, 0, 2),
    "histc_order": lambda m, x: m.histc(x, 3, 5, 1),
    "histc_bins": lambda m, x: m.histc(x, 0),
    "histc_empty": lambda m, x: m.histc(m.zeros(0), 3),
    "histc_int": lambda m, x: m.histc(m.tensor([1, 2]), 3),
    "histc_out": lambda m, x: m.histc(x, 4, out=m.empty(0)),
    "histogram": lambda m, x: m.histogram(x, 4),
    "histogram_density": lambda m, x: m.histogram(x, 4, range=(0.0, 4.0), weight=x, density=True),
    "histogram_edges": lambda m, x: x.histogram(m.tensor([0.0, 2.0, 5.0])),
    "histogram_edges_range": lambda m, x: m.histogram(x, m.tensor([0.0, 2.0]), range=(0.0, 1.0)),
    "histogram_equal": lambda m, x: m.histogram(m.ones(2), 2),
    "histogram_empty": lambda m, x: m.histogram(m.zeros(0), 2),
    "histogramdd": lambda m, x: m.histogramdd(x.t(), [2, 3]).hist,
    "histogramdd_options": lambda m, x: (
        m.histogramdd(x.t(), bins=2, range=(0.0, 4.0, 0.0, 20.0), weight=x[0], density=True).hist
    ),
    "histogramdd_edges": lambda m, x: (
        m.histogramdd(x.t(), bins=[m.tensor([0.0, 0.5, 3.0]), m.tensor([0.0, 20.0])]).hist
    ),
    "histogramdd_length": lambda m, x: m.histogramdd(x.t(), [2]),
    "quantile": lambda m, x: m.quantile(x, 0.4),
    "quantile_vector": lambda m, x: m.quantile(x, m.tensor([0.1, 0.5]), dim=1, keepdim=True),
    "quantile_all_keep": lambda m, x: x.quantile(m.tensor([0.1, 0.5]), keepdim=True),
    "quantile_empty_q": lambda m, x: m.quantile(x, m.zeros(0)),
    "quantile_range": lambda m, x: m.quantile(x, 1.2),
    "quantile_range_tensor": lambda m, x: m.quantile(x, m.tensor([2.0])),
    "quantile_int": lambda m, x: m.quantile(m.tensor([1, 2]), 0.5),
    "quantile_q_dtype": lambda m, x: m.quantile(x, m.tensor([0.5], dtype=m.float64)),
    "quantile_q_dims": lambda m, x: m.quantile(x, m.tensor([[0.5]])),
    "quantile_of_nothing": lambda m, x: m.quantile(m.zeros(0), 0.5),
    "quantile_interpolation": lambda m, x: m.quantile(x, 0.5, interpolation="foo"),
    "quantile_nan": lambda m, x: m.quantile(m.tensor([[1.0, NAN, 3.0], [1.0, 2.0, 3.0]]), 0.5, dim=1),
    "quantile_out": lambda m, x: m.quantile(x, 0.5, out=m.empty(0)),
    "nanquantile": lambda m, x: m.nanquantile(
        m.tensor([[1.0, NAN, 3.0], [NAN, NAN, NAN]]), m.tensor([0.5, 1.0]), dim=1
    ),
    "isin_number": lambda m, x: m.isin(2, m.tensor([1, 2])),
    "isin_by_number": lambda m, x: m.isin(m.tensor([1, 2]), 2),
    "isin_unique": lambda m, x: m.isin(m.tensor([1, 2]), m.tensor([2, 3]), assume_unique=True, invert=True),
    "isin_types": lambda m, x: m.isin(x, m.arange(20)),
    "isin_two_numbers": lambda m, x: m.isin(1, 1),
    "gradient": lambda m, x: m.gradient(x),
    "gradient_spacing": lambda m, x: m.gradient(x, spacing=2.0, dim=1, edge_order=2),
    "gradient_coordinates": lambda m, x: m.gradient(x, spacing=(m.tensor([0.0, 1.0]), m.tensor([0.0, 1.0, 3.0]))),
    "gradient_order": lambda m, x: m.gradient(x, edge_order=3),
    "gradient_small": lambda m, x: m.gradient(m.zeros(1)),
    "gradient_spacings": lambda m, x: m.gradient(x[0], spacing=[2.0, 3.0]),
    "gradient_twice": lambda m, x: m.gradient(x, dim=(0, 0)),
    "gradient_int": lambda m, x: m.gradient(m.tensor([1, 3, 4])),
    "vander": lambda m, x: m.vander(m.tensor([1, 2, 3]), N=2, increasing=True),
    "unravel_index": lambda m, x: m.unravel_index(m.tensor([5, 3]), (2, 3)),
    "unravel_float": lambda m, x: m.unravel_index(m.tensor([5.0]), (2, 3)),
    "nonzero_static": lambda m, x: m.nonzero_static(x > 1, size=6),
    "nonzero_static_fill": lambda m, x: x.nonzero_static(size=2, fill_value=-5),
    "nonzero_tuple": lambda m, x: m.nonzero(x, as_tuple=True),
    "argwhere": lambda m, x: m.argwhere(x > 2),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name, torch):
    same_as_torch(torch, lambda m: CALLS[name](m, m.tensor(X)))


def test_quantile_gradient_equals_torch(torch):
    for q in (0.3, [0.25, 0.8]):
        grads = []
        for m in (fg, torch):
            x = m.tensor(X, requires_grad=True)
            place = m.tensor(q, requires_grad=True) if isinstance(q, list) else q
            m.quantile(x, place, dim=1).sum().backward()
            grads.append([x.grad] + ([place.grad] if isinstance(q, list) else []))
        assert_same(*grads)


def test_named_results_are_tuples():
    values, indices = pair = fg.tensor([2.0, 1.0]).sort()
    assert isinstance(pair, tuple) and len(pair) == 2 and pair[0] is values
    assert [type(t) for t in outputs(pair)] == [fg.Tensor, fg.Tensor]
    assert indices.tolist() == [1, 0]


def _long(name):
    random = np.random.default_rng(3)
    n = 150_000
    return {
        "few_integers": random.integers(-5, 5, n),
        "integers": random.integers(-(1 << 39), 1 << 39, n),
        "all_integers": random.integers(-(1 << 63), (1 << 63) - 1, n),
        "bytes": random.integers(0, 255, n).astype(np.uint8),
        "floats": random.normal(size=n).astype(np.float32),
        "doubles": random.normal(size=n),
        "close_doubles": np.where(random.random(n) < 0.5, -1e300, 1 + random.integers(0, 9, n) * 2.0**-52),
        "special": random.choice([0.0, -0.0, np.nan, np.inf, -np.inf, 1.0], n),
        "equal": np.full(n, 7),
    }[name]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("name", ["few_integers", "integers", "all_integers", "bytes", "floats", "doubles",
                                  "close_doubles", "special", "equal"])
def test_long_lines(name, descending):
    """Stable, bit for bit: -0 stays -0 and beside 0."""
    x = _long(name)
    values, indices = fg.tensor(x).sort(descending=descending, stable=True)
    if descending:
        expected = len(x) - 1 - np.argsort(x[::-1], kind="stable")[::-1]
    else:
        expected = np.argsort(x, kind="stable")
    assert (indices.numpy() == expected).all()
    assert values.numpy().tobytes() == x[expected].tobytes()


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint8"])
def test_unique_of_many_integers(dtype, torch):
    """Those that are counted instead of sorted, from a narrow range, and those of a wide one."""
    for low, high in ((-100, 100), (0, 3), (-(10**9), 10**9)):
        x = np.random.default_rng(1).integers(low, high, (40, 50)).astype(dtype)
        ours, theirs = (m.unique(m.tensor(x), return_inverse=True, return_counts=True) for m in (fg, torch))
        for a, e in zip(ours, theirs):
            assert a.tolist() == e.tolist() and str(a.dtype).split(".")[1] == str(e.dtype).split(".")[1]
        assert fg.unique(fg.tensor(x)).tolist() == theirs[0].tolist()


@pytest.mark.parametrize("name", ["few_integers", "integers", "bytes", "floats", "doubles", "special", "equal"])
def test_median_of_long_lines(name, torch):
    x = _long(name)[:40_001].reshape(1, -1)
    for m, function in ((fg, "median"), (fg, "nanmedian")):
        if function == "nanmedian" and x.dtype.kind != "f":
            continue
        value, index = getattr(m, function)(m.tensor(x), 1)
        expected = getattr(torch, function)(torch.tensor(x), 1).values
        assert np.array_equal(value.numpy(), expected.numpy(), equal_nan=x.dtype.kind == "f")
        assert np.array_equal(x[0, index.numpy()], value.numpy(), equal_nan=x.dtype.kind == "f")
        before = np.flatnonzero(x[0] == value.numpy()) if value == value else np.flatnonzero(x[0] != x[0])
        if not value == value:
            assert index.item() == before[0]
        else:  # of equal elements the earlier is the smaller
            count = np.count_nonzero(x[0] == x[0])
            assert index.item() == before[(count - 1) // 2 - np.count_nonzero(x[0] < value.numpy())]


@pytest.mark.parametrize("dtype", ("uint8", "int8", "int32", "int64", "float32"))
def test_isin_of_many(dtype, torch):
    x = (random.integers(-500, 500, 3000) % (200 if dtype == "uint8" else 10**9)).astype(dtype)
    for tests in (x[:40], x[:40] * 0, np.arange(30).astype(dtype), np.array([100, 101] * 9, dtype)):
        assert_same(fg.isin(fg.tensor(x), fg.tensor(tests)), torch.isin(torch.tensor(x), torch.tensor(tests)))
    if dtype == "int64":
        ends = np.array([-(2**63), 2**63 - 1, 0, 2**40])
        for tests in (np.repeat(ends, 5), np.repeat(ends[:1], 20), np.repeat(ends[1:2], 20), np.arange(20)):
            assert_same(fg.isin(fg.tensor(ends), fg.tensor(tests)),
                        torch.isin(torch.tensor(ends), torch.tensor(tests)))
