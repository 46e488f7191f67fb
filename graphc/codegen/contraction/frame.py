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
from graphc.codegen.contraction.pairs import PER, Pairs, pairable, pairs_of
from graphc.codegen.contraction.plans import Packing, Plan, Sides, Tiling, Vectors
from graphc.codegen.contraction.tiling import schedule
from graphc.codegen.expressions import Expressions
from graphc.codegen.statements import Statements
from graphc.dtypes import bfloat16, dtype, float16, float32, float64
from graphc.kernel import Axis, Contraction
from graphc.sizes import Int, product, symbol

_BYTES = {"f32": 4, "f64": 8}
_HALVES = ("f16", "bf16")
_DTYPES = {kind.short: kind for kind in (float32, float64, float16, bfloat16)}

Entry = tuple[str, Int, int]  # a variable, how many values it takes, and the step between them


@dataclass(frozen=True)
class Frame:
    """A contraction with its schedule."""

    nest: Contraction
    sides: Sides
    plan: Plan
    statements: Statements
    name: str
    short: str  # of sums

    @classmethod
    def of(cls, original: Contraction, statements: Statements, name: str) -> "Frame":
        """Chooses the schedule for a contraction of floating-point numbers."""
        nest = simplified(original)
        short = "f64" if nest.dtype.short == "f64" else "f32"
        dialect = statements.expressions.dialect
        paired = dialect.bf16_pairs and pairable(nest)
        axes = (*nest.batch, *nest.rows, *nest.cols, *nest.depth)
        stored = statements.expressions.stored
        multiplied = "bf16" if paired else short
        lhs = operand(nest.lhs, nest.lhs_body, axes, multiplied, stored)
        rhs = operand(nest.rhs, nest.rhs_body, axes, multiplied, stored)
        pairs = pairs_of(nest.depth, (lhs, rhs)) if paired else None
        vectors = Vectors(dialect.vector_bytes, dialect.vector_registers)
        sides, plan = schedule(nest, lhs, rhs, vectors, _BYTES[short], pairs)
        return cls(sides.nest, sides, plan, statements, name, short)

    @property
    def render(self) -> Expressions:
        return self.statements.expressions

    @property
    def kind(self) -> str:
        return "double" if self.short == "f64" else "float"

    @property
    def factor(self) -> str:
        """The C type of the elements of packed rows, of which a sum takes ``per`` at a time."""
        return self.kind if self.pairs is None else "gc_bf16"

    @property
    def pairs(self) -> Pairs | None:
        return self.sides.pairs

    @property
    def per(self) -> int:
        return self.sides.per

    @property
    def multiplied(self) -> str:
        """The short name of the dtype of the numbers that are multiplied."""
        return self.short if self.pairs is None else "bf16"

    def stored(self, side: Operand) -> dtype:
        """What memory holds of an operand that is loaded; else what is multiplied."""
        return _DTYPES[side.stored or self.multiplied]

    @property
    def halves(self) -> bool:
        """Whether an operand has elements of 16 bits in memory, or packed."""
        sides = (self.sides.line, self.sides.lane)
        return any(kind in _HALVES for kind in (self.multiplied, *(s.stored for s in sides)))

    @property
    def element_bytes(self) -> int:
        """Bytes of a sum, and of what it takes at a time."""
        return _BYTES[self.short]

    @property
    def width(self) -> int:
        return self.plan.width

    @property
    def vector(self) -> str:
        """The vectors of sums."""
        return f"{self.short}x{self.width}"

    @property
    def factors(self) -> str:
        """The vectors that are multiplied."""
        return self.vector if self.pairs is None else f"bf16x{self.width * PER}"

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
