"""One library in a process of its own. Reads "case name" lines, answers one JSON line each; see __main__.py.

python -m benchmarks.worker LIBRARY DEVICE THREADS
"""

import gc
import json
import os
import sys
import time
from pathlib import Path


def load(library, threads):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTGRAD_NUM_THREADS"):
        os.environ[name] = str(threads)
    if library == "numpy":
        import numpy as m
    elif library == "cupy":
        import cupy as m
    elif library == "torch":
        import torch as m

        m.set_num_threads(threads)
    else:
        import fastgrad as m

        m.set_num_threads(threads)
    return m


def synchronizer(m, library, device):
    if library == "cupy":
        return m.cuda.Stream.null.synchronize
    if device != "cpu" and library in ("torch", "fastgrad"):
        return m.cuda.synchronize
    return lambda: None


def measure(run, wait, budget):
    """Seconds for one call: the best and the median of several rounds; a round is at least 2 ms or one call."""
    clock = time.perf_counter
    run()
    wait()
    start = clock()
    run()
    wait()
    once = max(clock() - start, 1e-8)
    repeat = max(1, min(int(0.002 / once), 20000))
    rounds, spent = [], 0.0
    gc.disable()
    while (spent < budget and len(rounds) < 200) or len(rounds) < 3:
        start = clock()
        for _ in range(repeat):
            run()
        wait()
        took = clock() - start
        spent += took
        rounds.append(took / repeat)
    gc.enable()
    rounds.sort()
    return {"best": rounds[0], "median": rounds[len(rounds) // 2], "rounds": len(rounds), "calls": repeat}


def main():
    library, device, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints must not end up among the answers
    m = load(library, threads)
    from benchmarks.cases import CASES

    known = {str(c): c for c in CASES}
    version = getattr(m, "__version__", "")
    print(json.dumps({"library": library, "version": version}), file=answers, flush=True)
    wait = synchronizer(m, library, device)
    made = None, None
    for line in sys.stdin:
        name, budget = json.loads(line)
        case = known[name]
        try:
            if made[0] != name:
                made = None, None
                arrays = library in ("numpy", "cupy")
                made = name, (case.array(m) if arrays else case.make(m, device))
            answer = measure(made[1], wait, budget)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
