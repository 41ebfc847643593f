"""fastgrad against torch, NumPy and, on a GPU, CuPy.

    python -m benchmarks                        every case, against torch
    python -m benchmarks --quick                every case, once and shortly
    python -m benchmarks --filter sgemm --against torch,numpy --threads 2 --device cuda

Each library runs in a process of its own (two thread pools in one process disturb each other); they take turns on one
case, several rounds; the best time of all rounds counts. First the limits of the machine are measured: bytes a second
of a copy, flops a second of a matrix product in each dtype. Results: tables here; JSON, tables and a chart in --out.
"""

import argparse
import importlib.util
import json
import math
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import report
from benchmarks.cases import CASES, GROUPS

HERE = Path(__file__).resolve().parent
# Cases whose fastest library gives a limit: the amount of a call over its best time.
COPY = "elementwise/copy_16M"
PRODUCTS = {"float32": "sgemm_2048", "float64": "dgemm_1024", "bfloat16": "bf16_gemm_2048"}


class Worker:
    def __init__(self, library, device, threads):
        command = [sys.executable, "-m", "benchmarks.worker", library, device, str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent
        )
        self.library = library
        hello = self.process.stdout.readline()
        if not hello:
            raise SystemExit(f"the process for {library} did not start")
        self.version = json.loads(hello)["version"]

    def ask(self, what, case, budget=0):
        try:
            self.process.stdin.write(json.dumps([what, str(case), budget]) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"error": f"the process for {self.library} ended"}

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def best_of(one, two):
    if "best" not in two:
        return two
    if not one or "best" not in one:
        return two
    return one if one["best"] <= two["best"] else two


def arguments():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--filter", default="", help="only cases whose group/name contains this; several with a comma")
    parser.add_argument("--against", default="torch", help="libraries, with commas (torch, numpy, cupy)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="turns that each library takes on a case")
    parser.add_argument("--budget", type=float, default=0.06, help="seconds of measuring in one turn")
    parser.add_argument("--quick", action="store_true", help="one short turn on each case: a first look")
    parser.add_argument("--out", type=Path, help="folder for results.json, results.md and results.svg")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.budget = 1, 0.01
    return options


def chosen(text):
    words = [w for w in text.split(",") if w]
    cases = [c for c in CASES if not words or any(w in str(c) for w in words)]
    return sorted(cases, key=lambda c: list(GROUPS).index(c.group))


def available(names, device):
    wanted = [n for n in names.split(",") if n]
    if device != "cpu" and "numpy" in wanted:
        wanted[wanted.index("numpy")] = "cupy"
    found = [n for n in wanted if importlib.util.find_spec(n)]
    for name in set(wanted) - set(found):
        print(f"{name} is not installed: left out", file=sys.stderr)
    return ["fastgrad", *found]


def measured_limits(workers, options, cases):
    """Bytes per second of a copy, flops per second of a product in each dtype in use: the best of the libraries."""
    known = {str(c): c for c in CASES}

    def rate(name):
        turns = [w for w in workers if w.library in ("fastgrad", "torch")] * max(2, options.rounds)
        best = min(w.ask("time", known[name], options.budget).get("best", math.inf) for w in turns)
        return (known[name].flops or known[name].moves) / best

    dtypes = {c.dtype for c in cases if c.flops} & set(PRODUCTS)
    limits = {"bytes": rate(COPY)} if any(c.moves != 0 for c in cases) else {}
    return limits | {dtype: rate(f"matmul/{name}") for dtype, name in PRODUCTS.items() if dtype in dtypes}


def main():
    options = arguments()
    cases = chosen(options.filter)
    if options.list:
        print("\n".join(map(str, cases)))
        return
    libraries = available(options.against, options.device)
    workers = [Worker(name, options.device, options.threads) for name in libraries]
    results, start = {}, time.time()
    limits = measured_limits(workers, options, cases)
    for case in cases:
        row = {"target": case.target, "flops": case.flops, "dtype": case.dtype}
        results.setdefault(case.group, {})[case.name] = row
        takes_part = [w for w in workers if w.library in ("fastgrad", "torch") or case.array]
        for _ in range(options.rounds):
            for worker in takes_part:
                row[worker.library] = best_of(row.get(worker.library), worker.ask("time", case, options.budget))
        row["limit"] = report.limit(row, limits)
        if case.group == "training" and options.device == "cpu":
            for worker in takes_part:
                row[worker.library] |= worker.ask("memory", case)
        shown = "  ".join(f"{w.library} {report.microseconds(row[w.library])}" for w in takes_part)
        reached = report.ratio(row)
        print(f"{case!s:55s} {shown}{f'  x{reached:.2f}' if reached else ''}", file=sys.stderr, flush=True)
    for worker in workers:
        worker.stop()
    text = report.table(results, libraries, limits, options.device)
    print(text)
    print(f"{len(cases)} cases in {time.time() - start:.0f} s, {options.threads} threads, {options.device}")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        about = report.machine(options.threads, options.device, {w.library: w.version for w in workers})
        about["limits"] = limits
        (options.out / "results.json").write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
        heading = "\n".join(f"- {k}: {v}" for k, v in about.items() if k != "limits")
        (options.out / "results.md").write_text(f"# Results\n\n{heading}\n{text}")
        picture = report.chart(results)
        if picture:
            (options.out / "results.svg").write_text(picture)


if __name__ == "__main__":
    main()
