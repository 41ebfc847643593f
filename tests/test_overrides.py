"""`__torch_function__`: subclasses, foreign objects and modes take over functions, methods, operators, attributes."""
import copy
import operator
import pickle

import pytest

import fastgrad as fg
import fastgrad.nn.functional as F
from fastgrad import overrides

nn = fg.nn


def make_logging(m):
    class Logging(m.Tensor):
        log = []

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            cls.log.append((func, len(args), sorted(kwargs or {})))
            return super().__torch_function__(func, types, args, kwargs)
    return Logging


class Tagged(fg.Tensor):
    """Module level: it is pickled."""


class Metres:
    """A number with a unit that is no Tensor."""

    handled = {}

    def __init__(self, value, unit):
        self.value, self.unit = value, unit

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func not in cls.handled or not all(issubclass(t, (Metres, fg.Tensor)) for t in types):
            return NotImplemented
        return cls.handled[func](*args, **(kwargs or {}))


def handles(*functions):
    def register(fn):
        Metres.handled.update(dict.fromkeys(functions, fn))
        return fn
    return register


@handles(fg.add, fg.Tensor.add)
def add_units(a, b):
    units = {x.unit for x in (a, b) if isinstance(x, Metres)}
    assert len(units) == 1
    values = [x.value if isinstance(x, Metres) else x for x in (a, b)]
    return Metres(values[0] + values[1], units.pop())


@handles(fg.cat, fg.stack)
def join_units(tensors, dim=0):
    return Metres(fg.cat([t.value if isinstance(t, Metres) else t for t in tensors], dim), "m")


@handles(F.relu, F.mse_loss, fg.diag, fg.einsum)
def keep_unit(*args, **kwargs):
    return "taken over"


# ---- the same calls in torch and here

OPERATORS = "add sub mul truediv floordiv mod pow and_ or_ xor lshift rshift lt le eq ne gt ge".split()
INPLACE = "iadd isub imul itruediv ifloordiv imod ipow iand ior ixor ilshift irshift".split()
BITS = {"and_", "or_", "xor", "lshift", "rshift", "iand", "ior", "ixor", "ilshift", "irshift"}
SPELLINGS = {"__rdiv__": "__rtruediv__", "pow": "__pow__", "pow_": "__ipow__"}  # aliases of one method in torch


