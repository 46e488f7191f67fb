"""The units of a program: each stored value in the group that computes it, in a legal order."""

from graphc.ir import Graph, Node
from graphc.kernel import Expr, Ref
from graphc.lowering.access import own_axes
from graphc.lowering.elements import Elements, Guard
from graphc.lowering.groups import Group, Grouping, Home
from graphc.lowering.indexing import Index
from graphc.lowering.roles import Role
from graphc.lowering.storage import Storage
from graphc.sizes import symbol

Reads = tuple[tuple[Node, Index], ...]


class Plan:
    """Groups with the values that each of them stores.

    ``stores[group]``  nodes written by the group, in topological order
    ``place[node]``    the group that computes a stored node (or a reduction that stays inside)
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.grouping = Grouping(graph)
        self.storage = Storage(graph, self.grouping)
        self.accesses = self.grouping.accesses
        self.stored = self.storage.stored
        self.place: dict[Node, Group] = dict(self.grouping.group)
        self.members: dict[Group, list[Node]] = {g: [] for g in self.grouping.groups}
        self.copies: dict[Group, Node] = {}
        self._reads: dict[Node, Reads] = {}
        self._group_reads: dict[Group, set[tuple[Node, Index]]] = {}  # of so many members:
        self._group_members: dict[Group, int] = {}
        self._loaders: dict[Node, set[Group]] | None = None
        for node in graph.nodes:
            if self.accesses.role(node) is Role.LEAF:
                continue
            if node in self.grouping.group:
                group = self.grouping.group[node]
                self.grouping.depend(group, self._needed(node, group))
                if group.role is Role.INLINE:
                    self.members[group].append(node)
            elif node in self.stored:
                self._settle(node)
        self._join()
        self._complete()
        self.stores: dict[Group, list[Node]] = {group: [] for group in self.grouping.groups}
        for node in graph.nodes:
            if node in self.place and node in self.stored:
                self.stores[self.place[node]].append(node)

    @property
    def groups(self) -> list[Group]:
        return self.grouping.groups

    def home(self, node: Node) -> Home | None:
        """The home of an inline node, if it is computed there."""
        found = self.grouping.home.get(node)
        return found if found is not None and self.place.get(node) is found.group else None

    def loads(self, node: Node, group: Group) -> bool:
        """Whether ``group`` reads a stored node from memory (and does not compose it itself)."""
        if node not in self.stored:
            return False
        place = self.place.get(node)
        if place is None or place is group:
            return False
        return node in self.accesses.cuts or group not in place.ancestors

    def reads(self, node: Node, group: Group) -> Reads:
        """What ``group`` loads to compute a node: leaves and stored nodes, with indices over the
        node's own axes (for reductions: over row axes ``r0..`` and swept axes ``s0..``).
        """
        found = self._reads.get(node)
        if found is None:
            found = self._reads[node] = self._probe(node, group)
        return found

    def _probe(self, node: Node, group: Group) -> Reads:
        found: dict[tuple[Node, Index], None] = {}

        def source(at: Node, index: Index, _guard: Guard) -> Expr | None:
            kind = self.accesses.role(at)
            if kind is Role.LEAF or self.loads(at, group):
                found[at, index] = None
            elif kind is Role.INLINE:
                return None
            elif self.place[at] is not group:
                found[at, index] = None
            return Ref("read", at.dtype)

        elements = Elements(source)
        for at, index in self._starts(node):
            if at is node:
                elements.computed(at, index)
            else:
                elements.value(at, index)
        return tuple(found)

    def _starts(self, node: Node) -> Reads:
        kind = self.accesses.role(node)
        if kind is Role.INLINE:
            return ((node, own_axes(node)),)
        if kind is Role.REDUCE:
            sweep = self.accesses.sweep(node)
            rows = tuple(symbol(f"r{d}", size) for d, size in enumerate(sweep.rows))
            swept = tuple(symbol(f"s{d}", size) for d, size in enumerate(sweep.sweep))
            return sweep.operands(rows, swept)
        return tuple((x, own_axes(x)) for x in node.inputs)

    def _needed(self, node: Node, group: Group) -> set[Group]:
        return {self.place[at] for at, _ in self.reads(node, group) if at in self.place} - {group}

    # -------------------------------------------------------------------------------- placing

    def _settle(self, node: Node) -> None:
        """Finds the group that computes and stores an inline node."""
        home = self.grouping.home.get(node)
        if home is not None:
            needed = {self.place[at] for at, _ in self._probe(node, home.group) if at in self.place}
            if self.grouping.may_join(home.group, needed):
                self.place[node] = home.group
                self.members[home.group].append(node)
                self.grouping.depend(home.group, needed - {home.group})
                return
        for group in reversed(self.grouping.groups):
            if group.role is Role.INLINE and self._fits(node, group):
                self.place[node] = group
                self.members[group].append(node)
                self.grouping.depend(group, self._needed(node, group))
                return
        alone = Group(Role.INLINE, rows=node.shape)
        alone.serial = len(self.grouping.groups)
        needed = {self.place[at] for at, _ in self._probe(node, alone) if at in self.place}
        self.grouping.groups.append(alone)
        self.members[alone] = [node]
        self.place[node] = alone
        self.grouping.depend(alone, needed)

    def _fits(self, node: Node, group: Group) -> bool:
        """Whether a pointwise nest over the same shape can compute one more value."""
        if group.rows != node.shape:
            return False
        reads = self._probe(node, group)
        axes = own_axes(node)
        direct = self._composes(node, group)
        if direct is None:
            return False
        theirs = self._group_reads.setdefault(group, set())
        for member in self.members[group][self._group_members.get(group, 0) :]:
            theirs.update(self.reads(member, group))
        self._group_members[group] = len(self.members[group])
        shared = any(at.ndim > 0 and (at, index) in theirs for at, index in reads)
        if not direct and not shared:
            return False
        if any(at in self.members[group] and index != axes for at, index in reads):
            return False
        needed = {self.place[at] for at, _ in reads if at in self.place}
        return self.grouping.may_join(group, needed)

    def _composes(self, node: Node, group: Group) -> bool | None:
        """Whether members of the group are met at the node's own index; None: at another."""
        met = False
        fits = True
        axes = own_axes(node)
        members = set(self.members[group])

        def source(at: Node, index: Index, _guard: Guard) -> Expr | None:
            nonlocal met, fits
            if at in members:
                met = True
                fits = fits and index == axes
                return Ref("member", at.dtype)
            if self.accesses.role(at) is Role.INLINE and not self.loads(at, group):
                return None
            return Ref("read", at.dtype)

        Elements(source).computed(node, axes)
        return met if fits else None

    def _join(self) -> None:
        """Makes one nest of pointwise nests over a shape that read each other point by point."""
        written = {value for _, value in self.graph.writes}
        fixed = {g for g, nodes in self.members.items() if not written.isdisjoint(nodes)}
        fixed |= {self.place[node] for node in self.accesses.cuts}
        pending = [g for g in self.groups if g.role is Role.INLINE and g not in fixed]
        while pending:
            group = pending.pop()
            sources: dict[Group, bool] = {}  # whether all of them are read at the point itself
            for node in self.members[group]:
                axes = own_axes(node)
                for at, index in self.reads(node, group):
                    source = self.place.get(at)
                    if source is not None and source.rows == group.rows:
                        sources[source] = sources.get(source, True) and index == axes
            for source, here in sources.items():
                if here and source in pending and not self.grouping.between(source, group):
                    pending.remove(source)
                    pending.append(self._merged(source, group))
                    break

    def _merged(self, first: Group, second: Group) -> Group:
        group = self.grouping.merged(first, second)
        other = second if group is first else first
        members = [*self.members[group], *self.members.pop(other)]
        self.members[group] = sorted(members, key=lambda n: n.serial)
        for node in members:
            self.place[node] = group
            self._reads.pop(node, None)
        return group

    # -------------------------------------------------------------------------------- closure

    def _complete(self) -> None:
        """Whatever another group reads is stored, however the decisions came about."""
        while True:
            missing = {
                at
                for node, group in self.place.items()
                for at, _ in self.reads(node, group)
                if self.accesses.role(at) is not Role.LEAF and at not in self.stored
            }
            if not missing:
                return
            self._reads.clear()
            for node in sorted(missing, key=lambda n: n.serial):
                self.stored[node] = "used by another kernel"

    # -------------------------------------------------------------------------------- copies

    def add_copy(self, node: Node) -> Group:
        """A group that copies a stored node or a leaf."""
        group = Group(Role.INLINE, rows=node.shape, serial=len(self.groups))
        self.grouping.groups.append(group)
        self.members[group] = [node]
        self.stores[group] = [node]
        self.copies[group] = node
        source = self.place.get(node)
        self.grouping.depend(group, set() if source is None else {source})
        return group

    def loaders(self, node: Node) -> set[Group]:
        """The groups that load a leaf or a stored node."""
        if self._loaders is None:
            self._loaders = {}
            for each, group in self.place.items():
                for at, _ in self.reads(each, group):
                    self._loaders.setdefault(at, set()).add(group)
        found = self._loaders.get(node, set())
        return found | {group for group, copied in self.copies.items() if copied is node}
