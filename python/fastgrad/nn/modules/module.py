"""Module, the base of all layers and models.

Start at `__setattr__`, which sorts values into parameters, buffers, submodules and plain attributes. The call is native
(csrc/python/module_call.cpp). Registries are dicts whose entries are instance attributes too (`_registry.py`); hooks
live in `_hooks.py`, loading and saving in `_state.py`, casts and moves in `_convert.py`.
"""
import weakref

import fastgrad
from fastgrad import _C, Tensor
from fastgrad._missing import Spelled, misspelled, spelled

from ..parameter import Parameter
from ._convert import Convert
from ._hooks import (
    CALL_HOOKS,
    LAZY_DICTS,
    Hooks,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
    registered,
)
from ._registry import Registry
from ._state import StateDict

__all__ = [
    "Module", "register_module_backward_hook", "register_module_forward_hook", "register_module_forward_pre_hook",
    "register_module_full_backward_hook", "register_module_full_backward_pre_hook",
    "register_module_buffer_registration_hook", "register_module_module_registration_hook",
    "register_module_parameter_registration_hook"]

_REGISTRIES = ("_parameters", "_buffers", "_modules")
# Names that need care when assigned; anything else that is not a tensor or a module is a plain attribute.
_SPECIAL = CALL_HOOKS | frozenset(_REGISTRIES)


def typename(value):
    """The name of a value's type as torch's messages spell it; for tensors the old name by dtype."""
    if isinstance(value, Tensor):
        return value.type()
    kind = type(value)
    module = kind.__module__
    if module in ("builtins", None):
        return kind.__qualname__
    return f"{module}.{kind.__qualname__}"


