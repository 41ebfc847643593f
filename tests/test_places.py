"""masked_scatter, put and index_reduce: results, gradients and classes of errors are torch's."""
import pytest

import fastgrad as fg
from checks import assert_same, same_as_torch

X = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def i(m, *values):
    return m.tensor(list(values))


CALLS = {
    "masked_scatter": lambda m, x: m.masked_scatter(x, x > 2, m.ones(5)),
    "masked_scatter_": lambda m, x: x.clone().masked_scatter_(x > 2, m.ones(5)),
    "masked_scatter_few": lambda m, x: x.masked_scatter(x > 2, m.ones(1)),
    "masked_scatter_none": lambda m, x: x.masked_scatter(x > 9, m.ones(0)),
    "masked_scatter_row": lambda m, x: x.masked_scatter(m.tensor([True, False, True]), m.arange(6.0)),
    "masked_scatter_mask": lambda m, x: x.masked_scatter(i(m, 1, 0, 1), m.ones(5)),
    "put": lambda m, x: m.put(x, i(m, 0, -1), m.tensor([9.0, 8.0])),
    "put_": lambda m, x: x.clone().put_(i(m, 0, 0), m.tensor([9.0, 8.0]), accumulate=True),
    "put_transposed": lambda m, x: x.t().put(i(m, 1, 4), m.tensor([9.0, 8.0])),
    "put_outside": lambda m, x: m.put(x, i(m, 7), m.tensor([9.0])),
    "put_count": lambda m, x: m.put(x, i(m, 0, 1), m.tensor([9.0])),
    "put_dtype": lambda m, x: m.put(x, i(m, 0), i(m, 9)),
    "index_reduce_reduce": lambda m, x: x.clone().index_reduce_(0, i(m, 0), m.ones(1, 3), "sum"),
    "index_reduce_count": lambda m, x: x.index_reduce(0, i(m, 0), m.ones(2, 3), "mean"),
    "index_reduce_1d": lambda m, x: x[0].index_reduce(0, i(m, 0, 0), m.tensor([5.0, 7.0]), "amax"),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name, torch):
    same_as_torch(torch, lambda m: CALLS[name](m, m.tensor(X)))


@pytest.mark.parametrize("reduce", ["prod", "mean", "amax", "amin"])
def test_index_reduce(reduce, torch):
    for include_self in (True, False):
        results = []
        for m in (fg, torch):
            x = m.tensor([[1.0, -2.0], [3.0, 4.0], [5.0, 0.5]], requires_grad=True)
            s = m.tensor([[2.0, 3.0], [-1.0, 6.0], [0.25, 1.0]], requires_grad=True)
            y = m.index_reduce(x, 0, m.tensor([0, 2, 0]), s, reduce, include_self=include_self)
            y.sum().backward()
            z = x.detach().clone().index_reduce_(0, m.tensor([0, 2, 0]), s.detach(), reduce, include_self=include_self)
            results.append((y, x.grad, s.grad, z))
        assert_same(*results)


def test_gradients_of_places(torch):
    calls = (
        lambda m, x, s: x.masked_scatter(m.tensor([[True, False, True], [False, True, False]]), s),
        lambda m, x, s: m.put(x, m.tensor([0, 3, -1, 2]), s),
        lambda m, x, s: m.put(x, m.tensor([0, 3, 3, 0]), s, accumulate=True),
        lambda m, x, s: (x * 1).masked_scatter_(x > 2, s) * 2,
    )
    for call in calls:
        results = []
        for m in (fg, torch):
            x, s = m.tensor(X, requires_grad=True), m.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
            y = call(m, x, s)
            (y * y).sum().backward()
            results.append((y, x.grad, s.grad))
        assert_same(*results)


def test_masked_scatter_gradients(torch):
    for limit in (-9, 0, 9):  # all, some, none
        grads = []
        for m in (fg, torch):
            x = m.arange(12.0).reshape(3, 4).sub(6).requires_grad_()
            source = m.arange(20.0).requires_grad_()
            y = x.masked_scatter(x.detach() > limit, source)
            (y * m.arange(12.0).reshape(3, 4)).sum().backward()
            grads.append((y.detach().numpy(), x.grad.numpy(), source.grad.numpy()))
        for one, two in zip(*grads):
            assert (one == two).all()
