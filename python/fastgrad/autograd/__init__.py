"""Automatic differentiation: `backward`, `grad`, custom functions, grad modes and checks of gradients.

The graph and the engine are native. What is here prepares their arguments; `gradcheck` and `functional` are loaded when
first used.
"""
from .. import _C
from . import anomaly_mode, function, grad_mode, graph
from .anomaly_mode import detect_anomaly, set_detect_anomaly
from .function import Function
from .grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
    set_multithreading_enabled,
)

__all__ = ["Variable", "Function", "backward", "grad", "gradcheck", "gradgradcheck", "no_grad", "enable_grad",
           "set_grad_enabled", "inference_mode", "detect_anomaly", "set_detect_anomaly", "set_multithreading_enabled"]

Tensor = _C.Tensor


class _VariableMeta(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, Tensor)


class Variable(metaclass=_VariableMeta):
    """The old name of a tensor that takes part in autograd: returns a tensor."""

    def __new__(cls, data=None, requires_grad=False, volatile=False):
        data = _C.empty(0) if data is None else data.detach()
        return data.requires_grad_(requires_grad)


def _as_tuple(value, length=1):
    if type(value) is Tensor:
        return (value,)
    if value is None:
        return (None,) * length
    if isinstance(value, Tensor) or isinstance(value, graph.GradientEdge):
        return (value,)
    return tuple(value)


def _roots(outputs):
    """Tensors to start from; a GradientEdge becomes one."""
    for y in outputs:
        if isinstance(y, graph.GradientEdge):
            return tuple([graph.root_of(y) if isinstance(y, graph.GradientEdge) else y for y in outputs])
    return outputs


def _grads_of(outputs, grads, batched=False):
    """The gradient to start from at each output.

    None where it is left out: the engine takes 1 for a number and refuses anything else; what is no plain tensor gets
    its ones here.
    """
    if len(grads) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(grads)} gradients")
    found = []
    for i, (y, g) in enumerate(zip(outputs, grads)):
        if g is None:
            if type(y) is not Tensor and y.requires_grad:
                if y.numel() != 1:
                    raise RuntimeError("grad can be implicitly created only for scalar outputs")
                if not y.dtype.is_floating_point:
                    raise RuntimeError(
                        f"grad can be implicitly created only for real scalar outputs but got {y.dtype}")
                g = _C.ones_like(y.detach())
            found.append(g)
            continue
        if not isinstance(g, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        shape = g.shape[1:] if batched else g.shape
        if shape != y.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] has a shape of "
                f"{y.shape}.")
        found.append(g)
    return tuple(found)


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None):
    """Add the gradients of `tensors` to the `.grad` of the leaves they were computed from.

    grad_tensors: what multiplies each tensor's derivative, may be left out where a tensor is one number;
    inputs: only these leaves get a gradient.

    >>> x = fastgrad.tensor(2., requires_grad=True)
    >>> backward(x * x); x.grad
    tensor(4.)
    """
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only "
                "use `grad_tensors`.")
        grad_tensors = grad_variables
    tensors = _roots(_as_tuple(tensors))
    if inputs is not None:
        inputs = _as_tuple(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    grads = _grads_of(tensors, _as_tuple(grad_tensors, len(tensors)))
    if retain_graph is None:
        retain_graph = create_graph
    _C._run_backward(tensors, grads, retain_graph, create_graph, inputs or (), True, True)


def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, only_inputs=True,
         allow_unused=None, is_grads_batched=False, materialize_grads=False):
    """Return the gradients of the sum of `outputs` with respect to each of `inputs`.

    create_graph: record the computation, so that the result can be differentiated again; allow_unused: give None for an
    input that plays no part instead of an error; materialize_grads: give zeros for it.

    >>> x = fastgrad.tensor(2., requires_grad=True)
    >>> grad(x ** 3, x)
    (tensor(12.),)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            f"Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            f"allow_unused={allow_unused}.")
    if allow_unused is None:
        allow_unused = materialize_grads
    outputs, inputs = _roots(_as_tuple(outputs)), _as_tuple(inputs)
    for t in inputs:
        if not isinstance(t, (Tensor, graph.GradientEdge)):
            raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {type(t).__name__}")
    grads = _grads_of(outputs, _as_tuple(grad_outputs, len(outputs)), is_grads_batched)
    if retain_graph is None:
        retain_graph = create_graph
    if is_grads_batched:
        found = _batched(outputs, grads, inputs, retain_graph, create_graph, allow_unused)
    else:
        found = _C._run_backward(outputs, grads, retain_graph, create_graph, inputs, allow_unused, False)
    if materialize_grads:
        if any(g is None and not isinstance(x, Tensor) for g, x in zip(found, inputs)):
            raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
        found = tuple([_C.zeros_like(x, requires_grad=create_graph) if g is None else g
                       for g, x in zip(found, inputs)])
    return found


def _batched(outputs, grads, inputs, retain_graph, create_graph, allow_unused):
    """One backward for each slice of the gradients, stacked."""
    n = next((len(g) for g in grads if g is not None), 0)
    if not n:
        raise RuntimeError("is_grads_batched=True needs at least one grad_outputs with a batch dimension of size > 0")
    rows = []
    for i in range(n):
        slices = tuple([None if g is None else g[i] for g in grads])
        rows.append(_C._run_backward(outputs, slices, retain_graph or i + 1 < n, create_graph, inputs, allow_unused,
                                     False))
    return tuple([None if column[0] is None else _C.stack(column) for column in zip(*rows)])


grad = _C._Overridable(grad, __name__)


def __getattr__(name):
    if name in ("gradcheck", "gradgradcheck", "functional", "profiler", "forward_ad"):
        import importlib
        if name in ("functional", "profiler", "forward_ad"):
            return importlib.import_module(f"{__name__}.{name}")
        module = importlib.import_module(f"{__name__}.gradcheck")
        globals().update(gradcheck=module.gradcheck, gradgradcheck=module.gradgradcheck)
        return globals()[name]
    from fastgrad._missing import no_attribute
    raise no_attribute(__name__, name)
