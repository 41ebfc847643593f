"""What recurrent layers compute: cells, and layers over time, over batches of padded or of packed sequences.

The inputs of all time steps go through their matrix in one product before the loop; a step is one product with the
hidden state and the gates. Packed sequences are sorted by length: step t has the rows of the sequences that are longer
than t, so going forward rows leave the batch at its end, and going backward they join it there.
"""
import fastgrad
from fastgrad import _C

from . import _recurrent_layer as _native
from ._dropout import dropout as _dropout

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}


# ---- gates: what is left of a step after the products

def lstm_gates(gates, c):
    """The next hidden and cell state; `gates` (B, 4 H) are input, forget, cell and output gate before activation."""
    i, f, g, o = gates.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_gates(of_input, of_hidden, h):
    """The next hidden state; reset, update and new gate (B, 3 H) before activation, in a part from each product."""
    r, z, n = of_input.chunk(3, 1)
    hr, hz, hn = of_hidden.chunk(3, 1)
    r, z = (r + hr).sigmoid(), (z + hz).sigmoid()
    n = (n + r * hn).tanh()
    return n + z * (h - n)


# ---- cells

def _check_cell(input, states, w_ih, w_hh):
    if not (input.is_floating_point() or input.is_complex()):
        raise NotImplementedError(f"a step of a recurrent network is not implemented for {input.dtype}")
    if input.size(1) != w_ih.size(1):
        raise RuntimeError(f"input has inconsistent input_size: got {input.size(1)} expected {w_ih.size(1)}")
    for i, state in enumerate(states):
        if input.size(0) != state.size(0):
            raise RuntimeError(f"Input batch size {input.size(0)} doesn't match hidden{i} batch size {state.size(0)}")
        if state.size(1) != w_hh.size(1):
            raise RuntimeError(f"hidden{i} has inconsistent hidden_size: got {state.size(1)}, expected {w_hh.size(1)}")


def rnn_cell(activation, input, h, w_ih, w_hh, b_ih, b_hh):
    """The activation of both products together."""
    _check_cell(input, (h,), w_ih, w_hh)
    return activation(_C.linear(input, w_ih, b_ih) + _C.linear(h, w_hh, b_hh))


def lstm_cell(input, hx, w_ih, w_hh, b_ih, b_hh):
    """The next hidden and cell state."""
    h, c = hx
    _check_cell(input, (h, c), w_ih, w_hh)
    return lstm_gates(_C.linear(input, w_ih, b_ih) + _C.linear(h, w_hh, b_hh), c)


def gru_cell(input, h, w_ih, w_hh, b_ih, b_hh):
    """The next hidden state."""
    _check_cell(input, (h,), w_ih, w_hh)
    return gru_gates(_C.linear(input, w_ih, b_ih), _C.linear(h, w_hh, b_hh), h)


# ---- layers

def _lstm_step(w_hh, b_hh, w_hr):
    turned, project = w_hh.t(), None if w_hr is None else w_hr.t()

    def step(x, state):
        h, c = lstm_gates(fastgrad.addmm(x, state[0], turned), state[1])
        return (h if project is None else h @ project), c
    return step


def _gru_step(w_hh, b_hh, w_hr):
    def step(x, state):
        return gru_gates(x, _C.linear(state[0], w_hh, b_hh), state[0]),
    return step


def _rnn_step(activation):
    def make(w_hh, b_hh, w_hr):
        turned = w_hh.t()

        def step(x, state):
            return activation(fastgrad.addmm(x, state[0], turned)),
        return step
    return make


_STEPS = {"LSTM": _lstm_step, "GRU": _gru_step, "RNN_TANH": _rnn_step(_C.tanh), "RNN_RELU": _rnn_step(_C.relu)}


def _weights_of(mode, weights, bias):
    """The weights of one layer and direction in full, and the bias that goes into the product with the input."""
    w_ih, w_hh = weights[:2]
    b_ih, b_hh = weights[2:4] if bias else (None, None)
    w_hr = weights[-1] if len(weights) in (3, 5) else None
    # Only the GRU scales what comes from the hidden state before both parts meet.
    early = b_ih if mode == "GRU" or b_ih is None else b_ih + b_hh
    return w_ih, early, (w_hh, b_hh, w_hr)


