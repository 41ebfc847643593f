"""Averaged stochastic gradient descent."""
import fastgrad
from fastgrad import _C

from .optimizer import FusedOptimizer, check_flags, check_lr, check_not_negative, column, number_tensor, rate

__all__ = ["ASGD"]


class ASGD(FusedOptimizer):
    """Gradient descent with a falling rate that keeps the average of the parameters since step `t0`."""

    _numbers = ("step", "eta", "mu")
    _must_be_on_device = "params, mus, etas, and state_steps"

    def __init__(self, params, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0, foreach=None, maximize=False,
                 differentiable=False, capturable=False):
        check_lr(lr)
        check_not_negative("weight_decay", weight_decay)
        check_flags(foreach, None, differentiable)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable})

    def _start(self, param, group):
        return {"step": number_tensor(0.0, param, group), "eta": number_tensor(float(group["lr"]), param, group),
                "mu": number_tensor(1.0, param, group), "ax": fastgrad.zeros_like(param)}

    def _update(self, group, params, grads, states):
        _C._asgd_step(params, grads, column(states, "ax"), column(states, "mu"), column(states, "eta"),
                      column(states, "step"), rate(group), group["lambd"], group["alpha"], group["t0"],
                      group["weight_decay"], group["maximize"])
