"""`pad` in every mode: torch's values and gradients of both orders for any padding, dtypes, threads, errors."""
import itertools

import numpy as np
import pytest

import fastgrad as fg

F = fg.nn.functional
random = np.random.default_rng(0)
MODES = ("constant", "reflect", "replicate", "circular")
PADS = {
    "last": [(1, 2), (2, 0), (0, 2), (-1, 2), (2, -1), (-1, -1)],
    "two": [(1, 1, 1, 1), (0, 0, 2, 1), (2, 1, 0, 0), (-1, 2, 1, -2), (0, 0, -1, 0)],
    "three": [(1, 0, 0, 1, 2, 2), (0, 0, 0, 0, 1, 2), (1, -1, 0, 0, -1, 1)],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pads", [*itertools.chain(*PADS.values())], ids=str)
def test_values_and_gradients(mode, pads, torch):
    shapes = {1: [(2, 4), (2, 3, 5)], 2: [(3, 4, 5), (2, 3, 4, 4)], 3: [(2, 3, 4, 5), (2, 1, 4, 3, 5)]}[len(pads) // 2]
    for shape in shapes:
        data = random.standard_normal(shape)
        x, tx = fg.tensor(data).requires_grad_(), torch.tensor(data).requires_grad_()
        for turn in (False, True):  # also when the input lies in memory in another order
            a, ta = (x.transpose(0, -1), tx.transpose(0, -1)) if turn else (x, tx)
            if mode == "circular" and any(max(pads[k:k + 2]) > ta.shape[-1 - k // 2] + min(0, *pads[k:k + 2])
                                          for k in range(0, len(pads), 2)):
                with pytest.raises(RuntimeError):  # torch reads what it has not written
                    F.pad(a, pads, mode)
                continue
            try:
                ty = torch.nn.functional.pad(ta, pads, mode)
            except RuntimeError:
                with pytest.raises(RuntimeError):
                    F.pad(a, pads, mode)
                continue
            y = F.pad(a, pads, mode)
            assert np.array_equal(y.detach().numpy(), ty.detach().numpy())
            g, = fg.autograd.grad((y * y * y).sum(), x, create_graph=True)
            tg, = torch.autograd.grad((ty * ty * ty).sum(), tx, create_graph=True)
            np.testing.assert_allclose(g.detach().numpy(), tg.detach().numpy(), rtol=1e-12, atol=1e-12)
            second, = fg.autograd.grad((g * g).sum(), x)
            tsecond, = torch.autograd.grad((tg * tg).sum(), tx)
            np.testing.assert_allclose(second.numpy(), tsecond.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ("bool", "uint8", "int16", "int64", "float16", "bfloat16", "float64", "complex64",
                                   "complex128"))
def test_dtypes_of_constants(dtype, torch):
    data = random.integers(0, 2, (3, 4))
    x, tx = fg.tensor(data).to(getattr(fg, dtype)), torch.tensor(data).to(getattr(torch, dtype))
    y, ty = F.pad(x, (1, 2, 0, 1), value=1), torch.nn.functional.pad(tx, (1, 2, 0, 1), value=1)
    assert y.dtype == getattr(fg, dtype)
    assert y.to(fg.complex128).tolist() == ty.to(torch.complex128).tolist()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pads", ((1, 2, 3, 4), (0, 0, 2, 2), (3, 3, 0, 0), (-2, 1, 2, -3)), ids=str)
def test_large_ones_on_any_number_of_threads(mode, pads, torch):
    data = random.standard_normal((6, 5, 61, 70)).astype(np.float32)
    tx = torch.tensor(data).requires_grad_()
    ty = torch.nn.functional.pad(tx, pads, mode)
    (ty * ty).sum().backward()
    threads, found = fg.get_num_threads(), []
    for count in (1, 2, 3):
        fg.set_num_threads(count)
        x = fg.tensor(data).requires_grad_()
        y = F.pad(x, pads, mode)
        (y * y).sum().backward()
        assert np.array_equal(y.detach().numpy(), ty.detach().numpy())
        found.append(x.grad.numpy())
    fg.set_num_threads(threads)
    np.testing.assert_allclose(found[0], tx.grad.numpy(), rtol=1e-6)
    assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("dtype", ("uint8", "int64", "float16", "complex64", "complex128"))
def test_dtypes_of_copies(mode, dtype, torch):
    data = random.integers(0, 9, (2, 4, 5))
    for pads in ((1, 2), (-1, 1, 2, -2), (0, -3), (1, 1, 0, 2)):
        x, tx = fg.tensor(data).to(getattr(fg, dtype)), torch.tensor(data).to(getattr(torch, dtype))
        if mode == "circular" and pads[0] == -1:
            pads = (-1, 1, 0, 1)
        y, ty = F.pad(x, pads, mode), torch.nn.functional.pad(tx, pads, mode)
        assert y.dtype == x.dtype and y.to(fg.complex128).tolist() == ty.to(torch.complex128).tolist()
        if not dtype.startswith("complex"):
            continue
        x.requires_grad_(), tx.requires_grad_()
        for a, m in ((x, fg), (tx, torch)):
            out = m.nn.functional.pad(a, pads, mode)
            (out * out.detach()).sum().abs().backward()
        np.testing.assert_allclose(x.grad.numpy(), tx.grad.resolve_conj().numpy(), rtol=1e-5)


@pytest.mark.parametrize("dtype", ("float64", "int64", "complex64"))
def test_what_is_refused(dtype, torch):
    for shape, pads, mode, value in (((7,), (), "reflect", None), ((2, 3), (), "circular", None),
                                     ((1, 2, 3, 2, 2), (0,) * 8, "replicate", None), ((2, 4), (1, 1), "reflect", 3),
                                     ((2, 3, 4), (-5, 0), "replicate", None), ((2, 4), (-4, 0), "replicate", None),
                                     ((2, 3, 4), (0, 1, -4, 0), "reflect", None),
                                     ((2, 3, 4), (-2, -3), "circular", None)):
        errors = []
        for m in (torch, fg):
            with pytest.raises((RuntimeError, NotImplementedError, ValueError)) as caught:
                m.nn.functional.pad(m.ones(shape, dtype=getattr(m, dtype)), pads, mode, value)
            errors.append(caught.type)
        assert errors[0] is errors[1], (shape, pads, mode)


def test_nothing_is_left(torch):
    for shape, pads, mode in (((2, 3, 4), (-4, 0), "circular"), ((0, 2), (0, 0), "circular"),
                              ((2, 0, 3), (1, 1), "circular"), ((2, 5, 3), (-3, 0, 1, 0), "replicate")):
        y = F.pad(fg.ones(shape, requires_grad=True), pads, mode)
        assert y.shape == torch.nn.functional.pad(torch.ones(shape), pads, mode).shape
        y.sum().backward()


def test_nothing_to_pad(torch):
    x = fg.ones(2, 3)
    assert F.pad(x, ()).tolist() == x.tolist() and F.pad(x, (0, 0)).data_ptr() != x.data_ptr()
    assert F.pad(fg.ones(0, 3), (1, 1, 1, 0), value=2.0).tolist() == [[2.0] * 5]
    assert F.pad(x, (-1, -2)).shape == (2, 0)
    with pytest.raises(RuntimeError, match="negative output size"):
        F.pad(x, (-2, -2))
    with pytest.raises(RuntimeError, match="less than the corresponding input dimension"):
        F.pad(x, (3, 0), "reflect")
    with pytest.raises(RuntimeError, match="wrapping around more than once"):
        F.pad(x, (4, 0), "circular")
