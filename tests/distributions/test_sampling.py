"""What is drawn follows the law, and gradients of what is drawn are those of the law."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import graphc
from graphc import distributions as d
from graphc.distributions import gamma_sampling


def drawn(distribution: Any, n: int, seed: int = 1) -> Any:
    graphc.manual_seed(seed)
    return distribution.sample((n,)).double().numpy()


LAWS: dict[str, tuple[Any, Any]] = {
    "Normal": (d.Normal(1.0, 2.0), stats.norm(1, 2)),
    "Laplace": (d.Laplace(1.0, 2.0), stats.laplace(1, 2)),
    "Cauchy": (d.Cauchy(1.0, 2.0), stats.cauchy(1, 2)),
    "Gumbel": (d.Gumbel(1.0, 2.0), stats.gumbel_r(1, 2)),
    "Uniform": (d.Uniform(1.0, 4.0), stats.uniform(1, 3)),
    "Exponential": (d.Exponential(0.5), stats.expon(scale=2)),
    "Gamma-tiny": (d.Gamma(0.05, 1.0), stats.gamma(0.05)),
    "Gamma-small": (d.Gamma(0.4, 2.0), stats.gamma(0.4, scale=0.5)),
    "Gamma-one": (d.Gamma(1.0, 2.0), stats.gamma(1, scale=0.5)),
    "Gamma-large": (d.Gamma(50.0, 2.0), stats.gamma(50, scale=0.5)),
    "Chi2": (d.Chi2(3.0), stats.chi2(3)),
    "InverseGamma": (d.InverseGamma(2.5, 1.5), stats.invgamma(2.5, scale=1.5)),
    "Beta": (d.Beta(0.5, 1.5), stats.beta(0.5, 1.5)),
    "Kumaraswamy": (d.Kumaraswamy(2.0, 1.0), stats.beta(2, 1)),
    "HalfNormal": (d.HalfNormal(2.0), stats.halfnorm(0, 2)),
    "HalfCauchy": (d.HalfCauchy(2.0), stats.halfcauchy(0, 2)),
    "LogNormal": (d.LogNormal(0.5, 0.7), stats.lognorm(0.7, scale=math.exp(0.5))),
    "Weibull": (d.Weibull(2.0, 1.5), stats.weibull_min(1.5, scale=2)),
    "Pareto": (d.Pareto(2.0, 3.0), stats.pareto(3, scale=2)),
    "GeneralizedPareto": (d.GeneralizedPareto(1.0, 2.0, 0.3), stats.genpareto(0.3, 1, 2)),
    "GeneralizedPareto-0": (d.GeneralizedPareto(1.0, 2.0, 0.0), stats.expon(1, 2)),
    "StudentT": (d.StudentT(3.0, 1.0, 2.0), stats.t(3, 1, 2)),
    "FisherSnedecor": (d.FisherSnedecor(5.0, 8.0), stats.f(5, 8)),
    "VonMises-flat": (d.VonMises(0.0, 1e-4), stats.vonmises(1e-4)),
    "VonMises": (d.VonMises(0.0, 1.0), stats.vonmises(1)),
    "VonMises-peaked": (d.VonMises(0.0, 300.0), stats.vonmises(300)),
    "ContinuousBernoulli": (d.ContinuousBernoulli(0.5), stats.uniform(0, 1)),
    "TransformedDistribution": (
        d.TransformedDistribution(d.Uniform(0.0, 1.0), [d.SigmoidTransform().inv]),
        stats.logistic(),
    ),
    "MixtureSameFamily": (
        d.MixtureSameFamily(
            d.Categorical(graphc.tensor([0.5, 0.5])),
            d.Uniform(graphc.tensor([0.0, 1.0]), graphc.tensor([1.0, 2.0])),
        ),
        stats.uniform(0, 2),
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_numbers_follow_their_law(name: str) -> None:
    """Kolmogorov and Smirnov."""
    distribution, law = LAWS[name]
    n = 20_000
    assert stats.kstest(drawn(distribution, n), law.cdf).statistic < 1.95 / n**0.5


def test_a_law_with_a_closed_form_of_its_own() -> None:
    for probs in (0.02, 0.3, 0.4995, 0.9):
        distribution = d.ContinuousBernoulli(probs)

        def cdf(x: Any, distribution: Any = distribution) -> Any:
            return distribution.cdf(graphc.tensor(x).float()).numpy()

        assert stats.kstest(drawn(distribution, 20_000), cdf).statistic < 1.95 / 20_000**0.5


COUNTS: dict[str, tuple[Any, Any]] = {
    "Bernoulli": (d.Bernoulli(0.3), stats.bernoulli(0.3)),
    "Binomial": (d.Binomial(12, 0.3), stats.binom(12, 0.3)),
    "Geometric": (d.Geometric(0.3), stats.geom(0.3, loc=-1)),
    "Poisson": (d.Poisson(4.0), stats.poisson(4)),
    "NegativeBinomial": (d.NegativeBinomial(3.5, 0.4), stats.nbinom(3.5, 0.6)),
    "Categorical": (
        d.Categorical(graphc.tensor([1.0, 2.0, 1.0, 0.0])),
        stats.rv_discrete(values=([0, 1, 2], [0.25, 0.5, 0.25])),
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_follow_their_law(name: str) -> None:
    """Pearson's chi squared over the numbers that are expected at least ten times."""
    distribution, law = COUNTS[name]
    n = 20_000
    numbers = drawn(distribution, n)
    support = np.arange(0, 60)
    expected = n * law.pmf(support)
    frequent = expected >= 10
    observed = np.array([(numbers == k).sum() for k in support])
    assert observed[law.pmf(support) == 0].sum() == 0
    distance = ((observed - expected)[frequent] ** 2 / expected[frequent]).sum()
    assert stats.chi2(frequent.sum() - 1).sf(distance) > 1e-3


