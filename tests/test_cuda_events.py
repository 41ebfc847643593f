"""Events: moments in the work of streams, that others wait for and that measure time."""
import pytest

import fastgrad as fg

pytestmark = [pytest.mark.emulate,
              pytest.mark.skipif(not fg.cuda.is_available(), reason="needs a CUDA device, or the emulated one")]
device = "cuda"


def test_an_event_that_was_never_recorded_is_in_the_past():
    event = fg.cuda.Event(True)
    assert event.query() and event.device is None and event.cuda_event == 0
    event.synchronize()
    event.wait()
    assert repr(event) == "<torch.cuda.Event uninitialized>"
    with pytest.raises(ValueError, match="must be recorded"):
        event.elapsed_time(fg.cuda.Event(True))


def test_streams_wait_for_events():
    side = fg.cuda.Stream()
    x = fg.arange(2000.0, device=device)
    event = fg.cuda.current_stream().record_event()
    with fg.cuda.stream(side):
        event.wait()
        y = x * 2
    done = side.record_event(fg.cuda.Event())
    fg.cuda.current_stream().wait_event(done)
    assert (y + x).equal(3 * x)
    done.synchronize()
    assert done.query() and event.query() and done.device == x.device
    side.synchronize()
    assert side.query() and fg.cuda.current_stream().query()
    assert repr(done) == f"<torch.cuda.Event {done.cuda_event:#x}>" and done.cuda_event


def test_time_between_events():
    start, end = fg.cuda.Event(enable_timing=True), fg.cuda.Event(enable_timing=True, blocking=True)
    start.record()
    fg.ones(1000, device=device).sin()
    end.record(fg.cuda.current_stream())
    end.synchronize()
    assert 0 <= start.elapsed_time(end) < 60_000 and end.elapsed_time(start) <= 0
    first = start.elapsed_time(end)
    end.record()  # again
    end.synchronize()
    assert start.elapsed_time(end) > first
    for other in (fg.cuda.Event(), recorded := fg.cuda.Event(enable_timing=False)):
        recorded.record()
        with pytest.raises(ValueError, match="enable_timing=True"):
            start.elapsed_time(other)


def test_what_events_do_not_do():
    for option in ("interprocess", "external"):
        with pytest.raises(NotImplementedError, match=option):
            fg.cuda.Event(**{option: True})
    with pytest.raises(NotImplementedError):
        fg.cuda.Event().ipc_handle()
    with pytest.raises(NotImplementedError):
        fg.cuda.Event.from_ipc_handle(0, b"")
