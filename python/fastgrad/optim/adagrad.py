"""Adagrad."""
import fastgrad
from fastgrad import _C

from .optimizer import (
    FusedOptimizer,
    check_eps,
    check_flags,
    check_lr,
    check_not_negative,
    column,
    number_tensor,
)

__all__ = ["Adagrad"]


class Adagrad(FusedOptimizer):
    """Steps by the gradient over the root of the sum of all its squares."""

    def __init__(self, params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10,
                 foreach=None, *, maximize=False, differentiable=False, fused=None):
        check_lr(lr)
        check_not_negative("lr_decay", lr_decay)
        check_not_negative("weight_decay", weight_decay)
        check_not_negative("initial_accumulator_value", initial_accumulator_value)
        check_eps(eps)
        check_flags(foreach, fused, differentiable)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused})
        for group in self.param_groups:  # here the state is there from the start
            for param in group["params"]:
                self.state[param] = self._start(param, group)

    def _start(self, param, group):
        first = self.defaults["initial_accumulator_value"]
        return {"step": number_tensor(0.0),
                "sum": fastgrad.full_like(param, complex(first, first) if param.is_complex() else first)}

    def share_memory(self):
        """Not available: tensors are not shared between processes."""
        raise NotImplementedError("Adagrad.share_memory: tensors cannot be shared between processes")

    def _update(self, group, params, grads, states):
        _C._adagrad_step(params, grads, column(states, "sum"), column(states, "step"), float(group["lr"]),
                         group["lr_decay"], group["weight_decay"], group["eps"], group["maximize"])
