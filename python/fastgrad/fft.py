"""Discrete Fourier transforms, with gradients of every order.

Three linear maps do the work: `_ComplexFFT` (complex to complex), `_RealFFT` (real to the half spectrum) and
`_InverseRealFFT` (half spectrum to real). The gradient of each is its adjoint, put together from the same three. They
go along one dimension after another, by a kernel where the size has no large prime factor, else through a convolution
(Bluestein's) whose size has none. On CUDA cuFFT does them, along all dimensions at once.
"""
import functools
import math

from . import _C, _overrides
from .autograd import Function

__all__ = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft", "fft2", "ifft2", "rfft2", "irfft2", "hfft2", "ihfft2",
           "fftn", "ifftn", "rfftn", "irfftn", "hfftn", "ihfftn", "fftfreq", "rfftfreq", "fftshift", "ifftshift"]

Tensor = _C.Tensor

# How a transform of one direction is scaled: not at all, by the root of the number of points, or by that number.
_PLAIN, _ROOT, _COUNT = range(3)


def _scale(norm, forward):
    if norm is None or norm == "backward":
        return _PLAIN if forward else _COUNT
    if norm == "ortho":
        return _ROOT
    if norm == "forward":
        return _COUNT if forward else _PLAIN
    raise RuntimeError(f'Invalid normalization mode: "{norm}"')


_FORWARD, _BACKWARD, _FROM_REAL, _TO_REAL = range(4)  # the kinds of Fft in csrc/core/backend.h


def _factor(scale, points):
    return 1.0 if scale == _PLAIN else 1 / points if scale == _COUNT else 1 / math.sqrt(points)


