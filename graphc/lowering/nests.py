"""A group of nodes as a nest of the loop IR: pointwise nests, and reductions in phases."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from graphc.dtypes import bfloat16, float16
from graphc.ir import Node
from graphc.kernel import (
    Axis,
    Call,
    Combine,
    Expr,
    Let,
    Load,
    Nest,
    Phase,
    Reduction,
    Ref,
    Statement,
    Store,
)
from graphc.lowering.access import operations
from graphc.lowering.axes import tidy
from graphc.lowering.buffers import Buffers
from graphc.lowering.elements import Elements, Guard, rounded
from graphc.lowering.groups import Group
from graphc.lowering.indexing import Index, linear, rejoined, unflattened
from graphc.lowering.pieces import pieces
from graphc.lowering.plan import Plan
from graphc.lowering.roles import Role, Sweep
from graphc.lowering.schedule import scheduled
from graphc.lowering.statements import Names, Scope, SiteOf, Writer
from graphc.lowering.strides import PRODUCT
from graphc.sizes import Int, count, substitute, symbols

_LETTERS = "ijklmnopqr"
_ARGUMENTS = (Combine.ARGMAX, Combine.ARGMIN)
_HALVES = (float16, bfloat16)


def axis_names(count: int, scope: Scope, start: int = 0) -> list[str]:
    """Names for axes: i, j, k, ... past those that are taken."""
    names: list[str] = []
    at = start
    while len(names) < count:
        letter = _LETTERS[at % len(_LETTERS)]
        name = letter * (1 + at // len(_LETTERS))
        at += 1
        if name not in scope.taken:
            scope.taken.add(name)
            names.append(name)
    return names


@dataclass
class Context:
    """What building a nest needs to know of the program."""

    plan: Plan
    buffers: Buffers
    names: Names
    sites: SiteOf
    sizes: tuple[str, ...] = ()

    def scope(self) -> Scope:
        """Names for one nest, apart from those of buffers and sizes."""
        return Scope({*self.buffers.made, *self.sizes})

    def load(self, node: Node, index: Index, guard: Guard) -> Load:
        place = linear(index, node.shape)
        return Load(
            self.buffers.load_from(node), place, node.dtype, _telling(guard, place, node), 0
        )

    def from_memory(self, node: Node, group: Group) -> bool:
        return self.plan.accesses.role(node) is Role.LEAF or self.plan.loads(node, group)


def _telling(guard: Guard, place: Int, node: Node) -> Guard:
    """The conditions that tell whether a place exists: those of axes that it moves with.

    In an empty buffer there is no place at all.
    """
    if not all(isinstance(size, int) and size > 0 for size in node.shape):
        return guard
    moving = {each.name for each in symbols(place)}
    return tuple(c for c in guard if moving & {each.name for each in symbols(c.index)})


# ------------------------------------------------------------------------------------------- maps


def map_nest(group: Group, context: Context) -> Nest:
    """A nest without a sweep: values over one shape, computed side by side."""
    plan = context.plan
    scope = context.scope()
    axes = [Axis(n, e) for n, e in zip(axis_names(len(group.rows), scope), group.rows, strict=True)]
    index = tuple(axis.index for axis in axes)

    def source(node: Node, at: Index, guard: Guard) -> Expr | None:
        if group in context.buffers.copied:
            return Load(context.buffers.copied[group], linear(at, node.shape), node.dtype)
        return context.load(node, at, guard) if context.from_memory(node, group) else None

    stored = list(plan.stores[group])
    indices = [index] * len(stored)
    elements = Elements(source, scope.indices)
    values = [elements.value(n, index) for n in stored]
    cut = pieces(values, axes)
    if cut is not None:
        number, length = cut
        axis = Axis(axes[number].name, length)
        starts = range(0, count((axes[number].extent,)), length)
        places = [(*index[:number], axis.index + at, *index[number + 1 :]) for at in starts]
        axes[number] = axis
        indices = [at for _ in stored for at in places]
        stored = [n for n in stored for _ in places]
        elements = Elements(source, scope.indices)
        values = [elements.value(n, at) for n, at in zip(stored, indices, strict=True)]
    writer = Writer(elements, context.names, scope, context.sites)
    stores = _stores(writer, context, group, stored, values, indices)
    nest = Nest(tuple(axes), (Phase(body=tuple(writer.statements), stores=stores),))
    return scheduled(tidy(nest), work_of(plan, group))


def _stores(
    writer: Writer,
    context: Context,
    group: Group,
    nodes: Sequence[Node],
    values: Sequence[Expr],
    indices: Sequence[Index],
) -> tuple[Store, ...]:
    """Stores of values; what reads memory that the nest writes is read before any store."""
    written = {b for n in nodes for b in context.buffers.written[group, n]}
    if sum(len(context.buffers.written[group, n]) for n in nodes) > 1:
        writer.pin(values, written)
    stores: list[Store] = []
    for node, index, value in zip(nodes, indices, writer.write(values), strict=True):
        place = linear(index, node.shape)
        for buffer in context.buffers.written[group, node]:
            stores.append(Store(buffer, place, value))
    return tuple(stores)


def work_of(plan: Plan, group: Group) -> int:
    """Scalar operations at one point of a group: its inline nodes, each once, and its stores."""
    total = 0
    seen: set[Node] = set()
    pending = [n for n in plan.stores[group]] + list(group.cores)
    for node in pending:
        total += 2
        stack = [node]
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            total += max(operations(at), 0)
            for source in at.inputs:
                inline = plan.accesses.role(source) in (Role.INLINE, Role.PART)
                if inline and not plan.loads(source, group):
                    stack.append(source)
    return max(total, 1)


# ------------------------------------------------------------------------------------- reductions


@dataclass
class _Part:
    """One phase under construction."""

    depth: int
    sweep: tuple[Int, ...]
    axes: tuple[Axis, ...] = ()
    cores: list[Node] = field(default_factory=list)
    full: list[Node] = field(default_factory=list)
    rows: list[Node] = field(default_factory=list)
    requested: list[Node] = field(default_factory=list)


class ReductionNest:
    """Builds the nest of a group of reductions over the same rows.

    Each reduction runs in the phase after those it reads; values over the whole rows are stored
    in the phase after the reductions they read; values of one row when a phase has finished.
    """

    def __init__(self, group: Group, context: Context) -> None:
        self.group = group
        self.context = context
        self.plan = context.plan
        self.scope = context.scope()
        names = axis_names(len(group.rows), self.scope)
        self.axes = tuple(Axis(n, e) for n, e in zip(names, group.rows, strict=True))
        self.rows = tuple(axis.index for axis in self.axes)
        self.depths: dict[Node, int] = {}
        self.parts: list[_Part] = []
        self.refs: dict[Node, Expr] = {}
        self.row_values: dict[Node, _Part] = {}
        self._core_names: dict[Node, str] = {}
        self._part: _Part | None = None
        self._arrange()

    # ----------------------------------------------------------------------------- arrangement

    def _arrange(self) -> None:
        sweeps: dict[tuple[Int, ...], tuple[Axis, ...]] = {}

        def part(depth: int, sweep: tuple[Int, ...]) -> _Part:
            for known in self.parts:
                if known.depth == depth and known.sweep == sweep:
                    return known
            if sweep not in sweeps:
                names = axis_names(len(sweep), self.scope)
                sweeps[sweep] = tuple(Axis(n, e) for n, e in zip(names, sweep, strict=True))
            made = _Part(depth, sweep, sweeps[sweep])
            self.parts.append(made)
            return made

        for core in self.group.cores:
            depth = 1 + max((self.depths[n] for n in self._below(core)), default=-1)
            self.depths[core] = depth
            part(depth, self.plan.accesses.sweep(core).sweep).cores.append(core)
        rows: list[tuple[Node, int]] = []
        for node in self.plan.stores[self.group]:
            if 0 in node.shape:
                continue  # its loops never run, and what they would check must not be checked
            if node in self.depths:
                rows.append((node, self.depths[node]))
                continue
            home = self.plan.home(node)
            assert home is not None
            below = max((self.depths[n] for n in self._below(node)), default=0)
            if home.at_row:
                rows.append((node, below))
            else:
                swept = tuple(a.extent for a in home.axes[home.rows :] if a.extent is not None)
                part(below + 1, swept).full.append(node)
        self.parts.sort(key=lambda p: p.depth)
        for node, depth in rows:
            self._part_of(depth).rows.append(node)

    def _part_of(self, depth: int) -> _Part:
        """The last part of a depth: what it makes known is computed and stored at its end."""
        return next(p for p in reversed(self.parts) if p.depth == depth)

    def _below(self, node: Node) -> set[Node]:
        """The reductions of this group that a node reads through inline nodes."""
        found: set[Node] = set()
        seen: set[Node] = set()
        pending = list(node.inputs)
        while pending:
            at = pending.pop()
            if at in seen:
                continue
            seen.add(at)
            if at in self.depths:
                found.add(at)
            elif self._is_composed(at):
                pending.extend(at.inputs)
        return found

    def _is_composed(self, node: Node) -> bool:
        kind = self.plan.accesses.role(node)
        return kind is Role.PART or (kind is Role.INLINE and not self.plan.loads(node, self.group))

    # --------------------------------------------------------------------------------- elements

    def _source(self, node: Node, index: Index, guard: Guard) -> Expr | None:
        if node in self.refs:
            return self.refs[node]
        if self.context.from_memory(node, self.group):
            return self.context.load(node, index, guard)
        if self._part is not None and self._is_row_value(node):
            return self._row_value(node)
        return None

    def _is_row_value(self, node: Node) -> bool:
        """Whether a value is the same over a sweep, and more than a reference."""
        home = self.plan.grouping.home.get(node)
        if home is None or home.group is not self.group or not home.at_row:
            return False
        below = self._below(node)
        if operations(node) == 0 or not below or self._part is None:
            return False
        return max(self.depths[n] for n in below) < self._part.depth

    def _row_value(self, node: Node) -> Expr:
        """Has a row value computed at the end of the phase that makes it known."""
        if node not in self.row_values:
            part = self._part_of(max(self.depths[n] for n in self._below(node)))
            self.row_values[node] = part
            part.requested.append(node)
            ref = Ref(self.scope.fresh(self.context.names.stem(node)), node.dtype)
            self.refs[node] = ref
        return self.refs[node]

    # ---------------------------------------------------------------------------------- phases

    def build(self) -> Nest:
        for part in self.parts:
            for core in part.cores:
                made_by = self.plan.accesses.sweep(core).node
                name = self.scope.fresh(self.context.names.stem(made_by))
                if core.dtype in _HALVES:
                    self.refs[core] = Ref(self.scope.fresh(f"{name}_rounded"), core.dtype)
                else:
                    self.refs[core] = Ref(name, core.dtype)
                self._core_names[core] = name
        swept = [self._swept(part) for part in self.parts]
        phases = tuple(
            self._finished(part, phase) for part, phase in zip(self.parts, swept, strict=True)
        )
        return scheduled(tidy(Nest(self.axes, phases)), work_of(self.plan, self.group))

    def _elements(self) -> tuple[Elements, Writer]:
        elements = Elements(self._source, self.scope.indices)
        return elements, Writer(elements, self.context.names, self.scope, self.context.sites)

    def _swept(self, part: _Part) -> Phase:
        """The sweep of a phase: its reductions, and the values stored over whole rows."""
        self._part = part
        elements, writer = self._elements()
        at = tuple(axis.index for axis in part.axes)
        values: list[Expr] = []
        for core in part.cores:
            sweep = self.plan.accesses.sweep(core)
            rows = unflattened(linear(self.rows, self.group.rows), sweep.rows)
            operands = sweep.operands(rows, at)
            factors = [elements.value(node, index) for node, index in operands]
            values.append(
                factors[0] if len(factors) == 1 else Call(PRODUCT, tuple(factors), core.dtype)
            )
        indices: list[Index] = []
        for node in part.full:
            index = self._index(node, at)
            indices.append(index)
            values.append(elements.value(node, index))
        written = {b for n in part.full for b in self.context.buffers.written[self.group, n]}
        writer.pin(values, written)
        short = writer.write(values)
        count = len(part.cores)
        reductions = [
            self._reduction(core, value, self.plan.accesses.sweep(core), at)
            for core, value in zip(part.cores, short, strict=False)
        ]
        stores = tuple(
            Store(buffer, linear(index, node.shape), value)
            for node, index, value in zip(part.full, indices, short[count:], strict=True)
            for buffer in self.context.buffers.written[self.group, node]
        )
        self._part = None
        return Phase(part.axes, tuple(writer.statements), tuple(reductions), stores)

    def _index(self, node: Node, swept: Index) -> Index:
        """The index of a value over whole rows at the nest's own axes."""
        home = self.plan.grouping.home[node]
        extents = tuple(a.extent for a in home.axes[: home.rows] if a.extent is not None)
        rows = unflattened(linear(self.rows, self.group.rows), extents)
        swap = {axis.name: at for axis, at in zip(home.axes, (*rows, *swept), strict=True)}
        return tuple(rejoined(substitute(i, swap)) for i in home.index)

    def _row_index(self, node: Node) -> Index:
        if node not in self.depths:
            return self._index(node, ())
        return unflattened(linear(self.rows, self.group.rows), node.shape)

    def _reduction(self, core: Node, value: Expr, sweep: Sweep, at: Index) -> Reduction:
        position = linear(at, sweep.sweep) if sweep.combine in _ARGUMENTS else None
        return Reduction(self._core_names[core], sweep.combine, value, core.dtype, position)

    def _finished(self, part: _Part, phase: Phase) -> Phase:
        """Adds what runs once after the sweep: rounded results, row values, stores of rows."""
        finals: list[Statement] = []
        for core in part.cores:
            if core.dtype in _HALVES:
                ref = self.refs[core]
                assert isinstance(ref, Ref)
                finals.append(Let(ref.name, rounded(Ref(self._core_names[core], core.dtype))))
        elements, writer = self._elements()
        for node in sorted(part.requested, key=lambda n: n.serial):
            ref = self.refs.pop(node)
            assert isinstance(ref, Ref)
            value = elements.computed(node, self._row_index(node))
            self.refs[node] = ref
            (short,) = writer.write([value])
            writer.statements.append(Let(ref.name, short, self.context.names.line(node)))
        values = [elements.value(node, self._row_index(node)) for node in part.rows]
        short_values = writer.write(values)
        stores = tuple(
            Store(buffer, linear(self._row_index(node), node.shape), value)
            for node, value in zip(part.rows, short_values, strict=True)
            for buffer in self.context.buffers.written[self.group, node]
        )
        return Phase(
            phase.axes,
            phase.body,
            phase.reductions,
            phase.stores,
            (*finals, *writer.statements),
            stores,
        )
