"""Forward mode: tangents of every differentiable record against reverse mode and torch; views, in-place, levels."""

import importlib

import numpy as np
import pytest

import fastgrad as fg
import fastgrad.autograd.forward_ad as fwAD
from checks import Maker, assert_close, float_outputs, to_numpy
from op_db import BY_NAME, differentiable
from test_grad import LIMIT, inputs_of

CASES = [op for op in differentiable() if op.second]
OTHERS = ("matmul", "sum", "cat", "softmax", "prod", "norm_p3", "gather")
TORCH_CASES = [op for op in CASES if op.rows or op.name in OTHERS]


def samples_of(op, count=4):
    found = []
    for sample in op.samples(Maker("float64", *op.domain)):
        arrays, rebuild = inputs_of(sample)
        if arrays and sum(a.size for a in arrays) <= LIMIT:
            found.append((sample, arrays, rebuild))
    return found[:count]


def directions(arrays):
    random = np.random.default_rng(3)
    return [random.uniform(-1, 1, a.shape) for a in arrays]


def along(m, function, arrays, tangents):
    """Primals and tangents of the floating results, None where a result has none."""
    forward = importlib.import_module(f"{m.__name__}.autograd.forward_ad")
    with forward.dual_level():
        duals = [forward.make_dual(m.tensor(x), m.tensor(t)) for x, t in zip(arrays, tangents)]
        return [forward.unpack_dual(y) for y in float_outputs(function(*duals))]


def by_reverse(function, arrays, directions):
    """J t from reverse mode: the derivative of J^T v, with respect to v."""
    leaves = [fg.tensor(a, requires_grad=True) for a in arrays]
    found = []
    for y in float_outputs(function(*leaves)):
        if not y.requires_grad:
            found.append(None)
            continue
        v = fg.zeros_like(y).requires_grad_()
        rows = fg.autograd.grad(y, leaves, v, create_graph=True, allow_unused=True)
        pairs = [(r, fg.tensor(t)) for r, t in zip(rows, directions) if r is not None and r.requires_grad]
        if not pairs:
            found.append(fg.zeros_like(y))
            continue
        jt, = fg.autograd.grad([r for r, _ in pairs], v, [t for _, t in pairs], allow_unused=True, retain_graph=True)
        found.append(fg.zeros_like(y) if jt is None else jt)
    return found


@pytest.mark.parametrize("op", CASES, ids=str)
def test_tangent_equals_reverse_mode(op):
    for sample, arrays, rebuild in samples_of(op):

        def function(*tensors, rebuild=rebuild):
            args, kwargs = rebuild(tensors, "cpu")
            return op(fg, *args, **kwargs)

        given = directions(arrays)
        expected = by_reverse(function, arrays, given)
        found = along(fg, function, arrays, given)
        assert len(found) == len(expected)
        for (primal, tangent), e in zip(found, expected):
            assert not primal.requires_grad and primal.grad_fn is None
            if e is None:
                assert tangent is None or not to_numpy(tangent).any()
                continue
            assert tangent is not None, f"{op}{sample}: no tangent"
            assert tangent.dtype is primal.dtype and tangent.shape == primal.shape and not tangent.requires_grad
            assert_close(to_numpy(tangent), to_numpy(e), (1e-9, 1e-10), f"{op}{sample}")


@pytest.mark.parametrize("op", TORCH_CASES, ids=str)
def test_tangent_equals_torch(op, torch):
    for sample, arrays, _ in samples_of(op, 3):
        found = []
        for m in (fg, torch):
            def function(*tensors, m=m, sample=sample):
                args, kwargs = rebuilt(m, sample, tensors)
                return op(m, *args, **kwargs)
            try:
                found.append(along(m, function, arrays, directions(arrays)))
            except (NotImplementedError, RuntimeError):
                if m is fg:
                    raise
                found.append(found[0])  # torch lacks a rule where the double transposition gives one
        for (_, a), (_, e) in zip(*found):
            if e is None:
                assert a is None or not to_numpy(a).any(), f"{op}{sample}: a tangent where torch has none"
            else:
                assert a is not None, f"{op}{sample}: no tangent, torch has one"
                assert_close(to_numpy(a), to_numpy(e), (1e-6, 1e-8), f"{op}{sample}")


