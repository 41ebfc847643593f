"""Divergences across kinds: minus the entropy of p minus the mean of log q under p.

The mean of log q needs few moments of p: of x and x^2, of log x, of exp(-x / scale). They are below, by kind of p; the
rest is by kind of q. Where p reaches outside the support of q the divergence is infinite.
"""
import math

import fastgrad

from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .continuous_bernoulli import ContinuousBernoulli
from .exponential import Exponential
from .gamma import Gamma
from .gumbel import Gumbel
from .kl import register_kl
from .laplace import Laplace
from .normal import Normal
from .pareto import Pareto
from .poisson import Poisson
from .uniform import Uniform
from .utils import euler_constant

# ---- moments

def _x_log_x_mean(low, high):
    """The mean of log x for x uniform between low and high."""
    return (fastgrad.xlogy(high, high) - fastgrad.xlogy(low, low)) / (high - low) - 1


_LOG = {
    Beta: lambda p: fastgrad.digamma(p.concentration1) - fastgrad.digamma(p.concentration1 + p.concentration0),
    Gamma: lambda p: fastgrad.digamma(p.concentration) - p.rate.log(),
    Exponential: lambda p: -euler_constant - p.rate.log(),
    Pareto: lambda p: p.scale.log() + p.alpha.reciprocal(),
    Uniform: lambda p: _x_log_x_mean(p.low, p.high)}

_EXP = {  # the mean of exp(-x / scale)
    Normal: lambda p, scale: fastgrad.exp(-p.loc / scale + 0.5 * (p.scale / scale).pow(2)),
    Gamma: lambda p, scale: (1 + (p.rate * scale).reciprocal()).pow(-p.concentration),
    Exponential: lambda p, scale: p.rate * scale / (p.rate * scale + 1),
    Uniform: lambda p, scale: (fastgrad.exp(-p.low / scale) - fastgrad.exp(-p.high / scale)) * scale / (p.high - p.low)}


# ---- minus the mean of log q under p

def _of_exponential(p, q):
    return q.rate * p.mean - q.rate.log()


def _of_gamma(p, q):
    return (fastgrad.lgamma(q.concentration) - q.concentration * q.rate.log()
            - (q.concentration - 1) * _LOG[_kind(p)](p) + q.rate * p.mean)


def _of_normal(p, q):
    square = p.variance + (p.mean - q.loc).pow(2)
    return 0.5 * math.log(2 * math.pi) + q.scale.log() + square / (2 * q.scale.pow(2))


def _of_uniform(p, q):
    return (q.high - q.low).log()


def _of_gumbel(p, q):
    return (p.mean - q.loc) / q.scale + fastgrad.exp(q.loc / q.scale) * _EXP[_kind(p)](p, q.scale) + q.scale.log()


def _of_continuous_bernoulli(p, q):
    return -p.mean * q.logits - fastgrad.log1p(-q.probs) - q._cont_bern_log_norm()


def _of_pareto(p, q):
    return (q.alpha + 1) * _LOG[_kind(p)](p) - q.alpha.log() - q.alpha * q.scale.log()


def _kind(p):
    return next(kind for kind in type(p).__mro__ if kind in _LOG or kind in _EXP)


def _register(kind_p, kind_q, mean_of_log, outside=None):
    @register_kl(kind_p, kind_q)
    def divergence(p, q):
        result = mean_of_log(p, q) - p.entropy()
        return result if outside is None else result.masked_fill(outside(p, q), math.inf)


for _p, _q, _mean, _outside in (
        (Beta, Exponential, _of_exponential, None), (Beta, Gamma, _of_gamma, None), (Beta, Normal, _of_normal, None),
        (Beta, ContinuousBernoulli, _of_continuous_bernoulli, None),
        (Beta, Uniform, _of_uniform, lambda p, q: (q.low > 0) | (q.high < 1)),
        (ContinuousBernoulli, Exponential, _of_exponential, None), (ContinuousBernoulli, Normal, _of_normal, None),
        (ContinuousBernoulli, Uniform, _of_uniform, lambda p, q: (q.low >= 0) | (q.high <= 1)),
        (Exponential, Gamma, _of_gamma, None), (Exponential, Gumbel, _of_gumbel, None),
        (Exponential, Normal, _of_normal, None),
        (Gamma, Exponential, _of_exponential, None), (Gamma, Gumbel, _of_gumbel, None),
        (Gamma, Normal, _of_normal, None),
        (Gumbel, Normal, _of_normal, None), (Laplace, Normal, _of_normal, None), (Normal, Gumbel, _of_gumbel, None),
        (Pareto, Exponential, _of_exponential, lambda p, q: p.alpha <= 1),
        (Pareto, Gamma, _of_gamma, lambda p, q: p.alpha <= 1), (Pareto, Normal, _of_normal, lambda p, q: p.alpha <= 2),
        (Uniform, ContinuousBernoulli, _of_continuous_bernoulli, lambda p, q: (p.high >= 1) | (p.low <= 0)),
        (Uniform, Exponential, _of_exponential, lambda p, q: p.low < 0),
        (Uniform, Gamma, _of_gamma, lambda p, q: p.low < 0), (Uniform, Gumbel, _of_gumbel, None),
        (Uniform, Normal, _of_normal, None), (Uniform, Pareto, _of_pareto, lambda p, q: p.low < q.scale)):
    _register(_p, _q, _mean, _outside)


@register_kl(Uniform, Beta)
def _uniform_beta(p, q):
    a, b = q.concentration1, q.concentration0
    normalizer = fastgrad.lgamma(a) + fastgrad.lgamma(b) - fastgrad.lgamma(a + b)
    result = (normalizer - (a - 1) * _x_log_x_mean(p.low, p.high) - (b - 1) * _x_log_x_mean(1 - p.high, 1 - p.low)
              - p.entropy())
    return result.masked_fill((p.high > 1) | (p.low < 0), math.inf)


@register_kl(Normal, Laplace)
def _normal_laplace(p, q):
    distance = (p.loc - q.loc) / p.scale
    folded = (math.sqrt(2 / math.pi) * fastgrad.exp(-0.5 * distance.pow(2))
              + distance * fastgrad.erf(math.sqrt(0.5) * distance)) * p.scale  # the mean of |x - loc of q|
    return (2 * q.scale).log() + folded / q.scale - p.entropy()


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p, q):
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


# ---- supports that do not fit

def _register_infinite(kind_p, *kinds_q):
    for kind in kinds_q:
        @register_kl(kind_p, kind)
        def divergence(p, q):
            return fastgrad.full_like(p.mean, math.inf)


_register_infinite(Beta, Pareto)
_register_infinite(ContinuousBernoulli, Pareto)
_register_infinite(Exponential, Beta, ContinuousBernoulli, Pareto, Uniform)
_register_infinite(Gamma, Beta, ContinuousBernoulli, Pareto, Uniform)
_register_infinite(Gumbel, Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_register_infinite(Laplace, Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_register_infinite(Normal, Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_register_infinite(Pareto, Beta, ContinuousBernoulli, Uniform)
_register_infinite(Poisson, Bernoulli, Binomial)
