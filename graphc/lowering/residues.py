"""Contractions over operands that have elements at every few places only, cut by where these are.

The gradient of a convolution with stride ``s`` sums ``g[(y - k) / s] * w[k]`` over the ``k`` for
which ``s`` divides ``y - k``. Which ``k`` these are depends on ``y % s`` alone: so the results fall
into ``s`` classes for each dimension, and each class is a contraction without gaps over its share
of the ``k``. A class may have no share: its sums are empty.

The other way round, the gradient for a weight of each channel by itself sums ``g[y] * x[s*y + k]``.
Cut by ``k % s``, each class reads every ``s``-th element of ``x``: a row of its own once copied.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product as combinations
from math import gcd

from graphc.kernel import (
    Axis,
    Condition,
    Const,
    Contraction,
    Divisible,
    Expr,
    Let,
    Load,
    Masked,
    Ref,
    Statement,
)
from graphc.lowering.schedule import extent_of
from graphc.sizes import Int, Symbol, coefficient

MOST_CLASSES = 16  # each is a nest of its own


@dataclass(frozen=True)
class Steps:
    """Every ``by``-th place of an axis from ``first`` on, as an axis of its own."""

    axis: Axis
    first: int = 0
    by: int = 1

    @property
    def index(self) -> Int:
        """The place on the whole axis."""
        return self.axis.index * self.by + self.first


@dataclass(frozen=True)
class _Tie:
    """``constant + sum(factor * axis)`` must be divisible by ``by``."""

    results: tuple[tuple[Axis, int], ...]
    depth: tuple[Axis, int] | None
    constant: int
    by: int


Class = Mapping[str, Steps]


def residue_classes(nest: Contraction) -> list[Class]:
    """The classes of a contraction, as the steps of the axes that are cut, by name.

    One class without any steps stands for the whole contraction.
    """
    classes: list[dict[str, Steps]] = [{}]
    for tie in _ties(nest):
        longer = [{**known, **more} for known in classes for more in _classes(tie, nest)]
        if len(longer) > MOST_CLASSES:
            break
        classes = longer
    for axis, stride in _strides_of_sums(nest):
        if len(classes) * stride <= MOST_CLASSES:
            firsts = [_from(axis, first, stride) for first in range(stride)]
            classes = [{**known, axis.name: steps} for known in classes for steps in firsts]
    return list(classes)


def _strides_of_sums(nest: Contraction) -> Iterator[tuple[Axis, int]]:
    """A result axis along memory that a sum walks with a stride, and that stride.

    Only for products of a vector and windows: tiles of lines and lanes need no long rows.
    """
    if extent_of(nest.rows) != 1 and extent_of(nest.cols) != 1:
        return
    for expr in (nest.lhs, nest.rhs):
        if not isinstance(expr, Load):
            continue
        steps = [coefficient(expr.index, axis.name) for axis in nest.depth]
        stride = min((s for s in steps if isinstance(s, int) and s != 0), default=1)
        for axis in (*nest.rows, *nest.cols):
            windows = isinstance(axis.extent, int) and axis.extent > stride > 1
            if windows and coefficient(expr.index, axis.name) == 1:
                yield axis, stride


def _ties(nest: Contraction) -> Iterator[_Tie]:
    """The divisibility that every term of the sum depends on, in axes that no two share."""
    taken: set[str] = set()
    for expr, body in ((nest.lhs, nest.lhs_body), (nest.rhs, nest.rhs_body)):
        for condition in _zero_outside(expr, body):
            tie = _tie(condition, nest) if isinstance(condition, Divisible) else None
            if tie is None:
                continue
            names = {axis.name for axis, _ in (*tie.results, *((tie.depth,) if tie.depth else ()))}
            if not names & taken:
                taken |= names
                yield tie


def _zero_outside(expr: Expr, body: tuple[Statement, ...]) -> tuple[Condition, ...]:
    """Conditions without which an operand is zero."""
    named = {s.name: s.expr for s in body if isinstance(s, Let)}
    while isinstance(expr, Ref) and expr.name in named:
        expr = named[expr.name]
    if isinstance(expr, Load) and expr.other == 0:
        return expr.mask
    if isinstance(expr, Masked) and isinstance(expr.other, Const) and expr.other.value == 0:
        return expr.conditions
    return ()


def _tie(condition: Divisible, nest: Contraction) -> _Tie | None:
    index, by = condition.index, condition.by
    if isinstance(index, int) or not isinstance(by, int):
        return None
    depth = {axis.name: axis for axis in nest.depth}
    others = {axis.name: axis for axis in (*nest.batch, *nest.rows, *nest.cols)}
    results: list[tuple[Axis, int]] = []
    summed: list[tuple[Axis, int]] = []
    for atom, factor in index.terms:
        axis = (depth | others).get(atom.name) if isinstance(atom, Symbol) else None
        if axis is None or not isinstance(axis.extent, int):
            return None
        if factor % by != 0:
            (summed if axis.name in depth else results).append((axis, factor))
    if len(summed) > 1:
        return None  # one axis' share would depend on the other
    return _Tie(tuple(results), summed[0] if summed else None, index.const, by)


def _classes(tie: _Tie, nest: Contraction) -> Iterator[Class]:
    """The results by their residues, each with the share of the depth that belongs to it."""
    residues = [range(tie.by // gcd(factor, tie.by)) for _, factor in tie.results]
    for firsts in combinations(*residues):
        chosen = {
            axis.name: _from(axis, first, len(among))
            for (axis, _), first, among in zip(tie.results, firsts, residues, strict=True)
        }
        if any(steps.axis.extent == 0 for steps in chosen.values()):
            continue
        rest = tie.constant + sum(
            factor * first for (_, factor), first in zip(tie.results, firsts, strict=True)
        )
        yield {**chosen, **_share(tie, nest, rest)}


def _share(tie: _Tie, nest: Contraction, rest: int) -> Class:
    """The steps of the depth that make ``rest`` divisible."""
    if tie.depth is None:
        if rest % tie.by == 0:
            return {}
        empty = nest.depth[0]
        return {empty.name: Steps(Axis(empty.name, 0))}
    axis, factor = tie.depth
    period = tie.by // gcd(factor, tie.by)
    for first in range(period):
        if (rest + factor * first) % tie.by == 0:
            return {axis.name: _from(axis, first, period)}
    return {axis.name: Steps(Axis(axis.name, 0))}


def _from(axis: Axis, first: int, by: int) -> Steps:
    assert isinstance(axis.extent, int)
    return Steps(replace(axis, extent=len(range(first, axis.extent, by))), first, by)
