"""Losses, distances and tables against torch: CTC, bags of embeddings, adaptive softmax, old arguments, errors."""
import random
import warnings

import pytest

import fastgrad as fg
from fastgrad import nn
from fastgrad.nn import functional as F
from pairs import ours, pair, same, same_error, same_run

# ---- CTC

@pytest.mark.parametrize("trial", range(40))
def test_ctc(torch, trial):
    pick = random.Random(trial)
    torch.manual_seed(trial)
    steps, batch, classes, longest = pick.randint(1, 9), pick.randint(1, 4), pick.randint(2, 6), pick.randint(1, 4)
    blank = pick.randrange(classes)
    logits = torch.randn(steps, batch, classes, dtype=pick.choice((torch.float32, torch.float64)), requires_grad=True)
    labels = [label for label in range(classes) if label != blank]
    target_lengths = [pick.randint(0, longest) for _ in range(batch)]
    rows = [[pick.choice(labels) for _ in range(longest)] for _ in range(batch)]
    flat = pick.random() < 0.5
    targets = (torch.tensor([x for row, n in zip(rows, target_lengths) for x in row[:n]], dtype=torch.int64) if flat
               else torch.tensor(rows))
    input_lengths = [pick.randint(0 if pick.random() < 0.1 else 1, steps) for _ in range(batch)]
    if pick.random() < 0.5:
        input_lengths, target_lengths = torch.tensor(input_lengths), torch.tensor(target_lengths, dtype=torch.int32)
    mine, theirs = pair(torch, lambda m: m.nn.CTCLoss(blank=blank, reduction=("none", "sum", "mean")[trial % 3],
                                                       zero_infinity=trial % 2 == 0))

    def run(m, module):
        def call(logits, *rest):
            return module(logits.log_softmax(2), *rest)
        return call

    loss, reference = same_run(torch, run(fg, mine), run(torch, theirs),
                               (logits, targets, input_lengths, target_lengths), tolerance=1e-4)
    assert type(loss.grad_fn).__name__ and reference.grad_fn is not None


def test_ctc_gradient_of_log_probs(torch):
    """Without a log_softmax in front the gradient is torch's too, also where a target cannot be reached."""
    x = torch.randn(6, 3, 4, requires_grad=True)
    targets = torch.tensor([[1, 1, 2], [3, 1, 0], [1, 2, 3]])
    for zero in (True, False):
        a = ours(x)
        lengths = torch.tensor([6, 5, 2]), torch.tensor([3, 2, 3])
        b = x.detach().clone().requires_grad_()
        loss = F.ctc_loss(a, ours(targets), *ours(lengths), reduction="none", zero_infinity=zero)
        reference = torch.nn.functional.ctc_loss(b, targets, *lengths, reduction="none", zero_infinity=zero)
        same(loss, reference)
        loss.sum().backward()
        reference.sum().backward()
        same(a.grad, b.grad)


def test_ctc_unbatched_and_lengths(torch):
    log_probs = torch.randn(5, 4).log_softmax(1)
    target = torch.tensor([1, 2])
    for lengths in (((5,), (2,)), ([5], [2]), (torch.tensor(5), torch.tensor(2)),
                    (torch.tensor([5]), torch.tensor([2]))):
        mine = F.ctc_loss(ours(log_probs), ours(target), *ours(lengths), reduction="none")
        same(mine, torch.nn.functional.ctc_loss(log_probs, target, *lengths, reduction="none"))


def ctc(m, log_probs=None, targets=None, inputs=(6, 5), wanted=(2, 1), **options):
    log_probs = m.zeros(6, 2, 4) if log_probs is None else log_probs
    targets = m.tensor([[1, 2], [3, 1]]) if targets is None else targets
    if isinstance(inputs, tuple):
        inputs, wanted = m.tensor(inputs), m.tensor(wanted)
    return m.nn.functional.ctc_loss(log_probs, targets, inputs, wanted, **options)


