"""Calls every public function and method with arguments that may fit or not: python junk_calls.py SEED CALLS

Anything may be refused with a Python error of a usual class; nothing may crash, hang or raise another class. Prints how
many calls went through and how many were refused; what is unusual, one a line, goes to stderr with status 1.
"""

import random
import sys

import fastgrad as fg
from fastgrad import _C

seed, calls = int(sys.argv[1]), int(sys.argv[2])
r = random.Random(seed)
fg.manual_seed(seed)
USUAL = (TypeError, ValueError, RuntimeError, IndexError, OverflowError, MemoryError, ZeroDivisionError, BufferError)
USUAL += (AttributeError,)  # of functions written in Python that take whatever looks like a tensor
SETTINGS = {"set_types", "set_num_threads", "set_default_dtype", "set_cuda_library"}
NAMES = ("dim", "keepdim", "out", "dtype", "other", "value", "index", "p", "reduction")
TENSORS = (
    lambda: fg.randn(2, 3),
    lambda: fg.tensor([1, 0, 2]),
    lambda: fg.zeros(0, 3),
    lambda: fg.tensor(2.5),
    lambda: fg.ones(3, dtype=fg.bool),
    lambda: fg.randn(3, 2).t(),
    lambda: fg.randn(2, 3, requires_grad=True),
    lambda: fg.randn(2, 3, 4)[:, ::2, 1:],
    lambda: fg.randn(3, dtype=fg.float64, requires_grad=True),
    lambda: fg.randn(2, 2).bfloat16(),
    lambda: fg.randint(-3, 3, (2, 3)),
    lambda: fg.randn(3).expand(2, 3),
    lambda: fg.tensor([2, 200], dtype=fg.uint8),
)
OTHERS = (0, 1, -1, 2, 3, 0.5, float("nan"), True, None, "a", "mean", 2**40, -(2**62), 2**63 - 1, (), (0, 1), [2, -1])


def tensor():
    return r.choice(TENSORS)()


def argument():
    choice = r.randrange(10)
    if choice < 4:
        return tensor()
    if choice == 4:
        return r.choice([[tensor(), tensor()], (tensor(),), object(), fg.int32])
    return r.choice(OTHERS)


functions = [n for n in dir(_C) if not n.startswith("_") and n not in SETTINGS]
functions = [n for n in functions if callable(getattr(_C, n)) and not isinstance(getattr(_C, n), type)]
methods = [n for n in dir(fg.Tensor) if not n.startswith("_")]
passed = refused = 0
unusual = {}
for _ in range(calls):
    on_tensor = r.random() < 0.5
    name = r.choice(methods if on_tensor else functions)
    arguments = [] if on_tensor else [tensor() if r.random() < 0.8 else argument()]
    arguments += [argument() for _ in range(r.randrange(4))]
    named = {r.choice(NAMES): argument()} if r.random() < 0.2 else {}
    try:
        result = getattr(tensor() if on_tensor else _C, name)(*arguments, **named)
        passed += 1
        if isinstance(result, fg.Tensor) and result.requires_grad and 0 < result.numel() < 1000:
            result.sum().backward()
    except USUAL:
        refused += 1
    except Exception as error:
        if isinstance(error, AssertionError) and name in ("xpu", "mtia"):  # of devices that torch was built without
            refused += 1
        else:
            unusual[f"{name}: {type(error).__name__}: {error}"[:120]] = 1
    fg.set_grad_enabled(True)
print(passed, refused)
if unusual:
    print("\n".join(unusual), file=sys.stderr)
    sys.exit(1)
