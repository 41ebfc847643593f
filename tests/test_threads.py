"""The same bits for any number of threads; use from many threads at once; fork."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastgrad as fg

THREADS = (1, 2, 3, 7)


def data(*shape, seed=0):
    return fg.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def positive(*shape):
    return data(*shape).abs() + 0.1


F = fg.nn.functional


def definite(n):
    return data(n, n) @ data(n, n).t() / n + fg.eye(n)


def grid(*sizes):
    return fg.nn.functional.tanh(data(*sizes, seed=2)) * 1.1


def sampled(mode):
    x, places = data(3, 5, 40, 50).requires_grad_(), grid(3, 60, 70, 2).requires_grad_()
    y = F.grid_sample(x, places, mode, align_corners=False)
    return y.detach(), *fg.autograd.grad(y, (x, places), data(*y.shape, seed=3))


def attended():
    q, k, v = (data(3, 4, 130, 24, seed=s).requires_grad_() for s in range(3))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return y.detach(), *fg.autograd.grad(y, (q, k, v), data(*y.shape, seed=3))


WORK = {
    "add": lambda: data(300001) + data(300001, seed=1),
    "exp": lambda: data(300001).exp(),
    "gelu": lambda: F.gelu(data(300001)),
    "strided": lambda: data(701, 503).t() * 2,
    "broadcast": lambda: data(701, 1) + data(1, 503),
    "sum": lambda: data(1000003).sum(),
    "sum_rows": lambda: data(1003, 701).sum(1),
    "sum_cols": lambda: data(1003, 701).sum(0),
    "sum_few": lambda: data(3, 400001).sum(1),
    "mean": lambda: data(700001).mean(),
    "prod": lambda: (data(100001) * 0.001 + 1).prod(),
    "var": lambda: data(700001).var(),
    "var_cols": lambda: data(1003, 701).var(0),
    "norm": lambda: data(700001).norm(),
    "max": lambda: data(1003, 701).max(1),
    "argmax": lambda: data(1003, 701).argmax(0),
    "softmax": lambda: data(1003, 701).softmax(1),
    "softmax0": lambda: data(1003, 701).softmax(0),
    "logsumexp": lambda: data(1003, 701).logsumexp(1),
    "cumsum": lambda: data(1003, 701).cumsum(1),
    "cumsum0": lambda: data(1003, 701).cumsum(0),
    "cumsum_one": lambda: data(700001).cumsum(0),
    "matmul": lambda: data(257, 383) @ data(383, 301),
    "matvec": lambda: data(1001, 999) @ data(999),
    "dot": lambda: data(700001) @ data(700001),
    "bmm": lambda: data(40, 33, 65) @ data(40, 65, 31),
    "big_k": lambda: data(8, 50001) @ data(50001, 8),
    "transposed_matmul": lambda: data(383, 257).t() @ data(301, 383).t(),
    "double": lambda: data(257, 257).double() @ data(257, 257).double(),
    "bf16": lambda: (data(257, 257).bfloat16() @ data(257, 257).bfloat16()).float(),
    "layer_norm": lambda: F.layer_norm(data(1003, 701), (701,)),
    "cross_entropy": lambda: F.cross_entropy(data(2003, 101), fg.arange(2003) % 101),
    "mse": lambda: F.mse_loss(data(500001), data(500001, seed=1)),
    "index_add": lambda: fg.zeros(1000, 33).index_add_(0, fg.arange(50000) % 1000, data(50000, 33)),
    "scatter_add": lambda: fg.zeros(1000).scatter_add_(0, fg.arange(300000) % 1000, data(300000)),
    "gather": lambda: data(1003, 701).gather(1, fg.arange(701).expand(1003, 701).contiguous()),
    "cat": lambda: fg.cat([data(501, 301), data(501, 401)], 1),
    "transpose": lambda: data(1003, 701).t().contiguous(),
    "mask": lambda: (lambda x: x[x > 0])(data(700001)),
    "nonzero": lambda: (data(700001) > 0).nonzero(),
    "masked_fill": lambda: (lambda x: x.masked_fill(x > 0, 1.0))(data(700001)),
    "solve": lambda: fg.linalg.solve(definite(301), data(301, 200)),
    "inverse": lambda: fg.linalg.inv(data(150, 20, 20)),
    "cholesky": lambda: fg.linalg.cholesky(definite(301)),
    "determinants": lambda: fg.linalg.det(data(700, 8, 8)),
    "attention": attended,
    "picked_pairs": lambda: data(900, 800)[fg.arange(70000) % 900, fg.arange(70000) % 800 - 400],
    "batched_bf16": lambda: (data(9, 60, 70).bfloat16() @ data(9, 70, 90).bfloat16()).float(),
    "grid_sample": lambda: sampled("bilinear"),
    "grid_sample_cubic": lambda: sampled("bicubic"),
    "sort": lambda: tuple(data(300001).sort()),
    "sort_integers": lambda: tuple((data(300001) * 1e5).long().sort(descending=True)),
    "searchsorted": lambda: fg.searchsorted(data(1000).sort().values, data(300001, seed=4)),
    "flip": lambda: data(701, 503).flip(1),
    "tile": lambda: data(3, 5).tile(1000, 30),
    "unique": lambda: fg.unique((data(300001) * 99).long(), return_inverse=True, return_counts=True),
    "to_half": lambda: data(700001).half().float(),
}


def trained():
    fg.manual_seed(0)
    model = fg.nn.Sequential(
        fg.nn.Linear(200, 300), fg.nn.GELU(), fg.nn.LayerNorm(300), fg.nn.Dropout(0.1), fg.nn.Linear(300, 50)
    )
    optimizer = fg.optim.Adam(model.parameters(), lr=1e-3)
    x, y = data(600, 200), fg.arange(600) % 50
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return [p.detach().numpy().tobytes() for p in model.parameters()]


def bits(result):
    parts = result if isinstance(result, tuple) else (result,)
    return [p.numpy().tobytes() for p in parts]


@pytest.mark.isa
@pytest.mark.parametrize("name", WORK)
def test_same_bits(name):
    found = []
    for threads in THREADS:
        fg.set_num_threads(threads)
        assert fg.get_num_threads() == threads
        found.append(bits(WORK[name]()))
    assert all(f == found[0] for f in found), f"{name}: the result depends on the number of threads"


@pytest.mark.parametrize("name", ("gelu", "matmul", "softmax", "layer_norm", "cross_entropy", "broadcast", "sum_cols"))
def test_same_bits_of_gradients(name):
    calls = {
        "gelu": lambda x: F.gelu(x),
        "matmul": lambda x: x @ x.t(),
        "softmax": lambda x: x.softmax(1).exp(),
        "layer_norm": lambda x: F.layer_norm(x, (301,), x[0], x[1]),
        "cross_entropy": lambda x: F.cross_entropy(x, fg.arange(801) % 301),
        "broadcast": lambda x: x * x[:1] * x[:, :1],
        "sum_cols": lambda x: x.sum(0).exp(),
    }
    found = []
    for threads in THREADS:
        fg.set_num_threads(threads)
        x = (data(801, 301) * 0.1).requires_grad_()
        calls[name](x).sum().backward()
        found.append(x.grad.numpy().tobytes())
    assert all(f == found[0] for f in found)


def test_same_bits_of_training():
    found = []
    for threads in THREADS:
        fg.set_num_threads(threads)
        found.append(trained())
    assert all(f == found[0] for f in found)


@pytest.mark.sanitize
def test_many_python_threads_at_once():
    """Large parallel work from several Python threads: everyone gets the right answer."""
    x = data(400, 400)
    expected, total = (x @ x).numpy().tobytes(), x.sum().item()
    failures = []

    def work():
        for _ in range(20):
            if (x @ x).numpy().tobytes() != expected or x.sum().item() != total:
                failures.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_set_num_threads_refuses(torch):
    for m in (torch, fg):
        for bad in (0, -1):
            with pytest.raises(RuntimeError):
                m.set_num_threads(bad)
        with pytest.raises(RuntimeError):
            m.set_num_threads("2")


def child(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({"FASTGRAD_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "2", "FASTGRAD_NUM_THREADS": ""}, "2"),
        ({"FASTGRAD_NUM_THREADS": "1", "OMP_NUM_THREADS": "4"}, "1"),
    ],
)
def test_environment(environment, expected):
    assert child("import fastgrad; print(fastgrad.get_num_threads())", **environment) == expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets a limit on memory, reads /proc")
def test_no_memory_on_a_worker():
    """A kernel's chunk that gets no memory raises where the program called, and the pool goes on."""
    text = child("""
import resource, fastgrad as fg
attend = fg.nn.functional.scaled_dot_product_attention
q, k = fg.ones(1, 8, 60, 8), fg.ones(1, 8, 300_000, 8)
attend(q, k[:, :, :3000], k[:, :, :3000])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
free = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + (180 << 20), free[1]))
for _ in range(3):
    try:
        attend(q, k, k)
        print("fitted")
    except (MemoryError, RuntimeError):
        pass
resource.setrlimit(resource.RLIMIT_AS, free)
good = (fg.ones(500, 500) @ fg.ones(500, 500)).sum().item() == 500.0 ** 3
print(good, bool((attend(q, k, k) - 1).abs().max() < 1e-4))
""", FASTGRAD_NUM_THREADS="4")
    assert text == "True True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork():
    """After parallel work a forked child computes too, with threads, and the parent goes on."""
    text = child("""
import os, fastgrad as fg
fg.set_num_threads(2)
x = fg.ones(500, 500)
(x @ x).sum().item()
pid = os.fork()
good = (x @ x).sum().item() == 500.0 ** 3 and (x * 2).exp().shape == (500, 500)
if pid == 0:
    y = fg.ones(300, requires_grad=True)
    (y * y).sum().backward()
    os._exit(0 if good and y.grad.tolist() == [2.0] * 300 else 1)
print(os.waitpid(pid, 0)[1] == 0 and good)
""")
    assert text == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_while_other_threads_draw():
    """The child draws as well: it finds every generator free."""
    text = child("""
import os, signal, threading, fastgrad as fg
own, stop = fg.Generator().manual_seed(1), []
def draw():
    while not stop:
        fg.randn(200_000)
        fg.randn(200_000, generator=own)
threads = [threading.Thread(target=draw) for _ in range(2)]
for t in threads: t.start()
codes = []
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os._exit(0 if fg.randn(5).isfinite().all() and fg.randn(5, generator=own).isfinite().all() else 1)
    codes.append(os.waitpid(pid, 0)[1])
stop.append(1)
for t in threads: t.join()
print(set(codes))
""")
    assert text == "{0}"


