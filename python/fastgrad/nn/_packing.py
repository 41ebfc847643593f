"""Sequences of different lengths as one tensor: padded, or packed without gaps."""
from collections import namedtuple
from collections.abc import Iterable

import fastgrad
from fastgrad import Tensor

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence", "pad_packed_sequence", "pad_sequence",
           "unpad_sequence", "pack_sequence", "unpack_sequence"]


class PackedSequence(namedtuple("_Packed", ("data", "batch_sizes", "sorted_indices", "unsorted_indices"))):
    """Sequences, longest first, as the rows of all first steps, of all second steps and so on.

    `batch_sizes[t]` sequences are longer than t. Made by `pack_padded_sequence` and `pack_sequence`.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError("batch_sizes should always be on CPU. Instances of PackedSequence should never be created "
                             "manually. They should be instantiated by functions like pack_sequence and "
                             "pack_padded_sequences in nn.utils.rnn.")
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def __getnewargs__(self):
        return tuple(self)

    def _with_data(self, data, convert):
        if data is self.data:
            return self
        indices = [None if t is None else convert(t) for t in (self.sorted_indices, self.unsorted_indices)]
        return type(self)(data, self.batch_sizes, *indices)

    def to(self, *args, **kwargs):
        """The data cast or moved as `Tensor.to` does; the indices follow to its device."""
        data = self.data.to(*args, **kwargs)
        return self._with_data(data, lambda t: t.to(data.device))

    def pin_memory(self):
        """A copy in page-locked memory."""
        return self._with_data(self.data.pin_memory(), lambda t: t.pin_memory())

    def cpu(self, *args, **kwargs):
        """The sequences on the CPU."""
        return self.to(*args, **{"device": "cpu", **kwargs})

    def cuda(self, *args, **kwargs):
        """The sequences on a CUDA device."""
        return self.to(*args, **kwargs) if args else self.to(**{"device": "cuda", **kwargs})

    def double(self):
        """The data as float64."""
        return self.to(fastgrad.float64)

    def float(self):
        """The data as float32."""
        return self.to(fastgrad.float32)

    def half(self):
        """The data as float16."""
        return self.to(fastgrad.float16)

    def long(self):
        """The data as int64."""
        return self.to(fastgrad.int64)

    def int(self):
        """The data as int32."""
        return self.to(fastgrad.int32)

    def short(self):
        """The data as int16."""
        return self.to(fastgrad.int16)

    def char(self):
        """The data as int8."""
        return self.to(fastgrad.int8)

    def byte(self):
        """The data as uint8."""
        return self.to(fastgrad.uint8)

    @property
    def is_cuda(self):
        """Whether the data are on a CUDA device."""
        return self.data.is_cuda

    def is_pinned(self):
        """Whether the data are in page-locked memory."""
        return self.data.is_pinned()


def invert_permutation(permutation):
    """The permutation that undoes another one."""
    if permutation is None:
        return None
    places = fastgrad.arange(permutation.numel(), device=permutation.device)
    return fastgrad.empty_like(permutation).scatter_(0, permutation, places)


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """Padded sequences (T, B, ...) as a PackedSequence; `lengths` must decrease unless `enforce_sorted` is False.

    >>> pack_padded_sequence(fastgrad.ones(3, 2, 1), [3, 1]).batch_sizes
    tensor([2, 1, 1])
    """
    if isinstance(lengths, Tensor):
        if lengths.dim() != 1:
            raise RuntimeError("'lengths' argument should be a 1D CPU int64 tensor, but got "
                               f"{lengths.dim()}D {lengths.device} {lengths.type().rpartition('.')[2][:-6]} tensor")
        lengths = lengths.to(fastgrad.int64)
        if lengths.device.type != "cpu":
            raise RuntimeError(f"'lengths' argument should be a 1D CPU int64 tensor, but got 1D {lengths.device} Long "
                               "tensor")
        lengths = lengths.tolist()
    else:
        lengths = fastgrad.as_tensor(lengths, dtype=fastgrad.int64).tolist()
    batch_dim = 0 if batch_first else 1
    order = None
    if not enforce_sorted:
        places = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        order = fastgrad.tensor(places, dtype=fastgrad.int64, device=input.device)
        lengths = [lengths[i] for i in places]
        input = input.index_select(batch_dim, order)
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    if input.size(batch_dim) != len(lengths):
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got {len(lengths)} (batch_size="
                           f"{input.size(batch_dim)})")
    if lengths[-1] <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element in 'lengths' that is "
                           "<= 0")
    if any(a < b for a, b in zip(lengths, lengths[1:])):
        raise RuntimeError("`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can "
                           "pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this "
                           "requirement if you do not need ONNX exportability.")
    if batch_first:
        input = input.transpose(0, 1)
    if lengths[0] > input.size(0):
        raise RuntimeError(f"Expected the longest length to be at most {input.size(0)}, but got {lengths[0]}")
    sizes = _batch_sizes(lengths)
    data = fastgrad.cat([step[:size] for step, size in zip(input.unbind(0), sizes)])
    return PackedSequence(data, fastgrad.tensor(sizes, dtype=fastgrad.int64), order)


def _batch_sizes(lengths):
    """How many of the sequences, longest first, are longer than 0, 1, 2, ..."""
    sizes, alive = [], len(lengths)
    for t in range(lengths[0]):
        while lengths[alive - 1] <= t:
            alive -= 1
        sizes.append(alive)
    return sizes


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """The padded sequences of a PackedSequence, and their lengths."""
    sizes = sequence.batch_sizes.tolist()
    steps = len(sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError("Expected total_length to be at least the length of the longest sequence in input, but "
                             f"got total_length={total_length} and max sequence length being {steps}")
        steps = total_length
    data = sequence.data
    rows = []
    for step in data.split(sizes):
        missing = sizes[0] - step.size(0)
        if missing:
            step = fastgrad.cat([step, _filled(missing, data, padding_value)])
        rows.append(step)
    rows.extend([_filled(sizes[0], data, padding_value)] * (steps - len(sizes)))
    padded = fastgrad.stack(rows)
    lengths = fastgrad.tensor([sum(i < size for size in sizes) for i in range(sizes[0])], dtype=fastgrad.int64)
    if batch_first:
        padded = padded.transpose(0, 1)
    order = sequence.unsorted_indices
    if order is None:
        return padded, lengths
    return padded.index_select(0 if batch_first else 1, order), lengths[order.cpu()]


def _filled(rows, like, value):
    return fastgrad.full((rows, *like.shape[1:]), value, dtype=like.dtype, device=like.device)


def pack_sequence(sequences, enforce_sorted=True):
    """Sequences (length, ...) as a PackedSequence."""
    lengths = [sequence.size(0) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """The sequences of a PackedSequence."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Sequences side by side, the shorter ones filled up.

    >>> pad_sequence([fastgrad.ones(2), fastgrad.ones(1)], batch_first=True)
    tensor([[1., 1.],
            [1., 0.]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"pad_sequence: Expected iterable for input sequences, but got arg of type: "
                           f"{type(sequences)}")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"padding_side should be 'left' or 'right', got {padding_side!r}")
    sequences = list(sequences)
    if not sequences:
        raise RuntimeError("Expected a non-empty list of sequences")
    longest = max(sequence.size(0) for sequence in sequences)
    filled = []
    for sequence in sequences:
        missing = longest - sequence.size(0)
        if missing:
            padding = _filled(missing, sequence, padding_value)
            parts = [sequence, padding] if padding_side == "right" else [padding, sequence]
            sequence = fastgrad.cat(parts)
        filled.append(sequence)
    return fastgrad.stack(filled, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The sequences that `pad_sequence` put side by side."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [sequence[:int(length)] for sequence, length in zip(padded_sequences, lengths)]
