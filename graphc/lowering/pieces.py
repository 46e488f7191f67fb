"""Values put together from pieces along an axis (``cat``, sums of pads), piece by piece.

A loop over all of the axis would compute every piece everywhere and choose: four gates side by side
cost four times their work. A loop over one piece computes an element of each and stores them all,
which also shares what the pieces have in common.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import gcd

from graphc.expressions import distinct
from graphc.kernel import Axis, Condition, Expr, InRange, Load, Masked

SHORTEST = 16  # elements of a piece: full vectors
MOST = 8  # pieces


def pieces(values: Sequence[Expr], axes: Sequence[Axis]) -> tuple[int, int] | None:
    """The number of an axis that conditions cut, and the length of equal pieces of it.

    Pieces of the last axis, along which vectors run, are not short.
    """
    conditions = list(_conditions(values))
    for number in range(len(axes) - 1, -1, -1):
        shortest = SHORTEST if number == len(axes) - 1 else 1
        length = _piece(conditions, axes[number])
        if length is not None and length >= shortest:
            return number, length
    return None


def _piece(conditions: Iterable[Condition], axis: Axis) -> int | None:
    extent = axis.extent
    if not isinstance(extent, int):
        return None
    ends = [at for condition in conditions for at in _ends(condition, axis)]
    length = gcd(extent, *(at for at in ends if 0 < at < extent))
    return length if 0 < length < extent <= MOST * length else None


def _ends(condition: Condition, axis: Axis) -> Iterator[int]:
    """Where on the axis a condition begins and ceases to hold, if it is about that axis alone."""
    if isinstance(condition, InRange) and isinstance(condition.limit, int):
        ahead = condition.index - axis.index
        if isinstance(ahead, int):
            yield -ahead
            yield condition.limit - ahead


def _conditions(values: Iterable[Expr]) -> Iterator[Condition]:
    for expr in distinct(values):
        if isinstance(expr, Load):
            yield from expr.mask
        elif isinstance(expr, Masked):
            yield from expr.conditions
