"""A contraction made simple: fewer axes, and operands whose addresses are sums of strides."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from graphc.dtypes import dtype
from graphc.expressions import rounding
from graphc.kernel import (
    Axis,
    Call,
    Condition,
    Contraction,
    Divisible,
    Expr,
    Index,
    InRange,
    Let,
    Load,
    Masked,
    Phase,
    Position,
    Statement,
    Store,
)
from graphc.sizes import Int, coefficient, substitute, symbols

# ------------------------------------------------------------------------- walks over expressions


def _in_condition(condition: Condition) -> Iterator[Int]:
    yield condition.index
    yield condition.limit if isinstance(condition, InRange) else condition.by


def _in_expr(expr: Expr) -> Iterator[Int]:
    if isinstance(expr, Load):
        yield expr.index
        for condition in expr.mask:
            yield from _in_condition(condition)
    elif isinstance(expr, Position):
        yield expr.index
    elif isinstance(expr, Call):
        for arg in expr.args:
            yield from _in_expr(arg)
    elif isinstance(expr, Masked):
        for condition in expr.conditions:
            yield from _in_condition(condition)
        yield from _in_expr(expr.value)
        yield from _in_expr(expr.other)


def _in_statement(statement: Statement) -> Iterator[Int]:
    yield from _in_expr(statement.expr)
    if isinstance(statement, Index):
        yield statement.limit


def indices(nest: Contraction) -> Iterator[Int]:
    """Every index expression of a contraction."""
    yield from _in_expr(nest.lhs)
    yield from _in_expr(nest.rhs)
    for statement in (*nest.lhs_body, *nest.rhs_body):
        yield from _in_statement(statement)
    yield from in_phase(nest.epilogue)


def in_phase(phase: Phase) -> Iterator[Int]:
    """Every index expression of an epilogue."""
    for statement in phase.body:
        yield from _in_statement(statement)
    for store in phase.stores:
        yield store.index
        yield from _in_expr(store.expr)


def loaded(phase: Phase) -> frozenset[str]:
    """The buffers that an epilogue reads."""
    exprs = [statement.expr for statement in phase.body]
    exprs += [store.expr for store in phase.stores]
    found: set[str] = set()
    while exprs:
        expr = exprs.pop()
        if isinstance(expr, Load):
            found.add(expr.buffer)
        elif isinstance(expr, Call):
            exprs += expr.args
        elif isinstance(expr, Masked):
            exprs += (expr.value, expr.other)
    return frozenset(found)


def _condition(condition: Condition, to: Mapping[str, Int]) -> Condition:
    index = substitute(condition.index, to)
    if isinstance(condition, Divisible):
        return Divisible(index, substitute(condition.by, to))
    return InRange(index, substitute(condition.limit, to))


def expr_with(expr: Expr, to: Mapping[str, Int]) -> Expr:
    """The expression with symbols replaced by name."""
    if isinstance(expr, Load):
        mask = tuple(_condition(c, to) for c in expr.mask)
        return replace(expr, index=substitute(expr.index, to), mask=mask)
    if isinstance(expr, Position):
        return replace(expr, index=substitute(expr.index, to))
    if isinstance(expr, Call):
        return replace(expr, args=tuple(expr_with(arg, to) for arg in expr.args))
    if isinstance(expr, Masked):
        return Masked(
            tuple(_condition(c, to) for c in expr.conditions),
            expr_with(expr.value, to),
            expr_with(expr.other, to),
        )
    return expr


def statements_with(body: tuple[Statement, ...], to: Mapping[str, Int]) -> tuple[Statement, ...]:
    """The statements with symbols replaced by name."""
    result: list[Statement] = []
    for statement in body:
        expr = expr_with(statement.expr, to)
        if isinstance(statement, Let):
            result.append(replace(statement, expr=expr))
        else:
            limit = substitute(statement.limit, to)
            result.append(replace(statement, expr=expr, limit=limit))
    return tuple(result)


def phase_with(phase: Phase, to: Mapping[str, Int]) -> Phase:
    """The epilogue with symbols replaced by name."""
    stores = tuple(
        Store(s.buffer, substitute(s.index, to), expr_with(s.expr, to), s.combine)
        for s in phase.stores
    )
    return replace(phase, body=statements_with(phase.body, to), stores=stores)


def _contraction(nest: Contraction, to: Mapping[str, Int]) -> Contraction:
    return replace(
        nest,
        lhs=expr_with(nest.lhs, to),
        rhs=expr_with(nest.rhs, to),
        lhs_body=statements_with(nest.lhs_body, to),
        rhs_body=statements_with(nest.rhs_body, to),
        epilogue=phase_with(nest.epilogue, to),
    )


# --------------------------------------------------------------------------------- fewer axes


def simplified(nest: Contraction) -> Contraction:
    """Without axes of one step, and with neighbours joined where memory runs on.

    Two axes of a group become one when every index that mentions them steps from the end of the
    inner one to the next step of the outer one: then the pair is a single longer axis.
    """
    nest, batch = _fewer(nest, nest.batch)
    nest, rows = _fewer(nest, nest.rows)
    nest, cols = _fewer(nest, nest.cols)
    nest, depth = _fewer(nest, nest.depth)
    return replace(nest, batch=batch, rows=rows, cols=cols, depth=depth)


def _fewer(nest: Contraction, group: tuple[Axis, ...]) -> tuple[Contraction, tuple[Axis, ...]]:
    axes: list[Axis] = []
    for axis in group:
        if axis.extent == 1:
            nest = _contraction(nest, {axis.name: 0})
            continue
        if axes and run_on(indices(nest), axes[-1], axis):
            outer = axes.pop()
            joined = Axis(f"{outer.name}_{axis.name}", outer.extent * axis.extent)
            nest = _contraction(nest, {outer.name: 0, axis.name: joined.index})
            axis = joined
        axes.append(axis)
    return nest, tuple(axes)


def run_on(found: Iterable[Int], outer: Axis, inner: Axis) -> bool:
    """Whether all indices step from the end of the inner axis to the next of the outer one."""
    for index in found:
        far, near = coefficient(index, outer.name), coefficient(index, inner.name)
        if far is None or near is None or far != near * inner.extent:
            return False
    return True


# ------------------------------------------------------------------------------------ operands

# What packing can convert from, by what is multiplied.
_PACKED_FROM = {"f64": ("f64",), "f32": ("f32", "f16", "bf16"), "bf16": ("bf16", "f32")}


@dataclass(frozen=True)
class Operand:
    """One side of the product.

    ``load`` is set when it is nothing but a load, with a conversion perhaps from what is
    ``stored``. When the index of that is a sum of strides, ``strides`` holds them by axis (0 where
    it does not move) and ``base`` the rest; otherwise ``strides`` is None and the value can only be
    computed point by point. Where the depth goes by pairs, ``pair`` is the stride inside of one.
    """

    expr: Expr
    body: tuple[Statement, ...]
    axes: tuple[Axis, ...]
    strides: Mapping[str, Int] | None = None
    load: Load | None = None
    base: Int = 0
    stored: str = ""  # the short name of the dtype in memory
    in_place: bool = False  # memory holds what is multiplied, nothing needs to be converted
    pair: Int = 0

    @property
    def masked(self) -> bool:
        return self.load is not None and bool(self.load.mask)

    def stride(self, name: str) -> Int | None:
        """The elements between neighbours along an axis, None when the operand is computed."""
        return None if self.strides is None else self.strides.get(name, 0)

    def step(self, name: str) -> Int:
        """The same where strides are known to exist."""
        return 0 if self.strides is None else self.strides.get(name, 0)

    def moves(self, axis: Axis) -> bool:
        """Whether the operand depends on an axis at all."""
        found: list[Int] = list(_in_expr(self.expr))
        for statement in self.body:
            found.extend(_in_statement(statement))
        return any(s.name == axis.name for index in found for s in symbols(index))


def operand(
    expr: Expr,
    body: tuple[Statement, ...],
    axes: tuple[Axis, ...],
    short: str,
    stored: Mapping[str, dtype],
) -> Operand:
    """Looks for strides; ``short`` names the dtype of the numbers that are multiplied."""
    plain = Operand(expr, body, axes)
    load = expr
    if short == "bf16" and isinstance(expr, Call) and expr.text == rounding(expr.dtype):
        (load,) = expr.args  # rounded float32: packing rounds as well
        while isinstance(load, Call) and load.text == "gc_f32_to_f32({0})":
            (load,) = load.args
    if not isinstance(load, Load) or body:
        return plain
    held = stored.get(load.buffer, load.dtype).short
    if held not in _PACKED_FROM[short] or load.dtype.short not in (held, short):
        return plain
    if load is not expr and held != "f32":
        return plain
    if load.mask and load.other != 0:
        return plain
    plain = replace(plain, load=load, stored=held, in_place=held == short)
    strides: dict[str, Int] = {}
    names = {axis.name for axis in axes}
    for axis in axes:
        step = coefficient(load.index, axis.name)
        if step is None or any(s.name in names for s in symbols(step)):
            return plain
        strides[axis.name] = step
    base = substitute(load.index, dict.fromkeys(names, 0))
    return replace(plain, strides=strides, base=base)


def offset(of: Operand, names: Mapping[str, Int]) -> Int:
    """The part of the operand's index that comes from some axes at given places."""
    total: Int = 0
    for name, place in names.items():
        step = of.stride(name)
        total = total + (0 if step is None else step) * place
    return total


def fixed(axis: Axis) -> int | None:
    """The extent when it is known."""
    return axis.extent if isinstance(axis.extent, int) else None


def estimated(axis: Axis) -> int:
    """The extent, or a guess, for choosing among schedules."""
    return axis.extent if isinstance(axis.extent, int) else 64
