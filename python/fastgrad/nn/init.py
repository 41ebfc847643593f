"""Initial values for parameters: every function fills a tensor in place, without recording, and returns it.

The order of the arithmetic is kept as in torch, so that the same seed gives the same bits.
"""
import math

import fastgrad
from fastgrad import _overrides
from fastgrad._missing import spelled

_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


def calculate_gain(nonlinearity, param=None):
    """The factor by which a nonlinearity wants its weights larger."""
    if nonlinearity in _LINEAR or nonlinearity == "sigmoid":
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is None:
            param = 0.01
        elif isinstance(param, bool) or not isinstance(param, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + param ** 2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(tensor, a=0.0, b=1.0, generator=None):
    """Uniform on [a, b)."""
    with fastgrad.no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor, mean=0.0, std=1.0, generator=None):
    """Normally distributed."""
    with fastgrad.no_grad():
        return tensor.normal_(mean, std, generator=generator)


def constant_(tensor, val):
    """One value everywhere."""
    with fastgrad.no_grad():
        return tensor.fill_(val)


def ones_(tensor):
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor):
    """Zeros."""
    with fastgrad.no_grad():
        return tensor.zero_()


def eye_(tensor):
    """The identity matrix."""
    if tensor.ndimension() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    with fastgrad.no_grad():
        return tensor.copy_(fastgrad.eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


def dirac_(tensor, groups=1):
    """Convolution weights that pass the input through."""
    if tensor.ndimension() not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.size(0) % groups:
        raise ValueError("dim 0 must be divisible by groups")
    outputs = tensor.size(0) // groups
    centre = tuple(n // 2 for n in tensor.shape[2:])
    with fastgrad.no_grad():
        tensor.zero_()
        for group in range(groups):
            for channel in range(min(outputs, tensor.size(1))):
                tensor[(group * outputs + channel, channel) + centre] = 1
    return tensor


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    """Normally distributed, values outside [a, b] drawn again."""
    if mean < a - 2 * std or mean > b + 2 * std:
        import warnings
        warnings.warn("mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
                      "The distribution of values may be incorrect.", stacklevel=2)
    inside = _normal_cdf((b - mean) / std) - _normal_cdf((a - mean) / std)
    with fastgrad.no_grad():
        return (_truncate_by_normal if inside > 0.3 else _truncate_by_uniform)(tensor, mean, std, a, b, generator)


def _normal_cdf(x):
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def _truncate_by_normal(tensor, mean, std, a, b, generator):
    low, high = (fastgrad.tensor(bound, dtype=tensor.dtype).item() for bound in (a, b))
    tensor.normal_(mean, std, generator=generator)
    while True:
        outside = (tensor < low) | (tensor > high)
        if not bool(outside.any()):
            return tensor
        tensor.copy_(fastgrad.where(outside, fastgrad.empty_like(tensor).normal_(mean, std, generator=generator),
                                    tensor))


def _truncate_by_uniform(tensor, mean, std, a, b, generator):
    # Uniform candidates, each kept with the probability density there over the density at the mode.
    log_peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    candidates, chance = fastgrad.empty_like(tensor), fastgrad.empty_like(tensor)
    pending = None
    while pending is None or bool(pending.any()):
        candidates.uniform_(a, b, generator=generator)
        tensor.copy_(candidates if pending is None else fastgrad.where(pending, candidates, tensor))
        candidates.sub_(mean).div_(std).pow_(2).mul_(-0.5).sub_(log_peak)
        rejected = chance.uniform_(generator=generator).log_() > candidates
        pending = rejected if pending is None else pending & rejected
    return tensor


def _calculate_fan_in_and_fan_out(tensor):
    if tensor.dim() < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.size(1) * field, tensor.size(0) * field


def _calculate_correct_fan(tensor, mode):
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return _calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]


def xavier_uniform_(tensor, gain=1.0, generator=None):
    """Uniform, with a variance that suits both directions (Glorot)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = math.sqrt(3.0) * (gain * math.sqrt(2.0 / float(fan_in + fan_out)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor, gain=1.0, generator=None):
    """Normal, with a variance that suits both directions (Glorot)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def _kaiming_std(tensor, a, mode, nonlinearity):
    if 0 in tensor.shape:
        import warnings
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return None
    return calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Uniform, with a variance that suits rectifiers (He)."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    if std is None:
        return tensor
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Normal, with a variance that suits rectifiers (He)."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0, std, generator)


def orthogonal_(tensor, gain=1, generator=None):
    """A matrix with orthonormal rows or columns; further dimensions count as columns."""
    if tensor.ndimension() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    import numpy
    rows = tensor.size(0)
    with fastgrad.no_grad():
        drawn = fastgrad.empty(rows, tensor.numel() // rows, dtype=tensor.dtype).normal_(0, 1, generator=generator)
        matrix = drawn.numpy() if drawn.dtype == fastgrad.float64 else drawn.float().numpy()
        wide = matrix.shape[0] < matrix.shape[1]
        q, r = numpy.linalg.qr(matrix.T if wide else matrix)
        q = q * numpy.sign(numpy.diagonal(r))
        q = fastgrad.from_numpy(numpy.ascontiguousarray(q.T if wide else q))
        return tensor.copy_(q.reshape(tensor.shape)).mul_(gain)


def sparse_(tensor, sparsity, std=0.01, generator=None):
    """Normal, with a fraction of every column set to zero."""
    if tensor.ndimension() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with fastgrad.no_grad():
        tensor.normal_(0, std, generator=generator)
        for column in range(columns):
            tensor[fastgrad.randperm(rows)[:zeros], column] = 0
    return tensor


def _deprecated(function):
    name = function.__name__.rstrip("_")

    def old(*args, **kwargs):
        import warnings
        warnings.warn(f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`.", FutureWarning,
                      stacklevel=2)
        return function(*args, **kwargs)

    old.__name__ = old.__qualname__ = name
    old.__doc__ = f"Old name of `{name}_`."
    return old


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)

for _name in ("xavier_uniform_", "xavier_normal_", "kaiming_normal_", "trunc_normal_", "orthogonal_", "sparse_", "eye_",
              "dirac_", "calculate_gain"):
    globals()[_name] = spelled(globals()[_name])
globals().update(_overrides.publish(globals(), __name__, ("uniform_", "normal_", "constant_", "kaiming_uniform_")))
