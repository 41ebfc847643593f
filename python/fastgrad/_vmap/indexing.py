"""Rules of indexing, gathering and scattering."""
from .. import _C
from .arguments import signature_of
from .batched import DataDependent, Tensor, is_batched, leveled, ndim, rule, rule_for, shape, value_of, wrap
from .loop import loop, refuse_out, refuse_unbatched_self
from .shapes import _moved, _wrapped


def _is_index(item):
    """Whether a part of a key is an advanced index."""
    return isinstance(item, (Tensor, list, range)) or hasattr(item, "__array__") and hasattr(item, "ndim")


def _is_mask(t):
    return t.dtype in (_C.bool, _C.uint8)


def _as_tensor(item):
    return item if isinstance(item, Tensor) else _C.tensor(item)


@rule(Tensor.__getitem__)
def getitem(level, func, args, kwargs):
    x, key = args
    items = key if isinstance(key, tuple) else (key,)
    advanced = [item for item in items if _is_index(item)]
    if any([isinstance(item, bool) for item in items]):
        return loop(level, func, args, kwargs)
    if not advanced:
        return wrap(x._value[(slice(None), *items)], level)
    items = tuple([_as_tensor(item) if _is_index(item) else item for item in items])
    if any([isinstance(item, Tensor) and _is_mask(item) and is_batched(item, level) for item in items]):
        raise RuntimeError("vmap: We do not support batching operators that can support dynamic shape. Attempting to "
                           "batch over indexing with a boolean mask.")
    if not is_batched(x, level) and ndim(x) == 0:
        return loop(level, func, args, kwargs)
    return wrap(_advanced(level, x, _without_masks(items)), level)


def _without_masks(items):
    """A mask that all examples share is as many index vectors as it has dimensions."""
    found = []
    for item in items:
        found.extend(item.nonzero(as_tuple=True) if isinstance(item, Tensor) and _is_mask(item) else (item,))
    return found


def _advanced(level, x, items):
    """x[items] for all examples: their own number is one more index in front."""
    rank = ndim(x)
    used = sum([item is not None and item is not Ellipsis for item in items])
    if Ellipsis in [item for item in items if not isinstance(item, Tensor)]:
        at = next(i for i, item in enumerate(items) if item is Ellipsis)
        items[at:at + 1] = [slice(None)] * (rank - used)
    indices = [item for item in items if isinstance(item, Tensor)]
    width = max([ndim(t) for t in indices])
    # Numbers and new dimensions first, as a view; what remains are slices and indices.
    view = tuple([slice(None) if isinstance(item, Tensor) else item for item in items])
    kept = [item for item in items if not isinstance(item, int)]
    places = [i for i, item in enumerate(kept) if isinstance(item, Tensor)]
    together = places == list(range(places[0], places[-1] + 1))
    values = [leveled(t._value, width) if is_batched(t, level) else t for t in indices]
    if not is_batched(x, level):
        parts = x[view]
        key = [slice(None)] * len(kept)
        for place, value in zip(places, values):
            key[place] = value
        out = parts[tuple(key)]
        # The batch comes first in the indices' dimensions, which stand in front or at the first index.
        if any([is_batched(t, level) for t in indices]):
            front = places[0] if together else 0
            out = out.movedim(front, 0) if front else out
            return _placed(out, width, places[0] if together else 0, front)
        return out.unsqueeze(0).expand(level.size, *out.shape)
    parts = x._value[(slice(None), *view)]
    examples = _C.arange(level.size, device=parts.device).reshape(-1, *(1,) * width)
    key = [examples] + [slice(None)] * len(kept)
    for place, value in zip(places, values):
        key[place + 1] = value
    out = parts[tuple(key)]  # (B, indices, other dimensions) in any case: the first index is at dimension 0
    return _placed(out, width, places[0] if together else 0, 0)


def _placed(out, width, before, at):
    """(B, dimensions of the indices at `at`, rest) with those dimensions behind `before` others."""
    if before == at or not width:
        return out
    return out.movedim(tuple(range(1 + at, 1 + at + width)), tuple(range(1 + before, 1 + before + width)))


@rule(Tensor.__setitem__)
def setitem(level, func, args, kwargs):
    x, key, value = args
    if not is_batched(x, level):
        refuse_unbatched_self(level, func, args)
    items = key if isinstance(key, tuple) else (key,)
    masks = [item for item in items if isinstance(item, Tensor) and _is_mask(item)]
    if len(items) == 1 and masks and not isinstance(value, Tensor) and ndim(masks[0]) <= ndim(x):
        mask = masks[0]
        x.masked_fill_(mask.reshape((*shape(mask), *(1,) * (ndim(x) - ndim(mask)))), value)
        return None
    if any([_is_index(item) or isinstance(item, bool) for item in items]):
        return loop(level, func, args, kwargs)
    part = x._value[(slice(None), *items)]
    if not isinstance(value, Tensor):
        x._value[(slice(None), *items)] = value
        return None
    rank = ndim(part) - 1
    if is_batched(value, level):
        while ndim(value) > rank and shape(value)[0] == 1:
            value = value.squeeze(0)
        value = leveled(value._value, rank)
    part.copy_(value)
    return None


@rule_for("index_select")
def index_select(level, func, args, kwargs):
    refuse_out(func, kwargs)
    given = signature_of(func).bind(args, kwargs)
    x, dim, index = given["input"], given["dim"], given["index"]
    if ndim(x) == 0 or ndim(index) != 1:
        return loop(level, func, args, kwargs)
    dim = _wrapped(dim, ndim(x))
    if not is_batched(index, level):
        return wrap(func(x._value, dim + 1, index), level)
    return x[(slice(None),) * dim + (index,)]


@rule_for("take_along_dim")
def take_along_dim(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    x, index, dim = given["input"], given["indices"], given.get("dim")
    if dim is None or ndim(x) != ndim(index):
        return loop(level, func, args, kwargs)
    return wrap(func(value_of(x, level), value_of(index, level), _moved(dim, ndim(x))), level)


@rule_for("embedding")
def embedding(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    if is_batched(given["weight"], level):
        if given.get("padding_idx", -1) != -1 or given.get("scale_grad_by_freq"):
            return loop(level, func, args, kwargs)
        return given["weight"][given["indices"]]
    given["indices"] = given["indices"]._value
    return wrap(func(**given), level)


@rule_for("take")
def take(level, func, args, kwargs):
    x, index = args
    if ndim(x) == 0:
        return loop(level, func, args, kwargs)
    return x.reshape(-1)[index]


@rule_for("nonzero argwhere")
def nonzero(level, func, args, kwargs):
    raise RuntimeError("vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap "
                       f"over {func.__name__}.")


@rule_for("masked_select")
def masked_select(level, func, args, kwargs):
    raise RuntimeError("vmap: Attempted to vmap over `mask` in torch.masked_select(self, mask) We cannot support this "
                       "because for each batch this would return a differently shaped Tensor.")


# ---- what asks for the value of one example

_ITEM = ("vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a "
         "Tensor, please try to rewrite what you're doing with other operations.")
_FLOW = ("vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't support "
         "that yet.")


@rule_for("item __int__ __float__ __index__ __complex__ tolist")
def item(level, func, args, kwargs):
    raise DataDependent(_ITEM)


@rule_for("__bool__")
def truth(level, func, args, kwargs):
    raise DataDependent(_FLOW)


@rule_for("numpy __array__ data_ptr __dlpack__ __dlpack_device__ storage untyped_storage")
def memory(level, func, args, kwargs):
    raise DataDependent("Cannot access data pointer of Tensor that doesn't have storage")

