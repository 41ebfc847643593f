"""Distances of vectors: of pairs, and of all pairs of rows."""
import fastgrad
from fastgrad import _C


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """The cosine of the angle between vectors along a dimension."""
    dtype = fastgrad.promote_types(x1.dtype, x2.dtype)
    if not dtype.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {dtype}")
    x1, x2 = fastgrad.broadcast_tensors(x1.to(dtype), x2.to(dtype))
    x1 = x1 / x1.norm(2, dim, keepdim=True).clamp_min(eps)
    return (x1 * (x2 / x2.norm(2, dim, keepdim=True).clamp_min(eps))).sum(dim)


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """The norm of the difference along the last dimension."""
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


def pdist(input, p=2.0):
    """The p-norm distances of all pairs of rows of (N, M): those of row 0 to the later rows first.

    >>> pdist(fastgrad.tensor([[0., 0.], [3., 4.], [0., 1.]]))
    tensor([5.0000, 1.0000, 4.2426])
    """
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if not input.is_floating_point():
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    rows = input.size(0)
    if rows <= 1:
        return input.reshape(-1)[:0].clone()
    if type(input) is fastgrad.Tensor:
        found = _C._distances(input, input, p, True)
        if found is not None:
            return found
    # A few rows against all later ones at a time: their differences stay in the cache.
    step = max(1, min(rows, (1 << 17) // max(1, input.numel())))
    found = []
    for i in range(0, rows - 1, step):
        block = (input[i:i + step].unsqueeze(1) - input[i:].unsqueeze(0)).norm(p, 2)
        first, second = fastgrad.triu_indices(*block.shape, 1, device=input.device).unbind(0)
        found.append(block[first, second])
    return fastgrad.cat(found)
