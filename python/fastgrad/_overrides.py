"""`__torch_function__` on the Python side: how functions written in Python honour it, and what Tensor itself answers.

Native functions ask their arguments themselves (csrc/python/overrides.cpp). A function written in Python is published
inside a native wrapper that does the same in front of it; what overrides are told to be called is that wrapper, so
`func is F.relu` holds. Inside the library the functions are called as they are.
"""
from types import FunctionType

from . import _C
from ._autocast import FLOAT32

Tensor = _C.Tensor


def native_case(native, takes, **usual):
    """Decorator of a Python function: calls of a usual form go straight to a native function.

    takes: names of the parameters that go to it, in its order, with a ! if they must not be None; usual: what the other
    arguments are then, `...` for anything. The Python function must do the same for them.
    """
    def mark(function):
        code, names = function.__code__, takes.replace("!", "").split()
        parameters = code.co_varnames[:code.co_argcount]
        if {*names, *usual} != {*parameters} or code.co_kwonlyargcount:
            raise TypeError(f"native_case: {function.__name__} takes {parameters}")
        required = len(parameters) - len(function.__defaults__ or ())
        defaults = dict(zip(parameters[required:], function.__defaults__ or ()))
        function.native_case = native, len(names), tuple([
            (name, names.index(name) if name in names else None, usual.get(name, defaults.get(name)), i < required,
             name + "!" in takes.split()) for i, name in enumerate(parameters)])
        return function
    return mark


def _overridable(function, where):
    made = _C._Overridable(function, where)
    if hasattr(function, "native_case"):
        made.native_case = function.native_case
    if function.__name__ in FLOAT32:
        made.float32 = True
    return made


def publish(namespace, module, names=None):
    """Put every public Python function of a namespace (or those named) under the protocol; return them by name."""
    wrapped = {}
    for name in [n for n in namespace if n[0] != "_"] if names is None else names:
        value = namespace[name]
        wrapped[name] = _overridable(value, module) if type(value) is FunctionType else value
    return wrapped


def method(function):
    """A method of Tensor, under the protocol."""
    return _overridable(function, Tensor) if type(function) is FunctionType else function


def attribute(getter):
    """A property of Tensor that is reported as `Tensor.name.__get__`."""
    overridable = _C._Overridable(getter, Tensor)
    made = property(overridable)
    overridable.reported = made.__get__
    return made


class _Disable:
    """Base of the two context managers: overrides of subclasses are off, with `everything` also modes."""

    everything = False

    def __enter__(self):
        _, modes_off = before = _C._exchange_disabled(True, True)
        _C._exchange_disabled(True, self.everything or modes_off)
        self._before = before

    def __exit__(self, *exc):
        _C._exchange_disabled(*self._before)


class DisableTorchFunctionSubclass(_Disable):
    """Inside, `__torch_function__` of subclasses is not called; modes still are."""


class DisableTorchFunction(_Disable):
    """Inside, neither subclasses nor modes override anything."""

    everything = True


_C.DisableTorchFunctionSubclass = DisableTorchFunctionSubclass
_C.DisableTorchFunction = DisableTorchFunction

# Whose results stay plain tensors: they hand out tensors that exist already.
NOWRAP = {Tensor._base.__get__, Tensor.grad.__get__, Tensor._grad.__get__}


def convert(result, cls):
    """Tensors in a result, also in lists and tuples, as instances of `cls`."""
    if isinstance(result, Tensor):
        return result if cls is Tensor or isinstance(result, cls) else _C._as_subclass(result, cls)
    if isinstance(result, (tuple, list)) and any(isinstance(item, (Tensor, tuple, list)) for item in result):
        items = [convert(item, cls) for item in result]
        make = type(result)
        return make._make(items) if hasattr(make, "_make") else make(items)
    return result


def default_torch_function(cls, func, types, args=(), kwargs=None):
    """Call `func` as for plain tensors and return its tensors as instances of the subclass."""
    for other in types:
        if not issubclass(cls, other):
            return NotImplemented
    result = _C._call_disabled(func, args, kwargs)
    return result if func in NOWRAP else convert(result, cls)


Tensor.__torch_function__ = classmethod(default_torch_function)
