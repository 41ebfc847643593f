"""One record per op: how it is called, what NumPy says, on which data, with which dtypes.

A record is all that the generic tests need; `op_db.OPS` is the list of them. Adding an op means adding a record to
op_rows.py (elementwise) or to op_shapes.py, op_reduce.py, op_index.py, op_loss.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from checks import DTYPES, FLOATS, INTS

NUMBERS = (*INTS, *FLOATS)
WHOLE = ("bool", *INTS)


class Sample:
    """Arguments of one call. Arrays become tensors; float64 ones have the dtype under test."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs

    def __repr__(self):
        def text(v):
            return f"array{v.shape}" if hasattr(v, "shape") else repr(v)

        parts = [text(a) for a in self.args] + [f"{k}={text(v)}" for k, v in self.kwargs.items()]
        return f"({', '.join(parts)})"


def resolve(m, path):
    for part in path.split("."):
        m = getattr(m, part)
    return m


@dataclass(frozen=True)
class Op:
    name: str  # id of the case, unique
    samples: Callable  # samples(Maker) -> list of Sample
    ref: Callable | None = None  # the NumPy function, of the same arguments; without one only torch says what is right
    call: Callable | str | None = None  # call(m, *args, **kwargs), or a path below the module; default: name
    dtypes: tuple = NUMBERS  # those that must work
    grad: bool = True
    inplace: str | None = None  # name of the method that does it in place
    out: bool = False  # takes out=
    domain: tuple = (-3.0, 3.0)  # where the data lie
    corners: tuple = ()  # further values, for float inputs: value and gradient equal torch's
    tolerance: dict = field(default_factory=dict)
    rows: tuple = ()  # rows of csrc/ops/*.def that this record covers
    layouts: bool = True
    expanded: bool = True  # its result is certain where elements are equal
    elementwise: bool = False
    second: bool = True  # has a gradient of the gradient

    def __call__(self, m, *args, **kwargs):
        if callable(self.call):
            return self.call(m, *args, **kwargs)
        return resolve(m, self.call or self.name)(*args, **kwargs)

    def __str__(self):
        return self.name


__all__ = ["DTYPES", "FLOATS", "INTS", "NUMBERS", "WHOLE", "Op", "Sample", "resolve"]
