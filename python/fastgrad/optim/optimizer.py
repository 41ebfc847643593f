"""Optimizer, the base of all optimizers: parameter groups, state, hooks, saving and loading.

An optimizer's `step` gathers lists and makes one native call per group; nothing else of it runs in a training loop.
"""
from collections import OrderedDict, defaultdict
from functools import wraps
from sys import modules

import fastgrad
from fastgrad import _C, Tensor
from fastgrad._missing import Spelled

from ..nn.modules._hooks import register
from ..nn.modules.module import typename

__all__ = ["Optimizer", "register_optimizer_step_pre_hook", "register_optimizer_step_post_hook"]


class _Required:
    """Default of an option that every group must name."""

    def __repr__(self):
        return "<required parameter>"


required = _Required()

_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks", "_optimizer_state_dict_pre_hooks",
          "_optimizer_state_dict_post_hooks", "_optimizer_load_state_dict_pre_hooks",
          "_optimizer_load_state_dict_post_hooks")


class Optimizer(Spelled):
    """Base class of all optimizers; a subclass defines `step`."""

    _numbers = ("step",)  # entries of a state that are tensors of one element

    def __init__(self, params, defaults):
        self.defaults = defaults
        for name in _HOOKS:
            self.__dict__[name] = OrderedDict()
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                            + typename(params))
        if _global_optimizer_pre_hooks or _global_optimizer_post_hooks:
            _make_step_hookable(type(self))  # a class made after the hooks
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def step(self, closure=None):
        """Updates the parameters; `closure` computes the loss again and returns it."""
        raise NotImplementedError

    def zero_grad(self, set_to_none=True):
        """Clears the gradients of all parameters."""
        for group in self.param_groups:
            _C._zero_grad(group["params"], set_to_none)

    def add_param_group(self, param_group):
        """Adds parameters with options of their own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, but the ordering of "
                            "tensors in sets will change between runs. Please use a list instead.")
        params = [params] if isinstance(params, Tensor) else list(params)
        names = [entry[0] for entry in params if isinstance(entry, tuple)]
        if names:
            if len(names) != len(params):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            params = [entry[1] for entry in params]
            param_group["param_names"] = names
        param_group["params"] = params
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError("optimizer can only optimize Tensors, but one of the params is " + typename(param))
            if not self.defaults.get("differentiable") and not (param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError("parameter group didn't specify a value of required optimization parameter " + name)
            param_group.setdefault(name, default)
        if len(params) != len(set(params)):
            import warnings
            warnings.warn("optimizer contains a parameter group with duplicate parameters; in future, this will cause "
                          "an error; see github.com/pytorch/pytorch/issues/40967 for more information", stacklevel=3)
        for group in self.param_groups:
            if ("param_names" in param_group) != ("param_names" in group):
                kind = "with names" if "param_names" in param_group else "without names"
                raise ValueError("all optimizer param groups should be with/without names. cannot add param group "
                                 f"{kind} to the optimizer")
            if not set(group["params"]).isdisjoint(params):
                raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    # ---- hooks

    @staticmethod
    def profile_hook_step(func):
        """A `step` that runs the hooks around `func`."""
        @wraps(func)
        def step(self, *args, **kwargs):
            for hook in (*_global_optimizer_pre_hooks.values(), *self._optimizer_step_pre_hooks.values()):
                changed = hook(self, (self, *args), kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise RuntimeError(f"{func} must return None or a tuple of (new_args, new_kwargs), "
                                           f"but got {changed}.")
                    (self, *args), kwargs = changed
            result = func(self, *args, **kwargs)
            for hook in (*self._optimizer_step_post_hooks.values(), *_global_optimizer_post_hooks.values()):
                hook(self, (self, *args), kwargs)
            return result

        step.hooked = True
        return step

    def register_step_pre_hook(self, hook):
        """`hook(optimizer, args, kwargs)` before every step."""
        _make_step_hookable(type(self))
        return register(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook):
        """`hook(optimizer, args, kwargs)` after every step."""
        _make_step_hookable(type(self))
        return register(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook, prepend=False):
        """`hook(optimizer)` before `state_dict`."""
        return register(self._optimizer_state_dict_pre_hooks, hook, prepend=prepend)

    def register_state_dict_post_hook(self, hook, prepend=False):
        """`hook(optimizer, state_dict)` after `state_dict`; what it returns replaces the state dict."""
        return register(self._optimizer_state_dict_post_hooks, hook, prepend=prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend=False):
        """`hook(optimizer, state_dict)` before `load_state_dict`; what it returns is loaded instead."""
        return register(self._optimizer_load_state_dict_pre_hooks, hook, prepend=prepend)

    def register_load_state_dict_post_hook(self, hook, prepend=False):
        """`hook(optimizer)` after `load_state_dict`."""
        return register(self._optimizer_load_state_dict_post_hooks, hook, prepend=prepend)

    # ---- saving and loading

    def state_dict(self):
        """State and options, with parameters as numbers in order of the groups."""
        for hook in tuple(self._optimizer_state_dict_pre_hooks.values()):
            hook(self)
        numbers = {}
        groups = []
        start = 0
        for group in self.param_groups:
            params = group["params"]
            for i, param in enumerate(params, start):
                numbers.setdefault(param, i)
            start += len(params)
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[param] for param in params]
            groups.append(packed)
        state = {numbers[key] if isinstance(key, Tensor) else key: value for key, value in self.state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in tuple(self._optimizer_state_dict_post_hooks.values()):
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict):
        """Takes over what `state_dict` returned, cast to the parameters' dtype and device."""
        from copy import deepcopy
        state_dict = state_dict.copy()
        for hook in tuple(self._optimizer_load_state_dict_pre_hooks.values()):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(group["params"]) != len(other["params"]) for group, other in zip(groups, saved)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of "
                             "optimizer's group")
        params = {number: param for group, other in zip(groups, saved)
                  for number, param in zip(other["params"], group["params"])}
        state = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                state[params[key]] = _cast(params[key], value, self._numbers)
            else:
                state[key] = value
        for group, other in zip(groups, saved):
            other["params"] = group["params"]
            if "param_names" in group:
                other.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in tuple(self._optimizer_load_state_dict_post_hooks.values()):
            hook(self)

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        for name in _HOOKS:
            self.__dict__.setdefault(name, OrderedDict())
        # Options that a state saved by an older version does not have.
        for group in self.param_groups:
            for name, default in self.defaults.items():
                group.setdefault(name, default)

    def __repr__(self):
        text = type(self).__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
        return text + ")"


