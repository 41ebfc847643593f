"""Optimizers and schedules for their learning rate."""
from . import lr_scheduler, optimizer
from .adam import Adam
from .adamw import AdamW
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD

# Imported when first used: name -> module.
_LAZY = {"ASGD": "asgd", "Adadelta": "adadelta", "Adafactor": "_adafactor", "Adagrad": "adagrad", "Adamax": "adamax",
         "LBFGS": "lbfgs", "Muon": "_muon", "NAdam": "nadam", "RAdam": "radam", "Rprop": "rprop"}


def __getattr__(name):
    from importlib import import_module
    if name == "swa_utils":
        return import_module(".swa_utils", __name__)
    if name in _LAZY:
        value = globals()[name] = getattr(import_module("." + _LAZY[name], __name__), name)
        return value
    if name == "SparseAdam":
        raise AttributeError("fastgrad.optim.SparseAdam is left out: there are no sparse tensors")
    from fastgrad._missing import no_attribute
    raise no_attribute(__name__, name)


def __dir__():
    return sorted({*globals(), *_LAZY, "swa_utils"})
