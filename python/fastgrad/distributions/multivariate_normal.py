"""MultivariateNormal, and the algebra of covariances given by their Cholesky factors."""
import math

import fastgrad
from fastgrad import Size

from . import constraints
from .distribution import Distribution
from .utils import lazy_property, standard_normal

__all__ = ["MultivariateNormal"]


def batch_mv(matrix, vector):
    """Products of batches of matrices and vectors."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def batch_mahalanobis(factor, x):
    """x^T (L L^T)^-1 x, for batches that broadcast."""
    return fastgrad.linalg.solve_triangular(factor, x.unsqueeze(-1), upper=False).squeeze(-1).pow(2).sum(-1)


def half_log_det(factor):
    """Half the logarithm of the determinant of L L^T."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def precision_to_scale_tril(precision):
    """The Cholesky factor of the inverse of a matrix, from the factor of the matrix in reverse order."""
    reverse = fastgrad.linalg.cholesky(precision.flip((-2, -1)))
    inverse = reverse.flip((-2, -1)).mT
    eye = fastgrad.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return fastgrad.linalg.solve_triangular(inverse, eye, upper=False)


def factor_of(covariance_matrix, precision_matrix, scale_tril):
    """The Cholesky factor of the covariance, whichever of the three is given."""
    if scale_tril is not None:
        return scale_tril
    if covariance_matrix is not None:
        return fastgrad.linalg.cholesky(covariance_matrix)
    return precision_to_scale_tril(precision_matrix)


class MultivariateNormal(Distribution):
    """A normal vector; its covariance, the inverse of that, or its Cholesky factor is given."""

    arg_constraints = {"loc": constraints.real_vector, "covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector
    has_rsample = True
    _parameters = {"loc": 1, "covariance_matrix": 2, "precision_matrix": 2, "scale_tril": 2}

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = {name: value for name, value in (
            ("covariance_matrix", covariance_matrix), ("scale_tril", scale_tril),
            ("precision_matrix", precision_matrix)) if value is not None}
        if len(given) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        (name, matrix), = given.items()
        if matrix.dim() < 2:
            text = "scale_tril matrix" if name == "scale_tril" else name
            raise ValueError(f"{text} must be at least two-dimensional, with optional leading batch dimensions")
        batch_shape = Size(fastgrad.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1]))
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        self.loc = loc.expand(batch_shape + (-1,))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = factor_of(covariance_matrix, precision_matrix, scale_tril)

    def _expand_parts(self, new, batch_shape):
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril

    def _whole(self, matrix):
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def scale_tril(self):
        return self._whole(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self):
        return self._whole(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self):
        return self._whole(fastgrad.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        return self._unbroadcasted_scale_tril.pow(2).sum(-1).expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        eps = standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + batch_mv(self._unbroadcasted_scale_tril, eps)

    def log_prob(self, value):
        self._check(value)
        distance = batch_mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        return (-0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance)
                - half_log_det(self._unbroadcasted_scale_tril))

    def entropy(self):
        result = (0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi))
                  + half_log_det(self._unbroadcasted_scale_tril))
        return result.expand(self._batch_shape)
