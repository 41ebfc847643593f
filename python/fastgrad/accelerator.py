"""The accelerator of this machine, whichever it is: CUDA devices, or none."""
import fastgrad

from . import cuda

__all__ = ["current_accelerator", "current_device_idx", "current_device_index", "current_stream", "device_count",
           "device_index", "empty_cache", "is_available", "max_memory_allocated", "max_memory_reserved",
           "memory_allocated", "memory_reserved", "memory_stats", "reset_peak_memory_stats", "set_device_idx",
           "set_device_index", "set_stream", "synchronize"]


def is_available():
    """Whether there is an accelerator."""
    return cuda.is_available()


def device_count():
    """How many accelerators there are."""
    return cuda.device_count() if is_available() else 0


def current_accelerator(check_available=False):
    """The type of accelerator as a device without index, or None.

    >>> current_accelerator() is None or current_accelerator().type
    True
    """
    return fastgrad.device("cuda") if is_available() else None


def _cuda(name):
    """The function of `fastgrad.cuda` with a check that there is a device."""
    def call(*args, **kwargs):
        if not is_available():
            raise RuntimeError("Cannot access accelerator device when none is available.")
        return getattr(cuda, name)(*args, **kwargs)
    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"See `fastgrad.cuda.{name}`; raises where there is no accelerator."
    return call


current_device_index = current_device_idx = _cuda("current_device")
set_device_index = set_device_idx = _cuda("set_device")
synchronize = _cuda("synchronize")
current_stream = _cuda("current_stream")
set_stream = _cuda("set_stream")
empty_cache = _cuda("empty_cache")
memory_allocated = _cuda("memory_allocated")
max_memory_allocated = _cuda("max_memory_allocated")
memory_reserved = _cuda("memory_reserved")
max_memory_reserved = _cuda("max_memory_reserved")
memory_stats = _cuda("memory_stats")
reset_peak_memory_stats = _cuda("reset_peak_memory_stats")


class device_index:
    """Context in which another device is current; None changes nothing."""

    def __init__(self, device):
        self.index = device

    def __enter__(self):
        if self.index is not None:
            self.before = current_device_index()
            set_device_index(self.index)

    def __exit__(self, *error):
        if self.index is not None:
            set_device_index(self.before)
