"""Functions that are compositions: the same values, shapes, dtypes, gradients and errors as torch's."""
import math

import numpy as np
import pytest

import fastgrad as fg

NAN, INF = math.nan, math.inf
random = np.random.default_rng(0)


def r(*shape):
    return random.standard_normal(shape)


def i(*values):
    return np.array(values)


X, V = r(4, 6), r(5)
ODD = np.array([[1., NAN, -INF, 2.5], [INF, -0.5, 0., -0.]])

# name, arguments (arrays become tensors), keywords; a name starting with a point is a method
CASES = [
    *[("tensor_split", (X, n), {"dim": d}) for n in (3, 4, [1, 3], [1, 5, 2], 7) for d in (0, 1)],
    ("tensor_split", (X, 0), {}), ("tensor_split", (r(), 2), {}), ("tensor_split", (X, i(1, 2)), {}),
    *[(name, (x, n), {}) for n in (2, [1, 2], 3, 5) for name, x in (
        ("hsplit", X), ("vsplit", X), ("dsplit", r(2, 3, 6)), ("hsplit", r(6)), ("vsplit", r(3)), ("dsplit", X))],
    *[(f"atleast_{n}d", (x,), {}) for n in (1, 2, 3) for x in (r(), r(3), r(2, 3), r(2, 3, 4))],
    ("atleast_2d", (r(), r(3)), {}), ("atleast_2d", ([r(), r(3)],), {}),
    *[(name, (parts,), {}) for name in ("hstack", "vstack", "dstack", "column_stack", "row_stack") for parts in (
        [r(), r()], [r(3), r(3)], [r(2, 3), r(2, 3)], [r(2, 3, 4), r(2, 3, 4)], [], [r(2, 3), r(2, 2)])],
    *[("diag", (x, o), {}) for o in (-1, 0, 2) for x in (V, X)], ("diag", (r(2, 2, 2),), {}),
    *[("diagflat", (X, o), {}) for o in (-1, 0, 2)],
    *[("diag_embed", (r(2, 3), o, a, b), {}) for o in (-1, 0, 2) for a, b in ((-2, -1), (0, 1), (0, -1))],
    ("diag_embed", (X, 0, 1, 1), {}), ("trace", (X,), {}), ("trace", (V,), {}),
    *[("rot90", (r(2, 3, 4), k, d), {}) for k in range(-4, 5) for d in ((1, 2), (2, 0))],
    ("rot90", (V,), {}), ("rot90", (X, 1, (0, 0)), {}), ("fliplr", (X,), {}), ("flipud", (X,), {}),
    ("fliplr", (V,), {}), ("flipud", (r(),), {}),
    *[("repeat_interleave", (X, *a), {}) for a in (
        (2,), (0,), (i(1, 2, 0, 1), 0), (i(1, 2, 0, 1, 1, 1), 1), (3, 1), (i(2), 0), (i(1, 2), 0), (-1,))],
    ("repeat_interleave", (i(1, 2, 0, 3),), {}), ("repeat_interleave", (i(1, 2, 0, 3),), {"output_size": 6}),
    ("repeat_interleave", (i(1, 2, 0, 3),), {"output_size": 5}), ("repeat_interleave", (i(),), {}),
    ("repeat_interleave", (i(1, -2),), {}), ("repeat_interleave", (i(1, 2).astype(np.int32),), {}),
    ("repeat_interleave", (i(1, 2).astype(np.uint8),), {}), ("repeat_interleave", (i(1, 2).reshape(1, 2),), {}),
    ("repeat_interleave", (X, 2), {"output_size": 47}), ("repeat_interleave", (X, 2, 0), {"output_size": 8}),
    ("meshgrid", (r(2), r(3)), {"indexing": "ij"}), ("meshgrid", (r(2), r(3), r(4)), {"indexing": "xy"}),
    ("meshgrid", ([r(2), r()],), {"indexing": "ij"}), ("meshgrid", (r(2),), {"indexing": "xy"}),
    ("meshgrid", (r(2),), {"indexing": "q"}), ("meshgrid", (X, V), {"indexing": "ij"}),
    ("broadcast_tensors", (r(2, 1), r(3)), {}), ("broadcast_tensors", (r(2), r(3)), {}),
    ("broadcast_tensors", (r(2, 3), r(4, 1, 3), r(1, 1)), {}), ("broadcast_shapes", ((2, 1), (3,), ()), {}),
    ("broadcast_shapes", ((2,), (3,)), {}), ("cartesian_prod", (r(2), r(3)), {}), ("cartesian_prod", (r(2),), {}),
    ("combinations", (V,), {}), ("combinations", (V, 3), {}), ("combinations", (V, 2, True), {}),
    ("combinations", (r(1), 2), {}), ("combinations", (V, 0), {}),
    *[(name, a, {}) for name in ("tril_indices", "triu_indices") for a in (
        (3, 4), (3, 4, 1), (4, 3, -1), (3, 3, 5), (0, 2), (3, 0), (3, 3, -5), (2, 4, -1), (-1, 2))],
    ("block_diag", (r(2, 3), V, r()), {}), ("select_scatter", (X, r(6), 0, 1), {}),
    ("slice_scatter", (X, r(4, 3), 1, 0, 6, 2), {}), ("diagonal_scatter", (X, r(4)), {}),
    ("narrow_copy", (X, 1, 1, 2), {}),
    # products
    ("tensordot", (r(2, 3, 4), r(3, 4, 5), 2), {}), ("tensordot", (r(2, 3, 4), r(4, 3, 5), ([1, 2], [1, 0])), {}),
    ("tensordot", (r(2, 3), r(3, 2), 0), {}), ("tensordot", (r(2, 3), r(2, 3), 2), {}),
    ("tensordot", (r(2, 3), r(4, 3), 1), {}), ("tensordot", (r(2, 1), r(4, 3), 1), {}),
    ("tensordot", (r(2, 3), r(3), 3), {}), ("tensordot", (r(), r(), 0), {}),
    ("inner", (V, V), {}), ("inner", (r(2, 3), r(4, 3)), {}), ("inner", (r(), V), {}), ("inner", (r(2, 3), r(4)), {}),
    ("vdot", (V, V), {}), ("ger", (V, r(2)), {}), ("kron", (r(2, 3), r(4, 2)), {}), ("kron", (r(2), r(2, 3, 2)), {}),
    ("kron", (r(), r(2)), {}), *[("cross", (r(4, 3), r(n, 3), 1), {}) for n in (4, 1)],
    ("cross", (r(4, 2), r(4, 2), 1), {}), ("addbmm", (r(2, 4), r(3, 2, 5), r(3, 5, 4)), {"beta": .5, "alpha": 2.}),
    *[("matrix_power", (x, n), {}) for n in range(5) for x in (r(3, 3), r(2, 3, 3))],
    ("matrix_power", (r(2, 3), 2), {}),
    *[("vander", (V, *a), {}) for a in ((), (2,), (7, True), (0,))],
    *[("cdist", (a, r(5, 4), p), {}) for p in (0., 1., 2., 3., INF) for a in (r(3, 4), r(2, 3, 4))],
    ("cdist", (V, X), {}), ("cdist", (r(3, 2), r(3, 3)), {}),
    # elementwise
    *[(name, (x,), {}) for x in (ODD, X, i(1, -2, 0)) for name in (
        "frac", "sgn", "signbit", "deg2rad", "rad2deg", "nan_to_num", "isposinf", "isneginf", "isreal", "logit", "sinc",
        "positive", "absolute", "arctan", "fix", "negative") if (name, x.dtype.kind) != ("frac", "i")],
    ("logit", (np.abs(V) / 5, 1e-3), {}), ("nan_to_num", (ODD, 1., 2., 3.), {}), ("float_power", (np.abs(X), 2), {}),
    ("float_power", (2, X), {}), ("ldexp", (X, i(1, 2, 3, 4, 5, 6)), {}), ("logaddexp2", (X, X * 2), {}),
    ("heaviside", (ODD, np.array(.5)), {}), ("heaviside", (ODD, i(1)), {}),
    *[(name, (X, X[::-1].copy()), {}) for name in (
        "multiply", "subtract", "divide", "true_divide", "greater", "less_equal", "not_equal", "arctan2")],
    # comparison
    ("isclose", (X, X + 1e-9), {}), ("isclose", (ODD, ODD), {}), ("isclose", (ODD, ODD), {"equal_nan": True}),
    ("isclose", (i(1, 2), i(1, 3)), {}), ("isclose", (i(1), r(1)), {}), ("isclose", (X, X), {"rtol": -1.}),
    ("allclose", (X, X * 1.1), {}), ("allclose", (X, X), {}), ("equal", (X, X), {}), ("equal", (X, X[:2]), {}),
    ("equal", (ODD, ODD), {}), ("isin", (i(1, 2, 3), i(2, 4)), {}), ("isin", (i(1, 2), 2), {}),
    ("isin", (1, i(1, 2)), {}),
    ("isin", (i(1, 2), i(2)), {"invert": True}), ("is_nonzero", (r(1),), {}), ("is_nonzero", (r(0),), {}),
    ("is_nonzero", (X,), {}),
    # reductions
    *[(name, (X, *a), {}) for name in ("var_mean", "std_mean") for a in (
        (), (1,), (0, True), (None,), (0, False, True), (False,))], ("var_mean", (X, (0, 1)), {"correction": 0}),
    ("var_mean", (X, 1), {"correction": 2, "keepdim": True}), ("aminmax", (X,), {}),
    ("aminmax", (X,), {"dim": 1, "keepdim": True}), ("aminmax", (r(0),), {}),
    *[(name, (ODD, *a), {}) for name in ("nansum", "nanmean") for a in ((), (1,), (0, True))],
    ("dist", (X, X * 2), {}), ("dist", (X, X * 2, 3), {}), ("logcumsumexp", (X, 0), {}), ("logcumsumexp", (X, 1), {}),
    ("logcumsumexp", (r(), 0), {}), ("renorm", (X, 2, 0, 1.), {}), ("renorm", (X, 1, 1, .5), {}),
    ("cov", (X,), {}), ("cov", (X,), {"correction": 0}), ("cov", (V,), {}), ("corrcoef", (X,), {}),
    ("cov", (X,), {"fweights": i(1, 2, 1, 1, 3, 1), "aweights": np.abs(r(6))}),
    *[("diff", (X,), k) for k in ({}, {"n": 2}, {"n": 0}, {"dim": 0}, {"prepend": r(4, 1), "append": r(4, 2)}, {"n": 9},
                                  {"n": -1})],
    ("diff", (np.array([True, False, False]),), {}), ("diff", (r(),), {}), ("diff", (i(3, 1, 7),), {}),
    *[(name, (X, *a), k) for name in ("trapezoid", "cumulative_trapezoid", "trapz") for a, k in (
        ((), {}), ((r(6),), {}), ((r(4, 6),), {}), ((), {"dim": 0}), ((r(4),), {"dim": 0}))],
    ("trapezoid", (X,), {"dx": 2.}),
]
SUBSCRIPTS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij->ji", (2, 3)), ("ii", (3, 3)), ("ii->i", (3, 3)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("...ij,...jk->...ik", (2, 3, 4), (4, 5)), ("i,j->ij", (2,), (3,)),
    ("ij,ij->", (2, 3), (2, 3)), ("ijk,il,jm,kn->lmn", (2, 3, 4), (2, 5), (3, 6), (4, 7)),
    ("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 6, 5)), ("ij,kj->ik", (1, 3), (4, 3)), ("ij,jk->ik", (2, 1), (3, 4)),
    ("ij,ij->ij", (2, 1), (2, 3)), ("...", (2, 3)), ("...->...", (2, 3)), ("i...->...i", (2, 3, 4)),
    ("iij->j", (2, 2, 3)), ("iijj->ij", (2, 2, 3, 3)), ("a,b,c->abc", (2,), (3,), (4,)),
    ("ij, jk -> ik", (2, 3), (3, 4)),
    ("zBa,aB", (2, 3, 4), (4, 3)), ("ij,jk->", (2, 3), (3, 4)), (",", (), ()), ("i,->i", (3,), ()), ("ij->i", (2, 3)),
    ("...ij->...", (2, 3, 4)), ("...i,...i", (2, 1, 3), (4, 3)), ("ijj->i", (2, 3, 3)),
    ("ij,jk->ik", (2, 3)), ("ij", (2, 3), (3,)), ("ij", (2, 3, 4)), ("ij->k", (2, 3)), ("ij->ii", (2, 3)),
    ("i1", (2, 3)), ("i.j", (2, 3)), ("...i...", (2, 3)), ("ij,jk", (2, 3), (4, 5)), ("ii", (2, 3)), ("ijk...", (2, 3)),
    ("ij->i...", (2, 3)), ("...i->i", (2, 3)), ("ij,j->ij", (0, 3), (3,)), ("ij,jk->ik", (2, 0), (0, 3))]
