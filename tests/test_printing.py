"""Text of tensors, character by character as torch's."""
import copy
import math
import pickle

import numpy as np
import pytest

import fastgrad as fg

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "bool")
SHAPES = ((), (0,), (0, 3), (1,), (3,), (30,), (4, 5), (2, 3, 4), (1001,), (1500, 2), (3, 400), (8, 9, 20),
          (7, 1, 3, 60))


@pytest.fixture(autouse=True)
def default_options(torch):
    yield
    torch.set_printoptions(profile="default")
    fg.set_printoptions(profile="default")


def pair(torch, values, dtype):
    values = np.asarray(values)
    return (fg.from_numpy(values).to(getattr(fg, dtype)), torch.from_numpy(values).to(getattr(torch, dtype)))


def samples(shape):
    random = np.random.default_rng(0)
    x = random.standard_normal(shape)
    x = np.asarray(x)
    for scale in (1, 1e-5, 1e3, 1e9):
        yield x * scale
        yield np.round(x * scale)
    yield np.abs(x) + 1
    yield x * 0
    if x.size > 2:
        odd = x.copy()
        odd.reshape(-1)[::2] = math.nan
        odd.reshape(-1)[1] = math.inf
        odd.reshape(-1)[-1] = -math.inf
        yield odd
        yield np.round(odd)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_floats_print_as_torch(torch, dtype, shape):
    for values in samples(shape):
        ours, theirs = pair(torch, values, dtype)
        assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_integers_print_as_torch(torch, dtype, shape):
    values = np.asarray(np.random.default_rng(1).integers(0, 100, shape))
    for v in (values, values - 50 if dtype in ("int64", "int32") else values % 2):
        ours, theirs = pair(torch, v, dtype)
        assert str(ours) == str(theirs)


@pytest.mark.parametrize("options", [
    dict(precision=2), dict(precision=0), dict(sci_mode=True), dict(sci_mode=False), dict(threshold=5, edgeitems=2),
    dict(edgeitems=0), dict(edgeitems=0, threshold=2), dict(linewidth=40), dict(profile="short"), dict(profile="full"),
    dict(precision=8, linewidth=120), dict(linewidth=1, threshold=0), dict(edgeitems=1, threshold=0)], ids=str)
def test_options(torch, options):
    torch.set_printoptions(**options)
    fg.set_printoptions(**options)
    for shape in ((), (0, 3), (5,), (4, 5), (2, 3, 4), (7, 1, 3, 60)):
        for values in samples(shape):
            ours, theirs = pair(torch, values, "float32")
            assert repr(ours) == repr(theirs)
            if not np.isfinite(values).all():
                continue
            ours, theirs = pair(torch, np.asarray(np.round(values / 1e6)), "int64")
            assert repr(ours) == repr(theirs)


def test_suffixes(torch):
    for lib in (fg, torch):
        w = lib.arange(3.).requires_grad_()
        lib.texts = [repr(t) for t in (
            w, w * 2, w.sum(), w.exp().mean(), w.unbind()[0], w.detach(), (w * 2).expand(40, 3) + lib.zeros(40, 3),
            w.double(), w.view(3, 1), w[1:], lib.zeros(0, dtype=lib.int64), lib.zeros(2, 0, requires_grad=True),
            lib.zeros(0, dtype=lib.bool))]
    assert fg.texts == torch.texts
    del fg.texts, torch.texts


def test_default_dtype_is_not_shown(torch):
    for lib in (fg, torch):
        lib.set_default_dtype(lib.float64)
        lib.texts = [repr(lib.zeros(2)), repr(lib.zeros(2, dtype=lib.float32))]
        lib.set_default_dtype(lib.float32)
    assert fg.texts == torch.texts
    del fg.texts, torch.texts


def test_format(torch):
    for text, value in (("{:.3f}", 1.23456), ("{:10.2e}", 5.0), ("{:d}", 7), ("{}", 2.5), ("{}", 3)):
        assert text.format(fg.tensor(value)) == text.format(torch.tensor(value))
    assert f"{fg.ones(2)}" == "tensor([1., 1.])"
    with pytest.raises(TypeError):
        f"{fg.ones(2):.2f}"
    assert f"{fg.tensor(2., requires_grad=True):.1f}" == "2.0"


