"""Making tensors: from numbers, lists, arrays, other tensors; ranges; like-forms; dtypes, devices, flags."""

import ctypes
import math
import warnings

import numpy as np
import pytest

import fastgrad as fg
from checks import DTYPES, assert_same, dtype_name


def check(torch, call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = call(torch)
        actual = call(fg)
    assert_same(actual, expected, strides=True)
    assert actual.requires_grad == expected.requires_grad and actual.is_leaf == expected.is_leaf
    return actual


DATA = [
    1,
    2.5,
    True,
    [1, 2],
    [1.0, 2],
    [[1, 2], [3, 4]],
    [True, False],
    [],
    [[]],
    [[], []],
    (1, 2),
    [(1, 2), (3, 4)],
    [[True], [0.5]],
    [1, 2**40],
    -3,
    float("nan"),
    [math.inf, -math.inf],
    range(4),
    [np.float32(1.5), np.float64(2)],
    [np.int64(3)],
    np.float64(1.5),
    np.float32(1.5),
    np.int32(4),
    np.bool_(True),
    np.arange(6).reshape(2, 3),
    np.zeros((0, 3), np.float32),
    np.array(2.0),
    [np.arange(3), np.arange(3)],
    np.arange(6.0).reshape(2, 3).T,
    np.arange(5)[::-1].copy(),
]


@pytest.mark.parametrize("data", DATA, ids=lambda d: str(d).replace("\n", "")[:30])
def test_tensor_of(data, torch):
    check(torch, lambda m: m.tensor(data))
    check(torch, lambda m: m.as_tensor(data))
    check(torch, lambda m: m.tensor(data, dtype=m.float64))


def test_tensor_of_tensors(torch):
    check(torch, lambda m: m.tensor([m.tensor(1.0), m.tensor(2.0)]))
    check(torch, lambda m: m.tensor([m.tensor(1), 2.5]))
    check(torch, lambda m: m.tensor(m.arange(3)))
    check(torch, lambda m: m.tensor([1.0, 2.0], requires_grad=True))


def test_tensor_copies_and_as_tensor_does_not():
    a = np.zeros(3, np.float32)
    copy, shared, other = fg.tensor(a), fg.as_tensor(a), fg.from_numpy(a)
    a[0] = 1
    assert copy.tolist() == [0, 0, 0] and shared.tolist() == [1, 0, 0] and other.tolist() == [1, 0, 0]
    t = fg.zeros(2)
    assert fg.as_tensor(t) is t
    assert fg.as_tensor(t, dtype=fg.float64).dtype is fg.float64


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "bfloat16"])
def test_numpy_and_back(dtype, torch):
    a = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    t = fg.from_numpy(a)
    assert dtype_name(t) == dtype and np.array_equal(t.numpy(), a) and t.numpy().dtype == a.dtype
    assert np.array_equal(np.asarray(t.t()), a.T)
    assert fg.from_numpy(a[:, ::2]).stride() == (3, 2)
    t[0, 0] = 1
    assert a[0, 0] == 1


def test_from_numpy_refusals(torch):
    for bad in (np.arange(4)[::-1], np.array(["a"]), np.array([None]), np.zeros(2, ">f4")):
        for m in (torch, fg):
            with pytest.raises((ValueError, TypeError)):
                m.from_numpy(bad)
    for m in (torch, fg):
        with pytest.raises(TypeError):
            m.from_numpy([1, 2])
        with pytest.raises(RuntimeError, match="grad"):
            m.ones(2, requires_grad=True).numpy()


def test_dlpack():
    a = np.from_dlpack(fg.arange(3.0))
    assert a.tolist() == [0.0, 1.0, 2.0]
    t = fg.from_dlpack(np.arange(4.0))
    assert t.tolist() == [0.0, 1.0, 2.0, 3.0] and t.dtype is fg.float64


@pytest.mark.parametrize("name", ("zeros", "ones", "empty"))
def test_filled(name, device, torch):
    for args in ((), (3,), (2, 3), ((2, 3),), ([2, 3],), (0,), (2, 0, 3)):
        if not args and name != "zeros":
            continue
        for m in (torch, fg) if args else ():
            t = getattr(m, name)(*args)
            assert tuple(t.shape) == tuple(np.zeros(args[0] if isinstance(args[0], (tuple, list)) else args).shape)
        if name != "empty" and args:
            check(torch, lambda m, args=args: getattr(m, name)(*args))
    for dtype in DTYPES:
        assert dtype_name(getattr(fg, name)(2, dtype=getattr(fg, dtype), device=device)) == dtype
    assert getattr(fg, name)(2, requires_grad=True).requires_grad


