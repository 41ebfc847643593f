"""Rprop."""
import fastgrad
from fastgrad import _C

from .optimizer import FusedOptimizer, check_flags, check_lr, column, number_tensor

__all__ = ["Rprop"]


class Rprop(FusedOptimizer):
    """Steps by the sign of the gradient, in sizes that grow while it stays and shrink when it changes."""

    def __init__(self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *, capturable=False, foreach=None,
                 maximize=False, differentiable=False):
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        check_flags(foreach, None, differentiable)
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable})

    def _start(self, param, group):
        lr = float(group["lr"])
        return {"step": number_tensor(0.0, param, group), "prev": fastgrad.zeros_like(param),
                "step_size": fastgrad.full_like(param, complex(lr, lr) if param.is_complex() else lr)}

    def _update(self, group, params, grads, states):
        _C._rprop_step(params, grads, column(states, "prev"), column(states, "step_size"), column(states, "step"),
                       *group["etas"], *group["step_sizes"], group["maximize"])
