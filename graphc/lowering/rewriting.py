"""Nests with their index expressions replaced: the substitution that axis changes are made of."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from graphc.expressions import within
from graphc.kernel import (
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
    Nest,
    Phase,
    Position,
    Reduction,
    Statement,
    Store,
)
from graphc.lowering.elements import positions
from graphc.lowering.indexing import simplified
from graphc.sizes import Int

Change = Callable[[Int], Int]


def in_condition(condition: Condition, change: Change) -> Condition:
    if isinstance(condition, Divisible):
        return Divisible(change(condition.index), change(condition.by))
    return InRange(change(condition.index), change(condition.limit))


def in_conditions(
    conditions: tuple[Condition, ...], change: Change
) -> tuple[Condition, ...] | None:
    return simplified(in_condition(c, change) for c in conditions)


def in_expr(expr: Expr, change: Change) -> Expr:
    """The expression with every index changed; conditions that are then certain go."""
    if isinstance(expr, Load):
        mask = in_conditions(expr.mask, change)
        kept = tuple(in_condition(c, change) for c in expr.mask) if mask is None else mask
        return Load(expr.buffer, change(expr.index), expr.dtype, kept, expr.other)
    if isinstance(expr, Position):
        return Position(change(expr.index), expr.dtype)
    if isinstance(expr, Call):
        return Call(expr.text, tuple(in_expr(a, change) for a in expr.args), expr.dtype)
    if isinstance(expr, Masked):
        open_ = in_conditions(expr.conditions, change)
        if open_ is None:
            return in_expr(expr.other, change)
        value = in_expr(expr.value, change)
        return Masked(open_, value, in_expr(expr.other, change)) if open_ else value
    return expr


def in_statement(statement: Statement, change: Change) -> Statement:
    if isinstance(statement, Let):
        return replace(statement, expr=in_expr(statement.expr, change))
    return replace(statement, expr=in_expr(statement.expr, change), limit=change(statement.limit))


def in_store(store: Store, change: Change) -> Store:
    return replace(store, index=change(store.index), expr=in_expr(store.expr, change))


def in_reduction(reduction: Reduction, change: Change) -> Reduction:
    position = None if reduction.position is None else change(reduction.position)
    return replace(reduction, expr=in_expr(reduction.expr, change), position=position)


def in_phase(phase: Phase, change: Change) -> Phase:
    return Phase(
        axes=phase.axes,
        body=tuple(in_statement(s, change) for s in phase.body),
        reductions=tuple(in_reduction(r, change) for r in phase.reductions),
        stores=tuple(in_store(s, change) for s in phase.stores),
        finals=tuple(in_statement(s, change) for s in phase.finals),
        final_stores=tuple(in_store(s, change) for s in phase.final_stores),
    )


def in_nest(nest: Nest, change: Change) -> Nest:
    return replace(nest, phases=tuple(in_phase(p, change) for p in nest.phases))


def in_contraction(nest: Contraction, change: Change) -> Contraction:
    return replace(
        nest,
        lhs=in_expr(nest.lhs, change),
        rhs=in_expr(nest.rhs, change),
        epilogue=in_phase(nest.epilogue, change),
        lhs_body=tuple(in_statement(s, change) for s in nest.lhs_body),
        rhs_body=tuple(in_statement(s, change) for s in nest.rhs_body),
    )


# ---------------------------------------------------------------------------------------- reading


def expr_indices(expr: Expr) -> Iterator[Int]:
    """Every index expression inside an expression."""
    for part in within(expr):
        yield from positions(part)


def expr_loads(expr: Expr) -> Iterator[Load]:
    """Every load inside an expression."""
    return (part for part in within(expr) if isinstance(part, Load))


def phase_exprs(phase: Phase) -> Iterator[Expr]:
    for statement in (*phase.body, *phase.finals):
        yield statement.expr
    for reduction in phase.reductions:
        yield reduction.expr
    for store in (*phase.stores, *phase.final_stores):
        yield store.expr


def phase_indices(phase: Phase) -> Iterator[Int]:
    for expr in phase_exprs(phase):
        yield from expr_indices(expr)
    for statement in (*phase.body, *phase.finals):
        if isinstance(statement, Index):
            yield statement.limit
    for reduction in phase.reductions:
        if reduction.position is not None:
            yield reduction.position
    for store in (*phase.stores, *phase.final_stores):
        yield store.index


def names_in(nest: Nest) -> set[str]:
    """Every name in a nest but those of its axes: buffers, statements and reductions."""
    found: set[str] = set()
    for phase in nest.phases:
        found.update(s.name for s in (*phase.body, *phase.finals))
        found.update(r.name for r in phase.reductions)
        found.update(s.buffer for s in (*phase.stores, *phase.final_stores))
        for expr in phase_exprs(phase):
            found.update(load.buffer for load in expr_loads(expr))
    return found


def contraction_exprs(nest: Contraction) -> Iterator[Expr]:
    for statement in (*nest.lhs_body, *nest.rhs_body):
        yield statement.expr
    yield nest.lhs
    yield nest.rhs
    yield from phase_exprs(nest.epilogue)


def contraction_indices(nest: Contraction) -> Iterator[Int]:
    for statement in (*nest.lhs_body, *nest.rhs_body):
        yield from expr_indices(statement.expr)
        if isinstance(statement, Index):
            yield statement.limit
    yield from expr_indices(nest.lhs)
    yield from expr_indices(nest.rhs)
    yield from phase_indices(nest.epilogue)
