"""Gamma."""
import fastgrad
from fastgrad import _C, Size

from . import constraints
from .exp_family import ExponentialFamily
from .utils import broadcast_all

__all__ = ["Gamma"]


class Gamma(ExponentialFamily):
    """The gamma distribution with shape `concentration` and `rate`; samples are differentiable in both."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0
    _parameters = {"concentration": 0, "rate": 0}

    def __init__(self, concentration, rate, validate_args=None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.size(), validate_args=validate_args)

    @property
    def mean(self):
        return self.concentration / self.rate

    @property
    def mode(self):
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self):
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        shape = self._extended_shape(sample_shape)
        value = _C._standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)
        value.detach().clamp_(min=fastgrad.finfo(value.dtype).tiny)  # not part of the gradient
        return value

    def log_prob(self, value):
        value = fastgrad.as_tensor(value, dtype=self.rate.dtype, device=self.rate.device)
        self._check(value)
        return (fastgrad.xlogy(self.concentration, self.rate) + fastgrad.xlogy(self.concentration - 1, value)
                - self.rate * value - fastgrad.lgamma(self.concentration))

    def cdf(self, value):
        self._check(value)
        return fastgrad.special.gammainc(self.concentration, self.rate * value)

    def entropy(self):
        return (self.concentration - fastgrad.log(self.rate) + fastgrad.lgamma(self.concentration)
                + (1.0 - self.concentration) * fastgrad.digamma(self.concentration))

    @property
    def _natural_params(self):
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x, y):
        return fastgrad.lgamma(x + 1) + (x + 1) * fastgrad.log(-y.reciprocal())
