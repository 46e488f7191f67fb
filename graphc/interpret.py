"""Evaluates a graph node by node with the rows' NumPy functions: what every pass must keep."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.errors import GraphError
from graphc.ir import INPUT, Graph, Node

Array = np.ndarray[Any, Any]


def evaluate(
    graph: Graph, arrays: Sequence[Array], seen: Callable[[Node, Array], None] | None = None
) -> list[Array]:
    """The values of ``graph.results`` (outputs, then written values) for these inputs.

    ``seen`` is called with every node that was computed and its value. Values are dropped after
    their last use. Raises GraphError when the arrays do not have the types of the inputs.
    """
    if len(arrays) != len(graph.inputs):
        raise GraphError(f"{graph.name} has {len(graph.inputs)} inputs, {len(arrays)} were given")
    values: dict[Node, Array] = {}
    for node, array in zip(graph.inputs, arrays, strict=True):
        if array.dtype != node.dtype.numpy or not _fits(array.shape, node.shape):
            raise GraphError(
                f"input {node.attrs['name']} is {node.type}, not {array.dtype}{list(array.shape)}"
            )
        values[node] = array
    results = graph.results
    remaining = {node: len(users) for node, users in graph.users.items()}
    for node in results:
        remaining[node] += 1
    for node in graph.nodes:
        if node.op is not INPUT:
            value = np.asarray(node.op.evaluate(*(values[n] for n in node.inputs), **node.attrs))
            values[node] = value
            if seen is not None:
                seen(node, value)
        for source in dict.fromkeys(node.inputs):
            remaining[source] -= 1
            if not remaining[source]:
                del values[source]
    return [values[node] for node in results]


def _fits(actual: tuple[int, ...], declared: tuple[Any, ...]) -> bool:
    return len(actual) == len(declared) and all(
        not isinstance(size, int) or size == found
        for found, size in zip(actual, declared, strict=True)
    )
