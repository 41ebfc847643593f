"""Gradients of convolutions as functions of their own."""
import fastgrad
from fastgrad.autograd import grad

from . import functional as F

__all__ = [f"conv{n}d_{what}" for n in (1, 2, 3) for what in ("input", "weight")]


def _gradients(dims):
    """The gradients to input and weight of a convolution over so many dimensions."""
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[dims]

    def run(input, weight, grad_output, wanted, options):
        with fastgrad.enable_grad():
            return grad(convolve(input, weight, None, *options), wanted, grad_output)[0]

    def to_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
        # The values of the input do not matter: a convolution is linear in it.
        input = fastgrad.zeros(input_size, dtype=weight.dtype, device=weight.device, requires_grad=True)
        return run(input, weight.detach(), grad_output, input, (stride, padding, dilation, groups))

    def to_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
        weight = fastgrad.zeros(weight_size, dtype=input.dtype, device=input.device, requires_grad=True)
        return run(input.detach(), weight, grad_output, weight, (stride, padding, dilation, groups))

    for function, what in ((to_input, "input"), (to_weight, "weight")):
        function.__name__ = function.__qualname__ = f"conv{dims}d_{what}"
        function.__doc__ = f"The gradient of `conv{dims}d` to its {what}, of the given size."
    return to_input, to_weight


conv1d_input, conv1d_weight = _gradients(1)
conv2d_input, conv2d_weight = _gradients(2)
conv3d_input, conv3d_weight = _gradients(3)
