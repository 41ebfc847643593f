"""Dirichlet."""
import fastgrad
from fastgrad import _C

from . import constraints
from .exp_family import ExponentialFamily

__all__ = ["Dirichlet"]


class Dirichlet(ExponentialFamily):
    """Probabilities that add up to 1; samples are differentiable in `concentration`."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True
    _parameters = {"concentration": 1}

    def __init__(self, concentration, validate_args=None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    def rsample(self, sample_shape=()):
        return _C._sample_dirichlet(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        self._check(value)
        return (fastgrad.xlogy(self.concentration - 1.0, value).sum(-1) + fastgrad.lgamma(self.concentration.sum(-1))
                - fastgrad.lgamma(self.concentration).sum(-1))

    @property
    def mean(self):
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self):
        above = (self.concentration - 1).clamp(min=0.0)
        mode = above / above.sum(-1, True)
        corner = (self.concentration < 1).all(-1, True)
        best = fastgrad.nn.functional.one_hot(mode.argmax(-1), above.shape[-1]).to(mode.dtype)
        return fastgrad.where(corner, best, mode)

    @property
    def variance(self):
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def entropy(self):
        count, total = self.concentration.size(-1), self.concentration.sum(-1)
        return (fastgrad.lgamma(self.concentration).sum(-1) - fastgrad.lgamma(total)
                - (count - total) * fastgrad.digamma(total)
                - ((self.concentration - 1.0) * fastgrad.digamma(self.concentration)).sum(-1))

    @property
    def _natural_params(self):
        return (self.concentration,)

    def _log_normalizer(self, x):
        return fastgrad.lgamma(x).sum(-1) - fastgrad.lgamma(x.sum(-1))
