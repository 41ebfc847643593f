"""Operands that are one value everywhere, or one for each row, against the same values written out; and fills."""
import operator

import pytest

import fastgrad as torch

pytestmark = [pytest.mark.isa, pytest.mark.sanitize]

OPS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "lt": operator.lt,
       "eq": operator.eq, "maximum": torch.maximum, "remainder": operator.mod}
DTYPES = ["float32", "float64", "bfloat16", "float16", "int32", "int64", "uint8"]


def numbers(count, dtype, start=0):
    """count numbers that are not aligned when start is not 0."""
    return ((torch.arange(count + start) * 7) % 101 + 1).to(getattr(torch, dtype))[start:]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPS)
def test_a_number_beside_an_array(name, dtype, device):
    op = OPS[name]
    value = torch.tensor(3, dtype=getattr(torch, dtype), device=device)
    for count, start in ((1, 0), (17, 1), (1023, 0), (5000, 5), (70001, 3)):
        x = numbers(count, dtype, start).to(device)
        written = torch.full_like(x, 3)
        assert torch.equal(op(x, value), op(x, written))
        assert torch.equal(op(value, x), op(written, x))
    x = numbers(5000, dtype, 2).to(device)
    if name in ("add", "sub", "mul"):
        expected = op(x, torch.full_like(x, 3))
        assert torch.equal(getattr(x, name + "_")(3), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPS)
def test_a_value_for_each_row(name, dtype, device):
    op = OPS[name]
    for rows, columns in ((3, 64), (65, 65), (7, 1000), (300, 257), (2, 33000)):
        x = numbers(rows * columns, dtype).reshape(rows, columns).to(device)
        column = numbers(rows, dtype).reshape(rows, 1).to(device)
        written = column.expand(rows, columns).contiguous()
        assert torch.equal(op(x, column), op(x, written))
        assert torch.equal(op(column, x), op(written, x))
        row = x[:1]
        assert torch.equal(op(x, row), op(x, row.expand(rows, columns).contiguous()))
        planes = torch.stack([x, x, x]).transpose(0, 1)  # rows whose outer steps are out of order
        assert torch.equal(op(planes, column[:, None]), op(planes.contiguous(), written[:, None].repeat(1, 3, 1)))


@pytest.mark.parametrize("dtype", [*DTYPES, "bool", "int16", "complex64"])
def test_fills_reach_every_item_and_no_other(dtype, device):
    for count in (1, 15, 17, 64, 65, 1025, 65537, (1 << 18) + 5):
        for start in (0, 1, 3):
            base = torch.zeros(count + start + 4, dtype=getattr(torch, dtype), device=device)
            base[start:start + count].fill_(1)
            assert int((base == 1).sum()) == count and int((base != 0).sum()) == count
            base.fill_(1)[start:start + count].zero_()
            assert int((base == 1).sum()) == start + 4 and int((base == 0).sum()) == count


@pytest.mark.parametrize("value", [0.0, -1.5])
def test_fills_of_many_megabytes(value):
    x = torch.empty((44 << 20) // 4 + 3)  # zeros bypass the caches from 40 MB on
    assert bool((x.fill_(value) == value).all())
