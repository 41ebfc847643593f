"""Every optimizer, twenty steps on random parameters: values and states are torch's; each loads the other's state."""
import copy

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import nn, optim

CASES = [
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}), ("Adam", {"amsgrad": True}),
    ("AdamW", {"weight_decay": 0.3}), ("RMSprop", {"centered": True, "momentum": 0.7}),
    ("Adagrad", {}), ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.2, "initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("Adagrad", {"maximize": True}),
    ("Adadelta", {}), ("Adadelta", {"rho": 0.7, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}), ("Adamax", {"betas": (0.6, 0.8), "eps": 1e-3, "weight_decay": 0.1}), ("Adamax", {"maximize": True}),
    ("NAdam", {}), ("NAdam", {"weight_decay": 0.1, "momentum_decay": 0.1, "betas": (0.4, 0.8)}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {}), ("RAdam", {"weight_decay": 0.1, "betas": (0.5, 0.7)}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True, "eps": 1e-3}),
    ("Rprop", {}), ("Rprop", {"etas": (0.3, 1.7), "step_sizes": (1e-3, 0.2), "maximize": True}),
    ("ASGD", {}), ("ASGD", {"lambd": 0.1, "alpha": 0.4, "t0": 3, "weight_decay": 0.1}), ("ASGD", {"maximize": True}),
    ("Adafactor", {}), ("Adafactor", {"eps": (1e-4, 1e-2), "d": 2.0, "weight_decay": 0.1, "beta2_decay": -0.5}),
    ("Adafactor", {"maximize": True})]
IDS = [f"{name}-{'-'.join(options) or 'plain'}" for name, options in CASES]
SHAPES = [(3, 5), (7,), (), (2, 3, 4), (2, 0)]  # Adafactor divides by the number of elements


def shapes_of(name):
    return SHAPES[:-1] if name == "Adafactor" else SHAPES


def start(library, dtype="float64", shapes=SHAPES):
    numbers = np.random.default_rng(1)
    return [library.nn.Parameter(library.tensor(numbers.normal(size=shape)).to(getattr(library, dtype)))
            for shape in shapes]


def set_gradients(library, parameters, step):
    numbers = np.random.default_rng(100 + step)
    for p in parameters:
        p.grad = library.tensor(numbers.normal(size=tuple(p.shape))).to(p.dtype)


def run(library, optimizer, parameters, steps):
    for step in steps:
        set_gradients(library, parameters, step)
        optimizer.step()


def converted(library, value):
    """A state dict with its tensors in another library."""
    if isinstance(value, dict):
        return {key: converted(library, entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(converted(library, entry) for entry in value)
    if hasattr(value, "numpy"):
        return library.tensor(value.numpy())
    return value


def assert_same(ours, theirs, rtol, where=""):
    assert type(ours).__name__ == type(theirs).__name__, where
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key in theirs:
            assert_same(ours[key], theirs[key], rtol, f"{where}.{key}")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs)):
            assert_same(a, b, rtol, f"{where}[{i}]")
    elif hasattr(theirs, "numpy"):
        assert str(ours.dtype) == str(theirs.dtype) and ours.shape == tuple(theirs.shape), where
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=rtol, atol=rtol * 1e-2, err_msg=where)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=rtol), where
    else:
        assert ours == theirs, where


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_twenty_steps(torch, name, options):
    states = []
    for library in (fg, torch):
        parameters = start(library, shapes=shapes_of(name))
        optimizer = getattr(library.optim, name)(parameters, lr=0.05, **options)
        run(library, optimizer, parameters, range(20))
        states.append(({"p": [p.detach() for p in parameters], **optimizer.state_dict()}, repr(optimizer)))
    assert_same(states[0][0], states[1][0], 1e-6)
    assert states[0][1] == states[1][1]


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_each_loads_the_state_of_the_other(torch, name, options):
    middle, ends = {}, []
    for library in (fg, torch):
        parameters = start(library, shapes=shapes_of(name))
        optimizer = getattr(library.optim, name)(parameters, lr=0.05, **options)
        run(library, optimizer, parameters, range(5))
        middle[library] = ([p.detach() for p in parameters], optimizer.state_dict())
    for library, other in ((fg, torch), (torch, fg)):
        values, state = converted(library, middle[other])
        parameters = [library.nn.Parameter(value) for value in values]
        optimizer = getattr(library.optim, name)(parameters)
        optimizer.load_state_dict(state)
        run(library, optimizer, parameters, range(5, 10))
        ends.append({"p": [p.detach() for p in parameters], **optimizer.state_dict()})
    assert_same(ends[0], ends[1], 1e-6)


