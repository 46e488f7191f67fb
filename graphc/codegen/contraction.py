"""A contraction as the views that its templates print: loops around register tiles.

The shape of the generated code::

    [all threads pack the lanes, barrier]
    for unit in my share:                     # batch x split x strips x panels
        for block of the depth:
            [pack lines of the unit]  [pack lanes of the unit]
            for panel, for strip:  tile(...)  # a function: sums in registers
        epilogue of each tile
    [barrier; for tile in my share: join the splits in order, epilogue]

A *strip* is one tile's worth of lines, a *panel* one tile's worth of lanes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from graphc.codegen.expressions import Expressions
from graphc.codegen.operands import (
    Operand,
    fixed,
    in_phase,
    offset,
    operand,
    phase_with,
    run_on,
    simplified,
)
from graphc.codegen.statements import Statements
from graphc.codegen.views import NestText
from graphc.codegen.tiling import (
    SERIAL_WORK,
    Packing,
    Plan,
    Sides,
    Tiling,
    Vectors,
    plan,
    roles,
    transposed,
)
from graphc.kernel import Axis, Contraction, Index, InRange
from graphc.sizes import Int, coefficient, product, substitute, symbol, symbols

_FLOATS = {"f32": 4, "f64": 8}
_ALIGNED = 64

# ----------------------------------------------------------------------------------------- views


@dataclass(frozen=True)
class Loop:
    """``for (var = begin; var < end; var++)``; ``lines`` follow, ``skip`` leaves a step out."""

    var: str
    begin: str
    end: str
    literal: bool = False
    lines: tuple[str, ...] = ()
    skip: str = ""


@dataclass(frozen=True)
class TileView:
    """A tile function: ``lines`` x ``vectors`` sums over a block of the depth."""

    name: str
    comment: str
    dot: bool
    kind: str
    vector: str
    width: int
    lines: int
    across: int  # vectors of lanes; in a dot tile, lanes
    row: int  # elements between the lines of ``sums``
    params: tuple[str, ...]
    ranged: str  # variable of the cut depth axis; "" when there is no depth
    loops: tuple[Loop, ...]
    line_offset: str
    lane_offset: str
    line_loops: tuple[Loop, ...]  # the axes of a tile's lines
    line_place: str
    line_number: str
    loads: tuple[str, ...]  # one for each vector of lanes
    places: tuple[str, ...]  # of these vectors within a line of ``sums``
    fresh: bool  # it may have to go on with earlier sums
    before_loads: tuple[str, ...] = ()
    remainder: str = ""  # dot: steps of the last axis beyond whole vectors


@dataclass(frozen=True)
class Call:
    """A tile function and when it is the one to call ("" : otherwise)."""

    condition: str
    text: str


@dataclass(frozen=True)
class PackView:
    """Packing one strip or panel for a block of the depth.

    ``how``: ``copy`` runs along the tile, ``across`` transposes, ``points`` computes each element.
    """

    how: str
    comment: str
    to: str
    size: int
    loops: tuple[Loop, ...]
    decode: tuple[str, ...]
    groups: tuple[Loop, ...]
    source: str
    run: int
    stride: str
    count: str
    valid: str
    at: str
    element: str
    value: str
    body: tuple[str, ...]
    kind: str
    vector: str
    width: int
    ragged: bool
    simd: bool


@dataclass(frozen=True)
class EpilogueView:
    """What happens with a finished tile."""

    turned: bool
    width: int
    row: int
    rows: int
    turned_row: int
    loops: tuple[Loop, ...]
    simd: bool
    accumulator: str
    index: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class ContractionView:
    """Everything the template of a contraction prints. ``plain`` is set instead for loops."""

    comments: tuple[str, ...]
    kind: str
    vector: str
    serial: bool
    units: str
    unit_decode: tuple[str, ...]
    strip_begin: str
    strip_end: str
    panel_begin: str
    panel_end: str
    strip_decode: tuple[str, ...]
    panel_decode: tuple[str, ...]
    outer_loops: tuple[Loop, ...]
    blocked: bool
    block: Loop | None
    block_to: str
    block_step: str
    block_end: str
    pack_lines: PackView | None
    pack_lanes: PackView | None
    shared_panels: str
    shared_decode: tuple[str, ...]
    tile_size: int
    sums: str
    single: bool
    may_be_empty: bool
    calls: tuple[Call, ...]
    epilogue: EpilogueView
    splits: int
    tile_count: str
    tile_decode: tuple[str, ...]
    tiles: tuple[TileView, ...]
    shared_bytes: int
    own_bytes: int
    includes: tuple[str, ...] = ("gc_gemm.h",)

    @property
    def template(self) -> str:
        return "contraction"

    @property
    def alone(self) -> bool:
        return self.serial


@dataclass(frozen=True)
class PlainView:
    """A contraction as ordinary loops: integers, and products without any terms."""

    comments: tuple[str, ...]
    serial: bool
    points: str
    decode: tuple[str, ...]
    cols: tuple[Loop, ...]
    depth: tuple[Loop, ...]
    kind: str
    zero: str
    accumulator: str
    body: tuple[str, ...]
    value: str
    epilogue: tuple[str, ...]
    tiles: tuple[TileView, ...] = ()
    shared_bytes: int = 0
    own_bytes: int = 0
    includes: tuple[str, ...] = ("gc_gemm.h",)

    @property
    def template(self) -> str:
        return "contraction_plain"

    @property
    def alone(self) -> bool:
        return self.serial


AnyContractionView = ContractionView | PlainView


def view(
    nest: Contraction,
    statements: Statements,
    name: str,
) -> AnyContractionView:
    """The view of a contraction, for the template ``c/<view.template>.j2``.

    ``name`` begins the names of the tile functions, which ``c/contraction_tile.j2`` prints from
    ``view.tiles`` in front of the kernel. Raises ValueError when the epilogue holds loops or
    reductions.
    """
    epilogue = nest.epilogue
    if epilogue.axes or epilogue.reductions or epilogue.finals or epilogue.final_stores:
        raise ValueError("the epilogue of a contraction is straight-line code and stores")
    axes = (*nest.batch, *nest.rows, *nest.cols, *nest.depth)
    empty = any(axis.extent == 0 for axis in axes)
    if nest.dtype.short not in _FLOATS and nest.dtype.short not in ("f16", "bf16") or empty:
        return _plain(nest, statements)
    return _Builder(nest, statements, name).view()


def text(nest: Contraction, statements: Statements, fill: Callable[..., str]) -> NestText:
    """A contraction as text; ``fill`` renders a template by name."""
    expressions = statements.expressions
    made = view(nest, statements, f"{expressions.identifier(nest.accumulator)}_tile")
    folder = expressions.dialect.folder
    return NestText(
        fill(f"{folder}/{made.template}.j2", nest=made),
        declarations=tuple(fill(f"{folder}/contraction_tile.j2", tile=tile) for tile in made.tiles),
        includes=made.includes,
        shared_bytes=made.shared_bytes,
        own_bytes=made.own_bytes,
        alone=made.alone,
    )


# ----------------------------------------------------------------------------------------- loops


def _decode(
    expressions: Expressions, var: str, entries: Sequence[tuple[str, Int, int]]
) -> tuple[str, ...]:
    """Lines that take a flat number apart: (name, count, step) with the last one fastest."""
    lines = []
    inner: Int = 1
    for place in range(len(entries) - 1, -1, -1):
        name, count, step = entries[place]
        if count == 1 and isinstance(count, int):
            text = "0"
        else:
            text = var if inner == 1 else f"{var} / {expressions.operand(inner)}"
            outermost = all(c == 1 for _, c, _ in entries[:place])
            if not outermost:
                text += f" % {expressions.operand(count)}"
            if step != 1:
                text += f" * {step}"
        lines.append(f"const int64_t {name} = {text};")
        inner = inner * count
    return tuple(reversed(lines))


def _plain(nest: Contraction, statements: Statements) -> PlainView:
    expressions = statements.expressions

    def loops(axes: Iterable[Axis]) -> tuple[Loop, ...]:
        return tuple(
            Loop(expressions.identifier(a.name), "0", expressions.integer(a.extent)) for a in axes
        )

    outer = (*nest.batch, *nest.rows)
    kind = expressions.dialect.scalar(nest.dtype)
    product_text = f"{expressions.expression(nest.lhs)} * {expressions.expression(nest.rhs)}"
    return PlainView(
        comments=(_shape(nest),),
        serial=nest.work < SERIAL_WORK,
        points=expressions.integer(product(axis.extent for axis in outer)),
        decode=_decode(expressions, "point", [(expressions.identifier(a.name), a.extent, 1) for a in outer]),
        cols=loops(nest.cols),
        depth=loops(nest.depth),
        kind=kind,
        zero="0",
        accumulator=expressions.identifier(nest.accumulator),
        body=statements.lines((*nest.lhs_body, *nest.rhs_body)),
        value=product_text,
        epilogue=(
            *statements.lines(nest.epilogue.body),
            *statements.stores(nest.epilogue.stores),
        ),
    )


def _shape(nest: Contraction) -> str:
    def group(axes: Sequence[Axis]) -> str:
        return " ".join(f"{axis.name} {axis.extent}" for axis in axes) or "1"

    batch = f"batch {group(nest.batch)}; " if nest.batch else ""
    return (
        f"{nest.accumulator}[{group(nest.rows)}, {group(nest.cols)}] = sum over "
        f"{group(nest.depth)}; {batch}{nest.dtype.short}"
    )


# --------------------------------------------------------------------------------------- builder


@dataclass
class _Builder:
    """Puts one contraction's view together."""

    original: Contraction
    statements: Statements
    name: str
    nest: Contraction = field(init=False)
    sides: Sides = field(init=False)
    plan: Plan = field(init=False)

    @property
    def render(self) -> Expressions:
        return self.statements.expressions

    def __post_init__(self) -> None:
        nest = simplified(self.original)
        short = "f64" if nest.dtype.short == "f64" else "f32"
        self.size = _FLOATS[short]
        self.kind = "double" if short == "f64" else "float"
        axes = (*nest.batch, *nest.rows, *nest.cols, *nest.depth)
        stored = self.render.stored
        lhs = operand(nest.lhs, nest.lhs_body, axes, short, stored)
        rhs = operand(nest.rhs, nest.rhs_body, axes, short, stored)
        dialect = self.render.dialect
        vectors = Vectors(dialect.vector_bytes, dialect.vector_registers)
        self.plan = plan(nest, lhs, rhs, vectors, self.size)
        self.nest = nest
        self.sides = next(s for s in roles(nest, lhs, rhs) if s.swapped == self.plan.swapped)
        self.width = self.plan.width
        self.vector = f"gc_{short}x{self.width}"
        self.cut = self.plan.block[0] if self.plan.block else 0

    # ------------------------------------------------------------------------------- names

    def _from(self, axis: Axis) -> str:
        """The variable that holds where a tile begins along an axis."""
        return f"{axis.name}_from"

    def _starts(self, tiling: Tiling) -> dict[str, Int]:
        """Where a tile begins, by axis name."""
        return {
            axis.name: symbol(self._from(axis) if step > 1 else axis.name)
            for axis, step in zip(tiling.axes, tiling.steps)
        }

    def _tile_decode(self, var: str, tiling: Tiling) -> tuple[str, ...]:
        entries = [
            (self.render.identifier(self._from(axis) if step > 1 else axis.name), count, step)
            for axis, step, count in zip(tiling.axes, tiling.steps, tiling.counts)
        ]
        return _decode(self.render, var, entries)

    # -------------------------------------------------------------------------------- depth

    def _range(self) -> tuple[str, str]:
        """Variables of the block of the cut axis."""
        axis = self.nest.depth[self.cut]
        return f"{axis.name}_from", f"{axis.name}_to"

    def _block_depth(self) -> Int:
        """The most points a block of the depth has."""
        inner = product(axis.extent for axis in self.nest.depth[self.cut + 1 :])
        return inner * self._block_steps()

    def _block_steps(self) -> Int:
        if not self.nest.depth:
            return 1
        if self.plan.block:
            return self.plan.block[1]
        if self.plan.splits > 1:
            extent = fixed(self.nest.depth[0]) or 0
            return -(-extent // self.plan.splits)
        return self.nest.depth[self.cut].extent

    def _flat(self, first: int, begin: Int) -> Int:
        """The number of a point of the depth, counted from ``begin`` of axis ``first``."""
        total: Int = 0
        for number, axis in enumerate(self.nest.depth[first:]):
            place = symbol(axis.name)
            total = total * axis.extent + (place - begin if number == 0 else place)
        return total

    @property
    def single(self) -> bool:
        """Whether a tile is finished in one call."""
        return self.plan.block is None and self.plan.splits == 1

    # --------------------------------------------------------------------------------- view

    def view(self) -> ContractionView:
        chosen, nest = self.plan, self.nest
        lines, lanes = chosen.lines, chosen.lanes
        integer = self.render.integer
        tile_size = lines.size * lanes.size
        strips, panels = lines.count, lanes.count
        strip_units = (strips + (chosen.strips_per_unit - 1)) // chosen.strips_per_unit
        panel_units = (panels + (chosen.panels_per_unit - 1)) // chosen.panels_per_unit
        entries = self._batch(nest.batch)
        entries.append(("split", chosen.splits, 1))
        entries.append(("strip_begin", strip_units, chosen.strips_per_unit))
        entries.append(("panel_begin", panel_units, chosen.panels_per_unit))
        units = product(count for _, count, _ in entries)
        tile_entries = self._batch(nest.batch)
        tile_entries += [("panel", panels, 1), ("strip", strips, 1)]
        memory = _Memory(self.size)
        shared_text, pack_lanes = "", None
        if chosen.lanes_packing is Packing.SHARED:
            self.lane_batch = [a for a in nest.batch if self.sides.lane.moves(a)]
            count = product(a.extent for a in self.lane_batch) * panels
            depth = product(axis.extent for axis in nest.depth)
            start = memory.shared(count * depth * lanes.size, slack=self.width)
            shared_text = integer(count)
            number = self._number(self._batch(self.lane_batch), "panel", panels)
            panel_size = depth * lanes.size
            self.lane_base = f"{start} + {number}*{self.render.operand(panel_size)}"
            shared_to = f"{start} + packing*{self.render.operand(panel_size)}"
            pack_lanes = self._pack(self.sides.lane, lanes, shared_to, whole=True)
        elif chosen.lanes_packing is Packing.OWN:
            panel_size = self._block_depth() * lanes.size
            start = memory.own(panel_size * chosen.panels_per_unit, slack=self.width)
            self.lane_base = f"{start} + (panel - panel_begin)*{self.render.operand(panel_size)}"
            pack_lanes = self._pack(self.sides.lane, lanes, self.lane_base)
        pack_lines = None
        if chosen.lines_packing is Packing.OWN:
            strip_size = self._block_depth() * lines.size
            start = memory.own(strip_size * chosen.strips_per_unit, slack=self.width)
            self.line_base = f"{start} + (strip - strip_begin)*{self.render.operand(strip_size)}"
            pack_lines = self._pack(self.sides.line, lines, self.line_base)
        sums = ""
        if chosen.splits > 1:
            tiles = product(count for _, count, _ in tile_entries)
            start = memory.shared(tiles * tile_size * chosen.splits)
            outer = [("split", chosen.splits, 1), *tile_entries[:-1]]
            number = self._number(outer, "strip", strips)
            sums = f"{start} + {number}*{tile_size}"
        elif chosen.block:
            start = memory.own(tile_size * chosen.strips_per_unit * chosen.panels_per_unit)
            sums = (
                f"{start} + ((panel - panel_begin)*{chosen.strips_per_unit} + "
                f"(strip - strip_begin))*{tile_size}"
            )
        tiles_made, calls = self._tiles()
        return ContractionView(
            comments=self._comments(),
            kind=self.kind,
            vector=self.vector,
            serial=self._serial(),
            units=integer(units),
            unit_decode=_decode(self.render, "unit", entries),
            strip_begin="strip_begin",
            strip_end=self._end("strip_begin", chosen.strips_per_unit, strips),
            panel_begin="panel_begin",
            panel_end=self._end("panel_begin", chosen.panels_per_unit, panels),
            strip_decode=self._tile_decode("strip", lines),
            panel_decode=self._tile_decode("panel", lanes),
            outer_loops=self._outer_loops(),
            blocked=chosen.block is not None,
            block=self._block_loop(),
            block_to=self._range()[1] if nest.depth else "",
            block_step=integer(self._block_steps()),
            block_end=self._block_end(),
            pack_lines=pack_lines,
            pack_lanes=pack_lanes,
            shared_panels=shared_text,
            shared_decode=self._shared_decode(panels) if shared_text else (),
            tile_size=tile_size,
            sums=sums,
            single=self.single,
            may_be_empty=not self.sides.known,
            calls=calls,
            epilogue=self._epilogue(),
            splits=chosen.splits,
            tile_count=integer(product(count for _, count, _ in tile_entries)),
            tile_decode=_decode(self.render, "tile", tile_entries),
            tiles=tiles_made,
            shared_bytes=memory.shared_bytes,
            own_bytes=memory.own_bytes,
        )

    def _serial(self) -> bool:
        """Whether one thread runs everything; a plan with a barrier needs all threads there."""
        axes = (*self.nest.batch, *self.nest.rows, *self.nest.cols, *self.nest.depth)
        known = all(isinstance(axis.extent, int) for axis in axes)
        return known and prod(int(str(axis.extent)) for axis in axes) < SERIAL_WORK

    def _comments(self) -> tuple[str, ...]:
        chosen = self.plan

        def tile(tiling: Tiling) -> str:
            parts = [f"{a.name} {s}" for a, s in zip(tiling.axes, tiling.steps) if s > 1]
            return f"{tiling.size} ({', '.join(parts)})" if parts else str(tiling.size)

        where = {
            Packing.DIRECT: "read in place",
            Packing.OWN: "packed by each thread",
            Packing.SHARED: "packed once",
        }
        more = f"; depth in {chosen.splits} parts, joined in order" if chosen.splits > 1 else ""
        if chosen.block:
            axis = self.nest.depth[chosen.block[0]]
            more += f"; {axis.name} in blocks of {chosen.block[1]}"
        return (
            _shape(self.nest),
            f"tile: {tile(chosen.lines)} lines, {where[chosen.lines_packing]}, by "
            f"{tile(chosen.lanes)} lanes, {where[chosen.lanes_packing]}{more}",
        )

    def _end(self, begin: str, step: int, count: Int) -> str:
        if isinstance(count, int):
            if count <= step:
                return str(count)
            if count % step == 0:
                return f"{begin} + {step}"
        return f"gc_least({begin} + {step}, {self.render.integer(count)})"

    def _number(self, outer: Sequence[tuple[str, Int, int]], last: str, count: Int) -> str:
        """The flat number of ``last``, one of ``count``, within the outer ones."""
        text = ""
        for name, extent in [*((name, extent) for name, extent, _ in outer), (last, count)]:
            if not text:
                text = name
                continue
            text = text if text.isidentifier() else f"({text})"
            text = f"{text}*{self.render.operand(extent)} + {name}"
        return text if text.isidentifier() else f"({text})"

    def _batch(self, axes: Sequence[Axis]) -> list[tuple[str, Int, int]]:
        return [(self.render.identifier(axis.name), axis.extent, 1) for axis in axes]

    def _shared_decode(self, panels: Int) -> tuple[str, ...]:
        entries = self._batch(self.lane_batch)
        entries.append(("panel", panels, 1))
        return _decode(self.render, "packing", entries)

    # -------------------------------------------------------------------------- depth loops

    def _outer_loops(self) -> tuple[Loop, ...]:
        """Loops over the depth axes in front of the one that is cut."""
        loops = []
        for number, axis in enumerate(self.nest.depth[: self.cut]):
            begin, end = "0", self.render.integer(axis.extent)
            if number == 0 and self.plan.splits > 1:
                begin, end = self._split_range(axis)
            loops.append(Loop(self.render.identifier(axis.name), begin, end))
        return tuple(loops)

    def _split_range(self, axis: Axis) -> tuple[str, str]:
        count = self.plan.splits
        step = -(-(fixed(axis) or 0) // count)
        whole = self.render.integer(axis.extent)
        return f"gc_least(split*{step}, {whole})", f"gc_least((split + 1)*{step}, {whole})"

    def _block_loop(self) -> Loop | None:
        """The loop over blocks of the cut axis: ``var`` begins a block."""
        if not self.nest.depth:
            return None
        axis = self.nest.depth[self.cut]
        begin, end = "0", self.render.integer(axis.extent)
        if self.cut == 0 and self.plan.splits > 1:
            begin, end = self._split_range(axis)
        return Loop(self._range()[0], begin, end)

    def _block_end(self) -> str:
        loop = self._block_loop()
        if loop is None:
            return ""
        if not self.plan.block:
            return loop.end
        axis, step = self.nest.depth[self.cut], self.plan.block[1]
        extent = fixed(axis)
        if loop.begin == "0" and extent is not None and extent % step == 0:
            return f"{loop.var} + {step}"
        return f"gc_least({loop.var} + {step}, {loop.end})"

    # ------------------------------------------------------------------------------ packing

    def _pack(self, side: Operand, tiling: Tiling, to: str, whole: bool = False) -> PackView:
        """How a strip or panel is packed; ``whole`` takes all of the depth."""
        depth = self.nest.depth
        first = 0 if whole else self.cut
        begin, end = ("0", "") if whole or not depth else self._range()
        starts = self._starts(tiling)
        inner = next((n for n in reversed(range(len(tiling.axes))) if tiling.steps[n] > 1), None)
        run_axis = tiling.axes[inner] if inner is not None else None
        loops = []
        for number, axis in enumerate(depth[first:]):
            low, high = "0", self.render.integer(axis.extent)
            if number == 0 and not whole:
                low, high = begin, end
            loops.append(Loop(self.render.identifier(axis.name), low, high))
        flat_begin: Int = 0 if whole or not depth else symbol(self._range()[0])
        at = self.render.operand(self._flat(first, flat_begin)) if depth else "0"
        how = "points"
        last = depth[-1] if depth else None
        if side.strides is not None and not side.masked and run_axis is not None:
            if side.stride(run_axis.name) == 1:
                how = "copy"
            elif last is not None and side.stride(last.name) == 1 and self._worth(first, side):
                alone = tiling.steps[inner or 0] == tiling.size
                how = "across" if alone or tiling.steps[inner or 0] % self.width == 0 else how
        groups, valid, ragged = self._groups(tiling, inner)
        places: dict[str, Int] = {}
        for axis, step in zip(tiling.axes, tiling.steps):
            if step > 1:
                local = symbol(f"{axis.name}_in")
                places[axis.name] = starts[axis.name] + local
            else:
                places[axis.name] = symbol(axis.name)
        element: Int = 0
        for axis, step in zip(tiling.axes, tiling.steps):
            if step > 1:
                element = element * step + symbol(f"{axis.name}_in")
        value, body = "", ()
        source, stride, count = "", "1", ""
        run = tiling.steps[inner] if inner is not None else 1
        if how == "points":
            decode = tuple(
                f"const int64_t {self.render.identifier(axis.name)} = "
                f"{self.render.integer(places[axis.name])};"
                for axis, step in zip(tiling.axes, tiling.steps)
                if step > 1
            )
            value = self.render.value(side.expr)
            body = self.statements.lines(side.body)
        else:
            assert side.load is not None and run_axis is not None
            decode = ()
            moved = dict(places)
            moved[run_axis.name] = starts[run_axis.name]
            index = side.base + offset(side, moved)
            index = index + offset(side, {a.name: symbol(a.name) for a in self.nest.batch})
            if how == "across":
                loops, merged, count = self._merged(side, first, loops)
                index = index + merged
                stride = self.render.integer(side.step(run_axis.name))
                at = self._merged_at(first, flat_begin, loops)
            else:
                index = index + offset(side, {a.name: symbol(a.name) for a in depth})
            source = f"{self.render.identifier(side.load.buffer)} + {self.render.operand(index)}"
        group_element = substitute(
            element, {f"{run_axis.name}_in": 0} if run_axis is not None else {}
        )
        what = "lines" if tiling is self.plan.lines else "lanes"
        hows = {
            "copy": "copied in runs",
            "across": "transposed",
            "points": "computed point by point",
        }
        return PackView(
            how=how,
            comment=f"{tiling.size} {what} for each step of the depth, {hows[how]}",
            to=to,
            size=tiling.size,
            loops=tuple(loops),
            decode=decode,
            groups=groups,
            source=source,
            run=run,
            stride=stride,
            count=count,
            valid=valid,
            at=at,
            element=self.render.integer(element if how == "points" else group_element),
            value=value,
            body=body,
            kind=self.kind,
            vector=self.vector,
            width=self.width,
            ragged=ragged,
            simd=not any(isinstance(s, Index) for s in side.body),
        )

    def _worth(self, first: int, side: Operand) -> bool:
        """Whether the run along the depth is long enough to be transposed by whole vectors."""
        inner: Int = 1
        for axis in reversed(self.nest.depth[first:]):
            if side.stride(axis.name) != inner:
                break
            inner = inner * axis.extent
        return not isinstance(inner, int) or inner >= self.width // 2

    def _merged(
        self, side: Operand, first: int, loops: list[Loop]
    ) -> tuple[list[Loop], Int, str]:
        """Depth loops but for the inner axes that run on in memory: (loops, offset, steps)."""
        depth = self.nest.depth
        inner: Int = 1
        number = len(depth)
        while number > first and side.stride(depth[number - 1].name) == inner:
            number -= 1
            if number > first:
                inner = inner * depth[number].extent
        kept = loops[: number - first]
        index: Int = 0
        for place, axis in enumerate(depth):
            if place < number:
                index = index + side.step(axis.name) * symbol(axis.name)
        if number == first and loops[0].begin != "0":
            index = index + side.step(depth[first].name) * symbol(loops[0].begin)
        steps = inner
        if number == first:
            span = f"({loops[0].end} - {loops[0].begin})" if loops[0].begin != "0" else loops[0].end
            rest = product(axis.extent for axis in depth[first + 1 :])
            return kept, index, span if rest == 1 else f"{span}*{self.render.operand(rest)}"
        return kept, index, self.render.integer(steps)

    def _merged_at(self, first: int, begin: Int, kept: list[Loop]) -> str:
        flat = self._flat(first, begin)
        gone = {axis.name: 0 for axis in self.nest.depth[first + len(kept) :]}
        if not kept:  # the cut axis itself runs on: it starts at its beginning
            gone[self.nest.depth[first].name] = begin
        return self.render.operand(substitute(flat, gone))

    def _groups(
        self, tiling: Tiling, inner: int | None
    ) -> tuple[tuple[Loop, ...], str, bool]:
        """Loops over a tile's axes; how many steps of the inner one are valid; whether fewer."""
        loops = []
        valid = "1"
        ragged = False
        for number, (axis, step) in enumerate(zip(tiling.axes, tiling.steps)):
            if step == 1:
                continue
            extent = fixed(axis)
            end = str(step)
            if extent is None or extent % step:
                ragged = True
                end = f"gc_least({step}, {self.render.integer(axis.extent)} - {self._from(axis)})"
            if number == inner:
                valid = end
            loops.append(Loop(f"{axis.name}_in", "0", end, literal=end == str(step)))
        return tuple(loops), valid, ragged

    # -------------------------------------------------------------------------------- tiles

    def _tiles(self) -> tuple[tuple[TileView, ...], tuple[Call, ...]]:
        """A function for each size of tile that occurs, and the calls that choose among them."""
        chosen = self.plan
        line_sizes = [(chosen.lines.size, "")]
        number = chosen.lines.ragged
        if number is not None and chosen.lines_packing is Packing.DIRECT:
            line_sizes = self._cases(chosen.lines, number, chosen.lines.short)
        lane_cases: list[tuple[int, str]] = [(chosen.lanes.size, "")]
        number = chosen.lanes.ragged
        if number is not None and (chosen.dot or chosen.lanes.short):
            lane_cases = self._cases(chosen.lanes, number, chosen.lanes.short)
        tiles, calls = [], []
        for lines, line_condition in line_sizes:
            for lanes, lane_condition in lane_cases:
                tile, arguments = self._tile(lines, lanes)
                tiles.append(tile)
                condition = " && ".join(c for c in (line_condition, lane_condition) if c)
                calls.append(Call(condition, f"{tile.name}({', '.join(arguments)});"))
        return tuple(tiles), tuple(calls)

    def _cases(self, tiling: Tiling, number: int, short: int) -> list[tuple[int, str]]:
        """Whole tiles where they fit, then short ones."""
        axis, step = tiling.axes[number], tiling.steps[number]
        extent = fixed(axis) or 0
        if extent < step:
            return [(short, "")]
        return [(tiling.size, f"{self._from(axis)} + {step} <= {extent}"), (short, "")]

    def _tile(self, lines: int, lanes: int) -> tuple[TileView, list[str]]:
        chosen, depth = self.plan, self.nest.depth
        name = f"{self.name}_{lines}x{lanes}"
        direct_lines = chosen.lines_packing is Packing.DIRECT
        direct_lanes = chosen.lanes_packing is Packing.DIRECT
        ranged = depth[self.cut].name if depth else ""
        line_at = self._depth_offset(self.sides.line, direct_lines, chosen.lines.size)
        lane_at = self._depth_offset(self.sides.lane, direct_lanes, chosen.lanes.size)
        loads, places, before, masks = self._loads(lanes, direct_lanes)
        loops = self._depth_loops(masks)
        flat = not direct_lines and not direct_lanes
        if flat:  # both packed: one loop over the steps of the block
            loops = (Loop("step", "0", "steps"),) if depth else ()
            line_at = lane_at = 0
        line_loops, line_place, line_number = self._line_loops(lines, direct_lines)
        used = {s.name for value in (line_at, lane_at, line_place) for s in symbols(value)}
        for text_value in self._mask_values:
            used |= {s.name for s in symbols(text_value)}
        for loop_axis in depth[self.cut :]:
            used |= {s.name for s in symbols(loop_axis.extent)} if not flat else set()
        own = {a.name for a in depth[self.cut :]} | {f"{a.name}_in" for a in chosen.lines.axes}
        own |= {"i", *(self._range() if depth else ())}
        params: list[tuple[str, str]] = []
        flat = flat and bool(depth)
        if flat:
            inner = product(axis.extent for axis in depth[self.cut + 1 :])
            begin, end = self._range()
            span = f"({end} - {begin})"
            steps = span if inner == 1 else f"{span}*{self.render.operand(inner)}"
            params.append(("steps", steps))
        elif depth:
            params += [(self._range()[0],) * 2, (self._range()[1],) * 2]
        params += [(self.render.identifier(n),) * 2 for n in sorted(used - own)]
        arguments = [self._line_pointer(direct_lines), self._lane_pointer(direct_lanes), "sums"]
        arguments += [a for _, a in params]
        signature = [f"const {self.kind} *restrict lines", f"const {self.kind} *restrict lanes"]
        signature += [f"{self.kind} *restrict sums"]
        signature += [f"int64_t {n}" for n, _ in params]
        fresh = chosen.block is not None
        if fresh:
            signature.append("bool fresh")
            arguments.append("fresh")
        remainder = ""
        if chosen.dot:
            loops, remainder = self._dot_loops(loops)
        return (
            TileView(
                name=name,
                comment=f"{lines} lines by {lanes} lanes: {_shape(self.nest)}",
                dot=chosen.dot,
                kind=self.kind,
                vector=self.vector,
                width=self.width,
                lines=lines,
                across=lanes if chosen.dot else len(loads),
                row=chosen.lanes.size,
                params=tuple(signature),
                ranged=ranged,
                loops=loops,
                line_offset=f"step*{chosen.lines.size}" if flat else self.render.integer(line_at),
                lane_offset=f"step*{chosen.lanes.size}" if flat else self.render.integer(lane_at),
                line_loops=line_loops,
                line_place=self.render.integer(line_place),
                line_number=self.render.integer(line_number),
                loads=loads,
                places=places,
                fresh=fresh,
                before_loads=before,
                remainder=remainder,
            ),
            arguments,
        )

    def _depth_offset(self, side: Operand, direct: bool, size: int) -> Int:
        """Where a step of the depth lies behind the pointer a tile is given."""
        depth = self.nest.depth
        if not depth:
            return 0
        if direct:
            return offset(side, {a.name: symbol(a.name) for a in depth[self.cut :]})
        return self._flat(self.cut, symbol(self._range()[0])) * size

    def _depth_loops(self, skips: Mapping[str, str]) -> tuple[Loop, ...]:
        loops = []
        for number, axis in enumerate(self.nest.depth[self.cut :]):
            begin, end = "0", self.render.integer(axis.extent)
            if number == 0:
                begin, end = self._range()
            var = self.render.identifier(axis.name)
            loops.append(Loop(var, begin, end, skip=skips.get(axis.name, "")))
        return tuple(loops)

    def _dot_loops(self, loops: tuple[Loop, ...]) -> tuple[tuple[Loop, ...], str]:
        """The last loop goes by whole vectors; the steps that remain, as text."""
        last = loops[-1]
        axis = self.nest.depth[-1]
        ranged = len(loops) == 1
        span = f"({last.end} - {last.begin})" if ranged else last.end
        extent = fixed(axis)
        if not ranged and extent is not None and extent % self.width == 0:
            return loops, ""
        remainder = f"{span} % {self.width}"
        if not ranged and extent is not None:
            remainder = str(extent % self.width)
        return loops, remainder

    def _line_loops(self, lines: int, direct: bool) -> tuple[tuple[Loop, ...], Int, Int]:
        """Loops over a tile's lines with the place and the number of each."""
        tiling = self.plan.lines
        if not direct:
            loop = Loop("i", "0", str(lines), literal=True)
            return (loop,), symbol("i"), symbol("i")
        loops = []
        place: Int = 0
        number: Int = 0
        ragged = tiling.ragged if lines != tiling.size else None
        for at, (axis, step) in enumerate(zip(tiling.axes, tiling.steps)):
            if step == 1:
                continue
            count = (fixed(axis) or 0) % step if at == ragged else step
            var = f"{axis.name}_in"
            loops.append(Loop(var, "0", str(count), literal=True))
            place = place + self.sides.line.step(axis.name) * symbol(var)
            number = number * step + symbol(var)
        return tuple(loops), place, number

    def _loads(
        self, lanes: int, direct: bool
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], dict[str, str]]:
        """Loads of the vectors of a panel, where their sums go, and the conditions on them."""
        chosen = self.plan
        self._mask_values: list[Int] = []
        if chosen.dot:
            return self._dot_loads(lanes)
        tiling, width = chosen.lanes, self.width
        along = tiling.steps[-1] if tiling.axes else width
        repeats = tiling.size // along if tiling.axes else 1
        count = lanes // repeats if tiling.axes else 1
        axis = tiling.axes[-1] if tiling.axes else None
        skips, before, low, high = self._masks(axis) if direct else ({}, (), "", "")
        loads, places = [], []
        outer = next((a for a, s in zip(tiling.axes[:-1], tiling.steps) if s > 1), None)
        for repeat in range(repeats):
            shift: Int = 0
            if outer is not None and direct:
                shift = self.sides.lane.step(outer.name) * repeat
            for start in range(0, count, width):
                place = repeat * along + start
                places.append(str(place))
                at = self.render.integer(shift + start if direct else place)
                pointer = "lane" if at == "0" else f"lane + {at}"
                left = min(count - start, width)
                if direct and low:
                    loads.append(
                        f"gc_load_between_{self.vector}({pointer}, {low} - {start}, "
                        f"{high} - {start})"
                    )
                elif direct and left < width:
                    loads.append(f"gc_load_between_{self.vector}({pointer}, 0, {left})")
                else:
                    loads.append(f"gc_load_{self.vector}({pointer})")
        return tuple(loads), tuple(places), before, skips

    def _dot_loads(
        self, lanes: int
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], dict[str, str]]:
        """Pointers to the lanes of a dot tile: each is a run along the depth."""
        tiling = self.plan.lanes
        ragged = tiling.ragged if lanes != tiling.size else None
        steps = [
            (fixed(axis) or 0) % step if at == ragged else step
            for at, (axis, step) in enumerate(zip(tiling.axes, tiling.steps))
        ]
        pointers, places = [], []
        for number in range(prod(steps)):
            rest, place, scale = number, 0, 1
            total: Int = 0
            for axis, step, whole in zip(
                reversed(tiling.axes), reversed(steps), reversed(tiling.steps)
            ):
                digit = rest % step
                rest //= step
                total = total + self.sides.lane.step(axis.name) * digit
                place += digit * scale
                scale *= whole
            pointers.append("lane" if total == 0 else f"lane + {self.render.integer(total)}")
            places.append(str(place))
        return tuple(pointers), tuple(places), (), {}

    def _masks(self, axis: Axis | None) -> tuple[dict[str, str], tuple[str, ...], str, str]:
        """Conditions of lanes read in place: steps to skip, and the range of valid lanes."""
        load = self.sides.lane.load
        if load is None or axis is None or not load.mask:
            return {}, (), "", ""
        starts = self._starts(self.plan.lanes)
        skips: dict[str, list[str]] = {}
        lows, highs = [], []
        depth = [a.name for a in self.nest.depth[self.cut :]]
        for condition in load.mask:
            moved = substitute(condition.index, starts)
            if coefficient(condition.index, axis.name) == 0 or not isinstance(condition, InRange):
                changed = type(condition)(
                    moved, condition.limit if isinstance(condition, InRange) else condition.by
                )
                text = self.render.condition(changed)
                if text == "true":
                    continue
                found = [d for d in depth if any(s.name == d for s in symbols(moved))]
                skips.setdefault(found[-1] if found else depth[-1], []).append(text)
                self._mask_values += [moved, condition.limit] if isinstance(
                    condition, InRange
                ) else [moved, condition.by]
                continue
            lows.append(self.render.integer(-moved if isinstance(moved, int) else moved * -1))
            highs.append(self.render.integer(condition.limit - moved))
            self._mask_values += [moved, condition.limit]
        texts = {name: " && ".join(conditions) for name, conditions in skips.items()}
        if not lows:
            return texts, (), "", ""
        extent, step = fixed(axis) or 0, self.plan.lanes.steps[-1]
        if extent % step:
            highs.append(f"{extent} - {self._from(axis)}")
            self._mask_values.append(symbol(self._from(axis)))
        before = [f"const int64_t low = {_fold('gc_most', lows)};"]
        before.append(f"const int64_t high = {_fold('gc_least', highs)};")
        return texts, tuple(before), "low", "high"

    def _line_pointer(self, direct: bool) -> str:
        return self._pointer(self.sides.line, self.plan.lines) if direct else self._packed(
            self.line_base, self.plan.lines.size, False
        )

    def _lane_pointer(self, direct: bool) -> str:
        if direct:
            return self._pointer(self.sides.lane, self.plan.lanes)
        shared = self.plan.lanes_packing is Packing.SHARED
        return self._packed(self.lane_base, self.plan.lanes.size, shared)

    def _pointer(self, side: Operand, tiling: Tiling) -> str:
        assert side.load is not None
        index = side.base + offset(side, self._starts(tiling))
        index = index + offset(side, {a.name: symbol(a.name) for a in self.nest.batch})
        index = index + offset(side, {a.name: symbol(a.name) for a in self.nest.depth[: self.cut]})
        buffer = self.render.identifier(side.load.buffer)
        return buffer if index == 0 else f"{buffer} + {self.render.operand(index)}"

    def _packed(self, base: str, size: int, whole: bool) -> str:
        """A packed strip or panel; one packed whole is entered at the block."""
        if not whole or not self.nest.depth:
            return base
        flat = self._flat(0, 0)
        place = {axis.name: 0 for axis in self.nest.depth[self.cut + 1 :]}
        axis = self.nest.depth[self.cut]
        at = substitute(flat, {**place, axis.name: symbol(self._range()[0])})
        return f"{base} + {self.render.operand(at * size)}"

    # ----------------------------------------------------------------------------- epilogue

    def _epilogue(self) -> EpilogueView:
        chosen = self.plan
        turned = not chosen.dot and transposed(self.sides, chosen.lines)
        lines = self._walk(chosen.lines)
        lanes = self._walk(chosen.lanes)
        row, rows = chosen.lanes.size, chosen.lines.size
        turned_row = -(-rows // self.width) * self.width
        line_number = self._element(chosen.lines)
        lane_number = self._element(chosen.lanes)
        index = lane_number * turned_row + line_number if turned else line_number * row + lane_number
        loops, replaced = self._joined(
            [*lanes, *lines] if turned else [*lines, *lanes],
            substitute(index, {f"{a.name}_in": symbol(a.name) for a, _ in (*lines, *lanes)}),
        )
        phase = phase_with(self.nest.epilogue, replaced)
        index = substitute(index, {
            f"{name}_in": value for name, value in self._in_values.items()
        })
        accumulator = self.render.identifier(self.nest.accumulator)
        return EpilogueView(
            turned=turned,
            width=self.width,
            row=row,
            rows=rows,
            turned_row=turned_row,
            loops=loops,
            simd=not chosen.dot and not any(isinstance(s, Index) for s in phase.body),
            accumulator=accumulator,
            index=self.render.integer(index),
            lines=(*self.statements.lines(phase.body), *self.statements.stores(phase.stores)),
        )

    def _element(self, tiling: Tiling) -> Int:
        element: Int = 0
        for axis, step in zip(tiling.axes, tiling.steps):
            if step > 1:
                element = element * step + symbol(f"{axis.name}_in")
        return element

    def _walk(self, tiling: Tiling) -> list[tuple[Axis, int]]:
        return [(axis, step) for axis, step in zip(tiling.axes, tiling.steps) if step > 1]

    def _joined(
        self, walk: list[tuple[Axis, int]], index: Int
    ) -> tuple[tuple[Loop, ...], dict[str, Int]]:
        """Loops over a tile; the last two become one where all results run on.

        Returns them with what stands for the axes in the epilogue.
        """
        self._in_values: dict[str, Int] = {}
        entries = [(axis, step, self._walk_end(axis, step)) for axis, step in walk]
        replaced: dict[str, Int] = {}
        joined: set[str] = set()
        if len(entries) >= 2:
            (outer, step, end), (inner, whole, _) = entries[-2:]
            if fixed(inner) == whole and run_on((*in_phase(self.nest.epilogue), index), outer, inner):
                total = str(step * whole) if end == str(step) else f"{end}*{whole}"
                entries[-2:] = [(inner, step * whole, total)]
                replaced[outer.name] = symbol(self._from(outer))
                self._in_values[outer.name] = 0
                joined = {inner.name}
        loops = []
        for axis, step, end in entries:
            var = f"{axis.name}_in"
            literal = end.isdigit()
            start: Int = 0 if axis.name in joined else symbol(self._from(axis))
            replaced[axis.name] = start + symbol(var)
            loops.append(Loop(var, "0", end, literal=literal))
        return tuple(loops), replaced

    def _walk_end(self, axis: Axis, step: int) -> str:
        extent = fixed(axis)
        if extent is not None and extent % step == 0:
            return str(step)
        if extent is not None and extent < step:
            return str(extent)
        return f"gc_least({step}, {self.render.integer(axis.extent)} - {self._from(axis)})"


def _fold(function: str, texts: Sequence[str]) -> str:
    result = texts[0]
    for text in texts[1:]:
        result = f"{function}({result}, {text})"
    return result


@dataclass
class _Memory:
    """Hands out scratch memory: (shared by all threads, own of each)."""

    element: int
    shared_bytes: int = 0
    own_bytes: int = 0

    def shared(self, count: Int, slack: int = 0) -> str:
        start = self.shared_bytes
        self.shared_bytes += self._bytes(count, slack)
        return f"({self._kind} *)(shared + {start})"

    def own(self, count: Int, slack: int = 0) -> str:
        start = self.own_bytes
        self.own_bytes += self._bytes(count, slack)
        return f"({self._kind} *)(own + {start})"

    @property
    def _kind(self) -> str:
        return "double" if self.element == 8 else "float"

    def _bytes(self, count: Int, slack: int) -> int:
        assert isinstance(count, int)  # plans for unknown sizes pack blocks of known size
        return -(-(count + slack) * self.element // _ALIGNED) * _ALIGNED


