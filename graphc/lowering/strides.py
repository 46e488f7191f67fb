"""Sweeps over windows with strides: only the steps that meet an element are taken.

The gradient of a window with stride ``t`` sums, for element ``k``, over the places ``m`` of a
window with ``(k - m) % t == 0``. Instead of testing every ``m``, the sweep runs over
``m = k % t + t*m'``: a fraction of the steps, and none at all where windows do not overlap.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product as combinations
from math import prod

from graphc.kernel import (
    Axis,
    Call,
    Combine,
    Condition,
    Const,
    Divisible,
    Expr,
    InRange,
    Let,
    Load,
    Masked,
    Nest,
    Phase,
    Reduction,
    Ref,
)
from graphc.lowering.indexing import rejoined, simplified
from graphc.lowering.rewriting import Change, in_expr, in_nest, in_phase, names_in
from graphc.sizes import Int, coefficient, mod, substitute, symbols

PRODUCT = "({0} * {1})"
SHORT_SUM = 9  # terms that are written out
NEUTRAL = {Combine.SUM: 0.0, Combine.MAX: float("-inf"), Combine.MIN: float("inf")}


def with_strided_sweeps(nest: Nest) -> tuple[Nest, frozenset[str]]:
    """The nest with such sweeps shortened, and the names of the small axes this made."""
    inner: set[str] = set()
    for at in range(len(nest.phases)):
        while True:
            found = _strided(nest.phases[at])
            if found is None:
                break
            axis, condition = found
            nest, made = _shortened(nest, at, axis, condition)
            inner |= made
    return nest, frozenset(inner)


def _strided(phase: Phase) -> tuple[Axis, Divisible] | None:
    """A swept axis that one divisibility condition of every reduction ties to the others."""
    if not phase.reductions or phase.stores:
        return None
    common: list[Condition] | None = None
    for reduction in phase.reductions:
        here = list(_neutral_outside(reduction, phase))
        common = here if common is None else [c for c in common if c in here]
    for condition in common or ():
        if not isinstance(condition, Divisible) or not isinstance(condition.by, int):
            continue
        for axis in phase.axes:
            if coefficient(condition.index, axis.name) in (1, -1):
                return axis, condition
    return None


def _neutral_outside(reduction: Reduction, phase: Phase) -> Iterator[Condition]:
    """Conditions outside of which a reduction collects nothing but its neutral element."""
    neutral = NEUTRAL.get(reduction.combine)
    if neutral is not None:
        lets = {s.name: s.expr for s in phase.body if isinstance(s, Let)}
        yield from _conditions(reduction.expr, neutral, lets)


def _conditions(expr: Expr, neutral: float, lets: Mapping[str, Expr]) -> Iterator[Condition]:
    """Conditions outside of which a value is ``neutral``: a product is 0 where a factor is."""
    while isinstance(expr, Ref) and expr.name in lets:
        expr = lets[expr.name]
    if isinstance(expr, Load) and expr.other == neutral:
        yield from expr.mask
    elif isinstance(expr, Masked) and isinstance(expr.other, Const) and expr.other.value == neutral:
        yield from expr.conditions
        yield from _conditions(expr.value, neutral, lets)
    elif isinstance(expr, Call) and expr.text == PRODUCT and neutral == 0:
        for factor in expr.args:
            yield from _conditions(factor, neutral, lets)


def _shortened(nest: Nest, at: int, axis: Axis, condition: Divisible) -> tuple[Nest, set[str]]:
    by = condition.by
    assert isinstance(by, int)
    nest, inner = _with_halves(nest, condition, axis, by)
    phase = nest.phases[at]
    sign = coefficient(condition.index, axis.name)
    split = _replacing(nest, condition.index)
    assert sign in (1, -1)
    rest = split - axis.index * sign
    steps = (axis.extent + (by - 1)) // by
    short = Axis(f"{axis.name}s", steps)
    first = mod(rest if sign == -1 else -rest, by)
    whole = first + short.index * by

    def change(index: Int) -> Int:
        if isinstance(index, int) or all(s.name != axis.name for s in symbols(index)):
            return index
        return rejoined(substitute(index, {axis.name: whole}))

    phase = in_phase(phase, change)
    axes = tuple(short if a.name == axis.name else a for a in phase.axes)
    if axis.extent % by != 0:
        bound = InRange(whole, axis.extent)
        phase = replace(phase, reductions=tuple(_bounded(r, bound) for r in phase.reductions))
    phase = replace(phase, axes=tuple(a for a in axes if a.extent != 1))
    return replace(nest, phases=(*nest.phases[:at], phase, *nest.phases[at + 1 :])), inner


def _bounded(reduction: Reduction, bound: InRange) -> Reduction:
    value = Const(NEUTRAL[reduction.combine], reduction.dtype)
    bounds = simplified([bound])
    if not bounds:
        return reduction
    return replace(reduction, expr=Masked(bounds, reduction.expr, value))


def _with_halves(nest: Nest, condition: Divisible, swept: Axis, by: int) -> tuple[Nest, set[str]]:
    """Splits the parallel axis of a condition, so that the rest of its division is an axis."""
    for axis in nest.axes:
        if axis.name == swept.name or coefficient(condition.index, axis.name) not in (1, -1):
            continue
        if not isinstance(axis.extent, int) or axis.extent % by or axis.extent == by:
            continue
        outer = Axis(f"{axis.name}o", axis.extent // by)
        inner = Axis(f"{axis.name}i", by)
        whole = outer.index * by + inner.index
        nest = in_nest(nest, _swap(axis.name, whole))
        axes = [part for a in nest.axes for part in ((outer, inner) if a is axis else (a,))]
        return replace(nest, axes=tuple(axes)), {inner.name}
    return nest, set()


def _swap(name: str, value: Int) -> Change:
    def change(index: Int) -> Int:
        if isinstance(index, int) or all(s.name != name for s in symbols(index)):
            return index
        return rejoined(substitute(index, {name: value}))

    return change


def _replacing(nest: Nest, index: Int) -> Int:
    """An index of the nest before a split, in the axes that it has now."""
    axes = {a.name: a for a in nest.axes}
    for each in list(symbols(index)):
        outer, inner = axes.get(f"{each.name}o"), axes.get(f"{each.name}i")
        if each.name not in axes and outer is not None and inner is not None:
            assert isinstance(inner.extent, int)
            whole = outer.index * inner.extent + inner.index
            index = substitute(index, {each.name: whole})
    return index


# ------------------------------------------------------------------------------- after shortening


def straightened(nest: Nest, small: frozenset[str]) -> Nest:
    """Reductions over nothing become plain values; where a split left small axes, short sums too.

    Then the neighbours of a point can be stored together (see :func:`small_inside`).
    """
    split = any(axis.name in small for axis in nest.axes)
    most = SHORT_SUM if split and len(nest.phases) == 1 else 1
    taken = names_in(nest)
    return replace(nest, phases=tuple(_straight(p, most, taken) for p in nest.phases))


def _straight(phase: Phase, most: int, taken: set[str]) -> Phase:
    points = _points(phase.axes, most)
    if not phase.reductions or points is None:
        return phase
    if any(r.combine not in NEUTRAL for r in phase.reductions):
        return phase
    if phase.axes and (phase.body or any(r.combine is not Combine.SUM for r in phase.reductions)):
        return phase
    lets = [let for r in phase.reductions for let in _written_out(r, points, taken)]
    return Phase(
        body=(*phase.body, *lets, *phase.finals), stores=(*phase.stores, *phase.final_stores)
    )


def _points(axes: tuple[Axis, ...], most: int) -> list[dict[str, Int]] | None:
    """The points of some axes, if there are so few."""
    extents = [axis.extent for axis in axes if isinstance(axis.extent, int)]
    if len(extents) < len(axes) or prod(extents) > most or 0 in extents:
        return None
    names = [axis.name for axis in axes]
    every = combinations(*map(range, extents))
    return [dict(zip(names, point, strict=True)) for point in every]


def _written_out(
    reduction: Reduction, points: list[dict[str, Int]], taken: set[str]
) -> Iterator[Let]:
    """The terms of a short sum, then their sum in order."""
    terms = [in_expr(reduction.expr, _at(point)) for point in points]
    if len(terms) > 1:
        names = [_free(f"{reduction.name}_term{number}", taken) for number in range(len(terms))]
        yield from (Let(name, term) for name, term in zip(names, terms, strict=True))
        terms = [Ref(name, reduction.dtype) for name in names]
    total, *others = terms
    for term in others:
        total = Call("({0} + {1})", (total, term), reduction.dtype)
    yield Let(reduction.name, total)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _at(point: dict[str, Int]) -> Change:
    def change(index: Int) -> Int:
        return index if isinstance(index, int) else rejoined(substitute(index, point))

    return change


def small_inside(nest: Nest, small: frozenset[str]) -> Nest:
    """Small axes that a split left behind, moved off the place of the vectorised axis.

    In a straight-line nest they become the sweep of its only phase, so that all the neighbours of
    a point are stored together; else they stand just outside of the last axis.
    """
    moved = [a for a in nest.axes if a.name in small]
    kept = [a for a in nest.axes if a.name not in small]
    if not moved or not kept:
        return nest
    single = nest.phases[0] if len(nest.phases) == 1 else None
    if single is not None and not single.axes and not single.reductions:
        return replace(nest, axes=tuple(kept), phases=(replace(single, axes=tuple(moved)),))
    return replace(nest, axes=(*kept[:-1], *moved, kept[-1]))