def _one(x, d, kind, size, scale):
    """The transform along dimension `d`; `size` is that of its real side, or of both sides."""
    factor = _factor(scale, size)
    if _C._can_fft(size, kind >= _FROM_REAL):
        return _C._fft(x, d, kind, size, factor)
    if kind == _FROM_REAL:
        return _one(x.to(x.dtype.to_complex()), d, _FORWARD, size, scale).narrow(d, 0, size // 2 + 1).contiguous()
    if kind == _TO_REAL:  # the other half of the points, backwards
        rest = x.narrow(d, 1, (size - 1) // 2).flip(d).conj()
        return _one(_C.cat([x, rest], d), d, _BACKWARD, size, scale).real.contiguous()
    chirp, spectrum = _chirp(size, x.dtype)
    if kind == _BACKWARD:
        x = x.conj()
    x = x.transpose(d, -1)
    wide = x.new_zeros(*x.shape[:-1], spectrum.shape[0])
    wide[..., :size] = x * chirp
    wide = _C._fft(_C._fft(wide, -1, _FORWARD, spectrum.shape[0], 1.0) * spectrum, -1, _BACKWARD, spectrum.shape[0],
                   factor / spectrum.shape[0])
    result = (wide[..., :size] * chirp).transpose(d, -1).contiguous()
    return result.conj() if kind == _BACKWARD else result


@functools.lru_cache(8)
def _chirp(size, dtype):
    """exp(-i pi k^2 / size), and the transform of its conjugate around 0, of a convenient size."""
    k = _C.arange(size)
    angle = (k * k % (2 * size)).to(_C.float64) * (math.pi / size)
    chirp = _C.complex(angle.cos(), -angle.sin())
    wide = _C.zeros(1 << (2 * size - 2).bit_length(), dtype=_C.complex128)
    wide[:size] = chirp.conj()
    wide[wide.shape[0] - size + 1:] = chirp[1:].flip(0).conj()
    return chirp.to(dtype), _C._fft(wide, 0, _FORWARD, wide.shape[0], 1.0).to(dtype)


def _along(x, dims, kind, size, scale):
    """The transform along `dims`, in which `size` is that of the real side of the last one, or None."""
    if x.device.type != "cpu":
        points = math.prod([x.shape[d] for d in dims[:-1]]) * (size or x.shape[dims[-1]])
        return _C._fft_several(x, dims, kind, size or 0, _factor(scale, points))
    if kind == _FROM_REAL:
        x = _one(x, dims[-1], kind, size, scale)
    for d in dims if size is None else dims[:-1]:
        x = _one(x, d, _BACKWARD if kind in (_BACKWARD, _TO_REAL) else _FORWARD, x.shape[d], scale)
    return _one(x, dims[-1], kind, size, scale) if kind == _TO_REAL else x


class _ComplexFFT(Function):
    """Complex to complex; the adjoint is the transform of the other direction with the same scale."""

    @staticmethod
    def forward(ctx, x, dims, scale, forward):
        ctx.options = dims, scale, forward
        return _along(x.detach(), dims[::-1], _FORWARD if forward else _BACKWARD, None, scale)

    @staticmethod
    def backward(ctx, g):
        dims, scale, forward = ctx.options
        return _ComplexFFT.apply(g, dims, scale, not forward), None, None, None


class _RealFFT(Function):
    """Real to complex, forward, the last of `dims` halved."""

    @staticmethod
    def forward(ctx, x, dims, scale):
        size = x.shape[dims[-1]]
        ctx.options = dims, scale, size
        return _along(x.detach(), dims, _FROM_REAL, size, scale)

    @staticmethod
    def backward(ctx, g):
        dims, scale, size = ctx.options
        return _ComplexFFT.apply(_resized(g, dims[-1], size), dims, scale, False).real, None, None


class _InverseRealFFT(Function):
    """Half spectrum to real, backward; what the last of `dims` leaves out is the conjugate of the other half."""

    @staticmethod
    def forward(ctx, x, dims, scale, size):
        ctx.options = dims, scale
        return _along(x.detach(), dims, _TO_REAL, size, scale)

    @staticmethod
    def backward(ctx, g):
        dims, scale = ctx.options
        half = _RealFFT.apply(g, dims, scale)
        # Elements whose conjugates the transform adds count twice.
        d, count = dims[-1], half.shape[dims[-1]]
        twice = g.shape[d] - count
        factor = [1.0] + [2.0] * twice + [1.0] * (count - 1 - twice)
        shape = [1] * g.dim()
        shape[d] = count
        return half * _C.tensor(factor, dtype=g.dtype, device=g.device).reshape(shape), None, None, None


# ---- arguments

def _check(name, input):
    if not isinstance(input, Tensor):
        raise TypeError(f"fft_{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")


def _kind(x):
    return x.type().split(".")[-1].removesuffix("Tensor")


def _promoted(x, to_complex):
    """Integers as the default floating dtype, and complex when that is asked for."""
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        x = x.to(_C.get_default_dtype())
    if x.dtype in (_C.float16, _C.bfloat16):
        raise RuntimeError(f"Unsupported dtype {'Half' if x.dtype == _C.float16 else 'BFloat16'}")
    return x.to(x.dtype.to_complex()) if to_complex and not x.dtype.is_complex else x


def _wrapped(dim, n):
    if not n:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    return dim % n


def _points(n):
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _resized(x, dim, size):
    """Cut off, or filled up with zeros, along a dimension."""
    have = x.shape[dim]
    if size < have:
        return x.narrow(dim, 0, size)
    if size > have:
        return _C.cat([x, x.new_zeros(*x.shape[:dim], size - have, *x.shape[dim + 1:])], dim)
    return x


def _all_resized(x, dims, sizes):
    for dim, size in zip(dims, sizes):
        x = _resized(x, dim, _points(size))
    return x


def _sequence(value):
    return None if value is None else (value,) if isinstance(value, int) else tuple(int(v) for v in value)


def _dims_and_sizes(x, s, dim):
    """The dimensions to transform and their sizes; -1 stands for the size there is."""
    s, dim = _sequence(s), _sequence(dim)
    n = x.dim()
    if dim is not None:
        dims = [_wrapped(d, n) for d in dim]
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
        if s is not None and len(s) != len(dims):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    elif s is not None:
        if len(s) > n:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {n} dimensions.")
        dims = list(range(n - len(s), n))
    else:
        dims = list(range(n))
    sizes = [x.shape[d] if s is None or s[i] == -1 else s[i] for i, d in enumerate(dims)]
    return dims, sizes


def _done(result, out, name):
    if out is None:
        return result
    if out.dtype.is_complex != result.dtype.is_complex:
        kind = "complex" if result.dtype.is_complex else "floating point"
        raise RuntimeError(f"{name} expects a {kind} output tensor, but got {_kind(out)}")
    return _C.conj_physical(result.conj(), out=out)  # the one native function that only copies


# ---- the maps under their arguments

def _complex(name, x, s, dim, norm, forward, out):
    _check(name, x)
    x = _promoted(x, True)
    dims, sizes = _dims_and_sizes(x, s, dim)
    scale = _scale(norm, forward)
    x = _all_resized(x, dims, sizes)
    return _done(_ComplexFFT.apply(x, tuple(dims), scale, forward) if dims else x.clone(), out, name)


def _to_half(name, x, s, dim, norm, forward, out):
    """rfftn, and ihfftn: its conjugate with the scales of the other direction."""
    _check(name, x)
    if x.dtype.is_complex:
        raise RuntimeError(f"{name} expects a real input tensor, but got {_kind(x)}")
    x = _promoted(x, False)
    dims, sizes = _dims_and_sizes(x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    scale = _scale(norm, forward)
    result = _RealFFT.apply(_all_resized(x, dims, sizes), tuple(dims), scale)
    return _done(result if forward else result.conj(), out, name)


def _from_half(name, x, s, dim, norm, forward, out):
    """irfftn, and hfftn: that of the conjugate with the scales of the other direction."""
    _check(name, x)
    x = _promoted(x, True)
    dims, sizes = _dims_and_sizes(x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    given = _sequence(s)
    last = sizes[-1] if given is not None and given[-1] != -1 else 2 * (x.shape[dims[-1]] - 1)
    _points(last)
    scale = _scale(norm, forward)
    x = _all_resized(x, dims, [*sizes[:-1], last // 2 + 1])
    return _done(_InverseRealFFT.apply(x.conj() if forward else x, tuple(dims), scale, last), out, name)


def _one_size(n):
    return None if n is None else (_points(n),)


def fft(input, n=None, dim=-1, norm=None, *, out=None):
    """Return the discrete Fourier transform along a dimension, cut or filled up with zeros to `n` points.

    norm: "backward" (the default: no scale), "ortho" (1 / sqrt(n)) or "forward" (1 / n).

    >>> fastgrad.fft.fft(fastgrad.tensor([1., 0., 0., 0.]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """
    return _complex("fft", input, _one_size(n), dim, norm, True, out)


def ifft(input, n=None, dim=-1, norm=None, *, out=None):
    """Return the inverse of `fft`."""
    return _complex("ifft", input, _one_size(n), dim, norm, False, out)


def rfft(input, n=None, dim=-1, norm=None, *, out=None):
    """Return the first n // 2 + 1 numbers of the transform of real numbers; the others are their conjugates."""
    return _to_half("rfft", input, _one_size(n), dim, norm, True, out)


def irfft(input, n=None, dim=-1, norm=None, *, out=None):
    """Return the inverse of `rfft`, `n` real numbers, by default an even count."""
    return _from_half("irfft", input, _one_size(n), dim, norm, False, out)


def hfft(input, n=None, dim=-1, norm=None, *, out=None):
    """Return the real transform of the first half of a Hermitian signal."""
    return _from_half("hfft", input, _one_size(n), dim, norm, True, out)


def ihfft(input, n=None, dim=-1, norm=None, *, out=None):
    """Return the inverse of `hfft`, the first half of a Hermitian signal."""
    return _to_half("ihfft", input, _one_size(n), dim, norm, False, out)


def fft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """Return the transform over two dimensions, cut or filled up with zeros to the sizes `s`."""
    return _complex("fft2", input, s, dim, norm, True, out)


def ifft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """Return the inverse of `fft2`."""
    return _complex("ifft2", input, s, dim, norm, False, out)


def rfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """Return the transform of real numbers over two dimensions, the last one halved."""
    return _to_half("rfft2", input, s, dim, norm, True, out)


def irfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """Return the inverse of `rfft2`."""
    return _from_half("irfft2", input, s, dim, norm, False, out)


def hfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """Return the real transform of the half of a signal that is Hermitian over two dimensions."""
    return _from_half("hfft2", input, s, dim, norm, True, out)


def ihfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """Return the inverse of `hfft2`."""
    return _to_half("ihfft2", input, s, dim, norm, False, out)


def fftn(input, s=None, dim=None, norm=None, *, out=None):
    """Return the transform over several dimensions, by default all."""
    return _complex("fftn", input, s, dim, norm, True, out)


def ifftn(input, s=None, dim=None, norm=None, *, out=None):
    """Return the inverse of `fftn`."""
    return _complex("ifftn", input, s, dim, norm, False, out)


def rfftn(input, s=None, dim=None, norm=None, *, out=None):
    """Return the transform of real numbers over several dimensions, the last one halved."""
    return _to_half("rfftn", input, s, dim, norm, True, out)


def irfftn(input, s=None, dim=None, norm=None, *, out=None):
    """Return the inverse of `rfftn`."""
    return _from_half("irfftn", input, s, dim, norm, False, out)


def hfftn(input, s=None, dim=None, norm=None, *, out=None):
    """Return the real transform of the half of a signal that is Hermitian over several dimensions."""
    return _from_half("hfftn", input, s, dim, norm, True, out)


def ihfftn(input, s=None, dim=None, norm=None, *, out=None):
    """Return the inverse of `hfftn`."""
    return _to_half("ihfftn", input, s, dim, norm, False, out)


# ---- frequencies and their order

def _frequencies(name, places, n, d, dtype, layout, device, requires_grad, out):
    dtype = _C.get_default_dtype() if dtype is None else dtype
    if not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    whole = _C.cat([_C.arange(a, b, dtype=dtype, layout=layout, device=device) for a, b in places])
    result = whole * (1.0 / (n * d) if n * d else math.inf)
    return _done(result, out, name) if out is not None else result.requires_grad_(requires_grad)


def fftfreq(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """Return the frequencies of the `n` numbers of a transform, for points `d` apart.

    >>> fastgrad.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    return _frequencies("fftfreq", ((0, (n + 1) // 2), (-(n // 2), 0)), n, d, dtype, layout, device, requires_grad, out)


def rfftfreq(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """Return the frequencies of the n // 2 + 1 numbers of `rfft`."""
    return _frequencies("rfftfreq", ((0, n // 2 + 1),), n, d, dtype, layout, device, requires_grad, out)


def _rolled(input, dim, shift):
    _check("fftshift", input)
    dims = tuple(range(input.dim())) if dim is None else _sequence(dim)
    return input.roll([shift(input.shape[_wrapped(d, input.dim())]) for d in dims], dims)


def fftshift(input, dim=None):
    """Return the numbers of a transform with frequency 0 in the middle, along all or the given dimensions."""
    return _rolled(input, dim, lambda n: n // 2)


def ifftshift(input, dim=None):
    """Return the inverse of `fftshift`."""
    return _rolled(input, dim, lambda n: (n + 1) // 2)


globals().update(_overrides.publish(globals(), __name__, [name for name in __all__ if "freq" not in name]))
