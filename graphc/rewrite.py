"""Rewrite tables: named rules, applied to a graph until none fires.

A rule looks at one node whose inputs are rewritten already and gives a node of the same type that
means the same, or None. Its comment is its algebra, ``before -> after``.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.errors import GraphError
from graphc.ir import Builder, Graph, Node

STEPS = 200  # rules that may fire for one node of the graph and all that they make of it


@dataclass(frozen=True)
class Rule:
    """``function(node) -> node or None``, tried on nodes of the operations named in ``ops``.

    No names mean every operation.
    """

    name: str
    ops: tuple[str, ...]
    function: Callable[[Node], Node | None]
    comment: str

    def __str__(self) -> str:
        return f"{self.name}: {self.comment}"


class Table:
    """Rules in order of preference, found by the operation they look at."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        names = [rule.name for rule in self.rules]
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise ValueError(f"two rules are called {', '.join(repeated)}")
        self._by_op: dict[str, tuple[Rule, ...]] = {}

    def of(self, op: str) -> tuple[Rule, ...]:
        """The rules that look at an operation."""
        found = self._by_op.get(op)
        if found is None:
            found = tuple(rule for rule in self.rules if not rule.ops or op in rule.ops)
            self._by_op[op] = found
        return found

    def __add__(self, other: "Table") -> "Table":
        return Table(self.rules + other.rules)


def rewrite(graph: Graph, table: Table, fired: list[str] | None = None) -> Graph:
    """The graph with every rule applied until nothing changes.

    A rule sees a node and what lies below it, and below everything is settled already; so one walk
    from the inputs up is enough, if the nodes that a rule makes are settled on the spot.

    ``fired`` collects the names of the rules in the order they fired. Raises GraphError when a
    rule changes a type, or when the table does not come to rest; the message then names the rules
    that fired last.
    """
    settled: dict[Node, Node] = {}
    last: deque[Rule] = deque(maxlen=8)
    steps = 0

    def settle(builder: Builder, node: Node) -> Node:
        nonlocal steps
        found = settled.get(node)
        if found is not None:
            return found
        inputs = tuple(settle(builder, source) for source in node.inputs)
        current = node if inputs == node.inputs else builder.apply(node.op, inputs, node.attrs)
        rule, following = _first(table, current)
        if rule is not None:
            if following.type != current.type:
                raise GraphError(
                    f"rule {rule.name} ({rule.comment}) turned {current!r} into {following!r}"
                )
            last.append(rule)
            if fired is not None:
                fired.append(rule.name)
            steps += 1
            if steps > STEPS:
                shown = "\n".join(f"  {each}" for each in last)
                raise GraphError(
                    f"rewriting {graph.name} does not come to rest at {node!r}; "
                    f"the rules that fired last:\n{shown}"
                )
            current = settle(builder, following)
        settled[node] = settled[current] = current
        return current

    def replace(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node:
        nonlocal steps
        steps = 0
        for source in inputs:
            settled.setdefault(source, source)
        return settle(builder, builder.apply(node.op, inputs, node.attrs))

    return graph.rebuild(replace)


def _first(table: Table, node: Node) -> tuple[Rule | None, Node]:
    """The first rule that has something to say of a node, and what it says."""
    for rule in table.of(node.op.name):
        following = rule.function(node)
        if following is not None and following is not node:
            return rule, following
    return None, node
