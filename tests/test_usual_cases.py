"""Calls that are native in their usual form: they do what the Python function, method or class beside them does."""
import copy
import pickle
import typing
import warnings

import pytest

import fastgrad as fg
import fastgrad.nn.functional as F
from fastgrad import nn

X = fg.tensor([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]])
IMAGE = fg.arange(32.0).view(1, 2, 4, 4).sin()


# ---- functions of nn.functional

def weights():
    return fg.tensor([1.0, 2.0, 3.0]), fg.tensor([0.5, -0.5, 0.0])


CALLS = {
    "relu": [((X,), {}), ((X,), {"inplace": False}), ((X.clone(), True), {})],
    "silu": [((X,), {})], "mish": [((X,), {})], "hardswish": [((X,), {})], "hardsigmoid": [((X,), {})],
    "selu": [((X,), {})], "elu": [((X,), {}), ((X, 0.5), {}), ((), {"input": X, "alpha": 2.0})],
    "celu": [((X, 0.5), {})], "leaky_relu": [((X,), {}), ((X, 0.3), {})],
    "softplus": [((X,), {}), ((X, 2, 1), {}), ((X,), {"threshold": 0.1})],
    "softmax": [((X, 1), {}), ((X,), {"dim": 0}), ((X, 1, 7), {}), ((X, 0), {"dtype": fg.float64})],
    "log_softmax": [((X, -1), {}), ((X,), {"dim": 0, "dtype": None})],
    "layer_norm": [((X, (3,)), {}), ((X, [3], *weights()), {}), ((X, (3,)), {"bias": weights()[1], "eps": 0.1}),
                   ((X.bfloat16(), (3,), *weights()), {}), ((X.half(), (2, 3)), {})],
    "dropout": [((X,), {"training": False}), ((X, 0.0), {}), ((X.clone(), 1.0, True, True), {}), ((X, 1), {})],
    "embedding": [((fg.tensor([1, 0]), X), {}), ((fg.tensor([[1], [0]]), X, 1), {}),
                  ((fg.tensor([1]), X), {"scale_grad_by_freq": True})],
    "max_pool1d": [((X, 2), {}), ((X, 2), {"return_indices": True})],
    "max_pool2d": [((IMAGE, 2), {}), ((IMAGE, (2, 1), 1), {}), ((IMAGE, 2), {"return_indices": True})],
    "max_pool3d": [((IMAGE, 2), {"ceil_mode": True})],
    "batch_norm": [((X, None, None), {"training": True}), ((X, weights()[1], weights()[0]), {"bias": weights()[0]}),
                   ((IMAGE, None, None, None, None, True, 0.5, 0.1), {})],
    "mse_loss": [((X, X + 1), {}), ((X, X * 2), {"reduction": "sum"}), ((X, X * 2, None, None, "none"), {}),
                 ((X, X * 2), {"weight": X.abs()})],
    "cross_entropy": [((X, fg.tensor([0, 2])), {}), ((X, fg.tensor([0, -100])), {"reduction": "none"}),
                      ((X, fg.tensor([0, 1]), weights()[0]), {"ignore_index": 1, "reduction": "sum"}),
                      ((X, X.softmax(1)), {}), ((X[0], fg.tensor(1)), {}),
                      ((X, fg.tensor([0, 2])), {"label_smoothing": 0.1})],
}


def with_native_case():
    return {name for name in dir(F) if hasattr(getattr(F, name), "__wrapped__")
            and hasattr(getattr(F, name).__wrapped__, "native_case")}


def test_every_native_case_has_calls():
    assert with_native_case() == CALLS.keys()


@pytest.mark.parametrize("name, args, kwargs", [(name, *call) for name, calls in CALLS.items() for call in calls])
def test_native_case_is_what_the_function_does(name, args, kwargs):
    function = getattr(F, name)
    results = []
    for call in (function, function.__wrapped__):
        in_place = any(a is True for a in args)
        given = [a.clone().requires_grad_() if isinstance(a, fg.Tensor) and a.is_floating_point() and not in_place
                 else a for a in copy.deepcopy(args)]
        got = call(*given, **kwargs)
        got = got if isinstance(got, tuple) else (got,)
        loss = sum([t.double().sin().sum() for t in got if t.requires_grad])
        grads = fg.autograd.grad(loss, [g for g in given if isinstance(g, fg.Tensor) and g.requires_grad],
                                 allow_unused=True) if isinstance(loss, fg.Tensor) else ()
        results.append((*got, *grads))
    for mine, reference in zip(*results, strict=True):
        assert (mine is None) == (reference is None)
        if mine is not None:
            assert mine.dtype == reference.dtype and fg.equal(mine, reference)


