"""Optimizers and schedules against torch, and what an Optimizer promises."""
import copy
import pickle

import pytest

import fastgrad as fg
from fastgrad import nn, optim
from fastgrad.optim import lr_scheduler

OPTIMIZERS = [
    ("SGD", {}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"momentum": 0.5, "dampening": 0.3, "maximize": True}), ("Adam", {}), ("Adam", {"amsgrad": True}),
    ("Adam", {"weight_decay": 0.1, "betas": (0.8, 0.9), "eps": 1e-3}), ("Adam", {"maximize": True}), ("AdamW", {}),
    ("AdamW", {"amsgrad": True, "weight_decay": 0.2}), ("RMSprop", {}), ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True, "weight_decay": 0.01}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "alpha": 0.8})]
IDS = [f"{name}-{'-'.join(options) or 'plain'}" for name, options in OPTIMIZERS]


def parameters_of(library, dtype="float32"):
    dtype = getattr(library, dtype)
    start = ([[0.5, -1.0], [2.0, 0.25]], [1.0, -1.0, 3.0])
    return [library.nn.Parameter(library.tensor(data, dtype=dtype)) for data in start]


def loss_of(parameters):
    return sum(((p - 0.3) ** 2 * (i + 1)).sum() for i, p in enumerate(parameters))


def flat(parameters):
    return [value for p in parameters for value in p.detach().reshape(-1).tolist()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name, options", OPTIMIZERS, ids=IDS)
def test_steps(torch, name, options, dtype):
    results = []
    for library in (fg, torch):
        parameters = parameters_of(library, dtype)
        optimizer = getattr(library.optim, name)(parameters, lr=0.05, **options)
        for step in range(6):
            optimizer.zero_grad()
            loss_of(parameters).backward()
            if step == 2:
                parameters[1].grad = None  # a parameter without gradient stays
            optimizer.step()
        state = optimizer.state_dict()
        results.append((flat(parameters), state, repr(optimizer)))
    (ours, state, text), (theirs, tstate, ttext) = results
    assert ours == pytest.approx(theirs, rel=3e-6, abs=1e-6)
    assert text == ttext
    assert state["param_groups"] == tstate["param_groups"]
    assert list(state["state"]) == list(tstate["state"])
    for number, entries in tstate["state"].items():
        assert list(state["state"][number]) == list(entries)
        for key, value in entries.items():
            got = state["state"][number][key]
            assert got.reshape(-1).tolist() == pytest.approx(value.reshape(-1).tolist(), rel=1e-5, abs=1e-7), key
            assert str(got.dtype).split(".")[1] == str(value.dtype).split(".")[1]


@pytest.mark.parametrize("name, options", OPTIMIZERS, ids=IDS)
def test_state_dict_resumes(name, options):
    def run(steps, parameters, optimizer):
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(parameters).backward()
            optimizer.step()

    cls = getattr(optim, name)
    whole = parameters_of(fg)
    first = cls(whole, lr=0.05, **options)
    run(3, whole, first)
    half = [nn.Parameter(p.detach().clone()) for p in whole]
    second = cls(half, lr=9.0, **options)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    run(3, whole, first)
    run(3, half, second)
    assert flat(half) == flat(whole)
    third = pickle.loads(pickle.dumps(first))
    assert repr(third) == repr(first) and len(third.state) == len(first.state)


def test_state_dict_of_torch(torch):
    theirs = parameters_of(torch)
    toptimizer = torch.optim.Adam(theirs, lr=0.1)
    loss_of(theirs).backward()
    toptimizer.step()
    state = toptimizer.state_dict()
    for entries in state["state"].values():
        for key in entries:
            entries[key] = fg.tensor(entries[key].tolist())
    optimizer = optim.Adam(parameters_of(fg))
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_groups_and_errors():
    a, b = parameters_of(fg)
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        optimizer.add_param_group({"params": [a]})
    with pytest.raises(TypeError, match="param_group must be a dict"):
        optimizer.add_param_group([a])
    with pytest.raises(TypeError, match="ordered collections"):
        optimizer.add_param_group({"params": {a}})
    with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
        optim.SGD([], lr=0.1)
    with pytest.raises(TypeError, match="should be an iterable of Tensors or dicts, but got"):
        optim.SGD(a, lr=0.1)
    with pytest.raises(TypeError, match="optimizer can only optimize Tensors, but one of the params is int"):
        optim.SGD([1], lr=0.1)
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        optim.SGD([a * 2], lr=0.1)
    with pytest.raises(ValueError, match="Invalid learning rate: -1"):
        optim.SGD([a], lr=-1)
    with pytest.raises(ValueError, match="Nesterov momentum requires a momentum and zero dampening"):
        optim.SGD([a], lr=1, nesterov=True)
    with pytest.raises(ValueError, match="Invalid beta parameter at index 1: 1.5"):
        optim.Adam([a], betas=(0.5, 1.5))
    with pytest.raises(ValueError, match="Invalid epsilon value: -1"):
        optim.RMSprop([a], eps=-1)
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optim.SGD([a], lr=1).load_state_dict(optim.SGD([a, b], lr=1).state_dict())
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optim.SGD([a], lr=1).load_state_dict(optimizer.state_dict())
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([a, a], lr=1)
    named = optim.SGD([("a", a), ("b", b)], lr=1)
    assert named.param_groups[0]["param_names"] == ["a", "b"]
    with pytest.raises(ValueError, match="Some param names are missing"):
        optim.SGD([("a", a), b], lr=1)


def test_zero_grad_and_closure():
    parameters = parameters_of(fg)
    optimizer = optim.SGD(parameters, lr=0.1)
    calls = []

    def closure():
        optimizer.zero_grad()
        loss = loss_of(parameters)
        loss.backward()
        calls.append(loss.item())
        return loss

    with fg.no_grad():
        result = optimizer.step(closure)
    assert result.item() == calls[0] and parameters[0].grad is not None
    optimizer.zero_grad(set_to_none=False)
    assert flat([p.grad for p in parameters]) == [0.0] * 7
    optimizer.zero_grad()
    assert parameters[0].grad is None
    optimizer.step()


def test_hooks():
    class Mine(optim.SGD):
        pass

    optimizer, seen = Mine(parameters_of(fg), lr=0.1), []
    first = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append("pre"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append("post"))
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "mark": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, state: {k: v for k, v in state.items() if k != "mark"})
    optimizer.step()
    first.remove()
    optimizer.step()
    assert seen == ["pre", "post", "post"]
    state = optimizer.state_dict()
    assert state["mark"] == 1
    optimizer.load_state_dict(state)


