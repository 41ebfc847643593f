"""grad, vjp, jvp and linearize.

jvp runs the function once, in forward mode. linearize, which is for many tangents at one point, takes the gradient of a
vjp with respect to its cotangents instead: it is linear in them, and the function need not run again (unless it has
written over what its gradient reads).
"""
import functools

from .. import _C, random
from .._vmap.batched import BatchedTensor, batched_at, levels, shape, wrap
from ..autograd import enable_grad
from ..utils import _pytree as pytree
from ._tracked import Tensor, Tracked, check_tensor, mapped, pick, put, split_aux


def grad_and_value(func, argnums=0, has_aux=False):
    """Return a function that gives the gradient of `func` and its value, which is one number.

    >>> grad_and_value(lambda x: x ** 2)(fastgrad.tensor(3.))
    (tensor(6.), tensor(9.))
    """
    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        where = "grad_and_value(f)(*args)"
        picked, numbers = pick(args, argnums)
        leaves, spec = pytree.tree_flatten(picked[0] if isinstance(argnums, int) else picked)
        tracked = Tracked(leaves)
        own = spec.unflatten(tracked.inputs)
        with enable_grad():
            output = func(*put(args, numbers, (own,) if isinstance(argnums, int) else own), **kwargs)
            output, aux = split_aux(output, has_aux, where)
            if not isinstance(output, Tensor):
                raise RuntimeError(f"{where}: Expected f(*args) to return a Tensor, got {type(output)}")
            if output.dim():
                raise RuntimeError(f"{where}: Expected f(*args) to return a scalar Tensor, got tensor with "
                                   f"{output.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs instead?")
            if output.dtype.is_complex:
                raise RuntimeError("grad can be implicitly created only for real scalar outputs but got "
                                   f"{output.dtype}")
            tracked.close([output, *pytree.tree_leaves(aux)])
            found = spec.unflatten(tracked.grad([output], tracked.inputs, [_C.ones_like(output)]))
        found, output = tracked.finish((found, output))
        return (found, (output, tracked.finish(aux))) if has_aux else (found, output)
    return wrapped


