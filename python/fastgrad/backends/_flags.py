"""Switches that check what they are set to."""
import sys
import types
from contextlib import contextmanager


def _check(name, value, kind):
    if not isinstance(value, kind):
        raise RuntimeError(f"{name} expects a {kind.__name__}, but got {type(value).__name__}")


class _FlagModule(types.ModuleType):
    def __setattr__(self, name, value):
        kind = self._TYPES.get(name)
        if kind is not None:
            _check(f"{self.__name__}.{name}", value, kind)
        super().__setattr__(name, value)


def check_types(module_name):
    """Makes a module refuse values of the wrong type for the names in its `_TYPES`."""
    sys.modules[module_name].__class__ = _FlagModule


class Flags:
    """Switches of an object, with the types of their defaults; other names are refused."""

    def __init__(self, **defaults):
        self.__dict__.update(defaults)

    def __setattr__(self, name, value):
        if name not in self.__dict__:
            raise AttributeError(f"Unknown attribute {name}")
        _check(name, value, type(self.__dict__[name]))
        self.__dict__[name] = value


@contextmanager
def switched(module_name, **values):
    """Context in which the switches of a module have other values."""
    module = sys.modules[module_name]
    before = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
