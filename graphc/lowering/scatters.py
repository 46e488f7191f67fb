"""Scatter: a copy, then stores at checked indices, without two writers ever meeting.

The parallel axes are those along which an entry of the index only writes its own place; at each
of their points the copy runs first, then the entries in order, so that sums have one order and
the last of several plain writes stays. An index smaller than the data elsewhere runs on one thread.
"""

from dataclasses import replace

from graphc.ir import Node
from graphc.kernel import Axis, Expr, Nest, Phase, Schedule, Skeleton, Store
from graphc.lowering.axes import tidy
from graphc.lowering.elements import Elements, Guard, combine_of, wraps
from graphc.lowering.groups import Group
from graphc.lowering.indexing import Index, linear
from graphc.lowering.nests import Context, axis_names, work_of
from graphc.lowering.statements import Scope, Writer
from graphc.sizes import Int, count

WIDE = 4  # parallel results side by side that are worth vectorising


def scatter_nest(group: Group, context: Context) -> Nest:
    """``x`` copied to the result, then ``values`` stored (or added) where the index says."""
    node = group.cores[0]
    data, index, _ = node.inputs
    dim = node.attrs["dim"]
    scope = context.scope()
    others = [d for d in range(data.ndim) if d != dim]
    own_rank = wraps(node)  # put_index: the index has no part in the other dims
    fits = own_rank or all(data.shape[d] == index.shape[d] for d in others)
    rows = _axes([data.shape[d] for d in others] if fits else [], scope)
    swept = _axes([data.shape[dim]] if fits else list(data.shape), scope, start=len(rows))
    entry_shape = list(index.shape) if own_rank or not fits else [index.shape[dim]]
    entries = _axes(entry_shape, scope, start=len(rows))
    at = tuple(a.index for a in rows)
    place = _with(at, dim, swept[0].index) if fits else tuple(a.index for a in swept)
    entry = tuple(a.index for a in entries)
    where: Index = entry if own_rank or not fits else _with(at, dim, entry[0])
    copy = _copied(node, place, swept, group, context, scope)
    put = _put(node, at, where, entries, group, context, scope, fits and own_rank)
    nest = tidy(Nest(tuple(rows), (copy, put)))
    points = count(tuple(axis.extent for axis in nest.axes))
    sweep = max(count(tuple(a.extent for a in phase.axes)) for phase in nest.phases)
    wide = bool(nest.axes) and count((nest.axes[-1].extent,)) >= WIDE
    work = points * sweep * work_of(context.plan, group)
    skeleton = Skeleton.COLUMNS if wide else Skeleton.ROWS
    return replace(nest, schedule=Schedule(skeleton, work, serial=not wide))


def _axes(extents: list[Int], scope: Scope, start: int = 0) -> list[Axis]:
    names = axis_names(len(extents), scope, start)
    return [Axis(name, extent) for name, extent in zip(names, extents, strict=True)]


def _with(at: Index, dim: int, value: Int) -> Index:
    return (*at[:dim], value, *at[dim:])


def _elements(group: Group, context: Context, scope: Scope) -> tuple[Elements, Writer]:
    def source(node: Node, index: Index, guard: Guard) -> Expr | None:
        return context.load(node, index, guard) if context.from_memory(node, group) else None

    elements = Elements(source, scope.indices)
    return elements, Writer(elements, context.names, scope, context.sites)


def _copied(
    node: Node, place: Index, axes: list[Axis], group: Group, context: Context, scope: Scope
) -> Phase:
    elements, writer = _elements(group, context, scope)
    (value,) = writer.write([elements.value(node.inputs[0], place)])
    stores = tuple(
        Store(buffer, linear(place, node.shape), value)
        for buffer in context.buffers.written[group, node]
    )
    return Phase(tuple(axes), tuple(writer.statements), stores=stores)


def _put(
    node: Node,
    at: Index,
    where: Index,
    axes: list[Axis],
    group: Group,
    context: Context,
    scope: Scope,
    inserted: bool,
) -> Phase:
    """One entry: its index checked, its value stored there."""
    data, index, values = node.inputs
    dim = node.attrs["dim"]
    elements, writer = _elements(group, context, scope)
    position = elements.value(index, where)
    target = elements.check(node, position, data.shape[dim], wraps(node))
    if inserted:  # the entry's own axes stand in the place of the dim
        place = _with(at, dim, target)
        source = (*at[:dim], *where, *at[dim:])
    else:
        place = (*where[:dim], target, *where[dim + 1 :])
        source = where
    writer.index(target)
    (value,) = writer.write([elements.value(values, source)])
    stores = tuple(
        Store(buffer, linear(place, node.shape), value, combine=combine_of(node))
        for buffer in context.buffers.written[group, node]
    )
    return Phase(tuple(axes), tuple(writer.statements), stores=stores)
