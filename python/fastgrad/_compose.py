"""Functions on shapes that are compositions of native views and joins: their gradients come with the parts."""
from . import _C, _type_info
from ._arguments import done
from ._arguments import wrapped_dim as _wrapped

Tensor = _C.Tensor

METHODS = ("broadcast_tensors", "diag", "diag_embed", "diagflat", "dsplit", "fliplr", "flipud", "hsplit",
           "narrow_copy", "repeat_interleave", "resize_", "resize_as_", "rot90", "select_scatter", "slice_scatter",
           "diagonal_scatter", "tensor_split", "trace", "vsplit", "as_strided_")
FUNCTIONS = tuple([name for name in METHODS if name[-1] != "_"]) + (
    "as_strided_", "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_shapes", "cartesian_prod",
    "column_stack", "combinations", "dstack", "fill", "hstack", "meshgrid", "resize_as_", "row_stack", "tril_indices",
    "triu_indices", "vstack")


def _sequence(tensors):
    """The tensors of `f(a, b)` and of `f((a, b))`."""
    return tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors


# ---- broadcasting

def broadcast_shapes(*shapes):
    """Return the shape that tensors of these shapes broadcast to.

    >>> broadcast_shapes((2, 1), (3,))
    torch.Size([2, 3])
    """
    from ._size import Size
    shapes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    result = [1] * max(map(len, shapes), default=0)
    for k, shape in enumerate(shapes):
        for i in range(-1, -1 - len(shape), -1):
            if shape[i] < 0:
                raise RuntimeError(f"Trying to create tensor with negative dimension ({shape[i]}): ({shape[i]})")
            if shape[i] == 1 or shape[i] == result[i]:
                continue
            if result[i] != 1:
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {shape[i]} at {i}! Mismatching argument at index "
                    f"{k} had {shape}; but expected shape should be broadcastable to {result}")
            result[i] = shape[i]
    return Size(result)


def broadcast_tensors(*tensors):
    """Return the tensors expanded to their common shape."""
    tensors = _sequence(tensors)
    shape = list(tensors[0].shape) if tensors else []
    for t in tensors:  # the words of a failing operation, so that the error is the same
        lead = len(t.shape) - len(shape)
        shape = [1] * lead + shape
        for i, size in enumerate(reversed(t.shape), 1):
            if shape[-i] == 1:
                shape[-i] = size
            elif size != 1 and size != shape[-i]:
                raise RuntimeError(
                    f"The size of tensor a ({shape[-i]}) must match the size of tensor b ({size}) at non-singleton "
                    f"dimension {len(shape) - i}")
    return tuple([t if list(t.shape) == shape else t.expand(shape) for t in tensors])


def meshgrid(*tensors, indexing=None):
    """Return coordinate tensors, one for each vector; indexing: "ij" (the default) or "xy".

    >>> [g.tolist() for g in meshgrid(fastgrad.arange(2), fastgrad.arange(2), indexing="ij")]
    [[[0, 0], [1, 1]], [[0, 1], [0, 1]]]
    """
    tensors = _sequence(tensors)
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for t in tensors:
        if t.dim() > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {t.dim()}")
        if t.dtype != tensors[0].dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    shape = [t.numel() for t in tensors]
    grids = [t.reshape([-1 if i == j else 1 for j in range(len(shape))]).expand(shape)
             for i, t in enumerate(tensors)]
    if indexing == "xy" and len(tensors) > 1:
        grids = [g.swapaxes(0, 1) for g in grids]
    return tuple(grids)


# ---- joining

def _each(function, tensors):
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return function(tensors[0])
    return tuple([function(t) for t in _sequence(tensors)])


def atleast_1d(*tensors):
    """Return each tensor with at least one dimension."""
    return _each(lambda t: t.reshape(1) if t.dim() == 0 else t, tensors)


def atleast_2d(*tensors):
    """Return each tensor with at least two dimensions, new ones in front."""
    return _each(lambda t: t.reshape(1, -1) if t.dim() == 0 else t.unsqueeze(0) if t.dim() == 1 else t, tensors)


def atleast_3d(*tensors):
    """Return each tensor with at least three dimensions: (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1)."""
    def grow(t):
        if t.dim() == 0:
            return t.reshape(1, 1, 1)
        if t.dim() == 1:
            return t.unsqueeze(0).unsqueeze(-1)
        return t.unsqueeze(-1) if t.dim() == 2 else t
    return _each(grow, tensors)


