"""Neural networks: modules, their parameters, functions, initial values."""
from . import attention, common_types, functional, grad, init, modules, parallel, parameter, utils
from ._left_out import MODULES as _LEFT_OUT
from .modules import *  # noqa: F403
from .parallel import DataParallel
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter


def factory_kwargs(kwargs):
    """The arguments for functions that make tensors, out of `device`, `dtype`, `memory_format` and `factory_kwargs`.

    >>> factory_kwargs({"device": "cpu", "factory_kwargs": {"dtype": None}})
    {'dtype': None, 'device': 'cpu'}
    """
    if kwargs is None:
        return {}
    names = ("device", "dtype", "memory_format")
    unknown = kwargs.keys() - {*names, "factory_kwargs"}
    if unknown:
        raise TypeError(f"unexpected kwargs {unknown}")
    found = dict(kwargs.get("factory_kwargs", {}))
    for name in names:
        if name in kwargs:
            if name in found:
                raise TypeError(f"{name} specified twice, in **kwargs and in factory_kwargs")
            found[name] = kwargs[name]
    return found


def __getattr__(name):
    if name in _LEFT_OUT:
        raise AttributeError(f"fastgrad.nn.{name}: {_LEFT_OUT[name]}")
    from fastgrad._missing import no_attribute
    raise no_attribute(__name__, name)
