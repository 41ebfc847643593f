"""finfo and iinfo, the numeric limits of dtypes, and the tags for layouts and memory formats."""
from . import _C

# bits, eps, largest, smallest normal, smallest subnormal, resolution
_FLOATS = {
    "float64": (64, 2.0 ** -52, (2.0 - 2.0 ** -52) * 2.0 ** 1023, 2.0 ** -1022, 5e-324, 1e-15),
    "float32": (32, 2.0 ** -23, (2.0 - 2.0 ** -23) * 2.0 ** 127, 2.0 ** -126, 2.0 ** -149, 1e-6),
    "float16": (16, 2.0 ** -10, 65504.0, 2.0 ** -14, 2.0 ** -24, 1e-3),
    "bfloat16": (16, 2.0 ** -7, (2.0 - 2.0 ** -7) * 2.0 ** 127, 2.0 ** -126, 2.0 ** -133, 1e-2),
}
_INTEGERS = {"uint8": (8, 0), "int8": (8, 1), "int16": (16, 1), "int32": (32, 1), "int64": (64, 1)}


def _name(dtype):
    return str(dtype).removeprefix("torch.")


class finfo:
    """Limits of a floating point dtype, by default those of the default dtype.

    >>> finfo(fastgrad.float32).eps
    1.1920928955078125e-07
    """

    __slots__ = ("dtype", "bits", "eps", "max", "min", "tiny", "smallest_normal", "smallest_subnormal", "resolution")

    def __init__(self, type=None):
        name = _name(_C.get_default_dtype() if type is None else type.to_real() if isinstance(type, _C.dtype) else type)
        if name not in _FLOATS:
            raise TypeError("torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                            "'torch.finfo'")
        self.dtype = name
        self.bits, self.eps, self.max, self.tiny, self.smallest_subnormal, self.resolution = _FLOATS[name]
        self.min = -self.max
        self.smallest_normal = self.tiny

    def __repr__(self):
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})")

    def __eq__(self, other):
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self):
        return hash((finfo, self.dtype))


class iinfo:
    """Limits of an integer dtype.

    >>> iinfo(fastgrad.int8).max
    127
    """

    __slots__ = ("dtype", "bits", "max", "min")

    def __init__(self, type):
        name = _name(type)
        if name == "bool":
            raise TypeError("torch.bool is not supported by torch.iinfo")
        if name not in _INTEGERS:
            raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'")
        self.dtype = name
        self.bits, signed = _INTEGERS[name]
        self.max = 2 ** (self.bits - signed) - 1
        self.min = -2 ** (self.bits - 1) if signed else 0

    def __repr__(self):
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"

    def __eq__(self, other):
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self):
        return hash((iinfo, self.dtype))


class _Tag:
    __slots__ = ("_text",)

    def __init__(self, text):
        self._text = text

    def __repr__(self):
        return self._text

    def __reduce__(self):
        return self._text.removeprefix("torch.")


class layout(_Tag):
    """How elements lie in memory: always `strided`."""

    __slots__ = ()


class memory_format(_Tag):
    """Order of dimensions that a copy should have in memory."""

    __slots__ = ()


strided = layout("torch.strided")
contiguous_format = memory_format("torch.contiguous_format")
preserve_format = memory_format("torch.preserve_format")
channels_last = memory_format("torch.channels_last")
channels_last_3d = memory_format("torch.channels_last_3d")
