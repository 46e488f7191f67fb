"""Statements, stores and reductions of the loop IR as lines of source text."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from graphc.codegen.expressions import Expressions, literal
from graphc.codegen.views import Collected
from graphc.dtypes import dtype
from graphc.kernel import Combine, Index, Let, Nest, Phase, Reduction, Ref, Statement, Store
from graphc.sizes import substitute

_LOCATION = re.compile(r"(?P<file>[^\s:]+):(?P<line>\d+)\b")
_IDENTITY = {
    Combine.SUM: 0,
    Combine.PROD: 1,
    Combine.ANY: False,
    Combine.ALL: True,
}
_SYMBOLS = {Combine.SUM: "+", Combine.PROD: "*", Combine.ANY: "|", Combine.ALL: "&"}
_LOGICAL = (Combine.ANY, Combine.ALL)
POSITIONS = {Combine.ARGMAX: "above", Combine.ARGMIN: "below"}
EXTREMES = {Combine.ARGMAX: Combine.MAX, Combine.ARGMIN: Combine.MIN}
_ORDERS = {Combine.MAX: "gc_order", Combine.MIN: "gc_order_low"}
_KEYS = {"f32": ("i32", "int32_t"), "f64": ("i64", "int64_t")}
_RANGES = {
    "i8": (-(2**7), 2**7 - 1),
    "i16": (-(2**15), 2**15 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "i64": (-(2**63), 2**63 - 1),
    "u8": (0, 255),
    "b1": (0, 1),
}


@dataclass
class Statements:
    """Writes lines; remembers the user's line last quoted, so that it is quoted once."""

    expressions: Expressions
    line_directives: bool = False
    quoted: str = field(default="")

    def kind(self, statement: Statement) -> str:
        """The C type of the name that a statement defines."""
        dialect = self.expressions.dialect
        return (
            dialect.index if isinstance(statement, Index) else dialect.scalar(statement.expr.dtype)
        )

    def lines(self, statements: Iterable[Statement]) -> tuple[str, ...]:
        """Declarations, each after the user's line where that changes."""
        result: list[str] = []
        for statement in statements:
            if isinstance(statement, Let):
                result += self._comment(statement.comment)
                kind = self.kind(statement)
                name = self.expressions.identifier(statement.name)
                result.append(f"const {kind} {name} = {self.expressions.value(statement.expr)};")
            else:
                result.append(self._index(statement))
        return tuple(result)

    def _comment(self, comment: str) -> list[str]:
        if not comment or comment == self.quoted:
            return []
        self.quoted = comment
        location = _LOCATION.match(comment)
        if self.line_directives and location:
            return [f'#line {location["line"]} "{location["file"]}"']
        return [f"/* {plain(comment)} */"]

    def _index(self, index: Index) -> str:
        render = self.expressions
        target = f"const {render.dialect.index} {render.identifier(index.name)}"
        if index.known:
            return f"{target} = {render.value(index.expr)};"
        function = "gc_index_wrapped" if index.wrap else "gc_index"
        return (
            f"{target} = {function}("
            f"{render.dialect.reporter}, {index.site}, {render.value(index.expr)}, "
            f"{render.integer(index.limit)});"
        )

    def stores(self, stores: Iterable[Store]) -> tuple[str, ...]:
        return tuple(self.expressions.store(store) for store in stores)

    # ------------------------------------------------------------------------------ reductions

    def collected(
        self,
        reduction: Reduction,
        sweep: Sequence[str],
        widen: bool = True,
        lanes: bool = False,
        joined: bool = False,
    ) -> Collected:
        """How a reduction is accumulated over the axes named in ``sweep``.

        ``lanes``: in a loop whose iterations run side by side, each with its own accumulator.
        ``joined``: in such a loop, all into one.
        """
        if reduction.combine in POSITIONS:
            return self._argument(reduction, sweep, lanes)
        if joined and reduction.combine in _ORDERS and computed(reduction.dtype) in _KEYS:
            return self._ordered(reduction)
        dialect = self.expressions.dialect
        short = computed(reduction.dtype)
        kind = dialect.scalar(reduction.dtype)
        name = self.expressions.identifier(reduction.name)
        held, held_kind = name, kind
        combine = reduction.combine
        if combine in _LOGICAL:
            held, held_kind = f"{name}_held", "int"  # vectors of bool do not exist
        elif combine in (Combine.SUM, Combine.PROD) and widen and short in dialect.wide:
            held, held_kind = f"{name}_{combine.value}", dialect.wide[short]
        join = combine.value
        if combine not in _LOGICAL:
            join += "_f64" if held_kind == "double" else f"_{short}"
        value = self.expressions.value(reduction.expr)
        if combine in _LOGICAL:
            value = self.expressions.expression(reduction.expr)
            value = value if reduction.expr.dtype.short == "b1" else f"({value} != 0)"
        symbol = _SYMBOLS.get(combine, combine.value)
        return Collected(
            name=name,
            kind=kind,
            held=held,
            held_kind=held_kind,
            initial=_initial(combine, reduction.dtype, held_kind),
            update=_update(combine, join, held, value),
            clause=f"{symbol} : {held}",
            join=join,
        )

    def _ordered(self, reduction: Reduction) -> Collected:
        """An extreme of floats by integers that are ordered as they are.

        Vectors join those in one instruction, and the steps of a loop do not wait for each other.
        """
        name = self.expressions.identifier(reduction.name)
        short = computed(reduction.dtype)
        key, kind = _KEYS[short]
        order = f"{_ORDERS[reduction.combine]}_{short}"
        lowest = _initial(reduction.combine, reduction.dtype, "")
        held, join = f"{name}_key", f"{reduction.combine.value}_{key}"
        return Collected(
            name=name,
            kind=self.expressions.dialect.scalar(reduction.dtype),
            held=held,
            held_kind=kind,
            initial=f"{order}({lowest})",
            update=(
                f"{held} = gc_{join}({held}, {order}({self.expressions.value(reduction.expr)}));",
            ),
            clause=f"{reduction.combine.value} : {held}",
            join=join,
            result=f"gc_ordered_{short}",
        )

    def _argument(self, reduction: Reduction, sweep: Sequence[str], lanes: bool) -> Collected:
        render = self.expressions
        name = render.identifier(reduction.name)
        kind = reduction.expr.dtype
        position = 0 if reduction.position is None else reduction.position
        first = substitute(position, dict.fromkeys(sweep, 0))
        best, value = best_of(name), f"{name}_value"
        comes_first = (
            f"gc_{POSITIONS[reduction.combine]}_{'lane_' if lanes else ''}{computed(kind)}"
        )
        return Collected(
            name=name,
            kind=render.dialect.index,
            held=name,
            held_kind=render.dialect.index,
            initial=render.integer(first),
            update=(
                f"const {render.dialect.scalar(kind)} {value} = {render.value(reduction.expr)};",
                f"if ({comes_first}({value}, {best})) {{",
                f"{best} = {value};",
                f"{name} = {render.integer(position)};",
                "}",
            ),
            clause="",
            join=f"{reduction.combine.value}_{computed(kind)}",
            best=best,
            best_kind=render.dialect.scalar(kind),
            best_initial=_initial(EXTREMES[reduction.combine], kind, render.dialect.scalar(kind)),
        )


