"""torch's file format: the pickle dialect and the zip container around it.

Written: every tensor as a call of `torch._utils._rebuild_tensor_v2` on a storage, a persistent id that names one of the
`data/N` records; our own names appear in the file under torch's. Read: the same, by an unpickler that knows a short
list of names and lets nothing else be called.
"""
import io
import pickle
import struct
import zipfile
import zlib
from collections import Counter, OrderedDict

import fastgrad
from fastgrad import Tensor

from ._memory import ITEM_SIZES, dtype_name, empty_like_file, memory_of, read_into, storage_of
from .nn.parameter import Parameter, _rebuild_parameter

_ALIGNMENT = 64

_STORAGE_NAMES = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage", "complex128": "ComplexDoubleStorage"}


# ---- writing

class _Name:
    """A name of torch's, written as a global."""

    def __init__(self, module, name):
        self.module = module
        self.name = name

    def __call__(self, *args):
        raise TypeError("stands for a function of torch in a file")


_TENSOR = _Name("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = _Name("torch._utils", "_rebuild_parameter")
_SIZE = _Name("torch", "Size")
_DEVICE = _Name("torch", "device")
_STORAGES = {dtype: _Name("torch", name) for dtype, name in _STORAGE_NAMES.items()}
_DTYPES = {}


class _Storage:
    """A storage to be written: its number, and a flat tensor over all of it."""

    def __init__(self, number, flat):
        self.number = number
        self.flat = flat


# The pickler in Python: only there a class can decide how a global is spelled.
class _Pickler(pickle._Pickler):
    def __init__(self, file, protocol):
        super().__init__(file, protocol=protocol)
        self.storages = {}

    def persistent_id(self, obj):
        if isinstance(obj, _Storage):
            flat = obj.flat
            return "storage", _STORAGES[dtype_name(flat.dtype)], str(obj.number), str(flat.device), flat.numel()
        return None

    def reducer_override(self, obj):
        if isinstance(obj, Tensor):
            if isinstance(obj, Parameter):
                return _PARAMETER, (obj.data, obj.requires_grad, OrderedDict())
            return _TENSOR, (self._storage_of(obj), obj.storage_offset(), tuple(obj.size()), tuple(obj.stride()),
                             obj.requires_grad, OrderedDict())
        if isinstance(obj, _Name):
            return obj.name
        if isinstance(obj, fastgrad.dtype):
            return dtype_name(obj)
        if isinstance(obj, fastgrad.Size):
            return _SIZE, (tuple(obj),)
        if isinstance(obj, fastgrad.device):
            return _DEVICE, (obj.type,) if obj.index is None else (obj.type, obj.index)
        return NotImplemented

    def save_global(self, obj, name=None):
        if isinstance(obj, fastgrad.dtype):
            obj = _DTYPES.setdefault(name, _Name("torch", name))
        if not isinstance(obj, _Name):
            super().save_global(obj, name)
        elif id(obj) in self.memo:
            self.write(self.get(self.memo[id(obj)][0]))
        else:
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            self.memoize(obj)

    def _storage_of(self, tensor):
        name = dtype_name(tensor.dtype)
        if name not in _STORAGES:
            raise NotImplementedError(f"save: tensors of dtype {tensor.dtype} are not supported")
        address, size = storage_of(tensor)
        # Empty storages share the null address and nothing else.
        key = (address, size, name, str(tensor.device)) if size else object()
        if key not in self.storages:
            flat = tensor.detach().as_strided((size // ITEM_SIZES[name],), (1,), 0)
            self.storages[key] = _Storage(len(self.storages), flat)
        return self.storages[key]


def pickle_object(obj, protocol):
    """The records of a file, as pairs of name and flat tensor or bytes."""
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, protocol)
    pickler.dump(obj)
    records = [("data.pkl", buffer.getvalue()), (".format_version", b"1"),
               (".storage_alignment", str(_ALIGNMENT).encode()), ("byteorder", b"little")]
    records += [(f"data/{storage.number}", storage.flat) for storage in pickler.storages.values()]
    return records + [("version", b"3\n")]


def write(file, name, records):
    """Writes the records as a zip archive; the data of each start at a multiple of 64, so that files can be mapped."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for record, data in records:
            if isinstance(data, Tensor):
                kept = data.cpu()
                data = memory_of(kept)
            info = zipfile.ZipInfo(f"{name}/{record}")
            start = archive.fp.tell() if archive._seekable else 0
            header = 30 + len(info.filename.encode())
            padding = -(start + header + 4) % _ALIGNMENT
            info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
            archive.writestr(info, data)


# ---- reading

# What zipfile raises for archives that are damaged: bad places, names, checksums, compressed data, encryption.
_BROKEN = (zipfile.BadZipFile, EOFError, ValueError, KeyError, OverflowError, NotImplementedError, zlib.error,
           struct.error)


class _StorageType:
    """Stands for `torch.FloatStorage` and the like."""

    __slots__ = ("dtype",)

    def __init__(self, dtype):
        self.dtype = dtype


class LoadedStorage:
    """The elements of one record; what a `map_location` function gets and returns."""

    def __init__(self, flat):
        self.flat = flat

    @property
    def device(self):
        """Where it is."""
        return self.flat.device

    def cpu(self):
        """On the CPU."""
        return LoadedStorage(self.flat.cpu())

    def cuda(self, device=None, non_blocking=False):
        """On a CUDA device."""
        return LoadedStorage(self.flat.cuda(device))


def _rebuild_tensor(storage, storage_offset, size, stride, requires_grad=False, backward_hooks=None, metadata=None):
    if not isinstance(storage, LoadedStorage):
        raise pickle.UnpicklingError("a tensor in the file has no storage")
    size, stride = tuple(size), tuple(stride)
    numbers = (storage_offset, *size, *stride)
    if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in numbers):
        raise pickle.UnpicklingError(f"a tensor in the file has size {size}, stride {stride}, offset {storage_offset}")
    last = storage_offset + sum((n - 1) * step for n, step in zip(size, stride)) if 0 not in size else -1
    if last >= storage.flat.numel():
        raise pickle.UnpicklingError(f"a tensor in the file reaches element {last} of a storage with "
                                     f"{storage.flat.numel()}")
    tensor = storage.flat.as_strided(size, stride, storage_offset).data
    return tensor.requires_grad_() if requires_grad else tensor


def _rebuild_marked(data, requires_grad, backward_hooks, state=None):
    if not isinstance(data, Tensor):
        raise pickle.UnpicklingError("a parameter in the file has no tensor")
    return _rebuild_parameter(data, bool(requires_grad), OrderedDict())


def _encode(text, encoding):
    # How protocol 2 writes bytes.
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii") or not isinstance(text, str):
        raise pickle.UnpicklingError(f"encoding {encoding!r} in the file is not allowed")
    return text.encode(encoding)


def _known_names():
    known = {
        ("collections", "OrderedDict"): OrderedDict, ("collections", "Counter"): Counter,
        ("_codecs", "encode"): _encode,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor, ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): _rebuild_marked,
        ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_marked,
        ("torch", "Size"): fastgrad.Size, ("torch", "device"): fastgrad.device}
    for builtins in ("builtins", "__builtin__"):
        for kind in (set, frozenset, bytearray, complex):
            known[builtins, kind.__name__] = kind
    for name, storage in _STORAGE_NAMES.items():
        known["torch", storage] = known["torch.storage", storage] = _StorageType(name)
        known["torch", name] = getattr(fastgrad, name)
    return known


# Opcodes that a file of weights may use: data and containers, names, calls. Not: old class instances, registered
# extensions, keyword construction.
_OPCODES = {getattr(pickle, name)[0] for name in (
    "MARK STOP POP POP_MARK DUP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST "
    "EMPTY_TUPLE EMPTY_DICT EMPTY_SET FROZENSET LIST TUPLE TUPLE1 TUPLE2 TUPLE3 DICT APPEND APPENDS SETITEM SETITEMS "
    "ADDITEMS BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE FRAME PROTO GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD "
    "BINPERSID").split()}


class _WeightsUnpickler(pickle._Unpickler):
    dispatch = {code: function for code, function in pickle._Unpickler.dispatch.items() if code in _OPCODES}

    def __init__(self, file, load_storage, allowed):
        super().__init__(file, encoding="utf-8")
        self.persistent_load = load_storage
        self.known = _known_names()
        self.types = {OrderedDict, Counter, set, frozenset, bytearray}
        for entry in allowed:
            entry, name = entry if isinstance(entry, tuple) else (entry, None)
            path = tuple(name.rsplit(".", 1)) if name else (entry.__module__, entry.__qualname__)
            self.known[path] = entry
            if isinstance(entry, type):
                self.types.add(entry)

    def find_class(self, module, name):
        try:
            return self.known[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                "Weights only load failed. Re-running `load` with `weights_only` set to `False` will likely succeed, "
                "but it can result in arbitrary code execution. Do it only if you got the file from a trusted source.\n"
                f"WeightsUnpickler error: Unsupported global: GLOBAL {module}.{name} was not an allowed global by "
                "default. Please use `fastgrad.serialization.add_safe_globals` to allow it if you trust it.") from None

    def _check_callable(self, function):
        if not any(function is known for known in self.known.values()):
            raise pickle.UnpicklingError(f"Weights only load failed: trying to call {type(function).__name__}")

    def load_reduce(self):
        self._check_callable(self.stack[-2])
        pickle._Unpickler.load_reduce(self)

    def load_newobj(self):
        if self.stack[-2] not in self.types:
            raise pickle.UnpicklingError(f"Weights only load failed: trying to make a {self.stack[-2]!r}")
        pickle._Unpickler.load_newobj(self)

    def load_build(self):
        target, state = self.stack[-2], self.stack[-1]
        if type(target) is OrderedDict and isinstance(state, dict):
            target.__dict__.update(state)
            self.stack.pop()
        elif type(target) in self.types and type(target) not in (OrderedDict, Counter, set, frozenset, bytearray):
            pickle._Unpickler.load_build(self)
        else:
            raise pickle.UnpicklingError("Weights only load failed: trying to set the state of "
                                         + type(target).__name__)

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build


class _AnyUnpickler(pickle.Unpickler):
    """Unpickles everything; names of torch become ours."""

    def __init__(self, file, load_storage, options):
        super().__init__(file, **options)
        self.persistent_load = load_storage
        self.known = _known_names()

    def find_class(self, module, name):
        known = self.known.get((module, name))
        if known is not None:
            return known
        if module == "torch" or module.startswith("torch."):
            module = "fastgrad" + module[5:]
        return super().find_class(module, name)


def read(file, map_location, weights_only, allowed, options):
    """The object in a file."""
    start = file.tell()
    if not file.read(1):
        raise EOFError("Ran out of input")
    file.seek(start)
    if file.read(2) != b"PK":
        file.seek(start)
        raise pickle.UnpicklingError("load: not a file of torch's zip format (files written by torch.save before "
                                     "version 1.6 are not supported)")
    file.seek(start)
    with _open(file) as archive:
        return _read(archive, map_location, weights_only, allowed, options)


def _unreadable(error):
    return RuntimeError(f"load: failed reading zip archive: {error}")


def _open(file):
    try:
        return zipfile.ZipFile(file)
    except _BROKEN as error:
        raise _unreadable(error) from error


def _record(archive, name):
    """The bytes of a record."""
    try:
        return archive.read(name)
    except _BROKEN as error:
        raise _unreadable(error) from error


def _read(archive, map_location, weights_only, allowed, options):
    names = archive.namelist()
    structure = next((name for name in names if name.endswith("data.pkl") and name.count("/") <= 1), None)
    if structure is None:
        raise RuntimeError("load: the archive has no data.pkl")
    prefix = structure.removesuffix("data.pkl")
    if f"{prefix}constants.pkl" in names:
        raise RuntimeError("load: this is a TorchScript archive, which is not supported")
    if f"{prefix}byteorder" in names and _record(archive, f"{prefix}byteorder") != b"little":
        raise RuntimeError("load: the file was written on a big-endian machine, which is not supported")
    storages = {}

    def load_storage(identity):
        if not (isinstance(identity, tuple) and len(identity) == 5 and identity[0] == "storage"
                and isinstance(identity[1], _StorageType)):
            raise pickle.UnpicklingError(f"unknown persistent id {identity!r}")
        _, kind, key, location, count = identity
        if (key, kind.dtype) not in storages:
            storages[key, kind.dtype] = _place(
                _read_storage(archive, f"{prefix}data/{key}", kind.dtype, count), location, map_location)
        return storages[key, kind.dtype]

    file = io.BytesIO(_record(archive, f"{prefix}data.pkl"))
    if not weights_only:
        return _AnyUnpickler(file, load_storage, options).load()
    try:
        return _WeightsUnpickler(file, load_storage, allowed).load()
    except (pickle.UnpicklingError, RuntimeError, zipfile.BadZipFile):
        raise
    except Exception as error:
        raise pickle.UnpicklingError(f"Weights only load failed: {type(error).__name__}: {error}") from error


def _read_storage(archive, record, name, count):
    try:
        info = archive.getinfo(record)
    except KeyError:
        raise RuntimeError(f"load: the archive has no record {record}") from None
    if type(count) is not int or count < 0 or info.file_size < count * ITEM_SIZES[name]:
        raise RuntimeError(f"load: record {record} has {info.file_size} bytes, too few for {count} elements of {name}")
    try:
        with archive.open(info) as file:
            return LoadedStorage(read_into(file, empty_like_file(count, name)))
    except _BROKEN as error:
        raise _unreadable(error) from error


def _place(storage, location, map_location):
    """Moves a storage to where it was saved, or where `map_location` wants it."""
    if callable(map_location) and not isinstance(map_location, (str, fastgrad.device)):
        placed = map_location(storage, location)
        if placed is not None:
            return placed
    elif isinstance(map_location, dict):
        location = map_location.get(location, location)
    elif map_location is not None:
        location = map_location
    device = fastgrad.device(location)
    if device.type == "cuda" and not fastgrad.cuda.is_available():
        raise RuntimeError("Attempting to deserialize object on a CUDA device but fastgrad.cuda.is_available() is "
                           "False. If you are running on a CPU-only machine, please use load with "
                           "map_location=fastgrad.device('cpu') to map your storages to the CPU.")
    return storage if device.type == "cpu" else LoadedStorage(storage.flat.to(device))
