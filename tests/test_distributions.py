"""Distributions against torch: the same numbers from the same seed, densities, moments, gradients, shapes, errors."""
# ruff: noqa: B023 (the functions made in loops are called at once)

import math
import warnings

import numpy as np
import pytest

import fastgrad as fg

RANDOM = np.random.default_rng(7)
REAL, OTHER = RANDOM.normal(size=(2, 3)), RANDOM.normal(size=(3,))
POSITIVE, RATE = RANDOM.uniform(0.3, 3, size=(2, 3)), RANDOM.uniform(0.3, 3, size=(3,))
PROBS = RANDOM.uniform(0.05, 0.95, size=(2, 3))
SIMPLEX = RANDOM.dirichlet(np.ones(3), size=(2,))
SQUARE = RANDOM.normal(size=(2, 3, 3))
COVARIANCE = SQUARE @ SQUARE.transpose(0, 2, 1) + np.eye(3)
FACTOR = np.linalg.cholesky(COVARIANCE)
COUNT = np.array([[3.0, 1, 7], [12, 30, 5]])
TEMPERATURE = np.array(0.7)

CASES = [
    ("Normal", {"loc": REAL, "scale": POSITIVE}), ("Normal", {"loc": OTHER, "scale": 2.0}),
    ("Cauchy", {"loc": REAL, "scale": RATE}), ("Laplace", {"loc": REAL, "scale": RATE}),
    ("Uniform", {"low": REAL, "high": REAL + POSITIVE}), ("Exponential", {"rate": POSITIVE}),
    ("Poisson", {"rate": POSITIVE * 10}), ("Gamma", {"concentration": POSITIVE, "rate": RATE}),
    ("Chi2", {"df": POSITIVE}),
    ("Dirichlet", {"concentration": POSITIVE}), ("Beta", {"concentration1": POSITIVE, "concentration0": RATE}),
    ("FisherSnedecor", {"df1": POSITIVE * 2, "df2": POSITIVE * 3}),
    ("StudentT", {"df": POSITIVE * 2, "loc": REAL, "scale": RATE}),
    ("GeneralizedPareto", {  # torch has it in float32 only
        "loc": REAL.astype("float32"), "scale": POSITIVE.astype("float32"),
        "concentration": np.array([[0.3, 0.0, -0.2], [1.5, 0.6, -0.9]], dtype="float32")}),
    ("VonMises", {"loc": REAL, "concentration": POSITIVE * 3}),
    ("Bernoulli", {"probs": PROBS}), ("Bernoulli", {"logits": REAL}),
    ("ContinuousBernoulli", {"probs": np.array([0.2, 0.5, 0.5003, 0.9])}), ("ContinuousBernoulli", {"logits": REAL}),
    ("Geometric", {"probs": PROBS}), ("Geometric", {"logits": REAL}),
    ("Binomial", {"total_count": COUNT, "probs": PROBS}), ("Binomial", {"total_count": 4, "logits": REAL}),
    ("NegativeBinomial", {"total_count": COUNT, "probs": PROBS}),
    ("NegativeBinomial", {"total_count": RATE, "logits": REAL}),
    ("Categorical", {"probs": POSITIVE}), ("Categorical", {"logits": REAL}), ("Categorical", {"logits": OTHER}),
    ("OneHotCategorical", {"probs": POSITIVE}), ("OneHotCategorical", {"logits": REAL}),
    ("OneHotCategoricalStraightThrough", {"probs": POSITIVE}),
    ("Multinomial", {"total_count": 5, "probs": POSITIVE}), ("Multinomial", {"total_count": 4, "logits": OTHER}),
    ("RelaxedBernoulli", {"temperature": TEMPERATURE, "probs": PROBS}),
    ("RelaxedBernoulli", {"temperature": TEMPERATURE, "logits": REAL}),
    ("RelaxedOneHotCategorical", {"temperature": TEMPERATURE, "probs": POSITIVE}),
    ("RelaxedOneHotCategorical", {"temperature": TEMPERATURE, "logits": REAL}),
    ("LogNormal", {"loc": REAL, "scale": POSITIVE}), ("HalfNormal", {"scale": POSITIVE}),
    ("HalfCauchy", {"scale": POSITIVE}),
    ("Gumbel", {"loc": REAL, "scale": POSITIVE}), ("Weibull", {"scale": POSITIVE, "concentration": RATE}),
    ("Pareto", {"scale": POSITIVE, "alpha": RATE}),
    ("Kumaraswamy", {"concentration1": POSITIVE, "concentration0": RATE}),
    ("InverseGamma", {"concentration": POSITIVE * 2, "rate": RATE}),
    ("LogisticNormal", {"loc": REAL, "scale": POSITIVE}),
    ("MultivariateNormal", {"loc": REAL, "covariance_matrix": COVARIANCE}),
    ("MultivariateNormal", {"loc": OTHER, "scale_tril": FACTOR}),
    ("MultivariateNormal", {"loc": REAL, "precision_matrix": COVARIANCE[0]}),
    ("LowRankMultivariateNormal", {"loc": REAL, "cov_factor": SQUARE[..., :2], "cov_diag": POSITIVE}),
    ("Wishart", {"df": np.array([4.5, 6.0]), "covariance_matrix": COVARIANCE}),
    ("Wishart", {"df": np.array(5.0), "precision_matrix": COVARIANCE[0]}),
    ("LKJCholesky", {"dim": 4, "concentration": np.array([0.7, 2.0])})]
