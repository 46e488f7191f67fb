"""Which values get memory: the one place where storing is weighed against computing again.

Costs are in scalar operations for one element of the value in question. Reading four bytes counts
as ``LOAD``, writing them (and bringing the line in first) as ``STORE``.
"""

from collections.abc import Iterable

from graphc.ir import Graph, IndexMap, Node
from graphc.lowering.access import operations, own_axes
from graphc.lowering.groups import Group, Grouping
from graphc.lowering.roles import WHOLE, Role
from graphc.sizes import count

LOAD = 4.0
STORE = 8.0
BUFFER = 4.0  # for a buffer more
LAUNCH = 20_000.0  # for a nest more, all its elements together
CHEAP_PROLOGUE = 2  # operations that packing an operand of a contraction may do
REUSE = 1.5  # elements of a window for each element of its input from which values are reused
EXPENSIVE = 8  # operations that are not repeated for every window or broadcast element


class Storage:
    """Decides, in topological order, which nodes are stored and which are composed again."""

    def __init__(self, graph: Graph, grouping: Grouping) -> None:
        self.graph = graph
        self.grouping = grouping
        self.accesses = grouping.accesses
        self.forced = dict.fromkeys(graph.results)
        self.stored: dict[Node, str] = {}  # node -> why
        self._earlier: dict[Node, str] = {}
        self._contexts: dict[Node, frozenset[object]] = {}
        self._spread: dict[Node, float] = {}
        self._reaching: dict[Node, bool] = {}
        for _ in range(2):  # the second time it is known where values stop being composed
            self._earlier = self.stored
            self.stored = {}
            self._contexts = {}
            for node in graph.nodes:
                reason = self._reason(node)
                if reason:
                    self.stored[node] = reason

    # ------------------------------------------------------------------------------- decisions

    def _reason(self, node: Node) -> str:
        """Why a node is stored; empty when it is not."""
        kind = self.accesses.role(node)
        if kind in (Role.LEAF, Role.PART, Role.LOOP):
            return ""
        if node in self.stored:
            return self.stored[node]
        if node in self.forced:
            return "result"
        if node in self.accesses.cuts:
            return "its expression would grow too large"
        if kind in (Role.SCATTER, Role.TEMPLATE, Role.HOST, Role.RESULT):
            return "made in memory"
        users = self.graph.users[node]
        if any(self.accesses.role(u) in WHOLE for u in users):
            return f"read from memory by {users[0].op.name}"
        outside = [u for u in users if not self._inside(node, u) or self._leads_on(u)]
        if not outside:
            return ""
        if kind is not Role.INLINE:
            return "used by another kernel"
        if self._feeds_contraction(node) and not self._is_cheap_prologue(node):
            return "operand of a contraction"
        home = self.grouping.home.get(node)
        passed_on = len(outside) == 1 and self.accesses.role(outside[0]) is Role.INLINE
        if home is None and passed_on and not self._reused(node, outside[0]):
            return ""
        return self._weigh(node, outside)

    def _inside(self, node: Node, user: Node) -> bool:
        """Whether a user runs in the nest that computes the node."""
        mine = self._place(node)
        return mine is not None and mine is self._place(user)

    def _place(self, node: Node) -> Group | None:
        home = self.grouping.home.get(node)
        return home.group if home is not None else self.grouping.group.get(node)

    def _weigh(self, node: Node, outside: list[Node]) -> str:
        home = self.grouping.home.get(node)
        size = max(count(node.shape), 1)
        mine: set[object] = set() if home is None else {home.group}
        readers = len(frozenset().union(*(self._context(u) for u in outside)) - mine)
        work, loads, fresh = self._cone(node, size)
        again = max((self._repeats(node, u) for u in outside), default=1.0)
        width = node.dtype.itemsize / 4
        store = BUFFER + width * (STORE + LOAD * readers) + work
        if home is None:
            store += loads + LAUNCH / size
        missing = sum(
            (STORE + LOAD) * leaf.dtype.itemsize / 4 * count(leaf.shape) / size for leaf in fresh
        )
        repeat = readers * (work * (again if work >= EXPENSIVE else 1) + loads) + missing
        if store < repeat:
            return f"storing costs {store:.0f} an element, computing it again {repeat:.0f}"
        for leaf in fresh:
            self.stored[leaf] = f"{node.op.name} is computed again from it"
        return ""

    def _cone(self, node: Node, size: int) -> tuple[float, float, list[Node]]:
        """Operations, cost of loads, and nodes to store first, below an inline node."""
        work = loads = 0.0
        needed = _united(self._cut(source, {}) for source in node.inputs)
        fresh: list[Node] = []
        seen: set[Node] = set()
        pending = [node]
        while pending:
            at = pending.pop()
            share = min(1.0, count(at.shape) / size)
            if at in needed:
                fresh.append(at)
            if at is not node and (at in needed or self._is_loaded(at)):
                loads += LOAD * at.dtype.itemsize / 4 * share
                continue
            work += operations(at) * share
            for source in at.inputs:
                if source not in seen:
                    seen.add(source)
                    pending.append(source)
        return work, loads, fresh

    def _is_loaded(self, node: Node) -> bool:
        return node in self.stored or self.accesses.role(node) is not Role.INLINE

    def _cut(self, node: Node, known: dict[Node, dict[Node, None]]) -> dict[Node, None]:
        """What has to be stored so that other nests can compute ``node``, in few bytes.

        That is what it reads of computed nodes, or a narrower value that is made of them in their
        own nest: the sum of two reductions, a position in fewer bits.
        """
        if node in self.stored or self.accesses.role(node) is Role.LEAF:
            return {}
        if self.accesses.role(node) is not Role.INLINE:
            return {node: None}
        if node not in known:
            below = _united(self._cut(source, known) for source in node.inputs)
            narrower = _bytes((node,)) < _bytes(below)
            known[node] = {node: None} if narrower and node in self.grouping.home else below
        return known[node]

    def _context(self, node: Node) -> frozenset[object]:
        """The nests that a value flows into, as far as it is composed."""
        found = self._contexts.get(node)
        if found is None:
            group = self.grouping.group.get(node)
            home = self.grouping.home.get(node)
            if group is not None:
                found = frozenset([group])
            elif node in self.forced or node in self._earlier:
                found = frozenset([home.group if home else ("map", node.shape)])
            else:
                users = self.graph.users[node]
                found = frozenset().union(*(self._context(u) for u in users))
            self._contexts[node] = found
        return found

    # ----------------------------------------------------------------------------- contraction

    def _feeds_contraction(self, node: Node) -> bool:
        """Whether a contraction packs this value, through nothing but index maps."""
        if isinstance(node.op.lower, IndexMap) and len(node.inputs) == 1:
            return False  # packed where it lies, never copied (windows above all)
        if not node.inputs:
            return False
        return any(
            self.accesses.role(u) is Role.CONTRACT or self._leads_on(u)
            for u in self.graph.users[node]
        )

    def _leads_on(self, user: Node) -> bool:
        """Whether a user is a view through which a contraction reads: it is never stored itself."""
        return isinstance(user.op.lower, IndexMap) and self._reaches_contraction(user)

    def _reaches_contraction(self, node: Node) -> bool:
        if node in self.forced or len(node.inputs) != 1:
            return False
        if node not in self._reaching:
            self._reaching[node] = any(
                self.accesses.role(u) is Role.CONTRACT or self._leads_on(u)
                for u in self.graph.users[node]
            )
        return self._reaching[node]

    def _is_cheap_prologue(self, node: Node) -> bool:
        size = max(count(node.shape), 1)
        work, loads, fresh = self._cone(node, size)
        again = max(self._repeats(node, u) for u in self.graph.users[node])
        whole = sum(16 * count(x.shape) >= size for x, _ in self.accesses.of(node).reads)
        return not fresh and work * again <= CHEAP_PROLOGUE and loads <= 1.5 * LOAD and whole <= 1

    def _repeats(self, node: Node, user: Node) -> float:
        """How often an element is computed when ``user`` composes it through windows."""
        if not isinstance(user.op.lower, IndexMap) or self._is_masked(user):
            return 1.0
        ratio = max(1.0, count(user.shape) / max(count(node.shape), 1))
        if user not in self._spread:
            users = self.graph.users[user]
            self._spread[user] = max((self._repeats(user, u) for u in users), default=1.0)
        return ratio * self._spread[user]

    def _is_masked(self, node: Node) -> bool:
        """Whether some elements of an index map come from nowhere: it does not repeat them."""
        assert isinstance(node.op.lower, IndexMap)
        types = [x.type for x in node.inputs]
        sources = node.op.lower.rule(own_axes(node), *types, **node.attrs)
        return any(source.conditions for source in sources)

    def _reused(self, node: Node, user: Node) -> bool:
        return count(node.shape) > 1 and self._repeats(node, user) > REUSE


def _united(parts: Iterable[dict[Node, None]]) -> dict[Node, None]:
    return {node: None for part in parts for node in part}


def _bytes(nodes: Iterable[Node]) -> int:
    return sum(count(node.shape) * node.dtype.itemsize for node in nodes)
