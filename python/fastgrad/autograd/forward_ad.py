"""Forward mode: derivatives along one direction, computed together with the values.

Inside a `dual_level`, `make_dual` gives a tensor a tangent; every operation on it computes the tangent of its result,
which `unpack_dual` reads. The arithmetic is native. `push_forward` is the same for functions, to any depth: what a
`jvp` of functions is built on.
"""
from typing import NamedTuple

from .. import _C
from .grad_mode import _decorate

__all__ = ["UnpackedDualTensor", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual", "dual_level"]

Tensor = _C.Tensor

_current_level = -1  # that of enter_dual_level; levels of push_forward lie above or below it


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` returns."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level():
    """Open a level; its number is the default of the functions below. Levels of this kind do not nest."""
    global _current_level
    if _current_level >= 0:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _current_level = _C._enter_dual_level()
    return _current_level


def exit_dual_level(*, level=None):
    """Close the level opened last; all its tangents are deleted."""
    global _current_level
    if level is None:
        level = _current_level
    if level != _current_level:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported.")
    _C._exit_dual_level(level)
    _current_level = -1


def _check_floating(t, what):
    if not isinstance(t, Tensor):
        raise TypeError(f"make_dual: expected {what} to be a Tensor, but got {type(t).__name__}")
    if not (t.is_floating_point() or t.is_complex()):
        raise ValueError(f"Expected {what} to be floating point or complex, but got: {t.dtype}")


def make_dual(tensor, tangent, *, level=None):
    """Return an alias of `tensor` that carries `tangent`, a tensor of the same size.

    >>> with dual_level():
    ...     unpack_dual(make_dual(fastgrad.tensor(2.), fastgrad.tensor(1.)) ** 3).tangent
    tensor(12.)
    """
    if level is None:
        level = _current_level
    if level < 0:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first.")
    _check_floating(tensor, "primal")
    _check_floating(tangent, "tangent")
    return _C._make_dual(tensor, tangent, level)


def unpack_dual(tensor, *, level=None):
    """Return (primal, tangent): an alias of `tensor` without its tangent, and the tangent or None."""
    if level is None:
        level = _current_level
    if level < 0:
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(*_C._unpack_dual(tensor, level))


class dual_level:
    """A level for a `with` block or a decorated function."""

    def __enter__(self):
        return enter_dual_level()

    def __exit__(self, kind, error, traceback):
        exit_dual_level()

    def __call__(self, fn):
        return _decorate(type(self), fn)


_is_fwd_grad_enabled = _C._is_fwd_grad_enabled


class _set_fwd_grad_enabled:
    """Switch the computation of tangents on or off, at once or for a `with` block or a decorated function."""

    def __init__(self, mode):
        self.mode = mode
        self.before = _is_fwd_grad_enabled()
        _C._set_fwd_grad_enabled(mode)

    def __enter__(self):
        pass

    def __exit__(self, kind, error, traceback):
        _C._set_fwd_grad_enabled(self.before)

    def __call__(self, fn):
        _C._set_fwd_grad_enabled(self.before)
        return _decorate(lambda: type(self)(self.mode), fn)


def push_forward(function, primals, tangents):
    """Return `function(*primals)` and the derivatives of its results along `tangents`.

    primals, tangents: tensors, None among the tangents stands for zero. The function returns a tensor or a tuple or
    list of them; the derivatives come in the same nesting, zeros where nothing depends on the primals. Calls may be
    nested, and the results be differentiated in either direction.

    >>> push_forward(lambda x: x * x, (fastgrad.tensor(3.),), (fastgrad.tensor(1.),))
    (tensor(9.), tensor(6.))
    """
    level = _C._enter_dual_level()
    try:
        duals = [x if t is None else _C._make_dual(x, t, level) for x, t in zip(primals, tangents)]
        return _unpacked(function(*duals), level)
    finally:
        _C._exit_dual_level(level)


def _unpacked(value, level):
    if isinstance(value, Tensor):
        primal, tangent = _C._unpack_dual(value, level)
        return primal, _C.zeros_like(primal) if tangent is None else tangent
    if isinstance(value, (tuple, list)):
        pairs = [_unpacked(v, level) for v in value]
        parts = [p for p, _ in pairs], [t for _, t in pairs]
        if isinstance(value, list):
            return parts
        return tuple(type(value)(*part) if hasattr(value, "_fields") else tuple(part) for part in parts)
    raise TypeError(f"expected a Tensor or a tuple or list of them, got {type(value).__name__}")
