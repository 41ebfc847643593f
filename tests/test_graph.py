"""autograd.graph and changes of the layout of tensors with history."""

import gc

import pytest

import fastgrad as fg

# ---- changing saved tensors

def test_saved_tensors_may_be_changed(lib):
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    with lib.autograd.graph.allow_mutation_on_saved_tensors():
        y = x.clone()
        z = (y * y).sum() + y.exp().sum()
        y.mul_(5)
        y[0] = 7
        y.sin_()
        z.backward()
    assert x.grad.tolist() == pytest.approx([2 + 2.7182817, 4 + 7.389056])


def test_changed_results_and_views(lib):
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    with lib.autograd.graph.allow_mutation_on_saved_tensors():
        y = x.exp()  # saves its result
        y.zero_()
        v = x * 1
        w = v.sigmoid() * v
        v.add_(100)
        (y.sum() + w.sum()).backward()
    s = x.detach().sigmoid()
    assert lib.allclose(x.grad, s * (1 + x.detach() * (1 - s)))


def test_change_through_a_view_of_the_saved_tensor():
    x = fg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with fg.autograd.graph.allow_mutation_on_saved_tensors():
        y = x * 1
        z = (y * y).sum()
        y[1:].zero_()  # other bytes than the first of y
        z.backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


def test_leaf_changed_under_no_grad(lib):
    w = lib.tensor([1.0, 2.0], requires_grad=True)
    with lib.autograd.graph.allow_mutation_on_saved_tensors():
        y = (w * w).sum()
        with lib.no_grad():
            w.add_(10)
        y.backward()
    assert w.grad.tolist() == [2.0, 4.0]


def test_mutation_contexts_do_not_nest(lib):
    with lib.autograd.graph.allow_mutation_on_saved_tensors():
        with pytest.raises(RuntimeError, match="allow_mutation_on_saved_tensors contexts cannot be nested"):
            with lib.autograd.graph.allow_mutation_on_saved_tensors():
                pass
    with lib.autograd.graph.allow_mutation_on_saved_tensors():
        pass


def test_backward_outside_of_the_context(lib):
    x = lib.ones(2, requires_grad=True)
    with lib.autograd.graph.allow_mutation_on_saved_tensors():
        y = (x * x).sum()
    with pytest.raises(AssertionError, match="outside of the 'allow_mutation_on_saved_tensors' context"):
        y.backward()


def test_clear_forgets(lib):
    x = lib.ones(2, requires_grad=True)
    with lib.autograd.graph.allow_mutation_on_saved_tensors() as context:
        y = (x * x).sum()
        context.clear()
        with pytest.raises(AssertionError):
            y.backward()


def test_copies_go_with_the_graph():
    with fg.autograd.graph.allow_mutation_on_saved_tensors() as context:
        x = fg.ones(2, requires_grad=True)
        y = x * 2
        z = y * y
        count = lambda: sum(map(len, context._saved.values()))
        assert count() >= 2
        del z
        gc.collect()
        assert count() == 0
    z = x * x
    x.data.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


# ---- edges

def test_edges_stand_for_tensors(lib):
    edge_of = lib.autograd.graph.get_gradient_edge
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    y = (h * h).sum()
    inner, leaf, start = edge_of(h), edge_of(x), edge_of(y)
    assert [g.tolist() for g in lib.autograd.grad(y, (inner, leaf), retain_graph=True)] == [[6.0, 12.0], [18.0, 36.0]]
    assert lib.autograd.grad(start, x, lib.tensor(2.0), retain_graph=True)[0].tolist() == [36.0, 72.0]
    assert lib.autograd.grad(start, x, retain_graph=True)[0].tolist() == [18.0, 36.0]
    lib.autograd.backward(inner, lib.ones(2), retain_graph=True)
    assert x.grad.tolist() == [3.0, 3.0]
    lib.autograd.backward(y, inputs=[leaf])
    assert x.grad.tolist() == [21.0, 39.0]


def test_edges_are_checked():
    x = fg.ones(2, requires_grad=True)
    y = x * 2
    edge = fg.autograd.graph.get_gradient_edge(y)
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        fg.autograd.grad(edge, x, fg.ones(3))
    with pytest.raises(RuntimeError, match="scalar outputs"):
        fg.autograd.grad(edge, x)
    with pytest.raises(RuntimeError, match="shape is not known"):
        fg.autograd.grad(fg.autograd.graph.GradientEdge(y.grad_fn, 0), x, fg.ones(2))
    with pytest.raises(IndexError):
        fg.autograd.grad(y, fg.autograd.graph.GradientEdge(y.grad_fn, 5), fg.ones(2))
    with pytest.raises(RuntimeError, match="materialize_grads cannot be used"):
        other = fg.autograd.graph.get_gradient_edge(fg.ones(2, requires_grad=True) * 2)
        fg.autograd.grad(y, other, fg.ones(2), materialize_grads=True)
    with pytest.raises(TypeError):
        fg.autograd.graph.increment_version(3)


def test_increment_version(lib):
    a, b = lib.ones(2), lib.ones(2)
    lib.autograd.graph.increment_version(a)
    lib.autograd.graph.increment_version([a, b])
    assert (a._version, b._version) == (2, 1)


# ---- another layout for the tensor itself

