"""The safetensors file format: a JSON header with names, dtypes, shapes and places, then the bytes.

>>> import fastgrad
>>> loaded = load(save({"w": fastgrad.zeros(2)}))
>>> loaded["w"]
tensor([0., 0.])
"""
import fastgrad
from fastgrad import Tensor

from ._memory import ITEM_SIZES, dtype_name, empty_like_file, memory_of, read_into, storage_of

__all__ = ["SafetensorError", "save_file", "save", "load_file", "load", "safe_open"]

# In the order of a file: large elements first, so that all are aligned.
_CODES = {"int64": "I64", "float64": "F64", "complex64": "C64", "float32": "F32", "int32": "I32", "bfloat16": "BF16",
          "float16": "F16", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"}
_RANK = {name: i for i, name in enumerate(_CODES)}
_NAMES = {code: name for name, code in _CODES.items()}
_MAX_HEADER = 100_000_000


class SafetensorError(Exception):
    """A file or a set of tensors that the format does not allow."""


def _layout(tensors, metadata):
    """The header, and the tensors in the order of the file."""
    import json
    if not isinstance(tensors, dict):
        raise ValueError(f"Expected a dict of [str, torch.Tensor] but received {type(tensors)}")
    owners = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"Key `{name}` is invalid, expected torch.Tensor but received {type(tensor)}")
        if dtype_name(tensor.dtype) not in _CODES:
            raise SafetensorError(f"save_file: dtype {tensor.dtype} of `{name}` is not supported")
        if tensor.numel():
            key = storage_of(tensor)[0], str(tensor.device)
            if key in owners:
                raise RuntimeError("Some tensors share memory, this will lead to duplicate memory on disk and "
                                   f"potential differences when loading them again: {sorted([owners[key], name])}. "
                                   "Save clones.")
            owners[key] = name
        if not tensor.is_contiguous():
            raise ValueError(f"You are trying to save a non contiguous tensor: `{name}` which is not allowed. It "
                             "either means you are trying to save tensors which are reference of each other in which "
                             "case it's recommended to save only the full tensors, and reslice at load time, or simply "
                             "call `.contiguous()` on your tensor to pack it before saving.")
    order = sorted(tensors.items(), key=lambda item: (_RANK[dtype_name(item[1].dtype)], item[0]))
    header = {}
    if metadata is not None:
        if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
            raise SafetensorError("save_file: metadata must be a dict of str to str")
        header["__metadata__"] = metadata
    start = 0
    for name, tensor in order:
        end = start + tensor.numel() * ITEM_SIZES[dtype_name(tensor.dtype)]
        header[name] = {"dtype": _CODES[dtype_name(tensor.dtype)], "shape": list(tensor.shape),
                        "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, [tensor for _, tensor in order]


def save_file(tensors, filename, metadata=None):
    """Writes a dict of tensors."""
    header, ordered = _layout(tensors, metadata)
    with open(filename, "wb") as file:
        file.write(header)
        for tensor in ordered:
            kept = tensor.detach().cpu()
            file.write(memory_of(kept))


def save(tensors, metadata=None):
    """A dict of tensors as bytes."""
    header, ordered = _layout(tensors, metadata)
    kept = [tensor.detach().cpu() for tensor in ordered]
    return b"".join([header, *(memory_of(tensor) for tensor in kept)])


def load_file(filename, device="cpu"):
    """Reads a dict of tensors."""
    with safe_open(filename, device=device) as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def load(data):
    """A dict of tensors from bytes."""
    import io
    file = safe_open._of(io.BytesIO(data), "cpu")
    return {name: file.get_tensor(name) for name in file.keys()}


class safe_open:  # noqa: N801 (the name in the safetensors package)
    """A file of which tensors are read one by one, by name."""

    def __init__(self, filename, framework="pt", device="cpu"):
        self._start(open(filename, "rb"), device)

    @classmethod
    def _of(cls, file, device):
        made = cls.__new__(cls)
        made._start(file, device)
        return made

    def _start(self, file, device):
        self._file = file
        self._device = fastgrad.device(device)
        try:
            self._metadata, self._entries, self._base = _read_header(file)
        except BaseException:
            file.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()

    def keys(self):
        """The names."""
        return list(self._entries)

    def metadata(self):
        """The texts that were saved along, or None."""
        return self._metadata

    def get_tensor(self, name):
        """One tensor."""
        if name not in self._entries:
            raise SafetensorError(f"File does not contain tensor {name}")
        dtype, shape, start, end = self._entries[name]
        self._file.seek(self._base + start)
        tensor = read_into(self._file, empty_like_file((end - start) // ITEM_SIZES[dtype], dtype))
        return tensor.reshape(shape).to(self._device)


def _read_header(file):
    import json
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8:
        raise SafetensorError("Error while deserializing header: header too small")
    if length > _MAX_HEADER:
        raise SafetensorError("Error while deserializing header: header too large")
    if 8 + length > size:
        raise SafetensorError("Error while deserializing header: invalid header length")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_distinct)
        if not isinstance(header, dict):
            raise SafetensorError("Error while deserializing header: invalid header: it is no JSON object")
        metadata = header.pop("__metadata__", None)
        texts = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
        if metadata is not None and not texts:
            raise SafetensorError("Error while deserializing header: invalid header: __metadata__ must hold texts")
        entries = {name: _check_entry(name, entry) for name, entry in header.items()}
    except SafetensorError:
        raise
    except Exception as error:
        raise SafetensorError(f"Error while deserializing header: invalid header: {error}") from None
    place = 0
    for name, (_, _, start, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if start != place:
            raise SafetensorError(f"Error while deserializing header: invalid offset for tensor `{name}`")
        place = end
    if 8 + length + place != size:
        raise SafetensorError("Error while deserializing header: incomplete metadata, file not fully covered")
    return metadata, entries, 8 + length


def _distinct(pairs):
    made = dict(pairs)
    if len(made) < len(pairs):
        raise SafetensorError("Error while deserializing header: invalid header: a name occurs twice")
    return made


def _check_entry(name, entry):
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise SafetensorError(f"Error while deserializing header: the entry of tensor `{name}` must have dtype, shape "
                              "and data_offsets, and nothing else")
    dtype, shape, data_offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in _NAMES:
        raise SafetensorError(f"load_file: dtype {dtype} of `{name}` is not supported")
    start, end = data_offsets
    count = 1
    for n in shape:
        if type(n) is not int or n < 0:
            raise SafetensorError(f"Error while deserializing header: invalid shape for tensor `{name}`")
        count *= n
    if type(start) is not int or type(end) is not int or not 0 <= start <= end \
            or end - start != count * ITEM_SIZES[_NAMES[dtype]]:
        raise SafetensorError("Error while deserializing header: invalid shape, data type, or offset for tensor "
                              f"`{name}`")
    return _NAMES[dtype], shape, start, end
