"""What functions written in Python share: checks of arguments, out=, results with names."""
from . import _C

Tensor = _C.Tensor


def refuse_number(name, argument, value):
    """Raises TypeError when the value is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}(): argument '{argument}' must be a number or Tensor, not {type(value).__name__}")


def wrapped_dim(dim, ndim):
    """A dimension counted from the front; a 0-d tensor is treated as one with one dimension."""
    limit = max(ndim, 1)
    if not -limit <= dim < limit:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim})")
    return dim % limit


def done(result, out):
    """The result, or `out` filled with it by torch's rules: resized to fit, never to a lower kind of number."""
    if out is None:
        return result
    if not isinstance(out, Tensor):
        raise TypeError(f"out must be a Tensor, not {type(out).__name__}")
    if result.requires_grad or (out.requires_grad and _C.is_grad_enabled()):
        raise RuntimeError("functions with out=... arguments don't support automatic differentiation, but one of the "
                           "arguments requires grad.")
    if not _C.can_cast(result.dtype, out.dtype):
        raise RuntimeError(f"result type {result.dtype} can't be cast to the desired output type {out.dtype}")
    if out.shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)


class no_grad:
    """Nothing in the block is recorded."""

    def __enter__(self):
        self._before = _C.is_grad_enabled()
        _C.set_grad_enabled_(False)

    def __exit__(self, *error):
        _C.set_grad_enabled_(self._before)


def in_place(function):
    """The in-place form of a function of a tensor."""
    name = function.__name__ + "_"

    def call(self, *args, **kwargs):
        if _C.is_grad_enabled() and self.requires_grad and self.is_leaf:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        # what the gradient saves must keep its values
        result = function(self.clone() if self.requires_grad else self, *args, **kwargs)
        if not _C.can_cast(result.dtype, self.dtype):
            raise RuntimeError(f"{name}: result type {result.dtype} can't be cast to the tensor's type {self.dtype}")
        return self.copy_(result)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"In-place form of `{function.__name__}`."
    return call


_named = {}


def named(name, fields):
    """What makes the named tuple that torch's function of this name returns; the class is made when first used."""
    if name not in _named:
        from .return_types import _make
        _named[name] = _make(name, fields)._make
    return _named[name]


def refuse_complex(name, input, text="does not support complex inputs."):
    """Raise torch's error of a function that is not defined for complex numbers."""
    if input.dtype.is_complex:
        raise RuntimeError(f"{name} {text}")
