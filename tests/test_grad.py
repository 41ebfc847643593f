"""Gradients of every differentiable record: central differences, second order, torch's values, strided inputs."""

import numpy as np
import pytest

import fastgrad as fg
from checks import (
    Maker,
    assert_close,
    build,
    check_gradient,
    check_second_gradient,
    float_outputs,
    is_leaf,
    lay_out,
    map_arrays,
    to_numpy,
)
from op_db import OPS, Sample, differentiable

CASES = differentiable()
LIMIT = 40  # elements: one evaluation for each
# clamp with bounds smaller than its result fails in torch itself
TORCH_LACKS = ("is not implemented", "match the broadcast shape")


def inputs_of(sample):
    """The float64 arrays among the arguments, and a function that puts tensors in their places."""
    found = []

    def mark(array):
        if is_leaf(array):
            found.append(array)
        return array

    for value in (*sample.args, *sample.kwargs.values()):
        map_arrays(value, mark)

    def rebuild(tensors, device):
        rest = iter(tensors)
        put = lambda array: next(rest) if is_leaf(array) else fg.tensor(np.asarray(array)).to(device)
        return [map_arrays(v, put) for v in sample.args], {k: map_arrays(v, put) for k, v in sample.kwargs.items()}

    return found, rebuild


def small_samples(op):
    for sample in op.samples(Maker("float64", *op.domain)):
        arrays, rebuild = inputs_of(sample)
        if arrays and 0 < sum(a.size for a in arrays) <= LIMIT:
            yield sample, arrays, rebuild


@pytest.mark.emulate
@pytest.mark.parametrize("op", CASES, ids=str)
def test_gradcheck(op, device):
    for sample, arrays, rebuild in small_samples(op):

        def function(*tensors, rebuild=rebuild):
            args, kwargs = rebuild(tensors, device)
            return op(fg, *args, **kwargs)

        check_gradient(function, arrays, device, text=f"{op}{sample}")


@pytest.mark.parametrize("op", [op for op in CASES if op.second], ids=str)
def test_gradgradcheck(op, device):
    for sample, arrays, rebuild in list(small_samples(op))[:4]:

        def function(*tensors, rebuild=rebuild):
            args, kwargs = rebuild(tensors, device)
            return op(fg, *args, **kwargs)

        check_second_gradient(function, arrays, device, text=f"{op}{sample}")


def test_every_differentiable_row_is_checked():
    from op_db import TABLE

    checked = {row for op in CASES for row in op.rows}
    checked |= {"special_plain", "special_polynomial"}  # called without gradient
    assert not {name for name, row in TABLE.items() if row["differentiable"]} - checked


@pytest.mark.isa
@pytest.mark.sanitize
@pytest.mark.parametrize("layout", ("contiguous", "transposed", "sliced", "expanded"))
@pytest.mark.parametrize("op", CASES, ids=str)
def test_gradient_equals_torch(op, layout, device, torch):
    """float32, every sample, zero-size ones too: values, dtypes and shapes of the gradients."""
    if layout == "expanded" and not op.expanded:
        pytest.skip("equal elements: which of them gets the gradient is open")
    for sample in op.samples(Maker("float32", *op.domain)):
        change = lambda array: lay_out(array, layout)
        sample = Sample(
            *[map_arrays(v, change) for v in sample.args],
            **{k: map_arrays(v, change) for k, v in sample.kwargs.items()},
        )
        found = []
        for m, where in ((fg, device), (torch, "cpu")):
            args, kwargs, leaves = build(m, sample, "float32", layout, where, grad=True)
            results = [r for r in float_outputs(op(m, *args, **kwargs)) if r.requires_grad]
            weights = [np.linspace(0.5, 1.5, r.numel()).reshape(tuple(r.shape)) for r in results]
            incoming = [m.tensor(w).to(r.dtype).to(where) for w, r in zip(weights, results)]
            try:
                grads = m.autograd.grad(results, leaves, incoming, allow_unused=True) if results and leaves else ()
            except RuntimeError as error:
                if m is fg or not any(text in str(error) for text in TORCH_LACKS):
                    raise
                grads = found[0]  # torch has no derivative where the table has one
            found.append(grads)
        assert len(found[0]) == len(found[1]), f"{op}{sample}: torch records a gradient, or fastgrad alone does"
        for i, (a, e) in enumerate(zip(*found)):
            text = f"{op}{sample} {layout}: gradient {i}"
            assert (a is None) == (e is None), f"{text}: {a}, torch gives {e}"
            if e is None:
                continue
            assert tuple(a.shape) == tuple(e.shape) and str(a.dtype) == str(e.dtype), text
            assert_close(to_numpy(a), to_numpy(e), (2e-4, 2e-5), text)


@pytest.mark.parametrize("op", [op for op in OPS if "int64" in op.dtypes and op.grad], ids=str)
def test_integers_record_nothing(op, device):
    for sample in op.samples(Maker("int64", *op.domain))[:2]:
        args, kwargs, _ = build(fg, sample, "int64", device=device)
        for result in float_outputs(op(fg, *args, **kwargs)):
            assert not result.requires_grad and result.grad_fn is None


def test_gradient_of_broadcast_inputs_has_their_shape(device):
    # d/db sum(a * b) with b: (1, 3) is the column sum of a
    a = fg.arange(6.0, device=device).reshape(2, 3).requires_grad_()
    b = fg.ones(1, 3, device=device, requires_grad=True)
    (a * b).sum().backward()
    assert b.grad.tolist() == [[3.0, 5.0, 7.0]]
    assert a.grad.tolist() == [[1.0] * 3] * 2


def test_third_derivative(device):
    # x^4: 4x^3, 12x^2, 24x
    x = fg.tensor(2.0, device=device, requires_grad=True)
    y = x**4
    for expected in (32.0, 48.0, 48.0, 24.0):
        (y,) = fg.autograd.grad(y, x, create_graph=True)
        assert y.item() == expected


@pytest.mark.parametrize("base", [2, 2.0])
def test_second_gradient_with_a_number_is_exact_in_double(base, device):
    # d/dx 2^x = 2^x ln 2
    x = fg.tensor(0.5, dtype=fg.float64, device=device, requires_grad=True)
    g, = fg.autograd.grad(base**x, x, create_graph=True)
    assert abs(g.item() - 2**0.5 * np.log(2)) < 1e-15


def test_norm_at_zero_has_no_nan(device):
    x = fg.zeros(3, device=device, requires_grad=True)
    x.norm().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


def test_unselected_branch_gives_no_nan(device):
    x = fg.tensor([0.0, 4.0], device=device, requires_grad=True)
    safe = fg.where(x > 0, x, fg.ones_like(x))
    fg.where(x > 0, fg.sqrt(safe), fg.zeros_like(x)).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
def test_half_gradients_keep_the_dtype(dtype, device):
    x = fg.ones(4, dtype=getattr(fg, dtype), device=device, requires_grad=True)
    (x * x + x).sum().backward()
    assert x.grad.dtype is getattr(fg, dtype)
    assert x.grad.float().tolist() == [3.0] * 4
