"""The programs of tests/programs, written for torch alone, print with fastgrad what they print with torch.

Each runs in a process of its own, as `python -m fastgrad run program.py`. What torch printed lies beside it, and torch
itself is asked when it is installed. `python tests/test_programs.py [NAMES]` records again.
"""

import math
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "programs"
PROGRAMS = sorted(FOLDER.glob("*.py"))
NUMBER = re.compile(r"-?(?:\d+\.\d*(?:e[+-]?\d+)?|\d+|inf|nan)\b")


def run(path, *command):
    """What a program prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, *command, str(path)], capture_output=True, text=True, timeout=300,
                          env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_same_numbers(actual, expected):
    """Equal text but for numbers with a point: they may differ by 1e-4, or by one and a half in their last digit."""
    assert NUMBER.sub("#", actual) == NUMBER.sub("#", expected), f"{actual}\n--- expected\n{expected}"
    for a, e in zip(NUMBER.findall(actual), NUMBER.findall(expected)):
        if "." not in e:
            assert a == e, f"{a}, expected {e}\n{actual}\n--- expected\n{expected}"
            continue
        digits = len(e.split("e")[0].partition(".")[2])
        scale = 10.0 ** int(e.split("e")[1]) if "e" in e else 1.0
        assert math.isclose(float(a), float(e), rel_tol=1e-4, abs_tol=1.5 * 10.0**-digits * scale), (
            f"{a}, expected {e}\n{actual}\n--- expected\n{expected}")


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_prints_what_torch_prints(path):
    assert "fastgrad" not in path.read_text()
    assert_same_numbers(run(path, "-m", "fastgrad", "run"), path.with_suffix(".txt").read_text())


@pytest.mark.parametrize("path", PROGRAMS[::8], ids=lambda p: p.stem)
def test_recorded_output_is_torchs(torch, path):
    assert_same_numbers(run(path), path.with_suffix(".txt").read_text())


if __name__ == "__main__":
    chosen = [p for p in PROGRAMS if len(sys.argv) == 1 or p.stem in sys.argv[1:]]
    with ThreadPoolExecutor(2) as pool:
        for path, printed in zip(chosen, pool.map(run, chosen)):
            path.with_suffix(".txt").write_text(printed)
