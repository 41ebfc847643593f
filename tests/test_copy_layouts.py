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
