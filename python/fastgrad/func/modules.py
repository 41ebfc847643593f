"""Modules as functions of their parameters, and several modules as one with stacked parameters."""
from .. import _C
from ..nn.utils import stateless


def functional_call(module, parameter_and_buffer_dicts, args=None, kwargs=None, *, tie_weights=True, strict=False):
    """Call a module with parameters and buffers from a dictionary, or from several with different keys.

    tie_weights: a replacement holds for all names of a shared parameter; strict: all names have to be there.

    >>> m = nn.Linear(2, 1, bias=False)
    >>> functional_call(m, {"weight": fastgrad.ones(1, 2)}, fastgrad.ones(2))
    tensor([2.])
    """
    given = parameter_and_buffer_dicts
    if isinstance(given, (list, tuple)):
        for part in given:
            if not isinstance(part, dict):
                raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries, got "
                                 f"{type(part)}")
        names = [name for part in given for name in part]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
        given = {name: value for part in given for name, value in part.items()}
    return stateless.functional_call(module, given, args, kwargs, tie_weights=tie_weights, strict=strict)


def stack_module_state(models):
    """Return (parameters, buffers) of several modules of one class, each stacked along a new first dimension.

    >>> params, buffers = stack_module_state([nn.Linear(2, 3) for _ in range(4)])
    >>> params["weight"].shape
    torch.Size([4, 3, 2])
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({m.training for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(m) for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return ({name: _leaf([own[name] for own in parameters]) for name in parameters[0]},
            {name: _stacked([own[name] for own in buffers]) for name in buffers[0]})


def _stacked(tensors):
    return _C.stack([t.detach() for t in tensors])


def _leaf(tensors):
    if len({t.requires_grad for t in tensors}) > 1:
        raise RuntimeError("Expected parameters from the same module to have the same requires_grad state")
    return _stacked(tensors).requires_grad_(tensors[0].requires_grad)


def replace_all_batch_norm_modules_(root):
    """Make every batch norm in a module use the statistics of its input only, as vmap needs; return the module."""
    for m in root.modules():
        if hasattr(m, "track_running_stats") and hasattr(m, "num_batches_tracked"):
            m.running_mean = m.running_var = m.num_batches_tracked = None
            m.track_running_stats = False
    return root
