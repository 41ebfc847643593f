"""RAdam."""
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

__all__ = ["RAdam"]


class RAdam(FusedOptimizer):
    """Adam that divides by the mean square only once enough steps make it reliable."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled_weight_decay=False, *,
                 foreach=None, maximize=False, capturable=False, differentiable=False):
        check_lr(lr)
        check_eps(eps)
        check_betas(betas)
        check_not_negative("weight_decay", weight_decay)
        check_flags(foreach, None, differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable})

    def _start(self, param, group):
        return {"step": number_tensor(0.0, param, group), "exp_avg": fastgrad.zeros_like(param),
                "exp_avg_sq": fastgrad.zeros_like(param)}

    def _update(self, group, params, grads, states):
        _C._radam_step(params, grads, column(states, "exp_avg"), column(states, "exp_avg_sq"), column(states, "step"),
                       rate(group), *group["betas"], group["eps"], group["weight_decay"], group["maximize"],
                       group["decoupled_weight_decay"])