@pytest.mark.parametrize("call", [
    lambda f, F: F.relu(f.ones(2), inplase=True), lambda f, F: F.relu(), lambda f, F: F.relu(f.ones(2), False, 1),
    lambda f, F: F.relu(f.ones(2), input=f.ones(2)), lambda f, F: F.dropout(f.ones(2), 1.5),
    lambda f, F: F.dropout(f.ones(2), -1.0),
    lambda f, F: F.batch_norm(f.ones(1, 3), None, None, training=True),
    lambda f, F: F.cross_entropy(f.ones(2, 3), f.ones(2, 3, dtype=f.int64)),
    lambda f, F: F.cross_entropy(f.ones(2, 3), f.ones(2, dtype=f.int64), reduction="average"),
    lambda f, F: F.mse_loss(f.ones(2), f.ones(2), reduction=None),
    lambda f, F: F.embedding(f.tensor([5]), f.ones(2, 2)),
    lambda f, F: F.layer_norm(f.ones(2, 3), (2,)),
    lambda f, F: F.cross_entropy(f.ones(1, 3), f.tensor([0]), ignore_index=1.0),
    lambda f, F: F.dropout(f.ones(2), p="a"),
    lambda f, F: F.softmax(f.ones(3), dim=0.0),
])
def test_errors_of_native_cases_are_those_of_torch(torch, call):
    kinds = []
    for m in (fg, torch):
        with pytest.raises(Exception) as caught:
            call(m, m.nn.functional)
        kinds.append(caught.type)
        assert "_usual" not in str(caught.value)  # it tells of the function that was called
    assert kinds[0] is kinds[1]


def test_implicit_dim_warns_at_the_callers_line():
    hooked = nn.Softmax()
    hooked.register_forward_hook(lambda *_: None)  # then the call goes through Python
    for call in (lambda: F.softmax(X), lambda: nn.Softmax()(X), lambda: nn.LogSoftmax()(X), lambda: hooked(X)):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            call()
        assert [w.filename for w in seen] == [__file__] and "Implicit dimension" in str(seen[0].message)


def test_native_case_wants_every_parameter():
    from fastgrad._overrides import native_case
    with pytest.raises(TypeError, match="native_case"):
        native_case(fg._C.relu, "input")(lambda input, other: None)
    for spec in (None, (), (int, 1, ()), (fg._C.relu, 1, (("x", 3, None, True, False),)),
                 (fg._C.relu, 99, ()), (3, 1, ()), (fg._C.relu, 1, ())):
        with pytest.raises((TypeError, ValueError)):
            fg._C._Overridable(lambda x: x, "m").native_case = spec


# ---- calls and attributes of modules

def test_forward_of_the_instance_counts(lib):
    layer = lib.nn.Linear(2, 2)
    layer.forward = lambda x, scale=1: (x, scale)
    assert layer(1) == (1, 1) and layer(1, scale=3) == (1, 3) and layer(*[5]) == (5, 1)


def test_many_arguments(lib):
    class Many(lib.nn.Module):
        def forward(self, *args, **kwargs):
            return len(args), sorted(kwargs)
    assert Many()(*range(40), b=1, a=2) == (40, ["a", "b"])
    assert Many()() == (0, [])


def test_hooks_and_patched_calls(lib):
    layer, seen = lib.nn.ReLU(), []
    with_hook = layer.register_forward_hook(lambda m, args, out: seen.append(len(args)))
    layer(lib.ones(2))
    with_hook.remove()
    layer(lib.ones(2))
    assert seen == [1]

    class Counted(lib.nn.ReLU):
        def __call__(self, *args, **kwargs):
            seen.append("called")
            return super().__call__(*args, **kwargs)
    assert Counted()(lib.ones(1)).tolist() == [1] and seen == [1, "called"]
    assert layer._call_impl(lib.ones(1)).tolist() == [1]