def rebuilt(m, sample, tensors):
    from checks import is_leaf, map_arrays
    rest = iter(tensors)
    put = lambda array: next(rest) if is_leaf(array) else m.tensor(np.asarray(array))
    return [map_arrays(v, put) for v in sample.args], {k: map_arrays(v, put) for k, v in sample.kwargs.items()}


@pytest.mark.parametrize(
    "name", ["exp", "mul", "pow", "tanh", "softmax", "matmul", "prod", "cumsum", "layer_norm", "gather"])
def test_forward_over_reverse(name):
    """The tangent of a gradient is the Hessian times a direction: reverse over reverse is the reference."""
    op = BY_NAME[name]
    for sample, arrays, rebuild in samples_of(op):
        given = directions(arrays)

        def scalar(tensors, rebuild=rebuild):
            args, kwargs = rebuild(tensors, "cpu")
            y = float_outputs(op(fg, *args, **kwargs))[0]
            return (y * y * fg.linspace(0.5, 1.5, y.numel(), dtype=fg.float64).reshape(y.shape)).sum()

        leaves = [fg.tensor(a, requires_grad=True) for a in arrays]
        rows = fg.autograd.grad(scalar(leaves), leaves, create_graph=True)
        expected = fg.autograd.grad(rows, leaves, [fg.tensor(t) for t in given], allow_unused=True)
        for create_graph in (False, True):
            with fwAD.dual_level():
                duals = [fwAD.make_dual(x, fg.tensor(t)) for x, t in zip(leaves, given)]
                found = fg.autograd.grad(scalar(duals), duals, create_graph=create_graph)
                found = [fwAD.unpack_dual(g) for g in found]
            for (primal, a), e in zip(found, expected):
                assert primal.requires_grad == create_graph
                e = np.zeros(a.shape) if e is None else to_numpy(e)
                assert_close(to_numpy(a), e, (1e-9, 1e-10), f"{op}{sample}")


def test_reverse_over_forward():
    # f = x^3 y: along (t, u) it is 3 x^2 y t + x^3 u, whose gradient is (6 x y t + 3 x^2 u, 3 x^2 t)
    x, y = fg.tensor(2.0, requires_grad=True), fg.tensor(3.0, requires_grad=True)
    t = fg.tensor(5.0, requires_grad=True)
    with fwAD.dual_level():
        out = fwAD.make_dual(x, t) ** 3 * fwAD.make_dual(y, fg.tensor(7.0))
        tangent = fwAD.unpack_dual(out).tangent
        assert tangent.item() == 3 * 4 * 3 * 5 + 8 * 7
        gx, gy, gt = fg.autograd.grad(tangent, (x, y, t))
    assert (gx.item(), gy.item(), gt.item()) == (6 * 2 * 3 * 5 + 3 * 4 * 7, 3 * 4 * 5, 3 * 4 * 3)


def test_reverse_over_forward_through_saved_results_and_products():
    a = fg.tensor([[0.3, -0.2], [0.5, 0.1]], dtype=fg.float64, requires_grad=True)
    t = fg.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=fg.float64)

    def tangent(a):
        _, d = fwAD.push_forward(lambda x: fg.softmax(x @ x.exp(), 0).tanh(), (a,), (t,))
        return d

    assert fg.autograd.gradcheck(tangent, (a,))
    assert fg.autograd.gradgradcheck(tangent, (a,))


