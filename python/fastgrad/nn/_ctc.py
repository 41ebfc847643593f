"""Connectionist temporal classification: the loss of a sequence of which only the labels are known, not their times.

The labels with blanks between them are the states of a chain; `alpha` is the probability of all paths that end in a
state at a time, `beta` that of all that start there, both as logarithms. States run over all samples at once, time is a
loop. As in torch the gradient takes the log-probabilities as an output of log_softmax, and has no gradient of its own.
"""
import math

import fastgrad
from fastgrad import _C, Tensor
from fastgrad.autograd import Function
from fastgrad.autograd.function import refuse_gradient

from ._losses import _number
from ._packing import pad_sequence

_INTEGERS = ("uint8", "int8", "int16", "int32", "int64")


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    """The negative log-likelihood of the targets: log_probs (T, N, C) or (T, C), targets (N, S) or all in one row.

    `mean` divides each loss by the length of its target; `zero_infinity` takes infinite losses as 0.

    >>> log_probs = fastgrad.zeros(2, 1, 2).log_softmax(-1)
    >>> ctc_loss(log_probs, fastgrad.tensor([[1]]), [2], [1])
    tensor(0.2877)
    """
    number = _number(reduction)
    log_probs = _C._autocast_float(log_probs)
    if log_probs.dtype not in (fastgrad.float32, fastgrad.float64):
        raise NotImplementedError(f'"ctc_loss" not implemented for {log_probs.dtype}')
    batched = log_probs.dim() == 3
    if log_probs.dim() not in (2, 3):
        raise RuntimeError(f"ctc_loss: log_probs must have 2 or 3 dimensions, got {log_probs.dim()}")
    if not batched:
        log_probs = log_probs.unsqueeze(1)
    steps, batch, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    inputs = _lengths("input_lengths", input_lengths, batch, steps)
    wanted = _lengths("target_lengths", target_lengths, batch)
    states = _states(targets, wanted, blank, batch, log_probs.device)
    losses = _Paths.apply(log_probs, states, inputs, wanted, zero_infinity)
    if number == 1:
        divisor = fastgrad.tensor([max(n, 1) for n in wanted], dtype=losses.dtype, device=losses.device)
        return (losses / divisor).mean()
    return losses.sum() if number == 2 else losses if batched else losses.squeeze(0)


def _lengths(name, lengths, batch, limit=None):
    """Lengths as a list of integers."""
    if isinstance(lengths, Tensor):
        if str(lengths.dtype).rpartition(".")[2] not in _INTEGERS:
            raise RuntimeError(f"{name} must be integral")
        lengths = lengths.reshape(-1).tolist()
    lengths = [int(n) for n in lengths]
    if len(lengths) != batch:
        raise RuntimeError(f"{name} must be of size batch_size")
    for n in lengths:
        if n < 0:
            raise RuntimeError(f"Expected {name} to have value at least 0, but got value {n} (ctc_loss)")
        if limit is not None and n > limit:
            raise RuntimeError(f"Expected {name} to have value at most {limit}, but got value {n} (ctc_loss)")
    return lengths


def _states(targets, lengths, blank, batch, device):
    """The labels of all states, (N, 2 S + 1): the target's with a blank before, between and after."""
    targets = targets.to(fastgrad.int64)
    longest = max(lengths, default=0)
    if targets.dim() == 1:
        if targets.size(0) != sum(lengths):
            raise RuntimeError(f"Expected tensor to have size {sum(lengths)} at dimension 0, but got size "
                               f"{targets.size(0)} for argument 'targets' (ctc_loss)")
        targets = pad_sequence(targets.split(lengths), batch_first=True, padding_value=blank)
    elif targets.dim() != 2:
        raise RuntimeError(f"Expected 1 to 2 dimensions, but got {targets.dim()}-dimensional tensor for argument "
                           "'targets' (ctc_loss)")
    if targets.size(0) != batch or targets.size(1) < longest:
        raise RuntimeError(f"Expected targets of {batch} rows and at least {longest} columns, but got size "
                           f"{list(targets.shape)} (ctc_loss)")
    states = fastgrad.full((batch, 2 * longest + 1), blank, dtype=fastgrad.int64, device=device)
    # What lies behind a target's end may be no label at all.
    behind = fastgrad.arange(longest, device=device) >= _column(lengths, device)
    states[:, 1::2] = targets[:, :longest].to(device).masked_fill(behind, blank)
    return states


def _column(lengths, device):
    return fastgrad.tensor(lengths, dtype=fastgrad.int64, device=device).unsqueeze(1)


