"""Hooks of modules: registration, the call of a module that has some, and full backward hooks.

A module without hooks never comes here: the native call tests one flag, `_hooked`, which is set on the instance when
one of its hook dicts is made, and on the class when a hook for all modules is registered.
"""
import weakref
from collections import OrderedDict

from fastgrad import Tensor

# Hook dicts are made on first use, by `Module.__getattr__`.
CALL_HOOKS = frozenset((
    "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_forward_hooks", "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called", "_backward_pre_hooks", "_backward_hooks"))
STATE_HOOKS = frozenset((
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"))
LAZY_DICTS = CALL_HOOKS | STATE_HOOKS

_EMPTY = {}


class RemovableHandle:
    """Takes a hook out of its dict by `remove()`, or at the end of a `with` block."""

    next_id = 0

    def __init__(self, hooks_dict, *, extra_dict=None):
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        if extra_dict is None:
            extra_dict = ()
        elif isinstance(extra_dict, dict):
            extra_dict = (extra_dict,)
        self.extra_dict_ref = tuple(weakref.ref(extra) for extra in extra_dict)

    def remove(self):
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = reference()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.remove()

    def __getstate__(self):  # copied and pickled together with the dict
        return self.hooks_dict_ref(), self.id, tuple(reference() for reference in self.extra_dict_ref)

    def __setstate__(self, state):
        hooks, self.id, extra = state
        # A dict that is gone stays so: the handle of it removes nothing.
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(d) for d in extra if d is not None)
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)


class _AllModules:
    """Hooks that run for every module."""

    def __init__(self):
        for name in CALL_HOOKS:
            setattr(self, name, OrderedDict())
        self._is_full_backward_hook = None


all_modules = _AllModules()


def register(hooks, hook, *, prepend=False, extra=()):
    """Adds a hook, and its id to the dicts of which the flag in `extra` is set."""
    marks = [mark for mark, wanted in extra if wanted]
    handle = RemovableHandle(hooks, extra_dict=marks)
    hooks[handle.id] = hook
    for mark in marks:
        mark[handle.id] = True
    if prepend:
        for dictionary in (hooks, *marks):
            dictionary.move_to_end(handle.id, last=False)
    return handle


