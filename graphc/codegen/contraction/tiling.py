"""The schedule of a contraction: which side fills vectors, tiles, packing, blocks, splits.

A tile is ``lines x lanes`` sums held in registers: at each step of the depth one vector or more of
lanes is loaded, and each line is one number that multiplies them all. Either side of the product
can be the lanes. Candidates are compared by an estimate of cycles
(:mod:`graphc.codegen.contraction.costs`).
"""

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from graphc.codegen.contraction.blocks import cut
from graphc.codegen.contraction.costs import HALO_ELEMENTS, dot_plan, vector_plan
from graphc.codegen.contraction.halo import Halo, halo
from graphc.codegen.contraction.operands import Operand, fixed
from graphc.codegen.contraction.pairs import Pairs
from graphc.codegen.contraction.plans import Plan, Product, Sides, Tiling, Vectors, last, roles
from graphc.kernel import Axis, Contraction, InRange
from graphc.sizes import coefficient, symbols


def schedule(
    nest: Contraction,
    lhs: Operand,
    rhs: Operand,
    vectors: Vectors,
    size: int,
    pairs: Pairs | None = None,
) -> tuple[Sides, Plan]:
    """The cheapest schedule for elements of ``size`` bytes, and the sides in their roles.

    With ``pairs`` an element is a pair.
    """
    width = max(vectors.size // size, 2)
    products: list[Product] = [(nest, lhs, rhs, None)]
    for first, second in ((lhs, rhs), (rhs, lhs)):
        for where, copied in _halos(nest, first):
            both = (copied.operand, second) if first is lhs else (second, copied.operand)
            products.append((where, *both, copied))
    every: list[Sides] = []
    for case in products:
        every += roles(*(case if pairs is None else pairs.product(*case)), pairs)
    best: tuple[Sides, Plan] | None = None
    for sides in every:
        for candidate in _candidates(sides, vectors, width):
            if best is None or candidate.cost < best[1].cost:
                best = sides, candidate
    assert best is not None  # packing both sides is always possible
    return best[0], cut(*best, size)


def _halos(nest: Contraction, of: Operand) -> Iterator[tuple[Contraction, Halo]]:
    """Copies of an operand with zeros around it: of all, and of what one thread needs at a time.

    The second makes a batch of the axes that tell what that is.
    """
    whole = halo(of)
    if whole is None:
        return
    yield nest, whole
    depth = {axis.name for axis in nest.depth}
    each = tuple(axis for axis, _, _ in whole.axes if axis.name not in depth)
    part = halo(of, frozenset(axis.name for axis in each)) if each else None
    if part is not None and part.elements <= HALO_ELEMENTS:
        batch, rows, cols = (
            tuple(axis for axis in axes if axis not in each)
            for axes in (nest.batch, nest.rows, nest.cols)
        )
        yield replace(nest, batch=(*each, *batch), rows=rows, cols=cols), part


def _candidates(sides: Sides, vectors: Vectors, width: int) -> Iterator[Plan]:
    most = 6 if vectors.registers >= 32 else 3
    for direct in (True, False):
        axes = _direct_lanes(sides) if direct else sides.lane_axes
        if axes is None or (not direct and sides.copied_by_each(sides.lane)):
            continue
        for lanes, count in _lane_tilings(sides, axes, width, most, direct):
            limit = (vectors.registers - 2 - count) // count
            for lines in _line_tilings_of(sides, limit):
                for packed in (False, True):
                    if not packed and not _direct_lines(sides, lines):
                        continue
                    yield vector_plan(sides, lanes, lines, width, direct, packed)
    yield from _dot_candidates(sides, vectors, width)


def _direct_lanes(sides: Sides) -> tuple[Axis, ...] | None:
    """The lane axes with the one last that can be loaded in place, if there is one."""
    if sides.lane.strides is None or not sides.lane.in_place or not sides.known:
        return None
    if sides.pairs is not None:  # their elements would have to lie side by side, between the lanes
        return None
    for axis in reversed(sides.lane_axes):
        if sides.lane.stride(axis.name) == 1 and masks_allow(sides, axis):
            return last(sides.lane_axes, axis.name)
    return None


def masks_allow(sides: Sides, axis: Axis) -> bool:
    """Whether conditions are ranges of lanes, or the same for all lanes of a vector."""
    if sides.lane.load is None:
        return False
    for condition in sides.lane.load.mask:
        if not sides.nest.depth:
            return False
        along = coefficient(condition.index, axis.name)
        if along == 0:
            continue
        if along != 1 or not isinstance(condition, InRange):
            return False
        if any(s.name == axis.name for s in symbols(condition.limit)):
            return False
    return True


def _lane_tilings(
    sides: Sides, axes: tuple[Axis, ...], width: int, most: int, direct: bool
) -> Iterator[tuple[Tiling, int]]:
    """Tiles of lanes and the number of vectors they take."""
    extent = fixed(axes[-1])
    longest = most if extent is None else min(most, ceil(extent / width))
    for along in range(1, longest + 1):
        steps = [1] * len(axes)
        steps[-1] = along * width
        yield Tiling(axes, tuple(steps)), along
        if not direct or along != longest:
            continue
        yield from _repeated(sides, Tiling(axes, tuple(steps)), along, most, len(axes) - 1)
    if direct:
        for tiling, along in _runs(sides, axes, width, most):
            yield tiling, along
            yield from _repeated(sides, tiling, along, most, len(axes) - 2)


def _repeated(
    sides: Sides, lanes: Tiling, along: int, most: int, outer: int
) -> Iterator[tuple[Tiling, int]]:
    """The same lanes at several steps of one of the first ``outer`` axes."""
    for number, axis in enumerate(lanes.axes[:outer]):
        extent = fixed(axis)
        if extent is None or _in_masks(sides.lane, axis):
            continue
        for repeat in range(2, most // along + 1):
            if extent % repeat == 0:
                steps = (*lanes.steps[:number], repeat, *lanes.steps[number + 1 :])
                yield replace(lanes, steps=steps), along * repeat


def _runs(
    sides: Sides, axes: tuple[Axis, ...], width: int, most: int
) -> Iterator[tuple[Tiling, int]]:
    """Several short rows as one run of memory, with the gaps between them."""
    if len(axes) < 2 or sides.lane.masked:
        return
    rows, row = fixed(axes[-2]), fixed(axes[-1])
    pitch = sides.lane.stride(axes[-2].name)
    if rows is None or row is None or not isinstance(pitch, int) or not row <= pitch:
        return
    for count in range(2, rows + 1):
        vectors = ceil(((count - 1) * pitch + row) / width)
        if rows % count == 0 and vectors <= most and vectors < count * ceil(row / width):
            steps = (*(1 for _ in axes[:-2]), count, row)
            yield Tiling(axes, steps, pitch, vectors * width), vectors


def _in_masks(side: Operand, axis: Axis) -> bool:
    conditions = side.load.mask if side.load is not None else ()
    return any(coefficient(c.index, axis.name) != 0 for c in conditions)


def _line_tilings(axes: tuple[Axis, ...], limit: int) -> Iterator[Tiling]:
    """Tiles of at most ``limit`` lines: whole inner axes, and a part of the next one."""
    if not axes:
        yield Tiling((), ())
        return
    steps = [1] * len(axes)
    room = limit
    for number in range(len(axes) - 1, -1, -1):
        extent = fixed(axes[number])
        for step in _parts(extent, room):
            steps[number] = step
            yield Tiling(axes, tuple(steps))
        if extent is None or extent > room or extent == 0:
            return
        steps[number] = extent
        room //= extent


def _line_tilings_of(sides: Sides, limit: int) -> Iterator[Tiling]:
    """Tiles of lines; also such as conditions treat as one, whose steps are then skipped."""
    yield from _line_tilings(sides.line_axes, limit)
    free = tuple(axis for axis in sides.line_axes if not _in_masks(sides.line, axis))
    if not sides.line.masked or not free or len(free) == len(sides.line_axes):
        return
    for tiling in _line_tilings(free, limit):
        steps = {axis.name: step for axis, step in tiling.pairs}
        yield Tiling(sides.line_axes, tuple(steps.get(a.name, 1) for a in sides.line_axes))


def _parts(extent: int | None, room: int) -> tuple[int, ...]:
    """Sizes worth trying for a piece of an axis: even shares first, then as much as fits."""
    if extent is None:
        return (room,)
    fewest = ceil(extent / room)
    shares = {ceil(extent / pieces) for pieces in range(fewest, fewest + 3)}
    return tuple(sorted(shares | {min(room, extent)}))


def _direct_lines(sides: Sides, lines: Tiling) -> bool:
    if sides.pairs is not None and (sides.pairs.odd or sides.line.masked):
        return False  # the last pair is not whole in memory, or parts of pairs do not exist
    if sides.line.masked and not sides.nest.depth:
        return False
    if any(step > 1 and _in_masks(sides.line, axis) for axis, step in lines.pairs):
        return False  # steps of the depth can only be skipped for all lines of a tile
    return sides.known and _known_strides(sides.line, lines)


def _known_strides(side: Operand, tiling: Tiling) -> bool:
    """Whether elements of a tile can be read in place."""
    if side.strides is None or not side.in_place:
        return False
    return all(isinstance(side.stride(axis.name), int) for axis in tiling.axes)


# ------------------------------------------------------------------------------------------ dots


def _dot_candidates(sides: Sides, vectors: Vectors, width: int) -> Iterator[Plan]:
    """Vectors along the depth: for few results of long sums. Tried in one of the two roles."""
    nest = sides.nest
    if sides.swapped or not nest.depth or not sides.known:
        return
    axis = nest.depth[-1]
    for side in (sides.line, sides.lane):
        if side.strides is None or side.masked or side.stride(axis.name) != sides.per:
            return
    for lines in _line_tilings(sides.line_axes, 8):
        for limit in {(vectors.registers - 2) // (lines.size + 1), 5}:
            for lanes in _line_tilings(sides.lane_axes, limit):
                if lines.size * lanes.size + lanes.size + 2 > vectors.registers:
                    continue
                if _known_strides(sides.line, lines) and _known_strides(sides.lane, lanes):
                    yield dot_plan(sides, lines, lanes, width)
