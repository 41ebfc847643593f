"""Python values, buffers and sizes that must be refused, or read with care."""

import array
import copy
import gc
import pickle
import sys

import numpy as np
import pytest

import fastgrad as fg
from tensor_subclass import Sub, sub

pytestmark = pytest.mark.sanitize


# ---- Python values


def test_lists_that_contain_themselves():
    loop = []
    loop.append(loop)
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        fg.tensor(loop)
    deep = 1.0
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        fg.tensor(deep)
    while isinstance(deep, list):
        deep = deep.pop()


def test_too_many_dims():
    deep = fg.zeros(*[1] * 60)
    for _ in range(10):
        deep = [deep]
    x = fg.zeros([1] * 64)
    for make in (
        lambda: fg.tensor(deep),
        lambda: x.unsqueeze(0),
        lambda: x[None],
        lambda: fg.zeros([1] * 65),
        lambda: x[(None,) * 80],
        lambda: fg.stack([x, x]),
        lambda: x.unfold(0, 1, 1),
        lambda: x.expand([1] * 65),
        lambda: x.repeat([1] * 65),
        lambda: fg.zeros(2).repeat([1] * 64),
        lambda: x.view([1] * 65),
    ):
        with pytest.raises((ValueError, RuntimeError, IndexError)):
            make()
    assert x.sum().item() == 0 and x.tolist() != 0 and (x + x).shape == x.shape


class Growing:
    """A sequence whose reading lengthens another one."""

    def __init__(self, other):
        self.other = other

    def __len__(self):
        return 2

    def __getitem__(self, i):
        if i >= 2:
            raise IndexError
        self.other.extend([[1.0, 2.0]] * 100)
        return 1.0


class Emptying(Growing):
    def __getitem__(self, i):
        if i >= 2:
            raise IndexError
        self.other.clear()
        return 1.0


@pytest.mark.parametrize("kind", [Growing, Emptying])
def test_sequences_that_change_while_read(kind):
    outer = [[0.0, 0.0]]
    outer += [kind(outer), [1.0, 2.0], [3.0, 4.0]]
    try:
        fg.tensor(outer)
    except (RuntimeError, ValueError, TypeError, IndexError):
        pass


def test_array_method_that_returns_itself():
    class Loop:
        def __array__(self, dtype=None, copy=None):
            return self

    with pytest.raises((ValueError, TypeError, RuntimeError)):
        fg.tensor(Loop())


def test_frombuffer_bounds():
    b = bytearray(64)
    for bad in (
        dict(count=2**61, dtype=fg.float64),
        dict(count=2**61 + 8, dtype=fg.float64),
        dict(count=17, dtype=fg.float32),
        dict(offset=65, dtype=fg.uint8),
        dict(offset=-1, dtype=fg.uint8),
        dict(offset=2**63 - 1, dtype=fg.uint8),
        dict(offset=1, dtype=fg.float32),
    ):
        with pytest.raises((ValueError, RuntimeError)):
            fg.frombuffer(b, **bad)
    for bad in ({}, dict(dtype=None)):
        with pytest.raises(TypeError):
            fg.frombuffer(b, **bad)
    b.extend(b"x")  # nothing holds it any more


def test_buffer_is_held_while_a_tensor_uses_it():
    b = bytearray(64)
    x = fg.frombuffer(b, dtype=fg.uint8)
    with pytest.raises(BufferError):
        b.extend(b"x")
    del x
    gc.collect()
    b.extend(b"x")
    a = array.array("d", [1.0, 2.0])
    assert fg.tensor(a).tolist() == [1.0, 2.0]


def test_ctypes_arrays():
    """Their buffers have no strides."""
    import ctypes
    three, pair = (ctypes.c_int32 * 3)(1, 2, 3), (ctypes.c_double * 2)(1, 2)
    assert fg.tensor(three).tolist() == [1, 2, 3] and fg.as_tensor(three).tolist() == [1, 2, 3]
    assert fg.tensor((ctypes.c_int32 * 3 * 2)(three, three)).tolist() == [[1, 2, 3], [1, 2, 3]]
    assert fg.tensor([pair] * 2).tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert fg.tensor((ctypes.c_int32 * 0)()).tolist() == []
    assert fg.arange(3.0)[(ctypes.c_int64 * 2)(0, 2)].tolist() == [0.0, 2.0]
    x = fg.as_tensor(three)
    x[0] = 7
    assert three[0] == 7 or x.data_ptr() != ctypes.addressof(three)


