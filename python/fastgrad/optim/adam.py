"""Adam."""
import fastgrad
from fastgrad import _C, Tensor

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

__all__ = ["Adam"]


class Adam(FusedOptimizer):
    """Steps by running means of the gradient and of its square.

    With `capturable=True` the step counters are on the device, and a learning rate may be: so can a CUDA graph hold it.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, *, foreach=None,
                 maximize=False, capturable=False, differentiable=False, fused=None, decoupled_weight_decay=False):
        check_lr(lr)
        check_eps(eps)
        check_betas(betas)
        check_not_negative("weight_decay", weight_decay)
        if not all(isinstance(beta, float) for beta in betas) and not all(isinstance(beta, Tensor) for beta in betas):
            raise ValueError("betas must be either both floats or both Tensors")
        check_flags(foreach, fused, differentiable)
        super().__init__(params, {
            "lr": lr, "betas": tuple(map(float, betas)), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay})

    def _start(self, param, group):
        state = {"step": number_tensor(0.0, param, group), "exp_avg": fastgrad.zeros_like(param),
                 "exp_avg_sq": fastgrad.zeros_like(param)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = fastgrad.zeros_like(param)
        return state

    def _update(self, group, params, grads, states):
        beta1, beta2 = group["betas"]
        amsgrad = group["amsgrad"]
        _C._adam_step(params, grads, column(states, "exp_avg"), column(states, "exp_avg_sq"),
                      column(states, "max_exp_avg_sq") if amsgrad else [], column(states, "step"),
                      rate(group), beta1, beta2, group["eps"], group["weight_decay"],
                      amsgrad, group["maximize"], group["decoupled_weight_decay"])
