"""What torch has at its top level of the functions in nn.functional, where the arguments differ."""
from .nn import functional as F
from .nn._channel_norm import instance_norm as _instance_norm


def adaptive_max_pool1d(input, output_size):
    """The largest element of windows of the last dimension, as many as `output_size`, and their places."""
    return F.adaptive_max_pool1d(input, output_size, True)


def constant_pad_nd(input, pad, value=0):
    """`nn.functional.pad` with a constant."""
    return F.pad(input, pad, "constant", value)


def feature_dropout(input, p, train):
    """Whole channels of (N, C, ...) set to 0."""
    return F.dropout3d(input, p, train) if input.dim() == 5 else F.dropout2d(input, p, train)


def alpha_dropout(input, p, train):
    """Dropout that keeps mean and variance of `selu` outputs."""
    return F.alpha_dropout(input, p, train)


def feature_alpha_dropout(input, p, train):
    """`alpha_dropout` of whole channels."""
    return F.feature_alpha_dropout(input, p, train)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    """Groups of channels normalised to mean 0 and variance 1."""
    return F.group_norm(input, num_groups, weight, bias, eps)


def instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled):
    """Each channel of each image normalised over the image."""
    return _instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """The last dimensions divided by their root mean square."""
    return F.rms_norm(input, normalized_shape, weight, eps)
