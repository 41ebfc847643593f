"""Kernels that only operands above some size, or of one layout, reach: blocked products, copies of runs, histograms.

The records of op_db are small, so these are called here with sizes around each threshold, against NumPy in float64.
"""

import numpy as np
import pytest

import fastgrad as fg

# Rounding of one stored result; sums are held in float (double for float64).
EPS = {"float32": 2e-6, "float64": 4e-15, "bfloat16": 5e-3, "float16": 1e-3}
SIZES = [(4, 16, 16), (5, 17, 33), (6, 64, 64), (7, 65, 127), (64, 64, 64), (13, 300, 31), (97, 257, 129),
         (130, 70, 1100)]
LAYOUTS = ["plain", "left_transposed", "right_transposed", "both_transposed", "left_sliced", "right_sliced"]


def operand(rows, columns, dtype, layout, rng):
    values = rng.integers(-8, 9, size=(rows, columns)) / 8.0  # exact in every dtype
    t = fg.tensor(values, dtype=getattr(fg, dtype))
    if layout == "transposed":
        t = t.t().contiguous().t()
    elif layout == "sliced":
        t = fg.stack([t, fg.zeros_like(t)], -1)[..., 0]
        assert t.stride(1) == 2
    return t, values


def layouts_of(layout):
    side, _, how = layout.partition("_")
    return (how if side in ("left", "both") else "plain"), (how if side in ("right", "both") else "plain")


def near(result, expected, dtype):
    scale = np.abs(expected).max() + 1e-30
    np.testing.assert_allclose(result.double().numpy() / scale, expected / scale, rtol=0, atol=EPS[dtype])


@pytest.mark.isa
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", list(EPS))
def test_products(dtype, layout):
    rng = np.random.default_rng(3)
    left, right = layouts_of(layout)
    for m, n, k in SIZES:
        a, x = operand(m, k, dtype, left, rng)
        b, y = operand(k, n, dtype, right, rng)
        near(a @ b, x @ y, dtype)


@pytest.mark.isa
@pytest.mark.parametrize("dtype", list(EPS))
def test_products_added_to(dtype):
    rng = np.random.default_rng(4)
    for m, n, k in SIZES:
        (a, x), (b, y) = operand(m, k, dtype, "plain", rng), operand(k, n, dtype, "plain", rng)
        c, z = operand(m, n, dtype, "plain", rng)
        near(fg.addmm(c, a, b, beta=0.5, alpha=-2), 0.5 * z - 2 * (x @ y), dtype)
        near(fg.addmm(c, a, b, beta=0), x @ y, dtype)
        w, v = operand(n, k, dtype, "plain", rng)
        bias, q = operand(1, n, dtype, "plain", rng)
        near(fg.nn.functional.linear(a, w, bias[0]), x @ v.T + q, dtype)
        near(a.clone().addmm_(operand(m, 20, dtype, "plain", np.random.default_rng(1))[0],
                              operand(20, k, dtype, "plain", np.random.default_rng(2))[0]),
             x + operand(m, 20, dtype, "plain", np.random.default_rng(1))[1]
             @ operand(20, k, dtype, "plain", np.random.default_rng(2))[1], dtype)


@pytest.mark.parametrize("dtype", list(EPS))
def test_batched_products(dtype):
    rng = np.random.default_rng(5)
    for batch, m, n, k in [(3, 33, 65, 17), (40, 8, 16, 16), (2, 100, 130, 70)]:
        values = rng.integers(-8, 9, size=(batch, m, k)) / 8.0, rng.integers(-8, 9, size=(batch, k, n)) / 8.0
        a, b = (fg.tensor(v, dtype=getattr(fg, dtype)) for v in values)
        near(a @ b, values[0] @ values[1], dtype)
        near(a @ b.transpose(1, 2).contiguous().transpose(1, 2), values[0] @ values[1], dtype)
        near(a[:1].expand(batch, m, k) @ b, values[0][:1] @ values[1], dtype)
        near(fg.baddbmm(a[0, :1, :1], a, b, beta=3, alpha=0.5),
             3 * values[0][0, :1, :1] + 0.5 * (values[0] @ values[1]), dtype)


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["bool", "int16", "bfloat16", "float32", "int64", "complex128"])
@pytest.mark.parametrize("run", [1, 3, 4, 7, 8, 15, 16, 31, 33, 64, 129, 1025])
def test_copies_of_runs(dtype, run):
    """Rows of every length across the shortest run (32 bytes) and the length from which memcpy is called (1024)."""
    rng = np.random.default_rng(run)
    values = rng.integers(0, 2 if dtype == "bool" else 100, size=(9, 23, run + 5))
    t = fg.tensor(values).to(getattr(fg, dtype))
    part = t[1:8, ::2, 2:2 + run]
    out = part.contiguous()
    assert np.array_equal(out.real.long().numpy() if dtype == "complex128" else out.long().numpy(),
                          values[1:8, ::2, 2:2 + run])
    swapped = part.transpose(0, 1).contiguous()
    assert fg.equal(swapped, out.transpose(0, 1))
    target = fg.zeros_like(t)
    target[1:8, ::2, 2:2 + run] = out  # into runs: nothing beside them may change
    assert fg.equal(target[1:8, ::2, 2:2 + run], out)
    target[1:8, ::2, 2:2 + run] = 0
    assert not target.any()


