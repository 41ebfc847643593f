"""The list of cases, by group, and how one is described.

Most are one line, `op(group, name, call, *inputs)` of inputs.py. `make` takes the library (fastgrad or torch, as module
`m`) and a device and returns the closure that is timed; `array` does so for NumPy and CuPy, where there is something to
compare. A closure may carry `operands`, the tensors it reads: they and its result are the bytes that must move.
"""

from collections.abc import Callable
from dataclasses import dataclass

CASES = []
# What the geometric mean of a group against torch on the CPU has to reach; no case may be under WEAK.
GROUPS = {
    "overhead": 8, "elementwise": 3, "reduction": 4, "layout": 5, "matmul": 1.3, "convolution": 1.3, "optimizer": 3,
    "random": 5, "training": 2,
}  # fmt: skip
WEAK = 0.9


@dataclass(frozen=True)
class Case:
    group: str
    name: str
    make: Callable  # make(m, device) -> closure
    array: Callable | None = None  # array(np) -> closure, for NumPy and CuPy
    target: float | None = None  # the ratio to torch that is asked for, where it is not the group's
    flops: float | None = None  # of one call, where arithmetic is what it costs
    dtype: str = "float32"  # whose peak the flops are held against
    moves: int | None = None  # bytes that must move; None: operands and result, where the closure has operands

    def __str__(self):
        return f"{self.group}/{self.name}"


def case(group, name, **about):
    def add(make):
        CASES.append(Case(group, name, make, **about))
        return make

    return add


from benchmarks import (  # noqa: E402,F401
    convolution,
    elementwise,
    layout,
    matmul,
    optimizer,
    overhead,
    random_numbers,
    reduce,
    training,
)
