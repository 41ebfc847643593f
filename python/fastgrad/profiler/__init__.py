"""Where the time of a program goes: ops by name with counts and times, and traces for chrome://tracing or Perfetto.

`profile` records the calls of its thread: ops under the name that Python called them by ("aten::add"), the nodes that
backward ran ("AddBackward0"), and blocks named with `record_function`. Times are of the CPU; work on a CUDA device is
counted where it is launched.
"""
from ._events import EventList, FunctionEvent, FunctionEventAvg, record_function
from ._session import (
    DeviceType,
    ExecutionTraceObserver,
    ProfilerAction,
    ProfilerActivity,
    kineto_available,
    profile,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)

__all__ = ["profile", "schedule", "supported_activities", "tensorboard_trace_handler", "ProfilerAction",
           "ProfilerActivity", "kineto_available", "DeviceType", "record_function", "ExecutionTraceObserver"]
