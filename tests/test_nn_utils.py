"""nn.utils against torch: norms of weights, parametrizations, clipping, vectors of parameters, fusion."""
import copy
import pickle
import warnings

import pytest

import fastgrad as fg
from fastgrad import nn
from fastgrad.nn.utils import parametrize
from pairs import ours, pair, same, same_error, same_run


def quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def layer(m):
    return m.nn.Bilinear(3, 4, 2)


# ---- weight_norm and spectral_norm, as hooks and as parametrizations

@pytest.mark.parametrize("dim", [0, 1, 2, None])
@pytest.mark.parametrize("where", ["hook", "parametrization"])
def test_weight_norm(torch, where, dim):
    def make(m):
        functions = m.nn.utils if where == "hook" else m.nn.utils.parametrizations
        return functions.weight_norm(layer(m), name="weight", dim=dim)

    mine, theirs = pair(torch, make, equal=False)
    inputs = torch.randn(5, 3, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    same_run(torch, mine, theirs, inputs)
    if where == "hook":
        nn.utils.remove_weight_norm(mine), torch.nn.utils.remove_weight_norm(theirs)
    else:
        for m, module in ((fg, mine), (torch, theirs)):
            m.nn.utils.parametrize.remove_parametrizations(module, "weight")
    assert repr(mine) == repr(theirs) and list(mine.state_dict()) == list(theirs.state_dict())
    same(mine.weight, theirs.weight)


def test_weight_norm_of_a_vector(torch):
    mine, theirs = pair(torch, lambda m: m.nn.utils.parametrizations.weight_norm(m.nn.Linear(3, 2), "bias"))
    same_run(torch, mine, theirs, (torch.randn(2, 3),))


def test_weight_norm_reads_old_names(torch):
    source, old = pair(torch, lambda m: quiet(lambda: m.nn.utils.weight_norm(m.nn.Linear(3, 2))), equal=False)
    target, reference = pair(torch, lambda m: m.nn.utils.parametrizations.weight_norm(m.nn.Linear(3, 2)), seed=3,
                             equal=False)
    assert str(target.load_state_dict(source.state_dict())) == str(reference.load_state_dict(old.state_dict()))
    same(target.weight, reference.weight)


@pytest.mark.parametrize("options", [{}, {"n_power_iterations": 3, "dim": 1}, {"eps": 0.1}])
@pytest.mark.parametrize("where", ["hook", "parametrization"])
def test_spectral_norm(torch, where, options):
    def make(m):
        functions = m.nn.utils if where == "hook" else m.nn.utils.parametrizations
        return functions.spectral_norm(layer(m), **options)

    mine, theirs = pair(torch, make, equal=False)
    for _ in range(2):
        mine.zero_grad(), theirs.zero_grad()
        inputs = torch.randn(5, 3, requires_grad=True), torch.randn(5, 4, requires_grad=True)
        same_run(torch, mine, theirs, inputs)
    mine.eval(), theirs.eval()
    same_run(torch, mine, theirs, (torch.randn(5, 3), torch.randn(5, 4)), tolerance=1e-4)
    for name, value in theirs.state_dict().items():
        same(mine.state_dict()[name], value)
    if where == "hook":
        again = nn.utils.spectral_norm(layer(fg), **options)
        again.load_state_dict(mine.state_dict())
        nn.utils.remove_spectral_norm(mine), torch.nn.utils.remove_spectral_norm(theirs)
        assert list(mine.state_dict()) == list(theirs.state_dict())
        same(mine.weight, theirs.weight)


def test_spectral_norm_of_a_vector(torch):
    mine, theirs = pair(torch, lambda m: m.nn.utils.parametrizations.spectral_norm(m.nn.Linear(3, 2), "bias"))
    same_run(torch, mine, theirs, (torch.randn(2, 3),))


@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder", None])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_orthogonal(torch, shape, kind, trivial):
    def make(m):
        layer = m.nn.Linear(*shape[::-1], dtype=m.float64)
        return m.nn.utils.parametrizations.orthogonal(layer, orthogonal_map=kind, use_trivialization=trivial)

    if not trivial and (kind in ("matrix_exp", "cayley") or kind is None and shape == (4, 4)):
        # Nothing can be assigned then, and the weight starts as the map of what it was.
        mine, theirs = pair(torch, make)
        same_error(torch, lambda m: setattr(mine if m is fg else theirs, "weight", m.eye(*shape, dtype=m.float64)))
    else:
        mine, theirs = pair(torch, make, equal=False)
        for m, module in ((fg, mine), (torch, theirs)):
            m.manual_seed(2)
            module.weight = m.eye(*shape, dtype=m.float64)
    weight = mine.weight.detach()
    gram = weight @ weight.T if shape[0] < shape[1] else weight.T @ weight
    assert fg.allclose(gram, fg.eye(min(shape), dtype=fg.float64), atol=1e-10)
    same_run(torch, mine, theirs, (torch.randn(2, shape[1], dtype=torch.float64, requires_grad=True),), tolerance=1e-8)


def test_orthogonal_batches(torch):
    found = []
    for m in (fg, torch):
        m.manual_seed(0)
        module = m.nn.Module()
        module.weight = m.nn.Parameter(m.randn(2, 4, 3, dtype=m.float64))
        m.nn.utils.parametrizations.orthogonal(module)
        module.weight.pow(3).sum().backward()
        found.append((module.weight, module.parametrizations.weight.original.grad))
    same(*found, 1e-8)


def twice(m, function):
    quiet(lambda: function(function(m.nn.Linear(2, 2))))


NORM_ERRORS = {
    "weight_norm twice": lambda m: twice(m, m.nn.utils.weight_norm),
    "spectral_norm twice": lambda m: twice(m, m.nn.utils.spectral_norm),
    "no weight_norm": lambda m: m.nn.utils.remove_weight_norm(m.nn.Linear(2, 2)),
    "no spectral_norm": lambda m: m.nn.utils.remove_spectral_norm(m.nn.Linear(2, 2)),
    "iterations": lambda m: m.nn.utils.spectral_norm(m.nn.Linear(2, 2), n_power_iterations=0),
    "iterations of parametrization": lambda m: m.nn.utils.parametrizations.spectral_norm(
        m.nn.Linear(2, 2), n_power_iterations=0),
    "dim": lambda m: m.nn.utils.parametrizations.spectral_norm(m.nn.Linear(2, 2), dim=2),
    "name": lambda m: m.nn.utils.parametrizations.spectral_norm(m.nn.Linear(2, 2), "gain"),
    "orthogonal of a vector": lambda m: m.nn.utils.parametrizations.orthogonal(m.nn.Linear(2, 2), "bias"),
    "orthogonal map": lambda m: m.nn.utils.parametrizations.orthogonal(m.nn.Linear(2, 2), orthogonal_map="qr"),
    "orthogonal shape": lambda m: setattr(m.nn.utils.parametrizations.orthogonal(m.nn.Linear(2, 2)), "weight",
                                          m.ones(3, 2)),
    "no weight": lambda m: m.nn.utils.spectral_norm(m.nn.Linear(2, 2, bias=False), "bias"),
    "lazy": lambda m: quiet(lambda: m.nn.utils.weight_norm(m.nn.LazyLinear(2))),
    "lazy spectral": lambda m: m.nn.utils.spectral_norm(m.nn.LazyLinear(2)),
}


@pytest.mark.parametrize("name", NORM_ERRORS)
def test_norm_errors(torch, name):
    mine, theirs = same_error(torch, NORM_ERRORS[name])
    assert mine == theirs


# ---- parametrize

def parametrizations(m):
    class Symmetric(m.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, x):
            return x.triu()

    class Exponential(m.nn.Module):
        def forward(self, x):
            return x.exp()

        def right_inverse(self, x):
            return x.log()

    class Product(m.nn.Module):
        def forward(self, a, b):
            return a @ b

        def right_inverse(self, x):
            return x.clone(), m.eye(x.size(-1))

    class Wrong(m.nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.kind = kind

        def forward(self, x):
            return {"shape": lambda: x[0], "dtype": lambda: x.double(), "type": lambda: 3}[self.kind]()

    return Symmetric, Exponential, Product, Wrong


def test_parametrize(torch):
    found = []
    for m in (fg, torch):
        symmetric, exponential, _, _ = parametrizations(m)
        m.manual_seed(0)
        module = m.nn.Linear(3, 3)
        with m.no_grad():
            module.weight.abs_()
        functions = m.nn.utils.parametrize
        functions.register_parametrization(module, "weight", exponential())
        functions.register_parametrization(module, "weight", symmetric())
        module.weight = m.ones(3, 3) * 2
        out = module(m.ones(2, 3))
        out.sum().backward()
        found.append((repr(module), list(module.state_dict()), functions.is_parametrized(module),
                      functions.is_parametrized(module, "bias"),
                      functions.type_before_parametrizations(module).__name__,
                      type(module).__name__, out, module.parametrizations.weight.original,
                      module.parametrizations.weight.original.grad))
        clone = copy.deepcopy(module)
        assert clone(m.ones(2, 3)).tolist() == out.tolist()
        clone.weight = m.ones(3, 3) * 3
        assert module(m.ones(2, 3)).tolist() == out.tolist()
        with pytest.raises(RuntimeError, match="state_dict"):
            pickle.dumps(module)
    assert found[0][:6] == found[1][:6]
    same(found[0][6:], found[1][6:])


@pytest.mark.parametrize("leave", [True, False])
def test_remove_parametrizations(torch, leave):
    for m in (fg, torch):
        symmetric = parametrizations(m)[0]
        module = m.nn.Linear(3, 3)
        weight = module.weight
        before = weight.tolist()
        m.nn.utils.parametrize.register_parametrization(module, "weight", symmetric())
        parametrized = module.weight.tolist()
        m.nn.utils.parametrize.remove_parametrizations(module, "weight", leave_parametrized=leave)
        assert module.weight is weight and type(module) is m.nn.Linear
        assert module.weight.tolist() == (parametrized if leave else weight.triu().tolist())
        assert before != parametrized and not m.nn.utils.parametrize.is_parametrized(module)
        assert isinstance(module.weight, m.nn.Parameter) and "parametrizations" not in dict(module.named_modules())


def test_parametrization_of_several_tensors(torch):
    found = []
    for m in (fg, torch):
        product = parametrizations(m)[2]
        m.manual_seed(0)
        module = m.nn.Linear(3, 2)
        m.nn.utils.parametrize.register_parametrization(module, "weight", product())
        out = module(m.ones(2, 3))
        out.sum().backward()
        originals = module.parametrizations.weight
        found.append((out, originals.original0.grad, originals.original1.grad))
        with pytest.raises(ValueError, match="leave_parametrized=False"):
            m.nn.utils.parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
        m.nn.utils.parametrize.remove_parametrizations(module, "weight")
        assert isinstance(module.weight, m.nn.Parameter)
    same(found[0], found[1])


def test_cached(torch):
    for m in (fg, torch):
        calls = []

        class Counting(m.nn.Module):
            def forward(self, x, calls=calls):
                calls.append(1)
                return x * 2

        module = m.nn.Linear(2, 2)
        m.nn.utils.parametrize.register_parametrization(module, "weight", Counting())
        calls.clear()
        with m.nn.utils.parametrize.cached():
            first = module.weight
            assert module.weight is first and len(calls) == 1
        assert module.weight is not first and len(calls) == 2


def test_transfer(torch):
    for m in (fg, torch):
        source, target = m.nn.Linear(3, 3), m.nn.Linear(3, 3)
        functions = m.nn.utils.parametrize
        functions.register_parametrization(source, "weight", parametrizations(m)[0]())
        functions.transfer_parametrizations_and_params(source, target)
        assert target.parametrizations.weight.original is source.parametrizations.weight.original
        assert target.weight.tolist() == source.weight.tolist()


def register(m, name, kind, unsafe=False, before=()):
    module = m.nn.Linear(3, 3)
    _, _, _, wrong = parametrizations(m)
    for parametrization in before:
        m.nn.utils.parametrize.register_parametrization(module, name, parametrization(m))
    return m.nn.utils.parametrize.register_parametrization(module, name, wrong(kind), unsafe=unsafe)


def identity(m):
    return m.nn.Identity()


PARAMETRIZE_ERRORS = {
    "name": lambda m: register(m, "gain", "shape"),
    "shape": lambda m: register(m, "weight", "shape"),
    "dtype": lambda m: register(m, "weight", "dtype"),
    "type": lambda m: register(m, "weight", "type"),
    "second shape": lambda m: register(m, "weight", "shape", before=(identity,)),
    "second dtype": lambda m: register(m, "weight", "dtype", before=(identity,)),
    "second type": lambda m: register(m, "weight", "type", before=(identity,)),
    "remove": lambda m: m.nn.utils.parametrize.remove_parametrizations(m.nn.Linear(2, 2), "weight"),
    "no inverse": lambda m: setattr(m.nn.utils.parametrize.register_parametrization(
        m.nn.Linear(2, 2), "weight", m.nn.Identity()), "weight", m.ones(2, 2)),
    "no modules": lambda m: m.nn.utils.parametrize.ParametrizationList([], m.ones(2)),
}


@pytest.mark.parametrize("name", PARAMETRIZE_ERRORS)
def test_parametrize_errors(torch, name):
    same_error(torch, PARAMETRIZE_ERRORS[name])


def test_unsafe_parametrization(torch):
    for m in (fg, torch):
        assert register(m, "weight", "dtype", unsafe=True).weight.dtype is m.float64


# ---- gradients and vectors

@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, float("inf"), 0.5])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clip_grad_norm(torch, norm_type, max_norm):
    grads = [torch.randn(3, 2), torch.randn(4)]
    found = []
    for m in (fg, torch):
        parameters = [m.nn.Parameter(m.zeros(3, 2)), m.nn.Parameter(m.zeros(4)), m.nn.Parameter(m.zeros(2))]
        for parameter, grad in zip(parameters, grads):
            parameter.grad = grad.clone() if m is torch else ours(grad)
        total = m.nn.utils.clip_grad_norm_(iter(parameters), max_norm, norm_type=norm_type, foreach=False)
        found.append((total, parameters[0].grad, parameters[1].grad, parameters[2].grad))
    same(*found)


