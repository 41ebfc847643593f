"""Products that are compositions of matmul: inner products, tensordot, kron, distances; einsum is in `_einsum.py`."""
from . import _C
from ._arguments import done, in_place
from ._arguments import wrapped_dim as _wrapped
from ._compose import broadcast_tensors
from ._einsum import einsum as einsum

Tensor = _C.Tensor

class _LinAlgError(RuntimeError):
    """A matrix that an operation cannot take: singular, not positive definite."""

    __module__ = "torch._C"


LinAlgError = _C._LinAlgError = _LinAlgError

METHODS = ("addbmm", "cross", "ger", "inner", "kron", "matrix_power", "vdot", "addbmm_")
FUNCTIONS = METHODS[:-1] + ("cdist", "chain_matmul", "einsum", "tensordot")

# Factorisations are in linalg, which is imported (with NumPy) at the first call of one of them.
LAZY_METHODS = ("cholesky", "cholesky_inverse", "cholesky_solve", "det", "geqrf", "inverse", "logdet", "lu", "lu_solve",
                "matrix_exp", "orgqr", "ormqr", "pinverse", "qr", "slogdet", "svd", "triangular_solve")


def _later(name):
    def method(self, *args, **kwargs):
        from .linalg import _old
        return getattr(_old, name)(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Return `fastgrad.{name}` of this tensor."
    return method


def ger(input, vec2, *, out=None):
    """Return the outer product of two vectors."""
    return _C.outer(input, vec2) if out is None else _C.outer(input, vec2, out=out)


def vdot(input, other, *, out=None):
    """Return the inner product of two vectors."""
    return done(_C.dot(input.conj(), other), out)


def inner(input, other, *, out=None):
    """Return the sums of products over the last dimensions."""
    if input.dim() == 0 or other.dim() == 0:
        return done(input * other, out)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(input.shape)} and "
            f"{list(other.shape)}")
    return done(tensordot(input, other, ([-1], [-1])), out)


def tensordot(a, b, dims=2, out=None):
    """Return the sum of products over several dimensions.

    dims: how many of the last of `a` and first of `b`, or one list of dimensions for each.

    >>> tensordot(fastgrad.ones(2, 3), fastgrad.ones(3), 1)
    tensor([3., 3.])
    """
    if a.dtype != b.dtype:
        raise RuntimeError("both inputs should have same dtype")
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        of_a, of_b = list(range(a.dim() - dims, a.dim())), list(range(dims))
    else:
        of_a, of_b = dims
        of_a = [of_a] if isinstance(of_a, int) else list(of_a)
        of_b = [of_b] if isinstance(of_b, int) else list(of_b)
    if len(of_a) != len(of_b):
        raise RuntimeError(
            f"both dimension lists should have same length, got {len(of_a)} and {len(of_b)}")
    of_a = [_wrapped(d, a.dim()) for d in of_a]
    of_b = [_wrapped(d, b.dim()) for d in of_b]
    for i, j in zip(of_a, of_b):
        n, m = a.shape[i], b.shape[j]
        if n == m:
            continue
        if m == 1:  # broadcast: the other side is summed first
            a = a.sum(i, True, dtype=a.dtype)
        elif n == 1:
            b = b.sum(j, True, dtype=b.dtype)
        else:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {n} in dim {i} and second has size {m} in "
                f"dim {j}")
    rest_a = [d for d in range(a.dim()) if d not in of_a]
    rest_b = [d for d in range(b.dim()) if d not in of_b]
    count = 1
    for d in of_a:
        count *= a.shape[d]
    shape = [*(a.shape[d] for d in rest_a), *(b.shape[d] for d in rest_b)]
    rows = columns = 1
    for d in rest_a:
        rows *= a.shape[d]
    for d in rest_b:
        columns *= b.shape[d]
    left = a.permute(*rest_a, *of_a).reshape(rows, count) if a.dim() else a.reshape(1, 1)
    right = b.permute(*of_b, *rest_b).reshape(count, columns) if b.dim() else b.reshape(1, 1)
    return done(_C.mm(left, right).reshape(shape), out)


def kron(input, other, *, out=None):
    """Return the Kronecker product."""
    n = max(input.dim(), other.dim())
    a = [1] * (n - input.dim()) + list(input.shape)
    b = [1] * (n - other.dim()) + list(other.shape)
    left = input.reshape([size for k in a for size in (k, 1)])
    right = other.reshape([size for k in b for size in (1, k)])
    return done((left * right).reshape([i * j for i, j in zip(a, b)]), out)


