"""Binomial."""
import fastgrad
from fastgrad import Size

from . import constraints
from ._binary import BinaryParameter, enumerated
from .distribution import Distribution

__all__ = ["Binomial"]


class Binomial(BinaryParameter, Distribution):
    """The number of successes in `total_count` tries."""

    arg_constraints = {"total_count": constraints.nonnegative_integer, "probs": constraints.unit_interval,
                       "logits": constraints.real}
    has_enumerate_support = True
    _parameters = {"total_count": 0, "probs": 0, "logits": 0}

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        self._take_counted(total_count, probs, logits)
        super().__init__(self._param.size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self):
        return self.total_count * self.probs

    @property
    def mode(self):
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=Size()):  # noqa: B008
        shape = self._extended_shape(sample_shape)
        with fastgrad.no_grad():
            return fastgrad.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value):
        self._check(value)
        count, logits = self.total_count, self.logits
        # log(1 + exp(logits)), with the gradient 1/2 at 0
        above = (logits.clamp(min=0) + logits - logits.clamp(max=0)) / 2
        normalizer = count * above + count * fastgrad.log1p(fastgrad.exp(-logits.abs())) - fastgrad.lgamma(count + 1)
        return value * logits - fastgrad.lgamma(value + 1) - fastgrad.lgamma(count - value + 1) - normalizer

    def _one_count(self, name):
        count = int(self.total_count.max())
        if not self.total_count.min() == count:
            raise NotImplementedError(f"Inhomogeneous total count not supported by `{name}`.")
        return count

    def entropy(self):
        self._one_count("entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(fastgrad.exp(log_prob) * log_prob).sum(0)

    def enumerate_support(self, expand=True):
        return enumerated(1 + self._one_count("enumerate_support"), self._param, self._batch_shape, expand)
