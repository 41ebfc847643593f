"""Forward of every record: every dtype, every layout, against NumPy and torch; out forms; dtype promotion."""

import itertools
import warnings

import numpy as np
import pytest

import fastgrad as fg
from checks import (
    DTYPES,
    FLOATS,
    LAYOUTS,
    TOLERANCE,
    Maker,
    assert_close,
    assert_same,
    build,
    dtype_name,
    lay_out,
    map_arrays,
    outputs,
    tensor,
    to_numpy,
)
from op_db import COVERED, OPS, TABLE, Sample


def tolerance_of(op, dtype, result=None):
    name = dtype if dtype in FLOATS else "float32"
    if result is not None and dtype_name(result) == "float64":
        name = "float64" if dtype == "float64" else name
    return op.tolerance.get(name, TOLERANCE[name])


def mapped(sample, change):
    kwargs = {k: map_arrays(v, change) for k, v in sample.kwargs.items()}
    return Sample(*[map_arrays(a, change) for a in sample.args], **kwargs)


def laid_out(sample, layout):
    return mapped(sample, lambda array: lay_out(array, layout))


def attempt(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(*args, **kwargs), None
        except Exception as error:
            return None, error


def compare_numpy(op, sample, result, dtype):
    if op.ref is None:
        return
    actual = outputs(result)
    if op.elementwise and dtype not in FLOATS and hasattr(actual[0], "dtype") and actual[0].is_floating_point():
        # NumPy would compute small integers in half precision
        sample = mapped(sample, lambda array: array.astype(np.float64))
    with np.errstate(all="ignore"):
        try:
            expected = outputs(op.ref(*sample.args, **sample.kwargs))
        except TypeError:
            if dtype == "bool":  # sign and the like: NumPy has none for bool
                return
            raise
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected):
        if hasattr(a, "dtype"):
            assert_close(to_numpy(a), e, tolerance_of(op, dtype, a), f"{op}{sample} {dtype} against NumPy")
        else:
            assert a == e


# kernels that torch does not have; bounds that it checks before it converts
TORCH_LACKS = ("not implemented for", "not supported", "without overflow", "unsigned type with negative limits")


def check_dtype(op, dtype, device, torch):
    promised = dtype in op.dtypes
    for sample in op.samples(Maker(dtype, *op.domain)):
        args, kwargs, _ = build(fg, sample, dtype, device=device)
        if torch is None:
            if promised:
                compare_numpy(op, sample, op(fg, *args, **kwargs), dtype)
            continue
        torch_args, torch_kwargs, _ = build(torch, sample, dtype)
        expected, failure = attempt(op, torch, *torch_args, **torch_kwargs)
        text = f"{op}{sample} {dtype}"
        if failure is not None:
            result, error = attempt(op, fg, *args, **kwargs)
            if not any(text in str(failure) for text in TORCH_LACKS):
                assert error is not None, f"{text}: torch raises {type(failure).__name__}: {failure}"
            if error is not None:
                classes = (type(failure), NotImplementedError, RuntimeError, TypeError)
                assert isinstance(error, classes), f"{text}: {error!r}, torch raises {failure!r}"
            elif promised:
                compare_numpy(op, sample, result, dtype)
            continue
        result, error = attempt(op, fg, *args, **kwargs)
        if error is not None:
            # torch looks for a kernel only when there is something to compute
            parts = outputs([expected, *args])
            empty = not promised and any(hasattr(t, "numel") and not t.numel() for t in parts)
            if isinstance(error, NotImplementedError) and empty:
                continue
            raise error
        for a, e in zip(outputs(result), outputs(expected)):
            limit = tolerance_of(op, dtype, e if hasattr(e, "dtype") else None)
            assert_same(a, e, limit, text)
        if promised and not op.elementwise or dtype in ("float32", "float64"):
            compare_numpy(op, sample, result, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS, ids=str)
def test_forward(op, dtype, device, optional_torch):
    if optional_torch is None and dtype not in op.dtypes:
        pytest.skip("torch says what should happen, and it is not installed")
    check_dtype(op, dtype, device, optional_torch)


@pytest.mark.isa
@pytest.mark.emulate
@pytest.mark.parametrize("op", OPS, ids=str)
def test_values(op, device):
    """The small set that other instruction sets and the emulated device run: the widest dtype against NumPy."""
    for dtype in (d for d in ("float32", "int64") if d in op.dtypes):
        for sample in op.samples(Maker(dtype, *op.domain)):
            args, kwargs, _ = build(fg, sample, dtype, device=device)
            compare_numpy(op, sample, op(fg, *args, **kwargs), dtype)


