"""Rarely called methods that change a tensor: what they leave of history and versions, and what they refuse."""
import pytest

import fastgrad as fg
from checks import same_as_torch


def leaf(m):
    return m.ones(2, requires_grad=True)


CALLS = {
    "set_leaf": lambda m: leaf(m).set_(m.zeros(2)),
    "as_strided_leaf": lambda m: leaf(m).as_strided_((2,), (1,)),
    "map2_recorded": lambda m: (leaf(m) * 1).map2_(m.ones(2), m.ones(2), lambda a, b, c: a),
    "map2_other_recorded": lambda m: m.ones(2).map2_(m.ones(2), leaf(m), lambda a, b, c: a),
    "map2_dtype": lambda m: m.ones(2).map2_(m.ones(2, dtype=m.int64), m.ones(2), lambda a, b, c: a),
    "resize_transposed": lambda m: m.arange(6).view(2, 3).t().resize(6),
    "unsafe_chunk": lambda m: m.unsafe_chunk(leaf(m) * 3, 2)[0].mul_(2),
    "unsafe_split": lambda m: m.unsafe_split(leaf(m) * 3, 1)[1].mul_(2),
    "unsafe_split_with_sizes": lambda m: m.unsafe_split_with_sizes(leaf(m) * 3, [1, 1])[1].mul_(2),
    "unsafe_chunk_plain": lambda m: (lambda x: (m.unsafe_chunk(x, 2)[0].mul_(2), x))(m.ones(4)),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name, torch):
    same_as_torch(torch, CALLS[name])


def test_gradient_through_parts_that_were_changed():
    x = fg.ones(4, requires_grad=True)
    a, b = fg.unsafe_chunk(x * 3, 2)
    a.mul_(2)
    (a + b).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0, 3.0, 3.0]


def test_set_is_a_change_of_the_tensor_alone(torch):
    for m in (torch, fg):
        a, x, y = leaf(m), m.ones(2), m.zeros(2)
        z, of_source = a * x, a * y
        x.set_(y)
        assert (x._version, y._version) == (1, 0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()
        of_source.sum().backward()
        assert a.grad.tolist() == [0.0, 0.0]
