"""How the axes of a nest become loops that threads share out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import prod

from graphc.codegen.expressions import Expressions
from graphc.codegen.views import Level
from graphc.kernel import Axis
from graphc.sizes import product

ENOUGH_CHUNKS = 64  # trip count from which a loop divides well among threads
LONG_AXIS = 4096  # an innermost axis that pays to be divided itself
SHORT_AXIS = 4  # an innermost axis that is not worth vectorising
GRAIN = 64  # elements: whole cache lines for each thread


class Sharing(Enum):
    """Who runs the iterations of the first loop."""

    SERIAL = "serial"  # one thread
    CHUNK = "chunk"  # each thread a contiguous part: begin..end
    GRID = "grid"  # each thread of the grid every so many (CUDA)
    BLOCKS = "blocks"  # each block of the grid every so many (CUDA)
    WITHIN = "within"  # each thread of one block every so many (CUDA)


_STRIDES = {
    Sharing.GRID: ("(int64_t)blockIdx.x*blockDim.x + threadIdx.x", "(int64_t)gridDim.x*blockDim.x"),
    Sharing.BLOCKS: ("blockIdx.x", "gridDim.x"),
    Sharing.WITHIN: ("threadIdx.x", "blockDim.x"),
}


@dataclass(frozen=True)
class Loop:
    """A level before its statements are known. ``axes``: more than one when flattened."""

    axes: tuple[str, ...]
    level: Level


@dataclass(frozen=True)
class Loops:
    """The loops over some axes; ``shared`` is the trip count that is divided ("" when serial)."""

    loops: tuple[Loop, ...]
    shared: str = ""
    grain: int = 1

    @property
    def axes(self) -> tuple[tuple[str, ...], ...]:
        return tuple(loop.axes for loop in self.loops)


def steps(axes: Sequence[Axis]) -> int | None:
    """The number of points of some axes, None when a size is not known."""
    extents = [axis.extent for axis in axes if isinstance(axis.extent, int)]
    return prod(extents) if len(extents) == len(axes) else None


def real(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """The axes that need a loop."""
    return tuple(axis for axis in axes if axis.extent != 1 or not isinstance(axis.extent, int))


@dataclass(frozen=True)
class LoopMaker:
    """Makes loops; ``taken`` are names that a flattened loop variable must not take."""

    expressions: Expressions
    taken: frozenset[str]

    def plain(self, axes: Sequence[Axis]) -> Loops:
        """One loop for each axis, run in full."""
        return Loops(tuple(self._loop((axis,)) for axis in real(axes)))

    def unrolled(self, axes: Sequence[Axis]) -> Loops:
        """One loop for each axis, to be unrolled by the compiler."""
        pragma = self.expressions.dialect.unroll
        return Loops(
            tuple(
                self._marked(self._loop((axis,)), pragma.format(axis.extent)) for axis in real(axes)
            )
        )

    def strided(self, axes: Sequence[Axis], sharing: Sharing) -> Loops:
        """All axes in one loop with the stride of the grid or of the block (CUDA)."""
        axes = real(axes)
        if not axes:
            return Loops(())
        begin, step = _STRIDES[sharing]
        loop = self._loop(axes)
        level = replace(loop.level, begin=begin, step=step)
        return Loops((Loop(loop.axes, level),), shared=level.end)

    def chunked(self, axes: Sequence[Axis], vector: bool) -> Loops:
        """The leading axes divided as ``begin..end``; the last one stays whole if ``vector``.

        Just enough leading axes are flattened for even shares; the others keep loops of their
        own. One long vector axis under few outer points is divided itself.
        """
        axes = real(axes)
        if not axes:
            return Loops(())
        outer, inner = (axes[:-1], axes[-1:]) if vector else (axes, ())
        points = steps(outer)
        divide_inner = vector and (
            not outer
            or (
                points is not None
                and points < ENOUGH_CHUNKS
                and isinstance(inner[0].extent, int)
                and inner[0].extent >= LONG_AXIS
            )
        )
        if divide_inner:
            whole = self._loop(inner)
            part = Loop(whole.axes, replace(whole.level, begin="begin", end="end"))
            return Loops((*self.plain(outer).loops, part), whole.level.end, GRAIN)
        count = next(
            (k for k in range(1, len(outer)) if (steps(outer[:k]) or 0) >= ENOUGH_CHUNKS),
            len(outer),
        )
        whole = self._loop(outer[:count])
        part = Loop(whole.axes, replace(whole.level, begin="begin", end="end"))
        rest = self.plain((*outer[count:], *inner)).loops
        return Loops((part, *rest), whole.level.end)

    def vectorised(self, loops: Loops, clauses: Sequence[str] = ()) -> Loops:
        """The innermost loop marked as one whose iterations may run side by side."""
        pragma = self.expressions.dialect.vectorise
        if not loops.loops or not pragma or not long_enough(loops.loops[-1].level):
            return loops
        marked = " ".join((pragma, *(f"reduction({clause})" for clause in clauses)))
        last = self._marked(loops.loops[-1], marked)
        return replace(loops, loops=(*loops.loops[:-1], last))

    def _marked(self, loop: Loop, pragma: str) -> Loop:
        return Loop(loop.axes, replace(loop.level, pragmas=(*loop.level.pragmas, pragma)))

    def _loop(self, axes: Sequence[Axis]) -> Loop:
        names = tuple(axis.name for axis in axes)
        render = self.expressions
        end = render.integer(product(axis.extent for axis in axes))
        if len(axes) == 1:
            return Loop(names, Level(render.identifier(names[0]), "0", end))
        var = render.identifier("_".join(names))
        while var in self.taken:
            var += "_"
        return Loop(names, Level(var, "0", end, decode=self._decode(var, axes)))

    def _decode(self, var: str, axes: Sequence[Axis]) -> tuple[str, ...]:
        render = self.expressions
        lines = []
        for place, axis in enumerate(axes):
            inner = product(after.extent for after in axes[place + 1 :])
            text = var if inner == 1 else f"{var} / {render.operand(inner)}"
            if place > 0:
                text += f" % {render.operand(axis.extent)}"
            lines.append(f"const {render.dialect.index} {render.identifier(axis.name)} = {text};")
        return tuple(lines)


def long_enough(level: Level) -> bool:
    """Whether a loop has steps enough for a vector, as far as is known."""
    return not level.end.isdigit() or int(level.end) >= SHORT_AXIS
