"""Products of pairs: two steps of the depth as one, where the target multiplies bfloat16 in pairs.

The two elements of a pair lie side by side in packed rows, as one number of 32 bits. So a
contraction of pairs is one of float32 with half the depth: tiles, packing and blocks count pairs.
Where the number of steps is odd, the last pair has a second element of zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphc.codegen.contraction.halo import Halo
from graphc.codegen.contraction.operands import Operand, expr_with, fixed, statements_with
from graphc.kernel import Axis, Contraction, Expr, Statement
from graphc.sizes import Int, symbol

PER = 2  # elements of a pair
WASTE = 1.05  # of multiplications, by a last pair that is half empty


@dataclass(frozen=True)
class Pairs:
    """Which axis of the depth goes by pairs: ``axis`` counts pairs of steps of ``single``."""

    single: Axis
    axis: Axis

    @property
    def odd(self) -> bool:
        """Whether the last pair may have but one element."""
        extent = fixed(self.single)
        return extent is None or extent % PER != 0

    @property
    def first(self) -> Int:
        """The step of a pair's first element."""
        return symbol(self.axis.name) * PER

    @property
    def second(self) -> Int:
        """The step of the second: a variable where there may be none."""
        return symbol(f"{self.single.name}_second") if self.odd else self.first + 1

    def product(
        self, nest: Contraction, lhs: Operand, rhs: Operand, copied: Halo | None
    ) -> tuple[Contraction, Operand, Operand, Halo | None]:
        """The contraction over pairs, which become the last axis of the depth.

        ``copied`` is what one of the operands reads.
        """
        others = tuple(axis for axis in nest.depth if axis != self.single)
        nest = replace(nest, depth=(*others, self.axis))
        left, right = self._operand(lhs), self._operand(rhs)
        if copied is not None:
            copied = replace(copied, operand=left if copied.operand is lhs else right)
        return nest, left, right, copied

    def _operand(self, of: Operand) -> Operand:
        """The same operand at the first element of each pair; its expression stays as it is."""
        if of.strides is None:
            return replace(of, in_place=False)
        strides = dict(of.strides)
        step = strides.pop(self.single.name)
        strides[self.axis.name] = step * PER
        return replace(of, strides=strides, pair=step, in_place=of.in_place and step == 1)

    def elements(self, of: Operand) -> list[tuple[tuple[Statement, ...], Expr]]:
        """Statements and value of both elements of a pair."""
        steps = [{self.single.name: place} for place in (self.first, self.second)]
        return [(statements_with(of.body, to), expr_with(of.expr, to)) for to in steps]


def pairable(nest: Contraction) -> bool:
    """Whether all factors are bfloat16, and there is something to sum."""
    factors = {nest.lhs.dtype.short, nest.rhs.dtype.short}
    return factors == {"bf16"} and nest.dtype.short in ("bf16", "f32") and bool(nest.depth)


def pairs_of(depth: Sequence[Axis], sides: Sequence[Operand]) -> Pairs:
    """The axis to pair: without waste if there is one, and where neighbours lie in memory."""

    def badness(number: int) -> tuple[bool, int, int]:
        axis = depth[number]
        extent = fixed(axis) or PER
        apart = sum(side.stride(axis.name) != 1 for side in sides)
        return -(-extent // PER) * PER > extent * WASTE, apart, -number

    single = depth[min(range(len(depth)), key=badness)]
    count = (single.extent + (PER - 1)) // PER
    return Pairs(single, Axis(f"{single.name}_pair", count))
