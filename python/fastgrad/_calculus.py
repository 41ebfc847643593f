"""Differences, sums of trapezoids and derivatives along dimensions of sampled functions."""
from . import _C
from ._arguments import done, wrapped_dim

Tensor = _C.Tensor

METHODS = ("diff",)
FUNCTIONS = METHODS + ("cumulative_trapezoid", "gradient", "trapezoid", "trapz", "vander")


def diff(input, n=1, dim=-1, prepend=None, append=None, *, out=None):
    """Return the n-th differences of neighbours along `dim`."""
    if input.dim() == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    dim = wrapped_dim(dim, input.dim())
    parts = [t for t in (prepend, input, append) if t is not None]
    x = _C.cat(parts, dim) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[dim])):
        size = x.shape[dim]
        high, low = x.narrow(dim, min(1, size), max(0, size - 1)), x.narrow(dim, 0, max(0, size - 1))
        x = high != low if x.dtype == _C.bool else high - low
    return done(x.clone() if x is input and n == 0 else x, out)  # no elements: the tensor itself, as torch


def _trapezoids(name, y, x, dx, dim):
    if y.dtype == _C.bool or (x is not None and x.dtype == _C.bool):
        given = "`y`" if x is None else "`x` or `y`"
        raise RuntimeError(f"{name}: received a bool input for {given}, but bool is not supported")
    dim = wrapped_dim(dim, y.dim())
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
    parts, dim = _trapezoids("trapezoid", y, x, dx, dim)
    return parts.sum(dim)


trapz = trapezoid


def cumulative_trapezoid(y, x=None, *, dx=1.0, dim=-1):
    """Return the running integral along `dim` by the trapezoidal rule."""
    parts, dim = _trapezoids("cumulative_trapezoid", y, x, dx, dim)
    return parts.cumsum(dim)


def gradient(input, *, spacing=1, dim=None, edge_order=1):
    """Return the derivatives along each of `dim` by second-order differences, one-sided at the ends.

    spacing: a number, one for each dimension, or the coordinates along each.

    >>> gradient(fastgrad.tensor([0., 1., 4.]))
    (tensor([1., 2., 3.]),)
    """
    if input.dtype == _C.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    ndim = input.dim()
    dims = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    dims = [wrapped_dim(d, ndim) for d in dims]
    for d in dims:
        if dims.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    for d in dims:
        if input.shape[d] < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    if isinstance(spacing, (list, tuple)):
        if len(spacing) != len(dims):
            raise RuntimeError(
                f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length {len(dims)}, one "
                f"for each dimension, but got a list of length {len(spacing)}")
    elif isinstance(spacing, Tensor):
        raise TypeError("gradient(): argument 'spacing' must be a number, a list of numbers or of Tensors, not Tensor")
    else:
        spacing = [spacing] * len(dims)
    if not input.dtype.is_floating_point:
        input = input.to(_C.get_default_dtype())
    return tuple([_derivative(input, d, step, edge_order) for d, step in zip(dims, spacing)])


def _derivative(x, dim, spacing, edge_order):
    x = x.movedim(dim, -1)
    n = x.shape[-1]
    if isinstance(spacing, Tensor):
        if spacing.dim() != 1 or spacing.numel() != n:
            raise RuntimeError("torch.gradient expected each element of spacing to have one dimension, of the size of "
                               "the input's")
        steps = diff(spacing)
        left, right = steps[:-1], steps[1:]
        first, last = steps[0], steps[-1]
        inner = (x[..., 2:] * left / right - x[..., :-2] * right / left) / (left + right)
        inner = inner + x[..., 1:-1] * (right - left) / (left * right)
        ends = (steps[0], steps[1], steps[-1], steps[-2]) if n > 2 else None
    else:
        first = last = spacing
        inner = (x[..., 2:] - x[..., :-2]) / (2.0 * spacing)
        ends = (spacing,) * 4
    if edge_order == 1:
        start = (x[..., 1:2] - x[..., :1]) / first
        stop = (x[..., -1:] - x[..., -2:-1]) / last
    else:
        start = _edge(x[..., 0:1], x[..., 1:2], x[..., 2:3], ends[0], ends[1])
        stop = -_edge(x[..., -1:], x[..., -2:-1], x[..., -3:-2], ends[2], ends[3])
    return _C.cat((start, inner, stop), -1).movedim(-1, dim)


def _edge(a, b, c, near, far):
    """The slope at a of the parabola through three points, from the distances a-b and b-c."""
    both = near + far
    return -(2.0 * near + far) / (near * both) * a + both / (near * far) * b - near / (far * both) * c


def vander(x, N=None, increasing=False):
    """Return the matrix of powers of a vector, highest first unless `increasing`."""
    if x.dim() != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise RuntimeError("N must be non-negative.")
    x = x if x.dtype.is_floating_point or x.dtype.is_complex else x.long()
    result = x.new_empty((x.shape[0], n))  # which refuses what does not fit
    if not result.numel():
        return result
    powers = [x ** k if k else _C.ones_like(x) for k in (range(n) if increasing else range(n - 1, -1, -1))]
    return _C.stack(powers, 1)