def _stacked(name, tensors, grow, dim, out):
    tensors = tuple(tensors)
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    tensors = tuple([grow(t) for t in tensors])
    dim = dim(tensors[0])
    return _C.cat(tensors, dim) if out is None else _C.cat(tensors, dim, out=out)


def hstack(tensors, *, out=None):
    """Join tensors along their second dimension, vectors along their only one."""
    return _stacked("hstack", tensors, atleast_1d, lambda first: 0 if first.dim() == 1 else 1, out)


def vstack(tensors, *, out=None):
    """Join tensors along their first dimension, vectors as rows."""
    return _stacked("vstack", tensors, atleast_2d, lambda first: 0, out)


row_stack = vstack


def dstack(tensors, *, out=None):
    """Join tensors along their third dimension."""
    return _stacked("dstack", tensors, atleast_3d, lambda first: 2, out)


def column_stack(tensors, *, out=None):
    """Join tensors along their second dimension, vectors as columns."""
    return _stacked("column_stack", tensors, lambda t: t.reshape(t.numel(), 1) if t.dim() <= 1 else t,
                    lambda first: 1, out)


def block_diag(*tensors):
    """Return a matrix with the given matrices along its diagonal."""
    blocks = []
    for i, t in enumerate(tensors):
        if t.dim() > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {t.dim()} dimensions")
        blocks.append(atleast_2d(t))
    width = sum(b.shape[1] for b in blocks)
    kind = None
    for t in tensors:  # numbers count less, as in an elementwise op
        one = t.new_empty((0,) * min(t.dim(), 1))
        kind = one if kind is None else kind + one
    rows, at = [], 0
    for b in (b.to(kind.dtype) for b in blocks):
        row = [b.new_zeros((b.shape[0], at)), b, b.new_zeros((b.shape[0], width - at - b.shape[1]))]
        rows.append(_C.cat(row, 1))
        at += b.shape[1]
    return _C.cat(rows, 0)


# ---- splitting

def tensor_split(input, indices_or_sections, dim=0):
    """Return views cut at the given indices, or into a number of nearly equal parts."""
    if input.dim() == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = _wrapped(dim, input.dim())
    size = input.shape[dim]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        if n <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {n}")
        if n > max(size, 1 << 20):
            raise RuntimeError(f"tensor_split: {n} sections of a dimension of size {size} are nearly all empty")
        small, extra = divmod(size, n)
        ends = [i * small + min(i, extra) for i in range(1, n)]
    else:
        ends = [int(i) for i in indices_or_sections]
    parts, start = [], 0
    for end in [*ends, size]:
        first, last = (min(size, max(0, i + size if i < 0 else i)) for i in (start, end))
        parts.append(input.narrow(dim, first, max(0, last - first)))
        start = end
    return tuple(parts)


def _split_along(name, input, by, dim, least):
    if input.dim() < least:
        raise RuntimeError(f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor with "
                           f"{input.dim()} dimensions!")
    if isinstance(by, int) and (by == 0 or input.shape[dim] % by):
        raise RuntimeError(
            f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {input.shape[dim]} "
            f"is not divisible by the split_size {by}!")
    return tensor_split(input, by, dim)


def hsplit(input, indices_or_sections):
    """Return views cut along the second dimension, of a vector along its only one."""
    return _split_along("hsplit", input, indices_or_sections, 0 if input.dim() == 1 else 1, 1)


def vsplit(input, indices_or_sections):
    """Return views cut along the first dimension."""
    return _split_along("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input, indices_or_sections):
    """Return views cut along the third dimension."""
    return _split_along("dsplit", input, indices_or_sections, 2, 3)


# ---- diagonals

def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """Return a tensor whose diagonals over dim1 and dim2 are the last dimension of `input`."""
    n = input.dim() + 1
    dim1, dim2 = _wrapped(dim1, n), _wrapped(dim2, n)
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    length = input.shape[-1]
    side = length + abs(offset)
    shape = list(input.shape[:-1])
    for d in sorted((dim1, dim2)):
        shape.insert(d, side)
    result = input.new_zeros(shape)
    result.diagonal(offset, dim1, dim2).copy_(input)
    return result


def diag(input, diagonal=0, *, out=None):
    """Return the diagonal of a matrix, or the matrix with a vector on its diagonal."""
    if input.dim() not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.dim()}D")
    if input.dim() == 1:
        return done(diag_embed(input, diagonal), out)
    return done(input.diagonal(diagonal).clone(memory_format=_type_info.contiguous_format), out)


