"""Pointwise nests that read across memory: square tiles, read one way and written the other.

Without tiles every element that is read brings a line of the cache that is gone before the next
element of the line is wanted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from graphc.codegen.expressions import Expressions
from graphc.codegen.loops import Loop, Loops, real, steps
from graphc.codegen.sweeps import Array
from graphc.codegen.views import Level
from graphc.kernel import Axis, Call, Expr, Index, Load, Masked, Nest, Phase, Store
from graphc.sizes import Int, coefficient, symbols

TILE = 32  # steps along both axes
PITCH = TILE + 1  # elements from one line of a tile to the next: lines in different cache sets
FAR = 8  # elements between neighbours from which reading them is slow
LEAST = 1 << 14  # points below which everything stays in the cache


@dataclass(frozen=True)
class Across:
    """A nest whose loads along ``line`` are staged in tiles, for its last axis ``lane``."""

    axes: tuple[Axis, ...]  # the other axes, then those of the tiles
    stage: Phase
    phase: Phase
    line: Axis
    lane: Axis
    arrays: tuple[Array, ...]


def across_memory(nest: Nest, taken: frozenset[str]) -> Across | None:
    """The nest in tiles, if it reads across memory and is large."""
    axes = real(nest.axes)
    if len(axes) < 2 or len(nest.phases) != 1 or (steps(axes) or LEAST) < LEAST:
        return None
    (phase,) = nest.phases
    lane = axes[-1]
    if any(coefficient(store.index, lane.name) != 1 for store in phase.stores):
        return None
    checked = {s.name for s in phase.body if isinstance(s, Index)}
    loads = [
        load
        for load in dict.fromkeys(_loads_of(phase))
        if not load.mask and checked.isdisjoint(s.name for s in symbols(load.index))
    ]
    line = next(
        (a for a in axes[:-1] if _is_long(a) and any(_is_across(x, a, lane) for x in loads)), None
    )
    if line is None or not _is_long(lane):
        return None
    loads = [load for load in loads if _is_across(load, line, lane)]
    place = _inside(lane) * PITCH + _inside(line)
    staged: dict[Load, Load] = {}
    names = set(taken)
    for load in loads:
        name = f"{load.buffer}_tile"
        while name in names:
            name += "_"
        names.add(name)
        staged[load] = Load(name, place, load.dtype)
    stage = Phase(stores=tuple(Store(s.buffer, place, load) for load, s in staged.items()))
    others = tuple(axis for axis in axes if axis not in (line, lane))
    arrays = tuple(Array(s.buffer, s.dtype, TILE * PITCH) for s in staged.values())
    tiles = (*others, _tiles(line), _tiles(lane))
    return Across(tiles, stage, _replacing(phase, staged), line, lane, arrays)


def tile_loops(render: Expressions, axes: tuple[Axis, ...]) -> Loops:
    """Loops over the points of one tile."""
    loops = []
    for axis in axes:
        start = _tiles(axis).index * TILE
        end = f"gc_least({render.integer(start + TILE)}, {render.integer(axis.extent)})"
        level = Level(render.identifier(axis.name), render.integer(start), end)
        loops.append(Loop((axis.name,), level))
    return Loops(tuple(loops))


def _tiles(axis: Axis) -> Axis:
    return Axis(f"{axis.name}_tile", (axis.extent + (TILE - 1)) // TILE)


def _inside(axis: Axis) -> Int:
    return axis.index - _tiles(axis).index * TILE


def _is_long(axis: Axis) -> bool:
    return not isinstance(axis.extent, int) or axis.extent >= TILE


def _is_across(load: Load, line: Axis, lane: Axis) -> bool:
    if coefficient(load.index, line.name) != 1:
        return False
    step = coefficient(load.index, lane.name)
    return step is not None and (not isinstance(step, int) or abs(step) >= FAR)


def _loads_of(phase: Phase) -> Iterator[Load]:
    for statement in phase.body:
        yield from _loads(statement.expr)
    for store in phase.stores:
        yield from _loads(store.expr)


def _loads(expr: Expr) -> Iterator[Load]:
    if isinstance(expr, Load):
        yield expr
    elif isinstance(expr, Call):
        for arg in expr.args:
            yield from _loads(arg)
    # Behind conditions memory must not be touched ahead of time.


def _replacing(phase: Phase, staged: dict[Load, Load]) -> Phase:
    def change(expr: Expr) -> Expr:
        if isinstance(expr, Load):
            return staged.get(expr, expr)
        if isinstance(expr, Call):
            return replace(expr, args=tuple(change(arg) for arg in expr.args))
        if isinstance(expr, Masked):
            return replace(expr, value=change(expr.value), other=change(expr.other))
        return expr

    return replace(
        phase,
        body=tuple(replace(s, expr=change(s.expr)) for s in phase.body),
        stores=tuple(replace(s, expr=change(s.expr)) for s in phase.stores),
    )
