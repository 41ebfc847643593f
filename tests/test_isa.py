"""A forced instruction set is the active one, and all sets agree to rounding."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import _C

SETS = ("baseline", "avx2", "avx512")

PROGRAM = """
import json, math
import numpy as np
import fastgrad as fg
from fastgrad import _C
r = np.random.default_rng(0)
t = lambda *s: fg.tensor(r.standard_normal(s).astype(np.float32))
x, y, w = t(2003), t(2003), t(67, 129)
out = {}
for name in ("exp", "tanh", "sigmoid", "erf", "sin", "cos", "expm1", "atan", "sinh", "exp2", "asinh", "square", "neg"):
    out[name] = getattr(x, name)()
for name in ("log", "sqrt", "rsqrt", "log1p", "log2", "reciprocal"):
    out[name] = getattr(x.abs() + 0.1, name)()
F = fg.nn.functional
for name in ("gelu", "silu", "mish", "softplus", "elu", "selu", "hardswish", "logsigmoid"):
    out[name] = getattr(F, name)(x)
out |= dict(add=x + y, div=x / (y.abs() + 1), pow=(x.abs() + 0.1) ** y, atan2=fg.atan2(x, y), half=x.half().float() * y,
    bf16=x.bfloat16().float() + y, ints=(x * 100).long() // 7, sum=w.sum(), rows=w.sum(1), cols=w.mean(0), var=w.var(1),
    softmax=w.softmax(1),
    log_softmax=w.log_softmax(0), cumsum=w.cumsum(1), mm=w @ w.t(), mmd=w.double() @ w.t().double(),
    mv=w @ t(129), norm=F.layer_norm(w, (129,)), max=w.max(1)[0],
    argmax=w.argmax(0), mask=w[w > 0], gather=w.t().contiguous())
fg.manual_seed(0)
out |= dict(randn=fg.randn(1000), rand=fg.rand(1000), perm=fg.randperm(100))
print(json.dumps({"isa": _C.cpu_isa(), "out": {k: v.double().flatten().tolist() for k, v in out.items()}}))
"""


def run(isa, program=PROGRAM):
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "FASTGRAD_ISA": isa},
    )
    return done


@pytest.fixture(scope="module")
def results():
    found = {}
    for isa in SETS:
        if isa in _C.available_isas():
            done = run(isa)
            assert done.returncode == 0, done.stderr
            found[isa] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("isa", SETS)
def test_forced_set_is_active(isa, results):
    if isa not in results:
        pytest.skip(f"this machine has no {isa}")
    assert results[isa]["isa"] == isa


def test_sets_agree(results):
    reference = results["baseline"]["out"]
    for isa, other in results.items():
        for name, values in other["out"].items():
            exact = name in ("ints", "argmax", "gather", "rand", "perm", "neg", "max", "mask")
            np.testing.assert_allclose(
                values,
                reference[name],
                rtol=0 if exact else 2e-5,
                atol=0 if exact else 2e-5,
                err_msg=f"{name}: {isa} against baseline",
            )


def test_unknown_or_missing_set():
    """A name that is none fails at import with a clear text, and so does a set that the machine lacks."""
    done = run("sse9", "import fastgrad")
    assert done.returncode != 0 and "FASTGRAD_ISA" in done.stderr and "sse9" in done.stderr, done.stderr
    for isa in set(SETS) - set(_C.available_isas()):
        done = run(isa, "import fastgrad")
        assert done.returncode != 0 and isa in done.stderr


def test_active_set_of_this_process():
    forced = os.environ.get("FASTGRAD_ISA")
    assert _C.cpu_isa() in _C.available_isas()
    if forced:
        assert _C.cpu_isa() == forced


@pytest.mark.isa
def test_tails_of_every_length():
    """Lengths around the vector widths, at every offset from alignment: no element is missed or written twice."""
    base = fg.arange(200.0)
    for n in range(0, 70):
        for offset in (0, 1, 3, 7):
            x = base[offset : offset + n]
            expected = np.arange(offset, offset + n, dtype=np.float64)
            assert (x + 1).tolist() == (expected + 1).tolist()
            assert (x * x).tolist() == (expected * expected).tolist()
            assert x.sum().item() == expected.sum()
            out = fg.full((n + 2,), -1.0)
            fg.add(x, x, out=out[1 : n + 1])
            assert out[0].item() == out[n + 1].item() == -1.0
            assert out[1 : n + 1].tolist() == (2 * expected).tolist()
            assert (
                x.bfloat16().float().tolist() == expected.tolist() and (x.int() * 2).tolist() == (2 * expected).tolist()
            )
            if n:
                assert x.max().item() == expected[-1] and x.argmax().item() == n - 1
