"""The loops around the tile functions, and the epilogue.

The shape of the generated code::

    [a copy with zeros around it, barrier]
    [all threads pack the lanes, barrier]
    for unit in my share:                     # batch x split x strips x panels
        [or: a copy of what this point of the batch needs]
        for block of the depth:
            [pack the lines of the unit]  [pack the lanes of the unit]
            for panel, for strip:  tile(...)  # a function: sums in registers
        epilogue of each tile
    [barrier; for tile in my share: join the splits in order, epilogue]

What each thread does depends on their number, what is computed does not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from graphc.codegen.contraction.costs import transposed
from graphc.codegen.contraction.frame import Entry, Frame, decoded
from graphc.codegen.contraction.operands import fixed, in_phase, loaded, phase_with, run_on
from graphc.codegen.contraction.packing import halo_view, pack
from graphc.codegen.contraction.plans import SERIAL_WORK, Packing, Tiling
from graphc.codegen.contraction.tiles import tiles
from graphc.codegen.contraction.views import (
    ContractionView,
    EpilogueView,
    HaloView,
    Loop,
    PackView,
    PlainView,
)
from graphc.codegen.statements import Statements
from graphc.kernel import Axis, Contraction, Index
from graphc.sizes import Int, product, substitute, symbol

_FLOATS = ("f32", "f64", "f16", "bf16")
_ALIGNED = 64
_PLACES = {
    Packing.DIRECT: "read in place",
    Packing.OWN: "packed by each thread",
    Packing.KEPT: "packed by each thread",
    Packing.SHARED: "packed once",
}


def view(nest: Contraction, statements: Statements, name: str) -> ContractionView | PlainView:
    """What the template ``<view.template>.j2`` prints for a contraction.

    ``name`` begins the names of the tile functions. Raises ValueError when the epilogue holds
    loops or reductions.
    """
    epilogue = nest.epilogue
    if epilogue.axes or epilogue.reductions or epilogue.finals or epilogue.final_stores:
        raise ValueError("the epilogue of a contraction is straight-line code and stores")
    axes = (*nest.batch, *nest.rows, *nest.cols, *nest.depth)
    if nest.dtype.short not in _FLOATS or any(axis.extent == 0 for axis in axes):
        return _plain(nest, statements)
    return _Builder(Frame.of(nest, statements, name)).view()


def _serial(nest: Contraction) -> bool:
    """Whether one thread runs everything."""
    extents = [fixed(a) for a in (*nest.batch, *nest.rows, *nest.cols, *nest.depth)]
    known = [extent for extent in extents if extent is not None]
    return len(known) == len(extents) and prod(known) < SERIAL_WORK


def _plain(nest: Contraction, statements: Statements) -> PlainView:
    render = statements.expressions

    def loops(axes: Iterable[Axis]) -> tuple[Loop, ...]:
        return tuple(Loop(render.identifier(a.name), "0", render.integer(a.extent)) for a in axes)

    outer = (*nest.batch, *nest.rows)
    return PlainView(
        comments=(_shape(nest),),
        serial=_serial(nest),
        points=render.integer(product(axis.extent for axis in outer)),
        decode=decoded(render, "point", [(render.identifier(a.name), a.extent, 1) for a in outer]),
        cols=loops(nest.cols),
        depth=loops(nest.depth),
        kind=render.dialect.scalar(nest.dtype),
        accumulator=render.identifier(nest.accumulator),
        body=statements.lines((*nest.lhs_body, *nest.rhs_body)),
        value=f"{render.expression(nest.lhs)} * {render.expression(nest.rhs)}",
        epilogue=(
            *statements.lines(nest.epilogue.body),
            *statements.stores(nest.epilogue.stores),
        ),
    )


def _shape(nest: Contraction) -> str:
    def group(axes: Sequence[Axis]) -> str:
        return " ".join(f"{axis.name} {axis.extent}" for axis in axes) or "1"

    batch = f" for {group(nest.batch)}" if nest.batch else ""
    return (
        f"{nest.accumulator}[{group(nest.rows)}, {group(nest.cols)}]{batch}, sums over "
        f"{group(nest.depth)}, {nest.dtype.short}"
    )


@dataclass
class _Memory:
    """Hands out scratch memory: shared by all threads, or own of each."""

    element: int
    shared_bytes: int = 0
    own_bytes: int = 0

    def shared(self, kind: str, count: Int, slack: int = 0) -> str:
        start = self.shared_bytes
        self.shared_bytes += self._bytes(count, slack)
        return f"({kind} *)(shared + {start})"

    def own(self, kind: str, count: Int, slack: int = 0) -> str:
        start = self.own_bytes
        self.own_bytes += self._bytes(count, slack)
        return f"({kind} *)(own + {start})"

    def _bytes(self, count: Int, slack: int) -> int:
        assert isinstance(count, int)  # plans for unknown sizes pack blocks of known size
        return -(-(count + slack) * self.element // _ALIGNED) * _ALIGNED


class _Builder:
    """Puts the view of one contraction together."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.memory = _Memory(frame.element_bytes)
        plan = frame.plan
        self.strips, self.panels = plan.lines.count, plan.lanes.count
        self.tile_size = plan.lines.size * plan.lanes.size
        self.tile_entries: list[Entry] = [
            *frame.batch(frame.nest.batch),
            ("panel", self.panels, 1),
            ("strip", self.strips, 1),
        ]

    def view(self) -> ContractionView:
        frame, plan, nest = self.frame, self.frame.plan, self.frame.nest
        integer = frame.render.integer
        units = self._units()
        halo = self._halo()
        lanes, lanes_at, shared = self._lanes()
        lines, lines_at = self._lines()
        sums = self._sums()
        shape = _shape(nest)
        functions, calls = tiles(frame, shape, lines_at, lanes_at)
        return ContractionView(
            comments=(shape, self._schedule()),
            kind=frame.kind,
            serial=_serial(nest),
            halo=halo,
            shared_panels=integer(product(count for _, count, _ in shared)) if shared else "",
            shared_decode=frame.decode("packing", shared),
            units=integer(product(count for _, count, _ in units)),
            unit_decode=frame.decode("unit", units),
            strip_end=self._end("strip_begin", plan.strips_per_unit, self.strips),
            panel_end=self._end("panel_begin", plan.panels_per_unit, self.panels),
            strip_decode=frame.tile_decode("strip", plan.lines),
            panel_decode=frame.tile_decode("panel", plan.lanes),
            outer_loops=self._outer_loops(),
            block=self._block_loop(),
            block_to=frame.range[1] if nest.depth else "",
            block_step=integer(frame.block_steps),
            block_end=self._block_end(),
            blocked=plan.block is not None,
            pack_lines=lines,
            pack_lanes=lanes,
            kept=self._kept(),
            calls=calls,
            tile_size=self.tile_size,
            sums=sums,
            single=frame.single,
            maybe_empty=not frame.sides.known,
            epilogue=self._epilogue(),
            splits=plan.splits,
            tile_count=integer(product(count for _, count, _ in self.tile_entries)),
            tile_decode=frame.decode("tile", self.tile_entries),
            tiles=functions,
            shared_bytes=self.memory.shared_bytes,
            own_bytes=self.memory.own_bytes,
            includes=("gc_gemm_halves.h",) if frame.halves else ("gc_gemm.h",),
        )

    def _schedule(self) -> str:
        plan = self.frame.plan

        def tile(tiling: Tiling) -> str:
            parts = [f"{axis.name} {step}" for axis, step in tiling.pairs if step > 1]
            return f"{tiling.size} ({', '.join(parts)})" if parts else str(tiling.size)

        more = f"; depth in {plan.splits} parts, joined in order" if plan.splits > 1 else ""
        if plan.block:
            more += f"; {self.frame.nest.depth[plan.block[0]].name} in blocks of {plan.block[1]}"
        return (
            f"tile: {tile(plan.lines)} lines, {_PLACES[plan.lines_packing]}, by "
            f"{tile(plan.lanes)} lanes, {_PLACES[plan.lanes_packing]}{more}"
        )

    # --------------------------------------------------------------------------------- units

    def _units(self) -> list[Entry]:
        plan = self.frame.plan
        strips, panels = plan.strips_per_unit, plan.panels_per_unit
        by_strip: Entry = ("strip_begin", (self.strips + (strips - 1)) // strips, strips)
        by_panel: Entry = ("panel_begin", (self.panels + (panels - 1)) // panels, panels)
        kept = plan.lanes_packing is Packing.KEPT  # neighbouring units then share a panel
        return [
            *self.frame.batch(self.frame.nest.batch),
            *([("split", plan.splits, 1)] if plan.splits > 1 else []),
            *((by_panel, by_strip) if kept else (by_strip, by_panel)),
        ]

    def _end(self, begin: str, step: int, count: Int) -> str:
        if isinstance(count, int) and count <= step:
            return str(count)
        if isinstance(count, int) and count % step == 0:
            return f"{begin} + {step}"
        return f"gc_least({begin} + {step}, {self.frame.render.integer(count)})"

    # -------------------------------------------------------------------------------- memory

    def _halo(self) -> HaloView | None:
        copied = self.frame.sides.halo
        if copied is None:
            return None
        memory = self.memory.own if copied.of_each else self.memory.shared
        kind = self.frame.render.dialect.storage(self.frame.stored(copied.operand))
        start = memory(kind, copied.elements, slack=self.frame.width)
        return halo_view(self.frame, copied, start)

    def _lanes(self) -> tuple[PackView | None, str, list[Entry]]:
        """How lanes are packed, where a panel then is, and what numbers the shared panels."""
        frame, plan = self.frame, self.frame.plan
        side, tiling = frame.sides.lane, plan.lanes
        if plan.lanes_packing is Packing.DIRECT:
            return None, "", []
        if plan.lanes_packing in (Packing.OWN, Packing.KEPT):
            size = frame.block_depth * tiling.size
            count = size * plan.panels_per_unit
            start = self.memory.own(frame.factor, count, slack=frame.width)
            at = f"{start} + (panel - panel_begin)*{frame.render.operand(size * frame.per)}"
            return pack(frame, side, tiling, at, whole=False), at, []
        batch = [axis for axis in frame.nest.batch if side.moves(axis)]
        entries: list[Entry] = [*frame.batch(batch), ("panel", self.panels, 1)]
        size = product(axis.extent for axis in frame.nest.depth) * tiling.size
        count = product(count for _, count, _ in entries)
        start = self.memory.shared(frame.factor, count * size, slack=frame.width)
        at = f"{start} + {frame.number(entries)}*{frame.render.operand(size * frame.per)}"
        to = f"{start} + packing*{frame.render.operand(size * frame.per)}"
        return pack(frame, side, tiling, to, whole=True), at, entries

    def _kept(self) -> str:
        """The number of the panel that a thread keeps; "" when it keeps none."""
        frame = self.frame
        if frame.plan.lanes_packing is not Packing.KEPT:
            return ""
        batch = [axis for axis in frame.nest.batch if frame.sides.lane.moves(axis)]
        return frame.number([*frame.batch(batch), ("panel", self.panels, 1)])

    def _lines(self) -> tuple[PackView | None, str]:
        frame, plan = self.frame, self.frame.plan
        if plan.lines_packing is Packing.DIRECT:
            return None, ""
        size = frame.block_depth * plan.lines.size
        start = self.memory.own(frame.factor, size * plan.strips_per_unit, slack=frame.width)
        at = f"{start} + (strip - strip_begin)*{frame.render.operand(size * frame.per)}"
        return pack(frame, frame.sides.line, plan.lines, at, whole=False), at

    def _sums(self) -> str:
        """Where unfinished sums are kept; "" when there are none."""
        plan = self.frame.plan
        if plan.splits > 1:
            entries: list[Entry] = [("split", plan.splits, 1), *self.tile_entries]
            parts = product(n for _, n, _ in entries) * self.tile_size
            start = self.memory.shared(self.frame.kind, parts)
            return f"{start} + {self.frame.number(entries)}*{self.tile_size}"
        if plan.block:
            count = plan.strips_per_unit * plan.panels_per_unit
            start = self.memory.own(self.frame.kind, count * self.tile_size)
            return (
                f"{start} + ((panel - panel_begin)*{plan.strips_per_unit} + "
                f"(strip - strip_begin))*{self.tile_size}"
            )
        return ""

    # --------------------------------------------------------------------------------- depth

    def _outer_loops(self) -> tuple[Loop, ...]:
        """Loops over the depth axes in front of the one that is cut."""
        loops = []
        for number, axis in enumerate(self.frame.nest.depth[: self.frame.cut]):
            begin, end = self._split_range(number, axis)
            loops.append(Loop(self.frame.render.identifier(axis.name), begin, end))
        return tuple(loops)

    def _split_range(self, number: int, axis: Axis) -> tuple[str, str]:
        whole = self.frame.render.integer(axis.extent)
        if number > 0 or self.frame.plan.splits == 1:
            return "0", whole
        step = self.frame.split_steps
        return f"split*{step}", f"gc_least((split + 1)*{step}, {whole})"

    def _block_loop(self) -> Loop | None:
        """The loop over blocks of the cut axis: its variable begins a block."""
        if not self.frame.nest.depth:
            return None
        axis = self.frame.nest.depth[self.frame.cut]
        begin, end = self._split_range(self.frame.cut, axis)
        return Loop(self.frame.range[0], begin, end)

    def _block_end(self) -> str:
        loop, plan = self._block_loop(), self.frame.plan
        if loop is None:
            return ""
        if not plan.block:
            return loop.end
        extent, step = fixed(self.frame.nest.depth[self.frame.cut]), plan.block[1]
        if loop.begin == "0" and extent is not None and extent % step == 0:
            return f"{loop.var} + {step}"
        return f"gc_least({loop.var} + {step}, {loop.end})"

    # ------------------------------------------------------------------------------ epilogue

    def _epilogue(self) -> EpilogueView:
        frame, plan = self.frame, self.frame.plan
        turned = not plan.dot and transposed(frame.sides, plan.lines)
        row, rows, width = plan.lanes.size, plan.lines.size, frame.width
        turned_row = -(-rows // width) * width
        line, lane = frame.element(plan.lines), frame.element(plan.lanes)
        index = lane * turned_row + line if turned else line * row + lane
        order = (plan.lanes, plan.lines) if turned else (plan.lines, plan.lanes)
        walk = [pair for tiling in order for pair in tiling.pairs if pair[1] > 1]
        loops, places, index = self._joined(walk, index)
        phase = phase_with(frame.nest.epilogue, places)
        simd = not plan.dot and not any(isinstance(s, Index) for s in phase.body)
        return EpilogueView(
            turned=turned,
            width=width,
            row=row,
            rows=rows,
            turned_row=turned_row,
            loops=loops,
            run=self._overlapping(loops) if simd else 0,
            simd=simd,
            accumulator=frame.render.identifier(frame.nest.accumulator),
            index=frame.render.integer(index),
            lines=(
                *frame.statements.lines(phase.body),
                *frame.statements.stores(phase.stores),
            ),
        )

    def _joined(
        self, walk: list[tuple[Axis, int]], index: Int
    ) -> tuple[tuple[Loop, ...], dict[str, Int], Int]:
        """Loops over a tile; the last two become one where all that they touch runs on.

        Returns them with the places that stand for the axes, and the index of the sum.
        """
        frame = self.frame
        loops = [Loop(f"{a.name}_in", "0", frame.up_to(a, step)) for a, step in walk]
        places: dict[str, Int] = {
            a.name: symbol(f"{a.name}_from") + symbol(f"{a.name}_in") for a, _ in walk
        }
        if len(walk) < 2:
            return tuple(loops), places, index
        (outer, _), (inner, whole) = walk[-2:]
        by_axis = substitute(index, {f"{a.name}_in": symbol(a.name) for a, _ in walk})
        touched = (*in_phase(frame.nest.epilogue), by_axis)
        if fixed(inner) != whole or not run_on(touched, outer, inner):
            return tuple(loops), places, index
        end = loops[-2].end
        total = str(int(end) * whole) if end.isdigit() else f"{end}*{whole}"
        loops[-2:] = [Loop(f"{inner.name}_in", "0", total)]
        places[outer.name] = symbol(f"{outer.name}_from")
        places[inner.name] = symbol(f"{inner.name}_in")  # its only tile begins at 0
        return tuple(loops), places, substitute(index, {f"{outer.name}_in": 0})

    def _overlapping(self, loops: Sequence[Loop]) -> int:
        """The length of runs that cover the last loop, the last one overlapping; 0 for none.

        So no elements are left over for scalar code. Points are then computed twice, which
        is the same as once unless they read what they write.
        """
        phase, plan = self.frame.nest.epilogue, self.frame.plan
        written = {store.buffer for store in phase.stores}
        if not loops or any(store.combine for store in phase.stores) or written & loaded(phase):
            return 0
        end, width = loops[-1].end, self.frame.width
        if not end.isdigit():
            least = plan.lanes.short if not transposed(self.frame.sides, plan.lines) else 0
            return width if least > width and least % width and self._one_run(loops) else 0
        run = width
        while run > int(end):
            run //= 2
        return run if run >= 4 and int(end) % run else 0

    def _one_run(self, loops: Sequence[Loop]) -> bool:
        """Whether the last loop walks the only lane axis with several steps."""
        several = [axis for axis, step in self.frame.plan.lanes.pairs if step > 1]
        return len(several) == 1 and loops[-1].var == f"{several[0].name}_in"
