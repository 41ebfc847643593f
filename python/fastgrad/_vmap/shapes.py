"""Rules of functions along dimensions, of views and of joins.

What is along a dimension is found in the signatures: a native function of `input` whose other parameters count
dimensions is called on the values with the dimensions moved by one.
"""
from .. import _C, _compose
from .arguments import FUNCTIONS, METHODS, signature_of
from .batched import (
    RULES,
    Tensor,
    batched_at,
    innermost,
    is_batched,
    leveled,
    named,
    ndim,
    rule,
    rule_for,
    shape,
    value_of,
    wrap,
    wrap_all,
)
from .loop import in_place, loop, refuse_out, refuse_unbatched_self

_wrapped = _compose._wrapped
_DIMS = ("dim", "dim0", "dim1", "dim2", "dims", "axis0", "axis1", "source", "destination", "start_dim", "end_dim",
         "dimension")
_REDUCES_ALL = {"max": "amax", "min": "amin"}  # without a dimension they give no indices


def _moved(dims, rank):
    if isinstance(dims, (tuple, list)):
        return tuple([_wrapped(d, rank) + 1 for d in dims])
    return _wrapped(dims, rank) + 1


def along(level, func, args, kwargs):
    """A function along dimensions of `input`; tensors beside it have the same dimensions."""
    refuse_out(func, kwargs)
    signature = signature_of(func)
    given = signature.bind(args, kwargs)
    x = given.pop("input", None)
    rank = ndim(x) if isinstance(x, Tensor) else 0
    if rank == 0 and is_batched(x, level) and "keepdim" in signature.names and not isinstance(given.get("dim"), Tensor):
        return _over_everything(level, func, x, given, args, kwargs)
    if rank == 0 or in_place(func) and not is_batched(x, level):
        return loop(level, func, args, kwargs)
    for name in _DIMS:
        if name not in signature.names:
            continue
        dims = given.get(name, signature.defaults.get(name))
        if dims is None or isinstance(dims, (tuple, list)) and not dims and "keepdim" in signature.names:
            return _over_everything(level, func, x, given, args, kwargs)
        if not isinstance(dims, (int, tuple, list)) or isinstance(dims, bool):
            return loop(level, func, args, kwargs)
        given[name] = _moved(dims, rank)
    partners = func.__name__.startswith(("gather", "scatter", "index_"))
    for name, value in given.items():
        if isinstance(value, Tensor):
            if not partners:
                return loop(level, func, args, kwargs)
            if name == "index" and func.__name__.startswith("index_") or ndim(value) not in (rank, 0):
                if is_batched(value, level):
                    return loop(level, func, args, kwargs)
            elif ndim(value):
                given[name] = value_of(value, level)
            elif is_batched(value, level):
                return loop(level, func, args, kwargs)
    values = value_of(x, level)
    result = func(values, **{k: v for k, v in given.items() if k != signature.varargs},
                  **({signature.varargs: given[signature.varargs]} if signature.varargs in given else {}))
    return x if in_place(func) else wrap_all(result, level)


def _over_everything(level, func, x, given, args, kwargs):
    """A reduction without a dimension, or of an example without any."""
    name = func.__name__
    if "keepdim" not in signature_of(func).names and name != "count_nonzero":
        return loop(level, func, args, kwargs)
    keep = given.get("keepdim", False)
    given = {k: v for k, v in given.items() if k not in ("dim", "keepdim")}
    flat = value_of(x, level).reshape(level.size, x.numel())
    if name in _REDUCES_ALL:
        func = getattr(_C, _REDUCES_ALL[name])
    result = func(flat, dim=1, **given)
    if name in ("median", "nanmedian"):  # only with a dimension are there indices
        result = result[0]
    if keep and not isinstance(result, tuple):
        result = result.reshape(level.size, *(1,) * ndim(x))
    return wrap_all(result, level)


# Whose dimension is not the one they work along, or whose other tensors are no partners of input.
_NOT_ALONG = {"renorm", "unflatten", "squeeze", "unsqueeze", "size", "stride", "item", "index_put", "index_put_",
              "multinomial", "softmax_backward", "take_along_dim", "max", "min", "unsqueeze_", "squeeze_", "renorm_",
              "broadcast_to", "expand", "as_strided", "tensordot", "cross", "repeat_interleave", "bucketize",
              "searchsorted", "histc", "select_scatter", "slice_scatter", "diagonal_scatter", "resize_", "glu"}


def _is_along(name, text):
    names = [part.partition("=")[0].lstrip("*") for part in text.split(", ")]
    return (names[0] == "input" and any([n in _DIMS for n in names]) and name not in _NOT_ALONG
            and not any([n in ("size", "sizes", "shape") for n in names]))


rule(*[f for table in (FUNCTIONS, METHODS) for name, text in table.items() if _is_along(name, text)
       for f in named(name) if f not in RULES])(along)


