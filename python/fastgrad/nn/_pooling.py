"""Pooling: the largest element, the mean or the norm of windows, and unpooling. Native functions do the work."""
import fastgrad
from fastgrad import _C
from fastgrad._overrides import native_case

avg_pool1d, avg_pool2d, avg_pool3d = _C.avg_pool1d, _C.avg_pool2d, _C.avg_pool3d
max_pool1d_with_indices = _C.max_pool1d_with_indices


def _each(value, n):
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


# ---- the largest element

@native_case(_C.max_pool1d, "input kernel_size stride padding dilation ceil_mode", return_indices=False)
def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest element of each window of (N, C, L) or (C, L), with `return_indices` also its place.

    >>> max_pool1d(fastgrad.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)
    tensor([[3., 5.]])
    """
    native = _C.max_pool1d_with_indices if return_indices else _C.max_pool1d
    return native(input, kernel_size, stride, padding, dilation, ceil_mode)


@native_case(_C.max_pool2d, "input kernel_size stride padding dilation ceil_mode", return_indices=False)
def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest element of each window of (N, C, H, W) or (C, H, W), with `return_indices` also its flat place."""
    native = _C._max_pool2d_with_indices if return_indices else _C.max_pool2d
    return native(input, kernel_size, stride, padding, dilation, ceil_mode)


@native_case(_C.max_pool3d, "input kernel_size stride padding dilation ceil_mode", return_indices=False)
def max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest element of each window of (N, C, D, H, W) or (C, D, H, W), with `return_indices` also its place."""
    native = _C._max_pool3d_with_indices if return_indices else _C.max_pool3d
    return native(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                            return_indices=False):
    """`max_pool2d` with the places, always."""
    return _C._max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                            return_indices=False):
    """`max_pool3d` with the places, always."""
    return _C._max_pool3d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)


# ---- windows that cover the input evenly

def _output_size(input, output_size, n):
    """None in the size keeps the input's."""
    if not isinstance(output_size, (tuple, list)):
        return (output_size,) * n
    sizes = tuple(output_size)
    if input.dim() <= len(sizes):
        raise ValueError(f"Input dimension should be at least {len(sizes) + 1}")
    return [have if want is None else want for want, have in zip(sizes, input.shape[-len(sizes):])]


def adaptive_avg_pool1d(input, output_size):
    """The mean of windows of (N, C, L) or (C, L), as many as `output_size`."""
    return _C._adaptive_avg_pool(input, _each(output_size, 1), "adaptive_avg_pool1d")


def adaptive_avg_pool2d(input, output_size):
    """The mean of windows of the last two dimensions, as many as `output_size`; None keeps a dimension.

    >>> adaptive_avg_pool2d(fastgrad.ones(1, 2, 4, 6), (1, None)).shape
    torch.Size([1, 2, 1, 6])
    """
    return _C._adaptive_avg_pool(input, _output_size(input, output_size, 2), "adaptive_avg_pool2d")


def adaptive_avg_pool3d(input, output_size):
    """The mean of windows of the last three dimensions, as many as `output_size`; None keeps a dimension."""
    return _C._adaptive_avg_pool(input, _output_size(input, output_size, 3), "adaptive_avg_pool3d")


def adaptive_max_pool1d(input, output_size, return_indices=False):
    """The largest element of windows of (N, C, L) or (C, L), as many as `output_size`."""
    both = _C._adaptive_max_pool(input, _each(output_size, 1), "adaptive_max_pool1d")
    return both if return_indices else both[0]


def adaptive_max_pool2d(input, output_size, return_indices=False):
    """The largest element of windows of the last two dimensions, as many as `output_size`; None keeps a dimension."""
    both = _C._adaptive_max_pool(input, _output_size(input, output_size, 2), "adaptive_max_pool2d")
    return both if return_indices else both[0]


def adaptive_max_pool3d(input, output_size, return_indices=False):
    """The largest element of windows of the last three dimensions, as many as `output_size`; None keeps a dimension."""
    both = _C._adaptive_max_pool(input, _output_size(input, output_size, 3), "adaptive_max_pool3d")
    return both if return_indices else both[0]


def adaptive_max_pool1d_with_indices(input, output_size, return_indices=False):
    """`adaptive_max_pool1d` with the places, always."""
    return adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d_with_indices(input, output_size, return_indices=False):
    """`adaptive_max_pool2d` with the places, always."""
    return adaptive_max_pool2d(input, output_size, True)


