"""What spoils the recording of a CUDA graph and what does not: other threads, dropped graphs, memory that runs out."""
import gc
import os
import threading

import pytest

import fastgrad as fg

pytestmark = [pytest.mark.emulate,
              pytest.mark.skipif(not fg.cuda.is_available(), reason="needs a CUDA device, or the emulated one")]
device = "cuda"


def test_what_did_not_run_spoils_the_capture(monkeypatch):
    x = fg.ones(3, device=device)
    g = fg.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="previous error during capture"):
        with fg.cuda.graph(g):
            y = x + 1
            monkeypatch.setenv("FASTGRAD_EMU_FAIL", "cudaLaunchKernel:719")
            with pytest.raises(RuntimeError, match="launch failure"):
                y.add_(1)
            monkeypatch.delenv("FASTGRAD_EMU_FAIL")
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        g.replay()
    with fg.cuda.graph(g):
        y = x + 1
    g.replay()
    assert y.tolist() == [2] * 3


def in_a_thread(work):
    failed = []

    def run():
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failed, failed


def drop_a_graph(kept):
    kept.clear()
    gc.collect()


def pin_again(kept):
    kept.clear()  # a block whose copy may be under way
    assert fg.ones(5000).pin_memory().is_pinned()


def run_out_of_memory(kept):
    kept.clear()  # blocks that could be given back
    reserved = fg.cuda.memory_reserved()
    os.environ["FASTGRAD_EMU_MEMORY"] = "1"
    try:
        with pytest.raises(fg.cuda.OutOfMemoryError):
            fg.empty(10_000_000, device=device)
    finally:
        del os.environ["FASTGRAD_EMU_MEMORY"]
    fg.cuda.empty_cache()
    assert fg.cuda.memory_reserved() == reserved  # nothing was


def transform(kept):
    assert fg.fft.fft(fg.ones(23, device=device))[0].item() == 23


def use_an_event(kept):
    event = fg.cuda.Event()
    event.record()
    event.query()
    event.synchronize()


MEANWHILE = {"a graph is dropped": drop_a_graph, "memory is pinned": pin_again, "memory runs out": run_out_of_memory,
             "a plan is made": transform, "a stream is new": lambda kept: fg.cuda.Stream(),
             "events are used": use_an_event}


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("what", MEANWHILE)
def test_a_capture_is_not_spoilt_when(what, threaded):
    """Calls that wait for a device or give memory back would end a capture in the global mode, of any thread."""
    if not threaded and what in ("memory runs out", "a plan is made", "events are used"):
        pytest.skip("it would be a part of the capture, or is refused")
    x = fg.ones(5, device=device)
    old, kept = fg.cuda.CUDAGraph(), []
    with fg.cuda.graph(old):
        kept.append(x * 2)
    old.replay()
    pinned = fg.ones(5000).pin_memory()
    kept += [old, pinned, pinned.to(device, non_blocking=True)]
    del old, pinned
    g = fg.cuda.CUDAGraph()
    with fg.cuda.graph(g):
        y = x + 1
        kept.append(fg.empty(3_000_000, device=device) if what == "memory runs out" and not threaded else None)
        if threaded:
            with fg.cuda.stream(fg.cuda.default_stream()):
                in_a_thread(lambda: MEANWHILE[what](kept))
        else:
            MEANWHILE[what](kept)
        z = y + 1
    g.replay()
    assert z.tolist() == [3] * 5
    kept.clear()
    fg.cuda.empty_cache()
    g.replay()
    assert z.tolist() == [3] * 5


def test_dropped_graphs_go_later():
    gc.collect()
    x = fg.ones(2_000_000, device=device)
    before = fg.cuda.memory_reserved()
    old = fg.cuda.CUDAGraph()
    with fg.cuda.graph(old):
        made = x * 2
    assert fg.cuda.memory_reserved() > before
    g = fg.cuda.CUDAGraph()
    with fg.cuda.graph(g):
        del old, made
        gc.collect()
        y = x[:3] + 1
    g.replay()
    fg.cuda.empty_cache()
    assert y.tolist() == [2] * 3 and fg.cuda.memory_reserved() <= before + (2 << 20)