class Module(Hooks, StateDict, Convert, Spelled, _C._Call):
    """Base class of all models: holds parameters, buffers and other modules.

    >>> import fastgrad
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = Parameter(fastgrad.ones(1))
    ...     def forward(self, x):
    ...         return x * self.factor
    """

    dump_patches = False
    _version = 1
    call_super_init = False

    def __init__(self, *args, **kwargs):
        if not self.call_super_init:
            if kwargs:
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                                f"'{next(iter(kwargs))}'")
            if args:
                raise TypeError(f"{type(self).__name__}.__init__() takes 1 positional argument but "
                                f"{len(args) + 1} were given")
        attributes = self.__dict__
        owner = weakref.ref(self)
        attributes["training"] = True
        for name in _REGISTRIES:
            attributes[name] = Registry(owner)
        attributes["_non_persistent_buffers_set"] = set()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *input):
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    # Where programs reach for what stands between a call and forward.
    _call_impl = _wrapped_call_impl = _C._Call.__call__

    def _refuse_keywords(self, keywords):
        """Raises for a keyword that forward does not take; called after the call of forward itself failed."""
        text = misspelled(getattr(self.forward, "__func__", self.forward), keywords)
        if text:
            raise TypeError(f"{type(self).__name__}.{text}") from None

    # ---- attributes

    def __getattr__(self, name):
        # Only for what is in no dict: hook dicts before their first use, and registries that were restored by hand.
        attributes = self.__dict__
        for registry in _REGISTRIES:
            if name in attributes.get(registry, ()):
                return attributes[registry][name]
        if name in LAZY_DICTS and "_parameters" in attributes:
            from collections import OrderedDict
            hooks = attributes[name] = OrderedDict()
            if name in CALL_HOOKS:
                attributes["_hooked"] = True
            return hooks
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name, value):
        if isinstance(value, Tensor):
            # Only other types than Tensor itself can be parameters, and asking for the class Parameter is slow.
            if type(value) is not Tensor and isinstance(value, Parameter):
                self._take(name, "_parameters", "parameters", "_buffers", "_modules")
                self.register_parameter(name, value)
                return
            if getattr(value, "_is_buffer", False):
                self._take(name, "_buffers", "buffer", "_parameters", "_modules")
                self.register_buffer(name, value, getattr(value, "persistent", True))
                return
        elif isinstance(value, Module):
            self._take(name, "_modules", "module", "_parameters", "_buffers")
            self.__dict__["_modules"][name] = registered("module", self, name, value)
            return
        attributes = self.__dict__
        if "_parameters" in attributes:
            if name in attributes["_parameters"]:
                if value is not None:
                    raise TypeError(f"cannot assign '{typename(value)}' as parameter '{name}' "
                                    "(torch.nn.Parameter or None expected)")
                self.register_parameter(name, value)
                return
            if name in attributes["_modules"]:
                if value is not None:
                    raise TypeError(f"cannot assign '{typename(value)}' as child module '{name}' "
                                    "(torch.nn.Module or None expected)")
                attributes["_modules"][name] = value
                return
            if name in attributes["_buffers"]:
                if value is not None and not isinstance(value, Tensor):
                    raise TypeError(f"cannot assign '{typename(value)}' as buffer '{name}' "
                                    "(torch.nn.Buffer, torch.Tensor or None expected)")
                attributes["_buffers"][name] = value
                return
        if name in _SPECIAL:
            if name in CALL_HOOKS:
                attributes["_hooked"] = True
            else:
                value = self._adopt(name, value)
        object.__setattr__(self, name, value)

    def _take(self, name, registry, what, *others):
        """Makes a name free for an entry of `registry`."""
        attributes = self.__dict__
        if registry not in attributes:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        if name not in attributes[registry]:
            for other in others:
                attributes[other].pop(name, None)
            attributes.pop(name, None)
        if registry != "_buffers":
            attributes["_non_persistent_buffers_set"].discard(name)

    def _adopt(self, name, entries):
        """A dict given for one of the registries becomes a Registry of this module."""
        old = self.__dict__.get(name)
        if isinstance(old, Registry):
            for key, value in old.items():
                old._forget(key, value)
        return entries if entries is None else Registry(weakref.ref(self), entries)

    def __delattr__(self, name):
        attributes = self.__dict__
        for registry in _REGISTRIES:
            if name in attributes.get(registry, ()):
                del attributes[registry][name]
                attributes["_non_persistent_buffers_set"].discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self):
        return sorted(key for key in {*dir(type(self)), *self.__dict__} if not key[:1].isdigit())

    # ---- registration

    @spelled
    def register_buffer(self, name, tensor, persistent=True):
        """Adds a tensor that is no parameter; it is in the state dict if `persistent`."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{typename(tensor)}' object to buffer '{name}' "
                            "(torch Tensor or None required)")
        self._buffers[name] = registered("buffer", self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name, param):
        """Adds a parameter, or None as a placeholder for one."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(f"cannot assign '{typename(param)}' object to parameter '{name}' "
                                "(torch.nn.Parameter or None required)")
            if param.grad_fn is not None:
                raise ValueError(f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                                 f"created explicitly. To express '{name}' as a function of another Tensor, compute "
                                 "the value in the forward() method.")
        self._parameters[name] = registered("parameter", self, name, param)

    def add_module(self, name, module):
        """Adds a submodule under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._check_name("module", name, self._modules)
        self._modules[name] = registered("module", self, name, module)

    def register_module(self, name, module):
        """Same as `add_module`."""
        self.add_module(name, module)

    def _check_name(self, what, name, registry):
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {typename(name)}")
        if name not in registry and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain "."' + (f", got: {name}" if what == "module" else ""))
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')

    # ---- finding members

    def get_submodule(self, target):
        """The submodule of a dotted name."""
        module = self
        for part in target.split(".") if target else ():
            if not hasattr(module, part):
                raise AttributeError(f"{module._get_name()} has no attribute `{part}`")
            module = getattr(module, part)
            if not isinstance(module, Module):
                raise AttributeError(f"`{part}` is not an nn.Module")
        return module

    def set_submodule(self, target, module, strict=False):
        """Replaces the submodule of a dotted name, or adds one unless `strict`."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target):
        """The parameter of a dotted name."""
        parent, name, value = self._get_member(target)
        if not isinstance(value, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return value

    def get_buffer(self, target):
        """The buffer of a dotted name."""
        parent, name, value = self._get_member(target)
        if name not in parent._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return value

    def _get_member(self, target):
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        return parent, name, getattr(parent, name)

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        """Pairs of name and module: this one, then all below it."""
        if memo is None:
            memo = set()
        if self not in memo:
            if remove_duplicate:
                memo.add(self)
            yield prefix, self
            for name, module in self._modules.items():
                if module is not None:
                    yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate=True):
        """This module, then all below it."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self):
        """Pairs of name and module, one level down."""
        memo = set()
        for name, module in self._modules.items():
            if module is not None and module not in memo:
                memo.add(module)
                yield name, module

    def children(self):
        """The modules one level down."""
        for _, module in self.named_children():
            yield module

    def _named_members(self, get_members_fn, prefix="", recurse=True, remove_duplicate=True):
        memo = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for module_prefix, module in modules:
            for name, member in get_members_fn(module):
                if member is None or member in memo:
                    continue
                if remove_duplicate:
                    memo.add(member)
                yield (f"{module_prefix}.{name}" if module_prefix else name), member

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """Pairs of name and parameter, in order of registration."""
        return self._named_members(lambda module: module._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse=True):
        """The parameters, in order of registration."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        """Pairs of name and buffer."""
        return self._named_members(lambda module: module._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        """The buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # ---- whole-module changes

    def apply(self, fn):
        """Calls `fn` with every module below this one and then with this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode=True):
        """Sets training mode, for this module and all below."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """Sets evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        """Switches recording for all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def compile(self, *args, **kwargs):
        """Accepts what `fastgrad.compile` does and changes nothing: there is no compiler, calls run as they are."""
        fastgrad.compile(self.forward, *args, **kwargs)

    @spelled
    def zero_grad(self, set_to_none=True):
        """Clears the gradients of all parameters."""
        _C._zero_grad(list(self.parameters()), set_to_none)

    # ---- text and copies

    def _get_name(self):
        return type(self).__name__

    def extra_repr(self):
        """What stands between the brackets of the printed form; for subclasses to define."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        child_lines = [f"({name}): {_addindent(repr(module), 2)}" for name, module in self._modules.items()]
        if len(extra_lines) == 1 and not child_lines:
            body = extra_lines[0]
        elif extra_lines or child_lines:
            body = "\n  " + "\n  ".join(extra_lines + child_lines) + "\n"
        else:
            body = ""
        return f"{self._get_name()}({body})"

    def __getstate__(self):
        # The registries carry what is mirrored in the instance dict, and go as plain dicts.
        state = self.__dict__.copy()
        for name in _REGISTRIES:
            registry = state.get(name)
            if isinstance(registry, Registry):
                for key, value in registry.items():
                    if state.get(key) is value:
                        del state[key]
                state[name] = dict(registry)
        return state

    def __setstate__(self, state):
        attributes = self.__dict__
        attributes.update(state)
        owner = weakref.ref(self)
        for name in _REGISTRIES:
            attributes[name] = Registry(owner, attributes.get(name) or ())
        attributes.setdefault("_non_persistent_buffers_set", set())
        for name in LAZY_DICTS & attributes.keys():
            if not attributes[name]:
                del attributes[name]
            elif name in CALL_HOOKS:
                attributes["_hooked"] = True


def _addindent(text, spaces):
    """A text with all lines but the first moved in."""
    first, *lines = text.split("\n")
    return "\n".join([first, *(" " * spaces + line if line.strip() else "" for line in lines)])