@pytest.mark.parametrize("dtype, rtol", [("float32", 2e-5), ("bfloat16", 0.1), ("float16", 0.02)])
@pytest.mark.parametrize("name", ["Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD"])
def test_dtypes(torch, name, dtype, rtol):
    ends = []
    for library in (fg, torch):
        parameters = start(library, dtype, [(3, 5), (40,)])
        options = {} if name in ("Rprop", "ASGD") else {"eps": 1e-3}
        run(library, getattr(library.optim, name)(parameters, lr=0.01, **options), parameters, range(4))
        ends.append([p.detach().double() for p in parameters])
    assert_same(ends[0], ends[1], rtol)


def test_large_and_strided_parameters():
    """Chunks of several threads and transposed memory give what small contiguous ones give."""
    for name in ("Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD"):
        data = fg.randn(300, 400)
        plain, turned = nn.Parameter(data.clone()), nn.Parameter(data.t().clone().t())
        rows = [nn.Parameter(row.clone()) for row in data]
        for parameters in ([plain], [turned], rows):
            fg.manual_seed(3)
            optimizer = getattr(optim, name)(parameters, lr=0.1)
            for _ in range(2):
                gradient = fg.randn(300, 400)
                for i, p in enumerate(parameters):
                    p.grad = gradient if len(parameters) == 1 else gradient[i]
                optimizer.step()
        assert fg.equal(plain, turned) and fg.equal(plain, fg.stack(rows)), name


def test_counters_follow_the_default_dtype(torch):
    for library in (fg, torch):
        library.set_default_dtype(library.float64)
        try:
            for name in ("Adam", "NAdam", "ASGD"):
                parameters = start(library)
                optimizer = getattr(library.optim, name)(parameters)
                run(library, optimizer, parameters, range(3))
                assert optimizer.state[parameters[0]]["step"].dtype is library.float64
        finally:
            library.set_default_dtype(library.float32)


MUON = [{}, {"nesterov": False, "weight_decay": 0.0}, {"adjust_lr_fn": "match_rms_adamw", "momentum": 0.5},
        {"adjust_lr_fn": "original", "ns_steps": 2, "ns_coefficients": (2.0, -1.5, 0.5), "eps": 1e-4}]


@pytest.mark.parametrize("options", MUON, ids=str)
def test_muon(torch, options):
    """Iterations in bfloat16: the same path to about its precision."""
    ends = []
    for library in (fg, torch):
        parameters = start(library, "float32", [(4, 6), (6, 4), (5, 5)])
        optimizer = library.optim.Muon(parameters, lr=0.05, **options)
        run(library, optimizer, parameters, range(5))
        ends.append([p.detach() for p in parameters])
        state = optimizer.state_dict()
        assert list(state["state"][0]) == ["momentum_buffer"]
    for a, b in zip(*ends):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=0.01)
    with pytest.raises(ValueError, match="Muon only supports 2D parameters whereas we found a parameter with size"):
        optim.Muon([nn.Parameter(fg.ones(3))])
    with pytest.raises(ValueError, match="Number of steps must be less than 100"):
        p = start(fg, "float32", [(2, 2)])
        run(fg, optim.Muon(p, ns_steps=100), p, [0])


def banana(parameters):
    x = parameters[0]
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum() + (parameters[1] ** 4).sum()


