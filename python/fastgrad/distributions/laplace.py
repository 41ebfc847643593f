"""Laplace."""
import fastgrad
from fastgrad import Size

from ._location_scale import LocationScale

__all__ = ["Laplace"]


class Laplace(LocationScale):
    """An exponential density on both sides of `loc`."""

    @property
    def mean(self):
        return self.loc

    @property
    def variance(self):
        return 2 * self.scale.pow(2)

    @property
    def stddev(self):
        return 2 ** 0.5 * self.scale

    def rsample(self, sample_shape=Size()):  # noqa: B008
        u = fastgrad.empty(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        u.uniform_(fastgrad.finfo(self.loc.dtype).eps - 1, 1)
        return self.loc - self.scale * u.sign() * fastgrad.log1p(-u.abs())

    def log_prob(self, value):
        self._check(value)
        return -fastgrad.log(2 * self.scale) - (value - self.loc).abs() / self.scale

    def cdf(self, value):
        self._check(value)
        distance = value - self.loc
        return 0.5 - 0.5 * distance.sign() * fastgrad.expm1(-distance.abs() / self.scale)

    def icdf(self, value):
        centered = value - 0.5
        return self.loc - self.scale * centered.sign() * fastgrad.log1p(-2 * centered.abs())

    def entropy(self):
        return 1 + fastgrad.log(2 * self.scale)
