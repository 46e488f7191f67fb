"""Packing: strips and panels copied into rows, one for each step of the depth."""

from collections.abc import Sequence

from graphc.codegen.contraction.costs import run_of
from graphc.codegen.contraction.frame import Frame
from graphc.codegen.contraction.halo import Halo
from graphc.codegen.contraction.operands import Operand, offset
from graphc.codegen.contraction.pairs import PER
from graphc.codegen.contraction.plans import Tiling
from graphc.codegen.contraction.views import HaloView, Loop, PackView
from graphc.dtypes import bfloat16, float32
from graphc.kernel import Axis, Divisible, Index, InRange
from graphc.sizes import Int, product, substitute, symbol

FAR_APART = 256  # elements between pieces of memory from which no hardware foresees the next
FETCHED = 1024  # elements that are fetched ahead

_HOW = {"copy": "copied in runs", "across": "transposed", "points": "computed point by point"}


def pack(frame: Frame, side: Operand, tiling: Tiling, to: str, whole: bool) -> PackView:
    """How a strip or panel is packed: a block of the depth, or the ``whole`` of it."""
    run, render = _run(tiling), frame.render
    how = _how(frame, side, tiling, run, whole)
    what = "lines" if tiling is frame.plan.lines else "lanes"
    each = "step" if frame.pairs is None else "pair of steps"
    comment = f"{tiling.size} {what} for each {each} of the depth, {_HOW[how]}"
    first = 0 if whole else frame.cut
    begin: Int = 0 if whole or not frame.nest.depth else frame.block_begin
    loops = _loops(frame, first, whole)
    groups = tuple(
        Loop(f"{axis.name}_in", "0", frame.up_to(axis, step))
        for axis, step in tiling.pairs
        if step > 1
    )
    view = PackView(
        how=how,
        comment=comment,
        kind=frame.factor,
        source_kind=render.dialect.storage(frame.stored(side)),
        zero=_zero(frame.factor),
        converted="" if frame.stored(side).short == frame.multiplied else f"_from_{side.stored}",
        vector=frame.factors,
        width=frame.width,
        per=frame.per,
        second=_second(frame),
        both="both" if frame.pairs is not None and frame.pairs.odd else "true",
        size=tiling.size * frame.per,
        to=to,
        loops=loops,
        at=render.operand(frame.flat(first, begin)),
        groups=groups,
        element=render.integer(frame.element(tiling) * frame.per),
        ragged=tiling.ragged is not None,
    )
    if how == "points" or run is None:
        return _points(frame, side, tiling, view)
    axis, step = run
    row = substitute(frame.element(tiling) * frame.per, {f"{axis.name}_in": 0})
    depth = frame.nest.depth
    index = side.base + offset(side, {a.name: symbol(a.name) for a in frame.nest.batch})
    for other, steps in tiling.pairs:
        place = frame.starts(tiling)[other.name]
        if steps > 1 and other is not axis:
            place = place + symbol(f"{other.name}_in")
        index = index + side.step(other.name) * place
    if how == "across":
        return _across(frame, side, view, run, row, index, whole)
    index = index + offset(side, {a.name: symbol(a.name) for a in depth})
    seconds = ""
    if frame.pairs is not None:
        apart = (frame.pairs.second - frame.pairs.first) * side.pair
        seconds = f"from + {render.operand(apart)}"
    return _with(
        view,
        **_fetched(side, depth[-1:], step),
        element=render.integer(row),
        source=frame.pointer(side, index),
        loaded=render.dialect.loaded("from[i]", frame.stored(side)),
        other=seconds,
        run=step,
        valid=frame.up_to(axis, step),
    )


