"""Writing to places of a tensor given by masks and indices: masked_scatter, put, index_reduce."""
from . import _C
from ._arguments import done, in_place
from ._arguments import wrapped_dim as _wrapped
from ._compose import broadcast_shapes

METHODS = ("index_reduce", "index_reduce_", "masked_scatter", "masked_scatter_", "put", "put_")
FUNCTIONS = ("index_reduce", "masked_scatter", "put")


def masked_scatter(input, mask, source):
    """Return a copy of `input` in which the places of `mask` hold the first elements of `source`.

    >>> masked_scatter(fastgrad.zeros(3), fastgrad.tensor([True, False, True]), fastgrad.tensor([1., 2.]))
    tensor([1., 0., 2.])
    """
    if mask.dtype != _C.bool:
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype}")
    if source.dtype != input.dtype:
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got {input.dtype} and "
                           f"{source.dtype}")
    shape = broadcast_shapes(input.shape, mask.shape)
    input, mask = input.expand(shape).contiguous(), mask.expand(shape).contiguous()
    places = mask.reshape(-1).nonzero().reshape(-1)
    count = places.shape[0]
    if count > source.numel():
        raise RuntimeError("masked_scatter: Number of elements of source < number of ones in mask")
    return input.reshape(-1).index_put((places,), source.reshape(-1)[:count]).reshape(shape)


def put(input, index, source, accumulate=False):
    """Return a copy of `input` with the elements of `source` at the flat positions `index`, or added there."""
    if index.dtype != _C.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {index.dtype}")
    if source.dtype != input.dtype:
        raise RuntimeError("put_(): self and source expected to have the same dtype, but got self.dtype = "
                           f"{input.dtype} and source.dtype = {source.dtype}")
    if source.numel() != index.numel():
        raise IndexError("put_(): Expected source and index to have the same number of elements, but got "
                         f"source.numel() = {source.numel()}, index.numel() = {index.numel()}")
    flat = input.reshape(-1).index_put((index.reshape(-1),), source.reshape(-1), accumulate)
    result = flat.reshape(input.shape)
    return result if input.is_contiguous() else _C.empty_like(input).copy_(result)  # in the input's layout


_REDUCTIONS = ("prod", "mean", "amax", "amin")


def index_reduce(input, dim, index, source, reduce, *, include_self=True, out=None):
    """Return `input` with the slices of `source` taken in at `index` along `dim` by prod, mean, amax or amin."""
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    if index.dim() > 1:
        raise IndexError(f"index_reduce_(): Index is supposed to be a vector, but got dim: {index.dim()}")
    dim = _wrapped(dim, input.dim())
    if source.dtype != input.dtype:
        raise RuntimeError("index_reduce_(): self and source expected to have the same dtype, but got (self) "
                           f"{input.dtype} and (source) {source.dtype}")
    index = index.reshape(-1)
    length = source.shape[dim] if source.dim() else 1
    if index.numel() != length:
        raise RuntimeError(f"index_reduce_(): Number of indices ({index.numel()}) should be equal to source.size(dim): "
                           f"({length}), for dim: {dim}")
    if [n for d, n in enumerate(input.shape) if d != dim] != [n for d, n in enumerate(source.shape) if d != dim] or (
            source.dim() != input.dim()):
        raise RuntimeError("source tensor shape must match self tensor shape, excluding the specified dimension. Got "
                           f"self.shape = {list(input.shape)} source.shape = {list(source.shape)}")
    if input.dim() > 1:
        shape = [1] * input.dim()
        shape[dim] = -1
        index = index.reshape(shape).expand(source.shape)
    elif source.dim() == 0:
        source = source.reshape(1)
    return done(input.scatter_reduce(dim, index.to(_C.int64), source, reduce, include_self=include_self), out)


masked_scatter_ = in_place(masked_scatter)
put_ = in_place(put)
index_reduce_ = in_place(index_reduce)
