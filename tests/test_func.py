"""fastgrad.func compared with torch.func: values, structures, error classes, and transforms of transforms."""

import numpy as np
import pytest

import fastgrad as fg
from test_vmap import compare

X = np.random.default_rng(0).standard_normal(3)
BATCH = np.random.default_rng(1).standard_normal((4, 3))
WEIGHT = np.random.default_rng(2).standard_normal((3, 2))
LABELS = np.array([0, 1, 1, 0])


def mixed(x):
    """A number from a vector, with a full Hessian."""
    return (x.sin() * x.flip(0)).sum() * x[0]


def vector(x):
    return x.sin() * x.sum()


def inner_grad(m):
    def f(x):
        with m.no_grad():
            c = x**2
        return (x - c).sum()

    return f


def pull(m, cotangent):
    """vjp of a function with a tuple as output, used twice."""

    def call(x):
        _, back = m.func.vjp(lambda a: (a.sin(), {"s": a.sum()}), x)
        back(cotangent(x))
        return back(cotangent(x))

    return call


VALUES = {
    "grad": lambda m, x, b: m.func.grad(mixed)(x),
    "grad_tree": lambda m, x, b: m.func.grad(lambda d: d["a"].sum() * d["b"][0].prod())({"a": x, "b": [x, x]}),
    "grad_argnums": lambda m, x, b: m.func.grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(x, x + 1),
    "grad_argnums_last": lambda m, x, b: m.func.grad(lambda a, b: (a * b).sum(), argnums=-1)(x, x + 1),
    "grad_aux": lambda m, x, b: m.func.grad(lambda a: (a.sum(), {"aux": a * 2}), has_aux=True)(x),
    "grad_keywords": lambda m, x, b: m.func.grad(lambda a, *, k: (a * k).sum())(x, k=3.0),
    "grad_and_value": lambda m, x, b: m.func.grad_and_value(mixed)(x),
    "grad_and_value_aux": lambda m, x, b: m.func.grad_and_value(lambda a: (mixed(a), a), has_aux=True)(x),
    "grad_unused": lambda m, x, b: m.func.grad(lambda a: m.tensor(1.0))(x),
    "grad_three_levels": lambda m, x, b: m.func.grad(
        lambda a: m.func.grad(lambda c: m.func.grad(mixed)(c).sum())(a).sum()
    )(x),
    "levels_do_not_mix": lambda m, x, b: m.func.grad(lambda a: a * m.func.grad(lambda c: a * c)(m.tensor(2.0)))(
        m.tensor(3.0)
    ),
    "no_grad_inside": lambda m, x, b: m.func.grad(inner_grad(m))(x),
    "autograd_inside": lambda m, x, b: m.func.grad(
        lambda a: m.autograd.grad((a**3).sum(), a, create_graph=True)[0].sum()
    )(x),
    "item_inside": lambda m, x, b: m.func.grad(lambda a: a.sum() * a.sum().item() if a.sum() > 0 else -a.sum())(x),
    "vjp": lambda m, x, b: pull(m, lambda a: (a, {"s": m.tensor(2.0, dtype=a.dtype)}))(x),
    "vjp_output": lambda m, x, b: m.func.vjp(lambda a: (a, {"s": a.sum()}), x)[0],
    "vjp_several": lambda m, x, b: m.func.vjp(lambda a, c: a * 2, x, x)[1](x),
    "vjp_aux": lambda m, x, b: m.func.vjp(lambda a: (a * 2, a), x, has_aux=True)[2],
    "vjp_dtype": lambda m, x, b: m.func.vjp(lambda a: a * 2, x)[1](m.ones(3, dtype=m.int64)),
    "vjp_options": lambda m, x, b: m.func.vjp(lambda a: a * 2, x)[1](x, retain_graph=True, create_graph=False),
    "vjp_mapped": lambda m, x, b: m.func.vmap(m.func.vjp(vector, x)[1])(m.eye(3, dtype=m.float64)),
    "jvp": lambda m, x, b: m.func.jvp(vector, (x,), (x + 1,)),
    "jvp_tree": lambda m, x, b: m.func.jvp(lambda d: {"o": d["a"] * 2}, ({"a": x},), ({"a": x},)),
    "jvp_aux": lambda m, x, b: m.func.jvp(lambda a: (a**2, a), (x,), (x,), has_aux=True),
    "jvp_constant": lambda m, x, b: m.func.jvp(lambda a: m.ones(2), (x,), (x,), strict=False),
    "linearize": lambda m, x, b: (lambda out, push: (out, push(x), push(x + 1)))(*m.func.linearize(vector, x)),
    "jacrev": lambda m, x, b: m.func.jacrev(lambda a: (vector(a), a.sum()))(x),
    "jacrev_argnums": lambda m, x, b: m.func.jacrev(lambda a, c: a * c, argnums=(0, 1))(x, x + 1),
    "jacrev_aux": lambda m, x, b: m.func.jacrev(lambda a: (vector(a), a), has_aux=True)(x),
    "jacrev_tree": lambda m, x, b: m.func.jacrev(lambda d: {"o": d["a"] * 2})({"a": x, "b": x}),
    "jacrev_unused": lambda m, x, b: m.func.jacrev(lambda a: m.ones(2))(x),
    "jacrev_chunks": lambda m, x, b: m.func.jacrev(vector, chunk_size=2)(x),
    "jacrev_matrix": lambda m, x, b: m.func.jacrev(lambda a: a[:2].T @ a[1:3])(b),
    "jacfwd": lambda m, x, b: m.func.jacfwd(lambda a: (vector(a), a.sum()))(x),
    "jacfwd_argnums": lambda m, x, b: m.func.jacfwd(lambda a, c: a * c, argnums=(0, 1))(x, x + 1),
    "jacfwd_aux": lambda m, x, b: m.func.jacfwd(lambda a: (vector(a), a), has_aux=True)(x),
    "jacfwd_tree": lambda m, x, b: m.func.jacfwd(lambda d: {"o": d["a"] * 2})({"a": x, "b": x}),
    "jacfwd_integers": lambda m, x, b: m.func.jacfwd(lambda a: a.long())(x),
    "jacfwd_same": lambda m, x, b: m.func.jacfwd(vector, randomness="same")(x),
    "hessian": lambda m, x, b: m.func.hessian(mixed)(x),
    "hessian_tree": lambda m, x, b: m.func.hessian(lambda d: (d["a"] ** 2 * d["b"]).sum())({"a": x, "b": x}),
    "hessian_argnums": lambda m, x, b: m.func.hessian(lambda a, c: (a * a * c).sum(), argnums=1)(x, x),
    "jacrev_jacrev": lambda m, x, b: m.func.jacrev(m.func.jacrev(mixed))(x),
    "jacrev_jacfwd": lambda m, x, b: m.func.jacrev(m.func.jacfwd(mixed))(x),
    "jacfwd_jacfwd": lambda m, x, b: m.func.jacfwd(m.func.jacfwd(vector))(x),
    "vmap_grad": lambda m, x, b: m.func.vmap(m.func.grad(mixed))(b),
    "vmap_hessian": lambda m, x, b: m.func.vmap(m.func.hessian(mixed))(b),
    "vmap_jacrev": lambda m, x, b: m.func.vmap(m.func.jacrev(vector))(b),
    "vmap_jacfwd": lambda m, x, b: m.func.vmap(m.func.jacfwd(vector))(b),
    "vmap_jvp": lambda m, x, b: m.func.vmap(lambda a, v: m.func.jvp(vector, (a,), (v,)))(b, b + 1),
    "vmap_tangents": lambda m, x, b: m.func.vmap(lambda v: m.func.jvp(vector, (x,), (v,))[1])(b),
    "vmap_vjp_shared": lambda m, x, b: m.func.vmap(lambda v: m.func.vjp(lambda a: a * a.sum(), x)[1](v))(b),
    "vmap_vmap_grad": lambda m, x, b: m.func.vmap(
        m.func.vmap(m.func.grad(lambda a, c: a * c.sin()), in_dims=(None, 0)), in_dims=(0, None)
    )(x, b[0]),
    "vmap_grad_shared": lambda m, x, b: m.func.vmap(m.func.grad(lambda a, c: (a * c).sum()), in_dims=(None, 0))(x, b),
    "grad_vmap": lambda m, x, b: m.func.grad(lambda a: m.func.vmap(mixed)(a).sum())(b),
    "jacrev_vmap": lambda m, x, b: m.func.jacrev(lambda a: m.func.vmap(mixed)(a))(b),
    "grad_vmap_grad": lambda m, x, b: m.func.grad(lambda a: m.func.vmap(m.func.grad(mixed))(b * a).sum())(x),
    "vmap_grad_chunks": lambda m, x, b: m.func.vmap(m.func.grad(mixed), chunk_size=3)(b),
}