LBFGS = [{}, {"line_search_fn": "strong_wolfe"}, {"lr": 0.3, "history_size": 3, "line_search_fn": "strong_wolfe"},
         {"lr": 1e-3, "max_iter": 7, "history_size": 2},
         {"max_iter": 4, "max_eval": 5, "line_search_fn": "strong_wolfe"}]


@pytest.mark.parametrize("options", LBFGS, ids=str)
def test_lbfgs(torch, options):
    results = []
    for library in (fg, torch):
        parameters = start(library, "float64", [(6,), (2, 3)])
        optimizer = library.optim.LBFGS(parameters, **options)

        def closure(parameters=parameters, optimizer=optimizer):
            optimizer.zero_grad()
            loss = banana(parameters)
            loss.backward()
            return loss

        losses = [optimizer.step(closure).item() for _ in range(2)]
        results.append({"losses": losses, "p": [p.detach() for p in parameters], **optimizer.state_dict()})
    if options:  # a full step without search leaves the valley; only its first moves agree to all digits
        assert_same(results[0], results[1], 1e-6)
    else:
        assert results[0]["losses"][0] == pytest.approx(results[1]["losses"][0], rel=1e-12)
        assert list(results[0]["state"][0]) == list(results[1]["state"][0])


def test_lbfgs_errors_and_resume():
    a, b = start(fg, "float64", [(3,), (3,)])
    with pytest.raises(ValueError, match="LBFGS doesn't support per-parameter options"):
        optim.LBFGS([{"params": [a]}, {"params": [b]}])
    optimizer = optim.LBFGS([a, b], line_search_fn="backtracking")

    def closure():
        loss = ((a - 1) ** 2).sum() + (b ** 2 * fg.arange(1.0, 4.0)).sum()
        a.grad = b.grad = None
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        optimizer.step(closure)
    optimizer = optim.LBFGS([a, b], max_iter=2, line_search_fn="strong_wolfe")
    optimizer.step(closure)
    saved, values = copy.deepcopy(optimizer.state_dict()), [a.detach().clone(), b.detach().clone()]
    optimizer.step(closure)
    ends = [a.detach().clone(), b.detach().clone()]
    with fg.no_grad():
        a.copy_(values[0]), b.copy_(values[1])
    again = optim.LBFGS([a, b])
    again.load_state_dict(saved)
    again.step(closure)
    assert fg.equal(a, ends[0]) and fg.equal(b, ends[1])


def test_options_are_checked(torch):
    calls = [("Adagrad", {"lr_decay": -1}), ("Adagrad", {"initial_accumulator_value": -1}), ("Adadelta", {"rho": 2}),
             ("Adamax", {"betas": (0.5, 1)}), ("NAdam", {"momentum_decay": -1}), ("RAdam", {"eps": -1}),
             ("Rprop", {"etas": (1.5, 2)}), ("ASGD", {"weight_decay": -1}), ("Adafactor", {"d": 0.5}),
             ("Adafactor", {"beta2_decay": 1}), ("Adafactor", {"eps": (-1, 1)}), ("Adafactor", {"eps": (None, -1)}),
             ("Adafactor", {"lr": -1}), ("Muon", {"momentum": -1}), ("Muon", {"adjust_lr_fn": "x"}),
             ("LBFGS", {"lr": -1})]
    for name, options in calls:
        texts = []
        for library in (fg, torch):
            with pytest.raises(ValueError) as error:
                getattr(library.optim, name)(start(library), **options)
            texts.append(str(error.value))
        assert texts[0] == texts[1], name


