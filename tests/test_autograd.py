"""Function, hooks on saved tensors, grad modes, gradcheck, autograd.functional: behaviour and errors as torch's.

A test that takes `lib` runs with both libraries, so that what it expects is known to be what torch does.
"""
import warnings
import weakref

import pytest

import fastgrad as fg
from checks import no_collector


@pytest.fixture(params=["fastgrad", "torch"])
def lib(request):
    return fg if request.param == "fastgrad" else request.getfixturevalue("torch")


def square(lib):
    class Square(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            x, = ctx.saved_tensors
            return g * 2 * x
    return Square


# ---- Function

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


# ---- hooks on saved tensors

@pytest.mark.parametrize("name", ["custom", "exp", "sin"])
@pytest.mark.parametrize("leaf", [True, False])
def test_saved_tensors_hooks(lib, name, leaf):
    packed = []

    def pack(t):
        packed.append(t.shape)
        return t * 10

    f = square(lib).apply if name == "custom" else getattr(lib, name)
    second = {"custom": lambda x: 2 + 0 * x, "exp": lib.exp, "sin": lambda x: -lib.sin(x)}[name]
    x = lib.tensor([1., 2.], requires_grad=True)
    with lib.autograd.graph.saved_tensors_hooks(pack, lambda t: t / 10):
        y = f(x if leaf else x.view(2))
    assert packed == [(2,)]
    first, = lib.autograd.grad(y.sum(), x, create_graph=True)
    assert lib.allclose(lib.autograd.grad(first.sum(), x)[0], second(x))


def test_save_on_cpu(lib):
    x = lib.tensor([1., 2.], requires_grad=True)
    with lib.autograd.graph.save_on_cpu():
        y = x.sin() * x
    y.sum().backward()
    assert lib.allclose(x.grad, x.sin() + x * x.cos())


def test_disabled_hooks(lib):
    with lib.autograd.graph.disable_saved_tensors_hooks("not now"):
        with pytest.raises(RuntimeError, match="not now"):
            with lib.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
                lib.ones(2, requires_grad=True).exp()


def test_multi_grad_hook(lib):
    a, b = lib.ones(2, requires_grad=True), lib.ones(2, requires_grad=True)
    seen = []
    handle = lib.autograd.graph.register_multi_grad_hook((a, b), lambda grads: seen.append([g.tolist() for g in grads]))
    (a * 2 + b * 3).sum().backward()
    handle.remove()
    (a * 2 + b * 3).sum().backward()
    assert seen == [[[2, 2], [3, 3]]]


def test_node(lib):
    x = lib.ones(2, requires_grad=True)
    y = x.exp()
    assert isinstance(y.grad_fn, lib.autograd.graph.Node) and not isinstance(3, lib.autograd.graph.Node)
    edge = lib.autograd.graph.get_gradient_edge(y)
    assert edge.node is y.grad_fn and edge.output_nr == 0
    assert type(lib.autograd.graph.get_gradient_edge(x).node).__name__ == "AccumulateGrad"
    with pytest.raises(RuntimeError, match="does not require gradients"):
        lib.autograd.graph.get_gradient_edge(x.detach())


# ---- modes

def test_modes_are_contexts_and_decorators(lib):
    on = lib.is_grad_enabled
    with lib.no_grad():
        assert not on()
        with lib.enable_grad():
            assert on()
        assert not on()
    assert on()
    for decorate, expected in ((lib.no_grad(), False), (lib.no_grad, False), (lib.enable_grad(), True),
                               (lib.set_grad_enabled(False), False), (lib.inference_mode(), False),
                               (lib.inference_mode, False)):
        lib.set_grad_enabled(True)

        @decorate
        def inside():
            return on()
        assert inside() is expected and on() and inside.__name__ == "inside"
    lib.set_grad_enabled(False)
    assert not on()
    lib.set_grad_enabled(True)
    with pytest.raises(ZeroDivisionError):
        with lib.no_grad():
            1 / 0
    assert on()


def test_inference_mode(lib):
    x = lib.ones(2, requires_grad=True)
    with lib.inference_mode():
        assert lib.is_inference_mode_enabled() and not (x * 2).requires_grad
        with lib.inference_mode(False):
            assert not lib.is_inference_mode_enabled() and (x * 2).requires_grad
    assert not lib.is_inference_mode_enabled()


def test_decorated_generator(lib):
    on = lib.is_grad_enabled

    @lib.no_grad()
    def numbers():
        try:
            sent = yield on()
            while True:
                sent = yield (on(), sent)
        except ValueError:
            yield "caught", on()
        finally:
            closed.append(on())
    closed = []
    it = numbers()
    assert next(it) is False and on()
    assert it.send(5) == (False, 5) and on()
    assert it.throw(ValueError()) == ("caught", False) and on()
    it.close()
    assert closed == [False] and on()
    assert list(lib.no_grad()(lambda: iter([on()]))()) == [False]


# ---- backward and grad

def test_grad_errors(lib):
    x = lib.ones(2, requires_grad=True)
    y = x * 2
    other = lib.ones(2, requires_grad=True)
    grad, backward = lib.autograd.grad, lib.autograd.backward
    for call, kind, text in (
            (lambda: backward(y), RuntimeError, "grad can be implicitly created only for scalar outputs"),
            (lambda: grad(y, x), RuntimeError, "grad can be implicitly created only for scalar outputs"),
            (lambda: backward(y, lib.ones(3)), RuntimeError, "Mismatch in shape: grad_output[0] has a shape of "
             "torch.Size([3]) and output[0] has a shape of torch.Size([2])."),
            (lambda: backward(lib.ones(())), RuntimeError, "element 0 of tensors does not require grad"),
            (lambda: backward(y.sum(), inputs=[]), RuntimeError, "cannot be empty"),
            (lambda: grad((x * 2).sum(), other), RuntimeError, "appears to not have been used in the graph"),
            (lambda: grad((x * 2).sum(), lib.ones(2)), RuntimeError, "does not require grad"),
            (lambda: grad((x * 2).sum(), [3]), RuntimeError, "all inputs have to be Tensors or GradientEdges"),
            (lambda: grad((x * 2).sum(), other, materialize_grads=True, allow_unused=False), ValueError,
             "Expected allow_unused to be True or not passed when materialize_grads=True")):
        with pytest.raises(kind) as error:
            call()
        assert text in str(error.value)


def test_grad_options(lib):
    x, other = lib.ones(2, requires_grad=True), lib.ones(3, requires_grad=True)
    assert lib.autograd.grad((x * 2).sum(), (x, other), allow_unused=True)[1] is None
    assert lib.autograd.grad((x * 2).sum(), other, materialize_grads=True)[0].tolist() == [0, 0, 0]
    assert lib.autograd.grad(x * 2, x, lib.eye(2), is_grads_batched=True)[0].tolist() == [[2, 0], [0, 2]]
    lib.autograd.backward((x * 2, x.sum()), (lib.ones(2), None), inputs=x)
    assert x.grad.tolist() == [3, 3]
    old = lib.autograd.Variable(lib.ones(2), requires_grad=True)
    assert type(old) is lib.Tensor and old.requires_grad and isinstance(old, lib.autograd.Variable)


def test_anomaly(lib):
    class Bad(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise ValueError("broken")
    assert not lib.is_anomaly_enabled()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with lib.autograd.set_detect_anomaly(True):
            assert lib.is_anomaly_enabled()
            with pytest.raises(ValueError, match="broken"):
                Bad.apply(lib.ones(2, requires_grad=True)).sum().backward()
    assert not lib.is_anomaly_enabled()
    assert any("BadBackward" in str(w.message) for w in found)


# ---- gradcheck

@pytest.mark.parametrize("fast", [False, True])
def test_gradcheck(lib, fast):
    x = lib.randn(3, 2, dtype=lib.float64, requires_grad=True)
    w = lib.randn(2, 4, dtype=lib.float64, requires_grad=True)
    f = lambda a, b: ((a @ b).tanh(), a.sum(), (a > 0).long())
    assert lib.autograd.gradcheck(f, (x, w), fast_mode=fast)
    assert lib.autograd.gradgradcheck(lambda a, b: ((a @ b).tanh(), (a * a).sum()), (x, w), fast_mode=fast)
    assert lib.autograd.gradgradcheck(lambda a: a.exp(), x, fast_mode=fast, gen_non_contig_grad_outputs=True)


@pytest.mark.parametrize("fast", [False, True])
def test_gradcheck_finds_a_wrong_gradient(lib, fast):
    class Wrong(square(lib)):
        @staticmethod
        def backward(ctx, g):
            return g * 2.01 * ctx.saved_tensors[0]
    x = lib.tensor([1., 2.], dtype=lib.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0") as error:
        lib.autograd.gradcheck(Wrong.apply, x, fast_mode=fast)
    assert type(error.value).__name__ == "GradcheckError"
    assert not lib.autograd.gradcheck(Wrong.apply, x, fast_mode=fast, raise_exception=False)


def test_gradcheck_finds_a_wrong_second_gradient(lib):
    class Detached(square(lib)):
        @staticmethod
        def backward(ctx, g):
            return g * 2 * ctx.saved_tensors[0].detach()
    x = lib.tensor([1., 2.], dtype=lib.float64, requires_grad=True)
    assert lib.autograd.gradcheck(Detached.apply, x)
    with pytest.raises(RuntimeError, match="mismatch"):
        lib.autograd.gradgradcheck(Detached.apply, x)


def test_gradcheck_other_checks(lib):
    gradcheck = lib.autograd.gradcheck
    x = lib.tensor([1., 2.], dtype=lib.float64, requires_grad=True)

    class Constant(square(lib)):
        @staticmethod
        def backward(ctx, g):
            return 2 * ctx.saved_tensors[0]  # right for a gradient of ones only

    class Undefined(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            return a * 2 + b * 3
    with pytest.raises(RuntimeError, match="mismatch|multiplied by grad_output"):
        gradcheck(Constant.apply, x)
    with pytest.raises((RuntimeError, TypeError)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gradcheck(Undefined.apply, x)
    with pytest.raises(ValueError, match="none of them have requires_grad=True"):
        gradcheck(lambda t: t, x.detach())
    with pytest.raises(RuntimeError, match="dimension with stride 0"):
        gradcheck(lambda t: t.exp(), x[:1].detach().expand(3).requires_grad_())
    with pytest.raises(RuntimeError, match="expected to be zero"):
        gradcheck(lambda t: t.detach() * 2, x)
    assert gradcheck(lambda t: t.detach() * 0, x)
    with pytest.warns(UserWarning, match="not a double precision"):
        gradcheck(lambda t: t * 2, lib.ones(1, requires_grad=True), eps=1e-2, atol=1e-2)


def test_gradcheck_module_can_be_called():
    import fastgrad.autograd.gradcheck
    from fastgrad.autograd.gradcheck import GradcheckError, gradcheck
    x = fg.ones(1, dtype=fg.float64, requires_grad=True)
    assert fastgrad.autograd.gradcheck(fg.exp, x) and gradcheck(fg.exp, x) and issubclass(GradcheckError, RuntimeError)


# ---- functional

@pytest.mark.parametrize("create_graph", [False, True])
def test_functional(torch, create_graph):
    random = __import__("numpy").random.default_rng(0)
    xs, ws, vs = random.standard_normal((3, 2)), random.standard_normal((2, 4)), random.standard_normal((3, 4))
    found = []
    for lib in (fg, torch):
        x = lib.from_numpy(xs).requires_grad_()
        w = lib.from_numpy(ws).requires_grad_()
        v = lib.from_numpy(vs)
        f = lambda a, b: ((a @ b).exp(), a.sum(0) * 2)
        g = lambda a, b: ((a @ b).tanh() * b.sum()).sum()
        F = lib.autograd.functional
        inputs, directions = (x, w), (x.detach() + 1, w.detach() - 1)
        results = [
            F.jacobian(f, inputs, create_graph), F.hessian(g, inputs, create_graph),
            F.vjp(f, inputs, (v, lib.ones(2, dtype=lib.float64)), create_graph),
            F.jvp(f, inputs, directions, create_graph),
            F.vhp(g, inputs, directions, create_graph), F.hvp(g, inputs, directions, create_graph),
            F.jacobian(lambda a: a ** 2, x, create_graph), F.hessian(lambda a: (a ** 3).sum(), x, create_graph)]
        found.append([(t.detach().numpy(), t.requires_grad) for t in flat(results)])
    assert len(found[0]) == len(found[1])
    for (a, wants_a), (b, wants_b) in zip(*found):
        assert a.shape == b.shape and abs(a - b).max() < 1e-10 and wants_a == wants_b


def flat(value):
    if isinstance(value, (list, tuple)):
        return [t for item in value for t in flat(item)]
    return [value]


def test_functional_errors(lib):
    import importlib
    F = importlib.import_module(f"{lib.__name__}.autograd.functional")
    x = lib.ones(2)
    for call, text in (
            (lambda: F.vjp(lambda t: t * 2, x),
             "The vector v can only be None if the user-provided function returns a"),
            (lambda: F.vjp(lambda t: t * 2, x, lib.ones(3)), "v has invalid size: should be torch.Size([2])"),
            (lambda: F.hessian(lambda t: t * 2, x), "should contain a single element"),
            (lambda: F.jacobian(lambda t: lib.ones(2), x, strict=True), "does not require gradients"),
            (lambda: F.jacobian(lambda t: t, 3), "must be either a Tensor or a tuple of Tensors")):
        with pytest.raises((RuntimeError, TypeError)) as error:
            call()
        assert text in str(error.value)
