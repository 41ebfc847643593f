"""L-BFGS."""
import fastgrad

from ._line_search import strong_wolfe
from .optimizer import Optimizer, check_lr

__all__ = ["LBFGS"]


def _reals(t):
    return fastgrad.view_as_real(t) if t.is_complex() else t


class LBFGS(Optimizer):
    """Newton steps with a curvature estimated from the last `history_size` steps.

    The closure is called several times a step. All parameters form one group, whose state is kept with the first one.
    Nocedal and Wright, Numerical Optimization, algorithm 7.4.
    """

    def __init__(self, params, lr=1, max_iter=20, max_eval=None, tolerance_grad=1e-7, tolerance_change=1e-9,
                 history_size=100, line_search_fn=None):
        check_lr(lr)
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_eval, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size, "line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def _flat_grad(self):
        return fastgrad.cat([_reals(fastgrad.zeros_like(param) if param.grad is None else param.grad).reshape(-1)
                             for param in self._params])

    def _move(self, length, direction):
        start = 0
        for param in map(_reals, self._params):
            end = start + param.numel()
            param.add_(direction[start:end].view(param.shape), alpha=length)
            start = end

    @fastgrad.no_grad()
    def step(self, closure):
        """Up to `max_iter` iterations; returns the loss before them."""
        options = self.param_groups[0]
        lr, max_iter = options["lr"], options["max_iter"]
        lr = float(lr) if isinstance(lr, fastgrad.Tensor) else lr
        tolerance_change = options["tolerance_change"]
        search = options["line_search_fn"]
        evaluate = fastgrad.enable_grad()(closure)
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        first_loss = evaluate()
        loss, evaluations = float(first_loss), 1
        state["func_evals"] += 1
        grad = self._flat_grad()

        def is_flat():
            return grad.abs().max() <= options["tolerance_grad"]

        if is_flat():
            return first_loss
        direction, length = state.get("d"), state.get("t")
        last_grad, last_loss = state.get("prev_flat_grad"), state.get("prev_loss")
        history = {name: state.get(name) for name in ("old_dirs", "old_stps", "ro", "H_diag")}
        done = 0
        while done < max_iter:
            done += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                direction = grad.neg()
                history = {"old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1}
            else:
                weights = state.setdefault("al", [None] * options["history_size"])
                direction = _direction(history, weights, grad, grad.sub(last_grad), direction.mul(length))
            last_grad = grad.clone() if last_grad is None else last_grad.copy_(grad)
            last_loss = loss
            length = min(1.0, 1.0 / grad.abs().sum()) * lr if state["n_iter"] == 1 else lr
            slope = grad.dot(direction)
            if slope > -tolerance_change:
                break
            spent, flat = 0, False
            if search is not None:
                if search != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                before = [param.clone() for param in self._params]

                def at(length, direction=direction, before=before):
                    self._move(length, direction)
                    value = float(evaluate())
                    there = self._flat_grad()
                    for param, old in zip(self._params, before):
                        param.copy_(old)
                    return value, there

                loss, grad, length, spent = strong_wolfe(at, length, direction, loss, grad, slope,
                                                         options["max_eval"] - evaluations)
                self._move(length, direction)
                flat = is_flat()
            else:
                self._move(length, direction)
                if done != max_iter:  # what the last iteration led to is seen at the next step
                    loss, grad, spent = float(evaluate()), self._flat_grad(), 1
                    flat = is_flat()
            evaluations += spent
            state["func_evals"] += spent
            if (done == max_iter or evaluations >= options["max_eval"] or flat
                    or direction.mul(length).abs().max() <= tolerance_change
                    or abs(loss - last_loss) < tolerance_change):
                break
        state.update({"d": direction, "t": length, **history, "prev_flat_grad": last_grad, "prev_loss": last_loss})
        return first_loss


def _direction(history, weights, grad, change, moved):
    """The estimated inverse curvature times minus the gradient, after taking the last step into the history."""
    changes, moves, inverses = history["old_dirs"], history["old_stps"], history["ro"]
    product = change.dot(moved)
    if product > 1e-10:
        if len(changes) == len(weights):
            for entries in (changes, moves, inverses):
                entries.pop(0)
        changes.append(change)
        moves.append(moved)
        inverses.append(1.0 / product)
        history["H_diag"] = product / change.dot(change)
    q = grad.neg()
    for i in range(len(changes) - 1, -1, -1):
        weights[i] = moves[i].dot(q) * inverses[i]
        q.add_(changes[i], alpha=-weights[i])
    q = q.mul(history["H_diag"])
    for i in range(len(changes)):
        q.add_(moves[i], alpha=weights[i] - changes[i].dot(q) * inverses[i])
    return q
