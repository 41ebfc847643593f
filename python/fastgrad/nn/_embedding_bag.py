"""Bags of embeddings: sums, means or maxima of rows of a table."""
import fastgrad
from fastgrad import _C

from ._embedding import renorm_rows

Tensor = _C.Tensor


def embedding_bag(input, weight, offsets=None, max_norm=None, norm_type=2, scale_grad_by_freq=False, mode="mean",
                  sparse=False, per_sample_weights=None, include_last_offset=False, padding_idx=None):
    """One row for each bag: the rows of (N, L) are bags, or those of (M,) that start at `offsets`.

    Indices equal to `padding_idx` do not count; an empty bag is 0.

    >>> embedding_bag(fastgrad.tensor([0, 1, 1]), fastgrad.eye(2), fastgrad.tensor([0, 2]), mode="sum")
    tensor([[1., 1.],
            [0., 1.]])
    """
    if per_sample_weights is not None and input.size() != per_sample_weights.size():
        raise ValueError(f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then it must "
                         f"have the same shape as the input ({input.shape})")
    if weight.dim() != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}")
    if not weight.is_floating_point():
        raise RuntimeError(f"embedding_bag: expected a weight of a floating dtype, got {weight.dtype}")
    _check_bags(input, offsets)
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if sparse:
        raise NotImplementedError("embedding_bag: sparse=True is not supported (gradients are dense)")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError("embedding_bag: per_sample_weights was not None. per_sample_weights is only "
                                  f"supported for mode='sum' (got mode='{mode}').")
    if padding_idx is not None:
        if not -weight.size(0) <= padding_idx < weight.size(0):
            raise RuntimeError("padding_idx must be within the number of embeddings")
        padding_idx %= weight.size(0)
    if max_norm is not None:
        renorm_rows(weight, input, max_norm, norm_type)

    if input.dim() == 2:
        bags, width = input.shape
        starts = range(0, bags * width + 1, width) if width else [0] * (bags + 1)
    else:
        starts = offsets.tolist()
        if not include_last_offset:
            starts.append(input.numel())
        _check_offsets(starts, input.numel(), include_last_offset)
    indices = input.reshape(-1)
    if mode != "max" and padding_idx is None and per_sample_weights is None and type(weight) is type(indices) is Tensor:
        places = fastgrad.arange(0, starts.stop, starts.step) if isinstance(starts, range) else fastgrad.tensor(starts)
        sums = _C._bag_sums(weight, indices, places, mode == "mean")
        if sums is not None:
            return sums
    rows = _C.embedding(weight, indices, -1 if padding_idx is None else padding_idx, scale_grad_by_freq)
    kept = None if padding_idx is None else indices != padding_idx
    if mode == "max":
        return _maxima(rows, kept, starts, weight)
    if kept is not None:
        rows = rows.masked_fill(kept.logical_not().unsqueeze(1), 0.0)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    if input.dim() == 2:
        sums = rows.reshape(*input.shape, -1).sum(1)
    else:
        sums = fastgrad.zeros(len(starts) - 1, weight.size(1), dtype=rows.dtype, device=rows.device)
        sums = sums.index_add(0, _bag_numbers(starts, indices), rows)
    return sums if mode == "sum" else sums / _counts(kept, starts, indices, rows).unsqueeze(1)


def _check_bags(input, offsets):
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None, as input is treated is a mini-batch of "
                             f"fixed length sequences. However, found offsets of type {type(offsets)}")
    elif input.dim() == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")


def _check_offsets(starts, count, include_last_offset):
    if include_last_offset and not starts:
        raise RuntimeError("include_last_offset: number of offsets should be at least 1")
    if starts[0] != 0:
        raise RuntimeError("offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
                           f"position 0. However, got {starts[0]}")
    if starts[-1] > count or any(a > b for a, b in zip(starts, starts[1:])):
        raise RuntimeError("offsets[-1] can not be greater than input's length, and offsets must not decrease: got "
                           f"offsets {starts} of {count} indices")


def _bag_numbers(starts, indices):
    """For every index the number of its bag."""
    sizes = fastgrad.tensor([b - a for a, b in zip(starts, starts[1:])], dtype=fastgrad.int64)
    return fastgrad.arange(len(starts) - 1).repeat_interleave(sizes).to(indices.device)


def _counts(kept, starts, indices, rows):
    """How many indices of every bag count, at least 1."""
    if kept is None:
        sizes = [max(b - a, 1) for a, b in zip(starts, starts[1:])]
        return fastgrad.tensor(sizes, dtype=rows.dtype, device=rows.device)
    counts = fastgrad.zeros(len(starts) - 1, dtype=rows.dtype, device=rows.device)
    return counts.index_add(0, _bag_numbers(starts, indices), kept.to(rows.dtype)).clamp_min(1)


def _maxima(rows, kept, starts, weight):
    """The largest of every bag; bags are laid side by side, as long as the longest."""
    sizes = [b - a for a, b in zip(starts, starts[1:])]
    longest = max(sizes, default=0)
    if longest == 0:
        return fastgrad.zeros(len(sizes), weight.size(1), dtype=rows.dtype, device=rows.device) + rows.sum() * 0
    steps = fastgrad.arange(longest)
    sizes = fastgrad.tensor(sizes, dtype=fastgrad.int64).unsqueeze(1)
    places = fastgrad.tensor(starts[:-1], dtype=fastgrad.int64).unsqueeze(1) + steps
    counts, places = (steps < sizes).to(rows.device), places.clamp_max(rows.size(0) - 1).to(rows.device)
    if kept is not None:
        counts = counts & kept[places]
    candidates = rows[places].masked_fill(counts.logical_not().unsqueeze(2), -fastgrad.inf)
    return candidates.max(1)[0].masked_fill(counts.any(1).logical_not().unsqueeze(1), 0.0)
