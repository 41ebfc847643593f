"""Averages of weights: AveragedModel (stochastic weight averaging, or an exponential moving average) and SWALR."""
import math
from copy import deepcopy
from itertools import chain

import fastgrad

from ..nn.modules.module import Module
from ._schedule import LRScheduler, per_group

__all__ = ["AveragedModel", "update_bn", "SWALR", "get_ema_multi_avg_fn", "get_swa_multi_avg_fn", "get_ema_avg_fn",
           "get_swa_avg_fn"]


def _check_decay(decay):
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_multi_avg_fn(decay=0.999):
    """A function that moves a list of averages towards a list of parameters by `1 - decay`."""
    _check_decay(decay)

    @fastgrad.no_grad()
    def ema_update(ema_param_list, current_param_list, _):
        for average, current in zip(ema_param_list, current_param_list):
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(average * decay + current * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn():
    """A function that takes a list of parameters into a list of equal averages."""
    @fastgrad.no_grad()
    def swa_update(averaged_param_list, current_param_list, num_averaged):
        weight = 1 / (float(num_averaged) + 1)
        for average, current in zip(averaged_param_list, current_param_list):
            if average.is_floating_point():
                average.lerp_(current, weight)
            else:
                average.copy_(average + (current - average) * weight)

    return swa_update


def get_ema_avg_fn(decay=0.999):
    """A function of (average, parameter, count): the exponential moving average."""
    _check_decay(decay)

    @fastgrad.no_grad()
    def ema_update(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn():
    """A function of (average, parameter, count): the average in equal parts."""
    @fastgrad.no_grad()
    def swa_update(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages; `update_parameters(model)` takes the present ones in."""

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", fastgrad.tensor(0, dtype=fastgrad.long, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        """What the averaged model computes."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model):
        """Takes the parameters of `model` into the averages; the first time, copies them."""
        def values(module):
            kinds = [module.parameters()] + ([module.buffers()] if self.use_buffers else [])
            return [value.detach() for value in chain(*kinds)]

        averages = values(self.module)
        present = [value.to(average.device) for average, value in zip(averages, values(model))]
        count = self.n_averaged
        if count == 0:
            for average, value in zip(averages, present):
                average.copy_(value)
        elif self.avg_fn is not None:
            for average, value in zip(averages, present):
                average.copy_(self.avg_fn(average, value, count.to(average.device)))
        else:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            kinds = {}
            for average, value in zip(averages, present):
                pair = kinds.setdefault((average.device, average.dtype), ([], []))
                pair[0].append(average)
                pair[1].append(value)
            for (device, _), (some, others) in kinds.items():
                update(some, others, count.to(device))
        if not self.use_buffers:
            for average, value in zip(self.module.buffers(), model.buffers()):
                average.detach().copy_(value.detach().to(average.device))
        self.n_averaged += 1


@fastgrad.no_grad()
def update_bn(loader, model, device=None):
    """Computes the running statistics of all batch norm layers anew, from one pass over `loader`."""
    from ..nn import modules
    kinds = tuple(kind for kind in (getattr(getattr(modules, "batchnorm", None), "_BatchNorm", None),) if kind)
    layers = {module: module.momentum for module in model.modules() if isinstance(module, kinds)}
    if not layers:
        return
    was_training = model.training
    model.train()
    for module in layers:
        module.reset_running_stats()
        module.momentum = None
    for batch in loader:
        if isinstance(batch, (list, tuple)):
            batch = batch[0]
        if device is not None:
            batch = batch.to(device)
        model(batch)
    for module, momentum in layers.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the present rate to `swa_lr` in `anneal_epochs`, then constant."""

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        for rate, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t):
        """How much of the way is gone at the part `t` of the epochs."""
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self):
        self._check_within_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)

        def gone(epoch):
            return self.anneal_func(max(0, min(1, epoch / max(1, self.anneal_epochs))))

        before, now = gone(step - 1), gone(step)
        rates = []
        for group in self.optimizer.param_groups:
            end = group["swa_lr"]
            start = end if before == 1 else (group["lr"] - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates
