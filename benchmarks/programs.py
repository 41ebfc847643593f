"""Times the programs of tests/programs with torch and with fastgrad: python -m benchmarks.programs [NAMES]

Each program runs several times in a process of its own, after the imports; the fastest run counts. Printed are both
times, how many times faster fastgrad is, and the geometric mean of that. Both get the same number of threads.
"""
import argparse
import contextlib
import io
import json
import math
import os
import subprocess
import sys
import time
import types
import warnings
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "programs"
# Imported before the clock starts, as both load parts of themselves when first used.
FIRST = "torch torch.nn.functional torch.optim torch.utils.data"


def measure(path, rounds):
    """Seconds of the fastest of several runs of a program in this process."""
    import importlib
    warnings.simplefilter("ignore")
    for name in FIRST.split():
        importlib.import_module(name)
    code = compile(path.read_text(), str(path), "exec")
    best, own = math.inf, sys.modules["__main__"]
    for _ in range(rounds):
        main = sys.modules["__main__"] = types.ModuleType("__main__")  # where the workers of a loader look for classes
        with contextlib.redirect_stdout(io.StringIO()):
            start = time.perf_counter()
            exec(code, vars(main))
            best = min(best, time.perf_counter() - start)
        sys.modules["torch"].set_default_dtype(sys.modules["torch"].float32)
    sys.modules["__main__"] = own
    return best


def child(library, path, rounds, threads):
    """What `measure` finds in a new process that has the given library under the name torch."""
    run = ["-m", "fastgrad", "run", "-m"] if library == "fastgrad" else ["-m"]
    command = [sys.executable, *run, "benchmarks.programs", "--child", str(path), "--rounds", str(rounds)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=FOLDER.parent.parent)
    if done.returncode:
        raise RuntimeError(f"{path.stem} with {library}:\n{done.stderr}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="programs; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.rounds)))
        return
    logs = []
    print(f"{'program':28} {'torch ms':>9} {'fastgrad ms':>12} {'times faster':>13}")
    for path in sorted(FOLDER.glob("*.py")):
        if options.names and path.stem not in options.names:
            continue
        theirs, ours = (child(library, path, options.rounds, options.threads) for library in ("torch", "fastgrad"))
        logs.append(math.log(theirs / ours))
        print(f"{path.stem:28} {theirs * 1e3:9.1f} {ours * 1e3:12.1f} {theirs / ours:13.2f}", flush=True)
    if logs:
        print(f"geometric mean of {len(logs)} programs: {math.exp(sum(logs) / len(logs)):.2f} times faster")


if __name__ == "__main__":
    main()
