"""What an inline value reads: the computed nodes and leaves below it, and at which indices."""

from dataclasses import dataclass, field, replace

from graphc.ir import Gather, Graph, Node, Scalar, Scatter
from graphc.kernel import Expr, Ref
from graphc.lowering.elements import Elements, Guard
from graphc.lowering.indexing import Index
from graphc.lowering.roles import Role, Sweep, only_view, role, sweep_of
from graphc.sizes import Int, symbol


def own_axes(node: Node) -> Index:
    """An index of a node made of one symbol for each dimension."""
    return tuple(symbol(f"a{d}", size) for d, size in enumerate(node.shape))


@dataclass
class Access:
    """``reads``: (node, index) in the order met. ``inline``: the nodes composed on the way."""

    reads: list[tuple[Node, Index]] = field(default_factory=list)
    inline: dict[Node, None] = field(default_factory=dict)


class Accesses:
    """Roles of the nodes of a graph, and probes of inline nodes at their own axes."""

    def __init__(self, graph: Graph) -> None:
        self._roles: dict[Node, Role] = {}
        self._sweeps: dict[Node, Sweep] = {}
        self._memo: dict[Node, Access] = {}
        results = set(graph.results)
        for node in graph.nodes:
            if node in self._roles:
                continue
            kind = self._roles[node] = role(node)
            if kind is not Role.REDUCE:
                continue
            sweep = self._sweeps[node] = sweep_of(node)
            view = None if node in results else only_view(node, graph.users[node])
            if view is not None:
                self._roles[node] = Role.PART
                self._roles[view] = Role.REDUCE
                self._sweeps[view] = replace(sweep, rows=view.shape, view=view)

    def role(self, node: Node) -> Role:
        return self._roles[node]

    def sweep(self, node: Node) -> Sweep:
        """The loops of a node whose role is that of a reduction."""
        return self._sweeps[node]

    def of(self, node: Node) -> Access:
        """What ``node`` reads at its own axes; a node that is not inline reads itself."""
        found = self._memo.get(node)
        if found is None:
            found = self._memo[node] = self.at(((node, own_axes(node)),))
        return found

    def at(self, values: tuple[tuple[Node, Index], ...]) -> Access:
        """What several values read, each at its index."""
        access = Access()

        def source(node: Node, index: Index, _guard: Guard) -> Expr | None:
            if self.role(node) is Role.INLINE:
                access.inline[node] = None
                return None
            if (node, index) not in access.reads:
                access.reads.append((node, index))
            return Ref("read", node.dtype)

        elements = Elements(source)
        for node, index in values:
            elements.value(node, index)
        return access


def operations(node: Node) -> int:
    """Scalar operations for one element of an inline node, its inputs not counted."""
    lower = node.op.lower
    if isinstance(lower, Scalar):
        return lower.cost
    return 4 if isinstance(lower, (Gather, Scatter)) else 0


def count(values: tuple[Int, ...]) -> int:
    """The number of elements of a shape; a named size counts as 64."""
    total = 1
    for value in values:
        total *= value if isinstance(value, int) else 64
    return total