CASES += [("einsum", (s, *(r(*shape) for shape in shapes)), {}) for s, *shapes in SUBSCRIPTS]
CASES += [("einsum", (r(2, 3), [0, 1], r(3, 4), [1, 2], [0, 2]), {}),
          ("einsum", (r(2, 3), [0, 1], r(3, 4), [1, 2]), {}),
          ("einsum", (r(2, 3), [..., 1], [1, ...]), {})]
# Texts with less in them than torch's, or torch's with the elements of a tensor in them.
OTHER_TEXT = {"tensordot", "meshgrid", "equal", "matrix_power", "cross", "hstack", "vstack", "dstack", "column_stack",
              "row_stack", "diag_embed"}
# Where torch has no gradient, fails, or gives zeros for a constant result.
FORWARD_ONLY = {"combinations", "heaviside", "matrix_power", "renorm", "sgn", "vander", "cdist"}


def convert(lib, value, leaves):
    if isinstance(value, np.ndarray):
        t = lib.from_numpy(value.copy())
        if value.dtype.kind == "f":
            leaves.append(t.requires_grad_())
        return t
    if isinstance(value, list) and any(isinstance(v, np.ndarray) for v in value):
        return [convert(lib, v, leaves) for v in value]
    return value


def tensors(lib, value):
    if isinstance(value, lib.Tensor):
        return [value]
    if isinstance(value, (list, tuple)) and not isinstance(value, lib.Size):
        return [t for v in value for t in tensors(lib, v)]
    return []


