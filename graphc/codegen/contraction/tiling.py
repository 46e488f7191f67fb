"""The schedule of a contraction: which side fills vectors, tiles, packing, blocks, splits.

A tile is ``lines x lanes`` sums held in registers: at each step of the depth one vector or more of
lanes is loaded, and each line is one number that multiplies them all. Either side of the product
can be the lanes. Candidates are compared by an estimate of cycles; the figures behind it were
measured on a core with two 512-bit multipliers, and only their ratios matter.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import ceil, gcd, prod
from typing import Union

from graphc.codegen.contraction.halo import MOST_STRIDE, Halo, copied_rows, halo
from graphc.codegen.contraction.operands import Operand, estimated, fixed
from graphc.codegen.contraction.pairs import PER, Pairs
from graphc.kernel import Axis, Contraction, InRange
from graphc.sizes import Int, Symbol, coefficient, product, symbols

LATENCY = 4  # cycles until a sum can be added to again
FAR_LOAD = 2.0  # cycles for a vector from the second-level cache
FAR_ROW = 2.5  # the same where rows push each other out of the first-level cache
FAR_ELEMENTS = 256 * 1024  # of an operand that the second-level cache does not hold
WAYS = 10  # rows at the same place of the first-level cache that it holds beside others
LONG_PIECE = 512  # elements from which a piece of memory is fetched ahead
FAR_PIECE = 250.0  # cycles to wait for a shorter one
FAR_STORE = 8.0  # cycles to write an element whose neighbours push it out of the first-level cache
FAR_PANEL = 2.0  # cycles to write an element of a panel to memory and to read it again
CACHE_LINE = 16  # elements
CACHE_SETS = 64  # of lines in the first-level cache
UNUSED_LINE = 1.0  # cycles for a line of the cache of which little is used
ALIASED_LINE = 3.0  # and for one that others push out of it
MASKING = 3.0  # cycles to find out which lanes exist
DEEP = 512  # depth from which it is cut, so that packed panels stay in the caches
BLOCK = 256  # depth of one cut
PANEL_BYTES = 256 * 1024  # a matrix read in place should stay in the second-level cache
PANEL_IN_CACHE = 96 * 1024 - 1  # a panel that is streamed for each strip
STRIP_BYTES = 32 * 1024  # the lines of a tile read in place should stay in the first
UNITS = 32  # shares of work wanted: enough to divide evenly among threads
KEPT_BYTES = 256 * 1024  # panels that every thread may pack for itself: no waiting for others
OWN_STRIPS = 32  # strips for which packing a panel costs next to nothing
OWN_PANELS = 64  # most panels that a thread packs for one unit
HALO_ELEMENTS = 128 * 1024  # of a copy that stays in the second-level cache
LINES_PACKED = 128  # lines packed together
SUMS_BYTES = 512 * 1024  # unfinished sums of one thread
TURNED_RUN = 4  # lines side by side in memory for which a tile is turned over
ONE = "only"  # the axis of lanes when a contraction has none
SERIAL_WORK = 30_000  # multiplications below which one thread is faster than two


@dataclass(frozen=True)
class Vectors:
    """The vector unit to plan for: bytes of a vector and number of registers."""

    size: int = 64
    registers: int = 32


class Packing(Enum):
    """Where a side of the product is read from."""

    DIRECT = "direct"  # in place
    OWN = "own"  # each thread packs the block it works on
    KEPT = "kept"  # the same, kept while the thread stays with its panel
    SHARED = "shared"  # packed once, by all threads together


@dataclass(frozen=True)
class Tiling:
    """How a side is cut into tiles: ``steps[i]`` of ``axes[i]`` belong to one.

    Where rows of the last axis are short, a tile of lanes can load several of them as one ``run``
    of memory, ``pitch`` elements from one to the next; the lanes between two rows are not used.
    """

    axes: tuple[Axis, ...]
    steps: tuple[int, ...]
    pitch: int = 0  # 0: the lanes of a tile follow each other
    run: int = 0  # lanes of a run, whole vectors

    @property
    def size(self) -> int:
        return prod(self.steps[:-2]) * self.run if self.pitch else prod(self.steps)

    @property
    def last_run(self) -> int:
        """Lanes that are loaded together, from the first that is used to the last."""
        if self.pitch:
            return (self.steps[-2] - 1) * self.pitch + self.steps[-1]
        return self.steps[-1]

    @property
    def repeats(self) -> int:
        """How many runs a tile loads."""
        return prod(self.steps[: -2 if self.pitch else -1])

    @property
    def pairs(self) -> tuple[tuple[Axis, int], ...]:
        return tuple(zip(self.axes, self.steps, strict=True))

    @property
    def counts(self) -> tuple[Int, ...]:
        return tuple((axis.extent + (step - 1)) // step for axis, step in self.pairs)

    @property
    def count(self) -> Int:
        return product(self.counts)

    @property
    def ragged(self) -> int | None:
        """The number of the axis whose last tile is shorter; None when all fit."""
        for number, (axis, step) in enumerate(self.pairs):
            if step > 1 and (not isinstance(axis.extent, int) or axis.extent % step):
                return number
        return None

    @property
    def short(self) -> int:
        """The size of a tile that is cut off at the end (0 when unknown or when all fit)."""
        number = self.ragged
        if number is None:
            return 0
        extent, step = fixed(self.axes[number]), self.steps[number]
        return 0 if extent is None else self.size // step * (extent % step)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(size, how many) of whole and of short tiles, as far as can be estimated."""
        number = self.ragged
        total = prod(ceil(estimated(a) / s) for a, s in self.pairs)
        if number is None or not self.short:
            return ((self.size, total),)
        axis = self.axes[number]
        shorter = total // ceil(estimated(axis) / self.steps[number])
        return ((self.size, total - shorter), (self.short, shorter))


