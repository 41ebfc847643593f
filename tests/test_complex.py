"""What only complex tensors have: parts, conjugates, casts, promotion, printing, files, products."""

import copy
import io
import pickle
import warnings

import numpy as np
import pytest

import fastgrad as fg
from checks import dtype_name, outputs, to_numpy

TOLERANCE = {"complex64": 1e-4, "float32": 1e-4, "complex128": 1e-9, "float64": 1e-9}


def assert_equal_to_torch(mine, theirs, text, tolerance=None):
    assert dtype_name(mine) == dtype_name(theirs), text
    tolerance = tolerance or TOLERANCE.get(dtype_name(theirs), 0)
    theirs = theirs.detach().resolve_conj()
    np.testing.assert_allclose(to_numpy(mine), to_numpy(theirs), rtol=tolerance, atol=tolerance, err_msg=text)


@pytest.mark.parametrize(
    "name", ["lt", "maximum", "floor", "erf", "relu", "sign", "clamp_min", "remainder", "bitwise_and"]
)
def test_ops_without_complex(name, torch):
    for m in (fg, torch):
        x = m.ones(2, dtype=m.complex64)
        args = {"clamp_min": (x, 1.0)}.get(
            name, (x, x) if name in ("lt", "maximum", "remainder", "bitwise_and") else (x,)
        )
        with pytest.raises(RuntimeError) as error:
            getattr(m, name)(*args)
        if m is fg:
            assert "complex64" in str(error.value)


@pytest.mark.parametrize(
    "source",
    [
        [1 + 2j, 3],
        [[1j, 2.5], [True, 4]],
        1j,
        [],
        [np.complex64(1j), 2],
        np.array([1j, 2]),
        [np.array([1j]), np.array([2j])],
    ],
    ids=repr,
)
def test_creation_from_values(source, torch):
    a, e = fg.tensor(source), torch.tensor(source)
    assert dtype_name(a) == dtype_name(e) and a.tolist() == e.tolist()
    a, e = fg.tensor(source, dtype=fg.complex128), torch.tensor(source, dtype=torch.complex128)
    assert a.tolist() == e.tolist()


def test_creation_functions(torch):
    def made(m):
        c, z = m.complex64, m.cdouble
        yield m.zeros(2, 3, dtype=c)
        yield m.ones(2, dtype=z)
        yield m.full((2,), 1 + 2j)
        yield m.full((2,), 3, dtype=c)
        yield m.eye(3, dtype=c)
        yield m.zeros_like(m.ones(2), dtype=z)
        yield m.ones(3, dtype=c).new_full((2,), 2j)
        yield m.full_like(m.ones(2, dtype=c), 1j)
        yield m.linspace(0, 1 + 2j, 5)
        yield m.linspace(1, 2, 4, dtype=c)
        yield m.complex(m.tensor([1.0, 2.0]), m.tensor(3.0))
        yield m.polar(m.tensor([1.0, 2.0]), m.tensor([0.5, -2.0]))
        yield m.scalar_tensor(2j, dtype=c)
        yield m.ones(2, dtype=m.cfloat).cdouble()
        yield m.arange(3).cfloat()
        yield m.tensor([1.5, 2]).type(c)
        yield m.as_tensor(np.array([1j, 2], dtype=np.complex64))

    for a, e in zip(made(fg), made(torch), strict=True):
        assert dtype_name(a) == dtype_name(e)
        assert_equal_to_torch(a, e, str(e))
    for m in (fg, torch):
        with pytest.raises(RuntimeError):
            m.arange(3, dtype=m.complex64)
        with pytest.raises(RuntimeError):
            m.complex(m.ones(2), m.ones(2, dtype=m.float64))
        with pytest.raises(RuntimeError):
            m.full((2,), 1j, dtype=m.float32)
    with pytest.raises(AttributeError, match="complex32"):
        fg.complex32


def test_random_numbers_are_torch_s(torch):
    for dtype in ("complex64", "complex128"):
        for n in (3, 40):
            for name in ("rand", "randn"):
                fg.manual_seed(5), torch.manual_seed(5)
                a, e = (getattr(m, name)(n, dtype=getattr(m, dtype)) for m in (fg, torch))
                assert_equal_to_torch(a, e, name)
                like = "randn_like" if name == "randn" else "rand_like"
                assert_equal_to_torch(getattr(fg, like)(a), getattr(torch, like)(e), like)
            assert_equal_to_torch(a.normal_(1, 3), e.normal_(1, 3), "normal_")
            assert_equal_to_torch(a.uniform_(1, 3), e.uniform_(1, 3), "uniform_")


