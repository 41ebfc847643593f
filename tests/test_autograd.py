"""Hooks on saved tensors, grad modes, gradcheck, autograd.functional: behaviour and errors as torch's.

A test that takes `lib` runs with both libraries, so that what it expects is known to be what torch does.
"""
import warnings

import pytest

import fastgrad as fg
from checks import square

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


def test_inference_mode_switches_recording(lib):
    x, on = lib.ones(2, requires_grad=True), lib.is_grad_enabled
    with lib.inference_mode():
        with lib.enable_grad():
            assert on() and (x * 2).is_inference()
        with lib.inference_mode(False):
            assert on()
        assert not on()
    with lib.no_grad():
        with lib.inference_mode(False):
            assert on() and (x * 2).requires_grad
        with lib.inference_mode():
            lib.set_grad_enabled(True)
        assert not on()
    assert on()


def test_coroutines_run_in_the_mode_of_their_caller(lib):
    @lib.no_grad()
    async def inside():
        return lib.is_grad_enabled()
    with pytest.raises(StopIteration) as end:
        inside().send(None)
    assert end.value.value is True


def test_leaving_a_context_takes_three_arguments(lib):
    for arguments in ((), (None,), (None,) * 4):
        context = lib.no_grad()
        context.__enter__()
        with pytest.raises(TypeError):
            context.__exit__(*arguments)
        context.__exit__(None, None, None)
    assert lib.is_grad_enabled()


def test_retained_gradients_of_grad(lib):
    """Also where the run is asked for some inputs only."""
    x, w = lib.ones(2, requires_grad=True), lib.ones(2, requires_grad=True)

    def middle():
        y = x * 2
        y.retain_grad()
        return y
    y = middle()
    lib.autograd.grad((y * 3).sum(), x)
    assert y.grad.tolist() == [3, 3] and x.grad is None
    y = middle()
    (y * 3).sum().backward(inputs=[x])
    assert y.grad.tolist() == [3, 3]
    y = middle()
    lib.autograd.grad((y * 3).sum(), y)
    assert y.grad.tolist() == [3, 3]
    y = middle()
    lib.autograd.grad((y * w).sum(), w)
    assert y.grad is None


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
