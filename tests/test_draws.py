"""Poisson, binomial, gamma and Dirichlet numbers: torch's for the same seed, and their gradients."""
import numpy as np
import pytest

import fastgrad as fg


def numbers_of(library):
    """The private draws are in the native module here."""
    return fg._C if library is fg else library


def arguments(kind):
    numbers = np.random.default_rng(3)
    spread = np.exp(numbers.normal(size=(40, 7)) * 3)
    spread[0, :2] = 0
    return {"poisson": (spread * 3,), "_standard_gamma": (spread,), "_sample_dirichlet": (spread[1:],),
            "binomial": (np.floor(spread * 20), numbers.uniform(-0.1, 1.1, size=(40, 7)).clip(0, 1))}[kind]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["poisson", "binomial", "_standard_gamma", "_sample_dirichlet"])
def test_same_numbers(torch, kind, dtype):
    results = []
    for library in (fg, torch):
        library.manual_seed(11)
        given = [library.tensor(x).to(getattr(library, dtype)) for x in arguments(kind)]
        draw = getattr(numbers_of(library), kind)
        first = draw(*given)
        generator = library.Generator().manual_seed(4)
        second = draw(*[x.t().contiguous().t() for x in given], generator)
        results.append([x.numpy() for x in (first, second, library.rand(3), library.rand(3, generator=generator))])
        assert first.is_contiguous() and str(first.dtype) == "torch." + dtype
    for ours, theirs in zip(*results):
        if kind == "_sample_dirichlet" and dtype == "float64":  # the order in which the parts are added up
            np.testing.assert_allclose(ours, theirs, rtol=1e-15)
        else:
            np.testing.assert_array_equal(ours, theirs)


def test_half_and_empty(torch):
    for library in (fg, torch):
        library.manual_seed(2)
    ours, theirs = (library.poisson(library.tensor([1.0, 30.0], dtype=library.bfloat16)) for library in (fg, torch))
    assert ours.tolist() == theirs.tolist() and ours.dtype is fg.bfloat16
    assert fg.poisson(fg.zeros(0, 3)).shape == (0, 3) and fg.binomial(fg.zeros(0), fg.zeros(0)).shape == (0,)


def test_errors(torch):
    for library in (fg, torch):
        with pytest.raises(RuntimeError, match="invalid Poisson rate, expected rate to be non-negative"):
            library.poisson(library.tensor([1.0, -1.0]))
        with pytest.raises(NotImplementedError, match="\"poisson_cpu\" not implemented for"):
            library.poisson(library.tensor([1]))


def test_gradients_of_counts():
    rate = fg.tensor([2.0, 3.0], requires_grad=True)
    count = fg.poisson(rate)
    assert type(count.grad_fn).__name__ == "PoissonBackward0"
    count.sum().backward()
    assert rate.grad.tolist() == [0, 0]
    prob = fg.tensor([0.5, 0.25], requires_grad=True)
    hits = fg.binomial(fg.tensor([5.0, 6.0]), prob)
    hits.sum().backward()
    assert type(hits.grad_fn).__name__ == "BinomialBackward0" and prob.grad.tolist() == [0, 0]


@pytest.mark.parametrize("kind", ["_standard_gamma", "_sample_dirichlet"])
def test_gradients_of_gamma_numbers(torch, kind):
    gradients = []
    alphas = np.exp(np.random.default_rng(5).normal(size=(60, 5)) * 2)
    for library in (fg, torch):
        library.manual_seed(8)
        alpha = library.tensor(alphas, requires_grad=True)
        if library is torch and kind == "_sample_dirichlet":  # its gradient is in the distribution there
            out = torch.distributions.Dirichlet(alpha).rsample()
        else:
            out = getattr(numbers_of(library), kind)(alpha)
        (out * library.arange(5.0, dtype=library.float64)).sum().backward()
        gradients.append(alpha.grad.numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-9, atol=1e-12)


def test_slopes_are_those_of_the_quantile(torch):
    """Against the change of the incomplete gamma function's inverse, found by differences."""
    alpha = fg.tensor([0.3, 2.0, 6.0, 20.0, 50.0], dtype=fg.float64)
    x = fg.tensor([0.1, 1.5, 9.0, 12.0, 50.5], dtype=fg.float64)
    slope = fg._C._standard_gamma_grad(alpha, x)
    a, y = torch.tensor(alpha.tolist()).double(), torch.tensor(x.tolist()).double()
    h = 1e-6
    by_alpha = (torch.special.gammainc(a + h, y) - torch.special.gammainc(a - h, y)) / (2 * h)
    by_x = (torch.special.gammainc(a, y + h) - torch.special.gammainc(a, y - h)) / (2 * h)
    np.testing.assert_allclose(slope.numpy(), (-by_alpha / by_x).numpy(), rtol=2e-3)


def test_no_second_derivative():
    alpha = fg.tensor([2.0], requires_grad=True)
    grad, = fg.autograd.grad(fg._C._standard_gamma(alpha).sum(), alpha, create_graph=True)
    with pytest.raises(RuntimeError, match="derivative for aten::_standard_gamma_grad is not implemented"):
        grad.sum().backward()