@rule_for("max min")
def extremum(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    other = given.get("other", given.get("dim"))
    if isinstance(other, Tensor):
        name = "maximum" if func.__name__ == "max" else "minimum"
        return getattr(_C, name)(given["input"], other)
    return along(level, func, args, kwargs)


# ---- views by sizes

def _bound(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    x = given.pop("input")
    return (x._value if is_batched(x, level) else value_of(x, level)), x, given


def _sizes(value):
    return (value,) if isinstance(value, int) else tuple(value)


@rule_for("view reshape")
def view(level, func, args, kwargs):
    value, x, given = _bound(level, func, args, kwargs)
    sizes = given.get("shape")
    if isinstance(sizes, _C.dtype):
        return wrap(value.view(sizes), level) if ndim(x) else loop(level, func, args, kwargs)
    sizes = _sizes(sizes)
    if level.size == 0 and -1 in sizes:
        return loop(level, func, args, kwargs)
    method = Tensor.view if func.__name__ == "view" else Tensor.reshape
    return wrap(method(value, (level.size, *sizes)), level)


@rule(Tensor.view_as, Tensor.reshape_as, Tensor.expand_as)
def as_other(level, func, args, kwargs):
    x, other = args
    return getattr(x, func.__name__[:-3])(shape(other))


@rule(*named("ravel"))
def ravel(level, func, args, kwargs):
    value, x, _ = _bound(level, func, args, kwargs)
    return wrap(value.reshape(level.size, x.numel()), level)


@rule_for("unflatten")
def unflatten(level, func, args, kwargs):
    value, x, given = _bound(level, func, args, kwargs)
    return wrap(value.unflatten(_moved(given["dim"], ndim(x)), given["sizes"]), level)


@rule_for("permute")
def permute(level, func, args, kwargs):
    value, x, given = _bound(level, func, args, kwargs)
    dims = _sizes(given["dims"])
    if sorted([_wrapped(d, ndim(x)) for d in dims]) != list(range(ndim(x))) and ndim(x):
        return loop(level, func, args, kwargs)
    return wrap(value.permute((0, *[_moved(d, ndim(x)) for d in dims])), level)


@rule_for("t")
def t(level, func, args, kwargs):
    x = args[0]
    if ndim(x) > 2:
        return loop(level, func, args, kwargs)
    return wrap(x._value.transpose(1, 2) if ndim(x) == 2 else x._value.view_as(x._value), level)


@rule(Tensor.T.__get__)
def reversed_dims(level, func, args, kwargs):
    x = args[0]
    return wrap(x._value.permute((0, *range(ndim(x), 0, -1))), level)


@rule(Tensor.mT.__get__)
def matrix_transpose(level, func, args, kwargs):
    return args[0].transpose(-2, -1)


@rule_for("expand broadcast_to")
def expand(level, func, args, kwargs):
    value, x, given = _bound(level, func, args, kwargs)
    sizes = _sizes(given["size"])
    if len(sizes) < ndim(x) or -1 in sizes[:len(sizes) - ndim(x)]:
        return loop(level, func, args, kwargs)
    return wrap(leveled(value, len(sizes)).expand((level.size, *sizes)), level)


@rule_for("squeeze")
def squeeze(level, func, args, kwargs):
    value, x, given = _bound(level, func, args, kwargs)
    dim, rank = given.get("dim"), ndim(x)
    dims = range(rank) if dim is None else [_wrapped(d, rank) for d in _sizes(dim)]
    dims = tuple([d + 1 for d in dims if d < rank and shape(x)[d] == 1])
    return wrap(value.squeeze(dims) if dims else value.view_as(value), level)


@rule_for("unsqueeze")
def unsqueeze(level, func, args, kwargs):
    value, x, given = _bound(level, func, args, kwargs)
    return wrap(value.unsqueeze(_moved(given["dim"], ndim(x) + 1)), level)


@rule_for("repeat tile")
def repeat(level, func, args, kwargs):
    value, x, given = _bound(level, func, args, kwargs)
    counts = _sizes(given.get("repeats", given.get("dims")))
    if func.__name__ == "tile":
        counts = (1,) * (ndim(x) - len(counts)) + counts
    if len(counts) < ndim(x):
        return loop(level, func, args, kwargs)
    return wrap(leveled(value, len(counts)).repeat((1, *counts)), level)


@rule_for("as_strided")
def as_strided(level, func, args, kwargs):
    value, x, given = _bound(level, func, args, kwargs)
    offset = given.get("storage_offset")
    return wrap(value.as_strided((level.size, *_sizes(given["size"])), (value.stride(0), *_sizes(given["stride"])),
                                 value.storage_offset() if offset is None else offset), level)


@rule_for("tril triu")
def triangle(level, func, args, kwargs):
    refuse_out(func, kwargs)
    value, x, given = _bound(level, func, args, kwargs)
    given.pop("out", None)
    return wrap(func(value, **given), level) if ndim(x) >= 2 else loop(level, func, args, kwargs)


@rule_for("tril_ triu_")
def triangle_in_place(level, func, args, kwargs):
    refuse_unbatched_self(level, func, args)
    func(args[0]._value, *args[1:], **kwargs)
    return args[0]


# ---- new tensors of given sizes

@rule_for("new_zeros new_ones new_empty new_full")
def new(level, func, args, kwargs):
    value, x, given = _bound(level, func, args, kwargs)
    size = _sizes(given.pop("size"))
    return wrap(func(value, size=(level.size, *size), **given), level)


@rule_for("new_tensor")
def new_tensor(level, func, args, kwargs):
    return _C._call_disabled(func, args, kwargs)


# ---- joins

@rule_for("cat concat concatenate")
def cat(level, func, args, kwargs):
    refuse_out(func, kwargs)
    given = signature_of(func).bind(args, kwargs)
    tensors = list(given["tensors"])
    rank = max([ndim(t) for t in tensors])
    tensors = [t for t in tensors if ndim(t) == rank or shape(t) != (0,)]  # empty vectors may stand anywhere
    dim = given.get("dim", 0)
    if innermost(tensors, ()) is not level:
        return func([t for t in given["tensors"]], dim)
    return wrap(_C.cat([value_of(t, level) for t in tensors], _moved(dim, rank)), level)


@rule_for("stack")
def stack(level, func, args, kwargs):
    refuse_out(func, kwargs)
    given = signature_of(func).bind(args, kwargs)
    tensors = [value_of(t, level) for t in given["tensors"]]
    return wrap(_C.stack(tensors, _moved(given.get("dim", 0), ndim(tensors[0]))), level)


__all__ = ["along", "batched_at"]
