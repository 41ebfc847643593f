"""Which functions composed in Python work in float32 inside an autocast region: torch's list for the CPU."""
import functools

from .. import _C

# Native losses and prod() know it themselves; cross_entropy asks `_C._autocast_float` in its own body.
FLOAT32 = ("cosine_embedding_loss", "gaussian_nll_loss", "hinge_embedding_loss", "kl_div", "l1_loss",
           "margin_ranking_loss", "multi_margin_loss", "multilabel_margin_loss", "poisson_nll_loss", "soft_margin_loss",
           "triplet_margin_loss")


def in_float32(fn):
    """`fn` with half-precision tensor arguments widened while a region is on."""
    @functools.wraps(fn)
    def wrapped(*args, **kwargs):
        if _C._autocast_any():
            args = [_widened(a) for a in args]
            kwargs = {name: _widened(a) for name, a in kwargs.items()}
        return fn(*args, **kwargs)
    return wrapped


def _widened(value):
    return _C._autocast_float(value) if isinstance(value, _C.Tensor) else value