def cross(input, other, dim=None, *, out=None):
    """Return the cross product of vectors of 3 elements along `dim`, by default the first dimension of size 3."""
    if input.dim() != other.dim():
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if input.dtype != other.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype} but found {other.dtype}")
    a, b = broadcast_tensors(input, other)
    if dim is None:
        dim = next((d for d, size in enumerate(a.shape) if size == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    dim = _wrapped(dim, a.dim())
    if a.shape[dim] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[dim]} and {other.shape[dim]}")
    result = a.roll(-1, dim) * b.roll(-2, dim) - a.roll(-2, dim) * b.roll(-1, dim)
    return done(result, out)


def addbmm(input, batch1, batch2, *, beta=1, alpha=1, out=None):
    """Return beta * input + alpha * the sum of the products of two batches of matrices."""
    input = _C._autocast_lower(input)
    product = alpha * _C.bmm(batch1, batch2).sum(0)
    if input.dtype != product.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {input.dtype} and {product.dtype}")
    input = input.expand(product.shape)
    return done(product.clone() if beta == 0 else beta * input + product, out)


addbmm_ = in_place(addbmm)


def chain_matmul(*matrices, out=None):
    """Return the product of several matrices, multiplied in the cheapest order."""
    matrices = list(matrices[0]) if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)) else list(matrices)
    if not matrices:
        raise ValueError("chain_matmul(): Expected one or more matrices")
    for m in matrices:
        if m.dim() != 2:
            raise RuntimeError("Tensor dimension is " + str(m.dim()) + ", expected 2 instead.")
    n = len(matrices)
    sizes = [matrices[0].shape[0], *(m.shape[1] for m in matrices)]
    # best[i, j]: cost and last split of the product of matrices i to j
    best = {(i, i): (0, i) for i in range(n)}
    tie = -1 if n == 3 else 1  # of equal costs torch takes (a b) c of three matrices, the first split of more
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost, k = min((best[i, k][0] + best[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], tie * k)
                          for k in range(i, j))
            best[i, j] = cost, tie * k

    def product(i, j):
        if i == j:
            return matrices[i]
        k = best[i, j][1]
        return product(i, k) @ product(k + 1, j)
    return done(product(0, n - 1), out)


def matrix_power(input, n, *, out=None):
    """Return the n-th power of square matrices; of their inverses for negative n."""
    if input.dim() < 2:
        raise RuntimeError("linalg.matrix_power: The input tensor A must have at least 2 dimensions.")
    if input.shape[-1] != input.shape[-2]:
        raise RuntimeError("linalg.matrix_power: A must be batches of square matrices, but they are "
                           f"{input.shape[-2]} by {input.shape[-1]} matrices")
    if n < 0:
        from .linalg import inv
        return matrix_power(inv(input), -n, out=out)
    if n == 0:
        eye = _C.eye(input.shape[-1], dtype=input.dtype, device=input.device)
        return done(eye.expand(input.shape).clone(), out)
    result, square = None, input
    while n:
        if n & 1:
            result = square if result is None else result @ square
        n >>= 1
        if n:
            square = square @ square
    return done(result.clone() if result is input else result, out)


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """Return the p-norm distances between the rows of two matrices, or of batches of them."""
    if x1.dim() < 2 or x2.dim() < 2:
        name, x = ("X1", x1) if x1.dim() < 2 else ("X2", x2)
        raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.dim()}D")
    for name, x in ("X1", x1), ("X2", x2):
        if not x.is_floating_point():
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {x.dtype}")
    if x1.dtype != x2.dtype:
        raise RuntimeError(f"expected scalar type {x1.dtype} but found {x2.dtype}")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if compute_mode not in _EUCLIDEAN_BY_PRODUCTS:
        raise RuntimeError(f"{compute_mode} is not a valid value for compute_mode")
    rows, others = x1.shape[-2], x2.shape[-2]
    from_rows = _EUCLIDEAN_BY_PRODUCTS[compute_mode]
    if p == 2 and from_rows is not None and max(rows, others) > from_rows:
        return _euclidean_by_product(x1, x2)
    if type(x1) is type(x2) is Tensor:
        found = _C._distances(x1, x2, p, False)
        if found is not None:
            return found
    difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)  # (..., P, 1, M) - (..., 1, R, M)
    if p == 0:
        return (difference != 0).sum(-1).to(x1.dtype)
    return difference.norm(p, -1)


# How many rows one side must have more than, for a matrix product to give Euclidean distances; None: never.
_EUCLIDEAN_BY_PRODUCTS = {
    "use_mm_for_euclid_dist_if_necessary": 25, "use_mm_for_euclid_dist": 0, "donot_use_mm_for_euclid_dist": None,
    None: 25, 0: 25, 1: 0, 2: None}


def _euclidean_by_product(x1, x2):
    """|a|^2 + |b|^2 - 2 a b for all pairs of rows. Where nothing is left of that the distance and its slope are 0."""
    squares = (x1 * -2) @ x2.mT + (x1 * x1).sum(-1, True) + (x2 * x2).sum(-1, True).mT
    none = squares <= 0
    return _C.where(none, 0.0, _C.where(none, 1.0, squares).sqrt())


for _name in LAZY_METHODS:
    setattr(Tensor, _name, _later(_name))
del _name
