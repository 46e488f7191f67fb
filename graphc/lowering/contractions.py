"""Contractions with prologues and epilogues: matrix products, convolutions as implicit ones."""

from collections.abc import Mapping
from dataclasses import replace

from graphc.dtypes import bfloat16, float16
from graphc.ir import Node
from graphc.kernel import Axis, Call, Const, Contraction, Expr, Masked, Phase, Ref, Statement, Store
from graphc.lowering.axes import tidy_contraction
from graphc.lowering.elements import Elements, Guard, contracted, rounded
from graphc.lowering.groups import Group
from graphc.lowering.indexing import Index, linear, unflattened
from graphc.lowering.nests import Context
from graphc.lowering.residues import Steps, residue_classes
from graphc.lowering.roles import letters
from graphc.lowering.schedule import contraction_work
from graphc.lowering.statements import Scope, Writer


def contraction_nests(group: Group, context: Context) -> tuple[Contraction, ...]:
    """The contraction of a group: operands through their index maps, epilogue at each result.

    Where an operand has elements at every few places only, there is a nest for each class of
    places that meets them (:mod:`graphc.lowering.residues`); otherwise there is one.
    """
    found = letters(group.cores[0])
    scope = context.scope()
    axes = {letter: _axis(letter, found.extents[letter], scope) for letter in found.extents}
    whole = _nest(group, context, scope, {x: Steps(axes[x]) for x in axes})
    parts = residue_classes(whole)
    if len(parts) == 1:
        return (whole,)
    by_name = ({x: part.get(axes[x].name, Steps(axes[x])) for x in axes} for part in parts)
    return tuple(_nest(group, context, scope, steps) for steps in by_name)


def _nest(group: Group, context: Context, scope: Scope, steps: Mapping[str, Steps]) -> Contraction:
    """The nest over some steps of every letter.

    The operand that brings the last letter of the result gives the columns, so that neighbouring
    columns lie side by side in the result.
    """
    node = group.cores[0]
    found = letters(node)
    out = node.attrs["spec"].split("->")[1]
    index = tuple(steps[letter].index for letter in out)
    at = contracted(node, index, {x: steps[x].index for x in found.depth})
    sides = [_operand(x, i, group, context, scope) for x, i in zip(node.inputs, at, strict=True)]
    rows, cols = found.rows, found.cols
    if out and out[-1] in rows:
        rows, cols = cols, rows
        sides.reverse()
    (lhs, lhs_body), (rhs, rhs_body) = sides
    accumulator = scope.fresh("acc")
    nest = Contraction(
        batch=tuple(steps[x].axis for x in found.batch),
        rows=tuple(steps[x].axis for x in rows),
        cols=tuple(steps[x].axis for x in cols),
        depth=tuple(steps[x].axis for x in found.depth),
        lhs=lhs,
        rhs=rhs,
        accumulator=accumulator,
        dtype=node.dtype,
        epilogue=_epilogue(node, index, group, context, scope, accumulator),
        lhs_body=lhs_body,
        rhs_body=rhs_body,
    )
    nest = tidy_contraction(nest)
    return replace(nest, work=contraction_work(nest))


def _axis(letter: str, extent: object, scope: Scope) -> Axis:
    name = letter
    while name in scope.taken:
        name += letter
    scope.taken.add(name)
    return Axis(name, extent)  # type: ignore[arg-type]


def _operand(
    node: Node, index: Index, group: Group, context: Context, scope: Scope
) -> tuple[Expr, tuple[Statement, ...]]:
    def source(at: Node, where: Index, guard: Guard) -> Expr | None:
        return context.load(at, where, guard) if context.from_memory(at, group) else None

    elements = Elements(source, scope.indices)
    writer = Writer(elements, context.names, scope, context.sites)
    (value,) = writer.write([_as_stored(elements.value(node, index))])
    return value, tuple(writer.statements)


def _as_stored(expr: Expr) -> Expr:
    """A 16-bit number that was made a float32 as that number: packing and products know it."""
    if isinstance(expr, Masked) and isinstance(expr.other, Const):
        value = _as_stored(expr.value)
        return replace(expr, value=value, other=replace(expr.other, dtype=value.dtype))
    if isinstance(expr, Call) and expr.text == "gc_f32_to_f32({0})":
        (value,) = expr.args
        return value if value.dtype in (float16, bfloat16) else expr
    return expr


def _epilogue(
    core: Node, index: Index, group: Group, context: Context, scope: Scope, accumulator: str
) -> Phase:
    """What is stored at each result: the sum itself, and pointwise values of it."""
    total: Expr = Ref(accumulator, core.dtype)
    if core.dtype in (float16, bfloat16):
        total = rounded(total)

    def source(at: Node, where: Index, guard: Guard) -> Expr | None:
        if at is core:
            return total
        return context.load(at, where, guard) if context.from_memory(at, group) else None

    elements = Elements(source, scope.indices)
    writer = Writer(elements, context.names, scope, context.sites)
    nodes = context.plan.stores[group]
    place = linear(index, core.shape)
    indices = [index if n is core else unflattened(place, n.shape) for n in nodes]
    values = [elements.value(n, i) for n, i in zip(nodes, indices, strict=True)]
    written = {b for n in nodes for b in context.buffers.written[group, n]}
    if sum(len(context.buffers.written[group, n]) for n in nodes) > 1:
        writer.pin(values, written)
    short = writer.write(values)
    stores = tuple(
        Store(buffer, linear(i, n.shape), value)
        for n, i, value in zip(nodes, indices, short, strict=True)
        for buffer in context.buffers.written[group, n]
    )
    return Phase(body=tuple(writer.statements), stores=stores)
