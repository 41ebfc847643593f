"""Wrong calls: torch's class of error, a text that names the op and what clashes, and nothing half-changed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastgrad as fg


def f(m, *shape):
    return m.arange(float(np.prod(shape))).view(shape) if shape else m.tensor(1.0)


def i(m, *values):
    return m.tensor(list(values))


# name: (call, words that the text must have one of)
CASES = {
    "add shapes": (lambda m: f(m, 2, 3) + f(m, 2, 4), ("add",)),
    "mul shapes": (lambda m: m.mul(f(m, 3), f(m, 4)), ("mul",)),
    "add_ shape": (lambda m: f(m, 3).add_(f(m, 2, 3)), ("add_", "add")),
    "where shapes": (lambda m: m.where(f(m, 3) > 0, f(m, 2), f(m, 3)), ("where",)),
    "matmul shapes": (lambda m: f(m, 2, 3) @ f(m, 2, 3), ("matmul", "mm")),
    "mm dims": (lambda m: m.mm(f(m, 3), f(m, 3, 2)), ("mm",)),
    "bmm batch": (lambda m: m.bmm(f(m, 2, 3, 4), f(m, 3, 4, 5)), ("bmm",)),
    "dot length": (lambda m: m.dot(f(m, 3), f(m, 4)), ("dot",)),
    "mv shapes": (lambda m: m.mv(f(m, 2, 3), f(m, 2)), ("mv",)),
    "matmul of scalars": (lambda m: m.matmul(f(m), f(m)), ("matmul",)),
    "matmul dtypes": (lambda m: f(m, 2, 2) @ f(m, 2, 2).double(), ("matmul", "mm")),
    "linear shapes": (lambda m: m.nn.functional.linear(f(m, 2, 3), f(m, 4, 5)), ("linear",)),
    "addmm shapes": (lambda m: m.addmm(f(m, 3, 3), f(m, 2, 3), f(m, 3, 4)), ("addmm",)),
    "sum dim": (lambda m: f(m, 2, 3).sum(2), ("sum",)),
    "sum dim low": (lambda m: f(m, 2, 3).sum(-3), ("sum",)),
    "sum dim twice": (lambda m: f(m, 2, 3).sum((0, 0)), ("sum",)),
    "mean of integers": (lambda m: i(m, 1, 2).mean(), ("mean",)),
    "softmax dim": (lambda m: f(m, 2, 3).softmax(3), ("softmax",)),
    "max dim": (lambda m: f(m, 2).max(1), ("max",)),
    "max of nothing": (lambda m: m.zeros(0).max(), ("max",)),
    "argmax of nothing": (lambda m: m.zeros(0).argmax(), ("argmax",)),
    "amin over empty": (lambda m: m.zeros(2, 0).amin(1), ("amin",)),
    "cumsum dim": (lambda m: f(m, 2).cumsum(4), ("cumsum",)),
    "cat shapes": (lambda m: m.cat([f(m, 2, 3), f(m, 2, 4)]), ("cat",)),
    "cat of nothing": (lambda m: m.cat([]), ("cat",)),
    "cat dim": (lambda m: m.cat([f(m, 2), f(m, 2)], 1), ("cat",)),
    "cat of numbers": (lambda m: m.cat([1, 2]), ("cat",)),
    "cat of one": (lambda m: m.cat(f(m, 2)), ("cat",)),
    "cat of scalars": (lambda m: m.cat([f(m), f(m)]), ("cat",)),
    "stack shapes": (lambda m: m.stack([f(m, 2), f(m, 3)]), ("stack",)),
    "stack of nothing": (lambda m: m.stack([]), ("stack",)),
    "view size": (lambda m: f(m, 6).view(4), ("view",)),
    "view two unknown": (lambda m: f(m, 6).view(-1, -1), ("view",)),
    "view negative": (lambda m: f(m, 6).view(-2, 3), ("view",)),
    "view strides": (lambda m: f(m, 2, 3).t().view(6), ("view",)),
    "reshape size": (lambda m: f(m, 6).reshape(5), ("reshape",)),
    "permute count": (lambda m: f(m, 2, 3).permute(0), ("permute",)),
    "permute twice": (lambda m: f(m, 2, 3).permute(0, 0), ("permute",)),
    "transpose dim": (lambda m: f(m, 2, 3).transpose(0, 2), ("transpose",)),
    "t of three": (lambda m: f(m, 2, 3, 4).t(), ("t(", "t:")),
    "expand size": (lambda m: f(m, 2).expand(3), ("expand",)),
    "expand fewer": (lambda m: f(m, 2, 3).expand(3), ("expand",)),
    "squeeze dim": (lambda m: f(m, 2).squeeze(3), ("squeeze",)),
    "unsqueeze dim": (lambda m: f(m, 2).unsqueeze(3), ("unsqueeze",)),
    "narrow range": (lambda m: f(m, 4).narrow(0, 3, 2), ("narrow",)),
    "select range": (lambda m: f(m, 4).select(0, 4), ("select",)),
    "split size": (lambda m: f(m, 4).split(-1), ("split",)),
    "split sum": (lambda m: f(m, 4).split([1, 2]), ("split",)),
    "chunk zero": (lambda m: f(m, 4).chunk(0), ("chunk",)),
    "unfold size": (lambda m: f(m, 4).unfold(0, 5, 1), ("unfold",)),
    "diagonal dims": (lambda m: f(m, 2, 2).diagonal(0, 1, 1), ("diagonal",)),
    "as_strided range": (lambda m: f(m, 4).as_strided((5,), (1,)), ("as_strided",)),
    "flip dim": (lambda m: f(m, 4).flip(2), ("flip",)),
    "repeat fewer": (lambda m: f(m, 2, 2).repeat(2), ("repeat",)),
    "roll dims": (lambda m: f(m, 4).roll((1, 2), 0), ("roll",)),
    "gather dtype": (lambda m: f(m, 4).gather(0, f(m, 2)), ("gather",)),
    "gather range": (lambda m: f(m, 4).gather(0, i(m, 4)), ("gather",)),
    "gather low": (lambda m: f(m, 4).gather(0, i(m, -1)), ("gather",)),
    "gather dims": (lambda m: f(m, 2, 2).gather(0, i(m, 0)), ("gather",)),
    "scatter range": (lambda m: f(m, 4).scatter(0, i(m, 9), f(m, 1)), ("scatter",)),
    "scatter dtype": (lambda m: f(m, 4).scatter(0, i(m, 1), i(m, 1)), ("scatter",)),
    "index_select range": (lambda m: f(m, 4).index_select(0, i(m, 7)), ("index_select", "index")),
    "index_select dtype": (lambda m: f(m, 4).index_select(0, f(m, 1)), ("index_select",)),
    "index_add length": (lambda m: f(m, 4).index_add(0, i(m, 0, 1), f(m, 3)), ("index_add",)),
    "masked_fill dtype": (lambda m: f(m, 4).masked_fill(i(m, 1, 0, 1, 0), 1.0), ("masked_fill",)),
    "masked_fill shape": (lambda m: f(m, 4).masked_fill(f(m, 3) > 0, 1.0), ("masked_fill",)),
    "masked_fill value": (lambda m: f(m, 4).masked_fill(f(m, 4) > 0, f(m, 2)), ("masked_fill",)),
    "masked_select dtype": (lambda m: f(m, 4).masked_select(i(m, 1, 0, 1, 0)), ("masked_select",)),
    "embedding range": (lambda m: m.nn.functional.embedding(i(m, 5), f(m, 3, 2)), ("embedding", "index")),
    "embedding dtype": (lambda m: m.nn.functional.embedding(f(m, 2), f(m, 3, 2)), ("embedding",)),
    "tril dims": (lambda m: f(m, 3).tril(), ("tril",)),
    "nll target range": (lambda m: m.nn.functional.nll_loss(f(m, 2, 3), i(m, 0, 3)), ("nll_loss", "arget")),
    "nll target shape": (lambda m: m.nn.functional.nll_loss(f(m, 2, 3), i(m, 0, 1, 2)), ("nll_loss", "atch")),
    "nll target dtype": (lambda m: m.nn.functional.nll_loss(f(m, 2, 3), f(m, 2)), ("nll_loss",)),
    "bce range": (
        lambda m: m.nn.functional.binary_cross_entropy(f(m, 3), f(m, 3)),
        ("binary_cross_entropy", "between"),
    ),
    "bce shape": (lambda m: m.nn.functional.binary_cross_entropy(f(m, 1), f(m, 2)), ("arget",)),
    "layer_norm shape": (lambda m: m.nn.functional.layer_norm(f(m, 2, 3), (2,)), ("layer_norm", "normalized_shape")),
    "bitwise of floats": (lambda m: f(m, 2) & f(m, 2), ("bitwise_and",)),
    "shift of floats": (lambda m: m.bitwise_left_shift(f(m, 2), 1.5), ("shift",)),
    "sub of bools": (lambda m: (f(m, 2) > 0) - (f(m, 2) > 0), ("sub", "Subtract")),
    "neg of bools": (lambda m: -(f(m, 2) > 0), ("neg", "Neg")),
    "integers to negative powers": (lambda m: i(m, 2) ** -1, ("pow", "power")),
    "integer division by zero": (lambda m: i(m, 2) // 0, ("divi", "zero", "ZeroDivision")),
    "remainder by zero": (lambda m: i(m, 2) % i(m, 0), ("divi", "zero", "ZeroDivision")),
    "add of text": (lambda m: m.add(f(m, 2), "a"), ("add",)),
    "exp of a number": (lambda m: m.exp(1.0), ("exp",)),
    "exp of a list": (lambda m: m.exp([1.0]), ("exp",)),
    "exp of nothing": (lambda m: m.exp(), ("exp",)),
    "exp of too much": (lambda m: f(m, 1).exp(1, 2, 3), ("exp",)),
    "unknown keyword": (lambda m: f(m, 1).sum(nonsense=1), ("sum", "nonsense")),
    "dim of a wrong kind": (lambda m: f(m, 2).sum("a"), ("sum",)),
    "dim as a float": (lambda m: f(m, 2).softmax(0.5), ("softmax",)),
    "item of many": (lambda m: f(m, 2).item(), ("item", "Scalar", "scalar")),
    "no such device": (lambda m: f(m, 2).to("abacus"), ("abacus", "device")),
    "unknown attribute": (lambda m: f(m, 2).nonsense, ("nonsense",)),
    "out dtype": (lambda m: m.exp(f(m, 2), out=m.zeros(2, dtype=m.int64)), ("exp", "cast", "type")),
    "zeros of negative": (lambda m: m.zeros(2, -1), ("negative",)),
    "clamp without bounds": (lambda m: f(m, 2).clamp(), ("clamp",)),
    "norm dim": (lambda m: f(m, 2).norm(dim=3), ("norm", "im")),
    "bool of many": (lambda m: bool(f(m, 2)), ("bool", "Bool")),
    "set of shape": (lambda m: f(m, 2).__setitem__(0, f(m, 3)), ("",)),
    "call": (lambda m: f(m, 2)(), ("callable",)),
    "deleted item": (lambda m: f(m, 2).__delitem__(0), ("",)),
    "div mode": (lambda m: m.div(f(m, 2), f(m, 2), rounding_mode="up"), ("div", "rounding")),
    "loss reduction": (lambda m: m.nn.functional.mse_loss(f(m, 2), f(m, 2), reduction="median"), ("median",)),
}


@pytest.mark.sanitize
@pytest.mark.parametrize("name", CASES)
def test_class_and_text(name, torch):
    call, words = CASES[name]
    with pytest.raises(Exception) as expected:
        call(torch)
    with pytest.raises(Exception) as actual:
        call(fg)
    kinds = (
        expected.type,
        *((RuntimeError,) if expected.type is NotImplementedError else ()),
        *((IndexError,) if name == "embedding range" else ()),
    )
    assert isinstance(actual.value, kinds), f"{actual.value!r}, torch raises {expected.value!r}"
    text = str(actual.value)
    assert text and any(w in text for w in words), f"text {text!r} has none of {words}"


@pytest.mark.sanitize
@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: x.add_(f(m, 2, 3, 4)),
        lambda m, x: x.mul_(f(m, 5)),
        lambda m, x: x.copy_(f(m, 7)),
        lambda m, x: x.index_add_(0, i(m, 0, 9), f(m, 2, 3)),
        lambda m, x: x.scatter_(1, i(m, 9).view(1, 1), 5.0),
        lambda m, x: x.masked_fill_(f(m, 5) > 0, 1.0),
        lambda m, x: x.__setitem__(5, 1.0),
        lambda m, x: x.uniform_(3, 1),
        lambda m, x: x.__setitem__((0, m.tensor([0, 8])), 1.0),
        lambda m, x: x.normal_(0, -1),
        lambda m, x: x.addmm_(f(m, 2, 2), f(m, 3, 3)),
        lambda m, x: x.index_put_((i(m, 4),), m.ones(3)),
        lambda m, x: x.scatter_add_(0, i(m, 5).view(1, 1), m.ones(1, 1)),
    ],
)
def test_nothing_is_changed_by_a_refused_write(call, device):
    x = f(fg, 2, 3).to(device)
    before, version = x.tolist(), x._version
    with pytest.raises((RuntimeError, IndexError)):
        call(fg, x)
    assert x.tolist() == before and x._version == version


def test_texts_tell_shapes_and_dtypes():
    with pytest.raises(RuntimeError) as error:
        fg.zeros(2, 3) + fg.zeros(2, 4)
    assert "3" in str(error.value) and "4" in str(error.value)
    with pytest.raises(RuntimeError) as error:
        fg.zeros(2, 3) @ fg.zeros(2, 3)
    assert "2x3" in str(error.value) or "(2, 3)" in str(error.value) or "[2, 3]" in str(error.value)


def test_deep_lists_are_refused_without_a_crash(torch):
    deep = []
    for _ in range(2000):
        deep = [deep]
    for m in (torch, fg):
        with pytest.raises((ValueError, RuntimeError, RecursionError)):
            m.tensor(deep)
    loop = []
    loop.append(loop)
    with pytest.raises((ValueError, RuntimeError, RecursionError)):
        fg.tensor(loop)


@pytest.mark.sanitize
def test_sizes_that_overflow():
    x = fg.zeros(1)
    for call in (
        lambda: x.expand(2**62, 4),
        lambda: x.expand(2**40, 2**40),
        lambda: fg.empty(2**61),
        lambda: fg.arange(2**62),
        lambda: x.repeat(2**62),
        lambda: x.as_strided((2**62, 2**62), (0, 0)),
        lambda: fg.zeros(0, 2**62, 2**62),
        lambda: x.narrow(0, 0, 2**62),
        lambda: x.view(2**63 - 1),
        lambda: fg.linspace(0, 1, 2**60),
    ):
        try:
            t = call()
        except (RuntimeError, MemoryError, OverflowError, ValueError, TypeError):
            continue
        assert t.numel() >= 0
    for big in (2**63, 2**100, -(2**63) - 1):
        with pytest.raises((RuntimeError, OverflowError, TypeError, ValueError)):
            fg.zeros(big)
        with pytest.raises((IndexError, OverflowError, RuntimeError, TypeError)):
            x[big]


def test_keyboard_interrupts_and_errors_in_conversions():
    class Bad:
        def __float__(self):
            raise KeyError("mine")

        def __len__(self):
            raise KeyError("mine")

    for call in (lambda: fg.tensor([Bad()]), lambda: fg.ones(2) * Bad(), lambda: fg.full((2,), Bad())):
        with pytest.raises((KeyError, TypeError, RuntimeError)):
            call()


def test_cuda_tells_why_it_cannot():
    if fg.cuda.is_available():
        pytest.skip("it can")
    with pytest.raises((RuntimeError, AssertionError), match="CUDA|cuda"):
        fg.zeros(2, device="cuda")
    with pytest.raises((RuntimeError, AssertionError), match="CUDA|cuda"):
        fg.zeros(2).cuda()


@pytest.mark.sanitize
@pytest.mark.parametrize("seed", range(4))
def test_junk_arguments_never_crash(seed):
    program = Path(__file__).with_name("junk_calls.py")
    done = subprocess.run(
        [sys.executable, str(program), str(seed), "4000"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-1500:]}"


UNSUPPORTED = {
    "sparse": (lambda: fg.nn.Embedding(2, 2, sparse=True), lambda: fg.nn.EmbeddingBag(2, 2, sparse=True),
               lambda: fg.nn.functional.embedding(fg.tensor([0]), fg.ones(1, 1), sparse=True),
               lambda: fg.nn.functional.embedding_bag(fg.tensor([[0]]), fg.ones(1, 1), sparse=True)),
    "differentiable": (lambda: fg.optim.SGD([fg.ones(1, requires_grad=True)], differentiable=True),),
    "_use_new_zipfile_serialization": (lambda: fg.save({}, "never", _use_new_zipfile_serialization=False),),
    "options": (lambda: fg.nn.functional.linear_cross_entropy(
        fg.ones(1, 2), fg.ones(3, 2), fg.tensor([0]), options={"chunk": 1}),),
    "mixed_precision": (lambda: fg.nn.parallel.DistributedDataParallel(fg.nn.Linear(1, 1), mixed_precision=True),),
    "with_stack": (lambda: fg.profiler.profile(with_stack=True),),
    "with_flops": (lambda: fg.profiler.profile(with_flops=True),),
    "group_by_stack_n": (lambda: fg.profiler.profile().key_averages(group_by_stack_n=1),),
    "complex32": (lambda: fg.float16.to_complex(),),
}


@pytest.mark.parametrize("option", UNSUPPORTED)
def test_an_unsupported_option_names_itself(option):
    for call in UNSUPPORTED[option]:
        with pytest.raises(NotImplementedError, match=option):
            call()


def view_leaf(m):
    return m.ones(4)[:2].requires_grad_()


LEAF_VIEWS = {
    "a leaf that is a view": lambda m: view_leaf(m).mul_(2),
    "a view of one": lambda m: view_leaf(m)[0].mul_(2),
    "an element": lambda m: view_leaf(m).__setitem__(0, 3),
    "reshaped": lambda m: m.ones(4).view(2, 2).requires_grad_().view(-1).add_(1),
}


@pytest.mark.parametrize("case", LEAF_VIEWS)
def test_leaves_that_are_views_are_not_written_to(torch, case):
    for m in (torch, fg):
        with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
            LEAF_VIEWS[case](m)
    leaf = view_leaf(fg)
    with fg.no_grad():
        leaf[0] = 5
    leaf._base.mul_(2)
    assert leaf.tolist() == [10, 2] and leaf.is_leaf and leaf.requires_grad


@pytest.mark.parametrize("call, hint", [
    (lambda: fg.nn.Parameter(fg.ones(1), require_grad=True), "Parameter.__new__.* 'require_grad' .*'requires_grad'"),
    (lambda: fg.nn.Linear(1, 1)(inputs=fg.ones(1, 1)), "Linear.forward.* 'inputs' .*'input'"),
    (lambda: fg.Generator(devise="cpu"), "Generator.* 'devise' .*'device'"),
    (lambda: fg.device(typ="cpu"), "device.* 'typ' .*'type'"),
])
def test_misspelled_keywords_of_classes(call, hint):
    with pytest.raises(TypeError, match=hint):
        call()


def test_a_type_error_inside_forward_is_left_alone():
    class Model(fg.nn.Module):
        def forward(self, x):
            return fg.nn.Linear(1, 1)(x, y=x)

    with pytest.raises(TypeError, match="Linear.forward.* 'y'"):
        Model()(x=fg.ones(1, 1))


def test_a_hint_is_about_the_forward_that_was_called():
    class Patched(fg.nn.Module):
        def __init__(self):
            super().__init__()
            self.forward = self.real

        def real(self, x, k=1):
            return x * k

        def forward(self, x):
            return x

    class Positional(fg.nn.Module):
        def forward(self, x, /, y=1):
            return x

    class Tagged(fg.nn.Parameter):
        def __new__(cls, data, tag=None):
            return super().__new__(cls, data)

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Patched()(k=3)
    with pytest.raises(TypeError, match="positional-only|missing 1 required positional"):
        Positional()(x=3)
    assert Tagged(fg.ones(2), tag=3).shape == (2,)
