"""How much a tensor costs, that nothing is kept, and what the allocator holds."""

import gc
import json
import subprocess
import sys
import weakref

import pytest

import fastgrad as fg
from fastgrad import _C

PRELUDE = """
import gc, json, sys
import fastgrad as fg
def rss():
    gc.collect()
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096
"""


def measured(program):
    """What a program prints as JSON, run in a process of its own."""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc/self/statm")
    done = subprocess.run([sys.executable, "-c", PRELUDE + program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_scalar_tensor_costs_less_than_320_bytes():
    grown = measured("""
fg.tensor(1.0)
before = rss()
keep = [fg.tensor(1.0) for _ in range(1_000_000)]
print(json.dumps((rss() - before) / 1_000_000))
""")
    assert grown < 320, f"{grown:.0f} bytes"


def test_a_million_ops_leave_nothing_behind():
    """The second million of ops, chained and freed, grows the process by less than a byte each."""
    grown = measured("""
def chain():
    x = fg.ones(1, requires_grad=True)
    y = x
    for _ in range(1_000_000):
        y = y * 1.0
    y.backward()
chain()
before = rss()
chain()
print(json.dumps(rss() - before))
""")
    assert grown < 8 << 20, f"{grown / 2**20:.1f} MiB"


def test_training_does_not_grow():
    grown = measured("""
m = fg.nn.Sequential(fg.nn.Linear(64, 128), fg.nn.ReLU(), fg.nn.Linear(128, 10))
o = fg.optim.Adam(m.parameters())
x, y = fg.randn(32, 64), fg.randint(0, 10, (32,))
def run(n):
    for _ in range(n):
        o.zero_grad()
        fg.nn.functional.cross_entropy(m(x), y).backward()
        o.step()
run(300)
before = rss()
run(2000)
print(json.dumps(rss() - before))
""")
    assert grown < 2 << 20, f"{grown / 2**20:.1f} MiB"


def test_saved_tensors_are_gone_after_backward():
    x = fg.ones(3, requires_grad=True)
    a = x * 2
    ref = weakref.ref(a)
    y = (a * a).sum()
    del a
    gc.collect()
    y.backward()
    gc.collect()
    assert ref() is None


def used():
    return _C.memory_stats("cpu")["allocated"]


def test_requested_bytes_are_counted_as_asked_for():
    gc.collect()
    before = _C.memory_stats("cpu")
    _C.reset_peak_memory("cpu")
    held = [fg.empty(1001), fg.empty(300_001)]
    del held[1]
    after = _C.memory_stats("cpu")
    assert after["requested"] - before["requested"] == 4 * 1001
    assert after["peak_requested"] - before["requested"] == 4 * (1001 + 300_001)
    assert after["allocated"] - before["allocated"] == 4096 and after["blocks"] - before["blocks"] == 1
    large = after["peak_allocated"] - before["allocated"] - 4096
    assert 1216 << 10 <= large <= 1520 << 10  # in sixteenths of a power of two; or a cached block
    del held, before
    from threading import Thread

    grown = [_C.memory_stats("cpu")["requested"]]
    made = []
    threads = [Thread(target=lambda: made.append(fg.empty(5000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    grown.append(_C.memory_stats("cpu")["requested"])
    made.clear()  # here, not where they were made
    grown.append(_C.memory_stats("cpu")["requested"])
    assert [n - grown[0] for n in grown] == [0, 4 * 4 * 5000, 0]


@pytest.mark.sanitize
def test_saved_bytes_are_freed_by_backward():
    gc.collect()
    x = fg.ones(1 << 20, requires_grad=True)
    start = used()
    y = x.exp().sin().sum()
    assert used() >= start + (4 << 20) - 4096  # exp's output, which is sin's input
    y.backward()
    x.grad = None
    gc.collect()
    assert used() <= start + 4096


def test_no_graph_is_kept_under_no_grad():
    x = fg.ones(1 << 20, requires_grad=True)
    start = used()
    with fg.no_grad():
        y = x.exp().sin().cos()
    assert used() - start <= (4 << 20) + 4096
    del y


def test_views_keep_the_memory_alive():
    x = fg.arange(1000.0)
    tail = x[990:]
    del x
    gc.collect()
    fg.full((1000,), 7.0)
    assert tail.tolist() == [float(i) for i in range(990, 1000)]


def test_empty_cache_gives_back():
    grown = measured("""
from fastgrad import _C
x = fg.ones(1)
before = rss()
t = [fg.ones(4 << 20) for _ in range(16)]
del t
_C.empty_cache()
print(json.dumps(rss() - before))
""")
    assert grown < 40 << 20, f"{grown / 2**20:.0f} MiB are still held"


def test_the_cache_has_a_cap():
    """4 GiB, 128 MiB at a time, all freed: what stays is bounded."""
    held = measured("""
before = rss()
t = [fg.ones(32 << 20) for _ in range(16)]
del t
print(json.dumps([rss() - before]))
""")[0]
    assert held < 3 << 30, f"{held / 2**20:.0f} MiB are still held"


def test_numpy_shares_and_keeps_alive():
    a = fg.arange(5.0).numpy()
    gc.collect()
    fg.full((5,), 9.0)
    assert a.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    import numpy as np

    b = np.arange(5.0)
    t = fg.from_numpy(b)
    del b
    gc.collect()
    assert t.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
