"""segment_reduce: results, gradients and classes of errors are torch's."""

import pytest

from checks import same_as_torch

SEGMENTS = {
    "lengths": lambda m, x, r: m.segment_reduce(x, r, lengths=m.tensor([1, 0, 3])),
    "offsets": lambda m, x, r: m.segment_reduce(x, r, offsets=m.tensor([1, 2, 4])),
    "initial": lambda m, x, r: m.segment_reduce(x, r, lengths=m.tensor([1, 0, 3]), initial=2),
    "unsafe": lambda m, x, r: m.segment_reduce(x, r, lengths=m.tensor([1, 2]), unsafe=True),
    "rows": lambda m, x, r: m.segment_reduce(x, r, lengths=m.tensor([[1, 2], [3, 0], [0, 3], [2, 1]]), axis=1),
    "rows_offsets": lambda m, x, r: m.segment_reduce(x, r, offsets=m.tensor([[0, 2, 3]] * 4), axis=-1),
    "int32": lambda m, x, r: m.segment_reduce(x, r, lengths=m.tensor([2, 2]).int()),
    "nothing": lambda m, x, r: m.segment_reduce(x[:0], r, lengths=m.tensor([0, 0])),
    "none": lambda m, x, r: m.segment_reduce(x, r),
    "indices": lambda m, x, r: m.segment_reduce(x, r, indices=m.tensor([0, 0, 1, 1])),
    "short": lambda m, x, r: m.segment_reduce(x, r, lengths=m.tensor([1, 2])),
    "negative": lambda m, x, r: m.segment_reduce(x, r, lengths=m.tensor([1, -1, 4])),
    "axis": lambda m, x, r: m.segment_reduce(x, r, lengths=m.tensor([1, 2]), axis=1),
    "dtype": lambda m, x, r: m.segment_reduce(x.long(), r, lengths=m.tensor([4])),
    "name": lambda m, x, r: m.segment_reduce(x, "median" + r, lengths=m.tensor([4])),
}


@pytest.mark.parametrize("reduce", ["sum", "mean", "prod", "max", "min"])
@pytest.mark.parametrize("name", SEGMENTS)
def test_segment_reduce(name, reduce, torch):
    """Results, gradients and classes of errors."""
    def call(m):
        x = m.tensor([[1.0, -2.0, 3.0], [0.0, 2.0, 4.0], [5.0, 1.0, 4.0], [-1.0, 0.5, 4.0]], requires_grad=True)
        y = SEGMENTS[name](m, x, reduce)
        (grad,) = m.autograd.grad((y * m.arange(1.0, 1 + y.numel()).reshape(y.shape)).nan_to_num().sum(), x)
        return y, grad

    same_as_torch(torch, call)
