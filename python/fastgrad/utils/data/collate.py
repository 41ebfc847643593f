"""Making one batch of a list of samples."""
import sys
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence

import fastgrad
from fastgrad import Tensor

_WRONG = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"


def default_collate(batch):
    """Stacks tensors, makes tensors of numbers, and does the same inside tuples, lists and dicts."""
    sample = batch[0]
    if isinstance(sample, Tensor):
        return fastgrad.stack(batch, 0)
    if isinstance(sample, float) and type(sample).__module__ != "numpy":
        return fastgrad.tensor(batch, dtype=fastgrad.float64)
    if isinstance(sample, int):
        return fastgrad.tensor(batch)
    if isinstance(sample, (str, bytes)):
        return batch
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(sample, numpy.ndarray):
            if sample.dtype.kind in "SUaO":
                raise TypeError(_WRONG.format(sample.dtype))
            return default_collate([fastgrad.as_tensor(entry) for entry in batch])
        if isinstance(sample, (numpy.bool_, numpy.number)):
            return fastgrad.as_tensor(numpy.asarray(batch))
    if isinstance(sample, Mapping):
        return _like_mapping(sample, {key: default_collate([entry[key] for entry in batch]) for key in sample})
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*(default_collate(column) for column in zip(*batch)))
    if isinstance(sample, Sequence):
        if any(len(entry) != len(sample) for entry in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(column) for column in zip(*batch)]
        return columns if isinstance(sample, tuple) else _like_sequence(sample, columns)
    raise TypeError(_WRONG.format(type(sample)))


def default_convert(data):
    """Makes tensors of numpy arrays, and does the same inside tuples, lists and dicts."""
    if isinstance(data, Tensor):
        return data
    if type(data).__module__ == "numpy":
        if type(data).__name__ == "ndarray" and data.dtype.kind in "SUaO":
            return data
        return fastgrad.as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(entry) for entry in data))
    if isinstance(data, tuple):
        return [default_convert(entry) for entry in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like_sequence(data, [default_convert(entry) for entry in data])
    return data


def _like_mapping(sample, entries):
    """The entries in a mapping of the sample's own kind where that can be made."""
    if type(sample) is dict:
        return entries
    try:
        if isinstance(sample, MutableMapping):
            import copy
            made = copy.copy(sample)
            made.update(entries)
            return made
        return type(sample)(entries)
    except TypeError:
        return entries


def _like_sequence(sample, entries):
    """The entries in a sequence of the sample's own kind where that can be made."""
    if type(sample) is list:
        return entries
    try:
        if isinstance(sample, MutableSequence):
            import copy
            made = copy.copy(sample)
            for i, entry in enumerate(entries):
                made[i] = entry
            return made
        return type(sample)(entries)
    except TypeError:
        return entries
