"""A line search for the strong Wolfe conditions.

Nocedal and Wright, "Numerical optimization", 2006, algorithms 3.5 and 3.6, with the safeguards of
Mark Schmidt's minFunc that PyTorch's L-BFGS takes too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_DECREASE = 1e-4  # the loss falls by this part of what the slope promises (c1)
_CURVATURE = 0.9  # the slope falls to this part of what it was (c2)
_SMALLEST = 1e-9  # no parameter would move by more


@dataclass
class _Point:
    """One size of step, with the loss, gradient and slope there."""

    size: Any
    loss: float
    gradient: Any
    slope: Any


def cubic_minimum(a: "_Point", b: "_Point", bounds: tuple[Any, Any] | None = None) -> Any:
    """Where the cubic through two points with their slopes is least, within bounds."""
    low, high = bounds or ((a.size, b.size) if a.size <= b.size else (b.size, a.size))
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.size - b.size)
    square = d1**2 - a.slope * b.slope
    if square < 0:
        return (low + high) / 2.0
    d2 = square.sqrt()
    if a.size <= b.size:
        share = (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)
        least = b.size - (b.size - a.size) * share
    else:
        share = (a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2)
        least = a.size - (a.size - b.size) * share
    return min(max(least, low), high)


def strong_wolfe(
    evaluate: Callable[[Any], tuple[float, Any]],
    size: Any,
    direction: Any,
    loss: float,
    gradient: Any,
    slope: Any,
    most: int,
) -> tuple[float, Any, Any, int]:
    """A step along ``direction`` that lowers the loss and the slope enough.

    ``evaluate(size)`` gives loss and gradient there, and is called about ``most`` times. Gives
    loss, gradient and size of the step, and how often it was called.
    """

    def at(size: Any) -> _Point:
        value, found = evaluate(size)
        return _Point(size, value, found, found.dot(direction))

    start = _Point(0, loss, gradient.clone(), slope)

    def too_high(point: _Point) -> Any:
        return point.loss > loss + _DECREASE * point.size * slope

    def flat(point: _Point) -> Any:
        return abs(point.slope) <= -_CURVATURE * slope

    # First a bracket: two points with a good one between them, or the good point itself.
    before, now = start, at(size)
    calls, rounds = 1, 0
    bracket: list[_Point] = []
    while rounds < most:
        if too_high(now) or (rounds > 1 and now.loss >= before.loss):
            bracket = [before, now]
        elif flat(now):
            bracket = [now]
        elif now.slope >= 0:
            bracket = [before, now]
        if bracket:
            break
        bounds = (now.size + 0.01 * (now.size - before.size), now.size * 10)
        before, now = now, at(cubic_minimum(before, now, bounds))
        calls += 1
        rounds += 1
    if rounds == most:
        bracket = [start, now]

    # Then the bracket is narrowed down.
    low, high = _order(bracket)
    stuck = False
    largest = direction.abs().max()
    done = len(bracket) == 1
    while not done and rounds < most:
        first, last = bracket
        if abs(last.size - first.size) * largest < _SMALLEST:
            break
        size = cubic_minimum(first, last)
        size, stuck = _away_from_ends(size, first.size, last.size, stuck)
        now = at(size)
        calls += 1
        rounds += 1
        if too_high(now) or now.loss >= bracket[low].loss:
            bracket[high] = now
            low, high = _order(bracket)
            continue
        if flat(now):
            done = True
        elif now.slope * (bracket[high].size - bracket[low].size) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = now
    best = bracket[low]
    return best.loss, best.gradient, best.size, calls


def _order(bracket: list[_Point]) -> tuple[int, int]:
    """Which end has the lower loss, and which the higher."""
    return (0, 1) if bracket[0].loss <= bracket[-1].loss else (1, 0)


def _away_from_ends(size: Any, a: Any, b: Any, stuck: bool) -> tuple[Any, bool]:
    """Keeps off the ends of the bracket by a tenth, the second time a size comes too near."""
    least, most = min(a, b), max(a, b)
    tenth = 0.1 * (most - least)
    if min(most - size, size - least) >= tenth:
        return size, False
    if not stuck and least < size < most:
        return size, True
    nearer_most = abs(size - most) < abs(size - least)
    return (most - tenth if nearer_most else least + tenth), False