def test_parts_are_views():
    z = fg.tensor([1 + 2j, 3 - 4j])
    z.real[0] = 7
    z.imag.mul_(2)
    assert z.tolist() == [7 + 4j, 3 - 8j]
    z.real = 1
    z.imag = fg.tensor([5.0, 6.0])
    assert z.tolist() == [1 + 5j, 1 + 6j]
    pairs = fg.view_as_real(z)
    assert pairs.shape == (2, 2) and pairs.data_ptr() == z.data_ptr() and pairs._base is z
    pairs[1] = fg.tensor([0.0, 9.0])
    assert z[1].item() == 9j
    assert fg.view_as_complex(pairs).tolist() == z.tolist()
    x = fg.ones(2)
    assert x.real is x and fg.real(x) is x and x.conj() is x and not x.is_complex()
    for wrong, text in (
        (lambda: x.imag, "non-complex"),
        (lambda: fg.view_as_real(x), "only supported for complex"),
        (lambda: fg.view_as_complex(fg.ones(3)), "size 2"),
        (lambda: fg.view_as_complex(fg.ones(2, 3).t()), "stride 1"),
        (lambda: fg.view_as_complex(fg.ones(2, dtype=fg.int64)), "float and double"),
    ):
        with pytest.raises(RuntimeError, match=text):
            wrong()


def test_conjugates_are_made_at_once(torch):
    z = torch.randn(2, 3, dtype=torch.complex64)
    x = fg.from_numpy(z.numpy())
    assert not x.conj().is_conj() and x.conj().resolve_conj().is_conj() is False and not x.is_neg()
    for name in ("conj", "conj_physical", "adjoint", "resolve_neg", "angle", "sgn", "isreal", "abs"):
        assert_equal_to_torch(getattr(x, name)(), getattr(z, name)().resolve_conj(), name)
    for name in ("H", "mH", "mT", "T", "real", "imag"):
        assert_equal_to_torch(getattr(x, name), getattr(z, name).resolve_conj(), name)
    y = x.clone()
    assert y.conj_physical_() is y and y.equal(x.conj()) and y.sgn_().allclose(x.conj().sgn())
    assert fg.angle(fg.tensor([-1.0, 0.0, 2.0, fg.nan])).isnan().tolist() == [False, False, False, True]
    with pytest.raises(RuntimeError, match="matrices"):
        fg.ones(2, 2, 2, dtype=fg.complex64).H


def test_gradients_through_parts(torch):
    """In-place changes of a part, views of views, and real inputs of complex results."""

    def grads(m):
        x = m.tensor([1 + 2j, 3 - 1j], dtype=m.complex128, requires_grad=True)
        r = m.tensor([2.0, 5.0], dtype=m.float64, requires_grad=True)
        y = x * r
        part = y.real
        part.mul_(3)
        y.imag[0] = r[1] * 2
        z = m.view_as_complex(m.stack([r, r * r], -1)) * y.conj()
        loss = (z.abs() ** 2).sum() + m.polar(r, r).real.sum() + y[1].imag + m.complex(r, 2 * r).angle().sum()
        return m.autograd.grad(loss, (x, r))

    for a, e in zip(grads(fg), grads(torch)):
        assert_equal_to_torch(a, e, "gradient")


def test_a_view_regenerates_its_history(torch):
    def grads(m):
        x = m.tensor([1 + 2j, 3 - 1j], dtype=m.complex128, requires_grad=True)
        y = x * 2
        part = y.imag
        y.mul_(1j)  # the view now shows the new numbers
        u = m.ones(2, 2, dtype=m.float64, requires_grad=True)
        v = u * 3
        w = m.view_as_complex(v)
        w.mul_(2j)
        return m.autograd.grad((part * part).sum() + (v * v).sum() + w.real.sum(), (x, u))

    for a, e in zip(grads(fg), grads(torch)):
        assert_equal_to_torch(a, e, "gradient")


def test_backward_of_complex_results():
    x = fg.tensor([1 + 2j], requires_grad=True)
    with pytest.raises(RuntimeError, match="only for real scalar outputs but got torch.complex64"):
        (x * x).sum().backward()
    with pytest.raises(RuntimeError, match="required to have the same dtype"):
        (x * x).backward(fg.ones(1))
    (x * x).backward(fg.tensor([1j]))
    assert x.grad.tolist() == [(1j * (2 - 4j))]  # g * conj(2 x)
    real = fg.tensor(3.0, requires_grad=True)
    (real * (1 + 2j)).abs().backward()  # |3 (1 + 2i)|: sqrt(5)
    assert real.grad.dtype is fg.float32 and abs(real.grad.item() - 5**0.5) < 1e-6
    real.grad = None
    y = real.to(fg.complex64)
    (y * 1j).imag.backward()
    assert real.grad.item() == 1.0


