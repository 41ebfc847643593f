"""fastgrad against torch, NumPy and, on a GPU, CuPy.

    python -m benchmarks                        every case, against whatever is installed
    python -m benchmarks --filter sgemm --against torch --threads 2 --device cuda

Each library runs in a process of its own (two thread pools in one process disturb each other); they take turns on one
case, several rounds; the best time of all rounds counts. Results: a table here; JSON, the table and a chart in --out.
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

    def measure(self, case, budget):
        try:
            self.process.stdin.write(json.dumps([str(case), budget]) + "\n")
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
    parser.add_argument("--against", default="torch,numpy", help="libraries, with commas (torch, numpy, cupy)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="turns that each library takes on a case")
    parser.add_argument("--budget", type=float, default=0.1, help="seconds of measuring in one turn")
    parser.add_argument("--out", type=Path, help="folder for results.json, results.md and results.svg")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    return parser.parse_args()


def chosen(text):
    words = [w for w in text.split(",") if w]
    cases = [c for c in CASES if not words or any(w in str(c) for w in words)]
    return sorted(cases, key=lambda c: GROUPS.index(c.group))


def available(names, device):
    wanted = [n for n in names.split(",") if n]
    if device != "cpu" and "numpy" in wanted:
        wanted[wanted.index("numpy")] = "cupy"
    found = [n for n in wanted if importlib.util.find_spec(n)]
    for name in set(wanted) - set(found):
        print(f"{name} is not installed: left out", file=sys.stderr)
    return ["fastgrad", *found]


def measured_peak(workers, options):
    """Flops per second that a large matrix product reaches, the best of fastgrad and torch."""
    product = next(c for c in CASES if str(c) == "matmul/sgemm_1024")
    turns = [w for w in workers if w.library in ("fastgrad", "torch")] * options.rounds
    times = [w.measure(product, options.budget).get("best", math.inf) for w in turns]
    return 2 * 1024**3 / min(times)


def main():
    options = arguments()
    cases = chosen(options.filter)
    if options.list:
        print("\n".join(map(str, cases)))
        return
    libraries = available(options.against, options.device)
    workers = [Worker(name, options.device, options.threads) for name in libraries]
    results, start = {}, time.time()
    peak = measured_peak(workers, options) if any(c.flops for c in cases) else None
    for case in cases:
        row = results.setdefault(case.group, {}).setdefault(case.name, {"target": case.target, "flops": case.flops})
        takes_part = [w for w in workers if w.library in ("fastgrad", "torch") or case.array]
        for _ in range(options.rounds):
            for worker in takes_part:
                row[worker.library] = best_of(row.get(worker.library), worker.measure(case, options.budget))
        shown = "  ".join(f"{w.library} {report.microseconds(row[w.library])}" for w in takes_part)
        reached = report.ratio(row)
        print(f"{case!s:55s} {shown}{f'  x{reached:.2f}' if reached else ''}", file=sys.stderr, flush=True)
    for worker in workers:
        worker.stop()
    text = report.table(results, libraries, peak)
    print(text)
    print(f"{len(cases)} cases in {time.time() - start:.0f} s, {options.threads} threads, {options.device}")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        about = report.machine(options.threads, options.device, {w.library: w.version for w in workers})
        (options.out / "results.json").write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
        heading = "\n".join(f"- {k}: {v}" for k, v in about.items())
        (options.out / "results.md").write_text(f"# Results\n\n{heading}\n{text}")
        picture = report.chart(results)
        if picture:
            (options.out / "results.svg").write_text(picture)


if __name__ == "__main__":
    main()
