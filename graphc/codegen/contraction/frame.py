"""What all parts of a contraction's text agree on: its schedule and the names of variables.

A *strip* is one tile's worth of lines and a *panel* one tile's worth of lanes. Along an axis of
which a tile takes several steps, ``<axis>_from`` is where the tile begins and ``<axis>_in`` counts
within it; other axes keep their names. A block of the depth is ``<axis>_from`` to ``<axis>_to`` of
the axis that is cut, and all of the axes behind that one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from graphc.codegen.contraction.operands import Operand, fixed, offset, operand, simplified
from graphc.codegen.contraction.tiling import Packing, Plan, Sides, Tiling, Vectors, schedule
from graphc.codegen.expressions import Expressions
from graphc.codegen.statements import Statements
from graphc.kernel import Axis, Contraction
from graphc.sizes import Int, product, symbol

_BYTES = {"f32": 4, "f64": 8}

Entry = tuple[str, Int, int]  # a variable, how many values it takes, and the step between them


@dataclass(frozen=True)
class Frame:
    """A contraction with its schedule."""

    nest: Contraction
    sides: Sides
    plan: Plan
    statements: Statements
    name: str
    short: str

    @classmethod
    def of(cls, original: Contraction, statements: Statements, name: str) -> "Frame":
        """Chooses the schedule for a contraction of floating-point numbers."""
        nest = simplified(original)
        short = "f64" if nest.dtype.short == "f64" else "f32"
        axes = (*nest.batch, *nest.rows, *nest.cols, *nest.depth)
        stored = statements.expressions.stored
        lhs = operand(nest.lhs, nest.lhs_body, axes, short, stored)
        rhs = operand(nest.rhs, nest.rhs_body, axes, short, stored)
        dialect = statements.expressions.dialect
        vectors = Vectors(dialect.vector_bytes, dialect.vector_registers)
        sides, plan = schedule(nest, lhs, rhs, vectors, _BYTES[short])
        return cls(sides.nest, sides, plan, statements, name, short)

    @property
    def render(self) -> Expressions:
        return self.statements.expressions

    @property
    def kind(self) -> str:
        return "double" if self.short == "f64" else "float"

    @property
    def element_bytes(self) -> int:
        return _BYTES[self.short]

    @property
    def width(self) -> int:
        return self.plan.width

    @property
    def vector(self) -> str:
        return f"{self.short}x{self.width}"

    @property
    def direct_lines(self) -> bool:
        return self.plan.lines_packing is Packing.DIRECT

    @property
    def direct_lanes(self) -> bool:
        return self.plan.lanes_packing is Packing.DIRECT

    @property
    def single(self) -> bool:
        """Whether one call of a tile function finishes a tile."""
        return self.plan.block is None and self.plan.splits == 1

    # ----------------------------------------------------------------------------- variables

    def begin(self, axis: Axis) -> str:
        """The variable that holds where a tile begins along an axis."""
        return self.render.identifier(f"{axis.name}_from")

    def starts(self, tiling: Tiling) -> dict[str, Int]:
        """Where a tile begins, by axis name."""
        return {
            axis.name: symbol(f"{axis.name}_from" if step > 1 else axis.name)
            for axis, step in tiling.pairs
        }

    def element(self, tiling: Tiling) -> Int:
        """The number of a line or lane within its tile."""
        number: Int = 0
        for place, (axis, step) in enumerate(tiling.pairs):
            inside = symbol(f"{axis.name}_in") if step > 1 else 0
            if tiling.pitch and place == len(tiling.axes) - 2:
                number = number * tiling.run + inside * tiling.pitch
            elif tiling.pitch and place == len(tiling.axes) - 1:
                number = number + inside
            else:
                number = number * step + inside
        return number

    def batch(self, axes: Sequence[Axis]) -> list[Entry]:
        return [(self.render.identifier(axis.name), axis.extent, 1) for axis in axes]

    def decode(self, var: str, entries: Sequence[Entry]) -> tuple[str, ...]:
        """Lines that take a flat number apart; the last entry changes fastest."""
        return decoded(self.render, var, entries)

    def number(self, entries: Sequence[Entry]) -> str:
        """The flat number of a point: what :meth:`decode` takes apart."""
        text = ""
        for name, count, _ in entries:
            if count == 1:
                continue
            if text:
                text = text if text.isidentifier() else f"({text})"
                text = f"{text}*{self.render.operand(count)} + {name}"
            else:
                text = name
        text = text or "0"
        return text if text.isidentifier() or text.isdigit() else f"({text})"

    def tile_decode(self, var: str, tiling: Tiling) -> tuple[str, ...]:
        """Lines that tell from the number of a strip or panel where it begins."""
        return self.decode(
            var,
            [
                (self.render.identifier(f"{a.name}_from" if step > 1 else a.name), count, step)
                for (a, step), count in zip(tiling.pairs, tiling.counts, strict=True)
            ],
        )

    def up_to(self, axis: Axis, step: int) -> str:
        """How many of a tile's steps along an axis exist."""
        extent = fixed(axis)
        if extent is not None and extent % step == 0:
            return str(step)
        if extent is not None and extent < step:
            return str(extent)
        return f"gc_least({step}, {self.render.integer(axis.extent)} - {self.begin(axis)})"

    # --------------------------------------------------------------------------------- depth

    @property
    def cut(self) -> int:
        """The number of the depth axis that blocks cut."""
        return self.plan.block[0] if self.plan.block else 0

    @cached_property
    def range(self) -> tuple[str, str]:
        """Variables of the block of the cut axis (the first where there are no blocks)."""
        axis = self.nest.depth[self.cut]
        return self.begin(axis), self.render.identifier(f"{axis.name}_to")

    @property
    def block_begin(self) -> Int:
        return symbol(f"{self.nest.depth[self.cut].name}_from")

    @property
    def block_steps(self) -> Int:
        """Steps of the cut axis in a block, at most."""
        if not self.nest.depth:
            return 1
        if self.plan.block:
            return self.plan.block[1]
        if self.plan.splits > 1:
            return self.split_steps
        return self.nest.depth[0].extent

    @property
    def split_steps(self) -> int:
        """Steps of the first depth axis in one split."""
        return -(-(fixed(self.nest.depth[0]) or 0) // self.plan.splits)

    @property
    def block_depth(self) -> Int:
        """Points of the depth in a block, at most."""
        return self.block_steps * product(a.extent for a in self.nest.depth[self.cut + 1 :])

    def flat(self, first: int, begin: Int) -> Int:
        """The number of a point of the depth, counted from ``begin`` of axis ``first``."""
        total: Int = 0
        for number, axis in enumerate(self.nest.depth[first:]):
            place = symbol(axis.name)
            total = total * axis.extent + (place - begin if number == 0 else place)
        return total

    def address(self, side: Operand, tiling: Tiling, depth: Sequence[Axis] = ()) -> Int:
        """The index of an operand where a tile begins, at some axes of the depth."""
        names = [axis.name for axis in (*self.nest.batch, *depth)]
        return (
            side.base
            + offset(side, self.starts(tiling))
            + offset(side, {name: symbol(name) for name in names})
        )

    def pointer(self, side: Operand, index: Int) -> str:
        """``buffer + index``."""
        assert side.load is not None
        buffer = self.render.identifier(side.load.buffer)
        return buffer if index == 0 else f"{buffer} + {self.render.operand(index)}"


def decoded(render: Expressions, var: str, entries: Sequence[Entry]) -> tuple[str, ...]:
    """Lines that take a flat number apart; the last entry changes fastest."""
    lines = []
    inner: Int = 1
    for place in range(len(entries) - 1, -1, -1):
        name, count, step = entries[place]
        if count == 1:
            text = "0"
        else:
            text = var if inner == 1 else f"{var} / {render.operand(inner)}"
            if any(c != 1 for _, c, _ in entries[:place]):
                text += f" % {render.operand(count)}"
            if step != 1:
                text += f" * {step}"
        lines.append(f"const int64_t {name} = {text};")
        inner = inner * count
    return tuple(reversed(lines))
