"""Cauchy."""
import math

import fastgrad
from fastgrad import Size

from ._location_scale import LocationScale

__all__ = ["Cauchy"]


class Cauchy(LocationScale):
    """The Cauchy distribution, whose mean does not exist; `loc` is the median, `scale` half the width."""

    @property
    def mean(self):
        return fastgrad.full_like(self.loc, math.nan)

    @property
    def variance(self):
        return fastgrad.full_like(self.loc, math.inf)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        shape = self._extended_shape(sample_shape)
        return self.loc + fastgrad.empty(shape, dtype=self.loc.dtype, device=self.loc.device).cauchy_() * self.scale

    def log_prob(self, value):
        self._check(value)
        return -math.log(math.pi) - self.scale.log() - (((value - self.loc) / self.scale) ** 2).log1p()

    def cdf(self, value):
        self._check(value)
        return fastgrad.atan((value - self.loc) / self.scale) / math.pi + 0.5

    def icdf(self, value):
        return fastgrad.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self):
        return math.log(4 * math.pi) + self.scale.log()
