"""Recurrent layers: RNN, LSTM and GRU over whole sequences, and their cells for one step."""
import math
import numbers

import fastgrad
from fastgrad import _C

from .. import _recurrent, init
from .._packing import PackedSequence
from ..parameter import Parameter
from .module import Module

__all__ = ["RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"]


def apply_permutation(tensor, permutation, dim=1):
    """Old name of `tensor.index_select(dim, permutation)`."""
    import warnings
    warnings.warn("`apply_permutation` is deprecated, please use `tensor.index_select(dim, permutation)` instead",
                  FutureWarning, stacklevel=2)
    return tensor.index_select(dim, permutation)


def _check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size):
    if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError("dropout should be a number in range [0, 1] representing the probability of an element being "
                         "zeroed")
    if dropout > 0 and num_layers == 1:
        import warnings
        warnings.warn("dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                      f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                      stacklevel=4)
    for name, value, kind in (("bias", bias, bool), ("batch_first", batch_first, bool),
                              ("input_size", input_size, int), ("hidden_size", hidden_size, int)):
        if not isinstance(value, kind):
            raise TypeError(f"{name} should be of type {kind.__name__}, got: {type(value).__name__}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters `weight_ih_l0`, `weight_hh_l0`, ... and their use over time."""

    __constants__ = ["mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout",
                     "bidirectional", "proj_size"]

    def __init__(self, mode, input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
                 bidirectional=False, proj_size=0, device=None, dtype=None):
        super().__init__()
        _check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        if mode not in _recurrent.GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._all_weights = []
        rows, width = _recurrent.GATES[mode] * hidden_size, proj_size or hidden_size
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[:self._directions]:
                inputs = input_size if layer == 0 else width * self._directions
                shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, width)}
                if bias:
                    shapes.update(bias_ih=(rows,), bias_hh=(rows,))
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = {f"{name}_l{layer}{suffix}": shape for name, shape in shapes.items()}
                for name, shape in names.items():
                    setattr(self, name, Parameter(fastgrad.empty(shape, device=device, dtype=dtype)))
                self._all_weights.append(list(names))
        self.reset_parameters()

    @property
    def _directions(self):
        return 2 if self.bidirectional else 1

    @property
    def _flat_weights_names(self):
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self):
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @property
    def all_weights(self):
        """A list of parameters for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self):
        """Does nothing: parameters need not lie side by side."""

    def reset_parameters(self):
        """Draws new values: uniform within `1 / sqrt(hidden_size)`."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def check_input(self, input, batch_sizes):
        """Raises unless the input has the right dtype, dimensions and features."""
        wanted = getattr(self, self._all_weights[0][0]).dtype
        if input.dtype != wanted and not _C._autocast_any():
            raise ValueError(f"RNN input dtype ({input.dtype}) does not match weight dtype ({wanted}). "
                             f"Convert input: input.to({wanted}), or convert model: model.to({input.dtype})")
        dims = 3 if batch_sizes is None else 2
        if input.dim() != dims:
            raise RuntimeError(f"input must have {dims} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                               f"{input.size(-1)}")

    def _expected_size(self, input, batch_sizes, width):
        batch = input.size(0 if self.batch_first else 1) if batch_sizes is None else int(batch_sizes[0])
        return self.num_layers * self._directions, batch, width

    def get_expected_hidden_size(self, input, batch_sizes):
        """The shape of the hidden state that goes with an input."""
        return self._expected_size(input, batch_sizes, self.proj_size or self.hidden_size)

    def check_hidden_size(self, hx, expected_hidden_size, msg="Expected hidden size {}, got {}"):
        """Raises unless a state has the expected shape."""
        if tuple(hx.size()) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(tuple(expected_hidden_size), list(hx.size())))

    def check_forward_args(self, input, hidden, batch_sizes):
        """Raises unless input and hidden state fit this module."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx, permutation):
        """The hidden state with its batch in another order."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # The state as forward takes it, and as a tuple of tensors; the LSTM has two.

    def _from_user(self, hx):
        return (hx,)

    def _to_user(self, state):
        return state[0]

    def _check_state_dims(self, state, batched):
        dims = 3 if batched else 2
        if state[0].dim() != dims:
            what = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(f"For {what} input, hx should also be {dims}-D but got {state[0].dim()}-D tensor")

    def _zero_state(self, input, batch_sizes):
        shape = self.get_expected_hidden_size(input, batch_sizes)
        return (fastgrad.zeros(shape, dtype=input.dtype, device=input.device),)

    def forward(self, input, hx=None):
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.dim() not in (2, 3):
            raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        batched, batch_dim = input.dim() == 3, 0 if self.batch_first else 1
        if not batched:
            input = input.unsqueeze(batch_dim)
        if hx is None:
            self.check_input(input, None)
            state = self._zero_state(input, None)
        else:
            state = self._from_user(hx)
            self._check_state_dims(state, batched)
            if not batched:
                state = tuple([s.unsqueeze(1) for s in state])
            self.check_forward_args(input, self._to_user(state), None)
        if self.batch_first:
            input = input.transpose(0, 1)
        output, state = self._run(input, None, state)
        if self.batch_first:
            output = output.transpose(0, 1)
        if not batched:
            output, state = output.squeeze(batch_dim), tuple([s.squeeze(1) for s in state])
        return output, self._to_user(state)

    def _forward_packed(self, packed, hx):
        input, batch_sizes, sorted_indices, unsorted_indices = packed
        if hx is None:
            state = self._zero_state(input, batch_sizes)
        else:
            state = self._from_user(self.permute_hidden(hx, sorted_indices))
        self.check_forward_args(input, self._to_user(state), batch_sizes)
        output, state = self._run(input, batch_sizes.tolist(), state)
        output = PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices)
        return output, self.permute_hidden(self._to_user(state), unsorted_indices)

    def _run(self, input, sizes, state):
        return _recurrent.layers(self.mode, input, sizes, state, self.all_weights, self.bias, self.dropout,
                                 self.training, self.bidirectional)

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        for name, default in (("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False),
                              ("dropout", 0), ("bidirectional", False)):
            value = getattr(self, name)
            if value != default:
                text += f", {name}={value}"
        return text


def _no_projection(kwargs):
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


def _rnn_takes(self, input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional,
               device, dtype):
    pass


_rnn_takes.__name__ = "__init__"


class RNN(RNNBase):
    """`h = tanh(W_ih x + b_ih + W_hh h + b_hh)`, or relu; returns the output of every step and the last state.

    >>> output, h = RNN(3, 4)(fastgrad.ones(5, 2, 3))
    >>> output.shape, h.shape
    (torch.Size([5, 2, 4]), torch.Size([1, 2, 4]))
    """

    def __init__(self, *args, **kwargs):
        _no_projection(kwargs)
        if len(args) > 3:
            nonlinearity, args = args[3], args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity
        super().__init__("RNN_" + nonlinearity.upper(), *args, **kwargs)


class GRU(RNNBase):
    """Gated recurrent units: reset and update gates in front of the new state.

    >>> output, h = GRU(3, 4, num_layers=2, bidirectional=True)(fastgrad.ones(5, 2, 3))
    >>> output.shape, h.shape
    (torch.Size([5, 2, 8]), torch.Size([4, 2, 4]))
    """

    def __init__(self, *args, **kwargs):
        _no_projection(kwargs)
        super().__init__("GRU", *args, **kwargs)


class LSTM(RNNBase):
    """Long short-term memory: a hidden state and a cell state; with `proj_size` the hidden state is projected.

    >>> output, (h, c) = LSTM(3, 4, batch_first=True)(fastgrad.ones(2, 5, 3))
    >>> output.shape, h.shape, c.shape
    (torch.Size([2, 5, 4]), torch.Size([1, 2, 4]), torch.Size([1, 2, 4]))
    """

    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input, batch_sizes):
        """The shape of the cell state that goes with an input."""
        return self._expected_size(input, batch_sizes, self.hidden_size)

    def check_forward_args(self, input, hidden, batch_sizes):
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden[0], self.get_expected_hidden_size(input, batch_sizes),
                               "Expected hidden[0] size {}, got {}")
        self.check_hidden_size(hidden[1], self.get_expected_cell_size(input, batch_sizes),
                               "Expected hidden[1] size {}, got {}")

    def permute_hidden(self, hx, permutation):
        return hx if permutation is None else tuple([h.index_select(1, permutation) for h in hx])

    def _from_user(self, hx):
        return tuple(hx)

    def _to_user(self, state):
        return state

    def _check_state_dims(self, state, batched):
        dims = 3 if batched else 2
        if state[0].dim() != dims or state[1].dim() != dims:
            what = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(f"For {what} input, hx and cx should also be {dims}-D but got ({state[0].dim()}-D, "
                               f"{state[1].dim()}-D) tensors")

    def _zero_state(self, input, batch_sizes):
        h, = super()._zero_state(input, batch_sizes)
        if not self.proj_size:
            return h, h
        shape = self.get_expected_cell_size(input, batch_sizes)
        return h, fastgrad.zeros(shape, dtype=input.dtype, device=input.device)


