"""Adam."""
import fastgrad
from fastgrad import _C, Tensor

from .optimizer import Optimizer, check_flags, check_lr, check_not_negative, run_closure, with_grads

__all__ = ["Adam"]


class Adam(Optimizer):
    """Steps by running means of the gradient and of its square."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, *, foreach=None,
                 maximize=False, capturable=False, differentiable=False, fused=None, decoupled_weight_decay=False):
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        check_not_negative("weight_decay", weight_decay)
        if not all(isinstance(beta, float) for beta in betas) and not all(isinstance(beta, Tensor) for beta in betas):
            raise ValueError("betas must be either both floats or both Tensors")
        check_flags(foreach, fused, differentiable)
        super().__init__(params, {
            "lr": lr, "betas": tuple(map(float, betas)), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay})

    def __setstate__(self, state):
        super().__setstate__(state)
        for state in self.state.values():
            if "step" in state and not isinstance(state["step"], Tensor):
                state["step"] = fastgrad.tensor(float(state["step"]), dtype=fastgrad.float32)

    def _states_of(self, params, amsgrad):
        states = [self.state[param] for param in params]
        if not all(states):
            for param, state in zip(params, states):
                if not state:
                    state["step"] = fastgrad.tensor(0.0, dtype=fastgrad.float32)
                    state["exp_avg"] = fastgrad.zeros_like(param)
                    state["exp_avg_sq"] = fastgrad.zeros_like(param)
                    if amsgrad:
                        state["max_exp_avg_sq"] = fastgrad.zeros_like(param)
        return states

    def step(self, closure=None):
        """Updates the parameters."""
        loss = None if closure is None else run_closure(closure)
        for group in self.param_groups:
            params, grads = with_grads(group["params"])
            if not params:
                continue
            amsgrad = group["amsgrad"]
            states = self._states_of(params, amsgrad)
            beta1, beta2 = group["betas"]
            _C._adam_step(params, grads, [state["exp_avg"] for state in states],
                          [state["exp_avg_sq"] for state in states],
                          [state["max_exp_avg_sq"] for state in states] if amsgrad else [],
                          [state["step"] for state in states], float(group["lr"]), beta1, beta2, group["eps"],
                          group["weight_decay"], amsgrad, group["maximize"], group["decoupled_weight_decay"])
        return loss
