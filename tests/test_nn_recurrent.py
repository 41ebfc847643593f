"""Recurrent layers, their cells and packed sequences, against torch."""
import copy
import pickle
import random

import pytest

import fastgrad as fg
from fastgrad import nn
from fastgrad.nn import _recurrent, _recurrent_layer
from pairs import ours, pair, same, same_error, same_run

STEPS, BATCH, INPUT, HIDDEN = 6, 4, 3, 5


def choices(trial):
    """The arguments of one random layer, and how it is used."""
    pick = random.Random(trial)
    kind = ("RNN", "LSTM", "GRU")[trial % 3]
    options = {"num_layers": pick.choice((1, 2, 3)), "bias": pick.choice((True, False)),
               "batch_first": pick.choice((True, False)), "bidirectional": pick.choice((True, False))}
    if options["num_layers"] > 1:
        options["dropout"] = pick.choice((0.0, 0.4))
    if kind == "LSTM":
        options["proj_size"] = pick.choice((0, 2))
    if kind == "RNN":
        options["nonlinearity"] = pick.choice(("tanh", "relu"))
    return kind, options, pick


def state_of(torch, kind, options, batch):
    count = options["num_layers"] * (1 + options["bidirectional"])
    h = torch.randn(count, *batch, options.get("proj_size") or HIDDEN, requires_grad=True)
    return (h, torch.randn(count, *batch, HIDDEN, requires_grad=True)) if kind == "LSTM" else h


@pytest.mark.parametrize("trial", range(24))
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_layer(torch, trial):
    kind, options, pick = choices(trial)
    mine, theirs = pair(torch, lambda m: getattr(m.nn, kind)(INPUT, HIDDEN, **options), seed=trial)
    batch = pick.choice(((BATCH,), ()))
    shape = (BATCH, STEPS, INPUT) if batch and options["batch_first"] else (STEPS, *batch, INPUT)
    x = torch.randn(shape, requires_grad=True)
    inputs = (x, state_of(torch, kind, options, batch)) if pick.random() < 0.6 else (x,)
    same_run(torch, mine, theirs, inputs, layout=True)


@pytest.mark.parametrize("trial", range(24))
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_packed(torch, trial):
    kind, options, pick = choices(trial)
    first, is_sorted = options["batch_first"], pick.random() < 0.5
    mine, theirs = pair(torch, lambda m: getattr(m.nn, kind)(INPUT, HIDDEN, **options), seed=trial)
    lengths = sorted((pick.randint(1, STEPS) for _ in range(BATCH)), reverse=is_sorted)
    x = torch.randn((BATCH, STEPS, INPUT) if first else (STEPS, BATCH, INPUT), requires_grad=True)
    inputs = (x, state_of(torch, kind, options, (BATCH,))) if pick.random() < 0.6 else (x,)

    def run(module, m):
        def call(x, hx=None):
            packed = m.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=is_sorted)
            output, end = module(packed, hx)
            return (*m.nn.utils.rnn.pad_packed_sequence(output, first, 0.5, STEPS + 1), end, output.data)
        call.parameters = module.parameters
        return call

    same_run(torch, run(mine, fg), run(theirs, torch), inputs)


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind, options", [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}),
                                           ("GRUCell", {})])
def test_cell(torch, kind, options, bias, batched):
    mine, theirs = pair(torch, lambda m: getattr(m.nn, kind)(INPUT, HIDDEN, bias=bias, **options))
    batch = (BATCH,) if batched else ()
    x = torch.randn(*batch, INPUT, requires_grad=True)
    h, c = (torch.randn(*batch, HIDDEN, requires_grad=True) for _ in range(2))
    same_run(torch, mine, theirs, (x.detach(),))
    mine.zero_grad(), theirs.zero_grad()
    same_run(torch, mine, theirs, (x, (h, c) if kind == "LSTMCell" else h))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_second_gradients(kind):
    layer = getattr(nn, kind)(2, 3, bidirectional=True).double()
    x = fg.randn(3, 2, 2, dtype=fg.float64, requires_grad=True)
    assert fg.autograd.gradcheck(lambda x: layer(x)[0], (x,))
    assert fg.autograd.gradgradcheck(lambda x: layer(x)[0], (x,))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("reverse", [False, True])
