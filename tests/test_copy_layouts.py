"""Copies between layouts whose fastest dimension is short, against NumPy: every size of item, slices, broadcasts."""
import itertools

import numpy as np
import pytest

import fastgrad as fg

random = np.random.default_rng(0)
SHAPES = [(5, 3), (3, 700), (70, 90), (700, 2), (7, 5, 4), (40, 3, 50), (2, 3, 2, 9), (6, 2, 2, 33), (4, 8, 8),
          (90, 70, 4), (3, 1, 5, 2)]


@pytest.mark.parametrize("dtype", ("int8", "int16", "float32", "float64", "complex64", "complex128"))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_permuted_and_sliced(shape, dtype):
    array = (random.standard_normal(shape) * 9).astype(dtype)
    x = fg.tensor(array)
    for order in itertools.permutations(range(len(shape))):
        y, expected = x.permute(*order), array.transpose(order)
        assert np.array_equal(y.contiguous().numpy(), expected)
        assert np.array_equal(y[1:].contiguous().numpy(), expected[1:])
        assert np.array_equal(y[..., ::2].contiguous().numpy(), expected[..., ::2])
        wide = np.broadcast_to(expected[..., None], (*expected.shape, 3))
        assert np.array_equal(y[..., None].expand(*expected.shape, 3).contiguous().numpy(), wide)
        target = fg.zeros(*(2 * n for n in expected.shape), dtype=y.dtype)
        hole = tuple(slice(None, None, 2) for _ in expected.shape)
        target[hole] = y
        assert np.array_equal(target.numpy()[hole], expected)


@pytest.mark.parametrize("threads", (1, 2, 3))
def test_large_ones_on_any_number_of_threads(threads):
    array = random.standard_normal((8, 3, 130, 127)).astype(np.float32)
    before = fg.get_num_threads()
    fg.set_num_threads(threads)
    for order in itertools.permutations(range(4)):
        assert np.array_equal(fg.tensor(array).permute(*order).contiguous().numpy(), array.transpose(order))
    fg.set_num_threads(before)


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "int32", "float64", "int64"])
@pytest.mark.parametrize("shape", [(16, 16), (17, 40), (700, 33), (3, 64, 530), (2, 20, 3, 600), (5, 300, 17)])
def test_transposed(shape, dtype):
    """Squares in registers, their edges, and both orders of walking over them; bits stay as they are."""
    values = np.random.default_rng(0).integers(-(2**31), 2**31 - 1, shape).astype(dtype)
    t = fg.tensor(values)
    for a in range(len(shape)):
        for b in range(a):
            expected = np.ascontiguousarray(values.swapaxes(a, b))
            assert t.transpose(a, b).contiguous().numpy().tobytes() == expected.tobytes()
            out = fg.zeros(*expected.shape[:-1], expected.shape[-1] + 3, dtype=t.dtype)[..., 1:-2]
            assert np.array_equal(out.copy_(t.transpose(a, b)).numpy(), expected)


def test_large_transposed():
    """Past the caches, with parts of squares at both edges."""
    values = np.arange(2320 * 2331, dtype=np.float32).reshape(2331, 2320)
    for array in (values, values.T.copy()):
        t = fg.tensor(array)
        assert np.array_equal(t.t().contiguous().numpy(), array.T)
        assert np.array_equal(t.reshape(-1, 1, array.shape[1]).transpose(0, 2).contiguous().numpy()[:, 0], array.T)