def diagflat(input, offset=0):
    """Return a matrix with all elements of `input` on its diagonal."""
    return diag_embed(input.reshape(-1), offset)


def trace(input):
    """Return the sum of the diagonal of a matrix."""
    if input.dim() != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.dim()}")
    return input.diagonal().sum()


# ---- a copy with a part replaced

def _scattered(input, src, part):
    """A copy of `input`, with its strides, of which a part is `src`."""
    result = input.clone()
    if result.stride() != input.stride() and 0 not in input.stride():
        result = input.new_empty_strided(input.shape, input.stride()).copy_(input)
    view = part(result)
    if view.shape != src.shape:
        raise RuntimeError("expected src to have a size equal to the slice of self. src size = "
                           f"{list(src.shape)}, slice size = {list(view.shape)}")
    view.copy_(src)
    return result


def select_scatter(input, src, dim, index):
    """Return a copy of `input` in which `select(dim, index)` is `src`."""
    return _scattered(input, src, lambda t: t.select(dim, index))


def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    """Return a copy of `input` in which a slice along `dim` is `src`."""
    index = (slice(None),) * _wrapped(dim, input.dim()) + (slice(start, end, step),)
    return _scattered(input, src, lambda t: t[index])


def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    """Return a copy of `input` in which a diagonal is `src`."""
    return _scattered(input, src, lambda t: t.diagonal(offset, dim1, dim2))


# ---- reordering and repeating

def narrow_copy(input, dim, start, length):
    """Return a copy of `narrow(dim, start, length)`."""
    return input.narrow(dim, start, length).clone()


def fliplr(input):
    """Return the columns of a matrix in reverse order."""
    if input.dim() < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return input.flip(1)


def flipud(input):
    """Return the rows of a tensor in reverse order."""
    if input.dim() < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return input.flip(0)


