"""All parameters as one vector, and back."""
import fastgrad
from fastgrad import Tensor


def parameters_to_vector(parameters):
    """The elements of all parameters in one vector."""
    parts = []
    device = None
    for parameter in parameters:
        device = _same_device(parameter, device)
        parts.append(parameter.reshape(-1))
    return fastgrad.cat(parts)


def vector_to_parameters(vec, parameters):
    """Gives parameters the slices of a vector as their data."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    device = None
    start = 0
    for parameter in parameters:
        device = _same_device(parameter, device)
        count = parameter.numel()
        parameter.data = vec[start:start + count].view_as(parameter).data
        start += count


def _same_device(parameter, device):
    if device is not None and parameter.device != device:
        raise TypeError("Found two parameters on different devices, this is currently not supported.")
    return parameter.device
