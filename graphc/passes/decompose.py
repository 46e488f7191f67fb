"""Composite operations dissolve into the rows they are written in."""

from graphc.ir import Decompose, Graph, Node
from graphc.rewrite import Rule, Table, rewrite


def _expand(node: Node) -> Node | None:
    if not isinstance(node.op.lower, Decompose):
        return None
    result: Node = node.op.lower.rule(*node.inputs, **node.attrs)
    return result


TABLE = Table([Rule("decompose", (), _expand, "composite(x) -> its rule(x)")])


def decompose(graph: Graph) -> Graph:
    """The graph in primitive operations only. Names given by the user stay with the results."""
    return rewrite(graph, TABLE)


def composites(graph: Graph) -> list[Node]:
    """The nodes that a decomposition would still dissolve."""
    return [node for node in graph.nodes if isinstance(node.op.lower, Decompose)]