CTC_ERRORS = {
    "reduction": lambda m: ctc(m, reduction="x"),
    "blank": lambda m: ctc(m, blank=7),
    "input too long": lambda m: ctc(m, inputs=(7, 5)),
    "input negative": lambda m: ctc(m, inputs=(6, -5)),
    "target too long": lambda m: ctc(m, wanted=(3, 1)),
    "target negative": lambda m: ctc(m, wanted=(-3, 1)),
    "target lengths": lambda m: ctc(m, wanted=(2,)),
    "input lengths": lambda m: ctc(m, inputs=(6,)),
    "floating lengths": lambda m: ctc(m, inputs=(6.0, 5.0)),
    "integers": lambda m: ctc(m, m.zeros(6, 2, 4, dtype=m.int64)),
    "halves": lambda m: ctc(m, m.zeros(6, 2, 4, dtype=m.float16)),
    "flat targets": lambda m: ctc(m, targets=m.tensor([1, 2, 3, 3])),
    "targets": lambda m: ctc(m, targets=m.tensor([[[1]]])),
}


@pytest.mark.parametrize("name", CTC_ERRORS)
def test_ctc_errors(torch, name):
    same_error(torch, CTC_ERRORS[name])


def test_ctc_has_no_second_gradient(torch):
    for m in (fg, torch):
        x = m.zeros(6, 2, 4, requires_grad=True)
        grad, = m.autograd.grad(ctc(m, x), x, create_graph=True)
        with pytest.raises(RuntimeError):
            grad.sum().backward()


# ---- bags of embeddings

@pytest.mark.parametrize("trial", range(48))
def test_embedding_bag(torch, trial):
    pick = random.Random(trial)
    mode = ("sum", "mean", "max")[trial % 3]
    options = {"mode": mode, "max_norm": pick.choice((None, None, 1.0)), "norm_type": pick.choice((2.0, 1.0)),
               "padding_idx": pick.choice((None, 2, -1)), "include_last_offset": pick.choice((True, False))}
    mine, theirs = pair(torch, lambda m: m.nn.EmbeddingBag(7, 4, **options), seed=trial)
    torch.manual_seed(trial)
    if pick.random() < 0.4:
        inputs = (torch.randint(7, (3, pick.choice((1, 4)))),)
    else:
        starts = sorted(pick.randint(0, 9) for _ in range(3))
        offsets = [0, *starts] + ([9] if options["include_last_offset"] else [])
        inputs = (torch.randint(7, (9,)), torch.tensor(offsets))
    call = {}
    if mode == "sum" and pick.random() < 0.5:
        call["per_sample_weights"] = torch.rand(inputs[0].shape, requires_grad=True)
    same_run(torch, mine, theirs, inputs, **call)
    same(mine.weight, theirs.weight)


def test_embedding_bag_gradient_by_frequency():
    """The gradient of a row is divided by how often it is used: 3 uses of row 2, each with the gradient 1 or 1/4."""
    for mode, expected in (("sum", [1.0, 1.0, 1.0, 0.0]), ("mean", [0.5, (1 / 2 + 1 / 4) / 2, 1 / 4, 0.0])):
        weight = fg.ones(4, 1, requires_grad=True)
        bags = F.embedding_bag(fg.tensor([0, 1, 1, 2, 2, 2]), weight, fg.tensor([0, 2]), mode=mode,
                               scale_grad_by_freq=True)
        bags.sum().backward()
        assert weight.grad.reshape(-1).tolist() == expected


def test_embedding_bag_from_pretrained(torch):
    table = torch.randn(4, 3)
    for options in ({}, {"freeze": False, "mode": "sum"}):
        mine, theirs = pair(torch, lambda m, options=options: m.nn.EmbeddingBag.from_pretrained(
            table if m is torch else ours(table), **options))
        assert mine.weight.requires_grad is theirs.weight.requires_grad
        same(mine(fg.tensor([[0, 1]])), theirs(torch.tensor([[0, 1]])))


def bag(m, *args, **options):
    args = [m.tensor(a) if isinstance(a, list) else a for a in args]
    return m.nn.functional.embedding_bag(args[0], m.ones(4, 2), *args[1:], **options)


