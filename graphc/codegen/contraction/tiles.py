"""Tile functions: the loops over a block of the depth, with their sums in registers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from graphc.codegen.contraction.frame import Frame
from graphc.codegen.contraction.operands import Operand, fixed, offset
from graphc.codegen.contraction.pairs import PER
from graphc.codegen.contraction.plans import Packing, Tiling
from graphc.codegen.contraction.views import Loop, TileCall, TileView
from graphc.kernel import Axis, Condition, Divisible, InRange
from graphc.sizes import Int, coefficient, product, substitute, symbol, symbols


@dataclass(frozen=True)
class Loads:
    """How the vectors of a panel are loaded; ``used`` are index expressions in the texts."""

    texts: tuple[str, ...]
    places: tuple[str, ...]
    before: tuple[str, ...] = ()
    skips: tuple[tuple[str, str], ...] = ()
    used: tuple[Int, ...] = ()


def tiles(
    frame: Frame, comment: str, packed_lines: str, packed_lanes: str
) -> tuple[tuple[TileView, ...], tuple[TileCall, ...]]:
    """A function for each size of tile that occurs, and the calls that choose among them.

    ``packed_lines`` and ``packed_lanes`` point to the strip and panel that were packed.
    """
    chosen = frame.plan
    line_cases = [(chosen.lines.size, "")]
    if frame.direct_lines:
        line_cases = _cases(frame, chosen.lines)
    lane_cases = [(chosen.lanes.size, "")]
    if chosen.dot or chosen.lanes.short:
        lane_cases = _cases(frame, chosen.lanes)
    views, calls = [], []
    for lines, of_lines in line_cases:
        for lanes, of_lanes in lane_cases:
            view, arguments = _tile(frame, comment, lines, lanes)
            pointers = [
                _pointer(frame, frame.sides.line, chosen.lines, packed_lines, chosen.lines_packing),
                _pointer(frame, frame.sides.lane, chosen.lanes, packed_lanes, chosen.lanes_packing),
            ]
            views.append(view)
            condition = " && ".join(text for text in (of_lines, of_lanes) if text)
            text = f"{view.name}({', '.join([*pointers, 'sums', *arguments])});"
            calls.append(TileCall(condition, text))
    return tuple(views), tuple(calls)


def _cases(frame: Frame, tiling: Tiling) -> list[tuple[int, str]]:
    """Whole tiles where they fit, then short ones: (size, condition)."""
    number = tiling.ragged
    if number is None:
        return [(tiling.size, "")]
    axis, step = tiling.pairs[number]
    extent = fixed(axis) or 0
    if extent < step:
        return [(tiling.short, "")]
    return [(tiling.size, f"{frame.begin(axis)} + {step} <= {extent}"), (tiling.short, "")]


def _pointer(frame: Frame, side: Operand, tiling: Tiling, packed: str, packing: Packing) -> str:
    depth = frame.nest.depth
    if packing is Packing.DIRECT:
        return frame.pointer(side, frame.address(side, tiling, depth[: frame.cut]))
    if packing is not Packing.SHARED or not depth:
        return packed
    # A panel packed whole is entered at the block.
    place: dict[str, Int] = {axis.name: 0 for axis in depth[frame.cut + 1 :]}
    place[depth[frame.cut].name] = frame.block_begin
    at = substitute(frame.flat(0, 0), place) * (tiling.size * frame.per)
    return f"{packed} + {frame.render.operand(at)}"


def _tile(frame: Frame, comment: str, lines: int, lanes: int) -> tuple[TileView, list[str]]:
    chosen, render, per = frame.plan, frame.render, frame.per
    depth = frame.nest.depth[frame.cut :]
    flat = bool(depth) and not frame.direct_lines and not frame.direct_lanes
    loads = _dot_loads(frame, lanes) if chosen.dot else _loads(frame, lanes)
    loops, place, number = _line_loops(frame, lines)
    line_at = _offset(frame, frame.sides.line, frame.direct_lines, chosen.lines.size)
    lane_at = _offset(frame, frame.sides.lane, frame.direct_lanes, chosen.lanes.size)
    params, arguments = _steps(frame) if flat else _range(frame)
    skips, tested = dict(loads.skips), _tested(frame)
    for name, text in tested.skips:
        skips[name] = f"{skips[name]} && {text}" if name in skips else text
    used: tuple[Int, ...] = (*loads.used, *tested.used)
    if frame.direct_lines:  # else it is the number of a line, which an axis may share its name with
        used += (place,)
    if not flat:
        used += (line_at, lane_at, *(axis.extent for axis in depth))
    local = {a.name for a in depth} | {f"{a.name}_in" for a in chosen.lines.axes}
    names = {render.identifier(s.name) for value in used for s in symbols(value)}
    names -= {render.identifier(name) for name in local} | set(params)
    params += sorted(names)
    arguments += sorted(names)
    signature = [f"const {frame.factor} *restrict lines", f"const {frame.factor} *restrict lanes"]
    signature += [f"{frame.kind} *restrict sums", *(f"int64_t {name}" for name in params)]
    if chosen.block:
        signature.append("bool fresh")
        arguments.append("fresh")
    view = TileView(
        name=f"{frame.name}_{lines}x{lanes}",
        comment=f"{lines} lines by {lanes} lanes of {comment}",
        dot=chosen.dot,
        kind=frame.kind,
        factor=frame.factor,
        vector=frame.vector,
        factors=frame.factors,
        pairs=frame.pairs is not None,
        width=frame.width,
        lines=lines,
        across=len(loads.texts),
        row=chosen.lanes.size,
        params=tuple(signature),
        loops=(Loop("step", "0", "steps"),) if flat else _depth_loops(frame, skips),
        line_offset=f"step*{chosen.lines.size * per}" if flat else render.integer(line_at),
        lane_offset=f"step*{chosen.lanes.size * per}" if flat else render.integer(lane_at),
        line_loops=loops,
        line_place=render.integer(place),
        line_number=render.integer(number),
        before_loads=loads.before,
        loads=loads.texts,
        places=loads.places,
        resumed=chosen.block is not None,
        remainder=_remainder(frame) if chosen.dot else "",
    )
    return view, arguments


def _steps(frame: Frame) -> tuple[list[str], list[str]]:
    """Where both sides are packed, a block is a single loop."""
    begin, end = frame.range
    inner = product(axis.extent for axis in frame.nest.depth[frame.cut + 1 :])
    span = f"({end} - {begin})"
    return ["steps"], [span if inner == 1 else f"{span}*{frame.render.operand(inner)}"]


def _range(frame: Frame) -> tuple[list[str], list[str]]:
    if not frame.nest.depth:
        return [], []
    return [*frame.range], [*frame.range]


def _offset(frame: Frame, side: Operand, direct: bool, size: int) -> Int:
    """Where a step of the depth lies behind the pointer that a tile is given."""
    depth = frame.nest.depth
    if not depth:
        return 0
    if direct:
        return offset(side, {axis.name: symbol(axis.name) for axis in depth[frame.cut :]})
    return frame.flat(frame.cut, frame.block_begin) * (size * frame.per)


def _depth_loops(frame: Frame, skips: dict[str, str]) -> tuple[Loop, ...]:
    loops = []
    for number, axis in enumerate(frame.nest.depth[frame.cut :]):
        begin, end = "0", frame.render.integer(axis.extent)
        if number == 0:
            begin, end = frame.range
        name = frame.render.identifier(axis.name)
        loops.append(Loop(name, begin, end, skips.get(axis.name, "")))
    if frame.plan.dot and frame.pairs is not None and frame.pairs.odd:
        # Whole vectors end before the pair that is half empty.
        whole = frame.render.integer(frame.pairs.single.extent // PER)
        loops[-1] = replace(loops[-1], end=f"gc_least({loops[-1].end}, {whole})")
    return tuple(loops)


def _remainder(frame: Frame) -> str:
    """Elements of the last depth axis that do not fill a vector."""
    axis, pairs = frame.nest.depth[-1], frame.pairs
    if len(frame.nest.depth) > 1:
        extent = fixed(axis if pairs is None else pairs.single) or 0
        rest = extent % (frame.width * frame.per)
        return str(rest) if rest else ""
    begin, end = frame.range  # blocks and splits cut it
    if pairs is None:
        return f"({end} - {begin}) % {frame.width}"
    at = frame.render.identifier(axis.name)
    if not pairs.odd:
        return f"({end} - {at})*{PER}"
    last = frame.render.integer(pairs.single.extent)
    return f"gc_least({end}*{PER}, {last}) - {at}*{PER}"


def _line_loops(frame: Frame, lines: int) -> tuple[tuple[Loop, ...], Int, Int]:
    """Loops over a tile's lines, with the place in memory and the number of each."""
    tiling = frame.plan.lines
    if not frame.direct_lines:
        return (Loop("i", "0", str(lines)),), symbol("i") * frame.per, symbol("i")
    loops = []
    place: Int = 0
    number: Int = 0
    for (axis, step), count in zip(tiling.pairs, _counts(tiling, lines), strict=True):
        if step == 1:
            continue
        var = f"{axis.name}_in"
        loops.append(Loop(var, "0", str(count)))
        place = place + frame.sides.line.step(axis.name) * symbol(var)
        number = number * step + symbol(var)
    return tuple(loops), place, number


