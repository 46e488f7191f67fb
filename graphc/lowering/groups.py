"""Which nodes are computed together: reductions and contractions with what surrounds them.

Every reduction and contraction starts a group or joins one; an inline node that reads their
results at its own point has its *home* there. Whether a node with a home is stored is decided
later (:mod:`graphc.lowering.storage`). Groups never depend on each other in a circle.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from graphc.ir import Graph, Node
from graphc.lowering.access import Accesses, own_axes
from graphc.lowering.indexing import Index, divisions, halves, linear, rejoined
from graphc.lowering.roles import Role, Sweep
from graphc.sizes import Int, IntExpr, Symbol, count, product, substitute, symbol

FEW_ROWS = 8  # below which a large sweep must be divided among threads
LARGE_SWEEP = 1 << 15


@dataclass(eq=False)
class Group:
    """Nodes of one nest. ``cores`` are computed by it in any case, in this order."""

    role: Role
    cores: list[Node] = field(default_factory=list)
    rows: tuple[Int, ...] = ()
    ancestors: "set[Group]" = field(default_factory=set)
    reads: set[tuple[Node, Index]] = field(default_factory=set)
    serial: int = 0


@dataclass(frozen=True)
class Home:
    """Where an inline node can be computed without loading the group's results.

    ``index`` is the node's index over its ``axes``; the first ``rows`` of these axes run along the
    rows of the group, the others are swept at each row.
    """

    group: Group
    index: Index
    axes: tuple[Symbol, ...]
    rows: int

    @property
    def at_row(self) -> bool:
        return self.rows == len(self.axes)


class Grouping:
    """Groups and homes of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.accesses = Accesses(graph)
        self.group: dict[Node, Group] = {}
        self.home: dict[Node, Home] = {}
        self.groups: list[Group] = []
        self._updates = {value: target for target, value in graph.writes}
        for node in graph.nodes:
            kind = self.accesses.role(node)
            if node in self.accesses.cuts:
                self._cut(node)
            elif kind is Role.INLINE:
                self._settle(node)
            elif kind is Role.REDUCE:
                self._reduce(node)
            elif kind is Role.RESULT:
                self.group[node] = self.group[node.inputs[0]]
                self.group[node].cores.append(node)
            elif kind not in (Role.LEAF, Role.PART):
                self._start(Group(kind), node, self.sources(node.inputs))

    # -------------------------------------------------------------------------- dependencies

    def sources(self, nodes: Iterable[Node]) -> set[Group]:
        """The groups whose results these values read."""
        return {
            self.group[read]
            for node in nodes
            for read, _ in self.accesses.of(node).reads
            if read in self.group
        }

    def may_join(self, group: Group, needed: set[Group]) -> bool:
        """Whether ``group`` can read what these groups compute without going in a circle."""
        return all(other is group or group not in other.ancestors for other in needed)

    def depend(self, group: Group, needed: set[Group]) -> None:
        """Records that ``group`` reads what these groups compute."""
        new = set(needed)
        for other in needed:
            new |= other.ancestors
        new.discard(group)
        new -= group.ancestors
        if not new:
            return
        group.ancestors |= new
        for other in self.groups:
            if group in other.ancestors:
                other.ancestors |= new

    def _start(self, group: Group, node: Node, needed: set[Group]) -> None:
        group.serial = len(self.groups)
        group.cores.append(node)
        self.groups.append(group)
        self.group[node] = group
        self.depend(group, needed)

    def _cut(self, node: Node) -> None:
        """A group of its own for a value whose expression has grown too large."""
        group = Group(Role.INLINE, rows=node.shape, serial=len(self.groups))
        self.groups.append(group)
        self.group[node] = group
        reads = self.accesses.cuts[node].reads
        self.depend(group, {self.group[read] for read, _ in reads if read in self.group})

    # ---------------------------------------------------------------------------- reductions

    def _reduce(self, node: Node) -> None:
        sweep = self.accesses.sweep(node)
        rows = tuple(symbol(f"r{d}", size) for d, size in enumerate(sweep.rows))
        swept = tuple(symbol(f"s{d}", size) for d, size in enumerate(sweep.sweep))
        operands = sweep.operands(rows, swept)
        access = self.accesses.at(operands)
        needed = {self.group[read] for read, _ in access.reads if read in self.group}
        here = linear(rows, sweep.rows)
        joined = self._producer(sweep, access.reads, here, needed) or self._sibling(
            sweep, access.reads, needed
        )
        if joined is not None:
            joined = self._merged(joined, access.reads, here)
            needed = {self.group[read] for read, _ in access.reads if read in self.group}
        if joined is None:
            joined = Group(Role.REDUCE, rows=sweep.rows)
            self._start(joined, node, needed)
        else:
            joined.cores.append(node)
            self.group[node] = joined
            self.depend(joined, needed - {joined})
        joined.reads.update(access.reads)

    def _producer(
        self, sweep: Sweep, reads: Iterable[tuple[Node, Index]], here: Int, needed: set[Group]
    ) -> Group | None:
        """A group of reductions whose results are read at the same row only."""
        size = product(sweep.rows)
        for group in sorted(needed, key=lambda g: -g.serial):
            if group.role is not Role.REDUCE or not self.may_join(group, needed):
                continue
            if product(group.rows) != size or size == 0:
                continue
            mine = [(n, i) for n, i in reads if self.group.get(n) is group]
            if all(linear(index, read.shape) == here for read, index in mine):
                return group
        return None

    def _merged(self, group: Group, reads: Iterable[tuple[Node, Index]], place: Int) -> Group:
        """``group`` with every other group of the same rows that is read at the same row."""
        for other in dict.fromkeys(self.group[n] for n, _ in reads if n in self.group):
            if other is group or other.role is not Role.REDUCE or other.rows != group.rows:
                continue
            mine = [(n, i) for n, i in reads if self.group.get(n) is other]
            if not mine or any(linear(index, read.shape) != place for read, index in mine):
                continue
            apart = self._reads_other_rows(group, other) or self._reads_other_rows(other, group)
            if not apart and not self.between(group, other):
                group = self.merged(group, other)
        return group

    def _reads_other_rows(self, reader: Group, source: Group) -> bool:
        """Whether a row of ``reader`` needs results of ``source`` of other rows than its own."""
        rows = tuple(symbol(f"r{d}", size) for d, size in enumerate(reader.rows))
        here = linear(rows, reader.rows)
        return any(
            self.group.get(node) is source and linear(index, node.shape) != here
            for node, index in reader.reads
        )

    def between(self, a: Group, b: Group) -> bool:
        """Whether a third group lies on a path from one to the other."""
        return any(a in x.ancestors for x in b.ancestors if x is not a) or any(
            b in x.ancestors for x in a.ancestors if x is not b
        )

    def merged(self, a: Group, b: Group) -> Group:
        """Makes one group of two that have the same rows."""
        first, second = sorted((a, b), key=self.groups.index)
        first.cores = sorted((*first.cores, *second.cores), key=lambda n: n.serial)
        first.reads |= second.reads
        first.serial = second.serial
        self.groups.remove(second)
        for node in second.cores:
            self.group[node] = first
        for node, home in list(self.home.items()):
            if home.group is first or home.group is second:
                if self._at_one_place(node, first):
                    self.home[node] = replace(home, group=first)
                else:
                    del self.home[node]
        first.ancestors = (first.ancestors | second.ancestors) - {first, second}
        for other in self.groups:
            if first in other.ancestors or second in other.ancestors:
                other.ancestors.discard(second)
                other.ancestors |= {first, *first.ancestors}
        return first

    def _at_one_place(self, node: Node, group: Group) -> bool:
        """Whether a value reads all results of a group at the same row."""
        reads = self.accesses.of(node).reads
        mine = [(n, i) for n, i in reads if self.group.get(n) is group]
        return len({linear(index, read.shape) for read, index in mine}) == 1

    def _sibling(
        self, sweep: Sweep, reads: Iterable[tuple[Node, Index]], needed: set[Group]
    ) -> Group | None:
        """A group with the same rows that sweeps the same data."""
        size = count((*sweep.rows, *sweep.sweep))
        for group in self.groups:
            if group.role is not Role.REDUCE or group.rows != sweep.rows:
                continue
            if group in needed or not self.may_join(group, needed) or 0 in sweep.rows:
                continue
            if self.accesses.sweep(group.cores[0]).sweep != sweep.sweep:
                continue
            if any(read in group.reads and 4 * count(read[0].shape) >= size for read in reads):
                return group
        return None

    # --------------------------------------------------------------------------------- homes

    def _settle(self, node: Node) -> None:
        """Finds a home for an inline node."""
        access = self.accesses.of(node)
        needed = {self.group[read] for read, _ in access.reads if read in self.group}
        if not needed or self._is_update(node):
            return
        for group in sorted(needed, key=lambda g: -g.serial):
            if not self.may_join(group, needed):
                continue
            mine = [(n, i) for n, i in access.reads if self.group.get(n) is group]
            home = self._home(node, group, mine)
            if home is not None:
                if group.role is Role.REDUCE:
                    place = linear(mine[0][1], mine[0][0].shape)
                    home = replace(home, group=self._merged(group, access.reads, place))
                self.home[node] = home
                return

    def _is_update(self, node: Node) -> bool:
        """Whether the value is part of an update in place: those run side by side at the end."""
        access = self.accesses.of(node)
        for value in access.inline:
            target = self._updates.get(value)
            if target is not None and any(n is target for n, _ in self.accesses.of(value).reads):
                return True
        return False

    def _home(self, node: Node, group: Group, mine: list[tuple[Node, Index]]) -> Home | None:
        index = own_axes(node)
        places = {linear(at, read.shape) for read, at in mine}
        if len(places) != 1:
            return None
        place = places.pop()
        axes = _symbols_of(index)
        fusible = group.role in (Role.REDUCE, Role.CONTRACT)
        points = product(group.cores[0].shape) if fusible else 0
        if points == 0:
            return None
        if place == linear(index, node.shape) and product(node.shape) == points:
            return Home(group, index, axes, len(axes))
        if group.role is not Role.REDUCE:
            return None
        for _ in range(4):
            rows = _leading(place, group.rows)
            if rows is not None:
                if not set(rows) <= set(axes):
                    return None  # a place that is looked up in memory, of any row
                break
            found = next(divisions(place), None)
            if found is None:
                return None
            outer, inner, whole = halves(*found)
            swap = {found[0].name: whole}
            index = tuple(rejoined(substitute(i, swap)) for i in index)
            place = rejoined(substitute(place, swap))
            axes = tuple(
                part
                for axis in axes
                for part in (_symbols_of((outer, inner)) if axis == found[0] else (axis,))
            )
        else:
            return None
        swept = tuple(axis for axis in axes if axis not in rows)
        size = count(tuple(axis.extent for axis in swept if axis.extent is not None))
        if count(group.rows) < FEW_ROWS and size > LARGE_SWEEP:
            return None
        return Home(group, index, (*rows, *swept), len(rows))


def _symbols_of(index: Index) -> tuple[Symbol, ...]:
    found: list[Symbol] = []
    for value in index:
        if isinstance(value, IntExpr):
            atom = value.terms[0][0]
            assert isinstance(atom, Symbol)
            found.append(atom)
    return tuple(found)


def _leading(place: Int, rows: tuple[Int, ...]) -> tuple[Symbol, ...] | None:
    """The axes that make up a row-major position over ``rows``; None when it is no such thing."""
    total = product(rows)
    if isinstance(place, int):
        return () if place == 0 and total == 1 else None
    if place.const or not all(isinstance(atom, Symbol) for atom, _ in place.terms):
        return None
    axes: list[Symbol] = []
    expected: Int = 1
    for atom, scale in sorted(place.terms, key=lambda term: term[1]):
        assert isinstance(atom, Symbol)
        if scale != expected or atom.extent is None:
            return None
        axes.insert(0, atom)
        expected = expected * atom.extent
    return tuple(axes) if expected == total else None
