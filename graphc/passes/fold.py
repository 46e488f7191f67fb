"""Constants are computed once: small results of nothing but constants, by NumPy."""

import math
from typing import Any

import numpy as np

from graphc.ir import CONSTANT, OPS, Generate, Host, Leaf, Literal, Node
from graphc.rewrite import Rule, Table

LIMIT = 4096  # elements, of every input and of the result


def elements(node: Node) -> int | None:
    """How many elements a node has, where that is known."""
    sizes = [size for size in node.shape if isinstance(size, int)]
    return math.prod(sizes) if len(sizes) == node.ndim else None


def _known(node: Node) -> bool:
    if node.op is not CONSTANT and not isinstance(node.op.lower, Generate):
        return False
    count = elements(node)
    return count is not None and count <= LIMIT


def _value(node: Node) -> Any:
    return node.op.evaluate(**node.attrs)


def constant_like(array: Any, node: Node) -> Node:
    """A constant of a node's type: ``full`` where all elements are the same bits."""
    flat = array.reshape(-1)
    if flat.size and flat.tobytes() == flat[:1].tobytes() * flat.size:
        attrs = {
            "value": flat[0].item(),
            "shape": node.shape,
            "dtype": node.dtype,
            "device": node.device,
        }
        return node.__apply__(OPS["full"], (), attrs)
    return node.__apply__(CONSTANT, (), {"value": Literal(array), "type": node.type})


def _fold(node: Node) -> Node | None:
    if not node.inputs or isinstance(node.op.lower, (Leaf, Host)):
        return None
    count = elements(node)
    if count is None or count > LIMIT or not all(_known(n) for n in node.inputs):
        return None
    try:
        array = node.op.evaluate(*(_value(n) for n in node.inputs), **node.attrs)
    except (RuntimeError, IndexError):
        return None  # a division by zero or an index out of range is an error of the run, if at all
    result = constant_like(np.ascontiguousarray(array), node)
    counted = result.op is CONSTANT and all(n.op is not CONSTANT for n in node.inputs)
    return None if counted else result  # a kernel counts faster than it loads


def _uniform(node: Node) -> Node | None:
    flat = node.attrs["value"].array.reshape(-1)
    if flat.size and flat.tobytes() == flat[:1].tobytes() * flat.size:
        return constant_like(node.attrs["value"].array, node)
    return None


TABLE = Table(
    [
        Rule("uniform", ("constant",), _uniform, "[c, c, ...] -> full(c)"),
        Rule("fold", (), _fold, "f(constants) -> constant"),
    ]
)
