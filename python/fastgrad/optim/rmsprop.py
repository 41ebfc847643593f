"""RMSprop."""
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

__all__ = ["RMSprop"]


class RMSprop(FusedOptimizer):
    """Steps by the gradient over the root of the running mean of its square."""

    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False,
                 capturable=False, foreach=None, maximize=False, differentiable=False):
        check_lr(lr)
        check_eps(eps)
        check_not_negative("momentum", momentum)
        check_not_negative("weight_decay", weight_decay)
        check_not_negative("alpha", alpha)
        check_flags(foreach, None, differentiable)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable})

    def _start(self, param, group):
        state = {"step": number_tensor(0.0, param, group), "square_avg": fastgrad.zeros_like(param)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = fastgrad.zeros_like(param)
        if group["centered"]:
            state["grad_avg"] = fastgrad.zeros_like(param)
        return state

    def _update(self, group, params, grads, states):
        momentum, centered = group["momentum"], group["centered"]
        _C._rmsprop_step(params, grads, column(states, "square_avg"),
                         column(states, "momentum_buffer") if momentum > 0 else [],
                         column(states, "grad_avg") if centered else [], column(states, "step"), rate(group),
                         group["alpha"], group["eps"], group["weight_decay"], momentum, centered, group["maximize"])