IDS = [f"{name}-{'-'.join(options)}" for name, options in CASES]


def made(m, name, options, dtype="float64", grad=False):
    leaves = {key: m.tensor(value, requires_grad=grad) if dtype == "float64" else m.tensor(value).to(getattr(m, dtype))
              for key, value in options.items() if isinstance(value, np.ndarray)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(m.distributions, name)(**{**options, **leaves}), list(leaves.values())


def attempt(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except NotImplementedError:
            return "not implemented"
        except AttributeError as error:  # torch's expanded Multinomial has no entropy
            assert "_binomial" in str(error)
            return "broken"


def close(ours, theirs, rtol=1e-6, atol=1e-9):
    if isinstance(theirs, str) or isinstance(ours, str):
        assert theirs == "broken" or ours == theirs
        return
    if str(theirs.dtype) == "torch.float32":
        rtol, atol = max(rtol, 1e-4), max(atol, 1e-5)
    assert tuple(ours.shape) == tuple(theirs.shape) and str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_same_numbers(torch, name, options, dtype):
    results = []
    for m in (fg, torch):
        m.manual_seed(23)
        d, _ = made(m, name, options, dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            draws = [d.sample(), d.sample((5, 2)), d.sample(m.Size([7]))]
            draws += [d.rsample(), d.rsample((4,))] if d.has_rsample else []
        draws.append(m.rand(3))
        results.append((draws, d.has_rsample, d.has_enumerate_support))
    assert results[0][1:] == results[1][1:]
    for ours, theirs in zip(results[0][0], results[1][0]):
        close(ours, theirs, 1e-9 if dtype == "float64" else 2e-4, 1e-12 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_values_and_gradients(torch, name, options):
    found = []
    for m in (fg, torch):
        m.manual_seed(3)
        d, leaves = made(m, name, options, grad=True)
        value = torch.distributions.__dict__[name](**{
            key: torch.tensor(entry) if isinstance(entry, np.ndarray) else entry for key, entry in options.items()
        }).sample((2,)) if not found else found[0][0]
        value = m.tensor(value if found else value.numpy())
        results = {"log_prob": attempt(lambda: d.log_prob(value))}
        for key in ("entropy", "perplexity"):
            results[key] = attempt(lambda: getattr(d, key)())
        for key in ("mean", "variance", "stddev", "mode"):
            results[key] = attempt(lambda: getattr(d, key))
        results["cdf"] = attempt(lambda: d.cdf(value))
        probability = m.tensor(np.linspace(0.05, 0.95, 2 * max(1, math.prod(d.batch_shape)))
                               .reshape(2, *d.batch_shape)) if not d.event_shape else None
        results["icdf"] = attempt(lambda: d.icdf(probability)) if probability is not None else "none"
        results["support"] = attempt(lambda: d.enumerate_support())
        results["narrow"] = attempt(lambda: d.enumerate_support(expand=False))
        gradients = {}
        for key, result in results.items():
            if not isinstance(result, str) and result.requires_grad:
                grads = attempt(lambda: m.autograd.grad(result.nan_to_num(0, 0, 0).sum(), leaves, retain_graph=True,
                                                        allow_unused=True))
                if grads == "not implemented":  # of the incomplete gamma function by its first argument
                    continue
                gradients[key] = [m.zeros_like(leaf) if g is None else g for g, leaf in zip(grads, leaves)]
        found.append((value.numpy(), results, gradients, repr(d), attempt(lambda: repr(d.support)),
                      (tuple(d.batch_shape), tuple(d.event_shape))))
    ours, theirs = found
    assert ours[3].replace("requires_grad=True", "")[:40] == theirs[3].replace("requires_grad=True", "")[:40]
    assert ours[4][:20] == theirs[4][:20] and ours[5] == theirs[5]
    for key, value in theirs[1].items():
        close(ours[1][key], value)
    assert set(ours[2]) - set(theirs[2]) <= {"cdf"} and not set(theirs[2]) - set(ours[2])
    for key, grads in theirs[2].items():
        for a, e in zip(ours[2][key], grads):
            close(a.nan_to_num(0, 0, 0), e.nan_to_num(0, 0, 0), 1e-5, 1e-7)


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_gradients_of_samples(torch, name, options):
    gradients = []
    for m in (fg, torch):
        m.manual_seed(31)
        d, leaves = made(m, name, options, grad=True)
        if not d.has_rsample:
            with pytest.raises(NotImplementedError):
                d.rsample()
            return
        x = d.rsample((3,))
        if name == "Wishart" and m is torch:  # its own check of in-place changes stops the gradient there
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                m.autograd.grad(x.sum(), leaves)
            assert all(bool(g.isfinite().all()) for g in gradients[0])
            return
        weights = m.tensor(np.linspace(0.5, 1.5, x.numel()).reshape(tuple(x.shape)))
        grads = m.autograd.grad((x * weights).sum(), leaves, allow_unused=True)
        gradients.append([m.zeros_like(leaf) if g is None else g for g, leaf in zip(grads, leaves)])
    for a, e in zip(*gradients):
        close(a, e, 1e-5, 1e-7)


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_expand(torch, name, options):
    results = []
    for m in (fg, torch):
        d, _ = made(m, name, options)
        wide = d.expand((2, *d.batch_shape))
        m.manual_seed(5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = wide.sample((2,))
        results.append((wide.batch_shape, wide.event_shape, x, wide.log_prob(x), attempt(lambda: wide.variance),
                        attempt(lambda: wide.entropy())))
        assert type(wide) is type(d)
    for a, e in zip(*results):
        if hasattr(e, "numpy") or isinstance(e, str):
            close(a, e)
        else:
            assert tuple(a) == tuple(e)


def pairs(m):
    """One distribution of each kind that a divergence is registered for, twice with different parameters."""
    t = lambda *values: m.tensor(values, dtype=m.float64)
    D = m.distributions
    kinds = {
        "Bernoulli": lambda s: D.Bernoulli(t(0.3, 0.6 * s)), "Beta": lambda s: D.Beta(t(0.7, 2.0 * s), t(1.5, 0.4)),
        "Binomial": lambda s: D.Binomial(5, t(0.3, 0.6 * s)),
        "Categorical": lambda s: D.Categorical(t(0.2, 0.5 * s, 0.3)),
        "Cauchy": lambda s: D.Cauchy(t(0.3, s), t(1.0, 2.0)),
        "ContinuousBernoulli": lambda s: D.ContinuousBernoulli(t(0.2, 0.8 * s)),
        "Dirichlet": lambda s: D.Dirichlet(t(0.5, 2.0 * s, 1.2)),
        "Exponential": lambda s: D.Exponential(t(0.5, 2.0 * s)),
        "Gamma": lambda s: D.Gamma(t(0.5, 2.0 * s), t(1.2, 0.4)), "Geometric": lambda s: D.Geometric(t(0.3, 0.7 * s)),
        "Gumbel": lambda s: D.Gumbel(t(0.3, -0.5 * s), t(0.8, 1.4)),
        "HalfNormal": lambda s: D.HalfNormal(t(0.8, 1.4 * s)),
        "Laplace": lambda s: D.Laplace(t(0.3, -0.5 * s), t(0.8, 1.4)),
        "MultivariateNormal": lambda s: D.MultivariateNormal(m.tensor(OTHER) * s, m.tensor(COVARIANCE) + s),
        "LowRankMultivariateNormal": lambda s: D.LowRankMultivariateNormal(
            m.tensor(OTHER) * s, m.tensor(SQUARE[..., :2]), m.tensor(POSITIVE) * s),
        "Normal": lambda s: D.Normal(t(0.3, -0.5 * s), t(0.8, 1.4)),
        "OneHotCategorical": lambda s: D.OneHotCategorical(t(0.2, 0.5 * s, 0.3)),
        "Pareto": lambda s: D.Pareto(t(1.0, 0.5 * s), t(3.5, 1.7)), "Poisson": lambda s: D.Poisson(t(0.5, 2.0 * s)),
        "Uniform": lambda s: D.Uniform(t(0.1, 0.2 * s), t(0.7, 0.9)),
        "LogNormal": lambda s: D.LogNormal(t(0.3, s), t(0.8, 1.4)),
        "Independent": lambda s: D.Independent(D.Normal(t(0.3, -0.5 * s), t(0.8, 1.4)), 1),
        "Weibull": lambda s: D.Weibull(t(0.3, 0.5), t(0.8, 1.4)), "Chi2": lambda s: D.Chi2(t(0.5, 2.0 * s)),
        "Wishart": lambda s: D.Wishart(t(4.0, 5.0 + s), m.tensor(COVARIANCE))}
    return {name: (make(1.0), make(1.3)) for name, make in kinds.items()}


def test_divergences(torch):
    """Every pair of kinds: the same value, or not implemented in either."""
    ours, theirs = pairs(fg), pairs(torch)
    known = 0
    for p in ours:
        for q in ours:
            for i in (0, 1):
                results = [attempt(lambda: m.distributions.kl_divergence(d[p][i], d[q][1 - i]))
                           for m, d in ((fg, ours), (torch, theirs))]
                if hasattr(results[1], "numpy"):
                    known += 1
                    np.testing.assert_allclose(results[0].detach().numpy(), results[1].detach().numpy(), rtol=1e-6,
                                               atol=1e-9, err_msg=f"KL({p} || {q})")
                else:
                    assert results[0] == results[1], (p, q)
    assert known > 150


def test_register_kl(torch):
    D = fg.distributions

    class Mine(D.Normal):
        pass

    assert D.kl_divergence(Mine(0.0, 1.0), D.Normal(1.0, 1.0)).item() == 0.5
    with pytest.raises(NotImplementedError, match="No KL\\(p \\|\\| q\\) is implemented for p type VonMises"):
        D.kl_divergence(D.VonMises(fg.ones(1), fg.ones(1)), D.Normal(0.0, 1.0))
    with pytest.raises(TypeError, match="Expected type_p to be a Distribution subclass"):
        D.register_kl(int, D.Normal)

    @D.register_kl(Mine, Mine)
    def divergence(p, q):
        return fg.tensor(7.0)

    assert D.kl_divergence(Mine(0.0, 1.0), Mine(0.0, 1.0)).item() == 7
    del D.kl._KL_REGISTRY[Mine, Mine]
    D.kl._KL_MEMOIZE.clear()


WRONG = [
    lambda m, D: D.Normal(m.zeros(2), m.tensor([1.0, -1.0])), lambda m, D: D.Bernoulli(probs=m.tensor(1.5)),
    lambda m, D: D.Bernoulli(), lambda m, D: D.Bernoulli(m.tensor(0.5), m.tensor(0.5)), lambda m, D: D.Normal("a", 1),
    lambda m, D: D.Categorical(m.tensor(0.5)), lambda m, D: D.Categorical(m.tensor([0.5, -0.5, 1.0])),
    lambda m, D: D.Uniform(1.0, 0.5), lambda m, D: D.Dirichlet(m.tensor(1.0)), lambda m, D: D.Geometric(m.tensor(0.0)),
    lambda m, D: D.MultivariateNormal(m.zeros(2)), lambda m, D: D.MultivariateNormal(m.zeros(2), -m.eye(2)),
    lambda m, D: D.MultivariateNormal(m.tensor(1.0), m.eye(2)),
    lambda m, D: D.MultivariateNormal(m.zeros(2), m.ones(2)),
    lambda m, D: D.LowRankMultivariateNormal(m.zeros(2), m.ones(3, 1), m.ones(2)), lambda m, D: D.LKJCholesky(1),
    lambda m, D: D.Multinomial(m.tensor([1, 2]), m.ones(2)), lambda m, D: D.Independent(D.Normal(0.0, 1.0), 1),
    lambda m, D: D.Wishart(1.0, m.eye(3)), lambda m, D: D.TransformedDistribution(D.Normal(0.0, 1.0), [1]),
    lambda m, D: D.TransformedDistribution(D.Normal(0.0, 1.0), 1), lambda m, D: D.Normal(0.0, 1.0).log_prob(1.0),
    lambda m, D: D.Exponential(1.0).log_prob(m.tensor(-1.0)),
    lambda m, D: D.Normal(m.zeros(3), 1.0).log_prob(m.zeros(2)),
    lambda m, D: D.Dirichlet(m.ones(3)).log_prob(m.ones(2)), lambda m, D: D.Poisson(1.0).log_prob(m.tensor(0.5)),
    lambda m, D: D.Binomial(m.tensor([1, 2]), m.tensor(0.5)).entropy(), lambda m, D: D.Distribution().sample(),
    lambda m, D: D.MixtureSameFamily(D.Normal(0.0, 1.0), D.Normal(0.0, 1.0)),
    lambda m, D: D.MixtureSameFamily(D.Categorical(m.ones(2)), D.Normal(m.zeros(3), 1.0)),
    lambda m, D: D.Distribution.set_default_validate_args(3), lambda m, D: D.VonMises(m.ones(1), m.ones(1)).rsample(),
    lambda m, D: D.transform_to(D.constraints.boolean), lambda m, D: D.Normal(0.0, 1.0).enumerate_support()]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_what_is_refused(torch, number):
    torch.distributions.Distribution.set_default_validate_args(True)  # torch._dynamo, once imported, turns it off
    errors = []
    for m in (fg, torch):
        with pytest.raises(Exception) as error, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            WRONG[number](m, m.distributions)
        errors.append((type(error.value), str(error.value).split("tensor(")[0].split(" of type")[0]))
    assert errors[0][0] is errors[1][0]
    assert errors[0][1][:60] == errors[1][1][:60]


def test_validation_can_be_turned_off():
    D = fg.distributions
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    D.Distribution.set_default_validate_args(False)
    try:
        assert math.isinf(D.Uniform(0.0, 1.0).log_prob(fg.tensor(2.0)).item())
    finally:
        D.Distribution.set_default_validate_args(True)


def mixtures(m):
    D = m.distributions
    weights = m.tensor(SIMPLEX)
    yield D.MixtureSameFamily(D.Categorical(weights), D.Normal(m.tensor(REAL), m.tensor(POSITIVE)))
    yield D.MixtureSameFamily(D.Categorical(weights), D.Independent(
        D.Normal(m.tensor(SQUARE), m.tensor(np.abs(SQUARE) + 0.1)), 1))
    yield D.MixtureSameFamily(D.Categorical(weights), D.Exponential(m.tensor(POSITIVE))).expand((4, 2))


def test_mixtures(torch):
    for ours, theirs in zip(mixtures(fg), mixtures(torch)):
        results = []
        for m, d in ((fg, ours), (torch, theirs)):
            m.manual_seed(2)
            x = d.sample((3,))
            results.append([x, d.log_prob(x), d.mean, d.variance, attempt(lambda: d.cdf(x))])
        for a, e in zip(*results):
            close(a, e)
        assert tuple(ours.batch_shape) == tuple(theirs.batch_shape)
        assert repr(ours.support) == repr(theirs.support)


def test_independent_and_transformed(torch):
    results = []
    for m in (fg, torch):
        D = m.distributions
        m.manual_seed(4)
        base = D.Independent(D.Normal(m.tensor(REAL), m.tensor(POSITIVE)), 1)
        flow = D.TransformedDistribution(base, [D.AffineTransform(1.0, -2.0, event_dim=1), D.SigmoidTransform()])
        logistic = D.TransformedDistribution(D.Uniform(m.zeros(2), m.ones(2)), [
            D.SigmoidTransform().inv, D.AffineTransform(m.tensor([1.0, 2.0]), m.tensor([0.5, -1.5]))])
        x, y = flow.rsample((2,)), logistic.sample((3,))
        wide = flow.expand((5, 2))
        results.append([x, flow.log_prob(x), base.entropy(), base.mean, y, logistic.log_prob(y), logistic.cdf(y),
                        logistic.icdf(m.tensor([0.25, 0.75])), wide.sample(), wide.log_prob(wide.sample())])
        assert tuple(flow.event_shape) == (3,) and tuple(base.batch_shape) == (2,)
    for a, e in zip(*results):
        close(a, e, 1e-5, 1e-6)


def test_readme_policy_gradient():
    """The use that most programs make: sample an action, score it, learn from the reward."""
    fg.manual_seed(0)
    logits = fg.zeros(2, requires_grad=True)
    optimizer = fg.optim.SGD([logits], lr=0.5)
    for _ in range(40):
        choice = fg.distributions.Categorical(logits=logits)
        action = choice.sample()
        loss = -choice.log_prob(action) * (action.item() == 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert fg.softmax(logits, 0)[1].item() > 0.9


def test_import_paths(torch):
    D = fg.distributions
    for name in torch.distributions.__all__:
        assert name in dir(D) and getattr(D, name) is not None
    from fastgrad.distributions import constraints, kl, transforms, utils
    from fastgrad.distributions.normal import Normal
    assert D.Normal is Normal and D.constraints is constraints and D.kl is kl and D.transforms is transforms
    assert set(torch.distributions.constraints.__all__) <= set(dir(constraints))
    assert set(torch.distributions.transforms.__all__) <= set(dir(transforms))
    assert utils.broadcast_all(1, 2)[1].item() == 2
    with pytest.raises(AttributeError, match="has no attribute 'Normale'"):
        D.Normale