CHANGES = {"t_": (), "transpose_": (0, 1), "swapaxes_": (0, 1), "swapdims_": (-1, 0), "squeeze_": (),
           "squeeze_dim": (0,), "squeeze_dims": ((0, 1),), "unsqueeze_": (1,)}


def change(x, name):
    method = name if name[-1] == "_" else "squeeze_"
    assert getattr(x, method)(*CHANGES[name]) is x
    return x


@pytest.mark.parametrize("name", CHANGES)
def test_layout_change_has_history(name, torch):
    found = []
    for m in (fg, torch):
        x = m.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
        y = change(x * 2, name)
        weights = m.arange(3.0).reshape(y.shape)
        g, = m.autograd.grad((y * y * weights).sum(), x, create_graph=True)
        gg, = m.autograd.grad(g.sum(), x)
        found.append((tuple(y.shape), y.stride(), type(y.grad_fn).__name__, y.is_leaf, g.tolist(), gg.tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", CHANGES)
def test_layout_change_of_leaves_views_and_aliases(name, torch):
    found = []
    for m in (fg, torch):
        x = m.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used"):
            change(x, name)
        base = x * 2
        v = change(base[:, :2], name)
        v.mul_(3)
        g, = m.autograd.grad(base.sum(), x)
        alias = x.detach()
        change(alias, name)
        with m.no_grad():
            parameter = change(m.ones(1, 2, requires_grad=True), name)
        found.append((tuple(v.shape), v._base is base, type(v.grad_fn).__name__, g.tolist(), tuple(alias.shape),
                      tuple(x.shape), alias._version, x._version, tuple(parameter.shape), parameter.is_leaf))
    assert found[0] == found[1]


def test_layout_change_makes_saved_tensors_stale(lib):
    x = lib.ones(2, 3, requires_grad=True)
    y = x * 2
    z = y * y
    y.t_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_layout_change_carries_tangents():
    import fastgrad.autograd.forward_ad as fwAD
    with fwAD.dual_level():
        d = fwAD.make_dual(fg.arange(6.0).reshape(2, 3), fg.arange(6.0).reshape(2, 3)).clone()
        d.t_()
        d.unsqueeze_(0)
        d.mul_(2)
        assert fwAD.unpack_dual(d).tangent.tolist() == [[[0.0, 6.0], [2.0, 8.0], [4.0, 10.0]]]


def test_layout_errors(lib):
    with pytest.raises(RuntimeError, match="t_\\(\\) expects a tensor with <= 2 dimensions"):
        lib.ones(1, 1, 1).t_()
    for call in (lambda x: x.transpose_(0, 3), lambda x: x.squeeze_(4), lambda x: x.unsqueeze_(9)):
        x = lib.ones(1, 2)
        with pytest.raises(IndexError):
            call(x)
        assert x.shape == (1, 2) and x._version == 0


def test_detach_in_place_drops_retained_gradients():
    x = fg.ones(1, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.detach_()
    assert not y.retains_grad and y.is_leaf and not y.requires_grad


# ---- gradients that differ from the plain rule

def test_floor_division_has_no_gradient(lib):
    x, y = lib.tensor([5.0, 3.0], requires_grad=True), lib.tensor([2.0, 2.0], requires_grad=True)
    for z in (x // y, x // 2, 7 // y, lib.floor_divide(x, 2), (x * 1).floor_divide_(y)):
        assert z.requires_grad
        with pytest.raises(RuntimeError, match="derivative for aten::floor_divide_? is not implemented"):
            z.sum().backward()
    assert lib.autograd.grad(lib.div(x, y, rounding_mode="floor").sum(), x)[0].tolist() == [0.0, 0.0]
    assert lib.autograd.grad((x % y).sum(), (x, y))[1].tolist() == [-2.0, -1.0]


def test_floor_division_in_forward_mode():
    import fastgrad.autograd.forward_ad as fwAD
    with fwAD.dual_level(), pytest.raises(NotImplementedError, match="forward AD with floor_divide"):
        fwAD.make_dual(fg.ones(2), fg.ones(2)) // 2


@pytest.mark.parametrize("case", ["expanded", "expanded_part", "windows", "windows_of_windows"])
def test_as_strided_of_overlapping_elements(case, torch):
    found = []
    for m in (fg, torch):
        x = m.tensor([1.0, 2.0, 3.0], dtype=m.float64, requires_grad=True)
        y = {"expanded": lambda: x[:, None].expand(3, 2).as_strided((3, 2), (1, 0)),
             "expanded_part": lambda: x[:, None].expand(3, 2).as_strided((2,), (1,)),
             "windows": lambda: x.as_strided((2, 2), (1, 1)),
             "windows_of_windows": lambda: x.as_strided((2, 2), (1, 1)).as_strided((3,), (1,))}[case]()
        weights = m.arange(1.0, y.numel() + 1, dtype=m.float64).reshape(y.shape)
        found.append(m.autograd.grad((y * weights).sum(), x)[0].tolist())
    assert found[0] == found[1]
    f = {"expanded": lambda x: x[:, None].expand(3, 2).as_strided((3, 2), (1, 0)),
         "windows_of_windows": lambda x: x.as_strided((2, 2), (1, 1)).as_strided((3,), (1,))}
    if case in f:
        assert fg.autograd.gradgradcheck(lambda x: f[case](x * x), (fg.randn(3, dtype=fg.float64, requires_grad=True),))
