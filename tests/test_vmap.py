"""vmap beside the op list: dimensions, nesting, in-place, indexing, randomness, errors, all compared with torch."""

import numpy as np
import pytest

import fastgrad as fg
from checks import to_numpy


def leaves(result):
    if isinstance(result, dict):
        return [leaf for value in result.values() for leaf in leaves(value)]
    if isinstance(result, (tuple, list)):
        return [leaf for value in result for leaf in leaves(value)]
    return [result]


def outcome(call, m, *arrays):
    """The arrays of a result, or the class of the error."""
    try:
        result = call(m, *[m.tensor(a) for a in arrays])
    except Exception as error:
        return type(error), str(error)
    return [to_numpy(x) if isinstance(x, m.Tensor) else x for x in leaves(result)], None


def compare(torch, call, *arrays, rtol=1e-6):
    theirs, text = outcome(call, torch, *arrays)
    ours, own_text = outcome(call, fg, *arrays)
    if isinstance(theirs, type):
        assert isinstance(ours, type) and issubclass(ours, theirs), (ours, own_text, text)
        return own_text, text
    assert isinstance(ours, list), own_text
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        if isinstance(b, np.ndarray):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-7)
        else:
            assert a == b
    return None


def F(m):
    return m.nn.functional


X = np.random.default_rng(0).standard_normal((3, 4))
Y = np.random.default_rng(1).standard_normal((5, 4))
CUBE = np.random.default_rng(2).standard_normal((2, 3, 4))


def first_moved(m, x):
    y = x.clone()
    y[0] = y[1]
    y[1:] = 0
    y += x
    y.mul_(2).sub_(1)
    return y


def write_rows(m, x, i):
    y = x.clone()
    y[i] = x.sum()
    y[..., -1] = m.arange(3.0).to(x.dtype)[0]
    return y


