"""Limits on the size of gradients."""
import math

import fastgrad
from fastgrad import Tensor


def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The norm of all tensors taken as one vector."""
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return fastgrad.tensor(0.0)
    device = tensors[0].device
    norms = [_norm(tensor, norm_type).to(device) for tensor in tensors]
    total = _norm(fastgrad.stack(norms), norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it "
                           "cannot be clipped. To disable this error and scale the gradients by the non-finite norm "
                           "anyway, set `error_if_nonfinite=False`")
    return total


def _norm(tensor, norm_type):
    if norm_type == math.inf:
        return tensor.abs().max() if tensor.numel() else fastgrad.zeros((), dtype=tensor.dtype, device=tensor.device)
    return tensor.norm(norm_type)


def clip_grads_with_norm_(parameters, max_norm, total_norm, foreach=None):
    """Scales gradients down by `max_norm / total_norm` where that is less than 1."""
    max_norm = float(max_norm)
    with fastgrad.no_grad():
        # Multiplying by 1 too keeps the GPU from waiting for the CPU to look at the value.
        scale = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
        for grad in _grads(parameters):
            grad.mul_(scale.to(grad.device))


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Scales all gradients down so that their norm is at most `max_norm`; returns the norm before."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    with fastgrad.no_grad():
        total = get_total_norm(_grads(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_norm(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Old name of `clip_grad_norm_`."""
    import warnings
    warnings.warn("`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
                  FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(parameters, clip_value, foreach=None):
    """Limits every element of the gradients to `[-clip_value, clip_value]`."""
    clip_value = float(clip_value)
    with fastgrad.no_grad():
        for grad in _grads(parameters):
            grad.clamp_(-clip_value, clip_value)


def _grads(parameters):
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [parameter.grad for parameter in parameters if parameter.grad is not None]
