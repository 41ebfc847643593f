"""vmap of every record of the op list: one call with batched arguments equals a loop over the examples."""

import warnings

import numpy as np
import pytest

import fastgrad as fg
from checks import Maker, build, outputs
from fastgrad.utils import _pytree as pytree
from op_db import OPS

N = 3
# What torch refuses too: the shape of the result depends on the values; a shared tensor changed for each example.
REFUSED = ("nonzero", "masked_select", "unique_consecutive")
DYNAMIC = ("dynamic shape", "differently shaped", "not possible")


def examples(op):
    """[(structure, [the tensors of each of the N examples])] for each sample of an op."""
    dtype = "float64" if "float64" in op.dtypes else op.dtypes[0]
    runs = [op.samples(Maker(dtype, *op.domain, seed=seed)) for seed in range(N)]
    for samples in zip(*runs):
        flat = []
        for sample in samples:
            args, kwargs, _ = build(fg, sample, dtype)
            flat.append(pytree.tree_flatten((args, kwargs)))
        yield flat[0][1], [leaves for leaves, _ in flat]


def call(op, spec, leaves):
    args, kwargs = spec.unflatten(leaves)
    return op(fg, *args, **kwargs)


def patterns(tensors):
    """Which of the tensors are batched, and where."""
    yield [0] * len(tensors)
    yield [min(1, t.dim()) for t in tensors]
    if len(tensors) > 1:
        yield [0] + [None] * (len(tensors) - 1)
        yield [None] * (len(tensors) - 1) + [-1]


def check(op, spec, rows, pattern):
    first = rows[0]
    at = [i for i, leaf in enumerate(first) if isinstance(leaf, fg.Tensor)]
    dims = dict(zip(at, pattern))

    def leaves_of(i, own):
        return [
            own.get(k, row_leaf)
            for k, row_leaf in enumerate(
                rows[0]
                if i is None
                else [rows[i][k] if dims.get(k) is not None else first[k] for k in range(len(first))]
            )
        ]

    try:
        results = [
            call(op, spec, [x.clone() if isinstance(x, fg.Tensor) else x for x in leaves_of(i, {})]) for i in range(N)
        ]
    except Exception:
        return False  # one example's indices do not fit another's data
    expected = [
        fg.stack(column) if isinstance(column[0], fg.Tensor) else column[0]
        for column in zip(*[outputs(r) for r in results])
        if len({tuple(x.shape) if isinstance(x, fg.Tensor) else () for x in column}) == 1
    ]

    dynamic = any(
        len({tuple(x.shape) if isinstance(x, fg.Tensor) else () for x in column}) > 1
        for column in zip(*[outputs(r) for r in results])
    )

    def one(*own):
        result = call(op, spec, leaves_of(None, dict(zip(at, own))))
        return [x for x in outputs(result) if isinstance(x, fg.Tensor)]

    batched = [first[k].clone() if dims[k] is None else fg.stack([row[k] for row in rows], dims[k]) for k in at]
    try:
        found = fg.vmap(one, in_dims=tuple(pattern))(*batched)
    except RuntimeError as error:
        assert any(text in str(error) for text in DYNAMIC), error
        return dynamic or op.name in REFUSED
    expected = [x for x in expected if isinstance(x, fg.Tensor)]
    assert len(found) == len(expected)
    for a, e in zip(found, expected):
        assert a.shape == e.shape and a.dtype == e.dtype, (op, dims, a.shape, e.shape, a.dtype, e.dtype)
        np.testing.assert_allclose(
            a.detach().numpy(), e.detach().numpy(), rtol=1e-9, atol=1e-11, err_msg=f"{op} {dims}"
        )
    return True


@pytest.mark.parametrize("op", OPS, ids=str)
def test_vmap_equals_a_loop(op):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done, mapped = 0, False
        for spec, rows in examples(op):
            tensors = [x for x in rows[0] if isinstance(x, fg.Tensor)]
            if any([x.shape for x in row if isinstance(x, fg.Tensor)] != [x.shape for x in tensors] for row in rows):
                continue  # the data decide about shapes
            mapped = mapped or bool(tensors)
            for pattern in patterns(tensors) if tensors else ():
                done += check(op, spec, rows, pattern)
    assert done or not mapped
