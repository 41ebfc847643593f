"""Wishart."""
import math
import warnings
from numbers import Number

import fastgrad
from fastgrad import Size

from . import constraints
from .chi2 import Chi2
from .exp_family import ExponentialFamily
from .multivariate_normal import factor_of, half_log_det
from .utils import lazy_property

__all__ = ["Wishart"]


def _mvdigamma(x, p):
    if not x.gt((p - 1) / 2).all():
        raise AssertionError("Wrong domain for multivariate digamma function.")
    steps = fastgrad.arange(p, dtype=x.dtype, device=x.device) / 2
    return fastgrad.digamma(x.unsqueeze(-1) - steps).sum(-1)


class Wishart(ExponentialFamily):
    """The sum of x x^T of `df` normal vectors with the given covariance; samples by Bartlett's decomposition."""

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0
    _parameters = {"df": 0, "covariance_matrix": 2, "precision_matrix": 2, "scale_tril": 2}

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        given = {name: value for name, value in (
            ("covariance_matrix", covariance_matrix), ("precision_matrix", precision_matrix),
            ("scale_tril", scale_tril)) if value is not None}
        if len(given) != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        (name, matrix), = given.items()
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        if isinstance(df, Number):
            batch_shape = matrix.shape[:-2]
            self.df = fastgrad.tensor(df, dtype=matrix.dtype, device=matrix.device)
        else:
            batch_shape = Size(fastgrad.broadcast_shapes(matrix.shape[:-2], df.shape))
            self.df = df.expand(batch_shape)
        n = matrix.shape[-1]
        if self.df.le(n - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        if self.df.lt(n).any():
            warnings.warn("Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < "
                          "ndim.", stacklevel=2)
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        super().__init__(batch_shape, matrix.shape[-2:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = factor_of(covariance_matrix, precision_matrix, scale_tril)
        self._make_chi2(self)

    def _make_chi2(self, new):
        steps = fastgrad.arange(self._event_shape[-1], dtype=self.df.dtype, device=self.df.device)
        new._dist_chi2 = Chi2((new.df.unsqueeze(-1) - steps).expand(tuple(new.df.shape) + steps.shape)
                              if new.df.dim() else (new.df - steps).expand(new._batch_shape + steps.shape))

    def _expand_parts(self, new, batch_shape):
        new._batch_shape = batch_shape
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        self._make_chi2(new)

    @property
    def arg_constraints(self):
        return {"covariance_matrix": constraints.positive_definite, "precision_matrix": constraints.positive_definite,
                "scale_tril": constraints.lower_cholesky, "df": constraints.greater_than(self.event_shape[-1] - 1)}

    def _whole(self, matrix):
        return matrix.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def scale_tril(self):
        return self._whole(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self):
        return self._whole(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self):
        eye = fastgrad.eye(self._event_shape[-1], dtype=self.df.dtype, device=self.df.device)
        return self._whole(fastgrad.cholesky_solve(eye, self._unbroadcasted_scale_tril))

    def _df_of_matrices(self, df):
        return df.unsqueeze(-1).unsqueeze(-1)

    @property
    def mean(self):
        return self._df_of_matrices(self.df) * self.covariance_matrix

    @property
    def mode(self):
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        return self._df_of_matrices(factor.masked_fill(factor <= 0, math.nan)) * self.covariance_matrix

    @property
    def variance(self):
        covariance = self.covariance_matrix
        diagonal = covariance.diagonal(dim1=-2, dim2=-1)
        return self._df_of_matrices(self.df) * (covariance.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _bartlett_sampling(self, sample_shape):
        n = self._event_shape[-1]
        roots = self._dist_chi2.rsample(sample_shape).sqrt()
        noise = roots.clamp(min=fastgrad.finfo(roots.dtype).eps).diag_embed()
        below = fastgrad.randn(Size(sample_shape) + self._batch_shape + (n * (n - 1) // 2,), dtype=noise.dtype,
                               device=noise.device)
        rows, columns = fastgrad.tril_indices(n, n, offset=-1)
        where = (rows * n + columns).expand(below.shape)
        flat = noise.reshape(noise.shape[:-2] + (n * n,)).scatter(-1, where, below)
        factor = self._unbroadcasted_scale_tril @ flat.reshape(noise.shape)
        return factor @ factor.mT

    def rsample(self, sample_shape=Size(), max_try_correction=None):  # noqa: B008
        """Samples; singular ones are drawn again, at most `max_try_correction` times."""
        sample = self._bartlett_sampling(Size(sample_shape))
        again = self._any_of_batch(self.support.check(sample.detach()))  # as in torch, good ones are drawn twice
        for _ in range(10 if max_try_correction is None else max_try_correction):
            if not again.any():
                break
            fresh = self._bartlett_sampling(again[again].shape)
            sample[again] = fresh
            singular = self._any_of_batch(~self.support.check(fresh.detach()))
            if singular.any():
                warnings.warn("Singular sample detected.", stacklevel=2)
            left = again.clone()
            left[again] = singular
            again = left
        return sample

    def _any_of_batch(self, mask):
        return mask.any(tuple(range(-len(self._batch_shape), 0))) if self._batch_shape else mask

    def log_prob(self, value):
        self._check(value)
        df, n = self.df, self._event_shape[-1]
        trace = fastgrad.cholesky_solve(value, self._unbroadcasted_scale_tril).diagonal(dim1=-2, dim2=-1).sum(-1)
        return (-df * (n * math.log(2) / 2 + half_log_det(self._unbroadcasted_scale_tril))
                - fastgrad.mvlgamma(df / 2, n) + (df - n - 1) / 2 * fastgrad.linalg.slogdet(value).logabsdet
                - trace / 2)

    def entropy(self):
        df, n = self.df, self._event_shape[-1]
        return ((n + 1) * (n * math.log(2) / 2 + half_log_det(self._unbroadcasted_scale_tril))
                + fastgrad.mvlgamma(df / 2, n) - (df - n - 1) / 2 * _mvdigamma(df / 2, n) + df * n / 2)

    @property
    def _natural_params(self):
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x, y):
        n = self._event_shape[-1]
        df = y + (n + 1) / 2
        return (df * (-fastgrad.linalg.slogdet(-2 * x).logabsdet + math.log(2) * n) + fastgrad.mvlgamma(df, n))