def test_levels_do_not_mix():
    # d/dx [x * d/dy (x + y)] at y = 1 is 1, not 2
    def outer(x):
        _, inner = fwAD.push_forward(lambda y: x + y, (fg.tensor(1.0),), (fg.tensor(1.0),))
        return x * inner

    assert fwAD.push_forward(outer, (fg.tensor(1.0),), (fg.tensor(1.0),))[1].item() == 1.0


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_nested_levels_give_higher_derivatives(depth):
    # sin(x^2), with the recursion through views, products, saved results and a change in place
    def f(x):
        y = fg.stack([x, x]).prod()
        z = fg.empty(2, dtype=fg.float64)
        z[0] = y
        z[1] = 0.0
        return z.sin().sum()

    def derived(f):
        return lambda x: fwAD.push_forward(f, (x,), (fg.ones_like(x),))[1]

    g, x = f, fg.tensor(0.7, dtype=fg.float64, requires_grad=True)
    for _ in range(depth):
        g = derived(g)
    y = (x * x).sin()
    for _ in range(depth):
        y, = fg.autograd.grad(y, x, create_graph=True)
    assert abs(g(x.detach()).item() - y.item()) < 1e-9
    assert abs(g(x).item() - y.item()) < 1e-9


def test_gradient_inside_a_level_inside_a_level():
    def f(x):
        return (x.exp() * x).sum()

    def slope(x):
        x = x if x.requires_grad else x.requires_grad_()
        return fg.autograd.grad(f(x), x, create_graph=True)[0]

    x = fg.tensor([0.2, -0.4], dtype=fg.float64)
    one = fg.ones_like(x)
    second = fwAD.push_forward(lambda x: fwAD.push_forward(slope, (x,), (one,))[1], (x.clone(),), (one,))[1]
    assert fg.allclose(second, (x + 3) * x.exp())  # (x e^x)''' = (x + 3) e^x


