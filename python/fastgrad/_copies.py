"""Forms of view functions that return copies, and the "unsafe" splits, whose parts may be changed in place."""
from . import _C
from ._arguments import done
from ._arguments import wrapped_dim as _wrapped
from ._type_info import contiguous_format

Tensor = _C.Tensor

_VIEWS = ("as_strided", "detach", "diagonal", "expand", "permute", "select", "squeeze", "t", "transpose", "unfold",
          "unsqueeze", "view", "view_as_complex", "view_as_real")
_SPLITS = ("split", "unbind")
METHODS = ("as_strided_scatter", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes")
FUNCTIONS = METHODS + tuple(name + "_copy" for name in (*_VIEWS, *_SPLITS)) + (
    "alias_copy", "slice_copy", "split_with_sizes_copy")


def _copy_of(name):
    view = getattr(Tensor, name, None) or getattr(_C, name)

    def function(input, *args, out=None, **kwargs):
        return done(view(input, *args, **kwargs).clone(memory_format=contiguous_format), out)

    function.__name__ = function.__qualname__ = name + "_copy"
    function.__doc__ = f"Return a copy of what `{name}` returns."
    return function


def _copies_of(name):
    def function(input, *args, out=None, **kwargs):
        parts = tuple([part.clone() for part in getattr(Tensor, name)(input, *args, **kwargs)])
        if out is None:
            return parts
        if len(out) != len(parts):
            raise RuntimeError(f"{name}_copy() expected an out= argument of size {len(parts)}, got size {len(out)}")
        for target, part in zip(out, parts):
            target.resize_(part.shape).copy_(part)
        return None

    function.__name__ = function.__qualname__ = name + "_copy"
    function.__doc__ = f"Return copies of what `{name}` returns."
    return function


for _name in _VIEWS:
    globals()[_name + "_copy"] = _copy_of(_name)
for _name in (*_SPLITS, "split_with_sizes"):
    globals()[_name + "_copy"] = _copies_of(_name)
del _name


def alias_copy(input, *, out=None):
    """Return a copy of the tensor."""
    return done(input.clone(memory_format=contiguous_format), out)


def slice_copy(input, dim=0, start=None, end=None, step=1, *, out=None):
    """Return a copy of a slice along `dim`."""
    key = (slice(None),) * _wrapped(dim, input.dim()) + (slice(start, end, step),)
    return done(input[key].clone(), out)


def as_strided_scatter(input, src, size, stride, storage_offset=None):
    """Return a copy of `input` in which `as_strided(size, stride, storage_offset)` is `src`."""
    offset = input.storage_offset() if storage_offset is None else storage_offset
    # of all the memory: the places count from its beginning, and may lie between the elements of `input`
    memory = input.as_strided((input.untyped_storage().nbytes() // input.element_size(),), (1,), 0).clone()
    memory.as_strided(size, stride, offset).copy_(src)
    return memory.as_strided(input.shape, input.stride(), input.storage_offset())


# ---- parts that may be changed in place, which autograd refuses for several views made at once

def _apart(parts):
    return tuple([part.clone() if _C._is_recorded(part) else part for part in parts])


def unsafe_chunk(input, chunks, dim=0):
    """As `chunk`; where a gradient is recorded the parts are copies, so that they may be changed in place."""
    return _apart(input.chunk(chunks, dim))


def unsafe_split(input, split_size, dim=0):
    """As `split` into parts of one size, changed in place as those of `unsafe_chunk`."""
    return _apart(input.split(split_size, dim))


def unsafe_split_with_sizes(input, split_sizes, dim=0):
    """As `split` into parts of the given sizes, changed in place as those of `unsafe_chunk`."""
    return _apart(input.split(list(split_sizes), dim))
