"""Names for graph nodes out of the user's own source: ``x = relu(conv(x))`` calls its value x."""

import ast
from functools import lru_cache

from graphc.errors import Location
from graphc.ir import INPUT, Graph, Node


@lru_cache(maxsize=4096)
def assigned_name(text: str) -> str | None:
    """The variable a source line assigns, when it is one plain name."""
    try:
        statement = ast.parse(text).body
    except SyntaxError:  # one line of a longer statement
        return None
    if len(statement) != 1:
        return None
    first = statement[0]
    if isinstance(first, ast.Assign) and len(first.targets) == 1:
        target = first.targets[0]
    elif isinstance(first, (ast.AnnAssign, ast.AugAssign)):
        target = first.target
    else:
        return None
    if isinstance(target, ast.Name):
        return target.id
    return None


def name_after_source(graph: Graph) -> Graph:
    """The same graph with the last value that each line computed named after its variable."""
    last: dict[Location, Node] = {}
    for node in graph.nodes:
        where = graph.locations.get(node)
        if where is not None and node.op is not INPUT:
            last[where] = node
    names = dict(graph.names)
    for where, node in last.items():
        name = assigned_name(where.text)
        if name is not None and node not in names:
            names[node] = name
    return Graph(graph.name, graph.inputs, graph.outputs, graph.writes, names, graph.locations)