@pytest.mark.parametrize("call", VALUES.values(), ids=list(VALUES))
def test_values_as_torch(torch, call):
    assert compare(torch, call, X, BATCH) is None


ERRORS = {
    "grad_vector": lambda m, x: m.func.grad(lambda a: a)(x),
    "grad_number": lambda m, x: m.func.grad(lambda a: 3.0)(x),
    "grad_tuple": lambda m, x: m.func.grad(lambda a: (a.sum(), 1))(x),
    "grad_no_aux": lambda m, x: m.func.grad(lambda a: a.sum(), has_aux=True)(x),
    "argnums_range": lambda m, x: m.func.grad(lambda a: a.sum(), argnums=1)(x),
    "argnums_kind": lambda m, x: m.func.grad(lambda a: a.sum(), argnums="a")(x),
    "argnums_empty": lambda m, x: m.func.grad(lambda a: a.sum(), argnums=())(x),
    "argnums_twice": lambda m, x: m.func.grad(lambda a, c: a.sum(), argnums=(0, 0))(x, x),
    "integers": lambda m, x: m.func.grad(lambda a: a.sum())(m.tensor([1, 2])),
    "no_tensor": lambda m, x: m.func.grad(lambda a: a)(3.0),
    "in_place_on_input": lambda m, x: m.func.grad(lambda a: a.add_(1).sum())(x),
    "vjp_no_tensor": lambda m, x: m.func.vjp(lambda a: a, 3),
    "vjp_output": lambda m, x: m.func.vjp(lambda a: 3, x),
    "vjp_structure": lambda m, x: m.func.vjp(lambda a: (a, a.sum()), x)[1](x),
    "vjp_shape": lambda m, x: m.func.vjp(lambda a: a, x)[1](m.ones(2)),
    "jvp_primals": lambda m, x: m.func.jvp(lambda a: a, x, x),
    "jvp_structure": lambda m, x: m.func.jvp(lambda a: a, (x,), (x, x)),
    "jvp_shape": lambda m, x: m.func.jvp(lambda a: a, (x,), (m.ones(2, dtype=m.float64),)),
    "jvp_output": lambda m, x: m.func.jvp(lambda a: 3, (x,), (x,)),
    "jvp_nothing": lambda m, x: m.func.jvp(lambda: 3, (), ()),
    "jvp_strict": lambda m, x: m.func.jvp(lambda a: m.ones(2), (x,), (x,), strict=True),
    "jvp_integers": lambda m, x: m.func.jvp(lambda a: a, (m.tensor([1]),), (m.tensor([1]),)),
    "jacrev_output": lambda m, x: m.func.jacrev(lambda a: 3)(x),
    "jacrev_integers": lambda m, x: m.func.jacrev(lambda a: a.long())(x),
    "jacrev_empty": lambda m, x: m.func.jacrev(lambda a: ())(x),
    "jacrev_chunks": lambda m, x: m.func.jacrev(lambda a: a, chunk_size=0)(x),
    "jacrev_argnum": lambda m, x: m.func.jacrev(lambda a: a, argnums=3)(x),
    "jacfwd_output": lambda m, x: m.func.jacfwd(lambda a: 3)(x),
    "jacfwd_integers": lambda m, x: m.func.jacfwd(lambda a: a)(m.tensor([1, 2])),
    "jacfwd_randomness": lambda m, x: m.func.jacfwd(lambda a: a, randomness="foo")(x),
    "jacfwd_random": lambda m, x: m.func.jacfwd(lambda a: a * m.rand(3))(x),
    "linearize_shape": lambda m, x: m.func.linearize(lambda a: a * 2, x)[1](m.ones(2, dtype=m.float64)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_as_torch(torch, name):
    ours, theirs = compare(torch, ERRORS[name], X)
    assert ours[:30] == theirs[:30] or name in ("jacfwd_random", "in_place_on_input")


def test_results_are_recorded_only_for_the_outside():
    x, w = fg.tensor(X), fg.tensor(X + 1, requires_grad=True)
    assert not fg.func.grad(mixed)(x).requires_grad
    assert not any(t.requires_grad for t in fg.func.vjp(vector, x)[1](x))
    assert not fg.func.hessian(mixed)(x).requires_grad and not fg.func.jvp(vector, (x,), (x,))[1].requires_grad
    g = fg.func.grad(lambda a: (a * a * w).sum())(x)
    g.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * X)
    w.grad = None
    fg.func.grad(lambda a: (a**3).sum())(w).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 6 * (X + 1))
    with fg.no_grad():
        g = fg.func.grad(lambda a: (a**2).sum())(w)
    assert not g.requires_grad and g.tolist() == (2 * w).tolist()


