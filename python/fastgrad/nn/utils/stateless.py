"""A module called with other parameters and buffers than its own."""
from contextlib import contextmanager

from ... import _C

Tensor = _C.Tensor

__all__ = ["functional_call"]


def _tables(module, path):
    """(module that has the last part of a path, that name)."""
    *parts, name = path.split(".")
    for part in parts:
        module = module._modules.get(part) if part in module._modules else getattr(module, part)
    return module, name


def _tied(module):
    """name -> all names of the same parameter or buffer."""
    by_tensor = {}
    for table in (module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)):
        for name, t in table:
            by_tensor.setdefault(id(t), []).append(name)
    return {name: names for names in by_tensor.values() for name in names}


def _checked(module, given, tie_weights, strict):
    """The replacements, with those for tied weights added."""
    if not isinstance(given, dict):
        raise ValueError("Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
                         f"{type(given)}")
    groups = _tied(module)
    for name, value in given.items():
        if name in groups and not isinstance(value, Tensor):
            raise TypeError(f"{value} is not an instance of torch.Tensor")
    all_values = dict(given)
    if tie_weights:
        for name, value in given.items():
            for other in groups.get(name, ()):
                if other in given and given[other] is not value:
                    raise ValueError(f"functional_call got multiple values for keys {sorted(groups[name])}, which are "
                                     "tied. Consider using tie_weights=False")
                all_values.setdefault(other, value)
    if strict:
        unexpected = sorted(set(all_values) - set(groups))
        missing = sorted(set(groups) - set(all_values))
        if unexpected or missing:
            text = "".join([f"\n\tUnexpected key(s): {', '.join(map(repr, unexpected))}." if unexpected else "",
                            f"\n\tMissing key(s): {', '.join(map(repr, missing))}." if missing else ""])
            raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:{text}")
    return {name: value for name, value in all_values.items() if name in groups}


@contextmanager
def _reparametrize_module(module, parameters_and_buffers, *, tie_weights=False, strict=False, stack_weights=False):
    """Inside, the module has other parameters and buffers."""
    values = _checked(module, parameters_and_buffers, tie_weights, strict)
    replaced = []
    try:
        for path, value in values.items():
            owner, name = _tables(module, path)
            for table in (owner._parameters, owner._buffers):
                if name in table:
                    replaced.append((table, name, table[name], values, path))
                    table[name] = value
                    break
        yield
    finally:
        for table, name, own, source, path in reversed(replaced):
            if table[name] is not source[path] and path in parameters_and_buffers:
                parameters_and_buffers[path] = table[name]  # a buffer that the module replaced
            table[name] = own


def functional_call(module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights=True, strict=False):
    """Call a module with its parameters and buffers replaced by those given by name.

    >>> m = nn.Linear(2, 1, bias=False)
    >>> functional_call(m, {"weight": fastgrad.ones(1, 2)}, fastgrad.ones(2))
    tensor([2.])
    """
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights=tie_weights, strict=strict):
        return module(*args, **(kwargs or {}))
