"""Distributions inside compiled functions: the same draws, densities and training steps."""

from typing import Any

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F
from graphc import distributions as d
from graphc import nn, optim
from tests.distributions.examples import EXAMPLES


def everything(name: str) -> list[Any]:
    """What is drawn, its density, moments and entropy."""
    distribution = EXAMPLES[name][0](graphc, d)
    values = distribution.sample((2,))
    results = [values, distribution.log_prob(values)]
    for ask in (lambda p: p.mean, lambda p: p.variance, lambda p: p.entropy(), lambda p: p.mode):
        try:
            results.append(ask(distribution))
        except NotImplementedError:
            continue
    return results


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_compiled_distributions_are_the_eager_ones(name: str) -> None:
    if name == "Binomial":  # its entropy asks for the greatest count
        return
    compiled = graphc.compile(everything, fullgraph=True)
    for _ in range(2):
        graphc.manual_seed(5)
        wanted = everything(name)
        graphc.manual_seed(5)
        for a, b in zip(compiled(name), wanted, strict=True):
            assert a.dtype is b.dtype
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-7)
    assert len(compiled.receipts) == 1


def policy() -> tuple[Any, Any]:
    graphc.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    return model, optim.Adam(model.parameters(), lr=0.01)


def test_policy_gradient() -> None:
    """REINFORCE: action 2 is rewarded where the first number is positive, else action 0."""
    losses: dict[bool, list[float]] = {}
    for compiled in (False, True):
        model, optimizer = policy()

        def step(states: Any, model: Any = model, optimizer: Any = optimizer) -> Any:
            policy = d.Categorical(logits=model(states))
            actions = policy.sample()
            reward = (actions == graphc.where(states[:, 0] > 0, 2, 0)).float()
            optimizer.zero_grad()
            loss = -(policy.log_prob(actions) * (reward - 0.3)).mean()
            loss = loss - 0.01 * policy.entropy().mean()
            loss.backward()
            optimizer.step()
            return reward.mean()

        run = graphc.compile(step, fullgraph=True) if compiled else step
        graphc.manual_seed(1)
        states = graphc.randn(128, 4)
        losses[compiled] = [run(states).item() for _ in range(60)]
        if compiled:
            assert len(run.receipts) <= 2  # the optimizer's state comes with the first step
    assert losses[True][:10] == pytest.approx(losses[False][:10], abs=0.02)
    assert losses[True][0] < 0.6
    assert losses[True][-1] > 0.9


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(6, 4)
        self.decoder = nn.Linear(2, 6)

    def forward(self, x: Any) -> Any:
        loc, scale = self.encoder(x).chunk(2, -1)
        posterior = d.Independent(d.Normal(loc, F.softplus(scale)), 1)
        prior = d.Independent(d.Normal(graphc.zeros(2), graphc.ones(2)), 1)
        code = posterior.rsample()
        likelihood = d.Independent(d.Bernoulli(logits=self.decoder(code)), 1)
        return -(likelihood.log_prob(x) - d.kl_divergence(posterior, prior)).mean()


