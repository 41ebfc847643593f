"""The part of gradcheck that looks at forward mode: columns of the Jacobian against central differences."""
from .. import _C
from .forward_ad import dual_level, make_dual, unpack_dual

Tensor = _C.Tensor


def _with_duals(value, tangents):
    """`value` with duals for its tensors that require a gradient; `tangents` follow their order, None: no tangent."""
    if isinstance(value, Tensor):
        if not value.requires_grad:
            return value
        tangent = next(tangents)
        return value.detach() if tangent is None else make_dual(value.detach(), tangent)
    if isinstance(value, (list, tuple)):
        return type(value)([_with_duals(v, tangents) for v in value])
    return value


def tangents_of(func, inputs, tangents, floats):
    """The tangents of the floating results of `func`, None where a result has none."""
    with dual_level():
        results = floats(func(*_with_duals(tuple(inputs), iter(tangents))))
        return [unpack_dual(y).tangent for y in results]


def jacobians(func, inputs, leaves, j, floats, results):
    """For each result the Jacobian (elements of leaf j, elements of the result)."""
    x = leaves[j]
    found = [_C.zeros((x.numel(), y.numel()), dtype=y.dtype, device=y.device) for y in results]
    for k in range(x.numel()):
        unit = _C.zeros(x.numel(), dtype=x.dtype, device=x.device)
        unit[k] = 1
        for block, t in zip(found, along(func, inputs, leaves, j, unit.reshape(x.shape), floats)):
            if t is not None:
                block[k] = t.detach().reshape(-1)
    return found


def along(func, inputs, leaves, j, direction, floats):
    """The tangents of the results along a direction of leaf j; the others have the tangent zero."""
    return tangents_of(func, inputs, [direction if i == j else _C.zeros_like(x.detach()) for i, x in enumerate(leaves)],
                       floats)


def check_undefined(func, inputs, leaves, floats, close, error):
    """An input without a tangent counts like one whose tangent is zero."""
    ones = [_C.ones_like(x.detach()) for x in leaves]
    for j, x in enumerate(leaves):
        zero, none = list(ones), list(ones)
        zero[j], none[j] = _C.zeros_like(x.detach()), None
        found = zip(tangents_of(func, inputs, zero, floats), tangents_of(func, inputs, none, floats))
        for i, (a, b) in enumerate(found):
            if a is not None and b is not None and not close(a, b):
                raise error(
                    f"Mismatch in tangent values for output with index: {i} when input: {x} has an undefined tangent "
                    f"value.  Got: {a} but expected: {b}")
