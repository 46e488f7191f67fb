"""What a schedule of a contraction consists of: sides, tilings, packing, a plan with its cost."""

from dataclasses import dataclass
from enum import Enum
from math import ceil, gcd, prod
from typing import Union

from graphc.codegen.contraction.halo import MOST_STRIDE, Halo
from graphc.codegen.contraction.operands import Operand, estimated, fixed
from graphc.codegen.contraction.pairs import PER, Pairs
from graphc.kernel import Axis, Contraction
from graphc.sizes import Int, coefficient, product

CACHE_LINE = 16  # elements
CACHE_SETS = 64  # of lines in the first-level cache
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


Product = tuple[Contraction, Operand, Operand, Union[Halo, None]]


def roles(
    nest: Contraction, lhs: Operand, rhs: Operand, copied: Halo | None, pairs: Pairs | None
) -> tuple[Sides, Sides]:
    """Columns as lanes, and rows as lanes."""
    out = contiguous(nest)
    rows, cols = last(nest.rows, out), last(nest.cols, out)
    single = (Axis(ONE, 1),)  # a vector has lanes even where there is one result
    return (
        Sides(nest, False, lhs, rhs, rows, cols or single, copied, pairs),
        Sides(nest, True, rhs, lhs, cols, rows or single, copied, pairs),
    )


def contiguous(nest: Contraction) -> str:
    """The axis along which the first store runs through memory; "" when there is none.

    Where results belong to a class of every few places, it goes by these steps.
    """
    for store in nest.epilogue.stores:
        steps = {a.name: coefficient(store.index, a.name) for a in (*nest.rows, *nest.cols)}
        near = [(s, n) for n, s in steps.items() if isinstance(s, int) and 0 < s <= MOST_STRIDE]
        if near:
            return min(near)[1]
    return ""


def last(axes: tuple[Axis, ...], name: str) -> tuple[Axis, ...]:
    """The axes with the named one moved to the end."""
    return tuple(sorted(axes, key=lambda axis: axis.name == name))


def tiles_of(tiling: Tiling) -> int:
    """The tiles along a side."""
    return sum(many for _, many in tiling.sizes)
