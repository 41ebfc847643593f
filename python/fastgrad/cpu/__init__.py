"""The CPU as a device: the queries that other devices have too."""
from contextlib import AbstractContextManager

from .. import _C

__all__ = ["is_available", "is_initialized", "synchronize", "current_device", "current_stream", "stream", "set_device",
           "device_count", "StreamContext", "Stream", "Event"]


def is_available():
    """Return True.

    >>> is_available()
    True
    """
    return True


def is_initialized():
    """Return True."""
    return True


def synchronize(device=None):
    """Work on the CPU is done when an op returns: nothing to wait for."""


def current_device():
    """Return "cpu"."""
    return "cpu"


def set_device(device):
    """There is one CPU device: nothing to choose."""


def device_count():
    """Return 1."""
    return 1


class Stream:
    """The one queue of work, which is always empty."""

    def __init__(self, priority=-1):
        pass

    def wait_stream(self, stream):
        """Nothing is waited for."""

    def record_event(self):
        """Nothing is recorded."""

    def wait_event(self, event):
        """Nothing is waited for."""


class Event:
    """A point in the queue, which is always in the past."""

    def query(self):
        """Return True."""
        return True

    def record(self, stream=None):
        """Nothing is recorded."""

    def synchronize(self):
        """Nothing is waited for."""

    def wait(self, stream=None):
        """Nothing is waited for."""


_stream = Stream()


def current_stream(device=None):
    """Return the one stream."""
    return _stream


class StreamContext(AbstractContextManager):
    """Makes a stream the current one for a block; on the CPU nothing changes."""

    def __init__(self, stream):
        self.stream = stream

    def __exit__(self, *error):
        return None


def stream(stream):
    """Return the context of a stream."""
    return StreamContext(stream)


def __getattr__(name):
    if name == "amp":
        from importlib import import_module
        return import_module(".amp", __name__)
    raise AttributeError(f"module 'fastgrad.cpu' has no attribute '{name}'")


def _is_avx2_supported():
    return "avx2" in _C.available_isas()


def _is_avx512_supported():
    return "avx512" in _C.available_isas()