def test_native_layer_is_the_composition(kind, reverse):
    """The loops in C++ against recorded operations, for every subset of outputs that has a gradient."""
    mode = {"RNN": "RNN_RELU"}.get(kind, kind)
    weights = [w.detach().double().requires_grad_() for w in getattr(nn, kind)(INPUT, HIDDEN).parameters()]
    x = fg.randn(STEPS, BATCH, INPUT, dtype=fg.float64, requires_grad=True)
    states = [fg.randn(BATCH, HIDDEN, dtype=fg.float64, requires_grad=True) for _ in range(2 if kind == "LSTM" else 1)]
    inputs = (x, states[0], states[1] if kind == "LSTM" else None, *weights)
    leaves = [t for t in inputs if t is not None]
    native = _recurrent_layer.Layer.apply(_recurrent._composed, mode, reverse, *inputs)
    composed = _recurrent._composed(mode, reverse, *inputs)
    for used in ([0], [1], [0, 1], [len(native) - 1]):
        grads = []
        for outputs in (native, composed):
            loss = sum((outputs[i] * (i + 2)).sin().sum() for i in used)
            grads.append(fg.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True))
        for mine, reference in zip(*grads):
            assert (mine is None) == (reference is None)
            if mine is not None:
                assert fg.allclose(mine, reference, rtol=1e-9, atol=1e-9)
    assert fg._C._rnn_usable(leaves) and not fg._C._rnn_usable([x.float(), *weights])


def test_output_may_be_changed_in_place():
    for kind in ("RNN", "LSTM", "GRU"):
        layer = getattr(nn, kind)(2, 3)
        output, end = layer(fg.ones(4, 1, 2))
        output.mul_(2)
        (end[0] if kind == "LSTM" else end).mul_(2)
        output.sum().backward()
        doubled = layer.weight_hh_l0.grad.tolist()
        layer.zero_grad()
        (layer(fg.ones(4, 1, 2))[0] * 2).sum().backward()
        assert layer.weight_hh_l0.grad.tolist() == doubled


def test_functions_with_flat_weights(torch):
    """`torch.lstm` and its kin, padded and packed."""
    for kind in ("LSTM", "GRU", "RNN"):
        mine, theirs = pair(torch, lambda m, kind=kind: getattr(m.nn, kind)(INPUT, HIDDEN, 2, bidirectional=True))
        name = "rnn_tanh" if kind == "RNN" else kind.lower()
        x, state = torch.randn(STEPS, BATCH, INPUT), torch.zeros(4, BATCH, HIDDEN)
        hx = (state, state) if kind == "LSTM" else state
        results = []
        for m, module in ((fg, mine), (torch, theirs)):
            own = ours if m is fg else (lambda t: t)
            weights = [w for group in module.all_weights for w in group]
            call = getattr(m, name)
            packed = m.nn.utils.rnn.pack_padded_sequence(own(x), [6, 5, 2, 1])
            results.append((call(own(x), own(hx), weights, True, 2, 0.0, False, True, False),
                            call(packed.data, packed.batch_sizes, own(hx), weights, True, 2, 0.0, False, True)))
        same(*results)
    with pytest.raises(RuntimeError, match="weights do not fit"):
        fg.lstm(fg.ones(2, 1, 3), (fg.ones(1, 1, 4), fg.ones(1, 1, 4)), [fg.ones(16, 3)], True, 1, 0.0, False, False,
                False)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_dtypes(torch, kind, dtype):
    mine, theirs = pair(torch, lambda m: getattr(m.nn, kind)(INPUT, HIDDEN, dtype=getattr(m, dtype)))
    x = torch.randn(STEPS, BATCH, INPUT).to(getattr(torch, dtype)).requires_grad_()
    same_run(torch, mine, theirs, (x,), tolerance=1e-10 if dtype == "float64" else 3e-2)


