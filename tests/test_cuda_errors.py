"""What goes wrong on a device is raised by the op that it happened to, in its thread, as what it is.

The emulated device can be told to fail (FASTGRAD_EMU_FAIL) and to have little memory (FASTGRAD_EMU_MEMORY).
"""
import os
import re
import subprocess
import sys
import threading

import pytest

import fastgrad as fg
from fastgrad.nn import functional as F

EMULATED = fg.cuda.is_available() and fg.cuda.get_device_name() == "emulator"
pytestmark = [pytest.mark.emulate, pytest.mark.skipif(not EMULATED, reason="needs the emulated device")]
device = "cuda"
N = 300_000  # more than blocks of slabs hold


@pytest.fixture
def broken(monkeypatch):
    """Lets calls of the runtime fail from now on: broken("cudaMalloc:700"); broken(None) ends that."""
    def breaks(what):
        if what is None:
            monkeypatch.delenv("FASTGRAD_EMU_FAIL", raising=False)
        else:
            monkeypatch.setenv("FASTGRAD_EMU_FAIL", what)
    return breaks


def run(code, **environment):
    """What a program prints, or all of its errors."""
    done = subprocess.run([sys.executable, "-c", "import fastgrad as fg, os\n" + code], capture_output=True, text=True,
                          timeout=120, env={**os.environ, **environment})
    return done.stdout if done.returncode == 0 else done.stderr