def _cast(param, value, numbers, key=None):
    """A value of a loaded state, tensors in the parameter's dtype and on its device.

    Step counts stay as they are, and the other numbers do not become half ones.
    """
    if isinstance(value, Tensor):
        if key == "step" or key in numbers and param.dtype.itemsize < 4:
            return value
        if param.is_floating_point():
            return value.to(device=param.device, dtype=param.dtype)
        return value.to(device=param.device)
    if isinstance(value, dict):
        return {name: _cast(param, entry, numbers, name) for name, entry in value.items()}
    if isinstance(value, (list, tuple, set)):
        return type(value)(_cast(param, entry, numbers) for entry in value)
    return value


_global_optimizer_pre_hooks = OrderedDict()
_global_optimizer_post_hooks = OrderedDict()


def register_optimizer_step_pre_hook(hook):
    """`hook(optimizer, args, kwargs)` before every step of every optimizer."""
    _make_all_hookable(Optimizer)
    return register(_global_optimizer_pre_hooks, hook)


def register_optimizer_step_post_hook(hook):
    """`hook(optimizer, args, kwargs)` after every step of every optimizer."""
    _make_all_hookable(Optimizer)
    return register(_global_optimizer_post_hooks, hook)


def _make_all_hookable(cls):
    for kind in cls.__subclasses__():
        if kind is not FusedOptimizer:  # an inherited step is wrapped in the class that is used
            _make_step_hookable(kind)
        _make_all_hookable(kind)


def _make_step_hookable(cls):
    """Wraps the `step` of a class so that it runs hooks; classes without hooks keep the bare function."""
    if not getattr(cls.step, "hooked", False):
        cls.step = Optimizer.profile_hook_step(cls.step)


def run_closure(closure):
    """The loss of a closure, computed with gradients."""
    with fastgrad.enable_grad():
        return closure()


def with_grads(params):
    """The parameters that have a gradient, and the gradients."""
    grads = [param.grad for param in params]
    for grad in grads:
        if grad is None:
            break
    else:
        return params, grads
    pairs = [(param, grad) for param, grad in zip(params, grads) if grad is not None]
    return [param for param, _ in pairs], [grad for _, grad in pairs]


