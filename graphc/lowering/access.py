"""What an inline value reads: the computed nodes and leaves below it, and at which indices."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from graphc.ir import Contract, Gather, Graph, Node, Scalar, Scatter
from graphc.kernel import Expr, Ref
from graphc.lowering.elements import Elements, Guard, broadcast_index
from graphc.lowering.indexing import Index
from graphc.lowering.roles import Role, Sweep, letters, only_view, role, sweep_of
from graphc.sizes import count, symbol

MOST_EVALUATIONS = 512  # values computed for one element of a value that is not stored
FEW_EVALUATIONS = 64  # below which it does not matter how often they repeat each other
REPEATS = 4  # evaluations of one node, at different indices, that are too many
DEEPEST = 96  # values inside one another; the walks over expressions recurse


def own_axes(node: Node) -> Index:
    """An index of a node made of one symbol for each dimension."""
    return tuple(symbol(f"a{d}", size) for d, size in enumerate(node.shape))


@dataclass
class Access:
    """``reads``: (node, index) in the order met. ``inline``: the nodes composed on the way.

    ``evaluated`` holds each of those once for every index and guard that it is computed at.
    """

    reads: dict[tuple[Node, Index], None] = field(default_factory=dict)
    inline: dict[Node, None] = field(default_factory=dict)
    evaluated: set[tuple[Node, Index, Guard]] = field(default_factory=set)
    depth: int = 0

    @property
    def is_large(self) -> bool:
        """Whether the expression has outgrown what may be computed again wherever it is used.

        A chain in which each value reads the one before at two places doubles with every step.
        """
        evaluations = len(self.evaluated)
        repeated = evaluations > FEW_EVALUATIONS and evaluations > REPEATS * len(self.inline)
        return repeated or evaluations > MOST_EVALUATIONS or self.depth > DEEPEST


class Accesses:
    """Roles of the nodes of a graph, and probes of inline nodes at their own axes.

    ``cuts`` are the inline nodes whose expressions would grow too large: they are stored, and
    every other value reads them.
    """

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
        self.cuts: dict[Node, Access] = {}
        for node in graph.nodes:  # each expression stops at the cuts below it, so it stays small
            if self._roles[node] is Role.INLINE:
                access = self.of(node)
                if access.is_large:
                    self.cuts[node] = access
                    self._memo[node] = Access({(node, own_axes(node)): None})

    def role(self, node: Node) -> Role:
        return self._roles[node]

    def sweep(self, node: Node) -> Sweep:
        """The loops of a node whose role is that of a reduction."""
        return self._sweeps[node]

    def of(self, node: Node) -> Access:
        """What ``node`` reads at its own axes; a node that is not inline reads itself."""
        found = self._memo.get(node)
        if found is None:
            same = isinstance(node.op.lower, Scalar)
            found = self._pointwise(node) if same else self.at(((node, own_axes(node)),))
            self._memo[node] = found
        return found

    def _pointwise(self, node: Node) -> Access:
        """A pointwise value reads what its operands read; most are known at these axes."""
        axes = own_axes(node)
        access = Access()
        access.inline[node] = None
        access.evaluated.add((node, axes, ()))
        for operand in node.inputs:
            if operand.shape == node.shape:
                below = self.of(operand)
            else:
                below = self.at(((operand, broadcast_index(axes, operand.shape)),))
            access.reads.update(below.reads)
            access.inline.update(below.inline)
            access.evaluated |= below.evaluated
            access.depth = max(access.depth, below.depth + 1)
        return access

    def at(self, values: Iterable[tuple[Node, Index]]) -> Access:
        """What several values read, each at its index."""
        access = Access()

        def source(node: Node, index: Index, guard: Guard) -> Expr | None:
            if self.role(node) is Role.INLINE and node not in self.cuts:
                access.inline[node] = None
                access.evaluated.add((node, index, guard))
                return None
            access.reads[node, index] = None
            return Ref("read", node.dtype)

        elements = Elements(source)
        for node, index in values:
            elements.value(node, index)
            access.depth = max(access.depth, self._depth(node))
        return access

    def _depth(self, node: Node) -> int:
        """How deep the expression of a node is, from what is known of its inputs."""
        known = self._memo.get(node)
        if known is not None:
            return known.depth
        if self.role(node) is not Role.INLINE:
            return 0
        return 1 + max((self._memo[x].depth for x in node.inputs if x in self._memo), default=0)


def operations(node: Node) -> int:
    """Scalar operations for one element of an inline node, its inputs not counted."""
    lower = node.op.lower
    if isinstance(lower, Scalar):
        return lower.cost
    return 4 if isinstance(lower, (Gather, Scatter)) else 0


def work(node: Node) -> int:
    """Scalar operations for all elements of a node, its inputs not counted."""
    if isinstance(node.op.lower, Contract):
        return 2 * count(tuple(letters(node).extents.values()))
    if role(node) is Role.INLINE:
        return operations(node) * count(node.shape)
    return count(node.inputs[0].shape) if node.inputs else 0