def adaptive_max_pool3d_with_indices(input, output_size, return_indices=False):
    """`adaptive_max_pool3d` with the places, always."""
    return adaptive_max_pool3d(input, output_size, True)


# ---- random windows

def _fractional(n, input, kernel_size, output_size, output_ratio, samples):
    name = f"fractional_max_pool{n}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if output_size is None:
        if input.dim() <= n:
            raise ValueError(f"Input dimension should be at least {n + 1}")
        ratios = _each(output_ratio, n)
        output_size = [int(have * ratio) for have, ratio in zip(input.shape[-n:], ratios)]
    if samples is None:
        batch = 1 if input.dim() == n + 1 else input.size(0)
        samples = fastgrad.rand(batch, input.size(-n - 1), n, dtype=input.dtype, device=input.device)
    return _C._fractional_max_pool(input, _each(kernel_size, n), _each(output_size, n), samples, name)


def fractional_max_pool2d(input, kernel_size, output_size=None, output_ratio=None, return_indices=False,
                          _random_samples=None):
    """The largest element of windows at random distances: any output size below the input's."""
    both = _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return both if return_indices else both[0]


def fractional_max_pool3d(input, kernel_size, output_size=None, output_ratio=None, return_indices=False,
                          _random_samples=None):
    """The largest element of windows at random distances: any output size below the input's."""
    both = _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return both if return_indices else both[0]


def fractional_max_pool2d_with_indices(input, kernel_size, output_size=None, output_ratio=None, return_indices=False,
                                       _random_samples=None):
    """`fractional_max_pool2d` with the places, always."""
    return _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool3d_with_indices(input, kernel_size, output_size=None, output_ratio=None, return_indices=False,
                                       _random_samples=None):
    """`fractional_max_pool3d` with the places, always."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)


# ---- norms

def _lp_pool(n, input, norm_type, kernel_size, stride, ceil_mode):
    kernel = _each(kernel_size, n)
    count = 1
    for k in kernel:
        count *= k
    native = (avg_pool1d, avg_pool2d, avg_pool3d)[n - 1]
    out = native(input.pow(norm_type), kernel, stride, 0, ceil_mode)
    return (out.sign() * out.abs().relu()).mul(count).pow(1.0 / norm_type)


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The root of order `norm_type` of the sum of powers in each window of the last dimension."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The root of order `norm_type` of the sum of powers in each window of the last two dimensions."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The root of order `norm_type` of the sum of powers in each window of the last three dimensions."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# ---- unpooling

def _unpool(n, input, indices, kernel_size, stride, padding, output_size):
    name = f"max_unpool{n}d"
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"{name}: Input to {name} should be a {n + 1}d or {n + 2}d Tensor, but got a tensor with "
                           f"{input.dim()} dimensions.")
    if indices.dtype is not fastgrad.int64:
        raise RuntimeError(f"{name}: elements in indices should be type int64 but got: {indices.dtype}")
    if indices.shape != input.shape:
        raise RuntimeError(f"{name}: Expected shape of indices to be same as that of the input tensor "
                           f"({tuple(input.shape)}) but got indices tensor with shape: {tuple(indices.shape)}")
    kernel, padding = _each(kernel_size, n), _each(padding, n)
    stride = kernel if stride is None else _each(stride, n)
    natural = [(size - 1) * s + k - 2 * p for size, s, k, p in zip(input.shape[-n:], stride, kernel, padding)]
    if output_size is None:
        sizes = natural
    else:
        sizes = list(output_size[2:] if len(output_size) == n + 2 else output_size)
        if len(sizes) != n:
            raise ValueError(f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a "
                             f"length of '{len(sizes)}'")
        for d, (size, usual, s) in enumerate(zip(sizes, natural, stride)):
            if not usual - s < size < usual + s:
                raise ValueError(f'invalid output_size "{sizes}" (dim {d} must be between {usual - s} and {usual + s})')
    lead, count = list(input.shape[:-n]), 1
    for size in sizes:
        count *= size
    if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < count:
        raise RuntimeError(f"{name}: Found an invalid max index: {int(indices.max())} (output volumes are of size "
                           f"{'x'.join(map(str, sizes))})")
    empty = fastgrad.zeros(*lead, count, dtype=input.dtype, device=input.device)
    return empty.scatter(-1, indices.flatten(-n), input.flatten(-n)).reshape(*lead, *sizes)


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """The elements of a `max_pool1d` put back to their places, zeros elsewhere."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """The elements of a `max_pool2d` put back to their places, zeros elsewhere."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """The elements of a `max_pool3d` put back to their places, zeros elsewhere."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)
