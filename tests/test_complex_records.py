"""Every record with complex data against torch, and gradcheck of complex inputs."""

import warnings

import numpy as np
import pytest

import fastgrad as fg
from checks import Maker, is_leaf, lay_out, map_arrays, outputs, tensor
from op_db import OPS, TABLE
from op_index import INDEXING
from op_linalg import LINALG
from op_loss import LOSSES
from op_reduce import MATMUL, REDUCTIONS
from op_rows import ELEMENTWISE
from op_shapes import SHAPES
from op_vision import VISION
from test_complex import assert_equal_to_torch

COMMON = ELEMENTWISE + REDUCTIONS + MATMUL + SHAPES + INDEXING
CASES = COMMON + LOSSES + VISION + LINALG
# What must work wherever torch does it: of the rows those with complex kernels. Everything else may refuse.
COMPLETE = {op.name for op in COMMON if all(row not in TABLE or TABLE[row]["complex"] for row in op.rows)}


def complex_sample(sample, dtype, layout, seed):
    random = np.random.default_rng(seed)

    def change(array):
        if not is_leaf(array):
            return array
        made = (np.asarray(array) + 1j * random.uniform(-2, 2, array.shape)).astype(dtype)
        return lay_out(np.asarray(made), layout)

    return [map_arrays(v, change) for v in sample.args], {k: map_arrays(v, change) for k, v in sample.kwargs.items()}


def run(m, op, args, kwargs, layout, device="cpu"):
    """Results and gradients for one incoming gradient, or the error."""
    leaves = []

    def put(array):
        made = tensor(m, array, "float32", layout, device)
        if array.dtype.kind == "c":
            leaves.append(made.detach().requires_grad_())
            return leaves[-1]
        return made

    results = outputs(op(m, *[map_arrays(v, put) for v in args], **{k: map_arrays(v, put) for k, v in kwargs.items()}))
    ends = [r for r in results if hasattr(r, "dtype") and r.requires_grad]
    incoming = []
    for y in ends:
        w = np.linspace(0.5, 1.5, y.numel()).reshape(tuple(y.shape))
        incoming.append(m.tensor(np.asarray(w + 0.5j * w * w if y.is_complex() else w)).to(y.dtype).to(y.device))
    return results, ends and m.autograd.grad(ends, leaves, incoming, allow_unused=True)


@pytest.mark.parametrize("op", CASES, ids=str)
def test_record(op, device, torch):
    for seed, (sample, dtype, layout) in enumerate(
        (sample, dtype, layout)
        for dtype, layout in (("complex128", "contiguous"), ("complex64", "transposed"), ("complex64", "sliced"))
        for sample in op.samples(Maker("float64", *op.domain))
    ):
        args, kwargs = complex_sample(sample, dtype, layout, seed)
        text = f"{op}{sample} {dtype} {layout}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected, gradients = run(torch, op, args, kwargs, layout)
            except Exception as failure:
                try:
                    run(fg, op, args, kwargs, layout, device)
                except Exception as error:
                    assert isinstance(error, (type(failure), NotImplementedError, RuntimeError)), text
                continue
            try:
                actual, found = run(fg, op, args, kwargs, layout, device)
            except (RuntimeError, TypeError, ValueError):
                if op.name in COMPLETE:
                    raise
                continue
        tolerance = None if op.name in COMPLETE else 1e-4  # some records go through float32
        assert len(actual) == len(expected), text
        for a, e in zip(actual, expected):
            if hasattr(e, "dtype"):
                assert_equal_to_torch(a.cpu(), e, text, tolerance)
            else:
                assert a == e, text
        assert len(found) == len(gradients), text
        for i, (a, e) in enumerate(zip(found, gradients)):
            assert (a is None) == (e is None), text
            if e is not None:
                assert_equal_to_torch(a.cpu(), e, f"{text}: gradient {i}", tolerance)


CHECKED = [op for op in CASES if op.grad and any(TABLE[row]["complex"] for row in op.rows if row in TABLE)]
CHECKED += [
    op for op in OPS if op.name in ("sum", "mean", "prod", "cumprod", "matmul", "norm", "std", "index_put_set", "cat")
]


@pytest.mark.parametrize("op", CHECKED, ids=str)
def test_gradcheck_of_complex_inputs(op):
    done = 0
    for seed, sample in enumerate(op.samples(Maker("float64", *op.domain))):
        args, kwargs = complex_sample(sample, "complex128", "contiguous", seed)
        leaves = []

        def put(array, leaves=leaves):
            made = fg.tensor(np.asarray(array))
            if array.dtype.kind == "c":
                leaves.append(made.requires_grad_())
            return made

        for value in args:
            map_arrays(value, put)
        if not leaves or not 0 < sum(t.numel() for t in leaves) <= 12 or done == 2:
            continue
        done += 1

        def function(*tensors, args=args, kwargs=kwargs):
            rest = iter(tensors)
            swap = lambda a: next(rest) if a.dtype.kind == "c" else fg.tensor(np.asarray(a))
            return op(fg, *[map_arrays(v, swap) for v in args], **kwargs)

        try:
            if not any(y.requires_grad for y in outputs(function(*leaves))):
                continue
        except NotImplementedError:
            return
        assert fg.autograd.gradcheck(function, leaves, atol=1e-4)
        if op.second:
            assert fg.autograd.gradgradcheck(function, leaves, atol=1e-4)
