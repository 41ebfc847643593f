"""Averages of weights against torch."""
import pytest

import fastgrad as fg
from fastgrad import nn, optim
from fastgrad.optim import swa_utils


def model_of(library):
    model = library.nn.Sequential(library.nn.Linear(2, 3), library.nn.Tanh(), library.nn.Linear(3, 1))
    with library.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(library.arange(p.numel()).reshape(p.shape) * 0.1 - 0.3 * i)
    model.register_buffer("count", library.tensor([1.0, 2.0]))
    model.register_buffer("steps", library.tensor(3))
    return model


CHOICES = [{}, {"use_buffers": True}, {"avg_fn": "get_ema_avg_fn"}, {"avg_fn": "get_swa_avg_fn"},
           {"multi_avg_fn": "get_ema_multi_avg_fn", "use_buffers": True}, {"multi_avg_fn": "get_swa_multi_avg_fn"}]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_averaged_model(torch, choice):
    results = []
    for library in (fg, torch):
        module = library.optim.swa_utils
        options = {key: getattr(module, value)(*([0.7] if "ema" in value else [])) if isinstance(value, str) else value
                   for key, value in choice.items()}
        model = model_of(library)
        average = module.AveragedModel(model, device="cpu", **options)
        for _ in range(4):
            average.update_parameters(model)
            with library.no_grad():
                for p in model.parameters():
                    p.mul_(1.5).add_(0.1)
                model.count += 1
                model.steps += 2
        results.append({key: value.tolist() for key, value in average.state_dict().items()})
        results[-1]["y"] = average(library.tensor([[1.0, -1.0]])).tolist()
    assert list(results[0]) == list(results[1])
    for key, value in results[1].items():
        assert fg.allclose(fg.tensor(results[0][key]).double(), fg.tensor(value).double(), rtol=1e-6), key


@pytest.mark.parametrize("options", [{}, {"anneal_epochs": 4, "anneal_strategy": "linear"}, {"anneal_epochs": 0}],
                         ids=str)
def test_swalr(torch, options):
    results = []
    for library in (fg, torch):
        model = model_of(library)
        optimizer = library.optim.SGD([{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.5}],
                                      lr=0.1)
        scheduler = library.optim.swa_utils.SWALR(optimizer, swa_lr=[0.05, 0.02], **options)
        rates = []
        for _ in range(12):
            optimizer.step()
            scheduler.step()
            rates += scheduler.get_last_lr()
        state = scheduler.state_dict()
        scheduler.load_state_dict(state)
        results.append((rates, state))
    assert results[0] == results[1]


def test_errors():
    model = model_of(fg)
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        swa_utils.AveragedModel(model, avg_fn=len, multi_avg_fn=len)
    with pytest.raises(ValueError, match="Invalid decay value 1.5"):
        swa_utils.get_ema_avg_fn(1.5)
    with pytest.raises(ValueError, match="anneal_strategy must be one of"):
        swa_utils.SWALR(optim.SGD(model.parameters()), 0.1, anneal_strategy="x")
    with pytest.raises(ValueError, match="anneal_epochs must be equal or greater than 0"):
        swa_utils.SWALR(optim.SGD(model.parameters()), 0.1, anneal_epochs=-1)


def test_update_bn(torch):
    results = []
    for library in (fg, torch):
        model = library.nn.Sequential(library.nn.BatchNorm1d(2), library.nn.Linear(2, 1)).eval()
        batches = [library.arange(8.0).reshape(4, 2) * (i + 1) for i in range(3)]
        library.optim.swa_utils.update_bn([batches[0], [batches[1], 0], (batches[2],)], model, device="cpu")
        assert not model.training and model[0].momentum == 0.1
        results.append([model[0].running_mean.tolist(), model[0].running_var.tolist()])
    assert fg.allclose(fg.tensor(results[0]), fg.tensor(results[1]))
    swa_utils.update_bn([], nn.Linear(1, 1))