def rot90(input, k=1, dims=(0, 1)):
    """Return the tensor turned k times by 90 degrees in the plane of two dimensions."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.dim() < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.dim()}")
    a, b = (_wrapped(d, input.dim()) for d in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if 0 in input.stride():
        input = input.clone()
    if k == 1:
        return input.transpose(a, b).flip(a)  # flipped last, the result is no view
    if k == 2:
        return input.flip((a, b))
    if k == 3:
        return input.transpose(a, b).flip(b)
    return input.clone()


def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Return each element, or each slice along `dim`, repeated in place; repeats: a number or one for each.

    >>> repeat_interleave(fastgrad.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    if repeats is None:  # a vector of counts gives the indices
        return _repeated_places(input, output_size)
    if dim is None:
        input, dim = input.reshape(-1), 0
    dim = _wrapped(dim, input.dim())
    if isinstance(repeats, (list, tuple)):
        repeats = _C.tensor(repeats)
    if isinstance(repeats, Tensor) and repeats.numel() == 1:
        repeats = int(repeats)
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        shape = list(input.shape)
        wide = input.unsqueeze(dim + 1).expand(*shape[:dim + 1], repeats, *shape[dim + 1:])
        shape[dim] *= repeats
        if output_size is not None and output_size != shape[dim]:
            raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {shape[dim]} but got {output_size}")
        return wide.clone(memory_format=_type_info.contiguous_format).view(shape)
    if repeats.dim() != 1 or repeats.numel() != input.shape[dim]:
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {repeats.numel()} and "
            f"input.size(0) = {input.shape[dim]}")
    return input.index_select(dim, _repeated_places(repeats, output_size).to(input.device))


def _repeated_places(counts, size=None):
    """The numbers 0, 1, 2 ..., each as often as `counts` says; `size`: how many there must be."""
    if counts.dim() != 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if counts.dtype not in (_C.int64, _C.int32):
        kind = counts.type().rsplit(".", 1)[1].removesuffix("Tensor")
        raise NotImplementedError(f"\"repeat_interleave_cpu\" not implemented for '{kind}'")
    wide = counts.to(_C.int64)
    if bool((wide < 0).any()):
        raise RuntimeError("repeats can not be negative")
    if float(wide.sum(dtype=_C.float64)) >= 1 << 62:
        raise RuntimeError("repeat_interleave: the repeats add up to more elements than there can be")
    ends = wide.cumsum(0)
    total = int(ends[-1]) if ends.numel() else 0
    if size is not None and size != total:
        raise RuntimeError("allocated size does not match required size")
    steps = _C.zeros(total + 1, dtype=_C.int64, device=counts.device)  # the ends of the runs
    return steps.scatter_add_(0, ends, _C.ones_like(ends)).cumsum(0)[:total].to(counts.dtype)


def cartesian_prod(*tensors):
    """Return all choices of one element from each vector, as rows."""
    tensors = _sequence(tensors)
    for t in tensors:
        if t.dim() != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return _C.stack([g.reshape(-1) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input, r=2, with_replacement=False):
    """Return all choices of r elements of a vector, as rows."""
    if input.dim() != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    import itertools
    import math
    n = input.numel()
    rows = math.comb(n + r - 1, min(r, n - 1)) if with_replacement and n and r else math.comb(n, r)
    if rows * r >= 1 << 40:
        raise RuntimeError(f"combinations: {rows} rows of {r} elements do not fit any memory")
    if not rows:
        return input.new_empty((0, r))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.numel()), r))
    if r == 0:
        return input.new_empty((0,))
    return input[_C.tensor(rows, dtype=_C.int64, device=input.device).reshape(-1, r)]


def tril_indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
    """Return the indices of the lower triangle of a matrix, as (2, n)."""
    return _triangle_indices(row, col, offset, True, dtype, device)


def triu_indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
    """Return the indices of the upper triangle of a matrix, as (2, n)."""
    return _triangle_indices(row, col, offset, False, dtype, device)


def _triangle_indices(row, col, offset, lower, dtype, device):
    if row < 0 or col < 0:
        raise RuntimeError(f"{'row' if row < 0 else 'col'} must be non-negative, got{row if row < 0 else col}")
    first = max(-row, min(offset, col)) + lower
    if row + first >= 1 << 62:
        raise RuntimeError(f"the indices of a triangle of {row} x {col} do not fit any memory")
    rows = _C.arange(row if col else 0, device=device)
    bounds = (rows + first).clamp(0, col)  # the first column to the right of the lower
    lengths = bounds if lower else col - bounds
    at = _repeated_places(lengths)
    firsts = lengths.cumsum(0) - lengths
    if not lower:
        firsts = firsts - bounds
    columns = _C.arange(at.numel(), device=device) - firsts[at]
    return _C.stack((at, columns)).to(dtype or _C.int64)


def fill(input, value):
    """Return a tensor like the input with all elements equal to `value`, a number or a 0-d tensor.

    >>> fill(fastgrad.zeros(2), 3.5)
    tensor([3.5000, 3.5000])
    """
    return input.clone().fill_(value)


# ---- the shape of a tensor itself

def _reshaped_in_place(self, view, name):
    """Makes `self` the given view of itself; only where no history has to follow."""
    if self.grad_fn is not None:
        raise RuntimeError(f"{name}: not supported for a tensor with history; use the form that returns")
    self.data = view
    return self


def as_strided_(self, size, stride, storage_offset=None):
    """Give the tensor another shape and other strides over its memory, in place."""
    _C._check_inplace(self)
    offset = self.storage_offset() if storage_offset is None else storage_offset
    return _reshaped_in_place(self, self.data.as_strided(size, stride, offset), "as_strided_")


def resize_(self, *sizes, memory_format=None):
    """Change the shape in place, keeping the elements in memory order; new ones are not initialised."""
    sizes = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    count = 1
    for size in sizes:
        count *= size
    held = self._storage_nbytes() // self.element_size() - self.storage_offset()
    if count <= held:
        return _reshaped_in_place(self, self.data.as_strided((count,), (1,)).view(sizes), "resize_")
    new = self.new_empty((count,))
    new.narrow(0, 0, held).copy_(self.data.as_strided((held,), (1,)))
    return _reshaped_in_place(self, new.view(sizes), "resize_")


def resize_as_(self, the_template, memory_format=None):
    """Change the shape in place to that of another tensor."""
    return resize_(self, the_template.shape)