def test_copies_and_pickles():
    layer = nn.LSTM(INPUT, HIDDEN, num_layers=2, dropout=0.1, bidirectional=True)
    x = fg.randn(STEPS, BATCH, INPUT)
    layer.eval()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other(x)[0].tolist() == layer(x)[0].tolist()
        assert other.all_weights[0][0] is other.weight_ih_l0 is not layer.weight_ih_l0
    assert layer.flatten_parameters() is None
    assert len(layer.all_weights) == 4 and len(layer._flat_weights) == 16
    assert layer.double()(x.double())[0].dtype is fg.float64


def test_dropout_of_one_layer_warns():
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
        nn.GRU(2, 3, dropout=0.5)


LAYER_ERRORS = {
    "input dims": lambda m: m.nn.LSTM(3, 4)(m.zeros(2, 2, 2, 3)),
    "input size": lambda m: m.nn.GRU(3, 4)(m.zeros(2, 2, 5)),
    "input dtype": lambda m: m.nn.RNN(3, 4)(m.zeros(2, 2, 3, dtype=m.float64)),
    "hidden size": lambda m: m.nn.GRU(3, 4)(m.zeros(2, 2, 3), m.zeros(1, 3, 4)),
    "hidden dims": lambda m: m.nn.GRU(3, 4)(m.zeros(2, 2, 3), m.zeros(2, 4)),
    "hidden dims, unbatched": lambda m: m.nn.RNN(3, 4)(m.zeros(2, 3), m.zeros(1, 2, 4)),
    "state dims": lambda m: m.nn.LSTM(3, 4)(m.zeros(2, 2, 3), (m.zeros(2, 4), m.zeros(2, 4))),
    "cell size": lambda m: m.nn.LSTM(3, 4)(m.zeros(2, 2, 3), (m.zeros(1, 2, 4), m.zeros(1, 2, 3))),
    "packed hidden": lambda m: m.nn.GRU(3, 4)(
        m.nn.utils.rnn.pack_padded_sequence(m.zeros(2, 2, 3), [2, 1]), m.zeros(1, 3, 4)),
    "proj_size of GRU": lambda m: m.nn.GRU(3, 4, proj_size=2),
    "proj_size too large": lambda m: m.nn.LSTM(3, 4, proj_size=4),
    "proj_size negative": lambda m: m.nn.LSTM(3, 4, proj_size=-1),
    "dropout": lambda m: m.nn.LSTM(3, 4, dropout=2),
    "bias": lambda m: m.nn.LSTM(3, 4, bias=1),
    "batch_first": lambda m: m.nn.LSTM(3, 4, batch_first=1),
    "hidden_size": lambda m: m.nn.LSTM(3, 0),
    "hidden_size type": lambda m: m.nn.LSTM(3, 2.5),
    "num_layers": lambda m: m.nn.LSTM(3, 4, 0),
    "mode": lambda m: m.nn.RNNBase("TRU", 3, 4),
    "nonlinearity": lambda m: m.nn.RNN(3, 4, nonlinearity="elu"),
    "cell input dims": lambda m: m.nn.GRUCell(3, 4)(m.zeros(2, 2, 3)),
    "cell state dims": lambda m: m.nn.LSTMCell(3, 4)(m.zeros(2, 3), (m.zeros(2, 4), m.zeros(1, 2, 4))),
    "cell input size": lambda m: m.nn.RNNCell(3, 4)(m.zeros(2, 5)),
    "cell batch": lambda m: m.nn.GRUCell(3, 4)(m.zeros(2, 3), m.zeros(3, 4)),
    "cell hidden size": lambda m: m.nn.LSTMCell(3, 4)(m.zeros(2, 3), (m.zeros(2, 5), m.zeros(2, 4))),
    "lengths of a tensor": lambda m: m.nn.utils.rnn.pack_padded_sequence(m.zeros(3, 2, 1), m.ones(2, 1)),
    "not sorted": lambda m: m.nn.utils.rnn.pack_padded_sequence(m.zeros(3, 2, 1), [1, 2]),
    "length 0": lambda m: m.nn.utils.rnn.pack_padded_sequence(m.zeros(3, 2, 1), [1, 0]),
    "too few lengths": lambda m: m.nn.utils.rnn.pack_padded_sequence(m.zeros(3, 2, 1), [1]),
    "empty": lambda m: m.nn.utils.rnn.pack_padded_sequence(m.zeros(3, 2, 0), [2, 1]),
    "total_length": lambda m: m.nn.utils.rnn.pad_packed_sequence(
        m.nn.utils.rnn.pack_padded_sequence(m.zeros(3, 2, 1), [2, 1]), total_length=1),
    "pad a number": lambda m: m.nn.utils.rnn.pad_sequence(3),
    "made by hand": lambda m: m.nn.utils.rnn.PackedSequence(m.zeros(3)),
}


