"""Reductions that are compositions of native ones, comparisons of tensors, and other names.

`ALIASES` are further names of native functions: the same objects, so they cost nothing.
"""
import math

from . import _C
from ._arguments import done, in_place, named, refuse_complex, wrapped_dim

Tensor = _C.Tensor

METHODS = ("allclose", "aminmax", "corrcoef", "cov", "dist", "equal", "isclose", "is_nonzero", "logcumsumexp",
           "nanmean", "nansum", "renorm", "renorm_")
FUNCTIONS = METHODS[:-1]
# New name: native name, for the function and for the method.
ALIASES = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan",
    "arctan2": "atan2", "arctanh": "atanh", "divide": "div", "fix": "trunc", "greater": "gt", "greater_equal": "ge",
    "less": "lt", "less_equal": "le", "multiply": "mul", "negative": "neg", "not_equal": "ne", "subtract": "sub",
    "true_divide": "div"}


# ---- comparison

_PIECE = 1 << 18


def _pieces(a, b):
    """Both cut alike into parts whose intermediate results stay in the cache; whole where the layouts differ."""
    n = a.numel()
    if (n <= 2 * _PIECE or a.shape != b.shape or not (a.is_contiguous() and b.is_contiguous())
            or a.device.type != "cpu"):
        yield a, b
        return
    a, b = a.detach().view(-1), b.detach().view(-1)
    for i in range(0, n, _PIECE):
        yield a[i:i + _PIECE], b[i:i + _PIECE]


def equal(input, other):
    """Whether two tensors have the same shape and equal elements."""
    if input.device != other.device:
        raise RuntimeError(f"Expected all tensors to be on the same device, but got {input.device} and {other.device}")
    return input.shape == other.shape and all(bool((a == b).all()) for a, b in _pieces(input, other))


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Return where |input - other| <= atol + rtol * |other|, elementwise.

    >>> isclose(fastgrad.tensor([1., 2.]), fastgrad.tensor([1., 2.1]))
    tensor([ True, False])
    """
    if input.dtype != other.dtype:
        raise RuntimeError(f"{_type(input)} did not match {_type(other)}")
    if rtol < 0:
        raise RuntimeError(f"rtol must be greater than or equal to zero, but got {rtol:g}")
    if atol < 0:
        raise RuntimeError(f"atol must be greater than or equal to zero, but got {atol:g}")
    input, other = input.detach(), other.detach()
    close = input == other
    inexact = input.dtype.is_floating_point or input.dtype.is_complex
    if equal_nan and inexact:
        close = close | (input.isnan() & other.isnan())
    if rtol == 0 and atol == 0:
        return close
    if not inexact:
        input, other = input.to(_C.float64), other.to(_C.float64)
    difference = (input - other).abs()
    return close | (difference.isfinite() & (difference <= atol + (rtol * other).abs()))


def _type(t):
    from ._legacy import type_name
    return type_name(t).removeprefix("torch.").removesuffix("Tensor")


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether `isclose` holds for all elements."""
    return all(bool(isclose(a, b, rtol, atol, equal_nan).all()) for a, b in _pieces(input, other))


def is_nonzero(input):
    """Whether the one element is not zero."""
    if input.numel() != 1:
        raise RuntimeError(f"Boolean value of Tensor with {'no' if input.numel() == 0 else 'more than one'} "
                           f"value{'s' if input.numel() == 0 else ''} is ambiguous")
    return bool(input)


# ---- reductions

def aminmax(input, *, dim=None, keepdim=False, out=None):
    """Return smallest and largest element over `dim`, as a pair with names `min` and `max`."""
    if dim is None and input.numel() == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
    dims = () if dim is None else dim
    both = _C._aminmax(input, dims, keepdim)
    return named("aminmax", ("min", "max"))(both or (input.amin(dims, keepdim), input.amax(dims, keepdim)))


def nansum(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Return the sum with NaN counted as 0."""
    refuse_complex("nansum", input)
    dtype = out.dtype if dtype is None and out is not None else dtype
    total = _C._nansum(input, dim, keepdim, dtype)
    if total is None:
        x = _C._nan_to_num(input, 0.0, math.inf) if input.dtype.is_floating_point else input
        total = x.sum(dim, keepdim, dtype=dtype)
    return done(total, out)


def nanmean(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Return the mean of the elements that are not NaN."""
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"nanmean(): expected input to have floating point or complex dtype but got {_type(input)}")
    count = (~input.isnan()).sum(dim, keepdim)
    return done(nansum(input, dim, keepdim, dtype=dtype) / count, out)


