"""Neural networks: modules, their parameters, functions, initial values."""
from . import attention, functional, init, modules, parallel, parameter, utils
from ._left_out import MODULES as _LEFT_OUT
from .modules import *  # noqa: F403
from .parallel import DataParallel
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter


def __getattr__(name):
    if name in _LEFT_OUT:
        raise AttributeError(f"fastgrad.nn.{name}: {_LEFT_OUT[name]}")
    raise AttributeError(f"module 'fastgrad.nn' has no attribute '{name}'")
