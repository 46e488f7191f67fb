"""Which operations work element by element; this decides how their results are laid out."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from graphc.ir import (
    INPUT,
    Attrs,
    Builder,
    Decompose,
    Generate,
    Op,
    Scalar,
    TensorType,
    topological,
)
from graphc.ops.rules import broadcast


def is_elementwise(op: Op, types: Sequence[TensorType], attrs: Attrs) -> bool:
    """Whether each element of the result is made of elements at its own place alone.

    Such results are laid out as their operands are; others lie in row-major order.
    """
    if isinstance(op.lower, Scalar):
        return True
    return isinstance(op.lower, Decompose) and _dissolves(
        op, tuple(types), tuple(sorted(attrs.items()))
    )


@lru_cache(maxsize=4096)
def _dissolves(op: Op, types: tuple[TensorType, ...], attrs: tuple[tuple[str, Any], ...]) -> bool:
    """Whether a decomposition leaves nothing but such operations."""
    assert isinstance(op.lower, Decompose)
    if not types:
        return False
    builder = Builder()
    inputs = [builder.input(f"x{i}", type) for i, type in enumerate(types)]
    result = op.lower.rule(*inputs, **dict(attrs))
    return all(
        node.op is INPUT
        or isinstance(node.op.lower, Generate)
        or is_elementwise(node.op, [n.type for n in node.inputs], node.attrs)
        for node in topological([result])
    ) and result.shape == broadcast(*(type.shape for type in types))
