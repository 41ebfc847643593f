"""Normalisation of channels: over the batch, over each image, and by neighbouring channels."""
from fastgrad import _C
from fastgrad._overrides import native_case

from ._padding import pad
from ._pooling import avg_pool2d, avg_pool3d


@native_case(_C._usual_batch_norm, "input weight bias running_mean running_var training momentum eps")
def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """Each channel of (N, C, ...) normalised over all other dimensions; when not training, by the running statistics.

    Training updates `running_mean` and `running_var` in place, with the unbiased variance.
    """
    if training:
        count = 1
        for size in (input.shape[0], *input.shape[2:]):
            count *= size
        if count == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.size()}")
    return _C.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, False)


def instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True,
                  momentum=0.1, eps=1e-5):
    """Each channel of each image of (N, C, ...) normalised over the image."""
    if use_input_stats:
        count = 1
        for size in input.shape[2:]:
            count *= size
        if count == 1:
            raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.size()}")
    elif running_mean is None or running_var is None:
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    if input.dim() < 2:
        raise RuntimeError(f"instance_norm: expected an input of at least 2 dimensions, got {tuple(input.shape)}")
    batch, channels = input.shape[:2]
    each = [None if t is None else t.repeat(batch) for t in (weight, bias, running_mean, running_var)]
    rows = input.reshape(1, batch * channels, *input.shape[2:])
    out = _C.batch_norm(rows, *each, use_input_stats, momentum, eps, False).reshape(input.shape)
    if use_input_stats:
        for running, fresh in ((running_mean, each[2]), (running_var, each[3])):
            if running is not None:
                running.detach().copy_(fresh.view(batch, channels).mean(0))
    return out


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """Each element divided by a power of the mean square of `size` neighbouring channels."""
    dim = input.dim()
    if dim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {dim} dimensions)")
    if input.numel() == 0:
        return input
    squares = input.mul(input)
    if dim == 3:
        squares = pad(squares.unsqueeze(1), (0, 0, size // 2, (size - 1) // 2))
        mean = avg_pool2d(squares, (size, 1), stride=1).squeeze(1)
    else:
        shape = input.shape
        squares = squares.reshape(shape[0], 1, shape[1], shape[2], -1)
        squares = pad(squares, (0, 0, 0, 0, size // 2, (size - 1) // 2))
        mean = avg_pool3d(squares, (size, 1, 1), stride=1).squeeze(1).reshape(shape)
    return input / mean.mul(alpha).add(k).pow(beta)
