"""Adadelta."""
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
    rate,
)

__all__ = ["Adadelta"]


class Adadelta(FusedOptimizer):
    """Steps by the gradient times the ratio of the running means of past steps and of gradients."""

    _capturable_on = "['cuda', 'xpu', 'hpu', 'privateuseone']"

    def __init__(self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, foreach=None, *, capturable=False,
                 maximize=False, differentiable=False):
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_eps(eps)
        check_not_negative("weight_decay", weight_decay)
        check_flags(foreach, None, differentiable)
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable})

    def _start(self, param, group):
        return {"step": number_tensor(0.0, param, group), "square_avg": fastgrad.zeros_like(param),
                "acc_delta": fastgrad.zeros_like(param)}

    def _update(self, group, params, grads, states):
        _C._adadelta_step(params, grads, column(states, "square_avg"), column(states, "acc_delta"),
                          column(states, "step"), rate(group), group["rho"], group["eps"],
                          group["weight_decay"], group["maximize"])