# ---- networks


def mlp(m):
    nn = m.nn
    m.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def mlp_loss(m, net):
    def loss(params, x, y):
        out = m.func.functional_call(net, params, (x.unsqueeze(0),))
        return m.nn.functional.cross_entropy(out, y.unsqueeze(0))

    return loss


def per_sample(m, b, y):
    net = mlp(m)
    params = {k: v.detach() for k, v in net.named_parameters()}
    return m.func.vmap(m.func.grad(mlp_loss(m, net)), in_dims=(None, 0, 0))(params, b, y)


def mlp_hessian(m, b, y):
    net = mlp(m)
    params = {k: v.detach() for k, v in net.named_parameters() if "2" in k}
    return m.func.hessian(lambda p: m.nn.functional.cross_entropy(m.func.functional_call(net, p, (b,)), y))(params)


def meta_gradient(m, b, y):
    """One step of gradient descent for each task inside, differentiated from outside."""
    net = mlp(m)
    params = {k: v.detach() for k, v in net.named_parameters()}
    loss = mlp_loss(m, net)

    def after_a_step(p, x, y):
        found = m.func.grad(loss)(p, x, y)
        return loss({k: p[k] - 0.1 * found[k] for k in p}, x, y)

    return m.func.grad(lambda p: m.func.vmap(after_a_step, in_dims=(None, 0, 0))(p, b, y).mean())(params)