def test_misaligned_memory_is_told_to_numpy():
    b = bytearray(9)
    for offset in range(5):
        x = fg.frombuffer(b, dtype=fg.float32, count=1, offset=offset)
        assert x.numpy().flags.aligned == (x.data_ptr() % 4 == 0)


def test_buffers_are_given_back_after_errors():
    b = bytearray(64)
    for bad in (dict(dtype=fg.float32, offset=1), dict(dtype=fg.float32, count=99)):
        with pytest.raises(ValueError):
            fg.frombuffer(b, **bad)
    with pytest.raises((TypeError, ValueError)):
        fg.tensor(memoryview(b).cast("c"))
    with pytest.raises(ValueError):
        fg.tensor(memoryview(b)[::-1])
    b.extend(b"x")


def test_dlpack_capsule_twice():
    x = fg.arange(4.0)
    capsule = x.__dlpack__()
    assert fg.from_dlpack(capsule).tolist() == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises((ValueError, RuntimeError)):
        fg.from_dlpack(capsule)
    del capsule
    x.__dlpack__()  # never taken
    ref = sys.getrefcount(x)
    for _ in range(10):
        fg.from_dlpack(x)
    assert sys.getrefcount(x) == ref


def test_read_only_arrays_stay_as_they_are():
    a = np.frombuffer(b"\0" * 16, dtype=np.float32)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = fg.from_numpy(a)
    for write in (
        lambda: x.add_(1),
        lambda: x.zero_(),
        lambda: x.copy_(fg.ones(4)),
        lambda: x.__setitem__(0, 1.0),
        lambda: fg.add(fg.ones(4), 1, out=x),
        lambda: x.uniform_(),
        lambda: x.masked_fill_(x == 0, 1.0),
        lambda: x.index_fill_(0, fg.tensor([0]), 1.0),
        lambda: x.scatter_(0, fg.tensor([0]), fg.ones(1)),
        lambda: fg.matmul(fg.ones(4, 4), fg.ones(4), out=x),
        lambda: fg.cat([fg.ones(4)], out=x),
    ):
        try:
            write()
        except (RuntimeError, TypeError):
            pass
        assert not a.any()
    assert not x.numpy().flags.writeable


def test_out_of_foreign_memory_is_not_overrun():
    a = np.zeros(8, np.float32)
    x = fg.from_numpy(a[:4])
    try:
        fg.add(fg.ones(8), 1, out=x)
    except RuntimeError:
        pass
    assert not a[4:].any()


def test_none_among_tensors():
    x = fg.ones(1, requires_grad=True)
    for call in (
        lambda: x.backward(inputs=[None]),
        lambda: fg.autograd.backward([None]),
        lambda: fg.autograd.grad([None], [x]),
        lambda: fg.autograd.grad([x * 2], [None]),
        lambda: fg.stack([x, None]),
        lambda: fg.cat([None]),
    ):
        with pytest.raises((TypeError, RuntimeError, AttributeError)):
            call()


def test_copies():
    x = sub()
    x.tag = [1]
    y = copy.deepcopy(x)
    assert type(y) is Sub and y.tag == [1] and y.tag is not x.tag and y.requires_grad
    z = pickle.loads(pickle.dumps(fg.arange(6.0).reshape(2, 3).t()))
    assert z.tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    a = fg.zeros(2)
    a.me = a
    b = copy.deepcopy(a)
    assert b.me is b and b is not a


# ---- sizes

HUGE = 2**62