def test_errors_of_calls():
    layer = nn.Linear(2, 2)
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda *args: None)
    for each in (layer, hooked):
        with pytest.raises(TypeError, match=r"Linear.forward\(\) got .*'inputs' \(did you mean 'input'"):
            each(inputs=X)
    with pytest.raises(TypeError, match="positional arguments? but 3 were given"):
        layer(X, X)

    class Raising(nn.Module):
        def forward(self, x=None):
            raise TypeError("mine")
    with pytest.raises(TypeError, match="^mine$"):
        Raising()(x=1)
    with pytest.raises(NotImplementedError, match="missing the required"):
        nn.Module()(1)


def test_attributes_of_modules(lib):
    class Own(lib.nn.Linear):
        @property
        def broken(self):
            raise AttributeError("inside")

        @property
        def width(self):
            return self.in_features

    class Falling(Own):
        def __getattr__(self, name):
            if name == "invented":
                return 7
            return super().__getattr__(name)

    class Everything(Own):
        def __getattribute__(self, name):
            return 1 if name == "one" else super().__getattribute__(name)

    for cls in (Own, Falling, Everything):
        layer = cls(2, 3)
        assert layer.width == 2 and layer.weight.shape == (3, 2) and layer.training is True
        layer.__dict__["width"] = 9  # the property is there before the instance dict
        assert layer.width == 2
        for name in ("nothing", "broken"):
            with pytest.raises(AttributeError, match=f"'{cls.__name__}' object has no attribute '{name}'"):
                getattr(layer, name)
        assert getattr(layer, "nothing", 5) == 5 and not hasattr(layer, "weigth")
    assert Falling(1, 1).invented == 7 and Everything(1, 1).one == 1
    layer = Own(2, 1)
    assert not hasattr(layer, "invented")
    Own.__getattr__ = lambda self, name: "late"  # also for what was made before
    assert layer.nothing == "late" and layer.in_features == 2
    del Own.__getattr__
    assert not hasattr(layer, "nothing") and layer.in_features == 2


def test_classes_beside_a_module_hear_of_subclasses(lib):
    heard = []

    class Listener:
        def __init_subclass__(cls, word=None, **kwargs):
            super().__init_subclass__(**kwargs)
            heard.append((cls.__name__, word))

    class Both(lib.nn.Module, Listener, word="a"):
        pass

    class Generic(lib.nn.Module, typing.Generic[typing.TypeVar("T")]):
        def forward(self):
            return 1
    assert heard == [("Both", "a")] and Generic[int]()() == 1
    with pytest.raises(TypeError):
        class Wrong(lib.nn.Module, unknown=1):
            pass


def test_modules_are_copied_and_pickled_with_their_base():
    layer = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).eval()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(layer, protocol))
        assert fg.equal(again(X[:, :2]), layer(X[:, :2]))
    assert fg.equal(copy.deepcopy(layer)(X[:, :2]), layer(X[:, :2]))


# ---- grad modes

def test_grad_modes_as_objects(lib):
    for make, inside in ((lib.no_grad, False), (lib.enable_grad, True), (lambda: lib.set_grad_enabled(False), False)):
        with lib.set_grad_enabled(not inside):
            with make():
                assert lib.is_grad_enabled() is inside
            assert lib.is_grad_enabled() is not inside
        context = make()
        again = context.clone()
        assert type(again) is type(context)
        lib.set_grad_enabled(True)

    @lib.no_grad
    def bare():
        return lib.is_grad_enabled()

    @lib.set_grad_enabled(False)
    def switched():
        return lib.is_grad_enabled()
    assert lib.is_grad_enabled() and bare() is switched() is False and lib.is_grad_enabled()

    class Named(lib.no_grad):
        def __init__(self, name="x"):
            super().__init__()
            self.name = name
    with Named():
        assert not lib.is_grad_enabled()
    assert lib.no_grad.__module__.endswith("autograd.grad_mode") and lib.no_grad.__name__ == "no_grad"
    for wrong in (lambda: lib.no_grad(1, 2), lambda: lib.set_grad_enabled(), lambda: lib.no_grad(other=1)):
        with pytest.raises(TypeError):
            wrong()
    assert lib.is_grad_enabled()


def test_no_grad_inside_inference_mode(lib):
    x = lib.ones(1, requires_grad=True)
    with lib.inference_mode():
        with lib.no_grad():
            pass
        with lib.enable_grad():
            pass
    assert lib.is_grad_enabled() and (x * 2).requires_grad


