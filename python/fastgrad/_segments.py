"""Reductions of consecutive segments of a tensor: segment_reduce."""
import math

from . import _C

_NAMES = {"sum": "sum", "mean": "mean", "prod": "prod", "max": "amax", "amax": "amax", "min": "amin", "amin": "amin"}
_EMPTY = {"sum": 0.0, "mean": math.nan, "prod": 1.0, "amax": -math.inf, "amin": math.inf}


def segment_reduce(data, reduce, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None):
    """Reduce segments of `data` along `axis` by sum, mean, max, min or prod.

    lengths: of the segments, shape data.shape[:axis] + (segments,); or offsets, where they begin, and at last the end.
    unsafe: the lengths are not checked. initial: takes part in each segment.

    >>> segment_reduce(fastgrad.tensor([1., 2., 3.]), "sum", lengths=fastgrad.tensor([2, 1]))
    tensor([3., 3.])
    """
    if reduce not in _NAMES:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    reduce = _NAMES[reduce]
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    if not data.dtype.is_floating_point:
        raise NotImplementedError(f"\"segment_reduce\" not implemented for '{data.dtype}'")
    given, name = (lengths, "lengths") if offsets is None else (offsets, "offsets")
    if given.dtype not in (_C.int32, _C.int64):
        raise NotImplementedError(f"\"segment_reduce\" not implemented for {name} of type '{given.dtype}'")
    axis = axis + data.dim() if axis < 0 else axis
    if axis != given.dim() - 1:
        raise RuntimeError(f"segment_reduce(): Expected axis to be the last dimension of {name} but got {axis}.")
    if given.shape[:axis] != data.shape[:axis]:
        raise RuntimeError(f"segment_reduce(): Expected {name} and data to have the same shape before axis {axis}, got "
                           f"{list(given.shape)} and {list(data.shape)}")
    if offsets is None:
        if not unsafe:
            if lengths.numel() and int(lengths.min()) < 0:
                raise RuntimeError("lengths contains negative value!")
            if (lengths.sum(-1) != data.shape[axis]).any():
                raise RuntimeError("segment_reduce(): Expected all rows of lengths along axis to sum to "
                                   "data.size(lengths.dim()-1) when !unsafe.")
        offsets = _C.cat([lengths.new_zeros(*given.shape[:-1], 1), lengths.cumsum(-1)], -1)
    return _reduced(data, reduce, offsets.to(_C.int64), axis, initial)


def _reduced(data, reduce, offsets, axis, initial):
    """Rows are spread over one target more at both ends, for what lies before the first and after the last segment."""
    count = offsets.shape[-1] - 1
    places = _C.arange(data.shape[axis], device=data.device).expand(data.shape[:axis + 1])
    target = _C.searchsorted(offsets.contiguous(), places.contiguous(), right=True)
    tail = data.shape[axis + 1:]
    target = target.reshape(*target.shape, *[1] * len(tail)).expand(data.shape)
    extreme = reduce in ("amax", "amin")
    start = _EMPTY[reduce] if initial is None or extreme else initial
    start = 0.0 if reduce == "mean" and initial is None else start
    base = _C.full((*data.shape[:axis], count + 2, *tail), start, dtype=data.dtype, device=data.device)
    out = base.scatter_reduce(axis, target, data, "sum" if reduce == "mean" else reduce).narrow(axis, 1, count)
    if extreme and initial is not None:  # an element that equals it keeps the whole gradient
        return _C.where(out < initial if reduce == "amax" else out > initial, initial, out)
    if reduce != "mean":
        return out
    sizes = (offsets[..., 1:] - offsets[..., :-1]).reshape(*offsets.shape[:-1], count, *[1] * len(tail))
    mean = out / sizes.clamp(min=1).to(data.dtype)
    return mean if initial is not None else mean.masked_fill(sizes == 0, math.nan)
