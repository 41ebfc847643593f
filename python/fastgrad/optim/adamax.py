"""Adamax."""
import fastgrad
from fastgrad import _C

from .optimizer import (
    FusedOptimizer,
    check_betas,
    check_eps,
    check_flags,
    check_lr,
    check_not_negative,
    column,
    number_tensor,
    rate,
)

__all__ = ["Adamax"]


class Adamax(FusedOptimizer):
    """Adam with the largest gradient, slowly forgotten, in place of the mean square."""

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, foreach=None, *, maximize=False,
                 differentiable=False, capturable=False):
        check_lr(lr)
        check_eps(eps)
        check_betas(betas)
        check_not_negative("weight_decay", weight_decay)
        check_flags(foreach, None, differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable})

    def _start(self, param, group):
        return {"step": number_tensor(0.0, param, group), "exp_avg": fastgrad.zeros_like(param),
                "exp_inf": fastgrad.zeros_like(param)}

    def _update(self, group, params, grads, states):
        _C._adamax_step(params, grads, column(states, "exp_avg"), column(states, "exp_inf"), column(states, "step"),
                        rate(group), *group["betas"], group["eps"], group["weight_decay"], group["maximize"])
