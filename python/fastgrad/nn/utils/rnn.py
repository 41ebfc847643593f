"""Sequences of different lengths as one tensor."""
import fastgrad

_LEFT_OUT = ("PackedSequence", "pack_padded_sequence", "pad_packed_sequence", "pack_sequence", "unpack_sequence")


def __getattr__(name):
    if name in _LEFT_OUT:
        raise AttributeError(f"fastgrad.nn.utils.rnn.{name}: recurrent networks are not part of this release")
    raise AttributeError(f"module 'fastgrad.nn.utils.rnn' has no attribute '{name}'")


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Sequences side by side, the shorter ones filled up.

    >>> pad_sequence([fastgrad.ones(2), fastgrad.ones(1)], batch_first=True)
    tensor([[1., 1.],
            [1., 0.]])
    """
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
            padding = fastgrad.full((missing, *sequence.shape[1:]), padding_value, dtype=sequence.dtype,
                                    device=sequence.device)
            parts = [sequence, padding] if padding_side == "right" else [padding, sequence]
            sequence = fastgrad.cat(parts)
        filled.append(sequence)
    return fastgrad.stack(filled, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The sequences that `pad_sequence` put side by side."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [sequence[:int(length)] for sequence, length in zip(padded_sequences, lengths)]
