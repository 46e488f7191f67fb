"""Poisson and binomial numbers: every element draws from a sequence of its own.

An element's attempt ``k`` at a number reads block ``index + (k + 1) * 2**40`` of its draw: two
uniforms ``u`` and ``v`` of 53 bits. Small means are found by going up the distribution until it
passes ``u``. Large ones by Hörmann's transformed rejection ("The transformed rejection method for
generating Poisson random variables", 1993; "The generation of binomial random variates", 1993),
whose first attempt nearly always succeeds. Compiled programs run the same functions.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from graphc.ir import Host, Op, Sample, TensorType, register
from graphc.ops.random import block_by_integers, check_state, philox_words
from graphc.ops.rules import Array, Kind, broadcast, check_kind, same_dtype
from graphc.ops.special_functions import lgamma

_SMALL = 10.0  # below this mean the search from 0 is short
_ATTEMPT = np.uint64(1 << 40)


def _uniforms(seed: Any, stream: Any, index: Array, attempt: int) -> tuple[Array, Array]:
    """Both uniforms of one attempt, for each element."""
    block = index.astype(np.uint64) + np.uint64(attempt + 1) * _ATTEMPT
    w0, w1, w2, w3 = philox_words(np.uint64(seed), np.uint64(stream), block)
    low, high = w0 | w1 << np.uint64(32), w2 | w3 << np.uint64(32)
    u, v = ((x >> np.uint64(11)).astype(np.float64) * 2.0**-53 for x in (low, high))
    return u, v


def _poisson_small(rate: Array, u: Array) -> Array:
    """The first ``k`` at which the distribution function exceeds ``u``."""
    found = np.zeros(rate.shape)
    weight = np.exp(-rate)
    total = weight.copy()
    for k in range(1, 200):
        beyond = u > total
        if not beyond.any():
            break
        found[beyond] = k
        weight = weight * (rate / k)
        total = total + weight
    return found


def _hat(u: Array, b: Array, a: Array) -> tuple[Array, Array, Array]:
    """The centred uniform, its distance from the edge, and where its place on the hat lies."""
    centred = u - 0.5
    edge = 0.5 - np.abs(centred)
    return centred, edge, (2.0 * a / edge + b) * centred


def _poisson_large(rate: Array, u: Array, v: Array) -> tuple[Array, Array]:
    """One attempt of the transformed rejection: candidates, and which of them are accepted."""
    b = 0.931 + 2.53 * np.sqrt(rate)
    a = -0.059 + 0.02483 * b
    _, edge, place = _hat(u, b, a)
    k = np.floor(place + rate + 0.43)
    quick = (edge >= 0.07) & (v <= 0.9277 - 3.6224 / (b - 2.0))
    left = np.log(v * (1.1239 + 1.1328 / (b - 3.4)) / (a / (edge * edge) + b))
    right = k * np.log(rate) - rate - lgamma(np.maximum(k, 0.0) + 1.0)
    possible = (k >= 0.0) & ((edge >= 0.013) | (v <= edge))
    return k, quick | (possible & (left <= right))


def _binomial_small(count: Array, chance: Array, u: Array) -> Array:
    """The first ``k`` at which the distribution function exceeds ``u``."""
    found = np.zeros(count.shape)
    odds = chance / (1.0 - chance)
    weight = np.exp(count * np.log1p(-chance))
    total = weight.copy()
    for k in range(1, 200):
        beyond = (u > total) & (k <= count)
        if not beyond.any():
            break
        found[beyond] = k
        weight = weight * ((count - k + 1.0) / k * odds)
        total = total + weight
    return found


def _binomial_large(count: Array, chance: Array, u: Array, v: Array) -> tuple[Array, Array]:
    """One attempt of the transformed rejection: candidates, and which of them are accepted."""
    spread = np.sqrt(count * chance * (1.0 - chance))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * chance
    _, edge, place = _hat(u, b, a)
    k = np.floor(place + count * chance + 0.5)
    quick = (edge >= 0.07) & (v <= 0.92 - 4.2 / b)
    left = np.log(v * (2.83 + 5.1 / b) * spread / (a / (edge * edge) + b))
    mode = np.floor((count + 1.0) * chance)
    inside = np.clip(k, 0.0, count)
    right = (
        lgamma(mode + 1.0)
        + lgamma(count - mode + 1.0)
        - lgamma(inside + 1.0)
        - lgamma(count - inside + 1.0)
        + (inside - mode) * np.log(chance / (1.0 - chance))
    )
    return k, quick & (k == inside) | ((k == inside) & (left <= right))


def _until_accepted(
    numbers: Array, waiting: Array, attempt: Callable[[Array, int], tuple[Array, Array]]
) -> None:
    """Fills in what is accepted; what is not tries again."""
    k = 0
    while waiting.size:
        candidates, accepted = attempt(waiting, k)
        numbers[waiting[accepted]] = candidates[accepted]
        waiting = waiting[~accepted]
        k += 1


@np.errstate(all="ignore")
def poisson_numbers(seed: int, stream: int, index: Array, rate: Array) -> Array:
    """Poisson numbers as float64; the arrays are flat. NaN where a rate is none."""
    numbers = np.full(rate.shape, np.nan)
    small = np.flatnonzero((rate >= 0.0) & (rate < _SMALL))
    numbers[small] = _poisson_small(rate[small], _uniforms(seed, stream, index[small], 0)[0])

    def attempt(at: Array, k: int) -> tuple[Array, Array]:
        return _poisson_large(rate[at], *_uniforms(seed, stream, index[at], k))

    numbers[rate == np.inf] = np.inf
    _until_accepted(numbers, np.flatnonzero((rate >= _SMALL) & (rate < np.inf)), attempt)
    return numbers


@np.errstate(all="ignore")
def binomial_numbers(seed: int, stream: int, index: Array, count: Array, chance: Array) -> Array:
    """Binomial numbers as float64; counts are cut off to integers, chances to [0, 1]."""
    count = np.floor(count)
    numbers = np.where(chance >= 1.0, count, 0.0)
    numbers[count <= 0.0] = 0.0
    numbers[np.isnan(count) | np.isnan(chance)] = np.nan
    valid = (count > 0.0) & (count < np.inf) & (chance > 0.0) & (chance < 1.0)
    rarer = np.minimum(chance, 1.0 - chance)  # of successes, or of failures
    small = np.flatnonzero(valid & (count * rarer < _SMALL))
    u = _uniforms(seed, stream, index[small], 0)[0]
    numbers[small] = _binomial_small(count[small], rarer[small], u)

    def attempt(at: Array, k: int) -> tuple[Array, Array]:
        return _binomial_large(count[at], rarer[at], *_uniforms(seed, stream, index[at], k))

    _until_accepted(numbers, np.flatnonzero(valid & (count * rarer >= _SMALL)), attempt)
    failures = valid & (chance > 0.5)
    numbers[failures] = count[failures] - numbers[failures]
    return numbers


# ------------------------------------------------------------------------------------------ rows

_NUMBERS: dict[str, Callable[..., Array]] = {
    "poisson": poisson_numbers,
    "binomial": binomial_numbers,
}


def _draws(name: str) -> Callable[..., Array]:
    def evaluate(state: Array, *parameters: Array) -> Array:
        seed, stream = (int(x) % 2**64 for x in state)
        spread = np.broadcast_arrays(*parameters)
        shape, flat = spread[0].shape, [x.astype(np.float64).reshape(-1) for x in spread]
        index = np.arange(flat[0].size, dtype=np.uint64)
        numbers = _NUMBERS[name](seed, stream, index, *flat)
        return numbers.reshape(shape).astype(parameters[0].dtype)

    return evaluate


def _draw_type(name: str) -> Callable[..., TensorType]:
    def infer(state: TensorType, *parameters: TensorType) -> TensorType:
        check_state(name, state)
        for parameter in parameters:
            check_kind(name, parameter, Kind.FLOAT)
        shape = broadcast(*(parameter.shape for parameter in parameters))
        return TensorType(shape, same_dtype(name, *parameters), state.device)

    return infer


# Means below and above the change of method, and what is no parameter at all.
_RATES = np.array([[0.0, 0.3, 4.0], [9.99, 10.0, 250.0]])
_COUNTS = np.array([[1.0, 7.0, 30.0], [100.0, 5000.0, 0.0]])
_CHANCES = np.array([[0.5, 0.9, 0.01], [0.4, 0.75, 0.5]])
_PARAMETERS: dict[str, tuple[Array, ...]] = {
    "poisson": (_RATES,),
    "binomial": (_COUNTS, _CHANCES),
}
_STATES = ((5, 0), (-1, 2**40 + 1), (67280421310721, 3))


def _samples(name: str) -> Callable[[], list[Sample]]:
    return lambda: [
        Sample((np.array(state, np.int64), *(p.astype(dtype) for p in _PARAMETERS[name])))
        for state in _STATES
        for dtype in (np.float32, np.float64)
    ]


# --------------------------------------------------------------- by Python's numbers, for the tests


def _attempts(seed: int, stream: int, index: int) -> Iterator[tuple[float, float]]:
    k = 1
    while True:
        w = block_by_integers(seed, stream, index + k * 2**40)
        yield (w[0] + (w[1] << 32) >> 11) * 2.0**-53, (w[2] + (w[3] << 32) >> 11) * 2.0**-53
        k += 1


def _poisson_one(attempts: Iterator[tuple[float, float]], rate: float) -> float:
    if rate < _SMALL:
        u, _ = next(attempts)
        k, weight, total = 0, math.exp(-rate), math.exp(-rate)
        while u > total and k < 199:
            k += 1
            weight *= rate / k
            total += weight
        return k
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    for u, v in attempts:
        edge = 0.5 - abs(u - 0.5)
        k = math.floor((2 * a / edge + b) * (u - 0.5) + rate + 0.43)
        if edge >= 0.07 and v <= 0.9277 - 3.6224 / (b - 2):
            return k
        if k >= 0 and not (edge < 0.013 and v > edge):
            left = math.log(v * (1.1239 + 1.1328 / (b - 3.4)) / (a / edge**2 + b))
            if left <= k * math.log(rate) - rate - math.lgamma(k + 1):
                return k
    raise AssertionError("the attempts never end")


def _binomial_one(attempts: Iterator[tuple[float, float]], count: float, chance: float) -> float:
    if count == 0:
        return 0
    if chance > 0.5:
        return count - _binomial_one(attempts, count, 1 - chance)
    if count * chance < _SMALL:
        u, _ = next(attempts)
        k, weight = 0, (1 - chance) ** count
        total = weight
        while u > total and k < min(count, 199):
            k += 1
            weight *= (count - k + 1) / k * chance / (1 - chance)
            total += weight
        return k
    spread = math.sqrt(count * chance * (1 - chance))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * chance
    mode = math.floor((count + 1) * chance)
    for u, v in attempts:
        edge = 0.5 - abs(u - 0.5)
        k = math.floor((2 * a / edge + b) * (u - 0.5) + count * chance + 0.5)
        if not 0 <= k <= count:
            continue
        if edge >= 0.07 and v <= 0.92 - 4.2 / b:
            return k
        left = math.log(v * (2.83 + 5.1 / b) * spread / (a / edge**2 + b))
        ways = math.lgamma(mode + 1) + math.lgamma(count - mode + 1)
        ways -= math.lgamma(k + 1) + math.lgamma(count - k + 1)
        if left <= ways + (k - mode) * math.log(chance / (1 - chance)):
            return k
    raise AssertionError("the attempts never end")


_ONES: dict[str, Callable[..., float]] = {"poisson": _poisson_one, "binomial": _binomial_one}


def _reference(name: str) -> Callable[..., Array]:
    def reference(state: Array, *parameters: Array) -> Array:
        seed, stream = (int(x) % 2**64 for x in state)
        together = np.broadcast(*parameters)
        values = [
            _ONES[name](_attempts(seed, stream, i), *map(float, given))
            for i, given in enumerate(together)
        ]
        return np.array(values).astype(parameters[0].dtype).reshape(together.shape)

    return reference


for _name in _ONES:
    register(
        Op(
            _name,
            _draw_type(_name),
            _draws(_name),
            Host(),
            samples=_samples(_name),
            reference=_reference(_name),
        )
    )
