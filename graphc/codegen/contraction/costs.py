"""What plans of a contraction cost, in cycles of one core, and what of it is packed.

The figures were measured on a core with two 512-bit multipliers; only their ratios matter.
"""

from collections.abc import Iterable, Sequence
from math import ceil, prod

from graphc.codegen.contraction.halo import MOST_STRIDE, copied_rows
from graphc.codegen.contraction.operands import Operand, estimated, fixed
from graphc.codegen.contraction.pairs import PER
from graphc.codegen.contraction.plans import (
    CACHE_LINE,
    Packing,
    Plan,
    Sides,
    Tiling,
    contiguous,
    tiles_of,
)
from graphc.kernel import Axis, Contraction, InRange
from graphc.sizes import Int, Symbol, coefficient

LATENCY = 4  # cycles until a sum can be added to again
FAR_LOAD = 2.0  # cycles for a vector from the second-level cache
FAR_ROW = 2.5  # the same where rows push each other out of the first-level cache
FAR_ELEMENTS = 256 * 1024  # of an operand that the second-level cache does not hold
WAYS = 10  # rows at the same place of the first-level cache that it holds beside others
LONG_PIECE = 512  # elements from which a piece of memory is fetched ahead
FAR_PIECE = 250.0  # cycles to wait for a shorter one
FAR_STORE = 8.0  # cycles to write an element whose neighbours push it out of the first-level cache
FAR_PANEL = 2.0  # cycles to write an element of a panel to memory and to read it again
UNUSED_LINE = 1.0  # cycles for a line of the cache of which little is used
ALIASED_LINE = 3.0  # and for one that others push out of it
MASKING = 3.0  # cycles to find out which lanes exist
BLOCK = 256  # depth of one cut
PANEL_BYTES = 256 * 1024  # a matrix read in place should stay in the second-level cache
PANEL_IN_CACHE = 96 * 1024 - 1  # a panel that is streamed for each strip
STRIP_BYTES = 32 * 1024  # the lines of a tile read in place should stay in the first
HALO_ELEMENTS = 128 * 1024  # of a copy that stays in the second-level cache
UNITS = 32  # shares of work wanted: enough to divide evenly among threads
TURNED_RUN = 4  # lines side by side in memory for which a tile is turned over


def vector_plan(
    sides: Sides, lanes: Tiling, lines: Tiling, width: int, direct: bool, packed: bool
) -> Plan:
    """A plan whose lanes are loaded as vectors: ``direct`` from memory, or from packed panels."""
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
    for size, strips in ((lines.size, tiles_of(lines)),) if packed else lines.sizes:
        for vectors, panels in _vector_counts(lanes, width, whole, inner):
            loads = max((size + vectors * load) / 2, vectors * stream)
            if not packed and size > WAYS and _any_aliases(sides.line, lines):
                loads = max(loads, size * FAR_ROW)
            step = max(size * vectors / 2, loads, LATENCY) + masked
            cycles += strips * panels * (step * depth * done + 20 + size * vectors)
    if direct and _span(sides.lane, sides.nest.depth) * 4 > PANEL_BYTES and tiles_of(lines) > 2:
        cycles *= 1.5
    if direct and sides.nest.depth and any(map(sides.lane_aliases, sides.nest.depth)):
        cycles *= 1.5
    if lanes.size * min(depth, BLOCK) * 4 > PANEL_IN_CACHE:
        cycles *= 1.15
    if not packed and tiles_of(lanes) > 2:
        if _distinct(sides.line, (*lines.pairs, *sides.depth_pairs)) * 4 > STRIP_BYTES:
            cycles *= 1.12
        aliased = [n for axis, n in lines.pairs if _aliases(sides.line.stride(axis.name))]
        if any(8 < n <= WAYS for n in aliased):
            cycles *= 1.3
    if not packed:
        waiting = _far_pieces(sides, lines) * FAR_PIECE + _unused(sides, lines)
        cycles += tiles_of(lines) * tiles_of(lanes) * waiting
    if not direct:
        elements = tiles_of(lanes) * lanes.size * depth
        cost = pack_cost(sides.lane, lanes.axes[-1], sides.nest)
        if elements > FAR_ELEMENTS and (packed or not has_panels(sides, lanes)):
            cost += FAR_PANEL
        cycles += elements * cost
    if packed:
        run = next((axis for axis, step in reversed(lines.pairs) if step > 1), None)
        cycles += tiles_of(lines) * lines.size * depth * pack_cost(sides.line, run, sides.nest)
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


def _vector_counts(
    lanes: Tiling, width: int, whole: int, inner: int | None
) -> tuple[tuple[int, int], ...]:
    """(vectors, how many panels): the last panel of a row may need fewer."""
    total = tiles_of(lanes)
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
    out = contiguous(sides.nest)
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


def dot_plan(sides: Sides, lines: Tiling, lanes: Tiling, width: int) -> Plan:
    """A plan whose sums run along vectors: the depth fills them; lanes are added at the end."""
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


def has_panels(sides: Sides, lanes: Tiling) -> bool:
    """Whether there are panels enough for one thread alone to need each."""
    batch = prod(estimated(axis) for axis in sides.nest.batch if sides.lane.moves(axis))
    return batch * tiles_of(lanes) >= UNITS // 4
