"""Elementwise functions and reductions that are compositions of native ones, comparisons of tensors, and other names.

`ALIASES` are further names of native functions: the same objects, so they cost nothing.
"""
import math

from . import _C
from ._compose import _wrapped

Tensor = _C.Tensor

METHODS = ("allclose", "aminmax", "corrcoef", "cov", "deg2rad", "diff", "dist", "equal", "fill_diagonal_",
           "float_power", "frac", "heaviside", "isclose", "is_nonzero", "isneginf", "isposinf", "ldexp",
           "logaddexp2", "logcumsumexp", "logit", "nan_to_num", "nanmean", "nansum", "positive", "rad2deg", "renorm",
           "signbit", "sinc")
FUNCTIONS = tuple(name for name in METHODS if name != "fill_diagonal_") + (
    "cumulative_trapezoid", "isin", "std_mean", "trapezoid", "trapz", "var_mean")
# New name: native name, for the function and for the method.
ALIASES = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan",
    "arctan2": "atan2", "arctanh": "atanh", "divide": "div", "fix": "trunc", "greater": "gt", "greater_equal": "ge",
    "less": "lt", "less_equal": "le", "multiply": "mul", "negative": "neg", "not_equal": "ne", "subtract": "sub",
    "true_divide": "div"}


def _done(result, out):
    return result if out is None else out.copy_(result)


# ---- comparison

def equal(input, other):
    """Whether two tensors have the same shape and equal elements."""
    if input.device != other.device:
        raise RuntimeError(f"Expected all tensors to be on the same device, but got {input.device} and {other.device}")
    return input.shape == other.shape and bool((input == other).all())


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
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def isin(elements, test_elements, *, assume_unique=False, invert=False):
    """Return where the elements are among `test_elements`."""
    if not isinstance(elements, Tensor):
        elements = _C.tensor(elements, device=test_elements.device)
    if not isinstance(test_elements, Tensor):
        test_elements = _C.tensor(test_elements, device=elements.device)
    found = (elements.unsqueeze(-1) == test_elements.reshape(-1)).any(-1)
    return ~found if invert else found


def is_nonzero(input):
    """Whether the one element is not zero."""
    if input.numel() != 1:
        raise RuntimeError(f"Boolean value of Tensor with {'no' if input.numel() == 0 else 'more than one'} "
                           f"value{'s' if input.numel() == 0 else ''} is ambiguous")
    return bool(input)


def isposinf(input, *, out=None):
    """Return where the elements are +infinity."""
    return _done(input == math.inf, out)


def isneginf(input, *, out=None):
    """Return where the elements are -infinity."""
    return _done(input == -math.inf, out)


# ---- elementwise

def positive(input):
    """Return the tensor itself."""
    if input.dtype == _C.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def frac(input, *, out=None):
    """Return the part of each element behind the point."""
    return _done(input - input.detach().trunc(), out)


def signbit(input, *, out=None):
    """Return where the sign bit is set, also of -0."""
    if input.dtype.is_floating_point:
        return _done(_C.copysign(_C.ones_like(input.detach()), input.detach()) < 0, out)
    return _done(input < 0, out)


def deg2rad(input, *, out=None):
    """Return angles in radians."""
    return _done(input * (math.pi / 180), out)


def rad2deg(input, *, out=None):
    """Return angles in degrees."""
    return _done(input * (180 / math.pi), out)


def logit(input, eps=None, *, out=None):
    """Return log(x / (1 - x)), with x first clamped to [eps, 1 - eps] when eps is given."""
    if not input.dtype.is_floating_point:
        input = input.to(_C.get_default_dtype())
    x = input if eps is None else input.clamp(eps, 1 - eps)
    return _done((x / (1 - x)).log(), out)


def sinc(input, *, out=None):
    """Return sin(pi x) / (pi x), and 1 at 0."""
    if not input.dtype.is_floating_point:
        input = input.to(_C.get_default_dtype())
    zero = input == 0
    scaled = input.masked_fill(zero, 1) * math.pi
    return _done(_C.where(zero, 1 + 0 * input, scaled.sin() / scaled), out)


def float_power(input, exponent, *, out=None):
    """Return the power, computed in double precision."""
    base = input.double() if isinstance(input, Tensor) else input
    power = exponent.double() if isinstance(exponent, Tensor) else exponent
    return _done(_C.pow(base, power), out)