def test_vectors_have_their_means_and_covariances() -> None:
    n = 40_000
    matrix = graphc.tensor([[2.0, 0.6], [0.6, 1.0]])
    for distribution in (
        d.MultivariateNormal(graphc.tensor([1.0, -1.0]), matrix),
        d.LowRankMultivariateNormal(
            graphc.tensor([1.0, -1.0]),
            graphc.tensor([[1.0], [0.6]]),
            graphc.tensor([1.0, 0.64]),
        ),
        d.Dirichlet(graphc.tensor([0.5, 1.5, 3.0])),
        d.Multinomial(5, graphc.tensor([0.1, 0.4, 0.5])),
        d.OneHotCategorical(graphc.tensor([0.1, 0.4, 0.5])),
        d.Wishart(5.0, matrix),
    ):
        values = drawn(distribution, n)
        mean, variance = distribution.mean.numpy(), distribution.variance.numpy()
        assert (np.abs(values.mean(0) - mean) < 4.5 * (variance / n) ** 0.5).all()
        np.testing.assert_allclose(values.var(0), variance, rtol=0.06)
        if values.shape[1:] == (2,):
            np.testing.assert_allclose(np.cov(values.T), matrix.numpy(), atol=0.05)
    factors = drawn(d.LKJCholesky(3, 2.0), n)
    products = factors @ factors.transpose(0, 2, 1)
    np.testing.assert_allclose(products[:, range(3), range(3)], 1, atol=1e-5)
    # Off the diagonal, (r + 1) / 2 has a beta distribution with twice concentration + (n - 2) / 2.
    law = stats.beta(2.5, 2.5, -1, 2)
    for row, column in ((1, 0), (2, 0), (2, 1)):
        found = stats.kstest(products[:, row, column], law.cdf)
        assert found.statistic < 1.95 / n**0.5