def calls():
    def operand(name, x, i):
        return i if name in BITS else x
    for name in OPERATORS:
        f = getattr(operator, name)
        yield name, lambda m, x, i, f=f, n=name: f(operand(n, x, i), operand(n, x, i))
        yield name + "_number", lambda m, x, i, f=f, n=name: f(operand(n, x, i), 2)
        yield name + "_reflected", lambda m, x, i, f=f, n=name: f(2, operand(n, x, i))
        yield name + "_plain", lambda m, x, i, f=f, n=name: f(m.ones(2, 2, dtype=m.int64), operand(n, x, i))
    for name in INPLACE:
        yield name, lambda m, x, i, f=getattr(operator, name), n=name: f(operand(n, x, i), 2)
    for name in ("neg", "pos", "abs", "invert"):
        yield name, lambda m, x, i, f=getattr(operator, name): f(i)
    yield "matmul", lambda m, x, i: x @ x
    for f in (bool, int, float, operator.index):
        yield f.__name__, lambda m, x, i, f=f: f(i[0, 0])
    for f in (len, repr, copy.copy):
        yield f.__name__, lambda m, x, i, f=f: f(x)
    yield "getitem", lambda m, x, i: x[0]
    yield "getitem_tuple", lambda m, x, i: x[0, 1:]
    yield "getitem_key", lambda m, x, i: m.ones(5)[i]
    yield "getitem_in_key", lambda m, x, i: m.ones(2, 5)[0, i]
    yield "setitem", lambda m, x, i: operator.setitem(x, 0, 1.0)
    yield "setitem_value", lambda m, x, i: operator.setitem(m.zeros(2, 2), 0, x[0])
    yield "contains", lambda m, x, i: 1 in x
    for name in ("shape dtype device ndim requires_grad grad grad_fn is_leaf data T mT H mH layout is_cuda is_sparse "
                 "_version itemsize nbytes output_nr _base retains_grad real is_cpu").split():
        yield "get_" + name, lambda m, x, i, n=name: getattr(x, n)
    yield "set_requires_grad", lambda m, x, i: setattr(x, "requires_grad", True)
    yield "set_grad", lambda m, x, i: setattr(x, "grad", m.ones(2, 2))
    yield "set_data", lambda m, x, i: setattr(x, "data", m.ones(2, 2))
    yield "set_attribute", lambda m, x, i: setattr(x, "note", 1)
    for name, args in (("size", ()), ("dim", ()), ("add", (1,)), ("sum", ()), ("max", (0,)), ("unbind", ()),
                       ("clone", ()), ("detach", ()), ("float", ()), ("numpy", ()), ("tolist", ()), ("view", (4,)),
                       ("type", ()), ("add_", (1,)), ("normal_", ()), ("new_zeros", (2,)), ("requires_grad_", ())):
        yield "method_" + name, lambda m, x, i, n=name, a=args: getattr(x, n)(*a)
    yield "function_out", lambda m, x, i: m.add(m.ones(2, 2), 1, out=x)
    yield "function_alpha", lambda m, x, i: m.add(x, 1, alpha=2)
    yield "cat", lambda m, x, i: m.cat([m.ones(2, 2), x])
    yield "stack", lambda m, x, i: m.stack((x, x), dim=0)
    yield "where", lambda m, x, i: m.where(m.ones(2, 2) > 0, x, 0)
    yield "atleast_2d", lambda m, x, i: m.atleast_2d(x)
    yield "einsum", lambda m, x, i: m.einsum("ij,jk->ik", x, m.ones(2, 2))
    yield "zeros_like", lambda m, x, i: m.zeros_like(x)
    yield "as_tensor", lambda m, x, i: m.as_tensor(x)
    yield "result_type", lambda m, x, i: m.result_type(x, 1)
    yield "is_tensor", lambda m, x, i: m.is_tensor(x)
    yield "parameter", lambda m, x, i: m.nn.Parameter(x)
    yield "autograd_grad", lambda m, x, i: m.autograd.grad(x.requires_grad_().sum(), x)
    yield "init", lambda m, x, i: m.nn.init.uniform_(x)
    for name in "relu gelu sigmoid dropout softplus normalize silu hardtanh".split():
        yield "F_" + name, lambda m, x, i, n=name: getattr(m.nn.functional, n)(x)
    yield "F_linear", lambda m, x, i: m.nn.functional.linear(m.ones(1, 2), x)
    yield "F_mse_loss", lambda m, x, i: m.nn.functional.mse_loss(m.ones(2, 2), x)
    yield "F_layer_norm", lambda m, x, i: m.nn.functional.layer_norm(x, (2,))
    yield "linear_module", lambda m, x, i: m.nn.Linear(2, 2)(x)


def record(m, call):
    kind = make_logging(m)
    x = m.tensor([[1.0, 2.0], [3.0, 4.0]]).as_subclass(kind)
    i = m.tensor([[1, 2], [3, 4]]).as_subclass(kind)
    result = call(m, x, i)
    kinds = [type(r).__name__ for r in result] if isinstance(result, (tuple, list)) else type(result).__name__
    names = [SPELLINGS.get(f.__name__, f.__name__) for f, _, _ in kind.log]
    return names, kinds


@pytest.mark.parametrize("call", [pytest.param(c, id=name) for name, c in calls()])
def test_calls_reach_the_subclass_as_in_torch(torch, call):
    names, kinds = record(fg, call)
    assert (names if names != ["cast"] else ["type"], kinds) == record(torch, call)


def test_functions_are_reported_as_published():
    kind = make_logging(fg)
    x = fg.ones(2, 2).as_subclass(kind)
    F.relu(x), fg.diag(x), x.diag(), x.shape, x + 1, fg.exp(x), x.mT, x.H
    assert [f for f, _, _ in kind.log] == [F.relu, fg.diag, fg.Tensor.diag, fg.Tensor.shape.__get__, fg.Tensor.add,
                                           fg.exp, fg.Tensor.mT.__get__, fg.Tensor.H.__get__]


def test_every_overridable_function_asks_its_arguments():
    class Stop(Exception):
        pass

    class Asked:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            assert types == (Asked,)
            cls.func = func
            raise Stop

    functions = overrides.get_overridable_functions()
    seen = 0
    data = {fg.tensor, fg.as_tensor, fg.asarray, fg.scalar_tensor}
    for space, members in functions.items():
        for f in members:
            if f in data or space is fg.Tensor or not isinstance(space, type(fg)):
                continue
            seen += 1
            with pytest.raises(Stop):
                f(Asked())
            assert Asked.func == f
            with pytest.raises(Stop):
                f([fg.ones(1), Asked()])
    assert seen > 300