def outcome(lib, name, args, kwargs):
    """(error, plain result, tensors, gradients of the sum of cosines)"""
    leaves = []
    args = [convert(lib, a, leaves) for a in args]
    kwargs = {k: convert(lib, v, leaves) for k, v in kwargs.items()}
    try:
        result = getattr(lib, name, None) or getattr(lib.Tensor, name)
        result = result(*args, **kwargs)
    except Exception as error:
        return error, None, [], []
    found = tensors(lib, result)
    smooth = [t for t in found if t.requires_grad]
    grads = []
    if smooth and name not in FORWARD_ONLY and all(bool(t.detach().isfinite().all()) for t in smooth):
        total = sum(t.cos().sum() for t in smooth)
        grads = [np.zeros(()) if g is None else g.numpy() for g in lib.autograd.grad(total, leaves, allow_unused=True)]
    return None, None if found else result, [t.detach() for t in found], grads


@pytest.mark.parametrize("k", range(len(CASES)), ids=lambda k: f"{CASES[k][0]}-{k}")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_torch(torch, k):
    name, args, kwargs = CASES[k]
    error, plain, found, grads = outcome(fg, name, args, kwargs)
    expected_error, expected_plain, expected, expected_grads = outcome(torch, name, args, kwargs)
    assert type(error) is type(expected_error), (error, expected_error)
    if error is not None:
        assert name in OTHER_TEXT or str(error).split("\n")[0] == str(expected_error).split("\n")[0]
        return
    assert plain == expected_plain and len(found) == len(expected)
    for a, b in zip(found, expected):
        assert str(a.dtype) == str(b.dtype) and tuple(a.shape) == tuple(b.shape)
        rtol = 3e-7 if a.dtype in (fg.float32, fg.complex64) else 1e-9  # functions of float within 2 ulp
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=1e-11)
    assert len(grads) == len(expected_grads)
    for a, b in zip(grads, expected_grads):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (7, 2), (3, 5), (3, 3, 3)], ids=str)
