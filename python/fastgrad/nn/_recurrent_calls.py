"""Recurrent networks as functions: `lstm`, `gru`, `rnn_tanh`, `rnn_relu` with a list of weights, and single steps."""
from fastgrad import Tensor, relu, tanh

from . import _recurrent

__all__ = ["lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"]


def _padded(mode, input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first=False):
    if batch_first:
        input = input.transpose(0, 1)
    output, state = _run(mode, input, None, hx, params, has_biases, num_layers, dropout, train, bidirectional)
    return (output.transpose(0, 1) if batch_first else output, *state)


def _packed(mode, data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional):
    output, state = _run(mode, data, batch_sizes.tolist(), hx, params, has_biases, num_layers, dropout, train,
                         bidirectional)
    return (output, *state)


def _run(mode, input, sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional):
    count = num_layers * (2 if bidirectional else 1)
    each = len(params) // count
    if each * count != len(params) or each not in ((4, 5) if has_biases else (2, 3)):
        raise RuntimeError(f"{mode.lower()}: {len(params)} weights do not fit {count} layers and directions with "
                           f"has_biases={has_biases}")
    weights = [tuple(params[i * each:(i + 1) * each]) for i in range(count)]
    return _recurrent.layers(mode, input, sizes, tuple(hx) if mode == "LSTM" else (hx,), weights, has_biases, dropout,
                             train, bidirectional)


def lstm(*args, **kwargs):
    """`lstm(input, (h, c), params, has_biases, num_layers, dropout, train, bidirectional, batch_first)`: output, h, c.

    For packed sequences `lstm(data, batch_sizes, (h, c), params, has_biases, ...)`.
    """
    packed = len(args) > 1 and isinstance(args[1], Tensor) or "batch_sizes" in kwargs
    return (_packed if packed else _padded)("LSTM", *args, **kwargs)


def _of_one_state(mode):
    def call(*args, **kwargs):
        packed = len(args) > 2 and isinstance(args[2], Tensor) or "batch_sizes" in kwargs
        return (_packed if packed else _padded)(mode, *args, **kwargs)
    call.__name__ = call.__qualname__ = mode.lower()
    call.__doc__ = "As `lstm`, with one state `hx`: output and last state."
    return call


gru = _of_one_state("GRU")
rnn_tanh = _of_one_state("RNN_TANH")
rnn_relu = _of_one_state("RNN_RELU")


def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step: the next hidden and cell state."""
    return _recurrent.lstm_cell(input, hx, w_ih, w_hh, b_ih, b_hh)


def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step: the next hidden state."""
    return _recurrent.gru_cell(input, hx, w_ih, w_hh, b_ih, b_hh)


def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step: the next hidden state."""
    return _recurrent.rnn_cell(tanh, input, hx, w_ih, w_hh, b_ih, b_hh)


def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step: the next hidden state."""
    return _recurrent.rnn_cell(relu, input, hx, w_ih, w_hh, b_ih, b_hh)
