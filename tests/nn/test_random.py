"""Random numbers: one seed gives the same in eager and compiled programs; distributions."""

import copy
import threading
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.generator import Generator, default_generator
from graphc.random import fork_rng

DRAWS = {
    "rand": lambda g: graphc.rand(3, 4, generator=g),
    "rand double": lambda g: graphc.rand((5,), generator=g, dtype=graphc.float64),
    "randn": lambda g: graphc.randn(7, generator=g),
    "randint": lambda g: graphc.randint(-5, 9, (4, 4), generator=g),
    "randperm": lambda g: graphc.randperm(17, generator=g),
    "normal": lambda g: graphc.normal(graphc.arange(5.0), 2.0, generator=g),
    "bernoulli": lambda g: graphc.bernoulli(graphc.full((9,), 0.3), generator=g),
    "uniform_": lambda g: graphc.empty(5).uniform_(-3, 2, generator=g),
    "normal_": lambda g: graphc.empty(5).normal_(1.0, 3.0, generator=g),
    "random_": lambda g: graphc.empty(5, dtype=graphc.int16).random_(3, 90, generator=g),
    "exponential_": lambda g: graphc.empty(5).exponential_(2.0, generator=g),
    "half": lambda g: graphc.rand(5, generator=g, dtype=graphc.bfloat16),
}


def generator(seed: int) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_decides_and_every_draw_goes_on(name: str) -> None:
    draw: Any = DRAWS[name]
    one, other = generator(3), generator(3)
    first = draw(one)
    assert first.tolist() == draw(other).tolist()
    assert draw(one).tolist() != first.tolist()
    assert draw(generator(4)).tolist() != first.tolist()


@pytest.mark.parametrize("name", DRAWS)
def test_compiled_draws_are_the_eager_ones(name: str) -> None:
    draw: Any = DRAWS[name]
    one, other = generator(11), generator(11)
    compiled = graphc.compile(lambda: draw(other))
    for _ in range(3):
        np.testing.assert_allclose(
            compiled().float().numpy(), draw(one).float().numpy(), rtol=1e-6, atol=1e-6
        )
    assert one.get_state().tolist() == other.get_state().tolist()
    assert len(compiled.receipts) == 1


def test_the_default_generator() -> None:
    graphc.manual_seed(5)
    assert graphc.initial_seed() == 5
    state = graphc.get_rng_state()
    first = graphc.randn(4).tolist()
    with fork_rng():
        graphc.manual_seed(1)
    second = graphc.randn(4).tolist()
    graphc.set_rng_state(state)
    assert [graphc.randn(4).tolist(), graphc.randn(4).tolist()] == [first, second]
    compiled = graphc.compile(lambda: graphc.randn(4))
    graphc.set_rng_state(state)
    np.testing.assert_allclose(compiled().numpy(), first, rtol=1e-6, atol=1e-6)
    assert graphc.seed() != graphc.seed()
    assert default_generator.initial_seed() == graphc.initial_seed()


def test_seeds_of_all_sizes_and_generators_that_are_copied() -> None:
    for seed in (0, -1, 2**64 - 1, -(2**63)):
        assert generator(seed).initial_seed() == seed % 2**64
    g = generator(9)
    graphc.rand(3, generator=g)
    other = copy.deepcopy(g)
    assert graphc.rand(3, generator=g).tolist() == graphc.rand(3, generator=other).tolist()
    with pytest.raises(ValueError, match="Overflow"):
        g.manual_seed(2**64)
    with pytest.raises(RuntimeError, match="manual_seed"):
        g.manual_seed(1.5)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="wrong size"):
        g.set_state(graphc.zeros(3, dtype=graphc.uint8))
    with pytest.raises(TypeError, match="ByteTensor"):
        g.set_state(graphc.zeros(16, dtype=graphc.int64))


