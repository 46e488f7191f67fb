"""Column sums that have nothing in common: nests of their own.

Fusion puts sums over the same axes together because they read the same values; where those values
come to be stored after all, what is left may read different buffers. Compilers take long over one
large loop, and pieces that are alike are compiled once (:mod:`graphc.codegen.alike`).
"""

from collections.abc import Mapping
from dataclasses import replace

from graphc.codegen.placement import loaded, mentioned
from graphc.kernel import Index, Nest, Reduction, Skeleton, Statement, Store

_MANY = 4  # reductions that one loop may well have


def separated(nest: Nest) -> tuple[Nest, ...]:
    """The nest, or several that together compute the same and share no buffer that they read."""
    if nest.schedule.skeleton is not Skeleton.COLUMNS or len(nest.phases) != 1:
        return (nest,)
    (phase,) = nest.phases
    statements = (*phase.body, *phase.finals)
    checked = any(isinstance(statement, Index) for statement in statements)
    if len(phase.reductions) <= _MANY or phase.stores or checked:
        return (nest,)
    named = {value.name: value for value in (*statements, *phase.reductions)}
    sums = {reduction.name for reduction in phase.reductions}
    groups: list[tuple[set[str], set[str], list[Store]]] = []
    for store in phase.final_stores:
        names, buffers = _needs(store, named)
        stores = [store]
        for group in [g for g in groups if g[1] & buffers or g[0] & names & sums]:
            names, buffers, stores = names | group[0], buffers | group[1], stores + group[2]
            groups.remove(group)
        groups.append((names, buffers, stores))
    if not all(names & sums for names, _, _ in groups):
        return (nest,)
    found = []
    for names, _, stores in groups:
        reductions = tuple(r for r in phase.reductions if r.name in names)
        own = replace(
            phase,
            body=tuple(s for s in phase.body if s.name in names),
            reductions=reductions,
            finals=tuple(s for s in phase.finals if s.name in names),
            final_stores=tuple(s for s in phase.final_stores if s in stores),
        )
        work = nest.schedule.work * len(reductions) // len(phase.reductions)
        found.append(replace(nest, phases=(own,), schedule=replace(nest.schedule, work=work)))
    return tuple(found)


def _needs(store: Store, named: Mapping[str, Statement | Reduction]) -> tuple[set[str], set[str]]:
    """The statements and reductions that a store depends on, and the buffers that they touch."""
    names: set[str] = set()
    buffers = {store.buffer}
    pending = [store.expr]
    while pending:
        expr = pending.pop()
        buffers |= loaded(expr)
        for name in mentioned(expr):
            if name in named and name not in names:
                names.add(name)
                pending.append(named[name].expr)
    return names, buffers