@dataclass(frozen=True)
class Plan:
    """A schedule. ``vectors`` counts vectors along the last lane axis; ``dot`` sums along depth.

    ``block`` is the depth axis that is cut, and the steps of one cut. ``splits`` parts of the
    depth are summed apart and joined in order, however many threads there are.
    """

    lines: Tiling
    lanes: Tiling
    lines_packing: Packing
    lanes_packing: Packing
    width: int  # lanes of one vector
    cost: float
    dot: bool = False
    block: tuple[int, int] | None = None
    splits: int = 1
    strips_per_unit: int = 1
    panels_per_unit: int = 1


@dataclass(frozen=True)
class Sides:
    """The two sides in one of their two roles."""

    nest: Contraction
    swapped: bool
    line: Operand
    lane: Operand
    line_axes: tuple[Axis, ...]
    lane_axes: tuple[Axis, ...]
    halo: Halo | None = None  # the copy that one of the operands reads
    pairs: Pairs | None = None  # of the last axis of the depth

    def lane_aliases(self, axis: Axis) -> bool:
        """Whether the steps of a depth axis push each other out of the first-level cache."""
        stride = self.lane.stride(axis.name)
        if not isinstance(stride, int) or stride == 0 or stride % CACHE_LINE:
            return False
        sets = CACHE_SETS // gcd(stride // CACHE_LINE, CACHE_SETS)
        return estimated(axis) > 8 * sets

    def copied_by_each(self, side: Operand) -> bool:
        """Whether a side reads a copy that each thread makes for itself."""
        return self.halo is not None and bool(self.halo.of_each) and side is self.halo.operand

    @property
    def per(self) -> int:
        """Elements of each operand that one multiplication of a lane takes."""
        return 1 if self.pairs is None else PER

    @property
    def depth(self) -> int:
        return prod(estimated(axis) for axis in self.nest.depth)

    @property
    def depth_pairs(self) -> tuple[tuple[Axis, int], ...]:
        return tuple((axis, estimated(axis)) for axis in self.nest.depth)

    @property
    def known(self) -> bool:
        """Whether every size of the tiled axes is a number."""
        axes = (*self.nest.depth, *self.line_axes, *self.lane_axes)
        return all(isinstance(axis.extent, int) for axis in axes)


# ------------------------------------------------------------------------------------ candidates

Product = tuple[Contraction, Operand, Operand, Union[Halo, None]]


