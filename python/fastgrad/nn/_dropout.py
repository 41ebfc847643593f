"""Dropout in all its forms. Masks are drawn as in torch: the same seed drops the same elements."""
import math

import fastgrad
from fastgrad import _C
from fastgrad._overrides import native_case


def _check_probability(p):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


@native_case(_C._usual_dropout, "input p training", inplace=False)
def dropout(input, p=0.5, training=True, inplace=False):
    """Elements set to 0 with probability `p`, the others scaled up."""
    _check_probability(p)
    return _C.dropout_(input, p, training) if inplace else _C.dropout(input, p, training)


def _noise(input, shape, p):
    """Ones with probability `1 - p`; in the memory order of the input where the shape is the same."""
    with fastgrad.no_grad():
        noise = (fastgrad.empty_like(input) if shape == input.shape
                 else fastgrad.empty(shape, dtype=input.dtype, device=input.device))
        return noise.bernoulli_(1 - p)


def _feature_dropout(input, p, training, inplace):
    """Whole channels of (N, C, ...) set to 0."""
    if not training or p == 0:
        return input
    shape = tuple(input.shape[:2]) + (1,) * (input.dim() - 2)
    scale = _noise(input, shape, p).div_(1 - p) if p < 1 else 0
    return input.mul_(scale) if inplace else input * scale


def dropout1d(input, p=0.5, training=True, inplace=False):
    """Whole channels of (N, C, L) or (C, L) set to 0."""
    return _channels("dropout1d", input, p, training, inplace, (2, 3))


def dropout2d(input, p=0.5, training=True, inplace=False):
    """Whole channels of (N, C, H, W) set to 0."""
    _check_probability(p)
    if input.dim() not in (3, 4):
        import warnings
        warnings.warn(f"dropout2d: Received a {input.dim()}-D input to dropout2d, which is deprecated and will result "
                      "in an error in a future release. To retain the behavior and silence this warning, please use "
                      "dropout instead. Note that dropout2d exists to provide channel-wise dropout on inputs with 2 "
                      "spatial dimensions, a channel dimension, and an optional batch dimension (i.e. 3D or 4D "
                      "inputs).", stacklevel=2)
    return _feature_dropout(input, p, training, inplace)


def dropout3d(input, p=0.5, training=True, inplace=False):
    """Whole channels of (N, C, D, H, W) or (C, D, H, W) set to 0."""
    return _channels("dropout3d", input, p, training, inplace, (4, 5))


def _channels(name, input, p, training, inplace, dims):
    _check_probability(p)
    if input.dim() not in dims:
        raise RuntimeError(f"{name}: Expected {dims[0]}D or {dims[1]}D input, but received a {input.dim()}D input.")
    if input.dim() == dims[1]:
        return _feature_dropout(input, p, training, inplace)
    result = _feature_dropout(input.unsqueeze(0), p, training, inplace)
    return input if inplace else result.squeeze(0)


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Dropout that keeps mean and variance of `selu` outputs."""
    _check_probability(p)
    return _alpha_dropout(input, p, training, inplace, input.shape)


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    """`alpha_dropout` of whole channels."""
    _check_probability(p)
    return _alpha_dropout(input, p, training, inplace, tuple(input.shape[:2]) + (1,) * (input.dim() - 2))


def _alpha_dropout(input, p, training, inplace, shape):
    if not training or p == 0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * 0
    alpha = 1.7580993408473766
    a = 1.0 / math.sqrt((alpha * alpha * p + 1) * (1 - p))
    noise = _noise(input, shape, p)
    with fastgrad.no_grad():
        b = (noise - 1).mul_(alpha * a).add_(alpha * a * p)
        noise.mul_(a)
    return input.mul_(noise).add_(b) if inplace else input * noise + b
