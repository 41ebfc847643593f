"""Kernels that get no memory for themselves: an error where the program called, and nothing is kept."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets a limit on memory, reads /proc")

# Every call works with some room for the process, and fails with less at one place or another of its kernels.
PROGRAM = """
import gc, json, resource, sys
import fastgrad as fg
F = fg.nn.functional
_C = fg._C
name = sys.argv[1]

def leaves(*shapes):
    return [fg.ones(*s).requires_grad_() for s in shapes]

def attention():
    q, k = leaves((1, 8, 60, 8), (1, 8, 60_000, 8))
    return lambda: F.scaled_dot_product_attention(q, k, k)

def attention_gradient():
    q, k = leaves((1, 8, 60, 8), (1, 8, 20_000, 8))
    return lambda: fg.autograd.grad(F.scaled_dot_product_attention(q, k, k).sum(), (q, k))

def convolution():
    x, w = leaves((2, 96, 96, 96), (96, 96, 3, 3))
    return lambda: fg.autograd.grad(F.conv2d(x, w, padding=1).sum(), (x, w))

def product():
    a, b = fg.ones(3000, 1100).t().requires_grad_(), fg.ones(1100, 3000).t().requires_grad_()
    return lambda: fg.autograd.grad((a @ b).sum(), (a, b))

def halves():
    a = fg.ones(1500, 1500, dtype=fg.bfloat16)
    return lambda: a @ a.t()

def sort():
    x = fg.arange(3_000_000.0).flip(0)
    return lambda: x.sort()

def fft():
    x = fg.ones(4, 200_003)
    return lambda: fg.fft.fft(x)

def layer_norm():
    x, w = leaves((4000, 1000), (1000,))
    return lambda: fg.autograd.grad(F.layer_norm(x, (1000,), w).sum(), (x, w))

def median():
    x = fg.arange(3_000_000.0)
    return lambda: x.median()

def recurrent():
    layer, (x,) = fg.nn.GRU(64, 128), leaves((100, 32, 64))
    return lambda: fg.autograd.grad(layer(x)[0].sum(), [x, *layer.parameters()])

call = globals()[name]()
result = call()  # threads, tables
del result
_C.empty_cache()
gc.collect()
before = _C.memory_stats("cpu")
free = resource.getrlimit(resource.RLIMIT_AS)
failed = fitted = 0
for step in range(40):
    _C.empty_cache()
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (step << 20) * 3, free[1]))
    try:
        result = call()
        fitted += 1
    except (MemoryError, RuntimeError):
        failed += 1
    resource.setrlimit(resource.RLIMIT_AS, free)
    result = None
    gc.collect()
after = _C.memory_stats("cpu")
call()
good = (fg.ones(500, 500) @ fg.ones(500, 500)).sum().item() == 500.0 ** 3
print(json.dumps([after["requested"] - before["requested"], after["blocks"] - before["blocks"], failed, fitted, good]))
"""


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("name", ["attention", "attention_gradient", "convolution", "product", "halves", "sort", "fft",
                                  "layer_norm", "median", "recurrent"])
def test_what_kernels_held_is_given_back(name, threads):
    done = subprocess.run([sys.executable, "-c", PROGRAM, name], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "FASTGRAD_NUM_THREADS": threads, "FASTGRAD_CACHE_LIMIT": "0"})
    assert done.returncode == 0, done.stderr
    requested, blocks, failed, _, good = json.loads(done.stdout)
    assert failed and good
    assert (requested, blocks) == (0, 0)
