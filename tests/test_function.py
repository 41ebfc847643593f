"""Custom functions: what forward saves, what backward returns, errors, views and in-place; as torch's.

A test runs with both libraries, so that what it expects is known to be what torch does.
"""
import warnings
import weakref

import pytest

import fastgrad as fg
from checks import no_collector, square


def test_function(lib):
    # d/dx x^2 = 2x, second derivative 2
    x = lib.tensor([1., 3.], requires_grad=True)
    y = square(lib).apply(x)
    assert type(y.grad_fn).__name__ == "SquareBackward" and repr(y) == "tensor([1., 9.], grad_fn=<SquareBackward>)"
    first, = lib.autograd.grad(y.sum(), x, create_graph=True)
    assert first.tolist() == [2, 6]
    assert lib.autograd.grad(first.sum(), x)[0].tolist() == [2, 2]


def test_saved_output_double_backward(lib):
    # y = exp(x) saved as output: first and second derivative are y
    class Exp(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            y, = ctx.saved_tensors
            return g * y
    x = lib.tensor([0., 1.], dtype=lib.float64, requires_grad=True)
    g = x
    y = Exp.apply(x)
    for _ in range(3):
        g, = lib.autograd.grad(y.sum() if g is x else g.sum(), x, create_graph=True)
        assert lib.allclose(g, x.exp())
    z = Exp.apply(x) * 2
    z.sum().backward()
    assert lib.allclose(x.grad, 2 * x.exp())


def test_saved_output_makes_no_cycle():
    class Identity(fg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.clone()
            ctx.save_for_backward(y)
            ctx.mark = Mark()
            marks.append(weakref.ref(ctx.mark))
            return y

        @staticmethod
        def backward(ctx, g):
            return g

    class Mark:
        pass
    marks = []
    with no_collector():
        y = Identity.apply(fg.ones(2, requires_grad=True))
        del y
        assert marks[0]() is None


def test_setup_context_and_arguments(lib):
    class Scale(lib.autograd.Function):
        @staticmethod
        def forward(x, factor=2.):
            return x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx, g):
            assert ctx.needs_input_grad == (True, False)
            return g * ctx.factor, None
    x = lib.ones(2, requires_grad=True)
    Scale.apply(x).sum().backward()
    Scale.apply(x, 3.).sum().backward()
    assert x.grad.tolist() == [5, 5]


def test_several_outputs(lib):
    seen = []

    class Three(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, text):
            constant = (x * 0).detach()
            ctx.mark_non_differentiable(constant)
            return x * 2, text, constant, (x > 0).long(), x * 3

        @staticmethod
        def backward(ctx, *grads):
            seen.append([None if g is None else g.tolist() for g in grads])
            return grads[0] * 2 + grads[4] * 3, None
    x = lib.ones(2, requires_grad=True)
    a, text, constant, count, b = Three.apply(x, "hello")
    assert text == "hello" and not constant.requires_grad and not count.requires_grad
    b.sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert seen == [[[0, 0], None, [0, 0], [0, 0], [1, 1]]]


def test_materialize_grads(lib):
    class Two(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, a, b):
            assert a is None
            return b * 2
    x = lib.ones(2, requires_grad=True)
    Two.apply(x)[1].sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_input_returned(lib):
    class Same(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 5
    x = lib.ones(2, requires_grad=True)
    y = Same.apply(x)
    assert y is not x and type(y.grad_fn).__name__ == "SameBackward" and x.grad_fn is None
    y.sum().backward()
    assert x.grad.tolist() == [5, 5]
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        Same.apply(x).add_(1)
    with lib.no_grad():
        assert not Same.apply(x).requires_grad and x.requires_grad


def test_mark_dirty(lib):
    class Double(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            x.mul_(2)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2
    x = lib.ones(2, requires_grad=True)
    y = x * 3
    z = Double.apply(y)
    assert z is y and type(y.grad_fn).__name__ == "DoubleBackward"
    z.sum().backward()
    assert x.grad.tolist() == [6, 6]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad has been used in an in-place operation"):
        Double.apply(x)
    x.grad = None
    base = x * 1
    part = base[:1]
    Double.apply(part)
    base.sum().backward()
    assert x.grad.tolist() == [2, 1]

    class Lost(Double):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 1
    with pytest.raises(RuntimeError, match="marked as dirty during the forward method were not returned"):
        Lost.apply(x * 1)


def returning(lib, *values):
    class F(lib.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * b

        @staticmethod
        def backward(ctx, g):
            return values if len(values) != 1 else values[0]
    return F


@pytest.mark.parametrize("values, text", [
    ((1,), "returned an incorrect number of gradients (expected 2, got 1)"),
    (("x", "x", None), "FBackward returned a gradient different than None at position 2, but the corresponding forward "
                       "input was not a Variable"),
    (("x", "x", "x"), "returned an incorrect number of gradients (expected 2, got 3)"),
    (("wide", None), "FBackward returned an invalid gradient at index 0 - got [3] but expected shape "
                     "compatible with [2]"),
    ((3., None), "expected Variable or None (got float)"),
], ids=str)
def test_wrong_gradients(lib, values, text):
    made = {"x": lib.ones(2), "wide": lib.ones(3)}
    values = tuple(made.get(v, v) if isinstance(v, str) else lib.ones(2) if v == 1 else v for v in values)
    x = lib.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError) as error:
        returning(lib, *values).apply(x, 3.).sum().backward()
    assert text in str(error.value)
    assert x.grad is None


def test_gradient_is_fitted(lib):
    # summed to the input's shape, converted to its dtype, trailing None dropped
    x = lib.ones(2, requires_grad=True)
    wide = lib.ones(3, 2, dtype=lib.float64)
    returning(lib, wide, None, None, None).apply(x, 3.).sum().backward()
    assert x.grad.tolist() == [3, 3] and x.grad.dtype == lib.float32


def test_errors_of_function(lib):
    class Empty(lib.autograd.Function):
        pass

    class Forward(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(*saved)
            return x * 2
    saved = ()
    x = lib.ones(2, requires_grad=True)
    with pytest.raises(NotImplementedError, match="You must implement the forward function"):
        Empty.apply(x)
    with pytest.raises(NotImplementedError, match="either the backward or vjp method"):
        Forward.apply(x).sum().backward()
    saved = (3,)
    with pytest.raises(TypeError, match="save_for_backward can only save variables, but argument 0 is of type int"):
        Forward.apply(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="Legacy autograd function"):
            Empty()(x)


def test_saved_tensors_are_guarded(lib):
    x = lib.ones(2, requires_grad=True)
    w = x * 1
    y = square(lib).apply(w)
    w.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation.*expected version 0"):
        y.sum().backward()
    y = square(lib).apply(x)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_once_differentiable(lib):
    from importlib import import_module
    once = import_module(f"{lib.__name__}.autograd.function").once_differentiable

    class F(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x ** 2

        @staticmethod
        @once
        def backward(ctx, g):
            return g * 2 * ctx.saved_tensors[0]
    x = lib.ones(2, requires_grad=True)
    v = lib.ones(2, requires_grad=True)
    g, = lib.autograd.grad(F.apply(x), x, v, create_graph=True)
    assert g.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_error_in_backward_reaches_the_caller(lib):
    class F(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise KeyError("mine")
    with pytest.raises(KeyError, match="mine"):
        F.apply(lib.ones(2, requires_grad=True)).sum().backward()


def viewed(lib):
    class Viewed(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.factor = 7
            return x.view(3)

        @staticmethod
        def backward(ctx, g):
            return g * (ctx.factor + getattr(ctx, "more", 0))
    return Viewed


def test_the_node_is_the_context(lib):
    x = lib.ones(3, requires_grad=True)
    y = viewed(lib).apply(x)
    node = y.grad_fn
    assert node.saved_tensors[0].tolist() == [1, 1, 1] and node.needs_input_grad == (True,) and node.factor == 7
    node.more = 3
    assert node.more == 3 and not hasattr(node, "less")
    y.sum().backward()
    assert x.grad.tolist() == [10, 10, 10]
    with pytest.raises(RuntimeError, match="second time"):
        node.saved_tensors
    del node.more
    assert not hasattr(node, "more")
    with pytest.raises(AttributeError):
        (x * 2).grad_fn.more = 1


def test_views_made_in_forward(lib):
    x = lib.ones(3, requires_grad=True)
    for hooked in (False, True):
        with lib.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t) if hooked else lib.enable_grad():
            y = viewed(lib).apply(x)
        with pytest.raises(RuntimeError, match="created inside a custom Function"):
            y.add_(1)
