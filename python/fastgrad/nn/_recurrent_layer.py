"""A layer of a recurrent network as one Function: native loops over time, forward and backward (csrc/ops/rnn.cpp).

Gradients that are themselves recorded come from the composition in `_recurrent`, run again on the same inputs.
"""
import fastgrad
from fastgrad import _C
from fastgrad.autograd import Function, grad

_KINDS = {"RNN_TANH": 0, "RNN_RELU": 1, "GRU": 2, "LSTM": 3}


class Layer(Function):
    """One layer in one direction: (T, B, I) and the state before to the outputs and the state after."""

    @staticmethod
    def forward(ctx, composed, mode, reverse, input, h0, c0, w_ih, w_hh, b_ih, b_hh):
        kind = _KINDS[mode]
        early, late = (b_ih, b_hh) if mode == "GRU" else (None if b_ih is None else b_ih + b_hh, None)
        gates = _C.linear(input, w_ih, early).contiguous().detach()  # a view no more: it has its memory alone
        h, c, kept = _C._rnn_forward(kind, gates, h0, c0, w_hh, late, reverse)
        if mode not in ("GRU", "LSTM"):
            gates = h.narrow(0, 0, input.size(0))  # the gradient reads the states alone, and of this the shape
        ctx.save_for_backward(input, h0, c0, w_ih, w_hh, b_ih, b_hh, gates, h, c, kept)
        ctx.composed, ctx.mode, ctx.reverse = composed, mode, reverse
        ctx.set_materialize_grads(False)
        first, last = (0, 0) if reverse else (1, -1)
        # Copies: what the caller does to them in place must not change what is kept.
        outputs = h.narrow(0, first, input.size(0)).clone(), h[last].clone()
        return outputs if c is None else (*outputs, c[last].clone())

    @staticmethod
    def backward(ctx, g_out, g_h, g_c=None):
        saved = list(ctx.saved_tensors)
        if fastgrad.is_grad_enabled():
            return None, None, None, *_recorded(ctx, saved[:7], (g_out, g_h, g_c))
        if not _C._keeps_graph():
            ctx._release()  # so that nothing but the call below holds the last four, and gradients may take their place
        g_gates, g_new, g_h0, g_c0, g_w_hh = _C._rnn_backward(
            _KINDS[ctx.mode], saved.pop(7), saved.pop(7), saved.pop(7), saved.pop(7), saved[4], g_out, g_h, g_c,
            ctx.reverse)
        input, _, _, w_ih, _, b_ih, _ = saved
        rows = g_gates.flatten(0, 1)
        g_b_hh = None if b_ih is None else rows.sum(0)
        if g_new is None:
            parts = (rows, w_ih),
        else:  # what the gates got from the input has the same gradient, but for the new gate
            same = rows.size(1) // 3 * 2
            parts = (rows.narrow(1, 0, same), w_ih[:same]), (g_new.flatten(0, 1), w_ih[same:])
        g_b_ih = None if b_ih is None else g_b_hh.clone() if g_new is None else _below([p.sum(0) for p, _ in parts])
        g_input = g_w_ih = None
        if ctx.needs_input_grad[3]:
            g_input = parts[0][0] @ parts[0][1]
            for part, weight in parts[1:]:
                g_input.addmm_(part, weight)
            g_input = g_input.view(*g_gates.shape[:2], -1)
        if ctx.needs_input_grad[6]:
            flat = input.reshape(rows.size(0), -1)
            g_w_ih = _below([part.t() @ flat for part, _ in parts])
        return None, None, None, g_input, g_h0, g_c0, g_w_ih, g_w_hh, g_b_ih, g_b_hh


def _below(parts):
    return parts[0] if len(parts) == 1 else fastgrad.cat(parts)


def _recorded(ctx, inputs, grads):
    """The gradients of the inputs as recorded operations."""
    pairs = [(out, g) for out, g in zip(ctx.composed(ctx.mode, ctx.reverse, *inputs), grads) if g is not None]
    wanted = [i for i in range(len(inputs)) if ctx.needs_input_grad[i + 3]]
    outputs, given = zip(*pairs)
    found = grad(outputs, [inputs[i] for i in wanted], given, create_graph=True, allow_unused=True)
    result = dict(zip(wanted, found))
    return [result.get(i) for i in range(len(inputs))]