BAG_ERRORS = {
    "weights": lambda m: bag(m, [[1, 2]], per_sample_weights=m.ones(3), mode="sum"),
    "weights of mean": lambda m: bag(m, [[1, 2]], per_sample_weights=m.ones(1, 2)),
    "offsets of rows": lambda m: bag(m, [[1, 2]], [0]),
    "no offsets": lambda m: bag(m, [1, 2]),
    "offsets dims": lambda m: bag(m, [1, 2], [[0]]),
    "input dims": lambda m: bag(m, [[[1]]]),
    "mode": lambda m: bag(m, [[1]], mode="min"),
    "max by frequency": lambda m: bag(m, [[1]], mode="max", scale_grad_by_freq=True),
    "first offset": lambda m: bag(m, [1, 2], [1]),
    "last offset": lambda m: bag(m, [1, 2], [0, 3]),
    "table": lambda m: m.nn.functional.embedding_bag(m.tensor([[1]]), m.ones(3)),
    "module padding": lambda m: m.nn.EmbeddingBag(3, 2, padding_idx=3),
    "module weight": lambda m: m.nn.EmbeddingBag(3, 2, _weight=m.ones(2, 3)),
    "pretrained": lambda m: m.nn.EmbeddingBag.from_pretrained(m.ones(3)),
    "embedding padding": lambda m: m.nn.Embedding(3, 2, padding_idx=3),
}


@pytest.mark.parametrize("name", BAG_ERRORS)
def test_table_errors(torch, name):
    same_error(torch, BAG_ERRORS[name])


def test_sparse_gradients_are_refused():
    for make in (lambda: nn.Embedding(3, 2, sparse=True), lambda: nn.EmbeddingBag(3, 2, sparse=True),
                 lambda: F.embedding_bag(fg.tensor([[1]]), fg.ones(3, 2), sparse=True)):
        with pytest.raises(NotImplementedError, match="sparse=True"):
            make()


@pytest.mark.parametrize("options", [{}, {"padding_idx": 1}, {"padding_idx": -1, "max_norm": 0.9},
                                     {"max_norm": 1.5, "norm_type": 1.0}, {"scale_grad_by_freq": True}])
def test_embedding(torch, options):
    mine, theirs = pair(torch, lambda m: m.nn.Embedding(6, 3, **options))
    same_run(torch, mine, theirs, (torch.tensor([[0, 1, 1], [5, 2, 0]]),))
    same(mine.weight, theirs.weight)


# ---- adaptive softmax, linear cross entropy

@pytest.mark.parametrize("options", [{}, {"div_value": 2.0, "head_bias": True}])
def test_adaptive_softmax(torch, options):
    mine, theirs = pair(torch, lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10, 15], **options))
    x = torch.randn(7, 8, requires_grad=True)
    target = torch.tensor([0, 3, 4, 12, 19, 15, 9])
    result, reference = same_run(torch, mine, theirs, (x, target))
    assert result._fields == reference._fields == ("output", "loss")
    own = ours(x.detach())
    same(mine.log_prob(own), theirs.log_prob(x))
    for scale in (0.0, 1.0, 5.0):
        assert mine.predict(own * scale).tolist() == theirs.predict(x * scale).tolist()
    same(tuple(mine(own[0], fg.tensor(13))), tuple(theirs(x[0], torch.tensor(13))))
    same(tuple(mine(own[:2], fg.tensor([0, 1]))), tuple(theirs(x[:2], torch.tensor([0, 1]))))
    for m, module in ((fg, mine), (torch, theirs)):
        m.manual_seed(5)
        module.reset_parameters()
    for a, b in zip(mine.parameters(), theirs.parameters()):
        same(a, b, 0)


ADAPTIVE_ERRORS = {
    "no cutoffs": lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 20, []),
    "unsorted": lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 3]),
    "twice": lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [3, 3]),
    "too large": lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [3, 20]),
    "batch": lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [3])(m.ones(2, 8), m.tensor([1])),
    "dims": lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [3])(m.ones(2, 8), m.tensor([[1]])),
    "scalar": lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [3])(m.ones(2, 8), m.tensor(1)),
    "range": lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [3])(m.ones(1, 8), m.tensor([20])),
}


@pytest.mark.parametrize("name", ADAPTIVE_ERRORS)
def test_adaptive_errors(torch, name):
    mine, theirs = same_error(torch, ADAPTIVE_ERRORS[name])
    assert mine == theirs


@pytest.mark.parametrize("options", [{}, {"bias": True, "reduction": "sum"}, {"label_smoothing": 0.1},
                                     {"ignore_index": 1, "reduction": "none"}])
def test_linear_cross_entropy(torch, options):
    mine, theirs = pair(torch, lambda m: m.nn.LinearCrossEntropyLoss(5, 4, **options))
    same_run(torch, mine, theirs, (torch.randn(3, 5, requires_grad=True), torch.tensor([1, 0, 3])))
    mine, theirs = pair(torch, lambda m: m.nn.LinearCrossEntropyLoss(5, 4, out_features=(2,), **options))
    same_run(torch, mine, theirs, (torch.randn(3, 5, requires_grad=True), torch.randint(4, (3, 2))))