def roles(
    nest: Contraction, lhs: Operand, rhs: Operand, copied: Halo | None, pairs: Pairs | None
) -> tuple[Sides, Sides]:
    """Columns as lanes, and rows as lanes."""
    out = _contiguous(nest)
    rows, cols = _last(nest.rows, out), _last(nest.cols, out)
    single = (Axis(ONE, 1),)  # a vector has lanes even where there is one result
    return (
        Sides(nest, False, lhs, rhs, rows, cols or single, copied, pairs),
        Sides(nest, True, rhs, lhs, cols, rows or single, copied, pairs),
    )


def _contiguous(nest: Contraction) -> str:
    """The axis along which the first store runs through memory; "" when there is none.

    Where results belong to a class of every few places, it goes by these steps.
    """
    for store in nest.epilogue.stores:
        steps = {a.name: coefficient(store.index, a.name) for a in (*nest.rows, *nest.cols)}
        near = [(s, n) for n, s in steps.items() if isinstance(s, int) and 0 < s <= MOST_STRIDE]
        if near:
            return min(near)[1]
    return ""


def _last(axes: tuple[Axis, ...], name: str) -> tuple[Axis, ...]:
    """The axes with the named one moved to the end."""
    return tuple(sorted(axes, key=lambda axis: axis.name == name))


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
    return best[0], _cut(*best, size)


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
                    yield _vector_plan(sides, lanes, lines, width, direct, packed)
    yield from _dot_candidates(sides, vectors, width)


def _direct_lanes(sides: Sides) -> tuple[Axis, ...] | None:
    """The lane axes with the one last that can be loaded in place, if there is one."""
    if sides.lane.strides is None or not sides.lane.in_place or not sides.known:
        return None
    if sides.pairs is not None:  # their elements would have to lie side by side, between the lanes
        return None
    for axis in reversed(sides.lane_axes):
        if sides.lane.stride(axis.name) == 1 and masks_allow(sides, axis):
            return _last(sides.lane_axes, axis.name)
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


# --------------------------------------------------------------------------------------- costs