def ensemble(m, b, y):
    m.manual_seed(1)
    models = [m.nn.Linear(3, 2).double() for _ in range(3)]
    params, buffers = m.func.stack_module_state(models)
    out = m.func.vmap(lambda p, q, x: m.func.functional_call(models[0], (p, q), (x,)), in_dims=(0, 0, None))(
        params, buffers, b
    )
    return out, params, [p.requires_grad for p in params.values()]


@pytest.mark.parametrize("call", [per_sample, mlp_hessian, meta_gradient, ensemble], ids=lambda f: f.__name__)
def test_networks_as_torch(torch, call):
    assert compare(torch, call, BATCH, LABELS, rtol=1e-6) is None


def test_per_sample_gradients_equal_a_loop():
    net = mlp(fg)
    found = per_sample(fg, fg.tensor(BATCH), fg.tensor(LABELS))
    for i in range(4):
        net.zero_grad()
        fg.nn.functional.cross_entropy(net(fg.tensor(BATCH[i : i + 1])), fg.tensor(LABELS[i : i + 1])).backward()
        for name, p in net.named_parameters():
            np.testing.assert_allclose(found[name][i].numpy(), p.grad.numpy(), rtol=1e-9, atol=1e-12)


# ---- functional_call

CALLS = {
    "call": lambda m, n, x: m.func.functional_call(n, {"weight": n.weight * 2, "bias": n.bias}, x),
    "partly": lambda m, n, x: m.func.functional_call(n, {"weight": n.weight * 2}, (x,)),
    "tuples": lambda m, n, x: m.func.functional_call(n, [{"weight": n.weight * 2}, {"bias": n.bias * 0}], x),
    "keywords": lambda m, n, x: m.func.functional_call(n, {}, kwargs={"input": x}),
    "unknown": lambda m, n, x: m.func.functional_call(n, {"foo": n.weight}, x),
    "stateless": lambda m, n, x: m.nn.utils.stateless.functional_call(n, {"bias": n.bias * 3}, (x,)),
    "strict": lambda m, n, x: m.func.functional_call(n, {"weight": n.weight}, x, strict=True),
    "strict_unknown": lambda m, n, x: m.func.functional_call(n, {"foo": n.weight}, x, strict=True),
    "twice": lambda m, n, x: m.func.functional_call(n, [{"weight": n.weight}, {"weight": n.bias}], x),
    "kind": lambda m, n, x: m.func.functional_call(n, 3, x),
    "value": lambda m, n, x: m.func.functional_call(n, {"weight": 3}, x),
    "stack_none": lambda m, n, x: m.func.stack_module_state([]),
    "stack_mixed": lambda m, n, x: m.func.stack_module_state([n, m.nn.ReLU()]),
    "stack_modes": lambda m, n, x: m.func.stack_module_state([n, m.nn.Linear(3, 2).eval()]),
    "stack_shapes": lambda m, n, x: m.func.stack_module_state([n, m.nn.Linear(3, 3)]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_functional_call_as_torch(torch, call):
    def run(m, x):
        m.manual_seed(0)
        return call(m, m.nn.Linear(3, 2).double(), x)

    compare(torch, run, X)


def test_functional_call_leaves_the_module_alone():
    net = fg.nn.Linear(3, 2)
    own = net.weight
    with pytest.raises(RuntimeError):
        fg.func.functional_call(net, {"weight": fg.ones(2, 7)}, fg.ones(3))
    assert net.weight is own
    tied = fg.nn.Sequential(fg.nn.Linear(2, 2, bias=False), fg.nn.Linear(2, 2, bias=False))
    tied[1].weight = tied[0].weight
    x = fg.ones(1, 2)
    twice = fg.func.functional_call(tied, {"0.weight": fg.eye(2) * 2}, x)
    assert twice.tolist() == [[4.0, 4.0]]
    once = fg.func.functional_call(tied, {"0.weight": fg.eye(2) * 2}, x, tie_weights=False)
    assert once.equal((2 * x) @ tied[1].weight.T)


def test_names():
    for name in fg.func.__all__:
        assert callable(getattr(fg.func, name))
    assert fg.vmap is fg.func.vmap
    with pytest.raises(AttributeError, match="functionalize"):
        fg.func.functionalize


@pytest.mark.parametrize("transform", ("jacfwd", "jacrev", "hessian"))
def test_derivatives_of_numbers(transform, torch):
    for f in (lambda x: x**3, lambda x: x.reshape(1) ** 3, lambda x: (x**3, {"a": x.sin()})):
        assert compare(torch, lambda m, x: getattr(m.func, transform)(f)(x), np.array(1.5)) is None
    assert compare(torch, lambda m, x: m.func.vmap(lambda s: s.clone().masked_fill_(s > 0, 1.0))(x), X) is None


@pytest.mark.parametrize("p", (0.0, 1.0))
def test_dropout_that_draws_nothing(p, torch):
    assert compare(torch, lambda m, x: m.func.vmap(lambda a: m.nn.functional.dropout(a, p))(x), BATCH) is None
    with pytest.raises(RuntimeError, match="random operation"):
        fg.func.vmap(lambda a: fg.nn.functional.dropout(a, 0.5))(fg.tensor(BATCH))


DISTRIBUTIONS = {
    "normal": lambda m, d, s: d.Normal(s, 1.0).log_prob(s + 1), "beta": lambda m, d, s: d.Beta(s + 1, 2.0).log_prob(s),
    "bernoulli": lambda m, d, s: d.Bernoulli(s).entropy(), "uniform": lambda m, d, s: d.Uniform(s, s + 1).log_prob(s),
    "categorical": lambda m, d, s: d.Categorical(m.stack([s, 1 - s])).log_prob(m.tensor(1)),
    "divergence": lambda m, d, s: d.kl_divergence(d.Normal(s, 1.0), d.Normal(0.0, s)),
}


@pytest.mark.parametrize("f", DISTRIBUTIONS.values(), ids=list(DISTRIBUTIONS))
def test_checks_of_distributions_hold_for_all_examples(f, torch):
    values = np.array([0.7, 0.2])
    assert compare(torch, lambda m, x: m.func.vmap(lambda s: f(m, m.distributions, s))(x), values) is None
    assert compare(torch, lambda m, x: m.func.vmap(m.func.grad(lambda s: f(m, m.distributions, s)))(x), values) is None
    with pytest.raises(ValueError, match="constraint"):
        fg.func.vmap(lambda s: fg.distributions.Normal(0.0, s))(fg.tensor([1.0, -1.0]))


# ---- forward mode


def test_jvp_runs_in_forward_mode():
    seen = []

    def f(a):
        seen.append(a.requires_grad)
        return a.sin()

    x = fg.tensor(X)
    y, t = fg.func.jvp(f, (x,), (x,))
    assert seen == [False] and not y.requires_grad
    np.testing.assert_allclose(t.numpy(), X * np.cos(X))


FORWARD = {
    "jvp_of_jvp": lambda m, x, b: m.func.jvp(lambda a: m.func.jvp(vector, (a,), (a * 2,))[1], (x,), (x + 1,)),
    "jvp_of_grad": lambda m, x, b: m.func.jvp(m.func.grad(mixed), (x,), (x + 1,)),
    "jvp_of_vjp": lambda m, x, b: m.func.jvp(lambda a: m.func.vjp(vector, a)[1](a)[0], (x,), (x + 1,)),
    "jvp_of_hessian": lambda m, x, b: m.func.jvp(m.func.hessian(mixed), (x,), (x + 1,)),
    "jvp_of_jacfwd": lambda m, x, b: m.func.jvp(m.func.jacfwd(vector), (x,), (x + 1,)),
    "grad_of_jvp": lambda m, x, b: m.func.grad(lambda a: m.func.jvp(vector, (a,), (a * 2,))[1].sum())(x),
    "grad_of_jvp_of_grad": lambda m, x, b: m.func.grad(
        lambda a: m.func.jvp(m.func.grad(mixed), (a,), (x,))[1].sum())(x),
    "hessian_of_jvp": lambda m, x, b: m.func.hessian(lambda a: m.func.jvp(mixed, (a,), (x,))[1])(x),
    "jvp_three_deep": lambda m, x, b: m.func.jvp(lambda a: m.func.jvp(
        lambda c: m.func.jvp(vector, (c,), (x,))[1], (a,), (x,))[1], (x,), (x,)),
    "levels_do_not_mix": lambda m, x, b: m.func.jvp(lambda a: a * m.func.jvp(lambda c: a * c, (x,), (x + 1,))[1],
                                                    (x,), (x + 2,)),
    "jvp_of_vmap": lambda m, x, b: m.func.jvp(m.func.vmap(mixed), (b,), (b + 1,)),
    "jvp_of_vmap_grad": lambda m, x, b: m.func.jvp(m.func.vmap(m.func.grad(mixed)), (b,), (b + 1,)),
    "vmap_jvp_shared_tangent": lambda m, x, b: m.func.vmap(lambda a: m.func.jvp(vector, (a,), (x,)))(b),
    "vmap_jvp_of_grad": lambda m, x, b: m.func.vmap(lambda v: m.func.jvp(m.func.grad(mixed), (x,), (v,))[1])(b),
    "vmap_vmap_jvp": lambda m, x, b: m.func.vmap(lambda a: m.func.vmap(
        lambda v: m.func.jvp(vector, (a,), (v,))[1])(b))(b),
    "vmap_jvp_jvp": lambda m, x, b: m.func.vmap(lambda a: m.func.jvp(
        lambda c: m.func.jvp(vector, (c,), (a,))[1], (x,), (a,)))(b),
    "vmap_jvp_unused": lambda m, x, b: m.func.vmap(lambda a: m.func.jvp(lambda c: (c * 2, x), (a,), (a,))[1][0])(b),
    "jvp_in_place": lambda m, x, b: m.func.jvp(lambda a: a.clone().mul_(a).add_(a), (x,), (x + 1,)),
    "jvp_matrix": lambda m, x, b: m.func.jvp(lambda a: (a @ a.T).tanh().softmax(-1), (b,), (b + 1,)),
    "jvp_two": lambda m, x, b: m.func.jvp(lambda a, c: (a * c, {"s": a.sum()}), (x, x + 1), (x, x * 2)),
}


@pytest.mark.parametrize("call", FORWARD.values(), ids=list(FORWARD))
def test_forward_mode_as_torch(torch, call):
    assert compare(torch, call, X, BATCH) is None


def test_jvp_is_recorded_for_the_outside():
    x, w = fg.tensor(X), fg.tensor(X + 1, requires_grad=True)
    fg.func.jvp(lambda a: a * a * w, (x,), (x,))[1].sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * X * X)
    w.grad = None
    fg.func.jvp(lambda a: a**3, (w,), (x,))[1].sum().backward()  # of 3 w^2 x
    np.testing.assert_allclose(w.grad.numpy(), 6 * (X + 1) * X)
    v = fg.tensor(X, requires_grad=True)
    fg.func.jvp(lambda a: a**2, (x,), (v,))[1].sum().backward()
    np.testing.assert_allclose(v.grad.numpy(), 2 * X)
