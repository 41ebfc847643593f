"""The profiler under its older name; `fastgrad.profiler` is the place for it now."""
from ..profiler._events import EventList, FunctionEvent, FunctionEventAvg, record_function
from ..profiler._session import ProfilerActivity
from ..profiler._session import profile as _profile

__all__ = ["profile", "record_function", "EventList", "FunctionEvent", "FunctionEventAvg", "emit_nvtx"]


class profile(_profile):
    """Record what runs inside a `with` block; `enabled=False` records nothing."""

    def __init__(self, enabled=True, *, use_cuda=False, use_device=None, record_shapes=False, with_flops=False,
                 profile_memory=False, with_stack=False, with_modules=False, use_kineto=False, use_cpu=True,
                 experimental_config=None, acc_events=False):
        super().__init__(activities=[ProfilerActivity.CPU], record_shapes=record_shapes, profile_memory=profile_memory,
                         with_stack=with_stack, with_flops=with_flops, with_modules=with_modules,
                         experimental_config=experimental_config, acc_events=acc_events)
        self.enabled = enabled

    def __enter__(self):
        return super().__enter__() if self.enabled else self

    def __exit__(self, *error):
        if self.enabled:
            super().__exit__(*error)
        return False

    @property
    def function_events(self):
        """The recorded events."""
        return self.events()

    @property
    def self_cpu_time_total(self):
        """Sum of the times of all events, each counted once, in microseconds."""
        return self.events().self_cpu_time_total

    def table(self, sort_by=None, row_limit=100, max_src_column_width=75, max_name_column_width=55,
              max_shapes_column_width=80, header=None, top_level_events_only=False, time_unit=None):
        """Return the events as text."""
        return self.events().table(sort_by, row_limit, max_src_column_width, max_name_column_width,
                                   max_shapes_column_width, header, top_level_events_only, time_unit)

    def total_average(self):
        """Return one average over all events."""
        return self.events().total_average()

    def __str__(self):
        return self.table()


def emit_nvtx(enabled=True, record_shapes=False):
    """NVTX ranges are not available."""
    raise NotImplementedError("emit_nvtx is not available; use fastgrad.profiler.profile")
