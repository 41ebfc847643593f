"""How the work of two threads fares with one core kept busy by another process.

    python -m benchmarks.busy                         every case of fastgrad
    python -m benchmarks.busy --filter training,sgemm --against torch --out FILE

On a case a quiet turn and a busy one alternate; in a busy turn a process that only counts runs beside the library.
The figure is the mean time of a call in the busy turns over that in the quiet ones, the middle one of the pairs of
turns. On a machine of two cores a fair scheduler leaves two threads 4/3 of a core, so 1.5 is what work that splits
perfectly can reach and 2 what it takes on one core; the design asks for at most 2.2. Elsewhere as many processes count
as leave one core. The last column is the time on one quiet thread over that on all threads: above 2 where the
data fit into two caches and not into one.
"""

import argparse
import multiprocessing
import os
import signal
import statistics
import sys
from pathlib import Path

from benchmarks.__main__ import Worker, available, chosen


def count():
    n = 0
    while True:
        n += 1


class Busy:
    """Processes that count while they are let to."""

    def __init__(self, number):
        self.processes = [multiprocessing.Process(target=count, daemon=True) for _ in range(number)]
        for process in self.processes:
            process.start()
        self.signal(signal.SIGSTOP)

    def signal(self, number):
        for process in self.processes:
            os.kill(process.pid, number)

    def __enter__(self):
        self.signal(signal.SIGCONT)

    def __exit__(self, *_):
        self.signal(signal.SIGSTOP)


def alone(cases, options):
    """Time on one quiet thread over that on all: what is left when the other core is gone altogether."""
    pair = [Worker("fastgrad", "cpu", n) for n in (1, options.threads)]
    found = {}
    for case in cases:
        times = [[w.ask("time", case, options.budget)["best"] for w in pair] for _ in range(options.pairs)]
        found[case] = statistics.median(one / all_ for one, all_ in times)
    for worker in pair:
        worker.stop()
    return found


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__.split("\n")[0])
    parser.add_argument("--filter", default="")
    parser.add_argument("--against", default="")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=3, help="quiet and busy turns on a case")
    parser.add_argument("--budget", type=float, default=0.05, help="seconds of one turn")
    parser.add_argument("--again", type=float, default=2.2, help="above this: measured again, three times longer")
    parser.add_argument("--show", type=int, default=30, help="rows of the table, worst first")
    parser.add_argument("--out", type=Path, help="file for the table")
    options = parser.parse_args()
    busy = Busy(max(1, (os.cpu_count() or 2) - 1))  # before the workers: a fork would keep their pipes open
    workers = [Worker(name, "cpu", options.threads) for name in available(options.against, "cpu")]

    def ratio(worker, case, pairs, budget):
        found = []
        for _ in range(pairs):
            quiet = worker.ask("time", case, budget)
            with busy:
                loaded = worker.ask("time", case, budget)
            if "error" in quiet or "error" in loaded:
                return float("nan")
            found.append(loaded["mean"] / quiet["mean"])
        return statistics.median(found)

    rows = []
    for case in chosen(options.filter):
        row = []
        for worker in workers:
            value = ratio(worker, case, options.pairs, options.budget)
            if worker.library == "fastgrad" and value > options.again:
                value = ratio(worker, case, 2 * options.pairs + 1, 3 * options.budget)
            row.append(value)
        rows.append((case, row))
        print(f"{case!s:55s}", *(f"{w.library} x{v:.2f}" for w, v in zip(workers, row)), file=sys.stderr, flush=True)
    for worker in workers:
        worker.stop()
    busy.signal(signal.SIGKILL)  # stopped processes do not heed anything less
    lines = []
    for index, worker in enumerate(workers):
        values = sorted(row[index] for _, row in rows)
        above = sum(v > options.again for v in values)
        lines.append(
            f"{worker.library}: {len(values)} cases, median x{statistics.median(values):.2f}, "
            f"worst x{values[-1]:.2f}, above {options.again}: {above}"
        )
    slow = sorted(rows, key=lambda r: -r[1][0])[: options.show]
    one = alone([case for case, _ in slow], options)
    heads = [w.library for w in workers] + ["one thread"]
    lines += ["", "| case | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    lines += [f"| {case} | " + " | ".join(f"{v:.2f}" for v in [*row, one[case]]) + " |" for case, row in slow]
    print("\n".join(lines))
    if options.out:
        options.out.write_text("# One core kept busy: time over the quiet time\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
