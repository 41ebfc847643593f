"""Products, powers and the exponential of matrices; equations of tensors of any rank."""
import math

from .. import _C, _linear
from ._arrays import check, check_tensor, done, identity, kind_of
from ._solve import inv, solve


def matmul(input, other, *, out=None):
    """Return the matrix product."""
    return done(_C.matmul(input, other), out)


def cross(input, other, *, dim=-1, out=None):
    """Return the cross product of vectors of 3 elements along `dim`."""
    if input.dim() != other.dim():
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    for t in (input, other):
        if t.shape[dim] != 3:
            raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[dim]} and "
                               f"{other.shape[dim]}")
    return _linear.cross(input, other, dim, out=out)


def vecdot(x, y, *, dim=-1, out=None):
    """Return the inner products along a dimension.

    >>> vecdot(fastgrad.tensor([[1.0, 2.0], [3.0, 4.0]]), fastgrad.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    check_tensor("linalg_vecdot", x, y)
    x, y = _C._autocast_lower(x), _C._autocast_lower(y)
    if not (x.is_floating_point() or x.is_complex()):
        raise RuntimeError(f"linalg.vecdot: Expected a floating point or complex tensor as input. Got {kind_of(x)}")
    left = x.conj() if x.is_complex() else x
    return done((left * y).sum(dim), out)


def diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """Return the diagonals of the matrices in two dimensions, as a view."""
    return A.diagonal(offset, dim1, dim2)


def multi_dot(tensors, *, out=None):
    """Return the product of several matrices, multiplied in the cheapest order; the first and last may be vectors."""
    tensors = list(tensors)
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    first, last = tensors[0], tensors[-1]
    for i, t in enumerate(tensors):
        place = "the first tensor" if t is first else "the last tensor" if t is last else f"tensor {i}"
        if t.dim() != 2 and (t.dim() != 1 or 0 < i < len(tensors) - 1):
            kinds = "2D" if 0 < i < len(tensors) - 1 else "1D or 2D"
            raise RuntimeError(f"multi_dot(): {place} must be {kinds} but got {t.dim()}D")
    tensors[0] = first.unsqueeze(0) if first.dim() == 1 else first
    tensors[-1] = last.unsqueeze(1) if last.dim() == 1 else last
    for i, (a, b) in enumerate(zip(tensors, tensors[1:])):
        if a.shape[1] != b.shape[0]:
            raise RuntimeError(f"multi_dot(): tensors {i} and {i + 1} with shapes {list(a.shape)} and {list(b.shape)} "
                               "cannot be multiplied")
    result = _linear.chain_matmul(tensors)
    if first.dim() == 1:
        result = result.squeeze(0)
    return done(result.squeeze(-1) if last.dim() == 1 else result, out)


def matrix_power(A, n, *, out=None):
    """Return the n-th power of square matrices; of their inverse for negative n."""
    return _linear.matrix_power(A, n, out=out)


# Numerators of the diagonal Pade approximant of degree 13, and how large a matrix it is good for (Higham 2005).
_PADE = (64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600,
         670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1)
_PADE_REACH = 5.371920351148152


def matrix_exp(A):
    """Return the exponential of square matrices: the matrix halved until it is small, a Pade approximant, squarings."""
    if A.dtype in (_C.float16, _C.bfloat16):
        return matrix_exp(A.float()).to(A.dtype)
    check("linalg.matrix_exp", A)
    if not A.numel():
        return A.clone()
    size = float(A.detach().abs().sum(-2).amax())
    halvings = max(0, math.ceil(math.log2(size / _PADE_REACH))) if _PADE_REACH < size < math.inf else 0
    X = A / 2 ** halvings if halvings else A
    eye = identity(A, A.shape[-1]).expand(A.shape)
    b = [value / _PADE[0] for value in _PADE]
    X2 = X @ X
    X4 = X2 @ X2
    X6 = X4 @ X2
    odd = X @ (X6 @ (b[13] * X6 + b[11] * X4 + b[9] * X2) + b[7] * X6 + b[5] * X4 + b[3] * X2 + b[1] * eye)
    even = X6 @ (b[12] * X6 + b[10] * X4 + b[8] * X2) + b[6] * X6 + b[4] * X4 + b[2] * X2 + b[0] * eye
    result = solve(even - odd, even + odd)
    for _ in range(halvings):
        result = result @ result
    return result


def tensorinv(A, ind=2, *, out=None):
    """Return the inverse of the linear map that `tensordot(A, x, ind)` is."""
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    left, right = math.prod(A.shape[ind:]), math.prod(A.shape[:ind])
    if left != right:
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), "
                           f"but got {left} != {right}")
    return done(inv(A.reshape(right, left)).reshape((*A.shape[ind:], *A.shape[:ind])), out)


def tensorsolve(A, B, dims=None, *, out=None):
    """Return the X with `tensordot(A, X, X.dim()) = B`, after the dimensions `dims` of A have moved to its end."""
    if dims is not None:
        dims = [dims] if isinstance(dims, int) else list(dims)
        A = A.movedim(dims, list(range(A.dim() - len(dims), A.dim())))
    shape = A.shape[B.dim():]
    if math.prod(shape) != math.prod(A.shape[:B.dim()]):
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
                           f"prod(self.shape[:other.ndim]), but got {math.prod(shape)} != "
                           f"{math.prod(A.shape[:B.dim()])}")
    n = math.prod(shape)
    return done(solve(A.reshape(n, n), B.reshape(n)).reshape(shape), out)


def vander(x, N=None):
    """Return the matrices of powers 0 to N - 1 of the elements of vectors."""
    if x.dim() == 0:
        raise RuntimeError("Expected dim to be greater than or equal to 1.")
    if x.dtype in (_C.float16, _C.bfloat16, _C.bool):
        raise RuntimeError(f"linalg.vander supports floating point, complex, and integer tensors, but got {kind_of(x)}")
    count = x.shape[-1] if N is None else N
    if count <= 1 and N is not None:
        raise RuntimeError("N must be greater than 1.")
    if not (x.is_floating_point() or x.is_complex()):
        x = x.to(_C.int64)
    columns = x.unsqueeze(-1).expand(*x.shape, count - 1).cumprod(-1)
    return _C.cat([_C.ones_like(x).unsqueeze(-1), columns], -1)