def test_fill_diagonal(torch, shape, wrap):
    assert fg.zeros(shape).fill_diagonal_(2., wrap).tolist() == torch.zeros(shape).fill_diagonal_(2., wrap).tolist()


def test_shape_changes_in_place():
    x = fg.arange(6.).reshape(2, 3).clone()
    assert x.t_() is x and x.shape == (3, 2) and x.unsqueeze_(0).shape == (1, 3, 2) and x.squeeze_().shape == (3, 2)
    assert x.transpose_(0, 1).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert x.resize_(4).tolist() == [0, 1, 2, 3] and x.resize_(2, 4).reshape(-1)[:6].tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(RuntimeError, match="resize"):
        fg.ones(2, requires_grad=True).resize_(3)


def test_legacy_types(torch):
    for lib in (fg, torch):
        x = lib.FloatTensor([1, 2])
        assert x.dtype == lib.float32 and isinstance(x, lib.FloatTensor) and not isinstance(x, lib.LongTensor)
        assert lib.LongTensor(2, 3).shape == (2, 3) and lib.LongTensor([1, 2]).dtype == lib.int64
        assert x.type() == "torch.FloatTensor" and x.type(lib.long).dtype == lib.int64
        assert x.type("torch.DoubleTensor").dtype == lib.float64
        with pytest.raises(ValueError, match="invalid type"):
            x.type("torch.Nothing")


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_finfo(torch, name):
    a, b = fg.finfo(getattr(fg, name)), torch.finfo(getattr(torch, name))
    assert repr(a) == repr(b)
    assert all(getattr(a, k) == getattr(b, k) for k in ("bits", "eps", "max", "min", "tiny", "resolution", "dtype"))


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_iinfo(torch, name):
    assert repr(fg.iinfo(getattr(fg, name))) == repr(torch.iinfo(getattr(torch, name)))


