"""What all of linalg shares: checks of the arguments, NumPy's LAPACK on memory of tensors, named results.

A factorisation is a native one or, on the CPU, runs under NumPy on views of the tensors' memory; its gradient is an
autograd.Function around it, whose formula is made of differentiable functions, so that it can be differentiated again.
"""
from collections import namedtuple

import numpy as np

from .. import _C
from .._linear import LinAlgError
from ..autograd import Function

__all__ = ["Function", "LinAlgError", "Tensor", "array", "check", "check_tensor", "done", "identity", "info_tensor",
           "named", "no_convergence", "np", "on_batch", "tensor_of"]

Tensor = _C.Tensor


def array(t):
    """The memory of a tensor as a NumPy array."""
    return t.detach().numpy()


def tensor_of(a):
    """A tensor over the memory of a NumPy array."""
    return _C.from_numpy(np.asarray(a, order="C"))


def identity(like, rows, columns=None):
    """The identity matrix in the dtype and on the device of a tensor."""
    return _C.eye(rows, rows if columns is None else columns, dtype=like.dtype, device=like.device)


def info_tensor(codes, shape):
    """LAPACK's return codes as torch gives them."""
    return _C.tensor(codes, dtype=_C.int32).reshape(shape)


_kinds = {}  # by dtype


def kind_of(t):
    """The dtype as torch's errors call it: Float, Long, Half."""
    if t.dtype not in _kinds:
        _kinds[t.dtype] = t.type().rpartition(".")[2].removesuffix("Tensor")
    return _kinds[t.dtype]


def check_tensor(name, *tensors):
    """TypeError for what is not a tensor."""
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): argument must be Tensor, not {type(t).__name__}")


def check(name, A, square=True, label="A", kernel=None, integers=True, complex_too=False):
    """The errors of torch for a tensor that is no batch of (square) matrices of float32 or float64.

    kernel: the name that torch gives when it has no kernel for a dtype; integers: whether they are refused before that;
    complex_too: whether complex matrices are taken.
    """
    check_tensor("linalg_" + name.removeprefix("linalg."), A)
    if A.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor {label} must have at least 2 dimensions.")
    rows, columns = A.shape[-2:]
    if square and rows != columns:
        raise RuntimeError(f"{name}: {label} must be batches of square matrices, but they are {rows} by {columns} "
                           "matrices")
    check_dtype(name, A, kernel, integers, complex_too)


def check_dtype(name, A, kernel=None, integers=True, complex_too=False):
    """The errors for a dtype that the factorisations do not have."""
    kind = kind_of(A)
    if kernel and A.is_cuda:
        kernel = kernel.replace("_cpu", "_cuda")
    if kernel and not A.is_complex() and (A.is_floating_point() or not integers):
        if A.dtype not in (_C.float32, _C.float64):
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{kind}'")
    elif not (A.is_floating_point() or A.is_complex()):
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {kind}")
    if A.is_complex() and not complex_too:
        raise NotImplementedError(f"{name}: complex matrices are not supported")
    if not A.is_complex() and A.dtype not in (_C.float32, _C.float64):
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {kind}")


def on_batch(A, B):
    """Both with the same leading dimensions."""
    batch = np.broadcast_shapes(tuple(A.shape[:-2]), tuple(B.shape[:-2]))
    return A.expand(*batch, *A.shape[-2:]), B.expand(*batch, *B.shape[-2:])


def no_convergence(name, info):
    """LinAlgError if an iteration has not come to its end."""
    batch_error(name, info, lambda code: "The algorithm failed to converge because the input matrix is ill-conditioned "
                f"or has too many repeated eigenvalues (error code: {code}).")


def batch_error(name, info, text):
    """The first failure among the codes of a factorisation as an error; `text(code)` says what it means."""
    codes = info.tolist() if info.dim() == 1 else [info.item()] if info.dim() == 0 else info.reshape(-1).tolist()
    for i, code in enumerate(codes):
        if code:
            place = f"(Batch element {i}): " if len(codes) > 1 else ""
            raise LinAlgError(f"{name}: {place}{text(code)}")


def done(result, out):
    """A result, put into `out=` if that is given: one tensor, or one for each part."""
    if out is None:
        return result
    if isinstance(out, Tensor):
        return _into(out, result)
    return type(result)(*[_into(o, r) for o, r in zip(out, result)])


def _into(out, result):
    if out.shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)


def named(name, fields):
    """A class of named tuples that print as torch's."""
    base = namedtuple(name, fields)

    class Result(base):
        __slots__ = ()

        def __repr__(self):
            parts = ",\n".join(f"{field}={value!r}" for field, value in zip(self._fields, self))
            return f"torch.return_types.{name}(\n{parts})"

    Result.__name__ = Result.__qualname__ = name
    Result.__module__ = "torch.return_types"
    return Result