def test_variational_autoencoder() -> None:
    curves = []
    for compiled in (False, True):
        graphc.manual_seed(0)
        model = Autoencoder()
        optimizer = optim.Adam(model.parameters(), lr=0.02)

        def step(x: Any, model: Any = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = model(x)
            loss.backward()
            optimizer.step()
            return loss

        run = graphc.compile(step, fullgraph=True) if compiled else step
        graphc.manual_seed(1)
        half = (graphc.rand(64, 1) < 0.5).float()
        x = graphc.cat([half.expand(64, 3), 1 - half.expand(64, 3)], 1)
        curves.append([run(x).item() for _ in range(40)])
    assert curves[1] == pytest.approx(curves[0], rel=2e-4)
    assert curves[1][-1] < 0.85 * curves[1][0]


def test_gradients_through_compiled_draws_of_gamma_numbers() -> None:
    def slope(c: Any, rate: Any) -> Any:
        return graphc.autograd.grad(d.Gamma(c, rate).rsample((5,)).sum(), (c, rate))

    compiled = graphc.compile(slope)
    given = [
        graphc.tensor([0.4, 1.0, 8.0], requires_grad=True),
        graphc.tensor([0.5, 1.0, 2.0], requires_grad=True),
    ]
    graphc.manual_seed(2)
    wanted = slope(*given)
    graphc.manual_seed(2)
    for a, b in zip(compiled(*given), wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4)


def test_a_distribution_that_lives_outside() -> None:
    prior = d.Categorical(graphc.tensor([0.2, 0.8]))

    @graphc.compile
    def surprise(x: Any) -> Any:
        return -prior.log_prob(x)

    x = graphc.tensor([0, 1, 1])
    wanted = (-prior.log_prob(x)).tolist()
    assert surprise(x).tolist() == pytest.approx(wanted)
    other = d.Categorical(graphc.tensor([0.5, 0.5]))

    @graphc.compile
    def other_surprise(x: Any) -> Any:
        return -other.log_prob(x)

    assert other_surprise(x).tolist() == pytest.approx([0.6931472] * 3)
    assert other.logits.tolist() == pytest.approx([-0.6931472] * 2)  # nothing traced was kept


def test_values_are_checked_only_where_they_are_known() -> None:
    def density(x: Any, scale: Any) -> Any:
        return d.Normal(0.0, scale).log_prob(x)

    compiled = graphc.compile(density, fullgraph=True)
    one = graphc.ones(3)
    with pytest.raises(ValueError, match="to satisfy the constraint"):
        density(one, -one)
    assert bool(compiled(one, -one).isnan().all())
    with pytest.raises(ValueError, match="not broadcastable"):
        graphc.compile(density)(graphc.ones(2), one)
    assert compiled(one, one).tolist() == pytest.approx(density(one, one).tolist())


def test_numbers_as_arguments() -> None:
    compiled = graphc.compile(lambda x, loc, scale: d.Normal(loc, scale).log_prob(x))
    x = graphc.linspace(-1, 1, 5)
    for loc, scale in ((0.5, 2.0), (0.25, 1.5)):
        found = compiled(x, loc, scale)
        assert found.dtype is graphc.float32
        assert found.tolist() == pytest.approx(d.Normal(loc, scale).log_prob(x).tolist(), rel=1e-5)


def test_batches_of_examples() -> None:
    def density(x: Any, loc: Any) -> Any:
        return d.Normal(loc, 1.0).log_prob(x).sum()

    x, loc = graphc.randn(4, 3), graphc.randn(4, 3)
    found = graphc.vmap(graphc.func.grad(density))(x, loc)
    assert found.numpy() == pytest.approx((loc - x).numpy(), abs=1e-6)


@pytest.mark.parametrize("outside", [False, True])
def test_squashed_normal_policies(outside: bool) -> None:
    """The policy of soft actor-critic, whose transform remembers what it has computed."""
    kept = d.TanhTransform(cache_size=1)

    def loss(mean: Any, log_std: Any) -> Any:
        squash = kept if outside else d.TanhTransform(cache_size=1)
        policy = d.TransformedDistribution(d.Normal(mean, log_std.exp()), [squash])
        action = policy.rsample()
        return policy.log_prob(action).sum() + action.square().sum()

    compiled = graphc.compile(graphc.func.grad(loss, argnums=(0, 1)))
    mean, log_std = graphc.linspace(-9, 9, 7), graphc.linspace(-1, 1, 7)
    for seed in (1, 2):
        graphc.manual_seed(seed)
        wanted = graphc.func.grad(loss, argnums=(0, 1))(mean, log_std)
        graphc.manual_seed(seed)
        for a, b in zip(compiled(mean, log_std), wanted, strict=True):
            assert bool(a.isfinite().all())
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6)
    assert len(compiled.receipts) == 1
