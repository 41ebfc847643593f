"""`vmap` itself: takes the batch dimension out of the inputs, runs the function once, puts it into the outputs."""
import functools

from .. import _C
from .._missing import spelled
from ..utils import _pytree as pytree
from . import randomness as _randomness
from .batched import BatchedTensor, Level, Tensor, is_batched, levels, ndim, wrap

from . import autograd, indexing, networks, pointwise, printing, products, shapes  # noqa: F401  isort: skip


def name_of(func):
    return getattr(func, "__name__", None) or repr(func)


def check_randomness(randomness):
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")


@spelled
def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """Return a function that applies `func` to every example along a dimension of the inputs.

    in_dims, out_dims: where that dimension is, None for what all examples share, as a number or in the structure of the
    inputs and outputs; randomness: "error", "same" or "different" numbers for the examples; chunk_size: how many of
    them at a time. Named arguments are shared by all examples.

    >>> vmap(lambda x: x.sum())(fastgrad.ones(2, 3))
    tensor([3., 3.])
    """
    check_randomness(randomness)
    if chunk_size is not None and not chunk_size > 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        size, dims, leaves, spec = _inputs(func, in_dims, args)
        if chunk_size is None or chunk_size >= size:
            return _run(func, size, dims, leaves, spec, kwargs, out_dims, randomness)
        return _in_chunks(func, size, dims, leaves, spec, kwargs, out_dims, randomness, chunk_size)
    return wrapped


# ---- inputs

def _inputs(func, in_dims, args):
    """(size, a dimension for each leaf, leaves, structure) of the positional arguments."""
    name = name_of(func)
    where = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): "
    if not isinstance(in_dims, (int, tuple)) or isinstance(in_dims, bool):
        if not (isinstance(in_dims, list) or isinstance(in_dims, dict)):
            raise ValueError(f"{where}expected `in_dims` to be int or a (potentially nested) tuple matching the "
                             f"structure of inputs, got: {type(in_dims)}.")
    if not args:
        raise ValueError(f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying "
                         "to vmap over a function with no inputs. The latter is unsupported.")
    leaves, spec = pytree.tree_flatten(args)
    dims = pytree._broadcast_to_and_flatten(in_dims, spec)
    if dims is None:
        raise ValueError(f"{where}in_dims is not compatible with the structure of `inputs`. in_dims has structure "
                         f"{pytree.tree_structure(in_dims)} but inputs has structure {spec}.")
    for i, (x, dim) in enumerate(zip(leaves, dims)):
        if dim is not None and (not isinstance(dim, int) or isinstance(dim, bool)):
            raise ValueError(f"{where}Got in_dim={dim} for an input but in_dim must be either an integer dimension or "
                             "None.")
        if dim is None:
            continue
        if not isinstance(x, Tensor):
            raise ValueError(f"{where}Got in_dim={dim} for an input but the input is of type {type(x)}. We cannot "
                             "vmap over non-Tensor arguments, please use None as the respective in_dim")
        rank = x.dim()
        if not -rank <= dim < rank:
            raise ValueError(f"{where}Got in_dim={dim} for some input, but that input is a Tensor of dimensionality "
                             f"{rank} so expected in_dim to satisfy -{rank} <= in_dim < {rank}.")
        dims[i] = dim % rank
    sizes = [x.size(dim) for x, dim in zip(leaves, dims) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if any([n != sizes[0] for n in sizes]):
        raise ValueError("vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
                         f"{sizes} for the mapped dimension")
    return sizes[0], dims, leaves, spec


def _enter(x, dim, level):
    if dim is None:
        return x
    return wrap(x.movedim(dim, 0) if dim else x, level)


def _run(func, size, dims, leaves, spec, kwargs, out_dims, randomness):
    running = levels()
    level = Level(len(running) + 1, size, randomness)
    args = spec.unflatten([_enter(x, dim, level) for x, dim in zip(leaves, dims)])
    running.append(level)
    before = _C._set_random_hook(_randomness.hook)
    try:
        outputs = func(*args, **kwargs)
    finally:
        _C._set_random_hook(before)
        running.remove(level)
    return _outputs(func, outputs, out_dims, level)


# ---- outputs

def _out_dims_of(func, out_dims, spec):
    def flat(value):
        return pytree._broadcast_to_and_flatten(value, spec)

    name = name_of(func)
    if isinstance(out_dims, int) or out_dims is None:
        return [out_dims] * spec.num_leaves
    if not isinstance(out_dims, (tuple, list, dict)) or not pytree.tree_all(
            lambda d: d is None or isinstance(d, int), out_dims):
        raise ValueError(f"vmap({name}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python "
                         "collection of ints representing where in the outputs the vmapped dimension should appear.")
    found = flat(out_dims)
    if found is None and isinstance(out_dims, tuple) and len(out_dims) == 1 and spec.is_leaf():
        found = list(out_dims)
    if found is None:
        raise ValueError(f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the "
                         f"structure of `outputs`. out_dims has structure {pytree.tree_structure(out_dims)} but "
                         f"outputs has structure {spec}.")
    return found


def _outputs(func, outputs, out_dims, level):
    leaves, spec = pytree.tree_flatten(outputs)
    name = name_of(func)
    dims = _out_dims_of(func, out_dims, spec)
    return spec.unflatten([_leave(name, y, dim, level) for y, dim in zip(leaves, dims)])


def _leave(name, y, dim, level):
    if not isinstance(y, Tensor):
        if dim is None:
            return y
        raise ValueError(f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(y)}. Did you mean to "
                         "set out_dims= to None for output?")
    if dim is None:
        if is_batched(y, level):
            raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
        return y
    rank = ndim(y) + 1
    if not -rank <= dim < rank:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})")
    value = y._value if is_batched(y, level) else y.unsqueeze(0).expand(level.size, *y.shape)
    return value.movedim(0, dim) if dim % rank else value


# ---- chunks

def _in_chunks(func, size, dims, leaves, spec, kwargs, out_dims, randomness, chunk_size):
    generator = _C._default_generator("cpu")
    state = generator.get_state() if randomness == "same" else None
    parts = []
    for start in range(0, size, chunk_size):
        if state is not None:
            generator.set_state(state)
        count = min(chunk_size, size - start)
        part = [x if dim is None else x.narrow(dim, start, count) for x, dim in zip(leaves, dims)]
        parts.append(_run(func, count, dims, part, spec, kwargs, out_dims, randomness))
    flat = [pytree.tree_flatten(part) for part in parts]
    out_spec = flat[0][1]
    joined = [column[0] if dim is None else _C.cat(column, dim)
              for column, dim in zip(zip(*[leaves for leaves, _ in flat]), _out_dims_of(func, out_dims, out_spec))]
    return out_spec.unflatten(joined)


__all__ = ["BatchedTensor", "check_randomness", "vmap"]
