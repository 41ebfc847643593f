"""Helpers for parameters: clipping gradients, one vector for all parameters."""
from . import rnn
from .clip_grad import clip_grad_norm, clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from .convert_parameters import parameters_to_vector, vector_to_parameters

_LEFT_OUT = ("weight_norm", "remove_weight_norm", "spectral_norm", "remove_spectral_norm", "parametrize",
             "parametrizations", "prune", "stateless", "skip_init")


def __getattr__(name):
    if name in _LEFT_OUT:
        raise AttributeError(f"fastgrad.nn.utils.{name} is not part of this release")
    raise AttributeError(f"module 'fastgrad.nn.utils' has no attribute '{name}'")
