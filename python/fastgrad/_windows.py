"""Windows for spectra: `hann_window` and its kin."""
import math

from . import _C


def _window(name, length, periodic, dtype, layout, device, pin_memory, requires_grad, formula):
    """`formula(n, count)` of the places n = 0 ... count - 1; a periodic window leaves out the last of one more."""
    dtype = _C.get_default_dtype() if dtype is None else dtype
    if not dtype.is_floating_point:
        raise RuntimeError(f"{name} expects floating point dtypes, got: TensorOptions(dtype={dtype})")
    if isinstance(length, bool) or not isinstance(length, int):
        raise TypeError(f"{name}(): argument 'window_length' (position 1) must be int, not {type(length).__name__}")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    options = dict(dtype=dtype, layout=layout, device=device, pin_memory=pin_memory)
    if length < 2:
        result = _C.ones(length, **options)
    else:
        count = length + 1 if periodic else length
        result = formula(_C.arange(count, **options), count)[:length]
    return result.requires_grad_(requires_grad)


def hann_window(window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False,
                requires_grad=False):
    """Return 0.5 - 0.5 cos(2 pi n / N); periodic: for spectra, N is the length, else the length less one.

    >>> fastgrad.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window("hann_window", window_length, periodic, dtype, layout, device, pin_memory, requires_grad,
                   lambda n, count: (n * (2 * math.pi / (count - 1))).cos() * -0.5 + 0.5)


def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None, layout=None, device=None,
                   pin_memory=False, requires_grad=False):
    """Return alpha - beta cos(2 pi n / N)."""
    return _window("hamming_window", window_length, periodic, dtype, layout, device, pin_memory,
                   requires_grad, lambda n, count: (n * (2 * math.pi / (count - 1))).cos() * -beta + alpha)


def blackman_window(window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False,
                    requires_grad=False):
    """Return 0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)."""
    def formula(n, count):
        half = n * (math.pi / (count - 1))
        return (half * 4).cos() * 0.08 - (half * 2).cos() * 0.5 + 0.42
    return _window("blackman_window", window_length, periodic, dtype, layout, device, pin_memory,
                   requires_grad, formula)


def bartlett_window(window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False,
                    requires_grad=False):
    """Return 1 - |2 n / N - 1|, a triangle."""
    def formula(n, count):
        slope = n * (2 / (count - 1))
        middle = ((count - 1) >> 1) + 1
        return _C.cat([slope[:middle], 2 - slope[middle:]])
    return _window("bartlett_window", window_length, periodic, dtype, layout, device, pin_memory,
                   requires_grad, formula)


def kaiser_window(window_length, periodic=True, beta=12.0, *, dtype=None, layout=None, device=None, pin_memory=False,
                  requires_grad=False):
    """Return I0(beta sqrt(1 - (2 n / N - 1)^2)) / I0(beta), with the modified Bessel function I0."""
    def formula(n, count):
        import numpy
        places = numpy.arange(count) * (2 / (count - 1)) - 1
        values = numpy.i0(beta * numpy.sqrt(numpy.maximum(0, 1 - places * places))) / numpy.i0(beta)
        return _C.tensor(values, dtype=n.dtype, device=n.device)
    return _window("kaiser_window", window_length, periodic, dtype, layout, device, pin_memory, requires_grad,
                   formula)