RNN.__init__._takes = _rnn_takes
GRU.__init__._takes = LSTM.__init__._takes = RNNBase.__init__


class RNNCellBase(Module):
    """What the cells share."""

    __constants__ = ["input_size", "hidden_size", "bias"]

    def __init__(self, input_size, hidden_size, bias, num_chunks, device=None, dtype=None):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(fastgrad.empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(fastgrad.empty((rows, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(fastgrad.empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    reset_parameters = RNNBase.reset_parameters

    def _weights(self):
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _check_dims(self, what, tensor):
        if tensor.dim() not in (1, 2):
            raise ValueError(f"{self._get_name()}: Expected {what} to be 1D or 2D, got {tensor.dim()}D instead")

    def _batched(self, input, hx):
        """Input and state with a batch dimension."""
        self._check_dims("input", input)
        if hx is not None:
            self._check_dims("hidden", hx)
        if input.dim() == 1:
            input, hx = input.unsqueeze(0), None if hx is None else hx.unsqueeze(0)
        return input, self._zeros(input) if hx is None else hx

    def _zeros(self, input):
        return fastgrad.zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)


class RNNCell(RNNCellBase):
    """One step of `RNN`."""

    __constants__ = ["input_size", "hidden_size", "bias", "nonlinearity"]

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        x, h = self._batched(input, hx)
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        activation = fastgrad.tanh if self.nonlinearity == "tanh" else fastgrad.relu
        h = _recurrent.rnn_cell(activation, x, h, *self._weights())
        return h if input.dim() == 2 else h.squeeze(0)


class GRUCell(RNNCellBase):
    """One step of `GRU`."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        x, h = self._batched(input, hx)
        h = _recurrent.gru_cell(x, h, *self._weights())
        return h if input.dim() == 2 else h.squeeze(0)


class LSTMCell(RNNCellBase):
    """One step of `LSTM`: takes and returns a pair of hidden and cell state."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        self._check_dims("input", input)
        if hx is not None:
            for i, state in enumerate(hx):
                self._check_dims(f"hx[{i}]", state)
        x = input if input.dim() == 2 else input.unsqueeze(0)
        if hx is None:
            zeros = self._zeros(x)
            hx = zeros, zeros
        elif input.dim() == 1:
            hx = hx[0].unsqueeze(0), hx[1].unsqueeze(0)
        h, c = _recurrent.lstm_cell(x, hx, *self._weights())
        return (h, c) if input.dim() == 2 else (h.squeeze(0), c.squeeze(0))
