"""NegativeBinomial."""
import fastgrad
from fastgrad import Size
from fastgrad.nn.functional import logsigmoid

from . import constraints
from ._binary import BinaryParameter
from .distribution import Distribution
from .gamma import Gamma
from .utils import lazy_property

__all__ = ["NegativeBinomial"]


class NegativeBinomial(BinaryParameter, Distribution):
    """The number of successes before `total_count` failures."""

    arg_constraints = {"total_count": constraints.greater_than_eq(0), "probs": constraints.half_open_interval(0.0, 1.0),
                       "logits": constraints.real}
    support = constraints.nonnegative_integer
    _parameters = {"total_count": 0, "probs": 0, "logits": 0}

    def __init__(self, total_count, probs=None, logits=None, validate_args=None):
        self._take_counted(total_count, probs, logits)
        super().__init__(self._param.size(), validate_args=validate_args)

    @property
    def mean(self):
        return self.total_count * fastgrad.exp(self.logits)

    @property
    def mode(self):
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self):
        return self.mean / fastgrad.sigmoid(-self.logits)

    @lazy_property
    def _gamma(self):
        return Gamma(self.total_count, fastgrad.exp(-self.logits), validate_args=False)

    def sample(self, sample_shape=Size()):  # noqa: B008
        with fastgrad.no_grad():
            return fastgrad.poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value):
        self._check(value)
        count = self.total_count
        weight = count * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        normalizer = -fastgrad.lgamma(count + value) + fastgrad.lgamma(1.0 + value) + fastgrad.lgamma(count)
        return weight - normalizer.masked_fill(count + value == 0.0, 0.0)