def test_full(torch):
    for value in (1, 2.5, True):
        check(torch, lambda m, value=value: m.full((2, 3), value))
        check(torch, lambda m, value=value: m.full((2,), value, dtype=m.float64))
        check(torch, lambda m, value=value: m.full((), value))


@pytest.mark.parametrize("layout", ("contiguous", "transposed", "sliced", "expanded"))
def test_like_forms(layout, torch):
    def base(m):
        x = m.arange(12.0).view(3, 4)
        return {"contiguous": x, "transposed": x.t(), "sliced": x[::2, 1:], "expanded": x[:1].expand(3, 4)}[layout]

    for name in ("zeros_like", "ones_like"):
        check(torch, lambda m, name=name: getattr(m, name)(base(m)))
        check(torch, lambda m, name=name: getattr(m, name)(base(m), dtype=m.int64))
    check(torch, lambda m: m.full_like(base(m), 3))
    check(torch, lambda m: m.empty_like(base(m)).zero_())
    check(torch, lambda m: base(m).new_zeros(2, 3))
    check(torch, lambda m: base(m).new_ones((2,)))
    check(torch, lambda m: base(m).new_full((2,), 7))
    check(torch, lambda m: base(m).new_tensor([1, 2]))
    check(torch, lambda m: base(m).new_empty((2, 2)).fill_(1))


RANGES = [
    (5,),
    (2, 7),
    (2, 9, 3),
    (0.5,),
    (0, 1, 0.1),
    (-5, 5, 0.1),
    (5, 0, -1),
    (0,),
    (1, 1),
    (1.0, 4.0, 1.0),
    (0, 10, 2.5),
    (3, 3.0001, 1),
]


@pytest.mark.parametrize("args", RANGES, ids=str)
def test_arange(args, torch):
    check(torch, lambda m: m.arange(*args))
    check(torch, lambda m: m.arange(*args, dtype=m.float64))
    check(torch, lambda m: m.arange(*args, dtype=m.int32))


@pytest.mark.parametrize("args", [(0, 1, 5), (0, 1, 1), (-3, 3, 100), (5, 2, 4), (0, 1, 0), (0, 10, 11)], ids=str)
def test_linspace(args, torch):
    check(torch, lambda m: m.linspace(*args))
    check(torch, lambda m: m.linspace(*args, dtype=m.float64))
    check(torch, lambda m: m.logspace(*args))


def test_eye_and_triangles(torch):
    for args in ((3,), (2, 3), (0,), (3, 0)):
        check(torch, lambda m, args=args: m.eye(*args))
    check(torch, lambda m: m.eye(2, dtype=m.int64))


@pytest.mark.parametrize(
    "call, kind",
    [
        (lambda m: m.zeros(-1), RuntimeError),
        (lambda m: m.ones(2, -3), RuntimeError),
        (lambda m: m.full((-1,), 0), RuntimeError),
        (lambda m: m.tensor([[1, 2], [3]]), ValueError),
        (lambda m: m.tensor("a"), TypeError),
        (lambda m: m.tensor([1, "a"]), (TypeError, ValueError)),
        (lambda m: m.tensor(None), (RuntimeError, TypeError)),
        (lambda m: m.tensor([None]), (RuntimeError, TypeError)),
        (lambda m: m.tensor(object()), (RuntimeError, TypeError)),
        (lambda m: m.arange(0, 5, 0), RuntimeError),
        (lambda m: m.arange(0, 5, -1), RuntimeError),
        (lambda m: m.arange(0, float("inf")), RuntimeError),
        (lambda m: m.linspace(0, 1, -1), RuntimeError),
        (lambda m: m.eye(-1), RuntimeError),
        (lambda m: m.zeros("a"), TypeError),
        (lambda m: m.zeros(2.5), TypeError),
        (lambda m: m.zeros(2, dtype="float"), TypeError),
        (lambda m: m.zeros(2, device="nowhere"), RuntimeError),
        (lambda m: m.tensor([1], requires_grad=True), RuntimeError),
        (lambda m: m.zeros(2, nonsense=1), TypeError),
        (lambda m: m.tensor(), TypeError),
        (lambda m: m.tensor(2**64), (RuntimeError, OverflowError, ValueError)),
        (lambda m: m.tensor([1.0], dtype=m.uint8).fill_("x"), TypeError),
        (lambda m: m.tensor({}), (RuntimeError, TypeError)),
    ],
)
def test_refusals(call, kind, torch):
    for m in (torch, fg):
        with pytest.raises(kind):
            call(m)


