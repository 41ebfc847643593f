"""Padding as modules: constants, reflections, copies of the border, and the other side."""
from .. import functional as F
from .module import Module
from .utils import _ntuple

__all__ = ["CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d",
           "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d",
           "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d"]


class _ConstantPadNd(Module):
    __constants__ = ["padding", "value"]
    _dims = 0

    def __init__(self, padding, value):
        super().__init__()
        self.padding = _ntuple(2 * self._dims)(padding)
        self.value = value

    def forward(self, input):
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """Adds constants to both ends of the last dimension."""

    _dims = 1


class ConstantPad2d(_ConstantPadNd):
    """Adds constants around the last two dimensions.

    >>> ConstantPad2d((1, 1, 2, 0), 3.5)
    ConstantPad2d(padding=(1, 1, 2, 0), value=3.5)
    """

    _dims = 2


class ConstantPad3d(_ConstantPadNd):
    """Adds constants around the last three dimensions."""

    _dims = 3


class _ZeroPad:
    def __init__(self, padding):
        super().__init__(padding, 0.0)

    def extra_repr(self):
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    """Adds zeros to both ends of the last dimension."""


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    """Adds zeros around the last two dimensions."""


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    """Adds zeros around the last three dimensions."""


class _CopyPadNd(Module):
    __constants__ = ["padding"]
    _dims = 0
    _mode = ""

    def __init__(self, padding):
        super().__init__()
        self.padding = _ntuple(2 * self._dims)(padding)

    def forward(self, input):
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self):
        return f"{self.padding}"


class ReflectionPad1d(_CopyPadNd):
    """Continues the last dimension as in a mirror."""

    _dims, _mode = 1, "reflect"


class ReflectionPad2d(_CopyPadNd):
    """Continues the last two dimensions as in a mirror."""

    _dims, _mode = 2, "reflect"


class ReflectionPad3d(_CopyPadNd):
    """Continues the last three dimensions as in a mirror."""

    _dims, _mode = 3, "reflect"


class ReplicationPad1d(_CopyPadNd):
    """Continues the last dimension by its border."""

    _dims, _mode = 1, "replicate"


class ReplicationPad2d(_CopyPadNd):
    """Continues the last two dimensions by their border."""

    _dims, _mode = 2, "replicate"


class ReplicationPad3d(_CopyPadNd):
    """Continues the last three dimensions by their border."""

    _dims, _mode = 3, "replicate"


class _CircularPadNd(_CopyPadNd):
    _mode = "circular"

    def forward(self, input):
        n = self._dims
        if input.dim() not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {input.dim()}D input)")
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    """Continues the last dimension by its other end."""

    _dims = 1


class CircularPad2d(_CircularPadNd):
    """Continues the last two dimensions by their other ends."""

    _dims = 2


class CircularPad3d(_CircularPadNd):
    """Continues the last three dimensions by their other ends."""

    _dims = 3
