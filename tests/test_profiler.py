"""The profiler: what is counted, under which names, and what is written."""
import json

import pytest

import fastgrad
from fastgrad.profiler import ProfilerAction, ProfilerActivity, profile, record_function, schedule

try:
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")


def small_step(t):
    x = t.ones(4, 4, requires_grad=True)
    with t.profiler.record_function("forward part"):
        y = (x @ x + 1).exp()
        loss = t.relu(y).sum()
    loss.backward()
    return x


def counts(events, names):
    return {e.key: e.count for e in events.key_averages() if e.key in names}


@needs_torch
def test_counts_are_torchs():
    names = {"aten::matmul", "aten::add", "aten::exp", "aten::sum", "forward part", "aten::relu", "AddBackward0",
             "ExpBackward0", "SumBackward0", "ReluBackward0", "MmBackward0"}
    found = []
    for t in (fastgrad, torch):
        with t.profiler.profile(activities=[t.profiler.ProfilerActivity.CPU]) as p:
            small_step(t)
        found.append(counts(p, names))
    ours, theirs = found
    assert set(ours) == names
    # torch also counts the sums and products that its kernels call
    assert {n: c for n, c in ours.items() if n != "aten::sum"} == {n: c for n, c in theirs.items() if n != "aten::sum"}


def test_times_nest():
    with profile(record_shapes=True, profile_memory=True) as p:
        with record_function("outer"):
            with record_function("inner"):
                fastgrad.rand(300, 300) @ fastgrad.rand(300, 300)
    by_name = {e.name: e for e in p.events()}
    outer, inner, product = by_name["outer"], by_name["inner"], by_name["aten::matmul"]
    assert product.cpu_parent is inner and inner.cpu_parent is outer and outer.cpu_parent is None
    assert outer.cpu_time_total >= inner.cpu_time_total >= product.cpu_time_total > 0
    assert inner.self_cpu_time_total == pytest.approx(
        inner.cpu_time_total - sum(e.cpu_time_total for e in inner.cpu_children))
    assert product.input_shapes == [[300, 300], [300, 300]]
    assert product.cpu_memory_usage >= 300 * 300 * 4
    total = sum(e.self_cpu_time_total for e in p.events())
    assert total == pytest.approx(outer.cpu_time_total)


def test_nothing_is_recorded_outside():
    with profile() as p:
        fastgrad.ones(2)
    fastgrad.ones(2).exp()
    assert [e.name for e in p.events()] == ["aten::ones"]
    with record_function("alone"):
        pass


def test_errors_inside_leave_it_usable():
    with pytest.raises(RuntimeError):
        with profile() as p:
            fastgrad.ones(2, 3) @ fastgrad.ones(2, 3)
    assert "aten::matmul" in {e.name for e in p.events()}
    with profile() as p:
        fastgrad.ones(1)
    assert len(p.events()) == 1


def test_table():
    with profile() as p:
        small_step(fastgrad)
    text = p.key_averages().table(sort_by="self_cpu_time_total", row_limit=3)
    lines = text.splitlines()
    assert lines[1].split()[:4] == ["Name", "Self", "CPU", "%"] and "# of Calls" in lines[1]
    assert len(lines) == 3 + 3 + 2 and lines[-1].startswith("Self CPU time total: ")
    rows = p.key_averages().table(sort_by="count").splitlines()[3:-2]
    calls = [int(row.split()[-1]) for row in rows]
    assert calls == sorted(calls, reverse=True)
    with pytest.raises(AttributeError, match="no field"):
        p.key_averages().table(sort_by="speed")
    with pytest.raises(ValueError, match="time_unit"):
        p.key_averages().table(time_unit="weeks")


def test_trace(tmp_path):
    with profile(record_shapes=True) as p:
        small_step(fastgrad)
    p.add_metadata_json("note", "[1, 2]")
    p.export_chrome_trace(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert len(events) == len(p.events()) and trace["note"] == [1, 2]
    assert all(e["dur"] >= 0 for e in events)
    product = next(e for e in events if e["name"] == "aten::matmul")
    assert product["args"]["Input Dims"] == [[4, 4], [4, 4]]
    import gzip
    p.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    with gzip.open(tmp_path / "trace.json.gz") as file:
        assert json.load(file)["traceEvents"]


@needs_torch
@pytest.mark.parametrize("args", [dict(wait=1, warmup=1, active=2), dict(wait=0, warmup=0, active=1, repeat=2),
                                  dict(wait=1, warmup=1, active=2, repeat=2, skip_first=3),
                                  dict(wait=2, warmup=1, active=1, repeat=1, skip_first=1, skip_first_wait=1)])
def test_schedules_are_torchs(args):
    ours, theirs = schedule(**args), torch.profiler.schedule(**args)
    assert [ours(i).name for i in range(20)] == [theirs(i).name for i in range(20)]


def test_schedule_drives_the_handler(tmp_path):
    seen = []

    def ready(p):
        seen.append([e.name for e in p.events()])

    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=ready) as p:
        for _ in range(9):
            fastgrad.ones(1)
            p.step()
    assert seen == [["ProfilerStep#2", "aten::ones", "ProfilerStep#3", "aten::ones"],
                    ["ProfilerStep#6", "aten::ones", "ProfilerStep#7", "aten::ones"]]
    handler = fastgrad.profiler.tensorboard_trace_handler(str(tmp_path), "worker")
    with profile(activities=[ProfilerActivity.CPU], on_trace_ready=handler):
        fastgrad.ones(1)
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("worker.") and file.name.endswith(".pt.trace.json")


def test_old_name_and_decorator():
    @record_function("doubled")
    def double(x):
        return x * 2

    with fastgrad.autograd.profiler.profile(use_cuda=False) as p:
        double(fastgrad.ones(1))
    assert "doubled" in {e.name for e in p.function_events} and p.self_cpu_time_total > 0
    with fastgrad.autograd.profiler.profile(enabled=False) as p:
        double(fastgrad.ones(1))
    assert len(p.function_events) == 0


@pytest.mark.parametrize("call, error", [
    (lambda: profile(with_stack=True), NotImplementedError), (lambda: profile(activities=[]), AssertionError),
    (lambda: schedule(wait=-1, warmup=0, active=1), AssertionError),
    (lambda: fastgrad.profiler.ExecutionTraceObserver(), NotImplementedError)])
def test_bad_arguments(call, error):
    with pytest.raises(error):
        call()


def test_threads_record_for_themselves():
    import threading
    with profile() as p:
        thread = threading.Thread(target=lambda: fastgrad.zeros(3))
        thread.start()
        thread.join()
    assert len(p.events()) == 0


def test_an_action_has_torchs_names():
    assert [a.name for a in ProfilerAction][:4] == ["NONE", "WARMUP", "RECORD", "RECORD_AND_SAVE"]