RACES = """
import threading, time
import fastgrad as fg
F, n, end = fg.nn.functional, 20000, False
w, ids, mask, m = fg.rand(n, 8), fg.zeros(n, dtype=fg.int64), fg.zeros(8 * n, dtype=fg.bool), fg.rand(200000)
sorted_, flat = m[:n].sort()[0], w.reshape(-1)

def write():
    while not end:
        ids.fill_(1 << 40), ids.fill_(0)
        mask.fill_(True), mask.fill_(False)
        m.uniform_()

writer = threading.Thread(target=write)
writer.start()
for work in (lambda: F.nll_loss(w, ids), lambda: w.index_add(0, ids, w), lambda: w.index_copy(0, ids, w),
             lambda: fg.zeros(n).scatter_add(0, ids, flat[:n]), lambda: F.embedding_bag(ids, w, ids[:1] * 0),
             lambda: fg.searchsorted(sorted_, flat, sorter=ids), lambda: flat[mask], lambda: mask.nonzero(),
             lambda: m.sort(), lambda: m.unique()):
    stop = time.time() + 0.3
    while time.time() < stop:
        try:
            work()
        except (RuntimeError, IndexError):
            pass
end = True
writer.join()
"""


def test_numbers_that_change_after_the_check():
    """Another thread writes to an index, a mask or a key while an op reads it: an error or any numbers, no crash."""
    subprocess.run([sys.executable, "-c", RACES], check=True, timeout=120)