def test_size(torch):
    a, b = fg.Size([2, 3]), torch.Size([2, 3])
    assert repr(a) == repr(b) and a.numel() == 6 and a == (2, 3) and hash(a) == hash((2, 3))
    for found, expected in ((a[:1], b[:1]), (a + (4,), b + (4,)), ((4,) + a, (4,) + b), (a * 2, b * 2)):
        assert repr(found) == repr(expected) and type(found) is fg.Size
    assert type(fg.ones(2, 3).shape) is fg.Size
    assert pickle.loads(pickle.dumps(a)) == a and type(copy.deepcopy(a)) is fg.Size
    for wrong in ([1.5], ["a"], 3):
        with pytest.raises(TypeError) as ours:
            fg.Size(wrong)
        with pytest.raises(TypeError) as theirs:
            torch.Size(wrong)
        assert str(ours.value) == str(theirs.value)


def test_subclass_prints_its_name():
    class Mine(fg.Tensor):
        pass
    t = fg.Tensor._make_subclass(Mine, fg.ones(2))
    assert repr(t) == "Mine([1., 1.])"


# ---- copies and pickles

@pytest.mark.parametrize("make", [
    lambda: fg.tensor(3.5), lambda: fg.arange(6).reshape(2, 3), lambda: fg.ones(2, 3).t(), lambda: fg.arange(10)[::3],
    lambda: fg.ones(2, 0), lambda: fg.ones(1).expand(4), lambda: fg.ones(3, requires_grad=True),
    lambda: fg.tensor([True, False]), lambda: fg.ones(3).bfloat16()])
def test_pickle_and_deepcopy(make):
    t = make()
    for new in (pickle.loads(pickle.dumps(t)), copy.deepcopy(t), copy.copy(t)):
        assert new is not t and new.dtype == t.dtype and new.shape == t.shape and new.requires_grad == t.requires_grad
        assert new.tolist() == t.tolist()
    if t.numel():
        copied = copy.deepcopy(t)
        assert copied.stride() == t.stride() and copied.data_ptr() != t.data_ptr()


def test_deepcopy_keeps_sharing_and_grads():
    x = fg.arange(6.)
    y, z = copy.deepcopy((x, x[2:4]))
    y[2] = 100
    assert z.tolist() == [100, 3] and x[2] == 2
    w = fg.ones(2, requires_grad=True)
    w.grad = fg.tensor([1., 2.])
    w.note = "kept"
    other = copy.deepcopy(w)
    assert other.grad.tolist() == [1, 2] and other.grad is not w.grad and other.note == "kept"
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(w * 2)
    a, b = copy.deepcopy([w, w])
    assert a is b


def test_contains_len_iter():
    x = fg.tensor([1., 2.])
    assert 2 in x and 3. not in x and len(x) == 2 and [float(v) for v in x] == [1, 2]
    assert fg.tensor(2) in x
    with pytest.raises(RuntimeError, match="only supports Tensor or scalar"):
        assert "a" in x
    assert reversed(x).tolist() == [2, 1]
    with pytest.raises(TypeError, match="0-d tensor"):
        iter(fg.tensor(1.))
    with pytest.raises(TypeError, match="0-d tensor"):
        len(fg.tensor(1.))


def test_unknown_name_tells_the_nearest():
    with pytest.raises(AttributeError, match="'fastgrad' has no attribute 'softmaxx'; the nearest name is 'softmax'"):
        fg.softmaxx
    assert not hasattr(fg, "qqqqqqqq")


def test_import_is_light():
    import subprocess
    import sys
    code = ("import sys; before = set(sys.modules); import fastgrad; print([m for m in ('numpy', 'inspect', 'typing', "
            "'dataclasses', 'fastgrad.nn', 'fastgrad.optim') if m in sys.modules and m not in before])")
    found = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


def test_public_names_are_torch_names(torch):
    extra = {"autograd", "viz", "safetensors"}
    ours = {name for name in dir(fg) if not name.startswith("_")} - extra
    assert [name for name in sorted(ours) if not hasattr(torch, name)] == []


def test_describe_itself():
    from fastgrad.__main__ import describe
    lines = dict(describe())
    assert lines["fastgrad"] == fg.__version__ and int(lines["threads"]) >= 1
    assert ("not available (" in lines["CUDA"]) == (not fg.cuda.is_available())