LINEAR_ERRORS = {
    "weight": lambda m: m.nn.LinearCrossEntropyLoss(5, 4, weight=m.ones(3)),
    "smoothing": lambda m: m.nn.LinearCrossEntropyLoss(5, 4, label_smoothing=2),
    "input dims": lambda m: m.nn.LinearCrossEntropyLoss(5, 4)(m.ones(1, 2, 5), m.tensor([1])),
    "features": lambda m: m.nn.LinearCrossEntropyLoss(5, 4)(m.ones(2, 4), m.tensor([1, 2])),
    "unbatched": lambda m: m.nn.LinearCrossEntropyLoss(5, 4, out_features=(2,))(m.ones(5), m.tensor([1, 2])),
    "weight dims": lambda m: m.nn.functional.linear_cross_entropy(m.ones(2, 5), m.ones(5), m.tensor([1, 2])),
    "bias": lambda m: m.nn.functional.linear_cross_entropy(m.ones(2, 5), m.ones(4, 5), m.tensor([1, 2]),
                                                           linear_bias=m.ones(3)),
    "probabilities": lambda m: m.nn.functional.linear_cross_entropy(m.ones(2, 5), m.ones(4, 5), m.ones(2, 4),
                                                                    ignore_index=1),
}


@pytest.mark.parametrize("name", LINEAR_ERRORS)
def test_linear_cross_entropy_errors(torch, name):
    mine, theirs = same_error(torch, LINEAR_ERRORS[name])
    assert mine == theirs
    with pytest.raises(NotImplementedError, match="options"):
        nn.LinearCrossEntropyLoss(5, 4, options=object())(fg.ones(1, 5), fg.tensor([1]))


# ---- every loss: old arguments, shapes, errors

def signs(torch, *shape):
    return torch.randn(shape).sign()


LOSSES = {
    "L1Loss": ({}, lambda t: (t.randn(4, 3), t.randn(4, 3))),
    "MSELoss": ({}, lambda t: (t.randn(4, 3), t.randn(4, 3))),
    "SmoothL1Loss": ({"beta": 0.5}, lambda t: (t.randn(4, 3), t.randn(4, 3))),
    "BCELoss": ({}, lambda t: (t.rand(4, 3), t.rand(4, 3))),
    "BCEWithLogitsLoss": ({}, lambda t: (t.randn(4, 3), t.rand(4, 3))),
    "KLDivLoss": ({}, lambda t: (t.randn(4, 3).log_softmax(1), t.rand(4, 3))),
    "PoissonNLLLoss": ({"full": True, "eps": 1e-6}, lambda t: (t.randn(4, 3), t.rand(4, 3) * 4)),
    "HingeEmbeddingLoss": ({"margin": 0.7}, lambda t: (t.randn(4, 3), signs(t, 4, 3))),
    "SoftMarginLoss": ({}, lambda t: (t.randn(4, 3), signs(t, 4, 3))),
    "MultiLabelSoftMarginLoss": ({}, lambda t: (t.randn(4, 3), t.rand(4, 3))),
    "MultiLabelMarginLoss": ({}, lambda t: (t.randn(3, 4), t.tensor([[0, 2, -1, 1], [3, -1, 0, 0], [-1, 1, 1, 1]]))),
    "MultiMarginLoss": ({"p": 2, "margin": 0.5}, lambda t: (t.randn(4, 3), t.tensor([0, 2, 1, 1]))),
    "CrossEntropyLoss": ({"ignore_index": 2}, lambda t: (t.randn(4, 3), t.tensor([0, 2, 1, 1]))),
    "NLLLoss": ({}, lambda t: (t.randn(4, 3), t.tensor([0, 2, 1, 1]))),
    "MarginRankingLoss": ({"margin": 0.3}, lambda t: (t.randn(4), t.randn(4), signs(t, 4))),
    "CosineEmbeddingLoss": ({"margin": 0.2}, lambda t: (t.randn(4, 3), t.randn(4, 3), signs(t, 4))),
    "TripletMarginLoss": ({"swap": True, "p": 1.5, "margin": 0.8, "eps": 1e-5},
                          lambda t: (t.randn(4, 3), t.randn(4, 3), t.randn(4, 3))),
}


