"""A short run of the random programs of tests/fuzz.py, and programs it has found that once differed from torch."""

import warnings

import pytest

import fastgrad
import fuzz

FOUND = {
    "a view sees the history its base gets later": """
        v0 = torch.ones(2, requires_grad=True)
        v1 = torch.zeros(3)
        v2 = v1[1:]
        v1[:2] = v0 * 2
        v3 = v2 * 3
    """,
    "a number written into bool": """
        v0 = torch.tensor([True, False, False])
        v0[v0] = 0.25
        v1 = v0 & v0
        v1.fill_(0.5)
        v2 = torch.full_like(v0, 0.25)
        v0[True] = torch.tensor(2)
        v0[False] = torch.tensor(0)
    """,
    "a number that does not fit": """
        v0 = torch.tensor([1, 2], dtype=torch.uint8)
        v0[v0 > 1] = -1.5
        v0[:0] = 300
        v0.fill_(-1)
        v0.masked_fill_(v0 > 1, 256)
    """,
    "elements are cast before they are summed": """
        v0 = torch.tensor([[1.68, -0.54, -0.18], [0.42, 0.39, 1.99]])
        v1 = v0.sum(1, dtype=torch.int64)
        v2 = v0.prod(1, dtype=torch.int32)
        v3 = v1.sum(0, dtype=torch.bool)
    """,
    "repeating once copies": """
        v0 = torch.tensor([1.0, 2.0])
        v1 = v0.repeat_interleave(1, 0)
        v1.add_(1)
    """,
    "in-place views with history": """
        v0 = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        v1 = v0 * 2
        v2 = v1[0]
        v1.transpose_(0, 1)
        v1.unsqueeze_(0)
        v2.unsqueeze_(1)
        v2.mul_(3)
        v3 = v1 * v2
        v1.squeeze_(0)
        v1.t_()
        v4 = v1.square()
    """,
    "in-place views of leaves": """
        v0 = torch.tensor([[1.0, 2.0]], requires_grad=True)
        v0.t_()
        v1 = torch.zeros(2, 1)
        v1.squeeze_()
        v1.swapaxes_(0, 5)
    """,
    "the result of a root may be overwritten": """
        v0 = torch.tensor([1.0, 4.0], requires_grad=True)
        v1 = v0 ** 0.5
        v1.fill_(2)
        v2 = v0 ** -1
        v2.mul_(v0)
        v3 = v0 * 1
        v3.pow_(0.5)
        v3.exp_()
    """,
    "out= of another dtype": """
        v0 = torch.tensor([True, True])
        v1 = torch.zeros(2)
        torch.add(v0, v0, out=v1)
        v2 = torch.tensor([1.3, 2.1], dtype=torch.bfloat16)
        torch.exp(v2, out=v1)
    """,
    "tensors without dimensions": """
        v0 = torch.tensor(2.0, requires_grad=True)
        v1 = v0.mT
        v2 = v0.movedim(-1, 0)
        v3 = v0.index_fill(0, torch.tensor([0]), 3)
        v4 = (v0 * 1).index_copy(0, torch.tensor([0]), v0)
        v5 = v0.unflatten(0, (1, 1))
        v6 = v0.roll(1, 0)
        v7 = v0.scatter(0, torch.tensor(0), v0.reshape(1))
        v8 = torch.zeros(2).scatter(0, torch.tensor([1]), v0)
    """,
    "source and target in one memory": """
        v0 = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        v0.index_put_((torch.tensor([0, 1]),), v0[0])
        v0[:] = v0
        v1 = v0.clone().requires_grad_()
        v1[:] = v1
    """,
    "shapes and dtypes of index_copy": """
        v0 = torch.zeros(2, 3)
        v0.index_copy_(0, torch.tensor([0]), torch.ones(3))
        v0.index_copy_(0, torch.tensor([0, 1]), torch.ones(1, 3))
        v0.index_copy_(0, torch.tensor([0]), torch.ones(1, 3).double())
        v0.index_copy_(0, torch.tensor([0]), torch.ones(1, 2))
        v0.index_copy_(0, torch.tensor([1]), torch.ones(1, 3))
    """,
    "gradients of a loss keep the dtypes of its inputs": """
        v0 = torch.tensor([1.0, 2.0], dtype=torch.float16, requires_grad=True)
        v1 = torch.tensor([3.0, 5.0], requires_grad=True)
        v2 = F.mse_loss(v0, v1)
        v3 = F.mse_loss(v1, v1 > 4)
    """,
    "weights of lerp": """
        v0 = torch.tensor([1.0, 2.0], requires_grad=True)
        v1 = torch.tensor([3.0, 5.0], requires_grad=True)
        v2 = torch.lerp(v0, v1, True)
    """,
    "cosine similarity broadcasts, then sums": """
        v0 = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]], requires_grad=True)
        v1 = torch.tensor([3.0, 5.0, 1.0])
        v2 = F.cosine_similarity(v0, v1, 0)
        v3 = F.cosine_similarity(v1.long(), v1.long(), 0)
    """,
}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("second", [False, True], ids=["first", "second"])
def test_found(torch, name, second):
    lines = [line.strip() for line in FOUND[name].strip().splitlines()]
    found = fuzz.check(lines, fastgrad, torch, second)
    assert found is None, str(found)


def test_programs(torch):
    for seed in range(200):
        found = fuzz.run(seed, fastgrad, torch)
        assert not found, "\n".join([f"seed {seed}", *found[0], str(found[1])])


def test_a_difference_is_cut_down(torch, monkeypatch):
    """With a wrong sine the program that shows it is a tensor and the sine of it."""
    monkeypatch.setattr(fastgrad.Tensor, "sin", lambda x: x.cos())
    lines = ["v0 = torch.ones(2)", "v1 = torch.tensor([1.0])", "v2 = v1 + 1", "v3 = v2.sin()", "v4 = v3 * v0"]
    again = lambda fewer: fuzz.check(fewer, fastgrad, torch)
    fewest, difference = fuzz.shrink(lines, again(lines), again)
    assert fewest == ["v1 = torch.tensor([1.0])", "v2 = v1 + 1", "v3 = v2.sin()"] and difference.kind == "values"


def test_every_kind_of_difference_is_seen(torch):
    x = torch.ones(2, 3)
    others = {"dtype": x.double(), "shape": x[0], "requires_grad": x.clone().requires_grad_(), "values": x + 1,
              "strides": torch.ones(3, 2).t()}
    assert fuzz.compare("x", x, x.clone()) is None
    for kind, other in others.items():
        with pytest.raises(fuzz.Different) as caught:
            fuzz.compare("x", x, other)
        assert caught.value.kind == kind
