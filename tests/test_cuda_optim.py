"""Optimizers with capturable=True: the numbers of their states are on the device, and a replay moves them on."""
import copy

import numpy as np
import pytest

import fastgrad as fg

pytestmark = [pytest.mark.emulate,
              pytest.mark.skipif(not fg.cuda.is_available(), reason="needs a CUDA device, or the emulated one")]
device = "cuda"
optim = fg.optim

CASES = {
    "adam": (optim.Adam, {"lr": 0.01, "weight_decay": 0.1}),
    "adamw": (optim.AdamW, {"lr": 0.01, "amsgrad": True}),
    "adamax": (optim.Adamax, {"lr": 0.02, "weight_decay": 0.1}),
    "nadam": (optim.NAdam, {"lr": 0.01}),
    "nadam_decoupled": (optim.NAdam, {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True,
                                      "momentum_decay": 0.3}),
    "radam": (optim.RAdam, {"lr": 0.02}),
    "radam_soon": (optim.RAdam, {"lr": 0.02, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}),
    "rmsprop": (optim.RMSprop, {"lr": 0.01}),
    "rmsprop_all": (optim.RMSprop, {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    "rprop": (optim.Rprop, {"lr": 0.01}),
    "adadelta": (optim.Adadelta, {"lr": 0.5, "weight_decay": 0.1}),
    "asgd": (optim.ASGD, {"lr": 0.05, "lambd": 0.01, "t0": 2, "weight_decay": 0.1}),
}
STEPS = 8
SHAPES = ((700,), (3, 5), ())


def starts():
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype("float32") for shape in SHAPES]


def set_gradients(params, i):
    for param in params:
        param.grad = (param.detach() * 3 + 1).sin() * (i + 1)


def numbers_of(optimizer, param):
    return [optimizer.state[param][name] for name in optimizer._numbers]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("lr_there", [False, True])
def test_the_same_steps(name, lr_there):
    """As with numbers on the host; a saved state is loaded on the way, and the learning rate may change meanwhile."""
    cls, options = CASES[name]
    results = []
    for capturable in (False, True):
        params = [fg.tensor(s, device=device).requires_grad_() for s in starts()]
        lr = fg.tensor(options["lr"], device=device) if capturable and lr_there else options["lr"]
        options = {**options, "lr": lr, "capturable": capturable}
        optimizer = cls(params, **options)
        for i in range(STEPS):
            set_gradients(params, i)
            optimizer.step()
            if i == 1:
                other = cls(params, **options)
                other.load_state_dict(optimizer.state_dict())
                optimizer = other
        for param in params:
            assert optimizer.state[param]["step"].item() == STEPS
            for number in numbers_of(optimizer, param):
                assert number.device.type == ("cuda" if capturable else "cpu") and number.dtype == fg.float32
        results.append([t.detach().cpu() for p in params
                        for t in (p, *(v for v in optimizer.state[p].values() if v is not None))])
        if capturable and lr_there and name not in ("adam", "rprop", "asgd"):
            lr = optimizer.param_groups[0]["lr"]
            before = [p.detach().clone() for p in params]
            lr.fill_(0.0)
            set_gradients(params, 0)
            optimizer.step()
            assert all(p.detach().equal(b) for p, b in zip(params, before))
        options = CASES[name][1]
    for a, b in zip(*results):
        assert fg.allclose(a, b, rtol=3e-6, atol=3e-6) if lr_there or a.ndim == 0 else a.equal(b)


@pytest.mark.parametrize("name", CASES)
def test_replays_are_steps(name):
    """Bit for bit what the same calls do without a graph, and the numbers of the state move on."""
    cls, options = CASES[name]
    results = []
    for graphed in (False, True):
        params = [fg.tensor(s, device=device).requires_grad_() for s in starts()]
        optimizer = cls(params, **options, capturable=True)

        def step():
            set_gradients(params, 1)  # noqa: B023
            optimizer.step()  # noqa: B023

        for _ in range(2):
            step()
        if graphed:
            g = fg.cuda.CUDAGraph()
            with fg.cuda.graph(g):
                step()
            assert optimizer.state[params[0]]["step"].item() == 2
        for _ in range(STEPS):
            g.replay() if graphed else step()
        assert all(optimizer.state[p]["step"].item() == STEPS + 2 for p in params)
        results.append([t.detach().clone() for p in params for t in (p, *optimizer.state[p].values())])
    assert all(a.equal(b) for a, b in zip(*results))


def test_many_parameters_are_several_launches():
    params = [fg.full((2,), 1.0, device=device, requires_grad=True) for _ in range(150)]
    params.insert(40, fg.empty(0, device=device, requires_grad=True))
    optimizer = optim.NAdam(params, capturable=True)
    for _ in range(3):
        for i, p in enumerate(params):
            p.grad = fg.full_like(p, float(i))
        optimizer.step()
    assert {optimizer.state[p]["step"].item() for p in params} == {3.0}
    host = [fg.full((2,), 1.0, device=device, requires_grad=True) for _ in range(150)]
    other = optim.NAdam(host)
    for _ in range(3):
        for i, p in enumerate(host):
            p.grad = fg.full_like(p, float(i + (i >= 40)))
        other.step()
    for a, b in zip([p for p in params if p.numel()], host):
        assert a.equal(b)


def test_numbers_must_be_on_the_device():
    for name, (cls, options) in CASES.items():
        w = fg.ones(3, device=device, requires_grad=True)
        w.grad = fg.ones(3, device=device)
        optimizer = cls([w], **options)
        optimizer.step()
        before = w.detach().clone()
        optimizer.param_groups[0]["capturable"] = True
        with pytest.raises(AssertionError, match="If capturable=True, params.* must be on supported devices"):
            optimizer.step()
        assert w.detach().equal(before), name
        optimizer.load_state_dict(optimizer.state_dict())  # moves them
        optimizer.step()
        assert [n.is_cuda for n in numbers_of(optimizer, w)] == [True] * len(optimizer._numbers)
        with pytest.raises(RuntimeError, match="warm-up"):
            with fg.cuda.graph(fg.cuda.CUDAGraph()):
                cls([w], **options, capturable=True).step()
        with pytest.raises(RuntimeError, match="capturable is False"):
            with fg.cuda.graph(fg.cuda.CUDAGraph()):
                cls([w], **options).step()


def test_states_loaded_to_another_device():
    """The numbers of a state saved on the CPU go where the optimizer wants them, whatever dtype the parameter has."""
    for cls in (optim.NAdam, optim.ASGD, optim.Adam):
        for dtype in (fg.float32, fg.bfloat16):
            w = fg.ones(3, dtype=dtype, requires_grad=True)
            saved = cls([w])
            w.grad = fg.ones(3, dtype=dtype)
            saved.step()
            for capturable in (False, True):
                v = fg.ones(3, dtype=dtype, device=device, requires_grad=True)
                loaded = cls([v], capturable=capturable)
                state = copy.deepcopy(saved.state_dict())
                state["param_groups"][0]["capturable"] = capturable
                loaded.load_state_dict(state)
                v.grad = fg.ones(3, dtype=dtype, device=device)
                loaded.step()
                assert loaded.state[v]["step"].item() == 2
                assert {n.is_cuda for n in numbers_of(loaded, v)} == {capturable}


def test_double_is_the_default_dtype():
    fg.set_default_dtype(fg.float64)
    try:
        for name, (cls, options) in CASES.items():
            pair = []
            for capturable in (False, True):
                w = fg.ones(3, device=device, requires_grad=True)
                lr = fg.tensor(options["lr"], device=device) if capturable else options["lr"]
                optimizer = cls([w], **{**options, "lr": lr}, capturable=capturable)
                for i in range(STEPS):
                    set_gradients([w], i)
                    optimizer.step()
                assert optimizer.state[w]["step"].dtype == fg.float64
                pair.append(w.detach())
            assert fg.allclose(*pair, rtol=1e-14), name
    finally:
        fg.set_default_dtype(fg.float32)


@pytest.mark.parametrize("load", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_first_gradients_after_numbers_of_another_dtype(name, load):
    """Loaded numbers are float32, or the default dtype has changed: a parameter that starts now has numbers alike."""
    cls, options = CASES[name]
    params = [fg.ones(3, device=device, requires_grad=True) for _ in range(2)]
    optimizer = cls(params, **options, capturable=True)
    try:
        if load:
            fg.set_default_dtype(fg.float64)
        set_gradients(params[:1], 0)
        optimizer.step()
        if load:
            other = cls(params, **options, capturable=True)
            other.load_state_dict(optimizer.state_dict())
            optimizer = other
        fg.set_default_dtype(fg.float64)
        for first in (1, 0):  # also when the one that is there has no gradient at that time
            params[0].grad = None
            set_gradients(params[first:], 1)
            optimizer.step()
        assert [optimizer.state[p]["step"].item() for p in params] == [2, 2]
        assert {n.dtype for p in params for n in numbers_of(optimizer, p)} == {fg.float32}
    finally:
        fg.set_default_dtype(fg.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64"])
@pytest.mark.parametrize("name", CASES)
def test_learning_rates_of_other_dtypes(name, dtype):
    """As the same number in float32, and a graph follows what it becomes."""
    cls, options = CASES[name]
    ends = []
    for kind in (dtype, "float32"):
        params = [fg.tensor(s, device=device).requires_grad_() for s in starts()]
        lr = fg.tensor(2 if dtype == "int64" else 0.125, device=device, dtype=getattr(fg, kind))
        optimizer = cls(params, **{**options, "lr": lr}, capturable=True)
        set_gradients(params, 0)
        optimizer.step()
        graph = fg.cuda.CUDAGraph()
        with fg.cuda.graph(graph):
            optimizer.step()
        lr.fill_(1)
        graph.replay()
        ends.append([p.detach().cpu() for p in params])
    assert all(a.equal(b) for a, b in zip(*ends))
