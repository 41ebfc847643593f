"""Forward mode of custom functions; jacobian and hessian by it; push_forward."""

import importlib

import pytest

import fastgrad as fg
import fastgrad.autograd.forward_ad as fwAD
from checks import assert_close, to_numpy

FUNCTIONS = {
    "plain": "def forward(ctx, x, y, n): ctx.save_for_forward(x, y); ctx.n = n; return x * y * n\n"
             "def jvp(ctx, tx, ty, tn): x, y = ctx.saved_tensors; return (tx * y + x * ty) * ctx.n\n"
             "call = lambda F, d: F.apply(d, d * 2, 5)",
    "mixed": "def forward(ctx, x, y, n): ctx.save_for_forward(x, y); return x * y, x.long(), y + 1\n"
             "def jvp(ctx, tx, ty, tn): x, y = ctx.saved_tensors; return tx * y, None, ty\n"
             "call = lambda F, d: F.apply(d, x, 5)",
    "not_materialized": "def forward(ctx, x, y, n): ctx.set_materialize_grads(False); return x + y\n"
                        "def jvp(ctx, tx, ty, tn): assert ty is None; return tx.clone()\n"
                        "call = lambda F, d: F.apply(d, x, 5)",
    "in_place": "def forward(ctx, x): ctx.mark_dirty(x); return x.mul_(2)\n"
                "def jvp(ctx, t): return t.mul_(2)\ncall = lambda F, d: F.apply(d.clone())",
    "in_place_not": "def forward(ctx, x): ctx.mark_dirty(x); return x.mul_(2)\n"
                    "def jvp(ctx, t): return t * 2\ncall = lambda F, d: F.apply(d.clone())",
    "view": "def forward(ctx, x): return x.view(3, 1)\n"
            "def jvp(ctx, t): return t.view(3, 1)\ncall = lambda F, d: F.apply(d)",
    "view_not": "def forward(ctx, x): return x.view(3, 1)\n"
                "def jvp(ctx, t): return t.view(3, 1).clone()\ncall = lambda F, d: F.apply(d)",
    "input": "def forward(ctx, x): return x\n"
             "def jvp(ctx, t): return t.view_as(t)\ncall = lambda F, d: F.apply(d)",
    "input_not": "def forward(ctx, x): return x\ndef jvp(ctx, t): return t\ncall = lambda F, d: F.apply(d)",
    "constant": "def forward(ctx, x): y = x * 2; ctx.mark_non_differentiable(y); return y, x + 1\n"
                "def jvp(ctx, t): return None, t\ncall = lambda F, d: F.apply(d)",
    "constant_not": "def forward(ctx, x): y = x * 2; ctx.mark_non_differentiable(y); return y, x + 1\n"
                    "def jvp(ctx, t): return t, t\ncall = lambda F, d: F.apply(d)",
    "count": "def forward(ctx, x): return x * 2, x\ndef jvp(ctx, t): return t\ncall = lambda F, d: F.apply(d)",
    "number": "def forward(ctx, x): return x * 2\ndef jvp(ctx, t): return 3\ncall = lambda F, d: F.apply(d)",
    "size": "def forward(ctx, x): return x * 2\ndef jvp(ctx, t): return t[:1]\ncall = lambda F, d: F.apply(d)",
    "plain_input": "def forward(ctx, x): return x * 2\ndef jvp(ctx, t): return t\ncall = lambda F, d: F.apply(x)",
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("recorded", [False, True])
def test_custom_function_equals_torch(name, recorded, torch):
    found = []
    for m in (fg, torch):
        forward = importlib.import_module(f"{m.__name__}.autograd.forward_ad")
        space = {"m": m, "x": m.tensor([0.25, -0.5, 0.125], requires_grad=recorded), "t": m.tensor([1.0, 2.0, -3.0])}
        exec(FUNCTIONS[name], space)
        rules = {"forward": space["forward"], "jvp": space["jvp"], "backward": lambda ctx, *g: (None,) * 3}
        F = type("F", (m.autograd.Function,), {key: staticmethod(rule) for key, rule in rules.items()})
        with forward.dual_level():
            d = forward.make_dual(space["x"], space["t"])
            try:
                y = space["call"](F, d)
            except Exception as error:
                found.append((type(error), "".join(str(error).split())))
                continue
            listed = lambda v: None if v is None else to_numpy(v).tolist()
            found.append([[*map(listed, forward.unpack_dual(v)), v.requires_grad]
                          for v in (y if isinstance(y, tuple) else (y,))])
    assert found[0] == found[1]


def test_custom_function_without_jvp():
    class F(fg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    with fwAD.dual_level(), pytest.raises(NotImplementedError, match="You must implement the jvp function"):
        F.apply(fwAD.make_dual(fg.ones(2), fg.ones(2)))
    assert F.apply(fg.ones(2)).tolist() == [2.0, 2.0]


class Square(fg.autograd.Function):
    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        x, = ctx.saved_tensors
        return 2 * x * g

    @staticmethod
    def jvp(ctx, t):
        x, = ctx.saved_tensors
        return 2 * x * t


def test_custom_function_nests_and_mixes_with_reverse_mode():
    x = fg.tensor([0.3, -0.7], dtype=fg.float64, requires_grad=True)
    one = fg.ones_like(x.detach())
    cube = lambda x: Square.apply(x) * x
    assert fg.autograd.gradcheck(cube, x, check_forward_ad=True)
    assert fg.autograd.gradgradcheck(cube, x, check_fwd_over_rev=True)
    second = fwAD.push_forward(lambda x: fwAD.push_forward(cube, (x,), (one,))[1], (x,), (one,))[1]
    assert fg.allclose(second, 6 * x)
    third, = fg.autograd.grad(second.sum(), x)
    assert third.tolist() == pytest.approx([6.0, 6.0])


@pytest.mark.parametrize("create_graph", [False, True])
def test_jacobian_and_hessian_by_forward_mode(create_graph, torch):
    for name, inputs in (("one", [[0.5, -0.25]]), ("two", [[0.5, -0.25], [1.5]]), ("empty", [[]])):
        found = []
        for m in (fg, torch):
            xs = [m.tensor(v, dtype=m.float64) for v in inputs]
            f = {"one": lambda x: (x * x.roll(1)).exp(), "two": lambda x, y: (x * y, (x * x).sum() + y),
                 "empty": lambda x: x * 2}[name]
            F = m.autograd.functional
            args = xs[0] if len(xs) == 1 else tuple(xs)
            options = dict(strategy="forward-mode", vectorize=True)
            results = [F.jacobian(f, args, create_graph=create_graph and m is fg, **options)] if name != "empty" else []
            scalar = lambda *xs: sum((x ** 3 * x.sum()).sum() for x in xs)
            if name != "empty":
                results.append(F.hessian(scalar, args, outer_jacobian_strategy="forward-mode", vectorize=True))
            flat = []
            stack = list(results)
            while stack:
                v = stack.pop(0)
                stack = list(v) + stack if isinstance(v, (tuple, list)) else stack
                if not isinstance(v, (tuple, list)):
                    flat.append(to_numpy(v))
            found.append(flat)
        for a, e in zip(*found):
            assert_close(a, e, (1e-10, 1e-12), name)
    x = fg.ones(2, dtype=fg.float64)
    by_columns = fg.autograd.functional.jacobian(lambda x: x * 2, x, strategy="forward-mode")
    assert by_columns.tolist() == [[2.0, 0.0], [0.0, 2.0]]
    with pytest.raises(RuntimeError, match="strict=True"):
        fg.autograd.functional.jacobian(lambda x: x * 2, x, strict=True, strategy="forward-mode")


def test_jacobian_by_forward_mode_can_be_differentiated():
    x = fg.tensor([0.5, -0.25], dtype=fg.float64, requires_grad=True)
    jacobian = lambda x: fg.autograd.functional.jacobian(
        lambda x: x ** 3, x, create_graph=True, strategy="forward-mode")
    assert fg.autograd.gradcheck(jacobian, x)


def test_push_forward_keeps_the_nesting():
    from typing import NamedTuple

    class Pair(NamedTuple):
        a: object
        b: object

    x, t = fg.tensor(3.0), fg.tensor(1.0)
    value, derivative = fwAD.push_forward(lambda x, y: Pair([x * x, y], (x,)), (x, x), (t, None))
    assert isinstance(value, Pair) and isinstance(derivative.a, list)
    assert [v.item() for v in derivative.a] == [6.0, 0.0] and derivative.b[0].item() == 1.0
    with pytest.raises(TypeError, match="expected a Tensor"):
        fwAD.push_forward(lambda x: 3, (x,), (t,))
    with pytest.raises(ZeroDivisionError):
        fwAD.push_forward(lambda x: 1 // 0, (x,), (t,))
    assert fg._C._dual_levels() == 0
