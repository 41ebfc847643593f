"""NAdam."""
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

__all__ = ["NAdam"]


class NAdam(FusedOptimizer):
    """Adam with Nesterov's momentum, whose strength grows with the steps."""

    _numbers = ("step", "mu_product")
    _must_be_on_device = "params, mu_products and state_steps"

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3,
                 decoupled_weight_decay=False, *, foreach=None, maximize=False, capturable=False,
                 differentiable=False):
        check_lr(lr)
        check_eps(eps)
        check_betas(betas)
        check_not_negative("weight_decay", weight_decay)
        check_not_negative("momentum_decay", momentum_decay)
        check_flags(foreach, None, differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable})

    def _start(self, param, group):
        return {"step": number_tensor(0.0, param, group), "mu_product": number_tensor(1.0, param, group),
                "exp_avg": fastgrad.zeros_like(param), "exp_avg_sq": fastgrad.zeros_like(param)}

    def _update(self, group, params, grads, states):
        _C._nadam_step(params, grads, column(states, "exp_avg"), column(states, "exp_avg_sq"),
                       column(states, "mu_product"), column(states, "step"), rate(group), *group["betas"],
                       group["eps"], group["weight_decay"], group["momentum_decay"], group["maximize"],
                       group["decoupled_weight_decay"])
