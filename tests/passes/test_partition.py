"""What the forward part saves for the backward part."""

import numpy as np

from graphc.dtypes import float32
from graphc.ir import CONSTANT, OPS, Builder, Graph, TensorType
from graphc.passes.partition import partition


def test_constants_are_repeated_and_not_saved() -> None:
    builder = Builder()
    kind = TensorType((3,), float32)
    x, g = builder.input("x", kind), builder.input("g", kind)
    table = builder.constant(np.array([1, 2, 4], np.float32), kind)
    y = builder.apply(OPS["mul"], (x, table), {})
    grad = builder.apply(OPS["mul"], (g, builder.apply(OPS["flip"], (table,), {"dims": (0,)})), {})
    parts = partition(Graph("f", (x, g), (y, grad)), outputs=1, given=1)
    assert len(parts.forward.outputs) == 1
    assert parts.saved == (("input", 1),)
    assert any(node.op is CONSTANT for node in parts.backward.nodes)
