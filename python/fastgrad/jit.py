"""Names of TorchScript. What marks functions and classes for it returns them as they are; making scripts raises."""
import functools
from typing import Final

__all__ = ["Attribute", "Error", "Final", "ScriptFunction", "ScriptModule", "annotate", "export", "ignore", "interface",
           "is_scripting", "is_tracing", "isinstance", "script_if_tracing", "script_method", "unused"]

_WHY = "fastgrad has no TorchScript; modules run as they are written, and save with fastgrad.save(module.state_dict())"


class Error(RuntimeError):
    """What a script raises; there are none."""


class ScriptModule:
    """A module as a script: there are none, so no object is an instance."""


class ScriptFunction:
    """A function as a script: there are none, so no object is an instance."""


class Attribute:
    """A value with its type."""

    def __init__(self, value, type):
        self.value = value
        self.type = type


def _refused(name):
    def refuse(*args, **kwargs):
        raise NotImplementedError(f"fastgrad.jit.{name}: {_WHY}")
    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = "Not supported: raises."
    refuse.left_out = True
    return refuse


script = _refused("script")
trace = _refused("trace")
trace_module = _refused("trace_module")
save = _refused("save")
load = _refused("load")
freeze = _refused("freeze")
optimize_for_inference = _refused("optimize_for_inference")
CompilationUnit = _refused("CompilationUnit")


def export(fn):
    """Returns what it is given."""
    return fn


def unused(fn):
    """Returns what it is given."""
    return fn


def ignore(drop=False, **kwargs):
    """Returns the function, or a decorator: `@ignore`, `@ignore()`, `@ignore(drop=True)`."""
    return drop if callable(drop) else lambda fn: fn


def interface(obj):
    """Returns what it is given."""
    return obj


def script_method(fn):
    """Returns what it is given."""
    return fn


def script_if_tracing(fn):
    """Returns what it is given."""
    return fn


def is_scripting():
    """Whether this runs inside of a script: never."""
    return False


def is_tracing():
    """Whether a trace is being recorded: never."""
    return False


def annotate(the_type, the_value):
    """Returns the value."""
    return the_value


def isinstance(obj, target_type):
    """`isinstance` that looks into `List[int]`, `Dict[str, int]`, `Optional[int]` and tuples of types."""
    import builtins
    import types
    from typing import Union, get_args, get_origin
    if builtins.isinstance(target_type, tuple):
        return any(isinstance(obj, part) for part in target_type)
    origin, parts = get_origin(target_type), get_args(target_type)
    if origin is None:
        return builtins.isinstance(obj, target_type)
    if origin in (Union, types.UnionType):
        return any(isinstance(obj, part) for part in parts)
    if not builtins.isinstance(obj, origin):
        return False
    if origin is dict:
        return all(isinstance(k, parts[0]) and isinstance(v, parts[1]) for k, v in obj.items())
    if origin is tuple and parts[-1:] != (...,):
        return len(obj) == len(parts) and all(map(isinstance, obj, parts))
    return all(isinstance(entry, parts[0]) for entry in obj)


def fork(func, *args, **kwargs):
    """Calls the function at once; `wait` gives its result."""
    return functools.partial(_identity, func(*args, **kwargs))


def _identity(value):
    return value


def wait(future):
    """The result of a call that `fork` made."""
    return future()