@pytest.mark.parametrize("old", [{}, {"size_average": False}, {"reduce": False}, {"size_average": True, "reduce": True},
                                 {"reduction": "none"}])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_with_old_arguments(torch, name, old):
    options, make = LOSSES[name]
    mine, theirs = pair(torch, lambda m: getattr(m.nn, name)(**options, **old))
    torch.manual_seed(1)
    inputs = make(torch)
    inputs[0].requires_grad_()
    same_run(torch, mine, theirs, inputs)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_weighted_losses(torch, reduction):
    torch.manual_seed(0)
    weight, x, y = torch.rand(3), torch.randn(4, 3), torch.rand(4, 3)
    for name, options, inputs in (
            ("BCELoss", {"weight": weight}, (torch.rand(4, 3, requires_grad=True), y)),
            ("BCEWithLogitsLoss", {"weight": weight, "pos_weight": weight + 1}, (x.clone().requires_grad_(), y)),
            ("MultiLabelSoftMarginLoss", {"weight": weight}, (x.clone().requires_grad_(), y)),
            ("MultiMarginLoss", {"weight": weight}, (x.clone().requires_grad_(), torch.tensor([0, 1, 2, 1]))),
            ("CrossEntropyLoss", {"weight": weight, "label_smoothing": 0.1},
             (x.clone().requires_grad_(), torch.tensor([0, 1, 2, 1]))),
            ("NLLLoss", {"weight": weight, "ignore_index": 1},
             (x.clone().requires_grad_(), torch.tensor([0, 1, 2, 1]))),
            ("GaussianNLLLoss", {"full": True, "eps": 1e-4}, (x.clone().requires_grad_(), y, torch.rand(4, 3))),
            ("GaussianNLLLoss", {}, (x.clone().requires_grad_(), y, torch.rand(4, 1, requires_grad=True))),
            ("KLDivLoss", {"log_target": True}, (x.log_softmax(1).detach().requires_grad_(), y.log_softmax(1)))):
        mine, theirs = pair(torch, lambda m, name=name, options=options: getattr(m.nn, name)(
            reduction=reduction, **(options if m is torch else ours(options))))
        same_run(torch, mine, theirs, inputs)


