"""Probability distributions: samples, densities, moments, divergences; each in a module of its own, imported when used.

Where to start: `distribution.py` has the base, `constraints.py` the sets that parameters and values lie in,
`transforms.py` and `transformed_distribution.py` what becomes of them, `kl.py` the divergences.
"""
from importlib import import_module

_MODULES = {
    "bernoulli": ("Bernoulli",), "beta": ("Beta",), "binomial": ("Binomial",), "categorical": ("Categorical",),
    "cauchy": ("Cauchy",), "chi2": ("Chi2",), "constraint_registry": ("biject_to", "transform_to"),
    "continuous_bernoulli": ("ContinuousBernoulli",), "dirichlet": ("Dirichlet",), "distribution": ("Distribution",),
    "exp_family": ("ExponentialFamily",), "exponential": ("Exponential",), "fishersnedecor": ("FisherSnedecor",),
    "gamma": ("Gamma",), "generalized_pareto": ("GeneralizedPareto",), "geometric": ("Geometric",),
    "gumbel": ("Gumbel",), "half_cauchy": ("HalfCauchy",), "half_normal": ("HalfNormal",),
    "independent": ("Independent",), "inverse_gamma": ("InverseGamma",), "kl": ("kl_divergence", "register_kl"),
    "kumaraswamy": ("Kumaraswamy",), "laplace": ("Laplace",), "lkj_cholesky": ("LKJCholesky",),
    "log_normal": ("LogNormal",), "logistic_normal": ("LogisticNormal",),
    "lowrank_multivariate_normal": ("LowRankMultivariateNormal",), "mixture_same_family": ("MixtureSameFamily",),
    "multinomial": ("Multinomial",), "multivariate_normal": ("MultivariateNormal",),
    "negative_binomial": ("NegativeBinomial",), "normal": ("Normal",),
    "one_hot_categorical": ("OneHotCategorical", "OneHotCategoricalStraightThrough"), "pareto": ("Pareto",),
    "poisson": ("Poisson",), "relaxed_bernoulli": ("RelaxedBernoulli",),
    "relaxed_categorical": ("RelaxedOneHotCategorical",), "studentT": ("StudentT",),
    "transformed_distribution": ("TransformedDistribution",),
    "transforms": (
        "AbsTransform", "AffineTransform", "CatTransform", "ComposeTransform", "CorrCholeskyTransform",
        "CumulativeDistributionTransform", "ExpTransform", "IndependentTransform", "LowerCholeskyTransform",
        "PositiveDefiniteTransform", "PowerTransform", "ReshapeTransform", "SigmoidTransform", "SoftplusTransform",
        "TanhTransform", "SoftmaxTransform", "StackTransform", "StickBreakingTransform", "Transform",
        "identity_transform"),
    "uniform": ("Uniform",), "von_mises": ("VonMises",), "weibull": ("Weibull",), "wishart": ("Wishart",)}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_SUBMODULES = {*_MODULES, "constraints", "utils"}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        value = globals()[name] = getattr(import_module("." + _HOME[name], __name__), name)
        return value
    if name in _SUBMODULES:
        return import_module("." + name, __name__)
    raise AttributeError(f"module 'fastgrad.distributions' has no attribute '{name}'")


def __dir__():
    return sorted({*globals(), *_HOME, *_SUBMODULES})
