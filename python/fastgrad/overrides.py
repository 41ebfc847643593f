"""`torch.overrides`: taking over the library's functions with `__torch_function__`, for classes and within a `with`.

    class Logging(Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            print(resolve_name(func))
            return super().__torch_function__(func, types, args, kwargs)
"""
import functools
from contextlib import contextmanager
from types import BuiltinFunctionType

from fastgrad import _C
from fastgrad._overrides import NOWRAP

__all__ = ["get_ignored_functions", "get_overridable_functions", "handle_torch_function", "has_torch_function",
           "has_torch_function_unary", "has_torch_function_variadic", "resolve_name", "is_tensor_like",
           "is_tensor_method_or_property", "wrap_torch_function", "enable_reentrant_dispatch", "TorchFunctionMode"]

Tensor = _C.Tensor
has_torch_function_unary = _C._has_torch_function_unary
has_torch_function_variadic = _C._has_torch_function_variadic


def has_torch_function(relevant_args):
    """Whether an element of a sequence of arguments overrides functions, or a mode is on."""
    return _C._has_torch_function(relevant_args)


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    """Let the overrides among `relevant_args` take the call `public_api(*args, **kwargs)`.

    TypeError when each of them returns NotImplemented.
    """
    return _C._handle_torch_function(public_api, relevant_args, args, kwargs)


def wrap_torch_function(dispatcher):
    """A decorator: calls of the function go to overrides among `dispatcher(*args, **kwargs)`."""
    def decorate(func):
        @functools.wraps(func)
        def wrapped(*args, **kwargs):
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return func(*args, **kwargs)
        return wrapped
    return decorate


def is_tensor_like(inp):
    """Whether something is a Tensor, or has `__torch_function__`."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def get_default_nowrap_functions():
    """Functions whose results a subclass of Tensor leaves as they are."""
    return set(NOWRAP)


# ---- modes

class TorchFunctionMode:
    """A context in which calls of functions and methods go to `__torch_function__(self, func, types, args, kwargs)`.

    Inside that method the mode itself is off. Modes nest, the innermost is asked first.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise NotImplementedError

    def __enter__(self):
        _C._push_function_mode(self)
        return self

    def __exit__(self, exc_type, exc, traceback):
        _C._pop_function_mode()

    @classmethod
    def push(cls, *args, **kwargs):
        """A new mode of this class, to be entered with `with`."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """The mode that changes nothing."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def _get_current_function_mode():
    modes = _C._function_modes()
    return modes[-1] if modes else None


def _get_current_function_mode_stack():
    return _C._function_modes()


@contextmanager
def enable_reentrant_dispatch():
    """Inside `__torch_function__`, turn overrides of subclasses on again."""
    before = _C._exchange_disabled(False, False)
    try:
        yield
    finally:
        _C._exchange_disabled(*before)


# ---- what can be overridden

_NAMESPACES = ("fastgrad", "fastgrad.nn.functional", "fastgrad.linalg", "fastgrad.fft", "fastgrad.special",
               "fastgrad.nn.init")
_METHOD_KINDS = (type(Tensor.add), type(Tensor.__add__), _C._Overridable)
_NOT_OVERRIDDEN = frozenset("__hash__ __iter__ __new__ __init__ __init_subclass__ __setattr__ __getattribute__ "
                            "__delattr__ __delitem__ __torch_function__ as_subclass _make_subclass __dir__".split())


def _enter(names, value, space, name):
    """Of several names of one function its own counts."""
    own = f".{value.__name__}"
    if value not in names or name == own[1:] and not names[value].endswith(own):
        names[value] = f"{space}.{name}"


@functools.lru_cache(maxsize=1)
def _tables():
    """(namespace -> functions, function -> name, functions that are never overridden)."""
    import importlib
    settled = set(_C._settled_names())
    native = set(_C.function_names()[0]) - settled
    overridable, names, ignored = {}, {}, set()
    for path in _NAMESPACES:
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError:
            continue
        found = overridable[module] = []
        for name in sorted(n for n in dir(module) if n[0] != "_"):
            value = getattr(module, name)
            if (isinstance(value, _C._Overridable)
                    or isinstance(value, BuiltinFunctionType) and value.__name__ in native):
                found.append(value)
                _enter(names, value, path.replace("fastgrad", "torch", 1), name)
            elif callable(value) and not isinstance(value, type) and (value.__module__ or "").startswith("fastgrad"):
                ignored.add(value)
    methods = overridable[Tensor] = []
    for name in dir(Tensor):
        value = getattr(Tensor, name)
        if name in _NOT_OVERRIDDEN:
            ignored.add(value)
        elif isinstance(value, _METHOD_KINDS) and (name[0] != "_" or name[:2] == "__"):
            methods.append(value)
            _enter(names, value, "torch.Tensor", name)
        elif name != "__dict__" and type(value) in (property, type(Tensor.shape)):
            overridable[value] = [value.__get__]
            for access in ("__get__", "__set__", "__delete__"):
                names[getattr(value, access)] = f"torch.Tensor.{name}.{access}"
    ignored.update(getattr(_C, name) for name in settled)
    return overridable, names, ignored


def get_overridable_functions():
    """Functions that can be overridden, by namespace: modules, Tensor, and each of Tensor's attributes.

    >>> fastgrad.add in get_overridable_functions()[fastgrad]
    True
    """
    return {space: list(functions) for space, functions in _tables()[0].items()}


def get_ignored_functions():
    """Public functions that cannot be overridden."""
    return set(_tables()[2])


def resolve_name(f):
    """The name of a function as overrides see it, None when it is not known.

    >>> resolve_name(fastgrad.Tensor.shape.__get__)
    'torch.Tensor.shape.__get__'
    """
    try:
        return _tables()[1].get(f)
    except TypeError:
        return None


def is_tensor_method_or_property(func):
    """Whether a function that an override is told of is a method or an attribute of Tensor."""
    return (resolve_name(func) or "").startswith("torch.Tensor.") or getattr(func, "__name__", "") == "__get__"
