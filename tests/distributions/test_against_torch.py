"""Every distribution computes what PyTorch's does: densities, moments, divergences, messages."""

import warnings
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import distributions
from tests.distributions.examples import CASES, EXAMPLES, IDS

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.differential


def array(value: Any) -> Any:
    return np.array(value.detach().numpy())


def both(name: str, number: int, **named: Any) -> tuple[Any, Any]:
    build = EXAMPLES[name][number]
    return build(graphc, distributions, **named), build(torch, torch.distributions, **named)


def mine(value: Any) -> Any:
    return graphc.from_numpy(array(value))


def drawn(theirs: Any, *shape: int) -> Any:
    torch.manual_seed(3)
    with torch.no_grad():
        return theirs.sample(shape)


def assert_same(a: Any, b: Any, rtol: float = 1e-7, atol: float = 1e-9) -> None:
    a, b = array(a), array(b)
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def same(call: Any, own: Any, theirs: Any, rtol: float = 1e-7) -> None:
    """Equal results; or both raise."""
    try:
        wanted = call(theirs)
    except NotImplementedError:
        with pytest.raises(NotImplementedError):
            call(own)
        return
    except AttributeError:  # of an expanded Multinomial, whose entropy PyTorch forgets
        assert type(own).__name__ == "Multinomial"
        return
    assert_same(call(own), wanted, rtol)


WRONG = {("Kumaraswamy", "mode")}  # PyTorch takes the logarithm of a negative number


