"""`unfold`: the windows of an image as columns, and `fold`: columns added up to an image."""
import fastgrad

from ._padding import pad


def _pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _options(name, kernel_size, dilation, padding, stride):
    options = {"kernel_size": _pair(kernel_size), "dilation": _pair(dilation), "padding": _pair(padding),
               "stride": _pair(stride)}
    for what, value in options.items():
        if len(value) != 2:
            raise RuntimeError(f"{name}: It is expected {what} equals to 2, but got size {len(value)}")
        least = 0 if what == "padding" else 1
        if min(value) < least:
            raise RuntimeError(f"{name}: {what} should be {'non-negative' if least == 0 else 'greater than zero'}, "
                               f"but got {what}: {value}")
    return options.values()


def _blocks(size, kernel, dilation, padding, stride):
    """How many windows fit, for each dimension."""
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1
                 for n, k, d, p, s in zip(size, kernel, dilation, padding, stride))


def _places(kernel, dilation, stride, blocks, wide, device):
    """Where (kH, kW, H blocks, W blocks), flat, lie in a padded image of `wide` columns."""
    rows, columns = (
        (fastgrad.arange(k, device=device) * d).reshape(-1, 1) + fastgrad.arange(b, device=device) * s
        for k, d, b, s in zip(kernel, dilation, blocks, stride))
    return (rows[:, None, :, None] * wide + columns[None, :, None, :]).reshape(-1)


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """(N, C, H, W) or (C, H, W) as (N, C * kH * kW, windows) or without N: each window is a column.

    >>> unfold(fastgrad.arange(4.0).reshape(1, 1, 2, 2), (1, 2))
    tensor([[[0., 2.],
             [1., 3.]]])
    """
    kernel, dilation, padding, stride = _options("im2col", kernel_size, dilation, padding, stride)
    if input.dim() == 3:
        return unfold(input.unsqueeze(0), kernel, dilation, padding, stride).squeeze(0)
    if input.dim() != 4 or 0 in input.shape[1:]:
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
                           f"dimensions for input, but got: {list(input.shape)}")
    blocks = _blocks(input.shape[2:], kernel, dilation, padding, stride)
    if min(blocks) < 1:
        raise RuntimeError(f"Given input with spatial size {tuple(input.shape[2:])}, kernel_size={kernel}, "
                           f"dilation={dilation}, padding={padding}, calculated shape of the array of sliding blocks "
                           f"as {blocks}, but its components must be at least one.")
    if not input.is_floating_point() and input.dtype is not fastgrad.bool:
        raise NotImplementedError(f"\"im2col_out_cpu\" not implemented for '{input.dtype}'")
    windows = pad(input, (padding[1], padding[1], padding[0], padding[0])) if any(padding) else input
    batch, channels, high, wide = windows.shape
    places = _places(kernel, dilation, stride, blocks, wide, input.device)
    columns = windows.reshape(batch * channels, high * wide).index_select(1, places)
    return columns.reshape(batch, channels * kernel[0] * kernel[1], blocks[0] * blocks[1])


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """(N, C * kH * kW, windows) or without N as (N, C, H, W): the columns of `unfold` added where they came from."""
    kernel, dilation, padding, stride = _options("col2im", kernel_size, dilation, padding, stride)
    size = _pair(output_size)
    if input.dim() == 2:
        return fold(input.unsqueeze(0), size, kernel, dilation, padding, stride).squeeze(0)
    if input.dim() != 3 or 0 in input.shape[1:]:
        raise RuntimeError("Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero "
                           f"dimensions for input, but got: {list(input.shape)}")
    count = kernel[0] * kernel[1]
    if input.size(1) % count:
        raise RuntimeError("Expected size of input's dimension 1 to be divisible by the product of kernel_size, but "
                           f"got input.size(1)={input.size(1)} and kernel_size={kernel}.")
    blocks = _blocks(size, kernel, dilation, padding, stride)
    if blocks[0] * blocks[1] != input.size(2):
        raise RuntimeError(f"Given output_size={size}, kernel_size={kernel}, dilation={dilation}, padding={padding}, "
                           f"stride={stride}, expected size of input's dimension 2 to match the calculated number of "
                           f"sliding blocks {blocks[0]} * {blocks[1]} = {blocks[0] * blocks[1]}, but got "
                           f"input.size(2)={input.size(2)}.")
    if not input.is_floating_point() and input.dtype is not fastgrad.bool:
        raise NotImplementedError(f"\"col2im_out_cpu\" not implemented for '{input.dtype}'")
    batch, channels = input.size(0), input.size(1) // count
    high, wide = (n + 2 * p for n, p in zip(size, padding))
    places = _places(kernel, dilation, stride, blocks, wide, input.device)
    image = fastgrad.zeros(batch * channels, high * wide, dtype=input.dtype, device=input.device)
    image = image.index_add(1, places, input.reshape(batch * channels, -1))
    image = image.reshape(batch, channels, high, wide)
    return image.narrow(2, padding[0], size[0]).narrow(3, padding[1], size[1]).contiguous()
