"""CUDA devices: whether there are any, memory, synchronisation.

Without a usable device `is_available()` is False, `unavailable_reason()` says why, and everything that needs one raises
that reason in one line.
"""
from .. import _C

__all__ = ["is_available", "device_count", "current_device", "set_device", "get_device_name", "synchronize",
           "empty_cache", "memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved",
           "reset_peak_memory_stats", "memory_stats", "memory_summary", "manual_seed", "manual_seed_all", "device",
           "device_of", "stream", "set_stream", "Stream", "Event", "current_stream", "default_stream",
           "OutOfMemoryError", "is_initialized", "init", "is_bf16_supported", "get_rng_state", "set_rng_state",
           "get_rng_state_all", "set_rng_state_all", "get_device_properties", "get_device_capability",
           "mem_get_info", "initial_seed", "seed", "seed_all", "unavailable_reason", "CUDAGraph", "graph",
           "graph_pool_handle", "is_current_stream_capturing", "make_graphed_callables"]

OutOfMemoryError = _C.OutOfMemoryError


def unavailable_reason():
    """Return why CUDA cannot be used, or None when it can."""
    return _C.cuda_reason()


def is_available():
    """Whether there is a CUDA device. A process forked from one that uses it has it, and cannot use it: see `init`.

    >>> is_available() == (device_count() > 0)
    True
    """
    return _C.cuda_device_count() > 0


def device_count():
    """Return the number of CUDA devices."""
    return _C.cuda_device_count()


def is_initialized():
    """Whether CUDA is in use, and in this process."""
    return _C.cuda_reason() is None


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


def get_device_properties(device=None):
    """Return the properties of a device: name, major, minor, total_memory, multi_processor_count, warp_size ..."""
    _need()
    from ._properties import properties
    return properties(_index(device))


def get_device_capability(device=None):
    """Return the compute capability of a device: (major, minor)."""
    found = get_device_properties(device)
    return found.major, found.minor


def mem_get_info(device=None):
    """Return the bytes of a device that are free and all there are, whoever uses them."""
    _need()
    from ._properties import memory
    return memory(_index(device))


def synchronize(device=None):
    """Wait until the work given to a device is done."""
    _need()
    _C.synchronize(_index(device))


def empty_cache():
    """Give memory that is cached but not in use back to the device; nothing without one."""
    if is_initialized():
        for index in range(device_count()):
            _C.empty_cache(f"cuda:{index}")


def _memory(device):
    if not is_initialized():
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
    if is_initialized():
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
    if is_initialized():
        _generator(None).manual_seed(int(seed))


def manual_seed_all(seed):
    """Seed the generators of all devices; nothing without one."""
    if is_initialized():
        for index in range(device_count()):
            _generator(index).manual_seed(int(seed))


def get_rng_state(device="cuda"):
    """Return the state of a device's generator."""
    return _generator(device).get_state()


def set_rng_state(new_state, device="cuda"):
    """Put a device's generator into a state that `get_rng_state` gave."""
    _generator(device).set_state(new_state)


def get_rng_state_all():
    """Return the states of all devices' generators."""
    return [get_rng_state(index) for index in range(device_count())]


def set_rng_state_all(new_states):
    """Put the generators of all devices into the states that `get_rng_state_all` gave."""
    for index, state in enumerate(new_states):
        set_rng_state(state, index)


def initial_seed():
    """Return the seed of the current device's generator."""
    return _generator(None).initial_seed()


def seed():
    """Seed the generator of the current device with a number from the system; nothing without one."""
    if is_initialized():
        _generator(None).seed()


def seed_all():
    """Seed the generators of all devices with one number from the system; nothing without one."""
    if is_initialized():
        manual_seed_all(_generator(None).seed())


# ---- streams and events