# ---- subclasses

def test_results_keep_the_subclass():
    x = fg.arange(6.0).reshape(2, 3).as_subclass(Tagged).requires_grad_()
    for result in (x + 1, 1 - x, x[0], x[:, 1:], x.T, x.reshape(-1), x.sum(), x.max(0).values, x.split(1)[1],
                   x.detach(), x.data, x.clone(), F.softmax(x, 0), x @ fg.ones(3, 2), fg.ones(2, 2) @ x, x.double(),
                   x.new_zeros(3)):
        assert type(result) is Tagged
    assert type(x.shape) is fg.Size and type(x.tolist()) is list
    x.sum().backward()
    assert type(x.grad) is fg.Tensor and x.grad.tolist() == [[1.0] * 3] * 2


def test_as_subclass_shares_memory_and_history():
    base = fg.ones(2, requires_grad=True)
    x = (base * 2).as_subclass(Tagged)
    assert type(x) is Tagged and x.grad_fn is not None
    (x * 3).sum().backward()
    assert base.grad.tolist() == [6.0, 6.0]
    y = fg.zeros(2)
    y.as_subclass(Tagged).add_(1)
    assert y.tolist() == [1.0, 1.0]
    with pytest.raises(TypeError):
        y.as_subclass(int)


def test_make_subclass_detaches():
    x = fg.ones(2, requires_grad=True) * 2
    made = fg.Tensor._make_subclass(Tagged, x, True)
    assert type(made) is Tagged and made.is_leaf and made.requires_grad


def test_copies_and_pickles_keep_class_and_attributes():
    x = fg.ones(2).as_subclass(Tagged)
    x.note = "kept"
    for copied in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert type(copied) is Tagged and copied.note == "kept" and copied.tolist() == [1.0, 1.0]


def test_parameter_of_a_subclass():
    p = nn.Parameter(fg.ones(2).as_subclass(Tagged))
    assert type(p) is Tagged and isinstance(p, nn.Parameter) and p.requires_grad and p.is_leaf
    module = nn.Module()
    module.weight = p
    assert [name for name, _ in module.named_parameters()] == ["weight"]
    (p * 2).sum().backward()
    assert p.grad.tolist() == [2.0, 2.0]


def test_parameters_do_not_override():
    class Weight(nn.Parameter):
        pass
    w = Weight(fg.ones(2))
    assert type(w + 1) is fg.Tensor and not overrides.has_torch_function((w, nn.Parameter(fg.ones(1))))