@pytest.mark.parametrize(("name", "number"), CASES, ids=IDS)
def test_shapes_words_and_moments(name: str, number: int) -> None:
    own, theirs = both(name, number)
    assert tuple(own.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(own.event_shape) == tuple(theirs.event_shape)
    assert own.has_rsample == theirs.has_rsample
    assert own.has_enumerate_support == theirs.has_enumerate_support
    words = repr(own).replace("graphc", "torch")
    assert words == repr(theirs)
    assert repr(own.support).split("(")[0] == repr(theirs.support).split("(")[0]
    assert own.support.event_dim == theirs.support.event_dim
    exact = array(drawn(theirs)).dtype == np.float64 and name != "VonMises"
    rtol = 1e-6 if exact else 1e-4
    for attribute in ("mean", "mode", "variance", "stddev"):
        if (name, attribute) not in WRONG:
            same(lambda d, a=attribute: getattr(d, a), own, theirs, rtol)
    same(lambda d: d.entropy(), own, theirs, rtol)
    for expand in (True, False):
        same(lambda d, e=expand: d.enumerate_support(e), own, theirs)


@pytest.mark.parametrize(("name", "number"), CASES, ids=IDS)
def test_densities(name: str, number: int) -> None:
    own, theirs = both(name, number)
    for shape in ((), (4,), (2, 3)):
        value = drawn(theirs, *shape)
        rtol = 1e-6 if value.dtype is not torch.float32 else 2e-5
        assert_same(own.log_prob(mine(value)), theirs.log_prob(value), rtol, 1e-6)
        if name != "StudentT":
            try:
                wanted = theirs.cdf(value)
            except NotImplementedError:
                with pytest.raises(NotImplementedError):
                    own.cdf(mine(value))
            else:
                assert_same(own.cdf(mine(value)), wanted, rtol, 1e-6)
    quantile = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    quantile = quantile.reshape(-1, *(1,) * len(theirs.batch_shape))
    try:
        wanted = theirs.icdf(quantile)
    except NotImplementedError:
        with pytest.raises(NotImplementedError):
            own.icdf(mine(quantile))
    else:
        assert_same(own.icdf(mine(quantile)), wanted, 1e-6, 1e-6)


@pytest.mark.parametrize(("name", "number"), CASES, ids=IDS)
def test_expansion(name: str, number: int) -> None:
    own, theirs = both(name, number)
    shape = (2, *theirs.batch_shape)
    own, theirs = own.expand(shape), theirs.expand(shape)
    assert tuple(own.batch_shape) == shape
    assert tuple(own.event_shape) == tuple(theirs.event_shape)
    assert repr(own).replace("graphc", "torch") == repr(theirs)
    value = drawn(theirs, 3)
    assert_same(own.log_prob(mine(value)), theirs.log_prob(value), 2e-5, 1e-6)
    assert tuple(own.sample((3,)).shape) == tuple(value.shape)
    same(lambda d: d.mean, own, theirs, 1e-5)
    same(lambda d: d.entropy(), own, theirs, 1e-5)


@pytest.mark.parametrize(("name", "number"), CASES, ids=IDS)
def test_samples_have_the_shape_and_dtype(name: str, number: int) -> None:
    own, theirs = both(name, number)
    for shape in ((), (5,), (2, 3)):
        value = drawn(theirs, *shape)
        for draw in [own.sample, own.rsample] if own.has_rsample else [own.sample]:
            found = draw(shape)
            assert tuple(found.shape) == tuple(value.shape)
            assert str(found.dtype).split(".")[-1] == str(value.dtype).split(".")[-1]
            if name != "MixtureSameFamily" or number == 0:
                assert bool(own.support.check(found).all())
        assert np.isfinite(array(own.log_prob(own.sample(shape)))).all()
    if not own.has_rsample:
        with pytest.raises(NotImplementedError):
            own.rsample()


# -------------------------------------------------------------------------------------- gradients


def leaves(t: Any, values: Any) -> Any:
    return [t.tensor(v, dtype=t.float64, requires_grad=True) for v in values]


PARAMETERS: dict[str, Any] = {
    "Normal": ([0.3, -1.0], [0.5, 2.0]),
    "Laplace": ([0.3, -1.0], [0.5, 2.0]),
    "Cauchy": ([0.3, -1.0], [0.5, 2.0]),
    "Gumbel": ([0.3, -1.0], [0.5, 2.0]),
    "LogNormal": ([0.3, -1.0], [0.5, 2.0]),
    "Gamma": ([0.7, 3.0], [0.5, 2.0]),
    "InverseGamma": ([0.7, 3.0], [0.5, 2.0]),
    "Beta": ([0.7, 3.0], [0.5, 2.0]),
    "Kumaraswamy": ([0.7, 3.0], [0.5, 2.0]),
    "FisherSnedecor": ([0.7, 3.0], [0.5, 2.0]),
    "Weibull": ([0.7, 3.0], [0.5, 2.0]),
    "Pareto": ([0.7, 3.0], [0.5, 2.0]),
    "StudentT": ([0.7, 3.0], [0.5, 2.0], [1.0, 2.0]),
    "Exponential": ([0.7, 3.0],),
    "Chi2": ([0.7, 3.0],),
    "HalfNormal": ([0.7, 3.0],),
    "HalfCauchy": ([0.7, 3.0],),
    "Poisson": ([0.7, 3.0],),
    "Geometric": ([0.7, 0.3],),
    "Bernoulli": ([0.7, 0.3],),
    "ContinuousBernoulli": ([0.7, 0.3],),
    "Categorical": ([0.7, 0.2, 0.1],),
    "OneHotCategorical": ([0.7, 0.2, 0.1],),
    "Dirichlet": ([0.7, 2.0, 1.1],),
    "VonMises": ([0.3, -1.0], [0.5, 2.0]),
    "MultivariateNormal": ([0.3, -1.0], [[2.0, 0.3], [0.3, 1.0]]),
    "LowRankMultivariateNormal": ([0.3, -1.0], [[2.0], [0.3]], [0.5, 1.0]),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_gradients_of_densities_and_entropies(name: str) -> None:
    def slopes(t: Any, value: Any, what: str) -> Any:
        parameters = leaves(t, PARAMETERS[name])
        made = getattr(t.distributions, name)(*parameters)
        if value is None:
            value = drawn(made, 3)
        value = value if t is torch else mine(value)
        if value.is_floating_point():
            value.requires_grad_()
        result = made.log_prob(value) if what == "log_prob" else made.entropy()
        inputs = [*parameters, value] if what == "log_prob" else parameters
        inputs = [x for x in inputs if x.requires_grad]
        found = t.autograd.grad(result.sum(), inputs, allow_unused=True)
        return value, [x if g is None else g for x, g in zip(inputs, found, strict=True)]

    for what in ("log_prob", "entropy"):
        try:
            value, wanted = slopes(torch, None, what)
        except NotImplementedError:
            continue
        _, found = slopes(graphc, value, what)
        for a, b in zip(found, wanted, strict=True):
            assert_same(a, b, 1e-6, 1e-8)


# ------------------------------------------------------------------------------------- divergences

PAIRS = sorted(
    (p.__name__, q.__name__)
    for p, q in torch.distributions.kl._KL_REGISTRY
    if p is not torch.distributions.ExponentialFamily
)


def narrow(name: str, t: Any) -> Any:
    """Parameters with which divergences between uniform and other laws are finite, too."""
    d = t.distributions
    if name == "Uniform":
        low, high = ([0.2, 1.5, -3.0], [0.7, 3.0, 4.0])
        return d.Uniform(*(t.tensor(v, dtype=t.float64) for v in (low, high)))
    return EXAMPLES[name][0](t, d)


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_divergences(p: str, q: str) -> None:
    def divergence(t: Any, first: int, second: int, make: Any) -> Any:
        d = t.distributions
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return d.kl_divergence(make(p, first, t), make(q, second, t))

    def whole(name: str, number: int, t: Any) -> Any:
        return EXAMPLES[name][number](t, t.distributions)

    def close(name: str, number: int, t: Any) -> Any:
        return narrow(name, t)

    choices = [(0, 0, whole), (0, 0, close)]
    if p == q:
        choices += [(n, n, whole) for n in range(1, len(EXAMPLES[p]))]
    for first, second, make in choices:
        try:
            wanted = divergence(torch, first, second, make)
        except NotImplementedError:
            with pytest.raises(NotImplementedError):
                divergence(graphc, first, second, make)
            continue
        found = divergence(graphc, first, second, make)
        if p == q:
            assert abs(array(found)).max() < 1e-6 or not np.isfinite(array(wanted)).all()
        assert_same(found, wanted, 1e-6, 1e-6)


def test_divergences_of_different_members() -> None:
    for name, parameters in PARAMETERS.items():
        if (name, name) not in PAIRS or name == "LowRankMultivariateNormal":
            continue

        def divergence(t: Any, name: str = name, parameters: Any = parameters) -> Any:
            kind = getattr(t.distributions, name)
            p = kind(*leaves(t, parameters))
            q = kind(*(x.detach() * 1.25 for x in leaves(t, parameters)))
            return t.distributions.kl_divergence(p, q)

        assert_same(divergence(graphc), divergence(torch), 1e-7, 1e-9)


def test_rules_of_ones_own() -> None:
    class Mine(distributions.Normal):
        pass

    one = Mine(0.0, 1.0)
    assert distributions.kl_divergence(one, distributions.Normal(0.0, 1.0)).item() == 0

    @distributions.register_kl(Mine, Mine)
    def _rule(p: Any, q: Any) -> Any:
        return p.loc + 7

    assert distributions.kl_divergence(one, one).item() == 7
    with pytest.raises(NotImplementedError, match=r"No KL\(p \|\| q\) is implemented"):
        distributions.kl_divergence(one, distributions.VonMises(0.0, 1.0))
    with pytest.raises(TypeError, match="Distribution subclass"):
        distributions.register_kl(int, Mine)


# ------------------------------------------------------------------------------------------ errors

REFUSED: list[Any] = [
    lambda t, d: d.Normal(0.0, -1.0),
    lambda t, d: d.Normal(t.tensor([0.0, float("nan")]), 1.0),
    lambda t, d: d.Normal("a", 1.0),
    lambda t, d: d.Normal(t.zeros(2), t.ones(3)),
    lambda t, d: d.Normal(0.0, 1.0).log_prob(3.0),
    lambda t, d: d.Normal(t.zeros(2), 1.0).log_prob(t.zeros(3)),
    lambda t, d: d.Normal(0.0, 1.0).log_prob(t.tensor(float("nan"))),
    lambda t, d: d.Uniform(1.0, 0.0),
    lambda t, d: d.Uniform(0.0, 1.0).log_prob(t.tensor(2.0)),
    lambda t, d: d.Bernoulli(),
    lambda t, d: d.Bernoulli(0.5, 0.5),
    lambda t, d: d.Bernoulli(1.5),
    lambda t, d: d.Bernoulli(0.5).log_prob(t.tensor(0.5)),
    lambda t, d: d.Categorical(),
    lambda t, d: d.Categorical(t.tensor(1.0)),
    lambda t, d: d.Categorical(logits=t.tensor(1.0)),
    lambda t, d: d.Categorical(t.tensor([-1.0, 2.0])),
    lambda t, d: d.Categorical(t.ones(3)).log_prob(t.tensor(3)),
    lambda t, d: d.Gamma(-1.0, 1.0),
    lambda t, d: d.Gamma(1.0, 1.0).log_prob(t.tensor(-1.0)),
    lambda t, d: d.Geometric(0.0),
    lambda t, d: d.Dirichlet(t.tensor(1.0)),
    lambda t, d: d.Binomial(-1, 0.5),
    lambda t, d: d.Binomial(t.tensor([2.0, 3.0]), 0.5).entropy(),
    lambda t, d: d.Multinomial(t.ones(2), t.ones(2)),
    lambda t, d: d.MultivariateNormal(t.tensor(1.0), t.eye(1)),
    lambda t, d: d.MultivariateNormal(t.zeros(2), t.ones(2)),
    lambda t, d: d.MultivariateNormal(t.zeros(2)),
    lambda t, d: d.MultivariateNormal(t.zeros(2), t.eye(2), t.eye(2)),
    lambda t, d: d.MultivariateNormal(t.zeros(2), -t.eye(2)),
    lambda t, d: d.MultivariateNormal(t.zeros(2), scale_tril=t.ones(2, 2)),
    lambda t, d: d.LowRankMultivariateNormal(t.zeros(2), t.ones(3, 1), t.ones(2)),
    lambda t, d: d.LowRankMultivariateNormal(t.zeros(2), t.ones(2, 1), t.ones(3)),
    lambda t, d: d.Wishart(0.5, t.eye(3)),
    lambda t, d: d.LKJCholesky(1),
    lambda t, d: d.Independent(d.Normal(0.0, 1.0), 1),
    lambda t, d: d.MixtureSameFamily(d.Normal(0.0, 1.0), d.Normal(t.zeros(2), 1.0)),
    lambda t, d: d.MixtureSameFamily(d.Categorical(t.ones(3)), d.Normal(t.zeros(2), 1.0)),
    lambda t, d: d.TransformedDistribution(d.Normal(0.0, 1.0), [3]),
    lambda t, d: d.TransformedDistribution(d.Normal(0.0, 1.0), d.StickBreakingTransform()),
    lambda t, d: d.ExpTransform(cache_size=3),
    lambda t, d: d.ReshapeTransform((2, 3), (5,)),
    lambda t, d: d.biject_to(d.constraints.boolean),
    lambda t, d: d.Normal(0.0, 1.0).enumerate_support(),
    lambda t, d: d.Distribution.set_default_validate_args("no"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_pytorch_refuses_is_refused(number: int) -> None:
    with pytest.raises(Exception) as theirs:
        REFUSED[number](torch, torch.distributions)
    with pytest.raises(Exception) as own:
        REFUSED[number](graphc, distributions)
    assert issubclass(type(own.value), type(theirs.value).__mro__[-4]) or isinstance(
        own.value, type(theirs.value)
    )
    if isinstance(theirs.value, ValueError) and str(theirs.value):
        words = str(own.value).replace("graphc", "torch").split("\n")[0]
        assert words == str(theirs.value).split("\n")[0]


def test_nothing_is_checked_when_nobody_wants_it() -> None:
    assert distributions.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    distributions.Distribution.set_default_validate_args(False)
    try:
        assert distributions.Normal(0.0, -1.0).scale.item() == -1
    finally:
        distributions.Distribution.set_default_validate_args(True)


def test_every_name_is_there() -> None:
    assert set(torch.distributions.__all__) <= set(dir(distributions))
    for module in ("constraints", "transforms", "kl", "constraint_registry"):
        theirs = getattr(torch.distributions, module)
        own = getattr(distributions, module)
        assert set(getattr(theirs, "__all__", ())) <= set(dir(own)), module