def test_grad_modes_are_copied():
    for context in (fg.no_grad(), fg.enable_grad(), fg.set_grad_enabled(True)):
        assert type(copy.deepcopy(context)) is type(pickle.loads(pickle.dumps(context))) is type(context)
    assert repr(fg.set_grad_enabled(True)) == "set_grad_enabled(mode=True)" and fg.is_grad_enabled()


# ---- custom functions

class Twice(fg.autograd.Function):
    """Two results, of which one has no gradient; an argument that is no tensor."""

    @staticmethod
    def forward(ctx, x, factor, y):
        out = x * factor + y
        sign = x.sign()
        ctx.save_for_backward(x, None, out)
        ctx.factor = factor
        ctx.mark_non_differentiable(sign)
        return out, sign

    @staticmethod
    def backward(ctx, g, _):
        x, nothing, out = ctx.saved_tensors
        assert nothing is None
        return g * ctx.factor * out / out, None, g * x / x


def test_function_call_in_full():
    results = []
    for call in (Twice.apply, Twice._apply_in_full):
        x, y = fg.tensor([1.0, 2.0], requires_grad=True), fg.tensor([3.0, 4.0], requires_grad=True)
        out, sign = call(x, 3, y)
        assert out.requires_grad and not sign.requires_grad and type(out.grad_fn).__name__ == "TwiceBackward"
        first = fg.autograd.grad(out.sum(), (x, y), create_graph=True)
        second = fg.autograd.grad(sum(g.sum() for g in first), (x, y), allow_unused=True)
        results.append([t.tolist() for t in (out, sign, *first, *second)])
    assert results[0] == results[1]


def test_function_without_gradients_and_with_modes():
    x = fg.tensor([1.0, 2.0])
    assert not Twice.apply(x, 3, x)[0].requires_grad
    y = x.clone().requires_grad_()
    with fg.no_grad():
        assert not Twice.apply(y, 3, x)[0].requires_grad
    with fg.inference_mode():
        assert Twice.apply(y, 3, x)[0].is_inference()
    assert fg.is_grad_enabled()
    packed = []
    with fg.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        out, _ = Twice.apply(y, 3, x)
    out.sum().backward()
    assert len(packed) >= 2 and y.grad.tolist() == [3, 3]


def test_saved_tensor_that_was_changed(lib):
    class Keep(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * 2
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]
    for change in (lambda x, y: x.mul_(2), lambda x, y: y.mul_(2)):
        leaf = lib.ones(2, requires_grad=True)
        x = leaf * 1
        y = Keep.apply(x)
        change(x, y)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_wrong_gradients(lib):
    def of(result):
        class Wrong(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                return x * y

            @staticmethod
            def backward(ctx, g):
                return result(g)
        x = lib.ones(2, 2, requires_grad=True)
        Wrong.apply(x, 3).sum().backward()
        return x.grad
    assert of(lambda g: (g, None)).tolist() == [[1, 1], [1, 1]]
    assert of(lambda g: (g.double(), None)).dtype == lib.float32
    assert of(lambda g: (g, None, None, None)) is not None
    for wrong in (lambda g: g, lambda g: (g, g), lambda g: (g, None, 3), lambda g: (g[0, :1].expand(3, 3), None)):
        with pytest.raises(RuntimeError):
            of(wrong)


def test_what_is_saved_may_be_set_in_other_ways():
    def of(kept):
        class Kept(fg.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.to_save = kept(x)
                return x * 2

            @staticmethod
            def backward(ctx, g):
                return g * len(ctx.saved_tensors)
        x = fg.ones(2, requires_grad=True)
        Kept.apply(x).sum().backward()
        return x.grad.tolist()
    assert of(lambda x: [x, x]) == [2, 2] and of(lambda x: (None, x, None)) == [3, 3]
    for wrong in (lambda x: 5, lambda x: (1,), lambda x: None):
        with pytest.raises(TypeError):
            of(wrong)


def test_result_given_twice(lib):
    class Same(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * 2
            return y, y

        @staticmethod
        def backward(ctx, g, h):
            return g + h
    x = lib.ones(2, requires_grad=True)
    a, b = Same.apply(x)
    (a.sum() + b.sum()).backward()
    assert x.grad.tolist() in ([2, 2], [1, 1])
