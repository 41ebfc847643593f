"""The positive half of a distribution that is symmetric around 0."""
import math

import fastgrad

from . import constraints
from .transformed_distribution import TransformedDistribution
from .transforms import AbsTransform


class Half(TransformedDistribution):
    """The absolute value; a subclass names the whole distribution, `_whole`."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale, validate_args=None):
        super().__init__(self._whole(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return super().expand(batch_shape, self._get_checked_instance(Half, _instance))

    @property
    def scale(self):
        return self.base_dist.scale

    @property
    def mode(self):
        return fastgrad.zeros_like(self.scale)

    def log_prob(self, value):
        self._check(value)
        value = fastgrad.as_tensor(value, dtype=self.scale.dtype, device=self.scale.device)
        return fastgrad.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value):
        self._check(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, prob):
        return self.base_dist.icdf((prob + 1) / 2)

    def entropy(self):
        return self.base_dist.entropy() - math.log(2)
