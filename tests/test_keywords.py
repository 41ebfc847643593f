"""A keyword that a function or a class does not take: a TypeError that names the function and the nearest keyword."""

import pytest

import fastgrad as fg
from fastgrad import nn

F = nn.functional
MISSPELLED = {
    "native function": (lambda x: fg.sum(x, dm=1), r"sum\(\) got an unexpected keyword argument 'dm' \(did you mean "
                        r"'dim'\?\); signature: sum\(input, dim, keepdim"),
    "native method": (lambda x: x.softmax(dims=1), r"softmax\(\) got .* 'dims' \(did you mean 'dim'\?\)"),
    "factory": (lambda x: fg.zeros(3, dtyp=fg.float64), r"zeros\(\) got .* 'dtyp' \(did you mean 'dtype'\?\)"),
    "Python function": (lambda x: F.relu(x, inplce=True),
                        r"relu\(\) got .* 'inplce' \(did you mean 'inplace'\?\); it takes input, inplace"),
    "Python method": (lambda x: x.stft(4, hop_lenght=1),
                      r"stft\(\) got .* 'hop_lenght' \(did you mean 'hop_length'\?\)"),
    "module": (lambda x: nn.Conv2d(1, 2, 3, pading=1),
               r"Conv2d.__init__\(\) got .* 'pading' \(did you mean 'padding'\?\)"),
    "optimizer": (lambda x: fg.optim.AdamW([x], weight_dekay=1), r"AdamW.__init__\(\) got .* 'weight_decay'"),
    "scheduler": (lambda x: fg.optim.lr_scheduler.StepLR(fg.optim.SGD([x], 1), stepsize=1),
                  r"StepLR.__init__\(\) got .* 'step_size'"),
    "distribution": (lambda x: fg.distributions.Normal(loc=0, scael=1), r"Normal.__init__\(\) got .* 'scale'"),
    "transform": (lambda x: fg.distributions.AffineTransform(loc=0, scal=1), r"AffineTransform.* 'scale'"),
    "recurrent layer": (lambda x: nn.LSTM(2, 3, batchfirst=True), r"LSTM.__init__\(\) got .* 'batch_first'"),
    "recurrent layer with a nonlinearity": (lambda x: nn.RNN(2, 3, nonlinarity="relu"), r"RNN.* 'nonlinearity'"),
    "saving": (lambda x: fg.save(x, "x", pickle_protcol=2), r"save\(\) got .* 'pickle_protocol'"),
    "loading": (lambda x: fg.load("x", maplocation="cpu"), r"load\(\) got .* 'map_location'"),
    "moving a module": (lambda x: nn.Linear(1, 1).to(devic="cpu"), r"to\(\) got .* 'device'"),
    "state": (lambda x: nn.Linear(1, 1).load_state_dict({}, strct=True), r"load_state_dict\(\) got .* 'strict'"),
    "buffer": (lambda x: nn.Linear(1, 1).register_buffer("a", x, persistant=True), r"got .* 'persistent'"),
    "clipping": (lambda x: nn.utils.clip_grad_norm_([x], maxnorm=1), r"clip_grad_norm_\(\) got .* 'max_norm'"),
    "padding": (lambda x: nn.utils.rnn.pad_sequence([x], batchfirst=True), r"pad_sequence\(\) got .* 'batch_first'"),
    "initial values": (lambda x: nn.init.kaiming_normal_(x, nonlinarity="relu"), r"got .* 'nonlinearity'"),
    "vmap": (lambda x: fg.vmap(abs, in_dim=0), r"vmap\(\) got .* 'in_dims'"),
    "autocast": (lambda x: fg.autocast("cpu", dtyp=fg.bfloat16), r"autocast.__init__\(\) got .* 'dtype'"),
    "seed": (lambda x: fg.manual_seed(sed=1), r"manual_seed\(\) got .* 'seed'"),
    "loader": (lambda x: fg.utils.data.DataLoader([1], batchsize=2), r"DataLoader.__init__\(\) got .* 'batch_size'"),
}


@pytest.mark.parametrize("case", MISSPELLED)
def test_nearest_keyword_is_named(case):
    call, text = MISSPELLED[case]
    with pytest.raises(TypeError, match=text):
        call(fg.ones(2, 2))


def test_a_keyword_like_no_other():
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'zzz'; it takes params, lr"):
        fg.optim.Adam([fg.ones(1)], zzz=1)
    with pytest.raises(TypeError, match=r"sum\(\) got an unexpected keyword argument 'zzz'; signature"):
        fg.ones(1).sum(zzz=1)


def test_modules_of_users():
    class Net(nn.Module):
        def __init__(self, hidden=3, *, depth=1):
            super().__init__()

    class Any(nn.Linear):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    Net(hidden=1, depth=2)
    Any(1, out_features=2)
    text = r"Net.__init__\(\) got .* 'hiden' \(did you mean 'hidden'\?\); it takes hidden, depth"
    with pytest.raises(TypeError, match=text):
        Net(hiden=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'bais'"):
        Any(1, 2, bais=False)


def test_an_error_inside_the_function_stays_as_it_is():
    def activation(x, slop):
        return F.leaky_relu(x, slop)

    with pytest.raises(TypeError) as caught:
        nn.TransformerEncoderLayer(4, 1, activation=activation, dropout=0.0)(fg.ones(2, 4))
    assert "did you mean" not in str(caught.value)
