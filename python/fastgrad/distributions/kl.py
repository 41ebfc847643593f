"""Kullback-Leibler divergences: the registry, and those of pairs of one kind; across kinds see `_kl_cross.py`."""
import math
import warnings

import fastgrad

from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .cauchy import Cauchy
from .continuous_bernoulli import ContinuousBernoulli
from .dirichlet import Dirichlet
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .laplace import Laplace
from .lowrank_multivariate_normal import LowRankMultivariateNormal, lowrank_logdet, lowrank_mahalanobis
from .multivariate_normal import MultivariateNormal, batch_mahalanobis, half_log_det
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .pareto import Pareto
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import euler_constant, sum_rightmost

__all__ = ["register_kl", "kl_divergence"]

_KL_REGISTRY = {}  # (type, type) -> function
_KL_MEMOIZE = {}   # the same for the types that were asked for, which may be subclasses


def register_kl(type_p, type_q):
    """A decorator that registers a function of (p, q) for two classes and their subclasses."""
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def decorator(fun):
        _KL_REGISTRY[type_p, type_q] = fun
        _KL_MEMOIZE.clear()
        return fun
    return decorator


def _nearest(matches, first, second):
    """The match whose class at `first` is the most derived one, then the one at `second`."""
    best = matches[0]
    for match in matches[1:]:
        if match[first] is best[first]:
            if issubclass(match[second], best[second]):
                best = match
        elif issubclass(match[first], best[first]):
            best = match
    return best


def _dispatch_kl(type_p, type_q):
    matches = [pair for pair in _KL_REGISTRY if issubclass(type_p, pair[0]) and issubclass(type_q, pair[1])]
    if not matches:
        return NotImplemented
    left, right = _nearest(matches, 0, 1), _nearest(matches, 1, 0)
    if _KL_REGISTRY[left] is not _KL_REGISTRY[right]:
        warnings.warn(f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please "
                      f"register_kl({left[0].__name__}, {right[1].__name__})", RuntimeWarning, stacklevel=3)
    return _KL_REGISTRY[left]


def kl_divergence(p, q):
    """KL(p || q), of the batch shape that those of p and q broadcast to.

    >>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))
    tensor(0.5000)
    """
    kinds = type(p), type(q)
    if kinds not in _KL_MEMOIZE:
        _KL_MEMOIZE[kinds] = _dispatch_kl(*kinds)
    function = _KL_MEMOIZE[kinds]
    if function is NotImplemented:
        raise NotImplementedError(f"No KL(p || q) is implemented for p type {p.__class__.__name__} and q type "
                                  f"{q.__class__.__name__}")
    return function(p, q)


def _trace_of_square(matrix):
    """The trace of X X^T."""
    return matrix.pow(2).sum((-2, -1))


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    softplus = fastgrad.nn.functional.softplus
    heads = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    heads = heads.masked_fill(q.probs == 0, math.inf).masked_fill(p.probs == 0, 0)
    tails = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    return heads + tails.masked_fill(q.probs == 1, math.inf).masked_fill(p.probs == 1, 0)


@register_kl(Beta, Beta)
def _beta(p, q):
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    kl = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return kl.masked_fill(p.total_count > q.total_count, math.inf)


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    terms = p.probs * (p.logits - q.logits)
    return terms.masked_fill(q.probs == 0, math.inf).masked_fill(p.probs == 0, 0).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p, q):
    return _categorical(p._categorical, q._categorical)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p, q):
    def normalizer(d):
        return d._cont_bern_log_norm() + fastgrad.log1p(-d.probs)
    return p.mean * (p.logits - q.logits) + normalizer(p) - normalizer(q)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    normalizers = (fastgrad.lgamma(total) - fastgrad.lgamma(b.sum(-1))
                   - (fastgrad.lgamma(a) - fastgrad.lgamma(b)).sum(-1))
    return normalizers + ((a - b) * (fastgrad.digamma(a) - fastgrad.digamma(total).unsqueeze(-1))).sum(-1)


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p, q):
    """The Bregman divergence of the log normalizer."""
    if type(p) is not type(q):
        raise NotImplementedError("The cross KL-divergence between different exponential families cannot be computed "
                                  "using Bregman divergences")
    params = [param.detach().requires_grad_() for param in p._natural_params]
    others = q._natural_params
    normalizer = p._log_normalizer(*params)
    slopes = fastgrad.autograd.grad(normalizer.sum(), params, create_graph=True)
    result = q._log_normalizer(*others) - normalizer
    for mine, other, slope in zip(params, others, slopes):
        result = result - sum_rightmost((other - mine) * slope, len(q.event_shape))
    return result


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    return (q.concentration * (p.rate / q.rate).log() + fastgrad.lgamma(q.concentration)
            - fastgrad.lgamma(p.concentration)
            + (p.concentration - q.concentration) * fastgrad.digamma(p.concentration)
            + (q.rate - p.rate) * (p.concentration / p.rate))


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio, shift = p.scale / q.scale, (q.loc - p.loc) / q.scale
    return (-ratio.log() - shift + ratio * euler_constant + fastgrad.exp(shift + fastgrad.lgamma(1 + ratio))
            - (1 + euler_constant))


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - fastgrad.log1p(-q.probs) / p.probs - q.logits


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * fastgrad.exp(-distance / p.scale) - 1


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p, q):
    return _normal(p.base_dist, q.base_dist)


@register_kl(Cauchy, Cauchy)
def _cauchy(p, q):
    return ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log() - (4 * p.scale * q.scale).log()


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return result.masked_fill(p.scale < q.scale, math.inf)


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return result.masked_fill((q.low > p.low) | (q.high < p.high), math.inf)


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


def _check_events(p, q, kinds):
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two {kinds} with different event shapes cannot be computed")


def _log_det(d):
    if isinstance(d, MultivariateNormal):
        return 2 * half_log_det(d._unbroadcasted_scale_tril)
    return lowrank_logdet(d._unbroadcasted_cov_diag, d._capacitance_tril)


def _normal_vectors(p, q, trace, distance):
    return 0.5 * (_log_det(q) - _log_det(p) + trace + distance - p.event_shape[0])


def _roots(p):
    """Matrices whose squares add up to the covariance."""
    if isinstance(p, MultivariateNormal):
        return (p._unbroadcasted_scale_tril,)
    return p._unbroadcasted_cov_factor, p._unbroadcasted_cov_diag.sqrt().diag_embed()


@register_kl(MultivariateNormal, MultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _to_multivariate_normal(p, q):
    _check_events(p, q, "Multivariate Normals" if type(p) is type(q) else "(Low Rank) Multivariate Normals")
    factor = q._unbroadcasted_scale_tril
    trace = sum(_trace_of_square(fastgrad.linalg.solve_triangular(factor, root, upper=False)) for root in _roots(p))
    return _normal_vectors(p, q, trace, batch_mahalanobis(factor, q.loc - p.loc))


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _to_lowrank(p, q):
    _check_events(p, q, "Low Rank Multivariate Normals" if type(p) is type(q) else "(Low Rank) Multivariate Normals")
    factor, diagonal = q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag
    inner = fastgrad.linalg.solve_triangular(q._capacitance_tril, factor.mT / diagonal.unsqueeze(-2), upper=False)
    trace = sum(_trace_of_square(root * diagonal.rsqrt().unsqueeze(-1)) - _trace_of_square(inner @ root)
                for root in _roots(p))
    distance = lowrank_mahalanobis(factor, diagonal, q.loc - p.loc, q._capacitance_tril)
    return _normal_vectors(p, q, trace, distance)


from . import _kl_cross as _kl_cross  # noqa: E402