def dist(input, other, p=2):
    """Return the p-norm of input - other."""
    return (input - other).norm(p)


def logcumsumexp(input, dim, *, out=None):
    """Return log(cumsum(exp(input))) along `dim`, without overflow."""
    if input.device.type == "cpu" and not input.dtype.is_complex:
        return done(_C._logcumsumexp(input, dim), out)
    # Sums over pairs (n, n) where that is small; else the sums of 2, 4, 8, ... last elements, one from the other.
    dim = wrapped_dim(dim, input.dim())
    if input.dim() == 0 or input.numel() == 0:
        return done(input.clone(), out)
    if input.is_complex():
        return done(_complex_logcumsumexp(input, dim), out)
    x = input.movedim(dim, -1)
    n = x.shape[-1]
    if n > 64:
        step = 1
        while step < n:
            x = _C.cat([x[..., :step], _C.logaddexp(x[..., step:], x[..., :-step])], -1)
            step *= 2
        return done(x.movedim(-1, dim), out)
    mask = _C.ones((n, n), dtype=_C.bool, device=x.device).tril()
    wide = x.unsqueeze(-2).expand(*x.shape, n).masked_fill(~mask, -math.inf)
    return done(wide.logsumexp(-1).movedim(-1, dim).contiguous(), out)


def _complex_logcumsumexp(input, dim):
    """One element after the other: the imaginary part grows along the way instead of being wrapped, as torch's does."""
    total, *rest = input.unbind(dim)
    totals = [total]
    for x in rest:
        larger = x.real > total.real
        low, high = _C.where(larger, total, x), _C.where(larger, x, total)
        total = _C.where(high.real.isinf(), high, high + _C.log(1 + (low - high).exp()))
        totals.append(total)
    return _C.stack(totals, dim)


def renorm(input, p, dim, maxnorm):
    """Return the tensor with each slice along `dim` scaled down to a p-norm of at most `maxnorm`."""
    if input.dim() < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.dim()} dimensions")
    dim = wrapped_dim(dim, input.dim())
    rest = [d for d in range(input.dim()) if d != dim]
    size = _C._vector_norm(input, p, rest, True)
    return input.contiguous() * _C.where(size > maxnorm, maxnorm / (size + 1e-7), _C.ones_like(size))


renorm_ = in_place(renorm)


def cov(input, *, correction=1, fweights=None, aweights=None):
    """Return the covariance matrix of variables (rows) from observations (columns)."""
    if input.dim() > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input.dim()} dimensions")
    if input.dtype == _C.bool:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input.reshape(1, -1) if input.dim() < 2 else input
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        x = x.to(_C.get_default_dtype())
    n = x.shape[1]
    weight = None if fweights is None else fweights.to(x.dtype.to_real())
    if aweights is not None:
        weight = aweights if weight is None else weight * aweights
    if weight is None:
        centered = x - x.mean(1, True)
        product, norm = centered @ centered.mH, float(n)
    else:
        total = weight.sum()
        centered = x - (x * weight).sum(1, True) / total
        product, norm = (centered * weight) @ centered.mH, total
        if correction and aweights is not None:
            norm = total - correction * (weight * aweights).sum() / total
            correction = 0
    if weight is not None:
        return (product / (norm - correction).clamp(min=0)).squeeze()
    return (product / max(norm - correction, 0.0) if norm > correction else product * math.inf).squeeze()


def corrcoef(input):
    """Return the matrix of correlation coefficients of variables (rows)."""
    c = cov(input)
    if c.dim() == 0:
        return c / c
    scale = (c.diagonal().real if c.dtype.is_complex else c.diagonal()).sqrt()
    c = c / scale.unsqueeze(1) / scale.unsqueeze(0)
    return _C.complex(c.real.clip(-1, 1), c.imag.clip(-1, 1)) if c.dtype.is_complex else c.clip(-1, 1)