SCRIPTS = {
    "inplace_on_view_of_dual": "d = dual(x.clone(), t.clone()); v = d[1:]; v.mul_(3); out(d, v)",
    "inplace_gives_base_a_tangent": "z = m.zeros(3); z[0] = dual(x, t)[1]; out(z)",
    "view_made_before": "z = m.zeros(3); v = z[1:]; w = z.view(3, 1); v.copy_(dual(x, t)[:2]); out(z, v, w)",
    "inplace_of_plain": "d = dual(x, t).clone(); d.copy_(x); out(d)",
    "inplace_fill": "d = dual(x, t).clone(); d[0] = 5.; d[1:].zero_(); out(d)",
    "inplace_chain": "d = dual(x, t).clone(); d.exp_().add_(1).mul_(dual(x, t)); out(d)",
    "inplace_result_is_apart": "d = dual(x, t); y = d + 1; y.mul_(2); out(d, y)",
    "clone_is_apart": "d = dual(x, t); y = d.clone(); y.mul_(2); z = d.contiguous(); z += 1; out(d, y)",
    "transpose": "d = dual(x.reshape(3, 1), t.reshape(3, 1)); y = d.t(); y.mul_(2); out(d, y, y.expand(2, 3))",
    "layouts": "d = dual(m.ones(2, 3).t(), m.arange(6.).reshape(3, 2)); out(d, d * d, d.reshape(6), d.view(-1, 1, 2) "
               "if d.is_contiguous() else d)",
    "pieces": "d = dual(x, t); a, b, c = d.unbind(); s = d.split(2); out(a, b, c, *s, *d.chunk(2))",
    "max_and_sort": "d = dual(x, t); v, i = m.max(d, 0); out(v, m.max(d), d.argmax(), m.amax(d), d.cummax(0)[0])",
    "mixed_dtype": "d = dual(x, t); y = d.double(); out(y, d * m.ones(3, dtype=m.float64), y.half())",
    "integers": "d = dual(x, t); out(d.long(), d > 0, d == d, d.floor(), d.sign())",
    "no_grad": "d = dual(x, t)\nwith m.no_grad(): y = d * 2; y.add_(d)\nout(y)",
    "detach": "d = dual(x, t); out(d.detach(), d.data, d.clone().detach_())",
    "broadcast": "d = dual(x, t); out(d + m.ones(2, 3), d.reshape(3, 1) * dual(x + 1, t + 1), d.sum() * m.ones(2))",
    "zero_dim": "d = dual(x.sum(), t.sum()); out(d, d * 2, d.expand(3), d.reshape(1, 1), d[None])",
    "zero_size": "d = dual(x[:0], t[:0]); out(d, d.exp(), d.sum(), m.cat([d, dual(x, t)]))",
    "where": "d = dual(x, t); out(m.where(d > 0, d, x), m.where(d > 0, x, x), d.masked_fill(d > 0, 1.), "
             "d.clamp(-.1, .2))",
    "index": "d = dual(x, t); out(d[[0, 0, 2]], d[d > 0], d.index_select(0, m.tensor([1, 1])), "
             "d.gather(0, m.tensor([2])))",
    "index_put": "d = dual(x, t); y = m.zeros(4); y[m.tensor([0, 3])] = d[:2]; y[1] = d[0]; out(y)",
    "scatter": "d = dual(x, t); y = m.zeros(4).scatter_add(0, m.tensor([1, 1, 2]), d); z = m.ones(4); "
               "z.scatter_(0, m.tensor([0, 3, 1]), d); out(y, z)",
    "linear": "d = dual(x, t); w = dual(m.ones(2, 3), m.arange(6.).reshape(2, 3)); F = m.nn.functional; "
              "out(F.linear(d, w), F.linear(x, w, m.ones(2)), w @ d, w @ w.t(), d @ d, "
              "F.linear(d, m.ones(2, 3), dual(m.ones(2), m.ones(2))))",
    "losses": "d = dual(x, t); F = m.nn.functional; out(F.mse_loss(d, x + 1), F.l1_loss(d, x + 1), "
              "F.cross_entropy(d[None], m.tensor([1])), F.smooth_l1_loss(d, x * 3), "
              "F.nll_loss(d[None], m.tensor([2])))",
    "softmax": "d = dual(x, t); out(d.softmax(0), d.log_softmax(0), d.logsumexp(0), d.norm(), d.std(), "
               "d.var(), d.prod(), "
               "d.cumsum(0), d.mean())",
    "layer_norm": "d = dual(x, t); F = m.nn.functional; out(F.layer_norm(d, (3,)), F.layer_norm(x, (3,), "
               "dual(x, t), d))",
    "requires_grad": "r = x.clone().requires_grad_(); d = dual(r, t); y = d * d; out(d, y); "
                     "g, = m.autograd.grad(y.sum(), r); out(g); y = (d * d).sum(); y.backward(); out(r.grad)",
    "retained": "r = x.clone().requires_grad_(); d = dual(r, t); h = d * 2; h.retain_grad(); (h * h).sum().backward(); "
                "out(h.grad.detach(), r.grad)",
    "second_dual": "d = dual(x, t); p = unpack(d).primal; e = dual(p, t + 1); out(p, e, e * d)",
    "primal_is_apart": "z = m.zeros(3); z[0] = dual(x, t)[0]; p = unpack(z).primal; out(p, p * 2, z)",
    "unpack_of_plain": "out(x, x * 2)",
    "accumulate_parameter": "w = m.nn.Linear(3, 2); w.weight.data.fill_(.5); w.bias.data.fill_(.1); out(w(dual(x, t)))",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_equals_torch(name, torch):
    found = []
    for m in (fg, torch):
        forward = importlib.import_module(f"{m.__name__}.autograd.forward_ad")
        results = []
        with forward.dual_level():
            def out(*tensors, forward=forward, results=results):
                for y in tensors:
                    primal, tangent = forward.unpack_dual(y)
                    results.append((to_numpy(primal), None if tangent is None else to_numpy(tangent),
                                    primal.requires_grad, tangent is not None and tangent.requires_grad))
            space = {"m": m, "dual": forward.make_dual, "unpack": forward.unpack_dual, "out": out,
                     "x": m.tensor([0.25, -0.5, 0.125]), "t": m.tensor([1.0, 2.0, -3.0])}
            exec(SCRIPTS[name], space)
        found.append(results)
    assert len(found[0]) == len(found[1]) > 0
    for i, (a, e) in enumerate(zip(*found)):
        assert (a[1] is None) == (e[1] is None), f"result {i}: tangent {a[1]}, torch gives {e[1]}"
        assert a[2:] == e[2:], f"result {i}: requires_grad"
        assert_close(a[0], e[0], (2e-5, 1e-5), f"result {i}")
        if e[1] is not None:
            assert_close(a[1], e[1], (2e-3, 1e-3) if name == "mixed_dtype" else (2e-5, 1e-5), f"tangent of result {i}")


def test_square_in_place():
    # torch uses the new value for the second factor
    with fwAD.dual_level():
        d = fwAD.make_dual(fg.tensor(3.0), fg.tensor(1.0)).clone()
        assert fwAD.unpack_dual(d.mul_(d)).tangent.item() == 6.0


ERRORS = {
    "no_level": ("outside", "f.make_dual(x, t)"),
    "exit_without_level": ("outside", "f.exit_dual_level()"),
    "nested": ("inside", "f.enter_dual_level()"),
    "exit_wrong_level": ("inside", "f.exit_dual_level(level=3)"),
    "twice": ("inside", "f.make_dual(f.make_dual(x, t), t)"),
    "size": ("inside", "f.make_dual(x, t[:2])"),
    "integer_primal": ("inside", "f.make_dual(x.long(), t)"),
    "integer_tangent": ("inside", "f.make_dual(x, t.long())"),
    "wrong_level": ("inside", "f.make_dual(x, t, level=1)"),
    "out": ("inside", "m.add(f.make_dual(x, t), 1, out=m.empty(3))"),
    "out_is_dual": ("inside", "m.add(x, 1, out=f.make_dual(x, t))"),
    "sum_out": ("inside", "m.sum(f.make_dual(x, t), 0, out=m.empty(()))"),
    "expanded": ("inside", "f.make_dual(x.expand(2, 3), m.ones(2, 3))"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_equal_torch(name, torch):
    where, code = ERRORS[name]
    texts = []
    for m in (fg, torch):
        f = importlib.import_module(f"{m.__name__}.autograd.forward_ad")
        space = {"m": m, "f": f, "x": m.ones(3), "t": m.ones(3)}
        with pytest.raises(Exception) as raised:
            if where == "inside":
                with f.dual_level():
                    eval(code, space)
            else:
                eval(code, space)
        texts.append((raised.type, str(raised.value)))
    assert texts[0] == texts[1]


def test_level_ends_and_can_be_opened_again():
    x, t = fg.ones(2), fg.ones(2)
    for _ in range(3):
        with fwAD.dual_level() as level:
            assert level == 0
            d = fwAD.make_dual(x, t)
            y = d * d
            assert fwAD.unpack_dual(y).tangent.tolist() == [2.0, 2.0]
        assert fwAD.unpack_dual(y) == (y, None)
        with fwAD.dual_level():
            assert fwAD.unpack_dual(y).tangent is None and fwAD.unpack_dual(d * 2).tangent is None
    assert fg._C._dual_levels() == 0


def test_end_of_level_frees_tangents():
    import gc
    import weakref
    x = fg.ones(3, requires_grad=True)
    with fwAD.dual_level():
        d = fwAD.make_dual(x, fg.ones(3))
        y = d.exp().tanh()  # both save their results; with gradients through the tangents
        tangent = weakref.ref(fwAD.unpack_dual(y).tangent)
        assert tangent() is not None
    del d
    gc.collect()
    assert tangent() is None and y.requires_grad


def test_decorator_and_switch():
    @fwAD.dual_level()
    def f(x):
        return fwAD.unpack_dual(fwAD.make_dual(x, x) * 2).tangent

    assert f(fg.ones(2)).tolist() == [2.0, 2.0]
    with fwAD.dual_level():
        d = fwAD.make_dual(fg.ones(2), fg.ones(2))
        with fwAD._set_fwd_grad_enabled(False):
            y = d * 2
            assert not fwAD._is_fwd_grad_enabled() and fwAD.unpack_dual(d).tangent is None
        assert fwAD.unpack_dual(y).tangent is None and fwAD.unpack_dual(d * 2).tangent.tolist() == [2.0, 2.0]


def test_tangent_is_the_given_tensor_and_is_written_to():
    t = fg.ones(3)
    with fwAD.dual_level():
        d = fwAD.make_dual(fg.ones(3), t)
        assert fwAD.unpack_dual(d).tangent is t
        t.mul_(4)
        assert fwAD.unpack_dual(d * d).tangent.tolist() == [8.0] * 3
        assert fwAD.unpack_dual(d)._fields == ("primal", "tangent")


def test_printing_shows_the_tangent():
    with fwAD.dual_level():
        d = fwAD.make_dual(fg.tensor([1.0]), fg.tensor([2.0]))
        assert repr(d) == "tensor([1.], tangent=tensor([2.]))"


def test_inference_mode_has_no_tangents():
    with fwAD.dual_level():
        d = fwAD.make_dual(fg.ones(2), fg.ones(2))
        with fg.inference_mode():
            assert fwAD.unpack_dual(d * 2).tangent is None


def test_threads_have_levels_of_their_own():
    import threading
    found = []

    def work():
        x = fg.ones(2)
        with fwAD_levels():
            found.append(fwAD.push_forward(lambda x: x * x, (x,), (x,))[1].tolist())

    class fwAD_levels:
        def __enter__(self):
            found.append(fg._C._dual_levels())

        def __exit__(self, *error):
            pass

    with fwAD.dual_level():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [0, [2.0, 2.0]]


@pytest.mark.parametrize("name", ["exp", "mul", "matmul", "softmax", "cumsum", "prod"])
@pytest.mark.parametrize("fast", [False, True])
def test_gradcheck_of_forward_mode(name, fast):
    op = BY_NAME[name]
    for _, arrays, rebuild in samples_of(op, 2):
        leaves = [fg.tensor(a, requires_grad=True) for a in arrays]

        def function(*tensors, rebuild=rebuild):
            args, kwargs = rebuild(tensors, "cpu")
            return op(fg, *args, **kwargs)

        for backward in (False, True):
            assert fg.autograd.gradcheck(
                function, leaves, check_forward_ad=True, check_backward_ad=backward, fast_mode=fast)
        assert fg.autograd.gradgradcheck(function, leaves, check_fwd_over_rev=True, check_rev_over_rev=False,
                                         check_undefined_grad=False, fast_mode=fast)


class Wrong(fg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 3

    @staticmethod
    def backward(ctx, g):
        return g * 3

    @staticmethod
    def jvp(ctx, t):
        return t * 4


def test_gradcheck_finds_a_wrong_jvp():
    x = fg.ones(2, dtype=fg.float64, requires_grad=True)
    assert fg.autograd.gradcheck(Wrong.apply, x)
    for fast in (False, True):
        with pytest.raises(fg.autograd.gradcheck.GradcheckError if hasattr(fg.autograd.gradcheck, "GradcheckError")
                           else RuntimeError, match="computed with forward mode"):
            fg.autograd.gradcheck(Wrong.apply, x, check_forward_ad=True, fast_mode=fast)


COMPLEX = {
    "square": lambda m, x: x * x, "exp": lambda m, x: x.exp(), "abs": lambda m, x: x.abs(),
    "angle": lambda m, x: x.angle(),
    "conj": lambda m, x: x.conj() * x, "real": lambda m, x: x.real * x, "imag": lambda m, x: x.imag,
    "number": lambda m, x: (2 + 1j) / x, "view_as_real": lambda m, x: m.view_as_real(x) * 2,
    "sqrt": lambda m, x: x.sqrt(),
    "product": lambda m, x: x.reshape(2, 1) @ x.reshape(1, 2), "fft": lambda m, x: m.fft.fft(x),
    "prod": lambda m, x: x.prod(),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_tangents_equal_torch(name, torch):
    found = []
    for m in (fg, torch):
        forward = importlib.import_module(f"{m.__name__}.autograd.forward_ad")
        with forward.dual_level():
            d = forward.make_dual(m.tensor([1 + 2j, 0.5 - 1j]), m.tensor([0.3 - 0.2j, 1 + 1j]))
            y = forward.unpack_dual(COMPLEX[name](m, d)).tangent
            found.append(np.array((m.view_as_real(y) if y.is_complex() else y).tolist()))
    assert_close(found[0], found[1], (1e-5, 1e-6), name)
