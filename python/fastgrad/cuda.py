"""CUDA devices: whether there are any, memory, synchronisation.

Without a usable device `is_available()` is False, `unavailable_reason()` says why, and everything that needs one raises
that reason in one line.
"""
from . import _C

__all__ = ["is_available", "device_count", "current_device", "set_device", "get_device_name", "synchronize",
           "empty_cache", "memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved",
           "reset_peak_memory_stats", "memory_stats", "memory_summary", "manual_seed", "manual_seed_all", "device",
           "device_of", "stream", "Stream", "Event", "current_stream", "OutOfMemoryError", "is_initialized", "init",
           "is_bf16_supported", "get_rng_state", "set_rng_state", "unavailable_reason"]


class OutOfMemoryError(RuntimeError):
    """Raised when a device has no more memory."""


def unavailable_reason():
    """Return why CUDA cannot be used, or None when it can."""
    return _C.cuda_reason()


def is_available():
    """Whether a CUDA device can be used.

    >>> is_available() == (device_count() > 0)
    True
    """
    return _C.cuda_reason() is None


def device_count():
    """Return the number of CUDA devices."""
    return _C.cuda_device_count()


def is_initialized():
    """Whether CUDA is in use."""
    return is_available()


def init():
    """Raise when CUDA cannot be used."""
    _need()


def _need():
    reason = _C.cuda_reason()
    if reason is not None:
        raise RuntimeError(f"CUDA cannot be used: {reason}")


def _index(device):
    """The number of a device given as None, a number, a string or a device."""
    if device is None:
        return current_device()
    if isinstance(device, int):
        index = device
    else:
        wanted = _C.device(device) if isinstance(device, str) else device
        if wanted.type != "cuda":
            raise ValueError(f"Expected a cuda device, but got: {wanted}")
        index = current_device() if wanted.index is None else wanted.index
    if not 0 <= index < device_count():
        raise RuntimeError(f"CUDA device {index} does not exist: there are {device_count()}")
    return index


def current_device():
    """Return the number of the device that "cuda" means: always 0."""
    _need()
    return 0


def set_device(device):
    """Choose the device that "cuda" means: only 0."""
    _need()
    if _index(device) != 0:
        raise RuntimeError(f"cuda.set_device: only device 0 can be the current one, got {device}")


class device:
    """Context for a current device; a negative number or None does nothing."""

    def __init__(self, device):
        self.idx = None if device is None or device == -1 else device

    def __enter__(self):
        if self.idx is not None:
            set_device(self.idx)

    def __exit__(self, kind, error, traceback):
        pass


class device_of(device):
    """Context for the device of a tensor."""

    def __init__(self, obj):
        super().__init__(obj.device if obj.is_cuda else None)


def get_device_name(device=None):
    """Return the name of a device."""
    _need()
    return _C.cuda_device_name(_index(device))


def synchronize(device=None):
    """Wait until the work given to a device is done."""
    _need()
    _C.synchronize(_index(device))


def empty_cache():
    """Give memory that is cached but not in use back to the device; nothing without one."""
    if is_available():
        for index in range(device_count()):
            _C.empty_cache(f"cuda:{index}")


def _memory(device):
    if not is_available():
        return {"allocated": 0, "reserved": 0, "peak_allocated": 0, "peak_reserved": 0, "blocks": 0}
    return _C.memory_stats(f"cuda:{_index(device)}")


def memory_allocated(device=None):
    """Return the bytes that tensors use."""
    return _memory(device)["allocated"]


def memory_reserved(device=None):
    """Return the bytes held from the device, in use or cached."""
    return _memory(device)["reserved"]


def max_memory_allocated(device=None):
    """Return the most bytes that tensors have used since the last reset."""
    return _memory(device)["peak_allocated"]


def max_memory_reserved(device=None):
    """Return the most bytes that were held since the last reset."""
    return _memory(device)["peak_reserved"]


def reset_peak_memory_stats(device=None):
    """Start the peaks again from the present use."""
    if is_available():
        _C.reset_peak_memory(f"cuda:{_index(device)}")


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats


def memory_stats(device=None):
    """Return the counters of the allocator, under torch's names."""
    stats = _memory(device)
    return {"allocated_bytes.all.current": stats["allocated"], "allocated_bytes.all.peak": stats["peak_allocated"],
            "reserved_bytes.all.current": stats["reserved"], "reserved_bytes.all.peak": stats["peak_reserved"],
            "active.all.current": stats["blocks"]}


def memory_summary(device=None, abbreviated=False):
    """Return the counters of the allocator as text."""
    return "\n".join(f"{name}: {value}" for name, value in memory_stats(device).items())


def is_bf16_supported(including_emulation=True):
    """Whether bfloat16 tensors can be used."""
    return is_available()


# ---- random numbers

def _generator(device):
    _need()
    return _C._default_generator(f"cuda:{_index(device)}")


def manual_seed(seed):
    """Seed the generator of the current device; nothing without one."""
    if is_available():
        _generator(None).manual_seed(int(seed))


def manual_seed_all(seed):
    """Seed the generators of all devices; nothing without one."""
    if is_available():
        for index in range(device_count()):
            _generator(index).manual_seed(int(seed))


def get_rng_state(device="cuda"):
    """Return the state of a device's generator."""
    return _generator(device).get_state()


def set_rng_state(new_state, device="cuda"):
    """Put a device's generator into a state that `get_rng_state` gave."""
    _generator(device).set_state(new_state)


# ---- streams: there is one for each device, in which work runs in order

class Stream:
    """The stream of a device; work always runs in the one stream of its device, in order."""

    def __init__(self, device=None, priority=0, **kwargs):
        _need()
        self.device_index = _index(device)

    @property
    def device(self):
        return _C.device(f"cuda:{self.device_index}")

    def synchronize(self):
        _C.synchronize(self.device_index)

    def query(self):
        self.synchronize()
        return True

    def wait_stream(self, stream):
        """Nothing to wait for: the work is in one stream."""

    def wait_event(self, event):
        """Nothing to wait for: the work is in one stream."""

    def record_event(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        pass


def current_stream(device=None):
    """Return the stream of a device."""
    return Stream(device)


default_stream = current_stream


class stream:
    """Context for a stream; there is one for each device."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        return self.stream

    def __exit__(self, kind, error, traceback):
        pass


class Event:
    """A moment in the work of a device, taken by waiting for it."""

    def __init__(self, enable_timing=False, blocking=False, interprocess=False):
        _need()
        self._time = None

    def record(self, stream=None):
        import time
        synchronize()
        self._time = time.perf_counter()

    def synchronize(self):
        synchronize()

    def wait(self, stream=None):
        """Nothing to wait for: the work is in one stream."""

    def query(self):
        return True

    def elapsed_time(self, end_event):
        """Milliseconds from this event to another."""
        if self._time is None or end_event._time is None:
            raise RuntimeError("Both events must be recorded before calculating elapsed time.")
        return (end_event._time - self._time) * 1000.0


def __getattr__(name):
    if name.endswith("Tensor"):
        from . import _legacy
        if name.removesuffix("Tensor") in _legacy.KINDS:
            return globals().setdefault(name, _legacy.tensor_type(name, "cuda"))
    raise AttributeError(f"module 'fastgrad.cuda' has no attribute '{name}'")
