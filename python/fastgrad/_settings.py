"""Small questions and switches at the top level that other programs expect."""
import _thread

from . import _C

Tensor = _C.Tensor
is_anomaly_enabled = _C.is_anomaly_enabled

_deterministic = [False, False]  # asked for, warn only


def set_anomaly_enabled(mode, check_nan=True):
    """Switch anomaly detection on or off: what `autograd.set_detect_anomaly` does."""
    _C.set_anomaly_(mode, check_nan)


def is_tensor(obj):
    """Whether an object is a tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj):
    """Whether an object is a storage."""
    from ._legacy import UntypedStorage
    return isinstance(obj, UntypedStorage)


def is_inference(input):
    """Whether a tensor was made in inference mode."""
    return input._is_inference


def typename(obj):
    """Return the name of an object's type; for tensors with their dtype, as `torch.FloatTensor`."""
    if isinstance(obj, Tensor):
        return obj.type()
    kind = obj if isinstance(obj, type) else type(obj)
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", None) else f"{module}.{kind.__qualname__}"


def scalar_tensor(s, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """Return a number as a tensor without dimensions."""
    t = _C.tensor(s, dtype=_C.get_default_dtype() if dtype is None else dtype, device=device)
    return t.requires_grad_() if requires_grad else t


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Ask for results that do not change from run to run: on the CPU that is always so."""
    _deterministic[:] = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled():
    """Whether `use_deterministic_algorithms` is on."""
    return _deterministic[0]


def is_deterministic_algorithms_warn_only_enabled():
    """Whether `use_deterministic_algorithms` only warns."""
    return _deterministic[1]


class _Devices(_thread._local):
    """The default device of a thread, and those that `with device:` has put aside."""

    def __init__(self):
        self.now = _C.device("cpu")
        self.outer = []


_devices = _Devices()


def get_default_device():
    """Return the device that tensors are made on in this thread when none is given."""
    return _devices.now


def set_default_device(device):
    """Choose the device of new tensors for this thread; None is the CPU.

    `with torch.device(...):` does it for a block.
    """
    device = _C.device("cpu" if device is None else device)
    _C._set_default_device(device)
    _devices.now = device


def _enter_device(device):
    _devices.outer.append(_devices.now)
    set_default_device(device)
    return device


def _leave_device(device, kind, error, traceback):
    set_default_device(_devices.outer.pop())


_C.device.__enter__, _C.device.__exit__ = _enter_device, _leave_device


def get_num_interop_threads():
    """Return the number of threads that run operations beside each other: one."""
    return 1


def set_num_interop_threads(n):
    """Accepted for compatibility: operations run one after the other."""
