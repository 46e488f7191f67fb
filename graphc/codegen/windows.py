"""Overlapping windows of values that are computed or bounded: computed once, into an array.

A pool with padding would compute each element for every window it lies in, and test each time
whether it exists. So a thread first fills an array with all that its windows see; they then read
the array without conditions. Where windows are ``step`` elements apart, rows are dealt out into
``step`` parts, so that neighbouring windows read neighbouring elements.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from graphc.codegen.contraction.operands import phase_with
from graphc.codegen.expressions import Expressions
from graphc.codegen.loops import ENOUGH_CHUNKS, Loop, LoopMaker, Loops, real, steps
from graphc.codegen.placement import mentioned
from graphc.codegen.statements import Statements
from graphc.codegen.sweeps import Array
from graphc.codegen.views import Level
from graphc.expressions import within
from graphc.kernel import Axis, Expr, Let, Load, Masked, Nest, Phase, Position, Ref, Store
from graphc.sizes import Int, coefficient, floordiv, mod

MOST_KEPT = 16 * 1024  # elements of an array that stays in the second-level cache
MOST_STEP = 4  # between windows along memory
FEWEST_ROWS = 4  # of windows that share an array


@dataclass(frozen=True)
class Window:
    """Steps of a swept axis beside those of a parallel one: ``axis*step + within`` is a place."""

    axis: Axis
    within: Axis
    step: int

    def places(self, count: int) -> int:
        """The places that so many neighbouring windows see."""
        return (count - 1) * self.step + size_of(self.within)


@dataclass(frozen=True)
class Kept:
    """The array of one value, and the row that is dealt out into it."""

    array: Array
    row: Array
    value: Expr


@dataclass(frozen=True)
class Windows:
    """A nest that reads arrays: filled at each point of ``outer``, for ``rows`` of the first axis.

    ``tile`` counts parts of that axis.
    """

    nest: Nest
    outer: tuple[Axis, ...]
    tile: Axis
    rows: int
    windows: tuple[Window, ...]
    kept: tuple[Kept, ...]
    body: tuple[Let, ...]


def size_of(axis: Axis) -> int:
    assert isinstance(axis.extent, int)
    return axis.extent


def kept_windows(nest: Nest, taken: frozenset[str]) -> Windows | None:
    """The nest with its windows in arrays, where that pays."""
    phase = nest.phases[0]
    body = tuple(statement for statement in phase.body if isinstance(statement, Let))
    if len(nest.phases) != 1 or phase.stores or len(body) != len(phase.body):
        return None
    values = [_meant(reduction.expr, body) for reduction in phase.reductions]
    found = _windows(nest, list(_indices(values, body)))
    if found is None or not any(_is_slow(value, body, found[-1]) for value in values):
        return None
    outer = tuple(a for a in real(nest.axes) if all(a is not w.axis for w in found))
    tile, rows = _tiles(outer, found, taken)
    if rows == 0:
        return None
    sizes = [rows, *(size_of(window.axis) for window in found[1:])]
    places = [window.places(size) for window, size in zip(found, sizes, strict=True)]
    length = -(-places[-1] // found[-1].step) * found[-1].step
    at = _place(found, places, length, tile, rows)
    kept: dict[Expr, Kept] = {}
    reductions = []
    for reduction, value in zip(phase.reductions, values, strict=True):
        if value not in kept:
            stem = value.name if isinstance(value, Ref) else f"{reduction.name}_value"
            taken |= {a.name for k in kept.values() for a in (k.array, k.row)}
            array = Array(_free(f"{stem}_windows", taken), value.dtype, prod(places[:-1]) * length)
            row = Array(_free(f"{stem}_row", taken), value.dtype, length)
            kept[value] = Kept(array, row, value)
        load = Load(kept[value].array.name, at, value.dtype)
        reductions.append(replace(reduction, expr=load))
    phase = replace(phase, body=(), reductions=tuple(reductions))
    changed = replace(nest, phases=(phase,))
    return Windows(changed, outer, tile, rows, found, tuple(kept.values()), body)


def _meant(expr: Expr, body: Sequence[Let]) -> Expr:
    """The first name of a value that has several."""
    lets = {let.name: let.expr for let in body}
    while isinstance(expr, Ref) and isinstance(lets.get(expr.name), Ref):
        expr = lets[expr.name]
    return expr


def _needed(value: Expr, body: Sequence[Let]) -> list[Let]:
    """The statements that a value takes."""
    names = set(mentioned(value))
    needed: list[Let] = []
    for let in reversed(body):
        if let.name in names:
            names.update(mentioned(let.expr))
            needed.insert(0, let)
    return needed


def _indices(values: Sequence[Expr], body: Sequence[Let]) -> Iterator[Int]:
    exprs = [*values, *(let.expr for value in values for let in _needed(value, body))]
    for part in (part for expr in exprs for part in within(expr)):
        if isinstance(part, (Load, Position)):
            yield part.index
        conditions = part.mask if isinstance(part, Load) else ()
        for condition in part.conditions if isinstance(part, Masked) else conditions:
            yield condition.index
            yield getattr(condition, "limit", 0)


def _windows(nest: Nest, indices: Sequence[Int]) -> tuple[Window, ...] | None:
    """The swept axes with the parallel ones they go along with, if the last of these are such.

    Windows must overlap: otherwise each element is wanted once.
    """
    swept = real(nest.phases[0].axes)
    axes = real(nest.axes)[-len(swept) :]
    if not swept or len(axes) != len(swept) or len(real(nest.axes)) == len(axes):
        return None
    if not all(isinstance(axis.extent, int) for axis in (*axes, *swept)):
        return None
    found = []
    for axis, inside in zip(axes, swept, strict=True):
        pairs = {(coefficient(i, axis.name), coefficient(i, inside.name)) for i in indices}
        pairs.discard((0, 0))
        steps_ = {_step(far, near) for far, near in pairs}
        step = steps_.pop() if len(steps_) == 1 else None
        if step is None:
            return None
        found.append(Window(axis, inside, step))
    apart = all(window.step >= size_of(window.within) for window in found)
    return None if apart or found[-1].step > MOST_STEP else tuple(found)


def _step(far: Int | None, near: Int | None) -> int | None:
    """How many steps of a swept axis one of the parallel axis is worth."""
    if not isinstance(far, int) or not isinstance(near, int) or near == 0 or far % near:
        return None
    return far // near if far // near > 0 else None


def _is_slow(value: Expr, body: Sequence[Let], last: Window) -> bool:
    """Whether a value is more than neighbouring elements of a buffer."""
    needed = _needed(value, body)
    single = needed[0].expr if len(needed) == 1 and isinstance(value, Ref) else value
    plain = isinstance(single, Load) and not single.mask
    return not plain or last.step > 1


def _tiles(
    outer: Sequence[Axis], windows: Sequence[Window], taken: frozenset[str]
) -> tuple[Axis, int]:
    """The axis of the parts of the first windowed axis, and the rows of one; 0 when none fits."""
    first, *others = windows
    inner = prod(window.places(size_of(window.axis)) for window in others)
    points = steps(outer) or ENOUGH_CHUNKS
    rows = count = size_of(first.axis)
    while rows > 0:
        many = points * (count // rows) >= ENOUGH_CHUNKS or rows <= FEWEST_ROWS
        if count % rows == 0 and many and first.places(rows) * inner <= MOST_KEPT:
            break
        rows -= 1
    return Axis(_free(f"{first.axis.name}_tile", taken), count // max(rows, 1)), rows


def _free(name: str, taken: frozenset[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _place(
    windows: Sequence[Window], places: Sequence[int], length: int, tile: Axis, rows: int
) -> Int:
    """Where an element of a window is in the array."""
    at: Int = 0
    for number, window in enumerate(windows[:-1]):
        here = window.axis.index - (tile.index * rows if number == 0 else 0)
        at = at * places[number] + here * window.step + window.within.index
    last = windows[-1]
    here = last.axis.index - (tile.index * rows if len(windows) == 1 else 0)
    part, number_ = mod(last.within.index, last.step), floordiv(last.within.index, last.step)
    return at * length + part * (length // last.step) + here + number_


# -------------------------------------------------------------------------------------------- text


def window_loops(of: Windows, maker: LoopMaker, serial: bool) -> tuple[Loops, int]:
    """The loops of the nest, and how many stand around the arrays."""
    axes = (*of.outer, of.tile)
    around = maker.plain(axes) if serial else maker.chunked(axes, vector=False)
    first, *others = (window.axis for window in of.windows)
    render = maker.expressions
    start = of.tile.index * of.rows
    level = Level(
        render.identifier(first.name), render.integer(start), render.integer(start + of.rows)
    )
    inside = (Loop((first.name,), level), *maker.plain(others).loops)
    return replace(around, loops=(*around.loops, *inside)), len(around.loops)


def filled(of: Windows, statements: Statements) -> Iterator[str]:
    """Lines that declare the arrays and fill them."""
    render = statements.expressions
    for each in of.kept:
        kind = render.dialect.storage(each.array.dtype)
        yield f"{kind} {render.identifier(each.array.name)}[{each.array.size}];"
    for each in of.kept:
        yield from _filled(of, each, statements)


def _filled(of: Windows, kept: Kept, statements: Statements) -> Iterator[str]:
    render, last = statements.expressions, of.windows[-1]
    step, length = last.step, kept.row.size
    row: Int = 0
    to: dict[str, Int] = {}
    axes = []
    for number, window in enumerate(of.windows):
        base = of.tile.index * of.rows if number == 0 else 0
        count = of.rows if number == 0 else size_of(window.axis)
        axis = Axis(window.within.name, window.places(count))
        to |= {window.axis.name: base, axis.name: axis.index}
        axes.append(axis)
        row = row * axis.extent + axis.index if window is not last else row * length
    for axis in axes[:-1]:
        yield _opened(axis, render)
    target = kept.row if step > 1 else kept.array
    place = axes[-1].index + (0 if step > 1 else row)
    fill = Phase(
        body=tuple(_needed(kept.value, of.body)),
        stores=(Store(target.name, place, kept.value),),
    )
    fill = phase_with(fill, to)
    if step > 1:
        empty = " = {0}" if length > size_of(axes[-1]) else ""
        kind = render.dialect.storage(kept.row.dtype)
        yield f"{kind} {render.identifier(kept.row.name)}[{length}]{empty};"
    yield render.dialect.vectorise
    yield _opened(axes[-1], render)
    yield from statements.lines(fill.body)
    yield from statements.stores(fill.stores)
    yield "}"
    if step > 1:
        part = Axis(axes[-1].name, length // step)
        yield render.dialect.vectorise
        yield _opened(part, render)
        for first in range(step):
            element = Load(kept.row.name, part.index * step + first, kept.row.dtype)
            to_ = row + part.index + first * (length // step)
            yield render.store(Store(kept.array.name, to_, element))
        yield "}"
    yield from ["}"] * len(axes[:-1])


def _opened(axis: Axis, render: Expressions) -> str:
    name = render.identifier(axis.name)
    return f"for (int64_t {name} = 0; {name} < {render.integer(axis.extent)}; {name}++) {{"
