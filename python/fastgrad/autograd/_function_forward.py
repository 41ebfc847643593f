"""The forward-mode rule of a custom Function: loaded when one is applied inside a dual level."""
from .. import _C
from . import Function, grad

Tensor = _C.Tensor


def propagate(ctx, args, outputs, results, dirty, constant):
    """Gives the results of `forward` the tangents that `jvp` computes from those of its arguments.

    outputs: what forward returned; results: the same with their history; dirty, constant: as marked by forward.
    """
    for level in range(_C._dual_levels()):
        found = [_C._unpack_dual(x, level)[1] if isinstance(x, Tensor) else None for x in args]
        if all(t is None for t in found):
            continue
        before = _C._limit_forward(level)
        try:
            given = list(found)
            if ctx.materialize_grads:
                given = [_C.zeros_like(x) if t is None and isinstance(x, Tensor) and _differentiable(x) else t
                         for x, t in zip(args, found)]
            if _lacks_rule(ctx._forward_cls):
                tangents = _transposed_twice(ctx._forward_cls, args, found, level)
            else:
                tangents = ctx._forward_cls.jvp(ctx, *given)
            tangents = tangents if isinstance(tangents, tuple) else (tangents,)
            if len(tangents) != len(results):
                raise RuntimeError(
                    f"Function's jvp returned an invalid number of forward gradients (expected {len(results)} but got "
                    f"{len(tangents)})")
            for i, (y, t) in enumerate(zip(results, tangents)):
                same = _has(args, outputs[i])
                _give(i, y, t, args, given, level, _has(dirty, outputs[i]), _has(constant, outputs[i]), same)
        finally:
            _C._limit_forward(before)
        for saved in ctx._saved:  # a gradient that uses a result has to be differentiated through it
            if saved is not None and saved.output is not None and saved.unpack is None:
                tangent = _C._unpack_dual(results[saved.output], level)[1]
                if tangent is not None:
                    _C._set_tangent(saved.tensor, tangent, level)


def _lacks_rule(cls):
    """The Functions of this library need no jvp: their gradients can be differentiated."""
    return cls.jvp is Function.jvp and cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def _transposed_twice(cls, args, tangents, level):
    """J t as the derivative of J^T v, linear in v, with respect to v."""
    before = _C.is_grad_enabled()
    _C.set_grad_enabled_(True)
    try:
        inputs = [x if t is None else _C._unpack_dual(x, level)[0] for x, t in zip(args, tangents)]
        pairs = [(x, t) for x, t in zip(inputs, tangents) if t is not None]
        recorded = before and any(x.requires_grad or t.requires_grad for x, t in pairs)
        for x, _ in pairs:
            if not x.requires_grad:
                x.requires_grad_()
        outputs = cls.apply(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        wanted = [isinstance(y, Tensor) and y.requires_grad for y in outputs]
        ys = [y for y, w in zip(outputs, wanted) if w]
        vs = [_C.zeros_like(y.detach()).requires_grad_() for y in ys]
        rows = grad(ys, [x for x, _ in pairs], vs, create_graph=True, allow_unused=True)
        linear = [(row, t) for row, (_, t) in zip(rows, pairs) if row is not None and row.requires_grad]
        found = iter(grad([row for row, _ in linear], vs, [t.to(row.dtype) for row, t in linear], create_graph=recorded,
                          allow_unused=True) if linear else [None] * len(vs))
        return tuple([next(found) if w else None for w in wanted])
    finally:
        _C.set_grad_enabled_(before)


def _differentiable(t):
    return t.dtype.is_floating_point or t.dtype.is_complex


def _has(tensors, tensor):
    return any(t is tensor for t in tensors)


def _give(i, y, t, args, given, level, is_dirty, is_constant, is_input):
    if t is not None and not isinstance(t, Tensor):
        raise RuntimeError(f"expected Variable or None (got {type(t).__name__}) for grad output {i}.")
    if not isinstance(y, Tensor) or not _differentiable(y) or is_constant:
        if t is not None:
            raise RuntimeError(
                f"Function's jvp returned a gradient at position {i}, but the corresponding forward output is not a "
                f"differentiable Tensor. You should return None at that position instead.")
        return
    if t is None:
        t = _C.zeros_like(y)
    if is_dirty:
        if not any(x is y and g is t for x, g in zip(args, given)):
            raise RuntimeError(
                "An inplace custom Function is not modifying the forward mode gradients inplace. If the forward is "
                "modifying an input inplace, then the jvp function must modify the corresponding gradient inplace.")
        _C._set_tangent(y, t, level, True)
        return
    root = y._base
    if is_input or root is not None and any(
            isinstance(x, Tensor) and root is (x if x._base is None else x._base) for x in args):
        roots = [g if g._base is None else g._base for g in given if g is not None]
        if t._base is None or not _has(roots, t._base):
            raise RuntimeError(
                "A custom Function's forward is returning a view (or an input as-is) but the jvp is not returning a "
                "view.")
    _C._set_tangent(y, t, level)