def _over_time(step, xs, state, reverse):
    outputs = []
    for x in reversed(xs) if reverse else xs:
        state = step(x, state)
        outputs.append(state[0])
    return outputs[::-1] if reverse else outputs, state


def _over_packed(step, xs, state, sizes, reverse):
    if reverse:
        first, outputs, now = state, [], tuple([s[:0] for s in state])
        for x, size in zip(reversed(xs), reversed(sizes)):
            have = now[0].size(0)
            if size > have:
                now = tuple([fastgrad.cat([s, f[have:size]]) for s, f in zip(now, first)])
            now = step(x, now)
            outputs.append(now[0])
        return outputs[::-1], now
    outputs, ended = [], []
    for x, size in zip(xs, sizes):
        have = state[0].size(0)
        if size < have:
            ended.append(tuple([s[size:] for s in state]))
            state = tuple([s[:size] for s in state])
        state = step(x, state)
        outputs.append(state[0])
    return outputs, tuple([fastgrad.cat(parts) for parts in zip(state, *reversed(ended))]) if ended else state


def _composed(mode, reverse, input, h0, c0, w_ih, w_hh, b_ih, b_hh):
    """One layer over padded sequences as recorded operations: outputs, last h, last c of the LSTM."""
    weights = [w for w in (w_ih, w_hh, b_ih, b_hh) if w is not None]
    _, early, rest = _weights_of(mode, weights, b_ih is not None)
    start = (h0,) if c0 is None else (h0, c0)
    output, end = _over_time(_STEPS[mode](*rest), _C.linear(input, w_ih, early).unbind(0), start, reverse)
    return fastgrad.stack(output), *end


def _layer(mode, input, sizes, state, weights, bias, reverse):
    """One layer in one direction: its output for all steps, and the state after."""
    if sizes is None and len(weights) in (2, 4) and _C._rnn_usable([input, *state, *weights]):
        b_ih, b_hh = weights[2:4] if bias else (None, None)
        h0, c0 = state if mode == "LSTM" else (*state, None)
        output, *end = _native.Layer.apply(_composed, mode, reverse, input, h0, c0, *weights[:2], b_ih, b_hh)
        return output, tuple(end)
    w_ih, early, rest = _weights_of(mode, weights, bias)
    if sizes is not None:
        xs = _C.linear(input, w_ih, early).split(sizes)
        output, end = _over_packed(_STEPS[mode](*rest), xs, state, sizes, reverse)
        return fastgrad.cat(output), end
    output, end = _over_time(_STEPS[mode](*rest), _C.linear(input, w_ih, early).unbind(0), state, reverse)
    return fastgrad.stack(output), end


def layers(mode, input, sizes, state, weights, bias, dropout, training, bidirectional):
    """All layers of a recurrent network.

    input: (T, B, I), or (N, I) packed with the batch sizes `sizes`; state: tuple of (layers * directions, B, H);
    weights: one tuple for each layer and direction. Returns the output of the last layer and the final state.
    """
    directions = 2 if bidirectional else 1
    starts = list(zip(*[s.unbind(0) for s in state]))
    ends = []
    for first in range(0, len(weights), directions):
        outputs = []
        for k in range(directions):
            output, end = _layer(mode, input, sizes, starts[first + k], weights[first + k], bias, k == 1)
            outputs.append(output)
            ends.append(end)
        input = outputs[0] if directions == 1 else fastgrad.cat(outputs, -1)
        if dropout and training and first + directions < len(weights):
            input = _dropout(input, dropout)
    state = tuple([fastgrad.stack(parts) for parts in zip(*ends)])
    if mode == "LSTM" and sizes is None and len(weights[0]) in (2, 4) and _C._autocast_enabled("cpu"):
        return _C._autocast_lower(input), tuple([_C._autocast_lower(s) for s in state])
    return input, state