def test_relaxed_values_choose_with_the_probabilities() -> None:
    n, probs = 20_000, [0.1, 0.4, 0.5]
    values = drawn(d.RelaxedOneHotCategorical(graphc.tensor(0.3), graphc.tensor(probs)), n)
    np.testing.assert_allclose(values.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(np.bincount(values.argmax(-1)) / n, probs, atol=0.015)
    values = drawn(d.RelaxedBernoulli(graphc.tensor(0.3), graphc.tensor(0.3)), n)
    assert (values > 0.5).mean() == pytest.approx(0.3, abs=0.015)


# -------------------------------------------------------------------------------------- gradients


def parameter(value: Any) -> Any:
    return graphc.tensor(value, dtype=graphc.float64, requires_grad=True)


MOVED: list[Any] = [
    ("Normal", 0.3, 1.2),
    ("Laplace", 0.3, 1.2),
    ("Cauchy", 0.3, 1.2),
    ("Gumbel", 0.3, 1.2),
    ("Uniform", 0.3, 1.2),
    ("LogNormal", 0.3, 1.2),
    ("Weibull", 0.8, 1.2),
    ("Pareto", 0.8, 1.2),
    ("Kumaraswamy", 0.8, 1.2),
    ("Exponential", 0.8),
    ("HalfNormal", 0.8),
    ("HalfCauchy", 0.8),
    ("ContinuousBernoulli", 0.8),
    ("GeneralizedPareto", 0.3, 1.2, 0.4),
]


@pytest.mark.parametrize("case", MOVED, ids=lambda case: case[0])
def test_values_move_so_that_their_probability_stays(case: Any) -> None:
    """The total derivative of ``cdf(x, parameters)`` is zero."""
    name, *given = case
    graphc.manual_seed(4)
    parameters = [parameter(value) for value in given]
    x = getattr(d, name)(*parameters).rsample((50,))
    weights = graphc.linspace(-1, 2, 50, dtype=graphc.float64)
    slopes = graphc.autograd.grad((x * weights).sum(), parameters)
    fixed = x.detach().requires_grad_()
    cdf = getattr(d, name)(*parameters).cdf(fixed)
    (density,) = graphc.autograd.grad(cdf.sum(), fixed, retain_graph=True)
    for slope, p in zip(slopes, parameters, strict=True):
        (own,) = graphc.autograd.grad((cdf * (weights / density)).sum(), p, retain_graph=True)
        assert slope.item() == pytest.approx(-own.item(), rel=1e-6)


@pytest.mark.parametrize("shape", [0.01, 0.2, 0.999, 1.0, 2.5, 9.0, 60.0, 700.0, 2e4])
def test_gamma_values_move_with_their_shape(shape: float) -> None:
    """Against finite differences of the inverse of the incomplete gamma function."""
    chance = np.array([1e-4, 0.01, 0.2, 0.5, 0.8, 0.99, 1 - 1e-4])
    x = special.gammaincinv(shape, chance)
    seen = x > 1e-250
    h = 1e-5 * shape
    ahead, behind = (special.gammaincinv(shape + s * h, chance) for s in (1, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = (np.log(ahead) - np.log(behind)) / (2 * h)
        log_x = np.log(x)
    slope = gamma_sampling._slope(
        graphc.tensor(np.full(len(x), shape)), graphc.tensor(np.where(seen, log_x, -100.0))
    ).numpy()
    np.testing.assert_allclose(slope[seen], expected[seen], rtol=2e-5)


FUNCTIONS: list[Any] = [
    # E[f(x)], by the parameters, and f
    ("Gamma", (1.7, 0.8), lambda x: x.square(), lambda a, b: a * (a + 1) / b**2),
    ("Gamma", (0.3, 0.8), lambda x: x, lambda a, b: a / b),
    ("Beta", (1.7, 0.8), lambda x: x, lambda a, b: a / (a + b)),
    ("Chi2", (3.5,), lambda x: x.log(), lambda k: (k / 2).digamma() + math.log(2)),
    ("StudentT", (9.0, 0.5, 1.5), lambda x: x.square(), lambda k, m, s: m**2 + s**2 * k / (k - 2)),
    ("InverseGamma", (6.0, 1.5), lambda x: x, lambda a, b: b / (a - 1)),
    ("FisherSnedecor", (5.0, 20.0), lambda x: x, lambda a, b: b / (b - 2) + 0 * a),
]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_expected_values_have_their_gradients(number: int) -> None:
    name, given, f, expected = FUNCTIONS[number]
    n = 40_000
    graphc.manual_seed(6)
    many = [parameter([value] * n) for value in given]
    found = graphc.autograd.grad(f(getattr(d, name)(*many).rsample()).sum(), many)
    parameters = [parameter(value) for value in given]
    wanted = graphc.autograd.grad(expected(*parameters), parameters)
    for each, slope in zip(found, wanted, strict=True):
        values = each.numpy()
        assert abs(values.mean() - slope.item()) < 4.5 * values.std() / n**0.5 + 1e-12


def test_gradients_of_vectors() -> None:
    graphc.manual_seed(7)
    n = 40_000
    c = parameter([[0.5, 1.5, 3.0]] * n)
    (found,) = graphc.autograd.grad(d.Dirichlet(c).rsample()[:, 0].sum(), c)
    # E[x0] = c0 / sum(c)
    np.testing.assert_allclose(found.numpy().mean(0), [4.5 / 25, -0.5 / 25, -0.5 / 25], atol=4e-3)
    loc, factor = parameter([0.5, -1.0]), parameter([[1.0, 0.0], [0.5, 2.0]])
    x = d.MultivariateNormal(loc, scale_tril=factor).rsample((n,))
    shift, spread = graphc.autograd.grad(x.square().sum() / n, [loc, factor])
    np.testing.assert_allclose(shift.numpy(), 2 * x.mean(0).detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(spread.tril().numpy(), 2 * factor.detach().numpy(), atol=0.1)
    probs = parameter([0.2, 0.8])
    value = d.OneHotCategoricalStraightThrough(probs, validate_args=False).rsample()
    (slope,) = graphc.autograd.grad(value[0], probs)
    assert slope.tolist() == pytest.approx([0.8, -0.2])


def test_small_concentrations_give_no_zeros_and_no_nan() -> None:
    graphc.manual_seed(8)
    tiny = graphc.full((2000, 3), 1e-3, requires_grad=True)
    x = d.Dirichlet(tiny).rsample()
    assert bool(x.isfinite().all())
    assert x.detach().sum(-1).numpy() == pytest.approx(1, abs=1e-5)
    (slope,) = graphc.autograd.grad(x[:, 0].sum(), tiny)
    assert bool(slope.isfinite().all())
    assert bool((d.Gamma(tiny.detach(), 1.0).sample() > 0).all())


def test_seeds_reproduce() -> None:
    for distribution, _ in (*LAWS.values(), *COUNTS.values()):
        assert drawn(distribution, 5, 3).tolist() == drawn(distribution, 5, 3).tolist()