def _counts(tiling: Tiling, size: int) -> list[int]:
    """Steps of each axis in a tile of a size: whole, or cut short."""
    ragged = tiling.ragged if size != tiling.size else None
    return [
        (fixed(axis) or 0) % step if at == ragged else step
        for at, (axis, step) in enumerate(tiling.pairs)
    ]


# ---------------------------------------------------------------------------------------- lanes


def _loads(frame: Frame, lanes: int) -> Loads:
    """The vectors of a panel: runs along the last axis, or over several rows of it."""
    tiling, width, render = frame.plan.lanes, frame.width, frame.render
    repeats = tiling.repeats
    along = tiling.size // repeats
    count = tiling.last_run if tiling.pitch else lanes // repeats
    repeated = tiling.pairs[: -2 if tiling.pitch else -1]
    outer = next((axis for axis, step in repeated if step > 1), None)
    bounded = _masks(frame) if frame.direct_lanes else Loads((), ())
    texts, places = [], []
    for repeat in range(repeats):
        shift: Int = 0
        if outer is not None:
            shift = frame.sides.lane.step(outer.name) * repeat
        for start in range(0, count, width):
            place = repeat * along + start
            places.append(str(place))
            at = render.integer(shift + start) if frame.direct_lanes else str(place * frame.per)
            pointer = "lane" if at == "0" else f"lane + {at}"
            if bounded.before:
                low = "low" if start == 0 else f"low - {start}"
                high = "high" if start == 0 else f"high - {start}"
                texts.append(f"gc_load_between_{frame.vector}({pointer}, {low}, {high})")
            elif frame.direct_lanes and count - start < width:
                texts.append(f"gc_load_between_{frame.vector}({pointer}, 0, {count - start})")
            else:
                texts.append(f"gc_load_{frame.factors}({pointer})")
    return Loads(tuple(texts), tuple(places), bounded.before, bounded.skips, bounded.used)