def test_clipping(torch):
    grads = torch.tensor([3.0, -4.0])
    for m in (fg, torch):
        utils, p = m.nn.utils, m.nn.Parameter(m.zeros(2))
        p.grad = m.tensor([3.0, -4.0])
        assert utils.get_total_norm([p.grad]).item() == 5.0 and utils.get_total_norm([]).item() == 0.0
        assert utils.get_total_norm(p.grad, norm_type=1.0).item() == 7.0
        utils.clip_grads_with_norm_(p, 2.5, m.tensor(5.0))
        assert p.grad.tolist() == pytest.approx([1.5, -2.0])
        utils.clip_grad_value_([p], clip_value=1.75)
        assert p.grad.tolist() == pytest.approx([1.5, -1.75])
        with pytest.warns(FutureWarning, match="clip_grad_norm"):
            utils.clip_grad_norm(p, 1.0)
        p.grad = m.tensor([float("nan"), 1.0])
        with pytest.raises(RuntimeError, match="non-finite"):
            utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
        utils.clip_grad_norm_(p, 1.0)
        assert p.grad.isnan().all()
    same(ours(grads), grads)


def test_vectors(torch):
    mine, theirs = pair(torch, lambda m: m.nn.Linear(3, 2))
    for m, module in ((fg, mine), (torch, theirs)):
        vector = m.nn.utils.parameters_to_vector(module.parameters())
        assert vector.requires_grad and vector.numel() == 8
        m.nn.utils.vector_to_parameters(m.arange(8.0), module.parameters())
        assert module.weight.tolist() == [[0, 1, 2], [3, 4, 5]] and module.bias.tolist() == [6, 7]
        with pytest.raises(TypeError, match="expected torch.Tensor"):
            m.nn.utils.vector_to_parameters([1.0], module.parameters())