def test_assert_close(torch):
    cases = [
        ([1., 2, 3], [1., 2, 4]), ([1, 2, 3], [1, 2, 4]), (1., 2.), ([1.], [1., 2]), ([1.], [1]), ([NAN], [NAN]),
        ([True], [False]), ([], []), ([0, 1.], [0., 0.]), ([[1., 2]], [[1., 3]]), ([INF, 1.], [1., 1.])]
    nested = [(1., 2.), (1, 2), (True, False), (None, 3), ([1], [1, 2]), ({"a": 1}, {"b": 1}),
              ({"a": [1., 2.]}, {"a": [1., 3.]})]
    for options in ({}, {"rtol": 0, "atol": 0}, {"rtol": 1e-3, "atol": 0.}, {"check_dtype": False},
                    {"equal_nan": True}):
        for a, b in [*((("t", x), ("t", y)) for x, y in cases), *nested]:
            texts = []
            for lib in (fg, torch):
                make = lambda v, lib=lib: lib.tensor(v[1]) if isinstance(v, tuple) and v[0] == "t" else v
                try:
                    texts.append(lib.testing.assert_close(make(a), make(b), **options))
                except AssertionError as error:
                    texts.append(str(error))
            assert texts[0] == texts[1]


def test_cuda_without_a_device():
    if fg.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert fg.cuda.device_count() == 0 and fg.cuda.memory_allocated() == 0 and fg.cuda.unavailable_reason()
    fg.cuda.empty_cache()
    fg.cuda.manual_seed_all(3)
    for call in (fg.cuda.current_device, fg.cuda.synchronize, fg.cuda.get_device_name, fg.cuda.Stream,
                 lambda: fg.cuda.set_device(0)):
        with pytest.raises(RuntimeError, match="CUDA cannot be used: ") as error:
            call()
        assert "\n" not in str(error.value)


def test_random_state():
    state = fg.get_rng_state()
    a = fg.rand(3)
    fg.set_rng_state(state)
    assert fg.rand(3).tolist() == a.tolist()
    with fg.random.fork_rng():
        fg.manual_seed(7)
        assert fg.initial_seed() == 7
    fg.manual_seed(0)
    b = fg.rand(3)
    fg.manual_seed(0)
    with fg.random.fork_rng():
        fg.rand(5)
    assert fg.rand(3).tolist() == b.tolist()


@pytest.mark.parametrize("dim", [0, 1])
def test_logcumsumexp_of_long_rows(dim, torch):
    values = 100 * np.random.default_rng(0).standard_normal((300, 300))
    values[:5, :5], values[7, 7] = -INF, NAN
    found = []
    for m in (fg, torch):
        x = m.tensor(values, requires_grad=True)
        y = m.logcumsumexp(x, dim)
        y.backward(m.tensor(np.linspace(0.5, 1.5, values.size).reshape(values.shape)))
        found.append((y.detach().numpy(), x.grad.numpy()))
    for a, e in zip(*found):
        np.testing.assert_allclose(a, e, 1e-10, 1e-10)


def test_logcumsumexp_takes_memory_in_proportion():
    x = fg.rand(64, 2000)
    before = fg._C.memory_stats("cpu")["allocated"]
    fg._C.reset_peak_memory("cpu")
    fg.logcumsumexp(x, 1)
    assert fg._C.memory_stats("cpu")["peak_allocated"] - before < 12 * x.nbytes
