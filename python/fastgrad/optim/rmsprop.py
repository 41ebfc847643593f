"""RMSprop."""
import fastgrad
from fastgrad import _C, Tensor

from .optimizer import Optimizer, check_flags, check_lr, check_not_negative, run_closure, with_grads

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Steps by the gradient over the root of the running mean of its square."""

    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False,
                 capturable=False, foreach=None, maximize=False, differentiable=False):
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_not_negative("momentum", momentum)
        check_not_negative("weight_decay", weight_decay)
        check_not_negative("alpha", alpha)
        check_flags(foreach, None, differentiable)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable})

    def __setstate__(self, state):
        super().__setstate__(state)
        for state in self.state.values():
            if "step" in state and not isinstance(state["step"], Tensor):
                state["step"] = fastgrad.tensor(float(state["step"]), dtype=fastgrad.float32)

    def _states_of(self, params, group):
        states = [self.state[param] for param in params]
        if not all(states):
            for param, state in zip(params, states):
                if not state:
                    state["step"] = fastgrad.tensor(0.0, dtype=fastgrad.float32)
                    state["square_avg"] = fastgrad.zeros_like(param)
                    if group["momentum"] > 0:
                        state["momentum_buffer"] = fastgrad.zeros_like(param)
                    if group["centered"]:
                        state["grad_avg"] = fastgrad.zeros_like(param)
        return states

    def step(self, closure=None):
        """Updates the parameters."""
        loss = None if closure is None else run_closure(closure)
        for group in self.param_groups:
            params, grads = with_grads(group["params"])
            if not params:
                continue
            states = self._states_of(params, group)
            momentum, centered = group["momentum"], group["centered"]
            _C._rmsprop_step(params, grads, [state["square_avg"] for state in states],
                             [state["momentum_buffer"] for state in states] if momentum > 0 else [],
                             [state["grad_avg"] for state in states] if centered else [],
                             [state["step"] for state in states], float(group["lr"]), group["alpha"], group["eps"],
                             group["weight_decay"], momentum, centered, group["maximize"])
        return loss