def test_other_threads_work_meanwhile():
    x, found = fg.ones(5, device=device), []

    def work():
        y = fg.full((3,), 2.0, device=device).requires_grad_()
        (y * y).sum().backward()
        found.append(y.grad.tolist())

    g = fg.cuda.CUDAGraph()
    with fg.cuda.graph(g, capture_error_mode="thread_local"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        y = x + 1
    g.replay()
    assert found == [[4, 4, 4]] and y.tolist() == [2] * 5


def test_a_thread_that_ends_while_it_captures():
    """Its capture ends with it: memory goes back again, others capture, and nobody can replay what it left."""
    x, graphs = fg.ones(5, device=device), []

    def begin(dropped):
        with fg.cuda.stream(fg.cuda.Stream()):
            g = fg.cuda.CUDAGraph()
            g.capture_begin()
            kept.append(x + 1)
            if not dropped:
                graphs.append(g)

    kept = []
    for dropped in (False, True):
        in_a_thread(lambda: begin(dropped))  # noqa: B023
        kept.clear()
        gc.collect()
        fg.empty(2_000_000, device=device)
        reserved = fg.cuda.memory_reserved()
        fg.cuda.empty_cache()  # does nothing while somebody captures
        assert fg.cuda.memory_reserved() <= reserved - (4 << 20)
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        graphs[0].replay()
    with pytest.raises(RuntimeError, match="not capturing this graph"):
        graphs[0].capture_end()
    side = fg.cuda.Stream()
    g = fg.cuda.CUDAGraph()
    with fg.cuda.graph(g):
        y = x * 3
        graphs.clear()  # does not touch the capture of this thread
        with fg.cuda.stream(side):
            pass
        assert fg.cuda.is_current_stream_capturing()
        z = y + 1
    g.replay()
    assert z.tolist() == [4] * 5


def test_a_graph_dropped_by_another_thread():
    x, kept, dropped, done = fg.ones(5, device=device), [], threading.Event(), []

    def work():
        with fg.cuda.stream(fg.cuda.Stream()):
            kept.append(fg.cuda.CUDAGraph())
            kept[0].capture_begin()
            done.append("begun")
            assert dropped.wait(60)
            y = x + 1  # runs
            fg.cuda.current_stream().synchronize()
            assert y.tolist() == [2] * 5 and not fg.cuda.is_current_stream_capturing()
            g = fg.cuda.CUDAGraph()
            with fg.cuda.graph(g):
                z = x + 2
            g.replay()
            assert z.tolist() == [3] * 5
            done.append("ended")

    thread = threading.Thread(target=lambda: in_a_thread(work))
    thread.start()
    while not done:
        thread.join(0.01)
    kept.clear()
    gc.collect()
    fg.cuda.synchronize()  # does not wait for what the thread still records
    dropped.set()
    thread.join()
    assert done == ["begun", "ended"]
    fg.cuda.synchronize()


def test_libraries_work_in_memory_of_the_graph():
    """What a call found on the host when it was recorded is there in replays, and goes with the graph."""
    rng = fg.Generator().manual_seed(3)
    a = fg.randn(6, 4, generator=rng).to(device)
    batch = fg.randn(3, 6, 4, generator=rng).to(device)
    square = fg.randn(2, 5, 5, generator=rng, dtype=fg.complex64).to(device)
    g = fg.cuda.CUDAGraph()
    with fg.cuda.graph(g):
        r, several = fg.linalg.qr(a).R.abs(), fg.linalg.qr(batch).R.abs()
        inverse = fg.linalg.inv_ex(square).inverse
    for factor in (1, 2, 3):
        a.mul_(factor), batch.mul_(factor)
        gc.collect()
        g.replay()
        assert r.cpu().allclose(fg.linalg.qr(a.cpu()).R.abs(), atol=1e-3)
        assert several.cpu().allclose(fg.linalg.qr(batch.cpu()).R.abs(), atol=1e-3)
        assert inverse.cpu().allclose(fg.linalg.inv(square.cpu()), rtol=1e-3, atol=1e-4)
