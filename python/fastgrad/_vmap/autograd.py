"""Gradients under vmap: autograd works on the values, so each example has its own gradient.

That holds for inputs that are batched; the gradient for a tensor that all examples share is taken one example at a
time.
"""
from .. import _C, autograd
from ..autograd import function as _function
from ..autograd.function import Function
from .batched import Tensor, innermost, is_batched, levels, rule, rule_for, value_of, wrap
from .loop import loop

_INSIDE = ("inside of a function being transformed by a functorch transform. This is unsupported, please attempt to "
           "use the functorch transforms (e.g. grad, vjp, jacrev, jacfwd, hessian) ")


@rule(*[getattr(Tensor, name).__get__ for name in ("requires_grad", "is_leaf", "grad_fn", "_version", "output_nr",
                                                  "retains_grad", "_base")])
def attribute(level, func, args, kwargs):
    found = func(args[0]._value)
    return wrap(found, level) if isinstance(found, Tensor) and found.dim() else found


@rule(Tensor.grad.__get__, Tensor._grad.__get__)
def grad_attribute(level, func, args, kwargs):
    found = func(args[0]._value)
    return None if found is None else wrap(found, level)


@rule(Tensor.data.__get__)
def data(level, func, args, kwargs):
    raise RuntimeError("accessing `data` under vmap transform is not allowed")


@rule(Tensor.data.__set__, Tensor.requires_grad.__set__, Tensor.grad.__set__, Tensor.grad.__delete__)
def assign(level, func, args, kwargs):
    name = func.__self__.__name__
    raise RuntimeError(f"You are attempting to assign Tensor.{name} {_INSIDE}or do it outside of them.")


@rule(Tensor.requires_grad_)
def requires_grad_(level, func, args, kwargs):
    x = args[0]
    if (args[1] if len(args) > 1 else kwargs.get("requires_grad", True)):
        raise RuntimeError("You are attempting to call Tensor.requires_grad_() (or perhaps using "
                           f"torch.autograd.functional.* APIs) {_INSIDE}or call requires_grad_() outside of a "
                           "function being transformed instead.")
    func(x._value, False)
    return x


@rule_for("backward")
def backward(level, func, args, kwargs):
    raise RuntimeError("backward() called inside a functorch transform. This is not supported, please use "
                       "functorch.grad or functorch.vjp instead or call backward() outside of functorch transforms.")


@rule_for("register_hook")
def register_hook(level, func, args, kwargs):
    x, hook = args

    def on_values(g):
        result = hook(wrap(g, level))
        return None if result is None else value_of(result, level)
    return func(x._value, on_values)


@rule_for("retain_grad")
def retain_grad(level, func, args, kwargs):
    return func(args[0]._value)


def _tuple(value, length):
    return (None,) * length if value is None else (value,) if isinstance(value, Tensor) else tuple(value)


def _stack(rows, level):
    return [None if column[0] is None else wrap(_C.stack(column), level) for column in zip(*rows)]


@rule(autograd.grad)
def grad(level, func, args, kwargs):
    return _grad(level, *args, **kwargs)


def _grad(level, outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, only_inputs=True,
          allow_unused=None, is_grads_batched=False, materialize_grads=False):
    if is_grads_batched:
        raise NotImplementedError("vmap: autograd.grad(is_grads_batched=True) is not supported, use vmap for it")
    outputs = _tuple(outputs, 1)
    inputs = _tuple(inputs, 1)
    given = _tuple(grad_outputs, len(outputs))
    unused = materialize_grads if allow_unused is None else allow_unused
    retain = create_graph if retain_graph is None else retain_graph

    def run(outs, ins, gs, keep):
        return autograd.grad(outs, ins, gs, keep, create_graph, allow_unused=True)

    apart = [is_batched(t, level) for t in inputs]
    if not any([is_batched(t, level) for t in (*outputs, *inputs)]):
        # Only the gradients to start from differ: one backward for each.
        rows = [run(outputs, inputs, [g._value.select(0, i) if is_batched(g, level) else g for g in given],
                    retain or i + 1 < level.size) for i in range(level.size)]
        found = _stack(rows, level)
    else:
        outs, gs = [], []
        for y, g in zip(outputs, given):
            if g is None and y.numel() != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if not is_batched(y, level):
                if is_batched(g, level):
                    raise NotImplementedError("vmap: autograd.grad of outputs of which only some are batched")
                outs.append(y)
                gs.append(g)
                continue
            outs.append(y._value)
            gs.append(_C.ones_like(y._value) if g is None else value_of(g, level))
        found = [None] * len(inputs)
        shared = [i for i, own in enumerate(apart) if not own]
        own = [i for i, own in enumerate(apart) if own]
        if shared:
            rows = []
            for i in range(level.size):
                only = [_only(g, i) if is_batched(y, level) else g for y, g in zip(outputs, gs)]
                rows.append(run(outs, [inputs[k] for k in shared], only, True))
            for k, g in zip(shared, _stack(rows, level)):
                found[k] = g
        if own:
            for k, g in zip(own, run(outs, [inputs[k]._value for k in own], gs, retain)):
                found[k] = None if g is None else wrap(g, level)
    if materialize_grads:
        found = [_C.zeros_like(x) if g is None else g for x, g in zip(inputs, found)]
    elif not unused and any([g is None for g in found]):
        raise RuntimeError("One of the differentiated Tensors appears to not have been used in the graph. Set "
                           "allow_unused=True if this is the desired behavior.")
    return tuple(found)


def _only(g, i):
    """A gradient that is zero for all examples but one."""
    mask = _C.zeros(g.size(0), dtype=g.dtype, device=g.device)
    mask[i] = 1
    return g * mask.reshape(-1, *(1,) * (g.dim() - 1))


# ---- custom functions

class _Info:
    """What `Function.vmap` is told."""

    def __init__(self, level):
        self.batch_size, self.randomness = level.size, level.randomness


def apply(function, args):
    """A custom Function with batched arguments: its own `vmap`, or example by example."""
    level = innermost(args, ())
    if level is None:
        return NotImplemented
    if function.vmap is Function.vmap:
        return loop(level, function.apply, args, {})
    own = function.vmap
    dims = tuple([0 if is_batched(a, level) else None for a in args])
    values = [a._value if is_batched(a, level) else a for a in args]
    running = levels()
    running.remove(level)
    try:
        outputs, out_dims = own(_Info(level), dims, *values)
    finally:
        running.append(level)
    if not isinstance(outputs, tuple):
        return outputs if out_dims is None else wrap(outputs.movedim(out_dims, 0), level)
    if not isinstance(out_dims, tuple):
        out_dims = (out_dims,) * len(outputs)
    return tuple([y if d is None else wrap(y.movedim(d, 0), level) for y, d in zip(outputs, out_dims)])


_function.batched_apply = apply
