"""What has no rule: the call for one example after the other, results stacked."""
from .. import _C
from .batched import BatchedTensor, DataDependent, is_batched, wrap

Tensor = _C.Tensor


def _at(arg, level, i):
    """An argument as example i sees it."""
    if is_batched(arg, level):
        return arg._value.select(0, i)
    if isinstance(arg, (tuple, list)):
        items = [_at(item, level, i) for item in arg]
        return arg._make(items) if hasattr(arg, "_make") else type(arg)(items)
    return arg


def in_place(func):
    """Whether a function changes its first argument."""
    name = getattr(func, "__name__", "")
    return name in ("__setitem__", "__set__") or name.startswith("__i") and name.endswith("__") and name not in (
        "__int__", "__index__", "__invert__", "__iter__", "__init__") or name.endswith("_") and name[-2:] != "__"


def refuse_unbatched_self(level, func, args):
    """An in-place function on a tensor that all examples share cannot give each its own result."""
    if not is_batched(args[0], level):
        raise RuntimeError(
            "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in "
            "extra_args that has more elements than `self`. This happened due to `other` being vmapped over but `self` "
            f"not being vmapped over in a vmap. Please try to use out-of-place operators instead of {func.__name__}.")


def refuse_out(func, kwargs):
    if kwargs.get("out") is not None:
        raise RuntimeError(f"Batching rule not implemented for {func.__name__} with out=; there is no fallback for "
                           "out= either.")


def loop(level, func, args, kwargs, error=None):
    """`func` for each example; `error` is raised where the results do not fit together."""
    from .randomness import example_by_example
    refuse_out(func, kwargs)
    changes = in_place(func)
    if changes:
        refuse_unbatched_self(level, func, args)
    if not level.size:
        raise RuntimeError(f"vmap: {func.__name__} has no batching rule, and there is no example to call it with")
    results = []
    with example_by_example(level) as begin:
        for i in range(level.size):
            begin(i)
            results.append(func(*_at(args, level, i), **{k: _at(v, level, i) for k, v in kwargs.items()}))
    if changes:
        return args[0] if isinstance(results[0], Tensor) else None
    return _joined(results, level, func, error)


def _joined(results, level, func, error):
    first = results[0]
    if isinstance(first, Tensor):
        if any([r.shape != first.shape for r in results]):
            raise error or RuntimeError(
                "vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap over "
                f"{func.__name__}.")
        return wrap(_C.stack(results), level)
    if isinstance(first, (tuple, list)):
        items = [_joined(list(column), level, func, error) for column in zip(*results)]
        if any([len(r) != len(first) for r in results]):
            raise error or RuntimeError(f"vmap: {func.__name__} gives results of different length")
        return first._make(items) if hasattr(first, "_make") else type(first)(items)
    if any([r != first for r in results]):
        raise error or DataDependent(
            f"vmap: the result of {func.__name__} is a Python value that differs between the examples")
    return first


__all__ = ["BatchedTensor", "in_place", "loop", "refuse_out", "refuse_unbatched_self"]
