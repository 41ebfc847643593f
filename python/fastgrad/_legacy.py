"""Old spellings that programs still use: `FloatTensor(...)`, `tensor.type()`, storages, the default tensor type."""
from . import _C

Tensor = _C.Tensor

# Name before "Tensor": dtype.
KINDS = {"Float": _C.float32, "Double": _C.float64, "Half": _C.float16, "BFloat16": _C.bfloat16, "Byte": _C.uint8,
         "Char": _C.int8, "Short": _C.int16, "Int": _C.int32, "Long": _C.int64, "Bool": _C.bool}
_NAMES = {dtype: name for name, dtype in KINDS.items()}
_NAMES |= {_C.complex64: "ComplexFloat", _C.complex128: "ComplexDouble"}  # torch has no class of these names


class tensortype(type):
    """The class of `FloatTensor` and its kin: a tensor is an instance when dtype and device fit."""

    def __instancecheck__(cls, instance):
        return (isinstance(instance, Tensor) and instance.dtype == cls.dtype
                and instance.device.type == cls.device_type)

    def __call__(cls, *args, device=None):
        device = device or cls.device_type
        if not args:
            return _C.empty(0, dtype=cls.dtype, device=device)
        first = args[0]
        if all(type(n) is int for n in args):
            return _C.empty(args, dtype=cls.dtype, device=device)
        if len(args) > 1:
            raise TypeError(f"{cls.__name__}() takes sizes, or one sequence of numbers")
        if isinstance(first, Tensor):
            return first.to(device=device, dtype=cls.dtype)
        if type(first).__name__ == "Size":
            return _C.empty(first, dtype=cls.dtype, device=device)
        return _C.tensor(first, dtype=cls.dtype, device=device)

    def __repr__(cls):
        return f"<class '{cls.__module__}.{cls.__name__}'>"


def tensor_type(name, device_type="cpu"):
    """The class for a name such as FloatTensor."""
    dtype = KINDS[name.removesuffix("Tensor")]
    module = "torch" if device_type == "cpu" else "torch.cuda"
    return tensortype(name, (), {"dtype": dtype, "device_type": device_type, "__module__": module})


def type_name(t):
    """What `t.type()` gives."""
    place = "torch." if t.device.type == "cpu" else f"torch.{t.device.type}."
    return f"{place}{_NAMES[t.dtype]}Tensor"


def parse_type(kind):
    """(dtype, device type or None) of a dtype, a tensor type or the name of one."""
    if isinstance(kind, _C.dtype):
        return kind, None
    if isinstance(kind, tensortype):
        return kind.dtype, kind.device_type
    parts = str(kind).split(".")
    name = parts[-1].removesuffix("Tensor")
    if parts[0] != "torch" or not parts[-1].endswith("Tensor") or name not in KINDS:
        raise ValueError(f"invalid type: '{kind}'")
    return KINDS[name], "cuda" if "cuda" in parts else "cpu"


def cast(self, dtype=None, non_blocking=False):
    """Return the name of the tensor's type, or the tensor as another type."""
    if dtype is None:
        return type_name(self)
    wanted, device = parse_type(dtype)
    if device is None or device == self.device.type:
        return self.to(wanted)
    return self.to(device=device, dtype=wanted)


def set_default_tensor_type(t):
    """Set the default dtype from a tensor type or its name."""
    dtype, device = parse_type(t)
    if device == "cuda":
        raise RuntimeError("set_default_tensor_type: the default device is always the CPU")
    _C.set_default_dtype(dtype)


class UntypedStorage:
    """The memory behind a tensor and its views."""

    def __init__(self, tensor):
        self._tensor = tensor

    def data_ptr(self):
        t = self._tensor
        return t.data_ptr() - t.storage_offset() * t.element_size() if t.numel() else 0

    def nbytes(self):
        return self._tensor._storage_nbytes()

    @property
    def device(self):
        return self._tensor.device

    def size(self):
        return self.nbytes()

    def __len__(self):
        return self.nbytes()

    def __eq__(self, other):
        return isinstance(other, UntypedStorage) and self._tensor._storage_key() == other._tensor._storage_key()

    def __hash__(self):
        return hash(self._tensor._storage_key())


class TypedStorage(UntypedStorage):
    """The memory behind a tensor, counted in its elements."""

    @property
    def dtype(self):
        return self._tensor.dtype

    def _flat(self):
        return self._tensor.detach().as_strided((self.size(),), (1,), 0)

    def size(self):
        return self.nbytes() // self._tensor.element_size()

    __len__ = size

    def tolist(self):
        return self._flat().tolist()

    def __getitem__(self, index):
        return self._flat()[index].item()

    def __iter__(self):
        return iter(self.tolist())

    def untyped(self):
        return UntypedStorage(self._tensor)

    _untyped_storage = property(untyped)
