"""Multinomial."""
import math

import fastgrad
from fastgrad import Size

from . import constraints
from .binomial import Binomial
from .categorical import CategoricalParts
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["Multinomial"]


class Multinomial(CategoricalParts, Distribution):
    """How often each category comes up in `total_count` draws."""

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._start(probs, logits, None)
        self._binomial = Binomial(total_count=total_count, probs=self.probs)
        Distribution.__init__(self, self._batch_shape, self._event_shape, validate_args=validate_args)

    def _expand_parts(self, new, batch_shape):
        super()._expand_parts(new, batch_shape)
        new.total_count = self.total_count
        new._binomial = Binomial(total_count=self.total_count, probs=new._categorical.probs)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self):
        return constraints.multinomial(self.total_count)

    @property
    def mean(self):
        return self.probs * self.total_count

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=Size()):  # noqa: B008
        sample_shape = Size(sample_shape)
        samples = self._categorical.sample(Size((self.total_count,)) + sample_shape).movedim(0, -1)
        counts = fastgrad.zeros(self._extended_shape(sample_shape), dtype=samples.dtype, device=samples.device)
        counts.scatter_add_(-1, samples, fastgrad.ones_like(samples))
        return counts.type_as(self.probs)

    def entropy(self):
        count = fastgrad.tensor(self.total_count, dtype=self.probs.dtype)
        support = self._binomial.enumerate_support(expand=False)[1:]
        weights = fastgrad.exp(self._binomial.log_prob(support)) * fastgrad.lgamma(support + 1)
        return count * self._categorical.entropy() - fastgrad.lgamma(count + 1) + weights.sum((0, -1))

    def log_prob(self, value):
        self._check(value)
        logits, value = broadcast_all(self.logits, value)
        logits = logits.masked_fill((value == 0) & (logits == -math.inf), 0)
        return (fastgrad.lgamma(value.sum(-1) + 1) - fastgrad.lgamma(value + 1).sum(-1) + (logits * value).sum(-1))
