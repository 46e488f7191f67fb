"""Sweeps of a nest rearranged, before they become loops.

The position of an extreme is found by a sweep of its own, so that both are loops of vectors. A
value that is expensive and needed by two sweeps over the same axes is computed by the first, which
keeps it in an array for the other.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from graphc.codegen.loops import real, steps
from graphc.codegen.placement import loaded, mentioned, read_by
from graphc.codegen.statements import EXTREMES, POSITIONS, best_of, computed
from graphc.dtypes import dtype, float32, float64, int32, int64
from graphc.expressions import parts, within
from graphc.kernel import (
    Axis,
    Call,
    Combine,
    Const,
    Expr,
    Index,
    Let,
    Load,
    Masked,
    Nest,
    Phase,
    Position,
    Reduction,
    Ref,
    Statement,
    Store,
)
from graphc.sizes import Int, bounds, coefficient, symbols

LONG_ROW = 64  # steps from which a second sweep for a position pays
LONGEST_KEPT = 8192  # elements of an array that still lies in the first-level cache
MOST_NODES = 2000  # of the expressions of a sweep that are compared
_FUNCTION = re.compile(r"\bgc_([a-z0-9_]+?)_f(?:32|64)\(")
_CHEAP = frozenset(
    "max min where abs floor ceil trunc round copysign sign relu sqrt rsqrt order same".split()
)

# -------------------------------------------------------------------------------------- positions


def with_found_positions(nest: Nest) -> Nest:
    """argmax(x) -> max(x), then the smallest position where x is that."""
    phases: list[Phase] = []
    for phase in nest.phases:
        found = [r for r in phase.reductions if _is_findable(r, phase.axes)]
        length = steps(phase.axes)
        if not found or (length is not None and length < LONG_ROW):
            phases.append(phase)
            continue
        others = tuple(r for r in phase.reductions if r not in found)
        extremes = tuple(
            Reduction(best_of(r.name), EXTREMES[r.combine], r.expr, r.expr.dtype) for r in found
        )
        phases.append(replace(phase, reductions=(*others, *extremes), finals=(), final_stores=()))
        kind = int32 if all(_is_narrow(r.position) for r in found) else int64
        phases.append(
            replace(
                phase,
                reductions=tuple(_place(r, kind) for r in found),
                stores=(),
                finals=(*(_position(r, kind) for r in found), *phase.finals),
            )
        )
    return replace(nest, phases=tuple(phases))


def _is_findable(reduction: Reduction, axes: Sequence[Axis]) -> bool:
    """Whether the first extreme is that of the smallest position."""
    if reduction.combine not in POSITIONS or reduction.expr.dtype.short == "b1":
        return False
    position = 0 if reduction.position is None else reduction.position
    reach: int | None = 0  # how much the position grows over the axes further in
    for axis in reversed(real(axes)):
        step = coefficient(position, axis.name)
        if not isinstance(step, int) or reach is None or step <= reach:
            return False
        reach = reach + step * (axis.extent - 1) if isinstance(axis.extent, int) else None
    return True


def _is_narrow(position: Int | None) -> bool:
    low, high = bounds(0 if position is None else position)
    return low is not None and high is not None and low >= 0 and high < 2**31 - 1


def _place_name(reduction: Reduction) -> str:
    return f"{reduction.name}_place"


def _place(reduction: Reduction, kind: dtype) -> Reduction:
    best = Ref(best_of(reduction.name), reduction.expr.dtype)
    same = Call(f"gc_same_{computed(best.dtype)}({{0}}, {{1}})", (reduction.expr, best), int32)
    at = Position(0 if reduction.position is None else reduction.position, kind)
    none = Const(2**31 - 1 if kind is int32 else 2**63 - 1, kind)
    chosen = Call(f"gc_where_{kind.short}({{0}}, {{1}}, {{2}})", (same, at, none), kind)
    return Reduction(_place_name(reduction), Combine.MIN, chosen, kind)


def _position(reduction: Reduction, kind: dtype) -> Let:
    place = Ref(_place_name(reduction), kind)
    return Let(reduction.name, Call("((int64_t){0})", (place,), int64))


# ------------------------------------------------------------------------------------ kept values


@dataclass(frozen=True)
class Array:
    """Memory for the values of one sweep."""

    name: str
    dtype: dtype
    size: int


def with_kept_values(
    nest: Nest, taken: frozenset[str], lanes: int = 1, lane: Int = 0
) -> tuple[Nest, tuple[Array, ...]]:
    """exp(x) in two sweeps -> computed and kept by the first, loaded by the second.

    ``lanes`` rows are kept side by side, this one at ``lane``.
    """
    phases = list(nest.phases)
    arrays: list[Array] = []
    names = set(taken)
    written = {s.buffer for p in phases for s in (*p.stores, *p.final_stores)}
    for later in range(1, len(phases)):
        for earlier in range(later):
            length = steps(phases[later].axes)
            if phases[earlier].axes != phases[later].axes or not real(phases[later].axes):
                continue
            if length is None or not 0 < length <= LONGEST_KEPT:
                continue
            for value in _shared(phases[earlier], phases[later]):
                if loaded(value) & written:
                    continue
                phases[earlier], name = _named(phases[earlier], value, names)
                array = _fresh(f"{name}_row", names)
                at = row_major(phases[later].axes) * lanes + lane
                kept = Store(array, at, Ref(name, value.dtype))
                phases[earlier] = replace(phases[earlier], stores=(*phases[earlier].stores, kept))
                phases[later] = _reading(phases[later], value, name, Load(array, at, value.dtype))
                arrays.append(Array(array, value.dtype, length * lanes))
    return replace(nest, phases=tuple(phases)), tuple(arrays)


def row_major(axes: Sequence[Axis]) -> Int:
    """The position of a point among all points of some axes."""
    at: Int = 0
    for axis in axes:
        at = at * axis.extent + axis.index
    return at


def _shared(first: Phase, second: Phase) -> list[Expr]:
    """Expensive values that both sweeps compute, without the parts of others."""
    known, wanted = _Meaning(first), _Meaning(second)
    if known.size > MOST_NODES or wanted.size > MOST_NODES:
        return []
    offered = {known.of(expr) for expr in known.computed()}
    found: list[Expr] = []
    for root in wanted.roots:
        pending = [root]
        while pending:
            expr = pending.pop()
            value = wanted.of(expr)
            if isinstance(expr, Call) and value in offered and _is_expensive(value):
                if value.dtype in (float32, float64) and value not in found:
                    found.append(value)
                continue
            pending.extend(parts(expr))
    return found


class _Meaning:
    """The expressions of a sweep with its own names replaced by what they stand for."""

    def __init__(self, phase: Phase) -> None:
        self._values: dict[str, Expr] = {}
        self._known: dict[Expr, Expr] = {}
        self.roots: list[Expr] = []
        self.size = 0
        for statement in phase.body:
            self.roots.append(statement.expr)
            self.size += sum(1 for _ in within(statement.expr))
            if isinstance(statement, Let):
                self._values[statement.name] = self.of(statement.expr)
        self.roots += [reduction.expr for reduction in phase.reductions]
        self.roots += [store.expr for store in phase.stores]

    def of(self, expr: Expr) -> Expr:
        if expr not in self._known:
            if isinstance(expr, Ref):
                self._known[expr] = self._values.get(expr.name, expr)
            else:
                self._known[expr] = _with_parts(expr, [self.of(part) for part in parts(expr)])
        return self._known[expr]

    def computed(self) -> Iterator[Expr]:
        for root in self.roots:
            yield from within(root)


def _with_parts(expr: Expr, changed: Sequence[Expr]) -> Expr:
    if isinstance(expr, Call):
        return replace(expr, args=tuple(changed))
    return replace(expr, value=changed[0], other=changed[1]) if isinstance(expr, Masked) else expr


def _is_expensive(expr: Expr) -> bool:
    """Whether computing a value costs more than writing it to the cache and reading it."""
    functions = (f for e in within(expr) if isinstance(e, Call) for f in _FUNCTION.findall(e.text))
    return any(function not in _CHEAP for function in functions)


def _fresh(stem: str, names: set[str]) -> str:
    name, count = stem, 1
    while name in names:
        count += 1
        name = f"{stem}_{count}"
    names.add(name)
    return name


def _named(phase: Phase, value: Expr, names: set[str]) -> tuple[Phase, str]:
    """The phase with a name for a value that it computes, and that name."""
    meaning = _Meaning(phase)
    for statement in phase.body:
        if isinstance(statement, Let) and meaning.of(statement.expr) == value:
            return phase, statement.name
    expr = next(expr for expr in meaning.computed() if meaning.of(expr) == value)
    assert isinstance(expr, Call)
    found = _FUNCTION.search(expr.text)
    name = _fresh(found[1] if found else "value", names)
    changed = _replacing(phase, value, Ref(name, value.dtype))
    at = next((k for k, s in enumerate(changed.body) if name in read_by(s)), len(changed.body))
    body = (*changed.body[:at], Let(name, expr), *changed.body[at:])
    return replace(changed, body=body), name


def _reading(phase: Phase, value: Expr, name: str, place: Load) -> Phase:
    """The phase with a value read from where it was kept."""
    meaning = _Meaning(phase)
    for at, statement in enumerate(phase.body):
        if isinstance(statement, Let) and meaning.of(statement.expr) == value:
            body = (*phase.body[:at], replace(statement, expr=place), *phase.body[at + 1 :])
            return _pruned(replace(phase, body=body))
    changed = _replacing(phase, value, Ref(name, value.dtype))
    return _pruned(replace(changed, body=(Let(name, place), *changed.body)))


def _replacing(phase: Phase, value: Expr, ref: Ref) -> Phase:
    meaning = _Meaning(phase)

    def change(expr: Expr) -> Expr:
        if not isinstance(expr, Ref) and meaning.of(expr) == value:
            return ref
        return _with_parts(expr, [change(part) for part in parts(expr)])

    return replace(
        phase,
        body=tuple(replace(s, expr=change(s.expr)) for s in phase.body),
        reductions=tuple(replace(r, expr=change(r.expr)) for r in phase.reductions),
        stores=tuple(replace(s, expr=change(s.expr)) for s in phase.stores),
    )


def _pruned(phase: Phase) -> Phase:
    """The phase without names that nothing reads any more."""
    needed = {name for r in phase.reductions for name in mentioned(r.expr)}
    stores = (*phase.stores, *phase.final_stores)
    needed |= {name for s in stores for name in mentioned(s.expr)}
    needed |= {name for s in stores for name in (at.name for at in symbols(s.index))}
    needed |= {name for statement in phase.finals for name in read_by(statement)}
    body: list[Statement] = []
    for statement in reversed(phase.body):
        if isinstance(statement, Index) or statement.name in needed:
            needed.update(read_by(statement))
            body.insert(0, statement)
    return replace(phase, body=tuple(body))
