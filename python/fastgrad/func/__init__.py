"""`torch.func`: functions of functions. Gradients, Jacobians, vmap, modules as functions of their parameters."""
from .._vmap.api import vmap
from .gradients import grad, grad_and_value, jvp, linearize, vjp
from .jacobians import hessian, jacfwd, jacrev
from .modules import functional_call, replace_all_batch_norm_modules_, stack_module_state

__all__ = ["grad", "grad_and_value", "vjp", "jvp", "linearize", "jacrev", "jacfwd", "hessian", "vmap",
           "functional_call", "stack_module_state", "replace_all_batch_norm_modules_"]


def __getattr__(name):
    if name in ("functionalize", "rearrange", "debug_unwrap"):
        raise AttributeError(f"fastgrad.func.{name} is not part of this release")
    raise AttributeError(f"module 'fastgrad.func' has no attribute '{name}'")
