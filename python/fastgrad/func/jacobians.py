"""Jacobians and Hessians: one derivative for each element of the outputs (jacrev) or of the inputs (jacfwd)."""
import functools

from .. import _C
from .._vmap.api import check_randomness
from .._vmap.batched import shape
from ..autograd import enable_grad
from ..utils import _pytree as pytree
from ._tracked import pick, put
from .gradients import Linearized, _check_primal, _is_continuous


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
    return _C.stack(rows).reshape(*outer, *shape(x))


def _refuse_random(func, args, kwargs):
    raise RuntimeError(f"jacfwd: {func.__name__} draws random numbers, which is an error unless randomness is "
                       "\"same\" or \"different\"; the function runs once, so all columns see the same numbers")


def jacfwd(func, argnums=0, has_aux=False, *, randomness="error"):
    """Return a function that gives the Jacobian of `func`, column by column: for functions with few inputs.

    The result is that of `jacrev`.

    >>> jacfwd(lambda x: x ** 2)(fastgrad.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        check_randomness(randomness)
        for x in pytree.tree_leaves(pick(args, argnums)[0]):
            if isinstance(x, _C.Tensor):
                _check_primal(x)
        before = _C._set_random_hook(_refuse_random) if randomness == "error" else None
        try:
            run = _run(func, argnums, has_aux, args, kwargs, "jvp(f, primals, tangents)")
        finally:
            if randomness == "error":
                _C._set_random_hook(before)
        push = run.forward()
        inputs = run.tracked.inputs
        zeros = [_C.zeros_like(x) for x in inputs]
        columns = [[] for _ in run.outputs]  # for each output: one Jacobian for each input
        for k, x in enumerate(inputs):
            found = []
            for i in range(x.numel()):
                tangents = list(zeros)
                tangents[k] = _unit(x, i)
                found.append(push(tangents))
            for made, y, parts in zip(columns, run.outputs, zip(*found) if found else [()] * len(run.outputs)):
                made.append(_columns(parts, y, x))
        jacobians = [_chosen(run.in_spec.unflatten(column), argnums) for column in columns]
        result = run.tracked.finish(run.out_spec.unflatten(jacobians))
        return (result, run.aux) if has_aux else result
    return wrapped


def _columns(parts, y, x):
    if not parts:
        return y.new_zeros((*shape(y), *shape(x)))
    return _C.stack(parts, -1).reshape(*shape(y), *shape(x))


def hessian(func, argnums=0):
    """Return a function that gives the matrix of second derivatives of `func`.

    >>> hessian(lambda x: (x ** 3).sum())(fastgrad.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
