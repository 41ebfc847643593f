"""Layers, losses and functions of nn against torch."""
import warnings

import numpy as np
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
    x, w = np.random.default_rng(0).normal(size=(2, 4, 6))
    found = []
    for m in (fg, torch):
        weight, bias = m.tensor(w[0]).float(), m.tensor(w[1]).float()
        found.append(m.nn.functional.layer_norm(m.tensor(x).to(getattr(m, half)), (6,), weight, bias))
    ours, theirs = found
    assert str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(ours.float().numpy(), theirs.float().numpy(), rtol=1e-2, atol=1e-2)
