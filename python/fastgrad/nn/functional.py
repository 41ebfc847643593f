"""Functions of neural networks: activations, linear maps, normalisation.

Native functions do the work; what is written here is a composition of them. Losses, lookups, attention, dropout and
padding have files of their own.
"""
import fastgrad
from fastgrad import _C, _overrides

from ._attention import (  # noqa: F401
    _canonical_mask,
    _mha_shape_check,
    _none_or_dtype,
    multi_head_attention_forward,
    scaled_dot_product_attention,
)
from ._channel_norm import batch_norm, instance_norm, local_response_norm  # noqa: F401
from ._ctc import ctc_loss  # noqa: F401
from ._distance import cosine_similarity, pairwise_distance, pdist  # noqa: F401
from ._dropout import (  # noqa: F401
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from ._embedding import embedding, one_hot  # noqa: F401
from ._embedding_bag import embedding_bag  # noqa: F401
from ._fold import fold, unfold  # noqa: F401
from ._left_out import FUNCTIONS as _LEFT_OUT
from ._losses import (  # noqa: F401
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cross_entropy,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    linear_cross_entropy,
    margin_ranking_loss,
    mse_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from ._padding import pad  # noqa: F401
from ._pooling import (  # noqa: F401
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    fractional_max_pool2d,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from ._resample import (  # noqa: F401
    affine_grid,
    channel_shuffle,
    grid_sample,
    interpolate,
    native_channel_shuffle,
    pixel_shuffle,
    pixel_unshuffle,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)

conv1d, conv2d, conv3d = _C.conv1d, _C.conv2d, _C.conv3d
conv_transpose1d, conv_transpose2d, conv_transpose3d = _C.conv_transpose1d, _C.conv_transpose2d, _C.conv_transpose3d
linear = _C.linear
sigmoid = _C.sigmoid
tanh = _C.tanh
prelu = _C.prelu
logsigmoid = _C.log_sigmoid
gelu = _C.gelu


def __getattr__(name):
    if name in _LEFT_OUT:
        raise AttributeError(f"fastgrad.nn.functional.{name}: {_LEFT_OUT[name]}")
    from fastgrad._missing import no_attribute
    raise no_attribute(__name__, name)


# ---- activations

@_overrides.native_case(_C.relu, "input", inplace=False)
def relu(input, inplace=False):
    """`max(x, 0)`."""
    return _C.relu_(input) if inplace else _C.relu(input)


def relu6(input, inplace=False):
    """`min(max(x, 0), 6)`."""
    return hardtanh(input, 0.0, 6.0, inplace)


def relu_(input):
    """`relu` in place."""
    return _C.relu_(input)


@_overrides.native_case(_C.leaky_relu, "input negative_slope", inplace=False)
def leaky_relu(input, negative_slope=0.01, inplace=False):
    """`x` where positive, `negative_slope * x` elsewhere."""
    return _C.leaky_relu_(input, negative_slope) if inplace else _C.leaky_relu(input, negative_slope)


def leaky_relu_(input, negative_slope=0.01):
    """`leaky_relu` in place."""
    return _C.leaky_relu_(input, negative_slope)


@_overrides.native_case(_C.elu, "input alpha", inplace=False)
def elu(input, alpha=1.0, inplace=False):
    """`x` where positive, `alpha * (exp(x) - 1)` elsewhere."""
    return _C.elu_(input, alpha) if inplace else _C.elu(input, alpha)


def elu_(input, alpha=1.0):
    """`elu` in place."""
    return _C.elu_(input, alpha)


@_overrides.native_case(_C.celu, "input alpha", inplace=False)
def celu(input, alpha=1.0, inplace=False):
    """`max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`."""
    return _C.celu_(input, alpha) if inplace else _C.celu(input, alpha)


def celu_(input, alpha=1.0):
    """`celu` in place."""
    return _C.celu_(input, alpha)


@_overrides.native_case(_C.selu, "input", inplace=False)
def selu(input, inplace=False):
    """`elu` with the constants of self-normalising networks."""
    return _C.selu_(input) if inplace else _C.selu(input)


def selu_(input):
    """`selu` in place."""
    return _C.selu_(input)


@_overrides.native_case(_C.silu, "input", inplace=False)
def silu(input, inplace=False):
    """`x * sigmoid(x)`."""
    return _C.silu_(input) if inplace else _C.silu(input)


@_overrides.native_case(_C.mish, "input", inplace=False)
def mish(input, inplace=False):
    """`x * tanh(softplus(x))`."""
    return _C.mish_(input) if inplace else _C.mish(input)


@_overrides.native_case(_C.hardswish, "input", inplace=False)
def hardswish(input, inplace=False):
    """`x * relu6(x + 3) / 6`."""
    return _C.hardswish_(input) if inplace else _C.hardswish(input)


@_overrides.native_case(_C.hardsigmoid, "input", inplace=False)
def hardsigmoid(input, inplace=False):
    """`relu6(x + 3) / 6`."""
    return _C.hardsigmoid_(input) if inplace else _C.hardsigmoid(input)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """`x` limited to a range."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if input.dtype == _C.uint8 and min_val < 0:
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return _C.hardtanh_(input, min_val, max_val) if inplace else _C.hardtanh(input, min_val, max_val)


def hardtanh_(input, min_val=-1.0, max_val=1.0):
    """`hardtanh` in place."""
    return _C.hardtanh_(input, min_val, max_val)


def threshold(input, threshold, value, inplace=False):
    """`x` where above the threshold, `value` elsewhere."""
    return _C.threshold_(input, threshold, value) if inplace else _C.threshold(input, threshold, value)


def threshold_(input, threshold, value):
    """`threshold` in place."""
    return _C.threshold_(input, threshold, value)


@_overrides.native_case(_C.softplus, "input beta threshold")
def softplus(input, beta=1, threshold=20):
    """`log(1 + exp(beta * x)) / beta`, linear above the threshold."""
    return _C.softplus(input, beta, threshold)


def hardshrink(input, lambd=0.5):
    """`x` outside of `[-lambd, lambd]`, 0 inside."""
    return _C.hardshrink(input, lambd)


def softshrink(input, lambd=0.5):
    """`x` moved towards 0 by `lambd`."""
    return _C.softshrink(input, lambd)


def softsign(input):
    """`x / (1 + |x|)`."""
    return input / (input.abs() + 1)


def tanhshrink(input):
    """`x - tanh(x)`."""
    return input - input.tanh()


def glu(input, dim=-1):
    """One half of the input times the sigmoid of the other."""
    if input.dim() == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    size = input.size(dim)
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    return input.narrow(dim, 0, size // 2) * input.narrow(dim, size // 2, size // 2).sigmoid()


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    """`leaky_relu` with a random slope for each negative element while training."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    with fastgrad.no_grad():
        # Only elements that are not positive draw a number, and they draw it in double precision.
        negative = input.detach() <= 0
        slope = fastgrad.ones_like(input)
        low, high = (fastgrad.tensor(bound, dtype=input.dtype).item() for bound in (lower, upper))
        drawn = fastgrad.empty(int(negative.sum()), dtype=fastgrad.float64, device=input.device)
        slope[negative] = drawn.uniform_(low, high).to(input.dtype)
    return input.mul_(slope) if inplace else input * slope


def rrelu_(input, lower=1.0 / 8, upper=1.0 / 3, training=False):
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, True)


# ---- softmax

def _softmax_dim(name, ndim):
    """The dimension that was not given; the warning is about the line that called the library, however it got here."""
    import sys
    import warnings
    frame, level = sys._getframe(1), 2
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] == "fastgrad":
        frame, level = frame.f_back, level + 1
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an "
                  "argument.", stacklevel=level)
    return 0 if ndim in (0, 1, 3) else 1


