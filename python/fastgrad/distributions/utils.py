"""What distributions share: broadcasting of parameters, probabilities and logits, properties computed once."""
from functools import update_wrapper
from numbers import Number

import fastgrad
from fastgrad import Size, Tensor
from fastgrad._vmap.batched import plain

__all__ = ["broadcast_all", "logits_to_probs", "clamp_probs", "probs_to_logits", "lazy_property", "tril_matrix_to_vec",
           "vec_to_tril_matrix"]

euler_constant = 0.57721566490153286060


def broadcast_all(*values):
    """The values as tensors of one shape; numbers take the dtype of the first tensor, or the default one."""
    if not all(isinstance(value, (Tensor, Number)) for value in values):
        raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects implementing "
                         "__torch_function__.")
    like = next((value for value in values if isinstance(value, Tensor)), None)
    options = ({"dtype": fastgrad.get_default_dtype()} if like is None
               else {"dtype": like.dtype, "device": like.device})
    return tuple(fastgrad.broadcast_tensors(*[
        value if isinstance(value, Tensor) else fastgrad.tensor(value, **options) for value in values]))


def all_true(valid):
    """Whether a check holds everywhere, under vmap for all examples."""
    return bool(plain(valid).all())


def standard_normal(shape, like):
    """Standard normal numbers of the dtype and device of a tensor."""
    return fastgrad.empty(shape, dtype=like.dtype, device=like.device).normal_()


def uniform(shape, like):
    """Numbers in [0, 1) of the dtype and device of a tensor."""
    return fastgrad.rand(shape, dtype=like.dtype, device=like.device)


def sum_rightmost(value, dims):
    """The sum over the last `dims` dimensions."""
    if dims == 0:
        return value
    return value.reshape(value.shape[:-dims] + (-1,)).sum(-1)


def logits_to_probs(logits, is_binary=False):
    """Probabilities of log odds, or of unnormalised logarithms along the last dimension."""
    return fastgrad.sigmoid(logits) if is_binary else fastgrad.softmax(logits, -1)


def clamp_probs(probs):
    """Probabilities moved away from 0 and 1 by the dtype's eps."""
    eps = fastgrad.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs, is_binary=False):
    """Log odds of probabilities, or their logarithms."""
    clamped = clamp_probs(probs)
    return fastgrad.log(clamped) - fastgrad.log1p(-clamped) if is_binary else fastgrad.log(clamped)


def check_one_of(probs, logits):
    """Raises unless exactly one of the two is given."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class lazy_property:  # noqa: N801
    """A property that is computed when first used and kept in the instance; with gradients, wherever that is."""

    def __init__(self, wrapped):
        self.wrapped = wrapped
        update_wrapper(self, wrapped)

    def __get__(self, instance, owner=None):
        if instance is None:
            return _lazy_property_and_property(self.wrapped)
        with fastgrad.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _lazy_property_and_property(lazy_property, property):  # noqa: N801
    """What the class attribute looks like to documentation tools."""

    def __init__(self, wrapped):
        property.__init__(self, wrapped)


def _below(n, diag, device):
    numbers = fastgrad.arange(n, device=device)
    return numbers < numbers.view(-1, 1) + (diag + 1)


def tril_matrix_to_vec(mat, diag=0):
    """The elements on and below a diagonal of the matrices, row by row."""
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    return mat[..., _below(n, diag, mat.device)]


def vec_to_tril_matrix(vec, diag=0):
    """The matrices with these elements on and below a diagonal; the inverse of `tril_matrix_to_vec`."""
    n = (-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * vec.shape[-1] + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if round(n) - n > fastgrad.finfo(vec.dtype).eps:
        raise ValueError(f"The size of last dimension is {vec.shape[-1]} which cannot be expressed as the lower "
                         "triangular part of a square D x D matrix.")
    n = round(n)
    rows, columns = _below(n, diag, vec.device).nonzero(as_tuple=True)
    flat = vec.new_zeros(vec.shape[:-1] + Size((n * n,)))
    where = (rows * n + columns).expand(vec.shape)
    return flat.scatter(-1, where, vec).reshape(vec.shape[:-1] + Size((n, n)))
