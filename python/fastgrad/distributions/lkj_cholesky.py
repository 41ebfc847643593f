"""LKJCholesky."""
import math

import fastgrad
from fastgrad import Size

from . import constraints
from .beta import Beta
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors of random correlation matrices, by the onion method (Lewandowski, Kurowicka and Joe 2009).

    concentration: 1 for a uniform density of matrices, more for weaker correlations.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    _parameters = {"concentration": 0}

    def __init__(self, dim, concentration=1.0, validate_args=None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        self.concentration, = broadcast_all(concentration)
        marginal = self.concentration + 0.5 * (dim - 2)
        offset = fastgrad.arange(dim - 1, dtype=self.concentration.dtype, device=self.concentration.device)
        offset = fastgrad.cat([offset.new_zeros((1,)), offset])
        self._beta = Beta(offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset)
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def _expand_parts(self, new, batch_shape):
        new.dim = self.dim
        new._beta = self._beta.expand(batch_shape + (self.dim,))

    @fastgrad.no_grad()
    def sample(self, sample_shape=Size()):  # noqa: B008
        y = self._beta.sample(sample_shape).unsqueeze(-1)
        direction = fastgrad.randn(self._extended_shape(sample_shape), dtype=y.dtype, device=y.device).tril(-1)
        direction = direction / direction.norm(dim=-1, keepdim=True)
        direction[..., 0, :].fill_(0.0)
        w = fastgrad.sqrt(y) * direction
        diagonal = (1 - (w ** 2).sum(-1)).clamp(min=fastgrad.finfo(w.dtype).tiny).sqrt()
        return w + diagonal.diag_embed()

    def log_prob(self, value):
        self._check(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = fastgrad.arange(2, self.dim + 1, device=self.concentration.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        n = self.dim - 1
        alpha = self.concentration + 0.5 * n
        normalizer = (0.5 * n * math.log(math.pi) + fastgrad.mvlgamma(alpha - 0.5, n) - fastgrad.lgamma(alpha) * n)
        return (order * diagonal.log()).sum(-1) - normalizer
