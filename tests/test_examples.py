"""The examples run, and reach what they promise."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_digits(tmp_path):
    for name in ("sklearn", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    command = [sys.executable, str(ROOT / "examples/digits.py"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [float(x) for x in re.findall(r"held-out accuracy ([\d.]+) %", done.stdout)]
    assert len(found) == 2 and min(found) >= 97, done.stdout
    assert (tmp_path / "loss.png").stat().st_size > 5000
    assert {p.name for p in tmp_path.glob("*.safetensors")} == {"mlp.safetensors", "attention.safetensors"}


def test_benchmarks_run(tmp_path):
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--filter",
        "overhead/small_add,training/mlp_sgd_step,sgemm_16,depthwise3x3_14x576",
        "--rounds",
        "1",
        "--budget",
        "0.01",
        "--out",
        str(tmp_path),
        "--against",
        "numpy",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "of limit" in done.stdout and "small_add" in done.stdout and "error" not in done.stdout.lower(), done.stdout
    assert "Limits measured" in done.stdout and "peak of live bytes" in done.stdout, done.stdout
    assert (tmp_path / "results.json").exists() and (tmp_path / "results.md").exists()


def test_benchmark_cases_have_names_of_their_own():
    from benchmarks.cases import CASES, GROUPS

    names = [c.name for c in CASES]
    assert len(set(names)) == len(names)
    assert {c.group for c in CASES} == set(GROUPS)
    for c in CASES:
        assert c.flops is None or c.flops > 0, c