def test_absurd_sizes_raise(torch):
    for sizes in ((2**62,), (2**40, 2**40), (2**31, 2**31, 2**31)):
        for m in (torch, fg):
            with pytest.raises((RuntimeError, MemoryError)):
                m.zeros(sizes)


def test_class_constructors(torch):
    for name in ("Tensor", "FloatTensor", "LongTensor", "DoubleTensor"):
        if hasattr(fg, name):
            check(torch, lambda m, name=name: getattr(m, name)([1, 2]))
    check(torch, lambda m: m.Tensor([[1, 2], [3, 4]]))
    check(torch, lambda m: m.Tensor([1]))
    assert tuple(fg.Tensor(2, 3).shape) == (2, 3)
    check(torch, lambda m: m.Tensor())


def test_conversions(torch):
    for name in ("float", "double", "half", "bfloat16", "int", "long", "short", "char", "byte", "bool"):
        check(torch, lambda m, name=name: getattr(m.tensor([0.0, 1.7, -0.0, 3.2]), name)())
    check(torch, lambda m: m.tensor([1, 2]).to(m.tensor([1.0], dtype=m.float64)))
    check(torch, lambda m: m.tensor([1, 2]).type_as(m.zeros(1)))
    x = fg.zeros(2)
    assert x.to(fg.float32) is x and x.float() is x and x.to("cpu") is x and x.cpu() is x
    assert x.to(fg.float32, copy=True) is not x


@pytest.mark.parametrize("one", DTYPES)
def test_every_conversion(one, torch):
    values = [0, 1, 2, 3, 100] if one in ("bool", "uint8", "int8") else [0, 1, -2, 3, 100, -100]
    for two in DTYPES:
        check(
            torch,
            lambda m, two=two: (
                m.tensor(values, dtype=getattr(m, one)).to(getattr(m, two))
                if one != "bool"
                else m.tensor([True, False]).to(getattr(m, two))
            ),
        )


def test_half_rounding(torch):
    a = np.random.default_rng(0).standard_normal(5000).astype(np.float32) * np.logspace(-8, 6, 5000, dtype=np.float32)
    for dtype in ("float16", "bfloat16"):
        check(torch, lambda m, dtype=dtype: m.tensor(a).to(getattr(m, dtype)))
        check(torch, lambda m, dtype=dtype: m.tensor(a.astype(np.float64)).to(getattr(m, dtype)))


def test_scalars_out(torch):
    for data in (1, 2.5, True, [[3]]):
        for m in (torch, fg):
            t = m.tensor(data)
            value = data if not isinstance(data, list) else 3
            assert t.item() == value and type(t.item()) is type(value)
    t = fg.tensor(2.5)
    assert float(t) == 2.5 and int(t) == 2 and bool(t) and f"{t:.2f}" == "2.50"
    assert [10, 20, 30][fg.tensor(1)] == 20
    for call in (
        lambda m: m.zeros(2).item(),
        lambda m: float(m.zeros(2)),
        lambda m: bool(m.zeros(2)),
        lambda m: bool(m.zeros(0)),
        lambda m: [1, 2][m.zeros(1)],
    ):
        with pytest.raises((RuntimeError, ValueError, TypeError)) as expected:
            call(torch)
        with pytest.raises(expected.type):
            call(fg)


@pytest.mark.parametrize("shape", [(2,), (2**40, 2**40), (2**62,), (-1,)])
def test_dlpack_without_the_memory_it_promises(shape):
    """A broken producer: no data, or sizes that no memory holds."""
    pointer, number = ctypes.c_void_p, ctypes.c_int32

    class Managed(ctypes.Structure):
        _fields_ = [("data", pointer), ("device_type", number), ("device_id", number), ("ndim", number),
                    ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", pointer),
                    ("strides", pointer), ("offset", ctypes.c_uint64), ("context", pointer), ("deleter", pointer)]

    sizes, memory = (ctypes.c_int64 * len(shape))(*shape), (ctypes.c_float * 2)()
    data = None if shape == (2,) else ctypes.addressof(memory)
    managed = Managed(data, 1, 0, len(shape), 2, 32, 1, ctypes.addressof(sizes), None, 0, None, None)
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [pointer, ctypes.c_char_p, pointer]
    with pytest.raises(RuntimeError, match="from_dlpack: no memory|64 bits|negative"):
        fg.from_dlpack(make(ctypes.addressof(managed), b"dltensor", None))
