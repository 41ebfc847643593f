"""Adafactor."""
import fastgrad

from .optimizer import FusedOptimizer, check_lr_is_number, number_tensor

__all__ = ["Adafactor"]


class Adafactor(FusedOptimizer):
    """Steps by the gradient over the root of its mean square, of which only row and column means are kept.

    Shazeer and Stern 2018, with a step size relative to the parameter's own.
    """

    def __init__(self, params, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, *, foreach=None,
                 maximize=False):
        check_lr_is_number(lr)
        if not 0.0 <= lr:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not 0.0 >= beta2_decay:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not 0.0 <= eps[0]:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not 0.0 <= eps[1]:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize})

    def _start(self, param, group):
        state = {"step": number_tensor(0.0)}
        if param.dim() > 1:
            state["row_var"] = param.new_zeros((*param.shape[:-1], 1))
            state["col_var"] = param.new_zeros((*param.shape[:-2], 1, param.shape[-1]))
        else:
            state["variance"] = fastgrad.zeros_like(param)
        return state

    @fastgrad.no_grad()
    def _update(self, group, params, grads, states):
        lr, weight_decay, (eps1, eps2) = float(group["lr"]), group["weight_decay"], group["eps"]
        for param, grad, state in zip(params, grads, states):
            if group["maximize"]:
                grad = -grad
            low = fastgrad.finfo(param.dtype).eps if eps1 is None else eps1
            state["step"] += 1
            step = state["step"].item()
            weight = step ** group["beta2_decay"]
            size = max(eps2, param.norm(2).item() / param.numel() ** 0.5) * min(lr, 1 / step ** 0.5)
            if weight_decay != 0:
                param.mul_(1 - lr * weight_decay)
            if grad.dim() > 1:
                rows, columns = state["row_var"], state["col_var"]
                rows.lerp_(_mean_square(grad, -1), weight)
                columns.lerp_(_mean_square(grad, -2), weight)
                square = rows @ columns
                square.div_(rows.mean(dim=-2, keepdim=True).clamp_(min=low))
            else:
                square = state["variance"].lerp_(grad * grad, weight).clone()
            update = square.clamp_(min=low * low).rsqrt_().mul_(grad)
            clipped = max(1.0, update.norm(2).item() / (update.numel() ** 0.5 * group["d"]))
            param.add_(update, alpha=-size / clipped)


def _mean_square(x, dim):
    return fastgrad.norm(x, dim=dim, keepdim=True).square_().div_(x.size(dim))