def in_parts(
    reduction: Reduction, collected: Collected, at: str, offset: int, size: int, lanes: bool = False
) -> Collected:
    """The reduction with its parts kept at index ``at`` of arrays of ``size`` bytes."""
    lane = "lane_" if lanes else ""
    part = f"{collected.name}_part"
    other = f"{part}[{at}]"
    if not collected.best:
        rejoin = _update(reduction.combine, collected.join, collected.held, other)
        return replace(collected, part=part, part_offset=offset, at=at, rejoin=rejoin)
    best_part = f"{collected.best}_part"
    comes_first = f"gc_{POSITIONS[reduction.combine]}_{lane}{computed(reduction.expr.dtype)}"
    return replace(
        collected,
        part=part,
        part_offset=offset,
        best_part=best_part,
        best_part_offset=offset + size,
        at=at,
        rejoin=(
            f"if ({comes_first}({best_part}[{at}], {collected.best})) {{",
            f"{collected.best} = {best_part}[{at}];",
            f"{collected.held} = {other};",
            "}",
        ),
    )


def _update(combine: Combine, join: str, held: str, value: str) -> tuple[str, ...]:
    if combine in _SYMBOLS:
        return (f"{held} {_SYMBOLS[combine]}= {value};",)
    return (f"{held} = gc_{join}({held}, {value});",)


def with_shared_extremes(nest: Nest) -> Nest:
    """max(x) beside argmax(x) -> the value that argmax found, so that x is compared once."""
    return replace(nest, phases=tuple(_shared_extremes(phase) for phase in nest.phases))


def _shared_extremes(phase: Phase) -> Phase:
    found = {(EXTREMES[r.combine], r.expr): r for r in phase.reductions if r.combine in EXTREMES}
    kept = tuple(r for r in phase.reductions if (r.combine, r.expr) not in found)
    known = tuple(
        Let(r.name, Ref(best_of(found[r.combine, r.expr].name), r.dtype))
        for r in phase.reductions
        if (r.combine, r.expr) in found
    )
    return replace(phase, reductions=kept, finals=(*known, *phase.finals))


def best_of(name: str) -> str:
    """The variable that holds the extreme whose position is ``name``."""
    return f"{name}_best"


def plain(comment: str) -> str:
    """A comment that cannot end early or continue the line."""
    return " ".join(comment.replace("*/", "* /").replace("/*", "/ *").split())


def computed(kind: dtype) -> str:
    """The short name of the type that values of a dtype are computed in."""
    return "f32" if kind.short in ("f16", "bf16") else kind.short


def _initial(combine: Combine, kind: dtype, held_kind: str) -> str:
    short = computed(kind)
    if combine in (Combine.MAX, Combine.MIN):
        highest = combine is Combine.MIN
        if short in _RANGES:
            return literal(_RANGES[short][highest], kind)
        return "GC_INFINITY" if highest else "-GC_INFINITY"
    if held_kind == "int":
        return "1" if combine is Combine.ALL else "0"
    if held_kind == "double":
        return f"{_IDENTITY[combine]}.0"
    return literal(_IDENTITY[combine], kind)
