"""How a nest runs: its skeleton, the order of its axes, an estimate of its work."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from graphc.kernel import Axis, Contraction, Nest, Phase, Schedule, Skeleton
from graphc.lowering.rewriting import expr_loads, phase_exprs
from graphc.sizes import Int, coefficient, count

FEW_POINTS = 16  # results up to which a long sweep is itself divided among threads, however many
MUCH_WORK = 1 << 16  # operations for one result that make it long


def extent_of(axes: Sequence[Axis]) -> int:
    return count(tuple(axis.extent for axis in axes))


def scheduled(nest: Nest, cost: int) -> Nest:
    """The nest with its schedule; ``cost`` is that of one point of its longest sweep."""
    points = extent_of(nest.axes)
    sweeps = [extent_of(phase.axes) for phase in nest.phases if phase.axes]
    work = points * max(sweeps, default=1) * cost
    skeleton = Skeleton.MAP
    if sweeps:
        if points <= FEW_POINTS and work >= MUCH_WORK * points:
            skeleton = Skeleton.TOTAL
        elif _runs_across(nest):
            skeleton = Skeleton.COLUMNS
        else:
            skeleton = Skeleton.ROWS
    return replace(nest, schedule=Schedule(skeleton, work))


def _runs_across(nest: Nest) -> bool:
    """Whether neighbouring results, not the elements of a sweep, lie side by side in memory."""
    if not nest.axes:
        return False
    last = nest.axes[-1]
    along = across = 0
    for phase in nest.phases:
        size = extent_of(phase.axes)
        for index in _touched(phase):
            if any(_unit(index, axis) for axis in phase.axes):
                along += size
            elif _unit(index, last) or coefficient(index, last.name) not in (0, None):
                across += size
    short = all(extent_of(phase.axes) <= 32 for phase in nest.phases if phase.axes)
    if short and extent_of((last,)) >= 4:
        return True
    return across > along


def _unit(index: Int, axis: Axis) -> bool:
    return coefficient(index, axis.name) == 1


def _touched(phase: Phase) -> Iterator[Int]:
    """The indices of the memory that a sweep reads and writes."""
    if not phase.axes:
        return
    for expr in phase_exprs(phase):
        for load in expr_loads(expr):
            if any(coefficient(load.index, axis.name) != 0 for axis in phase.axes):
                yield load.index
    for store in phase.stores:
        yield store.index


def contraction_work(nest: Contraction) -> int:
    """Multiplications and additions of a contraction."""
    axes = (*nest.batch, *nest.rows, *nest.cols, *nest.depth)
    return 2 * extent_of(axes)
