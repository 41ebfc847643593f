"""Helpers for parameters: clipping gradients, one vector for all parameters, norms and parametrizations of weights."""
from ..._missing import spelled
from . import parametrizations, parametrize, rnn
from .clip_grad import clip_grad_norm, clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from .convert_parameters import parameters_to_vector, vector_to_parameters
from .fusion import fuse_conv_bn_eval, fuse_conv_bn_weights, fuse_linear_bn_eval, fuse_linear_bn_weights
from .init import skip_init
from .spectral_norm import remove_spectral_norm, spectral_norm
from .weight_norm import remove_weight_norm, weight_norm

for _name in ("clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm",
              "spectral_norm", "weight_norm"):
    globals()[_name] = spelled(globals()[_name])

_LEFT_OUT = {
    "prune": "masks over parameters can be written with nn.utils.parametrize",
    "convert_conv2d_weight_memory_format": "there are no memory formats but contiguous and preserve",
    "convert_conv3d_weight_memory_format": "there are no memory formats but contiguous and preserve"}


def __getattr__(name):
    if name == "stateless":
        import importlib
        return importlib.import_module("fastgrad.nn.utils.stateless")
    if name in _LEFT_OUT:
        raise AttributeError(f"fastgrad.nn.utils.{name} is not part of this release: {_LEFT_OUT[name]}")
    from fastgrad._missing import no_attribute
    raise no_attribute(__name__, name)
