"""Mixed precision on the CPU under its old names; `fastgrad.amp` is the place for it now."""
from . import autocast_mode, grad_scaler
from .autocast_mode import autocast
from .grad_scaler import GradScaler

__all__ = ["autocast", "GradScaler"]
