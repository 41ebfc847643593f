"""The benchmark cases, by group: overhead, elementwise, reduction, matmul, convolution, layout,
train.

`make` takes the library (fastgrad or torch, as module `m`) and a device and returns the closure that is timed; `array`
does so for NumPy and CuPy, where there is something to compare.
"""

from collections.abc import Callable
from dataclasses import dataclass

CASES = []
GROUPS = ("overhead", "elementwise", "reduction", "matmul", "convolution", "layout", "train")


@dataclass(frozen=True)
class Case:
    group: str
    name: str
    make: Callable  # make(m, device) -> closure
    array: Callable | None = None  # array(np) -> closure, for NumPy and CuPy
    target: float | None = None  # the ratio to torch that is asked for
    flops: float | None = None  # of one call, where arithmetic is what it costs

    def __str__(self):
        return f"{self.group}/{self.name}"


def case(group, name, array=None, target=None, flops=None):
    def add(make):
        CASES.append(Case(group, name, make, array, target, flops))
        return make

    return add


from benchmarks import convolution, elementwise, layout, matmul, overhead, reduce, train  # noqa: E402,F401
