"""Rewrite tables: named rules, applied to a graph until none fires.

A rule looks at one node whose inputs are rewritten already and gives a node of the same type that
means the same, or None. Its comment is its algebra, ``before -> after``.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.errors import GraphError
from graphc.ir import Builder, Graph, Node

SWEEPS = 64  # over the graph
STEPS = 64  # at one node


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

    ``fired`` collects the names of the rules in the order they fired. Raises GraphError when a
    rule changes a type, or when the table does not come to rest; the message then names the rules
    that fired last.
    """
    last: deque[Rule] = deque(maxlen=8)
    name = graph.name
    for _ in range(SWEEPS):
        changed = False

        def replace(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node:
            nonlocal changed
            current = builder.apply(node.op, inputs, node.attrs)
            for _ in range(STEPS):
                step = _first(table, current)
                if step is None:
                    return current
                rule, following = step
                if following.type != current.type:
                    raise GraphError(
                        f"rule {rule.name} ({rule.comment}) turned {current!r} into {following!r}"
                    )
                last.append(rule)
                if fired is not None:
                    fired.append(rule.name)
                changed = True
                current = following
            raise _restless(name, last)

        graph = graph.rebuild(replace)
        if not changed:
            return graph
    raise _restless(name, last)


def _first(table: Table, node: Node) -> tuple[Rule, Node] | None:
    for rule in table.of(node.op.name):
        following = rule.function(node)
        if following is not None and following is not node:
            return rule, following
    return None


def _restless(name: str, last: "deque[Rule]") -> GraphError:
    shown = "\n".join(f"  {rule}" for rule in last)
    return GraphError(
        f"rewriting {name} does not come to rest; the rules that fired last:\n{shown}"
    )
