"""Views share memory and version, know their base, and carry in-place changes both ways through the graph."""

import numpy as np
import pytest

import fastgrad as fg

VIEWS = {
    "view": lambda x: x.view(6, 4),
    "reshape": lambda x: x.reshape(24),
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(0, 1),
    "t": lambda x: x[0].t(),
    "mT": lambda x: x.mT,
    "expand": lambda x: x[:, :1].expand(2, 3, 4),
    "squeeze": lambda x: x[:1].squeeze(0),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "narrow": lambda x: x.narrow(2, 1, 2),
    "select": lambda x: x.select(1, 2),
    "number": lambda x: x[1],
    "slice": lambda x: x[:, 1:3],
    "step": lambda x: x[:, :, ::2],
    "ellipsis": lambda x: x[..., 0],
    "none": lambda x: x[None],
    "diagonal": lambda x: x.diagonal(0, 1, 2),
    "unfold": lambda x: x.unfold(2, 2, 2),
    "flatten": lambda x: x.flatten(1),
    "movedim": lambda x: x.movedim(0, 2),
    "as_strided": lambda x: x.as_strided((3, 2), (2, 1), 1),
    "swapaxes": lambda x: x.swapaxes(0, 2),
    "view_as": lambda x: x.view_as(x),
    "detach": lambda x: x.detach(),
}
MULTI = {"unbind": lambda x: x.unbind(0)[1], "split": lambda x: x.split(1)[0], "chunk": lambda x: x.chunk(2, 2)[1]}


@pytest.mark.emulate
@pytest.mark.sanitize
@pytest.mark.parametrize("name", [*VIEWS, *MULTI])
def test_shares_memory_and_version(name, device, torch):
    make = VIEWS.get(name) or MULTI[name]
    found = []
    for m in (torch, fg):
        x = m.arange(24.0, device=device if m is fg else "cpu").view(2, 3, 4).clone()
        v = make(x)
        x.add_(1)
        assert v._version == x._version == 1
        assert v.data_ptr() - x.data_ptr() == v.storage_offset() * 4
        if name != "detach":
            assert v._base is x
        found.append((tuple(v.shape), v.stride(), v.storage_offset(), v.is_contiguous(), v.tolist()))
    assert found[0] == found[1]


@pytest.mark.sanitize
@pytest.mark.parametrize("name", [n for n in VIEWS if n not in ("expand", "detach")])
def test_inplace_on_a_view_rewrites_the_base(name, device, torch):
    """y = 2x; view(y).mul_(3): values, the gradient of x, and the names of the functions are torch's."""
    found = []
    for m in (torch, fg):
        x = m.arange(24.0, device=device if m is fg else "cpu").view(2, 3, 4).clone().requires_grad_()
        y = x * 2
        v = VIEWS[name](y)
        v.mul_(3)
        names = type(y.grad_fn).__name__, type(v.grad_fn).__name__
        (g,) = m.autograd.grad((y * y).sum() + v.sum(), x)
        found.append((names, y.tolist(), g.tolist()))
    assert found[1] == found[0]


@pytest.mark.parametrize("name", [n for n in VIEWS if n not in ("detach",)])
def test_inplace_on_the_base_regenerates_the_view(name, device, torch):
    found = []
    for m in (torch, fg):
        x = m.arange(24.0, device=device if m is fg else "cpu").view(2, 3, 4).clone().requires_grad_()
        y = x * 2
        v = VIEWS[name](y)
        y.mul_(x)
        (g,) = m.autograd.grad(v.sum(), x)
        found.append((type(v.grad_fn).__name__, v.tolist(), g.tolist()))
    assert found[1][1:] == found[0][1:], name


@pytest.mark.parametrize("name", MULTI)
def test_views_of_many_outputs_refuse_inplace(name, device, torch):
    for m in (torch, fg):
        x = m.ones(2, 3, 4, device=device if m is fg else "cpu", requires_grad=True)
        v = MULTI[name](x * 1)
        before = v.tolist()
        with pytest.raises(RuntimeError, match="multiple views|modified inplace|in-?place"):
            v.mul_(2)
        assert v.tolist() == before


