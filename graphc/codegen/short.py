"""Short rows, many of them: turned, so that neighbouring rows are the lanes of vectors.

A row of ten elements does not fill a vector, and joining its lanes costs more than its work. So a
tile of rows is copied into an array with the rows side by side, and results are copied back.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from graphc.codegen.loops import real, steps
from graphc.codegen.sweeps import Array, row_major
from graphc.kernel import Axis, Call, Combine, Expr, Index, Load, Masked, Nest, Phase, Store
from graphc.sizes import Int, coefficient, symbol

LANES = 64  # rows side by side
SHORTEST = 5  # steps of a row from which compilers do not turn it themselves
LONGEST = 40  # steps of a row from which vectors along it are better
FEWEST = LANES  # rows that are worth the copies


@dataclass(frozen=True)
class Copy:
    """Elements of the rows of a tile, into an array or out of it: at each point of ``axes``."""

    axes: tuple[Axis, ...]
    store: Store


@dataclass(frozen=True)
class Turned:
    """A nest over arrays with rows side by side, and the copies before and after it."""

    nest: Nest
    arrays: tuple[Array, ...]
    before: tuple[Copy, ...]
    after: tuple[Copy, ...]


def has_short_rows(nest: Nest) -> bool:
    """Whether a nest sweeps many short rows that lie one after the other in memory."""
    axes = real(nest.axes)
    sweeps = [phase for phase in nest.phases if real(phase.axes)]
    if not axes or not sweeps or not isinstance(axes[-1].extent, int) or axes[-1].extent < FEWEST:
        return False
    lengths = [steps(phase.axes) for phase in sweeps]
    if any(length is None or not SHORTEST <= length <= LONGEST for length in lengths):
        return False
    if any(isinstance(s, Index) for phase in nest.phases for s in phase.body):
        return False
    if len(sweeps) == 1 and all(r.combine is Combine.SUM for r in sweeps[0].reductions):
        return False  # joining the lanes costs less than the copies
    row = axes[-1]
    apart = [(at, phase) for phase in sweeps for at in _indices(phase) if _is_apart(at, row)]
    return bool(apart) and all(_is_row(at, phase, row) for at, phase in apart)


def lane_of(row: Axis) -> Int:
    """The place of a row within its tile; tiles are counted by an axis of their own."""
    assert isinstance(row.extent, int)
    return row.index - symbol(f"{row.name}_tile", -(-row.extent // LANES)) * LANES


def turned(nest: Nest, taken: frozenset[str]) -> Turned:
    """Loads and stores of whole rows replaced by those of arrays with rows side by side."""
    row = real(nest.axes)[-1]
    names = set(taken)
    before: dict[tuple[tuple[Axis, ...], Load], Load] = {}
    after: dict[tuple[tuple[Axis, ...], Store], Load] = {}
    arrays: list[Array] = []

    def array(buffer: str, phase: Phase, value: Expr) -> Load:
        name = f"{buffer}_rows"
        while name in names:
            name += "_"
        names.add(name)
        arrays.append(Array(name, value.dtype, (steps(phase.axes) or 1) * LANES))
        return Load(name, row_major(phase.axes) * LANES + lane_of(row), value.dtype)

    def load(expr: Expr, phase: Phase) -> Expr:
        if isinstance(expr, Load):
            if expr.mask or not _is_apart(expr.index, row):
                return expr
            key = (phase.axes, expr)
            if key not in before:
                before[key] = array(expr.buffer, phase, expr)
            return before[key]
        if isinstance(expr, Call):
            return replace(expr, args=tuple(load(arg, phase) for arg in expr.args))
        if isinstance(expr, Masked):
            value, other = load(expr.value, phase), load(expr.other, phase)
            return replace(expr, value=value, other=other)
        return expr

    def store(each: Store, phase: Phase) -> Store:
        changed = replace(each, expr=load(each.expr, phase))
        if each.combine or not _is_apart(each.index, row):
            return changed
        place = array(each.buffer, phase, each.expr)
        after[phase.axes, replace(each, expr=place)] = place
        return replace(changed, buffer=place.buffer, index=place.index)

    phases = [
        replace(
            phase,
            body=tuple(replace(s, expr=load(s.expr, phase)) for s in phase.body),
            reductions=tuple(replace(r, expr=load(r.expr, phase)) for r in phase.reductions),
            stores=tuple(store(s, phase) for s in phase.stores),
        )
        if real(phase.axes)
        else phase
        for phase in nest.phases
    ]
    return Turned(
        replace(nest, phases=tuple(phases)),
        tuple(arrays),
        tuple(Copy(axes, Store(to.buffer, to.index, x)) for (axes, x), to in before.items()),
        tuple(Copy(axes, out) for axes, out in after),
    )


def _is_row(at: Int, phase: Phase, row: Axis) -> bool:
    """Whether a sweep goes through a row from its beginning to its end."""
    at = at - row_major(phase.axes) - row.index * (steps(phase.axes) or 1)
    return all(coefficient(at, axis.name) == 0 for axis in (*phase.axes, row))


def _is_apart(at: Int, row: Axis) -> bool:
    """Whether neighbouring rows lie apart in memory."""
    return coefficient(at, row.name) not in (0, 1)


def _indices(phase: Phase) -> Iterator[Int]:
    for statement in phase.body:
        yield from _loaded(statement.expr)
    for reduction in phase.reductions:
        yield from _loaded(reduction.expr)
    for store in phase.stores:
        yield store.index
        yield from _loaded(store.expr)


def _loaded(expr: Expr) -> Iterator[Int]:
    if isinstance(expr, Load):
        yield expr.index
    elif isinstance(expr, Call):
        for arg in expr.args:
            yield from _loaded(arg)
    elif isinstance(expr, Masked):
        yield from _loaded(expr.value)
        yield from _loaded(expr.other)