@pytest.mark.parametrize(
    "make",
    [
        lambda: fg.zeros(HUGE),
        lambda: fg.zeros(HUGE, HUGE),
        lambda: fg.empty(2**31, 2**31, 2**31),
        lambda: fg.ones(2**45),
        lambda: fg.zeros(-1),
        lambda: fg.zeros(3, -2),
        lambda: fg.arange(HUGE),
        lambda: fg.arange(-(2**63), 2**63 - 1),
        lambda: fg.arange(0, 1e300),
        lambda: fg.linspace(0, 1, HUGE),
        lambda: fg.eye(HUGE),
        lambda: fg.zeros(4).repeat(HUGE),
        lambda: fg.zeros(4).repeat(2**62, 2**62),
        lambda: fg.zeros(1).expand(HUGE).clone(),
        lambda: fg.zeros(1).expand(HUGE) + 1,
        lambda: fg.zeros(1).expand(HUGE, 8),
        lambda: fg.zeros(4).as_strided((HUGE,), (1,)),
        lambda: fg.zeros(4).as_strided((2,), (HUGE,)),
        lambda: fg.zeros(4).as_strided((2,), (1,), HUGE),
        lambda: fg.zeros(4).as_strided((2,), (1,), -1),
        lambda: fg.zeros(4).as_strided((2, 2**33, 2**33), (1, 0, 0)),
        lambda: fg.zeros(4).as_strided((5,), (1,)),
        lambda: fg.zeros(5).narrow(0, 1, 2**63 - 1),
        lambda: fg.randperm(HUGE),
        lambda: fg.zeros(4).reshape(2**32, 2**32),
        lambda: fg.zeros(0).reshape(-1, 0),
        lambda: fg.zeros(4).tile((HUGE,)),
        lambda: fg.zeros(1).expand(2**40).tolist(),
        lambda: fg.zeros(4).unfold(0, 2, 2**63),
        lambda: fg.zeros(3).split([2**63 - 1, -(2**63), 4]),
        lambda: fg.zeros(3).repeat_interleave(HUGE),
        lambda: fg.zeros(3).index_select(0, fg.tensor([2**62])),
        lambda: fg.rand(HUGE),
        lambda: fg.randint(0, 5, (HUGE,)),
        lambda: fg.full((HUGE, 4), 1.0),
        lambda: fg.tensor(2**70),
    ],
)
def test_sizes_that_cannot_be(make):
    with pytest.raises((RuntimeError, ValueError, IndexError, OverflowError, MemoryError, TypeError)):
        make()


def test_huge_steps_and_offsets():
    x = fg.arange(5)
    assert x[:: sys.maxsize].tolist() == [0] and x[1 :: sys.maxsize - 1].tolist() == [1]
    assert x[sys.maxsize :].tolist() == [] and x[-sys.maxsize :].tolist() == [0, 1, 2, 3, 4]
    assert x.reshape(1, 5).diagonal(2**62).tolist() == [] and x.reshape(1, 5).diagonal(-(2**62)).tolist() == []
    assert fg.triu(fg.ones(2, 2), 2**62).sum() == 0 and fg.tril(fg.ones(2, 2), -(2**62)).sum() == 0
    assert x.roll(2**63 - 1).shape == (5,) and x.roll(-(2**63)).shape == (5,)
    assert x.unfold(0, 2, 2**62).tolist() == [[0, 1]]


def test_views_far_from_their_base():
    x = fg.zeros(10)[5:].detach().requires_grad_()
    y = x.as_strided((2,), (1,), 0)  # before the base's first element
    y.sum().backward()
    assert x.grad.tolist() == [0.0] * 5
    z = fg.zeros(10)[5:].requires_grad_() * 1
    v = z.as_strided((5,), (1,))
    v.mul_(2)
    z.sum().backward()


def test_out_and_input_are_one():
    x = fg.arange(8.0)
    assert fg.add(x, x, out=x).tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]
    y = fg.arange(8.0)
    for call in (
        lambda: fg.add(y[:4], 1, out=y[1:5]),
        lambda: fg.matmul(y[:4].reshape(2, 2), y[:4].reshape(2, 2), out=y[:4].reshape(2, 2)),
        lambda: fg.cat([y, y], out=y),
        lambda: fg.cumsum(y, 0, out=y),
        lambda: fg.sum(y, 0, out=y),
        lambda: y.expand(3, 8).add_(1),
    ):
        try:
            call()
        except (RuntimeError, TypeError):
            pass
        y = fg.arange(8.0)
    y[1:] = y[:-1].clone()
    y[:-1] = y[1:]