def ldexp(input, other, *, out=None):
    """Return input * 2 ** other."""
    return _done(input * _C.pow(2.0, other), out)


def logaddexp2(input, other, *, out=None):
    """Return log2(2 ** input + 2 ** other)."""
    ln2 = math.log(2)
    return _done(_C.logaddexp(input * ln2, other * ln2) / ln2, out)


def heaviside(input, values, *, out=None):
    """Return 0 below 0, `values` at 0, 1 above."""
    if input.dtype != values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return _done(_C.where(input == 0, values, (input > 0).to(input.dtype)), out)


def nan_to_num(input, nan=None, posinf=None, neginf=None, *, out=None):
    """Return the tensor with NaN replaced by `nan`, and infinities by the given or the largest finite numbers."""
    if input.dtype.is_complex:
        return _done(_C.view_as_complex(nan_to_num(_C.view_as_real(input.contiguous()), nan, posinf, neginf)), out)
    if not input.dtype.is_floating_point:
        return _done(input.clone(), out)
    from ._type_info import finfo
    limit = finfo(input.dtype)
    x = input.masked_fill(input.isnan(), 0.0 if nan is None else nan)
    x = x.masked_fill(input == math.inf, limit.max if posinf is None else posinf)
    return _done(x.masked_fill(input == -math.inf, limit.min if neginf is None else neginf), out)


def fill_diagonal_(self, fill_value, wrap=False):
    """Set the main diagonal in place; wrap: go on below the last square of a tall matrix."""
    if self.dim() < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.dim() > 2 and any(n != self.shape[0] for n in self.shape):
        raise RuntimeError("all dimensions of input must be of equal length")
    step = sum(self.stride())
    rows, columns = self.shape[0], self.shape[1]
    length = min(self.shape)
    self.as_strided((length,), (step,), self.storage_offset()).fill_(fill_value)
    if wrap and self.dim() == 2 and rows > columns + 1:
        for start in range(columns + 1, rows, columns + 1):
            self[start:].diagonal().fill_(fill_value)
    return self


# ---- reductions

def _var_arguments(dim, unbiased, correction):
    if isinstance(dim, bool):
        unbiased, dim = dim, None
    return dim, (1 if unbiased else 0) if correction is None else correction


def var_mean(input, dim=None, unbiased=True, keepdim=False, *, correction=None, out=None):
    """Return variance and mean over `dim`."""
    dim, correction = _var_arguments(dim, unbiased, correction)
    return (input.var(dim, correction=correction, keepdim=keepdim),
            input.mean(dim, keepdim) if dim is not None else _mean_of_all(input, keepdim))


def std_mean(input, dim=None, unbiased=True, keepdim=False, *, correction=None, out=None):
    """Return standard deviation and mean over `dim`."""
    dim, correction = _var_arguments(dim, unbiased, correction)
    return (input.std(dim, correction=correction, keepdim=keepdim),
            input.mean(dim, keepdim) if dim is not None else _mean_of_all(input, keepdim))


def _mean_of_all(input, keepdim):
    return input.mean(tuple(range(input.dim())), True) if keepdim else input.mean()


def aminmax(input, *, dim=None, keepdim=False, out=None):
    """Return smallest and largest element over `dim`, as a pair with names `min` and `max`."""
    if dim is None and input.numel() == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
    dims = () if dim is None else dim
    return _named("aminmax", ("min", "max"))((input.amin(dims, keepdim), input.amax(dims, keepdim)))


_pairs = {}


def _named(name, fields):
    """A tuple class with names, as torch's functions that return several tensors give; made when first used."""
    if name not in _pairs:
        from collections import namedtuple
        _pairs[name] = namedtuple(name, fields)._make
    return _pairs[name]


def nansum(input, dim=None, keepdim=False, *, dtype=None):
    """Return the sum with NaN counted as 0."""
    x = input.masked_fill(input.isnan(), 0) if input.dtype.is_floating_point else input
    return x.sum(dim, keepdim, dtype=dtype)


