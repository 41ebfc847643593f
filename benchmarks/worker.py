"""One library in a process of its own. Reads requests, answers one JSON line each; see __main__.py.

python -m benchmarks.worker LIBRARY DEVICE THREADS, then lines ["time" or "memory", "group/name", seconds].
"""

import gc
import json
import os
import sys
import time
import warnings
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
    """Seconds for one call: best, median and mean of several rounds; a round is at least 2 ms or one call."""
    clock = time.perf_counter
    run()
    wait()
    start = clock()
    run()
    wait()
    once = max(clock() - start, 1e-8)
    repeat = max(1, min(int(0.002 / once), 20000))
    rounds, spent = ([once], once) if repeat == 1 else ([], 0.0)
    gc.disable()
    while (spent < budget and len(rounds) < 200) or len(rounds) < 2:
        start = clock()
        for _ in range(repeat):
            run()
        wait()
        took = clock() - start
        spent += took
        rounds.append(took / repeat)
    gc.enable()
    rounds.sort()
    mean = sum(rounds) / len(rounds)
    return {"best": rounds[0], "median": rounds[len(rounds) // 2], "mean": mean, "rounds": len(rounds), "calls": repeat}


def tensors_of(result):
    if isinstance(result, (tuple, list)):
        return [t for part in result for t in tensors_of(part)]
    return [result] if hasattr(result, "nbytes") and hasattr(result, "dtype") else []


def bytes_moved(case, run):
    """What must be read and written, as the case says or as its operands and its result tell; 0: not known."""
    if case.moves is not None:
        return case.moves
    operands = getattr(run, "operands", None)
    return sum(t.nbytes for t in [*operands, *tensors_of(run())]) if operands else 0


def peak_of_torch(m, build):
    """Peak of the bytes that the profiler sees asked for from the making of the case on, in a step after two others."""
    from torch.profiler import ProfilerActivity, profile, record_function

    errors = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # it tells of its start and stop
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            run = build()
            run()
            run()
            with record_function("measured step"):
                run()
    finally:
        os.dup2(errors, 2)
    events = profiler.profiler.kineto_results.events()
    start = next(e.start_ns() for e in events if e.name() == "measured step")
    live = peak = 0
    for at, size in sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"):
        if at >= start:
            peak = max(peak, live)
        live += size
    return {"peak": max(peak, live)}


def peak_of_fastgrad(m, build):
    """The same by fastgrad's own counters; "allocated": with what blocks are larger than asked for."""
    before = m._C.memory_stats("cpu")
    run = build()
    run()
    run()
    m._C.reset_peak_memory("cpu")
    run()
    after = m._C.memory_stats("cpu")
    return {
        "peak": after["peak_requested"] - before["requested"],
        "allocated": after["peak_allocated"] - before["allocated"],
    }


def main():
    library, device, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints must not end up among the answers
    warnings.simplefilter("ignore")
    m = load(library, threads)
    from benchmarks.cases import CASES

    known = {str(c): c for c in CASES}
    version = getattr(m, "__version__", "")
    print(json.dumps({"library": library, "version": version}), file=answers, flush=True)
    wait = synchronizer(m, library, device)
    made, moved = (None, None), 0
    for line in sys.stdin:
        what, name, budget = json.loads(line)
        case = known[name]
        try:
            if what == "memory":
                made = None, None
                gc.collect()
                peak = peak_of_torch if library == "torch" else peak_of_fastgrad
                answer = peak(m, lambda make=case.make: make(m, device))
            else:
                if made[0] != name:
                    made = None, None
                    arrays = library in ("numpy", "cupy")
                    made = name, (case.array(m) if arrays else case.make(m, device))
                    moved = 0 if arrays else bytes_moved(case, made[1])
                answer = measure(made[1], wait, budget) | {"bytes": moved}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
