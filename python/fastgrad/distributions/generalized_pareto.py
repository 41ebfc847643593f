"""GeneralizedPareto."""
import math

import fastgrad
from fastgrad import Size

from . import constraints, utils
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """The excess over a threshold `loc`; `concentration` is the weight of the tail (0: exponential)."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True
    _parameters = {"loc": 0, "scale": 0, "concentration": 0}

    def __init__(self, loc, scale, concentration, validate_args=None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    def _exponential_or(self):
        """Where the concentration is 0, and the concentration with 1 there."""
        zero = fastgrad.isclose(self.concentration, fastgrad.zeros_like(self.concentration))
        return zero, fastgrad.where(zero, 1.0, self.concentration)

    def _z(self, x):
        return (x - self.loc) / self.scale

    def rsample(self, sample_shape=Size()):  # noqa: B008
        return self.icdf(utils.uniform(self._extended_shape(sample_shape), self.loc))

    def log_prob(self, value):
        self._check(value)
        z = self._z(value)
        zero, safe = self._exponential_or()
        power = 1 / safe + fastgrad.ones_like(z)
        tail = fastgrad.where(power == 0, power, power * fastgrad.log1p(safe * z))
        return -self.scale.log() - fastgrad.where(zero, z, tail)

    def log_survival_function(self, value):
        """The logarithm of the probability of values above this one."""
        self._check(value)
        z = self._z(value)
        zero, safe = self._exponential_or()
        return fastgrad.where(zero, -z, -fastgrad.log1p(safe * z) / safe)

    def log_cdf(self, value):
        """The logarithm of `cdf`."""
        return fastgrad.log1p(-fastgrad.exp(self.log_survival_function(value)))

    def cdf(self, value):
        return fastgrad.exp(self.log_cdf(value))

    def icdf(self, value):
        zero, safe = self._exponential_or()
        log_rest = fastgrad.log1p(-value)
        tail = self.loc + self.scale / safe * fastgrad.expm1(-safe * log_rest)
        return fastgrad.where(zero, self.loc - self.scale * log_rest, tail)

    @property
    def mean(self):
        valid = self.concentration < 1
        safe = fastgrad.where(valid, self.concentration, 0.5)
        return fastgrad.where(valid, self.loc + self.scale / (1 - safe), math.nan)

    @property
    def variance(self):
        valid = self.concentration < 0.5
        safe = fastgrad.where(valid, self.concentration, 0.25)
        return fastgrad.where(valid, self.scale ** 2 / ((1 - safe) ** 2 * (1 - 2 * safe)), math.nan)

    def entropy(self):
        return (fastgrad.log(self.scale) + self.concentration + 1).expand(self._batch_shape)

    @property
    def mode(self):
        return self.loc

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        upper = fastgrad.where(self.concentration < 0, self.loc - self.scale / self.concentration, math.inf)
        return constraints.interval(self.loc, upper)