def nanmean(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Return the mean of the elements that are not NaN."""
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"nanmean(): expected input to have floating point or complex dtype but got {_type(input)}")
    count = (~input.isnan()).sum(dim, keepdim)
    return _done(nansum(input, dim, keepdim, dtype=dtype) / count, out)


def dist(input, other, p=2):
    """Return the p-norm of input - other."""
    return (input - other).norm(p)


def logcumsumexp(input, dim, *, out=None):
    """Return log(cumsum(exp(input))) along `dim`, without overflow."""
    # Scaled by the running maximum; a new maximum rescales what came before, which needs pairs (n, n).
    if input.dim() == 0 or input.numel() == 0:
        return _done(input.clone(), out)
    dim = _wrapped(dim, input.dim())
    x = input.movedim(dim, -1)
    n = x.shape[-1]
    mask = _C.ones((n, n), dtype=_C.bool, device=x.device).tril()
    wide = x.unsqueeze(-2).expand(*x.shape, n).masked_fill(~mask, -math.inf)
    return _done(wide.logsumexp(-1).movedim(-1, dim), out)


def renorm(input, p, dim, maxnorm):
    """Return the tensor with each slice along `dim` scaled down to a p-norm of at most `maxnorm`."""
    if input.dim() < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.dim()} dimensions")
    dim = _wrapped(dim, input.dim())
    rest = [d for d in range(input.dim()) if d != dim]
    size = _C._vector_norm(input, p, rest, True)
    return input * _C.where(size > maxnorm, maxnorm / (size + 1e-7), _C.ones_like(size))


def cov(input, *, correction=1, fweights=None, aweights=None):
    """Return the covariance matrix of variables (rows) from observations (columns)."""
    if input.dim() > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input.dim()} dimensions")
    x = input.reshape(1, -1) if input.dim() < 2 else input
    n = x.shape[1]
    weight = None if fweights is None else fweights.to(x.dtype)
    if aweights is not None:
        weight = aweights if weight is None else weight * aweights
    if weight is None:
        centered = x - x.mean(1, True)
        product, norm = centered @ centered.t(), float(n)
    else:
        total = weight.sum()
        centered = x - (x * weight).sum(1, True) / total
        product, norm = (centered * weight) @ centered.t(), total
        if correction and aweights is not None:
            norm = total - correction * (weight * aweights).sum() / total
            correction = 0
    if weight is not None:
        return _squeezed((product / (norm - correction).clamp(min=0)), input)
    return _squeezed(product / max(norm - correction, 0.0) if norm > correction else product * math.inf, input)


def _squeezed(matrix, input):
    return matrix.reshape(()) if input.dim() < 2 else matrix


def corrcoef(input):
    """Return the matrix of correlation coefficients of variables (rows)."""
    c = cov(input)
    if c.dim() == 0:
        return c / c
    scale = c.diagonal().sqrt()
    return (c / scale.unsqueeze(1) / scale.unsqueeze(0)).clip(-1, 1)


# ---- along one dimension

def diff(input, n=1, dim=-1, prepend=None, append=None, *, out=None):
    """Return the n-th differences of neighbours along `dim`."""
    if input.dim() == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    dim = _wrapped(dim, input.dim())
    parts = [t for t in (prepend, input, append) if t is not None]
    x = _C.cat(parts, dim) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[dim])):
        size = x.shape[dim]
        high, low = x.narrow(dim, min(1, size), max(0, size - 1)), x.narrow(dim, 0, max(0, size - 1))
        x = high != low if x.dtype == _C.bool else high - low
    return _done(x.clone() if x is input else x, out)


def _trapezoids(y, x, dx, dim):
    dim = _wrapped(dim, y.dim())
    size = max(y.shape[dim] - 1, 0)
    pairs = y.narrow(dim, min(1, y.shape[dim]), size) + y.narrow(dim, 0, size)
    if x is None:
        return pairs * (dx / 2.0), dim
    if x.dim() == 1:
        if x.shape[0] != y.shape[dim]:
            raise RuntimeError("trapezoid: There must be one `x` value for each sample point")
        step = diff(x).reshape([-1] + [1] * (y.dim() - dim - 1))
    else:
        step = diff(x, dim=dim - y.dim())
    return pairs * step / 2.0, dim


def trapezoid(y, x=None, *, dx=1.0, dim=-1):
    """Return the integral along `dim` by the trapezoidal rule, with sample points x or spacing dx.

    >>> trapezoid(fastgrad.tensor([1., 2., 3.]))
    tensor(4.)
    """
    parts, dim = _trapezoids(y, x, dx, dim)
    return parts.sum(dim)


trapz = trapezoid


def cumulative_trapezoid(y, x=None, *, dx=1.0, dim=-1):
    """Return the running integral along `dim` by the trapezoidal rule."""
    parts, dim = _trapezoids(y, x, dx, dim)
    return parts.cumsum(dim)
