"""Signal processing: the `windows`."""
from . import windows

__all__ = ["windows"]