VALUES = {
    "in_dim_1": lambda m, x, y, c: m.vmap(lambda a: a.sum(), in_dims=1)(x),
    "in_dim_negative": lambda m, x, y, c: m.vmap(lambda a: a * 2, in_dims=-1)(x),
    "in_dims_mixed": lambda m, x, y, c: m.vmap(m.mv, in_dims=(None, 0))(x, y),
    "in_dims_nested": lambda m, x, y, c: m.vmap(
        lambda d, b: d["a"] @ d["b"][0] + b, in_dims=({"a": 0, "b": (1,)}, None)
    )({"a": x, "b": (x.T,)}, 2.0),
    "out_dims": lambda m, x, y, c: m.vmap(lambda a: (a, a.sum(), a), out_dims=(1, 0, -1))(x),
    "out_dims_dict": lambda m, x, y, c: m.vmap(lambda a: {"s": a.sum(), "l": [a]}, out_dims={"s": 0, "l": [1]})(x),
    "out_dims_negative": lambda m, x, y, c: m.vmap(lambda a: a, out_dims=-1)(x),
    "shared_output": lambda m, x, y, c: m.vmap(lambda a: m.ones(2))(x),
    "shared_output_none": lambda m, x, y, c: m.vmap(lambda a: (a, m.ones(2)), out_dims=(0, None))(x),
    "keywords": lambda m, x, y, c: m.vmap(lambda a, *, b: a + b.sum())(x, b=x),
    "chunks": lambda m, x, y, c: m.vmap(lambda a, b: (a @ b, a), in_dims=(0, None), out_dims=(0, 1), chunk_size=2)(
        x, x[0]
    ),
    "nested": lambda m, x, y, c: m.vmap(m.vmap(lambda a, b: a.exp() * b, in_dims=(0, None)), in_dims=(None, 0))(x, x),
    "nested_same": lambda m, x, y, c: m.vmap(m.vmap(m.vmap(lambda a: a.sin())))(c),
    "nested_product": lambda m, x, y, c: m.vmap(lambda a: m.vmap(lambda b: a @ b)(y))(x),
    "outer_product": lambda m, x, y, c: m.vmap(lambda a: m.vmap(lambda b: m.outer(a, b))(y))(x),
    "metadata": lambda m, x, y, c: m.vmap(
        lambda a: (
            a * len(a) * a.dim() * a.size(0) * a.shape[-1] * a.numel() * a.stride(0),
            a.reshape(a.size()),
            a.new_zeros(a.shape[0], 2),
        )
    )(c),
    "attributes": lambda m, x, y, c: m.vmap(
        lambda a: (a.T, a.mT, a.real, a.contiguous().view(-1), a.float().type_as(a))
    )(c),
    "iteration": lambda m, x, y, c: m.vmap(lambda a: sum(row * i for i, row in enumerate(a)))(c),
    "unpacking": lambda m, x, y, c: m.vmap(lambda a: m.stack([*a.unbind(1), a[:, 0]]))(c),
    "splits": lambda m, x, y, c: m.vmap(lambda a: (a.split(2), a.chunk(2), m.tensor_split(a, 3)))(x),
    "joins": lambda m, x, y, c: m.vmap(
        lambda a: (m.cat([a, m.ones(2, dtype=a.dtype)]), m.stack([a, a], -1), m.hstack([a, a]))
    )(x),
    "number_first": lambda m, x, y, c: m.vmap(lambda a: (2 - a, 2 / a, 2**a, 7 // a, 3 % a, 1 > a))(x),
    "promotion": lambda m, x, y, c: m.vmap(
        lambda a: (
            a.sum().to(m.float32) * m.ones(2, dtype=m.float64),
            a.sum() * m.ones(2, dtype=m.float32),
            a.sum() + m.arange(2),
        )
    )(x),
    "einsum": lambda m, x, y, c: m.vmap(lambda a: m.einsum("ij,kj->ik", a, y))(c),
    "in_place": lambda m, x, y, c: m.vmap(lambda a: first_moved(m, a))(c),
    "in_place_input": lambda m, x, y, c: (m.vmap(lambda a: a.add_(1))(x), x),
    "in_place_view": lambda m, x, y, c: (m.vmap(lambda a: (a[1:].mul_(2), a[0].zero_())[0])(c), c),
    "index_number": lambda m, x, y, c: m.vmap(lambda a: (a[0], a[1, 2:], a[None, ..., ::2], a[-1][None]))(c),
    "index_list": lambda m, x, y, c: m.vmap(lambda a: (a[[0, 2]], a[:, [1, 0, 1]], a[[0, 1], [1, 2]]))(c),
    "index_batched": lambda m, x, y, c: m.vmap(lambda a, i: (a[i], a[:, i], a[i, i], a[None, i]))(
        c, m.tensor([[0, 1], [2, 2]])
    ),
    "index_shared_data": lambda m, x, y, c: m.vmap(lambda i: (x[i], x[:, i], x[i, i], x[0, i], c[:, i, i], c[i, :, i]))(
        m.tensor([0, 1])
    ),
    "index_apart": lambda m, x, y, c: m.vmap(lambda a: (a[0, :, [1, 2]], a[[0, 1], :, [1, 2]], a[:, None, [0]]))(
        c.reshape(2, 3, 2, 2).repeat(1, 1, 1, 2)
    ),
    "index_shared_mask": lambda m, x, y, c: m.vmap(lambda a: a[m.tensor([True, False, True])])(c),
    "write_index": lambda m, x, y, c: m.vmap(lambda a, i: write_rows(m, a, i))(c, m.tensor([0, 2])),
    "where_and_fill": lambda m, x, y, c: m.vmap(
        lambda a: (m.where(a > 0, a, 0.0), a.masked_fill(a < 0, 1.0), a.clamp(min=0))
    )(x),
    "reductions": lambda m, x, y, c: m.vmap(
        lambda a: (
            a.sum(),
            a.mean(0),
            a.max(),
            a.max(1),
            a.std(),
            a.norm(),
            a.prod(-1, True),
            a.argmax(),
            a.all(),
            m.logsumexp(a, 0),
        )
    )(c),
    "softmax": lambda m, x, y, c: m.vmap(lambda a: (F(m).softmax(a, 0), F(m).log_softmax(a, -1), a.cumsum(1)))(c),
    "linear": lambda m, x, y, c: m.vmap(lambda a, w: (F(m).linear(a, y), F(m).linear(a, w, w[:, 0])))(
        x, m.stack([y, y, y])
    ),
    "products": lambda m, x, y, c: m.vmap(lambda a, b: (a @ b, m.mm(a, b), a @ b[:, 0], b[:, 0] @ a.T, a[None] @ b))(
        c, c.mT
    ),
    "addmm": lambda m, x, y, c: m.vmap(lambda a: m.addmm(a @ y.T, a, y.T, beta=0.5, alpha=2.0))(c),
    "cross_entropy": lambda m, x, y, c: m.vmap(
        lambda a, t: (F(m).cross_entropy(a, t), F(m).nll_loss(a.log_softmax(-1), t))
    )(c, m.tensor([[0, 1, 3], [2, 2, -100]])),
    "losses": lambda m, x, y, c: m.vmap(
        lambda a: (F(m).mse_loss(a, y[0]), F(m).l1_loss(a, a * 2), F(m).huber_loss(a, y[1]))
    )(x),
    "norms": lambda m, x, y, c: m.vmap(
        lambda a, w: (F(m).layer_norm(a, (4,)), F(m).layer_norm(a, (4,), w, w), F(m).normalize(a))
    )(c, c[:, 0]),
    "embedding": lambda m, x, y, c: m.vmap(lambda i: F(m).embedding(i, x))(m.tensor([[0, 1], [2, 2]])),
    "embedding_own": lambda m, x, y, c: m.vmap(lambda w: F(m).embedding(m.tensor([0, 1]), w))(c),
    "conv": lambda m, x, y, c: m.vmap(lambda a: F(m).conv1d(a, m.ones(2, 3, 2, dtype=a.dtype)))(c),
    "conv_own_kernel": lambda m, x, y, c: m.vmap(lambda w: F(m).conv1d(c, w, padding=1))(m.stack([c, c * 2])),
    "attention": lambda m, x, y, c: m.vmap(lambda a: F(m).scaled_dot_product_attention(a, a, a))(c),
    "one_hot": lambda m, x, y, c: m.vmap(lambda i: F(m).one_hot(i, 4))(m.tensor([1, 3])),
    "gather": lambda m, x, y, c: m.vmap(
        lambda a, i: (a.gather(0, i), a.scatter(0, i, 1.0), a.scatter_add(0, i, a[:2]))
    )(x, m.tensor([[0, 1], [3, 2], [2, 0]])),
    "shape_words": lambda m, x, y, c: m.vmap(
        lambda a: (
            a.flatten(),
            a.unsqueeze(-1).squeeze(-1),
            a.movedim(0, 1),
            a.expand(2, 3, 4),
            a.repeat(2, 1),
            a.flip(0),
            a.roll(1, 0),
            a.permute(1, 0),
        )
    )(c),
    "grad_through": lambda m, x, y, c: m.autograd.grad(m.vmap(lambda a: a.sin().sum())(x.requires_grad_()).sum(), x),
    "rand_different": lambda m, x, y, c: (
        m.manual_seed(0),
        m.vmap(lambda a: a.float() + m.rand(4), randomness="different")(x),
    )[1],
    "rand_same": lambda m, x, y, c: (m.manual_seed(0), m.vmap(lambda a: a.float() + m.randn(4), randomness="same")(x))[
        1
    ],
    "bernoulli": lambda m, x, y, c: (
        m.manual_seed(0),
        m.vmap(lambda a: m.bernoulli(a.sigmoid()), randomness="different")(x),
    )[1],
    "normal_": lambda m, x, y, c: (m.manual_seed(0), m.vmap(lambda a: a.clone().normal_(), randomness="different")(x))[
        1
    ],
    "randint": lambda m, x, y, c: (
        m.manual_seed(0),
        m.vmap(lambda a: m.randint(0, 9, (3,)), randomness="different")(x),
    )[1],
    "dropout_eval": lambda m, x, y, c: m.vmap(lambda a: F(m).dropout(a, training=False))(x),
}
VALUES.update(
    {
        f"binary_{name}": lambda m, x, y, c, name=name: m.vmap(getattr(m, name), in_dims=(0, None))(x, y[0])
        for name in ("add", "sub", "mul", "maximum", "atan2", "eq")
    }
)


@pytest.mark.parametrize("call", VALUES.values(), ids=list(VALUES))
def test_values_as_torch(torch, call):
    assert compare(torch, call, X, Y, CUBE) is None


ERRORS = {
    "sizes": lambda m, x, y: m.vmap(m.add)(x, y),
    "non_tensor_output": lambda m, x, y: m.vmap(lambda a: 3)(x),
    "no_output": lambda m, x, y: m.vmap(lambda a: None)(x),
    "item": lambda m, x, y: m.vmap(lambda a: a.sum().item())(x),
    "branch": lambda m, x, y: m.vmap(lambda a: a if a.sum() > 0 else -a)(x),
    "float": lambda m, x, y: m.vmap(lambda a: float(a.sum()))(x),
    "list_index": lambda m, x, y: m.vmap(lambda i: [1, 2, 3][i])(m.tensor([0, 1])),
    "numpy": lambda m, x, y: m.vmap(lambda a: a.numpy())(x),
    "tolist": lambda m, x, y: m.vmap(lambda a: a.tolist())(x),
    "data_ptr": lambda m, x, y: m.vmap(lambda a: (a.data_ptr(), a)[1])(x),
    "data": lambda m, x, y: m.vmap(lambda a: a.data)(x),
    "random": lambda m, x, y: m.vmap(lambda a: a + m.rand(4))(x),
    "random_in_place": lambda m, x, y: m.vmap(lambda a: a.clone().normal_())(x),
    "random_dropout": lambda m, x, y: m.vmap(lambda a: m.nn.functional.dropout(a))(x),
    "random_shared": lambda m, x, y: m.vmap(lambda a: a + m.empty(4).normal_(), randomness="different")(x),
    "randomness": lambda m, x, y: m.vmap(lambda a: a, randomness="x")(x),
    "in_dims_kind": lambda m, x, y: m.vmap(lambda a: a, in_dims="x")(x),
    "in_dims_float": lambda m, x, y: m.vmap(lambda a: a, in_dims=(0.5,))(x),
    "in_dims_structure": lambda m, x, y: m.vmap(lambda a: a, in_dims=(0, 0))(x),
    "in_dims_range": lambda m, x, y: m.vmap(lambda a: a, in_dims=2)(x),
    "in_dims_none": lambda m, x, y: m.vmap(lambda a: a, in_dims=(None,))(x),
    "in_dims_all_none": lambda m, x, y: m.vmap(lambda a: a, in_dims=None)(x),
    "number_input": lambda m, x, y: m.vmap(lambda a: a)(3),
    "no_dimension": lambda m, x, y: m.vmap(lambda a: a)(m.tensor(1.0)),
    "no_inputs": lambda m, x, y: m.vmap(lambda: m.ones(1))(),
    "out_dims_range": lambda m, x, y: m.vmap(lambda a: a, out_dims=3)(x),
    "out_dims_none": lambda m, x, y: m.vmap(lambda a: a, out_dims=None)(x),
    "out_dims_structure": lambda m, x, y: m.vmap(lambda a: a, out_dims=(0, 0))(x),
    "out_dims_kind": lambda m, x, y: m.vmap(lambda a: a, out_dims="a")(x),
    "chunk_size": lambda m, x, y: m.vmap(lambda a: a, chunk_size=0)(x),
    "shared_in_place": lambda m, x, y: m.vmap(lambda a: m.zeros(4).copy_(a))(x),
    "shared_write": lambda m, x, y: m.vmap(lambda a: m.zeros(4).__setitem__(0, a[0]))(x),
    "out_argument": lambda m, x, y: m.vmap(lambda a: m.add(a, 1, out=m.zeros(4)))(x),
    "nonzero": lambda m, x, y: m.vmap(lambda a: m.nonzero(a))(x),
    "mask": lambda m, x, y: m.vmap(lambda a: a[a > 0])(x),
    "masked_select": lambda m, x, y: m.vmap(lambda a: m.masked_select(a, a > 0))(x),
    "backward": lambda m, x, y: m.vmap(lambda a: a.sum().backward())(x.requires_grad_()),
    "requires_grad_": lambda m, x, y: m.vmap(lambda a: a.detach().requires_grad_())(x),
    "deepcopy": lambda m, x, y: m.vmap(lambda a: __import__("copy").deepcopy(a))(x),
    "not_callable": lambda m, x, y: m.vmap(3)(x),
    "dim_range": lambda m, x, y: m.vmap(lambda a: a.sum(1))(x),
    "transpose_range": lambda m, x, y: m.vmap(lambda a: a.transpose(0, -2))(x),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_as_torch(torch, name):
    ours, theirs = compare(torch, ERRORS[name], X, Y)
    if theirs.startswith("vmap"):  # the same words at least at the start
        assert ours[:40] == theirs[:40]


def test_a_batched_tensor_shows_one_example():
    seen = []

    def look(a):
        seen.append((a.shape, len(a), a.ndim, a.is_contiguous(), isinstance(a, fg.Tensor), repr(a)))
        return a

    fg.vmap(look)(fg.zeros(2, 3))
    assert seen[0][:5] == ((3,), 3, 1, True, True) and seen[0][5].startswith("BatchedTensor(lvl=1, bdim=0, value=\n")


def test_the_state_is_restored_after_an_error():
    with pytest.raises(ZeroDivisionError):
        fg.vmap(lambda a: 1 / 0)(fg.zeros(2))
    fg.rand(2)  # no vmap is running any more
    from fastgrad._vmap.batched import levels

    assert levels() == []


def test_random_numbers():
    def noise(randomness, n=4):
        fg.manual_seed(3)
        return fg.vmap(lambda a: fg.nn.functional.dropout(a, 0.5), randomness=randomness)(fg.ones(n, 16))

    same, different = noise("same"), noise("different")
    assert all(row.equal(same[0]) for row in same) and not all(row.equal(different[0]) for row in different)
    fg.manual_seed(0)
    alone = fg.rand(2)
    fg.manual_seed(0)
    chunked = fg.vmap(lambda a: a + fg.rand(2), randomness="same", chunk_size=1)(fg.zeros(3, 2))
    assert all(row.equal(alone) for row in chunked)
    drawn = fg.vmap(lambda a: fg.randperm(8), randomness="different")(fg.zeros(3))
    assert drawn.shape == (3, 8) and all(sorted(row.tolist()) == list(range(8)) for row in drawn)
    picked = fg.vmap(lambda p: fg.multinomial(p, 2), randomness="different")(fg.ones(3, 5))
    assert picked.shape == (3, 2)


def test_writing_a_number_where_a_mask_is_true():  # torch refuses
    def write(a):
        b = a.clone()
        b[a > 0] = 7.0
        return b

    x = fg.tensor(X)
    assert fg.vmap(write)(x).equal(x.masked_fill(x > 0, 7.0))
    assert fg.vmap(lambda a: a.sum(keepdim=True))(x).shape == (3, 1)


def test_matrices():
    A, b = fg.randn(3, 4, 4, dtype=fg.float64), fg.randn(3, 4, dtype=fg.float64)
    linalg = fg.linalg
    for f, args, dims in (
        (linalg.solve, (A, b), (0, 0)),
        (linalg.solve, (A, b[0]), (0, None)),
        (linalg.solve, (A[0], b), (None, 0)),
        (linalg.inv, (A,), (0,)),
        (fg.Tensor.det, (A,), (0,)),
        (linalg.slogdet, (A,), (0,)),
        (linalg.norm, (A,), (0,)),
        (linalg.svdvals, (A,), (0,)),
    ):
        found = fg.vmap(f, in_dims=dims)(*args)
        for i in range(3):
            expected = f(*[a if d is None else a[i] for a, d in zip(args, dims)])
            for x, y in zip(leaves(found), leaves(expected)):
                np.testing.assert_allclose(x[i].numpy(), y.numpy(), rtol=1e-9, atol=1e-12)


def test_batch_norm_needs_statistics_of_each_example():
    net = fg.nn.BatchNorm1d(4)
    x = fg.randn(3, 5, 4)
    with pytest.raises(RuntimeError, match="running_mean"):
        fg.vmap(net)(x)
    np.testing.assert_allclose(
        fg.vmap(net.eval())(x).detach().numpy(),
        net(x.reshape(15, 4)).detach().numpy().reshape(3, 5, 4),
        rtol=1e-5,
        atol=1e-6,
    )
    own = fg.func.replace_all_batch_norm_modules_(fg.nn.Sequential(fg.nn.BatchNorm1d(4))).train()
    np.testing.assert_allclose(fg.vmap(own)(x)[1].detach().numpy(), own(x[1]).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_custom_functions():
    class Cube(fg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g

    class Doubled(Cube):
        @staticmethod
        def vmap(info, in_dims, x):
            assert info.batch_size == 3 and in_dims == (0,)
            return 2 * x, 0

    x = fg.tensor(X, requires_grad=True)
    y = fg.vmap(Cube.apply)(x)
    np.testing.assert_allclose(y.detach().numpy(), X**3)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * X**2)
    assert fg.vmap(Doubled.apply)(x).equal(2 * x)


def test_subclass_overrides_do_not_mix():
    class Seen(fg.Tensor):
        pass

    x = fg.ones(3, 2).as_subclass(Seen)
    assert fg.vmap(lambda a: a + 1)(fg.ones(3, 2)).tolist() == (x + 1).tolist()


def test_threads_have_their_own_levels():
    import threading

    results = []

    def work():
        results.append(fg.vmap(lambda a: a.sum())(fg.ones(2, 3)).tolist())

    def inner(a):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return a

    fg.vmap(inner)(fg.ones(4))
    assert results == [[3.0, 3.0]]