SCRATCH = {
    "sort": lambda x: x.sort(),
    "argsort": lambda x: (x.argsort(stable=True),),
    "topk": lambda x: x.topk(N // 2),
    "kthvalue": lambda x: x.kthvalue(5),
    "nonzero": lambda x: (x.nonzero(),),
    "unique": lambda x: x.unique(return_inverse=True),
    "sum": lambda x: (x.sum(),),
}


# Whoever gets no memory, the error tells how much was wanted, what is in use, the largest blocks, and what is cached.
TELLS = (r"([\w.]+: )?out of memory: [\d.]+ ([KM]iB|bytes)( of [a-z' ]+)? wanted on cuda:0\. "
         r"In use: [\d.]+ [KMG]iB(, the largest blocks: [\d.]+ MiB(, [\d.]+ [MG]iB)*)?(; cached: [\d.]+ [KMG]iB)?$")


@pytest.mark.parametrize("name", SCRATCH)
def test_little_memory(name, monkeypatch):
    """However little there is: the right result, or an error that says so, and nothing is left over."""
    x = fg.arange(float(N), device=device) * 7 % 1013
    expected = [t.clone() for t in SCRATCH[name](x)]
    results, in_kernels = [], 0
    for room in range(-1, 80, 3):
        fg.cuda.empty_cache()
        monkeypatch.setenv("FASTGRAD_EMU_MEMORY", str(fg.cuda.memory_reserved() + 4096 + (room << 20)))
        try:
            found = SCRATCH[name](x)
        except fg.cuda.OutOfMemoryError as error:
            assert re.match(TELLS, str(error)), error
            in_kernels += "scratch memory" in str(error)
            results.append(False)
        else:
            monkeypatch.delenv("FASTGRAD_EMU_MEMORY")
            assert all(a.equal(b) for a, b in zip(found, expected))
            results.append(True)
            break
        monkeypatch.delenv("FASTGRAD_EMU_MEMORY")
        assert (x[:3] + 1).tolist() == [1, 8, 15]
    assert results[-1] and (len(results) > 1 or name == "sum")
    assert in_kernels or name not in ("sort", "topk")


LIBRARIES = {
    "fft": lambda x: fg.fft.fft(x[:8]),
    "svd": lambda x: fg.linalg.svdvals(x[:6].view(3, 2)),
    "qr": lambda x: fg.linalg.qr(x[:6].view(3, 2)).R,
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_little_memory_for_libraries(name, monkeypatch):
    """What they work in is ours, and asked for like a tensor."""
    x = fg.arange(float(N), device=device)
    LIBRARIES[name](x)
    fg.cuda.empty_cache()
    monkeypatch.setenv("FASTGRAD_EMU_MEMORY", str(fg.cuda.memory_reserved() + 4096 + (2 << 20)))
    taken, texts = [], []
    with pytest.raises(fg.cuda.OutOfMemoryError):
        while True:
            taken.append(fg.empty(1, device=device))
    for _ in range(30):
        try:
            LIBRARIES[name](x)
            break
        except fg.cuda.OutOfMemoryError as error:
            assert re.match(TELLS, str(error)), error
            texts.append(str(error))
        taken.pop()
    else:
        raise AssertionError("nothing was enough")
    assert any("of a library's workspace wanted on cuda:0. In use: " in t and "the largest blocks: 2 MiB" in t
               for t in texts), texts


@pytest.mark.parametrize("fault, call, text", [
    ("cufftMakePlanMany64:2", lambda x: fg.fft.fft(x[:11]), "cufftMakePlanMany64 failed with CUFFT_ALLOC_FAILED"),
    ("cusolverDnCreate:2", lambda x: LIBRARIES["qr"](x), "cusolverDnCreate failed with CUSOLVER_STATUS_ALLOC_FAIL"),
    ("cudaLaunchKernel:2", lambda x: x * 2, "CUDA error: out of memory")])
def test_memory_that_others_take(fault, call, text, broken):
    """A library, or the driver, found none: what is cached went back before that was said, and the error tells more."""
    x = fg.arange(float(N), device=device)
    with fg.cuda.stream(fg.cuda.Stream()):  # which has no handles yet
        fg.empty(5 << 20, device=device)  # cached now
        reserved = fg.cuda.memory_reserved()
        broken(fault)
        with pytest.raises(fg.cuda.OutOfMemoryError) as found:
            call(x)
        broken(None)
        assert text in str(found.value)
        assert re.search(r"\. In use: [\d.]+ [KMG]iB, the largest blocks: 2 MiB", str(found.value))
        assert fg.cuda.memory_reserved() <= reserved - (16 << 20) or fault == "cudaLaunchKernel:2"
        call(x)


OPS = {
    "unary": lambda x: x.exp(),
    "binary": lambda x: x + x,
    "sum": lambda x: x.sum(),
    "softmax": lambda x: F.softmax(x, 0),
    "cumsum": lambda x: x.cumsum(0),
    "matmul": lambda x: x.view(2, 3) @ x.view(3, 2),
    "fill": lambda x: x.fill_(1.0),
    "copy": lambda x: x.view(2, 3).t().contiguous(),
    "index": lambda x: x[x.new_zeros(2, dtype=fg.int64)],
    "arange": lambda x: fg.arange(4, device=device),
    "rand": lambda x: fg.rand(4, device=device),
    "conv": lambda x: F.conv1d(x.view(1, 1, 6), x[:2].view(1, 1, 2)),
    "layer_norm": lambda x: F.layer_norm(x, (6,)),
    "complex": lambda x: fg.complex(x, x) * 2,
    "pad": lambda x: F.pad(x.view(1, 6), (1, 1), mode="reflect"),
    "fft": lambda x: fg.fft.irfft(fg.fft.rfft(x)),
    "solve": lambda x: fg.linalg.inv(x[:4].view(2, 2)),
}


@pytest.mark.parametrize("name", OPS)
def test_failed_launches_are_raised_at_once(name, broken):
    x = fg.arange(1.0, 7, device=device)
    broken("cudaLaunchKernel:719")
    with pytest.raises(RuntimeError, match="launch failure") as found:
        OPS[name](x)
    assert not isinstance(found.value, fg.cuda.OutOfMemoryError)
    broken(None)
    assert (x * 2).sum().item() == (12 if name == "fill" and x[0].item() == 1 and x[1].item() == 1 else 42)


def test_errors_belong_to_their_thread(broken):
    x, found = fg.ones(3, device=device), []

    def work():
        try:
            found.append(x + 1)
        except RuntimeError as error:
            found.append(str(error))

    broken("cudaLaunchKernel:719")
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    broken(None)
    assert "launch failure" in found[0]
    fg.cuda.synchronize()
    assert (x + 1).tolist() == [2, 2, 2]


def test_steps_are_not_made_on_garbage(broken):
    w = fg.ones(3, device=device, requires_grad=True)
    loss = (w * 2).sum()
    broken("cudaLaunchKernel:719")
    with pytest.raises(RuntimeError, match="launch failure"):
        loss.backward()
    assert w.grad is None
    broken(None)
    w.grad = fg.ones(3, device=device)
    for optimizer in (fg.optim.SGD([w], 0.1), fg.optim.Adam([w], 0.1), fg.optim.Adam([w], 0.1, capturable=True)):
        broken("cudaLaunchKernel:719")
        with pytest.raises(RuntimeError, match="launch failure"):
            optimizer.step()
        broken(None)
        assert w.tolist() == [1, 1, 1]


def test_a_fault_is_not_want_of_memory(broken):
    fg.cuda.empty_cache()
    broken("cudaMalloc:700")
    with pytest.raises(RuntimeError, match="illegal memory access") as found:
        fg.empty(N * 4, device=device)
    assert not isinstance(found.value, fg.cuda.OutOfMemoryError)
    broken("cudaMalloc:2")
    with pytest.raises(fg.cuda.OutOfMemoryError, match="wanted on cuda:0"):
        fg.empty(N * 4, device=device)
    broken("cudaHostAlloc:700")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        fg.ones(100_000).pin_memory()
    broken("cudaDeviceSynchronize:700")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        fg.cuda.synchronize()
    broken(None)
    kept = fg.ones(4, device=device)
    broken("cudaDeviceSynchronize:700")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        fg.cuda.empty_cache()
    broken(None)
    assert kept.tolist() == [1] * 4


def test_forked_processes():
    """CUDA is refused there as torch does; the CPU works, and inherited things can go."""
    assert run("""
import gc
fg.manual_seed(1)
side = fg.cuda.Stream()
x = fg.ones(3, device="cuda", requires_grad=True)
with fg.cuda.stream(side):
    y = x * 2
    y.record_stream(fg.cuda.default_stream())
graph, event, own = fg.cuda.CUDAGraph(), fg.cuda.Event(), fg.Generator("cuda")
event.record()
pinned = fg.ones(4).pin_memory()
with fg.cuda.graph(graph):
    z = x.detach() + 1
child = os.fork()
if child == 0:
    text = "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the 'spawn'"
    for call in (lambda: fg.ones(1, device="cuda"), lambda: x + 1, lambda: x.cpu(), lambda: y.sum().backward(),
                 lambda: graph.replay(), lambda: event.record(), lambda: own.manual_seed(1), fg.cuda.synchronize,
                 fg.cuda.Stream, lambda: fg.ones(1).cuda(), lambda: print(x)):
        try:
            call()
        except RuntimeError as error:
            assert text in str(error), error
        else:
            os._exit(3)
    assert fg.cuda.is_available() and fg.cuda.device_count() == 1 and fg.accelerator.is_available()
    assert not fg.cuda.is_initialized() and text in fg.cuda.unavailable_reason()
    fg.cuda.empty_cache()
    fg.cuda.manual_seed_all(3)
    assert fg.cuda.memory_allocated() == 0
    with fg.random.fork_rng():
        fg.rand(2)
    assert len(list(fg.utils.data.DataLoader(fg.arange(4), pin_memory=True))) == 4
    fg.manual_seed(2)
    w = fg.ones(2, requires_grad=True)
    (w * 3).sum().backward()
    assert w.grad.tolist() == [3, 3] and pinned.tolist() == [1] * 4
    del x, y, z, graph, event, own, pinned
    gc.collect()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
graph.replay()
print(z.tolist(), fg.cuda.is_available())
""") == "[2.0, 2.0, 2.0] True\n"


def test_caches_of_several_devices():
    """Emptying them makes no context on a device without any; events belong to one device."""
    two = {"FASTGRAD_EMU_DEVICES": "2"}
    assert run("""
x = fg.ones(3, device="cuda")
os.environ["FASTGRAD_EMU_FAIL"] = "cudaSetDevice:3"
fg.cuda.empty_cache()
print(fg.cuda.device_count(), x.tolist())
""", **two) == "2 [1.0, 1.0, 1.0]\n"
    assert run("""
pinned = fg.ones(1000).pin_memory()
for index in (0, 1, 0, 1):
    with fg.cuda.stream(fg.cuda.Stream(index)):
        copied = pinned.to(f"cuda:{index}", non_blocking=True)
    fg.cuda.synchronize(index)
    block = pinned.data_ptr()
    del pinned
    pinned = fg.full((1000,), float(index)).pin_memory()
    assert pinned.data_ptr() == block and copied.device.index == index
a, b = fg.cuda.Stream(0), fg.cuda.Stream(1)
b.wait_stream(a)
event = a.record_event()
b.wait_event(event)
try:
    event.record(b)
except RuntimeError as error:
    print(error)
""", **two) == "Event device 0 does not match recording stream's device 1.\n"


def test_pinned_blocks_without_events(broken):
    """A copy whose end nothing would tell is waited for, so the block may go out again."""
    pinned = fg.ones(50_000).pin_memory()
    for what in ("cudaEventRecord:400", "cudaEventRecord:400,cudaEventCreate:2"):
        broken(what)
        copied = pinned.to(device, non_blocking=True)
        broken(what + ",cudaStreamSynchronize:719")
        with pytest.raises(RuntimeError, match="launch failure"):
            pinned.to(device, non_blocking=True)
        broken(None)
        assert copied.sum().item() == 50_000


def test_pinned_blocks_are_given_back(broken):
    sizes = [fg.ones(100_000 + 30_000 * i).pin_memory() for i in range(4)]
    assert len({t.data_ptr() for t in sizes}) == 4
    block = sizes[0].data_ptr()
    del sizes
    broken("cudaHostAlloc:700")
    assert fg.ones(100_001).pin_memory().data_ptr() == block  # kept
    fg.cuda.empty_cache()
    with pytest.raises(RuntimeError, match="illegal memory access"):
        fg.ones(100_001).pin_memory()


def test_where_blocks_begin():
    kept = [fg.empty(n, dtype=fg.uint8, device=device) for n in (600, 100, 700, 900, 1100, 1300, 1600, 600, 2100, 640)]
    assert all(t.data_ptr() % 512 == 0 for t in kept * 2)


def test_transforms_of_views():
    """cuFFT takes real numbers two at a time; a view may begin at an odd one."""
    x = fg.rand(9, 8, dtype=fg.float64)
    for dtype in (fg.float32, fg.float64):
        for start in (0, 1, 2, 3):
            a = x.to(dtype).flatten()[start:start + 64].view(4, 16)
            found = fg.fft.rfft(a.to("cpu"), dim=1)
            b = x.to(dtype).to(device).flatten()[start:start + 64].view(4, 16)
            assert fg.fft.rfft(b, dim=1).cpu().allclose(found, atol=1e-5)
            assert fg.fft.rfft2(b).cpu().allclose(fg.fft.rfft2(a), atol=1e-5)


def test_out_of_memory_says_what_is_there(monkeypatch):
    fg.cuda.empty_cache()
    kept = [fg.empty(n << 20, dtype=fg.uint8, device=device) for n in (6, 40, 12)]
    cached = fg.empty(20 << 20, dtype=fg.uint8, device=device)
    del cached
    monkeypatch.setenv("FASTGRAD_EMU_MEMORY", str(fg.cuda.memory_reserved()))
    with pytest.raises(fg.cuda.OutOfMemoryError) as found:
        fg.empty(300 << 20, dtype=fg.uint8, device=device)
    text = "out of memory: 300 MiB wanted on cuda:0. In use: [0-9.]+ MiB, the largest blocks: 40 MiB, 12 MiB, 6 MiB"
    assert re.match(text, str(found.value))
    assert len(kept) == 3