def test_a_view_made_without_grad_refuses_inplace(torch, device):
    for m in (torch, fg):
        x = m.ones(3, device=device if m is fg else "cpu", requires_grad=True) * 1
        with m.no_grad():
            v = x[:2]
        with pytest.raises(RuntimeError, match="no_grad"):
            v.add_(m.ones(2, requires_grad=True).sum())


def test_view_of_a_view_has_the_first_base(device):
    x = fg.zeros(2, 3, 4, device=device)
    assert x.view(6, 4)[1:].t()._base is x
    assert x._base is None


def test_setitem_through_views(device, torch):
    found = []
    for m in (torch, fg):
        x = m.zeros(3, 4, device=device if m is fg else "cpu")
        x[1] = 2
        x[:, 1] = m.arange(3.0, device=x.device)
        x[1:, 2:][0] += 5
        x.t()[3, 0] = 9
        x[..., :1] = -1
        found.append(x.tolist())
    assert found[0] == found[1]


def test_setitem_records(device):
    # d/dv sum(x * x) with x[1] = v is 2v; the overwritten element gets zero
    x = fg.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
    v = fg.tensor(5.0, device=device, requires_grad=True)
    y = x * 1
    y[1] = v
    (y * y).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 6.0] and v.grad.item() == 10.0


def test_view_refuses_what_it_cannot_do(device):
    x = fg.zeros(2, 3, device=device)
    for call in (
        lambda: x.t().view(6),
        lambda: x.view(4, 2),
        lambda: x.view(-1, -1),
        lambda: x.expand(3, 3),
        lambda: x.as_strided((10,), (10,)),
        lambda: x.narrow(0, 1, 5),
    ):
        with pytest.raises(RuntimeError):
            call()


def test_reshape_copies_only_when_it_must(device):
    x = fg.zeros(2, 3, device=device)
    assert x.reshape(6).data_ptr() == x.data_ptr()
    assert x.t().reshape(6).data_ptr() != x.data_ptr()
    assert x.contiguous() is x
    assert x.t().contiguous().data_ptr() != x.data_ptr()


def test_detach_shares_version_and_data_does_not(device):
    x = fg.ones(2, device=device)
    a, b = x.detach(), x.data
    x.add_(1)
    assert a._version == 1 and b._version == 0 and b.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("op", ["exp_", "tanh_", "sigmoid_", "sqrt_", "reciprocal_", "rsqrt_", "expm1_", "sin_"])
def test_second_gradient_of_an_op_on_a_view_that_saves_its_result(op, torch):
    """The saved result leads back to the op's own node, beside the CopySlices that holds it: both are run and freed."""
    found = []
    for m in (fg, torch):
        x = (m.arange(24.0, dtype=m.float64).reshape(4, 6) / 20 + 0.2).requires_grad_()
        a = x.clone()
        rows = a[1:3]
        rows.mul_(1.5)
        getattr(rows[0], op)()
        g, = m.autograd.grad((a * a).sum(), x, create_graph=True)
        second, = m.autograd.grad(g.sum(), x)
        found.append((g.tolist(), second.tolist()))
        with pytest.raises(RuntimeError, match="a second time"):
            m.autograd.grad(g.sum(), x)
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12)


@pytest.mark.sanitize
def test_pieces_of_absurd_lengths(device):
    x = fg.ones(3, device=device)
    for pieces in (x.split(2**63 - 1), x.split(2**62), x.chunk(1), x.chunk(2**63 - 1)):
        assert sum(len(p) for p in pieces) == 3
    assert len(x.chunk(2**63 - 1)) == 3 and len(x.split(2**63 - 1)) == 1
    assert [len(p) for p in fg.ones(0, device=device).split(2**63 - 1)] == [0]
