"""Optimizers and schedules for their learning rate."""
from . import lr_scheduler, optimizer
from .adam import Adam
from .adamw import AdamW
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD

_LEFT_OUT = ("ASGD", "Adadelta", "Adafactor", "Adagrad", "Adamax", "LBFGS", "Muon", "NAdam", "RAdam", "Rprop",
             "SparseAdam", "swa_utils")


def __getattr__(name):
    if name in _LEFT_OUT:
        raise AttributeError(f"fastgrad.optim.{name} is not part of this release; SGD, Adam, AdamW and RMSprop are")
    raise AttributeError(f"module 'fastgrad.optim' has no attribute '{name}'")