def test_lr_as_tensor():
    parameters = parameters_of(fg)
    optimizer = optim.SGD(parameters, lr=fg.tensor(0.5))
    scheduler = lr_scheduler.StepLR(optimizer, 1, 0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"].item() == 0.25


SCHEDULES = [
    ("StepLR", {"step_size": 3}), ("MultiStepLR", {"milestones": [2, 5, 5]}), ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}), ("LambdaLR", {"lr_lambda": lambda epoch: 0.95 ** epoch}),
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 0.9}), ("LinearLR", {}), ("LinearLR", {"end_factor": 0.5}),
    ("ConstantLR", {"total_iters": 4}), ("PolynomialLR", {"total_iters": 7, "power": 2.0}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 20}),
    ("OneCycleLR", {"max_lr": [0.3, 0.1], "epochs": 5, "steps_per_epoch": 4, "three_phase": True,
                    "anneal_strategy": "linear"}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3, "step_size_down": 2, "mode": "exp_range",
                  "gamma": 0.9}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2, "mode": "triangular2", "cycle_momentum": False})]


@pytest.mark.parametrize("name, options", SCHEDULES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(SCHEDULES)])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_schedule(torch, name, options, kind):
    results = []
    for library in (fg, torch):
        a, b = parameters_of(library)
        extra = {"momentum": 0.9} if kind == "SGD" else {}
        optimizer = getattr(library.optim, kind)([{"params": [a]}, {"params": [b], "lr": 0.2}], lr=0.1, **extra)
        scheduler = getattr(library.optim.lr_scheduler, name)(optimizer, **options)
        rates = []
        for _ in range(18):
            momentum = [group.get("momentum", group.get("betas")) for group in optimizer.param_groups]
            rates.append((scheduler.get_last_lr(), [group["lr"] for group in optimizer.param_groups], momentum))
            optimizer.step()
            scheduler.step()
        state = {key: value for key, value in scheduler.state_dict().items() if not callable(value)}
        results.append((rates, state))
    assert results[0][0] == results[1][0]
    ours, theirs = results[0][1], results[1][1]
    assert ours == {key: value for key, value in theirs.items() if key in ours}
    assert not (set(theirs) - set(ours))


def test_sequential_and_chained(torch):
    results = []
    for library in (fg, torch):
        module = library.optim.lr_scheduler
        rates = []
        for combine in ("sequential", "chained"):
            optimizer = library.optim.SGD(parameters_of(library), lr=0.1)
            parts = [module.ConstantLR(optimizer, factor=0.5, total_iters=3), module.ExponentialLR(optimizer, 0.8)]
            both = (module.SequentialLR(optimizer, parts, [3]) if combine == "sequential"
                    else module.ChainedScheduler(parts))
            for _ in range(8):
                rates.append(both.get_last_lr())
                optimizer.step()
                both.step()
            both.load_state_dict(both.state_dict())
        results.append(rates)
    assert results[0] == results[1]


def test_plateau(torch):
    values = [5.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0]
    for options in ({"patience": 1}, {"patience": 1, "mode": "max", "cooldown": 2},
                    {"patience": 0, "threshold_mode": "abs", "min_lr": 0.01}):
        results = []
        for library in (fg, torch):
            optimizer = library.optim.SGD(parameters_of(library), lr=0.1)
            scheduler = library.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
            rates = []
            for value in values:
                scheduler.step(library.tensor(value))
                rates += scheduler.get_last_lr()
            scheduler.load_state_dict(scheduler.state_dict())
            results.append((rates, scheduler.state_dict()))
        assert results[0] == results[1]


def test_schedule_warnings_and_errors():
    optimizer = optim.SGD(parameters_of(fg), lr=0.1)
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match="Detected call of `lr_scheduler.step\\(\\)` before `optimizer.step\\(\\)`"):
        scheduler.step()
    with pytest.warns(UserWarning, match="please use `get_last_lr"):
        scheduler.get_lr()
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        lr_scheduler.StepLR(3, 2)
    with pytest.raises(KeyError, match="param 'initial_lr' is not specified"):
        lr_scheduler.StepLR(optim.SGD(parameters_of(fg), lr=0.1), 2, last_epoch=3)
    with pytest.raises(ValueError, match="Expected 1 lr_lambdas, but got 2"):
        lr_scheduler.LambdaLR(optimizer, [len, len])


def test_hooks_after_a_schedule_run():
    class Mine(optim.SGD):
        pass

    optimizer, seen = Mine(parameters_of(fg), lr=0.1), []
    lr_scheduler.StepLR(optimizer, 2)
    optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(1))
    optimizer.step()
    assert seen == [1] and optimizer._opt_called
