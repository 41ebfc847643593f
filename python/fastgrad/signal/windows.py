"""Windows of M points: symmetric ones, or with sym=False the first M points of one more, for spectra.

All are functions of n = 0 ... M - 1 and of N, which is M - 1, or M with sym=False.
"""
import math

from .. import _C
from .._type_info import strided

__all__ = ["bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming",
           "hann", "kaiser", "nuttall"]


def _window(name, M, formula, sym, dtype, layout, device, requires_grad, count=None):
    """`formula(n, N)`; one point is 1 unless `count` names its N."""
    dtype = _C.get_default_dtype() if dtype is None else dtype
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not None and layout is not strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if dtype not in (_C.float32, _C.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    n = _C.arange(M, dtype=_C.float64, device=device)
    whole = M if not sym and M > 1 else M - 1
    values = n + 1 if M < 2 and count is None else formula(n, whole)
    return values.to(dtype).requires_grad_(requires_grad)


def general_cosine(M, *, a, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Return sum over i of (-1)^i a[i] cos(2 pi i n / N).

    >>> fastgrad.signal.windows.general_cosine(3, a=[0.5, 0.5])
    tensor([0., 1., 0.])
    """
    if not hasattr(a, "__iter__"):
        raise TypeError("Coefficients must be a list/tuple")
    a = list(a)
    if not a:
        raise ValueError("Coefficients cannot be empty")

    def formula(n, whole):
        angle = n * (2 * math.pi / whole)
        total = _C.full_like(n, a[0])
        for i, factor in enumerate(a[1:], 1):
            total = total + (angle * i).cos() * (-factor if i % 2 else factor)
        return total
    return _window("general_cosine", M, formula, sym, dtype, layout, device, requires_grad)


def general_hamming(M, *, alpha=0.54, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Return alpha - (1 - alpha) cos(2 pi n / N)."""
    return general_cosine(M, a=[alpha, 1.0 - alpha], sym=sym, dtype=dtype, layout=layout, device=device,
                          requires_grad=requires_grad)


def hamming(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Return 0.54 - 0.46 cos(2 pi n / N)."""
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hann(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Return 0.5 - 0.5 cos(2 pi n / N)."""
    return general_hamming(M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, device=device,
                           requires_grad=requires_grad)


def blackman(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Return 0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)."""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, layout=layout, device=device,
                          requires_grad=requires_grad)


def nuttall(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Return the window of four cosines with the lowest side lobes, after Nuttall."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, dtype=dtype, layout=layout,
                          device=device, requires_grad=requires_grad)


def bartlett(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Return 1 - |2 n / N - 1|, a triangle."""
    return _window("bartlett", M, lambda n, whole: 1 - (n * (2 / whole) - 1).abs(), sym, dtype, layout, device,
                   requires_grad)


def cosine(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Return sin(pi (n + 1/2) / (N + 1))."""
    return _window("cosine", M, lambda n, whole: ((n + 0.5) * (math.pi / (whole + 1))).sin(), sym, dtype, layout,
                   device, requires_grad)


def exponential(M, *, center=None, tau=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Return exp(-|n - center| / tau); the center is N / 2 unless it is given, with sym=False."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    return _window("exponential", M,
                   lambda n, whole: (-(n - (whole / 2 if center is None else center)).abs() / tau).exp(), sym, dtype,
                   layout, device, requires_grad, count=True)


def gaussian(M, *, std=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Return exp(-((n - N / 2) / std)^2 / 2)."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return _window("gaussian", M, lambda n, whole: (((n - whole / 2) / std) ** 2 * -0.5).exp(), sym, dtype, layout,
                   device, requires_grad)


def kaiser(M, *, beta=12.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Return I0(beta sqrt(1 - (2 n / N - 1)^2)) / I0(beta), with the modified Bessel function I0."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")

    def formula(n, whole):
        import numpy
        places = n.cpu().numpy() * (2 / whole) - 1
        values = numpy.i0(beta * numpy.sqrt(numpy.maximum(0, 1 - places * places))) / numpy.i0(beta)
        return _C.tensor(values, device=device)
    return _window("kaiser", M, formula, sym, dtype, layout, device, requires_grad)
