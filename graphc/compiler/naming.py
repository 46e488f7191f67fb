"""Names out of the user's own source: of graph nodes, and of arguments.

``x = relu(conv(x))`` calls its value x.
"""

import ast
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from graphc.errors import Location
from graphc.ir import INPUT, Graph, Node
from graphc.nn.module import Module
from graphc.trees import Tree


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


def argument_names(function: Callable[..., Any], tree: Tree) -> list[str]:
    """What each leaf of the arguments is called, by the function's own signature."""
    target = function.forward if isinstance(function, Module) else function
    positional, named = tree.children
    count = len(positional.children)
    names = [f"arg{i}" for i in range(count)]
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    for i in range(count):
        if i < len(parameters) and parameters[i].kind != inspect.Parameter.VAR_POSITIONAL:
            names[i] = parameters[i].name
        elif parameters:
            rest = [p for p in parameters if p.kind == inspect.Parameter.VAR_POSITIONAL]
            if rest:
                names[i] = f"{rest[0].name}[{i - parameters.index(rest[0])}]"
    found: list[str] = []

    def walk(part: Tree, path: str) -> None:
        if part.kind is None:
            found.append(path)
            return
        if hasattr(part.kind, "_fields"):
            keys = [f".{field}" for field in part.kind._fields]
        elif issubclass(part.kind, dict):
            keys = [f"[{key!r}]" for key in part.keys]
        else:
            keys = [f"[{i}]" for i in range(len(part.children))]
        for key, child in zip(keys, part.children, strict=True):
            walk(child, path + key)

    for path, child in zip(names, positional.children, strict=True):
        walk(child, path)
    for key, child in zip(named.keys, named.children, strict=True):
        walk(child, str(key))
    return found