def test_what_is_not_supported():
    parameters = start(fg)
    with pytest.raises(NotImplementedError, match="differentiable=True"):
        optim.NAdam(parameters, differentiable=True)
    set_gradients(fg, parameters, 0)
    with pytest.raises(AssertionError, match="If capturable=True"):
        optim.Adam(parameters, capturable=True).step()
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together"):
        optim.Adagrad(parameters, fused=True, foreach=True)
    with pytest.raises(NotImplementedError, match="share_memory"):
        optim.Adagrad(parameters).share_memory()
    with pytest.raises(AttributeError, match="SparseAdam"):
        optim.SparseAdam
    for name in ("Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD"):
        getattr(optim, name)(parameters, foreach=True).step()


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "Adadelta", "ASGD"])
def test_capturable_is_of_devices(torch, name):
    """On the CPU it is refused at the first step, whose state is there then."""
    texts = []
    for library in (fg, torch):
        parameters = start(library)
        set_gradients(library, parameters, 0)
        optimizer = getattr(library.optim, name)(parameters, capturable=True)
        assert optimizer.param_groups[0]["capturable"] is True
        with pytest.raises(AssertionError) as error:
            optimizer.step()
        texts.append(str(error.value))
        assert all("step" in optimizer.state[p] for p in parameters if p.grad is not None)
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", ["NAdam", "ASGD", "Adam", "RMSprop"])
def test_capturable_numbers_are_of_one_dtype(name):
    """Loaded ones are float32 whatever the default dtype is, as in torch; those of a later start are like them."""
    w, v = fg.ones(3, requires_grad=True), fg.ones(3, requires_grad=True)
    first, second = (getattr(optim, name)([w, v], capturable=True) for _ in range(2))
    fg.set_default_dtype(fg.float64)
    try:
        w.grad = fg.ones(3, dtype=fg.float32)
        with pytest.raises(AssertionError, match="If capturable=True"):  # on the CPU; the state is there then
            first.step()
        assert {first.state[w][n].dtype for n in first._numbers} == {fg.float64}
        second.load_state_dict(first.state_dict())
        w.grad, v.grad = None, fg.ones(3, dtype=fg.float32)
        with pytest.raises(AssertionError, match="If capturable=True"):
            second.step()
    finally:
        fg.set_default_dtype(fg.float32)
    assert {second.state[p][n].dtype for p in (w, v) for n in second._numbers} == {fg.float32}


@pytest.mark.parametrize("name", ["NAdam", "ASGD", "Adam"])
def test_numbers_of_loaded_states_of_half_parameters(name):
    w = fg.ones(3, dtype=fg.bfloat16, requires_grad=True)
    w.grad = fg.ones(3, dtype=fg.bfloat16)
    first, second = getattr(optim, name)([w]), getattr(optim, name)([w])
    first.step()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.step()
    assert second.state[w]["step"].item() == 2
    assert all(second.state[w][n].dtype == fg.float32 for n in second._numbers)


def test_import_paths():
    for name in ("asgd.ASGD", "adadelta.Adadelta", "adagrad.Adagrad", "adam.Adam", "adamax.Adamax", "adamw.AdamW",
                 "lbfgs.LBFGS", "nadam.NAdam", "radam.RAdam", "rmsprop.RMSprop", "rprop.Rprop", "sgd.SGD",
                 "optimizer.Optimizer", "lr_scheduler._LRScheduler", "lr_scheduler.LRScheduler"):
        module, cls = name.split(".")
        found = getattr(__import__(f"fastgrad.optim.{module}", fromlist=[cls]), cls)
        assert getattr(optim, cls, found) is found
    assert optim.optimizer.required is not None and "NAdam" in dir(optim)


def test_global_hooks():
    seen = []
    first = optim.optimizer.register_optimizer_step_pre_hook(lambda o, args, kwargs: seen.append(("pre", type(o))))
    last = optim.optimizer.register_optimizer_step_post_hook(lambda o, args, kwargs: seen.append(("post", type(o))))

    class Mine(optim.Adam):
        def step(self, closure=None):
            return super().step(closure)

    try:
        for cls in (optim.NAdam, optim.SGD, Mine):
            cls(start(fg), lr=0.1).step()
    finally:
        first.remove()
        last.remove()
    optim.NAdam(start(fg)).step()
    assert seen[:4] == [("pre", optim.NAdam), ("post", optim.NAdam), ("pre", optim.SGD), ("post", optim.SGD)]
    # Its own step and the one it calls.
    assert seen[4:] == [("pre", Mine)] * 2 + [("post", Mine)] * 2 and len(seen) == 8
