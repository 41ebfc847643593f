"""Poisson."""
import fastgrad
from fastgrad import Size

from . import constraints
from .exp_family import ExponentialFamily
from .utils import broadcast_all

__all__ = ["Poisson"]


class Poisson(ExponentialFamily):
    """The number of events in a unit of time, when there are `rate` on average."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    _parameters = {"rate": 0}

    def __init__(self, rate, validate_args=None):
        self.rate, = broadcast_all(rate)
        super().__init__(self.rate.size(), validate_args=validate_args)

    @property
    def mean(self):
        return self.rate

    @property
    def mode(self):
        return self.rate.floor()

    @property
    def variance(self):
        return self.rate

    def sample(self, sample_shape=Size()):  # noqa: B008
        with fastgrad.no_grad():
            return fastgrad.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        self._check(value)
        rate, value = broadcast_all(self.rate, value)
        return fastgrad.xlogy(value, rate) - rate - fastgrad.lgamma(value + 1)

    @property
    def _natural_params(self):
        return (fastgrad.log(self.rate),)

    def _log_normalizer(self, x):
        return fastgrad.exp(x)