def _masks(frame: Frame) -> Loads:
    """Conditions of lanes read in place: steps to skip, and the range of valid lanes."""
    load, tiling = frame.sides.lane.load, frame.plan.lanes
    if load is None or not load.mask:
        return Loads((), ())
    axis, step = tiling.pairs[-1]
    skips, used = _skips(frame, tiling, [c for c in load.mask if not _bounds(c, axis)])
    lows, highs = [], []
    for condition in load.mask:
        moved = _moved(condition, frame.starts(tiling))
        if isinstance(moved, InRange) and _bounds(condition, axis):
            used += [moved.index, moved.limit]
            lows.append(frame.render.integer(0 - moved.index))
            highs.append(frame.render.integer(moved.limit - moved.index))
    before: tuple[str, ...] = ()
    if lows:
        if (fixed(axis) or 0) % step:  # lanes beyond the axis are not read either
            highs.append(f"{frame.render.integer(axis.extent)} - {frame.begin(axis)}")
            used.append(symbol(f"{axis.name}_from"))
        before = (
            f"const int64_t low = {_fold('gc_most', lows)};",
            f"const int64_t high = {_fold('gc_least', highs)};",
        )
    return Loads((), (), before, skips, tuple(used))


def _bounds(condition: Condition, axis: Axis) -> bool:
    return isinstance(condition, InRange) and coefficient(condition.index, axis.name) != 0


def _tested(frame: Frame) -> Loads:
    """Conditions of lines read in place: steps to skip."""
    load = frame.sides.line.load
    if load is None or not frame.direct_lines:
        return Loads((), ())
    skips, used = _skips(frame, frame.plan.lines, load.mask)
    return Loads((), (), (), skips, tuple(used))


def _skips(
    frame: Frame, tiling: Tiling, conditions: Sequence[Condition]
) -> tuple[tuple[tuple[str, str], ...], list[Int]]:
    """Where the steps of a depth axis are skipped for a whole tile, and what the tests mention."""
    depth = [a.name for a in frame.nest.depth[frame.cut :]]
    skips: dict[str, list[str]] = {}
    used: list[Int] = []
    for condition in conditions:
        moved = _moved(condition, frame.starts(tiling))
        used += [moved.index, moved.limit if isinstance(moved, InRange) else moved.by]
        text = frame.render.condition(moved)
        if text != "true":
            names = {s.name for s in symbols(moved.index)}
            last = next((name for name in reversed(depth) if name in names), depth[-1])
            skips.setdefault(last, []).append(text)
    return tuple((name, " && ".join(texts)) for name, texts in skips.items()), used


def _moved(condition: Condition, starts: dict[str, Int]) -> Condition:
    index = substitute(condition.index, starts)
    if isinstance(condition, Divisible):
        return Divisible(index, condition.by)
    return InRange(index, condition.limit)


def _fold(function: str, texts: Sequence[str]) -> str:
    result = texts[0]
    for text in texts[1:]:
        result = f"{function}({result}, {text})"
    return result


def _dot_loads(frame: Frame, lanes: int) -> Loads:
    """Pointers to the lanes of a dot tile: each is a run along the depth."""
    tiling = frame.plan.lanes
    counts = _counts(tiling, lanes)
    pointers, places = [], []
    for number in range(prod(counts)):
        rest, place, scale = number, 0, 1
        total: Int = 0
        for (axis, step), count in zip(reversed(tiling.pairs), reversed(counts), strict=True):
            rest, digit = divmod(rest, count)
            total = total + frame.sides.lane.step(axis.name) * digit
            place += digit * scale
            scale *= step
        pointers.append("lane" if total == 0 else f"lane + {frame.render.integer(total)}")
        places.append(str(place))
    return Loads(tuple(pointers), tuple(places))