@pytest.mark.parametrize("name", LAYER_ERRORS)
def test_errors(torch, name):
    mine, theirs = same_error(torch, LAYER_ERRORS[name])
    assert mine.split()[:3] == theirs.split()[:3] or name in ("hidden_size type", "empty", "made by hand")


def test_too_long():
    with pytest.raises(RuntimeError, match="longest length to be at most 3, but got 4"):
        nn.utils.rnn.pack_padded_sequence(fg.zeros(3, 2, 1), [4, 1])


def test_packing_round_trip(torch):
    rows = [torch.arange(n * 2.0).reshape(n, 2) for n in (2, 4, 1)]
    for m, sequences in ((fg, ours(rows)), (torch, rows)):
        rnn = m.nn.utils.rnn
        packed = rnn.pack_sequence(sequences, enforce_sorted=False)
        assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
        assert packed.sorted_indices.tolist() == [1, 0, 2]
        assert packed.unsorted_indices.tolist() == [1, 0, 2]
        assert [row.tolist() for row in rnn.unpack_sequence(packed)] == [row.tolist() for row in rows]
        padded = rnn.pad_sequence(sequences, batch_first=True)
        again = rnn.unpad_sequence(padded, m.tensor([2, 4, 1]), batch_first=True)
        assert [row.tolist() for row in again] == [row.tolist() for row in rows]
        assert rnn.invert_permutation(m.tensor([2, 0, 1])).tolist() == [1, 2, 0]
        assert rnn.invert_permutation(None) is None


def test_packed_sequence_converts():
    packed = nn.utils.rnn.pack_sequence([fg.ones(1, 2), fg.ones(3, 2)], enforce_sorted=False)
    assert packed.to(fg.float32) is packed and packed.cpu() is packed and packed.float() is packed
    for name, dtype in (("double", fg.float64), ("half", fg.float16), ("long", fg.int64), ("int", fg.int32),
                        ("short", fg.int16), ("char", fg.int8), ("byte", fg.uint8)):
        cast = getattr(packed, name)()
        assert cast.data.dtype is dtype and cast.batch_sizes.tolist() == [2, 1, 1]
        assert cast.sorted_indices.tolist() == [1, 0]
    assert not packed.is_cuda and not packed.is_pinned()
    data, sizes, order, inverse = packed
    assert pickle.loads(pickle.dumps(packed)).data.tolist() == data.tolist()
    made = nn.utils.rnn.PackedSequence((data, sizes), sorted_indices=order)
    assert made.batch_sizes is sizes and made.unsorted_indices.tolist() == inverse.tolist()


def test_apply_permutation(torch):
    from fastgrad.nn.modules.rnn import apply_permutation
    with pytest.warns(FutureWarning, match="apply_permutation"):
        assert apply_permutation(fg.tensor([[1, 2]]), fg.tensor([1, 0])).tolist() == [[2, 1]]
    same(ours(torch.ones(2)), torch.ones(2))