def test_more_losses(torch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine, theirs = pair(torch, lambda m: m.nn.NLLLoss2d())
    same_run(torch, mine, theirs, (torch.randn(2, 3, 4, 4, requires_grad=True), torch.randint(3, (2, 4, 4))))
    mine, theirs = pair(torch, lambda m: m.nn.KLDivLoss(reduction="batchmean"))
    same_run(torch, mine, theirs, (torch.randn(4, 3, requires_grad=True), torch.rand(4, 3)))
    mine, theirs = pair(torch, lambda m: m.nn.TripletMarginWithDistanceLoss(
        distance_function=lambda a, b: (a - b).abs().amax(-1), margin=0.5, swap=True))
    same_run(torch, mine, theirs, tuple(torch.randn(4, 3, requires_grad=True) for _ in range(3)))
    mine, theirs = pair(torch, lambda m: m.nn.HuberLoss(delta=0.4))
    same_run(torch, mine, theirs, (torch.randn(4, requires_grad=True), torch.randn(4)))


ERRORS = {
    "reduction": lambda m: m.nn.functional.mse_loss(m.ones(2), m.ones(2), reduction="x"),
    "huber delta": lambda m: m.nn.functional.huber_loss(m.ones(2), m.ones(2), delta=0.0),
    "smooth beta": lambda m: m.nn.functional.smooth_l1_loss(m.ones(2), m.ones(2), beta=-1.0),
    "bce size": lambda m: m.nn.functional.binary_cross_entropy(m.ones(2), m.ones(3)),
    "bce range": lambda m: m.nn.functional.binary_cross_entropy(m.ones(2) * 2, m.ones(2)),
    "logits size": lambda m: m.nn.functional.binary_cross_entropy_with_logits(m.ones(2), m.ones(3)),
    "cosine target": lambda m: m.nn.functional.cosine_embedding_loss(m.ones(2, 3), m.ones(2, 3), m.ones(2, 3)),
    "ranking dims": lambda m: m.nn.functional.margin_ranking_loss(m.ones(2), m.ones(2, 1), m.ones(2)),
    "multi margin p": lambda m: m.nn.MultiMarginLoss(p=3),
    "multi margin weight": lambda m: m.nn.MultiMarginLoss(weight=m.ones(2, 2)),
    "triplet margin": lambda m: m.nn.TripletMarginLoss(margin=0),
    "triplet dims": lambda m: m.nn.functional.triplet_margin_loss(m.ones(2, 3), m.ones(3), m.ones(2, 3)),
    "gaussian var": lambda m: m.nn.functional.gaussian_nll_loss(m.ones(2), m.ones(2), -m.ones(2)),
    "gaussian var size": lambda m: m.nn.functional.gaussian_nll_loss(m.ones(2, 3), m.ones(2, 3), m.ones(4)),
    "gaussian reduction": lambda m: m.nn.functional.gaussian_nll_loss(m.ones(2), m.ones(2), m.ones(2), reduction="x"),
    "nll range": lambda m: m.nn.functional.nll_loss(m.ones(2, 3), m.tensor([0, 3])),
    "nll batch": lambda m: m.nn.functional.nll_loss(m.ones(2, 3), m.tensor([0])),
    "pdist dims": lambda m: m.nn.functional.pdist(m.ones(2)),
    "pdist p": lambda m: m.nn.functional.pdist(m.ones(2, 2), -1.0),
    "one_hot float": lambda m: m.nn.functional.one_hot(m.ones(2)),
    "one_hot negative": lambda m: m.nn.functional.one_hot(m.tensor([-1])),
    "one_hot classes": lambda m: m.nn.functional.one_hot(m.tensor([3]), 3),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(torch, name):
    same_error(torch, ERRORS[name])


# ---- distances

@pytest.mark.parametrize("p", [0.0, 1.0, 1.5, 2.0, 3.0, float("inf")])
def test_pdist(torch, p):
    x = torch.randn(5, 3, requires_grad=True)
    same_run(torch, lambda x: F.pdist(x, p), lambda x: torch.nn.functional.pdist(x, p), (x,))
    same(F.pdist(fg.ones(1, 3), p), torch.nn.functional.pdist(torch.ones(1, 3), p))


def test_pdist_gradients():
    x = fg.randn(4, 3, dtype=fg.float64, requires_grad=True)
    assert fg.autograd.gradcheck(F.pdist, (x,)) and fg.autograd.gradgradcheck(F.pdist, (x,))


@pytest.mark.parametrize("options", [{}, {"dim": 0}, {"dim": -1, "eps": 0.1}])
def test_cosine_similarity(torch, options):
    mine, theirs = pair(torch, lambda m: m.nn.CosineSimilarity(**options))
    same_run(torch, mine, theirs, (torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)))


@pytest.mark.parametrize("options", [{}, {"p": 1.0, "keepdim": True}, {"p": 3.0, "eps": 0.1}])
def test_pairwise_distance(torch, options):
    mine, theirs = pair(torch, lambda m: m.nn.PairwiseDistance(**options))
    same_run(torch, mine, theirs, (torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)))


def test_zero_vectors(torch):
    """Gradients at zero are torch's, not NaN."""
    zero, one = torch.zeros(2, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)
    same_run(torch, F.cosine_similarity, torch.nn.functional.cosine_similarity, (zero, one))
    zero = torch.zeros(2, 3, requires_grad=True)
    same_run(torch, F.pdist, torch.nn.functional.pdist, (zero,))


# ---- random functions

@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("dim", [-1, 0])
def test_gumbel_softmax(torch, hard, dim):
    x = torch.randn(5, 4, requires_grad=True)
    same_run(torch, F.gumbel_softmax, torch.nn.functional.gumbel_softmax, (x,), tau=0.7, hard=hard, dim=dim)


@pytest.mark.parametrize("training", [True, False])
def test_rrelu(torch, training):
    mine, theirs = pair(torch, lambda m: m.nn.RReLU(0.1, 0.4))
    mine.train(training), theirs.train(training)
    same_run(torch, mine, theirs, (torch.randn(5, 4, requires_grad=True),))


def test_one_hot(torch):
    for args in (([0, 2, 1],), ([[1], [0]], 4)):
        mine, theirs = (m.nn.functional.one_hot(m.tensor(args[0]), *args[1:]) for m in (fg, torch))
        assert mine.tolist() == theirs.tolist() and mine.dtype is fg.int64