@_overrides.native_case(_C.softmax, "input dim!", _stacklevel=..., dtype=None)
def softmax(input, dim=None, _stacklevel=3, dtype=None):
    """`exp(x) / sum(exp(x))` along a dimension."""
    if dim is None:
        dim = _softmax_dim("softmax", input.dim())
    return _C.softmax(input, dim) if dtype is None else _C.softmax(input, dim, dtype)


@_overrides.native_case(_C.log_softmax, "input dim!", _stacklevel=..., dtype=None)
def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """The logarithm of `softmax`."""
    if dim is None:
        dim = _softmax_dim("log_softmax", input.dim())
    return _C.log_softmax(input, dim) if dtype is None else _C.log_softmax(input, dim, dtype)


def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """`softmax` of the negative input."""
    if dim is None:
        dim = _softmax_dim("softmin", input.dim())
    return softmax(-input, dim, dtype=dtype)


def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """A sample of the Gumbel-softmax distribution, one-hot with the soft gradient if `hard`."""
    noise = fastgrad.empty(logits.shape, dtype=logits.dtype, device=logits.device).exponential_().log()
    soft = ((logits - noise) / tau).softmax(dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    return fastgrad.zeros_like(logits).scatter_(dim, index, 1.0) - soft.detach() + soft


# ---- linear maps

def conv_tbc(input, weight, bias, pad=0):  # noqa: F811 (torch names it so)
    """`conv1d` of (time, batch, channels) with weight (k, in, out).

    >>> conv_tbc(fastgrad.zeros(5, 2, 3), fastgrad.zeros(3, 3, 4), fastgrad.zeros(4)).shape
    torch.Size([3, 2, 4])
    """
    out = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return out.permute(2, 0, 1).contiguous()


def bilinear(input1, input2, weight, bias=None):
    """`x1 @ weight[k] @ x2 + bias[k]` for every k."""
    if not input1.dtype == input2.dtype == weight.dtype:
        raise RuntimeError(f"All tensors must have the same dtype, got input1: {input1.dtype}, input2: {input2.dtype}, "
                           f"weight: {weight.dtype}")
    if input1.dim() != input2.dim():
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.dim()} and {input2.dim()}")
    for d, (a, b) in enumerate(zip(input1.shape[:-1], input2.shape[:-1])):
        if a != b:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {d}: got {a} and {b}")
    if weight.dim() != 3:
        raise IndexError(f"bilinear(): the weight must have 3 dimensions, got {weight.dim()}")
    outputs, in1, in2 = weight.shape
    for name, size, expected in ("input1", input1.size(-1), in1), ("input2", input2.size(-1), in2):
        if size != expected:
            raise RuntimeError(f"bilinear(): {name} size does not match weight size: "
                               f"got {size} but expected {expected}")
    if bias is not None and bias.size(0) != outputs:
        raise RuntimeError(f"bilinear(): bias size does not match weight size: "
                           f"got {bias.size(0)} but expected {outputs}")
    left = input1.reshape(-1, in1) @ weight.permute(1, 0, 2).reshape(in1, outputs * in2)
    out = (left.reshape(-1, outputs, in2) * input2.reshape(-1, 1, in2)).sum(-1, dtype=input1.dtype)
    out = out.reshape(*input1.shape[:-1], outputs)
    return out if bias is None else out + bias