def _shifted(x, count):
    """(N, L) moved by `count` columns, with -inf where nothing comes from."""
    result = fastgrad.full_like(x, -math.inf)
    if count > 0:
        result[:, count:] = x[:, :x.size(1) - count]
    else:
        result[:, :count] = x[:, -count:]
    return result


class _Paths(Function):
    @staticmethod
    def forward(ctx, log_probs, states, inputs, wanted, zero_infinity):
        steps, batch, _ = log_probs.shape
        device = log_probs.device
        of_states = log_probs.gather(2, states.expand(steps, *states.shape))  # (T, N, L)
        columns = fastgrad.arange(states.size(1), device=device)
        last = 2 * _column(wanted, device)
        final = (columns == last) | (columns == last - 1)
        # A blank may be left out between two different labels.
        skips = fastgrad.zeros(states.shape, dtype=fastgrad.bool, device=device)
        skips[:, 2:] = states[:, 2:] != states[:, :-2]
        never = fastgrad.full(states.shape, -math.inf, dtype=log_probs.dtype, device=device)
        alphas = []
        for t in range(steps):
            if t == 0:
                alpha = fastgrad.where(columns < 2, of_states[0], never)
            else:
                far = fastgrad.where(skips, _shifted(alpha, 2), never)
                alpha = alpha.logaddexp(_shifted(alpha, 1)).logaddexp(far) + of_states[t]
            alphas.append(alpha)
        alphas = fastgrad.stack(alphas) if steps else of_states
        if steps:
            ends = _column(inputs, device).sub(1).clamp_min(0).unsqueeze(0).expand(1, *states.shape)
            at_end = fastgrad.where(final, alphas.gather(0, ends)[0], never)
            losses = -at_end.logsumexp(1)
        else:
            losses = fastgrad.full((batch,), math.inf, dtype=log_probs.dtype, device=device)
        # Without any input only the empty target is possible.
        empty = fastgrad.tensor([n == 0 for n in inputs], device=device)
        nothing = fastgrad.tensor([-0.0 if n == 0 else math.inf for n in wanted], dtype=losses.dtype, device=device)
        losses = fastgrad.where(empty, nothing, losses)
        ctx.save_for_backward(log_probs, states, alphas, losses, final, skips)
        ctx.inputs, ctx.zero_infinity = inputs, zero_infinity
        if zero_infinity:
            losses = losses.masked_fill(losses == math.inf, 0.0)
        return losses

    @staticmethod
    def backward(ctx, grad):
        with fastgrad.no_grad():
            result = _Paths.gradient(ctx, grad)
        sources = tuple([t for t in (ctx.saved_tensors[0], grad) if t.requires_grad])
        if sources and fastgrad.is_grad_enabled():
            result = refuse_gradient(result, sources, "derivative for aten::_ctc_loss_backward is not implemented")
        return result, None, None, None, None

    @staticmethod
    def gradient(ctx, grad):
        log_probs, states, alphas, losses, final, skips = ctx.saved_tensors
        steps = log_probs.size(0)
        device = log_probs.device
        of_states = log_probs.gather(2, states.expand(steps, *states.shape))
        never = fastgrad.full(states.shape, -math.inf, dtype=log_probs.dtype, device=device)
        into = fastgrad.zeros_like(skips)  # states that may go two steps on
        into[:, :-2] = skips[:, 2:]
        lengths = _column(ctx.inputs, device)
        shares, beta = [], never
        for t in reversed(range(steps)):
            far = fastgrad.where(into, _shifted(beta, -2), never)
            beta = beta.logaddexp(_shifted(beta, -1)).logaddexp(far)
            beta = fastgrad.where((lengths == t + 1) & final, 0.0, beta)
            shares.append(alphas[t] + beta)
            beta = beta + of_states[t]
        if not steps:
            return fastgrad.zeros_like(log_probs)
        shares = (fastgrad.stack(shares[::-1]) + losses.unsqueeze(1)).exp()
        result = log_probs.exp().scatter_add(2, states.expand(shares.shape), -shares) * grad.unsqueeze(1)
        impossible = (losses == math.inf).unsqueeze(1)
        result = result.masked_fill(impossible, 0.0 if ctx.zero_infinity else math.nan)
        behind = fastgrad.arange(steps, device=device).unsqueeze(1) >= lengths.reshape(1, -1)  # (T, N)
        return result.masked_fill(behind.unsqueeze(2), 0.0)
