"""Modules whose parameters are not drawn."""
import inspect

import fastgrad

from ..modules.module import Module


def skip_init(module_cls, *args, **kwargs):
    """Makes a module and leaves the random generator as it was: its values are for the caller to set.

    >>> skip_init(fastgrad.nn.Linear, 2, 3)
    Linear(in_features=2, out_features=3, bias=True)
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    state = fastgrad.get_rng_state()
    try:
        return module_cls(*args, **kwargs).to_empty(device=kwargs.get("device", "cpu"))
    finally:
        fastgrad.set_rng_state(state)
