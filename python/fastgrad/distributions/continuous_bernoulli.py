"""ContinuousBernoulli."""
import math

import fastgrad
from fastgrad import Size
from fastgrad.nn.functional import binary_cross_entropy_with_logits

from . import constraints
from ._binary import BinaryParameter
from .exp_family import ExponentialFamily
from .utils import all_true, broadcast_all, clamp_probs, lazy_property, logits_to_probs, uniform

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(BinaryParameter, ExponentialFamily):
    """A density on [0, 1] proportional to probs^x (1 - probs)^(1 - x) (Loaiza-Ganem and Cunningham 2019).

    Between `lims`, where the closed forms lose their digits, Taylor series around 1/2 are used.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    _mean_carrier_measure = 0
    has_rsample = True
    _parameters = {"probs": 0, "logits": 0}

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501), validate_args=None):
        self._take(probs, logits)
        if probs is not None:
            if validate_args is not None and not all_true(constraints.unit_interval.check(self.probs)):
                raise ValueError("The parameter probs has invalid values")
            self.probs = self._param = clamp_probs(self.probs)
        self._lims = lims
        super().__init__(self._param.size(), validate_args=validate_args)

    def _expand_parts(self, new, batch_shape):
        super()._expand_parts(new, batch_shape)
        new._lims = self._lims

    @lazy_property
    def probs(self):
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _outside_unstable_region(self):
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut_probs(self):
        return fastgrad.where(self._outside_unstable_region(), self.probs, self._lims[0])

    def _away(self, exact, taylor):
        return fastgrad.where(self._outside_unstable_region(), exact, taylor)

    def _cont_bern_log_norm(self):
        cut = self._cut_probs()
        below = fastgrad.where(cut <= 0.5, cut, 0.0)
        above = fastgrad.where(cut >= 0.5, cut, 1.0)
        exact = (fastgrad.log1p(-cut) - fastgrad.log(cut)).abs().log() - fastgrad.where(
            cut <= 0.5, fastgrad.log1p(-2.0 * below), fastgrad.log(2.0 * above - 1.0))
        x = (self.probs - 0.5) ** 2
        return self._away(exact, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self):
        cut = self._cut_probs()
        exact = cut / (2.0 * cut - 1.0) + 1.0 / (fastgrad.log1p(-cut) - fastgrad.log(cut))
        x = self.probs - 0.5
        return self._away(exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x ** 2) * x)

    @property
    def stddev(self):
        return self.variance.sqrt()

    @property
    def variance(self):
        cut = self._cut_probs()
        exact = cut * (cut - 1.0) / (1.0 - 2.0 * cut) ** 2 + 1.0 / (fastgrad.log1p(-cut) - fastgrad.log(cut)) ** 2
        x = (self.probs - 0.5) ** 2
        return self._away(exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def sample(self, sample_shape=Size()):  # noqa: B008
        with fastgrad.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        return self.icdf(uniform(self._extended_shape(sample_shape), self.probs))

    def log_prob(self, value):
        self._check(value)
        logits, value = broadcast_all(self.logits, value)
        return self._cont_bern_log_norm() - binary_cross_entropy_with_logits(logits, value, reduction="none")

    def cdf(self, value):
        self._check(value)
        cut = self._cut_probs()
        inside = self._away((cut ** value * (1.0 - cut) ** (1.0 - value) + cut - 1.0) / (2.0 * cut - 1.0), value)
        return fastgrad.where(value <= 0.0, 0.0, fastgrad.where(value >= 1.0, 1.0, inside))

    def icdf(self, value):
        cut = self._cut_probs()
        low = fastgrad.log1p(-cut)
        return self._away((fastgrad.log1p(-cut + value * (2.0 * cut - 1.0)) - low) / (fastgrad.log(cut) - low), value)

    def entropy(self):
        low, high = fastgrad.log1p(-self.probs), fastgrad.log(self.probs)
        return self.mean * (low - high) - self._cont_bern_log_norm() - low

    @property
    def _natural_params(self):
        return (self.logits,)

    def _log_normalizer(self, x):
        outside = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        cut = fastgrad.where(outside, x, self._lims[0] - 0.5)
        exact = cut.expm1().abs().log() - cut.abs().log()
        return fastgrad.where(outside, exact, 0.5 * x + x ** 2 / 24.0 - x ** 4 / 2880.0)
