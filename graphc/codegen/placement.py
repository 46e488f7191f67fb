"""Where statements run: as far out as the loops they depend on allow."""

from collections.abc import Iterator, Mapping, Sequence

from graphc.expressions import within
from graphc.kernel import (
    Call,
    Condition,
    Expr,
    Index,
    InRange,
    Load,
    Masked,
    Position,
    Ref,
    Statement,
)
from graphc.sizes import Int, symbols


def mentioned(expr: Expr) -> Iterator[str]:
    """The names an expression reads: axes, checked indices, lets and reductions."""
    if isinstance(expr, Ref):
        yield expr.name
    elif isinstance(expr, Position):
        yield from _symbols(expr.index)
    elif isinstance(expr, Load):
        yield from _symbols(expr.index)
        yield from _in_conditions(expr.mask)
    elif isinstance(expr, Call):
        for arg in expr.args:
            yield from mentioned(arg)
    elif isinstance(expr, Masked):
        yield from _in_conditions(expr.conditions)
        yield from mentioned(expr.value)
        yield from mentioned(expr.other)


def loaded(expr: Expr) -> set[str]:
    """The buffers an expression reads."""
    return {part.buffer for part in within(expr) if isinstance(part, Load)}


def read_by(statement: Statement) -> Iterator[str]:
    """The names a statement reads."""
    yield from mentioned(statement.expr)
    if isinstance(statement, Index):
        yield from _symbols(statement.limit)


def _symbols(value: Int) -> Iterator[str]:
    return (symbol.name for symbol in symbols(value))


def _in_conditions(conditions: tuple[Condition, ...]) -> Iterator[str]:
    for condition in conditions:
        yield from _symbols(condition.index)
        limit = condition.limit if isinstance(condition, InRange) else condition.by
        yield from _symbols(limit)


def repeats(statement: Statement, outer: Mapping[str, Statement]) -> bool:
    """Whether an earlier phase computed the same: one check has one name in all phases."""
    before = outer.get(statement.name)
    both_check = isinstance(before, Index) and isinstance(statement, Index)
    return before == statement or both_check


class Placement:
    """The depth of every name in a nest of loops; 0 is outside all of them.

    ``loops`` lists, from the outermost inwards, the axes that each loop binds.
    """

    def __init__(self, loops: Sequence[Sequence[str]]) -> None:
        self.depths: dict[str, int] = {
            axis: depth for depth, axes in enumerate(loops, 1) for axis in axes
        }

    def inside(self, loops: Sequence[Sequence[str]], outer: int) -> "Placement":
        """The same names within further loops that start below depth ``outer``."""
        inner = Placement([])
        inner.depths = self.depths | {
            axis: depth for depth, axes in enumerate(loops, outer + 1) for axis in axes
        }
        return inner

    def define(self, name: str, depth: int) -> None:
        self.depths[name] = depth

    def depth(self, names: Iterator[str]) -> int:
        return max((self.depths.get(name, 0) for name in names), default=0)

    def place(
        self,
        statements: Sequence[Statement],
        deepest: int,
        shallowest: int = 0,
        outer: "Mapping[str, Statement] | None" = None,
    ) -> dict[int, list[Statement]]:
        """Statements by depth, between ``shallowest`` and ``deepest``.

        ``outer`` holds the statements that earlier phases put outside their sweeps: the same one
        is not repeated, and another of the same name stays in the innermost loop.
        """
        known = outer or {}
        placed: dict[int, list[Statement]] = {}
        for statement in statements:
            depth = max(self.depth(read_by(statement)), shallowest)
            outside = depth < deepest
            if repeats(statement, known) and (outside or isinstance(statement, Index)):
                self.define(statement.name, depth)
                continue
            if statement.name in known and outside:
                depth = deepest
            self.define(statement.name, depth)
            placed.setdefault(depth, []).append(statement)
        return placed
