"""Recorded events, their averages by name, and the table and trace made of them. Times are in microseconds."""
import functools
import json

from .. import _C

# Operators that Python knows by another name than torch.
_OPERATORS = {"__floordiv__": "floor_divide", "__rfloordiv__": "floor_divide", "__rtruediv__": "div",
              "__rmod__": "remainder", "__invert__": "bitwise_not"}


def _public_name(kind, name):
    """The name that torch shows: ops are in the namespace `aten`, without the underscores of an operator's method."""
    if kind != "op":
        return name
    if name.startswith("__"):
        name = _OPERATORS.get(name, name[2:-2])
    return "aten::" + name


class record_function:
    """Context manager and decorator: the block shows up under `name` in a profile.

    >>> with record_function("preprocess"):
    ...     pass
    """

    def __init__(self, name, args=None):
        self.name = name
        self.args = args
        self._open = []

    def __enter__(self):
        self._open.append(_C._profile_enter(self.name))
        return self

    def __exit__(self, *error):
        _C._profile_exit(self._open.pop())
        return None

    def __call__(self, fn):
        @functools.wraps(fn)
        def wrapped(*args, **kwargs):
            with record_function(self.name):
                return fn(*args, **kwargs)
        return wrapped


class _Times:
    """What an event and an average have in common; a device has no times of its own here."""
    device_time_total = self_device_time_total = device_time = 0
    device_memory_usage = self_device_memory_usage = 0
    is_async = is_remote = is_legacy = False
    use_device = None
    node_id = -1
    flops = 0

    @property
    def cpu_time(self):
        """Mean time of one call."""
        return self.cpu_time_total / self.count if self.count else 0.0

    cuda_time = cuda_time_total = self_cuda_time_total = 0

    @property
    def cpu_time_str(self):
        """`cpu_time` with a unit."""
        return _time_text(self.cpu_time)

    @property
    def cpu_time_total_str(self):
        """`cpu_time_total` with a unit."""
        return _time_text(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self):
        """`self_cpu_time_total` with a unit."""
        return _time_text(self.self_cpu_time_total)


class Interval:
    """Start and end of an event."""

    def __init__(self, start, end):
        self.start, self.end = start, end

    def elapsed_us(self):
        """Return the length."""
        return self.end - self.start


class FunctionEvent(_Times):
    """One recorded call. `cpu_parent` and `cpu_children` are the calls around and inside it."""

    def __init__(self, index, kind, name, start, end, bytes, shapes, thread):
        self.id = index
        self.kind = kind
        self.name = self.key = self.trace_name = _public_name(kind, name)
        self.time_range = Interval(start, end)
        self.thread = thread
        self.input_shapes = shapes
        self.cpu_memory_usage = bytes
        self.cpu_parent = None
        self.cpu_children = []
        self.count = 1
        self.is_user_annotation = kind == "user"
        self.scope = 1 if kind == "backward" else 7 if kind == "user" else 0
        self.stack = []

    @property
    def cpu_time_total(self):
        """Time from start to end."""
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self):
        """The same without the calls inside."""
        return self.cpu_time_total - sum(c.cpu_time_total for c in self.cpu_children)

    @property
    def self_cpu_memory_usage(self):
        """Bytes allocated without those of the calls inside."""
        return self.cpu_memory_usage - sum(c.cpu_memory_usage for c in self.cpu_children)

    def __repr__(self):
        return (f"<FunctionEvent id={self.id} name={self.name} cpu_time={self.cpu_time_str} thread={self.thread} "
                f"input_shapes={self.input_shapes}>")


class FunctionEventAvg(_Times):
    """All calls of one name (and shapes, when grouped by them)."""

    def __init__(self):
        self.key = None
        self.count = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.input_shapes = None
        self.is_user_annotation = False
        self.scope = 0
        self.stack = []
        self.cpu_children = []
        self.cpu_parent = None

    def add(self, other):
        """Count another event, or another average, in; returns this one."""
        if self.key is None:
            self.key, self.input_shapes, self.scope = other.key, other.input_shapes, other.scope
            self.is_user_annotation = other.is_user_annotation
        self.cpu_time_total += other.cpu_time_total
        self.self_cpu_time_total += other.self_cpu_time_total
        self.cpu_memory_usage += other.cpu_memory_usage
        self.self_cpu_memory_usage += other.self_cpu_memory_usage
        self.count += other.count
        return self

    __iadd__ = add

    def __repr__(self):
        return (f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
                f"cpu_time={self.cpu_time_str} input_shapes={self.input_shapes}>")


class EventList(list):
    """Events or averages, with a table and a trace."""

    def __init__(self, events=(), profile_memory=False):
        super().__init__(events)
        self._profile_memory = profile_memory

    @property
    def self_cpu_time_total(self):
        """Sum of the times that no other event counts too."""
        return sum(e.self_cpu_time_total for e in self)

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0, group_by_overload_name=False):
        """Return an `EventList` with one average for each name, or for each name with its input shapes."""
        if group_by_stack_n:
            raise NotImplementedError("key_averages: group_by_stack_n is not available: stacks are not recorded")
        groups = {}
        for e in self:
            key = (e.key, json.dumps(e.input_shapes)) if group_by_input_shape else e.key
            groups.setdefault(key, FunctionEventAvg()).add(e)
        if not group_by_input_shape:
            for average in groups.values():
                average.input_shapes = ""
        return EventList(groups.values(), self._profile_memory)

    def total_average(self):
        """Return one average over everything."""
        total = FunctionEventAvg()
        for e in self:
            total.add(e)
        total.key = "Total"
        return total

    def table(self, sort_by=None, row_limit=100, max_src_column_width=75, max_name_column_width=55,
              max_shapes_column_width=80, header=None, top_level_events_only=False, time_unit=None):
        """Return the events as text, one row each; `sort_by` names a field such as "self_cpu_time_total"."""
        from ._table import table
        return table(self, sort_by, row_limit, max_name_column_width, max_shapes_column_width, header,
                     top_level_events_only, time_unit)

    def __str__(self):
        return self.table()

    def export_chrome_trace(self, path):
        """Write the events as a trace; `.gz` at the end of the name compresses it."""
        write_trace(path, self)


def _time_text(us):
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    return f"{us / 1e3:.3f}ms" if us >= 1e3 else f"{us:.3f}us"


def events_from(raw, profile_memory, thread):
    """The `EventList` of what `_C._profile_stop` gave, with parents and children linked."""
    events = EventList(profile_memory=profile_memory)
    for i, (kind, name, start, end, bytes, parent, shapes) in enumerate(raw):
        e = FunctionEvent(i, kind, name, start / 1e3, end / 1e3, bytes, shapes, thread)
        if parent >= 0:
            e.cpu_parent = events[parent]
            events[parent].cpu_children.append(e)
        events.append(e)
    return events


def write_trace(path, events, metadata=None):
    """The trace event format: one complete event ("X") for each call, times in microseconds."""
    import gzip
    import os
    process = os.getpid()
    category = {"op": "cpu_op", "backward": "autograd", "user": "user_annotation"}
    trace = [{"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": "python"}}]
    for e in events:
        entry = {"ph": "X", "cat": category[e.kind], "name": e.name, "pid": process, "tid": e.thread,
                 "ts": e.time_range.start, "dur": e.time_range.elapsed_us()}
        if e.input_shapes:
            entry["args"] = {"Input Dims": e.input_shapes}
        trace.append(entry)
    document = {"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": trace, **(metadata or {})}
    opened = gzip.open(path, "wt") if str(path).endswith(".gz") else open(path, "w")
    with opened as file:
        json.dump(document, file)