@pytest.mark.sanitize
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", OPS, ids=str)
def test_layouts(op, layout, device, optional_torch):
    """Every layout gives the values of the contiguous one, and the strides that torch gives."""
    if layout == "expanded" and not op.expanded:
        pytest.skip("equal elements: which is taken is open")
    dtype = "float32" if "float32" in op.dtypes else "int64"
    for sample in op.samples(Maker(dtype, *op.domain)):
        sample = laid_out(sample, layout)
        args, kwargs, _ = build(fg, sample, dtype, layout, device)
        try:
            result = op(fg, *args, **kwargs)
        except RuntimeError:
            if optional_torch is None or layout == "contiguous":
                raise
            args, kwargs, _ = build(optional_torch, sample, dtype, layout)
            with pytest.raises(RuntimeError):
                op(optional_torch, *args, **kwargs)
            continue
        compare_numpy(op, sample, result, dtype)
        if optional_torch is not None:
            args, kwargs, _ = build(optional_torch, sample, dtype, layout)
            strict = op.elementwise and layout != "expanded" and op.name not in ("pow_base", "logsigmoid")
            for a, e in zip(outputs(result), outputs(op(optional_torch, *args, **kwargs))):
                limit = tolerance_of(op, dtype, e if hasattr(e, "dtype") else None)
                assert_same(a, e, limit, f"{op}{sample} {layout}", strict)


LARGE = [op for op in OPS if op.elementwise and "float32" in op.dtypes and op.call is None]


@pytest.mark.parametrize("dtype", ("float32", "bfloat16", "int64"))
@pytest.mark.parametrize("op", LARGE, ids=str)
def test_large(op, dtype, device):
    """Sizes that are cut over threads and over chunk buffers, contiguous and not, against NumPy."""
    if dtype not in op.dtypes:
        pytest.skip("not for this dtype")
    a = Maker(dtype, *op.domain)
    first = op.samples(Maker(dtype, *op.domain))[2]
    second = op.samples(Maker(dtype, *op.domain))
    rest = [x if not isinstance(x, np.ndarray) else None for x in first.args]

    def arrays(*shape):
        domains = [
            np.concatenate([np.asarray(s.args[i], dtype=np.float64).ravel() for s in second if i < len(s.args)])
            if r is None
            else None
            for i, r in enumerate(rest)
        ]
        made = []
        for r, known, original in zip(rest, domains, first.args):
            if r is not None:
                made.append(r)
            elif original.dtype == bool and dtype != "bool":
                made.append(a.mask(*shape))
            else:
                made.append(a(*shape, low=known.min(), high=known.max()))
        return Sample(*made, **first.kwargs)

    for shape, layout in (((70001,), "contiguous"), ((331, 257), "transposed"), ((331, 257), "sliced")):
        sample = arrays(*shape)
        args, kwargs, _ = build(fg, sample, dtype, layout, device)
        result = op(fg, *args, **kwargs)
        if dtype == "float32" or np.asarray(first.args[0]).dtype.kind != "f":
            compare_numpy(op, sample, result, dtype)
        else:
            plain, kwargs, _ = build(fg, sample, dtype, device=device)
            again = op(fg, *plain, **kwargs)
            assert_close(to_numpy(result), to_numpy(again), (0, 0), f"{op} {layout}")


def corner_arguments(m, op, dtype, device="cpu"):
    """The corner values in the first input, all pairs of them where there are two."""
    sample = op.samples(Maker(dtype, *op.domain))[2]
    n = sum(isinstance(x, np.ndarray) for x in sample.args)
    values = np.array(op.corners)
    arrays = [values] if n == 1 else [v.reshape(-1) for v in np.meshgrid(*[values] * n)]
    return (
        [tensor(m, v, dtype, device=device) for v in arrays],
        [x for x in sample.args if not isinstance(x, np.ndarray)],
        sample.kwargs,
    )


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("op", [op for op in OPS if op.corners and "float32" in op.dtypes], ids=str)
def test_corners(op, dtype, device, torch):
    """Zeros of both signs, infinities, NaN, tiny and huge numbers: value and gradient are torch's."""
    results = []
    for m, where in ((fg, device), (torch, "cpu")):
        tensors, rest, kwargs = corner_arguments(m, op, dtype, where)
        if op.grad:
            tensors = [t.requires_grad_() for t in tensors]
        y = op(m, *tensors, *rest, **kwargs)
        grads = m.autograd.grad(y, tensors, m.ones_like(y)) if op.grad else ()
        results.append((y, *grads))
    # float32 at extreme arguments: the function itself to a few ulp, quotients of gradients a little more
    tolerance = (4e-6, 1e-7) if dtype == "float32" else (1e-11, 1e-14)
    if op.name in ("sin", "cos", "tan"):
        tolerance = (tolerance[0] * 4, 1e-6 if dtype == "float32" else 1e-13)
    if op.name in ("gelu", "hardsigmoid"):  # torch cancels digits here: gelu(-3) to 1e-4, 1/6 rounded to float
        tolerance = (2e-4, 1e-6) if dtype == "float32" else (1e-7, 1e-14)
    for i, (a, e) in enumerate(zip(*results)):
        a, e = to_numpy(a), to_numpy(e)
        inputs = [to_numpy(t) for t in corner_arguments(fg, op, dtype)[0]]
        with np.errstate(invalid="ignore"):
            bad = ~np.isclose(a.astype(float), e.astype(float), *tolerance, equal_nan=True)
        lines = [f"at {[float(x[k]) for x in inputs]}: {a[k]}, torch {e[k]}" for k in np.flatnonzero(bad)[:5]]
        assert not bad.any(), f"{op} {'value' if i == 0 else f'gradient {i - 1}'}: " + "; ".join(lines)


