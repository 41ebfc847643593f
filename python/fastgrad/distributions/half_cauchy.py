"""HalfCauchy."""
import math

import fastgrad

from ._half import Half
from .cauchy import Cauchy

__all__ = ["HalfCauchy"]


class HalfCauchy(Half):
    """The absolute value of a Cauchy number around 0."""

    _whole = Cauchy

    @property
    def mean(self):
        return fastgrad.full_like(self.scale, math.inf)

    @property
    def variance(self):
        return self.base_dist.variance
