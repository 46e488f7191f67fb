"""A graph told by its content: the same text for graphs that mean the same in every process.

Everything that later stages may read takes part: operations and attributes, types, constant data,
the order of the nodes, names, and the user's lines.
"""

import hashlib
from enum import Enum
from functools import lru_cache
from typing import Any

from graphc.device import device
from graphc.dtypes import dtype
from graphc.ir import OPS, Body, Graph, Literal, Node, TensorType


class Unknown(TypeError):  # noqa: N818 - a finding, not a mistake
    """A graph holds something whose content cannot be told."""


def fingerprint(graph: Graph) -> str:
    """64 hexadecimal digits. Raises Unknown for operations and attributes of no known kind."""
    state = hashlib.sha256()
    for line in _lines(graph):
        state.update(line.encode())
    return state.hexdigest()


def _lines(graph: Graph) -> list[str]:
    numbers: dict[Node, int] = {}
    lines = [f"{graph.name!r}\n"]
    names, origins = graph.names, graph.origins
    places = {where: f"{where.file} {where}" for where in set(graph.locations.values())}
    for node in graph.nodes:
        if OPS.get(node.op.name) is not node.op:
            raise Unknown(f"{node.op!r} is in no table")
        numbers[node] = len(numbers)
        inputs = [numbers[source] for source in node.inputs]
        attrs = [f"{name}={_told(value)}" for name, value in node.attrs.items()]
        where = graph.locations.get(node)
        known = (names.get(node), where and places[where], origins.get(node))
        lines.append(f"{node.op.name} {inputs} {attrs} {_type(node.type)} {known}\n")
    ends = (graph.inputs, graph.outputs, *graph.writes)
    lines.append(f"{[[numbers[node] for node in end] for end in ends]}\n")
    return lines


@lru_cache(maxsize=4096)
def _type(type: TensorType) -> str:
    return f"{type.dtype.short}{type.shape!r} {type.device}"


def _told(value: Any) -> str:
    """An attribute; every kind of value looks different, 1, 1.0 and True too."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_told, value))}]"
    if isinstance(value, Literal):
        array = value.array
        content = hashlib.sha256(array.tobytes()).hexdigest()
        return f"<{array.dtype} {array.shape} {array.strides} {content}>"
    if isinstance(value, Body):
        return f"<{fingerprint(value.graph)}>"
    if isinstance(value, TensorType):
        return f"<{_type(value)}>"
    if isinstance(value, Enum):
        return f"<{type(value).__name__}.{value.name}>"
    if isinstance(value, (dtype, device)):
        return f"<{value}>"
    raise Unknown(f"an attribute of type {type(value).__name__}")