class Hooks:
    """The registration methods of a module."""

    _hooked = False
    _is_full_backward_hook = None

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """`hook(module, args)`, or with `with_kwargs` `hook(module, args, kwargs)`, before every forward."""
        return register(self._forward_pre_hooks, hook, prepend=prepend,
                        extra=[(self._forward_pre_hooks_with_kwargs, with_kwargs)])

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """`hook(module, args, output)`, or with `with_kwargs` `hook(module, args, kwargs, output)`, after forward."""
        return register(self._forward_hooks, hook, prepend=prepend,
                        extra=[(self._forward_hooks_with_kwargs, with_kwargs),
                               (self._forward_hooks_always_called, always_call)])

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """`hook(module, grad_output)` before the gradients of the inputs are computed."""
        return register(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook, prepend=False):
        """`hook(module, grad_input, grad_output)` when the gradients of the inputs are known."""
        _use_full(self, True)
        return register(self._backward_hooks, hook, prepend=prepend)

    def register_backward_hook(self, hook):
        """The old form of `register_full_backward_hook`: sees the last operation of the module only."""
        _use_full(self, False)
        return register(self._backward_hooks, hook)

    def register_state_dict_post_hook(self, hook):
        """`hook(module, state_dict, prefix, local_metadata)` at the end of `state_dict`."""
        hook._from_public_api = True
        return register(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook):
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was "
                "previously registered via register_state_dict_post_hook")
        return register(self._state_dict_hooks, hook)

    def register_state_dict_pre_hook(self, hook):
        """`hook(module, prefix, keep_vars)` at the start of `state_dict`."""
        return register(self._state_dict_pre_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook):
        """`hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors)` before loading."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        if with_module:
            hook = _BoundHook(hook, self)
        return register(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook):
        """`hook(module, incompatible_keys)` after `load_state_dict`."""
        return register(self._load_state_dict_post_hooks, hook)

    def _call_with_hooks(self, args, kwargs):
        own = self.__dict__.get
        before, after, back = (
            [*getattr(all_modules, name).items(), *own(name, _EMPTY).items()]
            for name in ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks"))
        back_before = [*all_modules._backward_pre_hooks.values(), *own("_backward_pre_hooks", _EMPTY).values()]
        called = set()
        result = None
        try:
            for key, hook in before:
                args, kwargs = _run_pre_hook(self, hook, args, kwargs, "_forward_pre_hooks_with_kwargs", key)
            gate, old_style = _backward_gate(self, back, back_before)
            if gate is not None:
                args = gate.enter(args)
            result = self.forward(*args, **kwargs)
            for key, hook in after:
                called.add(key)
                result = _run_hook(self, hook, args, kwargs, result, key)
            if gate is not None:
                result = gate.leave(result)
            if old_style:
                _register_on_grad_fn(self, old_style, result)
            return result
        except Exception as failure:
            # A hook that must always run sees the exception pass; its own failure must not hide it.
            always = {**all_modules._forward_hooks_always_called, **own("_forward_hooks_always_called", _EMPTY)}
            for key, hook in after:
                if key in always and key not in called:
                    try:
                        result = _run_hook(self, hook, args, kwargs, result, key)
                    except Exception as error:
                        import warnings
                        warnings.warn(f"module forward hook with ``always_call=True`` raised an exception that was "
                                      f"silenced as another error was raised in forward: {error}", stacklevel=2)
            if kwargs and isinstance(failure, TypeError) and failure.__traceback__.tb_next is None:
                self._refuse_keywords(kwargs)  # raised by the call of forward itself
            raise


class _BoundHook:
    """A hook that gets its module as first argument without keeping it alive."""

    def __init__(self, hook, module):
        self.hook = hook
        self.module = weakref.ref(module)

    def __call__(self, *args, **kwargs):
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self):
        return {"hook": self.hook, "module": self.module()}

    def __setstate__(self, state):
        if state["module"] is None:
            raise RuntimeError("You are trying to revive the hook of a dead Module!")
        self.__init__(state["hook"], state["module"])


def _use_full(owner, full):
    if owner._is_full_backward_hook is (not full):
        where = "as a global Module hook" if owner is all_modules else "on a single Module"
        raise RuntimeError(f"Cannot use both regular backward hooks and full backward hooks {where}. "
                           "Please use only one of them.")
    owner._is_full_backward_hook = full


def _marked(module, name, key):
    return key in module.__dict__.get(name, _EMPTY) or key in getattr(all_modules, name)


def _run_pre_hook(module, hook, args, kwargs, mark, key):
    if _marked(module, mark, key):
        changed = hook(module, args, kwargs)
        if changed is None:
            return args, kwargs
        if isinstance(changed, tuple) and len(changed) == 2:
            return changed
        raise RuntimeError("forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                           f"but got {changed}.")
    changed = hook(module, args)
    if changed is None:
        return args, kwargs
    return (changed if isinstance(changed, tuple) else (changed,)), kwargs


def _run_hook(module, hook, args, kwargs, result, key):
    if _marked(module, "_forward_hooks_with_kwargs", key):
        changed = hook(module, args, kwargs, result)
    else:
        changed = hook(module, args, result)
    return result if changed is None else changed


def _backward_gate(module, back, back_before):
    full, old_style = [], []
    own = module.__dict__.get("_backward_hooks", _EMPTY)
    for key, hook in back:
        holder = module if key in own else all_modules
        (full if holder._is_full_backward_hook else old_style).append(hook)
    if full or back_before:
        from ._backward_hook import Gate
        return Gate(module, full, back_before), old_style
    return None, old_style


def _register_on_grad_fn(module, hooks, result):
    while not isinstance(result, Tensor):
        result = next(v for v in result.values() if isinstance(v, Tensor)) if isinstance(result, dict) else result[0]
    if result.grad_fn is not None:
        for hook in hooks:
            result.grad_fn.register_hook(lambda grad_in, grad_out, hook=hook: hook(module, grad_in, grad_out))


def _register_for_all(name, hook, **options):
    from .module import Module
    Module._hooked = True
    return register(getattr(all_modules, name), hook, **options)


def register_module_forward_pre_hook(hook):
    """A forward pre-hook for all modules."""
    return _register_for_all("_forward_pre_hooks", hook)


def register_module_forward_hook(hook, *, with_kwargs=False, always_call=False):
    """A forward hook for all modules."""
    return _register_for_all("_forward_hooks", hook,
                             extra=[(all_modules._forward_hooks_with_kwargs, with_kwargs),
                                    (all_modules._forward_hooks_always_called, always_call)])


def register_module_full_backward_pre_hook(hook):
    """A full backward pre-hook for all modules."""
    return _register_for_all("_backward_pre_hooks", hook)


def register_module_full_backward_hook(hook):
    """A full backward hook for all modules."""
    _use_full(all_modules, True)
    return _register_for_all("_backward_hooks", hook)


def register_module_backward_hook(hook):
    """The old form of a full backward hook, for all modules."""
    _use_full(all_modules, False)
    return _register_for_all("_backward_hooks", hook)


# ---- hooks that see every buffer, parameter and module that a module takes

_registrations = {"buffer": OrderedDict(), "module": OrderedDict(), "parameter": OrderedDict()}


def registered(kind, module, name, value):
    """What is registered under a name: the value, or what the last hook made of it."""
    for hook in _registrations[kind].values():
        changed = hook(module, name, value)
        if changed is not None:
            value = changed
    return value


def register_module_buffer_registration_hook(hook):
    """`hook(module, name, buffer)` whenever a buffer is registered; what it returns takes its place."""
    return register(_registrations["buffer"], hook)


def register_module_module_registration_hook(hook):
    """`hook(module, name, submodule)` whenever a module is registered; what it returns takes its place."""
    return register(_registrations["module"], hook)


def register_module_parameter_registration_hook(hook):
    """`hook(module, name, parameter)` whenever a parameter is registered; what it returns takes its place."""
    return register(_registrations["parameter"], hook)