def _fetched(side: Operand, around: Sequence[Axis], piece: Int) -> dict[str, str]:
    """What is fetched ahead of the innermost loop around a piece of memory."""
    step = side.stride(around[-1].name) if around else 0
    if not isinstance(step, int) or not isinstance(piece, int) or abs(step) < FAR_APART:
        return {}
    steps = max(1, -(-FETCHED // piece))
    return {"ahead": str(step * steps), "piece": str(piece)}


def _zero(kind: str) -> str:
    return f"({kind}){{0}}" if kind.startswith("gc_") else "0"


def _with(view: PackView, **changes: object) -> PackView:
    values = {name: getattr(view, name) for name in PackView.__dataclass_fields__}
    return PackView(**{**values, **changes})


def _run(tiling: Tiling) -> tuple[Axis, int] | None:
    """The innermost axis of which a tile has several steps."""
    return next(((axis, step) for axis, step in reversed(tiling.pairs) if step > 1), None)


def _how(
    frame: Frame, side: Operand, tiling: Tiling, run: tuple[Axis, int] | None, whole: bool
) -> str:
    if side.strides is None or side.masked or run is None:
        return "points"
    axis, step = run
    if side.stride(axis.name) == 1:
        return "copy"
    _, inner, direction = _run_on(frame, side, 0 if whole else frame.cut)
    known = inner // frame.per if isinstance(inner, int) else frame.width
    if inner == frame.per or known < frame.width // 2:
        return "points"  # too short to be transposed by whole vectors
    # A transposed group writes whole vectors: what it writes beyond its own lines must be the
    # next row that is written, not another group of this one.
    ends = step == tiling.size and direction == 1
    return "across" if ends or step % frame.width == 0 else "points"


def _run_on(frame: Frame, side: Operand, first: int) -> tuple[int, Int, int]:
    """The depth axes, from a number on, that are one walk; its elements, and its direction."""
    depth = frame.nest.depth[first:]
    count, direction = run_of(side, depth, frame.per)
    if count and frame.pairs is not None and frame.pairs.odd:
        # Behind it lies what belongs to no pair.
        return len(frame.nest.depth) - 1, frame.pairs.single.extent, direction
    inner = product(axis.extent for axis in depth[len(depth) - count :])
    return len(frame.nest.depth) - count, inner * frame.per, direction


def _second(frame: Frame) -> tuple[str, ...]:
    """Lines that tell which step of the depth has the second element of a pair.

    Where there is none, it is the first one's: what is read there exists.
    """
    pairs, render = frame.pairs, frame.render
    if pairs is None or not pairs.odd:
        return ()
    first, last = pairs.first, pairs.single.extent - 1
    return (
        f"const int64_t {render.integer(pairs.second)} = "
        f"gc_least({render.integer(first + 1)}, {render.integer(last)});",
        f"const bool both = {render.integer(pairs.second)} > {render.integer(first)};",
    )


def _loops(frame: Frame, first: int, whole: bool) -> tuple[Loop, ...]:
    loops = []
    for number, axis in enumerate(frame.nest.depth[first:]):
        low, high = "0", frame.render.integer(axis.extent)
        if number == 0 and not whole:
            low, high = frame.range
        loops.append(Loop(frame.render.identifier(axis.name), low, high))
    return tuple(loops)


def _points(frame: Frame, side: Operand, tiling: Tiling, view: PackView) -> PackView:
    decode = []
    for axis, step in tiling.pairs:
        if step > 1:
            place = symbol(f"{axis.name}_from") + symbol(f"{axis.name}_in")
            name = frame.render.identifier(axis.name)
            decode.append(f"const int64_t {name} = {frame.render.integer(place)};")
    elements = [(side.body, side.expr)] if frame.pairs is None else frame.pairs.elements(side)
    kind = float32 if frame.pairs is None else bfloat16
    points = [(frame.statements.lines(x), frame.render.narrowed(y, kind)) for x, y in elements]
    return _with(
        view,
        decode=tuple(decode),
        points=tuple(points),
        simd=not any(isinstance(statement, Index) for statement in side.body),
    )


def _across(
    frame: Frame,
    side: Operand,
    view: PackView,
    run: tuple[Axis, int],
    row: Int,
    index: Int,
    whole: bool,
) -> PackView:
    """Transposed: the inner axes of the depth that run on in memory are one row of the source."""
    depth, render = frame.nest.depth, frame.render
    first = 0 if whole else frame.cut
    begin: Int = 0 if whole else frame.block_begin
    number, inner, direction = _run_on(frame, side, first)
    gone: dict[str, Int] = {axis.name: 0 for axis in depth[number:]}
    count = render.integer(inner)
    if number == first:
        gone[depth[first].name] = begin
        index = index + side.step(depth[first].name) * begin
        low, high = (view.loops[0].begin, view.loops[0].end)
        each = product(axis.extent for axis in depth[first + 1 :]) * frame.per
        if frame.pairs is not None and frame.pairs.odd:
            count = f"gc_least({high}*{PER}, {count})"
            count = count if low == "0" else f"{count} - {low}*{PER}"
        else:
            count = high if low == "0" else f"({high} - {low})"
            count = count if each == 1 else f"{count}*{render.operand(each)}"
    index = index + offset(side, {axis.name: symbol(axis.name) for axis in depth[:number]})
    axis, step = run
    source, element = frame.pointer(side, index), render.integer(row)
    if direction == -1:  # the first in memory belongs to the last row
        source = f"{source} - ({count} - 1)"
        element = f"({count} - 1)*{view.size} + {element}"
    apart = side.step(axis.name)
    return _with(
        view,
        **(_fetched(side, depth[first:number], step * apart) if apart == inner else {}),
        loops=view.loops[: number - first],
        at=render.operand(substitute(frame.flat(first, begin), gone)),
        element=element,
        source=source,
        run=step,
        valid=frame.up_to(axis, step),
        stride=render.integer(apart),
        count=count,
        pitch=direction * view.size,
    )


# ------------------------------------------------------------------------------------------ halo


def halo_view(frame: Frame, of: Halo, start: str) -> HaloView:
    """The copy with zeros around it."""
    render = frame.render
    entries = [(render.identifier(axis.name), axis.extent, 1) for axis, _, _ in of.axes]
    source: Int = of.base
    target: Int = 0
    for axis, stride, pitch in of.axes:
        source = source + stride * symbol(axis.name)
        target = target + pitch * symbol(axis.name)
    loops, conditions = [], []
    row, source_row = target - target, source - source
    for number, dim in enumerate(of.dims[:-1]):
        var = f"edge{number}"
        place = symbol(var) + dim.low
        loops.append(Loop(var, "0", str(dim.size)))
        row = row + symbol(var) * dim.pitch
        source_row = source_row + place // dim.step * dim.stride
        conditions.append(render.condition(InRange(place, dim.limit)))
        if dim.step > 1:
            conditions.append(render.condition(Divisible(place, dim.step)))
    last = of.dims[-1]
    assert of.operand.load is not None
    sizes = " x ".join(str(dim.size) for dim in of.dims)
    return HaloView(
        comment=f"{of.source.buffer} with zeros around it: planes of {sizes}",
        kind=render.dialect.storage(frame.stored(of.operand)),
        zero=_zero(render.dialect.storage(frame.stored(of.operand))),
        buffer=render.identifier(of.operand.load.buffer),
        start=start,
        each=frame.number(frame.batch(of.of_each)) if of.of_each else "",
        planes=render.integer(product(axis.extent for axis, _, _ in of.axes)),
        decode=frame.decode("plane", entries),
        to=render.integer(target),
        source=f"{render.identifier(of.source.buffer)} + {render.operand(source)}",
        loops=tuple(loops),
        inside=" && ".join(conditions) or "true",
        row=render.integer(row),
        source_row=render.integer(source_row),
        size=last.size,
        before=-last.low,
        valid=-(-last.limit // last.step),
        step=last.step,
        stride=last.stride,
    )
