"""What every transform does to its inputs and outputs.

A transform differentiates with the ordinary graph. `start` gives inputs of their own to the function: leaves, or
aliases of what an outer transform (or the user) differentiates by, so that levels do not mix. Under vmap an input that
all examples share is repeated first, so that each example has its own gradient. `Tracked.finish` takes results out
again: recorded only if something outside of the transform requires their gradient. Tangents, of a jvp around the
transform, go through both.
"""
from .. import _C, autograd
from .._vmap.batched import BatchedTensor, batched_at, levels, plain, wrap
from ..utils import _pytree as pytree

Tensor = _C.Tensor


def check_tensor(x):
    if not isinstance(x, Tensor):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")


def mapped(function, t):
    """A function of plain tensors of the same shape below all levels of vmap."""
    if type(t) is BatchedTensor:
        return wrap(mapped(function, t._value), t._level)
    return function(t)


class Tracked:
    """The inputs of one transform."""

    def __init__(self, inputs):
        self.outer = _C.is_grad_enabled()
        self.connected = False
        self.inputs = [self._start(x) for x in inputs]

    def _start(self, x):
        check_tensor(x)
        for level in levels():
            x = batched_at(x, level)
        return mapped(self._own, x)

    def _own(self, x):
        if not (x.dtype.is_floating_point or x.dtype.is_complex):
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if self.outer and x.requires_grad:
            self.connected = True
            return x.view_as(x)
        return _C._fresh(x).requires_grad_()

    def close(self, outputs):
        """Once the outputs are known: whether anything outside requires gradients of them."""
        if self.outer and not self.connected:
            own = tuple([plain(x) for x in self.inputs])
            self.connected = _C._reaches_outside(tuple([plain(y) for y in outputs if isinstance(y, Tensor)]), own)

    def grad(self, outputs, inputs, cotangents, retain=False, create=None):
        """Gradients as autograd.grad has them, zeros where there is none."""
        create = self.connected if create is None else create
        pairs = [(y, g) for y, g in zip(outputs, cotangents) if y.requires_grad]
        if not pairs:
            return [_C.zeros_like(x) for x in inputs]
        found = autograd.grad([y for y, _ in pairs], inputs, [g for _, g in pairs], retain or create, create,
                              allow_unused=True)
        return [_C.zeros_like(x) if g is None else g for g, x in zip(found, inputs)]

    def finish(self, tree):
        """Results for the caller."""
        if self.connected:
            return tree
        return pytree.tree_map_only(Tensor, lambda t: mapped(self.released, t), tree)

    def released(self, t):
        """Without history; a tangent keeps the part that leads outside."""
        out = _C._fresh(t)
        for level in range(_C._dual_levels()):
            found = _C._unpack_dual(t, level)[1]
            if found is not None and found.requires_grad:
                own = tuple([plain(x) for x in self.inputs])
                if not (self.outer and _C._reaches_outside((found,), own)):
                    _C._set_tangent(out, self.released(found), level)
        return out


def pick(args, argnums):
    """The positional arguments that a transform differentiates by, as a tuple; the indices from the front."""
    if isinstance(argnums, bool) or not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    if not numbers:
        raise RuntimeError("argnums must be non-empty")
    for n in numbers:
        if not isinstance(n, int):
            raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(n)}")
        if not -len(args) <= n < len(args):
            raise RuntimeError(f"Got argnum={n}, but only {len(args)} positional inputs")
    numbers = tuple([n % len(args) for n in numbers])
    if len(set(numbers)) != len(numbers):
        raise RuntimeError(f"argnums elements must be unique, got {numbers}")
    return tuple([args[n] for n in numbers]), numbers


def put(args, numbers, values):
    """The arguments with those at `numbers` replaced."""
    args = list(args)
    for n, value in zip(numbers, values):
        args[n] = value
    return args


def split_aux(output, has_aux, where):
    if not has_aux:
        return output, None
    if not (isinstance(output, tuple) and len(output) == 2):
        raise RuntimeError(f"{where}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return output
