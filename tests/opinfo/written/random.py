"""Draws: their form, their distribution, and the state they come from."""

from tests.opinfo.written.case import Cases, drawn, eager, failing, seq


def again(draw):
    """Whether the same seed gives the same numbers, and the next draw others."""

    def program(t):
        t.manual_seed(3)
        a = draw(t)
        b = draw(t)
        t.manual_seed(3)
        return bool(t.equal(a, draw(t))), bool(t.equal(a, b))

    return eager(program)


def spread(draw, mean, std):
    """Whether mean and standard deviation of many draws are what the distribution says."""

    def program(t):
        t.manual_seed(5)
        x = draw(t).double()
        near = abs(x.mean().item() - mean) < 0.05 * max(std, 1)
        return near, abs(x.std().item() - std) < 0.05 * max(std, 1)

    return eager(program)


def between(draw, low, high):
    """Whether draws stay within [low, high) and come near both ends."""

    def program(t):
        t.manual_seed(7)
        x = draw(t).double()
        reach = (high - low) / 50
        inside = x.min().item() >= low and x.max().item() < high
        return inside, x.min().item() < low + reach, x.max().item() > high - 1 - reach

    return eager(program)


def state(t):
    t.manual_seed(1)
    t.rand(3)
    kept = t.get_rng_state()
    a = t.rand(4)
    t.set_rng_state(kept)
    return bool(t.equal(a, t.rand(4))), kept.dtype, kept.dim()


def generators(t):
    one, two = t.Generator(), t.Generator()
    one.manual_seed(4)
    two.manual_seed(4)
    a, b = t.rand(5, generator=one), t.rand(5, generator=two)
    kept = one.get_state()
    c = t.randn(5, generator=one)
    one.set_state(kept)
    d = t.randn(5, generator=one)
    return bool(t.equal(a, b)), bool(t.equal(c, d)), one.initial_seed(), one.device.type


def frequencies(t):
    t.manual_seed(0)
    drawn = t.multinomial(t.tensor([1.0, 0.0, 3.0]), 8000, replacement=True)
    counts = [int((drawn == k).sum()) for k in range(3)]
    return counts[1], abs(counts[2] / 8000 - 0.75) < 0.03, drawn.dtype, drawn.shape


def without_replacement(t):
    rows = t.multinomial(t.ones(5, 6), 6)
    return bool((rows.sort(1).values == t.arange(6)).all())


MANY = 20_000
CASES: Cases = {
    "rand": [
        drawn(lambda t: (t.rand(2, 3), t.rand((4,)), t.rand(2, dtype=t.float64), t.rand(()))),
        again(lambda t: t.rand(5)), between(lambda t: t.rand(MANY), 0, 1),
    ],
    "randn": [again(lambda t: t.randn(5)), spread(lambda t: t.randn(MANY), 0, 1)],
    "randint": [again(lambda t: t.randint(0, 1000, (9,))),
                between(lambda t: t.randint(-3, 5, (MANY,)), -3, 5)],
    "randperm": [
        drawn(lambda t: (t.randperm(5), t.randperm(0), t.randperm(4, dtype=t.float32))),
        again(lambda t: t.randperm(30)),
        eager(lambda t: t.randperm(20).sort().values),
    ],
    "normal": [spread(lambda t: t.normal(t.full((MANY,), 2.0), t.full((MANY,), 3.0)), 2, 3),
               spread(lambda t: t.normal(1.0, 2.0, (MANY,)), 1, 2)],
    "bernoulli": [spread(lambda t: t.bernoulli(t.full((MANY,), 0.25)), 0.25, 0.433),
                  again(lambda t: t.bernoulli(t.full((64,), 0.5)))],
    "multinomial": [eager(frequencies), eager(without_replacement),
                    again(lambda t: t.multinomial(t.ones(9), 5))],
    "Tensor.normal_": [
        drawn(lambda t: (t.zeros(3).normal_(), t.zeros(2, 2, dtype=t.float64).normal_(1, 2))),
        spread(lambda t: t.zeros(MANY).normal_(1, 2), 1, 2), again(lambda t: t.zeros(4).normal_()),
        failing(lambda t: t.zeros(3).normal_(0, -1)),
        failing(lambda t: t.zeros(3, dtype=t.int64).normal_()),
    ],
    "Tensor.uniform_": [between(lambda t: t.zeros(MANY).uniform_(-2, 3), -2, 3)],
    "Tensor.exponential_": [spread(lambda t: t.zeros(MANY).exponential_(2), 0.5, 0.5)],
    "Tensor.random_": [
        drawn(lambda t: (t.zeros(3).random_(), t.zeros(3, dtype=t.int64).random_(5),
                         t.zeros(3, dtype=t.uint8).random_(), t.zeros(3).random_(2, 9))),
        between(lambda t: t.zeros(MANY, dtype=t.int64).random_(4, 12), 4, 12),
        between(lambda t: t.zeros(MANY, dtype=t.int64).random_(9), 0, 9),
        between(lambda t: t.zeros(MANY, dtype=t.uint8).random_(), 0, 256),
        failing(lambda t: t.zeros(3).random_(4, 4)),
    ],
    "manual_seed": [again(lambda t: t.rand(3)), eager(lambda t: t.manual_seed(3).initial_seed())],
    "Generator": [
        eager(generators),
        eager(lambda t: t.Generator().manual_seed(-1).initial_seed() >= 0),
        eager(lambda t: t.Generator(device="cpu").device.type),
        drawn(lambda t: seq(t, 3).normal_(generator=t.Generator())),
    ],
    "get_rng_state": [eager(state)],
    "set_rng_state": [eager(state)],
}  # fmt: skip
