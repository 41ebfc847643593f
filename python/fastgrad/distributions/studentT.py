"""StudentT."""
import math

import fastgrad
from fastgrad import Size

from . import constraints
from .chi2 import Chi2
from .distribution import Distribution
from .utils import broadcast_all, standard_normal

__all__ = ["StudentT"]


class StudentT(Distribution):
    """Student's t distribution with `df` degrees of freedom, moved and scaled."""

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    _parameters = {"df": 0, "loc": 0, "scale": 0}

    def __init__(self, df, loc=0.0, scale=1.0, validate_args=None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df)
        super().__init__(self.df.size(), validate_args=validate_args)

    def _expand_parts(self, new, batch_shape):
        new._chi2 = self._chi2.expand(batch_shape)

    @property
    def mean(self):
        return self.loc.masked_fill(self.df <= 1, math.nan)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        finite = self.df > 2
        result = self.scale.pow(2) * self.df / (fastgrad.where(finite, self.df, 3.0) - 2)
        result = fastgrad.where(finite, result, math.inf)
        return result.masked_fill(self.df <= 1, math.nan)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        x = standard_normal(self._extended_shape(sample_shape), self.df)
        return self.loc + self.scale * (x * fastgrad.rsqrt(self._chi2.rsample(sample_shape) / self.df))

    def log_prob(self, value):
        self._check(value)
        y = (value - self.loc) / self.scale
        normalizer = (self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi)
                      + fastgrad.lgamma(0.5 * self.df) - fastgrad.lgamma(0.5 * (self.df + 1.0)))
        return -0.5 * (self.df + 1.0) * fastgrad.log1p(y ** 2.0 / self.df) - normalizer

    def entropy(self):
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        beta = fastgrad.lgamma(half) + math.lgamma(0.5) - fastgrad.lgamma(more)
        return self.scale.log() + more * (fastgrad.digamma(more) - fastgrad.digamma(half)) + 0.5 * self.df.log() + beta
