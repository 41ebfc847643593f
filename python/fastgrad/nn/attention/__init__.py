"""Choice of the kernels behind `functional.scaled_dot_product_attention`."""
import enum
from contextlib import contextmanager

from .._attention import enabled as _enabled

__all__ = ["SDPBackend", "sdpa_kernel", "WARN_FOR_UNFUSED_KERNELS"]

WARN_FOR_UNFUSED_KERNELS = False


class SDPBackend(enum.Enum):
    """Kinds of kernels. There is one implementation here, which stands for MATH and FLASH_ATTENTION."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    def __int__(self):
        return self.value

    __index__ = __int__


@contextmanager
def sdpa_kernel(backends, set_priority=False):
    """Only the given kinds of kernels are used inside the block; their order says nothing here.

    >>> with sdpa_kernel([SDPBackend.MATH]):
    ...     pass
    """
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError("Backend must be an instance of SDPBackend or a list of SDPBackend instances, got "
                             f"{type(backends).__name__}")
    wanted = {backend.name for backend in ([backends] if isinstance(backends, SDPBackend) else backends)}
    before = dict(_enabled)
    _enabled.update({name: name in wanted for name in _enabled})
    try:
        yield {}
    finally:
        _enabled.update(before)


def __getattr__(name):
    if name in ("flex_attention", "bias", "varlen"):
        raise AttributeError(f"fastgrad.nn.attention.{name} is not part of this release; "
                             "functional.scaled_dot_product_attention takes any mask")
    raise AttributeError(f"module 'fastgrad.nn.attention' has no attribute '{name}'")