def test_scalars_and_promotion(torch):
    for numbers in ((1j, True), (2, 1j), (1.5, 2 + 1j)):
        for dtype in ("float16", "float32", "float64", "int64", "bool", "complex64", "complex128"):
            for n in numbers:
                a, e = (m.ones(2, dtype=getattr(m, dtype)) * n for m in (fg, torch))
                if dtype != "float16" or not isinstance(n, complex):
                    assert dtype_name(a) == dtype_name(e) and a.tolist() == e.tolist()
    names = ("bool", "uint8", "int64", "bfloat16", "float32", "float64", "complex64", "complex128")
    for one in names:
        for two in names:
            if {one, two} & {"bfloat16"} and {one, two} & {"complex64"}:
                continue
            types = [[getattr(m, n) for n in (one, two)] for m in (fg, torch)]
            assert str(fg.promote_types(*types[0])) == str(torch.promote_types(*types[1])), (one, two)
            assert fg.can_cast(*types[0]) == torch.can_cast(*types[1]), (one, two)
            a, e = (m.ones((), dtype=t[0]) + m.ones(2, dtype=t[1]) for m, t in zip((fg, torch), types))
            assert dtype_name(a) == dtype_name(e), (one, two)
    for m in (fg, torch):
        with pytest.raises(RuntimeError, match="can't be cast"):
            m.ones(2).add_(m.ones(2, dtype=m.complex64))
        with pytest.raises(RuntimeError):
            m.ones(2, dtype=m.complex64).abs_()
    x = fg.tensor([1 + 2j])
    assert complex(x) == x.item() == 1 + 2j and bool(x) and not fg.zeros((), dtype=fg.complex64)
    for convert in (float, int):
        with pytest.raises(RuntimeError):
            convert(x)
    assert float(fg.tensor(2 + 0j)) == 2.0
    assert fg.complex64.is_complex and not fg.complex64.is_floating_point and fg.complex64.itemsize == 8
    assert fg.complex128.to_real() is fg.float64 and fg.float32.to_complex() is fg.complex64
    assert fg.finfo(fg.complex64).bits == 32 and x.type() == "torch.ComplexFloatTensor"


def test_casts(torch):
    x = fg.tensor([1 + 2j, 0, 2j])
    for call in (
        lambda: x.float(),
        lambda: x.to(fg.float64),
        lambda: fg.zeros(3).copy_(x),
        lambda: x.type_as(fg.ones(1)),
    ):
        with pytest.warns(UserWarning, match="discards the imaginary part"):
            assert call().tolist() == [1.0, 0.0, 0.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert x.bool().tolist() == [True, False, True]
        assert x.to(fg.complex128).tolist() == x.tolist()
    for dtype in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"):
        values = fg.tensor([1, 0, 3]).to(getattr(fg, dtype))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for kind in (fg.complex64, fg.complex128):
                assert values.to(kind).to(values.dtype).equal(values)


@pytest.mark.parametrize(
    "values",
    [
        [1 + 2j, -3.5 + 0.25j],
        [1e10 + 1e-10j, 1],
        [0, 1j, complex("nan"), complex("inf"), complex(0, float("-inf"))],
        [],
        [[1 + 2j, 2], [3, -4j]],
        3 - 4j,
        [complex(-0.0, -0.0), 1],
        [1j * k for k in range(40)],
        [[[1.25 - 3j] * 3] * 400],
    ],
    ids=lambda v: str(v)[:30],
)
def test_printing(values, torch):
    for dtype in ("complex64", "complex128"):
        a, e = (m.tensor(values, dtype=getattr(m, dtype)) for m in (fg, torch))
        assert repr(a) == repr(e)
        if e.numel():
            assert repr(a.requires_grad_() * 1).replace("\n", "") == repr(e.requires_grad_() * 1).replace("\n", "")
    fg.set_default_dtype(fg.float64)
    torch.set_default_dtype(torch.float64)
    try:
        assert repr(fg.tensor(values)) == repr(torch.tensor(values))
    finally:
        torch.set_default_dtype(torch.float32)


def test_exchange_with_others(torch):
    x = fg.tensor([[1 + 2j, 3], [4, 5j]])
    array = x.numpy()
    assert array.dtype == np.complex64 and array.tolist() == x.tolist()
    array[0, 0] = 9
    assert x[0, 0].item() == 9 and fg.from_numpy(array).data_ptr() == x.data_ptr()
    other = torch.from_dlpack(x)
    assert other.dtype == torch.complex64 and other.tolist() == x.tolist()
    assert fg.from_dlpack(torch.ones(2, dtype=torch.complex128) * 1j).tolist() == [1j, 1j]
    assert np.asarray(x.t()).tolist() == x.t().tolist()
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), x.clone(), x.detach()):
        assert y.dtype is x.dtype and y.tolist() == x.tolist()