def test_subclasses_are_asked_before_their_bases():
    class A(fg.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return cls.__name__, [t.__name__ for t in types]

    class B(A):
        pass

    a, b = (fg.ones(1).as_subclass(kind) for kind in (A, B))
    assert fg.add(a, b) == ("B", ["B", "A"])
    assert fg.stack([a, fg.ones(1), a]) == ("A", ["A"])


# ---- objects that are no tensors

def test_a_foreign_object_takes_over():
    metres = Metres(fg.ones(2), "m")
    for result in (fg.add(metres, metres), fg.add(fg.ones(2), metres), fg.ones(2) + metres):
        assert result.unit == "m" and result.value.tolist() == [2.0, 2.0]
    assert fg.cat([fg.ones(2), metres]).value.shape == (4,)
    assert F.relu(metres) == F.mse_loss(fg.ones(2), target=metres) == fg.diag(metres) == "taken over"
    assert fg.einsum("i,i", fg.ones(2), metres) == "taken over"


def test_declining_is_a_type_error():
    metres = Metres(fg.ones(2), "m")
    with pytest.raises(TypeError, match="no implementation found for 'mul'"):
        fg.mul(metres, 2)
    with pytest.raises(TypeError, match="unsupported operand"):
        fg.ones(2) * metres
    with pytest.raises(TypeError, match="unsupported operand"):
        fg.ones(2).as_subclass(Tagged) @ 1


# ---- switching off, helpers

def test_disable_subclasses():
    x = fg.ones(2).as_subclass(Tagged)
    with fg._C.DisableTorchFunctionSubclass():
        assert type(x + 1) is fg.Tensor and not overrides.has_torch_function_unary(x)
        with fg._C.DisableTorchFunctionSubclass():
            pass
        assert type(x + 1) is fg.Tensor
        with overrides.enable_reentrant_dispatch():
            assert type(x + 1) is Tagged
    assert type(x + 1) is Tagged


def test_own_functions_take_part():
    @overrides.wrap_torch_function(lambda a, b=None: (a, b))
    def mine(a, b=None):
        return "mine"

    def by_hand(a):
        if overrides.has_torch_function_variadic(a, 1):
            return overrides.handle_torch_function(by_hand, (a,), a, key=2)
        return "by hand"

    class Seen:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func, args, kwargs

    seen = Seen()
    assert mine(1) == "mine" and mine(1, b=seen) == (mine, (1,), {"b": seen})
    assert by_hand(fg.ones(1)) == "by hand" and by_hand(seen) == (by_hand, (seen,), {"key": 2})
    assert overrides.is_tensor_like(seen) and overrides.is_tensor_like(fg.ones(1)) and not overrides.is_tensor_like(1)
    assert not overrides.has_torch_function((fg.ones(1), 1, [fg.ones(1)]))


def test_names(torch):
    for name in ("add", "nn.functional.relu", "Tensor.shape.__get__", "Tensor.add", "Tensor.__rsub__", "Tensor.lt",
                 "Tensor.requires_grad.__set__", "nn.init.uniform_"):
        found = []
        for m in (fg, torch):
            f = m
            for part in name.split("."):
                f = getattr(f, part)
            found.append(m.overrides.resolve_name(f))
        assert found[0] == found[1] == "torch." + name
    assert overrides.resolve_name(len) is None and overrides.resolve_name([]) is None
    assert overrides.is_tensor_method_or_property(fg.Tensor.add)
    assert overrides.is_tensor_method_or_property(fg.Tensor.shape.__get__)
    assert not overrides.is_tensor_method_or_property(fg.add)
    assert fg.from_numpy in overrides.get_ignored_functions()
    assert fg.Tensor.grad.__get__ in overrides.get_default_nowrap_functions()


# ---- modes

class Count(overrides.TorchFunctionMode):
    def __init__(self):
        self.calls = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls.append(func)
        return func(*args, **(kwargs or {}))


def test_a_mode_sees_every_call():
    x = fg.ones(2, 2)
    with Count() as count:
        y = fg.zeros(2) + x
        y.shape, F.relu(y), y[0], len(y), fg.stack([y, y])
        fg.is_grad_enabled()
    x + x
    assert count.calls == [fg.zeros, fg.Tensor.add, fg.Tensor.shape.__get__, F.relu, fg.Tensor.__getitem__,
                           fg.Tensor.__len__, fg.stack]


def test_modes_nest_and_stand_before_subclasses():
    order = []

    class Named(overrides.TorchFunctionMode):
        def __init__(self, name):
            self.name = name

        def __torch_function__(self, func, types, args=(), kwargs=None):
            order.append((self.name, [t.__name__ for t in types]))
            return func(*args, **(kwargs or {}))

    x = fg.ones(2).as_subclass(Tagged)
    with Named("outer") as outer, Named("inner") as inner:
        assert overrides._get_current_function_mode_stack() == [outer, inner]
        assert type(x.exp()) is Tagged
    assert order[:2] == [("inner", ["Tagged"]), ("outer", ["Tagged"])]
    assert overrides._get_current_function_mode() is None


def test_a_mode_ends_with_an_error_and_leaves_nothing_behind():
    class Failing(overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            raise KeyError(func)
    with pytest.raises(KeyError):
        with Failing():
            fg.ones(1)
    assert fg.ones(1).tolist() == [1.0]
    with Count() as count, fg._C.DisableTorchFunction():
        fg.ones(1)
    assert count.calls == []
    with overrides.BaseTorchFunctionMode.push():
        assert (fg.ones(2) + 1).tolist() == [2.0, 2.0]


# ---- wrapped functions behave like the functions

def test_published_functions_look_like_functions():
    import inspect
    assert list(inspect.signature(F.mse_loss).parameters)[:2] == ["input", "target"]
    assert F.relu.__name__ == "relu" and F.relu.__module__ == "fastgrad.nn.functional" and "max" in F.relu.__doc__
    assert pickle.loads(pickle.dumps(F.mse_loss)) is F.mse_loss and copy.deepcopy(F.relu) is F.relu
    assert pickle.loads(pickle.dumps(fg.diag)) is fg.diag
    assert pickle.loads(pickle.dumps(fg.Tensor.diag)) is fg.Tensor.diag and fg.Tensor.diag.__module__ == "fastgrad"
    assert "function relu" in repr(F.relu)
    with pytest.raises(AttributeError):
        F.relu.__doc__ = "other"
    with pytest.raises(TypeError, match="relu"):
        F.relu(nonsense=1)