def grad(func, argnums=0, has_aux=False):
    """Return a function that gives the gradient of `func`, with respect to the positional arguments `argnums`.

    >>> grad(grad(lambda x: x ** 3))(fastgrad.tensor(2.))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found
    return wrapped


def _outputs(name, output):
    leaves, spec = pytree.tree_flatten(output)
    if not leaves:
        raise RuntimeError(f"{name}: Expected f to be a function that has non-empty output (got output = {leaves})")
    for y in leaves:
        if not isinstance(y, Tensor):
            raise RuntimeError(f"{name}: expected f(*primals) to return only tensors, got unsupported type {type(y)}")
    return leaves, spec


class Linearized:
    """A function run once on inputs of its own, ready for gradients: what vjp, jvp and the Jacobians share."""

    def __init__(self, func, primals, has_aux, name):
        leaves, self.in_spec = pytree.tree_flatten(primals)
        self.tracked = Tracked(leaves)
        with enable_grad():
            output = func(*self.in_spec.unflatten(self.tracked.inputs))
            output, aux = split_aux(output, has_aux, name)
        self.outputs, self.out_spec = _outputs(name, output)
        self.tracked.close([*self.outputs, *pytree.tree_leaves(aux)])
        self.result = self.tracked.finish(self.out_spec.unflatten(self.outputs))
        self.aux = self.tracked.finish(aux)

    def pull(self, cotangents, retain=True, create=None):
        """Gradients of the inputs, as a list."""
        with enable_grad():
            return self.tracked.grad(self.outputs, self.tracked.inputs, cotangents, retain, create)

    def forward(self):
        """A function from tangents of the inputs to tangents of the outputs, both lists."""
        with enable_grad():
            live = [i for i, y in enumerate(self.outputs) if y.requires_grad]
            ends = [self.outputs[i] for i in live]
            seeds = [mapped(lambda t: t.detach().requires_grad_(), _C.zeros_like(y)) for y in ends]
            pulled = self.tracked.grad(ends, self.tracked.inputs, seeds, True, True) if live else []

        def push(tangents, retain=True):
            with enable_grad():
                found = self.tracked.grad(pulled, seeds, tangents, retain) if live else []
            results = [_C.zeros_like(y) for y in self.outputs]
            for i, t in zip(live, found):
                results[i] = t
            return results
        return push


def _is_continuous(t):
    return t.dtype.is_floating_point or t.dtype.is_complex


def vjp(func, *primals, has_aux=False):
    """Return `func(*primals)` and a function from cotangents of the output to a tuple of cotangents of the inputs.

    >>> out, pull = vjp(lambda x: x ** 2, fastgrad.tensor(3.))
    >>> pull(fastgrad.tensor(1.))
    (tensor(6.),)
    """
    run = Linearized(func, primals, has_aux, "vjp(f, *primals)")

    def vjp_fn(cotangents, retain_graph=True, create_graph=None):
        leaves, spec = pytree.tree_flatten(cotangents)
        if spec != run.out_spec:
            raise RuntimeError("Expected pytree structure of cotangents to be the same as pytree structure of outputs "
                               f"to the function. cotangents: {spec}, primal output: {run.out_spec}")
        given = []
        for i, (g, y) in enumerate(zip(leaves, run.outputs)):
            check_tensor(g)
            if shape(g) != shape(y):
                raise RuntimeError(f"Mismatch in shape: grad_output[{i}] has a shape of {shape(g)} and output[{i}] "
                                   f"has a shape of {shape(y)}.")
            given.append(g if g.dtype == y.dtype else g.to(y.dtype))
        outer = _C.is_grad_enabled() and (run.tracked.connected or any([g.requires_grad for g in given]))
        found = run.pull(given, retain_graph, outer)
        if not outer:
            found = pytree.tree_map(lambda t: mapped(run.tracked.released, t), found)
        return run.in_spec.unflatten(found)
    return (run.result, vjp_fn, run.aux) if has_aux else (run.result, vjp_fn)


def _tangents_of(primals, tangents):
    where = "jvp(f, primals, tangents): "
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{where}Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    leaves, spec = pytree.tree_flatten(primals)
    given, given_spec = pytree.tree_flatten(tangents)
    if spec != given_spec:
        raise RuntimeError(f"{where}Expected primals and tangents to have the same python structure. For example, if "
                           f"primals is a tuple of 3 tensors, tangents also must be. Got primals with structure "
                           f"{spec} and tangents with structure {given_spec}")
    if not leaves:
        raise RuntimeError(f"{where}Expected primals to contain at least one Tensor.")
    for x, v in zip(leaves, given):
        for t in (x, v):
            if not isinstance(t, Tensor):
                raise RuntimeError(f"{where}Expected primals and tangents to be Tensors, got unsupported type "
                                   f"{type(t)}")
        _check_primal(x)
        if shape(x) != shape(v):
            raise RuntimeError("Trying to set a forward gradient that has a different size than that of the original "
                               f"Tensor, this is not supported. Tensor is of size {list(shape(x))} while the given "
                               f"forward gradient is of size {list(shape(v))}.")
    return [v if v.dtype == x.dtype else v.to(x.dtype) for x, v in zip(leaves, given)]


def _check_primal(x):
    if not _is_continuous(x):
        raise ValueError(f"Expected primal to be floating point or complex, but got: {x.dtype}")


def jvp(func, primals, tangents, *, strict=False, has_aux=False):
    """Return `func(*primals)` and its derivative along `tangents`; strict: an output that depends on nothing is an
    error.

    >>> jvp(lambda x: x ** 2, (fastgrad.tensor(3.),), (fastgrad.tensor(1.),))
    (tensor(9.), tensor(6.))
    """
    leaves, spec = pytree.tree_flatten(primals)
    given = _tangents_of(primals, tangents)
    level = _C._enter_dual_level()
    try:
        output = func(*spec.unflatten([_dual(x, v, level) for x, v in zip(leaves, given)]))
        output, aux = split_aux(output, has_aux, "jvp(f, primals, tangents)")
        results, out_spec = _outputs("jvp(f, primals, tangents)", output)
        pairs = [_unpacked(y, level) for y in results]
        if strict and any([found is None for _, found in pairs]):
            raise RuntimeError("jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. "
                               "This is not allowed with strict=True.")
        aux = pytree.tree_map_only(Tensor, lambda t: _unpacked(t, level)[0], aux)
    finally:
        _C._exit_dual_level(level)
    output = out_spec.unflatten([y for y, _ in pairs])
    found = out_spec.unflatten([_C.zeros_like(y) if t is None else t for y, t in pairs])
    return (output, found, aux) if has_aux else (output, found)


def _dual(x, v, level):
    """x with the tangent v, below all levels of vmap; where one of them differs between examples, both do."""
    for running in levels():
        if _is_batched_at(x, running) or _is_batched_at(v, running):
            x, v = batched_at(x, running), batched_at(v, running)
    return _dual_values(x, v, level)


def _is_batched_at(t, running):
    while type(t) is BatchedTensor:
        if t._level is running:
            return True
        t = t._value
    return False


def _dual_values(x, v, level):
    if type(x) is BatchedTensor:
        return wrap(_dual_values(x._value, v._value, level), x._level)
    return _C._make_dual(x.contiguous() if 0 in x.stride() else x, v, level)


def _unpacked(y, level):
    """The value and the tangent, or None."""
    if type(y) is BatchedTensor:
        value, found = _unpacked(y._value, level)
        return wrap(value, y._level), None if found is None else wrap(found, y._level)
    return _C._unpack_dual(y, level)


def _run_again(func, primals, state):
    """What `Linearized.forward` gives, for a function that writes over what its gradient needs: it runs each time."""
    primals = pytree.tree_map(lambda x: x.clone(), primals)

    def push(tangents):
        with random.fork_rng():  # the same random numbers again
            random.set_rng_state(state)
            return pytree.tree_leaves(jvp(func, primals, pytree.tree_flatten(primals)[1].unflatten(tangents))[1])
    return push


def linearize(func, *primals):
    """Return `func(*primals)` and the function that is its derivative there: from tangents to tangents.

    >>> out, push = linearize(lambda x: x ** 2, fastgrad.tensor(3.))
    >>> push(fastgrad.tensor(2.))
    tensor(12.)
    """
    for x in pytree.tree_leaves(primals):
        check_tensor(x)
        _check_primal(x)
    state = random.get_rng_state()
    run = Linearized(func, primals, False, "linearize(f, *primals)")
    try:
        push = run.forward()
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        push = _run_again(func, primals, state)

    def jvp_fn(*tangents):
        leaves, spec = pytree.tree_flatten(tangents)
        if spec != run.in_spec:
            raise RuntimeError(f"Expected the tangents {spec} to have the same argspec as the primals {run.in_spec}")
        for i, (v, x) in enumerate(zip(leaves, run.tracked.inputs)):
            if shape(v) != shape(x):
                raise RuntimeError(f"tangent:{i} with shape {shape(v)} in flattened pytree doesn't match the shape "
                                   f"{shape(x)} of the corresponding primal.")
            if v.dtype != x.dtype:
                raise RuntimeError(f"tangent:{i} with dtype {v.dtype} in flattened pytree doesn't match the dtype "
                                   f"{x.dtype} of the corresponding primal.")
        return run.tracked.finish(run.out_spec.unflatten(push(leaves)))
    return run.result, jvp_fn