# ---- normalisation

@_overrides.native_case(_C.layer_norm, "input normalized_shape weight bias eps")
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """The last dimensions normalised to mean 0 and variance 1."""
    return _C.layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """The last dimensions divided by their root mean square."""
    shape = tuple(normalized_shape)
    if not shape or tuple(input.shape[-len(shape):]) != shape:
        raise RuntimeError(f"Given normalized_shape={list(shape)}, expected input with shape [*"
                           + "".join(f", {n}" for n in shape) + f"], but got input of size{list(input.shape)}")
    half = input.dtype in (fastgrad.float16, fastgrad.bfloat16)
    if eps is None:
        eps = fastgrad.finfo(fastgrad.float32 if half else input.dtype).eps
    if input.dtype.is_floating_point and (
            weight is None or weight.dtype == input.dtype and tuple(weight.shape) == shape):
        return _C._rms_norm(input, shape, weight, eps)
    # a composition where there is no kernel
    x = (input.float() if half else input).contiguous()
    x = x * fastgrad.rsqrt((x * x).mean(tuple(range(-len(shape), 0)), keepdim=True) + eps)
    if weight is not None:
        x = x * weight
    return x if x.dtype == input.dtype else x.to(input.dtype)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Groups of channels of (N, C, ...) normalised to mean 0 and variance 1."""
    if input.dim() >= 2 and input.numel() == num_groups:
        size = [input.size(0) * input.size(1) // num_groups, num_groups, *input.shape[2:]]
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {size}")
    return _C._group_norm(input, num_groups, weight, bias, eps)


def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """The input divided by its norm along a dimension."""
    result = input / input.norm(p, dim, keepdim=True).clamp_min(eps)
    return result if out is None else out.copy_(result)


globals().update(_overrides.publish(dict(globals()), __name__))
