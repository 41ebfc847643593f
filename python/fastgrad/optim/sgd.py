"""Stochastic gradient descent."""
from fastgrad import _C

from .optimizer import (
    Optimizer,
    capturing_now,
    check_flags,
    check_lr,
    check_not_negative,
    refuse_fresh_state,
    run_closure,
    with_grads,
)

__all__ = ["SGD"]


class SGD(Optimizer):
    """`w -= lr * g`, with momentum, Nesterov's variant and weight decay on demand."""

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, *, maximize=False,
                 foreach=None, differentiable=False, fused=None):
        check_lr(lr)
        check_not_negative("momentum", momentum)
        check_not_negative("weight_decay", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_flags(foreach, fused, differentiable)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
            "fused": fused})

    def step(self, closure=None):
        """Updates the parameters."""
        loss = None if closure is None else run_closure(closure)
        for group in self.param_groups:
            params, grads = with_grads(group["params"])
            if not params:
                continue
            momentum = group["momentum"]
            buffers, fresh = [], False
            if momentum:
                states = [self.state[param] for param in params]
                buffers = [state.get("momentum_buffer") for state in states]
                for buffer in buffers:
                    if buffer is None:
                        fresh = True  # the call makes what is missing
                        if capturing_now():
                            refuse_fresh_state(self)
                        break
            _C._sgd_step(params, grads, buffers, float(group["lr"]), momentum, group["dampening"],
                         float(group["weight_decay"]), group["nesterov"], group["maximize"])
            if fresh:
                for state, buffer in zip(states, buffers):
                    state["momentum_buffer"] = buffer
        return loss