class FusedOptimizer(Optimizer):
    """An optimizer whose step is one native call for each group; a subclass defines `_start` and `_update`."""

    _must_be_on_device = "params and state_steps"  # with capturable=True, as the error names them
    _capturable_on = "['cuda', 'xpu', 'hpu', 'privateuseone', 'xla']"

    def _start(self, param, group):
        """The state of a parameter before its first step, a dictionary."""
        raise NotImplementedError

    def _update(self, group, params, grads, states):
        """The step of a group; none of the lists is empty."""
        raise NotImplementedError

    def step(self, closure=None):
        """Updates the parameters."""
        capturing = is_capturing(self)
        loss = None if closure is None else run_closure(closure)
        for group in self.param_groups:
            params, grads = with_grads(group["params"])
            if not params:
                continue
            states = [self.state[param] for param in params]
            if not all(states):
                if capturing:
                    refuse_fresh_state(self)
                self._start_all(group, params, states)
            if group.get("capturable"):
                self._check_capturable(params, states)
            self._update(group, params, grads, states)
        return loss

    def _start_all(self, group, params, states):
        """Fills the states that are empty."""
        # A kernel wants numbers of one dtype. Those of loaded states are float32 whatever the default dtype is, as in
        # torch, and the default may have changed since: new ones are like those that are there.
        there = [self.state[param]["step"].dtype for param in group["params"]
                 if "step" in self.state.get(param, ())] if group.get("capturable") else ()
        for param, state in zip(params, states):
            if not state:
                state.update(self._start(param, group))
                if there:
                    state.update({name: state[name].to(there[0]) for name in self._numbers})

    def _check_capturable(self, params, states):
        """Raises for capturable=True where it cannot be had."""
        for param, state in zip(params, states):
            if not param.is_cuda or not all(state[name].is_cuda for name in self._numbers):
                raise AssertionError(f"If capturable=True, {self._must_be_on_device} must be on supported devices: "
                                     f"{self._capturable_on}.")

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            on_device = group.get("capturable")
            for param in group["params"]:
                state = self.state.get(param, ())
                for name in self._numbers:
                    if name in state:
                        value = state[name]
                        if not isinstance(value, Tensor):  # in states of old versions
                            value = number_tensor(float(value))
                        state[name] = value.to(param.device, fastgrad.float32) if on_device else value.cpu()


def number_tensor(value, param=None, group=None):
    """A number of a state, such as a step counter: a tensor, float64 where that is the default dtype.

    It is on the parameter's device in a group with `capturable=True`.
    """
    double = fastgrad.get_default_dtype() is fastgrad.float64
    device = param.device if group and group["capturable"] else "cpu"
    return fastgrad.tensor(value, dtype=fastgrad.float64 if double else fastgrad.float32, device=device)


def rate(group):
    """The learning rate of a group for its native call: a tensor stays on the device with `capturable=True`."""
    lr = group["lr"]
    if not (group["capturable"] and isinstance(lr, Tensor) and lr.is_cuda):
        return float(lr)
    # The native call takes float32 and float64. Of others a graph records the cast, so it follows changes too.
    return lr if lr.dtype in (fastgrad.float32, fastgrad.float64) else lr.detach().float()


def column(states, name):
    """One entry of all states."""
    return [state[name] for state in states]


def capturing_now():
    """Whether a CUDA graph is being recorded."""
    graphs = modules.get("fastgrad.cuda.graphs")
    return graphs is not None and graphs.is_current_stream_capturing()


def is_capturing(optimizer):
    """The same for an optimizer that needs capturable=True then: the numbers of a step are kept on the device."""
    if not capturing_now():
        return False
    if not all(group.get("capturable") for group in optimizer.param_groups):
        raise RuntimeError(f"Attempting CUDA graph capture of step() for an instance of {type(optimizer).__name__} but "
                           "param_groups' capturable is False.")
    return True


def refuse_fresh_state(optimizer):
    """Raises for the first step of a parameter in a CUDA graph, whose replays would all be a first step."""
    raise RuntimeError(f"{type(optimizer).__name__}.step: the state of the parameters must exist before a CUDA graph "
                       "is captured: make some steps as a warm-up")


def check_not_negative(what, value):
    """Raises for a value below 0, or one that is not a number."""
    if not value >= 0.0:
        raise ValueError(f"Invalid {what} value: {value}")


def check_lr(lr):
    """Raises unless a learning rate is a number of at least 0 or a tensor with one."""
    check_lr_is_number(lr)
    if not lr >= 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_lr_is_number(lr):
    """Raises for a tensor of several elements."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")


def check_flags(foreach=None, fused=None, differentiable=False):
    """Raises for options that exclude each other or that fastgrad does not have."""
    if differentiable:
        if fused:
            raise RuntimeError("`fused` does not support `differentiable`")
        raise NotImplementedError("optimizers with differentiable=True are not supported")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def check_betas(betas):
    """Raises unless the two decay rates are in [0, 1)."""
    for i in range(2):
        if not 0.0 <= betas[i] < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {betas[i]}")


def check_eps(eps):
    """Raises for a term below 0."""
    if not 0.0 <= eps:
        raise ValueError(f"Invalid epsilon value: {eps}")