@pytest.mark.parametrize("op", [op for op in OPS if op.out], ids=str)
def test_out_form(op, device, optional_torch):
    """out= is filled and returned; also when it is strided, or an input; a gradient through it is refused."""
    dtype = "float32" if "float32" in op.dtypes else "int64"
    for sample in op.samples(Maker(dtype, *op.domain)):
        args, kwargs, _ = build(fg, sample, dtype, device=device)
        expected = op(fg, *args, **kwargs)
        out = fg.empty_like(expected)
        assert op(fg, *args, out=out, **kwargs) is out
        assert_close(to_numpy(out), to_numpy(expected), (0, 0), f"{op}{sample} out=")
        if expected.dim() == 2 and expected.numel():
            strided = fg.zeros(expected.shape[1], expected.shape[0], dtype=expected.dtype, device=device).t()
            op(fg, *args, out=strided, **kwargs)
            assert_close(to_numpy(strided), to_numpy(expected), (0, 0), f"{op}{sample} strided out=")
        first = args[0]
        if (
            op.elementwise
            and hasattr(first, "dtype")
            and first.shape == expected.shape
            and first.dtype == expected.dtype
        ):
            op(fg, *args, out=first, **kwargs)
            assert_close(to_numpy(first), to_numpy(expected), (0, 0), f"{op}{sample} out= is the input")


def test_out_with_gradient_is_refused(device):
    x = fg.ones(3, device=device, requires_grad=True)
    with pytest.raises(RuntimeError, match="out="):
        fg.exp(x, out=fg.empty(3, device=device))


PROMOTED = [
    op
    for op in OPS
    if op.name in ("add", "mul", "div", "pow", "maximum", "lt", "eq", "floor_divide", "remainder", "where")
]


@pytest.mark.parametrize("op", PROMOTED, ids=str)
def test_promotion_of_tensors(op, torch):
    """Every pair of dtypes, with and without a dimension, gives torch's dtype and value."""
    for one, two in itertools.product(DTYPES, DTYPES):
        for shapes in (((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())):
            calls = []
            for m in (torch, fg):
                a = m.ones(shapes[0], dtype=getattr(m, one)) * 1
                b = m.ones(shapes[1], dtype=getattr(m, two)) * 1
                mask = (m.ones((), dtype=m.bool),) if op.name == "where" else ()
                calls.append(attempt(op, m, *mask, a, b))
            (expected, failure), (actual, error) = calls
            text = f"{op}({one}{shapes[0]}, {two}{shapes[1]})"
            if failure is None:
                assert error is None, f"{text}: {error!r}"
                assert_same(actual, expected, text=text)
            elif "not implemented for" not in str(failure):
                assert error is not None, f"{text}: torch raises {failure!r}"


@pytest.mark.parametrize("number", (True, 2, 2.5, -1))
@pytest.mark.parametrize("dtype", DTYPES)
def test_promotion_of_numbers(dtype, number, torch):
    calls = {
        "x + n": lambda x: x + number,
        "n - x": lambda x: number - x,
        "x * n": lambda x: x * number,
        "x / n": lambda x: x / number,
        "x // n": lambda x: x // number,
        "x % n": lambda x: x % number,
        "x ** n": lambda x: x**number,
        "n ** x": lambda x: number**x,
        "x == n": lambda x: x == number,
        "x > n": lambda x: x > number,
        "x & n": lambda x: x & number,
    }
    for text, call in calls.items():
        for shape in ((2,), ()):
            expected, failure = attempt(call, torch.ones(shape, dtype=getattr(torch, dtype)))
            actual, error = attempt(call, fg.ones(shape, dtype=getattr(fg, dtype)))
            if failure is None:
                assert error is None, f"{text}, {dtype}, {number}: {error!r}"
                assert_same(actual, expected, text=f"{text}, {dtype}, {number}")
            elif "not implemented for" not in str(failure):
                assert error is not None, f"{text}, {dtype}, {number}: torch raises {failure!r}"


def test_every_row_has_a_record():
    assert not sorted(set(TABLE) - COVERED), "rows of csrc/ops/*.def without a record in tests/op_rows.py"


def test_default_dtype_is_followed():
    fg.set_default_dtype(fg.float64)
    assert fg.tensor(1.0).dtype is fg.float64
    assert fg.exp(fg.tensor([1, 2])).dtype is fg.float64
    assert (fg.tensor([1, 2]) / 2).dtype is fg.float64
    assert fg.zeros(2).dtype is fg.float64
