"""Modules and functional: against torch where it is there, plus what a Module promises."""
import copy
import gc
import pickle
import warnings
import weakref
from collections import OrderedDict

import pytest

import fastgrad as fg
from fastgrad import nn
from fastgrad.nn import functional as F


def assert_same(ours, theirs, tolerance=2e-6):
    """Equal shape and dtype, values within a tolerance."""
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    ours, theirs = ours.detach().double().reshape(-1).tolist(), theirs.detach().double().reshape(-1).tolist()
    assert ours == pytest.approx(theirs, rel=tolerance, abs=tolerance, nan_ok=True)


def both(torch, data, grad=False, dtype="float32"):
    """The same numbers as a tensor of ours and of torch's."""
    made = []
    for library in (fg, torch):
        tensor = library.tensor(data, dtype=getattr(library, dtype))
        made.append(tensor.requires_grad_() if grad else tensor)
    return made


def numbers(torch, *shape, seed=0, low=-2.0, high=2.0):
    """Nested lists of random numbers."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low).tolist()


ACTIVATIONS = [
    ("Threshold", (0.1, 20.0)), ("ReLU", ()), ("Hardtanh", ()), ("Hardtanh", (-0.5, 0.7)), ("ReLU6", ()),
    ("Sigmoid", ()), ("Hardsigmoid", ()), ("Tanh", ()), ("SiLU", ()), ("Mish", ()), ("Hardswish", ()),
    ("ELU", ()), ("ELU", (0.5,)), ("CELU", (0.7,)), ("SELU", ()), ("GLU", ()), ("GLU", (0,)), ("GELU", ()),
    ("GELU", ("tanh",)), ("Hardshrink", ()), ("LeakyReLU", ()), ("LeakyReLU", (0.2,)), ("LogSigmoid", ()),
    ("Softplus", ()), ("Softplus", (2.0, 1.0)), ("Softshrink", ()), ("PReLU", ()), ("Softsign", ()),
    ("Tanhshrink", ()), ("Softmin", (1,)), ("Softmax", (1,)), ("Softmax", (0,)), ("LogSoftmax", (-1,)),
    ("RReLU", ())]


@pytest.mark.parametrize("name, args", ACTIVATIONS, ids=[f"{n}{a}" for n, a in ACTIVATIONS])
def test_activation(torch, name, args):
    ours, theirs = getattr(nn, name)(*args).eval(), getattr(torch.nn, name)(*args).eval()
    assert repr(ours) == repr(theirs)
    x, tx = both(torch, numbers(torch, 6, 8), grad=True)
    y, ty = ours(x), theirs(tx)
    assert_same(y, ty)
    weights, tweights = both(torch, numbers(torch, *ty.shape, seed=1))
    (y * weights).sum().backward()
    (ty * tweights).sum().backward()
    assert_same(x.grad, tx.grad)


@pytest.mark.parametrize("name", ["ReLU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "ELU", "CELU", "SELU",
                                  "LeakyReLU", "Hardtanh", "ReLU6", "RReLU"])
def test_activation_in_place(torch, name):
    module = getattr(nn, name)(inplace=True).eval()
    x, tx = both(torch, numbers(torch, 3, 4))
    assert module(x) is x
    assert_same(x, getattr(torch.nn, name)(inplace=True).eval()(tx))


LOSSES = [
    ("MSELoss", {}), ("L1Loss", {}), ("SmoothL1Loss", {"beta": 0.7}), ("SmoothL1Loss", {"beta": 0.0}),
    ("HuberLoss", {"delta": 0.6}), ("PoissonNLLLoss", {}), ("PoissonNLLLoss", {"log_input": False, "full": True}),
    ("SoftMarginLoss", {}), ("HingeEmbeddingLoss", {"margin": 0.5}), ("KLDivLoss", {}),
    ("KLDivLoss", {"log_target": True}), ("BCEWithLogitsLoss", {}), ("BCELoss", {}), ("MultiLabelSoftMarginLoss", {})]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name, options", LOSSES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(LOSSES)])
@pytest.mark.filterwarnings("ignore:reduction")
def test_loss(torch, name, options, reduction):
    positive = name in ("BCELoss",) or not options.get("log_input", True)
    target = numbers(torch, 5, 4, seed=1, low=0.05, high=0.95)
    if name in ("SoftMarginLoss", "HingeEmbeddingLoss"):
        target = [[1.0 if value > 0.5 else -1.0 for value in row] for row in target]
    x, tx = both(torch, numbers(torch, 5, 4, low=0.05 if positive else -2, high=0.95 if positive else 2), grad=True)
    y, ty = both(torch, target)
    ours, theirs = (getattr(library.nn, name)(reduction=reduction, **options) for library in (fg, torch))
    loss, tloss = ours(x, y), theirs(tx, ty)
    assert_same(loss, tloss)
    loss.sum().backward()
    tloss.sum().backward()
    assert_same(x.grad, tx.grad)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(6, 5), (5,), (2, 5, 3)])
def test_cross_entropy(torch, shape, smoothing, weighted, reduction):
    x, tx = both(torch, numbers(torch, *shape), grad=True)
    classes = shape[0] if len(shape) == 1 else shape[1]
    places = () if len(shape) == 1 else shape[:1] + shape[2:]
    target = torch.randint(classes, places, generator=torch.Generator().manual_seed(3))
    if places:
        target.view(-1)[1] = -100
    weight, tweight = both(torch, numbers(torch, classes, seed=2, low=0.1)) if weighted else (None, None)
    y = fg.tensor(target.tolist(), dtype=fg.int64)
    loss = F.cross_entropy(x, y, weight, reduction=reduction, label_smoothing=smoothing)
    tloss = torch.nn.functional.cross_entropy(tx, target, tweight, reduction=reduction, label_smoothing=smoothing)
    assert_same(loss, tloss)
    loss.sum().backward()
    tloss.sum().backward()
    assert_same(x.grad, tx.grad)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_of_probabilities(torch, smoothing, reduction):
    x, tx = both(torch, numbers(torch, 4, 5, 2), grad=True)
    y, ty = both(torch, numbers(torch, 4, 5, 2, seed=1, low=0.0, high=1.0))
    weight, tweight = both(torch, numbers(torch, 5, seed=2, low=0.1))
    options = {"reduction": reduction, "label_smoothing": smoothing}
    loss = F.cross_entropy(x, y, weight, **options)
    tloss = torch.nn.functional.cross_entropy(tx, ty, tweight, **options)
    assert_same(loss, tloss)
    loss.sum().backward()
    tloss.sum().backward()
    assert_same(x.grad, tx.grad)


def test_cross_entropy_records_nll_loss():
    loss = F.cross_entropy(fg.zeros(3, 4, requires_grad=True), fg.tensor([0, 1, 2]))
    assert type(loss.grad_fn).__name__ == "NllLossBackward0"


def test_margin_losses(torch):
    def compare(name, *data, **options):
        pairs = [both(torch, entry) if isinstance(entry[0], (float, list)) else entry for entry in data]
        ours = getattr(F, name)(*(pair[0] for pair in pairs), **options)
        theirs = getattr(torch.nn.functional, name)(*(pair[1] for pair in pairs), **options)
        assert_same(ours, theirs)

    def index(*data):
        return both(torch, list(data), dtype="int64")

    a, b, c = (numbers(torch, 4, 5, seed=i) for i in range(3))
    signs = [1.0, -1.0, -1.0, 1.0]
    for reduction in ("mean", "sum", "none"):
        compare("margin_ranking_loss", a[0], b[0], [1.0, -1.0, 1.0, 1.0, -1.0], margin=0.3, reduction=reduction)
        compare("cosine_embedding_loss", a, b, signs, margin=0.1, reduction=reduction)
        compare("triplet_margin_loss", a, b, c, swap=True, reduction=reduction)
        compare("triplet_margin_with_distance_loss", a, b, c, reduction=reduction)
        compare("multi_margin_loss", a, index(0, 4, 2, 2), p=2, margin=0.7, reduction=reduction)
        compare("multi_margin_loss", a, index(0, 4, 2, 2), weight=None, reduction=reduction)
        labels = index([3, 0, -1, 1, 2], [1, -1, 0, 0, 0], [-1, 0, 0, 0, 0], [0, 1, 2, 3, 4])
        compare("multilabel_margin_loss", a, labels, reduction=reduction)
        compare("gaussian_nll_loss", a, b, numbers(torch, 4, 5, seed=5, low=0.1), full=True, reduction=reduction)


def test_loss_errors():
    x = fg.zeros(3, 2)
    with pytest.raises(ValueError, match="median is not a valid value for reduction"):
        F.mse_loss(x, x, reduction="median")
    with pytest.raises(ValueError, match="Using a target size"):
        F.binary_cross_entropy(x, fg.zeros(3))
    with pytest.raises(ValueError, match="must be the same as input size"):
        F.binary_cross_entropy_with_logits(x, fg.zeros(3))
    with pytest.warns(UserWarning, match="Using a target size"):
        F.mse_loss(x, fg.zeros(3, 1))
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert nn.MSELoss(size_average=False).reduction == "sum"
    with pytest.raises(RuntimeError, match="Expected floating point type for target"):
        F.cross_entropy(x, fg.zeros(3, 2, dtype=fg.int64))


def test_normalisation(torch):
    x, tx = both(torch, numbers(torch, 4, 6, 5), grad=True)
    for name, args, options in [("LayerNorm", (5,), {}), ("LayerNorm", ([6, 5],), {"bias": False}),
                                ("RMSNorm", (5,), {}), ("RMSNorm", ((6, 5),), {"eps": 1e-3}), ("GroupNorm", (3, 6), {}),
                                ("LayerNorm", (5,), {"elementwise_affine": False})]:
        ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        x.grad = tx.grad = None
        y, ty = ours(x), theirs(tx)
        assert_same(y, ty, 1e-5)
        weights, tweights = both(torch, numbers(torch, 4, 6, 5, seed=1))
        (y * weights).sum().backward()
        (ty * tweights).sum().backward()
        assert_same(x.grad, tx.grad, 2e-5)


def test_functions(torch):
    TF = torch.nn.functional
    x, tx = both(torch, numbers(torch, 3, 4, 5))
    other, tother = both(torch, numbers(torch, 3, 4, 5, seed=1))
    assert_same(F.normalize(x, dim=1), TF.normalize(tx, dim=1))
    assert_same(F.cosine_similarity(x, other), TF.cosine_similarity(tx, tother))
    assert_same(F.pairwise_distance(x, other), TF.pairwise_distance(tx, tother))
    for pad, mode in [((1, 2), "constant"), ((1, 0, 2, 3), "constant"), ((-1, 2), "constant"), ((1, 2), "reflect"),
                      ((2, 2), "replicate"), ((1, 3), "circular")]:
        assert_same(F.pad(x, pad, mode), TF.pad(tx, pad, mode))
    index, tindex = both(torch, [[0, 2], [1, 1]], dtype="int64")
    assert_same(F.one_hot(index, 4), TF.one_hot(tindex, 4))
    for options in ({}, {"is_causal": True}, {"scale": 0.3}):
        assert_same(F.scaled_dot_product_attention(x, other, x, **options),
                    TF.scaled_dot_product_attention(tx, tother, tx, **options))
    fg.manual_seed(0)
    ours = nn.Bilinear(4, 5, 3)
    torch.manual_seed(0)
    theirs = torch.nn.Bilinear(4, 5, 3)
    x1, tx1 = both(torch, numbers(torch, 2, 4))
    x2, tx2 = both(torch, numbers(torch, 2, 5))
    assert_same(ours(x1, x2), theirs(tx1, tx2))
    assert repr(ours) == repr(theirs)


def test_embedding(torch):
    fg.manual_seed(1)
    ours = nn.Embedding(7, 3, padding_idx=-2, scale_grad_by_freq=True)
    torch.manual_seed(1)
    theirs = torch.nn.Embedding(7, 3, padding_idx=-2, scale_grad_by_freq=True)
    assert repr(ours) == repr(theirs)
    index, tindex = both(torch, [[0, 5, 1], [6, 1, 1]], dtype="int64")
    y, ty = ours(index), theirs(tindex)
    assert_same(y, ty)
    (y * y).sum().backward()
    (ty * ty).sum().backward()
    assert_same(ours.weight.grad, theirs.weight.grad)
    limited, tlimited = nn.Embedding(4, 3, max_norm=1.0), torch.nn.Embedding(4, 3, max_norm=1.0)
    with fg.no_grad():
        limited.weight.copy_(fg.tensor(tlimited.weight.tolist()))
    assert_same(limited(index % 4), tlimited(tindex % 4))
    assert_same(limited.weight, tlimited.weight)
    table = nn.Embedding.from_pretrained(fg.zeros(2, 3))
    assert not table.weight.requires_grad
    with pytest.raises(AssertionError, match="Padding_idx must be within num_embeddings"):
        nn.Embedding(3, 2, padding_idx=3)


@pytest.mark.parametrize("name, shape", [("Dropout", (20, 30)), ("Dropout1d", (4, 5, 6)), ("Dropout2d", (4, 5, 6, 2)),
                                         ("Dropout3d", (4, 5, 2, 2, 2)), ("AlphaDropout", (20, 30)),
                                         ("FeatureAlphaDropout", (4, 5, 6)), ("RReLU", (6, 7))])
def test_random_modules(torch, name, shape):
    x, tx = both(torch, numbers(torch, *shape), grad=True)
    ours, theirs = getattr(nn, name)(), getattr(torch.nn, name)()
    assert repr(ours) == repr(theirs)
    fg.manual_seed(5)
    y, after = ours(x), fg.rand(3).tolist()
    torch.manual_seed(5)
    ty = theirs(tx)
    assert after == torch.rand(3).tolist()
    assert_same(y, ty)
    y.sum().backward()
    ty.sum().backward()
    assert_same(x.grad, tx.grad)
    assert name == "RReLU" or ours.eval()(x).tolist() == x.tolist()


INITS = [("uniform_", (-1.0, 2.0)), ("normal_", (1.0, 2.0)), ("xavier_uniform_", (1.3,)), ("xavier_normal_", ()),
         ("kaiming_uniform_", (0.1,)), ("kaiming_normal_", (0, "fan_out", "relu")), ("trunc_normal_", ()),
         ("trunc_normal_", (0.0, 1.0, 1.5, 3.0)), ("orthogonal_", (2.0,)), ("sparse_", (0.3,)), ("eye_", ()),
         ("constant_", (2.5,)), ("ones_", ()), ("zeros_", ())]


@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
@pytest.mark.parametrize("name, args", INITS, ids=[f"{n}{a}" for n, a in INITS])
@pytest.mark.parametrize("shape", [(5, 7), (20, 6)])
def test_init(torch, name, args, shape):
    ours, theirs = fg.empty(shape), torch.empty(shape)
    fg.manual_seed(3)
    assert getattr(nn.init, name)(ours, *args) is ours
    after = fg.rand(2).tolist()
    torch.manual_seed(3)
    getattr(torch.nn.init, name)(theirs, *args)
    assert after == torch.rand(2).tolist()
    assert_same(ours, theirs, 4e-6)


def layers(n):
    return n.Sequential(n.Linear(3, 4), n.ReLU(), n.Linear(4, 2, bias=False), n.Embedding(5, 2, 1), n.LayerNorm(2))


def test_default_values_of_layers(torch):
    fg.manual_seed(0)
    ours = layers(nn)
    torch.manual_seed(0)
    theirs = layers(torch.nn)
    assert repr(ours) == repr(theirs)
    for (name, parameter), (other, tparameter) in zip(ours.named_parameters(), theirs.named_parameters()):
        assert name == other
        assert_same(parameter, tparameter, 1e-7)
    assert ours.state_dict()._metadata == theirs.state_dict()._metadata


# ---- Module

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.scale = nn.Parameter(fg.ones(3))
        self.register_buffer("shift", fg.zeros(3))
        self.register_buffer("cache", fg.zeros(3), persistent=False)
        self.none = None

    def forward(self, x, factor=1.0):
        return self.first(x) * self.scale * factor + self.shift


def test_attributes_go_to_their_registries():
    net = Net()
    assert list(net._parameters) == ["scale"] and list(net._modules) == ["first"]
    assert list(net._buffers) == ["shift", "cache"]
    assert [name for name, _ in net.named_parameters()] == ["scale", "first.weight", "first.bias"]
    assert [name for name, _ in net.named_modules()] == ["", "first"]
    assert list(net.state_dict()) == ["scale", "shift", "first.weight", "first.bias"]
    assert net.scale is net._parameters["scale"] and "scale" in dir(net)
    # The registries can be written to directly, attributes follow.
    new = nn.Parameter(fg.zeros(3))
    net._parameters["scale"] = new
    assert net.scale is new
    del net._parameters["scale"]
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'scale'"):
        net.scale
    net.scale = fg.zeros(3)
    assert "scale" not in net._parameters
    net.scale = new
    assert net._parameters["scale"] is new
    net.scale = None
    assert net._parameters["scale"] is None and net.scale is None
    del net.scale
    assert "scale" not in net._parameters and not hasattr(net, "scale")
    net._buffers.update(shift=fg.ones(3))
    assert net.shift.tolist() == [1.0, 1.0, 1.0]
    net._modules.pop("first")
    assert not hasattr(net, "first")
    net._parameters = OrderedDict(other=new)
    assert net.other is new


def test_wrong_assignments():
    net = Net()
    with pytest.raises(TypeError, match="cannot assign 'int' as parameter 'scale'"):
        net.scale = 3
    with pytest.raises(TypeError, match=r"cannot assign '.*Tensor' as parameter 'scale' \(torch.nn.Parameter or None"):
        net.scale = fg.zeros(3)
    with pytest.raises(TypeError, match="cannot assign 'str' as child module 'first'"):
        net.first = "x"
    with pytest.raises(TypeError, match="cannot assign 'int' as buffer 'shift'"):
        net.shift = 3
    with pytest.raises(KeyError, match="attribute 'scale' already exists"):
        net.register_buffer("scale", fg.zeros(1))
    with pytest.raises(KeyError, match="parameter name can.*t contain"):
        net.register_parameter("a.b", None)
    with pytest.raises(KeyError, match='empty string ""'):
        net.register_parameter("", None)
    with pytest.raises(TypeError, match="is not a Module subclass"):
        net.add_module("x", fg.zeros(1))
    with pytest.raises(ValueError, match="Cannot assign non-leaf Tensor to parameter 'x'"):
        parameter = nn.Parameter(fg.zeros(2), requires_grad=False)
        parameter.add_(fg.ones(2, requires_grad=True))
        net.register_parameter("x", parameter)

    class Early(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(fg.zeros(1))

    with pytest.raises(AttributeError, match=r"cannot assign parameters before Module.__init__\(\) call"):
        Early()
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        nn.Module(size=3)
    with pytest.raises(NotImplementedError, match='missing the required "forward" function'):
        nn.Module()(1)


def test_module_is_freed_at_once():
    net = Net()
    reference = weakref.ref(net)
    gc.disable()
    try:
        del net
        assert reference() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)), copy.copy])
def test_copies(clone):
    net = Net()
    other = clone(net)
    assert [name for name, _ in other.named_parameters()] == ["scale", "first.weight", "first.bias"]
    assert other.scale is other._parameters["scale"] and type(other.scale) is nn.Parameter
    assert other.first is other._modules["first"]
    other.scale = nn.Parameter(fg.zeros(3))
    assert net.scale.tolist() == [1.0, 1.0, 1.0] and net._parameters["scale"] is net.scale
    assert other(fg.ones(1, 2)).tolist() == [[0.0, 0.0, 0.0]]
    assert list(other.state_dict()) == list(net.state_dict())


def test_load_state_dict_errors():
    net = Net()
    assert str(net.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    state = net.state_dict()
    state["extra"] = fg.zeros(1)
    state["first.bias"] = fg.zeros(4)
    del state["scale"]
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    assert str(error.value).replace("fastgrad", "torch") == (
        'Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: "scale". '
        '\n\tUnexpected key(s) in state_dict: "extra". '
        "\n\tsize mismatch for first.bias: copying a param with shape torch.Size([4]) from checkpoint, "
        "the shape in current model is torch.Size([3]).")
    del state["first.bias"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["scale", "first.bias"] and result.unexpected_keys == ["extra"]
    assert list(result) == [["scale", "first.bias"], ["extra"]]
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like, got <class 'list'>."):
        net.load_state_dict([])
    value = fg.full((3,), 2.0)
    net.load_state_dict({**net.state_dict(), "scale": value}, assign=True)
    assert type(net.scale) is nn.Parameter and net.scale.data_ptr() == value.data_ptr()


def test_casts_and_modes():
    net = Net()
    weight = net.first.weight
    net(fg.ones(1, 2)).sum().backward()
    assert net.double() is net and net.first.weight is weight and weight.dtype == fg.float64
    assert weight.grad.dtype == fg.float64 and net.shift.dtype == fg.float64
    net.to(fg.float32)
    assert weight.dtype == weight.grad.dtype == fg.float32
    net.to("cpu", fg.float64).to(fg.zeros(1))
    assert weight.dtype == fg.float32
    with pytest.raises(TypeError, match="only accepts floating point or complex dtypes"):
        net.to(fg.int64)
    assert not net.eval().first.training and net.train().first.training
    with pytest.raises(ValueError, match="training mode is expected to be boolean"):
        net.train(1)
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_(True)
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    seen = []
    net.apply(seen.append)
    assert seen == [net.first, net]
    assert net.get_parameter("first.bias") is net.first.bias and net.get_buffer("shift") is net.shift
    with pytest.raises(AttributeError, match="Net has no attribute `second`"):
        net.get_submodule("second.x")


def test_forward_hooks():
    net, seen = Net(), []
    first = net.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    second = net.register_forward_hook(lambda module, args, out: seen.append(args[0].tolist()))
    third = net.register_forward_hook(lambda m, args, kwargs, out: out + kwargs["factor"], with_kwargs=True,
                                      prepend=True)
    x = fg.ones(1, 2)
    result = net(x, factor=2.0)
    assert seen == [[[2.0, 2.0]]]
    for handle in (first, second, third):
        handle.remove()
    expected = net.first(x * 2) * 2.0 + 2.0
    assert result[0].tolist() == pytest.approx(expected[0].tolist())
    net._forward_hooks[0] = lambda module, args, out: out * 0
    assert net(x).tolist() == [[0.0, 0.0, 0.0]]
    net._forward_hooks.clear()
    with net.register_forward_pre_hook(lambda module, args, kwargs: (args, {"factor": 0.0}), with_kwargs=True):
        assert net(x).tolist() == [[0.0, 0.0, 0.0]]
    assert net(x).tolist() != [[0.0, 0.0, 0.0]]
    always = []
    net.register_forward_hook(lambda module, args, out: always.append(out), always_call=True)
    with pytest.raises(RuntimeError):
        net(fg.ones(1, 5))
    assert always == [None]


def test_hooks_for_all_modules():
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda m, args, out: seen.append(type(m).__name__))
    Net()(fg.ones(1, 2))
    handle.remove()
    Net()(fg.ones(1, 2))
    assert seen == ["Linear", "Net"]


def test_full_backward_hooks(torch):
    results = []
    for library in (fg, torch):
        seen = []
        layer = library.nn.Linear(2, 2)
        with library.no_grad():
            layer.weight.copy_(library.tensor([[1.0, 2.0], [3.0, 4.0]]))

        def hook(module, grad_in, grad_out, seen=seen):
            seen.append([grad_in[0].tolist(), grad_out[0].tolist()])
            return (grad_in[0] * 10,)

        layer.register_full_backward_pre_hook(lambda module, grad_out: (grad_out[0] * 2,))
        layer.register_full_backward_hook(hook)
        x = library.ones(1, 2, requires_grad=True)
        layer(x).sum().backward()
        results.append([seen, x.grad.tolist(), layer.weight.grad.tolist()])
        with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks on a"):
            layer.register_backward_hook(hook)
    assert results[0] == results[1]


def test_state_dict_hooks():
    net, order = Net(), []
    net.register_state_dict_pre_hook(lambda module, prefix, keep: order.append(("pre", prefix)))
    net.register_state_dict_post_hook(lambda module, state, prefix, meta: state.__delitem__("shift"))
    net.register_load_state_dict_pre_hook(
        lambda module, state, prefix, meta, strict, missing, unexpected, errors: state.update(shift=fg.ones(3)))
    net.register_load_state_dict_post_hook(lambda module, keys: order.append(keys.missing_keys))
    state = net.state_dict()
    assert "shift" not in state
    net.load_state_dict(state)
    assert net.shift.tolist() == [1.0, 1.0, 1.0] and order == [("pre", ""), []]


def test_containers(torch):
    def build(library):
        n = library.nn
        chain = n.Sequential(n.Linear(2, 2), n.ReLU())
        chain.append(n.Tanh())
        chain.insert(1, n.Sigmoid())
        by_name = n.Sequential(OrderedDict([("a", n.Linear(2, 2)), ("b", n.ReLU())]))
        by_name.append(n.Tanh())
        blocks = n.ModuleList([n.Linear(1, 1), n.Linear(1, 1), n.ReLU()])
        blocks += [n.ReLU()]
        blocks.insert(0, n.Identity())
        del blocks[1]
        named = n.ModuleDict({"x": n.Linear(1, 1)})
        named.update([("y", n.ReLU())])
        parameters = n.ParameterList([n.Parameter(library.zeros(2, 3)), library.zeros(1), 4])
        dictionary = n.ParameterDict({"b": n.Parameter(library.zeros(2)), "a": library.zeros(3)})
        return n.ModuleList([chain, by_name, by_name[1:], blocks, named, parameters, dictionary, chain[1:3],
                             n.Sequential(n.ReLU()) * 2])

    ours, theirs = build(fg), build(torch)
    assert repr(ours).replace("[fastgrad.", "[torch.") == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    chain = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    assert len(chain) == 3 and chain[-1] is chain[2] and isinstance(chain[:2], nn.Sequential)
    chain[0] = nn.Identity()
    del chain[1]
    assert [type(m).__name__ for m in chain] == ["Identity", "Sigmoid"] and list(chain._modules) == ["0", "1"]
    with pytest.raises(IndexError, match="index 5 is out of range"):
        chain[5]
    assert type(chain.pop(0)) is nn.Identity
    assert [type(m).__name__ for m in chain + nn.Sequential(nn.Tanh())] == ["Sigmoid", "Tanh"]
    values = nn.ParameterList([fg.zeros(1)])
    assert type(values[0]) is nn.Parameter and len(list(values.parameters())) == 1
    entries = nn.ParameterDict({"a": fg.zeros(1)})
    entries["b"] = fg.ones(1)
    assert list(entries) == ["a", "b"] and entries.pop("a").tolist() == [0.0] and "a" not in entries


def test_parameter():
    parameter = nn.Parameter(fg.ones(2))
    assert repr(parameter).startswith("Parameter containing:\n")
    assert isinstance(parameter, fg.Tensor) and isinstance(parameter, nn.Parameter) and parameter.requires_grad
    assert not isinstance(fg.ones(2), nn.Parameter)
    assert type(parameter * 2) is fg.Tensor and type(parameter.detach()) is fg.Tensor
    other = copy.deepcopy(parameter)
    assert type(other) is nn.Parameter and other.data_ptr() != parameter.data_ptr()
    assert nn.Parameter().numel() == 0 and not nn.Parameter(fg.ones(1), requires_grad=False).requires_grad
    module = nn.Module()
    module.counter = nn.Buffer(fg.zeros(1))
    assert list(module._buffers) == ["counter"]


def test_repeated_members_are_named_once():
    layer = nn.Linear(2, 2)
    chain = nn.Sequential(layer, layer)
    assert [name for name, _ in chain.named_parameters()] == ["0.weight", "0.bias"]
    assert len(list(chain.named_parameters(remove_duplicate=False))) == 4
    assert [name for name, _ in chain.named_children()] == ["0"] and len(list(chain.modules())) == 2


def test_clip_grad(torch):
    results = []
    for library in (fg, torch):
        parameters = [library.nn.Parameter(library.zeros(2)), library.nn.Parameter(library.zeros(3))]
        parameters[0].grad = library.tensor([3.0, 4.0])
        parameters[1].grad = library.tensor([1.0, -2.0, 2.0])
        utils = library.nn.utils
        out = [utils.clip_grad_norm_(parameters, 2.0).item(), [p.grad.tolist() for p in parameters]]
        out += [utils.clip_grad_norm_(parameters, 1.0, norm_type=float("inf")).item()]
        utils.clip_grad_value_(parameters, 0.5)
        out += [p.grad.tolist() for p in parameters]
        vector = utils.parameters_to_vector(parameters)
        utils.vector_to_parameters(vector + 1, parameters)
        out += [p.tolist() for p in parameters]
        results.append(out)
        parameters[0].grad = library.full((2,), float("nan"))
        with pytest.raises(RuntimeError, match="is non-finite, so it cannot be clipped"):
            utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    assert str(results[0]) == str(results[1])


def test_pad_sequence(torch):
    for options in ({}, {"batch_first": True, "padding_value": 7.0}, {"padding_side": "left"}):
        results = [library.nn.utils.rnn.pad_sequence([library.ones(2, 3), library.ones(4, 3) * 2], **options).tolist()
                   for library in (fg, torch)]
        assert results[0] == results[1]


def test_names_that_are_left_out():
    left_out = [(owner, name) for owner in (nn, F) for name in owner._LEFT_OUT]
    for owner, name in (*left_out, (fg.optim, "SparseAdam")):
        with pytest.raises(AttributeError, match=name):
            getattr(owner, name)
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        nn.Nonsense


def test_flatten(torch):
    assert nn.Flatten()(fg.zeros(2, 3, 4)).shape == (2, 12)
    assert nn.Unflatten(1, (2, 3))(fg.zeros(4, 6)).shape == (4, 2, 3)
    assert repr(nn.Flatten(0, 1)) == repr(torch.nn.Flatten(0, 1))
    assert repr(nn.Unflatten(1, (2, 3))) == repr(torch.nn.Unflatten(1, (2, 3)))


def test_softmax_without_dim_warns():
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax has been deprecated"):
        assert nn.Softmax()(fg.zeros(2, 4)).tolist() == [[0.25] * 4] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.Softmax(dim=1)(fg.zeros(2, 4))


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_layer_norm_of_half_data_with_float_parameters(torch, half):
    """What autocast leaves of a float model: the result has the dtype of the data."""
    np = pytest.importorskip("numpy")
    x, w = np.random.default_rng(0).normal(size=(2, 4, 6))
    found = []
    for m in (fg, torch):
        weight, bias = m.tensor(w[0]).float(), m.tensor(w[1]).float()
        found.append(m.nn.functional.layer_norm(m.tensor(x).to(getattr(m, half)), (6,), weight, bias))
    ours, theirs = found
    assert str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(ours.float().numpy(), theirs.float().numpy(), rtol=1e-2, atol=1e-2)