def test_shapes_dtypes_and_arguments() -> None:
    assert graphc.rand(2, 3).shape == (2, 3)
    assert graphc.rand(()).shape == ()
    assert graphc.randn((2, 0)).shape == (2, 0)
    assert graphc.randint(3, (2,)).dtype is graphc.int64
    assert graphc.randint(low=1, high=3, size=(2,), dtype=graphc.uint8).dtype is graphc.uint8
    assert graphc.rand_like(graphc.zeros(2, 2, dtype=graphc.float64)).dtype is graphc.float64
    assert graphc.randn_like(graphc.zeros(3)).shape == (3,)
    assert graphc.randint_like(graphc.zeros(3), 2, 4).tolist().count(1.0) == 0
    assert graphc.rand(2, requires_grad=True).requires_grad
    out = graphc.empty(3)
    assert graphc.rand(3, out=out) is out
    assert graphc.normal(0.0, 1.0, (2, 2)).shape == (2, 2)
    assert graphc.normal(2.0, graphc.zeros(3)).tolist() == [2, 2, 2]


def test_bad_arguments() -> None:
    with pytest.raises(RuntimeError, match="from=3 >= to=3"):
        graphc.randint(3, 3, (2,))
    with pytest.raises(RuntimeError, match="negative dimension"):
        graphc.rand(-1)
    with pytest.raises(RuntimeError, match="negative dimension"):
        graphc.randperm(-1)
    with pytest.raises(RuntimeError, match=r"std >= 0\.0"):
        graphc.normal(0.0, -1.0, (2,))
    with pytest.raises(RuntimeError, match=r"\[0, 1\]"):
        graphc.empty(3).bernoulli_(1.5)
    with pytest.raises(RuntimeError, match="not implemented"):
        graphc.rand(2, dtype=graphc.int64)
    with pytest.raises(RuntimeError, match="from=2 > to=1"):
        graphc.empty(3).uniform_(2, 1)
    with pytest.raises(RuntimeError, match="a leaf"):
        graphc.empty(3, requires_grad=True).normal_()


def test_moments() -> None:
    n = 20_000
    g = generator(0)
    cases: tuple[tuple[Any, float, float], ...] = (
        (graphc.rand(n, generator=g), 0.5, 12**-0.5),
        (graphc.randn(n, generator=g), 0, 1),
        (graphc.randint(-2, 3, (n,), generator=g), 0, 2**0.5),
        (graphc.empty(n).exponential_(4.0, generator=g), 0.25, 0.25),
        (graphc.empty(n).bernoulli_(0.2, generator=g), 0.2, 0.4),
        (graphc.empty(n).uniform_(-1, 3, generator=g), 1, 4 / 12**0.5),
        (graphc.empty(n).log_normal_(0.0, 0.5, generator=g), np.exp(0.125), 0.6039),
        (graphc.empty(n, dtype=graphc.float64).normal_(7, 3, generator=g), 7, 3),
    )
    for drawn, mean, deviation in cases:
        numbers = drawn.double().numpy()
        assert abs(numbers.mean() - mean) < 5 * deviation / n**0.5
        assert abs(numbers.std() / deviation - 1) < 0.05
    assert (graphc.rand(n, generator=g) < 1).all()
    assert sorted(graphc.randperm(1000, generator=g).tolist()) == list(range(1000))
    firsts = [graphc.randperm(3, generator=g)[0].item() for _ in range(300)]
    assert all(60 < firsts.count(i) < 140 for i in range(3))


def test_bounds_of_random_integers() -> None:
    g = generator(2)
    assert set(graphc.empty(200).random_(3, 6, generator=g).tolist()) == {3, 4, 5}
    assert set(graphc.empty(200).random_(3, generator=g).tolist()) == {0, 1, 2}
    assert set(graphc.empty(200).bool().random_(generator=g).tolist()) == {True, False}
    bytes_ = graphc.empty(2000, dtype=graphc.uint8).random_(generator=g)
    assert (bytes_.numpy().min(), bytes_.numpy().max()) == (0, 255)
    wide = graphc.empty(50).random_(generator=g)
    assert wide.max() <= 2**24
    everything = graphc.randint(-(2**63), 2**63 - 1, (100,), generator=g)
    assert (everything < 0).any()
    assert (everything > 0).any()


def test_threads_never_draw_the_same_numbers() -> None:
    g = generator(1)
    found: list[tuple[float, ...]] = []

    def draw() -> None:
        for _ in range(50):
            found.append(tuple(graphc.rand(2, generator=g).tolist()))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 200