def test_files(tmp_path, torch):
    state = {"a": fg.tensor([1 + 2j, 3]), "b": fg.tensor([[2j]], dtype=fg.complex128)}
    fg.save(state, tmp_path / "mine.pt")
    loaded = torch.load(tmp_path / "mine.pt")
    torch.save(loaded, tmp_path / "theirs.pt")
    again = fg.load(tmp_path / "theirs.pt")
    for name, value in state.items():
        assert again[name].dtype is value.dtype and again[name].tolist() == loaded[name].tolist() == value.tolist()
    data = fg.safetensors.save({"a": state["a"]})
    assert fg.safetensors.load(data)["a"].tolist() == state["a"].tolist()
    buffer = io.BytesIO()
    torch.save(loaded["a"], buffer)
    buffer.seek(0)
    assert fg.load(buffer).tolist() == state["a"].tolist()


def test_products_of_every_shape(torch):
    torch.manual_seed(1)
    for a, b in (
        ((3, 40), (40, 5)),
        ((1, 7), (7, 60)),
        ((60, 7), (7, 1)),
        ((2, 3, 4), (2, 4, 5)),
        ((4,), (4,)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
        ((65, 130), (130, 67)),
    ):
        for dtype in (torch.complex64, torch.complex128):
            x, y = torch.randn(a, dtype=dtype), torch.randn(b, dtype=dtype)
            p, q = fg.from_numpy(x.numpy()), fg.from_numpy(y.numpy())
            assert_equal_to_torch(p @ q, x @ y, str((a, b)))
            if len(a) == 2:
                assert_equal_to_torch(q.mT @ p.mT, y.mT @ x.mT, str((a, b)))
                assert_equal_to_torch(q.mH @ p.mH, y.mH @ x.mH, str((a, b)))
    x = torch.randn(3, 3, dtype=torch.complex128)
    p = fg.from_numpy(x.numpy())
    assert_equal_to_torch(
        fg.addmm(p, p, p, beta=2j, alpha=1 - 1j), torch.addmm(x, x, x, beta=2j, alpha=1 - 1j), "addmm"
    )
    assert_equal_to_torch(fg.vdot(p[0], p[1]), torch.vdot(x[0], x[1]), "vdot")
    assert_equal_to_torch(fg.einsum("ij,kj->ik", p, p.conj()), torch.einsum("ij,kj->ik", x, x.conj()), "einsum")
    assert_equal_to_torch(fg.tensordot(p, p, 1), torch.tensordot(x, x, 1), "tensordot")


def test_further_functions(torch):
    torch.manual_seed(2)
    z = torch.randn(3, 4, dtype=torch.complex128)
    z[0, 0] = complex("nan")
    w = torch.randn(3, 4, dtype=torch.complex128)
    x, y = fg.from_numpy(z.numpy()), fg.from_numpy(w.numpy())
    for call in (
        lambda m, a, b: m.isclose(a, a, equal_nan=True),
        lambda m, a, b: m.allclose(b, b * (1 + 1e-9)),
        lambda m, a, b: m.equal(b, b.clone()),
        lambda m, a, b: m.nan_to_num(a, nan=2.0),
        lambda m, a, b: m.diff(b),
        lambda m, a, b: m.addcmul(a, b, b, value=2j),
        lambda m, a, b: m.addcdiv(a, b, b, value=1 + 1j),
        lambda m, a, b: m.add(a, b, alpha=2j),
        lambda m, a, b: m.sub(b, 1j, alpha=1j),
        lambda m, a, b: m.rsub(b, b, alpha=2j),
        lambda m, a, b: b.clone().add_(b, alpha=1j),
        lambda m, a, b: b.clone().addcmul_(b, b, value=2j),
        lambda m, a, b: m.sgn(b),
        lambda m, a, b: m.dist(b, b * 2),
        lambda m, a, b: b.norm(3),
        lambda m, a, b: m.trace(b),
        lambda m, a, b: m.var_mean(b, 1),
        lambda m, a, b: m.count_nonzero(b),
        lambda m, a, b: b.masked_fill(b.abs() > 1, 2j),
        lambda m, a, b: m.where(b.real > 0, b, 1j),
        lambda m, a, b: m.where(b.real > 0, 1.0, b),
        lambda m, a, b: m.cat([b, b.real]),
        lambda m, a, b: m.kron(b, b),
        lambda m, a, b: m.logsumexp(b, 1),
        lambda m, a, b: m.flip(b, [0]),
        lambda m, a, b: b.sum(0, dtype=m.complex64),
        lambda m, a, b: b.real.sum(dtype=m.complex128),
        lambda m, a, b: m.pow(2, b),
        lambda m, a, b: b ** (1 + 1j),
        lambda m, a, b: b**b,
        lambda m, a, b: b.real.abs() ** 1j,
        lambda m, a, b: m.outer(b[0], b[1]),
        lambda m, a, b: m.cumsum(b, 1),
        lambda m, a, b: b.index_fill(0, m.tensor([1]), 2j),
        lambda m, a, b: 1 / b,
        lambda m, a, b: b == b.real,
        lambda m, a, b: m.mul(b, b, out=m.empty(3, 4, dtype=m.complex64)),
        lambda m, a, b: b.unfold(1, 2, 1),
        lambda m, a, b: m.cov(b),
        lambda m, a, b: m.cov(b, fweights=m.tensor([1, 2, 1, 3])),
        lambda m, a, b: m.corrcoef(b),
        lambda m, a, b: m.sinc(b),
        lambda m, a, b: m.float_power(b, 2),
        lambda m, a, b: m.float_power(b.real, b),
        lambda m, a, b: b.view(m.float64),
        lambda m, a, b: b.repeat_interleave(2, 0),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mine, theirs = outputs(call(fg, x, y)), outputs(call(torch, z, w))
        for a, e in zip(mine, theirs, strict=True):
            if hasattr(e, "dtype"):
                assert_equal_to_torch(a, e.resolve_conj(), "")
            else:
                assert a == e
    for m, b in ((fg, y), (torch, w)):
        with pytest.raises(RuntimeError):
            m.zeros(2).fill_(1j)
        for name in ("isposinf", "isneginf", "deg2rad", "rad2deg", "logit", "nansum"):
            with pytest.raises(RuntimeError):
                getattr(m, name)(b)


@pytest.mark.parametrize(
    "name",
    ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop", "LBFGS"),
)
def test_optimizers_and_layers(name, torch):
    """A layer of complex parameters starts with torch's numbers and takes torch's steps."""
    found = []
    for m in (fg, torch):
        m.manual_seed(3)
        layer = m.nn.Linear(3, 2, dtype=m.complex64)
        x = m.randn(4, 3, dtype=m.complex64)
        step = getattr(m.optim, name)(layer.parameters(), lr=0.05, **({"momentum": 0.9} if name == "SGD" else {}))

        def closure(layer=layer, x=x, step=step):
            step.zero_grad()
            loss = (layer(x) - (1 + 2j)).abs().square().mean()
            loss.backward()
            return loss

        for _ in range(3):
            step.step(closure)
        found.append([p.detach() for p in layer.parameters()])
    for a, e in zip(*found):
        assert_equal_to_torch(a, e, name, 1e-3)


UNARY = ("abs acos acosh angle asin asinh atan atanh conj_physical cos cosh exp expm1 log log10 log1p log2 neg "
         "reciprocal rsqrt sgn sigmoid sin sinh sqrt square tan tanh").split()


@pytest.mark.parametrize("name", UNARY)
def test_values_and_gradients_in_every_quadrant(name, torch):
    """Branches of square roots and logarithms show only there."""
    parts = (-2.5, -1.2, -0.6, -0.05, 0.1, 0.7, 1.2, 2.2)
    points = [complex(a, b) for a in parts for b in parts]
    found = []
    for m in (fg, torch):
        x = m.tensor(points, dtype=m.complex128, requires_grad=True)
        y = getattr(m, name)(x)
        g, = m.autograd.grad(y, x, m.ones_like(y) * (1 + 0.3j if y.is_complex() else 1))
        found.append((y, g))
    for mine, theirs in zip(*found, strict=True):
        assert_equal_to_torch(mine, theirs, name)


@pytest.mark.parametrize("name", ["sum", "prod", "exp", "matmul", "cumsum"])
def test_large_results_do_not_depend_on_threads(name):
    x = fg.randn(300, 301, dtype=fg.complex64) * 0.1 + 1
    call = (lambda: x @ x.mT) if name == "matmul" else (lambda: getattr(x, name)(1)) if name != "exp" else x.exp
    found = []
    for n in (1, 2, 3):
        fg.set_num_threads(n)
        found.append(call())
    assert all(fg.view_as_real(f).equal(fg.view_as_real(found[0])) for f in found)
