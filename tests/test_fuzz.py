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
        v4 = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
        v5 = v4 ** 0.5
        v6 = v5 / v4
        v5 += v5
        v7 = v4 ** -1
        v7.mul_(v4)
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
    "numbers and a mask of another dtype": """
        v0 = torch.tensor([True, False, True])
        v1 = torch.tensor([-1.88], dtype=torch.float64)
        v0[[True, False, True]] = v1
        v0[torch.tensor([0])] = v1
        v2 = torch.zeros(2, 3, dtype=torch.int64)
        v2[:, torch.tensor([True, False, True])] = v1
        v2.index_put_((torch.tensor([True, False]),), v1)
        v2.index_put_((torch.tensor([True, False]),), v1, accumulate=True)
    """,
    "roots of float16": """
        v0 = torch.tensor([float('-inf'), -0.0, 4.0], dtype=torch.float16)
        v1 = v0 ** 0.5
        v2 = v0.pow(-0.5)
        v0.pow_(0.5)
    """,
    "lists of numbers": """
        v0 = torch.tensor([0.25, -1], dtype=torch.uint8)
        v1 = torch.tensor([0.5, 2**53 + 1], dtype=torch.int64)
        v2 = torch.tensor([2**70], dtype=torch.bool)
        v3 = torch.tensor([2**63, 1.0])
        v4 = torch.tensor([2**63])
        v5 = torch.tensor([torch.tensor(300.0)], dtype=torch.uint8)
        v6 = torch.tensor([torch.tensor(300), 1], dtype=torch.uint8)
        v7 = torch.tensor([1j], dtype=torch.float32)
        v8 = torch.ones(2) + 2**63
        v9 = torch.full((2,), 2**63)
        v10 = torch.tensor(2**70, dtype=torch.float64)
    """,
    "products in place": """
        v0 = torch.tensor([1.0, 2.0], requires_grad=True)
        v1 = v0 * 1
        v1.cumprod_(0)
        v2 = torch.tensor([1 + 2j, 2.0], requires_grad=True)
        v3 = v2 * 1
        v3.cumprod_(0)
    """,
    "complex views in place": """
        v0 = torch.tensor([[1 + 2j, 3.0]], requires_grad=True)
        v1 = v0.sin()
        v1.t_()
        v2 = v0 * v0
        v2.squeeze_()
        v3 = v0.cos()
        v3.unsqueeze_(0)
        v4 = v3 * 2
    """,
    "out= is laid out as the result": """
        v0 = torch.ones(2, 3)
        v1 = torch.sub(v0.t(), v0.t(), out=torch.empty(0))
        v2 = torch.exp(v0.t(), out=torch.empty(0))
        v3 = torch.cumsum(torch.tensor([-1.1748, -1.0986, -2.9727], dtype=torch.float16), 0, out=torch.empty(0))
        v4 = torch.sum(torch.tensor([-0.12, -1.64, -1.88], dtype=torch.bfloat16), 0, out=torch.empty(0))
        v5 = torch.mean(torch.tensor([-0.12, -1.64, -1.88], dtype=torch.bfloat16), 0, out=torch.empty(0))
        v6 = torch.matmul(v0.double(), v0.double().t(), out=torch.empty(0))
        v7 = torch.amax(v0, 0, out=torch.empty(0).double())
        v8 = torch.nansum(v0, 0, out=torch.empty(0))
    """,
    "an expanded leading dimension": """
        v0 = torch.arange(6.0).view(2, 3).mT.broadcast_to((1, 2, 3, 2))
        v1 = v0 + 1
        v2 = v0.long()
    """,
    "a part of another shape": """
        v0 = torch.arange(6.0).reshape(3, 2)
        v1 = v0.select_scatter(torch.tensor(1.0), 0, 0)
        v2 = v0.slice_scatter(torch.ones(2), 0, 0, 1)
        v3 = v0.diagonal_scatter(torch.ones(1))
        v4 = v0[:, :1].select_scatter(torch.ones(1), 0, 0)
        v5 = v0.index_reduce(0, torch.tensor([0]), torch.ones(1, 3), 'amax')
        v6 = torch.cartesian_prod(v0, v0[0])
        v7 = torch.addr(v0, v0, v0[0])
        v8 = torch.addr(torch.tensor(1, dtype=torch.float64), v0[0], v0[1])
        v9 = torch.addmv(torch.ones(3), torch.ones(1, 3), torch.ones(3))
        v10 = torch.addbmm(torch.ones(2, 3, 3), torch.ones(1, 3, 3), torch.ones(1, 3, 3))
        v11 = torch.empty(0).roll(-1, -2)
    """,
    "layouts of compositions": """
        v0 = torch.arange(6.0).reshape(3, 2).t()
        v1 = v0.masked_scatter(v0 > 3, torch.ones(6))
        v2 = v0.logcumsumexp(0)
        v3 = v0.renorm(2, 0, 1.0)
        v4 = F.rms_norm(v0, (3,))
        v5 = torch.complex(v0, v0).angle()
        v6 = v0.put(torch.tensor([1, 0]), torch.ones(2))
    """,
    "dtypes of compositions": """
        v0 = torch.tensor([1, 3, 0])
        v1 = torch.vander(v0.to(torch.uint8))
        v2 = v0.cov()
        v3 = v0[None].cov()
        v4 = v0[None].corrcoef()
        v5 = v0.bool().cov()
        v6 = torch.ldexp(torch.tensor(1.0, dtype=torch.bfloat16), v0)
        v7 = torch.block_diag(torch.tensor(2), v0.int())
        v8 = torch.logaddexp2(torch.tensor([0.3], dtype=torch.float16), torch.tensor([0.6], dtype=torch.float64))
        v9 = torch.trapezoid(v0.bool())
        v10 = True - torch.ones(2, dtype=torch.complex64)
    """,
    "losses of unlike tensors": """
        v0 = torch.tensor([1.0, 2.0], dtype=torch.float16)
        v1 = torch.tensor([3, 5])
        v2 = F.huber_loss(v0, v0.double() + 1)
        v3 = F.margin_ranking_loss(v1, v1, v1)
        v4 = F.hinge_embedding_loss(v1, v1)
        v5 = F.soft_margin_loss(v0.float(), v1 > 3)
        v6 = F.soft_margin_loss(v0.float(), v0.double())
        v7 = F.soft_margin_loss(v0, v0.clone().requires_grad_())
        v8 = F.cross_entropy(torch.empty(2, 0), torch.empty(2, 0))
        v9 = F.group_norm(torch.ones(1, 1, 1), 1)
        v10 = F.bilinear(v0[None], v1[None], torch.ones(1, 2, 2))
        v11 = F.bilinear(v1[None], v1[None], v1.expand(1, 2, 2))
    """,
    "nothing to choose from": """
        v0 = torch.empty(0, requires_grad=True)
        v1 = v0.median()
        v2 = v0.nanmedian()
        v3 = torch.empty(0, dtype=torch.int16).median()
        v4 = torch.combinations(v0)
        v5 = torch.empty(0).logcumsumexp(1)
    """,
    "large integers in complex numbers": """
        v0 = torch.tensor([1068624773, -1079278305], dtype=torch.int32)
        v1 = v0.to(torch.complex128)
        v2 = v0.cumsum(0, dtype=torch.complex128)
    """,
    "a source of which nothing is taken": """
        v0 = torch.zeros(3)
        v1 = torch.ones(3, requires_grad=True)
        v2 = v0.masked_scatter(v0 > 1, v1)
    """,
    "more than one ellipsis": """
        v0 = torch.arange(12).view(2, 2, 1, 3)
        v1 = v0[..., :-1, True, ...]
        v2 = v0[..., 0, ...]
        v3 = v0[..., None, ...]
        v4 = v0[..., ...]
        v5 = v0[0, ..., ..., 0]
        v6 = F.scaled_dot_product_attention(torch.ones(2, 0), torch.ones(2, 0), torch.ones(2, 4))
    """,
    "operands are rounded to the half types first": """
        v0 = torch.tensor([300.0, 1.5, -7.0], dtype=torch.bfloat16)
        v1 = v0 < 300.1
        v2 = v0 - torch.tensor(1.001)
        v3 = v0 % 1.001
        v4 = v0 + torch.tensor([257, 3, 1001])
        v5 = torch.tensor(1.001) * v0
        v6 = v0 // 1.001
        v7 = torch.tensor([0.3, 2.0], dtype=torch.float16) ** 2.3
        v8 = torch.lerp(v0, v0 + 8, torch.tensor(0.333))
    """,
    "operands wrap around in the small integers first": """
        v0 = torch.tensor([7, 200, 3], dtype=torch.uint8)
        v1 = v0 % torch.tensor(-3)
        v2 = v0 // torch.tensor(-3)
        v3 = torch.gcd(v0, torch.tensor(-192))
        v4 = v0 < torch.tensor(300)
        v5 = torch.maximum(v0, torch.tensor(-1, dtype=torch.int8))
        v6 = v0.to(torch.int8) == torch.tensor(263)
    """,
    "products of unlike dtypes": """
        v0 = torch.ones(2, 3)
        v1 = torch.tensordot(v0, v0.double(), 2)
        v2 = torch.tensordot(torch.ones(2, 1, 3, dtype=torch.int8), torch.ones(2, 1, 3, dtype=torch.int8), 2)
        v3 = torch.addmv(torch.tensor(True), v0, v0[0])
        v4 = torch.addbmm(v0[0].half(), v0[None], v0.mT[None])
        v5 = torch.addr(torch.zeros(1, 1, dtype=torch.complex128), torch.tensor([0.1]), torch.tensor([0.3]))
        v6 = torch.bucketize(torch.tensor(0.1, dtype=torch.float64), torch.tensor([0.1]))
    """,
    "layouts of what is chosen or turned": """
        v0 = torch.arange(12.0).reshape(2, 2, 3).expand(2, 2, 2, 3).mT
        v1 = v0.sort(dim=-4, stable=True)
        v2 = torch.arange(6.0).reshape(2, 3).rot90()
        v3 = torch.ones(2, 3).expand(2, 2, 3).rot90(3)
        v4 = torch.diag(torch.ones(3, 1)).int().view(torch.uint8)
        v5 = torch.frexp(torch.arange(6.0).reshape(2, 3).mT)
        v6 = torch.empty(0, requires_grad=True).diff()
        v6.div_(v6)
        v7 = torch.arange(6.0, requires_grad=True).reshape(2, 3) * 1
        with torch.no_grad(): v8 = v7.rot90()
        v8.mul_(v7.mT)
    """,
    "gradients at the edge": """
        v0 = torch.tensor([0.0, 0.5], dtype=torch.float64, requires_grad=True)
        v1 = torch.sinc(v0).atanh()
        v2 = torch.tensor([1 + 2j, 1 + 2j], requires_grad=True)
        v3 = v2.std()
        v4 = torch.tensor([60.0, 60.0], dtype=torch.float16, requires_grad=True)
        v5 = torch.linalg.vector_norm(v4, 3)
    """,
    "weight 0 next to NaN": """
        v0 = torch.tensor([[[1.0, float('nan'), 3.0]]])
        v1 = F.interpolate(v0, 5, mode='linear')
        v2 = F.interpolate(v0, 5, mode='linear', align_corners=True)
        v3 = F.interpolate(v0[..., None], (6, 2), mode='bilinear')
    """,
    "imaginary parts of sums of logarithms": """
        v0 = torch.tensor([1.9 + 1.4j, 5 - 3j, 6.1 - 8j, 1 + 2j], requires_grad=True)
        v1 = v0.logcumsumexp(0)
    """,
    "scaled by powers of two": """
        v0 = torch.ldexp(*torch.frexp(torch.tensor([3e38, -1e-45])))
        v1 = torch.ldexp(torch.tensor([1e30]), torch.tensor([-160]))
        v2 = torch.ldexp(torch.tensor([1e-3], dtype=torch.float16), torch.tensor([20]))
        v3 = torch.ldexp(torch.tensor(3.2277, dtype=torch.float64), torch.tensor(-1.1015625, dtype=torch.bfloat16))
        v4 = torch.ldexp(torch.tensor(3), torch.tensor([2, 5]))
    """,
    "compositions in half types": """
        v0 = torch.sinc(torch.tensor([1.0, 2.0, 10.0, 87.5], dtype=torch.bfloat16)) * 1000
        v1 = torch.logit(torch.tensor([0.3, 0.7], dtype=torch.bfloat16))
    """,
    "gradients at and beyond the ends": """
        v0 = torch.tensor([0.3, 0.5, 1e-45], requires_grad=True)
        v1 = torch.sinc(v0)
        v2 = torch.logit(v0[:2])
        v3 = torch.logit(torch.tensor([0.0, 1.0, -0.5, 2.0]))
        v4 = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        v5 = v4.index_fill(1, torch.tensor([1, 1]), v0[0])
        v6 = v4.index_fill(1, torch.tensor([[1]]), 1)
        v7 = v4.index_fill(1, torch.tensor([1], dtype=torch.int32), 1)
        v8 = v4.index_fill(1, torch.tensor([1]), v0[:1])
    """,
    "reductions over nothing": """
        v0 = torch.tensor([0, 2, 3], dtype=torch.uint8)
        v1 = v0.any(dim=())
        v2 = v0.all(dim=())
        v3 = torch.ones(0, 3, dtype=torch.int64) % 0
        v4 = torch.linalg.vector_norm(torch.ones(0, 3), -2, 0)
        v5 = torch.var(torch.full((8, 3), 1e308, dtype=torch.float64), 0)
        v6 = torch.logcumsumexp(torch.tensor([float('inf') + 0j, float('inf') + 0j, 1 + 1j]), 0)
    """,
    "bytes of bool that are neither 0 nor 1": """
        v0 = torch.tensor([2] * 8, dtype=torch.uint8).view(torch.bool)
        v1 = ~v0
        v2 = v0 & torch.ones(8, dtype=torch.bool)
        v3 = v0 ^ v2
        v4 = torch.logical_or(v1, v0)
        v5 = torch.ones(8, dtype=torch.bool)
        v5.view(torch.uint8).fill_(4)
        v6 = v5 & v2
    """,
    "other requirements of gradients": """
        v0 = torch.tensor([1.0, 2.0], requires_grad=True)
        v1 = v0 * 2
        v1.requires_grad = True
        v1.requires_grad_()
        v2 = v0.view(torch.float32)
        v0.set_(torch.ones(2))
        v3 = torch.ones(2, 3)[0]
        v3.resize_(2)
        v4 = torch.cdist(torch.ones(2, 2), torch.ones(2, 2).double())
        v5 = torch.cross(torch.ones(3), torch.ones(3).double())
        v6 = torch.cross(torch.ones(3), torch.ones(2, 3))
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
