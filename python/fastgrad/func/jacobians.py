"""Jacobians and Hessians: one derivative for each element of the outputs (jacrev) or of the inputs (jacfwd)."""
import functools

from .. import _C
from .._vmap.api import check_randomness, vmap
from .._vmap.batched import shape
from .._vmap.randomness import RandomnessRefused
from ..autograd import enable_grad
from ..utils import _pytree as pytree
from ._tracked import pick, put
from .gradients import Linearized, _is_continuous, _tangents_of, jvp


def _unit(like, i):
    """One at element i of the shape of `like`, zeros elsewhere."""
    flat = _C.zeros(like.numel(), dtype=like.dtype, device=like.device)
    flat[i] = 1
    return flat.reshape(shape(like))


def _run(func, argnums, has_aux, args, kwargs, name):
    picked, numbers = pick(args, argnums)

    def of_picked(*values):
        return func(*put(args, numbers, values), **kwargs)
    return Linearized(of_picked, picked, has_aux, name)


def _chosen(tree, argnums):
    """Of a tuple, one tree for each argument: the only one when `argnums` is a number."""
    return tree[0] if isinstance(argnums, int) else tree


def jacrev(func, argnums=0, *, has_aux=False, chunk_size=None, _preallocate_and_copy=False):
    """Return a function that gives the Jacobian of `func`, row by row: for functions with few outputs.

    The result has the structure of the output; each leaf has that of the arguments, with shapes of output and input.

    >>> jacrev(lambda x: x ** 2)(fastgrad.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if chunk_size is not None and not chunk_size > 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        run = _run(func, argnums, has_aux, args, kwargs, "vjp(f, *primals)")
        for y in run.outputs:
            if not _is_continuous(y):
                raise RuntimeError("vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got "
                                   f"Tensor with dtype {y.dtype}")
        jacobians = []
        for y in run.outputs:
            rows = []
            with enable_grad():
                for i in range(y.numel()):
                    rows.append(run.tracked.grad([y], run.tracked.inputs, [_unit(y, i)], True))
            columns = [_rows(column, shape(y), x) for column, x in zip(zip(*rows) if rows else [()] * len(
                run.tracked.inputs), run.tracked.inputs)]
            jacobians.append(_chosen(run.in_spec.unflatten(columns), argnums))
        result = run.tracked.finish(run.out_spec.unflatten(jacobians))
        return (result, run.aux) if has_aux else result
    return wrapped


def _rows(rows, outer, x):
    if not rows:
        return x.new_zeros((*outer, *shape(x)))
    return _C.stack(rows).reshape((*outer, *shape(x)))


def jacfwd(func, argnums=0, has_aux=False, *, randomness="error"):
    """Return a function that gives the Jacobian of `func`, column by column: for functions with few inputs.

    The result is that of `jacrev`. All columns are found at once, by one `jvp` under `vmap`; a function that does what
    vmap cannot, as asking for a value or writing to a tensor that it makes, runs once for each column.

    >>> jacfwd(lambda x: x ** 2)(fastgrad.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        check_randomness(randomness)
        picked, numbers = pick(args, argnums)
        inputs, in_spec = pytree.tree_flatten(picked)
        _tangents_of(picked, picked)

        def of_picked(*values):
            return func(*put(args, numbers, values), **kwargs)
        outputs, out_spec, aux = _pushed_units(of_picked, picked, inputs, has_aux, randomness)
        columns = []
        for y, t in outputs:  # t: (all elements of all inputs, *shape of y)
            parts = t.movedim(0, -1).split([x.numel() for x in inputs], -1) if inputs else ()
            column = [part.reshape((*shape(y), *shape(x))) for part, x in zip(parts, inputs)]
            columns.append(_chosen(in_spec.unflatten(column), argnums))
        result = out_spec.unflatten(columns)
        return (result, aux) if has_aux else result
    return wrapped


def _pushed_units(func, primals, inputs, has_aux, randomness):
    """The outputs, each with its tangents along every element of the inputs; their structure; what is beside them."""
    spec = pytree.tree_structure(primals)
    seen = {}

    def push(*tangents):
        found = jvp(func, primals, spec.unflatten(tangents), has_aux=has_aux)
        leaves, seen["outputs"] = pytree.tree_flatten(found[0])
        aux, seen["aux"] = pytree.tree_flatten(found[2] if has_aux else ())
        seen["plain"] = [None if isinstance(t, _C.Tensor) else t for t in aux]
        return leaves, pytree.tree_leaves(found[1]), [t for t in aux if isinstance(t, _C.Tensor)]

    units = _units(inputs)
    found = _batched(push, units, randomness) if sum([x.numel() for x in inputs]) else None
    if found:
        leaves, tangents, aux = found
        leaves, aux = [y[0] for y in leaves], [t[0] for t in aux]
    else:
        one_by_one = [push(*[u[i] for u in units]) for i in range(len(units[0]) if units else 0)]
        one_by_one = one_by_one or [push(*[_C.zeros_like(x) for x in inputs])]
        leaves, _, aux = one_by_one[0]
        tangents = [_C.stack(t) for t in zip(*[t for _, t, _ in one_by_one])]
        if not sum([x.numel() for x in inputs]):
            tangents = [t[:0] for t in tangents]
    aux = iter(aux)
    beside = [next(aux) if t is None else t for t in seen["plain"]]
    return list(zip(leaves, tangents)), seen["outputs"], seen["aux"].unflatten(beside) if has_aux else None


_CHUNK = 256  # columns at a time


def _batched(push, units, randomness):
    """`push` of all units at once; None where vmap cannot: of a value, a mask, a tensor made inside and written to."""
    try:
        return vmap(push, randomness=randomness, chunk_size=_CHUNK)(*units)
    except RandomnessRefused:
        raise
    except RuntimeError:
        return None


def _units(inputs):
    """For each input the tangents that go through the elements of all of them, (elements of all, *shape)."""
    count, at, found = sum([x.numel() for x in inputs]), 0, []
    for x in inputs:
        n = x.numel()
        unit = _C.zeros((count, n), dtype=x.dtype, device=x.device)
        if n:
            unit.narrow(0, at, n).fill_diagonal_(1)
        at += n
        found.append(unit.reshape(count, *shape(x)))
    return found


def hessian(func, argnums=0):
    """Return a function that gives the matrix of second derivatives of `func`.

    >>> hessian(lambda x: (x ** 3).sum())(fastgrad.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