def test_skip_init(torch):
    for m in (fg, torch):
        m.manual_seed(3)
        module = m.nn.utils.skip_init(m.nn.Linear, 3, 2, bias=False)
        assert tuple(module.weight.shape) == (2, 3) and isinstance(module.weight, m.nn.Parameter)
        drawn = m.rand(1).item()
        m.manual_seed(3)
        assert m.rand(1).item() == drawn
        with pytest.raises(RuntimeError, match="device"):
            m.nn.utils.skip_init(m.nn.ReLU)
        with pytest.raises(RuntimeError, match="Expected a Module"):
            m.nn.utils.skip_init(int)


def test_fused_weights(torch):
    generator = torch.Generator().manual_seed(0)
    weight, bias, mean, gamma, beta = (torch.randn(s, generator=generator) for s in ((4, 3, 2), (4,), (4,), (4,), (4,)))
    var = torch.rand(4, generator=generator)
    for bias_, gamma_, beta_ in ((bias, gamma, beta), (None, None, None)):
        args = weight, bias_, mean, var, 1e-3, gamma_, beta_
        same(nn.utils.fuse_conv_bn_weights(*ours(args)), torch.nn.utils.fuse_conv_bn_weights(*args))
    args = weight.transpose(0, 1).contiguous(), bias, mean, var, 1e-3, gamma, beta
    same(nn.utils.fuse_conv_bn_weights(*ours(args), transpose=True),
         torch.nn.utils.fuse_conv_bn_weights(*args, transpose=True))
    args = weight[:, :, 0], bias, mean, var, 1e-3, gamma, beta
    same(nn.utils.fuse_linear_bn_weights(*ours(args)), torch.nn.utils.fuse_linear_bn_weights(*args))


def test_left_out_names_say_so():
    for name in ("prune", "convert_conv2d_weight_memory_format"):
        with pytest.raises(AttributeError, match=f"{name} is not part"):
            getattr(nn.utils, name)
    with pytest.raises(AttributeError, match="no attribute 'clip_gradients'"):
        nn.utils.clip_gradients  # noqa: B018
    assert parametrize is nn.utils.parametrize
