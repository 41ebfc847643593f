"""Automatic mixed precision: regions in which products run in a half type, and the scaling of gradients.

Which op casts what is a rule of the op itself (`csrc/ops/autocast.h`; for functions written in Python `_autocast.py`).
"""
from .autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