def test_many_runs_in_several_chunks():
    values = np.arange(3000 * 2 * 40, dtype=np.float32).reshape(3000, 2, 40)
    t = fg.tensor(values)
    for threads in (1, 2, 3):
        fg.set_num_threads(threads)
        assert np.array_equal(t[:, 1].contiguous().numpy(), values[:, 1])
        assert np.array_equal(t.transpose(0, 1).contiguous().numpy(), values.transpose(1, 0, 2))


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("count", [1, 100, 70_001])
def test_histograms(dtype, count):
    """Sums of a vector by segment, the indices of which repeat; negative ones count from the end in indexing."""
    rng = np.random.default_rng(count)
    index = rng.integers(0, 37, size=count)
    values = rng.integers(0, 3, size=count)
    expected = np.zeros(37)
    np.add.at(expected, index, values)
    source = fg.tensor(values).to(getattr(fg, dtype))
    kept = expected.astype(np.int64).astype(dtype).astype(np.float64)  # narrow integers wrap around
    zeros = fg.zeros(37, dtype=source.dtype)
    assert np.array_equal(zeros.scatter_add(0, fg.tensor(index), source).double().numpy(), kept)
    assert np.array_equal(zeros.index_add(0, fg.tensor(index), source).double().numpy(), kept)
    negative = fg.tensor(index - 37)
    assert np.array_equal(zeros.index_put((negative,), source, accumulate=True).double().numpy(), kept)
    with pytest.raises((IndexError, RuntimeError), match="out of (bounds|range)"):
        zeros.scatter_add_(0, fg.tensor(np.where(np.arange(count) == count - 1, 37, index)), source)
    assert not zeros.any()


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int32", "int64"])
def test_bits(dtype):
    rng = np.random.default_rng(8)
    for n in (1, 7, 8, 16, 1000, 1001, 70000):
        x, y = (rng.integers(0, 2 if dtype == "bool" else 100, n + 3).astype(dtype) for _ in range(2))
        a, b = fg.tensor(x), fg.tensor(y)
        for start in (0, 1):  # 1: not at a multiple of eight bytes
            left, right, p, q = a[start:start + n], b[:n], x[start:start + n], y[:n]
            for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "logical_and", "logical_or", "logical_xor"):
                result = getattr(fg, name)(left, right)
                expected = getattr(np, name)(p, q)
                assert str(result.dtype).endswith(str(expected.dtype))
                np.testing.assert_array_equal(result.numpy(), expected)
            np.testing.assert_array_equal((left != right).numpy(), p != q)
            changed = left.clone()
            changed &= right
            np.testing.assert_array_equal(changed.numpy(), p & q)
            np.testing.assert_array_equal(left.clone().logical_and_(right).numpy(), np.logical_and(p, q).astype(dtype))
        np.testing.assert_array_equal((a[None, :n] | b[:n, None][:2]).numpy(), x[None, :n] | y[:n, None][:2])


def test_nansum_and_nan_to_num_of_infinities(torch):
    values = [1.0, float("nan"), float("inf"), -float("inf"), -2.0]
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        results = []
        for m in (fg, torch):
            x = m.tensor(values, dtype=getattr(m, dtype), requires_grad=True)
            y = m.nan_to_num(x, 3.0)
            y.backward(m.arange(1, 6).to(y.dtype))
            z = m.tensor(values[:3] + values[4:], dtype=getattr(m, dtype), requires_grad=True)
            m.nansum(z * 2).backward()
            results.append([y.tolist(), x.grad.tolist(), m.nansum(z).item(), z.grad.tolist()])
        assert results[0] == results[1]
