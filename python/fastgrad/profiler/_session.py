"""`profile`: when events are recorded, and what is done with them."""
from enum import Enum

from .. import _C
from ._events import EventList, events_from, record_function, write_trace


class ProfilerActivity(Enum):
    """What is watched. Work on a device is counted on the CPU, where it is launched."""
    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(Enum):
    """What the profiler does during a step."""
    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3
    DEVICE_STOPPED = 4


class DeviceType(Enum):
    """Kinds of devices that events can be of."""
    CPU = 0
    CUDA = 1


class ExecutionTraceObserver:
    """Execution traces of PyTorch's own format are not available."""

    def __init__(self):
        raise NotImplementedError("ExecutionTraceObserver is not available; use profile(...).export_chrome_trace(path)")


def kineto_available():
    """Return False: the recording is fastgrad's own."""
    return False


def supported_activities():
    """Return the set of activities that can be watched.

    >>> ProfilerActivity.CPU in supported_activities()
    True
    """
    found = {ProfilerActivity.CPU}
    if _C.cuda_reason() is None:
        found.add(ProfilerActivity.CUDA)
    return found


def schedule(*, wait, warmup, active, repeat=0, skip_first=0, skip_first_wait=0):
    """Return a function from the number of a step to its `ProfilerAction`.

    After `skip_first` steps, cycles of `wait` idle, `warmup` discarded and `active` recorded steps follow, `repeat` of
    them or without end when it is 0; with `skip_first_wait` the first cycle leaves out its idle steps.
    """
    if min(wait, warmup, active, repeat, skip_first) < 0 or active < 1:
        raise AssertionError(f"schedule: invalid arguments wait={wait}, warmup={warmup}, active={active}, "
                             f"repeat={repeat}, skip_first={skip_first}")
    cycle = wait + warmup + active

    def action(step):
        if step < 0:
            raise AssertionError(f"schedule: the step must not be negative, got {step}")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        if repeat > 0 and step // cycle >= repeat:
            return ProfilerAction.NONE
        at = step % cycle
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < cycle - 1 else ProfilerAction.RECORD_AND_SAVE
    return action


def tensorboard_trace_handler(dir_name, worker_name=None, use_gzip=False, use_python_export=False):
    """Return an `on_trace_ready` that writes each trace into a folder, under names that TensorBoard's plugin reads."""
    import os
    import socket
    import time

    def handle(profiler):
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time.time_ns()}.pt.trace.json" + (".gz" if use_gzip else "")
        profiler.export_chrome_trace(os.path.join(dir_name, name))
    return handle


class profile:
    """Record what runs between `start` and `stop`, or inside a `with` block.

    Args:
        activities: what to watch; the CPU is always.
        schedule: a function from a step's number to a `ProfilerAction`; `step()` then goes from step to step.
        on_trace_ready: called with this object whenever a recorded cycle ends.
        record_shapes: keep the shapes of tensor arguments.
        profile_memory: count bytes allocated on the CPU.

    >>> import fastgrad
    >>> with profile(activities=[ProfilerActivity.CPU]) as p:
    ...     y = fastgrad.ones(3) + 1
    >>> sorted(e.key for e in p.key_averages())
    ['aten::add', 'aten::ones']
    """

    def __init__(self, *, activities=None, schedule=None, on_trace_ready=None, record_shapes=False,
                 profile_memory=False, with_stack=False, with_flops=False, with_modules=False, experimental_config=None,
                 execution_trace_observer=None, acc_events=False, use_cuda=None, custom_trace_id_callback=None,
                 post_processing_timeout_s=None):
        for name, value in (("with_stack", with_stack), ("with_flops", with_flops), ("with_modules", with_modules),
                            ("experimental_config", experimental_config),
                            ("execution_trace_observer", execution_trace_observer)):
            if value:
                raise NotImplementedError(f"profile: {name} is not available")
        self.activities = supported_activities() if activities is None else set(activities)
        if not self.activities:
            raise AssertionError("No valid profiler activities found")
        self.record_shapes, self.profile_memory = record_shapes, profile_memory
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self.on_trace_ready = on_trace_ready
        self.acc_events = acc_events
        self.step_num = 0
        self.current_action = self.schedule(0)
        self._has_schedule = schedule is not None
        self._recording = False
        self._events = EventList(profile_memory=profile_memory)
        self._metadata = {}
        self._step_block = None

    # ---- recording

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.stop()
        return None

    def start(self):
        """Begin with the step the schedule is at."""
        self._apply(ProfilerAction.NONE, self.current_action)
        self._open_step()

    def stop(self):
        """End the recording; a cycle that is being recorded counts as finished."""
        self._close_step()
        if self._recording:
            self._collect()
            self._ready()
        self.current_action = ProfilerAction.NONE

    def step(self):
        """Tell that the next step begins."""
        self._close_step()
        before = self.current_action
        self.step_num += 1
        self.current_action = self.schedule(self.step_num)
        self._apply(before, self.current_action)
        self._open_step()

    def _apply(self, before, now):
        watching = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if before is ProfilerAction.RECORD_AND_SAVE and self._recording:
            self._collect()
            self._ready()
        if now in watching and not self._recording:
            _C._profile_start(self.record_shapes, self.profile_memory)
            self._recording = True
        elif now not in watching and self._recording:
            _C._profile_stop()
            self._recording = False

    def _open_step(self):
        if self._has_schedule and self._recording:
            self._step_block = record_function(f"ProfilerStep#{self.step_num}")
            self._step_block.__enter__()

    def _close_step(self):
        if self._step_block is not None:
            self._step_block.__exit__()
            self._step_block = None

    def _collect(self):
        import threading
        found = events_from(_C._profile_stop(), self.profile_memory, threading.get_native_id())
        self._recording = False
        if self.acc_events:
            self._events.extend(found)
        else:
            self._events = found

    def _ready(self):
        if self.on_trace_ready:
            self.on_trace_ready(self)

    def toggle_collection_dynamic(self, enable, activities=None):
        """Switch the recording off and on again inside a step."""
        if self._recording:
            _C._profile_pause(not enable)

    # ---- results

    def events(self):
        """Return the events of the last recorded cycle, in the order of their starts."""
        return self._events

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0, group_by_overload_name=False):
        """Return the averages of the events by name."""
        return self._events.key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def export_chrome_trace(self, path):
        """Write the events in the trace event format; `.gz` at the end of the name compresses it."""
        write_trace(path, self._events, self._metadata)

    def add_metadata(self, key, value):
        """Add a text to the trace."""
        self._metadata[key] = str(value)

    def add_metadata_json(self, key, value):
        """Add a JSON text to the trace."""
        import json
        self._metadata[key] = json.loads(value)

    def preset_metadata_json(self, key, value):
        """The same as `add_metadata_json`."""
        self.add_metadata_json(key, value)

    def export_stacks(self, path, metric="self_cpu_time_total"):
        """Stacks are not recorded."""
        raise NotImplementedError("export_stacks is not available: stacks are not recorded")

    def export_memory_timeline(self, path, device=None):
        """Memory timelines are not recorded."""
        raise NotImplementedError("export_memory_timeline is not available")