class Stream:
    """A queue of work on a device, one of a pool of 32. `with stream(s):` makes it the current one."""

    def __init__(self, device=None, priority=0, **kwargs):
        _need()
        self.device_index = _index(device)
        self.cuda_stream = _C._stream_new(self.device_index)

    @property
    def device(self):
        return _C.device(f"cuda:{self.device_index}")

    def synchronize(self):
        """Wait until the work of the stream is done."""
        _C._stream_synchronize(self.device_index, self.cuda_stream)

    def query(self):
        """Whether all work of the stream is done."""
        return _C._stream_query(self.device_index, self.cuda_stream)

    def wait_stream(self, stream):
        """Start later work of this stream after the present work of another."""
        if stream.device_index != self.device_index:
            self.wait_event(stream.record_event())
        else:
            _C._stream_wait(self.device_index, self.cuda_stream, stream.cuda_stream)

    def wait_event(self, event):
        """Start later work of this stream after an event."""
        event.wait(self)

    def record_event(self, event=None):
        """Return an event, recorded in this stream."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def __eq__(self, other):
        return (isinstance(other, Stream) and self.device_index == other.device_index
                and self.cuda_stream == other.cuda_stream)

    def __hash__(self):
        return hash((self.device_index, self.cuda_stream))

    def __repr__(self):
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"

    def __enter__(self):
        self._contexts = [*getattr(self, "_contexts", ()), stream(self)]
        return self._contexts[-1].__enter__()

    def __exit__(self, *error):
        self._contexts.pop().__exit__(*error)


def _stream(index, handle):
    made = Stream.__new__(Stream)
    made.device_index, made.cuda_stream = index, handle
    return made


def current_stream(device=None):
    """Return the stream that this thread's work on a device goes to."""
    _need()
    index = _index(device)
    return _stream(index, _C._stream_current(index))


def default_stream(device=None):
    """Return the stream that is the current one unless another is chosen."""
    _need()
    return _stream(_index(device), 0)


def set_stream(stream):
    """Make a stream the current one of this thread."""
    if stream is not None:
        _C._stream_choose(stream.device_index, stream.cuda_stream)


class stream:
    """Context in which a stream is the current one of this thread; None does nothing."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        if self.stream is not None:
            self._outer = current_stream(self.stream.device_index)
            set_stream(self.stream)
        return self.stream

    def __exit__(self, kind, error, traceback):
        if self.stream is not None:
            set_stream(self._outer)


class Event:
    """A moment in the work of a stream: what others wait for, and two of them measure time."""

    def __init__(self, enable_timing=False, blocking=False, interprocess=False, external=False):
        _need()
        for name, wanted in (("interprocess", interprocess), ("external", external)):
            if wanted:
                raise NotImplementedError(f"cuda.Event: {name}=True is not supported")
        self._event = _C._CudaEvent(bool(enable_timing), bool(blocking))

    @classmethod
    def from_ipc_handle(cls, device, handle):
        """Raise: events of other processes are not supported."""
        raise NotImplementedError("cuda.Event.from_ipc_handle is not supported")

    def ipc_handle(self):
        """Raise: events of other processes are not supported."""
        raise NotImplementedError("cuda.Event.ipc_handle is not supported")

    @property
    def device(self):
        """The device of the stream where the event was first recorded, or None."""
        index = self._event.device
        return None if index < 0 else _C.device(f"cuda:{index}")

    @property
    def cuda_event(self):
        """The runtime's handle as a number; 0 before the first `record`."""
        return self._event.handle

    def record(self, stream=None):
        """Put the event behind the present work of a stream, the current one by default."""
        stream = current_stream() if stream is None else stream
        self._event.record(stream.device_index, stream.cuda_stream)

    def wait(self, stream=None):
        """Start later work of a stream, the current one by default, after the event."""
        stream = current_stream() if stream is None else stream
        self._event.wait(stream.device_index, stream.cuda_stream)

    def synchronize(self):
        """Wait until the event is in the past."""
        self._event.synchronize()

    def query(self):
        """Whether the event is in the past."""
        return self._event.query()

    def elapsed_time(self, end_event):
        """Milliseconds from this event to another; both have `enable_timing` and are in the past."""
        return self._event.elapsed_time(end_event._event)

    def __repr__(self):
        return f"<torch.cuda.Event {self.cuda_event:#x}>" if self.cuda_event else "<torch.cuda.Event uninitialized>"


_GRAPHS = ("CUDAGraph", "graph", "graph_pool_handle", "is_current_stream_capturing", "make_graphed_callables")


def __getattr__(name):
    if name in ("amp", "graphs") or name in _GRAPHS:
        from importlib import import_module
        module = import_module(".amp" if name == "amp" else ".graphs", __name__)
        return getattr(module, name) if name in _GRAPHS else module
    if name.endswith("Tensor"):
        from .. import _legacy
        if name.removesuffix("Tensor") in _legacy.KINDS:
            return globals().setdefault(name, _legacy.tensor_type(name, "cuda"))
    from fastgrad._missing import no_attribute
    raise no_attribute(__name__, name)