def _vector_plan(
    sides: Sides, lanes: Tiling, lines: Tiling, width: int, direct: bool, packed: bool
) -> Plan:
    depth = max(sides.depth, 1)
    batch = prod(estimated(axis) for axis in sides.nest.batch)
    whole = max(lanes.size // width, 1)
    load = 1.5 if direct else 1.0
    masked = MASKING if direct and sides.lane.masked else 0.0
    stream = 0.0
    if not direct and lanes.size * min(depth, BLOCK) * 4 > STRIP_BYTES:
        stream = FAR_LOAD
    done = _done(sides.lane, sides.lane_axes[-1].name) if direct else 1.0
    if not packed and sides.line.masked:
        done *= _done(sides.line)
        masked = MASKING
    inner = fixed(lanes.axes[-1])
    cycles = 0.0
    for size, strips in ((lines.size, _total(lines)),) if packed else lines.sizes:
        for vectors, panels in _vector_counts(lanes, width, whole, inner):
            loads = max((size + vectors * load) / 2, vectors * stream)
            if not packed and size > WAYS and _any_aliases(sides.line, lines):
                loads = max(loads, size * FAR_ROW)
            step = max(size * vectors / 2, loads, LATENCY) + masked
            cycles += strips * panels * (step * depth * done + 20 + size * vectors)
    if direct and _span(sides.lane, sides.nest.depth) * 4 > PANEL_BYTES and _total(lines) > 2:
        cycles *= 1.5
    if direct and sides.nest.depth and any(map(sides.lane_aliases, sides.nest.depth)):
        cycles *= 1.5
    if lanes.size * min(depth, BLOCK) * 4 > PANEL_IN_CACHE:
        cycles *= 1.15
    if not packed and _total(lanes) > 2:
        if _distinct(sides.line, (*lines.pairs, *sides.depth_pairs)) * 4 > STRIP_BYTES:
            cycles *= 1.12
        aliased = [n for axis, n in lines.pairs if _aliases(sides.line.stride(axis.name))]
        if any(8 < n <= WAYS for n in aliased):
            cycles *= 1.3
    if not packed:
        waiting = _far_pieces(sides, lines) * FAR_PIECE + _unused(sides, lines)
        cycles += _total(lines) * _total(lanes) * waiting
    if not direct:
        elements = _total(lanes) * lanes.size * depth
        cost = pack_cost(sides.lane, lanes.axes[-1], sides.nest)
        if elements > FAR_ELEMENTS and (packed or not _has_panels(sides, lanes)):
            cost += FAR_PANEL
        cycles += elements * cost
    if packed:
        run = next((axis for axis, step in reversed(lines.pairs) if step > 1), None)
        cycles += _total(lines) * lines.size * depth * pack_cost(sides.line, run, sides.nest)
    cycles += _epilogue_cost(sides, lanes, lines)
    return Plan(
        lines=lines,
        lanes=lanes,
        lines_packing=Packing.OWN if packed else Packing.DIRECT,
        lanes_packing=Packing.DIRECT if direct else Packing.SHARED,
        width=width,
        cost=cycles * batch + _halo_cost(sides),
    )


def _done(side: Operand, vectors: str = "") -> float:
    """The share of the depth that conditions leave where they are the same for whole tiles.

    They are not when they bound the axis that ``vectors`` run along.
    """
    share = 1.0
    for condition in side.load.mask if side.load is not None else ():
        if not isinstance(condition, InRange) or not isinstance(condition.limit, int):
            continue
        if vectors and coefficient(condition.index, vectors) != 0:
            continue
        share *= _within(condition.index, condition.limit)
    return share


def _within(index: Int, limit: int) -> float:
    """How many of the values of a sum of axes lie in ``[0, limit)``."""
    if isinstance(index, int):
        return 1.0
    counts = {index.const: 1}
    for atom, step in index.terms:
        extent = atom.extent if isinstance(atom, Symbol) else None
        if not isinstance(extent, int) or len(counts) * extent > 10_000:
            return 1.0
        longer: dict[int, int] = {}
        for value, many in counts.items():
            for place in range(extent):
                at = value + step * place
                longer[at] = longer.get(at, 0) + many
        counts = longer
    inside = sum(many for value, many in counts.items() if 0 <= value < limit)
    return inside / max(sum(counts.values()), 1)


def _halo_cost(sides: Sides) -> float:
    if sides.halo is None:
        return 0.0
    rows, row = copied_rows(sides.halo)
    if sides.halo.of_each:
        return rows * (row * 0.4 + 6)
    far = 1.6 if rows * row > HALO_ELEMENTS else 0.8  # it leaves the caches before it is read
    return rows * (row * far + 6) + 2000


def _total(tiling: Tiling) -> int:
    return sum(many for _, many in tiling.sizes)


def _vector_counts(
    lanes: Tiling, width: int, whole: int, inner: int | None
) -> tuple[tuple[int, int], ...]:
    """(vectors, how many panels): the last panel of a row may need fewer."""
    total = _total(lanes)
    if inner is None or inner == 0 or inner % lanes.steps[-1] == 0:
        return ((whole, total),)
    rest = inner % lanes.steps[-1]
    ends = total // ceil(inner / lanes.steps[-1])
    repeats = whole * width // lanes.steps[-1]
    return ((whole, total - ends), (ceil(rest / width) * repeats, ends))


def _span(side: Operand, axes: Sequence[Axis]) -> int:
    """Elements between the first and the last that a panel reads, along the depth."""
    steps = ((side.stride(axis.name), estimated(axis)) for axis in axes)
    return sum(abs(s if isinstance(s, int) else 4096) * (n - 1) for s, n in steps if s is not None)


def _distinct(side: Operand, steps: Iterable[tuple[Axis, int]]) -> int:
    """About how many elements an operand has at some steps of axes: windows share theirs."""
    strides = [(side.stride(axis.name), count) for axis, count in steps if count > 1]
    known = sorted((abs(s), count) for s, count in strides if isinstance(s, int) and s != 0)
    elements = span = 1
    for stride, count in known:
        longer = stride * (count - 1) + span
        elements = elements * count if stride >= span else elements * longer // span
        span = longer
    return elements


def _unused(sides: Sides, lines: Tiling) -> float:
    """Cycles for cache lines that a strip reads beyond those that its elements would fill.

    They do not matter where the first-level cache holds them all: neighbouring strips share them.
    """
    steps = (*lines.pairs, *sides.depth_pairs)
    strides = [(sides.line.stride(axis.name), count) for axis, count in steps if count > 1]
    span = pieces = 1
    for stride, count in sorted((abs(s), n) for s, n in strides if isinstance(s, int) and s != 0):
        if stride <= max(span, CACHE_LINE):
            span += stride * (count - 1)
        else:
            pieces *= count
    read = pieces * ceil(span / CACHE_LINE)
    aliases = _any_aliases(sides.line, lines)
    if read * CACHE_LINE * 4 <= STRIP_BYTES and not aliases:
        return 0.0
    unused = read - _distinct(sides.line, steps) / CACHE_LINE
    return unused * (ALIASED_LINE if aliases else UNUSED_LINE)


def _far_pieces(sides: Sides, lines: Tiling) -> int:
    """Short pieces of memory that a strip of lines lies in, if they come from far away.

    Nothing fetches them ahead, unless the whole depth is a walk with one stride. Windows that
    overlap have just been read by the strip before.
    """
    every = (*((axis, estimated(axis)) for axis in sides.line_axes), *sides.depth_pairs)
    elements = _distinct(sides.line, every)
    overlap = elements < prod(count for _, count in every)
    if len(sides.nest.depth) < 2 or elements <= FAR_ELEMENTS or overlap:
        return 0
    steps = (*lines.pairs, *sides.depth_pairs)
    strides = [(sides.line.stride(axis.name), count) for axis, count in steps if count > 1]
    span, pieces = 1, 1
    for stride, count in sorted((abs(s), n) for s, n in strides if isinstance(s, int) and s != 0):
        if stride <= 2 * span:
            span += stride * (count - 1)
        else:
            pieces *= count
    return pieces if span < LONG_PIECE else 0


def _aliases(stride: Int | None) -> bool:
    """Whether neighbours fall on the same lines of the first-level cache."""
    return isinstance(stride, int) and stride != 0 and stride % 1024 == 0


def _any_aliases(side: Operand, tiling: Tiling) -> bool:
    return any(step > 1 and _aliases(side.stride(axis.name)) for axis, step in tiling.pairs)


def pack_cost(side: Operand, run: Axis | None, nest: Contraction) -> float:
    """Cycles for one element of a packed panel."""
    if side.strides is None:
        return 3.0
    along = run is not None and side.stride(run.name) == 1
    if side.masked:
        return 2.0 if along else 3.0
    if along:
        return 0.15
    number, _ = run_of(side, nest.depth, PER if side.pair == 1 else 1)
    if number:
        inner = prod(estimated(axis) for axis in nest.depth[len(nest.depth) - number :])
        return 0.35 if inner >= 8 else 1.5
    return 1.5


def run_of(side: Operand, depth: Sequence[Axis], per: int = 1) -> tuple[int, int]:
    """How many axes of the depth, from the end, are one walk through memory, and its direction.

    ``per`` elements belong to a step; pairs are not turned around.
    """
    direction = -1 if per == 1 and depth and side.stride(depth[-1].name) == -1 else 1
    inner: Int = per * direction
    for number, axis in enumerate(reversed(depth)):
        if side.stride(axis.name) != inner:
            return number, direction
        inner = inner * axis.extent
    return len(depth), direction


def transposed(sides: Sides, lines: Tiling) -> bool:
    """Whether results run through memory along the lines: then tiles are turned over first."""
    stores = sides.nest.epilogue.stores
    if not stores:
        return False
    by_stride = [(coefficient(stores[0].index, axis.name), axis, n) for axis, n in lines.pairs]
    near = [s for s, _, n in by_stride if n > 1 and isinstance(s, int) and 0 < s <= MOST_STRIDE]
    least = run = min(near, default=1)
    while True:
        found = next(((axis, n) for stride, axis, n in by_stride if stride == run and n > 1), None)
        if found is None:
            return run >= TURNED_RUN * least
        run *= found[1]
        if fixed(found[0]) != found[1]:
            return run >= TURNED_RUN * least


def _epilogue_cost(sides: Sides, lanes: Tiling, lines: Tiling) -> float:
    points = prod(estimated(axis) for axis in (*sides.line_axes, *sides.lane_axes))
    stores = sides.nest.epilogue.stores
    out = _contiguous(sides.nest)
    apart = 0.0 if not stores or coefficient(stores[0].index, out) == 1 else 0.5
    halves = sides.nest.dtype.short in ("f16", "bf16")  # rounding is slow in short runs
    if lanes.axes[-1].name == out:
        return points * ((0.5 if halves else 0.25) + apart)
    if transposed(sides, lines):
        return points * ((2.3 if halves else 0.5) + apart)
    if stores and _aliases(coefficient(stores[0].index, lanes.axes[-1].name)):
        return points * FAR_STORE
    return points * (4.0 if halves else 1.5)


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
                    yield _dot_plan(sides, lines, lanes, width)


def _dot_plan(sides: Sides, lines: Tiling, lanes: Tiling, width: int) -> Plan:
    nest = sides.nest
    extent = estimated(nest.depth[-1])
    outer = prod(estimated(axis) for axis in nest.depth[:-1])
    steps = outer * ceil(extent / width)
    cycles = 0.0
    for size, strips in lines.sizes:
        for across, panels in lanes.sizes:
            far = FAR_ROW * (size * _any_aliases(sides.line, lines))
            far += FAR_ROW * (across * _any_aliases(sides.lane, lanes))
            step = max(size * across / 2, (size + across * 1.5) / 2, far, LATENCY)
            cycles += strips * panels * (step * steps + outer * 2 + 20 + size * across * 15)
    points = prod(estimated(axis) for axis in (*sides.line_axes, *sides.lane_axes))
    batch = prod(estimated(axis) for axis in nest.batch)
    return Plan(
        lines=lines,
        lanes=lanes,
        lines_packing=Packing.DIRECT,
        lanes_packing=Packing.DIRECT,
        width=width,
        cost=(cycles + points * 2.0) * batch + _halo_cost(sides),
        dot=True,
    )


# ---------------------------------------------------------------------------------------- blocks


def _cut(sides: Sides, chosen: Plan, size: int) -> Plan:
    """Blocks of the depth, splits of it, and shares of work, for a plan that is otherwise made."""
    nest = sides.nest
    strips, panels = _total(chosen.lines), _total(chosen.lanes)
    batch = max(prod(estimated(axis) for axis in nest.batch), 1)
    splits = _splits(nest, batch * strips * panels)
    chosen = replace(chosen, splits=splits, block=_block(nest, chosen, splits))
    if not sides.known or not all(isinstance(axis.extent, int) for axis in nest.batch):
        return _unknown(sides, chosen)
    lanes_bytes = panels * chosen.lanes.size * sides.depth * size
    packing = chosen.lanes_packing
    finished = splits == 1 and chosen.block is None
    if packing is Packing.SHARED and finished and 0 < lanes_bytes <= KEPT_BYTES:
        shares = max(1, ceil(UNITS / (batch * panels)))
        return replace(
            chosen,
            lanes_packing=Packing.KEPT,
            strips_per_unit=_strips(chosen, max(1, ceil(strips / shares))),
        )
    if packing is Packing.SHARED and splits == 1 and _is_own(sides, chosen, size):
        parts = max(1, min(ceil(UNITS / (batch * panels)), strips // OWN_STRIPS))
        return replace(
            chosen, lanes_packing=Packing.OWN, strips_per_unit=max(ceil(strips / parts), 1)
        )
    wanted = max(1, ceil(UNITS / (batch * splits)))
    per_strip = _strips(chosen, max(strips // wanted, 4 if strips >= 16 else 1))
    if splits > 1 or (batch >= UNITS // 4 and chosen.lines_packing is Packing.DIRECT):
        per_strip = max(strips, 1)
    blocks = ceil(strips / per_strip)
    per_panel = panels
    if blocks * batch * splits < UNITS // 2:
        per_panel = ceil(panels / ceil(UNITS / 2 / max(blocks * batch * splits, 1)))
    if chosen.block is not None and splits == 1:
        per_panel = min(
            per_panel, SUMS_BYTES // (chosen.lines.size * chosen.lanes.size * size * per_strip)
        )
    if packing is Packing.SHARED and (blocks == 1 or splits > 1):
        packing = Packing.OWN
        per_panel = min(per_panel, OWN_PANELS)
    return replace(
        chosen,
        lanes_packing=packing,
        strips_per_unit=per_strip,
        panels_per_unit=max(per_panel, 1),
    )


def _has_panels(sides: Sides, lanes: Tiling) -> bool:
    """Whether there are panels enough for one thread alone to need each."""
    batch = prod(estimated(axis) for axis in sides.nest.batch if sides.lane.moves(axis))
    return batch * _total(lanes) >= UNITS // 4


def _is_own(sides: Sides, chosen: Plan, size: int) -> bool:
    """Whether a thread packs a panel and goes through all strips with it: a panel is not kept.

    Written for all threads, panels that the caches do not hold would go to memory and back.
    """
    if chosen.lines_packing is not Packing.DIRECT or not _has_panels(sides, chosen.lanes):
        return False
    if any(not sides.lane.moves(axis) for axis in sides.nest.batch):
        return False  # it would be packed for each
    sums = _total(chosen.lines) * chosen.lines.size * chosen.lanes.size * size
    return chosen.block is None or sums <= SUMS_BYTES


def _strips(chosen: Plan, wanted: int) -> int:
    """Strips of a unit: no more than are packed together."""
    strips = max(_total(chosen.lines), 1)
    if chosen.lines_packing is Packing.OWN:
        strips = max(1, min(strips, LINES_PACKED // chosen.lines.size))
    return min(strips, wanted)


def _unknown(sides: Sides, chosen: Plan) -> Plan:
    """A plan whose scratch memory does not depend on sizes."""
    packing = chosen.lanes_packing
    if packing is Packing.SHARED:
        packing = Packing.OWN
    if sides.known:  # but for the batch
        panels = min(max(_total(chosen.lanes), 1), OWN_PANELS)
        strips = _strips(chosen, max(_total(chosen.lines), 1))
        tile_bytes = chosen.lines.size * chosen.lanes.size * 8
        if chosen.block is not None:
            panels = max(1, min(panels, SUMS_BYTES // (tile_bytes * strips)))
        return replace(
            chosen, lanes_packing=packing, strips_per_unit=strips, panels_per_unit=panels
        )
    return replace(chosen, lanes_packing=packing, strips_per_unit=12, panels_per_unit=4)


def _splits(nest: Contraction, tiles: int) -> int:
    """Parts of the depth: only where there are few tiles and much depth."""
    if not nest.depth or not all(isinstance(a.extent, int) for a in (*nest.depth, *nest.batch)):
        return 1
    if not all(isinstance(a.extent, int) for a in (*nest.rows, *nest.cols)):
        return 1
    depth = prod(estimated(axis) for axis in nest.depth)
    outer = estimated(nest.depth[0])
    if tiles >= UNITS // 2 or depth < 2048:
        return 1
    steps = ceil(outer / max(1, min(outer, 16, depth // 512)))
    return ceil(outer / steps)  # none of them empty


def _block(nest: Contraction, chosen: Plan, splits: int) -> tuple[int, int] | None:
    depth = prod(estimated(axis) for axis in nest.depth)
    unknown = not all(isinstance(axis.extent, int) for axis in nest.depth)
    packed = chosen.lanes_packing is not Packing.DIRECT
    if chosen.dot or not (unknown or depth // splits > DEEP):
        return None
    if not packed and chosen.lines_packing is Packing.DIRECT and not unknown:
        return None
    if unknown:
        return len(nest.depth) - 1, BLOCK
    inner = 1
    for number in range(len(nest.depth) - 1, -1, -1):
        extent = estimated(nest.depth[number])
        if inner * extent > BLOCK or number == 0:
            pieces = ceil(extent / max(1, BLOCK * 3 // 2 // inner))
            return number, ceil(extent / pieces)
        inner *= extent
    return None
